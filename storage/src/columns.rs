//! Documents of the log as columns: the tables, and the only place of this crate that knows FFD.
//!
//! `documents` has one row a stored document (every variant), `items` one row an item, `violations` one row a finding of
//! the rules in a document or across documents, `shifts` one row a state of a closed shift, `registers` one row a register and day,
//! `statuses` one row an answer of the tax service or a delivery,
//! `containers` the bytes as received, `records` one row a record that is no document. The names, types and order of columns are those of the lists in [`document`],
//! [`item`], [`violation`], [`shift`], [`status`], [`container`] and [`record`]; each column carries its Russian title.
//!
//! Formulas, stated once:
//!
//! - `revenue_sign`: receipts, strict reporting forms (БСО) and their corrections (forms 3, 4, 31, 41) with
//!   1054 = 1 (income, приход) count +1, with 1054 = 2 (return of income) −1; 1054 = 3 and 4 are money the shop
//!   pays out and takes back, no revenue: 0. Every other document: 0. So `sum(total * revenue_sign)` over
//!   `realm = 'prod' and variant = 0` is revenue. In `items` a storno (1071) has the opposite sign.
//! - Rows that count: `variant = 0` is the document that counts under its drive and number, any other a different
//!   document that came under the same number; `realm = 'test'` are drives of rehearsals (9999…). What is asked about
//!   trade is asked with `realm = 'prod' and variant = 0`.
//! - `vat_rate_guess`: see [`vat`].
//! - `date` of the folder: see [`day`]; a shift lies under the date of its closing, `records` and `statuses` under the date received.
//! - `late_s` is `received_at` minus `ts_local` in the zone of the place; with the zone unknown
//!   (`zone_min` NULL) it is NULL.
//! - `ffd` is tag 1209; without one the P-version of the session header; else 1.0.
//! - `answered_at` is the time of the original answer of an imported document, else `received_at`.
//!
//! A document that was not opened (enciphered, or not readable) has a row with what its envelope says and NULL in
//! the rest, and no items. An amount above 999 999 999 999 999 999 kopecks does not fit its column and is NULL.
//!
//! What a document breaks and what a shift comes to is not in a record but made of records by the owner of the log:
//! [`Derive`] is where it comes in, so that table, answer and live picture cannot disagree.
//!
//! Another table is another list of columns and another arm of [`Table`].

pub mod batch;
pub(crate) mod bulk;
pub(crate) mod cells;
pub(crate) mod chunk;
pub mod column;
pub mod container;
pub mod day;
pub(crate) mod dictionary;
pub mod document;
pub mod file;
pub mod find;
pub(crate) mod group;
pub mod item;
pub(crate) mod packing;
pub(crate) mod pages;
pub mod product_code;
pub mod read;
pub mod record;
pub mod register;
pub mod restore;
pub mod row;
pub mod shift;
pub mod status;
pub(crate) mod sums;
pub mod text;
pub(crate) mod values;
pub mod vat;
pub mod violation;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ofd_codec::DocumentView;

pub use batch::Batch;
pub use column::{Cell, Column, Kind, Layout, TITLE_KEY, schema};
pub use day::Day;
pub use register::RegisterRow;
pub use row::{Row, Stored};
pub use shift::{ShiftRow, ShiftSums};
pub use status::StatusRow;
pub use violation::{Finding, LifeRow, LifeSpan};

use crate::envelope::{Envelope, EnvelopeError};
use crate::error::Error;
use crate::record::RecordKind;
use document::Facts;
use item::Item;

/// A table of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row a stored document, all variants.
    Documents,
    /// One row a stored document: its bytes.
    Containers,
    /// One row an item.
    Items,
    /// One row a record of the log that is no stored document.
    Records,
    /// A snapshot a day: one row a register, and one a state that has ended since the day before.
    Registers,
    /// One row a closed shift, and one more when late documents have changed it.
    Shifts,
    /// One row an answer of the tax service or of a delivery channel.
    Statuses,
    /// One row a finding of the rules in a document.
    Violations,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 8] = [
        Self::Documents,
        Self::Containers,
        Self::Items,
        Self::Records,
        Self::Registers,
        Self::Shifts,
        Self::Statuses,
        Self::Violations,
    ];

    /// Name: the folder under `parquet/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Containers => "containers",
            Self::Items => "items",
            Self::Records => "records",
            Self::Registers => "registers",
            Self::Shifts => "shifts",
            Self::Statuses => "statuses",
            Self::Violations => "violations",
        }
    }

    /// Columns, in order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Documents => document::COLUMNS,
            Self::Containers => container::COLUMNS,
            Self::Items => item::COLUMNS,
            Self::Records => record::COLUMNS,
            Self::Registers => register::COLUMNS,
            Self::Shifts => shift::COLUMNS,
            Self::Statuses => status::COLUMNS,
            Self::Violations => violation::COLUMNS,
        }
    }

    /// Columns by which the rows of a file are sorted, ascending, NULL first.
    pub const fn sorted_by(self) -> &'static [&'static str] {
        match self {
            Self::Documents => &["inn", "fn", "fd", "variant", "position"],
            Self::Containers => &["fn", "fd", "variant", "position"],
            Self::Items => &["inn", "fn", "fd", "variant", "position", "line"],
            Self::Records => &["position"],
            Self::Registers => &["rnm", "realm", "position"],
            Self::Shifts => &["inn", "fn", "close_fd", "position"],
            Self::Statuses => &["position", "line"],
            Self::Violations => &["inn", "fn", "fd", "variant", "position", "line"],
        }
    }

    /// Place of a column by name.
    pub fn column_index(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Table {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|table| table.name() == name).ok_or_else(|| format!("no table {name}"))
    }
}

/// What the owner of the log makes of its records, for the tables that are no plain translation of them.
pub trait Derive: Send + Sync {
    /// What the rules find in the document of this envelope, into `findings`, which is empty; how many there are, those
    /// that are not told included. `None` when it was not checked.
    fn findings(
        &self,
        view: &DocumentView<'_>,
        envelope: &Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32>;

    /// The closed shifts that records at these positions have closed or changed, in any order: of each the state behind
    /// the last of them. The same positions give the same rows.
    ///
    /// # Errors
    /// When they are not known yet, or cannot be read: of kind `Retry` when that may change.
    fn shifts(&self, positions: RangeInclusive<u64>) -> Result<Vec<ShiftRow>, Error>;

    /// What records at these positions have brought about across documents, in any order. The same positions give the same rows.
    ///
    /// # Errors
    /// As [`Derive::shifts`].
    fn across(&self, positions: RangeInclusive<u64>) -> Result<Vec<LifeRow>, Error> {
        let _ = positions;
        Ok(Vec::new())
    }

    /// The states of registers that records at these positions have brought about, in any order, as their documents tell
    /// them: what follows from the state before is filled in by who writes them.
    ///
    /// `None`: nobody looks at registers here, and there is no snapshot of them.
    ///
    /// # Errors
    /// As [`Derive::shifts`].
    fn registers(&self, positions: RangeInclusive<u64>) -> Result<Option<Vec<RegisterRow>>, Error>;
}

/// Reads stored documents into rows, one after another, in reused memory.
#[derive(Default)]
pub struct RowReader {
    row: Row,
    items: Vec<Item>,
    findings: Vec<Finding>,
}

impl RowReader {
    /// Reads the document: its row, its items and what is found in it.
    ///
    /// # Errors
    /// When the payload is no envelope of a known version. What is inside the envelope never fails.
    pub fn read(&mut self, stored: &Stored, derive: Option<&dyn Derive>) -> Result<(), EnvelopeError> {
        let envelope = stored.envelope()?;
        let Row { head, facts, texts, item, .. } = &mut self.row;
        texts.clear();
        *head = row::Head::of(stored, &envelope, texts);
        self.findings.clear();
        *item = Item::default();
        match row::view(&envelope) {
            Some(view) => {
                let [_, _, _, _, _, _, p_major, p_minor, ..] = envelope.session;
                *facts = Facts::read(&view, [p_major, p_minor], &mut self.items, texts);
                self.row.items = u32::try_from(self.items.len()).ok();
                self.row.violations =
                    derive.and_then(|derive| derive.findings(&view, &envelope, &mut self.findings));
            }
            None => {
                self.items.clear();
                *facts = Facts::default();
                self.row.items = None;
                self.row.violations = None;
            }
        }
        Ok(())
    }

    /// Reads only what the envelope says, for tables that need no more.
    ///
    /// # Errors
    /// As [`RowReader::read`].
    pub fn read_head(&mut self, stored: &Stored) -> Result<(), EnvelopeError> {
        let envelope = stored.envelope()?;
        let Row { head, facts, texts, item, .. } = &mut self.row;
        texts.clear();
        *head = row::Head::of(stored, &envelope, texts);
        // Their texts are gone.
        (*facts, *item) = Default::default();
        self.items.clear();
        Ok(())
    }

    /// Reads a record that is no document. Never fails: what its payload holds is nobody's business here.
    pub fn read_other(&mut self, kind: RecordKind, stored: &Stored) {
        self.row = Row { head: row::Head::of_other(kind, stored), ..Row::default() };
        self.items.clear();
        self.findings.clear();
    }

    /// Calls `each` with the row of every status in a record that is no document, as [`RowReader::read_other`] takes it.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn each_status<E>(
        &mut self,
        kind: RecordKind,
        stored: &Stored,
        mut each: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let statuses = status::rows_of(kind, stored);
        if statuses.is_empty() {
            return Ok(());
        }
        self.read_other(kind, stored);
        for row in statuses {
            self.row.status = row;
            each(&self.row)?;
        }
        Ok(())
    }

    /// The row of the document.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Calls `each` with the row of every item in turn.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn each_item<E>(&mut self, mut each: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
        for item in &mut self.items {
            std::mem::swap(&mut self.row.item, item);
            each(&self.row)?;
        }
        Ok(())
    }

    /// Calls `each` with the row of every finding in turn.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn each_finding<E>(&mut self, mut each: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
        for (line, finding) in (1..).zip(self.findings.drain(..)) {
            self.row.finding = Finding { line, ..finding };
            each(&self.row)?;
        }
        Ok(())
    }
}
