//! Opening a directory after whatever happened to it.

use std::sync::Arc;

use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::log::{Log, LogOptions};
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::Damage;
use crate::record::RecordRef;

/// What recovery dropped above the proven watermark: it may have been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the first lost record would lie.
    pub segment: SegmentId,
    /// Its offset.
    pub offset: u32,
    /// First LSN that is lost.
    pub first: Lsn,
    /// Last LSN of the torn write, where its batch header could be read.
    pub last: Option<Lsn>,
}

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The epoch this process writes with.
    pub epoch: u32,
    /// Segments that hold records.
    pub segments: usize,
    /// Readable records.
    pub records: u64,
    /// The oldest readable record; `NONE` when there is none.
    pub first: Lsn,
    /// The newest durable LSN: the watermark the log starts with.
    pub durable: Lsn,
    /// The newest LSN that the log on disk proves durable; what lies behind it was written again.
    pub proven: Lsn,
    /// Records that were written again into a new segment because nothing on disk proved them.
    pub rewritten: u64,
    /// What was dropped behind the watermark; it may have been acknowledged.
    pub cut: Option<Cut>,
    /// Damage below the watermark: quarantined, its neighbours are served.
    pub damaged: Vec<Damage>,
    /// Segment files that were never activated and hold something: renamed to `.torn`.
    pub set_aside: Vec<SegmentId>,
    /// `log/meta` was damaged or missing and was made again from the segments.
    pub meta_rebuilt: bool,
}

/// Opens the log of a directory for writing and hands every readable record to `visit`, in order.
///
/// # Errors
/// `Busy` when another process owns the directory; `Corrupt` when a segment is missing or foreign; `Reopen`
/// or `Fix` of the system.
pub fn recover(
    _env: Arc<dyn Env>,
    _options: LogOptions,
    _visit: &mut dyn FnMut(RecordRef<'_>, Location),
) -> Result<(Log, RecoveryReport), Error> {
    Err(Error::new(ErrorKind::Retry, "not built yet"))
}
