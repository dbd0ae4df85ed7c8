//! The thread that re-reads what lies still while the server runs.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use ofd_engine::Engine;
use ofd_engine::storage::scrub::ScrubOptions;

use crate::config::Config;
use crate::failure::Failure;

/// Longest sleep: a host that sleeps must not make the thread sleep for longer than it did.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Pause after a step that could not be done.
const PAUSE: Duration = Duration::from_secs(60);

/// Runs until it is stopped.
pub(super) struct Scrubbing {
    stop: Sender<()>,
}

impl Scrubbing {
    /// `None` when the configuration wants none.
    pub(super) fn start(engine: &Arc<Engine>, config: &Config) -> Result<Option<Self>, Failure> {
        let days = u64::try_from(config.scrub_every_days).unwrap_or_default();
        if days == 0 {
            return Ok(None);
        }
        let rate = u64::try_from(config.scrub_rate_bytes_per_s).ok().filter(|rate| *rate > 0);
        let options = ScrubOptions { pass_s: days.saturating_mul(86_400), rate, ..ScrubOptions::default() };
        let (stop, stopped) = channel();
        let engine = Arc::clone(engine);
        let body = move || run(&engine, options, &stopped);
        let spawned = std::thread::Builder::new().name("ofd-scrub".to_owned()).spawn(body);
        spawned.map_err(|error| Failure::io("starting a thread", &error))?;
        Ok(Some(Self { stop }))
    }

    /// Ends before its next step.
    pub(super) fn stop(self) {
        drop(self.stop);
    }
}

fn run(engine: &Engine, options: ScrubOptions, stopped: &Receiver<()>) {
    let mut scrubber = engine.scrubber(options);
    loop {
        let pause = scrubber.step().unwrap_or_else(|error| {
            tracing::error!(%error, "alarm: scrubbing cannot go on, it is tried again");
            PAUSE
        });
        if !matches!(stopped.recv_timeout(pause.min(SLEEP_MAX)), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}
