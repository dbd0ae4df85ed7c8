//! What was taken, live: sums of receipts by minute, hour and day of every organisation (INN, 1018) and of everybody. Pure.
//!
//! ```text
//!            … 400 days ago ──────── 35 days ago ──────── the hour that UTC shows now ──────▶  time of the receipt
//! gone (archive) │  sums of a day         │  sums of an hour      │  sums of a minute
//! ```
//!
//! A receipt is added in one place only, by the time it was made ([`Figures::time_of`]), however late it comes; what has
//! become older than its part is added up into the next. The hour of a query is the sum of its minutes or the hour itself,
//! the day that of its hours, so that every row of a query is exact to the kopeck from [`Figures::since`] on.
//!
//! Minutes begin where the clock of UTC stands: registers tell local time without a zone (UTC+2 … UTC+12), so that these are
//! the newest two hours in Kaliningrad and more farther east. The clock is the newest time of receipt, which never goes back and
//! which is in the log: no clock of ours is asked, and no register that runs ahead puts away the minutes of others.
//!
//! Counted is what is counted everywhere: receipts, БСО and corrections of variant 0, imported ones as well; test drives
//! apart. A receipt without INN is one of everybody's only.
//!
//! Shape in memory: about 200 bytes an organisation and 15 to 30 bytes for each minute, hour and day in which it sold
//! something: 19 KB for one that sells ten hours a day, every day, by two payment forms and two rates, 0.4 KB after its first
//! day; 300,000 of the former take 5.7 GB, and few are. Everybody's sums take half a megabyte
//! (test: `tests/takings_memory.rs`).
//!
//! Invariants: a naive sum over all receipts agrees (test: `tests/registers/takings.rs`), and so does a fold that goes on from
//! any moment (test: `tests/registers/main.rs`, `a_fold_goes_on_from_any_moment`).

use ahash::RandomState;
use hashbrown::HashTable;
use ofd_codec::LocalSeconds;

use super::card::Fixed;
use super::figures::{Figures, Grain};
use super::pack::{Packer, Unpacker};
use super::rows::{Rows, Scratch, entry_totals, put_entry_totals};
use super::slab::Slab;
use super::totals::More;

/// Longest INN, bytes.
pub(super) const INN_LEN: usize = 12;
/// Hours are kept apart for so many days.
pub const HOURS_KEPT_DAYS: u32 = 35;
/// Days are kept for so many: a year and a month, so that a day has its like of last year beside it.
pub const DAYS_KEPT: u32 = 400;
const HOUR: u32 = Grain::Hour.seconds();
const DAY: u32 = Grain::Day.seconds();
/// Entries of a piece of a checkpoint: eight kinds of at most 250 bytes each stay below a piece's bound.
const ENTRIES_AT_ONCE: usize = 256;

/// Whose figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Of the organisation with this INN.
    Organisation(&'a str),
    /// Of all of them.
    Everybody,
}

/// From when on there are minutes, hours and days, local seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    minutes: u32,
    hours: u32,
    days: u32,
}

impl Parts {
    /// By the newest time of receipt.
    fn at(clock_us: i64) -> Self {
        let now = u32::try_from(clock_us.div_euclid(1_000_000)).unwrap_or(0);
        let begin = |of: u32, len: u32| of.saturating_sub(of.checked_rem(len).unwrap_or(0));
        let days_ago = |days: u32| begin(now, DAY).saturating_sub(days.saturating_mul(DAY));
        Self { minutes: begin(now, HOUR), hours: days_ago(HOURS_KEPT_DAYS), days: days_ago(DAYS_KEPT) }
    }

    const fn of(self, grain: Grain) -> u32 {
        match grain {
            Grain::Minute => self.minutes,
            Grain::Hour => self.hours,
            Grain::Day => self.days,
        }
    }
}

/// Parts of one purse, in this order in checkpoints.
const GRAINS: [Grain; 3] = [Grain::Minute, Grain::Hour, Grain::Day];

/// What one organisation took, or everybody.
#[derive(Clone, Debug)]
struct Purse {
    test: bool,
    inn: Fixed<INN_LEN>,
    /// The hour that its minutes began with when what is older was put down last. It follows from the clock: one that comes back
    /// puts it down again.
    put_down: u32,
    /// In the order of [`GRAINS`].
    rows: [Rows; 3],
}

impl Purse {
    fn of(test: bool, inn: Fixed<INN_LEN>) -> Self {
        Self { test, inn, put_down: 0, rows: Default::default() }
    }

    fn of_everybody(test: bool) -> Self {
        let rows = [Rows::many(), Rows::many(), Rows::many()];
        Self { test, inn: [0; INN_LEN], put_down: 0, rows }
    }

    /// Adds sums of receipts made at one time, or within one row that begins then.
    fn add(&mut self, time: u32, more: More<'_>, parts: Parts, scratch: &mut Scratch) {
        for (rows, grain) in self.rows.iter_mut().zip(GRAINS) {
            if time >= parts.of(grain) {
                rows.add(time.checked_div(grain.seconds()).unwrap_or(0), more, scratch);
                return;
            }
        }
    }

    /// What has become older than its part goes into the next. Once an hour, which all parts follow from: what is added in between
    /// is not older than its part, and where each row begins lies in memory of its own.
    fn put_down(&mut self, parts: Parts, scratch: &mut Scratch) {
        if core::mem::replace(&mut self.put_down, parts.minutes) == parts.minutes {
            return;
        }
        let number = |grain: Grain| parts.of(grain).checked_div(grain.seconds()).unwrap_or(0);
        let mut rows = self.rows.iter().zip(GRAINS);
        if !rows.any(|(rows, grain)| rows.first().is_some_and(|first| first < number(grain))) {
            return;
        }
        for (at, grain) in GRAINS.into_iter().enumerate() {
            let old = self.rows.get_mut(at).map(|rows| rows.take_before(number(grain))).unwrap_or_default();
            for (number, totals) in old {
                self.add(number.saturating_mul(grain.seconds()), More::from(&totals), parts, scratch);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.rows.iter().all(|rows| rows.first().is_none())
    }
}

/// The same sums of the same organisation.
impl PartialEq for Purse {
    fn eq(&self, other: &Self) -> bool {
        self.test == other.test && self.inn == other.inn && self.rows == other.rows
    }
}
impl Eq for Purse {}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Takings {
    purses: Slab<Purse>,
    by_inn: HashTable<u32>,
    /// Of everybody: production, test.
    everybody: [Purse; 2],
    /// The newest time of receipt, microseconds UTC.
    clock_us: i64,
    /// About what all of it takes in a checkpoint, bytes.
    len_bytes: usize,
    scratch: Scratch,
}

impl Default for Takings {
    fn default() -> Self {
        Self {
            purses: Slab::default(),
            by_inn: HashTable::new(),
            everybody: [Purse::of_everybody(false), Purse::of_everybody(true)],
            clock_us: 0,
            len_bytes: 0,
            scratch: Scratch::default(),
        }
    }
}

impl Takings {
    /// A record came.
    pub(super) fn turn(&mut self, received_at_us: i64) {
        self.clock_us = self.clock_us.max(received_at_us);
    }

    /// Adds a receipt that was made at this time.
    pub(super) fn take(
        &mut self,
        test: bool,
        inn: Option<Fixed<INN_LEN>>,
        time: LocalSeconds,
        more: More<'_>,
        hasher: &RandomState,
    ) {
        let parts = Parts::at(self.clock_us);
        if let Some(purse) = self.everybody.get_mut(usize::from(test)) {
            purse.put_down(parts, &mut self.scratch);
            purse.add(time.0, more, parts, &mut self.scratch);
        }
        let Some(purse) = inn.and_then(|inn| self.purse(test, inn, hasher)) else { return };
        let Some(purse) = self.purses.get_mut(purse) else { return };
        let len =
            |it: &Purse| it.rows.iter().fold(0, |sum: usize, rows| sum.saturating_add(rows.len_bytes()));
        let before = len(purse);
        purse.put_down(parts, &mut self.scratch);
        purse.add(time.0, more, parts, &mut self.scratch);
        self.len_bytes = self.len_bytes.saturating_add(len(purse)).saturating_sub(before);
    }

    fn find(&self, test: bool, inn: &Fixed<INN_LEN>, hasher: &RandomState) -> Option<u32> {
        let same = |at: &u32| self.purses.get(*at).is_some_and(|it| it.test == test && it.inn == *inn);
        self.by_inn.find(hasher.hash_one((test, inn)), same).copied()
    }

    /// The number of a purse, which is put in when it is new.
    fn purse(&mut self, test: bool, inn: Fixed<INN_LEN>, hasher: &RandomState) -> Option<u32> {
        if let Some(at) = self.find(test, &inn, hasher) {
            return Some(at);
        }
        let at = self.purses.push(Purse::of(test, inn))?;
        let purses = &self.purses;
        let again = |at: &u32| purses.get(*at).map_or(0, |it| hasher.hash_one((it.test, &it.inn)));
        self.by_inn.insert_unique(hasher.hash_one((test, &inn)), at, again);
        Some(at)
    }

    /// Figures whose rows begin in `times`; `None` when nothing was ever taken from such an organisation.
    pub(super) fn figures(
        &self,
        test: bool,
        whose: Whose<'_>,
        grain: Grain,
        times: &core::ops::Range<LocalSeconds>,
        hasher: &RandomState,
    ) -> Option<Figures> {
        let purse = match whose {
            Whose::Everybody => self.everybody.get(usize::from(test))?,
            Whose::Organisation(inn) => {
                let mut padded = [0; INN_LEN];
                padded.get_mut(..inn.len())?.copy_from_slice(inn.as_bytes());
                self.purses.get(self.find(test, &padded, hasher)?)?
            }
        };
        let since = Parts::at(self.clock_us).of(grain);
        let mut figures = Figures::since_of(grain, LocalSeconds(since));
        for (rows, of) in purse.rows.iter().zip(GRAINS).filter(|(_, of)| of.seconds() <= grain.seconds()) {
            for (number, totals) in rows.iter() {
                let begin = grain.begin_of(LocalSeconds(number.saturating_mul(of.seconds())));
                if begin.0 >= since && times.contains(&begin) {
                    figures.add(begin, &totals);
                }
            }
        }
        Some(figures)
    }

    /// About what all of it takes in a checkpoint, bytes.
    pub(super) const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Hands over what a checkpoint holds of it: the clock, then the entries of purses, each with whose they are.
    pub(super) fn save<E>(&self, put: &mut dyn FnMut(&Packer) -> Result<(), E>) -> Result<(), E> {
        let mut to = Packer::default();
        to.byte(CLOCK);
        to.signed(self.clock_us);
        put(&to)?;
        let organisations = self.purses.iter().map(|it| (it, 0));
        for (purse, everybody) in organisations.chain(self.everybody.iter().map(|it| (it, EVERYBODY))) {
            for (part, rows) in (0_u8..).zip(&purse.rows) {
                let mut entries = rows.iter().peekable();
                while entries.peek().is_some() {
                    to.0.clear();
                    to.byte(part | everybody | if purse.test { TEST } else { 0 });
                    to.0.extend_from_slice(&purse.inn);
                    let some: Vec<_> = entries.by_ref().take(ENTRIES_AT_ONCE).collect();
                    to.count(some.len());
                    for (number, totals) in some {
                        to.number(number);
                        put_entry_totals(&mut to, &totals);
                    }
                    put(&to)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one thing back that [`Takings::save`] handed over. `None`: it does not hold what it should.
    pub(super) fn restore(&mut self, from: &mut Unpacker<'_>, hasher: &RandomState) -> Option<()> {
        let head = from.byte()?;
        if head == CLOCK {
            self.clock_us = from.signed()?;
            return Some(());
        }
        let (inn, rest) = from.0.split_first_chunk::<INN_LEN>()?;
        from.0 = rest;
        let test = head & TEST != 0;
        let purse = if head & EVERYBODY != 0 {
            self.everybody.get_mut(usize::from(test))?
        } else {
            let at = self.purse(test, *inn, hasher)?;
            self.purses.get_mut(at)?
        };
        let rows = purse.rows.get_mut(usize::from(head & !(TEST | EVERYBODY)))?;
        let before = rows.len_bytes();
        for _ in 0..from.count()?.min(ENTRIES_AT_ONCE) {
            let number = from.small()?;
            rows.add(number, More::from(&entry_totals(from)?), &mut self.scratch);
        }
        if head & EVERYBODY == 0 {
            self.len_bytes = self.len_bytes.saturating_add(rows.len_bytes()).saturating_sub(before);
        }
        Some(())
    }
}

const TEST: u8 = 1 << 4;
const EVERYBODY: u8 = 1 << 5;
const CLOCK: u8 = 0xFF;

/// The same sums of the same organisations, whatever the order they came in.
impl PartialEq for Takings {
    fn eq(&self, other: &Self) -> bool {
        fn all(takings: &Takings) -> std::collections::BTreeMap<(bool, &[u8]), &Purse> {
            let purses = takings.purses.iter().filter(|it| !it.is_empty());
            purses.map(|it| ((it.test, it.inn.as_slice()), it)).collect()
        }
        self.clock_us == other.clock_us && self.everybody == other.everybody && all(self) == all(other)
    }
}
