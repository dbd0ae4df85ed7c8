//! The findings of a snapshot, as values.

use super::{Scan, Snapshot};
use crate::columns::Table;
use crate::columns::cells::{NamedCells, RowCells};
use crate::error::Error;

/// A row of `violations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFinding {
    /// Position of the document.
    pub position: u64,
    /// `prod` or `test`.
    pub realm: String,
    /// INN of the user (1018).
    pub inn: Option<String>,
    /// Registration number (1037).
    pub rnm: Option<String>,
    /// The drive (1041).
    pub drive: String,
    /// Number of the document (1040).
    pub number: u32,
    /// Its variant.
    pub variant: u8,
    /// JSON name of its form.
    pub form: Option<String>,
    /// Its 1012, seconds on the clock of the till.
    pub local_seconds: Option<i64>,
    /// Key of the rule.
    pub rule: String,
    /// Its name.
    pub name: String,
    /// `info`, `warning` or `error`.
    pub level: String,
    /// What it is about.
    pub scope: String,
    /// The requisite.
    pub tag: Option<u16>,
    /// What was found.
    pub actual: Option<String>,
    /// What should have been.
    pub expected: Option<String>,
    /// When the document was received, microseconds UTC.
    pub seen_at_us: i64,
}

impl Snapshot {
    /// Hands the findings of some rows to `each`.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; the first error of `each`.
    pub fn findings(
        &self,
        scan: &Scan,
        each: &mut dyn FnMut(StoredFinding) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.scan(Table::Violations, scan, None, &mut |_, batch| {
            NamedCells::of(Table::Violations, &batch)?.rows().try_for_each(|row| each(read(row)?))
        })
    }
}

fn read(row: RowCells<'_, '_>) -> Result<StoredFinding, Error> {
    Ok(StoredFinding {
        position: row.required("position")?,
        realm: row.required_text("realm")?,
        inn: row.owned("inn")?,
        rnm: row.owned("rnm")?,
        drive: row.required_text("fn")?,
        number: row.required("fd")?,
        variant: row.required("variant")?,
        form: row.owned("form")?,
        local_seconds: row.seconds("ts_local")?,
        rule: row.required_text("rule")?,
        name: row.required_text("name")?,
        level: row.required_text("level")?,
        scope: row.required_text("scope")?,
        tag: row.small("tag")?,
        actual: row.owned("actual")?,
        expected: row.owned("expected")?,
        seen_at_us: row.required("seen_at")?,
    })
}
