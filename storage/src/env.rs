//! The only door to the operating system: files, clock, randomness, threads.
//!
//! Everything in this house that touches the world takes an `Arc<dyn Env>`. [`RealEnv`] is the machine;
//! `testing::SimEnv` is a disk that lies. The log's own logic is sans-I/O and sees even less: it emits
//! [`DiskOp`]s and is fed [`Completion`]s; a [`DiskQueue`] carries them.
//!
//! Paths are relative to the data directory the `Env` was made for.
//!
//! Two lanes, each in order: `Commit` writes and syncs batches, `Background` prewrites and seals segments, so
//! that the 64 MiB of the next segment never stand between a document and its answer.

use std::any::Any;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use bytes::Bytes;

use crate::disk::{Completion, DiskOp};
use crate::error::{Error, ErrorKind};
use crate::planted::planted;
use crate::store::Store;

mod forward;
mod mirrored;
mod real;
pub use mirrored::{Mirror, Mirrored};
pub use real::RealEnv;

/// The two clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Unix time, microseconds, UTC. May jump; orders nothing.
    pub wall_us: i64,
    /// Microseconds since some start. Never decreases; all waits are counted on it.
    pub mono_us: u64,
}

/// A started thread.
pub trait Task: Send {
    /// Waits for its end.
    ///
    /// # Errors
    /// `Reopen` when it panicked.
    fn join(self: Box<Self>) -> Result<(), Error>;
}

/// Held as long as the directory is ours; dropping it lets go.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component.
    pub name: String,
    /// Bytes; 0 for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// An open file. Reads and writes name their offset; there is no cursor.
pub trait File: Send + Sync {
    /// Reads what is there, up to the buffer's length; 0 = end of file.
    ///
    /// # Errors
    /// Of the system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error>;

    /// Writes the parts one after another from `offset` and tells how many bytes were taken.
    ///
    /// # Errors
    /// Of the system.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error>;

    /// As [`File::read_at`], but past the system's page cache where that can be. For a buffer that begins where a page does, with a length
    /// and an `offset` that are multiples of the device's block; others go the usual way.
    ///
    /// # Errors
    /// Of the system.
    fn read_direct(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.read_at(buffer, offset)
    }

    /// As [`File::write_at`], but past the system's page cache where that can be: under the same conditions as
    /// [`File::read_direct`]. A sync is needed all the same.
    ///
    /// # Errors
    /// Of the system.
    fn write_direct(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.write_at(parts, offset)
    }

    /// Makes the written bytes durable (fdatasync). An error is final for this file: the kernel has dropped
    /// the pages and the next call would report success for bytes that are not there.
    ///
    /// # Errors
    /// Of the system.
    fn sync(&self) -> Result<(), Error>;

    /// Makes bytes and length durable (fsync).
    ///
    /// # Errors
    /// Of the system.
    fn sync_all(&self) -> Result<(), Error>;

    /// Length in bytes.
    ///
    /// # Errors
    /// Of the system.
    fn len(&self) -> Result<u64, Error>;

    /// Whether there is no byte in it.
    ///
    /// # Errors
    /// Of the system.
    fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file. Never called on a file that may be mapped.
    ///
    /// # Errors
    /// Of the system.
    fn set_len(&self, len: u64) -> Result<(), Error>;

    /// Maps the whole file for reading. Only for files that nobody writes or cuts any more.
    ///
    /// # Errors
    /// Of the system.
    fn map(&self) -> Result<Bytes, Error>;

    /// The same for reads of single records here and there: the system reads no more than is asked for.
    ///
    /// # Errors
    /// Of the system.
    fn map_scattered(&self) -> Result<Bytes, Error> {
        self.map()
    }

    /// The system may forget what it holds of these bytes: the next read of them comes from the disk. Does nothing to
    /// bytes that are not written yet, or mapped.
    fn let_go(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
}

/// Carries operations to the disk and brings their completions back.
pub trait DiskQueue: Send {
    /// Hands an operation over. Operations of one lane run in the order of submission; a commit that follows a failed one may overtake the one
    /// that was ahead of it, which is not begun.
    fn submit(&mut self, op: DiskOp);

    /// Appends what has completed since the last call. The queue's `wake` rings when there is something to fetch. Waits
    /// for nothing that another thread does, but may itself do a commit of a few records that was submitted before:
    /// poll again after submitting, before a sleep.
    fn poll(&mut self, completions: &mut Vec<Completion>);
}

/// Called from a disk thread after a completion has been posted; must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Says what one thread has had of the cores.
pub trait CoreClock: Send + Sync {
    /// Until now; `None` when the thread has ended.
    fn read(&self) -> Option<CoreTime>;
}

/// What a thread has had of the cores since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTime {
    /// It ran on one.
    pub ran: Duration,
    /// It was ready to run, and there was none.
    pub waited: Duration,
}

/// Files, clock, randomness, threads.
pub trait Env: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Now;

    /// A number nobody can guess.
    fn random(&self) -> u64;

    /// What the calling thread has of the cores, to be asked by any thread; `None` where the system does not say.
    fn core_clock(&self) -> Option<Box<dyn CoreClock>> {
        None
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// `Retry` when the system has no more of them.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// Of the system; [`Error::is_not_found`] when it is not there.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Of the system; [`Error::is_not_found`] when it is not there.
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error>;

    /// Makes an empty file, emptying one that stands there. Its name is durable after [`Env::sync_dir`] only.
    ///
    /// # Errors
    /// Of the system.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error>;

    /// Renames, replacing what stands there. Durable after [`Env::sync_dir`] only.
    ///
    /// # Errors
    /// Of the system.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error>;

    /// Makes the two directories change names, at once: nobody sees one of them without the other. Durable after
    /// [`Env::sync_dir`] of what is above them only.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where the file system cannot do that; of the system.
    fn exchange(&self, one: &Path, other: &Path) -> Result<(), Error> {
        let _ = one;
        Err(unsupported(other))
    }

    /// Gives a file a second name. Durable after [`Env::sync_dir`] only.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where the file system cannot do that; of the system.
    fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let _ = from;
        Err(unsupported(to))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Of the system.
    fn remove(&self, path: &Path) -> Result<(), Error>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Of the system.
    fn remove_dir(&self, path: &Path) -> Result<(), Error>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Of the system.
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error>;

    /// Makes the names of a directory durable.
    ///
    /// # Errors
    /// Of the system; as final as that of [`File::sync`].
    fn sync_dir(&self, dir: &Path) -> Result<(), Error>;

    /// Makes a directory with all above it, each name durable.
    ///
    /// # Errors
    /// Of the system.
    fn create_dir_all(&self, dir: &Path) -> Result<(), Error>;

    /// Whether something stands under this name.
    ///
    /// # Errors
    /// Of the system.
    fn exists(&self, path: &Path) -> Result<bool, Error>;

    /// Takes the exclusive lock of a file, making it if needed.
    ///
    /// # Errors
    /// `Busy` when another holds it.
    fn lock(&self, path: &Path) -> Result<LockGuard, Error>;

    /// Free bytes of the file system for us.
    ///
    /// # Errors
    /// Of the system.
    fn free_bytes(&self) -> Result<u64, Error>;

    /// Opens the two disk lanes.
    ///
    /// # Errors
    /// When their threads cannot be started.
    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error>;

    /// The further copy of the log that this machine keeps on a second device.
    fn mirror(&self) -> Option<&Mirror> {
        None
    }

    /// The object store where the archive of this machine lies; `None`: it lies in the directory.
    fn store(&self) -> Option<&dyn Store> {
        None
    }
}

fn unsupported(path: &Path) -> Error {
    Error::io(path.display().to_string(), io::ErrorKind::Unsupported.into())
}

/// Parts that go to the disk as one write; a commit has fewer.
const PARTS_MAX: usize = 8;

/// Writes all parts, taking up short writes where they stopped.
///
/// # Errors
/// Of the file; a write that takes nothing is a storage fault.
pub fn write_all_at<F: File + ?Sized>(file: &F, parts: &[&[u8]], offset: u64) -> Result<(), Error> {
    write_all(parts, offset, |rest, at| file.write_at(rest, at))
}

/// The same past the page cache where that can be: [`File::write_direct`].
///
/// # Errors
/// As of [`write_all_at`].
pub fn write_all_direct<F: File + ?Sized>(file: &F, parts: &[&[u8]], offset: u64) -> Result<(), Error> {
    write_all(parts, offset, |rest, at| file.write_direct(rest, at))
}

fn write_all(
    parts: &[&[u8]],
    offset: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> Result<usize, Error>,
) -> Result<(), Error> {
    let mut at = offset;
    for parts in parts.chunks(PARTS_MAX) {
        let mut slices: ArrayVec<IoSlice<'_>, PARTS_MAX> =
            parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let taken = write(rest, at)?;
            if taken == 0 {
                return Err(Error::io("a write took no byte", io::ErrorKind::WriteZero.into()));
            }
            at = at.saturating_add(taken as u64);
            IoSlice::advance_slices(&mut rest, taken);
        }
    }
    Ok(())
}

/// Fills the buffer.
///
/// # Errors
/// Of the file; `Corrupt` when it ends before the buffer is full.
pub fn read_exact_at(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
    read_exact(buffer, offset, |rest, at| file.read_at(rest, at))
}

/// The same past the page cache where that can be: [`File::read_direct`].
///
/// # Errors
/// As of [`read_exact_at`].
pub fn read_exact_direct(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
    read_exact(buffer, offset, |rest, at| file.read_direct(rest, at))
}

fn read_exact(
    buffer: &mut [u8],
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> Result<usize, Error>,
) -> Result<(), Error> {
    let (mut rest, mut at) = (buffer, offset);
    while !rest.is_empty() {
        let taken = read(rest, at)?;
        if taken == 0 {
            return Err(Error::io(format!("read at byte {at}"), io::ErrorKind::UnexpectedEof.into()));
        }
        at = at.saturating_add(taken as u64);
        rest = rest.get_mut(taken..).unwrap_or_default();
    }
    Ok(())
}

/// Reads a whole small file.
///
/// # Errors
/// Of the system; `Corrupt` when it is longer than `len_max`.
pub fn read_file(env: &dyn Env, path: &Path, len_max: u64) -> Result<Vec<u8>, Error> {
    let file = env.open_read(path)?;
    let len = file.len()?;
    if len > len_max {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{}: {len} bytes, at most {len_max}", path.display()),
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces a file so that after any crash the old or the new bytes stand there, whole: written beside it,
/// synced, renamed, directory synced.
///
/// # Errors
/// Of the system.
pub fn replace_file(env: &dyn Env, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let beside = PathBuf::from(name);
    let file = env.create(&beside)?;
    write_all_at(&*file, &[bytes], 0)?;
    if !planted!(29) {
        file.sync_all()?;
        // An error that comes late is asked for at once: nobody syncs this file again.
        file.sync_all()?;
    }
    env.rename(&beside, path)?;
    env.sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// `std::io::Write` over a file of an [`Env`], from its begin.
pub struct FileWriter {
    file: Arc<dyn File>,
    at: u64,
}

impl FileWriter {
    /// Writes from byte 0.
    pub fn new(file: Arc<dyn File>) -> Self {
        Self { file, at: 0 }
    }

    /// Bytes written so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The file, of a writer that somebody else holds.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The file.
    pub fn into_file(self) -> Arc<dyn File> {
        self.file
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write_at(&[IoSlice::new(bytes)], self.at).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(taken as u64);
        Ok(taken)
    }

    /// Nothing is buffered here; durability is [`File::sync_all`]'s.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
