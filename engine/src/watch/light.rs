//! The traffic light of a register (светофор): a pure function of facts, thresholds, placement and time.
//!
//! Every reason has a moment from which it is yellow, one from which it is red, and perhaps one at which it ends; the light
//! at a time is what those moments make of it, and it changes at the next of them and at no other time. What stands since a
//! document said so, and not since a moment that can be reckoned, is told with that moment ([`Trouble`]).
//!
//! | facet | reason | yellow | red |
//! |---|---|---|---|
//! | transfer | silent | no document for `silent_yellow_h` | for `silent_red_h` |
//! | transfer | unsent | the oldest unsent is `unsent_yellow_d` old | `unsent_red_d` |
//! | transfer | unconfirmed | flag 1053 | |
//! | shift | open | for `shift_yellow_h` | `shift_red_h` |
//! | connection | ends | `service_yellow_d` before the end of service | at its end |
//! | drive | ends | `drive_yellow_d` before its end | `drive_red_d` before it |
//! | drive | fills | `drive_yellow_percent` of its memory | all of it |
//! | drive | flags | 1050 | 1051, 1052 |
//! | registration | unregistered, refused | soft quarantine for want of it | refused by the tax service |
//! | quality | soft, found, hard | soft quarantine, or an error found, for `quality_d`; an error that lasts | hard quarantine or refusal for `quality_d` |
//!
//! Silence follows working hours and season ([`Schedule`]); the count-down to the block of the drive does not: it rests on
//! evidence of a document that waits (1097, 1098). An autonomous register (1002) has neither.
//!
//! Unit: seconds since 1970-01-01 UTC, 32 bits.
//!
//! Invariant: a second, naive reading of the table agrees on random facts (test: `tests/watch/light.rs`).
//!
//! Source: the law 54-ФЗ, articles 4.1 and 4.3; order ЕД-7-20/662@, tags 1050-1053, 1097, 1098.

use super::place::Schedule;
use super::thresholds::{Threshold, Values};

/// How many facets there are.
pub const FACETS: usize = 6;
/// How many colours.
pub const COLOURS: usize = 3;
const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;

/// A colour; the worse, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Colour {
    /// Nothing to do (зелёный).
    #[default]
    Green,
    /// Something will have to be done soon (жёлтый).
    Yellow,
    /// Something has to be done now (красный).
    Red,
}

impl Colour {
    /// All, best first.
    pub const ALL: [Self; COLOURS] = [Self::Green, Self::Yellow, Self::Red];

    /// `green`, `yellow` or `red`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// Documents come (передача данных).
    Transfer,
    /// The open shift (смена).
    Shift,
    /// The contract with this operator (подключение к ОФД).
    Connection,
    /// The fiscal drive (ФН).
    Drive,
    /// Registration with the tax service (регистрация).
    Registration,
    /// What the tax service and the rules say of documents (качество данных).
    Quality,
}

impl Facet {
    /// All of them, in this order.
    pub const ALL: [Self; FACETS] =
        [Self::Transfer, Self::Shift, Self::Connection, Self::Drive, Self::Registration, Self::Quality];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Shift => "shift",
            Self::Connection => "connection",
            Self::Drive => "drive",
            Self::Registration => "registration",
            Self::Quality => "quality",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    const fn shift(self) -> u32 {
        self as u32 * 2
    }
}

/// The colours of all facets: two bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facets(u16);

impl Facets {
    /// Colour of one.
    #[must_use]
    pub const fn of(self, facet: Facet) -> Colour {
        match self.0.checked_shr(facet.shift()) {
            Some(bits) if bits & 3 == 0 => Colour::Green,
            Some(bits) if bits & 3 == 1 => Colour::Yellow,
            _ => Colour::Red,
        }
    }

    /// Colour of the register: the worst.
    #[must_use]
    pub fn colour(self) -> Colour {
        Facet::ALL.into_iter().map(|it| self.of(it)).max().unwrap_or_default()
    }

    /// With one that is at least of this colour.
    #[must_use]
    pub fn with(self, facet: Facet, colour: Colour) -> Self {
        let worst = self.of(facet).max(colour) as u16;
        let mask = 3_u16.checked_shl(facet.shift()).unwrap_or(0);
        Self((self.0 & !mask) | worst.checked_shl(facet.shift()).unwrap_or(0))
    }

    /// Of both, the better colour of each facet.
    pub(crate) fn better(self, other: Self) -> Self {
        let one = |all: Self, facet| all.with(facet, self.of(facet).min(other.of(facet)));
        Facet::ALL.into_iter().fold(Self::default(), one)
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// `None` for bits that no light has.
    pub(crate) fn from_bits(bits: u16) -> Option<Self> {
        let colours = Facet::ALL.into_iter().map(|it| bits.checked_shr(it.shift()).unwrap_or(0) & 3);
        let valid = bits.checked_shr(12) == Some(0) && colours.into_iter().all(|it| it < 3);
        valid.then_some(Self(bits))
    }
}

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// No document has come for long.
    Silent,
    /// Documents wait in the drive, which will block.
    Unsent,
    /// The drive has had no confirmation for more than two days (1053).
    Unconfirmed,
    /// The shift has been open for long.
    ShiftOpen,
    /// The contract ends or has ended.
    ServiceEnds,
    /// The keys of the drive end.
    DriveEnds,
    /// The memory of the drive fills.
    DriveFills,
    /// The drive says that its keys end within 30 days (1050).
    DriveRunsOut,
    /// The drive has to be replaced now (1051).
    DriveReplaceNow,
    /// The memory of the drive is full (1052).
    DriveFull,
    /// The tax service does not know the registration yet.
    Unregistered,
    /// The tax service has refused the registration.
    RegistrationRefused,
    /// Documents are in soft quarantine.
    SoftQuarantine,
    /// A rule has found an error.
    Found,
    /// Documents are in hard quarantine or were refused.
    HardQuarantine,
}

/// How many reasons are told with the moment since when they stand.
pub const STANDING: usize = 6;

impl What {
    /// All of them, in this order.
    pub const ALL: [Self; 15] = [
        Self::Silent,
        Self::Unsent,
        Self::Unconfirmed,
        Self::ShiftOpen,
        Self::ServiceEnds,
        Self::DriveEnds,
        Self::DriveFills,
        Self::DriveRunsOut,
        Self::DriveReplaceNow,
        Self::DriveFull,
        Self::Unregistered,
        Self::RegistrationRefused,
        Self::SoftQuarantine,
        Self::Found,
        Self::HardQuarantine,
    ];

    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Silent => "transfer.silent",
            Self::Unsent => "transfer.unsent",
            Self::Unconfirmed => "transfer.unconfirmed",
            Self::ShiftOpen => "shift.open",
            Self::ServiceEnds => "connection.ends",
            Self::DriveEnds => "drive.ends",
            Self::DriveFills => "drive.fills",
            Self::DriveRunsOut => "drive.running-out",
            Self::DriveReplaceNow => "drive.replace-now",
            Self::DriveFull => "drive.full",
            Self::Unregistered => "registration.unfinished",
            Self::RegistrationRefused => "registration.refused",
            Self::SoftQuarantine => "quality.soft",
            Self::Found => "quality.found",
            Self::HardQuarantine => "quality.hard",
        }
    }

    /// By its code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }

    /// In words, for whoever keeps the shop.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Silent => "касса давно не передаёт документы",
            Self::Unsent => "в ФН ждут непереданные документы: через 30 дней он заблокируется",
            Self::Unconfirmed => "ФН более двух дней не получает подтверждений оператора",
            Self::ShiftOpen => "смена открыта слишком долго",
            Self::ServiceEnds => "заканчивается или закончился срок подключения к ОФД",
            Self::DriveEnds => "заканчивается или закончился срок ключей ФН",
            Self::DriveFills => "память ФН заполняется",
            Self::DriveRunsOut => "ФН сообщает: до окончания ключей менее 30 дней",
            Self::DriveReplaceNow => "ФН требует срочной замены",
            Self::DriveFull => "память ФН исчерпана",
            Self::Unregistered => "регистрация кассы в ФНС не завершена",
            Self::RegistrationRefused => "ФНС отказала в регистрации кассы",
            Self::SoftQuarantine => "документы в мягком карантине ФНС",
            Self::Found => "в документах найдены ошибки",
            Self::HardQuarantine => "документы в жёстком карантине или отклонены ФНС",
        }
    }

    /// What it belongs to.
    #[must_use]
    pub const fn facet(self) -> Facet {
        match self {
            Self::Silent | Self::Unsent | Self::Unconfirmed => Facet::Transfer,
            Self::ShiftOpen => Facet::Shift,
            Self::ServiceEnds => Facet::Connection,
            Self::DriveEnds
            | Self::DriveFills
            | Self::DriveRunsOut
            | Self::DriveReplaceNow
            | Self::DriveFull => Facet::Drive,
            Self::Unregistered | Self::RegistrationRefused => Facet::Registration,
            Self::SoftQuarantine | Self::Found | Self::HardQuarantine => Facet::Quality,
        }
    }

    /// Its place in [`Trouble::standing`], with this colour.
    pub(crate) const fn standing(self, colour: Colour) -> Option<usize> {
        match (self, colour) {
            (Self::Unconfirmed, _) => Some(0),
            (Self::DriveFills, Colour::Red) => Some(1),
            (Self::DriveFills, _) => Some(2),
            (Self::DriveRunsOut, _) => Some(3),
            (Self::DriveReplaceNow, _) => Some(4),
            (Self::DriveFull, _) => Some(5),
            _ => None,
        }
    }
}

/// A reason of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it belongs to.
    pub facet: Facet,
    /// Yellow or red.
    pub colour: Colour,
    /// Since when it has this colour, seconds UTC.
    pub since: u32,
    /// What is the matter.
    pub what: What,
}

/// What cannot be reckoned from a register's documents at any time: since when something stands, and what others say of its
/// documents. Zero everywhere: there is nothing, or nobody has said anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Since when the reasons stand that a document told: seconds UTC.
    pub standing: [u32; STANDING],
    /// The tax service has told that it does not know the registration; since when.
    pub unregistered_at: u32,
    /// It has refused the registration; since when.
    pub refused_at: u32,
    /// Soft quarantine of a document: the first of a row, and the newest.
    pub soft: (u32, u32),
    /// Hard quarantine or refusal of a document: the first of a row, and the newest.
    pub hard: (u32, u32),
    /// An error that a rule has found: the first of a row, and the newest.
    pub found: (u32, u32),
}

impl Trouble {
    /// Keeps since when what a document has told stands, and forgets what does not stand any more.
    pub(crate) fn stand(&mut self, reasons: &[Reason]) {
        self.standing = [0; STANDING];
        for reason in reasons {
            let slot = reason.what.standing(reason.colour).and_then(|at| self.standing.get_mut(at));
            slot.into_iter().for_each(|it| *it = reason.since);
        }
    }

    /// Forgets what others have said of documents so long ago that no threshold reaches it.
    pub(crate) fn forget(&mut self, now: u32) {
        let reach = Threshold::QualityD.bound().saturating_mul(DAY);
        for pair in [&mut self.soft, &mut self.hard, &mut self.found] {
            if pair.1 > 0 && pair.1.saturating_add(reach) <= now {
                *pair = (0, 0);
            }
        }
    }
}

/// What the light looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Documents are awaited: the register is not autonomous, has not left, and its drive is not closed.
    pub serving: bool,
    /// The drive is not closed.
    pub has_drive: bool,
    /// When its last document came.
    pub heard_at: Option<u32>,
    /// When its open shift was opened.
    pub shift_opened_at: Option<u32>,
    /// Since when the oldest document waits in the drive, where there is evidence of one.
    pub unsent_since: Option<u32>,
    /// Last second of the keys of the drive.
    pub drive_ends_at: Option<u32>,
    /// Documents in the drive: its newest number.
    pub drive_documents: u32,
    /// Flags 1050-1053 of the newest report, by bit.
    pub flags: u8,
    /// What others say.
    pub trouble: Trouble,
    /// An error that a rule has found lasts: it stands however long ago it was found.
    pub found_lasts: bool,
}

/// The light of a register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Light {
    /// The worst of its facets.
    pub colour: Colour,
    /// Colour of each facet.
    pub facets: Facets,
    /// Everything that is not green, in the order of [`What`].
    pub reasons: Vec<Reason>,
    /// When it will be another one if nothing comes until then; `None`: never.
    pub next_change_at: Option<u32>,
}

/// Puts reasons together.
struct Judge {
    now: u32,
    light: Light,
}

impl Judge {
    /// A reason with the moments at which it turns yellow, turns red and ends.
    fn moments(&mut self, what: What, yellow: Option<u32>, red: Option<u32>, end: Option<u32>) {
        // Where red comes first there is no yellow.
        let yellow = yellow.filter(|it| red.is_none_or(|red| *it < red));
        let coming = [yellow, red, end].into_iter().flatten().filter(|it| *it > self.now).min();
        if end.is_some_and(|end| end <= self.now) {
            return;
        }
        let next = self.light.next_change_at;
        self.light.next_change_at = [next, coming].into_iter().flatten().min();
        let begun = |at: &u32| *at <= self.now;
        match (yellow.filter(begun), red.filter(begun)) {
            (_, Some(since)) => self.stands(what, Colour::Red, since),
            (Some(since), None) => self.stands(what, Colour::Yellow, since),
            (None, None) => {}
        }
    }

    fn stands(&mut self, what: What, colour: Colour, since: u32) {
        let facet = what.facet();
        self.light.facets = self.light.facets.with(facet, colour);
        self.light.colour = self.light.colour.max(colour);
        self.light.reasons.push(Reason { facet, colour, since, what });
    }

    /// A reason that a document has told: since when it stands, or since now.
    fn told(&mut self, trouble: &Trouble, what: What, colour: Option<Colour>) {
        let Some(colour) = colour else { return };
        let since = what.standing(colour).and_then(|at| trouble.standing.get(at)).copied();
        self.stands(what, colour, since.filter(|it| *it > 0).unwrap_or(self.now));
    }
}

/// The colour of a drive that holds so many documents, when it is not green.
pub(crate) fn fills(documents: u32, values: &Values) -> Option<Colour> {
    let (documents, capacity) = (u64::from(documents), u64::from(values.of(Threshold::DriveDocuments)));
    let percent = documents.saturating_mul(100).checked_div(capacity).unwrap_or(0);
    match u64::from(values.of(Threshold::DriveYellowPercent)) {
        _ if percent >= 100 => Some(Colour::Red),
        // A threshold of zero is switched off.
        yellow if yellow > 0 && percent >= yellow => Some(Colour::Yellow),
        _ => None,
    }
}

/// The light of a register at a time.
#[must_use]
pub fn light(facts: &Facts, values: &Values, schedule: Option<&Schedule>, now: u32) -> Light {
    let mut judge = Judge { now, light: Light::default() };
    // A threshold of zero is switched off.
    let of = |threshold: Threshold| Some(values.of(threshold)).filter(|it| *it > 0);
    let hours = |threshold| of(threshold).map(|it| it.saturating_mul(HOUR));
    let days = |threshold| of(threshold).map(|it| it.saturating_mul(DAY));
    let (serving, trouble) = (facts.serving, &facts.trouble);
    let flag = |bit: u32| u32::from(facts.flags).checked_shr(bit).is_some_and(|it| it & 1 == 1);
    let if_so = |so: bool, colour: Colour| so.then_some(colour);

    if let Some(heard) = facts.heard_at.filter(|_| serving) {
        let after = |seconds: Option<u32>| match schedule {
            Some(schedule) => schedule.awaited_until(heard, seconds?),
            None => Some(heard.saturating_add(seconds?)),
        };
        let silent = [Threshold::SilentYellowH, Threshold::SilentRedH].map(|it| after(hours(it)));
        judge.moments(What::Silent, silent[0], silent[1], None);
    }
    if let Some(since) = facts.unsent_since.filter(|_| serving) {
        let after = |threshold| days(threshold).map(|it| since.saturating_add(it));
        judge.moments(What::Unsent, after(Threshold::UnsentYellowD), after(Threshold::UnsentRedD), None);
    }
    judge.told(trouble, What::Unconfirmed, if_so(serving && flag(3), Colour::Yellow));

    if let Some(opened) = facts.shift_opened_at.filter(|_| facts.has_drive) {
        let after = |threshold| hours(threshold).map(|it| opened.saturating_add(it));
        judge.moments(What::ShiftOpen, after(Threshold::ShiftYellowH), after(Threshold::ShiftRedH), None);
    }

    if let Some(to) = schedule.map(|it| it.service_to).filter(|it| *it > 0) {
        let before = days(Threshold::ServiceYellowD).map(|it| to.saturating_sub(it));
        judge.moments(What::ServiceEnds, before, Some(to), None);
    }

    if facts.has_drive {
        if let Some(end) = facts.drive_ends_at {
            let before = |threshold| days(threshold).map(|it| end.saturating_sub(it));
            // Its end is red whatever the thresholds say.
            let red = before(Threshold::DriveRedD).or(Some(end));
            judge.moments(What::DriveEnds, before(Threshold::DriveYellowD), red, None);
        }
        judge.told(trouble, What::DriveFills, fills(facts.drive_documents, values));
        judge.told(trouble, What::DriveRunsOut, if_so(flag(0), Colour::Yellow));
        judge.told(trouble, What::DriveReplaceNow, if_so(flag(1), Colour::Red));
        judge.told(trouble, What::DriveFull, if_so(flag(2), Colour::Red));
    }

    let since = |at: u32| Some(at).filter(|it| *it > 0);
    judge.moments(What::Unregistered, since(trouble.unregistered_at), None, None);
    judge.moments(What::RegistrationRefused, None, since(trouble.refused_at), None);
    let ends = |newest: u32| days(Threshold::QualityD).map(|it| newest.saturating_add(it));
    if let Some(first) = since(trouble.soft.0) {
        judge.moments(What::SoftQuarantine, Some(first), None, ends(trouble.soft.1));
    }
    if let Some(first) = since(trouble.found.0) {
        let end = ends(trouble.found.1).filter(|_| !facts.found_lasts);
        judge.moments(What::Found, Some(first), None, end);
    }
    if let Some(first) = since(trouble.hard.0) {
        judge.moments(What::HardQuarantine, None, Some(first), ends(trouble.hard.1));
    }
    judge.light
}
