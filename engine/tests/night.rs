//! The night drill: what goes down at night, and what the engine does until somebody comes. Each page of docs/operations/night
//! names the test that shows what it promises; what is not here stands in `host.rs`, `space.rs` and `faults/`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::bent::Bent;
use common::{Till, code_and_time, life};
use ofd_engine::host::{
    Admission, AdmissionRequest, Admitted, Capability, Directory, DirectoryChange, DirectorySnapshot,
    RegisterEntry,
};
use ofd_engine::{Engine, ErrorKind, Health, Outcome, Position};

const DAY_US: i64 = 86_400_000_000;

fn leaping(dir: &Path, ahead_us: &Arc<AtomicI64>) -> Bent {
    let mut env = Bent::over(dir);
    env.ahead_us = Arc::clone(ahead_us);
    env
}

fn open(dir: &Path, ahead_us: &Arc<AtomicI64>) -> Engine {
    let env = leaping(dir, ahead_us);
    Engine::builder(dir).segment_len_bytes(1 << 20).env(Arc::new(env)).log_keep_days(0).open().unwrap()
}

/// When every document was received, in the order of the log.
fn received(engine: &Engine) -> Vec<i64> {
    let mut feed = engine.feed(&Capability::operator(), Position::START);
    let mut times = Vec::new();
    loop {
        let batch = feed.next_batch(1_000, Duration::ZERO).unwrap();
        if batch.is_empty() {
            return times;
        }
        times.extend(batch.iter().map(ofd_engine::StoredDocument::received_at_us));
    }
}

fn take(engine: &Engine, part: &[Vec<u8>]) {
    let frames = part.iter().map(|it| Bytes::from(it.clone())).collect();
    let outcomes = engine.submit_batch(frames).unwrap().wait();
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Answered { code: 0, .. })), "{outcomes:?}");
}

// The clock leaps ahead by years, back to what it was, and behind: every document is answered, time of the log never goes back,
// and nothing is let go by such a clock.
#[test]
fn a_leap_of_the_clock_confirms_everything_and_lets_nothing_go() {
    let dir = tempfile::tempdir().unwrap();
    let ahead_us = Arc::new(AtomicI64::new(0));
    let engine = open(dir.path(), &ahead_us);
    let messages = life(71, 0, 60);
    let mut parts = messages.chunks(10);
    let mut take_next = |engine: &Engine| take(engine, parts.next().unwrap());
    take_next(&engine);
    engine.compact(true).unwrap();
    engine.retain(true).unwrap();
    for days in [6 * 366, 0, -400] {
        ahead_us.store(days * DAY_US, Ordering::Relaxed);
        take_next(&engine);
        let retained = engine.retain(false);
        assert_eq!(engine.health(), Health::Ready);
        if days == 0 {
            retained.unwrap();
        } else {
            let error = retained.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fix);
            assert!(error.to_string().contains("leapt"), "{error}");
        }
        engine.compact(true).unwrap();
    }
    let times = received(&engine);
    assert_eq!(times.len(), 40);
    assert!(times.is_sorted(), "the time of the log went back");
    engine.shutdown().unwrap();
    drop(engine);

    // A start with the clock set right: it is behind the log, and goes on.
    ahead_us.store(0, Ordering::Relaxed);
    let engine = open(dir.path(), &ahead_us);
    take_next(&engine);
    assert!(received(&engine).is_sorted());
    let verified = engine.verify().unwrap();
    assert!(verified.ok, "{verified:?}");
    // Whoever sends again what was confirmed in the leap is known.
    take(&engine, &messages[10..20]);
    assert_eq!(engine.status().unwrap().documents, 50);
    engine.shutdown().unwrap();
    drop(engine);

    // A start with a clock that is years ahead: what it says of the past is not believed, nor when records bear such a time, nor by
    // the next start, until somebody has looked.
    for years in [13, 6, 6] {
        ahead_us.store(years * 366 * DAY_US, Ordering::Relaxed);
        let engine = open(dir.path(), &ahead_us);
        let error = engine.retain(false).unwrap_err();
        assert!(error.kind() == ErrorKind::Fix && error.to_string().contains("nothing was done"), "{error}");
        engine.compact(true).unwrap();
        engine.shutdown().unwrap();
    }
    let env = leaping(dir.path(), &ahead_us);
    let engine = Engine::builder(dir.path()).env(Arc::new(env)).confirm_clock().open().unwrap();
    assert_eq!(received(&engine).len(), 50);
    engine.retain(true).unwrap();
    ahead_us.fetch_add(3 * DAY_US, Ordering::Relaxed);
    assert!(
        engine.retain(true).unwrap_err().to_string().contains("leapt"),
        "a leap afterwards is another thing"
    );
}

/// The host's directory of registers, which can lose its picture.
struct Fragile {
    whole: Arc<DirectorySnapshot>,
    down: Arc<AtomicBool>,
}

impl Directory for Fragile {
    fn snapshot(&self) -> Arc<DirectorySnapshot> {
        match self.down.load(Ordering::Relaxed) {
            true => Arc::default(),
            false => Arc::clone(&self.whole),
        }
    }
    fn changes(&self, _version: u64) -> Vec<DirectoryChange> {
        Vec::new()
    }
}

/// Flags whom the directory does not know.
struct Known;

impl Admission for Known {
    fn admit(&self, directory: &DirectorySnapshot, request: &AdmissionRequest) -> Admitted {
        match directory.drives.contains_key(&request.drive) {
            true => Admitted::Accept,
            false => Admitted::Flag(404),
        }
    }
}

// The directory has lost its picture, or knows nobody: every document is answered 0 all the same, and flagged, so that somebody
// can look later.
#[test]
fn a_directory_that_is_down_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let messages = life(72, 0, 9);
    let drive = common::drive(&messages[0]);
    let down = Arc::new(AtomicBool::new(false));
    let entry = RegisterEntry {
        rnm: "0000000001012345".to_owned(),
        inn: "7704211201".to_owned(),
        tenant: "shop".to_owned(),
        outlet: None,
        zone_min: Some(180),
        test: false,
        autonomous: false,
        first_number: None,
        valid_from_us: 0,
    };
    let whole = Arc::new(DirectorySnapshot { version: 1, drives: [(drive, entry)].into() });
    let engine = Engine::builder(dir.path())
        .segment_len_bytes(1 << 20)
        .directory(Arc::new(Fragile { whole, down: Arc::clone(&down) }))
        .admission(Arc::new(Known))
        .open()
        .unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    for (part, is_down) in messages.chunks(3).zip([false, true, false]) {
        down.store(is_down, Ordering::Relaxed);
        for message in part {
            assert_eq!(code_and_time(&Till::connect(address).ask(message).unwrap()).0, 0);
        }
    }
    let mut feed = engine.feed(&Capability::operator(), Position::START);
    let stored = feed.next_batch(100, Duration::ZERO).unwrap();
    let reasons: Vec<u16> = stored.iter().map(|it| it.envelope().unwrap().reason).collect();
    assert_eq!(reasons, [0, 0, 0, 404, 404, 404, 0, 0, 0]);
}

// A page that promises what no test shows is believed at night.
#[test]
fn every_page_of_the_night_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages = 0;
    for page in std::fs::read_dir(root.join("docs/operations/night")).unwrap() {
        let path = page.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let drill = text.split_once("\nУчение: ").unwrap_or_else(|| panic!("{}: no drill", path.display())).1;
        let tests: Vec<&str> = drill.split('`').filter(|it| it.contains("::")).collect();
        assert!(!tests.is_empty(), "{}", path.display());
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let source =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{}: no test {test}", path.display());
        }
        pages += 1;
    }
    assert_eq!(pages, 5);
}
