//! Opening what a drive sent and signing what goes back to it: the keys live with the host.

use std::fmt;

use bytes::Bytes;
use ofd_codec::{DriveNumber, SessionHeader};

use super::{Answering, answered};

/// One container to open. Its `Debug` shows no contents: a host logs what it is asked, and a receipt is somebody's.
#[derive(Clone)]
pub struct OpenRequest {
    /// The drive that the session header names.
    pub drive: DriveNumber,
    /// The session header as it came.
    pub session: SessionHeader,
    /// The whole container, header and trailer included.
    pub container: Bytes,
}

impl fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRequest")
            .field("drive", &self.drive)
            .field("session", &self.session)
            .field("container_len", &self.container.len())
            .finish()
    }
}

/// What the crypto module says of a container. Its `Debug` shows no contents.
#[derive(Clone)]
pub enum OpenOutcome {
    /// The sign is right. `Some` is the deciphered document TLV; `None`: the body is plain already.
    Ok(Option<Bytes>),
    /// The module cannot say now. The connection is closed unanswered, the register keeps its document.
    Unavailable,
    /// A definite no: a broken or forged drive. Kept in quarantine, answered 11.
    Forged,
    /// No key for this drive: treated as [`OpenOutcome::Unavailable`], with an alarm.
    UnknownDrive,
}

impl fmt::Debug for OpenOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(plain) => f.debug_tuple("Ok").field(&plain.as_ref().map(Bytes::len)).finish(),
            Self::Unavailable => f.write_str("Unavailable"),
            Self::Forged => f.write_str("Forged"),
            Self::UnknownDrive => f.write_str("UnknownDrive"),
        }
    }
}

/// One confirmation to sign. Made only from what is durable. Its `Debug` shows no contents.
#[derive(Clone)]
pub struct ConfirmRequest {
    /// The drive that asked.
    pub drive: DriveNumber,
    /// The document that is confirmed (1040).
    pub number: u32,
    /// The code of 1022.
    pub code: u8,
    /// The 1012 of the answer: local seconds in the operator's zone.
    pub accepted_at: u32,
    /// The container that is confirmed.
    pub container: Bytes,
}

impl fmt::Debug for ConfirmRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmRequest")
            .field("drive", &self.drive)
            .field("number", &self.number)
            .field("code", &self.code)
            .field("accepted_at", &self.accepted_at)
            .field("container_len", &self.container.len())
            .finish()
    }
}

/// The operator's two signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmSigns {
    /// ФПО, tag 1078: `88 06` and six bytes.
    pub operator_sign: [u8; 8],
    /// ФПП, the trailer of the container: `82 06` and six bytes.
    pub message_sign: [u8; 8],
}

impl ConfirmSigns {
    /// Stand-ins for an operator without a crypto module: well-formed, signed by nobody.
    pub const STAND_IN: Self =
        Self { operator_sign: [0x88, 0x06, 0, 0, 0, 0, 0, 0], message_sign: [0x82, 0x06, 0, 0, 0, 0, 0, 0] };
}

/// What the crypto module says of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfirmOutcome {
    /// Signed.
    Ok(ConfirmSigns),
    /// Not now: the document stays stored, the connection is closed unanswered and the register returns.
    Unavailable,
    /// The module refuses to sign for this drive: treated as [`ConfirmOutcome::Unavailable`], with an alarm.
    Forged,
    /// No key for this drive: treated as [`ConfirmOutcome::Unavailable`], with an alarm.
    UnknownDrive,
}

/// The crypto module (КС ОФД). A real one is an HSM milliseconds away, so both calls take batches and answer
/// later; many batches are in flight at once. An answer has as many outcomes as the batch has requests, in
/// order; a shorter one counts as unavailable for the rest.
///
/// Time-out: `crypto_timeout_us` of the options (two seconds), after which the batch counts as unavailable.
pub trait DriveCrypto: Send + Sync + 'static {
    /// True when containers are plain, nobody checks signs and confirmations carry
    /// [`ConfirmSigns::STAND_IN`]; the engine then spares itself both calls.
    fn passes_through(&self) -> bool {
        false
    }
    /// Checks the message signs and deciphers what is sealed.
    fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>>;
    /// Signs confirmations.
    fn confirm(&self, batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>>;
}

/// The stand-in: documents are plain and unverified, answers carry stand-in signs. No real drive accepts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainCrypto;

impl DriveCrypto for PlainCrypto {
    fn passes_through(&self) -> bool {
        true
    }
    fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>> {
        answered(batch.iter().map(|_| OpenOutcome::Ok(None)).collect())
    }
    fn confirm(&self, batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>> {
        answered(batch.iter().map(|_| ConfirmOutcome::Ok(ConfirmSigns::STAND_IN)).collect())
    }
}
