//! Tables, feeds and exports when something is damaged, has gone meanwhile, or is not what it seems: nothing is passed over in
//! silence, and what can be made again holds nobody back.
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{changed, fresh, life, lives_of, submit};
use ofd_emit::ProfileOptions;
use ofd_engine::host::Capability;
use ofd_engine::registers::EventKind;
use ofd_engine::storage::columns::Table;
use ofd_engine::{Engine, ErrorKind, Export, Lsn, Position, Search, ShiftRow};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> Engine {
    let builder = Engine::builder(dir).segment_len_bytes(1 << 20).log_keep_days(0);
    builder.checkpoint_after(100).open().unwrap()
}

/// Registers with short shifts, by turns.
fn lives(documents: usize) -> Vec<Vec<u8>> {
    let options = |_| ProfileOptions { receipts_per_shift: Some(3), ..ProfileOptions::default() };
    let lives = lives_of(41, 4, documents, options);
    (0..documents).flat_map(|at| lives.iter().map(move |life| life[at].clone())).collect()
}

/// Submits, and waits until the registers have folded it.
fn folded(engine: &Engine, messages: &[Vec<u8>]) {
    submit(engine, messages);
    assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
}

fn shifts(engine: &Engine, capability: &Capability) -> Vec<ShiftRow> {
    let mut shifts = Vec::new();
    engine.shifts(capability, None, &mut |it| shifts.push(it)).unwrap();
    shifts.sort_by(|one, other| (&one.drive, one.shift).cmp(&(&other.drive, other.shift)));
    shifts
}

/// More documents, in segments of their own, until the first ones leave the log.
fn overtaken(engine: &Engine, messages: &[Vec<u8>]) {
    for part in messages.chunks(messages.len().div_ceil(3)) {
        folded(engine, part);
        engine.compact(true).unwrap();
    }
    let report = engine.retain(false).unwrap();
    assert!(!report.log.segments.is_empty(), "{report:?}");
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    found.retain(|it| it.extension().is_some_and(|it| it == extension));
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

// Files of events can be made again: a bit that rots in one must not keep documents out of the archive.
#[test]
fn a_damaged_or_missing_file_of_events_holds_no_compaction_back() {
    for removed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let messages = lives(120);
        let engine = open(dir.path());
        messages.chunks(120).for_each(|part| folded(&engine, part));
        let expected = shifts(&engine, &Capability::operator());
        assert!(expected.len() > 80);
        engine.shutdown().unwrap();
        let events = files(&dir.path().join("events"), "events");
        assert!(events.len() > 3, "{events:?}");
        if removed {
            std::fs::remove_file(&events[0]).unwrap()
        } else {
            flip(&events[1], 200)
        };
        let engine = open(dir.path());
        assert_eq!(engine.compact(true).unwrap().documents, messages.len() as u64);
        // The positions of rows are of the records, whoever tells them.
        assert_eq!(shifts(&engine, &Capability::operator()), expected, "removed: {removed}");
        engine.shutdown().unwrap();
    }
}

// Anybody may send a document under somebody's drive: it must not show him the takings of that shift.
#[test]
fn a_late_document_of_another_organisation_moves_no_shift() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let options = ProfileOptions { receipts_per_shift: Some(3), ..ProfileOptions::default() };
    let mut messages = lives_of(43, 1, 12, |_| options).remove(0);
    // The second receipt of the first shift comes last, and names another organisation.
    let late = changed(&messages.remove(3), 1018, |inn| inn[..10].copy_from_slice(b"9909999990"));
    folded(&engine, &messages);
    let before = shifts(&engine, &Capability::operator());
    let inn = before[0].inn.clone().unwrap();
    folded(&engine, &[late]);
    let after = shifts(&engine, &Capability::operator());
    assert_eq!(
        (after.len(), after[0].revision, after[0].inn.as_deref()),
        (before.len(), 1, Some(inn.as_str()))
    );
    let (owner, other) = (Capability::users([inn]), Capability::users(["9909999990".to_owned()]));
    assert_eq!((shifts(&engine, &owner), shifts(&engine, &other)), (after, Vec::new()));
    let mut feed = engine.events(&other, Position::START);
    while feed.position() < engine.durable() {
        for event in feed.next_batch(100, Duration::from_secs(5)).unwrap() {
            assert!(!matches!(event.kind, EventKind::ShiftState(_)), "{event:?}");
        }
    }
    engine.shutdown().unwrap();
}

// What has gone under a reader's eyes has to be an error: rows that are simply missing are a wrong answer.
#[test]
fn a_snapshot_tells_that_its_tail_has_left_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let messages = lives(120);
    folded(&engine, &messages[..240]);
    let snapshot = engine.snapshot().unwrap();
    engine.compact(true).unwrap();
    overtaken(&engine, &messages[240..]);
    for table in [Table::Documents, Table::Items, Table::Containers, Table::Records, Table::Violations] {
        let gone = snapshot.tail(table, &mut |_, _| Ok(())).unwrap_err();
        assert!(gone.is_not_found(), "{table}: {gone}");
    }
    let gone = snapshot.search(&Search::default(), None, 1, None).unwrap_err();
    assert!(gone.is_not_found(), "search: {gone}");
    engine.shutdown().unwrap();
}

/// Positions of everything that a feed gives from here on, and its errors.
fn rest(feed: &mut ofd_engine::Feed) -> (Vec<u64>, Vec<ErrorKind>) {
    let (mut given, mut errors) = (Vec::new(), Vec::new());
    loop {
        match feed.next_batch(50, Duration::ZERO) {
            Ok(batch) if batch.is_empty() => return (given, errors),
            Ok(batch) => given.extend(batch.iter().map(|it| it.position().as_u64())),
            Err(error) => errors.push(error.kind()),
        }
        assert!(errors.len() < 5, "the same again and again: {errors:?}");
    }
}

// A host that is slow must not lose what retention takes from the log while it reads: the archive has it.
#[test]
fn a_feed_that_retention_overtakes_goes_on_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let messages = lives(120);
    folded(&engine, &messages[..240]);
    let mut feed = engine.feed(&Capability::operator(), Position::START);
    let mut given: Vec<u64> = Vec::new();
    given.extend(feed.next_batch(10, Duration::ZERO).unwrap().iter().map(|it| it.position().as_u64()));
    engine.compact(true).unwrap();
    overtaken(&engine, &messages[240..]);
    let (more, errors) = rest(&mut feed);
    given.extend(more);
    assert_eq!(errors, []);
    let documents = given.len();
    assert!(given.is_sorted_by(|one, other| one < other) && documents == messages.len(), "{documents}");
    engine.shutdown().unwrap();
}

// Damage is told once; a feed that stands before it for ever delivers nothing that comes later.
#[test]
fn a_run_that_has_rotted_is_told_once_and_passed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let messages = lives(120);
    folded(&engine, &messages[..240]);
    engine.compact(true).unwrap();
    overtaken(&engine, &messages[240..]);
    let snapshot = engine.snapshot().unwrap();
    let first = snapshot.archive().runs()[0].clone();
    let rotten = first.files.iter().find(|it| it.table == "containers").unwrap().path();
    let path = dir.path().join(rotten);
    let len = std::fs::metadata(&path).unwrap().len() as usize;
    // The footer: nothing of the file can be read.
    flip(&path, len - 6);
    let mut feed = engine.feed(&Capability::operator(), Position::START);
    let (given, errors) = rest(&mut feed);
    assert_eq!(errors, [ErrorKind::Corrupt]);
    assert!(given.iter().all(|it| *it > first.last));
    assert_eq!(given.len() as u64, messages.len() as u64 - first.documents);
    assert_eq!(feed.position(), engine.durable());
    engine.shutdown().unwrap();
}

// A folder given by mistake is somebody's data.
#[test]
fn an_export_is_written_into_no_folder_but_its_own_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    let engine = open(&data);
    let operator = Capability::operator();
    folded(&engine, &lives(40));
    engine.compact(true).unwrap();
    let inn = shifts(&engine, &operator)[0].inn.clone().unwrap();
    let what = |since: Option<u64>| Export {
        inn: inn.clone(),
        since: since.map(|it| Position::new(Lsn::new(it))),
        without_personal: false,
    };
    let manifest = std::fs::read(data.join("archive.json")).unwrap();
    for taken in [data.clone(), data.join("..").join("data")] {
        assert_eq!(engine.export(&operator, &taken, &what(None)).unwrap_err().kind(), ErrorKind::Fix);
    }
    assert!(
        std::fs::read(data.join("archive.json")).unwrap() == manifest && !data.join("export.json").exists()
    );

    // From the end on, with nothing new: the next increment does not begin at the start.
    let durable = engine.durable().as_u64();
    assert_eq!(engine.export(&operator, &out, &what(Some(durable))).unwrap().documents, 0);
    assert_eq!(engine.export(&operator, &out, &what(None)).unwrap().after, durable);
    // A place that the log has not come to, and a log that is behind the export.
    let beyond = engine.export(&operator, &dir.path().join("beyond"), &what(Some(durable + 9))).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Corrupt);
    let older = Engine::builder(dir.path().join("older")).segment_len_bytes(1 << 20).open().unwrap();
    submit(&older, &life(1, 0, 3));
    assert_eq!(older.export(&operator, &out, &what(None)).unwrap_err().kind(), ErrorKind::Corrupt);
    older.shutdown().unwrap();

    // Neither reach nor name of a file tells of anybody else.
    let his = dir.path().join("his");
    engine.export(&operator, &his, &what(None)).unwrap();
    let text = std::fs::read_to_string(his.join("archive.json")).unwrap();
    let mut strangers = 0;
    for shift in shifts(&engine, &operator).iter().filter(|it| it.inn.as_ref() != Some(&inn)) {
        assert!(!text.contains(&shift.drive) && !text.contains(shift.inn.as_deref().unwrap()));
        strangers += 1;
    }
    assert!(strangers > 0 && text.contains(&inn));
    engine.shutdown().unwrap();
}
