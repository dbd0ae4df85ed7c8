//! The durable log of ofd-engine and its compaction to Parquet.
//!
//! ```text
//! NewRecord ─▶ Log::append ─▶ Appended ─▶ batch ─▶ write + sync ─▶ Durable (one atomic number)
//!                                                        └ one write in flight, the next batch fills meanwhile
//! crash ─▶ recover ─▶ every proven record again, the unproven write once more into a new segment ─▶ Log
//! readers: LogReader (newest batches in memory, pread of the open segment, maps of sealed ones) · Index (drive, number) ─▶ Location
//! ```
//!
//! The promise: a record at or below the watermark was written and the device reported FLUSH success. After
//! any crash, kill, torn write or I/O error it is read back identical or its damage is reported with its reach;
//! it is never silently dropped. One copy detects rot, two survive it.
//!
//! Where to read on: `format` tells the bytes, `record` one record, `log` the writer, `recover` how a directory
//! is opened after a crash, `disk` what is asked of the disk, `env` the door to the system, `testing` (feature
//! `testing`) a disk that lies.

#![deny(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod batch;
mod begin;
mod buffer;
mod checkpoint;
#[cfg(feature = "columns")]
pub mod columns;
#[cfg(feature = "columns")]
pub mod compact;
mod disk;
mod driver;
pub mod env;
pub mod envelope;
mod error;
#[cfg(feature = "columns")]
pub mod export;
mod format;
mod index;
mod log;
mod lsn_files;
#[cfg(feature = "columns")]
pub mod manifest;
#[cfg(feature = "columns")]
pub mod merge;
mod mirror;
mod mmap;
mod numbers;
#[cfg(feature = "columns")]
pub mod places;
#[cfg(not(ofd_planted))]
mod planted;
#[cfg(ofd_planted)]
pub mod planted;
mod position;
mod reader;
mod record;
mod recover;
#[cfg(feature = "columns")]
pub mod retain;
pub mod rows;
pub mod scrub;
mod segment;
mod side;
mod sink;
pub mod status;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "columns")]
pub mod union;
#[cfg(feature = "columns")]
pub mod verify;

pub use begin::Begin;
pub use checkpoint::Checkpoint;
pub use disk::{Completion, DiskOp, Lane, execute};
pub use driver::Driver;
pub use env::{CoreClock, CoreTime, DiskQueue, Env, File, Mirror, Mirrored, Now, RealEnv};
pub use error::{Error, ErrorKind};
pub use index::{Index, IndexEntry};
pub use log::{Appended, Full, Log, LogOptions, LogState, Progress};
pub use lsn_files::{list_lsns, lsn_path};
pub use position::{Location, Lsn, Position, PositionError, SegmentId};
pub use reader::{
    Damage, Durable, LogCheck, LogReader, Records, SealedSegment, SegmentCheck, SegmentIter, SegmentRecords,
    SegmentScan,
};
pub use record::{
    Encrypted, NO_PARTITION, NewRecord, OwnedRecord, PARTITIONS, RECORD_FLAG_ENCRYPTED, RECORD_HEADER_LEN,
    RECORD_LEN_MAX, RecordKind, RecordRef,
};
pub use recover::{Cut, Fold, MirrorReport, RecoveryReport, recover, recover_with_index};
pub use side::{
    EachDrive, INDEX_DIR, Note, SideEntry, SideFact, SideIndex, SideSchema, SideView, newest_notes,
};
pub use sink::{Carried, Copies, Held, SealedCopy, Sink, SinkFailure};
