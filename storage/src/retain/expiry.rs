//! How long a row of the archive is kept: the decision, without I/O.
//!
//! | what | kept |
//! |---|---|
//! | a document | five years from its date |
//! | forms 1 and 6, and 11 with a new drive | the life of the drive, and five years |
//! | a frame in quarantine, a tick | five years from its date |
//! | commands, cursors, kinds of a newer version | for ever: they are state, and small |
//! | what a legal hold covers | until it is lifted |
//!
//! The date that counts is the later one of the date under which a row lies and the date it was received, so that nothing
//! younger than five years goes by any reading. A drive lives until its closing report (form 6); one whose report is not in
//! the archive, or that was registered again after it, lives for ever, as does one that is not known. What is not known of a
//! document keeps it: a form that could not be read, a change of registration that does not say why.
//!
//! Source: 54-ФЗ, articles 4.5 and 4.7 (five years); the forms of registration over the life of the drive: F129 of the
//! capability list.

use crate::columns::Day;

/// The least number of years that a row is kept.
pub const KEEP_YEARS_MIN: u16 = 5;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A document of this form; of a change of registration (11) whether it puts in a new drive, where it says so.
    Document {
        /// Code of the form; `None`: it could not be read.
        form: Option<u8>,
        /// Of form 11.
        replaces_drive: Option<bool>,
    },
    /// A frame in quarantine.
    Quarantine,
    /// A tick of the clock.
    Tick,
    /// What the tax service or deliveries answered: as long as a document.
    Status,
    /// A command, a cursor, a kind of a newer version.
    State,
}

/// How long a row is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Until this day is over.
    Until(Day),
    /// For ever.
    Ever,
}

/// How long a row of this date is kept. `life_end` is the day on which its drive ended, if that is known.
pub fn keeps(row: Row, dated: Day, life_end: Option<Day>, years: u16) -> Keeps {
    let years = i16::try_from(years.max(KEEP_YEARS_MIN)).unwrap_or(i16::MAX);
    let from = |day: Day| Keeps::Until(day.plus_years(years));
    match row {
        Row::State => Keeps::Ever,
        Row::Quarantine | Row::Tick | Row::Status => from(dated),
        Row::Document { form: None | Some(1 | 6), .. }
        | Row::Document { form: Some(11), replaces_drive: None | Some(true) } => match life_end {
            Some(end) => from(end.max(dated)),
            None => Keeps::Ever,
        },
        Row::Document { .. } => from(dated),
    }
}

impl Keeps {
    /// Whether the row may go on this day.
    pub fn is_over(self, today: Day) -> bool {
        match self {
            Self::Until(day) => day < today,
            Self::Ever => false,
        }
    }
}

/// The life of a drive, as its registration documents tell it, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Position, number and day of the last closing report.
    closed: Option<(u64, u32, Day)>,
    /// Greatest position and greatest number of the other documents of registration.
    registered: (u64, u32),
}

impl Life {
    /// Takes in a document of form 1, 6 or 11; any other changes nothing.
    pub fn take(&mut self, form: u8, position: u64, number: u32, dated: Day) {
        match form {
            6 => self.closed = self.closed.max(Some((position, number, dated))),
            1 | 11 => {
                let (last, greatest) = self.registered;
                self.registered = (last.max(position), greatest.max(number));
            }
            _ => {}
        }
    }

    /// The day it ended; `None`: it lives, as far as anybody knows. What came after the closing report, by its number or
    /// by its place in the log, is another life: test drives begin anew.
    pub fn end(&self) -> Option<Day> {
        let (position, number, day) = self.closed?;
        let (last, greatest) = self.registered;
        (last < position && greatest < number).then_some(day)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    fn rows() -> Vec<Row> {
        let mut rows = vec![Row::Quarantine, Row::Tick, Row::Status, Row::State];
        for form in (0..=u8::MAX).map(Some).chain([None]) {
            for replaces_drive in [None, Some(false), Some(true)] {
                rows.push(Row::Document { form, replaces_drive });
            }
        }
        rows
    }

    /// Every kind of row, every form, every day around the fifth anniversary and at the ends of leap years: nothing
    /// younger than five years may go, by anybody's count.
    #[test]
    fn nothing_younger_than_five_years_ever_goes() {
        let begin: Day = "2024-02-25".parse().unwrap();
        for row in rows() {
            for dated in begin.0..begin.0 + 10 {
                for life_end in [None, Some(dated - 3_000), Some(dated), Some(dated + 40)] {
                    for years in [0, 1, 5, 7] {
                        let keeps = keeps(row, Day(dated), life_end.map(Day), years);
                        for age in 0..=1827 {
                            assert!(
                                !keeps.is_over(Day(dated + age - 1)),
                                "{row:?} {dated} {life_end:?} {age}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// What is kept, exhaustively over all forms: registration documents with the drive, the rest by its own date.
    #[test]
    fn registration_documents_are_kept_as_long_as_the_drive_and_five_years() {
        let dated: Day = "2021-06-15".parse().unwrap();
        let ended: Day = "2023-03-01".parse().unwrap();
        let until = |text: &str| Keeps::Until(text.parse().unwrap());
        for row in rows() {
            let (living, closed) = (keeps(row, dated, None, 5), keeps(row, dated, Some(ended), 5));
            let expected = match row {
                Row::State => (Keeps::Ever, Keeps::Ever),
                Row::Document { form: Some(1 | 6) | None, .. }
                | Row::Document { form: Some(11), replaces_drive: Some(true) | None } => {
                    (Keeps::Ever, until("2028-03-01"))
                }
                _ => (until("2026-06-15"), until("2026-06-15")),
            };
            assert_eq!((living, closed), expected, "{row:?}");
        }
        let last: Day = "2026-06-15".parse().unwrap();
        let receipt = keeps(Row::Document { form: Some(3), replaces_drive: None }, dated, None, 5);
        assert!(!receipt.is_over(last) && receipt.is_over(Day(last.0 + 1)));
        assert!(!Keeps::Ever.is_over(Day(i32::MAX)));
    }

    /// All orders of three documents of registration: a drive ends with its closing report, unless something follows it.
    #[test]
    fn a_drive_lives_until_its_closing_report() {
        for forms in [[1, 11, 6], [1, 6, 11], [6, 1, 11], [3, 5, 6], [1, 11, 11], [1, 6, 6], [11, 3, 2]] {
            let mut orders = Vec::new();
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0_usize]] {
                let mut life = Life::default();
                for at in order {
                    life.take(*forms.get(at).unwrap(), at as u64 + 1, at as u32 + 1, Day(100 + at as i32));
                }
                orders.push(life.end());
            }
            let last_closes = forms.last() == Some(&6);
            assert!(orders.iter().all(|end| *end == last_closes.then_some(Day(102))), "{forms:?} {orders:?}");
        }
        let mut anew = Life::default();
        anew.take(6, 90, 50, Day(9));
        anew.take(1, 91, 1, Day(10));
        assert_eq!(anew.end(), None, "it has begun anew at number 1");
    }
}
