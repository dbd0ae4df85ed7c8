//! When a fiscal drive (ФН) has to be replaced: the end of its keys or of its memory, whichever comes first. Pure, in whole
//! numbers.
//!
//! ```text
//! term     1213 and the day it was said on │ activation + days of the model, where it is known │ activation + 410, the shortest
//!          goods under excise and autonomy: not later than activation + 410
//! memory   the day on which documents so far + documents a day, by weekday over the last 28 days, reach what the drive takes
//! ```
//!
//! Unit: local days since 1970-01-01.
//!
//! Invariant: dates are those that were reckoned by hand, and those of a walk from day to day (test: `tests/watch/forecast.rs`).
//!
//! Source: order ЕД-7-20/662@, tags 1050-1053 and 1213; terms of 410, 470 and 1110 days by the makers' passports.

use ofd_codec::LocalSeconds;

use crate::registers::{Drive, USAGE_DAYS};

use super::thresholds::{Threshold, Values};

const DAY: u32 = 86_400;
/// The shortest term that keys have (13 months), and the longest that goods under excise and autonomy leave them.
const TERM_SHORTEST_D: u32 = 410;
/// A memory that lasts longer is no limit.
const DAYS_AHEAD_MAX: u32 = 36_500;
/// What was said of the keys longer ago may have been overtaken.
const FRESH_D: u32 = 60;
/// Days are counted in twelfths of documents: a weekday is seen one to four times in 28 days.
const PARTS: u64 = 12;

/// How much can be built on a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// A guess.
    Low,
    /// By less than there should be to go by.
    Medium,
    /// By what the drive said lately, or by four weeks of steady use.
    High,
}

impl Confidence {
    /// `low`, `medium` or `high`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What the end rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The drive has said that it has to be replaced now (1051), or that its memory is full (1052).
    Flag,
    /// The days that the drive has told (1213).
    Keys,
    /// The term of its model, which the host has told.
    Model,
    /// Goods under excise or autonomy leave it 410 days.
    Shortened,
    /// The shortest term: nobody has told of any.
    Shortest,
    /// Its memory, by the documents of the last weeks.
    Memory,
}

impl Basis {
    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Keys => "keys",
            Self::Model => "model",
            Self::Shortened => "shortened",
            Self::Shortest => "shortest",
            Self::Memory => "memory",
        }
    }

    /// In words, for whoever buys drives.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Flag => "ФН сам сообщил, что его пора менять",
            Self::Keys => "срок ключей по отчёту кассы (тег 1213)",
            Self::Model => "срок ключей по модели ФН",
            Self::Shortened => "срок сокращён до 410 дней: подакцизные товары или автономный режим",
            Self::Shortest => "срок ключей неизвестен, взят наименьший: 410 дней со дня активации",
            Self::Memory => "память заполнится раньше, чем кончится срок ключей",
        }
    }
}

/// A forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The day on which its keys end; `None`: nothing is known of them.
    pub term_on: Option<u32>,
    /// The day on which its memory is full; `None`: not in a hundred years, or nothing is known of its use.
    pub memory_on: Option<u32>,
    /// The earlier of both.
    pub ends_on: Option<u32>,
    /// Days until then; negative when it has passed.
    pub days_left: Option<i64>,
    /// Percent of its memory, by its newest number.
    pub percent: u32,
    /// Documents so far, by the newest number: those from before its time with us too.
    pub documents: u32,
    /// Days of the last [`USAGE_DAYS`] of which the use is known, today not among them.
    pub known_days: u32,
    /// Documents a day over these, rounded.
    pub documents_a_day: u32,
    /// On all but one day of twenty there were no more.
    pub p95_a_day: u32,
    /// Bytes a day, by the mean length of its documents.
    pub bytes_a_day: u64,
    /// Of the last weeks, documents of each weekday in twelfths, Monday first.
    pub profile: [u64; 7],
    /// How much can be built on `ends_on`.
    pub confidence: Confidence,
    /// What it rests on; `None` where there is no end.
    pub basis: Option<Basis>,
}

/// When the keys of a drive end, local seconds, and by what we know it.
pub(crate) fn term(drive: &Drive, values: &Values) -> Option<(u32, Basis)> {
    let activated = drive.usage.activated.map(|it| it.0);
    let after = |days: u32| activated.map(|it| it.saturating_add(days.saturating_mul(DAY)));
    let said = drive.key_days.and_then(|(days, at)| {
        Some((at?.0.saturating_add(u32::from(days).saturating_mul(DAY)), Basis::Keys))
    });
    let model = Some(values.of(Threshold::DriveTermD)).filter(|it| *it > 0);
    let model = model.and_then(|it| Some((after(it)?, Basis::Model)));
    let autonomous = drive.registration.is_some_and(|it| it.autonomous);
    let bound = (drive.traits.is_excise() || autonomous).then(|| after(TERM_SHORTEST_D)).flatten();
    let known = [said, model, bound.map(|it| (it, Basis::Shortened))].into_iter().flatten();
    // What the drive says comes before what others say of the same day.
    known.min_by_key(|it| *it).or_else(|| Some((after(TERM_SHORTEST_D)?, Basis::Shortest)))
}

/// The use of the days before today.
struct Weeks {
    known: u32,
    total: u64,
    p95: u32,
    /// Twelfths of documents by weekday, Monday first.
    profile: [u64; 7],
}

const fn weekday(day: u32) -> u32 {
    // 1970-01-01 was a Thursday.
    day.saturating_add(3) % 7
}

impl Weeks {
    fn of(drive: &Drive, today: u32) -> Self {
        let usage = &drive.usage;
        let len = u32::try_from(USAGE_DAYS).unwrap_or(0);
        let from = today.saturating_sub(len).max(usage.first_day);
        let days = (from..today).filter(|_| usage.first_day > 0);
        let counts = days.filter_map(|day| Some((weekday(day), usage.documents_on(day)?)));
        let (mut sums, mut seen) = ([0_u64; 7], [0_u64; 7]);
        let mut all = arrayvec::ArrayVec::<u16, USAGE_DAYS>::new();
        for (weekday, count) in counts {
            let at = usize::try_from(weekday).unwrap_or(0);
            sums.get_mut(at).into_iter().for_each(|it| *it = it.saturating_add(u64::from(count)));
            seen.get_mut(at).into_iter().for_each(|it| *it = it.saturating_add(1));
            // There are no more than the range has.
            let _ = all.try_push(count);
        }
        all.sort_unstable();
        let known = u64::try_from(all.len()).unwrap_or(0);
        let total: u64 = sums.iter().sum();
        let place = known.saturating_mul(95).div_ceil(100).saturating_sub(1);
        let p95 = all.get(usize::try_from(place).unwrap_or(0)).copied().map_or(0, u32::from);
        let parts = |sum: u64, days: u64| sum.saturating_mul(PARTS).checked_div(days).unwrap_or(0);
        let profile = core::array::from_fn(|at| match (sums.get(at), seen.get(at)) {
            // Of less than a week every day is like every other.
            (Some(sum), Some(days)) if known >= 7 => parts(*sum, *days),
            _ => parts(total, known),
        });
        Self { known: u32::try_from(known).unwrap_or(0), total, p95, profile }
    }

    /// The day on which so many more documents have been made.
    fn reach(&self, documents: u32, today: u32) -> Option<u32> {
        let week: u64 = self.profile.iter().sum();
        let Some(before) = u64::from(documents).saturating_mul(PARTS).checked_sub(1) else {
            return Some(today);
        };
        let weeks = before.checked_div(week)?;
        let ahead = u32::try_from(weeks.saturating_mul(7)).ok().filter(|it| *it <= DAYS_AHEAD_MAX)?;
        let mut rest = before.saturating_sub(weeks.saturating_mul(week)).saturating_add(1);
        let first = today.saturating_add(ahead);
        (first..first.saturating_add(7)).find(|day| {
            let parts = usize::try_from(weekday(*day)).ok().and_then(|at| self.profile.get(at));
            rest = rest.saturating_sub(parts.copied().unwrap_or(0));
            rest == 0
        })
    }

    fn confidence(&self) -> Confidence {
        let mean = self.total.checked_div(u64::from(self.known)).unwrap_or(0);
        let steady = u64::from(self.p95) <= mean.saturating_mul(3);
        match self.known {
            28.. if steady => Confidence::High,
            14.. => Confidence::Medium,
            _ => Confidence::Low,
        }
    }
}

/// The forecast of a drive on a day; `None` when its archive is closed.
#[must_use]
pub fn forecast(drive: &Drive, values: &Values, today: u32) -> Option<Forecast> {
    if drive.closed.is_some() {
        return None;
    }
    let documents = drive.last.map_or(0, |it| it.number);
    let capacity = values.of(Threshold::DriveDocuments);
    let weeks = Weeks::of(drive, today);
    let flag = |bit: u8| drive.flags & bit != 0;
    let term = term(drive, values);
    let term_on = term.map(|(at, _)| at / DAY);
    // Without a capacity there is no end of it.
    let rest = capacity.saturating_sub(documents);
    let memory_on = if capacity == 0 {
        None
    } else if flag(4) {
        Some(today)
    } else {
        weeks.reach(rest, today)
    };
    let told = drive.key_days.and_then(|it| it.1).map_or(0, |it| it.0 / DAY);
    let by_term = term.map(|(at, basis)| {
        let confidence = match basis {
            Basis::Keys if told.saturating_add(FRESH_D) < today => Confidence::Medium,
            Basis::Keys | Basis::Model => Confidence::High,
            Basis::Shortest => Confidence::Low,
            _ => Confidence::Medium,
        };
        (at / DAY, basis, confidence)
    });
    let by_memory = memory_on.map(|day| (day, Basis::Memory, weeks.confidence()));
    let by_flag = (flag(2) || flag(4)).then_some((today, Basis::Flag, Confidence::High));
    let ends = [by_flag, by_term, by_memory].into_iter().flatten().min_by_key(|it| it.0);
    let known = u64::from(weeks.known);
    let half = known / 2;
    let a_day = weeks.total.saturating_add(half).checked_div(known).unwrap_or(0);
    let bytes = weeks.total.saturating_mul(drive.usage.bytes);
    let bytes_a_day = bytes.checked_div(drive.documents.saturating_mul(known)).unwrap_or(0);
    let percent = u64::from(documents).saturating_mul(100).checked_div(u64::from(capacity)).unwrap_or(0);
    Some(Forecast {
        term_on,
        memory_on,
        ends_on: ends.map(|it| it.0),
        days_left: ends.map(|it| i64::from(it.0).saturating_sub(i64::from(today))),
        percent: u32::try_from(percent).unwrap_or(u32::MAX),
        documents,
        known_days: weeks.known,
        documents_a_day: u32::try_from(a_day).unwrap_or(u32::MAX),
        p95_a_day: weeks.p95,
        bytes_a_day,
        profile: weeks.profile,
        confidence: ends.map_or(Confidence::Low, |it| it.2),
        basis: ends.map(|it| it.1),
    })
}

/// The local day of a time, seconds UTC.
pub(crate) fn local_day(now: u32, zone_min: i16) -> u32 {
    let local = i64::from(now).saturating_add(i64::from(zone_min).saturating_mul(60));
    u32::try_from(local.div_euclid(i64::from(DAY))).unwrap_or(0)
}

/// As a date: `2027-03-14`.
#[must_use]
pub fn date(day: u32) -> String {
    let text = ofd_codec::Civil::from(LocalSeconds(day.saturating_mul(DAY))).to_string();
    text.get(..10).unwrap_or_default().to_owned()
}
