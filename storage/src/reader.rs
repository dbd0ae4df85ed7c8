//! Readers beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::position::{Location, Lsn, Position, SegmentId};
use crate::record::{OwnedRecord, RecordRef};

/// What writer and readers share.
pub(crate) struct Shared {
    pub(crate) durable: AtomicU64,
}

/// The watermark: the last durable LSN.
#[derive(Clone)]
pub struct Durable {
    pub(crate) shared: Arc<Shared>,
}

impl Durable {
    /// The last durable LSN, inclusive.
    pub fn load(&self) -> Lsn {
        Lsn::new(self.shared.durable.load(Ordering::Acquire))
    }
}

/// A sealed segment: complete, never written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its number.
    pub id: SegmentId,
    /// LSN of its first record.
    pub base: Lsn,
    /// LSN of its last record; `base - 1` when it holds none.
    pub last: Lsn,
    /// Bytes that are used.
    pub used: u64,
}

/// Bytes of the log that cannot be read: what was there is lost from this copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub segment: SegmentId,
    /// First damaged byte.
    pub from: u32,
    /// Behind the last damaged byte.
    pub to: u32,
    /// First LSN that is lost.
    pub first: Lsn,
    /// Last LSN that is lost; `first - 1` when only a batch header was hit and no record is lost.
    pub last: Lsn,
}

/// Reads records while the writer runs. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    pub(crate) shared: Arc<Shared>,
}

impl LogReader {
    /// For a process beside the writer, without the lock: sees what was durable when it was opened.
    ///
    /// # Errors
    /// As [`crate::recover`], but nothing is written.
    pub fn open_read_only(_env: Arc<dyn Env>) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Retry, "not built yet"))
    }

    /// The last durable LSN, inclusive.
    pub fn durable(&self) -> Lsn {
        Lsn::new(self.shared.durable.load(Ordering::Acquire))
    }

    /// The record at a place.
    ///
    /// # Errors
    /// `Corrupt` when there is no whole record; of the system when the disk cannot be read.
    pub fn read(&self, _location: Location) -> Result<OwnedRecord, Error> {
        Err(Error::new(ErrorKind::Retry, "not built yet"))
    }

    /// The records behind `from`, up to and with `upto`, which must be durable.
    pub fn records_from(&self, from: Position, upto: Lsn) -> Records {
        Records { reader: self.clone(), next: from.lsn().next(), upto }
    }

    /// The sealed segments from the oldest on, without a gap: a segment behind one that is not sealed is not
    /// among them.
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        Vec::new()
    }

    /// All records of a sealed segment, over a map.
    ///
    /// # Errors
    /// `Fix` when there is no such sealed segment; of the system.
    pub fn segment_records(&self, _segment: SegmentId) -> Result<SegmentRecords, Error> {
        Err(Error::new(ErrorKind::Retry, "not built yet"))
    }
}

/// A walk along the log. `next` lends one record at a time.
pub struct Records {
    reader: LogReader,
    next: Lsn,
    upto: Lsn,
}

impl Records {
    /// The next record and its place; `None` at the end. After an error of damage the walk goes on behind it.
    ///
    /// # Errors
    /// `Corrupt` names the LSNs that are lost; of the system when the disk cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a lending iterator: the record borrows the walk's buffer"
    )]
    pub fn next(&mut self) -> Result<Option<(RecordRef<'_>, Location)>, Error> {
        let _ = (&self.reader, self.next, self.upto);
        Ok(None)
    }

    /// Everything up to here has been given out.
    pub fn position(&self) -> Position {
        Position::new(self.next.prev())
    }

    /// Moves the end, so that a feed keeps its buffers from commit to commit.
    pub fn extend(&mut self, upto: Lsn) {
        self.upto = self.upto.max(upto);
    }
}

/// A sealed segment in memory.
pub struct SegmentRecords {
    bytes: Bytes,
}

impl SegmentRecords {
    /// Its records in order; damage is an item of its own, and the records behind it follow.
    pub fn iter(&self) -> impl Iterator<Item = Result<(RecordRef<'_>, Location), Damage>> + '_ {
        let _ = &self.bytes;
        std::iter::empty()
    }
}
