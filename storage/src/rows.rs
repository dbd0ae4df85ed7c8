//! Files of sorted rows: written once in a stream, read by page, thrown away at will.
//!
//! ```text
//!      0 ┌──────────────┐ header (64): magic │ crc32c │ version │ row length │ schema │ nonce │ rows │ pages │ directory
//!   4096 ├──────────────┤ page: crc32c u32 │ page number u32 │ nonce u64 │ rows u16 │ zeros to 32 │ rows of 32 bytes, 127 at most
//!        │ page …       │
//!        ├──────────────┤ directory: bytes of the owner (rkyv), with a checksum in the header
//!        └──────────────┘
//! ```
//!
//! Everything in such a file can be made again from the log, so there is one version at a time: a file of another
//! version, another schema or with a wrong checksum is no file. Each page is read by itself and checked each time: an
//! answer about a document may hang on it. Page number and nonce tell a page from one that the device wrote to
//! the wrong place, or that an earlier file left there.
//!
//! Pages are read by `pread`: a bad sector is an error of one look-up and not a signal.
//!
//! Errors: `Corrupt` for what does not hold; of the system.

use std::path::Path;
use std::sync::Arc;

use rkyv::util::AlignedVec;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::env::{self, Env, File};
use crate::error::{Error, ErrorKind};

/// Length of a row, bytes.
pub const ROW_LEN: usize = 32;
/// Length of a page, bytes.
pub const PAGE_LEN: usize = 4096;
/// Rows that a page holds at most.
pub const PAGE_ROWS: usize = (PAGE_LEN - PAGE_HEADER_LEN) / ROW_LEN;

const PAGE_HEADER_LEN: usize = 32;
const MAGIC: [u8; 8] = *b"OFDrows\x01";
const VERSION: u16 = 1;
/// Written at once.
const WRITE_LEN: usize = 1 << 20;
/// A directory is at most so long, bytes: a length field of a damaged header allocates no more.
const DIRECTORY_LEN_MAX: u64 = 1 << 32;

/// One row: fixed bytes whose meaning is its owner's.
pub type Row = [u8; ROW_LEN];

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeaderBytes {
    magic: [u8; 8],
    crc: U32,
    version: U16,
    row_len: U16,
    schema: U64,
    nonce: U64,
    rows: U64,
    pages: U32,
    directory_crc: U32,
    directory_len: U64,
    zeros: [u8; 8],
}
const _: () = assert!(size_of::<HeaderBytes>() == 64);

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PageHeaderBytes {
    crc: U32,
    page: U32,
    nonce: U64,
    rows: U16,
    zeros: [u8; 14],
}
const _: () = assert!(size_of::<PageHeaderBytes>() == PAGE_HEADER_LEN);

/// Writes a file of rows beside its name and gives it its name when it is whole.
pub struct RowWriter<'e> {
    env: &'e dyn Env,
    path: &'e Path,
    beside: std::path::PathBuf,
    file: Arc<dyn File>,
    nonce: u64,
    at: u64,
    ready: Vec<u8>,
    page: Vec<u8>,
    in_page: u16,
    rows: u64,
    pages: u32,
}

impl<'e> RowWriter<'e> {
    /// Begins a file.
    ///
    /// # Errors
    /// Of the system.
    pub fn create(env: &'e dyn Env, path: &'e Path) -> Result<Self, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let beside = std::path::PathBuf::from(name);
        let file = env.create(&beside)?;
        Ok(Self {
            env,
            path,
            beside,
            file,
            nonce: env.random(),
            at: PAGE_LEN as u64,
            ready: Vec::with_capacity(WRITE_LEN.saturating_add(PAGE_LEN)),
            page: Vec::with_capacity(PAGE_LEN),
            in_page: 0,
            rows: 0,
            pages: 0,
        })
    }

    /// Adds a row; true when it is the first of a page.
    ///
    /// # Errors
    /// Of the system.
    pub fn push(&mut self, row: &Row) -> Result<bool, Error> {
        if usize::from(self.in_page) == PAGE_ROWS {
            self.close_page()?;
        }
        let first = self.in_page == 0;
        if first {
            self.page.clear();
            self.page.resize(PAGE_HEADER_LEN, 0);
        }
        self.page.extend_from_slice(row);
        self.in_page = self.in_page.saturating_add(1);
        self.rows = self.rows.saturating_add(1);
        Ok(first)
    }

    fn close_page(&mut self) -> Result<(), Error> {
        if self.in_page == 0 {
            return Ok(());
        }
        self.page.resize(PAGE_LEN, 0);
        let mut header = PageHeaderBytes {
            crc: U32::ZERO,
            page: U32::new(self.pages),
            nonce: U64::new(self.nonce),
            rows: U16::new(self.in_page),
            zeros: [0; 14],
        };
        put(&mut self.page, header.as_bytes());
        header.crc = U32::new(crc_fast::crc32_iscsi(self.page.get(4..).unwrap_or_default()));
        put(&mut self.page, header.as_bytes());
        self.ready.extend_from_slice(&self.page);
        (self.in_page, self.pages) = (0, self.pages.saturating_add(1));
        if self.ready.len() >= WRITE_LEN { self.write_ready() } else { Ok(()) }
    }

    fn write_ready(&mut self) -> Result<(), Error> {
        env::write_all_at(&*self.file, &[&self.ready], self.at)?;
        self.at = self.at.saturating_add(self.ready.len() as u64);
        self.ready.clear();
        Ok(())
    }

    /// Ends the file: the directory, the header, the sync, the name.
    ///
    /// # Errors
    /// Of the system; the file then does not bear its name.
    pub fn finish(mut self, schema: u64, directory: &[u8]) -> Result<(), Error> {
        self.close_page()?;
        self.write_ready()?;
        env::write_all_at(&*self.file, &[directory], self.at)?;
        let mut header = HeaderBytes {
            magic: MAGIC,
            crc: U32::ZERO,
            version: U16::new(VERSION),
            row_len: U16::new(ROW_LEN as u16),
            schema: U64::new(schema),
            nonce: U64::new(self.nonce),
            rows: U64::new(self.rows),
            pages: U32::new(self.pages),
            directory_crc: U32::new(crc_fast::crc32_iscsi(directory)),
            directory_len: U64::new(directory.len() as u64),
            zeros: [0; 8],
        };
        header.crc = U32::new(covered(&header));
        let mut block = vec![0; PAGE_LEN];
        put(&mut block, header.as_bytes());
        env::write_all_at(&*self.file, &[&block], 0)?;
        self.file.sync_all()?;
        self.env.rename(&self.beside, self.path)?;
        self.env.sync_dir(self.path.parent().unwrap_or(Path::new("")))
    }
}

fn put(bytes: &mut [u8], header: &[u8]) {
    if let Some(room) = bytes.get_mut(..header.len()) {
        room.copy_from_slice(header);
    }
}

fn covered(header: &HeaderBytes) -> u32 {
    crc_fast::crc32_iscsi(header.as_bytes().get(12..).unwrap_or_default())
}

/// A file of rows, open for reading.
pub struct RowFile {
    file: Arc<dyn File>,
    path: std::path::PathBuf,
    nonce: u64,
    rows: u64,
    pages: u32,
}

impl RowFile {
    /// Opens a file and gives its directory, whose checksum has been compared.
    ///
    /// # Errors
    /// `Corrupt` when it is not a whole file of this schema; of the system.
    pub fn open(env: &dyn Env, path: &Path, schema: u64) -> Result<(Self, AlignedVec), Error> {
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("{}: {what}", path.display()));
        let file = env.open_read(path)?;
        let len = file.len()?;
        let mut bytes = [0; size_of::<HeaderBytes>()];
        if len < PAGE_LEN as u64 {
            return Err(corrupt("too short for a file of rows"));
        }
        env::read_exact_at(&*file, &mut bytes, 0)?;
        let (header, _) =
            HeaderBytes::read_from_prefix(&bytes).map_err(|_| corrupt("too short for a file of rows"))?;
        if header.magic != MAGIC || header.crc.get() != covered(&header) {
            return Err(corrupt("the header does not hold"));
        }
        if header.version.get() != VERSION || header.schema.get() != schema {
            return Err(corrupt("of another version"));
        }
        let (pages, directory_len) = (u64::from(header.pages.get()), header.directory_len.get());
        let directory_at = pages.saturating_add(1).saturating_mul(PAGE_LEN as u64);
        if directory_len > DIRECTORY_LEN_MAX || directory_at.saturating_add(directory_len) != len {
            return Err(corrupt("not as long as it says"));
        }
        let mut directory = AlignedVec::new();
        directory.resize(usize::try_from(directory_len).unwrap_or(usize::MAX), 0);
        env::read_exact_at(&*file, &mut directory, directory_at)?;
        if crc_fast::crc32_iscsi(&directory) != header.directory_crc.get() {
            return Err(corrupt("the directory does not hold"));
        }
        let this = Self {
            file,
            path: path.to_owned(),
            nonce: header.nonce.get(),
            rows: header.rows.get(),
            pages: header.pages.get(),
        };
        Ok((this, directory))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Pages in it.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The rows of a page, read into `buffer` and checked.
    ///
    /// # Errors
    /// `Corrupt` when the page does not hold; of the system.
    pub fn page<'b>(&self, page: u32, buffer: &'b mut PageBuffer) -> Result<&'b [Row], Error> {
        let at = u64::from(page).saturating_add(1).saturating_mul(PAGE_LEN as u64);
        env::read_exact_at(&*self.file, &mut buffer.0, at)?;
        let corrupt = || Error::new(ErrorKind::Corrupt, format!("{}: page {page}", self.path.display()));
        let (header, rows) = PageHeaderBytes::ref_from_prefix(&buffer.0).map_err(|_| corrupt())?;
        let holds = header.crc.get() == crc_fast::crc32_iscsi(buffer.0.get(4..).unwrap_or_default())
            && header.page.get() == page
            && header.nonce.get() == self.nonce;
        let (rows, _) = rows.as_chunks::<ROW_LEN>();
        let rows = rows.get(..usize::from(header.rows.get()));
        rows.filter(|_| holds).ok_or_else(corrupt)
    }

    /// All rows in order.
    pub fn iter(&self) -> Rows<'_> {
        Rows { file: self, page: 0, row: 0, buffer: PageBuffer::default(), have: 0 }
    }
}

impl std::fmt::Debug for RowFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowFile").field("path", &self.path).field("rows", &self.rows).finish()
    }
}

/// Room for one page.
pub struct PageBuffer([u8; PAGE_LEN]);

impl Default for PageBuffer {
    fn default() -> Self {
        Self([0; PAGE_LEN])
    }
}

/// All rows of a file, in order. Lends one row at a time.
pub struct Rows<'f> {
    file: &'f RowFile,
    /// The next page to read.
    page: u32,
    row: usize,
    buffer: PageBuffer,
    /// Rows in the buffer.
    have: usize,
}

impl Rows<'_> {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// As [`RowFile::page`].
    #[expect(clippy::should_implement_trait, reason = "errors end it, and rows are copied out one by one")]
    pub fn next(&mut self) -> Result<Option<Row>, Error> {
        while self.row >= self.have {
            if self.page >= self.file.pages {
                return Ok(None);
            }
            self.have = self.file.page(self.page, &mut self.buffer)?.len();
            (self.page, self.row) = (self.page.saturating_add(1), 0);
        }
        let at = PAGE_HEADER_LEN.saturating_add(self.row.saturating_mul(ROW_LEN));
        self.row = self.row.saturating_add(1);
        Ok(self.buffer.0.get(at..).and_then(|bytes| bytes.first_chunk::<ROW_LEN>()).copied())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;
    use crate::env::RealEnv;

    fn row(number: u64) -> Row {
        let mut row = [0; ROW_LEN];
        row[..8].copy_from_slice(&number.to_le_bytes());
        row
    }

    fn write(env: &dyn Env, path: &Path, rows: u64) {
        let mut writer = RowWriter::create(env, path).unwrap();
        let firsts = (0..rows).filter(|number| writer.push(&row(*number)).unwrap()).count();
        assert_eq!(firsts as u64, rows.div_ceil(PAGE_ROWS as u64));
        writer.finish(7, b"directory").unwrap();
    }

    // Edges of pages and of the write buffer.
    #[test]
    fn rows_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (env, path) = (RealEnv::new(dir.path()), Path::new("rows"));
        for count in [0, 1, 126, 127, 128, 254, 255, 40_000] {
            write(&env, path, count);
            let (file, directory) = RowFile::open(&env, path, 7).unwrap();
            assert_eq!((file.rows(), directory.as_slice()), (count, &b"directory"[..]));
            let mut rows = file.iter();
            for number in 0..count {
                assert_eq!(rows.next().unwrap(), Some(row(number)));
            }
            assert_eq!(rows.next().unwrap(), None);
        }
    }

    // An answer about a document may hang on any bit of it.
    #[test]
    fn every_flipped_bit_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let (env, path) = (RealEnv::new(dir.path()), Path::new("rows"));
        write(&env, path, 130);
        let good = std::fs::read(dir.path().join("rows")).unwrap();
        let holds = || -> Result<(), Error> {
            let (file, _) = RowFile::open(&env, path, 7)?;
            let mut rows = file.iter();
            while rows.next()?.is_some() {}
            Ok(())
        };
        holds().unwrap();
        for bit in (0..good.len() * 8).filter(|bit| bit / 8 < 64 || bit / 8 >= PAGE_LEN).step_by(13) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(dir.path().join("rows"), &bad).unwrap();
            assert_eq!(holds().unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for len in [0, 63, 64, 4096, good.len() - 1] {
            std::fs::write(dir.path().join("rows"), &good[..len]).unwrap();
            assert!(holds().is_err(), "cut at {len}");
        }
        write(&env, path, 1);
        assert_eq!(RowFile::open(&env, path, 8).unwrap_err().kind(), ErrorKind::Corrupt, "another schema");
    }
}
