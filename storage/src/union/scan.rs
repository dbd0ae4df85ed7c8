//! Some rows of a table, from both parts of a snapshot: those of some organisations, of a drive, behind a position.
//!
//! Files are chosen by what the manifest says of them; what is in them is asked as a search asks it (`searched_file.rs`), so that
//! one merchant's rows cost what they take and not what the archive takes. Memory: a batch, and what the reader of one file
//! needs.

use std::collections::BTreeSet;
use std::path::Path;

use arrow_array::RecordBatch;

use super::Snapshot;
use super::condition::{Condition, Test};
use super::searched_file::SearchedFile;
use crate::columns::read::damaged;
use crate::columns::row::Row;
use crate::columns::{Day, Table};
use crate::error::{Error, ErrorKind};
use crate::manifest::FileEntry;

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Those of these organisations (1018); `None`: of all, and of none.
    pub inns: Option<BTreeSet<String>>,
    /// Those of this drive (1041, padding off).
    pub drive: Option<String>,
    /// Those behind this position.
    pub after: u64,
    /// Those at these positions; `None`: at all.
    pub positions: Option<BTreeSet<u64>>,
}

/// Where the rows of a batch come from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'f> {
    /// The day they lie under.
    pub day: Day,
    /// The file of the archive; `None`: the tail.
    pub file: Option<&'f FileEntry>,
}

/// The rows of a scan of one table, as conditions on its columns.
pub(crate) struct Wanted(Vec<Condition>);

impl Wanted {
    /// Whether the row of the tail is one of them.
    pub(crate) fn takes(&self, row: &Row) -> bool {
        self.0.iter().all(|it| it.takes(row))
    }
}

impl Scan {
    /// # Errors
    /// `Fix` when the table has no such key.
    pub(crate) fn of(&self, table: Table) -> Result<Wanted, Error> {
        let mut conditions = Vec::new();
        let mut ask = |name: &str, test: Test| {
            if table.column_index(name).is_none() {
                return Err(Error::new(ErrorKind::Fix, format!("the table {table} has no column {name}")));
            }
            conditions.push(Condition::new(table, &[name], test));
            Ok(())
        };
        let number = |position: u64| i64::try_from(position).unwrap_or(i64::MAX);
        if self.after > 0 {
            ask("position", Test::Within(number(self.after.saturating_add(1))..=i64::MAX))?;
        }
        if let Some(positions) = &self.positions {
            ask("position", Test::OneOf(positions.iter().copied().map(number).collect()))?;
        }
        if let Some(drive) = &self.drive {
            ask("fn", Test::Texts(BTreeSet::from([drive.clone()])))?;
        }
        if let Some(inns) = &self.inns {
            ask("inn", Test::Texts(inns.clone()))?;
        }
        Ok(Wanted(conditions))
    }

    /// Whether a file may hold such rows.
    pub(crate) fn reaches(&self, table: Table, file: &FileEntry) -> bool {
        let (first, last) = file.positions;
        let within = |set: &BTreeSet<u64>| set.range(first..=last.max(first)).next().is_some();
        let drive = self.drive.as_deref().filter(|_| table != Table::Records);
        let drive = drive.is_none_or(|it| {
            let (least, most) = &file.fns;
            (least.as_str()..=most.as_str()).contains(&it)
        });
        let inn = self.inns.as_ref().is_none_or(|inns| {
            let reach = file.inns.as_ref();
            reach.is_some_and(|(least, most)| inns.range(least.clone()..=most.clone()).next().is_some())
        });
        last > self.after && drive && inn && self.positions.as_ref().is_none_or(within)
    }
}

impl Snapshot {
    /// Hands the rows of a table to `each`, files first, in their order, then the tail in the order of the log; of all columns, or
    /// of those that are named, in the order of the table.
    ///
    /// # Errors
    /// `Fix` when the table has no such key; `is_not_found` when a file or segment has gone meanwhile: take another snapshot;
    /// as [`Snapshot::tail`]; the first error of `each`.
    pub fn scan(
        &self,
        table: Table,
        scan: &Scan,
        columns: Option<&[&str]>,
        each: &mut dyn FnMut(Part<'_>, RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let wanted = scan.of(table)?;
        let all: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        let names = columns.unwrap_or(&all);
        for file in self.archive().files(table).filter(|file| scan.reaches(table, file)) {
            let day: Day = file.date.parse().map_err(|error| damaged(&file.path(), error))?;
            self.scan_file(&wanted, names, &file.path(), &mut |batch| {
                each(Part { day, file: Some(file) }, batch.clone())
            })?;
        }
        self.tail_of(table, scan, &mut |day, batch| {
            let batch = if columns.is_some() { projected(table, &batch, names)? } else { batch };
            each(Part { day, file: None }, batch)
        })
    }

    /// The rows of one file that are wanted, of these columns.
    pub(crate) fn scan_file(
        &self,
        wanted: &Wanted,
        columns: &[&str],
        path: &Path,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let file = SearchedFile::open(&**self.archive().env(), path.to_owned(), wanted.0.clone())?;
        file.map_or(Ok(()), |file| file.each_match(columns, each))
    }
}

fn projected(table: Table, batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch, Error> {
    let mut at: Vec<usize> = names.iter().filter_map(|name| table.column_index(name)).collect();
    at.sort_unstable();
    batch.project(&at).map_err(|error| damaged(Path::new(table.name()), error))
}
