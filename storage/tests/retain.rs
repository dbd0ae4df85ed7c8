//! What leaves the log, on the real log over a disk that lies: nothing is lost, and nothing goes on a guess (I8), nor before its time (I15).
#![cfg(all(feature = "columns", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_support::*;
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::env::read_file;
use ofd_storage::manifest::{Archive, MANIFEST_FILE, Manifest, Walk};
use ofd_storage::retain::{DropReport, DropRules, Hold, HoldCommand, HoldScope, Holds, Stays, drop_segments};
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::verify::verify;
use ofd_storage::{
    Begin, Driver, Env, Error, ErrorKind, LogOptions, LogReader, Lsn, NO_PARTITION, NewRecord, Position,
    RecordKind, RecordRef, SegmentId, recover,
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
const DRIVE: &str = "9960440300000001";
const INN: &str = "7704211201";
/// Two segments' worth a run.
const RUN_BYTES: u64 = 130_000;

fn open(env: &Arc<dyn Env>) -> Result<Driver, Error> {
    let (log, _) = recover(Arc::clone(env), SMALL, &mut |_, _| {})?;
    Driver::new(Arc::clone(env), log)
}

fn append(log: &mut Driver, kind: RecordKind, partition: u16, payload: &[u8]) {
    let record = NewRecord { kind, flags: 1, partition, key_id: 0, answer_code: 0, parts: &[payload] };
    let _ = log.append(record).unwrap();
}

/// Documents, and after every seventh a command and a frame in quarantine.
fn fill(log: &mut Driver, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let sent = Sent::of(&receipt(INN, DRIVE, number, vec![line("Чай", u64::from(number))]));
        append(log, RecordKind::Document, (number % 5) as u16, &sent.payload());
        if number % 7 == 0 {
            append(log, RecordKind::Command, NO_PARTITION, b"a command");
            append(log, RecordKind::Quarantine, 3, b"whatever");
        }
    }
    log.commit().unwrap();
}

/// A document in a partition that has no other.
fn rare(log: &mut Driver, number: u32) {
    let sent = Sent::of(&receipt(INN, DRIVE, number, vec![line("Чай", 1)]));
    append(log, RecordKind::Document, 9, &sent.payload());
    log.commit().unwrap();
}

fn options() -> CompactOptions {
    CompactOptions { run_bytes_max: Some(RUN_BYTES), ..CompactOptions::default() }
}

/// Old enough for everything that a test writes.
fn rules() -> DropRules {
    DropRules { now_us: i64::MAX, keep_us: 0, ..DropRules::default() }
}

/// A log of some segments, compacted, with an open segment behind them.
fn filled(env: &Arc<dyn Env>) -> Driver {
    let mut log = open(env).unwrap();
    rare(&mut log, 5_000);
    fill(&mut log, 1..1200);
    log.seal_all().unwrap();
    fill(&mut log, 1200..1250);
    compact(&log.log().reader(), env, &options()).unwrap();
    log
}

type Facts = (u64, u8, u16, u64, i64, Vec<u8>);

fn facts(record: &RecordRef<'_>) -> Facts {
    (
        record.lsn().get(),
        record.kind().code(),
        record.partition(),
        record.partition_seq(),
        record.received_at_us(),
        record.payload().to_vec(),
    )
}

fn in_log(reader: &LogReader) -> Vec<Facts> {
    let mut found = Vec::new();
    let mut records = reader.records_from(Position::new(reader.first().prev()), reader.durable());
    while let Some((record, _)) = records.next().unwrap() {
        found.push(facts(&record));
    }
    found
}

/// Everything that was ever written: what left the log from the archive, the rest from the log.
fn everything(env: &Arc<dyn Env>, reader: &LogReader) -> Vec<Facts> {
    let mut found = Vec::new();
    let before = Position::new(reader.first().prev());
    let archive = Archive::open(env).unwrap();
    assert!(
        archive.compacted_through() >= before,
        "something has left the log that the archive does not hold"
    );
    let mut walk = Walk::new(env, Position::START, before);
    while let Some(record) = walk.next_record().unwrap() {
        found.push(facts(&record.record()));
    }
    found.extend(in_log(reader));
    found
}

fn segments(env: &dyn Env) -> Vec<String> {
    let names = env.list(Path::new("log")).unwrap();
    names.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(".seg")).collect()
}

fn sim(seed: u64) -> (SimEnv, Arc<dyn Env>) {
    let knobs = SimKnobs { torn_sectors: true, names_in_any_order: true, ..SimKnobs::default() };
    let sim = SimEnv::new(seed, knobs);
    (sim.clone(), Arc::new(sim))
}

/// The log and the archive together hold every record before the drop and after it, and after a restart.
#[test]
fn what_leaves_the_log_is_whole_in_the_archive() {
    let (_, env) = sim(1);
    let mut log = filled(&env);
    let reader = log.log().reader();
    let before = in_log(&reader);
    let held = reader.segment_records(SegmentId::new(1)).unwrap();
    let count = segments(&*env).len();

    let would = drop_segments(&reader, &env, &DropRules { dry_run: true, ..rules() }).unwrap();
    assert!(would.segments.len() >= 2 && segments(&*env).len() == count, "{would:?}");
    let report = drop_segments(&reader, &env, &rules()).unwrap();
    assert_eq!(report, would, "a dry run tells what will be done");
    assert_eq!(segments(&*env).len(), count - report.segments.len());
    assert_eq!(report.stays.as_ref().map(|(_, why)| why.clone()), Some(Stays::Newest));
    assert_eq!(reader.first(), report.dropped_through.next());
    assert!(everything(&env, &reader) == before);
    // Who held a map reads on.
    assert!(held.iter().all(|item| item.is_ok()) && held.iter().count() > 40);
    // A walk from the beginning is told what is not there, and goes on.
    let mut records = reader.records_from(Position::START, reader.durable());
    let gone = records.next().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Corrupt);
    assert!(gone.to_string().contains(&format!("begins with record {}", reader.first())), "{gone}");
    assert_eq!(records.next().unwrap().unwrap().0.lsn(), reader.first());
    assert!(!reader.holds(report.dropped_through) && reader.holds(reader.first()));
    let verified = verify(&reader, &env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);
    assert_eq!(verified.documents, 1250);
    assert_eq!(drop_segments(&reader, &env, &rules()).unwrap().segments, []);

    fill(&mut log, 1250..1260);
    let before = everything(&env, &log.log().reader());
    log.shutdown().unwrap();
    let mut log = open(&env).unwrap();
    let reader = log.log().reader();
    assert_eq!(reader.first(), report.dropped_through.next());
    assert!(everything(&env, &reader) == before);
    // Numbers go on, also in a partition of which no record is left in the log.
    fill(&mut log, 1260..1261);
    rare(&mut log, 5_001);
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for (_, _, partition, seq, ..) in everything(&env, &log.log().reader()) {
        if partition != NO_PARTITION {
            assert_eq!(last.insert(partition, seq).unwrap_or(0) + 1, seq, "partition {partition}");
        }
    }
    let beside = LogReader::open_read_only(Arc::clone(&env)).unwrap();
    assert_eq!(beside.first(), report.dropped_through.next());
    let verified = verify(&beside, &env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);
}

/// The power fails at every single change of the disk that a drop makes. The log opens again, nothing is lost, nothing is
/// called missing, and doing it again ends the same.
#[test]
fn a_power_cut_at_any_change_of_a_drop_loses_nothing() {
    let mut cuts = 0;
    let dropped = {
        let (_, env) = sim(7);
        drop_segments(&filled(&env).log().reader(), &env, &rules()).unwrap()
    };
    for call in 1.. {
        let (machine, env) = sim(7 + call);
        let log = filled(&env);
        let before = in_log(&log.log().reader());
        machine.cut_power_after(Some(call));
        let result = drop_segments(&log.log().reader(), &env, &rules());
        if result.is_ok() {
            break;
        }
        cuts += 1;
        drop(log);
        let machine = machine.power_cut();
        machine.cut_power_after(None);
        let env: Arc<dyn Env> = Arc::new(machine.clone());
        let beside = LogReader::open_read_only(Arc::clone(&env)).unwrap();
        assert!(everything(&env, &beside) == before, "I8: call {call}");
        // And while the next start finishes what was begun.
        machine.cut_power_after(Some(call % 5 + 1));
        drop(open(&env));
        let machine = machine.power_cut();
        machine.cut_power_after(None);
        let env: Arc<dyn Env> = Arc::new(machine.clone());
        let log = open(&env).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let reader = log.log().reader();
        assert!(everything(&env, &reader) == before, "I8: call {call}");
        let verified = verify(&reader, &env).unwrap();
        assert!(verified.ok, "I8: call {call}: {:?}", verified.problems);
        drop_segments(&reader, &env, &rules()).unwrap();
        // The start has sealed the open segment: one more may be old enough.
        assert!(reader.first() >= dropped.dropped_through.next(), "call {call}");
        assert!(everything(&env, &reader) == before, "I8: call {call}");
    }
    assert!(cuts > 8, "only {cuts} changes were cut");
}

// One of the bugs that every log has had: segments go while what they were compacted into is in the page cache alone.
#[cfg(ofd_planted)]
#[test]
fn the_planted_bug_48_is_found() {
    ofd_storage::planted::choose(48);
    let found = std::panic::catch_unwind(a_power_cut_at_any_change_of_a_drop_loses_nothing);
    ofd_storage::planted::choose(0);
    assert!(found.is_err());
}

fn stays(report: &DropReport) -> String {
    assert_eq!(report.segments, [], "nothing may go");
    report.stays.as_ref().map(|(_, why)| why.to_string()).unwrap_or_default()
}

/// The planted lies: whatever is wrong with the archive, nothing leaves the log. One flipped bit anywhere in any file of
/// the oldest run, a file that is gone, a manifest that names other bytes, or a run with a hole.
#[test]
fn nothing_is_dropped_on_the_word_of_an_archive_that_is_not_whole() {
    let (machine, env) = sim(3);
    let log = filled(&env);
    let reader = log.log().reader();
    let dry = DropRules { dry_run: true, ..rules() };
    let sound = drop_segments(&reader, &env, &dry).unwrap().segments.len();
    assert!(sound > 0);
    let refused = |what: &str| {
        let report = drop_segments(&reader, &env, &rules()).unwrap();
        let told = stays(&report);
        assert!(told.contains("does not hold all of it"), "{what}: {told}");
        assert!(Begin::load(&*env).unwrap() == Begin::default(), "{what}: nothing is written down either");
    };
    let manifest = Manifest::load(&*env).unwrap().unwrap();
    for file in &manifest.runs[0].files {
        let path = file.path();
        let bytes = usize::try_from(file.bytes).unwrap();
        for at in [0, 5, bytes / 3, bytes / 2, bytes - 1] {
            machine.flip_bit(&path, at * 8 + at % 8).unwrap();
            refused(&format!("{} byte {at}", path.display()));
            machine.flip_bit(&path, at * 8 + at % 8).unwrap();
        }
        let aside = Path::new("aside");
        env.rename(&path, aside).unwrap();
        refused(&format!("{} is gone", path.display()));
        env.rename(aside, &path).unwrap();
    }
    let lie = |change: &dyn Fn(&mut Manifest)| {
        let mut lying = manifest.clone();
        change(&mut lying);
        lying.store(&*env).unwrap();
        refused("the manifest lies");
    };
    lie(&|manifest| manifest.runs[0].records = None);
    lie(&|manifest| manifest.runs[0].damaged = vec![(3, 3)]);
    for at in 0..manifest.runs[0].files.len() {
        // A hole: the manifest does not name a file, and what is named is sound.
        if ["containers", "records"].contains(&manifest.runs[0].files[at].table.as_str()) {
            lie(&|manifest| drop(manifest.runs[0].files.remove(at)));
        }
        lie(&|manifest| manifest.runs[0].files[at].bytes += 1);
    }
    lie(&|manifest| {
        let (last, next) = (manifest.runs[0].last, manifest.runs[1].first);
        assert_eq!(last + 1, next);
        manifest.runs[0].last -= 1;
        manifest.runs[1].first -= 1;
    });
    manifest.clone().store(&*env).unwrap();
    assert_eq!(drop_segments(&reader, &env, &dry).unwrap().segments.len(), sound);
}

/// What is not compacted, too young, awaited by a required cursor or held stays, and everything behind it.
#[test]
fn young_awaited_and_held_segments_stay() {
    let (_, env) = sim(4);
    let log = filled(&env);
    let reader = log.log().reader();
    let received = in_log(&reader)[0].4;
    let report = |rules: &DropRules| {
        drop_segments(&reader, &env, &DropRules { dry_run: true, ..rules.clone() }).unwrap()
    };
    let young = DropRules { now_us: received + 10, keep_us: 35 * 86_400_000_000, ..rules() };
    assert!(stays(&report(&young)).contains("younger"));
    let awaited = DropRules { cursors: vec![("tax".into(), Position::START)], ..rules() };
    assert!(stays(&report(&awaited)).contains("\"tax\""));
    let first_run = Archive::open(&env).unwrap().runs()[0].last;
    let passed = vec![("tax".to_owned(), Position::new(Lsn::new(first_run)))];
    assert_eq!(report(&DropRules { cursors: passed, ..rules() }).dropped_through, Lsn::new(first_run));

    let held = |scope: HoldScope, from: &str, to: &str| {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let hold = Hold { scope, from, to, reason: "суд".into(), by: "Иванова".into() };
        let mut holds = Holds::default();
        holds.fold(17, &HoldCommand::Place(hold).to_payload());
        report(&DropRules { holds, ..rules() })
    };
    let (drive, inn) = (|| HoldScope::Drive(DRIVE.into()), || HoldScope::Inn(INN.into()));
    assert!(stays(&held(drive(), "2023-01-01", "2025-01-01")).contains("hold 17"));
    assert!(stays(&held(inn(), "2023-01-01", "2025-01-01")).contains("hold 17"));
    // A quarantined frame tells neither drive nor INN: its date alone can free it.
    assert!(!held(drive(), "2022-01-01", "2022-12-31").segments.is_empty());
    assert!(!held(inn(), "2022-01-01", "2022-12-31").segments.is_empty());

    let (_, env) = sim(5);
    let mut log = open(&env).unwrap();
    fill(&mut log, 1..300);
    log.seal_all().unwrap();
    let report = drop_segments(&log.log().reader(), &env, &rules()).unwrap();
    assert!(stays(&report).contains("not compacted"), "{report:?}");
}

/// A segment that is missing is no dropped one: at the begin without a word in `log/begin`, in the middle, or the end.
#[test]
fn a_segment_missing_at_the_begin_is_refused() {
    let refuses = |what: &str, spoil: &dyn Fn(&dyn Env, &[PathBuf])| {
        let (_, env) = sim(6);
        let log = filled(&env);
        drop_segments(&log.log().reader(), &env, &rules()).unwrap();
        log.shutdown().unwrap();
        assert!(open(&env).is_ok());
        let paths: Vec<_> = segments(&*env).iter().map(|name| Path::new("log").join(name)).collect();
        spoil(&*env, &paths);
        let error = open(&env).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().contains("missing") || what == "unreadable", "{what}: {error}");
    };
    refuses("first", &|env, paths| env.remove(&paths[0]).unwrap());
    refuses("middle", &|env, paths| env.remove(&paths[1]).unwrap());
    refuses("all", &|env, paths| paths.iter().for_each(|path| env.remove(path).unwrap()));
    refuses("unwritten", &|env, _| env.remove(Path::new("log/begin")).unwrap());
    refuses("unreadable", &|env, _| {
        let file = env.create(Path::new("log/begin")).unwrap();
        ofd_storage::env::write_all_at(&*file, &[&[7; 100]], 0).unwrap();
    });
}

/// A manifest of version 1 is read with its own checksum, and the next compaction makes its runs whole.
#[test]
fn an_archive_without_records_is_made_whole_by_the_next_compaction() {
    let (_, env) = sim(8);
    let log = filled(&env);
    let reader = log.log().reader();
    let whole = Archive::open(&env).unwrap();
    let rows: u64 = whole.runs().iter().map(|run| run.records.unwrap()).sum();
    // As version 1 left it.
    let mut old = Manifest::load(&*env).unwrap().unwrap();
    for run in &mut old.runs {
        for file in run.files.iter().filter(|file| file.table == "records") {
            env.remove(&file.path()).unwrap();
        }
        run.files.retain(|file| file.table != "records");
        run.records = None;
    }
    old.version = 1;
    old.checksum = String::new();
    old.checksum = blake3::hash(&serde_json::to_vec(&old).unwrap()).to_hex().to_string();
    let file = env.create(Path::new(MANIFEST_FILE)).unwrap();
    let bytes = serde_json::to_vec_pretty(&old).unwrap();
    ofd_storage::env::write_all_at(&*file, &[&bytes], 0).unwrap();
    let text = String::from_utf8(read_file(&*env, Path::new(MANIFEST_FILE), 1 << 20).unwrap()).unwrap();
    assert!(text.contains("\"version\": 1") && !text.contains("records"), "{text}");
    let verified = verify(&reader, &env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);
    assert!(stays(&drop_segments(&reader, &env, &rules()).unwrap()).contains("version 1"));

    let report = compact(&reader, &env, &options()).unwrap();
    assert_eq!((report.runs, report.documents, report.records), (0, 0, rows), "{report:?}");
    let archive = Archive::open(&env).unwrap();
    assert_eq!(archive.runs(), whole.runs());
    let verified = verify(&reader, &env).unwrap();
    assert!(verified.ok, "{:?}", verified.problems);
    assert!(!drop_segments(&reader, &env, &rules()).unwrap().segments.is_empty());
}
