//! One index file: two sorted trees over some files of the archive, and which files those are.
//!
//! ```text
//!      0 ┌──────────────┐ header: magic │ crc32c │ version │ nonce │ counts │ roots │ directory
//!   4096 ├──────────────┤ pages of the tree by drive and number, then of the tree by sign (page.rs), each page behind those
//!        │ page …       │ below it
//!        ├──────────────┤ directory: 16 bytes a covered file, see [`Id`]; its checksum stands in the header
//!        └──────────────┘
//! ```
//!
//! Written in one stream, with a page of each level in memory; read a page at a time by `pread`.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::page::{Fence, OpenPage, PAGE_LEN, Place, Places, ReadPage, Tree};
use super::{PLACES_DIR, corrupt};
use crate::env::{self, Env, File};
use crate::error::Error;
use crate::manifest::FileEntry;

const MAGIC: [u8; 8] = *b"OFDplac\x01";
const VERSION: u16 = 1;
/// Written at once.
const WRITE_LEN: usize = 1 << 20;
/// Files that an index file covers at most: what a damaged header makes a reader take is 1 GiB.
const COVERED_MAX: u64 = 64 << 20;
/// A tree of four thousand million pages has no more levels.
const LEVELS_MAX: u8 = 8;
/// No page.
const NO_PAGE: u32 = u32::MAX;

/// Which file of the archive, by its path and contents: a hash of what the manifest says of it.
pub(super) type Id = [u8; 16];

/// The id of a file.
pub(super) fn id_of(file: &FileEntry) -> Id {
    let mut hasher = blake3::Hasher::new();
    for part in [&file.table, &file.date, &file.name, &file.blake3] {
        hasher.update(part.as_bytes()).update(b"\0");
    }
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeaderBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    zeros: U16,
    nonce: U64,
    pages: U32,
    /// Pages of the tree of runs, which come first.
    runs_pages: U32,
    runs_root: U32,
    signs_root: U32,
    runs: U64,
    signs: U64,
    covered: U64,
    directory_crc: U32,
    more_zeros: U32,
}
const _: () = assert!(size_of::<HeaderBytes>() == 72);

impl HeaderBytes {
    fn sum(&self) -> u32 {
        crc_fast::crc32_iscsi(self.as_bytes().get(12..).unwrap_or_default())
    }
}

/// Writes a file of places.
pub(super) struct PlacesWriter<'e> {
    env: &'e dyn Env,
    path: PathBuf,
    beside: PathBuf,
    file: Arc<dyn File>,
    covered: &'e [Id],
    nonce: u64,
    at: u64,
    ready: Vec<u8>,
    pages: u32,
    tree: Tree,
    /// The open page of each level, and how many of it were written.
    levels: Vec<(OpenPage, u32)>,
    entries: u64,
    runs: (u64, u32, u32),
}

impl<'e> PlacesWriter<'e> {
    /// Begins a file over these files of the archive: first the runs are pushed, in order, then, behind
    /// [`PlacesWriter::end_of_runs`], the signs.
    pub(super) fn create(env: &'e dyn Env, covered: &'e [Id]) -> Result<Self, Error> {
        let hash = blake3::hash(covered.as_flattened());
        // The same files give the same name and the same bytes.
        let nonce = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let path = Path::new(PLACES_DIR).join(format!("{nonce:016x}.places"));
        let beside = path.with_extension("tmp");
        let file = env.create(&beside)?;
        Ok(Self {
            env,
            path,
            beside,
            file,
            covered,
            nonce,
            at: PAGE_LEN as u64,
            ready: Vec::new(),
            pages: 0,
            tree: Tree::Runs,
            levels: Vec::new(),
            entries: 0,
            runs: (0, 0, NO_PAGE),
        })
    }

    /// Adds an entry; they come by key, then number.
    pub(super) fn push(&mut self, place: &Place) -> Result<(), Error> {
        self.entries = self.entries.saturating_add(1);
        if self.levels.is_empty() {
            self.levels.push(Default::default());
        }
        if !self.levels.first_mut().is_some_and(|(page, _)| page.push(self.tree, place)) {
            self.close(0)?;
            self.levels.first_mut().map(|(page, _)| page.push(self.tree, place));
        }
        Ok(())
    }

    /// Writes the open page of a level and tells the level above.
    fn close(&mut self, level: usize) -> Result<(), Error> {
        let number = self.pages;
        let Some((page, written)) = self.levels.get_mut(level) else { return Ok(()) };
        let (low, last_max) = page.reach();
        self.ready.extend(page.close(self.tree, level as u8, number, self.nonce));
        *written = written.saturating_add(1);
        self.pages = number.checked_add(1).ok_or_else(|| corrupt(&self.path, "too many pages"))?;
        if self.ready.len() >= WRITE_LEN {
            self.write_ready()?;
        }
        let fence = Fence::new(low, last_max, number);
        let above = level.saturating_add(1);
        if self.levels.len() <= above {
            self.levels.push(Default::default());
        }
        if !self.levels.get_mut(above).is_some_and(|(page, _)| page.push_fence(&fence)) {
            self.close(above)?;
            self.levels.get_mut(above).map(|(page, _)| page.push_fence(&fence));
        }
        Ok(())
    }

    /// Ends a tree; its entries and its root.
    fn end_tree(&mut self) -> Result<(u64, u32), Error> {
        let mut level = 0_usize;
        while let Some((page, written)) = self.levels.get(level) {
            let top = level.saturating_add(1) == self.levels.len();
            if top && *written == 0 {
                // The only page of its level.
                let number = self.pages;
                self.close(level)?;
                self.levels.clear();
                return Ok((std::mem::take(&mut self.entries), number));
            }
            if !page.is_empty() {
                self.close(level)?;
            }
            level = level.saturating_add(1);
        }
        self.levels.clear();
        Ok((std::mem::take(&mut self.entries), NO_PAGE))
    }

    pub(super) fn end_of_runs(&mut self) -> Result<(), Error> {
        let (runs, root) = self.end_tree()?;
        self.runs = (runs, self.pages, root);
        self.tree = Tree::Signs;
        Ok(())
    }

    fn write_ready(&mut self) -> Result<(), Error> {
        env::write_all_at(&*self.file, &[&self.ready], self.at)?;
        self.at = self.at.saturating_add(self.ready.len() as u64);
        self.ready.clear();
        Ok(())
    }

    /// Ends the file: the directory, the header, the sync, the name.
    pub(super) fn finish(mut self) -> Result<PathBuf, Error> {
        let (signs, signs_root) = self.end_tree()?;
        let (runs, runs_pages, runs_root) = self.runs;
        self.write_ready()?;
        let directory = self.covered.as_flattened();
        env::write_all_at(&*self.file, &[directory], self.at)?;
        let mut header = HeaderBytes {
            magic: MAGIC,
            crc: U32::ZERO,
            version: U16::new(VERSION),
            zeros: U16::ZERO,
            nonce: U64::new(self.nonce),
            pages: U32::new(self.pages),
            runs_pages: U32::new(runs_pages),
            runs_root: U32::new(runs_root),
            signs_root: U32::new(signs_root),
            runs: U64::new(runs),
            signs: U64::new(signs),
            covered: U64::new(self.covered.len() as u64),
            directory_crc: U32::new(crc_fast::crc32_iscsi(directory)),
            more_zeros: U32::ZERO,
        };
        header.crc = U32::new(header.sum());
        let mut block = header.as_bytes().to_vec();
        block.resize(PAGE_LEN, 0);
        env::write_all_at(&*self.file, &[&block], 0)?;
        self.file.sync_all()?;
        self.env.rename(&self.beside, &self.path)?;
        self.env.sync_dir(Path::new(PLACES_DIR))?;
        Ok(self.path)
    }
}

/// A file of places, open for reading.
pub(super) struct PlacesFile {
    file: Arc<dyn File>,
    path: PathBuf,
    nonce: u64,
    pages: u32,
    runs_pages: u32,
    runs_root: u32,
    signs_root: u32,
    runs: u64,
    signs: u64,
    covered: Vec<Id>,
}

impl PlacesFile {
    /// Opens a file; its pages are checked when they are read.
    ///
    /// # Errors
    /// `Corrupt` when it is not a whole file of this version; of the system.
    pub(super) fn open(env: &dyn Env, path: PathBuf) -> Result<Self, Error> {
        let file = env.open_read(&path)?;
        let len = file.len()?;
        if len < PAGE_LEN as u64 {
            return Err(corrupt(&path, "too short for an index file"));
        }
        let mut bytes = [0; size_of::<HeaderBytes>()];
        env::read_exact_at(&*file, &mut bytes, 0)?;
        let header = HeaderBytes::read_from_bytes(&bytes).map_err(|_| corrupt(&path, "no header"))?;
        if header.magic != MAGIC || header.version.get() != VERSION || header.crc.get() != header.sum() {
            return Err(corrupt(&path, "the header does not hold"));
        }
        let covered = header.covered.get();
        let directory_at = u64::from(header.pages.get()).saturating_add(1).saturating_mul(PAGE_LEN as u64);
        let directory_len = covered.saturating_mul(size_of::<Id>() as u64);
        if covered > COVERED_MAX || directory_at.saturating_add(directory_len) != len {
            return Err(corrupt(&path, "not as long as it says"));
        }
        let mut covered: Vec<Id> = vec![Id::default(); usize::try_from(covered).unwrap_or_default()];
        env::read_exact_at(&*file, covered.as_flattened_mut(), directory_at)?;
        if crc_fast::crc32_iscsi(covered.as_flattened()) != header.directory_crc.get() {
            return Err(corrupt(&path, "the directory does not hold"));
        }
        Ok(Self {
            file,
            path,
            nonce: header.nonce.get(),
            pages: header.pages.get(),
            runs_pages: header.runs_pages.get(),
            runs_root: header.runs_root.get(),
            signs_root: header.signs_root.get(),
            runs: header.runs.get(),
            signs: header.signs.get(),
            covered,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files it covers.
    pub(super) fn covered(&self) -> &[Id] {
        &self.covered
    }

    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Entries of the tree.
    pub(super) fn entries(&self, tree: Tree) -> u64 {
        match tree {
            Tree::Runs => self.runs,
            Tree::Signs => self.signs,
        }
    }

    /// Bytes of the pages of the tree.
    pub(super) fn bytes(&self, tree: Tree) -> u64 {
        let pages = match tree {
            Tree::Runs => self.runs_pages,
            Tree::Signs => self.pages.saturating_sub(self.runs_pages),
        };
        u64::from(pages).saturating_mul(PAGE_LEN as u64)
    }

    /// Length of the file.
    pub(super) fn len(&self) -> u64 {
        let pages = u64::from(self.pages).saturating_add(1).saturating_mul(PAGE_LEN as u64);
        pages.saturating_add(self.covered.as_flattened().len() as u64)
    }

    fn page<'b>(&self, number: u32, buffer: &'b mut [u8; PAGE_LEN]) -> Result<ReadPage<'b>, Error> {
        let at = u64::from(number).saturating_add(1).saturating_mul(PAGE_LEN as u64);
        env::read_exact_at(&*self.file, buffer, at)?;
        ReadPage::new(buffer, number, self.nonce).ok_or_else(|| self.damaged(number))
    }

    fn damaged(&self, page: u32) -> Error {
        corrupt(&self.path, &format!("page {page} does not hold"))
    }

    /// Reads these pages and compares their checksums.
    ///
    /// # Errors
    /// As [`PlacesFile::get`].
    pub(super) fn check(&self, pages: Range<u32>) -> Result<(), Error> {
        let mut buffer = [0; PAGE_LEN];
        for page in pages {
            self.page(page, &mut buffer)?;
        }
        Ok(())
    }

    /// Hands the entries of a key that reach into `numbers` to `each`.
    ///
    /// # Errors
    /// `Corrupt` when a page does not hold; of the system.
    pub(super) fn get(
        &self,
        tree: Tree,
        key: u64,
        numbers: &RangeInclusive<u32>,
        each: &mut dyn FnMut(Place),
    ) -> Result<(), Error> {
        let root = match tree {
            Tree::Runs => self.runs_root,
            Tree::Signs => self.signs_root,
        };
        match root {
            NO_PAGE => Ok(()),
            root => self.walk(tree, root, LEVELS_MAX, key, numbers, each),
        }
    }

    fn walk(
        &self,
        tree: Tree,
        page: u32,
        below: u8,
        key: u64,
        numbers: &RangeInclusive<u32>,
        each: &mut dyn FnMut(Place),
    ) -> Result<(), Error> {
        let mut buffer = [0; PAGE_LEN];
        let read = self.page(page, &mut buffer)?;
        if !read.is_of(tree) || read.level() >= below {
            return Err(self.damaged(page));
        }
        let (least, most) = (*numbers.start(), *numbers.end());
        if read.level() == 0 {
            let mut places = read.places(tree);
            while let Some(place) = places.next().map_err(|()| self.damaged(page))? {
                if (place.key, place.first) > (key, most) {
                    break;
                }
                if place.key == key && place.last >= least {
                    each(place);
                }
            }
            return Ok(());
        }
        let fences = read.fences().ok_or_else(|| self.damaged(page))?;
        for (fence, next) in fences.iter().zip(fences.iter().skip(1).map(Some).chain([None])) {
            if fence.key() > (key, most) {
                break;
            }
            if next.is_some_and(|next| next.key() < (key, 0)) || fence.last_max() < least {
                continue;
            }
            self.walk(tree, fence.page(), read.level(), key, numbers, each)?;
        }
        Ok(())
    }

    /// All entries of a tree, in order.
    pub(super) fn scan(&self, tree: Tree) -> Scan<'_> {
        let (next, end) = match tree {
            Tree::Runs => (0, self.runs_pages),
            Tree::Signs => (self.runs_pages, self.pages),
        };
        Scan { file: self, tree, next, end, leaf: Vec::new().into_iter() }
    }
}

/// All entries of a tree.
pub(super) struct Scan<'f> {
    file: &'f PlacesFile,
    tree: Tree,
    next: u32,
    end: u32,
    leaf: std::vec::IntoIter<Place>,
}

impl Scan<'_> {
    /// The next; `None` at the end.
    ///
    /// # Errors
    /// As [`PlacesFile::get`].
    pub(super) fn next(&mut self) -> Result<Option<Place>, Error> {
        loop {
            if let Some(place) = self.leaf.next() {
                return Ok(Some(place));
            }
            if self.next >= self.end {
                return Ok(None);
            }
            let number = self.next;
            self.next = number.saturating_add(1);
            let mut buffer = [0; PAGE_LEN];
            let page = self.file.page(number, &mut buffer)?;
            if !page.is_of(self.tree) {
                return Err(self.file.damaged(number));
            }
            if page.level() == 0 {
                let mut leaf = Vec::new();
                let mut places: Places<'_> = page.places(self.tree);
                while let Some(place) = places.next().map_err(|()| self.file.damaged(number))? {
                    leaf.push(place);
                }
                self.leaf = leaf.into_iter();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;
    use crate::env::RealEnv;

    /// Why: several levels, keys that fill pages, numbers that overlap; a naive filter is the second opinion.
    #[test]
    fn every_key_is_found_in_a_tree_of_several_levels() {
        let dir = tempfile::tempdir().unwrap();
        let env = RealEnv::new(dir.path());
        env.create_dir_all(Path::new(PLACES_DIR)).unwrap();
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut places: Vec<Place> = (0..300_000)
            .map(|at: u32| {
                // A few drives have thousands of runs, most have some.
                let key = if at.is_multiple_of(10) { random(3) * 1000 } else { random(20_000) };
                let first = random(50_000) as u32;
                let last = first + if random(500) == 0 { random(30_000) } else { random(70) } as u32;
                Place {
                    key,
                    first,
                    last,
                    file: random(2000) as u32,
                    row: random(500_000) as u32,
                    rows: at % 90,
                }
            })
            .collect();
        places.sort_unstable();
        let mut signs: Vec<Place> =
            (0..200_000).map(|at| Place { key: random(1 << 32) >> (at % 20), ..Place::default() }).collect();
        signs.sort_unstable();
        let mut writer = PlacesWriter::create(&env, &[[7; 16], [8; 16]]).unwrap();
        places.iter().for_each(|place| writer.push(place).unwrap());
        writer.end_of_runs().unwrap();
        signs.iter().for_each(|sign| writer.push(sign).unwrap());
        let path = writer.finish().unwrap();
        let file = PlacesFile::open(&env, path).unwrap();
        assert_eq!((file.covered(), file.entries(Tree::Runs)), (&[[7; 16], [8; 16]][..], 300_000));
        for turn in 0..3000 {
            let key = if turn % 3 == 0 { random(3) * 1000 } else { random(20_001) };
            let least = random(80_000) as u32;
            let numbers = least..=least.saturating_add(random(2) as u32 * random(3000) as u32);
            let mut found = Vec::new();
            file.get(Tree::Runs, key, &numbers, &mut |place| found.push(place)).unwrap();
            let of_key =
                places.partition_point(|it| it.key < key)..places.partition_point(|it| it.key <= key);
            let wanted =
                places[of_key].iter().filter(|it| it.first <= *numbers.end() && *numbers.start() <= it.last);
            assert!(found.iter().eq(wanted), "{key} {numbers:?}");
            let sign = signs[random(200_000) as usize].key + random(2);
            let mut found = 0;
            file.get(Tree::Signs, sign, &(0..=0), &mut |_| found += 1).unwrap();
            assert_eq!(found, signs.iter().filter(|it| it.key == sign).count(), "{sign}");
        }
        for (tree, all) in [(Tree::Runs, &places), (Tree::Signs, &signs)] {
            let mut scan = file.scan(tree);
            all.iter().for_each(|place| assert_eq!(scan.next().unwrap(), Some(*place)));
            assert_eq!(scan.next().unwrap(), None);
        }
        file.check(0..file.pages()).unwrap();
    }
}
