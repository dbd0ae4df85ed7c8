//! A row on its way into the tables: what the log knows of a stored document, and what the document says.
//!
//! One `Row` is filled for one document and read by the column lists of all tables. What cannot be read is
//! `None` and becomes NULL; it never stops the compaction, because a document that was confirmed has to reach
//! the archive whatever is in it.

use bytes::Bytes;
use ofd_codec::{DocumentView, Form};

use super::document::Facts;
use super::item::Item;
use crate::envelope::{ENVELOPE_HEAD_LEN, Envelope, EnvelopeError, Provenance, Realm};

/// A record of kind Document as it came out of the log.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Position in the log (LSN), from 1.
    pub position: u64,
    /// Number within the partition, from 1.
    pub partition_seq: u64,
    /// When it was stored, microseconds UTC.
    pub received_at_us: i64,
    /// Code of the answer (1022).
    pub answer_code: u8,
    /// The payload: an [`Envelope`].
    pub payload: Bytes,
}

impl Stored {
    /// The envelope in the payload.
    ///
    /// # Errors
    /// When the payload is no envelope of a known version.
    pub fn envelope(&self) -> Result<Envelope<'_>, EnvelopeError> {
        Envelope::decode(&self.payload)
    }
}

/// The document inside an envelope, when it was opened and its TLVs close.
pub fn view<'a>(envelope: &Envelope<'a>) -> Option<DocumentView<'a>> {
    if envelope.plain.is_empty() {
        return None;
    }
    DocumentView::new_checked(envelope.plain).ok()
}

/// What the log and the envelope say.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub(super) position: i64,
    pub(super) partition_seq: i64,
    pub(super) received_at_us: i64,
    pub(super) answered_at_us: i64,
    pub(super) answer_code: i64,
    pub(super) variant: i64,
    pub(super) realm: &'static str,
    pub(super) provenance: &'static str,
    pub(super) drive: String,
    pub(super) number: i64,
    pub(super) form_code: Option<i64>,
    pub(super) form: Option<String>,
    pub(super) container: Bytes,
    pub(super) plain: Option<Bytes>,
    pub(super) envelope: Bytes,
    pub(super) detail: Option<String>,
}

impl Head {
    /// Everything that is known without opening the document.
    pub fn of(stored: &Stored, envelope: &Envelope<'_>) -> Self {
        let part = |bytes: &[u8]| stored.payload.slice_ref(bytes);
        Self {
            position: i64::try_from(stored.position).unwrap_or(i64::MAX),
            partition_seq: i64::try_from(stored.partition_seq).unwrap_or(i64::MAX),
            received_at_us: stored.received_at_us,
            answered_at_us: match envelope.answered_at_us {
                0 => stored.received_at_us,
                at => at,
            },
            answer_code: i64::from(stored.answer_code),
            variant: i64::from(envelope.variant),
            realm: match envelope.realm {
                Realm::Prod => "prod",
                Realm::Test => "test",
            },
            provenance: match envelope.provenance {
                Provenance::Live => "live",
                Provenance::Import => "import",
            },
            drive: drive_text(&envelope.drive),
            number: i64::from(envelope.number),
            form_code: (envelope.form != 0).then_some(i64::from(envelope.form)),
            form: form_name(envelope.form),
            container: part(envelope.container),
            plain: (!envelope.plain.is_empty()).then(|| part(envelope.plain)),
            envelope: stored.payload.slice(..ENVELOPE_HEAD_LEN.min(stored.payload.len())),
            detail: (!envelope.detail.is_empty())
                .then(|| String::from_utf8_lossy(envelope.detail).into_owned()),
        }
    }
}

/// The number of a drive as text, padding off, leading zeros kept.
pub fn drive_text(drive: &[u8; 16]) -> String {
    String::from_utf8_lossy(drive.trim_ascii_end()).into_owned()
}

/// JSON name of a form; `form81` for one without; `None` for 0, a form that could not be read.
pub fn form_name(code: u8) -> Option<String> {
    match (code, Form(code).json_name()) {
        (0, _) => None,
        (_, Some(name)) => Some(name.to_owned()),
        (code, None) => Some(format!("form{code}")),
    }
}

/// A document and one of its items, as the column lists see them.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What the log knows.
    pub head: Head,
    /// What the document says; empty when it was not opened.
    pub facts: Facts,
    /// Findings of the rules; `None` when nobody checked or the document was not opened.
    pub violations: Option<u32>,
    /// Items of the document; `None` when it was not opened.
    pub items: Option<u32>,
    /// The item, in the rows of `items`.
    pub item: Item,
}
