//! The card of a register (ККТ): what it is, which drives it has had, when it worked. Pure.
//!
//! A register is told by its registration number (РНМ, 1037), which receipts carry as well, so that a card is there
//! from the first document on. When a register goes on with another drive, the one before is abandoned; an older one that an
//! archive brings in later takes its place among those before.
//!
//! Shape in memory: 136 bytes, and a byte or two for each day of the newest thirty on which it sold (watch/risk.rs); a register
//! with more drives than one has 8 more for each. What it
//! was registered with, its shifts and its days are read from its documents when somebody asks.
//!
//! Unit of a day: local days since 1970-01-01 by the clock of the register, where its 1012 lies between 2016-09-01 and
//! two days after the document came, of what a card itself counts one day; otherwise the day it came, UTC. Money in kopecks.

use std::collections::BTreeMap;

use ofd_codec::{DocumentView, DriveNumber, LocalSeconds, Value};
use ofd_storage::envelope::Realm;

use super::drive::Seen;
use super::event::{EventKind, Events};
use super::judged::KeptLight;
use super::pack::{Packer, Unpacker};
use super::takings::INN_LEN;
use super::totals::Paid;
use crate::watch::risk::CardWatch;

/// How many days, up to its newest, a card remembers whether its register worked.
pub const DAYS_MAX: u32 = 128;
/// Longest registration number, bytes: the length that the order gives 1037.
pub const RNM_LEN: usize = 20;
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

/// What the user of a register takes with it on the day that it is where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// That day; a later one where its clock runs ahead.
    pub day: u32,
    /// Receipts, БСО and corrections.
    pub receipts: u32,
    /// By the formula of [`super::Totals::revenue`].
    pub revenue: i64,
}

/// Days of a register, by number: a late document lands in its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days(pub BTreeMap<u32, Day>);

impl Days {
    /// The next document.
    pub fn take(&mut self, view: &DocumentView<'_>, received_at_us: i64) {
        let day = self.0.entry(day_of(view.header().date_time, received_at_us)).or_default();
        day.documents = day.documents.saturating_add(1);
        if let Some(paid) = Paid::of(view) {
            day.receipts = day.receipts.saturating_add(1);
            day.revenue = day.revenue.saturating_add(paid.revenue());
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Production or test.
    pub realm: Realm,
    /// 1037.
    pub rnm: String,
    /// 1018, of the newest document.
    pub inn: Option<String>,
    /// Drives in the order they came, those of an archive by the time of their first document; the last is the one it works with.
    pub drives: Vec<CardDrive>,
    /// When its first document came, microseconds UTC.
    pub first_seen_us: i64,
    /// When its newest one came.
    pub last_seen_us: i64,
    /// Days on which it made receipts, and days between the first and the last of them on which it did not; of the newest
    /// [`DAYS_MAX`].
    pub worked_and_idle: (u32, u32),
}

/// Text of a requisite of a fixed width, CP866, padded with zeros.
pub(super) type Fixed<const N: usize> = [u8; N];

/// A requisite without the spaces behind it; `None` when it is empty or longer than the order lets it be.
pub(super) fn fixed<const N: usize>(value: &Value<'_>) -> Option<Fixed<N>> {
    let text = value.text().trimmed().0;
    // All of them, since they are few: a search that can end early asks each one alone.
    let tells = !text.is_empty() && !text.iter().fold(false, |any, byte| any | (*byte == 0));
    tells.then(|| padded(text)).flatten()
}

fn shown(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    ofd_codec::Cp866(text.get(..end).unwrap_or_default()).to_cow().into_owned()
}

/// A card as it is kept. Drives are numbers of the fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptCard {
    pub(super) test: bool,
    pub(super) rnm: Fixed<RNM_LEN>,
    pub(super) inn: Fixed<INN_LEN>,
    /// The newest, with the time since.
    drive: (u32, u32),
    /// Those before, oldest first.
    #[expect(
        clippy::box_collection,
        reason = "hardly any register has them, and 16 bytes of every card are saved"
    )]
    before: Option<Box<Vec<(u32, u32)>>>,
    first_seen_us: i64,
    last_seen_us: i64,
    /// The newest day with receipts; 0 = none yet. Enough until 2149.
    newest_day: u16,
    /// What its user has sold on that day: receipts and revenue. What comes late of an earlier one is not in it, nor what another
    /// user has sold.
    receipts: u32,
    revenue: i64,
    /// Days with receipts: bit 0 is the newest. A `u128` in little-endian, which asks for no place of its own.
    worked: [u8; 16],
    /// What is known of its light.
    pub(super) light: KeptLight,
    /// What the rules across documents keep of it.
    pub(super) watch: CardWatch,
}
const _: () = assert!(size_of::<KeptCard>() == 136);
const _: () = assert!(DAYS_MAX == u128::BITS);

impl KeptCard {
    /// The card that a first document makes.
    pub(super) fn new(test: bool, rnm: Fixed<RNM_LEN>, drive: u32, seen: &Seen<'_>) -> Self {
        Self {
            test,
            rnm,
            inn: [0; INN_LEN],
            drive: (drive, since_of(seen)),
            before: None,
            first_seen_us: seen.received_at_us,
            last_seen_us: seen.received_at_us,
            newest_day: 0,
            receipts: 0,
            revenue: 0,
            worked: [0; 16],
            light: KeptLight::new(0),
            watch: CardWatch::default(),
        }
    }

    /// That of a register whose drive has a lane seed.
    pub(super) fn seeded(
        test: bool,
        rnm: Fixed<RNM_LEN>,
        inn: Option<Fixed<INN_LEN>>,
        drive: u32,
        received_at_us: i64,
    ) -> Self {
        Self {
            test,
            rnm,
            inn: inn.unwrap_or([0; INN_LEN]),
            drive: (drive, 0),
            before: None,
            first_seen_us: received_at_us,
            last_seen_us: received_at_us,
            newest_day: 0,
            receipts: 0,
            revenue: 0,
            worked: [0; 16],
            light: KeptLight::new(received_at_us),
            watch: CardWatch::default(),
        }
    }

    fn knows(&self, drive: u32) -> bool {
        self.drive.0 == drive || self.before.iter().flat_map(|it| it.iter()).any(|(it, _)| *it == drive)
    }

    pub(super) fn first_seen_us(&self) -> i64 {
        self.first_seen_us
    }

    pub(super) fn last_seen_us(&self) -> i64 {
        self.last_seen_us
    }

    /// The drive it works with.
    pub(super) fn current(&self) -> u32 {
        self.drive.0
    }

    /// 1012 of the first document of the drive it works with; `None` where that says nothing.
    pub(super) fn since(&self) -> Option<LocalSeconds> {
        Some(LocalSeconds(self.drive.1)).filter(|it| it.0 > 0)
    }

    pub(super) fn shown_rnm(&self) -> String {
        shown(&self.rnm)
    }

    /// Takes a document that names this register, of the drive with this number; `inn` is its 1018, `paid` what it adds as a receipt;
    /// `number_of` names drives.
    pub(super) fn take(
        &mut self,
        seen: &Seen<'_>,
        drive: u32,
        inn: Option<&Value<'_>>,
        paid: Option<&Paid>,
        number_of: impl Fn(u32) -> Option<DriveNumber>,
        events: &mut Events<'_>,
    ) {
        if !self.knows(drive) {
            let since = since_of(seen);
            if seen.imported && since < self.drive.1 {
                // One of those that the register had before: the archive is what comes late, not the drive.
                let before = self.before.get_or_insert_default();
                let at = before.partition_point(|it| it.1 <= since);
                before.insert(at, (drive, since));
            } else {
                if let Some(before) = number_of(self.drive.0) {
                    events.push(EventKind::DriveReplaced { before });
                }
                self.before.get_or_insert_default().push(self.drive);
                self.drive = (drive, since);
            }
        }
        self.last_seen_us = self.last_seen_us.max(seen.received_at_us);
        self.light.hear(seen);
        let inn = inn.and_then(fixed);
        if self.drive.0 == drive
            && let Some(inn) = inn
        {
            if inn != self.inn && self.inn != [0; INN_LEN] {
                // It is another's from here on.
                (self.receipts, self.revenue) = (0, 0);
            }
            self.inn = inn;
        }
        if let Some(paid) = paid {
            let of_user = inn.is_none_or(|it| it == self.inn);
            let day = sold_on(seen.header.date_time, seen.received_at_us);
            self.work(day, of_user.then(|| paid.revenue()));
        }
    }

    /// Takes a receipt of a day, with what its user has taken by it, if it is his.
    fn work(&mut self, day: u32, revenue: Option<i64>) {
        let day = u16::try_from(day).unwrap_or(u16::MAX);
        let mut worked = u128::from_le_bytes(self.worked);
        if let Some(later) = day.checked_sub(self.newest_day).filter(|later| *later > 0) {
            worked = worked.checked_shl(later.into()).unwrap_or(0) | 1;
            (self.newest_day, self.receipts, self.revenue) = (day, 0, 0);
        } else {
            let earlier = self.newest_day.saturating_sub(day);
            worked |= 1_u128.checked_shl(earlier.into()).unwrap_or(0);
        }
        self.worked = worked.to_le_bytes();
        if let Some(revenue) = revenue.filter(|_| day == self.newest_day) {
            self.receipts = self.receipts.saturating_add(1);
            self.revenue = self.revenue.saturating_add(revenue);
        }
    }

    /// What it sold on a local day, or on a later one where its clock runs ahead; `None`: nothing.
    pub(super) fn today(&self, day: u32) -> Option<Today> {
        let &Self { newest_day, receipts, revenue, .. } = self;
        let today = Today { day: newest_day.into(), receipts, revenue };
        (receipts > 0 && today.day >= day).then_some(today)
    }

    /// As it is shown.
    pub(super) fn card(&self, number_of: impl Fn(u32) -> Option<DriveNumber>) -> Card {
        let drives = self.before.iter().flat_map(|it| it.iter()).chain([&self.drive]);
        let drives = drives.filter_map(|(drive, since)| {
            let since = Some(LocalSeconds(*since)).filter(|it| it.0 > 0);
            Some(CardDrive { drive: number_of(*drive)?, since })
        });
        let worked = u128::from_le_bytes(self.worked);
        let count = worked.count_ones();
        let span = DAYS_MAX.saturating_sub(worked.leading_zeros());
        Card {
            realm: if self.test { Realm::Test } else { Realm::Prod },
            rnm: shown(&self.rnm),
            inn: Some(shown(&self.inn)).filter(|it| !it.is_empty()),
            drives: drives.collect(),
            first_seen_us: self.first_seen_us,
            last_seen_us: self.last_seen_us,
            worked_and_idle: (count, span.saturating_sub(count)),
        }
    }

    pub(super) fn inn(&self) -> Option<String> {
        Some(shown(&self.inn)).filter(|it| !it.is_empty())
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self {
            test,
            rnm,
            inn,
            drive,
            before,
            first_seen_us,
            last_seen_us,
            newest_day,
            receipts,
            revenue,
            worked,
            light,
            watch,
        } = self;
        to.byte(u8::from(*test));
        to.bytes(rnm.without_padding());
        to.bytes(inn.without_padding());
        let before = before.as_deref().map(Vec::as_slice).unwrap_or_default();
        to.count(before.len());
        for (drive, since) in before.iter().chain([drive]) {
            to.number(*drive);
            to.number(*since);
        }
        to.signed(*first_seen_us);
        to.signed(last_seen_us.wrapping_sub(*first_seen_us));
        to.number(*newest_day);
        to.number(*receipts);
        to.signed(*revenue);
        to.0.extend_from_slice(worked);
        light.pack(to);
        watch.pack(to);
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let test = from.byte()? == 1;
        let rnm = padded(from.bytes()?)?;
        let inn = padded(from.bytes()?)?;
        let mut drives = Vec::new();
        for _ in 0..from.count()?.min(from.0.len()) {
            drives.push((from.small()?, from.small()?));
        }
        let drive = (from.small()?, from.small()?);
        let first_seen_us = from.signed()?;
        let last_seen_us = first_seen_us.wrapping_add(from.signed()?);
        let newest_day = u16::try_from(from.number()?).ok()?;
        let receipts = from.small()?;
        let revenue = from.signed()?;
        let (worked, rest) = from.0.split_first_chunk::<16>()?;
        from.0 = rest;
        let light = KeptLight::unpack(from)?;
        let watch = CardWatch::unpack(from)?;
        Some(Self {
            light,
            watch,
            test,
            rnm,
            inn,
            drive,
            before: (!drives.is_empty()).then(|| Box::new(drives)),
            first_seen_us,
            last_seen_us,
            newest_day,
            receipts,
            revenue,
            worked: *worked,
        })
    }
}

fn since_of(seen: &Seen<'_>) -> u32 {
    seen.header.date_time.map_or(0, |it| it.0)
}

pub(super) fn padded<const N: usize>(text: &[u8]) -> Option<Fixed<N>> {
    let mut padded = [0; N];
    padded.get_mut(..text.len())?.copy_from_slice(text);
    Some(padded)
}

trait Padded {
    fn without_padding(&self) -> &[u8];
}

impl<const N: usize> Padded for Fixed<N> {
    fn without_padding(&self) -> &[u8] {
        let end = self.iter().position(|byte| *byte == 0).unwrap_or(N);
        self.get(..end).unwrap_or_default()
    }
}

/// The UTC day on which a document came.
fn received_day(received_at_us: i64) -> u32 {
    u32::try_from(received_at_us.div_euclid(86_400_000_000)).unwrap_or(0)
}

/// The day to which a card counts a receipt. In no zone it is later than the day behind that of UTC; a clock that says so would make
/// late of what is sold on the true days meanwhile, and that receipt counts to the day on which it came.
fn sold_on(at: Option<LocalSeconds>, received_at_us: i64) -> u32 {
    let (day, received) = (day_of(at, received_at_us), received_day(received_at_us));
    if day > received.saturating_add(1) { received } else { day }
}

/// The day a document belongs to.
#[must_use]
pub fn day_of(at: Option<LocalSeconds>, received_at_us: i64) -> u32 {
    let received = received_day(received_at_us);
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
