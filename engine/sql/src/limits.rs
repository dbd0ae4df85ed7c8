//! What a question may take.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Limits of a session. Each is checked when the session is made; what passes one ends the question with an error of
/// its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the questions of a session hold together: hash tables, sorts, and the tail's rows. Default 512 MiB,
    /// 64 MiB..=1 TiB. What a batch of 8192 rows is made of while it is being computed comes on top and is not counted, nor
    /// are the pages of Parquet that are being unpacked: some megabytes a thread.
    pub memory_bytes: usize,
    /// Time from the question to its last row taken by the reader. Default 60 s, 1 ms..=24 h.
    pub time: Duration,
    /// Rows of an answer. Default 1 000 000, 1..=1 000 000 000.
    pub rows: u64,
    /// Threads; 0, the default, takes as many as the machine has. At most 256.
    pub threads: usize,
    /// Folder for what does not fit into `memory_bytes`; `None`, the default: a question that needs it fails. The folder has
    /// to exist; what is written there is removed when the question ends.
    pub spill_dir: Option<PathBuf>,
    /// Bytes that lie in `spill_dir` at most. Default 16 GiB, 1 MiB..=64 TiB.
    pub spill_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            time: Duration::from_secs(60),
            rows: 1_000_000,
            threads: 0,
            spill_dir: None,
            spill_bytes: 16 << 30,
        }
    }
}

impl Limits {
    /// Whether each lies within its bounds.
    ///
    /// # Errors
    /// `Limits`, naming the one that does not.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::Limits, what.to_owned()));
        if !(64 << 20..=1 << 40).contains(&self.memory_bytes) {
            return wrong("memory_bytes is 64 MiB to 1 TiB");
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&self.time) {
            return wrong("time is 1 ms to 24 h");
        }
        if !(1..=1_000_000_000).contains(&self.rows) {
            return wrong("rows is 1 to 1 000 000 000");
        }
        if self.threads > 256 {
            return wrong("threads is 0 to 256");
        }
        if !(1 << 20..=64 << 40).contains(&self.spill_bytes) {
            return wrong("spill_bytes is 1 MiB to 64 TiB");
        }
        Ok(())
    }

    /// The threads meant.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get).min(256),
            threads => threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit that is taken on trust is none.
    #[test]
    fn limits_outside_of_their_bounds_are_refused() {
        assert!(Limits::default().check().is_ok());
        for wrong in [
            Limits { memory_bytes: 1, ..Limits::default() },
            Limits { memory_bytes: usize::MAX, ..Limits::default() },
            Limits { time: Duration::ZERO, ..Limits::default() },
            Limits { time: Duration::MAX, ..Limits::default() },
            Limits { rows: 0, ..Limits::default() },
            Limits { threads: 257, ..Limits::default() },
            Limits { spill_bytes: 0, ..Limits::default() },
        ] {
            assert_eq!(wrong.check().map_err(|error| error.kind()), Err(ErrorKind::Limits), "{wrong:?}");
        }
    }
}
