//! Reading our Parquet files back through the [`Env`] seam.
//!
//! A file is never mapped here: a Parquet file can be replaced by a later merge, and a map of it would outlive
//! the check. Reads are whole column chunks or pages, as the Parquet reader asks for them.
//!
//! A folder that is merged changes places with its successor at once. Until the next owner clears up, a file that the
//! manifest names stands in the one or the other: [`open_published`] looks into both. An archive in an object store
//! ([`crate::store`]) is read through the same door, by ranges.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetStatisticsPolicy};
use parquet::file::reader::{ChunkReader, Length};

use crate::env::{Env, File, read_exact_at};
use crate::error::{Error, ErrorKind};
use crate::manifest::{MERGING_DIR, PARQUET_DIR};

/// A file of an [`Env`] as the Parquet reader wants it.
#[derive(Clone)]
pub struct Chunks {
    file: Arc<dyn File>,
    len: u64,
}

impl Chunks {
    /// Opens the file.
    ///
    /// # Errors
    /// Of the system.
    pub fn open(env: &dyn Env, path: &Path) -> Result<Self, Error> {
        let file = open_published(env, path)?;
        let len = file.len()?;
        Ok(Self { file, len })
    }

    /// Length, bytes.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// BLAKE3 of the whole file, hex.
    ///
    /// # Errors
    /// Of the system.
    pub fn blake3(&self) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0_u8; 1 << 20];
        let mut at = 0_u64;
        while at < self.len {
            let taken = self.file.read_at(&mut buffer, at)?;
            if taken == 0 {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("a file ended at byte {at} of {}", self.len),
                ));
            }
            hasher.update(buffer.get(..taken).unwrap_or_default());
            at = at.saturating_add(taken as u64);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// Opens a file of the archive, wherever it lies: in the tree, where a merge has put it, or in an object store.
///
/// # Errors
/// Of the system; [`Error::is_not_found`] when it stands in neither folder.
pub fn open_published(env: &dyn Env, path: &Path) -> Result<Arc<dyn File>, Error> {
    if let Some(store) = env.store().filter(|_| path.starts_with(PARQUET_DIR)) {
        return store.open(path);
    }
    match env.open_read(path) {
        Err(error) if error.is_not_found() => {}
        opened => return opened,
    }
    let Ok(below) = path.strip_prefix(PARQUET_DIR) else { return env.open_read(path) };
    match env.open_read(&Path::new(MERGING_DIR).join(below)) {
        // The two may have changed places between the two looks.
        Err(error) if error.is_not_found() => env.open_read(path),
        opened => opened,
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Chunks {
    type T = Cursor;

    fn get_read(&self, start: u64) -> Result<Cursor, ParquetError> {
        Ok(Cursor { file: Arc::clone(&self.file), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // The footer of a damaged file can ask for anything.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.len)));
        }
        let mut buffer = vec![0; length];
        read_exact_at(&*self.file, &mut buffer, start)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(buffer.into())
    }
}

/// Reads on from an offset.
pub struct Cursor {
    file: Arc<dyn File>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let taken = self.file.read_at(buffer, self.at).map_err(std::io::Error::other)?;
        self.at = self.at.saturating_add(taken as u64);
        Ok(taken)
    }
}

/// Opens a file as a builder of readers, page index included.
///
/// # Errors
/// `Corrupt` when it is no Parquet file, else of the system.
pub fn open(env: &dyn Env, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<Chunks>, Error> {
    let chunks = Chunks::open(env, path)?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    ParquetRecordBatchReaderBuilder::try_new_with_options(chunks, options).map_err(|error| wrong(path, error))
}

/// The same for whoever knows which rows he wants: places of pages, and no statistics.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_for_rows(
    env: &dyn Env,
    path: &Path,
) -> Result<ParquetRecordBatchReaderBuilder<Chunks>, Error> {
    let chunks = Chunks::open(env, path)?;
    let options = ArrowReaderOptions::new()
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional)
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    ParquetRecordBatchReaderBuilder::try_new_with_options(chunks, options).map_err(|error| wrong(path, error))
}

/// Reads the named columns of a file, in the order they stand in the file, batch by batch.
///
/// # Errors
/// `Corrupt` when the file cannot be read as Parquet or lacks a column; the first error of `each`.
pub fn each_batch(
    env: &dyn Env,
    path: &Path,
    columns: &[&str],
    mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<u64, Error> {
    let builder = open(env, path)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader =
        builder.with_projection(mask).with_batch_size(1024).build().map_err(|error| wrong(path, error))?;
    let mut rows = 0_u64;
    for batch in reader {
        let batch = batch.map_err(|error| wrong(path, error.into()))?;
        rows = rows.saturating_add(batch.num_rows() as u64);
        each(&batch)?;
    }
    Ok(rows)
}

/// A column of a batch by name and type.
///
/// # Errors
/// `Corrupt` when it is not there or of another type.
pub fn column<'b, A: 'static>(batch: &'b RecordBatch, path: &Path, name: &str) -> Result<&'b A, Error> {
    batch
        .column_by_name(name)
        .and_then(|array| array.as_any().downcast_ref::<A>())
        .ok_or_else(|| damaged(path, format!("no column {name} of the expected type")))
}

/// What a failed Parquet call means: the system's error below it when there is one, else a damaged file.
pub fn wrong(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(source) => match source.downcast::<std::io::Error>() {
                Ok(io) => match io.downcast::<Error>() {
                    Ok(error) => error,
                    Err(io) => Error::io(path.display().to_string(), io),
                },
                Err(source) => damaged(path, source.to_string()),
            },
        },
        other => damaged(path, other.to_string()),
    }
}

/// A file that does not hold what it should.
pub fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: {what}", path.display()))
}
