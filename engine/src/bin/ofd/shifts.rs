//! `ofd shifts`: every shift, with its sums and whether its counters agree.

use clap::Args;
use ofd_engine::ShiftRow;
use ofd_engine::codec::Kopecks;
use ofd_engine::control::{closed_shift_line, shift_line};
use ofd_engine::host::Capability;

use crate::failure::Failure;
use crate::output::Output;
use crate::registers::What;

/// Lists shifts: when, how much, by direction, payment form and tax, and what the register's own counters say.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the archive and the log behind it by itself, beside a running server too, and sees what is durable now: closed shifts
first, as they stand now, then those that are open. State: open, incomplete (documents are missing, or the drive was not
ours when it began), agrees or differs (from the counters of the closing report). Exit code 4 when --fn or --inn find
nothing.

Examples:
  ofd shifts --data /var/lib/ofd --json
  ofd shifts --data /var/lib/ofd --fn 9999078900001234")]
pub(crate) struct Shifts {
    #[command(flatten)]
    what: What,
}

impl Shifts {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (reader, ours) = (self.what.reader()?, self.what.ours()?);
        let mut output = Output::new();
        let mut found = false;
        if !self.what.json {
            output.line(&format!(
                "{:<16} {:>5} {:>9} {:>8} {:>16}  {}",
                "FN", "SHIFT", "DOCUMENTS", "RECEIPTS", "REVENUE", "STATE"
            ))?;
        }
        let capability = self.what.capability();
        let mut written = Ok(());
        reader.shifts(&capability, ours.as_deref(), self.what.drive(), &mut |shift| {
            found = true;
            if written.is_ok() {
                let line = if self.what.json { closed_shift_line(&shift) } else { closed(&shift) };
                written = output.line(&line);
            }
        })?;
        written?;
        let book = reader.registers(&Capability::operator(), ours.as_deref())?;
        for register in book.iter().filter(|it| self.what.names(&it.card)) {
            let drive = &register.drive;
            let Some(shift) = drive.open_shift().filter(|_| self.what.names_drive(drive.number)) else {
                continue;
            };
            found = true;
            if self.what.json {
                let card = &register.card;
                output.line(&shift_line(drive, Some(&card.rnm), card.inn.as_deref(), shift))?;
            } else {
                let (receipts, revenue) = (shift.totals.count(), shift.totals.revenue());
                let numbers = [shift.number, shift.documents, receipts];
                output.line(&row(drive.number.as_str(), numbers, revenue, "open"))?;
            }
        }
        output.flush()?;
        if found { Ok(()) } else { self.what.nothing() }
    }
}

fn closed(shift: &ShiftRow) -> String {
    row(&shift.drive, [shift.shift, shift.documents, shift.receipts], shift.revenue, shift.state)
}

fn row(drive: &str, [number, documents, receipts]: [u32; 3], revenue: i64, state: &str) -> String {
    format!(
        "{drive:<16} {number:>5} {documents:>9} {receipts:>8} {:>16}  {state}",
        Kopecks(revenue).to_string()
    )
}
