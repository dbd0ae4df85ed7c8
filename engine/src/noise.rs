//! A small sample of what was not the protocol, kept in memory for whoever looks into a complaint.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use ofd_codec::DecodeError;

/// Samples kept; later ones are only counted.
const SAMPLES_MAX: usize = 256;
/// Bytes kept of one sample.
const SAMPLE_LEN_MAX: usize = 512;

/// One sample of line noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseSample {
    /// What the frame check said.
    pub error: DecodeError,
    /// The beginning of the bytes, at most 512.
    pub bytes: Vec<u8>,
    /// How long the message was.
    pub len: usize,
}

#[derive(Debug, Default)]
struct Kept {
    seen: HashSet<u64>,
    samples: Vec<NoiseSample>,
    counted: u64,
}

/// Keeps the samples, one a distinct message.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    kept: Mutex<Kept>,
    hasher: RandomState,
}

impl Noise {
    /// Takes note of a message that is noise.
    pub(crate) fn note(&self, message: &[u8], error: DecodeError) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.counted = kept.counted.saturating_add(1);
        if kept.samples.len() < SAMPLES_MAX && kept.seen.insert(self.hasher.hash_one(message)) {
            let bytes = message.iter().take(SAMPLE_LEN_MAX).copied().collect();
            kept.samples.push(NoiseSample { error, bytes, len: message.len() });
        }
    }

    /// How many messages were noise.
    pub(crate) fn counted(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).counted
    }

    /// The samples so far.
    pub(crate) fn samples(&self) -> Vec<NoiseSample> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).samples.clone()
    }
}
