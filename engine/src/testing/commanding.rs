//! A command to the leg of the tax service on its way to the log: [`Engine::tax_command`] for who has no thread to wait on.

use crossbeam_channel::{Receiver, TryRecvError};
use ofd_storage::Lsn;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::handover::Unanswered;
use crate::shared::Health;
use crate::tax::TaxCommand;

/// The command, until it is durable.
pub struct Commanding {
    answer: Receiver<Result<Lsn, Unanswered>>,
    lsn: Option<Lsn>,
}

impl Commanding {
    /// Hands the command to the writer.
    ///
    /// # Errors
    /// As [`Engine::tax_command`].
    pub fn begin(engine: &Engine, command: TaxCommand, by: &str, reason: &str) -> Result<Self, Error> {
        let answer = engine.begin_command(command.to_payload(by, reason))?;
        engine.shared().writer_bell.ring();
        Ok(Self { answer, lsn: None })
    }

    /// True: it stands. False: ask again later.
    ///
    /// # Errors
    /// As [`Engine::tax_command`].
    pub fn poll(&mut self, engine: &Engine) -> Result<bool, Error> {
        let failed = || Error::new(ErrorKind::Reopen, "the log did not take the command");
        if self.lsn.is_none() {
            match self.answer.try_recv() {
                Ok(appended) => self.lsn = Some(appended.map_err(|_| failed())?),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(failed()),
            }
        }
        if self.lsn.is_some_and(|lsn| lsn <= engine.durable().lsn()) {
            return Ok(true);
        }
        if engine.health() == Health::Failed { Err(failed()) } else { Ok(false) }
    }
}
