//! Cells of a batch: the way back from Arrow to the values that a row had, see [`Cell`].
//!
//! What is asked of a row is so asked of the rows of a file and of the rows of the log by the same code.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};

use arrow_schema::{Field, Schema};
use hashbrown::HashMap;

use super::read::damaged;
use super::{Cell, Table};
use crate::error::Error;

/// A column of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cells<'b> {
    Int32(&'b Int32Array),
    Int64(&'b Int64Array),
    Flag(&'b BooleanArray),
    Text(&'b StringArray),
    Bytes(&'b BinaryArray),
    Decimal(&'b Decimal128Array),
    LocalTime(&'b TimestampMillisecondArray),
    UtcTime(&'b TimestampMicrosecondArray),
    Date(&'b Date32Array),
}

impl<'b> Cells<'b> {
    /// The cells of an array; `None` when it is of a type that no column has.
    pub(crate) fn of(array: &'b dyn Array) -> Option<Self> {
        let int32 = || array.as_primitive_opt::<Int32Type>().map(Self::Int32);
        let int64 = || array.as_primitive_opt::<Int64Type>().map(Self::Int64);
        let flag = || array.as_boolean_opt().map(Self::Flag);
        let text = || array.as_string_opt::<i32>().map(Self::Text);
        let bytes = || array.as_binary_opt::<i32>().map(Self::Bytes);
        let decimal = || array.as_primitive_opt::<Decimal128Type>().map(Self::Decimal);
        let local = || array.as_primitive_opt::<TimestampMillisecondType>().map(Self::LocalTime);
        let utc = || array.as_primitive_opt::<TimestampMicrosecondType>().map(Self::UtcTime);
        let date = || array.as_primitive_opt::<Date32Type>().map(Self::Date);
        int32()
            .or_else(int64)
            .or_else(text)
            .or_else(decimal)
            .or_else(flag)
            .or_else(local)
            .or_else(utc)
            .or_else(date)
            .or_else(bytes)
    }

    /// The cell of a row of the batch; units as in [`super::Kind`].
    pub(crate) fn at(self, at: usize) -> Cell<'b> {
        let array: &dyn Array = match self {
            Self::Int32(it) => it,
            Self::Int64(it) => it,
            Self::Flag(it) => it,
            Self::Text(it) => it,
            Self::Bytes(it) => it,
            Self::Decimal(it) => it,
            Self::LocalTime(it) => it,
            Self::UtcTime(it) => it,
            Self::Date(it) => it,
        };
        if array.is_null(at) {
            return Cell::Null;
        }
        match self {
            Self::Int32(it) => Cell::Int(i64::from(it.value(at))),
            Self::Int64(it) => Cell::Int(it.value(at)),
            Self::Flag(it) => Cell::Flag(it.value(at)),
            Self::Text(it) => Cell::Text(it.value(at)),
            Self::Bytes(it) => Cell::Bytes(it.value(at)),
            Self::Decimal(it) => i64::try_from(it.value(at)).map_or(Cell::Null, Cell::Int),
            Self::LocalTime(it) => Cell::Int(it.value(at)),
            Self::UtcTime(it) => Cell::Int(it.value(at)),
            Self::Date(it) => Cell::Int(i64::from(it.value(at))),
        }
    }
}

/// All columns of a batch of a table, by name.
pub(crate) struct NamedCells<'b> {
    table: Table,
    cells: HashMap<&'b str, Cells<'b>>,
    rows: usize,
}

impl<'b> NamedCells<'b> {
    /// Those of a batch.
    ///
    /// # Errors
    /// `Corrupt` when a column is of a type that no column has.
    pub(crate) fn of(table: Table, batch: &'b RecordBatch) -> Result<Self, Error> {
        let schema: &'b Schema = batch.schema_ref();
        let named = |(field, array): (&'b Arc<Field>, &'b ArrayRef)| {
            let name = field.name().as_str();
            Cells::of(array).map(|cells| (name, cells)).ok_or_else(|| wrong(table, name))
        };
        let cells = schema.fields().iter().zip(batch.columns()).map(named).collect::<Result<_, _>>()?;
        Ok(Self { table, cells, rows: batch.num_rows() })
    }

    /// The rows of the batch, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = RowCells<'_, 'b>> {
        (0..self.rows).map(|at| RowCells { named: self, at })
    }
}

fn wrong(table: Table, name: &str) -> Error {
    damaged(Path::new(table.name()), format!("no column {name} of the expected type"))
}

/// One row of a batch. A cell that is not there or not of the type that is asked for is damage; NULL is `None`.
#[derive(Clone, Copy)]
pub(crate) struct RowCells<'n, 'b> {
    named: &'n NamedCells<'b>,
    at: usize,
}

impl<'b> RowCells<'_, 'b> {
    fn cell(self, name: &str) -> Result<Cell<'b>, Error> {
        let cells = self.named.cells.get(name);
        cells.map(|it| it.at(self.at)).ok_or_else(|| wrong(self.named.table, name))
    }

    /// A number, a sum in kopecks, a time in the unit of its column.
    pub(crate) fn int(self, name: &str) -> Result<Option<i64>, Error> {
        match self.cell(name)? {
            Cell::Int(value) => Ok(Some(value)),
            Cell::Null => Ok(None),
            _ => Err(wrong(self.named.table, name)),
        }
    }

    /// A number that fits.
    pub(crate) fn small<T: TryFrom<i64>>(self, name: &str) -> Result<Option<T>, Error> {
        let number = |it| T::try_from(it).map_err(|_| wrong(self.named.table, name));
        self.int(name)?.map(number).transpose()
    }

    /// A number that is there and fits.
    pub(crate) fn required<T: TryFrom<i64>>(self, name: &str) -> Result<T, Error> {
        self.small(name)?.ok_or_else(|| wrong(self.named.table, name))
    }

    /// A number of a column that older files do not have.
    pub(crate) fn later<T: TryFrom<i64>>(self, name: &str) -> Result<Option<T>, Error> {
        if self.named.cells.contains_key(name) { self.small(name) } else { Ok(None) }
    }

    /// Seconds of a [`super::Kind::LocalTime`].
    pub(crate) fn seconds(self, name: &str) -> Result<Option<i64>, Error> {
        Ok(self.int(name)?.map(|millis| millis.div_euclid(1000)))
    }

    /// Text.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'b str>, Error> {
        match self.cell(name)? {
            Cell::Text(value) => Ok(Some(value)),
            Cell::Null => Ok(None),
            _ => Err(wrong(self.named.table, name)),
        }
    }

    /// Text, if there is any.
    pub(crate) fn owned(self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    /// Text that is there.
    pub(crate) fn required_text(self, name: &str) -> Result<String, Error> {
        self.owned(name)?.ok_or_else(|| wrong(self.named.table, name))
    }

    /// One of some words, which is there.
    pub(crate) fn word(self, name: &str, words: &[&'static str]) -> Result<&'static str, Error> {
        let text = self.text(name)?;
        let word = words.iter().find(|it| text == Some(**it)).copied();
        word.ok_or_else(|| wrong(self.named.table, name))
    }

    /// Yes or no.
    pub(crate) fn flag(self, name: &str) -> Result<Option<bool>, Error> {
        match self.cell(name)? {
            Cell::Flag(value) => Ok(Some(value)),
            Cell::Null => Ok(None),
            _ => Err(wrong(self.named.table, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::columns::{Batch, Row};

    // What is found in a file must be what was found of the same row in the log.
    #[test]
    fn a_cell_comes_back_as_it_was_put_in() {
        let mut row = Row::default();
        row.head.drive = Some(row.texts.put("9999078900001234"));
        row.head.realm = "prod";
        row.head.received_at_us = 1_715_774_400_000_001;
        row.facts.total = Some(123_456);
        row.facts.local_seconds = Some(1_715_774_400);
        row.facts.internet = Some(true);
        row.facts.correction_day = Some(19_000);
        row.facts.direction = Some(2);
        row.head.container = bytes::Bytes::from_static(b"raw");
        for table in Table::ALL {
            let mut batch = Batch::new(table.columns());
            batch.push(&row);
            let Ok(batch) = batch.take() else { continue };
            for (column, array) in table.columns().iter().zip(batch.columns()) {
                assert_eq!(Cells::of(array).unwrap().at(0), (column.cell)(&row), "{table}.{}", column.name);
            }
        }
    }
}
