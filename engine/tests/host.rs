//! The host's side: crypto that is slow, down or says no, admission, access, submission, feeds and cursors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Till, code_and_time, drive, fresh, life, number};
use ofd_engine::host::{
    Admission, AdmissionRequest, Admitted, Answering, Capability, ConfirmOutcome, ConfirmRequest,
    ConfirmSigns, DirectorySnapshot, DriveCrypto, MarkingRelay, OpenOutcome, OpenRequest, conformance,
};
use ofd_engine::{Outcome, Position, Unanswered};

/// An answer that another thread gives later.
struct Later<T> {
    state: Arc<Mutex<(Option<T>, Option<Waker>)>>,
}

impl<T: Send> Future for Later<T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.state.lock().unwrap();
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

type Job = (Instant, Box<dyn FnOnce() + Send>);

/// A crypto module behind a wire: each call takes `delay`, `up` says whether it answers at all.
struct RemoteCrypto {
    delay: Duration,
    up: Arc<AtomicBool>,
    forged_number: Option<u32>,
    calls: AtomicU64,
    jobs: Mutex<Sender<Job>>,
}

impl RemoteCrypto {
    fn new(delay: Duration, up: Arc<AtomicBool>) -> Self {
        let (jobs, queue) = channel::<Job>();
        // Calls come with the same delay, so the queue is in the order of due times.
        std::thread::spawn(move || {
            for (due, job) in queue {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                job();
            }
        });
        Self { delay, up, forged_number: None, calls: AtomicU64::new(0), jobs: Mutex::new(jobs) }
    }

    fn later<T: Send + 'static>(&self, value: T) -> Answering<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(Mutex::new((None, None::<Waker>)));
        let theirs = Arc::clone(&state);
        let job = Box::new(move || {
            let mut state = theirs.lock().unwrap();
            state.0 = Some(value);
            if let Some(waker) = state.1.take() {
                waker.wake();
            }
        });
        self.jobs.lock().unwrap().send((Instant::now() + self.delay, job)).unwrap();
        Box::pin(Later { state })
    }
}

const SIGNS: ConfirmSigns =
    ConfirmSigns { operator_sign: [0x88, 6, 1, 2, 3, 4, 5, 6], message_sign: [0x82, 6, 6, 5, 4, 3, 2, 1] };

impl DriveCrypto for RemoteCrypto {
    fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>> {
        let up = self.up.load(Ordering::Relaxed);
        let outcome = |it: &OpenRequest| {
            let number = it.container.get(17..20).map(|it| u32::from_be_bytes([0, it[0], it[1], it[2]]));
            match (up, number) {
                (false, _) => OpenOutcome::Unavailable,
                (true, number) if number.is_some() && number == self.forged_number => OpenOutcome::Forged,
                (true, _) => OpenOutcome::Ok(None),
            }
        };
        self.later(batch.iter().map(outcome).collect())
    }
    fn confirm(&self, batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>> {
        let up = self.up.load(Ordering::Relaxed);
        let outcome = if up { ConfirmOutcome::Ok(SIGNS) } else { ConfirmOutcome::Unavailable };
        self.later(batch.iter().map(|_| outcome).collect())
    }
}

fn up() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

/// A module five milliseconds away costs latency, not throughput: 2,000 documents one by one would take 20 s.
#[test]
fn a_crypto_module_five_milliseconds_away_is_fed_in_batches() {
    let (_dir, builder) = fresh();
    let crypto = Arc::new(RemoteCrypto::new(Duration::from_millis(5), up()));
    let engine = builder.crypto(crypto.clone()).open().unwrap();
    let frames: Vec<_> = (0..50).flat_map(|register| life(21, register, 40)).map(Bytes::from).collect();
    let started = Instant::now();
    let tickets: Vec<_> = frames.chunks(100).map(|it| engine.submit_batch(it.to_vec()).unwrap()).collect();
    let outcomes: Vec<_> = tickets.into_iter().flat_map(ofd_engine::Tickets::wait).collect();
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Answered { code: 0, .. })));
    assert_eq!(outcomes.len(), 2_000);
    let calls = crypto.calls.load(Ordering::Relaxed);
    assert!(calls < 400, "{calls} calls for 2,000 documents are no batches");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let Outcome::Answered { message, .. } = &outcomes[7] else { panic!("answered above") };
    assert!(message.windows(8).any(|it| it == SIGNS.operator_sign), "1078 comes from the module");
    assert!(message.windows(8).any(|it| it == SIGNS.message_sign), "so does the trailer");
}

/// A module that is down: no byte, nothing refused, nothing lost; all is delivered when it is back.
#[test]
fn a_crypto_module_that_is_down_closes_unanswered_and_loses_nothing() {
    let (_dir, builder) = fresh();
    let working = up();
    let crypto = Arc::new(RemoteCrypto::new(Duration::from_millis(1), Arc::clone(&working)));
    let engine = builder.crypto(crypto).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(22, 0, 12);
    let mut till = Till::connect(address);
    for message in &messages[..4] {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    working.store(false, Ordering::Relaxed);
    for _ in 0..5 {
        assert!(Till::connect(address).ask(&messages[4]).is_none());
        assert!(Till::connect(address).ask(&messages[2]).is_none(), "a known one is not signed either");
    }
    assert_eq!(engine.status().unwrap().documents, 4);
    working.store(true, Ordering::Relaxed);
    let mut till = Till::connect(address);
    for message in &messages {
        assert_eq!(code_and_time(&till.ask(message).unwrap()).0, 0);
    }
    assert_eq!(engine.status().unwrap().documents, 12);
}

/// The same under load and for longer: `OFD_DOWN_SECONDS` says how long the module is down (default 2). The
/// registers knock every half second, as real ones do.
#[test]
fn an_outage_of_the_crypto_module_loses_and_refuses_nothing() {
    let down: u64 = std::env::var("OFD_DOWN_SECONDS").map_or(2, |it| it.parse().unwrap());
    let (_dir, builder) = fresh();
    let working = up();
    let crypto = Arc::new(RemoteCrypto::new(Duration::from_millis(5), Arc::clone(&working)));
    let engine = builder.crypto(crypto).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut options = ofd_emit::EmitOptions::new(address, 50, 40, 221);
    options.retry.attempts = u32::MAX;
    let progress = Arc::new(ofd_emit::Progress::default());
    let hooks = ofd_emit::EmitHooks { progress: Some(Arc::clone(&progress)), journal: None };
    let load = std::thread::spawn(move || ofd_emit::run_on_threads(options, hooks, 1).unwrap());
    while progress.confirmed() < 300 {
        std::thread::sleep(Duration::from_millis(5));
    }
    working.store(false, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(down));
    let confirmed_while_down = progress.confirmed();
    working.store(true, Ordering::Relaxed);
    let report = load.join().unwrap();
    assert!(confirmed_while_down < 50 * 43, "the module went down too late to matter");
    assert_eq!((report.confirmed, report.refused, report.unanswered), (50 * 43, 0, 0), "{report:?}");
    assert_eq!(engine.status().unwrap().documents, 50 * 43);
    assert!(report.resent >= 50, "{} knocks at a closed door", report.resent);
}

/// A module that never answers is given up after the time-out.
#[test]
fn a_crypto_module_that_hangs_is_given_up() {
    let (_dir, builder) = fresh();
    let crypto = Arc::new(RemoteCrypto::new(Duration::from_secs(3_600), up()));
    let engine = builder.crypto(crypto).crypto_timeout_us(200_000).open().unwrap();
    let outcome = engine.submit_batch(vec![Bytes::from(life(23, 0, 1).remove(0))]).unwrap().wait();
    assert_eq!(outcome, [Outcome::Unanswered(Unanswered::CryptoUnavailable)]);
}

/// A definite no: kept in quarantine, answered 11, the same again for the same bytes.
#[test]
fn a_forged_message_is_kept_and_answered_11() {
    let (_dir, builder) = fresh();
    let mut crypto = RemoteCrypto::new(Duration::from_millis(1), up());
    crypto.forged_number = Some(2);
    let engine = builder.crypto(Arc::new(crypto)).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(24, 0, 3);
    let mut till = Till::connect(address);
    let answers: Vec<_> = messages.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    assert_eq!(answers.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 11, 0]);
    assert_eq!(code_and_time(&till.ask(&messages[1]).unwrap()), answers[1]);
    let status = engine.status().unwrap();
    assert_eq!((status.documents, status.quarantined), (2, 1));
}

/// A verified document wins over an unverified one under the same number and is answered 0.
#[test]
fn a_verified_document_wins_over_an_unverified_one() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let message = life(25, 0, 1).remove(0);
    let forged = Bytes::from(common::altered(&message));
    assert!(matches!(
        engine.submit_batch(vec![forged.clone()]).unwrap().wait()[..],
        [Outcome::Answered { code: 0, .. }]
    ));
    drop(engine);
    let crypto = Arc::new(RemoteCrypto::new(Duration::from_millis(1), up()));
    let engine = ofd_engine::Engine::builder(dir.path()).crypto(crypto).open().unwrap();
    assert!(matches!(
        engine.submit_batch(vec![Bytes::from(message.clone())]).unwrap().wait()[..],
        [Outcome::Answered { code: 0, .. }]
    ));
    let found = engine.find(&Capability::operator(), drive(&message), number(&message)).unwrap();
    assert_eq!(found.len(), 2, "both are kept");
}

struct Gate(AtomicU64);

impl Admission for Gate {
    fn admit(&self, _directory: &DirectorySnapshot, request: &AdmissionRequest) -> Admitted {
        match request.number {
            1 if self.0.load(Ordering::Relaxed) == 0 => Admitted::Defer,
            2 => Admitted::Flag(77),
            _ => Admitted::Accept,
        }
    }
}

/// Admission defers without a byte and flags without a refusal.
#[test]
fn admission_defers_and_flags_and_never_refuses() {
    let (_dir, builder) = fresh();
    let gate = Arc::new(Gate(AtomicU64::new(0)));
    let engine = builder.admission(gate.clone()).open().unwrap();
    let messages: Vec<_> = life(26, 0, 2).into_iter().map(Bytes::from).collect();
    let deferred = engine.submit_batch(vec![messages[0].clone()]).unwrap().wait();
    assert_eq!(deferred, [Outcome::Unanswered(Unanswered::Deferred)]);
    gate.0.store(1, Ordering::Relaxed);
    let outcomes = engine.submit_batch(messages.clone()).unwrap().wait();
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Answered { code: 0, .. })));
    let found = engine.find(&Capability::operator(), drive(&messages[1]), 2).unwrap();
    assert_eq!(found[0].envelope().unwrap().reason, 77);
}

struct Echo;

impl MarkingRelay for Echo {
    fn relay(&self, message: Bytes) -> Answering<Option<Bytes>> {
        ofd_engine::host::answered(Some(message))
    }
}

/// What the relay gives back goes to the register as it is.
#[test]
fn the_marking_relay_speaks_for_itself() {
    let (_dir, builder) = fresh();
    let engine = builder.marking(Arc::new(Echo)).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut message = life(27, 0, 1).remove(0);
    message[..6].copy_from_slice(&[0xDD, 0x80, 0xCA, 0xA1, 0x82, 0xA2]);
    assert_eq!(Till::connect(address).ask(&message).unwrap(), message);
    // A connection that asks and closes its half is ended once it is answered, on a quiet port too.
    let mut till = Till::connect(address);
    till.send(&message);
    till.finish_sending();
    assert_eq!(till.answer().unwrap(), message);
    assert!(till.answer().is_none());
}

/// A test drive may be reset by its maker and begin again at number 1: a new generation, not a conflict. A drive in
/// production may not.
#[test]
fn a_test_drive_may_begin_a_new_generation() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let of_test = |seed| {
        let options = ofd_emit::ProfileOptions { test_drives: true, ..ofd_emit::ProfileOptions::default() };
        let mut register = ofd_emit::Register::new(seed, 0, &options);
        (0..6)
            .map(|_| {
                let mut message = Vec::new();
                register.next_message(&mut message).unwrap();
                message
            })
            .collect::<Vec<_>>()
    };
    let first = of_test(31);
    // The same drive in another life: every sign (1077) differs.
    let second: Vec<_> = first.iter().map(|it| common::altered(it)).collect();
    let mut till = Till::connect(address);
    let mut codes = |messages: &[Vec<u8>]| {
        messages.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect::<Vec<_>>()
    };
    let answers = codes(&first);
    let again = codes(&second);
    assert!(answers.iter().chain(&again).all(|it| it.0 == 0), "{answers:?} {again:?}");
    assert_eq!(codes(&second), again, "resent within its generation");
    assert_eq!(codes(&first), answers, "resent from the life before");
    assert_eq!(engine.status().unwrap().documents, 12);
    drop(engine);
    let engine = ofd_engine::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let mut till = Till::connect(address);
    let later: Vec<_> = second.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    assert_eq!(later, again, "the generation survives a restart");
    let before: Vec<_> = first.iter().map(|it| code_and_time(&till.ask(it).unwrap())).collect();
    assert_eq!(before, answers, "and so does the one before");
    assert_eq!(engine.status().unwrap().documents, 12);

    let prod = life(31, 1, 2);
    assert_eq!(code_and_time(&till.ask(&prod[0]).unwrap()).0, 0);
    assert_eq!(code_and_time(&till.ask(&common::altered(&prod[0])).unwrap()).0, 14);
}

/// A rule that the host lists is answered 14, with the rule in the record; without a list the same document is
/// answered 0.
#[test]
fn only_a_listed_rule_refuses() {
    let mut message = life(32, 0, 1).remove(0);
    // The user's INN (1018) with a wrong check digit: rule B5.
    let at = message.windows(4).position(|it| it == [0xFA, 0x03, 0x0C, 0x00]).unwrap() + 4;
    message[at] = if message[at] == b'9' { b'8' } else { message[at] + 1 };
    let message = common::with_crc(message);
    for (rules, code) in [(vec![], 0), (vec!["B5"], 14)] {
        let (_dir, builder) = fresh();
        let engine = builder.refuse(rules).open().unwrap();
        let outcome = engine.submit_batch(vec![Bytes::from(message.clone())]).unwrap().wait();
        assert!(matches!(outcome[0], Outcome::Answered { code: got, .. } if got == code), "{outcome:?}");
        let found = engine.find(&Capability::operator(), drive(&message), number(&message)).unwrap();
        let detail = String::from_utf8_lossy(found[0].envelope().unwrap().detail).into_owned();
        assert_eq!(detail, if code == 14 { "refused by B5" } else { "" });
    }
    let (_dir, builder) = fresh();
    let unknown = builder.refuse(["Z9"]).open();
    assert_eq!(unknown.unwrap_err().kind(), ofd_engine::ErrorKind::Fix);
}

/// Nobody waits for an engine that has ended: tickets whose answer hangs at the crypto module are settled.
#[test]
fn tickets_are_settled_when_the_engine_ends() {
    struct SignsNothing;
    impl DriveCrypto for SignsNothing {
        fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>> {
            ofd_engine::host::answered(batch.iter().map(|_| OpenOutcome::Ok(None)).collect())
        }
        fn confirm(&self, _batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>> {
            Box::pin(std::future::pending())
        }
    }
    let (_dir, builder) = fresh();
    let engine = builder.crypto(Arc::new(SignsNothing)).crypto_timeout_us(60_000_000).open().unwrap();
    let tickets = engine.submit_batch(vec![Bytes::from(life(33, 0, 1).remove(0))]).unwrap();
    engine.shutdown().unwrap();
    assert_eq!(tickets.wait(), [Outcome::Unanswered(Unanswered::Stopping)]);
    let late = engine.submit_batch(vec![Bytes::new()]);
    assert!(late.is_err() || late.unwrap().wait() == [Outcome::Unanswered(Unanswered::Stopping)]);
}

/// So many documents under one number are no documents: the flood is stopped, the drive is not.
#[test]
fn a_flood_of_variants_is_stopped() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let messages = life(34, 0, 2);
    let mut variant = messages[0].clone();
    let at = variant.windows(4).position(|it| it == [0x35, 0x04, 0x06, 0x00]).unwrap() + 4 + 2;
    let mut stopped = 0;
    for n in 0..40u32 {
        variant[at..at + 4].copy_from_slice(&n.to_be_bytes());
        variant = common::with_crc(variant);
        let outcome = engine.submit_batch(vec![Bytes::from(variant.clone())]).unwrap().wait();
        stopped += usize::from(outcome == [Outcome::Unanswered(Unanswered::TooManyVariants)]);
    }
    assert_eq!((stopped, engine.status().unwrap().documents), (24, 16));
    let outcome = engine.submit_batch(vec![Bytes::from(messages[1].clone())]).unwrap().wait();
    assert!(matches!(outcome[0], Outcome::Answered { code: 0, .. }));
}

/// A feed gives every document once and in order, from any position, to whom it belongs.
#[test]
fn a_feed_gives_all_and_only_what_may_be_seen() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let lives: Vec<_> = (0..4).map(|register| life(28, register, 25)).collect();
    let frames: Vec<_> =
        (0..25).flat_map(|at| lives.iter().map(move |it| Bytes::from(it[at].clone()))).collect();
    let outcomes = engine.submit_batch(frames.clone()).unwrap().wait();
    let positions: Vec<_> = outcomes
        .iter()
        .map(|it| match it {
            Outcome::Answered { position, .. } => *position,
            other => panic!("{other:?}"),
        })
        .collect();
    let operator = Capability::operator();
    let mut feed = engine.feed(&operator, Position::START);
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let batch = feed.next_batch(7, Duration::from_secs(5)).unwrap();
        assert!(!batch.is_empty(), "the feed stopped at {}", seen.len());
        seen.extend(batch.iter().map(|it| (it.position(), it.container().to_vec())));
    }
    assert_eq!(seen.iter().map(|it| it.0).collect::<Vec<_>>(), positions);
    assert!(seen.iter().zip(&frames).all(|(it, frame)| it.1 == frame[30..]));
    assert!(feed.next_batch(7, Duration::from_millis(20)).unwrap().is_empty());

    let half = positions[49];
    let mut feed = engine.feed(&operator, half);
    assert_eq!(feed.next_batch(1, Duration::ZERO).unwrap()[0].position(), positions[50]);

    let first = engine.find(&operator, drive(&frames[0]), 1).unwrap();
    let inn = first[0].inn().unwrap();
    let mine = Capability::users([inn.clone()]);
    let mut feed = engine.feed(&mine, Position::START);
    let mut count = 0;
    loop {
        let batch = feed.next_batch(50, Duration::from_millis(20)).unwrap();
        if batch.is_empty() {
            break;
        }
        assert!(batch.iter().all(|it| it.inn().as_deref() == Some(&inn)));
        count += batch.len();
    }
    assert!((25..100).contains(&count), "{count} documents of one user");
    let stranger = Capability::users(["000000000000".to_owned()]);
    assert!(engine.find(&stranger, drive(&frames[0]), 1).unwrap().is_empty());

    let cursor = engine.cursor("reports");
    assert_eq!(cursor.position(), Position::START);
    cursor.save(half).unwrap();
    assert!(cursor.save(positions[3]).is_err(), "a cursor does not go back");
    assert!(cursor.save(Position::new(ofd_engine::Lsn::new(1 << 40))).is_err(), "nor past what is durable");
    drop(engine);
    let engine = ofd_engine::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    assert_eq!(engine.cursor("reports").position(), half);
    let mut feed = engine.feed(&operator, half);
    assert_eq!(feed.next_batch(1, Duration::ZERO).unwrap()[0].position(), positions[50]);
}

/// `submit` is `submit_batch` of one, and answers what the wire would.
#[test]
fn submit_answers_like_the_wire() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let message = life(29, 0, 1).remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(engine.submit(Bytes::from(message.clone()))).unwrap();
    let Outcome::Answered { message: answer, code: 0, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(Till::connect(address).ask(&message).unwrap(), answer);
}

/// One process owns a directory.
#[test]
fn a_second_engine_on_the_same_directory_is_busy() {
    let (dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let second = ofd_engine::Engine::builder(dir.path()).open();
    assert_eq!(second.unwrap_err().kind(), ofd_engine::ErrorKind::Busy);
    engine.shutdown().unwrap();
    drop(engine);
    ofd_engine::Engine::builder(dir.path()).open().unwrap();
}

/// A host may open its engine where it must not wait: an error is one there, and no panic.
#[test]
fn an_engine_that_does_not_open_says_so_inside_a_runtime_too() {
    let (dir, builder) = fresh();
    let _first = builder.open().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let second = runtime.block_on(async { ofd_engine::Engine::builder(dir.path()).open() });
    assert_eq!(second.unwrap_err().kind(), ofd_engine::ErrorKind::Busy);
}

/// The stand-ins pass the checks that hosts run over their own.
#[test]
fn the_stand_ins_conform() {
    let message = life(30, 0, 1).remove(0);
    let sample = OpenRequest {
        drive: drive(&message),
        session: ofd_engine::codec::SessionHeader::decode(message[..30].try_into().unwrap()).unwrap(),
        container: Bytes::from(message[30..].to_vec()),
    };
    conformance::drive_crypto(&ofd_engine::host::PlainCrypto, &sample);
    conformance::drive_crypto(&RemoteCrypto::new(Duration::from_millis(1), up()), &sample);
    conformance::directory(&ofd_engine::host::EmptyDirectory::default());
    conformance::admission(&ofd_engine::host::AcceptAll, drive(&message));
    conformance::admission(&Gate(AtomicU64::new(0)), drive(&message));
}

/// The short way of a lonely document and the long way of several take turns here, and registers send over TCP besides: each
/// document must be answered once, and stored once, whichever way it went.
#[test]
fn documents_one_by_one_from_several_threads() {
    const THREADS: u32 = 4;
    const DOCUMENTS: usize = 150;
    let (_dir, builder) = fresh();
    let engine = builder.workers(2).open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let submit = |register: u32| {
        for message in life(41, register, DOCUMENTS) {
            let message = Bytes::from(message);
            let first = engine.submit_batch(vec![message.clone()]).unwrap().wait();
            let [Outcome::Answered { code: 0, message: answer, .. }] = first.as_slice() else {
                panic!("not answered: {first:?}");
            };
            if message.len().is_multiple_of(3) {
                // A resend is answered alike.
                let again = engine.submit_batch(vec![message]).unwrap().wait();
                assert!(
                    matches!(again.as_slice(), [Outcome::Answered { message, .. }] if message == answer),
                    "{again:?}"
                );
            }
        }
    };
    std::thread::scope(|scope| {
        for register in 0..THREADS {
            scope.spawn(move || submit(register));
        }
        scope.spawn(move || {
            let mut till = Till::connect(address);
            for message in life(41, THREADS, DOCUMENTS) {
                assert_eq!(code_and_time(&till.ask(&message).unwrap()).0, 0);
            }
        });
    });
    let status = engine.status().unwrap();
    let all = u64::from(THREADS + 1) * DOCUMENTS as u64;
    assert_eq!((status.documents, status.stored, status.unanswered), (all, all, 0));
    assert_eq!(status.answered, all + status.known);
    engine.shutdown().unwrap();
}

/// A host that is in the middle of it when the engine ends must get its ticket settled, not wait for ever; and what it was
/// told is stored must be there.
#[test]
fn a_lonely_document_and_the_end() {
    for round in 0..20 {
        let (dir, builder) = fresh();
        let engine = builder.open().unwrap();
        let messages: Vec<Bytes> = life(42, round, 400).into_iter().map(Bytes::from).collect();
        let answered = std::thread::scope(|scope| {
            let host = scope.spawn(|| {
                let answered = messages.iter().map_while(|message| {
                    let outcome = engine.submit_batch(vec![message.clone()]).ok()?.wait().pop()?;
                    match outcome {
                        Outcome::Answered { position, .. } => Some(position),
                        _ => None,
                    }
                });
                answered.collect::<Vec<Position>>()
            });
            std::thread::sleep(Duration::from_millis(u64::from(round)));
            engine.shutdown().unwrap();
            host.join().unwrap()
        });
        drop(engine);
        let engine = ofd_engine::Engine::builder(dir.path()).open().unwrap();
        let durable = engine.durable();
        assert!(answered.iter().all(|position| *position <= durable));
        assert!(engine.status().unwrap().documents >= answered.len() as u64);
    }
}
