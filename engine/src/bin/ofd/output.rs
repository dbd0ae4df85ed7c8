//! stdout: whole lines, buffered, and quiet when the reader has gone.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Data on its way to stdout. [`Output::flush`] writes what is left; dropping it without loses nothing either, but
/// hears of no error.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    each_line: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let each_line = io::stdout().is_terminal();
        Self { out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()), each_line }
    }

    /// One line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| gone(&error))?;
        if self.each_line { self.flush() } else { Ok(()) }
    }

    /// Lines, and what stands in the buffer.
    pub(crate) fn lines(lines: &[String]) -> Result<(), Failure> {
        let mut output = Self::new();
        lines.iter().try_for_each(|line| output.line(line))?;
        output.flush()
    }

    /// Bytes as they are; whole lines or messages.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| gone(&error))?;
        if self.each_line { self.flush() } else { Ok(()) }
    }

    /// What stands in the buffer, out: before something is said on stderr about it, and at the end.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| gone(&error))
    }
}

/// The one line that a command was answered with: a JSON object.
pub(crate) struct Told {
    pub(crate) line: String,
    value: Value,
}

impl Told {
    /// The first of these lines.
    pub(crate) fn of(lines: Vec<String>) -> Result<Self, Failure> {
        let line = lines.into_iter().next().unwrap_or_default();
        let value = serde_json::from_str(&line)
            .map_err(|error| Failure::new(Exit::Failure, format!("the server's answer: {error}")))?;
        Ok(Self { line, value })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key)
    }

    /// A number; 0 where there is none.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.get(key).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A flag; false where there is none.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

/// Rust programs are born with SIGPIPE ignored; the error of the write tells instead.
fn gone(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Quiet),
        _ => Failure::io("stdout", error),
    }
}
