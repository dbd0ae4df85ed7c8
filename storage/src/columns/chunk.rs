//! One column of one row group on its way into a file: levels and values into pages, pages compressed, and what is told of
//! them: bounds, NULLs, where they lie.
//!
//! Cells come row by row and are encoded as they come. Arrow arrays would be built first, with a bitmap and offsets, and then
//! gathered and hashed value by value; a bare ArrowWriter takes longer over arrays that are finished already.
//! A NULL costs nothing until a value follows it.
//!
//! The bytes are those of parquet-rs's own writer with the same properties, but for where two pages end: the one in which a
//! dictionary gets full ends a few values behind the one that fills it, and beside bulk bytes, in a batch that is cut short, pages end
//! with the batch.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::BoundaryOrder;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnIndexBuilder, LevelHistogram};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnDescPtr;

use super::column::{Cell, Kind, Layout};
use super::pages::{Codec, Pages};
use super::values::{Bound, Bounds, Values, cut_down, cut_up};

/// A column of a row group.
pub(crate) struct Chunk {
    values: Values,
    /// Bytes of a page that is long enough, and rows.
    page_len_max: usize,
    page_rows_max: usize,
    /// Of a column without NULL there are no levels.
    nullable: bool,
    /// The rows of the page: so many NULLs, so many values, and so on; but for the values at the end of it.
    runs: Vec<u32>,
    /// Those.
    run: u32,
    /// Rows of the group that have a level.
    filled: u32,
    /// Rows of the group that lie in pages.
    paged: u32,
    bloom: Option<(Sbbf, f64)>,
    /// Apart from what every cell touches.
    pages: Box<Pages>,
    told: Box<Told>,
}

/// What a file tells of the values.
struct Told {
    index: ColumnIndexBuilder,
    bounds: Option<Bounds>,
    /// Bounds of the last page that has any.
    page_bounds: Option<Bounds>,
    ascending: bool,
    descending: bool,
    nulls: u64,
    text_bytes: Option<i64>,
    histogram: Option<LevelHistogram>,
}

impl Chunk {
    /// An empty one; `None` when the column is not encoded here.
    ///
    /// # Errors
    /// When the properties make no bloom filter.
    pub(crate) fn new(
        kind: Kind,
        layout: Layout,
        descr: &ColumnDescPtr,
        properties: &Arc<WriterProperties>,
    ) -> Result<Option<Self>, ParquetError> {
        let path = descr.path();
        let dictionary_max = properties.column_dictionary_page_size_limit(path);
        let Some(values) = Values::new(kind, layout, dictionary_max) else { return Ok(None) };
        let bloom = match properties.bloom_filter_properties(path) {
            Some(bloom) => Some((Sbbf::new_with_ndv_fpp(bloom.ndv(), bloom.fpp())?, bloom.fpp())),
            None => None,
        };
        let told = Told {
            index: ColumnIndexBuilder::new(descr.physical_type()),
            bounds: None,
            page_bounds: None,
            ascending: true,
            descending: true,
            nulls: 0,
            text_bytes: None,
            histogram: LevelHistogram::try_new(descr.max_def_level()),
        };
        Ok(Some(Self {
            values,
            page_len_max: properties.column_data_page_size_limit(path),
            page_rows_max: properties.data_page_row_count_limit(),
            nullable: descr.max_def_level() > 0,
            runs: Vec::new(),
            run: 0,
            filled: 0,
            paged: 0,
            bloom,
            pages: Box::new(Pages::new(descr, properties)),
            told: Box::new(told),
        }))
    }

    /// Takes in the cell of a row of the group, which comes behind all that are in.
    ///
    /// # Errors
    /// As [`Chunk::end_batch`].
    #[inline]
    pub(crate) fn push(&mut self, cell: Cell<'_>, row: u32, codec: &mut Codec) -> Result<(), ParquetError> {
        if !self.values.push(cell) {
            return Ok(());
        }
        if let (Some((bloom, _)), Cell::Int(number)) = (&mut self.bloom, cell) {
            bloom.insert(&number);
        }
        if row > self.filled {
            self.nulls_up_to(row);
        }
        self.run = self.run.saturating_add(1);
        self.filled = row.saturating_add(1);
        // What waits has changed neither the page nor the dictionary.
        if matches!(cell, Cell::Text(_) | Cell::Coded(_))
            && !self.values.has_waiting()
            && (self.values.is_full() || self.is_long())
        {
            self.end_page(codec)?;
        }
        Ok(())
    }

    /// The rows before this one that have no level are NULL.
    fn nulls_up_to(&mut self, row: u32) {
        let nulls = row.saturating_sub(self.filled);
        match self.runs.last_mut() {
            Some(last) if self.run == 0 => *last = last.saturating_add(nulls),
            Some(_) => self.runs.extend([self.run, nulls]),
            // No NULLs before the values with which the page begins.
            None if self.run > 0 => self.runs.extend([0, self.run, nulls]),
            None => self.runs.push(nulls),
        }
        self.run = 0;
        self.filled = row;
    }

    fn is_long(&self) -> bool {
        self.values.page_len() >= self.page_len_max
    }

    /// Looks whether a page has come to its end, with as many rows in the group.
    ///
    /// # Errors
    /// When a required column got a NULL: a defect of ours. Of the compression.
    pub(crate) fn end_batch(&mut self, rows: u32, codec: &mut Codec) -> Result<(), ParquetError> {
        self.values.settle();
        let in_page = usize::try_from(rows.saturating_sub(self.paged)).unwrap_or(usize::MAX);
        let ended = in_page >= self.page_rows_max || self.is_long();
        if in_page > 0 && (ended || self.values.is_full()) {
            if rows > self.filled {
                self.nulls_up_to(rows);
            }
            self.end_page(codec)?;
        }
        Ok(())
    }

    /// Bytes of the column so far, about.
    pub(crate) fn len(&self) -> usize {
        self.pages.len().saturating_add(self.values.len())
    }

    /// Ends the page with the last row that has a level.
    fn end_page(&mut self, codec: &mut Codec) -> Result<(), ParquetError> {
        let rows = self.filled.saturating_sub(self.paged);
        let values = u32::try_from(self.values.count()).unwrap_or(u32::MAX);
        let nulls = rows.saturating_sub(values);
        if nulls > 0 && !self.nullable {
            return Err(ParquetError::General(format!("NULL in {}", self.pages.descr().path())));
        }
        codec.page.clear();
        if self.nullable {
            let count = |rows: u32| usize::try_from(rows).unwrap_or_default();
            if self.run > 0 {
                self.nulls_up_to(self.filled);
            }
            let runs = [0, 1].into_iter().cycle().zip(self.runs.iter().map(|run| count(*run)));
            codec.levels(runs, count(rows), count(values));
        }
        self.runs.clear();
        self.run = 0;
        self.paged = self.filled;
        let page = self.values.end_page(&mut codec.page);
        self.tell_page(page.bounds, page.text_bytes, rows, nulls);
        self.pages.add(codec, page.encoding, rows, page.text_bytes)?;
        if self.values.is_full() {
            self.end_dictionary(codec)?;
        }
        Ok(())
    }

    fn end_dictionary(&mut self, codec: &mut Codec) -> Result<(), ParquetError> {
        codec.page.clear();
        match self.values.end_dictionary(&mut codec.page) {
            Some(values) => self.pages.add_dictionary(codec, values),
            None => Ok(()),
        }
    }

    fn tell_page(&mut self, bounds: Option<Bounds>, text_bytes: Option<i64>, rows: u32, nulls: u32) {
        let told = &mut self.told;
        told.nulls = told.nulls.saturating_add(u64::from(nulls));
        if let Some(bytes) = text_bytes {
            told.text_bytes = Some(told.text_bytes.unwrap_or_default().saturating_add(bytes));
        }
        let mut histogram = LevelHistogram::try_new(self.pages.descr().max_def_level());
        if let (Some(page), Some(column)) = (&mut histogram, &mut told.histogram) {
            page.increment_by(0, i64::from(nulls));
            page.increment_by(1, i64::from(rows.saturating_sub(nulls)));
            column.add(page);
        }
        let cut = self.pages.properties().column_index_truncate_length();
        let (least, most) = match &bounds {
            Some((Bound::Text(least), Bound::Text(most))) => {
                (cut_down(least.clone(), cut).0, cut_up(most.clone(), cut).0)
            }
            Some((least, most)) => (least.bytes(), most.bytes()),
            None => Default::default(),
        };
        told.index.append(nulls == rows, least, most, i64::from(nulls));
        told.index.append_histograms(&None, &histogram);
        let Some((least, most)) = bounds else { return };
        if let Some((last_least, last_most)) = &told.page_bounds {
            told.ascending &= *last_least <= least && *last_most <= most;
            told.descending &= *last_least >= least && *last_most >= most;
        }
        match &mut told.bounds {
            None => told.bounds = Some((least.clone(), most.clone())),
            Some((all_least, all_most)) => {
                if least < *all_least {
                    all_least.clone_from(&least);
                }
                if most > *all_most {
                    all_most.clone_from(&most);
                }
            }
        }
        told.page_bounds = Some((least, most));
    }

    /// Ends the column with so many rows: its bytes, and what is told of them.
    ///
    /// # Errors
    /// As [`Chunk::end_batch`].
    pub(crate) fn finish(
        mut self,
        rows: u32,
        codec: &mut Codec,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        if rows > self.paged {
            if rows > self.filled {
                self.nulls_up_to(rows);
            }
            self.end_page(codec)?;
        }
        self.end_dictionary(codec)?;
        let Self { values, pages, bloom, told, .. } = self;
        let cut = pages.properties().statistics_truncate_length();
        let mut told = *told;
        told.index.set_boundary_order(match (told.ascending, told.descending) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        });
        let (bytes, metadata, offsets) = pages.finish();
        let metadata = metadata
            .set_statistics(values.statistics(told.bounds, told.nulls, cut))
            .set_unencoded_byte_array_data_bytes(told.text_bytes)
            .set_definition_level_histogram(told.histogram)
            .build()?;
        let bloom = bloom.map(|(mut bloom, wrong)| {
            bloom.fold_to_target_fpp(wrong);
            bloom
        });
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: u64::from(rows),
            metadata,
            bloom_filter: bloom,
            column_index: Some(told.index.build()?),
            offset_index: Some(offsets),
        };
        Ok((bytes, close))
    }
}
