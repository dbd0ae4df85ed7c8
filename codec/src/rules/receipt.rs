//! What the rules of arithmetic ask of a receipt and of its items, read once for all of them.
//!
//! Shape: an [`Item`] lives while its nest is judged, [`Items`] sums up what the rules of the whole receipt need of
//! them, a [`Receipt`] holds both beside its own requisites. All on the stack.
//! Unit: kopecks; the rate of tax is the code of tag 1199.

use super::vat;
use super::walk::{Nest, find};
use crate::{Quantity, Tag, Tlv, Value, tags};

/// Codes of the rate (1199) that have a meaning: 1 to 12.
pub(super) const RATES: usize = 13;

/// One item (предмет расчета, 1059), in numbers: what is missing or can not be read is `None`, a code then is 0.
pub(super) struct Item<'a, 'v> {
    pub(super) nest: &'a Nest<'a, 'v>,
    /// Tag 1079, kopecks.
    pub(super) price: Option<u64>,
    /// Tag 1023.
    pub(super) quantity: Option<Quantity>,
    /// Tag 1043, kopecks.
    pub(super) sum: Option<u64>,
    /// Tag 1199.
    pub(super) rate: u8,
    /// Tag 1200, kopecks.
    pub(super) tax: Option<u64>,
    /// Tag 1214.
    pub(super) method: u8,
    /// Tag 1212.
    pub(super) subject: u8,
    /// Tag 2108.
    pub(super) measure: Option<u8>,
}

impl<'a, 'v> Item<'a, 'v> {
    #[inline(always)]
    pub(super) fn read(nest: &'a Nest<'a, 'v>) -> Self {
        Self {
            nest,
            price: nest.amount(tags::PRICE),
            quantity: nest.decimal(tags::QUANTITY),
            sum: nest.amount(tags::ITEM_SUM),
            rate: nest.code(tags::VAT_RATE).unwrap_or_default(),
            tax: nest.amount(tags::ITEM_VAT_SUM),
            method: nest.code(tags::PAYMENT_METHOD).unwrap_or_default(),
            subject: nest.code(tags::PAYMENT_SUBJECT).unwrap_or_default(),
            measure: nest.code(tags::QUANTITY_MEASURE),
        }
    }
}

/// A number that can be read; an unreadable one is the business of B4.
#[inline]
pub(super) fn amount(value: Value<'_>) -> Option<u64> {
    value.vln().ok()
}

/// A code of one byte.
#[inline]
pub(super) fn code(value: Value<'_>) -> Option<u8> {
    value.u8().ok()
}

/// What the items with one rate come to.
#[derive(Copy, Clone, Default)]
pub(super) struct Turnover {
    /// How many there are.
    pub(super) items: u64,
    /// Their sums (1043).
    pub(super) sum: u64,
    /// Their taxes (1200), or what the rate gives where an item does not say.
    pub(super) tax: u64,
}

/// What all items together come to.
#[derive(Default)]
pub(super) struct Items {
    pub(super) count: u64,
    /// Of 1043; saturates, and what saturates equals nothing.
    pub(super) sum: u64,
    /// Items without a sum that can be read.
    pub(super) sumless: u64,
    /// By code of the rate.
    pub(super) rates: [Turnover; RATES],
    /// A bit a code of a rate that an item has.
    pub(super) rates_seen: u16,
    /// Items without a rate that is known.
    pub(super) rateless: u64,
    /// A bit a code of 1214.
    pub(super) methods: u8,
    /// Items without a 1214 that is known.
    pub(super) methodless: u64,
    /// An item whose price says that it was given away.
    pub(super) given_away: bool,
    /// An item with an agent's flag and without the ИНН of a supplier.
    pub(super) agent_alone: bool,
    /// An item of the kinds 30 to 33 of 1212.
    pub(super) marked: bool,
    /// All bits of 2106, and those of results that are no results.
    pub(super) check_negative: bool,
    pub(super) check_odd: bool,
}

impl Items {
    #[inline]
    pub(super) fn add(&mut self, item: &Item<'_, '_>) {
        self.count = self.count.wrapping_add(1);
        self.sumless = self.sumless.wrapping_add(u64::from(item.sum.is_none()));
        let sum = item.sum.unwrap_or_default();
        self.sum = self.sum.saturating_add(sum);
        match (item.rate, self.rates.get_mut(usize::from(item.rate))) {
            (rate @ 1.., Some(slot)) => {
                let tax = item.tax.or_else(|| vat::within(sum, rate, item.nest.whole.date));
                slot.items = slot.items.wrapping_add(1);
                slot.sum = slot.sum.saturating_add(sum);
                slot.tax = slot.tax.saturating_add(tax.unwrap_or_default());
                self.rates_seen |= bit(rate);
            }
            _ => self.rateless = self.rateless.wrapping_add(1),
        }
        match item.method {
            method @ 1..=7 => self.methods |= 1 << method,
            _ => self.methodless = self.methodless.wrapping_add(1),
        }
        self.given_away |= sum == 0 && item.price.is_some_and(|price| price > 0);
        self.agent_alone |= is_agent_alone(item.nest);
        self.marked |= matches!(item.subject, 30..=33);
        if let Some(bits) = item.nest.code(tags::ITEM_CHECK_RESULT) {
            self.check_negative |= is_negative(bits);
            self.check_odd |= is_odd(bits);
        }
    }
}

/// The bit of a code below 16.
#[inline]
pub(super) const fn bit(code: u8) -> u16 {
    1 << (code & 15)
}

/// An agent's flag (1222) and no supplier (1226).
#[inline]
fn is_agent_alone(nest: &Nest<'_, '_>) -> bool {
    nest.get(tags::ITEM_AGENT_FLAGS).is_some_and(flagged) && nest.get(tags::SUPPLIER_INN).is_none()
}

/// Some bit is set.
pub(super) fn flagged(value: Value<'_>) -> bool {
    value.bytes().iter().any(|&byte| byte != 0)
}

/// A result (2106) that says no: the code was checked and is not good, or its status was asked and is wrong.
pub(super) const fn is_negative(bits: u8) -> bool {
    bits & 0b0011 == 0b0001 || bits & 0b1100 == 0b0100
}

/// A result (2106) that says yes without having asked.
pub(super) const fn is_odd(bits: u8) -> bool {
    bits & 0b0011 == 0b0010 || bits & 0b1100 == 0b1000
}

/// A receipt, БСО or correction.
pub(super) struct Receipt<'a, 'v> {
    pub(super) nest: &'a Nest<'a, 'v>,
    pub(super) items: &'a Items,
    /// Tag 1020, kopecks.
    pub(super) total: Option<u64>,
    /// Tags 1031, 1081, 1215, 1216, 1217; what is missing is 0.
    pub(super) cash: u64,
    pub(super) ecash: u64,
    pub(super) prepaid: u64,
    pub(super) credit: u64,
    pub(super) provision: u64,
    /// Which of the tags 1102 to 1107 stand there, in the order of [`vat::FLAT`], and what they say.
    pub(super) flat: [Option<u64>; 6],
    /// Tag 1115, where it is a structure.
    pub(super) sums: Option<Value<'v>>,
    /// Tag 1054.
    pub(super) operation: Option<u8>,
    /// Tag 1055.
    pub(super) taxation: Option<u8>,
}

impl<'a, 'v> Receipt<'a, 'v> {
    #[inline(always)]
    pub(super) fn read(nest: &'a Nest<'a, 'v>, items: &'a Items) -> Self {
        let money = |tag: Tag| nest.amount(tag).unwrap_or_default();
        let sums = nest.get(tags::RECEIPT_VAT_SUMS).filter(|_| vat::sums_exist(nest));
        Self {
            nest,
            items,
            total: nest.amount(tags::TOTAL_SUM),
            cash: money(tags::CASH_SUM),
            ecash: money(tags::ECASH_SUM),
            prepaid: money(tags::PREPAID_SUM),
            credit: money(tags::CREDIT_SUM),
            provision: money(tags::PROVISION_SUM),
            flat: vat::FLAT.map(|(tag, _)| nest.amount(tag)),
            sums,
            operation: nest.code(tags::OPERATION_TYPE),
            taxation: nest.code(tags::APPLIED_TAXATION_TYPE),
        }
    }

    /// True where money or goods come back (возврат прихода, возврат расхода).
    pub(super) const fn is_return(&self) -> bool {
        matches!(self.operation, Some(2 | 4))
    }

    /// The items once more, for a rule that has something to say about them.
    #[cold]
    pub(super) fn each_item(&self) -> impl Iterator<Item = Tlv<'v>> + use<'v> {
        let items = self.nest.children().map_while(Result::ok);
        items.filter(|(tag, _)| *tag == tags::ITEM).map(|(_, value)| value.children())
    }

    /// The items with one of these rates: the value of their 1199.
    #[cold]
    pub(super) fn each_rate(
        &self,
        wanted: fn(u8) -> bool,
    ) -> impl Iterator<Item = (Value<'v>, Tlv<'v>)> + use<'v> {
        self.each_item().filter_map(move |item| {
            let value = find(item, tags::VAT_RATE)?;
            code(value).filter(|&rate| wanted(rate)).map(|_| (value, item))
        })
    }

    /// True if an item has one of these rates, a bit each.
    #[inline]
    pub(super) const fn has_rate(&self, rates: u16) -> bool {
        self.items.rates_seen & rates != 0
    }
}
