//! A row on its way into the tables: what the log knows of a stored document, and what the document says.
//!
//! One `Row` is filled for one document and read by the column lists of all tables. What cannot be read is
//! `None` and becomes NULL; it never stops the compaction, because a document that was confirmed has to reach
//! the archive whatever is in it.

use std::borrow::Cow;

use bytes::Bytes;
use ofd_codec::{DocumentView, Form};

use super::document::Facts;
use super::item::Item;
use super::record;
use super::register::RegisterRow;
use super::restore::makes_up;
use super::shift::ShiftRow;
use super::status::StatusRow;
use super::text::{Text, Texts};
use super::violation::Finding;
use super::{Cell, Day};
use crate::envelope::{ENVELOPE_HEAD_LEN, Envelope, EnvelopeError, Provenance};
use crate::record::{NO_PARTITION, RecordKind};

/// A record as it came out of the log; of kind Document unless somebody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Position in the log (LSN), from 1.
    pub position: u64,
    /// Partition, or [`crate::NO_PARTITION`].
    pub partition: u16,
    /// Number within the partition, from 1.
    pub partition_seq: u64,
    /// When it was stored, microseconds UTC.
    pub received_at_us: i64,
    /// Code of the answer (1022).
    pub answer_code: u8,
    /// Free for the owner of the kind.
    pub flags: u8,
    /// Key the payload is encrypted with; 0 = none.
    pub key_id: u32,
    /// The payload, of a document an [`Envelope`].
    pub payload: Bytes,
}

impl Stored {
    /// The envelope in the payload.
    ///
    /// # Errors
    /// When the payload is no envelope of a known version.
    pub fn envelope(&self) -> Result<Envelope<'_>, EnvelopeError> {
        Envelope::decode_flagged(self.flags, &self.payload)
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
    pub(super) drive: Option<Text>,
    pub(super) number: i64,
    pub(super) form_code: Option<i64>,
    pub(super) form: Option<Cow<'static, str>>,
    pub(super) container: Bytes,
    pub(super) plain: Option<Bytes>,
    pub(super) envelope: Bytes,
    pub(super) detail: Option<String>,
    pub(super) partition: Option<i64>,
    pub(super) flags: i64,
    pub(super) key_id: i64,
    pub(super) kind_code: i64,
    /// Name of the kind, in `records`.
    pub(super) kind: String,
    pub(super) key: Option<String>,
    /// The payload where the other cells do not make it up.
    pub(super) payload: Option<Bytes>,
}

impl Head {
    /// Everything that is known without opening the document; its texts go behind `texts`.
    pub fn of(stored: &Stored, envelope: &Envelope<'_>, texts: &mut Texts) -> Self {
        let part = |bytes: &[u8]| stored.payload.slice_ref(bytes);
        let head = stored.payload.slice(..ENVELOPE_HEAD_LEN.min(stored.payload.len()));
        let detail =
            (!envelope.detail.is_empty()).then(|| String::from_utf8_lossy(envelope.detail).into_owned());
        let text = detail.as_deref().unwrap_or_default().as_bytes();
        // Text that is none, bytes behind the end: then the row keeps the whole.
        let parted = makes_up(&stored.payload, &head, envelope.container, envelope.plain, text);
        Self {
            answered_at_us: match envelope.answered_at_us {
                0 => stored.received_at_us,
                at => at,
            },
            variant: i64::from(envelope.variant),
            realm: envelope.realm.as_str(),
            provenance: match envelope.provenance {
                Provenance::Live => "live",
                Provenance::Import => "import",
            },
            drive: Some(texts.put(&String::from_utf8_lossy(envelope.drive.trim_ascii_end()))),
            number: i64::from(envelope.number),
            form_code: (envelope.form != 0).then_some(i64::from(envelope.form)),
            form: form_name(envelope.form),
            container: part(envelope.container),
            plain: (!envelope.plain.is_empty()).then(|| part(envelope.plain)),
            envelope: head,
            detail,
            payload: (!parted).then(|| stored.payload.clone()),
            ..Self::of_record(RecordKind::Document, stored)
        }
    }

    /// What the log knows of a record of any kind.
    fn of_record(kind: RecordKind, stored: &Stored) -> Self {
        Self {
            position: i64::try_from(stored.position).unwrap_or(i64::MAX),
            partition_seq: i64::try_from(stored.partition_seq).unwrap_or(i64::MAX),
            received_at_us: stored.received_at_us,
            answer_code: i64::from(stored.answer_code),
            partition: (stored.partition != NO_PARTITION).then_some(i64::from(stored.partition)),
            flags: i64::from(stored.flags),
            key_id: i64::from(stored.key_id),
            kind_code: i64::from(kind.code()),
            ..Self::default()
        }
    }

    /// The row of a record that is no document.
    pub(super) fn of_other(kind: RecordKind, stored: &Stored) -> Self {
        Self {
            kind: record::kind_name(kind),
            key: record::key_of(kind, stored.flags, &stored.payload),
            payload: Some(stored.payload.clone()),
            ..Self::of_record(kind, stored)
        }
    }

    /// Bulk bytes of the row.
    pub(super) fn bulk_len(&self) -> usize {
        self.container.len().saturating_add(self.payload.as_ref().map_or(0, Bytes::len))
    }
}

/// The number of a drive as text, padding off, leading zeros kept.
pub fn drive_text(drive: &[u8; 16]) -> String {
    String::from_utf8_lossy(drive.trim_ascii_end()).into_owned()
}

/// JSON name of a form; `form81` for one without; `None` for 0, a form that could not be read.
pub fn form_name(code: u8) -> Option<Cow<'static, str>> {
    match (code, Form(code).json_name()) {
        (0, _) => None,
        (_, Some(name)) => Some(Cow::Borrowed(name)),
        (code, None) => Some(Cow::Owned(format!("form{code}"))),
    }
}

/// A document and one of its items, as the column lists see them.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The texts that the others point to.
    pub texts: Texts,
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
    /// The finding, in the rows of `violations`.
    pub finding: Finding,
    /// The shift, in the rows of `shifts`.
    pub shift: ShiftRow,
    /// The answer, in the rows of `statuses`.
    pub status: StatusRow,
    /// The register, in the rows of `registers`.
    pub register: RegisterRow,
}

impl Row {
    /// The cell of one of its texts.
    pub(super) fn text(&self, text: Option<Text>) -> Cell<'_> {
        text.map_or(Cell::Null, |text| self.texts.cell(text))
    }

    /// The day the document lies under.
    pub fn day(&self) -> Day {
        Day::of(self.facts.local_seconds, self.head.received_at_us)
    }
}
