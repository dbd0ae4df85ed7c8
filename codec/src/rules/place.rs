//! B7: a receipt says where the settlement took place.

use alloc::string::ToString;

use super::receipt::Receipt;
use super::{Datum, RuleId, Violation, Violations};
use crate::{FfdVersion, Tag, tags};

/// From ФФД 1.1 on address and place are not blank; a settlement in the Internet names its site in any version.
/// A missing tag is B2's finding, except where only 1125 asks for it.
pub(super) fn b7(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    let nest = receipt.nest;
    let mut push = |tag: Tag, offset, actual, expected| {
        out.push(Violation {
            rule: RuleId::B7,
            tag: Some(tag),
            offset,
            actual,
            expected: Datum::word(expected),
        });
    };
    if nest.whole.version() >= FfdVersion::V1_1 {
        for tag in [tags::RETAIL_PLACE_ADDRESS, tags::RETAIL_PLACE] {
            if let Some(value) = nest.get(tag).filter(|value| value.bytes().trim_ascii().is_empty()) {
                push(tag, value.offset(), Datum::word("пусто"), "не пусто");
            }
        }
    }
    let internet = nest.get(tags::INTERNET_PAYMENT).filter(|value| value.bytes() == [1]);
    if let Some(internet) = internet {
        match nest.get(tags::RETAIL_PLACE) {
            None => push(tags::RETAIL_PLACE, internet.offset(), Datum::Absent, "адрес сайта при 1125 = 1"),
            // A name with a dot is all that can be asked: national domains come in CP866 letters.
            Some(place) if !place.bytes().contains(&b'.') => {
                let actual = Datum::quote(place.text().to_string());
                push(tags::RETAIL_PLACE, place.offset(), actual, "адрес сайта при 1125 = 1");
            }
            Some(_) => {}
        }
    }
}
