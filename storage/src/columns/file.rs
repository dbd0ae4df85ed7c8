//! One Parquet file of one table: how it is laid out, and its writer.
//!
//! Layout, by what readers of all kinds were measured to do well with: ZSTD; row groups of 128 k rows; page
//! index; statistics on every column but bulk bytes; DELTA_BINARY_PACKED without dictionary for numbers that
//! grow or rarely repeat; a dictionary for the rest, of up to 4 MiB for names of items; a bloom filter on the fiscal
//! sign; `sorting_columns` as the rows really lie. In `containers` and `records` pages are small, so that one document
//! is read without unpacking its neighbours.
//!
//! Titles reach every reader: those of Arrow (pyarrow, Polars, pandas) as metadata of the field (`title_ru`), the
//! others as the file's own metadata (`ofd.titles`, a JSON object; DuckDB: `parquet_kv_metadata`).
//!
//! Rows are encoded as they come (`group.rs`); `rewriter` takes Arrow batches, of rows that were read from a file. Both
//! make the same bytes.
//!
//! Determinism: nothing here looks at a clock, the time zone, a hash seed or the machine, so that the same rows make
//! the same bytes.

use std::io::Write;

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::group::Group;
use super::pages::Codec;
use super::{Column, Layout, Row, Table, schema};

/// Who wrote a file, in the form that readers parse.
pub const CREATED_BY: &str = concat!("ofd-engine version ", env!("CARGO_PKG_VERSION"));
/// Version of the tables: grows when a column changes its meaning; more columns do not change it.
pub const SCHEMA_VERSION: &str = "1";
/// Rows between two looks at the length of pages.
const BATCH_ROWS: usize = 1024;
/// Bytes of containers between two of them.
const BATCH_BYTES: usize = 4 << 20;
/// Rows of `containers` between two looks at the length of a page.
const CONTAINER_BATCH_ROWS: usize = 16;
/// Bytes of a data page of bulk bytes, before compression: some hundred documents, 0.15 ms to unpack. Of 32 KiB they take
/// 0.03 ms and the table a sixth more. The columns that are searched keep large pages, or their index would outweigh them.
const BULK_PAGE_BYTES: usize = 128 << 10;
/// Bytes of the dictionary of a column of [`Layout::Words`] in a row group; bounds the memory of the writer, and of a reader.
pub const WORDS_PAGE_BYTES: usize = 4 << 20;
/// Rows of a data page elsewhere.
const PAGE_ROWS: usize = 8192;

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Rows of a row group; default 131 072, 1..=1 048 576. Readers work by row group in parallel.
    pub row_group_rows: usize,
    /// Bytes of a row group in `containers`; default 64 MiB, at least 1 MiB. Bounds the memory of the writer.
    pub row_group_bytes: usize,
    /// ZSTD level; default 3, 1..=9. Above 3 a file shrinks by a few per cent and takes several times as long.
    pub zstd_level: i32,
    /// Columns that are marked as personal are left out; default false.
    pub without_personal: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { row_group_rows: 131_072, row_group_bytes: 64 << 20, zstd_level: 3, without_personal: false }
    }
}

/// Writes the rows of one table into one file, in the order they come.
pub struct TableWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    codec: Codec,
    group: Option<Group>,
    group_rows: usize,
    group_bytes: Option<usize>,
    /// Rows and bulk bytes since the last look at the pages.
    batch: usize,
    batch_bytes: usize,
    /// Rows that may come before the next look at the length of the group.
    room: usize,
    rows: u64,
}

impl<W: Write + Send> TableWriter<W> {
    /// A writer into `sink`. `facts` go into the metadata of the file, in this order.
    ///
    /// # Errors
    /// When the options make no file.
    pub fn new(
        table: Table,
        sink: W,
        options: FileOptions,
        facts: &[(&str, String)],
    ) -> Result<Self, ParquetError> {
        let kept = |it: &&Column| !(options.without_personal && it.personal);
        let columns: Vec<Column> = table.columns().iter().filter(kept).copied().collect();
        let properties = properties(table, options, facts)?;
        let (group_rows, group_bytes) = (options.row_group_rows.max(1), properties.max_row_group_bytes());
        let writer = ArrowWriter::try_new_with_options(
            sink,
            schema(&columns),
            ArrowWriterOptions::new().with_properties(properties),
        )?;
        let (file, _) = writer.into_serialized_writer()?;
        Ok(Self {
            file,
            columns,
            codec: Codec::new(options.zstd_level)?,
            group: None,
            group_rows,
            group_bytes,
            batch: 0,
            batch_bytes: 0,
            room: 0,
            rows: 0,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Of the sink.
    pub fn push(&mut self, row: &Row) -> Result<(), ParquetError> {
        if self.room == 0 {
            self.make_room()?;
        }
        let group = match &mut self.group {
            Some(group) => group,
            none => none.insert(Group::new(&self.columns, &self.file)?),
        };
        group.push(row, &mut self.codec)?;
        self.rows = self.rows.saturating_add(1);
        self.room = self.room.saturating_sub(1);
        self.batch = self.batch.saturating_add(1);
        self.batch_bytes = self.batch_bytes.saturating_add(row.head.bulk_len());
        let ended = self.batch >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES;
        if ended || self.room == 0 {
            group.end_batch(&mut self.codec)?;
            let full = self.group_bytes.is_some_and(|most| group.len() >= most);
            if full || group.rows() >= self.group_rows {
                self.end_group()?;
            }
        }
        if ended {
            (self.batch, self.batch_bytes, self.room) = (0, 0, 0);
        }
        Ok(())
    }

    /// How many rows may come until the batch is full or, taken as long as those before them, the group is.
    fn make_room(&mut self) -> Result<(), ParquetError> {
        self.room = BATCH_ROWS.saturating_sub(self.batch).max(1);
        let Some(group) = &self.group else {
            self.room = self.room.min(self.group_rows);
            return Ok(());
        };
        self.room = self.room.min(self.group_rows.saturating_sub(group.rows()).max(1));
        let Some(most) = self.group_bytes else { return Ok(()) };
        let len = group.len();
        let Some(row_len) = len.checked_div(group.rows()).filter(|len| *len > 0) else { return Ok(()) };
        match most.saturating_sub(len).checked_div(row_len) {
            None | Some(0) => {
                self.end_group()?;
                self.make_room()
            }
            Some(room) => {
                self.room = self.room.min(room);
                Ok(())
            }
        }
    }

    /// Writes what is left and the footer; the number of rows.
    ///
    /// # Errors
    /// Of the sink.
    pub fn finish(&mut self) -> Result<u64, ParquetError> {
        if let Some(group) = &mut self.group {
            group.end_batch(&mut self.codec)?;
        }
        self.end_group()?;
        // Not `into_inner`: of an error of the sink it makes words, and a failing disk passes for a damaged file.
        self.file.finish()?;
        Ok(self.rows)
    }

    /// Where it has written to; all of it once it is finished.
    pub fn sink(&self) -> &W {
        self.file.inner()
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        match self.group.take() {
            Some(group) => group.finish(&mut self.file, &mut self.codec),
            None => Ok(()),
        }
    }
}

/// A writer of rows that were read from another file of the table, laid out as any file of it.
///
/// # Errors
/// When the options make no file.
pub(crate) fn rewriter<W: Write + Send>(
    table: Table,
    sink: W,
    schema: SchemaRef,
    options: FileOptions,
    facts: &[(&str, String)],
) -> Result<ArrowWriter<W>, ParquetError> {
    let properties = properties(table, options, facts)?;
    let options = ArrowWriterOptions::new().with_properties(properties);
    ArrowWriter::try_new_with_options(sink, schema, options)
}

fn properties(
    table: Table,
    options: FileOptions,
    facts: &[(&str, String)],
) -> Result<WriterProperties, ParquetError> {
    let zstd = ZstdLevel::try_new(options.zstd_level)?;
    let group_rows = options.row_group_rows.max(1);
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(zstd))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_sorting_columns(Some(sorting(table, options.without_personal)))
        .set_key_value_metadata(Some(metadata(table, facts)));
    if matches!(table, Table::Containers | Table::Records) {
        builder = builder
            .set_max_row_group_bytes(Some(options.row_group_bytes.max(1 << 20)))
            // The length of a page is looked at once in so many rows.
            .set_write_batch_size(CONTAINER_BATCH_ROWS);
    }
    for column in table.columns() {
        let path = || ColumnPath::from(column.name);
        builder = match column.layout {
            Layout::Dictionary => builder,
            Layout::Words => builder.set_column_dictionary_page_size_limit(path(), WORDS_PAGE_BYTES),
            Layout::Delta => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), delta(column)),
            Layout::Bulk => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::PLAIN)
                .set_column_data_page_size_limit(path(), BULK_PAGE_BYTES)
                .set_column_statistics_enabled(path(), EnabledStatistics::None),
            Layout::Lookup => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), delta(column))
                .set_column_bloom_filter_max_ndv(path(), u64::try_from(group_rows).unwrap_or(u64::MAX))
                .set_column_bloom_filter_fpp(path(), 0.01),
        };
    }
    Ok(builder.build())
}

/// The delta encoding that the physical type of the column has.
fn delta(column: &Column) -> Encoding {
    match column.kind {
        super::Kind::Text | super::Kind::Bytes => Encoding::DELTA_BYTE_ARRAY,
        super::Kind::Flag => Encoding::PLAIN,
        _ => Encoding::DELTA_BINARY_PACKED,
    }
}

fn sorting(table: Table, without_personal: bool) -> Vec<SortingColumn> {
    let kept = table.columns().iter().filter(|it| !(without_personal && it.personal));
    let names: Vec<&str> = kept.map(|it| it.name).collect();
    let place = |name: &&str| i32::try_from(names.iter().position(|it| it == name)?).ok();
    table
        .sorted_by()
        .iter()
        .filter_map(place)
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
        .collect()
}

fn metadata(table: Table, facts: &[(&str, String)]) -> Vec<KeyValue> {
    let titles: serde_json::Map<String, serde_json::Value> =
        table.columns().iter().map(|column| (column.name.to_owned(), column.title.into())).collect();
    let mut pairs = vec![
        KeyValue::new("ofd.schema_version".to_owned(), SCHEMA_VERSION.to_owned()),
        KeyValue::new("ofd.table".to_owned(), table.name().to_owned()),
        KeyValue::new("ofd.money_unit".to_owned(), "RUB, DECIMAL(18,2)".to_owned()),
        KeyValue::new("ofd.titles".to_owned(), serde_json::Value::Object(titles).to_string()),
    ];
    pairs.extend(facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())));
    pairs
}

#[cfg(test)]
mod tests;
