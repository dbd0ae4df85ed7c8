//! Civil date and time of a register's wall clock: [`LocalSeconds`] and back, without a zone and without a library.
//!
//! Shape:  the proleptic Gregorian calendar, 1970-01-01T00:00:00 to 2106-02-07T06:28:15, which is what 32 bits hold.
//! Invariants: the two directions undo each other for every second there is (test: tests/qr.rs::every_day_has_one_date).
//! Source: the era arithmetic of the Gregorian calendar: 400 years have 146,097 days.

use core::fmt;

use crate::LocalSeconds;

/// Date and time as the cashier saw them.
///
/// ```
/// use ofd_codec::{Civil, LocalSeconds};
/// let civil = Civil::from(LocalSeconds(1_773_491_407));
/// assert_eq!(civil.to_string(), "2026-03-14T12:30:07");
/// assert_eq!(civil.to_local(), Some(LocalSeconds(1_773_491_407)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// 1970 to 2106.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

const DAY: u32 = 86_400;
/// Days of 400 years.
const ERA: u32 = 146_097;
/// From 0000-03-01, where the years of the arithmetic begin, to 1970-01-01.
const TO_1970: u32 = 719_468;

/// A remainder by 60 or less, which fits a byte.
const fn byte(number: u32) -> u8 {
    number.to_le_bytes()[0]
}

impl From<LocalSeconds> for Civil {
    fn from(LocalSeconds(seconds): LocalSeconds) -> Self {
        // Years begin in March here, so that the odd day stands at their end. All of it stays far below 2^32.
        let day = (seconds / DAY).saturating_add(TO_1970);
        let (era, of_era) = (day / ERA, day % ERA);
        let leaps = (of_era / 1_460).saturating_add(of_era / 146_096);
        let year_of_era =
            of_era.saturating_add(of_era / 36_524).saturating_sub(leaps).checked_div(365).unwrap_or_default();
        let before = (year_of_era.saturating_mul(365))
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100);
        let of_year = of_era.saturating_sub(before);
        let from_march = of_year.saturating_mul(5).saturating_add(2) / 153;
        let day = of_year.saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5);
        let (month, later) = if from_march < 10 {
            (from_march.saturating_add(3), 0)
        } else {
            (from_march.saturating_sub(9), 1)
        };
        let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(later);
        Self {
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: byte(month),
            day: byte(day.saturating_add(1)),
            hour: byte(seconds % DAY / 3_600),
            minute: byte(seconds % 3_600 / 60),
            second: byte(seconds % 60),
        }
    }
}

impl Civil {
    /// The seconds of the wire; `None` for a date that no calendar has or 32 bits do not hold.
    #[must_use]
    pub fn to_local(self) -> Option<LocalSeconds> {
        if !(1970..=2106).contains(&self.year) || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let (year, month) = (u32::from(self.year), u32::from(self.month));
        let (year, from_march) = match month {
            1 | 2 => (year.saturating_sub(1), month.saturating_add(9)),
            3..=12 => (year, month.saturating_sub(3)),
            _ => return None,
        };
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (from_march.saturating_mul(153).saturating_add(2) / 5)
            .saturating_add(u32::from(self.day))
            .checked_sub(1)?;
        let days = era
            .saturating_mul(ERA)
            .saturating_add(of_era.saturating_mul(365))
            .saturating_add(of_era / 4)
            .saturating_sub(of_era / 100)
            .saturating_add(of_year)
            .checked_sub(TO_1970)?;
        let time = u32::from(self.hour)
            .saturating_mul(60)
            .saturating_add(u32::from(self.minute))
            .saturating_mul(60)
            .saturating_add(u32::from(self.second));
        let local = LocalSeconds(days.checked_mul(DAY)?.checked_add(time)?);
        // The 31st of April would be the 1st of May: what does not come back the same is no date.
        (Self::from(local) == self).then_some(local)
    }
}

impl fmt::Display for Civil {
    /// `2026-03-14T12:30:07`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}
