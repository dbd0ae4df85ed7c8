//! The leg to the tax service in a running engine: a service in process that does what services do, restarts, retention.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a failed test may panic"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ofd_emit::ProfileOptions;
use ofd_engine::codec::DriveNumber;
use ofd_engine::host::{Answering, Capability, TaxDocument, TaxReceipt, TaxService, TaxStatus, answered};
use ofd_engine::storage::status::StatusKind;
use ofd_engine::tax::{TaxCommand, TaxOptions, TaxState};
use ofd_engine::{Engine, EngineBuilder, Fold};

use common::{fresh, lives_of};

#[derive(Default)]
struct Account {
    down: bool,
    /// The answer to a batch that was taken does not come.
    mute: u32,
    taken: BTreeMap<DriveNumber, Vec<u32>>,
    known: BTreeMap<(DriveNumber, u32), [u8; 32]>,
    bodies: Vec<Bytes>,
    verdicts: Vec<TaxStatus>,
    duplicates: u32,
    batches: u32,
}

/// A service that lives in this process.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Account>>);

impl Service {
    fn with<T>(&self, look: impl FnOnce(&mut Account) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

fn verdict(number: u32, id: String, again: bool) -> TaxStatus {
    match number % 7 {
        3 => TaxStatus::Refused { id, code: 507, tag: Some(1020) },
        4 => TaxStatus::Warned { id, code: 502 },
        _ if again => TaxStatus::Duplicate { id },
        _ => TaxStatus::Accepted { id },
    }
}

impl TaxService for Service {
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>> {
        self.with(|it| {
            it.batches += 1;
            if it.down {
                return answered(vec![TaxReceipt::Unavailable; batch.len()]);
            }
            let mut receipts = Vec::new();
            for document in batch {
                let key = (document.drive, document.number);
                let id = format!("{}/{}", document.drive, document.number);
                match it.known.get(&key) {
                    Some(hash) => {
                        assert_eq!(*hash, document.hash, "what is sent again bears the same hash");
                        it.duplicates += 1;
                        it.verdicts.push(verdict(document.number, id.clone(), true));
                    }
                    None => {
                        it.known.insert(key, document.hash);
                        it.taken.entry(document.drive).or_default().push(document.number);
                        it.bodies.push(document.json.clone());
                        it.verdicts.push(verdict(document.number, id.clone(), false));
                    }
                }
                receipts.push(TaxReceipt::Sent { id });
            }
            if it.mute > 0 {
                it.mute -= 1;
                return Box::pin(std::future::pending());
            }
            answered(receipts)
        })
    }

    fn poll(&self) -> Answering<Vec<TaxStatus>> {
        self.with(|it| {
            let mut verdicts = if it.down { Vec::new() } else { std::mem::take(&mut it.verdicts) };
            // Out of order, and the first one twice.
            verdicts.reverse();
            verdicts.extend(verdicts.first().cloned());
            answered(verdicts)
        })
    }
}

fn fast() -> TaxOptions {
    TaxOptions {
        back_off_min_us: 2_000,
        back_off_max_us: 20_000,
        poll_us: 5_000,
        call_timeout_us: 300_000,
        verdict_timeout_us: 2_000_000,
        checkpoint_after: 100,
        batch_documents: 20,
        batch_drive_documents: 5,
        ..TaxOptions::default()
    }
}

fn open(builder: EngineBuilder, service: &Service) -> Engine {
    builder.tax_service(Arc::new(service.clone())).tax_options(fast()).open().unwrap()
}

fn store(engine: &Engine, lives: &[Vec<Vec<u8>>], numbers: std::ops::Range<usize>) {
    for at in numbers {
        let frames: Vec<Bytes> = lives.iter().map(|life| Bytes::from(life[at].clone())).collect();
        engine.submit_batch(frames).unwrap().wait();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn settled(engine: &Engine, documents: u64) -> bool {
    let totals = engine.tax_overview().totals;
    assert!(totals.stored <= documents, "{totals:?}");
    totals.stored == documents && totals.waiting() == 0
}

fn expect_all(service: &Service, drives: usize, documents: u32) {
    service.with(|it| {
        assert_eq!(it.taken.len(), drives);
        let expected: Vec<u32> = (1..=documents).collect();
        assert!(it.taken.values().all(|numbers| *numbers == expected), "{:?}", it.taken);
    });
}

fn drives_of(service: &Service) -> BTreeSet<DriveNumber> {
    service.with(|it| it.taken.keys().copied().collect())
}

// F004, over restarts: once, in order, joined to the document.
#[test]
fn every_document_reaches_the_service_once_over_restarts_and_has_its_status() {
    let (dir, builder) = fresh();
    let service = Service::default();
    let lives = lives_of(5, 6, 40, |_| ProfileOptions::default());
    service.with(|it| it.mute = 2);
    let mut engine = open(builder, &service);
    for part in 0..4 {
        service.with(|it| it.down = part == 1);
        store(&engine, &lives, part * 10..part * 10 + 10);
        if part != 1 {
            until("documents of a part", || settled(&engine, (part as u64 + 1) * 60));
        }
        if part != 3 {
            engine.shutdown().unwrap();
            drop(engine);
            engine = open(Engine::builder(dir.path()).segment_len_bytes(1 << 20), &service);
        }
    }
    until("all documents", || settled(&engine, 240));
    expect_all(&service, 6, 40);
    let operator = Capability::operator();
    let mut refused = 0;
    for drive in drives_of(&service) {
        for number in 1..=40 {
            let state = engine.tax_status(&operator, drive, number).unwrap().unwrap();
            match (number % 7, state) {
                (3, TaxState::Refused(remark)) => {
                    assert_eq!(
                        (remark.kind, remark.code, remark.tag),
                        (StatusKind::Refused, Some(507), Some(1020))
                    );
                    refused += 1;
                }
                (4, TaxState::Warned(remark)) => assert_eq!(remark.code, Some(502)),
                (0 | 1 | 2 | 5 | 6, TaxState::Accepted) => {}
                (_, other) => panic!("{number}: {other:?}"),
            }
        }
        let account = engine.tax_account(&operator, drive);
        assert_eq!((account.stored, account.settled.sum(), account.waiting()), (40, 40, 0));
    }
    assert_eq!(engine.tax_remarks(&operator, None, 1000).len(), refused + 6 * 6);
    assert!(engine.tax_remarks(&Capability::users(["7707083893".to_owned()]), None, 1000).is_empty());
    let days = engine.tax_days();
    assert_eq!(days.values().map(|day| day.stored).sum::<u64>(), 240);
    // The body is the document as the tax service reads it, with its bytes inside.
    service.with(|it| {
        for body in &it.bodies {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap();
            let (form, document) = value.as_object().unwrap().iter().next().unwrap();
            let raw = document["rawData"].as_str().unwrap();
            // FF FF and the length of the header, 28, in base64.
            assert!(raw.starts_with("//8AH"), "{form}: {raw}");
            assert!(document["fiscalDriveNumber"].is_string() && document["messageFiscalSign"].is_number());
        }
    });
    assert!(dir.path().join("tax").read_dir().unwrap().count() > 0, "a checkpoint was written");
    engine.shutdown().unwrap();
}

// An operator has the outbox made anew while documents are under way: the account is the same, and nothing is sent that was settled.
#[test]
fn an_outbox_that_is_made_anew_comes_to_the_same_account() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    assert_eq!(
        engine.rebuild_fold(Fold::Tax, "смена", "сверка").unwrap_err().kind(),
        ofd_engine::ErrorKind::Fix,
        "there is none"
    );
    engine.shutdown().unwrap();
    drop(engine);
    let service = Service::default();
    let lives = lives_of(15, 6, 60, |_| ProfileOptions::default());
    let engine = open(Engine::builder(dir.path()).segment_len_bytes(1 << 20), &service);
    store(&engine, &lives, 0..40);
    until("the first", || settled(&engine, 240));
    let kept: Vec<_> = dir.path().join("tax").read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    assert!(!kept.is_empty());
    let (duplicates, days) = (service.with(|it| it.duplicates), engine.tax_days());
    engine.rebuild_fold(Fold::Tax, "смена", "сверка").unwrap();
    until("the old checkpoints go", || kept.iter().all(|it| !it.exists()));
    until("it is folded again", || settled(&engine, 240));
    assert_eq!(engine.tax_days(), days);
    assert_eq!(service.with(|it| it.duplicates), duplicates, "what is settled is not sent again");
    // In the midst of it, with calls under way and one that never ends.
    service.with(|it| it.mute = 1);
    store(&engine, &lives, 40..50);
    engine.rebuild_fold(Fold::Tax, "смена", "сверка").unwrap();
    store(&engine, &lives, 50..60);
    until("all documents", || settled(&engine, 360));
    expect_all(&service, 6, 60);
    let accounts = drives_of(&service).into_iter().map(|it| engine.tax_account(&Capability::operator(), it));
    assert!(accounts.into_iter().all(|it| (it.stored, it.settled.sum(), it.waiting()) == (60, 60, 0)));
    engine.shutdown().unwrap();
}

// A leg that comes late, or has lost its checkpoint after the log was thinned out, begins with the first document.
#[cfg(feature = "parquet")]
#[test]
fn documents_that_left_the_log_are_sent_from_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let lives = lives_of(6, 4, 120, |_| ProfileOptions::default());
    let builder = |builder: EngineBuilder| builder.log_keep_days(0);
    let engine = builder(Engine::builder(dir.path()).segment_len_bytes(1 << 20)).open().unwrap();
    store(&engine, &lives, 0..100);
    engine.compact(true).unwrap();
    engine.retain(false).unwrap();
    store(&engine, &lives, 100..120);
    engine.shutdown().unwrap();
    drop(engine);
    let service = Service::default();
    let engine = open(builder(Engine::builder(dir.path()).segment_len_bytes(1 << 20)), &service);
    until("all documents", || settled(&engine, 480));
    expect_all(&service, 4, 120);
    // And its ledger comes back from there, too, and has its table.
    engine.compact(true).unwrap();
    let report = engine.verify().unwrap();
    assert!(report.ok, "{report:?}");
    let snapshot = engine.snapshot().unwrap();
    let files = snapshot.archive().files(ofd_engine::storage::columns::Table::Statuses);
    assert_eq!(files.map(|file| file.rows).sum::<u64>(), 2 * 480, "sent and answered, a row each");
    drop(snapshot);
    engine.retain(false).unwrap();
    engine.shutdown().unwrap();
    drop(engine);
    std::fs::remove_dir_all(dir.path().join("tax")).unwrap();
    let engine = open(builder(Engine::builder(dir.path()).segment_len_bytes(1 << 20)), &service);
    until("the ledger", || settled(&engine, 480));
    assert_eq!(service.with(|it| it.duplicates), 0, "nothing was sent again");
    engine.shutdown().unwrap();
}

// A start first reads what was answered before: nothing goes out twice because a process began anew.
#[test]
fn a_restart_without_its_checkpoint_sends_nothing_again() {
    let (dir, builder) = fresh();
    let service = Service::default();
    let lives = lives_of(10, 8, 100, |_| ProfileOptions::default());
    let engine = open(builder, &service);
    store(&engine, &lives, 0..100);
    until("all documents", || settled(&engine, 800));
    engine.shutdown().unwrap();
    drop(engine);
    for keeps in [true, false] {
        if !keeps {
            std::fs::remove_dir_all(dir.path().join("tax")).unwrap();
        }
        let engine = open(Engine::builder(dir.path()).segment_len_bytes(1 << 20), &service);
        until("the ledger", || settled(&engine, 800));
        engine.shutdown().unwrap();
    }
    assert_eq!(service.with(|it| it.duplicates), 0);
    expect_all(&service, 8, 100);
}

// What an operator may have to do at night.
#[test]
fn a_pause_holds_a_drive_and_a_resend_is_answered_as_duplicate() {
    let (_dir, builder) = fresh();
    let service = Service::default();
    let lives = lives_of(7, 2, 30, |_| ProfileOptions::default());
    let engine = open(builder, &service);
    store(&engine, &lives, 0..5);
    until("the first", || settled(&engine, 10));
    let drive = *drives_of(&service).first().unwrap();
    assert!(engine.tax_command(TaxCommand::Pause(Some(drive)), "", "why").is_err());
    engine.tax_command(TaxCommand::Pause(Some(drive)), "ночная смена", "сверка").unwrap();
    until("the pause", || engine.tax_overview().paused_drives == [drive]);
    store(&engine, &lives, 5..30);
    let operator = Capability::operator();
    until("the other drive", || engine.tax_overview().totals.waiting() == 25);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(engine.tax_account(&operator, drive).waiting(), 25);
    assert_eq!(engine.tax_status(&operator, drive, 20).unwrap(), Some(TaxState::Waiting));
    engine.tax_command(TaxCommand::Resume(Some(drive)), "ночная смена", "сверено").unwrap();
    until("all", || settled(&engine, 60));
    expect_all(&service, 2, 30);
    engine.tax_command(TaxCommand::Resend { drive, from: 2, to: 6 }, "ночная смена", "по запросу").unwrap();
    until("the resend", || service.with(|it| it.duplicates) == 5);
    until("its verdicts", || engine.tax_overview().awaiting == 0 && engine.tax_overview().window == 0);
    assert_eq!(engine.tax_status(&operator, drive, 2).unwrap(), Some(TaxState::Accepted));
    assert!(matches!(engine.tax_status(&operator, drive, 3).unwrap(), Some(TaxState::Refused(_))));
    assert_eq!(engine.tax_account(&operator, drive).settled.sum(), 30);
    engine.shutdown().unwrap();
}

// Test drives are nobody's revenue and nothing for the tax service.
#[test]
fn test_drives_and_second_variants_are_not_sent() {
    let (_dir, builder) = fresh();
    let service = Service::default();
    let engine = open(builder, &service);
    let test = ProfileOptions { test_drives: true, ..ProfileOptions::default() };
    let tests = lives_of(8, 1, 5, |_| test);
    let prod = lives_of(9, 1, 5, |_| ProfileOptions::default());
    store(&engine, &tests, 0..5);
    store(&engine, &prod, 0..5);
    let other = Bytes::from(common::altered(&prod[0][4]));
    engine.submit_batch(vec![other]).unwrap().wait();
    until("the live drive", || settled(&engine, 5));
    expect_all(&service, 1, 5);
    engine.shutdown().unwrap();
}
