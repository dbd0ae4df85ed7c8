//! The ФНС JSON of any document.
//!
//! Claim: whatever the values are, the writer gives JSON that another parser accepts: one object with one key, in
//! which the form is an object.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{DocumentView, FfdVersion, JsonOptions, write_document_with};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let version = match choice & 3 {
        0 => FfdVersion::V1_0,
        1 => FfdVersion::V1_05,
        2 => FfdVersion::V1_1,
        _ => FfdVersion::V1_2,
    };
    let Ok(view) = DocumentView::new_checked(bytes) else { return };
    let options = JsonOptions {
        message_sign: (choice & 4 != 0).then_some([0xFF; 8]),
        raw: (choice & 8 != 0).then_some(bytes),
    };
    let mut json = String::new();
    write_document_with(&view, version, &options, &mut json);
    let parsed: serde_json::Value =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let object = parsed.as_object().expect("an object");
    assert_eq!(object.len(), 1, "{json}");
    assert!(object.values().all(serde_json::Value::is_object), "{json}");
    assert!(!json.contains('\n'), "one line a document");
});
