//! The index of the archive: which of its files hold a document, without opening the others.
//!
//! ```text
//! drive, number ─▶ files of `containers`, first row and rows of the drive in each ─┐ read by their pages alone,
//! printed sign  ─▶ files of `documents`                                           ─┘ and every row is checked there
//! ```
//!
//! Every day's file reaches over nearly all drives, so that without this a search would open each of them. Index files
//! lie in `DIR/archive-index/`, two sorted trees each (`places/file.rs`), and hold nothing that the Parquet files do not.
//! A file of the archive is *covered* when an index file names it, by its path and the hash of its contents that stands in the
//! manifest. What is not covered is searched as if there were no index; entries of files that the manifest does not name are
//! passed over. So an index that is missing, older or newer than the manifest costs time and no answer, and nothing has to be
//! replaced together with the manifest.
//!
//! - Before a run is named in the manifest, an index file over its new files is written (`cover`); afterwards what covers
//!   nothing any more goes, and small files become larger ones, eight to one (`tidy`). The number of files so grows with the
//!   logarithm of the archive.
//! - Memory: of a reader 16 bytes a covered file and a page of each level; of the writer a million rows.
//! - A page that does not hold is passed over too: its files are searched without it. `tidy` reads a part of all pages
//!   each time, so that a damaged file is found and made again.
//!
//! Invariants, with the test that holds each:
//! - what the files hold is found, whatever was compacted, merged, thinned out or lost of the index: `tests/places.rs`,
//!   `an_index_of_any_state_finds_what_all_files_hold`;
//! - a crash at any disk change of it costs no answer: `tests/places.rs`, `a_power_cut_at_any_change_hides_no_document`;
//! - a file that cannot hold a document is not opened: `tests/places.rs`, `files_without_the_document_are_not_opened`.

mod file;
mod page;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use arrow_array::Int64Array;
use arrow_array::cast::AsArray;

use self::file::{Id, PlacesFile, PlacesWriter, Scan, id_of};
use self::page::{Place, Tree};
use crate::columns::Table;
use crate::columns::read::{column, damaged, each_batch};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Manifest};

/// Folder of the index in the data directory.
pub const PLACES_DIR: &str = "archive-index";
/// Rows of files that are indexed at once; bounds the memory of it to some 50 bytes a row.
const ROWS_AT_ONCE: u64 = 1 << 20;
/// So many files of one size become one; sizes are powers of eight.
const MERGED: usize = 8;
/// Files of more pages stay as they are: 16 GiB.
const PAGES_MAX: u32 = 4 << 20;
/// Pages that are read through each time the index is tidied.
const PAGES_CHECKED: u32 = 256;

/// A file of the manifest: number of its run, and in it.
type At = (usize, usize);

/// A file of the archive that may hold a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder<'m> {
    pub(crate) file: &'m FileEntry,
    /// The rows, where the index knows them.
    pub(crate) rows: Option<Vec<Range<usize>>>,
}

/// How large the index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexSize {
    /// Index files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the archive that they cover.
    pub covered: u64,
    /// Runs: a drive in a file of `containers`.
    pub runs: u64,
    /// Bytes of the pages with runs and above them.
    pub runs_bytes: u64,
    /// Signs in files of `documents`.
    pub signs: u64,
    /// Bytes of the pages with signs and above them.
    pub signs_bytes: u64,
}

/// How large the index in this directory is.
///
/// # Errors
/// Of the system.
pub fn size(env: &dyn Env) -> Result<IndexSize, Error> {
    let mut size = IndexSize::default();
    for file in open_all(env)?.0 {
        let [runs, signs] = [Tree::Runs, Tree::Signs].map(|tree| file.bytes(tree));
        size.files = size.files.saturating_add(1);
        size.covered = size.covered.saturating_add(file.covered().len() as u64);
        size.runs = size.runs.saturating_add(file.entries(Tree::Runs));
        size.signs = size.signs.saturating_add(file.entries(Tree::Signs));
        size.runs_bytes = size.runs_bytes.saturating_add(runs);
        size.signs_bytes = size.signs_bytes.saturating_add(signs);
        size.bytes = size.bytes.saturating_add(file.len());
    }
    Ok(size)
}

/// An index file as one manifest sees it.
struct Opened {
    file: PlacesFile,
    /// Where the files that it covers stand in the manifest; `None`: not there, or covered by another.
    live: Vec<Option<At>>,
}

impl Opened {
    fn at(&self, place: &Place) -> Option<At> {
        self.live.get(usize::try_from(place.file).ok()?).copied().flatten()
    }

    fn covers(&self) -> usize {
        self.live.iter().flatten().count()
    }
}

/// The index, as far as it fits one manifest.
#[derive(Default)]
pub(crate) struct Index {
    files: Vec<Opened>,
    /// Files of `containers` and `documents` that no index file covers.
    uncovered: Vec<At>,
    /// Files in the folder that are none of ours, or not whole.
    useless: Vec<PathBuf>,
}

/// The drive as a key: its sixteen digits, of whatever else it is a hash. Two drives may have one key; rows tell them apart.
fn drive_key(drive: &str) -> u64 {
    let digits = drive.len() == 16 && drive.bytes().all(|byte| byte.is_ascii_digit());
    match u64::from_str_radix(drive, 16) {
        Ok(key) if digits => key,
        _ => blake3::hash(drive.as_bytes()).as_bytes().first_chunk().map_or(0, |it| u64::from_le_bytes(*it)),
    }
}

/// Whether the table is one that the index covers.
fn is_indexed(file: &FileEntry) -> bool {
    [Table::Containers, Table::Documents].iter().any(|table| table.name() == file.table)
}

fn entry(manifest: &Manifest, (run, file): At) -> Option<&FileEntry> {
    manifest.runs.get(run)?.files.get(file)
}

impl Index {
    /// Opens what lies in the folder.
    ///
    /// # Errors
    /// Of the system. What is damaged is no error.
    pub(crate) fn open(env: &dyn Env, manifest: &Manifest) -> Result<Self, Error> {
        let mut at: BTreeMap<Id, At> = BTreeMap::new();
        for (number, run) in manifest.runs.iter().enumerate() {
            let files = run.files.iter().enumerate().filter(|(_, file)| is_indexed(file));
            at.extend(files.map(|(of_run, file)| (id_of(file), (number, of_run))));
        }
        let (mut files, mut useless) = open_all(env)?;
        // What two of them cover the larger one answers for.
        files.sort_by_key(|file| Reverse(file.covered().len()));
        let mut index = Self::default();
        for file in files {
            let live: Vec<_> = file.covered().iter().map(|id| at.remove(id)).collect();
            index.files.push(Opened { file, live });
        }
        index.uncovered = at.into_values().collect();
        // In the order of the manifest, as every search has always gone.
        index.uncovered.sort_unstable();
        index.useless.append(&mut useless);
        Ok(index)
    }

    /// The files of `containers` that may hold documents of a drive under these numbers, in the order of the manifest.
    pub(crate) fn of_drive<'m>(
        &self,
        manifest: &'m Manifest,
        drive: &str,
        numbers: &RangeInclusive<u32>,
    ) -> Vec<Holder<'m>> {
        let mut found: BTreeMap<At, Option<Vec<Range<usize>>>> =
            self.uncovered.iter().map(|at| (*at, None)).collect();
        self.ask(Tree::Runs, drive_key(drive), numbers, &mut |at, place| {
            let Some(place) = place else {
                found.insert(at, None);
                return;
            };
            let [row, rows] = [place.row, place.rows].map(|it| usize::try_from(it).unwrap_or(usize::MAX));
            if let Some(ranges) = found.entry(at).or_insert_with(|| Some(Vec::new())) {
                ranges.push(row..row.saturating_add(rows));
            }
        });
        let holder = |(at, rows)| Some(Holder { file: entry(manifest, at)?, rows });
        let of_containers = |it: &Holder<'_>| it.file.table == Table::Containers.name();
        found.into_iter().filter_map(holder).filter(of_containers).collect()
    }

    /// The files of `documents` that may hold some of a drive under these numbers: those beside the files of `containers` that
    /// do. One without its like beside it may hold anything.
    pub(crate) fn documents_of_drive<'m>(
        &self,
        manifest: &'m Manifest,
        drive: &str,
        numbers: &RangeInclusive<u32>,
    ) -> Vec<&'m FileEntry> {
        let name = |file: &'m FileEntry| (file.date.as_str(), file.name.as_str());
        let holders = self.of_drive(manifest, drive, numbers);
        let holders: BTreeSet<_> = holders.iter().map(|it| name(it.file)).collect();
        let mut found = Vec::new();
        for run in &manifest.runs {
            let of = |table: Table| run.files.iter().filter(move |file| file.table == table.name());
            let beside: BTreeMap<_, u64> = of(Table::Containers).map(|it| (name(it), it.rows)).collect();
            found.extend(
                of(Table::Documents).filter(|file| {
                    beside.get(&name(file)) != Some(&file.rows) || holders.contains(&name(file))
                }),
            );
        }
        found
    }

    /// The files of `documents` that may hold one with this sign.
    pub(crate) fn of_sign<'m>(&self, manifest: &'m Manifest, sign: u32) -> Vec<&'m FileEntry> {
        let mut found = self.uncovered.clone();
        self.ask(Tree::Signs, u64::from(sign), &(0..=0), &mut |at, _| found.push(at));
        found.sort_unstable();
        found.dedup();
        let files = found.into_iter().filter_map(|at| entry(manifest, at));
        files.filter(|file| file.table == Table::Documents.name()).collect()
    }

    /// Hands the live entries of a key to `each`; of an index file that is damaged every file that it covers, without one.
    fn ask(
        &self,
        tree: Tree,
        key: u64,
        numbers: &RangeInclusive<u32>,
        each: &mut dyn FnMut(At, Option<Place>),
    ) {
        for opened in &self.files {
            let asked = opened.file.get(tree, key, numbers, &mut |place| {
                if let Some(at) = opened.at(&place) {
                    each(at, Some(place));
                }
            });
            // Nothing that is wrong with an index is a reason not to answer.
            if let Err(error) = asked {
                tracing::warn!(%error, "an index file cannot be read, its files are searched without it");
                opened.live.iter().flatten().for_each(|at| each(*at, None));
            }
        }
    }
}

/// Every whole index file, and the paths of what is none.
fn open_all(env: &dyn Env) -> Result<(Vec<PlacesFile>, Vec<PathBuf>), Error> {
    let mut tries = 0;
    loop {
        let names = match env.list(Path::new(PLACES_DIR)) {
            Err(error) if error.is_not_found() => return Ok(Default::default()),
            names => names?,
        };
        let (mut files, mut useless, mut gone) = (Vec::new(), Vec::new(), false);
        for name in names {
            let path = Path::new(PLACES_DIR).join(&name.name);
            if !name.name.ends_with(".places") {
                useless.push(path);
                continue;
            }
            match PlacesFile::open(env, path.clone()) {
                Ok(file) => files.push(file),
                Err(error) if error.is_not_found() => gone = true,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "an index file of the archive is made again");
                    useless.push(path);
                }
                Err(error) => return Err(error),
            }
        }
        // Files that became one while we looked: that one stands there now.
        tries += 1;
        if !gone || tries == 3 {
            return Ok((files, useless));
        }
    }
}

/// Writes index files over what a manifest names and none covers. Run by the owner, before the manifest is stored.
///
/// # Errors
/// Of the system. A Parquet file that cannot be read stays uncovered, for `verify` to tell.
pub(crate) fn cover(env: &dyn Env, manifest: &Manifest) -> Result<(), Error> {
    let index = Index::open(env, manifest)?;
    let mut waiting = index.uncovered.iter().filter_map(|at| entry(manifest, *at)).peekable();
    while waiting.peek().is_some() {
        let mut draft = Draft::default();
        let mut rows = 0_u64;
        while let Some(file) =
            waiting.next_if(|file| rows == 0 || rows.saturating_add(file.rows) <= ROWS_AT_ONCE)
        {
            rows = rows.saturating_add(file.rows.max(1));
            match draft.take(env, file) {
                Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
                    tracing::warn!(%error, "a file of the archive cannot be indexed");
                }
                taken => taken?,
            }
        }
        draft.write(env)?;
    }
    Ok(())
}

/// Entries of some files, on their way into an index file.
#[derive(Default)]
struct Draft {
    covered: Vec<Id>,
    runs: Vec<Place>,
    /// Sign and file.
    signs: Vec<(u32, u32)>,
}

impl Draft {
    fn take(&mut self, env: &dyn Env, file: &FileEntry) -> Result<(), Error> {
        let number = u32::try_from(self.covered.len()).unwrap_or(u32::MAX);
        let before = (self.runs.len(), self.signs.len());
        let taken = match file.table == Table::Containers.name() {
            true => self.take_runs(env, file, number),
            false => self.take_signs(env, file, number),
        };
        match taken {
            Ok(()) => self.covered.push(id_of(file)),
            Err(_) => {
                self.runs.truncate(before.0);
                self.signs.truncate(before.1);
            }
        }
        taken
    }

    fn take_runs(&mut self, env: &dyn Env, file: &FileEntry, number: u32) -> Result<(), Error> {
        let path = file.path();
        let (mut row, mut drive, mut run) = (0_u32, String::new(), None::<Place>);
        let runs = &mut self.runs;
        each_batch(env, &path, &["fn", "fd"], |batch| {
            let drives = batch.column_by_name("fn").and_then(|array| array.as_string_opt::<i32>());
            let drives = drives.ok_or_else(|| damaged(&path, "no column fn"))?;
            let numbers = column::<Int64Array>(batch, &path, "fd")?;
            for at in 0..batch.num_rows() {
                let fd = u32::try_from(numbers.value(at)).map_err(|error| damaged(&path, error))?;
                match &mut run {
                    Some(run) if drive == drives.value(at) => {
                        (run.first, run.last) = (run.first.min(fd), run.last.max(fd));
                        run.rows = run.rows.saturating_add(1);
                    }
                    _ => {
                        drives.value(at).clone_into(&mut drive);
                        let key = drive_key(&drive);
                        runs.extend(run.replace(Place {
                            key,
                            first: fd,
                            last: fd,
                            file: number,
                            row,
                            rows: 1,
                        }));
                    }
                }
                row = row.checked_add(1).ok_or_else(|| damaged(&path, "too many rows"))?;
            }
            Ok(())
        })?;
        runs.extend(run);
        Ok(())
    }

    fn take_signs(&mut self, env: &dyn Env, file: &FileEntry, number: u32) -> Result<(), Error> {
        let path = file.path();
        let signs = &mut self.signs;
        each_batch(env, &path, &["fpd"], |batch| {
            let column = column::<Int64Array>(batch, &path, "fpd")?;
            for sign in column.iter().flatten() {
                signs.push((u32::try_from(sign).map_err(|error| damaged(&path, error))?, number));
            }
            Ok(())
        })
        .map(drop)
    }

    fn write(mut self, env: &dyn Env) -> Result<(), Error> {
        if self.covered.is_empty() {
            return Ok(());
        }
        self.runs.sort_unstable();
        self.signs.sort_unstable();
        self.signs.dedup();
        env.create_dir_all(Path::new(PLACES_DIR))?;
        let mut writer = PlacesWriter::create(env, &self.covered)?;
        for run in &self.runs {
            writer.push(run)?;
        }
        writer.end_of_runs()?;
        for &(sign, file) in &self.signs {
            writer.push(&Place { key: u64::from(sign), file, ..Place::default() })?;
        }
        writer.finish().map(drop)
    }
}

/// Removes what covers nothing that the manifest names, and makes larger files of small ones. Run by the owner, after the
/// manifest was stored.
///
/// # Errors
/// Of the system.
pub(crate) fn tidy(env: &dyn Env, manifest: &Manifest) -> Result<(), Error> {
    let mut index = Index::open(env, manifest)?;
    let mut files = std::mem::take(&mut index.files);
    let mut useless = std::mem::take(&mut index.useless);
    useless.extend(
        files.extract_if(.., |it| it.covers() == 0 || !holds(it, manifest)).map(|it| it.file.path().into()),
    );
    while let Some(few) = to_merge(&mut files) {
        match merge(env, &few) {
            Ok(Some(path)) => {
                useless.extend(few.iter().map(|it| it.file.path().to_owned()).filter(|it| *it != path));
                let file = PlacesFile::open(env, path)?;
                // The live ones in the order in which they were taken.
                let live =
                    few.iter().flat_map(|it| it.live.iter().copied().filter(Option::is_some)).collect();
                files.push(Opened { file, live });
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "index files of the archive are made again");
                useless.extend(few.iter().map(|it| it.file.path().to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    for path in useless {
        env.remove(&path)?;
    }
    Ok(())
}

/// Reads a part of a file, another one each time; false: it does not hold, and everything it covers has to be covered again.
fn holds(opened: &Opened, manifest: &Manifest) -> bool {
    let pages = opened.file.pages();
    let parts = pages.div_ceil(PAGES_CHECKED).max(1);
    let part = u32::try_from(manifest.compacted_through.checked_rem(u64::from(parts)).unwrap_or_default());
    let from = part.unwrap_or_default().saturating_mul(PAGES_CHECKED);
    match opened.file.check(from..from.saturating_add(PAGES_CHECKED).min(pages)) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "an index file of the archive is made again");
            false
        }
    }
}

/// Takes the files out that should become one.
fn to_merge(files: &mut Vec<Opened>) -> Option<Vec<Opened>> {
    let size = |it: &Opened| match it.file.pages() {
        pages if pages > PAGES_MAX => None,
        pages => Some(pages.checked_ilog(8).unwrap_or(0)),
    };
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for size in files.iter().filter_map(size) {
        *counts.entry(size).or_default() += 1;
    }
    // Those that are smaller go with them.
    if let Some((&most, _)) = counts.iter().find(|(_, count)| **count >= MERGED) {
        return Some(files.extract_if(.., |it| size(it).is_some_and(|size| size <= most)).collect());
    }
    let half_dead = |it: &Opened| it.live.len() > MERGED && it.covers().saturating_mul(2) < it.live.len();
    let at = files.iter().position(half_dead)?;
    Some(vec![files.swap_remove(at)])
}

/// Writes the live entries of these files as one; `None`: there are none.
fn merge(env: &dyn Env, files: &[Opened]) -> Result<Option<PathBuf>, Error> {
    let mut covered: Vec<Id> = Vec::new();
    let mut renumbered: Vec<Vec<Option<u32>>> = Vec::new();
    for opened in files {
        let mut of_file = Vec::with_capacity(opened.live.len());
        for (id, live) in opened.file.covered().iter().zip(&opened.live) {
            of_file.push(live.map(|_| u32::try_from(covered.len()).unwrap_or(u32::MAX)));
            covered.extend(live.map(|_| *id));
        }
        renumbered.push(of_file);
    }
    if covered.is_empty() {
        return Ok(None);
    }
    let mut writer = PlacesWriter::create(env, &covered)?;
    for tree in [Tree::Runs, Tree::Signs] {
        if tree == Tree::Signs {
            writer.end_of_runs()?;
        }
        let mut scans: Vec<(Scan<'_>, &Vec<Option<u32>>)> =
            files.iter().map(|it| it.file.scan(tree)).zip(&renumbered).collect();
        let mut heap = BinaryHeap::with_capacity(scans.len());
        for (at, (scan, numbers)) in scans.iter_mut().enumerate() {
            heap.extend(next_live(scan, numbers)?.map(|place| Reverse((place, at))));
        }
        while let Some(Reverse((place, at))) = heap.pop() {
            writer.push(&place)?;
            if let Some((scan, numbers)) = scans.get_mut(at) {
                heap.extend(next_live(scan, numbers)?.map(|place| Reverse((place, at))));
            }
        }
    }
    writer.finish().map(Some)
}

fn next_live(scan: &mut Scan<'_>, numbers: &[Option<u32>]) -> Result<Option<Place>, Error> {
    while let Some(place) = scan.next()? {
        let number = usize::try_from(place.file).ok().and_then(|at| numbers.get(at)).copied().flatten();
        if let Some(file) = number {
            return Ok(Some(Place { file, ..place }));
        }
    }
    Ok(None)
}

fn corrupt(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: {what}", path.display()))
}
