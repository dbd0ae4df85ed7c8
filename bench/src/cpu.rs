//! Rates by the processor time of the thread: for figures that neither wait nor hand over.
//!
//! A neighbour who takes the core away for a while spoils a figure by the clock on the wall and leaves this one alone. What
//! a neighbour does to caches and memory stays in it, on both sides of a round alike.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time that this thread has had a core for, since it began.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// Time that all threads of this process have had cores for.
#[allow(dead_code, reason = "not every bench asks for it")]
pub(crate) fn used_by_all() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// Repeats `pass`, which does `units` units of work, for at least `long` of processor time; gives units a second of it and
/// adds the number of passes to `runs`.
pub(crate) fn rate_of(units: usize, long: Duration, runs: &mut u64, mut pass: impl FnMut()) -> f64 {
    let mut passes = 0_u64;
    let started = used();
    loop {
        pass();
        passes += 1;
        let elapsed = used().saturating_sub(started);
        if elapsed >= long {
            *runs += passes;
            return units as f64 * passes as f64 / elapsed.as_secs_f64();
        }
    }
}
