//! What the figures are measured on: documents of the house's own generator, so that anyone with the same seed
//! measures the same bytes.
//!
//! Registers of all three groups and all versions of the format, in the middle of their lives, one document of each in
//! turn, as an operator receives them. Nothing repeats, so a branch predictor cannot learn a document by heart.

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register, Start};

/// Where the document stands in its message: behind session header and container header.
const PLAIN_AT: usize = ofd_codec::SESSION_HEADER_LEN + ofd_codec::CONTAINER_HEADER_LEN;

/// Session messages, one after another.
pub(crate) struct Corpus {
    bytes: Vec<u8>,
    /// Ends of the messages in `bytes`.
    ends: Vec<usize>,
}

impl Corpus {
    /// `count` messages of `registers` registers.
    pub(crate) fn new(seed: u64, registers: u32, count: usize) -> Self {
        let options = ProfileOptions {
            start: Start::MidLife,
            receipts_per_shift: Some(60),
            ..ProfileOptions::default()
        };
        let mut living: Vec<Register> = (0..registers).map(|at| Register::new(seed, at, &options)).collect();
        let mut corpus = Self { bytes: Vec::new(), ends: Vec::with_capacity(count) };
        while corpus.ends.len() < count {
            for register in living.iter_mut().take(count - corpus.ends.len()) {
                register.next_message(&mut corpus.bytes);
                corpus.ends.push(corpus.bytes.len());
            }
        }
        corpus
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all messages.
    pub(crate) fn total(&self) -> usize {
        self.bytes.len()
    }

    /// The messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |&to| {
            let message = self.bytes.get(from..to).unwrap_or_default();
            from = to;
            message
        })
    }

    /// The plain document TLVs inside them.
    pub(crate) fn plains(&self) -> impl Iterator<Item = &[u8]> {
        self.messages()
            .map(|message| message.get(PLAIN_AT..message.len() - ofd_codec::TRAILER_LEN).unwrap_or_default())
    }

    /// The messages as shared slices of one allocation.
    pub(crate) fn shared(&self) -> Vec<Bytes> {
        let all = Bytes::copy_from_slice(&self.bytes);
        self.messages()
            .map(|message| all.slice_ref(all.get(range_in(&self.bytes, message)).unwrap_or_default()))
            .collect()
    }
}

/// Where `part` lies in `whole`.
fn range_in(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let from = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    from..from + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_messages_that_check_and_equal_seeds_give_equal_bytes() {
        let corpus = Corpus::new(7, 16, 100);
        assert_eq!((corpus.len(), corpus.shared().len()), (100, 100));
        for (message, plain) in corpus.messages().zip(corpus.plains()) {
            let frame = ofd_codec::Frame::new_checked(message).expect("a whole message");
            assert_eq!(frame.container().body(), plain);
        }
        assert_eq!(corpus.bytes, Corpus::new(7, 16, 100).bytes);
        assert_ne!(corpus.bytes, Corpus::new(8, 16, 100).bytes);
    }
}
