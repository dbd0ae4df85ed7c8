//! What a tag means: the dictionary of requisites, the tables of documents and the lists of values.
//!
//! Everything here is a static table written by `cargo run -p ofd-dictgen` from the files of `codec/dictionary/`
//! into `dictionary/generated.rs`. A number alone does not name a requisite: 1082, 1115, 1119, 1120 and 1125 were
//! given anew in 2025, and 1213 has two JSON keys. The key is (tag, parent), the ФФД version settles the rest.
//!
//! Cost: a tag number indexes a dense array, which gives a slice of one entry nearly always and of two at most.
//!
//! Source: order ЕД-7-20/662@ with its editions, the exchange protocol operator - ФНС for JSON keys; rows name
//! theirs in `codec/dictionary/ffd.toml`.

use crate::{FfdVersion, Tag};

mod generated;
pub(crate) mod places;

/// How the bytes of a value are read.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Kind {
    /// One unsigned byte.
    Byte,
    /// Two bytes, little-endian.
    U16,
    /// Four bytes, little-endian.
    U32,
    /// Unsigned little-endian integer of 0..=8 bytes; money is kopecks.
    Vln,
    /// Four bytes, little-endian: seconds since 1970 of the register's own wall clock, without a zone.
    UnixTime,
    /// Bit mask of one or four bytes, little-endian.
    Bits,
    /// CP866 text, padded with spaces where the width is fixed.
    Text,
    /// Bytes without a reading of their own.
    Bytes,
    /// Decimal: a byte with the number of digits after the point, then a VLN mantissa.
    Fvln,
    /// TLVs laid end to end.
    Stlv,
}

impl Kind {
    /// Whether the bytes are one unsigned little-endian number, read by [`Value::vln`](crate::Value::vln).
    #[must_use]
    #[inline]
    pub const fn is_number(self) -> bool {
        // They come first.
        (self as u8) <= Self::Bits as u8
    }
}

/// One meaning of one tag: a row of `codec/dictionary/ffd.toml`.
#[derive(Debug)]
pub struct Entry {
    /// Number on the wire.
    pub tag: Tag,
    /// Name in the order, Russian.
    pub name_ru: &'static str,
    /// Key in the ФНС JSON; `None` where none is published: such a tag is shown as `"t1078"` with its bytes in hex.
    pub json_name: Option<&'static str>,
    /// Keys that older schemas and public exports use for the same requisite; read, never written.
    pub json_old: &'static [&'static str],
    /// How the bytes are read.
    pub kind: Kind,
    /// Limit of the value in bytes, the larger one where sources differ; [`Entry::NO_LIMIT`] where none is known.
    pub len_max: u16,
    /// Every value has exactly `len_max` bytes.
    pub fixed: bool,
    /// May occur several times under one parent.
    pub repeatable: bool,
    /// Exists on paper only.
    pub printed: bool,
    /// Where it may stand: a form of document below 1000, else the tag around it. Empty: no table places it.
    pub parents: &'static [u16],
    /// First version whose tables place it.
    pub since: FfdVersion,
    /// Last version whose tables place it.
    pub until: Option<FfdVersion>,
    /// The list its value is taken from.
    pub values: Option<&'static ValueList>,
    /// Fewest bytes of a value: `len_max` where it is fixed, 1 for a decimal, else 0.
    len_min: u16,
}

impl Entry {
    /// `len_max` of a value without a known limit.
    pub const NO_LIMIT: u16 = u16::MAX;

    /// True if the tables of `version` place this meaning somewhere.
    #[must_use]
    pub fn covers(&self, version: FfdVersion) -> bool {
        self.since <= version && self.until.is_none_or(|last| version <= last)
    }

    /// True if a value may have this many bytes. Empty numbers occur in live documents and read as zero, so they may.
    #[must_use]
    #[inline]
    pub fn fits(&self, len: usize) -> bool {
        len <= usize::from(self.len_max)
            && (len >= usize::from(self.len_min) || (len == 0 && self.is_number()))
    }

    /// True for kinds whose value is an unsigned number, of fixed length or not.
    #[must_use]
    #[inline]
    pub const fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Byte | Kind::U16 | Kind::U32 | Kind::Vln | Kind::UnixTime | Kind::Bits)
    }

    /// How well this meaning fits the place: parent first, then version, then being placed at all.
    #[expect(
        clippy::manual_contains,
        reason = "the library's search is a call, which costs more than a few parents"
    )]
    fn fit(&self, parent: u16, version: FfdVersion) -> u8 {
        (u8::from(self.parents.iter().any(|&other| other == parent)) << 2)
            | (u8::from(self.covers(version)) << 1)
            | u8::from(!self.parents.is_empty())
    }
}

/// Meaning of `tag` under `parent` (form code of the document or the tag around it) in `version`.
///
/// Lenient: a tag in a place where no table puts it still gets its likeliest meaning, so that it can be shown by
/// name; whether it may stand there is asked of [`requirement`]. `None` only for a number that no source names.
///
/// ```
/// use ofd_codec::{FfdVersion, Kind, tags, dictionary::lookup};
/// let before = lookup(tags::RECEIPT_VAT_SUMS, 3, FfdVersion::V1_0).unwrap();
/// let after = lookup(tags::RECEIPT_VAT_SUMS, 3, FfdVersion::V1_2).unwrap();
/// assert_eq!((before.kind, before.json_name), (Kind::Text, Some("addressToCheckFiscalSign")));
/// assert_eq!((after.kind, after.json_name), (Kind::Stlv, Some("amountsReceiptNds")));
/// ```
#[must_use]
pub fn lookup(tag: Tag, parent: u16, version: FfdVersion) -> Option<&'static Entry> {
    match meanings(tag) {
        [] => None,
        [only] => Some(only),
        [first, rest @ ..] => {
            let mut best = (first.fit(parent, version), first);
            for next in rest {
                let fit = next.fit(parent, version);
                if fit > best.0 {
                    best = (fit, next);
                }
            }
            Some(best.1)
        }
    }
}

/// The place of [`lookup`]'s answer among [`entries`].
#[inline]
pub(crate) fn lookup_row(tag: Tag, parent: u16, version: FfdVersion) -> Option<usize> {
    let slot = slot(tag);
    let from = usize::from(*generated::STARTS.get(slot)?);
    let to = usize::from(*generated::STARTS.get(slot.saturating_add(1))?);
    match to.saturating_sub(from) {
        0 => None,
        1 => Some(from),
        _ => {
            let entry = lookup(tag, parent, version)?;
            let among = meanings(tag).iter().position(|other| core::ptr::eq(other, entry))?;
            from.checked_add(among)
        }
    }
}

/// Every meaning a number has or had.
#[must_use]
pub fn meanings(tag: Tag) -> &'static [Entry] {
    span(tag).and_then(|(from, to)| generated::ENTRIES.get(from..to)).unwrap_or(&[])
}

/// First entry of a number and the one behind its last; `None` for a number that no source names.
#[inline]
fn span(tag: Tag) -> Option<(usize, usize)> {
    let slot = slot(tag);
    let from = usize::from(*generated::STARTS.get(slot)?);
    let to = usize::from(*generated::STARTS.get(slot.saturating_add(1))?);
    (from < to).then_some((from, to))
}

/// All meanings of all tags, ascending by number.
#[must_use]
pub fn entries() -> &'static [Entry] {
    generated::ENTRIES
}

/// As [`entries`], for tables that are made while compiling.
pub(crate) const fn entries_const() -> &'static [Entry] {
    generated::ENTRIES
}

/// True if every meaning of the number is a nest of further TLVs, so that its inner lengths must close.
///
/// 1115 and 1119 are false: they are nests since 2025 and were text before. A reader who needs them asks [`lookup`]
/// and walks them then.
#[must_use]
#[inline]
pub fn is_stlv(tag: Tag) -> bool {
    let slot = slot(tag);
    generated::STLV.get(slot / 64).is_some_and(|word| (word >> (slot % 64)) & 1 == 1)
}

/// JSON key of a tag under a parent, `None` where the ФНС has none.
#[must_use]
pub fn json_name(tag: Tag, parent: u16, version: FfdVersion) -> Option<&'static str> {
    lookup(tag, parent, version)?.json_name
}

/// The requisite that a JSON key names under a parent: the key of today first, older spellings after it.
///
/// Meant for encoding, not for hot paths: it walks the whole dictionary.
#[must_use]
pub fn by_json(key: &str, parent: u16, version: FfdVersion) -> Option<&'static Entry> {
    let mut best: Option<(u8, &'static Entry)> = None;
    for entry in entries().iter().filter(|entry| !entry.printed) {
        let spelled = if entry.json_name == Some(key) {
            8
        } else if entry.json_old.contains(&key) {
            0
        } else {
            continue;
        };
        // A spelling of today in the wrong place is worth less than an old one in the right place.
        let worth =
            if entry.parents.contains(&parent) { 16 | spelled } else { spelled } | entry.fit(parent, version);
        if best.is_none_or(|(known, _)| worth > known) {
            best = Some((worth, entry));
        }
    }
    best.map(|(_, entry)| entry)
}

/// Position of a number in the dense tables; beyond their end for a number below the first.
#[inline]
fn slot(tag: Tag) -> usize {
    usize::from(tag.0.wrapping_sub(generated::FIRST_TAG))
}

/// Must a tag be there?
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Need {
    /// Always (code 1 of the order; "required" of a JSON schema).
    Must,
    /// Under the conditions of the table's notes (code 2), or listed without an obligation.
    Conditional,
    /// May be left out (code 3).
    Optional,
}

/// Which of the two forms of a document a row of a table speaks of.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Carrier {
    /// The electronic form (Э or ПЭ): what goes over the wire.
    Wire,
    /// The printed form only (П): never asked for on the wire.
    Paper,
    /// No column of the order was seen for the row (JSON schemas, requisites of 2025): allowed, never demanded.
    Unstated,
}

/// One row of a table of the order: what one document says of one tag.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Requirement {
    /// The tag of the row.
    pub tag: Tag,
    /// Must it be there?
    pub need: Need,
    /// May it repeat under one parent?
    pub repeats: bool,
    /// Does the row speak of the wire?
    pub carrier: Carrier,
}

/// A table with its index.
#[derive(Debug)]
pub(crate) struct Chart {
    /// The rows, ascending by tag; at most 128.
    pub(crate) rows: &'static [Requirement],
    /// Numbers of the rows whose tag must be on the wire.
    pub(crate) must: &'static [u8],
    /// Numbers of the rows whose tag must be on the wire under a condition.
    pub(crate) conditional: &'static [u8],
    /// What a glance at a value tells, row by row.
    pub(crate) shapes: &'static [Shape],
    /// Row of each entry of the dictionary, [`NO_ROW`] where there is none and behind the last one.
    index: &'static [u8; generated::ENTRIES.len() + 1],
}

/// Finds rows of one table by their tags.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Rows(&'static [u8; generated::ENTRIES.len() + 1]);

/// In an index: no row.
const NO_ROW: u8 = u8::MAX;

/// The table of a nest that has none: it places no tag.
pub(crate) static BLANK: Chart = Chart {
    rows: &[],
    must: &[],
    conditional: &[],
    shapes: &[],
    index: &[NO_ROW; generated::ENTRIES.len() + 1],
};

impl Chart {
    /// Number of the row of a tag: two loads, whatever the tag, and one for a tag that is known beforehand. Beyond all
    /// rows for a tag that has none here.
    #[inline(always)]
    pub(crate) fn row(&self, tag: Tag) -> u8 {
        self.index().row(tag)
    }

    /// Its index, for whoever asks it often.
    #[inline(always)]
    pub(crate) const fn index(&self) -> Rows {
        Rows(self.index)
    }
}

impl Rows {
    /// As [`Chart::row`].
    #[inline(always)]
    pub(crate) fn row(self, tag: Tag) -> u8 {
        let first = generated::SLOTS.get(slot(tag)).copied().unwrap_or(u16::MAX);
        self.0.get(usize::from(first)).copied().unwrap_or(NO_ROW)
    }
}

/// What must hold of a value in a row of a table, as far as row, length and a list of bytes tell.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Shape {
    /// Fewest bytes, and how many more there may be.
    len_min: u16,
    len_more: u16,
    /// Which list of bytes it is taken from.
    list: u8,
    marks: u8,
}

/// What else a shape says.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Mark {
    /// Empty means zero.
    MayBeEmpty = 1,
    /// May occur again.
    Repeats = 2,
    /// Is a nest of TLVs, in each of its meanings.
    Nest = 4,
    /// A glance does not settle it: the rules are to be asked.
    Ask = 8,
}

/// In a shape: any byte.
const NO_LIST: u8 = u8::MAX;

const fn shape(len_min: u16, len_max: u16, list: u8, marks: &[Mark]) -> Shape {
    let (mut bits, mut rest) = (0, marks);
    while let [mark, tail @ ..] = rest {
        bits |= *mark as u8;
        rest = tail;
    }
    Shape { len_min, len_more: len_max.saturating_sub(len_min), list, marks: bits }
}

impl Shape {
    #[inline(always)]
    pub(crate) const fn has(self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    /// True if nothing can be said against a value: its length fits, its list knows it, it stands here for the first time
    /// or may repeat, and nobody wants to look at it closer. False says only that the rules must be asked.
    #[inline(always)]
    pub(crate) fn settles(self, bytes: &[u8], again: bool) -> bool {
        let fits = bytes.len().wrapping_sub(usize::from(self.len_min)) <= usize::from(self.len_more)
            || (bytes.is_empty() && self.has(Mark::MayBeEmpty));
        fits && !self.has(Mark::Ask)
            && (!again || self.has(Mark::Repeats))
            && (self.list == NO_LIST || self.lists(bytes))
    }

    /// The same of the usual case: what stands here for the first time, is no nest and is not empty for a number. False says only
    /// that [`settles`](Self::settles) is to be asked.
    #[inline(always)]
    pub(crate) fn passes(&self, bytes: &[u8]) -> bool {
        bytes.len().wrapping_sub(usize::from(self.len_min)) <= usize::from(self.len_more)
            && self.marks & (Mark::Ask as u8 | Mark::Nest as u8) == 0
            && (self.list == NO_LIST || self.lists(bytes))
    }

    #[inline(always)]
    fn lists(self, bytes: &[u8]) -> bool {
        let (Some(list), [byte]) = (generated::BYTE_LISTS.get(usize::from(self.list)), bytes) else {
            return bytes.is_empty();
        };
        list.get(usize::from(byte >> 6)).is_some_and(|word| (word >> (byte & 63)) & 1 == 1)
    }
}

/// The table for (version, form, parent) with its index; parent 0 is the document itself.
#[inline]
pub(crate) fn chart(version: FfdVersion, form: u8, parent: u16) -> Option<&'static Chart> {
    let form = usize::from(*generated::FORM_COLUMNS.get(usize::from(form))?);
    let parent = match parent {
        0 => 0,
        tag => usize::from(*generated::PARENT_COLUMNS.get(span(Tag(tag))?.0)?),
    };
    if form >= generated::FORMS || parent >= generated::PARENTS {
        return None;
    }
    let row = (version as usize).checked_mul(generated::FORMS)?.checked_add(form)?;
    let cell = row.checked_mul(generated::PARENTS)?.checked_add(parent)?;
    generated::CHARTS.get(usize::from(*generated::CELLS.get(cell)?))
}

/// The table for (version, form, parent), ascending by tag; parent 0 is the document itself. `None`: no table.
#[must_use]
pub fn table(version: FfdVersion, form: u8, parent: u16) -> Option<&'static [Requirement]> {
    chart(version, form, parent).map(|chart| chart.rows)
}

/// What the tables say of a tag in a place; `None`: the tables do not know it there (rule B1).
///
/// ```
/// use ofd_codec::{FfdVersion, tags, dictionary::{Need, requirement}};
/// let row = requirement(FfdVersion::V1_2, 3, 0, tags::TOTAL_SUM).unwrap();
/// assert_eq!(row.need, Need::Must);
/// assert!(requirement(FfdVersion::V1_2, 2, 0, tags::TOTAL_SUM).is_none());
/// ```
#[must_use]
pub fn requirement(version: FfdVersion, form: u8, parent: u16, tag: Tag) -> Option<&'static Requirement> {
    let chart = chart(version, form, parent)?;
    chart.rows.get(usize::from(chart.row(tag)))
}

/// How the codes of a [`ValueList`] are to be read.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Codes {
    /// One of the codes.
    Number,
    /// A sum of codes.
    Bits,
    /// One of the labels, as text.
    Text,
}

/// A list of allowed values: a block of `codec/dictionary/enums.toml`.
#[derive(Debug)]
pub struct ValueList {
    /// Name of the list, kebab-case.
    pub name: &'static str,
    /// How its codes are read.
    pub codes: Codes,
    /// Complete enough to measure documents by it.
    pub strict: bool,
    /// Codes below 256 as bits; of a list of bits the sum of its codes in the first word.
    small: [u64; 4],
    /// The values.
    pub values: &'static [Meaning],
}

/// One value of a [`ValueList`].
#[derive(Debug)]
pub struct Meaning {
    /// The code; of a text list its label read as a decimal number.
    pub code: u32,
    /// The label of a text list (`"030"`), empty elsewhere.
    pub label: &'static str,
    /// What it means, Russian.
    pub meaning_ru: &'static str,
}

impl ValueList {
    /// Meaning of one code (of one bit in a list of bits).
    #[must_use]
    pub fn meaning(&self, code: u32) -> Option<&'static str> {
        self.values.iter().find(|value| value.code == code).map(|value| value.meaning_ru)
    }

    /// True if a number is one of the codes or, in a list of bits, a sum of them.
    #[must_use]
    pub fn allows(&self, number: u32) -> bool {
        let [word, ..] = self.small;
        match (self.codes, number) {
            (Codes::Bits, _) => u64::from(number) & !word == 0,
            (Codes::Number, 0..=255) => {
                self.small.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
            }
            _ => self.values.iter().any(|value| value.code == number),
        }
    }

    /// True if a text is one of the labels.
    #[must_use]
    pub fn allows_text(&self, text: &[u8]) -> bool {
        self.values.iter().any(|value| value.label.as_bytes() == text)
    }
}

/// All lists of values.
#[must_use]
pub fn value_lists() -> &'static [ValueList] {
    generated::VALUE_LISTS
}

/// A list by its name.
#[must_use]
pub fn value_list(name: &str) -> Option<&'static ValueList> {
    value_lists().iter().find(|list| list.name == name)
}
