//! Sectors that cannot be read, between two lives of the simulated machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{Env, Location, Log, LogState, RecoveryReport, recover};

use super::oracle::{OnDisk, Visit, path_of};
use super::{Broken, House, Rng};

/// Bytes that one bad sector costs a start.
const PIECE: usize = 4096;

impl House<'_> {
    /// A sector that cannot be read: either the log does not open, or it serves the rest and says so. Afterwards it
    /// can be read again: nothing may have been lost by looking.
    pub(super) fn spoil(&mut self, rng: &mut Rng, places: &OnDisk) -> Result<(), Broken> {
        // What the device has dropped already is not lost by the sector.
        if places.is_empty() || self.env.dropped() {
            return Ok(());
        }
        let (_, location, _) = places[rng.below(places.len() as u64) as usize];
        if self.env.spoil_sector(&path_of(location.segment), location.offset as usize).is_err() {
            return Ok(());
        }
        let copy = self.env.fork();
        copy.set_knobs(|knobs| *knobs = SimKnobs::default());
        self.env.mend(false);
        self.opens_or_refuses(copy, location, places, false)
    }

    /// The same below what the newest segment proves: the log has to open, to go on and to close, and the start after it
    /// says the same. Drawn from a stream of its own.
    pub(super) fn spoil_the_open_one(
        &mut self,
        places: &OnDisk,
        report: &RecoveryReport,
    ) -> Result<(), Broken> {
        let mut rng = Rng(self.scenario.seed ^ self.totals.recoveries.rotate_left(40) ^ 0x5EC7);
        let Some((_, newest, _)) = places.last().filter(|_| !self.env.dropped()) else { return Ok(()) };
        let proven: Vec<_> = places
            .iter()
            .filter(|(lsn, place, _)| place.segment == newest.segment && *lsn <= report.proven.get())
            .collect();
        if proven.is_empty() {
            return Ok(());
        }
        let (_, location, len) = *proven[rng.below(proven.len() as u64) as usize];
        // The header block as well, and the batch header before the record.
        let at = match rng.below(4) {
            0 => rng.below(u64::from(location.offset)),
            _ => u64::from(location.offset) + rng.below(len as u64),
        };
        let at = Location { offset: at as u32, ..location };
        let piece_end = (at.offset as usize / PIECE + 1) * PIECE;
        // Behind a proven record lies a batch that proves it: in this segment, unless one that does not count begins behind it.
        let below = proven.iter().any(|(_, place, _)| place.offset as usize >= piece_end);
        let must_open = below && report.set_aside.is_empty();
        let copy = self.env.fork();
        copy.set_knobs(|knobs| *knobs = SimKnobs::default());
        copy.mend(false);
        copy.spoil_sector(&path_of(at.segment), at.offset as usize).map_err(|error| error.to_string())?;
        self.totals.opened_over_sectors += u64::from(must_open);
        self.opens_or_refuses(copy, at, places, must_open)
    }

    fn opens_or_refuses(
        &mut self,
        copy: SimEnv,
        bad: Location,
        places: &OnDisk,
        must_open: bool,
    ) -> Result<(), Broken> {
        let mut env = copy;
        for start in 0..2 {
            let mut visit = Visit::new();
            let opened = recover(Arc::new(env.clone()), self.scenario.options, &mut |record, location| {
                visit.take(&self.oracle, &record, location);
            });
            let (log, report) = match opened {
                Err(error) if error.is_storage_fault() && !must_open => {
                    self.totals.refused_damage += 1;
                    return Ok(());
                }
                Err(error) => {
                    return Err(format!("a sector that cannot be read at {bad}: start {start}: {error}"));
                }
                Ok(opened) => opened,
            };
            if let Some(broken) = visit.broken {
                return Err(broken);
            }
            let shown: BTreeSet<u64> = visit.places.iter().map(|(lsn, _)| *lsn).collect();
            for (lsn, place, len) in places.iter().filter(|(lsn, ..)| !shown.contains(lsn)) {
                let at = bad.offset as usize;
                let near = place.segment == bad.segment
                    && place.offset as usize / PIECE <= at / PIECE
                    && (place.offset as usize + len).div_ceil(PIECE) > at / PIECE;
                let named = report
                    .damaged
                    .iter()
                    .any(|damage| (damage.first.get()..=damage.last.get()).contains(lsn));
                if !near || !named {
                    return Err(format!("I12: {bad} cannot be read, and {lsn} is lost; {report:?}"));
                }
            }
            if !must_open {
                return Ok(());
            }
            close(&env, log)?;
            env = env.power_cut();
        }
        Ok(())
    }
}

/// Whatever cannot be read, a log comes to its end, and nothing waits for a seal for ever.
fn close(env: &SimEnv, mut log: Log) -> Result<(), Broken> {
    let mut queue = env.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
    let (mut ops, mut completions) = (Vec::new(), Vec::new());
    log.shutdown();
    for _ in 0..200 {
        let state = log.step(env.now(), &mut completions, &mut ops).state;
        let idle = ops.is_empty();
        ops.drain(..).for_each(|op| queue.submit(op));
        queue.poll(&mut completions);
        if state == LogState::Closed && idle && completions.is_empty() {
            let unsealed = log.reader().sealed_segments().into_iter().find(|sealed| !sealed.footer);
            return match unsealed {
                None => Ok(()),
                Some(sealed) => Err(format!("liveness: {} over a bad sector has no footer", sealed.id)),
            };
        }
    }
    Err(format!("liveness: a log over a bad sector is {:?}", log.state()))
}
