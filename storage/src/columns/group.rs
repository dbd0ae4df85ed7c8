//! The row group that a file is at: its columns side by side, each taking in its cell of every row.

use std::io::Write;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::bulk::Bulk;
use super::chunk::Chunk;
use super::pages::Codec;
use super::{Cell, Column, Row};

/// Where the cells of a column come from.
type CellOf = for<'r> fn(&'r Row) -> Cell<'r>;

/// The columns of a row group.
pub(crate) struct Group {
    columns: Vec<(CellOf, Place)>,
    rows: u32,
}

/// Where the cells of a column go.
enum Place {
    Chunk(Box<Chunk>),
    Bulk(Box<Bulk>),
}

impl Group {
    /// An empty one.
    ///
    /// # Errors
    /// When the properties make no column.
    pub(crate) fn new<W: Write + Send>(
        columns: &[Column],
        file: &SerializedFileWriter<W>,
    ) -> Result<Self, ParquetError> {
        let properties: &Arc<WriterProperties> = file.properties();
        let mut places = Vec::with_capacity(columns.len());
        for (column, descr) in columns.iter().zip(file.schema_descr().columns()) {
            let place = match Chunk::new(column.kind, column.layout, descr, properties)? {
                Some(chunk) => Place::Chunk(Box::new(chunk)),
                None => Place::Bulk(Box::new(Bulk::new(descr, properties))),
            };
            places.push((column.cell, place));
        }
        Ok(Self { columns: places, rows: 0 })
    }

    /// Takes in a row.
    ///
    /// # Errors
    /// As [`Group::end_batch`].
    pub(crate) fn push(&mut self, row: &Row, codec: &mut Codec) -> Result<(), ParquetError> {
        for (cell, place) in &mut self.columns {
            match (cell(row), place) {
                (Cell::Null, _) => {}
                (cell, Place::Chunk(chunk)) => chunk.push(cell, self.rows, codec)?,
                (Cell::Bytes(bytes), Place::Bulk(bulk)) => bulk.push(bytes, index(self.rows)),
                // Not of its kind: NULL.
                (_, Place::Bulk(_)) => {}
            }
        }
        self.rows = self.rows.saturating_add(1);
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        index(self.rows)
    }

    /// Looks whether pages have come to their end.
    ///
    /// # Errors
    /// When a required column got a NULL: a defect of ours. Of the compression.
    pub(crate) fn end_batch(&mut self, codec: &mut Codec) -> Result<(), ParquetError> {
        for (_, place) in &mut self.columns {
            match place {
                Place::Chunk(chunk) => chunk.end_batch(self.rows, codec)?,
                Place::Bulk(bulk) => bulk.end_batch(index(self.rows), codec)?,
            }
        }
        Ok(())
    }

    /// Bytes that it will have, about.
    pub(crate) fn len(&self) -> usize {
        let len = |(_, place): &(_, Place)| match place {
            Place::Chunk(chunk) => chunk.len(),
            Place::Bulk(bulk) => bulk.len(),
        };
        self.columns.iter().map(len).fold(0, usize::saturating_add)
    }

    /// Writes it into the file. The batch must have been ended.
    ///
    /// # Errors
    /// Of the sink, and as [`Group::end_batch`].
    pub(crate) fn finish<W: Write + Send>(
        self,
        file: &mut SerializedFileWriter<W>,
        codec: &mut Codec,
    ) -> Result<(), ParquetError> {
        let mut group = file.next_row_group()?;
        for (_, place) in self.columns {
            let (bytes, told) = match place {
                Place::Chunk(chunk) => chunk.finish(self.rows, codec)?,
                Place::Bulk(bulk) => bulk.finish(codec)?,
            };
            group.append_column(&bytes, told)?;
        }
        group.close()?;
        Ok(())
    }
}

/// A number of rows: not above those of a row group.
fn index(rows: u32) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
