//! The outbox against a service that does everything a service may do to it, on virtual time, cut wherever it can be cut.
//!
//! The world is a log in memory, a service with an account of its own, and a clock; what an outbox asks for takes random time.
//! The naive model is a loop over the log that keeps the last final word of each document.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod pressure;

use std::collections::{BTreeMap, BTreeSet};

use ofd_storage::Now;

use super::sending::back_off_us;
use super::*;
use crate::dice::Rng;

#[derive(Clone)]
enum Record {
    Document(Document),
    Status { at_us: i64, events: Vec<StatusEvent> },
    Command(TaxCommand),
}

/// What the service does wrong; 0 = never, n = once in n.
#[derive(Clone, Copy, Default)]
struct Faults {
    down: u64,
    lost_answer: u64,
    partly: u64,
    lost_verdict: u64,
    twice: u64,
    stray: u64,
    late_us: u64,
}

const ALL: Faults =
    Faults { down: 4, lost_answer: 5, partly: 6, lost_verdict: 12, twice: 4, stray: 6, late_us: 30_000_000 };

/// The service, with its own account.
#[derive(Default)]
struct Service {
    faults: Faults,
    down_until_us: u64,
    /// By drive, in the order they were taken.
    taken: BTreeMap<u64, Vec<(u32, u64)>>,
    ids: BTreeMap<(u64, u32), String>,
    verdicts: BTreeMap<(u64, u64), TaxStatus>,
    next: u64,
    duplicates: u64,
}

fn verdict_of(number: u32, id: String) -> TaxStatus {
    match number % 17 {
        3 => TaxStatus::Refused { id, code: 507, tag: Some(1020) },
        5 => TaxStatus::Quarantined { id, code: 420, tag: None },
        7 => TaxStatus::Warned { id, code: 502 },
        _ => TaxStatus::Accepted { id },
    }
}

impl Service {
    fn send(&mut self, now: u64, batch: &[Document], chance: &mut Rng) -> Vec<Receipt> {
        if now < self.down_until_us || self.faults.down > 0 && chance.one_in(self.faults.down * 3) {
            return vec![Receipt::Unavailable; batch.len()];
        }
        let mut skipped = BTreeSet::new();
        let mut receipts = Vec::new();
        for document in batch {
            if skipped.contains(&document.drive)
                || self.faults.partly > 0 && chance.one_in(self.faults.partly * 4)
            {
                skipped.insert(document.drive);
                receipts.push(Receipt::Unavailable);
                continue;
            }
            receipts.push(Receipt::Sent(self.take(now, document, chance)));
        }
        if self.faults.lost_answer > 0 && chance.one_in(self.faults.lost_answer) {
            return Vec::new();
        }
        receipts
    }

    fn take(&mut self, now: u64, document: &Document, chance: &mut Rng) -> String {
        let key = (document.drive, document.number);
        self.next += 1;
        let known = self.ids.contains_key(&key);
        let id = self.ids.entry(key).or_insert_with(|| format!("id-{}", self.next)).clone();
        let verdict = if known {
            self.duplicates += 1;
            match verdict_of(document.number, id.clone()) {
                TaxStatus::Accepted { id } => TaxStatus::Duplicate { id },
                other => other,
            }
        } else {
            self.taken.entry(document.drive).or_default().push((document.number, document.position));
            verdict_of(document.number, id.clone())
        };
        if self.faults.lost_verdict > 0 && chance.one_in(self.faults.lost_verdict) {
            return id;
        }
        let times = 1 + u64::from(self.faults.twice > 0 && chance.one_in(self.faults.twice));
        for _ in 0..times {
            self.next += 1;
            let at = now + chance.below(self.faults.late_us + 1);
            self.verdicts.insert((at, self.next), verdict.clone());
        }
        if self.faults.stray > 0 && chance.one_in(self.faults.stray) {
            self.next += 1;
            self.verdicts.insert((now, self.next), TaxStatus::Accepted { id: "nobody's".to_owned() });
        }
        id
    }

    fn poll(&mut self, now: u64, chance: &mut Rng) -> Option<Vec<TaxStatus>> {
        if now < self.down_until_us {
            return None;
        }
        let later = self.verdicts.split_off(&(now + 1, 0));
        let mut come: Vec<_> = std::mem::replace(&mut self.verdicts, later).into_values().collect();
        // Out of order.
        for at in 1..come.len() {
            let other = usize::try_from(chance.below(at as u64 + 1)).unwrap();
            come.swap(at, other);
        }
        Some(come)
    }
}

/// What takes time.
enum Later {
    Answer { batch: u64, receipts: Vec<Receipt> },
    Verdicts(Option<Vec<TaxStatus>>),
    Synced(Vec<StatusEvent>),
    CaughtUp { after: u64, most: usize },
    Listed { asked: Asked, drive: u64, numbers: (u32, u32), after: u64, through: u64, most: usize },
}

struct World {
    chance: Rng,
    now_us: u64,
    log: Vec<Record>,
    outbox: Outbox,
    options: TaxOptions,
    /// How far the head has read.
    head: usize,
    /// The end of the log at the last start.
    start: u64,
    service: Service,
    later: BTreeMap<(u64, u64), Later>,
    next: u64,
    checkpoint: Vec<Vec<u8>>,
}

fn options() -> TaxOptions {
    TaxOptions {
        batch_documents: 7,
        batch_bytes: 3_000,
        batch_drive_documents: 3,
        batches_in_flight: 3,
        window_documents: 24,
        lane_documents: 4,
        back_off_max_us: 60_000_000,
        verdict_timeout_us: 120_000_000,
        ..TaxOptions::default()
    }
}

const START_US: u64 = 1_790_000_000_000_000;

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let options = options();
        Self {
            chance: Rng(seed),
            now_us: START_US,
            log: Vec::new(),
            outbox: Outbox::new(options.clone(), 180),
            options,
            head: 0,
            start: 0,
            service: Service { faults, ..Service::default() },
            later: BTreeMap::new(),
            next: 0,
            checkpoint: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { wall_us: self.now_us as i64, mono_us: self.now_us }
    }

    fn document(&mut self, drive: u64, number: u32) {
        let position = self.log.len() as u64 + 1;
        let document = Document {
            position,
            drive,
            number,
            received_at_us: self.now_us as i64,
            len: 600,
            location: None,
        };
        self.log.push(Record::Document(document));
    }

    fn documents(&self) -> Vec<Document> {
        let of = |record: &Record| match record {
            Record::Document(document) => Some(*document),
            _ => None,
        };
        self.log.iter().filter_map(of).collect()
    }

    fn within(&mut self, most_us: u64, later: Later) {
        self.next += 1;
        let at = self.now_us + self.chance.below(most_us + 1);
        self.later.insert((at, self.next), later);
    }

    /// One step of the outbox: what the head has to tell, or one thing that has come.
    fn step(&mut self, inputs: Vec<Input>) {
        let mut outputs = Vec::new();
        let (now, chance) = (self.now(), self.chance.next());
        // As the leg does: until all that was durable at its start is passed, it reads.
        if self.outbox.told() < self.start {
            self.outbox.read_on(inputs, &mut outputs);
        } else {
            self.outbox.step(now, chance, inputs, &mut outputs);
        }
        for output in outputs {
            match output {
                Output::Send { batch, documents } => {
                    assert!(!documents.is_empty() && documents.len() <= self.options.batch_documents);
                    let receipts = self.service.send(self.now_us, &documents, &mut self.chance);
                    self.within(3_000_000, Later::Answer { batch, receipts });
                }
                Output::Poll => {
                    let verdicts = self.service.poll(self.now_us, &mut self.chance);
                    self.within(500_000, Later::Verdicts(verdicts));
                }
                Output::Append(events) => self.within(0, Later::Synced(events)),
                Output::CatchUp { after, most } => self.within(2_000, Later::CaughtUp { after, most }),
                Output::List { asked, drive, numbers, after, through, most } => {
                    let later = Later::Listed { asked, drive, numbers, after, through, most };
                    self.within(2_000, later);
                }
            }
        }
        // To the document: what was asked for has its place before it comes.
        let Outbox { window, asked, .. } = &self.outbox;
        assert!(window.len() + asked <= self.options.window_documents * WINDOWS_IN_ALL);
        // Of what was never sent there is a window at most; late verdicts let no more in.
        let fresh = window.values().filter(|it| it.attempt == 0).count();
        assert!(fresh + asked <= self.options.window_documents, "{fresh} and {asked}");
    }

    fn read_head(&mut self) -> bool {
        let many = (1 + self.chance.below(5)) as usize;
        let mut inputs = Vec::new();
        for at in self.head..self.log.len().min(self.head + many) {
            let position = at as u64 + 1;
            inputs.push(match self.log[at].clone() {
                Record::Document(document) => Input::Document(document),
                Record::Status { at_us, events } => Input::Status { at_us, events },
                Record::Command(command) => Input::Command { position, command },
            });
            inputs.push(Input::Head(position));
            self.head = at + 1;
        }
        let worked = !inputs.is_empty();
        if worked {
            self.step(inputs);
        }
        worked
    }

    /// Goes on to whatever comes next; false: nothing comes.
    fn turn(&mut self) -> bool {
        if self.read_head() {
            return true;
        }
        let next = self.later.first_key_value().map(|(key, _)| key.0);
        // As the leg does: whatever it sleeps, it looks again.
        let wake = self.outbox.wake_us().map(|at| at.max(self.now_us + 1));
        let verdict = self.outbox.due.first().map(|(at, _)| *at as u64 + self.options.verdict_timeout_us);
        let Some(at) = [next, wake, verdict].into_iter().flatten().min() else { return false };
        self.now_us = self.now_us.max(at);
        let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.now_us) else {
            self.step(Vec::new());
            return true;
        };
        let input = match entry.remove() {
            Later::Answer { batch, receipts } => Input::Answered { batch, receipts },
            Later::Verdicts(verdicts) => Input::Verdicts(verdicts),
            Later::Synced(events) => {
                let (_, read) = ofd_storage::status::decode(&ofd_storage::status::encode(
                    ofd_storage::status::StatusOf::Tax,
                    &events,
                ))
                .unwrap();
                self.log.push(Record::Status { at_us: self.now_us as i64, events: read });
                return true;
            }
            Later::CaughtUp { after, most } => {
                let told = self.outbox.told();
                let unread: Vec<_> = self
                    .documents()
                    .into_iter()
                    .filter(|it| it.position > after && it.position <= told)
                    .collect();
                let through = unread.get(most).map_or(told, |it| it.position - 1);
                let documents = unread.into_iter().take(most).collect();
                Input::CaughtUp { documents, through }
            }
            Later::Listed { asked, drive, numbers, after, through, most } => {
                let all: Vec<_> = self
                    .documents()
                    .into_iter()
                    .filter(|it| it.drive == drive && (numbers.0..=numbers.1).contains(&it.number))
                    .filter(|it| it.position > after && it.position <= through)
                    .collect();
                let through = all.get(most).map_or(through, |it| it.position - 1);
                Input::Listed { asked, documents: all.into_iter().take(most).collect(), through }
            }
        };
        self.step(vec![input]);
        true
    }

    fn save(outbox: &Outbox) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut put = |piece: &[u8]| {
            pieces.push(piece.to_vec());
            Ok::<_, ()>(())
        };
        outbox.save_in_pieces(&mut put).unwrap();
        pieces
    }

    fn restored(&self, pieces: &[Vec<u8>]) -> Outbox {
        let mut outbox = Outbox::new(self.options.clone(), 180);
        pieces.iter().for_each(|piece| outbox.take_piece(piece).unwrap());
        outbox.pieces_taken();
        outbox
    }

    /// The process dies: what was not durable is lost, and what the service was about to say goes to nobody.
    fn crash(&mut self) {
        self.later.clear();
        self.outbox = self.restored(&self.checkpoint.clone());
        self.head = self.outbox.told() as usize;
        self.start = self.log.len() as u64;
    }

    fn is_idle(&self) -> bool {
        let Outbox { again, window, lanes, behind, .. } = &self.outbox;
        let nothing = again.is_empty() && window.is_empty() && lanes.is_empty() && behind.is_none();
        nothing && self.outbox.totals().waiting() == 0 && self.head == self.log.len()
    }

    /// Works until nothing is left to do, with a service that is well.
    fn finish(&mut self) {
        (self.service.faults, self.service.down_until_us) = (Faults::default(), 0);
        for _ in 0..1_000_000 {
            let idle = self.is_idle();
            if idle {
                return;
            }
            assert!(self.turn(), "nothing comes, and it has not ended: {:?}", self.outbox.totals());
        }
        panic!("it does not come to an end: {:?}", self.outbox.totals());
    }

    fn check(&self) {
        let documents = self.documents();
        // The service's own account: once each, in the order of the log, nothing else.
        let mut expected: BTreeMap<u64, Vec<(u32, u64)>> = BTreeMap::new();
        for it in &documents {
            expected.entry(it.drive).or_default().push((it.number, it.position));
        }
        for (drive, expected) in &expected {
            let taken = self.service.taken.get(drive).map(Vec::as_slice).unwrap_or_default();
            let at = taken.iter().zip(expected).take_while(|(a, b)| a == b).count();
            assert_eq!((taken.get(at), taken.len()), (expected.get(at), expected.len()), "{drive:x}");
        }
        assert!(self.service.taken.len() <= expected.len());
        // The naive model over the ledger.
        let mut last: BTreeMap<u64, StatusEvent> = BTreeMap::new();
        for record in &self.log {
            let Record::Status { events, .. } = record else { continue };
            for event in events.iter().filter(|it| it.kind.is_final()) {
                last.insert(event.position, event.clone());
            }
        }
        let mut accounts: BTreeMap<u64, Account> = BTreeMap::new();
        for it in &documents {
            let account = accounts.entry(it.drive).or_default();
            account.stored += 1;
            let word = &last[&it.position];
            account.settled.replace(None, word.kind);
            let (kind, code, tag) = verdict_of(it.number, String::new()).parts();
            match self.outbox.state(it) {
                TaxState::Accepted => {
                    assert!(kind == StatusKind::Accepted && word.kind.is_accepted());
                }
                TaxState::Warned(remark) | TaxState::Refused(remark) => {
                    assert_eq!((remark.kind, remark.code, remark.tag), (kind, code, tag));
                    assert_eq!(word.kind, kind);
                }
                other => panic!("document {it:?} is {other:?}"),
            }
        }
        for (drive, account) in &accounts {
            assert_eq!(self.outbox.account(*drive), *account);
        }
        let totals = self.outbox.totals();
        assert_eq!((totals.stored, totals.waiting()), (documents.len() as u64, 0));
        let stored: u64 = self.outbox.days().values().map(|day| day.stored).sum();
        assert_eq!(stored, totals.stored);
        let leftovers = (
            self.outbox.window.len(),
            self.outbox.lanes.len(),
            self.outbox.ids.len(),
            self.outbox.ahead.len(),
            self.outbox.due.len(),
            self.outbox.behind,
        );
        assert_eq!(leftovers, (0, 0, 0, 0, 0, None));
    }
}

/// A life: documents of some drives, faults, crashes, checkpoints and commands, in a random order.
fn live(seed: u64, events: u64) -> World {
    let mut world = World::new(seed, ALL);
    let drives = 1 + world.chance.below(6);
    let mut numbers = vec![0u32; drives as usize];
    let mut paused = BTreeSet::new();
    let named = |drive: u64| drive_of(0x7100_0000_0000_0000 + drive).unwrap();
    for _ in 0..events {
        match world.chance.below(20) {
            0..=9 => {
                for _ in 0..=world.chance.below(6) {
                    let drive = world.chance.below(drives);
                    numbers[drive as usize] += 1;
                    world.document(0x7100_0000_0000_0000 + drive, numbers[drive as usize]);
                }
            }
            10 => world.crash(),
            11 | 12 => world.checkpoint = World::save(&world.outbox),
            13 => world.service.down_until_us = world.now_us + world.chance.below(600_000_000),
            14 => {
                let drive = world.chance.below(drives);
                let command = if paused.remove(&drive) {
                    TaxCommand::Resume(Some(named(drive)))
                } else {
                    paused.insert(drive);
                    TaxCommand::Pause(Some(named(drive)))
                };
                world.log.push(Record::Command(command));
            }
            15 => {
                let drive = world.chance.below(drives);
                let from = world.chance.below(u64::from(numbers[drive as usize]) + 1) as u32;
                let to = from + world.chance.below(5) as u32;
                world.log.push(Record::Command(TaxCommand::Resend { drive: named(drive), from, to }));
            }
            _ => {
                for _ in 0..world.chance.below(60) {
                    world.turn();
                }
            }
        }
    }
    for drive in paused {
        world.log.push(Record::Command(TaxCommand::Resume(Some(named(drive)))));
    }
    world
}

// The promise of the leg, whatever the service does and however often the process dies.
#[test]
fn every_document_is_taken_once_and_in_order_whatever_fails() {
    let (mut duplicates, mut documents) = (0, 0);
    for seed in 0..1_500 {
        let mut world = live(seed, 120);
        world.finish();
        world.check();
        duplicates += world.service.duplicates;
        documents += world.documents().len();
    }
    assert!(documents > 100_000 && duplicates > 1_000, "{documents} documents, {duplicates} duplicates");
}

// A small life, cut behind each of its steps, with and without a checkpoint.
#[test]
fn a_cut_behind_every_step_loses_and_doubles_nothing() {
    for (seed, keeps) in (0..12).flat_map(|seed| [(seed, false), (seed, true)]) {
        for cut in 0..10_000 {
            let mut world = World::new(seed, ALL);
            for number in 1..=4 {
                world.document(1 << 60, number);
                world.document(2 << 60, number + 2);
            }
            let mut ended = false;
            for at in 0..cut {
                if keeps && at % 7 == 3 {
                    world.checkpoint = World::save(&world.outbox);
                }
                if world.outbox.totals().waiting() == 0 && world.head == world.log.len() && at > 0 {
                    ended = true;
                    break;
                }
                world.turn();
            }
            world.crash();
            world.finish();
            world.check();
            if ended {
                assert!(cut > 20, "{cut}");
                break;
            }
            assert!(cut < 9_999, "it does not come to an end");
        }
    }
}

// What a checkpoint leaves out, a restart would not know.
#[test]
fn a_restart_from_a_checkpoint_of_any_moment_comes_to_the_same() {
    for seed in 0..150 {
        let mut world = live(10_000 + seed, 60);
        let mut checkpoints = Vec::new();
        (world.service.faults, world.service.down_until_us) = (Faults::default(), 0);
        for at in 0.. {
            if at % 13 == 0 {
                checkpoints.push(World::save(&world.outbox));
            }
            let idle = world.is_idle();
            if idle || !world.turn() {
                break;
            }
        }
        world.check();
        let told = |outbox: &Outbox| {
            let remarks: Vec<_> =
                outbox.remarks.iter().map(|(key, it)| (*key, it.kind, it.position)).collect();
            (outbox.totals().stored, outbox.totals().settled, remarks, outbox.paused)
        };
        let expected = told(&world.outbox);
        for checkpoint in checkpoints {
            world.checkpoint = checkpoint;
            world.crash();
            while world.read_head() {}
            // What it asks to read again may be asked; nothing is left to be sent but repeats of a command.
            world.finish();
            assert_eq!(told(&world.outbox), expected);
            world.check();
        }
    }
}

// F004: a merchant's refused document does not hold up the next one.
#[test]
fn a_refusal_blocks_nothing() {
    let mut world = World::new(1, Faults::default());
    for number in 1..=40 {
        world.document(1 << 60, number);
    }
    world.finish();
    world.check();
    assert_eq!(world.outbox.account(1 << 60).settled.refused, 3);
    assert_eq!(world.outbox.account(1 << 60).settled.quarantined, 3);
    assert_eq!(world.outbox.remarks_after((0, 0)).count(), 8);
}

// What is refused and does not fit into memory must not read as accepted.
#[test]
fn a_refusal_that_had_no_room_is_not_told_as_accepted() {
    let mut world = World::new(1, Faults::default());
    world.outbox.remarks_max = 3;
    for number in 1..=40 {
        world.document(1 << 60, number);
    }
    world.finish();
    assert_eq!(world.outbox.remarks_after((0, 0)).count(), 3);
    let documents: Vec<Document> = world
        .log
        .iter()
        .filter_map(|it| if let Record::Document(it) = it { Some(*it) } else { None })
        .collect();
    let states: Vec<TaxState> = documents.iter().map(|it| world.outbox.state(it)).collect();
    assert_eq!(states.len(), 40);
    assert!(!states.contains(&TaxState::Accepted), "nobody knows of any of them that it was accepted");
    assert_eq!(states.iter().filter(|it| **it == TaxState::Settled).count(), 37);
}

// Three days without the service: memory stays bounded, what was not sent says how old it is, and then all of it goes out.
#[test]
fn three_days_without_the_service_end_with_everything_sent() {
    let mut world = World::new(2, Faults::default());
    world.service.down_until_us = world.now_us + 3 * 86_400_000_000;
    let began = world.now_us;
    for number in 1..=300 {
        for drive in 1..=5 {
            world.document(drive << 60, number);
        }
        while world.now_us < began + u64::from(number) * 86_400_000_000 / 100 {
            assert!(world.turn());
        }
        if number == 250 {
            world.checkpoint = World::save(&world.outbox);
            world.crash();
        }
        if world.now_us < world.service.down_until_us {
            assert_eq!(world.outbox.oldest_unsent_us(), Some(began as i64));
        }
    }
    assert!(world.outbox.counts().retries > 100);
    world.finish();
    world.check();
    assert_eq!(world.outbox.oldest_unsent_us(), None);
}

// Who is paused waits, the others do not; resumed, nothing of it is missing.
#[test]
fn a_paused_drive_waits_alone() {
    let mut world = World::new(3, Faults::default());
    let drive = drive_of(0x7100_0000_0000_0000).unwrap();
    world.log.push(Record::Command(TaxCommand::Pause(Some(drive))));
    for number in 1..=60 {
        world.document(drive.to_bcd_u64(), number);
        world.document(2 << 60, number);
    }
    for _ in 0..2_000 {
        world.turn();
    }
    assert_eq!(world.outbox.account(2 << 60).waiting(), 0);
    assert_eq!(world.outbox.account(drive.to_bcd_u64()).waiting(), 60);
    assert_eq!(world.outbox.paused_drives(10), [drive.to_bcd_u64()]);
    assert!(world.outbox.window.len() <= 1, "what waits of it stays in the log");
    world.checkpoint = World::save(&world.outbox);
    world.crash();
    world.log.push(Record::Command(TaxCommand::Resume(Some(drive))));
    world.finish();
    world.check();
}

// The wait grows and is spread: a service that comes back is not met by everybody at once.
#[test]
fn waits_double_up_to_the_longest_and_are_spread() {
    let options = TaxOptions { back_off_min_us: 1_000_000, back_off_max_us: 60_000_000, ..options() };
    for (tries, longest) in
        [(1, 1_000_000), (2, 2_000_000), (6, 32_000_000), (7, 60_000_000), (90, 60_000_000)]
    {
        assert_eq!(back_off_us(&options, tries, 0), longest / 2);
        assert_eq!(back_off_us(&options, tries, longest / 2), longest);
        assert!((longest / 2..=longest).contains(&back_off_us(&options, tries, u64::MAX)));
    }
}
