//! Any text read as the JSON of documents.
//!
//! Claim: that of [`ofd_fuzz::claims::json_read`].
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ofd_fuzz::claims::json_read(bytes);
});
