//! A port: one I/O thread with a single-threaded runtime, its connections, and the frames it has inside.
//!
//! ```text
//! sockets ─▶ frames ─▶ a ring to each worker                     ring from the writer ─▶ FIFO by `due`
//! sockets ◀─ answers in the order of each connection ◀─ crypto signs ◀─ what the watermark has passed ◀┘
//! ```
//!
//! No document wakes anybody: the writer rings the port's bell at most once a commit, and the port drains
//! its FIFO through the watermark.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use crossbeam_channel::Receiver;
use ofd_storage::{Error, Position};
use rtrb::{Consumer, Producer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::answers::{Answers, prove};
use crate::bell::PortBell;
use crate::chunks::Chunks;
use crate::confirmation::{Answer, Confirmation, Durable, Sealed};
use crate::connection::{Connection, Reply, read};
use crate::handover::{BATCH_FRAMES_MAX, Back, Batch, Peer, ReturnTo, Slot, Unanswered, Verdict};
use crate::host::{ConfirmOutcome, ConfirmRequest, ConfirmSigns};
use crate::import::Original;
use crate::metering::Refused;
use crate::partition::partition_of;
use crate::planted::{Planted, is};
use crate::queues::{Admitted, Queues};
use crate::shared::{Health, Shared, Stage};
use crate::stream::Stream;
use crate::tickets::{Desk, Outcome, Settling, Ticket};
use crate::turnstile::Full;

/// Memory taken at once for what sockets bring.
const CHUNK_LEN: usize = 256 * 1024;
/// How long the marking relay may take.
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the system could not give a connection: a pause instead of a spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Frames of the host with the desk that takes their outcomes.
pub(crate) struct Submission {
    pub(crate) frames: Vec<Bytes>,
    /// What an import knows of each; of other submissions none.
    pub(crate) originals: Vec<Original>,
    pub(crate) desk: Arc<Desk>,
}

/// An address where registers are accepted.
pub(crate) struct Listening {
    pub(crate) listener: StdListener,
    pub(crate) security: Security,
}

/// How its connections speak.
#[derive(Clone)]
pub(crate) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(crate::tls::TlsIdentity),
}

impl Security {
    fn begin(&self, stream: TcpStream) -> io::Result<Stream> {
        match self {
            Self::Plain => Ok(Stream::Tcp(stream)),
            #[cfg(feature = "tls")]
            Self::Tls(identity) => Ok(Stream::Tls(Box::new(crate::tls::TlsStream::new(stream, identity)?))),
        }
    }
}

/// A submission that is being taken in, frame by frame as there is room.
struct Submitting {
    frames: std::vec::IntoIter<Bytes>,
    /// Place of the next one among the tickets.
    at: usize,
    originals: std::vec::IntoIter<Original>,
    desk: Arc<Desk>,
}

/// What a port is made of.
pub(crate) struct Rings {
    pub(crate) to_workers: Vec<Producer<Batch>>,
    pub(crate) from_writer: Consumer<Batch>,
    pub(crate) listeners: Receiver<Listening>,
    pub(crate) submissions: Receiver<Submission>,
    pub(crate) bell: Arc<PortBell>,
}

/// The end of a port, also by a panic: what the host has submitted and nobody has taken is given up. A bounded channel keeps
/// what lies in it as long as anybody could still send.
struct Leaving {
    bell: Arc<PortBell>,
    submissions: Receiver<Submission>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.bell.fall_deaf();
        self.submissions.try_iter().for_each(drop);
    }
}

/// When a read has brought its frames, and how many of one drive may be on their way and inside by the limits of then.
pub(crate) struct Arrival {
    at_us: u64,
    on_their_way: usize,
    all: usize,
}

/// A place for a connection; the generation tells it from the one that stood here before.
#[derive(Default)]
struct Place {
    generation: u32,
    connection: Option<Rc<Connection>>,
}

#[derive(Default)]
struct Places {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct ToConfirm {
    back: Back,
    durable: Durable,
    answer: Answer,
    container: Bytes,
}

/// What a port has counted and not told yet: an atomic addition for each frame would cost more than all that is counted.
#[derive(Default)]
struct Counted {
    frames: Cell<u64>,
    answered: Cell<u64>,
    unanswered: Cell<u64>,
    frames_inside: Cell<i64>,
    bytes_inside: Cell<i64>,
}

/// The port.
pub(crate) struct Port {
    number: u16,
    shared: Arc<Shared>,
    to_workers: RefCell<Vec<Producer<Batch>>>,
    filling: RefCell<Vec<Batch>>,
    from_writer: RefCell<Consumer<Batch>>,
    /// Batches whose records are appended and not yet known to be durable, in order.
    waiting: RefCell<VecDeque<Batch>>,
    places: RefCell<Places>,
    /// Answers of the host.
    answers: RefCell<Answers>,
    /// Those that its desks have not got yet.
    settling: RefCell<Settling>,
    listeners: Receiver<Listening>,
    submissions: Receiver<Submission>,
    submitting: RefCell<Option<Submitting>>,
    /// Answers that wait for the crypto module.
    to_confirm: RefCell<VecDeque<ToConfirm>>,
    confirm_calls: Cell<usize>,
    /// Bytes of messages whose end has not come yet, and of whole messages inside, each at most `bytes_max`.
    held: Cell<usize>,
    inside_bytes: Cell<usize>,
    counted: Counted,
    bytes_max: Cell<usize>,
    /// Frames by drive.
    queues: RefCell<Queues>,
    /// A ring to a worker was full at the last look.
    stuck: Cell<bool>,
    chunks: RefCell<Chunks>,
    dirty: RefCell<Vec<Rc<Connection>>>,
    inside: Cell<usize>,
    draining: Cell<bool>,
    room: Rc<Notify>,
    drained: Notify,
    flush: Notify,
}

/// Runs a port on this thread until it is told to stop.
pub(crate) fn run(runtime: &PortRuntime, number: u16, shared: &Arc<Shared>, rings: Rings) {
    let Some(runtime) = &runtime.0 else { unreachable!("it is dropped behind this") };
    let local = tokio::task::LocalSet::new();
    shared.goes_first();
    let (port, bell) = make(number, shared, rings);
    local.block_on(runtime, port.live(bell));
}

/// What a port runs on; always `Some` before it is dropped. It takes descriptors, which may be used up: asked for before there is
/// anything that could wait for a port.
pub(crate) struct PortRuntime(Option<Runtime>);

impl PortRuntime {
    pub(crate) fn new() -> Result<Self, Error> {
        let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
        made.map(|it| Self(Some(it))).map_err(|error| Error::io("make the runtime of an I/O thread", error))
    }
}

impl Drop for PortRuntime {
    /// Of an engine that does not open, on a thread that may be one of the host's runtime: waiting there is a panic.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port that does not run yet.
pub(crate) fn make(number: u16, shared: &Arc<Shared>, rings: Rings) -> (Rc<Port>, Arc<PortBell>) {
    let workers = rings.to_workers.len();
    let port = Rc::new(Port {
        number,
        shared: Arc::clone(shared),
        to_workers: RefCell::new(rings.to_workers),
        filling: RefCell::new((0..workers).map(|_| Batch::new(number, shared.vectors.take())).collect()),
        from_writer: RefCell::new(rings.from_writer),
        waiting: RefCell::default(),
        places: RefCell::default(),
        answers: RefCell::new(Answers::new()),
        settling: RefCell::default(),
        listeners: rings.listeners,
        submissions: rings.submissions,
        submitting: RefCell::default(),
        to_confirm: RefCell::default(),
        confirm_calls: Cell::new(0),
        held: Cell::new(0),
        inside_bytes: Cell::new(0),
        counted: Counted::default(),
        bytes_max: Cell::new(shared.limits().bytes_of_a_port(shared.options.ports)),
        queues: RefCell::default(),
        stuck: Cell::new(false),
        chunks: RefCell::new(Chunks::new(CHUNK_LEN)),
        dirty: RefCell::default(),
        inside: Cell::new(0),
        draining: Cell::new(false),
        room: Rc::default(),
        drained: Notify::new(),
        flush: Notify::new(),
    });
    (port, rings.bell)
}

impl Port {
    /// Everything the port does from beginning to end, within a `LocalSet`.
    pub(crate) async fn live(self: Rc<Self>, bell: Arc<PortBell>) {
        spawn_local(Rc::clone(&self).flush_forever());
        let _leaving = Leaving { bell: Arc::clone(&bell), submissions: self.submissions.clone() };
        self.serve(bell).await;
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Frames inside.
    #[cfg(feature = "testing")]
    pub(crate) fn inside(&self) -> usize {
        self.inside.get()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn has_room(&self) -> bool {
        self.inside.get() < self.shared.options.caps.inside
            && self.inside_bytes.get() < self.bytes_max.get()
            && !self.stuck.get()
    }

    /// Counts bytes that connections hold; false when there are too many.
    pub(crate) fn hold(&self, bytes: isize) -> bool {
        self.held.set(self.held.get().saturating_add_signed(bytes));
        self.shared.tally.held_bytes(bytes);
        self.held.get() <= self.bytes_max.get()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Comes back when there may be room again.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Comes back when nothing more is to be read.
    pub(crate) async fn drained(&self) {
        if !self.draining.get() {
            self.drained.notified().await;
        }
    }

    /// Reads what a socket has, up to `most` bytes, into memory that the frames then share.
    pub(crate) fn read_chunk(&self, stream: &Stream, most: usize) -> io::Result<Bytes> {
        let mut chunks = self.chunks.borrow_mut();
        stream.try_read_buf(&mut chunks.room(most).limit(most))?;
        Ok(chunks.piece())
    }

    /// What is asked once for all that a read has brought.
    pub(crate) fn arrival(&self) -> Arrival {
        let limits = self.shared.limits();
        let [on_their_way, all] = [limits.drive_in_flight_max, limits.drive_unanswered_max]
            .map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Arrival { at_us: self.shared.now().mono_us, on_their_way, all }
    }

    /// Takes a frame in; it goes to the worker that owns the drive, or waits for others of its drive.
    pub(crate) fn take(
        &self,
        back: ReturnTo,
        peer: Peer,
        message: Bytes,
        drive: &[u8; 16],
        arrival: &Arrival,
    ) {
        let Arrival { at_us: arrived_us, on_their_way, all } = *arrival;
        self.come_in(message.len());
        let back = Back::Connection(back);
        let slot = |back, message| Slot {
            back,
            peer,
            message,
            original: None,
            arrived_us,
            partition: partition_of(drive),
            verdict: Verdict::Undecided,
        };
        let mut queues = self.queues.borrow_mut();
        match queues.admit(drive, on_their_way, all) {
            Admitted::Goes => self.send(slot(back, message)),
            Admitted::Waits(queue) => queue.push_back(slot(back, message)),
            Admitted::TooMany => {
                self.hold_inside(message.len(), false);
                self.leave_unanswered(&back, Unanswered::TooManyOfOneDrive);
            }
        }
    }

    /// A frame with this many bytes comes in.
    fn come_in(&self, len: usize) {
        add(&self.counted.frames, 1);
        self.inside.set(self.inside.get().saturating_add(1));
        self.hold_inside(len, true);
    }

    /// A frame with this many bytes comes in or is through.
    fn hold_inside(&self, len: usize, comes: bool) {
        let bytes = self.inside_bytes.get();
        self.inside_bytes.set(if comes { bytes.saturating_add(len) } else { bytes.saturating_sub(len) });
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let (one, len) = if comes { (1, len) } else { (-1, len.saturating_neg()) };
        let Counted { frames_inside, bytes_inside, .. } = &self.counted;
        frames_inside.set(frames_inside.get().saturating_add(one));
        bytes_inside.set(bytes_inside.get().saturating_add(len));
    }

    /// Tells what was counted since the last time: behind a read and behind what was submitted, and before anybody gets an answer.
    pub(crate) fn tell_counted(&self) {
        let Counted { frames, answered, unanswered, frames_inside, bytes_inside } = &self.counted;
        let counters = &self.shared.counters;
        for (counted, counter) in
            [(frames, &counters.frames), (answered, &counters.answered), (unanswered, &counters.unanswered)]
        {
            let many = counted.take();
            if many > 0 {
                counter.fetch_add(many, Ordering::Relaxed);
            }
        }
        let (frames, bytes) = (frames_inside.take(), bytes_inside.take());
        if (frames, bytes) != (0, 0) {
            self.shared.tally.inside(frames, bytes);
        }
    }

    /// Puts a frame on its way to the worker of its drive.
    fn send(&self, slot: Slot) {
        let mut filling = self.filling.borrow_mut();
        let worker = usize::from(slot.partition) % filling.len().max(1);
        let Some(batch) = filling.get_mut(worker) else { return };
        batch.slots.push(slot);
        if batch.is_full() {
            drop(filling);
            self.push(worker);
        } else if batch.slots.len() == 1 {
            // For those behind it too: whoever hears it hands over all there are.
            self.flush.notify_one();
        }
    }

    /// Hands a marking message to the host.
    pub(crate) fn relay(self: &Rc<Self>, back: ReturnTo, message: Bytes) {
        let port = Rc::clone(self);
        self.inside.set(self.inside.get().saturating_add(1));
        let answer = self.shared.host.marking.relay(message);
        spawn_local(async move {
            let reply = match timeout(RELAY_TIMEOUT, answer).await {
                Ok(Some(bytes)) => Reply::Relayed(bytes),
                Ok(None) | Err(_) => Reply::Close,
            };
            port.is_out();
            port.deliver(back, reply);
            port.write_dirty();
            port.room.notify_waiters();
        });
    }

    /// Puts a reply where it belongs. What became ready is written by [`Port::write_dirty`].
    pub(crate) fn deliver(&self, back: ReturnTo, reply: Reply) {
        let counter = match &reply {
            Reply::Close => &self.counted.unanswered,
            _ => &self.counted.answered,
        };
        add(counter, 1);
        let places = self.places.borrow();
        let connection = usize::try_from(back.connection)
            .ok()
            .and_then(|at| places.places.get(at)?.connection.as_ref())
            .filter(|it| it.generation() == back.generation);
        if let Some(connection) = connection
            && connection.reply(back.sequence, reply, self.shared.options.operator_inn)
        {
            let mut dirty = self.dirty.borrow_mut();
            dirty.push(Rc::clone(connection));
            if dirty.len() == 1 {
                self.flush.notify_one();
            }
        }
    }

    /// Writes to every connection that has something to say, once.
    fn write_dirty(&self) {
        self.tell_counted();
        let mut dirty = std::mem::take(&mut *self.dirty.borrow_mut());
        for connection in dirty.drain(..) {
            connection.flush();
        }
        let mut now = self.dirty.borrow_mut();
        if now.capacity() < dirty.capacity() && now.is_empty() {
            *now = dirty;
        }
    }

    /// Hands the batch of a worker over. What the ring has no room for is tried again.
    fn push(&self, worker: usize) {
        let mut filling = self.filling.borrow_mut();
        let mut rings = self.to_workers.borrow_mut();
        let (Some(batch), Some(ring)) = (filling.get_mut(worker), rings.get_mut(worker)) else { return };
        let mut handed = false;
        while !batch.slots.is_empty() {
            let mut full = std::mem::replace(batch, Batch::new(self.number, self.shared.vectors.take()));
            // While the ring had no room, frames that were let in before came behind one another: whoever takes a batch counts on
            // its bound.
            if full.slots.len() > BATCH_FRAMES_MAX {
                batch.slots.extend(full.slots.drain(BATCH_FRAMES_MAX..));
            }
            if let Err(rtrb::PushError::Full(mut full)) = ring.push(full) {
                self.stuck.set(true);
                full.slots.append(&mut batch.slots);
                *batch = full;
                break;
            }
            handed = true;
        }
        if handed {
            if batch.slots.is_empty() && self.stuck.replace(false) {
                self.room.notify_waiters();
            }
            if let Ok(worker) = u16::try_from(worker) {
                self.shared.worker_bell(worker).ring();
            }
        }
    }

    /// Hands over what was taken in since the last time, after all sockets that were ready had their turn.
    async fn flush_forever(self: Rc<Self>) {
        loop {
            self.flush.notified().await;
            let workers = self.to_workers.borrow().len();
            loop {
                (0..workers).for_each(|worker| self.push(worker));
                self.write_dirty();
                if self.filling.borrow().iter().all(|batch| batch.slots.is_empty()) {
                    break;
                }
                // The ring is full: reading has stopped or will, by `has_room`.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn serve(self: Rc<Self>, bell: Arc<PortBell>) {
        let mut stop_at = None;
        loop {
            let stopping = self.shared.stage() >= Stage::PortsEnd;
            if stopping && !self.draining.replace(true) {
                self.drained.notify_waiters();
                self.room.notify_waiters();
            }
            self.bytes_max.set(self.shared.limits().bytes_of_a_port(self.shared.options.ports));
            self.drain();
            self.take_listeners();
            self.take_submissions();
            if self.shared.health() == Health::Failed {
                self.close_all();
            }
            if stopping {
                let patience = Duration::from_micros(self.shared.limits().drain_timeout_us);
                let stop_at = *stop_at.get_or_insert_with(|| tokio::time::Instant::now() + patience);
                let failed = self.shared.health() == Health::Failed;
                if self.inside.get() == 0 || failed || tokio::time::Instant::now() >= stop_at {
                    self.write_dirty();
                    self.close_all();
                    return;
                }
            }
            let patience = if stopping { Duration::from_millis(10) } else { Duration::from_secs(1) };
            let _ = timeout(patience, bell.rung()).await;
        }
    }

    fn take_listeners(self: &Rc<Self>) {
        while let Ok(listener) = self.listeners.try_recv() {
            spawn_local(Rc::clone(self).accept(listener));
        }
    }

    /// Takes in what the host submits, as long as there is room; what there is none for stays in its channel.
    fn take_submissions(&self) {
        let mut submitting = self.submitting.borrow_mut();
        // They come now, whenever they were handed to us.
        let mut now_us = None;
        while self.has_room() {
            let Some(current) = submitting.as_mut() else {
                let Ok(Submission { frames, originals, desk }) = self.submissions.try_recv() else { break };
                let (frames, originals) = (frames.into_iter(), originals.into_iter());
                *submitting = Some(Submitting { frames, at: 0, originals, desk });
                continue;
            };
            if current.at % BATCH_FRAMES_MAX == 0 {
                let next = current.frames.as_slice();
                reach(next.get(..BATCH_FRAMES_MAX).unwrap_or(next));
            }
            match current.frames.next() {
                Some(message) => {
                    let original = current.originals.next().map(Box::new);
                    let now_us = *now_us.get_or_insert_with(|| self.shared.now().mono_us);
                    self.submit(current.at, message, original, &current.desk, now_us);
                    current.at = current.at.saturating_add(1);
                }
                None => *submitting = None,
            }
        }
        self.tell_counted();
    }

    fn submit(
        &self,
        at: usize,
        message: Bytes,
        original: Option<Box<Original>>,
        desk: &Arc<Desk>,
        now_us: u64,
    ) {
        let drive = message.get(8..24).and_then(|it| it.first_chunk::<16>()).copied();
        let Some(drive) = drive.filter(|_| !self.draining.get()) else {
            let why = if self.draining.get() { Unanswered::Stopping } else { Unanswered::Noise };
            return desk.settle(at, Outcome::Unanswered(why));
        };
        let ticket = Ticket { desk: Arc::clone(desk), at };
        let back = Back::Host { port: self.number, ticket };
        self.come_in(message.len());
        // The host has its own channel, which waits while the port is full.
        self.send(Slot {
            back,
            peer: Peer::default(),
            message,
            original,
            arrived_us: now_us,
            partition: partition_of(&drive),
            verdict: Verdict::Undecided,
        });
    }

    async fn accept(self: Rc<Self>, listening: Listening) {
        let Listening { listener, security } = listening;
        let mut reserve = listener.as_fd().try_clone_to_owned().ok();
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listener cannot be used");
                return;
            }
        };
        loop {
            while let Err(wait_us) =
                self.shared.turnstile.pace(&self.shared.limits(), self.shared.now().mono_us)
            {
                // What comes faster waits in the queue of the system.
                tokio::time::sleep(Duration::from_micros(wait_us)).await;
            }
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drained() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    match security.begin(stream) {
                        Ok(stream) => self.open_connection(stream, peer),
                        Err(error) => tracing::warn!(%error, "a session of TLS could not be begun"),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.shared.tally.refused(Refused::Descriptors);
                    // One descriptor lies ready for this: whoever waits is told by the end of his connection, and
                    // what the log opens next finds it free.
                    if reserve.take().is_some() {
                        let _ = timeout(Duration::from_millis(1), listener.accept()).await;
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    reserve = listener.as_fd().try_clone_to_owned().ok();
                }
            }
            if self.shared.health() == Health::Failed {
                return;
            }
        }
    }

    /// Takes a connection in, or drops it when there are too many.
    pub(crate) fn open_connection(self: &Rc<Self>, stream: Stream, peer: SocketAddr) {
        let network = match self.shared.turnstile.enter(&self.shared.limits(), peer.ip()) {
            Ok(network) => network,
            Err(full) => {
                let refused = match full {
                    Full::Total => Refused::Total,
                    Full::Network => Refused::Network,
                };
                tracing::debug!(?full, "too many connections, one is closed");
                return self.shared.tally.refused(refused);
            }
        };
        self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let mut places = self.places.borrow_mut();
        let number = places.free.pop().or_else(|| {
            places.places.push(Place::default());
            u32::try_from(places.places.len().saturating_sub(1)).ok()
        });
        let Some(number) = number else { return };
        let Some(place) = usize::try_from(number).ok().and_then(|at| places.places.get_mut(at)) else {
            return;
        };
        place.generation = place.generation.wrapping_add(1);
        let (shared, room) = (Arc::clone(&self.shared), Rc::clone(&self.room));
        let connection = Rc::new(Connection::new(stream, peer, number, place.generation, shared, room));
        place.connection = Some(Rc::clone(&connection));
        drop(places);
        let port = Rc::clone(self);
        spawn_local(async move {
            read(Rc::clone(&port), Rc::clone(&connection)).await;
            port.close_when_answered(connection, number).await;
            port.shared.turnstile.leave(network);
        });
    }

    /// Nothing more is read: the answers that are due are still written, then the place is free.
    async fn close_when_answered(&self, connection: Rc<Connection>, number: u32) {
        while !connection.is_done() && self.shared.health() != Health::Failed {
            self.room.notified().await;
        }
        connection.flush_last().await;
        let mut places = self.places.borrow_mut();
        if let Some(place) = usize::try_from(number).ok().and_then(|at| places.places.get_mut(at)) {
            place.connection = None;
            places.free.push(number);
        }
    }

    fn close_all(&self) {
        for place in &self.places.borrow().places {
            if let Some(connection) = &place.connection {
                connection.shut();
            }
        }
        self.room.notify_waiters();
    }

    /// Takes batches back and settles what the watermark has passed.
    fn drain(self: &Rc<Self>) {
        {
            let mut ring = self.from_writer.borrow_mut();
            let mut waiting = self.waiting.borrow_mut();
            while let Ok(batch) = ring.pop() {
                waiting.push_back(batch);
            }
        }
        let failed = self.shared.health() == Health::Failed;
        let durable = self.shared.watermark.load();
        let mut settled = false;
        loop {
            let next = {
                let mut waiting = self.waiting.borrow_mut();
                let ready = waiting
                    .front()
                    .is_some_and(|batch| batch.due <= durable || failed || is(Planted::AnswersAtAppend));
                if ready { waiting.pop_front() } else { None }
            };
            let Some(mut batch) = next else { break };
            settled = true;
            self.tell_through(&batch.slots);
            batch.slots.drain(..).for_each(|slot| self.settle(slot));
            self.shared.vectors.give(batch.slots);
            self.tell_counted();
            self.settling.borrow_mut().settle();
        }
        self.call_for_signs();
        if settled {
            self.write_dirty();
            self.room.notify_waiters();
        }
    }

    /// Counts frames that are through by how long they were inside: what one read has brought, together.
    fn tell_through(&self, slots: &[Slot]) {
        let now_us = self.shared.now().mono_us;
        for slots in slots.chunk_by(|one, other| one.arrived_us == other.arrived_us) {
            // Whoever watches how long registers wait does not watch a bulk import.
            let many = slots.iter().filter(|it| it.original.is_none()).count();
            if let Some(slot) = slots.first().filter(|_| many > 0) {
                self.shared.tally.through(now_us.saturating_sub(slot.arrived_us), many);
            }
        }
    }

    /// A frame is through: the next of its drive goes on its way.
    fn let_next(&self, slot: &Slot) {
        self.hold_inside(slot.message.len(), false);
        if !matches!(slot.back, Back::Connection(_)) {
            return;
        }
        let drive = match &slot.verdict {
            // The message has left the cache by now.
            Verdict::Settled(settled) => Some(settled.drive.as_bytes()),
            _ => slot.message.get(8..24).and_then(|it| it.first_chunk::<16>()),
        };
        let Some(drive) = drive else { return };
        let next = self.queues.borrow_mut().next(drive);
        if let Some(next) = next {
            self.send(next);
        }
    }

    fn settle(&self, slot: Slot) {
        self.let_next(&slot);
        if slot.original.is_some() {
            return self.keep(&slot);
        }
        let (durable, answer) = match prove(&self.shared, &slot) {
            Ok(proven) => proven,
            Err(why) => return self.leave_unanswered(&slot.back, why),
        };
        if self.shared.host.crypto.passes_through() {
            self.answer(&slot.back, Sealed::new(durable, answer, ConfirmSigns::STAND_IN));
        } else {
            let container = slot.message.slice(ofd_codec::SESSION_HEADER_LEN.min(slot.message.len())..);
            let mut waiting = self.to_confirm.borrow_mut();
            waiting.push_back(ToConfirm { back: slot.back, durable, answer, container });
        }
    }

    /// The end of a frame of an import: it is durable, and nobody is answered.
    fn keep(&self, slot: &Slot) {
        let why = match (&slot.verdict, &slot.back) {
            (Verdict::Settled(settled), Back::Host { ticket, .. })
                if Durable::prove(&self.shared.watermark, settled.lsn).is_some() =>
            {
                self.is_out();
                let (position, fresh) = (Position::new(settled.lsn), settled.fresh);
                let outcome = Outcome::Kept { position, fresh };
                return self.settling.borrow_mut().push(ticket, outcome, || self.tell_counted());
            }
            (Verdict::Settled(_), _) => Unanswered::StorageFailed,
            (Verdict::Close(why), _) => *why,
            (Verdict::Undecided | Verdict::Store(_), _) => Unanswered::Stopping,
        };
        self.leave_unanswered(&slot.back, why);
    }

    /// Opens calls of the crypto module for the answers that wait.
    fn call_for_signs(self: &Rc<Self>) {
        let mut waiting = self.to_confirm.borrow_mut();
        let caps = &self.shared.options.caps;
        while !waiting.is_empty() && self.confirm_calls.get() < caps.confirm_calls {
            let many = waiting.len().min(caps.confirm_answers);
            self.confirm_calls.set(self.confirm_calls.get().saturating_add(1));
            spawn_local(Rc::clone(self).confirm(waiting.drain(..many).collect()));
        }
    }

    /// Has the crypto module sign a batch of answers, then gives them out.
    async fn confirm(self: Rc<Self>, batch: Vec<ToConfirm>) {
        let requests = batch
            .iter()
            .map(|it| ConfirmRequest {
                drive: it.answer.drive,
                number: it.answer.number,
                code: it.answer.code,
                accepted_at: it.answer.accepted_at,
                container: it.container.clone(),
            })
            .collect();
        let limit = Duration::from_micros(self.shared.options.crypto_timeout_us);
        let outcomes = timeout(limit, self.shared.host.crypto.confirm(requests)).await.unwrap_or_default();
        let mut outcomes = outcomes.into_iter();
        for it in batch {
            match outcomes.next().unwrap_or(ConfirmOutcome::Unavailable) {
                ConfirmOutcome::Ok(signs) => self.answer(&it.back, Sealed::new(it.durable, it.answer, signs)),
                ConfirmOutcome::Unavailable => {
                    self.leave_unanswered(&it.back, Unanswered::CryptoUnavailable);
                }
                ConfirmOutcome::Forged | ConfirmOutcome::UnknownDrive => {
                    tracing::warn!("alarm: the crypto module will not sign for a drive");
                    self.leave_unanswered(&it.back, Unanswered::CryptoUnavailable);
                }
            }
        }
        self.tell_counted();
        self.settling.borrow_mut().settle();
        self.confirm_calls.set(self.confirm_calls.get().saturating_sub(1));
        self.call_for_signs();
        self.write_dirty();
        self.take_submissions();
        self.room.notify_waiters();
    }

    /// One frame less is inside.
    fn is_out(&self) {
        self.inside.set(self.inside.get().saturating_sub(1));
    }

    fn answer(&self, back: &Back, sealed: Sealed) {
        if self.shared.health() == Health::Failed && !is(Planted::AnswersWhileFailed) {
            // Durable or not: an engine that has failed says nothing any more.
            return self.leave_unanswered(back, Unanswered::StorageFailed);
        }
        self.is_out();
        match back {
            Back::Connection(back) => self.deliver(*back, Reply::Confirm(Confirmation::new(sealed))),
            Back::Host { ticket, .. } => {
                add(&self.counted.answered, 1);
                let outcome = self.answers.borrow_mut().outcome(&self.shared, sealed);
                self.settling.borrow_mut().push(ticket, outcome, || self.tell_counted());
            }
        }
    }

    fn leave_unanswered(&self, back: &Back, why: Unanswered) {
        self.is_out();
        self.shared.tally.unanswered(why);
        match back {
            Back::Connection(back) => {
                tracing::debug!(%why, "a frame is left unanswered");
                self.deliver(*back, Reply::Close);
            }
            Back::Host { ticket, .. } => {
                add(&self.counted.unanswered, 1);
                let outcome = Outcome::Unanswered(why);
                self.settling.borrow_mut().push(ticket, outcome, || self.tell_counted());
            }
        }
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().saturating_add(more));
}

/// Loads the beginnings of these frames together, which nobody has looked at for a while: one after the other, each would be
/// waited for.
fn reach(frames: &[Bytes]) {
    std::hint::black_box(frames.iter().fold(0, |sum, frame| sum ^ frame.first().copied().unwrap_or(0)));
}
