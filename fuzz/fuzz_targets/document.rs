//! One document TLV through the checked view and the rules.
//!
//! Claim: that of [`ofd_fuzz::claims::document`].
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ofd_fuzz::claims::document(bytes));
