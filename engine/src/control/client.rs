//! Asking the owner of a directory.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ofd_storage::ErrorKind;
use serde_json::value::RawValue;

use super::request::Request;
use super::socket_path;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The owner says so.
    #[error("{text}")]
    Refused {
        /// What to do.
        kind: ErrorKind,
        /// His words.
        text: String,
    },
    /// The conversation broke off: the owner ended, or is no engine of this version.
    #[error("{what}: {source}")]
    Broken {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

/// A connection to the owner of a directory.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects; `None` when nobody listens there: no process owns the directory, or one without a socket.
    ///
    /// # Errors
    /// `Broken` when the socket is there and cannot be used, as one of another user.
    pub fn connect(dir: &Path) -> Result<Option<Self>, ControlError> {
        let broken = |source| ControlError::Broken { what: "connecting to control.sock", source };
        let (path, _handle) = match socket_path(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(broken)?,
        };
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream) })),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// Asks, and hands each answer to `each`, as the JSON text it came as. Waits as long as it takes.
    ///
    /// # Errors
    /// `Refused` by the owner; `Broken`.
    pub fn ask(&mut self, request: &Request, each: &mut dyn FnMut(&str)) -> Result<(), ControlError> {
        let broken = |source| ControlError::Broken { what: "talking over control.sock", source };
        let mut line = request.to_line();
        line.push('\n');
        // An owner with a full house answers and closes without having read: his word is there all the same.
        let written = self.stream.get_mut().write_all(line.as_bytes());
        loop {
            line.clear();
            if self.stream.read_line(&mut line).map_err(broken)? == 0 {
                return Err(broken(written.err().unwrap_or(io::ErrorKind::UnexpectedEof.into())));
            }
            let reply: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(&line).map_err(|error| broken(error.into()))?;
            let text = |key: &str| {
                reply
                    .get(key)
                    .and_then(|it| serde_json::from_str::<String>(it.get()).ok())
                    .unwrap_or_default()
            };
            if let Some(data) = reply.get("data") {
                each(data.get());
            } else if reply.contains_key("error") {
                return Err(ControlError::Refused { kind: kind_of(&text("kind")), text: text("error") });
            } else {
                return Ok(());
            }
        }
    }
}

/// Names of kinds on the socket.
pub(super) fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry => "retry",
        ErrorKind::Reopen => "reopen",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Busy => "busy",
        _ => "fix",
    }
}

fn kind_of(name: &str) -> ErrorKind {
    match name {
        "retry" => ErrorKind::Retry,
        "reopen" => ErrorKind::Reopen,
        "corrupt" => ErrorKind::Corrupt,
        "busy" => ErrorKind::Busy,
        _ => ErrorKind::Fix,
    }
}
