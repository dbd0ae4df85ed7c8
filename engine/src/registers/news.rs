//! What is told of a document. One that an archive brings in has happened long ago: nothing that it begins is news, and the
//! tables alone have it. What it ends is told to whom the beginning was told, else an alarm would stand for ever. Pure.
//!
//! | what was told | how it is remembered |
//! |---|---|
//! | a gap; that a drive has left | `Service` |
//! | flags of a drive, documents that wait | `Drive`, as they were told last |
//! | that a shift was opened, or how it stands | `Shift` |
//! | that a shift is overdue: ticks alone tell it | `Shift` |
//! | that a rule is broken | `Tally` |
//! | the colours of a register | `KeptLight`, as they were told last |
//!
//! Invariant: of what an archive begins nothing is told, and each end of what was told is, once, wherever the fold was
//! interrupted (test: `tests/watch/archives.rs`).

use super::drive::{Drive, Seen};
use super::event::{Event, EventKind};

/// What was told before a document that it may end.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    imported: bool,
    /// The drive has left.
    left: bool,
    /// Its number is missing.
    gap: bool,
    /// Its shift was opened.
    shift: bool,
}

impl News {
    pub(super) fn of(drive: &Drive, seen: &Seen<'_>) -> Self {
        let shift = seen.header.shift.and_then(|it| drive.shift(it));
        Self {
            imported: seen.imported,
            left: drive.service.was_told_left(),
            gap: drive.service.was_told_missing(seen.number),
            shift: shift.is_some_and(|it| it.told),
        }
    }

    /// Takes from the events of the document, which begin at `from`, what is told to nobody. The places of the others stay.
    pub(super) fn tell(self, from: usize, out: &mut Vec<Event>) {
        // Only its own are looked at: of those before there may be thousands, while the disk takes none.
        let mut at = from;
        while let Some(event) = out.get_mut(at) {
            if self.is_told(&mut event.kind) {
                at = at.saturating_add(1);
            } else {
                out.remove(at);
            }
        }
    }

    fn is_told(self, kind: &mut EventKind) -> bool {
        match kind {
            // What has risen is not told, what has fallen is.
            EventKind::DriveFlags { flags, before } => {
                *flags = if self.imported { *flags & *before } else { *flags };
                flags != before
            }
            _ if !self.imported => true,
            EventKind::Backlog { documents, before, .. } => documents < before,
            EventKind::ServiceResumed => self.left,
            EventKind::GapClosed(_) => self.gap,
            EventKind::ShiftClosed { .. } => self.shift,
            // They come of nothing that was not told.
            EventKind::ShiftOverdueEnded { .. } | EventKind::ColourChanged(_) => true,
            // Rows of tables, which say themselves whether they are news.
            EventKind::ShiftState(_)
            | EventKind::RegisterState(_)
            | EventKind::Found(_)
            | EventKind::FindingEnded(_) => true,
            _ => false,
        }
    }
}
