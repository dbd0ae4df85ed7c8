//! What the writer takes and gives: options, answers, states.

use crate::disk::BUFFERS_MAX;
use crate::error::{Error, ErrorKind};
use crate::format::{BATCH_HEADER_LEN, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, SEGMENT_LEN_MAX, SEGMENT_LEN_MIN};
use crate::position::{Location, Lsn, SegmentId};
use crate::record::{RECORD_ALIGN, RECORD_HEADER_LEN, RECORD_LEN_MAX};
use crate::sink::Copies;

/// Full batches that may wait behind the one in flight, here or at the disk, besides the filling one. More would only be latency.
pub(crate) const CLOSED_MAX: usize = 1;
/// Batches that a failed sync may leave to be written again: the retained one, the one in flight, and those that
/// wait, here or at the disk: after a rewrite a closed one more than otherwise. All of them must fit into one fresh segment.
const REWRITTEN_MAX: usize = BUFFERS_MAX - 1 + CLOSED_MAX + 2;

/// What can be chosen about a log. Every value is checked by [`LogOptions::check`]; the defaults suit one
/// NVMe drive and 14,000 documents a second at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Length of a new segment file, bytes; a multiple of 4096, 64 KiB ..= 1 GiB. Default 64 MiB.
    pub segment_len: u64,
    /// A batch is closed at this length, bytes; at most a fifth of the segment's room. Default 1 MiB.
    pub batch_len_max: usize,
    /// Batches begin at multiples of this, bytes: 512, or 4096 where the device's sectors are that large.
    pub block_len: u32,
    /// After this idle time a batch that nothing on disk proves yet gets a marker, µs. Default 5,000.
    pub marker_after_us: u64,
    /// Wait before a failed preparation of a segment is tried again, µs. Default 1,000,000.
    pub prepare_retry_us: u64,
    /// The low-water mark, bytes, at most 1 PiB: with less free space on the device no further segment is prepared.
    /// The log uses up what is reserved, then appends wait until space returns. Default `None`: room for two further
    /// segments. The segment that is the way out of a failed write is prepared all the same: it is what the
    /// room is kept for.
    pub free_bytes_min: Option<u64>,
}

/// Largest low-water mark: a larger one is a slip of the pen.
const FREE_BYTES_MIN_MAX: u64 = 1 << 50;

impl Default for LogOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl LogOptions {
    /// What [`Default`] gives, for constants.
    pub const DEFAULT: Self = Self {
        segment_len: 64 << 20,
        batch_len_max: 1 << 20,
        block_len: 512,
        marker_after_us: 5_000,
        prepare_retry_us: 1_000_000,
        free_bytes_min: None,
    };

    /// The low-water mark, bytes.
    pub fn low_water(&self) -> u64 {
        self.free_bytes_min.unwrap_or_else(|| self.segment_len.saturating_mul(2))
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
    /// The record is longer than [`Log::payload_len_max`](crate::Log::payload_len_max): it will never fit.
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
    /// Appends wait for space on the disk: what was reserved is used up, and no segment can be prepared. It goes on by
    /// itself when space returns.
    pub deferring: bool,
    /// How the further copies are.
    pub copies: Copies,
}

impl LogOptions {
    /// Whether the options go together.
    ///
    /// # Errors
    /// `Fix`, naming the option and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::new(ErrorKind::Fix, text));
        if !(SEGMENT_LEN_MIN..=SEGMENT_LEN_MAX).contains(&self.segment_len)
            || !self.segment_len.is_multiple_of(HEADER_BLOCK_LEN)
        {
            return wrong(format!(
                "segment_len {}: a multiple of {HEADER_BLOCK_LEN} from {SEGMENT_LEN_MIN} to {SEGMENT_LEN_MAX}",
                self.segment_len
            ));
        }
        if !matches!(self.block_len, 512 | 4096) {
            return wrong(format!("block_len {}: 512 or 4096", self.block_len));
        }
        let room = self.segment_len.saturating_sub(HEADER_BLOCK_LEN + FOOTER_BLOCK_LEN);
        let most = usize::try_from(room).unwrap_or(usize::MAX) / REWRITTEN_MAX;
        let most = most.saturating_sub(most % crate::segment::usize_of(self.block_len));
        let least = 4096;
        if !(least..=most).contains(&self.batch_len_max) {
            return wrong(format!(
                "batch_len_max {}: from {least} to {most} with segments of {}",
                self.batch_len_max, self.segment_len
            ));
        }
        if self.free_bytes_min.is_some_and(|bytes| bytes > FREE_BYTES_MIN_MAX) {
            return wrong(format!("free_bytes_min: at most {FREE_BYTES_MIN_MAX}"));
        }
        Ok(())
    }

    /// Longest payload that a log with these options takes, bytes.
    pub fn payload_len_max(&self) -> usize {
        let batch = self.batch_len_max.saturating_sub(BATCH_HEADER_LEN);
        let record = batch.saturating_sub(batch % RECORD_ALIGN).min(RECORD_LEN_MAX);
        record.saturating_sub(RECORD_HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let good = LogOptions::default();
        assert!(good.check().is_ok());
        for bad in [
            LogOptions { segment_len: 4096, ..good },
            LogOptions { segment_len: (64 << 20) + 512, ..good },
            LogOptions { block_len: 1024, ..good },
            LogOptions { batch_len_max: 0, ..good },
            LogOptions { batch_len_max: 20 << 20, ..good },
            LogOptions { free_bytes_min: Some(u64::MAX), ..good },
        ] {
            assert_eq!(bad.check().map_err(|error| error.kind()), Err(ErrorKind::Fix), "{bad:?}");
        }
    }
}
