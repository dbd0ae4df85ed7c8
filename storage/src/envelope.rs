//! What a stored document is: the payload of a `Document` or `Quarantine` record.
//!
//! An answer is a fact. The envelope keeps all that was known when the answer was decided, so that no
//! reader has to decide again with the rules of another day: the container as it came, the plain document
//! where it was opened, the session header, who sent it, what the crypto module and the admission said.
//!
//! Shape (little-endian), format v1:
//!
//! ```text
//!   0  u8   envelope version, 1            1  u8  provenance      2  u8  realm        3  u8  crypto verdict
//!   4  u8   admission verdict              5  u8  flags           6  u16 reason of the answer or the admission
//!   8  u32  rule set version              12  u32 number of the document
//!  16  [16] drive number, ASCII, right-padded
//!  32  u8   form of the document, 0 when it could not be read; 33 u8 variant; 34 u16 peer port
//!  36  [16] peer address, IPv6 or IPv4 mapped into it
//!  52  u32  operator time: the 1012 of the answer, local seconds
//!  56  i64  answered at, microseconds UTC, 0 when live (then it is the received_at of the record)
//!  64  [30] session header as it came, zeros when there was none
//!  94  u16  container length; 96 u16 plain length; 98 u16 offset of the plain document inside the container
//! 100  u32  detail length, 104.. the container, then the plain document unless it lies in the container,
//!           then the detail (text, UTF-8: why a frame was quarantined or flagged)
//! ```

use crate::record::{RECORD_FLAG_ENCRYPTED, RecordRef};
use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the fixed part, bytes.
pub const ENVELOPE_HEAD_LEN: usize = 104;
/// The version this code writes.
pub const ENVELOPE_VERSION: u8 = 1;
/// The plain document is the slice `plain_at..plain_at + plain_len` of the container.
pub const FLAG_PLAIN_IN_CONTAINER: u8 = 0b0000_0001;

/// How a document came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Provenance {
    /// Over the wire or `submit`.
    Live = 0,
    /// From an archive; original times and answers kept.
    Import = 1,
}

/// Which world a document belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Realm {
    /// Counts in revenue and goes to the tax service.
    Prod = 0,
    /// A test drive (9999… or named by the host): kept apart.
    Test = 1,
}

impl Realm {
    /// `prod` or `test`, as tables and lines of JSON have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Test => "test",
        }
    }
}

/// What the crypto module said of the message sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CryptoVerdict {
    /// Nobody checked it (the plain stand-in).
    Unverified = 0,
    /// The sign is right.
    Verified = 1,
    /// A definite no.
    Forged = 2,
}

/// What the host's admission said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AdmissionVerdict {
    /// Nothing to remark.
    Accepted = 0,
    /// Accepted, with a reason to look at.
    Flagged = 1,
}

/// The fixed part as it lies on disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EnvelopeHead {
    version: u8,
    provenance: u8,
    realm: u8,
    crypto: u8,
    admission: u8,
    flags: u8,
    reason: U16,
    rule_set: U32,
    number: U32,
    drive: [u8; 16],
    form: u8,
    variant: u8,
    peer_port: U16,
    peer_address: [u8; 16],
    operator_time: U32,
    answered_at_us: I64,
    session: [u8; 30],
    container_len: U16,
    plain_len: U16,
    plain_at: U16,
    detail_len: U32,
}
const _: () = assert!(size_of::<EnvelopeHead>() == ENVELOPE_HEAD_LEN);

/// Everything an envelope is made of, borrowed. Its `Debug` shows neither the contents of the document nor who sent it.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// How the document came.
    pub provenance: Provenance,
    /// Production or test.
    pub realm: Realm,
    /// The crypto module's word.
    pub crypto: CryptoVerdict,
    /// The admission's word.
    pub admission: AdmissionVerdict,
    /// Reason of the answer or of the admission's flag; 0 = none.
    pub reason: u16,
    /// Version of the rule set that decided the answer.
    pub rule_set: u32,
    /// Drive number (1041), ASCII, right-padded with spaces.
    pub drive: [u8; 16],
    /// Number of the document (1040).
    pub number: u32,
    /// Form code; 0 when the document could not be read.
    pub form: u8,
    /// 0 = the first document of this drive and number, 1.. = further ones that differ.
    pub variant: u8,
    /// Address of the peer, IPv4 mapped into IPv6.
    pub peer_address: [u8; 16],
    /// Port of the peer.
    pub peer_port: u16,
    /// The 1012 of the answer, local seconds in the operator's zone; 0 when there is no answer.
    pub operator_time: u32,
    /// When it was answered, microseconds UTC; 0 = at the record's `received_at`.
    pub answered_at_us: i64,
    /// Session header as it came; zeros when the document came without one.
    pub session: [u8; 30],
    /// The container as received.
    pub container: &'a [u8],
    /// The plain document TLV where it was opened, else empty.
    pub plain: &'a [u8],
    /// Why a frame was quarantined or flagged, UTF-8.
    pub detail: &'a [u8],
}

impl std::fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("provenance", &self.provenance)
            .field("realm", &self.realm)
            .field("crypto", &self.crypto)
            .field("admission", &self.admission)
            .field("reason", &self.reason)
            .field("number", &self.number)
            .field("form", &self.form)
            .field("variant", &self.variant)
            .field("container_len", &self.container.len())
            .field("plain_len", &self.plain.len())
            .finish_non_exhaustive()
    }
}

/// An envelope that cannot be read: the bytes come from a newer version or are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeError {
    /// What is wrong.
    pub what: &'static str,
}

impl std::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "envelope: {}", self.what)
    }
}
impl std::error::Error for EnvelopeError {}

impl<'a> Envelope<'a> {
    /// The fixed part for these fields. The container and the plain document are at most 32 KiB each, which
    /// the frame check has made sure of; longer ones are a defect of ours and are refused.
    ///
    /// # Errors
    /// When a part does not fit its length field.
    pub fn head(&self) -> Result<EnvelopeHead, EnvelopeError> {
        let (flags, plain_at) = match offset_within(self.container, self.plain) {
            Some(at) => (FLAG_PLAIN_IN_CONTAINER, at),
            None => (0, 0),
        };
        let short = |len: usize, what| u16::try_from(len).map_err(|_| EnvelopeError { what });
        Ok(EnvelopeHead {
            version: ENVELOPE_VERSION,
            provenance: self.provenance as u8,
            realm: self.realm as u8,
            crypto: self.crypto as u8,
            admission: self.admission as u8,
            flags,
            reason: U16::new(self.reason),
            rule_set: U32::new(self.rule_set),
            number: U32::new(self.number),
            drive: self.drive,
            form: self.form,
            variant: self.variant,
            peer_port: U16::new(self.peer_port),
            peer_address: self.peer_address,
            operator_time: U32::new(self.operator_time),
            answered_at_us: I64::new(self.answered_at_us),
            session: self.session,
            container_len: U16::new(short(self.container.len(), "container too long")?),
            plain_len: U16::new(short(self.plain.len(), "plain document too long")?),
            plain_at: U16::new(short(plain_at, "plain document too far")?),
            detail_len: U32::new(
                u32::try_from(self.detail.len()).map_err(|_| EnvelopeError { what: "detail too long" })?,
            ),
        })
    }

    /// The parts of the payload in order; `head` comes from [`Envelope::head`].
    pub fn parts<'b>(&'b self, head: &'b EnvelopeHead) -> [&'b [u8]; 4] {
        let plain: &[u8] = if head.flags & FLAG_PLAIN_IN_CONTAINER != 0 { &[] } else { self.plain };
        [head.as_bytes(), self.container, plain, self.detail]
    }

    /// Reads the envelope of a record.
    ///
    /// # Errors
    /// When the record is encrypted; as [`Envelope::decode`].
    pub fn of(record: &RecordRef<'a>) -> Result<Self, EnvelopeError> {
        Self::decode_flagged(record.flags(), record.payload())
    }

    /// The same of a payload with the flags of its record.
    ///
    /// # Errors
    /// As [`Envelope::of`].
    pub fn decode_flagged(flags: u8, payload: &'a [u8]) -> Result<Self, EnvelopeError> {
        if flags & RECORD_FLAG_ENCRYPTED != 0 {
            return Err(EnvelopeError { what: "encrypted, and the key is not here" });
        }
        Self::decode(payload)
    }

    /// Reads a plain payload back.
    ///
    /// # Errors
    /// When the payload is shorter than it says, of an unknown version, or a verdict has no meaning.
    pub fn decode(payload: &'a [u8]) -> Result<Self, EnvelopeError> {
        let wrong = |what| EnvelopeError { what };
        let (head, rest) =
            EnvelopeHead::ref_from_prefix(payload).map_err(|_| wrong("shorter than its head"))?;
        if head.version != ENVELOPE_VERSION {
            return Err(wrong("unknown version"));
        }
        let (container, rest) =
            rest.split_at_checked(usize::from(head.container_len.get())).ok_or(wrong("container cut"))?;
        let plain_len = usize::from(head.plain_len.get());
        let (plain, rest) = if head.flags & FLAG_PLAIN_IN_CONTAINER != 0 {
            let at = usize::from(head.plain_at.get());
            let plain = container.get(at..at.saturating_add(plain_len)).ok_or(wrong("plain document cut"))?;
            (plain, rest)
        } else {
            rest.split_at_checked(plain_len).ok_or(wrong("plain document cut"))?
        };
        let detail_len =
            usize::try_from(head.detail_len.get()).map_err(|_| wrong("detail longer than memory"))?;
        let detail = rest.get(..detail_len).ok_or(wrong("detail cut"))?;
        Ok(Self {
            provenance: match head.provenance {
                0 => Provenance::Live,
                1 => Provenance::Import,
                _ => return Err(wrong("provenance without meaning")),
            },
            realm: match head.realm {
                0 => Realm::Prod,
                1 => Realm::Test,
                _ => return Err(wrong("realm without meaning")),
            },
            crypto: match head.crypto {
                0 => CryptoVerdict::Unverified,
                1 => CryptoVerdict::Verified,
                2 => CryptoVerdict::Forged,
                _ => return Err(wrong("crypto verdict without meaning")),
            },
            admission: match head.admission {
                0 => AdmissionVerdict::Accepted,
                1 => AdmissionVerdict::Flagged,
                _ => return Err(wrong("admission verdict without meaning")),
            },
            reason: head.reason.get(),
            rule_set: head.rule_set.get(),
            drive: head.drive,
            number: head.number.get(),
            form: head.form,
            variant: head.variant,
            peer_address: head.peer_address,
            peer_port: head.peer_port.get(),
            operator_time: head.operator_time.get(),
            answered_at_us: head.answered_at_us.get(),
            session: head.session,
            container,
            plain,
            detail,
        })
    }
}

/// Where `inner` begins in `outer`, when it is a slice of the same memory.
fn offset_within(outer: &[u8], inner: &[u8]) -> Option<usize> {
    if inner.is_empty() {
        return None;
    }
    let at = (inner.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
    (at.checked_add(inner.len())? <= outer.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;

    fn sample<'a>(container: &'a [u8], plain: &'a [u8]) -> Envelope<'a> {
        Envelope {
            provenance: Provenance::Live,
            realm: Realm::Test,
            crypto: CryptoVerdict::Verified,
            admission: AdmissionVerdict::Flagged,
            reason: 7,
            rule_set: 3,
            drive: *b"9999078900005488",
            number: 84,
            form: 3,
            variant: 1,
            peer_address: [9; 16],
            peer_port: 4411,
            operator_time: 1_700_000_000,
            answered_at_us: -5,
            session: [8; 30],
            container,
            plain,
            detail: "за отсрочкой".as_bytes(),
        }
    }

    fn round_trip(envelope: &Envelope<'_>) -> Vec<u8> {
        let head = envelope.head().unwrap();
        envelope.parts(&head).concat()
    }

    // A later version must read what this one writes. Put together by a script that knows the order of the fields, not by this code.
    #[test]
    fn the_bytes_of_v1_stay() {
        let container = [1u8, 2, 3, 4, 5, 6];
        let bytes = round_trip(&sample(&container, &container[2..5]));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "010001010101070003000000540000003939393930373839303030303534383803013b11090909090909090909090909\
             0909090900f15365fbffffffffffffff0808080808080808080808080808080808080808080808080808080808080600\
             0300020017000000010203040506d0b7d0b020d0bed182d181d180d0bed187d0bad0bed0b9"
        );
    }

    #[test]
    fn a_plain_document_inside_the_container_is_stored_once() {
        let container = [1u8, 2, 3, 4, 5, 6];
        let bytes = round_trip(&sample(&container, &container[2..5]));
        let back = Envelope::decode(&bytes).unwrap();
        assert_eq!(back.plain, [3, 4, 5]);
        assert_eq!(back.container, container);
        assert_eq!(bytes.len(), ENVELOPE_HEAD_LEN + 6 + back.detail.len());
    }

    #[test]
    fn a_deciphered_document_is_stored_beside_the_container() {
        let back_bytes = round_trip(&sample(&[1, 2, 3], &[7, 7]));
        let back = Envelope::decode(&back_bytes).unwrap();
        assert_eq!((back.plain, back.container, back.number), (&[7u8, 7][..], &[1u8, 2, 3][..], 84));
        assert_eq!(back.detail, "за отсрочкой".as_bytes());
    }

    #[test]
    fn every_cut_of_an_envelope_is_refused() {
        let bytes = round_trip(&sample(&[1, 2, 3], &[7, 7]));
        for len in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}
