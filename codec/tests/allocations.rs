//! The hot path allocates nothing: checking a message, opening its document, reading its header and every value.
//!
//! In a file of its own, because the counting allocator stands in for that of the whole test program.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::fmt::Write;

use allocation_counter::measure;
use common::documents::golden;
use common::draft::{Doc, correction, marked, receipt, registration};
use ofd_codec::{
    CheckContext, DocumentView, FfdVersion, Frame, Tlv, Value, check, is_stlv, open_answer, open_plain,
    read_any,
};

/// Text goes here; it only counts.
struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Reads a value in every way it can be read, and what is inside of it.
fn touch(value: Value<'_>, total: &mut u64, text: &mut Count) {
    *total += u64::from(value.u8().unwrap_or(1));
    *total += u64::from(value.u32().unwrap_or(1));
    *total += u64::from(value.bits().unwrap_or(1));
    *total += value.vln().unwrap_or(1) & 0xFF;
    *total += value.fvln().map_or(1, |quantity| quantity.mantissa & 0xFF);
    *total += u64::from(value.fiscal_sign().map_or(1, |sign| sign.printed()));
    *total += u64::from(value.drive_number().is_ok());
    write!(text, "{}", value.text().trimmed()).unwrap();
    if is_stlv(value.tag()) {
        walk(value.children(), total, text);
    }
}

fn walk(level: Tlv<'_>, total: &mut u64, text: &mut Count) {
    for item in level {
        touch(item.unwrap().1, total, text);
    }
}

/// From the bytes of a message to all its values, and an error on the way out: not one allocation.
#[test]
fn checking_and_walking_a_message_allocates_nothing() {
    for golden in golden() {
        let mut damaged = golden.message.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let (mut total, mut text, mut found) = (0_u64, Count(0), false);
        let counted = measure(|| {
            let (message, _) = Frame::split(&golden.message).unwrap().unwrap();
            let frame = Frame::new_checked(message).unwrap();
            let container = frame.container();
            let open = if container.kind() == 0xA5 { open_plain } else { open_answer };
            let view = open(&container, Some(&frame.header().drive), container.body()).unwrap();
            total += u64::from(view.header().number.is_some());
            for (_, value) in view.tags() {
                touch(value, &mut total, &mut text);
            }
            found = DocumentView::new_checked(&view.bytes()[1..]).is_err()
                && Frame::new_checked(&damaged).is_err();
        });
        assert!(total > 0 && text.0 > 0 && found, "{}", golden.name);
        assert_eq!(counted.count_total, 0, "{}", golden.name);
    }
}

/// Cutting a whole file into pieces allocates nothing either.
#[test]
fn reading_a_file_piece_by_piece_allocates_nothing() {
    let all = golden();
    let file: Vec<u8> = all.iter().flat_map(|golden| golden.message.clone()).collect();
    let mut pieces = 0;
    let counted = measure(|| pieces = read_any(&file).filter(Result::is_ok).count());
    assert_eq!(pieces, all.len());
    assert_eq!(counted.count_total, 0);
}

/// Every rule of a clean document, its items and what they come to, is asked without an allocation; a finding makes one.
#[test]
fn checking_a_clean_document_by_every_rule_allocates_nothing() {
    let ask = |doc: &Doc| {
        let bytes = doc.bytes();
        let view = DocumentView::new_checked(&bytes).unwrap();
        let context = CheckContext::new(FfdVersion::V1_2);
        measure(|| assert_eq!(check(&view, &context).is_empty(), doc.form != 2)).count_total
    };
    for clean in [receipt(), correction(), registration(), marked(|item| item)] {
        assert_eq!(ask(&clean), 0);
    }
    let mut opening = receipt();
    opening.form = 2;
    assert!(ask(&opening) > 0);
}

/// The counter counts: a test that could not fail would prove nothing.
#[test]
fn the_counter_sees_an_allocation() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}

/// Sums lengths.
struct Lengths(usize);

impl<'a> ofd_codec::Visitor<'a> for Lengths {
    fn requisite(&mut self, requisite: ofd_codec::Requisite<'a>) {
        self.0 += requisite.value.bytes().len();
    }
}

/// Held against the tables and read in one pass, findings and all, under a right and a wrong expectation.
#[test]
fn validating_and_reading_allocates_nothing() {
    for golden in golden() {
        let frame = Frame::new_checked(&golden.message).unwrap();
        for expected in ofd_codec::FfdVersion::ALL {
            let (mut lengths, mut ok) = (Lengths(0), false);
            let counted = measure(|| {
                ok = ofd_codec::Validated::check_with(frame.container().body(), expected, &mut lengths)
                    .is_ok();
            });
            assert!(ok && lengths.0 > 0, "{}", golden.name);
            assert_eq!(counted.count_total, 0, "{}", golden.name);
        }
    }
}
