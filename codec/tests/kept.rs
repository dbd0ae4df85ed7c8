//! What fuzzing has found its way with, read once more without a fuzzer: `testdata/fuzz/TARGET.txt`, an input a line in
//! hexadecimal digits. The inputs grew out of the project's own golden documents; `fuzz/src/bin/keep.rs` tells how.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::json::check_json;
use ofd_codec::explain::{Layout, explain, explain_damage};
use ofd_codec::{
    CheckContext, Container, DecodeError, Document, DocumentView, FfdVersion, Frame, ReadOptions, Validated,
    check, open_plain, read_any, read_json, write_document,
};

/// The inputs of one target.
fn kept(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(common::unhex).collect()
}

/// What must hold of the bytes as a document.
fn as_document(bytes: &[u8]) {
    let view = DocumentView::new_checked(bytes);
    match Document::decode(bytes) {
        Ok(document) => assert_eq!(document.encode(), bytes),
        Err(error) => assert!(error.offset <= bytes.len() && view.is_err(), "{error}"),
    }
    for version in FfdVersion::ALL {
        let validated = Validated::check(bytes, version);
        let view = match (validated, &view) {
            (Ok(validated), Ok(view)) => {
                let told = view.header().ffd.and_then(FfdVersion::from_code);
                assert_eq!(validated.version(), told.unwrap_or(version));
                view
            }
            (validated, view) => {
                assert_eq!(validated.err(), view.as_ref().err().copied());
                continue;
            }
        };
        let context = CheckContext::new(version);
        let found = check(view, &context);
        assert_eq!(found, check(view, &context));
        assert!(found.iter().all(|it| it.offset <= bytes.len()));
        let _ = view.typed(version);
        let mut json = String::new();
        write_document(view, version, &mut json);
        check_json(&json);
    }
}

/// What must hold of the bytes as a stream of messages.
fn as_stream(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((message, after))) = Frame::split(rest) {
        assert_eq!(message.len() + after.len(), rest.len());
        assert!(matches!(Frame::split(&message[..message.len() - 1]), Ok(None)));
        if let Err(error) = Frame::new_checked(message) {
            assert!(error.offset <= message.len(), "{error}");
        }
        rest = after;
    }
    if let Err(error) = Frame::split(rest) {
        assert_eq!(Frame::split(&[rest, &[0; 64]].concat()), Err(error));
    }
}

/// What must hold of the bytes as a file of anything.
fn as_file(bytes: &[u8]) {
    let mut reader = read_any(bytes);
    let mut before = reader.offset();
    while let Some(piece) = reader.next() {
        match piece {
            Ok(piece) => {
                assert_eq!(piece.bytes(), &bytes[before..before + piece.bytes().len()]);
                assert!(!explain(&piece, piece.version(), &[], &Layout::default()).is_empty());
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
}

/// Why: what a fuzzer needed hours to reach stays reached, in every run of the tests and without it.
#[test]
fn kept_documents_are_read_soundly() {
    let all = [include_str!("../testdata/fuzz/document.txt"), include_str!("../testdata/fuzz/roundtrip.txt")];
    let mut seen = 0;
    for bytes in all.into_iter().flat_map(kept) {
        as_document(&bytes);
        seen += 1;
    }
    // The first byte chooses the version in this one.
    for bytes in kept(include_str!("../testdata/fuzz/json.txt")) {
        as_document(&bytes[1..]);
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

/// Why: the same of messages, containers and files of anything.
#[test]
fn kept_messages_and_files_are_read_soundly() {
    let mut seen = 0;
    let all = [
        include_str!("../testdata/fuzz/session.txt"),
        include_str!("../testdata/fuzz/container.txt"),
        include_str!("../testdata/fuzz/reader.txt"),
    ];
    for bytes in all.into_iter().flat_map(kept) {
        as_stream(&bytes);
        as_file(&bytes);
        match Container::new_checked(&bytes) {
            Ok(container) => {
                if let Ok(view) = open_plain(&container, None, container.body()) {
                    assert_eq!(view.bytes(), container.body());
                }
            }
            Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
        }
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

/// Why: the same of texts that are read as JSON. The first byte chooses how sums are read.
#[test]
fn kept_texts_are_read_soundly() {
    let mut documents = 0;
    for bytes in kept(include_str!("../testdata/fuzz/json_read.txt")) {
        let Ok(text) = str::from_utf8(&bytes[1..]) else { continue };
        for document in read_json(text, &ReadOptions::default()).unwrap_or_default() {
            let view = DocumentView::new_checked(&document.tlv).unwrap();
            assert_eq!(view.form(), document.form);
            documents += 1;
        }
    }
    assert!(documents > 10, "{documents}");
}
