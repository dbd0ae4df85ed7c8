//! The queue over a log, channels and a clock of its own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod scenarios;

use std::collections::BTreeSet;

use ofd_codec::DriveNumber;
use ofd_storage::status::decode;
use serde_json::{Value, json};

use super::*;
use crate::dice::Rng;
use crate::notify::kind::said_by;
use crate::registers::{Event, EventKind, Range};

const HOUR_US: i64 = 3_600_000_000;
/// Some midnight of UTC.
const DAY_US: i64 = 20_000 * 24 * HOUR_US;

/// A record of the log.
#[derive(Clone)]
enum Record {
    Events(Vec<Told>),
    Command(Vec<u8>),
    Status(Vec<u8>),
}

/// A log, the channels beyond it, and the notifier between them.
struct World {
    limits: Limits,
    log: Vec<Record>,
    wall_us: i64,
    mono_us: u64,
    notifier: Notifier,
    saved: Option<Saved>,
    /// Open deliveries: token and delivery.
    open: Vec<(u64, Delivery)>,
    /// Where the feed of the catching up is.
    catch: Option<u64>,
    /// Notes that the log has not taken.
    notes: VecDeque<(u64, Vec<u8>)>,
    /// Everything that was handed to a channel, with when.
    handed: Vec<(i64, Value)>,
    /// Of that, what a channel has taken.
    taken: Vec<Value>,
    backlogs: BTreeMap<u64, u32>,
}

fn drive(n: u64) -> DriveNumber {
    DriveNumber::parse(&format!("{:016}", 9_999_078_900_000_000 + n)).unwrap()
}

fn inn(n: u64) -> String {
    format!("770708389{}", n % 3)
}

impl World {
    fn new(limits: Limits) -> Self {
        let notifier = restored(limits, &[], None);
        Self {
            limits,
            log: Vec::new(),
            wall_us: DAY_US,
            mono_us: 0,
            notifier,
            saved: None,
            open: Vec::new(),
            catch: None,
            notes: VecDeque::new(),
            handed: Vec::new(),
            taken: Vec::new(),
            backlogs: BTreeMap::new(),
        }
    }

    fn end(&self) -> u64 {
        self.log.len() as u64
    }

    fn step(&mut self, inputs: Vec<Input>) {
        let chance = self.mono_us.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let now = Moment { wall_us: self.wall_us, mono_us: self.mono_us, chance };
        for output in self.notifier.step(now, inputs) {
            match output {
                Output::Deliver { token, delivery, .. } => {
                    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
                    assert_eq!(body["id"], id_text(delivery.id));
                    self.handed.push((self.wall_us, body));
                    self.open.push((token, delivery));
                }
                Output::Note { token, payload } => self.notes.push_back((token, payload)),
                Output::Catch { from } => self.catch = Some(from.as_u64()),
            }
        }
        if !self.notifier.is_catching() {
            self.catch = None;
        }
        let (held, _) = self.notifier.waiting();
        assert!(
            held <= self.limits.all_max + LINE_MIN * self.notifier.lines.len(),
            "{held} notices are held"
        );
        assert_eq!(held, self.notifier.lines.values().map(|it| it.items.len()).sum::<usize>());
        let flights = self.notifier.lines.values().filter(|it| it.flight.is_some()).count();
        assert!(flights <= self.limits.open_max && flights == self.notifier.tokens.len());
    }

    fn command(&mut self, command: Value) {
        let command = SubscriptionCommand::of_value(&command).unwrap();
        self.log.push(Record::Command(command.to_payload()));
        let at = Lsn::new(self.end());
        self.step(vec![Input::Command(at, command)]);
    }

    /// A document comes, and brings these about.
    fn document(&mut self, of: u64, kinds: Vec<EventKind>) {
        let position = Position::new(Lsn::new(self.end() + 1));
        let events = (0..).zip(kinds).map(|(index, kind)| {
            let event = Event {
                position,
                index,
                received_at_us: self.wall_us,
                drive: drive(of),
                number: 1,
                inn: Some(inn(of)),
                kind,
            };
            let said = said_by(&event);
            let (rnm, outlet) = (Some(format!("{of:016}")), Some(format!("shop-{}", of % 2)));
            let Event { received_at_us, drive, number, inn, .. } = event;
            Told { position, index, received_at_us, drive, number, inn, rnm, outlet, said }
        });
        let events = events.collect();
        self.log.push(Record::Events(events));
    }

    fn backlog(&mut self, of: u64, documents: u32) {
        let before = self.backlogs.insert(of, documents).unwrap_or_default();
        if documents > 0 || before > 0 {
            self.document(of, vec![EventKind::Backlog { documents, since: None, before }]);
        }
    }

    fn events(&self, from: u64, through: u64) -> Vec<Told> {
        let records = &self.log[from as usize..through as usize];
        records
            .iter()
            .flat_map(|it| if let Record::Events(events) = it { events.clone() } else { Vec::new() })
            .collect()
    }

    /// The notifier walks over some records.
    fn walk(&mut self, most: u64) {
        if self.notifier.is_empty() {
            return;
        }
        let from = self.notifier.walked().as_u64();
        let through = self.end().min(from + most);
        let as_of_us = if through == self.end() { self.wall_us } else { i64::MIN };
        let events = self.events(from, through);
        self.step(vec![Input::Walked { events, through: Position::new(Lsn::new(through)), as_of_us }]);
    }

    fn catch_up(&mut self, most: u64) {
        let Some(from) = self.catch else { return };
        // It may come farther than the walk.
        let through = self.end().min(from + most);
        self.catch = Some(through);
        let events = self.events(from, through);
        self.step(vec![Input::Caught { events, through: Position::new(Lsn::new(through)) }]);
    }

    fn answer(&mut self, at: usize, outcome: DeliveryOutcome) {
        let (token, delivery) = self.open.remove(at);
        if outcome == DeliveryOutcome::Delivered {
            self.taken.push(serde_json::from_slice(&delivery.body).unwrap());
        }
        self.step(vec![Input::Answer { token, outcome }]);
    }

    fn note(&mut self, takes: bool) {
        let Some((token, payload)) = self.notes.pop_front() else { return };
        if takes {
            self.log.push(Record::Status(payload));
            self.step(vec![Input::Noted { token }]);
        } else {
            self.step(vec![Input::NotNoted { token }]);
        }
    }

    fn save(&mut self) {
        // What is with the log may lie in it already and not be known yet: here it never does.
        self.saved = Some(self.notifier.saved(Lsn::new(self.end())));
    }

    /// The process is gone; so much of the log is there.
    fn crash(&mut self, records: usize) {
        self.log.truncate(records);
        let durable = self.end();
        let fits = |it: &Saved| {
            it.through.get() <= durable && it.commands.get() <= durable && it.walked.as_u64() <= durable
        };
        self.saved = self.saved.take().filter(fits);
        let saved = self.saved.as_ref().map(|it| Saved::of_bytes(&it.to_bytes()).unwrap());
        self.notifier = restored(self.limits, &self.log, saved.as_ref());
        self.open.clear();
        self.notes.clear();
        self.catch = None;
    }

    fn sleep(&mut self, us: i64) {
        self.wall_us += us;
        self.mono_us += us as u64;
        self.step(Vec::new());
    }

    /// Until nothing is left to do, every channel taking everything.
    fn settle(&mut self) {
        self.step(Vec::new());
        for _ in 0..100_000 {
            if self.notifier.walked().as_u64() < self.end() && !self.notifier.is_empty() {
                self.walk(50);
            } else if self.catch.is_some() {
                self.catch_up(50);
            } else if !self.notes.is_empty() {
                self.note(true);
            } else if !self.open.is_empty() {
                self.answer(0, DeliveryOutcome::Delivered);
            } else if self.notifier.waiting().0 > 0 {
                let us = self.notifier.wake_in_us().unwrap_or(60_000_000);
                self.wall_us += us as i64;
                self.mono_us += us;
                self.walk(50);
            } else {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Every channel takes everything there is.
    fn settle_but_catch(&mut self) {
        while !self.notes.is_empty() || !self.open.is_empty() {
            if self.notes.is_empty() {
                self.answer(0, DeliveryOutcome::Delivered);
            }
            self.note(true);
        }
    }

    /// Notices that were taken for a subscription: position, index, kind, state; and how many deliveries.
    fn told(&self, id: &str) -> Vec<(u64, u64, String, String)> {
        told_in(&self.taken, id)
    }
}

fn told_in(bodies: &[Value], id: &str) -> Vec<(u64, u64, String, String)> {
    let of = bodies.iter().filter(|it| it["subscription"] == id);
    let notices = of.flat_map(|it| match it.get("notices").and_then(Value::as_array) {
        Some(notices) => notices.clone(),
        None => vec![it.clone()],
    });
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let number = |it: &Value| it.as_u64().unwrap();
    notices
        .map(|it| (number(&it["position"]), number(&it["index"]), text(&it["kind"]), text(&it["state"])))
        .collect()
}

/// A notifier as a start makes it of a log.
fn restored(limits: Limits, log: &[Record], saved: Option<&Saved>) -> Notifier {
    let records = || (1..).map(Lsn::new).zip(log);
    let commands = records().filter_map(|(at, it)| match it {
        Record::Command(payload) => Some((at, payload.as_slice())),
        _ => None,
    });
    let (subscriptions, last) = crate::notify::folded(commands);
    let mut done: BTreeMap<(String, Lsn), Place> = BTreeMap::new();
    for (at, record) in records() {
        if let Record::Status(payload) = record
            && saved.is_none_or(|it| at > it.through)
        {
            let (_, events) = decode(payload).unwrap();
            for (line, place) in events.iter().filter_map(done_by) {
                let known = done.entry(line).or_default();
                *known = place.max(*known);
            }
        }
    }
    let end = Position::new(Lsn::new(log.len() as u64));
    let channels =
        [("hook", 128), ("mail", 128), ("few", 8)].map(|(name, at_once)| (name.to_owned(), at_once)).into();
    Notifier::new(limits, channels, &subscriptions, last, saved, &done, end)
}

fn small() -> Limits {
    Limits { line_max: 8, all_max: 40, open_max: 3, channel_max: 2, ..Limits::default() }
}

fn wide() -> Limits {
    Limits { line_max: 2_000, all_max: 100_000, open_max: 64, channel_max: 64, ..Limits::default() }
}

fn set(id: &str, scope: Value, kinds: &[&str], more: Value) -> Value {
    let mut command = json!({
        "do": "subscription.set", "id": id, "scope": scope, "kinds": kinds, "channel": "hook", "to": "x", "by": "test",
    });
    let more = more.as_object().unwrap().clone();
    command.as_object_mut().unwrap().extend(more);
    command
}

fn states(told: &[(u64, u64, String, String)]) -> Vec<(&str, &str)> {
    told.iter().map(|it| (it.2.as_str(), it.3.as_str())).collect()
}

// Attempts come later and later; what is refused or fails for too long is given up, and what stands behind it goes on.
#[test]
fn attempts_back_off_and_are_given_up_at_last() {
    let mut world = World::new(wide());
    world.command(set("a", json!({"all": true}), &["shift.opened"], json!({})));
    for shift in 0..3 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.walk(10);
    world.answer(0, DeliveryOutcome::Refused);
    world.note(false);
    assert!(world.open.is_empty() && world.notes.is_empty(), "the next one waits for the record of this one");
    world.sleep(NOTE_AGAIN_US as i64);
    world.note(true);
    assert_eq!(world.notifier.counts().refused, 1);
    let mut waits = Vec::new();
    while world.notifier.counts().given_up == 0 {
        assert_eq!(world.open.len(), 1);
        world.answer(0, DeliveryOutcome::Retry);
        let us = world.notifier.wake_in_us();
        if let Some(us) = us {
            waits.push(us);
            world.sleep(us as i64 - 1);
            assert!(world.open.is_empty(), "too early");
            world.sleep(1);
        }
        world.note(true);
        assert!(waits.len() < 1_000);
    }
    for (at, us) in waits.iter().enumerate() {
        let due = (1_000_000_u64 << at.min(20)).min(900_000_000);
        assert!((due / 2..due / 2 + due).contains(us), "wait {at}: {us}");
    }
    assert!(waits.iter().sum::<u64>() > 72 * HOUR_US as u64, "given up too early");
    // The next one has its attempts, too.
    for attempt in 1.. {
        world.answer(0, DeliveryOutcome::Retry);
        world.sleep(900_000_000 * 2);
        world.note(true);
        if world.notifier.counts().given_up == 2 {
            assert_eq!(attempt, ATTEMPTS_MIN);
            break;
        }
    }
    // A clock that leaps gives nothing up.
    world.document(1, vec![EventKind::ShiftOpened { shift: 8 }]);
    world.settle();
    world.document(1, vec![EventKind::ShiftOpened { shift: 9 }]);
    world.walk(1_000);
    world.wall_us += 400 * 24 * HOUR_US;
    world.answer(0, DeliveryOutcome::Retry);
    world.settle();
    assert_eq!(world.told("a").len(), 2);
    let handed: BTreeSet<String> = world.handed.iter().map(|it| it.1["id"].to_string()).collect();
    assert_eq!(handed.len(), 5, "an attempt has the id of the one before");
}

// Who comes back asks for what he lacks, and gets the same ids.
#[test]
fn a_replay_tells_the_same_again() {
    let mut world = World::new(small());
    world.command(set("a", json!({"all": true}), &["shift.opened"], json!({})));
    for shift in 0..30 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.settle();
    let first = world.taken.clone();
    assert_eq!(first.len(), 30);
    // While a delivery is under way: its answer moves nothing.
    world.document(1, vec![EventKind::ShiftOpened { shift: 30 }]);
    world.walk(10);
    let from = first[9]["position"].as_u64().unwrap();
    world.command(json!({"do": "subscription.replay", "id": "a", "from": from, "by": "test"}));
    world.answer(0, DeliveryOutcome::Delivered);
    world.settle();
    let again = &world.taken[31..];
    assert_eq!(again[..20], first[10..]);
    assert_eq!((again.len(), &again[20]), (21, &world.taken[30]));
    // Forth, too: what lies between is not told.
    let end = world.end();
    world.document(1, vec![EventKind::ShiftOpened { shift: 31 }]);
    world.document(1, vec![EventKind::ShiftOpened { shift: 32 }]);
    world.command(json!({"do": "subscription.replay", "id": "a", "from": end + 1, "by": "test"}));
    world.settle();
    let last: Vec<_> = world.taken[52..].iter().map(|it| it["data"]["shift"].as_u64().unwrap()).collect();
    assert_eq!(last, [32]);
    world.crash(world.log.len());
    world.settle();
    assert_eq!(world.taken.len(), 53);
}

// What was told long ago is asked for again by somebody who has trouble just then: nothing of it is given up for its age.
#[test]
fn what_is_old_is_not_given_up_for_its_age() {
    let mut world = World::new(wide());
    world.command(set("a", json!({"all": true}), &["shift.opened"], json!({})));
    for shift in 0..3 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.settle();
    world.sleep(100 * 24 * HOUR_US);
    world.command(json!({"do": "subscription.replay", "id": "a", "from": 0, "by": "test"}));
    world.catch_up(10);
    for _ in 0..ATTEMPTS_MIN * 2 {
        world.answer(0, DeliveryOutcome::Retry);
        world.sleep(900_000_000 * 2);
        assert!(world.notes.is_empty() && world.open.len() == 1);
    }
    world.settle();
    assert_eq!((world.notifier.counts().given_up, world.told("a").len()), (0, 6));
}

const LIFE_KINDS: [&str; 5] = ["shift.opened", "gap.opened", "drive.backlog", "drive.memory", "drive.term"];

/// Something happens to some drive.
fn live(world: &mut World, dice: &mut Rng) {
    let of = dice.below(5);
    match dice.below(6) {
        0 => world.backlog(of, dice.below(4) as u32 * 4),
        1 => {
            let last = 5 + dice.below(6) as u32;
            world.document(
                of,
                vec![EventKind::GapOpened(Range { first: 5, last }), EventKind::ShiftOpened { shift: last }],
            );
        }
        2 => world.document(
            of,
            vec![EventKind::DriveFlags { flags: dice.below(16) as u8, before: dice.below(16) as u8 }],
        ),
        3 => world.document(of, vec![EventKind::ShiftClosed { shift: 1 }]),
        _ => world.document(of, vec![EventKind::ShiftOpened { shift: of as u32 }]),
    }
    world.wall_us += dice.below(1_200_000_000) as i64;
}

fn lines(world: &mut World) {
    world.command(set("all", json!({"all": true}), &LIFE_KINDS, json!({})));
    world.command(set(
        "inn",
        json!({"inn": inn(1)}),
        &LIFE_KINDS,
        json!({"threshold": {"drive.backlog": 8, "gap.opened": 4}}),
    ));
    world.command(set(
        "shop",
        json!({"outlet": "shop-0"}),
        &["drive.term", "drive.memory"],
        json!({"channel": "mail", "threshold": {"drive.term": 3}}),
    ));
    let quiet = json!({"from": "22:00", "to": "08:00", "zone_min": 180});
    world.command(set("quiet", json!({"rnm": format!("{:016}", 2)}), &LIFE_KINDS, json!({"quiet": quiet})));
    world.command(set(
        "digest",
        json!({"all": true}),
        &LIFE_KINDS,
        json!({"digest": "daily 09:00", "channel": "mail"}),
    ));
}

/// What each line should have been told, by a list of all there is.
fn naive(world: &World) -> BTreeMap<String, Vec<(u64, u64, String, String)>> {
    let mut subscriptions = Subscriptions::default();
    let mut expected: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (at, record) in (1..).map(Lsn::new).zip(&world.log) {
        match record {
            Record::Command(payload) => {
                let command = SubscriptionCommand::of_payload(payload).unwrap();
                subscriptions.fold(at, command);
            }
            Record::Status(_) => {}
            Record::Events(events) => {
                for told in events {
                    for Standing { spec, .. } in subscriptions.iter() {
                        let is_for = match &spec.scope {
                            NoticeScope::All => true,
                            NoticeScope::Inn(inn) => told.inn.as_ref() == Some(inn),
                            NoticeScope::Outlet(outlet) => told.outlet.as_ref() == Some(outlet),
                            NoticeScope::Rnm(rnm) => told.rnm.as_ref() == Some(rnm),
                        };
                        let wanted = told.said.iter().filter(|it| is_for && spec.kinds.has(it.kind));
                        for said in wanted {
                            if let Some(edge) = said.levels.edge(spec.threshold.get(&said.kind).copied()) {
                                let row = (
                                    told.position.as_u64(),
                                    u64::from(told.index),
                                    said.kind.name().to_owned(),
                                    edge.as_str().to_owned(),
                                );
                                expected.entry(spec.id.clone()).or_default().push(row);
                            }
                        }
                    }
                }
            }
        }
    }
    expected
}

type Row = (u64, u64, String, String);

/// Names the first difference and not all of it.
fn same(told: &[Row], expected: &[Row], what: &str) {
    let differs = told.iter().zip(expected).position(|(a, b)| a != b);
    if differs.is_some() || told.len() != expected.len() {
        let at = differs.unwrap_or(told.len().min(expected.len()));
        panic!(
            "{what}: {} of {}, at {at}: {:?} for {:?}",
            told.len(),
            expected.len(),
            told.get(at),
            expected.get(at)
        );
    }
}

/// A random turn of everything that can happen, without an end of the process.
fn turn(world: &mut World, dice: &mut Rng, may_fail: bool) {
    match dice.below(10) {
        0..3 => live(world, dice),
        3 | 4 => world.walk(1 + dice.below(6)),
        5 if dice.below(8) == 0 => {
            // The feed breaks off.
            world.catch = None;
            let at = (dice.below(2) == 0).then(|| Position::new(Lsn::new(dice.below(world.end()))));
            world.notifier.break_catching(at);
        }
        5 => world.catch_up(1 + dice.below(20)),
        6 | 7 if !world.open.is_empty() => {
            let at = dice.below(world.open.len() as u64) as usize;
            let fails = may_fail && dice.below(4) == 0;
            world.answer(at, if fails { DeliveryOutcome::Retry } else { DeliveryOutcome::Delivered });
        }
        8 => world.note(!may_fail || dice.below(5) > 0),
        _ => world.sleep(dice.below(600_000_000) as i64),
    }
}

// The queue with its windows, its catching up, its quiet hours and digests tells what a list tells, in order, once.
#[test]
fn a_naive_model_agrees_on_random_events() {
    for seed in 0..100 {
        let mut dice = Rng(seed);
        let mut world = World::new(if seed % 2 == 0 { small() } else { wide() });
        for _ in 0..dice.below(20) {
            live(&mut world, &mut dice);
        }
        lines(&mut world);
        for _ in 0..400 {
            turn(&mut world, &mut dice, true);
        }
        world.settle();
        let expected = naive(&world);
        assert!(expected.len() == 5 && expected["all"].len() > 40, "seed {seed}");
        for (id, rows) in &expected {
            same(&world.told(id), rows, &format!("seed {seed}, {id}"));
        }
    }
}

// A process that ends in order, however often, tells nothing twice and leaves nothing out; with its file, with an old one, and
// with none.
#[test]
fn nothing_is_told_twice_over_random_restarts() {
    for seed in 0..20 {
        let mut dice = Rng(seed + 1_000);
        let mut world = World::new(if seed % 2 == 0 { small() } else { wide() });
        lines(&mut world);
        for restart in 0..100 {
            for _ in 0..dice.below(40) {
                turn(&mut world, &mut dice, true);
            }
            // What is under way is let end; nothing of the log is lost.
            while !world.notifier.stop() {
                if !world.notes.is_empty() {
                    world.note(dice.below(5) > 0);
                } else if world.open.is_empty() {
                    world.sleep(NOTE_AGAIN_US as i64);
                } else {
                    let fails = dice.below(3) == 0;
                    world.answer(0, if fails { DeliveryOutcome::Retry } else { DeliveryOutcome::Delivered });
                }
            }
            match dice.below(4) {
                0 => world.saved = None,
                1 => {}
                _ => world.save(),
            }
            world.crash(world.log.len());
            if restart % 10 == 9 {
                world.settle();
            }
        }
        world.settle();
        for (id, rows) in naive(&world) {
            same(&world.told(&id), &rows, &format!("seed {seed}, {id}"));
        }
    }
}

// At whatever record the machine stops: what was promised is told, in order, and what comes twice has the id it had.
#[test]
fn a_crash_at_any_record_loses_nothing() {
    let mut crashes = 0;
    for seed in 0..6 {
        // A life, whose every moment is one to stop at.
        for stop in 0..150 {
            let mut dice = Rng(seed + 5_000);
            let mut world = World::new(if seed % 2 == 0 { small() } else { wide() });
            lines(&mut world);
            let mut grown = world.log.len();
            for step in 0..stop {
                turn(&mut world, &mut dice, false);
                if step % 37 == 20 {
                    world.save();
                }
                grown = grown.max(world.log.len());
            }
            // Once with everything that was written, once without the last records, as far as nobody has been told of them:
            // only what is durable is folded, and only that is told.
            let mut keeps = vec![world.log.len()];
            let told_through =
                world.handed.iter().map(|it| it.1["position"].as_u64().unwrap() as usize).max().unwrap_or(0);
            let walked = world.notifier.walked().as_u64() as usize;
            let floor = told_through.max(walked).max(5);
            let last_status =
                world.log.iter().rposition(|it| matches!(it, Record::Status(_))).map_or(0, |at| at + 1);
            if floor.max(last_status) < world.log.len() {
                keeps.push(floor.max(last_status));
            }
            for keep in keeps {
                let mut world = World {
                    log: world.log.clone(),
                    handed: Vec::new(),
                    taken: world.taken.clone(),
                    saved: world.saved.clone(),
                    backlogs: world.backlogs.clone(),
                    wall_us: world.wall_us,
                    mono_us: world.mono_us,
                    ..World::new(world.limits)
                };
                let before = world.taken.len();
                world.crash(keep);
                world.settle();
                crashes += 1;
                for (id, rows) in naive(&world) {
                    let told = world.told(&id);
                    let mut once = told.clone();
                    once.dedup();
                    once.sort();
                    once.dedup();
                    let mut sorted = rows.clone();
                    sorted.sort();
                    same(&once, &sorted, &format!("seed {seed}, stop {stop}, {id}"));
                    // At most one delivery is told again, and it is the first behind the start.
                    let ids = |bodies: &[Value]| -> Vec<String> {
                        bodies
                            .iter()
                            .filter(|it| it["subscription"] == id)
                            .map(|it| it["id"].to_string())
                            .collect()
                    };
                    let (old, new) = (ids(&world.taken[..before]), ids(&world.taken[before..]));
                    let again: Vec<usize> =
                        new.iter().enumerate().filter(|(_, it)| old.contains(it)).map(|(at, _)| at).collect();
                    assert!(
                        again.is_empty() || (again == [0] && old.last() == new.first()),
                        "seed {seed}, stop {stop}, {id}"
                    );
                }
            }
        }
    }
    assert!(crashes > 1_000, "{crashes} crashes");
}

// A dead endpoint costs nobody else anything, and bounded memory.
#[test]
fn a_dead_endpoint_holds_nobody_up() {
    let mut world = World::new(small());
    world.command(set("dead", json!({"all": true}), &["shift.opened"], json!({})));
    world.command(set("good", json!({"all": true}), &["shift.opened"], json!({"channel": "mail"})));
    let mut lost = 0;
    for shift in 0..500 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
        world.walk(10);
        for _ in 0..4 {
            while let Some(at) = world.open.iter().position(|_| true) {
                let body: Value = serde_json::from_slice(&world.open[at].1.body).unwrap();
                let is_dead = body["subscription"] == "dead";
                lost += usize::from(is_dead);
                world.answer(at, if is_dead { DeliveryOutcome::Retry } else { DeliveryOutcome::Delivered });
            }
            world.note(true);
            world.catch_up(1_000);
        }
        world.sleep(1_000_000);
    }
    assert_eq!(world.told("good").len(), 500);
    assert!((5..30).contains(&lost), "{lost} attempts");
    world.settle();
    assert_eq!(world.told("dead"), world.told("good"));
}

// A part of the events that cannot be read keeps whoever lacks it, and nobody else who catches up.
#[test]
fn a_place_that_cannot_be_read_keeps_nobody_else() {
    let mut world = World::new(wide());
    for id in ["early", "late"] {
        world.command(set(id, json!({"all": true}), &["shift.opened"], json!({})));
    }
    for shift in 0..30 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.settle();
    world.taken.clear();
    for (id, from) in [("early", 3), ("late", 20)] {
        world.command(json!({"do": "subscription.replay", "id": id, "from": from, "by": "test"}));
    }
    // What lies behind 10 is damaged.
    for _ in 0..20 {
        world.settle_but_catch();
        match world.catch {
            Some(from) if from < 10 => world.catch_up(10 - from),
            Some(10) => {
                world.catch = None;
                world.notifier.break_catching(Some(Position::new(Lsn::new(10))));
                world.step(Vec::new());
            }
            _ => world.catch_up(5),
        }
    }
    let (early, late) = (world.told("early"), world.told("late"));
    assert!(early.iter().all(|it| it.0 <= 10) && !early.is_empty());
    assert_eq!(late.last().map(|it| it.0), Some(32));
}

// The notifier turns many times a second over thousands of lines: a turn in which nothing has come and nothing is due looks at none.
#[test]
fn a_step_without_anything_new_looks_at_no_line() {
    let mut world = World::new(wide());
    world.command(set("a", json!({"all": true}), &["shift.opened"], json!({"digest": "hourly"})));
    world.document(1, vec![EventKind::ShiftOpened { shift: 1 }]);
    world.walk(10);
    let looked = world.notifier.looked_at_us;
    let due = world.notifier.wake_in_us().unwrap();
    world.sleep(LOOK_US as i64 / 2);
    assert_eq!((world.notifier.looked_at_us, world.notifier.wake_in_us()), (looked, Some(due - LOOK_US / 2)));
    world.sleep(LOOK_US as i64);
    assert_ne!(world.notifier.looked_at_us, looked);
    // A clock that leaps is seen by the next look.
    world.wall_us += 2 * HOUR_US;
    world.sleep(LOOK_US as i64);
    world.walk(10);
    assert_eq!(world.open.len(), 1);
}
