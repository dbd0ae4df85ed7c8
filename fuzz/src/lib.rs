//! What the targets share: the claims about the codec, which its own tests try on the kept inputs, and the bytes that seeds are
//! made of.

#[path = "../../codec/tests/common/claims.rs"]
pub mod claims;
pub mod log;

use std::path::{Path, PathBuf};

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
