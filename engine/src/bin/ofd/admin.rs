//! `ofd admin`: what an operator asks and tells a running server.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use ofd_engine::codec::DriveNumber;
use ofd_engine::control::{Admin, Request};
use ofd_engine::tax::TaxCommand;
use ofd_engine::watch::RuleSwitch;
use ofd_engine::{DoorCommand, Fold};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::find::drive;
use crate::output::Output;

/// Asks and tells a running server: status, the leg to the tax service, the door, rules, folds, gaps.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints one JSON object a line. What changes something is a record of the log with who and why, and answers {\"position\":N}.
Exit code 4 when no server runs on the directory.

Examples:
  ofd admin --data /var/lib/ofd status
  ofd admin --data /var/lib/ofd tax-pause --fn 7100000000000001 --by 'ночная смена' --reason 'сверка'
  ofd admin --data /var/lib/ofd tax-resend --fn 7100000000000001 --from 17 --to 29 --by Иванова --reason 'по запросу ФНС'
  ofd admin --data /var/lib/ofd gap --fn 7100000000000001 --fd 87
  ofd admin --data /var/lib/ofd rule-off --rule D2 --by Иванова --reason 'ложные срабатывания'
  ofd admin --data /var/lib/ofd rebuild --fold registers --by Иванова --reason 'сверка после замены диска'
  ofd admin --data /var/lib/ofd defer --by 'ночная смена' --reason 'скачок часов'")]
pub(crate) struct AdminCommand {
    #[command(flatten)]
    data: DataDir,
    /// JSON, which it is in any case.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Health, the door, and the leg to the tax service.
    Status,
    /// Leaves new documents unanswered, so that registers keep them.
    Defer(Words),
    /// Accepts documents again.
    Accept(Words),
    /// Ends the server as SIGTERM does.
    Drain(Words),
    /// Sends nothing to the tax service: of a drive, or at all.
    TaxPause(MaybeDrive),
    /// The end of a pause.
    TaxResume(MaybeDrive),
    /// Sends documents once more.
    TaxResend(Range),
    /// What became of a document at the tax service.
    TaxStatus(Document),
    /// The account of a drive.
    TaxAccount(OneDrive),
    /// The documents of a drive by local day, and whether they agree with its account.
    TaxReconcile(OneDrive),
    /// Documents that the service has something against, by drive and number.
    TaxRemarks(Remarks),
    /// Documents, messages and receipts by day.
    TaxDays,
    /// The rules across documents, and which of them are asked.
    Rules,
    /// Asks a rule across documents no more, from here on; what was told stays.
    RuleOff(Rule),
    /// Asks it again.
    RuleOn(Rule),
    /// Makes a fold anew from the first record of the archive on, while the server runs.
    Rebuild(Rebuild),
    /// Explains why a number of a drive is missing.
    Gap(Document),
}

#[derive(Debug, Args)]
struct Rule {
    /// Its id in docs/rules.md.
    #[arg(long, value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
struct Rebuild {
    /// Which: registers, with shifts, figures, findings, colours and their events; or tax, the outbox and its accounts.
    #[arg(long, value_parser = fold())]
    fold: Fold,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
struct Words {
    /// Who.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
struct MaybeDrive {
    /// Number of the fiscal drive (ФН); without it the whole leg.
    #[arg(long = "fn", value_name = "FN", value_parser = drive)]
    drive: Option<DriveNumber>,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
struct Range {
    #[command(flatten)]
    drive: OneDrive,
    /// First document number.
    #[arg(long, value_name = "FD")]
    from: u32,
    /// Last document number.
    #[arg(long, value_name = "FD")]
    to: u32,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Args)]
struct OneDrive {
    /// Number of the fiscal drive (ФН).
    #[arg(long = "fn", value_name = "FN", value_parser = drive)]
    drive: DriveNumber,
}

#[derive(Debug, Args)]
struct Document {
    #[command(flatten)]
    drive: OneDrive,
    /// Document number.
    #[arg(long, value_name = "FD")]
    fd: u32,
}

#[derive(Debug, Args)]
struct Remarks {
    /// Behind this drive …
    #[arg(long, value_name = "FN", value_parser = drive, requires = "after_fd")]
    after_fn: Option<DriveNumber>,
    /// … and this document number.
    #[arg(long, value_name = "FD", requires = "after_fn")]
    after_fd: Option<u32>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    most: u32,
}

/// Reads the name of a fold, and offers those that there are.
fn fold() -> impl TypedValueParser<Value = Fold> {
    PossibleValuesParser::new(Fold::ALL.map(Fold::name))
        .try_map(|name| Fold::by_name(&name).ok_or_else(|| format!("{name} is no fold")))
}

impl What {
    fn request(self) -> Result<Admin, Failure> {
        let door = |command, it: Words| Admin::Door(command, it.by, it.reason);
        let tax = |command, it: Words| Admin::Tax(command, it.by, it.reason);
        let switch = |it: Rule, on| {
            RuleSwitch::new(&it.rule, on, &it.words.by, &it.words.reason)
                .map(Admin::Rule)
                .map_err(|text| Failure::new(Exit::Usage, text))
        };
        Ok(match self {
            Self::Status => Admin::Status,
            Self::Defer(it) => door(DoorCommand::Defer, it),
            Self::Accept(it) => door(DoorCommand::Accept, it),
            Self::Drain(it) => door(DoorCommand::Drain, it),
            Self::TaxPause(it) => tax(TaxCommand::Pause(it.drive), it.words),
            Self::TaxResume(it) => tax(TaxCommand::Resume(it.drive), it.words),
            Self::TaxResend(Range { drive: OneDrive { drive }, from, to, words }) => {
                tax(TaxCommand::Resend { drive, from, to }, words)
            }
            Self::TaxStatus(it) => Admin::TaxStatus(it.drive.drive, it.fd),
            Self::TaxAccount(it) => Admin::TaxAccount(it.drive),
            Self::TaxReconcile(it) => Admin::TaxReconcile(it.drive),
            Self::TaxRemarks(it) => Admin::TaxRemarks { after: it.after_fn.zip(it.after_fd), most: it.most },
            Self::TaxDays => Admin::TaxDays,
            Self::Rules => Admin::Rules,
            Self::RuleOff(it) => switch(it, false)?,
            Self::RuleOn(it) => switch(it, true)?,
            Self::Rebuild(Rebuild { fold, words }) => Admin::Rebuild(fold, words.by, words.reason),
            Self::Gap(it) => Admin::Gap(it.drive.drive, it.fd),
        })
    }
}

impl AdminCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = self.data.existing()?.clone();
        let Some(lines) = self.data.ask_server(&Request::Admin(self.what.request()?))? else {
            let text = format!("{}: no server runs on this directory", dir.display());
            return Err(Failure::new(Exit::NotFound, text));
        };
        Output::lines(&lines)
    }
}
