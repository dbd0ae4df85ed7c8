//! The log with its loop, for callers that have no loop of their own: imports, tools, benchmarks, tests.
//!
//! The engine's writer thread has its own loop over rings; it shows what to do between the steps. This one
//! blocks the caller until the disk has answered.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::disk::{Completion, DiskOp};
use crate::env::{DiskQueue, Env, Wake};
use crate::error::{Error, ErrorKind};
use crate::log::{Appended, Full, Log, LogState, Progress};
use crate::position::{Lsn, SegmentId};
use crate::record::NewRecord;

/// A log, its disk queue and the loop between them.
pub struct Driver {
    env: Arc<dyn Env>,
    // Dropped before the log: its threads may still write, and the log holds the directory's lock.
    queue: Box<dyn DiskQueue>,
    log: Log,
    bell: Arc<Bell>,
    ops: Vec<DiskOp>,
    completions: Vec<Completion>,
    sealed: Vec<SegmentId>,
}

/// Rung by the disk threads.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait(&self, at_most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(rung, at_most, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Longest sleep between two looks, should nobody ring.
const SLEEP_MAX: Duration = Duration::from_millis(100);

impl Driver {
    /// Drives a log that [`crate::recover`] has opened over the same environment.
    ///
    /// # Errors
    /// When the disk lanes cannot be started.
    pub fn new(env: Arc<dyn Env>, mut log: Log) -> Result<Self, Error> {
        let bell = Arc::new(Bell::default());
        let ringer = Arc::clone(&bell);
        let wake: Wake = Arc::new(move || ringer.ring());
        let queue = env.queue(Arc::clone(&wake))?;
        log.start_copies(&wake)?;
        Ok(Self { env, queue, log, bell, ops: Vec::new(), completions: Vec::new(), sealed: Vec::new() })
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes a record, waiting as long as the log is full. It is durable after [`Driver::commit`].
    ///
    /// # Errors
    /// `Fix` when it is too long, `Reopen` when the log has failed.
    pub fn append(&mut self, record: NewRecord<'_>) -> Result<Appended, Error> {
        loop {
            match self.log.append(self.env.now(), record) {
                Ok(appended) => return Ok(appended),
                Err(Full::Wait) => self.turn(|_| false)?,
                Err(full @ Full::TooLong) => return Err(Error::new(ErrorKind::Fix, full.to_string())),
                Err(full) => return Err(Error::new(ErrorKind::Reopen, full.to_string())),
            }
        }
    }

    /// Waits until everything appended is durable; tells the last durable LSN.
    ///
    /// # Errors
    /// `Reopen` when the log has failed.
    pub fn commit(&mut self) -> Result<Lsn, Error> {
        let last = self.log.next_lsn().prev();
        while self.log.durable() < last {
            self.turn(|log| log.durable() >= last)?;
        }
        Ok(self.log.durable())
    }

    /// Closes the open segment and waits until every record lies in a sealed one.
    ///
    /// # Errors
    /// `Reopen` when the log has failed.
    pub fn seal_all(&mut self) -> Result<Vec<SegmentId>, Error> {
        self.commit()?;
        self.log.seal();
        while self.log.has_unsealed() {
            self.turn(|log| !log.has_unsealed())?;
        }
        Ok(std::mem::take(&mut self.sealed))
    }

    /// Ends the log: everything durable and proven.
    ///
    /// # Errors
    /// `Reopen` when the log has failed.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.log.shutdown();
        while self.log.state() != LogState::Closed {
            self.turn(|log| log.state() == LogState::Closed)?;
        }
        Ok(())
    }

    /// One step; sleeps when it changed nothing and `done` does not hold.
    fn turn(&mut self, done: impl Fn(&Log) -> bool) -> Result<(), Error> {
        self.queue.poll(&mut self.completions);
        let news = !self.completions.is_empty();
        let now = self.env.now();
        let progress: Progress = self.log.step(now, &mut self.completions, &mut self.ops);
        self.sealed.extend(progress.sealed);
        if progress.state == LogState::Failed {
            return Err(self
                .log
                .take_error()
                .unwrap_or_else(|| Error::new(ErrorKind::Reopen, "the log has failed")));
        }
        let busy = news || !self.ops.is_empty();
        for op in self.ops.drain(..) {
            self.queue.submit(op);
        }
        if !busy && !done(&self.log) {
            let wake =
                progress.wake_at_mono_us.map(|at| Duration::from_micros(at.saturating_sub(now.mono_us)));
            self.bell.wait(wake.unwrap_or(SLEEP_MAX).min(SLEEP_MAX));
        }
        Ok(())
    }
}
