//! One page of an index file: entries or fences, packed, under a checksum.
//!
//! ```text
//! page (4096): crc32c u32 │ page number u32 │ nonce u64 │ entries u16 │ level u8 │ tree u8 │ zeros to 32 │ entries …
//! level 0:     entries as varints, each by its difference from the one before
//! above:       fences of 20 bytes: first key of the page below u64, u32 │ largest last number in it u32 │ its number u32
//! ```
//!
//! An entry of a run takes five to eight bytes in a file that covers many days, one of a sign three to five.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a page, bytes.
pub(super) const PAGE_LEN: usize = 4096;
const HEAD_LEN: usize = 32;
/// Bytes of entries that a page has room for.
pub(super) const ROOM: usize = PAGE_LEN - HEAD_LEN;

/// Which of the two trees of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// By drive and number.
    Runs = 1,
    /// By printed sign.
    Signs = 2,
}

/// Rows of a file: of one drive in `containers`, or some with one sign in `documents`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The drive, see [`super::drive_key`], or the sign.
    pub(super) key: u64,
    /// Smallest number; 0 for a sign.
    pub(super) first: u32,
    /// Largest number; 0 for a sign.
    pub(super) last: u32,
    /// The file, by its place among those that the index file covers.
    pub(super) file: u32,
    /// Its first row; 0 for a sign.
    pub(super) row: u32,
    /// So many; 0 for a sign.
    pub(super) rows: u32,
}

/// What a page above the leaves says of one below.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Fence {
    key: U64,
    first: U32,
    last_max: U32,
    page: U32,
}

impl Fence {
    pub(super) fn new((key, first): (u64, u32), last_max: u32, page: u32) -> Self {
        Self {
            key: U64::new(key),
            first: U32::new(first),
            last_max: U32::new(last_max),
            page: U32::new(page),
        }
    }
    pub(super) fn key(&self) -> (u64, u32) {
        (self.key.get(), self.first.get())
    }
    pub(super) fn last_max(&self) -> u32 {
        self.last_max.get()
    }
    pub(super) fn page(&self) -> u32 {
        self.page.get()
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeadBytes {
    crc: U32,
    page: U32,
    nonce: U64,
    entries: U16,
    level: u8,
    tree: u8,
    zeros: [u8; 12],
}
const _: () = assert!(size_of::<HeadBytes>() == HEAD_LEN);

/// A page on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct OpenPage {
    bytes: Vec<u8>,
    entries: u16,
    low: Option<(u64, u32)>,
    last_max: u32,
    before: Place,
}

impl OpenPage {
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// First key and largest last number.
    pub(super) fn reach(&self) -> ((u64, u32), u32) {
        (self.low.unwrap_or_default(), self.last_max)
    }

    /// Takes an entry; false: there is no room, and nothing is changed.
    pub(super) fn push(&mut self, tree: Tree, place: &Place) -> bool {
        let before = self.bytes.len();
        pack(tree, &self.before, place, &mut self.bytes);
        if self.bytes.len() > ROOM {
            self.bytes.truncate(before);
            return false;
        }
        self.note((place.key, place.first), place.last);
        self.before = *place;
        true
    }

    /// Takes a fence; false: there is no room.
    pub(super) fn push_fence(&mut self, fence: &Fence) -> bool {
        if self.bytes.len().saturating_add(size_of::<Fence>()) > ROOM {
            return false;
        }
        self.bytes.extend_from_slice(fence.as_bytes());
        self.note(fence.key(), fence.last_max());
        true
    }

    fn note(&mut self, key: (u64, u32), last: u32) {
        self.low.get_or_insert(key);
        self.last_max = self.last_max.max(last);
        self.entries = self.entries.saturating_add(1);
    }

    /// The bytes of the page, which is empty afterwards.
    pub(super) fn close(&mut self, tree: Tree, level: u8, page: u32, nonce: u64) -> Vec<u8> {
        let mut head = HeadBytes {
            crc: U32::ZERO,
            page: U32::new(page),
            nonce: U64::new(nonce),
            entries: U16::new(self.entries),
            level,
            tree: tree as u8,
            zeros: [0; 12],
        };
        let mut bytes = Vec::with_capacity(PAGE_LEN);
        bytes.extend_from_slice(head.as_bytes());
        bytes.append(&mut self.bytes);
        bytes.resize(PAGE_LEN, 0);
        head.crc = U32::new(crc_fast::crc32_iscsi(bytes.get(4..).unwrap_or_default()));
        if let Some(room) = bytes.first_chunk_mut::<HEAD_LEN>() {
            room.copy_from_slice(head.as_bytes());
        }
        *self = Self::default();
        bytes
    }
}

/// A page that was read, its checksum compared.
pub(super) struct ReadPage<'b> {
    head: &'b HeadBytes,
    body: &'b [u8],
}

impl<'b> ReadPage<'b> {
    /// `None`: these bytes are not that page.
    pub(super) fn new(bytes: &'b [u8; PAGE_LEN], page: u32, nonce: u64) -> Option<Self> {
        let (head, body) = HeadBytes::ref_from_prefix(bytes).ok()?;
        let holds = head.crc.get() == crc_fast::crc32_iscsi(bytes.get(4..)?)
            && head.page.get() == page
            && head.nonce.get() == nonce;
        holds.then_some(Self { head, body })
    }

    pub(super) fn level(&self) -> u8 {
        self.head.level
    }

    pub(super) fn is_of(&self, tree: Tree) -> bool {
        self.head.tree == tree as u8
    }

    /// The fences of a page above the leaves; `None`: they do not fit.
    pub(super) fn fences(&self) -> Option<&'b [Fence]> {
        let entries = usize::from(self.head.entries.get());
        <[Fence]>::ref_from_prefix_with_elems(self.body, entries).ok().map(|(fences, _)| fences)
    }

    /// The entries of a leaf, in order.
    pub(super) fn places(&self, tree: Tree) -> Places<'b> {
        Places { tree, left: self.head.entries.get(), bytes: self.body, before: Place::default() }
    }
}

/// The entries of a leaf.
pub(super) struct Places<'b> {
    tree: Tree,
    left: u16,
    bytes: &'b [u8],
    before: Place,
}

impl Places<'_> {
    /// The next; `Ok(None)` at the end, `Err` when the bytes are no entry.
    pub(super) fn next(&mut self) -> Result<Option<Place>, ()> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.before = unpack(self.tree, &self.before, &mut self.bytes).ok_or(())?;
        Ok(Some(self.before))
    }
}

fn pack(tree: Tree, before: &Place, place: &Place, out: &mut Vec<u8>) {
    put(place.key.wrapping_sub(before.key), out);
    put_step(place.file, before.file, out);
    if tree == Tree::Signs {
        return;
    }
    let from = if place.key == before.key { before.first } else { 0 };
    put(u64::from(place.first.wrapping_sub(from)), out);
    let span = place.last.wrapping_sub(place.first);
    put(u64::from(span), out);
    put_step(place.row, before.row, out);
    put_step(place.rows, span.wrapping_add(1), out);
}

fn unpack(tree: Tree, before: &Place, bytes: &mut &[u8]) -> Option<Place> {
    let key = before.key.wrapping_add(take(bytes)?);
    let file = take_step(before.file, bytes)?;
    if tree == Tree::Signs {
        return Some(Place { key, file, ..Place::default() });
    }
    let from = if key == before.key { before.first } else { 0 };
    let first = from.wrapping_add(u32::try_from(take(bytes)?).ok()?);
    let span = u32::try_from(take(bytes)?).ok()?;
    let row = take_step(before.row, bytes)?;
    let rows = take_step(span.wrapping_add(1), bytes)?;
    Some(Place { key, first, last: first.wrapping_add(span), file, row, rows })
}

/// Seven bits a byte, the lowest first; the top bit says that another byte follows.
fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift = shift.saturating_add(7);
    }
}

/// A difference, small ones of either sign in few bytes.
fn put_step(value: u32, before: u32, out: &mut Vec<u8>) {
    let step = value.wrapping_sub(before).cast_signed();
    put(u64::from(((step << 1) ^ (step >> 31)).cast_unsigned()), out);
}

fn take_step(before: u32, bytes: &mut &[u8]) -> Option<u32> {
    let folded = u32::try_from(take(bytes)?).ok()?;
    let step = (folded >> 1) ^ (folded & 1).wrapping_neg();
    Some(before.wrapping_add(step))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Differences wrap; an entry that came back otherwise would hide a document.
        #[test]
        fn entries_come_back_whatever_stood_before_them(
            all in prop::collection::vec(any::<(u64, u32, u32, u32, u32, u32)>(), 1..60),
        ) {
            for tree in [Tree::Runs, Tree::Signs] {
                let places: Vec<Place> = all.iter().map(|&(key, one, other, file, row, rows)| match tree {
                    Tree::Runs => {
                        Place { key, first: one.min(other), last: one.max(other), file, row, rows }
                    }
                    Tree::Signs => Place { key, file, ..Place::default() },
                }).collect();
                let mut page = OpenPage::default();
                let taken = places.iter().take_while(|it| page.push(tree, it)).count();
                prop_assert!(taken > 0);
                let bytes: [u8; PAGE_LEN] = page.close(tree, 0, 7, 9).try_into().unwrap();
                prop_assert!(ReadPage::new(&bytes, 8, 9).is_none() && ReadPage::new(&bytes, 7, 8).is_none());
                let read = ReadPage::new(&bytes, 7, 9).unwrap();
                let mut entries = read.places(tree);
                for place in places.iter().take(taken) {
                    prop_assert_eq!(entries.next(), Ok(Some(*place)));
                }
                prop_assert_eq!(entries.next(), Ok(None));
            }
        }
    }
}
