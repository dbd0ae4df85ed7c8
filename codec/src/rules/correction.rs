//! C13: a correction says why it is made and which day it repairs.
//!
//! Source: order ЕД-7-20/662@, tags 1173, 1174, 1178, 1179; 54-ФЗ, article 4.3.

use super::receipt::{Receipt, code};
use super::required::PRESENT;
use super::walk::{find, finding};
use super::{Datum, RuleId, Violations};
use crate::dictionary::{Carrier, Need, requirement};
use crate::{Civil, FfdVersion, LocalSeconds, Tag, tags};

/// Seconds of a day: 1178 is a date, its time of day means nothing.
const DAY: u32 = 86_400;

/// Type, date and, where the tax service has demanded it, the number of its order. A tag that the tables demand by
/// themselves is B2's where it is missing. Of ФФД 1.0 no such tags are known.
pub(super) fn c13(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let whole = receipt.nest.whole;
    if !whole.is_correction() || whole.version() == FfdVersion::V1_0 {
        return;
    }
    let demanded = |parent: u16, tag: Tag| {
        requirement(whole.version(), whole.form, parent, tag)
            .is_some_and(|row| row.need == Need::Must && row.carrier == Carrier::Wire)
    };
    let kind = receipt.nest.get(tags::CORRECTION_TYPE);
    if kind.is_none() && !demanded(0, tags::CORRECTION_TYPE) {
        out.push(receipt.nest.lacks(RuleId::C13, tags::CORRECTION_TYPE, Datum::word(PRESENT)));
    }
    let Some(base) = receipt.nest.get(tags::CORRECTION_BASE) else {
        if !demanded(0, tags::CORRECTION_BASE) {
            out.push(receipt.nest.lacks(RuleId::C13, tags::CORRECTION_BASE, Datum::word(PRESENT)));
        }
        return;
    };
    let inside = base.tag().0;
    let missing = |tag: Tag, expected: &'static str| super::Violation {
        rule: RuleId::C13,
        tag: Some(tag),
        offset: base.offset(),
        actual: Datum::Absent,
        expected: Datum::word(expected),
    };
    match find(base.children(), tags::CORRECTION_DATE) {
        None if demanded(inside, tags::CORRECTION_DATE) => {}
        None => out.push(missing(tags::CORRECTION_DATE, PRESENT)),
        Some(value) => {
            let own = receipt.nest.get(tags::DATE_TIME).and_then(|value| value.unixtime().ok());
            let repaired = value.unixtime().ok();
            let day = |time: LocalSeconds| time.0 / DAY;
            if let Some((own, repaired)) = own.zip(repaired)
                && day(repaired) > day(own)
            {
                let actual = {
                    let Civil { day, month, year, .. } = Civil::from(repaired);
                    Datum::quote(alloc::format!("{day:02}.{month:02}.{year}"))
                };
                let expected = Datum::word("не позже даты документа (1012)");
                out.push(finding(RuleId::C13, value, actual, expected));
            }
        }
    }
    let number = find(base.children(), tags::CORRECTION_NUMBER);
    if kind.and_then(code) == Some(1)
        && !demanded(inside, tags::CORRECTION_NUMBER)
        && number.is_none_or(|value| value.bytes().trim_ascii().is_empty())
    {
        out.push(missing(tags::CORRECTION_NUMBER, "нужен при 1173 = 1"));
    }
}
