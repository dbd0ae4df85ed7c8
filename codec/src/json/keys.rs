//! Keys of the ФНС JSON, ready to be copied: `"totalSum":` for every row of the dictionary, made while compiling.
//!
//! Shape: one [`Key`] a row, in the order of the dictionary. A key is copied at a constant width and cut to its
//! length, which costs two moves of a register where a copy of a length known only then costs a call.

use crate::dictionary::{Kind, entries_const};
use crate::tags;

/// Width of the copy that suits most keys, and of the one that suits all.
pub(super) const NARROW: usize = 32;
pub(super) const WIDE: usize = 64;

/// What the writer wants to know of a row of the dictionary at once.
pub(super) struct Key {
    /// `"name":`, filled up with zeros.
    pub(super) text: [u8; WIDE],
    /// Bytes of it; 0 where the row has no key.
    pub(super) len: u8,
    /// A bit for each parent that the tables put it under, as [`parent_bit`] numbers them.
    pub(super) parents: u64,
    /// The bit of this row's own tag as a parent.
    pub(super) own: u64,
    /// An array also where it occurs once.
    pub(super) array: bool,
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
    let mut keys =
        [const { Key { text: [0; WIDE], len: 0, parents: 0, own: 0, array: false } }; entries_const().len()];
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
        key.own = parent_bit(entry.tag.0);
        row += 1;
    }
    keys
};
