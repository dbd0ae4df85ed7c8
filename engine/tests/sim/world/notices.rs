//! Who wants to be told, and a channel that tells them when it likes. What it is handed is held against the log, which says what was
//! confirmed, and at the end against all events.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use ofd_engine::host::{Answering, Capability, Channel, Delivery, DeliveryOutcome};
use ofd_engine::notify::{Digest, Kinds, NoticeKind, NoticeScope, Quiet, Subscription, SubscriptionCommand};
use ofd_engine::registers::{Event, EventKind};
use ofd_engine::storage::status::{StatusKind, StatusOf, decode};
use ofd_engine::storage::testing::SimEnv;
use ofd_engine::storage::{Env as _, Now};
use ofd_engine::testing::{Subscribing, Turned};
use ofd_engine::watch::Facet;
use ofd_engine::{Health, Position};
use serde_json::Value;

use super::{SECOND, World};
use crate::oracle::Broken;
use crate::rng::Rng;
use crate::watch::Stored;

const NEVER: u64 = u64::MAX;
const CHANNEL: &str = "post";
const MINUTE_US: i64 = 60_000_000;
/// Three days: so long a line may fail.
const DEADLINE: u64 = 72 * 3_600 * SECOND;

/// What the channel is like and what goes wrong with it, out of 65,536.
#[derive(Clone, Debug)]
pub struct NoticeMoods {
    /// For who reads the scenario.
    #[expect(dead_code, reason = "told by `Debug`")]
    pub faults: Vec<&'static str>,
    pub subscriptions: u64,
    /// Microseconds a delivery takes at most.
    pub delay_us: u64,
    /// It takes longer than a call may, or for ever.
    pub slow: u64,
    /// It fails and is not taken.
    pub fails: u64,
    /// It is taken, and its answer is lost.
    pub answers_lost: u64,
    /// It is refused for good.
    pub refuses: u64,
    /// One subscription in so many has quiet hours, and a digest; 0: none.
    pub quiet: u64,
    pub digests: u64,
    /// When everything else is well again it takes nothing, for longer than anything is tried.
    pub dies: bool,
}

const FAULTS: [&str; 4] = ["slow", "fails", "answer lost", "refuses"];

impl NoticeMoods {
    /// Half of the worlds have subscribers, half of these one fault of the channel at most. Chance of its own.
    pub fn drawn(seed: u64) -> Option<Self> {
        let mut rng = Rng(seed ^ 0x0071_CE01);
        if rng.one_in(2) {
            return None;
        }
        let faults = rng.faults(&FAULTS, 4, 4);
        let has = |fault: &str| faults.contains(&fault);
        // Of its own too, so that the rest is what it was.
        let mut hours = Rng(seed ^ 0x0071_CE04);
        Some(Self {
            quiet: hours.pick(&[0, 0, 2]),
            digests: hours.pick(&[0, 0, 2]),
            dies: hours.one_in(6),
            subscriptions: rng.between(1, 3),
            delay_us: rng.pick(&[0, 50_000, 2 * SECOND]),
            slow: if has("slow") { rng.pick(&[500, 3_000]) } else { 0 },
            fails: if has("fails") { rng.pick(&[4_000, 20_000]) } else { 0 },
            answers_lost: if has("answer lost") { rng.pick(&[2_000, 10_000]) } else { 0 },
            refuses: if has("refuses") { rng.pick(&[500, 4_000]) } else { 0 },
            faults,
        })
    }

    /// Whether something may wait for hours.
    pub const fn is_patient(&self) -> bool {
        self.quiet > 0 || self.digests > 0 || self.dies
    }

    /// Nothing goes wrong any more.
    fn calm(&mut self) {
        (self.slow, self.fails, self.answers_lost, self.refuses) = (0, 0, 0, 0);
    }
}

/// What was told, over a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoticeTotals {
    /// Notices, each for the first time.
    pub told: u64,
    /// Attempts that were not the first.
    pub again: u64,
    /// States that began, and that ended.
    pub began: u64,
    pub ended: u64,
    /// What the channel did wrong.
    pub slow: u64,
    pub failed: u64,
    pub lost: u64,
    pub refused: u64,
    /// Crashes while a delivery was under way.
    pub in_flight: u64,
    /// Notices that waited for the end of quiet hours, digests and the notices in them, deliveries that were given up.
    pub held: u64,
    pub digests: u64,
    pub digested: u64,
    pub given_up: u64,
}

impl NoticeTotals {
    pub fn add(&mut self, one: &Self) {
        self.told += one.told;
        self.again += one.again;
        self.began += one.began;
        self.ended += one.ended;
        self.slow += one.slow;
        self.failed += one.failed;
        self.lost += one.lost;
        self.refused += one.refused;
        self.in_flight += one.in_flight;
        self.held += one.held;
        self.digests += one.digests;
        self.digested += one.digested;
        self.given_up += one.given_up;
    }

    /// Each of what has to happen in a run of many seeds.
    pub fn exercised(&self) -> [(&'static str, u64); 11] {
        [
            ("told", self.told),
            ("told again", self.again),
            ("states", self.began.min(self.ended)),
            ("slow", self.slow),
            ("failed", self.failed),
            ("answers lost", self.lost),
            ("refused", self.refused),
            ("crashes in flight", self.in_flight),
            ("held by quiet hours", self.held),
            ("digests of several", self.digested.saturating_sub(self.digests)),
            ("given up", self.given_up),
        ]
    }
}

/// What makes a notice: the place of its event, its kind and the side of the state.
type Place = (u64, u64, String, String);

/// A delivery as the channel was handed it.
struct Handed {
    to: String,
    id: u64,
    body: Value,
    now: Now,
}

struct Inside {
    rng: Rng,
    moods: NoticeMoods,
    handed: Vec<Handed>,
    /// Deliveries whose outcome has reached the engine and was final, with the life they did it in.
    heard: BTreeSet<(String, u64, u64)>,
    life: u64,
    open: u64,
    /// It takes nothing.
    dead: bool,
    totals: NoticeTotals,
}

/// The channel.
#[derive(Clone)]
pub struct Post {
    env: SimEnv,
    inside: Arc<Mutex<Inside>>,
}

impl Post {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }
}

struct Later {
    post: Post,
    at_us: u64,
    outcome: DeliveryOutcome,
    to: String,
    id: u64,
}

impl Future for Later {
    type Output = DeliveryOutcome;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<DeliveryOutcome> {
        if self.post.env.now().mono_us < self.at_us {
            return Poll::Pending;
        }
        if self.outcome != DeliveryOutcome::Retry {
            let mut inside = self.post.inside();
            let life = inside.life;
            inside.heard.insert((self.to.clone(), self.id, life));
        }
        Poll::Ready(self.outcome)
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.post.inside().open -= 1;
    }
}

impl Channel for Post {
    fn deliver(&self, delivery: Delivery) -> Answering<DeliveryOutcome> {
        let moment = self.env.now();
        let now = moment.mono_us;
        let mut inside = self.inside();
        let dead = inside.dead;
        let Inside { rng, moods, totals, .. } = &mut *inside;
        let mut at_us = now + rng.below(moods.delay_us + 1);
        let mut outcome = DeliveryOutcome::Delivered;
        if rng.chance(moods.slow) {
            totals.slow += 1;
            at_us = if rng.one_in(2) { now + rng.below(40 * SECOND) } else { NEVER };
        }
        if dead {
            (at_us, outcome) = (if rng.one_in(8) { NEVER } else { at_us }, DeliveryOutcome::Retry);
        } else if rng.chance(moods.fails) {
            totals.failed += 1;
            outcome = DeliveryOutcome::Retry;
        } else if rng.chance(moods.answers_lost) {
            totals.lost += 1;
            (at_us, outcome) = if rng.one_in(2) { (NEVER, outcome) } else { (at_us, DeliveryOutcome::Retry) };
        } else if rng.chance(moods.refuses) {
            totals.refused += 1;
            outcome = DeliveryOutcome::Refused;
        }
        let body = serde_json::from_slice(&delivery.body).unwrap();
        inside.handed.push(Handed { to: delivery.to.clone(), id: delivery.id, body, now: moment });
        inside.open += 1;
        drop(inside);
        Box::pin(Later { post: self.clone(), at_us, outcome, to: delivery.to, id: delivery.id })
    }
}

/// A delivery, and when it was handed over last.
struct Told {
    id: u64,
    /// One, or those of a digest.
    notices: Vec<(Place, Value)>,
    body: Value,
    life: u64,
    /// So often, in that life.
    times: u64,
}

impl Told {
    fn last(&self) -> &Place {
        &self.notices.last().unwrap().0
    }
}

/// A subscription with all it was told.
struct Line {
    subscription: Subscription,
    /// The record that made it, once that is durable.
    from: Option<u64>,
    told: Vec<Told>,
    /// Ids whose delivery is noted.
    noted: BTreeSet<u64>,
    /// Since when nothing of it was taken or refused, and in which life.
    failing: Option<(u64, u64)>,
}

/// The subscribers.
pub(super) struct Notices {
    pub(super) post: Post,
    rng: Rng,
    /// Chance of quiet hours and digests.
    hours: Rng,
    /// When each record was received, by the clock of the log.
    received: BTreeMap<u64, i64>,
    lines: BTreeMap<String, Line>,
    left: u64,
    asking: Option<(Subscribing, String)>,
}

impl Notices {
    pub(super) fn new(env: &SimEnv, seed: u64, moods: &NoticeMoods) -> Self {
        let inside = Inside {
            rng: Rng(seed ^ 0x0071_CE02),
            moods: moods.clone(),
            handed: Vec::new(),
            heard: BTreeSet::new(),
            life: 0,
            open: 0,
            dead: false,
            totals: NoticeTotals::default(),
        };
        Self {
            hours: Rng(seed ^ 0x0071_CE05),
            received: BTreeMap::new(),
            post: Post { env: env.clone(), inside: Arc::new(Mutex::new(inside)) },
            rng: Rng(seed ^ 0x0071_CE03),
            lines: BTreeMap::new(),
            left: moods.subscriptions,
            asking: None,
        }
    }

    pub(super) const fn name() -> &'static str {
        CHANNEL
    }

    /// Before the process is gone: what is under way.
    pub(super) fn count_in_flight(&self) {
        let mut inside = self.post.inside();
        inside.totals.in_flight += u64::from(inside.open > 0);
    }

    /// The process is gone.
    pub(super) fn crash(&mut self) {
        self.asking = None;
        self.post.inside().life += 1;
    }

    pub(super) fn calm(&self) {
        self.post.inside().moods.calm();
    }

    pub(super) fn totals(&self) -> NoticeTotals {
        self.post.inside().totals
    }

    /// Nothing is taken from here on, or everything is again.
    pub(super) fn die(&self, dead: bool) {
        self.post.inside().dead = dead;
    }

    pub(super) fn is_patient(&self) -> bool {
        self.post.inside().moods.is_patient()
    }

    pub(super) fn dies(&self) -> bool {
        self.post.inside().moods.dies
    }

    /// The latest time that the log has of anything.
    pub(super) fn received_max_us(&self) -> i64 {
        self.received.values().copied().max().unwrap_or(i64::MIN)
    }

    /// Lines that hold nothing back by themselves and had nothing taken for longer than that.
    pub(super) fn fail_since(&self, before_us: u64) -> Vec<(String, u64)> {
        let life = self.post.inside().life;
        let fails = |line: &Line| line.failing.is_some_and(|it| it.0 < before_us && it.1 == life);
        let plain = |line: &Line| line.subscription.quiet.is_none() && line.subscription.digest.is_none();
        let lines = self.lines.iter().filter(|it| fails(it.1) && plain(it.1));
        lines.map(|(name, line)| (name.clone(), line.noted.len() as u64)).collect()
    }

    /// How many deliveries of a line are noted.
    pub(super) fn noted(&self, name: &str) -> u64 {
        self.lines.get(name).map_or(0, |it| it.noted.len() as u64)
    }

    /// A record is durable.
    pub(super) fn durable(&mut self, stored: &Stored) -> Result<(), Broken> {
        self.received.insert(stored.lsn, stored.received_at_us);
        if let Ok(value) = serde_json::from_slice::<Value>(&stored.payload)
            && value.get("do").and_then(Value::as_str) == Some("subscription.set")
        {
            let line = value.get("id").and_then(Value::as_str).and_then(|id| self.lines.get_mut(id));
            line.ok_or("notices: a subscription that nobody made")?.from.get_or_insert(stored.lsn);
            return Ok(());
        }
        if stored.kind != 6 {
            return Ok(());
        }
        let Some((StatusOf::Delivery, events)) = decode(&stored.payload) else { return Ok(()) };
        for event in events {
            let mut parts = event.id.split('/');
            let line = parts.next().and_then(|id| self.lines.get_mut(id));
            let id = parts.nth(1).and_then(|it| u64::from_str_radix(it, 16).ok());
            let (Some(line), Some(id)) = (line, id) else {
                return Err(format!("notices: a record of a delivery that nobody knows: {event:?}"));
            };
            let Some(told) = line.told.iter().find(|it| it.id == id) else {
                return Err(format!("notices: {event:?} was noted and never delivered"));
            };
            if told.last().0 != event.position {
                return Err(format!("notices: {event:?} is noted of {:?}", told.notices));
            }
            match event.kind {
                StatusKind::Accepted | StatusKind::Refused => line.failing = None,
                StatusKind::GivenUp => {
                    let now = self.post.env.now().mono_us;
                    let fails_us = line.failing.map_or(0, |it| now - it.0);
                    if told.times < 12 || fails_us <= DEADLINE {
                        return Err(format!(
                            "notices: {event:?} is given up behind {} attempts in {fails_us} µs",
                            told.times
                        ));
                    }
                    self.post.inside().totals.given_up += 1;
                }
                _ => return Err(format!("notices: what is {event:?}?")),
            }
            if !line.noted.insert(id) {
                return Err(format!("notices: {event:?} is noted twice"));
            }
        }
        Ok(())
    }

    /// What the channel was handed.
    fn look(&mut self) -> Result<Vec<u64>, Broken> {
        let mut inside = self.post.inside();
        let (handed, life) = (std::mem::take(&mut inside.handed), inside.life);
        let mut words = Vec::new();
        for Handed { to, id, body, now } in handed {
            let name = body.get("subscription").and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(line) = self.lines.get_mut(&name).filter(|it| it.subscription.to == to) else {
                return Err(format!("notices: {to} is told for {name}"));
            };
            if body.get("id").and_then(Value::as_str) != Some(&format!("{id:016x}")) {
                return Err(format!("notices: {id:016x} is called otherwise in its body: {body}"));
            }
            let (mut notices, mut received) = (Vec::new(), Vec::new());
            for mut notice in line.notices_of(&body)? {
                // The register is that of the drive at the time of telling.
                notice.as_object_mut().unwrap().remove("rnm");
                let text = |key: &str| notice.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let number = |key: &str| notice.get(key).and_then(Value::as_u64).unwrap_or_default();
                let place = (number("position"), number("index"), text("kind"), text("state"));
                if text("subscription") != name {
                    return Err(format!("notices: {name} is told what is for {}", text("subscription")));
                }
                received.extend(self.received.get(&place.0).copied());
                notices.push((place, notice));
            }
            let (Some((place, _)), true) = (notices.first().cloned(), received.len() == notices.len()) else {
                return Err(format!("notices: {name} is told what is not durable: {body}"));
            };
            words.extend([id, place.0]);
            let again = line.told.last().is_some_and(|it| it.id == id);
            line.keeps_its_hours(now.wall_us, &received, again)
                .map_err(|what| format!("notices: {name}: {what}: {body}"))?;
            if line.noted.contains(&id) {
                return Err(format!("notices: {name} is told {place:?} again, its record is durable"));
            }
            if line.failing.is_none_or(|it| it.1 != life) {
                line.failing = Some((now.mono_us, life));
            }
            match line.told.last_mut() {
                Some(last) if last.id == id => {
                    if last.notices != notices {
                        return Err(format!("notices: {id:016x} of {name} was {} and is {body}", last.body));
                    }
                    if last.life == life && inside.heard.contains(&(to.clone(), id, life)) {
                        return Err(format!("notices: {name} is told {place:?} twice in one life"));
                    }
                    (last.times, last.life) = (if last.life == life { last.times + 1 } else { 1 }, life);
                    inside.totals.again += 1;
                    continue;
                }
                Some(last) => {
                    if (place.0, place.1) < (last.last().0, last.last().1) {
                        return Err(format!("notices: {name} is told {place:?} behind {:?}", last.last()));
                    }
                    if !line.noted.contains(&last.id) {
                        return Err(format!("notices: {name} goes on, {:?} is not durable", last.last()));
                    }
                }
                None => {}
            }
            let places: BTreeSet<&Place> = notices.iter().map(|it| &it.0).collect();
            let twice = |it: &&Told| it.id == id || it.notices.iter().any(|it| places.contains(&it.0));
            if let Some(same) = line.told.iter().find(twice) {
                return Err(format!(
                    "notices: {name} is told {places:?} as {id:016x} and {:?} as {:016x}",
                    same.notices, same.id
                ));
            }
            if places.len() != notices.len() || !notices.is_sorted_by(|a, b| (a.0.0, a.0.1) <= (b.0.0, b.0.1))
            {
                return Err(format!("notices: {name} is told {places:?} by {body}"));
            }
            let totals = &mut inside.totals;
            for ((_, _, _, state), _) in &notices {
                totals.told += 1;
                totals.began += u64::from(state == "began");
                totals.ended += u64::from(state == "ended");
            }
            totals.held += received.iter().filter(|it| line.is_quiet(**it)).count() as u64;
            if line.subscription.digest.is_some() {
                totals.digests += 1;
                totals.digested += notices.len() as u64;
            }
            line.told.push(Told { id, notices, body, life, times: 1 });
        }
        Ok(words)
    }

    /// Somebody subscribes, or says it again when a crash has left open whether it was heard.
    fn subscribe(&mut self, engine: &ofd_engine::Engine) -> bool {
        if let Some((asking, _)) = &mut self.asking {
            return match asking.poll(engine) {
                Ok(false) => false,
                Ok(true) => {
                    self.asking = None;
                    true
                }
                Err(_) => {
                    self.asking = None;
                    false
                }
            };
        }
        if engine.health() != Health::Ready {
            return false;
        }
        let standing: BTreeSet<String> =
            engine.subscriptions().into_iter().map(|it| it.subscription.id).collect();
        let lost = self.lines.values().find(|it| !standing.contains(&it.subscription.id));
        let subscription = match lost {
            Some(line) => line.subscription.clone(),
            None if self.left > 0 && self.rng.one_in(40) => {
                self.left -= 1;
                self.another(engine)
            }
            None => return false,
        };
        let id = subscription.id.clone();
        let command = SubscriptionCommand::Set(Box::new(subscription.clone()));
        let (told, noted) = (Vec::new(), BTreeSet::new());
        let line = Line { subscription, from: None, told, noted, failing: None };
        self.lines.entry(id.clone()).or_insert(line);
        self.asking = Subscribing::begin(engine, command).ok().map(|it| (it, id));
        self.asking.is_some()
    }

    fn another(&mut self, engine: &ofd_engine::Engine) -> Subscription {
        let rng = &mut self.rng;
        let some = rng.one_in(2);
        let kinds = NoticeKind::ALL.into_iter().filter(|_| !some || rng.one_in(3));
        let kinds = kinds.fold(Kinds::default().with(NoticeKind::ShiftOpened), Kinds::with);
        let first = engine.events(&Capability::operator(), Position::START).next_batch(20, Duration::ZERO);
        let inn = first.ok().and_then(|it| it.into_iter().find_map(|it| it.inn));
        let inn = inn.map(|it| it.trim().to_owned()).filter(|_| rng.one_in(2));
        let number = self.lines.len();
        let threshold = if rng.one_in(2) { [(NoticeKind::GapOpened, 2)].into() } else { BTreeMap::new() };
        let (quiet, digest, zone_min) = self.hours();
        Subscription {
            id: format!("who-{number}"),
            scope: inn.map_or(NoticeScope::All, NoticeScope::Inn),
            kinds,
            channel: CHANNEL.to_owned(),
            to: format!("house {number}"),
            threshold,
            quiet,
            digest,
            zone_min,
            by: "simulation".to_owned(),
        }
    }

    /// Quiet hours, a digest and its zone: such as begin and end while the world stands.
    fn hours(&mut self) -> (Option<Quiet>, Option<Digest>, i16) {
        let (quiet, digests) = {
            let moods = &self.post.inside().moods;
            (moods.quiet, moods.digests)
        };
        let minute = self.post.env.now().wall_us.div_euclid(MINUTE_US);
        let rng = &mut self.hours;
        let zone_min: i16 = rng.pick(&[180, 0, -210, 345]);
        let in_a_day = |minute: i64| u16::try_from((minute + i64::from(zone_min)).rem_euclid(1_440)).unwrap();
        let quiet = (quiet > 0 && rng.one_in(quiet)).then(|| {
            let from = minute + rng.below(3) as i64;
            let to = from + rng.pick(&[1, 2, 40, 900]);
            Quiet { from_min: in_a_day(from), to_min: in_a_day(to), zone_min }
        });
        let digest = (digests > 0 && rng.one_in(digests)).then(|| match rng.below(3) {
            0 => Digest::Daily { at_min: in_a_day(minute + rng.between(1, 40) as i64) },
            _ => Digest::Hourly,
        });
        (quiet, digest, zone_min)
    }

    /// Whether every subscription stands and was told of everything up to here.
    pub(super) fn has_told(&self, engine: &ofd_engine::Engine, durable: Position) -> bool {
        let states = engine.subscriptions();
        self.asking.is_none()
            && states.len() == self.lines.len()
            && states.iter().all(|it| {
                it.waiting == 0 && !it.behind && it.index.is_none() && it.told.lsn() >= durable.lsn()
            })
    }

    /// What each subscription was told, against a list of all events.
    fn check(&self, all: &[Event]) -> Result<(), Broken> {
        for (name, line) in &self.lines {
            let Some(from) = line.from else { return Err(format!("notices: {name} was never made")) };
            let Subscription { scope, kinds, threshold, .. } = &line.subscription;
            let mine = |event: &&Event| match scope {
                NoticeScope::Inn(inn) => event.inn.as_deref().is_some_and(|it| it.trim() == inn),
                _ => true,
            };
            let behind = all.iter().filter(|it| it.position.as_u64() > from);
            let mut wanted: Vec<Place> = Vec::new();
            for event in behind.filter(mine) {
                for (kind, state, much) in said_of(event) {
                    let least = threshold.get(&kind).copied().unwrap_or_default();
                    if kinds.has(kind) && much >= least {
                        let place = (event.position.as_u64(), u64::from(event.index));
                        wanted.push((place.0, place.1, kind.name().to_owned(), state.to_owned()));
                    }
                }
            }
            let told: Vec<&Place> = line.places().map(|it| &it.0).collect();
            let differs = told.iter().zip(&wanted).find(|(told, wanted)| **told != *wanted);
            if differs.is_some() || told.len() != wanted.len() {
                return Err(format!(
                    "notices: {name}, from {from}, was told {} of {}, {} events: {differs:?}",
                    told.len(),
                    wanted.len(),
                    all.len(),
                ));
            }
            if let Some(lost) = line.told.iter().find(|it| !line.noted.contains(&it.id)) {
                return Err(format!("notices: {name}: no record says what became of {:?}", lost.notices));
            }
            line.states()?;
        }
        Ok(())
    }
}

impl Line {
    /// All that it was told, in order.
    fn places(&self) -> impl Iterator<Item = &(Place, Value)> {
        self.told.iter().flat_map(|it| &it.notices)
    }

    /// The notices of a body: itself, or those of a digest.
    fn notices_of(&self, body: &Value) -> Result<Vec<Value>, Broken> {
        if self.subscription.digest.is_none() {
            return Ok(vec![body.clone()]);
        }
        let notices = body.get("notices").and_then(Value::as_array).cloned().unwrap_or_default();
        let last = notices.last().cloned().unwrap_or_default();
        let same = |key: &str| body.get(key) == last.get(key);
        let whole = body["kind"] == "digest" && body["count"] == notices.len();
        if notices.is_empty() || notices.len() > 500 || !whole || !same("position") || !same("index") {
            return Err(format!("notices: no digest: {body}"));
        }
        Ok(notices)
    }

    /// Whether nothing may go out at this time.
    fn is_quiet(&self, wall_us: i64) -> bool {
        self.subscription.quiet.is_some_and(|it| {
            let minute = (wall_us.div_euclid(MINUTE_US) + i64::from(it.zone_min)).rem_euclid(1_440);
            let (from, to) = (i64::from(it.from_min), i64::from(it.to_min));
            if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        })
    }

    /// Nothing goes out in quiet hours, and no digest before its hour, with all that came before it.
    fn keeps_its_hours(&self, wall_us: i64, received: &[i64], again: bool) -> Result<(), &'static str> {
        if self.is_quiet(wall_us) {
            return Err("told in quiet hours");
        }
        let Some(digest) = self.subscription.digest else { return Ok(()) };
        let (period_us, at_min) = match digest {
            Digest::Hourly => (60 * MINUTE_US, 0),
            Digest::Daily { at_min } => (1_440 * MINUTE_US, i64::from(at_min)),
        };
        let begin_us = (at_min - i64::from(self.subscription.zone_min)) * MINUTE_US;
        let number = |at_us: i64| (at_us - begin_us).div_euclid(period_us);
        let first = number(received[0]);
        // What was tried has had its hour, wherever the clock leaps.
        if number(wall_us) <= first && !again {
            return Err("a digest before its hour");
        }
        if received.iter().any(|it| number(*it) > first) {
            return Err("a digest with what belongs to the next one");
        }
        Ok(())
    }

    /// A lasting state of a drive is told once, and its end once.
    fn states(&self) -> Result<(), Broken> {
        let mut standing: BTreeMap<(String, String, Option<u64>), String> = BTreeMap::new();
        let names = ["shift.overdue", "drive.term", "drive.memory", "operator.silent", "drive.backlog"];
        for ((_, _, kind, state), body) in self.places().filter(|it| names.contains(&it.0.2.as_str())) {
            let drive = body["drive"].as_str().unwrap_or_default().to_owned();
            let shift = body["data"]["shift"].as_u64();
            let (key, state) = ((kind.clone(), drive, shift), state.clone());
            if standing.insert(key.clone(), state.clone()).is_some_and(|before| before == state) {
                return Err(format!("notices: {key:?} {state} twice"));
            }
        }
        Ok(())
    }
}

/// What an event says to whom wants to know, by the table of docs/notifications.md: kind, side of the state, how much.
fn said_of(event: &Event) -> Vec<(NoticeKind, &'static str, u64)> {
    use NoticeKind as K;
    let edge = |before: bool, now: bool| match (before, now) {
        (false, true) => Some("began"),
        (true, false) => Some("ended"),
        _ => None,
    };
    let state = |kind: K, before: bool, now: bool| edge(before, now).map(|it| (kind, it, 0));
    match &event.kind {
        EventKind::GapOpened(range) => vec![(K::GapOpened, "once", u64::from(range.last - range.first) + 1)],
        EventKind::ShiftOverdue { .. } => vec![(K::ShiftOverdue, "began", 0)],
        EventKind::ShiftOverdueEnded { .. } => vec![(K::ShiftOverdue, "ended", 0)],
        EventKind::ShiftState(it) => {
            let closes = it.shift.closed.is_some_and(|it| it.number == event.number);
            let ends = it.shift.overdue && it.shift.revision == 0 && closes;
            ends.then_some((K::ShiftOverdue, "ended", 0)).into_iter().collect()
        }
        EventKind::DriveFlags { flags, before } => {
            let has = |of: u8, mask: u8| of & mask != 0;
            let all = [(K::DriveTerm, 3), (K::DriveMemory, 4), (K::OperatorSilent, 8)];
            all.into_iter()
                .filter_map(|(kind, mask)| state(kind, has(*before, mask), has(*flags, mask)))
                .collect()
        }
        EventKind::Backlog { documents, before, .. } => {
            state(K::DriveBacklog, *before > 0, *documents > 0).into_iter().collect()
        }
        EventKind::ColourChanged(it) => {
            let facets = [
                (K::RegisterSilent, Facet::Transfer),
                (K::ServiceEnds, Facet::Connection),
                (K::DriveEnds, Facet::Drive),
            ];
            let bad = |of: Facet| (it.before.of(of) as u64 > 0, it.now.of(of) as u64 > 0);
            let states = facets.into_iter().filter_map(|(kind, of)| state(kind, bad(of).0, bad(of).1));
            std::iter::once((K::ColourChanged, "once", 0)).chain(states).collect()
        }
        EventKind::TaxAnswered(it) => vec![match it.kind {
            StatusKind::Refused => (K::TaxRefused, "once", 0),
            StatusKind::Quarantined => (K::TaxQuarantined, "once", 0),
            _ => (K::TaxWarned, "once", 0),
        }],
        EventKind::Found(it) => {
            vec![(K::ViolationFound, if it.rule.rule().lasting { "began" } else { "once" }, 0)]
        }
        EventKind::FindingEnded(it) => {
            it.rule.rule().lasting.then_some((K::ViolationFound, "ended", 0)).into_iter().collect()
        }
        other => K::of_name(other.name()).map(|kind| (kind, "once", 0)).into_iter().collect(),
    }
}

impl World<'_> {
    /// The notifier gets on.
    pub(super) fn notify(&mut self) -> Result<bool, Broken> {
        let Self { notices: Some(notices), machine: Some(machine), .. } = self else { return Ok(false) };
        let asked = notices.subscribe(machine.engine());
        let worked = machine.notify_turn() == Turned::Worked;
        let words = notices.look()?;
        self.note(&words);
        self.see_synced()?;
        Ok(worked | asked)
    }

    /// Everybody was told everything that is there, and nothing else.
    pub(super) fn end_notices(&mut self) -> Result<(), Broken> {
        if self.notices.is_none() {
            return Ok(());
        }
        let begun = self.now();
        loop {
            let engine = self.machine.as_ref().unwrap().engine();
            let durable = engine.durable();
            let mut feed = engine.events(&Capability::operator(), Position::START);
            let mut all = Vec::new();
            loop {
                let before = feed.position();
                let batch =
                    feed.next_batch(200, Duration::ZERO).map_err(|error| format!("events: {error}"))?;
                if batch.is_empty() && feed.position() == before {
                    break;
                }
                all.extend(batch);
            }
            if feed.position() >= durable {
                return self.notices.as_ref().unwrap().check(&all);
            }
            // The notifier knows how far it was; the fold of a new life has still to come there.
            self.fold()?;
            self.env.advance(SECOND / 2, SECOND as i64 / 2);
            if self.now() > begun + 600 * SECOND {
                return Err("liveness: the events do not catch up".into());
            }
        }
    }
}
