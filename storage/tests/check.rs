//! Reading sealed segments through finds what is wrong with them, wherever it lies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a failed test may panic, and bends files with its own hands"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ofd_storage::{
    Driver, Env, LogOptions, LogReader, NewRecord, RealEnv, RecordKind, SegmentCheck, recover,
};

/// A log of sealed segments of 64 KiB.
fn sealed(dir: &Path, records: usize) -> Arc<dyn Env> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
    let options = LogOptions { segment_len: 64 << 10, batch_len_max: 4096, ..LogOptions::default() };
    let (log, _) = recover(Arc::clone(&env), options, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
    for at in 0..records {
        let payload = vec![at as u8; at * 37 % 700];
        let record = NewRecord {
            kind: RecordKind::Command,
            flags: 0,
            partition: (at % 5) as u16,
            key_id: 0,
            answer_code: 0,
            parts: &[&payload],
        };
        let _ = driver.append(record).unwrap();
        if at % 7 == 0 {
            driver.commit().unwrap();
        }
    }
    driver.seal_all().unwrap();
    driver.shutdown().unwrap();
    env
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
    files.sort();
    files
}

/// Both ways of reading a segment: over a map, and by `pread` with pauses.
fn both(reader: &LogReader, at: usize) -> [SegmentCheck; 2] {
    let id = reader.sealed_segments()[at].id;
    let mut scan = reader.scan_segment(id, true).unwrap();
    while scan.step().unwrap() {}
    [reader.check_segment(id, true).unwrap(), scan.finish().unwrap()]
}

/// Why: a log that nothing is wrong with must not be called damaged, and every record has to be counted.
#[test]
fn a_sound_log_is_sound_with_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let reader = LogReader::open_read_only(sealed(dir.path(), 1000)).unwrap();
    for (chain, threads) in [(false, 1), (true, 1), (false, 3), (true, 0)] {
        let check = reader.check_sealed(chain, threads).unwrap();
        assert!(check.ok(), "{check:?}");
        assert_eq!((check.records, check.lost), (1000, 0));
        assert!(check.segments > 3);
    }
}

/// Why: this is what reading everything back is for. Bytes between records count too: the chain covers them.
#[test]
fn every_flipped_byte_of_a_sealed_segment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let env = sealed(dir.path(), 150);
    let path = &files(dir.path())[0];
    let sound = std::fs::read(path).unwrap();
    let reader = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    let segment = reader.sealed_segments()[0];
    let records = both(&reader, 0)[0].records;
    for at in (0..usize::try_from(segment.used).unwrap()).step_by(61) {
        let mut bent = sound.clone();
        bent[at] ^= 0x10;
        std::fs::write(path, &bent).unwrap();
        for check in both(&reader, 0) {
            assert!(!check.ok(), "byte {at}");
            assert_eq!(check.records + check.lost, records, "byte {at}: no record is unaccounted for");
            assert!(check.lost <= 1, "byte {at}: one flipped bit costs one record at most");
            for damage in &check.damaged {
                let near = damage.from as usize <= at && at <= damage.to as usize;
                assert!(near, "byte {at} is not within {damage}");
            }
        }
        let all = reader.check_sealed(true, 2).unwrap();
        assert!(!all.ok() && all.lost <= 1);
    }
    std::fs::write(path, &sound).unwrap();
    assert!(both(&reader, 0).iter().all(SegmentCheck::ok));
}

/// Why: a segment that lost its end must not pass because its begin holds.
#[test]
fn a_segment_that_was_cut_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let env = sealed(dir.path(), 150);
    let reader = LogReader::open_read_only(env).unwrap();
    let path = &files(dir.path())[0];
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(20_000).unwrap();
    let mut scan = reader.scan_segment(reader.sealed_segments()[0].id, true).unwrap();
    while scan.step().unwrap() {}
    let check = scan.finish().unwrap();
    assert!(!check.ok() && check.lost > 0, "{check:?}");
}

/// Why: a segment of another log is whole in itself; only the chain and the positions tell that it is not ours.
#[test]
fn a_segment_of_another_log_is_found() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let env = sealed(ours.path(), 600);
    sealed(other.path(), 600);
    std::fs::copy(&files(other.path())[2], &files(ours.path())[2]).unwrap();
    let check = LogReader::open_read_only(env).unwrap().check_sealed(true, 0).unwrap();
    assert!(check.seals.iter().any(|what| what.contains("not the one it was sealed behind")), "{check:?}");
}
