//! Reading a directory without owning it: beside the process that does, or after it ended.
//!
//! Takes no lock and changes nothing. Sees what had reached the log when it opened: everything durable, and beside
//! a running owner perhaps the one write whose sync is still on its way. A search asks the owner's index files and walks
//! what lies behind them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ofd_codec::{DocumentView, DriveNumber};
use ofd_storage::envelope::Envelope;
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Archive;
use ofd_storage::scrub::{Scrub, ScrubOptions};
#[cfg(feature = "parquet")]
use ofd_storage::union::Snapshot;
#[cfg(feature = "parquet")]
use ofd_storage::verify::{VerifyReport, verify};
use ofd_storage::{
    Env, ErrorKind, LogReader, OwnedRecord, Position, RealEnv, RecordKind, SideEntry, SideIndex,
};

#[cfg(feature = "parquet")]
use crate::derive::EngineDerive;
use crate::error::Error;
use crate::host::{Capability, Scope};
use crate::live::{Book, From, RegisterBook, fold_asking, fold_log};
use crate::past::LogPast;
use crate::query::{StoredDocument, user_inn};
use crate::registers::{Event, Registers};
use crate::sides::SCHEMA;
use crate::watch::RuleSet;

/// A directory opened for reading.
pub struct ReadOnly {
    dir: PathBuf,
    env: Arc<dyn Env>,
    reader: LogReader,
    sides: SideIndex,
}

impl ReadOnly {
    /// Opens the directory of an engine.
    ///
    /// # Errors
    /// Of the system, `is_not_found` when there is no log; `Corrupt` when the log as a whole cannot be read.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        let env: Arc<dyn Env> = Arc::new(RealEnv::new(&dir));
        #[cfg(feature = "parquet")]
        let env = ofd_storage::store::place::with_store(env)?;
        let (reader, sides) = LogReader::open_read_only_with_index(Arc::clone(&env), SCHEMA)?;
        Ok(Self { dir, env, reader, sides })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its files, and the log as it was seen.
    #[cfg(feature = "sql")]
    pub(crate) fn parts(&self) -> (Arc<dyn Env>, LogReader) {
        (Arc::clone(&self.env), self.reader.clone())
    }

    /// Everything up to here was durable when it was opened.
    pub fn durable(&self) -> Position {
        Position::new(self.reader.durable())
    }

    /// A machine that re-reads sealed segments and the files of the archive, see [`ofd_storage::scrub`].
    pub fn scrub(&self, options: ScrubOptions) -> Scrub {
        Scrub::new(Arc::clone(&self.env), self.reader.clone(), options)
    }

    /// The documents under a drive and number, as [`crate::Engine::find`] gives them.
    ///
    /// # Errors
    /// `Corrupt` when nothing was found and a part of the log could not be read: it may have lain there.
    pub fn find(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Vec<StoredDocument>, Error> {
        self.look_up(capability, drive, Some(number), |_| true)
    }

    /// The documents of a drive with this printed fiscal sign, as [`crate::Engine::find_by_sign`] gives them.
    ///
    /// # Errors
    /// As [`ReadOnly::find`].
    pub fn find_by_sign(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        sign: u32,
    ) -> Result<Vec<StoredDocument>, Error> {
        self.look_up(capability, drive, None, |document| document.has_sign(sign))
    }

    /// The registers that a capability shows, as [`crate::Engine::registers`] tells them, as of [`ReadOnly::durable`]. `ours` is
    /// the INN of this operator (1017); `None`: the one that the owner works with.
    ///
    /// Goes on from the newest checkpoint that the owner has left, if it was folded with the same INN; otherwise from the
    /// beginning, archive included. A part that cannot be read is passed over: its numbers are missing.
    ///
    /// # Errors
    /// Of the system.
    pub fn registers(&self, capability: &Capability, ours: Option<&str>) -> Result<RegisterBook, Error> {
        let mut unheard = |events: &mut Vec<Event>| {
            events.clear();
            Ok(())
        };
        let (mut registers, past) = fold_log(&self.env, &self.reader, ours, From::Checkpoint, &mut unheard)?;
        // Nobody has to write a tick for the lights to be those of now.
        registers.look(self.env.now().wall_us);
        Ok(RegisterBook::new(Arc::new(Book::of(registers)), past, capability.clone()))
    }

    /// Hands every event of the registers to `each`, in order, from the beginning of the archive or of the log to
    /// [`ReadOnly::durable`]: the same that [`crate::Engine::events`] tells from the start. `ours` as for
    /// [`ReadOnly::registers`].
    ///
    /// # Errors
    /// Of the system.
    pub fn fold_events(&self, ours: Option<&str>, each: &mut dyn FnMut(Event)) -> Result<(), Error> {
        let mut tell = |events: &mut Vec<Event>| {
            events.drain(..).filter(|it| it.kind.is_news()).for_each(&mut *each);
            Ok(())
        };
        Ok(fold_log(&self.env, &self.reader, ours, From::Beginning, &mut tell).map(drop)?)
    }

    /// As [`ReadOnly::fold_events`], asking these rules across documents; what is no news among them.
    pub(crate) fn fold_asking(
        &self,
        rules: RuleSet,
        ours: Option<&str>,
        each: &mut dyn FnMut(Event),
    ) -> Result<(), Error> {
        let mut tell = |events: &mut Vec<Event>| {
            events.drain(..).for_each(&mut *each);
            Ok(())
        };
        Ok(fold_asking(&self.env, &self.reader, ours, rules, &mut tell)?)
    }

    /// What the registers did, folded from the documents of the log that the capability shows: cards, drives, and of
    /// each drive its shifts, as many settled ones as `keep` says. `ours` is the INN of this operator (1017).
    ///
    /// Reads the whole log; documents that have left it for the archive are not among them, so that a drive begins with
    /// the first that is there. A part that cannot be read is passed over: its numbers are missing.
    ///
    /// # Errors
    /// Of the system.
    pub fn fold_registers(
        &self,
        capability: &Capability,
        ours: Option<String>,
        keep: usize,
    ) -> Result<Registers, Error> {
        let mut registers = Registers::new(ours, keep).seeded(|| self.env.random());
        let past = LogPast::new(self.reader.clone(), Arc::clone(&self.env));
        let mut events = Vec::new();
        let from = Position::new(self.reader.first().prev());
        let mut records = self.reader.records_from(from, self.reader.durable());
        loop {
            match records.next() {
                Ok(Some((record, _))) => {
                    let sees = || {
                        let envelope = Envelope::of(&record).ok();
                        let view = envelope.and_then(|it| DocumentView::new_checked(it.plain).ok());
                        let inn = view.as_ref().and_then(user_inn);
                        capability.sees(inn.as_deref())
                    };
                    if matches!(capability.scope(), Scope::Operator) || sees() {
                        registers.fold(&record, &past, &mut events)?;
                        events.clear();
                    }
                }
                Ok(None) => return Ok(registers),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "a part of the log cannot be read");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn look_up(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: Option<u32>,
        matches: impl Fn(&StoredDocument) -> bool,
    ) -> Result<Vec<StoredDocument>, Error> {
        let mut found = Vec::new();
        let mut keep = |document: StoredDocument| {
            if matches(&document) && capability.sees(document.inn().as_deref()) {
                found.push(document);
            }
        };
        let view = self.sides.view();
        let mut entries = Vec::new();
        let numbers = number.map_or(0..=u32::MAX, |number| number..=number);
        view.get(drive.to_bcd_u64(), &numbers, &mut entries)?;
        entries.sort_unstable_by_key(|entry| entry.lsn);
        for entry in entries {
            if let Some(record) = self.stored(drive, &entry)? {
                keep(StoredDocument::new(record));
            }
        }
        let from = Position::new(view.through().max(self.reader.first().prev()));
        let mut records = self.reader.records_from(from, self.reader.durable());
        let mut lost = None;
        loop {
            let record = match records.next() {
                Ok(Some((record, _))) => record,
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "a part of the log cannot be read");
                    lost.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if record.kind() != RecordKind::Document {
                continue;
            }
            let Ok(envelope) = Envelope::of(&record) else { continue };
            if envelope.drive == *drive.as_bytes() && number.is_none_or(|it| it == envelope.number) {
                keep(StoredDocument::new(record.to_owned_record()));
            }
        }
        match lost {
            Some(error) if found.is_empty() => Err(error.into()),
            _ => Ok(found),
        }
    }

    /// The record of a document, from the log or, where its segment has left, from the archive; `None` when it has left
    /// that as well.
    fn stored(&self, drive: DriveNumber, entry: &SideEntry) -> Result<Option<OwnedRecord>, Error> {
        let read = self.reader.holds(entry.lsn).then(|| self.reader.read_of(entry.lsn, entry.location));
        match read {
            Some(Ok(record)) => Ok(Some(record)),
            // The owner may have dropped it since we looked.
            Some(Err(error)) => match self.archived(drive, entry) {
                Ok(Some(record)) if error.is_not_found() => Ok(Some(record)),
                _ => Err(error.into()),
            },
            None => self.archived(drive, entry),
        }
    }

    #[cfg(feature = "parquet")]
    fn archived(&self, drive: DriveNumber, entry: &SideEntry) -> Result<Option<OwnedRecord>, Error> {
        let archive = Archive::open(&self.env)?;
        Ok(archive.document(Position::new(entry.lsn), drive.as_str(), entry.number)?)
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_self, reason = "the archive is read through it")]
    fn archived(&self, _drive: DriveNumber, entry: &SideEntry) -> Result<Option<OwnedRecord>, Error> {
        Err(crate::stored::without_archive(entry.lsn).into())
    }

    /// Archive and tail of the log as one, as [`crate::Engine::snapshot`] gives them. `ours` is the INN of this operator (1017);
    /// `None`: the one that the owner works with. With another one shifts are folded from the beginning.
    ///
    /// # Errors
    /// As [`Snapshot::take`].
    #[cfg(feature = "parquet")]
    pub fn snapshot(&self, ours: Option<&str>) -> Result<Snapshot, Error> {
        Ok(snapshot(&self.env, &self.reader, ours)?)
    }

    /// Reads everything back: checksums, order, log against Parquet.
    ///
    /// # Errors
    /// As [`verify`]: damage of single records is no error but a number in the report.
    #[cfg(feature = "parquet")]
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        // The log has to be seen no earlier than the archive: a compaction in between would seem to have
        // compacted what is not there. The owner may go on while we look, so looking is tried again.
        let mut reader = self.reader.clone();
        for _ in 0..3 {
            if Archive::open(&self.env)?.compacted_through().lsn() <= reader.durable() {
                break;
            }
            reader = LogReader::open_read_only(Arc::clone(&self.env))?;
        }
        Ok(verify(&reader, &self.env)?)
    }
}

/// See [`ReadOnly::snapshot`]; `reader` is the log as it was seen some time ago.
#[cfg(feature = "parquet")]
pub(crate) fn snapshot(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    ours: Option<&str>,
) -> Result<Snapshot, ofd_storage::Error> {
    // The owner may have compacted what came after this was opened.
    let opened = match Archive::open(env)?.compacted_through().lsn() <= reader.durable() {
        true => reader.clone(),
        false => LogReader::open_read_only(Arc::clone(env))?,
    };
    let take = |reader: LogReader| {
        let derive = EngineDerive::of_reader(env, &reader, ours);
        Snapshot::take(&reader, env, Some(Arc::new(derive)))
    };
    match take(opened) {
        // And once more between the two looks.
        Err(error) if error.kind() == ErrorKind::Corrupt => take(LogReader::open_read_only(Arc::clone(env))?),
        taken => taken,
    }
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnly").field("dir", &self.dir).field("durable", &self.durable()).finish()
    }
}
