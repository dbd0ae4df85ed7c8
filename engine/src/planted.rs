//! Bugs put in on purpose (`--cfg ofd_planted`), to see that the simulation finds them: the tester is tested. One
//! of them is on at a time; without the cfg every site is `false` when it is compiled.

#![cfg_attr(
    not(all(ofd_planted, feature = "testing")),
    allow(dead_code, unreachable_pub, reason = "nobody plants anything then")
)]

#[cfg(ofd_planted)]
use std::sync::atomic::{AtomicU8, Ordering};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Planted {
    /// Nothing.
    Nothing,
    /// An answer leaves when its record is appended, not when it is durable.
    AnswersAtAppend,
    /// A resend is stored again.
    StoresResends,
    /// A feed stands where it has not given out anything yet, so a cursor is saved before delivery.
    SavesBeforeDelivery,
    /// The same of a feed of events.
    EventsSavedBeforeDelivery,
    /// A resend gets another time of acceptance.
    AnswersWithAnotherTime,
    /// A document under a number that is taken is answered 0.
    AcceptsConflicts,
    /// An engine that has failed goes on answering.
    AnswersWhileFailed,
    /// A drive goes on to its next batch before the receipts of the one before are durable.
    TaxSendsBeforeReceipts,
    /// What is sent again goes in the opposite order.
    TaxTurnsRetriesRound,
    /// What the tax service said before a start is forgotten by it.
    TaxForgetsAtStart,
    /// A subscription goes on before the record of its delivery is durable.
    NoticesBeforeRecords,
    /// What was noted of deliveries is not read by a start.
    NoticesForgetAtStart,
    /// What is delivered again has another id.
    NoticeIdsDrawnAnew,
    /// A drive that is paused is sent all the same.
    TaxPassesPauses,
    /// What is sent again by command is sent once more by every start.
    TaxResendsAtStart,
    /// Notices go out in quiet hours.
    NoticesPassQuietHours,
    /// The last notice of a digest stands in the next one too.
    DigestsRepeatTheirLast,
    /// A delivery is given up as soon as it was tried often enough.
    NoticesGivenUpEarly,
}

#[cfg(ofd_planted)]
static ON: AtomicU8 = AtomicU8::new(Planted::Nothing as u8);

/// Puts a bug in and takes the one before out.
#[cfg(ofd_planted)]
pub fn plant(bug: Planted) {
    ON.store(bug as u8, Ordering::Relaxed);
}

/// Is this bug on?
#[inline(always)]
pub(crate) fn is(bug: Planted) -> bool {
    #[cfg(ofd_planted)]
    return ON.load(Ordering::Relaxed) == bug as u8;
    #[cfg(not(ofd_planted))]
    {
        let _ = bug;
        false
    }
}
