//! C4-C9: the tax (НДС) of items and of the receipt, and the rates a day and a tax system allow.
//!
//! Unit: kopecks; rates by the code of tag 1199. Both forms of a rate, plain (20 %) and calculated (20/120), take the tax
//! out of a price that holds it: sum · r / (100 + r), a half goes up.
//! Source: Tax Code (НК РФ), article 164, by the day; order ЕД-7-20/662@ with ЕД-7-20/1050@; seen on real documents.

use alloc::format;

use super::receipt::{Item, Receipt, Turnover, amount, bit, code};
use super::walk::{Nest, find, finding};
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, LocalSeconds, Tag, Tlv, Value, tags};

/// 2019-01-01: 18 % became 20 %, under the same codes.
const FROM_2019: LocalSeconds = LocalSeconds(1_546_300_800);
/// 2025-01-01: 5 % and 7 % for the simplified system.
const FROM_2025: LocalSeconds = LocalSeconds(1_735_689_600);
/// 2026-01-01: 20 % became 22 %, under new codes.
const FROM_2026: LocalSeconds = LocalSeconds(1_767_225_600);

/// The flat tags of a receipt, and the rate whose tax (1 to 4) or turnover (5 and 6) each of them holds.
pub(super) static FLAT: [(Tag, u8); 6] = [
    (tags::VAT_20, 1),
    (tags::VAT_10, 2),
    (tags::TURNOVER_VAT_0, 5),
    (tags::TURNOVER_NO_VAT, 6),
    (tags::VAT_20_120, 3),
    (tags::VAT_10_110, 4),
];

/// Rates without a flat tag, whose tax stands in 1115.
const NEW_RATES: u16 = bit(7) | bit(8) | bit(9) | bit(10) | bit(11) | bit(12);

/// 1115 is a structure from 1.05 on; before it was an address.
#[inline]
pub(super) fn sums_exist(nest: &Nest<'_, '_>) -> bool {
    nest.whole.version() > FfdVersion::V1_0
}

/// Per cent of a rate on a day. Without a day the newer meaning of the codes 1 and 3 counts.
const fn percent(rate: u8, date: Option<LocalSeconds>) -> Option<u64> {
    Some(match (rate, date) {
        (1 | 3, Some(date)) if date.0 < FROM_2019.0 => 18,
        (1 | 3, _) => 20,
        (2 | 4, _) => 10,
        (5 | 6, _) => 0,
        (7 | 9, _) => 5,
        (8 | 10, _) => 7,
        (11 | 12, _) => 22,
        _ => return None,
    })
}

/// The tax that a sum holds; `None` for an unknown rate and for sums beyond any till.
#[inline]
pub(super) fn within(sum: u64, rate: u8, date: Option<LocalSeconds>) -> Option<u64> {
    let percent = percent(rate, date)?;
    if percent == 0 {
        return Some(0);
    }
    let base = percent.checked_add(100)?;
    sum.checked_mul(percent)?.checked_mul(2)?.checked_add(base)?.checked_div(base.checked_mul(2)?)
}

/// The tax of an item is what its rate takes out of its sum. Of 0 % and of "no tax" nothing is asked: real registers
/// write 0, nothing, or the turnover.
pub(super) fn c4(item: &Item<'_, '_>, out: &mut Violations) {
    let (Some(stated), Some(sum), rate) = (item.tax, item.sum, item.rate) else { return };
    if matches!(rate, 0 | 5 | 6) {
        return;
    }
    let Some(expected) = within(sum, rate, item.nest.whole.date) else { return };
    if stated == expected {
        return;
    }
    // Without a day the codes 1 and 3 may mean 18 % as well.
    if item.nest.whole.date.is_none() && within(sum, rate, Some(LocalSeconds(0))) == Some(stated) {
        return;
    }
    let (actual, expected) = (Datum::Number(stated), Datum::Number(expected));
    out.push(item.nest.finding(RuleId::C4, tags::ITEM_VAT_SUM, actual, expected));
}

/// Is the figure what the items come to? Firmware adds the rounded taxes of the items or takes the tax out of their
/// sum; both are within half a kopeck an item of the truth, so that a kopeck an item is allowed.
fn agrees(stated: u64, rate: u8, turnover: &Turnover, date: Option<LocalSeconds>) -> bool {
    let near = |figure: u64| figure.abs_diff(stated) <= turnover.items;
    match rate {
        5 | 6 => near(turnover.sum),
        _ => near(turnover.tax) || within(turnover.sum, rate, date).is_some_and(near),
    }
}

/// What should have stood there.
const fn due(rate: u8, turnover: &Turnover) -> u64 {
    match rate {
        5 | 6 => turnover.sum,
        _ => turnover.tax,
    }
}

/// The totals of tax are what the items come to, rate by rate.
pub(super) fn c5(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let items = receipt.items;
    if items.count == 0 || items.rateless > 0 || items.sumless > 0 {
        return;
    }
    let date = receipt.nest.whole.date;
    let stated = receipt.sums.is_some() || receipt.flat.iter().any(Option::is_some);
    for (&(tag, rate), &value) in FLAT.iter().zip(&receipt.flat) {
        let Some(turnover) = items.rates.get(usize::from(rate)) else { continue };
        // If not one total stands there, C7 speaks.
        if (value.is_none() && (turnover.items == 0 || !stated))
            || agrees(value.unwrap_or_default(), rate, turnover, date)
        {
            continue;
        }
        let expected = Datum::Number(due(rate, turnover));
        out.push(match value {
            Some(figure) => receipt.nest.finding(RuleId::C5, tag, Datum::Number(figure), expected),
            None => receipt.nest.lacks(RuleId::C5, tag, expected),
        });
    }
    for (rate, value) in receipt.sums.into_iter().flat_map(|sums| rows(sums.children())) {
        let Some((turnover, figure)) = items.rates.get(usize::from(rate)).zip(amount(value)) else {
            continue;
        };
        if !agrees(figure, rate, turnover, date) {
            let expected = Datum::Number(due(rate, turnover));
            out.push(finding(RuleId::C5, value, Datum::Number(figure), expected));
        }
    }
}

/// The rows of 1115: code of the rate and its tax (1120).
fn rows(sums: Tlv<'_>) -> impl Iterator<Item = (u8, Value<'_>)> {
    sums.map_while(Result::ok).filter(|(tag, _)| *tag == tags::RECEIPT_VAT).filter_map(|(_, row)| {
        let rate = find(row.children(), tags::VAT_RATE).and_then(code)?;
        Some((rate, find(row.children(), tags::VAT_SUM)?))
    })
}

/// Rates without a flat tag stand in 1115, each of them once; where no flat tag stands beside it, 1104 does, with 0.
pub(super) fn c6(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    if !sums_exist(receipt.nest) {
        return;
    }
    let mut seen = 0_u32;
    for (rate, value) in receipt.sums.into_iter().flat_map(|sums| rows(sums.children())) {
        let bit = 1_u32.checked_shl(u32::from(rate)).unwrap_or_default();
        if seen & bit != 0 {
            out.push(finding(
                RuleId::C6,
                value,
                Datum::Number(u64::from(rate)),
                Datum::word("каждая ставка один раз"),
            ));
        }
        seen |= bit;
    }
    if receipt.has_rate(NEW_RATES) {
        for rate in (7..=12_u8).filter(|&rate| receipt.has_rate(bit(rate)) && seen & (1 << rate) == 0) {
            let expected = Datum::quote(format!("1119 со ставкой {rate}"));
            out.push(receipt.nest.lacks(RuleId::C6, tags::RECEIPT_VAT_SUMS, expected));
        }
    }
    if receipt.sums.is_some() && receipt.flat.iter().all(Option::is_none) {
        out.push(receipt.nest.lacks(
            RuleId::C6,
            tags::TURNOVER_VAT_0,
            Datum::word("0, если из сумм НДС есть только 1115"),
        ));
    }
}

/// Items with rates come with a total of tax, be it that nothing is taxed.
pub(super) fn c7(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let items = receipt.items;
    if !sums_exist(receipt.nest) || items.count == items.rateless || receipt.sums.is_some() {
        return;
    }
    // New rates are asked for by C6.
    if receipt.flat.iter().any(Option::is_some) || receipt.has_rate(NEW_RATES) {
        return;
    }
    // Of nothing sold there is no total to tell.
    let due = |rate: u8| items.rates.get(usize::from(rate)).is_some_and(|turnover| due(rate, turnover) > 0);
    if let Some((tag, _)) = FLAT.into_iter().find(|(_, rate)| due(*rate)) {
        out.push(receipt.nest.lacks(RuleId::C7, tag, Datum::word("итог по ставкам предметов расчета")));
    }
}

/// 20 % ended and 22 % began with 2026. What comes back and what is paid off later keeps the rate of its sale.
pub(super) fn c8(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let Some(date) = receipt.nest.whole.date else { return };
    let (wanted, expected): (fn(u8) -> bool, _) = if date >= FROM_2026 {
        if !receipt.has_rate(bit(1) | bit(3)) || receipt.is_return() {
            return;
        }
        (|rate| matches!(rate, 1 | 3), "11 или 12 с 01.01.2026")
    } else {
        if !receipt.has_rate(bit(11) | bit(12)) {
            return;
        }
        (|rate| matches!(rate, 11 | 12), "1 или 3 до 01.01.2026")
    };
    for (value, item) in receipt.each_rate(wanted) {
        let on_credit = find(item, tags::PAYMENT_METHOD).and_then(code) == Some(7);
        if !(on_credit && date >= FROM_2026) {
            let actual = Datum::Number(code(value).unwrap_or_default().into());
            out.push(finding(RuleId::C8, value, actual, Datum::word(expected)));
        }
    }
}

/// 5 % and 7 % exist since 2025, and only for the simplified system (УСН: 2 or 4). An agent who sells for another tells
/// his own system and the supplier's rate, so that items with a supplier (1226) are asked for the day alone.
pub(super) fn c9(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    if !receipt.has_rate(bit(7) | bit(8) | bit(9) | bit(10)) {
        return;
    }
    let early = receipt.nest.whole.date.is_some_and(|date| date < FROM_2025);
    let system = receipt.taxation;
    let expected = match system {
        _ if early => "до 01.01.2025 ставок 5 и 7 % нет",
        Some(system) if system & 0b110 == 0 => "ставки 5 и 7 % только при 1055 = 2 или 4",
        _ => return,
    };
    for (value, item) in receipt.each_rate(|rate| matches!(rate, 7..=10)) {
        if !early && find(item, tags::SUPPLIER_INN).is_some() {
            continue;
        }
        let actual = Datum::Number(code(value).unwrap_or_default().into());
        out.push(finding(RuleId::C9, value, actual, Datum::word(expected)));
    }
}
