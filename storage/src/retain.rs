//! What leaves the disk, and when: segments of the log, and rows of the archive.
//!
//! ```text
//! sealed segments ─▶ Parquet ─▶ [segments: all of it verified, old enough, no cursor, no hold] ─▶ log/begin ─▶ removed
//! rows of Parquet ─▶ [expiry: five years, registration documents longer, no hold] ─▶ rewritten without them
//! ```
//!
//! Each of the two is a decision without I/O ([`segments::what_may_go`], [`expiry::keeps`]) and a thin doer that reads
//! the evidence, asks and obeys. What cannot be read or is not known stays: nothing is removed on a guess.
//!
//! A legal hold ([`Hold`]) stops both. Holds are commands of the log and so are in the archive as well; the engine folds
//! them into [`Holds`] and hands these in.

pub mod expiry;
pub mod hold;
pub mod segments;
pub mod thin;

pub use hold::{Hold, HoldCommand, HoldScope, Holds};
pub use segments::{DropReport, DropRules, Stays, drop_segments, drop_segments_after};
pub use thin::{ThinReport, ThinRules, thin_archive};
