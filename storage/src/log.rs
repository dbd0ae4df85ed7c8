//! The writer: group commit over prewritten segments, as a machine without I/O.

use std::sync::Arc;

use crate::disk::{Completion, DiskOp};
use crate::env::{LockGuard, Now};
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Durable, LogReader, Shared};
use crate::record::NewRecord;

/// What can be chosen about a log. Every value is checked by [`LogOptions::check`]; the defaults suit one
/// NVMe drive and 14,000 documents a second at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Length of a new segment file, bytes; a multiple of 4096, 64 KiB ..= 1 GiB. Default 64 MiB.
    pub segment_len: u64,
    /// A batch is closed at this length, bytes; at most a sixth of the segment's room. Default 1 MiB.
    pub batch_len_max: usize,
    /// Batches begin at multiples of this, bytes: 512, or 4096 where the device's sectors are that large.
    pub block_len: u32,
    /// After this idle time a batch that nothing on disk proves yet gets a marker, µs. Default 5,000.
    pub marker_after_us: u64,
    /// Wait before a failed preparation of a segment is tried again, µs. Default 1,000,000.
    pub prepare_retry_us: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_len: 64 << 20,
            batch_len_max: 1 << 20,
            block_len: 512,
            marker_after_us: 5_000,
            prepare_retry_us: 1_000_000,
        }
    }
}

/// A record that has a place and a number, and is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what is appended is durable only when the watermark has passed its LSN"]
pub struct Appended {
    /// Its number in the log.
    pub lsn: Lsn,
    /// Its number in its partition, from 1; 0 without partition.
    pub partition_seq: u64,
    /// The time the writer gave it, unix µs UTC.
    pub received_at_us: i64,
    /// Its place; after a failed sync the reader follows it to its new one.
    pub location: Location,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Full {
    /// Buffers or segments are used up until the disk completes something: stop reading, call `step`, offer
    /// the record again.
    Wait,
    /// The record is longer than [`Log::payload_len_max`]: it will never fit.
    TooLong,
    /// The log has failed or was shut down: nothing is taken any more.
    Closed,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wait => "the log is full until the disk catches up",
            Self::TooLong => "the record is longer than the log takes",
            Self::Closed => "the log is closed",
        })
    }
}
impl std::error::Error for Full {}

/// How the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogState {
    /// Everything works.
    #[default]
    Healthy,
    /// A write or sync failed; what was not proven is being written again into a new segment.
    Rewriting,
    /// The second failure in a row. Nothing is acknowledged any more; the process should end.
    Failed,
    /// `shutdown` was called and everything is durable and proven.
    Closed,
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last durable LSN, inclusive: every record up to it may be acknowledged.
    pub durable: Lsn,
    /// Call `step` again at this time even if nothing completes; `None` = only a completion or an append can
    /// change anything.
    pub wake_at_mono_us: Option<u64>,
    /// How the log is.
    pub state: LogState,
    /// Segments that were sealed since the last step: they may be mapped and compacted now.
    pub sealed: Vec<SegmentId>,
}

/// The one writer of a directory. Made by [`crate::recover`].
pub struct Log {
    shared: Arc<Shared>,
    _lock: Option<LockGuard>,
}

impl Log {
    /// Takes a record into the filling batch. Nothing is durable yet.
    ///
    /// # Errors
    /// [`Full`], which says whether waiting helps. The record has no number then.
    pub fn append(&mut self, _now: Now, _record: NewRecord<'_>) -> Result<Appended, Full> {
        Err(Full::Closed)
    }

    /// Takes completions in (draining them), puts operations out. Cheap when there is nothing to do.
    pub fn step(&mut self, _now: Now, completions: &mut Vec<Completion>, _ops: &mut Vec<DiskOp>) -> Progress {
        completions.clear();
        Progress::default()
    }

    /// Asks to close the open segment at the next step, so that it can be sealed and compacted. Nothing
    /// happens when it holds no record.
    pub fn seal(&mut self) {}

    /// No further record is taken; once everything is durable a last marker proves it and the state is
    /// `Closed`. Keep stepping until then.
    pub fn shutdown(&mut self) {}

    /// Longest payload, bytes.
    pub fn payload_len_max(&self) -> usize {
        0
    }

    /// The LSN the next record gets.
    pub fn next_lsn(&self) -> Lsn {
        Lsn::NONE
    }

    /// The last durable LSN.
    pub fn durable(&self) -> Lsn {
        Lsn::NONE
    }

    /// The watermark, for other threads.
    pub fn durable_handle(&self) -> Durable {
        Durable { shared: Arc::clone(&self.shared) }
    }

    /// A reader of this log, for other threads.
    pub fn reader(&self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }
}
