//! `ofd shifts`: every shift, with its sums and whether its counters agree.

use clap::Args;
use ofd_engine::codec::Kopecks;
use ofd_engine::control::shift_line;
use ofd_engine::registers::{Agreement, Card, Shift};

use crate::failure::Failure;
use crate::output::Output;
use crate::registers::What;

/// Lists shifts: when, how much, by direction, payment form and tax, and what the register's own counters say.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the log by itself, beside a running server too, and sees what is durable now; documents that retention has let
go from the log are not counted. State: open, incomplete (documents are missing, or the drive was not ours when it
began), agrees or differs (from the counters of the closing report). Exit code 4 when --fn or --inn find nothing.

Examples:
  ofd shifts --data /var/lib/ofd --json
  ofd shifts --data /var/lib/ofd --fn 9999078900001234")]
pub(crate) struct Shifts {
    #[command(flatten)]
    what: What,
}

impl Shifts {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let registers = self.what.shifts()?;
        let mut output = Output::new();
        let mut found = false;
        if !self.what.json {
            output.line(&format!(
                "{:<16} {:>5} {:>9} {:>8} {:>16}  {}",
                "FN", "SHIFT", "DOCUMENTS", "RECEIPTS", "REVENUE", "STATE"
            ))?;
        }
        let mut cards: Vec<Card> = registers.cards().filter(|card| self.what.names(card)).collect();
        cards.sort_by(|one, other| {
            let key = |it: &Card| (it.realm as u8, it.rnm.clone());
            key(one).cmp(&key(other))
        });
        for card in cards {
            let drives = card.drives.iter().filter(|it| self.what.names_drive(it.drive));
            for drive in drives.filter_map(|it| registers.drive(it.drive)) {
                for shift in &drive.shifts {
                    found = true;
                    if self.what.json {
                        output.line(&shift_line(&drive, Some(&card.rnm), card.inn.as_deref(), shift))?;
                    } else {
                        output.line(&row(drive.number.as_str(), shift))?;
                    }
                }
            }
        }
        output.flush()?;
        if found { Ok(()) } else { self.what.nothing() }
    }
}

fn row(drive: &str, shift: &Shift) -> String {
    let state = match shift.agreement() {
        Agreement::Open => "open",
        Agreement::Incomplete => "incomplete",
        Agreement::Agrees => "agrees",
        Agreement::Differs => "differs",
    };
    format!(
        "{drive:<16} {:>5} {:>9} {:>8} {:>16}  {state}",
        shift.number,
        shift.documents,
        shift.totals.count(),
        Kopecks(shift.totals.revenue()).to_string(),
    )
}
