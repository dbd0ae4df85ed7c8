//! The lossless tree.
//!
//! Claim: what decodes encodes back to the same bytes, and everything the strict view accepts the tree accepts.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{Document, DocumentView};

fuzz_target!(|bytes: &[u8]| {
    match Document::decode(bytes) {
        Ok(document) => assert_eq!(document.encode(), bytes),
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            assert!(
                DocumentView::new_checked(bytes).is_err(),
                "the view takes what the tree refuses: {error}"
            );
        }
    }
});
