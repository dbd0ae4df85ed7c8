//! One level of a checked document, and the check that makes its getters infallible.
//!
//! Invariants: a [`Level`] is made only behind [`readable`], which reads every value that the dictionary knows once;
//! a getter asks the dictionary again whether the tag means here what it expects (1115 was text before it was a
//! structure), so that a reused number is missing and never misread.
//! [`Validated`](crate::Validated) can not stand in for it, nor it for that one: the table's length is one thing and the
//! type's another. A name longer than its table allows is a finding and reads well; a sum beyond a signed number of kopecks
//! has a length that every table allows and reads as nothing (test:
//! codec/tests/forms.rs::the_check_of_a_view_and_that_of_the_tables_ask_different_things). A document with a finding is
//! still answered and shown, so that its view must not depend on there being none.
//! Errors: `Length`, `Value`, `DriveNumber` of [`Value`](crate::Value); `Truncated`, `TlvLength`, `Depth` of nests.

use crate::dictionary::{Kind, lookup};
use crate::{DecodeError, DecodeErrorKind, DocumentView, FfdVersion, Form, Tag, Tlv, Value, tags};

/// Nests deeper than this are refused. The view allows fewer; 1115 and 1119, which it can not tell, add two.
const DEPTH_MAX: u8 = 8;

/// Checks that every value whose tag the dictionary knows in its place can be read as its type. This is the whole
/// check behind the views: one pass, nothing allocated.
pub(super) fn readable(view: &DocumentView<'_>, version: FfdVersion) -> Result<(), DecodeError> {
    level_readable(body(view), u16::from(view.form().0), version, 0)
}

/// The requisites of a document behind its header of four bytes.
fn body<'a>(view: &DocumentView<'a>) -> Tlv<'a> {
    Tlv::at(view.bytes().get(crate::TLV_HEADER_LEN..).unwrap_or_default(), crate::TLV_HEADER_LEN as u32)
}

fn level_readable(level: Tlv<'_>, parent: u16, version: FfdVersion, depth: u8) -> Result<(), DecodeError> {
    for item in level {
        let (tag, value) = item?;
        let Some(entry) = lookup(tag, parent, version) else { continue };
        match (tag, entry.kind) {
            (tags::FISCAL_DRIVE_NUMBER, _) => drop(value.drive_number()?),
            (tags::FISCAL_SIGN, _) => drop(value.fiscal_sign()?),
            (_, Kind::Byte) => drop(value.u8()?),
            (_, Kind::U16) => drop(value.u16()?),
            (_, Kind::U32) => drop(value.u32()?),
            (_, Kind::UnixTime) => drop(value.unixtime()?),
            (_, Kind::Vln) => drop(value.kopecks()?),
            (_, Kind::Fvln) => drop(value.fvln()?),
            // A mask is as wide as its tag says: one byte or four.
            (_, Kind::Bits) if entry.len_max == 1 => drop(value.u8()?),
            (_, Kind::Bits) => drop(value.bits()?),
            (_, Kind::Text | Kind::Bytes) => {}
            (_, Kind::Stlv) if depth >= DEPTH_MAX => return Err(value.error(DecodeErrorKind::Depth)),
            (_, Kind::Stlv) => level_readable(value.children(), tag.0, version, depth.saturating_add(1))?,
        }
    }
    Ok(())
}

/// The requisites of a document or of a structure in it, behind the check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    tlv: Tlv<'a>,
    parent: u16,
    version: FfdVersion,
}

impl<'a> Level<'a> {
    /// The upper level of a document of one of these forms.
    pub(super) fn new_checked(
        view: &DocumentView<'a>,
        version: FfdVersion,
        forms: &[Form],
    ) -> Result<Self, DecodeError> {
        if !forms.contains(&view.form()) {
            return Err(DecodeError::new(DecodeErrorKind::Form, 0));
        }
        readable(view, version)?;
        Ok(Self { tlv: body(view), parent: u16::from(view.form().0), version })
    }

    /// A level without its check, for tests of the getters.
    #[cfg(test)]
    pub(super) const fn of_parts(bytes: &'a [u8], version: FfdVersion, parent: u16) -> Self {
        Self { tlv: Tlv::new(bytes), parent, version }
    }

    /// The level inside a structure.
    pub(super) const fn inside(self, value: &Value<'a>) -> Self {
        Self { tlv: value.children(), parent: value.tag().0, version: self.version }
    }

    pub(super) const fn parent(self) -> u16 {
        self.parent
    }

    pub(super) const fn version(self) -> FfdVersion {
        self.version
    }

    pub(super) const fn tlv(self) -> Tlv<'a> {
        self.tlv
    }

    /// The values of a tag, none where it does not mean one of `kinds` here.
    pub(super) fn all(self, tag: Tag, kinds: &'static [Kind]) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let known = lookup(tag, self.parent, self.version).is_some_and(|entry| kinds.contains(&entry.kind));
        let level = if known { self.tlv } else { Tlv::new(&[]) };
        level.map_while(Result::ok).filter_map(move |(found, value)| (found == tag).then_some(value))
    }

    /// The first value of a tag.
    pub(super) fn one(self, tag: Tag, kinds: &'static [Kind]) -> Option<Value<'a>> {
        self.all(tag, kinds).next()
    }

    /// The first value of a tag, read. The check has read it before, so that `None` means that it is missing.
    pub(super) fn read<T>(
        self,
        tag: Tag,
        kinds: &'static [Kind],
        read: impl FnOnce(&Value<'a>) -> Result<T, DecodeError>,
    ) -> Option<T> {
        self.one(tag, kinds).and_then(|value| read(&value).ok())
    }
}
