//! How a command ends badly: a line on stderr and an exit code that scripts can rely on.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use ofd_engine::ErrorKind;

/// What stands at the end of `ofd --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 bad or damaged data, 4 not found, 5 busy or locked.
Data goes to stdout, everything else to stderr.";

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The reader of our output has gone: `ofd decode … | head` is no failure.
    Quiet = 0,
    /// Anything else.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Bad or damaged data.
    Damaged = 3,
    /// What was asked for is not there.
    NotFound = 4,
    /// Another process has the directory or the address.
    Busy = 5,
}

/// A failure: code, and what is said about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// With words for stderr.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// Everything was said already.
    pub(crate) const fn silent(exit: Exit) -> Self {
        Self { exit, text: String::new() }
    }

    /// A system error about `what`.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::AddrInUse | io::ErrorKind::ResourceBusy => Exit::Busy,
            _ => Exit::Failure,
        };
        Self::new(exit, format!("{what}: {error}"))
    }

    /// What the control socket or an engine error calls its kind.
    pub(crate) fn of_kind(kind: ErrorKind, text: impl Into<String>) -> Self {
        let exit = match kind {
            ErrorKind::Busy => Exit::Busy,
            ErrorKind::Corrupt => Exit::Damaged,
            _ => Exit::Failure,
        };
        Self::new(exit, text)
    }

    /// Says it and gives the code to the shell.
    pub(crate) fn tell(&self) -> ExitCode {
        if !self.text.is_empty() {
            talk(format_args!("{}", self.text));
        }
        ExitCode::from(self.exit as u8)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ofd_engine::Error> for Failure {
    fn from(error: ofd_engine::Error) -> Self {
        if let ofd_engine::Error::System { source, .. } = &error {
            return Self { text: error.to_string(), ..Self::io("", source) };
        }
        Self::of_kind(error.kind(), error.to_string())
    }
}

impl From<ofd_engine::storage::Error> for Failure {
    fn from(error: ofd_engine::storage::Error) -> Self {
        if error.is_not_found() {
            return Self::new(Exit::NotFound, error.to_string());
        }
        Self::of_kind(error.kind(), error.to_string())
    }
}

/// A line of talk on stderr. A stderr that is closed is no reason to stop.
pub(crate) fn talk(line: impl Display) {
    use io::Write as _;
    let _ = writeln!(io::stderr().lock(), "ofd: {line}");
}
