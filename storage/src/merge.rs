//! Merging: many small runs of compaction become few, so that a day of documents is a file of each table and no hundred.
//!
//! ```text
//! runs whose day is over ─▶ Group ─▶ one file a table and date ─▶ read back, compared ─▶ archive.json names it
//!                                    rows in their order           row sums, order       folders change places
//! ```
//!
//! When: once its day is over (UTC), with the other runs of its day; 35 days after the end of its month, with those of its month, when
//! what registers sent late has come. A merged run is no larger than a run of compaction may be ([`MergeRules::bytes_max`]), so
//! that whoever reads a run at a time needs no more memory than before; larger days are several runs.
//!
//! What holds at every moment, a crash included:
//!
//! - Rows are those of the files before, each once, in the order of the table; nothing is computed anew.
//! - Readers by the manifest see the runs before or after.
//! - Readers by pattern see every folder of a date before or after, whole: it is put together elsewhere, files that stay
//!   get a second name in it, and then the two folders change places in one step (`RENAME_EXCHANGE`). A row belongs to one
//!   folder whichever run it is in, so nothing is seen twice. Where the file system cannot do that, nothing is merged.
//! - What was merged stays aside until the next pass clears up, for those who have just read the old manifest; so one pass does not
//!   touch a folder twice.
//!
//! Invariants, with the test that holds each: `tests/merge.rs`.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::columns::file::FileOptions;
use crate::columns::{Day, Table};
use crate::compact::publish::{self, merging_twin, open_for_writing, remove_folder};
use crate::compact::write::{staged_path, widen};
use crate::compact::{RUN_BYTES_MAX, sweep};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, MERGING_DIR, Manifest, Run, STAGING_DIR, SUCCESS_FILE, file_name};
use crate::position::Lsn;
use crate::retain::segments::as_published;

/// Rows of `documents` and `records` in a merged run unless told otherwise.
pub const RUN_ROWS_MAX: u64 = 512 << 10;
/// Runs that become one at once: each of their files is open meanwhile.
const RUNS_MAX: usize = 128;
/// Groups of one pass.
const GROUPS_MAX: usize = 16;
/// A run that has many times the rows of the others is not written once more for their sake.
const TIMES_MAX: u64 = 4;
/// Days from the end of a month until its runs are merged once more.
const MONTH_SETTLES_DAYS: i32 = 35;

/// What the decision goes by.
#[derive(Clone, Debug)]
pub struct MergeRules {
    /// Now, unix µs UTC.
    pub now_us: i64,
    /// The oldest record that the log still holds: a run of the log is not merged with one that has left it.
    pub log_begins: Lsn,
    /// Rows of `documents` and `records` in a merged run; default [`RUN_ROWS_MAX`].
    pub rows_max: u64,
    /// Bytes of the log that a merged run holds; default [`RUN_BYTES_MAX`].
    pub bytes_max: u64,
    /// Bytes that stay free on the disk.
    pub free_bytes_min: u64,
    /// Layout of the files.
    pub file: FileOptions,
    /// Once true, no further run is begun.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for MergeRules {
    fn default() -> Self {
        Self {
            now_us: 0,
            log_begins: Lsn::new(1),
            rows_max: RUN_ROWS_MAX,
            bytes_max: RUN_BYTES_MAX,
            free_bytes_min: 0,
            file: FileOptions::default(),
            stop: None,
        }
    }
}

/// What was merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// Runs that were made.
    pub runs: u64,
    /// Of so many.
    pub merged: u64,
    /// Files that were written.
    pub files: u64,
    /// In the place of so many.
    pub replaced: u64,
    /// Groups that stay as they are because a file of theirs is not as it was published.
    pub damaged: u64,
    /// The file system cannot make folders change places, or give a file a second name: nothing is merged here.
    pub unsupported: bool,
}

impl MergeReport {
    /// Adds another pass; how many runs that has made.
    pub fn add(&mut self, pass: &Self) -> u64 {
        self.runs = self.runs.saturating_add(pass.runs);
        self.merged = self.merged.saturating_add(pass.merged);
        self.files = self.files.saturating_add(pass.files);
        self.replaced = self.replaced.saturating_add(pass.replaced);
        // Of the last pass: it has met all that are left.
        (self.damaged, self.unsupported) = (pass.damaged, pass.unsupported);
        pass.runs
    }
}

/// Merges runs whose time has come, some at a time: until a pass merges none. Run by the owner of the directory only, not beside a compaction.
///
/// # Errors
/// `Corrupt` when the manifest cannot be read as it should; `Retry` when the disk has no room; of the system. After an error the
/// archive is whole: what was merged stays so.
pub fn merge_archive(env: &Arc<dyn Env>, rules: &MergeRules) -> Result<MergeReport, Error> {
    let env = &**env;
    let mut report = MergeReport::default();
    if let Some(store) = env.store() {
        tracing::warn!(
            store = store.name(),
            "folders do not change places in an object store: the archive is not merged"
        );
        report.unsupported = true;
        return Ok(report);
    }
    let mut manifest = open_for_writing(env)?;
    if groups(&manifest.runs, rules).is_empty() {
        return Ok(report);
    }
    sweep(env, &manifest)?;
    if !can_exchange(env)? {
        report.unsupported = true;
        return Ok(report);
    }
    let mut touched = BTreeSet::new();
    // From the newest on, so that the places of those before stay what they are.
    for group in groups(&manifest.runs, rules).into_iter().rev() {
        if report.runs >= GROUPS_MAX as u64 {
            break;
        }
        if rules.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            break;
        }
        let runs = manifest.runs.get(group).unwrap_or_default().to_vec();
        match merged(env, &manifest, &runs, &mut touched, rules) {
            Ok(Some(Merged { run, new, replaced })) => {
                publish::merge(env, &mut manifest, run, &new)?;
                report.runs = report.runs.saturating_add(1);
                report.merged = report.merged.saturating_add(runs.len() as u64);
                report.files = report.files.saturating_add(new.len() as u64);
                report.replaced = report.replaced.saturating_add(replaced);
            }
            Ok(None) => {}
            // One bad file is for `verify` to tell; it holds up no other group.
            Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
                tracing::error!(%error, "alarm: runs that should be merged stay as they are");
                report.damaged = report.damaged.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// With which others a run is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    /// Of a day.
    Day(Day),
    /// Of a month, by the number of its first day.
    Month(Day),
}

/// `None`: its time has not come.
fn together(run: &Run, today: Day) -> Option<Together> {
    run.records?;
    run.log_bytes?;
    let day = Day::of_utc(run.received_us?.1);
    let (first, next) = day.month();
    if today.0 >= next.0.saturating_add(MONTH_SETTLES_DAYS) {
        return Some(Together::Month(first));
    }
    (today > day).then_some(Together::Day(day))
}

/// The runs that become one, as places in the list: always two or more.
fn groups(runs: &[Run], rules: &MergeRules) -> Vec<Range<usize>> {
    let today = Day::of_utc(rules.now_us);
    let mut groups = Vec::new();
    let mut open: Option<Group> = None;
    for (at, run) in runs.iter().enumerate() {
        let key = together(run, today).map(|it| (it, run.last < rules.log_begins.get()));
        match (&mut open, key) {
            (Some(group), Some(key)) if group.key == key && group.has_room(run, rules) => group.take(run),
            (_, key) => {
                groups.extend(open.take());
                open = key.map(|key| Group::of(at, key, run));
            }
        }
    }
    groups.extend(open);
    groups.retain(Group::is_worth_it);
    groups.into_iter().map(|group| group.range).collect()
}

/// Runs that follow each other.
struct Group {
    range: Range<usize>,
    /// With which they may be merged, and whether they have left the log.
    key: (Together, bool),
    rows: u64,
    bytes: u64,
    largest: u64,
}

impl Group {
    fn of(at: usize, key: (Together, bool), run: &Run) -> Self {
        let mut group = Self { range: at..at, key, rows: 0, bytes: 0, largest: 0 };
        group.take(run);
        group
    }

    fn has_room(&self, run: &Run, rules: &MergeRules) -> bool {
        self.rows.saturating_add(rows_of(run)) <= rules.rows_max
            && self.bytes.saturating_add(run.log_bytes.unwrap_or_default()) <= rules.bytes_max
            && self.range.len() < RUNS_MAX
    }

    fn take(&mut self, run: &Run) {
        self.range.end = self.range.end.saturating_add(1);
        self.rows = self.rows.saturating_add(rows_of(run));
        self.bytes = self.bytes.saturating_add(run.log_bytes.unwrap_or_default());
        self.largest = self.largest.max(rows_of(run));
    }

    /// A few rows that came later to a day that is merged wait for their month.
    fn is_worth_it(&self) -> bool {
        let others = self.rows.saturating_sub(self.largest);
        let worth =
            matches!(self.key.0, Together::Month(_)) || self.largest <= others.saturating_mul(TIMES_MAX);
        self.range.len() > 1 && worth
    }
}

fn rows_of(run: &Run) -> u64 {
    run.documents.saturating_add(run.records.unwrap_or_default())
}

/// Whether this file system can do what merging is made of, tried on two empty folders.
fn can_exchange(env: &dyn Env) -> Result<bool, Error> {
    // As deep as the folders of dates, so that what a crash leaves is cleared away with them.
    let above = Path::new(MERGING_DIR).join("trial");
    let (one, other) = (above.join("one"), above.join("other"));
    for folder in [&one, &other] {
        remove_folder(env, folder)?;
        env.create_dir_all(folder)?;
    }
    env.create(&one.join(SUCCESS_FILE))?;
    let linked = env.link(&one.join(SUCCESS_FILE), &other.join(SUCCESS_FILE));
    let can = linked.and_then(|()| env.exchange(&one, &other));
    for folder in [&one, &other] {
        remove_folder(env, folder)?;
    }
    match can {
        Ok(()) => Ok(true),
        Err(error) if error.is_unsupported() => {
            tracing::warn!(%error, "this file system cannot make folders change places: the archive is not merged");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A run that is ready to take the place of others.
struct Merged {
    run: Run,
    new: Vec<FileEntry>,
    replaced: u64,
}

/// Writes the files of these runs as one, and puts together the folders they will lie in. `None`: nothing is touched, as a folder of
/// theirs has changed places in this pass, as somebody has put a folder where only files belong, or as there is a table of a
/// later version.
fn merged(
    env: &dyn Env,
    manifest: &Manifest,
    runs: &[Run],
    touched: &mut BTreeSet<PathBuf>,
    rules: &MergeRules,
) -> Result<Option<Merged>, Error> {
    let Some(mut run) = sum_of(runs) else { return Ok(None) };
    let mut sources: BTreeMap<(&str, &str), Vec<&FileEntry>> = BTreeMap::new();
    for file in runs.iter().flat_map(|run| &run.files) {
        sources.entry((&file.date, &file.table)).or_default().push(file);
    }
    if sources.keys().any(|(_, table)| table.parse::<Table>().is_err()) {
        return Ok(None);
    }
    let many = sources.values().filter(|files| files.len() > 1);
    let folders: BTreeSet<PathBuf> = many.clone().flatten().map(|file| file.folder()).collect();
    for folder in &folders {
        if touched.contains(folder) {
            return Ok(None);
        }
        if env.list(folder)?.iter().any(|entry| entry.is_dir) {
            tracing::warn!(folder = %folder.display(), "a folder inside it: it is not merged");
            return Ok(None);
        }
    }
    leave_room(env, manifest, many.flatten(), rules.free_bytes_min)?;
    env.create_dir_all(Path::new(STAGING_DIR))?;
    let (mut new, mut replaced) = (Vec::new(), BTreeSet::new());
    for ((_, table), files) in &sources {
        match files.as_slice() {
            [one] => run.files.push(FileEntry::clone(one)),
            files => {
                let table: Table = table.parse().map_err(|text: String| Error::new(ErrorKind::Fix, text))?;
                for file in files {
                    as_published(env, file)?;
                    replaced.insert(file.path());
                }
                let file = one_of(env, table, files, (run.first, run.last), rules)?;
                run.files.push(file.clone());
                new.push(file);
            }
        }
    }
    env.sync_dir(Path::new(STAGING_DIR))?;
    for folder in &folders {
        put_together(env, manifest, folder, &new, &replaced)?;
    }
    touched.extend(folders);
    Ok(Some(Merged { run, new, replaced: replaced.len() as u64 }))
}

/// What these runs come to together, without files.
fn sum_of(runs: &[Run]) -> Option<Run> {
    let (head, tail) = (runs.first()?, runs.last()?);
    let mut sum = Run { first: head.first, last: tail.last, records: Some(0), ..Run::default() };
    for run in runs {
        sum.segments.extend(&run.segments);
        sum.damaged.extend(&run.damaged);
        sum.documents = sum.documents.saturating_add(run.documents);
        sum.log_bytes = match (sum.log_bytes, run.log_bytes) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default().saturating_add(other.unwrap_or_default())),
        };
        sum.total_kopecks = sum.total_kopecks.saturating_add(run.total_kopecks);
        sum.items = sum.items.saturating_add(run.items);
        sum.items_kopecks = sum.items_kopecks.saturating_add(run.items_kopecks);
        sum.records = sum.records.map(|it| it.saturating_add(run.records.unwrap_or_default()));
        sum.expired = match (sum.expired, run.expired) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default().saturating_add(other.unwrap_or_default())),
        };
        if let Some((as_of, _)) = run.registers() {
            sum.registers_as_of = Some(as_of);
        }
    }
    sum.received_us = head.received_us.zip(tail.received_us).map(|((first, _), (_, last))| (first, last));
    Some(sum)
}

fn leave_room<'f>(
    env: &dyn Env,
    manifest: &Manifest,
    files: impl Iterator<Item = &'f &'f FileEntry>,
    free_bytes_min: u64,
) -> Result<(), Error> {
    let needed = files.map(|file| file.bytes).fold(free_bytes_min, u64::saturating_add);
    if env.free_bytes()? < needed {
        // What groups before have put aside goes first.
        sweep(env, manifest)?;
    }
    let free = env.free_bytes()?;
    if free < needed {
        return Err(Error::new(ErrorKind::Retry, format!("{free} bytes free, merging wants {needed}")));
    }
    Ok(())
}

/// Writes these files as one into the staging folder, durable, and compares what the disk gives back.
fn one_of(
    env: &dyn Env,
    table: Table,
    files: &[&FileEntry],
    (first, last): (u64, u64),
    rules: &MergeRules,
) -> Result<FileEntry, Error> {
    let date = files.first().map_or("", |file| file.date.as_str());
    let mut entry = FileEntry::new(table, date, file_name(first, last));
    let staged = staged_path(&entry);
    let facts = [("ofd.date", entry.date.clone()), ("ofd.positions", format!("{first}-{last}"))];
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path()).collect();
    let written = rows::merge(env, table, &paths, &staged, rules.file, &facts)?;
    rows::same(env, table, &paths, &staged)?;
    entry.rows = files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
    if written.rows != entry.rows {
        let text = format!("{}: {} rows of {}", staged.display(), written.rows, entry.rows);
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    (entry.bytes, entry.blake3) = (written.bytes, written.blake3);
    let mut has_drives = false;
    for file in files {
        entry.positions.0 = entry.positions.0.min(file.positions.0);
        entry.positions.1 = entry.positions.1.max(file.positions.1);
        // Files of records have no drives.
        if !file.fns.1.is_empty() {
            widen(&mut entry.fns, &file.fns.0, !has_drives);
            widen(&mut entry.fns, &file.fns.1, false);
            has_drives = true;
        }
        if let Some((least, most)) = &file.inns {
            let fresh = entry.inns.is_none();
            let reach = entry.inns.get_or_insert_default();
            widen(reach, least, fresh);
            widen(reach, most, false);
        }
    }
    Ok(entry)
}

/// Puts a folder together under [`MERGING_DIR`], durable: its new files, and all others that stand there but for those that are
/// replaced.
fn put_together(
    env: &dyn Env,
    manifest: &Manifest,
    folder: &Path,
    new: &[FileEntry],
    replaced: &BTreeSet<PathBuf>,
) -> Result<(), Error> {
    let twin = merging_twin(folder);
    debug_assert!(manifest.swapping.is_empty(), "a merge begins when the one before is over");
    // What was put aside in a pass before goes now.
    remove_folder(env, &twin)?;
    env.create_dir_all(&twin)?;
    for entry in env.list(folder)? {
        let path = folder.join(&entry.name);
        if !replaced.contains(&path) {
            env.link(&path, &twin.join(&entry.name))?;
        }
    }
    for file in new.iter().filter(|file| file.folder() == *folder) {
        env.rename(&staged_path(file), &twin.join(&file.name))?;
    }
    env.sync_dir(&twin)?;
    env.sync_dir(Path::new(STAGING_DIR))
}
