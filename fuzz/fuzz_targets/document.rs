//! One document TLV through the checked view and the rules.
//!
//! Claim: once checked, a view is read to its end without an error of structure, its header agrees with a search
//! by tag, and the rules give the same findings twice, each pointing into the document.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{CheckContext, DocumentView, FfdVersion, check, tags};

fuzz_target!(|bytes: &[u8]| {
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
    let number = view.get_all(tags::FISCAL_DOCUMENT_NUMBER).find_map(|value| value.u32().ok());
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
