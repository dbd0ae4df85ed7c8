//! The lossless tree.
//!
//! Claim: that of [`ofd_fuzz::claims::roundtrip`].
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ofd_fuzz::claims::roundtrip(bytes));
