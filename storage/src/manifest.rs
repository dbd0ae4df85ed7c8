//! `archive.json`: which Parquet files are the archive, and how far into the log they reach.
//!
//! Our readers take Parquet by this file and the rest of the log by position: the two meet at
//! `compacted_through` and never overlap. A file that is not named here is not part of the archive, whatever
//! its folder says. The manifest is replaced whole (written beside, synced, renamed, directory synced), so a
//! reader sees the state before a run or after it.
//!
//! It carries a checksum of itself: a number changed by a bad disk must not send a reader past records.

mod walk;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::columns::Table;
use crate::columns::find::{self, Found};
use crate::columns::restore::{Restored, each_restored};
use crate::env::{Env, read_file, replace_file};
use crate::error::{Error, ErrorKind};
use crate::places::{self, Holder};
use crate::position::{Lsn, Position};
use crate::record::OwnedRecord;
use crate::store::place::PLACE_FILE;
use crate::store::{Store, Version, publish};

pub use walk::Walk;

/// Name of the manifest in the data directory.
pub const MANIFEST_FILE: &str = "archive.json";
/// Folder where files are written before they are checked and moved into place.
pub const STAGING_DIR: &str = ".staging";
/// Folder of the tables.
pub const PARQUET_DIR: &str = "parquet";
/// Marker in each folder of a date: every file that stands there is whole.
pub const SUCCESS_FILE: &str = "_SUCCESS";
/// Where folders of dates are put together before they change places with those that readers by pattern see.
pub const MERGING_DIR: &str = ".merging";
/// Version of the manifest's shape: what is written. 2 = runs hold every record, of every kind; 3 = runs are merged, and say
/// when their records came.
pub const MANIFEST_VERSION: u32 = 3;
/// The oldest version that is read. A field that it lacks is left out when it is empty, so that the checksum of an old
/// manifest is still that of its bytes.
const MANIFEST_VERSION_MIN: u32 = 1;
/// Longest manifest read, bytes: some 400 bytes a file, a million files.
pub(crate) const MANIFEST_LEN_MAX: u64 = 512 << 20;

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`], or an older one that was read.
    pub version: u32,
    /// Every record up to and with this position has been considered: 0 = nothing yet.
    pub compacted_through: u64,
    /// Runs of compaction, in the order of positions, without gap or overlap.
    pub runs: Vec<Run>,
    /// A run that takes the place of the one with the same positions: its files are on their way into place. Every file of
    /// the two is the old one or the new one, whole; the owner finishes it before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacing: Option<Run>,
    /// Files of the runs that stand under [`MERGING_DIR`] until their folders have changed places with those of the tree; the
    /// owner finishes it before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swapping: Vec<PathBuf>,
    /// Of an archive in an object store: who writes it, and what leaves it. The one in the directory is a copy of what was
    /// committed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<InStore>,
    /// BLAKE3 in hex over this object written with an empty checksum.
    pub checksum: String,
    /// Which of the manifests that stood in the store this was.
    #[serde(skip)]
    pub(crate) at: Option<Version>,
}

/// What the manifest of an archive in an object store says besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InStore {
    /// The directory that writes it: a number made by chance.
    pub writer: String,
    /// Of the manifest, growing by one: no two have the same bytes.
    pub number: u64,
    /// Objects that are no longer named, and will be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<Leaving>,
}

/// An object that no run names any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its path.
    pub path: PathBuf,
    /// Since when, unix µs UTC.
    pub since_us: i64,
}

/// What one run of compaction made: whole sealed segments, and every file of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Segments read.
    pub segments: Vec<u32>,
    /// Stored documents, all variants.
    pub documents: u64,
    /// Positions, first and last of each gap, where the log was damaged and no record could be read.
    pub damaged: Vec<(u64, u64)>,
    /// Sum of `total` over `documents`, kopecks.
    pub total_kopecks: i128,
    /// Rows of `items`.
    pub items: u64,
    /// Sum of `sum` over `items`, kopecks.
    pub items_kopecks: i128,
    /// Rows of `records`; `None` in a run of version 1, which left those records in the log alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// When its first and its last record were received, unix µs UTC; `None` in a run of version 1 or 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_us: Option<(i64, i64)>,
    /// Bytes of its records in the log; `None` in a run of version 1 or 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// Of merged runs: the last record that their newest snapshot of the registers knows. See [`Run::registers`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registers_as_of: Option<u64>,
    /// Documents that have left it after their years; `None`: none has. The numbers above are without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<u64>,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name of the table.
    pub table: String,
    /// `YYYY-MM-DD`.
    pub date: String,
    /// `p-<first>-<last>.parquet`.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Length, bytes.
    pub bytes: u64,
    /// BLAKE3 of the file, hex.
    pub blake3: String,
    /// Smallest and largest position inside; here as below, of the rows it was first published with.
    pub positions: (u64, u64),
    /// Smallest and largest drive number inside.
    pub fns: (String, String),
    /// Smallest and largest INN inside; `None` when no row has one.
    pub inns: Option<(String, String)>,
}

impl Run {
    /// The newest snapshot of the registers in it, and the last record that it knows.
    pub fn registers(&self) -> Option<(u64, &FileEntry)> {
        let files = self.files.iter().filter(|file| file.table == Table::Registers.name());
        let newest = files.max_by(|one, other| one.date.cmp(&other.date))?;
        Some((self.registers_as_of.unwrap_or(self.last), newest))
    }

    /// The files that hold the records themselves, with their tables.
    pub(crate) fn kept_files(&self) -> impl Iterator<Item = (Table, &FileEntry)> {
        let table = |file: &FileEntry| {
            [Table::Containers, Table::Records].into_iter().find(|table| table.name() == file.table)
        };
        self.files.iter().filter_map(move |file| Some((table(file)?, file)))
    }
}

impl FileEntry {
    /// A file with nothing in it yet.
    pub(crate) fn new(table: Table, date: &str, name: String) -> Self {
        Self {
            table: table.name().to_owned(),
            date: date.to_owned(),
            name,
            rows: 0,
            bytes: 0,
            blake3: String::new(),
            positions: (u64::MAX, 0),
            fns: (String::new(), String::new()),
            inns: None,
        }
    }

    /// Folder of the file, in the data directory.
    pub fn folder(&self) -> PathBuf {
        folder(&self.table, &self.date)
    }

    /// Path of the file, in the data directory.
    pub fn path(&self) -> PathBuf {
        self.folder().join(&self.name)
    }
}

/// Folder of a table and date, in the data directory.
pub fn folder(table: &str, date: &str) -> PathBuf {
    Path::new(PARQUET_DIR).join(table).join(format!("date={date}"))
}

/// Name of the file of a run.
pub fn file_name(first: u64, last: u64) -> String {
    format!("p-{first:016}-{last:016}.parquet")
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: MANIFEST_VERSION,
            compacted_through: 0,
            runs: Vec::new(),
            replacing: None,
            swapping: Vec::new(),
            stored: None,
            checksum: String::new(),
            at: None,
        }
    }
}

impl Manifest {
    /// The manifest of the directory; `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read or its checksum is wrong; `Fix` when it is of a newer version, or names files of an object
    /// store and the directory does not say which.
    pub fn load(env: &dyn Env) -> Result<Option<Self>, Error> {
        let manifest = Self::load_here(env)?;
        if env.store().is_none() && manifest.as_ref().is_some_and(|it| it.stored.is_some()) {
            let text =
                format!("the archive lies in an object store, and {PLACE_FILE} is missing, which says where");
            return Err(Error::new(ErrorKind::Fix, text));
        }
        Ok(manifest)
    }

    /// As [`Manifest::load`], wherever its files lie.
    pub(crate) fn load_here(env: &dyn Env) -> Result<Option<Self>, Error> {
        let path = Path::new(MANIFEST_FILE);
        let bytes = match read_file(env, path, MANIFEST_LEN_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::parse(&bytes).map(Some)
    }

    /// The manifest that these bytes are.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{MANIFEST_FILE}: {error}")))?;
        if !(MANIFEST_VERSION_MIN..=MANIFEST_VERSION).contains(&manifest.version) {
            let version = manifest.version;
            return Err(Error::new(
                ErrorKind::Fix,
                format!("{MANIFEST_FILE}: version {version}, this program knows {MANIFEST_VERSION}"),
            ));
        }
        if manifest.checksum_of_contents()? != manifest.checksum {
            return Err(Error::new(ErrorKind::Corrupt, format!("{MANIFEST_FILE}: wrong checksum")));
        }
        manifest.check_order()?;
        Ok(manifest)
    }

    /// Replaces the manifest of the directory, and before it that of the object store where the archive lies in one.
    ///
    /// # Errors
    /// Of the system. After an error the old or the new manifest stands there, whole. Of an object store as
    /// [`crate::store::Store`] says; then the next owner finds out which of the two it is.
    pub fn store(&mut self, env: &dyn Env) -> Result<(), Error> {
        match env.store() {
            Some(store) => publish::commit(self, env, store),
            None => self.store_here(env),
        }
    }

    /// Replaces the one in the directory alone.
    pub(crate) fn store_here(&mut self, env: &dyn Env) -> Result<(), Error> {
        let bytes = self.seal()?;
        replace_file(env, Path::new(MANIFEST_FILE), &bytes)
    }

    /// Gives it its checksum; the bytes that are written.
    pub(crate) fn seal(&mut self) -> Result<Vec<u8>, Error> {
        self.version = MANIFEST_VERSION;
        self.checksum = self.checksum_of_contents()?;
        let mut bytes = serde_json::to_vec_pretty(self).map_err(unwritable)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn checksum_of_contents(&self) -> Result<String, Error> {
        let bare = Self { checksum: String::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&bare).map_err(unwritable)?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Runs follow each other without a gap and end at `compacted_through`.
    fn check_order(&self) -> Result<(), Error> {
        let mut through = 0_u64;
        for run in &self.runs {
            if run.first != through.saturating_add(1) || run.last < run.first {
                let (first, last) = (run.first, run.last);
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{MANIFEST_FILE}: run {first}..={last} after position {through}"),
                ));
            }
            through = run.last;
        }
        if through != self.compacted_through {
            let told = self.compacted_through;
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{MANIFEST_FILE}: compacted_through is {told}, the runs end at {through}"),
            ));
        }
        Ok(())
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Fix, format!("{MANIFEST_FILE}: {error}"))
}

/// The archive as a reader sees it: the manifest of one moment.
#[derive(Clone)]
pub struct Archive {
    env: Arc<dyn Env>,
    manifest: Manifest,
    /// Its index, opened with the first search.
    places: Arc<OnceLock<places::Index>>,
}

impl Archive {
    /// Reads the manifest; a directory without one has an empty archive. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open(env: &Arc<dyn Env>) -> Result<Self, Error> {
        let manifest = Manifest::load(&**env)?.unwrap_or_default();
        Ok(Self { env: Arc::clone(env), manifest, places: Arc::default() })
    }

    /// Sees that the store answers and holds this archive, or what has become of it since.
    pub(crate) fn reach(&self, store: &dyn Store) -> Result<(), Error> {
        publish::reach(store, &self.manifest)
    }

    /// Everything up to and with this position is in the archive; the rest is in the log.
    pub fn compacted_through(&self) -> Position {
        Position::new(Lsn::new(self.manifest.compacted_through))
    }

    /// Runs, in the order of positions.
    pub fn runs(&self) -> &[Run] {
        &self.manifest.runs
    }

    /// Files of a table, in the order of runs, then dates.
    pub fn files(&self, table: Table) -> impl Iterator<Item = &FileEntry> {
        self.manifest.runs.iter().flat_map(|run| &run.files).filter(move |file| file.table == table.name())
    }

    fn places(&self) -> Result<&places::Index, Error> {
        if let Some(index) = self.places.get() {
            return Ok(index);
        }
        let index = places::Index::open(&*self.env, &self.manifest)?;
        Ok(self.places.get_or_init(|| index))
    }

    /// The files of `containers` that may hold documents of a drive under these numbers, in the order of [`Archive::files`].
    pub(crate) fn holders(
        &self,
        drive: &str,
        numbers: &RangeInclusive<u32>,
    ) -> Result<Vec<Holder<'_>>, Error> {
        Ok(self.places()?.of_drive(&self.manifest, drive, numbers))
    }

    /// The files of `documents` that may hold some of a drive under these numbers, in the order of [`Archive::files`].
    ///
    /// # Errors
    /// Of the system.
    pub fn documents_of_drive(
        &self,
        drive: &str,
        numbers: &RangeInclusive<u32>,
    ) -> Result<Vec<&FileEntry>, Error> {
        Ok(self.places()?.documents_of_drive(&self.manifest, drive, numbers))
    }

    /// The files of `documents` that may hold one with this printed sign, in the order of [`Archive::files`].
    ///
    /// # Errors
    /// Of the system.
    pub fn files_of_sign(&self, sign: u32) -> Result<Vec<&FileEntry>, Error> {
        Ok(self.places()?.of_sign(&self.manifest, sign))
    }

    /// The run that is taking the place of another, if a process ended in the middle of that.
    pub(crate) fn replacing(&self, of: &Run) -> Option<&Run> {
        self.manifest.replacing.as_ref().filter(|run| run.first == of.first)
    }

    /// Whether this file may be gone because its run is being replaced by one without it.
    pub(crate) fn may_be_gone(&self, path: &Path) -> bool {
        let replacing = self.manifest.replacing.as_ref();
        replacing.is_some_and(|run| run.files.iter().all(|file| file.path() != path))
    }

    /// Stored documents in the archive, all variants.
    pub fn documents(&self) -> u64 {
        self.manifest.runs.iter().map(|run| run.documents).fold(0, u64::saturating_add)
    }

    /// The document of a drive and number, all variants, in the order of positions; none when it is not in the
    /// archive. `drive` as text without padding.
    ///
    /// # Errors
    /// `Corrupt` when a file cannot be read as it should, else of the system.
    pub fn find_container(&self, drive: &str, number: u32) -> Result<Vec<Found>, Error> {
        find::find(self, drive, number)
    }

    /// The document that stands at a position, as a record of the log; `None` when it is not in the archive. Drive (as
    /// text without padding) and number lead to its page.
    ///
    /// # Errors
    /// As [`Archive::find_container`].
    pub fn document(
        &self,
        position: Position,
        drive: &str,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        let at = position.as_u64();
        let found = find::find_records(self, drive, Some(number), at..=at)?;
        Ok(found.first().map(Restored::record))
    }

    /// The documents of a drive up to and with a position, as records of the log, in its order; with a number those
    /// under it alone.
    ///
    /// # Errors
    /// As [`Archive::find_container`].
    pub fn documents_of(
        &self,
        drive: &str,
        number: Option<u32>,
        through: Position,
    ) -> Result<Vec<OwnedRecord>, Error> {
        let found = find::find_records(self, drive, number, 0..=through.as_u64())?;
        Ok(found.iter().map(Restored::record).collect())
    }

    /// The records of a run, in the order of the log.
    fn records_of(&self, run: &Run) -> Result<Vec<OwnedRecord>, Error> {
        let mut records = Vec::new();
        for (table, file) in run.kept_files() {
            each_restored(&*self.env, &file.path(), table, |restored| {
                if !restored.whole {
                    let text = "an archive of version 1 does not restore the log: compact again";
                    return Err(Error::new(ErrorKind::Corrupt, format!("{}: {text}", file.path().display())));
                }
                records.push(restored);
                Ok(())
            })?;
        }
        records.sort_by_key(|restored| restored.stored.position);
        Ok(records.iter().map(Restored::record).collect())
    }

    /// Where the files are.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }
}
