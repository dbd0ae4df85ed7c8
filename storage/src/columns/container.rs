//! Columns of `containers`: what came over the wire, to the byte.
//!
//! `raw` is the container as received. `plain` is the document TLV where it was opened, also where it is a
//! slice of `raw`, so that a reader need not know where in a container a document lies. With `envelope` (the
//! fixed part of the stored payload: session header, peer, verdicts) and `detail` a row holds the whole payload
//! of its record, and the last columns hold what the log knew of it: a record comes back from its row alone
//! ([`super::restore`]). `payload` is filled only where the other columns would not give the same bytes.

use super::column::{Cell, Column, Kind, Layout};

/// Columns of `containers`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция документа в журнале", |r| {
        Cell::Int(r.head.position)
    })
    .required()
    .laid_out(Layout::Delta),
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
    Column::new("received_at", Kind::UtcTime, "Принято, UTC", |r| Cell::Int(r.head.received_at_us)),
    Column::new("partition", Kind::Int32, "Раздел; NULL у записи без раздела", |r| {
        r.head.partition.into()
    }),
    Column::new("partition_seq", Kind::Int64, "Порядковый номер в разделе", |r| {
        Cell::Int(r.head.partition_seq)
    })
    .laid_out(Layout::Delta),
    Column::new("flags", Kind::Int32, "Флаги записи", |r| Cell::Int(r.head.flags)),
    Column::new("key_id", Kind::Int64, "Ключ шифрования; 0 — без шифрования", |r| Cell::Int(r.head.key_id)),
    Column::new("answer_code", Kind::Int32, "Код ответа (1022); 255 — без ответа", |r| {
        Cell::Int(r.head.answer_code)
    }),
    Column::new(
        "payload",
        Kind::Bytes,
        "Содержимое записи, если прочие столбцы его не составляют",
        |r| r.head.payload.as_deref().map_or(Cell::Null, Cell::Bytes),
    )
    .laid_out(Layout::Bulk),
];
