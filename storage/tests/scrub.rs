//! Scrubbing finds rot, keeps its rate, and goes on where it was.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a failed test may panic, and bends files with its own hands"
)]

use std::path::Path;
use std::sync::Arc;

use ofd_storage::scrub::{Scrub, ScrubFinding, ScrubOptions, ScrubReport, ScrubStep};
use ofd_storage::{Driver, Env, LogOptions, LogReader, NewRecord, Now, RealEnv, RecordKind, recover};

const MICROS: u64 = 1_000_000;

/// A log of sealed segments of 64 KiB.
fn sealed(dir: &Path) -> (Arc<dyn Env>, LogReader) {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
    let options = LogOptions { segment_len: 64 << 10, batch_len_max: 4096, ..LogOptions::default() };
    let (log, _) = recover(Arc::clone(&env), options, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
    let payload = [7; 600];
    for _ in 0..1000 {
        let record = NewRecord {
            kind: RecordKind::Command,
            flags: 0,
            partition: 3,
            key_id: 0,
            answer_code: 0,
            parts: &[&payload],
        };
        let _ = driver.append(record).unwrap();
    }
    driver.seal_all().unwrap();
    driver.shutdown().unwrap();
    (Arc::clone(&env), LogReader::open_read_only(env).unwrap())
}

fn at(mono_us: u64) -> Now {
    Now { wall_us: 1_700_000_000_000_000 + mono_us as i64, mono_us }
}

/// Steps whenever it is due, until a pass is done; moves the clock along.
fn pass(scrub: &mut Scrub, mono_us: &mut u64) -> (Vec<ScrubFinding>, ScrubReport) {
    let mut found = Vec::new();
    loop {
        match scrub.step(at(*mono_us)).unwrap() {
            ScrubStep::Wait(until) => *mono_us = until.max(*mono_us),
            ScrubStep::Found(finding) => found.push(finding),
            ScrubStep::Done(report) => return (found, report),
        }
    }
}

/// Why: this is what scrubbing is for. Behind the damage everything else is still read.
#[test]
fn rot_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (env, reader) = sealed(dir.path());
    let segments = reader.sealed_segments();
    let bent = segments[4];
    let path = dir.path().join("log").join(format!("{}.seg", bent.id));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let mut scrub = Scrub::new(env, reader, ScrubOptions::default());
    let (found, report) = pass(&mut scrub, &mut 0);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(finding.segment, Some(bent.id));
    let [damage] = finding.damaged.as_slice() else { panic!("{finding:?}") };
    assert!(damage.from <= 20_000 && 20_000 < damage.to && damage.records() == 1, "{damage}");
    assert_eq!((report.segments, report.damaged), (segments.len() as u64, 1));
    assert_eq!(report.findings, found);
}

/// Why: a scrubber that reads as fast as it can takes the disk away from the registers.
#[test]
fn the_rate_holds_on_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (env, reader) = sealed(dir.path());
    let rate = 100_000;
    let options = ScrubOptions { rate: Some(rate), ..ScrubOptions::default() };
    let mut scrub = Scrub::new(env, reader, options);
    let mut now = 0;
    let mut before = 0;
    loop {
        match scrub.step(at(now)).unwrap() {
            ScrubStep::Wait(until) => {
                // A step that comes early reads nothing.
                let read = scrub.report().bytes;
                if until > now {
                    assert_eq!(scrub.step(at(until - 1)).unwrap(), ScrubStep::Wait(until));
                    assert_eq!(scrub.report().bytes, read);
                }
                assert!(read - before <= 1 << 20);
                before = read;
                now = until.max(now);
            }
            ScrubStep::Found(finding) => panic!("{finding:?}"),
            ScrubStep::Done(report) => {
                let allowed = rate * now / MICROS;
                assert!(report.bytes <= allowed + 1, "{} bytes, {allowed} allowed", report.bytes);
                assert!(report.bytes > allowed * 9 / 10, "and it is not much slower: {}", report.bytes);
                break;
            }
        }
    }
}

/// Why: a server that is restarted every day would read the oldest segments for ever and the newest never.
#[test]
fn a_restart_goes_on_behind_what_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (env, reader) = sealed(dir.path());
    let all = reader.sealed_segments().len() as u64;
    let options = ScrubOptions { pass_s: 1000, ..ScrubOptions::default() };
    let mut now = 0;
    let mut scrub = Scrub::new(Arc::clone(&env), reader.clone(), options);
    while scrub.report().segments < 3 {
        match scrub.step(at(now)).unwrap() {
            ScrubStep::Wait(until) => now = until.max(now),
            other => panic!("{other:?}"),
        }
    }
    drop(scrub);
    let mut scrub = Scrub::new(Arc::clone(&env), reader.clone(), options);
    let (_, report) = pass(&mut scrub, &mut now);
    assert_eq!((report.pass, report.segments), (1, all - 3));

    // The next pass comes in its time, whoever runs it.
    let ScrubStep::Wait(until) = scrub.step(at(now)).unwrap() else { panic!("begins at once") };
    assert!(until > now && until <= 1000 * MICROS, "{until}");
    now = until;
    let (_, report) = pass(&mut scrub, &mut now);
    assert_eq!((report.pass, report.segments), (2, all));

    // A mark that does not hold is no reason to stop.
    std::fs::write(dir.path().join("scrub"), "ofd-scrub 1 9 0 99 - 00000000\n").unwrap();
    let (_, report) = pass(&mut Scrub::new(env, reader, options), &mut now);
    assert_eq!((report.pass, report.segments), (1, all));
}

/// Why: a pass that was done before a restart must not begin again at once.
#[test]
fn a_pass_that_is_done_stays_done_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (env, reader) = sealed(dir.path());
    let options = ScrubOptions { pass_s: 1000, ..ScrubOptions::default() };
    let mut now = 0;
    pass(&mut Scrub::new(Arc::clone(&env), reader.clone(), options), &mut now);
    let mut scrub = Scrub::new(env, reader, options);
    let (_, report) = pass(&mut scrub, &mut now);
    assert_eq!((report.segments, report.bytes), (0, 0), "everything was read already");
    assert!(matches!(scrub.step(at(now)).unwrap(), ScrubStep::Wait(until) if until > now));
}
