//! B5, B9, B10: taxpayer numbers (ИНН).
//!
//! Shape:  ten digits for an organisation, twelve for a person, on the wire padded with spaces to twelve bytes. Some
//! registers pad ten digits with two zeros on the left instead; that is read as ten digits.
//! Source: order ЕД-7-14/559@ for the check digits; order ЕД-7-20/662@, tags 1226 and 1228, for twelve zeros.

use super::walk::Place;
use super::{Datum, RuleId, Violations};

/// What stands in place of the ИНН of a party that has none.
const NO_INN: &[u8; 12] = b"000000000000";

/// Check digits of every ИНН but the cashier's.
pub(super) fn b5(place: &Place<'_>, out: &mut Violations) {
    let digits = place.value.bytes().trim_ascii();
    // Blanks and zeros are the business of B9 where they may stand for "none", of B4 and B2 where they may not.
    if digits.is_empty() || digits.iter().all(|&digit| digit == b'0') || is_inn(digits) {
        return;
    }
    out.push(place.finding(
        RuleId::B5,
        quote(digits),
        Datum::word("10 or 12 digits with valid check digits"),
    ));
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
    if digits.is_empty() || (digits.len() == 12 && is_person(digits)) {
        return;
    }
    out.push(place.finding(RuleId::B10, quote(digits), Datum::word("12 digits with valid check digits")));
}

fn quote(digits: &[u8]) -> Datum {
    Datum::quote(String::from_utf8_lossy(digits))
}

/// True for ten or twelve digits whose check digits hold.
fn is_inn(digits: &[u8]) -> bool {
    match digits.len() {
        10 => is_organisation(digits),
        12 => is_person(digits) || digits.strip_prefix(b"00").is_some_and(is_organisation),
        _ => false,
    }
}

fn is_organisation(digits: &[u8]) -> bool {
    check_digit(digits, &[2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(9).copied()
}

fn is_person(digits: &[u8]) -> bool {
    check_digit(digits, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(10).copied()
        && check_digit(digits, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(11).copied()
}

/// The ASCII digit that the weighted sum of the digits before it gives; `None` if one of them is no digit.
fn check_digit(digits: &[u8], weights: &[u32]) -> Option<u8> {
    let mut sum = 0u32;
    for (position, weight) in weights.iter().enumerate() {
        let digit = digits.get(position).filter(|digit| digit.is_ascii_digit())?;
        sum = sum.checked_add(weight.checked_mul(u32::from(digit - b'0'))?)?;
    }
    u8::try_from(sum % 11 % 10).ok()?.checked_add(b'0')
}
