//! `ofd registers`: the card of every register.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::codec::{DriveNumber, tags};
use ofd_engine::control::card_line;
use ofd_engine::host::Capability;
use ofd_engine::registers::Card;
use ofd_engine::watch::Colour;
use ofd_engine::{OPERATOR_INN_STAND_IN, ReadOnly, Register, RegisterBook};

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Lists registers: what they are, their drives, what is missing of them, the open shift.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads by itself, beside a running server too, and sees what is durable now: from the newest checkpoint of the server,
unless --config names another operator, and the log behind it. Money in JSON is kopecks, times of a register have no zone.
The colour of the traffic light is that of now, by the clock of this machine, whether a server runs or not. Exit code 4 when --fn or
--inn find nothing.

Examples:
  ofd registers --data /var/lib/ofd --json
  ofd registers --data /var/lib/ofd --inn 7707083893
  ofd registers --data /var/lib/ofd --colour red --colour yellow --sort last --limit 20")]
pub(crate) struct RegistersCommand {
    #[command(flatten)]
    what: What,
    /// Of this colour of the traffic light only: green, yellow or red; may be given more than once.
    #[arg(long, value_name = "COLOUR", value_parser = colour)]
    colour: Vec<Colour>,
    /// In which order.
    #[arg(long, value_enum, default_value_t = Sort::Rnm)]
    sort: Sort,
    /// So many at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Orders of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// By registration number.
    Rnm,
    /// Worst first.
    Colour,
    /// The one that has been silent longest first.
    Last,
}

fn colour(name: &str) -> Result<Colour, String> {
    Colour::parse(name).ok_or_else(|| "one of green, yellow, red".to_owned())
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
    /// INN of this operator, where the configuration names it.
    pub(crate) fn ours(&self) -> Result<Option<String>, Failure> {
        let config = self.config.as_ref().map(|file| Config::load(file)).transpose()?;
        Ok(config.map(|it| it.operator_inn).filter(|inn| inn != OPERATOR_INN_STAND_IN))
    }

    /// The registers, from the newest checkpoint of the directory on.
    fn book(&self) -> Result<RegisterBook, Failure> {
        let ours = self.ours()?;
        Ok(ReadOnly::open(self.data.existing()?)?.registers(&Capability::operator(), ours.as_deref())?)
    }

    /// The directory, opened for reading.
    pub(crate) fn reader(&self) -> Result<ReadOnly, Failure> {
        Ok(ReadOnly::open(self.data.existing()?)?)
    }

    /// What is shown.
    pub(crate) fn capability(&self) -> Capability {
        self.inn.as_ref().map_or_else(Capability::operator, |inn| Capability::users([inn.clone()]))
    }

    /// The drive that is asked for.
    pub(crate) fn drive(&self) -> Option<DriveNumber> {
        self.drive
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
        let book = self.what.book()?;
        let mut output = Output::new();
        let mut found = false;
        if !self.what.json {
            output.line(&format!(
                "{:<6} {:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>14}  {}",
                "COLOUR", "RNM", "INN", "FN", "DOCUMENTS", "MISSING", "SHIFT", "LAST DOCUMENT", "ADDRESS"
            ))?;
        }
        let mut registers: Vec<Register> = book.iter().filter(|it| self.what.names(&it.card)).collect();
        let light = |it: &Register| book.light(&it.card).map_or(Colour::Green, |it| it.colour);
        if !self.colour.is_empty() {
            registers.retain(|it| self.colour.contains(&light(it)));
        }
        registers.sort_by_cached_key(|it| {
            let first = match self.sort {
                Sort::Rnm => 0,
                Sort::Colour => -(light(it) as i64),
                Sort::Last => it.card.last_seen_us,
            };
            (first, it.card.realm as u8, it.card.rnm.clone())
        });
        for register in registers.iter().take(self.limit.unwrap_or(usize::MAX)) {
            found = true;
            if self.what.json {
                output.line(&card_line(&book, register)?)?;
            } else {
                output.line(&row(&book, register)?)?;
            }
        }
        output.flush()?;
        if found { Ok(()) } else { self.what.nothing() }
    }
}

fn row(book: &RegisterBook, Register { card, drive }: &Register) -> Result<String, Failure> {
    let missing: u64 = drive.service.missing().iter().map(|range| u64::from(range.count())).sum();
    let address = book.registration(drive)?.and_then(|it| it.text(tags::RETAIL_PLACE_ADDRESS));
    Ok(format!(
        "{:<6} {:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>14}  {}",
        book.light(card).map_or(Colour::Green, |it| it.colour).as_str(),
        card.rnm,
        card.inn.as_deref().unwrap_or("-"),
        drive.number.as_str(),
        drive.documents,
        missing,
        drive.open_shift().map_or("-".to_owned(), |it| it.number.to_string()),
        drive.last.map_or("-".to_owned(), |it| format!("{} {}", it.number, it.form)),
        address.as_deref().unwrap_or("-"),
    ))
}
