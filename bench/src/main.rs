//! Benchmarks of ofd-engine: every figure beside its floor, in the same run.
//!
//! `cargo run --release -p ofd-bench -- <codec|log|lane|server|watch|parquet|query|all> [--json] [--quick]`
//!
//! Where the time goes and what was measured when: docs/perf.md. How a figure is made: `harness`.
#![allow(
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark divides by measured times, reads the clock and writes files of its own"
)]

mod archive;
mod asked;
mod big;
mod choice;
mod codec;
mod columns;
mod corpus;
mod cpu;
mod door;
mod drives;
mod enemies;
mod find;
mod harness;
mod lane;
mod log;
mod nats;
#[cfg(feature = "sql")]
mod question;
mod raw;
mod recover;
mod rig;
mod search;
mod server;
mod walk;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use harness::{ROUNDS, ROUNDS_FEW, Sink};

/// A part of the house to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Room {
    /// Decoding, rules, JSON.
    Codec,
    /// Durable records, and opening a log again.
    Log,
    /// Documents submitted in process.
    Lane,
    /// Documents over loopback.
    Server,
    /// The open port: outage, slow clients, idle connections.
    Door,
    /// Lane and server with the watch beside without it.
    Watch,
    /// Compaction.
    Parquet,
    /// Finding documents, and three questions in SQL.
    Query,
    /// The figures behind docs/adr/0001 and 0002.
    Choice,
    /// A log of 20 GB: opening after a crash, finding. Only with `--big DIR`.
    Big,
    /// An archive of five years of days: finding. Only with `--archive DIR`.
    Archive,
    /// All of them.
    All,
}

/// Measures ofd-engine beside what bounds it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What to measure.
    room: Room,
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds instead of minutes: shows that all runs, measures nothing worth keeping.
    #[arg(long)]
    quick: bool,
    /// Only figures whose name begins so, e.g. `log.single`; with `perf record` around it shows where the time goes.
    #[arg(long)]
    only: Option<String>,
    /// Seed of all generated documents.
    #[arg(long, default_value_t = 20_261_123)]
    seed: u64,
    /// Where files are written and removed again; must lie on the disk that is to be measured.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    #[command(flatten)]
    big: big::BigArguments,
    #[command(flatten)]
    archive: archive::ArchiveArguments,
    #[command(flatten)]
    enemies: enemies::EnemyArguments,
}

/// What every room is told.
pub(crate) struct Plan {
    /// Seed of the documents.
    pub(crate) seed: u64,
    /// Beginning of the names of the figures that are wanted.
    only: Option<String>,
    /// Only show that it runs.
    pub(crate) quick: bool,
    /// Folder for files.
    pub(crate) dir: PathBuf,
    /// The large log.
    pub(crate) big: big::BigArguments,
    /// The large archive.
    pub(crate) archive: archive::ArchiveArguments,
}

impl Plan {
    /// Whether any of these figures is wanted.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| names.iter().any(|name| name.starts_with(only.as_str())))
    }

    /// Rounds of a figure that is over in a second.
    pub(crate) const fn rounds(&self) -> usize {
        if self.quick { ROUNDS_FEW } else { ROUNDS }
    }

    /// A duration, shortened when quick.
    pub(crate) fn long(&self, usual: Duration) -> Duration {
        if self.quick { usual / 10 } else { usual }
    }

    /// A folder that is removed with the value.
    pub(crate) fn temp_dir(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("ofd-bench-").tempdir_in(&self.dir)?)
    }

    /// An amount of work, reduced when quick.
    pub(crate) const fn work(&self, usual: usize) -> usize {
        if self.quick { usual / 20 } else { usual }
    }
}

/// What every question looks like.
type Run = fn(&Plan, &mut Sink) -> anyhow::Result<()>;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.enemies.enemies_of {
        return enemies::run(&arguments.enemies, address);
    }
    let mut sink = Sink::new(arguments.json);
    let plan = Plan {
        seed: arguments.seed,
        quick: arguments.quick,
        only: arguments.only,
        dir: arguments.dir,
        big: arguments.big,
        archive: arguments.archive,
    };
    if plan.big.crash || plan.big.weigh {
        return big::run(&plan, &mut sink);
    }
    let rooms: [(Room, &[Run]); 11] = [
        (Room::Codec, &[codec::run]),
        (Room::Log, &[log::run, recover::run]),
        (Room::Lane, &[lane::run]),
        (Room::Server, &[server::run]),
        (Room::Door, &[door::run]),
        (Room::Watch, &[watch::run]),
        (Room::Parquet, &[columns::run]),
        (
            Room::Query,
            &[
                find::run,
                search::run,
                #[cfg(feature = "sql")]
                question::run,
            ],
        ),
        (Room::Choice, &[choice::run]),
        (Room::Big, &[big::run]),
        (Room::Archive, &[archive::run]),
    ];
    for (_, runs) in
        rooms.into_iter().filter(|(room, _)| arguments.room == *room || arguments.room == Room::All)
    {
        for run in runs {
            run(&plan, &mut sink)?;
        }
    }
    sink.finish()
}
