//! The power fails: what of the log of a disk is there afterwards.
//!
//! ```text
//! log:  W W F W W W F W W│W F …        F: everything before it is durable
//!       └─ durable ────┘ └─┘ tail: dropped, or any subset of it, or parts of it and a torn sector
//! ```
//!
//! Two kinds of blocks are not torn inside: the superblocks of ext4 and of its journal, which ext4 itself takes for atomic.

use crate::disk::{Event, State};
use crate::rng::Rng;

/// Bytes that a device writes whole, or tears.
const SECTOR_LEN: usize = 512;

/// What happens to the writes behind the last flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// None of them is there.
    #[default]
    DropAll,
    /// Any subset of the writes.
    Writes,
    /// Any subset of their sectors.
    Sectors,
    /// Any subset of the writes; one more is there in part, and one sector of it is half new, half old.
    Torn,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::DropAll, Self::Writes, Self::Sectors, Self::Torn];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DropAll => "drop all",
            Self::Writes => "writes",
            Self::Sectors => "sectors",
            Self::Torn => "torn",
        }
    }
}

/// Index behind the last flush of these events.
pub(crate) fn durable_len(events: &[Event]) -> usize {
    events.iter().rposition(|event| matches!(event, Event::Flush)).map_or(0, |at| at + 1)
}

/// Lays all writes over the disk.
pub(crate) fn replay(state: &mut State, events: &[Event]) {
    for event in events {
        if let Event::Write { at, bytes } = event {
            state.put(*at, bytes);
        }
    }
}

/// Lays what survives of the tail over the disk; tells of how many writes something was lost.
pub(crate) fn replay_tail(state: &mut State, tail: &[Event], mode: Mode, rng: &mut Rng) -> u64 {
    let writes: Vec<(u64, &[u8])> = tail
        .iter()
        .filter_map(|event| match event {
            Event::Write { at, bytes } => Some((*at, &**bytes)),
            Event::Flush | Event::Mark(_) => None,
        })
        .collect();
    // Mostly one half; now and then nearly all or nearly none.
    let keep = rng.pick(&[1, 5, 5, 9]);
    let torn = (mode == Mode::Torn).then(|| rng.below(writes.len() as u64));
    let mut lost = 0;
    for (number, (at, bytes)) in writes.into_iter().enumerate() {
        let whole = match mode {
            Mode::DropAll => false,
            Mode::Torn if torn == Some(number as u64) && !is_atomic(at, bytes) => {
                tear(state, at, bytes, rng);
                lost += 1;
                continue;
            }
            Mode::Sectors if !is_atomic(at, bytes) => {
                let mut all = true;
                for (place, sector) in sectors(at, bytes) {
                    let kept = rng.below(10) < keep;
                    all &= kept;
                    if kept {
                        state.put(place, sector);
                    }
                }
                lost += u64::from(!all);
                continue;
            }
            Mode::Writes | Mode::Sectors | Mode::Torn => rng.below(10) < keep,
        };
        if whole {
            state.put(at, bytes);
        }
        lost += u64::from(!whole);
    }
    lost
}

fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (at..).step_by(SECTOR_LEN).zip(bytes.chunks(SECTOR_LEN))
}

/// Some sectors of a write, and one of them in part.
fn tear(state: &mut State, at: u64, bytes: &[u8], rng: &mut Rng) {
    let count = bytes.len().div_ceil(SECTOR_LEN) as u64;
    let victim = rng.below(count);
    let inner = 1 + usize::try_from(rng.below(SECTOR_LEN as u64 - 1)).unwrap_or(0);
    let from_front = rng.one_in(2);
    let in_order = rng.one_in(2);
    for (number, (place, sector)) in sectors(at, bytes).enumerate() {
        let number = number as u64;
        if number == victim {
            let (front, back) = sector.split_at(inner.min(sector.len()));
            if from_front {
                state.put(place, front);
            } else {
                state.put(place.saturating_add(front.len() as u64), back);
            }
        } else if if in_order { number < victim } else { rng.one_in(2) } {
            state.put(place, sector);
        }
    }
}

/// Whether a write holds a superblock of ext4 or of its journal.
fn is_atomic(at: u64, bytes: &[u8]) -> bool {
    let word = |from: usize| bytes.get(from..from + 4).unwrap_or_default();
    let journal = word(0) == [0xC0, 0x3B, 0x39, 0x98] && matches!(word(4), [0, 0, 0, 3 | 4]);
    journal || at < 4096
}
