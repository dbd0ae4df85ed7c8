//! A tax service beside the engine, and what was promised to it. It keeps an account of its own of what it was sent, answers when it
//! likes, and knows nothing of the log; what the log says of documents and answers is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use ofd_engine::codec::DriveNumber;
use ofd_engine::host::{Answering, Capability, TaxDocument, TaxReceipt, TaxService, TaxStatus};
use ofd_engine::storage::Env as _;
use ofd_engine::storage::envelope::{Envelope, Provenance, Realm};
use ofd_engine::storage::status::{StatusKind, StatusOf, decode};
use ofd_engine::storage::testing::SimEnv;
use ofd_engine::tax::{Settled, TaxOptions};
use ofd_engine::testing::Turned;

use super::notices::Notices;
use super::operator::{Operator, Resend};
use super::{SECOND, World};
use crate::oracle::Broken;
use crate::rng::Rng;
use crate::watch::Stored;

const NEVER: u64 = u64::MAX;

/// What the service is like and what goes wrong with it, out of 65,536.
#[derive(Clone, Debug)]
pub struct TaxMoods {
    /// For who reads the scenario.
    #[expect(dead_code, reason = "told by `Debug`")]
    pub faults: Vec<&'static str>,
    pub options: TaxOptions,
    /// Microseconds a call takes at most.
    pub delay_us: u64,
    /// Microseconds until a verdict, at most.
    pub verdict_us: u64,
    /// A call finds that the service goes down, for so long at most.
    pub down: (u64, u64),
    /// A batch is taken and its answer does not come; verdicts are given out and do not arrive.
    pub answers_lost: u64,
    /// It takes the first documents of a drive and none behind them.
    pub partly: u64,
    /// A verdict comes twice.
    pub twice: u64,
    /// Verdicts come in any order.
    pub shuffles: bool,
    /// A verdict for what nobody sent.
    pub strays: u64,
    /// A warning, a quarantine or a refusal instead of an acceptance.
    pub refuses: u64,
    /// A document that comes again gets another id.
    pub new_ids: bool,
    /// One register in so many has a test drive; 0: none.
    pub test_drives: u64,
    /// How often an operator pauses something or has it sent again.
    pub commands: u64,
}

const FAULTS: [&str; 8] =
    ["down", "late", "twice", "out of order", "partly", "answer lost", "stray", "refuses"];

impl TaxMoods {
    /// Half of the worlds have a service, half of these one fault of it at most. Chance of its own.
    pub fn drawn(seed: u64) -> Option<Self> {
        let mut rng = Rng(seed ^ 0x7A_4401);
        if rng.one_in(2) {
            return None;
        }
        let faults = rng.faults(&FAULTS, 4, 6);
        let has = |fault: &str| faults.contains(&fault);
        let options = TaxOptions {
            batch_documents: rng.between(1, 40) as usize,
            batch_bytes: rng.pick(&[4 << 10, 64 << 10, 4 << 20]),
            batch_drive_documents: rng.between(1, 10) as usize,
            batches_in_flight: rng.between(1, 4) as usize,
            window_documents: rng.pick(&[20, 200, 10_000]),
            lane_documents: rng.pick(&[10, 250]),
            back_off_min_us: rng.pick(&[1_000, 100_000]),
            back_off_max_us: rng.pick(&[100_000, 3 * SECOND]),
            poll_us: rng.pick(&[20_000, 200_000, SECOND]),
            verdict_timeout_us: rng.pick(&[5, 20]) * SECOND,
            call_timeout_us: rng.pick(&[1, 5]) * SECOND,
            checkpoint_after: rng.pick(&[5, 40, 1_000_000]),
            ..TaxOptions::default()
        };
        Some(Self {
            delay_us: rng.pick(&[0, 5_000, 300_000]),
            verdict_us: if has("late") { 3 * options.verdict_timeout_us } else { rng.pick(&[0, 500_000]) },
            down: if has("down") { (8_000, rng.pick(&[2, 30]) * SECOND) } else { (0, 0) },
            answers_lost: if has("answer lost") { rng.pick(&[3_000, 20_000]) } else { 0 },
            partly: if has("partly") { 8_000 } else { 0 },
            twice: if has("twice") { 10_000 } else { 0 },
            shuffles: has("out of order"),
            strays: if has("stray") { 8_000 } else { 0 },
            refuses: if has("refuses") { rng.pick(&[4_000, 30_000]) } else { 0 },
            new_ids: rng.one_in(4),
            test_drives: rng.pick(&[0, 4]),
            // From here on, so that the rest is what it was.
            commands: rng.pick(&[0, 0, 4, 12]),
            options,
            faults,
        })
    }

    /// Nothing goes wrong any more; what is refused is not wrong.
    fn calm(&mut self) {
        (self.down, self.answers_lost, self.partly, self.twice, self.strays) = ((0, 0), 0, 0, 0, 0);
        self.verdict_us = self.verdict_us.min(SECOND);
    }
}

/// What the leg did, over a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaxTotals {
    /// Documents that the service took, each for the first time.
    pub sent: u64,
    /// Those that came again.
    pub again: u64,
    /// Refused, in hard and in soft quarantine.
    pub refused: u64,
    pub quarantined: u64,
    pub warned: u64,
    /// Documents of test drives, which stay here.
    pub tests: u64,
    /// What the service did wrong.
    pub away: u64,
    pub lost: u64,
    pub partly: u64,
    pub late: u64,
    pub twice: u64,
    pub shuffled: u64,
    pub strays: u64,
    /// Crashes while a call was under way.
    pub in_flight: u64,
    /// Checks of the accounts against the log.
    pub compared: u64,
    /// Pauses and resends by command, documents that waited for the end of a pause, and those that were sent again.
    pub pauses: u64,
    pub resends: u64,
    pub held: u64,
    pub resent: u64,
}

impl TaxTotals {
    pub fn add(&mut self, one: &Self) {
        let Self { sent, again, refused, quarantined, warned, tests, away, lost, partly, .. } = one;
        self.sent += sent;
        self.again += again;
        self.refused += refused;
        self.quarantined += quarantined;
        self.warned += warned;
        self.tests += tests;
        self.away += away;
        self.lost += lost;
        self.partly += partly;
        self.late += one.late;
        self.twice += one.twice;
        self.shuffled += one.shuffled;
        self.strays += one.strays;
        self.in_flight += one.in_flight;
        self.compared += one.compared;
        self.pauses += one.pauses;
        self.resends += one.resends;
        self.held += one.held;
        self.resent += one.resent;
    }

    /// Each of what has to happen in a run of many seeds.
    pub fn exercised(&self) -> [(&'static str, u64); 18] {
        [
            ("sent", self.sent),
            ("again", self.again),
            ("refused", self.refused),
            ("quarantined", self.quarantined),
            ("warned", self.warned),
            ("test drives", self.tests),
            ("away", self.away),
            ("answers lost", self.lost),
            ("partly", self.partly),
            ("late", self.late),
            ("twice", self.twice),
            ("out of order", self.shuffled),
            ("strays", self.strays),
            ("crashes in flight", self.in_flight),
            ("pauses", self.pauses),
            ("resends", self.resends),
            ("held by a pause", self.held),
            ("sent again by command", self.resent),
        ]
    }
}

type Verdict = (StatusKind, Option<u32>, Option<u16>);

/// A document in the account of the service.
struct Known {
    hash: [u8; 32],
    id: String,
    verdict: Verdict,
    times: u32,
    /// The receipt of the last time has reached the engine.
    heard: bool,
    /// In which life of the engine it came last.
    life: u64,
}

/// A document of a batch, and whether it was taken.
struct Came {
    drive: DriveNumber,
    number: u32,
    hash: [u8; 32],
    taken: bool,
    /// As it was before: heard, and in which life; `None`: it was not known.
    before: Option<(bool, u64)>,
}

struct Inside {
    rng: Rng,
    moods: TaxMoods,
    known: BTreeMap<(DriveNumber, u32), Known>,
    due: Vec<(u64, TaxStatus)>,
    down_until_us: u64,
    hangs: bool,
    next_id: u64,
    life: u64,
    open: u64,
    /// Batches since somebody looked.
    came: Vec<Vec<Came>>,
    totals: TaxTotals,
}

/// The service.
#[derive(Clone)]
pub struct Service {
    env: SimEnv,
    inside: Arc<Mutex<Inside>>,
}

impl Service {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn now(&self) -> u64 {
        self.env.now().mono_us
    }

    fn later<T: Unpin>(&self, at_us: u64, answer: T, heard: Vec<(DriveNumber, u32)>) -> Later<T> {
        self.inside().open += 1;
        Later { service: self.clone(), at_us, answer: Some(answer), heard }
    }
}

/// An answer that comes when its time has come.
struct Later<T> {
    service: Service,
    at_us: u64,
    answer: Option<T>,
    /// Documents whose receipt it is.
    heard: Vec<(DriveNumber, u32)>,
}

impl<T: Unpin> Future for Later<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        if self.service.now() < self.at_us {
            return Poll::Pending;
        }
        let mut inside = self.service.inside();
        for key in &self.heard {
            inside.known.get_mut(key).unwrap().heard = true;
        }
        drop(inside);
        Poll::Ready(self.answer.take().unwrap())
    }
}

impl<T> Drop for Later<T> {
    fn drop(&mut self) {
        self.service.inside().open -= 1;
    }
}

impl Inside {
    fn is_away(&mut self, now: u64) -> bool {
        let (rate, most) = self.moods.down;
        if self.rng.chance(rate) && now >= self.down_until_us {
            self.down_until_us = now + self.rng.below(most + 1);
            self.hangs = self.rng.one_in(2);
        }
        now < self.down_until_us
    }

    fn take(&mut self, document: &TaxDocument, now: u64) -> String {
        let Self { rng, moods, known, next_id, totals, .. } = self;
        let key = (document.drive, document.number);
        let mut fresh_id = || {
            *next_id += 1;
            format!("{:016x}/{next_id}", rng.next())
        };
        let again = known.contains_key(&key);
        if !again {
            let id = fresh_id();
            let verdict = if rng.chance(moods.refuses) {
                let code = 500 + rng.below(20) as u32;
                let tag = rng.one_in(2).then(|| rng.pick(&[1012, 1020, 1055]));
                match rng.below(3) {
                    0 => (StatusKind::Warned, Some(code), None),
                    1 => (StatusKind::Quarantined, Some(code), tag),
                    _ => (StatusKind::Refused, Some(code), tag),
                }
            } else {
                (StatusKind::Accepted, None, None)
            };
            let Self { life, .. } = self;
            let one = Known { hash: document.hash, id, verdict, times: 0, heard: false, life: *life };
            known.insert(key, one);
            totals.sent += 1;
        } else if moods.new_ids {
            known.get_mut(&key).unwrap().id = fresh_id();
        }
        totals.again += u64::from(again);
        let one = known.get_mut(&key).unwrap();
        (one.times, one.heard, one.life) = (one.times + 1, false, self.life);
        let id = one.id.clone();
        let status = status_of(one.verdict, again, id.clone());
        let wait = rng.below(moods.verdict_us + 1);
        totals.late += u64::from(wait > moods.options.verdict_timeout_us);
        if rng.chance(moods.twice) {
            totals.twice += 1;
            self.due.push((now + wait + rng.below(SECOND), status.clone()));
        }
        self.due.push((now + wait, status));
        id
    }
}

fn status_of((kind, code, tag): Verdict, again: bool, id: String) -> TaxStatus {
    let code = code.unwrap_or_default();
    match kind {
        StatusKind::Warned => TaxStatus::Warned { id, code },
        StatusKind::Quarantined => TaxStatus::Quarantined { id, code, tag },
        StatusKind::Refused => TaxStatus::Refused { id, code, tag },
        _ if again => TaxStatus::Duplicate { id },
        _ => TaxStatus::Accepted { id },
    }
}

impl TaxService for Service {
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>> {
        let now = self.now();
        let mut guard = self.inside();
        let inside = &mut *guard;
        let mut at_us = now + inside.rng.below(inside.moods.delay_us + 1);
        let (mut receipts, mut heard, mut came) = (Vec::new(), Vec::new(), Vec::new());
        let away = inside.is_away(now);
        let mut closed = BTreeSet::new();
        for document in &batch {
            let key = (document.drive, document.number);
            let before = inside.known.get(&key).map(|it| (it.heard, it.life));
            if !away && inside.rng.chance(inside.moods.partly / 4) && closed.insert(document.drive) {
                inside.totals.partly += 1;
            }
            let taken = !away && !closed.contains(&document.drive);
            if taken {
                let id = inside.take(document, now);
                heard.push(key);
                receipts.push(TaxReceipt::Sent { id });
            } else {
                receipts.push(TaxReceipt::Unavailable);
            }
            let TaxDocument { drive, number, hash, .. } = *document;
            came.push(Came { drive, number, hash, taken, before });
        }
        inside.came.push(came);
        if away {
            inside.totals.away += 1;
            at_us = if inside.hangs { NEVER } else { at_us };
        } else if inside.rng.chance(inside.moods.answers_lost) {
            inside.totals.lost += 1;
            heard.clear();
            if inside.rng.one_in(2) {
                at_us = NEVER;
            } else {
                receipts.clear();
            }
        }
        drop(guard);
        Box::pin(self.later(at_us, receipts, heard))
    }

    fn poll(&self) -> Answering<Vec<TaxStatus>> {
        let now = self.now();
        let mut guard = self.inside();
        let inside = &mut *guard;
        let mut at_us = now + inside.rng.below(inside.moods.delay_us + 1);
        if inside.is_away(now) {
            at_us = if inside.hangs { NEVER } else { at_us };
            drop(guard);
            return Box::pin(self.later(at_us, Vec::new(), Vec::new()));
        }
        inside.due.sort_by_key(|(at, _)| *at);
        let ready = inside.due.partition_point(|(at, _)| *at <= now);
        let mut verdicts: Vec<TaxStatus> = inside.due.drain(..ready).map(|it| it.1).collect();
        if inside.moods.shuffles {
            for at in 1..verdicts.len() {
                let other = inside.rng.below(at as u64 + 1) as usize;
                verdicts.swap(at, other);
                inside.totals.shuffled += u64::from(other != at);
            }
        }
        if inside.rng.chance(inside.moods.strays) {
            inside.totals.strays += 1;
            let id = format!("stray/{}", inside.rng.below(1_000));
            verdicts.push(TaxStatus::Refused { id, code: 1, tag: None });
        }
        if !verdicts.is_empty() && inside.rng.chance(inside.moods.answers_lost) {
            inside.totals.lost += 1;
            at_us = NEVER;
        }
        drop(guard);
        Box::pin(self.later(at_us, verdicts, Vec::new()))
    }
}

/// A document that the service has to get, by the log.
struct Owed {
    drive: DriveNumber,
    number: u32,
    hash: [u8; 32],
    /// The service has it.
    taken: bool,
    /// When its last receipt was noted, by the clock of the log.
    noted: Option<i64>,
    /// It has come to the service since. A start forgets that, and goes by what is noted.
    is_out: bool,
    /// The last word, and the records of all of them.
    verdict: Option<Verdict>,
    words: Vec<u64>,
    /// So often, in this life, it was taken once more before its verdict was due: a command may want that.
    extra: usize,
    held: bool,
}

impl Owed {
    /// When the receipt was noted that the engine goes by.
    fn receipt(&self) -> Option<i64> {
        self.noted.filter(|_| !self.is_out)
    }
}

/// The service with everything that the log says of it.
pub(super) struct Tax {
    pub(super) service: Service,
    pub(super) moods: TaxMoods,
    rng: Rng,
    pub(super) operator: Operator,
    /// By position.
    owed: BTreeMap<u64, Owed>,
    by_drive: BTreeMap<DriveNumber, BTreeSet<u64>>,
    by_key: BTreeMap<(DriveNumber, u32), u64>,
    /// Final words and their records, by the record.
    words: BTreeMap<u64, Vec<(u64, Verdict)>>,
    tests: BTreeSet<(DriveNumber, u32)>,
    wall_max_us: i64,
}

impl Tax {
    pub(super) fn new(env: &SimEnv, seed: u64, moods: &TaxMoods) -> Self {
        let inside = Inside {
            rng: Rng(seed ^ 0x7A_4402),
            moods: moods.clone(),
            known: BTreeMap::new(),
            due: Vec::new(),
            down_until_us: 0,
            hangs: false,
            next_id: 0,
            life: 0,
            open: 0,
            came: Vec::new(),
            totals: TaxTotals::default(),
        };
        Self {
            service: Service { env: env.clone(), inside: Arc::new(Mutex::new(inside)) },
            moods: moods.clone(),
            rng: Rng(seed ^ 0x7A_4403),
            operator: Operator::new(seed, moods.commands),
            owed: BTreeMap::new(),
            by_drive: BTreeMap::new(),
            by_key: BTreeMap::new(),
            words: BTreeMap::new(),
            tests: BTreeSet::new(),
            wall_max_us: i64::MIN,
        }
    }

    /// The process is gone.
    pub(super) fn crash(&mut self) {
        self.service.inside().life += 1;
        self.operator.crash();
        self.owed.values_mut().for_each(|it| (it.is_out, it.extra) = (false, 0));
    }

    /// Before the process is gone: what is under way.
    pub(super) fn count_in_flight(&self) {
        let mut inside = self.service.inside();
        inside.totals.in_flight += u64::from(inside.open > 0);
    }

    pub(super) fn calm(&mut self) {
        self.operator.calm();
        let mut inside = self.service.inside();
        inside.moods.calm();
        inside.down_until_us = 0;
    }

    pub(super) fn totals(&self) -> TaxTotals {
        let (pauses, resends) = self.operator.counts();
        let held = self.owed.values().filter(|it| it.held).count() as u64;
        TaxTotals { tests: self.tests.len() as u64, pauses, resends, held, ..self.service.inside().totals }
    }

    /// A record is durable.
    pub(super) fn durable(&mut self, stored: &Stored) -> Result<(), Broken> {
        let lsn = stored.lsn;
        match stored.kind {
            1 => {
                let envelope = Envelope::decode(&stored.payload).unwrap();
                let drive = DriveNumber::from_wire(&envelope.drive).unwrap();
                let number = envelope.number;
                if envelope.realm != Realm::Prod {
                    self.tests.insert((drive, number));
                    return Ok(());
                }
                if envelope.variant != 0 || envelope.provenance != Provenance::Live {
                    return Ok(());
                }
                let hash = *blake3::hash(envelope.container).as_bytes();
                let owed = Owed {
                    drive,
                    number,
                    hash,
                    taken: false,
                    noted: None,
                    is_out: false,
                    verdict: None,
                    words: Vec::new(),
                    extra: 0,
                    held: false,
                };
                self.owed.insert(lsn, owed);
                self.by_drive.entry(drive).or_default().insert(lsn);
                self.by_key.insert((drive, number), lsn);
                Ok(())
            }
            4 => {
                self.operator.durable(lsn, &stored.payload);
                Ok(())
            }
            6 => {
                let Some((StatusOf::Tax, events)) = decode(&stored.payload) else { return Ok(()) };
                for event in events {
                    let Some(owed) = self.owed.get_mut(&event.position) else {
                        return Err(format!(
                            "tax: a status of {} at {lsn}, which was never sent",
                            event.position
                        ));
                    };
                    if owed.drive.to_bcd_u64() != event.drive || owed.number != event.number {
                        return Err(format!("tax: a status at {lsn} names another document: {event:?}"));
                    }
                    if event.kind == StatusKind::Sent {
                        (owed.noted, owed.is_out) = (Some(stored.received_at_us), false);
                        continue;
                    }
                    let word = (event.kind, event.code, event.tag);
                    let named = self.operator.resends().filter(|it| it.lsn < lsn);
                    let most =
                        1 + named.filter(|it| it.names(owed.drive, owed.number, event.position)).count();
                    if let Some(before) = owed.verdict.filter(|_| owed.words.len() >= most) {
                        return Err(format!(
                            "tax: {word:?} at {lsn} behind {before:?} of {}",
                            event.position
                        ));
                    }
                    owed.verdict = Some(word);
                    owed.words.push(lsn);
                    // A receipt that comes behind its word is noted no more.
                    owed.is_out = false;
                    self.words.entry(lsn).or_default().push((event.position, word));
                    let inside = self.service.inside();
                    let said = inside.known.get(&(owed.drive, owed.number)).map(|it| it.verdict);
                    let is_same = match (word.0, said) {
                        (StatusKind::Duplicate, Some(said)) => said.0 == StatusKind::Accepted,
                        (_, said) => said == Some(word),
                    };
                    if !is_same {
                        return Err(format!(
                            "tax: the ledger has {word:?} of {}, said was {said:?}",
                            event.position
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What has come to the service, against what the log says is owed; of the log the leg knows everything up to `told`.
    fn look(&mut self, told: u64) -> Result<Vec<u64>, Broken> {
        let (came, life) = {
            let mut inside = self.service.inside();
            (std::mem::take(&mut inside.came), inside.life)
        };
        let timeout = i64::try_from(self.moods.options.verdict_timeout_us).unwrap();
        let paused = self.operator.paused(told);
        let mut words = Vec::new();
        for batch in came {
            let mut most: BTreeMap<DriveNumber, u64> = BTreeMap::new();
            let mut named = BTreeSet::new();
            for one in &batch {
                let Came { drive, number, .. } = *one;
                if self.tests.contains(&(drive, number)) {
                    return Err(format!("tax: {drive}/{number} of a test drive was sent"));
                }
                if paused.has(drive) {
                    return Err(format!("tax: {drive}/{number} was sent, and it is paused"));
                }
                let lsn = self.by_key.get(&(drive, number)).copied();
                let Some((lsn, owed)) = lsn.and_then(|lsn| Some((lsn, self.owed.get_mut(&lsn)?))) else {
                    return Err(format!("tax: {drive}/{number} was sent and is not durable"));
                };
                if owed.hash != one.hash {
                    return Err(format!("tax: {drive}/{number} was sent as another document"));
                }
                named.insert(lsn);
                if most.insert(drive, lsn).is_some_and(|before| before >= lsn) {
                    return Err(format!("tax: {drive}/{number} stands in a batch behind a later one"));
                }
                let resends: Vec<Resend> =
                    self.operator.resends().filter(|it| it.names(drive, number, lsn)).collect();
                let named = resends.len();
                // A word that the leg has read is the last one until a command behind it wants another.
                let known = owed.words.iter().rfind(|it| **it <= told);
                let asked = |word: &u64| resends.iter().any(|it| *word < it.lsn && it.lsn <= told);
                let verdict = owed.verdict.filter(|_| named == 0 || known.is_some_and(|it| !asked(it)));
                if let Some(verdict) = verdict {
                    return Err(format!("tax: {drive}/{number} is sent again, {verdict:?} is durable"));
                }
                let Some((heard, in_life)) = one.before else { continue };
                match owed.receipt() {
                    Some(at_us) if self.wall_max_us < at_us + timeout => {
                        if owed.extra >= named {
                            return Err(format!(
                                "tax: {drive}/{number} is sent again, its receipt is durable"
                            ));
                        }
                        owed.extra += usize::from(one.taken);
                    }
                    None if heard && in_life == life => {
                        return Err(format!("tax: {drive}/{number} is sent twice in one life"));
                    }
                    _ => {}
                }
            }
            for (drive, most) in most {
                // Receipts of the batch before are durable when the next one goes.
                let missed = self.by_drive[&drive].iter().take_while(|lsn| **lsn < most).find(|lsn| {
                    let owed = &self.owed[lsn];
                    owed.verdict.is_none() && owed.receipt().is_none() && !named.contains(lsn)
                });
                if let Some(missed) = missed {
                    return Err(format!(
                        "tax: {most} of {drive} is sent, the receipt of {missed} is not there"
                    ));
                }
            }
            for Came { drive, number, taken, .. } in batch.iter().filter(|it| it.taken) {
                let lsn = self.by_key[&(*drive, *number)];
                words.extend([lsn, u64::from(*taken)]);
                let owed = self.owed.get_mut(&lsn).unwrap();
                self.service.inside().totals.resent += u64::from(owed.verdict.is_some());
                (owed.taken, owed.is_out) = (true, true);
            }
            for drive in batch.iter().map(|it| it.drive).collect::<BTreeSet<_>>() {
                let taken = self.by_drive[&drive].iter().skip_while(|lsn| self.owed[lsn].taken);
                if let Some(over) = taken.skip(1).find(|lsn| self.owed[lsn].taken) {
                    return Err(format!("tax: {over} of {drive} was taken, one before it was not"));
                }
            }
        }
        Ok(words)
    }

    /// The first document that has no word yet, or none behind a command to send it again.
    pub(super) fn lacks(&self) -> Option<u64> {
        let never = self.owed.iter().find(|(_, owed)| owed.verdict.is_none());
        let again = |resend: Resend| {
            let named = self.owed.iter().filter(|(lsn, it)| resend.names(it.drive, it.number, **lsn));
            named.map(|(lsn, it)| (*lsn, it.words.last())).find(|it| it.1 < Some(&resend.lsn)).map(|it| it.0)
        };
        never.map(|it| *it.0).or_else(|| self.operator.resends().find_map(again))
    }

    /// Documents that wait for the end of a pause.
    fn hold(&mut self, told: u64) {
        let paused = self.operator.paused(told);
        if paused.all || !paused.drives.is_empty() {
            let waiting = self.owed.values_mut().filter(|it| !it.taken && paused.has(it.drive));
            waiting.for_each(|it| it.held = true);
        }
    }
}

impl World<'_> {
    /// The leg gets on.
    pub(super) fn tax(&mut self) -> Result<bool, Broken> {
        let Self { tax: Some(tax), machine: Some(machine), .. } = self else { return Ok(false) };
        tax.wall_max_us = tax.wall_max_us.max(self.env.now().wall_us);
        let asked = tax.operator.turn(machine.engine(), tax.by_key.keys());
        let worked = machine.tax_turn() == Turned::Worked;
        let told = machine.engine().tax_overview().position;
        self.see_synced()?;
        let Some(tax) = &mut self.tax else { return Ok(false) };
        let words = tax.look(told)?;
        tax.hold(told);
        let compares = tax.rng.one_in(200);
        self.note(&words);
        if compares {
            self.compare_tax()?;
        }
        Ok(worked | asked)
    }

    /// No clock lies behind what the log says any more: verdicts that were lost, and digests, are waited for by it.
    pub(super) fn mend_clock(&mut self) {
        let tax = self.tax.as_ref().map(|it| it.wall_max_us);
        let notices = self.notices.as_ref().map(Notices::received_max_us);
        for known in [tax, notices].into_iter().flatten() {
            let behind = known.saturating_sub(self.env.now().wall_us);
            self.env.advance(0, behind.max(0));
        }
    }

    /// The accounts that are kept in memory beside those that the durable records come to.
    pub(super) fn compare_tax(&mut self) -> Result<(), Broken> {
        let Self { tax: Some(tax), machine: Some(machine), .. } = self else { return Ok(()) };
        let engine = machine.engine();
        let told = engine.tax_overview().position;
        let mut accounts: BTreeMap<DriveNumber, (u32, Settled<u32>)> = BTreeMap::new();
        let mut remarks: BTreeMap<(DriveNumber, u32), (u64, Verdict)> = BTreeMap::new();
        for owed in tax.owed.range(..=told).map(|it| it.1) {
            accounts.entry(owed.drive).or_default().0 += 1;
        }
        let words = tax.words.range(..=told).flat_map(|it| it.1).copied();
        // A later word takes the place of the one before.
        for (position, word) in &words.collect::<BTreeMap<u64, Verdict>>() {
            let Owed { drive, number, .. } = tax.owed[position];
            let settled = &mut accounts.entry(drive).or_default().1;
            match word.0 {
                StatusKind::Warned => settled.warned += 1,
                StatusKind::Quarantined => settled.quarantined += 1,
                StatusKind::Refused => settled.refused += 1,
                StatusKind::GivenUp => settled.given_up += 1,
                _ => settled.accepted += 1,
            }
            if !matches!(word.0, StatusKind::Accepted | StatusKind::Duplicate) {
                remarks.insert((drive, number), (*position, *word));
            }
        }
        let (overview, paused) = (engine.tax_overview(), tax.operator.paused(told));
        if overview.paused != paused.all || !overview.paused_drives.iter().eq(&paused.drives) {
            return Err(format!("tax: at {told} {overview:?} is paused, wanted {paused:?}"));
        }
        let operator = Capability::operator();
        for (drive, wanted) in &accounts {
            let found = engine.tax_account(&operator, *drive);
            if (found.stored, found.settled) != *wanted {
                return Err(format!("tax: at {told} the account of {drive} is {found:?}, wanted {wanted:?}"));
            }
        }
        let found = engine.tax_remarks(&operator, None, usize::MAX);
        let found: BTreeMap<_, _> = found
            .into_iter()
            .map(|(drive, number, it)| ((drive, number), (it.position, (it.kind, it.code, it.tag))))
            .collect();
        if found != remarks {
            return Err(format!("tax: at {told} the remarks are {found:?}, wanted {remarks:?}"));
        }
        tax.service.inside().totals.compared += 1;
        Ok(())
    }

    /// Everything was sent and has its word, and nothing else was.
    pub(super) fn end_tax(&mut self) -> Result<(), Broken> {
        self.compare_tax()?;
        let Some(tax) = &self.tax else { return Ok(()) };
        let mut inside = tax.service.inside();
        for (lsn, owed) in &tax.owed {
            let known = inside.known.get(&(owed.drive, owed.number));
            if known.is_none_or(|it| it.hash != owed.hash) || owed.verdict.is_none() {
                return Err(format!("tax: {lsn} is {:?} and not what the service has", owed.verdict));
            }
            let (kind, ..) = owed.verdict.unwrap();
            inside.totals.refused += u64::from(kind == StatusKind::Refused);
            inside.totals.quarantined += u64::from(kind == StatusKind::Quarantined);
            inside.totals.warned += u64::from(kind == StatusKind::Warned);
        }
        if inside.known.len() != tax.owed.len() {
            return Err(format!(
                "tax: {} documents were taken, {} are owed",
                inside.known.len(),
                tax.owed.len()
            ));
        }
        Ok(())
    }
}
