//! `ofd notify`: who is told what happens to registers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ofd_engine::control::{Request, subscription_lines};
use ofd_engine::notify::{Subscription, SubscriptionCommand};
use ofd_engine::{Lsn, Position};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Subscriptions: who is told what happens to registers, by which channel.
#[derive(Debug, Args)]
#[command(after_help = "\
Channels are those of the server, `notify.*` of its configuration: webhook, email. What can be asked for is told in
docs/notifications.md. Every command stays in the log, with who gave it.

Examples:
  ofd notify set --data /var/lib/ofd subscription.json
  ofd notify list --data /var/lib/ofd
  ofd notify replay --data /var/lib/ofd --id crm-7 --from 4711 --by Иванова
  ofd notify remove --data /var/lib/ofd --id crm-7 --by Иванова")]
pub(crate) struct NotifyCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes or changes a subscription; prints {"position":N} of its command.
    Set(Set),
    /// Ends one.
    Remove(Remove),
    /// Lets one go on behind a position: what is behind it is told, again where it was told.
    Replay(Replay),
    /// Prints the subscriptions and how far each is, one JSON object a line.
    List(List),
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    data: DataDir,
    /// The subscription as a JSON object; `-` = stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    data: DataDir,
    /// Its name.
    #[arg(long, value_name = "ID")]
    id: String,
    /// Who ends it.
    #[arg(long, value_name = "NAME")]
    by: String,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    data: DataDir,
    /// Its name.
    #[arg(long, value_name = "ID")]
    id: String,
    /// The position; 0 = from the beginning.
    #[arg(long, value_name = "POSITION")]
    from: u64,
    /// Who asks for it.
    #[arg(long, value_name = "NAME")]
    by: String,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    data: DataDir,
}

impl NotifyCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (data, command) = match self.what {
            What::List(it) => {
                let lines = it.data.ask_or_do(&Request::Subscriptions, it.data.builder(), |engine| {
                    Ok(subscription_lines(&engine.subscriptions()))
                })?;
                return Output::lines(&lines);
            }
            What::Set(it) => {
                let name = it.file.display().to_string();
                let text = if name == "-" {
                    std::io::read_to_string(std::io::stdin())
                } else {
                    std::fs::read_to_string(&it.file)
                };
                let text = text.map_err(|error| Failure::io(&name, &error))?;
                let subscription = Subscription::from_json(&text)
                    .map_err(|what| Failure::new(Exit::Usage, format!("{name}: {what}")))?;
                (it.data, SubscriptionCommand::Set(Box::new(subscription)))
            }
            What::Remove(it) => (it.data, SubscriptionCommand::Remove { id: it.id, by: it.by }),
            What::Replay(it) => {
                let from = Position::new(Lsn::new(it.from));
                (it.data, SubscriptionCommand::Replay { id: it.id, from, by: it.by })
            }
        };
        let request = Request::Subscribe(command.clone());
        let lines = data.ask_or_do(&request, data.builder(), |engine| {
            engine.subscribe(command).map(|at| vec![format!("{{\"position\":{at}}}")])
        })?;
        Output::lines(&lines)
    }
}
