//! The short way of one document of the host: from the caller's own thread through its worker to the writer, and from the
//! writer straight back.
//!
//! ```text
//! the gate   caller ═ worker ──▶ writer ──▶ caller                        2 threads are woken
//! the ports  caller ──▶ port ──▶ worker ──▶ writer ──▶ port ──▶ caller    5
//! ```
//!
//! A wake costs some 25 µs beside a sync of 110, so on the long way half the time of a lonely document was wakes. The gate
//! is open for a submission of one frame while the host has none other inside, and no crypto module has to be asked. With
//! more in flight wakes are shared, and ports and workers have cores of their own: there the long way carries more.
//! Nothing overtakes, since whoever is inside is alone.
//!
//! Invariants:
//! - what the gate has taken is answered or given up, also when the engine ends: it is shut before the first thread is told
//!   to end, and what nobody takes any more drops its ticket (test: `tests/host.rs::a_lonely_document_and_the_end`);
//! - a ticket is settled only behind the watermark, with the same proof as an answer of a port.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ofd_storage::Lsn;
use rtrb::Producer;

use crate::answers::{Answers, prove};
use crate::confirmation::Sealed;
use crate::handover::{Back, Batch, Peer, Slot, Unanswered, Verdict};
use crate::host::ConfirmSigns;
use crate::partition::partition_of;
use crate::planted::{Planted, is};
use crate::seat::Seat;
use crate::shared::{Health, Shared};
use crate::tickets::{Desk, Outcome, Ticket};

/// The way in.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    /// Behind the numbers of the ports.
    number: u16,
    /// A ring to each worker; none once it is shut.
    rings: Mutex<Vec<Producer<Batch>>>,
    seats: Vec<Arc<Seat>>,
    /// Submissions of the host that are not settled.
    pub(crate) inside: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn new(
        shared: Arc<Shared>,
        number: u16,
        rings: Vec<Producer<Batch>>,
        seats: Vec<Arc<Seat>>,
    ) -> Self {
        Self { shared, number, rings: Mutex::new(rings), seats, inside: Arc::default() }
    }

    /// Takes a frame of a host that has nothing else inside. `Some`: it has to go the long way.
    pub(crate) fn take(&self, message: Bytes, desk: &Arc<Desk>) -> Option<Bytes> {
        let ready = matches!(self.shared.health(), Health::Ready | Health::Degraded);
        if !ready || !self.shared.host.crypto.passes_through() {
            return Some(message);
        }
        let Some(drive) = message.get(8..24).and_then(|it| it.first_chunk::<16>()) else {
            return Some(message);
        };
        let partition = partition_of(drive);
        let worker = usize::from(partition).checked_rem(self.seats.len()).unwrap_or_default();
        let Some(seat) = self.seats.get(worker) else { return Some(message) };
        {
            let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(ring) = rings.get_mut(worker).filter(|ring| !ring.is_full()) else {
                return Some(message);
            };
            let ticket = Ticket { desk: Arc::clone(desk), at: 0 };
            let mut batch = Batch::new(self.number, self.shared.vectors.take());
            batch.slots.push(Slot {
                back: Back::Host { port: self.number, ticket },
                peer: Peer::default(),
                message,
                original: None,
                arrived_us: self.shared.now().mono_us,
                partition,
                verdict: Verdict::Undecided,
            });
            if ring.push(batch).is_err() {
                // Nobody else pushes, and it was not full. Should that ever change, the ticket says that we are stopping.
                return None;
            }
        }
        self.shared.counters.frames.fetch_add(1, Ordering::Relaxed);
        seat.help();
        None
    }

    /// Takes nothing more. What is inside is still answered.
    pub(crate) fn shut(&self) {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The way back, on the writer's side.
pub(crate) struct Exit {
    /// Appended and not known to be durable, in order.
    waiting: VecDeque<Batch>,
    answers: Answers,
}

impl Exit {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), answers: Answers::new() }
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        self.waiting.push_back(batch);
    }

    /// Settles what the watermark has passed. True: there was something.
    pub(crate) fn settle(&mut self, shared: &Shared, durable: Lsn) -> bool {
        let mut settled = false;
        let failed = shared.health() == Health::Failed;
        let ready = |batch: &mut Batch| batch.due <= durable || failed || is(Planted::AnswersAtAppend);
        while let Some(mut batch) = self.waiting.pop_front_if(ready) {
            settled = true;
            let now_us = shared.now().mono_us;
            for slot in batch.slots.drain(..) {
                shared.tally.through(now_us.saturating_sub(slot.arrived_us), 1);
                let outcome = self.outcome(shared, &slot);
                let counter = match &outcome {
                    Outcome::Unanswered(_) => &shared.counters.unanswered,
                    // Imports do not come this way.
                    Outcome::Answered { .. } | Outcome::Kept { .. } => &shared.counters.answered,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if let Back::Host { ticket, .. } = &slot.back {
                    if let Outcome::Unanswered(why) = &outcome {
                        shared.tally.unanswered(*why);
                    }
                    ticket.settle(outcome);
                }
            }
            shared.vectors.give(batch.slots);
        }
        settled
    }

    fn outcome(&mut self, shared: &Shared, slot: &Slot) -> Outcome {
        match prove(shared, slot) {
            // Durable or not: an engine that has failed says nothing any more.
            Ok(_) if shared.health() == Health::Failed && !is(Planted::AnswersWhileFailed) => {
                Outcome::Unanswered(Unanswered::StorageFailed)
            }
            Ok((durable, answer)) => {
                self.answers.outcome(shared, Sealed::new(durable, answer, ConfirmSigns::STAND_IN))
            }
            Err(why) => Outcome::Unanswered(why),
        }
    }
}
