//! An engine that nobody sends anything takes no CPU: its threads look out for a next document for microseconds, not for ever.
//!
//! In a file of its own, because it counts the time of all threads of the process that have the names of an engine's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::fs::read_to_string;
use std::time::Duration;

use bytes::Bytes;
use common::{fresh, life};
use ofd_engine::Outcome;

/// Time that ports, workers and the writer were on a core so far, nanoseconds.
fn on_core() -> u64 {
    let (mut sum, mut threads) = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let Ok(name) = read_to_string(task.join("comm")) else { continue };
        if ["ofd-port", "ofd-worker", "ofd-writer"].iter().any(|part| name.starts_with(part)) {
            let told = read_to_string(task.join("schedstat")).unwrap();
            sum += told.split(' ').next().unwrap().parse::<u64>().unwrap();
            threads += 1;
        }
    }
    assert!(threads >= 3, "{threads} threads of an engine");
    sum
}

/// Right after lonely documents, when the writer looks out for the next one; less than a hundredth of a core is nothing.
#[test]
fn an_engine_without_work_takes_no_cpu() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    for message in life(51, 0, 50) {
        let outcomes = engine.submit_batch(vec![Bytes::from(message)]).unwrap().wait();
        assert!(matches!(outcomes[0], Outcome::Answered { code: 0, .. }));
    }
    let before = on_core();
    std::thread::sleep(Duration::from_secs(2));
    let taken = on_core() - before;
    assert!(taken < 20_000_000, "{taken} ns of two seconds");
    engine.shutdown().unwrap();
}
