//! Documents as lists of tags, so that a test can change one requisite and leave the rest: a receipt, a correction and a
//! report of registration that break no rule, written with the encoder. Everybody in them is invented.

use ofd_codec::{CheckContext, DocumentView, FfdVersion, Tag, TlvWriter, Violation, check, cp866, tags};

/// A document as a list of tags, so that a test can change one and leave the rest.
#[derive(Clone)]
pub(crate) struct Doc {
    pub(crate) form: u16,
    pub(crate) tags: Vec<(Tag, Vec<u8>)>,
}

impl Doc {
    pub(crate) fn set(mut self, tag: Tag, value: &[u8]) -> Self {
        match self.tags.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.tags.push((tag, value.to_vec())),
        }
        self
    }

    pub(crate) fn add(mut self, tag: Tag, value: &[u8]) -> Self {
        self.tags.push((tag, value.to_vec()));
        self
    }

    pub(crate) fn without(mut self, tag: Tag) -> Self {
        self.tags.retain(|(known, _)| *known != tag);
        self
    }

    /// Changes the first item.
    pub(crate) fn item(self, change: impl FnOnce(Doc) -> Doc) -> Self {
        let item = change(item()).body();
        self.set(tags::ITEM, &item)
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = TlvWriter::new(&mut out);
        for (tag, value) in &self.tags {
            writer.bytes(*tag, value).unwrap();
        }
        out
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        TlvWriter::new(&mut out).bytes(Tag(self.form), &self.body()).unwrap();
        out
    }

    pub(crate) fn found(&self, version: FfdVersion) -> Vec<Violation> {
        self.found_in(&CheckContext::new(version))
    }

    pub(crate) fn found_in(&self, context: &CheckContext) -> Vec<Violation> {
        let bytes = self.bytes();
        check(&DocumentView::new_checked(&bytes).unwrap(), context).into_iter().collect()
    }

    /// Rule and tag of each finding.
    pub(crate) fn keys(&self, version: FfdVersion) -> Vec<(&'static str, u16)> {
        self.found(version).iter().map(|found| (found.rule.key, found.tag.unwrap().0)).collect()
    }
}

pub(crate) fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    TlvWriter::new(&mut out).bytes(Tag(tag), value).unwrap();
    out
}

/// Money or another number of variable length.
pub(crate) fn vln(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    TlvWriter::new(&mut out).vln(Tag(1020), number);
    out.split_off(4)
}

pub(crate) fn text(text: &str, width: usize) -> Vec<u8> {
    let mut bytes = cp866(text).unwrap();
    bytes.resize(width.max(bytes.len()), b' ');
    bytes
}

pub(crate) fn doc(form: u16, tags: &[(Tag, &[u8])]) -> Doc {
    Doc { form, tags: tags.iter().map(|(tag, value)| (*tag, value.to_vec())).collect() }
}

pub(crate) fn item() -> Doc {
    doc(
        0,
        &[
            (tags::ITEM_NAME, &text("Чай", 0)),
            (tags::PRICE, &[0x10, 0x27]),
            (tags::QUANTITY, &[0, 1]),
            (tags::ITEM_SUM, &[0x10, 0x27]),
            (tags::VAT_RATE, &[6]),
            (tags::PAYMENT_METHOD, &[4]),
            (tags::PAYMENT_SUBJECT, &[1]),
            (tags::QUANTITY_MEASURE, &[0]),
        ],
    )
}

/// A receipt of ФФД 1.2 that breaks no rule.
pub(crate) fn receipt() -> Doc {
    doc(
        3,
        &[
            (tags::FISCAL_DRIVE_NUMBER, b"9999078900001234"),
            (tags::KKT_REG_ID, b"0000000001047345    "),
            (tags::USER_INN, b"7728029110  "),
            (tags::FISCAL_DOCUMENT_NUMBER, &[7, 0, 0, 0]),
            (tags::DATE_TIME, &[0, 0, 0, 0x68]),
            (tags::FISCAL_SIGN, &[0x31, 4, 1, 2, 3, 4]),
            (tags::SHIFT_NUMBER, &[1, 0, 0, 0]),
            (tags::NUMBER_IN_SHIFT, &[1, 0, 0, 0]),
            (tags::OPERATION_TYPE, &[1]),
            (tags::TOTAL_SUM, &[0x10, 0x27]),
            (tags::FFD_VERSION, &[4]),
            (tags::APPLIED_TAXATION_TYPE, &[2]),
            (tags::RETAIL_PLACE_ADDRESS, &text("Москва, Тверская, 1", 0)),
            (tags::RETAIL_PLACE, &text("Киоск", 0)),
            (tags::ITEM, &item().body()),
            (tags::CASH_SUM, &[0x10, 0x27]),
            (tags::TURNOVER_NO_VAT, &[0x10, 0x27]),
        ],
    )
}

/// A report of registration of ФФД 1.2 that breaks no rule.
pub(crate) fn registration() -> Doc {
    doc(
        1,
        &[
            (tags::FISCAL_DRIVE_NUMBER, b"9999078900001234"),
            (tags::KKT_REG_ID, b"0000000001047345    "),
            (tags::USER_INN, b"7728029110  "),
            (tags::USER_NAME, &text("ООО Чай", 0)),
            (tags::KKT_NUMBER, b"00000000001234567890"),
            (tags::FISCAL_DOCUMENT_NUMBER, &[1, 0, 0, 0]),
            (tags::DATE_TIME, &[0, 0, 0, 0x68]),
            (tags::FISCAL_SIGN, &[0x31, 4, 1, 2, 3, 4]),
            (tags::FFD_VERSION, &[4]),
            (tags::KKT_FFD_VERSION, &[4]),
            (tags::DRIVE_FFD_VERSION, &[4]),
            (tags::KKT_VERSION, &text("001", 8)),
            (tags::KEY_RESOURCE, &[0x9A, 1]),
            (tags::TAXATION_TYPES, &[3]),
            (tags::OFFLINE_MODE, &[0]),
            (tags::AUTO_MODE, &[0]),
            (tags::ENCRYPTION_SIGN, &[1]),
            (tags::USAGE_CONDITIONS, &[0, 2, 0, 0]),
            (tags::OFD_INN, b"7704211201  "),
            (tags::CASHIER, &text("Иванова", 0)),
            (tags::RETAIL_PLACE_ADDRESS, &text("Москва, Тверская, 1", 0)),
            (tags::RETAIL_PLACE, &text("Киоск", 0)),
        ],
    )
}

/// A correction of ФФД 1.2 that breaks no rule: made by oneself, of a sale of 2025-04-01.
pub(crate) fn correction() -> Doc {
    let mut correction = receipt();
    correction.form = 31;
    let day = tlv(1178, &1_743_465_600_u32.to_le_bytes());
    correction.add(tags::CORRECTION_TYPE, &[0]).add(tags::CORRECTION_BASE, &day)
}

/// A receipt of ФФД 1.2 with a marked good whose code was checked and is good, and that is changed further.
pub(crate) fn marked(change: impl FnOnce(Doc) -> Doc) -> Doc {
    let code = tlv(1305, b"0104600000000017215ABCdefGHIJKL");
    receipt()
        .item(|item| {
            change(
                item.set(tags::PAYMENT_SUBJECT, &[33])
                    .add(tags::PRODUCT_CODE_STLV, &code)
                    .add(tags::CODE_PROCESSING_MODE, &[0])
                    .add(tags::ITEM_CHECK_RESULT, &[15]),
            )
        })
        .add(tags::RECEIPT_CHECK_RESULT, &[0])
}
