//! What the host gets for frames it submits in process: tickets that turn into answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ofd_storage::Position;

use crate::handover::Unanswered;

/// What became of a submitted frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable and answered.
    Answered {
        /// Where the document lies.
        position: Position,
        /// The code of 1022.
        code: u8,
        /// The session message for the register.
        message: Bytes,
    },
    /// Durable and not answered: an import brought it.
    Kept {
        /// Where the document lies.
        position: Position,
        /// False when it lay there before.
        fresh: bool,
    },
    /// There is no answer: the register keeps its document and returns.
    Unanswered(Unanswered),
}

#[derive(Debug)]
struct State {
    outcomes: Vec<Option<Outcome>>,
    open: usize,
    /// A thread sleeps until it is told: to tell nobody is a call to the system, too.
    sleeps: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Table {
    state: Mutex<State>,
    done: Condvar,
    /// Submissions of the host that are not settled yet, this one among them.
    inside: Arc<AtomicUsize>,
}

/// The place of a frame among the tickets of its submission.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) desk: Arc<Desk>,
    pub(crate) at: usize,
}

impl Ticket {
    pub(crate) fn settle(&self, outcome: Outcome) {
        self.desk.settle(self.at, outcome);
    }
}

/// Outcomes of one desk that are given to it together, under one lock.
#[derive(Default)]
pub(crate) struct Settling {
    desk: Option<Arc<Desk>>,
    outcomes: Vec<(usize, Outcome)>,
}

impl Settling {
    /// One more; what was kept for another desk is settled before, and `first` is done before that.
    pub(crate) fn push(&mut self, ticket: &Ticket, outcome: Outcome, first: impl FnOnce()) {
        if self.desk.as_ref().is_some_and(|desk| !Arc::ptr_eq(desk, &ticket.desk)) {
            first();
            self.settle();
        }
        self.desk.get_or_insert_with(|| Arc::clone(&ticket.desk));
        self.outcomes.push((ticket.at, outcome));
    }

    /// Settles what is kept.
    pub(crate) fn settle(&mut self) {
        if let Some(desk) = self.desk.take() {
            desk.table.settle(self.outcomes.drain(..));
        }
    }
}

/// The engine's end of a set of tickets. When the last hold on it goes, whatever is still open is settled as
/// unanswered: nobody waits for an engine that has ended.
#[derive(Debug)]
pub(crate) struct Desk {
    table: Arc<Table>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let state = self.table.state.lock().unwrap_or_else(PoisonError::into_inner);
        let places = if state.open == 0 { 0 } else { state.outcomes.len() };
        drop(state);
        self.table.settle((0..places).map(|at| (at, Outcome::Unanswered(Unanswered::Stopping))));
    }
}

impl Desk {
    pub(crate) fn settle(&self, at: usize, outcome: Outcome) {
        self.table.settle([(at, outcome)]);
    }
}

impl Table {
    fn settle(&self, outcomes: impl IntoIterator<Item = (usize, Outcome)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.open;
        for (at, outcome) in outcomes {
            if let Some(place @ None) = state.outcomes.get_mut(at) {
                *place = Some(outcome);
                state.open = state.open.saturating_sub(1);
            }
        }
        if state.open > 0 || before == 0 {
            return;
        }
        let (sleeps, waker) = (state.sleeps, state.waker.take());
        // Before anybody is told: who submits the next document at once is alone again.
        self.inside.fetch_sub(1, Ordering::Relaxed);
        // Not under the lock, which the woken would only wait for.
        drop(state);
        if sleeps {
            self.done.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Tickets of one `submit_batch`: a future of all outcomes, in the order of the frames. Dropping them does not
/// take the frames back.
#[derive(Debug)]
#[must_use = "without its outcome nobody may tell a register that its document is taken"]
pub struct Tickets {
    desk: Arc<Table>,
}

impl Tickets {
    /// Tickets for so many frames, the desk that settles them, and whether no other submission is `inside`.
    pub(crate) fn new(frames: usize, inside: &Arc<AtomicUsize>) -> (Self, Arc<Desk>, bool) {
        // One without frames is never settled and counts for nothing.
        let alone = frames > 0 && inside.fetch_add(1, Ordering::Relaxed) == 0;
        let state = State { outcomes: vec![None; frames], open: frames, sleeps: false, waker: None };
        let table =
            Arc::new(Table { state: Mutex::new(state), done: Condvar::new(), inside: Arc::clone(inside) });
        (Self { desk: Arc::clone(&table) }, Arc::new(Desk { table }), alone)
    }

    /// Waits on this thread for all outcomes.
    pub fn wait(self) -> Vec<Outcome> {
        let mut state = self.desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.open > 0 {
            state.sleeps = true;
            state = self.desk.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut state)
    }
}

fn take(state: &mut State) -> Vec<Outcome> {
    let outcomes = std::mem::take(&mut state.outcomes);
    outcomes.into_iter().map(|it| it.unwrap_or(Outcome::Unanswered(Unanswered::Stopping))).collect()
}

impl Future for Tickets {
    type Output = Vec<Outcome>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.desk.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open == 0 {
            return Poll::Ready(take(&mut state));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Frames of several submissions come back mixed: what is kept for one desk must not go to another, nor stay. What was counted is
    // told before any desk is given anything.
    #[test]
    fn every_desk_gets_its_own_outcomes() {
        let inside = Arc::default();
        let ((one, one_desk, _), (other, other_desk, _)) =
            (Tickets::new(2, &inside), Tickets::new(2, &inside));
        let outcome =
            |lsn| Outcome::Kept { position: Position::new(ofd_storage::Lsn::new(lsn)), fresh: true };
        let mut settling = Settling::default();
        let told = std::cell::RefCell::new(Vec::new());
        for (desk, at, lsn) in
            [(&one_desk, 1, 11), (&other_desk, 0, 20), (&other_desk, 1, 21), (&one_desk, 0, 10)]
        {
            let tell = || told.borrow_mut().push((lsn, inside.load(Ordering::Relaxed)));
            settling.push(&Ticket { desk: Arc::clone(desk), at }, outcome(lsn), tell);
        }
        assert_eq!(
            told.take(),
            [(20, 2), (10, 2)],
            "before which outcome, and how many submissions were inside"
        );
        assert_eq!(inside.load(Ordering::Relaxed), 1, "one is whole, of the other a frame is kept");
        settling.settle();
        assert_eq!(inside.load(Ordering::Relaxed), 0);
        assert_eq!(one.wait(), [outcome(10), outcome(11)]);
        assert_eq!(other.wait(), [outcome(20), outcome(21)]);
    }
}
