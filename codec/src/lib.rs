#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
#![doc = include_str!("../README.md")]
//!
//! # The way of a document
//!
//! ```text
//! stream ─▶ Frame::split ─▶ Frame ─▶ Container ─▶ open_plain ─▶ DocumentView ─▶ header, values, JSON
//!           one message     A1-A3    (decrypted    A4, A5        │
//!                                     by the host)                └▶ rules::check ─▶ Violations
//! ```
//! Each arrow is a type that only the step before it makes, so that what is checked once is never checked again.

extern crate alloc;

mod civil;
pub mod dictionary;
mod document;
mod encode;
mod error;
pub mod explain;
pub mod forms;
pub mod frame;
pub mod inn;
mod json;
mod qr;
mod rawdata;
mod reader;
pub mod registration_number;
pub mod rules;
mod tag;
pub mod tags;
mod tlv;
mod tree;
mod units;
mod validated;
mod value;
mod version;

pub use civil::Civil;
pub use dictionary::{Entry, Kind, is_stlv};
pub use document::{
    DEPTH_MAX, DocumentHeader, DocumentView, Form, TAGS_MAX, Tags, Visit, open_answer, open_plain,
    open_plain_with_header,
};
pub use encode::{
    CONFIRMATION_SIGN_STAND_IN, ConfirmationRequest, MESSAGE_SIGN_STAND_IN, Message, OPERATOR_SIGN_STAND_IN,
    TlvWriter, cp866,
};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use frame::{
    CONTAINER_HEADER_LEN, CONTAINER_LEN_MAX, Channel, Container, Frame, SESSION_HEADER_LEN, ServiceHeader,
    SessionHeader, TRAILER_LEN, container_crc,
};
pub use inn::Inn;
pub use json::{
    JSON_DEPTH_MAX, JSON_LEN_MAX, JSON_VALUES_MAX, JsonDocument, JsonError, JsonErrorKind, JsonOptions,
    LIBERTIES_MAX, Liberty, LibertyKind, Money, ReadOptions, STAND_IN_DRIVE, read_json, write_document,
    write_document_into, write_document_with,
};
pub use qr::QrCode;
pub use rawdata::RawData;
pub use reader::{Piece, Reader, parse_hex, read_any, to_hex};
pub use registration_number::RegistrationNumber;
pub use rules::{CheckContext, Datum, Level, Rule, RuleId, Violation, Violations, check};
pub use tag::Tag;
pub use tlv::{TLV_HEADER_LEN, Tlv};
pub use tree::{Document, Node};
pub use units::{DocumentNumber, DriveNumber, FiscalSign, Kopecks, LocalSeconds, Quantity};
pub use validated::{FINDINGS_KEPT, Finding, FindingKind, Findings, Requisite, Validated, Visitor};
pub use value::{Cp866, VLN_LEN_MAX, Value};
pub use version::FfdVersion;
