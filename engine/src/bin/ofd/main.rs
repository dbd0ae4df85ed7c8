//! `ofd`: the engine from a terminal. One file a command; `failure.rs` holds the exit codes, `input.rs` and
//! `output.rs` what goes in and out, `config.rs` the configuration of `serve`.
//!
//! stdout carries data, stderr carries talk. Nothing here decides anything about documents: that is the
//! library's, and what the tool can do a host program can do as well.

mod admin;
mod archive;
mod check;
mod compact;
mod completions;
mod config;
mod config_command;
mod data;
mod decode;
mod emit;
mod encode;
mod export;
mod failure;
mod find;
mod hold;
mod import;
mod input;
mod json_text;
mod known;
mod light;
mod links;
mod logging;
mod merge;
mod notify;
mod output;
mod paint;
mod ranges;
mod receipts;
mod registers;
mod retain;
mod scrub;
mod serve;
mod shifts;
#[cfg(feature = "sql")]
mod sql;
mod verify;
mod violations;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tool of ofd-engine: receives, checks, keeps and reads back fiscal documents.
#[derive(Debug, Parser)]
#[command(name = "ofd", version, after_help = failure::EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    logging: logging::Logging,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Decode(decode::Decode),
    Encode(encode::Encode),
    Check(check::Check),
    Serve(serve::Serve),
    Emit(emit::Emit),
    Find(find::Find),
    Receipts(Box<receipts::Receipts>),
    Import(import::Import),
    Registers(Box<registers::RegistersCommand>),
    Shifts(shifts::Shifts),
    Violations(violations::Violations),
    #[cfg(feature = "sql")]
    Sql(sql::SqlCommand),
    Compact(compact::Compact),
    Archive(archive::ArchiveCommand),
    Export(export::ExportCommand),
    Verify(verify::Verify),
    Scrub(scrub::Scrub),
    Merge(merge::Merge),
    Retain(retain::Retain),
    Hold(hold::HoldCommand),
    Links(links::LinksCommand),
    Notify(notify::NotifyCommand),
    Admin(admin::AdminCommand),
    Light(light::LightCommand),
    Config(config_command::ConfigCommand),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut logging = cli.logging;
    let outcome = match cli.command {
        Command::Serve(it) => it.run(&mut logging),
        command => logging.start("warn").and_then(|_| match command {
            Command::Decode(it) => it.run(),
            Command::Encode(it) => it.run(),
            Command::Check(it) => it.run(),
            Command::Emit(it) => it.run(),
            Command::Find(it) => it.run(),
            Command::Receipts(it) => it.run(),
            Command::Import(it) => it.run(),
            Command::Registers(it) => it.run(),
            Command::Shifts(it) => it.run(),
            Command::Violations(it) => it.run(),
            #[cfg(feature = "sql")]
            Command::Sql(it) => it.run(),
            Command::Compact(it) => it.run(),
            Command::Archive(it) => it.run(),
            Command::Export(it) => it.run(),
            Command::Verify(it) => it.run(),
            Command::Scrub(it) => it.run(),
            Command::Merge(it) => it.run(),
            Command::Retain(it) => it.run(),
            Command::Hold(it) => it.run(),
            Command::Links(it) => it.run(),
            Command::Notify(it) => it.run(),
            Command::Admin(it) => it.run(),
            Command::Light(it) => it.run(),
            Command::Config(it) => it.run(),
            Command::Completions(it) => it.run(),
            Command::Serve(_) => unreachable!("taken above"),
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
