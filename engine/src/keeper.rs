//! The keeper: behind the watermark it indexes what was sealed and writes checkpoints of the lanes, so that a
//! start need not read the log.
//!
//! Nobody waits for it. What it has not come to is in memory ([`ofd_storage::Index`]) and is read again at the next
//! start; what it writes can be thrown away.

use std::sync::Arc;
use std::time::Duration;

use ofd_storage::Lsn;

use crate::checkpoint;
use crate::shared::{Health, Shared, Stage, Turn};

/// How long the keeper sleeps at most; a seal rings.
const IDLE_SLEEP: Duration = Duration::from_millis(500);
/// How long it waits after an error of the disk.
const RETRY_US: u64 = 1_000_000;

/// The keeper at work.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    /// Where the newest checkpoint ends, and how many lanes it holds.
    kept: (Lsn, u64),
    retry_at_us: u64,
}

impl Keeper {
    /// `kept` is where the newest checkpoint ends, and how many lanes it holds.
    pub(crate) fn new(shared: Arc<Shared>, kept: (Lsn, u64)) -> Self {
        Self { shared, kept, retry_at_us: 0 }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.shared.keeper_bell.is_mine();
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle => self.shared.keeper_bell.sleep(IDLE_SLEEP, || true),
                Turn::Ended => return,
            }
        }
    }

    /// One piece of work.
    pub(crate) fn turn(&mut self) -> Turn {
        if self.shared.stage() >= Stage::WriterEnds || self.shared.health() == Health::Failed {
            return Turn::Ended;
        }
        let now_us = self.shared.now().mono_us;
        if now_us < self.retry_at_us {
            return Turn::Idle;
        }
        let worked = match self.shared.sides.turn(&self.shared.reader) {
            Ok(false) => self.checkpoint(),
            other => other,
        };
        match worked {
            Ok(true) => Turn::Worked,
            Ok(false) => Turn::Idle,
            Err(error) => {
                tracing::warn!(%error, "the index waits: what it lacks stays in memory");
                self.retry_at_us = now_us.saturating_add(RETRY_US);
                Turn::Idle
            }
        }
    }

    /// A checkpoint costs as much as its lanes, so there is one when about as many documents have come.
    fn checkpoint(&mut self) -> Result<bool, ofd_storage::Error> {
        let through = self.shared.sides.through();
        let (kept, lanes) = self.kept;
        let behind = through.get().saturating_sub(kept.get());
        if behind < lanes.max(self.shared.options.checkpoint_after) {
            return Ok(false);
        }
        let written = checkpoint::write(&*self.shared.env, &self.shared.sides.view())?;
        self.kept = (written.through(), written.len());
        Ok(true)
    }
}
