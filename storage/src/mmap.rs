//! Read-only maps of sealed segments. All `unsafe` of this crate.
//!
//! What callers may assume: the bytes stay the same and stay readable as long as any clone of the [`Bytes`]
//! lives; the map goes away with the last one.
//!
//! What breaks it: anybody who writes, truncates or replaces the content of the mapped file. In this process
//! nobody does: a file is mapped only after its footer is durable, the log never writes to it again, and its
//! length has been cut before. Removing its name is harmless, the inode lives on. Another process could
//! truncate it: reading then dies of SIGBUS. The directory lock keeps other writers out, and the data
//! directory is ours alone (0700); `tests/log.rs` maps a segment, removes its name and reads on.

use std::fs::File;
use std::io;

use bytes::Bytes;

/// Maps the whole file.
#[allow(unsafe_code, reason = "the one map of the crate; contract in the module header")]
pub(crate) fn map_read_only(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        // An empty map is refused by mmap(2).
        return Ok(Bytes::new());
    }
    // SAFETY: memmap2 asks that the file is not modified, in or out of this process, while the map lives.
    // The module header names who could, and why nobody does: sealed segments are never written again, and
    // the directory has one owner.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
