//! Frames of each drive inside of one port: a few on their way, the rest behind them in the drive's own queue.
//!
//! ```text
//! drive A  ▓▓▓▓ on their way, a few at most      ░░░░░░ waiting, so many at most
//! drive B  ▓
//! ```
//!
//! Unit: one port. Many drives stand behind one address or one socket, so that fairness is by drive: whatever a noisy
//! one sends, no more than its few frames stand before those of the others.
//!
//! Invariants: frames of one drive go on in the order they came (test: queues::tests::a_drive_waits_for_itself); a
//! drive with nothing inside costs no memory (the same test).

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::handover::Slot;

#[derive(Default)]
struct Queue {
    on_their_way: usize,
    waiting: VecDeque<Slot>,
}

/// What a new frame may do.
pub(crate) enum Admitted<'q> {
    /// It is the next one.
    Goes,
    /// It waits for its drive, here.
    Waits(&'q mut VecDeque<Slot>),
    /// Its drive has too many inside.
    TooMany,
}

/// The queues of a port, by drive number as on the wire. Never walked: their order cannot be seen.
#[derive(Default)]
pub(crate) struct Queues {
    drives: HashMap<u128, Queue, RandomState>,
}

impl Queues {
    /// A frame of a drive is to come in.
    pub(crate) fn admit(&mut self, drive: &[u8; 16], on_their_way: usize, all: usize) -> Admitted<'_> {
        let queue = self.drives.entry(u128::from_be_bytes(*drive)).or_default();
        if queue.on_their_way < on_their_way {
            queue.on_their_way = queue.on_their_way.saturating_add(1);
            return Admitted::Goes;
        }
        if queue.on_their_way.saturating_add(queue.waiting.len()) >= all {
            return Admitted::TooMany;
        }
        Admitted::Waits(&mut queue.waiting)
    }

    /// A frame of a drive is through: the next one, if one waits.
    pub(crate) fn next(&mut self, drive: &[u8; 16]) -> Option<Slot> {
        let Entry::Occupied(mut entry) = self.drives.entry(u128::from_be_bytes(*drive)) else { return None };
        let queue = entry.get_mut();
        if let Some(next) = queue.waiting.pop_front() {
            return Some(next);
        }
        queue.on_their_way = queue.on_their_way.saturating_sub(1);
        if queue.on_their_way == 0 {
            entry.remove();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use bytes::Bytes;

    use super::*;
    use crate::handover::{Back, Peer, ReturnTo, Verdict};

    fn slot(sequence: u64) -> Slot {
        let back = Back::Connection(ReturnTo { port: 0, connection: 0, generation: 0, sequence });
        let message = Bytes::new();
        Slot {
            back,
            peer: Peer::default(),
            message,
            original: None,
            arrived_us: 0,
            partition: 0,
            verdict: Verdict::Undecided,
        }
    }

    fn sequence_of(slot: &Slot) -> u64 {
        match &slot.back {
            Back::Connection(back) => back.sequence,
            Back::Host { .. } => unreachable!("none is the host's"),
        }
    }

    /// The noisy drive stands behind itself and before nobody.
    #[test]
    fn a_drive_waits_for_itself() {
        let mut queues = Queues::default();
        let (noisy, quiet) = (*b"9999078900000001", *b"9999078900000002");
        for sequence in 0..5 {
            match queues.admit(&noisy, 2, 5) {
                Admitted::Goes => assert!(sequence < 2),
                Admitted::Waits(queue) => {
                    assert!(sequence >= 2);
                    queue.push_back(slot(sequence));
                }
                Admitted::TooMany => unreachable!("five are allowed"),
            }
        }
        assert!(matches!(queues.admit(&noisy, 2, 5), Admitted::TooMany));
        assert!(matches!(queues.admit(&quiet, 2, 5), Admitted::Goes));
        let order: Vec<_> = (0..3).map(|_| sequence_of(&queues.next(&noisy).unwrap())).collect();
        assert_eq!(order, [2, 3, 4]);
        assert!(
            queues.next(&noisy).is_none() && queues.next(&noisy).is_none() && queues.next(&quiet).is_none()
        );
        assert!(queues.drives.is_empty());
    }
}
