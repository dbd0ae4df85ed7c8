//! Columns of `containers`: what came over the wire, to the byte.
//!
//! `raw` is the container as received. `plain` is the document TLV where it was opened, also where it is a
//! slice of `raw`, so that a reader need not know where in a container a document lies. With `envelope` (the
//! fixed part of the stored payload: session header, peer, verdicts) and `detail` a row holds the whole payload
//! of its record; place and time of the record stand in `documents` under the same `position`.

use super::column::{Cell, Column, Kind, Layout};

/// Columns of `containers`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция документа в журнале", |r| {
        Cell::Int(r.head.position)
    })
    .required()
    .laid_out(Layout::Delta),
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
    Column::new("raw", Kind::Bytes, "Контейнер, как он принят", |r| {
        Cell::Bytes(&r.head.container)
    })
    .required()
    .laid_out(Layout::Bulk),
    Column::new("plain", Kind::Bytes, "Документ TLV, если он вскрыт", |r| {
        r.head.plain.as_deref().map_or(Cell::Null, Cell::Bytes)
    })
    .laid_out(Layout::Bulk),
    Column::new(
        "envelope",
        Kind::Bytes,
        "Обстоятельства приёма: сеансовый заголовок, отправитель, решения",
        |r| Cell::Bytes(&r.head.envelope),
    )
    .laid_out(Layout::Bulk),
    Column::new("detail", Kind::Text, "Пояснение к приёму", |r| (&r.head.detail).into()),
];
