//! The whole engine in one thread, over a disk and a network that lie: one seed makes one execution.
//!
//! Ports, workers, writer, log and recovery are the code that ships; threads, clock, sockets and files are the
//! simulation's. Registers, a program that submits in process, a crypto module, an admission, readers with cursors, a tax
//! service and a channel for notices live around it. An oracle looks at every answer as it leaves and at everything that is there when the engine opens again: I1 to I7, I9, I13, I14 and I16.
//!
//! `OFD_SEED=<n> cargo test -p ofd-engine --no-default-features --features testing --test sim one_seed` replays one seed;
//! `OFD_SEEDS=<n>` sets how many are run, `OFD_SIM_SECONDS=<n>` adds fresh seeds for so long.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod canary;
mod host;
mod oracle;
mod rng;
mod scenario;
mod watch;
mod wire;
mod world;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ofd_emit::{ProfileOptions, Register};
use ofd_engine::host::Capability;
use ofd_engine::storage::envelope::Envelope;
use ofd_engine::storage::testing::{SimEnv, SimKnobs};
use ofd_engine::storage::{LogOptions, RecordKind};
use ofd_engine::testing::{Machine, Saving};
use ofd_engine::{Engine, Position};

use canary::{Heard, canaries};
use scenario::{Scenario, scenario};
use world::{Totals, run};

/// Seeds 1..=n are the same on every machine.
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 60 };

/// Fresh seeds that failed once, each with what it had found.
const FAILED_ONCE: [u64; 5] = [
    // The file system turned read-only shortly before the faults end, and nobody had restarted the machine.
    10_990_393_210_435_451_756,
    // A port whose ring to the worker was full handed over a batch that was longer than batches are.
    11_039_329_168_640_222_912,
    // A reader of events looked into a file whose sync had failed, before the fold began it anew.
    12_631_859_343_555_646_861,
    // The onlooker did not know that a shift may end as overdue without its closing report.
    14_409_856_759_889_253_064,
    // The onlooker forgot a receipt in the log when the document came to the service once more; a start goes by it.
    5_215_129_202_036_519_592,
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Past the capture of the test harness: the line is the point of the run.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn must_hold(scenario: &Scenario) -> Totals {
    match run(scenario) {
        Ok(totals) => totals,
        Err(broken) => panic!(
            "seed {seed}: {broken}\n{scenario:?}\nreplay: OFD_SEED={seed} cargo test --release -p ofd-engine \
             --no-default-features --features testing --test sim one_seed",
            seed = scenario.seed
        ),
    }
}

fn add(sum: &mut Totals, one: &Totals) {
    sum.documents += one.documents;
    sum.answers += one.answers;
    sum.again += one.again;
    sum.refused += one.refused;
    sum.crashes += one.crashes;
    sum.nested += one.nested;
    sum.failed += one.failed;
    sum.refused_starts += one.refused_starts;
    sum.resets += one.resets;
    sum.lost_answers += one.lost_answers;
    sum.noise += one.noise;
    sum.repeated += one.repeated;
    sum.virtual_us += one.virtual_us;
    sum.drain_us = sum.drain_us.max(one.drain_us);
    sum.trace ^= one.trace;
    sum.tax.add(&one.tax);
    sum.notices.add(&one.notices);
    sum.disk.sync_errors += one.disk.sync_errors;
    sum.disk.late_errors += one.disk.late_errors;
    sum.disk.write_errors += one.disk.write_errors;
    sum.disk.read_errors += one.disk.read_errors;
    sum.disk.full_disk += one.disk.full_disk;
    sum.disk.read_only += one.disk.read_only;
    sum.disk.power_cuts += one.disk.power_cuts;
    sum.disk.kills += one.disk.kills;
}

// The promise of the house, for the whole house.
#[test]
fn nothing_answered_is_lost_doubled_or_answered_otherwise() {
    let start = Instant::now();
    let (mut sum, mut twice) = (Totals::default(), 0);
    let mut seeds = number("OFD_SEEDS").unwrap_or(SEEDS);
    let mut one = |scenario: Scenario| {
        let seed = scenario.seed;
        let totals = must_hold(&scenario);
        if seed.is_multiple_of(20) {
            twice += 1;
            assert_eq!(totals.trace, must_hold(&scenario).trace, "I16: seed {seed} makes two executions");
        }
        add(&mut sum, &totals);
    };
    (1..=seeds).chain(FAILED_ONCE).map(scenario).for_each(&mut one);
    // What they had found they find in the world they found it in.
    FAILED_ONCE.map(scenario).map(Scenario::without_outward).into_iter().for_each(&mut one);
    if let Some(seconds) = number("OFD_SIM_SECONDS") {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let (mut seed, from) = (now.as_nanos() as u64, Instant::now());
        while from.elapsed() < Duration::from_secs(seconds) {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            one(scenario(seed));
            seeds += 1;
        }
    }
    let took = start.elapsed();
    say(&format!(
        "sim: seeds {seeds} ({twice} run twice) documents {} answers {} (again {}, refused {}) in {:.1?}: {:.0} documents/s, {:.1} \
         virtual hours | crashes {} (in recovery {}, kills {}) failed engines {} refused starts {} | resets {} lost answers {} \
         noise {} | disk: write {} sync {} late {} read {} full {} read-only {} | readers repeat {} | slowest drain {:.1} s | \
         lost 0 doubled 0 reordered 0 | trace {:016x}\n{:?}\n{:?}",
        sum.documents,
        sum.answers,
        sum.again,
        sum.refused,
        took,
        sum.documents as f64 / took.as_secs_f64(),
        sum.virtual_us as f64 / 3.6e9,
        sum.crashes,
        sum.nested,
        sum.disk.kills,
        sum.failed,
        sum.refused_starts,
        sum.resets,
        sum.lost_answers,
        sum.noise,
        sum.disk.write_errors,
        sum.disk.sync_errors,
        sum.disk.late_errors,
        sum.disk.read_errors,
        sum.disk.full_disk,
        sum.disk.read_only,
        sum.repeated,
        sum.drain_us as f64 / 1e6,
        sum.trace,
        sum.tax,
        sum.notices,
    ));
    // The fixed seeds of a release: each thing that may go wrong behind the log has gone wrong in them.
    if seeds >= 60 {
        let missing = sum.tax.exercised().into_iter().chain(sum.notices.exercised()).filter(|it| it.1 == 0);
        let missing: Vec<&str> = missing.map(|it| it.0).collect();
        assert!(missing.is_empty(), "never: {missing:?}");
    }
}

#[test]
fn one_seed_makes_one_execution() {
    for seed in [1, 7, 42] {
        let (one, two) = (must_hold(&scenario(seed)), must_hold(&scenario(seed)));
        assert_eq!(one.trace, two.trace, "seed {seed}");
        assert_ne!(one.trace, must_hold(&scenario(seed + 1)).trace);
    }
}

#[test]
fn one_seed() {
    if let Some(seed) = number("OFD_SEED") {
        let scenario = scenario(seed);
        say(&format!("{scenario:?}"));
        say(&format!("{:?}", must_hold(&scenario)));
    }
}

// G16: logs, metrics and panics go to people and systems that have no right to a buyer's address. Every level is heard, and
// what a host would write of the requests it gets; the last line shows that the ear is not deaf.
#[test]
fn nobodys_address_or_telephone_is_told() {
    let heard = Heard::default();
    let seeds = number("OFD_SEEDS").unwrap_or(SEEDS) / 2;
    let mut carried = 0;
    for seed in (1..=seeds).chain(FAILED_ONCE) {
        let scenario = scenario(seed);
        carried += heard.listen(|| must_hold(&scenario)).unwrap().carried;
    }
    let text = heard.text();
    for part in ["Key(ofd_", "WARN ofd_engine", "OpenRequest", "ConfirmRequest"] {
        assert!(text.contains(part), "nothing was heard of {part}");
    }
    assert!(carried > 100, "{carried} documents with an address");
    assert_eq!(canaries(&text), Default::default());

    let mut buyer = Register::new(1, 1, &ProfileOptions::default());
    let message = (0..100)
        .map(|_| {
            let mut message = Vec::new();
            buyer.next_message(&mut message).unwrap();
            message
        })
        .find(|message| message.windows(10).any(|it| it == b"@m.example"))
        .unwrap();
    let panics = heard.listen(|| panic!("{message:?}"));
    assert!(panics.is_err());
    assert_eq!(canaries(&heard.text()).len(), 1, "a panic with the bytes of a document is heard");
    tracing::subscriber::with_default(heard.ear(), || {
        tracing::warn!(target: "sim", "{}", String::from_utf8_lossy(&message));
    });
    assert_eq!(canaries(&heard.text()).len(), 2);
}

// The writer speaks of documents in the order in which it got them. Two ports and one worker: had each port its own
// batch being filled, the worker took the place of one document for that of another, stored a resend twice and
// answered by the wrong watermark.
#[test]
fn documents_of_two_ports_are_not_taken_for_one_another() {
    let env = SimEnv::new(1, SimKnobs::default());
    let builder = Engine::builder("").env(Arc::new(env)).io_threads(2).workers(1);
    let log = LogOptions { segment_len: 1 << 18, batch_len_max: 32 << 10, ..LogOptions::default() };
    let mut machine = Machine::open(builder, None, log).unwrap();
    let sockets = [0, 1].map(|port| machine.connect(port, "10.0.0.1:1000".parse().unwrap()));
    let mut registers = [0, 1].map(|register| Register::new(1, register, &ProfileOptions::default()));
    let mut sent = Vec::new();
    for _ in 0..6 {
        for (register, socket) in registers.iter_mut().zip(&sockets) {
            let mut message = Vec::new();
            sent.push(register.next_message(&mut message).unwrap());
            socket.deliver(&message);
        }
        // Both ports have handed over before the worker looks, which begins with another port every time.
        (0..2).for_each(|port| _ = machine.port_turn(port, 8));
        for _ in 0..21 {
            machine.worker_turn(0);
            machine.writer_turn();
        }
    }
    for document in sent {
        let found = machine.entries(document.drive, Some(document.number)).unwrap();
        let [entry] = found[..] else { panic!("{document:?} has no place of its own") };
        let record = machine.reader().read(entry.location).unwrap();
        let stored = Envelope::decode(record.record().payload()).unwrap();
        assert_eq!((stored.drive, stored.number), (*document.drive.as_bytes(), document.number));
    }
}

// A host that waits for a cursor on a full disk must not keep the process from ending.
#[test]
fn a_full_disk_does_not_keep_the_engine_from_ending() {
    let env = SimEnv::new(1, SimKnobs::default());
    let builder = Engine::builder("").env(Arc::new(env.clone()));
    let log = LogOptions { segment_len: 1 << 18, batch_len_max: 32 << 10, ..LogOptions::default() };
    let mut machine = Machine::open(builder, None, log).unwrap();
    env.set_knobs(|knobs| knobs.space = Some(0));
    let cursor = machine.engine().cursor("reader");
    // More than the rest of the segment and the batches in memory hold.
    let saves: Vec<Saving> = (0..20_000).map(|_| Saving::begin(&cursor, Position::START).unwrap()).collect();
    for _ in 0..60 {
        for _ in 0..20 {
            machine.port_turn(0, 4);
            machine.worker_turn(0);
            machine.writer_turn();
        }
        if machine.end() {
            assert!(!saves.is_empty());
            return;
        }
        env.advance(1_000_000, 1_000_000);
    }
    panic!("it does not end");
}

// A tick is a record and its time the only clock of timers: there is one when something is due, and none else, so that an
// engine to which nothing happens writes nothing.
#[test]
fn a_tick_is_written_when_something_is_due_and_never_else() {
    const HOUR_US: u64 = 3_600_000_000;
    let env = SimEnv::new(1, SimKnobs::default());
    let builder = Engine::builder("").env(Arc::new(env.clone()));
    let log = LogOptions { segment_len: 1 << 18, batch_len_max: 32 << 10, ..LogOptions::default() };
    let mut machine = Machine::open(builder, None, log).unwrap();
    let socket = machine.connect(0, "10.0.0.1:1000".parse().unwrap());
    let mut register = Register::new(1, 0, &ProfileOptions::default());
    for _ in 0..4 {
        let mut message = Vec::new();
        register.next_message(&mut message).unwrap();
        socket.deliver(&message);
    }
    let after = |machine: &mut Machine, hours: u64| {
        for _ in 0..300 {
            env.advance(hours * HOUR_US / 300, (hours * HOUR_US / 300) as i64);
            machine.port_turn(0, 8);
            machine.worker_turn(0);
            for _ in 0..4 {
                machine.writer_turn();
                machine.registers_turn();
            }
        }
        let mut records = machine.reader().records_from(Position::START, machine.engine().durable().lsn());
        let mut kinds = Vec::new();
        while let Some((record, _)) = records.next().unwrap() {
            kinds.push(record.kind());
        }
        let mut feed = machine.engine().events(&Capability::operator(), Position::START);
        let events = feed.next_batch(1000, Duration::ZERO).unwrap();
        let ticks = kinds.iter().filter(|kind| **kind == RecordKind::Tick).count();
        let overdue: Vec<u64> = events
            .iter()
            .filter(|it| it.kind.name() == "shift.overdue")
            .map(|it| it.position.as_u64())
            .collect();
        (kinds.len(), ticks, overdue)
    };
    assert_eq!(after(&mut machine, 0), (4, 0, vec![]));
    assert_eq!(after(&mut machine, 21), (4, 0, vec![]));
    // After 22 hours the shift is yellow, after 24 it is too long and the register silent, after 72 it is silent for long and red
    // for that, after 60 days it is a risk; and then nothing happens any more.
    assert_eq!(after(&mut machine, 2), (5, 1, vec![]));
    let (records, ticks, overdue) = after(&mut machine, 2);
    assert!(
        (6..=7).contains(&records) && records == 4 + ticks && overdue.len() == 1,
        "{records} {ticks} {overdue:?}"
    );
    let (long, more, _) = after(&mut machine, 100);
    assert!((1..=2).contains(&(long - records)) && long == 4 + more);
    assert_eq!(after(&mut machine, 10_000), (long + 1, more + 1, overdue.clone()));
    assert_eq!(after(&mut machine, 10_000), (long + 1, more + 1, overdue));
}

// The tester is tested: each bug that is put in on purpose is found.
#[cfg(ofd_planted)]
#[test]
fn every_planted_bug_is_found() {
    use ofd_engine::testing::{Planted, plant};
    let mut missed = Vec::new();
    for bug in [
        Planted::AnswersAtAppend,
        Planted::StoresResends,
        Planted::SavesBeforeDelivery,
        Planted::EventsSavedBeforeDelivery,
        Planted::AnswersWithAnotherTime,
        Planted::AcceptsConflicts,
        Planted::AnswersWhileFailed,
        Planted::TaxSendsBeforeReceipts,
        Planted::TaxTurnsRetriesRound,
        Planted::TaxForgetsAtStart,
        Planted::NoticesBeforeRecords,
        Planted::NoticesForgetAtStart,
        Planted::NoticeIdsDrawnAnew,
        Planted::TaxPassesPauses,
        Planted::TaxResendsAtStart,
        Planted::NoticesPassQuietHours,
        Planted::DigestsRepeatTheirLast,
        Planted::NoticesGivenUpEarly,
    ] {
        plant(bug);
        let found = (1..=200).find_map(|seed| run(&scenario(seed)).err().map(|broken| (seed, broken)));
        match found {
            Some((seed, broken)) => say(&format!("planted {bug:?}: found by seed {seed}: {broken}")),
            None => missed.push(bug),
        }
    }
    plant(Planted::Nothing);
    assert!(missed.is_empty(), "not found: {missed:?}");
}
