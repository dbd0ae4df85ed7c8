//! The open port against who connects and means no good, or only has a bad line: real sockets, short deadlines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{Till, code_and_time, drive, fresh, life, number, read_answer};
use ofd_engine::{Engine, Limits, TestPing};

const MS: u64 = 1_000;

fn serving(limits: Limits) -> (tempfile::TempDir, Engine, SocketAddr) {
    let (dir, builder) = fresh();
    let engine = builder.limits(limits).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    (dir, engine, address)
}

/// How long until the other side ends the connection without a byte.
fn ended_after(mut stream: &TcpStream) -> Duration {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    let came = stream.read(&mut [0; 1]);
    assert!(
        matches!(&came, Ok(0))
            || came.as_ref().is_err_and(|it| it.kind() == std::io::ErrorKind::ConnectionReset),
        "{came:?}"
    );
    begun.elapsed()
}

/// The machine may be slow, so only the lower bound is sharp.
fn about(took: Duration, least_ms: u64) {
    assert!(took >= Duration::from_millis(least_ms), "{took:?} is shorter than {least_ms} ms");
    assert!(took < Duration::from_millis(least_ms) + Duration::from_secs(8), "{took:?} is far longer");
}

/// A host that mistypes a limit must hear of it and not run without one.
#[test]
fn a_limit_out_of_bounds_is_refused() {
    for limits in [
        Limits { first_byte_timeout_us: 9_999, ..Limits::default() },
        Limits { body_rate_min: 0, ..Limits::default() },
        Limits { drive_in_flight_max: 257, ..Limits::default() },
        Limits { in_flight_bytes_max: 1, ..Limits::default() },
    ] {
        let (_dir, builder) = fresh();
        let error = builder.limits(limits).open().unwrap_err().to_string();
        assert!(error.contains("out of bounds"), "{error}");
    }
}

/// Who connects and says nothing must not hold a place.
#[test]
fn a_connection_that_says_nothing_is_closed() {
    let (_dir, _engine, address) = serving(Limits { first_byte_timeout_us: 400 * MS, ..Limits::default() });
    let silent = TcpStream::connect(address).unwrap();
    about(ended_after(&silent), 350);
}

/// The header has its time in all: a byte now and then does not buy more.
#[test]
fn a_header_that_trickles_is_closed() {
    let (_dir, _engine, address) = serving(Limits { header_timeout_us: 600 * MS, ..Limits::default() });
    let message = &life(1, 0, 1)[0];
    let mut till = TcpStream::connect(address).unwrap();
    let begun = Instant::now();
    // 29 bytes, one every 50 ms, would be 1.5 s.
    for byte in &message[..29] {
        if till.write_all(std::slice::from_ref(byte)).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    ended_after(&till);
    about(begun.elapsed(), 600);
}

/// A body that comes below the slowest rate is closed, and one above it is served however long it takes.
#[test]
fn a_body_has_to_come_at_the_slowest_rate() {
    let limits = Limits { header_timeout_us: 400 * MS, body_rate_min: 200, ..Limits::default() };
    let (_dir, _engine, address) = serving(limits);
    let message = &life(2, 0, 1)[0];
    let mut stalled = TcpStream::connect(address).unwrap();
    stalled.write_all(&message[..130]).unwrap();
    // 100 bytes of the body have earned half a second.
    about(ended_after(&stalled), 800);

    let mut slow = Till::connect(address);
    let begun = Instant::now();
    for piece in message.chunks(100) {
        slow.send(piece);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_millis(400));
    assert_eq!(code_and_time(&slow.answer().unwrap()).0, 0);
}

/// Between messages a connection may rest, not sleep.
#[test]
fn an_idle_connection_is_closed_behind_its_last_answer() {
    let (_dir, _engine, address) = serving(Limits { idle_timeout_us: 500 * MS, ..Limits::default() });
    let mut till = Till::connect(address);
    let messages = life(3, 0, 2);
    assert_eq!(code_and_time(&till.ask(&messages[0]).unwrap()).0, 0);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(code_and_time(&till.ask(&messages[1]).unwrap()).0, 0);
    let begun = Instant::now();
    assert!(till.answer().is_none());
    about(begun.elapsed(), 450);
}

/// A connection that is always busy would never rest: its life ends it, with everything answered that was asked.
#[test]
fn a_busy_connection_ends_with_its_life() {
    let (_dir, engine, address) = serving(Limits { connection_lifetime_us: 700 * MS, ..Limits::default() });
    let begun = Instant::now();
    let mut till = Till::connect(address);
    let mut answered = 0;
    for message in &life(4, 0, 2_000) {
        // The write may meet the closed socket.
        till.try_send(message);
        let Some(answer) = till.answer() else { break };
        assert_eq!(read_answer(&answer).number, number(message));
        answered += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    about(begun.elapsed(), 690);
    assert!(answered > 0);
    let documents = engine.status().unwrap().documents;
    assert!((answered..=answered + 1).contains(&documents), "{answered} answers, {documents} documents");
}

/// One network cannot take all places, and a place that is free again is given again.
#[test]
fn connections_have_a_cap_in_total_and_by_network() {
    for limits in [
        Limits { connections_max: 3, ..Limits::default() },
        Limits { network_connections_max: 3, ..Limits::default() },
    ] {
        let (_dir, _engine, address) = serving(limits);
        let messages = life(6, 0, 1);
        let mut inside: Vec<_> = (0..3).map(|_| Till::connect(address)).collect();
        for till in &mut inside {
            assert_eq!(code_and_time(&till.ask(&messages[0]).unwrap()).0, 0);
        }
        about(ended_after(&TcpStream::connect(address).unwrap()), 0);
        inside.pop();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut again = Till::connect(address);
            again.try_send(&messages[0]);
            if again.answer().is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "a place was never given again");
        }
    }
}

/// A storm of new connections is taken at the rate; nobody is turned away.
#[test]
fn new_connections_come_in_at_the_rate() {
    let (_dir, _engine, address) = serving(Limits { accepts_per_s: 20, ..Limits::default() });
    let messages = life(7, 0, 1);
    let begun = Instant::now();
    let mut tills: Vec<_> = (0..50).map(|_| Till::connect(address)).collect();
    for till in &mut tills {
        assert_eq!(code_and_time(&till.ask(&messages[0]).unwrap()).0, 0);
    }
    // 20 at once, the other 30 at 20 a second.
    about(begun.elapsed(), 1_400);
}

/// However many documents one drive sends on one connection: in order, all answered, never more than its share at
/// once.
#[test]
fn a_drive_above_its_share_waits_for_itself() {
    let limits = Limits { drive_in_flight_max: 1, ..Limits::default() };
    let (_dir, engine, address) = serving(limits);
    let messages = life(8, 0, 200);
    let mut till = Till::connect(address);
    till.send(&messages.concat());
    for message in &messages {
        let answer = read_answer(&till.answer().unwrap());
        assert_eq!((answer.drive, answer.number, answer.code), (drive(message), number(message), 0));
    }
    assert_eq!(engine.status().unwrap().documents, 200);
}

/// One noisy drive cannot starve others behind the same address: with a window of one document and a flood of it, the
/// neighbours on connections of their own are answered as if alone.
#[test]
fn a_noisy_drive_does_not_starve_its_neighbours() {
    let limits = Limits { drive_in_flight_max: 1, drive_unanswered_max: 64, ..Limits::default() };
    let (_dir, engine, address) = serving(limits);
    let noise = life(9, 0, 60).concat();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut till = Till::connect(address);
                    till.try_send(&noise);
                    for _ in 0..60 {
                        if till.answer().is_none() {
                            break;
                        }
                    }
                }
            });
        }
        let mut slowest = Duration::ZERO;
        for register in 1..=10 {
            let mut till = Till::connect(address);
            for message in &life(9, register, 10) {
                let begun = Instant::now();
                assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
                slowest = slowest.max(begun.elapsed());
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // Far above a commit, far below the two seconds after which a frame that has waited is dropped.
        assert!(slowest < Duration::from_millis(1_900), "{slowest:?}");
    });
    assert!(engine.status().unwrap().unanswered > 0, "eight floods of one drive must have met its cap");
}

/// Beginnings of messages take memory: with more than allowed their connections are closed, and what is closed or has
/// waited too long gives its memory back.
#[test]
fn beginnings_of_messages_are_bounded_in_all_and_given_back() {
    let limits = Limits { in_flight_bytes_max: 1 << 20, header_timeout_us: 2_000 * MS, ..Limits::default() };
    let (_dir, _engine, address) = serving(limits);
    let message = &life(10, 0, 1)[0];
    let mut long = message.clone();
    long[24..26].copy_from_slice(&32_000u16.to_le_bytes());
    long[30..32].copy_from_slice(&32_000u16.to_le_bytes());
    long.resize(30_000, 0);
    for _ in 0..2 {
        // 40 × 30,000 bytes are more than half a MiB, which is 17 of them.
        let begun: Vec<_> = (0..40)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                let _ = stream.write_all(&long);
                stream
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let closed = begun
            .iter()
            .filter(|stream| {
                stream.set_nonblocking(true).unwrap();
                let mut stream: &TcpStream = stream;
                !stream.read(&mut [0; 1]).is_err_and(|it| it.kind() == std::io::ErrorKind::WouldBlock)
            })
            .count();
        assert!((20..40).contains(&closed), "{closed} of 40 were closed");
        drop(begun);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(code_and_time(&Till::connect(address).ask(message).unwrap()).0, 0);
}

/// Rule of the contract: closed unanswered, until somebody has seen what a register expects and configures it.
#[test]
fn a_test_ping_is_told_what_was_configured() {
    let mut ping = life(11, 0, 1).remove(0);
    ping[4..6].copy_from_slice(&[0x82, 0xFB]);
    let pong: &[u8] = b"pong";
    for (reply, expected) in [
        (TestPing::Close, None),
        (TestPing::Echo, Some(&ping[..])),
        (TestPing::Reply(bytes::Bytes::from_static(b"pong")), Some(pong)),
    ] {
        let (_dir, builder) = fresh();
        let engine = builder.test_ping(reply).open().unwrap();
        let mut stream = TcpStream::connect(engine.listen("127.0.0.1:0").unwrap()).unwrap();
        stream.write_all(&ping).unwrap();
        match expected {
            None => about(ended_after(&stream), 0),
            Some(bytes) => {
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut came = vec![0; bytes.len()];
                stream.read_exact(&mut came).unwrap();
                assert_eq!(came, bytes);
            }
        }
        assert_eq!(engine.status().unwrap().documents, 0);
    }
}

/// The end of the engine does not wait for who has only half a message or nothing to say.
#[test]
fn the_drain_waits_for_documents_and_not_for_sockets() {
    let (_dir, engine, address) = serving(Limits::default());
    let messages = life(12, 0, 40);
    let _silent = TcpStream::connect(address).unwrap();
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(&messages[0][..100]).unwrap();
    let mut till = Till::connect(address);
    assert_eq!(code_and_time(&till.ask(&messages[0]).unwrap()).0, 0);
    till.send(&messages[1..].concat());
    let begun = Instant::now();
    engine.shutdown().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    // What was answered is stored; the rest is the register's still.
    let mut answered = 1u32;
    while till.answer().is_some() {
        answered += 1;
    }
    assert!(answered <= 40);
    about(ended_after(&half), 0);
}
