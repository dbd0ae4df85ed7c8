//! The findings of a snapshot, as values: of a state that lasts or has ended its newest row.

use hashbrown::HashMap;

use super::{Scan, Snapshot};
use crate::columns::cells::{NamedCells, RowCells};
use crate::columns::violation::state_of_register;
use crate::columns::{LifeSpan, Table};
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
    /// Of a finding across documents: since when, how often, whether it has ended.
    pub life: Option<LifeSpan>,
}

/// What rows of one state have in common.
type State = (String, String, i64);

impl Snapshot {
    /// Hands the findings of some rows to `each`: of a state across documents the row that counts, where the others are
    /// among these rows as well. Memory: the keys of states that have more than one row.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; the first error of `each`.
    pub fn findings(
        &self,
        scan: &Scan,
        each: &mut dyn FnMut(StoredFinding) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut newest: HashMap<State, (u64, i64)> = HashMap::default();
        let keys = ["position", "rnm", "fn", "line", "rule", "first_seen_at", "count", "ended_at"];
        self.scan(Table::Violations, scan, Some(&keys), &mut |_, batch| {
            for row in NamedCells::of(Table::Violations, &batch)?.rows() {
                // A state that has just begun has no row before this one.
                let goes_on = row.later::<u32>("count")?.is_some_and(|count| count > 1)
                    || row.later::<i64>("ended_at")?.is_some();
                if let Some(state) = if goes_on { state_of(row)? } else { None } {
                    let newest = newest.entry(state).or_default();
                    *newest = (*newest).max(place_of(row)?);
                }
            }
            Ok(())
        })?;
        self.scan(Table::Violations, scan, None, &mut |_, batch| {
            for row in NamedCells::of(Table::Violations, &batch)?.rows() {
                let counts = match state_of(row)? {
                    Some(state) => match newest.get(&state) {
                        Some(newest) => *newest == place_of(row)?,
                        None => true,
                    },
                    None => true,
                };
                if counts {
                    each(read(row)?)?;
                }
            }
            Ok(())
        })
    }
}

fn place_of(row: RowCells<'_, '_>) -> Result<(u64, i64), Error> {
    Ok((row.required("position")?, row.required("line")?))
}

/// Of which state it is a row; `None` for a finding that is no state.
fn state_of(row: RowCells<'_, '_>) -> Result<Option<State>, Error> {
    let Some(since) = row.later("first_seen_at")? else { return Ok(None) };
    let rule = row.required_text("rule")?;
    let Some(of_register) = state_of_register(&rule) else { return Ok(None) };
    // A register may have another drive when its state ends.
    let register = if of_register { row.owned("rnm")? } else { None };
    let whose = register.map_or_else(|| row.required_text("fn"), Ok)?;
    Ok(Some((whose, rule, since)))
}

fn life_of(row: RowCells<'_, '_>) -> Result<Option<LifeSpan>, Error> {
    let Some(first_seen_us) = row.later("first_seen_at")? else { return Ok(None) };
    Ok(Some(LifeSpan {
        shift: row.small("shift")?,
        first_seen_us,
        last_seen_us: row.required("last_seen_at")?,
        count: row.required("count")?,
        ended_us: row.int("ended_at")?,
        rules_version: row.required("rules_version")?,
    }))
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
        life: life_of(row)?,
    })
}
