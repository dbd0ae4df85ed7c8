//! Bulk bytes on their way into a file: as they are, in pages of so many bytes, and nothing told of them but where the pages lie.
//!
//! Pages end where those of parquet-rs's own writer end. It takes in a batch by chunks, a chunk by pieces that fill a page
//! by their lengths if they are long, and looks at the page behind each piece; what a chunk is depends on whether a NULL
//! is in the batch. So pages are cut when the batch is there.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnDescPtr;

use super::pages::{Codec, Pages};

/// Bytes that tell the length of a value, before it.
const PREFIX: usize = 4;

/// A column of a row group.
pub(crate) struct Bulk {
    pages: Pages,
    nullable: bool,
    page_len_max: usize,
    page_rows_max: usize,
    chunk_rows: usize,
    /// Length of each row that lies in no page, its prefix included; 0 is NULL.
    rows: Vec<usize>,
    /// Their values, with prefixes.
    bytes: Vec<u8>,
    /// Those of the rows that have been looked at: the page that is filled.
    page_rows: usize,
    page_bytes: usize,
    paged: usize,
}

impl Bulk {
    /// An empty one.
    pub(crate) fn new(descr: &ColumnDescPtr, properties: &Arc<WriterProperties>) -> Self {
        Self {
            pages: Pages::new(descr, properties),
            nullable: descr.max_def_level() > 0,
            page_len_max: properties.column_data_page_size_limit(descr.path()),
            page_rows_max: properties.data_page_row_count_limit(),
            chunk_rows: properties.write_batch_size().max(1),
            rows: Vec::new(),
            bytes: Vec::new(),
            page_rows: 0,
            page_bytes: 0,
            paged: 0,
        }
    }

    /// Takes in the value of a row of the group, which comes behind all that are in.
    pub(crate) fn push(&mut self, value: &[u8], row: usize) {
        self.nulls_up_to(row);
        self.bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.rows.push(value.len().saturating_add(PREFIX));
    }

    fn nulls_up_to(&mut self, row: usize) {
        self.rows.resize(row.saturating_sub(self.paged).max(self.rows.len()), 0);
    }

    /// Bytes of the column so far, about. The batch must have been ended.
    pub(crate) fn len(&self) -> usize {
        self.pages.len().saturating_add(self.bytes.len())
    }

    /// Cuts the pages that have come to their end, with as many rows in the group.
    ///
    /// # Errors
    /// When a required column got a NULL: a defect of ours. Of the compression.
    pub(crate) fn end_batch(&mut self, rows: usize, codec: &mut Codec) -> Result<(), ParquetError> {
        self.nulls_up_to(rows);
        let all = std::mem::take(&mut self.rows);
        let bytes = std::mem::take(&mut self.bytes);
        let (mut rows_done, mut bytes_done) = (0_usize, 0_usize);
        let batch = all.get(self.page_rows..).unwrap_or_default();
        let even = self.nullable && (batch.iter().all(|len| *len > 0) || batch.iter().all(|len| *len == 0));
        let chunk_rows = if even { self.page_rows_max.max(1) } else { self.chunk_rows };
        for chunk in batch.chunks(chunk_rows) {
            for piece in chunk.chunks(self.piece_rows(chunk)) {
                self.page_rows = self.page_rows.saturating_add(piece.len());
                self.page_bytes = piece.iter().copied().fold(self.page_bytes, usize::saturating_add);
                if self.page_rows >= self.page_rows_max || self.page_bytes >= self.page_len_max {
                    let rows_end = rows_done.saturating_add(self.page_rows);
                    let bytes_end = bytes_done.saturating_add(self.page_bytes);
                    let page = (all.get(rows_done..rows_end), bytes.get(bytes_done..bytes_end));
                    self.end_page(page.0.unwrap_or_default(), page.1.unwrap_or_default(), codec)?;
                    (rows_done, bytes_done) = (rows_end, bytes_end);
                }
            }
        }
        // What is left begins the next page.
        (self.rows, self.bytes) = (all, bytes);
        self.rows.drain(..rows_done.min(self.rows.len()));
        self.bytes.drain(..bytes_done.min(self.bytes.len()));
        Ok(())
    }

    /// Rows of a chunk that are taken in at once: as many as fill a page, if the whole of it is longer.
    fn piece_rows(&self, chunk: &[usize]) -> usize {
        let all = chunk.len().max(1);
        let mut sum = 0_usize;
        let values = chunk.iter().filter(|len| **len > 0);
        let fit = values.clone().position(|len| {
            sum = sum.saturating_add(*len);
            sum > self.page_len_max
        });
        let Some(fit) = fit.map(|at| at.saturating_add(1)) else { return all };
        let rows = match values.count() {
            values if values == chunk.len() => fit,
            values => fit.saturating_mul(chunk.len()).div_ceil(values.max(1)),
        };
        rows.clamp(1, all)
    }

    fn end_page(&mut self, rows: &[usize], bytes: &[u8], codec: &mut Codec) -> Result<(), ParquetError> {
        let values = rows.iter().filter(|len| **len > 0).count();
        let whole = bytes.len().saturating_sub(values.saturating_mul(PREFIX));
        let whole = Some(i64::try_from(whole).unwrap_or(i64::MAX));
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if self.nullable {
            codec.page.clear();
            codec.levels(rows.iter().map(|len| (u32::from(*len > 0), 1)), rows.len(), values);
            codec.page.extend_from_slice(bytes);
            self.pages.add(codec, Encoding::PLAIN, count, whole)?;
        } else if values < rows.len() {
            return Err(ParquetError::General(format!("NULL in {}", self.pages.descr().path())));
        } else {
            self.pages.add_values(codec, bytes, Encoding::PLAIN, count, whole)?;
        }
        self.paged = self.paged.saturating_add(rows.len());
        (self.page_rows, self.page_bytes) = (0, 0);
        Ok(())
    }

    /// Ends the column: its bytes, and what is told of them. The batch must have been ended.
    ///
    /// # Errors
    /// As [`Bulk::end_batch`].
    pub(crate) fn finish(mut self, codec: &mut Codec) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let (rows, bytes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        if !rows.is_empty() {
            self.end_page(&rows, &bytes, codec)?;
        }
        let rows_written = self.paged as u64;
        let (bytes, metadata, offsets) = self.pages.finish();
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offsets),
        };
        Ok((bytes, close))
    }
}
