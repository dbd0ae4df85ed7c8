//! One shift (смена): what came between its opening report (form 2) and its closing one (form 5). Pure.
//!
//! A shift is put together by its number (1038), whatever order its documents come in: the queue of a drive that was
//! cut off may arrive months later in one bulk.
//!
//! Invariant: the same documents between its reports give the same shift in every order (test: `tests/registers/main.rs`).

use ofd_codec::{DocumentView, Form, LocalSeconds, tags};

use super::card::text;
use super::counters::{Mismatch, compare};
use super::drive::Seen;
use super::seed::SeedShift;
use super::service::{Range, Service};
use super::totals::{Paid, Totals};

/// Seconds after its opening in which a shift may take receipts (law 54-ФЗ, article 4.3).
pub const SHIFT_SECONDS_MAX: u32 = 86_400;

/// A report that opened or closed a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the document.
    pub number: u32,
    /// Its 1012.
    pub at: Option<LocalSeconds>,
}

/// Whether a closed shift agrees with the counters of its closing report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is open.
    Open,
    /// Documents are missing, or it began before the drive was ours: nothing can be said.
    Incomplete,
    /// All counters agree.
    Agrees,
    /// Some do not, though every document is here.
    Differs,
}

impl Agreement {
    /// `open`, `incomplete`, `agrees` or `differs`, as tables and lines of JSON have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Incomplete => "incomplete",
            Self::Agrees => "agrees",
            Self::Differs => "differs",
        }
    }
}

/// A shift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// 1038.
    pub number: u32,
    /// Its form 2; `None` when it has not come.
    pub opened: Option<Mark>,
    /// When that came, microseconds UTC, if it was not brought in from an archive; `None` again when its clock has stopped
    /// because another drive works in the register.
    pub opened_us: Option<i64>,
    /// It was told that it has been open for too long, and not that this is over.
    pub overdue: bool,
    /// Somebody was told that it was opened, or how it stood when it was closed.
    pub(super) told: bool,
    /// Its form 5.
    pub closed: Option<Mark>,
    /// Who opened it (1021).
    pub cashier: Option<Box<str>>,
    /// Documents that came, opening and closing included.
    pub documents: u32,
    /// Smallest and greatest number among them.
    pub numbers: Option<Range>,
    /// Its sums.
    pub totals: Totals,
    /// 1118 of the closing report.
    pub stated_receipts: Option<u32>,
    /// 1111 of the closing report.
    pub stated_documents: Option<u32>,
    /// The closing report as it came, until the shift is whole: a late document asks it again.
    pub(super) close: Option<Box<[u8]>>,
    /// Every number between its reports has come.
    pub(super) whole: bool,
    /// Counters that differ.
    pub mismatches: Vec<Mismatch>,
    /// How often documents have changed it after it was closed.
    pub revision: u32,
    /// The greatest 1042 and the number of its document.
    pub(super) last_in_shift: Option<(u32, u32)>,
}

impl Shift {
    pub(super) fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// The shift that a drive moves in with; `next` is its next document. Whether one agrees with its counters nobody can say.
    pub(super) fn seeded(seed: SeedShift, next: u32) -> Self {
        let opened = seed.opened.map(|(number, at)| Mark { number, at });
        let closed = opened.is_none().then(|| Mark { number: next.saturating_sub(1), at: None });
        Self { opened, closed, whole: closed.is_some(), ..Self::new(seed.number) }
    }

    /// Takes a document that names this shift. `paid` is what it adds, if it is a receipt.
    pub(super) fn take(&mut self, seen: &Seen<'_>, paid: Option<&Paid>) {
        let Seen { view, header, number, .. } = *seen;
        let mark = Mark { number, at: header.date_time };
        self.documents = self.documents.saturating_add(1);
        let numbers = self.numbers.get_or_insert(Range { first: number, last: number });
        (numbers.first, numbers.last) = (numbers.first.min(number), numbers.last.max(number));
        self.revision = self.revision.saturating_add(u32::from(self.closed.is_some()));
        match view.form() {
            Form::OPEN_SHIFT => {
                self.opened = Some(mark);
                self.told |= !seen.imported;
                self.opened_us = (!seen.imported).then_some(seen.received_at_us);
                self.cashier = text(&view, tags::CASHIER).map(Into::into);
            }
            Form::CLOSE_SHIFT => {
                self.closed = Some(mark);
                self.stated_receipts = view.get(tags::SHIFT_RECEIPTS).and_then(|it| it.u32().ok());
                self.stated_documents = view.get(tags::SHIFT_DOCUMENTS).and_then(|it| it.u32().ok());
                self.close = Some(view.bytes().into());
            }
            _ => {
                if let Some(paid) = paid {
                    self.totals.add(paid);
                }
                if let Some(in_shift) = header.in_shift {
                    self.last_in_shift = self.last_in_shift.max(Some((in_shift, number)));
                }
            }
        }
    }

    /// Compares it with the counters of its closing report, when every number between its reports has come.
    pub(super) fn judge(&mut self, service: &Service) -> Agreement {
        if self.whole {
            return self.agreement();
        }
        let (Some(opened), Some(closed)) = (self.opened, self.closed) else { return self.agreement() };
        let range = Range { first: opened.number, last: closed.number };
        self.whole = service.is_whole(range);
        if !self.whole {
            return Agreement::Incomplete;
        }
        let close = self.close.as_deref().and_then(|bytes| DocumentView::new_checked(bytes).ok());
        if let Some(close) = close {
            let own = |tag, stated: Option<u32>, counted: u32| {
                let differs = stated.filter(|stated| *stated != counted);
                differs.map(|stated| Mismatch {
                    tag,
                    within: ofd_codec::Tag(0),
                    stated: u64::from(stated),
                    counted: u64::from(counted),
                })
            };
            self.mismatches.extend(own(tags::SHIFT_RECEIPTS, self.stated_receipts, self.totals.count()));
            self.mismatches.extend(own(tags::SHIFT_DOCUMENTS, self.stated_documents, self.documents));
            self.mismatches.extend(compare(&close, &self.totals));
        }
        self.agreement()
    }

    /// Forgets the closing report when nothing between its reports can come any more.
    pub(super) fn settle(&mut self) {
        if self.whole {
            self.close = None;
        }
    }

    /// Every document between its reports is here: nothing more can come for it.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.whole
    }

    /// What was last judged.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        match (self.opened, self.closed) {
            (_, None) => Agreement::Open,
            (None, Some(_)) => Agreement::Incomplete,
            _ if !self.whole => Agreement::Incomplete,
            _ if self.mismatches.is_empty() => Agreement::Agrees,
            _ => Agreement::Differs,
        }
    }

    /// Seconds from its opening to this moment, when both are known and it came later.
    #[must_use]
    pub fn age_at(&self, at: LocalSeconds) -> Option<u32> {
        at.0.checked_sub(self.opened?.at?.0)
    }
}
