//! Records back out of the archive, as they lay in the log: from `containers` the documents, from `records` the rest.
//!
//! A row of either table holds what the log knew of its record. A document's payload is put together from the parts of
//! its envelope; where that would not give the same bytes, the row holds the payload itself. Archives of an earlier
//! version lack some columns: then [`Restored::whole`] is false, and such a record restores no log.

use std::path::Path;

use arrow_array::{
    Array, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::Bytes;

use super::Table;
use super::read::{column, damaged, each_batch};
use super::row::Stored;
use crate::env::Env;
use crate::envelope::FLAG_PLAIN_IN_CONTAINER;
use crate::error::Error;
use crate::record::{NO_PARTITION, OwnedRecord, RecordKind};

/// A record of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it is.
    pub kind: RecordKind,
    /// Its facts and its payload.
    pub stored: Stored,
    /// Whether the row tells everything: partition, sequence, flags, key, time, answer.
    pub whole: bool,
}

impl Restored {
    /// The record as readers of the log get it; its segment is none.
    pub fn record(&self) -> OwnedRecord {
        OwnedRecord::rebuilt(self.kind, &self.stored)
    }
}

/// Columns of `containers` that make up a record.
pub(crate) const CONTAINER_COLUMNS: &[&str] = &[
    "position",
    "raw",
    "plain",
    "envelope",
    "detail",
    "received_at",
    "partition",
    "partition_seq",
    "flags",
    "key_id",
    "answer_code",
    "payload",
];
/// Columns of `records` that make up a record.
pub(crate) const RECORD_COLUMNS: &[&str] = &[
    "position",
    "received_at",
    "payload",
    "kind_code",
    "partition",
    "partition_seq",
    "flags",
    "key_id",
    "answer_code",
];

/// Hands every record of a file of `containers` or `records` to `each`, in the order of the file; the number of rows.
///
/// # Errors
/// `Corrupt` when the file does not hold what it should; of the system; the first error of `each`.
pub fn each_restored(
    env: &dyn Env,
    path: &Path,
    table: Table,
    mut each: impl FnMut(Restored) -> Result<(), Error>,
) -> Result<u64, Error> {
    let columns = if table == Table::Records { RECORD_COLUMNS } else { CONTAINER_COLUMNS };
    each_batch(env, path, columns, |batch| {
        let rows = Rows::of(batch, path, table)?;
        for at in 0..batch.num_rows() {
            each(rows.at(at))?;
        }
        Ok(())
    })
}

/// The columns of a batch.
pub(crate) struct Rows<'b> {
    position: &'b Int64Array,
    payload: Option<&'b BinaryArray>,
    /// `raw`, `plain`, `envelope`, `detail` of `containers`.
    parts: Option<(&'b BinaryArray, &'b BinaryArray, &'b BinaryArray, &'b StringArray)>,
    kind: Option<&'b Int32Array>,
    received_at: Option<&'b TimestampMicrosecondArray>,
    partition: Option<&'b Int32Array>,
    partition_seq: Option<&'b Int64Array>,
    flags: Option<&'b Int32Array>,
    key_id: Option<&'b Int64Array>,
    answer_code: Option<&'b Int32Array>,
}

impl<'b> Rows<'b> {
    pub(crate) fn of(batch: &'b RecordBatch, path: &Path, table: Table) -> Result<Self, Error> {
        let of_documents = table != Table::Records;
        let payload = optional::<BinaryArray>(batch, "payload");
        if !of_documents && payload.is_none() {
            return Err(damaged(path, "no column payload"));
        }
        Ok(Self {
            position: column(batch, path, "position")?,
            payload,
            parts: match of_documents {
                true => Some((
                    column(batch, path, "raw")?,
                    column(batch, path, "plain")?,
                    column(batch, path, "envelope")?,
                    column(batch, path, "detail")?,
                )),
                false => None,
            },
            kind: if of_documents { None } else { Some(column(batch, path, "kind_code")?) },
            received_at: optional(batch, "received_at"),
            partition: optional(batch, "partition"),
            partition_seq: optional(batch, "partition_seq"),
            flags: optional(batch, "flags"),
            key_id: optional(batch, "key_id"),
            answer_code: optional(batch, "answer_code"),
        })
    }

    /// The record in a row that there is.
    pub(crate) fn at(&self, at: usize) -> Restored {
        let whole = [
            self.received_at.map(|it| it.is_valid(at)),
            self.partition_seq.map(|it| it.is_valid(at)),
            self.flags.map(|it| it.is_valid(at)),
            self.key_id.map(|it| it.is_valid(at)),
            self.answer_code.map(|it| it.is_valid(at)),
            // NULL in the column itself means: of no partition.
            self.partition.map(|_| true),
        ];
        let small = |array: Option<&Int32Array>| array.map_or(0, |it| it.value(at));
        let large = |array: Option<&Int64Array>| {
            array.and_then(|it| u64::try_from(it.value(at)).ok()).unwrap_or_default()
        };
        let partition = self.partition.filter(|it| it.is_valid(at)).map(|it| it.value(at));
        Restored {
            kind: match self.kind {
                None => RecordKind::Document,
                Some(kind) => RecordKind::from_code(u8::try_from(kind.value(at)).unwrap_or_default()),
            },
            stored: Stored {
                position: u64::try_from(self.position.value(at)).unwrap_or_default(),
                partition: partition.and_then(|it| u16::try_from(it).ok()).unwrap_or(NO_PARTITION),
                partition_seq: large(self.partition_seq),
                received_at_us: self.received_at.map_or(0, |it| it.value(at)),
                answer_code: u8::try_from(small(self.answer_code)).unwrap_or_default(),
                flags: u8::try_from(small(self.flags)).unwrap_or_default(),
                key_id: u32::try_from(large(self.key_id)).unwrap_or_default(),
                payload: self.payload_at(at),
            },
            whole: whole.into_iter().all(|there| there == Some(true)),
        }
    }

    fn payload_at(&self, at: usize) -> Bytes {
        if let Some(payload) = self.payload.filter(|it| it.is_valid(at)) {
            return Bytes::copy_from_slice(payload.value(at));
        }
        let Some((raw, plain, envelope, detail)) = self.parts else { return Bytes::new() };
        let plain = if plain.is_null(at) { &[][..] } else { plain.value(at) };
        let detail = if detail.is_null(at) { "" } else { detail.value(at) };
        Bytes::from(payload_parts(envelope.value(at), raw.value(at), plain, detail.as_bytes()).concat())
    }
}

/// The parts of a document's payload, in order: a plain document that is a slice of its container is stored once.
fn payload_parts<'a>(head: &'a [u8], raw: &'a [u8], plain: &'a [u8], detail: &'a [u8]) -> [&'a [u8]; 4] {
    /// Where the flags lie in the fixed part of an envelope.
    const FLAGS_AT: usize = 5;
    let inside = head.get(FLAGS_AT).is_some_and(|flags| flags & FLAG_PLAIN_IN_CONTAINER != 0);
    [head, raw, if inside { &[] } else { plain }, detail]
}

/// Whether the parts make up the payload.
pub(crate) fn makes_up(payload: &[u8], head: &[u8], raw: &[u8], plain: &[u8], detail: &[u8]) -> bool {
    let parts = payload_parts(head, raw, plain, detail);
    parts.into_iter().try_fold(payload, |rest, part| rest.strip_prefix(part)).is_some_and(<[u8]>::is_empty)
}

/// A column that archives of earlier versions do not have.
fn optional<'b, A: 'static>(batch: &'b RecordBatch, name: &str) -> Option<&'b A> {
    batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<A>())
}
