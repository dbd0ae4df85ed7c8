//! `DIR/registers/operator`: the INN that the registers were last folded with.
//!
//! Checkpoints and events are those of one operator (a registration that names another ends the service of its drive). Who
//! opens the directory without having been told the INN, a tool or a reader, works with this one and finds what the owner has
//! left, instead of folding the whole log anew. The file is a hint: without it, or with another one, nothing is wrong.

use std::path::Path;

use ofd_storage::Env;
use ofd_storage::env::{read_file, replace_file};

const OPERATOR_FILE: &str = "registers/operator";
/// An INN has at most so many digits.
const LEN_MAX: u64 = 12;

/// The INN that is known of this directory.
pub(crate) fn known(env: &dyn Env) -> Option<String> {
    let bytes = read_file(env, Path::new(OPERATOR_FILE), LEN_MAX).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())).then_some(text)
}

/// Notes the INN, if it is another one than is known.
pub(crate) fn keep(env: &dyn Env, inn: &str) {
    if known(env).as_deref() == Some(inn) {
        return;
    }
    let path = Path::new(OPERATOR_FILE);
    let folder = path.parent().unwrap_or(Path::new(""));
    let kept = env.create_dir_all(folder).and_then(|()| replace_file(env, path, inn.as_bytes()));
    if let Err(error) = kept {
        tracing::warn!(%error, "the operator of this directory is not noted");
    }
}
