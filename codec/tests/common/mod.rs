//! What several test files need: the folder of facts, hexadecimal, decimals compared without floats.
#![allow(dead_code, reason = "each test file uses its own part of this module")]

pub(crate) mod claims;
pub(crate) mod documents;
pub(crate) mod draft;
pub(crate) mod forms;
pub(crate) mod json;

use std::path::PathBuf;

use serde_json::Value as Json;

/// The folder with facts and real documents, which are not part of the repository.
///
/// `None` when `OFD_FACTS` is not set: the caller prints that it skipped and returns. A folder that is set but does
/// not have the file fails the test.
pub(crate) fn facts(file: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os("OFD_FACTS") else {
        eprintln!("skipped: OFD_FACTS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => panic!("OFD_FACTS is set, but {} cannot be read: {error}", path.display()),
    }
}

/// As [`facts`], one JSON value a line.
pub(crate) fn facts_lines(file: &str) -> Option<Vec<Json>> {
    let bytes = facts(file)?;
    let text = String::from_utf8(bytes).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A decimal literal without the zeros that do not count, so that `1`, `1.0` and `1.000` compare equal as text.
pub(crate) fn decimal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, part)) => match part.trim_end_matches('0') {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        },
        None => text.to_owned(),
    }
}

/// Equal, numbers being compared as decimals.
pub(crate) fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => decimal(&a.to_string()) == decimal(&b.to_string()),
        _ => left == right,
    }
}
