//! Import: documents that another operator, or an earlier installation, has taken and answered.
//!
//! ```text
//! Imported ─▶ a port ─▶ the worker of its drive ─▶ the log, provenance `import` ─▶ Outcome::Kept
//!              no crypto, no admission, no rule to refuse by, no answer, no delivery, no event but of an end
//! ```
//! Unit: one document. Identity is the lane's own (rule A8): what is stored already is stored once, so an import may be
//! broken off and repeated from its beginning.
//!
//! Invariants: the code, the 1012 and the time of the original answer are kept, and a register that asks once more is answered
//! by them (test: engine/tests/import.rs::a_register_that_moved_in_is_answered_as_before); doing it again stores nothing
//! (test: engine/tests/import.rs::importing_twice_stores_once).
//!
//! Errors: as of a submission; frames that the engine has no room for come back unanswered, to be tried again.

use core::time::Duration;

use bytes::Bytes;
#[cfg(feature = "parquet")]
use ofd_codec::{DocumentView, Frame};
use ofd_codec::{DriveNumber, FfdVersion, SessionHeader};
#[cfg(feature = "parquet")]
use ofd_storage::envelope::Envelope;
use ofd_storage::envelope::{CryptoVerdict, EnvelopeError};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
#[cfg(feature = "parquet")]
use crate::lanes::stored_code;
use crate::registers::LaneSeed;
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

/// Why there is nothing to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotImported {
    /// The record has no envelope that this program can read.
    #[error("{0}")]
    Envelope(EnvelopeError),
    /// It names no drive.
    #[error("no drive number")]
    Drive,
    /// A session message has no room for the container.
    #[error("the container is too long")]
    TooLong,
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

impl Imported {
    /// A session message as it came, unverified.
    pub fn of_message(message: Bytes, answer: OriginalAnswer) -> Self {
        Self { message, bare: false, plain: None, crypto: CryptoVerdict::Unverified, answer }
    }

    /// A container that came without a session header, under one of ours.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn of_container(
        container: &[u8],
        drive: &DriveNumber,
        version: FfdVersion,
        answer: OriginalAnswer,
    ) -> Result<Self, NotImported> {
        let len = u16::try_from(container.len()).map_err(|_| NotImported::TooLong)?;
        let header = SessionHeader::from_register(version.p_version(), drive, len).encode();
        let message = [&header, container].concat().into();
        Ok(Self { bare: true, ..Self::of_message(message, answer) })
    }

    /// A document or a quarantined frame of an engine's archive, with all that was said of it.
    ///
    /// # Errors
    /// When the record holds no frame.
    #[cfg(feature = "parquet")]
    pub fn of_stored(stored: &ofd_storage::columns::Stored) -> Result<Self, NotImported> {
        let envelope =
            Envelope::decode_flagged(stored.flags, &stored.payload).map_err(NotImported::Envelope)?;
        let drive = DriveNumber::from_wire(&envelope.drive).map_err(|_| NotImported::Drive)?;
        let answer = OriginalAnswer {
            code: stored_code(stored.answer_code),
            operator_time: envelope.operator_time,
            answered_at_us: match envelope.answered_at_us {
                0 => stored.received_at_us,
                at => at,
            },
        };
        let view = DocumentView::new_checked(envelope.plain);
        let imported = if envelope.session == [0; 30] {
            let version =
                view.map_or(FfdVersion::V1_0, |it| FfdVersion::of_document(&it.header(), None, [0, 0]));
            Self::of_container(envelope.container, &drive, version, answer)?
        } else {
            Self::of_message([&envelope.session, envelope.container].concat().into(), answer)
        };
        // The body of a plain container is the document; what was deciphered has to come along.
        let body = Frame::new_checked(&imported.message).map(|it| it.container().body());
        let deciphered = !envelope.plain.is_empty() && body != Ok(envelope.plain);
        let plain = deciphered.then(|| Bytes::copy_from_slice(envelope.plain));
        Ok(Self { plain, crypto: envelope.crypto, ..imported })
    }
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

/// What became of lane seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Written down.
    pub taken: u64,
    /// Of drives whose documents are here, or told before: nothing to write down.
    pub known: u64,
}

/// Seeds that are on their way to the writer at once.
const SEEDS_AT_ONCE: usize = 4_096;
/// How long the registers may take to fold what came before.
const FOLD_TIMEOUT: Duration = Duration::from_secs(60);

impl Engine {
    /// Tells of drives that move in without their documents where their lanes begin: no gap is opened below, and what a card
    /// can show until the first document comes is there. Durable when this returns. Telling it again changes nothing, and so
    /// does a seed of a drive whose documents are here.
    ///
    /// # Errors
    /// `Reopen` when the log has failed or the registers do not come to what was written before; what was taken is taken, and
    /// the whole may be told again.
    pub fn seed_lanes(&self, seeds: &[LaneSeed]) -> Result<Seeded, Error> {
        let shared = self.shared();
        let mut seeded = Seeded::default();
        for seeds in seeds.chunks(SEEDS_AT_ONCE) {
            if shared.options.registers && !self.book_reaches(self.durable(), FOLD_TIMEOUT) {
                return Err(Error::new(ErrorKind::Reopen, "the registers do not fold what came before"));
            }
            let new: Vec<Vec<u8>> = {
                let registers = shared.book.read();
                seeds.iter().filter(|it| !registers.knows_seed(it)).map(LaneSeed::to_payload).collect()
            };
            let taken = u64::try_from(new.len()).unwrap_or(u64::MAX);
            seeded.known = seeded
                .known
                .saturating_add(u64::try_from(seeds.len()).unwrap_or(u64::MAX))
                .saturating_sub(taken);
            self.append_commands(new)?;
            seeded.taken = seeded.taken.saturating_add(taken);
        }
        Ok(seeded)
    }

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
