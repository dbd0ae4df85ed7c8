//! The machine: the only file with `std::fs`, threads, clocks and system randomness.
//!
//! Writes are `pwritev`, commits `fdatasync`, everything that changes a length `fsync`: tests inject faults by
//! these names. EINTR is taken up again; every other error goes to the caller, once, as it came.
//!
//! Direct reads and writes go over a second descriptor of the same file, opened with O_DIRECT at the first of them. Where the
//! file system has none, or the device wants another alignment (EINVAL), they go the usual way
//! (`tests/direct.rs`, `what_goes_past_the_page_cache_and_what_goes_through_it_agree`).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the door that the ban on clocks, threads and files leads to"
)]

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::{CoreClock, CoreTime, DirEntry, DiskQueue, Env, File, LockGuard, Now, Task, Wake};
use crate::disk::{Completion, DiskOp, Lane, Pace, execute_at};
use crate::error::{Error, ErrorKind};
use crate::mmap::{self, Advice};

/// The real files under one data directory, the real clocks, threads and randomness.
#[derive(Clone)]
pub struct RealEnv {
    root: PathBuf,
}

impl RealEnv {
    /// For this data directory, which need not exist yet.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { root: data_dir.into() }
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    fn open_with(&self, path: &Path, options: &fs::OpenOptions) -> Result<Arc<dyn File>, Error> {
        let path = self.at(path);
        let file = options.open(&path).map_err(|error| failed("open", &path, error))?;
        Ok(Arc::new(RealFile { file, path, direct: OnceLock::new() }))
    }
}

/// `failed("open", path, error)` reads "open /data/log/meta: No such file or directory".
fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}

/// All clocks of a process count from the same start, so that two `RealEnv` agree.
fn process_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Env for RealEnv {
    fn now(&self) -> Now {
        // A clock before 1970 or after the year 294,000 is broken; any number is as good as another then.
        let wall_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::saturating_neg),
        };
        let mono_us = u64::try_from(process_start().elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { wall_us, mono_us }
    }

    fn random(&self) -> u64 {
        // `RandomState` is keyed by the system's randomness and differs by a counter from call to call; its
        // SipHash of a fresh clock reading is the one source of it in std.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(self.now().mono_us);
        hasher.finish()
    }

    fn core_clock(&self) -> Option<Box<dyn CoreClock>> {
        let clock = ThreadClock(fs::File::open("/proc/thread-self/schedstat").ok()?);
        clock.read()?;
        Some(Box::new(clock))
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error> {
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| Error::io(format!("start thread {name}"), error))?;
        Ok(Box::new(RealTask { handle }))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.open_with(path, fs::OpenOptions::new().read(true).write(true))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.open_with(path, fs::OpenOptions::new().read(true))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.open_with(path, fs::OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let (from, to) = (self.at(from), self.at(to));
        fs::rename(&from, &to).map_err(|error| failed("rename to", &to, error))
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<(), Error> {
        let (one, other) = (self.at(one), self.at(other));
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &one, rustix::fs::CWD, &other, flags)
            .map_err(|error| failed("exchange with", &other, error.into()))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let (from, to) = (self.at(from), self.at(to));
        fs::hard_link(&from, &to).map_err(|error| failed("link to", &to, error))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let path = self.at(path);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, error))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        let path = self.at(path);
        fs::remove_dir(&path).map_err(|error| failed("remove", &path, error))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error> {
        let dir = self.at(dir);
        // Not `fs::read_dir`: its end panics when close(2) reports a late error.
        let read = || -> io::Result<Vec<DirEntry>> {
            let mut opened = rustix::fs::Dir::new(fs::File::open(&dir)?)?;
            let mut entries = Vec::new();
            while let Some(entry) = opened.read() {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let stat = rustix::fs::statat(opened.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let len = if is_dir { 0 } else { u64::try_from(stat.st_size).unwrap_or(0) };
                // Names that are not UTF-8 are not ours; the lossy form shows them without matching ours.
                entries.push(DirEntry { name: name.to_string_lossy().into_owned(), len, is_dir });
            }
            entries.sort();
            Ok(entries)
        };
        read().map_err(|error| failed("list", &dir, error))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        let dir = self.at(dir);
        let synced = fs::File::open(&dir).and_then(|opened| opened.sync_all());
        synced.map_err(|error| failed("sync directory", &dir, error))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        // Also above the data directory: whoever names a fresh path gets all of it, durable.
        let dir = self.at(dir);
        let mut missing = Vec::new();
        let mut at = dir.as_path();
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at);
            at = at.parent().unwrap_or(Path::new(""));
        }
        for path in missing.into_iter().rev() {
            // Receipts hold personal data: nobody but the owner looks in, unless the operator says so.
            match fs::DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("create directory", path, error));
                }
                _ => {}
            }
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(above)
                .and_then(|opened| opened.sync_all())
                .map_err(|error| failed("sync directory", above, error))?;
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        let path = self.at(path);
        path.try_exists().map_err(|error| failed("look for", &path, error))
    }

    fn lock(&self, path: &Path) -> Result<LockGuard, Error> {
        let path = self.at(path);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Busy, format!("{} is locked by another process", path.display())))
            }
            Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path, error)),
        }
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|errno| failed("free space of", &self.root, io::Error::from(errno)))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(self.start_queue(&wake)?))
    }
}

impl RealEnv {
    fn start_queue(&self, wake: &Wake) -> Result<RealQueue, Error> {
        let (done, completions) = mpsc::channel();
        let commits = Arc::new(Commits::default());
        Ok(RealQueue {
            commit: Some(self.lane("ofd-commit", &done, wake, &commits)?),
            background: Some(self.lane("ofd-background", &done, wake, &commits)?),
            completions,
            env: self.clone(),
            commits,
            wake: Arc::clone(wake),
            small: None,
        })
    }

    fn lane(
        &self,
        name: &str,
        done: &Sender<Completion>,
        wake: &Wake,
        commits: &Arc<Commits>,
    ) -> Result<LaneThread, Error> {
        let (ops, incoming) = mpsc::channel::<DiskOp>();
        let (env, done, wake, commits) = (self.clone(), done.clone(), Arc::clone(wake), Arc::clone(commits));
        let task = self.spawn(
            name,
            Box::new(move || {
                for op in incoming {
                    if done.send(commits.execute(&env, op)).is_err() {
                        return;
                    }
                    wake();
                }
            }),
        )?;
        Ok(LaneThread { ops, task })
    }
}

struct LaneThread {
    ops: Sender<DiskOp>,
    task: Box<dyn Task>,
}

/// How long no commit may have been on its way for the disk to count as quiet.
const QUIET: Duration = Duration::from_millis(1);
/// How long a mebibyte of what is not urgent is put off at most: so that a disk that is never quiet still gets 64 MiB a second of it.
const PUT_OFF_MAX: Duration = Duration::from_millis(16);

/// What the lanes of a queue know of each other. A device does not tell what is urgent: where zeros of a segment to come stand before
/// a sync, the sync takes as long as both.
#[derive(Default)]
struct Commits {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Begun when a piece of other work was done last.
    seen: AtomicU64,
    /// The queue ends: what is not urgent is not waited for.
    ending: AtomicBool,
}

impl Commits {
    /// Does an operation of either lane.
    fn execute(&self, env: &RealEnv, op: DiskOp) -> Completion {
        if op.lane() == Lane::Background {
            return execute_at(self, env, op);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        let completion = execute_at(self, env, op);
        self.ended.fetch_add(1, Ordering::Relaxed);
        completion
    }

    /// No commit is on its way, and none was begun since the last look.
    fn are_quiet(&self) -> bool {
        let (ended, begun) = (self.ended.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        self.seen.swap(begun, Ordering::Relaxed) == begun && ended == begun
    }
}

impl Pace for Commits {
    fn give_way(&self, not_urgent: &dyn Fn() -> bool) -> Result<(), Error> {
        let since = Instant::now();
        loop {
            if !not_urgent() {
                return Ok(());
            }
            if self.ending.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Retry, "the log ends before this is needed"));
            }
            if self.are_quiet() || since.elapsed() >= PUT_OFF_MAX {
                return Ok(());
            }
            thread::sleep(QUIET);
        }
    }
}

/// A commit of at most so many bytes is done by the thread that polls. Handing it to the lane's thread wakes two
/// sleepers, some 25 µs beside a sync of 100; what the caller could do meanwhile, filling the next batch, takes less
/// for so few records. Larger ones overlap with the filling, which pays for the wakes.
const SMALL_COMMIT_LEN_MAX: usize = 64 * 1024;

/// Two threads with a channel each. Dropping the queue finishes what was submitted, but for what is not due, and joins them, so that
/// nothing writes to a directory whose lock is about to be let go.
struct RealQueue {
    commit: Option<LaneThread>,
    background: Option<LaneThread>,
    completions: Receiver<Completion>,
    env: RealEnv,
    commits: Arc<Commits>,
    wake: Wake,
    /// A commit that the next poll does itself. It is submitted when no other is on its way, and overtakes nothing but one that is not begun
    /// any more, since the one before it has failed. One that goes ahead of it is not small: this one goes to its thread before it.
    small: Option<DiskOp>,
}

impl RealQueue {
    fn send(&self, op: DiskOp) {
        let lane = match op.lane() {
            Lane::Commit => &self.commit,
            Lane::Background => &self.background,
        };
        if let Some(lane) = lane {
            // A lane ends before its queue only if `execute` panicked. The completion then never comes,
            // nothing is acknowledged any more, and the caller's watchdog sees a log that stands still.
            let _ = lane.ops.send(op);
        }
    }
}

impl DiskQueue for RealQueue {
    fn submit(&mut self, op: DiskOp) {
        if op.lane() == Lane::Commit {
            if let Some(before) = self.small.take() {
                self.send(before);
            } else if op.commit_len().is_some_and(|len| len <= SMALL_COMMIT_LEN_MAX) {
                self.small = Some(op);
                // Whoever sleeps before the next poll is woken at once.
                (self.wake)();
                return;
            }
        }
        self.send(op);
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        if let Some(op) = self.small.take() {
            completions.push(self.commits.execute(&self.env, op));
        }
        completions.extend(self.completions.try_iter());
    }
}

impl Drop for RealQueue {
    fn drop(&mut self) {
        if let Some(op) = self.small.take() {
            self.send(op);
        }
        self.commits.ending.store(true, Ordering::Relaxed);
        for lane in [self.commit.take(), self.background.take()].into_iter().flatten() {
            let LaneThread { ops, task } = lane;
            drop(ops);
            let _ = task.join();
        }
    }
}

struct RealTask {
    handle: thread::JoinHandle<()>,
}

impl Task for RealTask {
    fn join(self: Box<Self>) -> Result<(), Error> {
        self.handle.join().map_err(|_| Error::new(ErrorKind::Reopen, "a thread panicked"))
    }
}

struct RealFile {
    file: fs::File,
    path: PathBuf,
    /// The same file once more, past the page cache; `None` where the file system has no such thing.
    direct: OnceLock<Option<fs::File>>,
}

impl RealFile {
    fn failed(&self, what: &str, error: io::Error) -> Error {
        failed(what, &self.path, error)
    }
}

impl RealFile {
    /// Opened at its first use: of a segment's many handles only the writer's has one.
    fn direct(&self) -> Option<&fs::File> {
        let open = || {
            let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
            let mut options = fs::OpenOptions::new();
            let file = options.read(true).write(true).custom_flags(flags).open(&self.path).ok()?;
            // The name may lead to another file by now.
            let (here, there) = (self.file.metadata().ok()?, file.metadata().ok()?);
            ((here.dev(), here.ino()) == (there.dev(), there.ino())).then_some(file)
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// Everybody above counts on it, std with a panic; a file system in user space may say what it likes.
    fn at_most(&self, taken: usize, asked: usize, what: &str, offset: u64) -> Result<usize, Error> {
        if taken > asked {
            let path = self.path.display();
            let text =
                format!("{what} at byte {offset} of {path}: {taken} bytes reported, {asked} asked for");
            return Err(Error::new(ErrorKind::Reopen, text));
        }
        Ok(taken)
    }

    /// What a write has come to.
    fn taken(&self, taken: Result<usize, Errno>, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let taken =
            taken.map_err(|errno| self.failed(&format!("write at byte {offset} of"), errno.into()))?;
        let asked = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        self.at_most(taken, asked, "write", offset)
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&format!("read at byte {offset} of"), error)),
                Ok(taken) => return self.at_most(taken, buffer.len(), "read", offset),
            }
        }
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        loop {
            match rustix::io::pwritev(&self.file, parts, offset) {
                Err(Errno::INTR) => {}
                taken => return self.taken(taken, parts, offset),
            }
        }
    }

    fn read_direct(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let Some(direct) = self.direct() else { return self.read_at(buffer, offset) };
        match rustix::io::pread(direct, &mut *buffer, offset) {
            // Aligned as this device does not take it, or interrupted: the usual way.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::INTR) => self.read_at(buffer, offset),
            Err(errno) => Err(self.failed(&format!("read at byte {offset} of"), errno.into())),
            Ok(taken) => self.at_most(taken, buffer.len(), "read", offset),
        }
    }

    fn write_direct(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let Some(direct) = self.direct() else { return self.write_at(parts, offset) };
        match rustix::io::pwritev(direct, parts, offset) {
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::INTR) => self.write_at(parts, offset),
            taken => self.taken(taken, parts, offset),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        // Not repeated on EINTR: Linux does not return it here, and no error of a sync may be tried again.
        rustix::fs::fdatasync(&self.file).map_err(|errno| self.failed("sync", errno.into()))
    }

    fn sync_all(&self) -> Result<(), Error> {
        rustix::fs::fsync(&self.file).map_err(|errno| self.failed("sync", errno.into()))
    }

    fn len(&self) -> Result<u64, Error> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| self.failed("length of", error))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|error| self.failed("set the length of", error))
    }

    fn map(&self) -> Result<Bytes, Error> {
        mmap::map_read_only(&self.file, Advice::Normal).map_err(|error| self.failed("map", error))
    }

    fn map_scattered(&self) -> Result<Bytes, Error> {
        mmap::map_read_only(&self.file, Advice::Random).map_err(|error| self.failed("map", error))
    }

    fn let_go(&self, offset: u64, len: u64) {
        // Advice: what is not taken is read from memory once more.
        let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
    }
}

/// The `schedstat` of a thread: nanoseconds on a core, nanoseconds waited for one, times it was given one.
struct ThreadClock(fs::File);

impl CoreClock for ThreadClock {
    fn read(&self) -> Option<CoreTime> {
        let mut line = [0; 64];
        let len = self.0.read_at(&mut line, 0).ok()?;
        let mut numbers = str::from_utf8(line.get(..len)?).ok()?.split_ascii_whitespace().map(str::parse);
        let (ran, waited, given): (_, _, u64) =
            (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        // A kernel that does not count says nothing but zeros. A thread that has just begun has been given a core once.
        (given > 0).then(|| CoreTime { ran: Duration::from_nanos(ran), waited: Duration::from_nanos(waited) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Due;

    /// Why: without an end of it a busy door would keep the next segment from being ready, or a log from ending.
    #[test]
    fn other_work_gives_way_to_commits_for_a_while() {
        let commits = Commits::default();
        let asked = std::cell::Cell::new(0);
        let times = |count: u32| {
            asked.set(0);
            let given = commits.give_way(&|| {
                asked.set(asked.get() + 1);
                asked.get() < count
            });
            (given.is_ok(), asked.get())
        };
        assert_eq!(times(2), (true, 1), "nobody commits");
        commits.begun.fetch_add(1, Ordering::Relaxed);
        assert_eq!(times(2), (true, 2), "urgent at the second look");
        let (given, looks) = times(u32::MAX);
        assert!(given && looks > 1, "not for ever: {looks} looks");
        commits.ended.fetch_add(1, Ordering::Relaxed);
        assert_eq!(times(2), (true, 1), "it is over, and none has begun since the last look");
        commits.begun.fetch_add(1, Ordering::Relaxed);
        commits.ended.fetch_add(1, Ordering::Relaxed);
        assert_eq!(times(2), (true, 2), "another one was there meanwhile");
        commits.begun.fetch_add(1, Ordering::Relaxed);
        commits.ending.store(true, Ordering::Relaxed);
        assert_eq!(times(u32::MAX), (false, 1));
        assert_eq!(times(1), (true, 1), "what is urgent is done all the same");
    }

    /// Why: the process would stay for a second and more, for zeros that nobody writes to.
    #[test]
    fn a_queue_that_ends_waits_for_nothing_that_is_not_due() {
        let dir = tempfile::tempdir().expect("a folder");
        let env = RealEnv::new(dir.path());
        let log = Path::new(crate::disk::LOG_DIR);
        env.create_dir_all(log).expect("a folder for the log");
        let mut queue = env.start_queue(&(Arc::new(|| {}) as Wake)).expect("two threads");
        // As if commits came without a pause: it takes sixteen seconds to its end then.
        queue.commits.begun.fetch_add(1, Ordering::Relaxed);
        let segment = crate::position::SegmentId::new(1);
        let work = crate::disk::Work::Prepare { segment, len: 1 << 30, free_min: 0, due: Due::default() };
        queue.submit(DiskOp { token: 1, work });
        while env.list(log).expect("a list").is_empty() {
            thread::yield_now();
        }
        drop(queue);
        assert!(env.list(log).expect("a list").is_empty(), "neither made nor left half-made");
    }

    /// Why: who follows the log gives way by these numbers; without them nobody would, and no other test would notice.
    #[test]
    fn the_system_says_how_long_a_thread_waited_for_a_core() {
        let env = RealEnv::new("");
        if env.core_clock().is_none() {
            eprintln!("skipped: this system does not count how long a thread waits for a core");
            return;
        }
        // More threads than cores, so that some of them have to wait.
        let spinning = thread::available_parallelism().map_or(4, usize::from).saturating_mul(2);
        let waits = |_| {
            let env = env.clone();
            thread::spawn(move || {
                // At once: a thread that follows the log asks when it has hardly begun.
                let clock = env.core_clock()?;
                let (before, begin) = (clock.read()?, Instant::now());
                let mut after = before;
                while after.waited == before.waited && begin.elapsed() < Duration::from_secs(30) {
                    after = clock.read()?;
                }
                assert!(after.ran >= before.ran && after.waited >= before.waited);
                Some(after.waited > before.waited)
            })
        };
        let threads: Vec<_> = (0..spinning).map(waits).collect();
        let waited: Vec<_> = threads.into_iter().map(|it| it.join().expect("a thread that spins")).collect();
        assert!(waited.iter().all(Option::is_some), "a thread has no clock: {waited:?}");
        assert!(waited.contains(&Some(true)), "{waited:?}");
    }
}
