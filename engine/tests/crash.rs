//! The real `ofd serve` killed, and on a disk whose syncs fail: what was confirmed is there, byte for byte, and
//! no answer leaves before the sync that covers it. Needs the feature `tool`; the tests with failing syncs
//! need `strace` and say aloud when it is missing.

#![cfg(feature = "tool")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Till, code_and_time, life};
use ofd_emit::{Answered, EmitHooks, EmitOptions, Journal, Prng, Progress, Retry, run_on_threads};
use ofd_engine::Engine;
use ofd_engine::codec::DriveNumber;
use ofd_engine::host::Capability;

const OFD: &str = env!("CARGO_BIN_EXE_ofd");

/// A running `ofd serve`, killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the server, by way of `prefix` when that is not empty.
    fn start(prefix: &[&str], data: &Path) -> Option<Self> {
        let mut words: Vec<&std::ffi::OsStr> = prefix.iter().map(std::ffi::OsStr::new).collect();
        words.push(OFD.as_ref());
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own: signals must reach the server behind strace too.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(at) = line.find("\"listen\":\"") else {
            signal(&child, "-KILL");
            let _ = child.wait();
            return None;
        };
        let rest = &line[at + 10..];
        let address = rest[..rest.find('"').unwrap()].parse().unwrap();
        Some(Self { child, address })
    }

    fn kill(mut self) {
        signal(&self.child, "-KILL");
        self.child.wait().unwrap();
    }
}

/// Signals the whole group of a child.
fn signal(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
}

impl Drop for Server {
    fn drop(&mut self) {
        signal(&self.child, "-KILL");
        let _ = self.child.wait();
    }
}

/// Every confirmed container by drive and number.
#[derive(Default)]
struct Witness(Mutex<HashMap<(DriveNumber, u32), Vec<u8>>>);

impl Journal for Witness {
    fn answered(&self, answered: &Answered<'_>) {
        if answered.code == 0 {
            let key = (answered.drive, answered.number);
            self.0.lock().unwrap().insert(key, answered.container().to_vec());
        }
    }
}

/// Issue line: kill -9 under load at 20 random moments; every confirmed document is there, byte for byte.
#[test]
fn nothing_confirmed_is_lost_when_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Arc::new(Witness::default());
    let mut moments = Prng::new(std::process::id().into(), 1);
    for round in 0..20u64 {
        let server = Server::start(&[], dir.path()).expect("the server starts after a kill");
        let progress = Arc::new(Progress::default());
        let hooks = EmitHooks { progress: Some(Arc::clone(&progress)), journal: Some(witness.clone()) };
        let mut options = EmitOptions::new(server.address, 40, 1_000_000, 1_000 + round);
        options.in_flight = 1 + (round % 4) as u32;
        options.retry = Retry { pause: Duration::from_millis(5), attempts: 1 };
        let load = std::thread::spawn(move || run_on_threads(options, hooks, 1).unwrap());
        std::thread::sleep(Duration::from_millis(moments.between(20, 500)));
        server.kill();
        progress.stop();
        load.join().unwrap();
    }
    let engine = Engine::builder(dir.path()).open().unwrap();
    let witness = witness.0.lock().unwrap();
    assert!(witness.len() > 1_000, "only {} documents were confirmed", witness.len());
    let operator = Capability::operator();
    for ((drive, number), container) in witness.iter() {
        let found = engine.find(&operator, *drive, *number).unwrap();
        assert_eq!(found.len(), 1, "drive {} document {number}", drive.as_str());
        assert_eq!(found[0].container(), container, "drive {} document {number}", drive.as_str());
    }
    println!("{} confirmed documents over 20 kills, all there", witness.len());
}

fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("skipped: strace is not installed");
    }
    there
}

/// A sync that always fails: not one answer leaves.
#[test]
fn no_answer_leaves_when_every_sync_fails() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Opened once, so that the failing run has its segments ready and comes up to the socket.
    Engine::builder(dir.path()).open().unwrap().shutdown().unwrap();
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO",
    ];
    let Some(mut server) = Server::start(&strace, dir.path()) else {
        // It did not even come up: nobody was answered.
        return;
    };
    let messages = life(71, 0, 3);
    let mut till = Till::connect(server.address);
    till.try_send(&messages.concat());
    assert!(till.answer().is_none());
    let gone = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(gone.elapsed() < Duration::from_secs(20), "the server goes on without a disk");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(!status.success(), "a failed disk is not a good end");
}

/// A sync that fails once: the batch is written again elsewhere, then answered, and all is there afterwards.
#[test]
fn a_sync_that_fails_once_costs_no_document() {
    if !has_strace() {
        return;
    }
    for when in ["2", "3", "5", "8"] {
        let dir = tempfile::tempdir().unwrap();
        let inject = format!("inject=fdatasync:error=EIO:when={when}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
        let server = Server::start(&strace, dir.path()).expect("one failed sync stops no start");
        let messages = life(72, 0, 20);
        let mut till = Till::connect(server.address);
        for message in &messages {
            let answer = till.ask(message).unwrap_or_else(|| panic!("unanswered with sync {when} failing"));
            assert_eq!(code_and_time(&answer).0, 0);
        }
        drop(till);
        terminate(server);
        let engine = Engine::builder(dir.path()).open().unwrap();
        for message in &messages {
            let (drive, number) = (common::drive(message), common::number(message));
            let found = engine.find(&Capability::operator(), drive, number).unwrap();
            assert_eq!(found.len(), 1, "document {number} with sync {when} failing");
            assert_eq!(found[0].container(), &message[30..]);
        }
    }
}

/// The order of system calls: between the write of a document and its answer lies a sync that came back.
#[test]
fn each_answer_leaves_after_the_sync_that_covers_it() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let trace_arg = trace.to_str().unwrap();
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        trace_arg,
        "-e",
        "trace=pwrite64,pwritev,fdatasync,sendto,write,writev,sendmsg",
        "-e",
        "signal=none",
        "-s",
        "8",
        "-xx",
    ];
    let server = Server::start(&strace, &dir.path().join("data")).unwrap();
    // So long that the batch of each takes more than the one block of a marker.
    let messages: Vec<_> = life(73, 0, 40).into_iter().filter(|message| message.len() > 320).collect();
    assert!(messages.len() > 20);
    let mut till = Till::connect(server.address);
    for message in &messages {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    drop(till);
    terminate(server);
    let trace = std::fs::read_to_string(&trace).unwrap();
    // A session header begins with 2a 08 41 0a: only answers do.
    let answers = trace
        .lines()
        .filter(|line| line.contains("\\x2a\\x08\\x41\\x0a"))
        .filter(|line| ["sendto(", "write(", "writev(", "sendmsg("].iter().any(|call| line.contains(call)));
    assert_eq!(answers.count(), messages.len(), "one send an answer");
    // The threads that commit are those that call fdatasync; others fill the next segment meanwhile.
    let thread = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let commits: BTreeSet<String> =
        trace.lines().filter(|line| line.contains("fdatasync(")).map(thread).collect();
    // On a busy machine the marker of an idle moment may be written between a sync and the answer it allows.
    let marker = 512;
    let taken = |line: &str| {
        let writes = line.contains("pwritev") || line.contains("pwrite64");
        let result = line.rsplit_once("= ").and_then(|(_, result)| result.trim().parse::<u64>().ok());
        writes && result.is_some_and(|len| len > marker)
    };
    let (mut written, mut synced) = (false, false);
    for line in trace.lines() {
        if commits.contains(&thread(line)) && taken(line) {
            (written, synced) = (true, false);
        } else if line.contains("fdatasync") && line.trim_end().ends_with("= 0") {
            synced = written;
        } else if line.contains("\\x2a\\x08\\x41\\x0a") {
            assert!(synced, "an answer without a sync before it: {line}");
            // The marker of an idle moment may be written between two documents; a document always is.
            (written, synced) = (false, false);
        }
    }
}

/// Ends the server the polite way; strace itself does not heed the signal.
fn terminate(mut server: Server) {
    signal(&server.child, "-TERM");
    let asked = Instant::now();
    while server.child.try_wait().unwrap().is_none() {
        assert!(asked.elapsed() < Duration::from_secs(20), "SIGTERM does not end the server");
        std::thread::sleep(Duration::from_millis(20));
    }
}
