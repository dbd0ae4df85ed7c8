//! `ofd merge`: many small files of the archive become few.

use clap::Args;
use ofd_engine::control::{Request, merge_line};
use serde_json::Value;

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Merges the Parquet of days that are over.
#[derive(Debug, Args)]
#[command(after_help = "\
Every compaction writes files of its own. A day after they came those of a day become one file a table and date, and
35 days after its end those of a month, with what registers sent late. Rows stay what they are; whole folders change
places, so that whoever reads DIR/parquet/*/*/*.parquet sees each row once. While a server runs on the directory it does
the work, with its configuration; otherwise this process takes the directory for that time.

Example:
  ofd merge --data /var/lib/ofd --json")]
pub(crate) struct Merge {
    #[command(flatten)]
    data: DataDir,
    /// Today's files too.
    #[arg(long)]
    all: bool,
    /// The configuration, where no server runs.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl Merge {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        crate::serve::survive_full_files()?;
        let config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        let line = match self.data.ask_server(&Request::Merge { all: self.all })? {
            Some(lines) => lines.into_iter().next().unwrap_or_default(),
            None => {
                let engine = config.builder(dir).io_threads(1).workers(1).open()?;
                let report = engine.merge(self.all);
                engine.shutdown()?;
                merge_line(&report?)
            }
        };
        let told: Value = serde_json::from_str(&line)
            .map_err(|error| Failure::new(Exit::Failure, format!("the server's answer: {error}")))?;
        let number = |key: &str| told.get(key).and_then(Value::as_u64).unwrap_or_default();
        let mut output = Output::new();
        if self.json {
            output.line(&line)?;
        } else {
            output.line(&format!(
                "{} runs of compaction became {}, {} files {}",
                number("runs_merged"),
                number("runs"),
                number("files_replaced"),
                number("files"),
            ))?;
        }
        output.flush()?;
        if told.get("unsupported").and_then(Value::as_bool) == Some(true) {
            let text = format!("{}: this file system cannot make two folders change places", dir.display());
            return Err(Failure::new(Exit::Failure, text));
        }
        match number("damaged") {
            0 => Ok(()),
            damaged => Err(Failure::new(
                Exit::Damaged,
                format!(
                    "{damaged} groups of runs hold files that are not as they were published; see ofd verify"
                ),
            )),
        }
    }
}
