//! What is told on stderr while a command runs: plain lines or JSON. Never payloads, never personal data:
//! documents are named by drive and number at most.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, JsonFields};
use tracing_subscriber::reload::Handle;

use crate::failure::{Exit, Failure};

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What to tell on stderr: a level (error, warn, info, debug, trace) or target=level, with commas between.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG")]
    log: Option<String>,
    /// How to tell it.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

type Text = tracing_subscriber::fmt::Formatter<DefaultFields, Format, fn() -> std::io::Stderr>;
type JsonLines = tracing_subscriber::fmt::Formatter<JsonFields, Format<Json>, fn() -> std::io::Stderr>;

/// Changes the filter while the program runs.
pub(crate) enum Filter {
    Fixed,
    Text(Handle<EnvFilter, Text>),
    Json(Handle<EnvFilter, JsonLines>),
}

/// Can this be a filter?
pub(crate) fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

impl Logging {
    /// Begins to tell what `--log` or RUST_LOG says, `otherwise` without them.
    pub(crate) fn start(&mut self, otherwise: &str) -> Result<Filter, Failure> {
        let told = self.log.take().filter(|it| !it.is_empty());
        let wanted = told.as_deref().unwrap_or(otherwise);
        let filter = EnvFilter::try_new(wanted)
            .map_err(|error| Failure::new(Exit::Usage, format!("--log {wanted}: {error}")))?;
        let stderr: fn() -> std::io::Stderr = std::io::stderr;
        let builder = tracing_subscriber::fmt().with_writer(stderr);
        let handle = match self.log_format {
            LogFormat::Text => {
                let builder = builder
                    .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
                    .with_env_filter(filter)
                    .with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Filter::Text(handle)
            }
            LogFormat::Json => {
                let builder = builder.json().with_env_filter(filter).with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Filter::Json(handle)
            }
        };
        Ok(if told.is_some() { Filter::Fixed } else { handle })
    }
}

impl Filter {
    /// Takes a new filter from the configuration, unless the command line has spoken.
    pub(crate) fn set(&self, text: &str) {
        let Ok(filter) = EnvFilter::try_new(text) else { return };
        let set = match self {
            Self::Fixed => Ok(()),
            Self::Text(handle) => handle.reload(filter),
            Self::Json(handle) => handle.reload(filter),
        };
        if let Err(error) = set {
            tracing::warn!(%error, "the filter of the log cannot be changed");
        }
    }
}
