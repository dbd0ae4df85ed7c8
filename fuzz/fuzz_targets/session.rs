//! A stream of bytes as a connection reads it.
//!
//! Claim: however the stream is cut into reads, the same messages come off it, and an error stays an error when
//! more bytes arrive; every message that is cut off is exactly as long as its header says.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;
use ofd_codec::{Frame, SESSION_HEADER_LEN};

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    while let Ok(Some((message, after))) = Frame::split(rest) {
        assert_eq!(message.len() + after.len(), rest.len());
        // One byte less is not yet this message.
        assert!(matches!(Frame::split(&message[..message.len() - 1]), Ok(None)));
        match Frame::new_checked(message) {
            Ok(frame) => {
                assert_eq!(frame.bytes(), message);
                assert_eq!(message.len(), SESSION_HEADER_LEN + usize::from(frame.header().body_len));
                assert_eq!(frame.header().encode(), message[..SESSION_HEADER_LEN]);
                let _ = (frame.header().channel(), frame.header().drive_number());
                ofd_fuzz::walk(ofd_codec::Tlv::new(frame.container().body()), 1);
            }
            Err(error) => assert!(error.offset <= message.len(), "{error}"),
        }
        rest = after;
    }
    if let Err(error) = Frame::split(rest) {
        assert!(error.offset <= rest.len(), "{error}");
        let longer = [rest, &[0; 64]].concat();
        assert_eq!(Frame::split(&longer), Err(error));
    }
    let _ = Frame::new_checked(stream);
});
