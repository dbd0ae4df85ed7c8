//! B6: the registration number (регистрационный номер ККТ, 1037) belongs to this user and this register.
//!
//! Shape:  `[serial: 10 digits][check: 6 digits]`, padded with spaces to twenty bytes. The check is the decimal
//! CRC-16/IBM-3740 of serial, user ИНН padded left with zeros to 12, and factory number padded left with zeros to 20.
//! Source: observed on registration documents.

use super::walk::Whole;
use super::{Datum, RuleId, Violation, Violations};
use crate::tags;

const SERIAL_LEN: usize = 10;
const NUMBER_LEN: usize = 16;

/// Shape always; ownership where ИНН and factory number are known: a registration carries both, elsewhere the
/// factory number comes from the context.
pub(super) fn b6(whole: &Whole<'_, '_>, out: &mut Violations) {
    let Some(value) = whole.view.get(tags::KKT_REG_ID) else { return };
    let number = value.bytes().trim_ascii_end();
    let quote = || Datum::quote(String::from_utf8_lossy(number));
    let mut push = |actual, expected| {
        out.push(Violation {
            rule: RuleId::B6,
            tag: Some(tags::KKT_REG_ID),
            offset: value.offset(),
            actual,
            expected,
        });
    };
    let Some((serial, check)) = number
        .split_first_chunk::<SERIAL_LEN>()
        .filter(|_| number.len() == NUMBER_LEN && number.iter().all(u8::is_ascii_digit))
    else {
        push(quote(), Datum::word("16 digits"));
        return;
    };
    let inn = whole.view.get(tags::USER_INN).map(|value| value.bytes().trim_ascii());
    let of_document = whole.view.get(tags::KKT_NUMBER).map(|value| value.bytes());
    let factory = of_document.or(whole.context.kkt_number.as_ref().map(<[u8; 20]>::as_slice));
    let (Some(inn), Some(factory)) = (inn, factory.map(<[u8]>::trim_ascii)) else { return };
    if inn.is_empty() || inn.len() > 12 || factory.is_empty() || factory.len() > 20 {
        return;
    }
    let mut owner = [b'0'; SERIAL_LEN + 12 + 20];
    let (serial_at, rest) = owner.split_at_mut(SERIAL_LEN);
    let (inn_at, factory_at) = rest.split_at_mut(12);
    serial_at.copy_from_slice(serial);
    right(inn_at, inn);
    right(factory_at, factory);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc16Ibm3740, &owner);
    let expected = format!("{crc:06}");
    if expected.as_bytes() != check {
        push(quote(), Datum::quote(format!("{}{expected}", String::from_utf8_lossy(serial))));
    }
}

/// Writes `text` into the right end of `field`.
fn right(field: &mut [u8], text: &[u8]) {
    for (place, &byte) in field.iter_mut().rev().zip(text.iter().rev()) {
        *place = byte;
    }
}
