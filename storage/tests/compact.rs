//! Compaction from end to end: what goes into the log comes out of the Parquet, once, whole, and the same each time.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::{BTreeMap, BTreeSet};

use compact_support::*;
use ofd_storage::columns::Table;
use ofd_storage::compact::{CompactOptions, SourceRecord, compact};
use ofd_storage::manifest::{Archive, MANIFEST_FILE};
use ofd_storage::{ErrorKind, Position, RecordKind};
use proptest::prelude::*;

const DRIVES: [&str; 3] = ["9960440300000001", "9960440300000002", "871000010000001"];
const INNS: [&str; 3] = ["7704211201", "0105000000", "504700000000"];

/// Some days of some shops, in the order of arrival.
fn some_documents(count: u32) -> Vec<Sent> {
    (0..count)
        .map(|at| {
            let shop = at as usize % 3;
            let mut receipt =
                receipt(INNS[shop], DRIVES[shop], 1000 - at, vec![line("Чай", 100), line("Хлеб", 50)]);
            receipt.at = NOON + at / 4 * DAY_S;
            Sent::of(&receipt)
        })
        .collect()
}

/// Every stored document stands in `documents` and `containers` once, its bytes as received, under the date
/// of its till.
#[test]
fn every_document_comes_out_once_with_its_bytes() {
    let place = place();
    let documents = some_documents(12);
    let report = compact(&MemoryLog::of(&documents, 5), &place.env, &CompactOptions::default()).unwrap();
    assert_eq!((report.runs, report.segments, report.documents, report.items), (1, 3, 12, 24));
    assert_eq!(report.compacted_through, Position::new(ofd_storage::Lsn::new(12)));

    let mut raw = BTreeMap::new();
    for (date, path) in glob(place.dir.path(), "containers") {
        for (position, bytes) in values(&path, "position").into_iter().zip(values(&path, "raw")) {
            let position: usize = position.unwrap().parse().unwrap();
            assert_eq!(date, format!("2024-05-{}", 15 + (position - 1) / 4));
            assert!(raw.insert(position, bytes.unwrap()).is_none(), "position {position} twice");
        }
    }
    for (at, sent) in documents.iter().enumerate() {
        let container: String = sent.message()[30..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(raw[&(at + 1)], container);
    }
    let positions: BTreeSet<_> =
        table_values(place.dir.path(), "documents", "position").into_iter().collect();
    assert_eq!(positions.len(), 12);
}

/// Nothing but Parquet and the marker may stand in the tree: Polars refuses a folder with anything else.
#[test]
fn the_tree_holds_parquet_and_markers_and_nothing_else() {
    let place = place();
    compact(&MemoryLog::of(&some_documents(12), 4), &place.env, &small_runs()).unwrap();
    for (path, bytes) in tree(&place.dir.path().join("parquet")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "_SUCCESS" && bytes.is_empty() || name.ends_with(".parquet"), "{}", path.display());
        assert_eq!(path.iter().count(), 3, "{}: table, date, file", path.display());
    }
    let names: Vec<_> = glob(place.dir.path(), "documents");
    assert!(names.iter().any(|(_, path)| path.ends_with("p-0000000000000005-0000000000000008.parquet")));
    assert!(tree(&place.dir.path().join(".staging")).is_empty());
}

/// `ofd compact` twice changes nothing.
#[test]
fn a_second_run_changes_nothing() {
    let place = place();
    let log = MemoryLog::of(&some_documents(9), 3);
    compact(&log, &place.env, &small_runs()).unwrap();
    let before = tree(place.dir.path());
    let report = compact(&log, &place.env, &small_runs()).unwrap();
    assert_eq!((report.runs, report.documents, report.swept), (0, 0, 0));
    assert_eq!(report.compacted_through.as_u64(), 9);
    assert!(before == tree(place.dir.path()));
}

/// A restored or repeated compaction is the same to the byte.
#[test]
fn the_same_segments_make_the_same_bytes() {
    let log = MemoryLog::of(&some_documents(30), 7);
    let (one, other) = (place(), place());
    compact(&log, &one.env, &CompactOptions::default()).unwrap();
    compact(&log, &other.env, &CompactOptions::default()).unwrap();
    assert!(tree(one.dir.path()) == tree(other.dir.path()));
}

/// New segments are added beside what is there; old files stay as they are.
#[test]
fn a_later_run_adds_files_and_touches_none() {
    let place = place();
    let mut log = MemoryLog::of(&some_documents(8), 4);
    let late = log.segments.split_off(1);
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    let before = tree(&place.dir.path().join("parquet"));
    log.segments.extend(late);
    let report = compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert_eq!((report.runs, report.documents), (1, 4));
    let after = tree(&place.dir.path().join("parquet"));
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    assert_eq!(Archive::open(&place.env).unwrap().documents(), 8);
}

/// A run of nothing but cursors, commands and quarantined frames is one as well.
#[test]
fn other_records_make_a_run() {
    let place = place();
    let mut log = MemoryLog::of(&some_documents(2), 2);
    let command = |position| other(position, RecordKind::Command, b"a command");
    log.segments[0].push(command(3));
    log.segments.push(vec![command(4), command(5)]);
    let report = compact(&log, &place.env, &small_runs()).unwrap();
    assert_eq!((report.runs, report.documents, report.compacted_through.as_u64()), (2, 2, 5));
    assert_eq!(Archive::open(&place.env).unwrap().compacted_through().as_u64(), 5);
}

/// A damaged record is lost from this copy of the log; its neighbours are not.
#[test]
fn a_damaged_record_is_reported_and_its_neighbours_are_compacted() {
    let place = place();
    let mut log = MemoryLog::of(&some_documents(6), 6);
    log.segments[0].remove(2);
    let report = compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert_eq!((report.documents, report.damaged), (5, 1));
    assert_eq!(Archive::open(&place.env).unwrap().runs()[0].damaged, [(3, 3)]);
}

/// Rows lie as `sorting_columns` says, so that readers may trust it.
#[test]
fn rows_are_sorted_as_the_file_declares() {
    let place = place();
    let mut documents = some_documents(40);
    for (at, sent) in documents.iter_mut().enumerate() {
        sent.opened = at % 7 != 0;
        sent.variant = u8::from(at % 5 == 0);
    }
    compact(&MemoryLog::of(&documents, 100), &place.env, &CompactOptions::default()).unwrap();
    for table in Table::ALL {
        for (_, path) in glob(place.dir.path(), table.name()) {
            let file = std::fs::File::open(&path).unwrap();
            let builder =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let declared: Vec<String> = builder.metadata().row_groups()[0]
                .sorting_columns()
                .unwrap()
                .iter()
                .map(|column| {
                    assert!(column.nulls_first && !column.descending);
                    builder.schema().field(column.column_idx as usize).name().clone()
                })
                .collect();
            assert_eq!(declared, table.sorted_by());
            let key = |name: &String| -> Vec<(Option<String>, Option<i64>)> {
                let number = matches!(name.as_str(), "fd" | "variant" | "position" | "line");
                let key = |value: Option<String>| match number {
                    true => (None, value.map(|value| value.parse().unwrap())),
                    false => (value, None),
                };
                values(&path, name).into_iter().map(key).collect()
            };
            let columns: Vec<_> = declared.iter().map(key).collect();
            let rows: Vec<Vec<_>> = (0..columns[0].len())
                .map(|row| columns.iter().map(|column| column[row].clone()).collect())
                .collect();
            assert!(rows.is_sorted(), "{}", path.display());
        }
    }
}

/// A document is found by drive and number in whatever file it lies, every variant of it, and no other.
#[test]
fn a_document_is_found_by_drive_and_number() {
    let place = place();
    let mut documents = some_documents(60);
    documents.push(Sent { variant: 1, ..documents[7].clone() });
    compact(&MemoryLog::of(&documents, 20), &place.env, &small_runs()).unwrap();
    let archive = Archive::open(&place.env).unwrap();
    for (at, sent) in documents.iter().enumerate() {
        let found = archive.find_container(sent.drive, sent.number).unwrap();
        let expected = match at {
            7 | 60 => vec![(8, 0), (61, 1)],
            _ => vec![(at as u64 + 1, 0)],
        };
        assert_eq!(
            found.iter().map(|found| (found.position.as_u64(), found.variant)).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(found[0].container, sent.message()[30..]);
        assert_eq!(found[0].plain.as_deref(), Some(&sent.plain[..]));
    }
    assert!(archive.find_container(DRIVES[0], 5_000).unwrap().is_empty());
    assert!(archive.find_container("9960440300000009", 1000).unwrap().is_empty());
}

/// A page of containers is small, so that one document is read without unpacking many others.
#[test]
fn pages_of_containers_are_small_and_those_of_keys_are_not() {
    let place = place();
    let mut documents = Vec::new();
    for number in 1..=3000 {
        documents.push(Sent::of(&receipt(INNS[0], DRIVES[0], number, vec![line("Чай", 1); 10])));
    }
    compact(&MemoryLog::of(&documents, 3000), &place.env, &CompactOptions::default()).unwrap();
    let file = std::fs::File::open(&glob(place.dir.path(), "containers")[0].1).unwrap();
    let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required);
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .unwrap();
    let pages = |name: &str| {
        let index = Table::Containers.column_index(name).unwrap();
        builder.metadata().offset_index().unwrap()[0][index].page_locations().len()
    };
    let bytes: usize = documents.iter().map(|sent| sent.message().len() - 30).sum();
    // A page of 128 KiB takes 0.15 ms to unpack.
    let longest = 140_000;
    assert!(
        bytes > 10 * longest && pages("raw") >= bytes / longest,
        "{} pages for {bytes} bytes",
        pages("raw")
    );
    assert_eq!((pages("fn"), pages("fd")), (1, 1));
}

/// Losing the manifest must not make the archive look like rubbish to be cleared away.
#[test]
fn a_lost_manifest_is_refused_and_nothing_is_removed() {
    let place = place();
    let log = MemoryLog::of(&some_documents(3), 3);
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    std::fs::remove_file(place.dir.path().join(MANIFEST_FILE)).unwrap();
    let before = tree(place.dir.path());
    let error = compact(&log, &place.env, &CompactOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fix, "{error}");
    assert!(before == tree(place.dir.path()));
}

/// A number changed in the manifest would send readers past records.
#[test]
fn a_changed_manifest_is_refused() {
    let place = place();
    compact(&MemoryLog::of(&some_documents(3), 3), &place.env, &CompactOptions::default()).unwrap();
    let path = place.dir.path().join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"documents\": 3", "\"documents\": 4", 1);
    assert_ne!(text, changed);
    std::fs::write(&path, changed).unwrap();
    assert_eq!(Archive::open(&place.env).err().unwrap().kind(), ErrorKind::Corrupt);
}

/// Files of a run that never committed are cleared away before anything is written; files that are not ours stay.
#[test]
fn files_that_no_manifest_names_are_swept() {
    let place = place();
    let log = MemoryLog::of(&some_documents(3), 3);
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    let before = tree(place.dir.path());
    let date = place.dir.path().join("parquet/documents/date=2024-05-15");
    let stray = place.dir.path().join("parquet/items/date=2031-01-01");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("p-0000000000000004-0000000000000009.parquet"), b"x").unwrap();
    std::fs::write(stray.join("_SUCCESS"), b"").unwrap();
    std::fs::write(date.join("p-0000000000000004-0000000000000009.parquet"), b"x").unwrap();
    std::fs::write(place.dir.path().join(".staging/half"), b"x").unwrap();
    let report = compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert_eq!(report.swept, 3);
    assert!(before == tree(place.dir.path()));
    assert!(!stray.exists());

    std::fs::write(date.join("notes.txt"), b"mine").unwrap();
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert!(date.join("notes.txt").exists());
}

/// A document stored by a newer version is never compacted by guesswork.
#[test]
fn an_envelope_of_a_newer_version_stops_compaction() {
    let place = place();
    let mut log = MemoryLog::of(&some_documents(2), 1);
    let SourceRecord::Document(stored) = &mut log.segments[1][0] else { panic!() };
    let mut payload = stored.payload.to_vec();
    payload[0] = 99;
    stored.payload = payload.into();
    let error = compact(&log, &place.env, &small_runs()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fix);
    assert!(error.to_string().contains("position 2"), "{error}");
    assert_eq!(Archive::open(&place.env).unwrap().compacted_through().as_u64(), 1, "the run before it stays");
}

/// Numbers that the tables look for, and some that they do not.
const TAGS: [u16; 34] = [
    1018, 1037, 1077, 1209, 1012, 1038, 1042, 1054, 1020, 1031, 1102, 1105, 1106, 1048, 1009, 1187, 1055,
    1021, 1203, 1036, 1108, 1125, 1057, 1008, 1228, 1173, 1030, 1023, 1043, 1079, 1199, 1162, 2108, 9999,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a register writes into its tags, repeated, cut or overlong: the document reaches the archive, and two
    /// ways of reading it agree. A document that stopped compaction would stop it for good.
    #[test]
    fn no_document_stops_compaction(
        documents in prop::collection::vec(
            prop::collection::vec(
                (0..TAGS.len(), prop::collection::vec(any::<u8>(), 0..12), 0..4_u8),
                0..20,
            ),
            1..6,
        ),
        form in prop::sample::select(vec![3_u8, 31, 5, 1, 81, 200]),
    ) {
        let sent: Vec<Sent> = documents.iter().zip(1..).map(|(tags, number)| {
            let mut receipt = receipt(INNS[0], DRIVES[0], number, vec![]);
            receipt.form = ofd_codec::Form(form);
            let mut plain = Vec::new();
            ofd_codec::TlvWriter::new(&mut plain).document(receipt.form, |w| {
                for (tag, bytes, nest) in tags {
                    let tag = ofd_codec::Tag(TAGS[*tag]);
                    match nest {
                        0 | 1 => w.bytes(tag, bytes)?,
                        2 => w.nested(ofd_codec::Tag(1059), |w| {
                            w.bytes(tag, bytes)?;
                            w.bytes(ofd_codec::Tag(1043), bytes)?;
                            w.bytes(ofd_codec::Tag(1043), &[1])
                        })?,
                        _ => w.nested(ofd_codec::Tag(1071), |w| w.bytes(tag, bytes))?,
                    }
                }
                Ok(())
            }).unwrap();
            Sent { received_us: NOON_US, ..Sent::with(&receipt, plain) }
        }).collect();
        let (place, log) = (place(), MemoryLog::of(&sent, 10));
        let report = compact(&log, &place.env, &CompactOptions::default()).unwrap();
        prop_assert_eq!(report.documents, sent.len() as u64);
        let verified = ofd_storage::verify::verify_source(&log, &place.env).unwrap();
        prop_assert!(verified.ok, "{:?}", verified.problems);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever comes in, in whatever order and cut: rows and sums are those of a plain fold over the documents.
    #[test]
    fn sums_are_those_of_a_plain_fold(
        documents in prop::collection::vec(
            (0..3_usize, 1..500_u32, 0..5_u32, 1..=4_u8, prop::collection::vec(0..10_000_000_u64, 0..4), any::<bool>()),
            1..60,
        ),
        per_segment in 1..20_usize,
        run_bytes in 1..5_000_u64,
    ) {
        let mut fold: BTreeMap<(String, String), (u64, i64, i64, i64)> = BTreeMap::new();
        let sent: Vec<Sent> = documents.iter().map(|(shop, number, day, direction, sums, opened)| {
            let mut receipt =
                receipt(INNS[*shop], DRIVES[*shop], *number, sums.iter().map(|sum| line("Товар", *sum)).collect());
            receipt.at = NOON + day * DAY_S;
            receipt.direction = *direction;
            receipt.total = sums.iter().sum::<u64>() + 1;
            let mut sent = Sent::of(&receipt);
            sent.opened = *opened;
            let (inn, day) = match opened {
                true => (INNS[*shop].to_owned(), 15 + day),
                // Not opened: the date received, which is the same day here.
                false => ("NULL".to_owned(), 15 + day),
            };
            let row = fold.entry((format!("2024-05-{day}"), inn)).or_default();
            row.0 += 1;
            if *opened {
                row.1 += receipt.total as i64;
                row.2 += receipt.total as i64 * match direction { 1 => 1, 2 => -1, _ => 0 };
                row.3 += sums.iter().sum::<u64>() as i64;
            }
            sent
        }).collect();
        let place = place();
        let options = CompactOptions { run_bytes_max: Some(run_bytes), ..CompactOptions::default() };
        compact(&MemoryLog::of(&sent, per_segment), &place.env, &options).unwrap();

        let number = |value: Option<String>| value.map_or(0, |value| value.parse::<i64>().unwrap());
        let mut found: BTreeMap<(String, String), (u64, i64, i64, i64)> = BTreeMap::new();
        for (date, path) in glob(place.dir.path(), "documents") {
            let columns = values(&path, "inn").into_iter().zip(values(&path, "total")).zip(values(&path, "revenue_sign"));
            for ((inn, total), sign) in columns {
                let row = found.entry((date.clone(), inn.unwrap_or("NULL".to_owned()))).or_default();
                let total = number(total);
                *row = (row.0 + 1, row.1 + total, row.2 + total * number(sign), row.3);
            }
        }
        for (date, path) in glob(place.dir.path(), "items") {
            for (inn, sum) in values(&path, "inn").into_iter().zip(values(&path, "sum")) {
                found.entry((date.clone(), inn.unwrap())).or_default().3 += number(sum);
            }
        }
        prop_assert_eq!(fold, found);
    }
}
