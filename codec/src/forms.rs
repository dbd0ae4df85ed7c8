//! The forms of documents as types: a view to read each and a builder to make each.
//!
//! ```text
//! bytes ─▶ DocumentView ─▶ typed(version) ─▶ Typed::Receipt(Receipt) ─▶ total(), items(), vat_sums() …
//!          lengths close    values readable     getters without errors
//! ReceiptBuilder::receipt(version, stamp, …).cash(…).item(…) ─▶ finish() ─▶ bytes that keep rules B1-B4
//! ```
//! Shape:  a view borrows the bytes and is one slice with its version; a structure inside a document (an item, the
//!         counters) is a view of its own. A builder owns the values until [`finish`](ReceiptBuilder::finish).
//! Unit:   kopecks, decimal quantities, local seconds; open codes ([`Operation`], [`VatRate`] …), which keep what they
//!         do not know.
//! Invariants: after the one check a getter gives the value or, where the requisite is missing, `None`: nothing else
//!         can happen (test: codec/tests/forms.rs::what_the_check_passes_is_never_unreadable). What a builder takes is
//!         what the view gives back (test: codec/src/forms/tests.rs::every_requisite_comes_back_as_it_was_given). What
//!         it finishes keeps B1-B4 of its version (test: codec/tests/forms.rs).
//! Errors: [`DecodeError`] from the check, with the offset of the value; [`EncodeError`](crate::EncodeError) from
//!         `finish`: a value is refused, never cut.
//! Source: order ЕД-7-20/662@ by its tables, as `codec/dictionary/structure.toml` has them.

mod archive_close;
mod codes;
mod confirmation;
mod counters;
mod draft;
mod item;
mod level;
mod marking;
mod receipt;
mod registration;
mod requisites;
mod shift;
mod stamp;
mod state_report;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;

pub use archive_close::{ArchiveClose, ArchiveCloseBuilder};
pub use codes::{
    AgentFlags, AnswerCode, ChangeReasons, CorrectionType, Operation, PaymentMethod, PaymentSubject,
    TaxSystems, UsageConditions, VatRate,
};
pub use confirmation::{Confirmation, ConfirmationBuilder, Confirmed, DriveMessage, DriveMessageBuilder};
pub use counters::{
    CorrectionCounters, CorrectionCountersBuilder, CorrectionTurnover, CorrectionTurnoverBuilder, Counters,
    CountersBuilder, Turnover, TurnoverBuilder, UnsentCounters, UnsentCountersBuilder,
};
pub use draft::Datum;
pub use item::{
    AgentData, AgentDataBuilder, Fraction, FractionBuilder, IndustryDetail, IndustryDetailBuilder, Item,
    ItemBuilder, ProductCode, ProductCodeBuilder, SupplierData, SupplierDataBuilder,
};
pub use marking::{
    MarkedItem, MarkedItemBuilder, MarkingAnswer, MarkingAnswerBuilder, MarkingNotification,
    MarkingNotificationBuilder, MarkingReceipt, MarkingReceiptBuilder, MarkingRequest, MarkingRequestBuilder,
};
pub use receipt::{
    BuyerData, BuyerDataBuilder, CorrectionBase, CorrectionBaseBuilder, EcashPayment, EcashPaymentBuilder,
    EcashPayments, EcashPaymentsBuilder, OperationalDetail, OperationalDetailBuilder, Property,
    PropertyBuilder, Receipt, ReceiptBuilder, Settlement, VatSum, VatSumBuilder, VatSums, VatSumsBuilder,
};
pub use registration::{RegisterFacts, Registration, RegistrationBuilder};
pub use shift::{ShiftClose, ShiftCloseBuilder, ShiftOpen, ShiftOpenBuilder};
pub use stamp::{MarkingStamp, Stamp};
pub use state_report::{StateReport, StateReportBuilder};

use crate::{DecodeError, DecodeErrorKind, DocumentView, FfdVersion, Form};

/// A document by its form.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Typed<'a> {
    /// Forms 1 and 11.
    Registration(Registration<'a>),
    /// Form 2.
    ShiftOpen(ShiftOpen<'a>),
    /// Forms 3, 4, 31 and 41.
    Receipt(Receipt<'a>),
    /// Form 5.
    ShiftClose(ShiftClose<'a>),
    /// Form 6.
    ArchiveClose(ArchiveClose<'a>),
    /// Form 7.
    Confirmation(Confirmation<'a>),
    /// Form 21.
    StateReport(StateReport<'a>),
    /// Form 81.
    MarkingRequest(MarkingRequest<'a>),
    /// Form 82.
    MarkingNotification(MarkingNotification<'a>),
    /// Form 83.
    MarkingAnswer(MarkingAnswer<'a>),
    /// Form 84.
    MarkingReceipt(MarkingReceipt<'a>),
}

impl<'a> DocumentView<'a> {
    /// The document as the type of its form, every known value in it being checked once.
    ///
    /// ```
    /// # use ofd_codec::{DocumentView, FfdVersion, Form, Kopecks, TlvWriter, tags};
    /// # use ofd_codec::forms::Typed;
    /// # let mut bytes = Vec::new();
    /// # TlvWriter::new(&mut bytes).document(Form::RECEIPT, |w| { w.vln(tags::TOTAL_SUM, 15_900); Ok(()) })?;
    /// let view = DocumentView::new_checked(&bytes)?;
    /// if let Typed::Receipt(receipt) = view.typed(FfdVersion::V1_2)? {
    ///     assert_eq!(receipt.total(), Some(Kopecks(15_900)));
    ///     assert_eq!(receipt.items().count(), 0);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Form` for a form that has no type; `Length`, `Value`, `DriveNumber`, `Truncated`, `TlvLength` and `Depth`
    /// for a value that its type can not read, with the offset from the beginning of the document.
    pub fn typed(&self, version: FfdVersion) -> Result<Typed<'a>, DecodeError> {
        Ok(match self.form() {
            Form::REGISTRATION | Form::REREGISTRATION => {
                Typed::Registration(Registration::new_checked(self, version)?)
            }
            Form::OPEN_SHIFT => Typed::ShiftOpen(ShiftOpen::new_checked(self, version)?),
            Form::RECEIPT | Form::BSO | Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION => {
                Typed::Receipt(Receipt::new_checked(self, version)?)
            }
            Form::CLOSE_SHIFT => Typed::ShiftClose(ShiftClose::new_checked(self, version)?),
            Form::CLOSE_ARCHIVE => Typed::ArchiveClose(ArchiveClose::new_checked(self, version)?),
            Form::CONFIRMATION => Typed::Confirmation(Confirmation::new_checked(self, version)?),
            Form::CURRENT_STATE => Typed::StateReport(StateReport::new_checked(self, version)?),
            Form::MARKING_REQUEST => Typed::MarkingRequest(MarkingRequest::new_checked(self, version)?),
            Form::MARKING_NOTIFICATION => {
                Typed::MarkingNotification(MarkingNotification::new_checked(self, version)?)
            }
            Form::MARKING_ANSWER => Typed::MarkingAnswer(MarkingAnswer::new_checked(self, version)?),
            Form::MARKING_RECEIPT => Typed::MarkingReceipt(MarkingReceipt::new_checked(self, version)?),
            _ => return Err(DecodeError::new(DecodeErrorKind::Form, 0)),
        })
    }
}
