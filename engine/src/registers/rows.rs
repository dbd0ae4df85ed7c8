//! Sums by time: numbers of minutes, hours or days in ascending order, each with the sums of its receipts. Pure.
//!
//! Shape of few: one entry after another, `number less the one before │ length │ sums`, [`pack`](super::pack) numbers; most
//! receipts are of the newest entry or begin one behind it, so that where it lies is known. Many are a tree: whoever has so
//! many registers is few of many.
//!
//! Invariant: few and many say the same (test below, against a list).

use std::collections::BTreeMap;

use super::pack::{Packer, Unpacker};
use super::packed::{read_rows, read_totals, write_rows, write_totals};
use super::totals::{More, Row, Totals};

/// Bytes from which on entries are many: a late one is looked for among at most so much.
const FEW_LEN_MAX: usize = if cfg!(test) { 1024 } else { 32 * 1024 };

/// The entries.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    Few(Few),
    Many(BTreeMap<u32, Totals>),
}

/// In one piece of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Few {
    bytes: Vec<u8>,
    /// Number of the newest entry, and the byte it begins at.
    last: u32,
    last_at: u32,
}

/// Where entries are put together, so that no receipt asks for memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    totals: Totals,
    sums: Packer,
    entry: Packer,
}

impl Default for Rows {
    fn default() -> Self {
        Self::Few(Few::default())
    }
}

fn totals_of(bytes: &[u8]) -> Totals {
    let mut from = Unpacker(bytes);
    let totals = entry_totals(&mut from);
    assert!(totals.is_some() && from.is_empty(), "sums do not come back from their {} bytes", bytes.len());
    totals.unwrap_or_default()
}

/// Sums of an entry as they stand here and in checkpoints.
pub(super) fn put_entry_totals(to: &mut Packer, totals: &Totals) {
    to.byte(u8::from(totals.inexact));
    write_totals(to, totals);
}

/// Reads what [`put_entry_totals`] wrote.
pub(super) fn entry_totals(from: &mut Unpacker<'_>) -> Option<Totals> {
    let inexact = from.byte()? == 1;
    Some(Totals { inexact, ..read_totals(from)? })
}

impl Rows {
    /// As of everybody.
    pub(super) const fn many() -> Self {
        Self::Many(BTreeMap::new())
    }

    /// Adds to an entry, which is put in when it is new.
    pub(super) fn add(&mut self, number: u32, more: More<'_>, scratch: &mut Scratch) {
        match self {
            Self::Few(few) => {
                few.add(number, more, scratch);
                if few.bytes.len() > FEW_LEN_MAX {
                    *self = Self::Many(few.iter().collect());
                }
            }
            Self::Many(rows) => rows.entry(number).or_default().add_more(more),
        }
    }

    /// The number of the oldest entry.
    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Self::Few(few) => Unpacker(&few.bytes).small(),
            Self::Many(rows) => rows.keys().next().copied(),
        }
    }

    /// Takes out what is older than an entry of this number.
    pub(super) fn take_before(&mut self, number: u32) -> Vec<(u32, Totals)> {
        if self.first().is_none_or(|first| first >= number) {
            return Vec::new();
        }
        match self {
            Self::Few(few) => few.take_before(number),
            Self::Many(rows) => {
                let rest = rows.split_off(&number);
                std::mem::replace(rows, rest).into_iter().collect()
            }
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (u32, Totals)> + '_> {
        match self {
            Self::Few(few) => Box::new(few.iter()),
            Self::Many(rows) => Box::new(rows.iter().map(|(number, totals)| (*number, totals.clone()))),
        }
    }

    /// About what it takes in a checkpoint, bytes.
    pub(super) fn len_bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.bytes.len(),
            Self::Many(rows) => rows.len().saturating_mul(64),
        }
    }
}

/// The same entries.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
impl Eq for Rows {}

impl Few {
    fn iter(&self) -> impl Iterator<Item = (u32, Totals)> {
        let (mut from, mut number) = (Unpacker(&self.bytes), 0_u32);
        core::iter::from_fn(move || {
            number = number.saturating_add(from.small()?);
            Some((number, totals_of(from.bytes()?)))
        })
    }

    fn take_before(&mut self, number: u32) -> Vec<(u32, Totals)> {
        let (mut from, mut here, mut gone) = (Unpacker(&self.bytes), 0_u32, Vec::new());
        while let Some(less) = from.small() {
            here = here.saturating_add(less);
            if here >= number {
                let mut first = Packer::default();
                first.number(here);
                let behind_number = self.bytes.len().saturating_sub(from.0.len());
                if here == self.last {
                    self.last_at = 0;
                }
                self.put(0..behind_number, &first.0);
                return gone;
            }
            gone.extend(from.bytes().map(|bytes| (here, totals_of(bytes))));
        }
        *self = Self::default();
        gone
    }

    fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, number: u32, more: More<'_>, scratch: &mut Scratch) {
        if self.bytes.is_empty() || number > self.last {
            let less = if self.bytes.is_empty() { 0 } else { self.last };
            (self.last, self.last_at) = (number, self.len());
            let end = self.bytes.len();
            self.put(end..end, scratch.entry(number.saturating_sub(less), more));
            return;
        }
        // Where it is or has to be: behind `before`, which is the number of the entry in front of it.
        let (mut at, mut before) = (0, 0_u32);
        if number == self.last {
            (at, before) = (usize::try_from(self.last_at).unwrap_or(usize::MAX), self.last);
            let mut from = Unpacker(self.bytes.get(at..).unwrap_or_default());
            before = before.saturating_sub(from.small().unwrap_or_default());
        }
        let whole = self.bytes.len();
        let mut from = Unpacker(self.bytes.get(at..).unwrap_or_default());
        while let Some(less) = from.small() {
            let here = before.saturating_add(less);
            let behind_number = whole.saturating_sub(from.0.len());
            let Some(bytes) = from.bytes() else { return };
            let behind = whole.saturating_sub(from.0.len());
            if here == number {
                let len = bytes.len();
                match scratch.added(bytes, more) {
                    // As long as before: hardly ever a sum grows by a byte.
                    new if new.len() == len => {
                        let place = self.bytes.get_mut(behind.saturating_sub(len)..behind);
                        place.into_iter().for_each(|it| it.copy_from_slice(new));
                    }
                    _ => self.put(at..behind, scratch.entry_of_sums(less)),
                }
                return;
            }
            if here > number {
                let new_len = scratch.entry(number.saturating_sub(before), more).len();
                let (is_last, new_len) = (self.last == here, u32::try_from(new_len).unwrap_or(u32::MAX));
                scratch.entry.number(here.saturating_sub(number));
                self.put(at..behind_number, &scratch.entry.0);
                if is_last {
                    self.last_at = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(new_len);
                }
                return;
            }
            (at, before) = (behind, here);
        }
    }

    /// Puts bytes in the place of others, and the place of the last entry right.
    fn put(&mut self, place: core::ops::Range<usize>, new: &[u8]) {
        let more = new.len().saturating_sub(place.len());
        if self.bytes.capacity().saturating_sub(self.bytes.len()) < more {
            // Not as many again: there are hundreds of thousands of these.
            self.bytes.reserve_exact(more.saturating_add(self.bytes.len() / 16).saturating_add(8));
        }
        if place.start < usize::try_from(self.last_at).unwrap_or(usize::MAX) {
            let place_len = u32::try_from(place.len()).unwrap_or(u32::MAX);
            let new_len = u32::try_from(new.len()).unwrap_or(u32::MAX);
            self.last_at = self.last_at.saturating_add(new_len).saturating_sub(place_len);
        }
        if place.end == self.bytes.len() {
            self.bytes.truncate(place.start);
            self.bytes.extend_from_slice(new);
        } else {
            self.bytes.splice(place, new.iter().copied());
        }
    }
}

impl Scratch {
    /// The bytes of an entry.
    fn entry(&mut self, less: u32, more: More<'_>) -> &[u8] {
        self.write(more);
        self.entry_of_sums(less)
    }

    /// The same of the sums that stand here.
    fn entry_of_sums(&mut self, less: u32) -> &[u8] {
        self.entry.0.clear();
        self.entry.number(less);
        self.entry.bytes(&self.sums.0);
        &self.entry.0
    }

    fn write(&mut self, more: More<'_>) {
        self.sums.0.clear();
        self.sums.byte(u8::from(more.inexact));
        write_rows(&mut self.sums, more.rows);
    }

    /// The sums that stand there and those that are added.
    fn added(&mut self, bytes: &[u8], more: More<'_>) -> &[u8] {
        if let [row] = more.rows
            && !more.inexact
        {
            self.sums.0.clear();
            if add_row(bytes, row, &mut self.sums).is_some() {
                return &self.sums.0;
            }
        }
        let mut totals = core::mem::take(&mut self.totals);
        totals.rows.clear();
        let mut from = Unpacker(bytes);
        totals.inexact = from.byte() == Some(1);
        let read = read_rows(&mut from, &mut totals.rows);
        assert!(read.is_some() && from.is_empty(), "sums do not come back from their {} bytes", bytes.len());
        totals.add_more(more);
        self.write(More::from(&totals));
        self.totals = totals;
        &self.sums.0
    }
}

/// Adds a row to the sums that stand there, number by number: most receipts of most organisations are of kinds that are there
/// already. `None`: it is not as simple as that, and what was written does not count.
fn add_row(bytes: &[u8], row: &Row, to: &mut Packer) -> Option<()> {
    let mut from = Unpacker(bytes);
    from.byte()?;
    for _ in 0..from.byte()? {
        if from.byte()? == row.kind {
            // All before it stays as it is, and all behind it.
            to.0.extend_from_slice(bytes.get(..bytes.len().checked_sub(from.0.len())?)?);
            add_sums(&mut from, row, to)?;
            to.0.extend_from_slice(from.0);
            return Some(());
        }
        from.small()?;
        for _ in 0..from.small()?.count_ones() {
            from.number()?;
        }
    }
    None
}

fn add_sums(from: &mut Unpacker<'_>, row: &Row, to: &mut Packer) -> Option<()> {
    to.number(from.small()?.checked_add(row.sums.receipts)?);
    let (before, new) = (from.small()?, row.sums.mask());
    let mut mask = before | new;
    to.number(mask);
    while mask != 0 {
        let at = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        let bit = 1_u32.checked_shl(at)?;
        let mut sum = if before & bit == 0 { 0 } else { from.signed()? };
        if new & bit != 0 {
            sum = sum.checked_add(row.sums.sum(at)?)?;
        }
        // A sum of zero is not written.
        if sum == 0 {
            return None;
        }
        to.signed(sum);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a failed test may panic"
    )]
    use ofd_emit::Prng;

    use super::*;
    use crate::registers::totals::{Paid, Sums};

    // Money is added up in bytes that are cut and mended: a list that is simply sorted knows what has to come out.
    #[test]
    fn rows_say_what_a_list_says() {
        let (mut many, mut scratch) = (0, Scratch::default());
        for seed in 1..=300_u64 {
            let mut prng = Prng::new(seed, 0);
            let (mut rows, mut list, mut newest) = (Rows::default(), BTreeMap::new(), 0_u32);
            if seed.is_multiple_of(10) {
                rows = Rows::many();
            }
            let span = 1 + prng.next_u64() % 600;
            for _ in 0..prng.next_u64() % 900 {
                newest = newest.saturating_add((prng.next_u64() % (1 + span / 60)) as u32);
                let back = if prng.next_u64().is_multiple_of(3) { prng.next_u64() % span } else { 0 };
                let number = newest.saturating_sub(back as u32);
                let sums = Sums {
                    receipts: 1,
                    total: (prng.next_u64() % (1 << (prng.next_u64() % 40))) as i64,
                    ..Sums::default()
                };
                let (direction, correction) =
                    ((prng.next_u64() % 4) as usize, prng.next_u64().is_multiple_of(9));
                let mut more = Totals::default();
                more.add(&Paid { direction, correction, sums });
                rows.add(number, More::from(&more), &mut scratch);
                list.entry(number).or_insert_with(Totals::default).add_all(&more);
                assert_eq!(rows.first(), list.keys().next().copied(), "seed {seed}");
                if prng.next_u64().is_multiple_of(150) {
                    let from = newest.saturating_sub((prng.next_u64() % span) as u32);
                    let kept = list.split_off(&from);
                    assert!(rows.take_before(from).into_iter().eq(list), "seed {seed}");
                    list = kept;
                }
            }
            assert!(rows.iter().eq(list.into_iter()), "seed {seed}");
            many += u32::from(matches!(rows, Rows::Many(_)));
        }
        assert!((60..270).contains(&many), "{many} had many");
    }
}
