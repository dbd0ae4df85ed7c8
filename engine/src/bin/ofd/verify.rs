//! `ofd verify`: reads everything back.

use clap::Args;
use ofd_engine::ReadOnly;
use ofd_engine::control::{Request, verify_line};
use serde_json::Value;

use crate::data::DataDir;
use crate::failure::{Exit, Failure, talk};
use crate::output::{Output, Told};

/// Reads everything back: checksums, order, the log against Parquet.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the server that owns the directory; without one it reads by itself, changes nothing and sees what is
durable now. Exit code 3 when something is damaged or missing; the problems go to stderr.

Example:
  ofd verify --data /var/lib/ofd --json")]
pub(crate) struct Verify {
    #[command(flatten)]
    data: DataDir,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        let told = Told::of(match self.data.ask_server(&Request::Verify)? {
            Some(lines) => lines,
            None => vec![verify_line(&ReadOnly::open(dir)?.verify()?)],
        })?;
        let number = |key: &str| told.number(key);
        let mut output = Output::new();
        if self.json {
            output.line(&told.line)?;
        } else {
            output.line(&format!(
                "{} documents, {} of them in Parquet; {} damaged, {} missing",
                number("documents"),
                number("parquet_rows"),
                number("damaged"),
                number("missing"),
            ))?;
        }
        output.flush()?;
        for problem in told.get("problems").and_then(Value::as_array).into_iter().flatten() {
            talk(format_args!("{}: {}", dir.display(), problem.as_str().unwrap_or_default()));
        }
        if told.flag("ok") { Ok(()) } else { Err(Failure::silent(Exit::Damaged)) }
    }
}
