//! What all threads of one engine see. Nothing here is written on the path of a document but counters.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use crossbeam_utils::CachePadded;
use ofd_storage::{Durable as Watermark, Env, Index, IndexEntry, LogReader, Lsn, Now, SideEntry, SideIndex};

use crate::builder::{Host, Options};
use crate::handover::{Doorbell, Vectors};
use crate::limits::Limits;
use crate::live::Book;
use crate::metering::Tally;
use crate::noise::Noise;
use crate::pace::{Cores, Follower};
use crate::refusal::RefusalGuard;
use crate::tax::leg::Ledger;
use crate::turnstile::Turnstile;

/// How the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Accepting.
    Ready,
    /// Accepting, on **one copy less** than was asked for: the mirror has failed, and the engine was told to go on
    /// without it (`mirror_failure = "degrade"`). The next start brings the mirror up to date.
    Degraded,
    /// Deferring: the disk is full, and what was reserved is used up, or an operator said so ([`crate::DoorCommand`]). Frames are dropped unanswered and their
    /// connections closed, as under overload, so that the registers keep their documents. It accepts again by
    /// itself when space returns.
    Deferring,
    /// Taking nothing new, finishing what is inside.
    Draining,
    /// The disk failed twice, or a thread died: nothing is accepted and nothing answered any more.
    Failed,
}

/// How far the end of the engine has come. Each stage ends the threads of one kind, in the order of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    PortsEnd,
    WorkersEnd,
    WriterEnds,
}

/// What a turn of a worker or of the writer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was done: there may be more.
    Worked,
    /// There was nothing to do.
    Idle,
    /// Told to end, and has ended.
    Ended,
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: CachePadded<AtomicU64>,
    pub(crate) frames: CachePadded<AtomicU64>,
    pub(crate) stored: CachePadded<AtomicU64>,
    pub(crate) known: CachePadded<AtomicU64>,
    pub(crate) answered: CachePadded<AtomicU64>,
    pub(crate) unanswered: CachePadded<AtomicU64>,
    pub(crate) scrubbed: CachePadded<AtomicU64>,
    pub(crate) scrub_damaged: CachePadded<AtomicU64>,
    pub(crate) scrub_passes: CachePadded<AtomicU64>,
    /// Rests of those who follow the log.
    pub(crate) rested_us: [AtomicU64; Follower::NAMES.len()],
}

/// The documents of one worker that no index file holds yet, for all who search.
///
/// The worker adds to it in batches and holds the lock for these alone; a search holds it for one look-up.
struct Recent {
    index: Mutex<Index>,
    /// The last LSN that the writer has told the worker of.
    told: CachePadded<AtomicU64>,
    /// The last LSN that the worker has put into the index.
    heard: CachePadded<AtomicU64>,
    /// The worker has something that waits for the writer's word.
    waits: CachePadded<AtomicBool>,
}

impl Recent {
    fn new(index: Index) -> Self {
        Self {
            index: Mutex::new(index),
            told: CachePadded::default(),
            heard: CachePadded::default(),
            waits: CachePadded::default(),
        }
    }
}

/// Held by whoever runs a part: its panic stops the engine from answering, since a broken invariant confirms nothing.
pub(crate) struct FailOnPanic(pub(crate) Arc<Shared>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_health(Health::Failed);
            self.0.writer_bell.ring();
        }
    }
}

/// The common ground of one engine.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) host: Host,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) watermark: Watermark,
    pub(crate) reader: LogReader,
    /// The manifest of the archive, once somebody had to look into it.
    #[cfg(feature = "parquet")]
    pub(crate) archive: Mutex<Option<Arc<ofd_storage::manifest::Archive>>>,
    pub(crate) counters: Counters,
    pub(crate) vectors: Vectors,
    pub(crate) tally: Tally,
    limits: ArcSwap<Limits>,
    pub(crate) turnstile: Turnstile,
    pub(crate) noise: Noise,
    /// One guard for all workers; locked only where rules to refuse by are listed.
    pub(crate) refusals: Mutex<RefusalGuard>,
    pub(crate) writer_bell: Doorbell,
    pub(crate) worker_bells: Vec<Doorbell>,
    pub(crate) keeper_bell: Doorbell,
    pub(crate) live_bell: Doorbell,
    /// Whether those who follow the log give way.
    pub(crate) cores: Cores,
    pub(crate) tax_bell: Doorbell,
    /// What the tax service has still to get and what it said; empty without a leg.
    pub(crate) tax: Ledger,
    /// The registers, behind the watermark.
    pub(crate) book: Arc<Book>,
    /// Documents of sealed segments.
    pub(crate) sides: Arc<SideIndex>,
    /// By worker, what it knows of documents behind them.
    recent: Vec<Recent>,
    health: AtomicU8,
    deferring: AtomicBool,
    /// An operator has told the door to defer.
    pub(crate) held: AtomicBool,
    /// An operator has asked the process to end well.
    pub(crate) drain_asked: AtomicBool,
    /// The registers are to be folded anew.
    pub(crate) rebuild_registers: AtomicBool,
    /// The outbox of the tax service is.
    pub(crate) rebuild_tax: AtomicBool,
    degraded: AtomicBool,
    stage: AtomicU8,
    advanced: Mutex<()>,
    advance: Condvar,
    waiting: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        host: Host,
        env: Arc<dyn Env>,
        watermark: Watermark,
        reader: LogReader,
        sides: Arc<SideIndex>,
        recent: Vec<Index>,
    ) -> Self {
        Self {
            worker_bells: (0..options.workers).map(|_| Doorbell::default()).collect(),
            keeper_bell: Doorbell::default(),
            live_bell: Doorbell::default(),
            cores: Cores::default(),
            tax_bell: Doorbell::default(),
            tax: Ledger::default(),
            book: Arc::new(Book::new()),
            sides,
            recent: recent.into_iter().map(Recent::new).collect(),
            noise: Noise::default(),
            tally: Tally::default(),
            turnstile: Turnstile::default(),
            limits: ArcSwap::from_pointee(options.limits.clone()),
            options,
            host,
            env,
            watermark,
            reader,
            #[cfg(feature = "parquet")]
            archive: Mutex::default(),
            counters: Counters::default(),
            vectors: Vectors::default(),
            writer_bell: Doorbell::default(),
            health: AtomicU8::new(Health::Ready as u8),
            deferring: AtomicBool::new(false),
            held: AtomicBool::new(false),
            drain_asked: AtomicBool::new(false),
            rebuild_registers: AtomicBool::new(false),
            rebuild_tax: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            stage: AtomicU8::new(Stage::Running as u8),
            refusals: Mutex::default(),
            advanced: Mutex::new(()),
            advance: Condvar::new(),
            waiting: AtomicU64::new(0),
        }
    }

    /// From a thread of the door: those who follow the log give way to it.
    pub(crate) fn goes_first(&self) {
        self.cores.add_to_door(self.env.core_clock());
    }

    pub(crate) fn now(&self) -> Now {
        self.env.now()
    }

    /// Deadlines and caps as they are now. Not to be held while a task waits: a new set would not be seen.
    pub(crate) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Has a frame that came at `arrived_us` waited too long to be stored?
    pub(crate) fn is_late(&self, arrived_us: u64) -> bool {
        self.now().mono_us.saturating_sub(arrived_us) > self.options.append_deadline_us
    }

    /// The doorbell of a worker.
    ///
    /// # Panics
    /// When there is no such worker.
    #[expect(clippy::indexing_slicing, reason = "worker numbers come from the same options as the bells")]
    pub(crate) fn worker_bell(&self, worker: u16) -> &Doorbell {
        &self.worker_bells[usize::from(worker)]
    }

    /// The recent documents of a worker, to add to.
    pub(crate) fn recent(&self, worker: u16) -> Option<MutexGuard<'_, Index>> {
        let recent = self.recent.get(usize::from(worker))?;
        Some(recent.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer tells a worker of a record. Before the watermark covers it.
    pub(crate) fn told(&self, worker: usize, lsn: Lsn) {
        if let Some(recent) = self.recent.get(worker) {
            // Pairs with the load in `has_heard`, which comes behind a load of the watermark.
            recent.told.store(lsn.get(), Ordering::Release);
        }
    }

    /// A worker has put what it was told of into its recent documents.
    pub(crate) fn heard(&self, worker: u16, lsn: Lsn) {
        if let Some(recent) = self.recent.get(usize::from(worker)) {
            // Pairs with the load in `has_heard`.
            recent.heard.store(lsn.get(), Ordering::Release);
        }
    }

    /// A worker says whether anything of it waits for the writer's word, before it looks for that a last time and sleeps.
    pub(crate) fn waits_for_word(&self, worker: u16, waits: bool) {
        if let Some(recent) = self.recent.get(usize::from(worker)) {
            // Ordered by the fences of its bell, as the sleep itself is.
            recent.waits.store(waits, Ordering::Relaxed);
        }
    }

    /// The writer has told a worker something: it is rung if it waits for that. Otherwise it hears of it at its next turn, as
    /// whoever searches sees to ([`Shared::has_heard`]): a wake for each commit would carry nothing.
    pub(crate) fn ring_if_it_waits(&self, worker: usize) {
        // Pairs with the fence in the sleep of its bell: either the worker sees what was told, or this sees that it waits.
        fence(Ordering::SeqCst);
        let waits = self.recent.get(worker).is_some_and(|it| it.waits.load(Ordering::Relaxed));
        if let Some(bell) = self.worker_bells.get(worker).filter(|_| waits) {
            bell.ring();
        }
    }

    /// Whether everything of a worker that is durable can be found.
    pub(crate) fn has_heard(&self, worker: usize, durable: Lsn) -> bool {
        self.recent.get(worker).is_none_or(|recent| {
            // Pair with the stores in `told` and `heard`; `durable` was loaded before.
            let told = recent.told.load(Ordering::Acquire);
            let heard = recent.heard.load(Ordering::Acquire);
            heard >= told || heard >= durable.get()
        })
    }

    /// Where documents of a drive lie, in the order of the log. With a sign, of those that an index knows only the ones
    /// that bear it.
    pub(crate) fn entries(
        &self,
        worker: usize,
        drive: u64,
        numbers: &RangeInclusive<u32>,
        sign: Option<u32>,
    ) -> Result<Vec<IndexEntry>, ofd_storage::Error> {
        let mut recent = Vec::new();
        if let Some(known) = self.recent.get(worker) {
            let index = known.index.lock().unwrap_or_else(PoisonError::into_inner);
            if numbers.start() == numbers.end() {
                index.get(drive, *numbers.start(), Lsn::NONE, &mut recent);
            } else {
                index.range(drive, numbers, &mut recent);
            }
        }
        // The files after the recent ones: what was let go of there is in them.
        let view = self.sides.view();
        let mut found = Vec::new();
        view.get(drive, numbers, &mut found)?;
        let through = view.through();
        let wanted = |it: &SideEntry| sign.is_none_or(|sign| sign == it.sign);
        let indexed = found.into_iter().filter(wanted);
        let mut entries: Vec<IndexEntry> = indexed
            .map(|it| IndexEntry { lsn: it.lsn, location: it.location, number: it.number })
            .chain(recent.into_iter().filter(|entry| entry.lsn > through))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.lsn);
        Ok(entries)
    }

    pub(crate) fn health(&self) -> Health {
        // Pairs with the store in `set_health`; the value stands alone, nothing is published with it.
        let health = self.health.load(Ordering::Relaxed);
        if health >= Health::Failed as u8 {
            Health::Failed
        } else if health >= Health::Draining as u8 {
            Health::Draining
        } else if self.is_full() || self.held.load(Ordering::Relaxed) {
            Health::Deferring
        } else if self.degraded.load(Ordering::Relaxed) {
            Health::Degraded
        } else {
            Health::Ready
        }
    }

    /// Whether documents wait for space on the disk.
    pub(crate) fn is_full(&self) -> bool {
        self.deferring.load(Ordering::Relaxed)
    }

    /// Documents wait for space on the disk from now on, or no longer. True when it changed.
    pub(crate) fn set_deferring(&self, deferring: bool) -> bool {
        self.deferring.swap(deferring, Ordering::Relaxed) != deferring
    }

    pub(crate) fn stage(&self) -> Stage {
        // Pairs with the store in `end`; the value stands alone, nothing is published with it.
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Running,
            1 => Stage::PortsEnd,
            2 => Stage::WorkersEnd,
            _ => Stage::WriterEnds,
        }
    }

    /// Moves the end of the engine on. Whoever sleeps has to be rung afterwards.
    pub(crate) fn end(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// A copy of the log is missing.
    pub(crate) fn set_degraded(&self, degraded: bool) {
        self.degraded.store(degraded, Ordering::Relaxed);
    }

    /// Health only gets worse; deferring comes and goes.
    pub(crate) fn set_health(&self, health: Health) {
        self.health.fetch_max(health as u8, Ordering::Relaxed);
        self.tell_advanced();
    }

    /// Wakes those who wait for the watermark; costs one load when nobody does.
    pub(crate) fn tell_advanced(&self) {
        // Pairs with the addition in `wait_durable`: a waiter is counted before it looks at the watermark.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let _held = self.advanced.lock().unwrap_or_else(PoisonError::into_inner);
            self.advance.notify_all();
        }
    }

    /// Waits until the watermark has passed `lsn`. False: time ran out or the engine failed.
    pub(crate) fn wait_durable(&self, lsn: Lsn, timeout: Duration) -> bool {
        let deadline =
            self.now().mono_us.saturating_add(u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut held = self.advanced.lock().unwrap_or_else(PoisonError::into_inner);
        let durable = loop {
            if self.watermark.load() >= lsn {
                break true;
            }
            let left = deadline.saturating_sub(self.now().mono_us);
            if left == 0 || self.health() == Health::Failed {
                break false;
            }
            // A short step bounds the harm of a wake that came between the look and the wait.
            let step = Duration::from_micros(left.min(50_000));
            held = self.advance.wait_timeout(held, step).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(held);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        durable
    }
}
