//! The floor of the log: raw writes into prewritten blocks, with the group commit of a textbook.
//!
//! A record is `[length u32][CRC-32C][payload]` and nothing else: no segments, no recovery, no watermark of its own.
//! What a log adds to this is what it costs.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that a raw record has besides its payload.
const FRAME_LEN: usize = 8;

/// Appends one raw record to a batch.
pub(crate) fn frame(batch: &mut Vec<u8>, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    batch.extend_from_slice(&len.to_le_bytes());
    batch.extend_from_slice(&crc_fast::crc32_iscsi(payload).to_le_bytes());
    batch.extend_from_slice(payload);
}

/// A file of real zeros that is written from its beginning, and again from there when it is full.
pub(crate) struct Prewritten {
    file: File,
    len: u64,
    at: u64,
}

impl Prewritten {
    /// Makes the file, synced.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn new(path: &Path, len: u64) -> io::Result<Self> {
        let mut file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        let zeros = vec![0_u8; 1 << 20];
        let mut left = len;
        while left > 0 {
            let part =
                zeros.get(..usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len())).unwrap_or(&zeros);
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        file.sync_all()?;
        Ok(Self { file, len, at: 0 })
    }

    /// Writes a batch behind the last one and syncs.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn commit(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.at + batch.len() as u64 > self.len {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at)?;
        self.at += batch.len() as u64;
        self.file.sync_data()
    }
}

/// Group commit by leader and follower: who finds nobody writing writes for all who have come since.
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    changed: Condvar,
    file: Mutex<Prewritten>,
}

#[derive(Default)]
struct State {
    filling: Vec<u8>,
    spare: Vec<u8>,
    appended: u64,
    durable: u64,
    leading: bool,
}

impl GroupCommit {
    /// Over this file.
    pub(crate) fn new(file: Prewritten) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), file: Mutex::new(file) }
    }

    /// Appends a record and returns when it is durable.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn append(&self, payload: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        frame(&mut state.filling, payload);
        state.appended += 1;
        let mine = state.appended;
        while state.durable < mine {
            if state.leading {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let spare = std::mem::take(&mut state.spare);
            let mut batch = std::mem::replace(&mut state.filling, spare);
            let through = state.appended;
            drop(state);
            self.file.lock().unwrap_or_else(PoisonError::into_inner).commit(&batch)?;
            batch.clear();
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.spare = batch;
            state.durable = through;
            state.leading = false;
            self.changed.notify_all();
        }
        Ok(())
    }
}

/// Bytes of a file that will hold `records` raw records of this payload.
pub(crate) const fn room_for(records: usize, payload: usize) -> u64 {
    (records * (payload + FRAME_LEN)) as u64
}
