//! A small log on a simulated disk, and edits of its files: what the target `recovery` works on.
//!
//! A log made of random bytes is no log, and the fuzzer would never get behind its checksums. So the input is a
//! list of edits of a good log. Shape of one edit, little-endian:
//!
//! ```text
//! 0 u8 file, modulo their number   1 u8 kind: 0..=3 below, modulo 4   2 u16 offset in units of 4 bytes   4 u8 length
//!   0 overwrite with the bytes that follow (length of them)      1 flip the bits that follow, bit by bit
//!   2 cut the file at the offset                                 3 copy 512 bytes from the next file to here
//! ```

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{Driver, Env, LogOptions, NewRecord, RecordKind, env, recover};

/// Small enough that a hundred records fill segments.
pub const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    block_len: 512,
    marker_after_us: 1_000,
    prepare_retry_us: 10_000,
    ..LogOptions::DEFAULT
};

/// Files of a good log: two full segments, one that ends in the middle, and what stands beside them.
static GOOD: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let sim = machine();
    let environment: Arc<dyn Env> = Arc::new(sim.clone());
    let (log, _) = recover(Arc::clone(&environment), OPTIONS, &mut |_, _| {}).expect("an empty disk opens");
    let mut driver = Driver::new(Arc::clone(&environment), log).expect("the simulation has lanes");
    for number in 0..150_u16 {
        let bytes: Vec<u8> = (0..usize::from(number) * 7 % 1500).map(|at| (at % 251) as u8).collect();
        let parts: &[&[u8]] = &[&bytes];
        let record = NewRecord {
            kind: RecordKind::Document,
            flags: 0,
            partition: number,
            key_id: 0,
            answer_code: 0,
            parts,
        };
        let _ = driver.append(record).expect("the disk is large");
        if number % 7 == 0 {
            driver.commit().expect("no fault is simulated");
        }
    }
    driver.commit().expect("no fault is simulated");
    // Killed, not closed: the last batch is not proven.
    drop(driver);
    let mut files = Vec::new();
    for folder in ["", "log"] {
        for entry in environment.list(Path::new(folder)).expect("it was just made") {
            if !entry.is_dir {
                let path = Path::new(folder).join(entry.name);
                let bytes = env::read_file(&*environment, &path, 1 << 20).expect("it was just written");
                files.push((path, bytes));
            }
        }
    }
    assert!(files.len() >= 3, "the log has fewer segments than it should: {}", files.len());
    files
});

/// A disk without faults, the same in every run.
fn machine() -> SimEnv {
    SimEnv::new(1, SimKnobs { lane_moves: 65_536, ..SimKnobs::default() })
}

fn apply(files: &mut [(PathBuf, Vec<u8>)], mut edits: &[u8]) {
    let count = files.len();
    while let [file, kind, low, high, length, rest @ ..] = edits {
        let (bytes, after) = rest.split_at(usize::from(*length).min(rest.len()));
        edits = after;
        let which = usize::from(*file) % count;
        let from = files[(which + 1) % count].1.clone();
        let text = &mut files[which].1;
        let at = (usize::from(u16::from_le_bytes([*low, *high])) * 4).min(text.len());
        match kind % 4 {
            0 => text.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = *new),
            1 => text.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old ^= *new),
            2 => text.truncate(at),
            _ => text
                .iter_mut()
                .skip(at)
                .zip(from.iter().skip(at))
                .take(512)
                .for_each(|(old, new)| *old = *new),
        }
    }
}

/// A machine whose disk holds the good log with these edits.
#[must_use]
pub fn edited(edits: &[u8]) -> SimEnv {
    let mut files = GOOD.clone();
    apply(&mut files, edits);
    let sim = machine();
    sim.create_dir_all(Path::new("log")).expect("an empty disk");
    for (path, bytes) in files {
        let file = sim.create(&path).expect("an empty disk");
        let taken = file.write_at(&[IoSlice::new(&bytes)], 0).expect("no fault is simulated");
        assert_eq!(taken, bytes.len());
        file.sync_all().expect("no fault is simulated");
    }
    sim.sync_dir(Path::new("log")).expect("no fault is simulated");
    sim
}

/// Edits that make every kind of damage once.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("untouched", vec![]),
        ("header", vec![1, 1, 2, 0, 1, 0x10]),
        ("both-headers", vec![1, 1, 2, 0, 1, 0x10, 1, 1, 2, 2, 1, 0x10]),
        ("batch-header", vec![1, 1, 2, 4, 1, 0x01]),
        ("record", vec![1, 1, 0x20, 4, 1, 0x80]),
        ("length", vec![2, 0, 0x11, 4, 4, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("tail", vec![3, 1, 0, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("cut", vec![3, 2, 0, 8, 0]),
        ("misdirected", vec![2, 3, 0, 8, 0]),
        ("meta", vec![0, 1, 2, 0, 1, 1]),
    ]
}
