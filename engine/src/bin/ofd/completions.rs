//! `ofd completions`: what the shell may offer at the tab key.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::failure::Failure;

/// Prints the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ofd completions bash > ~/.local/share/bash-completion/completions/ofd")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "ofd", &mut script);
        std::io::stdout().write_all(&script).map_err(|error| Failure::io("stdout", &error))
    }
}
