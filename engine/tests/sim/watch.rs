//! An onlooker between the engine and its disk: it sees every byte that is written to a file of the log, and knows
//! which records were covered by a sync that returned Ok. It reads the format by its offsets, not by the reader
//! under test.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ofd_engine::storage::env::{File, Wake};
use ofd_engine::storage::testing::SimEnv;
use ofd_engine::storage::{Completion, DiskOp, DiskQueue, Env, Error, Lane, execute, forward_env};

/// A record that a sync has covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub lsn: u64,
    pub kind: u8,
    pub code: u8,
    pub received_at_us: i64,
    pub payload: Bytes,
}

/// Records whose sync returned Ok since somebody asked last.
#[derive(Clone, Default)]
pub struct Synced(Arc<Mutex<Vec<Stored>>>);

impl Synced {
    pub fn take(&self) -> Vec<Stored> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The environment with its onlooker.
#[derive(Clone)]
pub struct Watched {
    pub env: SimEnv,
    pub synced: Synced,
    /// So many polls of 65,536 find a lane of the disk standing still.
    pub stalls: u32,
    /// Operations that wait.
    pub pending: Arc<AtomicUsize>,
}

struct WatchedFile {
    file: Arc<dyn File>,
    synced: Synced,
    /// Written and not synced yet, by offset.
    pending: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl File for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let taken = self.file.write_at(parts, offset)?;
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(taken).collect();
        // The zeros of a new segment hold no record; those within a batch that was cut by a short write count.
        if bytes.len() < 8_192 || bytes.iter().any(|byte| *byte != 0) {
            self.pending.lock().unwrap().insert(offset, bytes);
        }
        Ok(taken)
    }

    fn sync(&self) -> Result<(), Error> {
        // Whatever a sync says that comes after a failed one, these bytes are not proven by it.
        let pending = std::mem::take(&mut *self.pending.lock().unwrap());
        self.file.sync()?;
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (offset, bytes) in pending {
            if run.0 + run.1.len() as u64 == offset {
                run.1.extend_from_slice(&bytes);
            } else {
                read_records(&run.1, &self.synced);
                run = (offset, bytes);
            }
        }
        read_records(&run.1, &self.synced);
        Ok(())
    }

    fn sync_all(&self) -> Result<(), Error> {
        self.sync()
    }

    fn len(&self) -> Result<u64, Error> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len)
    }

    fn map(&self) -> Result<Bytes, Error> {
        self.file.map()
    }
}

/// Finds the records in what was written: they begin at multiples of 8 and carry their checksum.
fn read_records(bytes: &[u8], synced: &Synced) {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut at = 0;
    while at + 64 <= bytes.len() {
        let len = u32_at(at + 4) as usize;
        let may_be = (1..=6).contains(&bytes[at + 8])
            && len >= 64
            && at + len <= bytes.len()
            && bytes[at + 57..at + 64] == [0; 7]
            && crc32c(&bytes[at + 4..at + len]) == u32_at(at);
        if !may_be {
            at += 8;
            continue;
        }
        synced.0.lock().unwrap().push(Stored {
            lsn: u64_at(at + 16),
            kind: bytes[at + 8],
            code: bytes[at + 56],
            received_at_us: u64_at(at + 32) as i64,
            payload: Bytes::copy_from_slice(&bytes[at + 64..at + len]),
        });
        at += len.next_multiple_of(8);
    }
}

/// By its definition, a table of one byte: reflected polynomial 0x1EDC6F41.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let (mut crc, mut bit) = (at as u32, 0);
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
                bit += 1;
            }
            table[at] = crc;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ *byte)])
}

impl Watched {
    fn watch(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WatchedFile { file, synced: self.synced.clone(), pending: Mutex::default() })
    }
}

impl Env for Watched {
    forward_env!(env: now random spawn open_read rename remove remove_dir list sync_dir create_dir_all exists lock free_bytes);

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.env.open(path).map(|file| self.watch(file))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.env.create(path).map(|file| self.watch(file))
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(Queue { env: self.clone(), wake, lanes: Default::default() }))
    }
}

/// Two lanes over the watched environment; a poll lets each of them get on or stand still, as the seed wants.
struct Queue {
    env: Watched,
    wake: Wake,
    lanes: [VecDeque<DiskOp>; 2],
}

impl DiskQueue for Queue {
    fn submit(&mut self, op: DiskOp) {
        self.lanes[usize::from(op.lane() == Lane::Background)].push_back(op);
        self.env.pending.fetch_add(1, Ordering::Relaxed);
        (self.wake)();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        for lane in 0..2 {
            if self.lanes[lane].is_empty() {
                continue;
            }
            let chance = self.env.random();
            let passed = chance >> 32 & 0xFF;
            self.env.env.advance(passed, passed as i64);
            if chance & 0xFFFF < u64::from(self.env.stalls) {
                continue;
            }
            if let Some(op) = self.lanes[lane].pop_front() {
                self.env.pending.fetch_sub(1, Ordering::Relaxed);
                let completion = execute(&self.env, op);
                // Of what happens while the power fails nobody hears any more.
                if !self.env.env.is_off() {
                    completions.push(completion);
                }
            }
        }
        if self.lanes.iter().any(|lane| !lane.is_empty()) {
            (self.wake)();
        }
    }
}
