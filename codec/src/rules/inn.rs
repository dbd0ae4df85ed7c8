//! B5, B9, B10: taxpayer numbers (ИНН), by the check digits of [`crate::inn`].
//!
//! Source: order ЕД-7-14/559@ for the check digits; order ЕД-7-20/662@, tags 1226 and 1228, for twelve zeros.

use alloc::string::String;

use super::walk::Place;
use super::{Datum, RuleId, Violations};
use crate::inn::{NO_INN, is_inn, is_person};

/// Check digits of every ИНН but the cashier's.
pub(super) fn b5(place: &Place<'_>, out: &mut Violations) {
    let digits = place.value.bytes().trim_ascii();
    // Blanks and zeros are the business of B9 where they may stand for "none", of B4 and B2 where they may not.
    if digits.is_empty() || digits.iter().all(|&digit| digit == b'0') || is_inn(digits) {
        return;
    }
    out.push(place.finding(RuleId::B5, quote(digits), Datum::word("10 или 12 цифр с верными контрольными")));
}

/// "No Russian ИНН" is said in one way only.
pub(super) fn b9(place: &Place<'_>, out: &mut Violations) {
    let bytes = place.value.bytes();
    let digits = bytes.trim_ascii();
    if digits.iter().all(|&digit| digit == b'0') && bytes != NO_INN {
        out.push(place.finding(RuleId::B9, quote(digits), Datum::word("000000000000")));
    }
}

/// A cashier is a person.
pub(super) fn b10(place: &Place<'_>, out: &mut Violations) {
    let digits = place.value.bytes().trim_ascii();
    // An empty one says what its absence says.
    if digits.is_empty() || is_person(digits) {
        return;
    }
    out.push(place.finding(RuleId::B10, quote(digits), Datum::word("12 цифр с верными контрольными")));
}

fn quote(digits: &[u8]) -> Datum {
    Datum::quote(String::from_utf8_lossy(digits))
}
