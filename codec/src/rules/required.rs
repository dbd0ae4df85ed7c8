//! B2 and B3: what a table demands is there.

use super::walk::Nest;
use super::{Datum, RuleId, Violations};
use crate::{FfdVersion, Tag, tags};

/// What is expected of a requisite that has to be there, whatever the rest says.
pub(super) const PRESENT: &str = "нужен";

/// Rows of code 1 that speak of the wire. Rows of the printed form and rows whose obligation nobody has seen in the
/// order (ФФД 1.0, requisites of 2025) demand nothing.
///
/// One exception: 1209 in ФФД 1.05. A document without it can only be 1.05 by the P-version of its session, and
/// firmware is known that sends 01 05 for 1.0 as well, where 1209 does not exist; of the real documents at hand more
/// than a third are such.
#[inline(always)]
pub(super) fn b2(nest: &Nest<'_, '_>, out: &mut Violations) {
    if !nest.has_all(nest.chart.must) {
        missing(nest, out);
    }
}

#[cold]
fn missing(nest: &Nest<'_, '_>, out: &mut Violations) {
    let undeclared = nest.whole.version() == FfdVersion::V1_05;
    for row in nest.missing(nest.chart.must) {
        if undeclared && row.tag == tags::FFD_VERSION {
            continue;
        }
        out.push(nest.lacks(RuleId::B2, row.tag, Datum::word(PRESENT)));
    }
}

/// A condition under which a row of code 2 demands its tag.
struct Condition {
    forms: &'static [u8],
    /// The requisite that decides, and what it must be.
    when: Tag,
    holds: fn(u64) -> bool,
    /// What is demanded then, and why, in words.
    demands: &'static [Tag],
    because: &'static str,
}

/// Conditions inside the document itself that the order states and real documents keep.
const CONDITIONS: &[Condition] = &[
    Condition {
        forms: &[1, 11],
        when: tags::AUTO_MODE,
        holds: |value| value == 1,
        demands: &[tags::MACHINE_NUMBER],
        because: "нужен при 1001 = 1",
    },
    Condition {
        forms: &[1, 11],
        when: tags::OFFLINE_MODE,
        holds: |value| value == 0,
        demands: &[tags::OFD_INN],
        because: "нужен при 1002 = 0",
    },
    Condition {
        forms: &[5, 21],
        when: tags::UNSENT_DOCUMENTS,
        holds: |value| value > 0,
        demands: &[tags::UNSENT_SINCE],
        because: "нужен при 1097 > 0",
    },
];

/// Rows of code 2 whose condition the document itself fulfils.
pub(super) fn b3(nest: &Nest<'_, '_>, out: &mut Violations) {
    if nest.whole.view.form().is_receipt_like() {
        return;
    }
    for condition in CONDITIONS.iter().filter(|condition| condition.forms.contains(&nest.whole.form)) {
        let fulfilled =
            nest.get(condition.when).and_then(|value| value.vln().ok()).is_some_and(condition.holds);
        if !fulfilled {
            continue;
        }
        let demanded = |tag: &Tag| condition.demands.contains(tag);
        for row in nest.missing(nest.chart.conditional) {
            if demanded(&row.tag) {
                out.push(nest.lacks(RuleId::B3, row.tag, Datum::word(condition.because)));
            }
        }
    }
}
