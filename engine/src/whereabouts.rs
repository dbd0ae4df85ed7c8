//! Why a number of a drive is missing: what is known around it.
//!
//! ```text
//!   numbers   1 … 83   84 85 86   87 88   89 90   91 …          131 132   133 …
//!   state     not ours  stored    missing  stored  between        stored   not yet
//! ```
//!
//! A number that was passed over while the drive was ours is missing (rule D2). Whether it can still come is for the drive to say: its
//! reports tell how many documents wait in it (1097). Numbers before its service here, or while it was elsewhere or autonomous, are nobody's
//! fault (rule D1).
//!
//! Errors: of reading the documents beside it.

use std::fmt::Write as _;

use ofd_codec::{Civil, DocumentHeader, DriveNumber, LocalSeconds};

use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::query::StoredDocument;
use crate::registers::{Drive, Range};

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It came. Its documents may have left the archive since.
    Stored,
    /// It was passed over, as all of this range.
    Missing(Range),
    /// It is below the first number that came to us.
    BeforeService,
    /// It belongs to a time in which the drive was elsewhere or autonomous.
    BetweenServices,
    /// Nothing has come with it or a later number.
    NotYet,
}

impl Whereabouts {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Missing(_) => "missing",
            Self::BeforeService => "before_service",
            Self::BetweenServices => "between_services",
            Self::NotYet => "not_yet",
        }
    }

    fn of(drive: &Drive, number: u32) -> Self {
        let service = &drive.service;
        if let Some(range) = service.missing().iter().find(|it| it.first <= number && number <= it.last) {
            return Self::Missing(*range);
        }
        let (first, last) = (service.intervals().first(), service.last());
        match (first, last) {
            _ if service.has(number) => Self::Stored,
            (Some(first), _) if number < first.first => Self::BeforeService,
            (_, Some(last)) if number < last => Self::BetweenServices,
            _ => Self::NotYet,
        }
    }
}

/// A document beside the number, as it was stored.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// 1040.
    pub number: u32,
    /// The first variant; `None` when it has left the archive.
    pub document: Option<StoredDocument>,
}

impl Neighbour {
    /// What stands in its header, where it was opened.
    #[must_use]
    pub fn header(&self) -> Option<DocumentHeader> {
        Some(self.document.as_ref()?.document()?.header())
    }
}

/// All that is known about a number of a drive.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// 1041.
    pub drive: DriveNumber,
    /// 1040.
    pub number: u32,
    /// What became of it.
    pub whereabouts: Whereabouts,
    /// What is stored under the number, all variants.
    pub documents: Vec<StoredDocument>,
    /// The next number below that came.
    pub before: Option<Neighbour>,
    /// The next number above that came.
    pub after: Option<Neighbour>,
    /// The numbers that are ours, in ascending order.
    pub service: Vec<Range>,
    /// The drive sends to another operator now, or nothing.
    pub left: bool,
    /// How many documents wait in the drive by its newest report, and since when (1097, 1098).
    pub backlog: Option<(u32, Option<LocalSeconds>)>,
}

impl Explanation {
    /// In words for the operator, in Russian.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        let _ = match self.whereabouts {
            Whereabouts::Stored if self.documents.is_empty() => {
                write!(words, "Документ приходил; из архива он уже удалён по сроку хранения.")
            }
            Whereabouts::Stored => write!(words, "Документ принят и хранится."),
            Whereabouts::Missing(Range { first, last }) => {
                let (numbers, come) = if first == last {
                    (first.to_string(), "Номер")
                } else {
                    (format!("{first}–{last}"), "Номера")
                };
                let verb = if first == last { "не приходил" } else { "не приходили" };
                write!(words, "{come} {numbers} {verb}, хотя более поздний документ уже принят.")
            }
            Whereabouts::BeforeService => {
                let first = self.service.first().map_or(0, |it| it.first);
                write!(
                    words,
                    "Накопитель передаёт документы этому оператору с номера {first}: более ранние — не наши."
                )
            }
            Whereabouts::BetweenServices => {
                write!(words, "В это время накопитель работал с другим оператором или в автономном режиме.")
            }
            Whereabouts::NotYet => match self.service.last() {
                Some(range) => {
                    write!(words, "Документ ещё не приходил: последний принятый номер — {}.", range.last)
                }
                None => write!(words, "От этого накопителя ещё ничего не приходило."),
            },
        };
        if matches!(self.whereabouts, Whereabouts::Missing(_) | Whereabouts::NotYet) {
            self.say_backlog(&mut words);
        }
        words
    }

    /// Whether the drive says that it still has something to send.
    fn say_backlog(&self, words: &mut String) {
        if self.left {
            words.push_str(" Накопитель ушёл от этого оператора или не передаёт документы.");
        }
        let _ = match self.backlog {
            Some((0, _)) if matches!(self.whereabouts, Whereabouts::NotYet) => Ok(()),
            Some((0, _)) => write!(
                words,
                " По последнему отчёту непереданных документов в накопителе нет: документ мог принять другой оператор; \
                 сверьте его с ФНС или с архивом накопителя."
            ),
            Some((count, since)) => {
                let since =
                    since.map(|at| format!(", самый ранний от {}", Civil::from(at))).unwrap_or_default();
                write!(
                    words,
                    " По последнему отчёту непереданных документов в накопителе: {count}{since}; касса ещё может их \
                     прислать."
                )
            }
            None => write!(words, " О непереданных документах накопитель ещё не сообщал."),
        };
    }
}

impl Engine {
    /// What is known about a number of a drive, as far as the registers are folded; `None` for a drive that nothing has come of, or
    /// that the capability does not show.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn explain_number(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<Explanation>, Error> {
        let Some(kept) = self.registers(capability).drive(drive) else { return Ok(None) };
        let beside = |number: Option<u32>| {
            let Some(number) = number else { return Ok(None) };
            let document = self.find(capability, drive, number)?.into_iter().next();
            Ok::<_, Error>(Some(Neighbour { number, document }))
        };
        Ok(Some(Explanation {
            drive,
            number,
            whereabouts: Whereabouts::of(&kept, number),
            documents: self.find(capability, drive, number)?,
            before: beside(kept.service.came_below(number))?,
            after: beside(kept.service.came_above(number))?,
            service: kept.service.intervals().to_vec(),
            left: kept.service.has_left(),
            backlog: kept.backlog,
        }))
    }
}
