//! What `verify` reads the log through.

use crate::error::{Error, ErrorKind};
use crate::position::{Lsn, Position};
use crate::reader::LogReader;
use crate::record::{RecordKind, RecordRef};

/// A record as `verify` wants to know it.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// Position (LSN).
    pub position: u64,
    /// Partition, or [`crate::NO_PARTITION`].
    pub partition: u16,
    /// Number within the partition, from 1.
    pub partition_seq: u64,
    /// Microseconds UTC.
    pub received_at_us: i64,
    /// What it is.
    pub kind: RecordKind,
    /// Free for the owner of the kind.
    pub flags: u8,
    /// Key the payload is encrypted with; 0 = none.
    pub key_id: u32,
    /// What the register was answered.
    pub answer_code: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// One step of a walk along the log.
#[derive(Clone, Debug)]
pub enum LogItem<'a> {
    /// A whole record.
    Record(LogRecord<'a>),
    /// Records that cannot be read.
    Damage {
        /// First position lost.
        first: u64,
        /// Last position lost; `first - 1` when no record is lost.
        last: u64,
        /// Where and how.
        what: String,
    },
}

impl LogItem<'_> {
    /// Position, of damage the first.
    pub fn position(&self) -> u64 {
        match self {
            Self::Record(record) => record.position,
            Self::Damage { first, .. } => *first,
        }
    }
}

/// The log from its first record to the last durable one.
pub trait LogSource {
    /// Position of the oldest record that the log still holds.
    fn first(&self) -> Lsn;

    /// Walks all records in order.
    ///
    /// # Errors
    /// Of the system; the first error of `each`.
    fn walk(&self, each: &mut dyn FnMut(LogItem<'_>) -> Result<(), Error>) -> Result<(), Error>;
}

impl LogSource for LogReader {
    fn first(&self) -> Lsn {
        LogReader::first(self)
    }

    fn walk(&self, each: &mut dyn FnMut(LogItem<'_>) -> Result<(), Error>) -> Result<(), Error> {
        // The watermark first: what is sealed meanwhile is read either way.
        let upto = self.durable();
        let mut before = LogReader::first(self).prev();
        // Sealed segments whole, so that damage is seen also where it cost no record.
        for sealed in self.sealed_segments() {
            for item in &self.segment_records(sealed.id)? {
                match item {
                    Ok((record, _)) => each(LogItem::Record(LogRecord::of(&record)))?,
                    Err(damage) => each(LogItem::Damage {
                        first: damage.first.get(),
                        last: damage.last.get(),
                        what: damage.to_string(),
                    })?,
                }
            }
            before = before.max(sealed.last);
        }
        self.walk_tail(before, upto, each)?;
        if let Some(cut) = self.torn() {
            let (segment, offset, first) = (cut.segment, cut.offset, cut.first.get());
            each(LogItem::Damage {
                first,
                last: cut.last.map_or(first.saturating_sub(1), Lsn::get),
                what: format!(
                    "segment {segment} is torn at byte {offset}: what was written from position {first} on may have \
                     been acknowledged"
                ),
            })?;
        }
        Ok(())
    }
}

impl LogReader {
    /// What lies behind the sealed segments, up to the watermark.
    fn walk_tail(
        &self,
        before: Lsn,
        upto: Lsn,
        each: &mut dyn FnMut(LogItem<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut records = self.records_from(Position::new(before), upto);
        loop {
            let first = records.position().lsn().next();
            let error = match records.next() {
                Ok(None) => return Ok(()),
                Ok(Some((record, _))) => {
                    each(LogItem::Record(LogRecord::of(&record)))?;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => error,
                Err(error) => return Err(error),
            };
            // The walk goes on behind the damage; its position tells how far that is.
            let last = records.position().lsn();
            if last < first {
                return Err(error);
            }
            each(LogItem::Damage { first: first.get(), last: last.get(), what: error.to_string() })?;
        }
    }
}

impl<'a> LogRecord<'a> {
    fn of(record: &RecordRef<'a>) -> Self {
        Self {
            position: record.lsn().get(),
            partition: record.partition(),
            partition_seq: record.partition_seq(),
            received_at_us: record.received_at_us(),
            kind: record.kind(),
            flags: record.flags(),
            key_id: record.key_id(),
            answer_code: record.answer_code(),
            payload: record.payload(),
        }
    }
}
