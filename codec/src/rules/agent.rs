//! B8: who sells for another names him.

use super::walk::Nest;
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, Value, tags};

/// An item with an agent flag, its own (1222) or the receipt's (1057), carries the ИНН of the supplier (1226).
pub(super) fn b8(nest: &Nest<'_, '_>, out: &mut Violations) {
    if nest.parent != tags::ITEM.0 || nest.whole.version() < FfdVersion::V1_05 {
        return;
    }
    if nest.get(tags::SUPPLIER_INN).is_some() {
        return;
    }
    let flagged = |value: Value<'_>| value.bytes().iter().any(|&byte| byte != 0);
    let expected = if nest.get(tags::ITEM_AGENT_FLAGS).is_some_and(flagged) {
        "present with 1222"
    } else if nest.whole.view.get(tags::AGENT_FLAGS).is_some_and(flagged) {
        "present with 1057"
    } else {
        return;
    };
    out.push(nest.lacks(RuleId::B8, tags::SUPPLIER_INN, Datum::word(expected)));
}
