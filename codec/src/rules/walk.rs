//! The one walk over a document that all rules share: it looks up meaning and table row of every requisite once, and
//! remembers where the requisites of a nest stand, so that a rule that asks for one searches nothing.
//!
//! Most requisites need no rule at all: row, length and list of bytes settle them at a glance, and only what is left is
//! shown to the rules that see requisites.
//!
//! Invariants: one pass over the tags, however many rules there are; a glance lets pass only what the rules would (test:
//! tests::a_glance_settles_only_what_the_rules_would_let_pass); nothing allocated unless something is found
//! (test: tests/allocations.rs::checking_a_clean_document_by_every_rule_allocates_nothing).

use core::ops::RangeInclusive;

use super::receipt::{Item, Items, Receipt, amount, code};
use super::{CheckContext, Datum, RuleId, Violation, Violations, generated};
use crate::dictionary::{self, Chart, Entry, Kind, Mark, Requirement};
use crate::tlv::{head_at, word_before};
use crate::value::VLN_LEN_MAX;
use crate::{DocumentView, FfdVersion, Form, LocalSeconds, Quantity, TLV_HEADER_LEN, Tag, Tlv, Value, tags};

/// Nests deeper than this are not entered. The view allows fewer; 1115 and 1119, which it can not tell, add two.
const DEPTH_MAX: u8 = 8;

/// Rows of one table, at most (a bit each in a mask; `dictgen` checks it).
const ROWS_MAX: usize = 128;

/// The place of a tag that does not stand in a nest. No tag stands there: a document has 65,535 bytes behind its header, and four
/// of them are the tag and its length.
const NOWHERE: u16 = u16::MAX;

/// Bytes of a TLV's header, and of that of the document.
const HEADER: u32 = TLV_HEADER_LEN as u32;

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
    /// The document up to the end of the contents.
    document: &'v [u8],
    /// Where the contents begin.
    base: u32,
    /// Its table; a blank one where none is known.
    pub(super) chart: &'static Chart,
    charted: bool,
    /// By row: where its first tag stands in the document, behind the header of the outer TLV, or [`NOWHERE`].
    at: [u16; ROWS_MAX],
    /// Tags stand here that have no row.
    strangers: bool,
}

impl<'a, 'v> Nest<'a, 'v> {
    fn new(
        whole: &'a Whole<'a, 'v>,
        parent: u16,
        document: &'v [u8],
        base: u32,
        chart: Option<&'static Chart>,
    ) -> Self {
        Self {
            whole,
            parent,
            document,
            base,
            chart: chart.unwrap_or(&dictionary::BLANK),
            charted: chart.is_some(),
            at: [NOWHERE; ROWS_MAX],
            strangers: false,
        }
    }

    /// First value of a tag in this nest: a place, no search. Only a tag without a row is searched for.
    #[inline(always)]
    pub(super) fn get(&self, tag: Tag) -> Option<Value<'v>> {
        self.read(tag, |place| self.value_at(place), Some)
    }

    /// A number that can be read, the first one of its tag; an unreadable one is the business of B4.
    #[inline(always)]
    pub(super) fn amount(&self, tag: Tag) -> Option<u64> {
        self.read(tag, |place| self.word_at(place, 0..=VLN_LEN_MAX as u32), amount)
    }

    /// The same of a code of one byte.
    #[inline(always)]
    pub(super) fn code(&self, tag: Tag) -> Option<u8> {
        self.read(tag, |place| self.word_at(place, 0..=1).map(|word| word as u8), code)
    }

    /// The same of a decimal.
    #[inline(always)]
    pub(super) fn decimal(&self, tag: Tag) -> Option<Quantity> {
        let at = |place| self.word_at(place, 1..=VLN_LEN_MAX as u32);
        let quantity = |word: u64| Quantity { mantissa: word >> 8, scale: word as u8 };
        self.read(tag, |place| at(place).map(quantity), |value| value.fvln().ok())
    }

    /// The first value of a tag: by its place, or, if the table has no row for it, as one that was looked for.
    #[inline(always)]
    fn read<R>(
        &self,
        tag: Tag,
        at: impl FnOnce(u16) -> Option<R>,
        of: impl FnOnce(Value<'v>) -> Option<R>,
    ) -> Option<R> {
        match self.at.get(usize::from(self.chart.row(tag))) {
            Some(&NOWHERE) => None,
            Some(&place) => at(place),
            None if self.strangers => self.search(tag).and_then(of),
            None => None,
        }
    }

    /// The bytes of a value as a number, if there are as many as are wanted.
    #[inline(always)]
    fn word_at(&self, place: u16, lens: RangeInclusive<u32>) -> Option<u64> {
        let head = u32::from(place).wrapping_add(HEADER);
        let len = head_at(self.document, head)? >> 16;
        if !lens.contains(&len) {
            return None;
        }
        word_before(self.document, head.wrapping_add(HEADER).wrapping_add(len), len)
    }

    #[cold]
    fn search(&self, tag: Tag) -> Option<Value<'v>> {
        find(self.children(), tag)
    }

    #[inline(always)]
    fn place(&self, row: u8) -> u16 {
        self.at.get(usize::from(row)).copied().unwrap_or(NOWHERE)
    }

    #[inline]
    fn value_at(&self, place: u16) -> Option<Value<'v>> {
        let head = u32::from(place).wrapping_add(HEADER);
        let from = head.wrapping_add(HEADER);
        let head = head_at(self.document, head)?;
        let bytes = self.document.get(from as usize..(from as usize).wrapping_add((head >> 16) as usize))?;
        Some(Value::new(Tag(head as u16), bytes, from))
    }

    /// The requisites one after the other.
    pub(super) fn children(&self) -> Tlv<'v> {
        Tlv::at(self.document.get(self.base as usize..).unwrap_or_default(), self.base)
    }

    /// True if the tags of all these rows stand in the nest.
    #[inline]
    pub(super) fn has_all(&self, rows: &[u8]) -> bool {
        rows.iter().all(|&row| self.place(row) != NOWHERE)
    }

    /// Rows among these whose tag does not stand in the nest.
    pub(super) fn missing(&self, rows: &'static [u8]) -> impl Iterator<Item = &'static Requirement> {
        let known = self.chart.rows;
        rows.iter()
            .filter(|&&row| self.place(row) == NOWHERE)
            .filter_map(move |&row| known.get(usize::from(row)))
    }

    /// The finding that a tag which stands here says something else than it should.
    #[cold]
    pub(super) fn finding(&self, rule: RuleId, tag: Tag, actual: Datum, expected: Datum) -> Violation {
        let offset = self.get(tag).map_or(self.base as usize, |value| value.offset());
        Violation { rule, tag: Some(tag), offset, actual, expected }
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

/// Adds to `out` what the rules find.
pub(super) fn check(view: &DocumentView<'_>, context: &CheckContext, out: Violations) -> Violations {
    check_by::<true>(view, context, out)
}

/// With `GLANCE` a requisite is shown to the rules only where row, length and list do not settle it; without, always.
fn check_by<const GLANCE: bool>(
    view: &DocumentView<'_>,
    context: &CheckContext,
    mut out: Violations,
) -> Violations {
    let receipt = view.form().is_receipt_like();
    let date = if receipt { law_date(view) } else { None };
    let whole = Whole { view, context, form: view.form().0, date };
    let mut items = Items::default();
    let chart = dictionary::chart(context.version, whole.form, 0);
    // The contents of the outer TLV stand right behind its header of four bytes.
    let mut root = Nest::new(&whole, 0, view.bytes(), HEADER, chart);
    walk::<GLANCE>(&mut root, 0, &mut Findings { items: &mut items, out: &mut out });
    generated::nest_rules(&root, &mut out);
    if receipt {
        generated::receipt_rules(&Receipt::read(&root, &items), &mut out);
    }
    generated::document_rules(&root, &mut out);
    out
}

/// What a walk carries along.
struct Findings<'a> {
    items: &'a mut Items,
    out: &'a mut Violations,
}

/// Reads one nest and, before it is complete, those inside of it.
fn walk<const GLANCE: bool>(nest: &mut Nest<'_, '_>, depth: u8, found: &mut Findings<'_>) {
    let (document, index, shapes) = (nest.document, nest.chart.index(), nest.chart.shapes);
    let mut place = nest.base;
    // The table of the last nest inside: items come one after the other.
    let mut last = (Tag(0), None);
    // Lengths of a nest close by the view's promise, or else rule B4 has spoken where it stands.
    while let Some(head) = head_at(document, place) {
        let tag = Tag(head as u16);
        let from = (place as usize).wrapping_add(TLV_HEADER_LEN);
        let next = from.wrapping_add((head >> 16) as usize);
        let Some(bytes) = document.get(from..next) else { break };
        // See `NOWHERE`: it fits, and so do all places 32 bits.
        let here = place.wrapping_sub(HEADER) as u16;
        place = next as u32;
        let number = index.row(tag);
        if GLANCE
            && let Some(shape) = shapes.get(usize::from(number))
            && let Some(slot) = nest.at.get_mut(usize::from(number))
            && *slot == NOWHERE
            && shape.passes(bytes)
        {
            *slot = here;
            continue;
        }
        let value = Value::new(tag, bytes, from as u32);
        look::<GLANCE>(nest, value, (number, here), depth, &mut last, found);
    }
}

/// A requisite of which more is to be asked, or a nest.
#[inline(never)]
fn look<const GLANCE: bool>(
    nest: &mut Nest<'_, '_>,
    value: Value<'_>,
    (number, here): (u8, u16),
    depth: u8,
    last: &mut (Tag, Option<&'static Chart>),
    found: &mut Findings<'_>,
) {
    let (mut again, mut settled, mut is_nest) = (false, false, false);
    if let (Some(shape), Some(slot)) =
        (nest.chart.shapes.get(usize::from(number)), nest.at.get_mut(usize::from(number)))
    {
        again = *slot != NOWHERE;
        if !again {
            *slot = here;
        }
        settled = GLANCE && shape.settles(value.bytes(), again);
        is_nest = shape.has(Mark::Nest);
    } else {
        nest.strangers = true;
    }
    if !settled {
        is_nest = ask(nest, value, number, again, found.out);
    }
    if !is_nest || depth >= DEPTH_MAX {
        return;
    }
    if last.0 != value.tag() {
        *last = (value.tag(), dictionary::chart(nest.whole.version(), nest.whole.form, value.tag().0));
    }
    let end = value.offset().wrapping_add(value.bytes().len());
    let document = nest.document.get(..end).unwrap_or_default();
    let mut inner = Nest::new(nest.whole, value.tag().0, document, value.offset() as u32, last.1);
    walk::<GLANCE>(&mut inner, depth.saturating_add(1), found);
    generated::nest_rules(&inner, found.out);
    if depth == 0 && value.tag() == tags::ITEM {
        let item = Item::read(&inner);
        generated::item_rules(&item, found.out);
        found.items.add(&item);
    }
}

/// Shows one requisite to the rules; true if it is a nest.
#[inline(never)]
fn ask(nest: &Nest<'_, '_>, value: Value<'_>, number: u8, again: bool, out: &mut Violations) -> bool {
    let version = nest.whole.version();
    let parent = if nest.parent == 0 { u16::from(nest.whole.form) } else { nest.parent };
    let entry = dictionary::lookup(value.tag(), parent, version);
    let row = nest.chart.rows.get(usize::from(number));
    let place = Place { version, tag: value.tag(), value, entry, row, charted: nest.charted, again };
    generated::tag_rules(&place, out);
    entry.is_some_and(|entry| entry.kind == Kind::Stlv)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).unwrap();
        [&tag.to_le_bytes()[..], &len.to_le_bytes()[..], value].concat()
    }

    /// Numbers are read by their places without a slice of them; they are what the values say, wherever these stand.
    #[test]
    fn numbers_by_their_places_are_those_of_the_values() {
        let tag = tags::TOTAL_SUM;
        let mut known = 0;
        for len in 0..=9 {
            let value: Vec<u8> = (0xF1..=0xFF).take(len).collect();
            let sum = tlv(tag.0, &value);
            let filler = |whole: usize| tlv(7000, &alloc::vec![0xEE; whole - TLV_HEADER_LEN - sum.len()]);
            let far = filler(usize::from(u16::MAX));
            for body in [sum.clone(), [sum.clone(), filler(100)].concat(), [far, sum.clone()].concat()] {
                let bytes = tlv(3, &body);
                let view = DocumentView::new_checked(&bytes).unwrap();
                let context = CheckContext::new(FfdVersion::V1_2);
                let whole = Whole { view: &view, context: &context, form: 3, date: None };
                let chart = dictionary::chart(FfdVersion::V1_2, 3, 0);
                let mut root = Nest::new(&whole, 0, &bytes, HEADER, chart);
                let (mut items, mut out) = (Items::default(), Violations::new());
                walk::<true>(&mut root, 0, &mut Findings { items: &mut items, out: &mut out });
                let found = root.get(tag).unwrap();
                assert_eq!(found.bytes(), value);
                assert_eq!(root.amount(tag), found.vln().ok(), "{len} bytes");
                assert_eq!(root.code(tag), found.u8().ok(), "{len} bytes");
                assert_eq!(root.decimal(tag), found.fvln().ok(), "{len} bytes");
                known += usize::from(root.amount(tag).is_some());
            }
        }
        assert_eq!(known, 27);
    }

    /// Why: what a glance lets pass is never seen by the rules of requisites; so it must let pass only what they would.
    /// Every row of every table, with every byte, with values of many lengths, once and twice.
    #[test]
    fn a_glance_settles_only_what_the_rules_would_let_pass() {
        let mut values: Vec<Vec<u8>> = (0..=255).map(|byte| [byte].into()).collect();
        for len in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 64, 257] {
            values.push(alloc::vec![b'0'; len]);
        }
        let (mut found, mut clean) = (0, 0);
        for version in FfdVersion::ALL {
            let context = CheckContext::new(version);
            for form in 1..=84_u8 {
                let parents = (0..2200).filter(|&parent| dictionary::table(version, form, parent).is_some());
                for parent in parents {
                    for row in dictionary::table(version, form, parent).unwrap_or_default() {
                        // Under 84 and in old versions stand the same rows as elsewhere: a few values show it.
                        let step =
                            if version == FfdVersion::V1_2 && matches!(form, 3 | 5 | 82) { 1 } else { 41 };
                        for value in values.iter().rev().step_by(step) {
                            for times in 1..=2 {
                                let inside = tlv(row.tag.0, value).repeat(times);
                                let body = if parent == 0 { inside } else { tlv(parent, &inside) };
                                let bytes = tlv(form.into(), &body);
                                let Ok(view) = DocumentView::new_checked(&bytes) else { continue };
                                let glanced = check_by::<true>(&view, &context, Violations::new());
                                assert_eq!(
                                    glanced,
                                    check_by::<false>(&view, &context, Violations::new()),
                                    "{} of {form} in {parent}, {version}: {value:?}",
                                    row.tag.0
                                );
                                let wrong =
                                    |it: &Violation| it.tag == Some(row.tag) && it.actual != Datum::Absent;
                                if glanced.iter().any(wrong) { found += 1 } else { clean += 1 }
                            }
                        }
                    }
                }
            }
        }
        assert!(found > 10_000 && clean > 10_000, "{found} {clean}");
    }
}
