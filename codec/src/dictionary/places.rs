//! What the tables say of a tag in a place, in a form that the fused walk can ask for every TLV.
//!
//! Shape: a table of the order (version, form, parent) is a row of numbers, one a tag, each the number of a [`Place`];
//! place 0 is the one that no table knows. So one question costs two loads, and
//! neither of them stands in the chain from one TLV to the next. A receipt of ФФД 1.2 touches about a dozen lines of cache.
//! Everything is built while the crate is compiled, from the tables beside this file; there is nothing to keep in step.
//! Invariant: a place says the same as `lookup` and `requirement` (test `places_say_what_the_dictionary_says`).

use super::{Entry, Kind, generated, span};
use crate::{FfdVersion, Tag};

/// Tag numbers that the tables have room for.
const WIDTH: usize = generated::STARTS.len() - 1;
/// Tables, and one without rows for nests that no table describes.
const TABLES: usize = generated::CHARTS.len() + 1;
/// Rows of all tables and the place that none of them knows, rounded up so that a mask keeps every number in bounds.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler alone")]
const PLACES: usize = {
    let mut sum: usize = 1;
    let mut table = 0;
    while table < generated::CHARTS.len() {
        sum += generated::CHARTS[table].rows.len();
        table += 1;
    }
    sum.next_power_of_two()
};

/// What has to be done about a TLV beside measuring it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Step {
    /// Nothing.
    Pass,
    /// Its children follow.
    Nest,
    /// It tells the version of the document.
    Version,
    /// No table knows it here.
    Stray,
}

/// One requisite in one place.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Place {
    /// The bit of a tag that may stand once under its parent; none for one that may repeat.
    pub(crate) once: u64,
    /// Shortest value in bytes.
    pub(crate) len_min: u16,
    /// How much longer it may be.
    pub(crate) len_span: u16,
    /// 0 if an empty value is right as well, as of numbers that registers leave empty.
    pub(crate) never_empty: u8,
    /// How the value is read.
    pub(crate) kind: Kind,
    /// What follows.
    pub(crate) step: Step,
    /// Column of the table of its children, [`NO_COLUMN`] where there is none.
    pub(crate) column: u8,
}

// Four to a line of the cache.
const _: () = assert!(size_of::<Place>() == 16);

/// No table describes the children.
pub(crate) const NO_COLUMN: u8 = u8::MAX;

/// A requisite that the table does not know.
const STRAY: Place = Place {
    once: 0,
    len_min: 0,
    len_span: u16::MAX,
    never_empty: 1,
    kind: Kind::Bytes,
    step: Step::Stray,
    column: NO_COLUMN,
};

impl Place {
    /// Whether a value of so many bytes is as long as it should be.
    #[inline]
    pub(crate) const fn allows(&self, len: u16) -> bool {
        (len.wrapping_sub(self.len_min) <= self.len_span) | ((len | self.never_empty as u16) == 0)
    }

    /// The same limits for a requisite in a place where no table puts it.
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
        let never_empty = if empty_too { 0 } else { 1 };
        let step = if matches!(entry.kind, Kind::Stlv) { Step::Nest } else { Step::Pass };
        Self { once: 0, len_min, len_span, never_empty, kind: entry.kind, step, column: NO_COLUMN }
    }
}

/// Numbers of places by tag.
pub(crate) type Codes = [u16; WIDTH];

struct Dense {
    codes: [Codes; TABLES],
    places: [Place; PLACES],
}

static DENSE: Dense = build();

/// The table of one nest.
#[derive(Copy, Clone)]
pub(crate) struct Table {
    number: u8,
}

impl Table {
    /// That of nests without a table.
    const UNKNOWN: usize = TABLES - 1;

    /// What [`place`] is asked with.
    pub(crate) fn codes(self) -> &'static Codes {
        // The last row is empty.
        DENSE.codes.get(usize::from(self.number)).unwrap_or(&DENSE.codes[Self::UNKNOWN])
    }

    /// False where no table is known, so that nobody knows what is allowed.
    pub(crate) fn charted(self) -> bool {
        usize::from(self.number) < Self::UNKNOWN
    }
}

/// What a table says of a tag.
#[inline]
pub(crate) fn place(codes: &'static Codes, tag: u16) -> &'static Place {
    let slot = usize::from(tag.wrapping_sub(generated::FIRST_TAG));
    let code = codes.get(slot).copied().unwrap_or(0);
    // The mask stays in bounds, so that nothing is compared here.
    DENSE.places.get(usize::from(code) % PLACES).unwrap_or(&STRAY)
}

/// The cells of the dictionary, a row a form of a version.
static CELL_ROWS: &[[u8; generated::PARENTS]] = generated::CELLS.as_chunks().0;

/// The tables of all nests of one form in one version.
#[derive(Copy, Clone)]
pub(crate) struct TableSet(Option<&'static [u8; generated::PARENTS]>);

impl TableSet {
    /// Those of a form; of a form without tables every nest is without one.
    pub(crate) fn new(version: FfdVersion, form: u8) -> Self {
        let form = generated::FORM_COLUMNS.get(usize::from(form)).copied().map_or(usize::MAX, usize::from);
        let row = (version as usize).wrapping_mul(generated::FORMS).wrapping_add(form);
        let cells = if form < generated::FORMS { CELL_ROWS.get(row) } else { None };
        Self(cells)
    }

    /// The table of the document itself.
    pub(crate) fn document(self) -> Table {
        // The document itself has column 0.
        self.nest(0)
    }

    /// The table of a nest by the column of its place.
    pub(crate) fn nest(self, column: u8) -> Table {
        let number = self.0.and_then(|cells| cells.get(usize::from(column))).copied();
        Table { number: number.unwrap_or(u8::MAX) }
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
const fn build() -> Dense {
    let mut dense = Dense { codes: [[0; WIDTH]; TABLES], places: [STRAY; PLACES] };
    let mut next = 1;
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
            while row < rows.len() {
                let tag = rows[row].tag.0;
                let entry = meaning(tag, place_parent, version);
                let mut place = Place::of(entry);
                if !rows[row].repeats && !entry.repeatable {
                    assert!(bit < u64::BITS, "a table has more single tags than there are bits");
                    place.once = 1 << bit;
                    bit += 1;
                }
                if parent == 0 && tag == crate::tags::FFD_VERSION.0 {
                    place.step = Step::Version;
                }
                place.column = generated::PARENT_COLUMNS
                    [generated::STARTS[(tag - generated::FIRST_TAG) as usize] as usize];
                dense.codes[table][(tag - generated::FIRST_TAG) as usize] = next as u16;
                dense.places[next] = place;
                next += 1;
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
                        let place = place(table.codes(), tag);
                        let context = format!("{version} form {form} parent {parent} tag {tag}");
                        let Some(row) = requirement(version, form, parent, Tag(tag)) else {
                            assert_eq!(place.step, Step::Stray, "{context}");
                            continue;
                        };
                        known += 1;
                        let entry = lookup(Tag(tag), place_parent, version).expect("rows have entries");
                        assert_eq!(place.kind, entry.kind, "{context}");
                        assert_eq!(place.once == 0, row.repeats || entry.repeatable, "{context}: repeats");
                        let step = match entry.kind {
                            _ if parent == 0 && Tag(tag) == tags::FFD_VERSION => Step::Version,
                            Kind::Stlv => Step::Nest,
                            _ => Step::Pass,
                        };
                        assert_eq!(place.step, step, "{context}");
                        assert_eq!(place.column, TableSet::column(tag), "{context}");
                        let other = Place::of(entry);
                        for len in 0..600 {
                            assert_eq!(place.allows(len), other.allows(len), "{context}: {len} bytes");
                        }
                    }
                }
            }
        }
        assert!(known > 2500, "{known} rows");
    }

    /// Why: two tags with one bit would be taken for repeats of each other.
    #[test]
    fn single_tags_of_a_table_have_bits_of_their_own() {
        for number in 0..TABLES {
            let table = Table { number: u8::try_from(number).expect("few tables") };
            let mut seen = 0_u64;
            for tag in 1000..2200 {
                let once = place(table.codes(), tag).once;
                assert_eq!(seen & once, 0, "table {number} tag {tag}");
                seen |= once;
            }
        }
    }
}
