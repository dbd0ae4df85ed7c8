//! What an engine knows when it opens again: from checkpoints and index files the same as from every record.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{altered, code_and_time, drive, life, misfit, number};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, EngineBuilder, Outcome, Position};

/// Small segments, and a checkpoint for every few hundred documents.
fn builder(dir: &Path) -> EngineBuilder {
    Engine::builder(dir).segment_len_bytes(1 << 20).workers(2).checkpoint_after(500)
}

/// What a register gets: code and 1012, or nothing.
fn ask(engine: &Engine, messages: &[Vec<u8>]) -> Vec<Option<(u8, u32)>> {
    let frames = messages.iter().map(|message| message.clone().into()).collect();
    let outcomes = engine.submit_batch(frames).unwrap().wait();
    let answer = |outcome: Outcome| match outcome {
        Outcome::Answered { message, .. } => Some(code_and_time(&message)),
        _ => None,
    };
    outcomes.into_iter().map(answer).collect()
}

fn files(dir: &Path, ending: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(dir.join("index")) else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending)).count()
}

/// Waits until the keeper has come to what is sealed.
fn kept(dir: &Path) {
    let since = Instant::now();
    while files(dir, ".fold") == 0 || files(dir, ".tmp") > 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
}

fn found(engine: &Engine, message: &[u8]) -> Vec<Position> {
    let documents = engine.find(&Capability::operator(), drive(message), number(message)).unwrap();
    documents.iter().map(|document| document.position()).collect()
}

/// Every number of a drive from 5 to 200, in the order of the log.
fn range(engine: &Engine, message: &[u8]) -> Vec<(Position, u32)> {
    let documents = engine.documents(&Capability::operator(), drive(message), 5..=200).unwrap();
    documents.iter().map(|it| (it.position(), it.envelope().unwrap().number)).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

// The promise of resends holds across a start, whatever it read: a checkpoint, an index, or all of the log.
#[test]
fn a_start_from_a_checkpoint_knows_what_a_start_from_the_log_knows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = builder(dir.path()).open().unwrap();
    let mut messages: Vec<Vec<u8>> = (0..12).flat_map(|register| life(7, register, 260)).collect();
    // Conflicts, and frames that fit nothing: kept, and known again.
    messages.extend((0..12).flat_map(|register| life(7, register, 3)).map(|message| altered(&message)));
    messages.extend((0..12).flat_map(|register| life(7, register, 2)).map(|message| misfit(&message)));
    let mut answers = Vec::new();
    for part in messages.chunks(100) {
        answers.extend(ask(&engine, part));
    }
    engine.cursor("host").save(engine.durable()).unwrap();
    engine.seal().unwrap();
    kept(dir.path());
    // Something behind the index, too.
    let late: Vec<Vec<u8>> = (20..25).flat_map(|register| life(7, register, 20)).collect();
    answers.extend(ask(&engine, &late));
    messages.extend(late);
    let (status, durable, cursor) =
        (engine.status().unwrap(), engine.durable(), engine.cursor("host").position());
    let places: Vec<_> = messages.iter().step_by(17).map(|message| found(&engine, message)).collect();
    assert!(places.iter().filter(|found| !found.is_empty()).count() > 100);
    let ranges: Vec<_> = messages.iter().step_by(260).map(|message| range(&engine, message)).collect();
    assert!(ranges.iter().flatten().count() > 1_500);
    engine.shutdown().unwrap();
    drop(engine);

    let naive = tempfile::tempdir().unwrap();
    copy(dir.path(), naive.path());
    std::fs::remove_dir_all(naive.path().join("index")).unwrap();
    let spoiled = tempfile::tempdir().unwrap();
    copy(dir.path(), spoiled.path());
    let rotten = tempfile::tempdir().unwrap();
    copy(dir.path(), rotten.path());
    for (dir, ending) in [(spoiled.path(), "fold"), (rotten.path(), "idx")] {
        for entry in std::fs::read_dir(dir.join("index")).unwrap() {
            // A bit in its first page.
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if path.extension().is_some_and(|it| it == ending) {
                bytes[4096 + 100] ^= 4;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        // Without the other checkpoints, so that the index is folded from its begin.
        if ending == "idx" {
            let index = std::fs::read_dir(dir.join("index")).unwrap();
            for path in index
                .map(|entry| entry.unwrap().path())
                .filter(|it| it.extension().is_some_and(|it| it == "fold"))
            {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let starts = [
        ("index", dir.path()),
        ("no index", naive.path()),
        ("spoiled checkpoints", spoiled.path()),
        ("spoiled index", rotten.path()),
    ];
    for (what, dir) in starts {
        let engine = builder(dir).open().unwrap();
        let again = engine.status().unwrap();
        assert_eq!(
            (again.drives, again.documents, again.quarantined),
            (status.drives, status.documents, status.quarantined),
            "{what}"
        );
        assert_eq!((engine.durable(), engine.cursor("host").position()), (durable, cursor), "{what}");
        let found: Vec<_> = messages.iter().step_by(17).map(|message| found(&engine, message)).collect();
        assert_eq!(found, places, "{what}: documents are found elsewhere");
        let found: Vec<_> = messages.iter().step_by(260).map(|message| range(&engine, message)).collect();
        assert_eq!(found, ranges, "{what}: other documents in a range");
        let mut resent = Vec::new();
        for part in messages.chunks(100) {
            resent.extend(ask(&engine, part));
        }
        assert_eq!(resent, answers, "{what}: other answers than before");
        assert_eq!(engine.durable(), durable, "{what}: something was stored twice");
        engine.shutdown().unwrap();
    }
}

// A host that opens and closes engines all day must not grow by them: nothing of one stays in memory behind its end.
#[test]
fn nothing_of_an_engine_stays_behind() {
    let dir = tempfile::tempdir().unwrap();
    let env = std::sync::Arc::new(ofd_engine::storage::RealEnv::new(dir.path()));
    let left = std::sync::Arc::downgrade(&env);
    let engine = Engine::builder(dir.path()).env(env).open().unwrap();
    let mut till = common::Till::connect(engine.listen("127.0.0.1:0").unwrap());
    for message in &life(77, 0, 3) {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    engine.shutdown().unwrap();
    drop(engine);
    assert_eq!(left.strong_count(), 0);
}
