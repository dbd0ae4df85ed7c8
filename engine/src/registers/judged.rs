//! The traffic light of every register, as the fold keeps it: judged with each of its documents, when a threshold or its
//! placement changes, and when a timer of its own goes off; what has changed is told once.
//!
//! ```text
//! document ──────────┐
//! thresholds.set ────┼─▶ Facts, Values, Schedule ─▶ watch::light ─▶ colour.changed, where a facet has another colour
//! register.place ────┤                                   │
//! tick ◀─ Wheel ◀────┴───────── next_change_at ──────────┘
//! ```
//!
//! Timers: a register has one that counts, [`KeptLight::due`]. A later moment does not set another one: when the earlier
//! goes off the register is judged again. So the documents of a busy register set a timer a day and not one each.
//!
//! What concerns many registers is judged [`TOLD_AT_ONCE`] changes a record at most, since events of a record have places of
//! 16 bits; the rest with the ticks behind it, a second each.
//!
//! Shape in memory: 24 bytes of a card, about 12 of the wheel, and 68 where a drive has flags or somebody complains.
//!
//! Invariants: what is told is what a naive judge finds who looks at everything every second, and nothing is told twice,
//! wherever the fold was interrupted (test: `tests/watch/scenarios.rs`, `tests/watch/light.rs`).

use ofd_codec::rules::Level;
use ofd_codec::rules::life::LifeRuleId;
use ofd_codec::{Form, LocalSeconds};
use ofd_storage::Position;
use ofd_storage::envelope::Realm;
use ofd_storage::status::{StatusEvent, StatusKind};

use super::card::KeptCard;
use super::drive::{Drive, Seen};
use super::event::{Event, EventKind};
use super::pack::{Packer, Unpacker};
use super::places::{NONE, Places, digits};
use super::wheel::Wheel;
use super::{Registers, State, packed};
use crate::watch::{
    Basis, Colour, Facets, Facts, Forecast, Light, Place, Reason, RuleSwitch, STANDING, Schedule, Scope,
    Setting, Threshold, Trouble, Values, WatchCommand, ZONE_DEFAULT_MIN, fills, light, term,
};

/// Changes that one record tells at most.
pub const TOLD_AT_ONCE: u16 = 60_000;
/// Registers that one record judges at most.
const JUDGED_AT_ONCE: usize = 250_000;
const DAY: u32 = 86_400;

/// What has changed of a register's light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColourChange {
    /// Production or test.
    pub realm: Realm,
    /// РНМ (1037).
    pub rnm: String,
    /// INN of its organisation, by its documents.
    pub inn: Option<String>,
    /// Colours of the facets as they were.
    pub before: Facets,
    /// As they are now.
    pub now: Facets,
    /// Everything that is not green now.
    pub reasons: Vec<Reason>,
}

/// What others say of a register's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The tax service does not know its registration yet.
    Unregistered,
    /// The tax service has refused its registration.
    RegistrationRefused,
    /// The tax service knows it.
    RegistrationAccepted,
    /// A document went into soft quarantine.
    SoftQuarantine,
    /// A document went into hard quarantine or was refused.
    HardQuarantine,
    /// A rule has found an error.
    Found,
}

/// The light as it was told last: what an archive brings in is judged and not told. With a bit more, for which facets leave room:
/// something has changed what it looks at since it was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told(u16);

impl Told {
    const CHANGED: u16 = 1 << 15;

    /// As told, and judged.
    const fn of(facets: Facets) -> Self {
        Self(facets.bits())
    }

    fn facets(self) -> Facets {
        Facets::from_bits(self.0 & !Self::CHANGED).unwrap_or_default()
    }
}

/// What a card keeps of its light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptLight {
    /// When its last document came, seconds UTC; 0 = none.
    heard_at: u32,
    /// The timer that counts; 0 = none.
    due: u32,
    /// Its placement. It follows from what is placed.
    pub(super) place: u32,
    /// As it was judged last.
    pub(super) facets: Facets,
    told: Told,
    trouble: Option<Box<Trouble>>,
}
const _: () = assert!(size_of::<KeptLight>() == 24);

impl KeptLight {
    pub(super) fn new(heard_at_us: i64) -> Self {
        Self {
            heard_at: second_of(heard_at_us),
            due: 0,
            place: NONE,
            facets: Facets::default(),
            told: Told::default(),
            trouble: None,
        }
    }

    /// A document has come. One from an archive came when it was made.
    pub(super) fn hear(&mut self, seen: &Seen<'_>) {
        let came = second_of(seen.received_at_us);
        let made = seen.header.date_time.filter(|_| seen.imported);
        let heard = made.map_or(came, |at| utc(at, i64::from(ZONE_DEFAULT_MIN)).min(came));
        if self.heard_at == 0 {
            // Its silence has just begun, and no timer is set for that.
            self.change();
        }
        self.heard_at = self.heard_at.max(heard);
    }

    /// What it looks at has changed, so that the next document has it judged, whatever is told of that.
    pub(super) const fn change(&mut self) {
        self.told.0 |= Told::CHANGED;
    }

    pub(super) const fn due(&self) -> u32 {
        self.due
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { heard_at, due, place: _, facets, told, trouble } = self;
        to.number(*heard_at);
        to.number(*due);
        to.number(facets.bits());
        to.number(told.0);
        to.byte(u8::from(trouble.is_some()));
        if let Some(trouble) = trouble {
            let Trouble { standing, unregistered_at, refused_at, soft, hard, found } = **trouble;
            let rest = [unregistered_at, refused_at, soft.0, soft.1, hard.0, hard.1, found.0, found.1];
            standing.into_iter().chain(rest).for_each(|it| to.number(it));
        }
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (heard_at, due) = (from.small()?, from.small()?);
        let bits = |number: u64| u16::try_from(number).ok();
        let (facets, told) = (Facets::from_bits(bits(from.number()?)?)?, Told(bits(from.number()?)?));
        Facets::from_bits(told.0 & !Told::CHANGED)?;
        let trouble = match from.byte()? {
            0 => None,
            _ => {
                let mut standing = [0; STANDING];
                for slot in &mut standing {
                    *slot = from.small()?;
                }
                let (unregistered_at, refused_at) = (from.small()?, from.small()?);
                let (soft, hard) = ((from.small()?, from.small()?), (from.small()?, from.small()?));
                let found = (from.small()?, from.small()?);
                Some(Box::new(Trouble { standing, unregistered_at, refused_at, soft, hard, found }))
            }
        };
        Some(Self { heard_at, due, place: NONE, facets, told, trouble })
    }

    fn trouble(&self) -> Trouble {
        self.trouble.as_deref().copied().unwrap_or_default()
    }

    fn set_trouble(&mut self, trouble: Trouble) {
        if trouble == Trouble::default() {
            self.trouble = None;
        } else if let Some(kept) = &mut self.trouble {
            **kept = trouble;
        } else {
            self.trouble = Some(Box::new(trouble));
        }
    }
}

/// What the watch keeps beside drives and cards.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    pub(super) places: Places,
    /// Timers of cards, by their numbers. They follow from the cards.
    pub(super) wheel: Wheel,
    /// Timers that have gone off and are not judged yet.
    pending: Vec<(u32, u32)>,
}

impl Watch {
    /// The first second at which something is due.
    pub(super) fn first(&self) -> Option<u32> {
        self.pending.first().map(|it| it.0).into_iter().chain(self.wheel.first()).min()
    }
}

pub(super) fn second_of(at_us: i64) -> u32 {
    u32::try_from(at_us.div_euclid(1_000_000)).unwrap_or(0)
}

fn utc(at: LocalSeconds, zone_min: i64) -> u32 {
    u32::try_from(i64::from(at.0).saturating_sub(zone_min.saturating_mul(60))).unwrap_or(0)
}

/// What the light looks at.
fn facts(card: &KeptLight, drive: &Drive, values: &Values, schedule: Option<&Schedule>) -> Facts {
    let zone = i64::from(schedule.map_or(ZONE_DEFAULT_MIN, Schedule::zone));
    let knows_zone = schedule.is_some_and(|it| it.zone_min.is_some());
    let shift = drive.open_shift().and_then(|shift| {
        let came = shift.opened_us.map(second_of);
        let made = shift.opened.and_then(|it| it.at).map(|at| utc(at, zone));
        // The clock of the register counts where its zone is known and it does not run ahead; a report may come late.
        match (came, made) {
            (Some(came), Some(made)) if knows_zone => Some(made.min(came)),
            (Some(came), _) => Some(came),
            (None, made) => made,
        }
    });
    // Behind a document that was made later nothing older waits: the drive sends in order.
    let reports = drive.last.filter(|it| matches!(it.form, Form::CLOSE_SHIFT | Form::CURRENT_STATE));
    let unsent = drive.backlog.filter(|(documents, _)| *documents > 0).and_then(|(_, since)| {
        let report = reports?;
        since.or(report.at).map(|at| utc(at, zone))
    });
    // Nobody is alarmed by a guess.
    let ends = term(drive, values).filter(|(_, basis)| *basis != Basis::Shortest);
    let ends = ends.map(|(at, _)| utc(LocalSeconds(at), zone));
    Facts {
        serving: drive.closed.is_none() && !drive.service.has_left(),
        has_drive: drive.closed.is_none(),
        heard_at: Some(card.heard_at).filter(|it| *it > 0),
        shift_opened_at: shift,
        unsent_since: unsent,
        drive_ends_at: ends,
        drive_documents: drive.last.map_or(0, |it| it.number),
        flags: drive.flags,
        trouble: card.trouble(),
        found_lasts: false,
    }
}

impl Registers {
    /// The light of a card at a time, and the drive that it works with.
    pub(super) fn light_at(&self, card: &KeptCard, now: u32) -> Option<(Light, DriveHead)> {
        let kept = self.drives.get(card.current())?;
        let schedule = self.watch.places.schedule(card.light.place);
        let values = self.watch.places.values(&card.rnm, &card.inn, card.light.place);
        let look = |drive: &Drive| {
            let facts = facts(&card.light, drive, &values, schedule.as_ref());
            let last = drive.last.map_or(0, |it| it.number);
            (facts, DriveHead { number: drive.number, last })
        };
        let (mut facts, head) = self.look_at(kept, look)?;
        // What was found lies behind the shifts of a packed drive: it is asked for where it matters alone.
        if card.light.trouble().found.1 > 0 {
            let lasts = |drive: &Drive| drive.watch.tallies.lasting().any(|it| self.is_error(it));
            facts.found_lasts = match &kept.state {
                State::Live(drive) => lasts(drive),
                State::Packed(bytes) => lasts(&packed::unpack(kept.number()?, &mut Unpacker(bytes))?),
            };
        }
        Some((light(&facts, &values, schedule.as_ref(), now), head))
    }

    /// Whether what a rule finds is an error, and it is asked now.
    fn is_error(&self, rule: LifeRuleId) -> bool {
        rule.rule().level == Level::Error && self.rule_set.is_on(rule)
    }

    /// Judges a register; what has changed since it was told last, of which drive, with which newest document.
    pub(super) fn judge(&mut self, at: u32, now: u32) -> Option<(ColourChange, DriveHead)> {
        let (light, head) = self.look_again(at, now)?;
        Some((self.told(at, light)?, head))
    }

    /// Judges a register by what an archive has brought in: what is better than it was told last is told, and nothing else.
    fn judge_better(&mut self, at: u32, now: u32) -> Option<(ColourChange, DriveHead)> {
        let (mut light, head) = self.look_again(at, now)?;
        light.facets = light.facets.better(self.cards.get(at)?.light.told.facets());
        light.reasons.retain_mut(|it| {
            it.colour = it.colour.min(light.facets.of(it.facet));
            it.colour > Colour::Green
        });
        Some((self.told(at, light)?, head))
    }

    /// From here on it was told so.
    fn told(&mut self, at: u32, light: Light) -> Option<ColourChange> {
        let card = self.cards.get_mut(at)?;
        let before = core::mem::replace(&mut card.light.told, Told::of(light.facets)).facets();
        (before != light.facets).then(|| ColourChange {
            realm: if card.test { Realm::Test } else { Realm::Prod },
            rnm: digits(&card.rnm).to_owned(),
            inn: card.inn(),
            before,
            now: light.facets,
            reasons: light.reasons,
        })
    }

    /// Judges a register without telling of it.
    fn look_again(&mut self, at: u32, now: u32) -> Option<(Light, DriveHead)> {
        let (light, head) = self.light_at(self.cards.get(at)?, now)?;
        let card = self.cards.get_mut(at)?;
        let mut trouble = card.light.trouble();
        trouble.stand(&light.reasons);
        trouble.forget(now);
        card.light.set_trouble(trouble);
        let waits = card.light.due > now;
        if let Some(next) = light.next_change_at.filter(|next| !waits || *next < card.light.due) {
            card.light.due = next;
            self.watch.wheel.set(next, at);
        }
        card.light.facets = light.facets;
        Some((light, head))
    }

    /// Judges what is due, up to a bound; `index` is the next place among the events of this record.
    pub(super) fn judge_due(
        &mut self,
        position: Position,
        received_at_us: i64,
        mut index: u16,
        out: &mut Vec<Event>,
    ) {
        let now = second_of(received_at_us);
        let mut due = core::mem::take(&mut self.watch.pending);
        self.watch.wheel.turn(now, &mut due);
        let (mut judged, mut done) = (0_usize, 0_usize);
        for (second, at) in &due {
            if index >= TOLD_AT_ONCE || judged >= JUDGED_AT_ONCE {
                break;
            }
            done = done.saturating_add(1);
            // A timer that was set before another one does not count any more.
            let Some(card) = self.cards.get_mut(*at).filter(|it| it.light.due == *second) else { continue };
            card.light.due = 0;
            judged = judged.saturating_add(1);
            if let Some((change, head)) = self.judge(*at, now) {
                out.push(told(position, index, received_at_us, change, head));
                index = index.saturating_add(1);
            }
        }
        due.drain(..done);
        self.watch.pending = due;
    }

    /// What the host says.
    pub fn command(
        &mut self,
        position: Position,
        received_at_us: i64,
        command: &WatchCommand,
        out: &mut Vec<Event>,
    ) {
        let concerned: Vec<u32> = match command {
            WatchCommand::PlaceRegister { rnm, place, by: _ } => {
                let Some(rnm) = super::card::padded(rnm.as_bytes()) else { return };
                let Some(at) = self.watch.places.put(rnm, place, &self.hasher) else { return };
                let cards = self.cards_of(&rnm);
                for card in &cards {
                    self.cards.get_mut(*card).into_iter().for_each(|it| it.light.place = at);
                }
                cards
            }
            WatchCommand::SetThresholds { scope, values, by: _ } => {
                if !self.watch.places.set(scope, values) {
                    return;
                }
                self.concerned(scope)
            }
        };
        self.judge_again(concerned, position, received_at_us, out);
    }

    /// Judges these registers, what is too many for this record with the next ones.
    fn judge_again(
        &mut self,
        cards: impl IntoIterator<Item = u32>,
        position: Position,
        received_at_us: i64,
        out: &mut Vec<Event>,
    ) {
        let now = second_of(received_at_us);
        for at in cards {
            if let Some(card) = self.cards.get_mut(at) {
                card.light.due = now;
                self.watch.wheel.set(now, at);
            }
        }
        self.judge_due(position, received_at_us, 0, out);
    }

    /// The next switch of a rule, by a record that came at a time. Registers whose light may rest on what it has found are judged
    /// anew, those too that say nothing: an error that lasts has no other end while nobody asks for it.
    pub fn switch(
        &mut self,
        (position, received_at_us): (Position, i64),
        switch: &RuleSwitch,
        out: &mut Vec<Event>,
    ) {
        let before = self.is_error(switch.rule);
        self.rule_set.take(switch);
        if self.is_error(switch.rule) == before {
            return;
        }
        let found = |card: &KeptCard| card.light.trouble().found.1 > 0;
        let concerned: Vec<u32> =
            (0..).zip(self.cards.iter()).filter(|(_, card)| found(card)).map(|(at, _)| at).collect();
        self.judge_again(concerned, position, received_at_us, out);
    }

    fn cards_of(&self, rnm: &[u8; super::RNM_LEN]) -> Vec<u32> {
        [false, true].into_iter().filter_map(|test| self.find_card(test, rnm)).collect()
    }

    fn concerned(&self, scope: &Scope) -> Vec<u32> {
        let places = &self.watch.places;
        let placed = |of: &[u32]| {
            let rnms = of.iter().filter_map(|it| places.rnm(*it));
            rnms.flat_map(|rnm| self.cards_of(&rnm)).collect::<Vec<_>>()
        };
        // No more registers are looked at than it is about: there may be millions, and a command for each outlet.
        let mut cards = match scope {
            Scope::Default => (0..u32::try_from(self.cards.len()).unwrap_or(u32::MAX)).collect(),
            Scope::Register(rnm) => {
                super::card::padded(rnm.as_bytes()).map(|it| self.cards_of(&it)).unwrap_or_default()
            }
            Scope::Outlet(outlet) => placed(places.of_outlet(outlet, &self.hasher)),
            Scope::Organisation(inn) => {
                let Some(inn) = super::card::padded(inn.as_bytes()) else { return Vec::new() };
                let names_none = |it: &&u32| {
                    self.cards.get(**it).is_some_and(|card| places.inn(card.light.place).is_none())
                };
                let own = self.owners.cards(&inn, &self.hasher).iter().filter(names_none);
                let mut cards = placed(places.of_inn(&inn, &self.hasher));
                cards.extend(own);
                cards
            }
        };
        // As they came, whatever the lists have been through.
        cards.sort_unstable();
        cards
    }

    /// Whether a command would be taken: there is room.
    pub(crate) fn has_room(&self, command: &WatchCommand) -> bool {
        match command {
            WatchCommand::SetThresholds { scope, .. } => self.watch.places.has_level(scope),
            WatchCommand::PlaceRegister { rnm, place, .. } => super::card::padded(rnm.as_bytes())
                .is_some_and(|rnm| self.watch.places.has_room(&rnm, place, &self.hasher)),
        }
    }

    /// Somebody says something of a register's documents: the fold that hears of it judges the register at once.
    pub fn note(
        &mut self,
        (position, received_at_us): (Position, i64),
        (realm, rnm): (Realm, &str),
        note: Note,
        index: u16,
        out: &mut Vec<Event>,
    ) {
        let Some(rnm) = super::card::padded(rnm.as_bytes()) else { return };
        let Some(at) = self.find_card(realm == Realm::Test, &rnm) else { return };
        if let Some((change, head)) = self.noted(at, note, second_of(received_at_us)) {
            out.push(told(position, index, received_at_us, change, head));
        }
    }

    fn noted(&mut self, at: u32, note: Note, now: u32) -> Option<(ColourChange, DriveHead)> {
        let card = self.cards.get_mut(at)?;
        let mut trouble = card.light.trouble();
        let first = |at: u32| if at == 0 { now } else { at };
        let values = self.watch.places.values(&card.rnm, &card.inn, card.light.place);
        let days = DAY.saturating_mul(values.of(Threshold::QualityD));
        let again = |(since, newest): (u32, u32)| {
            // A row that has long ended is not gone on with; with zero days none ever ends.
            let ended = days > 0 && newest.saturating_add(days) <= now;
            (if ended { now } else { first(since) }, newest.max(now))
        };
        match note {
            Note::Unregistered => trouble.unregistered_at = first(trouble.unregistered_at),
            Note::RegistrationRefused => trouble.refused_at = first(trouble.refused_at),
            Note::RegistrationAccepted => (trouble.unregistered_at, trouble.refused_at) = (0, 0),
            Note::SoftQuarantine => trouble.soft = again(trouble.soft),
            Note::HardQuarantine => trouble.hard = again(trouble.hard),
            Note::Found => trouble.found = again(trouble.found),
        }
        if trouble == card.light.trouble() {
            return None;
        }
        card.light.set_trouble(trouble);
        self.judge(at, now)
    }

    /// The light of a register behind a document; what the rules have found of errors with it is a reason. What is worse by one
    /// from an archive is told with whatever is told next.
    pub(super) fn judge_found(
        &mut self,
        at: u32,
        found: &[Event],
        seen: &Seen<'_>,
    ) -> Option<(ColourChange, DriveHead)> {
        let now = second_of(seen.received_at_us);
        if seen.imported {
            return self.judge_better(at, now);
        }
        if found.is_empty() && self.stays_green(at, seen, now) {
            debug_assert!(
                self.is_green(at, now),
                "the light of register {at} was not looked at, and has changed"
            );
            return None;
        }
        let is_error = |event: &Event| match &event.kind {
            EventKind::Found(it) => it.rule.rule().level == Level::Error,
            _ => false,
        };
        let noted = match found.iter().any(is_error) {
            true => self.noted(at, Note::Found, now),
            false => None,
        };
        noted.or_else(|| self.judge(at, now))
    }

    /// Whether a document of which nothing was told leaves a register that was green as it is, so that it need not be judged:
    /// nothing that its light looks at is different behind a receipt but that it was heard of later, what time alone brings was not
    /// due yet, and its timer is not later than before. Who changes anything else says so ([`KeptLight::change`]).
    fn stays_green(&self, at: u32, seen: &Seen<'_>, now: u32) -> bool {
        let Some(card) = self.cards.get(at) else { return false };
        let light = &card.light;
        let green = light.facets == Facets::default() && light.told == Told::default();
        green
            && light.due > now
            && light.trouble.is_none()
            && seen.view.form().is_receipt_like()
            && fills(seen.number, &self.watch.places.values(&card.rnm, &card.inn, light.place)).is_none()
    }

    /// Whether it is green when it is looked at, and will be until its timer goes off.
    fn is_green(&self, at: u32, now: u32) -> bool {
        let Some(card) = self.cards.get(at) else { return false };
        self.light_at(card, now).is_none_or(|(light, _)| {
            let due = card.light.due;
            light.facets == Facets::default() && light.next_change_at.is_none_or(|next| next >= due)
        })
    }

    /// Weighs what the tax service has answered: of a registration it says whether it knows the register, of other documents whether
    /// they are good. The event, where a colour has changed.
    pub(super) fn weigh(
        &mut self,
        answer: &StatusEvent,
        (position, received_at_us): (Position, i64),
        index: u16,
    ) -> Option<Event> {
        // That a document was sent, which is most of what is said, is no word about it.
        let weighs = [
            StatusKind::Accepted,
            StatusKind::Duplicate,
            StatusKind::Warned,
            StatusKind::Quarantined,
            StatusKind::Refused,
        ];
        if !weighs.contains(&answer.kind) {
            return None;
        }
        let kept = self.drives.get(self.find_drive(answer.drive)?)?;
        let looked = self.look_at(kept, |drive| (drive.card, drive.registration.map(|it| it.number)))?;
        let (Some(at), registration) = looked else { return None };
        let registers = registration == Some(answer.number);
        let note = match answer.kind {
            StatusKind::Accepted | StatusKind::Duplicate if registers => Note::RegistrationAccepted,
            StatusKind::Warned if registers => Note::Unregistered,
            StatusKind::Quarantined | StatusKind::Refused if registers => Note::RegistrationRefused,
            StatusKind::Warned => Note::SoftQuarantine,
            StatusKind::Quarantined | StatusKind::Refused => Note::HardQuarantine,
            _ => return None,
        };
        let (change, head) = self.noted(at, note, second_of(received_at_us))?;
        Some(told(position, index, received_at_us, change, head))
    }

    /// Judges everything that is due by a time, and tells nobody: for whoever reads a log that nobody writes to.
    pub(crate) fn look(&mut self, now_us: i64) {
        let mut out = Vec::new();
        while self.watch.first().is_some_and(|second| second <= second_of(now_us)) {
            self.judge_due(self.last, now_us, 0, &mut out);
            out.clear();
        }
    }

    /// The light of a register at a time, seconds UTC.
    #[must_use]
    pub fn light(&self, realm: Realm, rnm: &str, now: u32) -> Option<Light> {
        let card = self.kept_card(realm, rnm)?;
        self.light_at(card, now).map(|(light, _)| light)
    }

    /// The forecast of the drive that a register works with, at a time, seconds UTC.
    #[must_use]
    pub fn forecast(&self, realm: Realm, rnm: &str, now: u32) -> Option<Forecast> {
        let card = self.kept_card(realm, rnm)?;
        self.forecast_of(card, now)
    }

    /// The colours of a register as they were judged last.
    #[must_use]
    pub fn facets(&self, realm: Realm, rnm: &str) -> Option<Facets> {
        self.kept_card(realm, rnm).map(|card| card.light.facets)
    }

    /// How many registers have each colour, as they were judged last: production, best first.
    #[must_use]
    pub fn colours(&self) -> [usize; crate::watch::COLOURS] {
        let mut counts = [0_usize; crate::watch::COLOURS];
        for card in self.cards.iter().filter(|it| !it.test) {
            let slot = counts.get_mut(card.light.facets.colour() as usize);
            slot.into_iter().for_each(|it| *it = it.saturating_add(1));
        }
        counts
    }

    /// Where a register stands, by what the host has said.
    #[must_use]
    pub fn place(&self, rnm: &str) -> Option<Place> {
        let rnm = super::card::padded(rnm.as_bytes())?;
        self.watch.places.place(self.watch.places.find(&rnm, &self.hasher)?)
    }

    /// What is set at a level.
    #[must_use]
    pub fn setting(&self, scope: &Scope) -> Setting {
        self.watch.places.setting(scope)
    }

    /// The values that hold for a register.
    #[must_use]
    pub fn values(&self, realm: Realm, rnm: &str) -> Option<Values> {
        let card = self.kept_card(realm, rnm)?;
        Some(self.watch.places.values(&card.rnm, &card.inn, card.light.place))
    }
}

/// A drive, as an event names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DriveHead {
    number: ofd_codec::DriveNumber,
    last: u32,
}

fn told(position: Position, index: u16, received_at_us: i64, change: ColourChange, head: DriveHead) -> Event {
    let inn = change.inn.clone();
    let kind = EventKind::ColourChanged(Box::new(change));
    Event { position, index, received_at_us, drive: head.number, number: head.last, inn, kind }
}

impl ColourChange {
    /// Colour of the register as it was.
    #[must_use]
    pub fn before(&self) -> Colour {
        self.before.colour()
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Colour {
        self.now.colour()
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { realm, rnm, inn, before, now, reasons } = self;
        to.byte(u8::from(*realm == Realm::Test));
        to.bytes(rnm.as_bytes());
        to.bytes(inn.as_deref().unwrap_or_default().as_bytes());
        to.number(before.bits());
        to.number(now.bits());
        to.count(reasons.len());
        for Reason { facet: _, colour, since, what } in reasons {
            to.byte(*what as u8);
            to.byte(*colour as u8);
            to.number(*since);
        }
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        use crate::watch::What;
        let realm = if from.byte()? == 1 { Realm::Test } else { Realm::Prod };
        let rnm = core::str::from_utf8(from.bytes()?).ok()?.to_owned();
        let inn = core::str::from_utf8(from.bytes()?).ok()?;
        let inn = (!inn.is_empty()).then(|| inn.to_owned());
        let facets = |bits: u64| Facets::from_bits(u16::try_from(bits).ok()?);
        let (before, now) = (facets(from.number()?)?, facets(from.number()?)?);
        let mut reasons = Vec::new();
        for _ in 0..from.count()? {
            let what = *What::ALL.get(usize::from(from.byte()?))?;
            let colour = *Colour::ALL.get(usize::from(from.byte()?))?;
            reasons.push(Reason { facet: what.facet(), colour, since: from.small()?, what });
        }
        Some(Self { realm, rnm, inn, before, now, reasons })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use ofd_codec::{DocumentView, DriveNumber, TlvWriter, tags};
    use ofd_storage::{Error, Lsn};

    use super::*;
    use crate::registers::{Past, SHIFTS_KEPT};

    struct Nothing;

    impl Past for Nothing {
        fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
            Ok(None)
        }
    }

    const FROM: u32 = 1_790_000_000;

    /// A receipt of a register, of which nothing is open.
    fn take(registers: &mut Registers, number: u32, at: u32) {
        let drive = DriveNumber::parse("7100000000000001").unwrap();
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::RECEIPT, |w| {
                w.bytes(tags::FISCAL_DRIVE_NUMBER, drive.as_bytes())?;
                w.text(tags::KKT_REG_ID, "0000000000000001")?;
                w.u32(tags::FISCAL_DOCUMENT_NUMBER, number);
                Ok(())
            })
            .unwrap();
        let view = DocumentView::new_checked(&bytes).unwrap();
        let seen = Seen {
            position: Position::new(Lsn::new(u64::from(number))),
            received_at_us: i64::from(at) * 1_000_000,
            realm: Realm::Prod,
            drive,
            number,
            variant: 0,
            imported: false,
            view,
            header: view.header(),
        };
        registers.take(&seen, &Nothing, &mut Vec::new()).unwrap();
    }

    // Hardly any register is never complained of, and each complaint would take 68 bytes for ever.
    #[test]
    fn what_no_threshold_reaches_is_forgotten() {
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        take(&mut registers, 1, FROM);
        for note in [Note::SoftQuarantine, Note::HardQuarantine, Note::Found] {
            registers.noted(0, note, FROM + DAY);
        }
        let kept = |registers: &Registers| registers.cards.get(0).unwrap().light.trouble.clone();
        take(&mut registers, 2, FROM + 400 * DAY);
        assert_eq!(kept(&registers).unwrap().soft, (FROM + DAY, FROM + DAY));
        take(&mut registers, 3, FROM + 401 * DAY);
        assert_eq!(kept(&registers), None);
    }

    // There are millions of registers, and a command for each outlet when a host moves in.
    #[test]
    fn a_change_for_one_outlet_looks_at_its_registers_alone() {
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        let count = 200_u64;
        for number in 0..count {
            let (rnm, inn) = (Some(format!("{number:016}")), Some("7707083893".to_owned()));
            let drive = DriveNumber::parse(&format!("71{number:014}")).unwrap();
            let seed = crate::registers::LaneSeed { rnm, inn, ..crate::registers::LaneSeed::new(drive, 7) };
            registers.seed(
                Position::new(Lsn::new(number + 1)),
                i64::from(FROM) * 1_000_000,
                &seed,
                &mut Vec::new(),
            );
        }
        let said = |registers: &mut Registers, command| {
            registers.command(
                Position::new(Lsn::new(count)),
                i64::from(FROM) * 1_000_000,
                &command,
                &mut Vec::new(),
            );
        };
        let by = || "x".to_owned();
        for number in 0..count {
            let place = Place { outlet: Some(format!("shop {}", number / 2)), ..Place::default() };
            let inn = (number < 2).then(|| "7704211201".to_owned());
            let (rnm, place) = (format!("{number:016}"), Place { inn, ..place });
            said(&mut registers, WatchCommand::PlaceRegister { rnm, place, by: by() });
        }
        assert_eq!(registers.concerned(&Scope::Outlet("shop 3".to_owned())), [6, 7]);
        assert!(registers.concerned(&Scope::Outlet("shop".to_owned())).is_empty());
        assert_eq!(registers.concerned(&Scope::Register(format!("{:016}", 5))), [5]);
        assert_eq!(registers.concerned(&Scope::Organisation("7704211201".to_owned())), [0, 1]);
        assert_eq!(
            registers.concerned(&Scope::Organisation("7707083893".to_owned())).len() as u64,
            count - 2
        );
        assert_eq!(registers.concerned(&Scope::Default).len() as u64, count);
        // What is looked at for it, of all of them.
        let Registers { watch, hasher, .. } = &registers;
        assert_eq!(watch.places.of_outlet("shop 3", hasher).len(), 2);
        assert_eq!(
            watch.places.of_inn(&crate::registers::card::padded(b"7704211201").unwrap(), hasher).len(),
            2
        );
    }

    // It is asked with every document and every page: what lies behind the shifts of a packed drive is not read for it.
    #[test]
    fn a_light_reads_no_more_of_a_drive_than_it_looks_at() {
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        // Not its first one: that would have to be a registration, and an error is looked at closer.
        take(&mut registers, 5, FROM);
        packed::UNPACKED.set(0);
        assert!(registers.light(Realm::Prod, "0000000000000001", FROM).is_some());
        assert!(registers.forecast(Realm::Prod, "0000000000000001", FROM).is_some());
        assert_eq!(packed::UNPACKED.get(), 0);
    }
}
