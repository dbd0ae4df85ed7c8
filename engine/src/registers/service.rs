//! Which numbers of a drive are ours, and which of them are missing. Pure.
//!
//! A register may come to this operator in the middle of a drive's life, leave it and come back, so a drive has
//! **service intervals**; numbers outside of them are not ours and never missing (rule D1). Inside of one, a number
//! that was passed over is missing until it comes (rule D2). A drive that returns sends its queue first, in order, so
//! documents below the oldest interval are accepted and begin one of their own.
//!
//! ```text
//!   numbers  1 ........ 84 85 86 ×× 89 90 ........ 131 132
//!   ours                [84 ─────────── 90]         [131 ─
//!   missing                      87-88
//! ```
//!
//! Invariants, held by the tests below against a list of all numbers that came: intervals are in ascending order, do
//! not touch, and every number in one of them either came or is missing.

/// Numbers from the first to the last, both of them in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

impl Range {
    const fn holds(self, number: u32) -> bool {
        self.first <= number && number <= self.last
    }

    /// How many numbers.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// How a number fits to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first document of the drive that came to us.
    First,
    /// Follows the newest one.
    Next,
    /// Numbers were passed over: they are missing now.
    Gap(Range),
    /// Beyond what was passed over while the drive was not ours.
    Resumed,
    /// It was missing: of this range, which is `closed` if nothing of it is missing any more.
    Late {
        /// What was missing before it came.
        of: Range,
        /// Nothing of it is missing any more.
        closed: bool,
    },
    /// Older than what came before, and never missed: the queue of an earlier time.
    Earlier,
    /// The number had come.
    Known,
}

impl Arrival {
    /// Whether the document is newer than all that came before.
    #[must_use]
    pub const fn is_newest(self) -> bool {
        matches!(self, Self::First | Self::Next | Self::Gap(_) | Self::Resumed)
    }
}

/// The numbers of one drive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    intervals: Vec<Range>,
    missing: Vec<Range>,
    /// Those of them of which nobody was told: they were passed over in an archive.
    #[expect(
        clippy::box_collection,
        reason = "hardly any drive has them, and 16 bytes of every drive are saved"
    )]
    quiet: Option<Box<Vec<Range>>>,
    /// The drive has gone to another operator or sends nothing (autonomous mode): what follows is not missed.
    left: bool,
    /// It was told that it has left, and not that it is back.
    left_told: bool,
    /// The first number of the interval that a lane seed has told of and that no document has begun yet.
    seeded: Option<u32>,
}

impl Service {
    /// As it was kept.
    pub(super) fn restored(
        intervals: Vec<Range>,
        missing: Vec<(Range, bool)>,
        (left, left_told): (bool, bool),
        seeded: Option<u32>,
    ) -> Self {
        let quiet: Vec<Range> = missing.iter().filter(|it| it.1).map(|it| it.0).collect();
        let missing = missing.into_iter().map(|it| it.0).collect();
        let quiet = (!quiet.is_empty()).then(|| Box::new(quiet));
        Self { intervals, missing, quiet, left, left_told, seeded }
    }

    fn quiet(&self) -> &[Range] {
        self.quiet.as_deref().map(Vec::as_slice).unwrap_or_default()
    }

    /// The numbers that have not come, and whether nobody was told of them.
    pub(super) fn missing_as_told(&self) -> impl ExactSizeIterator<Item = (Range, bool)> {
        self.missing.iter().map(|it| (*it, self.quiet().contains(it)))
    }

    /// The gap that was opened last is told to nobody.
    pub(super) fn keep_quiet(&mut self, gap: Range) {
        self.quiet.get_or_insert_default().push(gap);
    }

    /// Whether this number is missing, and somebody was told.
    pub(super) fn was_told_missing(&self, number: u32) -> bool {
        self.missing_as_told().any(|(range, quiet)| range.holds(number) && !quiet)
    }

    /// Whether it was told that the drive has left, and not that it is back.
    pub(super) const fn was_told_left(&self) -> bool {
        self.left_told
    }

    /// Whether somebody was told of what [`Service::leave`] has said, or will be told that it is back.
    pub(super) fn tell_left(&mut self, told: bool) {
        self.left_told = told;
    }

    /// A drive of which nothing has come will send this number next.
    pub(super) fn seed(&mut self, next: u32) {
        self.seeded = Some(next);
    }

    /// The number that a lane seed has told of, until it or a later one comes.
    #[must_use]
    pub const fn seeded(&self) -> Option<u32> {
        self.seeded
    }

    /// The numbers that are ours, in ascending order.
    #[must_use]
    pub fn intervals(&self) -> &[Range] {
        &self.intervals
    }

    /// The numbers of them that have not come, in ascending order.
    #[must_use]
    pub fn missing(&self) -> &[Range] {
        &self.missing
    }

    /// Whether this number has come.
    #[must_use]
    pub fn has(&self, number: u32) -> bool {
        self.is_whole(Range { first: number, last: number })
    }

    /// Whether every number of this range has come.
    #[must_use]
    pub fn is_whole(&self, range: Range) -> bool {
        let ours = self.intervals.iter().any(|it| it.holds(range.first) && it.holds(range.last));
        ours && !self.missing.iter().any(|it| it.first <= range.last && range.first <= it.last)
    }

    /// Whether nothing is missing from the first of these numbers to the newest.
    #[must_use]
    pub fn is_whole_from(&self, numbers: Option<Range>) -> bool {
        let range = numbers.and_then(|it| Some(Range { first: it.first, last: self.last()? }));
        range.is_some_and(|range| self.is_whole(range))
    }

    /// The newest number.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.intervals.last().map(|it| it.last)
    }

    /// The next number below one that has come.
    #[must_use]
    pub fn came_below(&self, number: u32) -> Option<u32> {
        self.intervals.iter().rev().filter(|it| it.first < number).find_map(|it| {
            let mut at = it.last.min(number.checked_sub(1)?);
            while let Some(gap) = self.missing.iter().find(|gap| gap.holds(at)) {
                at = gap.first.checked_sub(1)?;
            }
            (at >= it.first).then_some(at)
        })
    }

    /// The next number above one that has come.
    #[must_use]
    pub fn came_above(&self, number: u32) -> Option<u32> {
        self.intervals.iter().filter(|it| it.last > number).find_map(|it| {
            let mut at = it.first.max(number.checked_add(1)?);
            while let Some(gap) = self.missing.iter().find(|gap| gap.holds(at)) {
                at = gap.last.checked_add(1)?;
            }
            (at <= it.last).then_some(at)
        })
    }

    /// Whether the drive has left.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.left
    }

    /// What follows is not missed until the drive is back.
    pub fn leave(&mut self, left: bool) {
        self.left = left;
    }

    /// A number comes. `enters`: its document says that the drive has come to us with it.
    pub fn take(&mut self, number: u32, enters: bool) -> Arrival {
        match self.seeded.filter(|_| !enters) {
            Some(first) if number >= first => return self.begin_at(first, number),
            // From before it moved in: nothing of that is missed.
            Some(_) if self.intervals.iter().any(|it| it.holds(number)) => return Arrival::Known,
            Some(_) => {
                self.put_earlier(number);
                return Arrival::Earlier;
            }
            None => self.seeded = None,
        }
        let Some(newest) = self.last() else {
            // Hardly any drive has a second one.
            self.intervals.reserve_exact(1);
            self.intervals.push(Range { first: number, last: number });
            return Arrival::First;
        };
        if let Some(at) = self.missing.iter().position(|it| it.holds(number)) {
            return self.fill(at, number);
        }
        if self.intervals.iter().any(|it| it.holds(number)) {
            return Arrival::Known;
        }
        if number < newest {
            self.put_earlier(number);
            return Arrival::Earlier;
        }
        let next = newest.saturating_add(1);
        if number > next && (enters || self.left) {
            self.intervals.push(Range { first: number, last: number });
            return Arrival::Resumed;
        }
        if let Some(interval) = self.intervals.last_mut() {
            interval.last = number;
        }
        if number == next {
            return Arrival::Next;
        }
        let gap = Range { first: next, last: number.saturating_sub(1) };
        self.missing.push(gap);
        Arrival::Gap(gap)
    }

    /// The first number at or behind the seed.
    fn begin_at(&mut self, first: u32, number: u32) -> Arrival {
        self.seeded = None;
        match self.intervals.last_mut().filter(|it| it.last.saturating_add(1) == first) {
            Some(before) => before.last = number,
            None => {
                self.intervals.reserve_exact(1);
                self.intervals.push(Range { first, last: number });
            }
        }
        if number == first {
            return Arrival::Next;
        }
        let gap = Range { first, last: number.saturating_sub(1) };
        self.missing.push(gap);
        Arrival::Gap(gap)
    }

    fn fill(&mut self, at: usize, number: u32) -> Arrival {
        let Some(of) = self.missing.get(at).copied() else { return Arrival::Known };
        let below = (number > of.first).then(|| Range { first: of.first, last: number.saturating_sub(1) });
        let above = (number < of.last).then(|| Range { first: number.saturating_add(1), last: of.last });
        let closed = below.is_none() && above.is_none();
        if let Some(quiet) = &mut self.quiet
            && let Some(at) = quiet.iter().position(|it| *it == of)
        {
            quiet.splice(at..=at, below.into_iter().chain(above));
        }
        self.quiet.take_if(|it| it.is_empty());
        self.missing.splice(at..=at, below.into_iter().chain(above));
        Arrival::Late { of, closed }
    }

    /// Below the newest and in no interval.
    fn put_earlier(&mut self, number: u32) {
        let at = self.intervals.partition_point(|it| it.last < number);
        let joins_below = at
            .checked_sub(1)
            .and_then(|below| self.intervals.get_mut(below))
            .filter(|it| it.last.saturating_add(1) == number);
        if let Some(below) = joins_below {
            below.last = number;
            self.join(at.saturating_sub(1));
            return;
        }
        match self.intervals.get_mut(at).filter(|it| number.saturating_add(1) == it.first) {
            Some(above) => above.first = number,
            None => self.intervals.insert(at, Range { first: number, last: number }),
        }
    }

    /// Makes one of an interval and the one behind it, where they touch.
    fn join(&mut self, at: usize) {
        let behind = at.saturating_add(1);
        let (Some(one), Some(two)) = (self.intervals.get(at).copied(), self.intervals.get(behind).copied())
        else {
            return;
        };
        if one.last.saturating_add(1) == two.first {
            self.intervals.remove(behind);
            if let Some(joined) = self.intervals.get_mut(at) {
                joined.last = two.last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use std::collections::BTreeSet;

    use super::*;

    fn ranges(list: &[(u32, u32)]) -> Vec<Range> {
        list.iter().map(|(first, last)| Range { first: *first, last: *last }).collect()
    }

    #[test]
    fn a_gap_opens_and_closes_from_any_side() {
        let mut service = Service::default();
        assert_eq!(service.take(84, false), Arrival::First);
        assert_eq!(service.take(85, false), Arrival::Next);
        assert_eq!(service.take(90, false), Arrival::Gap(Range { first: 86, last: 89 }));
        let whole = Range { first: 86, last: 89 };
        assert_eq!(service.take(88, false), Arrival::Late { of: whole, closed: false });
        assert_eq!(service.missing(), ranges(&[(86, 87), (89, 89)]));
        assert_eq!(service.take(88, false), Arrival::Known);
        assert_eq!(
            service.take(89, false),
            Arrival::Late { of: Range { first: 89, last: 89 }, closed: true }
        );
        assert!(
            !service.is_whole(Range { first: 84, last: 90 })
                && service.is_whole(Range { first: 88, last: 90 })
        );
        service.take(86, false);
        service.take(87, false);
        assert!(service.is_whole(Range { first: 84, last: 90 }) && service.missing().is_empty());
    }

    #[test]
    fn what_passed_while_the_drive_was_elsewhere_is_not_missing() {
        let mut service = Service::default();
        service.take(5, false);
        service.leave(true);
        assert_eq!(service.take(40, false), Arrival::Resumed);
        service.leave(false);
        assert_eq!(service.take(60, true), Arrival::Resumed, "its document says that it has come to us");
        assert_eq!(service.take(59, false), Arrival::Earlier, "the queue that it brings");
        assert_eq!(service.intervals(), ranges(&[(5, 5), (40, 40), (59, 60)]));
        assert!(service.missing().is_empty());
    }

    // Every order in which six numbers out of eight can come: a list of what came tells the same.
    #[test]
    fn every_short_history_agrees_with_a_list() {
        let mut histories = vec![Vec::new()];
        for _ in 0..5 {
            histories = histories
                .into_iter()
                .flat_map(|history: Vec<u32>| {
                    (1..=7).map(move |number| [history.as_slice(), &[number]].concat())
                })
                .collect();
        }
        for history in histories {
            let (mut service, mut came) = (Service::default(), BTreeSet::new());
            for number in &history {
                let arrival = service.take(*number, false);
                assert_eq!(arrival == Arrival::Known, !came.insert(*number), "{history:?} {arrival:?}");
            }
            let (intervals, missing) = (service.intervals(), service.missing());
            for number in 0..=8 {
                let ours = intervals.iter().any(|it| it.holds(number));
                let lacks = missing.iter().any(|it| it.holds(number));
                assert_eq!(came.contains(&number), ours && !lacks, "{history:?} {service:?} {number}");
                assert_eq!(service.came_below(number), came.range(..number).next_back().copied());
                assert_eq!(service.came_above(number), came.range(number + 1..).next().copied());
            }
            let apart =
                intervals.iter().zip(intervals.iter().skip(1)).all(|(one, two)| one.last + 1 < two.first);
            assert!(apart && missing.is_sorted(), "{history:?} {service:?}");
            assert_eq!(service.last(), came.last().copied());
        }
    }
}
