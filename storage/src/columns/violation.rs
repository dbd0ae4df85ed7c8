//! `violations`: one row a finding of the rules, in a document or across documents.
//!
//! The findings are those of the owner of the log ([`super::Derive`]); here are their columns. `documents.violations_n`
//! counts those in a document, and more than there are rows where a document has more of them than are told.
//!
//! A finding across documents is told with the record that brought it about, a document or a tick: `position`, `fn` and `fd` are
//! those of that record, and `line` is from [`LIFE_LINE_FIRST`] on. A state has a row when it begins, one more where it says
//! something else, and one when it has ended (`ended_at`); its rows have `fn` (of scope register `rnm`), `rule` and
//! `first_seen_at` in common, and the last of them counts. In a row of a document `first_seen_at`, `last_seen_at` and `count` are NULL: it is found once, at `seen_at`.

use ofd_codec::rules::life::{LifeRuleId, Scope};

use super::Day;
use super::column::{Cell, Column, Kind, Layout};
use super::document::Facts;
use super::row::{Head, Row};
use super::text::Texts;

/// Lines of findings across documents begin here: a document has fewer of its own.
pub const LIFE_LINE_FIRST: i64 = 1_001;

/// A finding: one rule broken at one place of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Its place among those of the document, from 1; set by the reader of rows.
    pub line: i64,
    /// Key of the rule, stable: `C2`.
    pub rule: &'static str,
    /// Name of the rule: `receipt.total-equals-payments`.
    pub name: &'static str,
    /// How loud it is: `info`, `warning`, `error`.
    pub level: &'static str,
    /// What it is about: `document`, `shift`, `drive`, `register`.
    pub scope: &'static str,
    /// The requisite.
    pub tag: Option<u16>,
    /// What was found.
    pub actual: Option<String>,
    /// What should have been.
    pub expected: Option<String>,
    /// Of a finding across documents: its shift, since when, until when, how often, whether it has ended, by which set of rules.
    pub life: Option<LifeSpan>,
}

/// What a finding across documents has besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifeSpan {
    /// 1038.
    pub shift: Option<u32>,
    /// Found first and last, microseconds UTC.
    pub first_seen_us: i64,
    /// See there.
    pub last_seen_us: i64,
    /// How often.
    pub count: u32,
    /// When the state has ended.
    pub ended_us: Option<i64>,
    /// Version of the set of rules.
    pub rules_version: u32,
}

/// A finding across documents, as a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifeRow {
    /// The record that brought it about.
    pub position: u64,
    /// When that came, microseconds UTC.
    pub received_at_us: i64,
    /// `prod` or `test`.
    pub realm: &'static str,
    /// 1018.
    pub inn: Option<String>,
    /// 1037.
    pub rnm: Option<String>,
    /// 1041, padding off.
    pub drive: String,
    /// Number of the document, or of the one that was waited for.
    pub number: u32,
    /// 1012 of the document, seconds on the clock of the till.
    pub local_seconds: Option<i64>,
    /// The finding; its line from [`LIFE_LINE_FIRST`] on.
    pub finding: Finding,
}

impl LifeRow {
    /// The day it lies under.
    pub fn day(&self) -> Day {
        Day::of(self.local_seconds, self.received_at_us)
    }

    /// In the order of the table.
    pub(crate) fn key(&self) -> (Option<&str>, &str, u32, u8, u64, i64) {
        (self.inn.as_deref(), &self.drive, self.number, 0, self.position, self.finding.line)
    }

    pub(crate) fn row(&self) -> Row {
        let mut texts = Texts::default();
        let head = Head {
            position: i64::try_from(self.position).unwrap_or(i64::MAX),
            received_at_us: self.received_at_us,
            realm: self.realm,
            drive: Some(texts.put(&self.drive)),
            number: i64::from(self.number),
            ..Head::default()
        };
        let mut put = |text: &Option<String>| text.as_deref().map(|text| texts.put(text));
        let (inn, rnm, local_seconds) = (put(&self.inn), put(&self.rnm), self.local_seconds);
        let facts = Facts { inn, rnm, local_seconds, ..Facts::default() };
        Row { texts, head, facts, finding: self.finding.clone(), ..Row::default() }
    }
}

/// Of a rule across documents that is a state: whether it is one of a register, whichever drive that works with. `None` of others.
pub(crate) fn state_of_register(rule: &str) -> Option<bool> {
    let rule = LifeRuleId::by_key(rule).map(LifeRuleId::rule).filter(|it| it.lasting)?;
    Some(rule.scope == Scope::Register)
}

fn of_life(row: &Row, value: impl Fn(&LifeSpan) -> Option<i64>) -> Cell<'_> {
    row.finding.life.as_ref().and_then(value).into()
}

/// Columns of `violations`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция документа в журнале", |r| {
        Cell::Int(r.head.position)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new("realm", Kind::Text, "Мир: prod или test", |r| Cell::Text(r.head.realm)).required(),
    Column::new("tenant", Kind::Text, "Арендатор", |_| Cell::Null),
    Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| r.text(r.facts.inn)),
    Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| {
        r.text(r.facts.rnm)
    }),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| r.text(r.head.drive)).required(),
    Column::new("fd", Kind::Int64, "Номер ФД (1040)", |r| Cell::Int(r.head.number))
        .required()
        .laid_out(Layout::Delta),
    Column::new(
        "variant",
        Kind::Int32,
        "Вариант документа: 0 — тот, что идёт в счёт",
        |r| Cell::Int(r.head.variant),
    )
    .required(),
    Column::new(
        "line",
        Kind::Int32,
        "Номер нарушения в документе, с 1; между документами с 1001",
        |r| Cell::Int(r.finding.line),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new("form", Kind::Text, "Форма документа", |r| r.head.form.as_deref().into()),
    Column::new(
        "ts_local",
        Kind::LocalTime,
        "Дата, время по часам ККТ, без зоны (1012)",
        |r| r.facts.local_millis().into(),
    )
    .laid_out(Layout::Delta),
    Column::new("rule", Kind::Text, "Проверка", |r| Cell::Text(r.finding.rule)).required(),
    Column::new("name", Kind::Text, "Имя проверки", |r| Cell::Text(r.finding.name)).required(),
    Column::new("level", Kind::Text, "Важность: info, warning или error", |r| {
        Cell::Text(r.finding.level)
    })
    .required(),
    Column::new(
        "scope",
        Kind::Text,
        "К чему относится: document, shift, drive, register",
        |r| Cell::Text(r.finding.scope),
    )
    .required(),
    Column::new("shift", Kind::Int64, "Смена, к которой относится (1038)", |r| {
        of_life(r, |it| it.shift.map(i64::from))
    }),
    Column::new("tag", Kind::Int32, "Реквизит", |r| r.finding.tag.map(i64::from).into()),
    Column::new("actual", Kind::Text, "Что есть", |r| (&r.finding.actual).into()).personal(),
    Column::new("expected", Kind::Text, "Что должно быть", |r| (&r.finding.expected).into()).personal(),
    Column::new(
        "seen_at",
        Kind::UtcTime,
        "Когда найдено: документ принят, UTC",
        |r| Cell::Int(r.head.received_at_us),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new("first_seen_at", Kind::UtcTime, "Когда найдено впервые, UTC", |r| {
        of_life(r, |it| Some(it.first_seen_us))
    }),
    Column::new(
        "last_seen_at",
        Kind::UtcTime,
        "Когда найдено в последний раз, UTC",
        |r| of_life(r, |it| Some(it.last_seen_us)),
    ),
    Column::new("count", Kind::Int64, "Сколько раз с тех пор", |r| {
        of_life(r, |it| Some(i64::from(it.count)))
    }),
    Column::new("ended_at", Kind::UtcTime, "Когда состояние кончилось, UTC", |r| {
        of_life(r, |it| it.ended_us)
    }),
    Column::new("rules_version", Kind::Int64, "Версия набора проверок", |r| {
        of_life(r, |it| Some(i64::from(it.rules_version)))
    }),
];
