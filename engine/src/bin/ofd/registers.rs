//! `ofd registers`: the card of every register.

mod which;

use std::path::PathBuf;

use clap::Args;
use ofd_engine::codec::{DriveNumber, tags};
use ofd_engine::control::card_line;
use ofd_engine::host::Capability;
use ofd_engine::registers::Card;
use ofd_engine::watch::RegisterQuery;
use ofd_engine::{Listed, OPERATOR_INN_STAND_IN, ReadOnly, RegisterBook};

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use which::Which;

/// Lists registers: what they are, their drives, what is missing of them, the open shift; everything that is said has to hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads by itself, beside a running server too, and sees what is durable now: from the newest checkpoint of the server,
unless --config names another operator, and the log behind it. Money is kopecks, times of a register have no zone.
The colour of the traffic light is that of now, by the clock of this machine, whether a server runs or not. Ranges are A..B, A..,
..B or one value; times are YYYY-MM-DD or YYYY-MM-DDThh:mm:ss. Test registers come behind those of production. Exit code 4 when
--fn or --inn find nothing.

Examples:
  ofd registers --data /var/lib/ofd --json
  ofd registers --data /var/lib/ofd --inn 7707083893 --sort address
  ofd registers --data /var/lib/ofd --shift-open true --sort revenue-today --descending --limit 20
  ofd registers --data /var/lib/ofd --colour red --colour yellow --sort last --limit 20
  ofd registers --data /var/lib/ofd --drive-ends ..2026-12-31 --sort organisation")]
pub(crate) struct RegistersCommand {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    which: Which,
    /// So many at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
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
        if !self.what.json {
            output.line(&format!(
                "{:<6} {:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>8} {:>13} {:>14}  {}",
                "COLOUR",
                "RNM",
                "INN",
                "FN",
                "DOCUMENTS",
                "MISSING",
                "SHIFT",
                "RECEIPTS",
                "REVENUE TODAY",
                "LAST DOCUMENT",
                "ADDRESS"
            ))?;
        }
        let most = self.limit.unwrap_or(usize::MAX);
        let mut shown = 0_usize;
        for test in [false, true] {
            if shown >= most {
                break;
            }
            let query = RegisterQuery { test, inn: self.what.inn.clone(), ..self.which.query() };
            book.list_all::<Failure>(&query, |listed| {
                if shown < most && self.what.names(&listed.register.card) {
                    shown = shown.saturating_add(1);
                    let line = if self.what.json {
                        card_line(&book, &listed.register)?
                    } else {
                        row(&book, &listed)?
                    };
                    output.line(&line)?;
                }
                Ok(shown < most)
            })?;
        }
        output.flush()?;
        if shown > 0 { Ok(()) } else { self.what.nothing() }
    }
}

fn row(book: &RegisterBook, listed: &Listed) -> Result<String, Failure> {
    let (card, drive) = (&listed.register.card, &listed.register.drive);
    let missing: u64 = drive.service.missing().iter().map(|range| u64::from(range.count())).sum();
    let address = book.registration(drive)?.and_then(|it| it.text(tags::RETAIL_PLACE_ADDRESS));
    let today = listed.today.unwrap_or_default();
    Ok(format!(
        "{:<6} {:<16} {:<12} {:<16} {:>9} {:>7} {:>5} {:>8} {:>13} {:>14}  {}",
        listed.light.colour.as_str(),
        card.rnm,
        card.inn.as_deref().unwrap_or("-"),
        drive.number.as_str(),
        drive.documents,
        missing,
        drive.open_shift().map_or("-".to_owned(), |it| it.number.to_string()),
        today.receipts,
        today.revenue,
        drive.last.map_or("-".to_owned(), |it| format!("{} {}", it.number, it.form)),
        address.as_deref().unwrap_or("-"),
    ))
}
