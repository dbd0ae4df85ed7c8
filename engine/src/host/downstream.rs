//! Whom the engine talks to behind the log: the tax service, the marking system, delivery channels, the
//! meter and the keeper of keys.

use bytes::Bytes;
use ofd_codec::DriveNumber;

use super::{Answering, answered};

/// One document on its way to the tax service. Its `Debug` shows no contents.
#[derive(Clone)]
pub struct TaxDocument {
    /// The drive.
    pub drive: DriveNumber,
    /// Document number.
    pub number: u32,
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

/// A verdict of the tax service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaxStatus {
    /// Accepted (a duplicate counts as accepted).
    Accepted {
        /// Id from [`TaxReceipt::Sent`].
        id: String,
    },
    /// Accepted with a warning (soft quarantine).
    Warned {
        /// Id from [`TaxReceipt::Sent`].
        id: String,
        /// The service's code.
        code: u32,
    },
    /// Refused (hard quarantine).
    Refused {
        /// Id from [`TaxReceipt::Sent`].
        id: String,
        /// The service's code.
        code: u32,
        /// The tag it names.
        tag: Option<u16>,
    },
}

/// The leg to the tax service (ФНС). Time-out: 60 seconds a call.
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
