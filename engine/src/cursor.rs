//! Named cursors: how far a reader has come, kept by the engine as records of the log.
//!
//! At least once: a position is durable when [`Cursor::save`] returns; after a crash a reader goes on from
//! the last one that was saved and recognises what it has seen by its position.
//!
//! Shape of the payload: 9 bytes of the position, then the name, UTF-8.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ofd_storage::{Lsn, Position, RecordKind};

use crate::error::{Error, ErrorKind};
use crate::handover::Unanswered;
use crate::shared::Shared;
use crate::writer;

/// Longest name, bytes.
pub const CURSOR_NAME_LEN_MAX: usize = 128;
/// How long a save may take.
const SAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// A named cursor.
pub struct Cursor {
    name: String,
    shared: Arc<Shared>,
    writer: Sender<writer::Call>,
    cursors: Arc<Mutex<BTreeMap<String, Position>>>,
}

impl Cursor {
    pub(crate) fn new(
        name: &str,
        shared: Arc<Shared>,
        writer: Sender<writer::Call>,
        cursors: Arc<Mutex<BTreeMap<String, Position>>>,
    ) -> Self {
        Self { name: name.to_owned(), shared, writer, cursors }
    }

    /// The position saved last; the start when there is none.
    pub fn position(&self) -> Position {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get(&self.name).copied().unwrap_or(Position::START)
    }

    /// Saves a position; it is durable when this returns. Never past the watermark and never backwards:
    /// another go over old records is a feed from an older position, not a cursor.
    ///
    /// # Errors
    /// `Fix` for a name that is empty or too long, a position that is not durable yet or behind the saved one;
    /// `Reopen` when the log has failed.
    pub fn save(&self, position: Position) -> Result<(), Error> {
        let answer = self.begin(position)?;
        let lsn = answer.recv_timeout(SAVE_TIMEOUT).map_err(|_| not_taken())?.map_err(|_| not_taken())?;
        if !self.shared.wait_durable(lsn, SAVE_TIMEOUT) {
            return Err(not_taken());
        }
        self.saved(position);
        Ok(())
    }

    /// Hands the position to the writer, who answers with the place of its record.
    pub(crate) fn begin(&self, position: Position) -> Result<Receiver<Result<Lsn, Unanswered>>, Error> {
        if self.name.is_empty() || self.name.len() > CURSOR_NAME_LEN_MAX {
            return Err(Error::new(ErrorKind::Fix, "a cursor's name has 1 to 128 bytes"));
        }
        if position.lsn() > self.shared.watermark.load() {
            return Err(Error::new(ErrorKind::Fix, "a cursor may not pass what is durable"));
        }
        if position < self.position() {
            return Err(Error::new(ErrorKind::Fix, "a cursor does not go back"));
        }
        let mut payload = position.to_bytes().to_vec();
        payload.extend_from_slice(self.name.as_bytes());
        let (reply, answer) = bounded(1);
        self.writer
            .send(writer::Call::Append { kind: RecordKind::Cursor, payload, reply })
            .map_err(|_| not_taken())?;
        self.shared.writer_bell.ring();
        Ok(answer)
    }

    /// The record of this position is durable.
    pub(crate) fn saved(&self, position: Position) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        // Two savers may have overtaken each other: the farther one stays, here as in recovery.
        let saved = cursors.entry(self.name.clone()).or_default();
        *saved = position.max(*saved);
    }
}

/// The log has failed, or did not get to it in time.
pub(crate) fn not_taken() -> Error {
    Error::new(ErrorKind::Reopen, "the log did not take the cursor")
}

/// Reads a cursor record; `None` when it is of another version.
pub(crate) fn decode_cursor(payload: &[u8]) -> Option<(String, Position)> {
    let (position, name) = payload.split_first_chunk::<{ Position::ENCODED_LEN }>()?;
    let position = Position::from_bytes(*position).ok()?;
    Some((String::from_utf8(name.to_vec()).ok()?, position))
}
