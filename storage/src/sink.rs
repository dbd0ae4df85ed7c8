//! Further copies of the log: what a record has to reach besides the local disk before it is durable.
//!
//! ```text
//!                    ┌─▶ local disk lane ── sync returned ──┐
//! batch ── commit ───┤                                      ├─▶ both have answered ─▶ Durable
//!                    └─▶ Sink::take ─────── Sink::poll ─────┘
//! ```
//!
//! A copy gets what every commit carries, in the order of the log and the bytes as they lie on the local disk, and answers
//! with a position: everything up to it is kept. It works beside the local disk, so that a commit takes as long as
//! the slower of the two and not their sum. It lives in the writer: it must not wait, and whatever threads it needs
//! come from an [`Env`](crate::Env). The one of this crate is the mirror directory ([`Mirrored`](crate::Mirrored)); a
//! host can attach its own, which adds to the local sync and never stands for it.
//!
//! After a failed local write the same LSNs come once more, from another segment: a copy that already keeps them may
//! say so at once, or keep them again.
//!
//! Invariants, with the test that holds each:
//! - nothing is durable before every copy has answered: `tests/mirror.rs`, `nothing_is_durable_before_both_have_answered`;
//! - a failed copy stops the log unless it was told to go on: `tests/mirror.rs`, `a_mirror_that_fails_stops_the_log`.

use crate::disk::Buffers;
use crate::env::{Now, Wake};
use crate::error::Error;
use crate::format::{BATCH_HEADER_LEN, BatchHeader, SegmentFooter};
use crate::position::{Lsn, SegmentId};
use crate::record::{RecordRef, padded_len};

/// What one commit writes. Cheap to clone: the bytes are shared with the local disk.
#[derive(Clone)]
pub struct Carried {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    pub(crate) buffers: Buffers,
    /// A segment that is synced before these bytes are written.
    pub(crate) before: Option<SegmentId>,
    /// Of a marker, which holds no record, the one behind `last`.
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
}

impl Carried {
    /// The segment that is written to.
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Where the bytes begin in it.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The last LSN in it; of a marker, which holds none, the last one that was appended before.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// The bytes, in pieces that lie one behind another.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers.iter().map(|buffer| &***buffer)
    }

    /// The records in it, in order.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.parts().flat_map(|part| {
            // A header block is no batch and holds none.
            let batch = BatchHeader::decode(part);
            let records = batch.map_or(0, |batch| batch.records);
            let mut at = BATCH_HEADER_LEN;
            (0..records).map_while(move |_| {
                let record = batch.and_then(|batch| RecordRef::decode(part.get(at..)?, &batch.stamp))?;
                at = at.saturating_add(padded_len(record.encoded_len()));
                Some(record)
            })
        })
    }
}

/// A segment that was sealed: what a copy of it has to come to.
#[derive(Clone, Copy)]
pub struct SealedCopy {
    pub(crate) footer: SegmentFooter,
    /// Length of the segment before it was sealed.
    pub(crate) len: u64,
}

impl SealedCopy {
    /// The segment.
    pub fn segment(&self) -> SegmentId {
        self.footer.stamp.segment
    }

    /// Its last LSN.
    pub fn last(&self) -> Lsn {
        self.footer.last
    }
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Everything up to here is kept by the copy. Goes back when records come once more and it wants to keep them in their new place
    /// before they are durable, as the mirror does.
    pub through: Lsn,
    /// It wants to be polled at this time, µs of [`Now::mono_us`], even if nothing wakes the writer.
    pub wake_at_mono_us: Option<u64>,
    /// It waits for space.
    pub deferring: bool,
    /// Nothing that it took is on its way: a log that ends waits for this.
    pub settled: bool,
}

/// A further copy of the log. See the module for what it may rely on.
pub trait Sink: Send {
    /// The writer is about to run: rings this whenever [`Sink::poll`] would say something new. Before, a copy answers at
    /// once.
    ///
    /// # Errors
    /// When it cannot run.
    fn start(&mut self, wake: Wake) -> Result<(), Error>;

    /// Takes what a commit writes. Must not wait.
    fn take(&mut self, carried: Carried);

    /// How far it is. Must not wait.
    ///
    /// # Errors
    /// When it cannot keep what it took: this is final.
    fn poll(&mut self, now: Now) -> Result<Held, Error>;

    /// A segment of this length will be written to soon.
    fn prepare(&mut self, _segment: SegmentId, _len: u64) {}

    /// A segment is complete and sealed.
    fn seal(&mut self, _sealed: SealedCopy) {}

    /// A prepared segment will not be written to.
    fn discard(&mut self, _segment: SegmentId) {}
}

/// What becomes of the log when a further copy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkFailure {
    /// Nothing is acknowledged any more: the log fails.
    #[default]
    Stop,
    /// **One copy less**: the log goes on without it, and says so.
    Degrade,
}

/// How the further copies of a log are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copies {
    /// None is required.
    #[default]
    None,
    /// Every required copy keeps what is durable.
    Whole,
    /// A copy has failed, and the log was told to go on without it. It is brought up to date at the next start.
    Degraded,
}
