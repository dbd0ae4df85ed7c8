//! What happens in the life of a register: the typed events that a fold of its documents yields.
//!
//! An event belongs to the record that brought it about; together with its place among the events of that record this is
//! its position, which never changes: the same log gives the same events.

use ofd_codec::{DriveNumber, Form, LocalSeconds, Tag};
use ofd_storage::Position;

use super::counters::Mismatch;
use super::drive::Seen;
use super::judged::ColourChange;
use super::register_state::RegisterState;
use super::service::Range;
use super::shift_state::ShiftState;
use crate::watch::LifeFinding;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The record it came with.
    pub position: Position,
    /// Its place among the events of that record, from 0.
    pub index: u16,
    /// When that record was received, microseconds UTC.
    pub received_at_us: i64,
    /// The drive.
    pub drive: DriveNumber,
    /// Number of the document.
    pub number: u32,
    /// INN of the user (1018), by the document.
    pub inn: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// How we know that a drive began to be ours, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It was registered with this document, number 1 of its life.
    Registered,
    /// A form 11 says that it came to us, from another operator or from autonomy, or into its register.
    Entered,
    /// A lane seed: the operator said where its lane begins when it moved in.
    Seeded,
    /// Nothing: the first document we saw (information, no finding).
    Unknown,
}

/// The taxonomy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The drive's first document came, or its lane seed.
    DriveAppeared(Evidence),
    /// Documents come again after the drive was elsewhere or autonomous.
    ServiceResumed,
    /// From here on the drive sends to another operator, or nothing (autonomy).
    ServiceLeft,
    /// Numbers were passed over (D2).
    GapOpened(Range),
    /// The last missing one of a range came.
    GapClosed(Range),
    /// A further document under a number that is taken (A8).
    Variant {
        /// From 1.
        variant: u8,
    },
    /// A test drive began a new life at number 1.
    GenerationBegan,
    /// Form 1 or 11.
    RegistrationChanged {
        /// Mask of 1205.
        reasons: u32,
        /// Requisites that differ from the registration before; empty for the first one we see.
        changes: Vec<Tag>,
    },
    /// The register went on with this drive; the one before is abandoned.
    DriveReplaced {
        /// The drive it had.
        before: DriveNumber,
    },
    /// Form 6: the archive of the drive is closed.
    DriveClosed,
    /// A document behind form 6 (D9).
    AfterDriveClosed(Form),
    /// Form 2.
    ShiftOpened {
        /// Its number.
        shift: u32,
    },
    /// Form 5.
    ShiftClosed {
        /// Its number.
        shift: u32,
    },
    /// A shift began while the one before was not closed, although nothing is missing between them (D4).
    ShiftNotClosed {
        /// The one that was not.
        shift: u32,
    },
    /// The number of a shift does not follow the one before (D5).
    ShiftNumber {
        /// What should have come.
        expected: u32,
        /// What came.
        found: u32,
    },
    /// A receipt outside of an open shift (D4).
    OutsideShift {
        /// The shift it names.
        shift: u32,
    },
    /// 1042 does not follow the receipt before (D6).
    NumberInShift {
        /// What should have come.
        expected: u32,
        /// What came.
        found: u32,
    },
    /// A receipt was made later than 24 hours after its shift was opened (D8).
    ShiftTooLong {
        /// Its number.
        shift: u32,
    },
    /// A shift has been open for more than 24 hours by our own clock. Told by a tick: the number of the document is that of
    /// the opening report.
    ShiftOverdue {
        /// Its number.
        shift: u32,
    },
    /// A shift that was told as overdue is awaited no longer, though its closing report has not come: its drive was closed or
    /// replaced, the register was registered again, or the next shift was opened. The number of the document is that of
    /// what has ended it; where that is a document of another drive, that of the opening report.
    ShiftOverdueEnded {
        /// Its number.
        shift: u32,
    },
    /// The counters of a closed shift differ from its documents, all of which are here (D7).
    ShiftMismatch {
        /// Its number.
        shift: u32,
        /// Each counter that differs.
        counters: Vec<Mismatch>,
    },
    /// A late document has made a closed shift agree with its counters.
    ShiftAgrees {
        /// Its number.
        shift: u32,
    },
    /// A document came for a shift that is closed: its figures have changed.
    ShiftRevised {
        /// Its number.
        shift: u32,
        /// From 1.
        revision: u32,
    },
    /// A shift that is closed, as it stands behind this document, which has closed or changed it; told
    /// behind everything else that it brought about, but for the state of its register.
    ShiftState(Box<ShiftState>),
    /// A register as it stands from this document on, which has registered or changed it, brought, closed or taken away its
    /// drive; the last of the events of its record.
    RegisterState(Box<RegisterState>),
    /// 1012 is before that of the document before (D3).
    TimeBackwards {
        /// The later time.
        before: LocalSeconds,
    },
    /// Flags of the drive rose or fell: bit 0 = 1050, 1 = 1051, 2 = 1052, 3 = 1053.
    DriveFlags {
        /// As they are now.
        flags: u8,
        /// As they were.
        before: u8,
    },
    /// The tax service has refused a document, or put it into quarantine.
    TaxAnswered(super::TaxAnswer),
    /// The register says that documents wait (1097), or that none does any more.
    Backlog {
        /// How many.
        documents: u32,
        /// 1012 of the oldest (1098).
        since: Option<LocalSeconds>,
        /// How many there were by the report before.
        before: u32,
    },
    /// A facet of a register's traffic light has another colour: told once, with a document, a command or a tick; the number
    /// of the document is that of the drive's newest.
    ColourChanged(Box<ColourChange>),
    /// A rule across documents was broken, or a state of it has begun (crate::watch).
    Found(Box<LifeFinding>),
    /// A state of a rule across documents has ended.
    FindingEnded(Box<LifeFinding>),
}

impl EventKind {
    /// Whether it is told to anybody: what documents of an archive bring about has happened long ago.
    #[must_use]
    pub fn is_news(&self) -> bool {
        match self {
            Self::ShiftState(state) => !state.imported,
            Self::RegisterState(state) => !state.imported,
            Self::Found(finding) | Self::FindingEnded(finding) => !finding.imported,
            _ => true,
        }
    }

    /// Whether a register is another one than before.
    pub(super) const fn changes_register(&self) -> bool {
        matches!(
            self,
            Self::DriveAppeared(_)
                | Self::ServiceResumed
                | Self::ServiceLeft
                | Self::GenerationBegan
                | Self::RegistrationChanged { .. }
                | Self::DriveReplaced { .. }
                | Self::DriveClosed
        )
    }

    /// Its stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DriveAppeared(_) => "drive.appeared",
            Self::ServiceResumed => "service.resumed",
            Self::ServiceLeft => "service.left",
            Self::GapOpened(_) => "gap.opened",
            Self::GapClosed(_) => "gap.closed",
            Self::Variant { .. } => "document.variant",
            Self::GenerationBegan => "drive.generation",
            Self::RegistrationChanged { .. } => "registration.changed",
            Self::DriveReplaced { .. } => "drive.replaced",
            Self::DriveClosed => "drive.closed",
            Self::AfterDriveClosed(_) => "drive.after-closed",
            Self::ShiftOpened { .. } => "shift.opened",
            Self::ShiftClosed { .. } => "shift.closed",
            Self::ShiftNotClosed { .. } => "shift.not-closed",
            Self::ShiftNumber { .. } => "shift.number",
            Self::OutsideShift { .. } => "shift.outside",
            Self::NumberInShift { .. } => "shift.number-inside",
            Self::ShiftTooLong { .. } => "shift.too-long",
            Self::ShiftOverdue { .. } => "shift.overdue",
            Self::ShiftOverdueEnded { .. } => "shift.overdue-ended",
            Self::ShiftMismatch { .. } => "shift.mismatch",
            Self::ShiftAgrees { .. } => "shift.agrees",
            Self::ShiftRevised { .. } => "shift.revised",
            Self::ShiftState(_) => "shift.state",
            Self::RegisterState(_) => "register.state",
            Self::TaxAnswered(_) => "tax.answered",
            Self::TimeBackwards { .. } => "drive.time-backwards",
            Self::DriveFlags { .. } => "drive.flags",
            Self::Backlog { .. } => "drive.backlog",
            Self::ColourChanged(_) => "colour.changed",
            Self::Found(_) => "finding.found",
            Self::FindingEnded(_) => "finding.ended",
        }
    }
}

/// Collects the events of one record.
pub(super) struct Events<'v> {
    out: &'v mut Vec<Event>,
    position: Position,
    received_at_us: i64,
    drive: DriveNumber,
    number: u32,
    next: u16,
}

impl<'v> Events<'v> {
    pub(super) fn of(out: &'v mut Vec<Event>, seen: &Seen<'_>) -> Self {
        Self::going_on(out, seen, 0)
    }

    /// Of the same record, with the next place.
    pub(super) fn going_on(out: &'v mut Vec<Event>, seen: &Seen<'_>, next: u16) -> Self {
        let &Seen { position, received_at_us, drive, number, .. } = seen;
        Self { out, position, received_at_us, drive, number, next }
    }

    /// Of a record that is no document.
    pub(super) fn of_record(
        out: &'v mut Vec<Event>,
        position: Position,
        received_at_us: i64,
        drive: DriveNumber,
    ) -> Self {
        Self { out, position, received_at_us, drive, number: 0, next: 0 }
    }

    pub(super) fn push(&mut self, kind: EventKind) {
        self.out.push(Event {
            position: self.position,
            index: self.next,
            received_at_us: self.received_at_us,
            drive: self.drive,
            number: self.number,
            inn: None,
            kind,
        });
        self.next = self.next.saturating_add(1);
    }
}
