//! What the host program implements: the seams between the engine and the operator's own house.
//!
//! Every trait has a default or a stand-in here, so that an engine starts with nothing but a folder. No
//! signature names an async runtime, Arrow or a time library: an asynchronous answer is a plain boxed
//! future ([`Answering`]) that the engine polls, with the time-out stated at the trait.

mod access;
mod crypto;
mod directory;
mod downstream;

use std::future::Future;
use std::pin::Pin;

pub use access::{Access, Capability, OperatorOnly, Principal, Scope};
pub use crypto::{
    ConfirmOutcome, ConfirmRequest, ConfirmSigns, DriveCrypto, OpenOutcome, OpenRequest, PlainCrypto,
};
pub use directory::{
    AcceptAll, Admission, AdmissionRequest, Admitted, Directory, DirectoryChange, DirectorySnapshot,
    EmptyDirectory, RegisterEntry,
};
pub use downstream::{
    Channel, Delivery, DeliveryOutcome, Key, KeyProvider, MarkingRelay, Meter, MeterEvent, NoChannel, NoKeys,
    NoMarking, NoMeter, NoTaxService, TaxDocument, TaxReceipt, TaxService, TaxStatus,
};

/// An answer that comes later. The engine polls it on threads of its own, which offer no reactor to lean on: a
/// host that needs a runtime starts the work there and returns the receiving end of a channel. Polling must
/// not block. The engine drops the future at the time-out of the trait; dropping must be harmless.
pub type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer that is there already.
pub fn answered<T: Send + 'static>(value: T) -> Answering<T> {
    Box::pin(std::future::ready(value))
}

pub mod conformance;
