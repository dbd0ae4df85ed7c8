//! The writer thread: the one hand that appends. It gives every document its place and time, drives the
//! sans-I/O log over the disk queue, publishes the watermark and sends batches back to their ports.
//!
//! Order: for each batch the slots are appended in turn and the batch goes back with `due`, the position that
//! covers them all; ports hold it until the watermark has passed. At most one ring a port and commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ofd_storage::envelope::{Envelope, Provenance};
use ofd_storage::{
    Appended, Completion, Copies, DiskOp, DiskQueue, Full, Log, LogState, Lsn, NO_PARTITION, NewRecord, Now,
    RecordKind,
};
use rtrb::{Consumer, Producer};

use crate::bell::PortBell;
use crate::gate::Exit;
use crate::handover::{BATCH_FRAMES_MAX, Batch, Landed, Plain, Settled, Slot, Store, Unanswered, Verdict};
use crate::lanes::NEVER_ANSWERED;
use crate::shared::{Health, Shared, Stage, Turn};

/// How long the writer sleeps at most; every event rings.
const IDLE_SLEEP: Duration = Duration::from_millis(500);
/// How long it sleeps while the log has no room.
const FULL_SLEEP: Duration = Duration::from_millis(2);
/// How long the writer looks out for the next document of a host that has just got the answer of the one before, and has
/// nothing else inside. Such a host sends the next one at once or not for long: to be woken and to submit takes it some 30 µs,
/// and to wake the writer then would take another 25, a quarter of a sync. So a lonely document costs at most this much of a
/// core, once; nobody spins while nothing comes, nor when documents come over ports, whose wakes are shared.
const LOOKOUT_US: u64 = 60;
/// Version of the rule set that decides answers.
const RULE_SET: u32 = 1;

/// What others ask the writer.
pub(crate) enum Call {
    /// Append a record that is no document.
    Append { kind: RecordKind, payload: Vec<u8>, reply: Sender<Result<Lsn, Unanswered>> },
    /// Seal the open segment. The reply comes when all that was appended before is in sealed
    /// segments; false: the log has failed.
    Seal { reply: Sender<bool> },
}

/// One worker as the writer sees it.
pub(crate) struct WorkerRings {
    pub(crate) batches: Consumer<Batch>,
    pub(crate) landed: Producer<Landed>,
}

/// One port as the writer sees it.
pub(crate) struct PortRings {
    pub(crate) batches: Producer<Batch>,
    pub(crate) bell: Arc<PortBell>,
}

/// The disk as the writer sees it.
pub(crate) struct Disk {
    pub(crate) queue: Box<dyn DiskQueue>,
    /// Set by the queue's wake before it rings.
    pub(crate) rang: Arc<AtomicBool>,
}

/// The rings of the writer.
pub(crate) struct Rings {
    pub(crate) workers: Vec<WorkerRings>,
    pub(crate) ports: Vec<PortRings>,
    pub(crate) calls: Receiver<Call>,
}

struct Worker {
    rings: WorkerRings,
    /// It has been told something since it was rung.
    told: bool,
}

struct Port {
    rings: PortRings,
    /// Batches the ring had no room for.
    backlog: VecDeque<Batch>,
    /// `due` of batches the port has not been rung for.
    unrung: VecDeque<Lsn>,
}

/// The writer at work.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    disk: Box<dyn DiskQueue>,
    /// Set by the disk when it has completed something, before it rings.
    disk_rang: Arc<AtomicBool>,
    workers: Vec<Worker>,
    ports: Vec<Port>,
    exit: Exit,
    /// Documents that are stored and not counted yet.
    stored: u64,
    /// The last document it has answered came alone.
    lonely: bool,
    calls: Receiver<Call>,
    /// A batch the log had no room for, and how many of its slots are done.
    unfinished: Option<(Batch, usize)>,
    /// The worker whose turn it is.
    turn: usize,
    waiting_for_seal: Vec<(Lsn, Sender<bool>)>,
    completions: Vec<Completion>,
    ops: Vec<DiskOp>,
    durable: Lsn,
    state: LogState,
    /// When the log wants to be stepped again though nothing has come.
    wake_at_us: Option<u64>,
    /// The greatest time given so far: received_at never decreases.
    received_us: i64,
    /// Appends that wait for room in the log.
    waiting_to_append: VecDeque<Call>,
    ending_since_us: Option<u64>,
    /// The log was told to end.
    log_ends: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, log: Log, disk: Disk, rings: Rings) -> Self {
        let Disk { queue: disk, rang: disk_rang } = disk;
        let Rings { workers, ports, calls } = rings;
        let port = |rings| Port { rings, backlog: VecDeque::new(), unrung: VecDeque::new() };
        Self {
            durable: shared.watermark.load(),
            state: LogState::Healthy,
            wake_at_us: None,
            received_us: log.received_at_us().max(0),
            shared,
            log,
            disk,
            disk_rang,
            workers: workers.into_iter().map(|rings| Worker { rings, told: false }).collect(),
            ports: ports.into_iter().map(port).collect(),
            exit: Exit::new(),
            stored: 0,
            lonely: false,
            calls,
            unfinished: None,
            turn: 0,
            waiting_for_seal: Vec::new(),
            completions: Vec::new(),
            ops: Vec::new(),
            waiting_to_append: VecDeque::new(),
            ending_since_us: None,
            log_ends: false,
        }
    }

    /// Writes until told to stop and all is durable, or the disk has failed for good.
    pub(crate) fn run(mut self) {
        self.shared.writer_bell.is_mine();
        self.shared.goes_first();
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle if std::mem::take(&mut self.lonely) && self.looks_out() => {}
                Turn::Idle => self.sleep(),
                Turn::Ended => return,
            }
        }
    }

    /// One pass: takes what the workers bring, moves the log on, gives batches back. Nothing is waited for.
    pub(crate) fn turn(&mut self) -> Turn {
        let now = self.now();
        let took = self.take_calls(now) | self.take_batches(now);
        self.count_stored();
        let stepped = self.step(now);
        self.ring_ports();
        if self.is_done(now) {
            return Turn::Ended;
        }
        if took || stepped { Turn::Worked } else { Turn::Idle }
    }

    /// The time, with a wall clock that never goes back.
    fn now(&mut self) -> Now {
        let now = self.shared.now();
        self.received_us = self.received_us.max(now.wall_us);
        Now { wall_us: self.received_us, ..now }
    }

    /// Answers those who wait for what they know to lie in sealed segments.
    fn tell_sealed(&mut self) {
        let sealed = self.shared.reader.sealed_segments().last().map_or(Lsn::NONE, |it| it.last);
        let failed = self.failed();
        self.waiting_for_seal.retain(|(lsn, reply)| {
            let done = *lsn <= sealed;
            if done || failed {
                let _ = reply.send(done);
            }
            !done && !failed
        });
    }

    fn failed(&self) -> bool {
        self.state == LogState::Failed
    }

    /// Is everything that was taken appended and on its way back?
    fn is_empty(&self) -> bool {
        self.unfinished.is_none()
            && self.waiting_to_append.is_empty()
            && self.workers.iter().all(|it| it.rings.batches.is_empty())
            && self.ports.iter().all(|it| it.backlog.is_empty())
    }

    /// Ends the log once the workers have brought all they had. A disk that does not come to an end is left to
    /// itself after a while: nothing unproven has been answered.
    fn is_done(&mut self, now: Now) -> bool {
        if self.shared.stage() < Stage::WriterEnds {
            return false;
        }
        // Also what waits for room does not wait for ever: a full disk may stay full.
        let since = *self.ending_since_us.get_or_insert(now.mono_us);
        if !self.log_ends && (self.is_empty() || self.failed()) {
            self.log.shutdown();
            self.log_ends = true;
        }
        let too_long = now.mono_us.saturating_sub(since) > self.shared.limits().drain_timeout_us;
        if too_long {
            tracing::error!("alarm: the disk does not come to an end");
            self.shared.set_health(Health::Failed);
        }
        too_long || matches!(self.state, LogState::Failed | LogState::Closed)
    }

    /// Spins a while. True: something has come.
    fn looks_out(&self) -> bool {
        let begun = self.shared.now().mono_us;
        while self.shared.now().mono_us.saturating_sub(begun) < LOOKOUT_US {
            if !self.is_idle(false) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Has nothing come? With a `full` log, batches have to wait.
    fn is_idle(&self, full: bool) -> bool {
        !self.disk_rang.load(Ordering::Relaxed)
            && self.calls.is_empty()
            && (full || self.workers.iter().all(|it| it.rings.batches.is_empty()))
    }

    fn sleep(&self) {
        let full = self.unfinished.is_some()
            || !self.waiting_to_append.is_empty()
            || self.ports.iter().any(|it| !it.backlog.is_empty());
        let longest = if full || self.shared.stage() > Stage::Running { FULL_SLEEP } else { IDLE_SLEEP };
        let timeout = self.wake_at_us.map_or(longest, |at| {
            let left = at.saturating_sub(self.shared.now().mono_us);
            longest.min(Duration::from_micros(left.max(1)))
        });
        self.shared.writer_bell.sleep(timeout, || self.is_idle(full));
    }

    /// Moves the log on: completions in, operations out, the watermark published.
    fn step(&mut self, now: Now) -> bool {
        // Cleared before the look, so that what completes after it rings again.
        self.disk_rang.store(false, Ordering::Relaxed);
        self.disk.poll(&mut self.completions);
        let completed = !self.completions.is_empty();
        let progress = self.log.step(now, &mut self.completions, &mut self.ops);
        let submitted = !self.ops.is_empty();
        for op in self.ops.drain(..) {
            self.disk.submit(op);
        }
        if !progress.sealed.is_empty() {
            self.shared.keeper_bell.ring();
        }
        if progress.durable > self.durable {
            self.durable = progress.durable;
            self.shared.tell_advanced();
        }
        self.state = progress.state;
        if progress.state == LogState::Failed && self.shared.health() != Health::Failed {
            let why = self.log.last_error().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%why, "alarm: the log has failed, nothing is accepted any more");
            self.shared.set_health(Health::Failed);
        }
        self.shared.set_degraded(progress.copies == Copies::Degraded);
        if self.shared.set_deferring(progress.deferring) {
            if progress.deferring {
                tracing::error!("alarm: the disk is full, documents are deferred until space returns");
            } else {
                tracing::info!("space has returned, documents are accepted again");
            }
        }
        if !self.waiting_for_seal.is_empty() {
            self.tell_sealed();
        }
        self.wake_at_us = progress.wake_at_mono_us;
        completed || submitted
    }

    fn take_calls(&mut self, now: Now) -> bool {
        let mut took = false;
        while self.waiting_to_append.len() < BATCH_FRAMES_MAX {
            let Ok(call) = self.calls.try_recv() else { break };
            self.waiting_to_append.push_back(call);
        }
        while let Some(call) = self.waiting_to_append.pop_front() {
            match call {
                Call::Append { kind, payload, reply } => {
                    let appended = if self.failed() {
                        Err(Unanswered::StorageFailed)
                    } else {
                        let record = NewRecord {
                            kind,
                            flags: 0,
                            partition: NO_PARTITION,
                            key_id: 0,
                            answer_code: NEVER_ANSWERED,
                            parts: &[&payload],
                        };
                        match self.log.append(now, record) {
                            Ok(appended) => Ok(appended.lsn),
                            Err(Full::Wait) => {
                                self.waiting_to_append.push_front(Call::Append { kind, payload, reply });
                                return took;
                            }
                            Err(_) => Err(Unanswered::StorageFailed),
                        }
                    };
                    let _ = reply.send(appended);
                }
                Call::Seal { reply } => {
                    self.log.seal();
                    self.waiting_for_seal.push((self.log.next_lsn().prev(), reply));
                }
            }
            took = true;
        }
        took
    }

    /// Appends what the workers bring, as long as the log has room.
    fn take_batches(&mut self, now: Now) -> bool {
        let mut took = false;
        if let Some((batch, done)) = self.unfinished.take() {
            if !self.append_batch(now, batch, done) {
                return false;
            }
            took = true;
        }
        let mut empty = 0;
        while empty < self.workers.len() {
            let worker = self.turn;
            self.turn = (self.turn.wrapping_add(1)) % self.workers.len().max(1);
            match self.workers.get_mut(worker).map(|it| it.rings.batches.pop()) {
                Some(Ok(batch)) => {
                    took = true;
                    empty = 0;
                    if !self.append_batch(now, batch, 0) {
                        return took;
                    }
                }
                _ => empty = empty.saturating_add(1),
            }
        }
        took
    }

    /// Appends the slots of a batch from `done` on and sends it back. False: the log is full, the rest waits.
    fn append_batch(&mut self, now: Now, mut batch: Batch, done: usize) -> bool {
        let mut due = batch.due;
        for (at, slot) in batch.slots.iter_mut().enumerate().skip(done) {
            match self.append_slot(now, slot) {
                Ok(lsn) => due = due.max(lsn),
                Err(full) => {
                    tracing::trace!(%full, "the log makes the workers wait");
                    batch.due = due;
                    self.unfinished = Some((batch, at));
                    return false;
                }
            }
        }
        batch.due = due;
        match self.ports.get_mut(usize::from(batch.port)) {
            Some(port) => {
                self.lonely = false;
                port.backlog.push_back(batch);
            }
            // Behind the ports there is the gate.
            None => self.exit.push(batch),
        }
        true
    }

    /// The position that covers the slot: its own, or that of the document it repeats.
    fn append_slot(&mut self, now: Now, slot: &mut Slot) -> Result<Lsn, Full> {
        let store = match &slot.verdict {
            Verdict::Store(store) => store,
            Verdict::Settled(settled) => return Ok(settled.lsn),
            Verdict::Undecided | Verdict::Close(_) => return Ok(Lsn::NONE),
        };
        let worker = usize::from(store.worker);
        // The worker hears of a lonely document at its next turn: whoever brings the next one gives it that, and who searches
        // asks for it (`Shared::has_heard`). A wake would only stand before the sync.
        let rings = usize::from(slot.back.port()) < self.ports.len();
        let late = now.mono_us.saturating_sub(slot.arrived_us) > self.shared.options.append_deadline_us;
        if late || self.failed() {
            let why = if late { Unanswered::Overloaded } else { Unanswered::StorageFailed };
            slot.verdict = Verdict::Close(why);
            self.tell_landed(worker, Landed { place: None, operator_time: 0 }, rings);
            return Ok(Lsn::NONE);
        }
        let original = slot.original.as_ref().map(|it| it.answer.operator_time).filter(|time| *time != 0);
        let operator_time = original.unwrap_or_else(|| self.operator_time(now.wall_us));
        let appended = match append_document(&mut self.log, now, slot, store, operator_time) {
            Ok(appended) => appended,
            Err(Full::Wait) => return Err(Full::Wait),
            Err(never) => {
                tracing::error!(%never, "alarm: a document cannot be appended");
                slot.verdict = Verdict::Close(Unanswered::StorageFailed);
                self.tell_landed(worker, Landed { place: None, operator_time: 0 }, rings);
                return Ok(Lsn::NONE);
            }
        };
        let settled = Settled {
            lsn: appended.lsn,
            drive: store.drive,
            number: store.number,
            code: store.code,
            operator_time,
            p_version: store.p_version,
            fresh: true,
        };
        slot.verdict = Verdict::Settled(settled);
        self.tell_landed(
            worker,
            Landed { place: Some((appended.lsn, appended.location)), operator_time },
            rings,
        );
        self.stored = self.stored.saturating_add(1);
        Ok(appended.lsn)
    }

    /// The 1012 of an answer: the operator's wall clock.
    fn operator_time(&self, received_at_us: i64) -> u32 {
        let seconds = received_at_us.div_euclid(1_000_000);
        let local = seconds.saturating_add(i64::from(self.shared.options.operator_zone_min) * 60);
        u32::try_from(local).unwrap_or(0)
    }

    /// Counts what was stored: together, and before anybody is told of it.
    fn count_stored(&mut self) {
        let stored = std::mem::take(&mut self.stored);
        if stored > 0 {
            self.shared.counters.stored.fetch_add(stored, Ordering::Relaxed);
        }
    }

    /// Tells a worker where a document lies; it is rung at the end of the turn, if it `rings` and something waits for that.
    fn tell_landed(&mut self, worker: usize, landed: Landed, rings: bool) {
        if let Some((lsn, _)) = landed.place {
            self.shared.told(worker, lsn);
        }
        let Some(worker) = self.workers.get_mut(worker) else { return };
        worker.told |= rings;
        let told = worker.rings.landed.push(landed);
        assert!(told.is_ok(), "a worker has more documents on their way than its ring holds");
    }

    /// Gives batches back and rings each port at most once.
    fn ring_ports(&mut self) {
        let durable = self.durable;
        let failed = self.failed();
        // First who waits alone.
        self.lonely |= self.exit.settle(&self.shared, durable);
        for port in &mut self.ports {
            if port.rings.batches.is_abandoned() {
                // The port has ended: nobody waits for these answers any more.
                port.backlog.clear();
                port.unrung.clear();
                continue;
            }
            while let Some(batch) = port.backlog.pop_front() {
                let due = batch.due;
                match port.rings.batches.push(batch) {
                    Ok(()) => port.unrung.push_back(due),
                    Err(rtrb::PushError::Full(batch)) => {
                        port.backlog.push_front(batch);
                        break;
                    }
                }
            }
            let before = port.unrung.len();
            while port.unrung.front().is_some_and(|due| *due <= durable || failed) {
                port.unrung.pop_front();
            }
            if port.unrung.len() < before || !port.backlog.is_empty() {
                port.rings.bell.ring();
            }
        }
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if std::mem::take(&mut worker.told) {
                self.shared.ring_if_it_waits(number);
            }
        }
    }
}

/// Builds the envelope and appends it.
fn append_document(
    log: &mut Log,
    now: Now,
    slot: &Slot,
    store: &Store,
    operator_time: u32,
) -> Result<Appended, Full> {
    let (session, container) =
        slot.message.split_first_chunk::<{ ofd_codec::SESSION_HEADER_LEN }>().unwrap_or((&[0; 30], &[]));
    let plain: &[u8] = match &store.plain {
        Plain::None => &[],
        Plain::Body => {
            let to = container.len().saturating_sub(ofd_codec::TRAILER_LEN);
            container.get(ofd_codec::CONTAINER_HEADER_LEN..to).unwrap_or_default()
        }
        Plain::Opened(bytes) => bytes,
    };
    let envelope = Envelope {
        provenance: if slot.original.is_some() { Provenance::Import } else { Provenance::Live },
        realm: store.realm,
        crypto: store.crypto,
        admission: store.admission,
        reason: store.reason,
        rule_set: RULE_SET,
        drive: *store.drive.as_bytes(),
        number: store.number,
        form: store.form,
        variant: store.variant,
        peer_address: slot.peer.address,
        peer_port: slot.peer.port,
        operator_time,
        answered_at_us: slot.original.as_ref().map_or(0, |it| it.answer.answered_at_us),
        session: if slot.original.as_ref().is_some_and(|it| it.bare) { [0; 30] } else { *session },
        container,
        plain,
        detail: store.detail.as_deref().unwrap_or_default().as_bytes(),
    };
    let head = envelope.head();
    assert!(head.is_ok(), "a checked frame does not fit its envelope: {head:?}");
    let Ok(head) = head else { return Err(Full::TooLong) };
    log.append(
        now,
        NewRecord {
            kind: store.kind,
            flags: 0,
            partition: store.partition,
            key_id: 0,
            answer_code: store.code.unwrap_or(NEVER_ANSWERED),
            parts: &envelope.parts(&head),
        },
    )
}
