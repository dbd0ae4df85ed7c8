//! The watch: lights, thresholds and forecasts over scenarios with virtual time, and against naive second readings.
//!
//! `OFD_WATCH=<n>` sets how many random states and lives are compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a failed test may panic"
)]

mod archives;
#[path = "../common/dice.rs"]
mod dice;
mod figures;
mod forecast;
mod light;
mod lists;
mod lives;
mod scenarios;
mod world;

/// A state or a life that differs replays by its seed.
fn rounds(default: u64) -> u64 {
    std::env::var("OFD_WATCH").map_or(default, |text| text.parse().unwrap())
}
