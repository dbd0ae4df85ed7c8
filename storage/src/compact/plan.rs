//! What a run will write: its documents with their keys, in memory, and the sums they must add up to.
//!
//! The payloads are slices of the mapped segments, so a plan costs some 200 bytes a document besides them. The
//! sums are taken straight from the documents' tags, not from the rows, so that the check after writing compares
//! two ways of reading.

use std::collections::BTreeMap;

use ofd_codec::{DocumentView, Tag};

use super::source::{SegmentSource, SourceRecord};
use crate::columns::column::DECIMAL_MAX;
use crate::columns::document::inn_of;
use crate::columns::row::{drive_text, view};
use crate::columns::{Day, Stored, Table};
use crate::envelope::EnvelopeError;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Run, file_name};
use crate::position::SegmentId;
use crate::reader::SealedSegment;

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
}

/// What the rows of a day must add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Sum of 1020, kopecks.
    pub(super) total: i128,
    /// Items: tags 1059 and 1071.
    pub(super) items: u64,
    /// Sum of 1043 over them, kopecks.
    pub(super) items_sum: i128,
}

/// The documents of one day.
#[derive(Debug, Default)]
pub(super) struct DayPlan {
    entries: Vec<Entry>,
    pub(super) sums: Sums,
}

impl DayPlan {
    /// The documents in the order of a table.
    pub(super) fn sorted(&self, table: Table) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_unstable_by(|a, b| {
            let by_drive = || {
                (&a.drive, a.number, a.variant, a.stored.position).cmp(&(
                    &b.drive,
                    b.number,
                    b.variant,
                    b.stored.position,
                ))
            };
            match table {
                Table::Containers => by_drive(),
                Table::Documents | Table::Items => a.inn.cmp(&b.inn).then_with(by_drive),
            }
        });
        entries
    }
}

/// A run before it is written.
#[derive(Debug)]
pub(super) struct Plan {
    first: u64,
    last: u64,
    segments: Vec<u32>,
    damaged: Vec<(u64, u64)>,
    pub(super) days: BTreeMap<Day, DayPlan>,
}

impl Plan {
    /// Reads the segments.
    pub(super) fn read(source: &dyn SegmentSource, segments: &[SealedSegment]) -> Result<Self, Error> {
        let (Some(head), Some(tail)) = (segments.first(), segments.last()) else {
            return Err(Error::new(ErrorKind::Fix, "a run without segments"));
        };
        let mut plan = Self {
            first: head.base.get(),
            last: tail.last.get(),
            segments: segments.iter().map(|segment| segment.id.get()).collect(),
            damaged: Vec::new(),
            days: BTreeMap::new(),
        };
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
                match record {
                    SourceRecord::Document(stored) => plan.add(stored, segment.id),
                    SourceRecord::Other { .. } => Ok(()),
                }
            })?;
        }
        plan.note_gap(next, plan.last.saturating_add(1));
        Ok(plan)
    }

    /// Positions `next..position` could not be read.
    fn note_gap(&mut self, next: u64, position: u64) {
        if next < position {
            self.damaged.push((next, position.saturating_sub(1)));
        }
    }

    fn add(&mut self, stored: Stored, segment: SegmentId) -> Result<(), Error> {
        let envelope = stored.envelope().map_err(|error| unreadable(segment, stored.position, error))?;
        let view = view(&envelope);
        let inn = view.as_ref().and_then(inn_of).map(String::into_boxed_str);
        let local = view.as_ref().and_then(|view| view.get(Tag(1012))?.unixtime().ok());
        let sums = view.as_ref().map(sums_of).unwrap_or_default();
        let (drive, number, variant) =
            (drive_text(&envelope.drive).into_boxed_str(), envelope.number, envelope.variant);
        let day = Day::of(local.map(|at| i64::from(at.0)), stored.received_at_us);
        let day = self.days.entry(day).or_default();
        day.sums.total = day.sums.total.saturating_add(sums.total);
        day.sums.items = day.sums.items.saturating_add(sums.items);
        day.sums.items_sum = day.sums.items_sum.saturating_add(sums.items_sum);
        day.entries.push(Entry { stored, inn, drive, number, variant });
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
    pub(super) fn run(&self, files: &[FileEntry]) -> Run {
        let mut run = Run {
            first: self.first,
            last: self.last,
            segments: self.segments.clone(),
            damaged: self.damaged.clone(),
            files: files.to_vec(),
            ..Run::default()
        };
        for day in self.days.values() {
            run.documents = run.documents.saturating_add(day.entries.len() as u64);
            run.items = run.items.saturating_add(day.sums.items);
            run.total_kopecks = run.total_kopecks.saturating_add(day.sums.total);
            run.items_kopecks = run.items_kopecks.saturating_add(day.sums.items_sum);
        }
        run
    }
}

/// Sums of one document, straight from its tags. An amount that does not fit its column counts as nothing,
/// as it becomes NULL.
fn sums_of(view: &DocumentView<'_>) -> Sums {
    let fits = |sum: &i64| (0..=DECIMAL_MAX).contains(sum);
    let mut sums = Sums::default();
    if let Some(total) = view.get(Tag(1020)).and_then(|value| value.kopecks().ok()) {
        sums.total = i128::from(Some(total.0).filter(fits).unwrap_or(0));
    }
    for (tag, item) in view.tags() {
        if !matches!(tag.0, 1059 | 1071) {
            continue;
        }
        sums.items = sums.items.saturating_add(1);
        let sum = item.children().map_while(Result::ok).find(|(tag, _)| tag.0 == 1043);
        if let Some(sum) = sum.and_then(|(_, value)| value.kopecks().ok()) {
            sums.items_sum = sums.items_sum.saturating_add(i128::from(Some(sum.0).filter(fits).unwrap_or(0)));
        }
    }
    sums
}

fn disorder(segment: SegmentId, position: u64) -> Error {
    Error::new(ErrorKind::Corrupt, format!("segment {segment}: position {position} is out of order"))
}

fn unreadable(segment: SegmentId, position: u64, error: EnvelopeError) -> Error {
    // The record's checksum held, so these bytes were stored so: by a newer version, or by a defect of ours.
    Error::new(ErrorKind::Fix, format!("segment {segment}, position {position}: {error}"))
}
