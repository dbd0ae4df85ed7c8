//! Walking through the bytes of one segment: batches, records, and what is damaged between them.
//!
//! The walk is a cursor without the bytes, so that a reader may own both. It is the only code that decides
//! what a record is and what damage is; recovery, feeds, compaction and verify all read through it.
//!
//! How it goes on behind damage, so that one flipped bit costs one record:
//! - a batch header that does not hold: the records behind it stand for themselves;
//! - a record that does not hold: the next one is searched for at every eighth byte, up to the end of the batch,
//!   or up to the next batch header when that of this batch is gone. What the search finds is checked by CRC,
//!   segment, epoch, nonce and LSN, and a payload cannot know the nonce.
//!
//! Invariants, with the test that holds each:
//! - LSNs come out dense; what is missing comes out as [`Item::Damage`]: `one_flipped_bit_costs_one_record`;
//! - nothing of another life of the blocks comes out: `stale_batches_are_not_seen`.

use crate::format::{BATCH_HEADER_LEN, BatchHeader, HEADER_BLOCK_LEN, SegmentStamp};
use crate::planted::planted;
use crate::position::Lsn;
use crate::record::{RECORD_ALIGN, RECORD_HEADER_LEN, RECORD_LEN_MAX, RecordRef, padded_len};

/// What the walk meets.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A valid batch header.
    Batch(BatchHeader),
    /// A valid record, the next in order, and where it begins.
    Record(RecordRef<'a>, u32),
    /// Bytes `from..to` do not hold; the records `first..=last` are lost. `last < first`: only a batch header.
    Damage { from: u32, to: u32, first: Lsn, last: Lsn },
}

/// Where a walk stands in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    stamp: SegmentStamp,
    block_len: usize,
    /// The next byte to look at.
    at: usize,
    /// End of the batch the walk is in; `None` at a boundary.
    batch: Option<Inside>,
    /// The next record in order.
    expect: Lsn,
    /// Nothing from here on belongs to batches.
    limit: usize,
    /// No record behind this one counts, wherever one is found: a device may have put it there that writes elsewhere.
    last: Lsn,
}

/// Inside a batch, or inside the remains of one whose header is gone.
#[derive(Clone, Copy, Debug)]
struct Inside {
    end: usize,
    /// LSN behind its last record; `None` when nothing tells.
    until: Option<Lsn>,
}

impl Walk {
    /// From the first batch of a segment, expecting `expect`, up to byte `limit`.
    pub(crate) fn new(stamp: SegmentStamp, block_len: u32, expect: Lsn, limit: u64) -> Self {
        Self {
            stamp,
            block_len: usize::try_from(block_len).unwrap_or(usize::MAX).max(RECORD_ALIGN),
            at: usize::try_from(HEADER_BLOCK_LEN).unwrap_or(usize::MAX),
            batch: None,
            expect,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            last: Lsn::new(u64::MAX),
        }
    }

    /// The same where the last record that counts is known.
    pub(crate) fn up_to(mut self, last: Lsn) -> Self {
        self.last = last;
        self
    }

    /// The same from another batch boundary.
    pub(crate) fn starting_at(mut self, at: u32) -> Self {
        self.at = usize_of(at);
        self
    }

    /// The same, looking no further than byte `limit`.
    pub(crate) fn limited(mut self, limit: usize) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// At the end, with nothing more to expect before `next`.
    pub(crate) fn ended(mut self, next: Lsn) -> Self {
        (self.at, self.batch, self.expect) = (self.limit, None, next);
        self
    }

    /// The LSN the walk would give out next.
    pub(crate) fn expect(&self) -> Lsn {
        self.expect
    }

    /// The byte the walk stands at: behind the last valid batch, at a boundary, when the walk has ended.
    pub(crate) fn offset(&self) -> u32 {
        offset_of(self.at)
    }

    /// The next item; `None` when nothing valid follows. `bytes` is the segment from byte `origin` on.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8], origin: usize) -> Option<Item<'a>> {
        let view = View { bytes, origin };
        loop {
            if let Some(inside) = self.batch {
                if self.at >= inside.end || inside.until.is_some_and(|until| self.expect >= until) {
                    if inside.until.is_some_and(|until| self.expect < until) {
                        // The header counts more records than its length holds: the header is right, so bytes
                        // inside were lost, and the search below has said so. Not reached with one fault.
                        return Some(self.lose_rest(inside));
                    }
                    self.leave(inside);
                    continue;
                }
                if let Some(record) = view.record(self.at, inside.end, &self.stamp)
                    && record.lsn() == self.expect
                {
                    let offset = offset_of(self.at);
                    self.at = self.at.saturating_add(padded_len(record.encoded_len()));
                    self.expect = self.expect.next();
                    return Some(Item::Record(record, offset));
                }
                match self.search_record(&view, inside) {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            if self.at.saturating_add(BATCH_HEADER_LEN) > self.limit {
                return None;
            }
            if let Some(header) = self.header_at(&view, self.at) {
                if header.first > self.expect {
                    // Whole batches before this one are gone, with no trace in the bytes just before it.
                    let (first, last) = (self.expect, header.first.prev());
                    self.expect = header.first;
                    let at = offset_of(self.at);
                    return Some(Item::Damage { from: at, to: at, first, last });
                }
                self.batch = Some(Inside {
                    end: self.at.saturating_add(usize_of(header.len)),
                    until: Some(header.last().next()),
                });
                self.at = self.at.saturating_add(BATCH_HEADER_LEN);
                return Some(Item::Batch(header));
            }
            return self.cross_hole(&view);
        }
    }

    /// Behind a batch: to the next boundary.
    fn leave(&mut self, inside: Inside) {
        self.at = inside.end.max(self.at).next_multiple_of(self.block_len);
        self.batch = None;
    }

    fn lose_rest(&mut self, inside: Inside) -> Item<'static> {
        let (from, first) = (offset_of(self.at), self.expect);
        self.expect = inside.until.unwrap_or(first);
        self.at = inside.end;
        Item::Damage { from, to: offset_of(inside.end), first, last: self.expect.prev() }
    }

    /// A valid batch header of this segment at a boundary, that does not go back in the order.
    fn header_at(&self, view: &View<'_>, at: usize) -> Option<BatchHeader> {
        let header = BatchHeader::decode(view.from(at)?)?;
        let whole = usize_of(header.len) >= BATCH_HEADER_LEN
            && at.saturating_add(usize_of(header.len)) <= self.limit
            && usize_of(header.offset) == at;
        (whole && header.stamp == self.stamp && header.first >= self.expect).then_some(header)
    }

    /// No valid header at a boundary: either the log ends here, or a header is damaged.
    fn cross_hole<'a>(&mut self, view: &View<'a>) -> Option<Item<'a>> {
        let from = self.at;
        let mut probe = from.saturating_add(self.block_len);
        let mut next = None;
        while probe.saturating_add(BATCH_HEADER_LEN) <= self.limit {
            if let Some(header) = self.header_at(view, probe) {
                next = Some((probe, header.first));
                break;
            }
            probe = probe.saturating_add(self.block_len);
        }
        match next {
            Some((end, until)) => {
                let inside = Inside { end, until: Some(until) };
                self.batch = Some(inside);
                self.at = from;
                if until == self.expect {
                    // A marker was hit, or its bytes never came: no record is lost.
                    self.at = end;
                    self.batch = None;
                    return Some(Item::Damage {
                        from: offset_of(from),
                        to: offset_of(end),
                        first: self.expect,
                        last: self.expect.prev(),
                    });
                }
                self.search_record(view, inside)
            }
            None => {
                // No header follows, so nothing tells how long the batch was whose own header is damaged. Its
                // records stand for themselves: the next one begins at most one record further on; behind that,
                // each block may begin a batch. At the honest end of a segment this looks at zeros.
                let nearby = from.saturating_add(RECORD_LEN_MAX);
                let mut at = from.saturating_add(RECORD_ALIGN);
                while at.saturating_add(RECORD_HEADER_LEN) <= self.limit {
                    if let Some(record) = view.record(at, self.limit, &self.stamp)
                        && record.lsn() >= self.expect
                        && record.lsn() <= self.last
                    {
                        let (first, last) = (self.expect, record.lsn().prev());
                        self.expect = record.lsn();
                        self.at = at;
                        self.batch = Some(Inside { end: self.limit, until: None });
                        return Some(Item::Damage { from: offset_of(from), to: offset_of(at), first, last });
                    }
                    at = if at < nearby {
                        at.saturating_add(RECORD_ALIGN)
                    } else {
                        let block = at.saturating_add(1).next_multiple_of(self.block_len);
                        block.saturating_add(BATCH_HEADER_LEN)
                    };
                }
                None
            }
        }
    }

    /// The record at `self.at` does not hold: goes to the next one that does, or to the end of the batch.
    /// `None` when that was the honest end of a batch without header.
    fn search_record<'a>(&mut self, view: &View<'a>, inside: Inside) -> Option<Item<'a>> {
        let from = self.at;
        if inside.until.is_none() {
            // In the remains of the last batch: its end is where its records end, unless damage lies between them. What
            // begins behind the next boundary is found from there.
            let boundary = from.next_multiple_of(self.block_len);
            let mut probe = from.saturating_add(RECORD_ALIGN);
            while probe <= boundary && probe.saturating_add(RECORD_HEADER_LEN) <= self.limit {
                if let Some(record) = view.record(probe, self.limit, &self.stamp)
                    && record.lsn() > self.expect
                    && record.lsn() <= self.last
                {
                    let (first, last) = (self.expect, record.lsn().prev());
                    self.expect = record.lsn();
                    self.at = probe;
                    return Some(Item::Damage { from: offset_of(from), to: offset_of(probe), first, last });
                }
                probe = probe.saturating_add(RECORD_ALIGN);
            }
            self.batch = None;
            self.at = boundary;
            return None;
        }
        if planted!(6) {
            return None.inspect(|_: &Item<'a>| {}).or_else(|| {
                self.at = self.limit;
                self.batch = None;
                None
            });
        }
        let mut probe = from.saturating_add(RECORD_ALIGN);
        while probe.saturating_add(RECORD_HEADER_LEN) <= inside.end {
            if let Some(record) = view.record(probe, inside.end, &self.stamp)
                && record.lsn() >= self.expect
                && inside.until.is_none_or(|until| record.lsn() < until)
            {
                let (first, last) = (self.expect, record.lsn().prev());
                self.expect = record.lsn();
                self.at = probe;
                return Some(Item::Damage { from: offset_of(from), to: offset_of(probe), first, last });
            }
            probe = probe.saturating_add(RECORD_ALIGN);
        }
        Some(self.lose_rest(inside))
    }
}

/// Bytes of a segment from `origin` on, addressed by offset in the segment.
struct View<'a> {
    bytes: &'a [u8],
    origin: usize,
}

impl<'a> View<'a> {
    fn from(&self, at: usize) -> Option<&'a [u8]> {
        self.bytes.get(at.checked_sub(self.origin)?..)
    }

    fn record(&self, at: usize, end: usize, stamp: &SegmentStamp) -> Option<RecordRef<'a>> {
        let len = end.checked_sub(at)?;
        let bytes = self.from(at)?;
        RecordRef::decode(bytes.get(..len).unwrap_or(bytes), stamp)
    }
}

/// Whether nothing was ever written here. By blocks, which compare at the speed of memory: byte by byte this took as
/// long as all checksums of a recovery.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

pub(crate) fn usize_of(number: u32) -> usize {
    // Lossless wherever this crate runs; on a 16-bit machine everything would be refused as too long.
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn offset_of(at: usize) -> u32 {
    // Segments are at most 1 GiB, checked when they are made and when they are opened.
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a failed test may panic"
    )]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn one_byte_anywhere_is_not_blank() {
        let mut bytes = vec![0; 10_000];
        assert!(is_blank(&bytes) && is_blank(&[]));
        for at in [0, 1, 4095, 4096, 8191, 8192, 9_999] {
            bytes[at] = 1;
            assert!(!is_blank(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }
    use crate::batch::{Batch, Numbers, Target};
    use crate::buffer::Filling;
    use crate::env::{Env, RealEnv};
    use crate::format::FOOTER_BLOCK_LEN;
    use crate::position::SegmentId;
    use crate::record::{NewRecord, RecordKind};

    const LEN: usize = 16 * 1024;

    fn stamp(epoch: u32) -> SegmentStamp {
        SegmentStamp { segment: SegmentId::new(1), epoch, nonce: 0x0123_4567_89AB_CDEF ^ u64::from(epoch) }
    }

    fn payload(lsn: u64) -> Vec<u8> {
        vec![lsn as u8; (lsn * 13 % 200) as usize]
    }

    /// Puts batches of so many records each into `bytes`, from LSN 1 on, and tells where they end.
    fn put(bytes: &mut [u8], epoch: u32, counts: &[u32]) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let file = RealEnv::new(dir.path()).create("unused".as_ref()).unwrap();
        let target = Arc::new(Target {
            stamp: stamp(epoch),
            file,
            len: LEN as u64,
            block_len: 512,
            base: Lsn::new(1),
        });
        let (mut at, mut lsn) = (4096, 1);
        for count in counts {
            let mut batch =
                Batch::new(Arc::clone(&target), at as u32, at as u32, Lsn::new(lsn), LEN, Filling::default());
            for _ in 0..*count {
                let parts: [&[u8]; 1] = [&payload(lsn)];
                let record = NewRecord {
                    kind: RecordKind::Document,
                    flags: 0,
                    partition: 0,
                    key_id: 0,
                    answer_code: 0,
                    parts: &parts,
                };
                let numbers = Numbers { lsn: Lsn::new(lsn), partition_seq: lsn, received_at_us: 7 };
                batch.push(&record, numbers, parts[0].len());
                lsn += 1;
            }
            let closed = batch.close(Lsn::new(batch.first.get() - 1), 1, 0, 512);
            bytes[at..at + closed.len()].copy_from_slice(&closed);
            at += closed.len();
        }
        at
    }

    /// LSNs that come out with the right payload, and those that are named as lost.
    fn walk(bytes: &[u8]) -> (Vec<u64>, Vec<u64>) {
        walk_blocks(bytes, 512)
    }

    fn walk_blocks(bytes: &[u8], block_len: u32) -> (Vec<u64>, Vec<u64>) {
        let (mut seen, mut lost) = (Vec::new(), Vec::new());
        let mut walk = Walk::new(stamp(2), block_len, Lsn::new(1), LEN as u64 - FOOTER_BLOCK_LEN);
        while let Some(item) = walk.next(bytes, 0) {
            match item {
                Item::Batch(_) => {}
                Item::Record(record, _) => {
                    assert_eq!(record.payload(), payload(record.lsn().get()));
                    seen.push(record.lsn().get());
                }
                Item::Damage { first, last, .. } => lost.extend(first.get()..=last.get()),
            }
        }
        (seen, lost)
    }

    #[test]
    fn a_whole_segment_is_walked_to_its_end() {
        let mut bytes = vec![0; LEN];
        put(&mut bytes, 2, &[3, 0, 1, 9, 0, 5]);
        assert_eq!(walk(&bytes), ((1..=18).collect(), vec![]));
    }

    // Exhaustive: a device can flip any bit, and the neighbours of the hit record were acknowledged, too.
    #[test]
    fn one_flipped_bit_costs_one_record() {
        let mut bytes = vec![0; LEN];
        let end = put(&mut bytes, 2, &[3, 0, 1, 6, 2]);
        for bit in 4096 * 8..end * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (seen, lost) = walk(&bytes);
            assert!(seen.is_sorted() && seen.len() + lost.len() >= 11, "bit {bit}: {seen:?}, lost {lost:?}");
            // Of the last record nothing tells that it was there, if its batch header is hit as well; one
            // bit cannot hit both.
            assert!(lost.len() <= 1 && seen.len() >= 11, "bit {bit}: {seen:?}, lost {lost:?}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_lost_sector_costs_the_records_it_touches() {
        let mut bytes = vec![0; LEN];
        let end = put(&mut bytes, 2, &[3, 1, 6, 2]);
        let whole = bytes.clone();
        for sector in 4096 / 512..end / 512 {
            bytes[sector * 512..(sector + 1) * 512].fill(0xEE);
            let (seen, lost) = walk(&bytes);
            assert!(seen.is_sorted() && seen.iter().all(|lsn| !lost.contains(lsn)), "sector {sector}");
            assert!(seen.len() >= 5, "sector {sector}: {seen:?}, lost {lost:?}");
            bytes.copy_from_slice(&whole);
        }
    }

    // Found by fuzzing: in the last batch of a sealed segment no later header helps the search.
    #[test]
    fn records_behind_a_lost_first_one_are_found_without_any_header() {
        let mut bytes = vec![0; LEN];
        put(&mut bytes, 2, &[3, 6]);
        let last = 4096 + 512;
        bytes[last..last + 2 * RECORD_HEADER_LEN].fill(0xEE);
        assert_eq!(walk(&bytes), (vec![1, 2, 3, 5, 6, 7, 8, 9], vec![4]));
    }

    // Found by the simulation: with blocks of 4 KiB a second damage in a batch without header cost all that follows it.
    #[test]
    fn a_second_damage_in_a_batch_without_header_costs_the_record_it_hit() {
        for block_len in [512, 4096] {
            let mut bytes = vec![0; LEN];
            put(&mut bytes, 2, &[9]);
            bytes[4096..4096 + BATCH_HEADER_LEN].fill(0xEE);
            let (whole, lost) = walk_blocks(&bytes, block_len);
            assert_eq!((whole, lost), ((1..=9).collect(), vec![]), "{block_len}");
            // The payload of record 5 is 65 bytes of 5.
            let at = bytes.windows(65).position(|window| window == [5; 65]).unwrap();
            bytes[at] ^= 1;
            assert_eq!(
                walk_blocks(&bytes, block_len),
                (vec![1, 2, 3, 4, 6, 7, 8, 9], vec![5]),
                "{block_len}"
            );
        }
    }

    // The device has put the begin of the next write, record 10, where the header of the last batch was. Found by the simulation.
    #[test]
    fn a_record_behind_the_last_one_that_counts_is_passed_over() {
        let mut bytes = vec![0; LEN];
        put(&mut bytes, 2, &[9]);
        let mut next = vec![0; LEN];
        let end = put(&mut next, 2, &[9, 1]);
        // Payloads of 13 to 117 bytes: the second batch begins in the last block.
        let begin = (end - 1) / 512 * 512;
        bytes[4096..4096 + 512].copy_from_slice(&next[begin..begin + 512]);
        let over = |last: u64| {
            let limit = begin as u64;
            let mut walk = Walk::new(stamp(2), 512, Lsn::new(1), limit).up_to(Lsn::new(last));
            let mut whole = Vec::new();
            while let Some(item) = walk.next(&bytes, 0) {
                if let Item::Record(record, _) = item {
                    whole.push(record.lsn().get());
                }
            }
            whole
        };
        assert_eq!(over(u64::MAX), [10]);
        assert_eq!(over(9), [6, 7, 8, 9]);
    }

    #[test]
    fn stale_batches_are_not_seen() {
        let mut bytes = vec![0; LEN];
        // An earlier life of the same blocks, longer than the new one: its batches follow where the new end.
        put(&mut bytes, 1, &[3, 3, 3, 3]);
        put(&mut bytes, 2, &[3, 3]);
        assert_eq!(walk(&bytes), ((1..=6).collect(), vec![]));
    }

    #[test]
    fn a_payload_cannot_pass_for_a_record() {
        // A register sends bytes that look like a record of ours; damage before them makes the walk search.
        let mut bytes = vec![0; LEN];
        put(&mut bytes, 2, &[2]);
        let forged = bytes[4096 + 64..4096 + 64 + 77].to_vec();
        let mut guess = forged.clone();
        guess[48..56].fill(0);
        let crc = crc_fast::crc32_iscsi(&guess[4..]).to_le_bytes();
        guess[..4].copy_from_slice(&crc);
        assert!(RecordRef::decode(&forged, &stamp(2)).is_some());
        assert!(RecordRef::decode(&guess, &stamp(2)).is_none());
    }
}
