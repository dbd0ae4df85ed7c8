//! `ofd compact`: sealed segments of the log to Parquet.

use clap::Args;
use ofd_engine::Engine;
use ofd_engine::control::{Request, compact_line};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Writes what is sealed to Parquet, checked against the log.
#[derive(Debug, Args)]
#[command(after_help = "\
While a server runs on the directory it does the work; otherwise this process takes the directory for that time,
and then the segment that was open when the server ended is sealed and compacted as well. Running it twice
changes nothing. Parquet lies in DIR/parquet/<table>/date=YYYY-MM-DD/.

Example:
  ofd compact --data /var/lib/ofd --all")]
pub(crate) struct Compact {
    #[command(flatten)]
    data: DataDir,
    /// Seal the open segment first.
    #[arg(long)]
    all: bool,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        crate::serve::survive_full_files()?;
        let line = match self.data.ask_server(&Request::Compact { all: self.all })? {
            Some(lines) => lines.into_iter().next().unwrap_or_default(),
            None => {
                let engine = Engine::builder(dir).io_threads(1).workers(1).open()?;
                let report = engine.compact(self.all);
                engine.shutdown()?;
                compact_line(&report?)
            }
        };
        let mut output = Output::new();
        let told: serde_json::Value = serde_json::from_str(&line)
            .map_err(|error| Failure::new(Exit::Failure, format!("the server's answer: {error}")))?;
        let number = |key: &str| told.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default();
        output.line(&if self.json { line.clone() } else { words(&number) })?;
        output.flush()?;
        match number("damaged") {
            0 => Ok(()),
            lost => Err(Failure::new(Exit::Damaged, format!("{lost} damaged records could not be read"))),
        }
    }
}

fn words(number: &dyn Fn(&str) -> u64) -> String {
    format!(
        "{} documents and {} items of {} segments in {} files, {} bytes; compacted through position {}",
        number("documents"),
        number("items"),
        number("segments"),
        number("files"),
        number("bytes"),
        number("compacted_through"),
    )
}
