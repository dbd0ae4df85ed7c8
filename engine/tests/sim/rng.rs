//! SplitMix64 of the simulation: apart from that of the machine, so that a new fault does not change the load.

#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True in so many of 65,536.
    pub fn chance(&mut self, rate: u64) -> bool {
        rate > 0 && self.below(65_536) < rate
    }

    /// Some of all faults, in order: none in one of ten draws, one in `single` of ten, else 2 to `most`, of which some may be the
    /// same.
    pub fn faults(&mut self, all: &[&'static str], single: u64, most: u64) -> Vec<&'static str> {
        let many = match self.below(10) {
            0 => 0,
            it if it <= single => 1,
            _ => self.between(2, most),
        };
        let mut faults: Vec<&'static str> = (0..many).map(|_| self.pick(all)).collect();
        faults.sort_unstable();
        faults.dedup();
        faults
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
