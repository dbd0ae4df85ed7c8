//! What the targets share: ways to look at every value of a document, and the bytes that seeds are made of.
//!
//! A target states what must hold for any bytes at all. Beside "no panic" each has a claim of its own; it stands
//! at the top of its file.

pub mod log;

use std::path::{Path, PathBuf};

use ofd_codec::{Cp866, Tlv, Value};

/// Reads a value in every way there is, right or wrong for its tag.
pub fn touch(value: Value<'_>) {
    let _ = (value.u8(), value.u16(), value.u32(), value.bits());
    let _ = (value.vln(), value.kopecks(), value.fvln(), value.unixtime());
    let _ = (value.fiscal_sign(), value.drive_number());
    if let Ok(quantity) = value.fvln() {
        let text = quantity.to_string();
        assert!(text.parse::<serde_json::Number>().is_ok(), "{text} is no decimal literal");
        for scale in [0, 3, 6, 38] {
            let _ = quantity.to_decimal(scale);
        }
    }
    let text = Cp866(value.bytes());
    assert_eq!(text.to_cow(), text.to_string());
}

/// Walks a level and all below it, taking every value that can be read as a level for one.
pub fn walk(level: Tlv<'_>, depth: usize) {
    for (_, value) in level.map_while(Result::ok) {
        touch(value);
        if depth > 0 {
            walk(value.children(), depth - 1);
        }
    }
}

/// The folder of kept inputs, a file a target with an input a line, in hexadecimal digits. They grew out of the seeds, and so out
/// of the project's own documents alone; `cargo test -p ofd-codec --test kept` reads them without a fuzzer.
#[must_use]
pub fn kept_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../codec/testdata/fuzz")
}

/// The kept inputs of a target; none where nothing is kept.
///
/// # Errors
/// When a line holds other than hexadecimal digits.
pub fn kept(target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let Ok(text) = std::fs::read_to_string(kept_folder().join(format!("{target}.txt"))) else {
        return Ok(Vec::new());
    };
    text.lines()
        .map(|line| {
            ofd_codec::parse_hex(line).map_err(|error| std::io::Error::other(format!("{target}: {error}")))
        })
        .collect()
}

/// The messages of `codec/testdata/golden`, by name: documents of the project's own builders.
///
/// # Errors
/// When the folder cannot be read or a file does not hold a message.
pub fn golden() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codec/testdata/golden");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let hex = text.lines().find_map(|line| line.strip_prefix("message = \"")?.strip_suffix('"'));
        let message = hex.and_then(|hex| ofd_codec::parse_hex(hex).ok());
        found.push((name, message.ok_or_else(|| std::io::Error::other(path.display().to_string()))?));
    }
    found.sort();
    Ok(found)
}
