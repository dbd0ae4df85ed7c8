//! The only source of chance in this crate: a seeded generator and integer samplers over published tables.
//!
//! Everything a simulated register does follows from its seed, so that a failure is repeated by its number alone.
//! No floats: shares are per mille, quantiles are interpolated in integers.

/// xoshiro256++ (Blackman and Vigna, 2018), filled from a 64-bit seed by splitmix64.
///
/// Not for cryptography. Equal seeds give equal sequences on every machine and in every version of this crate.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

/// One step of splitmix64: a bijection of 64-bit numbers that leaves no pattern of its input.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Prng {
    /// A generator for `seed` and a `stream` of it: streams of one seed are independent of each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut word = mix(seed) ^ mix(stream ^ 0xA5A5_0F0F_3C3C_5A5A);
        let mut next = || {
            word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mix(word)
        };
        Self { state: [next(), next(), next(), next() | 1] }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        let (b_next, a_next) = (b ^ c, a ^ d);
        self.state = [a_next, b_next, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in `0..bound`; 0 for a bound of 0. The bias of the multiply-shift is below 2^-32 for bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A number in `low..=high`; `low` when the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True in `share` cases of a thousand.
    pub fn chance(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// One element of a slice, each alike; `None` for an empty slice.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64) as usize;
        from.get(at)
    }

    /// One value of a weighted table `(weight, value)`; the first value when all weights are 0.
    ///
    /// Weights need no common sum, so that tables may be typed as they were published.
    pub fn weighted<T: Copy>(&mut self, table: &[(u32, T)], fallback: T) -> T {
        let sum: u64 = table.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut left = self.below(sum);
        for (weight, value) in table {
            let weight = u64::from(*weight);
            if left < weight {
                return *value;
            }
            left -= weight;
        }
        fallback
    }

    /// A value of a distribution given by its quantiles: points `(per mille, value)` in rising order, joined by straight lines.
    pub fn quantile(&mut self, points: &[(u32, u32)]) -> u32 {
        let at = self.below(1000) as u32;
        let mut before = points.first().copied().unwrap_or((0, 0));
        for &(share, value) in points {
            if at <= share {
                let (share_0, value_0) = before;
                let width = share.saturating_sub(share_0).max(1);
                let rise = u64::from(value.saturating_sub(value_0));
                let part = rise * u64::from(at.saturating_sub(share_0)) / u64::from(width);
                return value_0 + part as u32;
            }
            before = (share, value);
        }
        before.1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::Prng;

    /// Every failure report names a seed: the same one must replay the same life.
    #[test]
    fn equal_seeds_give_equal_sequences_and_streams_differ() {
        let take = |seed, stream| {
            let mut prng = Prng::new(seed, stream);
            (0..64).map(|_| prng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(take(7, 3), take(7, 3));
        assert_ne!(take(7, 3), take(7, 4));
        assert_ne!(take(7, 3), take(8, 3));
    }

    /// Shares of tables are what the shapes rest on.
    #[test]
    fn samplers_keep_to_their_tables() {
        let mut prng = Prng::new(1, 1);
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            let at = prng.weighted(&[(600, 0usize), (250, 1), (150, 2)], 0);
            *counts.get_mut(at).unwrap() += 1;
        }
        let [a, b, c] = counts;
        assert!(
            (17_500..18_500).contains(&a) && (7_100..7_900).contains(&b) && (4_100..4_900).contains(&c),
            "{counts:?}"
        );

        let mut sum = 0;
        for _ in 0..10_000 {
            let value = prng.quantile(&[(0, 10), (500, 20), (1000, 40)]);
            assert!((10..=40).contains(&value));
            sum += value;
        }
        assert!((215_000..235_000).contains(&sum), "the mean of the three points is 22.5, not {sum}/10000");
        assert_eq!(prng.below(0), 0);
        assert!(prng.pick::<u8>(&[]).is_none());
    }
}
