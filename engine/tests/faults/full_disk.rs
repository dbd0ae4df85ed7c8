//! Disks that fill up under the running engine, and come free again: a tmpfs, a small ext4, and a limit on file sizes.
//!
//! `OFD_FILLS=100 cargo test --release -p ofd-engine --test faults full_disk -- --nocapture` makes a hundred cycles.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::DriveNumber;
use ofd_engine::host::Capability;
use ofd_engine::{Engine, Health, Outcome};
use rustix::fs::{FallocateFlags, fallocate};

use crate::common;
use crate::say;
use crate::victim::builder;

const FILLS: u64 = if cfg!(debug_assertions) { 3 } else { 10 };
/// Bytes of the small disks.
const DISK_LEN: u64 = 600 << 20;
/// Comes free in each cycle, bytes: a few segments.
const FREED_LEN: u64 = 5 << 20;
/// The engine goes on within this time of its own accord.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);

fn fills() -> u64 {
    std::env::var("OFD_FILLS").map_or(FILLS, |fills| fills.parse().unwrap())
}

/// A mounted file system of its own; goes with it.
struct Small {
    point: PathBuf,
    _home: tempfile::TempDir,
}

impl Small {
    /// `None` where nothing can be mounted, which is said.
    fn mount(kind: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let point = home.path().join("disk");
        std::fs::create_dir(&point).unwrap();
        let mount = |arguments: &[&str]| {
            let mount = Command::new("mount").args(arguments).arg(&point).stderr(Stdio::null()).status();
            mount.is_ok_and(|status| status.success())
        };
        let mounted = if kind == "tmpfs" {
            mount(&["-t", "tmpfs", "-o", &format!("size={DISK_LEN}"), "none"])
        } else {
            let image = home.path().join("image");
            File::create(&image).unwrap().set_len(DISK_LEN).unwrap();
            let made = Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0"])
                .arg(&image)
                .stderr(Stdio::null())
                .status();
            made.is_ok_and(|status| status.success()) && mount(&["-o", "loop", image.to_str().unwrap()])
        };
        if !mounted {
            say(&format!("skipped: a full {kind} needs root, mount and mkfs"));
            return None;
        }
        Some(Self { point, _home: home })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.point).status();
    }
}

/// A file that takes what is free.
struct Filler {
    file: File,
    len: u64,
}

impl Filler {
    fn new(dir: &Path) -> Self {
        Self { file: File::create(dir.join("filler")).unwrap(), len: 0 }
    }

    /// Down to the last blocks.
    fn take_all(&mut self) {
        let mut step = 64 << 20;
        while step >= 4096 {
            match fallocate(&self.file, FallocateFlags::empty(), self.len, step) {
                Ok(()) => self.len += step,
                Err(_) => step /= 2,
            }
        }
    }

    fn give_back(&mut self, bytes: u64) {
        self.len = self.len.saturating_sub(bytes);
        self.file.set_len(self.len).unwrap();
    }
}

type Confirmed = HashMap<(DriveNumber, u32), Vec<u8>>;

/// One register after another sends until it is told to stop; what is not answered comes again.
fn send(engine: &Engine, lane: u32, stop: &AtomicBool, answered: &AtomicU64, confirmed: &Mutex<Confirmed>) {
    let mut registers: Vec<_> =
        (0..50).map(|at| Register::new(99, lane * 50 + at, &ProfileOptions::default())).collect();
    while !stop.load(Ordering::Relaxed) {
        let mut open: Vec<Bytes> = registers
            .iter_mut()
            .map(|register| {
                let mut message = Vec::new();
                register.next_message(&mut message).unwrap();
                Bytes::from(message)
            })
            .collect();
        while !open.is_empty() && !stop.load(Ordering::Relaxed) {
            let Ok(tickets) = engine.submit_batch(open.clone()) else { return };
            let mut left = Vec::new();
            for (message, outcome) in open.into_iter().zip(tickets.wait()) {
                if matches!(outcome, Outcome::Answered { code: 0, .. }) {
                    answered.fetch_add(1, Ordering::Relaxed);
                    let key = (common::drive(&message), common::number(&message));
                    confirmed.lock().unwrap().insert(key, message[30..].to_vec());
                } else {
                    left.push(message);
                }
            }
            if !left.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            open = left;
        }
    }
}

fn wait_until(at_most: Duration, what: &str, done: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < at_most, "{what} within {at_most:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    began.elapsed()
}

fn fill_and_free(kind: &str) {
    let Some(disk) = Small::mount(kind) else { return };
    let data = disk.point.join("data");
    let engine = builder(&data).open().unwrap();
    let mut filler = Filler::new(&disk.point);
    let (stop, answered, confirmed) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::default());
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    std::thread::scope(|scope| {
        for lane in 0..2 {
            let (engine, stop, answered, confirmed) = (&engine, &stop, &answered, &confirmed);
            scope.spawn(move || send(engine, lane, stop, answered, confirmed));
        }
        // Should an assertion end this, the senders must end too.
        let stopped = StopOnDrop(&stop);
        for _ in 0..fills() {
            filler.take_all();
            wait_until(Duration::from_secs(60), "the engine notices that the disk is full", || {
                assert_ne!(engine.health(), Health::Failed, "a full disk is no failed one");
                engine.health() == Health::Deferring
            });
            let before = answered.load(Ordering::Relaxed);
            filler.give_back(FREED_LEN);
            slowest = slowest.max(wait_until(RESUMES_WITHIN, "the engine goes on by itself", || {
                answered.load(Ordering::Relaxed) > before
            }));
        }
        drop(stopped);
    });
    // A stop in the middle of everything; then what was confirmed is looked at.
    filler.give_back(u64::MAX);
    let _ = engine.shutdown();
    drop(engine);
    let engine = builder(&data).open().unwrap();
    let confirmed = confirmed.into_inner().unwrap();
    for ((drive, number), container) in &confirmed {
        let found = engine.find(&Capability::operator(), *drive, *number).unwrap();
        assert_eq!(found.len(), 1, "drive {} document {number}", drive.as_str());
        assert_eq!(found[0].container(), container, "drive {} document {number}", drive.as_str());
    }
    engine.shutdown().unwrap();
    drop(engine);
    say(&format!(
        "full {kind}: {} cycles of fill and free, {} documents confirmed, lost 0 doubled 0, slowest resume {slowest:.1?}, \
         {:.0?} in all",
        fills(),
        confirmed.len(),
        began.elapsed()
    ));
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// A full disk is a working day, not a failure: nothing is answered that is not stored, and space brings it back.
#[test]
fn a_full_tmpfs_stops_the_engine_and_free_space_starts_it_again() {
    fill_and_free("tmpfs");
}

// ext4 gives space away late, at write-back: another road to ENOSPC than that of a tmpfs.
#[test]
fn a_full_ext4_stops_the_engine_and_free_space_starts_it_again() {
    fill_and_free("ext4");
}
