//! The engine over real TCP, as a register sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::time::Duration;

use common::{
    Till, altered, code_and_time, drive, fresh, life, misfit, number, plain, read_answer, resealed,
};
use ofd_engine::host::Capability;

/// Contract 3: one connection with many documents, one document a connection, and many in flight.
#[test]
fn every_document_is_confirmed_in_order_however_it_comes() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();

    let mut till = Till::connect(address);
    for message in &life(1, 0, 40) {
        let answer = read_answer(&till.ask(message).unwrap());
        assert_eq!((answer.number, answer.code), (number(message), 0));
        assert_eq!(answer.drive, drive(message));
    }
    for message in &life(1, 1, 40) {
        let answer = read_answer(&Till::connect(address).ask(message).unwrap());
        assert_eq!((answer.number, answer.code), (number(message), 0));
    }
    let messages = life(1, 2, 160);
    let mut till = Till::connect(address);
    for sixteen in messages.chunks(16) {
        till.send(&sixteen.concat());
        for message in sixteen {
            let answer = read_answer(&till.answer().unwrap());
            assert_eq!((answer.number, answer.code), (number(message), 0));
        }
    }
    assert_eq!(engine.status().unwrap().documents, 240);
    engine.shutdown().unwrap();
}

/// Rule A8: a resent document gets the same code and the same 1012, and is not stored twice; service data and
/// message sign are no part of its identity.
#[test]
fn a_resent_document_is_answered_alike_and_stored_once() {
    let (dir, builder) = fresh();
    let messages = life(2, 0, 30);
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut till = Till::connect(address);
    let first: Vec<_> = messages.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    // The clock must have moved, or an equal 1012 would prove nothing.
    std::thread::sleep(Duration::from_millis(1_100));
    let again: Vec<_> = messages.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    assert_eq!(first, again);
    let other: Vec<_> = messages.iter().map(|it| code_and_time(&till.ask(&resealed(it)).unwrap())).collect();
    assert_eq!(first, other);
    assert_eq!(engine.status().unwrap().documents, 30);
    drop(engine);

    let engine = ofd_engine::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut till = Till::connect(address);
    let later: Vec<_> = messages.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    assert_eq!(first, later, "after a restart");
    assert_eq!(engine.status().unwrap().documents, 30);
}

/// The same document twice in one breath: the second waits for the first and is not stored.
#[test]
fn a_twin_in_flight_is_not_stored() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(3, 0, 8);
    let mut till = Till::connect(address);
    let doubled: Vec<_> = messages.iter().chain(&messages).cloned().collect();
    till.send(&doubled.concat());
    let answers: Vec<_> = doubled.iter().map(|_| code_and_time(&till.answer().unwrap())).collect();
    assert_eq!(answers[..8], answers[8..]);
    assert_eq!(engine.status().unwrap().documents, 8);
}

/// Contract 3: another TLV under the same number is kept too, and answered 14 while both stand alike.
#[test]
fn another_document_under_the_same_number_is_kept_and_refused() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(4, 0, 6);
    let mut till = Till::connect(address);
    for message in &messages {
        till.ask(message).unwrap();
    }
    for message in [&messages[5], &messages[1]] {
        let forged = altered(message);
        let (code, time) = code_and_time(&till.ask(&forged).unwrap());
        assert_eq!(code, 14);
        let found = engine.find(&Capability::operator(), drive(message), number(message)).unwrap();
        let variants: Vec<_> = found.iter().map(|it| it.envelope().unwrap().variant).collect();
        assert_eq!(variants, [0, 1]);
        assert_eq!(found[0].container(), &message[30..]);
        assert_eq!(found[1].container(), &forged[30..]);
        assert_eq!(found[1].envelope().unwrap().plain, plain(&forged));
        assert_eq!(code_and_time(&till.ask(&forged).unwrap()), (14, time), "a resent variant");
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0, "the first one stays good");
    }
    assert_eq!(engine.status().unwrap().documents, 8);
}

/// A drive's documents may come late and out of order: every number is stored once.
#[test]
fn gaps_close_and_a_lane_starts_anywhere() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(5, 0, 20);
    let mut till = Till::connect(address);
    for at in [10, 12, 3, 11, 19, 0, 3, 12] {
        assert_eq!(code_and_time(&till.ask(&messages[at]).unwrap()).0, 0, "document {at}");
    }
    assert_eq!(engine.status().unwrap().documents, 6);
}

/// A socket gives bytes as it likes.
#[test]
fn a_message_may_come_in_pieces() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(6, 0, 3);
    let mut till = Till::connect(address);
    for byte in &messages[0] {
        till.send(std::slice::from_ref(byte));
    }
    assert_eq!(code_and_time(&till.answer().unwrap()).0, 0);
    let both = messages[1..].concat();
    let (head, tail) = both.split_at(messages[1].len() + 17);
    till.send(head);
    assert_eq!(code_and_time(&till.answer().unwrap()).0, 0);
    till.send(tail);
    assert_eq!(code_and_time(&till.answer().unwrap()).0, 0);
}

/// A till may close its half as soon as it has sent: it is still answered.
#[test]
fn a_half_closed_connection_is_answered() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(7, 0, 5);
    let mut till = Till::connect(address);
    till.send(&messages.concat());
    till.finish_sending();
    for _ in &messages {
        assert_eq!(code_and_time(&till.answer().unwrap()).0, 0);
    }
    assert!(till.answer().is_none());
}

/// Rules A1 to A3: noise gets no byte back, nothing is stored, and neighbours are not disturbed.
#[test]
fn noise_closes_its_own_connection_only() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(8, 0, 3);
    let mut neighbour = Till::connect(address);
    assert_eq!(code_and_time(&neighbour.ask(&messages[0]).unwrap()).0, 0);

    let mut wrong_crc = messages[1].clone();
    wrong_crc[70] ^= 0x10;
    let mut wrong_signature = messages[1].clone();
    wrong_signature[0] ^= 0x01;
    let mut wrong_length = messages[1].clone();
    wrong_length[24] = wrong_length[24].wrapping_add(1);
    wrong_length.push(0);
    let noise = vec![0xA5u8; 32 * 1024];
    for bytes in [&wrong_crc, &wrong_signature, &wrong_length, &noise] {
        let mut till = Till::connect(address);
        till.try_send(bytes);
        assert!(till.answer().is_none());
    }
    // Too short for a header, and enough to see that it will never be one.
    let asked = std::time::Instant::now();
    let mut till = Till::connect(address);
    till.send(b"GET / HTTP/1.0");
    assert!(till.answer().is_none());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    // What came before the noise on the same connection is answered.
    let mut till = Till::connect(address);
    till.send(&[&messages[1][..], &wrong_crc, &messages[2]].concat());
    assert_eq!(code_and_time(&till.answer().unwrap()).0, 0);
    assert!(till.answer().is_none());

    assert_eq!(code_and_time(&neighbour.ask(&messages[2]).unwrap()).0, 0);
    assert!(engine.status().unwrap().noise >= 4);
    assert!(!engine.noise(&Capability::operator()).is_empty());
}

/// Rules A4 and A5: kept once, reported, never answered.
#[test]
fn a_frame_that_does_not_fit_together_is_quarantined_once() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let message = misfit(&life(9, 0, 1)[0]);
    for _ in 0..3 {
        assert!(Till::connect(address).ask(&message).is_none());
    }
    assert_eq!(engine.status().unwrap().quarantined, 1);
    assert_eq!(engine.status().unwrap().documents, 0);
    let stored = engine.durable();
    drop(engine);

    let engine = ofd_engine::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    assert!(Till::connect(address).ask(&message).is_none());
    assert_eq!(engine.status().unwrap().quarantined, 1, "known after a restart");
    assert_eq!(engine.durable(), stored, "and not stored again");
}

/// Contract 3: a version of the format that this program does not know is our own fault: kept, never answered.
#[test]
fn a_document_of_an_unknown_version_is_kept_and_not_answered() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut message = life(12, 0, 1).remove(0);
    let version = message.windows(4).position(|it| it == [0xB9, 0x04, 0x01, 0x00]).unwrap() + 4;
    message[version] = 9;
    assert!(Till::connect(address).ask(&common::with_crc(message)).is_none());
    let status = engine.status().unwrap();
    assert_eq!((status.documents, status.quarantined), (0, 1));
}

/// Marking messages need a relay, and a test ping an agreed answer: without them the connection is closed.
#[test]
fn marking_and_test_messages_are_closed_unanswered() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let message = &life(10, 0, 1)[0];
    let mut marking = message.clone();
    marking[..6].copy_from_slice(&[0xDD, 0x80, 0xCA, 0xA1, 0x82, 0xA2]);
    let mut ping = message.clone();
    ping[4..6].copy_from_slice(&[0x82, 0xFB]);
    for bytes in [&marking, &ping] {
        assert!(Till::connect(address).ask(bytes).is_none());
    }
    assert_eq!(engine.status().unwrap().documents, 0);
}

/// Several workers and ports give the same answers: a concentrator's documents of many drives on one socket
/// are answered in the order they came.
#[test]
fn a_concentrator_is_answered_in_order_by_many_workers() {
    let (_dir, builder) = fresh();
    let engine = builder.workers(3).io_threads(2).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let lives: Vec<_> = (0..12).map(|register| life(11, register, 10)).collect();
    let mut till = Till::connect(address);
    for round in 0..10 {
        let messages: Vec<_> = lives.iter().map(|life| life[round].clone()).collect();
        till.send(&messages.concat());
        for message in &messages {
            let answer = read_answer(&till.answer().unwrap());
            assert_eq!((answer.drive, answer.number), (drive(message), number(message)));
        }
    }
    assert_eq!(engine.status().unwrap().documents, 120);
    assert_eq!(engine.status().unwrap().drives, 12);
}
