//! The engine under a Russian fiscal data operator (ОФД).
//!
//! Cash registers send every fiscal document over TCP; the engine checks it, gives it its place in a durable
//! log, confirms it, and compacts the log into Parquet.
//!
//! ```text
//! bytes ─▶ Frame ─▶ Opened ─▶ DocumentView ─▶ Verdict ─▶ Appended ─▶ Durable ─▶ Sealed ─▶ Confirmation
//!          port     DriveCrypto   worker      lane       writer      watermark  DriveCrypto   port
//! ```
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use ofd_engine::Engine;
//!
//! let dir = tempfile::tempdir()?;
//! let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open()?;
//! let address = engine.listen("127.0.0.1:0")?;
//! assert_ne!(address.port(), 0);
//! engine.shutdown()?;
//! # Ok(())
//! # }
//! ```
//!
//! Where to look: [`Engine`] is the handle, [`EngineBuilder`] holds every option, [`host`] is what a host
//! program implements, [`Feed`] and [`Cursor`] follow the log, [`RegisterBook`] shows the registers, [`confirmation`] shows why nothing unwritten
//! can be confirmed.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod answers;
#[cfg(feature = "parquet")]
mod archive;
mod bell;
mod builder;
#[cfg(any(feature = "webhook", feature = "smtp"))]
pub mod channels;
mod checkpoint;
mod chunks;
#[cfg(feature = "parquet")]
mod clock;
pub mod confirmation;
mod connection;
#[cfg(feature = "control")]
pub mod control;
mod cursor;
#[cfg(feature = "parquet")]
mod derive;
#[cfg(test)]
#[path = "../tests/common/dice.rs"]
mod dice;
mod door;
mod engine;
mod error;
mod examine;
#[cfg(feature = "parquet")]
mod excerpt;
mod feed;
mod gate;
mod handover;
pub mod host;
mod import;
mod keeper;
mod lane;
mod lanes;
mod limits;
#[cfg(feature = "parquet")]
mod links;
mod live;
mod metering;
mod noise;
pub mod notify;
mod opening;
mod pace;
mod partition;
mod past;
mod planted;
mod port;
mod query;
mod queues;
mod readonly;
mod rebuild;
mod refusal;
pub mod registers;
mod replay;
mod scrubber;
#[cfg(feature = "parquet")]
mod search;
mod seat;
#[cfg(any(feature = "webhook", feature = "smtp", feature = "tax-http"))]
mod secrets;
mod shared;
mod sides;
#[cfg(feature = "sql")]
pub mod sql;
mod stored;
mod stream;
pub mod tax;
#[cfg(feature = "testing")]
pub mod testing;
mod tickets;
#[cfg(feature = "tls")]
mod tls;
mod turnstile;
pub mod watch;
mod whereabouts;
mod worker;
mod writer;

#[cfg(feature = "parquet")]
pub use archive::RetainReport;
pub use builder::{EngineBuilder, OPERATOR_INN_STAND_IN, PORTS_MAX, WORKERS_MAX};
pub use cursor::{CURSOR_NAME_LEN_MAX, Cursor};
pub use door::DoorCommand;
pub use engine::{Engine, Status};
pub use error::{Error, ErrorKind};
#[cfg(feature = "parquet")]
pub use excerpt::Export;
pub use feed::Feed;
pub use handover::Unanswered;
pub use import::{Imported, NotImported, OriginalAnswer, Seeded};
pub use limits::{Limits, TestPing};
#[cfg(feature = "parquet")]
pub use links::{LOOKED_AT_MAX, Link, LinkReason, Links, WINDOW_DAYS};
pub use live::{Dashboard, EventFeed, Listed, ListedPage, Register, RegisterBook, RegisterPage, Sales};
pub use noise::NoiseSample;
pub use ofd_codec as codec;
pub use ofd_storage as storage;
#[cfg(feature = "parquet")]
pub use ofd_storage::columns::ShiftRow;
#[cfg(feature = "parquet")]
pub use ofd_storage::store::place::Place as ArchivePlace;
#[cfg(feature = "parquet")]
pub use ofd_storage::union::{
    ItemSearch, Payment, SEARCH_LIMIT_MAX, Search, SearchCursor, SearchHit, SearchPage, StoredFinding,
};
pub use ofd_storage::{Lsn, Position, RecoveryReport, SinkFailure};
pub use partition::partition_of;
pub use query::StoredDocument;
pub use readonly::ReadOnly;
pub use rebuild::Fold;
pub use scrubber::Scrubber;
pub use shared::Health;
pub use tickets::{Outcome, Tickets};
#[cfg(feature = "tls")]
pub use tls::TlsIdentity;
pub use whereabouts::{Explanation, Neighbour, Whereabouts};

/// The examples of the README are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
