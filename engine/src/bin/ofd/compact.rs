//! `ofd compact`: sealed segments of the log to Parquet.

use clap::Args;
use ofd_engine::control::{Request, compact_line};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Told};

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
        let request = Request::Compact { all: self.all };
        let told = Told::of(self.data.ask_or_do(&request, self.data.builder(), |engine| {
            Ok(vec![compact_line(&engine.compact(self.all)?)])
        })?)?;
        let mut output = Output::new();
        output.line(&if self.json { told.line.clone() } else { words(&told) })?;
        output.flush()?;
        match told.number("damaged") {
            0 => Ok(()),
            lost => Err(Failure::new(Exit::Damaged, format!("{lost} damaged records could not be read"))),
        }
    }
}

fn words(told: &Told) -> String {
    let number = |key: &str| told.number(key);
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
