//! The register's own counters of a shift (1194) beside what was added up from its receipts (rule D7). Pure.
//!
//! Shape of 1194 and of the counters of the drive's whole life (1157):
//!
//! ```text
//! 1194 ─┬─ 1134  receipts and corrections of all directions
//!       ├─ 1129 1130 1131 1132  by direction ─ { 1135 receipts │ 1201 total │ 1136 1138 1218 1219 1220 payment forms │
//!       │                                      1139 1140 1141 1142 tax of codes 1-4 │ 1143 1183 turnover of 5 and 6 }
//!       └─ 1133 ─┬─ 1144  corrections of all directions
//!                └─ 1145 1232 1146 1233  by direction ─ { 1135 │ 1201 │ payment forms }
//! ```
//! For the tax of 5, 7 and 22 % registers have no counters, so it is compared nowhere. A counter that is not there is
//! not compared.
//!
//! Source: order ЕД-7-20/662@, tags 1129-1146, 1157, 1194, 1201, 1218-1220, 1232, 1233.

use ofd_codec::{DocumentView, Tag, Value, tags};
use serde_json::{Map, Value as Json};

use super::event_bytes::read_tag;
use super::pack::{Packer, Unpacker};
use super::totals::{DIRECTION_NAMES, DIRECTIONS, PAYMENT_NAMES, Sums, Totals, VAT_NAMES};

const OF_RECEIPTS: [Tag; DIRECTIONS] =
    [tags::SELL_COUNTERS, tags::SELL_RETURN_COUNTERS, tags::BUY_COUNTERS, tags::BUY_RETURN_COUNTERS];
const OF_CORRECTIONS: [Tag; DIRECTIONS] = [
    tags::SELL_CORRECTION_COUNTERS,
    tags::SELL_RETURN_CORRECTION_COUNTERS,
    tags::BUY_CORRECTION_COUNTERS,
    tags::BUY_RETURN_CORRECTION_COUNTERS,
];
/// In the order of [`super::totals::PAYMENT_TAGS`].
const PAYMENTS: [Tag; 5] = [
    tags::COUNTER_CASH_SUM,
    tags::COUNTER_ECASH_SUM,
    tags::COUNTER_PREPAID_SUM,
    tags::COUNTER_CREDIT_SUM,
    tags::COUNTER_PROVISION_SUM,
];
/// By code of 1199 less one.
const VAT: [Tag; 6] = [
    tags::COUNTER_VAT_20,
    tags::COUNTER_VAT_10,
    tags::COUNTER_VAT_20_120,
    tags::COUNTER_VAT_10_110,
    tags::COUNTER_TURNOVER_VAT_0,
    tags::COUNTER_TURNOVER_NO_VAT,
];

/// One of the register's counters differs from what was added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The counter.
    pub tag: Tag,
    /// The structure it stands in: a direction, 1133 or 1194; 0 for what stands in the document itself.
    pub within: Tag,
    /// What the register says: kopecks or a count.
    pub stated: u64,
    /// What its documents add up to.
    pub counted: u64,
}

impl Mismatch {
    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { tag, within, stated, counted } = self;
        to.number(tag.0);
        to.number(within.0);
        to.number(*stated);
        to.number(*counted);
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (tag, within) = (read_tag(from)?, read_tag(from)?);
        Some(Self { tag, within, stated: from.number()?, counted: from.number()? })
    }
}

/// The counters of a closing report as a JSON object; `None` where it has none.
#[must_use]
pub(super) fn stated_json(close: &DocumentView<'_>) -> Option<String> {
    let counters = close.get(tags::SHIFT_COUNTERS)?;
    let mut json = Map::new();
    for (tag, value) in level(&counters) {
        if tag == tags::ALL_RECEIPTS_COUNT {
            put(&mut json, "receipts", &value);
        } else if let Some(name) = name_of(&OF_RECEIPTS, &DIRECTION_NAMES, tag) {
            json.insert(name.to_owned(), direction_json(&value));
        } else if tag == tags::CORRECTION_COUNTERS {
            for (tag, value) in level(&value) {
                if tag == tags::CORRECTIONS_COUNT {
                    put(&mut json, "corrections", &value);
                } else if let Some(name) = name_of(&OF_CORRECTIONS, &DIRECTION_NAMES, tag) {
                    json.insert(format!("{name}_correction"), direction_json(&value));
                }
            }
        }
    }
    Some(Json::Object(json).to_string())
}

fn direction_json(counters: &Value<'_>) -> Json {
    let mut json = Map::new();
    for (tag, value) in level(counters) {
        let named = match tag {
            tags::RECEIPTS_COUNT => Some("receipts"),
            tags::COUNTER_TOTAL_SUM => Some("total"),
            _ => name_of(&PAYMENTS, &PAYMENT_NAMES, tag).or_else(|| name_of(&VAT, &VAT_NAMES, tag)),
        };
        named.into_iter().for_each(|name| put(&mut json, name, &value));
    }
    Json::Object(json)
}

fn put(json: &mut Map<String, Json>, name: &str, counter: &Value<'_>) {
    if let Ok(number) = counter.vln() {
        json.insert(name.to_owned(), number.into());
    }
}

fn name_of(tags: &[Tag], names: &[&'static str], tag: Tag) -> Option<&'static str> {
    tags.iter().position(|it| *it == tag).and_then(|at| names.get(at)).copied()
}

/// Compares the counters of a closing report with the sums of its shift.
#[must_use]
pub(super) fn compare(close: &DocumentView<'_>, totals: &Totals) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let Some(counters) = close.get(tags::SHIFT_COUNTERS) else { return found };
    for (tag, value) in level(&counters) {
        if tag == tags::ALL_RECEIPTS_COUNT {
            check(&mut found, tags::SHIFT_COUNTERS, tag, &value, i64::from(totals.count()));
        } else if let Some(direction) = OF_RECEIPTS.iter().position(|it| *it == tag) {
            compare_direction(&mut found, tag, &value, &totals.receipts(direction));
        } else if tag == tags::CORRECTION_COUNTERS {
            let all = (0..DIRECTIONS).map(|it| totals.corrections(it).receipts).fold(0, u32::saturating_add);
            for (tag, value) in level(&value) {
                if tag == tags::CORRECTIONS_COUNT {
                    check(&mut found, tags::CORRECTION_COUNTERS, tag, &value, i64::from(all));
                } else if let Some(direction) = OF_CORRECTIONS.iter().position(|it| *it == tag) {
                    compare_direction(&mut found, tag, &value, &totals.corrections(direction));
                }
            }
        }
    }
    found
}

fn level<'v>(value: &Value<'v>) -> impl Iterator<Item = (Tag, Value<'v>)> + use<'v> {
    value.children().map_while(Result::ok)
}

fn compare_direction(found: &mut Vec<Mismatch>, within: Tag, counters: &Value<'_>, sums: &Sums) {
    for (tag, value) in level(counters) {
        let payment = PAYMENTS.iter().position(|it| *it == tag).and_then(|at| sums.payments.get(at));
        let vat = VAT.iter().position(|it| *it == tag).and_then(|at| sums.vat.get(at));
        let counted = match tag {
            tags::RECEIPTS_COUNT => Some(i64::from(sums.receipts)),
            tags::COUNTER_TOTAL_SUM => Some(sums.total),
            _ => payment.or(vat).copied(),
        };
        if let Some(counted) = counted {
            check(found, within, tag, &value, counted);
        }
    }
}

/// Counts have four bytes, sums up to six; both are read alike. What cannot be read is not compared: rule B4 tells of it.
fn check(found: &mut Vec<Mismatch>, within: Tag, tag: Tag, value: &Value<'_>, counted: i64) {
    let (Ok(stated), Ok(counted)) = (value.vln(), u64::try_from(counted)) else { return };
    if stated != counted {
        found.push(Mismatch { tag, within, stated, counted });
    }
}
