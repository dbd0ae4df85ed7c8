//! `ofd links`: what a document belongs to and what belongs to it.

use clap::Args;
use ofd_engine::ReadOnly;
use ofd_engine::codec::DriveNumber;
use ofd_engine::control::links_line;
use ofd_engine::host::Capability;

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Shows the originals of a refund or a correction, and the refunds and corrections of a receipt.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the archive and the log behind it by itself, beside a running server too, and sees what is durable now. No document says
for certain what it is about: each line has its confidence, 1 to 100, and why. Exit code 4 when there is no such document.

Example:
  ofd links --data /var/lib/ofd --fn 9999078900001234 --fd 17 --json")]
pub(crate) struct LinksCommand {
    #[command(flatten)]
    data: DataDir,
    /// Number of the fiscal drive (ФН), 16 digits.
    #[arg(long = "fn", value_name = "FN", value_parser = crate::find::drive)]
    drive: DriveNumber,
    /// Number of the document (ФД).
    #[arg(long, value_name = "N")]
    fd: u32,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

impl LinksCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let reader = ReadOnly::open(self.data.existing()?)?;
        let Some(links) = reader.links_of(&Capability::operator(), self.drive, self.fd)? else {
            let text =
                format!("{}: no such document of drive {}", self.data.dir.display(), self.drive.as_str());
            return Err(Failure::new(Exit::NotFound, text));
        };
        let mut output = Output::new();
        if self.json {
            output.line(&links_line(&links))?;
            return output.flush();
        }
        output.line(&format!(
            "{:<8} {:<16} {:>9} {:<17} {:>13} {:>4}  WHY",
            "", "FN", "FD", "FORM", "KOPECKS", "%"
        ))?;
        for (what, all) in [("original", &links.originals), ("later", &links.later)] {
            for it in all {
                let why: Vec<&str> = it.reasons.iter().map(|reason| reason.name()).collect();
                output.line(&format!(
                    "{what:<8} {:<16} {:>9} {:<17} {:>13} {:>4}  {}",
                    it.drive.as_str(),
                    it.number,
                    it.form,
                    it.total,
                    it.confidence,
                    why.join(", ")
                ))?;
            }
        }
        if !links.complete {
            tracing::warn!("there is more than one look takes in: some may be missing");
        }
        output.flush()
    }
}
