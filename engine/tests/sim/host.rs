//! The host's side: a crypto module as far away and as moody as a real one, an admission that defers, and readers with
//! named cursors.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ofd_engine::host::{
    Admission, AdmissionRequest, Admitted, Answering, Capability, ConfirmOutcome, ConfirmRequest,
    ConfirmSigns, DirectorySnapshot, DriveCrypto, OpenOutcome, OpenRequest,
};
use ofd_engine::storage::Env as _;
use ofd_engine::storage::testing::SimEnv;
use ofd_engine::testing::Saving;
use ofd_engine::{Cursor, Engine, ErrorKind, Feed, Position};

use crate::oracle::{Broken, Oracle};
use crate::rng::Rng;

/// What goes wrong with the host, out of 65,536.
#[derive(Clone, Debug, Default)]
pub struct Moods {
    pub passes_through: bool,
    /// Microseconds a call takes at most.
    pub delay_us: u64,
    pub stalls: u64,
    pub unavailable: u64,
    pub short: u64,
    pub defers: u64,
    pub crashes: u64,
}

struct Inside {
    rng: Rng,
    moods: Moods,
    /// In the order they came.
    waiting: Vec<(u64, Waker)>,
    /// None of them is due before.
    due: u64,
    /// Containers that the module calls forged.
    forged: BTreeSet<Bytes>,
}

/// The crypto module and the admission.
#[derive(Clone)]
pub struct Host {
    env: SimEnv,
    inside: Arc<Mutex<Inside>>,
}

impl Host {
    pub fn new(env: SimEnv, seed: u64, moods: Moods) -> Self {
        let inside =
            Inside { rng: Rng(seed), moods, waiting: Vec::new(), due: u64::MAX, forged: BTreeSet::new() };
        Self { env, inside: Arc::new(Mutex::new(inside)) }
    }

    pub fn change(&self, change: impl FnOnce(&mut Moods)) {
        change(&mut self.inside.lock().unwrap().moods);
    }

    pub fn forge(&self, container: &[u8]) {
        self.inside.lock().unwrap().forged.insert(Bytes::copy_from_slice(container));
    }

    /// Wakes whoever waits for a call that has its answer now.
    pub fn turn(&self) -> bool {
        let now = self.env.now().mono_us;
        let mut inside = self.inside.lock().unwrap();
        if now < inside.due {
            return false;
        }
        let (ready, rest): (_, Vec<_>) =
            std::mem::take(&mut inside.waiting).into_iter().partition(|(at, _)| *at <= now);
        inside.due = rest.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        inside.waiting = rest;
        drop(inside);
        let ready: Vec<(u64, Waker)> = ready;
        let worked = !ready.is_empty();
        ready.into_iter().for_each(|(_, waker)| waker.wake());
        worked
    }

    fn later<T: Send + Unpin + 'static>(
        &self,
        value: impl FnOnce(&mut Inside) -> Vec<T>,
    ) -> Answering<Vec<T>> {
        let mut inside = self.inside.lock().unwrap();
        let mut outcomes = value(&mut inside);
        let Inside { rng, moods, .. } = &mut *inside;
        if rng.chance(moods.short) {
            outcomes.truncate(rng.below(outcomes.len() as u64) as usize);
        }
        let delay = if rng.chance(moods.stalls) { u64::MAX } else { rng.below(moods.delay_us + 1) };
        let at_us = self.env.now().mono_us.saturating_add(delay);
        drop(inside);
        Box::pin(Later { host: self.clone(), at_us, outcomes })
    }
}

/// An answer that comes when its time has come.
struct Later<T> {
    host: Host,
    at_us: u64,
    outcomes: Vec<T>,
}

impl<T: Unpin> Future for Later<T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<T>> {
        if self.host.env.now().mono_us >= self.at_us {
            return Poll::Ready(std::mem::take(&mut self.outcomes));
        }
        // A call that stalls has no answer to be woken for.
        if self.at_us < u64::MAX {
            let mut inside = self.host.inside.lock().unwrap();
            inside.due = inside.due.min(self.at_us);
            inside.waiting.push((self.at_us, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl DriveCrypto for Host {
    fn passes_through(&self) -> bool {
        self.inside.lock().unwrap().moods.passes_through
    }

    fn open(&self, batch: Vec<OpenRequest>) -> Answering<Vec<OpenOutcome>> {
        self.later(|Inside { rng, moods, forged, .. }| {
            let mut open = |request: &OpenRequest| {
                // What a host may write: the canaries are looked for in it.
                tracing::trace!(target: "sim", ?request, "asked to open");
                if rng.chance(moods.unavailable) {
                    return if rng.one_in(2) { OpenOutcome::Unavailable } else { OpenOutcome::UnknownDrive };
                }
                if forged.contains(&request.container) {
                    return OpenOutcome::Forged;
                }
                let body = request.container.slice(32..request.container.len() - 10);
                OpenOutcome::Ok(rng.one_in(2).then(|| Bytes::copy_from_slice(&body)))
            };
            batch.iter().map(&mut open).collect()
        })
    }

    fn confirm(&self, batch: Vec<ConfirmRequest>) -> Answering<Vec<ConfirmOutcome>> {
        self.later(|Inside { rng, moods, .. }| {
            let mut sign = |request: &ConfirmRequest| {
                tracing::trace!(target: "sim", ?request, "asked to sign");
                if rng.chance(moods.unavailable) {
                    return ConfirmOutcome::Unavailable;
                }
                let mut signs = ConfirmSigns::STAND_IN;
                signs.operator_sign[4..].copy_from_slice(&request.number.to_le_bytes());
                ConfirmOutcome::Ok(signs)
            };
            batch.iter().map(&mut sign).collect()
        })
    }
}

impl Admission for Host {
    fn admit(&self, _directory: &DirectorySnapshot, request: &AdmissionRequest) -> Admitted {
        let mut inside = self.inside.lock().unwrap();
        let Inside { rng, moods, .. } = &mut *inside;
        match rng.chance(moods.defers) {
            true => Admitted::Defer,
            false if request.number.is_multiple_of(7) => Admitted::Flag(7),
            false => Admitted::Accept,
        }
    }
}

/// A program of the host that follows the log and keeps its place in a named cursor.
pub struct Reader {
    name: String,
    most: usize,
    crashes: u64,
    feed: Option<Feed>,
    saving: Option<(Saving, Cursor, Position)>,
    /// Everything it was ever given, and how far that was looked through.
    given: BTreeSet<u64>,
    looked: u64,
    /// The last position whose save returned Ok.
    saved: Position,
    /// The farthest one it ever asked to save.
    asked: Position,
    pub repeated: u64,
}

impl Reader {
    pub fn new(name: String, most: usize, crashes: u64) -> Self {
        Self {
            name,
            most,
            crashes,
            feed: None,
            saving: None,
            given: BTreeSet::new(),
            looked: 0,
            saved: Position::START,
            asked: Position::START,
            repeated: 0,
        }
    }

    /// The program, or the engine under it, is gone.
    pub fn crash(&mut self) {
        self.feed = None;
        self.saving = None;
    }

    pub fn calm(&mut self) {
        self.crashes = 0;
    }

    pub fn has_all(&self, oracle: &Oracle) -> bool {
        self.saved.lsn().get() >= oracle.documents.last().copied().unwrap_or_default()
    }

    /// Nothing at or below a saved position may be missing.
    fn gave_all(&mut self, oracle: &Oracle) -> Result<(), Broken> {
        let upto = self.saved.lsn().get().max(self.looked);
        let from = std::mem::replace(&mut self.looked, upto);
        match oracle.documents.range(from..=upto).find(|lsn| !self.given.contains(lsn)) {
            Some(lsn) => Err(format!("I7: a cursor stands at {upto}, {lsn} was never given out")),
            None => Ok(()),
        }
    }

    pub fn turn(&mut self, engine: &Engine, oracle: &Oracle, rng: &mut Rng) -> Result<bool, Broken> {
        if rng.chance(self.crashes) {
            self.crash();
            return Ok(true);
        }
        if let Some((saving, cursor, position)) = &mut self.saving {
            let position = *position;
            return match saving.poll(engine, cursor) {
                Ok(false) => Ok(false),
                Ok(true) => {
                    self.saving = None;
                    self.saved = position;
                    self.gave_all(oracle).map(|()| true)
                }
                Err(_) => {
                    self.crash();
                    Ok(true)
                }
            };
        }
        let Some(feed) = &mut self.feed else {
            let position = engine.cursor(&self.name).position();
            if position < self.saved || position > self.asked {
                return Err(format!(
                    "I7: a cursor saved at {} stands at {}",
                    self.saved.lsn(),
                    position.lsn()
                ));
            }
            // A save may have come through though nobody heard of it.
            self.saved = position;
            self.feed = Some(engine.feed(&Capability::operator(), position));
            return self.gave_all(oracle).map(|()| true);
        };
        let before = feed.position();
        let batch = match feed.next_batch(self.most, Duration::ZERO) {
            Ok(batch) => batch,
            Err(error) if error.kind() == ErrorKind::Corrupt => return Err(format!("I7: {error}")),
            Err(_) => {
                self.crash();
                return Ok(true);
            }
        };
        let mut last = before.lsn().get();
        for document in &batch {
            let lsn = document.position().lsn().get();
            if lsn <= last || !oracle.documents.contains(&lsn) {
                return Err(format!("I7: a feed gives {lsn} after {last}, durable is {}", oracle.durable()));
            }
            last = lsn;
            self.repeated += u64::from(!self.given.insert(lsn));
        }
        let position = feed.position();
        if position < before || position.lsn().get() > oracle.durable() {
            return Err(format!("I7: a feed stands at {}, durable is {}", position.lsn(), oracle.durable()));
        }
        // Whether it has passed over anything is seen when the position is saved.
        if batch.is_empty() {
            return Ok(false);
        }
        let cursor = engine.cursor(&self.name);
        match Saving::begin(&cursor, position) {
            Ok(saving) => {
                self.asked = position.max(self.asked);
                self.saving = Some((saving, cursor, position));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Fix => {
                Err(format!("I7: a cursor is not saved: {error}"))
            }
            Err(_) => {
                self.crash();
                Ok(true)
            }
        }
    }
}
