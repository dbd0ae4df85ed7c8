//! Import: documents that another operator, or an earlier installation, has taken and answered.
//!
//! ```text
//! Imported ─▶ a port ─▶ the worker of its drive ─▶ the log, provenance `import` ─▶ Outcome::Kept
//!              no crypto, no admission, no rule to refuse by, no answer, no event, no delivery
//! ```
//! Unit: one document. Identity is the lane's own (rule A8): what is stored already is stored once, so an import may be
//! broken off and repeated from its beginning.
//!
//! Invariants: the code, the 1012 and the time of the original answer are kept, and a register that asks once more is answered
//! by them (test: engine/tests/import.rs::a_register_that_moved_in_is_answered_as_before); doing it again stores nothing
//! (test: engine/tests/import.rs::importing_twice_stores_once).
//!
//! Errors: as of a submission; frames that the engine has no room for come back unanswered, to be tried again.

use bytes::Bytes;
use ofd_storage::envelope::CryptoVerdict;

use crate::engine::Engine;
use crate::error::Error;
use crate::tickets::Tickets;

/// What was answered when a document came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalAnswer {
    /// The code of 1022; `None`: kept and never answered.
    pub code: Option<u8>,
    /// The 1012 of the answer, local seconds in the zone of who answered; 0 = not known, then that of the import.
    pub operator_time: u32,
    /// When it was answered, microseconds UTC; 0 = not known.
    pub answered_at_us: i64,
}

impl OriginalAnswer {
    /// Nobody knows any more what was answered: the document was accepted, and the import is when.
    pub const UNKNOWN: Self = Self { code: Some(0), operator_time: 0, answered_at_us: 0 };
}

/// A document to import. Its `Debug` shows no contents.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    /// The session message. One that came without a session header has one of the importer's, and `bare` says so.
    pub message: Bytes,
    /// The session header is not the register's: zeros are stored for it.
    pub bare: bool,
    /// The deciphered document, where the container is sealed.
    pub plain: Option<Bytes>,
    /// What the crypto module of that time said.
    pub crypto: CryptoVerdict,
    /// What was answered.
    pub answer: OriginalAnswer,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("message_len", &self.message.len())
            .field("bare", &self.bare)
            .field("plain_len", &self.plain.as_ref().map(Bytes::len))
            .field("crypto", &self.crypto)
            .field("answer", &self.answer)
            .finish()
    }
}

/// What a frame of an import carries beside its message.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub(crate) bare: bool,
    pub(crate) plain: Option<Bytes>,
    pub(crate) crypto: CryptoVerdict,
    pub(crate) answer: OriginalAnswer,
}

impl Engine {
    /// Takes documents in that were answered elsewhere or before, in order. Each comes back as
    /// [`Outcome::Kept`](crate::Outcome::Kept) once it is durable; one that cannot be read is quarantined, as over the wire.
    /// Waits while the engine is full. Registers are served meanwhile.
    ///
    /// # Errors
    /// `Reopen` when the engine has ended.
    pub fn import_batch(&self, documents: Vec<Imported>) -> Result<Tickets, Error> {
        let (frames, originals) = documents
            .into_iter()
            .map(|it| {
                let Imported { message, bare, plain, crypto, answer } = it;
                (message, Original { bare, plain, crypto, answer })
            })
            .unzip();
        self.submit_to_port(frames, originals)
    }
}
