//! Documents, messages and confirmations to bytes.
//!
//! The caller owns the buffer: everything is appended to a `Vec<u8>`, and when something cannot be written the buffer
//! is cut back to where that call began. Numbers of variable length are written as short as registers do: zero is one
//! 00 byte. Nothing is signed: signs come from the crypto of the host, or are stand-ins.
//!
//! Errors: [`EncodeError`]; a value is refused, never cut to fit.

use alloc::vec::Vec;

use encoding_rs::IBM866;

use crate::frame::{
    CONTAINER_FROM_REGISTER, CONTAINER_LEN_MAX, CONTAINER_TO_REGISTER, CONTAINER_VERSION, SERVICE1_USUAL,
    SESSION_HEADER_LEN, container_crc,
};
use crate::{
    DriveNumber, EncodeError, EncodeErrorKind, Form, LocalSeconds, Quantity, SessionHeader, Tag, tags,
};

/// Stand-in for the sign of a register's message (ФПС) where there is no crypto.
pub const MESSAGE_SIGN_STAND_IN: [u8; 8] = [0x81, 0x06, 0, 0, 0, 0, 0, 0];
/// Stand-in for the sign of a confirmation's message (ФПП).
pub const CONFIRMATION_SIGN_STAND_IN: [u8; 8] = [0x82, 0x06, 0, 0, 0, 0, 0, 0];
/// Stand-in for the operator's sign (ФПО, tag 1078).
pub const OPERATOR_SIGN_STAND_IN: [u8; 8] = [0x88, 0x06, 0, 0, 0, 0, 0, 0];

/// Appends TLVs to a buffer of the caller.
///
/// ```
/// # use ofd_codec::{Tag, TlvWriter};
/// let mut bytes = Vec::new();
/// TlvWriter::new(&mut bytes).nested(Tag(1059), |item| {
///     item.text(Tag(1030), "Чай")?;
///     item.vln(Tag(1043), 15_900);
///     Ok(())
/// })?;
/// assert_eq!(bytes.len(), 4 + (4 + 3) + (4 + 2));
/// # Ok::<(), ofd_codec::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct TlvWriter<'v> {
    out: &'v mut Vec<u8>,
}

impl<'v> TlvWriter<'v> {
    /// Appends to `out`.
    pub const fn new(out: &'v mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A value that is known to be at most eight bytes long.
    fn short<const N: usize>(&mut self, tag: Tag, value: [u8; N], len: usize) {
        const { assert!(N <= 8) };
        let value = value.get(..len).unwrap_or(&value);
        self.out.extend_from_slice(&tag.0.to_le_bytes());
        self.out.extend_from_slice(&[value.len().to_le_bytes()[0], 0]);
        self.out.extend_from_slice(value);
    }

    /// One byte.
    pub fn u8(&mut self, tag: Tag, value: u8) {
        self.short(tag, [value], 1);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, tag: Tag, value: u16) {
        self.short(tag, value.to_le_bytes(), 2);
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, tag: Tag, value: u32) {
        self.short(tag, value.to_le_bytes(), 4);
    }

    /// Local time of the register.
    pub fn unixtime(&mut self, tag: Tag, value: LocalSeconds) {
        self.u32(tag, value.0);
    }

    /// A number of variable length, as short as it can be but never empty.
    pub fn vln(&mut self, tag: Tag, value: u64) {
        self.short(tag, value.to_le_bytes(), significant(value));
    }

    /// A number of variable length of at most `len_max` bytes.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn vln_within(&mut self, tag: Tag, value: u64, len_max: usize) -> Result<(), EncodeError> {
        if significant(value) > len_max {
            return Err(EncodeError::new(EncodeErrorKind::Overflow).at(tag));
        }
        self.vln(tag, value);
        Ok(())
    }

    /// A number of exactly `len` bytes, 1 to 8, little-endian: byte, u16, u32 and masks.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn uint(&mut self, tag: Tag, value: u64, len: usize) -> Result<(), EncodeError> {
        if significant(value) > len || len > 8 {
            return Err(EncodeError::new(EncodeErrorKind::Overflow).at(tag));
        }
        self.short(tag, value.to_le_bytes(), len);
        Ok(())
    }

    /// A decimal number: scale, then the mantissa, 1 to 7 bytes.
    ///
    /// # Errors
    /// `Overflow` for a mantissa of more than 56 bits.
    pub fn fvln(&mut self, tag: Tag, value: Quantity) -> Result<(), EncodeError> {
        self.fvln_within(tag, value, Quantity::ENCODED_LEN_MAX)
    }

    /// A decimal number of at most `len_max` bytes, scale included.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn fvln_within(&mut self, tag: Tag, value: Quantity, len_max: usize) -> Result<(), EncodeError> {
        let len = significant(value.mantissa).saturating_add(1);
        if len > len_max || len > Quantity::ENCODED_LEN_MAX {
            return Err(EncodeError::new(EncodeErrorKind::Overflow).at(tag));
        }
        let [a, b, c, d, e, f, g, _] = value.mantissa.to_le_bytes();
        self.short(tag, [value.scale, a, b, c, d, e, f, g], len);
        Ok(())
    }

    /// Text in CP866.
    ///
    /// # Errors
    /// `Text` for a character outside CP866, `TooLong` beyond 65535 bytes.
    pub fn text(&mut self, tag: Tag, text: &str) -> Result<(), EncodeError> {
        let bytes = cp866(text).map_err(|error| error.at(tag))?;
        self.bytes(tag, &bytes)
    }

    /// Text of a fixed width, padded on the right with spaces.
    ///
    /// # Errors
    /// As [`TlvWriter::text`]; `TooLong` when the text is wider than `len`.
    pub fn padded_text(&mut self, tag: Tag, text: &str, len: usize) -> Result<(), EncodeError> {
        let mut bytes = cp866(text).map_err(|error| error.at(tag))?;
        if bytes.len() > len {
            return Err(EncodeError::new(EncodeErrorKind::TooLong).at(tag));
        }
        bytes.resize(len, b' ');
        self.bytes(tag, &bytes)
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// `TooLong` beyond 65535 bytes.
    pub fn bytes(&mut self, tag: Tag, value: &[u8]) -> Result<(), EncodeError> {
        let Ok(len) = u16::try_from(value.len()) else {
            return Err(EncodeError::new(EncodeErrorKind::TooLong).at(tag));
        };
        self.out.extend_from_slice(&tag.0.to_le_bytes());
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// A structure (STLV): what `fill` writes becomes its value.
    ///
    /// # Errors
    /// Those of `fill`; `TooLong` when it wrote more than 65535 bytes.
    pub fn nested<F>(&mut self, tag: Tag, fill: F) -> Result<(), EncodeError>
    where
        F: FnOnce(&mut TlvWriter<'_>) -> Result<(), EncodeError>,
    {
        let start = self.out.len();
        self.out.extend_from_slice(&tag.0.to_le_bytes());
        self.out.extend_from_slice(&[0, 0]);
        let body = self.out.len();
        let result = fill(&mut TlvWriter { out: self.out }).and_then(|()| {
            u16::try_from(self.out.len().saturating_sub(body))
                .map_err(|_| EncodeError::new(EncodeErrorKind::TooLong).at(tag))
        });
        match result {
            Ok(len) => {
                if let Some(place) = self.out.get_mut(body.saturating_sub(2)..body) {
                    place.copy_from_slice(&len.to_le_bytes());
                }
                Ok(())
            }
            Err(error) => {
                self.out.truncate(start);
                Err(error)
            }
        }
    }

    /// A whole document: the outer TLV with the form as its tag.
    ///
    /// # Errors
    /// As [`TlvWriter::nested`].
    pub fn document<F>(&mut self, form: Form, fill: F) -> Result<(), EncodeError>
    where
        F: FnOnce(&mut TlvWriter<'_>) -> Result<(), EncodeError>,
    {
        self.nested(Tag(u16::from(form.0)), fill)
    }
}

/// Bytes needed for a number, at least one.
fn significant(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub(value.leading_zeros());
    usize::try_from(bits.div_ceil(8)).unwrap_or(8).max(1)
}

/// Text to CP866.
///
/// # Errors
/// `Text` for a character that CP866 does not have.
pub fn cp866(text: &str) -> Result<Vec<u8>, EncodeError> {
    let (bytes, _, replaced) = IBM866.encode(text);
    if replaced { Err(EncodeError::new(EncodeErrorKind::Text)) } else { Ok(bytes.into_owned()) }
}

/// One session message with an unencrypted container, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Version of the application protocol, as on the wire.
    pub p_version: [u8; 2],
    /// The drive, for both headers.
    pub drive: DriveNumber,
    /// Document number for the container header, at most 24 bits.
    pub number: u32,
    /// Form code for the container header.
    pub form: u8,
    /// A5 from a register, 5A to a register.
    pub container_type: u8,
    /// Service data 2 without its last two bytes, which are the length of `plain`.
    pub service2_prefix: [u8; 10],
    /// The document TLV.
    pub plain: &'a [u8],
    /// Trailer: kind, 06, sign, two zeros.
    pub trailer: [u8; 10],
}

impl Message<'_> {
    /// Appends session header and container, checksum filled in, the usual header ([`SessionHeader::from_register`]).
    ///
    /// # Errors
    /// `TooLong` beyond [`CONTAINER_LEN_MAX`], `DocumentNumber` beyond 24 bits.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_around(out, |out| {
            out.extend_from_slice(self.plain);
            Ok(())
        })
    }

    /// The same around a document that is written where it is to lie, so that nothing is allocated for it.
    fn encode_around(
        &self,
        out: &mut Vec<u8>,
        plain: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let [0, number @ ..] = self.number.to_be_bytes() else {
            return Err(EncodeError::new(EncodeErrorKind::DocumentNumber));
        };
        let begin = out.len();
        out.extend_from_slice(&[0; SESSION_HEADER_LEN]);
        let start = out.len();
        // Length and checksum of the container are written behind the rest.
        out.extend_from_slice(&[0, 0, 0, 0, self.container_type, self.form, CONTAINER_VERSION]);
        out.extend_from_slice(&SERVICE1_USUAL);
        out.extend_from_slice(&self.drive.to_bcd());
        out.extend_from_slice(&number);
        out.extend_from_slice(&self.service2_prefix);
        let len_at = out.len();
        out.extend_from_slice(&[0, 0]);
        let plain_at = out.len();
        if let Err(error) = plain(out) {
            out.truncate(begin);
            return Err(error);
        }
        let plain_len = out.len().saturating_sub(plain_at);
        out.extend_from_slice(&self.trailer);
        let len = out.len().saturating_sub(start);
        let (Ok(container_len), Ok(plain_len), true) =
            (u16::try_from(len), u16::try_from(plain_len), len <= CONTAINER_LEN_MAX)
        else {
            out.truncate(begin);
            return Err(EncodeError::new(EncodeErrorKind::TooLong));
        };
        let header = SessionHeader::from_register(self.p_version, &self.drive, container_len);
        put(out, begin, &header.encode());
        put(out, start, &container_len.to_le_bytes());
        put(out, len_at, &plain_len.to_be_bytes());
        let crc = container_crc(out.get(start..).unwrap_or_default());
        put(out, start.saturating_add(2), &crc.to_le_bytes());
        Ok(())
    }

    /// The trailer of a sign: its eight bytes and two zeros.
    #[must_use]
    pub const fn trailer_of(sign: [u8; 8]) -> [u8; 10] {
        let [a, b, c, d, e, f, g, h] = sign;
        [a, b, c, d, e, f, g, h, 0, 0]
    }

    /// A register's message: container type A5, no service data, a stand-in for the sign.
    #[must_use]
    pub const fn from_register(
        p_version: [u8; 2],
        drive: DriveNumber,
        number: u32,
        form: Form,
        plain: &[u8],
    ) -> Message<'_> {
        Message {
            p_version,
            drive,
            number,
            form: form.0,
            container_type: CONTAINER_FROM_REGISTER,
            service2_prefix: [0; 10],
            plain,
            trailer: Self::trailer_of(MESSAGE_SIGN_STAND_IN),
        }
    }
}

/// The operator's answer to one document (подтверждение оператора, form 7), to be written.
///
/// Shape: container type 5A, form 7, drive and number of the document; tags 1017, 1078, 1041, 1040, 1012,
/// 1068{1022}, in this order; trailer 82 06.
/// Source: order of tags and lengths as observed on live answers; KKT-OFD protocol, confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmationRequest {
    /// INN of the operator (1017), 12 bytes, right-padded with spaces.
    pub operator_inn: [u8; 12],
    /// The operator's sign (ФПО, 1078); [`OPERATOR_SIGN_STAND_IN`] without crypto.
    pub operator_sign: [u8; 8],
    /// Drive of the document confirmed.
    pub drive: DriveNumber,
    /// Number of the document confirmed.
    pub number: u32,
    /// Time of acceptance in the operator's zone (1012), with seconds.
    pub accepted_at: LocalSeconds,
    /// Answer code (1022): 0 accepted, 11 not recognised, 14 format control failed.
    pub code: u8,
    /// P-version of the request.
    pub p_version: [u8; 2],
    /// Sign of the message (ФПП); [`CONFIRMATION_SIGN_STAND_IN`] without crypto.
    pub message_sign: [u8; 8],
}

/// Tags and lengths of a confirmation, each of which is 77 bytes long; its values are zeros here. Every document has one, so
/// that it is not written requisite by requisite.
const CONFIRMATION: [u8; 77] = {
    let tlvs = [
        (0, Form::CONFIRMATION.0 as u16, 73),
        (4, tags::OFD_INN.0, 12),
        (20, tags::OPERATOR_SIGN.0, 8),
        (32, tags::FISCAL_DRIVE_NUMBER.0, 16),
        (52, tags::FISCAL_DOCUMENT_NUMBER.0, 4),
        (60, tags::DATE_TIME.0, 4),
        (68, tags::MESSAGE_TO_DRIVE.0, 5),
        (72, tags::RESPONSE_CODE.0, 1),
    ];
    let mut plain = [0; 77];
    let mut rest = tlvs.as_slice();
    while let [(at, tag, len), behind @ ..] = rest {
        let (_, place) = plain.split_at_mut(*at);
        let ([t0, t1], [l0, l1]): ([u8; 2], [u8; 2]) = (tag.to_le_bytes(), u16::to_le_bytes(*len));
        if let Some(head) = place.first_chunk_mut() {
            *head = [t0, t1, l0, l1];
        }
        rest = behind;
    }
    plain
};

impl ConfirmationRequest {
    /// A confirmation with stand-ins for both signs.
    #[must_use]
    pub const fn unsigned(
        operator_inn: [u8; 12],
        drive: DriveNumber,
        number: u32,
        accepted_at: LocalSeconds,
        code: u8,
        p_version: [u8; 2],
    ) -> Self {
        Self {
            operator_inn,
            operator_sign: OPERATOR_SIGN_STAND_IN,
            drive,
            number,
            accepted_at,
            code,
            p_version,
            message_sign: CONFIRMATION_SIGN_STAND_IN,
        }
    }

    /// Appends the plain document TLV: what a crypto provider signs.
    ///
    /// # Errors
    /// None today; the signature is that of the writer.
    pub fn encode_plain(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut plain = CONFIRMATION;
        put(&mut plain, 8, &self.operator_inn);
        put(&mut plain, 24, &self.operator_sign);
        put(&mut plain, 36, self.drive.as_bytes());
        put(&mut plain, 56, &self.number.to_le_bytes());
        put(&mut plain, 64, &self.accepted_at.0.to_le_bytes());
        put(&mut plain, 76, &[self.code]);
        out.extend_from_slice(&plain);
        Ok(())
    }

    /// Appends the whole session message.
    ///
    /// # Errors
    /// `DocumentNumber` when the number does not fit the container header.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Message {
            p_version: self.p_version,
            drive: self.drive,
            number: self.number,
            form: Form::CONFIRMATION.0,
            container_type: CONTAINER_TO_REGISTER,
            service2_prefix: [0; 10],
            plain: &[],
            trailer: Message::trailer_of(self.message_sign),
        }
        .encode_around(out, |out| self.encode_plain(out))
    }
}

/// Writes into room that was left at `at`.
#[inline]
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::frame::PLAIN_LEN_MAX;

    fn written(
        write: impl FnOnce(&mut TlvWriter<'_>) -> Result<(), EncodeError>,
    ) -> (Vec<u8>, Option<EncodeErrorKind>) {
        let mut out = vec![0xEE];
        let result = write(&mut TlvWriter::new(&mut out));
        (out, result.err().map(|error| error.kind))
    }

    fn refused(kind: EncodeErrorKind, write: impl FnOnce(&mut TlvWriter<'_>) -> Result<(), EncodeError>) {
        assert_eq!(written(write), (vec![0xEE], Some(kind)));
    }

    /// Its places are counted out: written requisite by requisite it is the same.
    #[test]
    fn a_confirmation_is_what_the_writer_writes() {
        let drive = DriveNumber::parse("999907891234567").unwrap();
        let mut it = ConfirmationRequest::unsigned(
            *b"7704211201  ",
            drive,
            0x0102_0304,
            LocalSeconds(0x0506_0708),
            14,
            [1, 5],
        );
        it.operator_sign = *b"signsign";
        let (naive, _) = written(|w| {
            w.document(Form::CONFIRMATION, |w| {
                w.bytes(tags::OFD_INN, &it.operator_inn)?;
                w.bytes(tags::OPERATOR_SIGN, &it.operator_sign)?;
                w.bytes(tags::FISCAL_DRIVE_NUMBER, it.drive.as_bytes())?;
                w.u32(tags::FISCAL_DOCUMENT_NUMBER, it.number);
                w.unixtime(tags::DATE_TIME, it.accepted_at);
                w.nested(tags::MESSAGE_TO_DRIVE, |message| {
                    message.u8(tags::RESPONSE_CODE, it.code);
                    Ok(())
                })
            })
        });
        let mut plain = vec![0xEE];
        it.encode_plain(&mut plain).unwrap();
        assert_eq!(plain, naive);
    }

    /// Zero is one byte, as registers write it, and every other number is as short as it can be.
    #[test]
    fn numbers_are_written_short_but_never_empty() {
        let check = |number, expected: &[u8]| {
            let (out, error) = written(|w| {
                w.vln(Tag(1), number);
                Ok(())
            });
            assert_eq!((out.get(5..).unwrap(), error), (expected, None), "{number}");
        };
        check(0, &[0]);
        check(255, &[255]);
        check(256, &[0, 1]);
        check(u64::MAX, &[255; 8]);
    }

    /// What does not fit is refused and leaves no byte behind.
    #[test]
    fn what_does_not_fit_is_refused_and_leaves_nothing() {
        let huge = vec![0; 65_536];
        refused(EncodeErrorKind::Overflow, |w| w.vln_within(Tag(1), 1 << 48, 6));
        refused(EncodeErrorKind::Overflow, |w| w.uint(Tag(1), 256, 1));
        refused(EncodeErrorKind::Overflow, |w| w.uint(Tag(1), 1, 9));
        refused(EncodeErrorKind::Overflow, |w| w.fvln(Tag(1), Quantity { mantissa: 1 << 56, scale: 0 }));
        refused(EncodeErrorKind::TooLong, |w| w.bytes(Tag(1), &huge));
        refused(EncodeErrorKind::TooLong, |w| w.padded_text(Tag(1), "7701234560123", 12));
        refused(EncodeErrorKind::Text, |w| w.text(Tag(1), "10 €"));
        refused(EncodeErrorKind::TooLong, |w| w.nested(Tag(1), |w| w.bytes(Tag(2), huge.get(1..).unwrap())));
        refused(EncodeErrorKind::Text, |w| {
            w.document(Form::RECEIPT, |w| {
                w.u8(Tag(1054), 1);
                w.nested(Tag(1059), |w| w.text(Tag(1030), "日"))
            })
        });
    }

    /// The error names the tag whose value was refused, not the structure around it.
    #[test]
    fn errors_name_the_innermost_tag() {
        let mut out = Vec::new();
        let error = TlvWriter::new(&mut out).nested(Tag(1059), |w| w.text(Tag(1030), "日")).unwrap_err();
        assert_eq!(error, EncodeError { kind: EncodeErrorKind::Text, tag: Some(Tag(1030)) });
        assert_eq!(error.to_string(), "text, tag 1030");
    }

    /// A message is as long as a container may be and no longer, and its number has three bytes.
    #[test]
    fn messages_keep_the_limits_of_the_container() {
        let drive = DriveNumber::parse("1").unwrap();
        let check = |number, len| {
            let plain = vec![0; len];
            let mut out = Vec::new();
            let message = Message::from_register([1, 5], drive, number, Form::RECEIPT, &plain);
            let result = message.encode_into(&mut out);
            assert_eq!(out.is_empty(), result.is_err());
            result.map_err(|error| error.kind)
        };
        assert_eq!(check(1, PLAIN_LEN_MAX), Ok(()));
        assert_eq!(check(1, PLAIN_LEN_MAX + 1), Err(EncodeErrorKind::TooLong));
        assert_eq!(check(0xFF_FFFF, 4), Ok(()));
        assert_eq!(check(0x100_0000, 4), Err(EncodeErrorKind::DocumentNumber));
    }
}
