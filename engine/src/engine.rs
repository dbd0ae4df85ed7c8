//! The handle of a running engine: what a host calls.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use ofd_codec::DriveNumber;
use ofd_storage::env::{Task, Wake};
#[cfg(feature = "parquet")]
use ofd_storage::retain::Holds;
use ofd_storage::{Env, IndexEntry, Lsn, Position, RecordKind, RecoveryReport, recover_with_index};
use rtrb::Producer;

use crate::bell::PortBell;
use crate::builder::{EngineBuilder, Host, Options, out_of};
#[cfg(feature = "parquet")]
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::examine::Digester;
use crate::feed::Feed;
use crate::gate::Gate;
use crate::handover::{Batch, Unanswered};
use crate::host::{Access, Capability, Scope, TaxService};
use crate::import::Original;
use crate::keeper::Keeper;
use crate::lanes::{LaneCount, Lanes};
use crate::limits::Limits;
use crate::live::Live;
use crate::noise::NoiseSample;
use crate::notify::{Desk, Teller};
use crate::partition::partition_of;
use crate::port::{self, Listening, PortRuntime, Security, Submission};
use crate::query::StoredDocument;
use crate::replay::Replay;
use crate::seat::Seat;
use crate::shared::{FailOnPanic, Health, Shared, Stage};
use crate::stored::check_past;
use crate::tax::leg::Leg;
use crate::tickets::{Outcome, Tickets};
use crate::worker::{self, Worker};
use crate::writer::{self, PortRings, WorkerRings, Writer};

/// Connections that may wait to be accepted.
const LISTEN_QUEUE: i32 = 4096;

/// Batches the host may have waiting at one port.
const SUBMITS_WAITING: usize = 256;
/// How long a question to a worker may take before the engine is taken for broken.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach one port.
struct PortHandle {
    listeners: Sender<Listening>,
    submissions: Sender<Submission>,
    /// The other end: for what reaches a port that has ended.
    left: Receiver<Submission>,
    bell: Arc<PortBell>,
}

impl PortHandle {
    /// Tells the port that something was left for it. If it has ended, what was left is given up: its tickets say that the
    /// engine is stopping.
    fn knock(&self) -> Result<(), Error> {
        self.bell.ring();
        if !self.bell.is_deaf() {
            return Ok(());
        }
        self.left.try_iter().for_each(drop);
        Err(ended_port())
    }
}

/// A running engine. One process owns its directory; dropping the engine drains and closes it.
pub struct Engine {
    dir: PathBuf,
    shared: Arc<Shared>,
    report: RecoveryReport,
    ports: Vec<PortHandle>,
    gate: Gate,
    workers: Vec<Sender<worker::Call>>,
    writer: Sender<writer::Call>,
    threads: Threads,
    cursors: Arc<Mutex<BTreeMap<String, Position>>>,
    desk: Arc<Desk>,
    next_port: AtomicUsize,
    #[cfg(feature = "parquet")]
    pub(crate) compaction: Mutex<()>,
    #[cfg(feature = "parquet")]
    pub(crate) clock: Clock,
    /// Legal holds that stand.
    #[cfg(feature = "parquet")]
    pub(crate) holds: Mutex<Holds>,
    closed: Arc<AtomicBool>,
}

/// The parts of an engine, in the order of the data backwards. Each is owned by whoever runs it.
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) workers: Vec<Arc<Seat>>,
    pub(crate) ports: Vec<port::Rings>,
    pub(crate) keeper: Keeper,
    pub(crate) live: Option<Live>,
    pub(crate) teller: Option<Teller>,
    pub(crate) tax: Option<Leg>,
}

#[derive(Default)]
struct Threads {
    ports: Mutex<Vec<Box<dyn Task>>>,
    workers: Mutex<Vec<Box<dyn Task>>>,
    writer: Mutex<Vec<Box<dyn Task>>>,
    keeper: Mutex<Vec<Box<dyn Task>>>,
    live: Mutex<Vec<Box<dyn Task>>>,
    teller: Mutex<Vec<Box<dyn Task>>>,
    tax: Mutex<Vec<Box<dyn Task>>>,
}

/// Counts of an engine, since its process started unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Drives that ever sent a document.
    pub drives: u64,
    /// Stored documents, all variants, since the beginning.
    pub documents: u64,
    /// Frames in quarantine that are remembered.
    pub quarantined: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Frames taken in.
    pub frames: u64,
    /// Documents stored.
    pub stored: u64,
    /// Documents that were known already.
    pub known: u64,
    /// Frames answered.
    pub answered: u64,
    /// Frames left unanswered.
    pub unanswered: u64,
    /// Messages that were line noise.
    pub noise: u64,
    /// Bytes that were read back from the disk.
    pub scrubbed_bytes: u64,
    /// Segments and files in which that has found damage: anything but 0 is an alarm.
    pub scrub_damaged: u64,
    /// How often everything was read back once.
    pub scrub_passes: u64,
}

impl Engine {
    /// A builder for an engine in this directory, which is made when it is not there.
    pub fn builder(dir: impl Into<PathBuf>) -> EngineBuilder {
        EngineBuilder::new(dir.into())
    }

    pub(crate) fn open(dir: PathBuf, env: Arc<dyn Env>, options: Options, host: Host) -> Result<Self, Error> {
        let runtimes = (0..options.ports).map(|_| PortRuntime::new()).collect::<Result<Vec<_>, _>>()?;
        let (engine, Parts { writer, workers, ports, keeper, live, teller, tax }) =
            Self::assemble(dir, env, options, host)?;
        engine.start(&engine.threads.keeper, "ofd-keeper", move || keeper.run())?;
        if let Some(live) = live {
            engine.start(&engine.threads.live, "ofd-registers", move || live.run())?;
        }
        if let Some(teller) = teller {
            engine.start(&engine.threads.teller, "ofd-notify", move || teller.run())?;
        }
        if let Some(tax) = tax {
            engine.start(&engine.threads.tax, "ofd-tax", move || tax.run())?;
        }
        engine.start(&engine.threads.writer, "ofd-writer", move || writer.run())?;
        for (number, seat) in (0..).zip(workers) {
            engine.start(&engine.threads.workers, &format!("ofd-worker-{number}"), move || seat.run())?;
        }
        for ((number, rings), runtime) in (0..).zip(ports).zip(runtimes) {
            let shared = Arc::clone(&engine.shared);
            engine.start(&engine.threads.ports, &format!("ofd-port-{number}"), move || {
                port::run(&runtime, number, &shared, rings);
            })?;
        }
        Ok(engine)
    }

    /// Recovers the log and makes all parts, which do nothing until somebody runs them: threads of their own, or
    /// one scheduler that gives each of them its turn.
    pub(crate) fn assemble(
        dir: PathBuf,
        env: Arc<dyn Env>,
        options: Options,
        host: Host,
    ) -> Result<(Self, Parts), Error> {
        let digester = Digester::new(|| env.random());
        let chance = Arc::clone(&env);
        let make = move || Lanes::new(|| chance.random(), digester.clone());
        let mut replay = Replay::new(Arc::clone(&env), options.workers, make);
        let (mut log, report, sides) =
            recover_with_index(Arc::clone(&env), options.log, crate::sides::SCHEMA, &mut replay)?;
        #[cfg(feature = "parquet")]
        let env = crate::archive::placed(env, &options, report.durable)?;
        check_past(&env, report.durable)?;
        #[cfg(feature = "parquet")]
        let clock = Clock::open(&*env, log.received_at_us(), options.clock_confirmed)?;
        #[cfg(feature = "parquet")]
        clock.keep(&*env);
        #[cfg(feature = "parquet")]
        let holds = replay.holds();
        let (subscriptions, last) = replay.subscriptions();
        let desk = Arc::new(Desk::new(subscriptions, last));
        let Replay { lanes, recent, cursors, kept, .. } = replay;
        let shared = Arc::new(Shared::new(
            options,
            host,
            Arc::clone(&env),
            log.durable_handle(),
            log.reader(),
            sides,
            recent,
        ));
        let rang = Arc::new(AtomicBool::new(false));
        let wake: Wake = {
            let (shared, rang) = (Arc::clone(&shared), Arc::clone(&rang));
            Arc::new(move || {
                // Ordered before the fence in `ring`; the writer looks at it behind the fence in `sleep`.
                rang.store(true, Ordering::Relaxed);
                shared.writer_bell.ring();
            })
        };
        let disk = env.queue(Arc::clone(&wake))?;
        log.start_copies(&wake)?;
        let wiring = Wiring::new(&shared.options)?;
        let Wiring { ports, workers, gate, writer_workers, writer_ports, port_handles, worker_calls } =
            wiring;
        let (writer_calls, calls) = unbounded();
        let seats: Vec<Arc<Seat>> = (0..)
            .zip(workers)
            .zip(lanes)
            .map(|((number, rings), lanes)| Worker::new(number, Arc::clone(&shared), rings, lanes))
            .map(|worker| Arc::new(Seat::new(Arc::clone(&shared), worker)))
            .collect();
        let engine = Self {
            dir,
            report,
            ports: port_handles,
            gate: Gate::new(Arc::clone(&shared), shared.options.ports, gate, seats.clone()),
            workers: worker_calls,
            writer: writer_calls,
            threads: Threads::default(),
            cursors: Arc::new(Mutex::new(cursors)),
            desk: Arc::clone(&desk),
            next_port: AtomicUsize::new(0),
            #[cfg(feature = "parquet")]
            compaction: Mutex::new(()),
            #[cfg(feature = "parquet")]
            clock,
            #[cfg(feature = "parquet")]
            holds: Mutex::new(holds),
            closed: Arc::default(),
            shared: Arc::clone(&shared),
        };
        let disk = writer::Disk { queue: disk, rang };
        let rings = writer::Rings { workers: writer_workers, ports: writer_ports, calls };
        let writer = Writer::new(Arc::clone(&shared), log, disk, rings);
        let keeper = Keeper::new(Arc::clone(&shared), kept);
        let live = shared.options.registers.then(|| Live::new(Arc::clone(&shared), engine.writer.clone()));
        let tells = !shared.host.channels.is_empty() && shared.options.registers;
        let teller = tells.then(|| Teller::new(Arc::clone(&shared), desk, engine.writer.clone()));
        let leg = |service: &Arc<dyn TaxService>| {
            let workers = engine.workers.clone();
            Leg::new(Arc::clone(&shared), Arc::clone(service), engine.writer.clone(), workers)
        };
        let tax = shared.host.tax.as_ref().map(leg);
        Ok((engine, Parts { writer, workers: seats, ports, keeper, live, teller, tax }))
    }

    /// Starts a thread whose panic stops the engine from answering: a broken invariant confirms nothing.
    fn start(
        &self,
        threads: &Mutex<Vec<Box<dyn Task>>>,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let guard = FailOnPanic(Arc::clone(&self.shared));
        let task = self.shared.env.spawn(
            name,
            Box::new(move || {
                let _guard = guard;
                body();
            }),
        )?;
        threads.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        Ok(())
    }

    /// The directory of the engine.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What recovery found when the engine opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Accepts registers on this address; returns the real one, so that port 0 may be given.
    ///
    /// # Errors
    /// `Fix` when the address cannot be bound.
    pub fn listen(&self, address: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        self.listen_as(address, Security::Plain)
    }

    /// The same under TLS, beside plain listeners or instead of them.
    ///
    /// # Errors
    /// As [`Engine::listen`].
    #[cfg(feature = "tls")]
    pub fn listen_tls(
        &self,
        address: impl ToSocketAddrs,
        identity: &crate::tls::TlsIdentity,
    ) -> Result<SocketAddr, Error> {
        self.listen_as(address, Security::Tls(identity.clone()))
    }

    fn listen_as(&self, address: impl ToSocketAddrs, security: Security) -> Result<SocketAddr, Error> {
        let failed = |error| Error::system("listening", error);
        let listener = TcpListener::bind(address).map_err(failed)?;
        // The library's own queue is 128 long: of thousands that come back at once the system would drop all others, and each of
        // these tries again after a second only. What the system allows is less where `somaxconn` says so.
        rustix::net::listen(&listener, LISTEN_QUEUE).map_err(|error| failed(error.into()))?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        for port in &self.ports {
            let listener = listener.try_clone().map_err(failed)?;
            let listening = Listening { listener, security: security.clone() };
            port.listeners.send(listening).map_err(|_| ended_port())?;
            port.bell.ring();
        }
        Ok(bound)
    }

    /// Submits session messages in process: the same way as over TCP, without a socket. Waits while the
    /// engine is full. A single message, while nothing else of the host is inside, is judged on this thread, which
    /// asks the host's `Admission` and, for a number that is not new, the log.
    ///
    /// # Errors
    /// `Reopen` when the engine has ended.
    pub fn submit_batch(&self, mut frames: Vec<Bytes>) -> Result<Tickets, Error> {
        let (tickets, desk, alone) = Tickets::new(frames.len(), &self.gate.inside);
        if alone
            && frames.len() == 1
            && let Some(message) = frames.pop()
        {
            let Some(message) = self.gate.take(message, &desk) else { return Ok(tickets) };
            frames.push(message);
        }
        self.send_to_port(Submission { frames, originals: Vec::new(), desk })?;
        Ok(tickets)
    }

    /// The way of everything that does not come alone.
    pub(crate) fn submit_to_port(
        &self,
        frames: Vec<Bytes>,
        originals: Vec<Original>,
    ) -> Result<Tickets, Error> {
        let (tickets, desk, _) = Tickets::new(frames.len(), &self.gate.inside);
        self.send_to_port(Submission { frames, originals, desk })?;
        Ok(tickets)
    }

    fn send_to_port(&self, submission: Submission) -> Result<(), Error> {
        let port = self.next_port()?;
        port.submissions.send(submission).map_err(|_| ended_port())?;
        port.knock()
    }

    fn next_port(&self) -> Result<&PortHandle, Error> {
        let turn = self.next_port.fetch_add(1, Ordering::Relaxed);
        let at = turn.checked_rem(self.ports.len()).unwrap_or_default();
        self.ports.get(at).ok_or_else(ended_port)
    }

    /// Submits one session message: sugar for [`Engine::submit_batch`] that does not block the thread while the
    /// engine is full.
    ///
    /// # Errors
    /// As [`Engine::submit_batch`].
    pub async fn submit(&self, frame: Bytes) -> Result<Outcome, Error> {
        let (tickets, desk, alone) = Tickets::new(1, &self.gate.inside);
        let frame = if alone { self.gate.take(frame, &desk) } else { Some(frame) };
        let Some(frame) = frame else { return Ok(first(tickets.await)) };
        let port = self.next_port()?;
        let mut submission = Some(Submission { frames: vec![frame], originals: Vec::new(), desk });
        std::future::poll_fn(|context| {
            let Some(offer) = submission.take() else { return Poll::Ready(Ok(())) };
            match port.submissions.try_send(offer) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TrySendError::Full(again)) => {
                    submission = Some(again);
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Err(TrySendError::Disconnected(_)) => Poll::Ready(Err(ended_port())),
            }
        })
        .await?;
        port.knock()?;
        Ok(first(tickets.await))
    }

    /// Everything up to here is on disk.
    pub fn durable(&self) -> Position {
        Position::new(self.shared.watermark.load())
    }

    /// Other deadlines and caps from now on, for connections that are open, too: each deadline is counted anew when the
    /// connection next brings something, and the end of its life stays what it was. A cap below what is open already
    /// closes nothing; it lets nobody else in.
    ///
    /// # Errors
    /// [`ErrorKind::Fix`] when a limit is out of its bounds; the old ones stay.
    pub fn set_limits(&self, limits: Limits) -> Result<(), Error> {
        if let Some((limit, bounds)) = limits.fault() {
            return Err(out_of(limit, bounds));
        }
        self.shared.set_limits(limits);
        Ok(())
    }

    /// How the engine is.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Counts.
    ///
    /// # Errors
    /// `Reopen` when the engine has ended.
    pub fn status(&self) -> Result<Status, Error> {
        let mut count = LaneCount::default();
        for worker in 0..self.workers.len() {
            let one = self.ask_worker(worker, |reply| worker::Call::Count { reply })?;
            count.lanes = count.lanes.saturating_add(one.lanes);
            count.documents = count.documents.saturating_add(one.documents);
            count.quarantined = count.quarantined.saturating_add(one.quarantined);
        }
        let counters = &self.shared.counters;
        Ok(Status {
            drives: count.lanes,
            documents: count.documents,
            quarantined: count.quarantined,
            connections: counters.connections.load(Ordering::Relaxed),
            frames: counters.frames.load(Ordering::Relaxed),
            stored: counters.stored.load(Ordering::Relaxed),
            known: counters.known.load(Ordering::Relaxed),
            answered: counters.answered.load(Ordering::Relaxed),
            unanswered: counters.unanswered.load(Ordering::Relaxed),
            noise: self.shared.noise.counted(),
            scrubbed_bytes: counters.scrubbed.load(Ordering::Relaxed),
            scrub_damaged: counters.scrub_damaged.load(Ordering::Relaxed),
            scrub_passes: counters.scrub_passes.load(Ordering::Relaxed),
        })
    }

    /// The newest samples of what was not the protocol. They may hold parts of anybody's receipts, so only the
    /// operator sees them.
    pub fn noise(&self, capability: &Capability) -> Vec<NoiseSample> {
        if *capability.scope() == Scope::Operator { self.shared.noise.samples() } else { Vec::new() }
    }

    /// The host's access rules.
    pub fn access(&self) -> &dyn Access {
        &*self.shared.host.access
    }

    fn ask_worker<T>(&self, worker: usize, call: impl FnOnce(Sender<T>) -> worker::Call) -> Result<T, Error> {
        let ended = || Error::new(ErrorKind::Reopen, "a worker has ended");
        let (reply, answer) = bounded(1);
        self.workers.get(worker).ok_or_else(ended)?.send(call(reply)).map_err(|_| ended())?;
        if let Ok(worker) = u16::try_from(worker) {
            self.shared.worker_bell(worker).ring();
        }
        answer.recv_timeout(CALL_TIMEOUT).map_err(|_| ended())
    }

    /// Where documents of a drive lie, as far as its worker has heard.
    #[cfg(feature = "testing")]
    pub(crate) fn heard_entries(
        &self,
        drive: DriveNumber,
        number: Option<u32>,
    ) -> Result<Vec<IndexEntry>, Error> {
        let numbers = number.map_or(0..=u32::MAX, |number| number..=number);
        Ok(self.shared.entries(self.worker_of(drive), drive.to_bcd_u64(), &numbers, None)?)
    }

    pub(crate) fn entries(
        &self,
        drive: DriveNumber,
        numbers: &RangeInclusive<u32>,
        sign: Option<u32>,
    ) -> Result<Vec<IndexEntry>, Error> {
        let worker = self.worker_of(drive);
        if !self.shared.has_heard(worker, self.shared.watermark.load()) {
            self.ask_worker(worker, |reply| worker::Call::Hear { reply })?;
        }
        Ok(self.shared.entries(worker, drive.to_bcd_u64(), numbers, sign)?)
    }

    fn worker_of(&self, drive: DriveNumber) -> usize {
        usize::from(partition_of(drive.as_bytes())).checked_rem(self.workers.len()).unwrap_or_default()
    }

    /// The durable documents under a drive and number, all variants in the order they came; empty when there
    /// is none or the capability does not reach it.
    ///
    /// # Errors
    /// `Corrupt` when a stored record is damaged; `Reopen` when the engine has ended.
    pub fn find(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Vec<StoredDocument>, Error> {
        self.documents(capability, drive, number..=number)
    }

    /// The durable documents of a drive with these numbers, all variants in the order they came.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn documents(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        numbers: RangeInclusive<u32>,
    ) -> Result<Vec<StoredDocument>, Error> {
        self.read(capability, drive, self.entries(drive, &numbers, None)?, |_| true)
    }

    /// The durable documents of a drive with this printed fiscal sign: all of them, as a sign of 32 bits repeats.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn find_by_sign(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        sign: u32,
    ) -> Result<Vec<StoredDocument>, Error> {
        let entries = self.entries(drive, &(0..=u32::MAX), Some(sign))?;
        self.read(capability, drive, entries, |document| document.has_sign(sign))
    }

    fn read(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        entries: Vec<IndexEntry>,
        wanted: impl Fn(&StoredDocument) -> bool,
    ) -> Result<Vec<StoredDocument>, Error> {
        let durable = self.shared.watermark.load();
        let mut found = Vec::new();
        for entry in entries {
            if entry.lsn > durable {
                continue;
            }
            let Some(record) = self.shared.stored(drive, &entry)? else { continue };
            let document = StoredDocument::new(record);
            if wanted(&document) && capability.sees(document.inn().as_deref()) {
                found.push(document);
            }
        }
        Ok(found)
    }

    /// Follows the log from a position on: every document behind it, in the order of the log, as far as the
    /// capability reaches. A position before the first record that the log still holds is told by the first call as an
    /// error that names that record; the next call goes on from there. Documents that have left the log are in the
    /// archive: [`Engine::find`] and the Parquet tables have them.
    pub fn feed(&self, capability: &Capability, from: Position) -> Feed {
        Feed::new(Arc::clone(&self.shared), capability.clone(), from)
    }

    /// Where a named cursor stands; the start when nobody has saved it.
    #[cfg(feature = "parquet")]
    pub(crate) fn cursor_position(&self, name: &str) -> Position {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get(name).copied().unwrap_or(Position::START)
    }

    /// Writes commands down, in order, and waits until all are durable; the LSN of the last.
    pub(crate) fn append_commands(&self, payloads: impl IntoIterator<Item = Vec<u8>>) -> Result<Lsn, Error> {
        let failed = || Error::new(ErrorKind::Reopen, "the log did not take the commands");
        let mut answers = Vec::new();
        for payload in payloads {
            answers.push(self.begin_command(payload)?);
        }
        self.shared.writer_bell.ring();
        let mut last = Lsn::NONE;
        for answer in answers {
            last = answer.recv_timeout(CALL_TIMEOUT).map_err(|_| failed())?.map_err(|_| failed())?;
        }
        if self.shared.wait_durable(last, CALL_TIMEOUT) { Ok(last) } else { Err(failed()) }
    }

    /// Hands a command to the writer, which answers with its LSN once it is rung for.
    pub(crate) fn begin_command(&self, payload: Vec<u8>) -> Result<Receiver<Result<Lsn, Unanswered>>, Error> {
        let (reply, answer) = bounded(1);
        let call = writer::Call::Append { kind: RecordKind::Command, payload, reply };
        let failed = |_| Error::new(ErrorKind::Reopen, "the log did not take the commands");
        self.writer.send(call).map_err(failed)?;
        Ok(answer)
    }

    /// Waits until the registers have folded everything up to a position.
    pub(crate) fn book_reaches(&self, position: Position, timeout: Duration) -> bool {
        self.registers(&Capability::operator()).wait(position, timeout)
    }

    /// A named cursor that the engine keeps: a position that survives restarts.
    pub fn cursor(&self, name: &str) -> Cursor {
        Cursor::new(name, Arc::clone(&self.shared), self.writer.clone(), Arc::clone(&self.cursors))
    }

    /// Seals the open segment and waits until everything durable before the call lies in sealed segments.
    ///
    /// # Errors
    /// `Reopen` when the log has failed or does not come to it in time.
    pub fn seal(&self) -> Result<(), Error> {
        let failed = || Error::new(ErrorKind::Reopen, "the open segment could not be sealed");
        let (reply, answer) = bounded(1);
        self.writer.send(writer::Call::Seal { reply }).map_err(|_| failed())?;
        self.shared.writer_bell.ring();
        match answer.recv_timeout(CALL_TIMEOUT) {
            Ok(true) => Ok(()),
            _ => Err(failed()),
        }
    }

    #[cfg(feature = "parquet")]
    pub(crate) fn has_ended(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    #[cfg(feature = "parquet")]
    pub(crate) fn closed_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.closed)
    }

    /// What of the notifier others see and say.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The host's short way in is closed.
    #[cfg(feature = "testing")]
    pub(crate) fn shut_gate(&self) {
        self.gate.shut();
    }

    /// Stops accepting, finishes what is inside, proves it on disk and ends all threads. Calling it again does
    /// nothing.
    ///
    /// # Errors
    /// `Reopen` when the log had failed or a thread panicked.
    pub fn shutdown(&self) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.set_health(Health::Draining);
        self.gate.shut();
        // A compaction that runs is let finish: once the lock of the directory is gone, another owner may begin one.
        #[cfg(feature = "parquet")]
        let _compaction = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.end(Stage::PortsEnd);
        for port in &self.ports {
            port.bell.ring();
        }
        self.desk.ring();
        let mut ended = join(&self.threads.teller);
        ended = join(&self.threads.ports).and(ended);
        self.shared.end(Stage::WorkersEnd);
        for bell in &self.shared.worker_bells {
            bell.ring();
        }
        ended = join(&self.threads.workers).and(ended);
        self.shared.end(Stage::WriterEnds);
        self.shared.writer_bell.ring();
        ended = join(&self.threads.writer).and(ended);
        self.shared.keeper_bell.ring();
        self.shared.live_bell.ring();
        self.shared.tax_bell.ring();
        ended = join(&self.threads.tax).and(ended);
        ended = join(&self.threads.keeper).and(ended);
        ended = join(&self.threads.live).and(ended);
        ended?;
        if self.health() == Health::Failed {
            return Err(Error::new(ErrorKind::Reopen, "the log had failed"));
        }
        #[cfg(feature = "parquet")]
        self.clock.keep(&*self.shared.env);
        Ok(())
    }
}

fn first(outcomes: Vec<Outcome>) -> Outcome {
    outcomes.into_iter().next().unwrap_or(Outcome::Unanswered(Unanswered::Stopping))
}

fn ended_port() -> Error {
    Error::new(ErrorKind::Reopen, "an I/O thread has ended")
}

fn join(threads: &Mutex<Vec<Box<dyn Task>>>) -> Result<(), Error> {
    let mut ended = Ok(());
    for task in std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner)) {
        ended = task.join().and(ended);
    }
    Ok(ended?)
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown() {
            tracing::error!(%error, "the engine did not end well");
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("dir", &self.dir)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// All rings and channels between the threads.
struct Wiring {
    ports: Vec<port::Rings>,
    workers: Vec<worker::Rings>,
    gate: Vec<Producer<Batch>>,
    writer_workers: Vec<WorkerRings>,
    writer_ports: Vec<PortRings>,
    port_handles: Vec<PortHandle>,
    worker_calls: Vec<Sender<worker::Call>>,
}

impl Wiring {
    fn new(options: &Options) -> Result<Self, Error> {
        let mut wiring = Self {
            ports: Vec::new(),
            workers: Vec::new(),
            gate: Vec::new(),
            writer_workers: Vec::new(),
            writer_ports: Vec::new(),
            port_handles: Vec::new(),
            worker_calls: Vec::new(),
        };
        for _ in 0..options.workers {
            let (to_writer, batches) = rtrb::RingBuffer::new(options.caps.ring_batches);
            let (landed_out, landed) = rtrb::RingBuffer::new(options.caps.on_their_way);
            let (calls_out, calls) = unbounded();
            wiring.workers.push(worker::Rings { from_ports: Vec::new(), to_writer, landed, calls });
            wiring.writer_workers.push(WorkerRings { batches, landed: landed_out });
            wiring.worker_calls.push(calls_out);
        }
        for _ in 0..options.ports {
            let bell = Arc::new(PortBell::default());
            let (to_port, from_writer) = rtrb::RingBuffer::new(options.caps.ring_batches);
            let (listeners_out, listeners) = unbounded();
            let (submissions_out, submissions) = bounded(SUBMITS_WAITING);
            let submissions_left = submissions.clone();
            let mut to_workers = Vec::new();
            for worker in &mut wiring.workers {
                let (to_worker, from_port) = rtrb::RingBuffer::new(options.caps.ring_batches);
                to_workers.push(to_worker);
                worker.from_ports.push(from_port);
            }
            wiring.ports.push(port::Rings {
                to_workers,
                from_writer,
                listeners,
                submissions,
                bell: Arc::clone(&bell),
            });
            wiring.writer_ports.push(PortRings { batches: to_port, bell: Arc::clone(&bell) });
            wiring.port_handles.push(PortHandle {
                listeners: listeners_out,
                submissions: submissions_out,
                left: submissions_left,
                bell,
            });
        }
        // The gate is the last entrance of every worker.
        for worker in &mut wiring.workers {
            let (to_worker, from_gate) = rtrb::RingBuffer::new(1);
            wiring.gate.push(to_worker);
            worker.from_ports.push(from_gate);
        }
        Ok(wiring)
    }
}
