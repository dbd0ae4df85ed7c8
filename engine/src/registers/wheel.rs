//! A timer wheel: what is due when. It knows no clock, it is turned; while nothing is due, nothing is done. Pure.
//!
//! ```text
//! level 0   64 slots of 1 s      what is due within the minute of the wheel
//! level 1   64 slots of 64 s     … within its hour and a little
//!   …
//! level 5   64 slots of 34 years everything else
//! ```
//!
//! An entry lies in the slot of the highest digit (base 64) in which its second differs from that of the wheel, and comes down
//! when the wheel reaches that slot. One word a level tells which slots hold anything, so that a turn over a year without an
//! entry looks at six words.
//!
//! Unit: seconds since 1970-01-01 UTC. A timer is never taken back: whoever set it knows, when it goes off, whether it still
//! matters.

/// Bits of a digit.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 6;
const _: () = assert!(DIGIT as usize * LEVELS >= u32::BITS as usize);

/// One timer.
type Entry = (u32, u32);

#[derive(Clone, Debug)]
struct Level {
    occupied: u64,
    slots: Vec<Vec<Entry>>,
}

/// The wheel. An entry is its second and the number of whom it concerns.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    /// Everything before this second has gone off.
    now: u32,
    levels: Vec<Level>,
    /// Set for a second that has passed.
    late: Vec<Entry>,
    /// The first second at which something is due.
    first: Option<u32>,
}

impl Default for Wheel {
    fn default() -> Self {
        let level = Level { occupied: 0, slots: vec![Vec::new(); SLOTS] };
        Self { now: 0, levels: vec![level; LEVELS], late: Vec::new(), first: None }
    }
}

const fn digit_of(second: u32, level: u32) -> usize {
    match second.checked_shr(level.saturating_mul(DIGIT)) {
        Some(rest) => rest as usize & (SLOTS - 1),
        None => 0,
    }
}

impl Wheel {
    /// Sets a timer.
    pub(super) fn set(&mut self, second: u32, whom: u32) {
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        self.put(second, whom);
    }

    /// The first second at which something is due.
    pub(super) const fn first(&self) -> Option<u32> {
        self.first
    }

    fn put(&mut self, second: u32, whom: u32) {
        if second < self.now {
            self.late.push((second, whom));
            return;
        }
        let differs = (second ^ self.now).checked_ilog2().unwrap_or(0);
        let level = differs.checked_div(DIGIT).unwrap_or(0);
        let slot = digit_of(second, level);
        if let Some(level) = usize::try_from(level).ok().and_then(|it| self.levels.get_mut(it)) {
            level.occupied |= 1_u64.checked_shl(u32::try_from(slot).unwrap_or(64)).unwrap_or(0);
            level.slots.get_mut(slot).into_iter().for_each(|it| it.push((second, whom)));
        }
    }

    /// The second of the first slot that holds anything: not later than the first timer.
    fn next(&self) -> Option<u32> {
        (0..).zip(&self.levels).find_map(|(number, level)| {
            let slot = Some(level.occupied).filter(|it| *it != 0)?.trailing_zeros();
            let below = number * DIGIT;
            // Digits above stand as those of the wheel, digits below are zero.
            let above =
                self.now.checked_shr(below + DIGIT).and_then(|it| it.checked_shl(below + DIGIT)).unwrap_or(0);
            Some((above | slot.checked_shl(below).unwrap_or(0)).max(self.now))
        })
    }

    /// Turns to a second and hands out all that is due by then, in the order of seconds and of whom it concerns.
    pub(super) fn turn(&mut self, to: u32, due: &mut Vec<Entry>) {
        due.append(&mut self.late);
        while let Some(second) = self.next().filter(|second| *second <= to) {
            self.now = second;
            for level in (0..LEVELS).rev() {
                self.come_down(level, to, due);
            }
        }
        self.now = self.now.max(to);
        self.first = self.levels.iter().find(|level| level.occupied != 0).and_then(|level| {
            let slot = level.slots.get(usize::try_from(level.occupied.trailing_zeros()).ok()?)?;
            slot.iter().map(|(second, _)| *second).min()
        });
        due.sort_unstable();
        due.dedup();
    }

    /// Takes the slot of the wheel's second: what is due goes off, the rest is set again, further down.
    fn come_down(&mut self, level: usize, to: u32, due: &mut Vec<Entry>) {
        let slot = digit_of(self.now, u32::try_from(level).unwrap_or(u32::MAX));
        let Some(level) = self.levels.get_mut(level) else { return };
        let bit = 1_u64.checked_shl(u32::try_from(slot).unwrap_or(64)).unwrap_or(0);
        if level.occupied & bit == 0 {
            return;
        }
        level.occupied &= !bit;
        let entries = level.slots.get_mut(slot).map(std::mem::take).unwrap_or_default();
        for (second, whom) in entries {
            if second <= to {
                due.push((second, whom));
            } else {
                self.put(second, whom);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a failed test may panic"
    )]
    use ofd_emit::Prng;

    use super::*;

    // A timer that is lost is an alarm that never comes; a list of all timers knows each.
    #[test]
    fn a_wheel_gives_what_a_list_gives() {
        for seed in 1..=300 {
            let mut prng = Prng::new(seed, 0);
            let (mut wheel, mut list, mut now) = (Wheel::default(), Vec::new(), 0_u32);
            for whom in 0..200 {
                let far = 1_u64 << (prng.next_u64() % 33);
                let ahead = (prng.next_u64() % far) as u32;
                if prng.next_u64().is_multiple_of(3) {
                    now = now.saturating_add(ahead / 8);
                    let mut due = Vec::new();
                    wheel.turn(now, &mut due);
                    let mut wanted: Vec<Entry> = list.extract_if(.., |(second, _)| *second <= now).collect();
                    wanted.sort_unstable();
                    wanted.dedup();
                    assert_eq!(due, wanted, "seed {seed}");
                } else {
                    // Some for seconds that have passed.
                    let second = now.saturating_sub(5).saturating_add(ahead);
                    wheel.set(second, whom % 50);
                    list.push((second, whom % 50));
                }
                let first = list.iter().map(|(second, _)| *second).min();
                assert_eq!(wheel.first(), first, "seed {seed}");
            }
        }
    }

    // A wheel of a year in which nothing is due is turned in no time, and its next second is known to the second.
    #[test]
    fn nothing_happens_while_nothing_is_due() {
        let (mut wheel, mut due) = (Wheel::default(), Vec::new());
        wheel.turn(1_790_000_000, &mut due);
        assert_eq!((wheel.first(), due.len()), (None, 0));
        wheel.set(1_790_086_400, 7);
        assert_eq!(wheel.first(), Some(1_790_086_400));
        wheel.turn(1_790_086_399, &mut due);
        assert_eq!((wheel.first(), due.len()), (Some(1_790_086_400), 0));
        wheel.turn(u32::MAX, &mut due);
        assert_eq!((due, wheel.first()), (vec![(1_790_086_400, 7)], None));
        wheel.set(5, 1);
        assert_eq!(wheel.first(), Some(5), "a second that has passed is due at once");
    }
}
