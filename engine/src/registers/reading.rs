//! What the fold and the rules across documents ask of one document, read in the one walk that checks it. Pure.

use ofd_codec::{DecodeError, DocumentHeader, DocumentView, Form, Tag, Value, Visit, tags};

use super::totals::{PAID_TAGS, Paid, PaidRead};
use crate::watch::facts::{FACT_TAGS, Facts};

/// Who asks for a requisite of the upper level: one look instead of a search by each for what most of them do not ask.
const ASKED: [u8; ASKED_LEN] = {
    let mut asked = [0; ASKED_LEN];
    let lists: [(&[Tag], u8); 3] =
        [(&[tags::KKT_REG_ID, tags::USER_INN], OWN), (PAID_TAGS, PAID), (FACT_TAGS, FACTS)];
    let mut lists = lists.as_slice();
    while let [(list, bit), more @ ..] = lists {
        let mut list = *list;
        while let [tag, behind @ ..] = list {
            if let Some((slot, _)) = asked.split_at_mut(place(*tag)).1.split_first_mut() {
                *slot |= *bit;
            }
            list = behind;
        }
        lists = more;
    }
    asked
};
const ASKED_LEN: usize = 1_200;
const OWN: u8 = 1;
const PAID: u8 = 1 << 1;
const FACTS: u8 = 1 << 2;

const fn place(tag: Tag) -> usize {
    (tag.0 as usize).wrapping_sub(1_000)
}

/// The requisites. It is a few lines of the cache, so that it stays where it was made.
#[derive(Default)]
pub(super) struct Reading<'a> {
    /// 1037 and 1018; of a repeated one the first.
    pub(super) rnm: Option<Value<'a>>,
    pub(super) inn: Option<Value<'a>>,
    pub(super) facts: Facts<'a>,
    receipt: PaidRead,
}

impl<'a> Reading<'a> {
    /// Checks a document and reads it; of an empty one.
    pub(super) fn read(
        &mut self,
        plain: &'a [u8],
    ) -> Result<(DocumentView<'a>, DocumentHeader), DecodeError> {
        let read = DocumentView::visit_checked(plain, self)?;
        self.receipt.end();
        Ok(read)
    }

    /// What a receipt adds.
    pub(super) fn paid(&self) -> Option<&Paid> {
        self.receipt.paid()
    }
}

impl<'a> Visit<'a> for Reading<'a> {
    fn begin(&mut self, form: Form) {
        self.receipt.begin(form);
    }

    #[inline]
    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        let asked = ASKED.get(place(tag)).copied().unwrap_or(0);
        if asked & OWN != 0 {
            let slot = if tag == tags::USER_INN { &mut self.inn } else { &mut self.rnm };
            *slot = slot.or(Some(*value));
        }
        if asked & PAID != 0 {
            self.receipt.take(tag, value);
        }
        if asked & FACTS != 0 {
            self.facts.take(tag, value);
        }
    }

    #[inline]
    fn inside(&mut self, parent: Tag, tag: Tag, value: &Value<'a>) {
        if parent == tags::ITEM && self.receipt.pays() {
            self.facts.take_of_item(tag, value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use ofd_codec::TlvWriter;

    use super::*;

    // A tag that somebody asks for and that stands in no list of his he never sees.
    #[test]
    fn everybody_sees_what_he_asks_for() {
        let mut date = Vec::new();
        TlvWriter::new(&mut date).u32(tags::CORRECTION_DATE, 1_790_000_000);
        let values: [&[u8]; 6] = [&[1], &[7, 7], b"Ivanov", &[1, 2, 3, 4], &[], &date];
        let (mut found, mut paying) = (0, 0);
        for tag in (1..3_000).map(Tag) {
            for bytes in values {
                let mut plain = Vec::new();
                let written = TlvWriter::new(&mut plain).document(Form::RECEIPT, |w| {
                    w.bytes(tag, bytes)?;
                    w.u8(tags::OPERATION_TYPE, 1);
                    Ok(())
                });
                written.unwrap();
                // What is no structure where there must be one.
                let Ok(view) = DocumentView::new_checked(&plain) else { continue };
                let mut facts = Facts::default();
                view.tags().for_each(|(tag, value)| facts.take(tag, &value));
                let mut reading = Reading::default();
                reading.read(&plain).unwrap();
                assert_eq!(format!("{:?}", reading.facts), format!("{facts:?}"), "{tag:?}, {bytes:?}");
                assert_eq!(reading.paid(), Paid::of(&view).as_ref(), "{tag:?}, {bytes:?}");
                assert_eq!(reading.rnm.is_some(), tag == tags::KKT_REG_ID);
                assert_eq!(reading.inn.is_some(), tag == tags::USER_INN);
                found += u32::from(format!("{facts:?}") != format!("{:?}", Facts::default()));
                paying += u32::from(reading.paid().is_some_and(|it| it.sums.total != 0));
            }
        }
        assert!(found > 50 && paying > 0, "{found} {paying}");
    }
}
