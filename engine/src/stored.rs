//! Where a stored document is read from: the log, or the archive once its segment has left the disk.
//!
//! Nobody but this file asks which of the two it is. An index entry outlives the segment it points into; then drive,
//! number and position lead to the same record in `containers`, and what is read there is the record as it lay in the
//! log. So a resend is answered as before, and a search finds what it found before.
//!
//! What has left the archive too, after its years of retention, is gone: `None`.

#[cfg(feature = "parquet")]
use std::sync::{Arc, PoisonError};

use ofd_codec::DriveNumber;
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Archive;
use ofd_storage::{Env, Error, ErrorKind, IndexEntry, Lsn, OwnedRecord, Position};

use crate::shared::Shared;

impl Shared {
    /// The record of a document; `None` when it has left the archive after its years.
    pub(crate) fn stored(
        &self,
        drive: DriveNumber,
        entry: &IndexEntry,
    ) -> Result<Option<OwnedRecord>, Error> {
        if self.reader.holds(entry.lsn) {
            match self.reader.read_of(entry.lsn, entry.location) {
                // It has left while we looked.
                Err(_) if !self.reader.holds(entry.lsn) => {}
                read => return read.map(Some),
            }
        }
        self.archived(drive, entry)
    }

    /// The same by its place in the order of all records.
    pub(crate) fn stored_at(
        &self,
        position: Lsn,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        if self.reader.holds(position) {
            let mut records = self.reader.records_from(Position::new(position.prev()), position);
            match records.next() {
                Err(_) if !self.reader.holds(position) => {}
                read => return read.map(|found| found.map(|(record, _)| record.to_owned_record())),
            }
        }
        let location = ofd_storage::Location { segment: ofd_storage::SegmentId::new(0), offset: 0 };
        self.archived(drive, &IndexEntry { lsn: position, location, number })
    }

    #[cfg(feature = "parquet")]
    fn archived(&self, drive: DriveNumber, entry: &IndexEntry) -> Result<Option<OwnedRecord>, Error> {
        let (position, number) = (Position::new(entry.lsn), entry.number);
        let ask = |archive: &Archive| archive.document(position, drive.as_str(), number);
        match ask(&*self.archive()?) {
            // An object store that is away is not asked twice: who asks has waited long enough.
            Err(error) if error.kind() == ErrorKind::Retry => Err(error),
            // The archive may have been thinned out since its manifest was read.
            Ok(None) | Err(_) => {
                self.forget_archive();
                ask(&*self.archive()?)
            }
            found => found,
        }
    }

    #[cfg(not(feature = "parquet"))]
    fn archived(&self, _drive: DriveNumber, entry: &IndexEntry) -> Result<Option<OwnedRecord>, Error> {
        Err(without_archive(entry.lsn))
    }

    /// The archive, as its manifest said when it was read last.
    #[cfg(feature = "parquet")]
    pub(crate) fn archive(&self) -> Result<Arc<Archive>, Error> {
        let mut known = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(archive) = &*known {
            return Ok(Arc::clone(archive));
        }
        let archive = Arc::new(Archive::open(&self.env)?);
        *known = Some(Arc::clone(&archive));
        Ok(archive)
    }

    /// The manifest has changed.
    #[cfg(feature = "parquet")]
    pub(crate) fn forget_archive(&self) {
        *self.archive.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(not(feature = "parquet"))]
pub(crate) fn without_archive(lsn: Lsn) -> Error {
    let text = format!("record {lsn} has left the log, and this build cannot read the archive");
    Error::new(ErrorKind::Fix, text)
}

/// Refuses a log that ends before its archive does: what it would number next is in the archive already.
#[cfg_attr(
    not(feature = "parquet"),
    expect(clippy::unnecessary_wraps, reason = "without an archive nothing can differ")
)]
pub(crate) fn check_past(env: &std::sync::Arc<dyn Env>, durable: Lsn) -> Result<(), Error> {
    #[cfg(feature = "parquet")]
    {
        let through = Archive::open(env)?.compacted_through();
        if through.lsn() > durable {
            let text = format!(
                "the archive reaches to position {through}, the log ends at {durable}: it has lost its end, or one of \
                 them was restored from another time"
            );
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
    }
    #[cfg(not(feature = "parquet"))]
    let _ = (env, durable);
    Ok(())
}
