//! `ofd export`: the tables of one merchant.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::host::Capability;
use ofd_engine::{Export, Lsn, OPERATOR_INN_STAND_IN, Position, ReadOnly};
use serde_json::json;

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::Failure;
use crate::output::Output;

/// Exports the tables of one merchant as Parquet, in increments.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes DIR2/parquet/<table>/date=…/ with archive.json, which names every file with its checksum. Called again it adds
what has come since; a call that was cut off is done again without a trace. Reads by itself, beside a running server too.
Without personal data there are no columns buyer_*, cashier*, nor what findings quote, and no containers.

Examples:
  ofd export --data /var/lib/ofd --inn 7707083893 --out /srv/export/7707083893
  ofd export --data /var/lib/ofd --inn 7707083893 --out /srv/open/7707083893 --no-pii")]
pub(crate) struct ExportCommand {
    #[command(flatten)]
    data: DataDir,
    /// The merchant.
    #[arg(long, value_name = "INN")]
    inn: String,
    /// Behind this position; without it, behind the last increment in DIR2.
    #[arg(long, value_name = "POSITION")]
    since: Option<u64>,
    /// Where to.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
    /// Leave personal data out.
    #[arg(long)]
    no_pii: bool,
    /// The configuration: with the server's own, its files help to tell open shifts.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl ExportCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let reader = ReadOnly::open(self.data.existing()?)?;
        let config = self.config.as_ref().map(|file| Config::load(file)).transpose()?;
        let ours = config.map(|it| it.operator_inn).filter(|inn| inn != OPERATOR_INN_STAND_IN);
        let what = Export {
            inn: self.inn.clone(),
            since: self.since.map(|position| Position::new(Lsn::new(position))),
            without_personal: self.no_pii,
        };
        let report = reader.export(&Capability::operator(), ours.as_deref(), &self.out, &what)?;
        let mut output = Output::new();
        if self.json {
            let line = json!({
                "inn": self.inn,
                "after": report.after,
                "through": report.through,
                "documents": report.documents,
                "items": report.items,
                "total": i64::try_from(report.total_kopecks).unwrap_or(i64::MAX),
                "files": report.files,
                "bytes": report.bytes,
                "parquet": self.out.join("parquet"),
            });
            output.line(&line.to_string())?;
        } else {
            output.line(&format!(
                "{} documents and {} items behind position {} up to {}: {} files, {} bytes in {}",
                report.documents,
                report.items,
                report.after,
                report.through,
                report.files,
                report.bytes,
                self.out.display(),
            ))?;
        }
        output.flush()
    }
}
