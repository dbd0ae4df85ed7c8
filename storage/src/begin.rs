//! `log/begin`: where the log begins since its oldest segments have left the disk.
//!
//! A log begins with record 1, unless this file says otherwise: then everything up to and with `through` may be missing,
//! because all of it is in the verified archive. Written and durable before the first segment is removed, so that a
//! missing segment is told from a dropped one after any crash. The log goes on numbering each partition from what
//! stands here, as the records that would tell may be gone.
//!
//! Shape (little-endian), format v1, twice, 4,096 bytes apart:
//!
//! ```text
//!   0 [8] "OFDbegn\x01"   8 u32 crc32c over bytes 12..   12 u16 version   14 u16 partitions   16 u64 through
//!  24 i64 received_at of that record, unix µs UTC        32 [256] u64 last sequence number given in each partition
//! ```
//!
//! Invariants, with the test that holds each:
//! - one damaged copy costs nothing, two are told and never passed over: `one_damaged_copy_is_no_loss`;
//! - a log that begins later than this is refused: `tests/retain.rs`, `a_segment_missing_at_the_begin_is_refused`.

use std::path::Path;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::env::{Env, read_file, replace_file};
use crate::error::{Error, ErrorKind};
use crate::format::Versions;
use crate::position::Lsn;
use crate::record::PARTITIONS;

/// Path of the file.
pub(crate) const BEGIN_PATH: &str = "log/begin";
const MAGIC: [u8; 8] = *b"OFDbegn\x01";
const VERSIONS: Versions = Versions::of(1);
/// Bytes of a copy with the gap behind it.
const COPY_LEN: usize = 4096;
/// Bytes before the covered part: magic and checksum.
const COVERED_FROM: usize = 12;

/// Where the log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Everything up to and with this record may have left the log; `NONE`: nothing has.
    pub through: Lsn,
    /// When that record was received, unix µs UTC.
    pub received_at_us: i64,
    /// Of each partition the last sequence number given up to there.
    pub partition_seq: Box<[u64; PARTITIONS as usize]>,
}

impl Default for Begin {
    fn default() -> Self {
        Self {
            through: Lsn::NONE,
            received_at_us: i64::MIN,
            partition_seq: Box::new([0; PARTITIONS as usize]),
        }
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BeginBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    partitions: U16,
    through: U64,
    received_at_us: I64,
    partition_seq: [U64; PARTITIONS as usize],
}
const _: () = assert!(size_of::<BeginBytes>() <= COPY_LEN);

impl Begin {
    /// Reads the file; without one the log begins with its first record.
    ///
    /// # Errors
    /// `Corrupt` when neither copy can be read; `Fix` when it is of a newer version; of the system.
    pub fn load(env: &dyn Env) -> Result<Self, Error> {
        let bytes = match read_file(env, Path::new(BEGIN_PATH), COPY_LEN as u64 * 4) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let copies = [bytes.get(..), bytes.get(COPY_LEN..)];
        let Some(found) = copies.into_iter().flatten().find_map(checked) else {
            let text = format!("{BEGIN_PATH}: neither copy can be read; where the log begins is not known");
            return Err(Error::new(ErrorKind::Corrupt, text));
        };
        if !VERSIONS.reads(found.version.get()) || found.partitions.get() != PARTITIONS {
            let (version, newest) = (found.version.get(), VERSIONS.newest);
            let text = format!("{BEGIN_PATH}: version {version}, this program knows {newest}");
            return Err(Error::new(ErrorKind::Fix, text));
        }
        Ok(Self {
            through: Lsn::new(found.through.get()),
            received_at_us: found.received_at_us.get(),
            partition_seq: Box::new(found.partition_seq.map(U64::get)),
        })
    }

    /// Replaces the file. Done before the first segment is removed, by the owner of the directory only, and only for
    /// what the archive holds.
    ///
    /// # Errors
    /// Of the system. After an error the old or the new file stands there, whole.
    pub fn store(&self, env: &dyn Env) -> Result<(), Error> {
        let bytes = self.encode();
        replace_file(env, Path::new(BEGIN_PATH), &bytes)?;
        match env.mirror() {
            Some(mirror) => replace_file(&*mirror.env, Path::new(BEGIN_PATH), &bytes),
            None => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut copy = BeginBytes {
            magic: MAGIC,
            crc: U32::ZERO,
            version: U16::new(VERSIONS.written),
            partitions: U16::new(PARTITIONS),
            through: U64::new(self.through.get()),
            received_at_us: I64::new(self.received_at_us),
            partition_seq: self.partition_seq.map(U64::new),
        };
        copy.crc = U32::new(crc_of(&copy));
        let mut bytes = copy.as_bytes().to_vec();
        bytes.resize(COPY_LEN, 0);
        bytes.extend_from_within(..);
        bytes
    }
}

fn crc_of(copy: &BeginBytes) -> u32 {
    crc_fast::crc32_iscsi(copy.as_bytes().get(COVERED_FROM..).unwrap_or_default())
}

fn checked(bytes: &[u8]) -> Option<&BeginBytes> {
    let (copy, _) = BeginBytes::ref_from_prefix(bytes).ok()?;
    (copy.magic == MAGIC && copy.crc.get() == crc_of(copy)).then_some(copy)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;
    use crate::env::write_all_at;
    use crate::testing::{SimEnv, SimKnobs};

    // A later version must read what this one writes. Put together by a script that knows the diagram and a bitwise CRC, not by this code.
    #[test]
    fn the_bytes_of_v1_stay() {
        let mut begin = Begin { through: Lsn::new(77), received_at_us: -5, ..Begin::default() };
        (begin.partition_seq[0], begin.partition_seq[255]) = (3, u64::MAX);
        let bytes = begin.encode();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(&bytes[..48]),
            "4f46446265676e01fa5255f3010000014d00000000000000fbffffffffffffff03000000000000000000000000000000"
        );
        assert!(bytes[40..32 + 255 * 8].iter().all(|byte| *byte == 0));
        assert_eq!(hex(&bytes[32 + 255 * 8..32 + 257 * 8]), "ffffffffffffffff0000000000000000");
        assert!(bytes.len() == 2 * COPY_LEN && bytes[..COPY_LEN] == bytes[COPY_LEN..]);
    }

    /// A file that nobody can read would keep the log from opening: one flipped bit must not be enough.
    #[test]
    fn one_damaged_copy_is_no_loss() {
        let env = SimEnv::new(1, SimKnobs::default());
        env.create_dir_all(Path::new("log")).unwrap();
        assert_eq!(Begin::load(&env).unwrap(), Begin::default());
        let mut begin = Begin { through: Lsn::new(77), received_at_us: -5, ..Begin::default() };
        begin.partition_seq[255] = u64::MAX;
        let whole = begin.encode();
        let put = |bytes: &[u8]| {
            let file = env.create(Path::new(BEGIN_PATH)).unwrap();
            write_all_at(&*file, &[bytes], 0).unwrap();
        };
        for at in (0..size_of::<BeginBytes>()).step_by(13) {
            let mut one = whole.clone();
            one[at] ^= 0x10;
            put(&one);
            assert_eq!(Begin::load(&env).unwrap(), begin, "byte {at}");
            one[COPY_LEN + at] ^= 1;
            put(&one);
            assert_eq!(Begin::load(&env).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        }
        for len in [0, 1, COPY_LEN / 2, size_of::<BeginBytes>() - 1] {
            put(&whole[..len]);
            assert_eq!(Begin::load(&env).unwrap_err().kind(), ErrorKind::Corrupt, "{len} bytes");
        }
    }
}
