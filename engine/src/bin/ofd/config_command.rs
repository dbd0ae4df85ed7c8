//! `ofd config`: looks at a configuration before a server does.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::failure::{Failure, talk};
use crate::output::Output;

/// Checks a configuration file, or prints the default one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ofd config print-default > ofd.toml
  ofd config check ofd.toml")]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads a file as `serve` would; names every fault with line, key and bounds, and exits with 2.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Prints every key with its unit, default, bounds and whether it can be reloaded.
    PrintDefault,
}

impl ConfigCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::Check { file } => {
                Config::load(file)?;
                talk(format_args!("{}: ok", file.display()));
                Ok(())
            }
            What::PrintDefault => {
                let mut output = Output::new();
                output.line(Config::print_default().trim_end())?;
                output.flush()
            }
        }
    }
}
