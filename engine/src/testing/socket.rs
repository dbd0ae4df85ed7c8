//! A socket in memory. One end is a connection of the engine, the other the simulation's, which decides what a
//! network does: how many bytes a read brings, how many a write takes, who closes when.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use bytes::BufMut;
use tokio::sync::Notify;

#[derive(Default)]
struct Both {
    state: RefCell<State>,
    readable: Notify,
    writable: Notify,
}

struct State {
    /// On the way to the engine.
    inbound: VecDeque<u8>,
    /// Written by the engine.
    outbound: VecDeque<u8>,
    /// The same bytes, for an onlooker.
    seen: Vec<u8>,
    /// Bytes that the other end's buffers hold.
    window: usize,
    /// Bytes that one read or write moves at most.
    most: usize,
    /// The register sends nothing more.
    finished: bool,
    reset: bool,
    /// The engine has shut it down or let go of it.
    shut: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
            seen: Vec::new(),
            window: usize::MAX,
            most: usize::MAX,
            finished: false,
            reset: false,
            shut: false,
        }
    }
}

/// One end of a socket in memory; both ends are the same value.
#[derive(Clone, Default)]
pub struct Socket(Rc<Both>);

/// The register's end.
impl Socket {
    /// Bytes arrive at the engine.
    pub fn deliver(&self, bytes: &[u8]) {
        self.0.state.borrow_mut().inbound.extend(bytes);
        self.0.readable.notify_one();
    }

    /// The register closes its half.
    pub fn finish(&self) {
        self.0.state.borrow_mut().finished = true;
        self.0.readable.notify_one();
    }

    /// The connection breaks: bytes on the way are lost in both directions.
    pub fn reset(&self) {
        let mut state = self.0.state.borrow_mut();
        state.reset = true;
        state.inbound.clear();
        state.outbound.clear();
        drop(state);
        self.0.readable.notify_one();
        self.0.writable.notify_one();
    }

    /// Takes up to `most` bytes of what the engine has written.
    pub fn take(&self, most: usize) -> Vec<u8> {
        let mut state = self.0.state.borrow_mut();
        let many = state.outbound.len().min(most);
        let bytes = state.outbound.drain(..many).collect();
        drop(state);
        self.0.writable.notify_one();
        bytes
    }

    /// What the engine has written since the last look, whatever became of it on the way.
    pub fn observe(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.state.borrow_mut().seen)
    }

    /// Bytes that wait to be taken.
    pub fn written(&self) -> usize {
        self.0.state.borrow().outbound.len()
    }

    /// Bytes that the engine has not read yet.
    pub fn unread(&self) -> usize {
        self.0.state.borrow().inbound.len()
    }

    /// Bytes that wait to be taken before the engine has to wait, and bytes one read or write moves at most.
    pub fn narrow(&self, window: usize, most: usize) {
        let mut state = self.0.state.borrow_mut();
        (state.window, state.most) = (window, most.max(1));
        drop(state);
        self.0.writable.notify_one();
    }

    /// Has the engine ended it? What it wrote before can still be taken.
    pub fn is_shut(&self) -> bool {
        // The engine's end is gone when nobody else holds the socket.
        self.0.state.borrow().shut || Rc::strong_count(&self.0) == 1
    }
}

/// The engine's end.
impl Socket {
    pub(crate) async fn readable(&self) {
        let ready = || {
            let state = self.0.state.borrow();
            !state.inbound.is_empty() || state.finished || state.reset || state.shut
        };
        while !ready() {
            self.0.readable.notified().await;
        }
    }

    pub(crate) async fn writable(&self) {
        let ready = || {
            let state = self.0.state.borrow();
            state.outbound.len() < state.window || state.reset || state.shut
        };
        while !ready() {
            self.0.writable.notified().await;
        }
    }

    pub(crate) fn try_read(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut state = self.0.state.borrow_mut();
        if state.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if state.inbound.is_empty() {
            return if state.finished || state.shut { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let many = state.inbound.len().min(state.most).min(buffer.remaining_mut());
        state.inbound.drain(..many).for_each(|byte| buffer.put_u8(byte));
        Ok(many)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.borrow_mut();
        if state.reset || state.shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let many = state.window.saturating_sub(state.outbound.len()).min(state.most).min(bytes.len());
        if many == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.outbound.extend(bytes.iter().take(many));
        state.seen.extend(bytes.iter().take(many));
        Ok(many)
    }

    pub(crate) fn shut(&self) {
        self.0.state.borrow_mut().shut = true;
        self.0.readable.notify_one();
        self.0.writable.notify_one();
    }
}
