//! Reads everything back: the log, then the archive against the log.
//!
//! - Checksums: of every record (the reader refuses a wrong one), of every Parquet file named in the manifest; the hash
//!   chain of every sealed segment, on all cores.
//! - Order: positions from 1, or from what is compacted and was dropped from the log, without a gap, `received_at` never decreasing, the sequence of each partition without a gap.
//! - Log against Parquet, run by run of the manifest: every compacted document is in `containers` with the same
//!   bytes and in `documents` once, every other record in `records` with the same bytes, and both come back with
//!   what the log knew of them; nothing is there that the log does not have; rows and sums of `items` and
//!   `documents` are those of the documents in the log.
//!
//! Takes no lock and changes nothing. Sees what was durable when it began. Memory: some 60 bytes a document of
//! one run.

mod archive;
mod source;

use std::sync::Arc;

use serde::Serialize;

pub use source::{LogItem, LogRecord, LogSource};

use crate::env::Env;
use crate::error::Error;
use crate::manifest::Archive;
use crate::position::Lsn;
use crate::reader::LogReader;
use crate::record::{NO_PARTITION, PARTITIONS, RecordKind};
use archive::RunCheck;

/// Problems kept in words; the numbers count all of them.
const PROBLEMS_MAX: usize = 100;

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Stored documents, all variants.
    pub documents: u64,
    /// Records and files that are there and wrong.
    pub damaged: u64,
    /// Documents and records that should be there and are not.
    pub missing: u64,
    /// Stored documents that are in the table `documents`.
    pub parquet_rows: u64,
    /// Nothing is wrong.
    pub ok: bool,
    /// The first hundred problems in words: place, what was expected. Empty when nothing is wrong.
    pub problems: Vec<String>,
}

impl VerifyReport {
    fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        }
    }

    /// Something is there and wrong.
    fn damage(&mut self, count: u64, what: impl Into<String>) {
        self.damaged = self.damaged.saturating_add(count);
        self.problem(what);
    }

    /// Something is not there.
    fn lack(&mut self, count: u64, what: impl Into<String>) {
        self.missing = self.missing.saturating_add(count);
        self.problem(what);
    }
}

/// Reads the log and the archive back and compares them.
///
/// # Errors
/// When the manifest or the log as a whole cannot be read; `Retry` when an object store with the archive does not answer. Damage of single records and files is no error but a
/// number in the report.
pub fn verify(reader: &LogReader, env: &Arc<dyn Env>) -> Result<VerifyReport, Error> {
    let mut report = verify_source(reader, env)?;
    // The walk has checked every record, the chain tells whether they are the ones that were sealed.
    for what in reader.check_sealed(true, 0)?.seals {
        report.damage(1, what);
    }
    report.ok = report.problems.is_empty();
    Ok(report)
}

/// How often it begins again because the owner has replaced files under its eyes.
const MANIFESTS_MAX: usize = 3;

/// [`verify`] over any source of records. An owner who merges or thins the archive out meanwhile takes files away: what was found
/// by a manifest that is not that of now is looked at again.
///
/// # Errors
/// As [`verify`].
pub fn verify_source(source: &dyn LogSource, env: &Arc<dyn Env>) -> Result<VerifyReport, Error> {
    let mut archive = Archive::open(env)?;
    if let Some(store) = env.store() {
        archive.reach(store)?;
    }
    for _ in 0..MANIFESTS_MAX {
        let report = verify_by(&archive, source, env)?;
        let now = Archive::open(env)?;
        // More runs are no reason: those before them are what they were.
        if report.ok || now.runs().starts_with(archive.runs()) {
            return Ok(report);
        }
        archive = now;
    }
    verify_by(&archive, source, env)
}

/// The manifest first: what it names is in the log that is read after it.
fn verify_by(archive: &Archive, source: &dyn LogSource, env: &Arc<dyn Env>) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport::default();
    let first = source.first();
    // What is compacted may have been dropped from the log, nothing else.
    let mut order = Order::from(first.min(archive.compacted_through().lsn().next()));
    let mut runs = archive.runs().iter();
    let mut current = None;
    // Runs whose part of the log has been dropped stand by themselves.
    while let Some(run) = runs.as_slice().first().filter(|run| run.last < first.get()) {
        report.documents = report.documents.saturating_add(run.documents);
        RunCheck::new(run, archive.replacing(run), false).finish(&**env, &mut report)?;
        runs.next();
    }
    source.walk(&mut |item| {
        let position = item.position();
        while current.as_ref().is_none_or(|check: &RunCheck<'_>| position > check.last()) {
            if let Some(check) = current.take() {
                check.finish(&**env, &mut report)?;
            }
            match runs.next() {
                Some(run) => current = Some(RunCheck::new(run, archive.replacing(run), true)),
                None => break,
            }
        }
        order.take(&item, &mut report);
        match item {
            LogItem::Record(record) => {
                if record.kind == RecordKind::Document {
                    report.documents = report.documents.saturating_add(1);
                }
                if let Some(check) = &mut current {
                    check.expect(&record, &mut report);
                }
            }
            LogItem::Damage { first, last, what } => {
                report.damage(last.saturating_add(1).saturating_sub(first).max(1), what);
                if let Some(check) = &mut current {
                    check.excuse(first, last);
                }
            }
        }
        Ok(())
    })?;
    for check in current.into_iter().chain(runs.map(|run| RunCheck::new(run, archive.replacing(run), true))) {
        check.finish(&**env, &mut report)?;
    }
    if archive.compacted_through().as_u64() > order.last() {
        let (through, last) = (archive.compacted_through(), order.last());
        let lost = through.as_u64().saturating_sub(last);
        report.lack(lost, format!("the archive reaches to {through}, the log ends at {last}"));
    }
    report.ok = report.problems.is_empty();
    Ok(report)
}

/// The order of the log.
struct Order {
    next: u64,
    received_at_us: i64,
    /// Next sequence number of each partition, once one was seen or the log begins with its first record.
    partitions: Vec<Option<u64>>,
}

impl Order {
    fn from(first: Lsn) -> Self {
        let known = (first.get() <= 1).then_some(1);
        Self { next: first.get(), received_at_us: i64::MIN, partitions: vec![known; usize::from(PARTITIONS)] }
    }

    fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    fn take(&mut self, item: &LogItem<'_>, report: &mut VerifyReport) {
        let (first, last) = match item {
            LogItem::Record(record) => (record.position, record.position),
            LogItem::Damage { first, last, .. } => (*first, *last),
        };
        if first > self.next {
            let (from, to) = (self.next, first.saturating_sub(1));
            report
                .lack(first.saturating_sub(self.next), format!("positions {from}..={to} are not in the log"));
            self.forget_partitions();
        } else if first < self.next {
            report.damage(1, format!("position {first} comes after position {}", self.last()));
        }
        self.next = self.next.max(last.saturating_add(1));
        match item {
            LogItem::Record(record) => self.take_record(record, report),
            LogItem::Damage { .. } if last >= first => self.forget_partitions(),
            LogItem::Damage { .. } => {}
        }
    }

    fn take_record(&mut self, record: &LogRecord<'_>, report: &mut VerifyReport) {
        let position = record.position;
        if record.received_at_us < self.received_at_us {
            report.damage(1, format!("position {position}: received_at goes back"));
        }
        self.received_at_us = self.received_at_us.max(record.received_at_us);
        if record.partition == NO_PARTITION {
            return;
        }
        let seq = record.partition_seq;
        match self.partitions.get_mut(usize::from(record.partition)) {
            None => {
                let partition = record.partition;
                report.damage(1, format!("position {position}: there is no partition {partition}"));
            }
            Some(next) => {
                if let Some(expected) = next.filter(|expected| *expected != seq) {
                    let partition = record.partition;
                    report.damage(
                        1,
                        format!("position {position}: {seq} in partition {partition}, expected {expected}"),
                    );
                }
                *next = Some(seq.saturating_add(1));
            }
        }
    }

    /// Lost records belonged to partitions that nobody knows.
    fn forget_partitions(&mut self) {
        self.partitions.fill(None);
    }
}
