//! Notices: who wants to know is told what happens to the registers, by a channel of the host, at least once and in order.
//!
//! ```text
//!  DIR/events ─▶ kinds ─▶ lines, one a subscription ─▶ Channel ─▶ answer ─▶ log (Status) ─▶ cursor of the line
//!                kind.rs  queue.rs · clock.rs · item.rs          teller.rs (ofd-notify)   saved.rs
//! ```
//!
//! Subscriptions are commands of the log (subscription.rs). What is told follows from the events of the registers alone, which
//! are the same after every restart; how far each subscription is follows from the records of its deliveries. So nothing is
//! lost by a crash, and what was under way comes again with the same id. The door knows nothing of all this.
//!
//! Invariants: addresses appear in no log line, `Debug` or metric (test: `tests/notices.rs`).

mod clock;
mod item;
mod kind;
mod queue;
mod saved;
mod subscription;
pub(crate) mod teller;

use std::sync::PoisonError;

#[cfg(feature = "testing")]
use crossbeam_channel::Receiver;
use ofd_storage::{Lsn, Position};

pub use self::clock::{Digest, Quiet};
pub use self::kind::{Edge, Kinds, NoticeKind};
pub use self::queue::{ATTEMPTS_MIN, NoticeCounts};
pub(crate) use self::subscription::Subscriptions;
pub use self::subscription::{
    NoticeScope, SUBSCRIPTION_ID_LEN_MAX, SUBSCRIPTIONS_MAX, Subscription, SubscriptionCommand,
};
pub(crate) use self::teller::{Desk, Teller};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
#[cfg(feature = "testing")]
use crate::handover::Unanswered;

/// A subscription and how far it is.
#[derive(Clone, Debug)]
pub struct SubscriptionState {
    /// What was asked for.
    pub subscription: Subscription,
    /// Everything of all records before this one is told, and of this one what comes before `index`; [`Subscription::id`]s go on
    /// behind it.
    pub told: Position,
    /// Place of the last event told in that record; `None`: all of it.
    pub index: Option<u32>,
    /// Notices that wait.
    pub waiting: usize,
    /// There are more behind them that were not looked at yet.
    pub behind: bool,
}

/// What the notifier has done and has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeStatus {
    /// Deliveries since the start.
    pub counts: NoticeCounts,
    /// Notices that wait.
    pub waiting: usize,
    /// When the oldest of them happened, microseconds UTC.
    pub oldest_us: Option<i64>,
}

impl Engine {
    /// Makes, changes, ends or sends back a subscription; durable when this returns. The position of the command: of what
    /// happens behind it a new subscription is told.
    ///
    /// # Errors
    /// `Fix` when there is no such subscription or channel, or there are too many; `Reopen` when the log has failed.
    pub fn subscribe(&self, command: SubscriptionCommand) -> Result<Position, Error> {
        self.check_subscription(&command)?;
        let desk = self.desk();
        let mut standing = desk.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        standing.0.check(&command).map_err(|what| Error::new(ErrorKind::Fix, what))?;
        let at = self.append_commands([command.to_payload()])?;
        desk.take_in(&mut standing, at, command);
        Ok(Position::new(at))
    }

    /// Whether a command asks for what there is.
    fn check_subscription(&self, command: &SubscriptionCommand) -> Result<(), Error> {
        let fix = |what: String| Error::new(ErrorKind::Fix, what);
        // A tool that has the directory for a moment has no channels: the server will, or holds it back until then.
        if let SubscriptionCommand::Set(it) = command
            && !self.shared().host.channels.is_empty()
            && !self.shared().host.channels.contains_key(&it.channel)
        {
            let names: Vec<&str> = self.shared().host.channels.keys().map(String::as_str).collect();
            return Err(fix(format!("there is no such channel; there are: {}", names.join(", "))));
        }
        if let SubscriptionCommand::Replay { from, .. } = command
            && *from > self.durable()
        {
            return Err(fix("nothing has happened behind that position yet".to_owned()));
        }
        Ok(())
    }

    /// As [`Engine::subscribe`] for who has no thread to wait on: hands the command to the writer.
    #[cfg(feature = "testing")]
    pub(crate) fn begin_subscription(
        &self,
        command: &SubscriptionCommand,
    ) -> Result<Receiver<Result<Lsn, Unanswered>>, Error> {
        self.check_subscription(command)?;
        let standing = self.desk().subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        standing.0.check(command).map_err(|what| Error::new(ErrorKind::Fix, what))?;
        drop(standing);
        let answer = self.begin_command(command.to_payload())?;
        self.shared().writer_bell.ring();
        Ok(answer)
    }

    /// The command at this position is durable.
    #[cfg(feature = "testing")]
    pub(crate) fn end_subscription(&self, at: Lsn, command: SubscriptionCommand) {
        let desk = self.desk();
        let mut standing = desk.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        desk.take_in(&mut standing, at, command);
    }

    /// The subscriptions that stand, and how far each is.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        let desk = self.desk();
        let standing = desk.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        // A tool that has the directory for a moment has no channels, and so no notifier: it says how far each was left.
        let lines = if self.shared().host.channels.is_empty() {
            teller::left(self.shared(), &standing.0, standing.1)
        } else {
            desk.seen.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
        };
        let state = |it: &subscription::Standing| {
            let at = lines.get(&it.spec.id).copied();
            let (place, waiting, behind) = at.unwrap_or((item::Place::behind(it.from), 0, true));
            SubscriptionState {
                subscription: it.spec.clone(),
                told: Position::new(place.lsn),
                index: (place.part != u32::MAX).then(|| place.index()),
                waiting,
                behind,
            }
        };
        standing.0.iter().map(state).collect()
    }

    /// What the notifier has done since the start, and what waits.
    pub fn notice_status(&self) -> NoticeStatus {
        let seen = self.desk().seen.lock().unwrap_or_else(PoisonError::into_inner);
        NoticeStatus { counts: seen.counts, waiting: seen.waiting, oldest_us: seen.oldest_us }
    }
}

/// The subscriptions that the commands of a log come to, and the last command of them.
pub(crate) fn folded<'c>(commands: impl Iterator<Item = (Lsn, &'c [u8])>) -> (Subscriptions, Lsn) {
    let (mut all, mut last) = (Subscriptions::default(), Lsn::NONE);
    for (at, payload) in commands {
        if let Some(command) = SubscriptionCommand::of_payload(payload) {
            all.fold(at, command);
            last = at;
        }
    }
    (all, last)
}
