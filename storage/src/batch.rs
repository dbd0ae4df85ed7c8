//! A batch: what one write carries to the disk, built in place.
//!
//! The buffer holds room for the batch header, then the records as they will lie on disk. `push` copies the
//! payload once and computes the checksum over it while it is in the cache; nothing is copied again until the
//! kernel takes the buffer. The header is written at submission, when `proven` is known.

use std::sync::Arc;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U16, U32, U64};

use crate::buffer::{Filling, Shared};
use crate::env::File;
use crate::format::{BATCH_HEADER_LEN, BatchHeader, SegmentStamp};
use crate::planted::planted;
use crate::position::Lsn;
use crate::record::checksum;
use crate::record::{NewRecord, RECORD_ALIGN, RECORD_HEADER_LEN, RECORD_LEN_MAX, RecordHeader, padded_len};
use crate::segment::offset_of;

/// A segment the writer writes to.
pub(crate) struct Target {
    pub(crate) stamp: SegmentStamp,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
    pub(crate) block_len: u32,
    pub(crate) base: Lsn,
}

/// The fields of a record that the log decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) lsn: Lsn,
    pub(crate) partition_seq: u64,
    pub(crate) received_at_us: i64,
}

/// Records on their way to one place of one segment.
pub(crate) struct Batch {
    pub(crate) target: Arc<Target>,
    /// Where it goes, bytes from the segment's begin.
    pub(crate) offset: u32,
    /// Where the records before it end; a marker may lie between.
    pub(crate) behind: u32,
    /// Whether it is the first of its segment: then the header block goes with it.
    pub(crate) activates: bool,
    pub(crate) first: Lsn,
    pub(crate) records: u32,
    /// Length it may grow to, bytes; 0 once it takes no more.
    pub(crate) room: usize,
    /// Batch header (zeros until it is submitted) and records. Empty once it is submitted.
    pub(crate) bytes: Filling,
    /// What was submitted.
    pub(crate) shared: Option<Shared>,
}

impl Batch {
    /// An empty one in a used buffer.
    pub(crate) fn new(
        target: Arc<Target>,
        offset: u32,
        behind: u32,
        first: Lsn,
        room: usize,
        mut bytes: Filling,
    ) -> Self {
        bytes.bytes.set_len(0);
        bytes.bytes.set_len(BATCH_HEADER_LEN);
        let activates = u64::from(offset) == crate::format::HEADER_BLOCK_LEN;
        Self { target, offset, behind, activates, first, records: 0, room, bytes, shared: None }
    }

    /// Whether a record of this padded length still fits. A batch has room for more than one may take.
    pub(crate) fn fits(&self, padded: usize) -> bool {
        const { assert!(RECORD_LEN_MAX.is_multiple_of(RECORD_ALIGN)) };
        padded <= RECORD_LEN_MAX && self.bytes.bytes.len().saturating_add(padded) <= self.room
    }

    /// Whether it takes no record any more, of any length.
    pub(crate) fn is_closed(&self) -> bool {
        self.room == 0
    }

    /// The last LSN in it.
    pub(crate) fn last(&self) -> Lsn {
        Lsn::new(self.first.get().saturating_add(u64::from(self.records)).saturating_sub(1))
    }

    /// Adds a record and tells its offset in the segment. The caller has seen to it that it fits.
    #[inline]
    pub(crate) fn push(&mut self, record: &NewRecord<'_>, numbers: Numbers, payload_len: usize) -> u32 {
        let bytes = &mut self.bytes.bytes;
        let at = bytes.len();
        let len = RECORD_HEADER_LEN.saturating_add(payload_len);
        let SegmentStamp { segment, epoch, nonce } = self.target.stamp;
        let header = RecordHeader {
            crc: U32::ZERO,
            len: U32::new(offset_of(len)),
            kind: record.kind.code(),
            flags: record.flags,
            partition: U16::new(record.partition),
            key_id: U32::new(record.key_id),
            lsn: U64::new(numbers.lsn.get()),
            partition_seq: U64::new(numbers.partition_seq),
            received_at_us: I64::new(numbers.received_at_us),
            segment: U32::new(segment.get()),
            epoch: U32::new(epoch),
            nonce: U64::new(nonce),
            answer_code: record.answer_code,
            zeros: [0; 7],
        };
        bytes.extend_from_slice(header.as_bytes());
        for part in record.parts {
            bytes.extend_from_slice(part);
        }
        set_crc(bytes.get_mut(at..).unwrap_or_default());
        let zeros = [0; RECORD_ALIGN];
        bytes.extend_from_slice(zeros.get(..padded_len(len).saturating_sub(len)).unwrap_or_default());
        self.records = self.records.saturating_add(1);
        self.offset.saturating_add(offset_of(at))
    }

    /// Writes the batch header and fills up to a multiple of `block_len`: the buffer is what goes to the disk.
    /// `more` batches follow in the same write.
    pub(crate) fn close(&mut self, proven: Lsn, sequence: u64, more: u32, block_len: u32) -> Shared {
        let mut filling = std::mem::take(&mut self.bytes);
        let bytes = &mut filling.bytes;
        let proven = if planted!(10) { self.last() } else { proven };
        let header = BatchHeader {
            stamp: self.target.stamp,
            first: self.first,
            records: self.records,
            len: if planted!(7) { offset_of(bytes.len()) & 0xFFFF } else { offset_of(bytes.len()) },
            proven,
            sequence,
            offset: self.offset,
            more,
        };
        if let Some(room) = bytes.get_mut(..BATCH_HEADER_LEN) {
            room.copy_from_slice(&header.encode());
        }
        bytes.set_len(bytes.len().next_multiple_of(crate::segment::usize_of(block_len).max(1)));
        let shared = filling.share();
        self.shared = Some(Arc::clone(&shared));
        shared
    }

    /// Moves the batch to another segment: every record gets the new stamp and a new checksum, and keeps LSN,
    /// time and payload. Zeros that `close` has added go away again. What was submitted stays as it is for those
    /// who hold it, and is copied into `spare`.
    pub(crate) fn move_to(&mut self, target: &Arc<Target>, offset: u32, spare: impl FnOnce() -> Filling) {
        if let Some(shared) = self.shared.take() {
            self.bytes = spare();
            self.bytes.bytes.extend_from_slice(&shared);
        }
        let bytes = &mut self.bytes.bytes;
        let mut at = BATCH_HEADER_LEN;
        for _ in 0..self.records {
            let Some(rest) = bytes.get_mut(at..) else { break };
            let Some(len) = RecordHeader::peek_len(rest) else { break };
            let Some(record) = rest.get_mut(..len) else { break };
            if planted!(20) {
                break;
            }
            RecordHeader::restamp(record, &target.stamp);
            set_crc(record);
            at = at.saturating_add(padded_len(len));
        }
        bytes.set_len(at);
        self.target = Arc::clone(target);
        (self.offset, self.behind) = (offset, offset);
        self.activates = u64::from(offset) == crate::format::HEADER_BLOCK_LEN;
    }

    /// Bytes it takes on disk: a multiple of `block_len`.
    pub(crate) fn padded(&self, block_len: u32) -> u32 {
        let len = self.shared.as_ref().map_or(self.bytes.bytes.len(), |shared| shared.len());
        offset_of(len).next_multiple_of(block_len.max(1))
    }
}

/// The checksum of one record, header first.
fn set_crc(record: &mut [u8]) {
    if let Some((crc, covered)) = record.split_at_mut_checked(4) {
        crc.copy_from_slice(&checksum(covered).to_le_bytes());
    }
}
