//! What counts: decided from a [`Survey`] alone, without I/O.
//!
//! 1. A segment was **activated** if its first write is whole, or a batch in it proves its base durable (so
//!    the first write was), or a footer closes it, or a later segment begins behind its base: a header is written when
//!    everything before it is durable, also one that is torn itself.
//! 2. An activated segment cuts every earlier one at its base: a rewrite takes the LSNs over.
//! 3. Everything up to the highest `proven` that any valid header of any file names is durable truth: damage
//!    there is quarantined, never cut. What lies behind it is one write at most, the **tail**. A proof is about
//!    the copy that counted when it was written: records that a later segment took over need a proof from
//!    there. (A killed process may leave a whole rewrite in the page cache that no sync ever covered.)
//!
//! 4. A segment that rule 1 does not count may have been acknowledged all the same, if damage hit its first write
//!    before anything proved it. Where it begins no later than right behind the watermark and its whole records reach
//!    further than those of the segments that count, they are **salvaged**: served and written again, then the file is
//!    set aside. What it names beyond that is reported as cut. (A rewrite begins before the watermark when it took a
//!    retained batch along, which the header of the write that failed calls proven.)
//!
//! 5. A segment file that tells nothing, where a sealed segment and the next one leave records unaccounted for, is what
//!    is left of the segment that held them: they are damage, and named. Without such a file the segment was taken away
//!    and may come back, so the log does not open.
//!
//! 6. The newest write is believed about nothing where it can be helped: a process that was told, by the sync of that write,
//!    that the write before had failed, and was killed over it, leaves both in the page cache and perhaps nothing on the
//!    device. What only the newest write proves is written again with it, as the writer itself would have done.
//!
//! 7. What cannot be read of a segment without a footer is damage where something that can be read lies behind it and proves all that
//!    lay before: the begin of a later segment, or a batch whose records follow on proven ones. Anywhere else a batch may lie in it that
//!    was acknowledged, so the log does not open: better no start than a cut.
//!
//! Rule 1 ends with "a later one begins behind its base", which is safe only because every start renames
//! what it finds not activated before it activates anything behind it: a torn attempt never has a later neighbour. What
//! begins no earlier than the tail that is written again is renamed when that is done, and not before: its records may be
//! all that a power cut leaves of those that are read from the page cache.

use super::survey::{Seen, Survey};
use crate::disk::segment_path;
use crate::error::{Error, ErrorKind};
use crate::format::FOOTER_BLOCK_LEN;
use crate::planted::planted;
use crate::position::{Lsn, SegmentId};
use crate::segment::{Item, Walk};

/// Which segments count, and for which LSNs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of the log.
    pub(super) live: Vec<Live>,
    /// The last LSN that something on disk proves durable.
    pub(super) proven: Lsn,
    /// The last LSN that stays where it is: what lies behind it is written again.
    pub(super) stays: Lsn,
    /// Not activated: to be renamed.
    pub(super) aside: Vec<SegmentId>,
    /// The one of them whose records are served first, and count as the end of the log (rule 4).
    pub(super) salvage: Option<Live>,
    /// Every record of it lies in a later segment, proven, or was dropped: to be removed.
    pub(super) emptied: Vec<SegmentId>,
    /// Nothing but zeros: prewritten and not used.
    pub(super) blank: Vec<SegmentId>,
}

/// A segment that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live {
    /// Its place in [`Survey::segments`].
    pub(super) at: usize,
    pub(super) base: Lsn,
    /// Behind its last LSN; `None` for the last segment of the log, whose end is in its bytes.
    pub(super) end: Option<Lsn>,
}

impl Plan {
    /// The salvaged records take over, as those of a rewrite do. For the owner, who writes them again; a reader
    /// beside a living writer may see a rewrite that is only on its way.
    pub(super) fn take_over(&mut self) {
        let Some(Live { base, .. }) = self.salvage else { return };
        for live in self.live.iter_mut().filter(|live| live.end.is_none_or(|end| end > base)) {
            live.end = Some(base);
        }
        // What is served from there is written again, also what was proven where it lay before.
        self.proven = self.proven.min(base.prev());
        self.stays = self.stays.min(base.prev());
    }

    /// What was dropped does not count, also where a crash came before its files were removed, in whatever order.
    fn drop_through(&mut self, dropped: Lsn, survey: &Survey) {
        let is_dropped = |live: &Live| live.end.is_some_and(|end| end <= dropped.next());
        let count = self.live.iter().take_while(|live| is_dropped(live)).count();
        let gone = self.live.drain(..count).filter_map(|live| survey.segments.get(live.at));
        self.emptied.extend(gone.map(|seen| seen.id));
    }

    /// Rule 5.
    fn count_the_wiped(&mut self, survey: &Survey) {
        let mut wiped = Vec::new();
        for (one, next) in self.live.iter().zip(self.live.iter().skip(1)) {
            let (Some(end), Some(before), Some(behind)) =
                (one.end, survey.segments.get(one.at), survey.segments.get(next.at))
            else {
                continue;
            };
            let untold = |seen: &Seen| seen.tells_nothing() && seen.id > before.id && seen.id < behind.id;
            if before.footer.is_some()
                && end < next.base
                && let Some(at) = survey.segments.iter().position(untold)
            {
                wiped.push(Live { at, base: end, end: Some(next.base) });
            }
        }
        for live in wiped {
            let id = survey.segments.get(live.at).map(|seen| seen.id);
            self.blank.retain(|blank| Some(*blank) != id);
            self.aside.retain(|aside| Some(*aside) != id);
            self.live.push(live);
        }
        self.live.sort_by_key(|live| live.base);
    }

    /// Rule 5 for a segment of which a later batch alone is left: with no number between the two but of what was set aside, what is lost behind a
    /// sealed one was in it. So it is at the begin of a log that still has a file of each of its numbers.
    fn reach_down(&mut self, survey: &Survey) {
        let segments = &survey.segments;
        let begin = survey.begin.through.next();
        if let Some(first) = self.live.first_mut()
            && let Some(seen) = segments.get(first.at)
            && seen.life.is_some_and(|life| !life.base_known)
            && begin == Lsn::new(1)
            && begin < first.base
            && (1..seen.id.get()).all(|number| !is_gone(SegmentId::new(number), survey))
        {
            first.base = begin;
        }
        for at in 1..self.live.len() {
            let (Some(one), Some(next)) =
                (self.live.get(at.saturating_sub(1)).copied(), self.live.get_mut(at))
            else {
                continue;
            };
            if let (Some(end), Some(before), Some(behind)) =
                (one.end, segments.get(one.at), segments.get(next.at))
                && before.footer.is_some()
                && (before.id.next().get()..behind.id.get())
                    .all(|number| !is_gone(SegmentId::new(number), survey))
                && behind.life.is_some_and(|life| !life.base_known)
                && end < next.base
            {
                next.base = end;
            }
        }
    }

    /// Refuses a log that begins later than behind what was dropped from it, or ends before that.
    pub(super) fn begins_behind(&self, dropped: Lsn) -> Result<(), Error> {
        let missing = |first: Lsn, last: Lsn| {
            let text =
                format!("the segments with records {first}..={last} are missing at the begin of the log");
            Err(Error::new(ErrorKind::Corrupt, text))
        };
        match self.live.first().or(self.salvage.as_ref()) {
            Some(first) if first.base > dropped.next() => missing(dropped.next(), first.base.prev()),
            Some(_) if self.proven >= dropped => Ok(()),
            // The newest segments are never dropped.
            Some(_) => missing(self.proven.next(), dropped),
            None if dropped == Lsn::NONE => Ok(()),
            None => missing(Lsn::new(1), dropped),
        }
    }
}

/// Decides.
pub(super) fn plan(survey: &Survey) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let activated = activated(&survey.segments);
    let mut cut: Option<Lsn> = None;
    let mut emptied = Vec::new();
    for (at, seen) in survey.segments.iter().enumerate().rev() {
        if let Some(life) = seen.life.as_ref().filter(|_| !seen.tells_nothing()) {
            let here = |lsn: Lsn| cut.filter(|_| !planted!(22)).map_or(lsn, |cut| lsn.min(cut.prev()));
            let still_here = here(life.proves);
            let still_here = if planted!(24) { life.good.max(still_here) } else { still_here };
            plan.proven = plan.proven.max(still_here);
            plan.stays = plan.stays.max(here(life.settles));
        }
        match &seen.life {
            Some(life) if activated.contains(&seen.id) && !seen.tells_nothing() => {
                let sealed = seen.footer.map(|footer| footer.last.next());
                let end = [cut, sealed].into_iter().flatten().min();
                match end.filter(|end| *end <= life.base) {
                    Some(end) => emptied.push((seen.id, end)),
                    None => plan.live.push(Live { at, base: life.base, end }),
                }
                cut = Some(cut.map_or(life.base, |cut| cut.min(life.base)));
            }
            None if seen.blank => plan.blank.push(seen.id),
            _ => plan.aside.push(seen.id),
        }
    }
    // The page cache may show a rewrite that the disk does not hold: what it emptied stays until more than the newest write
    // proves it.
    plan.emptied =
        emptied.into_iter().filter(|(_, end)| *end <= plan.stays || planted!(28)).map(|(id, _)| id).collect();
    plan.live.reverse();
    plan.aside.reverse();
    plan.blank.reverse();
    plan.drop_through(survey.begin.through, survey);
    plan.count_the_wiped(survey);
    plan.reach_down(survey);
    plan.salvage = salvage(&plan, survey).filter(|_| !planted!(30));
    plan.stays = stays(&plan, survey);
    no_hole_hides_the_end(&plan, survey)?;
    no_segment_is_missing(&plan, survey)?;
    Ok(plan)
}

/// Rule 6: without holes alone can they be written again.
fn stays(plan: &Plan, survey: &Survey) -> Lsn {
    let last = plan.live.last().and_then(|live| Some((live, survey.segments.get(live.at)?)));
    let moves = last.is_some_and(|(live, seen)| {
        live.end.is_none() && live.base <= plan.stays.next() && served(seen, plan.stays) >= plan.proven
    });
    let moves = moves && !planted!(24);
    let moves = moves && !planted!(47);
    if moves { plan.stays.min(plan.proven) } else { plan.proven }
}

/// The last record that this segment would give behind the watermark: a hole ends it, whatever can be read behind.
fn served(seen: &Seen, proven: Lsn) -> Lsn {
    let Some(life) = seen.life else { return proven };
    if seen.bytes.is_empty() {
        return life.newest.max(proven);
    }
    let limit = (seen.bytes.len() as u64).saturating_sub(FOOTER_BLOCK_LEN);
    let mut walk = Walk::new(life.stamp, life.block_len, life.base, limit);
    let mut served = proven;
    while let Some(item) = walk.next(&seen.bytes, 0) {
        if let Item::Record(record, _) = item
            && record.lsn() == served.next()
        {
            served = record.lsn();
        }
    }
    served
}

/// Rule 4. A torn rewrite of the same records is told from its source by reaching less far, or as far.
fn salvage(plan: &Plan, survey: &Survey) -> Option<Live> {
    if plan.aside.is_empty() {
        return None;
    }
    let last = plan.live.last().and_then(|live| survey.segments.get(live.at));
    let mut best = last.map_or(plan.proven, |seen| served(seen, plan.proven));
    // What a footer closes no rewrite took over.
    let lives = plan.live.iter().filter_map(|live| survey.segments.get(live.at)?.footer);
    let sealed = lives.map(|footer| footer.last).max().unwrap_or(Lsn::NONE);
    let fits = |base: Lsn| base <= plan.proven.next() && base > sealed;
    let mut salvage = None;
    for (at, seen) in survey.segments.iter().enumerate().filter(|(_, seen)| plan.aside.contains(&seen.id)) {
        if let Some(life) = seen.life.filter(|life| fits(life.base) && life.good > best) {
            best = life.good;
            salvage = Some(Live { at, base: life.base, end: None });
        }
    }
    salvage
}

fn activated(segments: &[Seen]) -> Vec<SegmentId> {
    let mut activated = Vec::new();
    let mut highest_base = Lsn::NONE;
    for seen in segments.iter().rev() {
        let Some(life) = seen.life.as_ref().filter(|_| !seen.tells_nothing()) else { continue };
        if planted!(43) || life.first_whole || life.proves_inside >= life.base || highest_base > life.base {
            activated.push(seen.id);
        }
        if life.base_known {
            highest_base = highest_base.max(life.base);
        }
    }
    activated
}

/// A sealed segment says where it ends. If the next one begins later, files are gone: an operator's mistake,
/// a mixed or half-restored backup. Going on would hide it.
fn no_segment_is_missing(plan: &Plan, survey: &Survey) -> Result<(), Error> {
    for (one, next) in plan.live.iter().zip(plan.live.iter().skip(1)) {
        let sealed = survey.segments.get(one.at).is_some_and(|seen| seen.footer.is_some());
        if let (true, Some(end)) = (sealed, one.end)
            && end < next.base
        {
            let text =
                format!("the segments with records {end}..={} are missing in the log", next.base.prev());
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        // The one that stands there may still hold what has moved to the missing one, or was cut before.
        if let Some(before) = survey.segments.get(next.at).map(|seen| seen.before)
            && is_gone(before, survey)
        {
            let text = format!(
                "segment {before} is missing in the log: it held the records up to {}",
                next.base.prev()
            );
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
    }
    // What a header proves lies in a segment that counts, or that segment is gone.
    if let Some(end) = plan.live.last().and_then(|last| last.end).filter(|end| *end <= plan.proven) {
        let text = format!("the segments with records {end}..={} are missing in the log", plan.proven);
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    Ok(())
}

/// Rule 7.
fn no_hole_hides_the_end(plan: &Plan, survey: &Survey) -> Result<(), Error> {
    for (at, seen) in survey.segments.iter().enumerate() {
        if seen.holes.is_empty() || seen.footer.is_some() || plan.emptied.contains(&seen.id) || planted!(39) {
            continue;
        }
        let known = match plan.live.iter().find(|live| live.at == at) {
            Some(Live { end: Some(_), .. }) => continue,
            Some(live) => behind_the_proven(seen, live.base, plan.proven),
            None => 0,
        };
        if seen.holes.end() > known {
            let (path, lost) = (segment_path(seen.id), seen.holes.len());
            let text = format!("{}: {lost} bytes of an open segment cannot be read", path.display());
            return Err(Error::new(ErrorKind::Reopen, text));
        }
    }
    Ok(())
}

/// Where the newest batch begins before which every record is proven; 0 without one.
fn behind_the_proven(seen: &Seen, base: Lsn, proven: Lsn) -> u64 {
    let Some(life) = seen.life else { return 0 };
    let limit = (seen.bytes.len() as u64).saturating_sub(FOOTER_BLOCK_LEN);
    let mut walk = Walk::new(life.stamp, life.block_len, base, limit);
    let mut at = 0;
    while let Some(item) = walk.next(&seen.bytes, 0) {
        if let Item::Batch(header) = item
            && header.first.prev() <= proven
        {
            at = u64::from(header.offset);
        }
    }
    at
}

/// Whether a header names this segment and there is no file of it, whatever its state.
fn is_gone(before: SegmentId, survey: &Survey) -> bool {
    before != SegmentId::default()
        && !survey.torn.contains(&before)
        && !survey.segments.iter().any(|seen| seen.id == before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::super::holes::Holes;
    use super::super::survey::Life;
    use super::*;
    use crate::begin::Begin;
    use crate::format::{SegmentFooter, SegmentStamp};

    fn seen(id: u32, base: u64, proves: u64, first_whole: bool) -> Seen {
        let stamp = SegmentStamp { segment: SegmentId::new(id), epoch: 1, nonce: 1 };
        let proves_inside = Lsn::new(if proves >= base { proves } else { 0 });
        let (base, proves) = (Lsn::new(base), Lsn::new(proves));
        let newest = if first_whole { proves.max(base) } else { base.prev() };
        let (good, reach) = (newest, newest);
        let life = Life {
            stamp,
            block_len: 512,
            base,
            base_known: true,
            proves,
            proves_inside,
            settles: proves,
            first_whole,
            good,
            newest,
            reach,
        };
        Seen {
            id: stamp.segment,
            len: 1 << 16,
            before: SegmentId::default(),
            life: Some(life),
            footer: None,
            bytes: Vec::new(),
            blank: false,
            sound: true,
            holes: Holes::default(),
        }
    }

    fn sealed(id: u32, base: u64, last: u64) -> Seen {
        let mut seen = seen(id, base, last, true);
        let life = seen.life.unwrap();
        seen.footer = Some(SegmentFooter {
            stamp: life.stamp,
            block_len: 512,
            base: life.base,
            last: Lsn::new(last),
            records: 0,
            used: 8192,
            chain_before: [0; 32],
            chain: [0; 32],
        });
        seen
    }

    /// Live segments as (id, base, end), then what is set aside or removed, then the proven LSN.
    type Outcome = (Vec<(u32, u64, Option<u64>)>, Vec<u32>, u64);

    fn outcome(segments: Vec<Seen>) -> Outcome {
        let survey = Survey { segments, ..Survey::default() };
        let plan = plan(&survey).unwrap();
        let live = plan.live.iter().map(|live| {
            (survey.segments.get(live.at).unwrap().id.get(), live.base.get(), live.end.map(Lsn::get))
        });
        let gone = plan.aside.iter().chain(&plan.emptied).map(|id| id.get());
        (live.collect(), gone.collect(), plan.proven.get())
    }

    #[test]
    fn the_open_segment_ends_in_its_bytes() {
        assert_eq!(
            outcome(vec![sealed(1, 1, 9), seen(2, 10, 19, true)]),
            (vec![(1, 1, Some(10)), (2, 10, None)], vec![], 19)
        );
    }

    #[test]
    fn a_rewritten_write_is_taken_from_the_new_segment() {
        // 10..=19 were in flight in segment 1 when its sync failed; segment 2 took them over.
        assert_eq!(
            outcome(vec![seen(1, 1, 9, true), seen(2, 10, 9, true)]),
            (vec![(1, 1, Some(10)), (2, 10, None)], vec![], 9)
        );
    }

    #[test]
    fn a_proof_does_not_outlive_its_copy() {
        // 30 and 31 were durable in segment 1, as a header there says; then a sync failed, the rewrite to
        // segment 2 was on its way, and the process was killed. The page cache shows the rewrite; the disk may
        // not hold it. Found by the simulation.
        assert_eq!(
            outcome(vec![seen(1, 1, 31, true), seen(2, 30, 29, true)]),
            (vec![(1, 1, Some(30)), (2, 30, None)], vec![], 29)
        );
    }

    #[test]
    fn a_torn_activation_cuts_nothing() {
        // The header of segment 2 is on disk, its first write is torn: the records of segment 1 count, even
        // though a header in segment 1 proves more than the base of segment 2.
        assert_eq!(
            outcome(vec![seen(1, 1, 12, true), seen(2, 10, 9, false)]),
            (vec![(1, 1, None)], vec![2], 12)
        );
    }

    #[test]
    fn a_damaged_first_batch_of_an_activated_segment_is_damage() {
        assert_eq!(
            outcome(vec![sealed(1, 1, 9), seen(2, 10, 15, false)]),
            (vec![(1, 1, Some(10)), (2, 10, None)], vec![], 15)
        );
        assert_eq!(
            outcome(vec![sealed(1, 1, 9), seen(2, 10, 9, false), seen(3, 15, 14, true)]),
            (vec![(1, 1, Some(10)), (2, 10, Some(15)), (3, 15, None)], vec![], 14)
        );
    }

    #[test]
    fn a_torn_header_tells_that_the_segment_before_it_was_activated() {
        // The one record of segment 2 was acknowledged, then hit; the first write of segment 3 was on its way. Before,
        // such a log did not open. Found by the simulation.
        assert_eq!(
            outcome(vec![sealed(1, 1, 6), seen(2, 7, 6, false), seen(3, 8, 7, false)]),
            (vec![(1, 1, Some(7)), (2, 7, None)], vec![3], 7)
        );
    }

    #[test]
    fn a_segment_whose_records_all_moved_is_removed_once_that_is_proven() {
        // The first write of segment 2 failed; it and the retained batch before it went to segment 3.
        assert_eq!(
            outcome(vec![seen(1, 1, 7, true), seen(2, 10, 9, true), seen(3, 8, 12, true)]),
            (vec![(1, 1, Some(8)), (3, 8, None)], vec![2], 12)
        );
        // Not before something proves segment 3: its bytes may be in the page cache only. Found by the
        // simulation, which lost acknowledged records of segment 2.
        assert_eq!(
            outcome(vec![seen(1, 1, 7, true), seen(2, 10, 9, true), seen(3, 8, 7, true)]),
            (vec![(1, 1, Some(8)), (3, 8, None)], vec![], 7)
        );
    }

    #[test]
    fn a_log_begins_with_its_first_record_or_behind_what_was_dropped() {
        let begins = |segments: Vec<Seen>, dropped: u64| {
            let begin = Begin { through: Lsn::new(dropped), ..Begin::default() };
            let survey = Survey { segments, begin, ..Survey::default() };
            plan(&survey).is_ok_and(|plan| plan.begins_behind(Lsn::new(dropped)).is_ok())
        };
        let log = || vec![sealed(2, 10, 19), seen(3, 20, 25, true)];
        assert!(!begins(log(), 0) && !begins(log(), 8), "the segments before it are missing");
        assert!(begins(log(), 9), "they were dropped");
        assert!(begins(log(), 19), "a crash came before the last of them was removed");
        assert!(begins(log(), 14), "half a segment is never dropped, more than that may be there");
        assert!(!begins(log(), 30), "the newest segments are gone");
        assert!(begins(vec![], 0) && !begins(vec![], 9));
        assert!(begins(vec![sealed(1, 1, 9)], 0));
        // Names vanish in any order: what is left of the dropped ones may have holes, what comes after may not.
        let holes = || vec![sealed(1, 1, 9), sealed(3, 20, 29), seen(4, 30, 31, true)];
        assert!(begins(holes(), 29));
        assert!(!begins(vec![sealed(2, 10, 19), sealed(4, 30, 39)], 9), "one is missing in the middle");
        let survey = Survey {
            segments: holes(),
            begin: Begin { through: Lsn::new(29), ..Begin::default() },
            ..Survey::default()
        };
        let plan = plan(&survey).unwrap();
        assert_eq!(plan.emptied, [SegmentId::new(1), SegmentId::new(3)], "the drop is finished");
        assert_eq!(plan.live.iter().map(|live| live.base.get()).collect::<Vec<_>>(), [30]);
    }

    fn wiped(id: u32) -> Seen {
        Seen {
            id: SegmentId::new(id),
            len: 1 << 16,
            before: SegmentId::default(),
            life: None,
            footer: None,
            bytes: Vec::new(),
            blank: true,
            sound: true,
            holes: Holes::default(),
        }
    }

    // Segment 12 held record 135, which a device had confirmed and not written; it was named as damage, and then the rest
    // of the segment went as well. Before, such a log did not open. Found by the simulation.
    #[test]
    fn a_segment_that_was_wiped_is_damage() {
        assert_eq!(
            outcome(vec![sealed(11, 1, 134), wiped(12), seen(13, 136, 140, true), wiped(14)]),
            (vec![(11, 1, Some(135)), (12, 135, Some(136)), (13, 136, None)], vec![], 140)
        );
        // A file elsewhere does not stand in for the one that is missing.
        let segments = vec![sealed(11, 1, 134), seen(13, 136, 140, true), wiped(14)];
        assert!(plan(&Survey { segments, ..Survey::default() }).is_err());
    }

    // A marker alone proves 10..=12: the sync that it was written for may be what told of an error in them.
    #[test]
    fn what_the_newest_write_alone_proves_is_written_again_if_it_can_be_read() {
        let mut last = seen(3, 8, 12, true);
        last.life = last.life.map(|life| Life { settles: Lsn::new(9), ..life });
        let plan_of = |last: Seen| {
            let survey =
                Survey { segments: vec![sealed(1, 1, 7), seen(2, 8, 7, true), last], ..Survey::default() };
            let plan = plan(&survey).unwrap();
            (plan.proven.get(), plan.stays.get(), plan.emptied)
        };
        assert_eq!(plan_of(last), (12, 9, vec![SegmentId::new(2)]));
        let mut last = seen(3, 8, 12, true);
        last.life = last.life.map(|life| Life { settles: Lsn::new(7), ..life });
        assert_eq!(plan_of(last), (12, 7, vec![]), "what it emptied stays until then");
        let mut last = seen(3, 8, 12, true);
        last.life = last.life.map(|life| Life { settles: Lsn::new(9), newest: Lsn::new(11), ..life });
        assert_eq!(plan_of(last).1, 12, "what has holes stays where it is");
    }

    // The stand-in got its footer; then somebody brings back the segment that it stood in for.
    #[test]
    fn a_segment_that_comes_back_counts_and_not_what_stood_in_for_it() {
        let stand_in = |id| {
            let mut seen = sealed(id, 135, 135);
            let stamp = SegmentStamp { segment: SegmentId::new(id), epoch: 0, nonce: 0 };
            seen.life = seen.life.map(|life| Life { stamp, ..life });
            seen.footer = seen.footer.map(|footer| SegmentFooter { stamp, ..footer });
            seen
        };
        assert_eq!(
            outcome(vec![sealed(11, 1, 134), stand_in(12), seen(14, 136, 140, true)]),
            (vec![(11, 1, Some(135)), (12, 135, Some(136)), (14, 136, None)], vec![], 140)
        );
        assert_eq!(
            outcome(vec![sealed(11, 1, 134), sealed(12, 135, 135), stand_in(13), seen(14, 136, 140, true)]),
            (vec![(11, 1, Some(135)), (12, 135, Some(136)), (14, 136, None)], vec![13], 140)
        );
    }

    #[test]
    fn a_missing_segment_is_refused() {
        let survey = Survey { segments: vec![sealed(1, 1, 9), seen(3, 20, 25, true)], ..Survey::default() };
        assert_eq!(plan(&survey).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    // The sync of the first write of segment 2 lied, 10..=18, and the power went over its rewrite: its second batch is left, which proves
    // them. Before, such a log did not open. Found by the simulation.
    #[test]
    fn what_is_lost_behind_a_sealed_segment_was_in_the_next_one() {
        let log = |id| {
            let mut last = seen(id, 18, 18, false);
            last.life = last.life.map(|life| Life { base_known: false, ..life });
            plan(&Survey { segments: vec![sealed(1, 1, 9), last], ..Survey::default() })
        };
        let plan = log(2).unwrap();
        assert_eq!(plan.live.last().map(|live| live.base), Some(Lsn::new(10)));
        assert_eq!(log(3).unwrap_err().kind(), ErrorKind::Corrupt, "segment 2 may have been taken away");
    }

    // The same where nothing lies before it: segment 1 held nothing that was durable, and the first write of its rewrite is lost. Found by
    // the simulation, 200067161.
    #[test]
    fn what_is_lost_at_the_begin_was_in_the_first_segment_that_is_left() {
        let log = |id| {
            let mut last = seen(id, 4, 9, false);
            last.life = last.life.map(|life| Life { base_known: false, ..life });
            let torn = vec![SegmentId::new(1)];
            plan(&Survey { segments: vec![last], torn, ..Survey::default() }).unwrap()
        };
        assert!(log(2).begins_behind(Lsn::NONE).is_ok());
        assert_eq!(log(2).live.first().map(|live| live.base), Some(Lsn::new(1)));
        let error = log(3).begins_behind(Lsn::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "segment 2 may have been taken away");
    }

    // Segment 2 was cut at record 10 when segment 3 took over 10..=19; without segment 3 the old records would be served.
    #[test]
    fn what_was_cut_does_not_stand_in_for_a_missing_segment() {
        let log = |third: bool| {
            let mut segments = vec![sealed(1, 1, 4), seen(2, 5, 9, true)];
            segments.extend(third.then(|| seen(3, 10, 19, true)));
            segments.push(Seen { before: SegmentId::new(3), ..seen(4, 20, 25, true) });
            plan(&Survey { segments, ..Survey::default() })
        };
        assert!(log(true).is_ok());
        assert_eq!(log(false).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    // Segment 2, with record 10, was never written by a device that said so; the torn segment 3 proves that it was.
    // Found by the simulation: record 10 was neither served nor named.
    #[test]
    fn a_missing_segment_behind_the_last_one_is_refused() {
        let survey = Survey { segments: vec![sealed(1, 1, 9), seen(3, 11, 10, false)], ..Survey::default() };
        assert_eq!(plan(&survey).unwrap_err().kind(), ErrorKind::Corrupt);
        let survey = Survey { segments: vec![sealed(1, 1, 9), seen(3, 10, 9, false)], ..Survey::default() };
        assert!(plan(&survey).is_ok());
    }
}
