//! Values on their way to a document: what every builder is inside.
//!
//! Invariants: [`Draft::finish`] gives bytes that are a document, keep rules B1-B4 of the version and are
//! [`Validated`](crate::Validated) without a finding, or an error
//! (test: codec/src/forms/tests/dice.rs::whatever_is_called_gives_an_error_or_a_good_document); the rules themselves are
//! asked, so that a builder can not know less than the control of formats does.
//! Errors: [`EncodeError`]: `Text`, `Overflow` and `TooLong` from writing; `Misplaced`, `Missing` and `Value` for what
//! B1, B2 and B3, and B4 would find.

use alloc::string::String;
use alloc::vec::Vec;

use super::level::readable;
use crate::dictionary::requirement;
use crate::frame::PLAIN_LEN_MAX;
use crate::rules::{RuleId, check_structure};
use crate::{
    DocumentView, EncodeError, EncodeErrorKind, FfdVersion, Form, Kopecks, LocalSeconds, Quantity, Tag,
    TlvWriter, tags,
};

/// One value, typed but not yet written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// One byte.
    Byte(u8),
    /// Two bytes.
    Word(u16),
    /// Four bytes.
    Long(u32),
    /// Money, a number of variable length in kopecks.
    Money(Kopecks),
    /// Another number of variable length.
    Number(u64),
    /// A decimal number.
    Decimal(Quantity),
    /// Text, to become CP866.
    Text(String),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A structure.
    Nest(Vec<(Tag, Datum)>),
}

impl From<u8> for Datum {
    fn from(value: u8) -> Self {
        Self::Byte(value)
    }
}

impl From<u16> for Datum {
    fn from(value: u16) -> Self {
        Self::Word(value)
    }
}

impl From<u32> for Datum {
    fn from(value: u32) -> Self {
        Self::Long(value)
    }
}

impl From<u64> for Datum {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<LocalSeconds> for Datum {
    fn from(value: LocalSeconds) -> Self {
        Self::Long(value.0)
    }
}

impl From<Kopecks> for Datum {
    fn from(value: Kopecks) -> Self {
        Self::Money(value)
    }
}

impl From<Quantity> for Datum {
    fn from(value: Quantity) -> Self {
        Self::Decimal(value)
    }
}

impl From<&str> for Datum {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<&[u8]> for Datum {
    fn from(value: &[u8]) -> Self {
        Self::Raw(value.into())
    }
}

/// Requisites in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) fields: Vec<(Tag, Datum)>,
    /// Version and form of a document; a structure learns both from the document it is put into.
    place: Option<(FfdVersion, Form)>,
}

impl Draft {
    /// A document without requisites.
    pub(super) const fn document(version: FfdVersion, form: Form) -> Self {
        Self { fields: Vec::new(), place: Some((version, form)) }
    }

    /// One requisite more; one that was there stays, so that a second of what stands once is refused at the end.
    pub(super) fn with(mut self, tag: Tag, value: impl Into<Datum>) -> Self {
        self.fields.push((tag, value.into()));
        self
    }

    /// The document TLV.
    pub(super) fn finish(&self) -> Result<Vec<u8>, EncodeError> {
        let broken = EncodeError::new(EncodeErrorKind::Document);
        let (version, form) = self.place.ok_or(broken)?;
        let mut out = Vec::new();
        // The version is the document's own business: tag 1209 stands at the end of every form that has it.
        let versioned = requirement(version, form.0, 0, tags::FFD_VERSION).is_some();
        TlvWriter::new(&mut out).document(form, |w| {
            write(w, &self.fields)?;
            if versioned {
                w.u8(tags::FFD_VERSION, version.code());
            }
            Ok(())
        })?;
        if out.len() > PLAIN_LEN_MAX {
            return Err(EncodeError::new(EncodeErrorKind::TooLong));
        }
        let view = DocumentView::new_checked(&out).map_err(|_| broken)?;
        if let Some(finding) = check_structure(&view, version).iter().next() {
            let kind = match finding.rule {
                RuleId::B1 => EncodeErrorKind::Misplaced,
                RuleId::B2 | RuleId::B3 => EncodeErrorKind::Missing,
                _ => EncodeErrorKind::Value,
            };
            return Err(EncodeError { kind, tag: finding.tag });
        }
        // What no rule forbids and no view could read: a number beyond its type.
        readable(&view, version)
            .map_err(|error| EncodeError { kind: EncodeErrorKind::Value, tag: error.tag })?;
        Ok(out)
    }
}

/// Writes the requisites of one level.
pub(super) fn write(w: &mut TlvWriter<'_>, fields: &[(Tag, Datum)]) -> Result<(), EncodeError> {
    for (tag, value) in fields {
        let tag = *tag;
        match value {
            Datum::Byte(value) => w.u8(tag, *value),
            Datum::Word(value) => w.u16(tag, *value),
            Datum::Long(value) => w.u32(tag, *value),
            Datum::Money(Kopecks(value)) => {
                let Ok(value) = u64::try_from(*value) else {
                    return Err(EncodeError::new(EncodeErrorKind::Overflow).at(tag));
                };
                w.vln(tag, value);
            }
            Datum::Number(value) => w.vln(tag, *value),
            Datum::Decimal(value) => w.fvln(tag, *value)?,
            Datum::Text(text) => w.text(tag, text)?,
            Datum::Raw(bytes) => w.bytes(tag, bytes)?,
            Datum::Nest(inner) => w.nested(tag, |w| write(w, inner))?,
        }
    }
    Ok(())
}
