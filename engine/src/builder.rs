//! Opening an engine: every option with its unit, default and bounds, and the host's traits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "parquet")]
use ofd_storage::store::place::Place as ArchivePlace;
use ofd_storage::{Env, LogOptions, Mirror, Mirrored, RealEnv, SinkFailure};

use crate::cursor::CURSOR_NAME_LEN_MAX;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::handover::Caps;
use crate::host::{
    AcceptAll, Access, Admission, Channel, Directory, DriveCrypto, EmptyDirectory, KeyProvider, MarkingRelay,
    Meter, NoKeys, NoMarking, NoMeter, OperatorOnly, PlainCrypto, TaxService,
};
use crate::limits::{Limits, TestPing};
use crate::tax::TaxOptions;

/// What the engine was told. Made by [`EngineBuilder`].
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) ports: u16,
    pub(crate) workers: u16,
    pub(crate) operator_inn: [u8; 12],
    pub(crate) operator_zone_min: i16,
    pub(crate) refuse: Vec<String>,
    pub(crate) append_deadline_us: u64,
    pub(crate) crypto_timeout_us: u64,
    /// Those of the start; the present ones are `Shared::limits`.
    pub(crate) limits: Limits,
    pub(crate) test_ping: TestPing,
    pub(crate) checkpoint_after: u64,
    pub(crate) registers: bool,
    pub(crate) caps: Caps,
    /// How long the log keeps what the archive holds, days.
    pub(crate) log_keep_days: u32,
    /// Years that a document stays in the archive.
    pub(crate) archive_keep_years: u16,
    #[cfg(feature = "parquet")]
    pub(crate) clock_confirmed: bool,
    /// Where the archive lies from now on; `None`: where the directory says.
    #[cfg(feature = "parquet")]
    pub(crate) archive_place: Option<ArchivePlace>,
    #[cfg(feature = "parquet")]
    pub(crate) archive_adopted: bool,
    /// Cursors that have to pass a record before it leaves the log.
    pub(crate) required_cursors: Vec<String>,
    /// How long a subscription may fail before what it tries is given up, microseconds.
    pub(crate) notice_deadline_us: u64,
    pub(crate) tax: TaxOptions,
    pub(crate) log: LogOptions,
}

/// The host's side of the house.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) crypto: Arc<dyn DriveCrypto>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) admission: Arc<dyn Admission>,
    /// `None`: there is no leg.
    pub(crate) tax: Option<Arc<dyn TaxService>>,
    pub(crate) marking: Arc<dyn MarkingRelay>,
    /// By name; empty: nobody is told anything.
    pub(crate) channels: BTreeMap<String, Arc<dyn Channel>>,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) keys: Arc<dyn KeyProvider>,
}

/// Most workers: one a partition.
pub const WORKERS_MAX: u16 = 256;
/// Most I/O threads.
pub const PORTS_MAX: u16 = 64;

/// The INN that stands in answers until the host has named its own: no register was ever registered with it, so that the
/// fold of the registers takes this operator for unknown.
pub const OPERATOR_INN_STAND_IN: &str = "7704211201";

/// Largest low-water mark, bytes.
const FREE_BYTES_MIN_MAX: u64 = 1 << 40;

/// Builds an [`Engine`]. Everything has a default: `Engine::builder(dir).open()` is a working engine with
/// plain crypto, an empty directory and nobody downstream.
#[must_use = "a builder does nothing until `open`"]
pub struct EngineBuilder {
    pub(crate) dir: PathBuf,
    pub(crate) env: Option<Arc<dyn Env>>,
    pub(crate) mirror: Option<Arc<dyn Env>>,
    pub(crate) mirror_failure: SinkFailure,
    pub(crate) options: Options,
    pub(crate) host: Host,
}

impl EngineBuilder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let spare = u16::try_from(cores.saturating_sub(1)).unwrap_or(u16::MAX);
        Self {
            dir,
            env: None,
            mirror: None,
            mirror_failure: SinkFailure::Stop,
            options: Options {
                ports: (spare / 4).clamp(1, PORTS_MAX),
                workers: spare.clamp(1, WORKERS_MAX),
                operator_inn: *b"7704211201  ",
                operator_zone_min: 180,
                refuse: Vec::new(),
                append_deadline_us: 2_000_000,
                crypto_timeout_us: 1_000_000,
                limits: Limits::default(),
                test_ping: TestPing::Close,
                checkpoint_after: 1_000_000,
                registers: true,
                caps: Caps::default(),
                log_keep_days: 35,
                archive_keep_years: 5,
                #[cfg(feature = "parquet")]
                clock_confirmed: false,
                #[cfg(feature = "parquet")]
                archive_place: None,
                #[cfg(feature = "parquet")]
                archive_adopted: false,
                required_cursors: Vec::new(),
                notice_deadline_us: 72 * 3_600 * 1_000_000,
                tax: TaxOptions::default(),
                log: LogOptions::default(),
            },
            host: Host {
                crypto: Arc::new(PlainCrypto),
                directory: Arc::new(EmptyDirectory::default()),
                admission: Arc::new(AcceptAll),
                tax: None,
                marking: Arc::new(NoMarking),
                channels: BTreeMap::new(),
                meter: Arc::new(NoMeter),
                access: Arc::new(OperatorOnly),
                keys: Arc::new(NoKeys),
            },
        }
    }

    /// I/O threads, 1..=64. Default: a quarter of the cores less one, at least one.
    pub fn io_threads(mut self, threads: u16) -> Self {
        self.options.ports = threads;
        self
    }

    /// Worker threads, 1..=256: each owns 256 / workers partitions. Default: cores less one.
    pub fn workers(mut self, workers: u16) -> Self {
        self.options.workers = workers;
        self
    }

    /// INN of the operator (1017), 10 or 12 digits. Default [`OPERATOR_INN_STAND_IN`]. A drive that is registered with
    /// another operator has left; with the stand-in nothing of the kind is concluded.
    pub fn operator_inn(mut self, inn: &str) -> Self {
        let mut padded = [b' '; 12];
        for (place, byte) in padded.iter_mut().zip(inn.bytes()) {
            *place = byte;
        }
        // An INN that does not fit is found out by `open`, as is one with letters.
        self.options.operator_inn = if inn.len() <= 12 { padded } else { [b'?'; 12] };
        self
    }

    /// Minutes east of UTC of the clock that stands in answers (1012), −720..=840. Default 180.
    pub fn operator_zone_min(mut self, minutes: i16) -> Self {
        self.options.operator_zone_min = minutes;
        self
    }

    /// Rule ids whose breach is answered 14. Default: none, findings never refuse.
    pub fn refuse<I: IntoIterator<Item = S>, S: Into<String>>(mut self, rules: I) -> Self {
        self.options.refuse = rules.into_iter().map(Into::into).collect();
        self
    }

    /// How long a frame may wait before it is appended, microseconds, 10,000..=60,000,000. Default 2 s; a
    /// later one is dropped and its connection closed.
    pub fn append_deadline_us(mut self, microseconds: u64) -> Self {
        self.options.append_deadline_us = microseconds;
        self
    }

    /// How long a call of the crypto module may take, microseconds, 1,000..=60,000,000. Default 1 s: less
    /// than a frame may wait in all, so that what stands behind a lost call is not lost with it.
    pub fn crypto_timeout_us(mut self, microseconds: u64) -> Self {
        self.options.crypto_timeout_us = microseconds;
        self
    }

    /// Deadlines and caps of the port. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Connections at once, 1..=1,000,000. Default 100,000. The same as [`Limits::connections_max`].
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.options.limits.connections_max = u64::try_from(connections).unwrap_or(u64::MAX);
        self
    }

    /// What a test ping is told. Default: nothing, its connection is closed.
    pub fn test_ping(mut self, reply: TestPing) -> Self {
        self.options.test_ping = reply;
        self
    }

    /// Records behind the newest checkpoint of the lanes, or of the registers, before another is written, 1..; with more
    /// lanes than that, as many as there are lanes. Default 1,000,000. What lies behind a checkpoint is folded again at a start.
    pub fn checkpoint_after(mut self, records: u64) -> Self {
        self.options.checkpoint_after = records.max(1);
        self
    }

    /// Whether the engine folds its registers behind the watermark, for [`Engine::registers`]. Default true; without it the
    /// log is kept as before, and who turns it on later gets the same registers.
    pub fn registers(mut self, live: bool) -> Self {
        self.options.registers = live;
        self
    }

    /// Length of a log segment, bytes: 1 MiB..=1 GiB, a multiple of 4 KiB. Default 64 MiB. A batch takes at
    /// most an eighth of it.
    pub fn segment_len_bytes(mut self, bytes: u64) -> Self {
        self.options.log.segment_len = bytes;
        let eighth = usize::try_from(bytes / 8 / 4096 * 4096).unwrap_or(usize::MAX);
        self.options.log.batch_len_max = eighth.min(LogOptions::default().batch_len_max);
        self
    }

    /// The low-water mark of the disk, bytes, 0..=1 TiB; 0 = room for two further segments, the default. With less free
    /// space no segment is prepared: the log uses up what is reserved, then the engine is
    /// [`Health::Deferring`](crate::Health::Deferring) until space returns.
    pub fn free_bytes_min(mut self, bytes: u64) -> Self {
        self.options.log.free_bytes_min = (bytes > 0).then_some(bytes);
        self
    }

    /// How long the log keeps what the archive holds already, days, 0..=3650; 0 = no longer than it takes. Default 35.
    /// Nothing leaves the log but by `Engine::retain`.
    pub fn log_keep_days(mut self, days: u32) -> Self {
        self.options.log_keep_days = days;
        self
    }

    /// Years that a document stays in the archive, 5..=100. Default 5, which is what the law asks for. Nothing leaves
    /// the archive but by `Engine::retain`.
    pub fn archive_keep_years(mut self, years: u16) -> Self {
        self.options.archive_keep_years = years;
        self
    }

    /// A person has looked at the clock: [`crate::Engine::retain`] goes by it though it says that nothing was done here for
    /// months. A clock that leaps afterwards is not believed all the same. Default: nobody has.
    #[cfg(feature = "parquet")]
    pub fn confirm_clock(mut self) -> Self {
        self.options.clock_confirmed = true;
        self
    }

    /// Where the archive lies when it is not in the data directory: an object store, which needs the feature `object-store`. The directory
    /// remembers it, so that it has to be told once; another URL is refused once the archive has begun. Default: where the
    /// directory says, else in the directory.
    #[cfg(feature = "parquet")]
    pub fn archive_place(mut self, place: ArchivePlace) -> Self {
        self.options.archive_place = Some(place);
        self
    }

    /// Takes over an archive in an object store whose directory is gone for good, see [`ofd_storage::store::place::adopt`].
    #[cfg(feature = "parquet")]
    pub fn adopt_archive(mut self) -> Self {
        self.options.archive_adopted = true;
        self
    }

    /// Cursors that have to pass a record before it may leave the log, by name; one that was never saved stands at the
    /// start and keeps everything. Default: none.
    pub fn required_cursors<I: IntoIterator<Item = S>, S: Into<String>>(mut self, names: I) -> Self {
        self.options.required_cursors = names.into_iter().map(Into::into).collect();
        self
    }

    /// A directory on a second device that gets every byte of the log, too: a document is answered when both devices
    /// have it. It is itself a log, from which the engine can go on when the data directory is lost. One of its
    /// own to each engine. Default: none.
    pub fn mirror(self, dir: impl Into<PathBuf>) -> Self {
        self.mirror_env(Arc::new(RealEnv::new(dir)))
    }

    /// The same over another door to the system, for tests.
    pub fn mirror_env(mut self, env: Arc<dyn Env>) -> Self {
        self.mirror = Some(env);
        self
    }

    /// What happens when the mirror fails. Default [`SinkFailure::Stop`]: nothing is answered any more. With
    /// [`SinkFailure::Degrade`] the engine goes on **with one copy** and is [`Health::Degraded`](crate::Health::Degraded).
    pub fn mirror_failure(mut self, failure: SinkFailure) -> Self {
        self.mirror_failure = failure;
        self
    }

    /// The crypto module. Default: [`PlainCrypto`].
    pub fn crypto(mut self, crypto: Arc<dyn DriveCrypto>) -> Self {
        self.host.crypto = crypto;
        self
    }

    /// The directory of registers. Default: [`EmptyDirectory`].
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.host.directory = directory;
        self
    }

    /// Admission. Default: [`AcceptAll`].
    pub fn admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.host.admission = admission;
        self
    }

    /// The tax service, which gets every document of production. Default: none, and then there is no leg: nothing is sent, and
    /// nothing is lost either, as a leg that comes later begins with the first document.
    pub fn tax_service(mut self, tax: Arc<dyn TaxService>) -> Self {
        self.host.tax = Some(tax);
        self
    }

    /// Bounds, waits and alarm of the leg to the tax service. Default: [`TaxOptions::default`].
    pub fn tax_options(mut self, options: TaxOptions) -> Self {
        self.options.tax = options;
        self
    }

    /// The marking relay. Default: [`NoMarking`].
    pub fn marking(mut self, marking: Arc<dyn MarkingRelay>) -> Self {
        self.host.marking = marking;
        self
    }

    /// The delivery channel named `default`: see [`EngineBuilder::channel_named`].
    pub fn channel(self, channel: Arc<dyn Channel>) -> Self {
        self.channel_named("default", channel)
    }

    /// A delivery channel, by the name that subscriptions ask for it by. Default: none. With one there is a thread more,
    /// which tells subscribers of what happens to the registers ([`crate::notify`]); it needs [`EngineBuilder::registers`].
    pub fn channel_named(mut self, name: impl Into<String>, channel: Arc<dyn Channel>) -> Self {
        self.host.channels.insert(name.into(), channel);
        self
    }

    /// How long a subscription may fail before what it tries is given up, microseconds, 60,000,000..=2,592,000,000,000. Default
    /// 72 hours. Nothing is given up before [`crate::notify::ATTEMPTS_MIN`] attempts of its own.
    pub fn notice_deadline_us(mut self, microseconds: u64) -> Self {
        self.options.notice_deadline_us = microseconds;
        self
    }

    /// The meter. Default: [`NoMeter`]. This version takes it and does not call it yet.
    pub fn meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.host.meter = meter;
        self
    }

    /// Who may see what. Default: [`OperatorOnly`].
    pub fn access(mut self, access: Arc<dyn Access>) -> Self {
        self.host.access = access;
        self
    }

    /// Keys of records at rest. Default: [`NoKeys`]. This version takes it and does not call it yet.
    pub fn keys(mut self, keys: Arc<dyn KeyProvider>) -> Self {
        self.host.keys = keys;
        self
    }

    /// Files, clock and randomness. Default: the machine's own, in the directory of the builder.
    pub fn env(mut self, env: Arc<dyn Env>) -> Self {
        self.env = Some(env);
        self
    }

    /// Opens the directory: takes its lock, recovers the log, rebuilds the lanes and starts the threads.
    ///
    /// # Errors
    /// `Busy` when another process owns the directory; `Fix` when an option is out of bounds; what recovery
    /// says of the disk.
    pub fn open(self) -> Result<Engine, Error> {
        let options = &self.options;
        if !(1..=PORTS_MAX).contains(&options.ports) {
            return Err(out_of("io_threads", "1..=64"));
        }
        if !(1..=WORKERS_MAX).contains(&options.workers) {
            return Err(out_of("workers", "1..=256"));
        }
        let digits = options.operator_inn.iter().take_while(|it| it.is_ascii_digit()).count();
        if !matches!(digits, 10 | 12) || !options.operator_inn.iter().skip(digits).all(|it| *it == b' ') {
            return Err(out_of("operator_inn", "10 or 12 digits"));
        }
        if !(-720..=840).contains(&options.operator_zone_min) {
            return Err(out_of("operator_zone_min", "-720..=840"));
        }
        if !(10_000..=60_000_000).contains(&options.append_deadline_us) {
            return Err(out_of("append_deadline_us", "10000..=60000000"));
        }
        if !(1_000..=60_000_000).contains(&options.crypto_timeout_us) {
            return Err(out_of("crypto_timeout_us", "1000..=60000000"));
        }
        // The longest document, sealed and opened, must fit into one batch.
        if !(1 << 20..=1 << 30).contains(&options.log.segment_len) {
            return Err(out_of("segment_len_bytes", "1048576..=1073741824"));
        }
        if options.log.free_bytes_min.is_some_and(|bytes| bytes > FREE_BYTES_MIN_MAX) {
            return Err(out_of("free_bytes_min", "0..=1099511627776"));
        }
        if let Some((limit, bounds)) = options.limits.fault() {
            return Err(out_of(limit, bounds));
        }
        if let Some((option, bounds)) = options.tax.fault() {
            return Err(out_of(option, bounds));
        }
        if options.log_keep_days > 3650 {
            return Err(out_of("log_keep_days", "0..=3650"));
        }
        if !(5..=100).contains(&options.archive_keep_years) {
            return Err(out_of("archive_keep_years", "5..=100"));
        }
        if !options.registers && !self.host.channels.is_empty() {
            return Err(Error::new(
                ErrorKind::Fix,
                "a delivery channel needs the registers: what it tells is their events",
            ));
        }
        if !(60_000_000..=2_592_000_000_000).contains(&options.notice_deadline_us) {
            return Err(out_of("notice_deadline_us", "60000000..=2592000000000"));
        }
        if options.required_cursors.iter().any(|name| !(1..=CURSOR_NAME_LEN_MAX).contains(&name.len())) {
            return Err(out_of("a name in required_cursors", "1..=128 bytes"));
        }
        if let Some(unknown) = options.refuse.iter().find(|rule| !is_rule(rule)) {
            return Err(Error::new(ErrorKind::Fix, format!("there is no rule {unknown:?} to refuse by")));
        }
        let env = self.env.unwrap_or_else(|| Arc::new(RealEnv::new(&self.dir)));
        let env = with_mirror(env, self.mirror, self.mirror_failure);
        Engine::open(self.dir, env, self.options, self.host)
    }
}

/// The machine, with the mirror of its log if there is one.
pub(crate) fn with_mirror(
    env: Arc<dyn Env>,
    mirror: Option<Arc<dyn Env>>,
    failure: SinkFailure,
) -> Arc<dyn Env> {
    match mirror {
        Some(mirror) => Arc::new(Mirrored::new(env, Mirror { env: mirror, failure })),
        None => env,
    }
}

/// What is said of an option that cannot be so.
pub(crate) fn out_of(what: &str, bounds: &str) -> Error {
    Error::new(ErrorKind::Fix, format!("{what} is out of bounds, which are {bounds}"))
}

fn is_rule(rule: &str) -> bool {
    ofd_codec::rules::rules().iter().any(|it| it.id.key == rule || it.id.name == rule)
}
