//! After a failed write or sync: the same records once more, in a new segment.
//!
//! Why not the same file: the kernel marks pages clean when their write-back fails, so the next sync of the
//! file reports success for bytes that never reached the disk. Why not the records alone: what was synced
//! before, and is proven by nothing on disk yet, may be what the late error was about.
//!
//! The batches keep their order and their distances, so one [`Moved`] a segment leads readers from every place
//! that was handed out to the new one.

use std::sync::Arc;

use super::{Batch, Flight, FlightKind, Log, LogState, Target};
use crate::disk::{DiskOp, Work};
use crate::env::Now;
use crate::error::Error;
use crate::format::{BATCH_HEADER_LEN, HEADER_BLOCK_LEN, SegmentStamp};
use crate::log::segments::{Closing, Current};
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Moved, Seal};

/// A segment that loses its end to a rewrite.
struct CutTarget {
    target: Arc<Target>,
    /// The first byte that moves.
    from: u32,
    /// Bytes of it may have reached the disk.
    written: bool,
    /// A sync of it failed.
    poisoned: bool,
}

impl Log {
    /// The first failure starts a rewrite, one on the way of a rewrite ends the log.
    pub(super) fn commit_failed(&mut self, flight: Flight, error: Error, ops: &mut Vec<DiskOp>) {
        if flight.kind == FlightKind::Rewrite {
            return self.fail(error);
        }
        tracing::warn!(%error, "a write failed: what is not proven moves to a new segment");
        self.error = Some(error);
        self.state = LogState::Rewriting;
        self.prepare_at_us = 0;
        let poisoned = flight.batches.first().map(|batch| Arc::clone(&batch.target));

        // Retained batches of a segment whose footer is written or being written need no second proof.
        let mut again = Vec::new();
        for batch in std::mem::take(&mut self.retained) {
            let segment = batch.target.stamp.segment;
            let open = self.current.as_ref().is_some_and(|current| current.target.stamp.segment == segment)
                || self.closing.iter().any(|closing| closing.target.stamp.segment == segment);
            if open { again.push(batch) } else { self.recycle(batch.bytes) }
        }
        again.extend(flight.batches.into_iter().filter(|batch| batch.records > 0));
        let first_write = again.len();
        again.extend(std::mem::take(&mut self.closed));
        again.extend(self.filling.take());

        self.cut_targets(&again, first_write, poisoned.as_ref(), ops);
        self.rewrite = Some((again, first_write.max(1)));
    }

    /// Takes the ends that move away from their segments.
    fn cut_targets(
        &mut self,
        again: &[Batch],
        first_write: usize,
        poisoned: Option<&Arc<Target>>,
        ops: &mut Vec<DiskOp>,
    ) {
        let mut cuts: Vec<CutTarget> = Vec::new();
        for (at, batch) in again.iter().enumerate() {
            let known = cuts.iter_mut().find(|cut| cut.target.stamp == batch.target.stamp);
            match known {
                Some(cut) => cut.written |= at < first_write,
                None => cuts.push(CutTarget {
                    target: Arc::clone(&batch.target),
                    from: batch.offset,
                    written: at < first_write,
                    poisoned: false,
                }),
            }
        }
        // A marker flies only while a batch of its segment is retained, so the poisoned segment is among them.
        for cut in
            cuts.iter_mut().filter(|cut| poisoned.is_some_and(|poisoned| cut.target.stamp == poisoned.stamp))
        {
            (cut.poisoned, cut.written) = (true, true);
        }
        let last = again.first().map_or(self.next_lsn, |batch| batch.first).prev();
        for cut in cuts {
            self.cut_target(cut, last, ops);
        }
        self.current = None;
        self.seal_asked = false;
    }

    fn cut_target(&mut self, cut: CutTarget, last: Lsn, ops: &mut Vec<DiskOp>) {
        let CutTarget { target, from, written, poisoned } = cut;
        let segment = target.stamp.segment;
        let empty = u64::from(from) <= HEADER_BLOCK_LEN;
        self.change_entry(segment, |entry| {
            (entry.last, entry.limit) = (Some(last), u64::from(from));
            if empty {
                entry.seal = Seal::Dead;
            }
        });
        let known = self.closing_mut().iter().position(|closing| closing.target.stamp == target.stamp);
        let closing = known.and_then(|at| self.closing_mut().remove(at).map(|closing| (at, closing)));
        if empty {
            // Nothing of it counts any more. Never written: it can go. Written: the next start sets it aside.
            if !written {
                let token = self.next_token();
                ops.push(DiskOp { token, work: Work::Discard { segment } });
            }
            return;
        }
        let records = last.next().get().saturating_sub(target.base.get());
        let (at, was_poisoned, before) =
            closing.map_or((usize::MAX, false, None), |(at, closing)| (at, closing.poisoned, closing.before));
        let closing =
            Closing { target, used: from, last, records, poisoned: poisoned || was_poisoned, before };
        let at = at.min(self.closing_mut().len());
        self.closing_mut().insert(at, closing);
    }

    /// Once a segment is ready: moves the batches there and writes those that were on their way.
    pub(super) fn write_again(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.flight.is_some() || self.spare.is_none() {
            return;
        }
        let Some((mut again, first_write)) = self.rewrite.take() else { return };
        let Some(base) = again.first().map(|batch| batch.first) else {
            // Only a marker was lost.
            self.state = LogState::Healthy;
            return;
        };
        self.open_spare(base);
        let Some(Current { target, mut next }) = self.current.take() else { return };
        let mut moved: Vec<(SegmentStamp, Moved)> = Vec::new();
        for batch in &mut again {
            let (old, from) = (batch.target.stamp, batch.offset);
            if !moved.iter().any(|(stamp, _)| *stamp == old) {
                let to = Location { segment: target.stamp.segment, offset: next };
                moved.push((old, Moved { from, to }));
            }
            batch.move_to(&target, next);
            next = next.saturating_add(batch.padded(self.options.block_len));
        }
        for (stamp, moved) in moved {
            self.change_entry(stamp.segment, |entry| entry.moved = Some(moved));
        }
        self.current = Some(Current { target, next });
        self.closed.extend(again.split_off(first_write.min(again.len())));
        self.submit(now, FlightKind::Rewrite, again, base.prev(), ops);
    }

    /// The records that recovery could not prove: written again like those of a failed sync.
    pub(super) fn rewrite_tail(&mut self, mut records: Vec<u8>, count: u32) {
        let Some(spare) = self.spare.as_ref().filter(|_| count > 0) else { return };
        records.splice(0..0, [0; BATCH_HEADER_LEN]);
        // A target that stands for the place they come from; nothing is read from there or written to it.
        let stamp = SegmentStamp { segment: SegmentId::default(), epoch: 0, nonce: 0 };
        let (first, room, block_len) = (self.durable.next(), records.len(), self.options.block_len);
        let target =
            Arc::new(Target { stamp, file: Arc::clone(&spare.file), len: 0, block_len, base: first });
        let batch =
            Batch { target, offset: 0, activates: false, first, records: count, room, bytes: records };
        self.state = LogState::Rewriting;
        self.rewrite = Some((vec![batch], 1));
    }
}
