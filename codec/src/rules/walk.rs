//! The one walk over a document that all rules share: it looks up meaning and table row of every requisite once, and
//! remembers where the requisites of a nest stand, so that a rule that asks for one searches nothing.
//!
//! Invariants: one pass over the tags, however many rules there are; nothing allocated unless something is found
//! (test: tests/allocations.rs::checking_a_clean_document_by_every_rule_allocates_nothing).

use super::receipt::{Item, Items, Receipt};
use super::{CheckContext, Datum, RuleId, Violation, Violations, generated};
use crate::dictionary::{self, Chart, Entry, Kind, Requirement};
use crate::{DocumentView, FfdVersion, Form, LocalSeconds, TLV_HEADER_LEN, Tag, Tlv, Value, tags};

/// Nests deeper than this are not entered. The view allows fewer; 1115 and 1119, which it can not tell, add two.
const DEPTH_MAX: u8 = 8;

/// Rows of one table, at most (a bit each in a mask; `dictgen` checks it).
const ROWS_MAX: usize = 128;

/// The whole document, as a rule sees it.
pub(super) struct Whole<'a, 'v> {
    pub(super) view: &'a DocumentView<'v>,
    pub(super) context: &'a CheckContext,
    pub(super) form: u8,
    /// The day whose law applies; see [`law_date`].
    pub(super) date: Option<LocalSeconds>,
}

impl Whole<'_, '_> {
    #[inline]
    pub(super) fn version(&self) -> FfdVersion {
        self.context.version
    }

    /// A correction of a receipt or a БСО.
    #[inline]
    pub(super) fn is_correction(&self) -> bool {
        is_correction(self.view)
    }
}

fn is_correction(view: &DocumentView<'_>) -> bool {
    matches!(view.form(), Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION)
}

/// 2016-09-01: no register sent a document before. An earlier time is that of a clock that was never set.
const FIRST_DOCUMENT: LocalSeconds = LocalSeconds(1_472_688_000);

/// The day whose law a settlement is measured by: that of the document (1012), but for a correction that of the
/// settlement it repairs (1178): a rate, a tax system or a duty is that of the day on which the goods changed hands,
/// however late the till tells. What is asked of the correction itself as a document goes by its form alone.
/// `None` for a time that no document can have; then rules that depend on the day are silent.
fn law_date(view: &DocumentView<'_>) -> Option<LocalSeconds> {
    let read = |value: Value<'_>| value.unixtime().ok().filter(|time| *time >= FIRST_DOCUMENT);
    let base = if is_correction(view) { view.get(tags::CORRECTION_BASE) } else { None };
    let repaired = base.and_then(|base| find(base.children(), tags::CORRECTION_DATE)).and_then(read);
    repaired.or_else(|| view.get(tags::DATE_TIME).and_then(read))
}

/// First value of a tag in a level, by searching it.
pub(super) fn find<'v>(level: Tlv<'v>, tag: Tag) -> Option<Value<'v>> {
    level.map_while(Result::ok).find(|(found, _)| *found == tag).map(|(_, value)| value)
}

/// A nest: the document itself or an STLV, after its last requisite was read.
pub(super) struct Nest<'a, 'v> {
    pub(super) whole: &'a Whole<'a, 'v>,
    /// Tag of the STLV, 0 for the document.
    pub(super) parent: u16,
    contents: &'v [u8],
    /// Where the contents begin.
    base: u32,
    /// Its table, where one is known.
    pub(super) chart: Option<&'static Chart>,
    /// A bit a row: the tag of the row stands in the nest.
    pub(super) seen: u128,
    /// Where it stands, by row: the first one's place within the contents.
    at: [u16; ROWS_MAX],
    /// Tags stand here that have no row.
    strangers: bool,
}

impl<'v> Nest<'_, 'v> {
    /// First value of a tag in this nest: a bit and a place, no search. Only a tag without a row is searched for.
    #[inline(always)]
    pub(super) fn get(&self, tag: Tag) -> Option<Value<'v>> {
        match self.chart.and_then(|chart| chart.row(tag)) {
            Some(row) if (self.seen >> (row & 127)) & 1 == 0 => None,
            Some(row) => self.value_at(row),
            None if self.strangers => find(self.children(), tag),
            None => None,
        }
    }

    #[inline]
    fn value_at(&self, row: u8) -> Option<Value<'v>> {
        let at = *self.at.get(usize::from(row))?;
        let rest = self.contents.get(usize::from(at)..)?;
        Tlv::at(rest, self.base.saturating_add(u32::from(at))).next()?.ok().map(|(_, value)| value)
    }

    /// The requisites one after the other.
    pub(super) const fn children(&self) -> Tlv<'v> {
        Tlv::at(self.contents, self.base)
    }

    /// Rows among those of `mask` whose tag does not stand in the nest.
    pub(super) fn missing(&self, mask: u128) -> impl Iterator<Item = &'static Requirement> {
        let missing = mask & !self.seen;
        let rows = self.chart.map_or(&[][..], |chart| chart.rows);
        rows.iter().enumerate().filter(move |(at, _)| (missing >> (at & 127)) & 1 == 1).map(|(_, row)| row)
    }

    /// The finding that a tag is missing here.
    #[cold]
    pub(super) fn lacks(&self, rule: RuleId, tag: Tag, expected: Datum) -> Violation {
        Violation { rule, tag: Some(tag), offset: self.base as usize, actual: Datum::Absent, expected }
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
    #[cold]
    pub(super) fn finding(&self, rule: RuleId, actual: Datum, expected: Datum) -> Violation {
        finding(rule, self.value, actual, expected)
    }
}

/// A finding about a value.
#[cold]
pub(super) fn finding(rule: RuleId, value: Value<'_>, actual: Datum, expected: Datum) -> Violation {
    Violation { rule, tag: Some(value.tag()), offset: value.offset(), actual, expected }
}

pub(super) fn check(view: &DocumentView<'_>, context: &CheckContext) -> Violations {
    let mut out = Violations::new();
    let receipt = view.form().is_receipt_like();
    let date = if receipt { law_date(view) } else { None };
    let whole = Whole { view, context, form: view.form().0, date };
    // The contents of the outer TLV stand right behind its header of four bytes.
    if let Some((_, contents)) = view.bytes().split_first_chunk::<TLV_HEADER_LEN>() {
        let mut items = Items::default();
        let root = walk(&whole, 0, Tlv::at(contents, 4), 0, &mut items, &mut out);
        generated::nest_rules(&root, &mut out);
        if receipt {
            generated::receipt_rules(&Receipt::read(&root, &items), &mut out);
        }
        generated::document_rules(&root, &mut out);
    }
    out
}

/// Reads one nest and, before it is complete, those inside of it.
fn walk<'a, 'v>(
    whole: &'a Whole<'a, 'v>,
    parent: u16,
    children: Tlv<'v>,
    depth: u8,
    items: &mut Items,
    out: &mut Violations,
) -> Nest<'a, 'v> {
    let version = whole.version();
    let mut nest = Nest {
        whole,
        parent,
        contents: children.rest(),
        base: u32::try_from(children.offset()).unwrap_or(u32::MAX),
        chart: dictionary::chart(version, whole.form, parent),
        seen: 0,
        at: [0; ROWS_MAX],
        strangers: false,
    };
    let place_parent = if parent == 0 { u16::from(whole.form) } else { parent };
    let mut rest = children;
    // Lengths of a nest close by the view's promise, or else rule B4 has spoken where it stands.
    loop {
        let begin = rest.offset();
        let Some(Ok((tag, value))) = rest.next() else { break };
        let number = nest.chart.and_then(|chart| chart.row(tag));
        let mut again = false;
        if let Some(number) = number {
            let bit = 1_u128 << (number & 127);
            again = nest.seen & bit != 0;
            if !again {
                nest.seen |= bit;
                // A value has at most 65,535 bytes, so that every place in it fits.
                let at = begin.saturating_sub(nest.base as usize);
                if let Some(slot) = nest.at.get_mut(usize::from(number)) {
                    *slot = u16::try_from(at).unwrap_or(u16::MAX);
                }
            }
        } else {
            nest.strangers = true;
        }
        let entry = dictionary::lookup(tag, place_parent, version);
        let row = number.and_then(|number| nest.chart?.rows.get(usize::from(number)));
        let place = Place { version, tag, value, entry, row, charted: nest.chart.is_some(), again };
        generated::tag_rules(&place, out);
        if depth < DEPTH_MAX && entry.is_some_and(|entry| entry.kind == Kind::Stlv) {
            let inner = walk(whole, tag.0, value.children(), depth.saturating_add(1), items, out);
            generated::nest_rules(&inner, out);
            if depth == 0 && tag == tags::ITEM {
                let item = Item::read(&inner);
                generated::item_rules(&item, out);
                items.add(&item);
            }
        }
    }
    nest
}
