//! Keys of the ФНС JSON, ready to be copied: `"totalSum":` for every row of the dictionary, made while compiling.
//!
//! Shape: one [`Key`] a row, in the order of the dictionary, and for the tags of which nothing else is to be asked their row.
//! A key is copied at a constant width and cut to its length, which costs three moves of a register where a copy of a
//! length known only then costs a call.

use crate::dictionary::{Kind, entries_const};
use crate::tags;

/// Width of the copy: the longest key, and the quote of a text behind it.
pub(super) const WIDE: usize = 48;

/// How a value that stands once is written without another question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A number of one byte at most.
    Byte,
    /// A whole number, of one of the lengths that [`Key::lens`] allows.
    Number,
    /// Text as it stands.
    Text,
    /// Text without the spaces at its end.
    Padded,
    /// A scale and a mantissa.
    Decimal,
    /// The printed number of a fiscal sign.
    Sign,
    /// Nests, arrays and bytes: not here.
    Other,
}

/// What the writer wants to know of a row of the dictionary at once: one line of the cache.
#[repr(align(64))]
pub(super) struct Key {
    /// `"name":"`, filled up with zeros.
    text: [u8; WIDE],
    /// A bit for each parent that the tables put it under, as [`parent_bit`] numbers them.
    pub(super) parents: u64,
    /// A bit for each length that a number may have.
    pub(super) lens: u16,
    /// Bytes of the key up to its colon; 0 where the row has none.
    len: u8,
    /// Number of the bit of this row's own tag as a parent; 64 for a tag that is none.
    own: u8,
    pub(super) way: Way,
    /// An array also where it occurs once.
    pub(super) array: bool,
}

const _: () = assert!(size_of::<Key>() == 64);

impl Key {
    const NONE: Self =
        Self { text: [0; WIDE], parents: 0, lens: 0, len: 0, own: 64, way: Way::Other, array: false };

    /// Whether the row has a key.
    pub(super) const fn exists(&self) -> bool {
        self.len > 0
    }

    /// Writes `"name":` and the quote that a text would begin with; gives the length without that quote.
    #[inline(always)]
    pub(super) fn put(&self, place: &mut [u8; WIDE]) -> u32 {
        *place = self.text;
        // The mask tells the compiler how far it is.
        u32::from(self.len) & 63
    }

    /// The bit of this row's own tag as a parent.
    pub(super) fn own_bit(&self) -> u64 {
        1_u64.checked_shl(self.own.into()).unwrap_or_default()
    }
}

/// All parents that any row names: forms of documents below 1000, structures above.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
const PARENTS: ([u16; 64], usize) = {
    let mut list = [0_u16; 64];
    let mut len = 0;
    let mut row = 0;
    while row < entries_const().len() {
        let parents = entries_const()[row].parents;
        let mut at = 0;
        while at < parents.len() {
            if position(&list, len, parents[at]) == len {
                // More than 64 parents do not compile.
                list[len] = parents[at];
                len += 1;
            }
            at += 1;
        }
        row += 1;
    }
    (list, len)
};

/// Where `parent` stands among the first `len` of `list`, or `len`.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling; `at` stays below `len`")]
const fn position(list: &[u16; 64], len: usize, parent: u16) -> usize {
    let mut at = 0;
    while at < len && list[at] != parent {
        at += 1;
    }
    at
}

/// The bit of a form or structure among parents; 0 for one that no table names.
pub(super) const fn parent_bit(parent: u16) -> u64 {
    let at = position(&PARENTS.0, PARENTS.1, parent);
    if at < PARENTS.1 { 1 << at } else { 0 }
}

/// One key a row.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
pub(super) static KEYS: [Key; entries_const().len()] = {
    let mut keys = [const { Key::NONE }; entries_const().len()];
    let mut row = 0;
    while row < keys.len() {
        let entry = &entries_const()[row];
        let key = &mut keys[row];
        if let Some(name) = entry.json_name {
            let name = name.as_bytes();
            key.text[0] = b'"';
            let mut at = 0;
            while at < name.len() {
                // A longer key does not compile.
                key.text[at + 1] = name[at];
                at += 1;
            }
            key.text[at + 1] = b'"';
            key.text[at + 2] = b':';
            key.text[at + 3] = b'"';
            key.len = (at + 3) as u8;
            let is_phone = at > 5 && matches!(name.last_chunk(), Some(b"Phone"));
            let is_list = matches!(entry.kind, Kind::Stlv) || matches!(entry.kind, Kind::Text) && is_phone;
            key.array = entry.tag.0 == tags::REREGISTRATION_REASON.0 || entry.repeatable && is_list;
        }
        let mut at = 0;
        while at < entry.parents.len() {
            key.parents |= parent_bit(entry.parents[at]);
            at += 1;
        }
        let own = position(&PARENTS.0, PARENTS.1, entry.tag.0);
        if own < PARENTS.1 {
            key.own = own as u8;
        }
        (key.way, key.lens) = match entry.kind {
            _ if key.array || key.len == 0 => (Way::Other, 0),
            Kind::Byte => (Way::Byte, 1 | 1 << 1),
            Kind::U16 => (Way::Number, 1 | 1 << 2),
            Kind::U32 | Kind::UnixTime => (Way::Number, 1 | 1 << 4),
            Kind::Bits => (Way::Number, 0b1_1111),
            Kind::Vln => (Way::Number, 0b1_1111_1111),
            Kind::Text if entry.fixed => (Way::Padded, 0),
            Kind::Text => (Way::Text, 0),
            Kind::Fvln => (Way::Decimal, 0b1_1111_1110),
            Kind::Bytes if entry.tag.0 == tags::FISCAL_SIGN.0 => (Way::Sign, 1 << 6),
            Kind::Bytes | Kind::Stlv => (Way::Other, 0),
        };
        row += 1;
    }
    keys
};

/// The lowest tag of the dictionary, and how many there are up to the highest.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
const FIRST_TAG: u16 = entries_const()[0].tag.0;
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
const TAGS: usize = (entries_const()[entries_const().len() - 1].tag.0 - FIRST_TAG) as usize + 1;

/// No key, or more than one to choose from.
const NO_ROW: u16 = u16::MAX;

/// The row of a tag that has one meaning, a key for it, and a way to write its value.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static PLAIN: [u16; TAGS] = {
    let mut rows = [NO_ROW; TAGS];
    let mut row = 0;
    while row < KEYS.len() {
        let tag = entries_const()[row].tag.0;
        let alone = (row == 0 || entries_const()[row - 1].tag.0 != tag)
            && (row + 1 == KEYS.len() || entries_const()[row + 1].tag.0 != tag);
        if alone && tag != tags::DOCUMENT_NAME.0 && !matches!(KEYS[row].way, Way::Other) {
            rows[(tag - FIRST_TAG) as usize] = row as u16;
        }
        row += 1;
    }
    rows
};

/// The key of a tag, where nothing but the tag is to be asked.
#[inline(always)]
pub(super) fn plain_key(tag: u16) -> Option<&'static Key> {
    let row = *PLAIN.get(usize::from(tag.wrapping_sub(FIRST_TAG)))?;
    KEYS.get(usize::from(row))
}
