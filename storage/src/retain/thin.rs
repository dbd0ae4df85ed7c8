//! Taking out of the archive what has been kept long enough.
//!
//! A run of which a row may go is replaced by one without it: a file that loses some of its rows is written anew beside,
//! read back and compared with what stays of the old one, a file that loses all of them is not named any more; then the
//! run takes the place of the old one (`compact/publish.rs`), so that a crash shows whole files of the one or the other.
//!
//! Only runs that have left the log wholly are touched: what the log still holds would not be gone, and the two would
//! disagree. A file that is not as it was published, or of a table that this version does not know, keeps its run as it is.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array, BooleanArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, RecordBatchReader,
};
use arrow_schema::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ParquetRecordBatchReader, RowFilter};

use super::expiry::{Life, Row, keeps};
use super::hold::{Holds, Subject};
use super::segments::as_published;
use crate::columns::file::{FileOptions, rewriter};
use crate::columns::read::{Chunks, column, damaged, each_batch, open, wrong};
use crate::columns::{Day, Table};
use crate::compact::publish::{open_for_writing, replace};
use crate::compact::sweep;
use crate::compact::write::staged_path;
use crate::env::{Env, FileWriter};
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Manifest, Run, STAGING_DIR};
use crate::position::Lsn;
use crate::record::RecordKind;
use crate::store;

/// Positions.
type Positions = HashSet<u64, RandomState>;

/// What the decision goes by.
#[derive(Clone, Debug, Default)]
pub struct ThinRules {
    /// Now, unix µs UTC.
    pub now_us: i64,
    /// Years that a document is kept; fewer than five count as five.
    pub keep_years: u16,
    /// Holds.
    pub holds: Holds,
    /// The log begins here: older runs are in the archive alone.
    pub log_begins: Lsn,
    /// Free bytes that a rewrite must leave on the disk.
    pub free_bytes_min: u64,
    /// Layout of the files.
    pub file: FileOptions,
    /// Everything that stands here is decided and nothing is done.
    pub dry_run: bool,
}

/// What was taken out, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThinReport {
    /// Documents.
    pub documents: u64,
    /// Records that are no documents.
    pub records: u64,
    /// Rows that are old enough and stay because of a hold.
    pub held: u64,
    /// Runs that were replaced.
    pub runs: u64,
    /// Files written anew.
    pub rewritten: u64,
    /// Files of which nothing is left.
    pub removed: u64,
    /// Runs that stay as they are because a file of theirs is not as it was published.
    pub damaged: u64,
}

/// Takes expired rows out of the archive. Run by the owner of the directory only, not beside a compaction.
///
/// # Errors
/// `Corrupt` when the manifest or a file cannot be read as it should; `Retry` when the disk has no room; of the system.
/// After an error the archive is whole: what was replaced stays so.
pub fn thin_archive(env: &Arc<dyn Env>, rules: &ThinRules) -> Result<ThinReport, Error> {
    let env = &**env;
    let mut manifest = match rules.dry_run {
        true => Manifest::load(env)?.unwrap_or_default(),
        false => {
            let manifest = open_for_writing(env)?;
            sweep(env, &manifest)?;
            manifest
        }
    };
    if let Some(store) = env.store().filter(|_| !rules.dry_run) {
        store::publish::tidy(store, &manifest)?;
    }
    let mut report = ThinReport::default();
    let old: Vec<Run> = manifest
        .runs
        .iter()
        .filter(|run| run.last < rules.log_begins.get() && run.files.iter().any(|file| is_old(file, rules)))
        .cloned()
        .collect();
    if old.is_empty() {
        return Ok(report);
    }
    let lives = match lives(env, &manifest) {
        // The file that cannot be read may tell of any drive: then each of them lives.
        Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
            tracing::error!(%error, "alarm: the lives of drives are not known, their registrations stay");
            BTreeMap::new()
        }
        lives => lives?,
    };
    for run in old {
        match thin(env, &run, &lives, rules, &mut report) {
            Ok(Some(new)) => {
                report.runs = report.runs.saturating_add(1);
                if !rules.dry_run {
                    replace(env, &mut manifest, new)?;
                }
            }
            Ok(None) => {}
            // One bad file is for `verify` to tell; it costs nobody his years and nobody his row.
            Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
                tracing::error!(%error, first = run.first, last = run.last, "alarm: a run stays as it is");
                report.damaged = report.damaged.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
    if !rules.dry_run {
        sweep(env, &manifest)?;
    }
    Ok(report)
}

/// Whether a row of this file may be old enough, by its folder.
fn is_old(file: &FileEntry, rules: &ThinRules) -> bool {
    let Ok(day) = file.date.parse::<Day>() else { return false };
    let row = Row::Document { form: Some(3), replaces_drive: None };
    keeps(row, day, None, rules.keep_years).is_over(Day::of_utc(rules.now_us))
}

/// The lives of all drives of the archive.
fn lives(env: &dyn Env, manifest: &Manifest) -> Result<BTreeMap<String, Life>, Error> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for file in manifest.runs.iter().flat_map(|run| &run.files) {
        if file.table == Table::Documents.name() {
            as_published(env, file)?;
            each_document(env, file, |row| {
                if let Some(form @ (1 | 6 | 11)) = row.form {
                    let life = lives.entry(row.drive.to_owned()).or_default();
                    life.take(form, row.position, row.number, row.dated());
                }
            })?;
        }
    }
    Ok(lives)
}

/// A row of `documents`, as far as retention looks at it.
struct Document<'b> {
    position: u64,
    drive: &'b str,
    inn: Option<&'b str>,
    number: u32,
    form: Option<u8>,
    replaces_drive: Option<bool>,
    days: [Day; 2],
}

impl Document<'_> {
    /// The date that counts.
    fn dated(&self) -> Day {
        let [day, received] = self.days;
        day.max(received)
    }
}

fn each_document(env: &dyn Env, file: &FileEntry, mut each: impl FnMut(&Document<'_>)) -> Result<(), Error> {
    let path = file.path();
    let day: Day = file.date.parse().map_err(|error| damaged(&path, error))?;
    // The last one came later than the table: an archive of version 1 does not have it.
    let columns = ["position", "fn", "fd", "inn", "form_code", "received_at", "replaces_drive"];
    each_batch(env, &path, &columns, |batch| {
        let positions = column::<Int64Array>(batch, &path, "position")?;
        let numbers = column::<Int64Array>(batch, &path, "fd")?;
        let forms = column::<Int32Array>(batch, &path, "form_code")?;
        let drives = text(batch, "fn").ok_or_else(|| damaged(&path, "no column fn"))?;
        let inns = text(batch, "inn").ok_or_else(|| damaged(&path, "no column inn"))?;
        let received = received_at(batch, &path)?;
        let replaces = batch.column_by_name("replaces_drive").and_then(|array| array.as_boolean_opt());
        for at in 0..batch.num_rows() {
            each(&Document {
                position: u64::try_from(positions.value(at)).unwrap_or_default(),
                drive: drives.value(at),
                inn: inns.is_valid(at).then(|| inns.value(at)),
                number: u32::try_from(numbers.value(at)).unwrap_or_default(),
                form: forms.is_valid(at).then(|| forms.value(at)).and_then(|code| u8::try_from(code).ok()),
                replaces_drive: replaces.filter(|it| it.is_valid(at)).map(|it| it.value(at)),
                days: [day, Day::of_utc(received.value(at))],
            });
        }
        Ok(())
    })
    .map(drop)
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Option<&'b arrow_array::StringArray> {
    batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>())
}

fn received_at<'b>(
    batch: &'b RecordBatch,
    path: &Path,
) -> Result<&'b arrow_array::TimestampMicrosecondArray, Error> {
    let array = batch.column_by_name("received_at");
    array
        .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| damaged(path, "no column received_at"))
}

/// What of a run may go: positions of documents, and of other records.
fn expired(
    env: &dyn Env,
    run: &Run,
    lives: &BTreeMap<String, Life>,
    rules: &ThinRules,
    report: &mut ThinReport,
) -> Result<Positions, Error> {
    let today = Day::of_utc(rules.now_us);
    let mut gone = Positions::default();
    let mut judge = |position: u64, row: Row, life_end: Option<Day>, subject: &Subject<'_>| {
        let [day, received] = subject.days;
        if !keeps(row, day.max(received), life_end, rules.keep_years).is_over(today) {
            return false;
        }
        if rules.holds.keeping(subject).is_some() {
            report.held = report.held.saturating_add(1);
            return false;
        }
        gone.insert(position)
    };
    let (mut documents, mut records) = (0_u64, 0_u64);
    for file in run.files.iter().filter(|file| is_old(file, rules)) {
        if file.table == Table::Documents.name() {
            each_document(env, file, |it| {
                let row = Row::Document { form: it.form, replaces_drive: it.replaces_drive };
                let life_end = lives.get(it.drive).and_then(Life::end);
                let subject = Subject { drive: Some(it.drive), inn: it.inn, days: it.days };
                documents = documents.saturating_add(u64::from(judge(it.position, row, life_end, &subject)));
            })?;
        }
        if file.table == Table::Records.name() {
            let path = file.path();
            let day: Day = file.date.parse().map_err(|error| damaged(&path, error))?;
            each_batch(env, &path, &["position", "kind_code", "key", "received_at"], |batch| {
                let positions = column::<Int64Array>(batch, &path, "position")?;
                let kinds = column::<Int32Array>(batch, &path, "kind_code")?;
                let keys = text(batch, "key").ok_or_else(|| damaged(&path, "no column key"))?;
                let received = received_at(batch, &path)?;
                for at in 0..batch.num_rows() {
                    let row = match u8::try_from(kinds.value(at)).map(RecordKind::from_code) {
                        Ok(RecordKind::Quarantine) => Row::Quarantine,
                        Ok(RecordKind::Tick) => Row::Tick,
                        Ok(RecordKind::Status) => Row::Status,
                        _ => Row::State,
                    };
                    let key = keys.is_valid(at).then(|| keys.value(at));
                    let drive = key.and_then(|key| key.split_once('/')).map(|(drive, _)| drive);
                    let subject = Subject { drive, inn: None, days: [day, Day::of_utc(received.value(at))] };
                    let position = u64::try_from(positions.value(at)).unwrap_or_default();
                    records = records.saturating_add(u64::from(judge(position, row, None, &subject)));
                }
                Ok(())
            })?;
        }
    }
    report.documents = report.documents.saturating_add(documents);
    report.records = report.records.saturating_add(records);
    Ok(gone)
}

/// The run without what may go, its new files staged; `None` when all of it stays.
fn thin(
    env: &dyn Env,
    run: &Run,
    lives: &BTreeMap<String, Life>,
    rules: &ThinRules,
    report: &mut ThinReport,
) -> Result<Option<Run>, Error> {
    if run.files.iter().any(|file| file.table.parse::<Table>().is_err()) {
        return Ok(None);
    }
    for file in run.files.iter().filter(|file| is_old(file, rules)) {
        as_published(env, file)?;
    }
    let mut told = report.clone();
    let gone = Arc::new(expired(env, run, lives, rules, &mut told)?);
    report.held = told.held;
    if gone.is_empty() {
        return Ok(None);
    }
    let bytes = run.files.iter().map(|file| file.bytes).fold(rules.free_bytes_min, u64::saturating_add);
    let free = env.free_bytes()?;
    if !rules.dry_run && free < bytes {
        return Err(Error::new(ErrorKind::Retry, format!("{free} bytes free, retention wants {bytes}")));
    }
    let mut new = Run { files: Vec::new(), ..run.clone() };
    for file in &run.files {
        let stays = if is_old(file, rules) { rows_left(env, file, &gone)? } else { file.rows };
        if stays == 0 {
            told.removed = told.removed.saturating_add(1);
        } else if stays == file.rows {
            new.files.push(file.clone());
        } else {
            told.rewritten = told.rewritten.saturating_add(1);
            new.files.push(if rules.dry_run { file.clone() } else { rewrite(env, run, file, &gone, rules)? });
        }
    }
    if !rules.dry_run {
        env.sync_dir(Path::new(STAGING_DIR))
            .or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })?;
        add_up(env, &mut new, run)?;
    }
    *report = told;
    Ok(Some(new))
}

fn rows_left(env: &dyn Env, file: &FileEntry, gone: &Positions) -> Result<u64, Error> {
    let path = file.path();
    let mut left = 0_u64;
    each_batch(env, &path, &["position"], |batch| {
        let positions = column::<Int64Array>(batch, &path, "position")?.values();
        let stays = positions.iter().filter(|position| stays(**position, gone)).count();
        left = left.saturating_add(stays as u64);
        Ok(())
    })?;
    Ok(left)
}

fn stays(position: i64, gone: &Positions) -> bool {
    u64::try_from(position).is_ok_and(|position| !gone.contains(&position))
}

/// What stays of a file, in its order.
fn left_of(env: &dyn Env, path: &Path, gone: &Arc<Positions>) -> Result<ParquetRecordBatchReader, Error> {
    let builder = open(env, path)?;
    let key = ProjectionMask::columns(builder.parquet_schema(), ["position"]);
    let gone = Arc::clone(gone);
    let keep = ArrowPredicateFn::new(key, move |batch: RecordBatch| {
        let missing = || ArrowError::SchemaError("no position".to_owned());
        let positions = batch.column_by_name("position").and_then(|array| array.as_any().downcast_ref());
        let positions: &Int64Array = positions.ok_or_else(missing)?;
        Ok(positions.values().iter().map(|position| Some(stays(*position, &gone))).collect::<BooleanArray>())
    });
    let filter = RowFilter::new(vec![Box::new(keep)]);
    builder.with_row_filter(filter).with_batch_size(1024).build().map_err(|error| wrong(path, error))
}

/// Writes what stays of a file into the staging folder, durable, and compares what the disk gives back.
fn rewrite(
    env: &dyn Env,
    run: &Run,
    file: &FileEntry,
    gone: &Arc<Positions>,
    rules: &ThinRules,
) -> Result<FileEntry, Error> {
    let (path, staged) = (file.path(), staged_path(file));
    let table: Table = file.table.parse().map_err(|error: String| damaged(&path, error))?;
    env.create_dir_all(Path::new(STAGING_DIR))?;
    let mut left = left_of(env, &path, gone)?;
    let facts = [("ofd.date", file.date.clone()), ("ofd.positions", format!("{}-{}", run.first, run.last))];
    let sink = FileWriter::new(env.create(&staged)?);
    let mut writer =
        rewriter(table, sink, left.schema(), rules.file, &facts).map_err(|error| wrong(&staged, error))?;
    let mut rows = 0_u64;
    for batch in &mut left {
        let batch = batch.map_err(|error| wrong(&path, error.into()))?;
        rows = rows.saturating_add(batch.num_rows() as u64);
        writer.write(&batch).map_err(|error| wrong(&staged, error))?;
    }
    writer.finish().map_err(|error| wrong(&staged, error))?;
    let bytes = writer.inner().position();
    writer.inner().file().sync_all()?;
    same_rows(env, &path, &staged, gone)?;
    let blake3 = Chunks::open(env, &staged)?.blake3()?;
    Ok(FileEntry { rows, bytes, blake3, ..file.clone() })
}

/// Row for row, every column.
fn same_rows(env: &dyn Env, path: &Path, staged: &Path, gone: &Arc<Positions>) -> Result<(), Error> {
    let mut old = Rows { reader: left_of(env, path, gone)?, batch: None };
    let all = open(env, staged)?.with_batch_size(1024).build().map_err(|error| wrong(staged, error))?;
    let mut new = Rows { reader: all, batch: None };
    loop {
        let rows = match (old.there(path)?, new.there(staged)?) {
            (0, 0) => return Ok(()),
            (one, other) => one.min(other),
        };
        if rows == 0 || old.take(rows) != new.take(rows) {
            return Err(damaged(staged, "what stays reads back otherwise"));
        }
    }
}

/// The rows of a reader in pieces: the batches of two readers need not end together.
struct Rows {
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
}

impl Rows {
    /// Rows that can be taken; 0 at the end.
    fn there(&mut self, path: &Path) -> Result<usize, Error> {
        loop {
            match &self.batch {
                Some(batch) if batch.num_rows() > 0 => return Ok(batch.num_rows()),
                _ => {}
            }
            match self.reader.next() {
                None => return Ok(0),
                Some(batch) => self.batch = Some(batch.map_err(|error| wrong(path, error.into()))?),
            }
        }
    }

    /// The columns of the next rows, as many as are there or fewer.
    fn take(&mut self, rows: usize) -> Vec<arrow_array::ArrayRef> {
        let Some(batch) = self.batch.take() else { return Vec::new() };
        let taken = batch.slice(0, rows);
        self.batch = Some(batch.slice(rows, batch.num_rows().saturating_sub(rows)));
        taken.columns().to_vec()
    }
}

/// The numbers of the run that is left, from the files as they will stand.
fn add_up(env: &dyn Env, new: &mut Run, old: &Run) -> Result<(), Error> {
    let (mut documents, mut records, mut items) = (0_u64, 0_u64, 0_u64);
    let (mut total, mut items_sum) = (0_i128, 0_i128);
    for file in &new.files {
        let staged = !old.files.contains(file);
        let path = if staged { staged_path(file) } else { file.path() };
        let sum = |name: &str| -> Result<i128, Error> {
            let mut sum = 0_i128;
            each_batch(env, &path, &[name], |batch| {
                let amounts = column::<Decimal128Array>(batch, &path, name)?;
                sum = amounts.iter().flatten().fold(sum, i128::saturating_add);
                Ok(())
            })?;
            Ok(sum)
        };
        match file.table.parse::<Table>() {
            Ok(Table::Documents) => {
                documents = documents.saturating_add(file.rows);
                total = total.saturating_add(sum("total")?);
            }
            Ok(Table::Items) => {
                items = items.saturating_add(file.rows);
                items_sum = items_sum.saturating_add(sum("sum")?);
            }
            Ok(Table::Records) => records = records.saturating_add(file.rows),
            Ok(
                Table::Containers | Table::Registers | Table::Shifts | Table::Statuses | Table::Violations,
            )
            | Err(_) => {}
        }
    }
    let before = new.expired.unwrap_or_default();
    let gone = new.documents.saturating_sub(documents);
    new.expired = Some(before.saturating_add(gone));
    (new.documents, new.items) = (documents, items);
    (new.total_kopecks, new.items_kopecks) = (total, items_sum);
    new.records = new.records.map(|_| records);
    Ok(())
}
