//! `ofd violations`: what the rules have found in stored documents.

use clap::Args;
use ofd_engine::codec::DriveNumber;
use ofd_engine::codec::rules::life::LifeRuleId;
use ofd_engine::control::finding_line;
use ofd_engine::host::Capability;
use ofd_engine::{ReadOnly, StoredFinding};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Lists what the rules have found in stored documents.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the archive and the log behind it by itself, beside a running server too, and sees what is durable now: findings in
documents, and those across documents, of a state the newest row (\"ended\" where it is over). The rules are explained in
docs/rules.md, and in each line of --json. Exit code 4 when --fn or --inn find nothing.

Examples:
  ofd violations --data /var/lib/ofd --json | jq -c 'select(.level == \"error\")'
  ofd violations --data /var/lib/ofd --inn 7707083893
  ofd violations --data /var/lib/ofd --replay D3")]
pub(crate) struct Violations {
    #[command(flatten)]
    data: DataDir,
    /// Of this fiscal drive (ФН) only.
    #[arg(long = "fn", value_name = "FN", value_parser = crate::find::drive)]
    drive: Option<DriveNumber>,
    /// Of this user only.
    #[arg(long, value_name = "INN")]
    inn: Option<String>,
    /// What this rule across documents (docs/rules.md) finds in everything there is, though it be new or was off: every row of
    /// it. Changes nothing that was told.
    #[arg(long, value_name = "RULE", value_parser = rule)]
    replay: Option<LifeRuleId>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn rule(key: &str) -> Result<LifeRuleId, String> {
    LifeRuleId::by_key(key).ok_or_else(|| format!("{key:?} is no rule across documents, see docs/rules.md"))
}

impl Violations {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let reader = ReadOnly::open(self.data.existing()?)?;
        let capability = match &self.inn {
            Some(inn) => Capability::users([inn.clone()]),
            None => Capability::operator(),
        };
        let mut output = Output::new();
        if !self.json {
            output.line(&format!(
                "{:<16} {:>9} {:<7} {:<5} {:>4}  {:<40} {}",
                "FN", "FD", "LEVEL", "RULE", "TAG", "NAME", "FOUND / EXPECTED"
            ))?;
        }
        let (mut found, mut written) = (false, Ok(()));
        let mut each = |finding: StoredFinding| {
            found = true;
            if written.is_ok() {
                let line = if self.json { finding_line(&finding) } else { row(&finding) };
                written = output.line(&line);
            }
        };
        match self.replay {
            Some(rule) => reader.replay_findings(&capability, rule, self.drive, &mut each)?,
            None => reader.findings(&capability, self.drive, &mut each)?,
        }
        written?;
        output.flush()?;
        if found || (self.drive.is_none() && self.inn.is_none()) {
            return Ok(());
        }
        let text = format!("{}: nothing was found in such documents", self.data.dir.display());
        Err(Failure::new(Exit::NotFound, text))
    }
}

fn row(it: &StoredFinding) -> String {
    let tag = it.tag.map_or("-".to_owned(), |tag| tag.to_string());
    let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{:<16} {:>9} {:<7} {:<5} {tag:>4}  {:<40} {} / {}",
        it.drive,
        it.number,
        it.level,
        it.rule,
        it.name,
        of(&it.actual),
        of(&it.expected),
    ) + match &it.life {
        Some(life) if life.ended_us.is_some() => " (ended)",
        _ => "",
    }
}
