//! Turns the tables of `codec/dictionary/` into Rust and into the page of rules.
//!
//! ```text
//! ffd.toml  structure.toml  enums.toml  rules.toml ─▶ codec/src/dictionary/generated.rs
//!                                                  ├▶ codec/src/rules/generated.rs
//!                                  life_rules.toml ├▶ codec/src/rules/generated_life.rs
//!                                                  ├▶ codec/src/tags.rs
//!                                                  └▶ docs/rules.md
//! ```
//!
//! The results are committed, so a plain build of `ofd-codec` neither runs this nor depends on a TOML reader; a test
//! generates them again and compares. Errors name the table and the row.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

mod check;
mod dictionary;
mod life_rules;
mod page;
mod rules;
mod tables;

pub use tables::Tables;

/// A generated file: where it belongs below the root of the repository, and what it holds.
#[derive(Debug)]
pub struct Output {
    /// Path below the root of the repository.
    pub path: PathBuf,
    /// Whole contents.
    pub text: String,
}

/// Reads the tables below `root` (the repository) and makes every generated file.
pub fn generate(root: &Path) -> Result<Vec<Output>> {
    let tables = Tables::read(&root.join("codec/dictionary"))?;
    check::consistent(&tables)?;
    Ok(vec![
        Output { path: "codec/src/dictionary/generated.rs".into(), text: dictionary::generated(&tables)? },
        Output { path: "codec/src/tags.rs".into(), text: dictionary::constants(&tables) },
        Output { path: "codec/src/rules/generated.rs".into(), text: rules::generated(&tables) },
        Output { path: "codec/src/rules/generated_life.rs".into(), text: life_rules::generated(&tables) },
        Output { path: "docs/rules.md".into(), text: page::rules(&tables) },
    ])
}

/// Generated files that differ from what stands below `root`.
pub fn stale(root: &Path) -> Result<Vec<Output>> {
    let mut found = generate(root)?;
    found.retain(|output| {
        std::fs::read_to_string(root.join(&output.path)).map_or(true, |text| text != output.text)
    });
    Ok(found)
}

/// Writes what differs; returns the paths written.
pub fn write(root: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for output in stale(root)? {
        let path = root.join(&output.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        std::fs::write(&path, &output.text).with_context(|| format!("write {}", path.display()))?;
        written.push(output.path);
    }
    Ok(written)
}

/// Root of the repository this program was built from.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
