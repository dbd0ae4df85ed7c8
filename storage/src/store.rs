//! Where the archive lies when that is not the data directory: an object store.
//!
//! ```text
//! DIR/.staging/*.parquet ─▶ PREFIX/parquet/<table>/date=…/p-….parquet ─▶ read back, compared ─▶ PREFIX/archive.json
//!                                                                                              one conditional put
//! readers: DIR/archive.json names the files ─▶ ranges of the objects
//! ```
//!
//! [`Store`] is all that is asked of one, each call at once and done when it returns; `RemoteStore` (feature `object-store`)
//! is the one for S3, a host may bring its own. [`Stored`] is a machine whose archive lies in a store. It is the first machine in everything else, and only
//! three places ask it where the archive is: who opens a file of it ([`crate::columns::read::open_published`]), who
//! publishes ([`crate::compact`]), and who replaces the manifest ([`crate::manifest::Manifest::store`]).

#[cfg(feature = "columns")]
pub mod place;
#[cfg(feature = "columns")]
pub(crate) mod publish;
#[cfg(feature = "object-store")]
mod remote;
mod stored;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::env::File;
use crate::error::Error;

#[cfg(feature = "object-store")]
pub use remote::RemoteStore;
pub use stored::Stored;

/// Which of the objects that stood under a name this one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its entity tag.
    pub e_tag: Option<String>,
    /// Its version, in a store that keeps several.
    pub version: Option<String>,
}

/// An object store, or what stands for one. Names are paths below its prefix. Every call waits for its answer, and has given
/// up by itself after some time.
///
/// Kinds of errors: `Retry` when the store is away, overloaded or answers 5xx, and then nobody knows whether a put has happened;
/// `is_not_found` when there is no such object; `Fix` when it refuses, for want of a right or because a condition does not hold.
pub trait Store: Send + Sync {
    /// What people call it: its URL, without secrets.
    fn name(&self) -> &str;

    /// Opens an object for reading by ranges.
    ///
    /// # Errors
    /// As the trait says.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error>;

    /// Puts the bytes of a file there, in parts if it is a long one, replacing what stands under the name. Readers see the old
    /// object or the new one, whole.
    ///
    /// # Errors
    /// As the trait says; of the file.
    fn put(&self, path: &Path, file: &dyn File) -> Result<(), Error>;

    /// A small object, whole; `None` when there is none.
    ///
    /// # Errors
    /// As the trait says; `Corrupt` when it is longer than `len_max`.
    fn get(&self, path: &Path, len_max: u64) -> Result<Option<(Bytes, Version)>, Error>;

    /// Puts an object if the one that stands under the name is `there`, or if there is none: of two who do it at once one
    /// succeeds. The version that stands there now.
    ///
    /// # Errors
    /// As the trait says.
    fn put_if(&self, path: &Path, bytes: Bytes, there: Option<&Version>) -> Result<Version, Error>;

    /// The names below a folder, at any depth, up to so many.
    ///
    /// # Errors
    /// As the trait says.
    fn list(&self, folder: &Path, most: usize) -> Result<Vec<PathBuf>, Error>;

    /// Removes an object; that there is none is no error.
    ///
    /// # Errors
    /// As the trait says.
    fn remove(&self, path: &Path) -> Result<(), Error>;
}
