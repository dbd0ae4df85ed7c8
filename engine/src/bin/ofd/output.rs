//! stdout: whole lines, buffered, and quiet when the reader has gone.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

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

/// Rust programs are born with SIGPIPE ignored; the error of the write tells instead.
fn gone(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Quiet),
        _ => Failure::io("stdout", error),
    }
}
