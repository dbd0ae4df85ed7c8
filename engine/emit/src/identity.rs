//! Invented names under which a register goes: drive, registration number, tax numbers, with the check digits that real ones carry.
//!
//! Nothing here belongs to anybody on purpose: numbers are drawn from the seed. The check digits are right because an
//! operator that tests them must not see every simulated register fail.

use ofd_codec::DriveNumber;

use crate::prng::{Prng, mix};

/// Taxpayer number (ИНН) as 12 wire bytes: an organisation has 10 digits and two spaces, a person 12 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inn([u8; 12]);

const ORGANISATION: [u32; 9] = [2, 4, 10, 3, 5, 9, 4, 6, 8];
const PERSON_11: [u32; 10] = [7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
const PERSON_12: [u32; 11] = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];

/// A check digit of a taxpayer number: weighted sum modulo 11, modulo 10.
fn check_digit(digits: &[u8], weights: &[u32]) -> u8 {
    let sum: u32 =
        digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight).sum();
    (sum % 11 % 10) as u8 + b'0'
}

/// Decimal digits of `value`, left-padded with zeros to `N`; the leading digits of a longer value fall away.
pub(crate) fn digits<const N: usize>(mut value: u64) -> [u8; N] {
    let mut out = [b'0'; N];
    for place in out.iter_mut().rev() {
        *place = (value % 10) as u8 + b'0';
        value /= 10;
    }
    out
}

impl Inn {
    /// An organisation's number in the tax region `region` (1..=92).
    ///
    /// Source: check digit of a ten-digit number, weights 2 4 10 3 5 9 4 6 8.
    pub fn organisation(region: u8, prng: &mut Prng) -> Self {
        let [r0, r1] = digits::<2>(u64::from(region));
        let [a, b, c, d, e, f, g] = digits::<7>(prng.below(10_000_000));
        let body = [r0, r1, a, b, c, d, e, f, g];
        let last = check_digit(&body, &ORGANISATION);
        Self([r0, r1, a, b, c, d, e, f, g, last, b' ', b' '])
    }

    /// A person's number (sole proprietor, cashier) in the tax region `region` (1..=92).
    ///
    /// Source: check digits of a twelve-digit number, weights 7 2 4 10 3 5 9 4 6 8 and 3 7 2 4 10 3 5 9 4 6 8.
    pub fn person(region: u8, prng: &mut Prng) -> Self {
        let [r0, r1] = digits::<2>(u64::from(region));
        let [a, b, c, d, e, f, g, h] = digits::<8>(prng.below(100_000_000));
        let body = [r0, r1, a, b, c, d, e, f, g, h];
        let eleventh = check_digit(&body, &PERSON_11);
        let twelfth = check_digit(&[r0, r1, a, b, c, d, e, f, g, h, eleventh], &PERSON_12);
        Self([r0, r1, a, b, c, d, e, f, g, h, eleventh, twelfth])
    }

    /// The 12 bytes as they stand in tags 1018, 1203 and 1226.
    pub fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The digits without padding.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end()
    }
}

/// CRC-16 with the parameters of the container (poly 0x1021, start 0xFFFF), bit by bit: it runs once a register.
fn crc16(bytes: impl IntoIterator<Item = u8>) -> u16 {
    bytes.into_iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// Registration number of a register (tag 1037): ten digits of order, six check digits, four spaces.
///
/// The check is the CRC-16 in decimal over the order number, the user's INN padded with zeros to 12 and the factory
/// number padded with zeros to 20. Source: rule B6; two public registration vectors.
pub fn registration_number(order: u64, inn: &Inn, factory: &str) -> [u8; 20] {
    let order = digits::<10>(order);
    let zeros = |len: usize, width: usize| std::iter::repeat_n(b'0', width.saturating_sub(len));
    let inn = inn.as_str().bytes();
    let text = order
        .iter()
        .copied()
        .chain(zeros(inn.len(), 12))
        .chain(inn)
        .chain(zeros(factory.len(), 20))
        .chain(factory.bytes());
    let check = digits::<6>(u64::from(crc16(text)));
    let mut out = [b' '; 20];
    for (place, digit) in out.iter_mut().zip(order.iter().chain(&check)) {
        *place = *digit;
    }
    out
}

/// Leading digits of production drives with the share of each, per mille, as seen in real receipts.
const DRIVE_PREFIXES: [(u32, [u8; 4]); 6] =
    [(770, *b"7380"), (90, *b"9252"), (65, *b"7384"), (25, *b"7381"), (25, *b"7281"), (25, *b"7282")];

/// The drive of register `index` under `seed`: 16 digits, another one for every index below ten million.
///
/// `test` gives numbers that begin with 9999, which an operator keeps apart from revenue.
pub fn drive_number(seed: u64, index: u32, test: bool) -> DriveNumber {
    const SPACE: u64 = 10_000_000;
    let mut prng = Prng::new(seed, 0x0D21_7E00 ^ (u64::from(index) << 32));
    let prefix = if test { *b"9999" } else { prng.weighted(&DRIVE_PREFIXES, *b"7380") };
    // Multiplication by a prime that shares no factor with the space is a permutation: two indices never meet.
    let own = (u64::from(index) % SPACE * 7_368_787 + mix(seed) % SPACE) % SPACE;
    let common = (mix(seed ^ 0x5EED) % 90_000 + 10_000 + u64::from(index) / SPACE) % 100_000;
    let mut bytes = [0; 16];
    let all = prefix.into_iter().chain(digits::<5>(common)).chain(digits::<7>(own));
    for (place, digit) in bytes.iter_mut().zip(all) {
        *place = digit;
    }
    DriveNumber::from_wire(&bytes).expect("sixteen digits are a drive number")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::collections::HashSet;

    use super::{Inn, drive_number, registration_number};
    use crate::prng::Prng;

    /// A second reading of the rule, from the number to the verdict.
    fn holds(inn: &str) -> bool {
        let d: Vec<u32> = inn.chars().map(|c| c.to_digit(10).unwrap()).collect();
        let sum = |weights: &[u32]| weights.iter().zip(&d).map(|(w, d)| w * d).sum::<u32>() % 11 % 10;
        match d.as_slice() {
            [.., last] if d.len() == 10 => sum(&[2, 4, 10, 3, 5, 9, 4, 6, 8]) == *last,
            [.., eleventh, twelfth] if d.len() == 12 => {
                sum(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == *eleventh
                    && sum(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == *twelfth
            }
            _ => false,
        }
    }

    /// Rule B5 must be silent on simulated registers, or its findings drown the real ones.
    #[test]
    fn every_inn_has_right_check_digits() {
        assert!(holds("7707083893") && !holds("7707083894"), "the checker itself knows a public number");
        let mut prng = Prng::new(5, 5);
        for region in 1..=92 {
            for _ in 0..50 {
                let organisation = Inn::organisation(region, &mut prng);
                let person = Inn::person(region, &mut prng);
                assert!(holds(organisation.as_str()), "{organisation:?}");
                assert!(holds(person.as_str()), "{person:?}");
                assert_eq!((organisation.as_str().len(), person.as_str().len()), (10, 12));
            }
        }
    }

    /// Rule B6 on a public vector: order number 5, INN 7702203276, factory number 000000000002.
    #[test]
    fn registration_number_agrees_with_a_public_vector() {
        let inn = Inn(*b"7702203276  ");
        assert_eq!(registration_number(5, &inn, "000000000002"), *b"0000000005008570    ");
    }

    /// Two registers on one drive would look like a conflict of documents.
    #[test]
    fn drives_of_one_seed_never_repeat() {
        let drives: HashSet<_> = (0..50_000).map(|index| *drive_number(9, index, false).as_bytes()).collect();
        assert_eq!(drives.len(), 50_000);
        assert!(
            (0..100)
                .all(|index| drive_number(9, index, true).is_test()
                    && !drive_number(9, index, false).is_test())
        );
        assert_ne!(drive_number(1, 0, false), drive_number(2, 0, false));
    }
}
