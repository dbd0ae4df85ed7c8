//! A log that an earlier version wrote opens, whole: `testdata/v<n>/log` of every released format.
//!
//! `BLESS=1 cargo test -p ofd-storage --test compat` writes the directory of the current format anew. That is a new
//! format version, not a repair: the files of v1 stay as they are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ofd_storage::envelope::Envelope;
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Driver, Env, Log, LogOptions, LogReader, NO_PARTITION, NewRecord, Position, RECORD_FLAG_ENCRYPTED,
    RealEnv, RecordKind, recover,
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

/// The records of the second golden directory: kind, flags, key and payload.
fn open_records() -> Vec<(RecordKind, u8, u32, Vec<u8>)> {
    let mut records = vec![
        (RecordKind::Document, 0, 0, payload(9)),
        (RecordKind::Document, 1, 0, payload(10)),
        // What a later version encrypts: to this one it is bytes.
        (RecordKind::Document, RECORD_FLAG_ENCRYPTED, 77, payload(11)),
        (RecordKind::Cursor, RECORD_FLAG_ENCRYPTED | 3, 78, payload(12)),
    ];
    // Every kind there is, one that is not there yet, and a record without a payload.
    let kinds = [RecordKind::Quarantine, RecordKind::Cursor, RecordKind::Command, RecordKind::Tick];
    records.extend(kinds.map(|kind| (kind, 0x7F, 0, payload(20))));
    records.extend([RecordKind::Status, RecordKind::Unknown(200)].map(|kind| (kind, 2, 5, payload(30))));
    records.push((RecordKind::Tick, 0, 0, Vec::new()));
    records
}

/// An open segment that begins with a rewrite of two batches and ends with a marker, behind one whose sync failed.
fn write_open(dir: &Path) {
    let env = SimEnv::new(1, SimKnobs::default());
    let (mut log, _) = recover(Arc::new(env.clone()), OPTIONS, &mut |_, _| {}).unwrap();
    let mut queue = env.queue(Arc::new(|| {})).unwrap();
    let (mut ops, mut completions) = (Vec::new(), Vec::new());
    let mut rest = |log: &mut Log| {
        for _ in 0..8 {
            log.step(env.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            queue.poll(&mut completions);
        }
    };
    for (at, (kind, flags, key_id, bytes)) in open_records().iter().enumerate() {
        // The second batch fails while the first is proven by nothing: both are written again, in one write.
        env.set_knobs(|knobs| knobs.fail_next_syncs = u32::from(at == 1));
        let parts: [&[u8]; 1] = [bytes];
        let record = NewRecord {
            kind: *kind,
            flags: *flags,
            partition: at as u16,
            key_id: *key_id,
            answer_code: 0,
            parts: &parts,
        };
        assert_eq!(log.append(env.now(), record).unwrap().lsn.get(), at as u64 + 1);
        rest(&mut log);
    }
    env.advance(OPTIONS.marker_after_us, 0);
    rest(&mut log);
    let real = RealEnv::new(dir);
    real.create_dir_all(Path::new("log")).unwrap();
    for entry in env.list(Path::new("log")).unwrap() {
        let name = Path::new("log").join(&entry.name);
        let bytes = ofd_storage::env::read_file(&env, &name, 1 << 20).unwrap();
        if bytes.iter().any(|byte| *byte != 0) {
            ofd_storage::env::replace_file(&real, &name, &bytes).unwrap();
        }
    }
}

// What the sealed segments of the first directory do not show: an open end, a rewrite, a marker, and every kind and flag.
#[test]
fn an_open_log_of_v1_with_every_kind_and_an_encrypted_record_opens() {
    let golden = testdata().join("open").join("log");
    if std::env::var_os("BLESS_OPEN").is_some() {
        let dir = tempfile::tempdir().unwrap();
        write_open(dir.path());
        copy(&dir.path().join("log"), &golden);
    }
    let newest = std::fs::read(golden.join("0000000000000002.seg")).unwrap();
    let word = |at: usize| u32::from_le_bytes(newest.get(at..at + 4).unwrap().try_into().unwrap());
    let batches: Vec<usize> = (4096..newest.len() - 4096)
        .step_by(512)
        .filter(|at| newest.get(*at..*at + 4) == Some(b"OFDb"))
        .collect();
    assert!(batches.iter().any(|at| word(at + 60) == 1), "a write of two batches");
    assert!(batches.iter().any(|at| word(at + 16) == 0), "a marker");

    let dir = tempfile::tempdir().unwrap();
    copy(&golden, &dir.path().join("log"));
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let mut expected = open_records().into_iter();
    let (log, report) = recover(Arc::clone(&env), OPTIONS, &mut |record, _| {
        let (kind, flags, key_id, bytes) = expected.next().unwrap();
        assert_eq!((record.kind(), record.flags(), record.key_id()), (kind, flags, key_id));
        assert_eq!(record.payload(), bytes);
    })
    .unwrap();
    assert!(expected.next().is_none());
    assert!(report.damaged.is_empty() && report.cut.is_none(), "{report:?}");
    // One marker proves the last batch, and a start believes the newest write about nothing: it writes that batch again.
    assert_eq!((report.proven.get(), report.rewritten), (11, 1));

    // Served as bytes, told by key, and not taken for what its kind would make of it.
    let reader = log.reader();
    let mut records = reader.records_from(Position::START, reader.durable());
    let mut encrypted = Vec::new();
    while let Some((record, location)) = records.next().unwrap() {
        let owned = reader.read(location).unwrap();
        assert_eq!(owned.record().payload(), record.payload());
        match record.plain_payload() {
            Ok(bytes) => assert_eq!(bytes, record.payload()),
            Err(error) => {
                assert!(Envelope::of(&record).unwrap_err().to_string().contains("encrypted"));
                encrypted.push(error.to_string());
            }
        }
    }
    assert_eq!(
        encrypted,
        [
            "record 3 is encrypted with key 77, which is not here",
            "record 4 is encrypted with key 78, which is not here"
        ]
    );
}
