//! C3, C14, C15: what an item is, how much of it, and what it comes to.
//!
//! Unit: kopecks; quantity is decimal, exact. Source: order ЕД-7-20/662@, tags 1023, 1030, 1043, 1079, 2108; real documents.

use super::receipt::Item;
use super::walk::finding;
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, LocalSeconds, Quantity, tags};

/// 10 to the power of the scales that occur.
const POWERS: [u64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// price · quantity, a half goes up; `None` beyond any till.
fn product(price: u64, quantity: Quantity) -> Option<u64> {
    let whole = price.checked_mul(quantity.mantissa);
    match (whole, POWERS.get(usize::from(quantity.scale))) {
        (Some(whole), Some(&unit)) => whole.checked_add(unit / 2)?.checked_div(unit),
        _ => {
            let unit = 10_u128.checked_pow(u32::from(quantity.scale))?;
            let whole = u128::from(price).checked_mul(u128::from(quantity.mantissa))?;
            u64::try_from(whole.checked_add(unit / 2)?.checked_div(unit)?).ok()
        }
    }
}

/// The sum of an item is its price times its quantity, give or take a kopeck. Items of ФФД 1.0 with a discount of their
/// own (1112) say so elsewhere.
pub(super) fn c3(item: &Item<'_, '_>, out: &mut Violations) {
    let (Some(price), Some(quantity), Some(sum)) = (item.price, item.quantity, item.sum) else { return };
    let Some(expected) = product(price, quantity) else { return };
    if sum.abs_diff(expected) <= 1 || item.nest.get(tags::MODIFIERS).is_some() {
        return;
    }
    out.push(item.nest.finding(RuleId::C3, tags::ITEM_SUM, Datum::Number(sum), Datum::Number(expected)));
}

/// There is something of it, and pieces are whole. A fraction of a marked package (1291) is G4's.
pub(super) fn c14(item: &Item<'_, '_>, out: &mut Violations) {
    let Some(quantity) = item.quantity else { return };
    let expected = if quantity.mantissa == 0 {
        "больше 0"
    } else if quantity.scale > 0
        && item.measure == Some(0)
        && item.nest.get(tags::FRACTION).is_none()
        && quantity.to_decimal(0).is_none()
    {
        "целое число штук при 2108 = 0"
    } else {
        return;
    };
    let actual = Datum::quote(alloc::format!("{quantity}"));
    out.push(item.nest.finding(RuleId::C14, tags::QUANTITY, actual, Datum::word(expected)));
}

/// 2021-02-01: the name of the goods became due for every entrepreneur (54-ФЗ, article 4.7; 290-ФЗ, article 7, part 17).
const NAMES_DUE: LocalSeconds = LocalSeconds(1_612_137_600);

/// Names that name nothing, in the small letters of CP866: "товар", "товары", "услуга", "услуги".
const PLACEHOLDERS: [&[u8]; 4] = [
    &[0xE2, 0xAE, 0xA2, 0xA0, 0xE0],
    &[0xE2, 0xAE, 0xA2, 0xA0, 0xE0, 0xEB],
    &[0xE3, 0xE1, 0xAB, 0xE3, 0xA3, 0xA0],
    &[0xE3, 0xE1, 0xAB, 0xE3, 0xA3, 0xA8],
];

/// A letter of CP866 in small; others as they are.
const fn small(byte: u8) -> u8 {
    match byte {
        0x80..=0x8F => byte.wrapping_add(0x20),
        0x90..=0x9F => byte.wrapping_add(0x50),
        _ => byte,
    }
}

/// An item has a name, and one that tells what was sold. An advance (1214 = 3, or 1212 = 10) may be taken before anybody
/// knows for what.
pub(super) fn c15(item: &Item<'_, '_>, out: &mut Violations) {
    let Some(value) = item.nest.get(tags::ITEM_NAME) else {
        let whole = item.nest.whole;
        let due = whole.date.is_some_and(|date| date >= NAMES_DUE);
        // Where the table demands the name, B2 speaks.
        let demanded = matches!(whole.version(), FfdVersion::V1_0 | FfdVersion::V1_1);
        let advance = item.method == 3 || item.subject == 10;
        if due && !demanded && !advance {
            out.push(item.nest.lacks(RuleId::C15, tags::ITEM_NAME, Datum::word("наименование")));
        }
        return;
    };
    // The longest placeholder has six letters; a longer name is looked at no further.
    let name = value.bytes().trim_ascii();
    if name.len() > 6 {
        return;
    }
    let equals = |word: &&[u8]| word.iter().copied().eq(name.iter().map(|&byte| small(byte)));
    if name.is_empty() || PLACEHOLDERS.iter().any(equals) {
        let actual = Datum::quote(alloc::format!("{}", value.text().trimmed()));
        out.push(finding(
            RuleId::C15,
            value,
            actual,
            Datum::word("наименование, по которому понятно, что продано"),
        ));
    }
}
