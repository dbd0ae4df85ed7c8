//! What a builder takes is what the view of the same list gives: every row of every form and structure.

pub(super) mod dice;

use alloc::vec::Vec;

use super::draft::{Draft, write};
use super::level::Level;
use super::*;
use crate::dictionary::{lookup, meanings};
use crate::{DocumentView, FfdVersion, Tag, TlvWriter, Value};

/// What `requisites!` writes for each view.
pub(super) trait Rows {
    /// Gives each row a value and reads it back, in the structures below as well.
    fn every_row_comes_back(version: FfdVersion, parent: u16);
}

/// Whether the tag stands under this parent in this version, with its newest meaning where it was given anew.
pub(super) fn placed(version: FfdVersion, parent: u16, tag: Tag) -> bool {
    let newest = meanings(tag).last().map(|entry| entry.kind);
    lookup(tag, parent, version).is_some_and(|entry| {
        entry.parents.contains(&parent) && entry.covers(version) && Some(entry.kind) == newest
    })
}

/// A level with one requisite that no view reads.
pub(super) fn stranger() -> Draft {
    Draft::default().with(Tag(65_000), 77_u8)
}

pub(super) fn same_stranger<'a>(mut tags: impl Iterator<Item = (Tag, Value<'a>)>) {
    let (tag, value) = tags.next().unwrap();
    assert_eq!((tag, value.u8()), (Tag(65_000), Ok(77)));
    assert!(tags.next().is_none());
}

pub(super) fn level_bytes(draft: &Draft) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut TlvWriter::new(&mut bytes), &draft.fields).unwrap();
    bytes
}

pub(super) fn level(bytes: &[u8], version: FfdVersion, parent: u16) -> Level<'_> {
    Level::of_parts(bytes, version, parent)
}

/// Why: a getter that reads another tag or another type than the setter wrote would lie about every document.
#[test]
fn every_requisite_comes_back_as_it_was_given() {
    for version in FfdVersion::ALL {
        for form in [1, 11] {
            Registration::every_row_comes_back(version, form);
        }
        for form in [3, 4, 31, 41] {
            Receipt::every_row_comes_back(version, form);
        }
        ShiftOpen::every_row_comes_back(version, 2);
        ShiftClose::every_row_comes_back(version, 5);
        ArchiveClose::every_row_comes_back(version, 6);
        Confirmation::every_row_comes_back(version, 7);
        StateReport::every_row_comes_back(version, 21);
    }
    MarkingRequest::every_row_comes_back(FfdVersion::V1_2, 81);
    MarkingNotification::every_row_comes_back(FfdVersion::V1_2, 82);
    MarkingAnswer::every_row_comes_back(FfdVersion::V1_2, 83);
    MarkingReceipt::every_row_comes_back(FfdVersion::V1_2, 84);
}

/// Why: 1115 was an address before it was sums; a view must not take the one for the other.
#[test]
fn a_number_given_anew_is_missing_where_it_means_something_else() {
    let mut bytes = Vec::new();
    TlvWriter::new(&mut bytes)
        .document(crate::Form::RECEIPT, |w| w.text(crate::tags::RECEIPT_VAT_SUMS, "www.nalog.example"))
        .unwrap();
    let view = DocumentView::new_checked(&bytes).unwrap();
    assert!(Receipt::new_checked(&view, FfdVersion::V1_0).unwrap().vat_sums().is_none());
    // In version 1.2 it is no structure that closes, and the check says so.
    assert!(Receipt::new_checked(&view, FfdVersion::V1_2).is_err());
}
