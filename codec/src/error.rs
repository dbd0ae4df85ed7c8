//! Bytes that are not what they claim to be.
//!
//! [`DecodeError`] is small, `Copy` and never allocates: a hostile stream must not be able to make refusing it
//! expensive. It says what is wrong ([`DecodeErrorKind`]), at which tag where one is known, and where: the offset
//! counts from the first byte of the slice that the caller handed in, so that an error found deep inside a nested
//! structure or behind two headers still points into the caller's own bytes.
//!
//! A document that decodes but breaks a rule of the order is no error: that is a violation and a value.
//!
//! [`EncodeError`] is the other direction: a value that has no encoding within the limits of the wire.

use core::fmt;

use crate::Tag;

/// What is wrong with the bytes. Rules A1-A5 of the message level and the lengths of TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the structure does.
    Truncated,
    /// The session header begins with none of the known signatures (A1).
    Signature,
    /// The version of the session protocol is unknown (A1).
    SVersion,
    /// A drive number is not digits padded with spaces, or its packed form holds other nibbles (A1).
    DriveNumber,
    /// The length of the body in the session header is outside 33..=32768 (A1).
    BodyLength,
    /// The length in the container differs from that of the session or of the bytes received (A2).
    ContainerLength,
    /// The checksum of the container does not match its bytes (A3).
    Crc,
    /// The checksum of the session header, asked for by its flags, does not match.
    SessionCrc,
    /// The container goes in the other direction than expected (A4).
    ContainerType,
    /// The format version of the container is not 1 (A4).
    ContainerVersion,
    /// The form in the container header and the form of the document differ (A4).
    FormMismatch,
    /// The document names a version of the format (1209) that this program does not know.
    Version,
    /// The drive number in the session header, the container header and tag 1041 differ (A4).
    DriveMismatch,
    /// The document number in the container header and tag 1040 differ (A4).
    NumberMismatch,
    /// The plain length in service data 2 differs from the length of the document (A5).
    ServiceLength,
    /// A TLV claims more bytes than its parent has left (A5).
    TlvLength,
    /// Bytes are left after the document (A5).
    TlvTrailing,
    /// The code of the outer TLV is no form: it does not fit a byte or is zero.
    Form,
    /// Structures are nested deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    Depth,
    /// There are more TLVs than [`TAGS_MAX`](crate::TAGS_MAX).
    TooManyTags,
    /// The length of a value is not one its type allows.
    Length,
    /// The value is outside what its unit can hold.
    Value,
    /// Text that should be hexadecimal is not.
    Hex,
    /// The header of a rawData export is not the known one.
    RawHeader,
    /// The body of a container is not the plain document that its header announces: it is encrypted, or damaged.
    Sealed,
    /// The bytes begin with nothing known: no session message, container, rawData or document.
    Unrecognised,
}

impl DecodeErrorKind {
    /// The stable kebab-case name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Signature => "signature",
            Self::SVersion => "s-version",
            Self::DriveNumber => "drive-number",
            Self::BodyLength => "body-length",
            Self::ContainerLength => "container-length",
            Self::Crc => "crc",
            Self::SessionCrc => "session-crc",
            Self::ContainerType => "container-type",
            Self::ContainerVersion => "container-version",
            Self::FormMismatch => "form-mismatch",
            Self::Version => "version",
            Self::DriveMismatch => "drive-mismatch",
            Self::NumberMismatch => "number-mismatch",
            Self::ServiceLength => "service-length",
            Self::TlvLength => "tlv-length",
            Self::TlvTrailing => "tlv-trailing",
            Self::Form => "form",
            Self::Depth => "depth",
            Self::TooManyTags => "too-many-tags",
            Self::Length => "length",
            Self::Value => "value",
            Self::Hex => "hex",
            Self::RawHeader => "raw-header",
            Self::Sealed => "sealed",
            Self::Unrecognised => "unrecognised",
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes could not be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The tag being read, where one is known.
    pub tag: Option<Tag>,
    /// Bytes from the beginning of the slice handed in.
    pub offset: usize,
}

impl DecodeError {
    /// An error that belongs to no tag.
    #[must_use]
    pub const fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { kind, tag: None, offset }
    }

    /// An error at a tag.
    #[must_use]
    pub const fn at(kind: DecodeErrorKind, tag: Tag, offset: usize) -> Self {
        Self { kind, tag: Some(tag), offset }
    }

    /// The same error seen from an enclosing slice that begins `base` bytes earlier.
    #[must_use]
    pub const fn shifted(self, base: usize) -> Self {
        Self { offset: self.offset.saturating_add(base), ..self }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)?;
        match self.tag {
            Some(tag) => write!(f, ", tag {}", tag.0),
            None => Ok(()),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a value has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// The number does not fit the bytes its tag allows.
    Overflow,
    /// The value or the structure is longer than its length field or its limit.
    TooLong,
    /// A character is outside CP866.
    Text,
    /// A document number does not fit the three bytes of the container header.
    DocumentNumber,
    /// The bytes given as the plain document are not a document of the form named.
    Document,
    /// No table of the version puts the tag in its place, or not twice (B1).
    Misplaced,
    /// A tag that the table demands is not there (B2, B3).
    Missing,
    /// The value has not the length or the code that its tag wants (B4).
    Value,
}

impl EncodeErrorKind {
    /// The stable kebab-case name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::TooLong => "too-long",
            Self::Text => "text",
            Self::DocumentNumber => "document-number",
            Self::Document => "document",
            Self::Misplaced => "misplaced",
            Self::Missing => "missing",
            Self::Value => "value",
        }
    }
}

/// Why a value could not be written, and for which tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeError {
    /// What is wrong.
    pub kind: EncodeErrorKind,
    /// The tag being written, where there is one.
    pub tag: Option<Tag>,
}

impl EncodeError {
    /// An error that belongs to no tag.
    #[must_use]
    pub const fn new(kind: EncodeErrorKind) -> Self {
        Self { kind, tag: None }
    }

    /// The same error, named after a tag unless it already names one.
    #[must_use]
    pub const fn at(self, tag: Tag) -> Self {
        match self.tag {
            Some(_) => self,
            None => Self { tag: Some(tag), ..self },
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.tag {
            Some(tag) => write!(f, ", tag {}", tag.0),
            None => Ok(()),
        }
    }
}

impl core::error::Error for EncodeError {}
