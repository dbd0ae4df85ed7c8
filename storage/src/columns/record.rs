//! Columns of `records`: every record of the log that is no stored document.
//!
//! With `containers` this table makes the archive whole: a record of any kind comes back from one of the two with
//! its number in the log, its partition, its number there and all its bytes ([`super::restore`]). So log order
//! can be restored by a merge of both by `position`, and a segment whose records are in them may leave the disk.
//!
//! `kind` is `quarantine`, `cursor`, `command`, `tick`, `status`, or `kind<N>` of a newer version; `key` is what a reader looks for:
//! drive and number of a quarantined frame (`9960440300000001/17`), the name of a cursor. What is in a payload is
//! not judged here: a quarantined frame may hold anything, and a key that cannot be read is NULL.

use super::column::{Cell, Column, Kind, Layout};
use super::row::drive_text;
use crate::envelope::Envelope;
use crate::position::Position;
use crate::record::{RECORD_FLAG_ENCRYPTED, RecordKind};

/// Columns of `records`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция записи в журнале", |r| {
        Cell::Int(r.head.position)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new("kind", Kind::Text, "Вид записи", |r| Cell::Text(&r.head.kind)).required(),
    Column::new("received_at", Kind::UtcTime, "Записано, UTC", |r| Cell::Int(r.head.received_at_us))
        .required()
        .laid_out(Layout::Delta),
    Column::new("key", Kind::Text, "Ключ: ФН и номер ФД, имя курсора", |r| {
        (&r.head.key).into()
    }),
    Column::new("payload", Kind::Bytes, "Содержимое записи", |r| {
        Cell::Bytes(r.head.payload.as_deref().unwrap_or_default())
    })
    .required()
    .laid_out(Layout::Bulk),
    Column::new("kind_code", Kind::Int32, "Код вида записи", |r| Cell::Int(r.head.kind_code)),
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
];

/// Name of a kind in the table.
pub fn kind_name(kind: RecordKind) -> String {
    match kind {
        RecordKind::Document => "document".to_owned(),
        RecordKind::Quarantine => "quarantine".to_owned(),
        RecordKind::Cursor => "cursor".to_owned(),
        RecordKind::Command => "command".to_owned(),
        RecordKind::Tick => "tick".to_owned(),
        RecordKind::Status => "status".to_owned(),
        RecordKind::Unknown(code) => format!("kind{code}"),
    }
}

/// What a reader looks for a record by; `None` where the payload does not say.
pub fn key_of(kind: RecordKind, flags: u8, payload: &[u8]) -> Option<String> {
    if flags & RECORD_FLAG_ENCRYPTED != 0 {
        return None;
    }
    match kind {
        RecordKind::Quarantine => {
            let envelope = Envelope::decode(payload).ok()?;
            Some(format!("{}/{}", drive_text(&envelope.drive), envelope.number))
        }
        RecordKind::Cursor => {
            let name = payload.get(Position::ENCODED_LEN..)?;
            std::str::from_utf8(name).ok().map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quarantine is where anything may lie: no bytes may stop a compaction.
    #[test]
    fn a_payload_of_any_bytes_has_a_key_or_none() {
        for len in 0..300_usize {
            for fill in [0_u8, 1, 0x20, 0x7F, 0x80, 0xFF] {
                let payload = vec![fill; len];
                for code in 0..=u8::MAX {
                    let _ = key_of(RecordKind::from_code(code), 0, &payload);
                }
            }
        }
        assert_eq!(key_of(RecordKind::Cursor, 0, b"123456789tax"), Some("tax".to_owned()));
        assert_eq!(key_of(RecordKind::Cursor, 0, b"12345678"), None);
        assert_eq!(key_of(RecordKind::Cursor, RECORD_FLAG_ENCRYPTED, b"123456789tax"), None);
        assert_eq!(kind_name(RecordKind::Unknown(77)), "kind77");
    }
}
