//! What has left the log is known, found and answered as before; what a hold covers stays.
#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use common::*;
use ofd_engine::codec::{DriveNumber, LocalSeconds};
use ofd_engine::host::Capability;
use ofd_engine::registers::{Event, Figures, Grain, LaneSeed, Whose};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::storage::retain::{Hold, HoldScope, Stays};
use ofd_engine::{Engine, EngineBuilder, ErrorKind, Position, ReadOnly, Register, Seeded};

const REGISTERS: u32 = 6;
const DOCUMENTS: usize = 700;

fn builder(dir: &Path) -> EngineBuilder {
    Engine::builder(dir).segment_len_bytes(1 << 20).log_keep_days(0).workers(2).checkpoint_after(500)
}

/// Lives of some registers.
fn lives() -> Vec<Vec<Vec<u8>>> {
    (0..REGISTERS).map(|register| life(5, register, DOCUMENTS)).collect()
}

/// Sends every document of every life and gives the answers. Compacts twice on the way: two runs, as only whole runs leave.
fn send(engine: &Engine, lives: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut till = Till::connect(address);
    let mut answers = vec![Vec::new(); lives.len()];
    for at in 0..DOCUMENTS {
        for life in lives {
            till.send(&life[at]);
        }
        for answers in &mut answers {
            answers.push(till.answer().unwrap());
        }
        if at == DOCUMENTS / 2 {
            engine.compact(true).unwrap();
        }
    }
    engine.compact(true).unwrap();
    answers
}

/// Everything behind a position that feeds tell: documents with their bytes, and events.
fn fed(engine: &Engine, from: Position) -> (Vec<(Position, bytes::Bytes)>, Vec<Event>) {
    let operator = Capability::operator();
    let (mut documents, mut events) = (Vec::new(), Vec::new());
    let mut feed = engine.feed(&operator, from);
    loop {
        let batch = feed.next_batch(100, Duration::ZERO).unwrap();
        if batch.is_empty() {
            break;
        }
        documents.extend(batch.iter().map(|it| (it.position(), it.payload())));
    }
    let durable = engine.durable();
    let mut feed = engine.events(&operator, from);
    while feed.position() < durable {
        events.extend(feed.next_batch(100, Duration::from_secs(5)).unwrap());
    }
    (documents, events)
}

/// The record behind which the oldest file of events begins.
fn oldest_events(dir: &Path) -> u64 {
    let names = std::fs::read_dir(dir.join("events")).unwrap().map(|it| it.unwrap().path());
    let begin = |path: std::path::PathBuf| u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok();
    names.filter_map(begin).min().unwrap()
}

fn segments(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir.join("log")).unwrap();
    names.filter(|it| it.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".seg")).count()
}

/// The promise of a resend does not end with the life of a segment: the same answer, stored once, in the process that
/// dropped it and in the next; another document under the number is still a conflict; a search finds what it found.
#[test]
fn a_document_that_left_the_log_is_known_found_and_answered_as_before() {
    let (dir, _) = fresh();
    let lives = lives();
    let operator = Capability::operator();
    let mut engine = builder(dir.path()).open().unwrap();
    let answers = send(&engine, &lives);
    let stored = engine.status().unwrap().documents;
    assert_eq!(stored, u64::from(REGISTERS) * DOCUMENTS as u64);
    let before: Vec<_> = (0..3)
        .map(|at| {
            let found = engine.find(&operator, drive(&lives[2][at]), number(&lives[2][at])).unwrap();
            (found[0].position(), found[0].payload(), found[0].received_at_us(), found[0].answer_code())
        })
        .collect();
    engine.cursor("reports").save(Position::new(ofd_engine::Lsn::new(9))).unwrap();
    let files = segments(dir.path());
    let told_before = fed(&engine, Position::START);
    let report = engine.retain(false).unwrap();
    assert!(!report.log.segments.is_empty(), "{report:?}");
    assert!(segments(dir.path()) < files);
    assert!(oldest_events(dir.path()) > 100, "files of events leave with the log");
    assert!(report.log.dropped_through.get() > 100, "{report:?}");

    for start in 0..2 {
        let address = engine.listen("127.0.0.1:0").unwrap();
        let mut till = Till::connect(address);
        for (life, answers) in lives.iter().zip(&answers) {
            for at in [0, 1, 7, 40, DOCUMENTS - 1] {
                let again = till.ask(&resealed(&life[at])).unwrap();
                assert_eq!(
                    code_and_time(&again),
                    code_and_time(&answers[at]),
                    "start {start}, document {at}"
                );
            }
        }
        assert_eq!(code_and_time(&till.ask(&altered(&lives[1][2])).unwrap()).0, 14, "a conflict is one");
        assert_eq!(engine.status().unwrap().documents, stored + 1, "stored once, and the other one once");
        let position = engine.cursor("reports").position();
        assert_eq!(position.as_u64(), 9, "a cursor outlives the record that saved it");
        for (at, (position, payload, received, code)) in before.iter().enumerate() {
            let found = engine.find(&operator, drive(&lives[2][at]), number(&lives[2][at])).unwrap();
            assert_eq!(
                (found.len(), found[0].position(), found[0].payload()),
                (1, *position, payload.clone())
            );
            assert_eq!((found[0].received_at_us(), found[0].answer_code()), (*received, *code));
            let json = found[0].json().unwrap();
            let sign = found[0].document().unwrap().header().sign.unwrap().printed();
            let by_sign = engine.find_by_sign(&operator, drive(&lives[2][at]), sign).unwrap();
            assert!(by_sign.iter().any(|it| it.json().as_deref() == Some(&json)));
            let beside = ReadOnly::open(dir.path()).unwrap();
            let beside = beside.find(&operator, drive(&lives[2][at]), number(&lives[2][at])).unwrap();
            assert_eq!((beside.len(), beside[0].payload()), (1, payload.clone()));
        }
        let verified = engine.verify().unwrap();
        assert!(verified.ok, "{:?}", verified.problems);
        assert_eq!(verified.documents, stored + 1);
        // A feed from the beginning, or from anywhere, goes through the archive into the log.
        let (documents, events) = fed(&engine, Position::START);
        assert_eq!(documents.get(..told_before.0.len()), Some(&told_before.0[..]), "start {start}");
        assert_eq!(events.get(..told_before.1.len()), Some(&told_before.1[..]), "start {start}");
        assert_eq!(documents.len() as u64, stored + 1);
        let middle = told_before.0[told_before.0.len() / 4].0;
        let (documents, events) = fed(&engine, middle);
        assert!(
            documents.iter().map(|it| it.0).eq(fed(&engine, Position::START)
                .0
                .iter()
                .map(|it| it.0)
                .filter(|it| *it > middle))
        );
        assert!(events.iter().all(|it| it.position > middle) && events.len() < told_before.1.len());
        if start < 1 {
            engine.shutdown().unwrap();
            drop(engine);
            engine = builder(dir.path()).open().unwrap();
        }
    }
}

/// From the drop on index files are the only way to what was dropped, and nothing could make them again: a page that rotted
/// before is found at the last moment, and made again from the log.
#[test]
fn a_damaged_index_file_is_made_again_before_its_segments_go() {
    let (dir, _) = fresh();
    let lives = lives();
    let engine = builder(dir.path()).open().unwrap();
    send(&engine, &lives);
    // A look at what would go brings the index up to the last seal.
    assert!(!engine.retain(true).unwrap().log.segments.is_empty());
    let mut damaged = 0;
    for entry in std::fs::read_dir(dir.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "idx") {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, 5_000).unwrap();
            file.write_all_at(&[byte[0] ^ 4], 5_000).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    let report = engine.retain(false).unwrap();
    assert!(!report.log.segments.is_empty(), "{report:?}");
    for life in &lives {
        for message in life {
            let found = engine.find(&Capability::operator(), drive(message), number(message)).unwrap();
            assert_eq!(found.len(), 1);
        }
    }
}

/// Holds are commands of the log: they stand after a restart, also when their record has left the log.
#[test]
fn a_hold_stops_dropping_until_it_is_lifted() {
    let (dir, _) = fresh();
    let lives = lives();
    let mut engine = builder(dir.path()).required_cursors(["tax"]).open().unwrap();
    let held = drive(&lives[3][0]);
    let hold = |scope| Hold {
        scope,
        from: "2000-01-01".parse().unwrap(),
        to: "2100-01-01".parse().unwrap(),
        reason: "запрос суда".into(),
        by: "Иванова".into(),
    };
    let nonsense = engine.place_hold(hold(HoldScope::Inn("77".into()))).unwrap_err();
    assert_eq!(nonsense.kind(), ErrorKind::Fix);
    let id = engine.place_hold(hold(HoldScope::Drive(held.as_str().to_owned()))).unwrap();
    send(&engine, &lives);
    let stays = |engine: &Engine| engine.retain(false).unwrap().log.stays.unwrap().1;
    assert_eq!(stays(&engine), Stays::Cursor("tax".into()));
    engine.cursor("tax").save(engine.durable()).unwrap();
    assert_eq!(stays(&engine), Stays::Hold(id));
    engine.shutdown().unwrap();
    drop(engine);
    engine = builder(dir.path()).open().unwrap();
    assert_eq!(engine.holds().iter().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
    assert_eq!(stays(&engine), Stays::Hold(id));
    assert!(engine.lift_hold(id + 1, "ошибка", "Иванова").is_err());
    assert!(engine.lift_hold(id, "", "Иванова").is_err(), "a reason has to be given");
    engine.lift_hold(id, "дело закрыто", "Иванова").unwrap();
    assert!(engine.holds().is_empty());
    let other = engine.place_hold(hold(HoldScope::Drive("9999078900001234".into()))).unwrap();
    let report = engine.retain(true).unwrap();
    assert!(!report.log.segments.is_empty(), "another drive holds nothing here: {report:?}");
    let report = engine.retain(false).unwrap();
    assert!(report.log.dropped_through.get() > id, "the record of the first hold has left the log");
    engine.shutdown().unwrap();
    drop(engine);
    engine = builder(dir.path()).open().unwrap();
    assert_eq!(engine.holds().iter().map(|(id, _)| id).collect::<Vec<_>>(), [other]);
}

/// The end of the log is gone, and the archive knows: nothing may be numbered again.
#[test]
fn a_log_that_ends_before_the_archive_is_refused() {
    let (dir, _) = fresh();
    let engine = builder(dir.path()).open().unwrap();
    send(&engine, &lives());
    engine.shutdown().unwrap();
    drop(engine);
    let mut paths: Vec<_> = std::fs::read_dir(dir.path().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .collect();
    paths.sort();
    for path in &paths[1..] {
        std::fs::remove_file(path).unwrap();
    }
    let refused = builder(dir.path()).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("lost its end"), "{refused}");
}

/// What the registers tell: cards with their drives, all events, figures of everybody by the day.
fn told(engine: &Engine) -> (Vec<Register>, Vec<Event>, Option<Figures>) {
    let operator = Capability::operator();
    let book = engine.registers(&operator);
    let durable = engine.durable();
    assert!(book.wait(durable, Duration::from_secs(30)));
    let mut feed = engine.events(&operator, Position::START);
    let mut events = Vec::new();
    while feed.position() < durable {
        events.extend(feed.next_batch(500, Duration::from_millis(50)).unwrap());
    }
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    (book.iter().collect(), events, book.figures(Realm::Prod, Whose::Everybody, Grain::Day, &ever))
}

/// The fold of the registers can be thrown away for ever, not only while the log reaches back to its beginning: documents,
/// lane seeds and figures come again from the archive, and the events are told anew as they were.
#[test]
fn the_registers_come_again_from_the_archive() {
    let (dir, _) = fresh();
    let engine = builder(dir.path()).open().unwrap();
    let seed = LaneSeed {
        rnm: Some("0000000000000077".to_owned()),
        ..LaneSeed::new(DriveNumber::parse("7100000000000077").unwrap(), 346)
    };
    engine.seed_lanes(std::slice::from_ref(&seed)).unwrap();
    send(&engine, &lives());
    let before = told(&engine);
    assert_eq!((before.0.len(), before.0[0].card.rnm.as_str()), (REGISTERS as usize + 1, "0000000000000077"));
    let revenue = before.2.as_ref().map(Figures::revenue);
    assert!(before.1.len() > 10 && revenue > Some(0), "{} events, {revenue:?}", before.1.len());
    let report = engine.retain(false).unwrap();
    assert!(report.log.dropped_through.get() > 100, "{report:?}");
    engine.shutdown().unwrap();
    for folder in ["registers", "events"] {
        std::fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    let engine = builder(dir.path()).open().unwrap();
    assert_eq!(told(&engine), before);
    assert_eq!(engine.seed_lanes(&[seed]).unwrap(), Seeded { taken: 0, known: 1 });
    engine.shutdown().unwrap();
}
