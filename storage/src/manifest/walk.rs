//! A walk along the records of the archive, in the order of the log, at the reader's own pace.
//!
//! Memory: the manifest, and the records of one run. A run whose files were replaced under the eyes of the reader is read by the manifest of
//! then; what was given out is not given out again.

use std::sync::Arc;

use super::Archive;
use crate::env::Env;
use crate::error::Error;
use crate::position::{Lsn, Position};
use crate::record::OwnedRecord;

/// The walk.
pub struct Walk {
    env: Arc<dyn Env>,
    archive: Option<Archive>,
    /// Everything up to here was given out, or is not there any more.
    position: Position,
    /// Nothing behind this is given out.
    through: Position,
    records: std::vec::IntoIter<OwnedRecord>,
    /// The run of `records` ends here.
    run_last: Option<u64>,
    /// The run that could not be read ends here.
    unread_last: Option<u64>,
}

impl Walk {
    /// Of the records behind `from`, up to and with `through`.
    pub fn new(env: &Arc<dyn Env>, from: Position, through: Position) -> Self {
        Self {
            env: Arc::clone(env),
            archive: None,
            position: from,
            through,
            records: Vec::new().into_iter(),
            run_last: None,
            unread_last: None,
        }
    }

    /// Everything up to here was given out, or is not there any more.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record; `None` at the end of the walk or of the archive, whichever comes first.
    ///
    /// # Errors
    /// `Corrupt` when a file cannot be read as it should, or an archive of version 1 holds no whole records; of the system. The
    /// same call may be made again, or [`Walk::pass`] first.
    pub fn next_record(&mut self) -> Result<Option<OwnedRecord>, Error> {
        loop {
            if let Some(record) = self.records.next() {
                self.position = Position::new(record.record().lsn());
                return Ok(Some(record));
            }
            if let Some(last) = self.run_last.take() {
                self.position = self.position.max(Position::new(Lsn::new(last))).min(self.through);
            }
            if self.position >= self.through || !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Reads the run behind the position; false: the archive has none.
    fn read(&mut self) -> Result<bool, Error> {
        // A manifest names every file of years: it is read once, and again where it no longer tells.
        if let Some(archive) = self.archive.take() {
            match self.read_by(&archive) {
                Err(error) if error.is_not_found() => {}
                Ok(false) => {}
                read => {
                    self.archive = Some(archive);
                    return read;
                }
            }
        }
        let archive = Archive::open(&self.env)?;
        let read = self.read_by(&archive);
        self.archive = Some(archive);
        read
    }

    fn read_by(&mut self, archive: &Archive) -> Result<bool, Error> {
        let at = archive.runs().partition_point(|run| run.last <= self.position.as_u64());
        let Some(run) = archive.runs().get(at) else { return Ok(false) };
        self.unread_last = Some(run.last);
        let wanted = archive.records_of(run)?.into_iter().filter(|it| {
            let position = Position::new(it.record().lsn());
            self.position < position && position <= self.through
        });
        self.records = wanted.collect::<Vec<_>>().into_iter();
        (self.run_last, self.unread_last) = (Some(run.last), None);
        Ok(true)
    }

    /// Goes on behind the run that could not be read; false when the last call has not failed for one.
    pub fn pass(&mut self) -> bool {
        let Some(last) = self.unread_last.take() else { return false };
        self.position = self.position.max(Position::new(Lsn::new(last))).min(self.through);
        true
    }
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("position", &self.position)
            .field("through", &self.through)
            .finish_non_exhaustive()
    }
}
