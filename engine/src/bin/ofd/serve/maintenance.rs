//! What a server does by the clock: compaction of sealed segments.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use ofd_engine::{Engine, ErrorKind};

use crate::config::Config;
use crate::failure::Failure;

/// The thread that does it. A compaction that runs when the server stops is not waited for: the next one sweeps its
/// unfinished files away.
pub(super) struct Maintenance {
    pauses: Sender<Option<Duration>>,
}

impl Maintenance {
    pub(super) fn start(engine: Arc<Engine>, config: &Config) -> Result<Self, Failure> {
        let (pauses, told) = channel();
        let body = move || run(&engine, &told);
        let spawned = std::thread::Builder::new().name("ofd-maintenance".to_owned()).spawn(body);
        spawned.map_err(|error| Failure::io("starting a thread", &error))?;
        let maintenance = Self { pauses };
        maintenance.set(config);
        Ok(maintenance)
    }

    /// Takes the pause of this configuration.
    pub(super) fn set(&self, config: &Config) {
        let seconds = u64::try_from(config.compact_every_s).unwrap_or_default();
        // The thread ends with its sender only.
        let _ = self.pauses.send((seconds > 0).then(|| Duration::from_secs(seconds)));
    }

    /// Begins nothing new.
    pub(super) fn stop(self) {
        drop(self.pauses);
    }
}

fn run(engine: &Engine, told: &Receiver<Option<Duration>>) {
    let mut pause: Option<Duration> = None;
    loop {
        let next = match pause {
            Some(pause) => told.recv_timeout(pause),
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(new) => pause = new,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => match engine.compact(false) {
                Ok(report) if report.documents > 0 => tracing::info!(
                    documents = report.documents,
                    files = report.files,
                    bytes = report.bytes,
                    through = report.compacted_through.as_u64(),
                    "compacted"
                ),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Reopen => {
                    // After a failed sync the next one may report success for what is not on disk.
                    tracing::error!(%error, "alarm: compaction failed, it rests until the next start");
                    pause = None;
                }
                Err(error) => tracing::error!(%error, "alarm: compaction failed, it is tried again"),
            },
        }
    }
}
