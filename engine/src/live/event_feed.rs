//! Following the events: everything that was told behind a position, in order, at the reader's own pace.
//!
//! Delivery is at least once: a reader keeps [`EventFeed::position`] when it has done what the events ask for, in its own
//! database or with a named cursor of the engine ([`crate::Cursor`], the same as for documents), and goes on from there.
//! A batch never ends within the events of one record, so that a position is a record and nothing is told in halves; what
//! is told again is known by `(Event::position, Event::index)`, which never change.
//!
//! Back-pressure: a reader takes what it wants and when. What it has not taken lies in files (`events.rs`); it delays neither
//! the fold nor other readers, and they do not delay it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ofd_storage::{Env, ErrorKind, LogReader, Lsn, Position};

use super::book::{Book, Told};
use super::events::{EventReader, Frame, list};
#[cfg(feature = "parquet")]
use super::retold::Retold;
use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::planted::{Planted, is};
use crate::registers::Event;

/// Frames looked at in one call: a feed of one merchant does not walk all files at a stretch.
const FRAMES_MAX: usize = 4_096;
/// Records of the archive folded at once, for the same reason.
#[cfg(feature = "parquet")]
const RETOLD_AT_ONCE: usize = 256;

/// A walk along the events.
pub struct EventFeed {
    env: Arc<dyn Env>,
    book: Arc<Book>,
    /// Whom it is for; `None`: for the engine itself, which wants to know what is no news as well.
    capability: Option<Capability>,
    /// Everything up to here was given out or passed over.
    position: Position,
    reader: Option<EventReader>,
    /// Of what the reader reads; see `Told`.
    epoch: u64,
    /// Events of a frame that were not asked for yet.
    pending: VecDeque<Event>,
    /// With them everything up to here is given out.
    read: Position,
    /// Where the files do not reach back: of whom the fold of the archive asks, and the fold.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "the archive is folded with it"))]
    log: Option<LogReader>,
    #[cfg(feature = "parquet")]
    retold: Option<Box<Retold>>,
}

impl EventFeed {
    pub(crate) fn new(
        env: Arc<dyn Env>,
        book: Arc<Book>,
        log: LogReader,
        capability: Capability,
        from: Position,
    ) -> Self {
        Self { capability: Some(capability), ..Self::of_all(env, book, Some(log), from) }
    }

    /// For the engine itself: everything that was told, news or not.
    pub(crate) fn of_all(env: Arc<dyn Env>, book: Arc<Book>, log: Option<LogReader>, from: Position) -> Self {
        let (reader, pending) = (None, VecDeque::new());
        Self {
            env,
            book,
            capability: None,
            position: from,
            reader,
            epoch: 0,
            pending,
            read: from,
            log,
            #[cfg(feature = "parquet")]
            retold: None,
        }
    }

    /// All events of all records up to here were given out or are out of the capability's reach.
    #[must_use]
    pub fn position(&self) -> Position {
        if is(Planted::EventsSavedBeforeDelivery) {
            return self.book.told().map_or(self.position, |told| told.position.max(self.position));
        }
        self.position
    }

    /// The next events, `most` and those of the same record; empty when none came within `timeout`, or when none of the many
    /// that were looked at was for this capability: [`EventFeed::position`] tells how far it got.
    ///
    /// # Errors
    /// `Corrupt` when a file of events is damaged or missing: the engine makes them anew at its next start without its
    /// checkpoints.
    pub fn next_batch(&mut self, most: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        Ok(self.next(most, timeout)?)
    }

    /// As [`EventFeed::next_batch`].
    pub(crate) fn next(&mut self, most: usize, timeout: Duration) -> Result<Vec<Event>, ofd_storage::Error> {
        let mut batch = Vec::new();
        self.take(most.max(1), &mut batch)?;
        if batch.is_empty() && self.is_at_end() {
            let (epoch, at) = (self.epoch, self.reader.as_ref().map(EventReader::place));
            self.book.wait_told(timeout, |told| told.epoch != epoch || Some(told.place) != at);
            self.take(most.max(1), &mut batch)?;
        }
        Ok(batch)
    }

    fn is_at_end(&self) -> bool {
        let at = self.reader.as_ref().map(EventReader::place);
        self.book.told().is_none_or(|told| told.epoch == self.epoch && Some(told.place) == at)
    }

    fn take(&mut self, most: usize, batch: &mut Vec<Event>) -> Result<(), ofd_storage::Error> {
        for _ in 0..FRAMES_MAX {
            self.give(most, batch);
            if batch.len() >= most {
                return Ok(());
            }
            let Some(told) = self.book.told() else { return Ok(()) };
            if told.epoch != self.epoch {
                (self.epoch, self.reader, self.read) = (told.epoch, None, self.position);
                self.pending.clear();
                #[cfg(feature = "parquet")]
                {
                    self.retold = None;
                }
            }
            if self.reader.as_ref().is_some_and(|it| it.place() == told.place) {
                self.position = self.position.max(told.position);
                return Ok(());
            }
            if let Err(error) = self.read(&told) {
                self.reader = None;
                // The fold has begun anew under our eyes.
                if self.book.told().is_some_and(|now| now.epoch == told.epoch) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives out what was read, whole records.
    fn give(&mut self, most: usize, batch: &mut Vec<Event>) {
        while let Some(next) = self.pending.front() {
            let goes_on = batch.last().is_some_and(|it| it.position == next.position);
            if batch.len() >= most && !goes_on {
                return;
            }
            self.position = self.position.max(next.position);
            batch.extend(self.pending.pop_front());
        }
        self.position = self.position.max(self.read);
    }

    /// Those that are for this reader.
    fn queue(&mut self, events: impl Iterator<Item = Event>) {
        let capability = &self.capability;
        let is_for = |it: &Event| match capability {
            Some(capability) => it.kind.is_news() && capability.sees(it.inn.as_deref()),
            None => true,
        };
        self.pending.extend(events.filter(is_for));
    }

    /// Opens the file of the position, or reads the next frame.
    fn read(&mut self, told: &Told) -> Result<(), ofd_storage::Error> {
        let &Told { schema, place: end, .. } = told;
        let Some(reader) = &mut self.reader else {
            let files = list(&*self.env)?;
            // A newer one may be there already, of which nothing is told yet.
            let begins = |begin: &&Lsn| **begin <= self.position.lsn() && **begin <= end.file;
            let begin = files.iter().rfind(begins);
            #[cfg(feature = "parquet")]
            if let (None, Some(log), Some(oldest)) = (begin, &self.log, files.first()) {
                self.retell(&log.clone(), Position::new(*oldest))?;
                return Ok(());
            }
            let begin = begin.ok_or_else(|| {
                let text = format!("the events behind {} are not there any more", self.position);
                ofd_storage::Error::new(ErrorKind::Corrupt, text)
            })?;
            // It may be at its end already.
            self.reader = Some(EventReader::open(&*self.env, *begin, schema)?);
            return Ok(());
        };
        match reader.next()? {
            Frame::Events(last) if last <= self.position.lsn() => {}
            Frame::Events(last) => {
                self.read = Position::new(last);
                let events = reader.events()?;
                let from = self.position;
                self.queue(events.into_iter().filter(|it| it.position > from));
            }
            Frame::End(last) => {
                self.read = self.read.max(Position::new(last));
                self.reader = Some(EventReader::open(&*self.env, last, schema)?);
            }
        }
        Ok(())
    }
}

#[cfg(feature = "parquet")]
impl EventFeed {
    /// Tells by the archive what the files no longer tell, some of it in a call.
    fn retell(&mut self, log: &LogReader, oldest: Position) -> Result<(), ofd_storage::Error> {
        let retold = self.retold.get_or_insert_with(|| Box::new(Retold::new(&self.env, log, oldest)));
        let mut events = Vec::new();
        let more = match retold.next(RETOLD_AT_ONCE, &mut events) {
            Ok(more) => more,
            Err(error) => {
                // What the fold has told so far and nobody has taken is lost with it: it begins again.
                self.retold = None;
                self.pending.clear();
                self.read = self.position;
                return Err(error);
            }
        };
        self.read = self.read.max(retold.position());
        if !more {
            self.retold = None;
            // Files that went before their records had left the log: nothing here can tell what was in them.
            if self.read < oldest {
                let text = format!("the events from {} to {oldest} are not there any more", self.read);
                return Err(ofd_storage::Error::new(ErrorKind::Corrupt, text));
            }
        }
        let from = self.position;
        self.queue(events.into_iter().filter(|it| it.position > from));
        Ok(())
    }
}

impl Engine {
    /// Follows the events of the registers from a position on: what happened in every record behind it, in order, as far as
    /// the capability reaches; from the start, everything the engine has ever told. Events of documents that were imported
    /// are not told.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use ofd_engine::{Engine, host::Capability};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open()?;
    /// let cursor = engine.cursor("bookkeeping");
    /// let mut events = engine.events(&Capability::operator(), cursor.position());
    /// for event in events.next_batch(100, Duration::from_millis(10))? {
    ///     println!("{} {} {}", event.position, event.drive.as_str(), event.kind.name());
    /// }
    /// cursor.save(events.position())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, capability: &Capability, from: Position) -> EventFeed {
        let shared = self.shared();
        let (env, book) = (Arc::clone(&shared.env), Arc::clone(&shared.book));
        EventFeed::new(env, book, shared.reader.clone(), capability.clone(), from)
    }
}

impl std::fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeed").field("position", &self.position).finish_non_exhaustive()
    }
}
