//! Whether the wall clock may say that something is old enough to go.
//!
//! What has been kept long enough is decided by today's date, and a clock that leaps by years would let five years of receipts go
//! in an hour. So the clock is believed only where something else agrees with it: the monotonic clock since the start, and before
//! the start the time that was believed last. That is kept in `DIR/clock`, since records bear whatever the clock said: one that came
//! while it was wrong would make the next start believe it.
//!
//! Shape of the file: microseconds since 1970 in decimal. A file that is not that is none, and then the last record of the log says
//! when something was here.
//!
//! Unit: microseconds.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use ofd_storage::env::{read_file, replace_file};
use ofd_storage::{Env, Error, Now};

const DAY_US: i64 = 86_400_000_000;
/// How far the wall clock may run away from the monotonic one, which stands still while a machine sleeps.
const LEAP_US_MAX: i64 = DAY_US;
/// How long a directory may have rested before a start.
const REST_US_MAX: i64 = 62 * DAY_US;
/// How much later a time has to be to be kept.
const KEEP_US: i64 = 600_000_000;
const FILE: &str = "clock";
const FILE_LEN_MAX: u64 = 32;

/// The clock as it was when the engine opened.
#[derive(Debug)]
pub(crate) struct Clock {
    opened: Now,
    /// When something was here before; 0: never.
    last_us: i64,
    /// A person has looked at the clock of the start.
    confirmed: bool,
    /// What the file says.
    kept_us: AtomicI64,
}

impl Clock {
    /// `record_us` is when the last record came, by the log.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn open(env: &dyn Env, record_us: i64, confirmed: bool) -> Result<Self, Error> {
        let kept_us = match read_file(env, Path::new(FILE), FILE_LEN_MAX) {
            Ok(bytes) => str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let last_us = kept_us.unwrap_or(record_us);
        Ok(Self { opened: env.now(), last_us, confirmed, kept_us: AtomicI64::new(kept_us.unwrap_or(0)) })
    }

    /// The wall clock, where it can be believed.
    ///
    /// # Errors
    /// A sentence that says what contradicts it.
    pub(crate) fn believed_us(&self, now: Now) -> Result<i64, String> {
        let since = i64::try_from(now.mono_us.saturating_sub(self.opened.mono_us)).unwrap_or(i64::MAX);
        let leap = now.wall_us.saturating_sub(self.opened.wall_us.saturating_add(since));
        if leap.saturating_abs() > LEAP_US_MAX {
            let hours = leap.checked_div(3_600_000_000).unwrap_or_default();
            return Err(format!(
                "the clock has leapt by {hours} hours since the start: nothing is let go by it"
            ));
        }
        let rest = self.opened.wall_us.saturating_sub(self.last_us);
        if self.last_us > 0 && rest > REST_US_MAX && !self.confirmed {
            let days = rest.checked_div(DAY_US).unwrap_or_default();
            return Err(format!(
                "the clock says that nothing was done here for {days} days before the start: if that is so, let go \
                 with the clock confirmed; else set it right"
            ));
        }
        Ok(now.wall_us)
    }

    /// Keeps the time, where it is believed and has gone on, for the next start. A disk that does not take it is no reason to stop:
    /// then the next start believes less.
    pub(crate) fn keep(&self, env: &dyn Env) {
        let Ok(now_us) = self.believed_us(env.now()) else { return };
        let before_us = self.kept_us.load(Ordering::Relaxed).max(self.last_us);
        if now_us < before_us.saturating_add(KEEP_US) {
            return;
        }
        match replace_file(env, Path::new(FILE), format!("{now_us}\n").as_bytes()) {
            Ok(()) => self.kept_us.store(now_us, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the time could not be kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_days: i64, mono_days: u64) -> Now {
        Now { wall_us: wall_days * DAY_US, mono_us: mono_days * DAY_US.unsigned_abs() }
    }

    fn clock(opened: Now, last_days: i64, confirmed: bool) -> Clock {
        Clock { opened, last_us: last_days * DAY_US, confirmed, kept_us: AtomicI64::new(0) }
    }

    // Five years of receipts go by this clock: each way in which it can be wrong by much has to be noticed.
    #[test]
    fn a_clock_is_believed_while_something_else_agrees_with_it() {
        let it = clock(at(20_000, 5), 19_999, false);
        assert_eq!(it.believed_us(at(20_000, 5)), Ok(20_000 * DAY_US));
        assert_eq!(it.believed_us(at(20_300, 305)), Ok(20_300 * DAY_US), "it runs as it should");
        assert_eq!(it.believed_us(at(20_011, 15)), Ok(20_011 * DAY_US), "the machine has slept");
        assert!(it.believed_us(at(20_012, 15)).is_err_and(|why| why.contains("48 hours")));
        assert!(it.believed_us(at(19_990, 6)).is_err(), "nor back");
        let rested =
            |days: i64, confirmed| clock(at(20_000, 0), 20_000 - days, confirmed).believed_us(at(20_000, 0));
        assert!(rested(62, false).is_ok());
        assert!(rested(63, false).is_err_and(|why| why.contains("63 days")));
        assert!(rested(63, true).is_ok());
        let confirmed = clock(at(20_000, 0), 19_000, true);
        assert!(
            confirmed.believed_us(at(20_005, 0)).is_err(),
            "nobody has looked at what came after the start"
        );
        assert!(clock(at(20_000, 0), 0, false).believed_us(at(20_000, 0)).is_ok(), "a fresh directory");
    }
}
