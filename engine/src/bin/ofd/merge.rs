//! `ofd merge`: many small files of the archive become few.

use clap::Args;
use ofd_engine::control::{Request, merge_line};

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Told};

/// Merges the Parquet of days that are over.
#[derive(Debug, Args)]
#[command(after_help = "\
Every compaction writes files of its own. Once it is over (UTC) those of a day become one file a table and date, and
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
        let config = Config::or_default(self.config.as_deref())?;
        let request = Request::Merge { all: self.all };
        let told = Told::of(self.data.ask_or_do(&request, config.builder(&self.data.dir), |engine| {
            Ok(vec![merge_line(&engine.merge(self.all)?)])
        })?)?;
        let number = |key: &str| told.number(key);
        let mut output = Output::new();
        if self.json {
            output.line(&told.line)?;
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
        if told.flag("unsupported") {
            let text = format!(
                "{}: nothing is merged where two folders cannot change places: this file system cannot do that, or the \
                 archive lies in an object store",
                self.data.dir.display()
            );
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
