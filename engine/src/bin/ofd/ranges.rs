//! Ranges of numbers and times as options say them: A..B, A.., ..B or one value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A range with one end or both, or one value.
pub(crate) fn range<T>(text: &str) -> Result<RangeInclusive<T>, String>
where
    T: FromStr + Copy + Bounded,
    T::Err: Display,
{
    let number = |text: &str| text.parse::<T>().map_err(|it| format!("{text:?}: {it}"));
    match text.split_once("..") {
        None => number(text).map(|it| it..=it),
        Some((from, to)) => {
            let from = if from.is_empty() { T::LEAST } else { number(from)? };
            Ok(from..=if to.is_empty() { T::MOST } else { number(to)? })
        }
    }
}

/// A number with a least and a greatest value.
pub(crate) trait Bounded {
    const LEAST: Self;
    const MOST: Self;
}

impl Bounded for u32 {
    const LEAST: Self = Self::MIN;
    const MOST: Self = Self::MAX;
}

impl Bounded for i64 {
    const LEAST: Self = Self::MIN;
    const MOST: Self = Self::MAX;
}

/// Seconds of a moment; a day begins with its first one.
pub(crate) fn begin(text: &str) -> Result<i64, String> {
    moment(text, "T00:00:00")
}

/// And ends with its last.
pub(crate) fn end(text: &str) -> Result<i64, String> {
    moment(text, "T23:59:59")
}

/// Seconds from a moment up to and with another one, whose days are meant whole.
pub(crate) fn times(text: &str) -> Result<RangeInclusive<i64>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let from = if from.is_empty() { i64::MIN } else { begin(from)? };
    Ok(from..=if to.is_empty() { i64::MAX } else { end(to)? })
}

/// Seconds of a moment; of a day with this time.
fn moment(text: &str, time: &str) -> Result<i64, String> {
    let wrong = |it| format!("{text:?}: {it}");
    let whole = if text.len() == 10 { format!("{text}{time}") } else { text.to_owned() };
    let at: jiff::civil::DateTime = whole.parse().map_err(wrong)?;
    let utc = at.to_zoned(jiff::tz::TimeZone::UTC).map_err(wrong)?;
    Ok(utc.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    // A range that is read wrongly shows a wrong list and no error.
    #[test]
    fn ranges_and_times_are_what_they_say() {
        assert_eq!(range::<u32>("3..7"), Ok(3..=7));
        assert_eq!(range::<u32>("3"), Ok(3..=3));
        assert_eq!(range::<u32>("3.."), Ok(3..=u32::MAX));
        assert_eq!(range::<i64>("..7"), Ok(i64::MIN..=7));
        assert!(range::<u32>("x..7").is_err() && range::<u32>("-1").is_err());
        assert_eq!(begin("1970-01-02"), Ok(86_400));
        assert_eq!(end("1970-01-02"), Ok(2 * 86_400 - 1));
        assert_eq!(end("1970-01-01T00:01:00"), Ok(60));
        assert_eq!(times("1970-01-02"), Ok(86_400..=2 * 86_400 - 1));
        assert_eq!(times("1970-01-01T00:01:00..1970-01-01"), Ok(60..=86_399));
        assert_eq!(
            (times("1970-01-02.."), times("..1970-01-01")),
            (Ok(86_400..=i64::MAX), Ok(i64::MIN..=86_399))
        );
        assert!(times("tomorrow").is_err());
        assert!(begin("1970-13-01").is_err() && begin("yesterday").is_err());
    }
}
