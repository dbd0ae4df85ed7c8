//! Numbers and decimals as JSON, written into a place that is wide enough for any of them.
//!
//! Digits are made eight at once and stored eight at once, whatever their count: how long a number is nobody foretells, and
//! a wrong guess costs as much as all of its digits. What stands behind the returned length is rubbish, to be written over.
//! Every value is written with the comma that follows it.

/// Room for any whole number and its comma: 20 digits, in stores of eight bytes.
pub(super) const NUMBER_ROOM: usize = 32;

/// One above the largest number of eight digits.
const EIGHT: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Eight digits of a number below [`EIGHT`], a byte each from 0 to 9, the first digit in the lowest byte.
#[inline(always)]
const fn eight(number: u64) -> u64 {
    // Two numbers of four digits, four of two, eight of one: each in lanes that its products do not leave.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let high = (fours.wrapping_mul(10_486) >> 20) & 0x7F_0000_007F;
    let twos = high | (fours.wrapping_sub(high.wrapping_mul(100)) << 16);
    let high = (twos.wrapping_mul(103) >> 10) & 0x000F_000F_000F_000F;
    high | (twos.wrapping_sub(high.wrapping_mul(10)) << 8)
}

/// Bits of the zeros before the first digit; the last digit is always one.
#[inline(always)]
const fn leading(digits: u64) -> u32 {
    (digits | (1 << 56)).trailing_zeros() & 56
}

/// Stores eight bytes at `at`, below 16.
#[inline(always)]
fn store(place: &mut [u8; NUMBER_ROOM], at: u32, bytes: u64) {
    if let Some(place) = place.get_mut(at as usize & 15..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes.to_le_bytes();
    }
}

/// Writes a number below [`EIGHT`] without zeros before it; gives how many digits it has.
#[inline(always)]
fn put_short(place: &mut [u8; NUMBER_ROOM], number: u64) -> u32 {
    let digits = eight(number);
    let lead = leading(digits);
    store(place, 0, (digits | ZEROS) >> lead);
    8_u32.wrapping_sub(lead / 8)
}

/// The same for any number.
#[inline(always)]
fn put_digits(place: &mut [u8; NUMBER_ROOM], number: u64) -> u32 {
    if number < EIGHT { put_short(place, number) } else { put_long(place, number) }
}

/// From nine digits on: times, fiscal signs, sums beyond a million.
fn put_long(place: &mut [u8; NUMBER_ROOM], number: u64) -> u32 {
    let (above, low) = (number / EIGHT, number % EIGHT);
    let len = if above < EIGHT {
        put_short(place, above)
    } else {
        let len = put_short(place, above / EIGHT);
        store(place, len, eight(above % EIGHT) | ZEROS);
        len.wrapping_add(8)
    };
    store(place, len, eight(low) | ZEROS);
    len.wrapping_add(8)
}

/// Writes a whole number and a comma; gives the length of both.
#[inline(always)]
pub(super) fn put_number(place: &mut [u8; NUMBER_ROOM], number: u64) -> u32 {
    let len = put_digits(place, number);
    if let Some(comma) = place.get_mut(len as usize & (NUMBER_ROOM - 1)) {
        *comma = b',';
    }
    len.wrapping_add(1)
}

/// Every byte as its digits and a comma, and in the highest byte how long that is.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static BYTES: [u64; 256] = {
    let mut table = [0; 256];
    let mut number = 0;
    while number < table.len() {
        let digits = eight(number as u64);
        let lead = leading(digits);
        let len = 8 - lead as usize / 8;
        table[number] = ((digits | ZEROS) >> lead) | ((b',' as u64) << (8 * len)) | ((len as u64 + 1) << 56);
        number += 1;
    }
    table
};

/// The same for a number of one byte.
#[inline(always)]
pub(super) fn put_byte(place: &mut [u8; NUMBER_ROOM], number: u8) -> u32 {
    let packed = BYTES.get(usize::from(number)).copied().unwrap_or_default();
    store(place, 0, packed);
    (packed >> 56) as u32
}

/// Writes `mantissa × 10^-scale` with all digits that the scale names, and a comma, if eight digits are enough: the usual
/// quantity. Gives the length; else `None`, and [`put_any_decimal`] is to be asked.
#[inline(always)]
pub(super) fn put_decimal(place: &mut [u8; NUMBER_ROOM], mantissa: u64, scale: u8) -> Option<u32> {
    if scale == 0 {
        return Some(put_number(place, mantissa));
    }
    if mantissa >= EIGHT || scale > 7 {
        return None;
    }
    let scale = u32::from(scale);
    let digits = eight(mantissa);
    // One digit stands before the point, be it a zero.
    let most = 56_u32.wrapping_sub(scale.wrapping_mul(8));
    let lead = leading(digits).min(most);
    let shown = (digits | ZEROS) >> lead;
    let len = 8_u32.wrapping_sub(lead / 8);
    let whole = len.wrapping_sub(scale);
    store(place, 0, shown);
    store(place, whole, (shown.wrapping_shr(whole.wrapping_mul(8)) << 8) | u64::from(b'.'));
    let end = len.wrapping_add(1);
    if let Some(comma) = place.get_mut(end as usize & 15) {
        *comma = b',';
    }
    Some(end.wrapping_add(1))
}

/// The same for any decimal; `None` when it does not fit.
pub(super) fn put_any_decimal(out: &mut [u8], mantissa: u64, scale: u8) -> Option<u32> {
    let scale = usize::from(scale);
    let mut place = [0; NUMBER_ROOM];
    let len = put_digits(&mut place, mantissa) as usize;
    let (whole, part) = place.get(..len)?.split_at_checked(len.saturating_sub(scale))?;
    let whole = if whole.is_empty() { b"0" } else { whole };
    let zeros = scale.saturating_sub(len);
    let mut end = 0_usize;
    let mut put = |bytes: &[u8]| {
        let place = out.get_mut(end..)?.get_mut(..bytes.len())?;
        place.copy_from_slice(bytes);
        end = end.wrapping_add(bytes.len());
        Some(())
    };
    put(whole)?;
    if scale > 0 {
        put(b".")?;
        put([b'0'; u8::MAX as usize].get(..zeros)?)?;
        put(part)?;
    }
    put(b",")?;
    Some(end as u32)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn shown(put: impl FnOnce(&mut [u8; NUMBER_ROOM]) -> u32) -> String {
        let mut place = [b'x'; NUMBER_ROOM];
        let len = put(&mut place) as usize;
        String::from_utf8(place.get(..len).unwrap().to_vec()).unwrap()
    }

    /// Numbers around every power of ten and every power of two, and some in between.
    fn numbers() -> impl Iterator<Item = u64> {
        let tens = core::iter::successors(Some(1_u64), |power| power.checked_mul(10));
        let twos = (0..64).map(|bit| 1_u64 << bit);
        let thirds = core::iter::successors(Some(u64::MAX), |number| (*number > 0).then_some(number / 3));
        tens.chain(twos).chain(thirds).flat_map(|it| [it.saturating_sub(1), it, it.saturating_add(1)])
    }

    /// Why: digits are made by multiplications that stand for divisions.
    #[test]
    fn integers_are_written_as_they_print() {
        for number in (0..200_000).chain(numbers()) {
            assert_eq!(shown(|place| put_number(place, number)), format!("{number},"));
        }
        for number in 0..=255 {
            assert_eq!(shown(|place| put_byte(place, number)), format!("{number},"));
        }
    }

    /// The writer's decimal and that of the unit are one, by either way.
    #[test]
    fn decimals_are_written_as_quantities_print() {
        for mantissa in (0..2_000).chain(numbers()) {
            for scale in 0..=255 {
                let expected = format!("{},", crate::Quantity { mantissa, scale });
                let mut place = [0; NUMBER_ROOM];
                if let Some(len) = put_decimal(&mut place, mantissa, scale) {
                    assert_eq!(core::str::from_utf8(place.get(..len as usize).unwrap()).unwrap(), expected);
                } else {
                    assert!(mantissa >= EIGHT || scale > 7, "{expected}");
                }
                let mut wide = [0; 300];
                let len = put_any_decimal(&mut wide, mantissa, scale).unwrap() as usize;
                assert_eq!(core::str::from_utf8(wide.get(..len).unwrap()).unwrap(), expected);
                assert_eq!(put_any_decimal(wide.get_mut(..len - 1).unwrap(), mantissa, scale), None);
            }
        }
    }
}
