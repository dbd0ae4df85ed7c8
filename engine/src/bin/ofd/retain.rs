//! `ofd retain`: lets go what has been kept long enough.

use clap::Args;
use ofd_engine::control::{Request, retain_line};

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure, talk};
use crate::output::{Output, Told};

/// Lets segments leave the log that the archive holds, and rows leave the archive after their years.
#[derive(Debug, Args)]
#[command(after_help = "\
While a server runs on the directory it does the work, with its configuration; otherwise this process takes the
directory for that time. A segment leaves when every record in it is in verified Parquet, it is older than
log.keep_days, every cursor of log.required_cursors has passed it and no legal hold needs it; a document leaves the
archive after archive.keep_years, unless a hold covers it. What stays, and why, is told.

Examples:
  ofd retain --data /var/lib/ofd --dry-run
  ofd retain --data /var/lib/ofd --config /etc/ofd.toml --json")]
pub(crate) struct Retain {
    #[command(flatten)]
    data: DataDir,
    /// Tell what would go, and let nothing go.
    #[arg(long)]
    dry_run: bool,
    /// The clock is right, though nothing was stored here for months; where no server runs.
    #[arg(long)]
    confirm_clock: bool,
    /// The configuration, where no server runs.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

impl Retain {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let config = Config::or_default(self.config.as_deref())?;
        let builder = config.builder(&self.data.dir);
        let builder = if self.confirm_clock { builder.confirm_clock() } else { builder };
        let request = Request::Retain { dry_run: self.dry_run };
        let told = Told::of(self.data.ask_or_do(&request, builder, |engine| {
            Ok(vec![retain_line(&engine.retain(self.dry_run)?, self.dry_run)])
        })?)?;
        let number = |key: &str| told.number(key);
        let mut output = Output::new();
        if self.json {
            output.line(&told.line)?;
        } else {
            let would = if self.dry_run { "would leave" } else { "left" };
            output.line(&format!(
                "{} segments, {} bytes, {would} the log, which is dropped through position {}",
                number("segments"),
                number("bytes"),
                number("dropped_through"),
            ))?;
            output.line(&format!(
                "{} documents and {} other records {would} the archive; {} files written anew, {} removed; {} rows stay \
                 under a hold",
                number("documents"),
                number("records"),
                number("files_rewritten"),
                number("files_removed"),
                number("held"),
            ))?;
        }
        output.flush()?;
        if let Some(why) = told.text("stays") {
            let segment = told.text("stays_segment").unwrap_or_default();
            talk(format_args!("{}: segment {segment} stays: {why}", self.data.dir.display()));
        }
        match number("damaged") {
            0 => Ok(()),
            damaged => Err(Failure::new(
                Exit::Damaged,
                format!("{damaged} runs of the archive are not as they were published; see ofd verify"),
            )),
        }
    }
}
