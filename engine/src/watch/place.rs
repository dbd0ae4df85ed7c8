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

#[cfg(test)]
std::thread_local! {
    /// How many stretches of time were looked at: what a test of what it costs counts.
    static STEPS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

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

    /// The last day of the stretch of it that this day is in; an error: it is in none, and the day before the next one begins.
    fn stretch(self, day: u32) -> Result<u32, u32> {
        let year = Civil::from(LocalSeconds(day.saturating_mul(DAY))).year;
        // The first of March where there is no 29th of February.
        let date = |year: u16, (month, day): (u8, u8)| {
            let civil = |month, day| Civil { year, month, day, hour: 0, minute: 0, second: 0 }.to_local();
            let next = || civil(month.saturating_add(1), 1);
            civil(month, day).or_else(next).map_or(u32::MAX, |it| it.0 / DAY)
        };
        let first = |at: (u8, u8), from: u32| {
            let years = [year, year.saturating_add(1)];
            years.into_iter().map(|year| date(year, at)).find(|it| *it >= from).unwrap_or(u32::MAX)
        };
        if self.has(day) {
            // One whose last day is not there this year ends before it.
            let end = first(self.to, day);
            Ok(if self.has(end) { end } else { end.saturating_sub(1) })
        } else {
            Err(first(self.from, day).saturating_sub(1).max(day))
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
        self.hours_on(day)
    }

    /// The same, in season.
    fn hours_on(&self, day: u32) -> Option<(u32, u32)> {
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

    /// The first day behind `day`, up to `last`, with which the days on which it is open weigh `goal` together, and what those before
    /// it weigh. Whole weeks and what lies between seasons are passed over at once.
    fn reach(
        &self,
        day: u32,
        last: u32,
        goal: u32,
        weight: impl Fn((u32, u32)) -> u32,
    ) -> Option<(u32, u32)> {
        let (mut day, mut sum) = (day, 0_u32);
        let of = |day: u32| self.hours_on(day).map_or(0, &weight);
        let week = (0..7).map(of).fold(0, u32::saturating_add);
        if week == 0 {
            return None;
        }
        while day < last {
            #[cfg(test)]
            STEPS.set(STEPS.get().wrapping_add(1));
            let next = day.saturating_add(1);
            let end = match self.season {
                None => last,
                Some(season) => match season.stretch(next) {
                    Ok(end) => end.min(last),
                    Err(before) => {
                        day = before;
                        continue;
                    }
                },
            };
            // Weeks that lie within the season and do not reach the goal.
            let weeks = (end.saturating_sub(day) / 7).min(goal.saturating_sub(sum).saturating_sub(1) / week);
            day = day.saturating_add(weeks.saturating_mul(7));
            sum = sum.saturating_add(weeks.saturating_mul(week));
            for next in day.saturating_add(1)..=end.min(day.saturating_add(7)) {
                let with = sum.saturating_add(of(next));
                if with >= goal {
                    return Some((next, sum));
                }
                (day, sum) = (next, with);
            }
        }
        None
    }

    fn worked(&self, from: u32, seconds: u32) -> Option<u32> {
        if self.hours.is_none() && self.season.is_none() {
            return Some(from.saturating_add(seconds));
        }
        let zone = i64::from(self.zone()).saturating_mul(60);
        let local = u32::try_from(i64::from(from).saturating_add(zone)).ok()?;
        let (mut day, mut time) = (local / DAY, local % DAY);
        let last = day.saturating_add(DAYS_AHEAD_MAX);
        let as_day = |_: (u32, u32)| 1;
        // The clock begins when it is open.
        let mut open = match self.open_on(day).filter(|(_, to)| time < *to) {
            Some(open) => {
                time = time.max(open.0);
                open
            }
            None => {
                let (later, _) = self.reach(day, last, 1, as_day)?;
                let open = self.open_on(later)?;
                (day, time) = (later, open.0);
                open
            }
        };
        if let days @ 1.. = seconds / DAY {
            (day, _) = self.reach(day, last, days, as_day)?;
            open = self.open_on(day)?;
        }
        time = time.clamp(open.0, open.1);
        let mut rest = seconds % DAY;
        let left = open.1.saturating_sub(time);
        if rest > left {
            rest = rest.saturating_sub(left);
            let (later, before) = self.reach(day, last, rest, |(from, to)| to.saturating_sub(from))?;
            rest = rest.saturating_sub(before);
            (day, time) = (later, self.open_on(later)?.0);
        }
        let until = i64::from(day).saturating_mul(i64::from(DAY)).saturating_add(i64::from(time));
        u32::try_from(until.saturating_add(i64::from(rest)).saturating_sub(zone)).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a failed test may panic"
    )]
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

    /// Day by day, as it is told.
    fn naive(schedule: &Schedule, from: u32, seconds: u32) -> Option<u32> {
        let zone = i64::from(schedule.zone()) * 60;
        let local = u32::try_from(i64::from(from) + zone).unwrap();
        let (mut day, mut time) = (local / DAY, local % DAY);
        let last = day + DAYS_AHEAD_MAX;
        let next = |day: u32| (day + 1..=last).find_map(|day| Some((day, schedule.open_on(day)?)));
        let mut open = match schedule.open_on(day).filter(|(_, to)| time < *to) {
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
        while rest > open.1 - time {
            rest -= open.1 - time;
            (day, open) = next(day)?;
            time = open.0;
        }
        u32::try_from(i64::from(day) * i64::from(DAY) + i64::from(time + rest) - zone).ok()
    }

    // It is asked with every document: years are not walked day by day, and come to the same.
    #[test]
    fn weeks_and_seasons_are_passed_over_at_once() {
        let mut state = 7_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut reached = 0;
        for _ in 0..3_000 {
            let mut week = [None; 7];
            for day in &mut week {
                let (one, other) = (below(1_441) as u16, below(1_441) as u16);
                let (from, to) = (one.min(other), one.max(other));
                *day = (below(3) > 0 && from < to).then_some((from, to));
            }
            let hours = (below(4) > 0).then_some(Hours(week));
            let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut date = || {
                let month = below(12);
                (month as u8 + 1, 1 + below(lengths[month as usize]) as u8)
            };
            let season = Season { from: date(), to: date() };
            let season = (below(2) > 0).then_some(season);
            let zone_min = (below(2) > 0).then(|| below(14) as i16 * 60);
            let schedule = Schedule { zone_min, hours, season, ..Schedule::default() };
            let from = at(2023, 1, 1, 0, 0) + below(4 * 366 * u64::from(DAY)) as u32;
            let seconds = [below(u64::from(DAY)), below(400) * u64::from(DAY) + below(u64::from(DAY))];
            let seconds = seconds[below(2) as usize] as u32;
            if hours.is_none() && season.is_none() {
                continue;
            }
            STEPS.set(0);
            let until = schedule.worked(from, seconds);
            assert!(STEPS.get() <= 700, "{} steps: {schedule:?}", STEPS.get());
            assert_eq!(until, naive(&schedule, from, seconds), "{schedule:?} {from} {seconds}");
            reached += u32::from(until.is_some());
        }
        assert!(reached > 1_000, "{reached}");
        STEPS.set(0);
        assert_eq!(shop().worked(at(2026, 11, 25, 12, 0), 400 * DAY), Some(at(2028, 6, 7, 12, 0)));
        assert!(STEPS.get() <= 3, "{}", STEPS.get());
        let never = Schedule { hours: Some(Hours([None; 7])), ..shop() };
        assert_eq!((never.worked(7, DAY), STEPS.get() <= 3), (None, true));
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
