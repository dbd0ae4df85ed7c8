//! One file of the archive, opened as far as a search or a scan has to: its footer, then the page index, then pages.
//!
//! Row groups go by their statistics and, for a printed sign, by its bloom filter; pages by the page index; rows by the
//! values, the cheapest condition first, each asked only of the rows that are left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::condition::{Condition, Test};
use crate::columns::cells::Cells;
use crate::columns::read::{Chunks, wrong};
use crate::columns::{Cell, Layout};
use crate::env::Env;
use crate::error::Error;

/// Rows handed out at once.
const BATCH_ROWS: usize = 4096;

/// A file, and where in it rows of a search may lie.
pub(super) struct SearchedFile {
    path: PathBuf,
    chunks: Chunks,
    metadata: Arc<ParquetMetaData>,
    conditions: Vec<Condition>,
    groups: Vec<usize>,
    rows: Option<RowSelection>,
}

impl SearchedFile {
    /// Opens the file; `None` when its statistics say that it has no such row.
    ///
    /// # Errors
    /// `is_not_found` when it has gone; `Corrupt` when it is no Parquet file; else of the system.
    pub(super) fn open(
        env: &dyn Env,
        path: PathBuf,
        mut conditions: Vec<Condition>,
    ) -> Result<Option<Self>, Error> {
        let chunks = Chunks::open(env, &path)?;
        let metadata =
            ParquetMetaDataReader::new().parse_and_finish(&chunks).map_err(|error| wrong(&path, error))?;
        // What an older file has no column for is NULL in it, and NULL passes no test.
        let has = |name: &str| place_of(&metadata, name).is_some();
        for condition in &mut conditions {
            condition.columns.retain(|column| has(column.name));
        }
        if conditions.iter().any(|condition| condition.columns.is_empty()) {
            return Ok(None);
        }
        conditions.sort_by_key(Condition::cost);
        let may = |group: &RowGroupMetaData| conditions.iter().all(|it| may_be_in(it, group));
        let groups = metadata.row_groups().iter().enumerate().filter(|(_, group)| may(group));
        let groups = groups.map(|(at, _)| at).collect();
        let metadata = Arc::new(metadata);
        let mut file = Self { path, chunks, metadata, conditions, groups, rows: None };
        file.ask_bloom_filters()?;
        if file.groups.is_empty() {
            return Ok(None);
        }
        file.forget_what_all_pass();
        file.read_page_index()?;
        file.rows = file.select_pages();
        Ok(file.rows.as_ref().is_none_or(RowSelection::selects_any).then_some(file))
    }

    /// The named columns of the rows that pass; those of them which the file has.
    ///
    /// # Errors
    /// `Corrupt` when the file cannot be read; else of the system; the first error of `each`.
    pub(super) fn each_match(
        &self,
        columns: &[&str],
        each: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.read(&self.conditions, columns, each)
    }

    /// The named columns of those among the rows that pass this one condition alone.
    ///
    /// # Errors
    /// As [`SearchedFile::each_match`].
    pub(super) fn each_row(
        &self,
        condition: Condition,
        columns: &[&str],
        each: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.read(&[condition], columns, each)
    }

    fn read(
        &self,
        conditions: &[Condition],
        columns: &[&str],
        mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let builder = self.builder()?;
        let schema = builder.parquet_schema();
        let mask = ProjectionMask::columns(schema, columns.iter().copied());
        let predicate = |condition: &Condition| -> Box<dyn ArrowPredicate> {
            let mask = ProjectionMask::columns(schema, condition.names());
            let (condition, mut folded) = (condition.clone(), String::new());
            let passes = move |batch: RecordBatch| passing(&condition, &batch, &mut folded);
            Box::new(ArrowPredicateFn::new(mask, passes))
        };
        let filter = RowFilter::new(conditions.iter().map(predicate).collect());
        let mut builder = builder
            .with_row_groups(self.groups.clone())
            .with_projection(mask)
            .with_row_filter(filter)
            .with_batch_size(BATCH_ROWS);
        if let Some(rows) = &self.rows {
            builder = builder.with_row_selection(rows.clone());
        }
        for batch in builder.build().map_err(|error| wrong(&self.path, error))? {
            each(&batch.map_err(|error| wrong(&self.path, error.into()))?)?;
        }
        Ok(())
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<Chunks>, Error> {
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&self.metadata), ArrowReaderOptions::new());
        let metadata = metadata.map_err(|error| wrong(&self.path, error))?;
        Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), metadata))
    }

    /// Leaves out the row groups whose bloom filters say no.
    fn ask_bloom_filters(&mut self) -> Result<(), Error> {
        let looked_up = |it: &&Condition| it.columns.iter().any(|it| matches!(it.layout, Layout::Lookup));
        let Some(condition) = self.conditions.iter().find(looked_up) else { return Ok(()) };
        let (Test::OneOf(numbers), Some(place)) =
            (&condition.test, condition.columns.first().and_then(|it| place_of(&self.metadata, it.name)))
        else {
            return Ok(());
        };
        let mut groups = Vec::with_capacity(self.groups.len());
        for &group in &self.groups {
            let chunk = self.metadata.row_groups().get(group).and_then(|it| it.columns().get(place));
            let filter = chunk.map(|it| Sbbf::read_from_column_chunk(it, &self.chunks)).transpose();
            let filter = filter.map_err(|error| wrong(&self.path, error))?.flatten();
            if filter.is_none_or(|it| numbers.iter().any(|number| it.check(number))) {
                groups.push(group);
            }
        }
        self.groups = groups;
        Ok(())
    }

    /// Leaves out the conditions that every row passes, by the statistics: most files have one realm and one variant.
    fn forget_what_all_pass(&mut self) {
        let groups: Vec<&RowGroupMetaData> =
            self.groups.iter().filter_map(|at| self.metadata.row_groups().get(*at)).collect();
        self.conditions.retain(|it| !groups.iter().all(|group| all_pass_in(it, group)));
    }

    fn read_page_index(&mut self) -> Result<(), Error> {
        let bare = Arc::clone(&self.metadata);
        let mut reader = ParquetMetaDataReader::new_with_metadata(Arc::unwrap_or_clone(bare))
            .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Optional);
        let read = reader.read_page_indexes(&self.chunks).and_then(|()| reader.finish());
        self.metadata = Arc::new(read.map_err(|error| wrong(&self.path, error))?);
        Ok(())
    }

    /// The rows of the row groups, one after another, in whose pages such rows may be; `None`: in all.
    fn select_pages(&self) -> Option<RowSelection> {
        let selections = self.conditions.iter().filter_map(|it| self.pages_of(it));
        selections.reduce(|one, other| one.intersection(&other))
    }

    fn pages_of(&self, condition: &Condition) -> Option<RowSelection> {
        let [column] = condition.columns[..] else { return None };
        let place = place_of(&self.metadata, column.name)?;
        let (columns, offsets) = (self.metadata.column_index()?, self.metadata.offset_index()?);
        let mut ranges = Vec::new();
        let mut begin = 0_usize;
        for &group in &self.groups {
            let rows = usize::try_from(self.metadata.row_groups().get(group)?.num_rows()).ok()?;
            let end = begin.checked_add(rows)?;
            let index = columns.get(group)?.get(place)?;
            let pages = offsets.get(group)?.get(place)?.page_locations();
            let first = |page: usize| {
                let row = pages.get(page).map_or(Some(rows), |it| usize::try_from(it.first_row_index).ok());
                begin.checked_add(row?)
            };
            for page in (0..pages.len()).filter(|page| may_be_on(&condition.test, index, *page)) {
                ranges.push(first(page)?..first(page.checked_add(1)?)?);
            }
            begin = end;
        }
        Some(RowSelection::from_consecutive_ranges(ranges.into_iter(), begin))
    }
}

fn place_of(metadata: &ParquetMetaData, name: &str) -> Option<usize> {
    metadata.file_metadata().schema_descr().columns().iter().position(|column| column.name() == name)
}

fn passing(
    condition: &Condition,
    batch: &RecordBatch,
    folded: &mut String,
) -> Result<BooleanArray, ArrowError> {
    let cells = |name: &str| batch.column_by_name(name).and_then(|array| Cells::of(array));
    let cells: Option<Vec<Cells<'_>>> = condition.names().map(cells).collect();
    let cells = cells.ok_or_else(|| ArrowError::SchemaError("a column of another type".to_owned()))?;
    let cell = |column: usize, row: usize| cells.get(column).map_or(Cell::Null, |cells| cells.at(row));
    let passes = |row| Some(condition.test.takes(cells.len(), |column| cell(column, row), folded));
    Ok((0..batch.num_rows()).map(passes).collect())
}

/// Whether the statistics of a row group leave room for such rows.
fn may_be_in(condition: &Condition, group: &RowGroupMetaData) -> bool {
    if matches!(condition.test, Test::Period(_)) {
        return true;
    }
    condition.columns.iter().any(|column| {
        let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column.name);
        let numbers = |reach: Option<(i64, i64)>| {
            reach.is_none_or(|(least, most)| condition.test.may_be_between(least, most))
        };
        match chunk.and_then(|chunk| chunk.statistics()) {
            Some(Statistics::Int64(it)) => numbers(it.min_opt().copied().zip(it.max_opt().copied())),
            Some(Statistics::Int32(it)) => {
                numbers(it.min_opt().map(|it| i64::from(*it)).zip(it.max_opt().map(|it| i64::from(*it))))
            }
            Some(Statistics::ByteArray(it)) => {
                let reach = it.min_bytes_opt().zip(it.max_bytes_opt());
                reach.is_none_or(|(least, most)| condition.test.may_be_between_texts(least, most))
            }
            _ => true,
        }
    })
}

/// Whether a row group has one value alone, and that one passes.
fn all_pass_in(condition: &Condition, group: &RowGroupMetaData) -> bool {
    let [column] = condition.columns[..] else { return false };
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column.name);
    let Some(statistics) = chunk.and_then(|chunk| chunk.statistics()) else { return false };
    let exact = statistics.min_is_exact() && statistics.max_is_exact();
    if statistics.null_count_opt() != Some(0) || !exact || matches!(condition.test, Test::Period(_)) {
        return false;
    }
    let only = match statistics {
        Statistics::Int64(it) => {
            it.min_opt().filter(|least| it.max_opt() == Some(*least)).map(|it| Cell::Int(*it))
        }
        Statistics::Int32(it) => {
            it.min_opt().filter(|least| it.max_opt() == Some(*least)).map(|it| Cell::Int(i64::from(*it)))
        }
        Statistics::ByteArray(it) => {
            let only = it.min_bytes_opt().filter(|least| it.max_bytes_opt() == Some(*least));
            only.and_then(|it| std::str::from_utf8(it).ok()).map(Cell::Text)
        }
        _ => None,
    };
    only.is_some_and(|cell| condition.test.takes(1, |_| cell, &mut String::new()))
}

/// Whether the page index leaves room for such rows on a page.
fn may_be_on(test: &Test, index: &ColumnIndexMetaData, page: usize) -> bool {
    let numbers =
        |reach: Option<(i64, i64)>| reach.is_none_or(|(least, most)| test.may_be_between(least, most));
    match index {
        ColumnIndexMetaData::INT64(it) => {
            !it.is_null_page(page) && numbers(it.min_value(page).copied().zip(it.max_value(page).copied()))
        }
        ColumnIndexMetaData::INT32(it) => {
            let wide = |it: Option<&i32>| it.map(|it| i64::from(*it));
            !it.is_null_page(page) && numbers(wide(it.min_value(page)).zip(wide(it.max_value(page))))
        }
        ColumnIndexMetaData::BYTE_ARRAY(it) => {
            let reach = it.min_value(page).zip(it.max_value(page));
            !it.is_null_page(page) && reach.is_none_or(|(least, most)| test.may_be_between_texts(least, most))
        }
        _ => true,
    }
}

/// The cell of a row by the name of its column; NULL where the batch has none.
pub(super) fn cell_of<'b>(batch: &'b RecordBatch, row: usize, name: &str) -> Cell<'b> {
    let cells = batch.column_by_name(name).and_then(|array| Cells::of(array));
    cells.map_or(Cell::Null, |cells| cells.at(row))
}

impl std::fmt::Debug for SearchedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: &Path = &self.path;
        f.debug_struct("SearchedFile")
            .field("path", &path)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
