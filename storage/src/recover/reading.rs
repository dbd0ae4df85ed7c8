//! One pass over everything that counts: hands records out, notes damage, collects the tail.

use std::path::PathBuf;

use super::plan::{Live, Plan};
use super::survey::{Life, Seen, Survey, read_whole};
use super::{Cut, mirror};
use crate::begin::Begin;
use crate::disk::segment_path;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::format::{BATCH_HEADER_LEN, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, SegmentFooter};
use crate::numbers::Numbers;
use crate::planted::planted;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::Damage;
use crate::record::{RecordRef, padded_len};
use crate::segment::{Item, Walk, is_blank, offset_of, usize_of};
use crate::side::SideView;

/// What the pass has come to.
pub(super) struct Reading<'s> {
    survey: &'s Survey,
    plan: &'s Plan,
    /// Where the tail will be written to.
    spare: SegmentId,
    proven: Lsn,
    /// Records up to here stay where they are.
    pub(super) stays: Lsn,
    pub(super) records: u64,
    pub(super) first: Lsn,
    pub(super) numbers: Numbers,
    /// Segments up to this one are known without being read.
    known: Option<SegmentId>,
    pub(super) damaged: Vec<Damage>,
    /// Sealed segments that are whole again from the mirror.
    pub(super) mended: Vec<SegmentId>,
    pub(super) cut: Option<Cut>,
    /// The records that do not stay, as a batch holds them.
    pub(super) tail: Vec<u8>,
    pub(super) tail_records: u32,
    /// For every live segment.
    pub(super) closed: Vec<Closed>,
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) last: Lsn,
    pub(super) used: u32,
    pub(super) records: u64,
}

/// A segment that counts, with its life; that of a wiped one is what its neighbours leave room for.
pub(super) fn seen<'s>(survey: &'s Survey, live: &Live) -> Result<(&'s Seen, Life), Error> {
    let seen = survey.segments.get(live.at);
    let life = |seen: &Seen| match seen.life {
        None => Life::wiped(seen.id, live.base),
        // Its neighbours may know more of where it begins than it does.
        Some(life) if !life.base_known => Life { base: live.base, ..life },
        Some(life) => life,
    };
    seen.map(|seen| (seen, life(seen)))
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a plan names a segment that was not seen"))
}

impl<'s> Reading<'s> {
    pub(super) fn new(survey: &'s Survey, plan: &'s Plan, spare: SegmentId) -> Self {
        Self {
            survey,
            plan,
            spare,
            proven: plan.proven,
            stays: plan.stays,
            records: 0,
            first: Lsn::NONE,
            numbers: Numbers::default(),
            known: None,
            damaged: Vec::new(),
            mended: Vec::new(),
            cut: None,
            tail: Vec::new(),
            tail_records: 0,
            closed: Vec::new(),
        }
    }

    /// Goes on from what was dropped.
    pub(super) fn behind(mut self, begin: &Begin) -> Self {
        self.numbers.received_at_us = begin.received_at_us;
        self.numbers.partition_seq.clone_from(&begin.partition_seq);
        self
    }

    /// What an index says of the oldest segments stands for reading them.
    pub(super) fn take_from(&mut self, index: &SideView<'_>) {
        if let Some(known) = index.last_segment() {
            self.known = Some(known);
            self.numbers = index.numbers();
            self.damaged.extend(index.damage());
        }
    }

    pub(super) fn run(
        &mut self,
        env: &dyn Env,
        visit: &mut dyn FnMut(RecordRef<'_>, Location),
    ) -> Result<(), Error> {
        let mut buffer = Vec::new();
        for live in &self.plan.live {
            let (seen, life) = seen(self.survey, live)?;
            if let Some(footer) = seen.footer.filter(|_| self.known.is_some_and(|known| seen.id <= known)) {
                self.pass(&footer);
                continue;
            }
            let bytes = if let Some(footer) = seen.footer {
                let path: PathBuf = segment_path(seen.id);
                // What cannot be read stands as zeros, and zeros are damage.
                read_whole(&*env.open_read(&path)?, seen.len, &mut buffer)?;
                self.mend(env, seen.id, &footer, &mut buffer)?;
                &buffer
            } else {
                &seen.bytes
            };
            let closed = self.segment(bytes, seen, &life, live.end, visit);
            self.closed.push(closed);
        }
        if let Some(live) = &self.plan.salvage {
            let (seen, life) = seen(self.survey, live)?;
            self.cut = None;
            let closed = self.segment(&seen.bytes, seen, &life, None, visit);
            // Its first write is not whole, whatever is left of it.
            let first = self.last().next();
            self.cut.get_or_insert(Cut { segment: seen.id, offset: closed.used, first, last: None });
        }
        let aside = left_aside(self.survey, self.plan, self.last());
        self.cut = match (self.cut, aside) {
            // Both tell of the same end of the log; the cut names all that either of them knows of.
            (Some(cut), Some(aside)) => Some(Cut { last: cut.last.max(aside.last), ..cut }),
            (cut, aside) => cut.or(aside),
        };
        Ok(())
    }

    /// A sealed segment that an index covers: its footer says where it ends.
    fn pass(&mut self, footer: &SegmentFooter) {
        self.records = self.records.saturating_add(footer.records);
        if self.first == Lsn::NONE && footer.records > 0 {
            self.first = footer.base;
        }
        let used = offset_of(usize::try_from(footer.used).unwrap_or(usize::MAX));
        self.closed.push(Closed { last: footer.last, used, records: footer.records });
    }

    /// With a mirror, a damaged segment is made whole before it is read.
    fn mend(
        &mut self,
        env: &dyn Env,
        segment: SegmentId,
        footer: &SegmentFooter,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if env.mirror().is_some()
            && mirror::is_damaged(bytes, footer)
            && mirror::mend_sealed(env, segment, bytes)?
        {
            self.mended.push(segment);
        }
        Ok(())
    }

    /// The newest LSN that is served.
    fn last(&self) -> Lsn {
        Lsn::new(self.stays.get().saturating_add(u64::from(self.tail_records)))
    }

    fn segment(
        &mut self,
        bytes: &[u8],
        seen: &Seen,
        life: &Life,
        end: Option<Lsn>,
        visit: &mut dyn FnMut(RecordRef<'_>, Location),
    ) -> Closed {
        let segment = seen.id;
        let limit = seen.footer.map_or(seen.len.saturating_sub(FOOTER_BLOCK_LEN), |footer| footer.used);
        let mut walk = Walk::new(life.stamp, life.block_len, life.base, limit);
        if let Some(end) = end {
            walk = walk.up_to(end.prev());
        }
        let until = end.map_or(self.proven, Lsn::prev);
        let past = |lsn: Lsn| end.is_some_and(|end| lsn >= end);
        let records_before = self.records;
        // Behind the last record, or the last damage, that stays here.
        let mut kept = offset_of(usize::try_from(HEADER_BLOCK_LEN).unwrap_or(0));
        loop {
            match walk.next(bytes, 0) {
                Some(Item::Batch(header)) if header.records > 0 && past(header.first) => break,
                Some(Item::Batch(_)) => {}
                Some(Item::Record(record, _)) if past(record.lsn()) => break,
                Some(Item::Record(record, offset)) => {
                    self.note(&record);
                    if record.lsn() <= self.stays {
                        kept = offset.saturating_add(offset_of(padded_len(record.encoded_len())));
                        visit(record, Location { segment, offset });
                    } else {
                        let location = self.push_tail(&record, bytes, offset);
                        visit(record, location);
                    }
                }
                // The torn header of a marker, or of a batch whose records are all there.
                Some(Item::Damage { first, last, .. }) if first > until && last < first => {}
                Some(Item::Damage { from, first, last, .. }) if first > until => {
                    // Behind the watermark a write is torn: what comes after is not served.
                    if end.is_none() {
                        let last = Some(if planted!(44) { last } else { last.max(life.reach) });
                        self.cut = Some(Cut { segment, offset: from, first, last });
                    }
                    break;
                }
                Some(Item::Damage { from, to, first, last }) => {
                    self.damage(Damage { segment, from, to, first, last: last.min(until) });
                    kept = to;
                    if planted!(21) {
                        break;
                    }
                    if last > until && end.is_none() {
                        let first = until.next();
                        let last = Some(last.max(life.reach));
                        self.cut = Some(Cut { segment, offset: to, first, last });
                        break;
                    }
                }
                None => {
                    let (at, expect) = (walk.offset(), walk.expect());
                    if expect <= until {
                        kept = offset_of(usize::try_from(limit).unwrap_or(usize::MAX));
                        self.damage(Damage { segment, from: at, to: kept, first: expect, last: until });
                    } else if end.is_none() && !all_zeros(bytes, at, limit) {
                        // Something was written here that does not hold, not even its header.
                        self.cut = Some(Cut { segment, offset: at, first: expect, last: None });
                    }
                    break;
                }
            }
        }
        // What is sealed at the wrong byte is cut off for good: every record that stays lies before it. Markers
        // behind the last record do not count: the page cache may show one that no sync ever covered.
        let used =
            seen.footer.map_or(kept, |footer| offset_of(usize::try_from(footer.used).unwrap_or(usize::MAX)));
        let tail = u64::from(self.tail_records);
        let records = self.records.saturating_sub(records_before).saturating_sub(tail);
        Closed { last: until.min(self.stays), used: used.next_multiple_of(life.block_len.max(1)), records }
    }

    /// What the log has to go on from.
    fn note(&mut self, record: &RecordRef<'_>) {
        self.records = self.records.saturating_add(1);
        if self.first == Lsn::NONE {
            self.first = record.lsn();
        }
        self.numbers.note(record);
    }

    fn damage(&mut self, damage: Damage) {
        tracing::error!(%damage, "the log is damaged below its watermark");
        if !planted!(27) {
            self.numbers.lose(&damage)
        }
        self.damaged.push(damage);
    }

    /// Copies a record, padding included, to where it will be written again.
    fn push_tail(&mut self, record: &RecordRef<'_>, bytes: &[u8], offset: u32) -> Location {
        let at = usize_of(offset);
        let len = record.encoded_len();
        let header = usize::try_from(HEADER_BLOCK_LEN).unwrap_or(usize::MAX);
        let to = header.saturating_add(BATCH_HEADER_LEN).saturating_add(self.tail.len());
        self.tail.extend_from_slice(bytes.get(at..at.saturating_add(len)).unwrap_or_default());
        self.tail.resize(padded_len(self.tail.len()), 0);
        self.tail_records = self.tail_records.saturating_add(1);
        Location { segment: self.spare, offset: offset_of(to) }
    }
}

/// What is set aside and names records behind the last one that is served: they may have been acknowledged.
pub(super) fn left_aside(survey: &Survey, plan: &Plan, last: Lsn) -> Option<Cut> {
    let first = last.next();
    let begin = offset_of(usize::try_from(HEADER_BLOCK_LEN).unwrap_or(0));
    let aside = survey.segments.iter().filter(|seen| plan.aside.contains(&seen.id));
    let cuts = aside.filter_map(|seen| Some((seen, seen.life?))).filter_map(|(seen, life)| {
        let named = life.reach >= first;
        let written = named || (life.base == first && !all_zeros(&seen.bytes, begin, seen.len));
        let last = named.then_some(life.reach);
        written.then_some(Cut { segment: seen.id, offset: begin, first, last })
    });
    // Of several copies of the same end the one that names most: another may have been torn before it was written to its end.
    cuts.reduce(|one, other| if other.last > one.last { other } else { one })
}

pub(super) fn all_zeros(bytes: &[u8], from: u32, to: u64) -> bool {
    let to = usize::try_from(to).unwrap_or(usize::MAX).min(bytes.len());
    is_blank(bytes.get(usize_of(from)..to).unwrap_or_default())
}
