//! Writes the files of a run into the staging folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::path::{Path, PathBuf};

use super::CompactOptions;
use super::plan::{DayPlan, Entry, Plan};
use crate::columns::file::TableWriter;
use crate::columns::read::{Chunks, wrong};
use crate::columns::{Day, LifeRow, RegisterRow, Row, RowReader, Table};
use crate::env::{Env, FileWriter};
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, STAGING_DIR};
use crate::planted::planted;

/// Where a file of the archive lies before it is published: one flat folder, so that one sync covers all names.
pub(crate) fn staged_path(file: &FileEntry) -> PathBuf {
    Path::new(STAGING_DIR).join(format!("{}-{}-{}", file.table, file.date, file.name))
}

/// Writes all files of the run and makes them durable; their entries, by date and table.
pub(crate) fn stage(env: &dyn Env, plan: &Plan, options: &CompactOptions) -> Result<Vec<FileEntry>, Error> {
    env.create_dir_all(Path::new(STAGING_DIR))?;
    let mut files = Vec::new();
    for (day, documents) in &plan.days {
        let mut open = BTreeMap::new();
        write_rows(env, plan, *day, documents, options, &mut open)?;
        if !options.file.without_personal {
            write_containers(env, plan, *day, documents, options, &mut open)?;
        }
        write_records(env, plan, *day, documents, options, &mut open)?;
        write_shifts(env, plan, *day, documents, options, &mut open)?;
        for (_, file) in open {
            files.push(file.finish(env)?);
        }
    }
    files.extend(write_registers(env, plan, options)?);
    env.sync_dir(Path::new(STAGING_DIR))?;
    Ok(files)
}

type Open = BTreeMap<Table, OpenFile>;

/// `documents`, `items` and `violations` have the same order: one pass.
fn write_rows(
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    documents: &DayPlan,
    options: &CompactOptions,
    open: &mut Open,
) -> Result<(), Error> {
    let mut reader = RowReader::default();
    // Findings across documents, each behind those of its document.
    let mut across = documents.across.iter().peekable();
    for entry in documents.sorted(Table::Documents) {
        while let Some(finding) = across.next_if(|it| it.key() < entry.key()) {
            write_across(env, plan, day, finding, options, open)?;
        }
        reader.read(&entry.stored, options.derive.as_deref()).map_err(|error| defect(entry, error))?;
        let keys = Keys::of(entry);
        file_of(open, env, plan, day, Table::Documents, options)?.push(&keys, reader.row())?;
        reader.each_item(|row| file_of(open, env, plan, day, Table::Items, options)?.push(&keys, row))?;
        reader.each_finding(|row| {
            file_of(open, env, plan, day, Table::Violations, options)?.push(&keys, row)
        })?;
    }
    across.try_for_each(|finding| write_across(env, plan, day, finding, options, open))
}

fn write_across(
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    finding: &LifeRow,
    options: &CompactOptions,
    open: &mut Open,
) -> Result<(), Error> {
    let LifeRow { position, drive, inn, .. } = finding;
    let keys = Keys { position: *position, drive: Some(drive), inn: inn.as_deref() };
    file_of(open, env, plan, day, Table::Violations, options)?.push(&keys, &finding.row())
}

fn write_containers(
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    documents: &DayPlan,
    options: &CompactOptions,
    open: &mut Open,
) -> Result<(), Error> {
    let mut reader = RowReader::default();
    for entry in documents.sorted(Table::Containers) {
        reader.read_head(&entry.stored).map_err(|error| defect(entry, error))?;
        // A search in `containers` goes by drive and number alone.
        let keys = Keys { inn: None, ..Keys::of(entry) };
        file_of(open, env, plan, day, Table::Containers, options)?.push(&keys, reader.row())?;
    }
    Ok(())
}

/// Records that are no documents, and the statuses in them; their order is that of the log.
fn write_records(
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    records: &DayPlan,
    options: &CompactOptions,
    open: &mut Open,
) -> Result<(), Error> {
    let mut reader = RowReader::default();
    for (kind, stored) in &records.others {
        reader.read_other(*kind, stored);
        let keys = Keys { position: stored.position, drive: None, inn: None };
        file_of(open, env, plan, day, Table::Records, options)?.push(&keys, reader.row())?;
        reader.each_status(*kind, stored, |row| {
            let drive = Some(row.status.drive.as_str()).filter(|drive| !drive.is_empty());
            let keys = Keys { position: stored.position, drive, inn: None };
            file_of(open, env, plan, day, Table::Statuses, options)?.push(&keys, row)
        })?;
    }
    Ok(())
}

/// Shifts, as the fold of the owner tells them.
fn write_shifts(
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    documents: &DayPlan,
    options: &CompactOptions,
    open: &mut Open,
) -> Result<(), Error> {
    for shift in &documents.shifts {
        let row = Row { shift: shift.clone(), ..Row::default() };
        let keys = Keys { position: shift.position, drive: Some(&shift.drive), inn: shift.inn.as_deref() };
        file_of(open, env, plan, day, Table::Shifts, options)?.push(&keys, &row)?;
    }
    Ok(())
}

/// The snapshot of the registers, when it is their time.
fn write_registers(env: &dyn Env, plan: &Plan, options: &CompactOptions) -> Result<Option<FileEntry>, Error> {
    let Some(registers) = &plan.registers else { return Ok(None) };
    let mut file = OpenFile::create(env, plan, registers.day, Table::Registers, options)?;
    registers.rows(env, &mut |register| {
        let row = Row { register, ..Row::default() };
        let RegisterRow { position, drive, inn, .. } = &row.register;
        let keys = Keys { position: *position, drive: Some(drive), inn: inn.as_deref() };
        file.push(&keys, &row)
    })?;
    file.finish(env).map(Some)
}

/// What the manifest keeps the reach of.
struct Keys<'e> {
    position: u64,
    drive: Option<&'e str>,
    inn: Option<&'e str>,
}

impl<'e> Keys<'e> {
    fn of(entry: &'e Entry) -> Self {
        Self { position: entry.stored.position, drive: Some(entry.drive()), inn: entry.inn() }
    }
}

/// The file of a table and day, made with its first row: there are no files without rows.
fn file_of<'o>(
    open: &'o mut Open,
    env: &dyn Env,
    plan: &Plan,
    day: Day,
    table: Table,
    options: &CompactOptions,
) -> Result<&'o mut OpenFile, Error> {
    match open.entry(table) {
        MapEntry::Occupied(file) => Ok(file.into_mut()),
        MapEntry::Vacant(place) => Ok(place.insert(OpenFile::create(env, plan, day, table, options)?)),
    }
}

/// A file being written.
struct OpenFile {
    path: PathBuf,
    writer: TableWriter<FileWriter>,
    entry: FileEntry,
}

impl OpenFile {
    fn create(
        env: &dyn Env,
        plan: &Plan,
        day: Day,
        table: Table,
        options: &CompactOptions,
    ) -> Result<Self, Error> {
        let entry = FileEntry::new(table, &day.to_string(), plan.file_name());
        let path = staged_path(&entry);
        let sink = FileWriter::new(env.create(&path)?);
        let facts = [("ofd.date", entry.date.clone()), ("ofd.positions", plan.reach())];
        let writer =
            TableWriter::new(table, sink, options.file, &facts).map_err(|error| wrong(&path, error))?;
        Ok(Self { path, writer, entry })
    }

    fn push(&mut self, keys: &Keys<'_>, row: &Row) -> Result<(), Error> {
        self.writer.push(row).map_err(|error| wrong(&self.path, error))?;
        let (least, most) = &mut self.entry.positions;
        *least = (*least).min(keys.position);
        *most = (*most).max(keys.position);
        if let Some(drive) = keys.drive {
            widen(&mut self.entry.fns, drive, self.entry.rows == 0);
        }
        self.entry.rows = self.entry.rows.saturating_add(1);
        if let Some(inn) = keys.inn {
            let fresh = self.entry.inns.is_none();
            widen(self.entry.inns.get_or_insert_default(), inn, fresh);
        }
        Ok(())
    }

    fn finish(self, env: &dyn Env) -> Result<FileEntry, Error> {
        let Self { path, mut writer, mut entry } = self;
        entry.rows = writer.finish().map_err(|error| wrong(&path, error))?;
        entry.bytes = writer.sink().position();
        if !planted!(48) {
            writer.sink().file().sync_all()?;
        }
        // Not from what was handed to the writer: from what the disk gives back.
        entry.blake3 = Chunks::open(env, &path)?.blake3()?;
        Ok(entry)
    }
}

/// Takes a key into a reach, which is `fresh` before the first.
pub(crate) fn widen(reach: &mut (String, String), key: &str, fresh: bool) {
    let (least, most) = reach;
    if fresh || key < least.as_str() {
        key.clone_into(least);
    }
    if fresh || key > most.as_str() {
        key.clone_into(most);
    }
}

fn defect(entry: &Entry, error: crate::envelope::EnvelopeError) -> Error {
    Error::new(ErrorKind::Fix, format!("position {}: {error}", entry.stored.position))
}
