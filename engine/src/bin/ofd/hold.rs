//! `ofd hold`: legal holds.

use clap::{Args, Subcommand};
use ofd_engine::codec::DriveNumber;
use ofd_engine::control::{Request, hold_lines};
use ofd_engine::storage::columns::Day;
use ofd_engine::storage::retain::{Hold, HoldScope};

use crate::data::DataDir;
use crate::failure::Failure;
use crate::output::Output;

/// Legal holds: what must not be removed whatever its age.
#[derive(Debug, Args)]
#[command(after_help = "\
A hold covers the documents of a drive or an INN whose date, or the day they were received, lies in its range. Nothing
that it covers leaves the log or the archive until it is lifted. Who placed and lifted it, when and why, stays in the log.

Examples:
  ofd hold add --data /var/lib/ofd --inn 7704211201 --from 2026-01-01 --to 2026-03-31 --reason 'дело А40-1/26' --by Иванова
  ofd hold list --data /var/lib/ofd
  ofd hold lift --data /var/lib/ofd --id 4711 --reason 'дело закрыто' --by Иванова")]
pub(crate) struct HoldCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Places a hold; prints {"id":N}.
    Add(Add),
    /// Lifts a hold; prints {"id":N}.
    Lift(Lift),
    /// Prints the holds that stand, one JSON object a line.
    List(List),
}

#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    scope: Scope,
    /// First day, YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    from: Day,
    /// Last day, YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    to: Day,
    /// Why: the case, the letter.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it.
    #[arg(long, value_name = "NAME")]
    by: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// Number of the fiscal drive (ФН), 16 digits.
    #[arg(long = "fn", value_name = "FN", value_parser = drive)]
    drive: Option<String>,
    /// INN of the user, 10 or 12 digits.
    #[arg(long, value_name = "INN", value_parser = inn)]
    inn: Option<String>,
}

#[derive(Debug, Args)]
struct Lift {
    #[command(flatten)]
    data: DataDir,
    /// Number of the hold, as `add` and `list` print it.
    #[arg(long, value_name = "N")]
    id: u64,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who lifts it.
    #[arg(long, value_name = "NAME")]
    by: String,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    data: DataDir,
}

fn drive(text: &str) -> Result<String, String> {
    let drive = DriveNumber::parse(text).map_err(|_| "a drive number has 16 digits".to_owned())?;
    Ok(drive.as_str().to_owned())
}

fn inn(text: &str) -> Result<String, String> {
    let fits = matches!(text.len(), 10 | 12) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err("an INN has 10 or 12 digits".to_owned()) }
}

impl HoldCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let lines = match self.what {
            What::Add(it) => {
                let scope = match (it.scope.drive, it.scope.inn) {
                    (Some(drive), _) => HoldScope::Drive(drive),
                    (None, inn) => HoldScope::Inn(inn.unwrap_or_default()),
                };
                let hold = Hold { scope, from: it.from, to: it.to, reason: it.reason, by: it.by };
                let request = Request::PlaceHold(hold.clone());
                it.data.ask_or_do(&request, it.data.builder(), |engine| {
                    engine.place_hold(hold).map(|id| vec![format!("{{\"id\":{id}}}")])
                })
            }
            What::Lift(it) => {
                let request = Request::LiftHold { id: it.id, reason: it.reason.clone(), by: it.by.clone() };
                it.data.ask_or_do(&request, it.data.builder(), |engine| {
                    let lifted = engine.lift_hold(it.id, &it.reason, &it.by);
                    lifted.map(|()| vec![format!("{{\"id\":{}}}", it.id)])
                })
            }
            What::List(it) => it
                .data
                .ask_or_do(&Request::Holds, it.data.builder(), |engine| Ok(hold_lines(&engine.holds()))),
        };
        Output::lines(&lines?)
    }
}
