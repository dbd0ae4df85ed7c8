//! A log that an earlier version wrote opens, whole: `testdata/v<n>/log` of every released format.
//!
//! `BLESS=1 cargo test -p ofd-storage --test compat` writes the directory of the current format anew. That is a new
//! format version, not a repair: the files of v1 stay as they are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ofd_storage::{
    Driver, Env, LogOptions, LogReader, NO_PARTITION, NewRecord, Position, RealEnv, RecordKind, recover,
};

const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    block_len: 512,
    marker_after_us: 5_000,
    prepare_retry_us: 10_000,
    ..LogOptions::DEFAULT
};
const RECORDS: u64 = 40;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

fn kind(lsn: u64) -> RecordKind {
    RecordKind::from_code(1 + (lsn % 5) as u8)
}

fn partition(lsn: u64) -> u16 {
    if lsn.is_multiple_of(7) { NO_PARTITION } else { (lsn % 3) as u16 }
}

fn payload(lsn: u64) -> Vec<u8> {
    (0..lsn * 5).map(|at| (at ^ lsn) as u8).collect()
}

/// Two sealed segments, the second of them ended by a start of the next process.
fn write(dir: &Path) {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
    for half in 0..2 {
        let (log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
        let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
        for lsn in half * RECORDS / 2 + 1..=(half + 1) * RECORDS / 2 {
            let bytes = payload(lsn);
            let record = NewRecord {
                kind: kind(lsn),
                flags: lsn as u8,
                partition: partition(lsn),
                key_id: lsn as u32,
                answer_code: 14,
                parts: &[&bytes],
            };
            assert_eq!(driver.append(record).unwrap().lsn.get(), lsn);
        }
        driver.seal_all().unwrap();
        driver.shutdown().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_log_of_v1_opens() {
    let golden = testdata().join("log");
    if std::env::var_os("BLESS").is_some() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        // Prewritten zeros are no testimony.
        for entry in std::fs::read_dir(dir.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0) {
                std::fs::remove_file(path).unwrap();
            }
        }
        copy(&dir.path().join("log"), &golden);
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&golden, &dir.path().join("log"));
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));

    let beside = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    assert_eq!(beside.durable().get(), RECORDS);

    let mut lsn = 0;
    let (log, report) = recover(Arc::clone(&env), OPTIONS, &mut |record, location| {
        lsn += 1;
        assert_eq!(record.lsn().get(), lsn);
        assert_eq!((record.kind(), record.partition()), (kind(lsn), partition(lsn)));
        assert_eq!((record.flags(), u64::from(record.key_id()), record.answer_code()), (lsn as u8, lsn, 14));
        assert_eq!(record.payload(), payload(lsn));
        assert_eq!(beside.read(location).unwrap().record().payload(), payload(lsn));
    })
    .unwrap();
    assert_eq!((lsn, report.records, report.segments), (RECORDS, RECORDS, 2));
    assert!(report.damaged.is_empty() && report.cut.is_none() && !report.meta_rebuilt);
    assert!(report.epoch > 2, "{}", report.epoch);
    let reader = log.reader();
    for sealed in reader.sealed_segments() {
        reader.check_seal(sealed.id).unwrap();
    }
    let mut records = reader.records_from(Position::START, reader.durable());
    let mut sequence = [0u64; 3];
    while let Some((record, _)) = records.next().unwrap() {
        match sequence.get_mut(usize::from(record.partition())) {
            Some(last) => {
                *last += 1;
                assert_eq!(record.partition_seq(), *last);
            }
            None => assert_eq!(record.partition_seq(), 0),
        }
    }
}
