//! A command about subscriptions on its way to the log: [`Engine::subscribe`] for who has no thread to wait on.

use crossbeam_channel::{Receiver, TryRecvError};
use ofd_storage::Lsn;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::handover::Unanswered;
use crate::notify::SubscriptionCommand;
use crate::shared::Health;

/// The command, until it is durable.
pub struct Subscribing {
    command: Option<SubscriptionCommand>,
    answer: Receiver<Result<Lsn, Unanswered>>,
    lsn: Option<Lsn>,
}

impl Subscribing {
    /// Hands the command to the writer. Only one at a time.
    ///
    /// # Errors
    /// As [`Engine::subscribe`].
    pub fn begin(engine: &Engine, command: SubscriptionCommand) -> Result<Self, Error> {
        let answer = engine.begin_subscription(&command)?;
        Ok(Self { command: Some(command), answer, lsn: None })
    }

    /// True: it stands. False: ask again later.
    ///
    /// # Errors
    /// As [`Engine::subscribe`].
    pub fn poll(&mut self, engine: &Engine) -> Result<bool, Error> {
        let failed = || Error::new(ErrorKind::Reopen, "the log did not take the command");
        if self.lsn.is_none() {
            match self.answer.try_recv() {
                Ok(appended) => self.lsn = Some(appended.map_err(|_| failed())?),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(failed()),
            }
        }
        if let Some(lsn) = self.lsn.filter(|lsn| *lsn <= engine.durable().lsn()) {
            self.command.take().into_iter().for_each(|it| engine.end_subscription(lsn, it));
            return Ok(true);
        }
        if engine.health() == Health::Failed { Err(failed()) } else { Ok(false) }
    }
}
