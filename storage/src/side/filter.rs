//! A blocked Bloom filter: of most files it says that a key is not in them, for the price of one cache line.
//!
//! 512 bits a block, 12 bits a key, six bits set in one block: about 1 % of the keys that are not there pass.
//! The hash is written out here since filters lie on disk; it is no secret, and whoever aims at it makes a search
//! read a page for nothing.

use rkyv::{Archive, Deserialize, Serialize};

const BLOCK_WORDS: usize = 8;
const BITS_A_KEY: u64 = 12;
const PROBES: u32 = 6;

/// The filter of one file.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    words: Vec<u64>,
}

/// SplitMix64 over both parts of the key.
fn hash_of(drive: u64, number: u32) -> u64 {
    let mut z =
        drive.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(number).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Filter {
    /// An empty one for so many keys.
    pub(super) fn with_room(keys: u64) -> Self {
        let blocks = keys.saturating_mul(BITS_A_KEY).div_ceil(512).max(1);
        let words = usize::try_from(blocks).unwrap_or(1).saturating_mul(BLOCK_WORDS);
        Self { words: vec![0; words] }
    }

    fn block(&self, hash: u64) -> usize {
        let blocks = (self.words.len() / BLOCK_WORDS) as u64;
        // The high half of a product spreads the high bits over the blocks without a division.
        let at = (u128::from(hash) * u128::from(blocks)) >> 64;
        usize::try_from(at).unwrap_or(0).saturating_mul(BLOCK_WORDS)
    }

    pub(super) fn add(&mut self, drive: u64, number: u32) {
        let hash = hash_of(drive, number);
        let from = self.block(hash);
        let block = self.words.get_mut(from..from.saturating_add(BLOCK_WORDS)).unwrap_or_default();
        for (word, bit) in probes(hash) {
            if let Some(word) = block.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// False: the key was never added.
    pub(super) fn may_hold(&self, drive: u64, number: u32) -> bool {
        let hash = hash_of(drive, number);
        let from = self.block(hash);
        let block = self.words.get(from..from.saturating_add(BLOCK_WORDS)).unwrap_or_default();
        probes(hash).all(|(word, bit)| block.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// Word and bit of each probe, from the low bits of the hash: nine a probe.
fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..PROBES).map(move |probe| {
        let bits = hash >> (probe * 9);
        ((bits & 7) as usize, 1u64 << ((bits >> 3) & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A key that is said not to be there would be stored a second time.
    #[test]
    fn what_was_added_is_always_held_and_most_else_is_not() {
        let mut filter = Filter::with_room(10_000);
        for key in 0..10_000u64 {
            filter.add(key / 3, (key % 3) as u32);
        }
        assert!((0..10_000u64).all(|key| filter.may_hold(key / 3, (key % 3) as u32)));
        let wrong = (0..100_000u64).filter(|key| filter.may_hold(key + 1_000_000, 1)).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
    }
}
