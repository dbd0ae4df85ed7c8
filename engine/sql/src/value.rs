//! Values of an answer as text: for JSON, and for a person.
//!
//! | what stands in the column | JSON | for a person |
//! |---|---|---|
//! | DECIMAL with two digits behind the point: money | whole kopecks: `123450` | `1234.50` |
//! | any other DECIMAL | a literal, no zeros at its end: `0.125` | the same |
//! | whole numbers, floats | a number; NaN and infinities `null` | the same |
//! | text | a string | as it is |
//! | bytes | a string of hex digits | the same |
//! | DATE | `"2024-05-15"` | `2024-05-15` |
//! | TIMESTAMP without zone: the clock of a till | `"2024-05-15T12:00:00"`, fractions when there are some | the same |
//! | TIMESTAMP with zone | `"2024-05-15T09:00:00.000000Z"` | the same |
//! | BOOLEAN | `true`, `false` | the same |
//! | anything else (an interval, a list) | a string | the same |
//! | NULL | `null` | nothing |
//!
//! Whether a DECIMAL is money is told by its type alone: sums of money, and money times a whole number, keep two
//! digits and are money; an average or a product with a fraction has more and is roubles. `CAST(… AS DECIMAL(18,2))` makes
//! money of it again.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, ErrorKind};

/// Digits behind the point of money.
const MONEY_SCALE: i8 = 2;

/// What stands in a column of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Money: in JSON whole kopecks.
    Money,
    /// Another decimal: in JSON a literal.
    Decimal,
    /// A whole number.
    Integer,
    /// A float.
    Float,
    /// Text.
    Text,
    /// Bytes: hex digits.
    Bytes,
    /// Yes or no.
    Flag,
    /// A date.
    Date,
    /// A time without a zone.
    LocalTime,
    /// A time in UTC.
    UtcTime,
    /// Something else, as text.
    Other,
}

impl Kind {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Decimal32(_, MONEY_SCALE)
            | DataType::Decimal64(_, MONEY_SCALE)
            | DataType::Decimal128(_, MONEY_SCALE)
            | DataType::Decimal256(_, MONEY_SCALE) => Self::Money,
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Decimal,
            it if it.is_integer() => Self::Integer,
            it if it.is_floating() => Self::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, inner) => Self::of(inner),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytes,
            DataType::Boolean => Self::Flag,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(_, None) => Self::LocalTime,
            DataType::Timestamp(_, Some(_)) => Self::UtcTime,
            _ => Self::Other,
        }
    }
}

/// The columns of a batch, each in one of few types.
pub(crate) struct Values(Vec<(ArrayRef, Form)>);

/// A column in the one type of its kind.
enum Form {
    Decimal(Decimal128Array, i8),
    Wide(Decimal256Array, i8),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Text(StringArray),
    Bytes(BinaryArray),
    Flag(BooleanArray),
    Date(Date32Array),
    Local(TimestampMicrosecondArray),
    Utc(TimestampMicrosecondArray),
    Other,
}

impl Form {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let to = |data_type: &DataType| cast(array, data_type);
        let micros = |array: &ArrayRef| {
            let zone = match array.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let array = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
            Ok::<_, ArrowError>(array.as_primitive::<TimestampMicrosecondType>().clone())
        };
        Ok(match Kind::of(array.data_type()) {
            Kind::Money | Kind::Decimal => match array.data_type() {
                DataType::Decimal256(_, scale) => {
                    Self::Wide(array.as_primitive::<Decimal256Type>().clone(), *scale)
                }
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale) => {
                    let wide = to(&DataType::Decimal128(38, *scale))?;
                    Self::Decimal(wide.as_primitive::<Decimal128Type>().clone(), *scale)
                }
                _ => Self::Other,
            },
            Kind::Integer if array.data_type() == &DataType::UInt64 => {
                Self::Unsigned(array.as_primitive::<UInt64Type>().clone())
            }
            Kind::Integer => Self::Integer(to(&DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            Kind::Float => Self::Float(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone()),
            Kind::Text => Self::Text(to(&DataType::Utf8)?.as_string::<i32>().clone()),
            Kind::Bytes => Self::Bytes(to(&DataType::Binary)?.as_binary::<i32>().clone()),
            Kind::Flag => Self::Flag(array.as_boolean().clone()),
            Kind::Date => Self::Date(to(&DataType::Date32)?.as_primitive::<Date32Type>().clone()),
            Kind::LocalTime => Self::Local(micros(array)?),
            Kind::UtcTime => Self::Utc(micros(array)?),
            Kind::Other => Self::Other,
        })
    }
}

impl Values {
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self, Error> {
        let form = |array: &ArrayRef| {
            // A dictionary holds values of another type; the value is what is meant.
            let array = match array.data_type() {
                DataType::Dictionary(_, inner) => cast(array, inner)?,
                _ => Arc::clone(array),
            };
            let form = Form::of(&array)?;
            Ok((array, form))
        };
        let columns = batch.columns().iter().map(form).collect::<Result<Vec<_>, ArrowError>>();
        columns.map(Self).map_err(|error| defect(&error))
    }

    /// Adds a value as JSON has it.
    pub(crate) fn json(&self, column: usize, row: usize, out: &mut String) -> Result<(), Error> {
        let Some(cell) = self.cell(column, row)? else {
            out.push_str("null");
            return Ok(());
        };
        match cell {
            Cell::Money(kopecks) => out.push_str(&kopecks),
            Cell::Bare(text) => out.push_str(&text),
            Cell::Float(value) => match serde_json::Number::from_f64(value) {
                Some(number) => out.push_str(&number.to_string()),
                None => out.push_str("null"),
            },
            Cell::Quoted(text) => out.push_str(&serde_json::Value::from(text).to_string()),
        }
        Ok(())
    }

    /// A value for a person; `None` for NULL.
    pub(crate) fn text(&self, column: usize, row: usize) -> Result<Option<String>, Error> {
        Ok(self.cell(column, row)?.map(|cell| match cell {
            Cell::Money(kopecks) => pointed(&kopecks, MONEY_SCALE),
            Cell::Bare(text) | Cell::Quoted(text) => text,
            Cell::Float(value) => value.to_string(),
        }))
    }

    fn cell(&self, column: usize, row: usize) -> Result<Option<Cell>, Error> {
        let Some((array, form)) = self.0.get(column).filter(|(array, _)| row < array.len()) else {
            return Ok(None);
        };
        if array.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match form {
            Form::Decimal(array, scale) => decimal(array.value(row).to_string(), *scale),
            Form::Wide(array, scale) => decimal(array.value(row).to_string(), *scale),
            Form::Integer(array) => Cell::Bare(array.value(row).to_string()),
            Form::Unsigned(array) => Cell::Bare(array.value(row).to_string()),
            Form::Float(array) => Cell::Float(array.value(row)),
            Form::Text(array) => Cell::Quoted(array.value(row).to_owned()),
            Form::Bytes(array) => Cell::Quoted(hex(array.value(row))),
            Form::Flag(array) => Cell::Bare(array.value(row).to_string()),
            Form::Date(array) => Cell::Quoted(ofd_storage::columns::Day(array.value(row)).to_string()),
            Form::Local(array) => Cell::Quoted(local(array.value(row))),
            Form::Utc(array) => Cell::Quoted(utc(array.value(row))),
            Form::Other => {
                let options = FormatOptions::default();
                let formatter =
                    ArrayFormatter::try_new(array.as_ref(), &options).map_err(|error| defect(&error))?;
                Cell::Quoted(formatter.value(row).to_string())
            }
        }))
    }
}

fn defect(error: &ArrowError) -> Error {
    Error::new(ErrorKind::Defect, format!("a value has no text: {error}"))
}

/// A value, and whether JSON has quotes around it.
enum Cell {
    /// Whole kopecks.
    Money(String),
    Bare(String),
    Float(f64),
    Quoted(String),
}

fn decimal(unscaled: String, scale: i8) -> Cell {
    if scale == MONEY_SCALE {
        return Cell::Money(unscaled);
    }
    let text = pointed(&unscaled, scale);
    let trimmed = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    Cell::Bare(trimmed.to_owned())
}

/// An unscaled number with its point.
fn pointed(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let Ok(places) = usize::try_from(scale) else {
        let zeros = usize::from(scale.unsigned_abs());
        return if digits == "0" { digits.to_owned() } else { format!("{sign}{digits}{:0<zeros$}", "") };
    };
    if places == 0 {
        return unscaled.to_owned();
    }
    // At least one digit before the point.
    let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
    let (whole, rest) = padded.split_at(padded.len().saturating_sub(places));
    format!("{sign}{whole}.{rest}")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A time without zone.
fn local(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => {
            let time = jiff::tz::TimeZone::UTC.to_datetime(time);
            time.to_string()
        }
        // Outside of the years that have a name: shown as what it is.
        Err(_) => micros.to_string(),
    }
}

/// A time in UTC, with all six digits.
fn utc(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => micros.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;
    use datafusion::arrow::array::{ListArray, StringViewArray};

    fn check(array: ArrayRef, json: &[&str], text: &[Option<&str>]) {
        let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
        let values = Values::of(&batch).unwrap();
        for row in 0..batch.num_rows() {
            let mut out = String::new();
            values.json(0, row, &mut out).unwrap();
            assert_eq!(out, json[row]);
            assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
            assert_eq!(values.text(0, row).unwrap().as_deref(), text[row]);
        }
    }

    fn money(kopecks: &[i128], precision: u8, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(kopecks.to_vec()).with_precision_and_scale(precision, scale).unwrap())
    }

    /// The contract: whole kopecks, exact, of any size; and a quantity is a literal.
    #[test]
    fn money_is_kopecks_and_other_decimals_are_literals() {
        check(
            money(&[123_450, -5, 0], 18, 2),
            &["123450", "-5", "0"],
            &[Some("1234.50"), Some("-0.05"), Some("0.00")],
        );
        let most = 10_i128.pow(37);
        check(money(&[most], 38, 2), &[&most.to_string()], &[Some(&format!("{}.00", most / 100))]);
        check(
            money(&[1_500_000, -1, 2_000_000, 0], 18, 6),
            &["1.5", "-0.000001", "2", "0"],
            &[Some("1.5"), Some("-0.000001"), Some("2"), Some("0")],
        );
        check(money(&[100], 18, 0), &["100"], &[Some("100")]);
        check(money(&[12, 0], 18, -2), &["1200", "0"], &[Some("1200"), Some("0")]);
    }

    /// Times of a till have no zone and ours have one: whoever reads JSON must not mix them.
    #[test]
    fn times_tell_whether_they_have_a_zone() {
        let at = 1_715_774_400_000_120;
        check(
            Arc::new(TimestampMicrosecondArray::from(vec![at]).with_timezone("UTC")),
            &["\"2024-05-15T12:00:00.000120Z\""],
            &[Some("2024-05-15T12:00:00.000120Z")],
        );
        check(
            Arc::new(datafusion::arrow::array::TimestampMillisecondArray::from(vec![
                1_715_774_400_000,
                1_500,
            ])),
            &["\"2024-05-15T12:00:00\"", "\"1970-01-01T00:00:01.5\""],
            &[Some("2024-05-15T12:00:00"), Some("1970-01-01T00:00:01.5")],
        );
        check(Arc::new(Date32Array::from(vec![19_858])), &["\"2024-05-15\""], &[Some("2024-05-15")]);
    }

    /// Names of goods hold anything, and NULL is not an empty text.
    #[test]
    fn text_is_escaped_and_null_is_null() {
        check(
            Arc::new(StringViewArray::from(vec![Some("\"a\"\n\u{1}ё"), None, Some("")])),
            &["\"\\\"a\\\"\\n\\u0001ё\"", "null", "\"\""],
            &[Some("\"a\"\n\u{1}ё"), None, Some("")],
        );
        check(Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])), &["\"00ff\""], &[Some("00ff")]);
        check(
            Arc::new(Float64Array::from(vec![0.5, f64::NAN, f64::INFINITY])),
            &["0.5", "null", "null"],
            &[Some("0.5"), Some("NaN"), Some("inf")],
        );
        check(
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            &["18446744073709551615"],
            &[Some("18446744073709551615")],
        );
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])]);
        check(Arc::new(list), &["\"[1, ]\""], &[Some("[1, ]")]);
    }
}
