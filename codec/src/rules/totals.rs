//! C1, C2, C18: the total of a receipt beside its items and its payments.
//!
//! Unit: kopecks. Source: order ЕД-7-20/662@, tags 1020, 1031, 1081, 1215-1217; FNS error 507; real documents.

use super::receipt::Receipt;
use super::{Datum, RuleId, Violations};
use crate::tags;

/// One rouble: a receipt may be rounded down to whole roubles.
const ROUBLE: u64 = 100;

/// The items come to the total, or to less than a rouble more. Discounts of the whole receipt and cancelled items, which
/// ФФД 1.0 had, are not in its items, so there is nothing to compare with them.
pub(super) fn c1(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let Some(total) = receipt.total else { return };
    let items = receipt.items;
    if items.count == 0 || items.sumless > 0 {
        return;
    }
    if items.sum.checked_sub(total).is_some_and(|above| above < ROUBLE) {
        return;
    }
    if receipt.nest.get(tags::STORNO_ITEM).is_some() || receipt.nest.get(tags::MODIFIERS).is_some() {
        return;
    }
    out.push(receipt.nest.finding(
        RuleId::C1,
        tags::TOTAL_SUM,
        Datum::Number(total),
        Datum::Number(items.sum),
    ));
}

/// The payments come to the total, exactly.
pub(super) fn c2(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let Some(total) = receipt.total else { return };
    let paid = [receipt.cash, receipt.ecash, receipt.prepaid, receipt.credit, receipt.provision];
    let paid = paid.into_iter().fold(0_u64, u64::saturating_add);
    if paid != total {
        out.push(receipt.nest.finding(
            RuleId::C2,
            tags::TOTAL_SUM,
            Datum::Number(total),
            Datum::Number(paid),
        ));
    }
}

/// Nothing to pay is legal where all of it is a discount; then an item says what it would have cost.
pub(super) fn c18(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let Some(0) = receipt.total else { return };
    if receipt.items.given_away || receipt.nest.get(tags::MODIFIERS).is_some() {
        return;
    }
    out.push(receipt.nest.finding(
        RuleId::C18,
        tags::TOTAL_SUM,
        Datum::Number(0),
        Datum::word("больше 0 или скидка 100 %"),
    ));
}
