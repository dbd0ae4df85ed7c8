//! The client against a small operator of this file, which confirms, refuses, falls silent and breaks connections.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test stops at the first surprise"
)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ofd_codec::{ConfirmationRequest, DriveNumber, Frame, LocalSeconds};
use ofd_emit::{
    Answered, EmitError, EmitHooks, EmitOptions, EmitReport, FileJournal, Journal, Progress, Retry,
    read_journal, run, run_on_threads, write_wire,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the operator does with the n-th message of all (from 0).
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Confirm,
    Refuse,
    /// Closes the connection without a byte.
    Drop,
    /// Keeps the connection and says nothing.
    Silence,
    /// Confirms with one bit of the container flipped.
    Damage,
    /// Confirms another document than the one sent.
    Mistake,
}

type Policy = dyn Fn(usize, DriveNumber, u32) -> Act + Send + Sync;

#[derive(Default)]
struct Seen {
    messages: Vec<Vec<u8>>,
    connections: usize,
    most_of_one_drive: usize,
}

/// Starts an operator on a free port; all that it receives is kept.
async fn operator(policy: Arc<Policy>) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            shared.lock().unwrap().connections += 1;
            tokio::spawn(serve(stream, Arc::clone(&shared), Arc::clone(&policy)));
        }
    });
    (address, seen)
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, policy: Arc<Policy>) {
    let mut buffer = Vec::new();
    loop {
        let mut answers = Vec::new();
        let mut together: HashMap<DriveNumber, usize> = HashMap::new();
        let mut close = false;
        while let Some((message, _)) = Frame::split(&buffer).unwrap() {
            let message = message.to_vec();
            buffer.drain(..message.len());
            let frame = Frame::new_checked(&message).unwrap();
            let (drive, number) = (frame.header().drive_number().unwrap(), frame.container().number());
            let at = {
                let mut seen = seen.lock().unwrap();
                let count = together.entry(drive).or_default();
                *count += 1;
                seen.most_of_one_drive = seen.most_of_one_drive.max(*count);
                seen.messages.push(message.clone());
                seen.messages.len() - 1
            };
            let act = policy(at, drive, number);
            let code = if act == Act::Refuse { 14 } else { 0 };
            let number = if act == Act::Mistake { number + 1 } else { number };
            let from = answers.len();
            match act {
                Act::Drop => {
                    close = true;
                    break;
                }
                Act::Silence => continue,
                _ => {}
            }
            ConfirmationRequest::unsigned(
                *b"7700000190  ",
                drive,
                number,
                LocalSeconds(1_772_409_600),
                code,
                [1, 0x20],
            )
            .encode_into(&mut answers)
            .unwrap();
            if act == Act::Damage {
                answers[from + 80] ^= 4;
            }
        }
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() || close {
            return;
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Retries fast; waits long, so that a busy machine does not look like a silent operator.
fn impatient(connect: SocketAddr, registers: u32, receipts: u32) -> EmitOptions {
    EmitOptions {
        answer_timeout: Duration::from_secs(30),
        retry: Retry { pause: Duration::from_millis(5), attempts: 4 },
        ..EmitOptions::new(connect, registers, receipts, 21)
    }
}

/// Documents by drive in the order in which they were first received.
fn first_order(messages: &[Vec<u8>]) -> HashMap<DriveNumber, Vec<u32>> {
    let mut out: HashMap<DriveNumber, Vec<u32>> = HashMap::new();
    for message in messages {
        let frame = Frame::new_checked(message).unwrap();
        let numbers = out.entry(frame.header().drive_number().unwrap()).or_default();
        if !numbers.contains(&frame.container().number()) {
            numbers.push(frame.container().number());
        }
    }
    out
}

fn all_in_order(messages: &[Vec<u8>], registers: usize, documents: u32) {
    let order = first_order(messages);
    assert_eq!(order.len(), registers);
    for numbers in order.values() {
        assert_eq!(*numbers, (1..=documents).collect::<Vec<_>>());
    }
}

fn adds_up(report: &EmitReport) {
    assert_eq!(report.sent, report.confirmed + report.refused + report.unanswered, "{report:?}");
    assert!(
        report.p50_us <= report.p99_us && report.p99_us <= report.p999_us && report.p999_us <= report.max_us,
        "{report:?}"
    );
}

/// The plain run: everything is sent once, in order, and is what a capture of the same seed holds.
#[tokio::test]
async fn every_document_is_confirmed_once_and_in_order() {
    let (address, seen) = operator(Arc::new(|_, _, _| Act::Confirm)).await;
    let report = run(impatient(address, 8, 20), EmitHooks::default()).await.unwrap();
    adds_up(&report);
    assert_eq!((report.sent, report.confirmed, report.resent, report.seed), (8 * 23, 8 * 23, 0, 21));
    assert!(report.documents_per_second > 0 && report.p50_us > 0);
    let seen = seen.lock().unwrap();
    assert_eq!(
        (seen.connections, seen.most_of_one_drive),
        (8, 1),
        "a connection a register, one document on the way"
    );
    all_in_order(&seen.messages, 8, 23);
    let mut capture = Vec::new();
    write_wire(8, 20, 21, &mut capture).unwrap();
    let mut rest = capture.as_slice();
    let mut expected = HashSet::new();
    while let Some((message, tail)) = Frame::split(rest).unwrap() {
        expected.insert(message.to_vec());
        rest = tail;
    }
    assert_eq!(seen.messages.iter().cloned().collect::<HashSet<_>>(), expected);
}

/// A concentrator: several registers share a connection, each with its own order.
#[tokio::test]
async fn registers_share_connections_and_may_pipeline() {
    for in_flight in [1, 6] {
        let (address, seen) = operator(Arc::new(|_, _, _| Act::Confirm)).await;
        let options =
            EmitOptions { connections: 3, in_flight, pregenerate: true, ..impatient(address, 30, 12) };
        let report = run(options, EmitHooks::default()).await.unwrap();
        adds_up(&report);
        assert_eq!((report.confirmed, report.resent), (30 * 15, 0));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.connections, 3);
        assert!(
            seen.most_of_one_drive <= in_flight as usize && (in_flight == 1 || seen.most_of_one_drive > 1)
        );
        all_in_order(&seen.messages, 30, 15);
    }
}

/// The firmware that opens a socket for each document.
#[tokio::test]
async fn a_connection_for_each_document() {
    let (address, seen) = operator(Arc::new(|_, _, _| Act::Confirm)).await;
    let options = EmitOptions { per_document_connection: true, connections: 4, ..impatient(address, 10, 5) };
    let report = run(options, EmitHooks::default()).await.unwrap();
    adds_up(&report);
    assert_eq!(report.confirmed, 10 * 8);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.connections, 10 * 8);
    all_in_order(&seen.messages, 10, 8);
}

/// An operator that closes without a byte gets the same bytes again, and nobody overtakes.
#[tokio::test]
async fn a_broken_connection_is_followed_by_the_same_bytes() {
    for per_document_connection in [false, true] {
        let (address, seen) =
            operator(Arc::new(|at, _, _| if at % 7 == 3 { Act::Drop } else { Act::Confirm })).await;
        let options = EmitOptions {
            per_document_connection,
            connections: 2,
            in_flight: 2,
            ..impatient(address, 6, 10)
        };
        let report = run(options, EmitHooks::default()).await.unwrap();
        adds_up(&report);
        assert_eq!((report.confirmed, report.unanswered), (6 * 13, 0), "{report:?}");
        assert!(report.resent >= 10, "{report:?}");
        let seen = seen.lock().unwrap();
        all_in_order(&seen.messages, 6, 13);
        let distinct: HashSet<_> = seen.messages.iter().collect();
        assert_eq!(distinct.len(), 6 * 13, "a document never changes between sendings");
    }
}

/// A refusal ends the duty to resend, as code 14 does for a real drive.
#[tokio::test]
async fn refusals_are_counted_and_not_repeated() {
    let (address, seen) =
        operator(Arc::new(|at, _, _| if at % 5 == 0 { Act::Refuse } else { Act::Confirm })).await;
    let report = run(impatient(address, 1, 97), EmitHooks::default()).await.unwrap();
    adds_up(&report);
    assert_eq!((report.sent, report.refused, report.resent), (100, 20, 0));
    assert_eq!(seen.lock().unwrap().messages.len(), 100);
}

/// Damaged and foreign answers do not count, whatever code they claim.
#[tokio::test]
async fn bad_answers_are_never_taken() {
    for bad in [Act::Damage, Act::Mistake] {
        for per_document_connection in [false, true] {
            let (address, _) =
                operator(Arc::new(move |at, _, _| if at % 10 == 4 { bad } else { Act::Confirm })).await;
            let options = EmitOptions { per_document_connection, ..impatient(address, 2, 20) };
            let report = run(options, EmitHooks::default()).await.unwrap();
            adds_up(&report);
            assert_eq!(report.confirmed, 2 * 23);
            assert!(report.bad_answers >= 4 && report.resent >= report.bad_answers, "{report:?}");
        }
    }
}

/// A document that is never answered is given up after the stated attempts; its neighbours on the connection go on.
#[tokio::test]
async fn one_stuck_document_does_not_hold_up_the_others() {
    for stuck in [Act::Drop, Act::Silence] {
        let register = ofd_emit::drive_number(21, 0, false);
        let policy =
            move |_, drive, number| if drive == register && number == 4 { stuck } else { Act::Confirm };
        let (address, seen) = operator(Arc::new(policy)).await;
        let options = EmitOptions {
            connections: 1,
            answer_timeout: Duration::from_millis(250),
            ..impatient(address, 5, 10)
        };
        let report = run(options, EmitHooks::default()).await.unwrap();
        adds_up(&report);
        assert_eq!(
            (report.sent, report.confirmed, report.unanswered),
            (4 + 4 * 13, 3 + 4 * 13, 1),
            "{report:?}"
        );
        let order = first_order(&seen.lock().unwrap().messages);
        assert_eq!(order[&register], [1, 2, 3, 4], "a drive never goes past a document");
    }
}

/// Nobody listens: the run ends by itself and says so.
#[tokio::test]
async fn an_operator_out_of_reach_leaves_all_unanswered() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for per_document_connection in [false, true] {
        let options = EmitOptions { per_document_connection, ..impatient(address, 3, 5) };
        let report = run(options, EmitHooks::default()).await.unwrap();
        assert_eq!((report.sent, report.confirmed, report.unanswered), (3, 0, 3));
    }
}

/// The journal is the witness of kill tests: each confirmed document, byte for byte.
#[tokio::test]
async fn the_journal_keeps_each_confirmed_container() {
    let (address, seen) = operator(Arc::new(|at, _, _| match at % 9 {
        2 => Act::Drop,
        5 => Act::Refuse,
        _ => Act::Confirm,
    }))
    .await;
    let folder = std::env::temp_dir().join(format!("ofd-emit-journal-{}", std::process::id()));
    let journal = Arc::new(FileJournal::create(&folder).unwrap());
    let hooks = EmitHooks { journal: Some(Arc::clone(&journal) as Arc<dyn Journal>), progress: None };
    let report = run(impatient(address, 4, 20), hooks).await.unwrap();
    journal.flush().unwrap();
    let lines = read_journal(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(lines.len() as u64, report.confirmed + report.refused);
    assert_eq!(lines.iter().filter(|line| line.code == 0).count() as u64, report.confirmed);
    assert_eq!(lines.iter().filter(|line| line.code == 14).count() as u64, report.refused);
    let received: HashSet<Vec<u8>> =
        seen.lock().unwrap().messages.iter().map(|message| message[30..].to_vec()).collect();
    for line in &lines {
        assert!(received.contains(&line.container));
    }
    let keys: HashSet<_> = lines.iter().map(|line| (line.drive, line.number)).collect();
    assert_eq!(keys.len(), lines.len(), "one line a document");
}

/// A host may end a run; what is on the way is still answered.
#[tokio::test]
async fn a_run_can_be_stopped() {
    struct StopAfter(u32, Arc<Progress>, Mutex<u32>);
    impl Journal for StopAfter {
        fn answered(&self, _: &Answered<'_>) {
            let mut count = self.2.lock().unwrap();
            *count += 1;
            if *count == self.0 {
                self.1.stop();
            }
        }
    }
    let (address, _) = operator(Arc::new(|_, _, _| Act::Confirm)).await;
    let progress = Arc::new(Progress::default());
    let journal = Arc::new(StopAfter(50, Arc::clone(&progress), Mutex::new(0)));
    let hooks = EmitHooks { progress: Some(Arc::clone(&progress)), journal: Some(journal) };
    let report = run(impatient(address, 5, 10_000), hooks).await.unwrap();
    adds_up(&report);
    assert!((50..200).contains(&report.confirmed) && report.unanswered == 0, "{report:?}");
    assert_eq!((progress.confirmed(), progress.sent()), (report.confirmed, report.sent));
}

/// The rate is one for the whole run, whatever the number of connections.
#[tokio::test]
async fn the_rate_is_kept() {
    for per_document_connection in [false, true] {
        let (address, _) = operator(Arc::new(|_, _, _| Act::Confirm)).await;
        let options = EmitOptions { rate: Some(200), per_document_connection, ..impatient(address, 4, 22) };
        let report = run(options, EmitHooks::default()).await.unwrap();
        assert_eq!(report.confirmed, 100);
        assert!(report.elapsed >= Duration::from_millis(420), "{report:?}");
        assert!(report.elapsed < Duration::from_secs(5), "{report:?}");
    }
}

/// Two threads carry a thousand registers on a hundred connections.
#[test]
fn threads_share_the_registers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, seen) = runtime.block_on(operator(Arc::new(|_, _, _| Act::Confirm)));
    let options = EmitOptions { connections: 100, ..impatient(address, 1000, 3) };
    let client = std::thread::spawn(move || run_on_threads(options, EmitHooks::default(), 2));
    runtime.block_on(async {
        while !client.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let report = client.join().unwrap().unwrap();
    adds_up(&report);
    assert_eq!((report.confirmed, report.resent), (6000, 0), "{report:?}");
    all_in_order(&seen.lock().unwrap().messages, 1000, 6);
}

/// Options that can send nothing are told before anything starts.
#[tokio::test]
async fn zeros_are_refused() {
    let base = EmitOptions::new("127.0.0.1:1".parse().unwrap(), 1, 1, 1);
    for options in [
        EmitOptions { registers: 0, ..base },
        EmitOptions { connections: 0, ..base },
        EmitOptions { in_flight: 0, ..base },
        EmitOptions { rate: Some(0), ..base },
    ] {
        assert!(matches!(run(options, EmitHooks::default()).await, Err(EmitError::Zero(_))));
    }
}
