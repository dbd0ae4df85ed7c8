//! Files that are named after an LSN: `DIR/<LSN, 16 hex digits>.<extension>`.
//!
//! Unit: one folder and one extension; whatever else lies there is not looked at.

use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::Error;
use crate::position::Lsn;

/// Where the file of an LSN lies.
pub fn lsn_path(dir: &Path, lsn: Lsn, extension: &str) -> PathBuf {
    dir.join(format!("{:016x}.{extension}", lsn.get()))
}

/// The LSNs that files of the folder are named after, in ascending order; none when there is no such folder.
///
/// # Errors
/// Of the system.
pub fn list_lsns(env: &dyn Env, dir: &Path, extension: &str) -> Result<Vec<Lsn>, Error> {
    if !env.exists(dir)? {
        return Ok(Vec::new());
    }
    let lsn = |name: &str| {
        let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
        u64::from_str_radix(digits, 16).ok().map(Lsn::new)
    };
    let mut found: Vec<Lsn> = env.list(dir)?.iter().filter_map(|entry| lsn(&entry.name)).collect();
    found.sort_unstable();
    Ok(found)
}
