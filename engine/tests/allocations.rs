//! A document allocates nothing: port, worker, writer, log and the way back work in memory they have.
//!
//! In a file of its own and in one test, because the counter is that of the whole process, all threads. Whoever counts sends
//! messages that were made before and reads answers into an array, so that what is counted is the engine's.
//!
//! What is allocated after warm-up is not a document's, and its bound is asserted:
//! - a `submit_batch`: its tickets, [`SUBMISSION_MAX`] however many frames it has;
//! - a commit beyond 64 KiB: one in [`CHANNEL_COMMITS_MIN`];
//! - a queue or a set of buffers that reaches a new peak: [`PEAKS_MAX`] while one thing is counted;
//! - a segment: its file and map, its index file and the checkpoint, [`SEGMENT_MAX`]; by default it holds 64 MiB of documents;
//! - a drive that has never sent: the tables of lanes and of recent documents double, [`DOUBLING_MAX`] each time;
//! - a message that comes in pieces: what came of it is set aside until the rest is there, [`PIECES_MAX`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::alloc::System;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use common::life;
use ofd_engine::{Engine, EngineBuilder, Outcome, Tickets};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Drives that send.
const DRIVES: usize = 64;
/// Documents of each before anything is counted, and while it is: tables that double do so before.
const WARM: usize = 72;
const COUNTED: usize = 38;
/// Rounds that are counted by themselves.
const WINDOW: usize = 5;
/// Allocations of all that reaches a new peak while one thing is counted: less than one for every round of it.
const PEAKS_MAX: usize = 24;
/// Allocations of one submission.
const SUBMISSION_MAX: usize = 3;
/// A commit of more than 64 KiB goes to a thread and comes back over channels that allocate for 31 at once, one each.
const CHANNEL_COMMITS_MIN: usize = 15;
/// Allocations of one segment.
const SEGMENT_MAX: usize = 400;
/// Allocations when a table doubles: four tables that grow with drives or documents.
const DOUBLING_MAX: usize = 4;
/// Allocations of one message that comes in pieces.
const PIECES_MAX: usize = 3;

/// Allocations of all threads while `body` runs, and maps for buffers of batches.
fn counted(body: impl FnOnce()) -> usize {
    let (region, before) = (Region::new(ALLOCATOR), mapped());
    body();
    let change = region.change();
    change.allocations + change.reallocations + usize::try_from(mapped() - before).unwrap()
}

/// Maps that the log has made for its buffers: the allocator does not see them.
fn mapped() -> u64 {
    #[cfg(feature = "testing")]
    return ofd_engine::storage::testing::buffers_mapped();
    #[cfg(not(feature = "testing"))]
    0
}

/// The documents of many drives, by round: the next one of each.
fn rounds(seed: u64, drives: usize, documents: usize) -> Vec<Vec<Bytes>> {
    let lives: Vec<Vec<Vec<u8>>> =
        (0..).take(drives).map(|register| life(seed, register, documents)).collect();
    (0..documents).map(|at| lives.iter().map(|life| Bytes::from(life[at].clone())).collect()).collect()
}

/// An engine without the fold of the registers: that works behind the watermark, at its own pace, and allocates where a
/// shift begins or ends.
fn alone(dir: &Path) -> EngineBuilder {
    Engine::builder(dir).registers(false)
}

/// Submits one round and waits for its answers.
fn submit(engine: &Engine, frames: Vec<Bytes>) {
    settle(engine.submit_batch(frames).unwrap());
}

/// Submits rounds with four on their way at once.
fn flow(engine: &Engine, waiting: &mut VecDeque<Tickets>, rounds: Vec<Vec<Bytes>>) {
    for round in rounds {
        if waiting.len() == 4 {
            settle(waiting.pop_front().unwrap());
        }
        waiting.push_back(engine.submit_batch(round).unwrap());
    }
    waiting.drain(..).for_each(settle);
}

fn settle(tickets: Tickets) {
    for outcome in tickets.wait() {
        assert!(matches!(outcome, Outcome::Answered { code: 0, .. }), "{outcome:?}");
    }
}

/// Sends one round, a document a connection, and reads the answers.
fn ask(tills: &mut [TcpStream], round: &[Bytes]) {
    for (till, message) in tills.iter_mut().zip(round) {
        till.write_all(message).unwrap();
    }
    let mut answer = [0; 512];
    for till in tills {
        till.read_exact(&mut answer[..30]).unwrap();
        let len = usize::from(u16::from_le_bytes([answer[24], answer[25]]));
        till.read_exact(&mut answer[30..30 + len]).unwrap();
    }
}

fn connected(address: SocketAddr, tills: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let till = TcpStream::connect(address).unwrap();
        till.set_nodelay(true).unwrap();
        till
    };
    (0..tills).map(connect).collect()
}

/// The next segment stands ready: the thread behind has nothing to do.
fn quiet(dir: &Path) {
    let names = || {
        let entries = std::fs::read_dir(dir.join("log")).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let ready = |names: Vec<String>| {
        names.iter().filter(|name| name.ends_with(".seg")).count() > 1
            && !names.iter().any(|name| name.starts_with(".prepare"))
    };
    for _ in 0..2000 {
        if ready(names()) && counted(|| std::thread::sleep(Duration::from_millis(100))) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the engine does not come to rest");
}

/// Over TCP: nothing at all.
fn over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let engine = alone(dir.path()).open().unwrap();
    let mut tills = connected(engine.listen("127.0.0.1:0").unwrap(), DRIVES);
    let rounds = rounds(31, DRIVES, WARM + COUNTED);
    for round in &rounds[..WARM] {
        ask(&mut tills, round);
    }
    quiet(dir.path());
    let windows: Vec<usize> = rounds[WARM..]
        .chunks(WINDOW)
        .map(|rounds| counted(|| rounds.iter().for_each(|round| ask(&mut tills, round))))
        .collect();
    println!("over TCP: {windows:?} allocations in windows of {} documents", DRIVES * WINDOW);
    // A queue may reach a new peak in some of them; what a document allocates, it allocates in each.
    assert!(windows.contains(&0) && windows.iter().sum::<usize>() <= PEAKS_MAX);
    engine.shutdown().unwrap();
}

/// In process: the tickets of a submission, in batches with several on their way, and one by one.
fn in_process() {
    let dir = tempfile::tempdir().unwrap();
    let engine = alone(dir.path()).open().unwrap();
    let mut rounds = rounds(32, DRIVES, WARM + COUNTED);
    let mut late = rounds.split_off(WARM);
    let lonely: Vec<Vec<Bytes>> = late.pop().unwrap().into_iter().map(|message| vec![message]).collect();
    // Warm with as much on the way as is counted later.
    let mut waiting: VecDeque<Tickets> = VecDeque::with_capacity(8);
    flow(&engine, &mut waiting, rounds);
    let first: Vec<Vec<Bytes>> = lonely.iter().take(DRIVES / 2).cloned().collect();
    first.into_iter().for_each(|frames| submit(&engine, frames));
    quiet(dir.path());
    let (submissions, documents) = (late.len(), late.len() * DRIVES);
    let allocations = counted(|| flow(&engine, &mut waiting, late));
    println!("in process: {allocations} allocations, {documents} documents, {submissions} submissions");
    assert!(allocations <= SUBMISSION_MAX * submissions + submissions / CHANNEL_COMMITS_MIN + PEAKS_MAX);
    let lonely: Vec<Vec<Bytes>> = lonely.into_iter().skip(DRIVES / 2).collect();
    let documents = lonely.len();
    let allocations = counted(|| lonely.into_iter().for_each(|frames| submit(&engine, frames)));
    println!("one by one: {allocations} allocations, {documents} documents and submissions");
    assert!(allocations <= SUBMISSION_MAX * documents + PEAKS_MAX);
    engine.shutdown().unwrap();
}

/// Drives that have never sent: tables double.
fn of_new_drives() {
    const NEW: usize = 2048;
    let dir = tempfile::tempdir().unwrap();
    let engine = alone(dir.path()).open().unwrap();
    let mut tills = connected(engine.listen("127.0.0.1:0").unwrap(), DRIVES);
    let warm = rounds(33, DRIVES, 8);
    warm.iter().for_each(|round| ask(&mut tills, round));
    quiet(dir.path());
    let new = &rounds(34, NEW, 1)[0];
    let allocations = counted(|| new.chunks(DRIVES).for_each(|round| ask(&mut tills, round)));
    println!("new drives: {allocations} allocations, {NEW} drives");
    let doublings = NEW.ilog2() as usize + 1 - DRIVES.ilog2() as usize;
    assert!(allocations <= DOUBLING_MAX * doublings + PEAKS_MAX);
    engine.shutdown().unwrap();
}

/// Through many segments: their number counts and not that of the documents.
fn through_segments() {
    let dir = tempfile::tempdir().unwrap();
    let engine = alone(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    let mut tills = connected(engine.listen("127.0.0.1:0").unwrap(), DRIVES);
    let rounds = rounds(35, DRIVES, WARM + COUNTED);
    for round in &rounds[..WARM] {
        ask(&mut tills, round);
    }
    let segments = || std::fs::read_dir(dir.path().join("log")).unwrap().count();
    let before = segments();
    let allocations = counted(|| rounds[WARM..].iter().for_each(|round| ask(&mut tills, round)));
    let passed = segments() - before;
    println!(
        "through segments: {allocations} allocations, {} documents, {passed} segments",
        DRIVES * COUNTED
    );
    // One more is being prepared or indexed at either end.
    assert!(passed > 0 && allocations <= SEGMENT_MAX * (passed + 2));
    engine.shutdown().unwrap();
}

/// Messages that come in two pieces each.
fn in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let engine = alone(dir.path()).open().unwrap();
    let mut till = connected(engine.listen("127.0.0.1:0").unwrap(), 1);
    let life = rounds(36, 1, 200);
    for round in &life[..100] {
        ask(&mut till, round);
    }
    quiet(dir.path());
    let allocations = counted(|| {
        for round in &life[100..] {
            till[0].write_all(&round[0][..40]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            ask(&mut till, &[round[0].slice(40..)]);
        }
    });
    println!("in pieces: {allocations} allocations, {} documents", life.len() - 100);
    assert!(allocations <= PIECES_MAX * (life.len() - 100));
    engine.shutdown().unwrap();
}

/// After warm-up a document allocates nothing, whichever way it comes.
#[test]
fn a_document_allocates_nothing_after_warm_up() {
    assert!(counted(|| drop(std::hint::black_box(Box::new(1)))) > 0, "the counter sees nothing");
    over_tcp();
    in_process();
    of_new_drives();
    in_pieces();
    through_segments();
}
