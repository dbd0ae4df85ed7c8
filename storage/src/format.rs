//! The bytes of a segment, format v1. The only place where they are told.
//!
//! ```text
//! DIR/log/<id:016x>.seg, prewritten with zeros, so that a sync carries no metadata
//!
//!      0 ┌───────────────┐ header block: the same SegmentHeader at 0 and at 2048, each with its checksum
//!   4096 ├───────────────┤ batch:  BatchHeader (64) │ record │ record │ … │ zeros up to a multiple of block_len
//!        │               │ batch …
//!   used ├───────────────┤ zeros, or what earlier lives of the blocks left there
//! -4096  ├───────────────┤ footer block, written at seal: the same SegmentFooter at -4096 and at -2048
//!        └───────────────┘
//! ```
//!
//! - The header is written together with the first batches (`more` of them behind the first; only a rewrite
//!   has any) and covered by the same sync: all of that is there or the segment was never **activated**.
//! - A batch begins at a multiple of `block_len` (512, or 4096 on devices whose sectors are larger), so that
//!   no sector with a durable byte is written twice. What is assumed of the device: a sector that the page
//!   cache writes again with the same bytes keeps them (powersafe overwrite).
//! - `proven` of a batch is the last LSN whose sync had returned when the batch was submitted. Whoever finds a
//!   valid batch header, of whatever batch, knows that everything up to `proven` is durable truth. There is
//!   one write in flight at a time, so the unproven window is one write.
//! - A batch of no records is a **marker**: it proves the one before it and takes no LSN.
//! - A segment with base LSN `b` cuts every segment before it at `b`: after a failed sync, and after a crash,
//!   what was not proven is written again, into the next segment.
//! - The chain of a segment is BLAKE3 over its used bytes in blocks of 1 MiB, each hash keyed by the one
//!   before, beginning with the chain of the segment before it. The footer carries it. The header cannot: it is
//!   written before the previous segment is sealed, so it names the newest chain that was known.
//!
//! Segment header, 128 bytes, at 0 and at 2048 (little-endian, as everything here; `crc` is CRC32C over all behind it):
//!
//! ```text
//!   0 [8] "OFDsegm\x01"    8 u32 crc      12 u16 version    14 u16 partitions, 256
//!  16 u32 segment          20 u32 epoch    24 u64 base LSN   32 u64 nonce
//!  40 u64 segment length   48 u32 block_len                  52 u32 newest sealed segment known, 0 none
//!  56 i64 created at, unix µs UTC          64 [8] "crc32c\0\0", the hash of partitions
//!  72 [32] chain of that sealed segment   104 u32 segment that the log goes on from, 0 untold        108 [20] zeros
//! ```
//!
//! Segment footer, 128 bytes, at −4096 and at −2048:
//!
//! ```text
//!   0 [8] "OFDseal\x01"    8 u32 crc      12 u16 version    14 u16 block_len
//!  16 u32 segment          20 u32 epoch    24 u64 nonce      32 u64 base LSN   40 u64 last LSN
//!  48 u64 records          56 u64 used     64 [32] chain of the segment before  96 [32] chain of this one
//! ```
//!
//! Batch header, 64 bytes; a marker is one with 0 records:
//!
//! ```text
//!   0 [4] "OFDb"            4 u32 crc       8 u64 first LSN  16 u32 records    20 u32 length without padding
//!  24 u32 segment          28 u32 epoch    32 u64 nonce      40 u64 proven     48 u64 sequence
//!  56 u32 offset of itself in the segment                    60 u32 batches that follow in the same write
//! ```
//!
//! `DIR/log/meta`, 64 bytes:
//!
//! ```text
//!   0 [8] "OFDmeta\x01"    8 u32 crc      12 u16 version    14 u16 partitions
//!  16 [8] hash of partitions               24 u32 epoch      28 [36] zeros
//! ```
//!
//! A record is drawn in `record.rs`, `DIR/log/begin` in `begin.rs`.
//!
//! **Upgrade.** A program knows a newest version N. It reads N, N − 1 and every released version before (the golden files in
//! `testdata` see to it), and writes N − 1 until it is told otherwise, so that a release can be rolled back to the one
//! before it; what is newer than N is refused and never guessed at. There is no version 0: today N is 1, which is what
//! is read and written.
//!
//! Names and numbers of every struct below are frozen in v1: `the_bytes_of_v1_stay`, and `tests/compat.rs` opens a
//! log that an earlier version wrote.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::position::{Lsn, SegmentId};
use crate::record::PARTITIONS;

/// The newest version of everything in this file, of records and of positions that this program knows.
pub(crate) const FORMAT_VERSION_NEWEST: u16 = 1;
/// What this program reads and writes.
pub(crate) const FORMAT_VERSIONS: Versions = Versions::of(FORMAT_VERSION_NEWEST);
/// What is written.
pub(crate) const FORMAT_VERSION: u16 = FORMAT_VERSIONS.written;

/// Which versions a program reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    /// The oldest that is read.
    pub(crate) oldest: u16,
    /// The newest that is read.
    pub(crate) newest: u16,
    /// The one that is written until somebody says that no older program will have to read it.
    pub(crate) written: u16,
}

impl Versions {
    /// The rule: reads up to N, writes N − 1 until told. Version 0 does not exist.
    pub(crate) const fn of(newest: u16) -> Self {
        let before = if newest > 1 { newest - 1 } else { 1 };
        Self { oldest: 1, newest, written: before }
    }

    /// Whether files of this version are read.
    pub(crate) const fn reads(self, version: u16) -> bool {
        self.oldest <= version && version <= self.newest
    }
}
const _: () = assert!(FORMAT_VERSIONS.reads(FORMAT_VERSIONS.written));
/// Length of the header block, bytes.
pub(crate) const HEADER_BLOCK_LEN: u64 = 4096;
/// Length of the footer block, bytes.
pub(crate) const FOOTER_BLOCK_LEN: u64 = 4096;
/// Where the second copy lies in its block.
pub(crate) const SECOND_COPY_AT: usize = 2048;
/// Length of a batch header, bytes.
pub(crate) const BATCH_HEADER_LEN: usize = 64;
/// Unit of the hash chain, bytes.
pub(crate) const CHAIN_BLOCK_LEN: usize = 1 << 20;
/// Smallest segment, bytes: for tests.
pub(crate) const SEGMENT_LEN_MIN: u64 = 64 * 1024;
/// Largest segment, bytes: offsets in it are 32 bits wide.
pub(crate) const SEGMENT_LEN_MAX: u64 = 1 << 30;
/// Name of the hash that spreads drives over partitions, as stored.
pub(crate) const PARTITION_HASH: [u8; 8] = *b"crc32c\0\0";

const SEGMENT_MAGIC: [u8; 8] = *b"OFDsegm\x01";
const FOOTER_MAGIC: [u8; 8] = *b"OFDseal\x01";
const BATCH_MAGIC: [u8; 4] = *b"OFDb";
const META_MAGIC: [u8; 8] = *b"OFDmeta\x01";

/// A BLAKE3 hash of the chain.
pub(crate) type ChainHash = [u8; 32];

/// What every batch and record of a segment carries: the three numbers that tell it from any other life of
/// the same blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentStamp {
    pub(crate) segment: SegmentId,
    pub(crate) epoch: u32,
    pub(crate) nonce: u64,
}

/// A struct with a magic and a CRC32C over everything behind the checksum.
trait Sealed: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy {
    /// Bytes before the covered part: magic and checksum.
    const COVERED_FROM: usize;
    fn magic_and_crc_hold(&self, crc: u32) -> bool;
    fn set_crc(&mut self, crc: u32);

    fn computed_crc(&self) -> u32 {
        crc_fast::crc32_iscsi(self.as_bytes().get(Self::COVERED_FROM..).unwrap_or_default())
    }

    fn sealed(mut self) -> Self {
        let crc = self.computed_crc();
        self.set_crc(crc);
        self
    }

    fn checked(bytes: &[u8]) -> Option<&Self> {
        let (this, _) = Self::ref_from_prefix(bytes).ok()?;
        this.magic_and_crc_hold(this.computed_crc()).then_some(this)
    }
}

macro_rules! sealed {
    ($name:ident, $magic:expr) => {
        impl Sealed for $name {
            const COVERED_FROM: usize = $magic.len() + 4;
            fn magic_and_crc_hold(&self, crc: u32) -> bool {
                self.magic == $magic && self.crc.get() == crc
            }
            fn set_crc(&mut self, crc: u32) {
                self.crc = U32::new(crc);
            }
        }
    };
}

/// The first of a segment's two header copies, 128 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SegmentHeaderBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    partitions: U16,
    segment: U32,
    epoch: U32,
    base_lsn: U64,
    nonce: U64,
    segment_len: U64,
    block_len: U32,
    chained_segment: U32,
    created_at_us: I64,
    partition_hash: [u8; 8],
    chain: ChainHash,
    before: U32,
    zeros: [u8; 20],
}
const _: () = assert!(size_of::<SegmentHeaderBytes>() == 128);
sealed!(SegmentHeaderBytes, SEGMENT_MAGIC);

/// What a segment says of itself when it is activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) stamp: SegmentStamp,
    /// Of its first record. Cuts all segments before it.
    pub(crate) base: Lsn,
    pub(crate) len: u64,
    pub(crate) block_len: u32,
    pub(crate) created_at_us: i64,
    /// The newest sealed segment when this one was activated, and its chain; 0 and zeros when there was none.
    pub(crate) chained: SegmentId,
    pub(crate) chain: ChainHash,
    /// The segment with the record before its first one, when it was activated; 0: there was none, or the program that wrote
    /// it did not tell.
    pub(crate) before: SegmentId,
}

/// Why a header block is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Neither copy holds.
    Unreadable,
    /// It holds, but of another format version, partition count or hash.
    Foreign,
}

impl SegmentHeader {
    /// The header block: two copies, zeros between.
    pub(crate) fn encode(&self) -> Block {
        let bytes = SegmentHeaderBytes {
            magic: SEGMENT_MAGIC,
            crc: U32::ZERO,
            version: U16::new(FORMAT_VERSION),
            partitions: U16::new(PARTITIONS),
            segment: U32::new(self.stamp.segment.get()),
            epoch: U32::new(self.stamp.epoch),
            base_lsn: U64::new(self.base.get()),
            nonce: U64::new(self.stamp.nonce),
            segment_len: U64::new(self.len),
            block_len: U32::new(self.block_len),
            chained_segment: U32::new(self.chained.get()),
            created_at_us: I64::new(self.created_at_us),
            partition_hash: PARTITION_HASH,
            chain: self.chain,
            before: U32::new(self.before.get()),
            zeros: [0; 20],
        }
        .sealed();
        twice(bytes.as_bytes())
    }

    /// Reads a header block; one good copy is enough.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = one_of_two::<SegmentHeaderBytes>(block).ok_or(HeaderFault::Unreadable)?;
        if !FORMAT_VERSIONS.reads(bytes.version.get())
            || bytes.partitions.get() != PARTITIONS
            || bytes.partition_hash != PARTITION_HASH
        {
            return Err(HeaderFault::Foreign);
        }
        Ok(Self {
            stamp: SegmentStamp {
                segment: SegmentId::new(bytes.segment.get()),
                epoch: bytes.epoch.get(),
                nonce: bytes.nonce.get(),
            },
            base: Lsn::new(bytes.base_lsn.get()),
            len: bytes.segment_len.get(),
            block_len: bytes.block_len.get(),
            created_at_us: bytes.created_at_us.get(),
            chained: SegmentId::new(bytes.chained_segment.get()),
            chain: bytes.chain,
            before: SegmentId::new(bytes.before.get()),
        })
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SegmentFooterBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    block_len: U16,
    segment: U32,
    epoch: U32,
    nonce: U64,
    base_lsn: U64,
    last_lsn: U64,
    records: U64,
    used: U64,
    chain_before: ChainHash,
    chain: ChainHash,
}
const _: () = assert!(size_of::<SegmentFooterBytes>() == 128);
sealed!(SegmentFooterBytes, FOOTER_MAGIC);

/// What a segment says of itself when it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFooter {
    pub(crate) stamp: SegmentStamp,
    pub(crate) block_len: u32,
    pub(crate) base: Lsn,
    /// The last record that counts; `base - 1` when there is none.
    pub(crate) last: Lsn,
    /// Records that could be read when it was sealed.
    pub(crate) records: u64,
    /// Bytes from the begin that the chain covers.
    pub(crate) used: u64,
    pub(crate) chain_before: ChainHash,
    pub(crate) chain: ChainHash,
}

impl SegmentFooter {
    /// The footer block: two copies, zeros between.
    pub(crate) fn encode(&self) -> Block {
        let bytes = SegmentFooterBytes {
            magic: FOOTER_MAGIC,
            crc: U32::ZERO,
            version: U16::new(FORMAT_VERSION),
            block_len: U16::new(u16::try_from(self.block_len).unwrap_or(u16::MAX)),
            segment: U32::new(self.stamp.segment.get()),
            epoch: U32::new(self.stamp.epoch),
            nonce: U64::new(self.stamp.nonce),
            base_lsn: U64::new(self.base.get()),
            last_lsn: U64::new(self.last.get()),
            records: U64::new(self.records),
            used: U64::new(self.used),
            chain_before: self.chain_before,
            chain: self.chain,
        }
        .sealed();
        twice(bytes.as_bytes())
    }

    /// Reads a footer block; one good copy is enough.
    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let bytes = one_of_two::<SegmentFooterBytes>(block)?;
        FORMAT_VERSIONS.reads(bytes.version.get()).then(|| Self {
            stamp: SegmentStamp {
                segment: SegmentId::new(bytes.segment.get()),
                epoch: bytes.epoch.get(),
                nonce: bytes.nonce.get(),
            },
            block_len: u32::from(bytes.block_len.get()),
            base: Lsn::new(bytes.base_lsn.get()),
            last: Lsn::new(bytes.last_lsn.get()),
            records: bytes.records.get(),
            used: bytes.used.get(),
            chain_before: bytes.chain_before,
            chain: bytes.chain,
        })
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BatchHeaderBytes {
    magic: [u8; 4],
    crc: U32,
    first_lsn: U64,
    records: U32,
    len: U32,
    segment: U32,
    epoch: U32,
    nonce: U64,
    proven: U64,
    sequence: U64,
    offset: U32,
    more: U32,
}
const _: () = assert!(size_of::<BatchHeaderBytes>() == BATCH_HEADER_LEN);
sealed!(BatchHeaderBytes, BATCH_MAGIC);

/// What begins every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) stamp: SegmentStamp,
    /// Of its first record; of a marker: the LSN that comes next.
    pub(crate) first: Lsn,
    /// 0 = marker.
    pub(crate) records: u32,
    /// Header and records, without the zeros behind them.
    pub(crate) len: u32,
    /// The last LSN known to be durable when this batch was submitted.
    pub(crate) proven: Lsn,
    /// Batches of this process are counted from 1; for people who read a log by eye.
    pub(crate) sequence: u64,
    /// Where it lies: a batch that the device wrote elsewhere is none.
    pub(crate) offset: u32,
    /// Batches of the same write that follow this one.
    pub(crate) more: u32,
}

impl BatchHeader {
    pub(crate) fn encode(&self) -> [u8; BATCH_HEADER_LEN] {
        let bytes = BatchHeaderBytes {
            magic: BATCH_MAGIC,
            crc: U32::ZERO,
            first_lsn: U64::new(self.first.get()),
            records: U32::new(self.records),
            len: U32::new(self.len),
            segment: U32::new(self.stamp.segment.get()),
            epoch: U32::new(self.stamp.epoch),
            nonce: U64::new(self.stamp.nonce),
            proven: U64::new(self.proven.get()),
            sequence: U64::new(self.sequence),
            offset: U32::new(self.offset),
            more: U32::new(self.more),
        }
        .sealed();
        zerocopy::transmute!(bytes)
    }

    /// The batch header at the begin of `bytes`, whoever it belongs to.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&BATCH_MAGIC) {
            return None;
        }
        let bytes = BatchHeaderBytes::checked(bytes)?;
        Some(Self {
            stamp: SegmentStamp {
                segment: SegmentId::new(bytes.segment.get()),
                epoch: bytes.epoch.get(),
                nonce: bytes.nonce.get(),
            },
            first: Lsn::new(bytes.first_lsn.get()),
            records: bytes.records.get(),
            len: bytes.len.get(),
            proven: Lsn::new(bytes.proven.get()),
            sequence: bytes.sequence.get(),
            offset: bytes.offset.get(),
            more: bytes.more.get(),
        })
    }

    /// The last LSN of the batch; of a marker: the one before it.
    pub(crate) fn last(&self) -> Lsn {
        Lsn::new(self.first.get().saturating_add(u64::from(self.records)).saturating_sub(1))
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct MetaBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    partitions: U16,
    partition_hash: [u8; 8],
    epoch: U32,
    zeros: [u8; 36],
}
const _: () = assert!(size_of::<MetaBytes>() == 64);
sealed!(MetaBytes, META_MAGIC);

/// `DIR/log/meta`: what never changes, and the epoch of the newest process that owned the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) epoch: u32,
}

impl Meta {
    /// Length of the file, bytes.
    pub(crate) const LEN: usize = 64;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let bytes = MetaBytes {
            magic: META_MAGIC,
            crc: U32::ZERO,
            version: U16::new(FORMAT_VERSION),
            partitions: U16::new(PARTITIONS),
            partition_hash: PARTITION_HASH,
            epoch: U32::new(self.epoch),
            zeros: [0; 36],
        }
        .sealed();
        zerocopy::transmute!(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = MetaBytes::checked(bytes).ok_or(HeaderFault::Unreadable)?;
        if !FORMAT_VERSIONS.reads(bytes.version.get())
            || bytes.partitions.get() != PARTITIONS
            || bytes.partition_hash != PARTITION_HASH
        {
            return Err(HeaderFault::Foreign);
        }
        Ok(Self { epoch: bytes.epoch.get() })
    }
}

/// Hash of one block of the chain.
pub(crate) fn chain_block(before: &ChainHash, block: &[u8]) -> ChainHash {
    *blake3::keyed_hash(before, block).as_bytes()
}

/// A header or a footer as it lies on the disk.
pub(crate) type Block = [u8; HEADER_BLOCK_LEN as usize];
const _: () = assert!(FOOTER_BLOCK_LEN == HEADER_BLOCK_LEN);

/// A block with the struct at both copy places.
fn twice(bytes: &[u8]) -> Block {
    let mut block = [0; _];
    for at in [0, SECOND_COPY_AT] {
        if let Some(room) = block.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }
    block
}

fn one_of_two<T: Sealed>(block: &[u8]) -> Option<&T> {
    T::checked(block).or_else(|| T::checked(block.get(SECOND_COPY_AT..)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use zerocopy::FromZeros;

    use super::*;

    const STAMP: SegmentStamp =
        SegmentStamp { segment: SegmentId::new(7), epoch: 3, nonce: 0x1122_3344_5566_7788 };

    fn header() -> SegmentHeader {
        SegmentHeader {
            stamp: STAMP,
            base: Lsn::new(100),
            len: 64 << 20,
            block_len: 512,
            created_at_us: 1_700_000_000_000_000,
            chained: SegmentId::new(6),
            chain: [0xC6; 32],
            before: SegmentId::default(),
        }
    }

    fn footer() -> SegmentFooter {
        SegmentFooter {
            stamp: STAMP,
            block_len: 512,
            base: Lsn::new(100),
            last: Lsn::new(199),
            records: 100,
            used: 8192,
            chain_before: [0xC6; 32],
            chain: [0xC7; 32],
        }
    }

    fn batch() -> BatchHeader {
        BatchHeader {
            stamp: STAMP,
            first: Lsn::new(100),
            records: 9,
            len: 4000,
            proven: Lsn::new(99),
            sequence: 5,
            offset: 4096,
            more: 1,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // A later version must read what this one writes: a change here is a new format version. The expected bytes
    // were put together by a script that knows the diagrams and a bitwise CRC, not by this code.
    #[test]
    fn the_bytes_of_v1_stay() {
        let mut block = header().encode();
        assert_eq!(block.len(), 4096);
        assert_eq!(
            hex(&block[..72]),
            "4f46447365676d01355ebc24010000010700000003000000640000000000000088776655443322110000000400000000\
             000200000600000000401e18240a06006372633332630000"
        );
        block = footer().encode();
        assert_eq!(
            hex(&block[..64]),
            "4f46447365616c0134f9ebbd01000002070000000300000088776655443322116400000000000000c700000000000000\
             64000000000000000020000000000000"
        );
        assert_eq!(
            hex(&batch().encode()),
            "4f464462fca8e935640000000000000009000000a00f0000070000000300000088776655443322116300000000000000\
             05000000000000000010000001000000"
        );
        assert_eq!(
            hex(&Meta { epoch: 9 }.encode()[..28]),
            "4f46446d657461019b9315df01000001637263333263000009000000"
        );
    }

    #[test]
    fn one_good_copy_is_enough_and_no_copy_is_refused() {
        let mut block = header().encode();
        for at in [0, SECOND_COPY_AT] {
            block[at + 30] ^= 1;
            assert_eq!(SegmentHeader::decode(&block), Ok(header()));
            block[at + 30] ^= 1;
        }
        block[30] ^= 1;
        block[SECOND_COPY_AT + 30] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), Err(HeaderFault::Unreadable));
        block = footer().encode();
        block[30] ^= 1;
        assert_eq!(SegmentFooter::decode(&block), Some(footer()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_detected() {
        let good = batch().encode();
        assert_eq!(BatchHeader::decode(&good), Some(batch()));
        for bit in 0..good.len() * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&bytes), None, "bit {bit}");
        }
        let good = Meta { epoch: 9 }.encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::decode(&bytes), Err(HeaderFault::Unreadable), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_of_a_header_is_refused() {
        let block = header().encode();
        for len in 0..128 {
            assert_eq!(SegmentHeader::decode(&block[..len]), Err(HeaderFault::Unreadable));
            assert_eq!(BatchHeader::decode(&batch().encode()[..len.min(63)]), None);
        }
    }

    // A release can be rolled back: the one before it reads what it wrote.
    #[test]
    fn a_program_reads_the_version_before_its_newest_and_writes_it_until_told() {
        assert_eq!(Versions::of(1), Versions { oldest: 1, newest: 1, written: 1 });
        assert_eq!(Versions::of(2), Versions { oldest: 1, newest: 2, written: 1 });
        assert_eq!(Versions::of(7), Versions { oldest: 1, newest: 7, written: 6 });
        for newest in 1..20 {
            let (before, now) = (Versions::of(newest), Versions::of(newest + 1));
            // Rolled back: what was written is read. Gone on: so is what the one before wrote when it was told.
            assert!(before.reads(now.written) && now.reads(before.written) && now.reads(newest), "{newest}");
            assert!(!now.reads(newest + 2) && !now.reads(0));
        }
        let block = header().encode();
        assert_eq!(block[12..14], FORMAT_VERSIONS.written.to_le_bytes());
    }

    #[test]
    fn another_version_is_foreign_and_not_damaged() {
        let mut other = SegmentHeaderBytes::new_zeroed();
        (other.magic, other.version) = (SEGMENT_MAGIC, U16::new(2));
        assert_eq!(SegmentHeader::decode(other.sealed().as_bytes()), Err(HeaderFault::Foreign));
    }
}
