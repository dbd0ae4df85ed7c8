//! B1: every requisite stands where a table of the order puts it, as often as the table allows.

use super::walk::Place;
use super::{Datum, RuleId, Violations};
use crate::FfdVersion;

/// Undeclared requisites and forbidden repeats. Silent where no table is known: a nest that stands in a wrong place
/// is reported once, itself, not again for each of its children. Of ФФД 1.0 no table of the order was at hand, only
/// JSON schemas that real registers do not keep to, so there a tag is undeclared only when nobody knows its number.
pub(super) fn b1(place: &Place<'_>, out: &mut Violations) {
    if !place.charted {
        return;
    }
    match place.row {
        None if place.version == FfdVersion::V1_0 && place.entry.is_some() => {}
        None => {
            let known = place.entry.map_or("неизвестный реквизит", |entry| entry.name_ru);
            out.push(place.finding(RuleId::B1, Datum::word(known), Datum::Absent));
        }
        // Sources disagree about repeats of a few tags; one that lets a tag repeat is enough.
        Some(row) if place.again && !row.repeats && !place.entry.is_some_and(|entry| entry.repeatable) => {
            out.push(place.finding(RuleId::B1, Datum::word("повторяется"), Datum::word("один раз")));
        }
        Some(_) => {}
    }
}
