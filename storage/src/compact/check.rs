//! Reads the staged files back and compares them with the log, before anything is published.
//!
//! Every position of every table, in order; every record whole, as it would come back to a log; every byte of every
//! container, opened document and envelope; the number of rows; the sums of money and items, which the plan took from the tags by another way.

use std::path::Path;

use arrow_array::{Array, BinaryArray, Decimal128Array, Int32Array, Int64Array};

use super::plan::{DayPlan, Plan};
use super::write::staged_path;
use crate::columns::read::{column, damaged, each_batch};
use crate::columns::restore::{CONTAINER_COLUMNS, Restored, Rows, each_restored};
use crate::columns::status::rows_of;
use crate::columns::sums::Sums;
use crate::columns::violation::LIFE_LINE_FIRST;
use crate::columns::{ShiftRow, StatusRow, Stored, Table};
use crate::env::Env;
use crate::envelope::ENVELOPE_HEAD_LEN;
use crate::error::Error;
use crate::manifest::FileEntry;
use crate::record::RecordKind;

/// Compares all staged files with the plan.
pub(super) fn staged(env: &dyn Env, plan: &Plan, files: &[FileEntry]) -> Result<(), Error> {
    for (day, documents) in &plan.days {
        // The files are held against the order that they were written in.
        for table in [Table::Containers, Table::Documents] {
            if !documents.is_sorted(table) {
                return Err(damaged(Path::new(table.name()), format!("{day} is out of order")));
            }
        }
        let date = day.to_string();
        let file = |table: Table| files.iter().find(|file| file.date == date && file.table == table.name());
        let missing =
            |table: Table| damaged(Path::new(table.name()), format!("no file of {date} was written"));
        let mut sums = Sums::default();
        for table in Table::ALL {
            match (file(table), table) {
                (Some(file), Table::Containers) => containers(env, &staged_path(file), documents)?,
                (Some(file), Table::Documents) => rows(env, &staged_path(file), documents, &mut sums)?,
                (Some(file), Table::Items) => items(env, &staged_path(file), &mut sums)?,
                (Some(file), Table::Records) => records(env, &staged_path(file), &documents.others)?,
                (Some(file), Table::Statuses) => statuses(env, file, &documents.others)?,
                (Some(file), Table::Shifts) => shifts(env, &staged_path(file), &documents.shifts)?,
                (Some(file), Table::Violations) => violations(env, file, documents)?,
                // They are a table of the run, not of a day: below.
                (_, Table::Registers) => {}
                (None, Table::Items) => {}
                (None, Table::Violations) if documents.across.is_empty() => {}
                (None, Table::Statuses) if rows_of_statuses(&documents.others).next().is_none() => {}
                (None, Table::Shifts) if documents.shifts.is_empty() => {}
                (None, Table::Records) if documents.others.is_empty() => {}
                (None, Table::Documents | Table::Containers) if !documents.has_documents() => {}
                (None, table) => return Err(missing(table)),
            }
        }
        if sums != documents.sums {
            return Err(damaged(
                Path::new("documents"),
                format!("{date}: the files hold {sums:?}, the log {:?}", documents.sums),
            ));
        }
    }
    if let Some(registers) = &plan.registers {
        let date = registers.day.to_string();
        let of = |file: &&FileEntry| file.date == date && file.table == Table::Registers.name();
        let missing =
            || damaged(Path::new(Table::Registers.name()), format!("no file of {date} was written"));
        let path = staged_path(files.iter().find(of).ok_or_else(missing)?);
        registers.same(env, &path)?;
    }
    Ok(())
}

/// Each as it would come back to a log, and the columns that readers take one by one.
fn containers(env: &dyn Env, path: &Path, documents: &DayPlan) -> Result<(), Error> {
    let mut expected = documents.sorted(Table::Containers);
    each_batch(env, path, CONTAINER_COLUMNS, |batch| {
        let rows = Rows::of(batch, path, Table::Containers)?;
        let raw = column::<BinaryArray>(batch, path, "raw")?;
        let plain = column::<BinaryArray>(batch, path, "plain")?;
        let head = column::<BinaryArray>(batch, path, "envelope")?;
        for at in 0..batch.num_rows() {
            let entry = expected.next().ok_or_else(|| damaged(path, "more rows than documents"))?;
            let stored = &entry.stored;
            same(path, &rows.at(at), RecordKind::Document, stored)?;
            let envelope = stored.envelope().map_err(|error| damaged(path, error))?;
            let opened = if plain.is_null(at) { &[][..] } else { plain.value(at) };
            let alike = raw.value(at) == envelope.container
                && opened == envelope.plain
                && Some(head.value(at)) == stored.payload.get(..ENVELOPE_HEAD_LEN);
            if !alike {
                return Err(damaged(path, format!("position {} reads back otherwise", stored.position)));
            }
        }
        Ok(())
    })?;
    match expected.next() {
        None => Ok(()),
        Some(entry) => Err(damaged(path, format!("position {} is missing", entry.stored.position))),
    }
}

fn records(env: &dyn Env, path: &Path, others: &[(RecordKind, Stored)]) -> Result<(), Error> {
    let mut expected = others.iter();
    each_restored(env, path, Table::Records, |restored| {
        let (kind, stored) = expected.next().ok_or_else(|| damaged(path, "more rows than records"))?;
        same(path, &restored, *kind, stored)
    })?;
    match expected.next() {
        None => Ok(()),
        Some((_, stored)) => Err(damaged(path, format!("position {} is missing", stored.position))),
    }
}

/// The statuses of these records with their positions, in order.
fn rows_of_statuses(others: &[(RecordKind, Stored)]) -> impl Iterator<Item = (u64, StatusRow)> {
    others.iter().flat_map(|(kind, stored)| {
        let position = stored.position;
        rows_of(*kind, stored).into_iter().map(move |row| (position, row))
    })
}

/// Every status, in order: record, line, kind, document.
fn statuses(env: &dyn Env, file: &FileEntry, others: &[(RecordKind, Stored)]) -> Result<(), Error> {
    let path = &staged_path(file);
    let mut expected = rows_of_statuses(others);
    each_batch(env, path, &["position", "line", "kind_code", "document_position", "fd"], |batch| {
        let positions = column::<Int64Array>(batch, path, "position")?;
        let lines = column::<Int32Array>(batch, path, "line")?;
        let kinds = column::<Int32Array>(batch, path, "kind_code")?;
        let documents = column::<Int64Array>(batch, path, "document_position")?;
        let numbers = column::<Int64Array>(batch, path, "fd")?;
        for at in 0..batch.num_rows() {
            let (position, row) = expected.next().ok_or_else(|| damaged(path, "more rows than statuses"))?;
            let event = &row.event;
            let same = u64::try_from(positions.value(at)) == Ok(position)
                && i64::from(lines.value(at)) == row.line
                && kinds.value(at) == i32::from(event.kind.code())
                && documents.value(at) == i64::try_from(event.position).unwrap_or(i64::MAX)
                && numbers.value(at) == i64::from(event.number);
            if !same {
                return Err(damaged(
                    path,
                    format!("status {} of position {position} reads back otherwise", row.line),
                ));
            }
        }
        Ok(())
    })?;
    match expected.next() {
        None => Ok(()),
        Some((position, row)) => {
            Err(damaged(path, format!("status {} of position {position} is missing", row.line)))
        }
    }
}

/// What comes back is the record, with everything the log knew of it.
fn same(path: &Path, restored: &Restored, kind: RecordKind, stored: &Stored) -> Result<(), Error> {
    if restored.whole && restored.kind == kind && restored.stored == *stored {
        return Ok(());
    }
    Err(damaged(path, format!("position {} reads back otherwise", stored.position)))
}

fn rows(env: &dyn Env, path: &Path, documents: &DayPlan, sums: &mut Sums) -> Result<(), Error> {
    let mut expected = documents.sorted(Table::Documents);
    let mut items = 0_u64;
    each_batch(env, path, &["position", "total", "items_n"], |batch| {
        let positions = column::<Int64Array>(batch, path, "position")?;
        let totals = column::<Decimal128Array>(batch, path, "total")?;
        let counts = column::<Int32Array>(batch, path, "items_n")?;
        for position in positions.values() {
            let entry = expected.next().ok_or_else(|| damaged(path, "more rows than documents"))?;
            if u64::try_from(*position) != Ok(entry.stored.position) {
                return Err(damaged(
                    path,
                    format!("position {position} where {} should be", entry.stored.position),
                ));
            }
        }
        sums.total = totals.iter().flatten().fold(sums.total, i128::saturating_add);
        let count = counts.iter().flatten().filter_map(|count| u64::try_from(count).ok());
        items = count.fold(items, u64::saturating_add);
        Ok(())
    })?;
    if let Some(entry) = expected.next() {
        return Err(damaged(path, format!("position {} is missing", entry.stored.position)));
    }
    if items != documents.sums.items {
        return Err(damaged(
            path,
            format!("items_n adds up to {items}, the log has {}", documents.sums.items),
        ));
    }
    Ok(())
}

/// Every shift, in order, with its sums.
fn shifts(env: &dyn Env, path: &Path, shifts: &[ShiftRow]) -> Result<(), Error> {
    let mut expected = shifts.iter();
    each_batch(env, path, &["position", "shift", "revenue", "sell_total"], |batch| {
        let positions = column::<Int64Array>(batch, path, "position")?;
        let numbers = column::<Int64Array>(batch, path, "shift")?;
        let revenues = column::<Decimal128Array>(batch, path, "revenue")?;
        let sold = column::<Decimal128Array>(batch, path, "sell_total")?;
        for at in 0..batch.num_rows() {
            let shift = expected.next().ok_or_else(|| damaged(path, "more rows than shifts"))?;
            let [sell, ..] = shift.sums;
            let same = u64::try_from(positions.value(at)) == Ok(shift.position)
                && numbers.value(at) == i64::from(shift.shift)
                && (revenues.is_null(at) || revenues.value(at) == i128::from(shift.revenue))
                && (sold.is_null(at) || Some(sold.value(at)) == sell.map(|it| i128::from(it.total)));
            if !same {
                return Err(damaged(path, format!("shift {} reads back otherwise", shift.shift)));
            }
        }
        Ok(())
    })?;
    match expected.next() {
        None => Ok(()),
        Some(shift) => Err(damaged(path, format!("shift {} is missing", shift.shift))),
    }
}

/// As many findings as were written, each of a document of this day, in the order of the documents; and between them those
/// across documents, all of them, in their order.
fn violations(env: &dyn Env, file: &FileEntry, documents: &DayPlan) -> Result<(), Error> {
    let path = &staged_path(file);
    let mut of = documents.sorted(Table::Violations).map(|entry| entry.stored.position);
    let mut across = documents.across.iter();
    let mut current = None;
    let rows = each_batch(env, path, &["position", "line", "count"], |batch| {
        let positions = column::<Int64Array>(batch, path, "position")?;
        let lines = column::<Int32Array>(batch, path, "line")?;
        let counts = column::<Int64Array>(batch, path, "count")?;
        for at in 0..batch.num_rows() {
            let position = u64::try_from(positions.value(at)).ok();
            if i64::from(lines.value(at)) >= LIFE_LINE_FIRST {
                let due = across.next();
                let count = due.and_then(|it| it.finding.life).map(|it| i64::from(it.count));
                if due.map(|it| it.position) != position || count != Some(counts.value(at)) {
                    return Err(damaged(path, "a finding across documents reads back otherwise"));
                }
                continue;
            }
            if current != position {
                current = of.find(|it| Some(*it) == position);
                if current.is_none() {
                    return Err(damaged(path, "a finding out of the order of its documents"));
                }
            }
        }
        Ok(())
    })?;
    if let Some(finding) = across.next() {
        return Err(damaged(path, format!("a finding of position {} is missing", finding.position)));
    }
    if rows == file.rows {
        Ok(())
    } else {
        Err(damaged(path, format!("{rows} rows, {} were written", file.rows)))
    }
}

fn items(env: &dyn Env, path: &Path, sums: &mut Sums) -> Result<(), Error> {
    let rows = each_batch(env, path, &["sum"], |batch| {
        let amounts = column::<Decimal128Array>(batch, path, "sum")?;
        sums.items_sum = amounts.iter().flatten().fold(sums.items_sum, i128::saturating_add);
        Ok(())
    })?;
    sums.items = rows;
    Ok(())
}
