//! `ofd find`: one document by what is printed on it.

use clap::Args;
use ofd_engine::ReadOnly;
use ofd_engine::codec::DriveNumber;
use ofd_engine::control::{Request, Wanted, document_line, raw_line};
use ofd_engine::host::Capability;

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Finds a stored document; prints a line a variant, in the order they came.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the server that owns the directory; without one it reads the log by itself and sees what is durable now.
Exit code 4 when there is no such document, or no such directory.

Examples:
  ofd find --data /var/lib/ofd --fn 9999078900001234 --fd 17
  ofd find --data /var/lib/ofd --fn 9999078900001234 --fpd 1234567890 --raw")]
pub(crate) struct Find {
    #[command(flatten)]
    data: DataDir,
    /// Number of the fiscal drive (ФН), 16 digits.
    #[arg(long = "fn", value_name = "FN", value_parser = drive)]
    drive: DriveNumber,
    #[command(flatten)]
    by: By,
    /// Print the container as it was received, in hex.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct By {
    /// Number of the document (ФД).
    #[arg(long, value_name = "N")]
    fd: Option<u32>,
    /// Printed fiscal sign of the document (ФП): a number of 32 bits, so that it repeats.
    #[arg(long, value_name = "N")]
    fpd: Option<u32>,
}

pub(crate) fn drive(text: &str) -> Result<DriveNumber, String> {
    DriveNumber::parse(text).map_err(|_| "a drive number has 16 digits".to_owned())
}

impl Find {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        let wanted = match (self.by.fd, self.by.fpd) {
            (Some(number), _) => Wanted::Number(number),
            (None, sign) => Wanted::Sign(sign.unwrap_or_default()),
        };
        let request = Request::Find { drive: self.drive, wanted, raw: self.raw };
        let lines = match self.data.ask_server(&request)? {
            // Containers come as JSON strings.
            Some(lines) => lines.iter().map(|it| it.trim_matches('"').to_owned()).collect(),
            None => {
                let (reader, capability) = (ReadOnly::open(dir)?, Capability::operator());
                let found = match wanted {
                    Wanted::Number(number) => reader.find(&capability, self.drive, number)?,
                    Wanted::Sign(sign) => reader.find_by_sign(&capability, self.drive, sign)?,
                };
                let line = if self.raw { raw_line } else { document_line };
                found.iter().map(line).collect::<Vec<_>>()
            }
        };
        if lines.is_empty() {
            let text = format!("{}: no such document of drive {}", dir.display(), self.drive.as_str());
            return Err(Failure::new(Exit::NotFound, text));
        }
        let mut output = Output::new();
        lines.iter().try_for_each(|line| output.line(line))?;
        output.flush()
    }
}
