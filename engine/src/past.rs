//! Documents that a fold has seen before, read again: from the log, or from the archive once they have left it.
//!
//! Errors: what is damaged or gone reads as nothing, with a warning; what the system could not read now is an error, and the
//! fold asks again.

use std::sync::Arc;

use ofd_codec::DriveNumber;
use ofd_storage::envelope::Envelope;
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Archive;
use ofd_storage::{Env, Error, ErrorKind, LogReader, OwnedRecord, Position, RecordRef, Records};

use crate::registers::Past;

/// Records that lie no farther apart than this are read in one walk: to look one up reads all of its batch that lies before it.
const NEAR: u64 = 512;

/// A document that was folded: its record, drive and number.
pub(crate) type PastDocument = (Position, DriveNumber, u32);

/// The log and the archive behind it.
pub(crate) struct LogPast {
    reader: LogReader,
    env: Arc<dyn Env>,
}

impl LogPast {
    pub(crate) fn new(reader: LogReader, env: Arc<dyn Env>) -> Self {
        Self { reader, env }
    }

    /// The time of its clock, microseconds UTC.
    pub(crate) fn now_us(&self) -> i64 {
        self.env.now().wall_us
    }

    /// Plain documents of many records in the order of their positions, each handed over as [`Past::plain`] would tell it.
    ///
    /// # Errors
    /// As [`Past::plain`].
    pub(crate) fn plains(
        &self,
        wanted: &[PastDocument],
        each: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), Error> {
        let near = |one: &PastDocument, next: &PastDocument| {
            next.0.lsn().get().saturating_sub(one.0.lsn().get()) <= NEAR
        };
        for run in wanted.chunk_by(near) {
            let ends = run.first().zip(run.last()).filter(|(first, _)| self.reader.holds(first.0.lsn()));
            let mut walk = ends.filter(|_| run.len() > 1).map(|(first, last)| {
                self.reader.records_from(Position::new(first.0.lsn().prev()), last.0.lsn())
            });
            for (position, drive, number) in run {
                match walk.as_mut().and_then(|it| found(it, *position)) {
                    Some(record) => each(Envelope::of(&record).ok().map(|it| it.plain)),
                    // Whatever is the matter, the record alone tells it.
                    None => {
                        walk = None;
                        each(self.plain(*position, *drive, *number)?.as_deref());
                    }
                }
            }
        }
        Ok(())
    }

    fn record(
        &self,
        position: Position,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        let lsn = position.lsn();
        if self.reader.holds(lsn) {
            let mut records = self.reader.records_from(Position::new(lsn.prev()), lsn);
            match records.next() {
                Ok(found) => return Ok(found.map(|(record, _)| record.to_owned_record())),
                // It has left while we looked.
                Err(_) if !self.reader.holds(lsn) => {}
                Err(error) => return Err(error),
            }
        }
        self.archived(position, drive, number)
    }

    #[cfg(feature = "parquet")]
    fn archived(
        &self,
        position: Position,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        Archive::open(&self.env)?.document(position, drive.as_str(), number)
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_self, reason = "the archive is read through it")]
    fn archived(&self, position: Position, _: DriveNumber, _: u32) -> Result<Option<OwnedRecord>, Error> {
        let error = crate::stored::without_archive(position.lsn());
        Err(Error::new(ErrorKind::Corrupt, error.to_string()))
    }
}

/// The record at a position ahead in a walk; `None` where the walk does not come to it.
fn found(walk: &mut Records, position: Position) -> Option<RecordRef<'_>> {
    while walk.position() < Position::new(position.lsn().prev()) {
        walk.next().ok()??;
    }
    let (record, _) = walk.next().ok()??;
    (record.lsn() == position.lsn()).then_some(record)
}

impl Past for LogPast {
    fn plain(&self, position: Position, drive: DriveNumber, number: u32) -> Result<Option<Vec<u8>>, Error> {
        match self.record(position, drive, number) {
            Ok(record) => {
                let plain = |it: OwnedRecord| Some(Envelope::of(&it.record()).ok()?.plain.to_vec());
                Ok(record.and_then(plain))
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a registration cannot be read any more");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
