//! The real tool `ofd`, run as a process: what it prints, where it prints it, and how it exits. Needs the feature
//! `tool`. Crashes of the server are told in `crash.rs`.

#![cfg(feature = "tool")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod archive;
mod config;
mod documents;
mod emit;
mod encode;
mod http;
mod import;
mod notify;
#[cfg(feature = "object-store")]
mod object_store;
mod receipts;
mod registers;
mod retain;
mod serve;
mod sql;
mod support;
mod tax;
