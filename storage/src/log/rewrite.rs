//! After a failed write or sync: the same records once more, in a new segment.
//!
//! Why not the same file: the kernel marks pages clean when their write-back fails, so the next sync of the
//! file reports success for bytes that never reached the disk. Why not the records alone: what was synced
//! before, and is proven by nothing on disk yet, may be what the late error was about.
//!
//! The records keep their distances inside a batch, so one [`Moved`] a batch leads readers from every place that
//! was handed out to the new one. Readers are told only when the new place is durable: a retained record
//! was acknowledged, and can be read at its old place all the while.

use std::sync::Arc;

use super::{Batch, Batches, Flight, FlightKind, Log, LogState, Target};
use crate::buffer::Filling;
use crate::disk::{DiskOp, Run, Work};
use crate::env::Now;
use crate::error::Error;
use crate::format::{BATCH_HEADER_LEN, HEADER_BLOCK_LEN, SegmentStamp};
use crate::log::segments::{Closing, Current};
use crate::planted::planted;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Entry, Moved, Seal};
use crate::segment::offset_of;

/// A rewrite on its way.
pub(super) struct Rewrite {
    /// In order: what was retained, what was in flight, what was waiting. Empty once it is submitted.
    again: Vec<Batch>,
    /// So many of them go in the first write: they were acknowledged or tried before.
    first_write: usize,
    /// The segments that lose their ends.
    cuts: Vec<Cut>,
    /// Where they lose them to.
    arrival: Option<Entry>,
}

/// A segment that loses its end.
struct Cut {
    target: Arc<Target>,
    /// The first byte that moves.
    from: u32,
    /// Where the last record that stays ends.
    end: u32,
    /// Bytes of what moves may have reached the disk.
    written: bool,
    /// A sync of it failed.
    poisoned: bool,
    /// The last record that stays.
    last: Lsn,
    /// Where its batches move to.
    moved: Vec<Moved>,
}

impl Cut {
    /// Nothing but its header block stays.
    fn is_whole(&self) -> bool {
        u64::from(self.from) <= HEADER_BLOCK_LEN
    }
}

impl Log {
    /// The first failure starts a rewrite, one on the way of a rewrite ends the log.
    pub(super) fn commit_failed(&mut self, flight: Flight, error: Error, ops: &mut Vec<DiskOp>) {
        if flight.kind == FlightKind::Rewrite {
            if planted!(19) {
                return self.committed(flight);
            }
            return self.fail(error);
        }
        tracing::warn!(%error, "a write failed: what is not proven moves to a new segment");
        self.error = Some(error);
        self.state = LogState::Rewriting;
        self.prepare_at_us = 0;
        // Which of two files it was nobody knows: both are taken for poisoned.
        let poisoned = [flight.batches.first().map(|batch| batch.target.stamp), flight.before];

        // A retained batch of a segment whose footer is written, or may be, stays: the footer counts it.
        let mut again = Vec::new();
        // What a marker proves stays as well, unless a marker has failed: its segment has to be met below.
        let proven = self.markers > 0 && flight.kind == FlightKind::Plain;
        let of_it = |closing: &&mut Closing| proven && flight.before == Some(closing.target.stamp);
        self.closing.iter_mut().filter(of_it).for_each(|closing| closing.poisoned = true);
        if let Some(batch) = self.retained.take().filter(|_| !proven) {
            let segment = batch.target.stamp.segment;
            let open = self.current.as_ref().is_some_and(|current| current.target.stamp.segment == segment)
                || self
                    .closing
                    .iter()
                    .any(|closing| closing.target.stamp.segment == segment && !closing.tried);
            if open {
                again.push(batch);
            }
        }
        again.extend(flight.batches.into_iter().filter(|batch| batch.records > 0));
        let first_write = again.len();
        // What was handed over behind it is not begun.
        self.run = Run::default();
        if let Some(ahead) = self.ahead.take() {
            self.not_begun = Some(ahead.token);
            again.extend(ahead.batches.into_iter().filter(|_| !planted!(54)));
        }
        again.extend(std::mem::take(&mut self.closed));
        again.extend(self.filling.take().filter(|_| !planted!(17)));

        let last = again.first().map_or(self.next_lsn, |batch| batch.first).prev();
        let mut cuts: Vec<Cut> = Vec::new();
        for (at, batch) in again.iter().enumerate() {
            if let Some(cut) = cuts.iter_mut().find(|cut| cut.target.stamp == batch.target.stamp) {
                cut.written |= at < first_write;
                continue;
            }
            // A marker flies only while a batch of its segment is retained, so the poisoned one is met here.
            let (target, written) = (Arc::clone(&batch.target), at < first_write);
            let poisoned = poisoned.contains(&Some(target.stamp));
            cuts.push(Cut {
                target,
                from: batch.offset,
                end: batch.behind,
                written,
                poisoned,
                last,
                moved: Vec::new(),
            });
        }
        self.current = None;
        self.seal_asked = false;
        for cut in &cuts {
            self.close_cut(cut, ops);
        }
        self.rewrite = Some(Rewrite { again, first_write: first_write.max(1), cuts, arrival: None });
    }

    /// Whether a failed batch waits for a segment to go to, and none stands ready.
    pub(super) fn seeks_way_out(&self) -> bool {
        self.spares.is_empty() && self.rewrite.as_ref().is_some_and(|rewrite| !rewrite.again.is_empty())
    }

    /// What stays of a segment waits for its seal; a segment of which nothing stays goes.
    fn close_cut(&mut self, cut: &Cut, ops: &mut Vec<DiskOp>) {
        let known = self.closing.iter().position(|closing| closing.target.stamp == cut.target.stamp);
        let closing = known.and_then(|at| self.closing.remove(at).map(|closing| (at, closing)));
        if cut.is_whole() {
            // The chain of an earlier life goes on with the segment behind: this one takes no place in it.
            if planted!(40) {
                return;
            }
            if let Some((at, Some(before))) = closing.map(|(at, closing)| (at, closing.before)) {
                match self.closing.get_mut(at) {
                    Some(next) => next.before = next.before.or(Some(before)),
                    None => self.first_chain = Some(before),
                }
            }
            // Never written: it can go. Written: the next start sets it aside.
            if !cut.written || planted!(31) {
                let (token, segment) = (self.next_token(), cut.target.stamp.segment);
                ops.push(DiskOp { token, work: Work::Discard { segment } });
                self.copies.each(|sink| sink.discard(segment));
            }
            return;
        }
        let (at, poisoned, before) = match closing {
            Some((at, closing)) => (at, closing.poisoned, closing.before),
            None => (usize::MAX, false, self.first_chain.take()),
        };
        let at = at.min(self.closing.len());
        self.closing.insert(
            at,
            Closing {
                target: Arc::clone(&cut.target),
                used: cut.end,
                last: cut.last,
                records: cut.last.next().get().saturating_sub(cut.target.base.get()),
                poisoned: (poisoned || cut.poisoned) && !planted!(41),
                tried: false,
                before,
                give_back: true,
            },
        );
    }

    /// Once a segment is ready: moves the batches there and writes those that were on their way.
    pub(super) fn write_again(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.flight.is_some() {
            return;
        }
        let Some(base) = self.rewrite.as_ref().and_then(|rewrite| Some(rewrite.again.first()?.first)) else {
            return;
        };
        let Some((target, arrival)) = self.take_spare(base) else { return };
        let Some(rewrite) = &mut self.rewrite else { return };
        let mut next = offset_of(usize::try_from(HEADER_BLOCK_LEN).unwrap_or(usize::MAX));
        let mut again = std::mem::take(&mut rewrite.again);
        for batch in &mut again {
            let to = Location { segment: target.stamp.segment, offset: next };
            if let Some(cut) = rewrite.cuts.iter_mut().find(|cut| cut.target.stamp == batch.target.stamp) {
                cut.moved.push(Moved { from: batch.offset, to });
            }
            let pool = &mut self.pool;
            batch.move_to(&target, next, || pool.take());
            next = next.saturating_add(batch.padded(self.options.block_len));
        }
        rewrite.arrival = Some(arrival);
        let rest = again.split_off(rewrite.first_write.min(again.len()));
        self.closed.extend(rest);
        self.current = Some(Current { target, next, end: next });
        self.submit(now, FlightKind::Rewrite, Batches::from_iter(again), base.prev(), ops);
    }

    /// The new place is durable: readers learn of it, all at once.
    pub(super) fn rewritten(&mut self) {
        self.state = LogState::Healthy;
        let Some(Rewrite { cuts, arrival, .. }) = self.rewrite.take() else { return };
        let mut table = self.shared.table_mut();
        for cut in cuts {
            let Some(entry) = table.get_mut(&cut.target.stamp.segment) else { continue };
            (entry.last, entry.limit) = (Some(cut.last), u64::from(cut.end));
            if cut.is_whole() {
                entry.seal = Seal::Dead;
            }
            entry.moved = if planted!(18) { Vec::new() } else { cut.moved };
        }
        table.extend(arrival.map(|entry| (entry.stamp.segment, entry)));
    }

    /// The records that recovery could not prove: written again like those of a failed sync.
    pub(super) fn rewrite_tail(&mut self, mut records: Vec<u8>, count: u32) {
        let Some(spare) = self.spares.first().filter(|_| count > 0) else { return };
        records.splice(0..0, [0; BATCH_HEADER_LEN]);
        // A target that stands for the place they come from; nothing is read from there or written to it.
        let stamp = SegmentStamp { segment: SegmentId::default(), epoch: 0, nonce: 0 };
        let (first, room, block_len) = (self.durable.next(), records.len(), self.options.block_len);
        let target =
            Arc::new(Target { stamp, file: Arc::clone(&spare.file), len: 0, block_len, base: first });
        let batch = Batch {
            target,
            offset: 0,
            behind: 0,
            activates: false,
            first,
            records: count,
            room,
            bytes: Filling::from_bytes(&records),
            shared: None,
        };
        self.state = LogState::Rewriting;
        self.rewrite = Some(Rewrite { again: vec![batch], first_write: 1, cuts: Vec::new(), arrival: None });
    }
}
