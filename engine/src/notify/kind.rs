//! Kinds of notices: what somebody may ask to be told of, and what an event of the registers says of it. Pure, and without
//! memory: an event tells what was before it, so that where a state begins and ends is seen in the event alone. So the same
//! events give the same notices, from whatever position on they are read.
//!
//! A lasting state ([`NoticeKind::is_lasting`]) is told when it begins and when it ends, and never in between.

use ofd_codec::rules::Level;
use ofd_storage::status::StatusKind;
use serde_json::{Map, Value, json};

use crate::registers::{ColourChange, Event, EventKind};
use crate::watch::{Facet, LifeFinding, Reason};

/// A kind. Its name is stable; see [`NoticeKind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NoticeKind {
    /// A drive is seen for the first time.
    DriveAppeared,
    /// A drive sends to another operator from here on, or nothing.
    ServiceLeft,
    /// Documents come again.
    ServiceResumed,
    /// Numbers were passed over.
    GapOpened,
    /// The last missing number of a gap, or of what was left of it, came.
    GapClosed,
    /// Another document under a number that is taken.
    DocumentVariant,
    /// A registration or a change of it.
    RegistrationChanged,
    /// A register goes on with another drive.
    DriveReplaced,
    /// The archive of a drive is closed.
    DriveClosed,
    /// A document behind the closing of the archive.
    DriveAfterClosed,
    /// A shift was opened.
    ShiftOpened,
    /// A shift was closed.
    ShiftClosed,
    /// A shift began while the one before was not closed.
    ShiftNotClosed,
    /// A receipt later than 24 hours after its shift was opened.
    ShiftTooLong,
    /// A shift is open for more than 24 hours.
    ShiftOverdue,
    /// The counters of a shift differ from its documents.
    ShiftMismatch,
    /// Late documents have made a shift agree with its counters.
    ShiftAgrees,
    /// 30 days (1050) or 3 days (1051) are left of the drive's term.
    DriveTerm,
    /// The memory of the drive is nearly full (1052).
    DriveMemory,
    /// The drive has waited too long for the operator (1053).
    OperatorSilent,
    /// Documents wait in the drive (1097).
    DriveBacklog,
    /// A facet of a register's traffic light has another colour.
    ColourChanged,
    /// No documents come, or they wait: the facet `transfer` of the light.
    RegisterSilent,
    /// The contract ends or has ended: the facet `connection`.
    ServiceEnds,
    /// The drive ends or fills, by the forecast: the facet `drive`.
    DriveEnds,
    /// The tax service has refused a document.
    TaxRefused,
    /// The tax service has put a document into hard quarantine.
    TaxQuarantined,
    /// The tax service has accepted a document with a warning: soft quarantine.
    TaxWarned,
    /// A rule across documents is broken, or a state of one has begun or ended.
    ViolationFound,
}

use NoticeKind as K;

impl NoticeKind {
    /// All that are offered: each has a source.
    pub const ALL: [Self; 29] = [
        K::DriveAppeared,
        K::ServiceLeft,
        K::ServiceResumed,
        K::GapOpened,
        K::GapClosed,
        K::DocumentVariant,
        K::RegistrationChanged,
        K::DriveReplaced,
        K::DriveClosed,
        K::DriveAfterClosed,
        K::ShiftOpened,
        K::ShiftClosed,
        K::ShiftNotClosed,
        K::ShiftTooLong,
        K::ShiftOverdue,
        K::ShiftMismatch,
        K::ShiftAgrees,
        K::DriveTerm,
        K::DriveMemory,
        K::OperatorSilent,
        K::DriveBacklog,
        K::ColourChanged,
        K::RegisterSilent,
        K::ServiceEnds,
        K::DriveEnds,
        K::TaxRefused,
        K::TaxQuarantined,
        K::TaxWarned,
        K::ViolationFound,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// What it is called in a letter.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().1
    }

    /// Whether it is a state with a begin and an end.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        matches!(
            self,
            K::ShiftOverdue
                | K::DriveTerm
                | K::DriveMemory
                | K::OperatorSilent
                | K::DriveBacklog
                | K::RegisterSilent
                | K::ServiceEnds
                | K::DriveEnds
        )
    }

    /// What a threshold of this kind counts; `None`: there is none.
    #[must_use]
    pub const fn threshold(self) -> Option<&'static str> {
        match self {
            K::GapOpened => Some("numbers missing, at least"),
            K::ViolationFound => Some("level at least: 1 info, 2 warning, 3 error"),
            K::DriveBacklog => Some("documents waiting, at least"),
            K::DriveTerm => Some("days left, at most"),
            K::ColourChanged | K::RegisterSilent | K::ServiceEnds | K::DriveEnds => {
                Some("colour at least: 1 yellow, 2 red")
            }
            _ => None,
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            K::DriveAppeared => ("drive.appeared", "Новый фискальный накопитель"),
            K::ServiceLeft => ("service.left", "Касса больше не передаёт документы этому ОФД"),
            K::ServiceResumed => ("service.resumed", "Касса снова передаёт документы"),
            K::GapOpened => ("gap.opened", "Пропущены номера документов"),
            K::GapClosed => ("gap.closed", "Пропущенные документы получены"),
            K::DocumentVariant => ("document.variant", "Второй документ под тем же номером"),
            K::RegistrationChanged => ("registration.changed", "Регистрация или перерегистрация кассы"),
            K::DriveReplaced => ("drive.replaced", "Фискальный накопитель заменён"),
            K::DriveClosed => ("drive.closed", "Архив фискального накопителя закрыт"),
            K::DriveAfterClosed => ("drive.after-closed", "Документ после закрытия архива накопителя"),
            K::ShiftOpened => ("shift.opened", "Смена открыта"),
            K::ShiftClosed => ("shift.closed", "Смена закрыта"),
            K::ShiftNotClosed => ("shift.not-closed", "Новая смена без закрытия прежней"),
            K::ShiftTooLong => ("shift.too-long", "Чек позже 24 часов от открытия смены"),
            K::ShiftOverdue => ("shift.overdue", "Смена открыта дольше 24 часов"),
            K::ShiftMismatch => ("shift.mismatch", "Счётчики смены расходятся с документами"),
            K::ShiftAgrees => ("shift.agrees", "Счётчики смены сошлись с документами"),
            K::DriveTerm => ("drive.term", "Истекает срок фискального накопителя"),
            K::DriveMemory => ("drive.memory", "Память фискального накопителя заполнена"),
            K::OperatorSilent => ("operator.silent", "Накопитель не дождался ответа ОФД"),
            K::DriveBacklog => ("drive.backlog", "Документы ждут передачи в накопителе"),
            K::ColourChanged => ("colour.changed", "Изменился цвет кассы"),
            K::RegisterSilent => ("register.silent", "От кассы нет документов"),
            K::ServiceEnds => ("service.ends", "Заканчивается подключение кассы к ОФД"),
            K::TaxRefused => ("tax.refused", "ФНС отказала в приёме документа"),
            K::TaxQuarantined => ("tax.quarantined", "Документ в жёстком карантине ФНС"),
            K::TaxWarned => ("tax.warned", "Документ в мягком карантине ФНС"),
            K::ViolationFound => ("violation.found", "Найдено нарушение"),
            K::DriveEnds => ("drive.ends", "Фискальный накопитель пора менять"),
        }
    }

    const fn bit(self) -> u64 {
        1 << (self as u32)
    }
}

/// Some kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

impl Kinds {
    /// With this one.
    #[must_use]
    pub const fn with(self, kind: NoticeKind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// With all of these.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, kind: NoticeKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = NoticeKind> {
        NoticeKind::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

/// Which side of a state a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It has happened; there is no end to it.
    Once,
    /// A lasting state has begun.
    Began,
    /// It is over.
    Ended,
}

impl Edge {
    /// `once`, `began` or `ended`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Began => "began",
            Self::Ended => "ended",
        }
    }
}

/// What an event says to one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: NoticeKind,
    pub(crate) levels: Levels,
    /// What a reader is told beside the kind.
    pub(crate) data: Map<String, Value>,
}

/// How bad it is, and how bad it was before; what a threshold is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Levels {
    /// Nothing to hold a threshold against.
    Once,
    /// So much of it, once.
    OnceOf(u64),
    /// A state that is there or not.
    State { before: bool, now: bool },
    /// A state that is there or not, of so much.
    StateOf { much: u64, before: bool, now: bool },
    /// A state that is there from so much on, 1 by default.
    AtLeast { before: u64, now: u64 },
    /// A state that is there while so little is left, whatever is left by default; `None`: it is not there.
    AtMost { before: Option<u64>, now: Option<u64> },
}

impl Levels {
    /// What there is to tell with this threshold; `None`: nothing, since nothing has changed.
    pub(crate) fn edge(self, threshold: Option<u64>) -> Option<Edge> {
        let (before, now) = match self {
            Self::Once => return Some(Edge::Once),
            Self::OnceOf(much) => return (much >= threshold.unwrap_or(0)).then_some(Edge::Once),
            Self::State { before, now } => (before, now),
            Self::StateOf { much, .. } if much < threshold.unwrap_or(0) => return None,
            Self::StateOf { before, now, .. } => (before, now),
            Self::AtLeast { before, now } => {
                let from = threshold.unwrap_or(1).max(1);
                (before >= from, now >= from)
            }
            Self::AtMost { before, now } => {
                let is = |left: Option<u64>| left.is_some_and(|it| it <= threshold.unwrap_or(u64::MAX));
                (is(before), is(now))
            }
        };
        match (before, now) {
            (false, true) => Some(Edge::Began),
            (true, false) => Some(Edge::Ended),
            _ => None,
        }
    }
}

/// Days of a drive's term that its flags speak of: 1050 and 1051.
const TERM_FLAGS: [(u8, u64); 2] = [(1, 3), (0, 30)];
const MEMORY_FLAG: u8 = 2;
const OPERATOR_FLAG: u8 = 3;

/// What an event says, to each kind at most once, in a fixed order.
pub(crate) fn said_by(event: &Event) -> Vec<Said> {
    let one = |kind, levels, data: Value| {
        let data = if let Value::Object(data) = data { data } else { Map::new() };
        vec![Said { kind, levels, data }]
    };
    let once = |kind, data| one(kind, Levels::Once, data);
    match &event.kind {
        EventKind::DriveAppeared(_) => once(K::DriveAppeared, json!({})),
        EventKind::ServiceLeft => once(K::ServiceLeft, json!({})),
        EventKind::ServiceResumed => once(K::ServiceResumed, json!({})),
        EventKind::GapOpened(range) => {
            let many = u64::from(range.last.saturating_sub(range.first)).saturating_add(1);
            let data = json!({"first": range.first, "last": range.last});
            one(K::GapOpened, Levels::OnceOf(many), data)
        }
        EventKind::GapClosed(range) => once(K::GapClosed, json!({"first": range.first, "last": range.last})),
        EventKind::Variant { variant } => once(K::DocumentVariant, json!({"variant": variant})),
        EventKind::RegistrationChanged { reasons, changes } => {
            let changes: Vec<u16> = changes.iter().map(|it| it.0).collect();
            once(K::RegistrationChanged, json!({"reasons": reasons, "changes": changes}))
        }
        EventKind::DriveReplaced { before } => once(K::DriveReplaced, json!({"before": before.as_str()})),
        EventKind::DriveClosed => once(K::DriveClosed, json!({})),
        EventKind::AfterDriveClosed(form) => once(K::DriveAfterClosed, json!({"form": form.0})),
        EventKind::ShiftOpened { shift } => once(K::ShiftOpened, json!({"shift": shift})),
        EventKind::ShiftClosed { shift } => once(K::ShiftClosed, json!({"shift": shift})),
        EventKind::ShiftNotClosed { shift } => once(K::ShiftNotClosed, json!({"shift": shift})),
        EventKind::ShiftTooLong { shift } => once(K::ShiftTooLong, json!({"shift": shift})),
        EventKind::ShiftOverdue { shift } => {
            let levels = Levels::State { before: false, now: true };
            one(K::ShiftOverdue, levels, json!({"shift": shift}))
        }
        EventKind::ShiftOverdueEnded { shift } => {
            let levels = Levels::State { before: true, now: false };
            one(K::ShiftOverdue, levels, json!({"shift": shift}))
        }
        // A shift as its closing report has left it. A later document of it is a revision, and one that only fills a gap is told
        // with another number.
        EventKind::ShiftState(state)
            if state.shift.overdue
                && state.shift.revision == 0
                && state.shift.closed.is_some_and(|it| it.number == event.number) =>
        {
            let levels = Levels::State { before: true, now: false };
            one(K::ShiftOverdue, levels, json!({"shift": state.shift.number}))
        }
        EventKind::ShiftMismatch { shift, counters } => {
            let counter = |it: &crate::registers::Mismatch| json!({"tag": it.tag.0, "within": it.within.0, "stated": it.stated, "counted": it.counted});
            let counters: Vec<Value> = counters.iter().map(counter).collect();
            once(K::ShiftMismatch, json!({"shift": shift, "counters": counters}))
        }
        EventKind::ShiftAgrees { shift } => once(K::ShiftAgrees, json!({"shift": shift})),
        EventKind::DriveFlags { flags, before } => said_by_flags(*flags, *before),
        EventKind::Backlog { documents, since, before } => {
            let levels = Levels::AtLeast { before: u64::from(*before), now: u64::from(*documents) };
            one(K::DriveBacklog, levels, json!({"documents": documents, "since": since.map(|it| it.0)}))
        }
        EventKind::Found(finding) => said_by_finding(finding, false),
        EventKind::FindingEnded(finding) => said_by_finding(finding, true),
        EventKind::ColourChanged(change) => said_by_light(change),
        EventKind::TaxAnswered(answer) => {
            let kind = match answer.kind {
                StatusKind::Refused => K::TaxRefused,
                StatusKind::Quarantined => K::TaxQuarantined,
                _ => K::TaxWarned,
            };
            let (document, tag) = (answer.document.as_u64(), answer.tag.map(|it| it.0));
            once(kind, json!({"document": document, "code": answer.code, "tag": tag}))
        }
        _ => Vec::new(),
    }
}

/// What a finding says; of a state, when it begins and when it has ended.
fn said_by_finding(finding: &LifeFinding, ended: bool) -> Vec<Said> {
    let rule = finding.rule.rule();
    let much = match rule.level {
        Level::Info => 1,
        Level::Warning => 2,
        Level::Error => 3,
    };
    let data = json!({
        "rule": rule.key, "name": rule.name, "level": rule.level.as_str(), "explanation": rule.explain_ru,
        "advice": rule.advice_ru, "shift": finding.shift, "tag": finding.tag.map(|it| it.0), "actual": finding.actual,
        "expected": finding.expected, "count": finding.count,
    });
    let data = if let Value::Object(data) = data { data } else { Map::new() };
    let levels = match rule.lasting {
        true => Levels::StateOf { much, before: ended, now: !ended },
        false => Levels::OnceOf(much),
    };
    vec![Said { kind: K::ViolationFound, levels, data }]
}

fn said_by_light(change: &ColourChange) -> Vec<Said> {
    let facet = |facet: Facet| (change.before.of(facet), change.now.of(facet));
    let reason = |it: &Reason| {
        let (facet, colour) = (it.facet.as_str(), it.colour.as_str());
        json!({"facet": facet, "colour": colour, "what": it.what.code(), "since": it.since})
    };
    let reasons = |of: Option<Facet>| -> Vec<Value> {
        change.reasons.iter().filter(|it| of.is_none_or(|of| of == it.facet)).map(reason).collect()
    };
    let (before, now) = (change.before.colour(), change.now.colour());
    let changed: Map<String, Value> = Facet::ALL
        .into_iter()
        .filter(|it| facet(*it).0 != facet(*it).1)
        .map(|it| (it.as_str().to_owned(), json!([facet(it).0.as_str(), facet(it).1.as_str()])))
        .collect();
    let worst = Facet::ALL
        .into_iter()
        .filter(|it| facet(*it).0 != facet(*it).1)
        .map(|it| facet(it).0.max(facet(it).1));
    let mut data = Map::new();
    data.insert("before".to_owned(), json!(before.as_str()));
    data.insert("now".to_owned(), json!(now.as_str()));
    data.insert("facets".to_owned(), Value::Object(changed));
    data.insert("reasons".to_owned(), json!(reasons(None)));
    let levels = Levels::OnceOf(worst.max().unwrap_or_default() as u64);
    let mut said = vec![Said { kind: K::ColourChanged, levels, data }];
    for (kind, of) in [
        (K::RegisterSilent, Facet::Transfer),
        (K::ServiceEnds, Facet::Connection),
        (K::DriveEnds, Facet::Drive),
    ] {
        let (before, now) = facet(of);
        if before != now {
            let mut data = Map::new();
            data.insert("colour".to_owned(), json!(now.as_str()));
            data.insert("reasons".to_owned(), json!(reasons(Some(of))));
            let levels = Levels::AtLeast { before: before as u64, now: now as u64 };
            said.push(Said { kind, levels, data });
        }
    }
    said
}

fn said_by_flags(flags: u8, before: u8) -> Vec<Said> {
    let has = |flags: u8, bit: u8| flags & 1_u8.checked_shl(u32::from(bit)).unwrap_or(0) != 0;
    let left = |flags: u8| TERM_FLAGS.iter().find(|(bit, _)| has(flags, *bit)).map(|(_, days)| *days);
    let mut said = Vec::new();
    if left(flags) != left(before) {
        let mut data = Map::new();
        data.insert("days".to_owned(), json!(left(flags)));
        let levels = Levels::AtMost { before: left(before), now: left(flags) };
        said.push(Said { kind: K::DriveTerm, levels, data });
    }
    for (kind, bit) in [(K::DriveMemory, MEMORY_FLAG), (K::OperatorSilent, OPERATOR_FLAG)] {
        let levels = Levels::State { before: has(before, bit), now: has(flags, bit) };
        if has(before, bit) != has(flags, bit) {
            said.push(Said { kind, levels, data: Map::new() });
        }
    }
    said
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use ofd_codec::DriveNumber;
    use ofd_storage::{Lsn, Position};

    use super::*;
    use crate::registers::Range;

    fn edges(kind: EventKind, threshold: Option<u64>) -> Vec<(&'static str, &'static str)> {
        let event = Event {
            position: Position::new(Lsn::new(7)),
            index: 0,
            received_at_us: 0,
            drive: DriveNumber::parse("9999078900001234").unwrap(),
            number: 1,
            inn: None,
            kind,
        };
        let told = said_by(&event).into_iter();
        told.filter_map(|it| Some((it.kind.name(), it.levels.edge(threshold)?.as_str()))).collect()
    }

    // Names are in the stored subscriptions of others.
    #[test]
    fn names_are_stable_and_every_kind_has_one() {
        let names: std::collections::BTreeSet<_> = NoticeKind::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), NoticeKind::ALL.len());
        for (at, kind) in NoticeKind::ALL.into_iter().enumerate() {
            assert_eq!(NoticeKind::of_name(kind.name()), Some(kind));
            assert_eq!(kind as usize, at, "the order of ALL is that of the kinds");
            assert!(!kind.title().is_empty());
        }
        let all = NoticeKind::ALL.into_iter().fold(Kinds::default(), Kinds::with);
        assert_eq!(all.iter().count(), NoticeKind::ALL.len());
    }

    // A state is told where it crosses the threshold and nowhere else, upwards and downwards.
    #[test]
    fn a_lasting_state_is_told_at_its_begin_and_at_its_end() {
        let backlog = |before, documents| EventKind::Backlog { documents, since: None, before };
        let kinds = |list: &[(u32, u32)], threshold| {
            let told = list.iter().map(|(before, now)| edges(backlog(*before, *now), threshold));
            told.map(|it| it.first().map(|it| it.1)).collect::<Vec<_>>()
        };
        let life = [(0, 3), (3, 9), (9, 12), (12, 11), (11, 9), (9, 1), (1, 0)];
        assert_eq!(kinds(&life, None), [Some("began"), None, None, None, None, None, Some("ended")]);
        assert_eq!(kinds(&life, Some(10)), [None, None, Some("began"), None, Some("ended"), None, None]);
        assert_eq!(kinds(&life, Some(100)), [None; 7]);
        let flags = |before, flags, threshold| edges(EventKind::DriveFlags { flags, before }, threshold);
        assert_eq!(flags(0, 1, None), [("drive.term", "began")]);
        assert_eq!(flags(1, 3, None), []);
        assert_eq!(flags(1, 3, Some(3)), [("drive.term", "began")]);
        assert_eq!(flags(0, 1, Some(3)), []);
        assert_eq!(flags(3, 0, Some(3)), [("drive.term", "ended")]);
        assert_eq!(flags(0, 12, None), [("drive.memory", "began"), ("operator.silent", "began")]);
        assert_eq!(flags(15, 10, None), [("drive.memory", "ended")]);
        let light_finding = Levels::StateOf { much: 1, before: false, now: true };
        assert_eq!((light_finding.edge(Some(2)), light_finding.edge(Some(1))), (None, Some(Edge::Began)));
        let gap = |last| EventKind::GapOpened(Range { first: 5, last });
        assert_eq!(edges(gap(9), Some(5)), [("gap.opened", "once")]);
        assert_eq!(edges(gap(8), Some(5)), []);
    }
}
