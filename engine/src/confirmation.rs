//! From durable to answered: the only way a confirmation comes into being.
//!
//! ```text
//! Watermark::prove(lsn) ─▶ Durable ─▶ Sealed (the crypto module signed) ─▶ Confirmation (bytes for the wire)
//! ```
//!
//! Each type has private fields and one maker, the step before it. So a confirmation of what is not on disk
//! does not compile; `engine/misuse` shows the ways one might try.
//!
//! Source: order ЕД-7-20/662@, form 7 «подтверждение оператора»; the order of the tags is the one of live
//! answers.

use ofd_codec::{ConfirmationRequest, DriveNumber, LocalSeconds};
use ofd_storage::{Durable as Watermark, Lsn};

use crate::host::ConfirmSigns;
use crate::planted::{Planted, is};

/// Proof that a record and all before it are on disk: the device reported the flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a proof that nobody uses confirms nothing"]
pub struct Durable {
    lsn: Lsn,
}

impl Durable {
    /// The proof for `lsn`, when the watermark has passed it.
    pub fn prove(watermark: &Watermark, lsn: Lsn) -> Option<Self> {
        (lsn != Lsn::NONE && (lsn <= watermark.load() || is(Planted::AnswersAtAppend)))
            .then_some(Self { lsn })
    }

    /// The record that is proven.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

/// What is answered about one stored document. A fact: it was decided before the document was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The drive that asked.
    pub drive: DriveNumber,
    /// Number of the document (1040).
    pub number: u32,
    /// The code of 1022.
    pub code: u8,
    /// The 1012 of the answer, local seconds in the operator's zone.
    pub accepted_at: u32,
    /// P-version of the request: the answer repeats it.
    pub p_version: [u8; 2],
}

/// A durable answer with the operator's signs.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    durable: Durable,
    answer: Answer,
    signs: ConfirmSigns,
}

impl Sealed {
    /// Joins the proof, the answer and the signs.
    pub fn new(durable: Durable, answer: Answer, signs: ConfirmSigns) -> Self {
        Self { durable, answer, signs }
    }
}

/// A confirmation, ready for the wire.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation {
    sealed: Sealed,
}

impl Confirmation {
    /// The confirmation of what is sealed.
    pub fn new(sealed: Sealed) -> Self {
        Self { sealed }
    }

    /// Position of the confirmed record.
    pub fn lsn(&self) -> Lsn {
        self.sealed.durable.lsn
    }

    /// The code of 1022.
    pub fn code(&self) -> u8 {
        self.sealed.answer.code
    }

    /// Appends the session message to `out`. `operator_inn` is tag 1017, right-padded with spaces.
    ///
    /// # Panics
    /// Never for input: the parts have fixed lengths that fit.
    pub fn encode_into(&self, operator_inn: [u8; 12], out: &mut Vec<u8>) {
        let Sealed { answer, signs, .. } = &self.sealed;
        let encoded = ConfirmationRequest {
            operator_inn,
            operator_sign: signs.operator_sign,
            drive: answer.drive,
            number: answer.number,
            accepted_at: LocalSeconds(answer.accepted_at),
            code: answer.code,
            p_version: answer.p_version,
            message_sign: signs.message_sign,
        }
        .encode_into(out);
        assert!(encoded.is_ok(), "a confirmation of fixed parts does not encode: {encoded:?}");
    }
}
