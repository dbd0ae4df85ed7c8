//! A program of the host in the same process: it submits what registers have not been answered about yet, one document at a
//! time or several, and so takes the gate as well as the ports. To the registers it is a twin that sends the same.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ofd_engine::{Outcome, Tickets};

use super::*;

/// Submissions that wait at once: some find the gate open, some have to go by a port.
const WAITING_MAX: usize = 3;

/// The program, with chance of its own, so that worlds without it are what they were.
pub(super) struct Submitter {
    rng: Rng,
    /// One in so many turns it submits something; 0: there is no such program.
    one_in: u64,
    waiting: Vec<(usize, Tickets)>,
}

impl Submitter {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed ^ 0x5B_317);
        let one_in = if rng.one_in(2) { rng.pick(&[16, 64, 400]) } else { 0 };
        Self { rng, one_in, waiting: Vec::new() }
    }

    /// The process is gone, and its tickets.
    pub(super) fn crash(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl World<'_> {
    /// It may submit what some register sends next.
    pub(super) fn submit(&mut self) -> bool {
        let Self { submitter: Submitter { rng, one_in, waiting }, machine, senders, oracle, .. } = self;
        let Some(machine) = machine.as_ref().filter(|_| *one_in > 0 && waiting.len() < WAITING_MAX) else {
            return false;
        };
        // One that ends or has failed would keep what nobody takes any more until it is dropped.
        let takes = !matches!(machine.engine().health(), Health::Draining | Health::Failed);
        if self.faults_off || !takes || senders.is_empty() || !rng.one_in(*one_in) {
            return false;
        }
        let sender = &senders[rng.below(senders.len() as u64) as usize];
        let till = &sender.tills[rng.below(sender.tills.len() as u64) as usize];
        let Some(&doc) = till.backlog.front() else { return false };
        if oracle.docs[doc].answered.is_some() && !rng.one_in(8) {
            // It knows that, mostly.
            return false;
        }
        oracle.sent(doc);
        let message = Bytes::copy_from_slice(&oracle.docs[doc].messages[0]);
        let Ok(tickets) = machine.engine().submit_batch(vec![message]) else { return false };
        waiting.push((doc, tickets));
        true
    }

    /// What was settled is looked at before the next turn of anybody. `failed`: the engine had failed before this turn.
    pub(super) fn see_settled(&mut self, failed: bool) -> Result<bool, Broken> {
        let Self { submitter, oracle, .. } = self;
        let mut worked = false;
        let mut broken = Ok(());
        submitter.waiting.retain_mut(|(doc, tickets)| {
            let Poll::Ready(outcomes) = Pin::new(tickets).poll(&mut Context::from_waker(Waker::noop()))
            else {
                return true;
            };
            worked = true;
            for outcome in outcomes {
                if let (Ok(()), Outcome::Answered { message, .. }) = (&broken, outcome) {
                    broken = if failed {
                        Err("I14: a host is answered by an engine that has failed".into())
                    } else {
                        oracle.answer(*doc, &message)
                    };
                }
            }
            false
        });
        broken.map(|()| worked)
    }
}
