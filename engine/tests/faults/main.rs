//! Faults that the kernel can make, on the real engine: system calls that fail, kills, full disks, limits.
//!
//! What needs root or a tool says aloud when it is skipped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod file_limit;
mod full_disk;
mod kills;
mod sweep;
mod victim;

use std::io::Write;

/// Past the capture of the harness: figures and skipped tests should be seen.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}
