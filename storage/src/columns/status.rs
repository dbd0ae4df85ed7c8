//! `statuses`: what the tax service and deliveries answered, one row an event.
//!
//! The events are those of the records of kind 6 ([`crate::status`]), which stand whole in `records`: this table is them taken
//! apart, and a payload that cannot be read has no rows here. `document_position` leads to `documents.position`.

use super::column::{Cell, Column, Kind, Layout};
use super::row::Stored;
use crate::record::{RECORD_FLAG_ENCRYPTED, RecordKind};
use crate::status::{StatusEvent, StatusOf, decode};

/// One answer about one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRow {
    /// Its place among those of the record, from 1.
    pub line: i64,
    /// Who has answered; `tax` or `delivery`.
    pub of: &'static str,
    /// Drive (1041) as text; empty where there is none.
    pub drive: String,
    /// What was answered.
    pub event: StatusEvent,
}

/// Columns of `statuses`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new(
        "position",
        Kind::Int64,
        "Позиция записи со статусом в журнале",
        |r| Cell::Int(r.head.position),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new("line", Kind::Int32, "Номер статуса в записи, с 1", |r| {
        Cell::Int(r.status.line)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new("of", Kind::Text, "Чей ответ: tax — ФНС, delivery — доставка", |r| {
        Cell::Text(r.status.of)
    })
    .required(),
    Column::new(
        "kind",
        Kind::Text,
        "Статус: sent, accepted, warned, quarantined, refused, duplicate, given_up",
        |r| Cell::Text(r.status.event.kind.as_str()),
    )
    .required(),
    Column::new("kind_code", Kind::Int32, "Код статуса", |r| {
        Cell::Int(i64::from(r.status.event.kind.code()))
    })
    .required(),
    Column::new(
        "document_position",
        Kind::Int64,
        "Позиция документа в журнале",
        |r| Cell::Int(i64::try_from(r.status.event.position).unwrap_or(i64::MAX)),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| {
        if r.status.drive.is_empty() { Cell::Null } else { Cell::Text(&r.status.drive) }
    }),
    Column::new("fd", Kind::Int64, "Номер ФД (1040)", |r| Cell::Int(i64::from(r.status.event.number)))
        .required()
        .laid_out(Layout::Delta),
    Column::new("attempt", Kind::Int32, "Какая по счёту попытка, с 1", |r| {
        Cell::Int(i64::from(r.status.event.attempt))
    })
    .required(),
    Column::new("id", Kind::Text, "Номер у принимающей стороны", |r| {
        if r.status.event.id.is_empty() { Cell::Null } else { Cell::Text(&r.status.event.id) }
    }),
    Column::new("code", Kind::Int64, "Код принимающей стороны", |r| {
        r.status.event.code.map(i64::from).into()
    }),
    Column::new("tag", Kind::Int32, "Реквизит, который она называет", |r| {
        r.status.event.tag.map(i64::from).into()
    }),
    Column::new("answered_at", Kind::UtcTime, "Когда записано, UTC", |r| {
        Cell::Int(r.head.received_at_us)
    })
    .required()
    .laid_out(Layout::Delta),
];

/// The rows of a record; none of one that is no status, or cannot be read.
pub fn rows_of(kind: RecordKind, stored: &Stored) -> Vec<StatusRow> {
    if kind != RecordKind::Status || stored.flags & RECORD_FLAG_ENCRYPTED != 0 {
        return Vec::new();
    }
    let Some((of, events)) = decode(&stored.payload) else { return Vec::new() };
    (1..)
        .zip(events)
        .map(|(line, event)| StatusRow {
            line,
            of: StatusOf::as_str(of),
            drive: drive_of(event.drive),
            event,
        })
        .collect()
}

/// A packed drive number as text: a digit a nibble, F behind the last.
fn drive_of(packed: u64) -> String {
    let nibbles = (0..16).map(|at| (packed >> (60 - at * 4)) & 0xF);
    nibbles
        .take_while(|it| *it < 10 && packed != 0)
        .filter_map(|it| char::from_digit(it as u32, 10))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::status::{StatusKind, encode};

    fn stored(payload: Vec<u8>) -> Stored {
        let payload = Bytes::from(payload);
        Stored {
            position: 9,
            partition: u16::MAX,
            partition_seq: 0,
            received_at_us: 5,
            answer_code: 255,
            flags: 0,
            key_id: 0,
            payload,
        }
    }

    // A payload is bytes of the log for ever, and the table is what can be read of it.
    #[test]
    fn a_record_has_a_row_for_each_event_and_any_other_none() {
        let event = StatusEvent {
            kind: StatusKind::Refused,
            position: 3,
            drive: 0x7100_0000_0000_0017,
            number: 4,
            attempt: 1,
            id: "x".to_owned(),
            code: Some(507),
            tag: Some(1020),
        };
        let bytes = encode(StatusOf::Tax, &[event.clone(), StatusEvent::default()]);
        let rows = rows_of(RecordKind::Status, &stored(bytes.clone()));
        assert_eq!(rows.iter().map(|it| (it.line, it.of)).collect::<Vec<_>>(), [(1, "tax"), (2, "tax")]);
        assert!(rows.iter().map(|it| it.drive.as_str()).eq(["7100000000000017", ""]));
        assert_eq!(rows.first().map(|it| &it.event), Some(&event));
        assert!(rows_of(RecordKind::Tick, &stored(bytes.clone())).is_empty());
        assert!(
            rows_of(RecordKind::Status, &Stored { flags: RECORD_FLAG_ENCRYPTED, ..stored(bytes) }).is_empty()
        );
        assert!(rows_of(RecordKind::Status, &stored(vec![9; 40])).is_empty());
        assert_eq!(drive_of(0x1234_FFFF_FFFF_FFFF), "1234");
    }
}
