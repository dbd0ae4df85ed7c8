//! Stored documents as a reader sees them.

use bytes::Bytes;
use ofd_codec::{DocumentView, DriveNumber, FfdVersion, Tag, write_document};
use ofd_storage::envelope::{Envelope, EnvelopeError};
use ofd_storage::{OwnedRecord, Position};

use crate::lanes::stored_code;

/// A document of the log with everything that was known when it was answered.
///
/// Its `Debug` names the place and shows no contents: they are personal data.
#[derive(Clone)]
pub struct StoredDocument {
    record: OwnedRecord,
}

impl std::fmt::Debug for StoredDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredDocument").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl StoredDocument {
    pub(crate) fn new(record: OwnedRecord) -> Self {
        Self { record }
    }

    /// Its place in the order of everything.
    pub fn position(&self) -> Position {
        Position::new(self.record.record().lsn())
    }

    /// When it was received, microseconds UTC.
    pub fn received_at_us(&self) -> i64 {
        self.record.record().received_at_us()
    }

    /// When it was answered, microseconds UTC.
    pub fn answered_at_us(&self) -> i64 {
        match self.envelope() {
            Ok(Envelope { answered_at_us, .. }) if answered_at_us != 0 => answered_at_us,
            _ => self.received_at_us(),
        }
    }

    /// The code it was answered with; `None`: never answered.
    pub fn answer_code(&self) -> Option<u8> {
        stored_code(self.record.record().answer_code())
    }

    /// Partition of its drive and its number in the partition.
    pub fn partition(&self) -> (u16, u64) {
        let record = self.record.record();
        (record.partition(), record.partition_seq())
    }

    /// All facts that were stored with it.
    ///
    /// # Errors
    /// When the envelope is of a newer version.
    pub fn envelope(&self) -> Result<Envelope<'_>, EnvelopeError> {
        let record: &'_ OwnedRecord = &self.record;
        Envelope::of(&record.record())
    }

    /// The container as received.
    pub fn container(&self) -> &[u8] {
        self.envelope().map_or(&[], |it| it.container)
    }

    /// The plain document; `None` when it could not be opened.
    pub fn document(&self) -> Option<DocumentView<'_>> {
        let envelope = self.envelope().ok()?;
        DocumentView::new_checked(envelope.plain).ok()
    }

    /// The drive (1041).
    pub fn drive(&self) -> Option<DriveNumber> {
        DriveNumber::from_wire(&self.envelope().ok()?.drive).ok()
    }

    /// INN of the user (1018), without padding.
    pub fn inn(&self) -> Option<String> {
        user_inn(&self.document()?)
    }

    /// Does it carry this printed fiscal sign (1077)?
    pub fn has_sign(&self, sign: u32) -> bool {
        let found = self.document().and_then(|it| it.header().sign);
        found.is_some_and(|it| it.printed() == sign)
    }

    /// The document as ФНС JSON, `{"receipt":{…}}`; `None` when it could not be opened. The version is the
    /// document's own (1209), else that of the message.
    pub fn json(&self) -> Option<String> {
        let envelope = self.envelope().ok()?;
        let view = self.document()?;
        let [.., major, minor] = *envelope.session.first_chunk::<8>()?;
        let version = FfdVersion::of_document(&view.header(), None, [major, minor]);
        let mut json = String::new();
        write_document(&view, version, &mut json);
        Some(json)
    }

    /// The envelope's bytes, sharing the record's memory.
    pub fn payload(&self) -> Bytes {
        self.record.payload()
    }
}

/// INN of the user of a document (1018), without padding.
pub(crate) fn user_inn(view: &DocumentView<'_>) -> Option<String> {
    Some(view.get(Tag(1018))?.text().trimmed().to_string())
}
