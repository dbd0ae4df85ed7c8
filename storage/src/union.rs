//! One truth: the archive and the tail of the log behind it, as of one moment, every stored row once.
//!
//! ```text
//!  positions  1 ……………………………… compacted_through │ +1 ……………………………… through
//!             files that the manifest names       │ records of the log, as the rows they will become
//! ```
//!
//! A snapshot is one manifest and one watermark that is not before it, so that the two parts meet and never overlap,
//! whatever compaction does meanwhile: the next run makes another manifest, which this snapshot does not look at. The
//! tail is made by the code that compaction writes files with, so that a row is the same before and after it.
//!
//! A snapshot holds nothing back. Files that are taken away while somebody reads (a run that is replaced by one without
//! rows whose years are over) and segments that leave the log are `is_not_found` for a reader that comes too late: it takes
//! another snapshot and begins again.

mod condition;
mod findings;
mod scan;
mod search;
mod searched_file;
mod shifts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;

pub use findings::StoredFinding;
pub(crate) use scan::Wanted;
pub use scan::{Part, Scan};
pub use search::{ItemSearch, Payment, SEARCH_LIMIT_MAX, Search, SearchCursor, SearchHit, SearchPage};

use crate::columns::read::damaged;
use crate::columns::row::Row;
use crate::columns::{Batch, Day, Derive, RowReader, ShiftRow, Table};
use crate::compact::SourceRecord;
use crate::compact::plan::Plan;
use crate::env::Env;
use crate::envelope::EnvelopeError;
use crate::error::{Error, ErrorKind};
use crate::manifest::Archive;
use crate::position::{Lsn, Position, SegmentId};
use crate::reader::LogReader;
use crate::record::RecordRef;

/// Rows of the tail handed out at once.
pub const TAIL_BATCH_ROWS: usize = 8192;
/// Bytes of containers handed out at once, about.
const TAIL_BATCH_BYTES: usize = 8 << 20;

/// The archive and the tail of the log.
#[derive(Clone)]
pub struct Snapshot {
    archive: Archive,
    reader: LogReader,
    through: Position,
    derive: Option<Arc<dyn Derive>>,
}

impl Snapshot {
    /// What is durable now. `derive` makes the rows of `violations` and `shifts` in the tail; without it there are none.
    ///
    /// # Errors
    /// As [`Archive::open`]; `Corrupt` when the archive reaches further than the log.
    pub fn take(
        reader: &LogReader,
        env: &Arc<dyn Env>,
        derive: Option<Arc<dyn Derive>>,
    ) -> Result<Self, Error> {
        // In this order: what a compaction has taken was durable before.
        let archive = Archive::open(env)?;
        let through = Position::new(reader.durable());
        if through < archive.compacted_through() {
            let text =
                format!("the archive reaches to {}, the log ends at {through}", archive.compacted_through());
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        Ok(Self { archive, reader: reader.clone(), through, derive })
    }

    /// The archive alone: a copy of it, or one whose log is elsewhere.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn of_archive(env: &Arc<dyn Env>) -> Result<Self, Error> {
        let archive = Archive::open(env)?;
        let through = archive.compacted_through();
        Ok(Self { archive, reader: LogReader::of_nothing(env), through, derive: None })
    }

    /// The compacted part: files to read by name.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The last position of the tail.
    pub fn through(&self) -> Position {
        self.through
    }

    /// Hands the rows of the tail to `each`, as batches in the schema of the table ([`crate::columns::schema`]), all rows of a
    /// batch of the one day. Rows are in the order of the log, days by turns. A part of the log that cannot be read is
    /// passed over, as compaction does.
    ///
    /// # Errors
    /// `is_not_found` when a segment has left the log meanwhile; those of [`Derive::shifts`]; the first error of `each`.
    pub fn tail(
        &self,
        table: Table,
        each: &mut dyn FnMut(Day, RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.tail_of(table, &Scan::default(), each)
    }

    fn tail_of(
        &self,
        table: Table,
        scan: &Scan,
        each: &mut dyn FnMut(Day, RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut out = Collector { table, wanted: scan.of(table)?, days: BTreeMap::new(), each };
        if table == Table::Registers {
            // A table of days: what they are now the live picture tells.
            return Ok(());
        }
        if table == Table::Shifts {
            let first = self.archive.compacted_through().as_u64().saturating_add(1);
            let known = self.derive.as_deref().filter(|_| first <= self.through.as_u64());
            for shift in known.map_or(Ok(Vec::new()), |it| it.shifts(first..=self.through.as_u64()))? {
                let day = shift.day();
                out.push(day, &Row { shift, ..Row::default() }, 0)?;
            }
            return out.finish();
        }
        let mut reader = RowReader::default();
        let after = self.archive.compacted_through().max(Position::new(Lsn::new(scan.after)));
        self.each_tail(after, self.through.lsn(), &mut |record, _| {
            out.take(&mut reader, &owned(record), self.derive.as_deref())
        })?;
        if let Some(derive) =
            self.derive.as_deref().filter(|_| table == Table::Violations && after < self.through)
        {
            for finding in derive.across(after.as_u64().saturating_add(1)..=self.through.as_u64())? {
                out.push(finding.day(), &finding.row(), 0)?;
            }
        }
        out.finish()
    }

    /// Hands the records behind `after`, up to and with `through`, to `each`, in the order of the log.
    fn each_tail(
        &self,
        after: Position,
        through: Lsn,
        each: &mut dyn FnMut(&RecordRef<'_>, SegmentId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut records = self.reader.records_from(after, through);
        loop {
            match records.next() {
                Ok(Some((record, location))) => each(&record, location.segment)?,
                Ok(None) => return self.is_there(after),
                Err(error) if error.kind() == ErrorKind::Corrupt && !error.is_not_found() => {
                    self.is_there(after)?;
                    tracing::warn!(%error, "a part of the log cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sees that nothing behind this position has left the log since the snapshot was taken: it would be missing.
    fn is_there(&self, after: Position) -> Result<(), Error> {
        if after >= self.through || self.reader.first() <= after.lsn().next() {
            return Ok(());
        }
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Error::io(format!("records behind {after} have left the log since"), gone))
    }

    /// The documents of the tail, and its shifts, as compaction would write them.
    pub(crate) fn plan(&self, scan: &Scan) -> Result<Plan, Error> {
        let after = self.archive.compacted_through().as_u64().max(scan.after);
        let through = self.through.as_u64();
        let mut plan = Plan::of(after.saturating_add(1), through);
        let mut reader = RowReader::default();
        let documents = scan.of(Table::Documents)?;
        self.each_tail(Position::new(Lsn::new(after)), self.through.lsn(), &mut |record, segment| {
            let SourceRecord::Document(stored) = owned(record) else { return Ok(()) };
            reader.read(&stored, None).map_err(|error| unreadable(stored.position, error))?;
            if documents.takes(reader.row()) { plan.add(stored, segment) } else { Ok(()) }
        })?;
        if let Some(derive) = self.derive.as_deref().filter(|_| after < through) {
            let shifts = scan.of(Table::Shifts)?;
            let takes = |shift: &ShiftRow| shifts.takes(&Row { shift: shift.clone(), ..Row::default() });
            plan.add_shifts(derive.shifts(after.saturating_add(1)..=through)?.into_iter().filter(takes));
            let findings = scan.of(Table::Violations)?;
            let across = derive.across(after.saturating_add(1)..=through)?.into_iter();
            plan.add_across(across.filter(|it| findings.takes(&it.row())));
        }
        Ok(plan)
    }

    pub(crate) fn derive(&self) -> Option<Arc<dyn Derive>> {
        self.derive.clone()
    }
}

/// The record with a copy of its payload.
fn owned(record: &RecordRef<'_>) -> SourceRecord {
    SourceRecord::of(record, || bytes::Bytes::copy_from_slice(record.payload()))
}

fn unreadable(position: u64, error: EnvelopeError) -> Error {
    Error::new(ErrorKind::Fix, format!("position {position}: {error}"))
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compacted_through = self.archive.compacted_through();
        f.debug_struct("Snapshot")
            .field("compacted_through", &compacted_through)
            .field("through", &self.through)
            .finish()
    }
}

/// Rows on their way into batches.
struct Collector<'e> {
    table: Table,
    wanted: Wanted,
    days: BTreeMap<Day, (Batch, usize)>,
    each: &'e mut dyn FnMut(Day, RecordBatch) -> Result<(), Error>,
}

impl Collector<'_> {
    fn take(
        &mut self,
        reader: &mut RowReader,
        record: &SourceRecord,
        derive: Option<&dyn Derive>,
    ) -> Result<(), Error> {
        let stored = match record {
            SourceRecord::Other(kind, stored) => {
                if self.table == Table::Statuses {
                    let day = Day::of(None, stored.received_at_us);
                    return reader.each_status(*kind, stored, |row| self.push(day, row, 0));
                }
                if self.table == Table::Records {
                    reader.read_other(*kind, stored);
                    self.push(Day::of(None, stored.received_at_us), reader.row(), stored.payload.len())?;
                }
                return Ok(());
            }
            SourceRecord::Document(stored) => stored,
        };
        if matches!(self.table, Table::Records | Table::Statuses) {
            return Ok(());
        }
        // What nobody asks for is not looked for: rules take longer than all the rest.
        let derive = derive.filter(|_| matches!(self.table, Table::Documents | Table::Violations));
        reader.read(stored, derive).map_err(|error| unreadable(stored.position, error))?;
        let day = reader.row().day();
        match self.table {
            Table::Items => reader.each_item(|row| self.push(day, row, 0)),
            Table::Violations => reader.each_finding(|row| self.push(day, row, 0)),
            _ => self.push(day, reader.row(), stored.payload.len()),
        }
    }

    fn push(&mut self, day: Day, row: &Row, bytes: usize) -> Result<(), Error> {
        if !self.wanted.takes(row) {
            return Ok(());
        }
        let fresh = || (Batch::new(self.table.columns()), 0);
        let (batch, held) = self.days.entry(day).or_insert_with(fresh);
        batch.push(row);
        *held = held.saturating_add(bytes);
        if batch.rows() >= TAIL_BATCH_ROWS || *held >= TAIL_BATCH_BYTES {
            *held = 0;
            let rows = batch.take().map_err(|error| damaged(Path::new(self.table.name()), error))?;
            (self.each)(day, rows)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        for (day, (mut batch, _)) in self.days {
            if batch.rows() > 0 {
                let rows = batch.take().map_err(|error| damaged(Path::new(self.table.name()), error))?;
                (self.each)(day, rows)?;
            }
        }
        Ok(())
    }
}
