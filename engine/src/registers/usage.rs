//! How a drive is used: when its keys began, and how many documents it makes a day. Pure.
//!
//! Shape: 28 days of 16 bits each, up to the newest on which it made a document; packed, a byte for most of them.
//!
//! Unit: local days since 1970-01-01 by the register's clock, as `card.rs` has them.

use ofd_codec::LocalSeconds;

use super::card::day_of;
use super::drive::Seen;
use super::pack::{Packer, Unpacker};
use super::registration::Registration;

/// Days that are looked back at.
pub const USAGE_DAYS: usize = 28;
const DRIVE_REPLACED: u32 = 1;

/// The use of a drive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// 1012 of the registration that has activated it; `None`: it did not come to us.
    pub activated: Option<LocalSeconds>,
    /// The first day on which it made a document that came to us; 0 = none yet.
    pub first_day: u32,
    /// The newest.
    pub newest_day: u32,
    /// Bytes of all documents.
    pub bytes: u64,
    /// Documents of days: the newest, the one before …
    pub days: [u16; USAGE_DAYS],
}

impl Usage {
    /// The drive is registered.
    pub(super) fn register(&mut self, registration: &Registration) {
        if registration.form == 1 || registration.reasons & DRIVE_REPLACED != 0 {
            self.activated = registration.at;
        }
    }

    /// Takes a document that counts.
    pub(super) fn take(&mut self, seen: &Seen<'_>) {
        self.bytes = self.bytes.saturating_add(u64::try_from(seen.view.bytes().len()).unwrap_or(u64::MAX));
        let day = day_of(seen.header.date_time, seen.received_at_us);
        if self.first_day == 0 {
            (self.first_day, self.newest_day) = (day, day);
        }
        self.first_day = self.first_day.min(day);
        if let Some(later) = day.checked_sub(self.newest_day).filter(|later| *later > 0) {
            let later = usize::try_from(later).unwrap_or(usize::MAX).min(USAGE_DAYS);
            self.days.rotate_right(later);
            self.days.iter_mut().take(later).for_each(|it| *it = 0);
            self.newest_day = day;
        }
        let back = usize::try_from(self.newest_day.saturating_sub(day)).unwrap_or(usize::MAX);
        self.days.get_mut(back).into_iter().for_each(|it| *it = it.saturating_add(1));
    }

    /// Documents of a day; `None` for one that is not looked back at.
    #[must_use]
    pub fn documents_on(&self, day: u32) -> Option<u16> {
        match self.newest_day.checked_sub(day) {
            Some(back) => self.days.get(usize::try_from(back).ok()?).copied(),
            None => Some(0),
        }
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { activated, first_day, newest_day, bytes, days } = self;
        to.optional(activated.map(|it| it.0));
        to.number(*first_day);
        to.number(newest_day.wrapping_sub(*first_day));
        to.number(*bytes);
        // Days before the first have none.
        let len = days.iter().rposition(|it| *it > 0).map_or(0, |at| at.saturating_add(1));
        to.count(len);
        days.iter().take(len).for_each(|it| to.number(*it));
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let activated = from.optional()?.map(LocalSeconds);
        let first_day = from.small()?;
        let newest_day = first_day.wrapping_add(from.small()?);
        let bytes = from.number()?;
        let mut days = [0; USAGE_DAYS];
        let len = from.count()?.min(USAGE_DAYS);
        for slot in days.iter_mut().take(len) {
            *slot = u16::try_from(from.number()?).ok()?;
        }
        Some(Self { activated, first_day, newest_day, bytes, days })
    }
}
