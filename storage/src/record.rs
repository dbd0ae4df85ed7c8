//! One record: header and payload, checked before the write and after the read.
//!
//! Shape (little-endian, format v1, 64 bytes, then the payload; the next record begins at a multiple of 8):
//!
//! ```text
//!   0 u32 crc32c over bytes 4.. and the payload    4 u32 length: header and payload, without padding
//!   8 u8  kind    9 u8 flags   10 u16 partition, 0xFFFF none       12 u32 key id
//!                     └ bit 7: the payload is encrypted with that key; bits 0..=6 are the kind's own
//!  16 u64 lsn                                       24 u64 partition sequence, from 1; 0 without partition
//!  32 i64 received_at, unix µs UTC                  40 u32 segment  44 u32 epoch
//!  48 u64 nonce of the segment                      56 u8 answer code  57..64 zeros
//! ```
//!
//! The checksum covers segment, epoch, LSN and the segment's nonce. So an old record in recycled blocks is not
//! taken for a new one, a block that the device wrote to the wrong place is noticed, and a payload cannot hold
//! bytes that pass for a record when damage makes a reader search for the next one: the nonce is a random
//! number that never leaves the disk.
//!
//! Invariants, with the test that holds each:
//! - every one-bit flip in header or payload is detected: `every_one_bit_flip_is_detected`;
//! - a record of another segment, epoch or nonce is none: `a_record_of_another_segment_is_no_record`;
//! - no cut or noise makes `decode` read past its input: `every_cut_is_refused`.

use bytes::Bytes;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::format::SegmentStamp;
use crate::planted::planted;
use crate::position::{Lsn, SegmentId};

/// Length of a record header, bytes.
pub const RECORD_HEADER_LEN: usize = 64;
/// Records begin at multiples of this.
pub(crate) const RECORD_ALIGN: usize = 8;
/// Header and payload, bytes. Two containers of 32 KiB with their envelope are 66 KiB; the rest is for commands.
pub const RECORD_LEN_MAX: usize = 256 * 1024;
/// The flag of a record whose payload is encrypted with the key of its key id. Reserved in v1: nothing of this version
/// writes it, and everything keeps such a record, hands out its bytes and does not try to read them.
pub const RECORD_FLAG_ENCRYPTED: u8 = 0x80;
/// The partition of a record that belongs to none.
pub const NO_PARTITION: u16 = 0xFFFF;
/// Partitions, for ever.
pub const PARTITIONS: u16 = 256;

/// What a record is. Open: a kind of a newer version is a value with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A stored document; the payload is an envelope.
    Document,
    /// A whole frame that breaks a rule the answer needs (A4, A5, A7): stored, not answered. An envelope.
    Quarantine,
    /// Where a named cursor of the engine stands.
    Cursor,
    /// A command that changes state.
    Command,
    /// A tick of the clock.
    Tick,
    /// What the tax service or a delivery channel has answered; the payload is [`crate::status`].
    Status,
    /// Of a newer version.
    Unknown(u8),
}

impl RecordKind {
    /// The byte in the header.
    pub const fn code(self) -> u8 {
        match self {
            Self::Document => 1,
            Self::Quarantine => 2,
            Self::Cursor => 3,
            Self::Command => 4,
            Self::Tick => 5,
            Self::Status => 6,
            Self::Unknown(code) => code,
        }
    }

    /// From the byte in the header.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Document,
            2 => Self::Quarantine,
            3 => Self::Cursor,
            4 => Self::Command,
            5 => Self::Tick,
            6 => Self::Status,
            other => Self::Unknown(other),
        }
    }
}

/// What the caller of `append` decides; the log adds LSN, sequence and time.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Bits 0..=6 are free for the kind's owner; bit 7 is [`RECORD_FLAG_ENCRYPTED`].
    pub flags: u8,
    /// 0..=255, or [`NO_PARTITION`].
    pub partition: u16,
    /// Key the payload is encrypted with; 0 = none.
    pub key_id: u32,
    /// What the register was answered.
    pub answer_code: u8,
    /// The payload, in pieces that are written one after another.
    pub parts: &'a [&'a [u8]],
}

/// The header as it lies on disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RecordHeader {
    pub(crate) crc: U32,
    pub(crate) len: U32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) partition: U16,
    pub(crate) key_id: U32,
    pub(crate) lsn: U64,
    pub(crate) partition_seq: U64,
    pub(crate) received_at_us: I64,
    pub(crate) segment: U32,
    pub(crate) epoch: U32,
    pub(crate) nonce: U64,
    pub(crate) answer_code: u8,
    pub(crate) zeros: [u8; 7],
}
const _: () = assert!(size_of::<RecordHeader>() == RECORD_HEADER_LEN);

impl RecordHeader {
    /// The length field of the record at the begin of `bytes`, unchecked.
    pub(crate) fn peek_len(bytes: &[u8]) -> Option<usize> {
        let (header, _) = Self::ref_from_prefix(bytes).ok()?;
        usize::try_from(header.len.get()).ok()
    }

    /// Gives the record at the begin of `bytes` to another segment; its checksum has to be made anew.
    pub(crate) fn restamp(bytes: &mut [u8], stamp: &SegmentStamp) {
        if let Ok((header, _)) = Self::mut_from_prefix(bytes) {
            header.segment = U32::new(stamp.segment.get());
            header.epoch = U32::new(stamp.epoch);
            header.nonce = U64::new(stamp.nonce);
        }
    }
}

/// CRC32C over everything behind the checksum.
#[inline]
pub(crate) fn checksum(covered: &[u8]) -> u32 {
    if planted!(5) {
        return crc_fast::crc32_iscsi(covered.get(20..).unwrap_or_default());
    }
    crc_fast::crc32_iscsi(covered)
}

/// Bytes a record takes in the log, padding included.
pub(crate) const fn padded_len(len: usize) -> usize {
    len.next_multiple_of(RECORD_ALIGN)
}

/// A whole record whose checksum held. Borrows the bytes it was read from; its `Debug` shows no contents, which are
/// somebody's data.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    header: &'a RecordHeader,
    payload: &'a [u8],
}

impl std::fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordRef")
            .field("lsn", &self.lsn())
            .field("kind", &self.kind())
            .field("payload_len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl<'a> RecordRef<'a> {
    /// The record at the begin of `bytes`, which may go on behind it. `None` when there is no whole record of
    /// this segment with a right checksum.
    pub(crate) fn decode(bytes: &'a [u8], stamp: &SegmentStamp) -> Option<Self> {
        let (header, rest) = RecordHeader::ref_from_prefix(bytes).ok()?;
        // Cheap refusals first: a search for the next record after damage comes here for every eighth byte.
        if header.nonce.get() != stamp.nonce
            || header.segment.get() != stamp.segment.get()
            || header.epoch.get() != stamp.epoch
        {
            return None;
        }
        let len = usize::try_from(header.len.get()).ok()?;
        if len > RECORD_LEN_MAX {
            return None;
        }
        let payload = rest.get(..len.checked_sub(RECORD_HEADER_LEN)?)?;
        let covered = bytes.get(4..len)?;
        (checksum(covered) == header.crc.get()).then_some(Self { header, payload })
    }

    /// The whole record without a look at its segment: for bytes that were checked when they were read.
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = RecordHeader::ref_from_prefix(bytes).ok()?;
        Some(Self { header, payload })
    }

    /// The record at the begin of bytes that were checked when they were read; they may go on behind it.
    pub(crate) fn prefix_of_checked(bytes: &'a [u8]) -> Option<Self> {
        Self::from_checked(bytes.get(..RecordHeader::peek_len(bytes)?)?)
    }

    /// Its number in the log.
    pub fn lsn(&self) -> Lsn {
        Lsn::new(self.header.lsn.get())
    }

    /// What it is.
    pub fn kind(&self) -> RecordKind {
        RecordKind::from_code(self.header.kind)
    }

    /// Bits 0..=6 are free for the kind's owner; bit 7 is [`RECORD_FLAG_ENCRYPTED`].
    pub fn flags(&self) -> u8 {
        self.header.flags
    }

    /// Whether the payload is encrypted: then it is bytes, whatever its kind would make of them.
    pub fn is_encrypted(&self) -> bool {
        self.header.flags & RECORD_FLAG_ENCRYPTED != 0
    }

    /// 0..=255, or [`NO_PARTITION`].
    pub fn partition(&self) -> u16 {
        self.header.partition.get()
    }

    /// Its number in its partition, from 1; 0 without partition.
    pub fn partition_seq(&self) -> u64 {
        self.header.partition_seq.get()
    }

    /// When the writer took it, unix µs UTC. Never decreases along the log.
    pub fn received_at_us(&self) -> i64 {
        self.header.received_at_us.get()
    }

    /// What the register was answered.
    pub fn answer_code(&self) -> u8 {
        self.header.answer_code
    }

    /// Key the payload is encrypted with; 0 = none.
    pub fn key_id(&self) -> u32 {
        self.header.key_id.get()
    }

    /// The segment it was written to.
    pub fn segment(&self) -> SegmentId {
        SegmentId::new(self.header.segment.get())
    }

    /// The epoch of the process that wrote it.
    pub fn epoch(&self) -> u32 {
        self.header.epoch.get()
    }

    /// The payload as it lies on disk; encrypted when [`RecordRef::is_encrypted`] says so.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload, to be read as its kind says.
    ///
    /// # Errors
    /// When it is encrypted: the bytes mean nothing without their key.
    pub fn plain_payload(&self) -> Result<&'a [u8], Encrypted> {
        let encrypted = Encrypted { lsn: self.lsn(), key_id: self.key_id() };
        if self.is_encrypted() { Err(encrypted) } else { Ok(self.payload) }
    }

    /// Header and payload, bytes.
    pub fn encoded_len(&self) -> usize {
        RECORD_HEADER_LEN.saturating_add(self.payload.len())
    }

    /// A copy that outlives what the record was read from.
    pub fn to_owned_record(&self) -> OwnedRecord {
        OwnedRecord { bytes: Bytes::from([self.header.as_bytes(), self.payload].concat()) }
    }
}

/// A record that is whole and cannot be read: its payload is encrypted with a key that is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The record.
    pub lsn: Lsn,
    /// The key.
    pub key_id: u32,
}

impl std::fmt::Display for Encrypted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} is encrypted with key {}, which is not here", self.lsn, self.key_id)
    }
}

impl std::error::Error for Encrypted {}

/// A checked record with its bytes: a slice of a mapped segment, or its own few hundred bytes. Its `Debug` shows no contents.
#[derive(Clone)]
pub struct OwnedRecord {
    bytes: Bytes,
}

impl std::fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnedRecord").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl OwnedRecord {
    /// `bytes` is exactly one checked record.
    pub(crate) fn from_checked(bytes: Bytes) -> Option<Self> {
        (bytes.len() >= RECORD_HEADER_LEN).then_some(Self { bytes })
    }

    /// A record put together again from what is known of it, outside of any segment: as readers of the log get
    /// it, with zeros for segment, epoch and nonce, and the checksum over that.
    #[cfg(feature = "columns")]
    pub(crate) fn rebuilt(kind: RecordKind, stored: &crate::columns::Stored) -> Self {
        let len = RECORD_HEADER_LEN.saturating_add(stored.payload.len());
        let mut header = RecordHeader {
            crc: U32::ZERO,
            len: U32::new(u32::try_from(len).unwrap_or(u32::MAX)),
            kind: kind.code(),
            flags: stored.flags,
            partition: U16::new(stored.partition),
            key_id: U32::new(stored.key_id),
            lsn: U64::new(stored.position),
            partition_seq: U64::new(stored.partition_seq),
            received_at_us: I64::new(stored.received_at_us),
            segment: U32::ZERO,
            epoch: U32::ZERO,
            nonce: U64::ZERO,
            answer_code: stored.answer_code,
            zeros: [0; 7],
        };
        let mut bytes = [header.as_bytes(), &stored.payload].concat();
        header.crc = U32::new(crc_fast::crc32_iscsi(bytes.get(4..).unwrap_or_default()));
        if let Some(room) = bytes.get_mut(..4) {
            room.copy_from_slice(header.crc.as_bytes());
        }
        Self { bytes: bytes.into() }
    }

    /// The record.
    pub fn record(&self) -> RecordRef<'_> {
        RecordRef::from_checked(&self.bytes).expect("from_checked has made sure of a whole header")
    }

    /// The payload as a slice that keeps the record alive.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(RECORD_HEADER_LEN..)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;

    pub(crate) const STAMP: SegmentStamp =
        SegmentStamp { segment: SegmentId::new(7), epoch: 3, nonce: 0xA5A5_0102_0304_0506 };

    /// A record as the writer makes it.
    pub(crate) fn sample(payload: &[u8]) -> Vec<u8> {
        let len = RECORD_HEADER_LEN + payload.len();
        let mut header = RecordHeader {
            crc: U32::ZERO,
            len: U32::new(len as u32),
            kind: 1,
            flags: 2,
            partition: U16::new(9),
            key_id: U32::new(4),
            lsn: U64::new(42),
            partition_seq: U64::new(5),
            received_at_us: I64::new(1_700_000_000_000_000),
            segment: U32::new(STAMP.segment.get()),
            epoch: U32::new(STAMP.epoch),
            nonce: U64::new(STAMP.nonce),
            answer_code: 14,
            zeros: [0; 7],
        };
        let mut bytes = [header.as_bytes(), payload].concat();
        header.crc = U32::new(crc_fast::crc32_iscsi(&bytes[4..]));
        bytes[..4].copy_from_slice(header.crc.as_bytes());
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = sample(b"payload");
        let record = RecordRef::decode(&bytes, &STAMP).unwrap();
        assert_eq!(
            (record.lsn(), record.kind(), record.partition()),
            (Lsn::new(42), RecordKind::Document, 9)
        );
        assert_eq!((record.partition_seq(), record.answer_code(), record.key_id()), (5, 14, 4));
        assert_eq!((record.payload(), record.flags(), record.epoch()), (&b"payload"[..], 2, 3));
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // The oracle is another crate and the check value of the catalogue.
        let oracle = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xE306_9283);
        for len in [0usize, 1, 7, 8, 63, 64, 65, 600, 4096] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
            assert_eq!(crc_fast::crc32_iscsi(&bytes), oracle.checksum(&bytes), "{len}");
        }
    }

    #[test]
    fn every_one_bit_flip_is_detected() {
        let bytes = sample(b"some payload of thirty-one byte");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordRef::decode(&flipped, &STAMP).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = sample(b"payload");
        for len in 0..bytes.len() {
            assert!(RecordRef::decode(&bytes[..len], &STAMP).is_none(), "cut at {len}");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_no_record() {
        let bytes = sample(b"payload");
        for other in [
            SegmentStamp { segment: SegmentId::new(8), ..STAMP },
            SegmentStamp { epoch: 4, ..STAMP },
            SegmentStamp { nonce: 1, ..STAMP },
        ] {
            assert!(RecordRef::decode(&bytes, &other).is_none());
        }
    }
}
