//! The day under which a document lies: `date=YYYY-MM-DD`.
//!
//! The local date of the document (1012) when it is one a till can have: from 2016-09-01, the first day of
//! transfer to operators, to two days after the date received. Else the date received, in UTC: a till with a
//! wrong year must not open a folder in 2099. Source: rule E2 of the checks of a document.

use std::fmt;

const DAY_S: i64 = 86_400;
const DAY_US: i64 = 86_400_000_000;
/// 2016-09-01 in days since 1970.
pub const FIRST_DAY: i64 = 17_045;
/// Days a clock of a till may be ahead of the date received.
pub const AHEAD_DAYS_MAX: i64 = 2;

/// Days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a document. `local_seconds` is its 1012; `received_at_us` is UTC.
    pub fn of(local_seconds: Option<i64>, received_at_us: i64) -> Self {
        let received = received_at_us.div_euclid(DAY_US);
        let local = local_seconds.map(|at| at.div_euclid(DAY_S));
        let plausible =
            local.filter(|day| (FIRST_DAY..=received.saturating_add(AHEAD_DAYS_MAX)).contains(day));
        Self(i32::try_from(plausible.unwrap_or(received)).unwrap_or_default())
    }
}

impl Day {
    /// The day of a moment, in UTC.
    pub fn of_utc(unix_us: i64) -> Self {
        Self(i32::try_from(unix_us.div_euclid(DAY_US)).unwrap_or_default())
    }

    /// The first day of its month and of the next one.
    #[must_use]
    pub fn month(self) -> (Self, Self) {
        use jiff::ToSpan;
        let begin = jiff::civil::date(1970, 1, 1);
        let first = begin.saturating_add(i64::from(self.0).days()).first_of_month();
        let day = |date: jiff::civil::Date| Self(begin.until(date).map_or(i32::MAX, |span| span.get_days()));
        (day(first), day(first.saturating_add(1.months())))
    }

    /// The day so many years later; of 29 February the 28th where there is none.
    #[must_use]
    pub fn plus_years(self, years: i16) -> Self {
        use jiff::ToSpan;
        let begin = jiff::civil::date(1970, 1, 1);
        let later = begin.saturating_add(i64::from(self.0).days()).saturating_add(years.years());
        let days = begin.until(later).map_or(i32::MAX, |span| span.get_days());
        Self(days)
    }
}

impl std::str::FromStr for Day {
    type Err = String;

    /// From `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no date, YYYY-MM-DD");
        let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
        let span = jiff::civil::date(1970, 1, 1).until(date).map_err(|_| wrong())?;
        let day = Self(span.get_days());
        // One way of writing: what else parses is no date of ours.
        if day.to_string() == text { Ok(day) } else { Err(wrong()) }
    }
}

impl serde::Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use jiff::ToSpan;
        let day = jiff::civil::date(1970, 1, 1).saturating_add(i64::from(self.0).days());
        write!(f, "{day}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> i64 = |day| day * DAY_US;

    fn check(local_day: Option<i64>, received_day: i64, expected: i64) {
        let day = Day::of(local_day.map(|day| day * DAY_S + DAY_S - 1), AT(received_day));
        assert_eq!(i64::from(day.0), expected, "{local_day:?} received {received_day}");
    }

    #[test]
    fn the_local_date_counts_while_a_till_can_have_it() {
        check(Some(20_000), 20_000, 20_000);
        check(Some(20_002), 20_000, 20_002);
        check(Some(20_003), 20_000, 20_000);
        check(Some(FIRST_DAY), 20_000, FIRST_DAY);
        check(Some(FIRST_DAY - 1), 20_000, 20_000);
        check(None, 20_000, 20_000);
        check(Some(49_000), 20_000, 20_000);
    }

    #[test]
    fn a_day_comes_back_from_its_text_and_years_later_is_the_same_date() {
        for day in (-1_000..40_000).step_by(7) {
            assert_eq!(Day(day).to_string().parse(), Ok(Day(day)));
        }
        for wrong in ["", "2024", "2024-2-1", "2024-02-30", "2024-02-01T00:00", "x"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
        let later = |text: &str, years| text.parse::<Day>().map(|day| day.plus_years(years).to_string());
        assert_eq!(later("2021-03-01", 5), Ok("2026-03-01".to_owned()));
        assert_eq!(later("2024-02-29", 5), Ok("2029-02-28".to_owned()));
        assert_eq!(later("2024-02-29", 4), Ok("2028-02-29".to_owned()));
    }

    #[test]
    fn a_day_prints_as_folders_are_named() {
        assert_eq!(Day(0).to_string(), "1970-01-01");
        assert_eq!(Day(17_045).to_string(), "2016-09-01");
        assert_eq!(Day(19_782).to_string(), "2024-02-29");
    }
}
