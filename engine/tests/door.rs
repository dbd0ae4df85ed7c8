//! The open port against who connects and means no good, or only has a bad line: real sockets, short deadlines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use std::sync::{Arc, Mutex};
use std::task::Poll;

use common::{Till, code_and_time, drive, fresh, life, number, published, read_answer};
use ofd_engine::host::{
    Answering, ConfirmOutcome, ConfirmRequest, DriveCrypto, OpenOutcome, OpenRequest, PlainCrypto,
};
use ofd_engine::{Engine, Limits, TestPing};

const MS: u64 = 1_000;

/// A crypto module that thinks until it is released.
#[derive(Default)]
struct Slow {
    released: Arc<Mutex<Released>>,
}

#[derive(Default)]
struct Released {
    now: bool,
    wakers: Vec<std::task::Waker>,
}

impl Slow {
    fn release(&self) {
        let mut released = self.released.lock().unwrap();
        released.now = true;
        released.wakers.drain(..).for_each(std::task::Waker::wake);
    }
}

impl DriveCrypto for Slow {
    fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>> {
        let released = Arc::clone(&self.released);
        Box::pin(async move {
            std::future::poll_fn(|context| {
                let mut released = released.lock().unwrap();
                if released.now {
                    return Poll::Ready(());
                }
                released.wakers.push(context.waker().clone());
                Poll::Pending
            })
            .await;
            batch.iter().map(|_| OpenOutcome::Ok(None)).collect()
        })
    }
    fn confirm(&self, batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>> {
        PlainCrypto.confirm(batch)
    }
}

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

/// An operator under attack cannot restart: what is set anew holds at once, for connections that are open, too, and what is
/// out of bounds changes nothing.
#[test]
fn limits_can_change_while_the_engine_runs() {
    let (_dir, engine, address) = serving(Limits::default());
    let messages = life(13, 0, 2);
    let mut open = Till::connect(address);
    assert_eq!(code_and_time(&open.ask(&messages[0]).unwrap()).0, 0);
    assert!(engine.set_limits(Limits { accepts_per_s: 0, ..Limits::default() }).is_err());
    let short = Limits { idle_timeout_us: 300 * MS, first_byte_timeout_us: 300 * MS, ..Limits::default() };
    engine.set_limits(Limits { connections_max: 2, ..short }).unwrap();
    let silent = TcpStream::connect(address).unwrap();
    about(ended_after(&silent), 250);
    assert_eq!(code_and_time(&open.ask(&messages[1]).unwrap()).0, 0);
    assert!(open.answer().is_none(), "it rests under the new deadline now");
    engine.set_limits(Limits { connections_max: 1, ..Limits::default() }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut inside = loop {
        let mut till = Till::connect(address);
        till.try_send(&messages[0]);
        if till.answer().is_some() {
            break till;
        }
        assert!(Instant::now() < deadline, "the one place was never free");
    };
    about(ended_after(&TcpStream::connect(address).unwrap()), 0);
    assert_eq!(code_and_time(&inside.ask(&messages[0]).unwrap()).0, 0);
}

/// Who asks and never reads holds memory and a place: it is closed, and others do not notice.
#[test]
fn a_socket_that_takes_no_answers_is_closed() {
    let limits = Limits { answer_timeout_us: 500 * MS, ..Limits::default() };
    let (_dir, engine, address) = serving(limits);
    let messages = life(14, 0, 40).concat();
    let mut deaf = TcpStream::connect(address).unwrap();
    deaf.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let end = std::thread::spawn(move || {
        loop {
            if let Err(error) = deaf.write_all(&messages) {
                return error.kind();
            }
        }
    });
    let mut till = Till::connect(address);
    for message in &life(14, 1, 20) {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    let end = end.join().unwrap();
    assert!(
        matches!(end, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "it was not closed: {end:?}"
    );
    assert_eq!(published(&engine)["ofd_connections_closed_total answer"], 1.0);
}

/// Whole messages inside are bounded in bytes: while the crypto module thinks, no more is read than the cap and what was
/// under way, and afterwards everything is answered.
#[test]
fn messages_inside_are_bounded_in_bytes() {
    const CAP: usize = 1 << 20;
    let (_dir, builder) = fresh();
    let crypto = Arc::new(Slow::default());
    let limits = Limits { in_flight_bytes_max: CAP as u64, drive_in_flight_max: 256, ..Limits::default() };
    let engine = builder
        .io_threads(1)
        .crypto(Arc::clone(&crypto) as Arc<dyn DriveCrypto>)
        .crypto_timeout_us(20_000 * MS)
        .append_deadline_us(30_000 * MS)
        .limits(limits)
        .open()
        .unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let lives: Vec<_> = (0..16).map(|register| life(15, register, 200)).collect();
    std::thread::scope(|scope| {
        for messages in &lives {
            scope.spawn(move || {
                let mut till = Till::connect(address);
                till.send(&messages.concat());
                for message in messages {
                    assert_eq!(read_answer(&till.answer().unwrap()).number, number(message));
                }
            });
        }
        let mut most = 0.0f64;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            most = most.max(published(&engine)["ofd_bytes_inside"]);
            std::thread::sleep(Duration::from_millis(10));
        }
        crypto.release();
        // One socket's read may be on its way when the cap is met.
        assert!(most > 0.4 * CAP as f64 && most < (CAP / 2 + 128 * 1024) as f64, "{most} bytes inside");
    });
    assert_eq!(engine.status().unwrap().documents, 16 * 200);
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

/// Thousands come back at once behind an outage: they wait in the queue of the system, which must be long enough not to drop
/// their first packets.
#[test]
fn a_crowd_can_wait_to_be_let_in() {
    let (_dir, _engine, address) = serving(Limits { accepts_per_s: 1, ..Limits::default() });
    let begun = Instant::now();
    let crowd: Vec<_> = (0..1_000)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(900)).expect("the queue is full"))
        .collect();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(crowd);
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

/// A crypto module that hangs must not hold up a restart: the drain has its time, and what was not answered by then is not.
#[test]
fn the_drain_has_its_time_and_no_more() {
    for (timeout_ms, most_ms) in [(400, 4_000), (2_000, 8_000)] {
        let (_dir, builder) = fresh();
        let limits = Limits { drain_timeout_us: timeout_ms * MS, ..Limits::default() };
        let engine = builder
            .crypto(Arc::new(Slow::default()))
            .crypto_timeout_us(60_000 * MS)
            .append_deadline_us(60_000 * MS)
            .limits(limits)
            .open()
            .unwrap();
        let mut till = Till::connect(engine.listen("127.0.0.1:0").unwrap());
        till.send(&life(16, 0, 3).concat());
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let _ = engine.shutdown();
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(timeout_ms), "{took:?} is less than it may take");
        assert!(took < Duration::from_millis(most_ms), "{took:?} of {timeout_ms} ms");
        assert!(till.answer().is_none());
    }
}
