//! `ofd scrub`: re-reads everything that lies still, once.

use std::time::{Duration, Instant};

use clap::Args;
use ofd_engine::ReadOnly;
use ofd_engine::storage::Now;
use ofd_engine::storage::scrub::{ScrubOptions, ScrubStep};
use serde_json::json;

use crate::data::DataDir;
use crate::failure::{Exit, Failure, talk};
use crate::output::Output;

/// Re-reads sealed segments and the files of the archive from the disk, and compares them with their hashes.
#[derive(Debug, Args)]
#[command(after_help = "\
Works beside a running server and without one, takes no lock and changes nothing; a server does the same by itself, a
little at a time (`scrub.every_days` of the configuration). Says nothing of what is still open or was never sealed:
`ofd verify` compares everything. Exit code 3 when something is damaged; where and how goes to stderr.

Example:
  ofd scrub --data /var/lib/ofd --rate 50 --json")]
pub(crate) struct Scrub {
    #[command(flatten)]
    data: DataDir,
    /// Megabytes a second at most [default: as fast as the disk gives them].
    #[arg(long, value_name = "MB/S", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: Option<u64>,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl Scrub {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        let rate = self.rate.map_or(u64::MAX, |megabytes| megabytes.saturating_mul(1_000_000));
        let options = ScrubOptions { rate: Some(rate), once: true, ..ScrubOptions::default() };
        let mut scrub = ReadOnly::open(dir)?.scrub(options);
        let started = Instant::now();
        let report = loop {
            let mono_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            match scrub.step(Now { wall_us: 0, mono_us }).map_err(ofd_engine::Error::from)? {
                ScrubStep::Wait(until) => {
                    std::thread::sleep(Duration::from_micros(until.saturating_sub(mono_us)))
                }
                ScrubStep::Found(finding) => talk(format_args!("{}: {}", dir.display(), finding.what)),
                ScrubStep::Done(report) => break report,
            }
        };
        let mut output = Output::new();
        if self.json {
            let problems: Vec<&str> = report.findings.iter().map(|it| it.what.as_str()).collect();
            let line = json!({
                "segments": report.segments,
                "files": report.files,
                "bytes": report.bytes,
                "damaged": report.damaged,
                "ok": report.damaged == 0,
                "problems": problems,
            });
            output.line(&line.to_string())?;
        } else {
            output.line(&format!(
                "{} segments and {} files, {} bytes; {} damaged",
                report.segments, report.files, report.bytes, report.damaged
            ))?;
        }
        output.flush()?;
        if report.damaged == 0 { Ok(()) } else { Err(Failure::silent(Exit::Damaged)) }
    }
}
