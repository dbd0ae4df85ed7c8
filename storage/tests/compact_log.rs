//! Compaction and verification over the real log: segments that were written, sealed, damaged, reopened.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_support::*;
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::manifest::{Archive, Walk};
use ofd_storage::verify::verify;
use ofd_storage::{
    Appended, Driver, Env, ErrorKind, LogOptions, LogReader, NO_PARTITION, NewRecord, Position, RealEnv,
    RecordKind, RecordRef, recover,
};

/// Segments of some sixty documents.
const SMALL: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 4096,
    block_len: 512,
    marker_after_us: 1_000,
    prepare_retry_us: 10_000,
    ..LogOptions::DEFAULT
};

fn env(dir: &Path) -> Arc<dyn Env> {
    Arc::new(RealEnv::new(dir))
}

fn open(dir: &Path) -> Driver {
    let (log, _) = recover(env(dir), SMALL, &mut |_, _| {}).unwrap();
    Driver::new(env(dir), log).unwrap()
}

fn append(log: &mut Driver, number: u32) -> (Appended, Sent) {
    const DRIVES: [&str; 3] = ["9960440300000001", "9960440300000002", "9960440300000003"];
    let drive = DRIVES[number as usize % 3];
    let mut receipt = receipt("7704211201", drive, number, vec![line("Чай", u64::from(number))]);
    receipt.at = NOON + number % 4 * DAY_S;
    let sent = Sent::of(&receipt);
    let payload = sent.payload();
    let record = NewRecord {
        kind: RecordKind::Document,
        flags: 0,
        partition: (number % 3) as u16,
        key_id: 0,
        answer_code: if number.is_multiple_of(10) { 14 } else { 0 },
        parts: &[&payload],
    };
    (log.append(record).unwrap(), sent)
}

fn append_other(log: &mut Driver) {
    let record = NewRecord {
        kind: RecordKind::Command,
        flags: 0,
        partition: NO_PARTITION,
        key_id: 0,
        answer_code: 0,
        parts: &[b"a command"],
    };
    let _ = log.append(record).unwrap();
}

/// Some documents, commands between them.
fn fill(log: &mut Driver, numbers: std::ops::Range<u32>) -> Vec<(Appended, Sent)> {
    let mut out = Vec::new();
    for number in numbers {
        out.push(append(log, number));
        if number % 7 == 0 {
            append_other(log);
        }
    }
    log.commit().unwrap();
    out
}

/// What the log said of a record when it took it stands in the tables, and the container byte for byte.
#[test]
fn what_the_log_took_comes_out_of_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let taken = fill(&mut log, 1..300);
    log.seal_all().unwrap();
    let report = compact(&log.log().reader(), &env(dir.path()), &CompactOptions::default()).unwrap();
    assert_eq!((report.documents, report.runs), (299, 1));
    assert!(report.segments > 2, "{report:?}");
    assert_eq!(report.compacted_through.lsn(), log.log().durable());

    let mut rows: BTreeMap<u64, Vec<Option<String>>> = BTreeMap::new();
    for (table, columns) in [
        ("documents", &["partition_seq", "received_at", "answer_code", "fn", "fd", "total"][..]),
        ("containers", &["raw"]),
    ] {
        for (_, path) in glob(dir.path(), table) {
            let positions = values(&path, "position");
            for column in columns {
                for (position, value) in positions.iter().zip(values(&path, column)) {
                    rows.entry(position.as_ref().unwrap().parse().unwrap()).or_default().push(value);
                }
            }
        }
    }
    assert_eq!(rows.len(), taken.len());
    for (appended, sent) in &taken {
        let raw: String = sent.message()[30..].iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            appended.partition_seq.to_string(),
            appended.received_at_us.to_string(),
            if sent.number.is_multiple_of(10) { "14" } else { "0" }.to_owned(),
            sent.drive.to_owned(),
            sent.number.to_string(),
            sent.number.to_string(),
            raw,
        ];
        assert_eq!(rows[&appended.lsn.get()], expected.map(Some));
    }
}

/// Appends a record of any kind and contents.
fn append_any(log: &mut Driver, kind: RecordKind, partition: u16, payload: &[u8]) {
    let record = NewRecord { kind, flags: 5, partition, key_id: 0, answer_code: 255, parts: &[payload] };
    let _ = log.append(record).unwrap();
}

/// The archive is whole: every record of every kind, of quarantined frames with any bytes in them too, comes back from it
/// in the order of the log with every byte and everything the log knew. Only so may a segment ever leave the disk.
#[test]
fn every_record_of_every_kind_comes_back_from_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let mut log = open(dir.path());
    fill(&mut log, 1..30);
    let whole = Sent::of(&receipt("7704211201", "9960440300000002", 77, vec![])).payload();
    for len in (0..whole.len()).step_by(7) {
        append_any(&mut log, RecordKind::Quarantine, 2, &whole[..len]);
        append_any(&mut log, RecordKind::Quarantine, 2, &vec![0xFF; len]);
    }
    append_any(&mut log, RecordKind::Quarantine, 2, &whole);
    append_any(&mut log, RecordKind::Cursor, NO_PARTITION, b"\x01\0\0\0\0\0\0\0\x05tax");
    append_any(&mut log, RecordKind::Cursor, NO_PARTITION, b"\x01\0\0\0\0\0\0\0\x05\xFF\xFE");
    append_any(&mut log, RecordKind::Tick, NO_PARTITION, b"");
    append_any(&mut log, RecordKind::Unknown(200), 7, &[9; 3000]);
    // An explanation that is no text, and bytes behind the end of the envelope.
    let detail = b"\xFF\xFE";
    let mut odd = whole.to_vec();
    odd[100..104].copy_from_slice(&(detail.len() as u32).to_le_bytes());
    odd.extend_from_slice(detail);
    append_any(&mut log, RecordKind::Document, 1, &odd);
    odd.extend_from_slice(b"more");
    append_any(&mut log, RecordKind::Document, 1, &odd);
    log.commit().unwrap();
    fill(&mut log, 30..190);
    log.seal_all().unwrap();
    let reader = log.log().reader();
    let report = compact(&reader, &env, &small_runs()).unwrap();
    assert!(report.runs > 1 && report.records > 80, "{report:?}");

    let mut expected = Vec::new();
    let mut records = reader.records_from(Position::START, reader.durable());
    while let Some((record, _)) = records.next().unwrap() {
        expected.push(facts(&record));
    }
    let mut found = Vec::new();
    let archive = Archive::open(&env).unwrap();
    let through = archive.compacted_through();
    assert_eq!(through.lsn(), reader.durable());
    let mut walk = Walk::new(&env, Position::START, through);
    while let Some(record) = walk.next_record().unwrap() {
        found.push(facts(&record.record()));
    }
    assert_eq!(found.len(), expected.len());
    assert!(found == expected);
    let verified = verify(&reader, &env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);

    // And one of them alone, by what is printed on it.
    let one = archive.documents_of("9960440300000002", Some(4), through).unwrap();
    let [one] = &one[..] else { panic!("{} documents", one.len()) };
    let position = Position::new(one.record().lsn());
    let again = archive.document(position, "9960440300000002", 4).unwrap().unwrap();
    assert_eq!(facts(&again.record()), facts(&one.record()));
    assert!(archive.document(position, "9960440300000002", 5).unwrap().is_none());
}

/// Everything that a reader of the log learns of a record, but where it lies.
type Facts = (u64, u8, u8, u16, u64, i64, u8, u32, Vec<u8>);

fn facts(record: &RecordRef<'_>) -> Facts {
    (
        record.lsn().get(),
        record.kind().code(),
        record.flags(),
        record.partition(),
        record.partition_seq(),
        record.received_at_us(),
        record.answer_code(),
        record.key_id(),
        record.payload().to_vec(),
    )
}

/// While the log runs only sealed segments are taken; the open one follows when it is sealed. A second run does
/// nothing, a restart changes nothing, and `verify` agrees at every point, with the lock and without.
#[test]
fn compaction_follows_a_living_log() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let mut log = open(dir.path());
    let options = small_runs();
    let mut documents = 0;
    for round in 0..3_u32 {
        documents += fill(&mut log, round * 200 + 1..round * 200 + 201).len() as u64;
        let report = compact(&log.log().reader(), &env, &options).unwrap();
        assert!(report.compacted_through.lsn() < log.log().durable(), "the open segment is not touched");
        let verified = verify(&log.log().reader(), &env).unwrap();
        assert!(verified.ok, "{:?}", verified.problems);
        assert_eq!(verified.documents, documents);
        assert_eq!(verified.parquet_rows, Archive::open(&env).unwrap().documents());
        if round == 1 {
            log.shutdown().unwrap();
            log = open(dir.path());
        }
    }
    log.seal_all().unwrap();
    assert!(compact(&log.log().reader(), &env, &options).unwrap().documents > 0);
    let before = tree(&dir.path().join("parquet"));
    assert_eq!(compact(&log.log().reader(), &env, &options).unwrap().runs, 0);
    assert!(before == tree(&dir.path().join("parquet")));
    let beside = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    for reader in [log.log().reader(), beside] {
        let verified = verify(&reader, &env).unwrap();
        assert!(verified.ok, "{:?}", verified.problems);
        assert_eq!((verified.documents, verified.parquet_rows), (documents, documents));
    }
}

/// The first sealed segment file that holds these bytes, and where.
fn find(dir: &Path, needle: &[u8]) -> (PathBuf, usize) {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")) {
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return (path, at);
        }
    }
    panic!("not in the log");
}

fn flip(path: &Path, at: usize) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at as u64).unwrap();
}

/// A record that rotted before compaction is reported, its neighbours are archived; one that rotted after is
/// still in the archive.
#[test]
fn rot_in_a_sealed_segment_is_reported_and_costs_no_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let mut log = open(dir.path());
    let taken = fill(&mut log, 1..200);
    log.seal_all().unwrap();
    log.shutdown().unwrap();
    let rot = |number: usize| {
        let (path, at) = find(dir.path(), &taken[number].1.message()[30..]);
        flip(&path, at + 50);
    };

    rot(20);
    let reader = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    let report = compact(&reader, &env, &CompactOptions::default()).unwrap();
    assert_eq!((report.documents, report.damaged), (198, 1));
    let lost = taken[20].0.lsn.get();
    assert_eq!(Archive::open(&env).unwrap().runs()[0].damaged, [(lost, lost)]);
    let verified = verify(&reader, &env).unwrap();
    assert_eq!((verified.documents, verified.damaged, verified.missing, verified.ok), (198, 1, 0, false));

    rot(30);
    let reader = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    let verified = verify(&reader, &env).unwrap();
    assert_eq!((verified.damaged, verified.missing, verified.parquet_rows), (2, 0, 197), "{verified:?}");
    assert!(table_values(dir.path(), "documents", "position").contains(&Some(taken[30].0.lsn.to_string())));
}

/// A log that begins too late or ends too early has lost records, and is not compacted onto an archive it does not
/// reach.
#[test]
fn a_log_that_lost_its_beginning_or_its_end_is_not_ok() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let segments = || {
        let mut paths: Vec<_> =
            std::fs::read_dir(dir.path().join("log")).unwrap().map(|it| it.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        paths.sort();
        paths
    };
    let mut log = open(dir.path());
    fill(&mut log, 1..100);
    log.seal_all().unwrap();
    fill(&mut log, 100..200);
    log.seal_all().unwrap();
    log.shutdown().unwrap();
    let first = segments()[0].clone();
    let kept = std::fs::read(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    let verified = verify(&LogReader::open_read_only(Arc::clone(&env)).unwrap(), &env).unwrap();
    assert!(!verified.ok && verified.missing > 0, "{verified:?}");
    std::fs::write(&first, kept).unwrap();

    let reader = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    let through = compact(&reader, &env, &CompactOptions::default()).unwrap().compacted_through;
    assert_eq!(through.lsn(), reader.durable());
    assert!(verify(&reader, &env).unwrap().ok);
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let mut log = open(dir.path());
    fill(&mut log, 1..20);
    log.seal_all().unwrap();
    let reader = log.log().reader();
    let refused = compact(&reader, &env, &CompactOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("lost its end"), "{refused}");
    let verified = verify(&reader, &env).unwrap();
    assert!(!verified.ok && verified.missing > 0, "{verified:?}");
}

/// One flipped bit in the last write, which nothing proves: no record is served there, and it is not ok either.
#[test]
fn an_end_that_is_torn_after_the_writer_ended_is_not_ok() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let slow = LogOptions { marker_after_us: 3_600_000_000, ..SMALL };
    let (log, _) = recover(Arc::clone(&env), slow, &mut |_, _| {}).unwrap();
    let mut log = Driver::new(Arc::clone(&env), log).unwrap();
    let taken = fill(&mut log, 1..3);
    log.commit().unwrap();
    // As a killed process leaves it.
    drop(log);
    assert!(verify(&LogReader::open_read_only(Arc::clone(&env)).unwrap(), &env).unwrap().ok);
    let (path, at) = find(dir.path(), &taken[1].1.message()[30..]);
    flip(&path, at + 50);
    let reader = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    let verified = verify(&reader, &env).unwrap();
    assert!(!verified.ok && verified.damaged > 0, "{verified:?}");
    assert!(verified.problems.iter().any(|it| it.contains("may have been acknowledged")), "{verified:?}");
}
