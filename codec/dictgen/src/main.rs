//! `cargo run -p ofd-dictgen` writes the generated files; `-- --check` only compares and exits 1 on a difference.

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    let root = ofd_dictgen::repository();
    match std::env::args().nth(1).as_deref() {
        None => {
            for path in ofd_dictgen::write(&root)? {
                eprintln!("wrote {}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("--check") => {
            let stale = ofd_dictgen::stale(&root)?;
            for output in &stale {
                eprintln!(
                    "{} is not what codec/dictionary/ says; run: cargo run -p ofd-dictgen",
                    output.path.display()
                );
            }
            Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(other) => {
            eprintln!("usage: ofd-dictgen [--check]; not known: {other}");
            Ok(ExitCode::from(2))
        }
    }
}
