//! Figures by time: sums of receipts by the minute, hour or day in which they were made. Pure.
//!
//! A receipt counts in the time that its own clock says (1012), however late it comes; one whose clock is wild counts when it
//! came, UTC, by the rule of [`day_of`]. Revenue is that of [`Totals::revenue`].
//!
//! Unit: local seconds since 1970-01-01 of the begin of a row; money in kopecks.

use std::collections::BTreeMap;

use ofd_codec::{DocumentView, LocalSeconds};

use super::card::day_of;
use super::totals::{Paid, Totals};

/// How long a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// 60 seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
    /// 86,400 seconds.
    Day,
}

impl Grain {
    /// Seconds of a row.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// The begin of the row that a time lies in.
    #[must_use]
    pub const fn begin_of(self, time: LocalSeconds) -> LocalSeconds {
        match time.0.checked_rem(self.seconds()) {
            Some(behind) => LocalSeconds(time.0.saturating_sub(behind)),
            None => time,
        }
    }
}

/// Sums of receipts, БСО and corrections by the time they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    grain: Grain,
    since: LocalSeconds,
    rows: BTreeMap<LocalSeconds, Totals>,
}

impl Figures {
    /// None.
    #[must_use]
    pub fn new(grain: Grain) -> Self {
        Self::since_of(grain, LocalSeconds(0))
    }

    /// None, where what was made earlier is not told.
    pub(super) const fn since_of(grain: Grain, since: LocalSeconds) -> Self {
        Self { grain, since, rows: BTreeMap::new() }
    }

    /// Rows that begin earlier are not among these, whatever was sold then: they are kept in a coarser grain, or in the
    /// archive only.
    #[must_use]
    pub const fn since(&self) -> LocalSeconds {
        self.since
    }

    /// How long a row is.
    #[must_use]
    pub const fn grain(&self) -> Grain {
        self.grain
    }

    /// Adds the sums of a time to the row that begins then.
    pub(super) fn add(&mut self, begin: LocalSeconds, more: &Totals) {
        self.rows.entry(begin).or_default().add_all(more);
    }

    /// When a document was made, by its 1012.
    #[must_use]
    pub fn time_of(at: Option<LocalSeconds>, received_at_us: i64) -> LocalSeconds {
        let day = day_of(at, received_at_us);
        let received = u32::try_from(received_at_us.div_euclid(1_000_000)).unwrap_or(0);
        at.filter(|at| at.0.div_euclid(Grain::Day.seconds()) == day).unwrap_or(LocalSeconds(received))
    }

    /// Adds a document, if there is anything to add.
    pub fn take(&mut self, view: &DocumentView<'_>, received_at_us: i64) {
        let Some(paid) = Paid::of(view) else { return };
        let begin = self.grain.begin_of(Self::time_of(view.header().date_time, received_at_us));
        self.rows.entry(begin).or_default().add(&paid);
    }

    /// Rows in which there were receipts, in ascending order of their begin.
    pub fn rows(&self) -> impl Iterator<Item = (LocalSeconds, &Totals)> {
        self.rows.iter().map(|(begin, totals)| (*begin, totals))
    }

    /// Revenue of all rows, kopecks.
    #[must_use]
    pub fn revenue(&self) -> i64 {
        self.rows.values().fold(0, |sum, totals| sum.saturating_add(totals.revenue()))
    }
}
