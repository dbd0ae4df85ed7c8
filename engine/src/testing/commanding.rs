//! A command on its way to the log, for who has no thread to wait on: [`Engine::tax_command`] without waiting.

use crossbeam_channel::{Receiver, TryRecvError};
use ofd_storage::Lsn;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::handover::Unanswered;
use crate::shared::Health;
use crate::tax::TaxCommand;

/// A command that was handed to the writer, until it is durable.
pub(super) struct Appending {
    answer: Receiver<Result<Lsn, Unanswered>>,
    lsn: Option<Lsn>,
}

impl Appending {
    pub(super) const fn new(answer: Receiver<Result<Lsn, Unanswered>>) -> Self {
        Self { answer, lsn: None }
    }

    /// Where it stands; `None` while it does not yet.
    pub(super) fn poll(&mut self, engine: &Engine) -> Result<Option<Lsn>, Error> {
        let failed = || Error::new(ErrorKind::Reopen, "the log did not take the command");
        if self.lsn.is_none() {
            match self.answer.try_recv() {
                Ok(appended) => self.lsn = Some(appended.map_err(|_| failed())?),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(failed()),
            }
        }
        let durable = self.lsn.filter(|lsn| *lsn <= engine.durable().lsn());
        if durable.is_none() && engine.health() == Health::Failed { Err(failed()) } else { Ok(durable) }
    }
}

/// A command to the leg of the tax service, until it is durable.
pub struct Commanding(Appending);

impl Commanding {
    /// Hands the command to the writer.
    ///
    /// # Errors
    /// As [`Engine::tax_command`].
    pub fn begin(engine: &Engine, command: TaxCommand, by: &str, reason: &str) -> Result<Self, Error> {
        let answer = engine.begin_command(command.to_payload(by, reason))?;
        engine.shared().writer_bell.ring();
        Ok(Self(Appending::new(answer)))
    }

    /// True: it stands. False: ask again later.
    ///
    /// # Errors
    /// As [`Engine::tax_command`].
    pub fn poll(&mut self, engine: &Engine) -> Result<bool, Error> {
        self.0.poll(engine).map(|durable| durable.is_some())
    }
}
