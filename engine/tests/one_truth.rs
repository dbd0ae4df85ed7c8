//! One truth: what the tables add up to, over archive and tail, is what the live figures say and what a plain fold over the
//! bytes of the log comes to, to the kopeck, in each realm.
//!
//! `OFD_ONE_TRUTH=10000000` makes so many documents, and `OFD_ONE_TRUTH_DIR` keeps the directory with `sums.json`, for other
//! readers to come to the same (`just one-truth`).
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register as Till};
use ofd_engine::codec::LocalSeconds;
use ofd_engine::host::Capability;
use ofd_engine::registers::{Grain, Whose};
use ofd_engine::storage::columns::Table;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::storage::union::Scan;
use ofd_engine::{Engine, Position};

const OURS: &str = "7700000190";
const DOCUMENTS_A_REGISTER: usize = 1_000;
const WINDOW: usize = 2_048;

/// What one realm adds up to; sums in kopecks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    documents: u64,
    receipts: u64,
    revenue: i128,
    cash: i128,
    items: u64,
    items_sum: i128,
}

/// Requisites of a level: tag and value, by hand.
fn level(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [t0, t1, l0, l1, rest @ ..] = bytes {
        let len = usize::from(u16::from_le_bytes([*l0, *l1]));
        let (value, behind) = rest.split_at(len);
        found.push((u16::from_le_bytes([*t0, *t1]), value));
        bytes = behind;
    }
    found
}

fn number(value: &[u8]) -> i128 {
    value.iter().rev().fold(0, |sum, byte| sum << 8 | i128::from(*byte))
}

/// A document TLV, which imports nothing from columns or registers.
fn add(sums: &mut Sums, plain: &[u8]) {
    let form = u16::from_le_bytes([plain[0], plain[1]]);
    sums.documents += 1;
    let tags = level(&plain[4..]);
    let first = |tag| tags.iter().find(|(it, _)| *it == tag).map(|(_, value)| number(value));
    for (_, item) in tags.iter().filter(|(tag, _)| *tag == 1059) {
        sums.items += 1;
        sums.items_sum +=
            level(item).iter().find(|(tag, _)| *tag == 1043).map_or(0, |(_, value)| number(value));
    }
    if matches!(form, 3 | 4 | 31 | 41) {
        sums.receipts += 1;
        sums.cash += first(1031).unwrap_or(0);
        sums.revenue += match first(1054) {
            Some(1) => first(1020).unwrap_or(0),
            Some(2) => -first(1020).unwrap_or(0),
            _ => 0,
        };
    }
}

fn realm_of(test: bool) -> &'static str {
    if test { "test" } else { "prod" }
}

/// The tables, over both parts.
fn by_columns(engine: &Engine) -> BTreeMap<&'static str, Sums> {
    let snapshot = engine.snapshot().unwrap();
    let mut sums: BTreeMap<&'static str, Sums> = BTreeMap::new();
    let everything = Scan::default();
    let columns = ["variant", "realm", "revenue_sign", "form_code", "total", "cash"];
    snapshot
        .scan(Table::Documents, &everything, Some(&columns), &mut |_, batch| {
            let array = |name: &str| batch.column_by_name(name).unwrap().clone();
            let (realm, form) = (array("realm"), array("form_code"));
            let (variant, sign) = (array("variant"), array("revenue_sign"));
            let (total, cash) = (array("total"), array("cash"));
            let money = |array: &arrow_array::ArrayRef, at| array.as_primitive::<Decimal128Type>().value(at);
            for at in 0..batch.num_rows() {
                if variant.as_primitive::<Int32Type>().value(at) != 0 {
                    continue;
                }
                let sums = sums.entry(realm_of(realm.as_string::<i32>().value(at) == "test")).or_default();
                sums.documents += 1;
                if matches!(form.as_primitive::<Int32Type>().value(at), 3 | 4 | 31 | 41) {
                    sums.receipts += 1;
                    sums.cash += money(&cash, at);
                    sums.revenue +=
                        money(&total, at) * i128::from(sign.as_primitive::<Int32Type>().value(at));
                }
            }
            Ok(())
        })
        .unwrap();
    snapshot
        .scan(Table::Items, &everything, Some(&["realm", "variant", "sum"]), &mut |_, batch| {
            let array = |name: &str| batch.column_by_name(name).unwrap().clone();
            let (realm, variant, sum) = (array("realm"), array("variant"), array("sum"));
            for at in 0..batch.num_rows() {
                if variant.as_primitive::<Int32Type>().value(at) == 0 {
                    let test = realm.as_string::<i32>().value(at) == "test";
                    let sums = sums.entry(realm_of(test)).or_default();
                    sums.items += 1;
                    sums.items_sum += sum.as_primitive::<Decimal128Type>().value(at);
                }
            }
            Ok(())
        })
        .unwrap();
    sums
}

// A merchant who compares two of our pages must not find two revenues.
#[test]
fn tables_live_figures_and_a_plain_fold_come_to_the_same_kopeck() {
    let documents: usize = std::env::var("OFD_ONE_TRUTH").map_or(6_000, |it| it.parse().unwrap());
    let kept = std::env::var_os("OFD_ONE_TRUTH_DIR").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let dir = kept.as_deref().unwrap_or(temporary.path());
    let engine = Engine::builder(dir).operator_inn(OURS).segment_len_bytes(16 << 20).open().unwrap();
    let registers = documents.div_ceil(DOCUMENTS_A_REGISTER).max(4);
    let options = |test_drives| ProfileOptions { test_drives, ..ProfileOptions::default() };
    let till = |index: u32| Till::new(if index % 4 == 3 { 31 } else { 30 }, index, &options(index % 4 == 3));
    let mut tills: Vec<Till> = (0..registers as u32).map(till).collect();
    let begun = Instant::now();
    let (mut sent, mut frames) = (0, Vec::with_capacity(WINDOW));
    'all: loop {
        for till in &mut tills {
            let mut message = Vec::new();
            till.next_message(&mut message).unwrap();
            frames.push(Bytes::from(message));
            sent += 1;
            if frames.len() == WINDOW || sent == documents {
                engine.submit_batch(std::mem::take(&mut frames)).unwrap().wait();
            }
            if sent == documents {
                break 'all;
            }
        }
        // The last part of it stays in the log.
        if sent * 4 / documents > (sent - tills.len()) * 4 / documents && sent * 10 < documents * 9 {
            let report = engine.compact(true).unwrap();
            println!("{sent} sent, {} compacted, {:?}", report.documents, begun.elapsed());
        }
    }
    let mut plain: BTreeMap<&'static str, Sums> = BTreeMap::new();
    let mut feed = engine.feed(&Capability::operator(), Position::START);
    loop {
        let batch = feed.next_batch(4_096, Duration::ZERO).unwrap();
        if batch.is_empty() {
            break;
        }
        for document in &batch {
            let envelope = document.envelope().unwrap();
            if envelope.variant == 0 {
                add(plain.entry(realm_of(envelope.realm == Realm::Test)).or_default(), envelope.plain);
            }
        }
    }
    assert_eq!(plain.values().map(|it| it.documents).sum::<u64>(), documents as u64);
    assert_eq!(plain.len(), 2, "both realms");
    println!("plain fold, {:?}: {plain:?}", begun.elapsed());
    assert_eq!(by_columns(&engine), plain, "the tables");
    println!("tables, {:?}", begun.elapsed());

    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), Duration::from_secs(600)));
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    for (name, realm) in [("prod", Realm::Prod), ("test", Realm::Test)] {
        let figures = book.figures(realm, Whose::Everybody, Grain::Day, &ever).unwrap();
        let receipts: u64 = figures.rows().map(|(_, it)| u64::from(it.count())).sum();
        assert_eq!(
            (receipts, i128::from(figures.revenue())),
            (plain[name].receipts, plain[name].revenue),
            "{name}"
        );
    }
    if kept.is_some() {
        let of = |it: &Sums| {
            serde_json::json!({
                "documents": it.documents,
                "receipts": it.receipts,
                "revenue": it.revenue.to_string(),
                "cash": it.cash.to_string(),
                "items": it.items,
                "items_sum": it.items_sum.to_string(),
            })
        };
        let all: BTreeMap<_, _> = plain.iter().map(|(realm, sums)| (realm, of(sums))).collect();
        std::fs::write(dir.join("sums.json"), serde_json::to_vec(&all).unwrap()).unwrap();
        // Readers of files alone need all of it there.
        engine.compact(true).unwrap();
    }
    engine.shutdown().unwrap();
}
