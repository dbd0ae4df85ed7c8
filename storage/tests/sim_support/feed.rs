//! The follower of a log in its simulation, beside the oracle.

use ofd_storage::{LogReader, Lsn, Position, Records};

use super::Broken;
use super::oracle::Oracle;

/// A follower: what it gives is durable, in order, once.
pub struct Feed {
    records: Records,
    next: usize,
}

impl Feed {
    pub fn new(reader: &LogReader, acked: usize) -> Self {
        let next = acked.saturating_sub(20);
        let records = reader.records_from(Position::new(Lsn::new(next as u64)), reader.durable());
        Self { records, next }
    }

    pub fn follow(&mut self, oracle: &Oracle) -> Result<(), Broken> {
        self.records.extend(Lsn::new(u64::MAX));
        loop {
            let before = self.records.position().lsn().get();
            match self.records.next() {
                Ok(Some((found, _))) => {
                    let lsn = found.lsn().get() as usize;
                    if lsn > oracle.acked {
                        return Err(format!("I7: a feed gives {lsn}, durable is {}", oracle.acked));
                    }
                    if lsn != self.next + 1 || !oracle.is_record(lsn, &found) {
                        return Err(format!("I7: a follower gets {lsn} after {}", self.next));
                    }
                    self.next = lsn;
                }
                Ok(None) if self.next == oracle.acked => return Ok(()),
                Ok(None) => {
                    return Err(format!("I7: a follower stands at {} of {}", self.next, oracle.acked));
                }
                Err(error) if oracle.reads_fail && error.is_storage_fault() => return Ok(()),
                Err(error) => {
                    let after = self.records.position().lsn().get();
                    if after == before
                        || !(oracle.lied
                            || (before + 1..=after).all(|lsn| oracle.records[lsn as usize - 1].lost))
                    {
                        return Err(format!("I12: a follower at {before}: {error}"));
                    }
                    self.next = after as usize;
                }
            }
        }
    }
}
