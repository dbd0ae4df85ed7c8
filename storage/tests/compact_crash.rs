//! A crash at every step of compaction: readers see the old state or the new one, and doing it again ends in the
//! same bytes.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use compact_support::*;
use ofd_storage::compact::compact;
use ofd_storage::env::File;
use ofd_storage::manifest::Archive;
use ofd_storage::verify::verify_source;
use ofd_storage::{Env, Error, RealEnv, forward_env};

/// Stops at a given change of the disk, half-way through it where it is a write, and does nothing after. A sync
/// counts as a step and is not done: the process dies here, not the machine.
struct CrashEnv {
    inner: RealEnv,
    left: Arc<AtomicI64>,
}

fn crash() -> Error {
    Error::io("the machine is off", std::io::Error::from_raw_os_error(5))
}

/// Whether one more change happens.
fn change(left: &AtomicI64) -> Result<(), Error> {
    if left.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(crash()) }
}

struct CrashFile {
    inner: Arc<dyn File>,
    left: Arc<AtomicI64>,
}

impl File for CrashFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.inner.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left == 1 {
            let half = &parts[0][..parts[0].len() / 2];
            self.inner.write_at(&[IoSlice::new(half)], offset)?;
        }
        if left > 1 { self.inner.write_at(parts, offset) } else { Err(crash()) }
    }
    fn sync(&self) -> Result<(), Error> {
        change(&self.left)
    }
    fn sync_all(&self) -> Result<(), Error> {
        change(&self.left)
    }
    fn len(&self) -> Result<u64, Error> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        change(&self.left).and_then(|()| self.inner.set_len(len))
    }
    fn map(&self) -> Result<Bytes, Error> {
        self.inner.map()
    }
}

impl CrashEnv {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CrashFile { inner, left: Arc::clone(&self.left) })
    }
}

impl Env for CrashEnv {
    forward_env!(inner: now random spawn list exists lock free_bytes queue);

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        Ok(self.file(self.inner.open(path)?))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        Ok(self.file(self.inner.open_read(path)?))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        change(&self.left)?;
        Ok(self.file(self.inner.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        change(&self.left).and_then(|()| self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        change(&self.left).and_then(|()| self.inner.remove(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        change(&self.left).and_then(|()| self.inner.remove_dir(path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        let _ = dir;
        change(&self.left)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        change(&self.left).and_then(|()| self.inner.create_dir_all(dir))
    }
}

/// What readers by pattern and readers by manifest may see, whatever has happened.
fn assert_sound(dir: &Path, env: &Arc<dyn Env>, step: i64) {
    for table in ["documents", "containers"] {
        let mut seen = BTreeSet::new();
        for (_, path) in glob(dir, table) {
            for position in values(&path, "position") {
                assert!(seen.insert(position.clone()), "step {step}: {table} has {position:?} twice");
            }
        }
    }
    let archive = Archive::open(env).unwrap();
    assert!([0, 2, 3].contains(&archive.compacted_through().as_u64()), "step {step}: whole runs only");
    let report = verify_source(&log_of_three(), env).unwrap();
    assert!(report.ok, "step {step}: {:?}", report.problems);
    assert_eq!(report.documents, 3);
    assert_eq!(report.parquet_rows, archive.compacted_through().as_u64(), "step {step}");
}

/// No step of a run may leave readers with half of it or with a document twice, and the end is always the same.
#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_the_new() {
    let reference = place();
    compact(&log_of_three(), &reference.env, &small_runs()).unwrap();
    let reference = tree(reference.dir.path());
    let mut crashes = 0;
    for step in 0.. {
        let place = place();
        let left = Arc::new(AtomicI64::new(step));
        let broken: Arc<dyn Env> =
            Arc::new(CrashEnv { inner: RealEnv::new(place.dir.path()), left: Arc::clone(&left) });
        let outcome = compact(&log_of_three(), &broken, &small_runs());
        assert_sound(place.dir.path(), &place.env, step);
        if outcome.is_ok() {
            assert!(left.load(Ordering::Relaxed) >= 0, "step {step}: an error was swallowed");
            break;
        }
        crashes += 1;
        // A second crash while the first is being cleared away.
        if step % 3 == 0 {
            left.store(3, Ordering::Relaxed);
            assert!(
                compact(&log_of_three(), &broken, &small_runs()).is_err()
                    || tree(place.dir.path()) == reference
            );
            assert_sound(place.dir.path(), &place.env, step);
        }
        left.store(i64::MAX, Ordering::Relaxed);
        let report = compact(&log_of_three(), &broken, &small_runs()).unwrap();
        assert_eq!(report.compacted_through.as_u64(), 3);
        assert_sound(place.dir.path(), &place.env, step);
        let mut again = tree(place.dir.path());
        // A manifest torn while it was written beside the real one is nobody's business.
        again.remove(Path::new("archive.json.tmp"));
        assert!(again == reference, "step {step}: other bytes after doing it again");
    }
    assert!(crashes > 40, "only {crashes} steps were crashed");
}
