//! Following the log: documents behind a position, as soon as they are durable, without touching the writer. What has left the
//! log comes from the archive, in the same order: a run of it in memory.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "parquet")]
use ofd_storage::ErrorKind;
#[cfg(feature = "parquet")]
use ofd_storage::manifest::{Archive, Walk};
use ofd_storage::{OwnedRecord, Position, RecordKind, RecordRef, Records};

use crate::error::Error;
use crate::host::{Capability, Scope};
use crate::planted::{Planted, is};
use crate::query::StoredDocument;
use crate::shared::Shared;

/// A walk along the log. Everything durable behind its position comes once and in order; after a restart the
/// host goes on from the position it kept.
pub struct Feed {
    shared: Arc<Shared>,
    capability: Capability,
    records: Records,
    /// Documents that have left the log, while the walk is among them.
    #[cfg(feature = "parquet")]
    archived: Option<Walk>,
    /// An error that came behind documents already taken: they are given out first.
    error: Option<ofd_storage::Error>,
}

/// Records looked at in one call: a feed of one merchant does not walk the whole log at a stretch.
const LOOKED_AT_MAX: usize = 65_536;

/// The record, if it is a document.
fn record_of(record: &RecordRef<'_>) -> Option<OwnedRecord> {
    (record.kind() == RecordKind::Document).then(|| record.to_owned_record())
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>, capability: Capability, from: Position) -> Self {
        let records = shared.reader.records_from(from, shared.watermark.load());
        #[cfg(feature = "parquet")]
        let archived = {
            let before = Position::new(shared.reader.first().prev());
            (from < before).then(|| Walk::new(&shared.env, from, before))
        };
        Self {
            shared,
            capability,
            records,
            #[cfg(feature = "parquet")]
            archived,
            error: None,
        }
    }

    /// Everything up to here has been given out or passed over.
    pub fn position(&self) -> Position {
        if is(Planted::SavesBeforeDelivery) {
            return Position::new(self.shared.watermark.load());
        }
        #[cfg(feature = "parquet")]
        if let Some(walk) = &self.archived {
            return walk.position();
        }
        self.records.position()
    }

    /// The next documents, at most `most`; empty when none came within `timeout`, or when none of the many
    /// records looked at was for this capability: [`Feed::position`] tells how far it got. Records that are no
    /// documents and documents out of the capability's reach are passed over.
    ///
    /// # Errors
    /// `Corrupt` names what is lost; everything before it has been given out, the next call goes on behind it.
    pub fn next_batch(&mut self, most: usize, timeout: Duration) -> Result<Vec<StoredDocument>, Error> {
        let mut batch = Vec::new();
        self.take(most, &mut batch);
        if batch.is_empty()
            && self.error.is_none()
            && self.shared.wait_durable(self.records.position().lsn().next(), timeout)
        {
            self.take(most, &mut batch);
        }
        match self.error.take_if(|_| batch.is_empty()) {
            Some(error) => Err(error.into()),
            None => Ok(batch),
        }
    }

    fn take(&mut self, most: usize, batch: &mut Vec<StoredDocument>) {
        if self.error.is_some() {
            return;
        }
        #[cfg(feature = "parquet")]
        if !self.take_archived(most, batch) {
            return;
        }
        self.records.extend(self.shared.watermark.load());
        for _ in 0..LOOKED_AT_MAX {
            if batch.len() >= most {
                return;
            }
            let behind = self.records.position();
            let next = self.records.next().map(|next| next.map(|(record, _)| record_of(&record)));
            match next {
                Ok(Some(record)) => record.into_iter().for_each(|it| self.give(it, batch)),
                Ok(None) => return,
                Err(error) => return self.failed(behind, error),
            }
        }
    }

    /// What could not be read behind a position. Where retention has overtaken this walk it is in the archive; else it is told.
    fn failed(&mut self, behind: Position, error: ofd_storage::Error) {
        #[cfg(feature = "parquet")]
        {
            let before = self.before_log();
            if behind < before && self.is_archived(behind) {
                self.archived = Some(Walk::new(&self.shared.env, behind, before));
                return;
            }
        }
        #[cfg(not(feature = "parquet"))]
        let _ = behind;
        self.error = Some(error);
    }

    fn give(&self, record: OwnedRecord, batch: &mut Vec<StoredDocument>) {
        let document = StoredDocument::new(record);
        let everything = *self.capability.scope() == Scope::Operator;
        if everything || self.capability.sees(document.inn().as_deref()) {
            batch.push(document);
        }
    }

    /// Takes what has left the log; true when nothing of that is left.
    #[cfg(feature = "parquet")]
    fn take_archived(&mut self, most: usize, batch: &mut Vec<StoredDocument>) -> bool {
        let Some(mut walk) = self.archived.take() else { return true };
        for _ in 0..LOOKED_AT_MAX {
            if batch.len() >= most {
                self.archived = Some(walk);
                return false;
            }
            match walk.next_record() {
                Ok(Some(record)) => {
                    record_of(&record.record()).into_iter().for_each(|it| self.give(it, batch))
                }
                Ok(None) => {
                    // Retention may have gone on meanwhile. What the archive has not either, the log says is missing.
                    let (at, before) = (walk.position(), self.before_log());
                    if at < before && self.is_archived(at) {
                        walk = Walk::new(&self.shared.env, at, before);
                        continue;
                    }
                    self.records = self.shared.reader.records_from(at, self.shared.watermark.load());
                    return true;
                }
                Err(error) => {
                    // Told once; the next call goes on behind what is lost.
                    if error.kind() == ErrorKind::Corrupt {
                        walk.pass();
                    }
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.archived = Some(walk);
        false
    }

    /// The last position that has left the log.
    #[cfg(feature = "parquet")]
    fn before_log(&self) -> Position {
        Position::new(self.shared.reader.first().prev())
    }

    /// Whether the archive has anything behind this position.
    #[cfg(feature = "parquet")]
    fn is_archived(&self, position: Position) -> bool {
        Archive::open(&self.shared.env).is_ok_and(|it| it.compacted_through() > position)
    }
}
