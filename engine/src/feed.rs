//! Following the log: documents behind a position, as soon as they are durable, without touching the writer.

use std::sync::Arc;
use std::time::Duration;

use ofd_storage::{Position, RecordKind, Records};

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
    /// An error that came behind documents already taken: they are given out first.
    error: Option<ofd_storage::Error>,
}

/// Records looked at in one call: a feed of one merchant does not walk the whole log at a stretch.
const LOOKED_AT_MAX: usize = 65_536;

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>, capability: Capability, from: Position) -> Self {
        let records = shared.reader.records_from(from, shared.watermark.load());
        Self { shared, capability, records, error: None }
    }

    /// Everything up to here has been given out or passed over.
    pub fn position(&self) -> Position {
        if is(Planted::SavesBeforeDelivery) {
            return Position::new(self.shared.watermark.load());
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
        self.records.extend(self.shared.watermark.load());
        for _ in 0..LOOKED_AT_MAX {
            if batch.len() >= most {
                return;
            }
            let record = match self.records.next() {
                Ok(Some((record, _))) => record,
                Ok(None) => return,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            };
            if record.kind() == RecordKind::Document {
                let document = StoredDocument::new(record.to_owned_record());
                let everything = *self.capability.scope() == Scope::Operator;
                if everything || self.capability.sees(document.inn().as_deref()) {
                    batch.push(document);
                }
            }
        }
    }
}
