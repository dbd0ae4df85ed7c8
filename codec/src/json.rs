//! The ФНС JSON face of a document, both ways: `{"receipt":{…}}`.
//!
//! `write` streams a document into bytes or a `String`; `read` makes a document TLV of JSON, that of the ФНС and the
//! dialects of public exports, and says which liberties it took. Between them:
//! ```text
//!  document TLV ──▶ write (keys, text) ──▶ JSON ──▶ token ──▶ read (dialect, decimal, moment) ──▶ document TLV
//! ```
//! Invariant: JSON that was written is read without a liberty, and the document that was read writes the same JSON
//! again. What JSON does not carry is listed in `read` (test: tests/json_roundtrip.rs::what_json_does_not_carry_is_this).

mod base64;
mod decimal;
mod dialect;
mod error;
mod keys;
mod moment;
mod number;
mod read;
mod text;
mod token;
mod write;

pub use dialect::{LIBERTIES_MAX, Liberty, LibertyKind};
pub use error::{JsonError, JsonErrorKind};
pub use read::{JsonDocument, Money, ReadOptions, STAND_IN_DRIVE, read_json};
pub use token::{JSON_DEPTH_MAX, JSON_LEN_MAX, JSON_VALUES_MAX};
pub use write::{JsonOptions, write_document, write_document_into, write_document_with};
