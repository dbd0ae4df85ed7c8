//! The watch: what the owner of a register should hear of before an inspector does. Pure; the fold of the registers
//! (registers.rs) asks it and tells what has changed.
//!
//! ```text
//! Facts (registers/judged.rs) ─┐
//! Values (thresholds.rs) ──────┼─▶ light() ─▶ Light: colour, reasons since when, when it changes next
//! Place, time ─────────────────┘
//! ```

mod forecast;
mod light;
mod place;
mod thresholds;

pub use self::forecast::{Basis, Confidence, Forecast, date, forecast};
pub(crate) use self::forecast::{local_day, term};
pub use self::light::{
    COLOURS, Colour, FACETS, Facet, Facets, Facts, Light, Reason, STANDING, Trouble, What, light,
};
pub(crate) use self::place::ZONE_DEFAULT_MIN;
pub use self::place::{Hours, OUTLET_LEN_MAX, Place, Schedule, Season};
pub use self::thresholds::{Scope, Setting, THRESHOLDS, Threshold, Values, WatchCommand};
