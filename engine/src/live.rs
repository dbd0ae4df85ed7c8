//! The live picture of the registers: a follower of the log that folds every document behind the watermark.
//!
//! ```text
//! log ─▶ Records ─▶ Registers ──┬─ RegisterBook   cards, drives, shifts (book.rs)
//!          ▲                    └─ checkpoint     DIR/registers/<LSN>.fold (file.rs)
//!          └── from the newest checkpoint on; from the archive where the log no longer reaches back
//! ```
//!
//! Nobody waits for it: neither writer nor ports know that it is there, and it takes the watermark as it finds it. What it
//! lags behind it reads from the log, so that nothing is lost and no queue grows; a query says up to where it has folded.
//!
//! The state is shared behind a lock that the fold holds for [`FOLDED_AT_ONCE`] records, and a query for one page.
//!
//! Invariant: a start from a checkpoint, at whatever moment, comes to what a fold of the whole log comes to
//! (test: `tests/registers_live.rs` and, with a disk that lies, `tests/sim/main.rs`).

mod book;
mod file;

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "parquet")]
use ofd_storage::manifest::Archive;
use ofd_storage::{Env, Error, ErrorKind, LogReader, Lsn, Position, Records};

pub(crate) use self::book::Book;
pub use self::book::{Register, RegisterBook, RegisterPage};
use crate::builder::OPERATOR_INN_STAND_IN;
use crate::past::LogPast;
use crate::registers::{Event, Registers, SHIFTS_KEPT};
use crate::shared::{Health, Shared, Stage, Turn};

/// Records that are folded while the lock is held.
const FOLDED_AT_ONCE: usize = 256;
/// How long it sleeps when nothing has come: an event is told within this time. Nobody rings, so that no commit pays for it.
const IDLE_SLEEP: Duration = Duration::from_millis(50);
/// And when nothing has come for long.
const LONG_SLEEP: Duration = Duration::from_millis(250);
/// Looks without anything new before it sleeps long.
const IDLE_LOOKS: u32 = 20;
/// How long it waits after an error of the disk.
const RETRY_US: u64 = 1_000_000;

/// The follower at work.
pub(crate) struct Live {
    shared: Arc<Shared>,
    past: LogPast,
    schema: u64,
    /// The walk along the log; `None` until it has begun, and after an error.
    records: Option<Records>,
    begun: bool,
    events: Vec<Event>,
    idle_looks: u32,
    retry_at_us: u64,
}

impl Live {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let past = LogPast::new(shared.reader.clone(), Arc::clone(&shared.env));
        let schema = file::schema_of(ours(&shared).as_deref(), SHIFTS_KEPT);
        Self {
            shared,
            past,
            schema,
            records: None,
            begun: false,
            events: Vec::new(),
            idle_looks: 0,
            retry_at_us: 0,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.shared.live_bell.is_mine();
        loop {
            match self.turn() {
                Turn::Worked => self.idle_looks = 0,
                Turn::Idle => {
                    self.idle_looks = self.idle_looks.saturating_add(1);
                    let sleep = if self.idle_looks > IDLE_LOOKS { LONG_SLEEP } else { IDLE_SLEEP };
                    self.shared.live_bell.sleep(sleep, || true);
                }
                Turn::Ended => return,
            }
        }
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
        if !self.begun {
            self.begin()?;
            self.begun = true;
            return Ok(true);
        }
        let folded = self.fold()?;
        let kept = self.checkpoint()?;
        Ok(folded || kept)
    }

    /// From the newest checkpoint, or from the archive.
    fn begin(&mut self) -> Result<(), Error> {
        let Shared { env, reader, book, .. } = &*self.shared;
        let empty = || Registers::new(ours(&self.shared), SHIFTS_KEPT).seeded(|| env.random());
        let kept = file::newest(&**env, reader, self.schema, &empty)?;
        let through = kept.as_ref().map_or(Lsn::NONE, |it| it.position().lsn());
        let mut registers = kept.unwrap_or_else(empty);
        let goes_on = || self.shared.stage() < Stage::WriterEnds;
        from_archive(env, reader, &mut registers, &self.past, &goes_on)?;
        book.begin(registers, through);
        Ok(())
    }

    /// Folds what has come, up to a bound.
    fn fold(&mut self) -> Result<bool, Error> {
        let Shared { reader, book, watermark, .. } = &*self.shared;
        let durable = watermark.load();
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
        self.events.clear();
        if worked {
            book.folded(position);
        }
        Ok(worked)
    }

    /// A checkpoint costs as much as there are registers, so there is one when about as many documents have come, or when
    /// somebody asks.
    fn checkpoint(&mut self) -> Result<bool, Error> {
        let Shared { env, reader, book, options, .. } = &*self.shared;
        let (kept, asked) = book.kept();
        let registers = book.read();
        let through = registers.position().lsn();
        let drives = u64::try_from(registers.count().0).unwrap_or(u64::MAX);
        let behind = through.get().saturating_sub(kept.get());
        let due = behind >= drives.max(options.checkpoint_after) || (asked && behind > 0);
        if due && reader.holds(through) {
            let written = file::write(&**env, reader, self.schema, &registers)?;
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

/// INN of this operator, as registrations name it; `None` while the host has not said it.
fn ours(shared: &Shared) -> Option<String> {
    let inn = String::from_utf8_lossy(&shared.options.operator_inn).trim_end().to_owned();
    (inn != OPERATOR_INN_STAND_IN).then_some(inn)
}

/// The registers as a log that nobody here writes to tells them: from the newest checkpoint of its owner and what lies
/// behind it.
pub(crate) fn fold_log(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    ours: Option<&str>,
) -> Result<(Registers, LogPast), Error> {
    let past = LogPast::new(reader.clone(), Arc::clone(env));
    let empty = || Registers::new(ours.map(str::to_owned), SHIFTS_KEPT).seeded(|| env.random());
    let schema = file::schema_of(ours, SHIFTS_KEPT);
    let mut registers = file::newest(&**env, reader, schema, &empty)?.unwrap_or_else(empty);
    from_archive(env, reader, &mut registers, &past, &|| true)?;
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
        events.clear();
    }
}

/// Folds what has left the log for the archive. `goes_on` says when to give up.
fn from_archive(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    registers: &mut Registers,
    past: &LogPast,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let before = reader.first().prev();
    if registers.position().lsn() >= before {
        return Ok(());
    }
    #[cfg(feature = "parquet")]
    {
        tracing::info!(%before, "the registers are folded from the archive: they have no checkpoint");
        let mut events = Vec::new();
        let after = registers.position().lsn();
        let read = Archive::open(env)?.replay(Position::new(before), &mut |record| {
            if !goes_on() {
                return Err(Error::new(ErrorKind::Retry, "the engine ends"));
            }
            let record = record.record();
            if record.lsn() > after {
                registers.fold(&record, past, &mut events)?;
                events.clear();
            }
            Ok(())
        });
        match read {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, "alarm: the registers lack a part of the archive");
            }
            other => other?,
        }
    }
    #[cfg(not(feature = "parquet"))]
    {
        let _ = (env, past, goes_on);
        tracing::error!(%before, "alarm: this build cannot read the archive, the registers begin with the log");
    }
    registers.pass(Position::new(before));
    Ok(())
}
