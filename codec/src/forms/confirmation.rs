//! The operator's answer: form 7.
//!
//! Source: order ЕД-7-20/662@, the tables of form 7 and tag 1068.
//! [`ConfirmationRequest`](crate::ConfirmationRequest) writes the usual one with its message.

use super::AnswerCode;
use super::draft::Draft;
use super::requisites::{document, requisites};
use crate::{DocumentNumber, DriveNumber, FfdVersion, Form, Inn, LocalSeconds, tags};

requisites! {
    /// A confirmation (подтверждение оператора, form 7).
    Confirmation, ConfirmationBuilder {
        /// Date time (дата, время, 1012), local time of the till.
        time date_time = DATE_TIME;
        /// Operator's ИНН (ИНН ОФД, 1017).
        inn ofd_inn = OFD_INN;
        /// Fiscal document number (номер ФД, 1040).
        long number = FISCAL_DOCUMENT_NUMBER;
        /// Message to drive (сообщение оператора для ФН, 1068).
        nest(DriveMessage, DriveMessageBuilder) message = MESSAGE_TO_DRIVE;
        /// Operator sign (ФПО, 1078).
        raw operator_sign = OPERATOR_SIGN;
        /// Operator message (сообщение оператора, 1206).
        byte operator_message = OPERATOR_MESSAGE;
    }
}

document!(Confirmation, ConfirmationBuilder, [Form::CONFIRMATION]);

/// Bit of tag 1206: an error of format control.
const FORMAT_CONTROL_BIT: u8 = 2;

/// What every confirmation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The operator (1017).
    pub operator_inn: Inn,
    /// The operator's sign (ФПО, 1078).
    pub operator_sign: [u8; 8],
    /// Drive of the document confirmed (1041).
    pub drive: DriveNumber,
    /// Its number (1040).
    pub number: DocumentNumber,
    /// When it was accepted (1012), with seconds.
    pub accepted_at: LocalSeconds,
    /// The answer (1068 with 1022).
    pub answer: AnswerCode,
}

impl Confirmation<'_> {
    /// What was answered: 1022 within 1068; where the version has no 1068, the bit of 1206 that says 14, else 0, as no other
    /// answer is said there.
    #[must_use]
    pub fn answer(&self) -> AnswerCode {
        let said = self.message().and_then(|it| it.answer());
        let refused = self.operator_message().is_some_and(|bits| bits & FORMAT_CONTROL_BIT != 0);
        said.unwrap_or(if refused { AnswerCode::FORMAT_CONTROL } else { AnswerCode::ACCEPTED })
    }
}

impl ConfirmationBuilder {
    /// The confirmation of one document, in the order of live answers. The table of version 1.1 has no 1068, so that
    /// there an answer 14 is the bit of 1206 that names it, and other answers are not said.
    pub fn new(version: FfdVersion, confirmed: &Confirmed) -> Self {
        let begun = Self(
            Draft::document(version, Form::CONFIRMATION)
                .with(tags::OFD_INN, confirmed.operator_inn.as_wire().as_slice())
                .with(tags::OPERATOR_SIGN, confirmed.operator_sign.as_slice())
                .with(tags::FISCAL_DRIVE_NUMBER, confirmed.drive.as_bytes().as_slice()),
        )
        .number(confirmed.number.0)
        .date_time(confirmed.accepted_at);
        if version != FfdVersion::V1_1 {
            begun.message(DriveMessageBuilder::new(confirmed.answer))
        } else if confirmed.answer == AnswerCode::FORMAT_CONTROL {
            begun.operator_message(FORMAT_CONTROL_BIT)
        } else {
            begun
        }
    }
}

requisites! {
    /// The operator's message to the drive (сообщение оператора для ФН, 1068).
    DriveMessage, DriveMessageBuilder {
        /// Response code (код ответа ОФД, 1022).
        code(AnswerCode) answer = RESPONSE_CODE;
    }
}

impl DriveMessageBuilder {
    /// A message with this answer (1022).
    pub fn new(answer: AnswerCode) -> Self {
        Self(Draft::default()).answer(answer)
    }
}
