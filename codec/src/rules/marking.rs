//! G1-G5: marked goods (маркированные товары), as far as one receipt tells.
//!
//! Source: order ЕД-7-20/662@, ФФД 1.2, tables 97 and 150; the rest is practice and no more than a warning.

use super::receipt::{Item, Receipt, amount, code, is_odd};
use super::walk::{Nest, find, finding};
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, Tag, Value, tags};

/// Kinds of product code (1163) that are marking codes.
const MARKING_CODES: [Tag; 4] = [tags::CODE_GS1M, tags::CODE_FUR, tags::CODE_EGAIS2, tags::CODE_EGAIS3];

fn is_1_2(nest: &Nest<'_, '_>) -> bool {
    nest.whole.version() == FfdVersion::V1_2
}

/// Marked goods are sold by a register of ФФД 1.2 that is registered for them.
pub(super) fn g1(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    if !receipt.items.marked {
        return;
    }
    let expected = if !is_1_2(receipt.nest) {
        "касса с ФФД 1.2"
    } else if receipt.nest.whole.context.marked_goods == Some(false) {
        "касса, зарегистрированная для маркированных товаров (1290, бит 8)"
    } else {
        return;
    };
    for item in receipt.each_item() {
        if let Some(value) = find(item, tags::PAYMENT_SUBJECT)
            && let Some(subject @ 30..=33) = code(value)
        {
            out.push(finding(RuleId::G1, value, Datum::Number(subject.into()), Datum::word(expected)));
        }
    }
}

/// The kind of goods (1212) and the marking code agree.
pub(super) fn g2(item: &Item<'_, '_>, out: &mut Violations) {
    let subject @ 30..=33 = item.subject else { return };
    if !is_1_2(item.nest) {
        return;
    }
    let product = item.nest.get(tags::PRODUCT_CODE_STLV);
    let inside = |tag: Tag| product.and_then(|product| find(product.children(), tag));
    if matches!(subject, 30 | 32) {
        let code = MARKING_CODES.into_iter().find_map(inside);
        if let Some(value) = code.or_else(|| item.nest.get(tags::ITEM_CHECK_RESULT)) {
            let actual = Datum::word("указан");
            out.push(finding(RuleId::G2, value, actual, Datum::word("не указывается при 1212 = 30 или 32")));
        }
        return;
    }
    for tag in [tags::PRODUCT_CODE_STLV, tags::CODE_PROCESSING_MODE, tags::ITEM_CHECK_RESULT] {
        if item.nest.get(tag).is_none() {
            out.push(item.nest.lacks(RuleId::G2, tag, Datum::word("нужен при 1212 = 31 или 33")));
        }
    }
    if let Some(value) = inside(tags::CODE_UNKNOWN) {
        let actual = Datum::word("вид кода не определен");
        out.push(finding(RuleId::G2, value, actual, Datum::word("код известного вида")));
    }
}

/// A result of the check says yes only to what was asked, and a no among them is told of the whole receipt (2107).
pub(super) fn g3(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let items = receipt.items;
    if items.check_odd {
        for item in receipt.each_item() {
            if let Some(value) = find(item, tags::ITEM_CHECK_RESULT)
                && let Some(bits) = code(value).filter(|&bits| is_odd(bits))
            {
                let expected = Datum::word("бит 1 только вместе с битом 0, бит 3 только вместе с битом 2");
                out.push(finding(RuleId::G3, value, Datum::Number(bits.into()), expected));
            }
        }
    }
    if !items.check_negative {
        return;
    }
    let told = receipt.nest.get(tags::RECEIPT_CHECK_RESULT);
    let expected = Datum::word("1, если проверка товара дала отрицательный результат");
    match told.map(|value| (value, code(value))) {
        None => out.push(receipt.nest.lacks(RuleId::G3, tags::RECEIPT_CHECK_RESULT, expected)),
        Some((value, Some(0))) => out.push(finding(RuleId::G3, value, Datum::Number(0), expected)),
        Some(_) => {}
    }
}

/// A fraction of a package (1291): of one piece, less than the whole, written as it is counted.
pub(super) fn g4(item: &Item<'_, '_>, out: &mut Violations) {
    let nest = item.nest;
    let Some(fraction) = nest.get(tags::FRACTION) else { return };
    let mut push = |value: Value<'_>, actual: Datum, expected: &'static str| {
        out.push(finding(RuleId::G4, value, actual, Datum::word(expected)));
    };
    if let Some(measure) = nest.get(tags::QUANTITY_MEASURE)
        && let Some(unit @ 1..) = code(measure)
    {
        push(measure, Datum::Number(unit.into()), "0 при дробном количестве (1291)");
    }
    if let Some(value) = nest.get(tags::QUANTITY)
        && let Some(quantity) = item.quantity.filter(|quantity| quantity.to_decimal(0) != Some(1))
    {
        push(value, Datum::quote(alloc::format!("{quantity}")), "1 при дробном количестве (1291)");
    }
    let part = |tag: Tag| find(fraction.children(), tag);
    let (Some(above), Some(below)) = (part(tags::NUMERATOR), part(tags::DENOMINATOR)) else { return };
    let (Some(numerator), Some(denominator)) = (amount(above), amount(below)) else { return };
    if numerator == 0 || numerator >= denominator {
        push(above, Datum::Number(numerator), "больше 0 и меньше знаменателя (1294)");
    }
    if let Some(text) = part(tags::FRACTION_TEXT)
        && written(text.bytes()) != Some((numerator, denominator))
    {
        push(
            text,
            Datum::quote(alloc::format!("{}", text.text().trimmed())),
            "числитель/знаменатель (1293/1294)",
        );
    }
}

/// The two numbers of a fraction as it is written: digits, a slash, digits.
fn written(text: &[u8]) -> Option<(u64, u64)> {
    let (above, below) = core::str::from_utf8(text.trim_ascii()).ok()?.split_once('/')?;
    Some((above.parse().ok()?, below.parse().ok()?))
}

/// The requisites of the permissive mode (разрешительный режим): body, day and number of its foundation.
const PERMISSIVE: [(Tag, &[u8]); 3] = [
    (tags::ID_FOIV, b"030"),
    (tags::FOUNDATION_DOC_DATE_TIME, b"21.11.2023"),
    (tags::FOUNDATION_DOC_NUMBER, b"1944"),
];

/// `UUID=...&Time=...`, and whatever follows.
fn is_answer(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"UUID=") else { return false };
    let mut fields = rest.split(|&byte| byte == b'&');
    let id = fields.next().unwrap_or_default();
    !id.is_empty()
        && fields.any(|field| {
            field.strip_prefix(b"Time=").is_some_and(|time| time.first().is_some_and(u8::is_ascii_digit))
        })
}

/// An industry detail of the permissive mode is complete: whoever names its foundation brings its answer, and the
/// other way round.
pub(super) fn g5(nest: &Nest<'_, '_>, out: &mut Violations) {
    let text = |tag: Tag| nest.get(tag).map(|value| (value, value.bytes().trim_ascii()));
    let Some((answer, given)) = text(tags::INDUSTRY_PROP_VALUE) else { return };
    let answered = is_answer(given);
    let founded = text(tags::FOUNDATION_DOC_NUMBER).is_some_and(|(_, number)| number == b"1944");
    if founded && !answered {
        let actual = Datum::quote(alloc::format!("{}", answer.text()));
        out.push(finding(RuleId::G5, answer, actual, Datum::word("UUID=...&Time=... при 1264 = 1944")));
    }
    if !answered && !founded {
        return;
    }
    for (tag, expected) in PERMISSIVE {
        if let Some((value, _)) = text(tag).filter(|(_, bytes)| *bytes != expected) {
            let expected = core::str::from_utf8(expected).unwrap_or_default();
            let actual = Datum::quote(alloc::format!("{}", value.text().trimmed()));
            out.push(finding(RuleId::G5, value, actual, Datum::quote(expected)));
        }
    }
}
