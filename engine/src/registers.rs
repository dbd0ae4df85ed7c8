//! What the registers do: a fold over the documents of the log.
//!
//! ```text
//! record ─▶ Seen ─▶ Drive ──┬─ Service       which numbers are ours, which are missing
//!                           ├─ Registration  what it was registered with, what changed
//!                           └─ Shift ─ Totals, counters of its closing report
//!                   Card    ── the register over all its drives
//!                   Takings ── sums by organisation and time
//!            each says what happened ─▶ Event
//! ```
//!
//! Everything here is pure and folds facts only: what was answered, when a document came and what it says; no rule of
//! today decides it again. The same log gives the same state and the same events, wherever the fold begins from an
//! empty state at its first record, or from the state that another fold had come to.
//!
//! Shape in memory: drives and cards lie under the number of their appearance, found by a table of four bytes an entry. A
//! drive with an open shift is ready to be added to; one without is packed until its next document. What is not
//! needed to fold (requisites of a registration, shifts that are settled, days) is not kept: it is read from the documents,
//! by way of [`Past`] where the fold itself needs it, when a register is registered anew.
//!
//! Invariant: a register whose shift is closed takes few bytes, and with an open one not many more
//! (test: `tests/registers_memory.rs`).
//!
//! Documents of test drives (realm `test`) are folded like others; their cards are apart.

mod card;
mod counters;
mod drive;
mod event;
pub(crate) mod event_bytes;
mod figures;
mod interned;
mod judged;
mod listed;
mod news;
mod owners;
pub(crate) mod pack;
mod packed;
mod places;
mod reading;
mod register_state;
mod registration;
mod rows;
pub(crate) mod saved;
mod seed;
mod service;
mod shift;
mod shift_state;
mod slab;
mod takings;
mod tax_answer;
mod totals;
mod traits;
mod usage;
mod watched;
mod wheel;

use std::collections::BTreeSet;

use ahash::RandomState;
use hashbrown::HashTable;
use ofd_codec::{DocumentView, DriveNumber, Form, LocalSeconds, tags};
use ofd_storage::envelope::{Envelope, Provenance, Realm};
use ofd_storage::{Error, Position, RecordKind, RecordRef};

use self::card::KeptCard;
pub use self::card::{Card, CardDrive, DAYS_MAX, Day, Days, RNM_LEN, Today, day_of};
pub use self::counters::Mismatch;
use self::drive::Rules;
pub use self::drive::{Drive, Last, Registered, Seen, WAITING_MAX};
use self::event::Events;
pub use self::event::{Event, EventKind, Evidence};
pub use self::figures::{Figures, Grain};
use self::judged::Watch;
pub use self::judged::{ColourChange, Note, TOLD_AT_ONCE};
pub use self::listed::status_of;
use self::news::News;
use self::owners::Owners;
use self::pack::{Packer, Unpacker};
use self::reading::Reading;
pub use self::register_state::{RegisterState, RegisterStatus};
pub use self::registration::Registration;
pub use self::seed::{LaneSeed, SeedShift};
pub use self::service::{Arrival, Range, Service};
pub use self::shift::{Agreement, Mark, SHIFT_SECONDS_MAX, Shift};
pub use self::shift_state::ShiftState;
use self::slab::Slab;
use self::takings::Takings;
pub use self::takings::{DAYS_KEPT, HOURS_KEPT_DAYS, Whose};
pub use self::tax_answer::TaxAnswer;
use self::totals::More;
pub use self::totals::{
    DIRECTION_NAMES, DIRECTIONS, PAYMENT_NAMES, PAYMENT_TAGS, PAYMENTS, Paid, REVENUE_SIGN, Sums, Totals,
    VAT_CODES, VAT_NAMES,
};
pub use self::traits::{MODES, Mode, Traits};
pub use self::usage::{USAGE_DAYS, Usage};
use self::watched::Before;
use self::wheel::Wheel;
use crate::watch::drive::Prior;
use crate::watch::{RuleSet, RuleSwitch, WatchCommand};

/// How many settled shifts of a drive an engine keeps besides its newest: they are read from its documents.
pub const SHIFTS_KEPT: usize = 0;

/// Where documents are that were folded before.
pub trait Past {
    /// The plain document of a record; `None` when it can be read no more.
    ///
    /// # Errors
    /// When it may be read later: the fold stays where it was.
    fn plain(&self, position: Position, drive: DriveNumber, number: u32) -> Result<Option<Vec<u8>>, Error>;
}

/// A drive as it is kept, under its number in BCD.
#[derive(Clone, Debug)]
struct KeptDrive {
    key: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Packed(Box<[u8]>),
    Live(Box<Drive>),
}
const _: () = assert!(size_of::<KeptDrive>() == 24);

impl KeptDrive {
    fn number(&self) -> Option<DriveNumber> {
        DriveNumber::from_bcd(self.key.to_be_bytes()).ok()
    }

    fn drive(&self) -> Option<Drive> {
        match &self.state {
            State::Packed(bytes) => packed::unpack(self.number()?, &mut Unpacker(bytes)),
            State::Live(drive) => Some(Drive::clone(drive)),
        }
    }
}

/// All registers and their drives.
#[derive(Clone, Debug)]
pub struct Registers {
    rules: Rules,
    drives: Slab<KeptDrive>,
    by_drive: HashTable<u32>,
    cards: Slab<KeptCard>,
    by_rnm: HashTable<u32>,
    /// It follows from the cards.
    owners: Owners,
    takings: Takings,
    /// The rules across documents that are asked.
    rule_set: RuleSet,
    hasher: RandomState,
    /// What is due when, of the drives by their numbers. It follows from them: a state that comes back sets it again.
    wheel: Wheel,
    /// Timers of drives that have gone off and are not told yet. They follow from the drives too.
    pending: BTreeSet<watched::Pending>,
    /// What the traffic lights need beside drives and cards.
    watch: Watch,
    /// Drives are packed here before they are put away.
    scratch: Packer,
    last: Position,
}

impl Registers {
    /// None. `ours` is the INN of this operator, where it is known; `keep` is how many settled shifts of a drive are kept
    /// besides its newest.
    #[must_use]
    pub fn new(ours: Option<String>, keep: usize) -> Self {
        Self {
            rules: Rules { ours, keep },
            drives: Slab::default(),
            by_drive: HashTable::new(),
            cards: Slab::default(),
            by_rnm: HashTable::new(),
            owners: Owners::default(),
            takings: Takings::default(),
            rule_set: RuleSet::default(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            wheel: Wheel::default(),
            pending: BTreeSet::new(),
            watch: Watch::default(),
            scratch: Packer::default(),
            last: Position::START,
        }
    }

    /// With tables that nobody outside can fill on purpose: `random` gives numbers that nobody can guess. Of an empty one.
    #[must_use]
    pub fn seeded(mut self, random: impl Fn() -> u64) -> Self {
        self.hasher = RandomState::with_seeds(random(), random(), random(), random());
        self
    }

    /// Asking these rules across documents. Of an empty one.
    #[must_use]
    pub fn asking(mut self, rules: RuleSet) -> Self {
        self.rule_set = rules;
        self
    }

    /// The rules across documents that are asked now.
    #[must_use]
    pub const fn rule_set(&self) -> &RuleSet {
        &self.rule_set
    }

    /// The next record of the log; says what happened. A record that is no document, or none that can be read, changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Registers::take`].
    pub fn fold(
        &mut self,
        record: &RecordRef<'_>,
        past: &dyn Past,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let position = Position::new(record.lsn());
        self.takings.turn(record.received_at_us());
        if record.kind() == RecordKind::Document
            && let Ok(envelope) = Envelope::of(record)
            && let Ok(drive) = DriveNumber::from_wire(&envelope.drive)
            && let mut reading = Reading::default()
            && let Ok((view, header)) = reading.read(envelope.plain)
        {
            let seen = Seen {
                position,
                received_at_us: record.received_at_us(),
                realm: envelope.realm,
                drive,
                number: envelope.number,
                variant: envelope.variant,
                imported: envelope.provenance == Provenance::Import,
                view,
                header,
            };
            self.take_read(&seen, &reading, past, out)?;
        }
        if record.kind() == RecordKind::Command
            && let Ok(payload) = record.plain_payload()
        {
            if let Some(seed) = LaneSeed::of_payload(payload) {
                self.seed(position, record.received_at_us(), &seed, out);
            }
            if let Some(switch) = RuleSwitch::of_payload(payload) {
                self.switch((position, record.received_at_us()), &switch, out);
            }
        }
        if record.kind() == RecordKind::Command
            && let Some(command) = record.plain_payload().ok().and_then(WatchCommand::of_payload)
        {
            self.command(position, record.received_at_us(), &command, out);
        }
        if record.kind() == RecordKind::Status
            && let Ok(payload) = record.plain_payload()
        {
            self.answered(position, record.received_at_us(), payload, out);
        }
        if record.kind() == RecordKind::Tick {
            self.tick(position, record.received_at_us(), out);
        }
        self.last = position;
        Ok(())
    }

    /// The next document. Of one from an archive it is told what the tables have to know, and what it ends of that which was
    /// told.
    ///
    /// # Errors
    /// When a registration has to be compared with the one before, and [`Past`] cannot read it now: nothing has changed, and
    /// the same document has to come again.
    pub fn take(&mut self, seen: &Seen<'_>, past: &dyn Past, out: &mut Vec<Event>) -> Result<(), Error> {
        // Its structure is known to hold.
        let mut reading = Reading::default();
        if reading.read(seen.view.bytes()).is_err() {
            return Ok(());
        }
        self.take_read(seen, &reading, past, out)
    }

    fn take_read(
        &mut self,
        seen: &Seen<'_>,
        reading: &Reading<'_>,
        past: &dyn Past,
        out: &mut Vec<Event>,
    ) -> Result<(), Error> {
        self.takings.turn(seen.received_at_us);
        let Some(at) = self.drive_at(seen.drive, seen.realm) else { return Ok(()) };
        let Some(kept) = self.drives.get_mut(at) else { return Ok(()) };
        if let State::Packed(bytes) = &kept.state {
            let drive = packed::unpack(seen.drive, &mut Unpacker(bytes));
            assert!(drive.is_some(), "a drive does not come back from its {} bytes", bytes.len());
            kept.state = State::Live(Box::new(drive.unwrap_or_else(|| Drive::new(seen.drive, seen.realm))));
        }
        let State::Live(drive) = &mut kept.state else { return Ok(()) };
        let from = out.len();
        let paid = reading.paid().filter(|_| seen.variant == 0);
        let (prior, news) = (Prior::of(drive), News::of(drive, seen));
        let outcome = before(drive, seen, past).map(|before| {
            let events = &mut Events::of(out, seen);
            (drive.take(seen, &self.rules, before.as_ref(), paid, events), before)
        });
        let (changed, before) = match outcome {
            Ok(taken) => taken,
            Err(error) => {
                self.put_away(at, None);
                return Err(error);
            }
        };
        // Places in the record go on from what was told of it so far.
        let told = |out: &[Event]| u16::try_from(out.len().saturating_sub(from)).unwrap_or(u16::MAX);
        let mut card = None;
        if seen.variant == 0 && !seen.view.form().is_marking() {
            let next = told(out);
            card = self.take_card(seen, reading, at, &mut Events::going_on(out, seen, next));
        }
        if card.is_none() && seen.variant == 0 {
            self.changed_apart(at);
        }
        let before = Before { prior, registration: before };
        self.find_across(seen, at, card, (&before, reading, paid), from, out);
        // States come behind everything that has brought them about.
        let next = told(out);
        if let Some(State::Live(drive)) = self.drives.get_mut(at).map(|kept| &mut kept.state) {
            drive.tell_shifts(seen, &self.rules, &changed, &mut Events::going_on(out, seen, next));
        }
        if let Some(card) = card
            && let new = out.get(from..).unwrap_or_default()
            && let Some((change, _)) = self.judge_found(card, new, seen)
        {
            let next = told(out);
            Events::going_on(out, seen, next).push(EventKind::ColourChanged(Box::new(change)));
        }
        let moves = out.get(from..).is_some_and(|new| new.iter().any(|it| it.kind.changes_register()));
        if let Some(state) = card.filter(|_| moves).and_then(|card| self.state_of(seen, at, card)) {
            let next = told(out);
            Events::going_on(out, seen, next).push(EventKind::RegisterState(Box::new(state)));
        }
        self.put_away(at, card);
        let replaced = out.get(from..).unwrap_or_default().iter().find_map(|it| match it.kind {
            EventKind::DriveReplaced { before } => Some(before),
            _ => None,
        });
        if let Some(before) = replaced {
            self.end_replaced(seen, before, from, out);
        }
        if let Some(paid) = paid {
            self.take_paid(seen, reading, paid);
        }
        if seen.view.form() == Form::OPEN_SHIFT
            && let Some(State::Live(drive)) = self.drives.get(at).map(|kept| &kept.state)
            && let Some(second) = drive.overdue_at()
        {
            self.wheel.set(second, at);
        }
        news.tell(from, out);
        if let Some(new) = out.get_mut(from..).filter(|new| !new.is_empty()) {
            let inn = card::text(&seen.view, tags::USER_INN);
            for event in new {
                event.inn.clone_from(match &event.kind {
                    EventKind::ShiftState(state) => &state.inn,
                    EventKind::ColourChanged(change) => &change.inn,
                    _ => &inn,
                });
            }
        }
        Ok(())
    }

    /// A lane seed: a drive of which no document is here begins with it.
    pub fn seed(&mut self, position: Position, received_at_us: i64, seed: &LaneSeed, out: &mut Vec<Event>) {
        self.takings.turn(received_at_us);
        let realm = if seed.test { Realm::Test } else { Realm::Prod };
        let is_new = self.find_drive(seed.drive.to_bcd_u64()).is_none();
        let Some(at) = self.drive_at(seed.drive, realm) else { return };
        let Some(kept) = self.drives.get_mut(at) else { return };
        let Some(mut drive) = kept.drive() else { return };
        if !drive.seed(seed) {
            return;
        }
        kept.state = State::Live(Box::new(drive));
        let card = seed.fixed_rnm().and_then(|rnm| match self.find_card(seed.test, &rnm) {
            // What it works with now its next document says.
            Some(_) => None,
            None => self.put_card(KeptCard::seeded(seed.test, rnm, seed.fixed_inn(), at, received_at_us)),
        });
        self.put_away(at, card);
        let change = card.and_then(|card| self.judge(card, judged::second_of(received_at_us)));
        let change = change.map(|(change, _)| EventKind::ColourChanged(Box::new(change)));
        let from = out.len();
        let mut events = Events::of_record(out, position, received_at_us, seed.drive);
        if is_new {
            events.push(EventKind::DriveAppeared(Evidence::Seeded));
        }
        change.into_iter().for_each(|it| events.push(it));
        if let Some(rnm) = seed.rnm.clone().filter(|_| is_new && card.is_some()) {
            let state = RegisterState::of(realm, rnm, RegisterStatus::Working, false, None);
            events.push(EventKind::RegisterState(Box::new(state)));
        }
        out.iter_mut().skip(from).for_each(|event| event.inn.clone_from(&seed.inn));
    }

    /// Whether a lane seed would change nothing.
    #[must_use]
    pub fn knows_seed(&self, seed: &LaneSeed) -> bool {
        self.drive(seed.drive).is_some_and(|mut drive| !drive.seed(seed))
    }

    /// When a tick is wanted next, microseconds UTC; `None` while nothing can become due.
    #[must_use]
    pub fn due_us(&self) -> Option<i64> {
        let pending = self.pending.first().map(|it| it.0);
        let first = self.wheel.first().into_iter().chain(pending).chain(self.watch.first()).min();
        first.map(|second| i64::from(second).saturating_mul(1_000_000))
    }

    /// Packs a drive without an open shift. `card` is the register that its document has named.
    fn put_away(&mut self, drive: u32, card: Option<u32>) {
        let Some(kept) = self.drives.get_mut(drive) else { return };
        let State::Live(drive) = &mut kept.state else { return };
        drive.card = card.or(drive.card);
        if drive.open_shift().is_none() {
            self.scratch.0.clear();
            packed::pack(drive, &mut self.scratch);
            kept.state = State::Packed(self.scratch.0.as_slice().into());
        }
    }

    /// The card of the register that a document names, which is no further variant, and takes it in.
    fn take_card(
        &mut self,
        seen: &Seen<'_>,
        reading: &Reading<'_>,
        drive: u32,
        events: &mut Events<'_>,
    ) -> Option<u32> {
        let rnm = card::fixed::<RNM_LEN>(&reading.rnm?)?;
        let test = seen.realm == Realm::Test;
        // Hardly ever another one than that of the document before.
        let named = match &self.drives.get(drive)?.state {
            State::Live(drive) => drive.card,
            State::Packed(_) => None,
        };
        let same = |at: &u32| self.cards.get(*at).is_some_and(|card| card.test == test && card.rnm == rnm);
        let at = match named.filter(same).or_else(|| self.find_card(test, &rnm)) {
            Some(at) => at,
            None => self.put_card(KeptCard::new(test, rnm, drive, seen))?,
        };
        let drives = &self.drives;
        let card = self.cards.get_mut(at)?;
        let before = card.inn;
        card.take(
            seen,
            drive,
            reading.inn.as_ref(),
            reading.paid(),
            |it| drives.get(it).and_then(KeptDrive::number),
            events,
        );
        // What its light looks at may have changed since it was looked at.
        if before != card.inn || named != Some(at) || card.current() != drive {
            card.light.change();
        }
        self.owners.moved(at, &before, &card.inn, &self.hasher);
        Some(at)
    }

    /// A drive has changed, and the register that it has named last is not judged for that now.
    fn changed_apart(&mut self, drive: u32) {
        let Some(State::Live(drive)) = self.drives.get(drive).map(|kept| &kept.state) else { return };
        let card = drive.card.and_then(|it| self.cards.get_mut(it));
        card.into_iter().for_each(|it| it.light.change());
    }

    /// The register as it stands from a document of its drive on; `None` while another drive is the one it works with.
    fn state_of(&self, seen: &Seen<'_>, drive: u32, card: u32) -> Option<RegisterState> {
        let card = self.cards.get(card).filter(|it| it.current() == drive)?;
        let State::Live(drive) = &self.drives.get(drive)?.state else { return None };
        let status = status_of(drive);
        let rnm = self.shown(card).rnm;
        Some(RegisterState::of(seen.realm, rnm, status, seen.imported, Some(&seen.view)))
    }

    /// Adds a receipt to the takings of its organisation and of everybody.
    fn take_paid(&mut self, seen: &Seen<'_>, reading: &Reading<'_>, paid: &Paid) {
        let Some(row) = paid.row() else { return };
        let inn = reading.inn.as_ref().and_then(card::fixed);
        let time = Figures::time_of(seen.header.date_time, seen.received_at_us);
        self.takings.take(seen.realm == Realm::Test, inn, time, More::from(&row), &self.hasher);
    }

    fn find_card(&self, test: bool, rnm: &[u8; RNM_LEN]) -> Option<u32> {
        let same = |at: &u32| self.cards.get(*at).is_some_and(|card| card.test == test && card.rnm == *rnm);
        self.by_rnm.find(self.hasher.hash_one((test, rnm)), same).copied()
    }

    fn put_card(&mut self, mut card: KeptCard) -> Option<u32> {
        card.light.place = self.watch.places.find(&card.rnm, &self.hasher).unwrap_or(places::NONE);
        let (due, inn) = (card.light.due(), card.inn);
        let hash = self.hasher.hash_one((card.test, &card.rnm));
        let at = self.cards.push(card)?;
        let (cards, hasher) = (&self.cards, &self.hasher);
        let again = |at: &u32| cards.get(*at).map_or(0, |card| hasher.hash_one((card.test, &card.rnm)));
        self.by_rnm.insert_unique(hash, at, again);
        self.owners.moved(at, &[0; takings::INN_LEN], &inn, &self.hasher);
        if due > 0 {
            self.watch.wheel.set(due, at);
        }
        Some(at)
    }

    /// The number of a drive, which is put in when it is new.
    fn drive_at(&mut self, drive: DriveNumber, realm: Realm) -> Option<u32> {
        let key = drive.to_bcd_u64();
        if let Some(at) = self.find_drive(key) {
            return Some(at);
        }
        let state = State::Live(Box::new(Drive::new(drive, realm)));
        self.put_drive(KeptDrive { key, state })
    }

    fn put_drive(&mut self, kept: KeptDrive) -> Option<u32> {
        let hash = self.hasher.hash_one(kept.key);
        let at = self.drives.push(kept)?;
        let (drives, hasher) = (&self.drives, &self.hasher);
        let again = |at: &u32| drives.get(*at).map_or(0, |kept| hasher.hash_one(kept.key));
        self.by_drive.insert_unique(hash, at, again);
        Some(at)
    }

    fn find_drive(&self, key: u64) -> Option<u32> {
        let same = |at: &u32| self.drives.get(*at).is_some_and(|kept| kept.key == key);
        self.by_drive.find(self.hasher.hash_one(key), same).copied()
    }

    /// Everything up to here is folded or passed over: what cannot be read is missing.
    pub fn pass(&mut self, position: Position) {
        self.last = position.max(self.last);
    }

    /// Everything up to here has been folded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.last
    }

    /// A drive.
    #[must_use]
    pub fn drive(&self, drive: DriveNumber) -> Option<Drive> {
        self.drives.get(self.find_drive(drive.to_bcd_u64())?)?.drive()
    }

    /// All drives, in the order they came.
    pub fn drives(&self) -> impl Iterator<Item = Drive> {
        self.drives.iter().filter_map(KeptDrive::drive)
    }

    /// How many drives there are, and how many registers.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.drives.len(), self.cards.len())
    }

    /// The card of a register by its registration number (1037).
    #[must_use]
    pub fn card(&self, realm: Realm, rnm: &str) -> Option<Card> {
        self.kept_card(realm, rnm).map(|card| self.shown(card))
    }

    fn kept_card(&self, realm: Realm, rnm: &str) -> Option<&KeptCard> {
        let mut padded = [0; RNM_LEN];
        padded.get_mut(..rnm.len())?.copy_from_slice(rnm.as_bytes());
        self.cards.get(self.find_card(realm == Realm::Test, &padded)?)
    }

    /// All cards, in the order they came.
    pub fn cards(&self) -> impl Iterator<Item = Card> {
        self.cards.iter().map(|card| self.shown(card))
    }

    /// The card of the register that a drive has named last.
    #[must_use]
    pub fn card_of(&self, drive: DriveNumber) -> Option<Card> {
        let kept = self.drives.get(self.find_drive(drive.to_bcd_u64())?)?;
        let card = self.look_at(kept, |drive| drive.card)??;
        self.cards.get(card).map(|card| self.shown(card))
    }

    /// Live figures of an organisation or of everybody, of rows that begin in `times`, local time of the registers; `None`
    /// when nothing was ever taken by such an organisation. What was taken before [`Figures::since`] they do not tell.
    #[must_use]
    pub fn figures(
        &self,
        realm: Realm,
        whose: Whose<'_>,
        grain: Grain,
        times: &core::ops::Range<LocalSeconds>,
    ) -> Option<Figures> {
        self.takings.figures(realm == Realm::Test, whose, grain, times, &self.hasher)
    }

    /// About how many bytes a checkpoint has for the takings of organisations.
    pub(crate) const fn takings_len_bytes(&self) -> usize {
        self.takings.len_bytes()
    }

    /// Cards from a number on, which are those of their appearance, from 0; each with the INN that it is asked for by.
    pub(crate) fn cards_from(
        &self,
        number: u32,
        sees: impl Fn(Option<&str>) -> bool,
    ) -> impl Iterator<Item = (u32, Option<Card>)> {
        let shown = move |(at, card): (u32, &KeptCard)| {
            let visible = sees(card.inn().as_deref());
            (at, visible.then(|| self.shown(card)))
        };
        self.cards.iter_from(number).map(shown)
    }

    fn shown(&self, card: &KeptCard) -> Card {
        card.card(|it| self.drives.get(it).and_then(KeptDrive::number))
    }
}

/// The registration in force, when a document is another one and has to be compared with it.
fn before(drive: &Drive, seen: &Seen<'_>, past: &dyn Past) -> Result<Option<Registration>, Error> {
    let registers = matches!(seen.view.form(), Form::REGISTRATION | Form::REREGISTRATION);
    let asks = registers && seen.variant == 0 && !drive.begins_anew(seen) && !drive.service.has(seen.number);
    let there = |it: &Registered| it.position > Position::START && it.number <= seen.number;
    let Some(before) = drive.registration.filter(|it| asks && there(it)) else {
        return Ok(None);
    };
    let plain = past.plain(before.position, drive.number, before.number)?;
    let view = plain.as_deref().and_then(|bytes| DocumentView::new_checked(bytes).ok());
    Ok(view.map(|view| Registration::of(&view, before.number)))
}

/// The same drives and cards in the same order, and the same takings, folded as far by the same rules.
impl PartialEq for Registers {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
            && self.last == other.last
            && self.drives().eq(other.drives())
            && self.cards.iter().eq(other.cards.iter())
            && self.takings == other.takings
            && self.watch.places == other.watch.places
            && self.rule_set == other.rule_set
    }
}
impl Eq for Registers {}
