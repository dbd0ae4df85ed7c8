//! The seat of a worker: its own thread gives it its turns, and so may whoever has just brought it something.
//!
//! Waking a thread that sleeps takes some 25 µs, as long as a document keeps a worker busy ten times over. So the gate
//! (`gate.rs`), instead of ringing, takes the seat when it is free, gives the worker a turn on the caller's thread, and
//! rings only when something is left that the worker has to come back to.
//!
//! Invariants:
//! - one turn at a time: the lock is held for a turn and never while its thread sleeps;
//! - no wake is lost: the thread looks at the rings, under the lock, after it has said that it sleeps; who finds the seat
//!   taken rings (test: `handover.rs::a_ring_is_never_lost`, `tests/host.rs::documents_one_by_one_from_several_threads`);
//! - a panic in a turn, on whosever thread, stops the engine from answering, and the seat is empty ever after.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use crate::shared::{FailOnPanic, Shared, Turn};
use crate::worker::Worker;

/// A worker, or nobody once it has ended.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    number: u16,
    worker: Mutex<Option<Worker>>,
}

impl Seat {
    pub(crate) fn new(shared: Arc<Shared>, worker: Worker) -> Self {
        Self { shared, number: worker.number(), worker: Mutex::new(Some(worker)) }
    }

    /// Gives the worker its turns until it has ended. The thread of the worker.
    pub(crate) fn run(&self) {
        let bell = self.shared.worker_bell(self.number);
        bell.is_mine();
        self.shared.goes_first();
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle => {
                    let patience = self.look(Worker::patience).unwrap_or(Duration::ZERO);
                    bell.sleep(patience, || self.look(Worker::is_idle).unwrap_or(false));
                }
                Turn::Ended => return,
            }
        }
    }

    /// A turn of the worker.
    pub(crate) fn turn(&self) -> Turn {
        self.worker.lock().map_or(Turn::Ended, |held| Held(held).turn())
    }

    /// A turn of the worker on the thread of whoever has brought it something; when somebody else is at it, or when
    /// something is left, its own thread is rung.
    pub(crate) fn help(&self) {
        let _guard = FailOnPanic(Arc::clone(&self.shared));
        let done = match self.worker.try_lock() {
            Ok(held) => {
                let mut held = Held(held);
                held.turn() == Turn::Ended || held.0.as_ref().is_some_and(|it| it.is_idle() && !it.waits())
            }
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        };
        if !done {
            self.shared.worker_bell(self.number).ring();
        }
    }

    /// Looks at the worker, if it is still there.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Worker) -> T) -> Option<T> {
        self.worker.lock().ok()?.as_ref().map(look)
    }
}

/// The seat while somebody has it.
struct Held<'s>(MutexGuard<'s, Option<Worker>>);

impl Held<'_> {
    fn turn(&mut self) -> Turn {
        let turned = self.0.as_mut().map_or(Turn::Ended, Worker::turn);
        if turned == Turn::Ended {
            // Its ends of the rings go with it: who waits for it sees that.
            *self.0 = None;
        }
        turned
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0 = None;
        }
    }
}
