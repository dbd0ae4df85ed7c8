//! Risk indicators of order 88н of the finance ministry: shares over thirty local days of a register. Pure.
//!
//! ```text
//!   … day N-30 │ day N-29 ────────────────────────── day N │      N = the newest day with a receipt
//!      gone    │ sold, returned, corrected, all, by day    │
//! ```
//!
//! Returns: returns of income among receipts and БСО (1054 = 2) beside income (1054 = 1). Corrections: forms 31 and 41 beside all
//! receipts, БСО and corrections. Each document counts once, on the day of its own clock ([`day_of`]), however late it comes;
//! one older than the window does not count. A share is judged from [`JUDGED_MIN`] on.
//!
//! Shape in memory: the days one after another as packed numbers, `day less the one before, sold × 2 + 1 where there is more
//! ( returned, corrected, all the rest )`: two to three bytes a day on which the register sold, at most 30 of them.

use ofd_codec::rules::life::LifeRuleId as Rule;

use super::tally::{Scene, Tallies, What};
use crate::registers::pack::{Packer, Unpacker};
use crate::registers::{Paid, day_of};

/// Days of the window.
const WINDOW_DAYS: u32 = 30;
/// Both shares, percent.
const LIMIT_PERCENT: u64 = 30;
/// Fewer receipts make no share.
pub(crate) const JUDGED_MIN: u64 = 10;
/// The indicator of silence.
pub const SIXTY_DAYS_SECONDS: u32 = 60 * 86_400;

/// Counts of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DayCounts {
    day: u32,
    /// Income, its returns, corrections, everything else.
    counts: [u32; 4],
}

/// What the watch keeps of a register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CardWatch {
    /// As the header says, and behind them what was found; empty while there is nothing.
    packed: Box<[u8]>,
}

/// One share of a register or an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskShare {
    /// Documents of the kind.
    pub part: u64,
    /// What they are a share of.
    pub whole: u64,
    /// So many more, one after another, and the limit is reached; 0: it is.
    pub left: u64,
}

impl RiskShare {
    fn new(part: u64, whole: u64, grows: bool) -> Self {
        // part + k >= 30 % of whole, which grows by k as well where the part is in it.
        let lacks = whole.saturating_mul(LIMIT_PERCENT).saturating_sub(part.saturating_mul(100));
        let step = if grows { 100_u64.saturating_sub(LIMIT_PERCENT) } else { 100 };
        let left = if whole == 0 { u64::from(part == 0) } else { lacks.div_ceil(step) };
        Self { part, whole, left }
    }

    /// Whether the limit of 30 percent is reached.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.left == 0
    }

    /// Added up, as for an organisation.
    fn plus(self, other: Self, grows: bool) -> Self {
        Self::new(self.part.saturating_add(other.part), self.whole.saturating_add(other.whole), grows)
    }
}

/// The indicators of a register, or of an organisation with all of its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Risk {
    /// Last day of the window, local days since 1970-01-01; 0: nothing was sold yet.
    pub day: u32,
    /// Returns beside income.
    pub refunds: RiskShare,
    /// Corrections beside all receipts.
    pub corrections: RiskShare,
}

impl Default for Risk {
    fn default() -> Self {
        Self::of(0, &[0; 4])
    }
}

impl Risk {
    fn of(day: u32, counts: &[u64; 4]) -> Self {
        let [sold, returned, corrected, _] = *counts;
        let all = counts.iter().copied().fold(0, u64::saturating_add);
        Self {
            day,
            refunds: RiskShare::new(returned, sold, false),
            corrections: RiskShare::new(corrected, all, true),
        }
    }

    /// Of both, each by its own window.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            day: self.day.max(other.day),
            refunds: self.refunds.plus(other.refunds, false),
            corrections: self.corrections.plus(other.corrections, true),
        }
    }
}

impl CardWatch {
    /// A receipt that counts. `pawnshop`: the indicator of returns does not concern it.
    pub(crate) fn take(&mut self, paid: &Paid, received_at_us: i64, pawnshop: bool, scene: &mut Scene<'_>) {
        let day = day_of(scene.at, received_at_us);
        if (paid.correction, paid.direction) == (false, 0) && self.sell_again(day, pawnshop) {
            return;
        }
        let Some((mut days, mut tallies)) = self.unpacked() else { return };
        let newest = days.last().map_or(day, |it| it.day.max(day));
        let first = newest.saturating_sub(WINDOW_DAYS.saturating_sub(1));
        if day < first {
            return;
        }
        days.retain(|it| it.day >= first);
        let at = days.partition_point(|it| it.day < day);
        if days.get(at).is_none_or(|it| it.day != day) {
            days.insert(at, DayCounts { day, counts: [0; 4] });
        }
        let kind = match (paid.correction, paid.direction) {
            (true, _) => 2,
            (false, 0) => 0,
            (false, 1) => 1,
            (false, _) => 3,
        };
        if let Some(count) = days.get_mut(at).and_then(|it| it.counts.get_mut(kind)) {
            *count = count.saturating_add(1);
        }
        let risk = Risk::of(newest, &sum(&days));
        for (rule, share, judged) in [
            (Rule::R2, risk.refunds, !pawnshop && risk.refunds.whole >= JUDGED_MIN),
            (Rule::R3, risk.corrections, risk.corrections.whole >= JUDGED_MIN),
        ] {
            scene.is(&mut tallies, rule, judged && share.is_reached(), || What {
                actual: Some(format!("{} из {} за 30 дней", share.part, share.whole)),
                expected: Some(format!("меньше {LIMIT_PERCENT} процентов")),
                ..What::default()
            });
        }
        let packed = packed(&days, &tallies);
        // Hardly ever longer than it was: no memory is asked for then.
        if self.packed.len() == packed.len() {
            self.packed.copy_from_slice(&packed);
        } else {
            self.packed = packed.into();
        }
    }

    /// Counts one more sale on the newest day where it stands, which is what most receipts are. False: it is not as simple as
    /// that, and nothing has changed: a day begins or is gone, the count gets longer, something was found or would be.
    fn sell_again(&mut self, day: u32, pawnshop: bool) -> bool {
        let mut from = Unpacker(&self.packed);
        let Some((at, sold, sums)) = newest(&mut from, day) else { return false };
        let (new, risk) = (sold.wrapping_add(2), Risk::of(day, &sums));
        let reached = |share: RiskShare| share.whole >= JUDGED_MIN && share.is_reached();
        if (!pawnshop && reached(risk.refunds)) || reached(risk.corrections) {
            return false;
        }
        let len = number_len(sold);
        let Some(place) = self.packed.get_mut(at..at.saturating_add(len)) else { return false };
        if number_len(new) != len || new > u64::from(u32::MAX) << 1 {
            return false;
        }
        let mut rest = new;
        for byte in place {
            *byte = (rest & 0x7F) as u8 | 0x80;
            rest >>= 7;
        }
        if let Some(last) = self.packed.get_mut(at.saturating_add(len).saturating_sub(1)) {
            *last &= 0x7F;
        }
        true
    }

    /// The indicators as they stand.
    pub(crate) fn risk(&self) -> Risk {
        let Some((days, _)) = self.unpacked() else { return Risk::default() };
        Risk::of(days.last().map_or(0, |it| it.day), &sum(&days))
    }

    fn unpacked(&self) -> Option<(Vec<DayCounts>, Tallies)> {
        if self.packed.is_empty() {
            return Some((Vec::new(), Tallies::default()));
        }
        let mut from = Unpacker(&self.packed);
        let (count, mut day) = (from.count()?, 0_u32);
        let mut days = Vec::with_capacity(count.min(WINDOW_DAYS as usize).saturating_add(1));
        for _ in 0..count {
            day = day.wrapping_add(from.small()?);
            let sold = from.number()?;
            let mut counts = [u32::try_from(sold >> 1).ok()?, 0, 0, 0];
            if sold & 1 == 1 {
                for slot in counts.iter_mut().skip(1) {
                    *slot = from.small()?;
                }
            }
            days.push(DayCounts { day, counts });
        }
        let tallies = if from.is_empty() { Tallies::default() } else { Tallies::unpack(&mut from)? };
        Some((days, tallies))
    }

    pub(crate) fn pack(&self, to: &mut Packer) {
        to.bytes(&self.packed);
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let watch = Self { packed: from.bytes()?.into() };
        watch.unpacked().map(|_| watch)
    }
}

fn sum(days: &[DayCounts]) -> [u64; 4] {
    days.iter().fold([0; 4], |mut sum, it| {
        sum.iter_mut().zip(it.counts).for_each(|(sum, more)| *sum = sum.saturating_add(more.into()));
        sum
    })
}

/// Where the sales of `day` begin, as they stand there, and the sums of the window with one sale more; `None` when it is not the
/// newest day, when a day is older than its window, or when something was found.
fn newest(from: &mut Unpacker<'_>, day: u32) -> Option<(usize, u64, [u64; 4])> {
    let whole = from.0.len();
    let (mut here, mut at, mut sold) = (0_u32, 0, 0);
    let mut sums = [1, 0, 0, 0_u64];
    for nth in 0..from.count()? {
        here = here.wrapping_add(from.small()?);
        if nth == 0 && here < day.saturating_sub(WINDOW_DAYS.saturating_sub(1)) {
            return None;
        }
        at = whole.saturating_sub(from.0.len());
        sold = from.number()?;
        sums[0] = sums[0].saturating_add(sold >> 1);
        if sold & 1 == 1 {
            for sum in sums.iter_mut().skip(1) {
                *sum = sum.saturating_add(from.number()?);
            }
        }
    }
    (at > 0 && here == day && from.is_empty()).then_some((at, sold, sums))
}

/// How many bytes a number takes.
const fn number_len(number: u64) -> usize {
    let bits = u64::BITS.saturating_sub(number.leading_zeros());
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

fn packed(days: &[DayCounts], tallies: &Tallies) -> Vec<u8> {
    let mut to = Packer(Vec::with_capacity(days.len().saturating_mul(3).saturating_add(1)));
    to.count(days.len());
    let mut before = 0_u32;
    for DayCounts { day, counts } in days {
        let [sold, rest @ ..] = counts;
        let more = rest.iter().any(|it| *it > 0);
        to.number(day.wrapping_sub(before));
        to.number(u64::from(*sold) << 1 | u64::from(more));
        if more {
            rest.iter().for_each(|it| to.number(*it));
        }
        before = *day;
    }
    if !tallies.is_empty() {
        tallies.pack(&mut to);
    }
    to.0
}

#[cfg(test)]
mod tests {
    use ofd_codec::LocalSeconds;
    use ofd_storage::envelope::Realm;

    use super::*;
    use crate::registers::Sums;
    use crate::watch::RuleSet;

    // Most sales are counted in bytes where they stand: a list of all receipts knows what has to come out, day by day.
    #[test]
    fn receipts_are_counted_as_a_list_counts_them() {
        const FIRST: u32 = 20_000;
        let rules = RuleSet::default();
        let mut state = 1_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).checked_rem(bound).unwrap_or(0)
        };
        for life in 0..60_u64 {
            let (mut watch, mut list, mut today) = (CardWatch::default(), Vec::new(), FIRST);
            for _ in 0..400 {
                today = today.saturating_add(u32::from(below(40) == 0).saturating_mul(below(9) as u32));
                let late = if below(20) == 0 { below(40) as u32 } else { 0 };
                let day = today.saturating_sub(late);
                let other = below(life.saturating_add(2)) == 0;
                let (direction, correction) =
                    if other { (below(4) as usize, below(2) == 0) } else { (0, false) };
                let at = LocalSeconds(day.saturating_mul(86_400));
                let received_at_us = i64::from(today).saturating_mul(86_400_000_000);
                let mut scene = Scene {
                    rules: &rules,
                    now_us: received_at_us,
                    realm: Realm::Prod,
                    rnm: &|| None,
                    at: Some(at),
                    imported: false,
                    out: Vec::new(),
                };
                let paid = Paid { direction, correction, sums: Sums::default() };
                watch.take(&paid, received_at_us, false, &mut scene);
                let newest = list.iter().map(|it: &(u32, usize)| it.0).max().unwrap_or(0).max(day);
                let kind = if correction { 2 } else { [0, 1, 3, 3].get(direction).copied().unwrap_or(3) };
                list.push((day, kind));
                let first = newest.saturating_sub(WINDOW_DAYS.saturating_sub(1));
                let mut sums = [0_u64; 4];
                for (_, kind) in list.iter().filter(|it| it.0 >= first) {
                    sums.get_mut(*kind).into_iter().for_each(|it| *it = it.saturating_add(1));
                }
                assert_eq!(watch.risk(), Risk::of(newest, &sums), "life {life}");
                let Some((days, tallies)) = watch.unpacked() else { unreachable!("it was packed") };
                assert_eq!(*watch.packed, packed(&days, &tallies), "life {life}: one shape of the same");
            }
        }
    }

    // The promise is "how many more": counted out one by one it has to be so.
    #[test]
    fn the_margin_is_what_counting_on_comes_to() {
        for whole in 0..60_u64 {
            for part in 0..=whole {
                for grows in [false, true] {
                    let share = RiskShare::new(part, whole, grows);
                    let reached = |k: u64| {
                        let (part, whole) =
                            (part.saturating_add(k), whole.saturating_add(if grows { k } else { 0 }));
                        part > 0 && part.saturating_mul(100) >= whole.saturating_mul(30)
                    };
                    let counted = (0..).find(|k| reached(*k)).unwrap_or_default();
                    let due = if whole > 0 && part == 0 && counted == 0 { 1 } else { counted };
                    assert_eq!(share.left, due, "{part} of {whole}, {grows}");
                }
            }
        }
    }
}
