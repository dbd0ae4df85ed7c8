//! Following the log: documents behind a position, as soon as they are durable, without touching the writer.

use std::sync::Arc;
use std::time::Duration;

use ofd_storage::{Position, RecordKind, Records};

use crate::error::Error;
use crate::host::{Capability, Scope};
use crate::query::StoredDocument;
use crate::shared::Shared;

/// A walk along the log. Everything durable behind its position comes once and in order; after a restart the
/// host goes on from the position it kept.
pub struct Feed {
    shared: Arc<Shared>,
    capability: Capability,
    records: Records,
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>, capability: Capability, from: Position) -> Self {
        let records = shared.reader.records_from(from, shared.watermark.load());
        Self { shared, capability, records }
    }

    /// Everything up to here has been given out or passed over.
    pub fn position(&self) -> Position {
        self.records.position()
    }

    /// The next documents, at most `most`; empty when none came within `timeout`. Records that are no
    /// documents and documents out of the capability's reach are passed over.
    ///
    /// # Errors
    /// `Corrupt` names what is lost; the next call goes on behind it.
    pub fn next_batch(&mut self, most: usize, timeout: Duration) -> Result<Vec<StoredDocument>, Error> {
        let mut batch = Vec::new();
        self.take(most, &mut batch)?;
        if batch.is_empty() && self.shared.wait_durable(self.records.position().lsn().next(), timeout) {
            self.take(most, &mut batch)?;
        }
        Ok(batch)
    }

    fn take(&mut self, most: usize, batch: &mut Vec<StoredDocument>) -> Result<(), Error> {
        self.records.extend(self.shared.watermark.load());
        while batch.len() < most {
            let Some((record, _)) = self.records.next()? else { break };
            if record.kind() == RecordKind::Document {
                let document = StoredDocument::new(record.to_owned_record());
                let everything = *self.capability.scope() == Scope::Operator;
                if everything || self.capability.sees(document.inn().as_deref()) {
                    batch.push(document);
                }
            }
        }
        Ok(())
    }
}
