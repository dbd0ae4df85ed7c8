//! The log of ofd-engine beside other crates that make records durable.
//!
//! `cargo run --release --manifest-path bench/rivals/Cargo.toml -- [--json] [--quick] [--only NAME] [--dir DIR]`
//!
//! The same 600-byte records in the same batches for all of them, by turns in one run: our log, raw writes into prewritten
//! blocks, okaywal, fjall, redb, LMDB. A line says what our log does divided by what the other one of `vs` does, of the
//! rounds' own ratios the median. All of them acknowledge nothing before fdatasync has returned.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and writes files of its own"
)]

mod contenders;
#[path = "../../src/drives.rs"]
mod drives;
mod figures;
#[allow(dead_code, reason = "shared with ofd-bench, which uses all of it")]
#[path = "../../src/harness.rs"]
mod harness;
#[path = "../../src/raw.rs"]
mod raw;
#[allow(dead_code, reason = "shared with ofd-bench, which uses all of it")]
#[path = "../../src/rig.rs"]
mod rig;

use std::path::PathBuf;

use clap::Parser;

use figures::Plan;
use harness::{ROUNDS, ROUNDS_FEW, Sink};

/// Measures the log of ofd-engine beside its rivals.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds instead of minutes: shows that all runs, measures nothing worth keeping.
    #[arg(long)]
    quick: bool,
    /// Only figures whose name begins so, e.g. `log.ack64`.
    #[arg(long)]
    only: Option<String>,
    /// Where files are written and removed again; must lie on the disk that is to be measured.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut sink = Sink::new(arguments.json);
    let plan = Plan {
        rounds: if arguments.quick { ROUNDS_FEW } else { ROUNDS },
        quick: arguments.quick,
        only: arguments.only,
        dir: arguments.dir,
    };
    figures::run(&plan, &mut sink)?;
    sink.finish()
}
