//! Exact arithmetic of a receipt: kopecks, decimal quantities, tax extracted from a tax-inclusive sum.
//!
//! Integers only. Rounding is half up, as rules C3 and C4 want it.

use ofd_codec::Quantity;

/// Cost of a line: price × quantity, rounded half up to a kopeck (rule C3, tag 1043).
///
/// Saturates at the largest `u64`; prices here stay below 10^10 and quantities below 10^6.
pub(crate) fn cost(price: u64, quantity: Quantity) -> u64 {
    let unit = 10u128.pow(u32::from(quantity.scale));
    let twice = 2 * u128::from(price) * u128::from(quantity.mantissa) + unit;
    u64::try_from(twice / (2 * unit)).unwrap_or(u64::MAX)
}

/// Tax inside a sum at rate code `code` of tag 1199: sum × r / (100 + r), rounded half up (rule C4, tag 1200).
///
/// 0 for the codes that bear no tax (5 and 6). Codes 1 and 3 mean 18 % before 2019 and 20 % since; `date` is local seconds.
pub(crate) fn tax_inside(sum: u64, code: u8, date: u32) -> u64 {
    let rate = u128::from(percent(code, date));
    let base = 100 + rate;
    u64::try_from((2 * u128::from(sum) * rate + base) / (2 * base)).unwrap_or(u64::MAX)
}

/// First local second of 2019, when 18 % became 20 %.
pub(crate) const YEAR_2019: u32 = 1_546_300_800;
/// First local second of 2025, when payers under the simplified system got 5 % and 7 %.
pub(crate) const YEAR_2025: u32 = 1_735_689_600;
/// First local second of 2026, when the main rate became 22 %.
pub(crate) const YEAR_2026: u32 = 1_767_225_600;

/// Percent of a rate code of tag 1199 at a date; 0 for codes 5, 6 and unknown ones.
pub(crate) fn percent(code: u8, date: u32) -> u8 {
    match code {
        1 | 3 if date < YEAR_2019 => 18,
        1 | 3 => 20,
        2 | 4 => 10,
        7 | 9 => 5,
        8 | 10 => 7,
        11 | 12 => 22,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of rules C3 and C4, taken from real receipts.
    #[test]
    fn rounding_agrees_with_real_receipts() {
        let quantity = |mantissa, scale| Quantity { mantissa, scale };
        assert_eq!(cost(32_900, quantity(876, 3)), 28_820);
        assert_eq!(cost(9_990, quantity(1254, 3)), 12_527);
        assert_eq!(cost(1, quantity(5, 1)), 1, "half goes up");
        assert_eq!(cost(410, quantity(62, 0)), 25_420);
        assert_eq!(tax_inside(12_527, 11, YEAR_2026), 2259);
        assert_eq!(tax_inside(15_999, 1, YEAR_2019), 2667);
        assert_eq!(tax_inside(11_800, 1, YEAR_2019 - 1), 1800);
        assert_eq!(tax_inside(4_284, 2, YEAR_2019), 389);
        assert_eq!((tax_inside(100, 5, YEAR_2026), tax_inside(100, 6, YEAR_2026)), (0, 0));
    }
}
