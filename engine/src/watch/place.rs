//! Where a register stands and when it works: what the host tells of it (`register.place`). Pure.
//!
//! The clock of silence runs by working hours and season: 24 hours are one working day (the same time of the next day on which
//! the outlet is open), what is left of a threshold are hours in which it is open. So a shop that is closed at
//! the week-end is silent for a day on Monday, and one with a threshold of four hours that closes at eight is not silent at midnight.
//!
//! Unit: seconds UTC; minutes of the local day; days of the year. Without a zone the time of Moscow (UTC+3).

use ofd_codec::{Civil, LocalSeconds};

const DAY: u32 = 86_400;
/// Longest name of an outlet, bytes.
pub const OUTLET_LEN_MAX: usize = 64;
/// Minutes east of UTC where nobody says.
pub(crate) const ZONE_DEFAULT_MIN: i16 = 180;
/// So many days ahead are looked at: a register that is open on none of them is never silent.
const DAYS_AHEAD_MAX: u32 = 4_000;

/// When an outlet is open: for each day of the week, Monday first, from and to minute of the day; `None`: closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours(pub [Option<(u16, u16)>; 7]);

impl Hours {
    /// Hours of one day: `09:00-21:00`, up to `24:00`; `None` for any other text.
    #[must_use]
    pub fn parse_day(text: &str) -> Option<(u16, u16)> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let two = |it: &str| if it.len() == 2 { it.parse::<u16>().ok() } else { None };
            let (hour, minute) = (two(hour)?, two(minute)?);
            let all = hour.checked_mul(60)?.checked_add(minute)?;
            (minute < 60 && all <= 1_440).then_some(all)
        };
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        (from < to).then_some((from, to))
    }

    pub(crate) fn day_text((from, to): (u16, u16)) -> String {
        let part = |it: u16| format!("{:02}:{:02}", it / 60, it % 60);
        format!("{}-{}", part(from), part(to))
    }
}

/// Part of the year in which a register works: first and last day, `(month, day)`; over New Year where the last comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Season {
    /// First day.
    pub from: (u8, u8),
    /// Last day.
    pub to: (u8, u8),
}

impl Season {
    fn has(self, day: u32) -> bool {
        let civil = Civil::from(LocalSeconds(day.saturating_mul(DAY)));
        let at = (civil.month, civil.day);
        if self.from <= self.to {
            (self.from..=self.to).contains(&at)
        } else {
            at >= self.from || at <= self.to
        }
    }
}

/// Where a register stands. Empty: nobody has said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Organisation whose thresholds it inherits; `None`: the one that its documents name. Who sees the register is told by its
    /// documents alone.
    pub inn: Option<String>,
    /// The host's own id of the outlet (торговая точка), at most [`OUTLET_LEN_MAX`] bytes.
    pub outlet: Option<String>,
    /// When documents are awaited.
    pub schedule: Schedule,
}

/// When documents of a register are awaited. Empty: always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Minutes east of UTC.
    pub zone_min: Option<i16>,
    /// When it is open; `None`: always.
    pub hours: Option<Hours>,
    /// When in the year; `None`: always.
    pub season: Option<Season>,
    /// The contract begins, seconds UTC; 0: nobody says.
    pub service_from: u32,
    /// It ends; 0: nobody says.
    pub service_to: u32,
}

impl Schedule {
    /// Minutes east of UTC.
    #[must_use]
    pub fn zone(&self) -> i16 {
        self.zone_min.unwrap_or(ZONE_DEFAULT_MIN)
    }

    /// From and to second of a local day on which it is open.
    fn open_on(&self, day: u32) -> Option<(u32, u32)> {
        if !self.season.is_none_or(|it| it.has(day)) {
            return None;
        }
        let Some(Hours(week)) = self.hours else { return Some((0, DAY)) };
        // 1970-01-01 was a Thursday.
        let weekday = day.saturating_add(3) % 7;
        let (from, to) = week.get(usize::try_from(weekday).ok()?).copied().flatten()?;
        let second = |minute: u16| u32::from(minute).saturating_mul(60);
        Some((second(from), second(to)))
    }

    /// The moment until which a document is awaited after one that came at `heard`, `seconds` of the clock of silence
    /// later; `None`: none is awaited.
    #[must_use]
    pub fn awaited_until(&self, heard: u32, seconds: u32) -> Option<u32> {
        let heard = heard.max(self.service_from);
        let until = self.worked(heard, seconds)?;
        (self.service_to == 0 || until < self.service_to).then_some(until)
    }

    fn worked(&self, from: u32, seconds: u32) -> Option<u32> {
        if self.hours.is_none() && self.season.is_none() {
            return Some(from.saturating_add(seconds));
        }
        let zone = i64::from(self.zone()).saturating_mul(60);
        let local = u32::try_from(i64::from(from).saturating_add(zone)).ok()?;
        let (mut day, mut time) = (local / DAY, local % DAY);
        let last = day.saturating_add(DAYS_AHEAD_MAX);
        let next = |day: u32| (day.saturating_add(1)..=last).find_map(|day| Some((day, self.open_on(day)?)));
        // The clock begins when it is open.
        let mut open = match self.open_on(day).filter(|(_, to)| time < *to) {
            Some(open) => {
                time = time.max(open.0);
                open
            }
            None => {
                let (later, open) = next(day)?;
                (day, time) = (later, open.0);
                open
            }
        };
        for _ in 0..seconds / DAY {
            (day, open) = next(day)?;
        }
        time = time.clamp(open.0, open.1);
        let mut rest = seconds % DAY;
        loop {
            let left = open.1.saturating_sub(time);
            if rest <= left {
                break;
            }
            rest = rest.saturating_sub(left);
            (day, open) = next(day)?;
            time = open.0;
        }
        let until = i64::from(day).saturating_mul(i64::from(DAY)).saturating_add(i64::from(time));
        u32::try_from(until.saturating_add(i64::from(rest)).saturating_sub(zone)).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a failed test may panic")]
    use super::*;

    fn at(year: u16, month: u8, day: u8, hour: u8, minute: u8) -> u32 {
        // Local time of Moscow.
        let civil = Civil { year, month, day, hour, minute, second: 0 };
        civil.to_local().unwrap().0 - 3 * 3_600
    }

    fn shop() -> Schedule {
        let open = Hours::parse_day("09:00-20:00");
        let hours = Hours([open, open, open, open, open, None, None]);
        Schedule { hours: Some(hours), ..Schedule::default() }
    }

    // Who hears of silence on Sunday from a shop that is closed on Sundays listens no more on Mondays.
    #[test]
    fn silence_is_counted_while_the_shop_is_open() {
        const HOUR: u32 = 3_600;
        // 2026-11-27 is a Friday.
        for (heard, hours, until) in [
            (at(2026, 11, 25, 12, 0), 24, at(2026, 11, 26, 12, 0)),
            (at(2026, 11, 27, 19, 55), 24, at(2026, 11, 30, 19, 55)),
            (at(2026, 11, 27, 19, 55), 4, at(2026, 11, 30, 12, 55)),
            (at(2026, 11, 27, 19, 55), 72, at(2026, 12, 2, 19, 55)),
            (at(2026, 11, 26, 23, 0), 1, at(2026, 11, 27, 10, 0)),
            (at(2026, 11, 28, 12, 0), 24, at(2026, 12, 1, 9, 0)),
            (at(2026, 11, 25, 12, 0), 35, at(2026, 11, 27, 12, 0)),
            (at(2026, 11, 25, 9, 0), 11, at(2026, 11, 25, 20, 0)),
        ] {
            assert_eq!(shop().awaited_until(heard, hours * HOUR), Some(until), "{heard} {hours}");
        }
        assert_eq!(Schedule::default().awaited_until(7, 100), Some(107));
        assert_eq!(Schedule { hours: Some(Hours([None; 7])), ..shop() }.awaited_until(7, 100), None);
    }

    // A kiosk on the beach says nothing all winter.
    #[test]
    fn nothing_is_awaited_out_of_season() {
        let beach = Schedule { season: Some(Season { from: (5, 15), to: (9, 30) }), ..Schedule::default() };
        let day = DAY;
        assert_eq!(beach.awaited_until(at(2026, 9, 30, 12, 0), day), Some(at(2027, 5, 15, 12, 0)));
        assert_eq!(beach.awaited_until(at(2026, 11, 1, 12, 0), day), Some(at(2027, 5, 16, 0, 0)));
        let ski = Schedule { season: Some(Season { from: (12, 1), to: (3, 31) }), ..Schedule::default() };
        assert_eq!(ski.awaited_until(at(2026, 12, 31, 12, 0), day), Some(at(2027, 1, 1, 12, 0)));
        assert_eq!(ski.awaited_until(at(2027, 3, 31, 12, 0), day), Some(at(2027, 12, 1, 12, 0)));
        let ended = Schedule { service_to: at(2026, 11, 2, 0, 0), ..Schedule::default() };
        assert_eq!(ended.awaited_until(at(2026, 11, 1, 12, 0), day), None, "the contract ends before");
        let begins = Schedule { service_from: at(2026, 11, 9, 12, 0), ..Schedule::default() };
        assert_eq!(begins.awaited_until(at(2026, 11, 1, 12, 0), day), Some(at(2026, 11, 10, 12, 0)));
    }

    #[test]
    fn hours_come_back_from_their_text() {
        for text in ["00:00-24:00", "09:00-21:30"] {
            assert_eq!(Hours::day_text(Hours::parse_day(text).unwrap()), text);
        }
        for text in ["", "9-21", "21:00-09:00", "09:60-10:00", "09:00-24:01", "9:00-21:00", "09:00-09:00"] {
            assert_eq!(Hours::parse_day(text), None, "{text}");
        }
    }
}
