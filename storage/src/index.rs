//! (drive, number) → places of its documents, in memory.
//!
//! Rebuilt by recovery from the records themselves, so it can be thrown away. Owned by the worker that owns
//! the drive's partition: no locks. The key of a drive is its number as BCD, big-endian, in a `u64`.
//!
//! Shape: one vector of 24-byte entries a drive, sorted by number. A register numbers its documents upwards,
//! so an insert is a push; a late one is moved into its place. Entries of the same number (variants) stand
//! beside one another in the order of the log.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::position::{Location, Lsn};

/// One stored document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its LSN.
    pub lsn: Lsn,
    /// Its place.
    pub location: Location,
    /// Number of the document (1040).
    pub number: u32,
}

/// The map.
#[derive(Default)]
pub struct Index {
    drives: HashMap<u64, Vec<IndexEntry>, RandomState>,
    entries: usize,
}

impl Index {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Documents in it, all variants.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Drives in it.
    pub fn drives(&self) -> usize {
        self.drives.len()
    }

    /// Adds a document. Adding the same LSN again (recovery after a rewrite) replaces its place.
    pub fn insert(&mut self, drive: u64, number: u32, lsn: Lsn, location: Location) {
        let entry = IndexEntry { lsn, location, number };
        let entries = self.drives.entry(drive).or_default();
        if entries.last().is_none_or(|last| (last.number, last.lsn) < (number, lsn)) {
            entries.push(entry);
            self.entries = self.entries.saturating_add(1);
            return;
        }
        match entries.binary_search_by_key(&(number, lsn), |known| (known.number, known.lsn)) {
            Ok(at) => {
                if let Some(known) = entries.get_mut(at) {
                    *known = entry;
                }
            }
            Err(at) => {
                entries.insert(at, entry);
                self.entries = self.entries.saturating_add(1);
            }
        }
    }

    /// The documents under this drive and number, in the order of the log; empty when there is none.
    pub fn get(&self, drive: u64, number: u32) -> &[IndexEntry] {
        let entries = self.drive(drive);
        let from = entries.partition_point(|entry| entry.number < number);
        let to = entries.partition_point(|entry| entry.number <= number);
        entries.get(from..to).unwrap_or_default()
    }

    /// All documents of a drive by number; empty when it is unknown.
    pub fn drive(&self, drive: u64) -> &[IndexEntry] {
        self.drives.get(&drive).map(Vec::as_slice).unwrap_or_default()
    }

    /// The keys of all drives, in no order.
    pub fn drive_keys(&self) -> impl Iterator<Item = u64> + '_ {
        self.drives.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::SegmentId;

    fn at(offset: u32) -> Location {
        Location { segment: SegmentId::new(1), offset }
    }

    #[test]
    fn entries_come_back_by_number_whatever_order_they_came_in() {
        let mut index = Index::new();
        for (lsn, number) in [(1, 5), (2, 6), (3, 4), (4, 5), (5, 7)] {
            index.insert(9, number, Lsn::new(lsn), at(number));
        }
        let lsns: Vec<u64> = index.get(9, 5).iter().map(|entry| entry.lsn.get()).collect();
        assert_eq!(lsns, [1, 4]);
        let numbers: Vec<u32> = index.drive(9).iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [4, 5, 5, 6, 7]);
        assert_eq!((index.get(9, 8), index.get(8, 5)), (&[][..], &[][..]));
        assert_eq!((index.len(), index.drives()), (5, 1));
    }

    #[test]
    fn a_moved_record_keeps_one_entry() {
        let mut index = Index::new();
        index.insert(9, 5, Lsn::new(1), at(1));
        index.insert(9, 5, Lsn::new(1), at(2));
        assert_eq!(index.get(9, 5), [IndexEntry { lsn: Lsn::new(1), location: at(2), number: 5 }]);
        assert_eq!(index.len(), 1);
    }
}
