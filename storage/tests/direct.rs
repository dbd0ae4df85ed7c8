//! Files of the real machine: past the page cache or through it, what was written is what is read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::io::IoSlice;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ofd_storage::{Env, File, RealEnv};
use proptest::prelude::*;
use rustix::fs::OFlags;

const LEN: usize = 256 * 1024;

/// Bytes that begin where a page does, or `off` behind it.
struct Aligned {
    bytes: Vec<u8>,
    from: usize,
}

impl Aligned {
    fn new(len: usize, off: usize) -> Self {
        let bytes = vec![0; len + off + 4096];
        let from = bytes.as_ptr().align_offset(4096) + off;
        Self { bytes, from }
    }

    fn get(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.from..self.from + len]
    }
}

/// One write: how, where, how long, and whether memory, place and length are those that a device takes as they are.
#[derive(Clone, Debug)]
struct Step {
    how: u8,
    at: usize,
    len: usize,
    off: usize,
    fill: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let aligned = |most: usize| (0..most / 512).prop_map(|blocks| blocks * 512);
    let place = prop_oneof![3 => aligned(LEN), 1 => 0..LEN];
    let len = prop_oneof![3 => aligned(LEN / 2), 1 => 0..LEN / 2];
    let off = prop_oneof![3 => Just(0), 1 => 1_usize..600];
    (0..2_u8, place, len, off, 1..=255_u8).prop_map(|(how, at, len, off, fill)| {
        let at = at.min(LEN - 1);
        Step { how, at, len: len.min(LEN - at), off, fill }
    })
}

fn write(file: &dyn File, step: &Step, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        let (parts, at) = ([IoSlice::new(&bytes[done..])], (step.at + done) as u64);
        let taken = if step.how == 0 { file.write_at(&parts, at) } else { file.write_direct(&parts, at) };
        done += taken.unwrap();
    }
}

/// What `read` gives, which may stop early.
fn whole(mut read: impl FnMut(&mut [u8], u64) -> usize, off: usize) -> Vec<u8> {
    let mut room = Aligned::new(LEN, off);
    let buffer = room.get(LEN);
    let mut done = 0;
    while done < LEN {
        let taken = read(&mut buffer[done..], done as u64);
        assert!(taken > 0, "the file ends at {done}");
        done += taken;
    }
    buffer.to_vec()
}

fn try_steps(dir: &Path, steps: &[Step]) {
    let env = RealEnv::new(dir);
    let name = Path::new("file");
    let (file, mut model) = (env.create(name).unwrap(), vec![0_u8; LEN]);
    file.set_len(LEN as u64).unwrap();
    let other: Arc<dyn File> = env.open(name).unwrap();
    for step in steps {
        let mut room = Aligned::new(step.len, step.off);
        room.get(step.len).fill(step.fill);
        write(&*file, step, room.get(step.len));
        model[step.at..step.at + step.len].fill(step.fill);
        // The same handle and another, either way.
        for file in [&file, &other] {
            let (through, past) = (
                |buffer: &mut [u8], at| file.read_at(buffer, at).unwrap(),
                |buffer: &mut [u8], at| file.read_direct(buffer, at).unwrap(),
            );
            assert!(whole(through, 0) == model, "through the cache, after {step:?}");
            assert!(whole(past, step.off) == model, "past the cache, after {step:?}");
        }
    }
    file.sync_all().unwrap();
    assert!(env.open_read(name).unwrap().map().unwrap() == model, "by a map");
}

/// Where there is a file system without direct writes, it is tried as well.
fn places() -> Vec<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    let in_memory = shm.is_dir().then(|| tempfile::tempdir_in(shm).unwrap());
    std::iter::once(tempfile::tempdir().unwrap()).chain(in_memory).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    // A commit goes past the page cache, a map of the sealed segment and a read of the open one through it.
    #[test]
    fn what_goes_past_the_page_cache_and_what_goes_through_it_agree(steps in prop::collection::vec(step(), 1..12)) {
        for place in places() {
            try_steps(place.path(), &steps);
        }
    }
}

// A handle keeps to its file when the name has gone to another: a prepared segment is renamed into place.
#[test]
fn a_name_that_leads_elsewhere_does_not_lead_a_direct_write_there() {
    let dir = tempfile::tempdir().unwrap();
    let env = RealEnv::new(dir.path());
    let (name, moved) = (Path::new("name"), Path::new("moved"));
    let mut room = Aligned::new(8192, 0);
    let file = env.create(name).unwrap();
    file.write_at(&[IoSlice::new(room.get(8192))], 0).unwrap();
    env.rename(name, moved).unwrap();
    let mut stranger = std::fs::File::create(dir.path().join(name)).unwrap();
    stranger.write_all(&[7; 8192]).unwrap();
    room.get(8192).fill(1);
    assert_eq!(file.write_direct(&[IoSlice::new(room.get(8192))], 0).unwrap(), 8192);
    file.sync().unwrap();
    assert!(std::fs::read(dir.path().join(moved)).unwrap() == [1; 8192]);
    assert!(std::fs::read(dir.path().join(name)).unwrap() == [7; 8192]);
}

/// Bytes of a file in the page cache, as util-linux counts them.
fn cached(path: &Path) -> Option<u64> {
    let counted =
        Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    String::from_utf8(counted.ok()?.stdout).ok()?.trim().parse().ok()
}

// Without this, all above would hold as well if every call fell back to the page cache.
#[test]
fn a_direct_write_and_a_direct_read_leave_nothing_in_the_page_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (env, name) = (RealEnv::new(dir.path()), Path::new("file"));
    let path = dir.path().join(name);
    let file = env.create(name).unwrap();
    let takes_direct = || {
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap();
        std::fs::OpenOptions::new().write(true).custom_flags(flags).open(&path).is_ok()
    };
    if cached(&path).is_none() || !takes_direct() {
        eprintln!("skipped: needs fincore of util-linux, and a file system that takes O_DIRECT");
        return;
    }
    let mut room = Aligned::new(LEN, 0);
    for at in [0, LEN as u64] {
        assert_eq!(file.write_direct(&[IoSlice::new(room.get(LEN))], at).unwrap(), LEN);
    }
    file.sync().unwrap();
    assert_eq!(file.read_direct(room.get(LEN), 0).unwrap(), LEN);
    assert_eq!(cached(&path), Some(0));
    assert_eq!(file.read_at(room.get(LEN), 0).unwrap(), LEN);
    assert!(cached(&path).unwrap() >= LEN as u64, "what is counted is the page cache");
}
