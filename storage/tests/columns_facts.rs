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
        partition_seq: position,
        // 2026-11-23: after all of them.
        received_at_us: 1_795_392_000_000_000 + position as i64,
        answer_code: 0,
        payload: envelope.parts(&envelope.head().unwrap()).concat().into(),
    }
}

/// Each figure that the sample states stands in its column.
#[test]
fn real_receipts_stand_in_their_columns() {
    let Some(folder) = facts() else { return };
    let lines = std::fs::read_to_string(folder.join("samples/receipts.jsonl")).unwrap();
    let samples: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records = samples.iter().enumerate().map(|(at, sample)| {
        let hex = sample["hex"].as_str().unwrap();
        let message: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        SourceRecord::Document(stored(&message, at as u64 + 1))
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
        let positions = values(&path, "position");
        for (column, _) in columns {
            for (position, value) in positions.iter().zip(values(&path, column)) {
                rows.entry(position.as_ref().unwrap().parse().unwrap()).or_default().insert(column, value);
            }
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
        let keys = values(&path, "position").into_iter().zip(values(&path, "line"));
        let keys: Vec<(usize, usize)> = keys
            .map(|(position, line)| (position.unwrap().parse().unwrap(), line.unwrap().parse().unwrap()))
            .collect();
        for column in item_columns.map(|(column, _)| column).into_iter().chain(["quantity"]) {
            for (key, value) in keys.iter().zip(values(&path, column)) {
                items.entry(*key).or_default().insert(column, value);
            }
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
