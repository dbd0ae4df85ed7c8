//! One TCP connection of a register (or of a concentrator of many): frames in, answers out in the same order.
//!
//! Answers come back from several workers and are put in order here. A frame without an answer closes the
//! connection once the answers before it are written: what came behind it is stored or not, and the register
//! asks again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ofd_codec::{Channel, Frame, SESSION_HEADER_LEN, SessionHeader};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::confirmation::Confirmation;
use crate::handover::{Peer, ReturnTo, Unanswered};
use crate::limits::{Limits, TestPing};
use crate::metering::Closed;
use crate::planted::{Planted, is};
use crate::port::Port;
use crate::shared::{Health, Shared};
use crate::stream::Stream;

/// Bytes that may wait to be written before no more frames are read.
const UNWRITTEN_MAX: usize = 64 * 1024;
/// Bytes taken by one read.
const READ_LEN: usize = 64 * 1024;

/// What has become of a frame, in its order.
pub(crate) enum Reply {
    Waiting,
    Confirm(Confirmation),
    /// Bytes of the marking relay.
    Relayed(Bytes),
    Close,
}

#[derive(Default)]
struct Order {
    next_in: u64,
    next_out: u64,
    replies: VecDeque<Reply>,
    out: Vec<u8>,
    /// So much of `out` is written.
    written: usize,
    /// A task is writing `out`.
    writing: bool,
    /// It stands among those of the port that have something to say.
    queued: bool,
    /// Nothing more will be written.
    closing: bool,
}

/// A connection.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    number: u32,
    generation: u32,
    order: RefCell<Order>,
    shared: Arc<Shared>,
    /// When its life ends.
    ends: Instant,
    /// Told when there is room again for what the connection reads.
    room: Rc<Notify>,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        peer: SocketAddr,
        number: u32,
        generation: u32,
        shared: Arc<Shared>,
        room: Rc<Notify>,
    ) -> Self {
        let address = match peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let peer = Peer { address, port: peer.port() };
        let ends = Instant::now() + Duration::from_micros(shared.limits().connection_lifetime_us);
        Self { stream, peer, number, generation, order: RefCell::default(), shared, ends, room }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    fn unanswered(&self) -> usize {
        self.order.borrow().replies.len()
    }

    /// May more be read, as far as this connection is concerned?
    fn has_room(&self) -> bool {
        let order = self.order.borrow();
        order.replies.len() < self.shared.options.caps.unanswered
            && order.out.len().saturating_sub(order.written) < UNWRITTEN_MAX
    }

    fn is_closing(&self) -> bool {
        self.order.borrow().closing
    }

    /// Takes a place in the order of answers.
    fn expect(&self, port: u16) -> ReturnTo {
        let mut order = self.order.borrow_mut();
        let sequence = order.next_in;
        order.next_in = sequence.wrapping_add(1);
        order.replies.push_back(Reply::Waiting);
        ReturnTo { port, connection: self.number, generation: self.generation, sequence }
    }

    /// Puts a reply in its place and moves what is ready to the output. True: there is something to write or
    /// to close, and there was not before the last [`Connection::flush`].
    pub(crate) fn reply(&self, sequence: u64, reply: Reply, operator_inn: [u8; 12]) -> bool {
        let mut order = self.order.borrow_mut();
        let at = usize::try_from(sequence.wrapping_sub(order.next_out)).unwrap_or(usize::MAX);
        if let Some(place) = order.replies.get_mut(at) {
            *place = reply;
        }
        let mut moved = false;
        while !order.closing && !matches!(order.replies.front(), None | Some(Reply::Waiting)) {
            moved = true;
            order.next_out = order.next_out.wrapping_add(1);
            match order.replies.pop_front() {
                Some(Reply::Confirm(confirmation)) => {
                    confirmation.encode_into(operator_inn, &mut order.out);
                }
                Some(Reply::Relayed(bytes)) => order.out.extend_from_slice(&bytes),
                Some(Reply::Close) => order.closing = true,
                Some(Reply::Waiting) | None => {}
            }
        }
        moved && !std::mem::replace(&mut order.queued, true)
    }

    /// Writes what is ready, by a task of its own when the socket is slow.
    pub(crate) fn flush(self: &Rc<Self>) {
        self.order.borrow_mut().queued = false;
        if self.order.borrow().writing {
            return;
        }
        match self.try_flush() {
            Flushed::All => {}
            Flushed::Closed => self.shut(),
            Flushed::Blocked => {
                self.order.borrow_mut().writing = true;
                let connection = Rc::clone(self);
                tokio::task::spawn_local(async move { connection.flush_slowly().await });
            }
        }
    }

    fn try_flush(&self) -> Flushed {
        if self.shared.health() == Health::Failed && !is(Planted::AnswersWhileFailed) {
            // An answer that has not left yet does not leave any more: the document is asked for again.
            return Flushed::Closed;
        }
        let mut order = self.order.borrow_mut();
        while let Some(rest @ [_, ..]) = order.out.get(order.written..) {
            match self.stream.try_write(rest) {
                Ok(0) => return Flushed::Closed,
                Ok(written) => order.written = order.written.saturating_add(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Closed,
            }
        }
        order.out.clear();
        order.written = 0;
        match self.stream.try_flush() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Blocked,
            Err(_) => return Flushed::Closed,
        }
        if order.closing { Flushed::Closed } else { Flushed::All }
    }

    /// Bytes that are still to be written.
    fn unwritten(&self) -> usize {
        let order = self.order.borrow();
        order.out.len().saturating_sub(order.written)
    }

    async fn flush_slowly(self: Rc<Self>) {
        let patience = Duration::from_micros(self.shared.limits().answer_timeout_us);
        // A socket that takes a byte now and then has its life for it, and not for ever.
        let last = self.ends + patience;
        let mut deadline = Instant::now() + patience;
        let mut left = self.unwritten();
        loop {
            let flushed = self.try_flush();
            self.room.notify_waiters();
            if self.unwritten() < left {
                // A slow link that takes something is no dead one.
                deadline = Instant::now() + patience;
            }
            left = self.unwritten();
            match flushed {
                Flushed::All => break,
                Flushed::Closed => {
                    self.shut();
                    break;
                }
                Flushed::Blocked => {
                    if timeout_at(deadline.min(last), self.stream.writable()).await.is_err() {
                        self.shared.tally.closed(Closed::Answer);
                        self.shut();
                        break;
                    }
                }
            }
        }
        self.order.borrow_mut().writing = false;
    }

    /// Is there nothing left that it waits for?
    pub(crate) fn is_done(&self) -> bool {
        let order = self.order.borrow();
        order.closing || order.replies.is_empty()
    }

    /// Writes what is left and ends the connection.
    pub(crate) async fn flush_last(self: Rc<Self>) {
        let slow = std::mem::replace(&mut self.order.borrow_mut().writing, true);
        if !slow {
            Rc::clone(&self).flush_slowly().await;
            self.shut();
        }
        // A task that writes already ends the connection itself: `closing` is looked at when all is out.
        self.order.borrow_mut().closing = true;
    }

    /// Ends the connection in both directions; the reading task sees the end and leaves.
    pub(crate) fn shut(&self) {
        self.order.borrow_mut().closing = true;
        self.stream.shutdown();
        // Its reading task may wait for room that nobody else makes on a quiet port.
        self.room.notify_waiters();
    }
}

/// What a connection has to bring next, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: Instant,
    why: Closed,
    /// When the body of the message began.
    body_from: Option<Instant>,
}

impl Due {
    fn first_byte(limits: &Limits, now: Instant) -> Self {
        let at = now + Duration::from_micros(limits.first_byte_timeout_us);
        Self { at, why: Closed::FirstByte, body_from: None }
    }

    fn idle(limits: &Limits, now: Instant) -> Self {
        let at = now + Duration::from_micros(limits.idle_timeout_us);
        Self { at, why: Closed::Idle, body_from: None }
    }

    /// So many bytes of a message are here, which has `begun` just now or before: a header has its time in all, a body
    /// has it once more and longer by what has come at the slowest rate, so that a slow link is served and a stalled
    /// one is not.
    fn message(self, limits: &Limits, now: Instant, begun: bool, len: usize) -> Self {
        let patience = Duration::from_micros(limits.header_timeout_us);
        let Some(body) = len.checked_sub(SESSION_HEADER_LEN) else {
            let at = if begun { now + patience } else { self.at };
            return Self { at, why: Closed::Header, body_from: None };
        };
        let from = self.body_from.filter(|_| !begun).unwrap_or(now);
        let body_us = u64::try_from(body).unwrap_or(u64::MAX).saturating_mul(1_000_000);
        let earned = Duration::from_micros(body_us.checked_div(limits.body_rate_min).unwrap_or_default());
        Self { at: from + patience + earned, why: Closed::Body, body_from: Some(from) }
    }
}

enum Flushed {
    All,
    Blocked,
    Closed,
}

/// Reads a connection until it ends. The caller forgets the connection afterwards.
pub(crate) async fn read(port: Rc<Port>, connection: Rc<Connection>) {
    // The beginning of a message whose end has not come yet; counted by the port while it lies here.
    let mut held = BytesMut::new();
    read_into(&port, &connection, &mut held).await;
    port.hold(-held_len(&held));
}

async fn read_into(port: &Rc<Port>, connection: &Rc<Connection>, held: &mut BytesMut) {
    let mut due = Due::first_byte(&port.shared().limits(), Instant::now());
    loop {
        while !connection.has_room() || !port.has_room() {
            if connection.is_closing() || port.is_draining() {
                return;
            }
            port.room().await;
        }
        // In this order, not by chance: the simulation repeats a run exactly.
        let readable = tokio::select! {
            biased;
            readable = timeout_at(due.at.min(connection.ends), connection.stream.readable()) => readable,
            () = port.drained() => return,
        };
        match readable {
            // Room may have gone while this one waited: thousands may have become readable at once.
            Ok(Ok(())) if !port.has_room() => continue,
            Ok(Ok(())) => {}
            Ok(Err(_)) => return connection.shut(),
            Err(_) if Instant::now() >= connection.ends => {}
            Err(_) if held.is_empty() && connection.unanswered() > 0 => {
                due = Due::idle(&port.shared().limits(), Instant::now());
                continue;
            }
            Err(_) => {
                port.shared().tally.closed(due.why);
                return connection.shut();
            }
        }
        if Instant::now() >= connection.ends {
            // What was asked is still answered; what comes now is asked again on another connection.
            return port.shared().tally.closed(Closed::Lifetime);
        }
        let came = match port.read_chunk(&connection.stream, READ_LEN) {
            Ok(came) => came,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(_) => return connection.shut(),
        };
        if came.is_empty() {
            // The other side may have closed its half only: what was asked is still answered.
            if connection.unanswered() == 0 {
                connection.shut();
            }
            return;
        }
        port.hold(-held_len(held));
        let was_held = !held.is_empty();
        let mut stream = if was_held {
            held.extend_from_slice(&came);
            held.split().freeze()
        } else {
            came
        };
        let before = stream.len();
        let goes_on = take_frames(port, connection, &mut stream);
        port.tell_counted();
        if !goes_on {
            return;
        }
        let now = Instant::now();
        if stream.is_empty() {
            due = Due::idle(&port.shared().limits(), now);
            continue;
        }
        let begun = !was_held || stream.len() < before;
        due = due.message(&port.shared().limits(), now, begun, stream.len());
        held.extend_from_slice(&stream);
        if !port.hold(held_len(held)) {
            port.shared().tally.closed(Closed::Memory);
            return connection.shut();
        }
    }
}

/// What the beginning of a message counts against the port's memory.
fn held_len(held: &BytesMut) -> isize {
    isize::try_from(held.len()).unwrap_or(isize::MAX)
}

/// Cuts the frames that are whole. False: it is not the protocol, nothing more is read.
fn take_frames(port: &Rc<Port>, connection: &Rc<Connection>, stream: &mut Bytes) -> bool {
    let arrival = port.arrival();
    loop {
        let message_len = match Frame::split(stream) {
            Ok(Some((message, _))) => message.len(),
            Ok(None) => return true,
            Err(error) => {
                port.shared().noise.note(stream, error);
                port.shared().tally.closed(Closed::Noise);
                port.shared().tally.unanswered(Unanswered::Noise);
                let back = connection.expect(port.number());
                port.deliver(back, Reply::Close);
                return false;
            }
        };
        let message = stream.slice(..message_len);
        stream.advance(message_len);
        let channel = message
            .first_chunk::<SESSION_HEADER_LEN>()
            .and_then(|head| SessionHeader::decode(head).ok())
            .map(|header| (header.channel(), header.drive));
        let back = connection.expect(port.number());
        match channel {
            Some((Channel::Operator, drive)) => {
                port.take(back, connection.peer, message, &drive, &arrival);
            }
            Some((Channel::Marking | Channel::Keys, _)) => port.relay(back, message),
            // Nobody has seen yet what a register expects to read.
            Some((Channel::Test, _)) => match &port.shared().options.test_ping {
                TestPing::Close => {
                    port.deliver(back, Reply::Close);
                    return false;
                }
                TestPing::Echo => port.deliver(back, Reply::Relayed(message)),
                TestPing::Reply(bytes) => port.deliver(back, Reply::Relayed(bytes.clone())),
            },
            None => {
                port.deliver(back, Reply::Close);
                return false;
            }
        }
    }
}
