//! What the fold and the rules across documents ask of one document, read in the one walk that checks it. Pure.

use ofd_codec::{DecodeError, DocumentHeader, DocumentView, Form, Tag, Value, Visit, tags};

use super::totals::{Paid, PaidRead};
use crate::watch::facts::Facts;

/// The requisites. It is a few lines of the cache, so that it stays where it was made.
#[derive(Default)]
pub(super) struct Reading<'a> {
    /// 1037 and 1018; of a repeated one the first.
    pub(super) rnm: Option<Value<'a>>,
    pub(super) inn: Option<Value<'a>>,
    /// What a receipt adds.
    pub(super) paid: Option<Paid>,
    pub(super) facts: Facts<'a>,
    receipt: Option<PaidRead>,
}

impl<'a> Reading<'a> {
    /// Checks a document and reads it; of an empty one.
    pub(super) fn read(
        &mut self,
        plain: &'a [u8],
    ) -> Result<(DocumentView<'a>, DocumentHeader), DecodeError> {
        let read = DocumentView::visit_checked(plain, self)?;
        self.paid = self.receipt.as_ref().and_then(PaidRead::end);
        Ok(read)
    }
}

impl<'a> Visit<'a> for Reading<'a> {
    fn begin(&mut self, form: Form) {
        self.receipt = PaidRead::of(form);
    }

    #[inline]
    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        match tag {
            tags::KKT_REG_ID => self.rnm = self.rnm.or(Some(*value)),
            tags::USER_INN => self.inn = self.inn.or(Some(*value)),
            _ => {}
        }
        if let Some(receipt) = &mut self.receipt {
            receipt.take(tag, value);
        }
        self.facts.take(tag, value);
    }

    #[inline]
    fn inside(&mut self, parent: Tag, tag: Tag, value: &Value<'a>) {
        if parent == tags::ITEM && self.receipt.is_some() {
            self.facts.take_of_item(tag, value);
        }
    }
}
