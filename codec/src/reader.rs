//! Reads whatever a file of fiscal documents holds, one piece after the other: session messages, bare containers,
//! ФНС rawData and bare documents, mixed as they come.
//!
//! How a piece is recognised, in this order:
//! 1. a signature of the session protocol: a session message;
//! 2. FF FF: rawData with its header;
//! 3. at bytes 4 to 6 a direction (A5, 5A), a form and version 1, and a length of 42 or more: a bare container;
//! 4. a form code in two bytes: a document TLV, with a message sign (81 06 …, 82 06 …) after it or not.
//!
//! A document that stands before a container of 1665 or 1666 bytes would seem to have a sign, as these lengths are
//! spelled 81 06 and 82 06; the checksum of the container decides.
//!
//! After an error the reader goes on, so that one damaged piece does not hide the rest (`--keep-going`). The rule:
//! when the damaged piece names its length and ends, by it, with the file or at the beginning of another piece, it is
//! passed over whole; otherwise every later offset is tried until one begins a piece. For this rule a beginning is a
//! signature of the session protocol, rawData with its header length, a container whose checksum holds, or a document
//! whose first requisite is the drive number, as it is in all that registers write. So the container of a message
//! with a damaged session header is still read. Inside a damaged message or container no bare document is looked for:
//! it would be one whose checksum failed or is missing. Nothing found ends the reading. The reader always advances.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::document::agree;
use crate::frame::{
    CONTAINER_FROM_REGISTER, CONTAINER_HEADER_LEN, CONTAINER_TO_REGISTER, CONTAINER_VERSION,
    SESSION_HEADER_LEN, SIGNATURE_MARKING, SIGNATURE_OPERATOR, TRAILER_LEN,
};
use crate::rawdata::RawData;
use crate::{Container, DecodeError, DecodeErrorKind, DocumentView, FfdVersion, Frame};

/// One document with what stood around it.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// A whole session message.
    Message(Frame<'a>, DocumentView<'a>),
    /// A container without a session header.
    Container(Container<'a>, DocumentView<'a>),
    /// rawData: a document with a header before it or a sign after it.
    RawData(RawData<'a>),
    /// A document TLV alone.
    Document(DocumentView<'a>),
}

impl<'a> Piece<'a> {
    /// The document.
    #[must_use]
    pub const fn document(&self) -> DocumentView<'a> {
        match self {
            Self::Message(_, view) | Self::Container(_, view) | Self::Document(view) => *view,
            Self::RawData(raw) => raw.document(),
        }
    }

    /// All bytes of the piece.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Message(frame, _) => frame.bytes(),
            Self::Container(container, _) => container.bytes(),
            Self::RawData(raw) => raw.bytes(),
            Self::Document(view) => view.bytes(),
        }
    }

    /// The sign of the message, where one was kept.
    #[must_use]
    pub const fn message_sign(&self) -> Option<[u8; 8]> {
        match self {
            Self::Message(frame, _) => Some(frame.container().message_sign()),
            Self::Container(container, _) => Some(container.message_sign()),
            Self::RawData(raw) => raw.message_sign(),
            Self::Document(_) => None,
        }
    }

    /// P-version of the session, where there was one.
    #[must_use]
    pub const fn p_version(&self) -> Option<[u8; 2]> {
        match self {
            Self::Message(frame, _) => Some(frame.header().p_version),
            _ => None,
        }
    }

    /// Version of the document as far as the piece alone tells: tag 1209, else the P-version, else 1.0.
    #[must_use]
    pub fn version(&self) -> FfdVersion {
        FfdVersion::of_document(&self.document().header(), None, self.p_version().unwrap_or_default())
    }
}

/// Reads pieces off the front of the bytes; see the module header for the rules.
#[must_use]
pub const fn read_any(bytes: &[u8]) -> Reader<'_> {
    Reader { rest: bytes, offset: 0 }
}

/// Iterator over the pieces of a file. An error names the offset in the whole of it; reading may go on after it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Where the next piece is looked for.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn advance_to(&mut self, rest: &'a [u8]) {
        self.offset = self.offset.saturating_add(self.rest.len().saturating_sub(rest.len()));
        self.rest = rest;
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Piece<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match read_piece(self.rest) {
            Ok((piece, rest)) => {
                self.advance_to(rest);
                Some(Ok(piece))
            }
            Err(error) => {
                let error = error.shifted(self.offset);
                self.advance_to(resynchronise(self.rest));
                Some(Err(error))
            }
        }
    }
}

/// What the next bytes look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Message,
    RawData,
    Container,
    Document,
    Nothing,
}

fn look(stream: &[u8]) -> Look {
    if stream.starts_with(&SIGNATURE_OPERATOR) || stream.starts_with(&SIGNATURE_MARKING) {
        return Look::Message;
    }
    if RawData::has_mark(stream) {
        return Look::RawData;
    }
    if looks_like_container(stream) {
        return Look::Container;
    }
    match *stream {
        [form, 0, ..] if form != 0 => Look::Document,
        _ => Look::Nothing,
    }
}

fn looks_like_container(stream: &[u8]) -> bool {
    match *stream {
        [l0, l1, _, _, CONTAINER_FROM_REGISTER | CONTAINER_TO_REGISTER, form, CONTAINER_VERSION, ..] => {
            form != 0 && usize::from(u16::from_le_bytes([l0, l1])) >= CONTAINER_HEADER_LEN + TRAILER_LEN
        }
        _ => false,
    }
}

fn read_piece(stream: &[u8]) -> Result<(Piece<'_>, &[u8]), DecodeError> {
    let truncated = DecodeError::new(DecodeErrorKind::Truncated, stream.len());
    match look(stream) {
        Look::Message => {
            let (message, rest) = Frame::split(stream)?.ok_or(truncated)?;
            let frame = Frame::new_checked(message)?;
            let view = open_body(&frame.container(), Some(&frame.header().drive))
                .map_err(|error| error.shifted(SESSION_HEADER_LEN))?;
            Ok((Piece::Message(frame, view), rest))
        }
        Look::Container => {
            let (container, rest) = Container::split(stream).ok_or(truncated)?;
            let container = Container::new_checked(container)?;
            let view = open_body(&container, None)?;
            Ok((Piece::Container(container, view), rest))
        }
        Look::RawData => RawData::split_checked(stream).map(|(raw, rest)| (Piece::RawData(raw), rest)),
        Look::Document => {
            let (view, after) = DocumentView::split_checked(stream)?;
            if looks_like_container(after)
                && Container::split(after).is_some_and(|(bytes, _)| Container::new_checked(bytes).is_ok())
            {
                return Ok((Piece::Document(view), after));
            }
            let (raw, rest) = RawData::split_checked(stream)?;
            Ok(if raw.message_sign().is_some() {
                (Piece::RawData(raw), rest)
            } else {
                (Piece::Document(view), rest)
            })
        }
        Look::Nothing => Err(DecodeError::new(DecodeErrorKind::Unrecognised, 0)),
    }
}

/// Opens an unencrypted body, in either direction. Offsets count from the beginning of the container.
fn open_body<'a>(
    container: &Container<'a>,
    session_drive: Option<&[u8; 16]>,
) -> Result<DocumentView<'a>, DecodeError> {
    // A confirmation (7) and the answers of the marking server (83, 84) go to a register, everything else comes from one.
    let direction = match container.form() {
        7 | 83 | 84 => CONTAINER_TO_REGISTER,
        _ => CONTAINER_FROM_REGISTER,
    };
    if container.kind() != direction {
        return Err(DecodeError::new(DecodeErrorKind::ContainerType, 4));
    }
    if !container.is_plain() {
        return Err(DecodeError::new(DecodeErrorKind::Sealed, CONTAINER_HEADER_LEN));
    }
    let view =
        DocumentView::new_checked(container.body()).map_err(|error| error.shifted(CONTAINER_HEADER_LEN))?;
    agree(container.service(), 4, session_drive, &view, CONTAINER_HEADER_LEN)?;
    Ok(view)
}

/// Where reading goes on after the piece at the front of `stream` turned out to be damaged.
fn resynchronise(stream: &[u8]) -> &[u8] {
    let (end, bare) = match look(stream) {
        Look::Message => (Frame::split(stream).ok().flatten().map(|(_, rest)| rest), false),
        Look::Container => (Container::split(stream).map(|(_, rest)| rest), false),
        Look::Document => (document_end(stream), true),
        Look::RawData | Look::Nothing => (None, true),
    };
    // The length itself may be what is damaged; trusting it when it leads to nothing known would swallow good pieces.
    if let Some(rest) = end.filter(|rest| rest.is_empty() || begins_piece(rest, true)) {
        return rest;
    }
    let mut rest = stream.get(1..).unwrap_or_default();
    while !rest.is_empty() && !begins_piece(rest, bare) {
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

fn document_end(stream: &[u8]) -> Option<&[u8]> {
    let (&[_, _, l0, l1], tail) = stream.split_first_chunk()?;
    tail.get(usize::from(u16::from_le_bytes([l0, l1]))..)
}

/// Stricter than [`look`]: what makes an offset in the middle of damage worth trying; `bare` says whether a document
/// without any checksum will do.
fn begins_piece(stream: &[u8], bare: bool) -> bool {
    match look(stream) {
        Look::Message => true,
        Look::RawData => stream.starts_with(&[0xFF, 0xFF, 0x00, 0x1C]),
        Look::Container => {
            Container::split(stream).is_some_and(|(bytes, _)| Container::new_checked(bytes).is_ok())
        }
        // A form, a length, then tag 1041 with its 16 bytes.
        Look::Document => bare && matches!(stream, [_, _, _, _, 0x11, 0x04, 0x10, 0x00, ..]),
        Look::Nothing => false,
    }
}

/// Two hexadecimal digits a byte, in small letters: what [`parse_hex`] reads.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line
}

/// Bytes of a line of hexadecimal digits, two a byte, spaces around it allowed.
///
/// # Errors
/// `Hex`, with the offset of the first character that is no digit, or of the end when there is an odd number of them.
pub fn parse_hex(line: &str) -> Result<Vec<u8>, DecodeError> {
    let digits = line.trim().as_bytes();
    let start = line.len().saturating_sub(line.trim_start().len());
    let error = |at: usize| DecodeError::new(DecodeErrorKind::Hex, start.saturating_add(at));
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for (index, pair) in digits.chunks(2).enumerate() {
        let at = index.saturating_mul(2);
        let &[high, low] = pair else { return Err(error(digits.len())) };
        let high = char::from(high).to_digit(16).ok_or(error(at))?;
        let low = char::from(low).to_digit(16).ok_or(error(at.saturating_add(1)))?;
        bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
    }
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::DecodeErrorKind as Kind;
    use crate::frame::ServiceHeader;
    use crate::{DriveNumber, Form, Message, Tag, TlvWriter, container_crc};

    /// Where the container, the document and its requisites 1041 and 1040 begin in a message.
    const CONTAINER: usize = SESSION_HEADER_LEN;
    const DOCUMENT: usize = CONTAINER + CONTAINER_HEADER_LEN;
    const DRIVE_VALUE: usize = DOCUMENT + 4 + 4;
    const NUMBER_VALUE: usize = DRIVE_VALUE + 16 + 4;

    fn message() -> Vec<u8> {
        let drive = DriveNumber::parse("9999078900000017").unwrap();
        let mut plain = Vec::new();
        TlvWriter::new(&mut plain)
            .document(Form::OPEN_SHIFT, |w| {
                w.bytes(Tag(1041), drive.as_bytes())?;
                w.u32(Tag(1040), 300);
                w.u8(Tag(1209), 2);
                Ok(())
            })
            .unwrap();
        let mut bytes = Vec::new();
        Message::from_register([1, 5], drive, 300, Form::OPEN_SHIFT, &plain).encode_into(&mut bytes).unwrap();
        bytes
    }

    fn seal(message: &mut [u8]) {
        let crc = container_crc(&message[CONTAINER..]).to_le_bytes();
        message[CONTAINER + 2..CONTAINER + 4].copy_from_slice(&crc);
    }

    /// The message as rawData with its header.
    fn raw() -> Vec<u8> {
        let message = message();
        let end = message.len() - 2;
        [&[0xFF, 0xFF, 0, 0x1C][..], &message[CONTAINER + 4..end]].concat()
    }

    fn only_error(bytes: &[u8]) -> DecodeError {
        let results: Vec<_> = read_any(bytes).collect();
        assert_eq!(results.len(), 1, "{results:?}");
        results[0].unwrap_err()
    }

    /// What is wrong inside a message with a good checksum is named, and found in the bytes of the whole file.
    #[test]
    fn errors_inside_a_message_point_into_the_file() {
        let check = |at: usize, byte: u8, expected: DecodeError| {
            let mut bad = message();
            bad[at] = byte;
            seal(&mut bad);
            assert_eq!(only_error(&bad), expected);
            // The same behind another message.
            let file = [message(), bad].concat();
            let error = read_any(&file).nth(1).unwrap().unwrap_err();
            assert_eq!(error, expected.shifted(message().len()));
        };
        check(CONTAINER + 4, 0x11, DecodeError::new(Kind::ContainerType, CONTAINER + 4));
        check(CONTAINER + 6, 2, DecodeError::new(Kind::ContainerVersion, CONTAINER + 6));
        check(CONTAINER + 9, 0x98, DecodeError::new(Kind::DriveMismatch, CONTAINER + 9));
        check(CONTAINER + 9, 0xA9, DecodeError::new(Kind::DriveNumber, CONTAINER + 9));
        check(CONTAINER + 19, 7, DecodeError::at(Kind::NumberMismatch, Tag(1040), NUMBER_VALUE));
        check(DRIVE_VALUE, b'8', DecodeError::at(Kind::DriveMismatch, Tag(1041), DRIVE_VALUE));
        check(DRIVE_VALUE - 2, 255, DecodeError::at(Kind::TlvLength, Tag(1041), DRIVE_VALUE - 4));
        // A body that does not begin as announced is taken for an encrypted one.
        check(DOCUMENT, 3, DecodeError::new(Kind::Sealed, DOCUMENT));
        check(CONTAINER + 31, 9, DecodeError::new(Kind::Sealed, DOCUMENT));
        check(CONTAINER + 5, 3, DecodeError::new(Kind::Sealed, DOCUMENT));
    }

    /// rawData has no checksum, so that its header is all there is to hold against the document.
    #[test]
    fn errors_inside_rawdata_point_into_the_file() {
        let good = raw();
        assert!(RawData::new_checked(&good).is_ok());
        let check = |at: usize, byte: u8, expected: DecodeError| {
            let mut bad = raw();
            bad[at] = byte;
            assert_eq!(RawData::new_checked(&bad).unwrap_err(), expected);
            assert_eq!(read_any(&bad).next().unwrap().unwrap_err(), expected);
        };
        check(3, 0x1B, DecodeError::new(Kind::RawHeader, 2));
        check(4, 0, DecodeError::new(Kind::ContainerType, 4));
        check(5, 3, DecodeError::new(Kind::FormMismatch, 5));
        check(9, 0x98, DecodeError::at(Kind::DriveMismatch, Tag(1041), DRIVE_VALUE - CONTAINER));
        check(19, 7, DecodeError::at(Kind::NumberMismatch, Tag(1040), NUMBER_VALUE - CONTAINER));
        check(31, 9, DecodeError::new(Kind::ServiceLength, 30));
        assert_eq!(RawData::new_checked(&good[..20]).unwrap_err(), DecodeError::new(Kind::Truncated, 20));
        let service: &[u8; 28] = good[4..32].try_into().unwrap();
        assert_eq!(ServiceHeader::new(service).bytes(), service);
    }

    /// A bare document out of a message whose checksum failed would be passed off as good.
    #[test]
    fn nothing_bare_is_taken_from_a_damaged_message() {
        let mut bad = message();
        let end = bad.len() - 1;
        bad[end] ^= 1;
        let file = [bad.as_slice(), &[0x55; 7], &message()].concat();
        let results: Vec<_> = read_any(&file).collect();
        assert_eq!(results[0].unwrap_err(), DecodeError::new(Kind::Crc, CONTAINER + 2));
        assert!(matches!(results[1..], [Ok(Piece::Message(..))]), "{results:?}");
    }

    /// A container with a good checksum is read even when the session header before it is damaged.
    #[test]
    fn a_good_container_survives_a_damaged_session_header() {
        let mut bad = message();
        bad[2] ^= 1;
        let results: Vec<_> = read_any(&bad).collect();
        assert_eq!(results[0].unwrap_err(), DecodeError::new(Kind::Unrecognised, 0));
        assert!(matches!(results[1..], [Ok(Piece::Container(..))]), "{results:?}");
    }

    /// Rule A4: what a register says comes in a container of a register, as on the wire.
    #[test]
    fn a_container_that_goes_the_wrong_way_is_no_piece() {
        let mut wrong = message();
        wrong[CONTAINER + 4] = CONTAINER_TO_REGISTER;
        seal(&mut wrong);
        assert_eq!(only_error(&wrong), DecodeError::new(Kind::ContainerType, CONTAINER + 4));
    }

    /// Noise between pieces is one error, not one a byte.
    #[test]
    fn noise_is_one_error() {
        assert_eq!(only_error(&[0xEE; 100]), DecodeError::new(Kind::Unrecognised, 0));
        let file = [&[0xEE; 100][..], &message(), &[0xEE; 100], &raw()].concat();
        let errors: Vec<_> = read_any(&file).filter_map(Result::err).map(|error| error.offset).collect();
        assert_eq!(errors, [0, 100 + message().len()]);
        assert_eq!(read_any(&file).flatten().count(), 2);
    }

    /// Two digits a byte, either case, and the place of what is no digit.
    #[test]
    fn hex_lines_are_read_or_refused_where_they_break() {
        assert_eq!(parse_hex(" 00fFa5 \r\n").unwrap(), [0x00, 0xFF, 0xA5]);
        assert_eq!(parse_hex("").unwrap(), [0_u8; 0]);
        assert_eq!(parse_hex(" 00f").unwrap_err(), DecodeError::new(Kind::Hex, 4));
        assert_eq!(parse_hex("0x00").unwrap_err(), DecodeError::new(Kind::Hex, 1));
        assert_eq!(parse_hex(" 00 ff").unwrap_err(), DecodeError::new(Kind::Hex, 3));
        assert_eq!(parse_hex("0é0").unwrap_err(), DecodeError::new(Kind::Hex, 1));
    }
}
