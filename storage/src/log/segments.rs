//! The segments of the writer: one open, one prewritten ahead, full ones on their way to their seal.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::{Log, LogState};
use crate::batch::Target;
use crate::disk::{DiskOp, Done, Hurry, Work};
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
    segment: SegmentId,
    hurry: Hurry,
}

/// A seal on its way.
pub(super) struct Sealing {
    pub(super) token: u64,
    pub(super) closing: Closing,
    /// Without its chain.
    pub(super) footer: SegmentFooter,
    hurry: Hurry,
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

    /// Whether another segment should stand ready, and none is on its way.
    pub(super) fn lacks_spare(&self) -> bool {
        let open = usize::from(self.current.is_some());
        // A start waits for the first one, an end for no more than it needs.
        let wanted = if self.hurry { 1 } else { SPARES_MAX.saturating_sub(open) };
        self.spares.len() < wanted && self.preparing.is_none()
    }

    /// What is done behind the watermark is put off for commits as long as it comes in time. It is the same for every segment, a prewriting and
    /// a seal, and goes on evenly while one is used: a rush that ends in the first quarter of it has the disk for itself, and a log that is
    /// filled without a pause does not have to wait for all of it at once.
    pub(super) fn hurry_behind(&self) {
        let eighth = self.options.segment_len / 8;
        // Eight bytes of it for three of commits, from this eighth on.
        let due_from = |eighths: u64| {
            self.current.as_ref().map_or(u64::MAX, |current| {
                u64::from(current.next).saturating_sub(eighths.saturating_mul(eighth)).saturating_mul(8) / 3
            })
        };
        let mut of_seal = due_from(5);
        if let Some(preparing) = self.preparing.as_ref().filter(|_| self.spares.is_empty()) {
            preparing.hurry.up_to(due_from(2));
            // It may wait for a seal.
            of_seal = of_seal.max(due_from(2));
        }
        if let Some(sealing) = &self.sealing {
            sealing.hurry.up_to(of_seal);
            if !self.closing.is_empty() {
                // It is late.
                sealing.hurry.up();
                self.preparing.iter().for_each(|it| it.hurry.up());
            }
        }
    }

    /// Further segments are always ready ahead.
    pub(super) fn prepare_spare(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        let wanted = self.lacks_spare() && self.state != LogState::Closed;
        if !wanted || now.mono_us < self.prepare_at_us {
            return;
        }
        let (token, segment) = (self.next_token(), self.next_segment);
        let hurry = Hurry::default();
        self.preparing = Some(Preparing { token, segment, hurry: hurry.clone() });
        let len = self.options.segment_len;
        self.copies.each(|sink| sink.prepare(segment, len));
        // The way out of a failed write is what the reserve is kept for.
        let free_min = if self.seeks_way_out() { 0 } else { self.options.low_water() };
        ops.push(DiskOp { token, work: Work::Prepare { segment, len, free_min, hurry } });
    }

    pub(super) fn prepared(&mut self, now: Now, result: Result<Done, Error>) {
        let Some(Preparing { segment: id, .. }) = self.preparing.take() else { return };
        match result {
            Ok(Done::Prepared(file)) => {
                self.prepare_at_us = 0;
                self.deferring = false;
                // A try that failed has left nothing: the next one takes the same number.
                self.next_segment = id.next();
                self.spares.push(Spare { id, file, len: self.options.segment_len });
            }
            Ok(_) => {}
            // Refused for the low-water mark before the failure came: now the reserve is there to be used.
            Err(error) if self.seeks_way_out() && error.kind() == ErrorKind::Retry => {
                self.prepare_at_us = 0;
            }
            // The new segment was the way out of a failure: this is the second one.
            Err(error) if self.seeks_way_out() => self.fail(error),
            Err(error) => {
                // A full disk: what is reserved still fits, then the log waits until space comes back. Told once, and
                // not with every try.
                if self.prepare_at_us == 0 {
                    tracing::warn!(%error, segment = %id, "alarm: no segment could be prepared");
                }
                self.error = Some(error);
                self.prepare_at_us = now.mono_us.saturating_add(self.options.prepare_retry_us).max(1);
            }
        }
    }

    /// Seals the oldest closed segment once everything in it is durable. One at a time, in order: each chain
    /// begins where the one before ends.
    pub(super) fn seal_next(&mut self, now: Now, ops: &mut Vec<DiskOp>) {
        if self.sealing.is_some() || now.mono_us < self.seal_at_us {
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
        let hurry = Hurry::default();
        let work = Work::Seal { file, footer, len, write, give_back, hurry: hurry.clone() };
        ops.push(DiskOp { token, work });
        self.sealing = Some(Sealing { token, closing, footer, hurry });
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
    use crate::env::{Env, RealEnv};
    use crate::log::LogOptions;
    use crate::record::{NO_PARTITION, NewRecord};
    use crate::recover::recover;

    const OPTIONS: LogOptions =
        LogOptions { segment_len: 64 << 10, batch_len_max: 4096, block_len: 512, ..LogOptions::DEFAULT };

    /// Steps the log and does what it asks for, but no segment is ever prepared.
    fn step(env: &dyn Env, log: &mut Log) {
        let (mut completions, mut ops) = (Vec::new(), Vec::new());
        loop {
            log.step(env.now(), &mut completions, &mut ops);
            let now: Vec<_> = ops.drain(..).filter(|op| op.name() != "prepare").collect();
            if now.is_empty() {
                return;
            }
            completions.extend(now.into_iter().map(|op| crate::disk::execute(env, op)));
        }
    }

    /// Why: before that a rush has the disk for itself; behind it, it is the rush that would have to wait.
    #[test]
    fn the_next_segment_is_due_while_the_middle_of_the_open_one_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
        let (mut log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
        let parts: [&[u8]; 1] = [&[7; 1000]];
        let kind = crate::record::RecordKind::Document;
        let record =
            NewRecord { kind, flags: 0, partition: NO_PARTITION, key_id: 0, answer_code: 0, parts: &parts };
        step(&*env, &mut log);
        assert!(log.preparing.is_some() && log.spares.len() == 1, "none is open: a second one is on its way");
        let mut due = Vec::new();
        loop {
            let used = match log.append(env.now(), record) {
                Ok(appended) => u64::from(appended.location.offset),
                Err(full) => {
                    assert!(matches!(full, super::super::Full::Wait), "{full}");
                    break;
                }
            };
            step(&*env, &mut log);
            let preparing = log.preparing.as_ref().unwrap();
            due.push((used, preparing.hurry.is_due(0), preparing.hurry.is_due(OPTIONS.segment_len - 1)));
        }
        // From a quarter to five eighths of it, a batch more or less.
        let (eighth, batch) = (OPTIONS.segment_len / 8, 8192);
        for (used, first, last) in &due {
            assert!(*first || *used < 2 * eighth + batch, "{due:?}");
            assert!(!first || *used > 2 * eighth - batch, "{due:?}");
            assert!(*last || *used < 5 * eighth + batch, "{due:?}");
            assert!(!last || *used > 5 * eighth - batch, "{due:?}");
        }
        assert!(
            due.iter().any(|it| !it.1) && due.iter().any(|it| it.1 && !it.2) && due.iter().any(|it| it.2)
        );
    }
}
