//! Publishing into an object store.
//!
//! An object store has no rename and no lock. What takes their place:
//!
//! - **Names are never used twice.** Every publication puts a number made by chance into the names of its files, so that a put
//!   that arrives late replaces nothing, and a reader with an older manifest finds what it names.
//! - **One conditional put commits**: the manifest is replaced only if it is the one that this owner has read or written last.
//!   It carries a number that grows, so that no two manifests have the same bytes. Of two writers one is refused.
//! - **A put whose answer is lost** may have happened, may never happen, may happen later. Before it the owner notes its
//!   checksum ([`Memory::pending`]); the next owner asks the store which of the two manifests stands there, and if it is the
//!   old one he replaces it by one like it with the next number: from then on the lost put can no longer succeed. Only then
//!   are its files removed.
//! - **The manifest in the directory** is what was committed: it is written behind the commit. Readers here go by it, so that
//!   they ask the store for files alone, and a store that is away is no reason not to start.
//! - **What leaves stays for a while**: files that the manifest no longer names are noted in it with the time, and removed
//!   [`LEAVING_GRACE_US`] later, for those who read by the manifest of before.
//!
//! Files that no manifest has ever named are removed by the next owner: their names are noted before the first of them is put
//! ([`Memory::uploading`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::Store;
use super::place::{Memory, PLACE_FILE};
use crate::compact::publish::{commit as index_and_commit, is_ours};
use crate::compact::write::staged_path;
use crate::env::{Env, replace_file};
use crate::error::{Error, ErrorKind};
use crate::manifest::{
    FileEntry, Leaving, MANIFEST_FILE, MANIFEST_LEN_MAX, Manifest, PARQUET_DIR, Run, SUCCESS_FILE,
};
use crate::position::Lsn;
use crate::retain::segments::as_published;

/// How long a file stays that the manifest no longer names, µs: an hour.
pub(crate) const LEAVING_GRACE_US: i64 = 3_600_000_000;

/// The manifest, for the one who will write the next: what was unfinished is finished or undone first.
pub(crate) fn open_for_writing(env: &dyn Env, store: &dyn Store) -> Result<Manifest, Error> {
    let mut memory = memory(env)?;
    let here = Manifest::load(env)?;
    let there = committed(store)?;
    let mut manifest = match (here, there) {
        (here, None) => first(env, store, here)?,
        (here, Some(there)) => {
            let writer = there.stored.as_ref().map(|it| it.writer.as_str());
            let known = here.as_ref().is_some_and(|it| it.checksum == there.checksum);
            let awaited = memory.pending.contains(&there.checksum);
            if writer != Some(&memory.writer) || !(known || awaited) {
                return Err(foreign(store, &there, &memory, here.as_ref()));
            }
            let mut manifest = there;
            if !known {
                manifest.store_here(env)?;
            }
            if awaited {
                // The others that were to replace the same one find another than they expect.
                memory.pending.clear();
                memory.save(env)?;
            } else if !memory.pending.is_empty() {
                // And so do those that are on their way.
                manifest.store(env)?;
                memory = self::memory(env)?;
            }
            manifest
        }
    };
    undo(store, &manifest, &mut memory, env)?;
    remove_what_has_left(env, store, &mut manifest)?;
    Ok(manifest)
}

/// The manifest in the store, as it was put.
fn committed(store: &dyn Store) -> Result<Option<Manifest>, Error> {
    let Some((bytes, version)) = store.get(Path::new(MANIFEST_FILE), MANIFEST_LEN_MAX)? else {
        return Ok(None);
    };
    let mut manifest = Manifest::parse(&bytes)?;
    manifest.at = Some(version);
    Ok(Some(manifest))
}

/// The first manifest of an archive. That there is none is believed where none was committed, and no file of ours lies there.
fn first(env: &dyn Env, store: &dyn Store, here: Option<Manifest>) -> Result<Manifest, Error> {
    let begun = here.is_some_and(|it| it.stored.is_some() || it.compacted_through > 0);
    let lies = store.list(Path::new(PARQUET_DIR), 1)?;
    if begun || !lies.is_empty() {
        let text = format!(
            "{}/{MANIFEST_FILE} is missing while the archive has begun: put it back, or have the archive begin elsewhere",
            store.name()
        );
        return Err(Error::new(ErrorKind::Fix, text));
    }
    let mut manifest = Manifest::default();
    manifest.store(env)?;
    Ok(manifest)
}

fn foreign(store: &dyn Store, there: &Manifest, memory: &Memory, here: Option<&Manifest>) -> Error {
    let name = store.name();
    let (writer, number) = there.stored.as_ref().map_or(("nobody", 0), |it| (&*it.writer, it.number));
    let text = if writer == memory.writer {
        let ours = here.and_then(|it| it.stored.as_ref()).map_or(0, |it| it.number);
        format!(
            "the archive in {name} is at its manifest {number}, this directory at {ours}: the directory or the archive is \
             of another time, or a copy of the directory writes too"
        )
    } else {
        format!(
            "the archive in {name} is written by another directory ({writer}): adopt it when that one is gone for good"
        )
    };
    Error::new(ErrorKind::Fix, text)
}

/// Removes what an unfinished publication has put there.
fn undo(store: &dyn Store, manifest: &Manifest, memory: &mut Memory, env: &dyn Env) -> Result<(), Error> {
    if memory.uploading.is_empty() {
        return Ok(());
    }
    let named: BTreeSet<PathBuf> = paths(&manifest.runs).collect();
    for path in memory.uploading.iter().map(Path::new).filter(|path| !named.contains(*path)) {
        store.remove(path)?;
    }
    memory.uploading.clear();
    memory.save(env)
}

/// Removes files whose time is over; the next commit names them no more.
fn remove_what_has_left(env: &dyn Env, store: &dyn Store, manifest: &mut Manifest) -> Result<(), Error> {
    let Some(stored) = &mut manifest.stored else { return Ok(()) };
    let before = env.now().wall_us.saturating_sub(LEAVING_GRACE_US);
    let folders: BTreeSet<PathBuf> =
        manifest.runs.iter().flat_map(|run| &run.files).map(FileEntry::folder).collect();
    for leaving in stored.leaving.iter().filter(|it| it.since_us < before) {
        store.remove(&leaving.path)?;
        let folder = leaving.path.parent().unwrap_or(Path::new(""));
        if !folders.contains(folder) {
            store.remove(&folder.join(SUCCESS_FILE))?;
        }
    }
    stored.leaving.retain(|it| it.since_us >= before);
    Ok(())
}

fn paths(runs: &[Run]) -> impl Iterator<Item = PathBuf> + '_ {
    runs.iter().flat_map(|run| &run.files).map(FileEntry::path)
}

/// Publishes a run whose files are staged and checked.
pub(crate) fn publish(
    env: &dyn Env,
    store: &dyn Store,
    manifest: &mut Manifest,
    run: Run,
) -> Result<(), Error> {
    let staged: Vec<PathBuf> = run.files.iter().map(staged_path).collect();
    let run = upload(env, store, run, &[])?;
    manifest.compacted_through = run.last;
    manifest.runs.push(run);
    index_and_commit(env, manifest)?;
    forget(env, &staged);
    Ok(())
}

/// Puts a run in the place of the one with the same positions. Files that both name stay; those of the old one leave.
pub(crate) fn replace(
    env: &dyn Env,
    store: &dyn Store,
    manifest: &mut Manifest,
    run: Run,
) -> Result<(), Error> {
    let (first, last) = (run.first, run.last);
    let at = manifest.runs.iter().position(|it| (it.first, it.last) == (first, last));
    let old = at.and_then(|at| manifest.runs.get(at)).cloned().ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, format!("{MANIFEST_FILE}: run {first}..={last} replaces none"))
    })?;
    let staged: Vec<PathBuf> =
        run.files.iter().filter(|it| !old.files.contains(it)).map(staged_path).collect();
    let run = upload(env, store, run, &old.files)?;
    let since_us = env.now().wall_us;
    let gone = old.files.iter().filter(|file| !run.files.contains(file));
    let leaving: Vec<Leaving> = gone.map(|file| Leaving { path: file.path(), since_us }).collect();
    manifest.stored.get_or_insert_default().leaving.extend(leaving);
    for there in manifest.runs.iter_mut().filter(|it| it.first == first) {
        *there = run.clone();
    }
    index_and_commit(env, manifest)?;
    forget(env, &staged);
    Ok(())
}

/// Staged files that are published are not needed here any more; what stays is swept next time.
fn forget(env: &dyn Env, staged: &[PathBuf]) {
    for path in staged {
        if let Err(error) = env.remove(path) {
            tracing::warn!(%error, "a published file stays in the staging folder for now");
        }
    }
}

/// Puts the files of the run there that are not among `kept`, under names that were never used, and compares what the store
/// gives back.
fn upload(env: &dyn Env, store: &dyn Store, mut run: Run, kept: &[FileEntry]) -> Result<Run, Error> {
    let mut memory = memory(env)?;
    let stamp = format!("-{:016x}.parquet", env.random());
    let mut fresh = Vec::new();
    for file in run.files.iter_mut().filter(|file| !kept.contains(file)) {
        let staged = staged_path(file);
        file.name = format!("{}{stamp}", stem(&file.name));
        fresh.push((staged, file.clone()));
    }
    memory.uploading.extend(fresh.iter().map(|(_, file)| file.path().to_string_lossy().into_owned()));
    memory.save(env)?;
    let mut folders = BTreeSet::new();
    for (staged, file) in &fresh {
        store.put(&file.path(), &*env.open_read(staged)?)?;
        folders.insert(file.folder());
    }
    for (_, file) in &fresh {
        as_published(env, file)?;
    }
    let mark = env.create(&Path::new(crate::manifest::STAGING_DIR).join(SUCCESS_FILE))?;
    for folder in &folders {
        store.put(&folder.join(SUCCESS_FILE), &*mark)?;
    }
    Ok(run)
}

/// The name of a file without the number that keeps it from being used twice: that of its run.
pub(crate) fn stem(name: &str) -> &str {
    let bare = name.strip_suffix(".parquet").unwrap_or(name);
    match bare.rsplit_once('-') {
        Some((stem, _)) if bare.matches('-').count() > 2 => stem,
        _ => bare,
    }
}

/// Replaces the manifest in the store, if the one that stands there is the one that this was made from, and then the one in
/// the directory.
pub(crate) fn commit(manifest: &mut Manifest, env: &dyn Env, store: &dyn Store) -> Result<(), Error> {
    let mut memory = memory(env)?;
    let stored = manifest.stored.get_or_insert_default();
    stored.writer.clone_from(&memory.writer);
    stored.number = stored.number.saturating_add(1);
    let bytes = Bytes::from(manifest.seal()?);
    memory.pending.push(manifest.checksum.clone());
    memory.save(env)?;
    let put = match store.put_if(Path::new(MANIFEST_FILE), bytes.clone(), manifest.at.as_ref()) {
        // It may have happened all the same, and a second attempt then met the first one.
        Err(error) => match store.get(Path::new(MANIFEST_FILE), MANIFEST_LEN_MAX) {
            Ok(Some((there, version))) if there == bytes => version,
            // An earlier one of ours has arrived between the look and this.
            Ok(Some((there, _)))
                if Manifest::parse(&there).is_ok_and(|it| memory.pending.contains(&it.checksum)) =>
            {
                return Err(Error::new(ErrorKind::Retry, error.to_string()));
            }
            _ => return Err(error),
        },
        Ok(version) => version,
    };
    manifest.at = Some(put);
    replace_file(env, Path::new(MANIFEST_FILE), &bytes)?;
    memory.pending.clear();
    let named: BTreeSet<PathBuf> = paths(&manifest.runs).collect();
    // What a fence leaves unnamed is removed behind it.
    memory.uploading.retain(|path| !named.contains(Path::new(path)));
    memory.save(env)
}

/// Sees that the manifest in the store is the one that this directory has committed, before anything is removed on its word.
pub(crate) fn confirm(env: &dyn Env, store: &dyn Store, manifest: &Manifest) -> Result<(), Error> {
    match committed(store)? {
        Some(there) if there.checksum == manifest.checksum => Ok(()),
        Some(there) => Err(foreign(store, &there, &memory(env)?, Some(manifest))),
        None if manifest.compacted_through == 0 => Ok(()),
        None => Err(Error::new(ErrorKind::Fix, format!("{}/{MANIFEST_FILE} is missing", store.name()))),
    }
}

/// See [`super::place::adopt`].
pub(crate) fn adopt(env: &dyn Env, store: &dyn Store, durable: Lsn) -> Result<(), Error> {
    let mut memory = memory(env)?;
    let Some(mut manifest) = committed(store)? else {
        return Err(Error::new(ErrorKind::Fix, format!("there is no archive in {}", store.name())));
    };
    if manifest.compacted_through > durable.get() {
        let through = manifest.compacted_through;
        let text = format!(
            "the archive in {} reaches to position {through}, the log ends at {durable}",
            store.name()
        );
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    memory.pending.clear();
    memory.save(env)?;
    // The writer of before finds another manifest than it expects.
    manifest.store(env)?;
    tidy(store, &manifest).map(drop)
}

/// Removes files of ours that no manifest names, such as one whose put came behind its removal; how many. Lists all names:
/// not for every run.
pub(crate) fn tidy(store: &dyn Store, manifest: &Manifest) -> Result<u64, Error> {
    let leaving = manifest.stored.iter().flat_map(|it| &it.leaving).map(|it| it.path.clone());
    let named: BTreeSet<PathBuf> = paths(&manifest.runs).chain(leaving).collect();
    let mut removed = 0_u64;
    for path in store.list(Path::new(PARQUET_DIR), usize::MAX)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_ours(&name) && !named.contains(&path) {
            store.remove(&path)?;
            removed = removed.saturating_add(1);
        }
    }
    Ok(removed)
}

/// Sees that the store answers and holds the archive of this directory, as it was committed or later.
pub(crate) fn reach(store: &dyn Store, manifest: &Manifest) -> Result<(), Error> {
    let there = committed(store)?;
    let Some(ours) = &manifest.stored else { return Ok(()) };
    match there {
        Some(there)
            if there
                .stored
                .as_ref()
                .is_some_and(|it| it.writer == ours.writer && it.number >= ours.number) =>
        {
            Ok(())
        }
        _ => {
            let text =
                format!("the archive in {} is not the one of this directory, or an older one", store.name());
            Err(Error::new(ErrorKind::Corrupt, text))
        }
    }
}

fn memory(env: &dyn Env) -> Result<Memory, Error> {
    Memory::load(env)?.ok_or_else(|| Error::new(ErrorKind::Fix, format!("{PLACE_FILE} is missing")))
}
