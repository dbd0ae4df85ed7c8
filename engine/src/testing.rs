//! The engine without threads (feature `testing`): one scheduler gives writer, workers and ports their turns, in
//! whatever order it likes, over an environment and sockets it owns. What runs is the code that ships; only the
//! loops around it are missing, and the clock of the runtime stands still unless it is moved.
//!
//! One caller, one thread, the same calls in the same order: then one execution, to the byte.

mod commanding;
mod socket;
mod subscribing;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};
use ofd_codec::DriveNumber;
use ofd_storage::{IndexEntry, LogOptions, LogReader, Lsn, Position, RealEnv};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, yield_now};

pub use self::commanding::Commanding;
pub use self::socket::Socket;
pub use self::subscribing::Subscribing;
use crate::bell::PortBell;
use crate::builder::{EngineBuilder, with_mirror};
use crate::cursor::{Cursor, not_taken};
use crate::engine::{Engine, Parts};
use crate::error::Error;
use crate::handover::{Caps, Unanswered};
use crate::keeper::Keeper;
use crate::live::Live;
use crate::notify::Teller;
#[cfg(ofd_planted)]
pub use crate::planted::{Planted, plant};
use crate::port::{self, Port};
use crate::registers::Registers;
use crate::seat::Seat;
use crate::shared::{Health, Shared, Stage, Turn};
use crate::stream::Stream;
use crate::tax::leg::Leg;
use crate::worker::Worker;
use crate::writer::Writer;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Something was done: there may be more.
    Worked,
    /// There was nothing to do.
    Idle,
    /// The part has ended.
    Ended,
}

impl From<Turn> for Turned {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Worked => Self::Worked,
            Turn::Idle => Self::Idle,
            Turn::Ended => Self::Ended,
        }
    }
}

/// Bounds of the queues inside, far below those of the product, so that every queue fills.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// Batches in one ring.
    pub ring_batches: usize,
    /// Frames of one port inside the engine.
    pub inside: usize,
    /// Documents of one worker on their way to the log; at least four times what the crypto module may hold.
    pub on_their_way: usize,
    /// Batches of a worker that wait for the writer.
    pub backlog: usize,
    /// Calls of one worker, or of one port, at the crypto module.
    pub calls: usize,
    /// Frames in one of them.
    pub call_frames: usize,
    /// Frames that wait for one of them.
    pub call_waiting: usize,
    /// Frames of one connection that wait for answers.
    pub unanswered: usize,
}

impl Queues {
    fn caps(&self) -> Caps {
        Caps {
            ring_batches: self.ring_batches,
            inside: self.inside,
            on_their_way: self.on_their_way,
            backlog: self.backlog,
            opening_calls: self.calls,
            opening_frames: self.call_frames,
            opening_waiting: self.call_waiting,
            confirm_calls: self.calls,
            confirm_answers: self.call_frames,
            unanswered: self.unanswered,
        }
    }
}

/// Most frames that one read of a socket brings: 64 KiB of the shortest messages.
const READ_FRAMES_MAX: usize = 64 * 1024 / 62 + 1;

/// A port with the runtime it lives in.
struct SimPort {
    // Dropped before the runtime that its timers belong to.
    local: LocalSet,
    port: Rc<Port>,
    bell: Arc<PortBell>,
    ended: Rc<Cell<bool>>,
    runtime: Runtime,
    /// The time its runtime believes in, monotonic microseconds.
    at_us: u64,
}

/// An engine in parts.
pub struct Machine {
    engine: Engine,
    ports: Vec<SimPort>,
    workers: Vec<Arc<Seat>>,
    writer: Option<Writer>,
    keeper: Option<Keeper>,
    live: Option<Live>,
    teller: Option<Teller>,
    tax: Option<Leg>,
}

impl Machine {
    /// Opens an engine and starts nothing. Bounds of options are not checked, those of the log are.
    ///
    /// # Errors
    /// What recovery says.
    pub fn open(builder: EngineBuilder, queues: Option<Queues>, log: LogOptions) -> Result<Self, Error> {
        let EngineBuilder { dir, env, mirror, mirror_failure, mut options, host } = builder;
        options.log = log;
        options.caps = queues.map_or_else(Caps::default, |it| it.caps());
        let env = env.unwrap_or_else(|| Arc::new(RealEnv::new(&dir)));
        let env = with_mirror(env, mirror, mirror_failure);
        let (engine, Parts { writer, workers, ports, keeper, live, teller, tax }) =
            Engine::assemble(dir, env, options, host)?;
        let ports = (0..).zip(ports).map(|(number, rings)| SimPort::new(number, engine.shared(), rings));
        Ok(Self {
            ports: ports.collect::<Result<_, _>>()?,
            workers,
            writer: Some(writer),
            keeper: Some(keeper),
            live,
            teller,
            tax,
            engine,
        })
    }

    /// The handle. What waits for an answer of a part must not be called: nobody else gives it its turn.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A turn of the writer.
    pub fn writer_turn(&mut self) -> Turned {
        turn(&mut self.writer, Writer::turn)
    }

    /// A turn of a worker.
    pub fn worker_turn(&mut self, worker: usize) -> Turned {
        self.workers.get(worker).map_or(Turned::Ended, |seat| seat.turn().into())
    }

    /// A turn of a port: its runtime is moved to the time of the environment, then every task that is ready gets on,
    /// `rounds` times.
    pub fn port_turn(&mut self, port: usize, rounds: usize) -> Turned {
        let now_us = self.engine.shared().now().mono_us;
        let Some(SimPort { local, ended, runtime, at_us, .. }) = self.ports.get_mut(port) else {
            return Turned::Ended;
        };
        let passed = Duration::from_micros(now_us.saturating_sub(*at_us));
        *at_us = now_us.max(*at_us);
        local.block_on(runtime, async {
            if !passed.is_zero() {
                tokio::time::advance(passed).await;
            }
            for _ in 0..rounds {
                yield_now().await;
            }
        });
        if ended.get() { Turned::Ended } else { Turned::Worked }
    }

    /// Connects a register to a port; the other end of the socket is returned.
    pub fn connect(&mut self, port: usize, peer: SocketAddr) -> Socket {
        let socket = Socket::default();
        if let Some(SimPort { local, port, .. }) = self.ports.get(port) {
            let _guard = local.enter();
            port.open_connection(Stream::Simulated(socket.clone()), peer);
        }
        socket
    }

    /// Begins or goes on with the end of the engine, as [`Engine::shutdown`] does it: notifier, ports, workers, writer.
    /// True: everything has ended but what waits for nothing.
    pub fn end(&mut self) -> bool {
        let shared = self.engine.shared();
        shared.set_health(Health::Draining);
        self.engine.shut_gate();
        shared.end(Stage::PortsEnd);
        // It waits a moment for what is under way.
        if self.teller.is_some() {
            self.ports.iter().for_each(|it| it.bell.ring());
            return false;
        }
        if !self.ports.iter().all(|it| it.ended.get()) {
            self.ports.iter().for_each(|it| it.bell.ring());
            return false;
        }
        shared.end(Stage::WorkersEnd);
        if self.sitting() > 0 {
            return false;
        }
        shared.end(Stage::WriterEnds);
        self.writer.is_none()
    }

    /// The queue that holds more than its bound, if there is one.
    pub fn over_bound(&self) -> Option<String> {
        let caps = &self.engine.shared().options.caps;
        let worker = self.workers.iter().find_map(|seat| seat.look(Worker::over_bound).flatten());
        worker.or_else(|| {
            let inside = self.ports.iter().map(|it| it.port.inside()).max()?;
            let most = caps.inside.saturating_add(READ_FRAMES_MAX);
            (inside > most).then(|| format!("{inside} frames inside of a port, at most {most}"))
        })
    }

    /// A turn of the keeper: an index file or a checkpoint.
    pub fn keeper_turn(&mut self) -> Turned {
        turn(&mut self.keeper, Keeper::turn)
    }

    /// A turn of the fold of the registers: some records, or a checkpoint.
    pub fn registers_turn(&mut self) -> Turned {
        turn(&mut self.live, Live::turn)
    }

    /// A turn of the notifier.
    pub fn notify_turn(&mut self) -> Turned {
        turn(&mut self.teller, Teller::turn)
    }

    /// A turn of the leg to the tax service.
    pub fn tax_turn(&mut self) -> Turned {
        turn(&mut self.tax, Leg::turn)
    }

    /// The registers as far as they are folded; `None` until they have begun.
    pub fn registers(&self) -> Option<Registers> {
        let book = &self.engine.shared().book;
        book.position().map(|_| book.read().clone())
    }

    /// Where documents of a drive lie, as far as its worker has heard.
    ///
    /// # Errors
    /// When an index file is damaged or the disk fails.
    pub fn entries(&self, drive: DriveNumber, number: Option<u32>) -> Result<Vec<IndexEntry>, Error> {
        self.engine.heard_entries(drive, number)
    }

    /// Frames inside of all ports: taken in and neither answered nor given up.
    pub fn inside(&self) -> usize {
        self.ports.iter().map(|it| it.port.inside()).sum()
    }

    /// Who has not ended yet.
    pub fn alive(&self) -> String {
        let ports = self.ports.iter().filter(|it| !it.ended.get()).count();
        let workers = self.sitting();
        let (writer, teller) = (usize::from(self.writer.is_some()), usize::from(self.teller.is_some()));
        format!("{ports} ports, {workers} workers, {writer} writer, {teller} notifier")
    }

    /// Workers that have not ended yet.
    fn sitting(&self) -> usize {
        self.workers.iter().filter(|seat| seat.look(|_| ()).is_some()).count()
    }

    /// Reads the log as far as it is durable.
    pub fn reader(&self) -> &LogReader {
        &self.engine.shared().reader
    }
}

fn turn<P>(part: &mut Option<P>, turn: impl FnOnce(&mut P) -> Turn) -> Turned {
    let turned = part.as_mut().map_or(Turned::Ended, |part| turn(part).into());
    if turned == Turned::Ended {
        *part = None;
    }
    turned
}

impl SimPort {
    fn new(number: u16, shared: &Arc<Shared>, rings: port::Rings) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| Error::system("a runtime for a port", error))?;
        let local = LocalSet::new();
        let (port, bell) = port::make(number, shared, rings);
        let ended = Rc::new(Cell::new(false));
        let (living, tells, rung) = (Rc::clone(&port), Rc::clone(&ended), Arc::clone(&bell));
        local.spawn_local(async move {
            living.live(rung).await;
            tells.set(true);
        });
        Ok(Self { local, port, bell, ended, runtime, at_us: shared.now().mono_us })
    }
}

/// A position of a named cursor on its way to the log: [`Cursor::save`] for who has no thread to wait on.
pub struct Saving {
    position: Position,
    answer: Receiver<Result<Lsn, Unanswered>>,
    lsn: Option<Lsn>,
}

impl Saving {
    /// Hands the position to the writer.
    ///
    /// # Errors
    /// As [`Cursor::save`].
    pub fn begin(cursor: &Cursor, position: Position) -> Result<Self, Error> {
        Ok(Self { position, answer: cursor.begin(position)?, lsn: None })
    }

    /// True: it is saved. False: ask again later.
    ///
    /// # Errors
    /// As [`Cursor::save`].
    pub fn poll(&mut self, engine: &Engine, cursor: &Cursor) -> Result<bool, Error> {
        if self.lsn.is_none() {
            match self.answer.try_recv() {
                Ok(appended) => self.lsn = Some(appended.map_err(|_| not_taken())?),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(not_taken()),
            }
        }
        if self.lsn.is_some_and(|lsn| lsn <= engine.durable().lsn()) {
            cursor.saved(self.position);
            return Ok(true);
        }
        if engine.health() == Health::Failed { Err(not_taken()) } else { Ok(false) }
    }
}
