//! Some rows of a table, from both parts of a snapshot: those of some organisations, of a drive, behind a position.
//!
//! Files are chosen by what the manifest says of them, row groups by their statistics, rows by the values themselves, so
//! that one merchant's rows cost what they take and not what the archive takes. Memory: a batch, and what the reader of one
//! file needs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::Snapshot;
use crate::columns::read::{damaged, open, wrong};
use crate::columns::row::Row;
use crate::columns::{Day, Table};
use crate::error::{Error, ErrorKind};
use crate::manifest::FileEntry;

/// Rows handed out at once.
const BATCH_ROWS: usize = 4096;

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
    pub positions: Option<Arc<BTreeSet<u64>>>,
}

/// Where the rows of a batch come from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'f> {
    /// The day they lie under.
    pub day: Day,
    /// The file of the archive; `None`: the tail.
    pub file: Option<&'f FileEntry>,
}

impl Scan {
    /// Whether a file may hold such rows.
    pub(crate) fn reaches(&self, table: Table, file: &FileEntry) -> bool {
        let (first, last) = file.positions;
        let within = |set: &Arc<BTreeSet<u64>>| set.range(first..=last.max(first)).next().is_some();
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

    /// Whether the row of the tail is one of them.
    pub(super) fn takes(&self, table: Table, row: &Row) -> bool {
        let (inn, drive, position) = match table {
            Table::Shifts => {
                let shift = &row.shift;
                (shift.inn.as_deref(), shift.drive.as_str(), shift.position)
            }
            _ => (row.inn(), row.drive(), row.position()),
        };
        let of_inn = self.inns.as_ref().is_none_or(|inns| inn.is_some_and(|inn| inns.contains(inn)));
        self.is_at(position) && of_inn && self.drive.as_deref().is_none_or(|it| it == drive)
    }

    fn is_at(&self, position: u64) -> bool {
        position > self.after && self.positions.as_ref().is_none_or(|it| it.contains(&position))
    }

    /// The columns that are asked, and what they have to say.
    fn predicate(&self, mask: impl Fn(&[&str]) -> ProjectionMask) -> Box<dyn ArrowPredicate> {
        let mut names = vec!["position"];
        names.extend(self.inns.iter().map(|_| "inn"));
        names.extend(self.drive.iter().map(|_| "fn"));
        let scan = self.clone();
        Box::new(ArrowPredicateFn::new(mask(&names), move |batch| scan.of_batch(&batch)))
    }

    fn of_batch(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let missing = || ArrowError::SchemaError("a table without its keys".to_owned());
        let positions = batch.column_by_name("position").and_then(|it| it.as_primitive_opt::<Int64Type>());
        let positions = positions.ok_or_else(missing)?;
        let text = |name: &str| batch.column_by_name(name).and_then(|it| it.as_string_opt::<i32>());
        let inns = self.inns.as_ref().map(|set| text("inn").map(|it| (set, it)).ok_or_else(missing));
        let drives = self.drive.as_ref().map(|drive| text("fn").map(|it| (drive, it)).ok_or_else(missing));
        let (inns, drives) = (inns.transpose()?, drives.transpose()?);
        let wanted = (0..batch.num_rows()).map(|at| {
            let behind = u64::try_from(positions.value(at)).is_ok_and(|it| self.is_at(it));
            let of_inn = inns.is_none_or(|(set, it)| it.is_valid(at) && set.contains(it.value(at)));
            let of_drive = drives.is_none_or(|(drive, it)| it.is_valid(at) && it.value(at) == drive);
            Some(behind && of_inn && of_drive)
        });
        Ok(wanted.collect())
    }

    /// Whether the statistics of a row group leave room for such rows.
    fn may_be_in(&self, table: Table, group: &RowGroupMetaData) -> bool {
        let reach = |name: &str| {
            let statistics = table.column_index(name).and_then(|it| group.columns().get(it)?.statistics());
            match statistics {
                Some(Statistics::ByteArray(reach)) => reach.min_bytes_opt().zip(reach.max_bytes_opt()),
                _ => None,
            }
        };
        let within = |name: &str, key: &str| {
            reach(name).is_none_or(|(least, most)| least <= key.as_bytes() && key.as_bytes() <= most)
        };
        self.inns.as_ref().is_none_or(|inns| inns.iter().any(|inn| within("inn", inn)))
            && self.drive.as_deref().is_none_or(|drive| within("fn", drive))
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
        let keys = [("inn", scan.inns.is_some()), ("fn", scan.drive.is_some())];
        if let Some((key, _)) =
            keys.into_iter().find(|(key, asked)| *asked && table.column_index(key).is_none())
        {
            return Err(Error::new(ErrorKind::Fix, format!("the table {table} has no column {key}")));
        }
        let archive = self.archive();
        for file in archive.files(table).filter(|file| scan.reaches(table, file)) {
            let path = file.path();
            let day: Day = file.date.parse().map_err(|error| damaged(&path, error))?;
            self.scan_file(table, scan, columns, &path, &mut |batch| {
                each(Part { day, file: Some(file) }, batch)
            })?;
        }
        self.tail_of(table, scan, &mut |day, batch| {
            let batch = match columns {
                Some(names) => projected(table, &batch, names)?,
                None => batch,
            };
            each(Part { day, file: None }, batch)
        })
    }

    /// The rows of one file.
    pub(crate) fn scan_file(
        &self,
        table: Table,
        scan: &Scan,
        columns: Option<&[&str]>,
        path: &Path,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let builder = open(&**self.archive().env(), path)?;
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| scan.may_be_in(table, group)).map(|(at, _)| at).collect();
        let schema = builder.parquet_schema();
        let mask = |names: &[&str]| ProjectionMask::columns(schema, names.iter().copied());
        let projection = columns.map_or_else(ProjectionMask::all, mask);
        let filter = RowFilter::new(vec![scan.predicate(mask)]);
        let reader = builder
            .with_row_groups(groups)
            .with_projection(projection)
            .with_row_filter(filter)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| wrong(path, error))?;
        for batch in reader {
            each(batch.map_err(|error| wrong(path, error.into()))?)?;
        }
        Ok(())
    }
}

fn projected(table: Table, batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch, Error> {
    let mut at: Vec<usize> = names.iter().filter_map(|name| table.column_index(name)).collect();
    at.sort_unstable();
    batch.project(&at).map_err(|error| damaged(Path::new(table.name()), error))
}
