//! The whole engine in one thread: one seed makes one execution.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::sync::Arc;

use ofd_emit::{ProfileOptions, Register, check_answer};
use ofd_engine::Engine;
use ofd_engine::storage::LogOptions;
use ofd_engine::storage::testing::{SimEnv, SimKnobs};
use ofd_engine::testing::Machine;

// The parts do without threads what they do with them.
#[test]
fn an_engine_without_threads_answers_a_document() {
    let env = SimEnv::new(1, SimKnobs::default());
    let builder = Engine::builder("").env(Arc::new(env.clone()));
    let log = LogOptions { segment_len: 1 << 18, batch_len_max: 32 << 10, ..LogOptions::default() };
    let mut machine = Machine::open(builder, None, log).unwrap();
    let socket = machine.connect(0, "10.0.0.1:1000".parse().unwrap());
    let mut message = Vec::new();
    let sent = Register::new(1, 0, &ProfileOptions::default()).next_message(&mut message).unwrap();
    socket.deliver(&message);
    for _ in 0..100 {
        machine.port_turn(0, 4);
        machine.worker_turn(0);
        machine.writer_turn();
    }
    let answer = check_answer(&socket.take(usize::MAX)).unwrap();
    assert_eq!((answer.drive, answer.number, answer.code), (sent.drive, sent.number, 0));
    for _ in 0..100 {
        if machine.end() {
            return;
        }
        machine.port_turn(0, 4);
        machine.worker_turn(0);
        machine.writer_turn();
        env.advance(1_000, 1_000);
    }
    panic!("it does not end");
}
