//! `ofd light`: thresholds of the traffic light, and where registers stand.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ofd_engine::control::Request;
use ofd_engine::watch::{Scope, Threshold, WatchCommand};
use ofd_engine::{Engine, Error};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Thresholds of the traffic light (светофор), and where registers stand.
#[derive(Debug, Args)]
#[command(after_help = "\
Each value is inherited by itself: register, outlet, organisation, default, built in. What is set takes effect at once, without a
restart, and stays in the log with who set it. docs/watch.md tells the values.

Examples:
  ofd light set --data /var/lib/ofd --inn 7704211201 --by Иванова silent_yellow_h=12 silent_red_h=48
  ofd light set --data /var/lib/ofd --rnm 0000000000000001 --by Иванова silent_yellow_h=inherit
  ofd light apply --data /var/lib/ofd places.jsonl")]
pub(crate) struct LightCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sets thresholds of one level.
    Set(Set),
    /// Takes commands, one JSON object a line: thresholds.set and register.place.
    Apply(Apply),
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    level: Level,
    /// Who sets them.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// NAME=NUMBER, 0 = off, or NAME=inherit.
    #[arg(value_name = "VALUE", required = true, value_parser = value)]
    values: Vec<(Threshold, Option<u32>)>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Level {
    /// Of every register.
    #[arg(long)]
    default: bool,
    /// Of an organisation.
    #[arg(long, value_name = "INN")]
    inn: Option<String>,
    /// Of an outlet, by your own id.
    #[arg(long, value_name = "ID")]
    outlet: Option<String>,
    /// Of one register.
    #[arg(long, value_name = "RNM")]
    rnm: Option<String>,
}

#[derive(Debug, Args)]
struct Apply {
    #[command(flatten)]
    data: DataDir,
    /// The file; stdin without it.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

fn value(text: &str) -> Result<(Threshold, Option<u32>), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=NUMBER or NAME=inherit")?;
    let threshold = Threshold::parse(name).ok_or_else(|| {
        let names = Threshold::ALL.map(Threshold::as_str);
        format!("the values are {}", names.join(", "))
    })?;
    let number = match value {
        "inherit" => None,
        number => Some(number.parse().map_err(|_| "a whole number, or inherit".to_owned())?),
    };
    Ok((threshold, number))
}

impl LightCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (data, commands) = match self.what {
            What::Set(Set { data, level, by, values }) => {
                let scope = match level {
                    Level { inn: Some(inn), .. } => Scope::Organisation(inn),
                    Level { outlet: Some(outlet), .. } => Scope::Outlet(outlet),
                    Level { rnm: Some(rnm), .. } => Scope::Register(rnm),
                    Level { default: _, .. } => Scope::Default,
                };
                (data, vec![WatchCommand::SetThresholds { scope, values, by }])
            }
            What::Apply(Apply { data, file }) => {
                let text = match &file {
                    Some(path) => std::fs::read_to_string(path),
                    None => std::io::read_to_string(std::io::stdin()),
                };
                let name = file.map_or("stdin".to_owned(), |it| it.display().to_string());
                let text = text.map_err(|error| Failure::io(&name, &error))?;
                let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
                let read = |(number, line): (usize, &str)| {
                    let parsed = serde_json::from_str(line).map_err(|error| error.to_string());
                    parsed.and_then(|it| WatchCommand::of_value(&it)).map_err(|what| {
                        Failure::new(Exit::Damaged, format!("line {}: {what}", number.saturating_add(1)))
                    })
                };
                // All of them, or none.
                (data, lines.map(read).collect::<Result<Vec<_>, _>>()?)
            }
        };
        for command in &commands {
            command.check().map_err(|what| Failure::new(Exit::Damaged, what))?;
        }
        let dir = data.existing()?;
        crate::serve::survive_full_files()?;
        match data.server()? {
            Some(mut client) => {
                for command in &commands {
                    data.ask(&mut client, &Request::Watch(command.clone()), &mut |_| ())?;
                }
            }
            None => {
                let engine = Engine::builder(dir).io_threads(1).workers(1).open()?;
                let done = commands.iter().try_for_each(|it| apply(&engine, it));
                engine.shutdown()?;
                done?;
            }
        }
        let mut output = Output::new();
        output.line(&format!("{{\"taken\":{}}}", commands.len()))?;
        output.flush()
    }
}

fn apply(engine: &Engine, command: &WatchCommand) -> Result<(), Error> {
    match command {
        WatchCommand::SetThresholds { scope, values, by } => engine.set_thresholds(scope, values, by),
        WatchCommand::PlaceRegister { rnm, place, by } => engine.place_register(rnm, place, by),
    }
}
