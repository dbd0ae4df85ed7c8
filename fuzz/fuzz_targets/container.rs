//! One container, with and without a right checksum.
//!
//! Claim: a container is taken or refused, never half read; when only its checksum was wrong, mending the
//! checksum lets it through to the document, and what opens is a view into the container's own body.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{Container, DecodeErrorKind, container_crc, open_answer, open_plain};

fn look(bytes: &[u8]) -> Option<DecodeErrorKind> {
    let container = match Container::new_checked(bytes) {
        Ok(container) => container,
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            return Some(error.kind);
        }
    };
    assert_eq!(container.bytes(), bytes);
    let _ = (container.message_sign(), container.trailer(), container.is_plain());
    for open in [open_plain, open_answer] {
        match open(&container, None, container.body()) {
            Ok(view) => assert_eq!(view.bytes(), container.body()),
            Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
        }
    }
    None
}

fuzz_target!(|bytes: &[u8]| {
    if look(bytes) == Some(DecodeErrorKind::Crc) {
        // The checksum stops nearly every mutation, so it is mended to let the fuzzer behind it.
        let mut mended = bytes.to_vec();
        let crc = container_crc(bytes);
        mended[2..4].copy_from_slice(&crc.to_le_bytes());
        assert_ne!(look(&mended), Some(DecodeErrorKind::Crc));
    }
});
