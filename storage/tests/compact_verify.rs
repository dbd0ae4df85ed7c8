//! `verify` finds what is wrong, and only that.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use compact_support::*;
use ofd_storage::RecordKind;
use ofd_storage::compact::{CompactOptions, SourceRecord, compact};
use ofd_storage::verify::{VerifyReport, verify_source};

fn documents() -> Vec<Sent> {
    (0..6)
        .map(|at| Sent {
            received_us: NOON_US + i64::from(at),
            ..Sent::of(&receipt("7704211201", "9960440300000001", at + 1, vec![line("Чай", 100)]))
        })
        .collect()
}

fn archived() -> (Place, MemoryLog) {
    let (place, log) = (place(), MemoryLog::of(&documents(), 2));
    compact(&log, &place.env, &CompactOptions { run_bytes_max: Some(2_000), ..CompactOptions::default() })
        .unwrap();
    (place, log)
}

fn verified(place: &Place, log: &MemoryLog) -> VerifyReport {
    verify_source(log, &place.env).unwrap()
}

fn document(log: &mut MemoryLog, segment: usize, at: usize) -> &mut ofd_storage::columns::Stored {
    match &mut log.segments[segment][at] {
        SourceRecord::Document(stored) => stored,
        SourceRecord::Other(..) => panic!(),
    }
}

/// The counts of the contract: all stored documents, those in the table, nothing wrong.
#[test]
fn a_sound_directory_is_ok() {
    let (place, mut log) = archived();
    let report = verified(&place, &log);
    assert_eq!(
        report,
        VerifyReport { documents: 6, parquet_rows: 6, ok: true, ..VerifyReport::default() },
        "{:?}",
        report.problems
    );
    log.segments.push(vec![SourceRecord::Document(
        Sent { received_us: NOON_US + 9, ..documents()[0].clone() }.stored(7),
    )]);
    let report = verified(&place, &log);
    assert_eq!((report.documents, report.parquet_rows, report.ok), (7, 6, true), "a tail is no fault");
    let json = serde_json::to_value(&report).unwrap();
    for (key, value) in [("documents", 7), ("damaged", 0), ("missing", 0), ("parquet_rows", 6)] {
        assert_eq!(json[key], value, "{key}");
    }
    assert_eq!(json["ok"], true);
}

/// An empty directory has nothing wrong with it.
#[test]
fn an_empty_directory_is_ok() {
    assert!(verified(&place(), &MemoryLog::default()).ok);
}

/// Bytes that differ between log and archive, whichever of them is right.
#[test]
fn a_container_that_differs_from_the_log_is_damage() {
    let (place, mut log) = archived();
    let stored = document(&mut log, 1, 0);
    let mut payload = stored.payload.to_vec();
    payload[150] ^= 1;
    stored.payload = payload.into();
    let report = verified(&place, &log);
    assert_eq!((report.damaged, report.ok), (1, false));
    assert!(report.problems[0].contains("position 3"), "{:?}", report.problems);
}

/// Any one flipped bit of any file.
#[test]
fn a_flipped_bit_in_a_file_is_damage() {
    let (place, log) = archived();
    for table in ["documents", "containers", "items"] {
        let path = &glob(place.dir.path(), table)[0].1;
        let sound = std::fs::read(path).unwrap();
        for at in [0, 4, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            std::fs::write(path, bytes).unwrap();
            let report = verified(&place, &log);
            assert!(!report.ok && report.damaged > 0, "{table} byte {at}: {report:?}");
        }
        std::fs::write(path, sound).unwrap();
    }
    assert!(verified(&place, &log).ok);
}

/// A file that is gone takes its documents with it.
#[test]
fn a_file_that_is_gone_is_damage_and_its_documents_are_missing() {
    let (place, log) = archived();
    std::fs::remove_file(&glob(place.dir.path(), "documents")[0].1).unwrap();
    let report = verified(&place, &log);
    assert_eq!((report.damaged, report.missing, report.documents, report.parquet_rows), (1, 4, 6, 2));
    assert!(!report.ok);
}

/// Order: positions, times, partition sequences.
#[test]
fn a_broken_order_is_found() {
    let (place, log) = (place(), MemoryLog::of(&documents(), 6));
    let check = |damaged, missing, break_it: &dyn Fn(&mut MemoryLog)| {
        let mut log = log.clone();
        break_it(&mut log);
        let report = verified(&place, &log);
        assert_eq!(
            (report.damaged, report.missing, report.ok),
            (damaged, missing, false),
            "{:?}",
            report.problems
        );
    };
    check(0, 1, &|log| drop(log.segments[0].remove(2)));
    check(1, 0, &|log| document(log, 0, 3).received_at_us -= 10);
    check(1, 0, &|log| document(log, 0, 5).partition_seq += 1);
    check(2, 0, &|log| document(log, 0, 3).partition_seq += 1);
}

/// A log that ends before the archive does has lost records.
#[test]
fn a_log_shorter_than_the_archive_is_missing_records() {
    let (place, mut log) = archived();
    log.segments.pop();
    let report = verified(&place, &log);
    assert_eq!((report.missing, report.ok), (2, false), "{:?}", report.problems);
}

/// A record that is no document counts as much: what is told of it, and every byte.
#[test]
fn a_record_that_differs_from_the_log_or_is_not_there_is_found() {
    let place = place();
    let mut log = MemoryLog::of(&documents(), 2);
    for position in 7..10 {
        log.segments.push(vec![other(position, RecordKind::Command, b"a command")]);
    }
    compact(&log, &place.env, &CompactOptions::default()).unwrap();
    assert!(verified(&place, &log).ok, "{:?}", verified(&place, &log));
    let broken = |break_it: &dyn Fn(&mut ofd_storage::columns::Stored)| {
        let mut log = log.clone();
        let SourceRecord::Other(_, stored) = &mut log.segments[4][0] else { panic!() };
        break_it(stored);
        let report = verified(&place, &log);
        assert!(!report.ok && report.damaged > 0, "{report:?}");
        assert!(report.problems[0].contains("position 8"), "{report:?}");
    };
    broken(&|stored| stored.payload = "another".into());
    broken(&|stored| stored.flags ^= 1);
    broken(&|stored| stored.answer_code = 0);
    std::fs::remove_file(&glob(place.dir.path(), "records")[0].1).unwrap();
    let report = verified(&place, &log);
    assert_eq!((report.damaged, report.missing, report.parquet_rows, report.ok), (1, 3, 6, false));
}
