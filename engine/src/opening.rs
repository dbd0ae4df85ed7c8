//! Frames at the crypto module: gathered into batches, several calls open at once, given back in the order
//! they came. A module milliseconds away thus costs latency and not throughput.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use ofd_codec::{Frame, SESSION_HEADER_LEN};

use crate::handover::Slot;
use crate::host::{Answering, OpenOutcome, OpenRequest};
use crate::shared::Shared;

struct Ring(Arc<Shared>, u16);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.worker_bell(self.1).ring();
    }
}

enum State {
    Open { answer: Answering<Vec<OpenOutcome>>, deadline_us: u64 },
    Answered(std::vec::IntoIter<OpenOutcome>),
}

struct Call {
    slots: VecDeque<Slot>,
    state: State,
}

/// The calls of one worker.
pub(crate) struct Openings {
    shared: Arc<Shared>,
    waker: Waker,
    waiting: VecDeque<(Slot, OpenRequest)>,
    calls: VecDeque<Call>,
}

impl Openings {
    pub(crate) fn new(shared: &Arc<Shared>, worker: u16) -> Self {
        Self {
            shared: Arc::clone(shared),
            waker: Waker::from(Arc::new(Ring(Arc::clone(shared), worker))),
            waiting: VecDeque::new(),
            calls: VecDeque::new(),
        }
    }

    /// Frames inside.
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.calls.iter().fold(self.waiting.len(), |sum, call| sum.saturating_add(call.slots.len()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.calls.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.shared.options.caps.opening_waiting
    }

    /// Takes a frame; gives it back when it is line noise, which no key can open.
    #[expect(clippy::result_large_err, reason = "the frame itself is given back")]
    pub(crate) fn push(&mut self, slot: Slot) -> Result<(), Slot> {
        let request = match Frame::new_checked(&slot.message) {
            Ok(frame) => match frame.header().drive_number() {
                Ok(drive) => OpenRequest {
                    drive,
                    session: *frame.header(),
                    container: slot.message.slice(SESSION_HEADER_LEN..),
                },
                Err(_) => return Err(slot),
            },
            Err(error) => {
                self.shared.noise.note(&slot.message, error);
                return Err(slot);
            }
        };
        self.waiting.push_back((slot, request));
        Ok(())
    }

    /// Opens calls for what waits and asks the open ones.
    pub(crate) fn poll(&mut self, now_us: u64) {
        self.call(now_us);
        let mut context = Context::from_waker(&self.waker);
        for call in &mut self.calls {
            if let State::Open { answer, deadline_us } = &mut call.state {
                match answer.as_mut().poll(&mut context) {
                    Poll::Ready(outcomes) => call.state = State::Answered(outcomes.into_iter()),
                    Poll::Pending if now_us >= *deadline_us => {
                        tracing::warn!("alarm: the crypto module let a call time out");
                        call.state = State::Answered(Vec::new().into_iter());
                    }
                    Poll::Pending => {}
                }
            }
        }
    }

    /// The next opened frame, in the order they came. `None`: nothing is ready.
    pub(crate) fn next(&mut self) -> Option<(Slot, OpenOutcome)> {
        while let Some(call) = self.calls.front_mut() {
            let State::Answered(outcomes) = &mut call.state else { return None };
            if let Some(slot) = call.slots.pop_front() {
                return Some((slot, outcomes.next().unwrap_or(OpenOutcome::Unavailable)));
            }
            self.calls.pop_front();
        }
        None
    }

    /// Opens calls for what waits.
    fn call(&mut self, now_us: u64) {
        while !self.waiting.is_empty() && self.calls.len() < self.shared.options.caps.opening_calls {
            if self.waiting.front().is_some_and(|(slot, _)| self.shared.is_late(slot.arrived_us)) {
                // Too late to be stored whatever the module says: it is spared the work.
                let late = self.waiting.pop_front().map(|(slot, _)| slot);
                let state = State::Answered(Vec::new().into_iter());
                self.calls.push_back(Call { slots: late.into_iter().collect(), state });
                continue;
            }
            let many = self.waiting.len().min(self.shared.options.caps.opening_frames);
            let (slots, requests): (VecDeque<_>, Vec<_>) = self.waiting.drain(..many).unzip();
            let answer = self.shared.host.crypto.open(requests);
            let deadline_us = now_us.saturating_add(self.shared.options.crypto_timeout_us);
            self.calls.push_back(Call { slots, state: State::Open { answer, deadline_us } });
        }
    }
}
