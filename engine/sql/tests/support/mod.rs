//! What the tests of SQL share: worlds with some documents compacted and some not, and how to ask them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test may panic; not every test uses everything"
)]

mod store;

use std::ops::RangeInclusive;
use std::sync::Arc;

use ofd_codec::{DocumentView, Form, Tag};
use ofd_sql::{Answer, Error, Limits, Scope, Sql};
use ofd_storage::columns::document::inn_of;
use ofd_storage::columns::{Derive, Finding, RegisterRow, ShiftRow};
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::envelope::{Envelope, Realm};
use ofd_storage::store::Stored;
use ofd_storage::store::place::{Place, set_place};
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::union::Snapshot;
use ofd_storage::{Driver, Env, LogOptions, LogReader, Lsn, NewRecord, Position, RecordKind, recover};

use crate::compact_support::{DAY_S, NOON, Receipt, Sent, line, receipt};
use store::MemoryStore;

/// Segments of some sixty documents.
pub(crate) const SMALL: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 4096,
    block_len: 512,
    marker_after_us: 1_000,
    prepare_retry_us: 10_000,
    ..LogOptions::DEFAULT
};

/// Users, of whom the first is the tenant that tests ask for.
pub(crate) const USERS: [&str; 3] = ["7704211201", "5001007322", "7707083893"];
/// Drives, one a user and one that nobody owns.
pub(crate) const DRIVES: [&str; 4] =
    ["9960440300000001", "9960440300000002", "9960440300000003", "9960440300000004"];

/// A machine past the days of the documents: a till cannot be ahead of us.
fn machine() -> Arc<dyn Env> {
    let machine = SimEnv::new(7, SimKnobs::default());
    machine.advance(1, 20_000_000_000_000);
    Arc::new(machine)
}

/// A log with an archive.
pub(crate) struct World {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) log: Driver,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(machine())
    }

    pub(crate) fn on(env: Arc<dyn Env>) -> Self {
        let (log, _) = recover(Arc::clone(&env), SMALL, &mut |_, _| {}).unwrap();
        let log = Driver::new(Arc::clone(&env), log).unwrap();
        Self { env, log }
    }

    pub(crate) fn append(&mut self, documents: &[Sent]) {
        for sent in documents {
            let payload = sent.payload();
            let partition = (sent.number % 5) as u16;
            let record = NewRecord {
                kind: RecordKind::Document,
                flags: 0,
                partition,
                key_id: 0,
                answer_code: 0,
                parts: &[&payload],
            };
            let _ = self.log.append(record).unwrap();
        }
        self.log.commit().unwrap();
    }

    /// Everything that is there goes to Parquet, in runs of about so many bytes.
    pub(crate) fn compact(&mut self, run_bytes: u64) {
        self.log.seal_all().unwrap();
        compact(&self.log.log().reader(), &self.env, &self.options(run_bytes)).unwrap();
    }

    pub(crate) fn options(&self, run_bytes: u64) -> CompactOptions {
        CompactOptions {
            run_bytes_max: Some(run_bytes),
            derive: Some(self.derive()),
            ..CompactOptions::default()
        }
    }

    fn derive(&self) -> Arc<dyn Derive> {
        Arc::new(Rules(self.log.log().reader()))
    }

    /// With so many of the documents in Parquet, in several runs, and the rest in the log.
    pub(crate) fn with(documents: &[Sent], compacted: usize) -> Self {
        Self::new().filled(documents, compacted)
    }

    /// The same, with its archive in an object store.
    pub(crate) fn in_store(documents: &[Sent], compacted: usize) -> Self {
        let store = Stored::new(machine(), Arc::new(MemoryStore::default()));
        set_place(&store, &Place { url: "s3://archive/here".into(), ..Place::default() }).unwrap();
        Self::on(Arc::new(store)).filled(documents, compacted)
    }

    fn filled(mut self, documents: &[Sent], compacted: usize) -> Self {
        let world = &mut self;
        let (first, rest) = documents.split_at(compacted);
        if !first.is_empty() {
            world.append(first);
            world.compact(70_000);
        }
        world.append(rest);
        self
    }

    pub(crate) fn sql(&self, scope: Scope) -> Sql {
        self.sql_with(scope, limits())
    }

    pub(crate) fn sql_with(&self, scope: Scope, limits: Limits) -> Sql {
        let (reader, env, derive) = (self.log.log().reader(), Arc::clone(&self.env), self.derive());
        let take = move || Snapshot::take(&reader, &env, Some(Arc::clone(&derive)));
        Sql::new(take, scope, limits).unwrap()
    }
}

/// Rules of the tests: a finding in every sixth document, a shift for every report of a closing.
struct Rules(LogReader);

impl Derive for Rules {
    fn findings(
        &self,
        view: &DocumentView<'_>,
        envelope: &Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32> {
        let count = u32::from(envelope.number.is_multiple_of(6));
        findings.extend((0..count).map(|_| Finding {
            rule: "C2",
            name: "receipt.total-equals-payments",
            level: "error",
            scope: "document",
            tag: Some(1020),
            actual: inn_of(view),
            expected: Some(envelope.number.to_string()),
            ..Finding::default()
        }));
        Some(count)
    }

    fn shifts(&self, positions: RangeInclusive<u64>) -> Result<Vec<ShiftRow>, ofd_storage::Error> {
        let after = Position::new(Lsn::new(positions.start() - 1));
        let mut records = self.0.records_from(after, Lsn::new(*positions.end()));
        let mut rows = Vec::new();
        while let Some((record, _)) = records.next()? {
            let Ok(envelope) = Envelope::of(&record) else { continue };
            let Ok(view) = DocumentView::new_checked(envelope.plain) else { continue };
            if view.form() == Form::CLOSE_SHIFT {
                rows.push(ShiftRow {
                    position: record.lsn().get(),
                    received_at_us: record.received_at_us(),
                    realm: "prod",
                    inn: inn_of(&view),
                    drive: String::from_utf8_lossy(envelope.drive.trim_ascii_end()).into_owned(),
                    shift: envelope.number / 19,
                    closed_at: Some(i64::from(NOON + envelope.number % 5 * DAY_S)),
                    close_fd: envelope.number,
                    receipts: 18,
                    revenue: i64::from(envelope.number) * 100,
                    state: "agrees",
                    ..ShiftRow::default()
                });
            }
        }
        Ok(rows)
    }

    fn registers(
        &self,
        _positions: RangeInclusive<u64>,
    ) -> Result<Option<Vec<RegisterRow>>, ofd_storage::Error> {
        Ok(Some(Vec::new()))
    }
}

/// Two threads: what is computed side by side is, on any machine.
pub(crate) fn limits() -> Limits {
    Limits { threads: 2, ..Limits::default() }
}

pub(crate) fn tenant() -> Scope {
    Scope::users([USERS[0].to_owned()])
}

/// The rows of an answer as JSON.
pub(crate) fn lines(mut answer: Answer) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    while let Some(rows) = answer.next_rows()? {
        rows.each_json(&mut |line| lines.push(line.to_owned()))?;
    }
    Ok(lines)
}

pub(crate) fn ask(sql: &Sql, question: &str) -> Result<Vec<String>, Error> {
    sql.query(question).and_then(lines)
}

#[track_caller]
pub(crate) fn told(sql: &Sql, question: &str) -> Vec<String> {
    ask(sql, question).unwrap_or_else(|error| panic!("{:?}: {error}\n{question}", error.kind()))
}

/// As [`told`], in the order of the text.
#[track_caller]
pub(crate) fn sorted(sql: &Sql, question: &str) -> Vec<String> {
    let mut lines = told(sql, question);
    lines.sort();
    lines
}

/// A document of a user: `who` 3 has none. What stands in it follows from who and number alone.
pub(crate) fn document(who: usize, number: u32) -> Sent {
    let goods = ["Чай", "Хлеб", "Сыр", "Гвозди", "Кефир 3,2%"];
    let lines = (0..=number % 3)
        .map(|at| line(goods[((number + at) % 5) as usize], u64::from(number * 100 + at * 7 + 50)))
        .collect();
    let inn = USERS.get(who).copied().unwrap_or("");
    let mut it = receipt(inn, DRIVES[who], number, lines);
    it.at = NOON + (number % 5) * DAY_S + number % 1000;
    it.direction = [1, 1, 1, 2, 3][(number % 5) as usize];
    if number.is_multiple_of(17) {
        it.form = Form::RECEIPT_CORRECTION;
    }
    if number.is_multiple_of(19) {
        it.form = Form::CLOSE_SHIFT;
    }
    let plain = with_owner(&it, who, number);
    let mut sent = Sent::with(&it, plain);
    if number.is_multiple_of(23) {
        sent.realm = Realm::Test;
    }
    if number.is_multiple_of(29) {
        sent.variant = 1;
    }
    sent
}

/// The name of the tenant is a number, that of others is not: a cast of it fails on others alone. Some lack it.
fn with_owner(it: &Receipt, who: usize, number: u32) -> Vec<u8> {
    let name = if who == 0 { (number % 4).to_string() } else { format!("ООО Ромашка {who}") };
    let mut plain = it.plain_with(|w| {
        if !number.is_multiple_of(7) {
            w.text(Tag(1048), &name).unwrap();
        }
        w.text(Tag(1009), &format!("Москва, дом {}", number % 3)).unwrap();
        w.text(Tag(1021), ["Иванова", "Петров"][(number % 2) as usize]).unwrap();
    });
    if who >= USERS.len() {
        plain = without_inn(&plain);
    }
    plain
}

/// The document without its user.
fn without_inn(plain: &[u8]) -> Vec<u8> {
    let mut out = plain[..2].to_vec();
    let mut body = Vec::new();
    let mut rest = &plain[4..];
    while let [a, b, c, d, ..] = *rest {
        let len = 4 + usize::from(u16::from_le_bytes([c, d]));
        if u16::from_le_bytes([a, b]) != 1018 {
            body.extend_from_slice(&rest[..len]);
        }
        rest = &rest[len..];
    }
    out.extend_from_slice(&(body.len() as u16).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

/// Numbers of the tenant; those of others begin at 1000.
pub(crate) fn numbers(who: usize, count: u32) -> std::ops::Range<u32> {
    let first = if who == 0 { 1 } else { 1000 };
    first..first + count
}

/// So many documents of everybody, as they would come: one after the other.
pub(crate) fn everybody(count: u32) -> Vec<Sent> {
    (0..count)
        .flat_map(|at| (0..DRIVES.len()).map(move |who| document(who, numbers(who, count).start + at)))
        .collect()
}

/// Those of the tenant alone.
pub(crate) fn alone(count: u32) -> Vec<Sent> {
    numbers(0, count).map(|number| document(0, number)).collect()
}
