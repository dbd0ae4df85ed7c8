//! One run of the archive against its part of the log.

use std::path::Path;

use arrow_array::{Decimal128Array, Int32Array, Int64Array};
use bytes::Bytes;
use hashbrown::HashMap;

use super::{LogRecord, VerifyReport};
use crate::columns::read::{column, each_batch};
use crate::columns::restore::each_restored;
use crate::columns::row::view;
use crate::columns::sums::Sums;
use crate::columns::{Stored, Table};
use crate::env::Env;
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Run};
use crate::record::RecordKind;
use crate::retain::segments::as_published;

/// A digest of a record: what the log knew of it, and its payload.
type Digest = [u8; 16];

/// What the log says of a record of the run, and where it was met in the archive.
struct Expected {
    /// Of the payload and everything else.
    whole: Digest,
    /// Of the payload alone: archives of version 1 hold no more.
    payload: Digest,
    is_document: bool,
    /// In `containers`, or in `records` if it is no document.
    is_kept: bool,
    in_documents: bool,
}

/// Collects the log's side of a run, then reads the archive's.
pub(super) struct RunCheck<'r> {
    run: &'r Run,
    /// The run that was taking its place when a process ended: each file is that of the one or of the other.
    replacing: Option<&'r Run>,
    /// Whether the log still holds this run.
    in_log: bool,
    records: HashMap<u64, Expected>,
    /// Positions that the log cannot give back: what the archive has of them cannot be compared.
    excused: Vec<(u64, u64)>,
    sums: Sums,
}

impl<'r> RunCheck<'r> {
    pub(super) fn new(run: &'r Run, replacing: Option<&'r Run>, in_log: bool) -> Self {
        Self { run, replacing, in_log, records: HashMap::new(), excused: Vec::new(), sums: Sums::default() }
    }

    /// Last position of the run.
    pub(super) fn last(&self) -> u64 {
        self.run.last
    }

    /// A record that must be in the archive.
    pub(super) fn expect(&mut self, record: &LogRecord<'_>, report: &mut VerifyReport) {
        let is_document = record.kind == RecordKind::Document;
        // Runs of version 1 left everything else to the log.
        if record.position < self.run.first || (!is_document && self.run.records.is_none()) {
            return;
        }
        if is_document {
            match Envelope::decode_flagged(record.flags, record.payload) {
                Ok(envelope) => {
                    if let Some(view) = view(&envelope) {
                        self.sums.add(&Sums::of(&view));
                    }
                }
                Err(error) => {
                    report.damage(1, format!("position {}: {error}", record.position));
                    return;
                }
            }
        }
        let stored = Stored {
            position: record.position,
            partition: record.partition,
            partition_seq: record.partition_seq,
            received_at_us: record.received_at_us,
            answer_code: record.answer_code,
            flags: record.flags,
            key_id: record.key_id,
            payload: Bytes::new(),
        };
        let expected = Expected {
            whole: digest(record.kind, Some(&stored), record.payload),
            payload: digest(record.kind, None, record.payload),
            is_document,
            is_kept: false,
            in_documents: false,
        };
        self.records.insert(record.position, expected);
    }

    /// Positions that the log cannot give back.
    pub(super) fn excuse(&mut self, first: u64, last: u64) {
        self.excused.push((first, last));
    }

    /// Reads the files of the run.
    ///
    /// # Errors
    /// `Retry` when an object store does not answer: that is no damage.
    pub(super) fn finish(mut self, env: &dyn Env, report: &mut VerifyReport) -> Result<(), Error> {
        let mut found = Sums::default();
        let mut items_n = 0_u64;
        let (mut documents, mut records) = (0_u64, 0_u64);
        let mut files: Vec<&FileEntry> = self.run.files.iter().collect();
        if let Some(new) = self.replacing {
            files = as_they_stand(env, self.run, new);
        }
        for file in files {
            let path = file.path();
            match as_published(env, file) {
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => report.damage(1, error.to_string()),
                Ok(()) => {}
            }
            let read = match file.table.as_str() {
                name if name == Table::Containers.name() => self.kept(env, &path, Table::Containers, report),
                name if name == Table::Records.name() => {
                    self.kept(env, &path, Table::Records, report).inspect(|rows| {
                        records = records.saturating_add(*rows);
                    })
                }
                name if name == Table::Documents.name() => {
                    self.rows(env, &path, &mut found, &mut items_n, report).inspect(|rows| {
                        documents = documents.saturating_add(*rows);
                    })
                }
                name if name == Table::Items.name() => items(env, &path, &mut found).inspect(|rows| {
                    found.items = found.items.saturating_add(*rows);
                }),
                name if [Table::Registers, Table::Shifts, Table::Statuses, Table::Violations]
                    .iter()
                    .any(|it| it.name() == name) =>
                {
                    // Made by the owner of the log from its records: their checksum is all there is to compare.
                    each_batch(env, &path, &["position"], |_| Ok(()))
                }
                // Of a newer version: its checksum has been compared, its contents are not ours to judge.
                _ => continue,
            };
            match read {
                Ok(rows) if rows == file.rows => {}
                Ok(rows) => report
                    .damage(1, format!("{}: {rows} rows, the manifest says {}", path.display(), file.rows)),
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                // The checksum has told it already.
                Err(error) => report.problem(error.to_string()),
            }
        }
        self.judge(found, items_n, (documents, records), report);
        Ok(())
    }

    fn judge(&self, found: Sums, items_n: u64, (documents, records): (u64, u64), report: &mut VerifyReport) {
        let Run { first, last, .. } = *self.run;
        let named =
            Sums { total: self.run.total_kopecks, items: self.run.items, items_sum: self.run.items_kopecks };
        let mut differ = |what: &str, there: String, here: String| {
            if there != here {
                report
                    .problem(format!("run {first}..={last}: {what} {there} in the archive, {here} expected"));
            }
        };
        if self.replacing.is_some() {
            // Half of the one run and half of the other: every file has been looked at, together they add up to neither.
            report.parquet_rows = report.parquet_rows.saturating_add(self.rows_met(documents));
            return;
        }
        differ("sums", format!("{found:?}"), format!("{named:?}"));
        differ("items_n", items_n.to_string(), self.run.items.to_string());
        differ("documents", documents.to_string(), self.run.documents.to_string());
        differ("records", records.to_string(), self.run.records.unwrap_or_default().to_string());
        if !self.in_log {
            report.parquet_rows = report.parquet_rows.saturating_add(documents);
            return;
        }
        if self.excused.is_empty() && self.run.damaged.is_empty() {
            differ("sums", format!("{named:?}"), format!("{:?}", self.sums));
        }
        for (position, record) in &self.records {
            if record.in_documents {
                report.parquet_rows = report.parquet_rows.saturating_add(1);
            }
            if record.is_document && !record.in_documents || !record.is_kept {
                report.lack(1, format!("position {position} is compacted and not in the archive"));
            }
        }
    }

    /// Rows of `documents` that count.
    fn rows_met(&self, documents: u64) -> u64 {
        match self.in_log {
            true => self.records.values().filter(|record| record.in_documents).count() as u64,
            false => documents,
        }
    }

    /// Whether the log could not say what stands at this position.
    fn is_excused(&self, position: u64) -> bool {
        !self.in_log || self.excused.iter().any(|(first, last)| (*first..=*last).contains(&position))
    }

    /// `containers` or `records`: every row is a record of the log, to the byte.
    fn kept(
        &mut self,
        env: &dyn Env,
        path: &Path,
        table: Table,
        report: &mut VerifyReport,
    ) -> Result<u64, Error> {
        let of_documents = table == Table::Containers;
        each_restored(env, path, table, |restored| {
            let position = restored.stored.position;
            let excused = self.is_excused(position);
            match self.records.get_mut(&position) {
                Some(record) if record.is_kept => {
                    report.damage(1, format!("{}: position {position} twice", path.display()));
                }
                Some(record) => {
                    record.is_kept = true;
                    let payload = &restored.stored.payload;
                    let same = match restored.whole {
                        true => record.whole == digest(restored.kind, Some(&restored.stored), payload),
                        false => record.payload == digest(restored.kind, None, payload),
                    };
                    if !same || record.is_document != of_documents {
                        let text = format!("{}: position {position} differs from the log", path.display());
                        report.damage(1, text);
                    }
                }
                None if excused => {}
                None => report.damage(1, format!("{}: the log has no position {position}", path.display())),
            }
            Ok(())
        })
    }

    fn rows(
        &mut self,
        env: &dyn Env,
        path: &Path,
        found: &mut Sums,
        items_n: &mut u64,
        report: &mut VerifyReport,
    ) -> Result<u64, Error> {
        each_batch(env, path, &["position", "total", "items_n"], |batch| {
            let totals = column::<Decimal128Array>(batch, path, "total")?;
            found.total = totals.iter().flatten().fold(found.total, i128::saturating_add);
            let counts = column::<Int32Array>(batch, path, "items_n")?;
            let counts = counts.iter().flatten().filter_map(|count| u64::try_from(count).ok());
            *items_n = counts.fold(*items_n, u64::saturating_add);
            for position in column::<Int64Array>(batch, path, "position")?.values() {
                let position = u64::try_from(*position).unwrap_or_default();
                let excused = self.is_excused(position);
                match self.records.get_mut(&position).filter(|it| it.is_document) {
                    Some(document) if document.in_documents => {
                        report.damage(1, format!("{}: position {position} twice", path.display()));
                    }
                    Some(document) => document.in_documents = true,
                    None if excused => {}
                    None => {
                        report.damage(1, format!("{}: the log has no position {position}", path.display()))
                    }
                }
            }
            Ok(())
        })
    }
}

/// The files of a run that is being replaced: each as the new run names it if it is that already, else as the old one does.
fn as_they_stand<'r>(env: &dyn Env, old: &'r Run, new: &'r Run) -> Vec<&'r FileEntry> {
    let mut files: Vec<&FileEntry> = Vec::new();
    for file in &old.files {
        match new.files.iter().find(|it| it.path() == file.path()) {
            Some(replaced) if as_published(env, replaced).is_ok() => files.push(replaced),
            // It is to be removed, and was.
            None if env.exists(&file.path()).is_ok_and(|there| !there) => {}
            _ => files.push(file),
        }
    }
    // Files that the old run has not are there or on their way.
    let fresh = new.files.iter().filter(|file| old.files.iter().all(|it| it.path() != file.path()));
    files.extend(fresh.filter(|file| as_published(env, file).is_ok()));
    files
}

fn items(env: &dyn Env, path: &Path, found: &mut Sums) -> Result<u64, Error> {
    each_batch(env, path, &["sum"], |batch| {
        let amounts = column::<Decimal128Array>(batch, path, "sum")?;
        found.items_sum = amounts.iter().flatten().fold(found.items_sum, i128::saturating_add);
        Ok(())
    })
}

/// Of the payload and, with `facts`, of everything the log knew.
fn digest(kind: RecordKind, facts: Option<&Stored>, payload: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind.code()]);
    if let Some(facts) = facts {
        hasher.update(&facts.partition.to_le_bytes());
        hasher.update(&facts.partition_seq.to_le_bytes());
        hasher.update(&facts.received_at_us.to_le_bytes());
        hasher.update(&[facts.answer_code, facts.flags]);
        hasher.update(&facts.key_id.to_le_bytes());
    }
    hasher.update(payload);
    let mut digest = Digest::default();
    hasher.finalize_xof().fill(&mut digest);
    digest
}
