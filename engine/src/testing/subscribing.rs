//! A command about subscriptions on its way to the log: [`Engine::subscribe`] for who has no thread to wait on.

use super::commanding::Appending;
use crate::engine::Engine;
use crate::error::Error;
use crate::notify::SubscriptionCommand;

/// The command, until it is durable.
pub struct Subscribing {
    command: Option<SubscriptionCommand>,
    appending: Appending,
}

impl Subscribing {
    /// Hands the command to the writer. Only one at a time.
    ///
    /// # Errors
    /// As [`Engine::subscribe`].
    pub fn begin(engine: &Engine, command: SubscriptionCommand) -> Result<Self, Error> {
        let answer = engine.begin_subscription(&command)?;
        Ok(Self { command: Some(command), appending: Appending::new(answer) })
    }

    /// True: it stands. False: ask again later.
    ///
    /// # Errors
    /// As [`Engine::subscribe`].
    pub fn poll(&mut self, engine: &Engine) -> Result<bool, Error> {
        let Some(lsn) = self.appending.poll(engine)? else { return Ok(false) };
        self.command.take().into_iter().for_each(|it| engine.end_subscription(lsn, it));
        Ok(true)
    }
}
