//! The engine on two devices: what is answered is on both, a dead mirror stops it or is told, and the mirror alone is a
//! log to go on from.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Till, drive, life, number};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, EngineBuilder, Health, Outcome, SinkFailure};
use ofd_storage::testing::{SimEnv, SimKnobs};

fn builder(dir: &Path, mirror: &Path) -> EngineBuilder {
    Engine::builder(dir).segment_len_bytes(1 << 20).mirror(mirror)
}

fn await_health(engine: &Engine, wanted: Health) {
    let begin = Instant::now();
    while engine.health() != wanted {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?} instead of {wanted:?}", engine.health());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_answered_is_found_on_the_mirror_alone() {
    let (dir, mirror) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let messages: Vec<Bytes> = life(1, 1, 3_000).into_iter().map(Bytes::from).collect();
    let engine = builder(dir.path(), mirror.path()).open().unwrap();
    for part in messages.chunks(500) {
        let outcomes = engine.submit_batch(part.to_vec()).unwrap().wait();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Answered { .. })));
    }
    assert_eq!(engine.health(), Health::Ready);
    drop(engine);
    // The first disk is gone; its place is empty, and that is no new log.
    drop(dir);
    let fresh = tempfile::tempdir().unwrap();
    let refused = builder(fresh.path(), mirror.path()).open().unwrap_err().to_string();
    assert!(refused.contains("copy the mirror's `log` folder into it"), "{refused}");
    let engine = Engine::builder(mirror.path()).open().unwrap();
    for message in messages.iter().step_by(97) {
        let found = engine.find(&Capability::operator(), drive(message), number(message)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].container(), &message[30..]);
    }
    assert_eq!(engine.status().unwrap().documents, 3_000);
}

#[test]
fn a_mirror_that_fails_stops_every_answer_unless_the_engine_may_degrade() {
    for failure in [SinkFailure::Stop, SinkFailure::Degrade] {
        let dir = tempfile::tempdir().unwrap();
        let device = SimEnv::new(1, SimKnobs::default());
        let engine = Engine::builder(dir.path())
            .segment_len_bytes(1 << 20)
            .mirror_env(Arc::new(device.clone()))
            .mirror_failure(failure)
            .open()
            .unwrap();
        let address = engine.listen("127.0.0.1:0").unwrap();
        let messages = life(1, 1, 3);
        assert!(Till::connect(address).ask(&messages[0]).is_some());
        assert_eq!(engine.health(), Health::Ready);
        device.set_knobs(|knobs| knobs.sync_error = 65_536);
        let answer = Till::connect(address).ask(&messages[1]);
        match failure {
            SinkFailure::Stop => {
                assert_eq!(answer, None);
                await_health(&engine, Health::Failed);
            }
            SinkFailure::Degrade => {
                assert!(answer.is_some());
                await_health(&engine, Health::Degraded);
                assert!(Till::connect(address).ask(&messages[2]).is_some());
                engine.shutdown().unwrap();
            }
        }
    }
}

#[test]
fn a_mirror_that_was_away_is_brought_up_to_date() {
    let (dir, mirror) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let messages: Vec<Bytes> = life(1, 1, 2_000).into_iter().map(Bytes::from).collect();
    for (at, part) in messages.chunks(500).enumerate() {
        let engine = match at % 2 {
            0 => Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap(),
            _ => builder(dir.path(), mirror.path()).open().unwrap(),
        };
        engine.submit_batch(part.to_vec()).unwrap().wait();
        await_health(&engine, Health::Ready);
        engine.shutdown().unwrap();
    }
    let engine = Engine::builder(mirror.path()).open().unwrap();
    assert_eq!(engine.status().unwrap().documents, 2_000);
}
