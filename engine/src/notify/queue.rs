//! The notifier: what has to be told to whom, when, and what has been. A state machine without a clock, a thread or a socket.
//!
//! ```text
//!  events ─Walked─▶ ┌ lines, one a subscription ┐ ─Deliver─▶ channel ─Answer─▶ ┐
//!  older  ─Caught─▶ │ notices in order · cursor │ ◀─────────────────────────── ┘
//!          ◀─Catch─ └───────────────────────────┘ ─Note─▶ log (Status) ─Noted─▶ the cursor moves
//! ```
//!
//! Each subscription is a line: its notices in the order of their events, at most one delivery of it under way, and a
//! *cursor*: everything up to there is delivered, refused or given up, and a record of the log says so before the next one
//! leaves. After a crash a line goes on behind its cursor: at most one delivery is made again, with the same id.
//!
//! A line holds a bounded number of notices. One that is full, was sent back or has come back from a restart is *behind*: it
//! gets what it lacks from a feed of its own pace, the catching up, which serves all lines that are behind at once.
//!
//! What is told when: quiet hours hold a delivery back until they end. A digest is everything from its first notice to its
//! hour; it goes out when all that was received before that hour has been walked past. Neither loses anything.
//! An attempt that fails is made again, later each time (1 second, doubled, up to 15 minutes, give or take a half). What was
//! tried [`ATTEMPTS_MIN`] times at least is given up when nothing of its line was taken or refused for [`Limits::deadline_us`],
//! from the first failure on, by the monotonic clock: neither a clock that leaps gives anything up, nor how old it is.
//!
//! Invariants: the same events give the same deliveries to a line, in the same order, each once as far as its records tell,
//! whatever restarts lie between (test: `queue/tests.rs::nothing_is_told_twice_over_random_restarts`); a crash behind any record loses
//! nothing and repeats at most what was under way (test: `queue/tests.rs::a_crash_at_any_record_loses_nothing`); it tells what a list of
//! all notices tells (test: `queue/tests.rs::a_naive_model_agrees_on_random_events`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ofd_storage::status::{StatusEvent, StatusKind, StatusOf, encode};
use ofd_storage::{Lsn, Position};

use super::item::{Item, Place, Told, body_of, id_of, id_text};
use super::kind::Kinds;
#[cfg(test)]
use super::kind::NoticeKind;
use super::saved::{Saved, SavedLine};
use super::subscription::{NoticeScope, Standing, SubscriptionCommand, Subscriptions, plain_inn};
use crate::host::{Delivery, DeliveryOutcome};
use crate::planted::{self, Planted};

/// Attempts before something is given up, however long its line has failed.
pub const ATTEMPTS_MIN: u32 = 12;
/// The first wait behind a failed attempt, and the longest.
const WAIT_US: (u64, u64) = (1_000_000, 900_000_000);
/// How long a record waits that the log did not take.
const NOTE_AGAIN_US: u64 = 1_000_000;
/// All lines are looked at so often, at least.
const LOOK_US: u64 = 1_000_000;
/// Notices of one digest; what is more goes into the next one at once.
pub(crate) const DIGEST_MAX: usize = 500;
/// A line may always hold so many, whatever the others hold.
const LINE_MIN: usize = 16;
/// One receiver gets this part of what its channel makes at once.
const RECEIVER_PART: usize = 4;

/// Bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Notices of one line; at least twice [`DIGEST_MAX`] where there are digests.
    pub(crate) line_max: usize,
    /// Of all lines.
    pub(crate) all_max: usize,
    /// Deliveries under way.
    pub(crate) open_max: usize,
    /// Of them by one channel, whatever it says itself ([`crate::host::Channel::at_once_max`]).
    pub(crate) channel_max: usize,
    /// How long a line may fail before what it tries is given up.
    pub(crate) deadline_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_max: 1_000,
            all_max: 200_000,
            open_max: 256,
            channel_max: 128,
            deadline_us: 72 * 3_600 * 1_000_000,
        }
    }
}

/// A moment, and a number that nobody can foresee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall_us: i64,
    pub(crate) mono_us: u64,
    pub(crate) chance: u64,
}

/// What has happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A command, durable, in the order of the log.
    Command(Lsn, SubscriptionCommand),
    /// Events in order. Everything up to `through` was looked at, and everything received before `as_of_us` is.
    Walked { events: Vec<Told>, through: Position, as_of_us: i64 },
    /// Older events in order, for the lines that catch up.
    Caught { events: Vec<Told>, through: Position },
    /// What a channel said of a delivery.
    Answer { token: u64, outcome: DeliveryOutcome },
    /// A record is durable.
    Noted { token: u64 },
    /// The log did not take a record.
    NotNoted { token: u64 },
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Output {
    /// To be delivered.
    Deliver { token: u64, channel: String, delivery: Delivery },
    /// To be appended to the log as a status.
    Note { token: u64, payload: Vec<u8> },
    /// Events behind this position are wanted, until [`Notifier::is_catching`] says no.
    Catch { from: Position },
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeCounts {
    /// Deliveries that a channel has taken.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Deliveries that a channel refuses for good.
    pub refused: u64,
    /// Deliveries that were given up.
    pub given_up: u64,
}

#[derive(Debug)]
enum Way {
    /// With the channel.
    Open,
    /// Decided; its record is with the log.
    Noting(StatusKind),
    /// Decided; the log did not take it, and is asked again then.
    ToNote(StatusKind, u64),
}

#[derive(Debug)]
struct Flight {
    token: u64,
    id: u64,
    through: Place,
    way: Way,
}

/// One subscription at work.
#[derive(Debug)]
struct Line {
    standing: Standing,
    /// Everything up to here is done with.
    cursor: Place,
    /// Everything up to here was offered to it.
    offered: Place,
    /// It lacks something that the walk has passed.
    behind: bool,
    /// It takes part in the catching up.
    catches: bool,
    items: VecDeque<Item>,
    flight: Option<Flight>,
    attempts: u32,
    next_try_us: u64,
    /// The last notice of a digest that was tried: it is tried again as it was, and what came meanwhile goes into the next one.
    tried: Option<Place>,
    /// The first attempt that failed since one was taken or refused, by the monotonic clock.
    failing_since_us: Option<u64>,
    /// Whom its deliveries go to, see [`receiver_of`].
    receiver: String,
    /// Its last delivery: whoever has waited longest is the next.
    served: u64,
}

impl Line {
    fn new(standing: Standing, cursor: Place, walked: Position) -> Self {
        let behind = cursor < Place::behind(walked);
        Self {
            receiver: receiver_of(&standing.spec.to),
            standing,
            cursor,
            offered: cursor,
            behind,
            catches: false,
            items: VecDeque::new(),
            flight: None,
            attempts: 0,
            next_try_us: 0,
            tried: None,
            failing_since_us: None,
            served: 0,
        }
    }
}

/// Which lines an event may be for.
#[derive(Debug, Default)]
struct Whose {
    all: Vec<String>,
    inn: BTreeMap<String, Vec<String>>,
    outlet: BTreeMap<String, Vec<String>>,
    rnm: BTreeMap<String, Vec<String>>,
    kinds: Kinds,
}

/// How an event comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Walk,
    Catch,
}

/// The state.
#[derive(Debug)]
pub(crate) struct Notifier {
    limits: Limits,
    /// Channels there are, and how many deliveries each makes at once.
    channels: BTreeMap<String, usize>,
    lines: BTreeMap<String, Line>,
    whose: Whose,
    /// Lines that hold notices or have a delivery under way.
    busy: BTreeSet<String>,
    tokens: BTreeMap<u64, String>,
    next_token: u64,
    /// The last command that is in it.
    commands: Lsn,
    walked: Position,
    as_of_us: i64,
    /// Notices in all lines.
    held: usize,
    catching: bool,
    /// Where the catching up broke off last.
    broken: Option<Position>,
    counts: NoticeCounts,
    /// Nothing new leaves any more.
    stops: bool,
    /// When something is due by itself, when the last step was, and when all lines were looked at; by the monotonic clock.
    wake_at_us: Option<u64>,
    stepped_at_us: u64,
    looked_at_us: Option<u64>,
}

impl Notifier {
    /// As it was when it was saved, with what the log has said behind that. `end`: where a walk begins that nobody waits for.
    pub(crate) fn new(
        limits: Limits,
        channels: BTreeMap<String, usize>,
        subscriptions: &Subscriptions,
        commands: Lsn,
        saved: Option<&Saved>,
        done: &BTreeMap<(String, Lsn), Place>,
        end: Position,
    ) -> Self {
        let cursor = |standing: &Standing| {
            let known = saved.and_then(|saved| {
                let at = saved.lines.get(&standing.spec.id).filter(|it| it.run == standing.run);
                let at_walked = || (standing.run <= saved.commands).then(|| Place::behind(saved.walked));
                at.map(|it| it.cursor).or_else(at_walked)
            });
            let said = done.get(&(standing.spec.id.clone(), standing.run)).copied();
            known.unwrap_or_default().max(said.unwrap_or_default()).max(Place::behind(standing.from))
        };
        let cursors: Vec<(&Standing, Place)> = subscriptions.iter().map(|it| (it, cursor(it))).collect();
        let first = cursors.iter().map(|(_, cursor)| cursor.feed_from()).min();
        let walked = saved.map_or_else(|| first.unwrap_or(end).min(end), |it| it.walked);
        let lines = cursors.into_iter().map(|(standing, cursor)| {
            (standing.spec.id.clone(), Line::new(standing.clone(), cursor, walked))
        });
        let mut notifier = Self {
            limits,
            channels,
            lines: lines.collect(),
            whose: Whose::default(),
            busy: BTreeSet::new(),
            tokens: BTreeMap::new(),
            next_token: 1,
            commands,
            walked,
            as_of_us: i64::MIN,
            held: 0,
            catching: false,
            broken: None,
            counts: NoticeCounts::default(),
            stops: false,
            wake_at_us: None,
            stepped_at_us: 0,
            looked_at_us: None,
        };
        notifier.index();
        notifier
    }

    /// What has to outlive the process beside the log.
    pub(crate) fn saved(&self, through: Lsn) -> Saved {
        // Who has caught up may be ahead of the walk.
        let ahead = |line: &Line| line.cursor > Place::behind(self.walked);
        let is_elsewhere = |it: &&Line| it.behind || it.flight.is_some() || !it.items.is_empty() || ahead(it);
        let lines = self.lines.values().filter(is_elsewhere).map(|line| {
            let Standing { spec, run, .. } = &line.standing;
            (spec.id.clone(), SavedLine { run: *run, cursor: line.cursor })
        });
        Saved { through, commands: self.commands, walked: self.walked, lines: lines.collect() }
    }

    /// Everything up to here was looked at for the lines that are not behind.
    pub(crate) fn walked(&self) -> Position {
        self.walked
    }

    /// Whether nobody wants to know anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Kinds that anybody wants.
    pub(crate) fn kinds(&self) -> Kinds {
        self.whose.kinds
    }

    /// Whether somebody asks by register, and by outlet: an event has to say both then, whatever it is.
    pub(crate) fn asks(&self) -> (bool, bool) {
        (!self.whose.rnm.is_empty(), !self.whose.outlet.is_empty())
    }

    /// The feed of [`Output::Catch`] has broken off, there: it is asked for again, first for the lines that are past it, so that
    /// one that lacks what cannot be read keeps nobody else.
    pub(crate) fn break_catching(&mut self, at: Option<Position>) {
        (self.catching, self.broken, self.looked_at_us) = (false, at, None);
        self.lines.values_mut().for_each(|it| it.catches = false);
    }

    /// Whether the feed of [`Output::Catch`] goes on.
    pub(crate) fn is_catching(&self) -> bool {
        self.catching
    }

    pub(crate) fn counts(&self) -> NoticeCounts {
        self.counts
    }

    /// Notices that wait, and when the oldest of them was received.
    pub(crate) fn waiting(&self) -> (usize, Option<i64>) {
        let oldest = self.lines.values().filter_map(|it| it.items.front()).map(|it| it.received_at_us).min();
        (self.held, oldest)
    }

    /// Whether any notices wait.
    pub(crate) fn waits(&self) -> bool {
        self.held > 0
    }

    /// Of each line: its id, cursor, notices that wait, and whether there are more behind them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, Place, usize, bool)> {
        self.lines.iter().map(|(id, line)| {
            let rests = line.items.is_empty() && line.flight.is_none() && !line.behind;
            let done = if rests { line.cursor.max(Place::behind(self.walked)) } else { line.cursor };
            (id.as_str(), done, line.items.len(), line.behind)
        })
    }

    /// From now on nothing new leaves. True: nothing is under way, and all that was decided is noted.
    pub(crate) fn stop(&mut self) -> bool {
        self.stops = true;
        self.tokens.is_empty()
    }

    /// In how many microseconds behind the last step something is due by itself.
    pub(crate) fn wake_in_us(&self) -> Option<u64> {
        self.wake_at_us.map(|it| it.saturating_sub(self.stepped_at_us))
    }

    /// Takes what has happened, gives what is to be done.
    pub(crate) fn step(&mut self, now: Moment, inputs: Vec<Input>) -> Vec<Output> {
        let mut out = Vec::new();
        self.stepped_at_us = now.mono_us;
        // There may be thousands of lines: they are looked at when something has come or is due, and once in a while, for the clock on
        // the wall may leap.
        let is_due = self.wake_at_us.is_some_and(|it| now.mono_us >= it);
        let looks = is_due
            || !inputs.is_empty()
            || self.looked_at_us.is_none_or(|it| now.mono_us >= it.saturating_add(LOOK_US));
        for input in inputs {
            match input {
                Input::Command(at, command) => self.command(at, command),
                Input::Walked { events, through, as_of_us } => {
                    events.iter().for_each(|it| self.offer(it, Offer::Walk));
                    self.walked = self.walked.max(through);
                    self.as_of_us = self.as_of_us.max(as_of_us);
                }
                Input::Caught { events, through } => {
                    events.iter().for_each(|it| self.offer(it, Offer::Catch));
                    self.caught(through);
                }
                Input::Answer { token, outcome } => self.answer(now, token, outcome, &mut out),
                Input::Noted { token } => self.noted(token),
                Input::NotNoted { token } => {
                    if let Some(flight) = self.flight(token)
                        && let Way::Noting(kind) = flight.way
                    {
                        flight.way = Way::ToNote(kind, now.mono_us.saturating_add(NOTE_AGAIN_US));
                    }
                }
            }
        }
        if looks {
            self.looked_at_us = Some(now.mono_us);
            self.begin_catching(&mut out);
            self.dispatch(now, &mut out);
        }
        out
    }

    fn command(&mut self, at: Lsn, command: SubscriptionCommand) {
        self.commands = self.commands.max(at);
        match command {
            SubscriptionCommand::Set(spec) => match self.lines.get_mut(&spec.id) {
                Some(line) => {
                    line.receiver = receiver_of(&spec.to);
                    line.standing.spec = *spec;
                }
                None => {
                    let (id, from) = (spec.id.clone(), Position::new(at));
                    if self.lines.is_empty() {
                        self.walked = self.walked.max(from);
                    }
                    let standing = Standing { spec: *spec, run: at, from };
                    self.lines.insert(id, Line::new(standing, Place::behind(from), self.walked));
                }
            },
            SubscriptionCommand::Remove { id, .. } => self.drop_line(&id),
            SubscriptionCommand::Replay { id, from, .. } => {
                if let Some(line) = self.lines.get(&id) {
                    let standing = Standing { run: at, from, ..line.standing.clone() };
                    self.drop_line(&id);
                    self.lines.insert(id, Line::new(standing, Place::behind(from), self.walked));
                }
            }
        }
        self.index();
    }

    fn drop_line(&mut self, id: &str) {
        if let Some(line) = self.lines.remove(id) {
            self.held = self.held.saturating_sub(line.items.len());
            line.flight.iter().for_each(|it| drop(self.tokens.remove(&it.token)));
            self.busy.remove(id);
        }
    }

    fn index(&mut self) {
        let mut whose = Whose::default();
        for (id, line) in &self.lines {
            let spec = &line.standing.spec;
            whose.kinds = whose.kinds.and(spec.kinds);
            let ids = match &spec.scope {
                NoticeScope::All => &mut whose.all,
                NoticeScope::Inn(inn) => whose.inn.entry(plain_inn(inn).to_owned()).or_default(),
                NoticeScope::Outlet(outlet) => whose.outlet.entry(outlet.clone()).or_default(),
                NoticeScope::Rnm(rnm) => whose.rnm.entry(rnm.clone()).or_default(),
            };
            ids.push(id.clone());
        }
        self.whose = whose;
    }

    /// Gives what an event says to the lines that it is for.
    fn offer(&mut self, told: &Told, how: Offer) {
        let Self { whose, lines, busy, held, limits, .. } = self;
        let inn = told.inn.as_deref().and_then(|it| whose.inn.get(plain_inn(it)));
        let outlet = told.outlet.as_ref().and_then(|it| whose.outlet.get(it));
        let rnm = told.rnm.as_ref().and_then(|it| whose.rnm.get(it));
        for id in whose.all.iter().chain([inn, outlet, rnm].into_iter().flatten().flatten()) {
            let Some(line) = lines.get_mut(id) else { continue };
            for (part, said) in told.said.iter().enumerate() {
                let takes = if how == Offer::Walk { !line.behind } else { line.behind && line.catches };
                let place = Place::of(told.position, told.index, part);
                if !takes
                    || place <= line.offered
                    || place <= line.cursor
                    || !line.standing.spec.kinds.has(said.kind)
                {
                    continue;
                }
                let threshold = line.standing.spec.threshold.get(&said.kind).copied();
                let Some(edge) = said.levels.edge(threshold) else { continue };
                if !has_room(line, *held, limits) {
                    (line.behind, line.catches) = (true, false);
                    continue;
                }
                line.offered = place;
                if line.items.is_empty() {
                    busy.insert(id.clone());
                }
                line.items.push_back(Item::of(told, said, place, edge));
                *held = held.saturating_add(1);
            }
        }
    }

    /// The catching up has come so far.
    fn caught(&mut self, through: Position) {
        let mut more = false;
        for line in self.lines.values_mut().filter(|it| it.catches) {
            line.offered = line.offered.max(Place::behind(through));
            if through >= self.walked {
                (line.behind, line.catches) = (false, false);
            }
            more |= line.catches;
        }
        self.catching = more;
    }

    fn begin_catching(&mut self, out: &mut Vec<Output>) {
        if self.catching {
            return;
        }
        let broken = self.broken.take();
        let from = self.join_catching(broken).or_else(|| self.join_catching(None));
        if let Some(from) = from {
            self.catching = true;
            out.push(Output::Catch { from });
        }
    }

    /// Lets the lines that are behind take part, those past a place; where the feed has to begin for them.
    fn join_catching(&mut self, past: Option<Position>) -> Option<Position> {
        let (held, limits) = (self.held, &self.limits);
        let mut from = None;
        for line in self.lines.values_mut() {
            let own = line.offered.max(line.cursor).feed_from();
            if line.behind && past.is_none_or(|past| own > past) && can_catch(line, held, limits) {
                line.catches = true;
                from = Some(from.map_or(own, |from: Position| from.min(own)));
            }
        }
        from
    }

    fn flight(&mut self, token: u64) -> Option<&mut Flight> {
        self.lines.get_mut(self.tokens.get(&token)?)?.flight.as_mut()
    }

    fn answer(&mut self, now: Moment, token: u64, outcome: DeliveryOutcome, out: &mut Vec<Output>) {
        let Some(line) = self.tokens.get(&token).and_then(|id| self.lines.get_mut(id)) else { return };
        let Some(flight) = line.flight.as_mut().filter(|it| matches!(it.way, Way::Open)) else { return };
        line.attempts = line.attempts.saturating_add(1);
        let kind = match outcome {
            DeliveryOutcome::Delivered => StatusKind::Accepted,
            DeliveryOutcome::Refused => StatusKind::Refused,
            DeliveryOutcome::Retry => {
                self.counts.retried = self.counts.retried.saturating_add(1);
                line.tried = Some(flight.through);
                line.failing_since_us.get_or_insert(now.mono_us);
                line.next_try_us = now.mono_us.saturating_add(wait_us(line.attempts, now.chance ^ flight.id));
                line.flight = None;
                self.tokens.remove(&token);
                return;
            }
        };
        flight.way = Way::Noting(kind);
        out.push(note(line, token, kind));
        if planted::is(Planted::NoticesBeforeRecords) {
            self.noted(token);
        }
    }

    fn noted(&mut self, token: u64) {
        let Some(id) = self.tokens.remove(&token) else { return };
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some(flight) = line.flight.take() else { return };
        let counts = &mut self.counts;
        let count = match flight.way {
            Way::Noting(StatusKind::Accepted) => &mut counts.delivered,
            Way::Noting(StatusKind::Refused) => &mut counts.refused,
            _ => &mut counts.given_up,
        };
        *count = count.saturating_add(1);
        line.cursor = line.cursor.max(flight.through);
        (line.attempts, line.next_try_us, line.tried) = (0, 0, None);
        if !matches!(flight.way, Way::Noting(StatusKind::GivenUp)) {
            line.failing_since_us = None;
        }
        let repeats = line.standing.spec.digest.is_some() && planted::is(Planted::DigestsRepeatTheirLast);
        let last = flight.through;
        while line.items.front().is_some_and(|it| it.place < last || it.place == last && !repeats) {
            line.items.pop_front();
            self.held = self.held.saturating_sub(1);
        }
        if line.items.is_empty() {
            self.busy.remove(&id);
        }
    }

    /// Sends what is ready, first that of whoever has waited longest.
    fn dispatch(&mut self, now: Moment, out: &mut Vec<Output>) {
        let mut open = self.open();
        let Self {
            limits, channels, lines, busy, tokens, next_token, wake_at_us, held, as_of_us, stops, ..
        } = self;
        *wake_at_us = None;
        let mut wake = |in_us: u64| {
            let at_us = now.mono_us.saturating_add(in_us);
            *wake_at_us = Some(wake_at_us.map_or(at_us, |known| known.min(at_us)));
        };
        let mut next: Vec<(u64, &String, usize)> = Vec::new();
        for id in busy.iter() {
            let Some(line) = lines.get_mut(id) else { continue };
            if let Some(flight) = &mut line.flight {
                let Way::ToNote(kind, at_us) = flight.way else { continue };
                if now.mono_us < at_us {
                    wake(at_us.saturating_sub(now.mono_us));
                    continue;
                }
                flight.way = Way::Noting(kind);
                let token = flight.token;
                out.push(note(line, token, kind));
                continue;
            }
            if *stops {
                continue;
            }
            if now.mono_us < line.next_try_us {
                wake(line.next_try_us.saturating_sub(now.mono_us));
                continue;
            }
            let (count, ready_us) = ready(line, now.wall_us, *as_of_us, *held, limits);
            if ready_us > now.wall_us {
                wake(u64::try_from(ready_us.saturating_sub(now.wall_us)).unwrap_or_default());
                continue;
            }
            next.push((line.served, id, count));
        }
        next.sort_unstable();
        for (_, id, count) in next {
            let Some(line) = lines.get_mut(id) else { continue };
            let channel = &line.standing.spec.channel;
            let Some(at_once) = channels.get(channel) else { continue };
            let last = count.checked_sub(1).and_then(|at| line.items.get(at)).map(|it| it.place);
            let (Some(through), Some(first)) = (last, line.items.front()) else { continue };
            if open.all >= limits.open_max {
                break;
            }
            if !open.takes(line, (*at_once).clamp(1, limits.channel_max)) {
                continue;
            }
            open.count(line);
            let token = *next_token;
            *next_token = token.saturating_add(1);
            line.served = token;
            tokens.insert(token, id.clone());
            let failing_us = line.failing_since_us.map_or(0, |since| now.mono_us.saturating_sub(since));
            let delivery_id = id_of(id, first.place);
            let is_over = failing_us > limits.deadline_us || planted::is(Planted::NoticesGivenUpEarly);
            if line.attempts >= ATTEMPTS_MIN && is_over {
                let way = Way::Noting(StatusKind::GivenUp);
                line.flight = Some(Flight { token, id: delivery_id, through, way });
                out.push(note(line, token, StatusKind::GivenUp));
                continue;
            }
            let spec = &line.standing.spec;
            let body = body_of(id, spec.digest.is_some(), line.items.iter().take(count));
            let (mut delivery_id, mut body) = (delivery_id, body);
            if planted::is(Planted::NoticeIdsDrawnAnew) {
                let (known, drawn) = (id_text(delivery_id), id_text(delivery_id ^ token));
                delivery_id ^= token;
                body = String::from_utf8_lossy(&body).replace(&known, &drawn).into();
            }
            let delivery = Delivery { id: delivery_id, to: spec.to.clone(), body };
            out.push(Output::Deliver { token, channel: channel.clone(), delivery });
            line.flight = Some(Flight { token, id: delivery_id, through, way: Way::Open });
        }
    }

    /// What is under way.
    fn open(&self) -> Open {
        let mut open = Open::default();
        let lines = self.busy.iter().filter_map(|it| self.lines.get(it));
        lines.filter(|it| it.flight.is_some()).for_each(|it| open.count(it));
        open
    }
}

/// Deliveries under way: in all, by channel, and of each channel by receiver.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    channels: BTreeMap<String, (usize, BTreeMap<String, usize>)>,
}

impl Open {
    fn count(&mut self, line: &Line) {
        self.all = self.all.saturating_add(1);
        let (count, receivers) = self.channels.entry(line.standing.spec.channel.clone()).or_default();
        *count = count.saturating_add(1);
        let count = receivers.entry(line.receiver.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether one more delivery of a line may leave: a receiver that hangs has a quarter of its channel at most.
    fn takes(&self, line: &Line, at_once: usize) -> bool {
        let Some((count, receivers)) = self.channels.get(&line.standing.spec.channel) else { return true };
        let of_receiver = receivers.get(&line.receiver).copied().unwrap_or_default();
        *count < at_once && of_receiver < (at_once / RECEIVER_PART).max(1)
    }
}

/// Whom an address belongs to: the host of a URL, else the address itself, which is a mailbox.
fn receiver_of(to: &str) -> String {
    let receiver = match to.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
                _ => host,
            }
        }
        None => to.rsplit_once('<').map_or(to, |(_, mailbox)| mailbox.trim_end_matches('>')),
    };
    receiver.trim().trim_end_matches('.').to_lowercase()
}

fn has_room(line: &Line, held: usize, limits: &Limits) -> bool {
    let most = if held < limits.all_max { limits.line_max } else { LINE_MIN.min(limits.line_max) };
    line.items.len() < most
}

/// Whether a line that is behind may be given more.
fn can_catch(line: &Line, held: usize, limits: &Limits) -> bool {
    has_room(line, held, limits) && line.items.len() <= limits.line_max / 2
}

/// How many notices of a line go out next, and when they may; never, as far as is known now, with none.
fn ready(line: &Line, now_us: i64, as_of_us: i64, held: usize, limits: &Limits) -> (usize, i64) {
    let spec = &line.standing.spec;
    let quiet = spec.quiet.filter(|_| !planted::is(Planted::NoticesPassQuietHours));
    let free_us = |at_us: i64| quiet.map_or(at_us, |it| it.free_at_us(at_us));
    let (Some(digest), Some(first)) = (spec.digest, line.items.front()) else { return (1, free_us(now_us)) };
    if let Some(tried) = line.tried {
        return (line.items.iter().take_while(|it| it.place <= tried).count().max(1), free_us(now_us));
    }
    let due_us = digest.due_us(first.received_at_us, spec.zone_min);
    let count = line.items.iter().take(DIGEST_MAX).take_while(|it| it.received_at_us < due_us).count().max(1);
    if now_us < due_us {
        return (count, free_us(due_us));
    }
    // Nothing more can join it: it is full, another one has begun, or all that was received before its hour is here.
    let is_whole = count >= DIGEST_MAX
        || count < line.items.len()
        || (!line.behind && as_of_us >= due_us)
        || (line.behind && !line.catches && !can_catch(line, held, limits));
    if is_whole { (count, free_us(now_us)) } else { (0, now_us) }
}

/// How long to wait behind a failed attempt, the first being 1: half of what is due, and a chance of as much again.
fn wait_us(attempt: u32, chance: u64) -> u64 {
    let (first, most) = WAIT_US;
    let doubled = 1_u64.checked_shl(attempt.saturating_sub(1).min(20)).unwrap_or(1);
    let due = first.saturating_mul(doubled).min(most);
    (due / 2).saturating_add(chance.checked_rem(due.max(1)).unwrap_or(0))
}

/// The record that says what has become of a delivery: its last notice, and whose it is.
fn note(line: &Line, token: u64, kind: StatusKind) -> Output {
    let Standing { spec, run, .. } = &line.standing;
    let flight = line.flight.as_ref();
    let (id, through) = flight.map_or((0, Place::default()), |it| (it.id, it.through));
    let last = line.items.iter().rfind(|it| it.place <= through);
    let event = StatusEvent {
        kind,
        position: through.lsn.get(),
        drive: last.map_or(0, |it| it.drive.to_bcd_u64()),
        number: last.map_or(0, |it| it.number),
        attempt: line.attempts,
        id: format!("{}/{run}/{}", spec.id, id_text(id)),
        code: Some(through.part),
        tag: None,
    };
    Output::Note { token, payload: encode(StatusOf::Delivery, &[event]) }
}

/// Which line a record of a delivery moves, and how far; `None`: it is about something else.
pub(crate) fn done_by(event: &StatusEvent) -> Option<((String, Lsn), Place)> {
    let mut parts = event.id.split('/');
    let (id, run) = (parts.next()?, parts.next()?.parse().ok()?);
    let place = Place { lsn: Lsn::new(event.position), part: event.code? };
    event.kind.is_final().then(|| ((id.to_owned(), Lsn::new(run)), place))
}

#[cfg(test)]
mod tests;
