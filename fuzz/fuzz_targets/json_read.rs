//! Any text read as the JSON of documents.
//!
//! Claim: whatever the text is, what is read of it is a document whose structure holds, and a message that is written of
//! it is a message that can be read; its own JSON is UTF-8 and does not make the reader panic.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{DocumentView, JsonOptions, Money, ReadOptions, read_any, read_json, write_document_into};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let money = match choice & 3 {
        0 => Money::Kopecks,
        1 => Money::Roubles,
        _ => Money::Auto,
    };
    let options = ReadOptions { money, stand_ins: choice & 4 != 0, raw: choice & 8 != 0, version: None };
    let Ok(documents) = read_json(text, &options) else { return };
    for document in documents {
        let view = DocumentView::new_checked(&document.tlv).expect("the structure holds");
        assert_eq!(view.form(), document.form);
        let mut message = Vec::new();
        if document.write_message(&mut message).is_ok() {
            assert!(read_any(&message).all(|piece| piece.is_ok()), "{text}");
        }
        let mut json = Vec::new();
        write_document_into(&view, document.version, &JsonOptions::default(), &mut json);
        let json = String::from_utf8(json).expect("JSON is UTF-8");
        // A decimal with more digits than a mantissa holds is refused, and that is all that may be.
        let _ = read_json(&json, &ReadOptions { version: Some(document.version), ..ReadOptions::default() });
    }
});
