//! Counters that a drive keeps of itself: of the shift (tag 1194) and of its whole life (tag 1157).
//!
//! Corrections are counted apart (1133). There are no counters for the rates 5, 7 and 22 %: the order names none.

use ofd_codec::{EncodeError, Tag, TlvWriter, tags};

use crate::shapes::Sale;

/// Counters of one direction of settlements (tags 1129 to 1132).
#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    count: u32,
    cash: u64,
    ecash: u64,
    prepaid: u64,
    credit: u64,
    provision: u64,
    total: u64,
    /// Tax of the codes 1 to 4 of tag 1199, then turnover of 5 and 6.
    rates: [u64; 6],
}

/// All counters of a shift or of a drive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    receipts: u32,
    directions: [Direction; 4],
    /// Number and sum of corrections by direction.
    corrections: [(u32, u64); 4],
}

const DIRECTIONS: [Tag; 4] =
    [tags::SELL_COUNTERS, tags::SELL_RETURN_COUNTERS, tags::BUY_COUNTERS, tags::BUY_RETURN_COUNTERS];
const CORRECTIONS: [Tag; 4] = [
    tags::SELL_CORRECTION_COUNTERS,
    tags::SELL_RETURN_CORRECTION_COUNTERS,
    tags::BUY_CORRECTION_COUNTERS,
    tags::BUY_RETURN_CORRECTION_COUNTERS,
];
const RATES: [Tag; 6] = [
    tags::COUNTER_VAT_20,
    tags::COUNTER_VAT_10,
    tags::COUNTER_VAT_20_120,
    tags::COUNTER_VAT_10_110,
    tags::COUNTER_TURNOVER_VAT_0,
    tags::COUNTER_TURNOVER_NO_VAT,
];

impl Counters {
    /// Counters of a drive that has lived before it is first seen: `receipts` sales of `total` kopecks, all by card.
    pub(crate) fn of_past(receipts: u32, total: u64) -> Self {
        let mut past = Self { receipts, ..Self::default() };
        if let Some(sales) = past.directions.first_mut() {
            *sales = Direction { count: receipts, ecash: total, total, ..Direction::default() };
        }
        past
    }

    /// Receipts, БСО and corrections together.
    pub(crate) fn receipts(&self) -> u32 {
        self.receipts
    }

    /// Counts one more settlement.
    pub(crate) fn add(&mut self, sale: &Sale) {
        self.receipts += 1;
        let at = usize::from(sale.direction).wrapping_sub(1);
        if sale.is_correction() {
            if let Some((count, sum)) = self.corrections.get_mut(at) {
                *count += 1;
                *sum += sale.total;
            }
            return;
        }
        let Some(direction) = self.directions.get_mut(at) else { return };
        direction.count += 1;
        direction.cash += sale.cash;
        direction.ecash += sale.ecash;
        direction.prepaid += sale.prepaid;
        direction.credit += sale.credit;
        direction.provision += sale.provision;
        direction.total += sale.total;
        for (code, counter) in (1u8..).zip(&mut direction.rates) {
            *counter += if code < 5 { sale.rates.tax_of(code) } else { sale.rates.turnover_of(code) };
        }
    }

    /// Writes the structure `tag` (1194 or 1157). Directions without a settlement are left out.
    pub(crate) fn write(&self, tag: Tag, writer: &mut TlvWriter<'_>) -> Result<(), EncodeError> {
        writer.nested(tag, |writer| {
            writer.u32(tags::ALL_RECEIPTS_COUNT, self.receipts);
            for (tag, direction) in DIRECTIONS.into_iter().zip(&self.directions) {
                if direction.count > 0 {
                    writer.nested(tag, |writer| {
                        direction.write(writer);
                        Ok(())
                    })?;
                }
            }
            let all: u32 = self.corrections.iter().map(|(count, _)| count).sum();
            if all == 0 {
                return Ok(());
            }
            writer.nested(tags::CORRECTION_COUNTERS, |writer| {
                writer.u32(tags::CORRECTIONS_COUNT, all);
                for (tag, (count, sum)) in CORRECTIONS.into_iter().zip(self.corrections) {
                    if count > 0 {
                        writer.nested(tag, |writer| {
                            writer.u32(tags::RECEIPTS_COUNT, count);
                            writer.vln(tags::COUNTER_TOTAL_SUM, sum);
                            Ok(())
                        })?;
                    }
                }
                Ok(())
            })
        })
    }
}

impl Direction {
    fn write(&self, writer: &mut TlvWriter<'_>) {
        writer.u32(tags::RECEIPTS_COUNT, self.count);
        writer.vln(tags::COUNTER_CASH_SUM, self.cash);
        writer.vln(tags::COUNTER_ECASH_SUM, self.ecash);
        writer.vln(tags::COUNTER_PREPAID_SUM, self.prepaid);
        writer.vln(tags::COUNTER_CREDIT_SUM, self.credit);
        writer.vln(tags::COUNTER_PROVISION_SUM, self.provision);
        writer.vln(tags::COUNTER_TOTAL_SUM, self.total);
        for (tag, sum) in RATES.into_iter().zip(self.rates) {
            writer.vln(tag, sum);
        }
    }
}
