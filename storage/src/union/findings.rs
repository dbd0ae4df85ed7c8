//! The findings of a snapshot, as values.

use std::path::Path;

use arrow_array::{Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_array::{TimestampMicrosecondArray, TimestampMillisecondArray};

use super::{Scan, Snapshot};
use crate::columns::Table;
use crate::columns::read::column;
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
            read(&batch)?.into_iter().try_for_each(&mut *each)
        })
    }
}

fn read(batch: &RecordBatch) -> Result<Vec<StoredFinding>, Error> {
    let path = Path::new(Table::Violations.name());
    let texts = |name| column::<StringArray>(batch, path, name);
    let (realm, inn, rnm, drive) = (texts("realm")?, texts("inn")?, texts("rnm")?, texts("fn")?);
    let (form, rule, name, level) = (texts("form")?, texts("rule")?, texts("name")?, texts("level")?);
    let (scope, actual, expected) = (texts("scope")?, texts("actual")?, texts("expected")?);
    let positions = column::<Int64Array>(batch, path, "position")?;
    let numbers = column::<Int64Array>(batch, path, "fd")?;
    let variants = column::<Int32Array>(batch, path, "variant")?;
    let tags = column::<Int32Array>(batch, path, "tag")?;
    let local = column::<TimestampMillisecondArray>(batch, path, "ts_local")?;
    let seen = column::<TimestampMicrosecondArray>(batch, path, "seen_at")?;
    let text = |array: &StringArray, at| array.is_valid(at).then(|| array.value(at).to_owned());
    let row = |at| StoredFinding {
        position: u64::try_from(positions.value(at)).unwrap_or_default(),
        realm: realm.value(at).to_owned(),
        inn: text(inn, at),
        rnm: text(rnm, at),
        drive: drive.value(at).to_owned(),
        number: u32::try_from(numbers.value(at)).unwrap_or_default(),
        variant: u8::try_from(variants.value(at)).unwrap_or(u8::MAX),
        form: text(form, at),
        local_seconds: local.is_valid(at).then(|| local.value(at).div_euclid(1000)),
        rule: rule.value(at).to_owned(),
        name: name.value(at).to_owned(),
        level: level.value(at).to_owned(),
        scope: scope.value(at).to_owned(),
        tag: tags.is_valid(at).then(|| tags.value(at)).and_then(|tag| u16::try_from(tag).ok()),
        actual: text(actual, at),
        expected: text(expected, at),
        seen_at_us: seen.value(at),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
