//! Where compaction reads from: sealed segments and their records.

use bytes::Bytes;

use crate::columns::Stored;
use crate::error::Error;
use crate::position::{Lsn, SegmentId};
use crate::reader::{LogReader, SealedSegment};
use crate::record::{RecordKind, RecordRef};

/// A record, as far as compaction wants to know it.
#[derive(Clone, Debug)]
pub enum SourceRecord {
    /// A stored document.
    Document(Stored),
    /// Any other record.
    Other(RecordKind, Stored),
}

impl SourceRecord {
    /// Position in the log.
    pub fn position(&self) -> u64 {
        match self {
            Self::Document(stored) | Self::Other(_, stored) => stored.position,
        }
    }
}

impl SourceRecord {
    /// When it came, microseconds UTC.
    pub fn received_at_us(&self) -> i64 {
        match self {
            Self::Document(stored) | Self::Other(_, stored) => stored.received_at_us,
        }
    }
}

/// Sealed segments of a log.
pub trait SegmentSource {
    /// The sealed segments, in any order.
    ///
    /// # Errors
    /// Of the log.
    fn sealed(&self) -> Result<Vec<SealedSegment>, Error>;

    /// Hands every readable record of a segment to `each`, in order. A damaged record is passed over; the gap in
    /// the positions tells.
    ///
    /// # Errors
    /// Of the log; the first error of `each`.
    fn records(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(SourceRecord) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// The last durable LSN, inclusive, where the source knows it: an archive that reaches further is of another log
    /// than this one, or this one has lost its end.
    fn durable(&self) -> Option<Lsn> {
        None
    }
}

impl SourceRecord {
    /// A record of the log; `payload` is its payload, kept alive by the caller's choice of memory.
    pub fn of(record: &RecordRef<'_>, payload: impl FnOnce() -> Bytes) -> Self {
        let stored = Stored {
            position: record.lsn().get(),
            partition: record.partition(),
            partition_seq: record.partition_seq(),
            received_at_us: record.received_at_us(),
            answer_code: record.answer_code(),
            flags: record.flags(),
            key_id: record.key_id(),
            payload: payload(),
        };
        match record.kind() {
            RecordKind::Document => Self::Document(stored),
            other => Self::Other(other, stored),
        }
    }
}

impl SegmentSource for LogReader {
    fn durable(&self) -> Option<Lsn> {
        Some(LogReader::durable(self))
    }

    fn sealed(&self) -> Result<Vec<SealedSegment>, Error> {
        Ok(self.sealed_segments())
    }

    fn records(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(SourceRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let records = self.segment_records(segment)?;
        for (record, _) in records.iter().flatten() {
            each(SourceRecord::of(&record, || records.slice(&record)))?;
        }
        Ok(())
    }
}
