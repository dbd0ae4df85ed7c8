//! What an operator tells the door of a running engine, with who and why as a record of the log.
//!
//! ```text
//! {"do":"door.defer","by":"…","reason":"…"}     new documents are left unanswered, and registers keep them
//! {"do":"door.accept","by":"…","reason":"…"}    the end of it
//! {"do":"door.drain","by":"…","reason":"…"}     the process is asked to end well
//! ```
//!
//! All three end with the process: a start accepts. A document that is known is answered as before while the door defers.

use std::sync::atomic::Ordering;

use ofd_storage::Lsn;
use serde_json::json;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};

/// Longest text of who and why, bytes.
const TEXT_LEN_MAX: usize = 1_000;

/// A word to the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorCommand {
    /// Leave new documents unanswered.
    Defer,
    /// Accept again.
    Accept,
    /// End the process well; who runs the engine looks at [`Engine::is_asked_to_drain`].
    Drain,
}

impl DoorCommand {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Defer, Self::Accept, Self::Drain];

    /// What it is called in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Defer => "door.defer",
            Self::Accept => "door.accept",
            Self::Drain => "door.drain",
        }
    }
}

/// Who asks and why, or what is wrong with it.
pub(crate) fn checked<'t>(by: &'t str, reason: &'t str) -> Result<(&'t str, &'t str), Error> {
    let fits = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_LEN_MAX;
    if fits(by) && fits(reason) {
        return Ok((by, reason));
    }
    Err(Error::new(ErrorKind::Fix, "a command wants who and why, 1 to 1000 bytes each"))
}

impl Engine {
    /// Tells the door; the position of its record. It counts from when the record is durable.
    ///
    /// # Errors
    /// `Fix` when nobody says who and why; `Reopen` when the log has failed.
    pub fn door_command(&self, command: DoorCommand, by: &str, reason: &str) -> Result<Lsn, Error> {
        let (by, reason) = checked(by, reason)?;
        let payload = json!({"do": command.name(), "by": by, "reason": reason}).to_string();
        let lsn = self.append_commands([payload.into_bytes()])?;
        let shared = self.shared();
        match command {
            DoorCommand::Defer => shared.held.store(true, Ordering::Relaxed),
            DoorCommand::Accept => shared.held.store(false, Ordering::Relaxed),
            DoorCommand::Drain => shared.drain_asked.store(true, Ordering::Relaxed),
        }
        tracing::warn!(command = command.name(), "an operator has told the door");
        Ok(lsn)
    }

    /// Whether an operator has asked this process to end well.
    pub fn is_asked_to_drain(&self) -> bool {
        self.shared().drain_asked.load(Ordering::Relaxed)
    }
}
