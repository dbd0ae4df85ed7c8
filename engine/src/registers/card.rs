//! The card of a register (ККТ): what it is, which drives it has had, when it worked. Pure.
//!
//! A register is told by its registration number (РНМ, 1037), which receipts carry as well, so that a card is there
//! from the first document on. When a register goes on with another drive, the one before is abandoned.
//!
//! Unit of a day: local days since 1970-01-01 by the clock of the register, where its 1012 lies between 2016-09-01 and
//! two days after the document came; otherwise the day it came, UTC. Money in kopecks.

use std::collections::BTreeMap;

use ofd_codec::{DocumentView, DriveNumber, LocalSeconds, tags};

use super::drive::Seen;
use super::event::{EventKind, Events};
use super::totals::Paid;

/// How many days a card remembers.
pub const DAYS_MAX: usize = 400;
/// 2016-09-01: before it no register was registered under this law.
const FIRST_DAY: u32 = 17_045;
const DAY_SECONDS: u32 = 86_400;

/// One day of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Documents of any form.
    pub documents: u32,
    /// Receipts, БСО and corrections.
    pub receipts: u32,
    /// By the formula of [`super::Totals::revenue`].
    pub revenue: i64,
}

/// A drive of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardDrive {
    /// Its number.
    pub drive: DriveNumber,
    /// 1012 of the first document that named the register.
    pub since: Option<LocalSeconds>,
}

/// A register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// 1037.
    pub rnm: String,
    /// 1018, of the newest document.
    pub inn: Option<String>,
    /// Drives in the order they came; the last is the one it works with.
    pub drives: Vec<CardDrive>,
    /// When its first document came, microseconds UTC.
    pub first_seen_us: i64,
    /// When its newest one came.
    pub last_seen_us: i64,
    /// Its newest days; a late document lands in its own.
    pub days: BTreeMap<u32, Day>,
}

impl Card {
    /// Takes a document that names this register.
    pub(super) fn take(&mut self, seen: &Seen<'_>, events: &mut Events<'_>) {
        let at = seen.view.header().date_time;
        if self.drives.is_empty() {
            self.first_seen_us = seen.received_at_us;
        }
        let known = self.drives.iter().any(|it| it.drive == seen.drive);
        if !known {
            if let Some(before) = self.drives.last() {
                events.push(EventKind::DriveReplaced { before: before.drive });
            }
            self.drives.push(CardDrive { drive: seen.drive, since: at });
        }
        self.last_seen_us = self.last_seen_us.max(seen.received_at_us);
        if self.drives.last().is_some_and(|it| it.drive == seen.drive) {
            self.inn = text(&seen.view, tags::USER_INN).or_else(|| self.inn.take());
        }
        let day = self.days.entry(day_of(at, seen.received_at_us)).or_default();
        day.documents = day.documents.saturating_add(1);
        if let Some(paid) = Paid::of(&seen.view) {
            day.receipts = day.receipts.saturating_add(1);
            day.revenue = day.revenue.saturating_add(paid.revenue());
        }
        while self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
    }

    /// Days on which it made receipts, and days between the first and the last of them on which it did not.
    #[must_use]
    pub fn worked_and_idle(&self) -> (u32, u32) {
        let mut worked = self.days.iter().filter(|(_, day)| day.receipts > 0).map(|(day, _)| *day);
        let count = worked.clone().fold(0_u32, |count, _| count.saturating_add(1));
        let Some(first) = worked.next() else { return (0, 0) };
        let last = worked.next_back().unwrap_or(first);
        let span = last.saturating_sub(first).saturating_add(1);
        (count, span.saturating_sub(count))
    }
}

/// The day a document belongs to.
#[must_use]
pub fn day_of(at: Option<LocalSeconds>, received_at_us: i64) -> u32 {
    let received = u32::try_from(received_at_us.div_euclid(86_400_000_000)).unwrap_or(0);
    let own = at.map(|at| at.0.div_euclid(DAY_SECONDS));
    own.filter(|day| (FIRST_DAY..=received.saturating_add(2)).contains(day)).unwrap_or(received)
}

/// Trimmed text of a requisite; `None` when it is missing or empty.
pub(super) fn text(view: &DocumentView<'_>, tag: ofd_codec::Tag) -> Option<String> {
    let text = view.get(tag)?.text().trimmed().to_cow().into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_a_wild_clock_belongs_to_the_day_it_came() {
        let came = 20_600 * 86_400_000_000;
        let on = |day: u32| Some(LocalSeconds(day.saturating_mul(DAY_SECONDS).saturating_add(7)));
        assert_eq!(day_of(on(20_500), came), 20_500, "months late");
        assert_eq!(day_of(on(20_602), came), 20_602);
        assert_eq!(day_of(on(20_603), came), 20_600, "a clock that is years ahead");
        assert_eq!(day_of(on(17_044), came), 20_600);
        assert_eq!((day_of(on(17_045), came), day_of(None, came)), (17_045, 20_600));
    }
}
