//! What the files of an import hold, by drive and month: what both operators sign.

use std::collections::BTreeMap;

use ofd_engine::Imported;
use ofd_engine::codec::{Civil, DocumentView, DriveNumber, Frame, tags};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// What the sign-off knows of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    drive: DriveNumber,
    /// Year and month of its 1012.
    month: Option<(u16, u8)>,
    /// Kind of settlement (1054) and kopecks (1020), of receipts.
    settled: Option<(u8, u64)>,
}

impl Facts {
    pub(crate) fn of(drive: DriveNumber, view: &DocumentView<'_>) -> Self {
        let date_time = view.header().date_time.map(Civil::from);
        let direction = view.get(tags::OPERATION_TYPE).and_then(|it| it.u8().ok());
        let total = view.get(tags::TOTAL_SUM).and_then(|it| it.vln().ok());
        let receipt = view.form().is_receipt_like();
        Self {
            drive,
            month: date_time.map(|it| (it.year, it.month)),
            settled: direction.zip(total).filter(|_| receipt),
        }
    }

    /// Of what is imported; `None`: it is no whole message.
    pub(crate) fn of_imported(imported: &Imported) -> Option<Self> {
        let frame = Frame::new_checked(&imported.message).ok()?;
        let drive = frame.header().drive_number().ok()?;
        let body = frame.container().body();
        let view = DocumentView::new_checked(imported.plain.as_deref().unwrap_or(body));
        Some(view.map_or(Self::unread(drive), |view| Self::of(drive, &view)))
    }

    /// Of a document that could not be opened.
    pub(crate) const fn unread(drive: DriveNumber) -> Self {
        Self { drive, month: None, settled: None }
    }
}

/// Counts of one drive in one month.
#[derive(Clone, Copy, Debug, Default)]
struct Month {
    documents: u64,
    stored: u64,
    known: u64,
    receipts: u64,
    /// Kopecks by 1054: income, its return, expense, its return.
    kopecks: [u128; 4],
}

/// Counts of an import.
#[derive(Debug, Default)]
pub(crate) struct SignOff {
    months: BTreeMap<(DriveNumber, Option<(u16, u8)>), Month>,
    pub(crate) not_taken: u64,
    pub(crate) damaged: u64,
    pub(crate) skipped: u64,
    pub(crate) answers: u64,
    pub(crate) answers_alone: u64,
}

impl SignOff {
    /// A document is durable: now, or it was before.
    pub(crate) fn kept(&mut self, facts: &Facts, fresh: bool) {
        let month = self.months.entry((facts.drive, facts.month)).or_default();
        month.documents += 1;
        month.stored += u64::from(fresh);
        month.known += u64::from(!fresh);
        if let Some((direction, kopecks)) = facts.settled {
            month.receipts += 1;
            let place = usize::from(direction).checked_sub(1).and_then(|at| month.kopecks.get_mut(at));
            if let Some(place) = place {
                *place = place.saturating_add(u128::from(kopecks));
            }
        }
    }

    pub(crate) fn write(&self, output: &mut Output, as_json: bool) -> Result<(), Failure> {
        if !as_json {
            output.line(&format!(
                "{:<16}  {:<7}  {:>10}  {:>10}  {:>10}  {:>18}  {:>16}  {:>16}  {:>16}",
                "drive",
                "month",
                "documents",
                "new",
                "receipts",
                "income",
                "its return",
                "expense",
                "its return"
            ))?;
        }
        let mut all = Month::default();
        for ((drive, month), it) in &self.months {
            let name = month.map(|(year, month)| format!("{year:04}-{month:02}"));
            if as_json {
                output.line(&line(it, json!({"fn": drive.as_str(), "month": name})))?;
            } else {
                let [income, income_return, expense, expense_return] = it.kopecks.map(roubles);
                output.line(&format!(
                    "{:<16}  {:<7}  {:>10}  {:>10}  {:>10}  {income:>18}  {income_return:>16}  {expense:>16}  {expense_return:>16}",
                    drive.as_str(),
                    name.as_deref().unwrap_or("?"),
                    it.documents,
                    it.stored,
                    it.receipts,
                ))?;
            }
            all.documents += it.documents;
            all.stored += it.stored;
            all.known += it.known;
            all.receipts += it.receipts;
            for (sum, kopecks) in all.kopecks.iter_mut().zip(it.kopecks) {
                *sum = sum.saturating_add(kopecks);
            }
        }
        if as_json {
            let rest = json!({
                "not_taken": self.not_taken,
                "damaged": self.damaged,
                "skipped": self.skipped,
                "answers": self.answers,
                "answers_alone": self.answers_alone,
            });
            return output.line(&line(&all, rest));
        }
        output.line(&format!(
            "{} documents: {} new, {} known before, {} not taken; {} answers, {} of them to no document near; {} pieces damaged, {} skipped",
            all.documents,
            all.stored,
            all.known,
            self.not_taken,
            self.answers,
            self.answers_alone,
            self.damaged,
            self.skipped,
        ))
    }
}

fn line(month: &Month, mut with: serde_json::Value) -> String {
    let [income, income_return, expense, expense_return] =
        month.kopecks.map(|it| u64::try_from(it).unwrap_or(u64::MAX));
    let counts = json!({
        "documents": month.documents,
        "stored": month.stored,
        "known": month.known,
        "receipts": month.receipts,
        "income": income,
        "income_return": income_return,
        "expense": expense,
        "expense_return": expense_return,
    });
    if let (Some(with), Some(counts)) = (with.as_object_mut(), counts.as_object()) {
        with.extend(counts.clone());
    }
    with.to_string()
}

fn roubles(kopecks: u128) -> String {
    format!("{}.{:02}", kopecks / 100, kopecks % 100)
}
