//! The live picture of the registers: a follower of the log that folds every document behind the watermark.
//!
//! ```text
//! log ─▶ Records ─▶ Registers ──┬─ RegisterBook   cards, drives, shifts (book.rs)
//!          ▲                    ├─ events         DIR/events/<LSN>.events (events.rs) ─▶ EventFeed (event_feed.rs)
//!          │                    └─ checkpoint     DIR/registers/<LSN>.fold (file.rs)
//!          └── from the newest checkpoint on; from the archive where the log no longer reaches back
//! ```
//!
//! Nothing on the way to an answer waits for it: neither writer nor ports know that it is there, and it takes the watermark as it
//! finds it. Compaction does, and a query over shifts: what a table says of them is what it tells (told.rs). What it
//! lags behind it reads from the log, so that nothing is lost and no queue grows; a query says up to where it has folded.
//!
//! The state is shared behind a lock that the fold holds for [`FOLDED_AT_ONCE`] records, and a query for one page.
//!
//! Timers: the fold knows what is due when (registers/wheel.rs) and no clock. When something is due, a tick is asked of the
//! writer, at most one a second; timers go off when that record is folded, so that a replay tells the same.
//!
//! Order: events are readable once they are written, and durable before the checkpoint that would not tell them again. A disk
//! that takes nothing holds back events and checkpoints, and the registers themselves only after [`EVENTS_WAITING_MAX`].
//!
//! Invariant: a start from a checkpoint, at whatever moment, comes to what a fold of the whole log comes to, registers and
//! events (test: `tests/registers_live.rs` and, with a disk that lies, `tests/sim/main.rs`).

mod book;
mod event_feed;
mod events;
mod figures;
pub(crate) mod file;
mod lists;
mod operator;
#[cfg(feature = "parquet")]
mod retold;
mod texts;
#[cfg(feature = "parquet")]
pub(crate) mod told;
mod watched;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Walk;
use ofd_storage::{Env, Error, ErrorKind, LogReader, Lsn, Position, RecordKind, Records};

pub(crate) use self::book::Book;
pub use self::book::{Register, RegisterBook, RegisterPage};
pub use self::event_feed::EventFeed;
use self::events::EventWriter;
pub(crate) use self::file::crc_of_parts;
pub use self::lists::{Dashboard, Listed, ListedPage, Sales};
use crate::builder::OPERATOR_INN_STAND_IN;
use crate::handover::Unanswered;
use crate::pace::{Follower, Pace, Patience};
use crate::past::LogPast;
use crate::registers::{Event, Registers, SHIFTS_KEPT};
use crate::shared::{Health, Shared, Stage, Turn};
use crate::watch::RuleSet;
use crate::writer;

/// Records that are folded while the lock is held.
const FOLDED_AT_ONCE: usize = 256;
/// How long it sleeps when nothing has come: an event is told within this time. Nobody rings, so that no commit pays for it.
const IDLE_SLEEP: Duration = Duration::from_millis(50);
/// And when nothing has come for long.
const LONG_SLEEP: Duration = Duration::from_millis(250);
/// Events that may wait for the disk before nothing more is folded.
const EVENTS_WAITING_MAX: usize = 65_536;
/// Looks without anything new before it sleeps long.
const IDLE_LOOKS: u32 = 20;
/// Takings that are written down for each document that has come, about half of what the document takes in the log.
const TAKINGS_BYTES_A_DOCUMENT: usize = 256;
/// Ticks are this far apart at least.
const TICK_US: u64 = 1_000_000;
/// How long it waits after an error of the disk.
const RETRY_US: u64 = 1_000_000;

/// The follower at work.
pub(crate) struct Live {
    shared: Arc<Shared>,
    past: LogPast,
    /// INN of this operator, as registrations name it; `None` while nobody has said it.
    ours: Option<String>,
    schema: u64,
    /// The walk along the log; `None` until it has begun, and after an error.
    records: Option<Records>,
    begun: bool,
    /// `None` until the disk has taken the first events.
    writer: Option<EventWriter>,
    /// Where it begins then.
    events_from: Lsn,
    /// Told by the fold and not written yet.
    events: Vec<Event>,
    /// The events of all records up to here are written.
    told: Option<Position>,
    idle_looks: u32,
    retry_at_us: u64,
    /// What was durable at a moment, and that moment: the lag is told by when it is folded.
    mark: Option<(Lsn, u64)>,
    writer_calls: Sender<writer::Call>,
    /// The place of a tick that was asked for.
    tick: Option<Receiver<Result<Lsn, Unanswered>>>,
    /// That of the last one.
    ticked: Lsn,
    /// Before this time there is no other.
    tick_at_us: u64,
    patience: Patience,
}

impl Live {
    /// `writer_calls` reach the writer, who appends ticks.
    pub(crate) fn new(shared: Arc<Shared>, writer_calls: Sender<writer::Call>) -> Self {
        let past = LogPast::new(shared.reader.clone(), Arc::clone(&shared.env));
        let told = ours(&shared);
        let ours = told.or_else(|| operator::known(&*shared.env));
        let schema = file::schema_of(ours.as_deref(), SHIFTS_KEPT);
        // A start counts as behind from its begin.
        let begun_us = shared.now().mono_us;
        shared.book.caught_up(begun_us);
        let begun = (shared.watermark.load(), begun_us);
        Self {
            shared,
            past,
            ours,
            schema,
            records: None,
            begun: false,
            writer: None,
            events_from: Lsn::NONE,
            events: Vec::new(),
            told: None,
            idle_looks: 0,
            retry_at_us: 0,
            mark: Some(begun),
            writer_calls,
            tick: None,
            ticked: Lsn::NONE,
            tick_at_us: 0,
            patience: Patience::default(),
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.shared.live_bell.is_mine();
        let mut pace = Pace::new(Arc::clone(&self.shared), Follower::Registers);
        loop {
            match self.turn() {
                Turn::Worked => {
                    self.idle_looks = 0;
                    pace.give_way(|| self.is_urgent());
                }
                Turn::Idle => {
                    self.idle_looks = self.idle_looks.saturating_add(1);
                    let sleep = if self.idle_looks > IDLE_LOOKS { LONG_SLEEP } else { IDLE_SLEEP };
                    self.shared.live_bell.sleep(sleep, || true);
                }
                Turn::Ended => return,
            }
        }
    }

    /// Somebody waits for it, or it is too far behind to stay away.
    fn is_urgent(&self) -> bool {
        let Shared { book, watermark, .. } = &*self.shared;
        let (records, us) = book.lag(watermark.load(), self.shared.now().mono_us);
        self.patience.is_over(if records == 0 { 0 } else { us.max(1) }) || book.is_awaited()
    }

    /// One piece of work.
    pub(crate) fn turn(&mut self) -> Turn {
        if self.shared.stage() >= Stage::WriterEnds || self.shared.health() == Health::Failed {
            self.shared.book.end();
            return Turn::Ended;
        }
        let now_us = self.shared.now().mono_us;
        if now_us < self.retry_at_us {
            return Turn::Idle;
        }
        match self.step() {
            Ok(true) => Turn::Worked,
            Ok(false) => Turn::Idle,
            Err(error) => {
                tracing::warn!(%error, "the fold of the registers waits");
                self.records = None;
                self.retry_at_us = now_us.saturating_add(RETRY_US);
                Turn::Idle
            }
        }
    }

    fn step(&mut self) -> Result<bool, Error> {
        if self.shared.rebuild_registers.load(Ordering::Acquire) {
            file::forget::<Registers>(&*self.shared.env)?;
            self.shared.rebuild_registers.store(false, Ordering::Release);
            self.begun = false;
        }
        if !self.begun {
            self.begin()?;
            return Ok(true);
        }
        let mut written = self.tell();
        let mut worked = false;
        // The registers go on while the disk takes no events, for some time.
        if written.is_ok() || self.events.len() < EVENTS_WAITING_MAX {
            worked = self.fold()?;
            written = self.tell();
        }
        match written {
            Ok(()) => {
                self.want_tick();
                Ok(self.checkpoint()? || worked)
            }
            Err(_) if worked => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Asks the writer for a tick when something is due and all there is has been folded; once a second at most, and not
    /// before the last one has come.
    fn want_tick(&mut self) {
        let now = self.shared.now();
        let position = self.shared.book.position().unwrap_or_default();
        if let Some(answer) = &self.tick {
            match answer.try_recv() {
                Ok(Ok(lsn)) => (self.tick, self.ticked) = (None, lsn),
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => self.tick = None,
                Err(TryRecvError::Empty) => {}
            }
        }
        let waits = self.tick.is_some() || position.lsn() < self.ticked || now.mono_us < self.tick_at_us;
        if waits || position.lsn() < self.shared.watermark.load() || self.shared.is_full() {
            return;
        }
        if self.shared.book.read().due_us().is_none_or(|due_us| due_us > now.wall_us) {
            return;
        }
        let second = u32::try_from(now.wall_us.div_euclid(1_000_000)).unwrap_or(0);
        if !self.shared.book.fold().has_due(second) {
            return;
        }
        let (reply, answer) = bounded(1);
        let call = writer::Call::Append { kind: RecordKind::Tick, payload: Vec::new(), reply };
        if self.writer_calls.send(call).is_ok() {
            self.shared.writer_bell.ring();
            (self.tick, self.tick_at_us) = (Some(answer), now.mono_us.saturating_add(TICK_US));
        }
    }

    /// From the newest checkpoint, or from the archive.
    fn begin(&mut self) -> Result<(), Error> {
        let Shared { env, reader, book, .. } = &*self.shared;
        let empty = || Registers::new(self.ours.clone(), SHIFTS_KEPT).seeded(|| env.random());
        self.ours.iter().for_each(|inn| operator::keep(&**env, inn));
        let schema = events::schema_of(self.schema);
        let has_events = |through| events::reach(&**env, through, schema);
        let kept = file::newest(&**env, reader, self.schema, &empty, &has_events)?;
        let through = kept.as_ref().map_or(Lsn::NONE, |it| it.position().lsn());
        let mut registers = kept.unwrap_or_else(empty);
        book.untell();
        (self.writer, self.events_from, self.told, self.records) = (None, through, None, None);
        self.events.clear();
        let goes_on = || self.shared.stage() < Stage::WriterEnds;
        // An archive has more to tell than memory takes.
        let (writer, from) = (&mut self.writer, self.events_from);
        let mut tell = |events: &mut Vec<Event>| {
            opened(writer, &**env, from, schema)?.put(events)?;
            events.clear();
            Ok(())
        };
        from_archive(env, reader, &mut registers, &self.past, &goes_on, &mut tell)?;
        book.begin(registers, through);
        self.begun = true;
        Ok(())
    }

    /// Writes what the fold has told, and publishes how far it is.
    fn tell(&mut self) -> Result<(), Error> {
        let Shared { env, book, .. } = &*self.shared;
        let position = book.read().position();
        if self.told == Some(position) {
            return Ok(());
        }
        let schema = events::schema_of(self.schema);
        let writer = opened(&mut self.writer, &**env, self.events_from, schema)?;
        writer.put(&self.events)?;
        self.events.clear();
        book.tell(schema, writer.place(), position);
        self.told = Some(position);
        Ok(())
    }

    /// Folds what has come, up to a bound.
    fn fold(&mut self) -> Result<bool, Error> {
        let Shared { reader, book, watermark, .. } = &*self.shared;
        let durable = watermark.load();
        let (mark, mark_us) = *self.mark.get_or_insert((durable, self.shared.now().mono_us));
        let mut registers = book.fold();
        let records = self.records.get_or_insert_with(|| reader.records_from(registers.position(), durable));
        records.extend(durable);
        let mut worked = false;
        for _ in 0..FOLDED_AT_ONCE {
            match records.next() {
                Ok(Some((record, _))) => registers.fold(&record, &self.past, &mut self.events)?,
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%error, "alarm: the registers lack a part of the log");
                    registers.pass(records.position());
                }
                Err(error) => return Err(error),
            }
            worked = true;
        }
        let position = registers.position();
        drop(registers);
        if position.lsn() >= mark {
            book.caught_up(mark_us);
            self.mark = None;
        }
        if worked {
            book.folded(position);
        }
        Ok(worked)
    }

    /// A checkpoint costs as much as there are registers and takings, so there is one when about as many documents have come,
    /// or when somebody asks.
    fn checkpoint(&mut self) -> Result<bool, Error> {
        let Shared { env, reader, book, options, .. } = &*self.shared;
        let Some(writer) = &mut self.writer else { return Ok(false) };
        let (kept, asked) = book.kept();
        let registers = book.read();
        let through = registers.position().lsn();
        let drives = u64::try_from(registers.count().0).unwrap_or(u64::MAX);
        let behind = through.get().saturating_sub(kept.get());
        let takings =
            u64::try_from(registers.takings_len_bytes() / TAKINGS_BYTES_A_DOCUMENT).unwrap_or(u64::MAX);
        let due = behind >= drives.max(takings).max(options.checkpoint_after) || (asked && behind > 0);
        if due && reader.holds(through) {
            if let Err(error) = writer.end(&**env, through) {
                // A file whose sync has failed is not synced again: all of it is told anew. Readers wait until then: what they
                // would find there is what the system has left of it.
                self.begun = false;
                book.untell();
                return Err(error);
            }
            book.tell(events::schema_of(self.schema), writer.place(), registers.position());
            let written = file::write(&**env, reader, self.schema, &*registers)?;
            drop(registers);
            book.wrote(written);
            return Ok(true);
        }
        if asked {
            book.wrote(kept);
        }
        Ok(false)
    }
}

/// The writer of events, which is made when the first are to be written.
fn opened<'w>(
    writer: &'w mut Option<EventWriter>,
    env: &dyn Env,
    from: Lsn,
    schema: u64,
) -> Result<&'w mut EventWriter, Error> {
    match writer {
        Some(writer) => Ok(writer),
        None => Ok(writer.insert(EventWriter::begin(env, from, schema)?)),
    }
}

/// INN of this operator, as the host has told it.
fn ours(shared: &Shared) -> Option<String> {
    let inn = String::from_utf8_lossy(&shared.options.operator_inn).trim_end().to_owned();
    (inn != OPERATOR_INN_STAND_IN).then_some(inn)
}

/// Where a fold begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At the newest checkpoint of the owner.
    Checkpoint,
    /// At the first record of the archive, or of the log.
    Beginning,
}

/// Everything from the first record on, as these rules across documents tell it.
pub(crate) fn fold_asking(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    ours: Option<&str>,
    rules: RuleSet,
    tell: &mut dyn FnMut(&mut Vec<Event>) -> Result<(), Error>,
) -> Result<(), Error> {
    let ours = ours.map(str::to_owned).or_else(|| operator::known(&**env));
    let registers = Registers::new(ours, SHIFTS_KEPT).seeded(|| env.random()).asking(rules);
    fold_on(env, reader, registers, tell).map(drop)
}

/// The registers as a log that nobody here writes to tells them; `tell` takes the events of whole records.
pub(crate) fn fold_log(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    ours: Option<&str>,
    from: From,
    tell: &mut dyn FnMut(&mut Vec<Event>) -> Result<(), Error>,
) -> Result<(Registers, LogPast), Error> {
    let ours = ours.map(str::to_owned).or_else(|| operator::known(&**env));
    let empty = || Registers::new(ours.clone(), SHIFTS_KEPT).seeded(|| env.random());
    let registers = match from {
        From::Checkpoint => {
            let schema = file::schema_of(ours.as_deref(), SHIFTS_KEPT);
            file::newest(&**env, reader, schema, &empty, &|_| Ok(true))?.unwrap_or_else(empty)
        }
        From::Beginning => empty(),
    };
    fold_on(env, reader, registers, tell)
}

/// Folds everything behind what these registers know.
fn fold_on(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    mut registers: Registers,
    tell: &mut dyn FnMut(&mut Vec<Event>) -> Result<(), Error>,
) -> Result<(Registers, LogPast), Error> {
    let past = LogPast::new(reader.clone(), Arc::clone(env));
    from_archive(env, reader, &mut registers, &past, &|| true, tell)?;
    let mut records = reader.records_from(registers.position(), reader.durable());
    let mut events = Vec::new();
    loop {
        match records.next() {
            Ok(Some((record, _))) => registers.fold(&record, &past, &mut events)?,
            Ok(None) => return Ok((registers, past)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a part of the log cannot be read");
                registers.pass(records.position());
            }
            Err(error) => return Err(error),
        }
        tell(&mut events)?;
    }
}

/// Folds what has left the log for the archive. `goes_on` says when to give up; `tell` takes the events of whole records.
fn from_archive(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    registers: &mut Registers,
    past: &LogPast,
    goes_on: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&mut Vec<Event>) -> Result<(), Error>,
) -> Result<(), Error> {
    let before = reader.first().prev();
    if registers.position().lsn() >= before {
        return Ok(());
    }
    #[cfg(feature = "parquet")]
    {
        tracing::info!(%before, "the registers are folded from the archive: they have no checkpoint");
        let mut events = Vec::new();
        let mut walk = Walk::new(env, registers.position(), Position::new(before));
        let mut more = true;
        while more {
            if !goes_on() {
                return Err(Error::new(ErrorKind::Retry, "the engine ends"));
            }
            more = retold::fold_archived(&mut walk, registers, past, FOLDED_AT_ONCE, &mut events)?;
            tell(&mut events)?;
        }
    }
    #[cfg(not(feature = "parquet"))]
    {
        let _ = (env, past, goes_on, tell);
        tracing::error!(%before, "alarm: this build cannot read the archive, the registers begin with the log");
    }
    registers.pass(Position::new(before));
    Ok(())
}

/// Removes the files of events that have left the log for the archive, from which they can be told again.
///
/// # Errors
/// Of the system.
#[cfg(feature = "parquet")]
pub(crate) fn drop_events(env: &dyn Env, through: Lsn) -> Result<usize, Error> {
    events::remove_through(env, through)
}
