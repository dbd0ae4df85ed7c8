//! What a search tells of a document: its keys and the columns that lists of receipts show.

use crate::columns::Cell;
use crate::position::{Lsn, Position};

/// Codes of 1199 with the columns that hold tax, or turnover without tax, of that code.
pub(super) const VAT_COLUMNS: [(u8, &[&str]); 12] = [
    (1, &["vat20", "vat18"]),
    (2, &["vat10"]),
    (3, &["vat20c", "vat18c"]),
    (4, &["vat10c"]),
    (5, &["turnover_vat0"]),
    (6, &["turnover_no_vat"]),
    (7, &["vat5"]),
    (8, &["vat7"]),
    (9, &["vat5c"]),
    (10, &["vat7c"]),
    (11, &["vat22"]),
    (12, &["vat22c"]),
];

/// A document that was found. Money in kopecks.
///
/// Shows personal data of buyers and cashiers: to whom, its capability has said. The whole document is read by drive
/// and number, or by position. `Debug` names the place and shows no contents.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SearchHit {
    /// Where it stands in the log.
    pub position: Position,
    /// 0 = the one that counts.
    pub variant: u8,
    /// `prod` or `test`.
    pub realm: String,
    /// INN of the user (1018).
    pub inn: Option<String>,
    /// Registration number of the register (1037).
    pub rnm: Option<String>,
    /// The drive (1041), padding off.
    pub drive: String,
    /// Number of the document (1040).
    pub number: u32,
    /// Printed fiscal sign (1077).
    pub sign: Option<u32>,
    /// JSON name of the form.
    pub form: Option<String>,
    /// 1012, seconds on the clock of the till.
    pub local_seconds: Option<i64>,
    /// When it was received, microseconds UTC.
    pub received_at_us: i64,
    /// When it was answered, microseconds UTC.
    pub answered_at_us: i64,
    /// With what code; 255: never.
    pub answer_code: u8,
    /// `live` or `import`.
    pub provenance: String,
    /// Number of the shift (1038).
    pub shift: Option<i64>,
    /// Number in the shift (1042).
    pub number_in_shift: Option<i64>,
    /// 1054: 1 income, 2 its return, 3 expense, 4 its return.
    pub direction: Option<i64>,
    /// +1, −1 or 0, see [`crate::columns`].
    pub revenue_sign: i64,
    /// 1020.
    pub total: Option<i64>,
    /// 1031.
    pub cash: Option<i64>,
    /// 1081.
    pub ecash: Option<i64>,
    /// 1215.
    pub prepaid: Option<i64>,
    /// 1216.
    pub credit: Option<i64>,
    /// 1217.
    pub provision: Option<i64>,
    /// By code of 1199: tax, of codes 5 and 6 turnover. Codes of which the document says nothing are left out.
    pub vat: Vec<(u8, i64)>,
    /// Bits of 1055, or of 1062 in a registration.
    pub tax_system: Option<i64>,
    /// 1048.
    pub user_name: Option<String>,
    /// 1009.
    pub address: Option<String>,
    /// 1187.
    pub place: Option<String>,
    /// 1021.
    pub cashier: Option<String>,
    /// 1203.
    pub cashier_inn: Option<String>,
    /// 1036.
    pub automat: Option<String>,
    /// 1125 or 1108.
    pub internet: Option<bool>,
    /// Bits of 1057.
    pub agent_flags: Option<i64>,
    /// 1008.
    pub buyer_contact: Option<String>,
    /// 1227.
    pub buyer_name: Option<String>,
    /// 1228.
    pub buyer_inn: Option<String>,
    /// 1173.
    pub correction_type: Option<i64>,
    /// Items.
    pub items: Option<i64>,
    /// Findings of the rules; `None`: not checked.
    pub findings: Option<i64>,
}

impl std::fmt::Debug for SearchHit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, drive, number, .. } = self;
        f.debug_struct("SearchHit")
            .field("position", position)
            .field("drive", drive)
            .field("number", number)
            .finish_non_exhaustive()
    }
}

impl SearchHit {
    /// The columns that [`SearchHit::of`] asks for.
    pub(super) const COLUMNS: [&'static str; 53] = [
        "position",
        "variant",
        "realm",
        "inn",
        "rnm",
        "fn",
        "fd",
        "fpd",
        "form",
        "ts_local",
        "received_at",
        "answered_at",
        "answer_code",
        "provenance",
        "shift",
        "number_in_shift",
        "direction",
        "revenue_sign",
        "total",
        "cash",
        "ecash",
        "prepaid",
        "credit",
        "provision",
        "vat20",
        "vat18",
        "vat10",
        "vat20c",
        "vat18c",
        "vat10c",
        "turnover_vat0",
        "turnover_no_vat",
        "vat5",
        "vat7",
        "vat5c",
        "vat7c",
        "vat22",
        "vat22c",
        "tax_system",
        "user_name",
        "address",
        "place",
        "cashier",
        "cashier_inn",
        "automat",
        "internet",
        "agent_flags",
        "buyer_contact",
        "buyer_name",
        "buyer_inn",
        "correction_type",
        "items_n",
        "violations_n",
    ];

    /// From the cells of a row of `documents`, by the names of their columns.
    pub(super) fn of<'c>(cell: &dyn Fn(&str) -> Cell<'c>) -> Self {
        let int = |name: &str| match cell(name) {
            Cell::Int(value) => Some(value),
            _ => None,
        };
        let text = |name: &str| match cell(name) {
            Cell::Text(value) => Some(value.to_owned()),
            Cell::Coded(value) => Some(value.to_string()),
            _ => None,
        };
        let small = |name: &str| int(name).and_then(|it| u8::try_from(it).ok());
        let number = |name: &str| int(name).and_then(|it| u32::try_from(it).ok());
        let lsn = int("position").and_then(|it| u64::try_from(it).ok()).unwrap_or_default();
        let of_code = |(code, names): &(u8, &[&str])| Some((*code, names.iter().find_map(|it| int(it))?));
        Self {
            position: Position::new(Lsn::new(lsn)),
            variant: small("variant").unwrap_or(u8::MAX),
            realm: text("realm").unwrap_or_default(),
            inn: text("inn"),
            rnm: text("rnm"),
            drive: text("fn").unwrap_or_default(),
            number: number("fd").unwrap_or_default(),
            sign: number("fpd"),
            form: text("form"),
            local_seconds: int("ts_local").map(|millis| millis.div_euclid(1000)),
            received_at_us: int("received_at").unwrap_or_default(),
            answered_at_us: int("answered_at").unwrap_or_default(),
            answer_code: small("answer_code").unwrap_or(u8::MAX),
            provenance: text("provenance").unwrap_or_default(),
            shift: int("shift"),
            number_in_shift: int("number_in_shift"),
            direction: int("direction"),
            revenue_sign: int("revenue_sign").unwrap_or_default(),
            total: int("total"),
            cash: int("cash"),
            ecash: int("ecash"),
            prepaid: int("prepaid"),
            credit: int("credit"),
            provision: int("provision"),
            vat: VAT_COLUMNS.iter().filter_map(of_code).collect(),
            tax_system: int("tax_system"),
            user_name: text("user_name"),
            address: text("address"),
            place: text("place"),
            cashier: text("cashier"),
            cashier_inn: text("cashier_inn"),
            automat: text("automat"),
            internet: match cell("internet") {
                Cell::Flag(flag) => Some(flag),
                _ => None,
            },
            agent_flags: int("agent_flags"),
            buyer_contact: text("buyer_contact"),
            buyer_name: text("buyer_name"),
            buyer_inn: text("buyer_inn"),
            correction_type: int("correction_type"),
            items: int("items_n"),
            findings: int("violations_n"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::columns::Table;

    // A column that is not read would be empty in every list, and nobody would notice.
    #[test]
    fn every_column_of_a_hit_is_read_and_is_one_of_the_table() {
        let asked = RefCell::new(BTreeSet::new());
        SearchHit::of(&|name| {
            asked.borrow_mut().insert(name.to_owned());
            Cell::Null
        });
        let asked = asked.into_inner();
        assert_eq!(asked, SearchHit::COLUMNS.iter().map(|it| (*it).to_owned()).collect());
        for name in asked {
            assert!(Table::Documents.column_index(&name).is_some(), "{name}");
        }
    }
}
