//! Whether the wall clock may say that something is old enough to go.
//!
//! What has been kept long enough is decided by today's date, and a clock that leaps by years would let five years of receipts go
//! in an hour. So the clock is believed only where something else agrees with it: the monotonic clock since the start, and the
//! last record that was there before.
//!
//! Unit: microseconds.

use ofd_storage::Now;

const DAY_US: i64 = 86_400_000_000;
/// How far the wall clock may run away from the monotonic one, which stands still while a machine sleeps.
const LEAP_US_MAX: i64 = DAY_US;
/// How long a directory may have rested before a start.
const REST_US_MAX: i64 = 62 * DAY_US;

/// The clock as it was when the engine opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    opened: Now,
    /// When the last record came that was there then; 0: there was none.
    last_us: i64,
}

impl Clock {
    pub(crate) fn new(opened: Now, last_us: i64) -> Self {
        Self { opened, last_us }
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
        if self.last_us > 0 && rest > REST_US_MAX {
            let days = rest.checked_div(DAY_US).unwrap_or_default();
            return Err(format!(
                "the clock says that nothing was stored for {days} days before the start: if that is so, let go with \
                 the clock confirmed; else set it right"
            ));
        }
        Ok(now.wall_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_days: i64, mono_days: u64) -> Now {
        Now { wall_us: wall_days * DAY_US, mono_us: mono_days * DAY_US.unsigned_abs() }
    }

    // Five years of receipts go by this clock: each way in which it can be wrong by much has to be noticed.
    #[test]
    fn a_clock_is_believed_while_something_else_agrees_with_it() {
        let clock = Clock::new(at(20_000, 5), 19_999 * DAY_US);
        assert_eq!(clock.believed_us(at(20_000, 5)), Ok(20_000 * DAY_US));
        assert_eq!(clock.believed_us(at(20_300, 305)), Ok(20_300 * DAY_US), "it runs as it should");
        assert_eq!(clock.believed_us(at(20_011, 15)), Ok(20_011 * DAY_US), "the machine has slept");
        assert!(clock.believed_us(at(20_012, 15)).is_err_and(|why| why.contains("48 hours")));
        assert!(clock.believed_us(at(19_990, 6)).is_err(), "nor back");
        let rested =
            |days: i64| Clock::new(at(20_000, 0), (20_000 - days) * DAY_US).believed_us(at(20_000, 0));
        assert!(rested(62).is_ok());
        assert!(rested(63).is_err_and(|why| why.contains("63 days")));
        assert!(Clock::new(at(20_000, 0), 0).believed_us(at(20_000, 0)).is_ok(), "a fresh directory");
    }
}
