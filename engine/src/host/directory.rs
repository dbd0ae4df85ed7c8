//! Whose register is it: the host's directory, and the admission that stands on it.

use std::collections::HashMap;
use std::sync::Arc;

use ofd_codec::DriveNumber;

/// What the host knows of one register and its drive, valid from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterEntry {
    /// Registration number (1037), digits.
    pub rnm: String,
    /// The user's INN.
    pub inn: String,
    /// The host's name of the tenant; goes into the `tenant` column.
    pub tenant: String,
    /// The outlet the register stands in, the host's own id.
    pub outlet: Option<String>,
    /// Minutes east of UTC of the place of settlement.
    pub zone_min: Option<i16>,
    /// A debug drive: its documents are kept apart.
    pub test: bool,
    /// Autonomous mode: neither gaps nor silence are findings.
    pub autonomous: bool,
    /// First number of the drive that is ours, when the host knows it.
    pub first_number: Option<u32>,
    /// Microseconds UTC from which the entry holds.
    pub valid_from_us: i64,
}

/// A picture of the directory at one version. Never changes once handed out.
#[derive(Clone, Debug, Default)]
pub struct DirectorySnapshot {
    /// Grows with every change.
    pub version: u64,
    /// Entries by drive.
    pub drives: HashMap<DriveNumber, RegisterEntry>,
}

/// One change of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryChange {
    /// The version that the change leads to.
    pub version: u64,
    /// The drive it is about.
    pub drive: DriveNumber,
    /// The new entry, or `None` when the register left.
    pub entry: Option<RegisterEntry>,
}

/// The host's directory of registers. Both calls answer from memory, at once.
pub trait Directory: Send + Sync + 'static {
    /// The newest picture.
    fn snapshot(&self) -> Arc<DirectorySnapshot>;
    /// What changed after `version`, oldest first.
    fn changes(&self, version: u64) -> Vec<DirectoryChange>;
}

/// The stand-in: knows nobody, so every register is served.
#[derive(Clone, Debug, Default)]
pub struct EmptyDirectory(Arc<DirectorySnapshot>);

impl Directory for EmptyDirectory {
    fn snapshot(&self) -> Arc<DirectorySnapshot> {
        Arc::clone(&self.0)
    }
    fn changes(&self, _version: u64) -> Vec<DirectoryChange> {
        Vec::new()
    }
}

/// What admission sees of a document.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionRequest {
    /// The drive.
    pub drive: DriveNumber,
    /// Document number (1040).
    pub number: u32,
    /// Form code.
    pub form: u8,
}

/// What admission says. There is no refusal: an unknown register or an expired contract is never refused on
/// the wire, since an answer of any code may end the drive's duty to resend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Store and answer.
    Accept,
    /// Store and answer, and remember why it should be looked at. The reason is the host's own number.
    Flag(u16),
    /// Not now: close unanswered, the register returns.
    Defer,
}

/// Decides on a document before it is stored. Pure: the same picture and request give the same word; it is
/// called on a worker's thread for every document and must neither block nor allocate.
pub trait Admission: Send + Sync + 'static {
    /// The word on one document.
    fn admit(&self, directory: &DirectorySnapshot, request: &AdmissionRequest) -> Admitted;
}

/// The default: everybody is served.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Admission for AcceptAll {
    fn admit(&self, _directory: &DirectorySnapshot, _request: &AdmissionRequest) -> Admitted {
        Admitted::Accept
    }
}
