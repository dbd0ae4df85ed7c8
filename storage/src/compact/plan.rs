//! What a run will write: its documents with their keys and its other records, in memory, and the sums they must add up to.
//!
//! The payloads are slices of the mapped segments, so a plan costs some 200 bytes a document besides them. The
//! sums are taken straight from the documents' tags, not from the rows, so that the check after writing compares
//! two ways of reading.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use ofd_codec::Tag;

use super::registers::RegistersDue;
use super::source::{SegmentSource, SourceRecord};
use crate::columns::document::inn_of;
use crate::columns::row::{drive_text, view};
use crate::columns::sums::Sums;
use crate::columns::{Day, Derive, LifeRow, ShiftRow, Stored, Table};
use crate::env::Env;
use crate::envelope::EnvelopeError;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Manifest, Run, file_name};
use crate::position::SegmentId;
use crate::reader::SealedSegment;
use crate::record::RecordKind;

/// A document of the run with its sort keys.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stored: Stored,
    inn: Option<Box<str>>,
    drive: Box<str>,
    number: u32,
    variant: u8,
}

impl Entry {
    pub(super) fn inn(&self) -> Option<&str> {
        self.inn.as_deref()
    }
    pub(super) fn drive(&self) -> &str {
        &self.drive
    }
    /// What is compared.
    fn order(&self, by_inn: bool) -> (Option<&str>, &str, u32, u8, u64) {
        let inn = self.inn().filter(|_| by_inn);
        (inn, &self.drive, self.number, self.variant, self.stored.position)
    }
    /// In the order of `violations`, before its first finding.
    pub(super) fn key(&self) -> (Option<&str>, &str, u32, u8, u64, i64) {
        (self.inn(), &self.drive, self.number, self.variant, self.stored.position, 0)
    }
}

/// The documents of one day.
#[derive(Debug, Default)]
pub(super) struct DayPlan {
    entries: Vec<Entry>,
    /// Numbers of the entries in the order of `containers`, and of the other tables.
    by_drive: OnceLock<Vec<u32>>,
    by_inn: OnceLock<Vec<u32>>,
    /// Records that are no documents, received on this day, in the order of the log.
    pub(super) others: Vec<(RecordKind, Stored)>,
    /// Shifts that were closed on this day, in the order of their table.
    pub(super) shifts: Vec<ShiftRow>,
    /// Findings across documents that were brought about by a record of this day, in the order of their table.
    pub(super) across: Vec<LifeRow>,
    pub(super) sums: Sums,
}

impl DayPlan {
    /// Whether a document lies here.
    pub(super) fn has_documents(&self) -> bool {
        !self.entries.is_empty()
    }

    fn push(&mut self, entry: Entry) {
        (self.by_drive, self.by_inn) = Default::default();
        self.entries.push(entry);
    }

    /// Whether the order of a table has every document once, and is what readers are promised.
    pub(super) fn is_sorted(&self, table: Table) -> bool {
        let by_inn = table != Table::Containers;
        self.sorted(table).map(|it| it.order(by_inn)).is_sorted_by(|a, b| a < b)
            && self.sorted(table).count() == self.entries.len()
    }

    /// The documents in the order of a table.
    pub(super) fn sorted(&self, table: Table) -> impl Iterator<Item = &Entry> {
        let order = match table {
            Table::Containers => self.by_drive.get_or_init(|| self.order(false)),
            Table::Documents
            | Table::Items
            | Table::Records
            | Table::Registers
            | Table::Shifts
            | Table::Statuses
            | Table::Violations => self.by_inn.get_or_init(|| self.order(true)),
        };
        order.iter().filter_map(|at| self.entries.get(usize::try_from(*at).ok()?))
    }

    /// Numbers of the entries, sorted by their keys. Those are short as a rule, and are compared as numbers then.
    fn order(&self, by_inn: bool) -> Vec<u32> {
        let inn = |it: &'_ Entry| if by_inn { it.inn().map(head_of) } else { Some(Some(0)) };
        let short = |(it, at)| -> Option<_> {
            let entry: &Entry = it;
            let inn = inn(entry).map_or(Some(None), |head| head.map(Some))?;
            Some((inn, head_of(&entry.drive)?, entry.number, entry.variant, entry.stored.position, at))
        };
        if let Some(mut keys) = self.entries.iter().zip(0_u32..).map(short).collect::<Option<Vec<_>>>() {
            keys.sort_unstable();
            return keys.into_iter().map(|(.., at)| at).collect();
        }
        let mut order: Vec<(&Entry, u32)> = self.entries.iter().zip(0..).collect();
        order.sort_unstable_by(|(a, _), (b, _)| a.order(by_inn).cmp(&b.order(by_inn)));
        order.into_iter().map(|(_, at)| at).collect()
    }
}

/// A text as a number that is ordered as it is; `None` when it is too long for that.
fn head_of(text: &str) -> Option<u128> {
    let mut head = [0; 16];
    head.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    (!text.contains('\0')).then(|| u128::from_be_bytes(head))
}

/// A run before it is written.
#[derive(Debug)]
pub(crate) struct Plan {
    first: u64,
    last: u64,
    segments: Vec<u32>,
    damaged: Vec<(u64, u64)>,
    pub(super) days: BTreeMap<Day, DayPlan>,
    /// Used bytes of its segments.
    log_bytes: u64,
    /// When its first and its last record came.
    received_us: Option<(i64, i64)>,
    /// The registers, when it is their time.
    pub(super) registers: Option<RegistersDue>,
}

impl Plan {
    /// Of these positions, nothing in it yet.
    pub(crate) fn of(first: u64, last: u64) -> Self {
        Self {
            first,
            last,
            segments: Vec::new(),
            damaged: Vec::new(),
            days: BTreeMap::new(),
            received_us: None,
            log_bytes: 0,
            registers: None,
        }
    }

    /// Reads the segments.
    pub(super) fn read(source: &dyn SegmentSource, segments: &[SealedSegment]) -> Result<Self, Error> {
        let (Some(head), Some(tail)) = (segments.first(), segments.last()) else {
            return Err(Error::new(ErrorKind::Fix, "a run without segments"));
        };
        let mut plan = Self::of(head.base.get(), tail.last.get());
        plan.segments = segments.iter().map(|segment| segment.id.get()).collect();
        plan.log_bytes = segments.iter().map(|segment| segment.used).fold(0, u64::saturating_add);
        let mut next = plan.first;
        for segment in segments {
            source.records(segment.id, &mut |record| {
                let position = record.position();
                let reach = segment.base.get()..=segment.last.get();
                if position < next || !reach.contains(&position) {
                    return Err(disorder(segment.id, position));
                }
                plan.note_gap(next, position);
                next = position.saturating_add(1);
                let received_us = record.received_at_us();
                plan.received_us =
                    Some((plan.received_us.map_or(received_us, |(first, _)| first), received_us));
                match record {
                    SourceRecord::Document(stored) => plan.add(stored, segment.id),
                    SourceRecord::Other(kind, stored) => {
                        let day = Day::of(None, stored.received_at_us);
                        plan.days.entry(day).or_default().others.push((kind, stored));
                        Ok(())
                    }
                }
            })?;
        }
        plan.note_gap(next, plan.last.saturating_add(1));
        Ok(plan)
    }

    /// Takes the shifts that the records of the run have closed or changed.
    pub(crate) fn add_shifts(&mut self, shifts: impl IntoIterator<Item = ShiftRow>) {
        for shift in shifts {
            self.days.entry(shift.day()).or_default().shifts.push(shift);
        }
        for day in self.days.values_mut() {
            let key = |it: &ShiftRow| (it.inn.clone(), it.drive.clone(), it.close_fd, it.position);
            day.shifts.sort_by_cached_key(key);
        }
    }

    /// Takes what the records of the run have brought about across documents.
    pub(crate) fn add_across(&mut self, findings: impl IntoIterator<Item = LifeRow>) {
        for finding in findings {
            self.days.entry(finding.day()).or_default().across.push(finding);
        }
        for day in self.days.values_mut() {
            day.across.sort_by(|a, b| a.key().cmp(&b.key()));
        }
    }

    /// Takes the registers if it is their time.
    pub(super) fn add_registers(
        &mut self,
        env: &dyn Env,
        manifest: &Manifest,
        derive: &dyn Derive,
    ) -> Result<(), Error> {
        let positions = self.positions();
        let last = self.received_us.map_or(0, |(_, last)| last);
        self.registers = RegistersDue::due(env, manifest, &positions, last, derive)?;
        Ok(())
    }

    /// Its positions.
    pub(super) fn positions(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Positions `next..position` could not be read.
    fn note_gap(&mut self, next: u64, position: u64) {
        if next < position {
            self.damaged.push((next, position.saturating_sub(1)));
        }
    }

    pub(crate) fn add(&mut self, stored: Stored, segment: SegmentId) -> Result<(), Error> {
        let envelope = stored.envelope().map_err(|error| unreadable(segment, stored.position, error))?;
        let view = view(&envelope);
        let inn = view.as_ref().and_then(inn_of).map(String::into_boxed_str);
        let local =
            view.as_ref().and_then(|view| view.get_all(Tag(1012)).find_map(|value| value.unixtime().ok()));
        let sums = view.as_ref().map(Sums::of).unwrap_or_default();
        let (drive, number, variant) =
            (drive_text(&envelope.drive).into_boxed_str(), envelope.number, envelope.variant);
        let day = Day::of(local.map(|at| i64::from(at.0)), stored.received_at_us);
        let day = self.days.entry(day).or_default();
        day.sums.add(&sums);
        day.push(Entry { stored, inn, drive, number, variant });
        Ok(())
    }

    /// Name of each file of the run.
    pub(super) fn file_name(&self) -> String {
        file_name(self.first, self.last)
    }

    /// First and last position, for the metadata of files.
    pub(super) fn reach(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }

    /// The run as the manifest keeps it.
    pub(crate) fn run(&self, files: &[FileEntry]) -> Run {
        let mut run = Run {
            first: self.first,
            last: self.last,
            segments: self.segments.clone(),
            damaged: self.damaged.clone(),
            files: files.to_vec(),
            received_us: self.received_us,
            log_bytes: (self.log_bytes > 0).then_some(self.log_bytes),
            ..Run::default()
        };
        let mut records = 0_u64;
        for day in self.days.values() {
            records = records.saturating_add(day.others.len() as u64);
            run.documents = run.documents.saturating_add(day.entries.len() as u64);
            run.items = run.items.saturating_add(day.sums.items);
            run.total_kopecks = run.total_kopecks.saturating_add(day.sums.total);
            run.items_kopecks = run.items_kopecks.saturating_add(day.sums.items_sum);
        }
        run.records = Some(records);
        run
    }
}

fn disorder(segment: SegmentId, position: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("segment {segment}: position {position} is out of order"))
}

fn unreadable(segment: SegmentId, position: u64, error: EnvelopeError) -> Error {
    // The record's checksum held, so these bytes were stored so: by a newer version, or by a defect of ours.
    Error::new(ErrorKind::Fix, format!("segment {segment}, position {position}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inn: Option<&str>, drive: &str, number: u32, position: u64) -> Entry {
        let stored = Stored {
            position,
            partition: 0,
            partition_seq: position,
            received_at_us: 0,
            answer_code: 0,
            flags: 0,
            key_id: 0,
            payload: bytes::Bytes::new(),
        };
        Entry { stored, inn: inn.map(Into::into), drive: drive.into(), number, variant: 0 }
    }

    /// `sorted_by` of the files promises this order to readers that skip by it.
    #[test]
    fn keys_as_numbers_and_as_texts_are_in_one_order() {
        let inns = [None, Some(""), Some("7"), Some("77"), Some("7701"), Some("770100000012"), Some("Я")];
        let drives = ["", "1", "9999078900001234", "9999078900001235", "999907890000123", "ФН"];
        // Too long, or with the filling in them.
        for odd in ["9999078900001234", "99990789000012345", "999907890000123\0", "1\0", "1\u{1}"] {
            let mut day = DayPlan::default();
            let all = inns.iter().flat_map(|inn| drives.iter().chain([&odd]).map(move |drive| (inn, drive)));
            for ((inn, drive), at) in all.zip(0_u64..) {
                let number = u32::try_from(at.wrapping_mul(7) % 5).unwrap_or_default();
                day.push(entry(*inn, drive, number, at.wrapping_mul(31) % 97));
            }
            for (table, by_inn) in [(Table::Documents, true), (Table::Containers, false)] {
                let mut asked: Vec<_> = day.entries.iter().map(|it| it.order(by_inn)).collect();
                asked.sort_unstable();
                let found: Vec<_> = day.sorted(table).map(|it| it.order(by_inn)).collect();
                assert_eq!(found, asked, "{table}, {odd:?}");
                assert!(day.is_sorted(table), "{table}, {odd:?}");
            }
        }
    }

    /// The files are compared with the order they were written in, so nothing else would see that it is wrong.
    #[test]
    fn an_order_that_is_wrong_or_leaves_a_document_out_is_none() {
        let mut day = DayPlan::default();
        day.push(entry(Some("7701"), "9999078900001235", 1, 1));
        assert!(day.is_sorted(Table::Documents) && day.is_sorted(Table::Containers));
        day.push(entry(Some("7701"), "9999078900001234", 1, 2));
        let numbers: Vec<_> = day.sorted(Table::Containers).map(|it| it.stored.position).collect();
        assert_eq!(numbers, [2, 1], "one that came behind a look at the order is in its place");
        for wrong in [vec![0, 1], vec![1], vec![1, 1]] {
            let order = || OnceLock::from(wrong.clone());
            (day.by_drive, day.by_inn) = (order(), order());
            assert!(!day.is_sorted(Table::Documents), "{wrong:?}");
            assert!(!day.is_sorted(Table::Containers), "{wrong:?}");
        }
    }
}
