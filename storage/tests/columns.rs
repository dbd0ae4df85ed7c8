//! Columns: each value of a document stands where the tables promise it, in the promised type.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use compact_support::*;
use ofd_codec::{Form, LocalSeconds, Quantity, Tag, TlvWriter};
use ofd_storage::RecordKind;
use ofd_storage::columns::{
    Cell, Derive, Finding, RegisterRow, RowReader, ShiftRow, ShiftSums, TITLE_KEY, Table,
};
use ofd_storage::compact::{CompactOptions, SourceRecord, compact};
use ofd_storage::envelope::{Provenance, Realm};
use ofd_storage::merge::{MergeRules, merge_archive};
use ofd_storage::status::{StatusEvent, StatusKind, StatusOf, encode};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Compacts one document and hands its directory to the questions.
fn one(sent: &Sent) -> Place {
    let place = place();
    let mut log = MemoryLog::of(std::slice::from_ref(sent), 1);
    log.segments[0].push(other(2, RecordKind::Command, b"a command"));
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    place
}

/// The values of one document in `documents`.
fn check(place: &Place, table: &str, expected: &[(&str, Option<&str>)]) {
    let files = glob(place.dir.path(), table);
    assert_eq!(files.len(), 1);
    let all = all_values(&files[0].1);
    for (name, value) in expected {
        let found: Vec<_> = all[*name].iter().map(Option::as_deref).collect();
        assert_eq!(found, [*value], "{table}.{name}");
    }
}

fn with_tags(receipt: &Receipt, more: impl Fn(&mut TlvWriter<'_>)) -> Place {
    one(&Sent::with(receipt, receipt.plain_with(more)))
}

const DRIVE: &str = "9960440300000001";

/// Names, order and types of all columns as outsiders rely on them.
#[test]
fn tables_have_the_promised_columns_in_the_promised_types() {
    const DOCUMENTS: &str = "position:i64 partition_seq:i64 variant:i32 tenant:text realm:text inn:text rnm:text fn:text \
        fd:i64 fpd:i64 form:text form_code:i32 ffd:text ts_local:ms zone_min:i32 received_at:us late_s:i64 shift:i64 \
        number_in_shift:i64 direction:i32 revenue_sign:i32 total:money cash:money ecash:money prepaid:money \
        credit:money provision:money vat20:money vat10:money vat20c:money vat10c:money vat5:money vat7:money \
        vat5c:money vat7c:money vat22:money vat22c:money vat18:money vat18c:money vat_rate_guess:bool \
        turnover_vat0:money turnover_no_vat:money user_name:text address:text place:text tax_system:i32 cashier:text \
        cashier_inn:text automat:text internet:bool agent_flags:i32 buyer_contact:text buyer_name:text \
        buyer_inn:text correction_type:i32 correction_date:date correction_number:text items_n:i32 \
        violations_n:i32 answer_code:i32 answered_at:us provenance:text replaces_drive:bool";
    const CONTAINERS: &str = "position:i64 fn:text fd:i64 variant:i32 raw:bytes plain:bytes envelope:bytes detail:text \
        received_at:us partition:i32 partition_seq:i64 flags:i32 key_id:i64 answer_code:i32 payload:bytes";
    const RECORDS: &str = "position:i64 kind:text received_at:us key:text payload:bytes kind_code:i32 partition:i32 \
        partition_seq:i64 flags:i32 key_id:i64 answer_code:i32";
    const ITEMS: &str = "position:i64 realm:text tenant:text inn:text rnm:text fn:text fd:i64 line:i32 variant:i32 \
        ts_local:ms form:text direction:i32 revenue_sign:i32 name:text price:money quantity:quantity \
        quantity_text:text unit:text unit_code:i32 sum:money storno:bool vat_rate:i32 vat_sum:money \
        payment_method:i32 subject:i32 agent_flag:i32 supplier_inn:text supplier_name:text gtin:text \
        code_kind:text code_raw:text mark_status:i32 check_bits:i32 country:text customs:text excise:money";
    const STATUSES: &str = "position:i64 line:i32 of:text kind:text kind_code:i32 document_position:i64 fn:text fd:i64 \
        attempt:i32 id:text code:i64 tag:i32 answered_at:us";
    const VIOLATIONS: &str = "position:i64 realm:text tenant:text inn:text rnm:text fn:text fd:i64 variant:i32 line:i32 \
        form:text ts_local:ms rule:text name:text level:text scope:text shift:i64 tag:i32 actual:text expected:text seen_at:us \
        first_seen_at:us last_seen_at:us count:i64 ended_at:us rules_version:i64";
    const REGISTERS: &str = "position:i64 as_of:i64 realm:text tenant:text inn:text rnm:text fn:text fd:i64 \
        received_at:us valid_from:ms valid_to:ms ended:bool status:text registration:bool user_name:text address:text \
        place:text kkt_number:text kkt_version:text machine_number:text operator_inn:text reasons:i64 ffd_code:i64 \
        tax_systems:i64 autonomous:bool automat:bool internet:bool excise:bool gambling:bool lottery:bool \
        services:bool bso:bool";
    // Then the sums.
    const SHIFTS: &str = "position:i64 realm:text tenant:text inn:text rnm:text fn:text shift:i64 revision:i64 \
        opened_at:ms closed_at:ms open_fd:i64 close_fd:i64 received_at:us cashier:text documents:i64 receipts:i64 \
        revenue:money state:text mismatch:bool mismatches:text stated_receipts:i64 stated_documents:i64 counters:text \
        inexact:bool";
    const SUMS: &str = "receipts:i64 total:money cash:money ecash:money prepaid:money credit:money provision:money \
        vat20:money vat10:money vat20c:money vat10c:money turnover_vat0:money turnover_no_vat:money vat5:money \
        vat7:money vat5c:money vat7c:money vat22:money vat22c:money";
    let kinds = ["sell", "sell_return", "buy", "buy_return"];
    let kinds = kinds.map(str::to_owned).into_iter().chain(kinds.map(|it| format!("{it}_correction")));
    let sums = kinds.flat_map(|kind| SUMS.split_whitespace().map(move |sum| format!("{kind}_{sum}")));
    let shifts: String = [SHIFTS.to_owned()].into_iter().chain(sums).map(|it| it + " ").collect();
    let place = whole();
    for (table, promised) in [
        ("documents", DOCUMENTS),
        ("containers", CONTAINERS),
        ("items", ITEMS),
        ("records", RECORDS),
        ("statuses", STATUSES),
        ("violations", VIOLATIONS),
        ("shifts", &shifts),
        ("registers", REGISTERS),
    ] {
        let file = std::fs::File::open(&glob(place.dir.path(), table)[0].1).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let found: Vec<String> = schema
            .columns()
            .iter()
            .map(|column| {
                use parquet::basic::{LogicalType as L, Type as P};
                let (physical, logical) = (column.physical_type(), column.logical_type_ref());
                let kind = match (physical, logical) {
                    (P::INT64, None) => "i64".into(),
                    (P::INT32, None) => "i32".into(),
                    (P::BOOLEAN, None) => "bool".into(),
                    (P::BYTE_ARRAY, None) => "bytes".into(),
                    (P::BYTE_ARRAY, Some(L::String)) => "text".into(),
                    (P::INT32, Some(L::Date)) => "date".into(),
                    (P::INT64, Some(logical)) => {
                        let text = format!("{logical:?}");
                        let has = |part: &str| text.contains(part);
                        match () {
                            () if has("scale: 2") && has("precision: 18") => "money".into(),
                            () if has("scale: 6") && has("precision: 18") => "quantity".into(),
                            () if has("is_adjusted_to_u_t_c: false") && has("MILLIS") => "ms".into(),
                            () if has("is_adjusted_to_u_t_c: true") && has("MICROS") => "us".into(),
                            () => text,
                        }
                    }
                    other => format!("{other:?}"),
                };
                format!("{}:{kind}", column.name())
            })
            .collect();
        assert_eq!(found, promised.split_whitespace().collect::<Vec<_>>(), "{table}");
    }
}

/// Titles are there for readers of Arrow metadata and for readers of the file's own.
#[test]
fn every_column_carries_its_russian_title() {
    let place = whole();
    for table in Table::ALL {
        let file = std::fs::File::open(&glob(place.dir.path(), table.name())[0].1).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let titles = pairs.iter().find(|pair| pair.key == "ofd.titles").unwrap().value.clone().unwrap();
        let titles: serde_json::Value = serde_json::from_str(&titles).unwrap();
        for column in table.columns() {
            let field = builder.schema().field_with_name(column.name).unwrap();
            assert_eq!(field.metadata()[TITLE_KEY], column.title);
            assert_eq!(titles[column.name], column.title);
            let russian = |letter| ('А'..='я').contains(&letter) || column.name == "gtin";
            assert!(column.title.chars().any(russian), "{}", column.title);
        }
        assert_eq!(titles.as_object().unwrap().len(), table.columns().len());
    }
}

/// A receipt of ФФД 1.05 with everything in it.
#[test]
fn a_receipt_stands_in_its_columns() {
    let mut receipt = receipt("0105000000", DRIVE, 84, vec![line("Чай", 12000)]);
    receipt.lines[0].vat = Some(1);
    let place = with_tags(&receipt, |w| {
        w.u8(Tag(1209), 2);
        w.vln(Tag(1081), 7);
        w.vln(Tag(1215), 8);
        w.vln(Tag(1216), 9);
        w.vln(Tag(1217), 10);
        w.vln(Tag(1102), 2000);
        w.vln(Tag(1103), 11);
        w.vln(Tag(1104), 12);
        w.vln(Tag(1105), 13);
        w.vln(Tag(1107), 14);
        w.text(Tag(1048), "ООО \"Ёлка №1\"").unwrap();
        w.text(Tag(1009), "г. Казань").unwrap();
        w.text(Tag(1187), "Магазин").unwrap();
        w.u8(Tag(1055), 2);
        w.text(Tag(1021), "Иванова").unwrap();
        w.padded_text(Tag(1203), "504700000000", 12).unwrap();
        w.text(Tag(1036), "A-7").unwrap();
        w.u8(Tag(1057), 64);
        w.text(Tag(1008), "+70000000000").unwrap();
        w.text(Tag(1227), "Петров").unwrap();
        w.padded_text(Tag(1228), "000000000000", 12).unwrap();
    });
    let at = (i64::from(NOON) * 1000).to_string();
    let received = (NOON_US - 3 * 3_600_000_000 + 1_234_567).to_string();
    check(
        &place,
        "documents",
        &[
            ("position", Some("1")),
            ("partition_seq", Some("1")),
            ("variant", Some("0")),
            ("tenant", None),
            ("realm", Some("prod")),
            ("inn", Some("0105000000")),
            ("rnm", Some("0000000001012345")),
            ("fn", Some(DRIVE)),
            ("fd", Some("84")),
            ("fpd", Some("4146547960")),
            ("form", Some("receipt")),
            ("form_code", Some("3")),
            ("ffd", Some("1.05")),
            ("ts_local", Some(&at)),
            ("zone_min", None),
            ("received_at", Some(&received)),
            ("answered_at", Some(&received)),
            ("late_s", None),
            ("shift", Some("7")),
            ("number_in_shift", Some("3")),
            ("direction", Some("1")),
            ("revenue_sign", Some("1")),
            ("total", Some("12000")),
            ("cash", Some("12000")),
            ("ecash", Some("7")),
            ("prepaid", Some("8")),
            ("credit", Some("9")),
            ("provision", Some("10")),
            ("vat20", Some("2000")),
            ("vat10", Some("11")),
            ("vat20c", None),
            ("vat10c", Some("14")),
            ("vat18", None),
            ("vat_rate_guess", Some("false")),
            ("turnover_vat0", Some("12")),
            ("turnover_no_vat", Some("13")),
            ("user_name", Some("ООО \"Ёлка №1\"")),
            ("address", Some("г. Казань")),
            ("place", Some("Магазин")),
            ("tax_system", Some("2")),
            ("cashier", Some("Иванова")),
            ("cashier_inn", Some("504700000000")),
            ("automat", Some("A-7")),
            ("internet", Some("false")),
            ("agent_flags", Some("64")),
            ("buyer_contact", Some("+70000000000")),
            ("buyer_name", Some("Петров")),
            ("buyer_inn", Some("000000000000")),
            ("correction_type", None),
            ("items_n", Some("1")),
            ("violations_n", None),
            ("answer_code", Some("0")),
            ("provenance", Some("live")),
        ],
    );
    check(
        &place,
        "containers",
        &[("position", Some("1")), ("fn", Some(DRIVE)), ("fd", Some("84")), ("variant", Some("0"))],
    );
}

/// An enciphered document is stored and answered; it has its row, and no more than the envelope tells.
#[test]
fn a_document_not_opened_has_a_row_of_what_the_envelope_says() {
    let receipt = receipt("7704211201", DRIVE, 5, vec![line("Чай", 100)]);
    let place = one(&Sent { opened: false, realm: Realm::Test, variant: 2, ..Sent::of(&receipt) });
    check(
        &place,
        "documents",
        &[
            ("fn", Some(DRIVE)),
            ("fd", Some("5")),
            ("form", Some("receipt")),
            ("variant", Some("2")),
            ("realm", Some("test")),
            ("inn", None),
            ("ts_local", None),
            ("total", None),
            ("ffd", None),
            ("items_n", None),
            ("internet", None),
            ("revenue_sign", Some("0")),
        ],
    );
    check(&place, "containers", &[("plain", None)]);
    assert!(glob(place.dir.path(), "items").is_empty(), "no file without rows");
}

/// `plain` of a document that lies in its container is the same bytes.
#[test]
fn plain_is_the_document_tlv() {
    let receipt = receipt("7704211201", DRIVE, 5, vec![]);
    let place = one(&Sent::of(&receipt));
    let hex: String = receipt.plain().iter().map(|byte| format!("{byte:02x}")).collect();
    check(&place, "containers", &[("plain", Some(&hex))]);
}

/// The rates from 2025 on stand only in the list 1115; a code in both places counts once.
#[test]
fn tax_of_the_list_goes_by_its_code() {
    let receipt = receipt("7704211201", DRIVE, 5, vec![]);
    let place = with_tags(&receipt, |w| {
        w.vln(Tag(1103), 1000);
        w.nested(Tag(1115), |w| {
            for code in [2_u8, 4, 7, 8, 9, 10, 11, 12, 5, 6, 200] {
                w.nested(Tag(1119), |w| {
                    w.u8(Tag(1199), code);
                    w.vln(Tag(1120), u64::from(code));
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
    });
    check(
        &place,
        "documents",
        &[
            ("vat10", Some("1000")),
            ("vat10c", Some("4")),
            ("vat5", Some("7")),
            ("vat7", Some("8")),
            ("vat5c", Some("9")),
            ("vat7c", Some("10")),
            ("vat22", Some("11")),
            ("vat22c", Some("12")),
            ("turnover_vat0", None),
            ("turnover_no_vat", None),
            ("vat_rate_guess", None),
        ],
    );
}

/// Before 2019 code 1 was 18 %.
#[test]
fn tax_of_2018_stands_under_18_per_cent() {
    let mut receipt = receipt("7704211201", DRIVE, 5, vec![line("Чай", 11800)]);
    receipt.at = 1_530_000_000;
    receipt.lines[0].vat = Some(1);
    let place = with_tags(&receipt, |w| {
        w.vln(Tag(1102), 1800);
        w.vln(Tag(1106), 5);
    });
    check(
        &place,
        "documents",
        &[
            ("vat18", Some("1800")),
            ("vat20", None),
            ("vat18c", Some("5")),
            ("vat20c", None),
            ("vat_rate_guess", Some("true")),
        ],
    );
}

/// Returns take from revenue; money paid out is none; corrections count as their receipts.
#[test]
fn revenue_sign_follows_form_and_direction() {
    let expected = [(1, "1"), (2, "-1"), (3, "0"), (4, "0"), (9, "0")];
    for form in [Form::RECEIPT, Form::BSO, Form::RECEIPT_CORRECTION, Form::BSO_CORRECTION] {
        for (direction, sign) in expected {
            let mut receipt = receipt("7704211201", DRIVE, 5, vec![line("Чай", 100)]);
            (receipt.form, receipt.direction) = (form, direction);
            let place = one(&Sent::of(&receipt));
            check(&place, "documents", &[("revenue_sign", Some(sign))]);
            check(&place, "items", &[("revenue_sign", Some(sign))]);
        }
    }
    let mut report = receipt("7704211201", DRIVE, 5, vec![]);
    report.form = Form::CLOSE_SHIFT;
    check(
        &one(&Sent::of(&report)),
        "documents",
        &[("revenue_sign", Some("0")), ("form", Some("closeShift")), ("internet", None)],
    );
}

/// What a correction corrects.
#[test]
fn a_correction_names_its_ground() {
    let mut receipt = receipt("7704211201", DRIVE, 5, vec![]);
    receipt.form = Form::RECEIPT_CORRECTION;
    let place = with_tags(&receipt, |w| {
        w.u8(Tag(1173), 1);
        w.nested(Tag(1174), |w| {
            w.unixtime(Tag(1178), LocalSeconds(NOON - NOON % DAY_S));
            w.text(Tag(1179), "0012/7")?;
            Ok(())
        })
        .unwrap();
        w.u8(Tag(1125), 1);
        w.nested(Tag(1256), |w| {
            w.text(Tag(1227), "Сидоров")?;
            w.padded_text(Tag(1228), "504700000000", 12)
        })
        .unwrap();
    });
    check(
        &place,
        "documents",
        &[
            ("correction_type", Some("1")),
            ("correction_date", Some("19858")),
            ("correction_number", Some("0012/7")),
            ("internet", Some("true")),
            ("buyer_name", Some("Сидоров")),
            ("buyer_inn", Some("504700000000")),
        ],
    );
}

/// Everything an item can have.
#[test]
fn an_item_stands_in_its_columns() {
    let receipt = receipt("7704211201", DRIVE, 5, vec![]);
    let place = with_tags(&receipt, |w| {
        w.nested(Tag(1059), |w| {
            w.text(Tag(1030), "Молоко")?;
            w.vln(Tag(1079), 8990);
            w.fvln(Tag(1023), Quantity { mantissa: 876, scale: 3 })?;
            w.u8(Tag(2108), 11);
            w.vln(Tag(1043), 7875);
            w.u8(Tag(1199), 2);
            w.vln(Tag(1200), 716);
            w.u8(Tag(1214), 4);
            w.u8(Tag(1212), 33);
            w.u8(Tag(1222), 32);
            w.padded_text(Tag(1226), "7704211201", 12)?;
            w.nested(Tag(1224), |w| w.text(Tag(1225), "Ферма"))?;
            w.nested(Tag(1163), |w| w.text(Tag(1305), "010460123456789321abc"))?;
            w.u8(Tag(2106), 15);
            w.u8(Tag(2110), 1);
            w.text(Tag(1230), "643")?;
            w.text(Tag(1231), "10702020/060520/0013422")?;
            w.vln(Tag(1229), 5);
            Ok(())
        })
        .unwrap();
    });
    check(
        &place,
        "items",
        &[
            ("position", Some("1")),
            ("inn", Some("7704211201")),
            ("line", Some("1")),
            ("form", Some("receipt")),
            ("direction", Some("1")),
            ("name", Some("Молоко")),
            ("price", Some("8990")),
            ("quantity", Some("876000")),
            ("quantity_text", None),
            ("unit", Some("кг")),
            ("unit_code", Some("11")),
            ("sum", Some("7875")),
            ("storno", Some("false")),
            ("vat_rate", Some("2")),
            ("vat_sum", Some("716")),
            ("payment_method", Some("4")),
            ("subject", Some("33")),
            ("agent_flag", Some("32")),
            ("supplier_inn", Some("7704211201")),
            ("supplier_name", Some("Ферма")),
            ("gtin", Some("04601234567893")),
            ("code_kind", Some("gs1m")),
            ("code_raw", Some("010460123456789321abc")),
            ("mark_status", Some("1")),
            ("check_bits", Some("15")),
            ("country", Some("643")),
            ("customs", Some("10702020/060520/0013422")),
            ("excise", Some("5")),
        ],
    );
}

/// A quantity that DECIMAL(18,6) cannot hold exactly is kept as text, never rounded.
#[test]
fn a_quantity_that_does_not_fit_is_kept_as_text() {
    for (quantity, number, text) in [
        (Quantity { mantissa: 1_000_000, scale: 6 }, Some("1000000"), None),
        (Quantity { mantissa: 10, scale: 7 }, Some("1"), None),
        (Quantity { mantissa: 1, scale: 7 }, None, Some("0.0000001")),
        (Quantity { mantissa: 999_999_999_999, scale: 0 }, Some("999999999999000000"), None),
        (Quantity { mantissa: 1_000_000_000_000, scale: 0 }, None, Some("1000000000000")),
    ] {
        let mut line = line("Чай", 100);
        line.quantity = quantity;
        let place = one(&Sent::of(&receipt("7704211201", DRIVE, 5, vec![line])));
        check(&place, "items", &[("quantity", number), ("quantity_text", text)]);
    }
}

/// A storno of ФФД 1.0 takes its item back: `sum * revenue_sign` adds up to the receipt.
#[test]
fn a_storno_has_the_opposite_sign() {
    let mut receipt = receipt("7704211201", DRIVE, 5, vec![line("Чай", 100), line("Хлеб", 50)]);
    receipt.total = 100;
    let place = with_tags(&receipt, |w| {
        w.nested(Tag(1071), |w| {
            w.text(Tag(1030), "Хлеб")?;
            w.vln(Tag(1043), 50);
            Ok(())
        })
        .unwrap();
    });
    let column = |name| table_values(place.dir.path(), "items", name);
    let number = |value: &Option<String>| value.as_ref().unwrap().parse::<i64>().unwrap();
    let sum: i64 =
        column("sum").iter().zip(&column("revenue_sign")).map(|(sum, sign)| number(sum) * number(sign)).sum();
    assert_eq!(sum, 100);
    check(&place, "documents", &[("items_n", Some("3"))]);
}

/// In ФФД 1.0 an item has 1102–1107 instead of 1199.
#[test]
fn an_item_of_the_first_format_gets_the_code_of_its_rate() {
    for (tags, rate, sum) in [
        (&[(1102, 18)][..], Some("1"), Some("18")),
        (&[(1103, 9)], Some("2"), Some("9")),
        (&[(1106, 9)], Some("3"), Some("9")),
        (&[(1107, 9)], Some("4"), Some("9")),
        (&[(1104, 100)], Some("5"), None),
        (&[(1105, 100)], Some("6"), None),
        (&[(1102, 0), (1103, 9), (1105, 0)], Some("2"), Some("9")),
        (&[(1102, 1), (1103, 9)], None, None),
        (&[(1102, 0), (1103, 0)], None, None),
    ] {
        let receipt = receipt("7704211201", DRIVE, 5, vec![]);
        let place = with_tags(&receipt, |w| {
            w.nested(Tag(1059), |w| {
                for (tag, sum) in tags {
                    w.vln(Tag(*tag), *sum);
                }
                Ok(())
            })
            .unwrap();
        });
        check(&place, "items", &[("vat_rate", rate), ("vat_sum", sum)]);
    }
}

/// An amount no column holds is NULL; the rest of the document is there.
#[test]
fn an_amount_that_does_not_fit_is_null() {
    let mut receipt = receipt("7704211201", DRIVE, 5, vec![line("Чай", 1_000_000_000_000_000_000)]);
    receipt.total = 999_999_999_999_999_999;
    let place = one(&Sent::of(&receipt));
    check(&place, "documents", &[("total", Some("999999999999999999"))]);
    check(&place, "items", &[("sum", None), ("name", Some("Чай"))]);
}

/// A register with a wrong year must not open a folder in another century.
#[test]
fn the_folder_is_the_local_date_while_it_is_plausible() {
    for (at, date) in [(NOON, "2024-05-15"), (NOON + 3 * DAY_S, "2024-05-15"), (86_400, "2024-05-15")] {
        let mut receipt = receipt("7704211201", DRIVE, 5, vec![]);
        receipt.at = at;
        let place = one(&Sent { received_us: NOON_US, ..Sent::of(&receipt) });
        assert_eq!(glob(place.dir.path(), "documents")[0].0, date, "{at}");
        check(&place, "documents", &[("ts_local", Some(&(i64::from(at) * 1000).to_string()))]);
    }
}

/// The answer of an imported document was given by someone else, earlier.
#[test]
fn an_imported_document_keeps_the_time_of_its_answer() {
    let receipt = receipt("7704211201", DRIVE, 5, vec![]);
    let place = one(&Sent { provenance: Provenance::Import, answered_us: 77, ..Sent::of(&receipt) });
    check(&place, "documents", &[("provenance", Some("import")), ("answered_at", Some("77"))]);
}

/// The owner of a log, who finds two things in every receipt of 4 roubles and knows of one shift.
struct Owner;

impl Derive for Owner {
    fn findings(
        &self,
        view: &ofd_codec::DocumentView<'_>,
        _: &ofd_storage::envelope::Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32> {
        let total = view.get(ofd_codec::Tag(1020))?.kopecks().ok()?;
        if total.0 == 400 {
            let finding = |tag: Option<u16>, actual: Option<&str>| Finding {
                rule: "C2",
                name: "receipt.total-equals-payments",
                level: "error",
                scope: "document",
                tag,
                actual: actual.map(str::to_owned),
                expected: Some("4".to_owned()),
                ..Finding::default()
            };
            findings.extend([finding(Some(1020), Some("4.00")), finding(None, None)]);
        }
        // One more than is told.
        Some(u32::try_from(findings.len()).unwrap() + 1)
    }

    fn shifts(&self, positions: std::ops::RangeInclusive<u64>) -> Result<Vec<ShiftRow>, ofd_storage::Error> {
        let sums = ShiftSums { receipts: 2, total: 500, payments: [500, 0, 0, 0, 0], ..ShiftSums::default() };
        let shift = ShiftRow {
            position: 2,
            realm: "prod",
            inn: Some("7704211201".to_owned()),
            drive: DRIVE.to_owned(),
            shift: 7,
            opened_at: Some(i64::from(NOON)),
            closed_at: Some(i64::from(NOON + 60)),
            received_at_us: NOON_US,
            open_fd: Some(4),
            close_fd: 7,
            receipts: 2,
            documents: 4,
            revenue: 500,
            state: "agrees",
            sums: [None, None, None, None, Some(sums), None, None, None],
            ..ShiftRow::default()
        };
        Ok(Some(shift).into_iter().filter(|it| positions.contains(&it.position)).collect())
    }

    fn registers(
        &self,
        positions: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<Vec<RegisterRow>>, ofd_storage::Error> {
        let register = RegisterRow {
            position: 1,
            realm: "prod".to_owned(),
            rnm: "0000000001012345".to_owned(),
            drive: DRIVE.to_owned(),
            status: "working".to_owned(),
            ..RegisterRow::default()
        };
        Ok(Some(Some(register).into_iter().filter(|it| positions.contains(&it.position)).collect()))
    }
}

fn owned() -> CompactOptions {
    CompactOptions { derive: Some(std::sync::Arc::new(Owner)), ..CompactOptions::default() }
}

/// A directory where every table has a file.
fn whole() -> Place {
    let place = place();
    let mut log = two_receipts();
    log.segments[1].push(other(3, RecordKind::Command, b"a command"));
    log.segments[1].push(other(4, RecordKind::Status, &encode(StatusOf::Tax, &statuses())));
    compact(&log, &place.env, &owned()).unwrap();
    place
}

fn statuses() -> Vec<StatusEvent> {
    let event = |kind, position, number: u32, id: &str| StatusEvent {
        kind,
        position,
        drive: 0x9960_4403_0000_0001,
        number,
        attempt: 1,
        id: id.to_owned(),
        ..StatusEvent::default()
    };
    vec![
        event(StatusKind::Sent, 1, 5, "b-1"),
        StatusEvent { code: Some(507), tag: Some(1020), ..event(StatusKind::Refused, 2, 6, "") },
    ]
}

/// What the tax service answered, one row an event, beside the record that it came in.
#[test]
fn statuses_have_a_row_for_each_event_of_their_record() {
    let place = whole();
    let files = glob(place.dir.path(), "statuses");
    let all = all_values(&files[0].1);
    let expected = [
        ("position", [Some("4"), Some("4")]),
        ("line", [Some("1"), Some("2")]),
        ("of", [Some("tax"), Some("tax")]),
        ("kind", [Some("sent"), Some("refused")]),
        ("document_position", [Some("1"), Some("2")]),
        ("fn", [Some("9960440300000001"), Some("9960440300000001")]),
        ("fd", [Some("5"), Some("6")]),
        ("id", [Some("b-1"), None]),
        ("code", [None, Some("507")]),
        ("tag", [None, Some("1020")]),
    ];
    for (name, values) in expected {
        let found: Vec<_> = all[name].iter().map(Option::as_deref).collect();
        assert_eq!(found, values, "{name}");
    }
    assert_eq!(files.len(), 1);
    let records = &glob(place.dir.path(), "records")[0].1;
    assert_eq!(values(records, "kind"), [Some("command".to_owned()), Some("status".to_owned())]);
}

fn two_receipts() -> MemoryLog {
    let sent = [(5, 400), (6, 100)]
        .map(|(number, sum)| Sent::of(&receipt("7704211201", DRIVE, number, vec![line("Чай", sum)])));
    MemoryLog::of(&sent, 1)
}

/// Findings are those of the caller's rules, a row each; the document counts also those that are not told.
#[test]
fn violations_are_those_of_the_rules_given() {
    let place = place();
    compact(&two_receipts(), &place.env, &owned()).unwrap();
    let documents = &glob(place.dir.path(), "documents")[0].1;
    assert_eq!(values(documents, "violations_n"), [Some("3".to_owned()), Some("1".to_owned())]);
    let files = glob(place.dir.path(), "violations");
    let all = all_values(&files[0].1);
    let expected = [
        ("fd", [Some("5"), Some("5")]),
        ("line", [Some("1"), Some("2")]),
        ("rule", [Some("C2"), Some("C2")]),
        ("level", [Some("error"), Some("error")]),
        ("tag", [Some("1020"), None]),
        ("actual", [Some("4.00"), None]),
        ("inn", [Some("7704211201"), Some("7704211201")]),
        ("form", [Some("receipt"), Some("receipt")]),
    ];
    for (name, values) in expected {
        let found: Vec<_> = all[name].iter().map(Option::as_deref).collect();
        assert_eq!(found, values, "{name}");
    }
    assert_eq!(files[0].0, "2024-05-15");
}

/// Shifts are those of the caller's fold, in the run whose records have closed them.
#[test]
fn shifts_are_those_of_the_fold_given() {
    let place = place();
    compact(&two_receipts(), &place.env, &CompactOptions { run_bytes_max: Some(1), ..owned() }).unwrap();
    let expected = [
        ("position", Some("2")),
        ("shift", Some("7")),
        ("state", Some("agrees")),
        ("mismatch", Some("false")),
        ("revenue", Some("500")),
        ("sell_total", None),
        ("sell_correction_receipts", Some("2")),
        ("sell_correction_cash", Some("500")),
        ("sell_correction_vat20", Some("0")),
        ("closed_at", Some("1715774460000")),
    ];
    check(&place, "shifts", &expected);
    // Without anybody who knows of shifts there are none, and the archive is whole.
    let other = self::place();
    compact(&two_receipts(), &other.env, &CompactOptions::default()).unwrap();
    assert!(glob(other.dir.path(), "shifts").is_empty() && glob(other.dir.path(), "violations").is_empty());
}

/// An INN of ten digits that a register padded with zeros on the left is the same INN.
#[test]
fn an_inn_padded_on_the_left_is_the_same_inn() {
    for (on_wire, column) in [
        ("007704211201", "7704211201"),
        ("000000000000", "000000000000"),
        ("0105000000", "0105000000"),
        // What is no number is no business of a column.
        ("00ABCDEFGHIJ", "ABCDEFGHIJ"),
    ] {
        let place = one(&Sent::of(&receipt(on_wire, DRIVE, 5, vec![])));
        check(&place, "documents", &[("inn", Some(column))]);
    }
}

/// Rows share the memory of their texts: what a row does not say must not be what the one before said.
#[test]
fn a_row_of_the_envelope_alone_has_nothing_of_the_document_before() {
    let sent = [5, 6].map(|number| Sent::of(&receipt("7704211201", DRIVE, number, vec![])));
    let log = MemoryLog::of(&sent, 2);
    let documents: Vec<_> = log
        .segments
        .iter()
        .flatten()
        .filter_map(|it| if let SourceRecord::Document(stored) = it { Some(stored) } else { None })
        .collect();
    let mut reader = RowReader::default();
    reader.read(documents[0], None).unwrap();
    reader.read_head(documents[1]).unwrap();
    let cell = |name| {
        let column = Table::Documents.columns().iter().find(|it| it.name == name).unwrap();
        (column.cell)(reader.row())
    };
    assert_eq!((cell("fn"), cell("fd")), (Cell::Text(DRIVE), Cell::Int(6)));
    for name in ["inn", "rnm", "ts_local", "total", "shift", "user_name", "cashier"] {
        assert_eq!(cell(name), Cell::Null, "{name}");
    }
}

/// The life of three registers over days: what each state was filled in with, and when it ended.
#[test]
fn registers_have_a_snapshot_a_day_and_the_states_that_ended() {
    struct Lives;
    impl Derive for Lives {
        fn findings(
            &self,
            _: &ofd_codec::DocumentView<'_>,
            _: &ofd_storage::envelope::Envelope<'_>,
            _: &mut Vec<Finding>,
        ) -> Option<u32> {
            None
        }
        fn shifts(&self, _: std::ops::RangeInclusive<u64>) -> Result<Vec<ShiftRow>, ofd_storage::Error> {
            Ok(Vec::new())
        }
        fn registers(
            &self,
            positions: std::ops::RangeInclusive<u64>,
        ) -> Result<Option<Vec<RegisterRow>>, ofd_storage::Error> {
            let state = |position: u64, rnm: &str, registers: bool, status: &str, place: Option<&str>| {
                let mut row = RegisterRow {
                    position,
                    realm: "prod".to_owned(),
                    rnm: rnm.to_owned(),
                    drive: DRIVE.to_owned(),
                    valid_from: Some(position as i64 * 100),
                    status: status.to_owned(),
                    registers,
                    ..RegisterRow::default()
                };
                row.texts[1] = place.map(str::to_owned);
                row
            };
            let all = [
                state(1, "b", true, "working", Some("Москва")),
                state(2, "a", true, "working", Some("Тверь")),
                // On the second day b moves, and its drive is closed afterwards: that document knows no address.
                state(4, "b", true, "working", Some("Псков")),
                state(5, "b", false, "closed", None),
                // A third register on the third day; a is registered anew, without an address.
                state(8, "c", true, "working", None),
                state(8, "a", true, "working", None),
            ];
            Ok(Some(all.into_iter().filter(|it| positions.contains(&it.position)).collect()))
        }
    }
    let days = [0, 0, 1, 1, 1, 1, 2, 2, 2];
    let sent = |(at, day): (usize, u32)| {
        let mut receipt = receipt("7704211201", DRIVE, at as u32 + 1, vec![line("Чай", 100)]);
        receipt.at = NOON + day * DAY_S;
        Sent { received_us: NOON_US + i64::from(day * DAY_S) * 1_000_000, ..Sent::of(&receipt) }
    };
    let sent: Vec<Sent> = days.into_iter().enumerate().map(sent).collect();
    let options = CompactOptions { derive: Some(std::sync::Arc::new(Lives)), ..small_runs() };
    let log = MemoryLog::of(&sent, 1);
    let found = |merges: bool| {
        let place = place();
        for through in 1..=sent.len() {
            let so_far = MemoryLog { segments: log.segments[..through].to_vec() };
            compact(&so_far, &place.env, &options).unwrap();
            if merges {
                // Tomorrow: a merged run reaches further than the snapshot in it knows.
                let now_us = sent[through - 1].received_us + i64::from(DAY_S) * 1_000_000;
                merge_archive(&place.env, &MergeRules { now_us, ..MergeRules::default() }).unwrap();
            }
        }
        let mut found = Vec::new();
        for (date, file) in glob(place.dir.path(), "registers") {
            let all = all_values(&file);
            let row = |at: usize| {
                let of = |name: &str| all[name][at].clone().unwrap_or_default();
                let row = ["rnm", "status", "address", "position", "valid_to", "as_of"].map(of).join(" ");
                format!("{date} {row}")
            };
            found.extend((0..all["rnm"].len()).map(row));
        }
        (place, found)
    };
    let expected = [
        // The first run that ends on a day knows what came up to then.
        "2024-05-15 b working Москва 1  1",
        "2024-05-16 a working Тверь 2  3",
        "2024-05-16 b working Москва 1  3",
        "2024-05-17 a working Тверь 2  7",
        "2024-05-17 b working Москва 1 400000 7",
        "2024-05-17 b working Псков 4 500000 7",
        "2024-05-17 b closed Псков 5  7",
    ];
    assert_eq!(found(true).1, expected, "with runs that are merged in between");
    let (place, found) = found(false);
    assert_eq!(found, expected);
    // A snapshot that has rotted is made anew from the changes.
    let rotten = glob(place.dir.path(), "registers").pop().unwrap().1;
    let mut bytes = std::fs::read(&rotten).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&rotten, bytes).unwrap();
    let mut receipt = receipt("7704211201", DRIVE, 10, vec![line("Чай", 100)]);
    receipt.at = NOON + 3 * DAY_S;
    let mut longer = sent.clone();
    longer.push(Sent { received_us: NOON_US + i64::from(3 * DAY_S) * 1_000_000, ..Sent::of(&receipt) });
    compact(&MemoryLog::of(&longer, 1), &place.env, &options).unwrap();
    let all = all_values(&glob(place.dir.path(), "registers").pop().unwrap().1);
    let column = |name: &str| all[name].iter().map(|it| it.clone().unwrap_or_default()).collect::<Vec<_>>();
    // What has ended stands in the snapshots before.
    assert_eq!(column("rnm"), ["a", "b", "c"]);
    assert_eq!(column("address"), ["", "Псков", ""]);
    assert_eq!(column("ended"), ["false", "false", "false"]);
}
