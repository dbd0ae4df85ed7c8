//! What passes between the threads: frames in batches, over single-producer rings, and a doorbell for who
//! sleeps.
//!
//! ```text
//! port ──Batch──▶ worker ──Batch──▶ writer ──Batch──▶ port          (rtrb rings, one a pair of threads)
//!                   ▲──────Landed────┘                               (where the documents came to lie)
//! ```
//!
//! A batch is owned by one thread at a time and comes back to the port it left. The vector of its slots goes to whoever
//! fills the next one: after warm-up none is allocated (test: `tests/allocations.rs`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use ofd_codec::DriveNumber;
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Realm};
use ofd_storage::{Location, Lsn, RecordKind};

use crate::import::Original;
use crate::tickets::Ticket;

/// Most frames that travel as one batch.
pub(crate) const BATCH_FRAMES_MAX: usize = 64;

/// How much may wait where: a full queue stops what feeds it, down to the reading of sockets. The product has one
/// set of bounds, the default; the simulation makes them small, so that every queue fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Batches that fit into one ring.
    pub(crate) ring_batches: usize,
    /// Frames of one port inside the engine.
    pub(crate) inside: usize,
    /// Documents of one worker that may be on their way to the log. Frames are taken while half of it is free:
    /// the other half is for what the crypto module gives back at once.
    pub(crate) on_their_way: usize,
    /// Batches of a worker that may wait for the writer before no more are taken.
    pub(crate) backlog: usize,
    /// Calls that one worker has open at the crypto module at once.
    pub(crate) opening_calls: usize,
    /// Frames in one of them.
    pub(crate) opening_frames: usize,
    /// Frames that may wait for one of them.
    pub(crate) opening_waiting: usize,
    /// Calls for answers that a port has open at the crypto module.
    pub(crate) confirm_calls: usize,
    /// Answers in one of them.
    pub(crate) confirm_answers: usize,
    /// Frames of one connection that may wait for their answers before no more are read.
    pub(crate) unanswered: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            ring_batches: 1_024,
            inside: 16_384,
            on_their_way: 65_536,
            backlog: 64,
            opening_calls: 16,
            opening_frames: 512,
            opening_waiting: 8_192,
            confirm_calls: 16,
            confirm_answers: 512,
            unanswered: 256,
        }
    }
}

/// Who sent a frame, IPv4 mapped into IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
}

/// Where the answer belongs.
#[derive(Clone, Debug)]
pub(crate) enum Back {
    /// A connection.
    Connection(ReturnTo),
    /// The host, by way of the entrance that its frame took: a port, or the gate behind them.
    Host { port: u16, ticket: Ticket },
}

impl Back {
    /// The port that it returns to.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Connection(back) => back.port,
            Self::Host { port, .. } => *port,
        }
    }
}

/// A connection of a port and the order within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReturnTo {
    pub(crate) port: u16,
    pub(crate) connection: u32,
    pub(crate) generation: u32,
    pub(crate) sequence: u64,
}

/// Why a frame is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unanswered {
    /// Not the protocol, a wrong length or a wrong CRC: line noise (rules A1 to A3).
    Noise,
    /// Whole and opened, but it does not fit together (rules A4, A5, A7): kept in quarantine.
    Quarantined,
    /// The crypto module cannot say now, or has no key for the drive.
    CryptoUnavailable,
    /// The host defers.
    Deferred,
    /// It waited too long for its turn.
    Overloaded,
    /// The disk failed: nothing is accepted any more.
    StorageFailed,
    /// The engine is stopping.
    Stopping,
    /// So many different documents stand under one number of one drive that another one is no document.
    TooManyVariants,
    /// Its drive has too many documents that are not answered yet.
    TooManyOfOneDrive,
}

impl Unanswered {
    /// Every reason, in the order of their numbers.
    pub(crate) const ALL: [Self; 9] = [
        Self::Noise,
        Self::Quarantined,
        Self::CryptoUnavailable,
        Self::Deferred,
        Self::Overloaded,
        Self::StorageFailed,
        Self::Stopping,
        Self::TooManyVariants,
        Self::TooManyOfOneDrive,
    ];

    /// Its name, as in logs and labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Quarantined => "quarantined",
            Self::CryptoUnavailable => "crypto-unavailable",
            Self::Deferred => "deferred",
            Self::Overloaded => "overloaded",
            Self::StorageFailed => "storage-failed",
            Self::Stopping => "stopping",
            Self::TooManyVariants => "too-many-variants",
            Self::TooManyOfOneDrive => "too-many-of-one-drive",
        }
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A document about to be appended: the facts of its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) kind: RecordKind,
    pub(crate) partition: u16,
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) form: u8,
    pub(crate) variant: u8,
    pub(crate) realm: Realm,
    pub(crate) crypto: CryptoVerdict,
    pub(crate) admission: AdmissionVerdict,
    pub(crate) reason: u16,
    /// Code of 1022; `None`: kept, never answered.
    pub(crate) code: Option<u8>,
    /// The deciphered document; `None`: it lies in the container or could not be read.
    pub(crate) plain: Plain,
    pub(crate) detail: Option<Box<str>>,
    /// P-version of the message, which the answer repeats.
    pub(crate) p_version: [u8; 2],
    /// Worker that waits to hear where it landed.
    pub(crate) worker: u16,
}

/// Where the plain document of a frame is.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    /// There is none: it could not be opened.
    None,
    /// The body of the container.
    Body,
    /// Deciphered by the crypto module.
    Opened(Bytes),
}

/// A frame whose fate is decided and stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) lsn: Lsn,
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) code: Option<u8>,
    pub(crate) operator_time: u32,
    /// As the message has it: by the time of its answer the message itself has left the cache.
    pub(crate) p_version: [u8; 2],
    /// False when the document was known already.
    pub(crate) fresh: bool,
}

/// What is known of a frame so far. It only moves downwards.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Undecided,
    Store(Store),
    Settled(Settled),
    Close(Unanswered),
}

/// One frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) back: Back,
    pub(crate) peer: Peer,
    /// The session message, whole.
    pub(crate) message: Bytes,
    /// What an import knows beside it.
    pub(crate) original: Option<Box<Original>>,
    /// When it came, monotonic microseconds.
    pub(crate) arrived_us: u64,
    /// The partition of the drive that its header names, which leads to its worker.
    pub(crate) partition: u16,
    pub(crate) verdict: Verdict,
}

/// Frames that travel together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The port it left and returns to.
    pub(crate) port: u16,
    pub(crate) slots: Vec<Slot>,
    /// The watermark that covers every slot; set by the writer.
    pub(crate) due: Lsn,
}

/// Empty vectors that are kept: more batches than that are hardly ever on their way at once.
const VECTORS_MAX: usize = 256;

/// Vectors of slots, emptied by one thread and filled by another.
pub(crate) struct Vectors {
    give: Sender<Vec<Slot>>,
    take: Receiver<Vec<Slot>>,
}

impl Default for Vectors {
    fn default() -> Self {
        let (give, take) = bounded(VECTORS_MAX);
        Self { give, take }
    }
}

impl Vectors {
    /// One with room for a batch.
    pub(crate) fn take(&self) -> Vec<Slot> {
        self.take.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_FRAMES_MAX))
    }

    /// One whose slots have gone.
    pub(crate) fn give(&self, mut vector: Vec<Slot>) {
        vector.clear();
        if vector.capacity() >= BATCH_FRAMES_MAX {
            // Where there are enough, it goes.
            let _ = self.give.try_send(vector);
        }
    }
}

impl Batch {
    /// An empty one of this port.
    pub(crate) fn new(port: u16, slots: Vec<Slot>) -> Self {
        Self { port, slots, due: Lsn::NONE }
    }

    /// Is there no room for one more?
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= BATCH_FRAMES_MAX
    }
}

/// The writer's word to a worker about one of its documents, in the order they were handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landed {
    /// `None`: it was not taken.
    pub(crate) place: Option<(Lsn, Location)>,
    pub(crate) operator_time: u32,
}

/// Wakes a thread that has gone to sleep; costs one fence while it is awake.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Doorbell {
    /// Called once by the thread that will sleep.
    pub(crate) fn is_mine(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Wakes the sleeper, if it sleeps.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `sleep`: either the sleeper sees what was pushed before this call, or this
        // call sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until rung or `timeout`, unless `idle` finds work at the last look.
    pub(crate) fn sleep(&self, timeout: Duration, idle: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if idle() {
            std::thread::park_timeout(timeout);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A lost wake would leave a register waiting: ping-pong until one would have shown.
    #[test]
    fn a_ring_is_never_lost() {
        const ROUNDS: u64 = 20_000;
        let bell = Arc::new(Doorbell::default());
        let sent = Arc::new(AtomicU64::new(0));
        let seen = Arc::new(AtomicU64::new(0));
        let sleeper = {
            let (bell, sent, seen) = (Arc::clone(&bell), Arc::clone(&sent), Arc::clone(&seen));
            std::thread::spawn(move || {
                bell.is_mine();
                let mut got = 0;
                while got < ROUNDS {
                    let now = sent.load(Ordering::Acquire);
                    if now == got {
                        bell.sleep(Duration::from_secs(20), || sent.load(Ordering::Acquire) == got);
                    }
                    got = now.max(got);
                    seen.store(got, Ordering::Release);
                }
            })
        };
        let started = std::time::Instant::now();
        for round in 1..=ROUNDS {
            sent.store(round, Ordering::Release);
            bell.ring();
            while seen.load(Ordering::Acquire) < round {
                std::thread::yield_now();
                assert!(started.elapsed() < Duration::from_secs(18), "a ring was lost in round {round}");
            }
        }
        assert!(sleeper.join().is_ok());
    }
}
