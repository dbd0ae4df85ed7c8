//! Times as exports spell them, to seconds of the register's clock.
//!
//! Shapes: `2018-05-17T17:57:00`, with a space for the T, without seconds, with a fraction, with a zone (`Z`,
//! `+03:00`), the day alone, `17.05.2018 17:57:00`. A zone is left out, not applied: the clock of the register has
//! none, and of the exports that print one nearly all print the digits of the receipt with it.
//! Unit: seconds since 1970-01-01 as if UTC, 0..=2^32-1.

use crate::Civil;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) seconds: u32,
    /// A zone stood behind it and was left out.
    pub(super) zoned: bool,
}

/// Takes exactly `len` digits off the front.
fn digits(text: &mut &str, len: usize) -> Option<u16> {
    let (head, rest) = text.split_at_checked(len)?;
    *text = rest;
    head.bytes().all(|byte| byte.is_ascii_digit()).then(|| head.parse().ok()).flatten()
}

fn skip(text: &mut &str, byte: char) -> Option<()> {
    *text = text.strip_prefix(byte)?;
    Some(())
}

pub(super) fn parse(text: &str) -> Option<Moment> {
    let mut rest = text.trim();
    let (year, month, day);
    if rest.as_bytes().get(2) == Some(&b'.') {
        day = digits(&mut rest, 2)?;
        skip(&mut rest, '.')?;
        month = digits(&mut rest, 2)?;
        skip(&mut rest, '.')?;
        year = digits(&mut rest, 4)?;
    } else {
        year = digits(&mut rest, 4)?;
        skip(&mut rest, '-')?;
        month = digits(&mut rest, 2)?;
        skip(&mut rest, '-')?;
        day = digits(&mut rest, 2)?;
    }
    let (mut hour, mut minute, mut second, mut zoned) = (0, 0, 0, false);
    if !rest.is_empty() {
        rest = rest.strip_prefix(['T', 't', ' '])?;
        hour = digits(&mut rest, 2)?;
        skip(&mut rest, ':')?;
        minute = digits(&mut rest, 2)?;
        if skip(&mut rest, ':').is_some() {
            second = digits(&mut rest, 2)?;
            if skip(&mut rest, '.').is_some() {
                let fraction = rest.trim_start_matches(|it: char| it.is_ascii_digit());
                if fraction.len() == rest.len() {
                    return None;
                }
                rest = fraction;
            }
        }
        zoned = is_zone(rest)?;
    }
    let byte = |number: u16| u8::try_from(number).ok();
    let civil = Civil {
        year,
        month: byte(month)?,
        day: byte(day)?,
        hour: byte(hour)?,
        minute: byte(minute)?,
        second: byte(second)?,
    };
    Some(Moment { seconds: civil.to_local()?.0, zoned })
}

/// `Z`, `+03:00`, `+0300`, `+03` or nothing.
fn is_zone(text: &str) -> Option<bool> {
    match text {
        "" => Some(false),
        "Z" | "z" => Some(true),
        _ => {
            let mut rest = text.strip_prefix(['+', '-'])?;
            digits(&mut rest, 2)?;
            if !rest.is_empty() {
                rest = rest.strip_prefix(':').unwrap_or(rest);
                digits(&mut rest, 2)?;
            }
            rest.is_empty().then_some(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every spelling of one minute is that minute.
    #[test]
    fn spellings_of_one_minute_are_one() {
        for (text, zoned) in [
            ("2018-05-17T17:57:00", false),
            ("2018-05-17 17:57", false),
            ("2018-05-17T17:57:00.000", false),
            ("2018-05-17T17:57:00Z", true),
            ("2018-05-17T17:57:00.5+03:00", true),
            ("2018-05-17T17:57-0300", true),
            ("2018-05-17T17:57:00+03", true),
            (" 17.05.2018 17:57 ", false),
        ] {
            assert_eq!(parse(text), Some(Moment { seconds: 1_526_579_820, zoned }), "{text}");
        }
    }

    /// The borders, and what is no time.
    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(parse("1970-01-01"), Some(Moment { seconds: 0, zoned: false }));
        assert_eq!(parse("2106-02-07T06:28:15"), Some(Moment { seconds: u32::MAX, zoned: false }));
        for text in [
            "",
            "2018",
            "2018-13-01",
            "2018-02-29",
            "2018-02-30T00:00",
            "2018-05-17T24:00",
            "2018-05-17T12:60",
            "2018-05-17T12",
            "2018-05-17T12:00:",
            "2018-05-17T12:00:00.",
            "2018-05-17X12:00",
            "2018-05-17T12:00 MSK",
            "1969-12-31",
            "2106-02-07T06:28:16",
            "17.05.18",
            "20180517T1757",
            "２018-05-17",
            "2018-05-17T12:00:00+",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
