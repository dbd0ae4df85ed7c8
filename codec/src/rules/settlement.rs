//! C10-C12, C16, C17: tax system, payment and kind of a settlement, and what the Internet asks for.
//!
//! Source: 54-ФЗ, article 4.7; order ЕД-7-20/662@, tags 1054, 1055, 1062, 1108, 1125, 1214-1216; letters of the ФНС.

use super::receipt::{Receipt, code};
use super::walk::{Nest, finding};
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, LocalSeconds, tags};

/// 2021-01-01: the single tax on imputed income (ЕНВД, 8) ended.
const NO_IMPUTED: LocalSeconds = LocalSeconds(1_609_459_200);
const IMPUTED: u8 = 8;

/// One tax system, one that the register is registered for, and one that exists.
pub(super) fn c10(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let Some(system) = receipt.taxation else { return };
    let whole = receipt.nest.whole;
    let ended =
        system == IMPUTED && !receipt.is_return() && whole.date.is_some_and(|date| date >= NO_IMPUTED);
    let expected = if system.count_ones() != 1 {
        Datum::word("ровно одна система налогообложения")
    } else if let Some(registered) = whole.context.taxation_types.filter(|it| it & system == 0) {
        Datum::quote(alloc::format!("одна из указанных при регистрации: 1062 = {registered}"))
    } else if ended {
        Datum::word("не 8 с 01.01.2021")
    } else {
        return;
    };
    let actual = Datum::Number(system.into());
    out.push(receipt.nest.finding(RuleId::C10, tags::APPLIED_TAXATION_TYPE, actual, expected));
}

/// Bits of the codes of 1214.
const fn methods(codes: &[u8]) -> u8 {
    let (mut mask, mut rest) = (0, codes);
    while let [code, tail @ ..] = rest {
        mask |= 1 << *code;
        rest = tail;
    }
    mask
}

/// How it is paid agrees with what the items say of it: a credit belongs to 1214 = 5 or 6, an offset of what was paid
/// before to 4 or 5.
pub(super) fn c11(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let items = receipt.items;
    if items.count == 0 || items.methodless > 0 {
        return;
    }
    for (sum, tag, mask, expected) in [
        (receipt.credit, tags::CREDIT_SUM, methods(&[5, 6]), "предмет расчета с 1214 = 5 или 6"),
        (receipt.prepaid, tags::PREPAID_SUM, methods(&[4, 5]), "предмет расчета с 1214 = 4 или 5"),
    ] {
        if sum > 0
            && items.methods & mask == 0
            && let Some(value) = receipt.nest.get(tag)
        {
            out.push(finding(RuleId::C11, value, Datum::Number(sum), Datum::word(expected)));
        }
    }
}

/// A correction of ФФД 1.05 is of income or of expense; returns are corrected from 1.1 on.
pub(super) fn c12(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let whole = receipt.nest.whole;
    if whole.version() != FfdVersion::V1_05 || !whole.is_correction() || !receipt.is_return() {
        return;
    }
    if let Some(value) = receipt.nest.get(tags::OPERATION_TYPE) {
        let actual = Datum::Number(code(value).unwrap_or_default().into());
        out.push(finding(RuleId::C12, value, actual, Datum::word("1 или 3 в коррекции ФФД 1.05")));
    }
}

/// A settlement in the Internet: 1125 says so since 2025, 1108 before.
fn is_internet(nest: &Nest<'_, '_>) -> bool {
    [tags::INTERNET_PAYMENT, tags::INTERNET_SIGN]
        .into_iter()
        .any(|tag| nest.get(tag).is_some_and(|value| value.bytes() == [1]))
}

/// Who buys in the Internet gets the receipt at an address; a receipt sent by mail names its sender.
pub(super) fn c16(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let nest = receipt.nest;
    let buyer = nest.get(tags::BUYER_CONTACT).filter(|value| !value.bytes().trim_ascii().is_empty());
    match buyer {
        None if is_internet(nest) => {
            out.push(nest.lacks(
                RuleId::C16,
                tags::BUYER_CONTACT,
                Datum::word("нужен при расчете в интернете"),
            ));
        }
        Some(buyer) if buyer.bytes().contains(&b'@') && nest.get(tags::SENDER_EMAIL).is_none() => {
            out.push(nest.lacks(
                RuleId::C16,
                tags::SENDER_EMAIL,
                Datum::word("нужен, если в 1008 адрес электронной почты"),
            ));
        }
        _ => {}
    }
}

/// A register for the Internet alone takes no cash.
pub(super) fn c17(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    if receipt.cash == 0 {
        return;
    }
    let nest = receipt.nest;
    let only = nest.get(tags::INTERNET_SIGN).is_some_and(|value| value.bytes() == [1]);
    if !only && !nest.whole.context.internet_only {
        return;
    }
    if let Some(value) = nest.get(tags::CASH_SUM) {
        out.push(finding(
            RuleId::C17,
            value,
            Datum::Number(receipt.cash),
            Datum::word("0 для кассы, зарегистрированной только для интернета"),
        ));
    }
}
