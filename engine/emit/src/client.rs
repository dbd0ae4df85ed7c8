//! A population of registers on the network: sends whole lives over TCP and checks each answer as a register would.
//!
//! A register has one document in flight unless told otherwise, keeps it until it is answered, and sends the same bytes
//! again after a broken connection. Several registers may share a connection (a concentrator), or each document may
//! open its own. One current-thread runtime carries ten thousand registers on a thousand connections.

mod answer;
mod connection;
mod source;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

pub use answer::{Answer, AnswerError, check_answer};

use crate::journal::Journal;
use crate::life::{ProfileOptions, Register};
use source::Source;

/// How a register behaves when its document is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Pause before the next connection.
    pub pause: Duration,
    /// Connections that may break without an answer before a document is given up; its register then falls silent.
    pub attempts: u32,
}

impl Default for Retry {
    /// Half a second and ten failures, as a common register firmware has it.
    fn default() -> Self {
        Self { pause: Duration::from_millis(500), attempts: 10 }
    }
}

/// One load run.
#[derive(Clone, Copy, Debug)]
pub struct EmitOptions {
    /// Where the operator listens.
    pub connect: SocketAddr,
    /// Simulated registers.
    pub registers: u32,
    /// Settlements of each; around them stand registration, opening and closing of shifts.
    pub receipts: u32,
    /// Seed of the whole population.
    pub seed: u64,
    /// Connections held at once, at most `registers`; fewer than registers means that some share one.
    pub connections: u32,
    /// Documents of one register on the way at once, at least 1.
    pub in_flight: u32,
    /// A connection for each document; `in_flight` then has no effect.
    pub per_document_connection: bool,
    /// Documents a second, all registers together; `None` = as fast as they are answered.
    pub rate: Option<u32>,
    /// After this time without an answer the connection is given up.
    pub answer_timeout: Duration,
    /// After this time a connection attempt is given up.
    pub connect_timeout: Duration,
    /// What follows a broken connection.
    pub retry: Retry,
    /// Writes all messages into memory before the clock starts, so that generation costs the run nothing.
    pub pregenerate: bool,
    /// What the registers are. `receipts` above overrides its own; without `receipts_per_shift` all go into one shift.
    pub profile: ProfileOptions,
}

impl EmitOptions {
    /// Options for `registers` registers with `receipts` settlements each and otherwise what a real register does:
    /// own connection, one document in flight, five minutes of patience.
    pub fn new(connect: SocketAddr, registers: u32, receipts: u32, seed: u64) -> Self {
        Self {
            connect,
            registers,
            receipts,
            seed,
            connections: registers.clamp(1, 1000),
            in_flight: 1,
            per_document_connection: false,
            rate: None,
            answer_timeout: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(3),
            retry: Retry::default(),
            pregenerate: false,
            profile: ProfileOptions::default(),
        }
    }

    /// What each register of this run is: the profile with the run's number of settlements.
    pub fn life(&self) -> ProfileOptions {
        ProfileOptions {
            receipts: Some(self.receipts),
            receipts_per_shift: Some(self.profile.receipts_per_shift.unwrap_or(self.receipts).max(1)),
            ..self.profile
        }
    }
}

/// What came of a run. Documents count once, however often they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitReport {
    /// Documents sent at least once = confirmed + refused + unanswered.
    pub sent: u64,
    /// Documents answered with code 0.
    pub confirmed: u64,
    /// Documents answered with another code.
    pub refused: u64,
    /// Documents given up without an answer.
    pub unanswered: u64,
    /// Repeated sendings.
    pub resent: u64,
    /// Answers that a drive would not have taken: damaged, of another document, without a code.
    pub bad_answers: u64,
    /// From the first connection to the last answer.
    pub elapsed: Duration,
    /// Answered documents a second.
    pub documents_per_second: u64,
    /// Median time from the (last) sending to the answer, microseconds.
    pub p50_us: u64,
    /// 99th percentile of it.
    pub p99_us: u64,
    /// 99.9th percentile of it.
    pub p999_us: u64,
    /// Longest of it.
    pub max_us: u64,
    /// Seed of the population.
    pub seed: u64,
}

/// Counters of a running load, and the switch that ends it early. Share it by `Arc`.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    confirmed: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    resent: AtomicU64,
    bad_answers: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Documents sent at least once.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Documents answered with code 0.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Documents answered with another code.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Documents given up.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Sendings beyond the first of a document.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Asks the registers to send nothing new; what is on the way is still waited for.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a host may attach to a run.
#[derive(Clone, Default)]
pub struct EmitHooks {
    /// Counters that the host reads while the run goes on.
    pub progress: Option<Arc<Progress>>,
    /// Hears of every answered document, before the next one of its register is sent.
    pub journal: Option<Arc<dyn Journal>>,
}

/// Why a run could not begin or was cut short.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// No registers, connections or documents in flight: nothing would ever be sent.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A runtime could not be built.
    #[error("no runtime for the registers: {0}")]
    Runtime(#[from] std::io::Error),
    /// A task of the client failed: our own defect.
    #[error("a connection task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A thread of the client failed: our own defect.
    #[error("a thread of registers failed")]
    Thread,
}

/// What all connections of a run share.
struct Shared {
    options: EmitOptions,
    progress: Arc<Progress>,
    journal: Option<Arc<dyn Journal>>,
    latency: Mutex<Histogram<u64>>,
}

/// Longest latency told apart: ten minutes, twice the patience of a register.
const LATENCY_US_MAX: u64 = 600_000_000;

impl Shared {
    fn new(options: EmitOptions, hooks: EmitHooks) -> Result<Arc<Self>, EmitError> {
        for (value, name) in [
            (options.registers, "registers"),
            (options.connections, "connections"),
            (options.in_flight, "in_flight"),
            (options.rate.unwrap_or(1), "rate"),
        ] {
            if value == 0 {
                return Err(EmitError::Zero(name));
            }
        }
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .expect("1 to 6e8 with three digits is a valid range");
        let progress = hooks.progress.unwrap_or_default();
        Ok(Arc::new(Self { options, progress, journal: hooks.journal, latency: Mutex::new(latency) }))
    }

    fn record(&self, latencies: &mut Vec<u64>) {
        let mut histogram = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        for latency in latencies.drain(..) {
            histogram.saturating_record(latency);
        }
    }

    /// Registers of connection `at`: every `connections`-th one.
    fn sources(&self, at: u32) -> Vec<Source> {
        let life = self.options.life();
        let indices = (at..self.options.registers).step_by(self.connections() as usize);
        indices
            .map(|index| {
                let register = Register::new(self.options.seed, index, &life);
                if self.options.pregenerate { Source::record(register) } else { Source::live(register) }
            })
            .collect()
    }

    fn connections(&self) -> u32 {
        self.options.connections.min(self.options.registers)
    }

    fn report(&self, elapsed: Duration) -> EmitReport {
        let histogram = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (confirmed, refused) = (count(&self.progress.confirmed), count(&self.progress.refused));
        let micros = elapsed.as_micros().max(1);
        EmitReport {
            sent: count(&self.progress.sent),
            confirmed,
            refused,
            unanswered: count(&self.progress.unanswered),
            resent: count(&self.progress.resent),
            bad_answers: count(&self.progress.bad_answers),
            elapsed,
            documents_per_second: u64::try_from(u128::from(confirmed + refused) * 1_000_000 / micros)
                .unwrap_or(u64::MAX),
            // The histogram names its quantiles by floats; these are constants, nothing is computed with them.
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
            seed: self.options.seed,
        }
    }
}

/// Sends the lives of all registers and waits for their answers, on the runtime of the caller.
///
/// # Errors
/// Options that can send nothing; a failed task. An operator that cannot be reached is not an error but shows as
/// `unanswered`.
pub async fn run(options: EmitOptions, hooks: EmitHooks) -> Result<EmitReport, EmitError> {
    let shared = Shared::new(options, hooks)?;
    let registers: Vec<_> = (0..shared.connections()).map(|at| shared.sources(at)).collect();
    let started = Instant::now();
    drive(&shared, registers).await?;
    Ok(shared.report(started.elapsed()))
}

/// As [`run`], on `threads` threads of its own with a current-thread runtime each; blocks until all is answered.
///
/// # Errors
/// As [`run`], and a runtime or thread that could not be started.
pub fn run_on_threads(
    options: EmitOptions,
    hooks: EmitHooks,
    threads: usize,
) -> Result<EmitReport, EmitError> {
    let shared = Shared::new(options, hooks)?;
    let threads = threads.max(1);
    let mut shares: Vec<Vec<Vec<Source>>> = std::iter::repeat_with(Vec::new).take(threads).collect();
    for at in 0..shared.connections() {
        if let Some(share) = shares.get_mut(at as usize % threads) {
            share.push(shared.sources(at));
        }
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let shared = &shared;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(drive(shared, share))
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| EmitError::Thread)?)
    })?;
    Ok(shared.report(started.elapsed()))
}

/// One task a connection.
async fn drive(shared: &Arc<Shared>, registers: Vec<Vec<Source>>) -> Result<(), EmitError> {
    let mut tasks = JoinSet::new();
    for sources in registers {
        let shared = Arc::clone(shared);
        if shared.options.per_document_connection {
            tasks.spawn(connection::one_document_each(shared, sources));
        } else {
            tasks.spawn(connection::held(shared, sources));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
