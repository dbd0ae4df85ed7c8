//! The life of one fiscal drive (ФН), a document at a time, in the order of the log. Pure: no file, no clock.
//!
//! Numbers and gaps are `service.rs`, shifts `shift.rs`, registrations `registration.rs`; here they are brought together
//! and compared with what the law lets follow what (rules D1-D9).
//!
//! A rule of order is asked only of documents that follow the one before without a gap: of the others nothing can be
//! said until what is missing has come.
//!
//! Invariant: a naive model of a drive's life agrees on random lives (test: `tests/registers/main.rs`).

use arrayvec::ArrayVec;
use ofd_codec::{DocumentHeader, DocumentView, DriveNumber, Form, LocalSeconds, tags};
use ofd_storage::Position;
use ofd_storage::envelope::Realm;

use super::event::{EventKind, Events, Evidence};
use super::registration::Registration;
use super::seed::LaneSeed;
use super::service::{Arrival, Service};
use super::shift::{Agreement, SHIFT_SECONDS_MAX, Shift};
use super::shift_state::ShiftState;
use super::totals::Paid;
use super::traits::Traits;
use super::usage::Usage;
use crate::lanes::begins_generation;
use crate::watch::drive::DriveWatch;

/// How many shifts of a drive, older than its newest, may wait for documents that are missing; the oldest is given up.
pub const WAITING_MAX: usize = 8;

/// Numbers of closed shifts that one document has changed: its own, and as many as there are where reports contradict each other.
pub(super) type Changed = ArrayVec<u32, { WAITING_MAX + 2 }>;

/// What a fold was told at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// INN of this operator (1017): a registration that names another one ends the service of its drive.
    pub(super) ours: Option<String>,
    /// How many shifts of a drive are kept that are whole and not its newest.
    pub(super) keep: usize,
}

/// A stored document as a fold sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its record.
    pub position: Position,
    /// When it came, microseconds UTC.
    pub received_at_us: i64,
    /// Production or test.
    pub realm: Realm,
    /// Drive and number.
    pub drive: DriveNumber,
    /// 1040.
    pub number: u32,
    /// 0 = the first under its number.
    pub variant: u8,
    /// It came from an archive, long after it was made: nothing is due because of it.
    pub imported: bool,
    /// The document.
    pub view: DocumentView<'a>,
    /// Its header: looked for once, asked for by everybody.
    pub header: DocumentHeader,
}

/// The registration that a drive works under: its requisites are read from its document where somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its record.
    pub position: Position,
    /// Number of its document.
    pub number: u32,
    /// 1012 of its document.
    pub at: Option<LocalSeconds>,
    /// Mask of 1205, as [`Registration::reasons`] has it.
    pub reasons: u32,
    /// The register sends nothing from here on (1002).
    pub autonomous: bool,
}

/// The newest document of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its number.
    pub number: u32,
    /// Its form.
    pub form: Form,
    /// Its 1012.
    pub at: Option<LocalSeconds>,
    /// When it came, microseconds UTC.
    pub received_at_us: i64,
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// 1041.
    pub number: DriveNumber,
    /// Production or test.
    pub realm: Realm,
    /// How often a test drive has begun anew.
    pub generation: u32,
    /// Which numbers are ours, and which are missing.
    pub service: Service,
    /// How its service began.
    pub evidence: Evidence,
    /// Documents that count: further variants do not.
    pub documents: u64,
    /// Further variants.
    pub variants: u64,
    /// The newest document.
    pub last: Option<Last>,
    /// The registration in force.
    pub registration: Option<Registered>,
    /// Shifts, by number: the newest, open or closed; older ones of which something is missing, at most [`WAITING_MAX`];
    /// and of the others as many as are kept.
    pub shifts: Vec<Shift>,
    /// Flags 1050-1053 of the newest report, as [`EventKind::DriveFlags`] has them.
    pub flags: u8,
    /// As they were told last: an archive tells of none that rises.
    pub(super) flags_told: u8,
    /// Days that the keys of the drive last, by the newest document that says so (1213), and its 1012.
    pub key_days: Option<(u16, Option<LocalSeconds>)>,
    /// Documents that wait in the drive, by its newest report (1097, 1098).
    pub backlog: Option<(u32, Option<LocalSeconds>)>,
    /// How many as was told last: an archive tells of none that grows.
    pub(super) backlog_told: u32,
    /// Number of its form 6.
    pub closed: Option<u32>,
    /// What lists ask of the registration in force.
    pub traits: Traits,
    /// When its keys began, and how many documents it makes.
    pub usage: Usage,
    /// The register that it has named last, by the number of its card.
    pub(super) card: Option<u32>,
    /// What the rules across documents keep of it.
    pub(crate) watch: DriveWatch,
}

impl Drive {
    /// A drive of which nothing has come.
    #[must_use]
    pub fn new(number: DriveNumber, realm: Realm) -> Self {
        Self {
            number,
            realm,
            generation: 0,
            service: Service::default(),
            evidence: Evidence::Unknown,
            documents: 0,
            variants: 0,
            last: None,
            registration: None,
            shifts: Vec::new(),
            flags: 0,
            flags_told: 0,
            key_days: None,
            backlog: None,
            backlog_told: 0,
            closed: None,
            traits: Traits::default(),
            usage: Usage::default(),
            card: None,
            watch: DriveWatch::default(),
        }
    }

    /// The open shift.
    #[must_use]
    pub fn open_shift(&self) -> Option<&Shift> {
        self.shifts.last().filter(|it| it.closed.is_none())
    }

    /// When the open shift will have been open for too long by our own clock, seconds UTC; `None` when there is none, when it
    /// was not opened before our eyes, when that has been told, or when its closing report is not awaited.
    pub(super) fn overdue_at(&self) -> Option<u32> {
        let shift = self.open_shift().filter(|it| !it.overdue && !self.outlived(it))?;
        let opened = u32::try_from(shift.opened_us?.div_euclid(1_000_000)).ok()?;
        Some(opened.saturating_add(SHIFT_SECONDS_MAX).saturating_add(1))
    }

    /// The second of [`Drive::overdue_at`] has come.
    pub(super) fn tell_overdue(&mut self) -> Option<(u32, u32)> {
        let shift = self.shifts.last_mut()?;
        shift.overdue = true;
        Some((shift.number, shift.opened?.number))
    }

    /// The drive was closed, or registered again, behind the opening of this shift: its closing report is not awaited.
    fn outlived(&self, shift: &Shift) -> bool {
        self.closed.is_some() || self.registration.map(|it| it.number) > shift.opened.map(|it| it.number)
    }

    /// Tells of overdue shifts that something other than their closing report has ended.
    fn end_overdue(&mut self, events: &mut Events<'_>) {
        let newest = self.shifts.last().map(|it| it.number);
        let over = |it: &&Shift| {
            it.overdue && it.closed.is_none() && (Some(it.number) != newest || self.outlived(it))
        };
        // One at a time is overdue: the newest, and each later one ends it.
        let Some(number) = self.shifts.iter().find(over).map(|it| it.number) else { return };
        self.shift_at(number).overdue = false;
        events.push(EventKind::ShiftOverdueEnded { shift: number });
    }

    /// Another drive works in its register. The number and the opening report of the shift that was told as overdue; it is
    /// not told as such again.
    pub(super) fn replaced(&mut self) -> Option<(u32, u32)> {
        let shift = self.shifts.last_mut().filter(|it| it.closed.is_none())?;
        shift.opened_us = None;
        let overdue = core::mem::take(&mut shift.overdue);
        overdue.then_some((shift.number, shift.opened?.number))
    }

    /// What is told of a drive that moves in; false: documents of it are here, which say more, or it is nothing new.
    pub(super) fn seed(&mut self, seed: &LaneSeed) -> bool {
        if self.documents > 0 || self.variants > 0 {
            return false;
        }
        let mut seeded = Self { card: self.card, ..Self::new(self.number, self.realm) };
        seeded.evidence = Evidence::Seeded;
        seeded.service.seed(seed.next);
        // Its document is not here: the start of the log is no place of one.
        seeded.registration = seed.registration.map(|(number, at)| Registered {
            position: Position::START,
            number,
            at,
            reasons: 0,
            autonomous: false,
        });
        seeded.shifts.extend(seed.shift.map(|it| Shift::seeded(it, seed.next)));
        let new = *self != seeded;
        *self = seeded;
        new
    }

    /// Whether this document, which is no further variant, begins the drive anew.
    pub(super) fn begins_anew(&self, seen: &Seen<'_>) -> bool {
        begins_generation(seen.realm, seen.number, seen.view.form()) && self.service.has(seen.number)
    }

    /// The next stored document. `before` is the registration in force, where the document is one itself and the one in
    /// force can still be read; `paid` is what a receipt adds. The closed shifts that it has changed are to be told, see
    /// [`Drive::tell_shifts`].
    pub(super) fn take(
        &mut self,
        seen: &Seen<'_>,
        rules: &Rules,
        before: Option<&Registration>,
        paid: Option<&Paid>,
        events: &mut Events<'_>,
    ) -> Changed {
        if seen.variant > 0 {
            self.variants = self.variants.saturating_add(1);
            events.push(EventKind::Variant { variant: seen.variant });
            return Changed::new();
        }
        let form = seen.view.form();
        if self.begins_anew(seen) {
            let generation = self.generation.saturating_add(1);
            *self = Self { generation, ..Self::new(self.number, self.realm) };
            events.push(EventKind::GenerationBegan);
        }
        let registers = matches!(form, Form::REGISTRATION | Form::REREGISTRATION);
        let registration = registers.then(|| Registration::of(&seen.view, seen.number));
        let enters = registration.as_ref().is_some_and(Registration::enters);
        let arrival = self.service.take(seen.number, enters);
        if arrival == Arrival::Known {
            return Changed::new();
        }
        if seen.imported
            && let Arrival::Gap(gap) = arrival
        {
            self.service.keep_quiet(gap);
        }
        self.documents = self.documents.saturating_add(1);
        self.usage.take(seen);
        self.tell_arrival(arrival, registration.as_ref(), events);
        let in_order = matches!(arrival, Arrival::Next);
        if in_order && self.closed.is_some() {
            events.push(EventKind::AfterDriveClosed(form));
        }
        if let Some(registration) = registration {
            self.usage.register(&registration);
            self.register(&registration, seen, rules, before, events);
        }
        self.read_reports(seen, arrival, events);
        let mut changed: Changed = self.assemble(seen, arrival, paid, events).into_iter().collect();
        if form == Form::CLOSE_ARCHIVE {
            self.closed = Some(seen.number);
            events.push(EventKind::DriveClosed);
        }
        self.end_overdue(events);
        if arrival.is_newest() {
            let at = seen.header.date_time;
            if in_order
                && let (Some(before), Some(at)) = (self.last.and_then(|it| it.at), at)
                && at < before
            {
                events.push(EventKind::TimeBackwards { before });
            }
            self.last = Some(Last { number: seen.number, form, at, received_at_us: seen.received_at_us });
        }
        // A number that comes late may complete any shift around it.
        if matches!(arrival, Arrival::Late { .. } | Arrival::Earlier) {
            self.judge_around(seen.number, &mut changed, events);
        }
        changed
    }

    fn tell_arrival(
        &mut self,
        arrival: Arrival,
        registration: Option<&Registration>,
        events: &mut Events<'_>,
    ) {
        match arrival {
            Arrival::First => {
                self.evidence = match registration {
                    Some(it) if it.form == Form::REGISTRATION.0 => Evidence::Registered,
                    Some(it) if it.enters() => Evidence::Entered,
                    _ => Evidence::Unknown,
                };
                events.push(EventKind::DriveAppeared(self.evidence));
            }
            Arrival::Gap(range) => events.push(EventKind::GapOpened(range)),
            Arrival::Resumed => {
                self.service.tell_left(false);
                events.push(EventKind::ServiceResumed);
            }
            Arrival::Late { of, closed: true } => events.push(EventKind::GapClosed(of)),
            Arrival::Late { closed: false, .. } | Arrival::Next | Arrival::Earlier | Arrival::Known => {}
        }
    }

    /// A registration that is older than the one in force changes nothing: it comes late.
    fn register(
        &mut self,
        new: &Registration,
        seen: &Seen<'_>,
        rules: &Rules,
        before: Option<&Registration>,
        events: &mut Events<'_>,
    ) {
        if self.registration.is_some_and(|before| before.number > new.number) {
            return;
        }
        let changes = before.map_or_else(Vec::new, |before| new.changes_from(before));
        events.push(EventKind::RegistrationChanged { reasons: new.reasons, changes });
        let operator = new.text(tags::OFD_INN);
        let elsewhere = match (rules.ours.as_deref(), operator.as_deref()) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        let autonomous = new.is_autonomous();
        let leaves = autonomous || elsewhere;
        if leaves && !self.service.has_left() {
            self.service.tell_left(!seen.imported || self.service.was_told_left());
            events.push(EventKind::ServiceLeft);
        }
        self.service.leave(leaves);
        self.traits = Traits::of(new);
        let &Registration { number, at, reasons, .. } = new;
        self.registration = Some(Registered { position: seen.position, number, at, reasons, autonomous });
    }

    /// What reports say of the drive: flags, keys, backlog. Only the newest counts.
    fn read_reports(&mut self, seen: &Seen<'_>, arrival: Arrival, events: &mut Events<'_>) {
        let view = &seen.view;
        let form = view.form();
        if !arrival.is_newest() || form.is_receipt_like() {
            return;
        }
        if let Some(days) = view.get(tags::KEY_RESOURCE).and_then(|it| it.vln().ok()) {
            self.key_days = u16::try_from(days).ok().map(|days| (days, seen.header.date_time));
        }
        if matches!(form, Form::OPEN_SHIFT | Form::CLOSE_SHIFT) {
            let of = [
                tags::DRIVE_RUNNING_OUT,
                tags::DRIVE_REPLACE_NOW,
                tags::DRIVE_MEMORY_FULL,
                tags::OPERATOR_SILENT,
            ];
            let flags = of.into_iter().enumerate().fold(0_u8, |flags, (bit, tag)| {
                let set = view.get(tag).and_then(|it| it.u8().ok()) == Some(1);
                flags | u8::from(set).checked_shl(u32::try_from(bit).unwrap_or(8)).unwrap_or(0)
            });
            if flags != self.flags {
                events.push(EventKind::DriveFlags { flags, before: self.flags_told });
                self.flags_told = if seen.imported { flags & self.flags_told } else { flags };
            }
            self.flags = flags;
        }
        if let Some(documents) = view.get(tags::UNSENT_DOCUMENTS).and_then(|it| it.u32().ok()) {
            let since = view.get(tags::UNSENT_SINCE).and_then(|it| it.unixtime().ok()).filter(|it| it.0 > 0);
            let before = self.backlog_told;
            if documents > 0 || before > 0 {
                events.push(EventKind::Backlog { documents, since, before });
            }
            self.backlog_told = if seen.imported { documents.min(before) } else { documents };
            self.backlog = Some((documents, since));
        }
    }

    /// Puts the document into its shift; the number of that if it is closed.
    fn assemble(
        &mut self,
        seen: &Seen<'_>,
        arrival: Arrival,
        paid: Option<&Paid>,
        events: &mut Events<'_>,
    ) -> Option<u32> {
        let in_order = arrival == Arrival::Next;
        let header = &seen.header;
        let form = seen.view.form();
        let belongs = form.is_receipt_like()
            || matches!(form, Form::OPEN_SHIFT | Form::CLOSE_SHIFT | Form::CURRENT_STATE);
        let number = header.shift.filter(|_| belongs)?;
        // A report of the state made between two shifts names the last one, which is closed, and is no part of it.
        let between = form == Form::CURRENT_STATE
            && self
                .shift(number)
                .is_some_and(|it| it.closed.is_some_and(|closed| closed.number < seen.number));
        if between {
            return None;
        }
        if form == Form::OPEN_SHIFT && in_order {
            self.check_opening(number, events);
        }
        if form.is_receipt_like() && in_order {
            self.check_receipt(number, header.in_shift, header.date_time, events);
        }
        let shift = self.shift_at(number);
        let was_closed = shift.closed.is_some();
        let outside = shift.closed.is_some_and(|closed| closed.number < seen.number);
        if outside && form != Form::CLOSE_SHIFT {
            return None;
        }
        shift.take(seen, paid);
        let revision = shift.revision;
        match form {
            Form::OPEN_SHIFT => events.push(EventKind::ShiftOpened { shift: number }),
            Form::CLOSE_SHIFT => {
                // A row of the archive is no news: what was told ends with an event of its own.
                if seen.imported && !was_closed && core::mem::take(&mut shift.overdue) {
                    events.push(EventKind::ShiftOverdueEnded { shift: number });
                }
                events.push(EventKind::ShiftClosed { shift: number });
                self.judge(number, events);
            }
            _ => {}
        }
        if was_closed && !arrival.is_newest() {
            events.push(EventKind::ShiftRevised { shift: number, revision });
        }
        (was_closed || form == Form::CLOSE_SHIFT).then_some(number)
    }

    /// Ends what [`Drive::take`] has begun: tells how the closed shifts stand that the document has closed or changed, behind all
    /// else that is told with it, and forgets those that nobody asks for any more.
    pub(super) fn tell_shifts(
        &mut self,
        seen: &Seen<'_>,
        rules: &Rules,
        changed: &Changed,
        events: &mut Events<'_>,
    ) {
        for number in changed {
            let Some(shift) = self.shifts.iter_mut().find(|it| it.number == *number) else { continue };
            events.push(EventKind::ShiftState(Box::new(ShiftState::of(seen, shift))));
            shift.told |= !seen.imported;
            shift.settle();
        }
        self.forget_old_shifts(rules.keep);
    }

    fn check_opening(&self, number: u32, events: &mut Events<'_>) {
        let Some(before) = self.shifts.last() else { return };
        if before.closed.is_none() && before.number != number {
            events.push(EventKind::ShiftNotClosed { shift: before.number });
        }
        let expected = before.number.saturating_add(1);
        if number != expected {
            events.push(EventKind::ShiftNumber { expected, found: number });
        }
    }

    fn check_receipt(
        &self,
        number: u32,
        in_shift: Option<u32>,
        at: Option<LocalSeconds>,
        events: &mut Events<'_>,
    ) {
        let Some(shift) = self.shift(number) else {
            // Where the drive was ours before, its opening would have come.
            if !self.shifts.is_empty() {
                events.push(EventKind::OutsideShift { shift: number });
            }
            return;
        };
        if shift.closed.is_some() {
            events.push(EventKind::OutsideShift { shift: number });
            return;
        }
        let follows = shift.last_in_shift.map(|(last, _)| last).or(shift.opened.map(|_| 0));
        if let (Some(last), Some(found)) = (follows, in_shift)
            && found != last.saturating_add(1)
            && self.service.is_whole_from(shift.numbers)
        {
            events.push(EventKind::NumberInShift { expected: last.saturating_add(1), found });
        }
        if at.and_then(|at| shift.age_at(at)).is_some_and(|age| age > SHIFT_SECONDS_MAX) {
            events.push(EventKind::ShiftTooLong { shift: number });
        }
    }

    pub(super) fn shift(&self, number: u32) -> Option<&Shift> {
        self.shifts.iter().rev().find(|it| it.number == number)
    }

    /// The shift of this number, put in its place when it is new.
    fn shift_at(&mut self, number: u32) -> &mut Shift {
        let at = self.shifts.partition_point(|it| it.number < number);
        if self.shifts.get(at).is_none_or(|it| it.number != number) {
            self.shifts.reserve_exact(1);
            self.shifts.insert(at, Shift::new(number));
        }
        let end = self.shifts.len().saturating_sub(1);
        let at = at.min(end);
        #[expect(clippy::indexing_slicing, reason = "a shift was put there a moment ago")]
        &mut self.shifts[at]
    }

    fn judge(&mut self, number: u32, events: &mut Events<'_>) {
        let service = &self.service;
        let Some(shift) = self.shifts.iter_mut().find(|it| it.number == number) else { return };
        let before = shift.agreement();
        let late = shift.revision > 0;
        match shift.judge(service) {
            Agreement::Differs if before != Agreement::Differs => {
                events.push(EventKind::ShiftMismatch { shift: number, counters: shift.mismatches.clone() });
            }
            Agreement::Agrees if before == Agreement::Incomplete && late => {
                events.push(EventKind::ShiftAgrees { shift: number });
            }
            _ => {}
        }
    }

    /// Judges the shifts whose reports stand on both sides of a number; those that have changed by that go to `changed`.
    fn judge_around(&mut self, number: u32, changed: &mut Changed, events: &mut Events<'_>) {
        let around = |it: &&Shift| {
            let opened = it.opened.is_some_and(|mark| mark.number <= number);
            opened && it.closed.is_some_and(|mark| mark.number >= number)
        };
        let numbers: Vec<u32> = self.shifts.iter().filter(around).map(|it| it.number).collect();
        for number in numbers {
            let before = self.shift(number).map(Shift::agreement);
            self.judge(number, events);
            if before != self.shift(number).map(Shift::agreement) && !changed.contains(&number) {
                // It is another row than the one before, also where the document names no shift.
                if let Some(shift) = self.shifts.iter_mut().find(|it| it.number == number) {
                    shift.revision = shift.revision.saturating_add(1);
                }
                // More than one can only be around it where reports contradict each other.
                let _ = changed.try_push(number);
            }
        }
    }

    fn forget_old_shifts(&mut self, keep: usize) {
        let Some(older) = self.shifts.len().checked_sub(1).filter(|older| *older > 0) else { return };
        let settled = self.shifts.iter().take(older).filter(|it| it.is_settled()).count();
        let mut surplus = settled.saturating_sub(keep);
        let mut waiting = older.saturating_sub(settled).saturating_sub(keep.max(WAITING_MAX));
        // Oldest first, and the newest never.
        let mut left = older;
        self.shifts.retain(|shift| {
            let Some(rest) = left.checked_sub(1) else { return true };
            left = rest;
            let over = if shift.is_settled() { &mut surplus } else { &mut waiting };
            let goes = *over > 0;
            *over = over.saturating_sub(1);
            !goes
        });
    }
}
