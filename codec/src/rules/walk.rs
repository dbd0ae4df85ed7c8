//! The one walk over a document that all rules share: it looks up meaning and table row of every requisite once.

use super::{CheckContext, Datum, RuleId, Violation, Violations, generated};
use crate::dictionary::{self, Entry, Kind, Requirement};
use crate::{DocumentView, FfdVersion, Tag, Tlv, Value};

/// Nests deeper than this are not entered. The view allows fewer; 1115 and 1119, which it can not tell, add two.
const DEPTH_MAX: u8 = 8;

/// The whole document, as a rule sees it.
pub(super) struct Whole<'a, 'v> {
    pub(super) view: &'a DocumentView<'v>,
    pub(super) context: &'a CheckContext,
    pub(super) form: u8,
}

impl Whole<'_, '_> {
    pub(super) fn version(&self) -> FfdVersion {
        self.context.version
    }
}

/// A nest: the document itself or an STLV, after its last requisite was read.
pub(super) struct Nest<'a, 'v> {
    pub(super) whole: &'a Whole<'a, 'v>,
    /// Tag of the STLV, 0 for the document.
    pub(super) parent: u16,
    /// Where its contents begin.
    pub(super) offset: usize,
    pub(super) children: Tlv<'v>,
    /// Its table, where one is known.
    pub(super) rows: &'static [Requirement],
    /// A bit a row: the tag of the row stands in the nest.
    pub(super) seen: u128,
}

impl<'v> Nest<'_, 'v> {
    /// First value of a tag in this nest.
    pub(super) fn get(&self, tag: Tag) -> Option<Value<'v>> {
        self.children.map_while(Result::ok).find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// Rows whose tag does not stand in the nest.
    pub(super) fn missing(&self) -> impl Iterator<Item = &'static Requirement> {
        let seen = self.seen;
        self.rows
            .iter()
            .enumerate()
            .filter(move |(at, _)| *at < 128 && (seen >> at) & 1 == 0)
            .map(|(_, row)| row)
    }

    /// The finding that a tag is missing here.
    pub(super) fn lacks(&self, rule: RuleId, tag: Tag, expected: Datum) -> Violation {
        Violation { rule, tag: Some(tag), offset: self.offset, actual: Datum::Absent, expected }
    }
}

/// One requisite in its place.
pub(super) struct Place<'v> {
    pub(super) version: FfdVersion,
    pub(super) tag: Tag,
    pub(super) value: Value<'v>,
    /// Its meaning; `None` for a number no source names.
    pub(super) entry: Option<&'static Entry>,
    /// Its row; `None` where the tables do not know it here.
    pub(super) row: Option<&'static Requirement>,
    /// True if the nest has a table at all: without one nobody knows what is allowed.
    pub(super) charted: bool,
    /// True if the same tag stood before it in the nest.
    pub(super) again: bool,
}

impl Place<'_> {
    /// A finding about this requisite.
    pub(super) fn finding(&self, rule: RuleId, actual: Datum, expected: Datum) -> Violation {
        Violation { rule, tag: Some(self.tag), offset: self.value.offset(), actual, expected }
    }
}

/// A rule that sees a requisite.
pub(super) type TagRule = fn(&Place<'_>, &mut Violations);
/// A rule that sees a nest.
pub(super) type NestRule = fn(&Nest<'_, '_>, &mut Violations);
/// A rule that sees the whole document.
pub(super) type DocumentRule = fn(&Whole<'_, '_>, &mut Violations);

pub(super) fn check(view: &DocumentView<'_>, context: &CheckContext) -> Violations {
    let mut out = Violations::new();
    let whole = Whole { view, context, form: view.form().0 };
    // The contents of the outer TLV stand right behind its header of four bytes.
    if let Some((_, contents)) = view.bytes().split_first_chunk::<4>() {
        nest(&whole, 0, Tlv::at(contents, 4), 0, &mut out);
    }
    for rule in generated::DOCUMENT_RULES {
        rule(&whole, &mut out);
    }
    out
}

fn nest(whole: &Whole<'_, '_>, parent: u16, children: Tlv<'_>, depth: u8, out: &mut Violations) {
    let table = dictionary::table(whole.version(), whole.form, parent);
    let rows = table.unwrap_or(&[]);
    let place_parent = if parent == 0 { u16::from(whole.form) } else { parent };
    let mut seen = 0u128;
    // Lengths of a nest close by the view's promise, or else rule B4 has spoken where it stands.
    for (tag, value) in children.map_while(Result::ok) {
        let at = rows.binary_search_by_key(&tag, |row| row.tag).ok();
        let bit = at.and_then(|at| u32::try_from(at).ok()).and_then(|at| 1u128.checked_shl(at)).unwrap_or(0);
        let place = Place {
            version: whole.version(),
            tag,
            value,
            entry: dictionary::lookup(tag, place_parent, whole.version()),
            row: at.and_then(|at| rows.get(at)),
            charted: table.is_some(),
            again: seen & bit != 0,
        };
        seen |= bit;
        for rule in generated::TAG_RULES {
            rule(&place, out);
        }
        for (tags, rule) in generated::WATCHED_RULES {
            if tags.contains(&tag.0) {
                rule(&place, out);
            }
        }
        if depth < DEPTH_MAX && place.entry.is_some_and(|entry| entry.kind == Kind::Stlv) {
            nest(whole, tag.0, value.children(), depth + 1, out);
        }
    }
    let nest = Nest { whole, parent, offset: children.offset(), children, rows, seen };
    for rule in generated::NEST_RULES {
        rule(&nest, out);
    }
}
