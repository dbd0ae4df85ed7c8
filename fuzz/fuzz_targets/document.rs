//! One document TLV through the checked view and the rules.
//!
//! Claim: the fused walk takes what the view takes and refuses the rest with the same error, and its values and findings
//! lie inside the document; once checked, a view is read to its end without an error of structure, its header agrees with a search
//! by tag, and the rules give the same findings twice, each pointing into the document.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{CheckContext, DocumentView, FfdVersion, Requisite, Validated, Visitor, check, tags};

/// Everything a visitor is shown lies where it says, and every nest that is left was entered.
struct Inside<'a> {
    bytes: &'a [u8],
    open: Vec<u16>,
}

impl<'a> Visitor<'a> for Inside<'a> {
    fn begin(&mut self, _: FfdVersion) {
        self.open.clear();
    }

    fn requisite(&mut self, requisite: Requisite<'a>) {
        let value = requisite.value;
        let end = value.offset() + value.bytes().len();
        assert_eq!(self.bytes.get(value.offset()..end), Some(value.bytes()));
        while self.open.last().is_some_and(|&open| open != requisite.parent) {
            self.open.pop();
        }
        assert_eq!(self.open.last().copied().unwrap_or(0), requisite.parent);
        self.open.push(value.tag().0);
    }
}

fuzz_target!(|bytes: &[u8]| {
    for version in FfdVersion::ALL {
        let mut inside = Inside { bytes, open: Vec::new() };
        match (Validated::check_with(bytes, version, &mut inside), DocumentView::new_checked(bytes)) {
            (Ok(validated), Ok(view)) => {
                assert_eq!(validated.view().bytes(), view.bytes());
                let told = view.header().ffd.and_then(FfdVersion::from_code);
                assert_eq!(validated.version(), told.unwrap_or(version));
                assert!(validated.findings().iter().all(|finding| (finding.offset as usize) <= bytes.len()));
            }
            (validated, view) => assert_eq!(validated.err(), view.err()),
        }
    }
    ofd_fuzz::walk(ofd_codec::Tlv::new(bytes), 4);
    let view = match DocumentView::new_checked(bytes) {
        Ok(view) => view,
        Err(error) => return assert!(error.offset <= bytes.len(), "{error}"),
    };
    assert_eq!(view.bytes(), bytes);
    for (tag, value) in view.tags() {
        assert_eq!(tag, value.tag());
        ofd_fuzz::touch(value);
    }
    let header = view.header();
    let number = view.get(tags::FISCAL_DOCUMENT_NUMBER).and_then(|value| value.u32().ok());
    assert_eq!(header.number.map(|number| number.0), number);
    for version in [FfdVersion::V1_0, FfdVersion::V1_05, FfdVersion::V1_1, FfdVersion::V1_2] {
        let context = CheckContext::new(version);
        let found = check(&view, &context);
        assert_eq!(found.as_slice(), check(&view, &context).as_slice());
        for violation in found.iter() {
            assert!(violation.offset <= bytes.len());
            assert!(violation.rule.rule().is_some());
        }
    }
});
