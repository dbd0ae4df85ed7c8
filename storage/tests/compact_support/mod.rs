//! What the tests of columns and compaction share: documents made with the codec, a log in memory, a reader of the
//! written files.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test may panic; not every test uses everything"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use ofd_codec::{DriveNumber, Form, LocalSeconds, Message, Quantity, Tag, TlvWriter};
use ofd_storage::columns::{Day, Stored, Table};
use ofd_storage::compact::{CompactOptions, SegmentSource, SourceRecord};
use ofd_storage::env::read_file;
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Provenance, Realm};
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{Env, Error, Lsn, NO_PARTITION, RealEnv, RecordKind, SealedSegment, SegmentId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// 2024-05-15 12:00:00 as seconds of a local clock.
pub(crate) const NOON: u32 = 1_715_774_400;
/// The same instant taken as UTC, microseconds.
pub(crate) const NOON_US: i64 = 1_715_774_400_000_000;
pub(crate) const DAY_S: u32 = 86_400;

/// An item to be punched. Money in kopecks.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) price: u64,
    pub(crate) quantity: Quantity,
    pub(crate) sum: u64,
    pub(crate) vat: Option<u8>,
}

pub(crate) fn line(name: &'static str, sum: u64) -> Line {
    Line { name, price: sum, quantity: Quantity { mantissa: 1, scale: 0 }, sum, vat: Some(6) }
}

/// A receipt to be made.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) form: Form,
    pub(crate) inn: &'static str,
    pub(crate) drive: &'static str,
    pub(crate) number: u32,
    pub(crate) at: u32,
    pub(crate) direction: u8,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: u64,
}

pub(crate) fn receipt(inn: &'static str, drive: &'static str, number: u32, lines: Vec<Line>) -> Receipt {
    let total = lines.iter().map(|line| line.sum).sum();
    Receipt { form: Form::RECEIPT, inn, drive, number, at: NOON, direction: 1, lines, total }
}

impl Receipt {
    /// The document TLV; `more` adds tags of its own at the end.
    pub(crate) fn plain_with(&self, more: impl Fn(&mut TlvWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        TlvWriter::new(&mut out)
            .document(self.form, |w| {
                w.padded_text(Tag(1041), self.drive, 16)?;
                w.padded_text(Tag(1037), "0000000001012345", 20)?;
                w.padded_text(Tag(1018), self.inn, 12)?;
                w.u32(Tag(1040), self.number);
                w.unixtime(Tag(1012), LocalSeconds(self.at));
                w.bytes(Tag(1077), &[0x31, 4, 0xF7, 0x27, 0x4C, 0xF8])?;
                w.u32(Tag(1038), 7);
                w.u32(Tag(1042), 3);
                w.u8(Tag(1054), self.direction);
                w.vln(Tag(1020), self.total);
                w.vln(Tag(1031), self.total);
                for line in &self.lines {
                    w.nested(Tag(1059), |w| {
                        w.text(Tag(1030), line.name)?;
                        w.vln(Tag(1079), line.price);
                        w.fvln(Tag(1023), line.quantity)?;
                        w.vln(Tag(1043), line.sum);
                        if let Some(vat) = line.vat {
                            w.u8(Tag(1199), vat);
                        }
                        Ok(())
                    })?;
                }
                more(w);
                Ok(())
            })
            .unwrap();
        out
    }

    pub(crate) fn plain(&self) -> Vec<u8> {
        self.plain_with(|_| {})
    }
}

/// What a record of the log will say of a document.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) drive: &'static str,
    pub(crate) number: u32,
    pub(crate) form: Form,
    pub(crate) plain: Vec<u8>,
    pub(crate) opened: bool,
    pub(crate) variant: u8,
    pub(crate) realm: Realm,
    pub(crate) provenance: Provenance,
    pub(crate) received_us: i64,
    pub(crate) answered_us: i64,
    pub(crate) p_version: [u8; 2],
}

impl Sent {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        Self::with(receipt, receipt.plain())
    }

    pub(crate) fn with(receipt: &Receipt, plain: Vec<u8>) -> Self {
        Self {
            drive: receipt.drive,
            number: receipt.number,
            form: receipt.form,
            plain,
            opened: true,
            variant: 0,
            realm: Realm::Prod,
            provenance: Provenance::Live,
            received_us: i64::from(receipt.at) * 1_000_000 - 3 * 3_600_000_000 + 1_234_567,
            answered_us: 0,
            p_version: [1, 5],
        }
    }

    /// Session header and container.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let drive = DriveNumber::parse(self.drive).unwrap();
        Message::from_register(self.p_version, drive, self.number, self.form, &self.plain)
            .encode_into(&mut message)
            .unwrap();
        message
    }

    /// The payload of the record.
    pub(crate) fn payload(&self) -> Bytes {
        let message = self.message();
        let (session, container) = message.split_first_chunk::<30>().unwrap();
        let plain = &container[32..container.len() - 10];
        let envelope = Envelope {
            provenance: self.provenance,
            realm: self.realm,
            crypto: CryptoVerdict::Unverified,
            admission: AdmissionVerdict::Accepted,
            reason: 0,
            rule_set: 1,
            drive: *DriveNumber::parse(self.drive).unwrap().as_bytes(),
            number: self.number,
            form: self.form.0,
            variant: self.variant,
            peer_address: [0; 16],
            peer_port: 0,
            operator_time: 0,
            answered_at_us: self.answered_us,
            session: *session,
            container,
            plain: if self.opened { plain } else { &[] },
            detail: &[],
        };
        envelope.parts(&envelope.head().unwrap()).concat().into()
    }

    pub(crate) fn stored(&self, position: u64) -> Stored {
        Stored {
            position,
            partition: 0,
            partition_seq: position,
            received_at_us: self.received_us,
            answer_code: 0,
            flags: 0,
            key_id: 0,
            payload: self.payload(),
        }
    }
}

/// A record that is no document, of whatever kind and contents.
pub(crate) fn other(position: u64, kind: RecordKind, payload: &[u8]) -> SourceRecord {
    let stored = Stored {
        position,
        partition: NO_PARTITION,
        partition_seq: 0,
        received_at_us: NOON_US + position as i64,
        answer_code: 255,
        flags: 3,
        key_id: 0,
        payload: Bytes::copy_from_slice(payload),
    };
    SourceRecord::Other(kind, stored)
}

/// A log in memory: segments of records.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) segments: Vec<Vec<SourceRecord>>,
}

impl MemoryLog {
    /// Documents, so many a segment, positions from 1.
    pub(crate) fn of(documents: &[Sent], per_segment: usize) -> Self {
        let mut position = 0;
        let segments = documents
            .chunks(per_segment)
            .map(|chunk| {
                let records = chunk.iter().map(|sent| {
                    position += 1;
                    SourceRecord::Document(sent.stored(position))
                });
                records.collect()
            })
            .collect();
        Self { segments }
    }
}

impl SegmentSource for MemoryLog {
    fn sealed(&self) -> Result<Vec<SealedSegment>, Error> {
        let segment = |(at, records): (usize, &Vec<SourceRecord>)| SealedSegment {
            id: SegmentId::new(at as u32),
            base: Lsn::new(records.first().unwrap().position()),
            last: Lsn::new(records.last().unwrap().position()),
            used: 1000,
            chain: [0; 32],
            footer: true,
        };
        Ok(self.segments.iter().enumerate().map(segment).collect())
    }

    fn records(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(SourceRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.segments[segment.get() as usize].iter().cloned().try_for_each(each)
    }
}

/// A directory that goes away with the test.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) env: Arc<dyn Env>,
}

pub(crate) fn place() -> Place {
    // In memory where the machine has such a place: these tests are not about the device.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    Place { dir, env }
}

/// Runs of one segment each.
pub(crate) fn small_runs() -> CompactOptions {
    CompactOptions { run_bytes_max: Some(1), ..CompactOptions::default() }
}

/// Every file below a directory with its bytes, by path relative to it.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, out);
            } else {
                out.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    if dir.exists() {
        walk(dir, dir, &mut out);
    }
    out
}

/// Parquet files of a table as a reader by pattern finds them: date, path.
pub(crate) fn glob(dir: &Path, table: &str) -> Vec<(String, PathBuf)> {
    let files = tree(&dir.join("parquet").join(table));
    files
        .into_keys()
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .map(|path| {
            let date =
                path.iter().next().unwrap().to_str().unwrap().strip_prefix("date=").unwrap().to_owned();
            (date, dir.join("parquet").join(table).join(path))
        })
        .collect()
}

/// All rows of a file.
pub(crate) fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// A column of a file, each value as text; NULL as `None`.
pub(crate) fn values(path: &Path, name: &str) -> Vec<Option<String>> {
    let batches = batches(path);
    let column =
        |batch: &RecordBatch| texts(batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")));
    batches.iter().flat_map(column).collect()
}

/// All columns of a file by name, each value as text; NULL as `None`.
pub(crate) fn all_values(path: &Path) -> BTreeMap<String, Vec<Option<String>>> {
    let mut out: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for batch in batches(path) {
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            out.entry(field.name().clone()).or_default().extend(texts(array));
        }
    }
    out
}

fn texts(array: &arrow_array::ArrayRef) -> Vec<Option<String>> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{
        Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    };
    use arrow_schema::{DataType, TimeUnit};
    fn all<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<String>> {
        values.map(|value| value.map(|value| value.to_string())).collect()
    }
    match array.data_type() {
        DataType::Int32 => all(array.as_primitive::<Int32Type>().iter()),
        DataType::Int64 => all(array.as_primitive::<Int64Type>().iter()),
        DataType::Boolean => all(array.as_boolean().iter()),
        DataType::Utf8 => all(array.as_string::<i32>().iter()),
        DataType::Decimal128(18, _) => all(array.as_primitive::<Decimal128Type>().iter()),
        DataType::Date32 => all(array.as_primitive::<Date32Type>().iter()),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            all(array.as_primitive::<TimestampMillisecondType>().iter())
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            all(array.as_primitive::<TimestampMicrosecondType>().iter())
        }
        DataType::Binary => array
            .as_binary::<i32>()
            .iter()
            .map(|value| value.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
            .collect(),
        other => panic!("{other}"),
    }
}

/// A column of all files of a table.
pub(crate) fn table_values(dir: &Path, table: &str, name: &str) -> Vec<Option<String>> {
    glob(dir, table).iter().flat_map(|(_, path)| values(path, name)).collect()
}

/// The only value of a column in the only row of a table.
pub(crate) fn only(dir: &Path, table: &str, name: &str) -> Option<String> {
    let values = table_values(dir, table, name);
    assert_eq!(values.len(), 1, "{table}.{name}");
    values.into_iter().next().unwrap()
}

impl ofd_storage::verify::LogSource for MemoryLog {
    fn first(&self) -> Lsn {
        Lsn::new(self.segments.first().and_then(|records| records.first()).map_or(1, SourceRecord::position))
    }

    fn walk(
        &self,
        each: &mut dyn FnMut(ofd_storage::verify::LogItem<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        use ofd_storage::verify::{LogItem, LogRecord};
        for record in self.segments.iter().flatten() {
            let (kind, stored) = match record {
                SourceRecord::Document(stored) => (RecordKind::Document, stored),
                SourceRecord::Other(kind, stored) => (*kind, stored),
            };
            each(LogItem::Record(LogRecord {
                position: stored.position,
                partition: stored.partition,
                partition_seq: stored.partition_seq,
                received_at_us: stored.received_at_us,
                kind,
                flags: stored.flags,
                key_id: stored.key_id,
                answer_code: stored.answer_code,
                payload: &stored.payload,
            }))?;
        }
        Ok(())
    }
}

/// Seconds of the clock of a till at noon of a day.
pub(crate) fn noon(text: &str) -> u32 {
    let day: Day = text.parse().unwrap();
    day.0 as u32 * DAY_S + DAY_S / 2
}

/// A simulated machine whose power cuts tear sectors and lose any of the names that are not durable.
pub(crate) fn sim(seed: u64) -> (SimEnv, Arc<dyn Env>) {
    let knobs = SimKnobs { torn_sectors: true, names_in_any_order: true, ..SimKnobs::default() };
    let sim = SimEnv::new(seed, knobs);
    (sim.clone(), Arc::new(sim))
}

/// Every Parquet file of the tree, as a reader by pattern finds them.
pub(crate) fn files(env: &dyn Env) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for table in Table::ALL {
        let root = Path::new("parquet").join(table.name());
        for folder in env.list(&root).unwrap_or_default() {
            for file in env.list(&root.join(&folder.name)).unwrap() {
                let path = root.join(&folder.name).join(&file.name);
                if file.name.ends_with(".parquet") {
                    out.insert(path.clone(), read_file(env, &path, 1 << 20).unwrap());
                }
            }
        }
    }
    out
}

/// Documents of two days in one segment, one without items in the next.
pub(crate) fn log_of_three() -> MemoryLog {
    let documents: Vec<Sent> = (0..3)
        .map(|at| {
            let lines = if at < 2 { vec![line("Чай", 100)] } else { vec![] };
            let mut receipt = receipt("7704211201", "9960440300000001", at + 1, lines);
            receipt.at = NOON + at % 2 * DAY_S;
            Sent { received_us: NOON_US + i64::from(at) * 1_000_000, ..Sent::of(&receipt) }
        })
        .collect();
    MemoryLog::of(&documents, 2)
}
