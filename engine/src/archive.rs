//! The archive side of an engine: sealed segments to Parquet, and reading everything back.

use std::sync::{Arc, PoisonError};

use ofd_codec::rules::{CheckContext, check};
use ofd_codec::{DocumentView, FfdVersion};
use ofd_storage::compact::{CompactOptions, CompactReport, compact};
use ofd_storage::envelope::Envelope;
use ofd_storage::verify::{VerifyReport, verify};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};

impl Engine {
    /// Writes every sealed segment that is not in the archive yet to Parquet, reads it back, compares it with the
    /// log and publishes it; with `all`, seals the open segment first. Doing it again changes nothing. One
    /// compaction runs at a time, a second caller waits. Registers are served meanwhile.
    ///
    /// # Errors
    /// As [`compact`]; `Reopen` when the open segment cannot be sealed.
    pub fn compact(&self, all: bool) -> Result<CompactReport, Error> {
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return Err(Error::new(ErrorKind::Reopen, "the engine has ended"));
        }
        if all {
            self.seal()?;
        }
        let shared = self.shared();
        let options = CompactOptions {
            inspect: Some(Arc::new(findings)),
            // The log comes first: compaction leaves it room for the next segments.
            free_bytes_min: shared.options.log.segment_len.saturating_mul(2),
            stop: Some(self.closed_flag()),
            ..CompactOptions::default()
        };
        Ok(compact(&shared.reader, &shared.env, &options)?)
    }

    /// Reads everything that is durable back: checksums, order, log against Parquet. Registers are served
    /// meanwhile.
    ///
    /// # Errors
    /// As [`verify`]: damage of single records is no error but a number in the report.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        // A compaction in between would replace the manifest under the eyes of the reader.
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared();
        Ok(verify(&shared.reader, &shared.env)?)
    }
}

/// Findings of the rules of one document, those that the answer was given by.
fn findings(view: &DocumentView<'_>, envelope: &Envelope<'_>) -> Option<u32> {
    let [.., major, minor] = *envelope.session.first_chunk::<8>()?;
    let version = FfdVersion::of_document(&view.header(), None, [major, minor]);
    let found = check(view, &CheckContext::new(version));
    u32::try_from(found.len().saturating_add(found.dropped())).ok()
}
