//! Scrubbing beside a running engine: the storage's machine with the engine's reader, and what it finds in the counters.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ofd_storage::scrub::{Scrub, ScrubOptions, ScrubReport, ScrubStep};

use crate::engine::Engine;
use crate::error::Error;
use crate::shared::Shared;

/// Re-reads sealed segments and published files at a bounded rate. Belongs to whatever thread its owner gives it; never
/// touches the writer. Damage is an alarm in the log and counts in [`crate::Status`].
pub struct Scrubber {
    shared: Arc<Shared>,
    scrub: Scrub,
}

impl Engine {
    /// A scrubber that goes on where the last one of this directory was. One at a time is enough: two would keep their
    /// marks over one another.
    pub fn scrubber(&self, options: ScrubOptions) -> Scrubber {
        let shared = Arc::clone(self.shared());
        let scrub = Scrub::new(Arc::clone(&shared.env), shared.reader.clone(), options);
        Scrubber { shared, scrub }
    }
}

impl Scrubber {
    /// Reads a mebibyte if it is time, and says how long to wait before the next call.
    ///
    /// # Errors
    /// When the manifest cannot be read or the mark not be written. Damage is no error.
    pub fn step(&mut self) -> Result<Duration, Error> {
        let counters = &self.shared.counters;
        let before = self.scrub.report().bytes;
        let now = self.shared.now();
        let step = self.scrub.step(now)?;
        let read = self.scrub.report().bytes.saturating_sub(before);
        counters.scrubbed.fetch_add(read, Ordering::Relaxed);
        Ok(match step {
            ScrubStep::Wait(until) => Duration::from_micros(until.saturating_sub(now.mono_us)),
            ScrubStep::Found(finding) => {
                counters.scrub_damaged.fetch_add(1, Ordering::Relaxed);
                // With a mirror one copy is made whole again from the other, which storage tells; without one nothing changes.
                let reader = &self.shared.reader;
                let mend =
                    |segment| if finding.copy { reader.mend_copy(segment) } else { reader.mend(segment) };
                if let Some(Err(error)) = finding.segment.map(mend) {
                    tracing::warn!(%error, "a damaged segment could not be mended from its other copy");
                }
                Duration::ZERO
            }
            ScrubStep::Done(report) => {
                counters.scrub_passes.fetch_add(1, Ordering::Relaxed);
                let ScrubReport { pass, segments, files, bytes, damaged, .. } = report;
                tracing::info!(pass, segments, files, bytes, damaged, "everything was read back once");
                Duration::ZERO
            }
        })
    }
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber").field("report", self.scrub.report()).finish_non_exhaustive()
    }
}
