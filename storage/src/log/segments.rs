//! The segments of the writer: one open, one prewritten ahead or two, full ones on their way to their seal.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::{Log, LogState};
use crate::batch::Target;
use crate::disk::{DiskOp, Done, Due, Work};
use crate::env::{File, Now};
use crate::error::{Error, ErrorKind};
use crate::format::{ChainHash, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, SegmentFooter, SegmentStamp};
use crate::planted::planted;
use crate::position::{Lsn, SegmentId};
use crate::reader::{Entry, Seal};
use crate::segment::offset_of;
use crate::sink::SealedCopy;

/// The open segment.
pub(crate) struct Current {
    pub(crate) target: Arc<Target>,
    /// Where the next batch begins.
    pub(crate) next: u32,
    /// Where the last batch with records ends; markers may follow.
    pub(crate) end: u32,
}

impl Current {
    /// No batch reaches behind this byte.
    pub(crate) fn limit(&self) -> u32 {
        offset_of(usize::try_from(self.target.len.saturating_sub(FOOTER_BLOCK_LEN)).unwrap_or(usize::MAX))
    }
}

/// Segments that stand ready at most: one ahead of the open one, and, while none is open, the one that will be.
pub(crate) const SPARES_MAX: usize = 2;

/// A prewritten segment that nobody has written to.
pub(crate) struct Spare {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
}

/// Those that stand ready, oldest first.
pub(crate) type Spares = ArrayVec<Spare, SPARES_MAX>;

/// A segment that takes no more batches and waits for its seal.
pub(crate) struct Closing {
    pub(crate) target: Arc<Target>,
    /// Where the last record that counts ends. Markers behind it do not: one of them may be in the page cache only.
    pub(crate) used: u32,
    /// The last record that counts.
    pub(crate) last: Lsn,
    /// Records that can be read.
    pub(crate) records: u64,
    /// A sync of it has failed: its chain is computed, its footer waits for the next start.
    pub(crate) poisoned: bool,
    /// A seal was tried: its footer may be on the disk, so the segment ends where the footer says.
    pub(crate) tried: bool,
    /// Chain of the segment before it, where that one was sealed in an earlier life.
    pub(crate) before: Option<ChainHash>,
    /// Its unused blocks are given back. Not where its header is gone: what lies behind the last record may be all that tells
    /// whose life this is, until the footer is durable.
    pub(crate) give_back: bool,
}

/// A segment that is being prewritten.
pub(super) struct Preparing {
    pub(super) token: u64,
    pub(super) segment: SegmentId,
    due: Due,
}

/// A seal on its way.
pub(super) struct Sealing {
    pub(super) token: u64,
    pub(super) closing: Closing,
    /// Without its chain.
    pub(super) footer: SegmentFooter,
    due: Due,
}

/// SplitMix64: spreads the random seed of the process over the segments.
fn nonce_of(seed: u64, segment: SegmentId) -> u64 {
    let mut z = seed.wrapping_add(u64::from(segment.get()).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Log {
    /// Makes the oldest spare the open segment; its first record will be the next one.
    pub(super) fn open_spare(&mut self) {
        let Some((target, entry)) = self.take_spare(self.next_lsn) else { return };
        self.shared.table_mut().insert(target.stamp.segment, entry);
        let next = offset_of(usize::try_from(HEADER_BLOCK_LEN).unwrap_or(usize::MAX));
        self.current = Some(Current { target, next, end: next });
    }

    /// Gives the spare a life that begins with `base`, and says what readers will have to know of it.
    pub(super) fn take_spare(&mut self, base: Lsn) -> Option<(Arc<Target>, Entry)> {
        let Spare { id, file, len } = self.spares.pop_at(0)?;
        let stamp = SegmentStamp { segment: id, epoch: self.epoch, nonce: nonce_of(self.seed, id) };
        let block_len = self.options.block_len;
        let entry = Entry {
            stamp,
            block_len,
            base,
            last: None,
            limit: len.saturating_sub(FOOTER_BLOCK_LEN),
            file: Some(Arc::clone(&file)),
            seal: Seal::Open,
            chain: ChainHash::default(),
            moved: Vec::new(),
        };
        Some((Arc::new(Target { stamp, file, len, block_len, base }), entry))
    }

    /// No further batch goes to the open segment. All records that have a number are in it or before it.
    pub(super) fn close_current(&mut self) {
        self.seal_asked = false;
        let Some(Current { target, end, .. }) = self.current.take() else { return };
        let last = self.next_lsn.prev();
        self.change_entry(target.stamp.segment, |entry| {
            entry.last = Some(last);
            entry.limit = u64::from(end);
        });
        let records = self.next_lsn.get().saturating_sub(target.base.get());
        let before = self.first_chain.take();
        self.closing.push_back(Closing {
            target,
            used: end,
            last,
            records,
            poisoned: false,
            tried: false,
            before,
            give_back: true,
        });
    }

    /// The segment that the log goes on from where another begins with `base`: a start that does not find it does not take an
    /// older one, which may still hold what moved on, for it.
    pub(super) fn segment_before(&self, segment: SegmentId, base: Lsn) -> SegmentId {
        let table = self.shared.table();
        let before =
            table.range(..segment).rev().find(|(_, entry)| entry.base < base && entry.seal != Seal::Dead);
        before.map(|(id, _)| *id).unwrap_or_default()
    }

    pub(super) fn change_entry(&self, segment: SegmentId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.shared.table_mut().get_mut(&segment) {
            change(entry);
        }
    }

    /// The one that stands ready behind the one that records go to next.
    pub(crate) fn second_spare(&self) -> Option<SegmentId> {
        self.spares.get(usize::from(self.current.is_none())).map(|spare| spare.id)
    }

    /// Whether another segment should stand ready, and none is on its way.
    pub(super) fn lacks_spare(&self) -> bool {
        let is_idle = self.current.is_none() && self.closing.is_empty() && self.sealing.is_none();
        let wanted = match self.shutting_down {
            // No further record comes; what fails may still need one.
            true => usize::from(self.rewrite.is_some()),
            // A start waits for the first one, and a seal for none that stands before it in vain.
            false => {
                if is_idle && !self.hurry {
                    SPARES_MAX
                } else {
                    1
                }
            }
        };
        self.spares.len() < wanted && self.preparing.is_none()
    }

    /// What is done behind the watermark is put off for commits as long as it comes in time. It is the same for every segment, a prewriting and
    /// a seal, and goes on evenly while one is used: a rush that ends in the first quarter of it has the disk for itself, and a log that is
    /// filled without a pause does not have to wait for all of it at once.
    pub(super) fn tell_what_is_due(&self) {
        let eighth = self.options.segment_len / 8;
        // Eight bytes of it for three of commits, from this eighth on; all of it while no segment is open.
        let due_from = |eighths: u64| {
            self.current.as_ref().map_or(u64::MAX, |current| {
                u64::from(current.next).saturating_sub(eighths.saturating_mul(eighth)).saturating_mul(8) / 3
            })
        };
        let of_prepare = if self.spares.is_empty() { due_from(2) } else { 0 };
        // With another behind it it is late.
        let of_seal = if self.closing.is_empty() { due_from(5) } else { u64::MAX };
        // The one that stands before the other is waited for by both.
        match (&self.preparing, &self.sealing) {
            (Some(preparing), Some(sealing)) => {
                let goes_first = preparing.token < sealing.token;
                preparing.due.up_to(if goes_first { of_prepare.max(of_seal) } else { of_prepare });
                sealing.due.up_to(if goes_first { of_seal } else { of_seal.max(of_prepare) });
            }
            (Some(preparing), None) => preparing.due.up_to(of_prepare),
            (None, Some(sealing)) => sealing.due.up_to(of_seal),
            (None, None) => {}
        }
        // Nobody waits for a segment that no record will come to.
        if let Some(preparing) =
            self.preparing.as_ref().filter(|_| self.shutting_down && self.rewrite.is_none())
        {
            preparing.due.give_up();
        }
    }

    /// Further segments are always ready ahead.
    pub(super) fn prepare_spare(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        let wanted = self.lacks_spare() && self.state != LogState::Closed;
        if !wanted || now.mono_us < self.prepare_at_us {
            return;
        }
        let (token, segment) = (self.next_token(), self.next_segment);
        let due = Due::default();
        self.preparing = Some(Preparing { token, segment, due: due.clone() });
        let len = self.options.segment_len;
        self.copies.each(|sink| sink.prepare(segment, len));
        // The way out of a failed write is what the reserve is kept for.
        let free_min = if self.seeks_way_out() { 0 } else { self.options.low_water() };
        ops.push(DiskOp { token, work: Work::Prepare { segment, len, free_min, due } });
    }

    pub(super) fn prepared(&mut self, now: Now, result: Result<Done, Error>) {
        let Some(Preparing { segment: id, due, .. }) = self.preparing.take() else { return };
        match result {
            Ok(Done::Prepared(file)) => {
                self.prepare_at_us = 0;
                self.deferring = false;
                // A try that failed has left nothing: the next one takes the same number.
                self.next_segment = id.next();
                self.spares.push(Spare { id, file, len: self.options.segment_len });
            }
            Ok(_) => {}
            Err(_) if due.is_given_up() => {}
            // Refused for the low-water mark before the failure came: now the reserve is there to be used.
            Err(error) if self.seeks_way_out() && error.kind() == ErrorKind::Retry => {
                self.prepare_at_us = 0;
            }
            // The new segment was the way out of a failure: this is the second one.
            Err(error) if self.seeks_way_out() => self.fail(error),
            Err(error) => {
                // A full disk: what is reserved still fits, then the log waits until space comes back. Told once, and
                // not with every try.
                if self.current.is_none() && !self.spares.is_empty() {
                    tracing::debug!(%error, segment = %id, "one segment stands ready, and no second one");
                } else {
                    if self.prepare_at_us == 0 {
                        tracing::warn!(%error, segment = %id, "alarm: no segment could be prepared");
                    }
                    self.error = Some(error);
                }
                self.prepare_at_us = now.mono_us.saturating_add(self.options.prepare_retry_us).max(1);
            }
        }
    }

    /// Seals the oldest closed segment once everything in it is durable. One at a time, in order: each chain
    /// begins where the one before ends.
    pub(super) fn seal_next(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.sealing.is_some() || now.mono_us < self.seal_at_us || self.copies_lag {
            return;
        }
        let busy = self
            .flight
            .as_ref()
            .and_then(|flight| flight.batches.first())
            .map(|batch| batch.target.stamp.segment);
        // A batch that may have to be written again keeps its segment from being sealed.
        let kept = self.retained.as_ref().map(|batch| batch.target.stamp.segment);
        let durable = self.durable;
        let ready = |closing: &Closing| {
            let segment = Some(closing.target.stamp.segment);
            planted!(14) || closing.last <= durable && busy != segment && kept != segment
        };
        if self.state == LogState::Rewriting || !self.closing.front().is_some_and(ready) {
            return;
        }
        let Some(closing) = self.closing.pop_front() else { return };
        let footer = SegmentFooter {
            stamp: closing.target.stamp,
            block_len: closing.target.block_len,
            base: closing.target.base,
            last: closing.last,
            records: closing.records,
            used: if planted!(13) {
                u64::from(closing.used).saturating_sub(u64::from(closing.target.block_len))
            } else {
                u64::from(closing.used)
            },
            chain_before: closing.before.unwrap_or(self.last_chain),
            chain: ChainHash::default(),
        };
        let token = self.next_token();
        let (file, len) = (Arc::clone(&closing.target.file), closing.target.len);
        let write = !closing.poisoned || planted!(15);
        let give_back = closing.give_back;
        let due = Due::default();
        let work = Work::Seal { file, footer, len, write, give_back, due: due.clone() };
        ops.push(DiskOp { token, work });
        self.sealing = Some(Sealing { token, closing, footer, due });
    }

    pub(super) fn sealed(
        &mut self,
        now: Now,
        sealing: Sealing,
        result: Result<Done, Error>,
        sealed: &mut Vec<SegmentId>,
    ) {
        let closing = sealing.closing;
        let segment = closing.target.stamp.segment;
        match result {
            Ok(Done::Sealed { chain }) => {
                if !closing.poisoned {
                    let footer = SegmentFooter { chain, ..sealing.footer };
                    let len = closing.target.len;
                    self.copies.each(|sink| sink.seal(SealedCopy { footer, len }));
                }
                self.seal_at_us = 0;
                self.last_chain = chain;
                self.newest_chain = self.newest_chain.max((segment, chain));
                let (last, used) = (closing.last, u64::from(closing.used));
                self.change_entry(segment, |entry| {
                    entry.seal = if closing.poisoned { Seal::Closed } else { Seal::Sealed };
                    (entry.last, entry.limit, entry.chain) = (Some(last), used, chain);
                    if !closing.poisoned {
                        entry.file = None;
                    }
                });
                sealed.push(segment);
            }
            Ok(_) => {}
            Err(error) => {
                // No document waits for a seal, and none of its batches is retained any more. The file is not synced
                // again; its chain needs reading only, and if even that fails, it is tried again later.
                tracing::warn!(%error, %segment, "a segment could not be sealed");
                self.error = Some(error);
                self.seal_at_us = now.mono_us.saturating_add(self.options.prepare_retry_us).max(1);
                self.closing.push_front(Closing { poisoned: true, tried: true, ..closing });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::disk::{Completion, Lane, execute};
    use crate::env::{Env, RealEnv};
    use crate::log::{Full, LogOptions};
    use crate::position::Location;
    use crate::record::{NO_PARTITION, NewRecord, RecordKind};
    use crate::recover::recover;

    const OPTIONS: LogOptions =
        LogOptions { segment_len: 64 << 10, batch_len_max: 4096, block_len: 512, ..LogOptions::DEFAULT };

    /// A log over real files whose prewriting and seals are done by hand.
    struct ByHand {
        env: Arc<dyn Env>,
        log: Log,
        put_off: Vec<DiskOp>,
        _dir: tempfile::TempDir,
    }

    impl ByHand {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
            let (log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
            let mut by_hand = Self { env, log, put_off: Vec::new(), _dir: dir };
            by_hand.step(Vec::new());
            by_hand
        }

        /// Until nothing is asked for but what is put off.
        fn step(&mut self, mut completions: Vec<Completion>) {
            let mut ops = Vec::new();
            loop {
                self.log.step(self.env.now(), &mut completions, &mut ops);
                let (put_off, now): (Vec<_>, Vec<_>) =
                    ops.drain(..).partition(|op: &DiskOp| op.lane() == Lane::Background);
                self.put_off.extend(put_off);
                if now.is_empty() {
                    return;
                }
                completions.extend(now.into_iter().map(|op| execute(&*self.env, op)));
            }
        }

        fn waiting(&self) -> Vec<&'static str> {
            self.put_off.iter().map(DiskOp::name).collect()
        }

        /// Does the oldest of what was put off.
        fn do_one(&mut self) {
            let op = self.put_off.remove(0);
            let completion = execute(&*self.env, op);
            self.step(vec![completion]);
        }

        /// A record more, durable: where it lies. `None` when there is no room for it.
        fn append(&mut self) -> Option<Location> {
            let parts: [&[u8]; 1] = [&[7; 1000]];
            let (kind, partition) = (RecordKind::Document, NO_PARTITION);
            let record = NewRecord { kind, flags: 0, partition, key_id: 0, answer_code: 0, parts: &parts };
            let appended = self.log.append(self.env.now(), record);
            self.step(Vec::new());
            assert!(matches!(appended, Ok(_) | Err(Full::Wait)));
            Some(appended.ok()?.location)
        }

        /// Fills the open segment to its end, and tells after how many per mille of it the first byte and the last one were due.
        fn due(&mut self, of: impl Fn(&Log) -> &Due) -> (u64, u64) {
            let (mut first, mut last) = (u64::MAX, u64::MAX);
            while let Some(location) = self.append() {
                let used = u64::from(location.offset) * 1000 / OPTIONS.segment_len;
                let due = of(&self.log);
                if due.has_reached(0) {
                    first = first.min(used);
                }
                if due.has_reached(OPTIONS.segment_len - 1) {
                    last = last.min(used);
                }
            }
            (first, last)
        }
    }

    fn of_preparing(log: &Log) -> &Due {
        &log.preparing.as_ref().unwrap().due
    }

    fn of_sealing(log: &Log) -> &Due {
        &log.sealing.as_ref().unwrap().due
    }

    fn is_about(found: u64, wanted: u64) -> bool {
        (wanted - 30..wanted + 90).contains(&found)
    }

    /// Why: before that a rush has the disk for itself; behind it, it is the rush that would have to wait.
    #[test]
    fn the_next_segment_is_due_while_the_middle_of_the_open_one_is_used() {
        let mut log = ByHand::new();
        assert_eq!((log.waiting(), log.log.spares.len()), (vec!["prepare"], 1), "none is open: a second one");
        let (first, last) = log.due(of_preparing);
        assert!(is_about(first, 250) && is_about(last, 625), "{first} {last}");
    }

    #[test]
    fn a_seal_is_due_at_the_end_and_what_stands_before_the_other_as_early_as_that() {
        // A rush: the next segment is wanted before the one that is full can be sealed.
        let mut log = ByHand::new();
        log.do_one();
        while log.append().unwrap().segment == SegmentId::new(1) {}
        assert_eq!(log.waiting(), ["prepare", "seal"]);
        let (first, last) = log.due(of_sealing);
        assert!(is_about(first, 625) && last > 900, "{first} {last}");
        // Somebody asked for the seal, then records came.
        let mut log = ByHand::new();
        log.do_one();
        assert_eq!(log.append().unwrap().segment, SegmentId::new(1));
        log.log.seal();
        log.step(Vec::new());
        assert_eq!(log.waiting(), ["seal"], "it stands behind no zeros for later");
        assert!(of_sealing(&log.log).has_reached(u64::MAX - 1), "with no segment open all of it is due");
        assert_eq!(log.append().unwrap().segment, SegmentId::new(2));
        assert_eq!(log.waiting(), ["seal", "prepare"]);
    }

    #[test]
    fn a_seal_behind_a_prewriting_makes_that_due() {
        let mut log = ByHand::new();
        assert_eq!(log.append().unwrap().segment, SegmentId::new(1));
        assert!(!of_preparing(&log.log).has_reached(0));
        log.log.seal();
        log.step(Vec::new());
        assert_eq!(log.waiting(), ["prepare", "seal"]);
        assert!(of_preparing(&log.log).has_reached(u64::MAX - 1));
    }

    /// Why: a process that is asked to end would write a segment of zeros first that nobody has asked for.
    #[test]
    fn a_log_that_ends_gives_up_what_it_prepares() {
        let mut log = ByHand::new();
        assert!(log.append().is_some());
        log.log.seal();
        log.log.shutdown();
        log.step(Vec::new());
        assert_eq!(log.waiting(), ["prepare", "seal"]);
        assert!(of_preparing(&log.log).is_given_up());
        log.do_one();
        log.do_one();
        assert_eq!(log.waiting(), [""; 0], "no other one is prepared");
        assert_eq!((log.log.state(), log.log.last_error().is_none()), (LogState::Closed, true));
        assert_eq!(
            log.env.list(std::path::Path::new(crate::disk::LOG_DIR)).unwrap().len(),
            2,
            "and the metadata"
        );
    }
}
