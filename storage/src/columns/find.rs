//! One document out of the archive, by drive and number.
//!
//! Files and rows are chosen by the index of the archive ([`crate::places`]); files that it does not cover by the drives they
//! reach over (manifest), their row groups by statistics. Whatever chose them, rows count by `fn` and `fd`
//! alone; of the bulk columns only the pages with the rows found are read and unpacked.

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow_schema::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter, RowSelection};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::Table;
use super::read::{column, damaged, open, open_for_rows, wrong};
use super::restore::{CONTAINER_COLUMNS, Restored, Rows};
use crate::error::Error;
use crate::manifest::{Archive, FileEntry};
use crate::places::Holder;
use crate::position::{Lsn, Position};

/// A document of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stood in the log.
    pub position: Position,
    /// 0 = the one that counts.
    pub variant: u8,
    /// The container as received.
    pub container: Bytes,
    /// The document TLV where it was opened.
    pub plain: Option<Bytes>,
    /// The fixed part of its envelope, [`crate::envelope::ENVELOPE_HEAD_LEN`] bytes.
    pub envelope: Bytes,
}

/// All variants of a document, in the order of positions. `drive` without padding.
pub(crate) fn find(archive: &Archive, drive: &str, number: u32) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for holder in archive.holders(drive, &(number..=number))? {
        each_row(archive, &holder, drive, Some(number), BULK, |batch, path| {
            let positions = column::<Int64Array>(batch, path, "position")?;
            let variants = column::<Int32Array>(batch, path, "variant")?;
            let raw = column::<BinaryArray>(batch, path, "raw")?;
            let plain = column::<BinaryArray>(batch, path, "plain")?;
            let envelope = column::<BinaryArray>(batch, path, "envelope")?;
            let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
            found.extend((0..batch.num_rows()).map(|at| Found {
                position: Position::new(Lsn::new(u64::try_from(positions.value(at)).unwrap_or_default())),
                variant: u8::try_from(variants.value(at)).unwrap_or(u8::MAX),
                container: copy(raw.value(at)),
                plain: (!plain.is_null(at)).then(|| copy(plain.value(at))),
                envelope: copy(envelope.value(at)),
            }));
            Ok(())
        })?;
    }
    found.sort_by_key(|document| document.position);
    Ok(found)
}

/// What [`Found`] is made of.
const BULK: &[&str] = &["position", "variant", "raw", "plain", "envelope"];

/// The documents of a drive whose positions lie in `positions`, as records of the log, in its order; with a number
/// those under it alone. Other files than those that may hold one are not opened.
pub(crate) fn find_records(
    archive: &Archive,
    drive: &str,
    number: Option<u32>,
    positions: RangeInclusive<u64>,
) -> Result<Vec<Restored>, Error> {
    let mut found = Vec::new();
    let wanted = |holder: &Holder<'_>| {
        let (least, most) = holder.file.positions;
        least <= *positions.end() && *positions.start() <= most
    };
    let numbers = number.map_or(0..=u32::MAX, |number| number..=number);
    for holder in archive.holders(drive, &numbers)?.into_iter().filter(wanted) {
        each_row(archive, &holder, drive, number, CONTAINER_COLUMNS, |batch, path| {
            let rows = Rows::of(batch, path, Table::Containers)?;
            let restored = (0..batch.num_rows()).map(|at| rows.at(at));
            found.extend(restored.filter(|it| positions.contains(&it.stored.position)));
            Ok(())
        })?;
    }
    found.sort_by_key(|restored: &Restored| restored.stored.position);
    Ok(found)
}

fn reaches(file: &FileEntry, drive: &str) -> bool {
    let (least, most) = &file.fns;
    (least.as_str()..=most.as_str()).contains(&drive)
}

/// Hands the rows of a drive, and number if one is given, to `each`, batch by batch. A file that is gone because the
/// archive was thinned out since the manifest was read has no rows.
fn each_row(
    archive: &Archive,
    holder: &Holder<'_>,
    drive: &str,
    number: Option<u32>,
    columns: &[&str],
    mut each: impl FnMut(&RecordBatch, &Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = &holder.file.path();
    if holder.rows.is_none() && !reaches(holder.file, drive) {
        return Ok(());
    }
    let opened = match &holder.rows {
        Some(_) => open_for_rows(&**archive.env(), path),
        None => open(&**archive.env(), path),
    };
    let builder = match opened {
        Err(error) if error.is_not_found() && archive.may_be_gone(path) => return Ok(()),
        opened => opened?,
    };
    let fd = number.map(i64::from);
    let rows_now = builder.metadata().file_metadata().num_rows();
    // A file that has lost rows since the manifest was read has the others in other places.
    let known = holder.rows.as_ref().filter(|_| u64::try_from(rows_now) == Ok(holder.file.rows));
    let (groups, selection) = match known {
        Some(rows) => {
            let (groups, selection) = groups_with(builder.metadata(), rows);
            (groups, Some(selection))
        }
        None => (groups_by_statistics(builder.metadata(), path, drive, fd)?, None),
    };
    if groups.is_empty() {
        return Ok(());
    }
    let builder = match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    };
    let schema = builder.parquet_schema();
    let keys = ProjectionMask::columns(schema, ["fn", "fd"]);
    let bulk = ProjectionMask::columns(schema, columns.iter().copied());
    let drive = drive.to_owned();
    let is_it = ArrowPredicateFn::new(keys, move |batch: RecordBatch| is_it(&batch, &drive, fd));
    let reader = builder
        .with_row_groups(groups)
        .with_projection(bulk)
        .with_row_filter(RowFilter::new(vec![Box::new(is_it)]))
        .build()
        .map_err(|error| wrong(path, error))?;
    for batch in reader {
        each(&batch.map_err(|error| wrong(path, error.into()))?, path)?;
    }
    Ok(())
}

/// The row groups in which these rows lie, and the rows in those groups.
fn groups_with(metadata: &ParquetMetaData, rows: &[Range<usize>]) -> (Vec<usize>, RowSelection) {
    let mut rows = rows.to_vec();
    rows.sort_unstable_by_key(|range| (range.start, range.end));
    let (mut groups, mut selected) = (Vec::new(), Vec::new());
    // Where the group begins in the file, and all groups taken so far end among themselves.
    let (mut begin, mut taken) = (0_usize, 0_usize);
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let len = usize::try_from(group.num_rows()).unwrap_or_default();
        let end = begin.saturating_add(len);
        let place = |row: usize| row.clamp(begin, end).saturating_sub(begin).saturating_add(taken);
        let inside: Vec<Range<usize>> =
            rows.iter().map(|it| place(it.start)..place(it.end)).filter(|it| !it.is_empty()).collect();
        if !inside.is_empty() {
            groups.push(at);
            selected.extend(inside);
            taken = taken.saturating_add(len);
        }
        begin = end;
    }
    // Ranges that overlap would be read twice.
    let mut through = 0_usize;
    for range in &mut selected {
        range.start = range.start.max(through);
        through = through.max(range.end);
    }
    selected.retain(|range| !range.is_empty());
    (groups, RowSelection::from_consecutive_ranges(selected.into_iter(), taken))
}

fn groups_by_statistics(
    metadata: &ParquetMetaData,
    path: &Path,
    drive: &str,
    number: Option<i64>,
) -> Result<Vec<usize>, Error> {
    let place = |name| {
        let index = Table::Containers.column_index(name);
        index.ok_or_else(|| damaged(path, format!("no column {name}")))
    };
    let (drives, numbers) = (place("fn")?, place("fd")?);
    let groups = metadata.row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| may_hold(group, drives, drive, numbers, number));
    Ok(groups.map(|(index, _)| index).collect())
}

fn is_it(batch: &RecordBatch, drive: &str, number: Option<i64>) -> Result<BooleanArray, ArrowError> {
    let missing = || ArrowError::SchemaError("containers without fn and fd".to_owned());
    let drives = batch.column_by_name("fn").and_then(|array| array.as_string_opt::<i32>());
    let numbers = batch.column_by_name("fd").and_then(|array| array.as_primitive_opt::<Int64Type>());
    let (drives, numbers) = drives.zip(numbers).ok_or_else(missing)?;
    let rows = numbers.values().iter().zip(drives.iter());
    Ok(rows.map(|(fd, has)| Some(number.is_none_or(|it| it == *fd) && has == Some(drive))).collect())
}

/// Whether the statistics leave room for the document.
fn may_hold(
    group: &RowGroupMetaData,
    drives: usize,
    drive: &str,
    numbers: usize,
    number: Option<i64>,
) -> bool {
    let statistics = |index: usize| group.columns().get(index).and_then(|column| column.statistics());
    let drive_fits = match statistics(drives) {
        Some(Statistics::ByteArray(reach)) => match (reach.min_bytes_opt(), reach.max_bytes_opt()) {
            (Some(least), Some(most)) => least <= drive.as_bytes() && drive.as_bytes() <= most,
            _ => true,
        },
        _ => true,
    };
    let number_fits = match statistics(numbers) {
        Some(Statistics::Int64(reach)) => match (reach.min_opt(), reach.max_opt()) {
            (Some(least), Some(most)) => number.is_none_or(|it| (*least..=*most).contains(&it)),
            _ => true,
        },
        _ => true,
    };
    drive_fits && number_fits
}
