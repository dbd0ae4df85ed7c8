//! The writer: group commit over prewritten segments, as a machine without I/O.
//!
//! ```text
//!            append                step, disk idle              sync returned Ok
//! filling ─────────▶ (closed) ─────────────────▶ in flight ─────────────────▶ retained ──▶ gone
//!    ▲   full: close, open the next                 │ failed                    │   └ the next write is durable:
//!    └─ Full::Wait when a full one waits            ▼                           │     its header proves this one
//!                                          Rewriting: a new segment ◀───────────┘
//!                                                   │ failed again
//!                                                   ▼
//!                                                 Failed
//! ```
//!
//! - One write is begun at a time; the next batch fills meanwhile. With the disk idle a lone record goes at
//!   once: the window grows by load only.
//! - A batch that takes no more records waits at the disk already while the write before it is on its way, so that the disk does not stand
//!   still until the writer has heard of that one. It is begun only if that one has succeeded ([`Run`]), which is what its
//!   header says; so what is unproven is never more than one write. Not where a copy has to answer as well.
//! - A batch stays in memory after its sync until something on disk proves it: the header of the next batch, a
//!   marker after [`LogOptions::marker_after_us`] of idleness, or the footer of its segment. Till then, and until that
//!   write is durable itself, a failed sync writes it again: Linux may report an error late, to the next caller. A start
//!   does the same with what only the newest write proves; two markers at the end of a process spare it that. Where that would be the seal,
//!   whose errors nobody waits for, the segment is synced once more before: by the first write to the next one, or
//!   alone.
//! - One failed write or sync poisons the segment: it is never synced again by this process. What was not
//!   proven moves to a new segment with new checksums and the same LSNs; a failure on the way ends the log.
//! - A further copy that the host requires ([`Sink`](crate::Sink)) gets what every commit carries, and a batch is
//!   durable when the local sync and every copy have answered.
//! - Behind the watermark, on the other lane: further segments are prewritten, full ones are sealed. A rush goes into what stands ready;
//!   that work takes what the commits leave of the disk, as long as it comes in time ([`Due`](crate::disk::Due)).
//!
//! Invariants, with the test that holds each:
//! - I2, nothing is published before its sync returned Ok: `nothing_is_durable_before_its_sync_returned`;
//! - I4, LSNs are dense, partition sequences are dense, time never decreases: `tests/model.rs`;
//! - I13, a poisoned file is not synced again: `tests/faults.rs`, `a_poisoned_segment_is_never_synced_again`;
//! - nothing is acknowledged after the second failure: `tests/faults.rs`, `a_second_failure_ends_the_log`.

mod copies;
mod rewrite;
mod segments;
mod types;

use std::collections::VecDeque;
use std::sync::Arc;

use self::copies::Attached;
use self::rewrite::Rewrite;
pub(crate) use self::segments::{Closing, SPARES_MAX, Spare, Spares};
use self::segments::{Current, Preparing, Sealing};
pub use self::types::{Appended, Full, LogOptions, LogState, Progress};
use arrayvec::ArrayVec;

use crate::batch::{Batch, Numbers, Target};
use crate::buffer::{Pool, Shared as SharedBytes};
use crate::disk::{BUFFERS_MAX, Buffers, Completion, DiskOp, Run, Work, Write};
use crate::env::{LockGuard, Now};
use crate::error::Error;
use crate::format::{BATCH_HEADER_LEN, ChainHash, SegmentHeader, SegmentStamp};
use crate::planted::planted;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Durable, LogReader, Pin, Shared};
use crate::record::{NO_PARTITION, NewRecord, PARTITIONS, RECORD_HEADER_LEN, padded_len};
use crate::segment::{offset_of, usize_of};

/// The one writer of a directory. Made by [`crate::recover`].
///
/// The caller owns the loop: `append` what there is, `step`, submit the operations, poll the completions,
/// sleep until the queue wakes it or until [`Progress::wake_at_mono_us`].
pub struct Log {
    shared: Arc<Shared>,
    /// Given back when the log is dropped. The queue has to go first: its threads may still write.
    _lock: Option<LockGuard>,
    options: LogOptions,
    epoch: u32,
    /// Nonces of segments are made from it.
    seed: u64,

    next_lsn: Lsn,
    durable: Lsn,
    received_at_us: i64,
    partition_seq: Box<[u64; PARTITIONS as usize]>,
    /// Batches submitted by this process.
    sequence: u64,
    /// Operations submitted by this process.
    token: u64,

    filling: Option<Batch>,
    closed: VecDeque<Batch>,
    flight: Option<Flight>,
    /// Handed over behind the flight, begun if that one succeeds.
    ahead: Option<Flight>,
    run: Run,
    /// One that was ahead of a write that has failed: its end says nothing new.
    not_begun: Option<u64>,
    /// Durable, and proven by nothing on disk yet, or by one marker alone.
    retained: Option<Batch>,
    /// Markers behind the retained batch.
    markers: u8,
    pool: Pool,
    rewrite: Option<Rewrite>,
    copies: Attached,

    current: Option<Current>,
    /// Oldest first.
    spares: Spares,
    preparing: Option<Preparing>,
    prepare_at_us: u64,
    /// A record was turned away because no segment could be prepared.
    deferring: bool,
    next_segment: SegmentId,
    closing: VecDeque<Closing>,
    sealing: Option<Sealing>,
    seal_at_us: u64,
    /// The newest sealed segment and its chain.
    newest_chain: (SegmentId, ChainHash),
    /// The chain that the last seal came to: where the next one begins.
    last_chain: ChainHash,
    /// The same for the first segment of this process, where the segment before it was sealed by another.
    first_chain: Option<ChainHash>,

    state: LogState,
    seal_asked: bool,
    shutting_down: bool,
    /// Markers go at once: recovery wants its rewritten tail proven before anyone builds on it.
    hurry: bool,
    /// A start has yet to bring the mirror up to date: nothing is proven and nothing sealed before, since a record that rots where the tail was
    /// written again can be mended from its old place alone until then.
    copies_lag: bool,
    idle_since_us: u64,
    error: Option<Error>,
}

/// The write on its way. The disk holds its buffers, too.
struct Flight {
    token: u64,
    kind: FlightKind,
    /// A segment's header block, if it goes before.
    header: Option<SharedBytes>,
    batches: Batches,
    /// A segment besides that of the batches that is synced by it.
    before: Option<SegmentStamp>,
    /// The local sync has returned Ok; a copy may still have to answer.
    synced: bool,
}

impl Flight {
    /// What every copy has to hold before it is over; nothing waits for a marker.
    fn awaits(&self) -> Lsn {
        self.batches.last().filter(|batch| batch.records > 0).map_or(Lsn::NONE, Batch::last)
    }
}

/// Markers behind the last batch of a log that has ended, or has begun: the second one says that the sync of the first
/// has returned, so that no error of the batch can be outstanding.
const MARKERS_MAX: u8 = 2;
/// The batches of one write.
type Batches = ArrayVec<Batch, BUFFERS_MAX>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlightKind {
    Plain,
    Marker,
    Rewrite,
}

/// What recovery hands to the writer.
pub(crate) struct Start {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lock: Option<LockGuard>,
    pub(crate) options: LogOptions,
    pub(crate) epoch: u32,
    pub(crate) seed: u64,
    /// The last proven LSN: what lies behind it is in `tail`.
    pub(crate) proven: Lsn,
    pub(crate) received_at_us: i64,
    pub(crate) partition_seq: Box<[u64; PARTITIONS as usize]>,
    pub(crate) next_segment: SegmentId,
    /// At least one.
    pub(crate) spares: Spares,
    pub(crate) closing: VecDeque<Closing>,
    /// The newest sealed segment and its chain.
    pub(crate) newest_chain: (SegmentId, ChainHash),
    /// Chain of the last segment of the log, if it is sealed.
    pub(crate) first_chain: Option<ChainHash>,
    /// Records to be written again, as they lay on disk, and how many they are.
    pub(crate) tail: (Vec<u8>, u32),
}

impl Log {
    /// Starts where recovery ended: what nothing on disk proves is rewritten, as after a failed sync.
    pub(crate) fn start(start: Start) -> Self {
        let (tail, records) = start.tail;
        let mut log = Self {
            shared: start.shared,
            _lock: start.lock,
            options: start.options,
            epoch: start.epoch,
            seed: start.seed,
            next_lsn: Lsn::new(start.proven.get().saturating_add(u64::from(records))).next(),
            durable: start.proven,
            received_at_us: start.received_at_us,
            partition_seq: start.partition_seq,
            sequence: 0,
            token: 0,
            filling: None,
            closed: VecDeque::new(),
            flight: None,
            ahead: None,
            run: Run::default(),
            not_begun: None,
            retained: None,
            markers: 0,
            pool: Pool::new(start.options.batch_len_max),
            rewrite: None,
            copies: Attached::default(),
            current: None,
            spares: start.spares,
            preparing: None,
            prepare_at_us: 0,
            deferring: false,
            next_segment: start.next_segment,
            closing: start.closing,
            sealing: None,
            seal_at_us: 0,
            newest_chain: start.newest_chain,
            last_chain: ChainHash::default(),
            first_chain: start.first_chain,
            state: LogState::Healthy,
            seal_asked: false,
            shutting_down: false,
            hurry: true,
            copies_lag: true,
            idle_since_us: 0,
            error: None,
        };
        log.shared.publish(start.proven);
        log.rewrite_tail(tail, records);
        log
    }

    /// The mirror is up to date, or there is none.
    pub(crate) fn copies_are_there(&mut self) {
        self.copies_lag = false;
    }

    /// Whether the tail of the last process is durable in its new place.
    pub(crate) fn has_written_again(&self) -> bool {
        self.state == LogState::Healthy && self.flight.is_none()
    }

    /// Recovery is over: markers wait for idleness from now on.
    pub(crate) fn settled(&mut self) {
        self.hurry = false;
    }

    /// Whether everything is durable and proven, here and in every copy, and the next segment stands ready.
    pub(crate) fn is_settled(&self) -> bool {
        self.state == LogState::Healthy
            && self.flight.is_none()
            && self.filling.is_none()
            && self.closed.is_empty()
            && self.retained.is_none()
            && self.copies.settled()
            && (!self.spares.is_empty() || self.current.is_some())
    }

    /// Takes a record into the filling batch. Nothing is durable yet.
    ///
    /// # Errors
    /// [`Full`], which says whether waiting helps. The record has no number then.
    #[inline]
    pub fn append(&mut self, now: Now, record: NewRecord<'_>) -> Result<Appended, Full> {
        let payload_len = record.parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let padded = padded_len(payload_len.saturating_add(RECORD_HEADER_LEN));
        if !self.filling.as_ref().is_some_and(|batch| batch.fits(padded)) {
            self.make_room(payload_len, padded)?;
        }
        let Some(batch) = &mut self.filling else { return Err(Full::Wait) };
        // I4: the wall clock may jump; what is stored does not.
        self.received_at_us = if planted!(11) { now.wall_us } else { self.received_at_us.max(now.wall_us) };
        let sequence = self.partition_seq.get_mut(usize::from(record.partition));
        debug_assert!(
            sequence.is_some() || record.partition == NO_PARTITION,
            "partition {}",
            record.partition
        );
        let partition_seq = sequence.map_or(0, |sequence| {
            *sequence =
                sequence.saturating_add(if planted!(38) && record.flags == 0 && payload_len % 512 == 0 {
                    2
                } else {
                    1
                });
            *sequence
        });
        let numbers = Numbers { lsn: self.next_lsn, partition_seq, received_at_us: self.received_at_us };
        let offset = batch.push(&record, numbers, payload_len);
        self.next_lsn = self.next_lsn.next();
        Ok(Appended {
            lsn: numbers.lsn,
            partition_seq,
            received_at_us: numbers.received_at_us,
            location: Location { segment: batch.target.stamp.segment, offset },
        })
    }

    /// Opens a filling batch with room for a record of this length.
    #[cold]
    fn make_room(&mut self, payload_len: usize, padded: usize) -> Result<(), Full> {
        if self.shutting_down || matches!(self.state, LogState::Failed | LogState::Closed) {
            return Err(Full::Closed);
        }
        if payload_len > self.options.payload_len_max() {
            return Err(Full::TooLong);
        }
        if self.state == LogState::Rewriting {
            return Err(Full::Wait);
        }
        let need = padded.saturating_add(BATCH_HEADER_LEN);
        let next = match &self.filling {
            Some(_) if self.waiting() >= types::CLOSED_MAX => return Err(Full::Wait),
            Some(batch) => batch.offset.saturating_add(batch.padded(self.options.block_len)),
            None => self.current.as_ref().map_or(0, |current| current.next),
        };
        let room = self.current.as_ref().map_or(0, |current| current.limit().saturating_sub(next));
        let rotate = usize_of(room) < need || self.seal_asked;
        if rotate && self.spares.is_empty() {
            // Not while one is on its way for the first time: that is the ordinary wait for the disk.
            self.deferring |= self.prepare_at_us > 0;
            return Err(Full::Wait);
        }
        self.close_filling();
        if rotate {
            self.close_current();
            self.open_spare();
        }
        let Some(current) = &self.current else { return Err(Full::Wait) };
        let room = usize_of(current.limit().saturating_sub(current.next)).min(self.options.batch_len_max);
        let bytes = self.pool.take();
        self.filling = Some(Batch::new(
            Arc::clone(&current.target),
            current.next,
            current.end,
            self.next_lsn,
            room,
            bytes,
        ));
        Ok(())
    }

    /// Full batches whose write has not begun, as far as is known.
    fn waiting(&self) -> usize {
        self.closed.len().saturating_add(usize::from(self.ahead.is_some()))
    }

    /// The filling batch takes no more records: what was appended so far goes to the disk in one write, the next record begins another. For
    /// those who set the pace of the syncs themselves; without it a batch ends when the disk is idle or it is full.
    pub fn close_batch(&mut self) {
        if let Some(batch) = &mut self.filling {
            batch.room = 0;
        }
    }

    /// Moves the filling batch behind the one in flight.
    fn close_filling(&mut self) {
        if let Some(batch) = self.filling.take() {
            self.advance(&batch);
            self.closed.push_back(batch);
        }
    }

    /// The next batch of the current segment begins behind this one.
    fn advance(&mut self, batch: &Batch) {
        if let Some(current) = &mut self.current {
            current.next = batch.offset.saturating_add(batch.padded(self.options.block_len));
            if batch.records > 0 {
                current.end = current.next;
            }
        }
    }

    /// Takes completions in (draining them), puts operations out. Cheap when there is nothing to do.
    pub fn step(&mut self, now: Now, completions: &mut Vec<Completion>, ops: &mut Vec<DiskOp>) -> Progress {
        let mut sealed = Vec::new();
        self.poll_copies(now);
        for completion in completions.drain(..) {
            self.complete(now, completion, ops, &mut sealed);
        }
        self.land(now);
        match self.state {
            LogState::Rewriting => self.write_again(now, ops),
            LogState::Healthy => {
                self.submit_next(now, ops);
                self.prove(now, ops);
            }
            LogState::Failed | LogState::Closed => {}
        }
        if self.state != LogState::Failed {
            // In this order: a seal that was asked for does not stand behind zeros for later.
            self.seal_next(now, ops);
            self.prepare_spare(now, ops);
            self.tell_what_is_due();
        }
        Progress {
            durable: self.durable,
            wake_at_mono_us: self.wake_at(),
            state: self.state,
            sealed,
            deferring: self.deferring || self.copies.deferring(),
            copies: self.copies.state(),
        }
    }

    fn complete(
        &mut self,
        now: Now,
        completion: Completion,
        ops: &mut Vec<DiskOp>,
        sealed: &mut Vec<SegmentId>,
    ) {
        let Completion { token, result } = completion;
        if let Some(mut flight) = self.flight.take_if(|flight| flight.token == token) {
            if let Some(header) = flight.header.take() {
                self.pool.give(header);
            }
            match result {
                Ok(_) => {
                    self.flight = Some(Flight { synced: true, ..flight });
                    // The one behind it may end in the same step.
                    self.land(now);
                }
                Err(error) => {
                    self.idle_since_us = now.mono_us;
                    self.commit_failed(flight, error, ops);
                }
            }
        } else if self.preparing.as_ref().is_some_and(|it| it.token == token) {
            self.prepared(now, result);
        } else if let Some(sealing) = self.sealing.take_if(|sealing| sealing.token == token) {
            self.sealed(now, sealing, result, sealed);
        } else if self.not_begun.take_if(|expected| *expected == token).is_none()
            && let Err(error) = result
        {
            // A discarded file that would not go away: the next start removes it.
            tracing::warn!(%error, "a prepared segment was not removed");
        }
    }

    /// Ends the flight once the local disk and every copy have answered.
    fn land(&mut self, now: Now) {
        if self.state == LogState::Failed {
            return;
        }
        let held = self.copies.held();
        if let Some(flight) = self.flight.take_if(|flight| flight.synced && flight.awaits() <= held) {
            self.idle_since_us = now.mono_us;
            self.committed(flight);
            self.flight = self.ahead.take();
        }
    }

    /// All have answered: this is the only place where the watermark moves.
    fn committed(&mut self, flight: Flight) {
        // Readers may still hold what is let go here.
        if flight.kind == FlightKind::Marker {
            // A start believes the newest write about nothing: the batch is kept for a second marker.
            self.markers = self.markers.saturating_add(1);
            if flight.batches.is_empty() || self.markers >= MARKERS_MAX {
                self.retained = None;
            }
            for marker in flight.batches {
                self.recycle(marker);
            }
            return;
        }
        self.retained = None;
        self.markers = 0;
        let mut batches = flight.batches;
        // Before the table and the watermark lead anybody there.
        for batch in &batches {
            self.pin(batch);
        }
        if flight.kind == FlightKind::Rewrite {
            self.rewritten();
            self.shared.pins_mut().drop_moved();
        }
        // The last one was in flight; what was retained before it has been synced twice in its new place.
        if let Some(last) = batches.pop() {
            assert!(
                last.last() >= self.durable,
                "the watermark would go back: {} < {}",
                last.last(),
                self.durable
            );
            self.durable = if planted!(8) { self.next_lsn.prev() } else { last.last() };
            self.shared.publish(self.durable);
            self.retained = if planted!(9) { None } else { Some(last) };
        }
    }

    /// Keeps a durable batch in memory for readers; the oldest ones make room for it.
    fn pin(&mut self, batch: &Batch) {
        let Some(bytes) = &batch.shared else { return };
        let pin = Pin {
            stamp: batch.target.stamp,
            offset: batch.offset,
            first: batch.first,
            last: batch.last(),
            bytes: Arc::clone(bytes),
        };
        let pool = &mut self.pool;
        self.shared.pins_mut().push(pin, |unpinned| pool.give(unpinned));
    }

    fn submit_next(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.flight.is_none() {
            if self.closed.is_empty() {
                self.close_filling();
            }
            if let Some(batch) = self.closed.pop_front() {
                self.submit(now, FlightKind::Plain, Batches::from_iter([batch]), self.durable, ops);
            } else if self.seal_asked {
                // Everything of the segment is durable: it may be closed without waiting for the next record.
                self.close_current();
            }
        }
        self.submit_ahead(now, ops);
    }

    /// Hands a full batch over behind the write that is on its way. It is never the first of its segment: what the segment before that needs
    /// besides is asked for when all of it is durable.
    fn submit_ahead(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        let Some(flight) = self.flight.as_ref().filter(|flight| flight.kind == FlightKind::Plain) else {
            return;
        };
        let Some(before) = flight.batches.last().filter(|_| self.ahead.is_none() && self.copies.is_empty())
        else {
            return;
        };
        let (stamp, proven) = (before.target.stamp, before.last());
        let goes = |batch: &Batch| batch.target.stamp == stamp;
        if self.closed.is_empty()
            && self.filling.as_ref().is_some_and(|batch| batch.is_closed() && goes(batch))
        {
            self.close_filling();
        }
        if self.closed.front().is_some_and(goes)
            && let Some(batch) = self.closed.pop_front()
        {
            self.submit(now, FlightKind::Plain, Batches::from_iter([batch]), proven, ops);
        }
    }

    /// One write: the header block if the segment is not activated yet, then the batches.
    fn submit(
        &mut self,
        now: Now,
        kind: FlightKind,
        mut batches: Batches,
        proven: Lsn,
        ops: &mut Vec<DiskOp>,
    ) {
        let Some(first) = batches.first() else { return };
        let (target, offset, activates) = (Arc::clone(&first.target), first.offset, first.activates);
        let mut buffers = Buffers::new();
        if activates {
            let mut block = self.pool.take();
            let (chained, chain) = self.newest_chain;
            let Target { stamp, len, block_len, base, .. } = *target;
            let (created_at_us, before) = (now.wall_us, self.segment_before(stamp.segment, base));
            let header = SegmentHeader { stamp, base, len, block_len, created_at_us, chained, chain, before };
            block.bytes.extend_from_slice(&header.encode());
            buffers.push(block.share());
        }
        let header = buffers.first().map(Arc::clone);
        let mut more = offset_of(batches.len());
        for batch in &mut batches {
            (self.sequence, more) = (self.sequence.saturating_add(1), more.saturating_sub(1));
            buffers.push(batch.close(proven, self.sequence, more, self.options.block_len));
        }
        if planted!(2)
            && let Some(last) = batches.last()
        {
            self.durable = self.durable.max(last.last())
        }
        let token = self.next_token();
        let offset = if activates { 0 } else { u64::from(offset) };
        // What the header of a new segment proves lies in another file: an error that comes late would come there.
        // What a batch that goes ahead proves lies in its own.
        let ahead = self.flight.is_some();
        let before = self.retained.as_ref().filter(|_| kind != FlightKind::Rewrite && !ahead);
        let before = before.map(|batch| &batch.target);
        let before = before.filter(|before| before.stamp != target.stamp && !planted!(37));
        let (synced, before) =
            (before.map(|before| before.stamp), before.map(|before| Arc::clone(&before.file)));
        let last = batches.last().map_or(Lsn::NONE, Batch::last);
        let first = batches.first().map_or(Lsn::NONE, |batch| batch.first);
        self.carry(target.stamp, offset, &buffers, synced, first..last.next());
        // What moves is asked for at once whether an error comes late: of several batches only one is kept until the next sync, and
        // a marker behind a new copy that the device does not hold would make the old one count no more.
        let twice = kind == FlightKind::Rewrite;
        let write = Write { file: Arc::clone(&target.file), offset, buffers, before, twice };
        ops.push(DiskOp { token, work: Work::Commit { write, run: self.run.clone(), ahead } });
        let place = if ahead { &mut self.ahead } else { &mut self.flight };
        *place = Some(Flight { token, kind, header, batches, before: synced, synced: false });
    }

    /// Syncs the closed segment of the last batch once more: an error that comes late comes before its seal, while
    /// the batch can be written again.
    fn sync_again(&mut self, ops: &mut Vec<DiskOp>) {
        let Some(target) = self.retained.as_ref().map(|batch| Arc::clone(&batch.target)) else { return };
        let (token, file) = (self.next_token(), Arc::clone(&target.file));
        let next = self.durable.next();
        self.carry(target.stamp, 0, &Buffers::new(), None, next..next);
        let write = Write { file, offset: 0, buffers: Buffers::new(), before: None, twice: false };
        ops.push(DiskOp { token, work: Work::Commit { write, run: self.run.clone(), ahead: false } });
        let (kind, header, batches) = (FlightKind::Marker, None, Batches::new());
        let before = Some(target.stamp);
        self.flight = Some(Flight { token, kind, header, batches, before, synced: false });
    }

    /// Writes a marker when the last batch has gone unproven long enough, or the process is about to end.
    fn prove(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.flight.is_some() || self.filling.is_some() || self.copies_lag {
            return;
        }
        let Some(due) = self.marker_at() else {
            if self.retained.is_some() {
                return self.sync_again(ops);
            }
            // What is in a closed segment the footer will prove. Where a poisoned segment gets no footer, the next
            // start writes the batch again.
            let waiting = self.sealing.is_some() || (!self.closing.is_empty() && self.seal_at_us == 0);
            if self.shutting_down && !waiting && self.copies.settled() {
                self.state = LogState::Closed;
            }
            return;
        };
        let Some(current) = self.current.as_ref().filter(|_| due <= now.mono_us) else { return };
        if current.limit().saturating_sub(current.next) < self.options.block_len {
            // No room for a marker: the footer proves as well.
            self.close_current();
            return self.sync_again(ops);
        }
        let (target, next, end) = (Arc::clone(&current.target), current.next, current.end);
        let bytes = self.pool.take();
        let marker = Batch::new(target, next, end, self.next_lsn, BATCH_HEADER_LEN, bytes);
        self.advance(&marker);
        self.submit(now, FlightKind::Marker, Batches::from_iter([marker]), self.durable, ops);
    }

    /// When the next marker is due; `None` when there is nothing that a marker could prove.
    fn marker_at(&self) -> Option<u64> {
        if self.flight.is_some() || self.filling.is_some() {
            return None;
        }
        let here = self.current.as_ref().map(|current| current.target.stamp.segment);
        let there = self.retained.as_ref().map(|batch| batch.target.stamp.segment);
        let due = match self.markers {
            _ if self.hurry => 0,
            0 => self.idle_since_us.saturating_add(self.options.marker_after_us),
            // The second one waits for the end of the process, or is the next batch.
            _ => u64::MAX,
        };
        (there.is_some() && here == there).then_some(due)
    }

    fn wake_at(&self) -> Option<u64> {
        let marker = self.marker_at().filter(|due| self.state == LogState::Healthy && *due < u64::MAX);
        let prepare = (self.lacks_spare() && self.prepare_at_us > 0).then_some(self.prepare_at_us);
        let waits = self.sealing.is_none() && !self.closing.is_empty();
        let seal = (waits && self.seal_at_us > 0).then_some(self.seal_at_us);
        let waits = [marker, prepare, seal, self.copies.wake_at()];
        if self.state == LogState::Failed { None } else { waits.into_iter().flatten().min() }
    }

    /// Asks to close the open segment at the next step, so that it can be sealed and compacted. Nothing
    /// happens when it holds no record.
    pub fn seal(&mut self) {
        self.seal_asked = self.current.is_some();
    }

    /// No further record is taken; once everything is durable a last marker proves it and the state is
    /// [`LogState::Closed`]. Keep stepping until then.
    pub fn shutdown(&mut self) {
        self.shutting_down = true;
        self.hurry = true;
        // The hot path of `append` looks at the filling batch alone: without one it asks `make_room`.
        self.close_filling();
    }

    /// Whether any record lies in a segment whose seal is not done.
    pub fn has_unsealed(&self) -> bool {
        self.current.is_some() || self.sealing.is_some() || !self.closing.is_empty()
    }

    /// Longest payload, bytes.
    pub fn payload_len_max(&self) -> usize {
        self.options.payload_len_max()
    }

    /// The LSN the next record gets.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The greatest time that a record bears, unix µs UTC; `i64::MIN` before the first one.
    pub fn received_at_us(&self) -> i64 {
        self.received_at_us
    }

    /// The last durable LSN.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// How the log is.
    pub fn state(&self) -> LogState {
        self.state
    }

    /// The epoch of this process.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The last storage fault, for the health page.
    pub fn last_error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The watermark, for other threads.
    pub fn durable_handle(&self) -> Durable {
        Durable { shared: Arc::clone(&self.shared) }
    }

    /// A reader of this log, for other threads.
    pub fn reader(&self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    fn next_token(&mut self) -> u64 {
        self.token = self.token.saturating_add(1);
        self.token
    }

    /// Keeps the buffer of a batch for the next one.
    fn recycle(&mut self, batch: Batch) {
        if let Some(bytes) = batch.shared {
            self.pool.give(bytes);
        }
    }

    fn fail(&mut self, error: Error) {
        tracing::error!(%error, "the log has failed: nothing is acknowledged any more");
        self.error = Some(error);
        self.state = LogState::Failed;
        // Nothing is taken any more: `append` finds no filling batch.
        self.filling = None;
    }
}
