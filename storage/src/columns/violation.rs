//! `violations`: one row a finding of the rules in a document.
//!
//! The findings are those of the owner of the log ([`super::Derive`]); here are their columns. `documents.violations_n`
//! counts them, and more than there are rows where a document has more of them than are told.

use super::column::{Cell, Column, Kind, Layout};

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
    Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| (&r.facts.inn).into()),
    Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| {
        (&r.facts.rnm).into()
    }),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| Cell::Text(&r.head.drive)).required(),
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
    Column::new("line", Kind::Int32, "Номер нарушения в документе, с 1", |r| {
        Cell::Int(r.finding.line)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new("form", Kind::Text, "Форма документа", |r| (&r.head.form).into()),
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
];
