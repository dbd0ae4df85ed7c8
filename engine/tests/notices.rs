//! Notices of a running engine: from the documents of registers to a channel of the host, over restarts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{lives_of, submit};
use ofd_emit::ProfileOptions;
use ofd_engine::host::{Answering, Capability, Channel, Delivery, DeliveryOutcome, answered};
use ofd_engine::notify::{Subscription, SubscriptionCommand};
use ofd_engine::{Engine, Fold, Imported, OriginalAnswer, Outcome, Position};

const PATIENCE: Duration = Duration::from_secs(20);
/// An address that must be seen by its channel and by nobody else.
const CANARY: &str = "canary-7f3a@shop.example";

/// Remembers what it was given, and fails as often as it is told to.
#[derive(Default)]
struct Memory {
    handed: Mutex<Vec<(u64, String, serde_json::Value)>>,
    taken: Mutex<Vec<serde_json::Value>>,
    /// Deliveries that fail before one is taken.
    failures: Mutex<u32>,
    /// Never answers.
    hangs: bool,
    /// Whoever hands it something waits while this is held.
    holds: Mutex<()>,
    waits: AtomicBool,
}

impl Channel for Memory {
    fn deliver(&self, delivery: Delivery) -> Answering<DeliveryOutcome> {
        if self.hangs {
            return Box::pin(std::future::pending());
        }
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        self.waits.store(true, Ordering::SeqCst);
        drop(self.holds.lock().unwrap());
        self.handed.lock().unwrap().push((delivery.id, delivery.to, body.clone()));
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return answered(DeliveryOutcome::Retry);
        }
        self.taken.lock().unwrap().push(body);
        answered(DeliveryOutcome::Delivered)
    }
}

fn open(dir: &Path, channel: &Arc<Memory>) -> Engine {
    let builder = Engine::builder(dir).operator_inn("7700000190").segment_len_bytes(1 << 20);
    builder
        .checkpoint_after(100)
        .channel_named("memory", Arc::clone(channel) as Arc<dyn Channel>)
        .open()
        .unwrap()
}

fn subscription(id: &str, scope: &str, more: &str) -> SubscriptionCommand {
    let text = format!(
        r#"{{"id":"{id}","scope":{scope},"kinds":["shift.opened","shift.closed","drive.appeared","registration.changed"],
            "channel":"memory","to":"{CANARY}","by":"test"{more}}}"#
    );
    SubscriptionCommand::Set(Box::new(Subscription::from_json(&text).unwrap()))
}

/// Lives of some registers, mixed.
fn lives(registers: u32, documents: usize) -> Vec<Vec<u8>> {
    let options = |_| ProfileOptions { receipts_per_shift: Some(2), ..ProfileOptions::default() };
    let lives = lives_of(5, registers, documents, options);
    (0..documents).flat_map(|at| lives.iter().map(move |life| life[at].clone())).collect()
}

const KINDS: [&str; 4] = ["shift.opened", "shift.closed", "drive.appeared", "registration.changed"];

/// What a list of all events tells behind a position: position, index, kind.
fn expected(engine: &Engine, capability: &Capability, from: Position) -> Vec<(u64, u64, String)> {
    assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
    let mut feed = engine.events(capability, from);
    let mut rows = Vec::new();
    loop {
        let events = feed.next_batch(1_000, Duration::from_millis(200)).unwrap();
        if events.is_empty() {
            return rows;
        }
        let wanted = events.iter().filter(|it| KINDS.contains(&it.kind.name()));
        rows.extend(wanted.map(|it| (it.position.as_u64(), u64::from(it.index), it.kind.name().to_owned())));
    }
}

fn told(channel: &Memory, id: &str) -> Vec<(u64, u64, String)> {
    let taken = channel.taken.lock().unwrap();
    let of = taken.iter().filter(|it| it["subscription"] == id);
    let number = |it: &serde_json::Value| it.as_u64().unwrap();
    of.map(|it| (number(&it["position"]), number(&it["index"]), it["kind"].as_str().unwrap().to_owned()))
        .collect()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// The whole way, over restarts at whatever moment, with a file of the notifier that is new, old, or gone: everything once.
#[test]
fn restarts_lose_nothing_and_tell_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let messages = lives(5, 160);
    let (mut from, mut inn) = (Position::START, String::new());
    for (at, part) in messages.chunks(20).enumerate() {
        let engine = open(dir.path(), &channel);
        if at == 1 {
            from = engine.subscribe(subscription("all", r#"{"all":true}"#, "")).unwrap();
            assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
            inn = engine.registers(&Capability::operator()).iter().find_map(|it| it.card.inn).unwrap();
            engine.subscribe(subscription("mine", &format!(r#"{{"inn":"{inn}"}}"#), "")).unwrap();
        }
        submit(&engine, part);
        if at % 3 == 0 {
            *channel.failures.lock().unwrap() = 1;
        }
        // Some parts come to their end, others are cut off in the middle.
        if at % 4 == 3 {
            let all = expected(&engine, &Capability::operator(), from);
            wait_until("everything is told", || told(&channel, "all").len() == all.len());
        }
        engine.shutdown().unwrap();
        match at % 5 {
            0 if at > 0 => std::fs::remove_file(dir.path().join("notify/state")).unwrap(),
            1 => drop(std::fs::write(dir.path().join("notify/state"), b"00000000\n{}")),
            _ => {}
        }
    }
    let engine = open(dir.path(), &channel);
    let all = expected(&engine, &Capability::operator(), from);
    let mine = expected(&engine, &Capability::users([inn]), from);
    wait_until("everything is told", || {
        told(&channel, "all").len() >= all.len() && told(&channel, "mine").len() >= mine.len()
    });
    assert!(all.len() > 300 && mine.len() > 60, "{} and {}", all.len(), mine.len());
    assert_eq!(told(&channel, "all"), all);
    assert_eq!(told(&channel, "mine"), mine);
    wait_until("it is noted", || engine.notice_status().waiting == 0);
    let handed = channel.handed.lock().unwrap();
    assert!(handed.iter().all(|(_, to, _)| to == CANARY));
    let ids: BTreeSet<u64> = handed.iter().map(|it| it.0).collect();
    assert_eq!(ids.len(), all.len() + mine.len(), "an id for each, also where it was tried again");
    drop(handed);
    engine.shutdown().unwrap();
}

// An alarm that was told must not stand for ever because an archive has ended what it is about, and five years of an archive must
// not send five years of alarms; neither a start nor a fold that is made anew tells any of it again.
#[test]
fn an_import_tells_of_the_end_of_what_was_told_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let lives = lives_of(5, 2, 60, |_| ProfileOptions::default());
    let import = |engine: &Engine, messages: &[Vec<u8>]| {
        let of = |it: &Vec<u8>| Imported::of_message(it.clone().into(), OriginalAnswer::UNKNOWN);
        let outcomes = engine.import_batch(messages.iter().map(of).collect()).unwrap().wait();
        assert!(outcomes.iter().all(|it| matches!(it, Outcome::Kept { .. })));
    };
    let kinds = || -> Vec<String> {
        let taken = channel.taken.lock().unwrap();
        let name = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
        taken.iter().map(|it| format!("{} {}", name(&it["kind"]), name(&it["state"]))).collect()
    };
    let settled = |engine: &Engine| {
        assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
        wait_until("all is told", || {
            let state = &engine.subscriptions()[0];
            state.waiting == 0 && !state.behind && state.told >= engine.durable()
        });
    };
    let engine = open(dir.path(), &channel);
    let text = format!(
        r#"{{"id":"all","scope":{{"all":true}},"kinds":["gap.opened","gap.closed","violation.found"],
            "threshold":{{"violation.found":3}},"channel":"memory","to":"{CANARY}","by":"test"}}"#
    );
    let subscription = Box::new(Subscription::from_json(&text).unwrap());
    engine.subscribe(SubscriptionCommand::Set(subscription)).unwrap();
    submit(&engine, &lives[0][..10]);
    submit(&engine, &lives[0][14..20]);
    // Nobody was told that these are missing.
    import(&engine, &lives[1][..10]);
    import(&engine, &lives[1][14..20]);
    settled(&engine);
    let began = ["gap.opened once", "violation.found began"];
    assert_eq!(kinds(), began);
    engine.shutdown().unwrap();
    let engine = open(dir.path(), &channel);
    import(&engine, &lives[0][10..12]);
    settled(&engine);
    assert_eq!(kinds(), began);
    engine.rebuild_fold(Fold::Registers, "test", "asked").unwrap();
    import(&engine, &lives[0][12..14]);
    import(&engine, &lives[1][10..14]);
    settled(&engine);
    let all = [began.as_slice(), &["gap.closed once", "violation.found ended"]].concat();
    assert_eq!(kinds(), all);
    engine.rebuild_fold(Fold::Registers, "test", "asked").unwrap();
    settled(&engine);
    engine.shutdown().unwrap();
    std::fs::remove_dir_all(dir.path().join("registers")).unwrap();
    let engine = open(dir.path(), &channel);
    submit(&engine, &lives[0][20..24]);
    submit(&engine, &lives[1][20..24]);
    settled(&engine);
    assert_eq!(kinds(), all);
    engine.shutdown().unwrap();
}

// A copy of the directory at any moment is what a crash leaves: from each everything is told, and what comes again has its id.
#[test]
fn a_crash_repeats_at_most_what_was_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let engine = open(dir.path(), &channel);
    engine.subscribe(subscription("all", r#"{"all":true}"#, "")).unwrap();
    let from = engine.subscribe(subscription("again", r#"{"all":true}"#, "")).unwrap();
    engine.subscribe(SubscriptionCommand::Remove { id: "again".into(), by: "test".into() }).unwrap();
    let messages = lives(2, 60);
    let copies = tempfile::tempdir().unwrap();
    for (at, part) in messages.chunks(6).enumerate() {
        submit(&engine, part);
        std::thread::sleep(Duration::from_millis(at as u64 * 7));
        let copy = copies.path().join(at.to_string());
        // What is told when the copy begins may be what was under way; the copy knows at least what was noted before.
        let known = channel.taken.lock().unwrap().len();
        copy_dir(dir.path(), &copy);
        let before: Vec<u64> = channel.taken.lock().unwrap()[..known]
            .iter()
            .map(|it| it["position"].as_u64().unwrap())
            .collect();
        let second = Arc::new(Memory::default());
        let crashed = open(&copy, &second);
        let all = expected(&crashed, &Capability::operator(), from);
        let last = all.last().map_or(0, |it| it.0);
        wait_until("all is told", || {
            let state = &crashed.subscriptions()[0];
            state.waiting == 0 && !state.behind && state.told.as_u64() >= last
        });
        let again = told(&second, "all");
        assert!(again.is_sorted_by(|a, b| a < b), "in order, once");
        let missed = all.iter().filter(|it| !before.contains(&it.0) && !again.contains(it));
        let missed: Vec<_> = missed.filter(|it| !told(&channel, "all").contains(it)).collect();
        assert!(missed.is_empty(), "copy {at}: {missed:?}");
        let twice = again.iter().filter(|it| before.contains(&it.0)).count();
        assert!(twice <= 2, "copy {at}: {twice} told again");
        crashed.shutdown().unwrap();
    }
    engine.shutdown().unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // The log last: what is saved beside it never knows more than it.
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(|it| it.unwrap()).collect();
    entries.sort_by_key(|it| it.file_name().to_string_lossy().starts_with("log"));
    for entry in entries {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            drop(std::fs::copy(entry.path(), to));
        }
    }
}

// Who has lost what he was told asks for it by a position.
#[test]
fn a_replay_goes_on_behind_any_position() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let engine = open(dir.path(), &channel);
    submit(&engine, &lives(3, 30));
    let from = engine.subscribe(subscription("all", r#"{"all":true}"#, "")).unwrap();
    let all = expected(&engine, &Capability::operator(), Position::START);
    // A new one is told nothing of what was before; a replay from the start tells it all.
    assert_eq!(expected(&engine, &Capability::operator(), from), []);
    let replay = |from| SubscriptionCommand::Replay { id: "all".into(), from, by: "test".into() };
    engine.subscribe(replay(Position::START)).unwrap();
    wait_until("all of it", || told(&channel, "all").len() == all.len());
    assert_eq!(told(&channel, "all"), all);
    let ids =
        |from: usize| -> Vec<u64> { channel.handed.lock().unwrap()[from..].iter().map(|it| it.0).collect() };
    let first = ids(0);
    let at = all.len() / 2;
    let behind: BTreeMap<u64, Position> = engine
        .feed(&Capability::operator(), Position::START)
        .next_batch(1_000, PATIENCE)
        .unwrap()
        .iter()
        .map(|it| (it.position().as_u64(), it.position()))
        .collect();
    engine.subscribe(replay(behind[&all[at].0])).unwrap();
    let rest = all.iter().filter(|it| it.0 > all[at].0).count();
    wait_until("the rest", || told(&channel, "all").len() == all.len() + rest);
    assert_eq!(ids(all.len()), first[all.len() - rest..]);
    // What cannot be is refused.
    let unknown = SubscriptionCommand::Remove { id: "nobody".into(), by: "test".into() };
    assert!(engine.subscribe(unknown).is_err());
    let SubscriptionCommand::Set(mut other) = subscription("other", r#"{"all":true}"#, "") else {
        unreachable!()
    };
    other.channel = "pigeon".into();
    let error = engine.subscribe(SubscriptionCommand::Set(other)).unwrap_err().to_string();
    assert!(error.contains("memory") && !error.contains(CANARY), "{error}");
    engine.shutdown().unwrap();
}

// A channel that never answers holds up neither the door nor the end of the engine.
#[test]
fn a_channel_that_hangs_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory { hangs: true, ..Memory::default() });
    let engine = open(dir.path(), &channel);
    engine.subscribe(subscription("all", r#"{"all":true}"#, "")).unwrap();
    submit(&engine, &lives(3, 20));
    let all = expected(&engine, &Capability::operator(), Position::START);
    wait_until("they wait", || engine.notice_status().waiting == all.len());
    let state = engine.subscriptions();
    assert_eq!((state.len(), state[0].waiting, state[0].behind), (1, all.len(), false));
    let begun = Instant::now();
    engine.shutdown().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "the end took {:?}", begun.elapsed());
}

// A file of old events that is damaged keeps whoever asks for them, and nobody else: commands are taken, answers are noted, new
// events are told.
#[test]
fn a_replay_that_cannot_be_read_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let engine = open(dir.path(), &channel);
    let messages = lives(5, 160);
    let (old, new) = messages.split_at(600);
    let early = engine.subscribe(subscription("early", r#"{"all":true}"#, "")).unwrap();
    for part in old.chunks(100) {
        submit(&engine, part);
        assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
    }
    let all = expected(&engine, &Capability::operator(), early);
    wait_until("all of it is told", || told(&channel, "early").len() == all.len());
    let mut files: Vec<_> =
        std::fs::read_dir(dir.path().join("events")).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 2, "{} files", files.len());
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    engine
        .subscribe(SubscriptionCommand::Replay {
            id: "early".into(),
            from: Position::START,
            by: "test".into(),
        })
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let from = engine.subscribe(subscription("new", r#"{"all":true}"#, "")).unwrap();
    submit(&engine, new);
    let all = expected(&engine, &Capability::operator(), from);
    wait_until("the new one is told", || told(&channel, "new").len() == all.len());
    assert_eq!(told(&channel, "new"), all);
    let states = engine.subscriptions();
    assert!(states.iter().any(|it| it.subscription.id == "early" && it.behind), "it was damaged for nothing");
    engine.shutdown().unwrap();
}

// What happens while the notifier is busy lies behind a subscription that was made before it, whatever others want.
#[test]
fn a_new_subscription_is_told_from_its_command_on() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Arc::new(Memory::default());
    let engine = open(dir.path(), &channel);
    let text = r#"{"id":"first","scope":{"all":true},"kinds":["drive.appeared"],"channel":"memory","to":"x","by":"test"}"#;
    let first = SubscriptionCommand::Set(Box::new(Subscription::from_json(text).unwrap()));
    engine.subscribe(first).unwrap();
    let messages = lives(2, 40);
    let (old, new) = messages.split_at(10);
    let held = channel.holds.lock().unwrap();
    submit(&engine, old);
    assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
    wait_until("the notifier waits for the channel", || channel.waits.load(Ordering::SeqCst));
    let from = engine.subscribe(subscription("second", r#"{"all":true}"#, "")).unwrap();
    submit(&engine, new);
    let all = expected(&engine, &Capability::operator(), from);
    drop(held);
    assert!(all.len() > 10);
    wait_until("all is told", || told(&channel, "second").last() == all.last());
    assert_eq!(told(&channel, "second"), all);
    engine.shutdown().unwrap();
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// Addresses are personal data: they are with the channel and in the log of records, and nowhere that people read.
#[test]
fn an_address_appears_in_no_log_line_debug_or_metric() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // For all threads of this process: the notifier has one of its own.
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
    let metrics: Vec<String> = {
        let dir = tempfile::tempdir().unwrap();
        let channel = Arc::new(Memory { failures: Mutex::new(1), ..Memory::default() });
        let engine = open(dir.path(), &channel);
        let command = subscription("all", r#"{"all":true}"#, "");
        assert!(!format!("{command:?}").contains(CANARY));
        engine.subscribe(command).unwrap();
        submit(&engine, &lives(2, 20));
        wait_until("they are told", || channel.taken.lock().unwrap().len() > 3);
        assert!(!format!("{:?}", engine.subscriptions()).contains(CANARY));
        let metrics = common::published(&engine);
        assert!(metrics["ofd_notices_total delivered"] > 0.0 && metrics["ofd_notices_retried_total"] > 0.0);
        engine.shutdown().unwrap();
        metrics.into_keys().collect()
    };
    assert!(!metrics.iter().any(|it| it.contains(CANARY)));
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("segment") || !lines.is_empty(), "nothing was logged");
    assert!(!lines.contains(CANARY));
}
