//! The watch: what the owner of a register should hear of before an inspector does. Pure; the fold of the registers
//! (registers.rs) asks it and tells what has changed.
//!
//! ```text
//! Facts (registers/judged.rs) ─┐
//! Values (thresholds.rs) ──────┼─▶ light() ─▶ Light: colour, reasons since when, when it changes next
//! Place, time ─────────────────┘
//! ```
//!
//! What is found across documents:
//!
//! ```text
//! document ─▶ Drive, Shift, Card ─▶ events ──▶ mapped.rs   what an event is by itself: a gap, a shift too long
//!                 │                            drive.rs    what the document is beside its registration, counters, clock
//!                 └─ Terms, Tallies ─────────▶ risk.rs     shares of 30 days, order 88н
//!                                                │
//!                                    Scene ──────┴▶ EventKind::Found │ EventKind::FindingEnded
//! ```
//!
//! The rules are rows of the catalogue in `ofd_codec::rules::life`. A rule is a state or a single finding: a state is told when it
//! begins and when it has ended, and counts the documents between; of the others every document is told. States are those of
//! the newest document, and a document that comes late changes none of them.
//!
//! Time is that of the documents (1012) and of the records (`received_at`), never that of a clock: the same log gives the same
//! findings. Rules are switched on and off by records of the log ([`RuleSwitch`]); a finding carries the version of the set.
//!
//! Shape in memory: what `drive.rs` keeps in the drive, about 45 bytes where no shift is open, and 8 of a timer; 16 bytes of the card
//! and two or three for each day of the newest thirty on which the register sold; 13 to 25 bytes a rule that lasts or was ever
//! broken (test: `tests/registers_memory.rs`).
//!
//! Invariants: each rule has a life that fires it and a neighbour that does not (test: `tests/across/lives.rs`); a naive
//! reading of all documents side by side finds the same (test: `tests/across/model.rs`); a fold that goes on from any moment
//! finds the same (test: `tests/across/main.rs`).

mod asked;
pub(crate) mod drive;
pub(crate) mod facts;
mod finding;
mod forecast;
mod light;
pub(crate) mod mapped;
mod place;
mod query;
pub(crate) mod risk;
mod rule_set;
mod tally;
pub(crate) mod terms;
mod thresholds;

pub use self::forecast::{Basis, Confidence, Forecast, date, forecast};
pub(crate) use self::forecast::{local_day, term};
pub(crate) use self::light::fills;
pub use self::light::{
    COLOURS, Colour, FACETS, Facet, Facets, Facts, Light, Reason, STANDING, Trouble, What, light,
};
pub(crate) use self::place::ZONE_DEFAULT_MIN;
pub use self::place::{Hours, OUTLET_LEN_MAX, Place, Schedule, Season};
pub use self::query::{
    ColourCounts, DOCUMENTS_READ_MAX, LIST_LIMIT_MAX, RegisterCursor, RegisterQuery, RegisterSort,
    RegisterText,
};
pub(crate) use self::query::{KEY_LEN, Key, TEXT_KEY_LEN};
pub use self::thresholds::{Scope, Setting, THRESHOLDS, Threshold, Values, WatchCommand};
pub use asked::{RISKS_MAX, RegisterRisk, Risks};
pub use finding::LifeFinding;
pub use risk::{Risk, RiskShare, SIXTY_DAYS_SECONDS};
pub use rule_set::{RuleSet, RuleSwitch};
pub(crate) use tally::Scene;
