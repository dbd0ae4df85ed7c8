//! Import: documents that somebody else has answered move in, and nothing of them is lost or told anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use bytes::Bytes;
use common::{Till, altered, code_and_time, drive, fresh, life, misfit, number};
use ofd_engine::host::Capability;
use ofd_engine::storage::envelope::{CryptoVerdict, Envelope, Provenance};
use ofd_engine::{Engine, Imported, OriginalAnswer, Outcome};

fn imported(message: &[u8], answer: OriginalAnswer) -> Imported {
    let message = Bytes::copy_from_slice(message);
    Imported { message, bare: false, plain: None, crypto: CryptoVerdict::Unverified, answer }
}

fn answer(code: u8, operator_time: u32) -> OriginalAnswer {
    OriginalAnswer { code: Some(code), operator_time, answered_at_us: i64::from(operator_time) * 1_000_000 }
}

/// Documents kept, and how many of them were new.
fn take(engine: &Engine, documents: Vec<Imported>) -> (usize, usize) {
    let outcomes = engine.import_batch(documents).unwrap().wait();
    let kept = |fresh_only: bool| {
        let one = |it: &&Outcome| matches!(it, Outcome::Kept { fresh, .. } if *fresh || !fresh_only);
        outcomes.iter().filter(one).count()
    };
    (kept(false), kept(true))
}

/// The operator has changed, the register has not: what it asks again is answered as it was, with the same time, also after a
/// restart; and the archive says when and by what.
#[test]
fn a_register_that_moved_in_is_answered_as_before() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let messages = life(1, 0, 30);
    let originals: Vec<_> = messages[..20]
        .iter()
        .map(|it| imported(it, answer(if number(it) == 7 { 14 } else { 0 }, 1_700_000_000 + number(it))))
        .collect();
    assert_eq!(take(&engine, originals), (20, 20));
    let status = engine.status().unwrap();
    assert_eq!((status.documents, status.answered), (20, 0));
    let check = |engine: &Engine| {
        let mut till = Till::connect(engine.listen("127.0.0.1:0").unwrap());
        for message in &messages[..20] {
            let expected = (if number(message) == 7 { 14 } else { 0 }, 1_700_000_000 + number(message));
            assert_eq!(code_and_time(&till.ask(message).unwrap()), expected);
        }
        till
    };
    let mut till = check(&engine);
    for message in &messages[20..] {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    let found = engine.find(&Capability::operator(), drive(&messages[6]), number(&messages[6])).unwrap();
    assert_eq!(found[0].answer_code(), Some(14));
    assert_eq!(found[0].answered_at_us(), (1_700_000_000 + 7) * 1_000_000);
    let record = found[0].payload();
    let envelope: Envelope<'_> = Envelope::decode(&record).unwrap();
    assert_eq!((envelope.provenance, envelope.container), (Provenance::Import, &messages[6][30..]));
    drop(till);
    engine.shutdown().unwrap();
    let engine = Engine::builder(dir.path()).open().unwrap();
    check(&engine);
    assert_eq!(engine.status().unwrap().documents, 30);
}

/// A broken-off import is repeated from its beginning, beside registers that send the same.
#[test]
fn importing_twice_stores_once() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let messages = life(2, 0, 60);
    let mut till = Till::connect(engine.listen("127.0.0.1:0").unwrap());
    for message in &messages[40..] {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    let all = || messages.iter().map(|it| imported(it, answer(0, 5))).collect::<Vec<_>>();
    assert_eq!(take(&engine, all()[..25].to_vec()), (25, 25));
    assert_eq!(take(&engine, all()), (60, 15));
    assert_eq!(take(&engine, all()), (60, 0));
    assert_eq!(engine.status().unwrap().documents, 60);
    // What a register has been answered live stays, whatever an archive says.
    assert_ne!(code_and_time(&till.ask(&messages[50]).unwrap()).1, 5);
}

/// Two archives that disagree: both documents are kept. What is no document is kept in quarantine, and noise is nowhere.
#[test]
fn variants_and_misfits_move_in_too() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let message = &life(3, 0, 1)[0];
    let other = altered(message);
    assert_eq!(take(&engine, vec![imported(message, answer(0, 5)), imported(&other, answer(14, 6))]), (2, 2));
    let found = engine.find(&Capability::operator(), drive(message), 1).unwrap();
    let codes: Vec<_> = found.iter().map(|it| it.answer_code()).collect();
    assert_eq!(codes, [Some(0), Some(14)]);
    let never = OriginalAnswer { code: None, ..OriginalAnswer::UNKNOWN };
    assert_eq!(take(&engine, vec![imported(&misfit(message), never)]), (1, 1));
    assert_eq!(engine.status().unwrap().quarantined, 1);
    let noise = engine.import_batch(vec![imported(&message[..50], never)]).unwrap().wait();
    assert!(matches!(noise[..], [Outcome::Unanswered(_)]), "{noise:?}");
}
