//! A stream of bytes as a connection reads it.
//!
//! Claim: that of [`ofd_fuzz::claims::session`].
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ofd_fuzz::claims::session(bytes));
