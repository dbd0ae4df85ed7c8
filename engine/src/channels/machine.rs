//! What channels take from the machine: a few threads that make deliveries which block, the time.
//!
//! The engine itself takes none of it here: a channel is the host's side of the seam, and no simulation runs through it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use crate::host::{Answering, DeliveryOutcome, answered};

type Job = Box<dyn FnOnce() + Send>;

/// Deliveries that may wait for a thread; what is more is tried again later.
const WAITING_MAX: usize = 256;

/// The threads. They end with it.
pub(super) struct Pool {
    jobs: Sender<Job>,
    threads: usize,
}

impl Pool {
    /// # Errors
    /// When the system has no more threads.
    #[cfg_attr(
        not(test),
        expect(clippy::disallowed_methods, reason = "a channel is the host's side of the seam")
    )]
    pub(super) fn new(name: &str, threads: usize) -> std::io::Result<Self> {
        let (jobs, work) = bounded::<Job>(WAITING_MAX);
        for number in 0..threads {
            let work = work.clone();
            // One that panics drops its answer, so that it is tried again, and takes no thread with it.
            let body = move || work.iter().for_each(|job| drop(catch_unwind(AssertUnwindSafe(job))));
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(body)?;
        }
        Ok(Self { jobs, threads })
    }

    /// How many there are: deliveries at once.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// What becomes of a delivery: tried again when there is no thread for it, or it panics.
    pub(super) fn run(
        &self,
        deliver: impl FnOnce() -> DeliveryOutcome + Send + 'static,
    ) -> Answering<DeliveryOutcome> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more: it took longer than a channel may.
            if !reply.is_closed() {
                let _ = reply.send(deliver());
            }
        });
        match self.jobs.try_send(job) {
            Ok(()) => Box::pin(async { answer.await.unwrap_or(DeliveryOutcome::Retry) }),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => answered(DeliveryOutcome::Retry),
        }
    }
}

/// A time that something may take.
#[cfg(feature = "smtp")]
pub(super) struct Patience {
    begun: std::time::Instant,
    whole: std::time::Duration,
}

#[cfg(feature = "smtp")]
impl Patience {
    #[cfg_attr(
        not(test),
        expect(clippy::disallowed_methods, reason = "a channel is the host's side of the seam")
    )]
    pub(super) fn of(whole: std::time::Duration) -> Self {
        Self { begun: std::time::Instant::now(), whole }
    }

    /// What is left of it.
    #[cfg_attr(
        not(test),
        expect(clippy::disallowed_methods, reason = "a channel is the host's side of the seam")
    )]
    pub(super) fn left(&self) -> Option<std::time::Duration> {
        self.whole.checked_sub(self.begun.elapsed()).filter(|it| !it.is_zero())
    }
}

/// Seconds since 1970.
#[cfg(feature = "webhook")]
#[cfg_attr(
    not(test),
    expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a channel is the host's side of the seam"
    )
)]
pub(super) fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| it.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
    use super::*;

    // A thread that is gone is missed by every delivery that comes behind, until nothing is delivered at all.
    #[test]
    fn a_delivery_that_panics_is_tried_again_and_takes_no_thread_with_it() {
        let pool = Pool::new("test", 1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let wait = |answer| {
            runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(20), answer).await })
        };
        assert_eq!(wait(pool.run(|| panic!("on purpose"))), Ok(DeliveryOutcome::Retry));
        assert_eq!(wait(pool.run(|| DeliveryOutcome::Delivered)), Ok(DeliveryOutcome::Delivered));
    }
}
