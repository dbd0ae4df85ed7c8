//! Rows on their way into Arrow arrays.
//!
//! Most cells of most columns are NULL. A NULL costs the question for it: it is put into its column when a value follows it, or
//! with the end of the batch, and a column without any value is an array that was made once.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};

use super::column::{Cell, Column, DECIMAL_MAX, Kind, schema};
use super::row::Row;

/// Collects rows into a record batch.
#[derive(Debug)]
pub struct Batch {
    schema: SchemaRef,
    /// Where the cells come from; apart from where they go to, which a NULL does not touch.
    cells: Vec<for<'r> fn(&'r Row) -> Cell<'r>>,
    slots: Vec<Slot>,
    rows: usize,
}

/// A column of a batch.
#[derive(Debug)]
struct Slot {
    kind: Kind,
    values: Values,
    /// Rows whose cell is among the values.
    filled: usize,
    /// What the column looks like without a value, as it was made last.
    nulls: Option<ArrayRef>,
}

#[derive(Debug)]
enum Values {
    Int32(Int32Builder),
    Int64(Int64Builder),
    Flag(BooleanBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Decimal(Decimal128Builder),
    LocalTime(TimestampMillisecondBuilder),
    UtcTime(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl Batch {
    /// An empty batch with these columns.
    pub fn new(columns: &[Column]) -> Self {
        let slot = |column: &Column| Slot {
            kind: column.kind,
            values: Values::new(column.kind, 0, 0),
            filled: 0,
            nulls: None,
        };
        Self {
            schema: schema(columns),
            cells: columns.iter().map(|column| column.cell).collect(),
            slots: columns.iter().map(slot).collect(),
            rows: 0,
        }
    }

    /// Rows collected.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The schema of the batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds the row.
    pub fn push(&mut self, row: &Row) {
        for (cell, slot) in self.cells.iter().zip(&mut self.slots) {
            let cell = cell(row);
            if !matches!(cell, Cell::Null) {
                slot.push(cell, self.rows);
            }
        }
        self.rows = self.rows.saturating_add(1);
    }

    /// The rows collected, the batch emptied.
    ///
    /// # Errors
    /// When a required column got a NULL: a defect of ours.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.slots.iter_mut().map(|slot| slot.take(rows)).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl Slot {
    /// The cell of the row with this number.
    fn push(&mut self, cell: Cell<'_>, at: usize) {
        if at > self.filled {
            self.values.push_nulls(at.saturating_sub(self.filled));
        }
        self.values.push(cell);
        self.filled = at.saturating_add(1);
    }

    fn take(&mut self, rows: usize) -> ArrayRef {
        let filled = std::mem::take(&mut self.filled);
        if let Some(nulls) = self.nulls.as_ref().filter(|nulls| filled == 0 && nulls.len() == rows) {
            return Arc::clone(nulls);
        }
        self.values.push_nulls(rows.saturating_sub(filled));
        // The next batch is taken to be as long.
        let next = Values::new(self.kind, rows, self.values.bytes());
        let array = std::mem::replace(&mut self.values, next).finish();
        if filled == 0 {
            self.nulls = Some(Arc::clone(&array));
        }
        array
    }
}

impl Values {
    /// Room for as many rows, and bytes of text, as are expected.
    fn new(kind: Kind, rows: usize, bytes: usize) -> Self {
        match kind {
            Kind::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            Kind::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Kind::Flag => Self::Flag(BooleanBuilder::with_capacity(rows)),
            Kind::Text => Self::Text(StringBuilder::with_capacity(rows, bytes)),
            Kind::Bytes => Self::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
            Kind::Money | Kind::Quantity => {
                Self::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(kind.data_type()))
            }
            Kind::LocalTime => Self::LocalTime(TimestampMillisecondBuilder::with_capacity(rows)),
            Kind::UtcTime => Self::UtcTime(
                TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(kind.data_type()),
            ),
            Kind::Date => Self::Date(Date32Builder::with_capacity(rows)),
        }
    }

    /// A cell that is not of the column's kind, or does not fit it, is NULL: a column never takes the file down.
    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Int64(builder), Cell::Int(value)) => builder.append_value(value),
            (Self::Text(builder), Cell::Text(value)) => builder.append_value(value),
            (Self::Text(builder), Cell::Coded(value)) => builder.append_value(value.to_cow()),
            (Self::Decimal(builder), Cell::Int(value)) if (-DECIMAL_MAX..=DECIMAL_MAX).contains(&value) => {
                builder.append_value(i128::from(value));
            }
            (Self::Int32(builder), Cell::Int(value)) => builder.append_option(i32::try_from(value).ok()),
            (Self::Flag(builder), Cell::Flag(value)) => builder.append_value(value),
            (Self::Bytes(builder), Cell::Bytes(value)) => builder.append_value(value),
            (Self::LocalTime(builder), Cell::Int(value)) => builder.append_value(value),
            (Self::UtcTime(builder), Cell::Int(value)) => builder.append_value(value),
            (Self::Date(builder), Cell::Int(value)) => builder.append_option(i32::try_from(value).ok()),
            (values, _) => values.push_nulls(1),
        }
    }

    fn push_nulls(&mut self, rows: usize) {
        match self {
            Self::Int32(builder) => builder.append_nulls(rows),
            Self::Int64(builder) => builder.append_nulls(rows),
            Self::Flag(builder) => builder.append_nulls(rows),
            Self::Text(builder) => builder.append_nulls(rows),
            Self::Bytes(builder) => builder.append_nulls(rows),
            Self::Decimal(builder) => builder.append_nulls(rows),
            Self::LocalTime(builder) => builder.append_nulls(rows),
            Self::UtcTime(builder) => builder.append_nulls(rows),
            Self::Date(builder) => builder.append_nulls(rows),
        }
    }

    /// Bytes of text so far.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(builder) => builder.values_slice().len(),
            Self::Bytes(builder) => builder.values_slice().len(),
            _ => 0,
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Flag(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder) => Arc::new(builder.finish()),
            Self::LocalTime(mut builder) => Arc::new(builder.finish()),
            Self::UtcTime(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::columns::Table;
    use crate::columns::cells::Cells;

    /// A NULL that is left out for a while, or a column that is made once, must not shift what comes behind it.
    #[test]
    fn every_cell_comes_back_whatever_is_null_around_it() {
        let mut batch = Batch::new(Table::Documents.columns());
        let mut seed = 7_u64;
        for rows in [1, 5, 8, 9, 64, 65, 200, 200, 3] {
            let asked: Vec<Row> = (0..rows)
                .map(|_| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let some = |bit: u32, value: i64| (seed >> bit & 7 == 0).then_some(value);
                    let mut row = Row::default();
                    row.head.realm = "prod";
                    row.head.drive = Some(row.texts.put("9999078900001234"));
                    row.head.provenance = "live";
                    row.facts.total = some(20, 123_456);
                    row.facts.cash = some(23, i64::MAX);
                    row.facts.direction = some(26, 2);
                    row.facts.tax_system = some(29, i64::MAX);
                    row.facts.local_seconds = some(32, 1_715_774_400);
                    row.facts.correction_day = some(35, 19_000);
                    row.facts.internet = some(38, 1).map(|_| seed >> 60 > 7);
                    row.facts.cashier = some(41, 0).map(|_| row.texts.put("Ёлкина"));
                    row
                })
                .collect();
            asked.iter().for_each(|row| batch.push(row));
            assert_eq!(batch.rows(), rows);
            let made = batch.take().unwrap();
            for (column, array) in Table::Documents.columns().iter().zip(made.columns()) {
                assert_eq!(array.data_type(), &column.kind.data_type());
                for (at, row) in asked.iter().enumerate() {
                    // What does not fit its column is NULL.
                    let fits = match (column.kind, (column.cell)(row)) {
                        (Kind::Int32 | Kind::Money, Cell::Int(i64::MAX)) => Cell::Null,
                        (_, cell) => cell,
                    };
                    assert_eq!(
                        Cells::of(array).unwrap().at(at),
                        fits,
                        "{} in row {at} of {rows}",
                        column.name
                    );
                }
            }
        }
        assert_eq!(batch.rows(), 0);
    }
}
