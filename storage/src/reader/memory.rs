//! What readers find in memory: the newest durable batches, and maps of sealed segments.
//!
//! ```text
//! writer ── pin ──▶ ring of the newest durable batches (a few MiB) ──▶ read · feeds       no syscall, no page cache
//!                      └ the oldest goes back to the writer's pool, once the last reader lets it go
//! sealed segment ── first read ──▶ map, kept in a bounded cache ──▶ copies of records, slices for whoever walks
//! ```
//!
//! The writer takes the ring's lock once a batch, for a push; readers for as long as it takes to find a batch and to
//! count themselves in. A batch is pinned before the watermark moves over it, so that a record that is durable can be
//! read from here while a failed write is being repeated elsewhere: what the file shows then is nobody's guess.
//!
//! Invariants, with the test that holds each:
//! - a durable record can be read while a failed batch is rewritten: `tests/readers.rs`,
//!   `a_durable_record_is_read_from_memory_while_its_segment_fails`;
//! - a record outlives its segment's name and its place in the cache: `tests/readers.rs`,
//!   `a_record_outlives_the_segment_and_the_cache`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::buffer::Shared as SharedBytes;
use crate::format::SegmentStamp;
use crate::mmap;
use crate::position::{Location, Lsn, SegmentId};
use crate::record::RecordRef;
use crate::segment::usize_of;

/// Batches that are pinned at most.
const PINS_MAX: usize = 16;
/// Bytes that are pinned at most, as long as there is more than one batch.
const PINS_LEN_MAX: usize = 4 << 20;
/// Maps that are kept at most: 64 GiB of log in segments of 64 MiB. Address space is all they cost.
const MAPS_MAX: usize = 1024;

/// A durable batch in memory, as it lies on disk.
#[derive(Clone)]
pub(crate) struct Pin {
    pub(crate) stamp: SegmentStamp,
    /// Where it begins in its segment.
    pub(crate) offset: u32,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) bytes: SharedBytes,
}

impl Pin {
    /// The record at a place in it.
    fn record(&self, location: Location) -> Option<RecordRef<'_>> {
        let at = location.offset.checked_sub(self.offset).map(usize_of)?;
        let here = location.segment == self.stamp.segment;
        self.bytes.get(at..).filter(|_| here).and_then(|bytes| RecordRef::decode(bytes, &self.stamp))
    }

    fn holds(&self, location: Location) -> bool {
        let at = location.offset.checked_sub(self.offset).map(usize_of);
        location.segment == self.stamp.segment && at.is_some_and(|at| at < self.bytes.len())
    }
}

/// The newest durable batches, oldest first.
pub(crate) struct Pins {
    ring: VecDeque<Pin>,
    len: usize,
}

impl Default for Pins {
    fn default() -> Self {
        Self { ring: VecDeque::with_capacity(PINS_MAX.saturating_add(1)), len: 0 }
    }
}

impl Pins {
    /// Adds the newest one; what makes room for it is handed to `give`.
    pub(crate) fn push(&mut self, pin: Pin, mut give: impl FnMut(SharedBytes)) {
        self.len = self.len.saturating_add(pin.bytes.len());
        self.ring.push_back(pin);
        while self.ring.len() > PINS_MAX || (self.len > PINS_LEN_MAX && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.len = self.len.saturating_sub(oldest.bytes.len());
            give(oldest.bytes);
        }
    }

    /// Drops the batches that stand here a second time, at the place they have moved to. After the table leads there.
    pub(crate) fn drop_moved(&mut self) {
        let Some(newest) = self.ring.back().map(|pin| pin.stamp) else { return };
        let Some(base) = self.ring.iter().find(|pin| pin.stamp == newest).map(|pin| pin.first) else {
            return;
        };
        self.ring.retain(|pin| pin.stamp == newest || pin.first < base);
        self.len = self.ring.iter().fold(0, |len, pin| len.saturating_add(pin.bytes.len()));
    }

    /// The batch that holds a place.
    pub(super) fn at(&self, location: Location) -> Option<&Pin> {
        self.ring.iter().rev().find(|pin| pin.holds(location))
    }

    /// The batch that holds an LSN.
    pub(super) fn of(&self, lsn: Lsn) -> Option<&Pin> {
        // The newest copy counts: a rewritten batch stands here twice.
        self.ring.iter().rev().find(|pin| pin.first <= lsn && lsn <= pin.last)
    }
}

/// A copy of the record at a place of a pinned batch: a few hundred bytes instead of a hold on a whole batch.
pub(super) fn pinned_record(pin: &Pin, location: Location) -> Option<crate::record::OwnedRecord> {
    pin.record(location).map(|record| record.to_owned_record())
}

/// Maps of sealed segments.
#[derive(Default)]
pub(super) struct Maps {
    maps: BTreeMap<SegmentId, Map>,
    /// What [`mmap::faults`] said when the oldest of them was made: pages of zeros may stand in them once it moves.
    faults: u64,
}

struct Map {
    bytes: Bytes,
    /// Used since the cache was last short of room.
    used: AtomicBool,
}

impl Maps {
    /// The map of a segment, if it is in the cache, and every page of it can still be what the disk holds.
    pub(super) fn get(&self, segment: SegmentId) -> Option<&Bytes> {
        let map = self.maps.get(&segment).filter(|_| self.faults == mmap::faults())?;
        if !map.used.load(Ordering::Relaxed) {
            // Alone in its meaning: which map goes first is nobody's promise.
            map.used.store(true, Ordering::Relaxed);
        }
        Some(&map.bytes)
    }

    /// Lets a map go; it lives on in what was borrowed from it.
    pub(super) fn remove(&mut self, segment: SegmentId) {
        self.maps.remove(&segment);
    }

    /// Keeps a map; one that has not been used lately goes for it.
    pub(super) fn insert(&mut self, segment: SegmentId, bytes: Bytes) {
        let faults = mmap::faults();
        if self.faults != faults {
            // The disk may have hiccuped: a new map asks it again.
            self.maps.clear();
            self.faults = faults;
        }
        if self.maps.len() >= MAPS_MAX {
            let unused = self.maps.iter().find(|(_, map)| !map.used.swap(false, Ordering::Relaxed));
            let oldest = unused.or_else(|| self.maps.iter().next()).map(|(id, _)| *id);
            oldest.and_then(|id| self.maps.remove(&id));
        }
        // Not used until somebody comes again: a walk over the whole log pushes nothing out that is.
        self.maps.insert(segment, Map { bytes, used: AtomicBool::new(false) });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::buffer::Filling;

    #[test]
    fn the_cache_of_maps_is_bounded_and_keeps_what_is_used() {
        let mut maps = Maps::default();
        for number in 0..3_000 {
            maps.insert(SegmentId::new(number), Bytes::new());
            assert!(maps.get(SegmentId::new(0)).is_some(), "{number}");
        }
        assert_eq!(maps.maps.len(), MAPS_MAX);
    }

    #[test]
    fn pins_are_bounded_by_count_and_by_bytes() {
        let stamp = SegmentStamp { segment: SegmentId::new(1), epoch: 1, nonce: 1 };
        for (len, most) in [(1_000, PINS_MAX), (1 << 20, 4), (5 << 20, 1)] {
            let (mut pins, mut back) = (Pins::default(), 0);
            for at in 0..50 {
                let lsn = Lsn::new(u64::from(at) + 1);
                let pin = Pin {
                    stamp,
                    offset: at,
                    first: lsn,
                    last: lsn,
                    bytes: Filling::from_bytes(&vec![0; len]).share(),
                };
                pins.push(pin, |_| back += 1);
            }
            assert_eq!((pins.ring.len(), back), (most, 50 - most));
            assert!(pins.of(Lsn::new(50)).is_some() && pins.of(Lsn::new(1)).is_none());
        }
    }
}
