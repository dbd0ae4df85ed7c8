//! What the tables say of a tag in a place, in a form that the fused walk can ask for every TLV.
//!
//! Shape: a table of the order (version, form, parent) is a row of bytes, one for each tag up to the highest that is known, each
//! the number of a [`Place`] among those of the table; number 0 is the place of nobody. What is said of a place lies in
//! columns, each as wide as its kind of number: so a number is compared where it lies, and the processor finds it by the number
//! of the place without an addition of ours; numbers of places are bytes, and columns as long as there are bytes, so that none
//! is too high. None of these loads stands in the chain from one TLV to the next.
//! All of a table lies in one piece, so that the walk keeps one pointer.
//! Everything is built while the crate is compiled, from the tables beside this file; there is nothing to keep in step.
//! Invariants: a place says the same as `lookup` and `requirement` (test `places_say_what_the_dictionary_says`), and nobody's
//! place lets nothing pass (test `a_tag_without_a_row_passes_in_no_length`).

use super::{Entry, Kind, generated, span};
use crate::value::VLN_LEN_MAX;
use crate::{FfdVersion, Tag};

/// Tags of a table: up to the highest that the dictionary knows.
const TAGS: usize = generated::FIRST_TAG as usize + generated::STARTS.len() - 1;
/// Tables, and one without rows for nests that no table describes.
const TABLES: usize = generated::CHARTS.len() + 1;
/// Places of a table: all that a byte can tell apart.
const PLACES: usize = 256;
/// The first place that is not one of a number; those of numbers stand before it, behind that of nobody.
const OTHERS: u8 = 128;

/// No table describes the children.
pub(crate) const NO_COLUMN: u8 = u8::MAX;

/// What makes every length too long, as [`Table::min_negated`] has it: no span reaches so far.
const NEVER: u32 = 1 << 16;

/// One requisite in one place: what the table of a nest has for a tag.
#[derive(Copy, Clone)]
pub(crate) struct Place {
    table: &'static Table,
    number: u8,
}

impl Place {
    #[inline(always)]
    fn of<T: Copy>(self, column: &[T; PLACES], stray: T) -> T {
        column.get(usize::from(self.number)).copied().unwrap_or(stray)
    }

    /// Whether the table has a row for the tag.
    #[inline(always)]
    pub(crate) const fn is_known(self) -> bool {
        self.number != 0
    }

    /// As [`Kind::is_number`] says of the kind; of nobody's place nothing.
    #[inline(always)]
    pub(crate) const fn is_number(self) -> bool {
        self.number < OTHERS
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

    /// What is to be known of it as a nest.
    #[inline(always)]
    pub(crate) fn nest(self) -> NestPlace {
        self.of(&self.table.nests, NestPlace::NONE)
    }

    /// Whether there is nothing to do about a TLV of so many bytes but to show it. A number or a decimal has eight bytes at most
    /// then.
    #[inline(always)]
    pub(crate) fn is_plain(self, len: u16) -> bool {
        u32::from(len).wrapping_add(self.of(&self.table.min_negated, NEVER)) <= self.of(&self.table.spans, 0)
    }

    /// Whether it is a nest, and so many bytes are not too many for it.
    #[inline(always)]
    pub(crate) fn is_nest(self, len: usize) -> bool {
        len < self.nest().len_end as usize
    }
}

/// What is to be known of a nest, in a column of its own: the loop for plain TLVs would keep in registers what it shares with the
/// walk around it.
#[derive(Copy, Clone)]
pub(crate) struct NestPlace {
    /// The shortest value that is too long; 0 for what is no nest.
    len_end: u32,
    /// The same of a nest that may stand more than once under its parent; 0 for one that may not.
    pub(crate) again: u32,
    pub(crate) tag: u16,
    /// Of the table of its children, [`NO_COLUMN`] where there is none.
    pub(crate) column: u8,
}

impl NestPlace {
    const NONE: Self = Self::of(u16::MAX, NO_COLUMN);

    /// Of a nest whose place was not asked.
    pub(crate) const fn of(tag: u16, column: u8) -> Self {
        Self { len_end: 0, again: 0, tag, column }
    }
}

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
    /// Numbers of places by tag.
    numbers: [u8; TAGS],
    /// As [`Place::once`].
    once: [u64; PLACES],
    /// The shortest length that is nothing to look at twice, negated: added to a length it leaves how much longer that is. [`NEVER`] for nests, for
    /// the version of the document and for what the table does not know.
    min_negated: [u32; PLACES],
    /// How much longer it may be, at most 65,535.
    spans: [u32; PLACES],
    kinds: [Kind; PLACES],
    nests: [NestPlace; PLACES],
    /// As [`Table::masks`].
    masks: [u64; 16],
}

impl Table {
    const BLANK: Self = Self {
        numbers: [0; TAGS],
        once: [0; PLACES],
        min_negated: [NEVER; PLACES],
        spans: [0; PLACES],
        kinds: [Kind::Bytes; PLACES],
        nests: [NestPlace::NONE; PLACES],
        masks: masks(),
    };

    /// The place of a tag; `None` for one above all that the dictionary knows.
    #[inline(always)]
    pub(crate) fn find(&'static self, tag: u16) -> Option<Place> {
        let number = *self.numbers.get(usize::from(tag))?;
        Some(Place { table: self, number })
    }

    /// The place of a tag, that of nobody where the table does not know it.
    #[inline(always)]
    pub(crate) fn place(&'static self, tag: u16) -> Place {
        self.find(tag).unwrap_or(Place { table: self, number: 0 })
    }

    /// The bits of a value of so many bytes in the eight that begin with it; of sixteen lengths, so that four bits of one
    /// find theirs. The same in every table: they are found from the pointer that the walk keeps.
    #[inline(always)]
    pub(crate) const fn masks(&'static self) -> &'static [u64; 16] {
        &self.masks
    }

    /// Whether the table has a row for a tag.
    pub(crate) fn knows(&'static self, tag: u16) -> bool {
        self.place(tag).is_known()
    }

    /// False where no table is known, so that nobody knows what is allowed.
    pub(crate) fn charted(&'static self) -> bool {
        let [.., blank] = &DENSE;
        !core::ptr::eq(self, blank)
    }
}

static DENSE: [Table; TABLES] = build();

/// A table for each column of parents.
type Nests = [&'static Table; generated::PARENTS];

/// Forms in all versions, and one without tables.
const ROWS: usize = FfdVersion::ALL.len() * generated::FORMS + 1;

/// The tables of every form in every version.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler alone")]
static FORMS: [Nests; ROWS] = {
    let mut rows = [[&DENSE[TABLES - 1]; generated::PARENTS]; ROWS];
    let mut cell = 0;
    while cell < generated::CELLS.len() {
        let table = generated::CELLS[cell] as usize;
        if table < generated::CHARTS.len() {
            rows[cell / generated::PARENTS][cell % generated::PARENTS] = &DENSE[table];
        }
        cell += 1;
    }
    rows
};

/// The tables of all nests of one form in one version.
#[derive(Copy, Clone)]
pub(crate) struct TableSet(&'static Nests);

impl TableSet {
    /// Those of a form; of a form without tables every nest is without one.
    pub(crate) fn new(version: FfdVersion, form: u8) -> Self {
        let form = generated::FORM_COLUMNS.get(usize::from(form)).copied().map_or(usize::MAX, usize::from);
        let row = (version as usize).wrapping_mul(generated::FORMS).wrapping_add(form);
        let [.., blank] = &FORMS;
        Self(if form < generated::FORMS { FORMS.get(row).unwrap_or(blank) } else { blank })
    }

    /// The table of the document itself.
    pub(crate) fn document(self) -> &'static Table {
        // The document itself has column 0.
        self.nest(0)
    }

    /// The table of a nest by the column of its place.
    #[inline(always)]
    pub(crate) fn nest(self, column: u8) -> &'static Table {
        let [.., blank] = &DENSE;
        self.0.get(usize::from(column)).copied().unwrap_or(blank)
    }

    /// Column of a tag whose place no table knows.
    pub(crate) fn column(tag: u16) -> u8 {
        span(Tag(tag))
            .and_then(|(first, _)| generated::PARENT_COLUMNS.get(first))
            .copied()
            .unwrap_or(NO_COLUMN)
    }
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler alone")]
const fn masks() -> [u64; 16] {
    let mut masks = [0; 16];
    let mut len = 1;
    while len <= VLN_LEN_MAX {
        masks[len] = masks[len - 1] << 8 | 0xFF;
        len += 1;
    }
    masks
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
            let (mut row, mut bit) = (0, 0);
            // Places are given in the order of the rows: those of numbers, and the others.
            let (mut number, mut other) = (1, OTHERS as usize);
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
                let fits = limits.len_min + limits.len_span <= VLN_LEN_MAX as u16;
                let read = entry.kind.is_number() || matches!(entry.kind, Kind::Fvln);
                assert!(fits || !read, "a number has eight bytes at most");
                let min_negated =
                    if version || nest { NEVER } else { (limits.len_min as u32).wrapping_neg() };
                let column = generated::PARENT_COLUMNS
                    [generated::STARTS[(tag - generated::FIRST_TAG) as usize] as usize];
                let place = if entry.kind.is_number() { &mut number } else { &mut other };
                let at = *place;
                *place += 1;
                let this = &mut dense[table];
                assert!(this.numbers[tag as usize] == 0, "a tag has two rows");
                this.numbers[tag as usize] = at as u8;
                this.once[at] = once;
                this.min_negated[at] = min_negated;
                this.spans[at] = if version { 0 } else { limits.len_span as u32 };
                this.kinds[at] = entry.kind;
                let len_end = if nest { limits.len_span as u32 + 1 } else { 0 };
                let again = if once == 0 { len_end } else { 0 };
                this.nests[at] = NestPlace { len_end, again, tag, column };
                row += 1;
            }
            assert!(number <= OTHERS as usize && other <= PLACES, "a table has more rows than places");
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
                        assert_eq!(place.is_number(), entry.kind.is_number(), "{context}");
                        assert_eq!(place.once() == 0, row.repeats || entry.repeatable, "{context}: repeats");
                        assert!(table.knows(tag), "{context}");
                        let (nest, version) =
                            (entry.kind == Kind::Stlv, parent == 0 && Tag(tag) == tags::FFD_VERSION);
                        assert_eq!(place.nest().column, TableSet::column(tag), "{context}");
                        let limits = Limits::of(entry);
                        for len in (0..600).chain([65_531, u16::MAX]) {
                            let allowed = limits.allow(len);
                            assert_eq!(
                                place.is_nest(usize::from(len)),
                                nest && allowed,
                                "{context}: {len} bytes"
                            );
                            // What passes at a glance is right; of the rest only empty numbers are looked at twice.
                            let plain = allowed && !nest && !version && (len > 0 || limits.len_min == 0);
                            assert_eq!(place.is_plain(len), plain, "{context}: {len} bytes");
                        }
                    }
                }
            }
        }
        assert!(known > 2500, "{known} rows");
    }

    /// Why: what no row describes has to be looked at twice, whatever its length.
    #[test]
    fn a_tag_without_a_row_passes_in_no_length() {
        for (number, table) in DENSE.iter().enumerate() {
            for tag in (0..=u16::MAX).filter(|&tag| !table.knows(tag)) {
                let place = table.place(tag);
                for len in [0, 1, 8, 1000, 65_531, u16::MAX] {
                    let passes = place.is_plain(len) || place.is_nest(usize::from(len));
                    assert!(!passes, "table {number} tag {tag}");
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
