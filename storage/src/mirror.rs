//! The mirror: the log once more, in a directory on a second device.
//!
//! Every segment file of it holds the bytes of the local one, written and synced by a lane of its own beside the local
//! disk, so that the directory is itself a log that [`recover`](crate::recover) opens. A segment gets the same footer
//! once the copy, read back, comes to the same hash chain.
//!
//! ```text
//! take ─▶ waiting ──(its file is ready)──▶ one write in flight ──▶ held through
//! prepare ─▶ wanted ─▶ one file of zeros at a time, ahead        full disk: tried again, the log waits
//! seal ────▶ behind the last write to its segment
//! ```
//!
//! What fails here is final: a failed sync is never tried again on the same pages, and which of the bytes are on the
//! device nobody knows. The next start copies anew what is not sealed. Until [`Sink::start`] everything is done at
//! once by the caller; then the lanes of the mirror's own machine do it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::disk::{Completion, DiskOp, Done, Due, Work, Write, execute};
use crate::env::{DiskQueue, Env, File, LockGuard, Now, Wake};
use crate::error::{Error, ErrorKind};
use crate::planted::planted;
use crate::position::{Lsn, SegmentId};
use crate::sink::{Carried, Held, SealedCopy, Sink};

/// How the mirror is told apart in its errors.
const NAME: &str = "the mirror";

/// The mirror as the writer drives it.
pub(crate) struct MirrorSink {
    // Before the lock: its threads may still write.
    queue: Option<Box<dyn DiskQueue>>,
    env: Arc<dyn Env>,
    _lock: LockGuard,
    options: MirrorOptions,
    token: u64,
    files: BTreeMap<SegmentId, Arc<dyn File>>,
    waiting: VecDeque<Carried>,
    flight: Option<(u64, Carried)>,
    wanted: VecDeque<(SegmentId, u64)>,
    preparing: Option<(u64, SegmentId, Due)>,
    prepare_at_us: u64,
    seals: VecDeque<SealedCopy>,
    sealing: Option<(u64, SegmentId)>,
    held: Lsn,
    failed: Option<Error>,
    completions: Vec<Completion>,
}

/// What the log's options say to the mirror.
#[derive(Clone, Copy)]
pub(crate) struct MirrorOptions {
    pub(crate) prepare_retry_us: u64,
    pub(crate) free_bytes_min: u64,
}

impl MirrorSink {
    /// Over files that are what the local log holds up to `held`.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        lock: LockGuard,
        options: MirrorOptions,
        files: BTreeMap<SegmentId, Arc<dyn File>>,
        held: Lsn,
    ) -> Self {
        Self {
            queue: None,
            env,
            _lock: lock,
            options,
            token: 0,
            files,
            waiting: VecDeque::new(),
            flight: None,
            wanted: VecDeque::new(),
            preparing: None,
            prepare_at_us: 0,
            seals: VecDeque::new(),
            sealing: None,
            held,
            failed: None,
            completions: Vec::new(),
        }
    }

    fn submit(&mut self, work: Work) -> u64 {
        self.token = self.token.saturating_add(1);
        let op = DiskOp { token: self.token, work };
        match &mut self.queue {
            Some(queue) => queue.submit(op),
            None => self.completions.push(execute(&*self.env, op)),
        }
        self.token
    }

    fn complete(&mut self, now: Now, completion: Completion) {
        let Completion { token, result } = completion;
        if let Some((_, carried)) = self.flight.take_if(|(expected, _)| *expected == token) {
            match result {
                // What comes once more is held where it moves to.
                Ok(_) => self.held = self.before_what_waits(self.held.max(carried.last)),
                Err(error) => self.fail(error),
            }
        } else if let Some((_, segment, _)) = self.preparing.take_if(|(expected, ..)| *expected == token) {
            match result {
                Ok(Done::Prepared(file)) => {
                    self.prepare_at_us = 0;
                    let still_wanted = self.wanted.iter().position(|(id, _)| *id == segment);
                    match still_wanted.and_then(|at| self.wanted.remove(at)) {
                        Some(_) => {
                            self.files.insert(segment, file);
                        }
                        // Discarded while it was on its way.
                        None => {
                            self.submit(Work::Discard { segment });
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    if self.prepare_at_us == 0 {
                        tracing::warn!(%error, %segment, "alarm: the mirror has no room for a segment");
                    }
                    self.prepare_at_us = now.mono_us.saturating_add(self.options.prepare_retry_us).max(1);
                }
            }
        } else if let Some((_, segment)) = self.sealing.take_if(|(expected, _)| *expected == token) {
            self.files.remove(&segment);
            if let Err(error) = result {
                // Nothing waits for it, and all of it was held before. The next start looks at both copies.
                tracing::error!(%error, %segment, "alarm: the mirror's segment could not be sealed");
            }
        } else if let Err(error) = result {
            tracing::warn!(%error, "a prepared segment of the mirror was not removed");
        }
    }

    /// So far, but for what waits: a record that comes once more has left its place in the local log, where the old copy of it mends
    /// nothing.
    fn before_what_waits(&self, held: Lsn) -> Lsn {
        let first = self.waiting.iter().map(|carried| carried.first).min();
        first.filter(|_| !planted!(56)).map_or(held, |first| held.min(first.prev()))
    }

    fn fail(&mut self, error: Error) {
        self.waiting.clear();
        self.seals.clear();
        self.failed = Some(error);
    }

    /// Puts out what can go; true if anything went.
    fn move_on(&mut self, now: Now) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let mut moved = false;
        if self.flight.is_none() {
            let ready = self.waiting.front().is_some_and(|next| self.files.contains_key(&next.segment));
            if let Some(carried) = self.waiting.pop_front_if(|_| ready)
                && let Some(file) = self.files.get(&carried.segment).map(Arc::clone)
            {
                // A segment that is gone from here was sealed, and synced by that.
                let before = carried.before.and_then(|before| self.files.get(&before)).map(Arc::clone);
                let (offset, buffers) = (carried.offset, carried.buffers.clone());
                let token = self.submit(Work::Mirror(Write { file, offset, buffers, before, twice: false }));
                self.flight = Some((token, carried));
                moved = true;
            }
        }
        if self.preparing.is_none()
            && now.mono_us >= self.prepare_at_us
            && let Some((segment, len)) = self.wanted.front().copied()
        {
            // Bytes that somebody waits for may have the last of the disk, as after a failed local write.
            let urgent = self.waiting.iter().any(|carried| carried.segment == segment);
            let free_min = if urgent { 0 } else { self.options.free_bytes_min };
            let due = Due::at_once();
            let token = self.submit(Work::Prepare { segment, len, free_min, due: due.clone() });
            self.preparing = Some((token, segment, due));
            moved = true;
        }
        if self.sealing.is_none()
            && let Some(next) = self.seals.front().copied()
        {
            let segment = next.segment();
            let written = |carried: &Carried| carried.segment == segment || carried.before == Some(segment);
            let busy = self.waiting.iter().any(written)
                || self.flight.as_ref().is_some_and(|(_, carried)| written(carried));
            if !busy {
                self.seals.pop_front();
                if let Some(file) = self.files.get(&segment).map(Arc::clone) {
                    let token = self.submit(Work::SealMirror { file, footer: next.footer, len: next.len });
                    self.sealing = Some((token, segment));
                }
                moved = true;
            }
        }
        moved
    }

    /// Does what can be done now.
    fn turn(&mut self, now: Now) {
        loop {
            if let Some(queue) = &mut self.queue {
                queue.poll(&mut self.completions);
            }
            let mut completions = std::mem::take(&mut self.completions);
            let came = !completions.is_empty();
            for completion in completions.drain(..) {
                self.complete(now, completion);
            }
            if self.completions.is_empty() {
                // Its allocation is kept.
                self.completions = completions;
            }
            if !self.move_on(now) && !came {
                return;
            }
            if self.queue.is_some() {
                // What was submitted a moment ago comes back later: the queue is polled once a turn.
                return;
            }
        }
    }
}

impl Drop for MirrorSink {
    fn drop(&mut self) {
        // Its queue is waited for, and nobody waits for zeros any more.
        self.preparing.iter().for_each(|(.., due)| due.give_up());
    }
}

impl Sink for MirrorSink {
    fn start(&mut self, wake: Wake) -> Result<(), Error> {
        self.queue = Some(self.env.queue(wake)?);
        Ok(())
    }

    fn take(&mut self, carried: Carried) {
        if self.failed.is_some() {
            return;
        }
        let last = carried.last;
        self.waiting.push_back(carried);
        self.held = self.before_what_waits(self.held);
        if planted!(50) {
            self.held = self.held.max(last);
        }
        // It goes out at once, so that both devices work at the same time.
        let now = self.env.now();
        self.move_on(now);
    }

    fn poll(&mut self, now: Now) -> Result<Held, Error> {
        self.turn(now);
        match &self.failed {
            None => {
                let starved = self.prepare_at_us > 0 && !self.waiting.is_empty() && self.flight.is_none();
                let waits = self.prepare_at_us > 0 && self.preparing.is_none() && !self.wanted.is_empty();
                let wake_at_mono_us = waits.then_some(self.prepare_at_us);
                let settled = self.flight.is_none()
                    && self.waiting.is_empty()
                    && self.sealing.is_none()
                    && self.seals.is_empty();
                Ok(Held { through: self.held, wake_at_mono_us, deferring: starved, settled })
            }
            Some(error) => Err(Error::new(ErrorKind::Reopen, format!("{NAME} has failed: {error}"))),
        }
    }

    fn prepare(&mut self, segment: SegmentId, len: u64) {
        let known = self.files.contains_key(&segment) || self.wanted.iter().any(|(id, _)| *id == segment);
        if !known {
            self.wanted.push_back((segment, len));
        }
    }

    fn seal(&mut self, sealed: SealedCopy) {
        self.seals.push_back(sealed);
    }

    fn discard(&mut self, segment: SegmentId) {
        self.wanted.retain(|(id, _)| *id != segment);
        // One that is being prepared goes when it comes.
        if self.files.remove(&segment).is_some() {
            self.submit(Work::Discard { segment });
        }
    }
}
