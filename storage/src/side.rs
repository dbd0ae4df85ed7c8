//! What is in sealed segments, without reading them: index files beside the log.
//!
//! ```text
//! sealed segment ─▶ one file: (drive, number) ─▶ LSN, place, sign, time, flags; numbers and notes up to its end
//! eight files in a row ─▶ one file over all their segments       (1, 8, 64, 512 segments: three merges in all)
//! ```
//!
//! Shape: `DIR/index/<first segment>-<last segment>.idx`, files of rows (`rows.rs`), 32 bytes a document, and a
//! directory (rkyv) with what a start needs: the segments with their chains, first keys of pages, a filter, the numbers
//! to go on from. A search costs a look into each file's filter and one page of the file that has it.
//!
//! - Index files hold nothing that the log does not: one that does not match the footers of its segments is removed
//!   and made again. Where segments have left the log for the archive, their index files stay and must match, since
//!   nothing here could make them again: that is an error and not a guess.
//! - A document that an index would not find might be stored twice. So every page is checked when it is read,
//!   and a damaged one is an error until the file has been made again.
//! - Files follow one another without a gap from the first record on; what lies behind the last one the recent
//!   [`crate::Index`] holds in memory.
//!
//! Invariants, with the test that holds each:
//! - what the log holds is found, whatever was merged: `tests/side.rs`, `the_index_agrees_with_the_log`;
//! - an index of another log is not taken: `tests/side.rs`, `index_files_that_do_not_match_are_made_again`;
//! - a crash at any disk change leaves an index that opens or is made again: `tests/side.rs`,
//!   `a_crash_at_any_change_of_an_index_costs_nothing`.

mod file;
mod filter;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rkyv::{Archive, Deserialize, Serialize};

use self::file::{Entries, Head, IndexFile, Mark, file_path, schema_of, segments_of};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::numbers::Numbers;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Damage, LogReader, SealedSegment};
use crate::record::RecordRef;

/// Directory of the index inside the data directory.
pub const INDEX_DIR: &str = "index";
/// So many files of one size become one.
const MERGED: usize = 8;
/// Largest file, segments.
const SEGMENTS_MAX: usize = 512;
/// Notes that need not stay: the newest of them are kept.
const NOTES_MAX: usize = 65_536;

/// What an index knows of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideEntry {
    /// Drive number as BCD, big-endian.
    pub drive: u64,
    /// Number of the document (1040).
    pub number: u32,
    /// Its LSN.
    pub lsn: Lsn,
    /// Its place.
    pub location: Location,
    /// The printed fiscal sign; 0 = none.
    pub sign: u32,
    /// Local seconds of the document; 0 = none.
    pub time: u32,
    /// Free for the host's folds.
    pub flags: u16,
}

/// A fact about a record that is no document. Of one key the one with the greatest rank counts, of equals the newest.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// LSN of its record.
    pub lsn: u64,
    /// What counts among notes of one key.
    pub rank: u64,
    /// What it is about.
    pub key: Vec<u8>,
    /// What is said.
    pub value: Vec<u8>,
    /// Kept for ever; of the others the newest 65,536 are.
    pub stays: bool,
}

/// What the host's extractor says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideFact {
    /// A document to be found by drive and number.
    Document {
        /// Drive number as BCD, big-endian.
        drive: u64,
        /// Number of the document.
        number: u32,
        /// The printed fiscal sign; 0 = none.
        sign: u32,
        /// Local seconds of the document; 0 = none.
        time: u32,
        /// Free for the host's folds.
        flags: u16,
    },
    /// A note.
    Note {
        /// What counts among notes of one key.
        rank: u64,
        /// What it is about.
        key: Vec<u8>,
        /// What is said.
        value: Vec<u8>,
        /// Whether it is kept for ever.
        stays: bool,
    },
}

/// How the host reads records, and the name of that reading: another name makes all index files anew.
#[derive(Clone, Copy)]
pub struct SideSchema {
    /// Name and version of the extractor.
    pub name: &'static str,
    /// Pure: the same record, the same fact.
    pub extract: fn(&RecordRef<'_>) -> Option<SideFact>,
}

/// The index over the sealed segments of a log. Shared by all who search; one keeper adds to it.
pub struct SideIndex {
    env: Arc<dyn Env>,
    schema: SideSchema,
    schema_number: u64,
    files: RwLock<Arc<Vec<Arc<IndexFile>>>>,
    /// The last LSN of the files: a cheap look for those who keep the recent documents.
    through: AtomicU64,
    /// A page was damaged when it was read.
    damaged: AtomicBool,
    /// Held by whoever changes the files.
    keeper: Mutex<()>,
}

/// The segments that count when an index is opened.
pub(crate) struct Sealed<'s> {
    /// Sealed ones, oldest first.
    pub(crate) segments: &'s [SealedSegment],
    /// Number and first record of the oldest segment of the log, sealed or not.
    pub(crate) oldest: Option<(SegmentId, Lsn)>,
}

impl SideIndex {
    /// Opens what fits the log; the owner removes what does not.
    ///
    /// # Errors
    /// `Corrupt` when documents that have left the log would not be found; of the system.
    pub(crate) fn open(
        env: Arc<dyn Env>,
        schema: SideSchema,
        sealed: &Sealed<'_>,
        owner: bool,
    ) -> Result<Self, Error> {
        let schema_number = schema_of(schema.name);
        let dir = Path::new(INDEX_DIR);
        if owner {
            env.create_dir_all(dir)?;
        }
        let names = if env.exists(dir)? { env.list(dir)? } else { Vec::new() };
        let mut candidates: Vec<(SegmentId, SegmentId)> =
            names.iter().filter_map(|entry| segments_of(&entry.name)).collect();
        // From the oldest on, the longest first.
        candidates.sort_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
        if let (None, Some((first, _))) = (sealed.oldest, candidates.first()) {
            let text =
                format!("there is an index from segment {first} on and no log: restore the directory log");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let (mut files, mut useless): (Vec<Arc<IndexFile>>, Vec<PathBuf>) = (Vec::new(), Vec::new());
        let leftover = |name: &str| name.ends_with(".tmp");
        useless.extend(names.iter().filter(|entry| leftover(&entry.name)).map(|entry| dir.join(&entry.name)));
        for (first, last) in candidates {
            let path = file_path(first, last);
            let opened = match IndexFile::open(&*env, &path, schema_number) {
                Ok(file) => Some(file),
                Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "an index file is made again");
                    None
                }
                Err(error) => return Err(error),
            };
            let next = files.last().map(|file| file.last().next());
            match opened.filter(|file| fits(file, next, sealed)) {
                Some(file) => files.push(Arc::new(file)),
                None => useless.push(path),
            }
        }
        reaches_back(&files, sealed)?;
        if owner {
            for path in useless {
                env.remove(&path)?;
            }
        }
        let through = files.last().map_or(Lsn::NONE, |file| file.last());
        Ok(Self {
            env,
            schema,
            schema_number,
            files: RwLock::new(Arc::new(files)),
            through: AtomicU64::new(through.get()),
            damaged: AtomicBool::new(false),
            keeper: Mutex::new(()),
        })
    }

    /// The last LSN that is indexed.
    pub fn through(&self) -> Lsn {
        // Acquire pairs with the Release of `replace`: whoever sees the number finds the files.
        Lsn::new(self.through.load(Ordering::Acquire))
    }

    /// The files as they are now, for any number of searches.
    pub fn view(&self) -> SideView<'_> {
        SideView { index: self, files: self.files() }
    }

    fn files(&self) -> Arc<Vec<Arc<IndexFile>>> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, files: Vec<Arc<IndexFile>>) {
        let through = files.last().map_or(Lsn::NONE, |file| file.last());
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
        // Release pairs with the Acquire of `through`.
        self.through.store(through.get(), Ordering::Release);
    }

    /// Begins anew: every file goes.
    pub(crate) fn throw_away(&self) -> Result<(), Error> {
        let files = self.files();
        self.replace(Vec::new());
        self.damaged.store(false, Ordering::Relaxed);
        for file in files.iter() {
            self.env.remove(file.path())?;
        }
        Ok(())
    }

    /// One piece of work: indexes the next sealed segment, or merges files, or makes a damaged file again. False: there
    /// is nothing to do. To be called again whenever a segment was sealed.
    ///
    /// # Errors
    /// Of the system: nothing is lost, the next call tries again.
    pub fn turn(&self, reader: &LogReader) -> Result<bool, Error> {
        let _one = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if self.damaged.load(Ordering::Relaxed) {
            if self.mend(reader)? {
                return Ok(true);
            }
            self.damaged.store(false, Ordering::Relaxed);
        }
        let files = self.files();
        let sealed = reader.sealed_segments();
        if let Some(from) = to_merge(&files, &sealed) {
            let (before, merged) = files.split_at(from);
            let file = self.merge(merged)?;
            let mut files = before.to_vec();
            files.push(Arc::new(file));
            self.replace(files);
            for file in merged {
                self.env.remove(file.path())?;
            }
            return Ok(true);
        }
        let (next, last) = (self.through().next(), files.last().map(|file| file.last_segment()));
        let Some(sealed) = sealed.into_iter().find(|sealed| Some(sealed.id) > last) else {
            return Ok(false);
        };
        if sealed.base != next && last.is_some() {
            let text = format!("the index ends at {}, the log goes on at {}", self.through(), sealed.base);
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let numbers = files.last().map(|file| file.numbers()).unwrap_or_default();
        let file = self.index(reader, &sealed, numbers)?;
        let mut files = files.to_vec();
        files.push(Arc::new(file));
        self.replace(files);
        Ok(true)
    }

    /// Reads a segment and writes its file.
    fn index(
        &self,
        reader: &LogReader,
        sealed: &SealedSegment,
        numbers: Numbers,
    ) -> Result<IndexFile, Error> {
        let mut records = reader.segment_records(sealed.id)?;
        // What is damaged when it is indexed stays damaged in the index: with a mirror it is made whole first.
        if reader.has_mirror() && records.iter().any(|item| item.is_err()) && reader.mend(sealed.id)? {
            records = reader.segment_records(sealed.id)?;
        }
        let mut head = Head { marks: vec![Mark::of(sealed)], numbers, ..Head::default() };
        let mut entries = Vec::new();
        for item in &records {
            let (record, location) = match item {
                Ok(found) => found,
                Err(damage) => {
                    head.numbers.lose(&damage);
                    head.damage.push(damage);
                    continue;
                }
            };
            head.numbers.note(&record);
            let lsn = record.lsn();
            match (self.schema.extract)(&record) {
                Some(SideFact::Document { drive, number, sign, time, flags }) => {
                    entries.push(SideEntry { drive, number, lsn, location, sign, time, flags });
                }
                Some(SideFact::Note { rank, key, value, stays }) => {
                    head.notes.push(Note { lsn: lsn.get(), rank, key, value, stays });
                }
                None => {}
            }
        }
        head.notes = newest_notes(std::mem::take(&mut head.notes));
        entries.sort_unstable_by_key(|entry| (entry.drive, entry.number, entry.lsn));
        let rows = entries.len() as u64;
        let mut entries = entries.into_iter();
        file::write(&*self.env, self.schema_number, head, rows, &mut || Ok(entries.next()))
    }

    fn merge(&self, files: &[Arc<IndexFile>]) -> Result<IndexFile, Error> {
        let mut head = Head::default();
        let mut notes = Vec::new();
        for file in files {
            head.marks.extend_from_slice(file.marks());
            head.damage.extend(file.damage());
            notes.extend_from_slice(file.notes());
            head.numbers = file.numbers();
        }
        head.notes = newest_notes(notes);
        let rows = files.iter().map(|file| file.rows()).sum();
        let mut merge = Merge::new(files)?;
        file::write(&*self.env, self.schema_number, head, rows, &mut || merge.next())
    }

    /// Makes the first damaged file again from its segments; false when none is damaged.
    fn mend(&self, reader: &LogReader) -> Result<bool, Error> {
        let files = self.files();
        for (at, file) in files.iter().enumerate() {
            let mut entries = file.entries();
            let whole = loop {
                match entries.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(error) if error.kind() == ErrorKind::Corrupt || error.is_storage_fault() => {
                        break false;
                    }
                    Err(error) => return Err(error),
                }
            };
            if whole {
                continue;
            }
            tracing::error!(path = %file.path().display(), "an index file is damaged and is made again");
            let mut numbers =
                at.checked_sub(1).and_then(|at| files.get(at)).map(|file| file.numbers()).unwrap_or_default();
            let sealed = reader.sealed_segments();
            let mut single = Vec::new();
            for mark in file.marks() {
                let found = sealed.iter().find(|sealed| Mark::of(sealed) == *mark);
                let found = found.ok_or_else(|| {
                    let text = format!("{}: its segments have left the log", file.path().display());
                    Error::new(ErrorKind::Corrupt, text)
                })?;
                let one = self.index(reader, found, numbers)?;
                numbers = one.numbers();
                single.push(Arc::new(one));
            }
            let made = if let [one] = single.as_slice() {
                Arc::clone(one)
            } else {
                let merged = Arc::new(self.merge(&single)?);
                for file in &single {
                    self.env.remove(file.path())?;
                }
                merged
            };
            let mut files = files.to_vec();
            if let Some(place) = files.get_mut(at) {
                *place = made;
            }
            self.replace(files);
            return Ok(true);
        }
        Ok(false)
    }
}

/// Whether a file follows the ones before it and speaks of the segments that are there.
fn fits(file: &IndexFile, next: Option<Lsn>, sealed: &Sealed<'_>) -> bool {
    let Some((oldest, oldest_base)) = sealed.oldest else { return false };
    let follows = match next {
        Some(next) => file.base() == next,
        None => file.base() <= oldest_base,
    };
    follows
        && file.marks().iter().all(|mark| {
            let id = SegmentId::new(mark.segment);
            if id < oldest {
                return mark.last < oldest_base.get();
            }
            let at = sealed.segments.binary_search_by_key(&id, |sealed| sealed.id);
            at.ok().and_then(|at| sealed.segments.get(at)).is_some_and(|sealed| Mark::of(sealed) == *mark)
        })
}

/// Documents that have left the log can be found in index files only.
fn reaches_back(files: &[Arc<IndexFile>], sealed: &Sealed<'_>) -> Result<(), Error> {
    let gone = sealed.oldest.map_or(Lsn::NONE, |(_, base)| base.prev());
    let (from, to) = (
        files.first().map_or(Lsn::NONE, |file| file.base().prev()),
        files.last().map_or(Lsn::NONE, |file| file.last()),
    );
    if gone > Lsn::NONE && (from > Lsn::NONE || to < gone) {
        let text = format!(
            "records up to {gone} have left the log, and no index tells where they are: restore the directory {INDEX_DIR}"
        );
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    Ok(())
}

/// Where the files to be merged begin. A segment without its footer is another one after the next start, when its
/// file is made again: it takes no others with it.
fn to_merge(files: &[Arc<IndexFile>], sealed: &[SealedSegment]) -> Option<usize> {
    let level = |file: &Arc<IndexFile>| file.marks().len().max(1).ilog(MERGED);
    let from = files.len().checked_sub(MERGED)?;
    let tail = files.get(from..)?;
    let one = level(tail.first()?);
    let segments: usize = tail.iter().map(|file| file.marks().len()).sum();
    let unsettled = |mark: &Mark| sealed.iter().any(|it| !it.footer && it.id.get() == mark.segment);
    let settled = !tail.iter().flat_map(|file| file.marks()).any(unsettled);
    (settled && segments <= SEGMENTS_MAX && tail.iter().all(|file| level(file) == one)).then_some(from)
}

/// Of each key the one that counts; of those that need not stay a bounded number.
pub fn newest_notes(notes: Vec<Note>) -> Vec<Note> {
    let mut by_key: BTreeMap<Vec<u8>, Note> = BTreeMap::new();
    for note in notes {
        match by_key.get(&note.key) {
            Some(known) if (known.rank, known.lsn) > (note.rank, note.lsn) => {}
            _ => {
                by_key.insert(note.key.clone(), note);
            }
        }
    }
    let mut notes: Vec<Note> = by_key.into_values().collect();
    notes.sort_by_key(|note| note.lsn);
    let mut spare = notes.iter().filter(|note| !note.stays).count().saturating_sub(NOTES_MAX);
    notes.retain(|note| {
        let goes = !note.stays && spare > 0;
        spare = spare.saturating_sub(usize::from(goes));
        !goes
    });
    notes
}

/// Takes a drive and its documents.
pub type EachDrive<'e> = dyn FnMut(u64, &[SideEntry]) -> Result<(), Error> + 'e;

/// The index as it was at one moment.
pub struct SideView<'i> {
    index: &'i SideIndex,
    files: Arc<Vec<Arc<IndexFile>>>,
}

impl SideView<'_> {
    /// The last LSN that is indexed.
    pub fn through(&self) -> Lsn {
        self.files.last().map_or(Lsn::NONE, |file| file.last())
    }

    /// Documents in it, all variants.
    pub fn documents(&self) -> u64 {
        self.files.iter().map(|file| file.rows()).sum()
    }

    /// Files it consists of.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The documents of a drive with these numbers, in the order of the files, by number within each: those of one
    /// number in the order of the log.
    ///
    /// # Errors
    /// `Corrupt` when a page is damaged: it is not known what lay there until the file has been made again.
    pub fn get(
        &self,
        drive: u64,
        numbers: &RangeInclusive<u32>,
        found: &mut Vec<SideEntry>,
    ) -> Result<(), Error> {
        self.each(|file| file.get(drive, numbers, found))
    }

    fn each(&self, mut search: impl FnMut(&IndexFile) -> Result<(), Error>) -> Result<(), Error> {
        for file in self.files.iter() {
            if let Err(error) = search(file) {
                self.index.damaged.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Hands out, drive by drive in ascending order, its documents behind `after` in the order of the log.
    ///
    /// # Errors
    /// As [`SideView::get`].
    pub fn fold_drives(&self, after: Lsn, each: &mut EachDrive<'_>) -> Result<(), Error> {
        let files: Vec<Arc<IndexFile>> =
            self.files.iter().filter(|file| file.last() > after).map(Arc::clone).collect();
        let mut merge = Merge::new(&files)?;
        let mut group: Vec<SideEntry> = Vec::new();
        loop {
            let entry = merge.next()?;
            let drive = group.first().map(|first| first.drive);
            if !group.is_empty() && entry.map(|entry| entry.drive) != drive {
                group.sort_unstable_by_key(|entry| entry.lsn);
                each(drive.unwrap_or_default(), &group)?;
                group.clear();
            }
            match entry {
                Some(entry) if entry.lsn > after => group.push(entry),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Reads every page that may hold a document behind `after` up to and with `through`: to be asked before the log lets
    /// go of them, as a damaged page can be made again only while the log has its segments.
    ///
    /// # Errors
    /// `Corrupt` when a page is damaged; the next turns make its file again. Of the system.
    pub fn check(&self, after: Lsn, through: Lsn) -> Result<(), Error> {
        for file in self.files.iter().filter(|file| file.last() > after && file.base() <= through) {
            let mut entries = file.entries();
            loop {
                match entries.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        self.index.damaged.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// The notes behind `after`, in the order of the log; of each key in each file the newest.
    pub fn notes(&self, after: Lsn) -> Vec<Note> {
        let all = self.files.iter().flat_map(|file| file.notes()).filter(|note| note.lsn > after.get());
        let mut notes: Vec<Note> = all.cloned().collect();
        notes.sort_by_key(|note| note.lsn);
        notes
    }

    /// The chain of the segment that ends with this LSN, if one does: what a checkpoint is tied to.
    pub fn chain_at(&self, last: Lsn) -> Option<[u8; 32]> {
        let marks = self.files.iter().flat_map(|file| file.marks());
        marks.filter(|mark| mark.last == last.get() && mark.last >= mark.base).map(|mark| mark.chain).next()
    }

    /// Damage of the segments that are indexed, as it was when they were read.
    pub(crate) fn damage(&self) -> impl Iterator<Item = Damage> + '_ {
        self.files.iter().flat_map(|file| file.damage())
    }

    /// The newest segment that is indexed.
    pub(crate) fn last_segment(&self) -> Option<SegmentId> {
        self.files.last().map(|file| file.last_segment())
    }

    /// The numbers behind the last segment.
    pub(crate) fn numbers(&self) -> Numbers {
        self.files.last().map(|file| file.numbers()).unwrap_or_default()
    }
}

/// Several files as one, by drive, number and LSN.
struct Merge<'f> {
    sources: Vec<(Option<SideEntry>, Entries<'f>)>,
}

impl<'f> Merge<'f> {
    fn new(files: &'f [Arc<IndexFile>]) -> Result<Self, Error> {
        let mut sources = Vec::with_capacity(files.len());
        for file in files {
            let mut entries = file.entries();
            sources.push((entries.next()?, entries));
        }
        Ok(Self { sources })
    }

    fn next(&mut self) -> Result<Option<SideEntry>, Error> {
        // A handful of files: looking at each head costs less than keeping them in order.
        let key = |entry: &SideEntry| (entry.drive, entry.number, entry.lsn);
        let least = self
            .sources
            .iter_mut()
            .filter_map(|source| source.0.map(|head| (key(&head), source)))
            .min_by_key(|(key, _)| *key);
        let Some((_, (head, entries))) = least else { return Ok(None) };
        Ok(std::mem::replace(head, entries.next()?))
    }
}
