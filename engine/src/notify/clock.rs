//! Quiet hours and digests by the clock of a place: when something held back may go out. Pure.
//!
//! Unit: microseconds UTC; times of a day in minutes from midnight, zones in minutes east of UTC.

const MINUTE_US: i64 = 60_000_000;
const DAY_MIN: i64 = 1_440;
const DAY_US: i64 = DAY_MIN * MINUTE_US;

/// Hours in which nothing goes out; from one minute of the day to another, over midnight where `to` is before `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// The first quiet minute of the day, 0..=1439.
    pub from_min: u16,
    /// The first that is not quiet any more.
    pub to_min: u16,
    /// Minutes east of UTC.
    pub zone_min: i16,
}

/// When a digest goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// At the full hour.
    Hourly,
    /// Once a day, at this minute of the day.
    Daily {
        /// 0..=1439.
        at_min: u16,
    },
}

impl Quiet {
    /// When what is ready now may go out: now, or at the end of the quiet hours.
    pub(crate) fn free_at_us(self, now_us: i64) -> i64 {
        let minute = minute_of_day(now_us, self.zone_min);
        let (from, to) = (i64::from(self.from_min), i64::from(self.to_min));
        let behind = |minute: i64, from: i64| minute.saturating_sub(from).rem_euclid(DAY_MIN);
        let len = behind(to, from);
        let since = behind(minute, from);
        if since >= len {
            return now_us;
        }
        let begin_us = now_us.saturating_sub(now_us.rem_euclid(MINUTE_US));
        begin_us.saturating_add(len.saturating_sub(since).saturating_mul(MINUTE_US))
    }
}

impl Digest {
    /// When the digest goes out that something of this moment belongs to: later than that, always.
    pub(crate) fn due_us(self, at_us: i64, zone_min: i16) -> i64 {
        let (period_us, at_min) = match self {
            Self::Hourly => (60 * MINUTE_US, 0),
            Self::Daily { at_min } => (DAY_US, i64::from(at_min)),
        };
        let shift_us = at_min.saturating_sub(i64::from(zone_min)).saturating_mul(MINUTE_US);
        let into_us = at_us.saturating_sub(shift_us).rem_euclid(period_us);
        at_us.saturating_add(period_us.saturating_sub(into_us))
    }
}

fn minute_of_day(at_us: i64, zone_min: i16) -> i64 {
    at_us.div_euclid(MINUTE_US).saturating_add(i64::from(zone_min)).rem_euclid(DAY_MIN)
}

/// `HH:MM` as a minute of the day.
pub(crate) fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|it| it.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then(|| hours.saturating_mul(60).saturating_add(minutes))
}

/// The same as text.
pub(crate) fn minute_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a failed test may panic")]
    use super::*;

    const HOUR_US: i64 = 60 * MINUTE_US;

    /// Hours of a day of UTC in quarters.
    fn at(hours: i64, minutes: i64) -> i64 {
        20_000 * DAY_US + hours * HOUR_US + minutes * MINUTE_US
    }

    // Somebody sleeps by his own clock.
    #[test]
    fn quiet_hours_end_by_the_clock_of_the_place() {
        let quiet = |from: &str, to: &str, zone_min| Quiet {
            from_min: minute_of(from).unwrap(),
            to_min: minute_of(to).unwrap(),
            zone_min,
        };
        let night = quiet("22:00", "08:00", 180);
        // 19:00 UTC is 22:00 there, 05:00 UTC is 08:00.
        for (now, free) in [
            (at(18, 59), at(18, 59)),
            (at(19, 0), at(29, 0)),
            (at(19, 0) + 1, at(29, 0)),
            (at(23, 30), at(29, 0)),
            (at(28, 59) + MINUTE_US - 1, at(29, 0)),
            (at(29, 0), at(29, 0)),
            (at(12, 0), at(12, 0)),
        ] {
            assert_eq!(night.free_at_us(now), free, "{now}");
        }
        let noon = quiet("12:00", "13:00", -60);
        assert_eq!(noon.free_at_us(at(13, 10)), at(14, 0));
        assert_eq!(noon.free_at_us(at(14, 0)), at(14, 0));
        // No hours at all.
        assert_eq!(quiet("10:00", "10:00", 0).free_at_us(at(10, 0)), at(10, 0));
    }

    // What belongs to which digest must not depend on when somebody looks.
    #[test]
    fn a_moment_belongs_to_the_next_digest() {
        let morning = Digest::Daily { at_min: minute_of("09:00").unwrap() };
        assert_eq!(morning.due_us(at(5, 59), 180), at(6, 0));
        assert_eq!(morning.due_us(at(6, 0), 180), at(30, 0));
        assert_eq!(morning.due_us(at(6, 0) - 1, 180), at(6, 0));
        assert_eq!(Digest::Hourly.due_us(at(6, 1), 180), at(7, 0));
        assert_eq!(Digest::Hourly.due_us(at(6, 1), 345), at(6, 15));
        assert_eq!(Digest::Hourly.due_us(at(7, 0), 0), at(8, 0));
    }

    #[test]
    fn minutes_are_read_in_one_way_only() {
        assert_eq!(minute_of("23:59"), Some(1_439));
        assert_eq!(minute_text(1_439), "23:59");
        for text in ["24:00", "1:00", "01:60", "0100", "+1:00", "01:0", ""] {
            assert_eq!(minute_of(text), None, "{text}");
        }
    }
}
