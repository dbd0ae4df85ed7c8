//! Whom the engine talks to behind the log: the tax service, the marking system, delivery channels, the
//! meter and the keeper of keys.

use bytes::Bytes;
use ofd_codec::DriveNumber;
use ofd_storage::status::StatusKind;

use super::{Answering, answered};

/// One document on its way to the tax service. Its `Debug` shows no contents.
#[derive(Clone)]
pub struct TaxDocument {
    /// The drive.
    pub drive: DriveNumber,
    /// Document number.
    pub number: u32,
    /// BLAKE3 of the container as it was received. Drive, number and hash are the identity of a document: what is sent again
    /// bears the same.
    pub hash: [u8; 32],
    /// ФНС JSON with rawData, UTF-8.
    pub json: Bytes,
}

impl std::fmt::Debug for TaxDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaxDocument")
            .field("drive", &self.drive)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// What the tax service said when it took a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaxReceipt {
    /// Taken; the verdict follows by [`TaxService::poll`].
    Sent {
        /// The service's own id.
        id: String,
    },
    /// Not now: send again later.
    Unavailable,
}

/// A verdict of the tax service. Each names its document by the id of [`TaxReceipt::Sent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaxStatus {
    /// Accepted.
    Accepted {
        /// The service's id.
        id: String,
    },
    /// The service had it before; counts as accepted.
    Duplicate {
        /// The service's id.
        id: String,
    },
    /// Accepted with a warning («мягкий карантин»).
    Warned {
        /// The service's id.
        id: String,
        /// The service's code.
        code: u32,
    },
    /// Not accepted, cannot be mended («жёсткий карантин»).
    Quarantined {
        /// The service's id.
        id: String,
        /// The service's code.
        code: u32,
        /// The tag it names.
        tag: Option<u16>,
    },
    /// Refused.
    Refused {
        /// The service's id.
        id: String,
        /// The service's code.
        code: u32,
        /// The tag it names.
        tag: Option<u16>,
    },
}

impl TaxStatus {
    /// The service's id of the document.
    pub fn id(&self) -> &str {
        match self {
            Self::Accepted { id }
            | Self::Duplicate { id }
            | Self::Warned { id, .. }
            | Self::Quarantined { id, .. }
            | Self::Refused { id, .. } => id,
        }
    }

    /// What the ledger keeps of it: kind, code, tag.
    pub fn parts(&self) -> (StatusKind, Option<u32>, Option<u16>) {
        match self {
            Self::Accepted { .. } => (StatusKind::Accepted, None, None),
            Self::Duplicate { .. } => (StatusKind::Duplicate, None, None),
            Self::Warned { code, .. } => (StatusKind::Warned, Some(*code), None),
            Self::Quarantined { code, tag, .. } => (StatusKind::Quarantined, Some(*code), *tag),
            Self::Refused { code, tag, .. } => (StatusKind::Refused, Some(*code), *tag),
        }
    }
}

/// The leg to the tax service (ФНС). Time-out: 60 seconds a call, [`TaxOptions::call_timeout_us`](crate::tax::TaxOptions::call_timeout_us).
///
/// - A receipt `Sent` says that the service has the document and will come to a verdict. What is not sent is handed over again.
/// - Documents of one drive stand in a batch in their order. A service that cannot take one of them takes none behind it of the
///   same drive either, else their order is lost.
/// - An answer may get lost: the same batch comes again then, and a document that is known by drive, number and hash is no new
///   one. Its verdict is [`TaxStatus::Duplicate`] or the one it got before.
/// - Verdicts may come late, twice and in any order. One that `poll` has given out and that was lost behind it comes again when
///   the document does.
pub trait TaxService: Send + Sync + 'static {
    /// Hands over a batch; one receipt a document, in order.
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>>;
    /// Verdicts that have come since the last call.
    fn poll(&self) -> Answering<Vec<TaxStatus>>;
}

/// The stand-in: never reachable, so nothing is ever taken for sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTaxService;

impl TaxService for NoTaxService {
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>> {
        answered(batch.iter().map(|_| TaxReceipt::Unavailable).collect())
    }
    fn poll(&self) -> Answering<Vec<TaxStatus>> {
        answered(Vec::new())
    }
}

/// The marking system (ОИСМ): gets the session message of a register as it came, and gives back the bytes
/// that go to the register. Time-out: 10 seconds.
pub trait MarkingRelay: Send + Sync + 'static {
    /// The answer, or `None` to close the connection unanswered.
    fn relay(&self, message: Bytes) -> Answering<Option<Bytes>>;
}

/// The stand-in: marking messages close the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMarking;

impl MarkingRelay for NoMarking {
    fn relay(&self, _message: Bytes) -> Answering<Option<Bytes>> {
        answered(None)
    }
}

/// Something to deliver to a person or a program. Its `Debug` shows neither address nor body.
#[derive(Clone)]
pub struct Delivery {
    /// Unique and stable: the same id again is the same delivery.
    pub id: u64,
    /// Whom: an address in the channel's own terms.
    pub to: String,
    /// What, UTF-8.
    pub body: Bytes,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Done.
    Delivered,
    /// Try again later.
    Retry,
    /// Never: the address is wrong.
    Refused,
}

/// A delivery channel. Time-out: 30 seconds.
pub trait Channel: Send + Sync + 'static {
    /// Delivers one.
    fn deliver(&self, delivery: Delivery) -> Answering<DeliveryOutcome>;

    /// Deliveries that it makes at once, 1 to 128: it is handed no more before some of them have ended, for those that wait in it
    /// time out behind one that hangs. One receiver, the host of a URL or a mailbox, has a quarter of them at most. Asked once, at
    /// the start.
    fn at_once_max(&self) -> usize {
        128
    }
}

/// The stand-in: keeps everything waiting.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoChannel;

impl Channel for NoChannel {
    fn deliver(&self, _delivery: Delivery) -> Answering<DeliveryOutcome> {
        answered(DeliveryOutcome::Retry)
    }
}

/// Something the host may bill or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterEvent {
    /// Documents that became durable, by count; test realm excluded.
    DocumentsStored(u32),
}

/// Counts for the host's billing. Called behind the watermark; must not block.
pub trait Meter: Send + Sync + 'static {
    /// Takes note.
    fn count(&self, event: MeterEvent);
}

/// The default: nobody counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn count(&self, _event: MeterEvent) {}
}

/// A key for data at rest.
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// Keeps the keys that records may be sealed with; the record header names one by id. Answers at once.
pub trait KeyProvider: Send + Sync + 'static {
    /// The key of this id.
    fn key(&self, id: u32) -> Option<Key>;
}

/// The default: records are stored as they are, under key id 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl KeyProvider for NoKeys {
    fn key(&self, _id: u32) -> Option<Key> {
        None
    }
}
