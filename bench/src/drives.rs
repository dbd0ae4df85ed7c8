//! The index of a log whose documents come from a million drives.

use ofd_storage::{Appended, Index, Location, Lsn, SegmentId};

/// Records of a segment of 64 MiB: the index keeps the documents of two of them in memory, older ones are in files.
const SEGMENT_RECORDS: u64 = (64 << 20) / 664;
/// Drives that documents come from.
const DRIVES: u64 = 1_000_000;

/// The index with documents of a million drives that come in no order: the worst a worker meets. The log lies in one large
/// segment here; the index is told of segments as long as they are by default, and forgets them as the engine makes it.
pub(crate) struct Drives {
    index: Index,
    state: u64,
    number: u32,
}

impl Drives {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let random = || {
            seed = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1);
            seed
        };
        Self { index: Index::new(random), state: 0x9E37_79B9_7F4A_7C15, number: 0 }
    }

    /// Puts a document of some drive into the index.
    #[inline]
    pub(crate) fn insert(&mut self, appended: Appended) {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.number += 1;
        // The upper half of the product is a number below `DRIVES`, without a division.
        let drive = ((u128::from(self.state) * u128::from(DRIVES)) >> 64) as u64;
        let lsn = appended.lsn.get();
        let segment = u32::try_from(lsn / SEGMENT_RECORDS + 1).unwrap_or(u32::MAX);
        if lsn.is_multiple_of(SEGMENT_RECORDS) {
            self.index.forget(Lsn::new(lsn.saturating_sub(SEGMENT_RECORDS + 1)));
        }
        let location = Location { segment: SegmentId::new(segment), ..appended.location };
        self.index.insert(0x9960_4400_0000_0000 + drive * 3, self.number, appended.lsn, location);
    }
}
