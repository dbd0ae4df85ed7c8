//! What fuzzing has found its way with, read once more without a fuzzer: `testdata/fuzz/TARGET.txt`, an input a line in
//! hexadecimal digits. The inputs grew out of the project's own golden documents; `fuzz/src/bin/keep.rs` tells how.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::claims;

/// Tries a claim on the inputs of its target; tells how many there are.
fn try_kept(text: &str, mut claim: impl FnMut(&[u8])) -> usize {
    text.lines().map(common::unhex).map(|bytes| claim(&bytes)).count()
}

/// Everything that is claimed of a document, in every version.
fn as_document(bytes: &[u8]) {
    claims::document(bytes);
    claims::roundtrip(bytes);
    for choice in 0..16 {
        claims::json(&[&[choice], bytes].concat());
    }
}

/// Everything that is claimed of what comes over a connection or in a file.
fn as_stream(bytes: &[u8]) {
    claims::session(bytes);
    claims::container(bytes);
    claims::reader(bytes);
}

/// Why: what a fuzzer needed hours to reach stays reached, in every run of the tests and without it.
#[test]
fn kept_inputs_keep_their_claims() {
    let mut read = 0;
    let seen = [
        try_kept(include_str!("../testdata/fuzz/document.txt"), as_document),
        try_kept(include_str!("../testdata/fuzz/roundtrip.txt"), as_document),
        // The first byte chooses the version in this one.
        try_kept(include_str!("../testdata/fuzz/json.txt"), |bytes| as_document(&bytes[1..])),
        try_kept(include_str!("../testdata/fuzz/session.txt"), as_stream),
        try_kept(include_str!("../testdata/fuzz/container.txt"), as_stream),
        try_kept(include_str!("../testdata/fuzz/reader.txt"), as_stream),
        try_kept(include_str!("../testdata/fuzz/json_read.txt"), |bytes| read += claims::json_read(bytes)),
    ];
    assert!(seen.iter().all(|seen| *seen > 20), "{seen:?}");
    assert!(read > 10, "{read} documents came of all the texts");
}
