//! One connection and the registers behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ofd_codec::{DriveNumber, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{Answer, check_answer};
use super::source::Source;
use super::{LATENCY_US_MAX, Shared};
use crate::journal::Answered;

/// Bytes not yet written beyond which no further document is made: the socket is full, the operator is the slower one.
const UNWRITTEN_MAX: usize = 256 * 1024;

/// Bytes taken from the socket at once: sixty answers, and small enough for a thousand connections.
const READ_LEN: usize = 8 * 1024;

/// A document on the way.
struct Pending {
    lane: usize,
    drive: DriveNumber,
    number: u32,
    message: Vec<u8>,
    sent_at: Instant,
    /// Connections that broke under it without an answer.
    failures: u32,
}

/// A register of this connection.
struct Lane {
    source: Source,
    in_flight: u32,
    ended: bool,
}

/// Why a connection ended.
enum Lost {
    /// Closed, reset or timed out: the documents on the way will be sent again.
    Broken,
    /// Everything was sent and answered.
    Done,
}

struct Connection {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    /// Registers that may send, in turn.
    ready: VecDeque<usize>,
    pending: VecDeque<Pending>,
    unwritten: Vec<u8>,
    written: usize,
    unread: Vec<u8>,
    spare: Vec<Vec<u8>>,
    latencies: Vec<u64>,
    /// Documents answered since the beginning.
    answers: u64,
    pace: Option<Pace>,
}

/// Even spacing of the documents of one connection.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    /// The connection's part of the rate of the whole run.
    fn of(shared: &Shared) -> Option<Self> {
        let rate = u64::from(shared.options.rate?);
        let nanos = 1_000_000_000 * u64::from(shared.connections()) / rate.max(1);
        Some(Self { every: Duration::from_nanos(nanos), next: Instant::now() })
    }

    /// Takes one turn if it is due. Turns missed by more than a second are not made up for.
    fn take(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let behind = now.saturating_duration_since(self.next);
        self.next = if behind > Duration::from_secs(1) { now } else { self.next } + self.every;
        true
    }
}

/// Holds one connection until all documents of its registers are answered or given up.
pub(super) async fn held(shared: Arc<Shared>, sources: Vec<Source>) {
    let lanes: Vec<Lane> =
        sources.into_iter().map(|source| Lane { source, in_flight: 0, ended: false }).collect();
    let mut connection = Connection {
        ready: (0..lanes.len()).collect(),
        lanes,
        pending: VecDeque::new(),
        unwritten: Vec::new(),
        written: 0,
        unread: Vec::new(),
        spare: Vec::new(),
        latencies: Vec::new(),
        answers: 0,
        pace: Pace::of(&shared),
        shared,
    };
    connection.run().await;
}

impl Connection {
    async fn run(&mut self) {
        loop {
            // A register connects when it has something to say.
            self.fill();
            if self.finished() {
                return;
            }
            if self.pending.is_empty() {
                self.wait_for_turn().await;
                continue;
            }
            let answers_before = self.answers;
            let connected =
                timeout(self.shared.options.connect_timeout, TcpStream::connect(self.shared.options.connect))
                    .await;
            if let Ok(Ok(stream)) = connected {
                let _ = stream.set_nodelay(true);
                // The wait for an answer begins when there is somebody to answer.
                let now = Instant::now();
                self.pending.iter_mut().for_each(|pending| pending.sent_at = now);
                if let Lost::Done = self.converse(&stream).await {
                    return;
                }
            }
            self.after_loss(self.answers > answers_before);
            if !self.pending.is_empty() {
                sleep(self.shared.options.retry.pause).await;
                self.resend();
            }
        }
    }

    fn finished(&self) -> bool {
        self.pending.is_empty()
            && (self.shared.progress.stopped() || self.lanes.iter().all(|lane| lane.ended))
    }

    async fn wait_for_turn(&self) {
        match &self.pace {
            Some(pace) => sleep_until(pace.next).await,
            None => tokio::task::yield_now().await,
        }
    }

    /// Makes documents for the registers whose turn it is.
    fn fill(&mut self) {
        if self.shared.progress.stopped() {
            return;
        }
        let now = Instant::now();
        while self.unwritten.len() - self.written < UNWRITTEN_MAX {
            let Some(&at) = self.ready.front() else { break };
            if self.pace.as_mut().is_some_and(|pace| !pace.take(now)) {
                break;
            }
            self.ready.pop_front();
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            let mut message = self.spare.pop().unwrap_or_default();
            let Some(number) = lane.source.next(&mut message) else {
                lane.ended = true;
                self.spare.push(message);
                continue;
            };
            self.unwritten.extend_from_slice(&message);
            lane.in_flight += 1;
            if lane.in_flight < self.shared.options.in_flight {
                self.ready.push_back(at);
            }
            let drive = lane.source.drive();
            self.pending.push_back(Pending { lane: at, drive, number, message, sent_at: now, failures: 0 });
            self.shared.progress.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads and writes in one task, so that two full socket buffers can never wait for each other.
    async fn converse(&mut self, stream: &TcpStream) -> Lost {
        let mut chunk = vec![0; READ_LEN];
        loop {
            self.fill();
            if self.finished() {
                return Lost::Done;
            }
            let writing = self.written < self.unwritten.len();
            let interest = if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            // The first one has waited longest: a resend gives all of them the same time.
            let patience =
                self.pending.front().map(|pending| pending.sent_at + self.shared.options.answer_timeout);
            let turn = self.pace.as_ref().filter(|_| !self.ready.is_empty()).map(|pace| pace.next);
            let wake = [patience, turn].into_iter().flatten().min();
            let wake = wake.unwrap_or_else(|| Instant::now() + self.shared.options.answer_timeout);
            let ready = tokio::select! {
                ready = stream.ready(interest) => ready,
                () = sleep_until(wake) => {
                    if patience.is_some_and(|patience| patience <= Instant::now()) {
                        return Lost::Broken;
                    }
                    continue;
                }
            };
            let Ok(ready) = ready else { return Lost::Broken };
            if writing && ready.is_writable() && self.write(stream).is_err() {
                // The answers that came before the end still count.
                let _ = self.read(stream, &mut chunk);
                return Lost::Broken;
            }
            if ready.is_readable() && self.read(stream, &mut chunk).is_err() {
                return Lost::Broken;
            }
        }
    }

    fn write(&mut self, stream: &TcpStream) -> io::Result<()> {
        while let Some(rest @ [_, ..]) = self.unwritten.get(self.written..) {
            match stream.try_write(rest) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unwritten.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream, chunk: &mut [u8]) -> io::Result<()> {
        loop {
            let end = match stream.try_read(chunk) {
                Ok(0) => Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    self.unread.extend_from_slice(chunk.get(..len).unwrap_or_default());
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => Some(error),
            };
            let sound = self.take_answers();
            match end {
                Some(error) => return Err(error),
                None if !sound => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
        }
    }

    /// Takes whole answers off the bytes read; false when one is none.
    fn take_answers(&mut self) -> bool {
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        let mut sound = true;
        loop {
            match Frame::split(rest) {
                Ok(Some((message, tail))) => {
                    rest = tail;
                    match check_answer(message) {
                        Ok(answer) if self.settle(&answer, message) => continue,
                        _ => sound = false,
                    }
                }
                Ok(None) => break,
                Err(_) => sound = false,
            }
            if !sound {
                self.shared.progress.bad_answers.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        let consumed = unread.len() - rest.len();
        self.unread = unread;
        self.unread.drain(..consumed);
        self.shared.record(&mut self.latencies);
        sound
    }

    /// Books an answer; false when nothing was asked of it.
    fn settle(&mut self, answer: &Answer, bytes: &[u8]) -> bool {
        // Answers come in order, so that the search ends at the first element but for concentrators gone wrong.
        let at = self
            .pending
            .iter()
            .position(|pending| pending.number == answer.number && pending.drive == answer.drive);
        let Some(pending) = at.and_then(|at| self.pending.remove(at)) else { return false };
        self.latencies.push(micros(pending.sent_at));
        self.answers += 1;
        book(&self.shared, answer, &pending.message, bytes);
        if let Some(lane) = self.lanes.get_mut(pending.lane) {
            if lane.in_flight == self.shared.options.in_flight && !lane.ended {
                self.ready.push_back(pending.lane);
            }
            lane.in_flight -= 1;
        }
        self.spare.push(pending.message);
        true
    }

    /// Blames the loss: when nothing was answered all documents share it, else the one that was next.
    fn after_loss(&mut self, progressed: bool) {
        self.unread.clear();
        self.unwritten.clear();
        self.written = 0;
        let blamed = if progressed { 1 } else { self.pending.len() };
        for pending in self.pending.iter_mut().take(blamed) {
            pending.failures += 1;
        }
        let attempts = self.shared.options.retry.attempts;
        let lost: Vec<usize> = self
            .pending
            .iter()
            .filter(|pending| pending.failures >= attempts)
            .map(|pending| pending.lane)
            .collect();
        for lane in lost {
            // A drive never goes past a document that was not taken: its register falls silent.
            let before = self.pending.len();
            self.pending.retain(|pending| pending.lane != lane);
            let given_up = (before - self.pending.len()) as u64;
            self.shared.progress.unanswered.fetch_add(given_up, Ordering::Relaxed);
            self.ready.retain(|ready| *ready != lane);
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.ended = true;
                lane.in_flight = 0;
            }
        }
        // The register whose document may be the cause goes last, so that it does not hold up the others.
        if let Some(first) = self.pending.front().map(|pending| pending.lane) {
            self.pending.make_contiguous().sort_by_key(|pending| pending.lane == first);
        }
    }

    /// Puts everything that is on the way into the buffer again.
    fn resend(&mut self) {
        let now = Instant::now();
        for pending in &mut self.pending {
            pending.sent_at = now;
            self.unwritten.extend_from_slice(&pending.message);
        }
        self.shared.progress.resent.fetch_add(self.pending.len() as u64, Ordering::Relaxed);
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX)
}

/// Counts an answer and tells the journal.
fn book(shared: &Shared, answer: &Answer, message: &[u8], answer_bytes: &[u8]) {
    if let Some(journal) = &shared.journal {
        journal.answered(&Answered {
            drive: answer.drive,
            number: answer.number,
            code: answer.code,
            message,
            answer: answer_bytes,
        });
    }
    let counter = if answer.code == 0 { &shared.progress.confirmed } else { &shared.progress.refused };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Opens a connection for each document of its registers, which take turns.
pub(super) async fn one_document_each(shared: Arc<Shared>, sources: Vec<Source>) {
    let mut pace = Pace::of(&shared);
    let mut living: VecDeque<Source> = sources.into();
    let mut message = Vec::new();
    let mut latencies = Vec::new();
    while let Some(mut source) = living.pop_front() {
        if shared.progress.stopped() {
            return;
        }
        if let Some(pace) = &mut pace {
            sleep_until(pace.next).await;
            pace.take(Instant::now());
        }
        let Some(number) = source.next(&mut message) else { continue };
        shared.progress.sent.fetch_add(1, Ordering::Relaxed);
        let mut answered = false;
        for attempt in 0..shared.options.retry.attempts.max(1) {
            if attempt > 0 {
                sleep(shared.options.retry.pause).await;
                shared.progress.resent.fetch_add(1, Ordering::Relaxed);
            }
            let sent_at = Instant::now();
            let Ok(Ok(bytes)) = timeout(shared.options.answer_timeout, exchange(&shared, &message)).await
            else {
                continue;
            };
            match check_answer(&bytes) {
                Ok(answer) if answer.number == number && answer.drive == source.drive() => {
                    latencies.push(micros(sent_at));
                    shared.record(&mut latencies);
                    book(&shared, &answer, &message, &bytes);
                    answered = true;
                    break;
                }
                _ => shared.progress.bad_answers.fetch_add(1, Ordering::Relaxed),
            };
        }
        if answered {
            living.push_back(source);
        } else {
            shared.progress.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One document and its answer over a connection of its own.
async fn exchange(shared: &Shared, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream =
        timeout(shared.options.connect_timeout, TcpStream::connect(shared.options.connect)).await??;
    stream.set_nodelay(true)?;
    stream.write_all(message).await?;
    let mut answer = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match Frame::split(&answer) {
            Ok(Some((whole, _))) => {
                let len = whole.len();
                answer.truncate(len);
                return Ok(answer);
            }
            Ok(None) => {}
            // Handed on as it is: the caller's check names and counts what is wrong with it.
            Err(_) => return Ok(answer),
        }
    }
}
