//! A small sample of what was not the protocol, kept in memory for whoever looks into a complaint.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use ofd_codec::DecodeError;

/// Samples kept: the newest, one a distinct message.
const SAMPLES_MAX: usize = 64;
/// Bytes kept of one sample.
const SAMPLE_LEN_MAX: usize = 512;

/// One sample of line noise. It may hold parts of a receipt: its `Debug` shows no bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct NoiseSample {
    /// What the frame check said.
    pub error: DecodeError,
    /// The beginning of the bytes, at most 512.
    pub bytes: Vec<u8>,
    /// How long the message was.
    pub len: usize,
}

impl std::fmt::Debug for NoiseSample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoiseSample")
            .field("error", &self.error)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// The newest samples with the hashes of their messages.
    samples: VecDeque<(u64, NoiseSample)>,
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
        let hash = self.hasher.hash_one(message);
        if kept.samples.iter().any(|(known, _)| *known == hash) {
            return;
        }
        if kept.samples.len() >= SAMPLES_MAX {
            kept.samples.pop_front();
        }
        let bytes = message.iter().take(SAMPLE_LEN_MAX).copied().collect();
        kept.samples.push_back((hash, NoiseSample { error, bytes, len: message.len() }));
    }

    /// How many messages were noise.
    pub(crate) fn counted(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).counted
    }

    /// The samples so far.
    pub(crate) fn samples(&self) -> Vec<NoiseSample> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.samples.iter().map(|(_, sample)| sample.clone()).collect()
    }
}
