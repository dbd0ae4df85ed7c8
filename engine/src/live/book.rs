//! What is asked of the registers: one state, filled by the fold of a running engine or by that of a reader beside it.
//!
//! Unit: cards and drives are copies, as of [`RegisterBook::position`]. A page holds the lock for its own length and no
//! longer, so that a list of all registers delays the fold by one page.

use core::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ofd_codec::{DocumentView, DriveNumber, LocalSeconds};
use ofd_storage::envelope::Realm;
use ofd_storage::{Lsn, Position};

use super::events::Place;
use super::texts::Texts;
use crate::engine::Engine;
use crate::error::Error;
use crate::host::{Capability, Scope};
use crate::past::{LogPast, PastDocument};
use crate::registers::{Card, Drive, Figures, Grain, Past, Registers, Registration, Whose};

/// Most registers on one page.
pub(crate) const PAGE_MAX: usize = 1_000;

/// The state, and how far it is.
pub(crate) struct Book {
    registers: RwLock<Registers>,
    /// Held by the fold while it waits for the lock: whoever reads in pieces would take it again before the fold has woken.
    turn: Mutex<()>,
    /// Everything up to this LSN is in it, and [`NOT_BEGUN`] until the first state is there.
    folded: AtomicU64,
    /// Everything that was durable at this moment is folded, microseconds of the monotonic clock.
    caught_up_us: AtomicU64,
    /// Who waits until it comes to a place and can do nothing else meanwhile.
    awaited: AtomicU64,
    work: Mutex<Work>,
    advance: Condvar,
    texts: Texts,
}

const NOT_BEGUN: u64 = u64::MAX;

/// How far the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Places hold as long as this stays: a fold that begins anew writes other files.
    pub(super) epoch: u64,
    /// What the files are like.
    pub(super) schema: u64,
    /// Behind the last frame.
    pub(super) place: Place,
    /// All events of all records up to here are there.
    pub(super) position: Position,
}

#[derive(Default)]
struct Work {
    /// The newest checkpoint ends here.
    kept: Lsn,
    /// Somebody waits for another one.
    asked: bool,
    ended: bool,
    told: Option<Told>,
    epoch: u64,
}

impl Book {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            registers: RwLock::new(Registers::new(None, 0)),
            turn: Mutex::default(),
            folded: AtomicU64::new(NOT_BEGUN),
            caught_up_us: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            work: Mutex::default(),
            advance: Condvar::new(),
            texts: Texts::default(),
        }
    }

    /// Of a state that nobody adds to.
    pub(crate) fn of(registers: Registers) -> Self {
        let this = Self::new();
        this.begin(registers, Lsn::NONE);
        this
    }

    pub(super) fn begin(&self, registers: Registers, kept: Lsn) {
        let position = registers.position();
        *self.fold() = registers;
        self.work().kept = kept;
        self.folded(position);
    }

    /// A fold panics only where an invariant is broken, and then the engine has failed: poison says nothing more.
    pub(super) fn fold(&self) -> RwLockWriteGuard<'_, Registers> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.registers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fold waits, or has begun.
    #[cfg(test)]
    pub(super) fn fold_waits(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Lets a fold that waits go first.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Registers> {
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        self.registers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to here is in the state.
    pub(super) fn folded(&self, position: Position) {
        // Pairs with the load in `position`; the state itself is published by its lock.
        self.folded.store(position.as_u64(), Ordering::Release);
        let _held = self.work();
        self.advance.notify_all();
    }

    /// Everything that was durable at this moment is in the state.
    pub(super) fn caught_up(&self, mono_us: u64) {
        self.caught_up_us.store(mono_us, Ordering::Relaxed);
    }

    /// How many records the state is behind the watermark, and for how long it has not caught up with what was durable,
    /// microseconds.
    pub(crate) fn lag(&self, watermark: Lsn, mono_us: u64) -> (u64, u64) {
        let folded = self.position().map_or(0, |it| it.lsn().get());
        let behind = watermark.get().saturating_sub(folded);
        let since = mono_us.saturating_sub(self.caught_up_us.load(Ordering::Relaxed));
        (behind, if behind == 0 { 0 } else { since })
    }

    /// Files of events are about to be written anew.
    pub(super) fn untell(&self) {
        let mut work = self.work();
        (work.told, work.epoch) = (None, work.epoch.wrapping_add(1));
    }

    /// All events of all records up to a position lie before a place.
    pub(super) fn tell(&self, schema: u64, place: Place, position: Position) {
        let mut work = self.work();
        work.told = Some(Told { epoch: work.epoch, schema, place, position });
        self.advance.notify_all();
    }

    /// How far the events are; `None` until there are any files.
    pub(super) fn told(&self) -> Option<Told> {
        self.work().told
    }

    /// Waits until `new` says that there is more to read. False: time ran out, or nothing is folded any more.
    pub(super) fn wait_told(&self, timeout: Duration, new: impl Fn(&Told) -> bool) -> bool {
        self.wait(timeout, |work| work.told.is_some_and(|told| new(&told)))
    }

    /// Where the newest checkpoint ends, and whether another one is asked for.
    pub(super) fn kept(&self) -> (Lsn, bool) {
        let work = self.work();
        (work.kept, work.asked)
    }

    pub(super) fn wrote(&self, kept: Lsn) {
        let mut work = self.work();
        (work.kept, work.asked) = (kept, false);
        self.advance.notify_all();
    }

    /// Nothing is folded any more.
    pub(super) fn end(&self) {
        self.work().ended = true;
        self.advance.notify_all();
    }

    /// Everything up to here is in the state; `None` until it has begun.
    pub(crate) fn position(&self) -> Option<Position> {
        let folded = self.folded.load(Ordering::Acquire);
        (folded != NOT_BEGUN).then(|| Position::new(Lsn::new(folded)))
    }

    /// Waits until `done`, a step of `timeout` at most. False: time ran out, or nothing is folded any more.
    fn wait(&self, timeout: Duration, done: impl Fn(&Work) -> bool) -> bool {
        let waiting = |work: &mut Work| !done(work) && !work.ended;
        let waited = self.advance.wait_timeout_while(self.work(), timeout, waiting);
        let (work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&work)
    }

    /// Until what comes back is dropped, the fold does not stay away for others.
    pub(super) fn hurry(&self) -> Hurry<'_> {
        self.awaited.fetch_add(1, Ordering::Relaxed);
        Hurry(self)
    }

    /// Whether somebody can do nothing until it comes on.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    fn wait_folded(&self, position: Position, timeout: Duration) -> bool {
        let _hurry = self.hurry();
        self.wait(timeout, |_| self.position().is_some_and(|folded| folded >= position))
    }

    /// Asks for a checkpoint of all that is folded now, and waits for it; where the newest one ends then.
    #[cfg(feature = "parquet")]
    pub(crate) fn checkpoint(&self, timeout: Duration) -> Position {
        let _hurry = self.hurry();
        self.work().asked = true;
        self.wait(timeout, |work| !work.asked);
        Position::new(self.work().kept)
    }
}

/// Somebody waits for the fold.
pub(super) struct Hurry<'a>(&'a Book);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A register with its drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// What it is.
    pub card: Card,
    /// The drive it works with.
    pub drive: Drive,
}

/// Some registers, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterPage {
    /// In the order of their appearance.
    pub registers: Vec<Register>,
    /// What to ask for next; `None`: there are no more now.
    pub next: Option<u32>,
}

/// The registers that a capability shows.
pub struct RegisterBook {
    book: Arc<Book>,
    past: LogPast,
    capability: Capability,
}

impl RegisterBook {
    pub(crate) fn new(book: Arc<Book>, past: LogPast, capability: Capability) -> Self {
        Self { book, past, capability }
    }

    /// Every document up to here is in what is told. The start until the fold has begun.
    #[must_use]
    pub fn position(&self) -> Position {
        self.book.position().unwrap_or(Position::START)
    }

    /// Waits until every document up to a position is in it. False: time ran out, or the engine has ended.
    #[must_use]
    pub fn wait(&self, position: Position, timeout: Duration) -> bool {
        self.book.wait_folded(position, timeout)
    }

    /// How many registers there are, of everybody.
    #[must_use]
    pub fn count(&self) -> usize {
        self.book.read().count().1
    }

    /// A register by its registration number (РНМ, 1037).
    #[must_use]
    pub fn register(&self, realm: Realm, rnm: &str) -> Option<Register> {
        let registers = self.book.read();
        self.shown(&registers, registers.card(realm, rnm)?)
    }

    /// The register that a drive has named last.
    #[must_use]
    pub fn register_of(&self, drive: DriveNumber) -> Option<Register> {
        let registers = self.book.read();
        self.shown(&registers, registers.card_of(drive)?)
    }

    /// A drive, with its open shift.
    #[must_use]
    pub fn drive(&self, drive: DriveNumber) -> Option<Drive> {
        let registers = self.book.read();
        self.shown(&registers, registers.card_of(drive)?)?;
        registers.drive(drive)
    }

    pub(super) fn book(&self) -> RwLockReadGuard<'_, Registers> {
        self.book.read()
    }

    pub(super) fn texts(&self) -> &Texts {
        &self.book.texts
    }

    pub(super) fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The time of the clock that this engine, or this reader, goes by: microseconds UTC.
    pub(super) fn now_us(&self) -> i64 {
        self.past.now_us()
    }

    pub(super) fn shown(&self, registers: &Registers, card: Card) -> Option<Register> {
        if !self.capability.sees(card.inn.as_deref()) {
            return None;
        }
        let drive = registers.drive(card.drives.last()?.drive)?;
        Some(Register { card, drive })
    }

    /// Registers in the order of their appearance, at most `most` and at most a thousand, from `from` on, which is 0 or what
    /// the page before says.
    ///
    /// A page may hold fewer and be followed by others: registers of other users are passed over, a thousand at most.
    #[must_use]
    pub fn page(&self, from: u32, most: usize) -> RegisterPage {
        let most = most.clamp(1, PAGE_MAX);
        let registers = self.book.read();
        let mut page = RegisterPage::default();
        let mut looked_at = 0_usize;
        for (number, card) in registers.cards_from(from, |inn| self.capability.sees(inn)) {
            if looked_at >= PAGE_MAX || page.registers.len() >= most {
                page.next = Some(number);
                break;
            }
            looked_at = looked_at.saturating_add(1);
            page.registers.extend(card.and_then(|card| self.shown(&registers, card)));
        }
        page
    }

    /// All registers, page by page.
    pub fn iter(&self) -> impl Iterator<Item = Register> {
        let mut next = Some(0);
        let pages = core::iter::from_fn(move || {
            let page = self.page(next?, PAGE_MAX);
            next = page.next;
            Some(page.registers)
        });
        pages.flatten()
    }

    /// Live figures of an organisation (INN, 1018) or of everybody, of rows that begin in `times`, local time of the registers:
    /// exact, late receipts in their own time. Minutes reach back two hours, hours [`HOURS_KEPT_DAYS`], days [`DAYS_KEPT`];
    /// [`Figures::since`] says since when rows are told, and what was sold before is in the archive. `None` when the
    /// capability does not show it, or nothing was ever sold. Everybody's figures are the operator's.
    ///
    /// [`HOURS_KEPT_DAYS`]: crate::registers::HOURS_KEPT_DAYS
    /// [`DAYS_KEPT`]: crate::registers::DAYS_KEPT
    #[must_use]
    pub fn figures(
        &self,
        realm: Realm,
        whose: Whose<'_>,
        grain: Grain,
        times: &Range<LocalSeconds>,
    ) -> Option<Figures> {
        let sees = match whose {
            Whose::Organisation(inn) => self.capability.sees(Some(inn)),
            Whose::Everybody => *self.capability.scope() == Scope::Operator,
        };
        sees.then(|| self.book.read().figures(realm, whose, grain, times)).flatten()
    }

    /// What a drive was registered with, from its document; `None` when there was none, or it can be read no more.
    ///
    /// # Errors
    /// When it cannot be read now.
    pub fn registration(&self, drive: &Drive) -> Result<Option<Registration>, Error> {
        let there = drive.registration.filter(|it| it.position > Position::START);
        let Some(registered) = there else { return Ok(None) };
        let plain = self.past.plain(registered.position, drive.number, registered.number)?;
        Ok(registration_of(plain.as_deref(), registered.number))
    }

    /// Registrations by their documents, in the order of their positions.
    pub(super) fn registrations(&self, wanted: &[PastDocument]) -> Result<Vec<Option<Registration>>, Error> {
        let mut read = Vec::with_capacity(wanted.len());
        let mut numbers = wanted.iter().map(|(.., number)| *number);
        self.past.plains(wanted, &mut |plain| {
            read.push(registration_of(plain, numbers.next().unwrap_or(0)));
        })?;
        Ok(read)
    }
}

fn registration_of(plain: Option<&[u8]>, number: u32) -> Option<Registration> {
    let view = plain.and_then(|bytes| DocumentView::new_checked(bytes).ok())?;
    Some(Registration::of(&view, number))
}

impl Engine {
    /// The registers that a capability shows: cards, drives, open shifts, as far as the fold behind the watermark has come.
    pub fn registers(&self, capability: &Capability) -> RegisterBook {
        let shared = self.shared();
        let past = LogPast::new(shared.reader.clone(), Arc::clone(&shared.env));
        RegisterBook::new(Arc::clone(&shared.book), past, capability.clone())
    }
}

impl std::fmt::Debug for RegisterBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisterBook").field("position", &self.position()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Who follows the log gives way to the door, and not to the detriment of whoever waits for it.
    #[test]
    fn it_is_awaited_as_long_as_somebody_waits() {
        let book = Book::of(Registers::new(None, 0));
        book.folded(Position::new(Lsn::new(10)));
        std::thread::scope(|scope| {
            let waits =
                scope.spawn(|| book.wait_folded(Position::new(Lsn::new(11)), Duration::from_secs(60)));
            while !book.is_awaited() {
                std::thread::yield_now();
            }
            book.folded(Position::new(Lsn::new(11)));
            assert!(waits.join().expect("a waiter"));
        });
        assert!(!book.is_awaited());
    }

    // An alarm rests on it: it grows while nothing is folded, and is nothing as soon as all is.
    #[test]
    fn the_lag_is_that_of_what_was_durable() {
        let book = Book::of(Registers::new(None, 0));
        let at = |lsn| Position::new(Lsn::new(lsn));
        book.folded(at(10));
        book.caught_up(5_000);
        assert_eq!(book.lag(Lsn::new(10), 9_000), (0, 0));
        assert_eq!(book.lag(Lsn::new(25), 9_000), (15, 4_000));
        book.folded(at(20));
        assert_eq!(book.lag(Lsn::new(25), 9_500), (5, 4_500));
        book.caught_up(9_000);
        assert_eq!(book.lag(Lsn::new(25), 9_500), (5, 500));
    }
}
