//! Files of anything: messages, containers, rawData, documents, noise between them.
//!
//! Claim: the reader ends, goes forward with every piece, and names offsets inside the file; every piece and all damage
//! can be told to people.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::explain::{Layout, explain, explain_damage};
use ofd_codec::{DecodeError, read_any};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = read_any(bytes);
    let mut before = reader.offset();
    while let Some(piece) = reader.next() {
        match piece {
            Ok(piece) => {
                assert_eq!(piece.bytes(), &bytes[before..before + piece.bytes().len()]);
                let version = piece.version();
                let _ = piece.message_sign();
                assert!(!explain(&piece, version, &[], &Layout::default()).is_empty());
            }
            Err(error) => {
                assert!(error.offset <= bytes.len(), "{error}");
                let here = DecodeError { offset: error.offset.saturating_sub(before), ..error };
                let damaged = &bytes[before..reader.offset()];
                assert!(!explain_damage(damaged, &here, &Layout::default()).is_empty());
            }
        }
        assert!(reader.offset() > before, "stood still at {before}");
        before = reader.offset();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ofd_codec::parse_hex(text);
    }
});
