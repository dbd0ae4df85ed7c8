//! Reads the staged files back and compares them with the log, before anything is published.
//!
//! Every position of every table, in order; every record whole, as it would come back to a log; every byte of every
//! container, opened document and envelope; the number of rows; the sums of money and items, which the plan took from the tags by another way.

use std::path::Path;

use arrow_array::{Array, BinaryArray, Decimal128Array, Int32Array, Int64Array};

use super::plan::{DayPlan, Plan};
use super::write::staged_path;
use crate::columns::read::{column, damaged, each_batch};
use crate::columns::restore::{Restored, each_restored};
use crate::columns::sums::Sums;
use crate::columns::{Stored, Table};
use crate::env::Env;
use crate::envelope::ENVELOPE_HEAD_LEN;
use crate::error::Error;
use crate::manifest::FileEntry;
use crate::record::RecordKind;

/// Compares all staged files with the plan.
pub(super) fn staged(env: &dyn Env, plan: &Plan, files: &[FileEntry]) -> Result<(), Error> {
    for (day, documents) in &plan.days {
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
                (None, Table::Items) => {}
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
    Ok(())
}

fn containers(env: &dyn Env, path: &Path, documents: &DayPlan) -> Result<(), Error> {
    let mut expected = documents.sorted(Table::Containers).into_iter();
    each_restored(env, path, Table::Containers, |restored| {
        let entry = expected.next().ok_or_else(|| damaged(path, "more rows than documents"))?;
        same(path, &restored, RecordKind::Document, &entry.stored)
    })?;
    match expected.next() {
        None => columns_of_containers(env, path, documents),
        Some(entry) => Err(damaged(path, format!("position {} is missing", entry.stored.position))),
    }
}

/// The columns that readers take one by one, besides what they make up together.
fn columns_of_containers(env: &dyn Env, path: &Path, documents: &DayPlan) -> Result<(), Error> {
    let mut expected = documents.sorted(Table::Containers).into_iter();
    each_batch(env, path, &["raw", "plain", "envelope"], |batch| {
        let raw = column::<BinaryArray>(batch, path, "raw")?;
        let plain = column::<BinaryArray>(batch, path, "plain")?;
        let head = column::<BinaryArray>(batch, path, "envelope")?;
        for at in 0..batch.num_rows() {
            let entry = expected.next().ok_or_else(|| damaged(path, "more rows than documents"))?;
            let stored = &entry.stored;
            let envelope = stored.envelope().map_err(|error| damaged(path, error))?;
            let opened = if plain.is_null(at) { &[][..] } else { plain.value(at) };
            let same = raw.value(at) == envelope.container
                && opened == envelope.plain
                && Some(head.value(at)) == stored.payload.get(..ENVELOPE_HEAD_LEN);
            if !same {
                return Err(damaged(path, format!("position {} reads back otherwise", stored.position)));
            }
        }
        Ok(())
    })?;
    Ok(())
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

/// What comes back is the record, with everything the log knew of it.
fn same(path: &Path, restored: &Restored, kind: RecordKind, stored: &Stored) -> Result<(), Error> {
    if restored.whole && restored.kind == kind && restored.stored == *stored {
        return Ok(());
    }
    Err(damaged(path, format!("position {} reads back otherwise", stored.position)))
}

fn rows(env: &dyn Env, path: &Path, documents: &DayPlan, sums: &mut Sums) -> Result<(), Error> {
    let mut expected = documents.sorted(Table::Documents).into_iter();
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

fn items(env: &dyn Env, path: &Path, sums: &mut Sums) -> Result<(), Error> {
    let rows = each_batch(env, path, &["sum"], |batch| {
        let amounts = column::<Decimal128Array>(batch, path, "sum")?;
        sums.items_sum = amounts.iter().flatten().fold(sums.items_sum, i128::saturating_add);
        Ok(())
    })?;
    sums.items = rows;
    Ok(())
}
