//! `control.sock`: how other processes ask the one that owns the directory.
//!
//! A unix socket in the data directory, mode 0600: who may open the files may ask. One request a line, one
//! JSON object; the answer is lines `{"data":…}`, as many as there are, then one line `{"ok":true}` or
//! `{"error":"…","kind":"…"}`. Several requests may follow each other on a connection.
//!
//! ```text
//! {"do":"status"}                                             ─▶ counts of the engine
//! {"do":"find","fn":"9999078900001234","fd":17}               ─▶ a line a variant
//! {"do":"find","fn":"9999078900001234","fpd":1234567890,"raw":true}  ─▶ containers in hex, as JSON strings
//! {"do":"compact","all":true}                                 ─▶ what compaction did
//! {"do":"verify"}                                             ─▶ what verification found
//! {"do":"retain","dry_run":true}                              ─▶ what retention would let go
//! {"do":"hold.list"}                                          ─▶ a line a legal hold
//! {"do":"hold.place","scope":{"inn":"7704211201"},"from":"2026-01-01","to":"2026-03-31","reason":"…","by":"…"}
//!                                                             ─▶ {"id":4711}
//! {"do":"import","documents":[{"message":"2a08410a…","code":0,"time":1772409600,"at":1772398800000000,"crypto":0}]}
//!                                                             ─▶ a line a document: true = stored, false = known
//!                                                                before, or a text that says why it was not taken
//! {"do":"admin.status"}, {"do":"tax.pause",…} and others       ─▶ control/admin.rs
//! {"do":"hold.lift","id":4711,"reason":"…","by":"…"}          ─▶ {"id":4711}
//! ```
//!
//! Needs the feature `control`.

mod admin;
mod client;
mod import_line;
mod line;
mod registers_line;
mod request;
mod server;

pub use admin::{Admin, state_json};
pub use client::{ControlClient, ControlError};
pub use line::{
    compact_line, document_line, finding_line, hold_lines, links_line, merge_line, raw_line, receipt_line,
    retain_line, subscription_lines, verify_line,
};
pub use registers_line::{card_line, closed_shift_line, shift_line};
pub use request::{Request, Wanted};
pub use server::ControlServer;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Name of the socket in the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Longest request, bytes.
pub const REQUEST_LEN_MAX: usize = 1 << 20;
/// Longest path that a socket address takes on all systems of ours, with its terminating zero.
const SOCKET_PATH_LEN_MAX: usize = 108;

/// The path of the socket in a form short enough for an address, however deep the directory lies: then it goes by
/// way of a handle of the directory, which has to live as long as the path is used.
fn socket_path(dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = dir.join(CONTROL_SOCKET);
    if path.as_os_str().len() < SOCKET_PATH_LEN_MAX {
        return Ok((path, None));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "an address for a socket, no data: the simulator has no sockets"
    )]
    let handle = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{CONTROL_SOCKET}", handle.as_raw_fd()));
    Ok((path, Some(handle)))
}
