//! The further copies of a log, as the writer sees them.

use std::ops::Range;
use std::sync::Arc;

use super::{Log, LogState};
use crate::disk::Buffers;
use crate::env::{Now, Wake};
use crate::error::{Error, ErrorKind};
use crate::format::SegmentStamp;
use crate::position::Lsn;
use crate::sink::{Carried, Copies, Held, Sink, SinkFailure};

/// What is attached.
#[derive(Default)]
pub(super) struct Attached {
    copies: Vec<Attachment>,
    /// One that was wanted could not be attached, and the log was told to go on without it.
    lacking: bool,
}

struct Attachment {
    sink: Box<dyn Sink>,
    failure: SinkFailure,
    held: Held,
    /// It has failed, and the log goes on without it. It is not let go: its threads may hang in a dead device.
    lost: bool,
}

impl Attached {
    /// Whether there is none that counts.
    pub(super) fn is_empty(&self) -> bool {
        self.copies.iter().all(|copy| copy.lost)
    }

    /// Everything up to here is held by every copy that counts.
    pub(super) fn held(&self) -> Lsn {
        let counts = self.copies.iter().filter(|copy| !copy.lost);
        counts.map(|copy| copy.held.through).min().unwrap_or(Lsn::new(u64::MAX))
    }

    /// Tells every copy that counts.
    pub(super) fn each(&mut self, mut tell: impl FnMut(&mut dyn Sink)) {
        for copy in self.copies.iter_mut().filter(|copy| !copy.lost) {
            tell(&mut *copy.sink);
            copy.held.settled = false;
        }
    }

    /// Nothing is on its way to any copy that counts.
    pub(super) fn settled(&self) -> bool {
        self.copies.iter().all(|copy| copy.lost || copy.held.settled)
    }

    pub(super) fn deferring(&self) -> bool {
        self.copies.iter().any(|copy| !copy.lost && copy.held.deferring)
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        let counts = self.copies.iter().filter(|copy| !copy.lost);
        counts.filter_map(|copy| copy.held.wake_at_mono_us).min()
    }

    pub(super) fn state(&self) -> Copies {
        match self.lacking || self.copies.iter().any(|copy| copy.lost) {
            true => Copies::Degraded,
            false if self.copies.is_empty() => Copies::None,
            false => Copies::Whole,
        }
    }
}

impl Log {
    /// Requires a further copy from now on: nothing is durable before it has answered, too. It has to hold what is durable
    /// now, or fetch it itself by a reader of this log. For copies of the host; the mirror directory is attached by
    /// recovery.
    ///
    /// # Errors
    /// When the copy cannot say how far it is; `Retry` while a write waits at the disk, which this copy would not get: step first.
    pub fn attach(&mut self, mut sink: Box<dyn Sink>, now: Now, failure: SinkFailure) -> Result<(), Error> {
        if self.ahead.is_some() {
            return Err(Error::new(
                ErrorKind::Retry,
                "a write waits at the disk that the copy would not get",
            ));
        }
        let held = sink.poll(now)?;
        for spare in &self.spares {
            sink.prepare(spare.id, spare.len);
        }
        if let Some(preparing) = &self.preparing {
            sink.prepare(preparing.segment, self.options.segment_len);
        }
        self.copies.copies.push(Attachment { sink, failure, held, lost: false });
        Ok(())
    }

    /// A copy that was wanted is not there.
    pub(crate) fn lack_a_copy(&mut self) {
        self.copies.lacking = true;
    }

    /// Lets the copies work beside the caller from now on. They ring `wake` when [`Log::step`] has something to do.
    ///
    /// # Errors
    /// When their threads cannot be started.
    pub fn start_copies(&mut self, wake: &Wake) -> Result<(), Error> {
        for copy in &mut self.copies.copies {
            copy.sink.start(Arc::clone(wake))?;
        }
        Ok(())
    }

    /// Hands over what a commit writes, before the local disk gets it.
    pub(super) fn carry(
        &mut self,
        stamp: SegmentStamp,
        offset: u64,
        buffers: &Buffers,
        before: Option<SegmentStamp>,
        records: Range<Lsn>,
    ) {
        let before = before.map(|before| before.segment);
        let Range { start: first, end } = records;
        self.copies.each(|sink| {
            let (segment, buffers, last) = (stamp.segment, buffers.clone(), end.prev());
            sink.take(Carried { segment, offset, buffers, before, first, last });
        });
    }

    /// Hears how far the copies are. One that has failed ends the log, or is lost by its own leave.
    pub(super) fn poll_copies(&mut self, now: Now) {
        let mut failed = None;
        for copy in self.copies.copies.iter_mut().filter(|copy| !copy.lost) {
            match copy.sink.poll(now) {
                Ok(held) => copy.held = held,
                Err(error) if copy.failure == SinkFailure::Degrade => {
                    tracing::error!(%error, "alarm: a copy of the log is lost, the log goes on without it");
                    copy.lost = true;
                }
                Err(error) => failed = Some(error),
            }
        }
        // Told once: a copy that has failed says so at every step.
        if let Some(error) = failed.filter(|_| self.state != LogState::Failed) {
            self.fail(error);
        }
    }
}
