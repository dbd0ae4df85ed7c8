//! The thread of the notifier (`ofd-notify`): feeds the state machine with events, commands and answers, and does what it says.
//! It is there only when the host has given a channel. Nobody waits for it.
//!
//! The futures of the host are polled here, with a bell for a waker, and dropped after [`CALL_TIMEOUT_US`]; what was dropped is
//! tried again. At the end of the engine nothing new leaves, and what is under way may end for [`DRAIN_US`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use ofd_storage::status::{StatusOf, decode};
use ofd_storage::{Error, ErrorKind, Lsn, Position, RecordKind};

use super::item::{Place, Told};
use super::kind::{Kinds, said_by};
use super::queue::{Input, Limits, Moment, NoticeCounts, Notifier, Output, done_by};
use super::saved::Saved;
use super::subscription::{SubscriptionCommand, Subscriptions};
use crate::handover::{Doorbell, Unanswered};
use crate::host::{Answering, DeliveryOutcome};
use crate::live::EventFeed;
use crate::pace::{Follower, Pace, Patience};
use crate::planted::{self, Planted};
use crate::registers::Event;
use crate::shared::{Health, Shared, Stage, Turn};
use crate::writer;

/// Events taken in one turn.
const EVENTS_AT_ONCE: usize = 512;
/// Records read in one turn of a start.
const RECORDS_AT_ONCE: usize = 16_384;
/// How long a channel may take, see [`crate::host::Channel`].
const CALL_TIMEOUT_US: u64 = 30_000_000;
/// How long it sleeps at most: events are seen within this time.
const IDLE_SLEEP_US: u64 = 100_000;
/// And when nothing has come for long.
const LONG_SLEEP_US: u64 = 500_000;
/// Turns without anything new before it sleeps long.
const IDLE_LOOKS: u32 = 20;
/// What was noted is saved so often at most, and how far the walk is.
const SAVE_US: (u64, u64) = (10_000_000, 60_000_000);
/// Behind that time it looks so often whether there is anything to save.
const SAVE_LOOK_US: u64 = 1_000_000;
/// Others see how far it is so often, at least when it rests.
const SHOW_US: u64 = 100_000;
/// How long it waits after an error of the disk.
const RETRY_US: u64 = 1_000_000;
/// How long the end waits for what is under way.
const DRAIN_US: u64 = 5_000_000;

/// What of the notifier others see and say.
pub(crate) struct Desk {
    /// Held by whoever gives a command until it is durable, so that they are taken in in the order of the log.
    pub(super) subscriptions: Mutex<(Subscriptions, Lsn)>,
    pub(super) inbox: Mutex<VecDeque<(Lsn, SubscriptionCommand)>>,
    pub(super) seen: Mutex<Seen>,
    pub(super) bell: Doorbell,
}

/// What was last seen of the notifier.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) counts: NoticeCounts,
    pub(super) waiting: usize,
    pub(super) oldest_us: Option<i64>,
    /// Of each subscription: its cursor, notices that wait, more behind them.
    pub(super) lines: BTreeMap<String, (Place, usize, bool)>,
}

impl Desk {
    pub(crate) fn new(subscriptions: Subscriptions, last: Lsn) -> Self {
        Self {
            subscriptions: Mutex::new((subscriptions, last)),
            inbox: Mutex::default(),
            seen: Mutex::default(),
            bell: Doorbell::default(),
        }
    }

    /// A command that is durable, in the order of the log.
    pub(super) fn take_in(&self, standing: &mut (Subscriptions, Lsn), at: Lsn, command: SubscriptionCommand) {
        standing.0.fold(at, command.clone());
        standing.1 = at;
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push_back((at, command));
        self.ring();
    }

    /// The notifier has to look.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }
}

struct Ring(Arc<Desk>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.bell.ring();
    }
}

struct Call {
    token: u64,
    answer: Answering<DeliveryOutcome>,
    deadline_us: u64,
}

struct Note {
    token: u64,
    answer: Receiver<Result<Lsn, Unanswered>>,
    /// Its place, once the writer has given it.
    lsn: Option<Lsn>,
    /// Everything that is durable before it was written.
    before: Lsn,
}

/// The notifier at work.
pub(crate) struct Teller {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    writer_calls: Sender<writer::Call>,
    waker: Waker,
    limits: Limits,
    /// `None` until it has begun.
    notifier: Option<Notifier>,
    begins: Option<Begin>,
    feed: Option<EventFeed>,
    catching: Option<EventFeed>,
    calls: Vec<Call>,
    notes: Vec<Note>,
    /// What was durable at a moment of the wall clock: when the walk is there, all that was received by then was seen.
    mark: Option<(Lsn, i64)>,
    patience: Patience,
    as_of_us: i64,
    saved: Option<Saved>,
    saved_at_us: u64,
    /// Whether there is anything to save was looked at last.
    save_looked_at_us: u64,
    /// A start goes on then, and each feed, behind an error of the disk.
    retry_at_us: u64,
    walk_at_us: u64,
    catch_at_us: u64,
    /// Where the feed of the catching up broke off.
    broken: Option<Position>,
    drain_until_us: Option<u64>,
    idle_looks: u32,
    sleep_us: u64,
    /// Others see an older state.
    stale: bool,
    shown_at_us: u64,
}

/// A start that still reads the log.
struct Begin {
    saved: Option<Saved>,
    done: BTreeMap<(String, Lsn), Place>,
    read: Position,
    /// All that was durable when it began.
    durable: Lsn,
}

impl Begin {
    fn new(shared: &Shared) -> Self {
        let durable = shared.watermark.load();
        let saved = Saved::read(&*shared.env, durable);
        let read = Position::new(saved.as_ref().map_or(Lsn::NONE, |it| it.through));
        Self { saved, done: BTreeMap::new(), read, durable }
    }

    /// Reads some more of the log; false at its end.
    fn read_on(&mut self, shared: &Shared) -> Result<bool, Error> {
        self.durable = shared.watermark.load();
        if self.read.lsn() >= self.durable {
            return Ok(false);
        }
        let mut records = shared.reader.records_from(self.read, self.durable);
        for _ in 0..RECORDS_AT_ONCE {
            match records.next() {
                Ok(Some((record, _))) => {
                    if record.kind() == RecordKind::Status
                        && !planted::is(Planted::NoticesForgetAtStart)
                        && let Ok(payload) = record.plain_payload()
                        && let Some((StatusOf::Delivery, events)) = decode(payload)
                    {
                        for (line, place) in events.iter().filter_map(done_by) {
                            let known = self.done.entry(line).or_default();
                            *known = place.max(*known);
                        }
                    }
                }
                Ok(None) => break,
                // What left the log is older than anything that is told; what is damaged is told again.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "the notifier passes over a part of the log");
                }
                Err(error) => return Err(error),
            }
        }
        let moved = records.position() > self.read;
        self.read = self.read.max(records.position());
        Ok(moved)
    }

    /// The state that was left.
    fn notifier(&self, shared: &Shared, limits: Limits, all: &Subscriptions, last: Lsn) -> Notifier {
        let channels =
            shared.host.channels.iter().map(|(name, it)| (name.clone(), it.at_once_max())).collect();
        let end = Position::new(self.durable);
        Notifier::new(limits, channels, all, last, self.saved.as_ref(), &self.done, end)
    }
}

/// Of each subscription how far it was left, where no notifier runs: as [`Seen::lines`].
pub(super) fn left(
    shared: &Shared,
    all: &Subscriptions,
    last: Lsn,
) -> BTreeMap<String, (Place, usize, bool)> {
    let mut begin = Begin::new(shared);
    loop {
        match begin.read_on(shared) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::warn!(%error, "how far the subscriptions are is not known");
                return BTreeMap::new();
            }
        }
    }
    let notifier = begin.notifier(shared, Limits::default(), all, last);
    notifier.lines().map(|(id, place, waits, more)| (id.to_owned(), (place, waits, more))).collect()
}

impl Teller {
    pub(crate) fn new(shared: Arc<Shared>, desk: Arc<Desk>, writer_calls: Sender<writer::Call>) -> Self {
        let waker = Waker::from(Arc::new(Ring(Arc::clone(&desk))));
        let limits = Limits { deadline_us: shared.options.notice_deadline_us, ..Limits::default() };
        Self {
            shared,
            desk,
            writer_calls,
            waker,
            limits,
            notifier: None,
            begins: None,
            feed: None,
            catching: None,
            calls: Vec::new(),
            notes: Vec::new(),
            mark: None,
            patience: Patience::default(),
            as_of_us: i64::MIN,
            saved: None,
            saved_at_us: 0,
            save_looked_at_us: 0,
            retry_at_us: 0,
            walk_at_us: 0,
            catch_at_us: 0,
            broken: None,
            drain_until_us: None,
            idle_looks: 0,
            sleep_us: IDLE_SLEEP_US,
            stale: false,
            shown_at_us: 0,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.desk.bell.is_mine();
        let mut pace = Pace::new(Arc::clone(&self.shared), Follower::Notices);
        loop {
            match self.turn() {
                Turn::Worked => pace.give_way(|| self.is_urgent()),
                Turn::Idle => self.desk.bell.sleep(Duration::from_micros(self.sleep_us), || true),
                Turn::Ended => return,
            }
        }
    }

    /// It has not begun yet, or is too far behind to stay away.
    fn is_urgent(&self) -> bool {
        let since_us = |(_, at): (Lsn, i64)| self.shared.now().wall_us.saturating_sub(at);
        let behind_us = self.mark.map_or(0, |mark| u64::try_from(since_us(mark)).unwrap_or(0).max(1));
        self.patience.is_over(behind_us) || self.notifier.is_none()
    }

    /// One piece of work.
    pub(crate) fn turn(&mut self) -> Turn {
        let now_us = self.shared.now().mono_us;
        if self.shared.health() == Health::Failed || self.shared.stage() >= Stage::WriterEnds {
            return Turn::Ended;
        }
        if self.shared.stage() > Stage::Running {
            let until_us = *self.drain_until_us.get_or_insert(now_us.saturating_add(DRAIN_US));
            let rests = self.notifier.as_mut().is_none_or(Notifier::stop);
            if now_us >= until_us || rests {
                self.save(true);
                return Turn::Ended;
            }
        }
        if now_us < self.retry_at_us {
            return Turn::Idle;
        }
        match self.step() {
            Ok(true) => {
                self.idle_looks = 0;
                Turn::Worked
            }
            Ok(false) => {
                self.idle_looks = self.idle_looks.saturating_add(1);
                let most = if self.idle_looks > IDLE_LOOKS { LONG_SLEEP_US } else { IDLE_SLEEP_US };
                let due = self.notifier.as_ref().and_then(Notifier::wake_in_us).unwrap_or(most);
                // The writer rings nobody for a record: what waits for one looks again soon.
                let noting = if self.notes.is_empty() { most } else { 1_000 };
                self.sleep_us = most.min(due).min(noting).max(1_000);
                Turn::Idle
            }
            Err(error) => {
                tracing::warn!(%error, "the notifier waits");
                self.retry_at_us = now_us.saturating_add(RETRY_US);
                self.sleep_us = RETRY_US;
                Turn::Idle
            }
        }
    }

    fn step(&mut self) -> Result<bool, Error> {
        if self.notifier.is_none() {
            return self.begin();
        }
        let mut inputs = Vec::new();
        self.take_commands(&mut inputs);
        // What the feeds give is chosen by what is wanted, and a command that is not applied yet may want more.
        let is_chosen = inputs.is_empty();
        self.poll_calls(&mut inputs);
        self.poll_notes(&mut inputs);
        if self.drain_until_us.is_none() && is_chosen {
            self.walk(&mut inputs);
            self.catch_up(&mut inputs);
        }
        let worked = !inputs.is_empty();
        let now = self.shared.now();
        let moment = Moment { wall_us: now.wall_us, mono_us: now.mono_us, chance: self.shared.env.random() };
        let Some(notifier) = &mut self.notifier else { return Ok(false) };
        let outputs = notifier.step(moment, inputs);
        let worked = worked || !outputs.is_empty();
        for output in outputs {
            self.carry_out(output);
        }
        if self.notifier.as_ref().is_some_and(|it| !it.is_catching()) {
            self.catching = None;
        }
        // Not each time: there may be thousands of lines.
        self.stale |= worked;
        if self.stale && (!worked || now.mono_us >= self.shown_at_us.saturating_add(SHOW_US)) {
            (self.stale, self.shown_at_us) = (false, now.mono_us);
            self.show();
        }
        self.save(false);
        Ok(worked)
    }

    /// Reads what the log says behind what was saved, some of it in a call.
    fn begin(&mut self) -> Result<bool, Error> {
        let begin = self.begins.get_or_insert_with(|| Begin::new(&self.shared));
        let has_any =
            self.desk.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).0.iter().next().is_some();
        if has_any && begin.read_on(&self.shared)? {
            return Ok(true);
        }
        let Some(begin) = self.begins.take() else { return Ok(false) };
        let desk = self.desk.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        // What came meanwhile is in it.
        self.desk.inbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let notifier = begin.notifier(&self.shared, self.limits, &desk.0, desk.1);
        drop(desk);
        (self.notifier, self.saved) = (Some(notifier), begin.saved);
        self.show();
        Ok(true)
    }

    fn take_commands(&self, inputs: &mut Vec<Input>) {
        let mut inbox = self.desk.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.extend(inbox.drain(..).map(|(at, command)| Input::Command(at, command)));
    }

    fn poll_calls(&mut self, inputs: &mut Vec<Input>) {
        let now_us = self.shared.now().mono_us;
        let mut context = Context::from_waker(&self.waker);
        self.calls.retain_mut(|call| {
            let outcome = match call.answer.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending if now_us >= call.deadline_us => {
                    tracing::warn!("a delivery channel let a call time out");
                    DeliveryOutcome::Retry
                }
                Poll::Pending => return true,
            };
            inputs.push(Input::Answer { token: call.token, outcome });
            false
        });
    }

    fn poll_notes(&mut self, inputs: &mut Vec<Input>) {
        let durable = self.shared.watermark.load();
        self.notes.retain_mut(|note| {
            let token = note.token;
            if note.lsn.is_none() {
                match note.answer.try_recv() {
                    Ok(Ok(lsn)) => note.lsn = Some(lsn),
                    Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                        inputs.push(Input::NotNoted { token });
                        return false;
                    }
                    Err(TryRecvError::Empty) => return true,
                }
            }
            if note.lsn.is_some_and(|lsn| lsn <= durable) {
                inputs.push(Input::Noted { token });
                return false;
            }
            true
        });
    }

    /// The next events. A feed that breaks off begins anew a little later; what else there is to do goes on.
    fn walk(&mut self, inputs: &mut Vec<Input>) {
        let Some(notifier) = self.notifier.as_ref().filter(|it| !it.is_empty()) else {
            self.feed = None;
            return;
        };
        let now_us = self.shared.now().mono_us;
        if now_us < self.walk_at_us {
            return;
        }
        let walked = notifier.walked();
        let (env, book) = (Arc::clone(&self.shared.env), Arc::clone(&self.shared.book));
        let log = self.shared.reader.clone();
        let feed = self.feed.get_or_insert_with(|| EventFeed::of_all(env, book, Some(log), walked));
        let mark =
            *self.mark.get_or_insert_with(|| (self.shared.watermark.load(), self.shared.now().wall_us));
        let events = match feed.next(EVENTS_AT_ONCE, Duration::ZERO) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "the walk along the events waits");
                (self.feed, self.walk_at_us) = (None, now_us.saturating_add(RETRY_US));
                return;
            }
        };
        let through = feed.position();
        let mut as_of_us = self.as_of_us;
        if through.lsn() >= mark.0 {
            self.mark = None;
            as_of_us = mark.1;
        }
        let waits = notifier.waits();
        if through > walked || (waits && as_of_us > self.as_of_us.saturating_add(1_000_000)) {
            let events = told_of(&self.shared, notifier, events);
            self.as_of_us = as_of_us;
            inputs.push(Input::Walked { events, through, as_of_us });
        }
    }

    /// The next older events. Whoever lacks what cannot be read waits, and nobody else.
    fn catch_up(&mut self, inputs: &mut Vec<Input>) {
        let Some(notifier) = &mut self.notifier else { return };
        let now_us = self.shared.now().mono_us;
        let Some(feed) = &mut self.catching else {
            if notifier.is_catching() && now_us >= self.catch_at_us {
                notifier.break_catching(self.broken);
            }
            return;
        };
        let before = feed.position();
        let events = match feed.next(EVENTS_AT_ONCE, Duration::ZERO) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "the catching up waits");
                self.broken = Some(feed.position());
                (self.catching, self.catch_at_us) = (None, now_us.saturating_add(RETRY_US));
                return;
            }
        };
        let through = feed.position();
        if through > before || through >= notifier.walked() {
            let events = told_of(&self.shared, notifier, events);
            inputs.push(Input::Caught { events, through });
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Deliver { token, channel, delivery } => {
                let Some(channel) = self.shared.host.channels.get(&channel) else { return };
                let deadline_us = self.shared.now().mono_us.saturating_add(CALL_TIMEOUT_US);
                self.calls.push(Call { token, answer: channel.deliver(delivery), deadline_us });
                // Nobody has looked at it yet, so nobody would wake us.
                self.desk.bell.ring();
            }
            Output::Note { token, payload } => {
                let before = self.shared.watermark.load();
                let (reply, answer) = bounded(1);
                let call = writer::Call::Append { kind: RecordKind::Status, payload, reply };
                // A writer that is gone drops the reply, which is seen as a record that was not taken.
                let _ = self.writer_calls.send(call);
                self.shared.writer_bell.ring();
                self.notes.push(Note { token, answer, lsn: None, before });
            }
            Output::Catch { from } => {
                let (env, book) = (Arc::clone(&self.shared.env), Arc::clone(&self.shared.book));
                self.catching = Some(EventFeed::of_all(env, book, Some(self.shared.reader.clone()), from));
            }
        }
    }

    /// Shows others how far it is.
    fn show(&self) {
        let Some(notifier) = &self.notifier else { return };
        let (waiting, oldest_us) = notifier.waiting();
        let lines = notifier.lines().map(|(id, place, waits, more)| (id.to_owned(), (place, waits, more)));
        let seen = Seen { counts: notifier.counts(), waiting, oldest_us, lines: lines.collect() };
        *self.desk.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Saves how far it is, when that is due.
    fn save(&mut self, ends: bool) {
        let Some(notifier) = &self.notifier else { return };
        let now_us = self.shared.now().mono_us;
        let since_us = now_us.saturating_sub(self.saved_at_us);
        // To look is to go over all lines.
        let looked_us = now_us.saturating_sub(self.save_looked_at_us);
        if !ends && (since_us < SAVE_US.0 || looked_us < SAVE_LOOK_US) {
            return;
        }
        self.save_looked_at_us = now_us;
        let durable = self.shared.watermark.load();
        let through = self.notes.iter().map(|it| it.before).min().unwrap_or(durable);
        let saved = notifier.saved(through);
        let moved =
            self.saved.as_ref().is_none_or(|it| it.lines != saved.lines || it.commands != saved.commands);
        let changed = self.saved.as_ref() != Some(&saved);
        if !changed || notifier.is_empty() || (!moved && !ends && since_us < SAVE_US.1) {
            return;
        }
        self.saved_at_us = now_us;
        match saved.write(&*self.shared.env) {
            Ok(()) => self.saved = Some(saved),
            Err(error) => tracing::warn!(%error, "how far the notifier is was not saved"),
        }
    }
}

/// The events as the notifier takes them, without those that nobody wants.
fn told_of(shared: &Shared, notifier: &Notifier, events: Vec<Event>) -> Vec<Told> {
    let (kinds, asks): (Kinds, (bool, bool)) = (notifier.kinds(), notifier.asks());
    let mut told = Vec::new();
    for event in events.into_iter().filter(|it| it.kind.is_news()) {
        let said = said_by(&event);
        if !said.iter().any(|it| kinds.has(it.kind)) {
            continue;
        }
        let Event { position, index, received_at_us, drive, number, inn, .. } = event;
        let rnm = shared.book.read().card_of(drive).map(|it| it.rnm);
        let outlet =
            asks.1.then(|| shared.host.directory.snapshot().drives.get(&drive)?.outlet.clone()).flatten();
        told.push(Told { position, index, received_at_us, drive, number, inn, rnm, outlet, said });
    }
    told
}
