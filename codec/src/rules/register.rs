//! B6: the registration number (регистрационный номер ККТ, 1037) belongs to this user and this register; its shape
//! and check digits stand in [`crate::registration_number`].
//!
//! Source: observed on registration documents.

use alloc::format;
use alloc::string::String;

use super::walk::Nest;
use super::{Datum, RuleId, Violation, Violations};
use crate::registration_number::{RegistrationNumber, check_digits};
use crate::tags;

/// Shape always; ownership where ИНН and factory number are known: a registration carries both, elsewhere the
/// factory number comes from the context.
pub(super) fn b6(document: &Nest<'_, '_>, out: &mut Violations) {
    let Some(value) = document.get(tags::KKT_REG_ID) else { return };
    let quote = || Datum::quote(String::from_utf8_lossy(value.bytes().trim_ascii_end()));
    let mut push = |actual, expected| {
        out.push(Violation {
            rule: RuleId::B6,
            tag: Some(tags::KKT_REG_ID),
            offset: value.offset(),
            actual,
            expected,
        });
    };
    let Ok(number) = RegistrationNumber::from_wire(value.bytes()) else {
        push(quote(), Datum::word("16 цифр"));
        return;
    };
    let of_document = document.get(tags::KKT_NUMBER).map(|value| value.bytes());
    let factory = of_document.or(document.whole.context.kkt_number.as_ref().map(<[u8; 20]>::as_slice));
    let (Some(inn), Some(factory)) = (document.get(tags::USER_INN), factory) else { return };
    let Some(expected) = check_digits(number.serial(), inn.bytes(), factory) else { return };
    if &expected != number.check() {
        let serial = String::from_utf8_lossy(number.serial());
        push(quote(), Datum::quote(format!("{serial}{}", String::from_utf8_lossy(&expected))));
    }
}
