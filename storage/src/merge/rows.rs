//! Rows of several files of a table as one file, in the order of the table.
//!
//! Keys are compared as bytes ([`RowConverter`]); the order of equal keys is that of the files. Memory: a batch of every file and
//! one of the result.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_row::{OwnedRow, RowConverter, Rows, SortField};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::columns::file::{FileOptions, rewriter};
use crate::columns::read::{Chunks, damaged, open, wrong};
use crate::columns::{Table, schema};
use crate::env::{Env, FileWriter};
use crate::error::Error;

/// Rows of a batch.
const BATCH_ROWS: usize = 1024;

/// A file that was written.
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) blake3: String,
}

/// Writes the rows of the files into one, durable.
pub(super) fn merge(
    env: &dyn Env,
    table: Table,
    files: &[PathBuf],
    staged: &Path,
    options: FileOptions,
    facts: &[(&str, String)],
) -> Result<Written, Error> {
    let schema = columns_of(env, table, files)?;
    let mut keys = Keys::new(table, &schema, staged)?;
    let mut sources = Vec::new();
    for path in files {
        sources.push(Source::open(env, path, &schema)?);
    }
    let sink = FileWriter::new(env.create(staged)?);
    let mut writer =
        rewriter(table, sink, Arc::clone(&schema), options, facts).map_err(|error| wrong(staged, error))?;
    let mut heap = BinaryHeap::new();
    for (at, source) in sources.iter_mut().enumerate() {
        if source.next(&mut keys)? {
            heap.extend(source.key().map(|key| Reverse((key, at))));
        }
    }
    let mut chosen = Chosen::new(sources.len());
    let mut rows = 0_u64;
    while let Some(Reverse((_, at))) = heap.pop() {
        let Some(source) = sources.get_mut(at) else { continue };
        let (batch, row) = source.row();
        chosen.take(at, batch, row);
        rows = rows.saturating_add(1);
        if chosen.len() >= BATCH_ROWS {
            let batch = chosen.batch().map_err(|error| wrong(staged, error.into()))?;
            writer.write(&batch).map_err(|error| wrong(staged, error))?;
        }
        let same_batch = source.step();
        if !same_batch {
            chosen.forget(at);
        }
        if same_batch || source.next(&mut keys)? {
            heap.extend(source.key().map(|key| Reverse((key, at))));
        }
    }
    if chosen.len() > 0 {
        let batch = chosen.batch().map_err(|error| wrong(staged, error.into()))?;
        writer.write(&batch).map_err(|error| wrong(staged, error))?;
    }
    writer.finish().map_err(|error| wrong(staged, error))?;
    let bytes = writer.inner().position();
    writer.inner().file().sync_all()?;
    let blake3 = Chunks::open(env, staged)?.blake3()?;
    Ok(Written { rows, bytes, blake3 })
}

/// Compares: the staged file has the rows of the files, every column, as often as they have them, and in order. By sums of
/// hashes, so that no row has to wait for its like.
pub(super) fn same(env: &dyn Env, table: Table, files: &[PathBuf], staged: &Path) -> Result<(), Error> {
    let schema = columns_of(env, table, files)?;
    let mut keys = Keys::new(table, &schema, staged)?;
    let (mut before, mut after) = (RowSum::new(&schema, staged)?, RowSum::new(&schema, staged)?);
    for path in files {
        for batch in Batches::open(env, path, &schema)? {
            before.add(&batch?, path)?;
        }
    }
    let mut last: Option<OwnedRow> = None;
    for batch in Batches::open(env, staged, &schema)? {
        let batch = batch?;
        after.add(&batch, staged)?;
        for key in &keys.of(&batch, staged)? {
            if last.as_ref().is_some_and(|last| key < last.row()) {
                return Err(damaged(staged, "merged rows are out of order"));
            }
            last = Some(key.owned());
        }
    }
    if before.sum == after.sum { Ok(()) } else { Err(damaged(staged, "merged rows read back otherwise")) }
}

/// The columns of the table that any of the files has: a later version has more, and without personal ones there are fewer.
fn columns_of(env: &dyn Env, table: Table, files: &[PathBuf]) -> Result<SchemaRef, Error> {
    let all = schema(table.columns());
    let mut has = vec![false; all.fields().len()];
    for path in files {
        for field in open(env, path)?.schema().fields() {
            match all.index_of(field.name()) {
                Ok(at) if all.field(at).data_type() == field.data_type() => {
                    has.get_mut(at).into_iter().for_each(|it| *it = true);
                }
                _ => return Err(damaged(path, format!("no column of {table}: {}", field.name()))),
            }
        }
    }
    let fields = all.fields().iter().zip(has).filter(|(_, has)| *has).map(|(field, _)| Arc::clone(field));
    Ok(Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), all.metadata().clone())))
}

/// What rows are sorted by.
struct Keys {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Keys {
    fn new(table: Table, schema: &Schema, path: &Path) -> Result<Self, Error> {
        let columns: Vec<usize> =
            table.sorted_by().iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let fields = columns.iter().map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(|error| wrong(path, error.into()))?;
        Ok(Self { converter, columns })
    }

    fn of(&mut self, batch: &RecordBatch, path: &Path) -> Result<Rows, Error> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        self.converter.convert_columns(&columns).map_err(|error| wrong(path, error.into()))
    }
}

/// A sum over rows that does not depend on their order.
struct RowSum {
    converter: RowConverter,
    sum: [u128; 2],
}

impl RowSum {
    fn new(schema: &Schema, path: &Path) -> Result<Self, Error> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(|error| wrong(path, error.into()))?;
        Ok(Self { converter, sum: [0; 2] })
    }

    fn add(&mut self, batch: &RecordBatch, path: &Path) -> Result<(), Error> {
        let rows =
            self.converter.convert_columns(batch.columns()).map_err(|error| wrong(path, error.into()))?;
        for row in &rows {
            let hash = blake3::hash(row.as_ref());
            let (halves, _) = hash.as_bytes().as_chunks::<16>();
            for (sum, half) in self.sum.iter_mut().zip(halves) {
                *sum = sum.wrapping_add(u128::from_le_bytes(*half));
            }
        }
        Ok(())
    }
}

/// The batches of a file with these columns; what it lacks is NULL.
struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Batches {
    fn open(env: &dyn Env, path: &Path, schema: &SchemaRef) -> Result<Self, Error> {
        let reader =
            open(env, path)?.with_batch_size(BATCH_ROWS).build().map_err(|error| wrong(path, error))?;
        Ok(Self { path: path.to_owned(), reader, schema: Arc::clone(schema) })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let fitted = batch.and_then(|batch| {
            let column = |field: &Arc<arrow_schema::Field>| match batch.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), batch.num_rows()),
            };
            let columns = self.schema.fields().iter().map(column).collect();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        });
        Some(fitted.map_err(|error| wrong(&self.path, error.into())))
    }
}

/// A file on its way into the result.
struct Source {
    batches: Batches,
    batch: RecordBatch,
    keys: Option<Rows>,
    at: usize,
}

impl Source {
    fn open(env: &dyn Env, path: &Path, schema: &SchemaRef) -> Result<Self, Error> {
        let batches = Batches::open(env, path, schema)?;
        Ok(Self { batches, batch: RecordBatch::new_empty(Arc::clone(schema)), keys: None, at: 0 })
    }

    /// The next batch that has rows; false: there is none.
    fn next(&mut self, keys: &mut Keys) -> Result<bool, Error> {
        for batch in self.batches.by_ref() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                self.keys = Some(keys.of(&batch, &self.batches.path)?);
                (self.batch, self.at) = (batch, 0);
                return Ok(true);
            }
        }
        self.keys = None;
        Ok(false)
    }

    /// The key of the row it stands at.
    fn key(&self) -> Option<OwnedRow> {
        self.keys.as_ref().filter(|keys| self.at < keys.num_rows()).map(|keys| keys.row(self.at).owned())
    }

    fn row(&self) -> (&RecordBatch, usize) {
        (&self.batch, self.at)
    }

    /// Goes on by a row; false: the batch is at its end.
    fn step(&mut self) -> bool {
        self.at = self.at.saturating_add(1);
        self.at < self.batch.num_rows()
    }
}

/// The rows of the next batch of the result, by batch of a source and row.
struct Chosen {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    /// Which of the batches is the one that a source stands in.
    of_source: Vec<Option<usize>>,
}

impl Chosen {
    fn new(sources: usize) -> Self {
        Self { batches: Vec::new(), rows: Vec::new(), of_source: vec![None; sources] }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn take(&mut self, source: usize, batch: &RecordBatch, row: usize) {
        let Some(known) = self.of_source.get_mut(source) else { return };
        let place = *known.get_or_insert_with(|| {
            self.batches.push(batch.clone());
            self.batches.len().saturating_sub(1)
        });
        self.rows.push((place, row));
    }

    /// This source goes on with another batch.
    fn forget(&mut self, source: usize) {
        self.of_source.get_mut(source).into_iter().for_each(|it| *it = None);
    }

    fn batch(&mut self) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let batch = interleave_record_batch(&batches, &self.rows);
        self.batches.clear();
        self.rows.clear();
        self.of_source.fill(None);
        batch
    }
}
