//! A disk in memory that remembers in which order it was written and flushed.
//!
//! ```text
//! what the kernel sees = base, overlaid by the blocks written since it was set
//! log = Write · Flush · Mark, in the one order in which the FUSE thread and the workload met here
//! ```
//!
//! The workload is in this process: a mark is taken under the lock that orders the writes, so an acknowledgement can
//! never be logged before a flush that it waited for.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a block of the overlay, and of the file system.
pub(crate) const BLOCK_LEN: usize = 4096;

/// What the workload has to say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A record got the next LSN; nothing of it can have reached the disk before this.
    Appended {
        /// Its number in the log.
        lsn: u64,
        /// What it is: its bytes follow from it.
        id: u64,
        /// Length of its payload.
        len: usize,
    },
    /// Every record up to this LSN was acknowledged.
    Acknowledged(u64),
    /// A new life begins with so many records, all of them acknowledged by recovery.
    Reopened(u64),
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A write came back as done.
    Write {
        /// First byte.
        at: u64,
        /// What was written.
        bytes: Box<[u8]>,
    },
    /// A flush came back: all writes before it are durable.
    Flush,
    /// Not the disk's doing.
    Mark(Mark),
}

/// Blocks that differ from the base.
pub(crate) type Overlay = HashMap<u64, Box<[u8]>>;

/// What is behind the lock.
pub(crate) struct State {
    base: Vec<u8>,
    overlay: Overlay,
    log: Option<Vec<Event>>,
    bad: Option<Range<u64>>,
}

/// The disk.
pub(crate) struct Disk {
    len: u64,
    state: Mutex<State>,
}

impl Disk {
    /// All zeros; `len` in bytes, a multiple of [`BLOCK_LEN`].
    pub(crate) fn new(len: u64) -> Self {
        let base = vec![0; usize::try_from(len).unwrap_or(0)];
        Self { len, state: Mutex::new(State { base, overlay: Overlay::new(), log: None, bad: None }) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a mark to the log, if there is one.
    pub(crate) fn mark(&self, mark: Mark) {
        self.state().push(Event::Mark(mark));
    }
}

impl State {
    fn push(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.push(event);
        }
    }

    /// A read of the kernel; `None` behind the end and where a sector is bad.
    pub(crate) fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let end = at.saturating_add(len as u64);
        if self.bad.as_ref().is_some_and(|bad| bad.start < end && at < bad.end) {
            return None;
        }
        let mut bytes = Vec::with_capacity(len);
        let mut at = usize::try_from(at).unwrap_or(usize::MAX);
        while bytes.len() < len {
            let (block, from) = (at / BLOCK_LEN, at % BLOCK_LEN);
            let count = (BLOCK_LEN - from).min(len - bytes.len());
            let source = match self.overlay.get(&(block as u64)) {
                Some(block) => block.get(from..from + count),
                None => self.base.get(at..at.saturating_add(count)),
            };
            bytes.extend_from_slice(source?);
            at += count;
        }
        Some(bytes)
    }

    /// A write of the kernel.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        if self.log.is_some() {
            self.push(Event::Write { at, bytes: bytes.into() });
        }
        self.put(at, bytes);
    }

    /// Changes what the kernel sees, without a trace.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (usize::try_from(at).unwrap_or(usize::MAX), bytes);
        while !rest.is_empty() {
            let (number, from) = (at / BLOCK_LEN, at % BLOCK_LEN);
            let count = (BLOCK_LEN - from).min(rest.len());
            let (part, behind) = rest.split_at(count);
            let base = &self.base;
            let block = self.overlay.entry(number as u64).or_insert_with(|| {
                let start = number.saturating_mul(BLOCK_LEN);
                base.get(start..start.saturating_add(BLOCK_LEN))
                    .map_or_else(|| Box::from([0; BLOCK_LEN]), Box::from)
            });
            if let Some(room) = block.get_mut(from..from + count) {
                room.copy_from_slice(part);
            }
            (rest, at) = (behind, at + count);
        }
    }

    /// A flush of the kernel.
    pub(crate) fn flush(&mut self) {
        self.push(Event::Flush);
    }

    /// From here on everything is remembered.
    pub(crate) fn start_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Ends the log.
    pub(crate) fn take_log(&mut self) -> Vec<Event> {
        self.log.take().unwrap_or_default()
    }

    /// What was written becomes the base.
    pub(crate) fn fold(&mut self) {
        for (number, block) in std::mem::take(&mut self.overlay) {
            let start = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(BLOCK_LEN);
            if let Some(room) = self.base.get_mut(start..start.saturating_add(BLOCK_LEN)) {
                room.copy_from_slice(&block);
            }
        }
    }

    /// The blocks that differ from the base.
    pub(crate) fn overlay(&self) -> Overlay {
        self.overlay.clone()
    }

    /// Forgets what was written since the base was set, and lays this over it instead.
    pub(crate) fn reset(&mut self, overlay: Overlay) {
        self.overlay = overlay;
    }

    /// Reads of these bytes fail from here on.
    pub(crate) fn spoil(&mut self, bad: Option<Range<u64>>) {
        self.bad = bad;
    }

    /// The first block of what the kernel sees that holds these bytes.
    pub(crate) fn find(&self, needle: &[u8]) -> Option<u64> {
        let blocks = (self.base.len() / BLOCK_LEN) as u64;
        (0..blocks).map(|number| number.saturating_mul(BLOCK_LEN as u64)).find(|&at| {
            let block = self.read(at, BLOCK_LEN).unwrap_or_default();
            block.windows(needle.len().max(1)).any(|window| window == needle)
        })
    }
}
