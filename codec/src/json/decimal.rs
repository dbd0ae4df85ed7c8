//! Decimal literals, never through a float: `158.05` roubles are 15805 kopecks, `1.000` keeps its zeros.
//!
//! Shape:  `[-]digits[.digits][e[±]digits]`, up to 38 digits in all.
//! Noise: what a float printed as `181.00000000000003` or `0.30000000000000004` is told by at least nine digits after
//! the point, of which those behind the wanted ones are all but a thousandth zero or all but a thousandth one.

use crate::Quantity;

/// `mantissa × 10^-scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    mantissa: u128,
    scale: i32,
    /// It was spelled with a point or an exponent.
    pub(super) pointed: bool,
}

/// A number brought to a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaled {
    /// Nothing was lost.
    Exact(u64),
    /// The noise of a float was taken off.
    Rounded(u64),
}

/// Digits after the point from which on noise is believed in.
const NOISE_SCALE_MIN: i32 = 9;

fn power(exponent: i32) -> Option<u128> {
    10_u128.checked_pow(u32::try_from(exponent).ok()?)
}

impl Decimal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => {
                let exponent: i32 = exponent.parse().ok().filter(|it| (-64..=64).contains(it))?;
                (digits, exponent)
            }
            None => (text, 0),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let mut mantissa = 0_u128;
        for digit in whole.chars().chain(part.chars()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(u128::from(digit.to_digit(10)?))?;
        }
        let scale = i32::try_from(part.len()).ok()?.checked_sub(exponent)?;
        Some(Self { negative, mantissa, scale, pointed: text.contains(['.', 'e', 'E']) })
    }

    /// The number times `10^scale`, if that is whole and not negative; see the module header for noise.
    pub(super) fn scaled(self, scale: u8) -> Option<Scaled> {
        if self.negative && self.mantissa != 0 {
            return None;
        }
        let up = i32::from(scale).checked_sub(self.scale)?;
        if up >= 0 {
            let whole = self.mantissa.checked_mul(power(up)?)?;
            return u64::try_from(whole).ok().map(Scaled::Exact);
        }
        let unit = power(up.checked_neg()?)?;
        let (whole, rest) = (self.mantissa.checked_div(unit)?, self.mantissa.checked_rem(unit)?);
        if rest == 0 {
            return u64::try_from(whole).ok().map(Scaled::Exact);
        }
        let thousandth = unit.checked_div(1000)?;
        let whole = match rest {
            _ if self.scale < NOISE_SCALE_MIN => return None,
            _ if rest <= thousandth => whole,
            _ if rest >= unit.checked_sub(thousandth)? => whole.checked_add(1)?,
            _ => return None,
        };
        u64::try_from(whole).ok().map(Scaled::Rounded)
    }

    /// The number with the digits it was spelled with; true when the noise of a float was taken off.
    pub(super) fn quantity(self) -> Option<(Quantity, bool)> {
        let fits = |mantissa: u64| mantissa >> 56 == 0;
        if self.negative && self.mantissa != 0 {
            return None;
        }
        // Noise first: it would often fit, and nobody weighs to sixteen digits.
        for scale in (0..=6).filter(|_| self.scale >= 13) {
            if let Some(Scaled::Rounded(mantissa)) = self.scaled(scale) {
                return fits(mantissa).then_some((Quantity { mantissa, scale }, true));
            }
        }
        let scale = u8::try_from(self.scale.max(0)).ok()?;
        match self.scaled(scale)? {
            Scaled::Exact(mantissa) if fits(mantissa) => Some((Quantity { mantissa, scale }, false)),
            _ => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Roubles to kopecks and back to what people meant.
    #[test]
    fn money_is_read_exactly_or_not_at_all() {
        let kopecks = |text: &str| Decimal::parse(text).unwrap().scaled(2);
        assert_eq!(kopecks("158.05"), Some(Scaled::Exact(15_805)));
        assert_eq!(kopecks("158.1"), Some(Scaled::Exact(15_810)));
        assert_eq!(kopecks("158"), Some(Scaled::Exact(15_800)));
        assert_eq!(kopecks("1.5805e2"), Some(Scaled::Exact(15_805)));
        assert_eq!(kopecks("158.0500"), Some(Scaled::Exact(15_805)));
        assert_eq!(kopecks("158.055"), None);
        assert_eq!(kopecks("-1"), None);
        assert_eq!(kopecks("-0.0"), Some(Scaled::Exact(0)));
        assert_eq!(kopecks("181.00000000000003"), Some(Scaled::Rounded(18_100)));
        assert_eq!(kopecks("180.99999999999997"), Some(Scaled::Rounded(18_100)));
        assert_eq!(kopecks("180.12345678901234"), None);
        // What a float cannot hold: 90071992547409.93 is exact here.
        assert_eq!(kopecks("90071992547409.93"), Some(Scaled::Exact(9_007_199_254_740_993)));
        assert_eq!(kopecks("99999999999999999999"), None);
    }

    /// A quantity keeps the digits it was spelled with, but not those of a float's noise.
    #[test]
    fn quantities_keep_their_digits() {
        let check = |text: &str, mantissa, scale, noise| {
            let found = Decimal::parse(text).unwrap().quantity();
            assert_eq!(found, Some((Quantity { mantissa, scale }, noise)), "{text}");
        };
        check("1", 1, 0, false);
        check("1.000", 1000, 3, false);
        check("0.876", 876, 3, false);
        check("1.27635e0", 127_635, 5, false);
        check("2e3", 2000, 0, false);
        check("0.30000000000000004", 3, 1, true);
        check("0.8999999999999999", 9, 1, true);
        check("0.123456789012345", 123_456_789_012_345, 15, false);
        assert_eq!(Decimal::parse("99999999999999999999").unwrap().quantity(), None);
        assert_eq!(Decimal::parse("-1").unwrap().quantity(), None);
    }

    /// What is no number is none.
    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1,5", "1 000", "0x1", "1e", "1e999", "٣", "1..2", "--1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert!(Decimal::parse(&"9".repeat(38)).is_some());
        assert!(Decimal::parse(&"9".repeat(40)).is_none());
    }
}
