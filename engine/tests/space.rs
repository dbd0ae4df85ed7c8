//! A disk that fills up under the engine: documents are deferred, unanswered, and accepted again when space returns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::bent::Bent;
use common::{Till, life};
use ofd_engine::{Engine, Health, Outcome, Unanswered};

fn await_health(engine: &Engine, wanted: Health) {
    let begin = Instant::now();
    while engine.health() != wanted {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?} instead of {wanted:?}", engine.health());
        std::thread::sleep(Duration::from_millis(2));
    }
}

// Fault 8: what is reserved is used up, then nobody is answered and nobody is refused, three times over.
#[test]
fn a_full_disk_defers_documents_and_free_space_takes_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let env = Bent::over(dir.path());
    let free = Arc::clone(&env.free);
    let engine = Engine::builder(dir.path())
        .segment_len_bytes(1 << 20)
        .append_deadline_us(100_000)
        .env(Arc::new(env))
        .open()
        .unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages: Vec<Bytes> = life(1, 1, 12_000).into_iter().map(Bytes::from).collect();
    let mut left = messages.chunks(200);
    let mut answered = 0u64;
    let till = life(2, 2, 600);
    let mut of_till = till.iter();
    for _ in 0..3 {
        free.store(1 << 20, Ordering::Relaxed);
        let turned_away = loop {
            let outcomes = engine.submit_batch(left.next().unwrap().to_vec()).unwrap().wait();
            let stored = outcomes.iter().filter(|it| matches!(it, Outcome::Answered { .. })).count();
            answered += stored as u64;
            if let Some(away) = outcomes.iter().find(|it| matches!(it, Outcome::Unanswered(_))) {
                break away.clone();
            }
        };
        assert_eq!(turned_away, Outcome::Unanswered(Unanswered::Overloaded));
        assert_eq!(engine.health(), Health::Deferring);
        // A register is not answered, once the last gap is filled; its connection is closed, so that it keeps its
        // document and returns.
        let kept = of_till.find(|message| {
            let answer = Till::connect(address).ask(message);
            answered += u64::from(answer.is_some());
            answer.is_none()
        });
        free.store(u64::MAX, Ordering::Relaxed);
        await_health(&engine, Health::Ready);
        assert!(Till::connect(address).ask(kept.unwrap()).is_some());
        answered += 1;
    }
    assert!(answered > 1_000, "{answered}");
    engine.shutdown().unwrap();
    drop(engine);
    let again = Engine::builder(dir.path()).open().unwrap();
    assert_eq!(again.status().unwrap().documents, answered);
}
