//! One column of a table: its name, type, Russian title and where its cell comes from.
//!
//! A table is a list of these, one line a column, so that name, type and source cannot drift apart. The cells
//! of a row are asked for one by one and go straight into the pages of a file (`chunk.rs`), or into Arrow builders
//! ([`super::batch`]) for who asks for the rows themselves.
//!
//! Types on disk follow what readers of Parquet really understand: signed integers, DECIMAL(18,2) in an INT64
//! for money, milliseconds without a zone for the clock of a till, microseconds UTC for our own clock, UTF-8
//! text, raw bytes. No floats, no unsigned numbers, no nanoseconds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ofd_codec::Cp866;

use super::row::Row;

/// Key of the Russian title in the metadata of an Arrow field.
pub const TITLE_KEY: &str = "title_ru";

/// Digits of a decimal column: what an INT64 holds.
pub const DECIMAL_PRECISION: u8 = 18;
/// Digits after the point of money.
pub const MONEY_SCALE: i8 = 2;
/// Digits after the point of a quantity.
pub const QUANTITY_SCALE: i8 = 6;
/// Largest unscaled value of a DECIMAL(18, n); what is larger becomes NULL.
pub const DECIMAL_MAX: i64 = 999_999_999_999_999_999;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INT32: codes, bit masks, small counts.
    Int32,
    /// INT64: numbers of documents, positions, signs.
    Int64,
    /// BOOLEAN.
    Flag,
    /// UTF-8 text.
    Text,
    /// Raw bytes.
    Bytes,
    /// DECIMAL(18,2); the cell is integer kopecks.
    Money,
    /// DECIMAL(18,6); the cell is integer millionths.
    Quantity,
    /// TIMESTAMP(ms) without zone: the clock of the till. The cell is milliseconds.
    LocalTime,
    /// TIMESTAMP(us, UTC). The cell is microseconds since 1970.
    UtcTime,
    /// DATE; the cell is days since 1970.
    Date,
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Flag => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Money => DataType::Decimal128(DECIMAL_PRECISION, MONEY_SCALE),
            Self::Quantity => DataType::Decimal128(DECIMAL_PRECISION, QUANTITY_SCALE),
            Self::LocalTime => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::UtcTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
        }
    }
}

/// One value on its way into a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing known.
    Null,
    /// Every kind of number: see [`Kind`] for the unit.
    Int(i64),
    /// Yes or no.
    Flag(bool),
    /// Text.
    Text(&'a str),
    /// Text as a document has it.
    Coded(Cp866<'a>),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

impl From<Option<i64>> for Cell<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }
}
impl From<Option<bool>> for Cell<'_> {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Flag)
    }
}
impl<'a> From<&'a Option<String>> for Cell<'a> {
    fn from(value: &'a Option<String>) -> Self {
        value.as_deref().map_or(Self::Null, Self::Text)
    }
}
impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

/// The cell of a [`Kind::LocalTime`] from seconds on the clock of a till.
pub(super) fn millis(seconds: Option<i64>) -> Option<i64> {
    seconds.map(|seconds| seconds.saturating_mul(1000))
}

/// How a column is laid out in the file, where the default (dictionary, falling back to plain) is not best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Dictionary pages: names, codes, prices of goods, everything that repeats; delta encoding would hide from ZSTD that
    /// it does.
    Dictionary,
    /// The same, with a dictionary of up to [`super::file::WORDS_PAGE_BYTES`]: long texts that repeat, of which a row group
    /// has tens of thousands. With a shorter one half of them would be written out again and again.
    Words,
    /// DELTA_BINARY_PACKED, no dictionary: numbers that mostly grow, or rarely repeat. The totals of receipts are longer
    /// by a twentieth so than with a dictionary, and a reader is through with them in two thirds of the time.
    Delta,
    /// Plain, no dictionary, no statistics: bulk bytes that nobody compares.
    Bulk,
    /// Delta and a bloom filter: looked up by value, in no order.
    Lookup,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name, binding for readers.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Russian title, with the tag where the value is one.
    pub title: &'static str,
    /// Whether NULL may stand in it.
    pub nullable: bool,
    /// Layout in the file.
    pub layout: Layout,
    /// Whether it holds personal data and may be left out of an export.
    pub personal: bool,
    /// The cell of a row.
    pub cell: for<'r> fn(&'r Row) -> Cell<'r>,
}

impl Column {
    /// A column that may be NULL.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        title: &'static str,
        cell: for<'r> fn(&'r Row) -> Cell<'r>,
    ) -> Self {
        Self { name, kind, title, nullable: true, layout: Layout::Dictionary, personal: false, cell }
    }

    /// The same, never NULL.
    pub const fn required(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// The same, laid out so.
    pub const fn laid_out(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The same, holding personal data.
    pub const fn personal(mut self) -> Self {
        self.personal = true;
        self
    }

    fn field(&self) -> Field {
        Field::new(self.name, self.kind.data_type(), self.nullable)
            .with_metadata(HashMap::from([(TITLE_KEY.to_owned(), self.title.to_owned())]))
    }
}

/// The Arrow schema of a list of columns, titles in the field metadata.
pub fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()))
}
