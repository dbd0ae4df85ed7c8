//! The one walk over a document that all rules share: it looks up meaning and table row of every requisite once, and
//! remembers where the requisites of a nest stand, so that a rule that asks for one searches nothing.
//!
//! Invariants: one pass over the tags, however many rules there are; nothing allocated unless something is found
//! (test: tests/allocations.rs::checking_a_clean_document_by_every_rule_allocates_nothing).

use super::receipt::{Item, Items, Receipt};
use super::{CheckContext, Datum, RuleId, Violation, Violations, generated};
use crate::dictionary::{self, Chart, Entry, Kind, Mark, Requirement};
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
    /// By row: one more than the place of its first tag within the contents, or 0 if the tag does not stand here.
    at: [u16; ROWS_MAX],
    /// Tags stand here that have no row.
    strangers: bool,
}

impl<'a, 'v> Nest<'a, 'v> {
    fn new(whole: &'a Whole<'a, 'v>, parent: u16, contents: &'v [u8], base: u32) -> Self {
        let chart = dictionary::chart(whole.version(), whole.form, parent);
        Self { whole, parent, contents, base, chart, at: [0; ROWS_MAX], strangers: false }
    }

    /// First value of a tag in this nest: a place, no search. Only a tag without a row is searched for.
    #[inline(always)]
    pub(super) fn get(&self, tag: Tag) -> Option<Value<'v>> {
        match self.chart.and_then(|chart| chart.row(tag)) {
            Some(row) => match self.place(row) {
                0 => None,
                place => self.value_at(place),
            },
            None if self.strangers => find(self.children(), tag),
            None => None,
        }
    }

    #[inline(always)]
    fn place(&self, row: u8) -> u16 {
        self.at.get(usize::from(row)).copied().unwrap_or_default()
    }

    #[inline]
    fn value_at(&self, place: u16) -> Option<Value<'v>> {
        let at = usize::from(place).saturating_sub(1);
        let (&[t0, t1, l0, l1], tail) = self.contents.get(at..)?.split_first_chunk::<TLV_HEADER_LEN>()?;
        let bytes = tail.get(..usize::from(u16::from_le_bytes([l0, l1])))?;
        let offset = self.base.saturating_add(u32::from(place)).saturating_add(TLV_HEADER_LEN as u32 - 1);
        Some(Value::new(Tag(u16::from_le_bytes([t0, t1])), bytes, offset))
    }

    /// The requisites one after the other.
    pub(super) const fn children(&self) -> Tlv<'v> {
        Tlv::at(self.contents, self.base)
    }

    /// True if the tags of all these rows stand in the nest.
    #[inline]
    pub(super) fn has_all(&self, rows: &[u8]) -> bool {
        rows.iter().all(|&row| self.place(row) != 0)
    }

    /// Rows among these whose tag does not stand in the nest.
    pub(super) fn missing(&self, rows: &'static [u8]) -> impl Iterator<Item = &'static Requirement> {
        let known = self.chart.map_or(&[][..], |chart| chart.rows);
        rows.iter().filter(|&&row| self.place(row) == 0).filter_map(move |&row| known.get(usize::from(row)))
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
    check_by::<true>(view, context)
}

/// With `GLANCE` a requisite is shown to the rules only where row, length and list do not settle it; without, always.
fn check_by<const GLANCE: bool>(view: &DocumentView<'_>, context: &CheckContext) -> Violations {
    let mut out = Violations::new();
    let receipt = view.form().is_receipt_like();
    let date = if receipt { law_date(view) } else { None };
    let whole = Whole { view, context, form: view.form().0, date };
    // The contents of the outer TLV stand right behind its header of four bytes.
    if let Some((_, contents)) = view.bytes().split_first_chunk::<TLV_HEADER_LEN>() {
        let mut items = Items::default();
        let mut root = Nest::new(&whole, 0, contents, TLV_HEADER_LEN as u32);
        walk::<GLANCE>(&mut root, 0, &mut items, &mut out);
        generated::nest_rules(&root, &mut out);
        if receipt {
            generated::receipt_rules(&Receipt::read(&root, &items), &mut out);
        }
        generated::document_rules(&root, &mut out);
    }
    out
}

/// Reads one nest and, before it is complete, those inside of it.
fn walk<const GLANCE: bool>(nest: &mut Nest<'_, '_>, depth: u8, items: &mut Items, out: &mut Violations) {
    let mut rest = nest.contents;
    // Lengths of a nest close by the view's promise, or else rule B4 has spoken where it stands.
    while let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<TLV_HEADER_LEN>() {
        let Some((bytes, after)) = tail.split_at_checked(usize::from(u16::from_le_bytes([l0, l1]))) else {
            break;
        };
        let tag = Tag(u16::from_le_bytes([t0, t1]));
        let at = nest.contents.len().saturating_sub(rest.len());
        rest = after;
        let number = nest.chart.and_then(|chart| chart.row(tag));
        let shape = number.and_then(|number| nest.chart?.shapes.get(usize::from(number)).copied());
        let mut again = false;
        match number.and_then(|number| nest.at.get_mut(usize::from(number))) {
            Some(place @ 0) => *place = u16::try_from(at.saturating_add(1)).unwrap_or(u16::MAX),
            Some(_) => again = true,
            None => nest.strangers = true,
        }
        let settled = GLANCE && shape.is_some_and(|shape| shape.settles(bytes, again));
        if settled && !shape.is_some_and(|shape| shape.has(Mark::Nest)) {
            continue;
        }
        let offset = u32::try_from(at.saturating_add(TLV_HEADER_LEN)).unwrap_or(u32::MAX);
        let value = Value::new(tag, bytes, nest.base.saturating_add(offset));
        let inside = settled || ask(nest, value, number, again, out);
        if inside && depth < DEPTH_MAX {
            let mut inner = Nest::new(nest.whole, tag.0, bytes, nest.base.saturating_add(offset));
            walk::<GLANCE>(&mut inner, depth.saturating_add(1), items, out);
            generated::nest_rules(&inner, out);
            if depth == 0 && tag == tags::ITEM {
                let item = Item::read(&inner);
                generated::item_rules(&item, out);
                items.add(&item);
            }
        }
    }
}

/// Shows one requisite to the rules; true if it is a nest.
#[inline(never)]
fn ask(nest: &Nest<'_, '_>, value: Value<'_>, number: Option<u8>, again: bool, out: &mut Violations) -> bool {
    let version = nest.whole.version();
    let parent = if nest.parent == 0 { u16::from(nest.whole.form) } else { nest.parent };
    let entry = dictionary::lookup(value.tag(), parent, version);
    let row = number.and_then(|number| nest.chart?.rows.get(usize::from(number)));
    let place = Place { version, tag: value.tag(), value, entry, row, charted: nest.chart.is_some(), again };
    generated::tag_rules(&place, out);
    entry.is_some_and(|entry| entry.kind == Kind::Stlv)
}
