//! The rows of one merchant as files of their own, in increments that can be done again.
//!
//! ```text
//! Snapshot ─▶ rows of the INN behind the last increment ─▶ OUT/parquet/<table>/date=…/p-<first>-<last>.parquet
//!                                                          OUT/archive.json   the increments, as an archive names its runs
//!                                                          OUT/export.json    whose it is, and what is left out
//! ```
//!
//! An export is an archive of its own: its increments are runs, one behind the other without a gap, committed by the same
//! manifest in the same way, so that a crash leaves the export as it was, and readers by pattern see every row once. A file
//! of the archive gives one of the export, in the same order; what is not compacted yet gives one a table and day.
//!
//! Not in an export: `records` and `statuses`, which are of the operator and not of a merchant, `registers`, and with
//! [`ExportOptions::without_personal`] the columns that are marked as personal, and `containers` as a whole, which hold
//! them all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::columns::Table;
use crate::columns::file::{FileOptions, rewriter};
use crate::columns::read::{Chunks, wrong};
use crate::compact::publish::{open_for_writing, publish_plain};
use crate::compact::write::{staged_path, widen};
use crate::compact::{CompactOptions, sweep, write};
use crate::env::{Env, FileWriter, read_file, replace_file};
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, MANIFEST_FILE, Manifest, PARQUET_DIR, Run, STAGING_DIR};
use crate::position::Position;
use crate::store::publish::stem;
use crate::union::{Scan, Snapshot, Wanted};

/// Name of the file that says whose an export is.
pub const EXPORT_FILE: &str = "export.json";
const EXPORT_VERSION: u32 = 1;
const EXPORT_LEN_MAX: u64 = 1 << 20;
/// Tables of a merchant, containers behind the documents that tell which are his.
const TABLES: [Table; 4] = [Table::Documents, Table::Items, Table::Shifts, Table::Violations];

/// What to export.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Organisation (1018).
    pub inn: String,
    /// Behind this position; `None`: behind the last increment, or from the beginning.
    pub since: Option<Position>,
    /// Personal columns and containers are left out.
    pub without_personal: bool,
    /// Layout of the files.
    pub file: FileOptions,
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Behind this position.
    pub after: u64,
    /// Up to and with this one: where the next increment begins.
    pub through: u64,
    /// Documents, all variants.
    pub documents: u64,
    /// Their `total`, kopecks.
    pub total_kopecks: i128,
    /// Items.
    pub items: u64,
    /// Files.
    pub files: u64,
    /// Their length, bytes.
    pub bytes: u64,
}

/// Whose an export is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Whose {
    version: u32,
    inn: String,
    without_personal: bool,
}

/// Exports the rows of an organisation that stand behind the last increment into `out`, which is empty or an export of the
/// same organisation. Without new rows it notes that it has looked.
///
/// # Errors
/// `Fix` when `out` is another export or `since` is not where its last increment ended; `is_not_found` when a file of the
/// archive has gone meanwhile: take another snapshot; else of the system. After an error the export is as it was.
pub fn export(
    snapshot: &Snapshot,
    out: &Arc<dyn Env>,
    options: &ExportOptions,
) -> Result<ExportReport, Error> {
    let out = &**out;
    belongs(out, options)?;
    let mut manifest = open_for_writing(out)?;
    sweep(out, &manifest)?;
    let after = begin(&mut manifest, options.since)?;
    let through = snapshot.through().as_u64();
    if through < after {
        let text = format!(
            "the export reaches to position {after}, the log ends at {through}: it is another log, or an older one"
        );
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    let mut report = ExportReport { after, through, ..ExportReport::default() };
    if through == after {
        manifest.store(out)?;
        return Ok(report);
    }
    let mut run = Run { first: after.saturating_add(1), last: through, records: Some(0), ..Run::default() };
    out.create_dir_all(Path::new(STAGING_DIR))?;
    let copy = Copy { snapshot, out, options, after };
    for table in TABLES {
        copy.archived(table, &mut run)?;
    }
    copy.tail(&mut run)?;
    out.sync_dir(Path::new(STAGING_DIR))?;
    report.documents = run.documents;
    report.total_kopecks = run.total_kopecks;
    report.items = run.items;
    report.files = run.files.len() as u64;
    report.bytes = run.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    publish_plain(out, &mut manifest, run)?;
    Ok(report)
}

/// Notes whose the export is, or sees that it is.
fn belongs(out: &dyn Env, options: &ExportOptions) -> Result<(), Error> {
    let whose = Whose {
        version: EXPORT_VERSION,
        inn: options.inn.clone(),
        without_personal: options.without_personal,
    };
    let path = Path::new(EXPORT_FILE);
    match read_file(out, path, EXPORT_LEN_MAX) {
        Ok(bytes) => {
            let found: Whose = serde_json::from_slice(&bytes)
                .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{EXPORT_FILE}: {error}")))?;
            if found == whose {
                return Ok(());
            }
            let Whose { inn, without_personal, .. } = found;
            let personal = if without_personal { "without" } else { "with" };
            Err(Error::new(
                ErrorKind::Fix,
                format!("this is the export of {inn}, {personal} personal columns"),
            ))
        }
        Err(error) if error.is_not_found() => {
            // The folder of an engine, or of somebody else's archive, is never written into.
            for other in [MANIFEST_FILE, "log", PARQUET_DIR] {
                if out.exists(Path::new(other))? {
                    let text =
                        format!("there is {other} in this folder and no {EXPORT_FILE}: it is no export");
                    return Err(Error::new(ErrorKind::Fix, text));
                }
            }
            let text = serde_json::to_vec(&whose)
                .map_err(|error| Error::new(ErrorKind::Fix, format!("{EXPORT_FILE}: {error}")))?;
            replace_file(out, path, &text)
        }
        Err(error) => Err(error),
    }
}

/// Behind which position this increment begins.
fn begin(manifest: &mut Manifest, since: Option<Position>) -> Result<u64, Error> {
    let there = manifest.compacted_through;
    match since.map(|it| it.as_u64()) {
        Some(since) if there == 0 && since > 0 => {
            // What lies before is left out on purpose: an increment without files says so.
            manifest.runs.push(Run { first: 1, last: since, records: Some(0), ..Run::default() });
            manifest.compacted_through = since;
            Ok(since)
        }
        Some(since) if since != there => Err(Error::new(
            ErrorKind::Fix,
            format!("the last increment ended at position {there}, the next one can not begin at {since}"),
        )),
        _ => Ok(there),
    }
}

struct Copy<'e> {
    snapshot: &'e Snapshot,
    out: &'e dyn Env,
    options: &'e ExportOptions,
    after: u64,
}

impl Copy<'_> {
    fn scan(&self) -> Scan {
        let inns = Some(BTreeSet::from([self.options.inn.clone()]));
        Scan { inns, after: self.after, ..Scan::default() }
    }

    /// The rows of a table in files of the archive; with those of `documents` their containers.
    fn archived(&self, table: Table, run: &mut Run) -> Result<(), Error> {
        let scan = self.scan();
        let wanted = scan.of(table)?;
        let archive = self.snapshot.archive();
        for source in archive.files(table).filter(|file| scan.reaches(table, file)) {
            let mut positions = BTreeSet::new();
            let number = run.files.len();
            let entry = self.file(table, &wanted, source, number, &mut |batch| {
                if table == Table::Documents {
                    run.documents = run.documents.saturating_add(batch.num_rows() as u64);
                    run.total_kopecks = run.total_kopecks.saturating_add(sum_of(batch, "total"));
                    positions.extend(positions_of(batch));
                } else if table == Table::Items {
                    run.items = run.items.saturating_add(batch.num_rows() as u64);
                    run.items_kopecks = run.items_kopecks.saturating_add(sum_of(batch, "sum"));
                }
            })?;
            run.files.extend(entry);
            if positions.is_empty() || self.options.without_personal {
                continue;
            }
            let kept = |file: &&FileEntry| stem(&file.name) == stem(&source.name) && file.date == source.date;
            let his = Scan { positions: Some(positions), ..Scan::default() }.of(Table::Containers)?;
            for containers in archive.files(Table::Containers).filter(kept) {
                let number = run.files.len();
                run.files.extend(self.file(Table::Containers, &his, containers, number, &mut |_| {})?);
            }
        }
        Ok(())
    }

    /// A file with the rows of another that are wanted; none when there are none.
    fn file(
        &self,
        table: Table,
        wanted: &Wanted,
        source: &FileEntry,
        number: usize,
        each: &mut dyn FnMut(&RecordBatch),
    ) -> Result<Option<FileEntry>, Error> {
        let mut file: Option<Writing> = None;
        let columns = columns_of(table, self.options.without_personal);
        self.snapshot.scan_file(wanted, &columns, &source.path(), &mut |batch| {
            each(batch);
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(Writing::begin(self, table, source, number, batch)?),
            };
            file.put(batch)
        })?;
        file.map(|file| file.end(self.out)).transpose()
    }

    /// What is not compacted yet, as compaction would write it.
    fn tail(&self, run: &mut Run) -> Result<(), Error> {
        let plan = self.snapshot.plan(&self.scan())?;
        let options = CompactOptions {
            file: FileOptions { without_personal: self.options.without_personal, ..self.options.file },
            derive: self.snapshot.derive(),
            ..CompactOptions::default()
        };
        let files = write::stage(self.out, &plan, &options)?;
        let Run { documents, items, total_kopecks, items_kopecks, .. } = plan.run(&[]);
        run.documents = run.documents.saturating_add(documents);
        run.items = run.items.saturating_add(items);
        run.total_kopecks = run.total_kopecks.saturating_add(total_kopecks);
        run.items_kopecks = run.items_kopecks.saturating_add(items_kopecks);
        run.files.extend(files);
        Ok(())
    }
}

/// The columns of a table that an export has.
fn columns_of(table: Table, without_personal: bool) -> Vec<&'static str> {
    let kept = table.columns().iter().filter(|it| !(without_personal && it.personal));
    kept.map(|it| it.name).collect()
}

/// A file on its way.
struct Writing {
    entry: FileEntry,
    writer: ArrowWriter<FileWriter>,
}

impl Writing {
    fn begin(
        copy: &Copy<'_>,
        table: Table,
        source: &FileEntry,
        number: usize,
        batch: &RecordBatch,
    ) -> Result<Self, Error> {
        // Nothing of a name or a reach tells of others: the number is that of the file within this increment.
        let (first, last) = (copy.after.saturating_add(1), copy.snapshot.through());
        let name = format!("p-{first:016}-{:016}-{number:05}.parquet", last.as_u64());
        let mut entry = FileEntry::new(table, &source.date, name);
        let inn = &copy.options.inn;
        entry.inns = (table != Table::Containers).then(|| (inn.clone(), inn.clone()));
        let path = staged_path(&entry);
        let sink = FileWriter::new(copy.out.create(&path)?);
        let facts = [("ofd.date", entry.date.clone()), ("ofd.inn", copy.options.inn.clone())];
        let options = FileOptions { without_personal: copy.options.without_personal, ..copy.options.file };
        let writer = rewriter(table, sink, batch.schema(), options, &facts);
        Ok(Self { writer: writer.map_err(|error| wrong(&path, error))?, entry })
    }

    fn put(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut fresh = self.entry.rows == 0;
        self.entry.rows = self.entry.rows.saturating_add(batch.num_rows() as u64);
        for position in positions_of(batch) {
            let (least, most) = &mut self.entry.positions;
            (*least, *most) = ((*least).min(position), (*most).max(position));
        }
        let drives = batch.column_by_name("fn").and_then(|it| it.as_string_opt::<i32>());
        for drive in drives.into_iter().flatten().flatten() {
            widen(&mut self.entry.fns, drive, fresh);
            fresh = false;
        }
        self.writer.write(batch).map_err(|error| wrong(&staged_path(&self.entry), error))
    }

    fn end(self, out: &dyn Env) -> Result<FileEntry, Error> {
        let Self { mut entry, mut writer } = self;
        let path = staged_path(&entry);
        writer.finish().map_err(|error| wrong(&path, error))?;
        entry.bytes = writer.inner().position();
        writer.inner().file().sync_all()?;
        // Not from what was handed to the writer: from what the disk gives back.
        entry.blake3 = Chunks::open(out, &path)?.blake3()?;
        Ok(entry)
    }
}

fn positions_of(batch: &RecordBatch) -> impl Iterator<Item = u64> {
    let positions = batch.column_by_name("position").and_then(|it| it.as_primitive_opt::<Int64Type>());
    positions.into_iter().flat_map(|it| it.values().iter().filter_map(|it| u64::try_from(*it).ok()))
}

fn sum_of(batch: &RecordBatch, name: &str) -> i128 {
    let amounts = batch.column_by_name(name).and_then(|it| it.as_primitive_opt::<Decimal128Type>());
    amounts.map_or(0, |it| it.iter().flatten().fold(0, i128::saturating_add))
}
