//! What a log goes on from: the numbers that the next record of it depends on.
//!
//! A fold over the records of the log, in order. Recovery folds what it reads; an index file carries the fold up to
//! its last segment, so that recovery need not read what the file covers.

use crate::reader::Damage;
use crate::record::{PARTITIONS, RecordRef};

/// Partitions as an index.
const LEN: usize = PARTITIONS as usize;

/// The fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The greatest time that was given out, unix µs UTC; `i64::MIN` before the first record.
    pub(crate) received_at_us: i64,
    /// By partition, the last sequence that was seen.
    pub(crate) partition_seq: Box<[u64; LEN]>,
    /// By partition, how many records had been lost when its last one was seen.
    pub(crate) lost_before: Box<[u64; LEN]>,
    /// Records lost to damage.
    pub(crate) lost: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            received_at_us: i64::MIN,
            partition_seq: Box::new([0; LEN]),
            lost_before: Box::new([0; LEN]),
            lost: 0,
        }
    }
}

impl Numbers {
    /// The next readable record.
    pub(crate) fn note(&mut self, record: &RecordRef<'_>) {
        self.received_at_us = self.received_at_us.max(record.received_at_us());
        let partition = usize::from(record.partition());
        if let (Some(sequence), Some(before)) =
            (self.partition_seq.get_mut(partition), self.lost_before.get_mut(partition))
        {
            *sequence = record.partition_seq().max(*sequence);
            *before = self.lost;
        }
    }

    /// Damage between the records.
    pub(crate) fn lose(&mut self, damage: &Damage) {
        self.lost = self.lost.saturating_add(damage.records());
    }

    /// The sequences to go on from. A lost record may have been the last of any partition: its number is not given
    /// out again.
    pub(crate) fn sequences(&self) -> Box<[u64; LEN]> {
        let mut sequences = self.partition_seq.clone();
        for (sequence, before) in sequences.iter_mut().zip(self.lost_before.iter()) {
            *sequence = sequence.saturating_add(self.lost.saturating_sub(*before));
        }
        sequences
    }
}
