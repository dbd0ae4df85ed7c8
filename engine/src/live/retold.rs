//! Events whose files are gone, told again: by a fold of the archive from its beginning.
//!
//! It costs what a start without checkpoints costs, in memory the registers as well; a reader who asks for the years behind
//! gets them, in the same positions.

use std::sync::Arc;

use ofd_storage::manifest::Walk;
use ofd_storage::{Env, Error, LogReader, Position};

use super::operator;
use crate::past::LogPast;
use crate::registers::{Event, Registers, SHIFTS_KEPT};

/// The fold, as far as it is.
pub(crate) struct Retold {
    walk: Walk,
    registers: Registers,
    past: LogPast,
}

impl Retold {
    /// Tells up to and with `through`.
    pub(crate) fn new(env: &Arc<dyn Env>, reader: &LogReader, through: Position) -> Self {
        let registers = Registers::new(operator::known(&**env), SHIFTS_KEPT).seeded(|| env.random());
        let walk = Walk::new(env, Position::START, through);
        Self { walk, registers, past: LogPast::new(reader.clone(), Arc::clone(env)) }
    }

    /// Folds so many more records, and gives what they tell; `None` at the end.
    ///
    /// # Errors
    /// As [`Walk::next_record`].
    pub(crate) fn next(&mut self, records: usize) -> Result<Option<Vec<Event>>, Error> {
        let mut events = Vec::new();
        for at in 0..records {
            let Some(record) = self.walk.next_record()? else {
                return Ok((at > 0).then_some(events));
            };
            self.registers.fold(&record.record(), &self.past, &mut events)?;
        }
        Ok(Some(events))
    }

    /// Everything up to here was told.
    pub(crate) fn position(&self) -> Position {
        self.walk.position()
    }
}
