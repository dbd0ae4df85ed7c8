//! Tax of a receipt by the code of tag 1199.
//!
//! Where it stands: the rates of old in flat tags (1102, 1103, 1106, 1107), the rates from 2025 on only in
//! 1115 → 1119 {1199, 1120}, one 1119 a rate. 1104 and 1105 are turnover at 0 % and without tax, not tax, and
//! have columns of their own. A code that stands in both places is read from the flat tag.
//!
//! Code 1 (tag 1102) and code 3 (1106) meant 18 % until the end of 2018 and 20 % since; returns of 2018 sales
//! were punched at 18 % for years. So the amount itself is asked first: `tax = turnover · r / (100 + r)` over
//! the items of that code, a kopeck of tolerance an item (firmware rounds item by item or once); where items
//! carry no code, over the whole receipt less its turnover without tax, if this is the only tax in it. Only when
//! the amount fits both rates or neither does the date of the document decide, and `vat_rate_guess` says so.
//!
//! Source: order ЕД-7-20/662@, tags 1102–1107, 1115, 1119, 1120, 1199; law 303-ФЗ of 03.08.2018 for the change of
//! the rate on 01.01.2019.

use ofd_codec::{Tag, Value};

use super::item::Item;

/// First second of 2019 on the clock of a till: from here code 1 means 20 %.
pub const RATE_20_SINCE: i64 = 1_546_300_800;

/// Sums of tax, kopecks, as they stand in the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vat {
    /// By code of 1199 minus one; codes 5 and 6 stay empty, they are no tax.
    flat: [Option<i64>; CODES],
    listed: [Option<i64>; CODES],
    /// 1104.
    pub turnover_vat0: Option<i64>,
    /// 1105.
    pub turnover_no_vat: Option<i64>,
    split: Split,
}

/// Codes of 1199 known: 1..=12.
const CODES: usize = 12;

/// What code 1 and code 3 turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Split {
    old_rate: bool,
    old_rate_calculated: bool,
    guessed: Option<bool>,
}

impl Vat {
    /// Takes the tag when it is one of tax; everything else is left alone.
    pub fn take(&mut self, tag: Tag, value: &Value<'_>) {
        let sum = || value.kopecks().ok().map(|sum| sum.0);
        match tag.0 {
            1102 => set(&mut self.flat, 1, sum()),
            1103 => set(&mut self.flat, 2, sum()),
            1106 => set(&mut self.flat, 3, sum()),
            1107 => set(&mut self.flat, 4, sum()),
            1104 => self.turnover_vat0 = self.turnover_vat0.or_else(sum),
            1105 => self.turnover_no_vat = self.turnover_no_vat.or_else(sum),
            1115 => self.take_list(value),
            _ => {}
        }
    }

    /// 1115 → 1119 {1199, 1120}. In a document of 1.0 the number 1115 is an address (text): its bytes do not
    /// close as such a list, or hold no 1119, and nothing is taken.
    fn take_list(&mut self, list: &Value<'_>) {
        for (tag, entry) in list.children().map_while(Result::ok) {
            if tag.0 != 1119 {
                continue;
            }
            let (mut code, mut sum) = (None, None);
            for (tag, value) in entry.children().map_while(Result::ok) {
                match tag.0 {
                    1199 => code = value.u8().ok(),
                    1120 => sum = value.kopecks().ok().map(|sum| sum.0),
                    _ => {}
                }
            }
            if let Some(code) = code {
                set(&mut self.listed, code, sum);
            }
        }
    }

    /// Decides between 18 and 20 % by the items, by the total, then by the date of the document.
    pub fn settle(&mut self, items: &[Item], total: Option<i64>, local_seconds: Option<i64>) {
        let mut guessed = None;
        let mut decide = |code: u8, sum: Option<i64>| -> bool {
            let Some(sum) = sum else { return false };
            let by_date = local_seconds.is_some_and(|at| at < RATE_20_SINCE);
            let told = by_items(items, code, sum).or_else(|| self.by_total(items, total, code, sum));
            let (old, by_guess) = match told {
                Some(old) => (old, false),
                None => (by_date, sum != 0),
            };
            guessed = Some(guessed.unwrap_or(false) | by_guess);
            old
        };
        let old_rate = decide(1, self.code(1));
        let old_rate_calculated = decide(3, self.code(3));
        self.split = Split { old_rate, old_rate_calculated, guessed };
    }

    /// As [`by_items`], over the receipt as a whole: when no item says its rate and no other tax is in it.
    fn by_total(&self, items: &[Item], total: Option<i64>, code: u8, sum: i64) -> Option<bool> {
        let other_tax =
            (1..=12).filter(|other| *other != code).any(|other| self.code(other).unwrap_or(0) != 0);
        if other_tax || items.iter().any(|item| item.vat_rate.is_some()) {
            return None;
        }
        let free = [self.turnover_vat0, self.turnover_no_vat];
        let free = free.into_iter().flatten().map(i128::from).fold(0, i128::saturating_add);
        let count = i128::try_from(items.len().max(1)).ok()?;
        one_rate(i128::from(total?).checked_sub(free)?, count, sum)
    }

    fn code(&self, code: u8) -> Option<i64> {
        let at = usize::from(code).checked_sub(1)?;
        let flat = self.flat.get(at).copied().flatten();
        flat.or_else(|| self.listed.get(at).copied().flatten())
    }

    /// Tax of a code that means one rate only: 2, 4, 7..=12.
    pub fn plain(&self, code: u8) -> Option<i64> {
        self.code(code)
    }

    /// `vat20`: code 1 where it means 20 %.
    pub fn rate20(&self) -> Option<i64> {
        self.code(1).filter(|_| !self.split.old_rate)
    }
    /// `vat18`: code 1 where it means 18 %.
    pub fn rate18(&self) -> Option<i64> {
        self.code(1).filter(|_| self.split.old_rate)
    }
    /// `vat20c`: code 3 where it means 20/120.
    pub fn rate20_calculated(&self) -> Option<i64> {
        self.code(3).filter(|_| !self.split.old_rate_calculated)
    }
    /// `vat18c`: code 3 where it means 18/118.
    pub fn rate18_calculated(&self) -> Option<i64> {
        self.code(3).filter(|_| self.split.old_rate_calculated)
    }
    /// Whether the date alone decided between 18 and 20 %; `None` without a tax of code 1 or 3.
    pub fn guessed(&self) -> Option<bool> {
        self.split.guessed
    }
}

fn set(sums: &mut [Option<i64>; CODES], code: u8, sum: Option<i64>) {
    if matches!(code, 5 | 6) {
        return;
    }
    if let Some(slot) = usize::from(code).checked_sub(1).and_then(|at| sums.get_mut(at)) {
        *slot = slot.or(sum);
    }
}

/// `Some(true)` when only 18 % explains the sum, `Some(false)` when only 20 % does.
fn by_items(items: &[Item], code: u8, sum: i64) -> Option<bool> {
    let (mut turnover, mut count) = (0_i128, 0_i128);
    for item in items.iter().filter(|item| item.vat_rate == Some(i64::from(code))) {
        let part = i128::from(item.sum?);
        turnover = turnover.checked_add(if item.storno { part.checked_neg()? } else { part })?;
        count = count.checked_add(1)?;
    }
    if count == 0 { None } else { one_rate(turnover, count, sum) }
}

/// Which of the two rates explains the sum over the turnover, a kopeck of tolerance each of `count` times.
fn one_rate(turnover: i128, count: i128, sum: i64) -> Option<bool> {
    // |sum - turnover·r/(100+r)| <= count, without division.
    let fits = |rate: i128| -> Option<bool> {
        let base = rate.checked_add(100)?;
        let gap = i128::from(sum).checked_mul(base)?.checked_sub(turnover.checked_mul(rate)?)?;
        Some(gap.abs() <= count.checked_mul(base)?)
    };
    match (fits(18)?, fits(20)?) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    fn settled(tax: i64, turnover: Option<i64>, at: i64) -> Vat {
        with_total(tax, turnover, None, at)
    }

    fn with_total(tax: i64, turnover: Option<i64>, total: Option<i64>, at: i64) -> Vat {
        let mut vat = Vat {
            flat: [Some(tax), None, None, None, None, None, None, None, None, None, None, None],
            ..Vat::default()
        };
        let items: Vec<Item> = turnover
            .into_iter()
            .map(|sum| Item { sum: Some(sum), vat_rate: Some(1), ..Item::default() })
            .collect();
        vat.settle(&items, total, Some(at));
        vat
    }

    #[test]
    fn the_amount_tells_18_from_20_whatever_the_date() {
        let (before, after) = (RATE_20_SINCE - 1, RATE_20_SINCE);
        for at in [before, after] {
            let old = settled(1800, Some(11800), at);
            assert_eq!((old.rate18(), old.rate20(), old.guessed()), (Some(1800), None, Some(false)), "{at}");
            let new = settled(2000, Some(12000), at);
            assert_eq!((new.rate18(), new.rate20(), new.guessed()), (None, Some(2000), Some(false)), "{at}");
        }
    }

    #[test]
    fn without_items_the_date_decides_and_says_that_it_guessed() {
        assert_eq!(settled(5, None, RATE_20_SINCE - 1).rate18(), Some(5));
        assert_eq!(settled(5, None, RATE_20_SINCE).rate20(), Some(5));
        assert_eq!(settled(5, None, RATE_20_SINCE).guessed(), Some(true));
    }

    #[test]
    fn an_amount_that_fits_both_rates_or_neither_is_a_guess() {
        assert_eq!(settled(1, Some(6), RATE_20_SINCE).guessed(), Some(true), "both");
        assert_eq!(settled(5000, Some(10000), RATE_20_SINCE).guessed(), Some(true), "neither");
    }

    #[test]
    fn the_total_tells_when_items_do_not_and_no_other_tax_is_in_it() {
        let at = RATE_20_SINCE;
        assert_eq!(with_total(1800, None, Some(11800), at).rate18(), Some(1800));
        assert_eq!(with_total(1800, None, Some(11800), at).guessed(), Some(false));
        assert_eq!(with_total(1800, Some(7), Some(11800), at).guessed(), Some(true), "items have rates");
        let mut two = Vat {
            flat: [Some(2000), Some(1), None, None, None, None, None, None, None, None, None, None],
            ..Vat::default()
        };
        two.settle(&[], Some(12000), Some(at));
        assert_eq!(two.guessed(), Some(true), "two taxes");
        let mut part = Vat {
            turnover_no_vat: Some(8000),
            flat: [Some(2000), None, None, None, None, None, None, None, None, None, None, None],
            ..Vat::default()
        };
        part.settle(&[], Some(20000), Some(at));
        assert_eq!(part.guessed(), Some(false), "turnover without tax is taken off");
    }

    #[test]
    fn a_tax_of_zero_is_nobodys_guess() {
        assert_eq!(settled(0, None, RATE_20_SINCE).guessed(), Some(false));
    }
}
