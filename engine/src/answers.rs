//! From a frame that came back from the writer to the answer of its host: what port and gate have in common.

use ofd_storage::Position;

use crate::chunks::Chunks;
use crate::confirmation::{Answer, Confirmation, Durable, Sealed};
use crate::handover::{Settled, Slot, Unanswered, Verdict};
use crate::shared::Shared;
use crate::tickets::Outcome;

/// Memory that answers are written into at once; a host that keeps an answer keeps so much.
const CHUNK_LEN: usize = 16 * 1024;
/// Longer than any answer.
const ANSWER_LEN_MAX: usize = 256;

/// What may be answered about a frame: a proof that it is on disk, and the facts; or why nothing is.
///
/// # Errors
/// Why the frame is left unanswered.
pub(crate) fn prove(shared: &Shared, slot: &Slot) -> Result<(Durable, Answer), Unanswered> {
    let Settled { lsn, drive, number, code, operator_time, p_version, fresh } = match slot.verdict {
        Verdict::Settled(settled) => settled,
        Verdict::Close(why) => return Err(why),
        Verdict::Undecided | Verdict::Store(_) => return Err(Unanswered::Stopping),
    };
    if !fresh {
        shared.counters.known.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let durable = Durable::prove(&shared.watermark, lsn).ok_or(Unanswered::StorageFailed)?;
    let code = code.ok_or(Unanswered::Quarantined)?;
    Ok((durable, Answer { drive, number, code, accepted_at: operator_time, p_version }))
}

/// Writes answers for the host.
pub(crate) struct Answers {
    chunks: Chunks,
    message: Vec<u8>,
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self { chunks: Chunks::new(CHUNK_LEN), message: Vec::with_capacity(ANSWER_LEN_MAX) }
    }

    /// The outcome of a frame whose answer is sealed.
    pub(crate) fn outcome(&mut self, shared: &Shared, sealed: Sealed) -> Outcome {
        let confirmation = Confirmation::new(sealed);
        self.message.clear();
        confirmation.encode_into(shared.options.operator_inn, &mut self.message);
        self.chunks.room(ANSWER_LEN_MAX).extend_from_slice(&self.message);
        Outcome::Answered {
            position: Position::new(confirmation.lsn()),
            code: confirmation.code(),
            message: self.chunks.piece(),
        }
    }
}
