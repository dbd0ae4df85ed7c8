//! `ofd registers`: the card of every register.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::ReadOnly;
use ofd_engine::codec::DriveNumber;
use ofd_engine::control::card_line;
use ofd_engine::host::Capability;
use ofd_engine::registers::{Card, Registers, SHIFTS_KEPT};

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Lists registers: what they are, their drives, what is missing of them, the open shift.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the log by itself, beside a running server too, and sees what is durable now; documents that retention has let
go from the log are not counted. Money in JSON is kopecks, times of a register have no zone. Exit code 4 when --fn or
--inn find nothing.

Examples:
  ofd registers --data /var/lib/ofd --json
  ofd registers --data /var/lib/ofd --inn 7707083893")]
pub(crate) struct RegistersCommand {
    #[command(flatten)]
    what: What,
}

/// Which registers, and how they are shown.
#[derive(Debug, Args)]
pub(crate) struct What {
    #[command(flatten)]
    data: DataDir,
    /// Of this fiscal drive (ФН) only.
    #[arg(long = "fn", value_name = "FN", value_parser = crate::find::drive)]
    drive: Option<DriveNumber>,
    /// Of this user only.
    #[arg(long, value_name = "INN")]
    inn: Option<String>,
    /// The configuration: its operator.inn tells which registrations are with another operator.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl What {
    /// Folds the log.
    pub(crate) fn registers(&self, shifts_kept: usize) -> Result<Registers, Failure> {
        let dir = self.data.existing()?;
        let ours = self.config.as_ref().map(|file| Config::load(file)).transpose()?.map(|it| it.operator_inn);
        Ok(ReadOnly::open(dir)?.registers(&Capability::operator(), ours, shifts_kept)?)
    }

    /// Whether this register is asked for.
    pub(crate) fn names(&self, card: &Card) -> bool {
        self.drive.is_none_or(|drive| card.drives.iter().any(|it| it.drive == drive))
            && self.inn.as_deref().is_none_or(|inn| card.inn.as_deref() == Some(inn))
    }

    /// Whether this drive is.
    pub(crate) fn names_drive(&self, drive: DriveNumber) -> bool {
        self.drive.is_none_or(|it| it == drive)
    }

    /// Nothing was found of what was named.
    pub(crate) fn nothing(&self) -> Result<(), Failure> {
        if self.drive.is_none() && self.inn.is_none() {
            return Ok(());
        }
        let text = format!("{}: no such register", self.data.dir.display());
        Err(Failure::new(Exit::NotFound, text))
    }
}

impl RegistersCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let registers = self.what.registers(SHIFTS_KEPT)?;
        let mut output = Output::new();
        let mut found = false;
        if !self.what.json {
            output.line(&format!(
                "{:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>14}  {}",
                "RNM", "INN", "FN", "DOCUMENTS", "MISSING", "SHIFT", "LAST DOCUMENT", "ADDRESS"
            ))?;
        }
        for (realm, card) in registers.cards().filter(|(_, card)| self.what.names(card)) {
            found = true;
            if self.what.json {
                output.line(&card_line(&registers, realm, card))?;
            } else {
                output.line(&row(&registers, card))?;
            }
        }
        output.flush()?;
        if found { Ok(()) } else { self.what.nothing() }
    }
}

fn row(registers: &Registers, card: &Card) -> String {
    let current = card.drives.last().and_then(|it| registers.drive(it.drive));
    let missing =
        current.map_or(0, |it| it.service.missing().iter().map(|range| u64::from(range.count())).sum());
    let address = current
        .and_then(|it| it.registration.as_ref())
        .and_then(|it| it.text(ofd_engine::codec::tags::RETAIL_PLACE_ADDRESS));
    format!(
        "{:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>14}  {}",
        card.rnm,
        card.inn.as_deref().unwrap_or("-"),
        current.map_or("-", |it| it.number.as_str()),
        current.map_or(0, |it| it.documents),
        missing,
        current.and_then(|it| it.open_shift()).map_or("-".to_owned(), |it| it.number.to_string()),
        current.and_then(|it| it.last).map_or("-".to_owned(), |it| format!("{} {}", it.number, it.form)),
        address.as_deref().unwrap_or("-"),
    )
}
