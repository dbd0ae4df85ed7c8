//! `ofd import`: archives of documents that were answered elsewhere or before move in.
//!
//! ```text
//! files ─▶ source: pieces, each with the answer that stands behind it ─▶ taker: the server, or an engine of our own
//!                        └─▶ sign-off: what the files hold, by drive and month ◀─ stored or known before ─┘
//! ```

mod signoff;
mod source;
mod taker;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use ofd_engine::registers::LaneSeed;

use crate::data::DataDir;
use crate::failure::{Exit, Failure, talk};
use crate::output::Output;
use signoff::SignOff;
use source::{Source, Sourced};
use taker::Taker;

/// Takes archives in: documents keep their answers and times, and nobody is told of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads session messages, bare containers, ФНС rawData and bare documents back to back, mixed as they come; with --hex one hex
string a line; Parquet that an engine wrote (a file of `containers` or `records`, or its folder). An operator's answer behind a document
is that document's answer; where none is found the document counts as accepted, at the time of the import.

Nothing is stored twice, so an import that was broken off is simply repeated. While a server runs on the directory it takes the documents,
beside its registers; otherwise this process takes the directory for that time, and makes one that is not there.

Prints for each drive and month what the files hold, in kopecks by kind of settlement, to be signed off, and last a line of
counts. What cannot be read is told with its file and offset, and the exit code is 3; everything else is taken.

Examples:
  ofd import --data /var/lib/ofd /archive/2026-03/*.bin
  ofd import --data /var/lib/ofd --json /backup/parquet | tail -1
  ofd import --data /var/lib/ofd --seeds lanes.jsonl")]
pub(crate) struct Import {
    #[command(flatten)]
    data: DataDir,
    /// Read text: one hex string a line.
    #[arg(long)]
    hex: bool,
    /// Zone of the answers in the archive, minutes from UTC.
    #[arg(long, value_name = "MINUTES", default_value_t = 180, value_parser = clap::value_parser!(i16).range(-720..=840), allow_negative_numbers = true)]
    zone: i16,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Lane seeds, one JSON object a line: where the lanes of drives begin that move in without their documents.
    #[arg(long, value_name = "FILE")]
    seeds: Option<PathBuf>,
    /// Files and folders.
    #[arg(required_unless_present = "seeds", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Import {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        crate::serve::survive_full_files()?;
        // A name mistyped behind a night's work would be a pity.
        let sources = Source::find(&self.files, self.hex, self.zone)?;
        let seeds = self.seeds.as_deref().map(read_seeds).transpose()?;
        let mut taker = Taker::open(&self.data)?;
        let mut signoff = SignOff::default();
        let seeded = seeds.map(|seeds| taker.seed(&seeds)).transpose();
        let bar = progress(sources.iter().map(|it| it.len).sum());
        let sources = if seeded.is_ok() { sources } else { Vec::new() };
        let imported = sources.into_iter().try_for_each(|source| {
            let len = source.len;
            source.each(&mut |sourced| match sourced {
                Sourced::Document(document) => taker.take(*document, &mut signoff),
                Sourced::Damaged(what) => {
                    signoff.damaged += 1;
                    talk(what);
                    Ok(())
                }
                Sourced::Skipped => {
                    signoff.skipped += 1;
                    Ok(())
                }
                Sourced::Answer { alone } => {
                    signoff.answers += 1;
                    signoff.answers_alone += u64::from(alone);
                    Ok(())
                }
            })?;
            bar.inc(len);
            Ok(())
        });
        // What is inside counts, also when the rest cannot be read any more.
        let ended = taker.end(&mut signoff);
        bar.finish_and_clear();
        let mut output = Output::new();
        if let Some((taken, known)) = seeded? {
            output.line(&match self.json {
                true => serde_json::json!({"seeds_taken": taken, "seeds_known": known}).to_string(),
                false => format!("lane seeds: {taken} new, {known} known before"),
            })?;
        }
        if !self.files.is_empty() {
            signoff.write(&mut output, self.json)?;
        }
        output.flush()?;
        imported.and(ended)?;
        match (signoff.not_taken, signoff.damaged) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::silent(Exit::Damaged)),
            (left, _) => {
                Err(Failure::new(Exit::Failure, format!("{left} documents were not taken: import again")))
            }
        }
    }
}

/// All of a file of seeds, before any of it is taken.
fn read_seeds(path: &Path) -> Result<Vec<LaneSeed>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let seed = |(number, line): (u32, &str)| {
        LaneSeed::from_json(line)
            .map_err(|what| Failure::new(Exit::Damaged, format!("{}: line {number}: {what}", path.display())))
    };
    lines.map(seed).collect()
}

/// Bytes of the files that are done. Nothing is drawn where stderr is no terminal.
fn progress(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template("{elapsed_precise} {wide_bar} {bytes}/{total_bytes} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
