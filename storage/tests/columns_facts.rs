//! Real documents, read into columns, against the figures that came with them.
//!
//! Needs the folder named by `OFD_FACTS`; without it nothing is tested.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use compact_support::*;
use ofd_codec::Frame;
use ofd_storage::columns::Stored;
use ofd_storage::compact::{CompactOptions, SourceRecord, compact};
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Provenance, Realm};
use ofd_storage::verify::verify_source;
use serde_json::Value;

fn facts() -> Option<PathBuf> {
    let folder = std::env::var_os("OFD_FACTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: OFD_FACTS is not set");
    }
    folder
}

/// The record of a message as it came over the wire.
fn stored(message: &[u8], position: u64) -> Stored {
    let frame = Frame::new_checked(message).unwrap();
    let container = frame.container();
    let drive = frame.header().drive;
    let envelope = Envelope {
        provenance: Provenance::Live,
        realm: if drive.starts_with(b"9999") { Realm::Test } else { Realm::Prod },
        crypto: CryptoVerdict::Unverified,
        admission: AdmissionVerdict::Accepted,
        reason: 0,
        rule_set: 1,
        drive,
        number: container.number(),
        form: container.form(),
        variant: 0,
        peer_address: [0; 16],
        peer_port: 0,
        operator_time: 0,
        answered_at_us: 0,
        session: *message.first_chunk().unwrap(),
        container: container.bytes(),
        plain: if container.is_plain() { container.body() } else { &[] },
        detail: &[],
    };
    Stored {
        position,
        partition: 0,
        partition_seq: position,
        // 2026-11-23: after all of them.
        received_at_us: 1_795_392_000_000_000 + position as i64,
        answer_code: 0,
        flags: 0,
        key_id: 0,
        payload: envelope.parts(&envelope.head().unwrap()).concat().into(),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Bytes of real registers of 2017–2020 against the tax service's own JSON.
#[test]
fn documents_of_the_first_formats_stand_in_their_columns() {
    let Some(folder) = facts() else { return };
    let lines = std::fs::read_to_string(folder.join("samples/real_tlv.jsonl")).unwrap();
    let mut compared = 0;
    for sample in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let plain = bytes_of(sample["tlv_hex"].as_str().unwrap());
        let header = ofd_codec::DocumentView::new_checked(&plain).unwrap().header();
        let drive =
            header.drive.unwrap_or_else(|| ofd_codec::DriveNumber::parse("9999078900000001").unwrap());
        let number = header.number.map_or(1, |number| number.0);
        let mut message = Vec::new();
        ofd_codec::Message::from_register([1, 0], drive, number, header.form, &plain)
            .encode_into(&mut message)
            .unwrap();
        let log = MemoryLog { segments: vec![vec![SourceRecord::Document(stored(&message, 1))]] };
        let place = place();
        compact(&log, &place.env, &CompactOptions::default()).unwrap();

        let (doc, id) = (&sample["doc"], &sample["id"]);
        for (key, columns) in [
            ("totalSum", &["total"][..]),
            ("cashTotalSum", &["cash"]),
            ("ecashTotalSum", &["ecash"]),
            ("prepaidSum", &["prepaid"]),
            ("creditSum", &["credit"]),
            ("provisionSum", &["provision"]),
            ("nds10", &["vat10"]),
            ("nds18", &["vat18", "vat20"]),
            ("nds20", &["vat20", "vat18"]),
            ("shiftNumber", &["shift"]),
            ("requestNumber", &["number_in_shift"]),
            ("operationType", &["direction"]),
        ] {
            let Some(value) = doc.get(key).and_then(Value::as_i64) else { continue };
            let found = columns.iter().find_map(|column| only(place.dir.path(), "documents", column));
            assert_eq!(found.as_deref().unwrap_or("0"), value.to_string(), "{id} {key}");
            compared += 1;
        }
        let items = doc["items"].as_array().map_or(&[][..], Vec::as_slice);
        let column = |name| table_values(place.dir.path(), "items", name);
        assert_eq!(column("line").len(), items.len(), "{id}");
        for (key, name) in
            [("sum", "sum"), ("price", "price"), ("name", "name"), ("nds", "vat_rate"), ("nds10", "vat_sum")]
        {
            for (item, found) in items.iter().zip(column(name)) {
                let expected = match item.get(key) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Number(number)) if number.is_i64() => number.to_string(),
                    _ => continue,
                };
                assert_eq!(found, Some(expected), "{id} {name}");
                compared += 1;
            }
        }
        for (item, rate) in items.iter().zip(column("vat_rate")) {
            assert!(item.get("nds10").is_none() || rate.as_deref() == Some("2"), "{id}: {rate:?}");
        }
    }
    assert!(compared > 150, "only {compared} figures were compared");
}

/// Each figure that the sample states stands in its column.
#[test]
fn real_receipts_stand_in_their_columns() {
    let Some(folder) = facts() else { return };
    let lines = std::fs::read_to_string(folder.join("samples/receipts.jsonl")).unwrap();
    let samples: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records = samples.iter().enumerate().map(|(at, sample)| {
        let hex = sample["hex"].as_str().unwrap();
        SourceRecord::Document(stored(&bytes_of(hex), at as u64 + 1))
    });
    let log = MemoryLog { segments: vec![records.collect()] };
    let place = place();
    let report = compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert_eq!(report.documents, samples.len() as u64);
    let verified = verify_source(&log, &place.env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);

    // Position to column to value.
    let mut rows: BTreeMap<usize, BTreeMap<&str, Option<String>>> = BTreeMap::new();
    let columns = [
        ("fn", "fiscalDriveNumber"),
        ("rnm", "kktRegId"),
        ("inn", "userInn"),
        ("fd", "fiscalDocumentNumber"),
        ("fpd", "fiscalSign"),
        ("shift", "shiftNumber"),
        ("number_in_shift", "requestNumber"),
        ("direction", "operationType"),
        ("total", "totalSum"),
        ("cash", "cashTotalSum"),
        ("ecash", "ecashTotalSum"),
        ("prepaid", "prepaidSum"),
        ("credit", "creditSum"),
        ("provision", "provisionSum"),
        ("user_name", "user"),
        ("place", "retailPlace"),
        ("address", "retailPlaceAddress"),
        ("form", ""),
        ("ffd", ""),
        ("ts_local", ""),
        ("items_n", ""),
    ];
    for (_, path) in glob(place.dir.path(), "documents") {
        let all = all_values(&path);
        for (row, position) in all["position"].iter().enumerate() {
            let cells = columns.iter().map(|(column, _)| (*column, all[*column][row].clone()));
            rows.insert(position.as_ref().unwrap().parse().unwrap(), cells.collect());
        }
    }
    let mut items: BTreeMap<(usize, usize), BTreeMap<&str, Option<String>>> = BTreeMap::new();
    let item_columns = [
        ("name", "name"),
        ("price", "price"),
        ("sum", "sum"),
        ("vat_rate", "nds"),
        ("payment_method", "paymentType"),
        ("subject", "productType"),
    ];
    for (_, path) in glob(place.dir.path(), "items") {
        let all = all_values(&path);
        let number = |value: &Option<String>| value.as_ref().unwrap().parse::<usize>().unwrap();
        for (row, (position, line)) in all["position"].iter().zip(&all["line"]).enumerate() {
            let cells = item_columns.iter().map(|(column, _)| (*column, all[*column][row].clone()));
            items.insert((number(position), number(line)), cells.collect());
        }
    }
    let as_text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut compared = 0;
    for (at, sample) in samples.iter().enumerate() {
        let (row, expect, id) = (&rows[&(at + 1)], &sample["expect"], &sample["id"]);
        assert_eq!(row["form"].as_deref(), sample["form"].as_str(), "{id}");
        for (column, key) in columns.iter().filter(|(_, key)| !key.is_empty()) {
            if let Some(value) = expect.get(key).filter(|value| !value.is_null()) {
                // A sample states 0 where the document has no such tag.
                let found = row[column].clone().unwrap_or_else(|| "0".to_owned());
                assert_eq!(found, as_text(value), "{id} {column}");
                compared += 1;
            }
        }
        if let Some(seconds) = expect.get("dateTime").and_then(Value::as_i64) {
            assert_eq!(row["ts_local"], Some((seconds * 1000).to_string()), "{id}");
        }
        let expected_items = expect.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        assert_eq!(row["items_n"], Some(expected_items.len().to_string()), "{id}");
        for (line, item) in expected_items.iter().enumerate() {
            let found = &items[&(at + 1, line + 1)];
            for (column, key) in item_columns {
                if let Some(value) = item.get(key).filter(|value| !value.is_null()) {
                    assert_eq!(
                        found[column].as_deref().unwrap_or("0"),
                        as_text(value),
                        "{id} line {line} {column}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 1000, "only {compared} figures were compared");
}
