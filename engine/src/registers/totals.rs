//! Sums of receipts: by direction × payment form × code of tax, exact to the kopeck. Pure.
//!
//! **Revenue** is stated here and nowhere else ([`REVENUE_SIGN`]): what was received less what was given back, receipts and
//! corrections alike, `Σ 1020 where 1054 = 1  −  Σ 1020 where 1054 = 2`; what was paid out (3, 4) is no revenue.
//!
//! Unit: kopecks. A sum that leaves 64 bits, which takes a forged document, marks the whole as inexact and stays
//! where it was.
//! Source: order ЕД-7-20/662@, tags 1020, 1031, 1054, 1081, 1102-1107, 1115 → 1119 {1199, 1120}, 1215-1217.

use ofd_codec::{DocumentView, Form, Tag, Value, tags};

/// Directions of tag 1054: receipt, its return, payout, its return.
pub const DIRECTIONS: usize = 4;
/// Payment forms: cash 1031, card 1081, prepaid 1215, credit 1216, provision 1217.
pub const PAYMENTS: usize = 5;
/// Codes of tag 1199.
pub const VAT_CODES: usize = 12;

/// Names of the directions, as tables and lines of JSON have them.
pub const DIRECTION_NAMES: [&str; DIRECTIONS] = ["sell", "sell_return", "buy", "buy_return"];
/// Names of the payment forms, in the order of [`PAYMENT_TAGS`].
pub const PAYMENT_NAMES: [&str; PAYMENTS] = ["cash", "ecash", "prepaid", "credit", "provision"];
/// Names of the codes of 1199, in their order; 5 and 6 are turnover.
pub const VAT_NAMES: [&str; VAT_CODES] = [
    "vat20",
    "vat10",
    "vat20c",
    "vat10c",
    "turnover_vat0",
    "turnover_no_vat",
    "vat5",
    "vat7",
    "vat5c",
    "vat7c",
    "vat22",
    "vat22c",
];

/// How the total of a receipt counts in revenue, by its direction: the formula of the module header.
pub const REVENUE_SIGN: [i64; DIRECTIONS] = [1, -1, 0, 0];

/// Tags of the payment forms, in their order.
pub const PAYMENT_TAGS: [Tag; PAYMENTS] =
    [tags::CASH_SUM, tags::ECASH_SUM, tags::PREPAID_SUM, tags::CREDIT_SUM, tags::PROVISION_SUM];

/// The tags that [`PaidRead::take`] asks for.
pub(super) const PAID_TAGS: &[Tag] = &[
    tags::OPERATION_TYPE,
    tags::TOTAL_SUM,
    tags::CASH_SUM,
    tags::ECASH_SUM,
    tags::PREPAID_SUM,
    tags::CREDIT_SUM,
    tags::PROVISION_SUM,
    tags::VAT_20,
    tags::VAT_10,
    tags::VAT_20_120,
    tags::VAT_10_110,
    tags::TURNOVER_VAT_0,
    tags::TURNOVER_NO_VAT,
    tags::RECEIPT_VAT_SUMS,
];

/// Sums of one receipt or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many receipts.
    pub receipts: u32,
    /// 1020.
    pub total: i64,
    /// By payment form, in the order of [`PAYMENT_TAGS`].
    pub payments: [i64; PAYMENTS],
    /// By code of 1199 less one: tax, and for codes 5 and 6 turnover.
    pub vat: [i64; VAT_CODES],
}

/// Sums of [`Sums::slot`].
pub(super) const SLOTS: u32 = VAT + VAT_CODES as u32;
/// Slots of the first payment form and of the first code of tax.
const PAYMENT: u32 = 1;
const VAT: u32 = PAYMENT + PAYMENTS as u32;

impl Sums {
    /// A sum by its slot.
    pub(super) fn sum(&self, at: u32) -> Option<i64> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        match at.checked_sub(1) {
            None => Some(self.total),
            Some(at) if at < PAYMENTS => self.payments.get(at).copied(),
            Some(at) => self.vat.get(at.saturating_sub(PAYMENTS)).copied(),
        }
    }

    /// A bit for each slot whose sum is not zero.
    pub(super) fn mask(&self) -> u32 {
        let bits =
            |sums: &[i64]| sums.iter().rev().fold(0_u32, |bits, sum| (bits << 1) | u32::from(*sum != 0));
        bits(&[self.total]) | (bits(&self.payments) << PAYMENT) | (bits(&self.vat) << VAT)
    }

    /// The sums in the order they are written in, below [`SLOTS`]: total, payment forms, codes of tax.
    pub(super) fn slot(&mut self, at: u32) -> Option<&mut i64> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        match at.checked_sub(1) {
            None => Some(&mut self.total),
            Some(at) if at < PAYMENTS => self.payments.get_mut(at),
            Some(at) => self.vat.get_mut(at.saturating_sub(PAYMENTS)),
        }
    }
}

/// What one receipt adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// 1054 less one.
    pub direction: usize,
    /// Forms 31 and 41.
    pub correction: bool,
    /// Its sums.
    pub sums: Sums,
}

impl Paid {
    /// Reads a receipt, a БСО or a correction; `None` for other forms and where no direction can be read.
    #[must_use]
    pub fn of(view: &DocumentView<'_>) -> Option<Self> {
        let mut read = PaidRead::default();
        read.begin(view.form());
        view.tags().for_each(|(tag, value)| read.take(tag, &value));
        read.end();
        read.paid().copied()
    }

    /// As a row of sums.
    pub(super) fn row(&self) -> Option<Row> {
        kind_of(self.direction, self.correction).map(|kind| Row { kind, sums: self.sums })
    }

    /// What it adds to revenue, kopecks.
    #[must_use]
    pub fn revenue(&self) -> i64 {
        REVENUE_SIGN.get(self.direction).map_or(0, |sign| self.sums.total.saturating_mul(*sign))
    }
}

/// A receipt that is being read, requisite by requisite of its upper level: what it adds is put together where it stays.
#[derive(Default)]
pub(super) struct PaidRead {
    /// Of other forms nothing is read.
    pays: bool,
    /// A direction was read.
    whole: bool,
    direction: Option<u8>,
    /// Slots of [`Sums::slot`] that were read.
    seen: u32,
    paid: Paid,
}

impl PaidRead {
    /// A document of this form; of an empty one.
    pub(super) fn begin(&mut self, form: Form) {
        self.pays = form.is_receipt_like();
        self.paid.correction = matches!(form, Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION);
        self.paid.sums.receipts = 1;
    }

    /// Whether it is a receipt, a БСО or a correction.
    pub(super) const fn pays(&self) -> bool {
        self.pays
    }

    #[inline(always)]
    pub(super) fn take(&mut self, tag: Tag, value: &Value<'_>) {
        if !self.pays {
            return;
        }
        match tag {
            tags::OPERATION_TYPE => self.direction = self.direction.or(value.u8().ok()),
            tags::TOTAL_SUM => self.first(0, value),
            tags::CASH_SUM => self.first(PAYMENT, value),
            tags::ECASH_SUM => self.first(PAYMENT + 1, value),
            tags::PREPAID_SUM => self.first(PAYMENT + 2, value),
            tags::CREDIT_SUM => self.first(PAYMENT + 3, value),
            tags::PROVISION_SUM => self.first(PAYMENT + 4, value),
            // The code of 1199 whose sum stands in a tag of its own; 5 (0 %) and 6 (without tax) are turnover, not tax.
            tags::VAT_20 => self.first(VAT, value),
            tags::VAT_10 => self.first(VAT + 1, value),
            tags::VAT_20_120 => self.first(VAT + 2, value),
            tags::VAT_10_110 => self.first(VAT + 3, value),
            tags::TURNOVER_VAT_0 => self.first(VAT + 4, value),
            tags::TURNOVER_NO_VAT => self.first(VAT + 5, value),
            tags::RECEIPT_VAT_SUMS => {
                for (code, sum) in listed_vat(value) {
                    self.first(u32::try_from(code).unwrap_or(SLOTS).saturating_add(VAT), &sum);
                }
            }
            _ => {}
        }
    }

    /// Of a repeated requisite the first that can be read counts.
    fn first(&mut self, at: u32, value: &Value<'_>) {
        let bit = 1_u32.checked_shl(at).unwrap_or(0);
        if self.seen & bit == 0
            && let Some(slot) = self.paid.sums.slot(at)
            && let Ok(sum) = value.kopecks()
        {
            *slot = sum.0;
            self.seen |= bit;
        }
    }

    /// All of it was read.
    pub(super) fn end(&mut self) {
        let direction = self.direction.and_then(|it| usize::from(it).checked_sub(1));
        if let Some(direction) = direction.filter(|it| *it < DIRECTIONS) {
            (self.paid.direction, self.whole) = (direction, self.pays);
        }
    }

    /// What it adds; `None` of other forms and where no direction can be read.
    pub(super) fn paid(&self) -> Option<&Paid> {
        self.whole.then_some(&self.paid)
    }
}

/// 1115 → 1119 {1199, 1120}: code less one, and the value of the sum.
fn listed_vat<'v>(list: &Value<'v>) -> impl Iterator<Item = (usize, Value<'v>)> + use<'v> {
    let entries = list.children().map_while(Result::ok).filter(|(tag, _)| *tag == tags::RECEIPT_VAT);
    entries.filter_map(|(_, entry)| {
        let inside = || entry.children().map_while(Result::ok);
        let code = inside().find(|(tag, _)| *tag == tags::VAT_RATE).and_then(|(_, value)| value.u8().ok())?;
        let (_, sum) = inside().find(|(tag, _)| *tag == tags::VAT_SUM)?;
        Some((usize::from(code).checked_sub(1)?, sum))
    })
}

/// Sums of many receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What there was, in ascending order of kinds: most shifts know one or two of the eight.
    pub(super) rows: Vec<Row>,
    /// A sum has left 64 bits.
    pub inexact: bool,
}

/// Sums of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Direction; corrections behind the others.
    pub(super) kind: u8,
    pub(super) sums: Sums,
}

/// Sums that are added to others: of one receipt, or of many.
#[derive(Clone, Copy, Debug)]
pub(super) struct More<'a> {
    pub(super) rows: &'a [Row],
    pub(super) inexact: bool,
}

impl<'a> From<&'a Totals> for More<'a> {
    fn from(totals: &'a Totals) -> Self {
        Self { rows: &totals.rows, inexact: totals.inexact }
    }
}

impl<'a> From<&'a Row> for More<'a> {
    fn from(row: &'a Row) -> Self {
        Self { rows: core::slice::from_ref(row), inexact: false }
    }
}

/// Kinds of [`Row`].
pub(super) const KINDS: usize = DIRECTIONS * 2;

impl Totals {
    /// One more.
    pub fn add(&mut self, paid: &Paid) {
        if let Some(kind) = kind_of(paid.direction, paid.correction) {
            self.put(kind, &paid.sums);
        }
    }

    /// All that others have added up.
    pub fn add_all(&mut self, more: &Self) {
        self.add_more(more.into());
    }

    pub(super) fn add_more(&mut self, more: More<'_>) {
        more.rows.iter().for_each(|row| self.put(row.kind, &row.sums));
        self.inexact |= more.inexact;
    }

    fn put(&mut self, kind: u8, more: &Sums) {
        let Some(sums) = self.row(kind) else { return };
        let mut whole = true;
        let mut put = |slot: &mut i64, more: i64| match slot.checked_add(more) {
            Some(sum) => *slot = sum,
            None => whole = false,
        };
        put(&mut sums.total, more.total);
        // Most of them are zero.
        let others = sums.payments.iter_mut().zip(&more.payments).chain(sums.vat.iter_mut().zip(&more.vat));
        others.filter(|(_, more)| **more != 0).for_each(|(slot, more)| put(slot, *more));
        sums.receipts = sums.receipts.saturating_add(more.receipts);
        self.inexact |= !whole;
    }

    /// The sums of a kind, put in their place when they are new.
    fn row(&mut self, kind: u8) -> Option<&mut Sums> {
        let at = self.rows.partition_point(|row| row.kind < kind);
        if self.rows.get(at).is_none_or(|row| row.kind != kind) {
            self.rows.reserve_exact(1);
            self.rows.insert(at, Row { kind, sums: Sums::default() });
        }
        self.rows.get_mut(at).map(|row| &mut row.sums)
    }

    fn sums(&self, direction: usize, correction: bool) -> Sums {
        let kind = kind_of(direction, correction);
        self.rows.iter().find(|row| Some(row.kind) == kind).map(|row| row.sums).unwrap_or_default()
    }

    /// Receipts and БСО of a direction.
    #[must_use]
    pub fn receipts(&self, direction: usize) -> Sums {
        self.sums(direction, false)
    }

    /// Corrections of a direction.
    #[must_use]
    pub fn corrections(&self, direction: usize) -> Sums {
        self.sums(direction, true)
    }

    /// Receipts, БСО and corrections.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.rows.iter().fold(0, |sum, row| sum.saturating_add(row.sums.receipts))
    }

    /// The average receipt, kopecks, rounded down: of receipts and БСО of direction 1, without corrections. `None` when there
    /// were none.
    #[must_use]
    pub fn average(&self) -> Option<i64> {
        let sold = self.receipts(0);
        sold.total.checked_div(i64::from(sold.receipts))
    }

    /// Revenue, kopecks: the formula of the module header.
    #[must_use]
    pub fn revenue(&self) -> i64 {
        (0..).zip(REVENUE_SIGN).filter(|(_, sign)| *sign != 0).fold(0, |revenue: i64, (direction, sign)| {
            let (receipts, corrections) = (self.receipts(direction), self.corrections(direction));
            revenue.saturating_add(receipts.total.saturating_add(corrections.total).saturating_mul(sign))
        })
    }
}

fn kind_of(direction: usize, correction: bool) -> Option<u8> {
    let direction = u8::try_from(direction).ok().filter(|it| usize::from(*it) < DIRECTIONS)?;
    Some(if correction { direction.saturating_add(4) } else { direction })
}
const _: () = assert!(DIRECTIONS == 4);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use ofd_codec::TlvWriter;

    use super::*;

    fn paid(form: Form, direction: u8, total: u64) -> Paid {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(form, |w| {
                w.u8(tags::OPERATION_TYPE, direction);
                w.vln(tags::TOTAL_SUM, total);
                w.vln(tags::CASH_SUM, total);
                w.vln(tags::VAT_10, total / 11);
                w.nested(tags::RECEIPT_VAT_SUMS, |list| {
                    list.nested(tags::RECEIPT_VAT, |entry| {
                        entry.u8(tags::VAT_RATE, 11);
                        entry.vln(tags::VAT_SUM, 7);
                        Ok(())
                    })
                })
            })
            .unwrap();
        Paid::of(&DocumentView::new_checked(&bytes).unwrap()).unwrap()
    }

    #[test]
    fn revenue_is_what_came_less_what_was_given_back() {
        let mut totals = Totals::default();
        for (form, direction, total) in [
            (Form::RECEIPT, 1, 10_000),
            (Form::BSO, 1, 500),
            (Form::RECEIPT, 2, 3_000),
            (Form::RECEIPT, 3, 700),
            (Form::RECEIPT, 4, 70),
            (Form::RECEIPT_CORRECTION, 1, 1_000),
            (Form::BSO_CORRECTION, 2, 100),
        ] {
            totals.add(&paid(form, direction, total));
        }
        assert_eq!(totals.revenue(), 10_500 - 3_000 + 1_000 - 100);
        assert_eq!((totals.count(), totals.inexact), (7, false));
        let sell = totals.receipts(0);
        assert_eq!((totals.average(), Totals::default().average()), (Some(5_250), None));
        assert_eq!((sell.receipts, sell.total, sell.payments[0]), (2, 10_500, 10_500));
        assert_eq!((sell.vat[1], sell.vat[10]), (10_000 / 11 + 500 / 11, 14));
        assert_eq!(totals.corrections(1).total, 100);
    }

    #[test]
    fn a_sum_that_leaves_64_bits_is_said_to_be_inexact() {
        let mut totals = Totals::default();
        totals.add(&paid(Form::RECEIPT, 1, i64::MAX as u64));
        totals.add(&paid(Form::RECEIPT, 1, 1));
        assert!(totals.inexact && totals.receipts(0).total == i64::MAX);
    }

    #[test]
    fn what_is_no_receipt_or_goes_nowhere_adds_nothing() {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::RECEIPT, |w| {
                w.u8(tags::OPERATION_TYPE, 9);
                Ok(())
            })
            .unwrap();
        assert_eq!(Paid::of(&DocumentView::new_checked(&bytes).unwrap()), None);
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes).document(Form::OPEN_SHIFT, |_| Ok(())).unwrap();
        assert_eq!(Paid::of(&DocumentView::new_checked(&bytes).unwrap()), None);
    }
}
