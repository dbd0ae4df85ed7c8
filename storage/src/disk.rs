//! What the log asks of the disk, and how it is done over an [`Env`].
//!
//! The log decides and the disk obeys: a [`DiskOp`] is a whole piece of work (write and sync a batch, prewrite
//! a segment, seal one), [`execute`] does it by the synchronous calls of [`File`], and a [`Completion`] brings
//! the result and the buffers back. The real queue runs that on two threads, at a pace of its own, the simulated one inside
//! its scheduler, without a pause: the same code, so that a crash can fall between any two calls of it.
//!
//! All bytes of a segment go past the page cache, zeros, batches and footer, and are read back past it for the chain: nobody but a
//! reader fills the cache with them (docs/adr/0005-past-the-page-cache.md).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;

use crate::buffer::{PageBytes, Shared};
use crate::env::{self, Env, File};
use crate::error::{Error, ErrorKind};
use crate::format::{CHAIN_BLOCK_LEN, ChainHash, FOOTER_BLOCK_LEN, SegmentFooter, chain_block};
use crate::planted::planted;
use crate::position::SegmentId;

/// Directory of the log inside the data directory.
pub(crate) const LOG_DIR: &str = "log";

/// Path of a segment.
pub(crate) fn segment_path(segment: SegmentId) -> PathBuf {
    Path::new(LOG_DIR).join(format!("{segment}.seg"))
}

/// Path of a segment that is being prewritten.
pub(crate) fn prepare_path(segment: SegmentId) -> PathBuf {
    Path::new(LOG_DIR).join(format!(".prepare-{segment}"))
}

/// The two lanes; each runs in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Batches: what registers wait for.
    Commit,
    /// Prewriting and sealing.
    Background,
}

/// One piece of work for the disk.
pub struct DiskOp {
    pub(crate) token: u64,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// Writes and syncs batches, or a marker, or nothing but asks for late errors. `ahead`: of a write that was on its way when this one was
    /// handed over, and whose failure ends the `run`.
    Commit { write: Write, run: Run, ahead: bool },
    /// The same for the mirror: never in the thread that polls, which has the local disk to wait for.
    Mirror(Write),
    /// Makes a segment file of real zeros, durable under its name, if so many bytes are free.
    Prepare { segment: SegmentId, len: u64, free_min: u64, due: Due },
    /// Reads a segment back, chains its hash and, unless the file is poisoned, writes the footer. `give_back`: at the end of
    /// a shorter file, where many blocks are unused.
    Seal { file: Arc<dyn File>, footer: SegmentFooter, len: u64, write: bool, give_back: bool, due: Due },
    /// Reads a segment of the mirror back and, if it is the one that was sealed, writes the same footer.
    SealMirror { file: Arc<dyn File>, footer: SegmentFooter, len: u64 },
    /// Removes a prepared file that holds nothing.
    Discard { segment: SegmentId },
}

/// Syncs the file `before` if there is one, then writes the buffers one after another and syncs once.
pub(crate) struct Write {
    pub(crate) file: Arc<dyn File>,
    pub(crate) offset: u64,
    pub(crate) buffers: Buffers,
    pub(crate) before: Option<Arc<dyn File>>,
    /// An error that comes late, to the next caller, is asked for at once.
    pub(crate) twice: bool,
}

/// Commits that build on one another. The first that fails ends the run: one that was handed over ahead of that outcome is not
/// begun then, since its header says that the one before it is proven.
#[derive(Clone, Default)]
pub(crate) struct Run(Arc<AtomicBool>);

impl Run {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How many bytes of a piece of work behind the watermark are due by now: what goes beyond them a queue may put off for commits, piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Due(Arc<Wanted>);

#[derive(Default)]
struct Wanted {
    bytes: AtomicU64,
    by_nobody: AtomicBool,
}

impl Due {
    /// Of what is urgent from the beginning.
    pub(crate) fn at_once() -> Self {
        let due = Self::default();
        due.up_to(u64::MAX);
        due
    }

    /// So much is due; that never becomes less.
    pub(crate) fn up_to(&self, bytes: u64) {
        self.0.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Is the byte at this place due?
    pub(crate) fn has_reached(&self, at: u64) -> bool {
        at < self.0.bytes.load(Ordering::Relaxed)
    }

    /// Nobody wants it any more: it ends with the next piece.
    pub(crate) fn give_up(&self) {
        self.0.by_nobody.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.0.by_nobody.load(Ordering::Relaxed)
    }
}

/// How a queue puts off what is not urgent.
pub(crate) trait Pace {
    /// Called between two pieces of work of a mebibyte at most, while it is `not_urgent`.
    ///
    /// # Errors
    /// When nobody waits for the end of that work any more.
    fn give_way(&self, not_urgent: &dyn Fn() -> bool) -> Result<(), Error>;
}

/// Everything at once.
struct AtOnce;

impl Pace for AtOnce {
    fn give_way(&self, _: &dyn Fn() -> bool) -> Result<(), Error> {
        Ok(())
    }
}

/// Between pieces of one operation.
#[derive(Clone, Copy)]
struct Between<'a> {
    pace: &'a dyn Pace,
    due: Option<&'a Due>,
}

impl Between<'_> {
    const AT_ONCE: Self = Between { pace: &AtOnce, due: None };

    /// Before the piece that begins at this place.
    fn pieces(&self, at: u64) -> Result<(), Error> {
        match self.due {
            Some(due) if due.is_given_up() => Err(Error::new(ErrorKind::Retry, "nobody wants it any more")),
            Some(due) if !due.has_reached(at) => {
                self.pace.give_way(&|| !due.has_reached(at) && !due.is_given_up())
            }
            _ => Ok(()),
        }
    }
}

impl DiskOp {
    /// The lane it belongs to.
    pub fn lane(&self) -> Lane {
        match self.work {
            Work::Commit { .. } | Work::Mirror(_) => Lane::Commit,
            Work::Prepare { .. } | Work::Seal { .. } | Work::SealMirror { .. } | Work::Discard { .. } => {
                Lane::Background
            }
        }
    }

    /// Bytes that a commit writes which waits for no other; `None` of other work.
    pub(crate) fn commit_len(&self) -> Option<usize> {
        match &self.work {
            Work::Commit { write, ahead: false, .. } => {
                Some(write.buffers.iter().fold(0, |sum, buffer| sum.saturating_add(buffer.len())))
            }
            _ => None,
        }
    }

    /// What it does, for traces.
    pub fn name(&self) -> &'static str {
        match self.work {
            Work::Commit { ahead: true, .. } => "commit-ahead",
            Work::Commit { .. } => "commit",
            Work::Mirror(_) => "mirror",
            Work::SealMirror { .. } => "seal-mirror",
            Work::Prepare { .. } => "prepare",
            Work::Seal { .. } => "seal",
            Work::Discard { .. } => "discard",
        }
    }
}

/// The end of a [`DiskOp`].
pub struct Completion {
    pub(crate) token: u64,
    pub(crate) result: Result<Done, Error>,
}

pub(crate) enum Done {
    Committed,
    Prepared(Arc<dyn File>),
    Sealed { chain: ChainHash },
    Discarded,
}

/// Does one operation. Called by queues only.
pub fn execute(env: &dyn Env, op: DiskOp) -> Completion {
    execute_at(&AtOnce, env, op)
}

/// The same at the pace of a queue.
pub(crate) fn execute_at(pace: &dyn Pace, env: &dyn Env, op: DiskOp) -> Completion {
    let DiskOp { token, work } = op;
    match work {
        Work::Commit { ahead: true, run, .. } if run.is_over() && !planted!(53) => {
            let text = "not begun: the write before it has failed";
            Completion { token, result: Err(Error::new(ErrorKind::Retry, text)) }
        }
        Work::Commit { write, run, .. } => {
            let result = commit(write);
            if result.is_err() {
                run.end();
            }
            Completion { token, result }
        }
        Work::Mirror(write) => Completion { token, result: commit(write) },
        Work::Prepare { segment, len, free_min, due } => {
            let between = Between { pace, due: Some(&due) };
            let room = has_room(env, segment, free_min);
            let result = room.and_then(|()| prepare_at(between, env, segment, len)).map(Done::Prepared);
            Completion { token, result }
        }
        Work::Seal { file, footer, len, write, give_back, due } => {
            let how = SealHow { write, give_back, wanted: None, between: Between { pace, due: Some(&due) } };
            let result = seal(&*file, footer, len, how).map(|chain| Done::Sealed { chain });
            Completion { token, result }
        }
        Work::SealMirror { file, footer, len } => {
            let (wanted, between) = (Some(footer.chain), Between::AT_ONCE);
            let how = SealHow { write: true, give_back: true, wanted, between };
            let result = seal(&*file, footer, len, how).map(|chain| Done::Sealed { chain });
            Completion { token, result }
        }
        Work::Discard { segment } => {
            let result = env.remove(&segment_path(segment)).map(|()| Done::Discarded);
            Completion { token, result }
        }
    }
}

/// The buffers are let go before anybody hears of it, so that they can be filled again.
fn commit(write: Write) -> Result<Done, Error> {
    let Write { file, offset, buffers, before, twice } = write;
    before.map_or(Ok(()), |before| before.sync())?;
    write_and_sync(&*file, offset, &buffers, twice)?;
    Ok(Done::Committed)
}

fn write_and_sync(file: &dyn File, offset: u64, buffers: &Buffers, twice: bool) -> Result<(), Error> {
    let parts: ArrayVec<&[u8], BUFFERS_MAX> = buffers.iter().map(|buffer| &***buffer).collect();
    env::write_all_direct(file, &parts, offset)?;
    if planted!(1) {
        return Ok(());
    }
    if planted!(3) {
        return file.sync().or_else(|_| file.sync());
    }
    file.sync()?;
    if twice && !planted!(36) { file.sync() } else { Ok(()) }
}

/// Header block, a retained batch, the one that was in flight.
pub(crate) const BUFFERS_MAX: usize = 3;
/// What one commit writes.
pub(crate) type Buffers = ArrayVec<Shared, BUFFERS_MAX>;

/// The low-water mark is looked at where the space is taken: it costs one call a segment.
fn has_room(env: &dyn Env, segment: SegmentId, free_min: u64) -> Result<(), Error> {
    let free = if free_min > 0 { env.free_bytes()? } else { u64::MAX };
    if free < free_min {
        let text =
            format!("{free} bytes are free, below {free_min} no segment is prepared (wanted: {segment})");
        return Err(Error::new(ErrorKind::Retry, text));
    }
    Ok(())
}

/// Real zeros, not `fallocate`: an unwritten extent would be converted by the first write into it, and the
/// fdatasync of a batch would then carry metadata (measured: 198 µs against 134 µs).
///
/// What failed leaves nothing behind, as far as the disk lets go of it: on a full disk every try would take what
/// little came free.
pub(crate) fn prepare(env: &dyn Env, segment: SegmentId, len: u64) -> Result<Arc<dyn File>, Error> {
    prepare_at(Between::AT_ONCE, env, segment, len)
}

fn prepare_at(
    between: Between<'_>,
    env: &dyn Env,
    segment: SegmentId,
    len: u64,
) -> Result<Arc<dyn File>, Error> {
    let (beside, path) = (prepare_path(segment), segment_path(segment));
    // A file whose sync has failed is not written and synced again under another try's name.
    if env.exists(&beside)? {
        env.remove(&beside)?;
    }
    let made = write_zeros(between, env, &beside, len).and_then(|()| {
        env.rename(&beside, &path)?;
        if planted!(4) {
            return env.open(&path);
        }
        env.sync_dir(Path::new(LOG_DIR)).or_else(|error| if planted!(49) { Ok(()) } else { Err(error) })?;
        // A handle that knows its name, for the errors it will tell.
        env.open(&path)
    });
    if made.is_err() {
        for name in [&beside, &path] {
            match env.remove(name) {
                Err(error) if !error.is_not_found() => {
                    tracing::warn!(%error, "what is left of a segment that could not be prepared stays");
                }
                _ => {}
            }
        }
    }
    made
}

fn write_zeros(between: Between<'_>, env: &dyn Env, path: &Path, len: u64) -> Result<(), Error> {
    let file = env.create(path)?;
    zero_fill(between, &*file, len)?;
    file.sync_all()
}

fn zero_fill(between: Between<'_>, file: &dyn File, len: u64) -> Result<(), Error> {
    let zeros = block_for(len);
    let mut at = 0;
    while at < len {
        between.pieces(at)?;
        let count = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX).min(CHAIN_BLOCK_LEN);
        env::write_all_direct(file, &[zeros.get(..count).unwrap_or_default()], at)?;
        at = at.saturating_add(count as u64);
    }
    Ok(())
}

/// Zeros of one block, or of a shorter file.
fn block_for(len: u64) -> PageBytes {
    PageBytes::zeros(usize::try_from(len).unwrap_or(usize::MAX).min(CHAIN_BLOCK_LEN))
}

/// What a seal does besides the chain.
struct SealHow<'a> {
    between: Between<'a>,
    write: bool,
    give_back: bool,
    /// The chain that the bytes must come to.
    wanted: Option<ChainHash>,
}

/// The footer goes to the end of the file. A segment that was closed early first gives its unused blocks back:
/// nobody has mapped it yet, since only sealed segments are mapped. Between the two steps a reader finds no
/// footer at the end and takes the segment for an open one, which is the truth.
fn seal(file: &dyn File, mut footer: SegmentFooter, len: u64, how: SealHow<'_>) -> Result<ChainHash, Error> {
    let SealHow { between, write, give_back, wanted } = how;
    footer.chain = chain_at(between, file, footer.used, &footer.chain_before)?;
    if wanted.is_some_and(|wanted| wanted != footer.chain) {
        let text = format!("segment {}: the copy differs from what was sealed", footer.stamp.segment);
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    if write {
        let short = footer.used.saturating_add(FOOTER_BLOCK_LEN);
        let len = if give_back && len.saturating_sub(short) > len / GIVE_BACK_DIVISOR {
            file.set_len(short)?;
            short
        } else {
            len
        };
        let mut block = PageBytes::default();
        block.extend_from_slice(&footer.encode());
        env::write_all_direct(file, &[&block], len.saturating_sub(FOOTER_BLOCK_LEN))?;
        file.sync_all()?;
    }
    Ok(footer.chain)
}

/// A segment with more than this part of it unused is cut when it is sealed; a fuller one keeps its length, so
/// that its blocks can be recycled whole.
const GIVE_BACK_DIVISOR: u64 = 8;

/// The chain over the first `used` bytes of a file.
pub(crate) fn chain_of(file: &dyn File, used: u64, before: &ChainHash) -> Result<ChainHash, Error> {
    chain_at(Between::AT_ONCE, file, used, before)
}

fn chain_at(
    between: Between<'_>,
    file: &dyn File,
    used: u64,
    before: &ChainHash,
) -> Result<ChainHash, Error> {
    let mut block = block_for(used);
    let (mut chain, mut at) = (*before, 0);
    while at < used {
        let count = usize::try_from(used.saturating_sub(at)).unwrap_or(usize::MAX).min(CHAIN_BLOCK_LEN);
        let part = block.get_mut(..count).unwrap_or_default();
        between.pieces(at)?;
        env::read_exact_direct(file, part, at)?;
        chain = chain_block(&chain, part);
        at = at.saturating_add(count as u64);
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use std::cell::Cell;

    use super::*;
    use crate::env::RealEnv;

    /// Counts how often it was asked, says that it is enough after so many times, and that all is due after as many.
    struct Asked {
        times: Cell<u32>,
        ends_after: u32,
        urgent_after: u32,
        due: Due,
    }

    impl Pace for Asked {
        fn give_way(&self, not_urgent: &dyn Fn() -> bool) -> Result<(), Error> {
            assert!(not_urgent(), "what is urgent gives way to nobody");
            self.times.set(self.times.get() + 1);
            if self.times.get() == self.urgent_after {
                self.due.up_to(u64::MAX);
                assert!(!not_urgent());
            }
            if self.times.get() > self.ends_after {
                Err(Error::new(ErrorKind::Retry, "over"))
            } else {
                Ok(())
            }
        }
    }

    const PIECES: u32 = 4;
    const LEN: u64 = (PIECES as usize * CHAIN_BLOCK_LEN) as u64;

    fn prepared(ends_after: u32, urgent_after: u32) -> (u32, bool, usize) {
        let dir = tempfile::tempdir().unwrap();
        let env = RealEnv::new(dir.path());
        env.create_dir_all(Path::new(LOG_DIR)).unwrap();
        let due = Due::default();
        let asked = Asked { times: Cell::new(0), ends_after, urgent_after, due: due.clone() };
        let work = Work::Prepare { segment: SegmentId::new(1), len: LEN, free_min: 0, due };
        let made = execute_at(&asked, &env, DiskOp { token: 1, work }).result.is_ok();
        (asked.times.get(), made, std::fs::read_dir(dir.path().join(LOG_DIR)).unwrap().count())
    }

    /// Why: a commit waits for one piece at most, what has become urgent waits for nothing, and what is given up leaves nothing.
    #[test]
    fn a_segment_is_prewritten_piece_by_piece() {
        assert_eq!(prepared(u32::MAX, 0), (PIECES, true, 1));
        assert_eq!(prepared(u32::MAX, 2), (2, true, 1));
        assert_eq!(prepared(2, 0), (3, false, 0));
    }
}
