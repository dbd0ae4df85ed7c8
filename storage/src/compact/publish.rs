//! Moves checked files into the tree and names them in the manifest; clears away what no manifest names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::write::staged_path;
use crate::columns::Table;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{
    FileEntry, MANIFEST_FILE, MERGING_DIR, Manifest, PARQUET_DIR, Run, STAGING_DIR, SUCCESS_FILE,
};
use crate::places;
use crate::retain::segments::as_published;
use crate::store;

/// What [`sweep`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Parquet files in the tree that no manifest names, and files in staging.
    pub files: u64,
    /// Folders of dates in which nothing is left.
    pub folders: u64,
}

/// The manifest, for the one who will write the next. Makes an empty one in a fresh directory, so that from then on
/// a missing manifest means a lost one.
pub(crate) fn open_for_writing(env: &dyn Env) -> Result<Manifest, Error> {
    if let Some(store) = env.store() {
        return store::publish::open_for_writing(env, store);
    }
    if let Some(mut manifest) = Manifest::load(env)? {
        // The last rename may have happened without having become durable.
        env.sync_dir(Path::new(""))?;
        finish_replacing(env, &mut manifest)?;
        finish_swapping(env, &mut manifest)?;
        return Ok(manifest);
    }
    for table in Table::ALL {
        if let Some(path) = parquet_files(env, table)?.first() {
            return Err(Error::new(
                ErrorKind::Fix,
                format!(
                    "{MANIFEST_FILE} is missing while {} exists: put the manifest back, or move {PARQUET_DIR}/ \
                     away and compact again",
                    path.display()
                ),
            ));
        }
    }
    let mut manifest = Manifest::default();
    manifest.store(env)?;
    Ok(manifest)
}

/// Publishes a run: renames, syncs, marks, indexes, commits. After an error or a crash in between the next [`sweep`] undoes it.
pub(crate) fn publish(env: &dyn Env, manifest: &mut Manifest, run: Run) -> Result<(), Error> {
    if let Some(store) = env.store() {
        return store::publish::publish(env, store, manifest, run);
    }
    put_in_place(env, manifest, run)?;
    commit(env, manifest)
}

/// The same for a folder that is searched by nobody: there is no index of it.
pub(crate) fn publish_plain(env: &dyn Env, manifest: &mut Manifest, run: Run) -> Result<(), Error> {
    put_in_place(env, manifest, run)?;
    manifest.store(env)
}

/// Stores the manifest, the index before it, so that nobody who reads the one lacks the other.
pub(crate) fn commit(env: &dyn Env, manifest: &mut Manifest) -> Result<(), Error> {
    places::cover(env, manifest)?;
    manifest.store(env)?;
    places::tidy(env, manifest)
}

fn put_in_place(env: &dyn Env, manifest: &mut Manifest, run: Run) -> Result<(), Error> {
    let mut folders = BTreeSet::new();
    for file in &run.files {
        let folder = file.folder();
        env.create_dir_all(&folder)?;
        env.rename(&staged_path(file), &file.path())?;
        folders.insert(folder);
    }
    for folder in &folders {
        let mark = folder.join(SUCCESS_FILE);
        if !env.exists(&mark)? {
            env.create(&mark)?.sync_all()?;
        }
        env.sync_dir(folder)?;
    }
    if !folders.is_empty() {
        env.sync_dir(Path::new(STAGING_DIR))?;
    }
    manifest.compacted_through = run.last;
    manifest.runs.push(run);
    Ok(())
}

/// Puts a run in the place of the one with the same positions. Its new files are staged and checked; those that stay as
/// they are stand in both runs. The manifest tells first what is about to happen, so that a crash leaves every file as the
/// one run or the other names it, and the next owner goes on from there.
pub(crate) fn replace(env: &dyn Env, manifest: &mut Manifest, run: Run) -> Result<(), Error> {
    if let Some(store) = env.store() {
        return store::publish::replace(env, store, manifest, run);
    }
    manifest.replacing = Some(run);
    manifest.store(env)?;
    finish_replacing(env, manifest)
}

/// Finishes what [`replace`] has begun, in this process or in one that ended.
fn finish_replacing(env: &dyn Env, manifest: &mut Manifest) -> Result<(), Error> {
    let Some(new) = manifest.replacing.clone() else { return Ok(()) };
    let Some(old) = manifest.runs.iter_mut().find(|run| (run.first, run.last) == (new.first, new.last))
    else {
        let (first, last) = (new.first, new.last);
        let text = format!("{MANIFEST_FILE}: run {first}..={last} replaces none");
        return Err(Error::new(ErrorKind::Corrupt, text));
    };
    let mut folders = BTreeSet::new();
    for file in &new.files {
        if env.exists(&staged_path(file))? {
            env.create_dir_all(&file.folder())?;
            env.rename(&staged_path(file), &file.path())?;
            folders.insert(file.folder());
        } else if !old.files.contains(file) {
            // It was moved before; a file that is neither here nor there must not be committed.
            as_published(env, file)?;
            folders.insert(file.folder());
        }
    }
    let kept: BTreeSet<PathBuf> = new.files.iter().map(FileEntry::path).collect();
    for file in old.files.iter().filter(|file| !kept.contains(&file.path())) {
        if env.exists(&file.path())? {
            env.remove(&file.path())?;
        }
        folders.insert(file.folder());
    }
    for folder in folders.iter().filter(|folder| kept.iter().any(|path| path.starts_with(folder))) {
        let mark = folder.join(SUCCESS_FILE);
        if !env.exists(&mark)? {
            env.create(&mark)?.sync_all()?;
        }
    }
    for folder in &folders {
        if env.exists(folder)? {
            env.sync_dir(folder)?;
        }
    }
    if env.exists(Path::new(STAGING_DIR))? {
        env.sync_dir(Path::new(STAGING_DIR))?;
    }
    *old = new;
    manifest.replacing = None;
    commit(env, manifest)
}

/// Puts runs that follow each other into one. Files that both name stay where they are; each folder with others was put
/// together anew under [`MERGING_DIR`], durable. The manifest tells first what is about to happen; from then on our readers
/// find the new files there, and those who read by pattern see a folder before or after it has changed places.
pub(crate) fn merge(
    env: &dyn Env,
    manifest: &mut Manifest,
    run: Run,
    new: &[FileEntry],
) -> Result<(), Error> {
    let (first, last) = (run.first, run.last);
    let from = manifest.runs.partition_point(|it| it.first < first);
    let to = manifest.runs.partition_point(|it| it.last <= last);
    manifest.runs.splice(from..to, [run]);
    manifest.swapping = new.iter().map(FileEntry::path).collect();
    places::cover(env, manifest)?;
    manifest.store(env)?;
    finish_swapping(env, manifest)?;
    places::tidy(env, manifest)
}

/// Finishes what [`merge`] has begun, in this process or in one that ended.
fn finish_swapping(env: &dyn Env, manifest: &mut Manifest) -> Result<(), Error> {
    if manifest.swapping.is_empty() {
        return Ok(());
    }
    // By its new files: another one may be missing from either folder, which is for `verify` to tell.
    for file in &manifest.swapping {
        let (twin, folder) = (merging_twin(file), file.parent().unwrap_or(file));
        let aside = twin.parent().unwrap_or(&twin);
        if !env.exists(file)? {
            if !env.exists(&twin)? {
                let text = format!("{} is neither in its place nor in {}", file.display(), aside.display());
                return Err(Error::new(ErrorKind::Corrupt, text));
            }
            env.exchange(aside, folder)?;
        }
        for above in [aside.parent(), folder.parent()].into_iter().flatten() {
            env.sync_dir(above)?;
        }
    }
    manifest.swapping.clear();
    manifest.store(env)
}

/// Where a folder of the tree is put together anew, or a file in it.
pub(crate) fn merging_twin(path: &Path) -> PathBuf {
    Path::new(MERGING_DIR).join(path.strip_prefix(PARQUET_DIR).unwrap_or(path))
}

/// Removes a folder with its files, if it is there.
pub(crate) fn remove_folder(env: &dyn Env, folder: &Path) -> Result<(), Error> {
    if !env.exists(folder)? {
        return Ok(());
    }
    for entry in list(env, folder)? {
        env.remove(&folder.join(&entry.name))?;
    }
    env.remove_dir(folder)?;
    folder.parent().map_or(Ok(()), |above| env.sync_dir(above))
}

/// Removes what an unfinished run left: all of staging, what a merge has put aside, and files of ours in the tree that the manifest does not
/// name. Files that do not look like ours are left alone.
///
/// Run by the owner of the directory only.
///
/// # Errors
/// Of the system.
pub fn sweep(env: &dyn Env, manifest: &Manifest) -> Result<Swept, Error> {
    let named: BTreeSet<PathBuf> = manifest
        .runs
        .iter()
        .chain(&manifest.replacing)
        .flat_map(|run| &run.files)
        .map(FileEntry::path)
        .collect();
    let mut swept = Swept::default();
    for entry in list(env, Path::new(STAGING_DIR))? {
        if !entry.is_dir && manifest.replacing.is_none() {
            env.remove(&Path::new(STAGING_DIR).join(&entry.name))?;
            swept.files = swept.files.saturating_add(1);
        }
    }
    if env.store().is_some() {
        // What lies there and is not named was removed when the manifest was opened, or is in the manifest as leaving.
        return Ok(swept);
    }
    if manifest.swapping.is_empty() {
        for table in list(env, Path::new(MERGING_DIR))?.iter().filter(|it| it.is_dir) {
            let above = Path::new(MERGING_DIR).join(&table.name);
            for folder in list(env, &above)?.iter().filter(|it| it.is_dir) {
                remove_folder(env, &above.join(&folder.name))?;
            }
        }
    }
    for table in Table::ALL {
        for folder in date_folders(env, table)? {
            sweep_folder(env, &folder, &named, &mut swept)?;
        }
    }
    Ok(swept)
}

fn sweep_folder(
    env: &dyn Env,
    folder: &Path,
    named: &BTreeSet<PathBuf>,
    swept: &mut Swept,
) -> Result<(), Error> {
    let entries = env.list(folder)?;
    let (mut kept, mut removed, mut marked) = (0_u64, 0_u64, false);
    for entry in &entries {
        let path = folder.join(&entry.name);
        if entry.name == SUCCESS_FILE {
            marked = true;
        } else if is_ours(&entry.name) && !named.contains(&path) {
            env.remove(&path)?;
            removed = removed.saturating_add(1);
        } else {
            kept = kept.saturating_add(1);
        }
    }
    swept.files = swept.files.saturating_add(removed);
    if kept == 0 {
        if marked {
            env.remove(&folder.join(SUCCESS_FILE))?;
        }
        env.remove_dir(folder)?;
        if let Some(above) = folder.parent() {
            env.sync_dir(above)?;
        }
        swept.folders = swept.folders.saturating_add(1);
    } else if removed > 0 {
        env.sync_dir(folder)?;
    }
    Ok(())
}

pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("p-") && name.ends_with(".parquet")
}

/// Files of ours in the tree of a table.
fn parquet_files(env: &dyn Env, table: Table) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for folder in date_folders(env, table)? {
        let entries = env.list(&folder)?;
        files.extend(
            entries.iter().filter(|entry| is_ours(&entry.name)).map(|entry| folder.join(&entry.name)),
        );
    }
    Ok(files)
}

fn date_folders(env: &dyn Env, table: Table) -> Result<Vec<PathBuf>, Error> {
    let root = Path::new(PARQUET_DIR).join(table.name());
    let entries = list(env, &root)?;
    let folders = entries.iter().filter(|entry| entry.is_dir && entry.name.starts_with("date="));
    Ok(folders.map(|entry| root.join(&entry.name)).collect())
}

/// The names in a folder; none when it is not there.
fn list(env: &dyn Env, folder: &Path) -> Result<Vec<crate::env::DirEntry>, Error> {
    match env.list(folder) {
        Ok(entries) => Ok(entries),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
