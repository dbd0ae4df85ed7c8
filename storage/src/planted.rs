//! Bugs on purpose, to test the tests: `--cfg ofd_planted` alone builds them in, and [`choose`] turns one on.
//!
//! `tests/planted.sh` builds this crate with that cfg and demands that the simulation finds every one of them. A
//! release has no trace of it: `planted!(7)` is then `false`.

/// Whether bug `n` is turned on.
#[cfg(not(ofd_planted))]
macro_rules! planted {
    ($n:literal) => {
        false
    };
}

/// Whether bug `n` is turned on.
#[cfg(ofd_planted)]
macro_rules! planted {
    ($n:literal) => {
        $crate::planted::is($n)
    };
}

pub(crate) use planted;

#[cfg(ofd_planted)]
thread_local! {
    static CHOSEN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Turns one bug on in this thread; 0 = none.
#[cfg(ofd_planted)]
pub fn choose(n: u32) {
    CHOSEN.set(n);
}

/// Whether bug `n` is turned on in this thread.
#[cfg(ofd_planted)]
pub fn is(n: u32) -> bool {
    CHOSEN.get() == n
}
