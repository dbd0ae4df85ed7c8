//! Files of anything: messages, containers, rawData, documents, noise between them.
//!
//! Claim: that of [`ofd_fuzz::claims::reader`].
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ofd_fuzz::claims::reader(bytes));
