//! What the archive tells once more: the fold of records that have left the log.
//!
//! A start without checkpoints folds them to know the registers; a reader of events that asks for years behind the oldest file
//! folds them to be told the same events in the same positions. That costs what such a start costs, in memory the registers as
//! well.

use std::sync::Arc;

use ofd_storage::manifest::Walk;
use ofd_storage::{Env, Error, ErrorKind, LogReader, Position};

use super::operator;
use crate::past::LogPast;
use crate::registers::{Event, Registers, SHIFTS_KEPT};

/// Folds so many records of the archive; false at its end. A run that cannot be read is passed over: its numbers are missing,
/// here as in a fold of the log.
///
/// # Errors
/// As [`Walk::next_record`], but for the runs that are passed over.
pub(super) fn fold_archived(
    walk: &mut Walk,
    registers: &mut Registers,
    past: &LogPast,
    records: usize,
    events: &mut Vec<Event>,
) -> Result<bool, Error> {
    for _ in 0..records {
        match walk.next_record() {
            Ok(Some(record)) => registers.fold(&record.record(), past, events)?,
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt && walk.pass() => {
                tracing::error!(%error, "alarm: the registers lack a part of the archive");
                registers.pass(walk.position());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Events whose files are gone, as far as they are told again.
pub(super) struct Retold {
    walk: Walk,
    registers: Registers,
    past: LogPast,
}

impl Retold {
    /// Tells up to and with `through`.
    pub(super) fn new(env: &Arc<dyn Env>, reader: &LogReader, through: Position) -> Self {
        let registers = Registers::new(operator::known(&**env), SHIFTS_KEPT).seeded(|| env.random());
        let walk = Walk::new(env, Position::START, through);
        Self { walk, registers, past: LogPast::new(reader.clone(), Arc::clone(env)) }
    }

    /// Folds so many more records; false at the end.
    ///
    /// # Errors
    /// As [`fold_archived`]. Then what was folded is lost, and another one has to begin.
    pub(super) fn next(&mut self, records: usize, events: &mut Vec<Event>) -> Result<bool, Error> {
        fold_archived(&mut self.walk, &mut self.registers, &self.past, records, events)
    }

    /// Everything up to here was told.
    pub(super) fn position(&self) -> Position {
        self.walk.position()
    }
}
