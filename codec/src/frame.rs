//! One message of a session: 30 bytes of session header, then a container.
//!
//! Shape of the session header, both ways:
//! ```text
//!  0       4      6      8                24       26     28     30
//!  | sign. | S-v. | P-v. | drive, ASCII   | length | flags| CRC  | container …
//!  | 2A 08 41 0A  |      | right-padded   | u16 LE |u16 LE|u16 LE|
//! ```
//! Shape of the container, at most 32768 bytes:
//! ```text
//!  0      2     4    5    6    7         9           17        20               32        len-10      len
//!  | len  | CRC | A5 | form| 1 | 10 09   | drive BCD | number  | service data 2 | body …  | trailer     |
//!  |u16 LE|u16LE| 5A |     |   | service1| 8 bytes   | 3 B, BE | …, u16 BE plain| TLV or  | 81 06 MAC×6 |
//!  |      |     |    |     |   |         |           |         |    length      | cipher  | 00 00       |
//! ```
//! Invariants: a [`Frame`] has passed rules A1-A3 and a [`Container`] A2 and A3; whether the headers agree with the
//! document inside is asked once it is open ([`open_plain`](crate::open_plain), A4 and A5).
//! Errors: see [`DecodeErrorKind`]; offsets count from the beginning of the message.
//! Source: KKT-OFD protocol; layouts, CRC and trailer as observed on live messages. The parameters of the session
//! CRC are assumed to be those of the container, because every message seen has it switched off.

#[cfg(feature = "std")]
use crc_fast::{CrcAlgorithm, Digest, checksum};
use zerocopy::byteorder::{BigEndian, LittleEndian, U16};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{DecodeError, DecodeErrorKind, DriveNumber};

/// Length of the session header in bytes.
pub const SESSION_HEADER_LEN: usize = 30;
/// Length of the container header in bytes.
pub const CONTAINER_HEADER_LEN: usize = 32;
/// Length of the container header without length and checksum, in bytes.
pub const SERVICE_HEADER_LEN: usize = CONTAINER_HEADER_LEN - 4;
/// Length of the container trailer in bytes: kind, 06, six bytes of sign, two zeros.
pub const TRAILER_LEN: usize = 10;
/// Longest container in bytes.
pub const CONTAINER_LEN_MAX: usize = 32_768;
/// Longest document TLV that fits a container, in bytes.
pub const PLAIN_LEN_MAX: usize = CONTAINER_LEN_MAX - CONTAINER_HEADER_LEN - TRAILER_LEN;
/// Longest session message in bytes.
pub const MESSAGE_LEN_MAX: usize = SESSION_HEADER_LEN + CONTAINER_LEN_MAX;

/// Signature of the channel register - operator.
pub const SIGNATURE_OPERATOR: [u8; 4] = [0x2A, 0x08, 0x41, 0x0A];
/// Signature of the marking server (ОИСМ) and of the key server (ОКП).
pub const SIGNATURE_MARKING: [u8; 4] = [0xDD, 0x80, 0xCA, 0xA1];
/// Version of the session protocol with the operator.
pub const S_VERSION_OPERATOR: [u8; 2] = [0x81, 0xA2];
/// Version of the session protocol of connection tests.
pub const S_VERSION_TEST: [u8; 2] = [0x82, 0xFB];
/// Version of the session protocol with the marking server.
pub const S_VERSION_MARKING: [u8; 2] = [0x82, 0xA2];
/// Version of the session protocol with the key server.
pub const S_VERSION_KEYS: [u8; 2] = [0x82, 0xA1];
/// Flags of every live message: there is a container, an answer is wanted, no session CRC.
pub const FLAGS_USUAL: u16 = 0x0014;
/// Container type of what a register sends.
pub const CONTAINER_FROM_REGISTER: u8 = 0xA5;
/// Container type of what is sent to a register.
pub const CONTAINER_TO_REGISTER: u8 = 0x5A;
/// The only container format version known.
pub const CONTAINER_VERSION: u8 = 1;
/// Service data 1 of every container seen.
pub const SERVICE1_USUAL: [u8; 2] = [0x10, 0x09];

/// The lower two bits of the flags say what the session CRC covers.
const FLAG_CRC_MASK: u16 = 0b11;
const CRC_HEADER: u16 = 1;
const CRC_HEADER_AND_BODY: u16 = 2;

/// A message cut off the front of a stream, and the rest of the stream.
pub type Cut<'a> = (&'a [u8], &'a [u8]);

/// Whom a session speaks to, told by signature and S-version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Fiscal documents for the operator.
    Operator,
    /// The marking server (ОИСМ).
    Marking,
    /// The key server (ОКП).
    Keys,
    /// A test of the connection.
    Test,
}

/// The 30 bytes before every message, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionHeader {
    /// Bytes 0-3, as on the wire.
    pub signature: [u8; 4],
    /// Version of the session protocol, as on the wire.
    pub s_version: [u8; 2],
    /// Version of the application protocol, as on the wire; chosen by firmware, no proof of the document's version.
    pub p_version: [u8; 2],
    /// Drive number, ASCII, right-padded with spaces.
    pub drive: [u8; 16],
    /// Length of the container in bytes.
    pub body_len: u16,
    /// Bits 0-1 mode of the CRC, 2 container present, 4-5 answer wanted, 6-7 priority.
    pub flags: u16,
    /// Session CRC, 0 when the flags say that there is none.
    pub crc: u16,
}

/// The session header byte for byte.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct WireHeader {
    signature: [u8; 4],
    s_version: [u8; 2],
    p_version: [u8; 2],
    drive: [u8; 16],
    body_len: U16<LittleEndian>,
    flags: U16<LittleEndian>,
    crc: U16<LittleEndian>,
}

const _: () = assert!(size_of::<WireHeader>() == SESSION_HEADER_LEN);

impl SessionHeader {
    /// Reads a header and checks rule A1.
    ///
    /// # Errors
    /// `Signature`, `SVersion`, `DriveNumber`, `BodyLength`, each with the offset of its field.
    #[inline]
    pub fn decode(bytes: &[u8; SESSION_HEADER_LEN]) -> Result<Self, DecodeError> {
        let wire: &WireHeader = zerocopy::transmute_ref!(bytes);
        let header = Self {
            signature: wire.signature,
            s_version: wire.s_version,
            p_version: wire.p_version,
            drive: wire.drive,
            body_len: wire.body_len.get(),
            flags: wire.flags.get(),
            crc: wire.crc.get(),
        };
        let fail = |kind, offset| Err(DecodeError::new(kind, offset));
        if header.signature != SIGNATURE_OPERATOR && header.signature != SIGNATURE_MARKING {
            return fail(DecodeErrorKind::Signature, 0);
        }
        if header.known_channel().is_none() {
            return fail(DecodeErrorKind::SVersion, 4);
        }
        DriveNumber::from_wire(&header.drive).map_err(|error| error.shifted(8))?;
        let body_len = usize::from(header.body_len);
        if body_len <= CONTAINER_HEADER_LEN || body_len > CONTAINER_LEN_MAX {
            return fail(DecodeErrorKind::BodyLength, 24);
        }
        Ok(header)
    }

    /// The usual header before a container of this length that a register sends: flags [`FLAGS_USUAL`], no CRC.
    #[must_use]
    pub const fn from_register(p_version: [u8; 2], drive: &DriveNumber, body_len: u16) -> Self {
        Self {
            signature: SIGNATURE_OPERATOR,
            s_version: S_VERSION_OPERATOR,
            p_version,
            drive: *drive.as_bytes(),
            body_len,
            flags: FLAGS_USUAL,
            crc: 0,
        }
    }

    /// The 30 bytes of the wire, as the fields say, unchecked.
    #[must_use]
    pub fn encode(&self) -> [u8; SESSION_HEADER_LEN] {
        zerocopy::transmute!(WireHeader {
            signature: self.signature,
            s_version: self.s_version,
            p_version: self.p_version,
            drive: self.drive,
            body_len: self.body_len.into(),
            flags: self.flags.into(),
            crc: self.crc.into(),
        })
    }

    /// Whom the session speaks to. A header made by hand with unknown versions counts as a test.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.known_channel().unwrap_or(Channel::Test)
    }

    fn known_channel(&self) -> Option<Channel> {
        match (self.signature, self.s_version) {
            (SIGNATURE_OPERATOR, S_VERSION_OPERATOR) => Some(Channel::Operator),
            (SIGNATURE_MARKING, S_VERSION_MARKING) => Some(Channel::Marking),
            (SIGNATURE_MARKING, S_VERSION_KEYS) => Some(Channel::Keys),
            (_, S_VERSION_TEST) => Some(Channel::Test),
            _ => None,
        }
    }

    /// The drive number of the header.
    ///
    /// # Errors
    /// `DriveNumber`; never after [`SessionHeader::decode`].
    pub fn drive_number(&self) -> Result<DriveNumber, DecodeError> {
        DriveNumber::from_wire(&self.drive).map_err(|error| error.shifted(8))
    }
}

/// One whole session message for which rules A1-A3 hold.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    header: SessionHeader,
    container: Container<'a>,
}

impl<'a> Frame<'a> {
    /// Checks a message: header (A1), lengths (A2), checksum of the container (A3), and the session CRC where the
    /// flags ask for one.
    ///
    /// # Errors
    /// The kinds of [`SessionHeader::decode`] and [`Container::new_checked`], `Truncated`, `ContainerLength` when
    /// the message is not exactly as long as its header says, `SessionCrc`.
    pub fn new_checked(message: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((head, body)) = message.split_first_chunk::<SESSION_HEADER_LEN>() else {
            return Err(DecodeError::new(DecodeErrorKind::Truncated, message.len()));
        };
        let header = SessionHeader::decode(head)?;
        match body.len().cmp(&usize::from(header.body_len)) {
            core::cmp::Ordering::Less => {
                return Err(DecodeError::new(DecodeErrorKind::Truncated, message.len()));
            }
            core::cmp::Ordering::Greater => {
                return Err(DecodeError::new(DecodeErrorKind::ContainerLength, 24));
            }
            core::cmp::Ordering::Equal => {}
        }
        if !session_crc_holds(&header, head, body) {
            return Err(DecodeError::new(DecodeErrorKind::SessionCrc, 28));
        }
        let container = Container::new_checked(body).map_err(|error| error.shifted(SESSION_HEADER_LEN))?;
        Ok(Self { bytes: message, header, container })
    }

    /// The session header.
    #[must_use]
    pub const fn header(&self) -> &SessionHeader {
        &self.header
    }

    /// The container.
    #[must_use]
    pub const fn container(&self) -> Container<'a> {
        self.container
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Cuts one message off the front of a stream: `(message, rest)`, or `None` while more bytes are needed.
    ///
    /// The signature is checked with its first byte and the header as soon as its 30 bytes are there, so that noise is
    /// refused before more of it is waited for; the container is not looked at yet.
    ///
    /// # Errors
    /// The kinds of [`SessionHeader::decode`].
    pub fn split(stream: &'a [u8]) -> Result<Option<Cut<'a>>, DecodeError> {
        let Some(head) = stream.first_chunk::<SESSION_HEADER_LEN>() else {
            let begin = stream.get(..SIGNATURE_OPERATOR.len()).unwrap_or(stream);
            let known = SIGNATURE_OPERATOR.starts_with(begin) || SIGNATURE_MARKING.starts_with(begin);
            return if known { Ok(None) } else { Err(DecodeError::new(DecodeErrorKind::Signature, 0)) };
        };
        let header = SessionHeader::decode(head)?;
        Ok(stream.split_at_checked(SESSION_HEADER_LEN.saturating_add(usize::from(header.body_len))))
    }
}

fn session_crc_holds(header: &SessionHeader, head: &[u8; SESSION_HEADER_LEN], body: &[u8]) -> bool {
    let [covered @ .., _, _] = head;
    match header.flags & FLAG_CRC_MASK {
        CRC_HEADER => crc16(covered, &[]) == header.crc,
        CRC_HEADER_AND_BODY => crc16(covered, body) == header.crc,
        // Mode 0 has no CRC. Mode 3 is not described anywhere, so nothing can be demanded of it.
        _ => true,
    }
}

/// A container whose length and checksum hold (A2, A3).
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    bytes: &'a [u8],
    service: &'a ServiceHeader,
    body: &'a [u8],
    trailer: &'a [u8; TRAILER_LEN],
}

impl<'a> Container<'a> {
    /// Checks that the bytes are one whole container: its length field names exactly them (A2) and the checksum
    /// holds (A3).
    ///
    /// # Errors
    /// `Truncated` below 42 bytes, `ContainerLength`, `Crc`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::new(DecodeErrorKind::Truncated, bytes.len());
        let (&[l0, l1, c0, c1], tail) = bytes.split_first_chunk().ok_or(truncated)?;
        let (service, tail) = tail.split_first_chunk().ok_or(truncated)?;
        let (body, trailer) = tail.split_last_chunk().ok_or(truncated)?;
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if len != bytes.len() || len > CONTAINER_LEN_MAX {
            return Err(DecodeError::new(DecodeErrorKind::ContainerLength, 0));
        }
        if container_crc(bytes) != u16::from_le_bytes([c0, c1]) {
            return Err(DecodeError::new(DecodeErrorKind::Crc, 2));
        }
        Ok(Self { bytes, service: ServiceHeader::new(service), body, trailer })
    }

    /// Cuts one container off the front of `stream` by its length field, unchecked otherwise.
    pub(crate) fn split(stream: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let len = stream.first_chunk::<2>().map(|len| usize::from(u16::from_le_bytes(*len)))?;
        stream.split_at_checked(len)
    }

    /// The whole container.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header without length and checksum.
    #[must_use]
    pub const fn service(&self) -> &'a ServiceHeader {
        self.service
    }

    /// Direction: A5 from a register, 5A to a register.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.service.kind()
    }

    /// Code of the document's form.
    #[must_use]
    pub const fn form(&self) -> u8 {
        self.service.form()
    }

    /// Version of the container format.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.service.version()
    }

    /// Service data 1; 10 09 in everything seen.
    #[must_use]
    pub const fn service1(&self) -> [u8; 2] {
        self.service.service1()
    }

    /// The drive number, packed decimal.
    #[must_use]
    pub const fn drive_bcd(&self) -> [u8; 8] {
        self.service.drive_bcd()
    }

    /// The document number: three bytes, big-endian.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.service.number()
    }

    /// Service data 2: opaque but for its last two bytes.
    #[must_use]
    pub fn service2(&self) -> [u8; 12] {
        self.service.service2()
    }

    /// Length of the plain document TLV in bytes, as service data 2 claims; readable even when the body is encrypted.
    #[must_use]
    pub fn plain_len(&self) -> u16 {
        self.service.plain_len()
    }

    /// What stands between header and trailer: the document TLV, plain or encrypted.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the body begins as the plain document that the header announces: its form, and the length that
    /// service data 2 names. Otherwise it is encrypted, or damaged in a way the checksum of the container covers.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Some([f0, f1, l0, l1]) = self.body.first_chunk() else { return false };
        let inner = u16::from_le_bytes([*l0, *l1]);
        [*f0, *f1] == [self.form(), 0] && inner.checked_add(4) == Some(self.plain_len())
    }

    /// The ten bytes at the end.
    #[must_use]
    pub const fn trailer(&self) -> &'a [u8; TRAILER_LEN] {
        self.trailer
    }

    /// Sign of the message: ФПС (81 06 …) of a document, ФПП (82 06 …) of a confirmation.
    #[must_use]
    pub const fn message_sign(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = *self.trailer;
        [a, b, c, d, e, f, g, h]
    }
}

/// Bytes 4 to 31 of a container: everything in its header that is neither length nor checksum. The ФНС keeps these
/// 28 bytes in front of the document in its rawData.
///
/// The fields stand as on the wire, so that the struct is read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ServiceHeader {
    kind: u8,
    form: u8,
    version: u8,
    service1: [u8; 2],
    drive: [u8; 8],
    number: [u8; 3],
    service2: [u8; 10],
    plain_len: U16<BigEndian>,
}

const _: () = assert!(size_of::<ServiceHeader>() == SERVICE_HEADER_LEN);

impl ServiceHeader {
    /// Reads the fields in place; nothing is checked.
    #[must_use]
    pub fn new(bytes: &[u8; SERVICE_HEADER_LEN]) -> &Self {
        zerocopy::transmute_ref!(bytes)
    }

    /// The 28 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SERVICE_HEADER_LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// Direction: A5 from a register, 5A to a register.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Code of the document's form.
    #[must_use]
    pub const fn form(&self) -> u8 {
        self.form
    }

    /// Version of the container format.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Service data 1; 10 09 in everything seen.
    #[must_use]
    pub const fn service1(&self) -> [u8; 2] {
        self.service1
    }

    /// The drive number, packed decimal.
    #[must_use]
    pub const fn drive_bcd(&self) -> [u8; 8] {
        self.drive
    }

    /// The document number: three bytes, big-endian.
    #[must_use]
    pub const fn number(&self) -> u32 {
        let [a, b, c] = self.number;
        u32::from_be_bytes([0, a, b, c])
    }

    /// Service data 2: opaque but for its last two bytes, the plain length.
    #[must_use]
    pub fn service2(&self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, i, j] = self.service2;
        let [k, l] = self.plain_len.to_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Length of the plain document TLV in bytes, big-endian.
    #[must_use]
    pub fn plain_len(&self) -> u16 {
        self.plain_len.get()
    }
}

/// CRC-16/IBM-3740 (CCITT-FALSE) of a container: bytes 0-1 and 4 to the end, the field itself left out.
///
/// Stored little-endian at byte 2. Fewer than four bytes have no such field; all of them are covered then.
#[must_use]
pub fn container_crc(bytes: &[u8]) -> u16 {
    match bytes {
        [l0, l1, _, _, rest @ ..] => crc16(&[*l0, *l1], rest),
        short => crc16(short, &[]),
    }
}

/// CRC-16/IBM-3740 of the short piece before a long one, a bit at a time. The folding code has a fixed price for every
/// piece it is given: two bytes as a piece of their own made the whole check of a message a fifth slower.
#[cfg(feature = "std")]
const fn crc16_short(piece: &[u8]) -> u16 {
    let (mut crc, mut rest) = (0xFFFF_u16, piece);
    while let [byte, tail @ ..] = rest {
        crc = crc16_byte(crc, *byte);
        rest = tail;
    }
    crc
}

/// One byte more under the sum.
const fn crc16_byte(crc: u16, byte: u8) -> u16 {
    let mut crc = crc ^ (byte as u16) << 8;
    let mut bit = 0;
    while bit < 8 {
        crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        bit += 1;
    }
    crc
}

/// CRC-16/IBM-3740 over two slices as if they were one, by a table of 512 bytes: what small machines without `std` get.
/// The library above does not link there.
#[cfg(any(test, not(feature = "std")))]
fn crc16_table(first: &[u8], second: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0_u8;
        loop {
            #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 places")]
            {
                table[byte as usize] = crc16_byte(0, byte);
            }
            if byte == u8::MAX {
                break table;
            }
            byte += 1;
        }
    };
    let step = |crc: u16, &byte: &u8| {
        let [high, low] = [(crc >> 8).to_le_bytes()[0], crc.to_le_bytes()[0]];
        u16::from(low) << 8 ^ TABLE.get(usize::from(high ^ byte)).copied().unwrap_or_default()
    };
    second.iter().fold(first.iter().fold(0xFFFF, step), step)
}

/// CRC-16/IBM-3740 over two slices as if they were one.
#[cfg(not(feature = "std"))]
pub(crate) fn crc16(first: &[u8], second: &[u8]) -> u16 {
    crc16_table(first, second)
}

/// CRC-16/IBM-3740 over two slices as if they were one.
#[cfg(feature = "std")]
pub(crate) fn crc16(first: &[u8], second: &[u8]) -> u16 {
    let crc = if second.is_empty() {
        checksum(CrcAlgorithm::Crc16Ibm3740, first)
    } else {
        let begun = u64::from(crc16_short(first));
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc16Ibm3740, begun);
        digest.update(second);
        digest.finalize()
    };
    // A CRC of 16 bits comes in the low bits of a wider integer.
    u16::try_from(crc & 0xFFFF).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::DecodeErrorKind as Kind;
    use crate::{Form, Message};

    fn message() -> Vec<u8> {
        let drive = DriveNumber::parse("9999078900000017").unwrap();
        let mut bytes = Vec::new();
        Message::from_register([1, 5], drive, 5, Form::OPEN_SHIFT, &[2, 0, 0, 0])
            .encode_into(&mut bytes)
            .unwrap();
        bytes
    }

    fn refused(change: impl FnOnce(&mut Vec<u8>)) -> DecodeError {
        let mut bytes = message();
        change(&mut bytes);
        Frame::new_checked(&bytes).unwrap_err()
    }

    /// Why: a machine without `std` must see the same sums, however the bytes are cut in two.
    #[test]
    fn the_table_gives_the_sum_of_the_library() {
        let bytes: Vec<u8> = (0..1_000_u32).map(|at| at.wrapping_mul(0x9E37_79B1).to_le_bytes()[3]).collect();
        assert_eq!(crc16_table(b"123456789", &[]), 0x29B1);
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(crc16_table(first, second), crc16(first, second), "cut at {cut}");
        }
    }

    /// The checksum is the one whose published check value is 29B1.
    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc16(b"123456789", b""), 0x29B1);
        assert_eq!(crc16(b"1234", b"56789"), 0x29B1);
        assert_eq!(crc16(b"", b"123456789"), 0x29B1);
        assert_eq!(container_crc(b"12xx3456789"), 0x29B1);
        assert_eq!(container_crc(b""), 0xFFFF);
    }

    /// Rule A1, field by field, with the offset of the field.
    #[test]
    fn header_names_the_field_that_is_wrong() {
        let check = |at: usize, byte: u8, kind, offset| {
            assert_eq!(refused(|bytes| bytes[at] = byte), DecodeError::new(kind, offset));
        };
        check(0, 0x2B, Kind::Signature, 0);
        check(5, 0xA1, Kind::SVersion, 4);
        check(10, b'x', Kind::DriveNumber, 10);
        check(8, b' ', Kind::DriveNumber, 8);
        check(24, 32, Kind::BodyLength, 24);
        check(25, 0x80, Kind::BodyLength, 24);
        check(25, 0x10, Kind::Truncated, message().len());
        check(30, 47, Kind::ContainerLength, 30);
        check(40, 0, Kind::Crc, 32);
        assert_eq!(refused(|bytes| bytes.push(0)), DecodeError::new(Kind::ContainerLength, 24));
    }

    /// The longest body that a header may announce.
    #[test]
    fn header_allows_the_longest_container_and_no_more() {
        let mut header: [u8; 30] = message()[..30].try_into().unwrap();
        header[24..26].copy_from_slice(&32_768_u16.to_le_bytes());
        assert_eq!(SessionHeader::decode(&header).unwrap().body_len, 32_768);
        header[24..26].copy_from_slice(&32_769_u16.to_le_bytes());
        assert_eq!(SessionHeader::decode(&header).unwrap_err().kind, Kind::BodyLength);
    }

    /// A bare container has no session header to limit it, so it keeps the limit itself.
    #[test]
    fn container_is_refused_beyond_its_limit() {
        let check = |len: u16| {
            let mut bytes = vec![0; usize::from(len)];
            bytes[..2].copy_from_slice(&len.to_le_bytes());
            let crc = container_crc(&bytes);
            bytes[2..4].copy_from_slice(&crc.to_le_bytes());
            Container::new_checked(&bytes).map(|container| container.body().len()).map_err(|error| error.kind)
        };
        assert_eq!(check(32_768), Ok(32_768 - 42));
        assert_eq!(check(32_769), Err(Kind::ContainerLength));
        assert_eq!(check(42), Ok(0));
        assert_eq!(check(41), Err(Kind::Truncated));
    }

    /// Each channel has its signature and version, and no other pair is known.
    #[test]
    fn channels_are_told_by_signature_and_version() {
        let check = |signature: [u8; 4], s_version: [u8; 2], expected: Option<Channel>| {
            let mut header: [u8; 30] = message()[..30].try_into().unwrap();
            header[..4].copy_from_slice(&signature);
            header[4..6].copy_from_slice(&s_version);
            let channel = SessionHeader::decode(&header).map(|header| header.channel());
            assert_eq!(channel.ok(), expected, "{signature:02x?} {s_version:02x?}");
        };
        check(SIGNATURE_OPERATOR, S_VERSION_OPERATOR, Some(Channel::Operator));
        check(SIGNATURE_OPERATOR, S_VERSION_TEST, Some(Channel::Test));
        check(SIGNATURE_MARKING, S_VERSION_MARKING, Some(Channel::Marking));
        check(SIGNATURE_MARKING, S_VERSION_KEYS, Some(Channel::Keys));
        check(SIGNATURE_MARKING, S_VERSION_OPERATOR, None);
        check(SIGNATURE_OPERATOR, S_VERSION_MARKING, None);
    }

    /// The session CRC is checked where the flags ask for it, over the header or over header and body.
    #[test]
    fn session_crc_is_checked_when_the_flags_ask() {
        for (mode, covered) in [(1_u8, 28..28), (2, 30..message().len())] {
            let mut bytes = message();
            bytes[26] |= mode;
            assert_eq!(Frame::new_checked(&bytes).unwrap_err().kind, Kind::SessionCrc);
            let crc = crc16(&bytes[..28], &bytes[covered.clone()]);
            bytes[28..30].copy_from_slice(&crc.to_le_bytes());
            assert!(Frame::new_checked(&bytes).is_ok(), "mode {mode}");
            bytes[6] ^= 1;
            assert_eq!(Frame::new_checked(&bytes).unwrap_err().kind, Kind::SessionCrc, "mode {mode}");
        }
    }

    /// A stream is cut as soon as a message is whole, and noise is refused at its header.
    #[test]
    fn split_takes_one_message_and_leaves_the_rest() {
        let stream = [message(), message(), vec![0x2A; 30]].concat();
        let (first, rest) = Frame::split(&stream).unwrap().unwrap();
        let (second, noise) = Frame::split(rest).unwrap().unwrap();
        assert_eq!((first, second), (message().as_slice(), message().as_slice()));
        assert_eq!(Frame::split(&noise[..1]), Ok(None), "the first byte is that of a signature");
        assert_eq!(Frame::split(&noise[..2]).unwrap_err().kind, Kind::Signature);
        assert_eq!(Frame::split(&message()[..29]), Ok(None));
        assert_eq!(Frame::split(noise).unwrap_err().kind, Kind::Signature);
    }
}
