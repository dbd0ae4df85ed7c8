//! What the tables say of a tag in a place, in a form that the fused walk can ask for every TLV.
//!
//! Shape: a table of the order (version, form, parent) is a row of bytes, one for the lower 11 bits of a tag, each the number of
//! a [`Place`] among those of the table, which says whose it is; number 0 is the place of nobody. What is said of a place lies in
//! columns, each as wide as its kind of number: so a number is compared where it lies, and the processor finds it by the number
//! of the place without an addition of ours. None of these loads stands in the chain from one TLV to the next.
//! All of a table lies in one piece, so that the walk keeps one pointer.
//! Everything is built while the crate is compiled, from the tables beside this file; there is nothing to keep in step.
//! Invariants: a place says the same as `lookup` and `requirement` (test `places_say_what_the_dictionary_says`), and of its own
//! tag alone (test `no_other_tag_passes_for_the_one_of_its_slot`).

use super::{Entry, Kind, generated, span};
use crate::value::VLN_LEN_MAX;
use crate::{FfdVersion, Tag};

/// Slots of a table: a tag stands in the one of its lower bits, so that no tag needs a comparison to be looked for.
const SLOTS: usize = 2048;
/// Tables, and one without rows for nests that no table describes.
const TABLES: usize = generated::CHARTS.len() + 1;
/// Places of a table: its rows and the one it does not know. A mask keeps every number below it.
const PLACES: usize = 128;

/// No table describes the children.
pub(crate) const NO_COLUMN: u8 = u8::MAX;

/// Longer than any value inside a document.
const LEN_NEVER: u16 = u16::MAX;

/// Of a requisite that the table does not know: no TLV is as long as this says.
const STRAY: Head = Head::new(u16::MAX, LEN_NEVER);

/// Tag and length of a TLV as one number, the tag above: a comparison asks for both.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head(u32);

impl Head {
    #[inline(always)]
    pub(crate) const fn new(tag: u16, len: u16) -> Self {
        Self((tag as u32) << 16 | len as u32)
    }

    /// Four bytes as they stand on the wire.
    #[inline(always)]
    pub(crate) const fn of_wire(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes).rotate_left(16))
    }

    #[inline(always)]
    pub(crate) const fn tag(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    pub(crate) const fn len(self) -> u16 {
        (self.0 & 0xFFFF) as u16
    }
}

/// One requisite in one place: what the table of a nest has in the slot of a tag.
#[derive(Copy, Clone)]
pub(crate) struct Place {
    table: &'static Table,
    /// Below [`PLACES`].
    number: u8,
}

impl Place {
    #[inline(always)]
    fn of<T: Copy>(self, column: &[T; PLACES], stray: T) -> T {
        column.get(usize::from(self.number)).copied().unwrap_or(stray)
    }

    #[inline(always)]
    fn plain_min(self) -> Head {
        self.of(&self.table.plain_min, STRAY)
    }

    #[inline(always)]
    pub(crate) fn tag(self) -> u16 {
        self.plain_min().tag()
    }

    /// Whether it is the place of a tag, and not of another one in its slot.
    #[inline(always)]
    pub(crate) fn is_of(self, tag: u16) -> bool {
        // The tag of `STRAY` has no row either.
        tag != STRAY.tag() && self.tag() == tag
    }

    #[inline(always)]
    fn span(self) -> u32 {
        self.of(&self.table.spans, 0)
    }

    /// The bit of a tag that may stand once under its parent; none for one that may repeat.
    #[inline(always)]
    pub(crate) fn once(self) -> u64 {
        self.of(&self.table.once, 0)
    }

    /// How the value is read.
    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        self.of(&self.table.kinds, Kind::Bytes)
    }

    /// Column of the table of its children, [`NO_COLUMN`] where there is none.
    #[inline(always)]
    pub(crate) fn column(self) -> u8 {
        self.of(&self.table.columns, NO_COLUMN)
    }

    /// How a TLV fits into this place, for [`Self::is_plain`] and [`Self::is_nest`].
    #[inline(always)]
    pub(crate) fn over(self, head: Head) -> Over {
        Over(head.0.wrapping_sub(self.plain_min().0))
    }

    /// Whether there is nothing to do about a TLV but to show it: the tag is the one of this place, the length one that it may
    /// have. A number or a decimal has eight bytes at most then.
    ///
    /// Tags of one slot are 2,048 apart or more, so that no difference of lengths makes up for one of tags.
    #[inline(always)]
    pub(crate) fn is_plain(self, over: Over) -> bool {
        over.0 <= self.span()
    }

    /// Whether it is the nest of this place, and no longer than it may be.
    #[inline(always)]
    pub(crate) fn is_nest(self, over: Over) -> bool {
        matches!(self.kind(), Kind::Stlv) && over.0.wrapping_add(LEN_NEVER as u32) <= self.span()
    }
}

/// By how much the head of a TLV is above the shortest that is plain in a place; far above any length for another tag, and for a value that is shorter.
#[derive(Copy, Clone)]
pub(crate) struct Over(u32);

/// How long a value may be.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Limits {
    /// Shortest value in bytes.
    len_min: u16,
    /// How much longer it may be.
    len_span: u16,
    /// Whether an empty value is right as well, as of numbers that registers leave empty.
    empty_too: bool,
}

impl Limits {
    /// Those of a meaning, wherever it stands.
    #[must_use]
    pub(crate) const fn of(entry: &Entry) -> Self {
        let (max, fixed) = (entry.len_max, entry.fixed);
        let (len_min, len_span) = match entry.kind {
            _ if max == Entry::NO_LIMIT => (0, u16::MAX),
            _ if fixed => (max, 0),
            Kind::Fvln => (1, max.saturating_sub(1)),
            _ => (0, max),
        };
        let empty_too =
            matches!(entry.kind, Kind::Byte | Kind::U16 | Kind::U32 | Kind::UnixTime | Kind::Bits);
        Self { len_min, len_span, empty_too }
    }

    /// Whether a value of so many bytes is as long as it should be.
    pub(crate) const fn allow(self, len: u16) -> bool {
        len.wrapping_sub(self.len_min) <= self.len_span || (len == 0 && self.empty_too)
    }
}

/// The table of one nest.
pub(crate) struct Table {
    /// Numbers of places by the lower bits of a tag.
    codes: [u8; SLOTS],
    /// As [`Place::once`].
    once: [u64; PLACES],
    /// The [`Head`] of the shortest value that is nothing to look at twice; its length is longer than any for nests, for the
    /// version of the document and for what the table does not know.
    plain_min: [Head; PLACES],
    /// How much longer it may be; of a nest, how long.
    spans: [u32; PLACES],
    kinds: [Kind; PLACES],
    columns: [u8; PLACES],
}

impl Table {
    const BLANK: Self = Self {
        codes: [0; SLOTS],
        once: [0; PLACES],
        plain_min: [STRAY; PLACES],
        spans: [0; PLACES],
        kinds: [Kind::Bytes; PLACES],
        columns: [NO_COLUMN; PLACES],
    };

    /// The place of the slot of a tag, which may be that of another tag: [`Place::is_plain`] tells. Above the tag
    /// stands what it will: the first four bytes of a TLV do.
    #[inline(always)]
    pub(crate) fn glance(&'static self, wire: u32) -> Place {
        let code = self.codes.get(wire as usize % SLOTS).copied().unwrap_or(0);
        Place { table: self, number: code % PLACES as u8 }
    }

    /// What the table says of a tag.
    #[cfg(test)]
    fn place(&'static self, tag: u16) -> Place {
        let place = self.glance(u32::from(tag));
        if place.tag() == tag { place } else { Place { number: 0, ..place } }
    }

    /// Whether the table has a row for a tag.
    pub(crate) fn knows(&'static self, tag: u16) -> bool {
        self.glance(u32::from(tag)).is_of(tag)
    }

    /// False where no table is known, so that nobody knows what is allowed.
    pub(crate) fn charted(&'static self) -> bool {
        let [.., blank] = &DENSE;
        !core::ptr::eq(self, blank)
    }
}

static DENSE: [Table; TABLES] = build();

/// The cells of the dictionary, a row a form of a version.
static CELL_ROWS: &[[u8; generated::PARENTS]] = generated::CELLS.as_chunks().0;

/// The tables of all nests of one form in one version.
#[derive(Copy, Clone)]
pub(crate) struct TableSet(&'static [u8; generated::PARENTS]);

/// The row of a form that no table describes.
static NO_CELLS: [u8; generated::PARENTS] = [NO_COLUMN; generated::PARENTS];

impl TableSet {
    /// Those of a form; of a form without tables every nest is without one.
    pub(crate) fn new(version: FfdVersion, form: u8) -> Self {
        let form = generated::FORM_COLUMNS.get(usize::from(form)).copied().map_or(usize::MAX, usize::from);
        let row = (version as usize).wrapping_mul(generated::FORMS).wrapping_add(form);
        let cells = if form < generated::FORMS { CELL_ROWS.get(row) } else { None };
        Self(cells.unwrap_or(&NO_CELLS))
    }

    /// The table of the document itself.
    pub(crate) fn document(self) -> &'static Table {
        // The document itself has column 0.
        self.nest(0)
    }

    /// The table of a nest by the column of its place.
    #[inline(always)]
    pub(crate) fn nest(self, column: u8) -> &'static Table {
        let number = self.0.get(usize::from(column)).copied();
        let [.., blank] = &DENSE;
        number.and_then(|number| DENSE.get(usize::from(number))).unwrap_or(blank)
    }

    /// Column of a tag whose place no table knows.
    pub(crate) fn column(tag: u16) -> u8 {
        span(Tag(tag))
            .and_then(|(first, _)| generated::PARENT_COLUMNS.get(first))
            .copied()
            .unwrap_or(NO_COLUMN)
    }
}

/// `lookup`, for the compiler.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler alone")]
const fn meaning(tag: u16, parent: u16, version: FfdVersion) -> &'static Entry {
    let slot = (tag - generated::FIRST_TAG) as usize;
    let (mut at, end) = (generated::STARTS[slot] as usize, generated::STARTS[slot + 1] as usize);
    let (mut best, mut best_fit) = (at, 0);
    while at < end {
        let entry = &generated::ENTRIES[at];
        let mut stands = false;
        let mut place = 0;
        while place < entry.parents.len() {
            stands |= entry.parents[place] == parent;
            place += 1;
        }
        let ended = match entry.until {
            Some(last) => version as u8 > last as u8,
            None => false,
        };
        let covers = entry.since as u8 <= version as u8 && !ended;
        let fit = ((stands as u8) << 2) | ((covers as u8) << 1) | !entry.parents.is_empty() as u8;
        if fit > best_fit {
            (best, best_fit) = (at, fit);
        }
        at += 1;
    }
    &generated::ENTRIES[best]
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler alone, where a wrong index is an error of the build"
)]
const fn build() -> [Table; TABLES] {
    let mut dense = [Table::BLANK; TABLES];
    let (forms, columns) = (generated::FORMS, generated::PARENTS);
    let mut form_of = [0_u8; generated::FORMS];
    let mut form = 0;
    while form < 256 {
        if generated::FORM_COLUMNS[form] != NO_COLUMN {
            form_of[generated::FORM_COLUMNS[form] as usize] = form as u8;
        }
        form += 1;
    }
    let mut parent_of = [0_u16; generated::PARENTS];
    let mut entry = 0;
    while entry < generated::ENTRIES.len() {
        if generated::PARENT_COLUMNS[entry] != NO_COLUMN {
            parent_of[generated::PARENT_COLUMNS[entry] as usize] = generated::ENTRIES[entry].tag.0;
        }
        entry += 1;
    }
    let mut built = [false; TABLES];
    let mut cell = 0;
    while cell < generated::CELLS.len() {
        let table = generated::CELLS[cell] as usize;
        if table < generated::CHARTS.len() && !built[table] {
            built[table] = true;
            let version = FfdVersion::ALL[cell / columns / forms];
            let form = form_of[cell / columns % forms];
            let parent = parent_of[cell % columns];
            let place_parent = if parent == 0 { form as u16 } else { parent };
            let rows = generated::CHARTS[table].rows;
            assert!(rows.len() < PLACES, "a table has more rows than places");
            let (mut row, mut bit) = (0, 0);
            while row < rows.len() {
                let tag = rows[row].tag.0;
                let entry = meaning(tag, place_parent, version);
                let limits = Limits::of(entry);
                let mut once = 0;
                if !rows[row].repeats && !entry.repeatable {
                    assert!(bit < u64::BITS, "a table has more single tags than there are bits");
                    once = 1 << bit;
                    bit += 1;
                }
                let version = parent == 0 && tag == crate::tags::FFD_VERSION.0;
                let nest = matches!(entry.kind, Kind::Stlv);
                assert!(!nest || limits.len_min == 0, "nests have a length at most");
                assert!(
                    !version || matches!(entry.kind, Kind::Byte),
                    "the version of a document is one byte"
                );
                let short = limits.len_min + limits.len_span <= VLN_LEN_MAX as u16;
                let number = entry.kind.is_number() || matches!(entry.kind, Kind::Fvln);
                assert!(short || !number, "a number has eight bytes at most");
                let len_min = if version || nest { LEN_NEVER } else { limits.len_min };
                let plain_min = Head::new(tag, len_min);
                let span = if version { 0 } else { limits.len_span };
                let column = generated::PARENT_COLUMNS
                    [generated::STARTS[(tag - generated::FIRST_TAG) as usize] as usize];
                let code = &mut dense[table].codes[tag as usize % SLOTS];
                assert!(*code == 0, "two tags in one slot");
                *code = row as u8 + 1;
                dense[table].once[row + 1] = once;
                dense[table].plain_min[row + 1] = plain_min;
                dense[table].spans[row + 1] = span as u32;
                dense[table].kinds[row + 1] = entry.kind;
                dense[table].columns[row + 1] = column;
                row += 1;
            }
        }
        cell += 1;
    }
    dense
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::{lookup, requirement};
    use crate::tags;

    /// The document, and every tag whose children have a table.
    fn parents() -> impl Iterator<Item = u16> {
        [0].into_iter().chain((1000..2200).filter(|&tag| TableSet::column(tag) != NO_COLUMN))
    }

    /// Why: a table that several versions and nests share is built for one of them, so the others must mean the same,
    /// and no tag may be known here that the dictionary does not know there, nor the other way round.
    #[test]
    fn places_say_what_the_dictionary_says() {
        let mut known = 0;
        for version in FfdVersion::ALL {
            for form in 0..=90 {
                let set = TableSet::new(version, form);
                for parent in parents() {
                    let table = set.nest(if parent == 0 { 0 } else { TableSet::column(parent) });
                    assert_eq!(table.charted(), super::super::table(version, form, parent).is_some());
                    let place_parent = if parent == 0 { u16::from(form) } else { parent };
                    for tag in (990..2300).chain([0, 1, u16::MAX]) {
                        let place = table.place(tag);
                        let context = format!("{version} form {form} parent {parent} tag {tag}");
                        let Some(row) = requirement(version, form, parent, Tag(tag)) else {
                            assert!(!table.knows(tag), "{context}");
                            assert!(place.kind() != Kind::Stlv, "{context}");
                            continue;
                        };
                        known += 1;
                        let entry = lookup(Tag(tag), place_parent, version).expect("rows have entries");
                        assert_eq!(place.kind(), entry.kind, "{context}");
                        assert_eq!(place.once() == 0, row.repeats || entry.repeatable, "{context}: repeats");
                        assert!(table.knows(tag), "{context}");
                        let (nest, version) =
                            (entry.kind == Kind::Stlv, parent == 0 && Tag(tag) == tags::FFD_VERSION);
                        assert_eq!(place.column(), TableSet::column(tag), "{context}");
                        let limits = Limits::of(entry);
                        for len in (0..600).chain([65_527]) {
                            let allowed = limits.allow(len);
                            let over = place.over(Head::new(tag, len));
                            assert_eq!(place.is_nest(over), nest && allowed, "{context}: {len} bytes");
                            // What passes at a glance is right; of the rest only empty numbers are looked at twice.
                            let plain = allowed && !nest && !version && (len > 0 || limits.len_min == 0);
                            assert_eq!(place.is_plain(over), plain, "{context}: {len} bytes");
                            // Whatever stands above the tag.
                            let place = table.glance(u32::from(tag) | u32::from(len) << 16);
                            assert_eq!(place.is_plain(place.over(Head::new(tag, len))), plain, "{context}");
                        }
                    }
                }
            }
        }
        assert!(known > 2500, "{known} rows");
    }

    /// Why: a slot is shared by 32 tags, and only one of them may be taken for the one that stands in it.
    #[test]
    fn no_other_tag_passes_for_the_one_of_its_slot() {
        for (number, table) in DENSE.iter().enumerate() {
            for tag in (0..=u16::MAX).filter(|&tag| !table.knows(tag)) {
                let place = table.glance(u32::from(tag));
                for head in [0, 1, 8, 1000, 65_527].map(|len| Head::new(tag, len)) {
                    let over = place.over(head);
                    assert!(!place.is_plain(over) && !place.is_nest(over), "table {number} tag {tag}");
                }
            }
        }
    }

    /// Why: two tags with one bit would be taken for repeats of each other.
    #[test]
    fn single_tags_of_a_table_have_bits_of_their_own() {
        for (number, table) in DENSE.iter().enumerate() {
            let mut seen = 0_u64;
            for tag in 1000..2200 {
                let once = table.place(tag).once();
                assert_eq!(seen & once, 0, "table {number} tag {tag}");
                seen |= once;
            }
        }
    }
}
