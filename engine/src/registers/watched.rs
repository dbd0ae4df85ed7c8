//! What the registers ask the rules across documents, and what goes off by time. Pure.

use std::collections::BTreeSet;

use ofd_codec::tags;
use ofd_storage::Position;
use ofd_storage::envelope::Realm;

use super::card::{self, KeptCard};
use super::drive::{Drive, Seen};
use super::event::{Event, EventKind, Events};
use super::registration::Registration;
use super::totals::Paid;
use super::{Card, KeptDrive, Registers, State, TOLD_AT_ONCE, packed};
use crate::registers::pack::Unpacker;
use crate::watch::drive::{Around, Prior, STEP_FIRST};
use crate::watch::{Risk, RuleSwitch, Scene, mapped, terms};

/// What is known of a document besides itself.
pub(super) struct Before {
    pub(super) prior: Prior,
    /// The registration that it has replaced.
    pub(super) registration: Option<Registration>,
    pub(super) paid: Option<Paid>,
}

/// What is due of a drive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Shift,
    Silence,
}

/// The bit of a timer's number that tells silence; drives are never so many.
pub(super) const SILENCE: u32 = 1 << 31;

/// When a timer of silence is looked at again: not later than a document that comes meanwhile can make it due, so that there is
/// one for each drive, and never one too late.
fn soon(when: u32, now: u32) -> u32 {
    when.min(now.saturating_add(STEP_FIRST))
}

impl Due {
    fn of(drive: &Drive, of_silence: bool) -> Option<(u32, Self)> {
        Some(match of_silence {
            true => (drive.watch.silence_due(drive)?, Self::Silence),
            false => (drive.overdue_at()?, Self::Shift),
        })
    }
}

impl Registers {
    /// The next switch of a rule.
    pub fn switch(&mut self, switch: &RuleSwitch) {
        self.rule_set.take(switch);
    }

    /// Finds what the document means across documents; behind the events that were told of it, which begin at `from`.
    pub(super) fn find_across(
        &mut self,
        seen: &Seen<'_>,
        at: u32,
        card: Option<u32>,
        before: &Before,
        from: usize,
        out: &mut Vec<Event>,
    ) {
        let Some(State::Live(drive)) = self.drives.get_mut(at).map(|kept| &mut kept.state) else { return };
        let mut kept = card.and_then(|it| self.cards.get_mut(it));
        let replaced = kept.as_deref().filter(|it| it.current() != at).and_then(KeptCard::since);
        let rnm = || card::text(&seen.view, tags::KKT_REG_ID);
        let mut scene = Scene {
            rules: &self.rule_set,
            now_us: seen.received_at_us,
            realm: seen.realm,
            rnm: &rnm,
            at: seen.header.date_time,
            imported: seen.imported,
            out: Vec::new(),
        };
        let Before { prior, registration, paid } = before;
        let mut watch = core::mem::take(&mut drive.watch);
        let told = out.get(from..).unwrap_or_default();
        mapped::judge(told, drive, &mut watch.tallies, &mut scene);
        let (registration, paid) = (registration.as_ref(), paid.as_ref());
        watch.judge(&Around { seen, drive, prior: *prior, before: registration, paid, replaced }, &mut scene);
        if let (Some(card), Some(paid)) = (&mut kept, paid)
            && prior.is_new(drive)
        {
            let pawnshop = watch.terms.is_some_and(|it| it.has(terms::PAWNSHOP));
            card.watch.take(paid, seen.received_at_us, pawnshop, &mut scene);
        }
        drive.watch = watch;
        // A timer is there while silence can be due; it was set by the document that has begun that.
        if prior.silence_due().is_none()
            && let Some(second) = drive.watch.silence_timer(drive)
        {
            self.wheel.set(second, at | SILENCE);
        }
        let found = scene.out;
        if !found.is_empty() {
            let next = u16::try_from(out.len().saturating_sub(from)).unwrap_or(u16::MAX);
            let mut events = Events::going_on(out, seen, next);
            found.into_iter().for_each(|kind| events.push(kind));
        }
    }

    /// Sets timers that are early to when they are due, so that no tick is asked for nothing; whether anything is due by then.
    pub(crate) fn has_due(&mut self, second: u32) -> bool {
        let mut gone = Vec::new();
        self.wheel.turn(second, &mut gone);
        let mut has = self.watch.first().is_some_and(|first| first <= second);
        for (_, whom) in gone {
            let drive = self.drives.get(whom & !SILENCE).and_then(KeptDrive::drive);
            if let Some((when, what)) = drive.and_then(|it| Due::of(&it, whom & SILENCE != 0)) {
                has |= when <= second;
                // That of a shift is right from the beginning: one that is early is another shift's.
                if when <= second || what == Due::Silence {
                    self.wheel.set(soon(when, second), whom);
                }
            }
        }
        has
    }

    /// A tick of the clock, which is the only one that timers know: what is due by then happens now.
    pub fn tick(&mut self, position: Position, received_at_us: i64, out: &mut Vec<Event>) {
        let second = crate::watch::drive::seconds(received_at_us);
        let mut gone = Vec::new();
        self.wheel.turn(second, &mut gone);
        // Timers are never taken back, and that of silence is early where something came meanwhile: what is due says the drive.
        let mut whom: Vec<u32> = gone.into_iter().map(|(_, whom)| whom).collect();
        whom.sort_unstable();
        whom.dedup();
        let mut due = BTreeSet::new();
        for whom in whom {
            let at = whom & !SILENCE;
            let Some(drive) = self.drives.get(at).and_then(KeptDrive::drive) else { continue };
            due.extend(Due::of(&drive, whom != at).map(|(when, what)| (when, at, what)));
        }
        let mut index = 0_u16;
        while let Some((when, at, what)) = due.pop_first() {
            if when <= second && index >= TOLD_AT_ONCE {
                // Places of events have 16 bits: the rest waits for the next tick.
                self.wheel.set(when, if what == Due::Silence { at | SILENCE } else { at });
            } else if when <= second {
                let next = self.go_off(at, what, position, received_at_us, &mut index, out);
                due.extend(next.map(|when| (when, at, what)));
            } else if what == Due::Silence {
                self.wheel.set(soon(when, second), at | SILENCE);
            }
        }
        self.judge_due(position, received_at_us, index, out);
    }

    /// What was waited for has come to pass; when the next of its kind is due.
    fn go_off(
        &mut self,
        at: u32,
        what: Due,
        position: Position,
        received_at_us: i64,
        index: &mut u16,
        out: &mut Vec<Event>,
    ) -> Option<u32> {
        let kept = self.drives.get_mut(at)?;
        if let State::Packed(bytes) = &kept.state {
            let drive = packed::unpack(kept.number()?, &mut Unpacker(bytes))?;
            kept.state = State::Live(Box::new(drive));
        }
        let State::Live(drive) = &mut kept.state else { return None };
        let card = drive.card.and_then(|it| self.cards.get(it));
        let works = card.is_none_or(|it| it.current() == at);
        let (inn, rnm) = (card.and_then(KeptCard::inn), || card.map(KeptCard::shown_rnm));
        let mut scene = Scene {
            rules: &self.rule_set,
            now_us: received_at_us,
            realm: drive.realm,
            rnm: &rnm,
            at: None,
            imported: false,
            out: Vec::new(),
        };
        let mut watch = core::mem::take(&mut drive.watch);
        let mut number = drive.last.map_or(0, |it| it.number);
        match what {
            Due::Shift => {
                if let Some((shift, opened)) = drive.tell_overdue() {
                    number = opened;
                    let event = EventKind::ShiftOverdue { shift };
                    mapped::one(&event, number, drive, &mut watch.tallies, &mut scene);
                    scene.out.insert(0, event);
                }
            }
            // A drive that its register has replaced is silent for good.
            Due::Silence if works => watch.tell_silence(&mut scene),
            Due::Silence => watch.pass_silence(),
        }
        drive.watch = watch;
        let next = match what {
            Due::Shift => None,
            Due::Silence => drive.watch.silence_due(drive),
        };
        let drive_number = drive.number;
        for kind in scene.out {
            let (inn, drive) = (inn.clone(), drive_number);
            out.push(Event { position, index: *index, received_at_us, drive, number, inn, kind });
            *index = index.saturating_add(1);
        }
        self.put_away(at, None);
        next
    }

    /// The risk indicators of a register (order 88н).
    #[must_use]
    pub fn risk(&self, realm: Realm, rnm: &str) -> Option<Risk> {
        self.kept_card(realm, rnm).map(|it| it.watch.risk())
    }

    /// The indicators of every register of which `sees` says so by its INN, in the order they came.
    pub(crate) fn risks(&self, sees: impl Fn(Option<&str>) -> bool) -> impl Iterator<Item = (Card, Risk)> {
        let visible = self.cards.iter().filter(move |card| sees(card.inn().as_deref()));
        visible.map(|card| (self.shown(card), card.watch.risk()))
    }
}
