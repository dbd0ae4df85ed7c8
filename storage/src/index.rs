//! (drive, number) → places of the documents that no index file covers yet, in memory.
//!
//! Rebuilt by recovery from the records themselves, so it can be thrown away. The key of a drive is its number as
//! BCD, big-endian, in a `u64`.
//!
//! Shape: one table a segment, oldest first, each a vector of 40-byte entries in the order they came and a hash table of
//! the newest entry of each (drive, number); variants hang behind it. A table goes when its segment is indexed, and its
//! memory serves the next one: in the steady state nothing is allocated.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use crate::planted::planted;
use crate::position::{Location, Lsn, SegmentId};

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

/// The documents of the segments that are not indexed yet.
pub struct Index {
    tables: VecDeque<Table>,
    /// Emptied, with its memory.
    spare: Option<Table>,
    state: RandomState,
}

#[derive(Default)]
struct Table {
    segment: SegmentId,
    newest: Lsn,
    heads: HashTable<u32>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    drive: u64,
    entry: IndexEntry,
    /// The entry before it under the same key.
    before: Option<std::num::NonZeroU32>,
}

/// Room for documents that the first table begins with: those of half a segment.
const FIRST_ROOM: usize = 32_768;

impl Index {
    /// An empty one. `random` draws the keys of its hash.
    pub fn new(mut random: impl FnMut() -> u64) -> Self {
        let state = RandomState::with_seeds(random(), random(), random(), random());
        Self { tables: VecDeque::new(), spare: None, state }
    }

    /// Documents in it, all variants.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.entries.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.entries.is_empty())
    }

    /// Adds a document. LSNs come in order.
    #[inline]
    pub fn insert(&mut self, drive: u64, number: u32, lsn: Lsn, location: Location) {
        if self.tables.back().is_none_or(|table| table.segment != location.segment) {
            self.begin_table(location.segment);
        }
        let Some(table) = self.tables.back_mut() else { return };
        table.newest = table.newest.max(lsn);
        let Table { heads, entries, .. } = table;
        let at = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let state = &self.state;
        let key = |at: &u32| entries.get(*at as usize).map(|it| (it.drive, it.entry.number));
        let slot = heads.entry(
            state.hash_one((drive, number)),
            |at| key(at) == Some((drive, number)),
            |at| key(at).map_or(0, |key| state.hash_one(key)),
        );
        // Places are counted from 1 in `before`.
        let before = match slot {
            Slot::Occupied(mut known) if planted!(16) => {
                *known.get_mut() = at;
                None
            }
            Slot::Occupied(mut known) => {
                let before = *known.get();
                *known.get_mut() = at;
                std::num::NonZeroU32::new(before.saturating_add(1))
            }
            Slot::Vacant(free) => {
                free.insert(at);
                None
            }
        };
        entries.push(Entry { drive, entry: IndexEntry { lsn, location, number }, before });
    }

    #[cold]
    fn begin_table(&mut self, segment: SegmentId) {
        let mut table = self.spare.take().unwrap_or_default();
        // The next segment takes about as many: a table that grows as it is filled moves what is in it a dozen times.
        let room = self.tables.back().map_or(FIRST_ROOM, |before| before.entries.len());
        table.entries.reserve(room);
        let Table { heads, entries, .. } = &mut table;
        let state = &self.state;
        let key = |at: &u32| entries.get(*at as usize).map(|it| (it.drive, it.entry.number));
        heads.reserve(room, |at| key(at).map_or(0, |key| state.hash_one(key)));
        self.tables.push_back(Table { segment, ..table });
    }

    /// The documents under this drive and number behind `after`, in the order of the log.
    pub fn get(&self, drive: u64, number: u32, after: Lsn, found: &mut Vec<IndexEntry>) {
        let hash = self.state.hash_one((drive, number));
        for table in self.tables.iter().filter(|table| table.newest > after) {
            let from = found.len();
            let entry = |at: u32| table.entries.get(at as usize);
            let same = |at: &u32| entry(*at).is_some_and(|it| (it.drive, it.entry.number) == (drive, number));
            let mut next = table.heads.find(hash, same).copied();
            while let Some(it) = next.and_then(entry) {
                if it.entry.lsn > after {
                    found.push(it.entry);
                }
                next = it.before.map(|before| before.get().saturating_sub(1));
            }
            found.get_mut(from..).unwrap_or_default().reverse();
        }
    }

    /// The documents of a drive with these numbers, in the order of the log. Looks at every entry.
    pub fn range(&self, drive: u64, numbers: &RangeInclusive<u32>, found: &mut Vec<IndexEntry>) {
        for table in &self.tables {
            let wanted = |it: &&Entry| it.drive == drive && numbers.contains(&it.entry.number);
            found.extend(table.entries.iter().filter(wanted).map(|it| it.entry));
        }
    }

    /// Lets go of the tables that hold nothing behind `through`: index files have it.
    pub fn forget(&mut self, through: Lsn) {
        while let Some(mut table) = self.tables.pop_front_if(|table| table.newest <= through) {
            table.entries.clear();
            table.heads.clear();
            table.newest = Lsn::NONE;
            self.spare = Some(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32) -> Location {
        Location { segment: SegmentId::new(segment), offset }
    }

    fn lsns(index: &Index, number: u32, after: u64) -> Vec<u64> {
        let mut found = Vec::new();
        index.get(9, number, Lsn::new(after), &mut found);
        found.iter().map(|entry| entry.lsn.get()).collect()
    }

    #[test]
    fn variants_come_back_in_the_order_of_the_log() {
        let mut index = Index::new(|| 7);
        for (lsn, number, segment) in [(1, 5, 1), (2, 6, 1), (3, 4, 1), (4, 5, 1), (5, 7, 2), (6, 5, 2)] {
            index.insert(9, number, Lsn::new(lsn), at(segment, number));
        }
        assert_eq!(lsns(&index, 5, 0), [1, 4, 6]);
        assert_eq!(lsns(&index, 5, 1), [4, 6]);
        assert_eq!(lsns(&index, 8, 0), [0; 0]);
        let mut all = Vec::new();
        index.range(9, &(0..=u32::MAX), &mut all);
        assert_eq!(all.iter().map(|entry| entry.number).collect::<Vec<_>>(), [5, 6, 4, 5, 7, 5]);
        assert_eq!(index.len(), 6);
    }

    #[test]
    fn what_is_indexed_is_forgotten_and_its_memory_serves_again() {
        let mut index = Index::new(|| 7);
        for lsn in 1..=1000 {
            index.insert(lsn, 1, Lsn::new(lsn), at(1, 8));
        }
        index.insert(9, 2, Lsn::new(1001), at(2, 8));
        index.forget(Lsn::new(999));
        assert_eq!(index.len(), 1001, "one of them is not indexed yet");
        index.forget(Lsn::new(1000));
        assert_eq!((index.len(), lsns(&index, 2, 0)), (1, vec![1001]));
        index.insert(9, 3, Lsn::new(1002), at(3, 8));
        assert!(index.tables.back().is_some_and(|table| table.entries.capacity() >= 1000));
        assert_eq!(lsns(&index, 3, 0), [1002]);
    }
}
