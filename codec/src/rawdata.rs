//! A document as the ФНС hands it back in exports: `rawData`, once its base64 is undone.
//!
//! Shapes seen:
//! ```text
//!  A   FF FF | 00 1C | 28 bytes of container header | document TLV | 8 bytes of message sign
//!  B   document TLV
//!  C   document TLV | 8 bytes of message sign
//! ```
//! The 28 bytes are bytes 4 to 31 of the container, so that what is lost is length, checksum and the last two zeros
//! of the trailer.
//! Invariants: the document's structure holds; in shape A the header agrees with it as rule A4 says.
//! Errors: `RawHeader` for another header length, those of [`DocumentView`] and of rule A4, `TlvTrailing` when what
//! follows the document is not a sign.
//! Source: observed, public exports of 2018 and 2020.

use alloc::vec::Vec;

use crate::document::agree;
use crate::frame::{CONTAINER_FROM_REGISTER, CONTAINER_TO_REGISTER, SERVICE_HEADER_LEN, ServiceHeader};
use crate::{Container, DecodeError, DecodeErrorKind, DocumentView};

/// What shape A begins with: the mark, then the header length, big-endian.
const MARK: [u8; 2] = [0xFF, 0xFF];
const HEADER_LEN: [u8; 2] = [0x00, 0x1C];
/// Mark, length and header together.
const PREFIX_LEN: usize = 4 + SERVICE_HEADER_LEN;

/// A document with what the ФНС kept around it.
#[derive(Clone, Copy, Debug)]
pub struct RawData<'a> {
    bytes: &'a [u8],
    service: Option<&'a ServiceHeader>,
    document: DocumentView<'a>,
    sign: Option<[u8; 8]>,
}

impl<'a> RawData<'a> {
    /// Checks that the bytes are one rawData of any shape.
    ///
    /// # Errors
    /// As the module header lists; offsets count from the beginning of `bytes`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (raw, rest) = Self::split_checked(bytes)?;
        if rest.is_empty() {
            Ok(raw)
        } else {
            Err(DecodeError::new(DecodeErrorKind::TlvTrailing, raw.bytes.len()))
        }
    }

    /// Whether the bytes begin as shape A.
    pub(crate) fn has_mark(bytes: &[u8]) -> bool {
        bytes.starts_with(&MARK)
    }

    /// As [`RawData::new_checked`] for the front of `stream`; gives the rest as well.
    ///
    /// A sign is known by its kind, 81 or 82, and its length, 06.
    pub(crate) fn split_checked(stream: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (service, tail, base) = match stream.split_first_chunk::<4>() {
            Some(([m0, m1, n0, n1], tail)) if [*m0, *m1] == MARK => {
                if [*n0, *n1] != HEADER_LEN {
                    return Err(DecodeError::new(DecodeErrorKind::RawHeader, 2));
                }
                let (service, tail) = tail
                    .split_first_chunk::<SERVICE_HEADER_LEN>()
                    .ok_or(DecodeError::new(DecodeErrorKind::Truncated, stream.len()))?;
                (Some(ServiceHeader::new(service)), tail, PREFIX_LEN)
            }
            _ => (None, stream, 0),
        };
        let (document, tail) = DocumentView::split_checked(tail).map_err(|error| error.shifted(base))?;
        if let Some(service) = service {
            if ![CONTAINER_FROM_REGISTER, CONTAINER_TO_REGISTER].contains(&service.kind()) {
                return Err(DecodeError::new(DecodeErrorKind::ContainerType, 4));
            }
            agree(service, 4, None, &document, base)?;
        }
        let (sign, rest) = match tail.split_first_chunk::<8>() {
            Some((sign @ [0x81 | 0x82, 0x06, ..], rest)) => (Some(*sign), rest),
            _ => (None, tail),
        };
        let len = stream.len().saturating_sub(rest.len());
        let bytes = stream.get(..len).unwrap_or_default();
        Ok((Self { bytes, service, document, sign }, rest))
    }

    /// Appends a message as rawData of shape A: what the ФНС keeps of it. `plain` is the document, which is handed in
    /// apart as the body of the container may be encrypted.
    ///
    /// ```
    /// # use ofd_codec::{Container, DriveNumber, Form, Message, RawData, SESSION_HEADER_LEN, TlvWriter, tags};
    /// # let drive = DriveNumber::parse("9999078900000017")?;
    /// # let mut plain = Vec::new();
    /// # TlvWriter::new(&mut plain).document(Form::OPEN_SHIFT, |w| {
    /// #     w.bytes(tags::FISCAL_DRIVE_NUMBER, drive.as_bytes())?;
    /// #     w.u32(tags::FISCAL_DOCUMENT_NUMBER, 2);
    /// #     Ok(())
    /// # })?;
    /// # let mut sent = Vec::new();
    /// # Message::from_register([1, 5], drive, 2, Form::OPEN_SHIFT, &plain).encode_into(&mut sent)?;
    /// let container = Container::new_checked(&sent[SESSION_HEADER_LEN..])?;
    /// let mut kept = Vec::new();
    /// RawData::write(&container, container.body(), &mut kept);
    /// let raw = RawData::new_checked(&kept)?;
    /// assert_eq!(raw.document().bytes(), plain);
    /// assert_eq!(raw.message_sign(), Some(container.message_sign()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(container: &Container<'_>, plain: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&HEADER_LEN);
        out.extend_from_slice(container.service().bytes());
        out.extend_from_slice(plain);
        out.extend_from_slice(&container.message_sign());
    }

    /// All of it.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The container header without length and checksum, in shape A.
    #[must_use]
    pub const fn service(&self) -> Option<&'a ServiceHeader> {
        self.service
    }

    /// The document.
    #[must_use]
    pub const fn document(&self) -> DocumentView<'a> {
        self.document
    }

    /// The sign of the message (ФПС), where it was kept.
    #[must_use]
    pub const fn message_sign(&self) -> Option<[u8; 8]> {
        self.sign
    }
}
