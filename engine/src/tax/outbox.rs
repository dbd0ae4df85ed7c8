//! The outbox: which documents the tax service has still to get, what was said of the others. No files, no clock, no chance of
//! its own: `step(now, chance, inputs) -> outputs`.
//!
//! ```text
//! log ──head──▶ Document, Status, Command ──▶ window ──lanes──▶ Send ─▶ service ─▶ Answered ─▶ Append(sent)
//!  │              (what is durable)             ▲                         └──────▶ Verdicts ─▶ Append(accepted …)
//!  └──CatchUp, List: what had no room ──────────┘
//! ```
//!
//! **What is sent**: documents of production that were taken in live and that count (variant 0). Of another document under the
//! same number the service would see a conflict that only people settle; a frame in quarantine was not answered, and its
//! register comes back with it; an import was sent by whoever took it in; test drives are kept apart.
//!
//! **Order**: of one drive documents go in the order of the log, and the next batch when the receipts of the one before are
//! durable. Verdicts come as they come: nobody waits for them, and a refusal blocks nothing.
//!
//! **Truth**: what is in the log. Receipts and verdicts become `Status` records, and only what comes back from the log changes the
//! state. So a crash at any moment loses at most what the service has said and the log has not: such a document is sent again
//! under the same drive, number and hash, and the service knows it.
//!
//! **Memory**: the window holds [`TaxOptions::window_documents`] documents that wait to be sent, without their bodies, and three
//! times as many that await their verdict: late verdicts take no room of what waits. When all of it is taken by documents that
//! have no verdict, nothing more is sent until one comes or is given up waiting for. What does not fit stays in the
//! log: of everything behind `behind`, of one drive behind the cursor of its lane. What was told of documents that have not been
//! read again yet is in `ahead`.
//!
//! Invariants, with the test that holds each: every document is taken by the service once and in order per drive, whatever
//! fails and wherever it is cut (`outbox/model.rs::every_document_is_taken_once_and_in_order_whatever_fails`); a refusal does not
//! block (`a_refusal_blocks_nothing`); a checkpoint at any moment comes to the same
//! (`a_restart_from_a_checkpoint_of_any_moment_comes_to_the_same`).

#[cfg(test)]
mod model;
mod saved;
mod sending;

pub(crate) use saved::SHAPE;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;
use ofd_codec::DriveNumber;
use ofd_storage::status::{StatusEvent, StatusKind};
use ofd_storage::{Location, Now};

use super::account::{Account, DayCounts, Remark, Totals};
use super::command::TaxCommand;
use super::options::TaxOptions;
use crate::host::TaxStatus;
use crate::planted::{self, Planted};

/// Verdicts that may wait for the receipt they belong to.
const EARLY_MAX: usize = 10_000;
/// Remarks that are kept in memory; of more those of the least drives are in the ledger only.
const REMARKS_MAX: usize = 1_000_000;
/// The word about a document whose remark had no room: nobody here knows any more which one it was.
const FORGOTTEN: StatusKind = StatusKind::Unknown(u8::MAX);
/// Documents of a lane that are asked for at once.
const LISTED_AT_ONCE: usize = 256;
/// Documents that are asked for at once behind the window.
const CAUGHT_UP_AT_ONCE: usize = 8_192;
/// The window and what awaits its verdict besides, in windows.
const WINDOWS_IN_ALL: usize = 4;

/// A document that the service has to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) position: u64,
    /// Packed.
    pub(crate) drive: u64,
    pub(crate) number: u32,
    pub(crate) received_at_us: i64,
    /// Bytes of its record: what a batch is measured by.
    pub(crate) len: u32,
    /// Where it lies, as long as this process knows: its body is one read away then.
    pub(crate) location: Option<Location>,
}

/// What a receipt says, as the leg reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    Sent(String),
    Unavailable,
    /// Not part of the call: the batch had no room.
    NotTried,
    /// Its record cannot be read any more.
    Unreadable,
}

/// What happens to the outbox.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The head of the log has passed a document.
    Document(Document),
    /// It has passed a status record of the tax service.
    Status { at_us: i64, events: Vec<StatusEvent> },
    /// It has passed a command.
    Command { position: u64, command: TaxCommand },
    /// Everything up to here has been passed.
    Head(u64),
    /// All documents of the log behind `behind` up to here.
    CaughtUp { documents: Vec<Document>, through: u64 },
    /// Documents of a drive that were asked for, all up to here.
    Listed { asked: Asked, documents: Vec<Document>, through: u64 },
    /// A batch has come back; receipts that are missing count as unavailable.
    Answered { batch: u64, receipts: Vec<Receipt> },
    /// Verdicts; `None`: the service could not be asked.
    Verdicts(Option<Vec<TaxStatus>>),
}

/// For whom documents are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A lane that goes on.
    Lane(u64),
    /// The command at this position.
    Again(u64),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Hand these over, in this order.
    Send { batch: u64, documents: Vec<Document> },
    /// Ask for verdicts.
    Poll,
    /// Write these down; when that fails, again.
    Append(Vec<StatusEvent>),
    /// Read the documents behind this position, at most so many, up to the head.
    CatchUp { after: u64, most: usize },
    /// Read documents of a drive with these numbers, behind one position and up to another, at most so many.
    List { asked: Asked, drive: u64, numbers: (u32, u32), after: u64, through: u64, most: usize },
}

/// How far a document of the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// In a batch, or its receipt is being written down.
    Sending,
    Sent {
        at_us: i64,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    document: Document,
    attempt: u32,
    stage: Stage,
    ids: Vec<Box<str>>,
    /// What was said of it before it was sent again by command.
    prior: Option<StatusKind>,
    /// A final word is being written down.
    told: bool,
}

/// Documents that are not in the window, of a lane or of all: everything behind the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aside {
    cursor: u64,
    /// The last of them.
    through: u64,
    /// When the first of them was received, or one before it.
    oldest_us: i64,
}

impl Aside {
    /// Of a document that has no room, and of those behind it.
    fn from(document: &Document) -> Self {
        let Document { position, received_at_us, .. } = *document;
        Self { cursor: position.saturating_sub(1), through: position, oldest_us: received_at_us }
    }

    /// What is left when these were read again, through there.
    fn without(self, documents: &[Document], through: u64) -> Option<Self> {
        let oldest_us = documents.last().map_or(self.oldest_us, |it| it.received_at_us);
        let left = Self { cursor: self.cursor.max(through), oldest_us, ..self };
        (left.cursor < left.through).then_some(left)
    }
}

#[derive(Clone, Debug, Default)]
struct Lane {
    waiting: BTreeSet<u64>,
    sending: u32,
    paused: bool,
    tries: u32,
    not_before_us: u64,
    aside: Option<Aside>,
    /// Documents that were asked for.
    listing: usize,
}

impl Lane {
    /// Whether more of it may come into the window.
    fn has_room(&self, lane_documents: usize) -> bool {
        !self.paused && self.waiting.len().saturating_mul(2) <= lane_documents
    }
}

/// What was told of a document before it was read again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ahead {
    Sent { at_us: i64, attempt: u32, ids: Vec<Box<str>> },
    Final,
}

/// A range that is to be sent once more.
#[derive(Clone, Debug)]
struct Again {
    position: u64,
    drive: u64,
    numbers: (u32, u32),
    cursor: u64,
    done: BTreeSet<u64>,
    /// Documents that were asked for.
    listing: usize,
}

/// What has become of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaxState {
    /// It waits to be sent.
    Waiting,
    /// It was sent, and its verdict is due.
    Sent {
        /// When, microseconds UTC.
        at_us: i64,
        /// Which attempt it was.
        attempt: u32,
        /// The service's own id.
        id: String,
    },
    /// Accepted, also as a duplicate; the ledger says which.
    Accepted,
    /// Accepted with a warning: «мягкий карантин».
    Warned(Remark),
    /// Refused or in hard quarantine.
    Refused(Remark),
    /// It has a final word, which is not kept in memory: more documents are refused than fit. The table `statuses` has it.
    Settled,
    /// Nothing that the service gets.
    NotSent,
}

/// The outbox.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    options: TaxOptions,
    zone_min: i16,
    // What follows from the log, and from how far it was read again.
    told: u64,
    window: BTreeMap<u64, Entry>,
    lanes: HashMap<u64, Lane, ahash::RandomState>,
    behind: Option<Aside>,
    ahead: BTreeMap<u64, Ahead>,
    again: VecDeque<Again>,
    paused: bool,
    accounts: HashMap<u64, Account, ahash::RandomState>,
    remarks: BTreeMap<(u64, u32), Remark>,
    days: BTreeMap<i32, DayCounts>,
    totals: Totals,
    /// Drives of whose remarks some had no room.
    forgotten: BTreeSet<u64>,
    /// [`REMARKS_MAX`].
    remarks_max: usize,
    // What a restart begins anew.
    ids: HashMap<Box<str>, u64, ahash::RandomState>,
    early: BTreeMap<String, TaxStatus>,
    ready: BTreeSet<(u64, u64)>,
    timers: BTreeSet<(u64, u64)>,
    listable: BTreeSet<u64>,
    due: BTreeSet<(i64, u64)>,
    batches: BTreeMap<u64, Vec<u64>>,
    next_batch: u64,
    failures: u32,
    gate_us: u64,
    polling: bool,
    poll_failures: u32,
    poll_at_us: u64,
    /// Documents that were asked for behind the window.
    catching: usize,
    /// All documents that were asked for: each has its place in the window already.
    asked: usize,
    now_us: u64,
    strays: u64,
    repeats: u64,
    retries: u64,
}

/// What the outbox counts since its process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) strays: u64,
    pub(crate) repeats: u64,
    pub(crate) retries: u64,
    pub(crate) window: u64,
    pub(crate) awaiting: u64,
}

impl Outbox {
    /// An empty one: nothing of the log has been passed. Days of its counts are those of `zone_min`.
    pub(crate) fn new(options: TaxOptions, zone_min: i16) -> Self {
        Self { options, zone_min, remarks_max: REMARKS_MAX, ..Self::default() }
    }

    /// With tables that nobody outside can fill on purpose, and that are written in the same order when the same seed runs again:
    /// `random` gives numbers that nobody can guess. Of an empty one.
    #[must_use]
    pub(crate) fn seeded(self, random: impl Fn() -> u64) -> Self {
        let keys = || ahash::RandomState::with_seeds(random(), random(), random(), random());
        let (lanes, accounts, ids) =
            (HashMap::with_hasher(keys()), HashMap::with_hasher(keys()), HashMap::with_hasher(keys()));
        Self { lanes, accounts, ids, ..self }
    }

    /// Takes what has happened and says what is to be done. `chance` is a random number.
    pub(crate) fn step(
        &mut self,
        now: Now,
        chance: u64,
        inputs: impl IntoIterator<Item = Input>,
        outputs: &mut Vec<Output>,
    ) {
        self.now_us = now.mono_us;
        for input in inputs {
            self.take(input, chance, outputs);
        }
        self.let_timers_go(now);
        self.ask_for_resends(outputs);
        self.ask_for_more(outputs);
        self.send(outputs);
        self.poll(outputs);
    }

    /// Takes what the log says, sends nothing, and asks for nothing but the documents that had no room: what is told of them would
    /// else take more and more. A resend is not asked for: what has become of it stands farther on.
    pub(crate) fn read_on(&mut self, inputs: impl IntoIterator<Item = Input>, outputs: &mut Vec<Output>) {
        inputs.into_iter().for_each(|input| self.take(input, 0, outputs));
        self.ask_for_more(outputs);
    }

    /// How much a checkpoint has to hold, roughly in rows.
    pub(crate) fn len(&self) -> u64 {
        let Self { accounts, window, ahead, remarks, .. } = self;
        let parts = [accounts.len(), window.len(), ahead.len(), remarks.len()];
        parts.into_iter().fold(0, usize::saturating_add) as u64
    }

    /// When something is due without an input, on the monotonic clock; the wall clock of verdicts is looked at each second.
    pub(crate) fn wake_us(&self) -> Option<u64> {
        let lane = self.timers.first().map(|(at, _)| *at);
        let sends = !self.paused && !self.ready.is_empty() && self.batches.is_empty();
        let gate = sends.then_some(self.gate_us);
        let poll = (!self.polling && self.awaits()).then_some(self.poll_at_us);
        [lane, gate, poll].into_iter().flatten().min()
    }

    /// Everything up to here has been passed.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            strays: self.strays,
            repeats: self.repeats,
            retries: self.retries,
            window: self.window.len() as u64,
            awaiting: self.due.len() as u64,
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Drives that are paused, in order, at most so many.
    pub(crate) fn paused_drives(&self, most: usize) -> Vec<u64> {
        let mut paused: Vec<u64> =
            self.lanes.iter().filter(|(_, lane)| lane.paused).map(|(drive, _)| *drive).collect();
        paused.sort_unstable();
        paused.truncate(most);
        paused
    }

    pub(crate) fn account(&self, drive: u64) -> Account {
        self.accounts.get(&drive).copied().unwrap_or_default()
    }

    pub(crate) fn days(&self) -> &BTreeMap<i32, DayCounts> {
        &self.days
    }

    /// Remarks behind this one, in the order of drive and number.
    pub(crate) fn remarks_after(&self, after: (u64, u32)) -> impl Iterator<Item = ((u64, u32), &Remark)> {
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.remarks.range(from).map(|(key, remark)| (*key, remark))
    }

    /// What has become of a document that the service gets.
    pub(crate) fn state(&self, document: &Document) -> TaxState {
        if document.position > self.told {
            return TaxState::Waiting;
        }
        if let Some(entry) = self.window.get(&document.position) {
            return match entry.stage {
                Stage::Waiting | Stage::Sending => TaxState::Waiting,
                Stage::Sent { at_us } => TaxState::Sent {
                    at_us,
                    attempt: entry.attempt,
                    id: entry.ids.last().map(|id| id.to_string()).unwrap_or_default(),
                },
            };
        }
        match self.ahead.get(&document.position) {
            Some(Ahead::Sent { at_us, attempt, ids }) => {
                let id = ids.last().map(|id| id.to_string()).unwrap_or_default();
                return TaxState::Sent { at_us: *at_us, attempt: *attempt, id };
            }
            None if self.is_unread(document.position, document.drive) => return TaxState::Waiting,
            _ => {}
        }
        match self.remarks.get(&(document.drive, document.number)) {
            Some(remark) if remark.kind == StatusKind::Warned => TaxState::Warned(remark.clone()),
            Some(remark) => TaxState::Refused(remark.clone()),
            None if self.forgotten.contains(&document.drive) => TaxState::Settled,
            None => TaxState::Accepted,
        }
    }

    /// The word that the account has of a document that is sent again; `Some(None)`: it has one, and nobody knows which.
    #[expect(clippy::option_option, reason = "none, one that is known, one that is not")]
    pub(crate) fn word_before(&self, position: u64) -> Option<Option<StatusKind>> {
        let prior = self.window.get(&position)?.prior?;
        Some(Some(prior).filter(|it| *it != FORGOTTEN))
    }

    /// The last final word about a document that is not in the window.
    fn last_word(&self, drive: u64, number: u32) -> StatusKind {
        match self.remarks.get(&(drive, number)) {
            Some(remark) => remark.kind,
            None if self.forgotten.contains(&drive) => FORGOTTEN,
            None => StatusKind::Accepted,
        }
    }

    /// When the document that waits longest to be sent was received, microseconds UTC, as far as it is known.
    pub(crate) fn oldest_unsent_us(&self) -> Option<i64> {
        let waits = |entry: &&Entry| !matches!(entry.stage, Stage::Sent { .. });
        let in_window = self.window.values().find(waits).map(|entry| entry.document.received_at_us);
        let asides = self.lanes.values().filter_map(|lane| lane.aside).chain(self.behind);
        in_window.into_iter().chain(asides.map(|aside| aside.oldest_us)).min()
    }

    fn take(&mut self, input: Input, chance: u64, outputs: &mut Vec<Output>) {
        match input {
            Input::Document(document) => self.pass(document),
            Input::Status { at_us, events } => {
                events.iter().for_each(|event| self.note(at_us, event));
            }
            Input::Command { position, command } => self.command(position, command),
            Input::Head(position) => self.told = self.told.max(position),
            Input::CaughtUp { documents, through } => {
                self.asked = self.asked.saturating_sub(std::mem::take(&mut self.catching));
                self.behind = self.behind.and_then(|behind| behind.without(&documents, through));
                documents.into_iter().for_each(|document| self.place(document));
            }
            Input::Listed { asked, documents, through } => self.listed(asked, documents, through),
            Input::Answered { batch, receipts } => self.answered(batch, receipts, chance, outputs),
            Input::Verdicts(Some(verdicts)) => self.verdicts(verdicts, outputs),
            Input::Verdicts(None) => {
                self.polling = false;
                self.poll_failures = self.poll_failures.saturating_add(1);
                self.poll_at_us = self.now_us.saturating_add(self.back_off_us(self.poll_failures, chance));
            }
        }
    }

    // ── The head of the log.

    /// A document that the service has to get has come.
    fn pass(&mut self, document: Document) {
        self.told = self.told.max(document.position);
        let account = self.accounts.entry(document.drive).or_default();
        account.stored = account.stored.saturating_add(1);
        self.totals.stored = self.totals.stored.saturating_add(1);
        self.count_day(document.received_at_us, |day| &mut day.stored);
        match self.behind {
            Some(behind) => self.behind = Some(Aside { through: document.position, ..behind }),
            None if self.room() == 0 => self.behind = Some(Aside::from(&document)),
            None => self.place(document),
        }
    }

    /// Gives a document that was read its place.
    fn place(&mut self, document: Document) {
        let lane = self.lanes.entry(document.drive).or_default();
        if lane.aside.is_some() || lane.paused || lane.waiting.len() >= self.options.lane_documents {
            let aside = lane.aside.get_or_insert(Aside::from(&document));
            aside.through = aside.through.max(document.position);
            self.arrange(document.drive);
            return;
        }
        self.admit(document, None);
    }

    /// Puts a document into the window.
    fn admit(&mut self, document: Document, prior: Option<StatusKind>) {
        let position = document.position;
        let mut entry =
            Entry { document, attempt: 0, stage: Stage::Waiting, ids: Vec::new(), prior, told: false };
        match self.ahead.remove(&position) {
            Some(Ahead::Final) => return self.arrange(document.drive),
            Some(Ahead::Sent { at_us, attempt, ids }) => {
                (entry.stage, entry.attempt, entry.ids) = (Stage::Sent { at_us }, attempt, ids);
                self.due.insert((at_us, position));
            }
            None => {
                self.lanes.entry(document.drive).or_default().waiting.insert(position);
            }
        }
        for id in &entry.ids {
            self.ids.insert(id.clone(), position);
        }
        self.window.insert(position, entry);
        self.arrange(document.drive);
    }

    /// Whether a document lies where it has not been read again.
    fn is_unread(&self, position: u64, drive: u64) -> bool {
        self.behind.is_some_and(|behind| position > behind.cursor)
            || self.lanes.get(&drive).and_then(|lane| lane.aside).is_some_and(|it| position > it.cursor)
    }

    /// A status has come back from the log.
    fn note(&mut self, at_us: i64, event: &StatusEvent) {
        let (position, drive) = (event.position, event.drive);
        self.count_event(at_us, event);
        if !event.kind.is_final() {
            return self.note_sent(at_us, event);
        }
        if let Some(entry) = self.window.remove(&position) {
            for id in &entry.ids {
                self.ids.remove(id);
            }
            if let Some(lane) = self.lanes.get_mut(&drive) {
                lane.waiting.remove(&position);
                if entry.stage == Stage::Sending {
                    lane.sending = lane.sending.saturating_sub(1);
                }
            }
            if let Stage::Sent { at_us } = entry.stage {
                self.due.remove(&(at_us, position));
            }
            self.settle(at_us, event, entry.prior);
        } else {
            // One behind another is that of a resend, which the log has told before.
            let is_unread = self.is_unread(position, drive);
            let is_first = is_unread && self.ahead.insert(position, Ahead::Final) != Some(Ahead::Final);
            let prior = (!is_first).then(|| self.last_word(drive, event.number));
            self.settle(at_us, event, prior);
        }
        // Whatever it was under way for, it is a word behind the commands that name it: a start knows no more than that.
        let names = |it: &&mut Again| {
            let range = it.numbers.0..=it.numbers.1;
            let is_left = it.cursor < position && position < it.position;
            is_left && it.drive == drive && range.contains(&event.number)
        };
        for again in self.again.iter_mut().filter(names).filter(|_| !planted::is(Planted::TaxResendsAtStart))
        {
            again.done.insert(position);
        }
        self.arrange(drive);
    }

    fn note_sent(&mut self, at_us: i64, event: &StatusEvent) {
        let (position, drive) = (event.position, event.drive);
        let id: Option<Box<str>> = (!event.id.is_empty()).then(|| event.id.as_str().into());
        if let Some(entry) = self.window.get_mut(&position) {
            let lane = self.lanes.entry(drive).or_default();
            match entry.stage {
                Stage::Sending => lane.sending = lane.sending.saturating_sub(1),
                Stage::Waiting => drop(lane.waiting.remove(&position)),
                Stage::Sent { at_us } => drop(self.due.remove(&(at_us, position))),
            }
            (entry.stage, entry.attempt) = (Stage::Sent { at_us }, event.attempt);
            if let Some(id) = id.filter(|id| !entry.ids.contains(id)) {
                self.ids.insert(id.clone(), position);
                entry.ids.push(id);
            }
            self.due.insert((at_us, position));
        } else if self.is_unread(position, drive) {
            let fresh = Ahead::Sent { at_us, attempt: event.attempt, ids: Vec::new() };
            if let Ahead::Sent { at_us: at, attempt, ids } = self.ahead.entry(position).or_insert(fresh) {
                (*at, *attempt) = (at_us, event.attempt);
                ids.extend(id);
            }
        }
        self.arrange(drive);
    }

    /// The final word about a document; `prior` is the one that it replaces.
    fn settle(&mut self, at_us: i64, event: &StatusEvent, prior: Option<StatusKind>) {
        // What is counted of it is one of the words that stand in the account, and stays where it is.
        let prior = prior.map(|prior| if prior == FORGOTTEN { event.kind } else { prior });
        self.accounts.entry(event.drive).or_default().settled.replace(prior, event.kind);
        self.totals.settled.replace(prior, event.kind);
        let key = (event.drive, event.number);
        if matches!(event.kind, StatusKind::Accepted | StatusKind::Duplicate) {
            self.remarks.remove(&key);
            return;
        }
        let remark = Remark {
            position: event.position,
            kind: event.kind,
            at_us,
            code: event.code,
            tag: event.tag,
            id: event.id.clone(),
        };
        self.remarks.insert(key, remark);
        if self.remarks.len() > self.remarks_max {
            self.forgotten.extend(self.remarks.pop_first().map(|((drive, _), _)| drive));
        }
    }

    fn count_event(&mut self, at_us: i64, event: &StatusEvent) {
        if event.kind == StatusKind::Sent {
            self.totals.sent = self.totals.sent.saturating_add(1);
            if event.attempt > 1 {
                self.totals.resent = self.totals.resent.saturating_add(1);
            }
        }
        let kind = event.kind;
        self.count_day(at_us, |day| day.of(kind));
    }

    fn count_day(&mut self, at_us: i64, count: impl FnOnce(&mut DayCounts) -> &mut u64) {
        let day = super::account::day_of(at_us, self.zone_min);
        let count = count(self.days.entry(day).or_default());
        *count = count.saturating_add(1);
        while self.days.len() > super::account::DAYS_KEPT {
            self.days.pop_first();
        }
    }

    fn command(&mut self, position: u64, command: TaxCommand) {
        self.told = self.told.max(position);
        match command {
            TaxCommand::Pause(None) => self.paused = true,
            TaxCommand::Resume(None) => self.paused = false,
            TaxCommand::Pause(Some(drive)) | TaxCommand::Resume(Some(drive)) => {
                let drive = drive.to_bcd_u64();
                let pauses = matches!(command, TaxCommand::Pause(_));
                self.lanes.entry(drive).or_default().paused = pauses;
                self.arrange(drive);
            }
            TaxCommand::Resend { drive, from, to } => {
                let drive = drive.to_bcd_u64();
                let (numbers, done) = ((from, to), BTreeSet::new());
                self.again.push_back(Again { position, drive, numbers, cursor: 0, done, listing: 0 });
            }
        }
    }

    // ── What is read again.

    /// How many documents more may come into the window.
    fn room(&self) -> usize {
        let TaxOptions { window_documents, .. } = self.options;
        let all = self.window.len().saturating_add(self.asked);
        let waiting = all.saturating_sub(self.due.len());
        let in_all = window_documents.saturating_mul(WINDOWS_IN_ALL).saturating_sub(all);
        window_documents.saturating_sub(waiting).min(in_all)
    }

    /// Asks for documents while there is room for them.
    fn ask_for_more(&mut self, outputs: &mut Vec<Output>) {
        // A quarter at once, so that a log is not opened for every document that leaves; half of the room is left to the lanes.
        let enough = (self.options.window_documents / 4).clamp(1, CAUGHT_UP_AT_ONCE);
        let room = self.room();
        if let Some(behind) = self.behind.filter(|_| self.catching == 0 && room >= enough) {
            let most = room.div_ceil(2).min(CAUGHT_UP_AT_ONCE);
            (self.catching, self.asked) = (most, self.asked.saturating_add(most));
            outputs.push(Output::CatchUp { after: behind.cursor, most });
        }
        let most = LISTED_AT_ONCE.min(self.options.lane_documents).min(self.room());
        while most > 0
            && self.room() >= most
            && let Some(drive) = self.listable.pop_first()
        {
            let Some(lane) = self.lanes.get_mut(&drive) else { continue };
            let Some(aside) = lane.aside else { continue };
            lane.listing = most;
            self.asked = self.asked.saturating_add(most);
            outputs.push(Output::List {
                asked: Asked::Lane(drive),
                drive,
                numbers: (0, u32::MAX),
                after: aside.cursor,
                through: aside.through,
                most,
            });
        }
    }

    /// Asks for what a command wants sent again.
    fn ask_for_resends(&mut self, outputs: &mut Vec<Output>) {
        let most = LISTED_AT_ONCE.min(self.options.lane_documents).min(self.room());
        if most == 0 {
            return;
        }
        let (lanes, lane_documents) = (&self.lanes, self.options.lane_documents);
        // What it names and had no room has to be read first: until then nobody knows what was said of it.
        let is_read = |aside: Option<Aside>, position: u64| aside.is_none_or(|it| it.cursor >= position);
        let behind = self.behind;
        let has_room = |it: &&mut Again| {
            let may = |lane: &Lane| lane.has_room(lane_documents) && is_read(lane.aside, it.position);
            is_read(behind, it.position) && lanes.get(&it.drive).is_none_or(may)
        };
        let is_listing = self.again.iter().any(|it| it.listing > 0);
        // One at a time, in their order; one of a drive that is paused or has enough to do lets the next one pass.
        if let Some(again) = self.again.iter_mut().filter(|_| !is_listing).find(has_room) {
            again.listing = most;
            self.asked = self.asked.saturating_add(most);
            outputs.push(Output::List {
                asked: Asked::Again(again.position),
                drive: again.drive,
                numbers: again.numbers,
                after: again.cursor,
                through: again.position,
                most,
            });
        }
    }

    fn listed(&mut self, asked: Asked, documents: Vec<Document>, through: u64) {
        match asked {
            Asked::Lane(drive) => {
                let Some(lane) = self.lanes.get_mut(&drive) else { return };
                self.asked = self.asked.saturating_sub(std::mem::take(&mut lane.listing));
                lane.aside = lane.aside.and_then(|aside| aside.without(&documents, through));
                for document in documents.into_iter().filter(|it| it.drive == drive) {
                    self.admit(document, None);
                }
                self.arrange(drive);
            }
            Asked::Again(position) => {
                for document in documents {
                    self.send_again(position, document);
                }
                if let Some(again) = self.again.iter_mut().find(|it| it.position == position) {
                    self.asked = self.asked.saturating_sub(std::mem::take(&mut again.listing));
                    again.cursor = through;
                    if through >= position {
                        self.again.retain(|it| it.position != position);
                    }
                }
            }
        }
    }

    /// A document that a command has named.
    fn send_again(&mut self, command: u64, document: Document) {
        let (position, drive) = (document.position, document.drive);
        let is_done = |it: &Again| it.position == command && it.done.contains(&position);
        if self.is_unread(position, drive) || self.again.iter().any(is_done) {
            return;
        }
        match self.window.get(&position).map(|entry| entry.stage) {
            Some(Stage::Sent { at_us }) => {
                self.due.remove(&(at_us, position));
                self.wait_again(position);
            }
            Some(_) => {}
            None => {
                let prior = self.last_word(drive, document.number);
                self.admit(document, Some(prior));
            }
        }
    }
}

/// The digits of a packed drive number; empty where there are none.
pub(crate) fn drive_of(packed: u64) -> Option<DriveNumber> {
    DriveNumber::from_bcd(packed.to_be_bytes()).ok()
}
