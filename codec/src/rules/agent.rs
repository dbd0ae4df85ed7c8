//! B8: who sells for another names him.

use super::receipt::{Receipt, flagged};
use super::walk::find;
use super::{Datum, RuleId, Violation, Violations};
use crate::{FfdVersion, tags};

/// An item with an agent's flag, its own (1222) or the receipt's (1057), carries the ИНН of the supplier (1226).
pub(super) fn b8(receipt: &Receipt<'_, '_>, out: &mut Violations) {
    if receipt.nest.whole.version() < FfdVersion::V1_05 {
        return;
    }
    let whole = receipt.nest.get(tags::AGENT_FLAGS).is_some_and(flagged);
    if !whole && !receipt.items.agent_alone {
        return;
    }
    for item in receipt.each_item() {
        if find(item, tags::SUPPLIER_INN).is_some() {
            continue;
        }
        let expected = if find(item, tags::ITEM_AGENT_FLAGS).is_some_and(flagged) {
            "нужен, если указан 1222"
        } else if whole {
            "нужен, если указан 1057"
        } else {
            continue;
        };
        out.push(Violation {
            rule: RuleId::B8,
            tag: Some(tags::SUPPLIER_INN),
            offset: item.offset(),
            actual: Datum::Absent,
            expected: Datum::word(expected),
        });
    }
}
