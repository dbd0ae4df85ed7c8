//! The requisites that the drive gives to every document: the beginning of each, in the order of live documents.

use super::draft::Draft;
use crate::{
    DocumentNumber, DriveNumber, FfdVersion, FiscalSign, Form, Inn, LocalSeconds, RegistrationNumber, tags,
};

/// What the drive and the registration put into every document of a register.
///
/// Unit: the time is that of the till, in whole minutes on live drives. The sign comes from the drive's crypto, or is
/// any six bytes where there is none.
/// Source: order ЕД-7-20/662@, tags 1041, 1037, 1018, 1040, 1012, 1077, required in every form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Drive (1041).
    pub drive: DriveNumber,
    /// Registration number of the register (1037).
    pub registration: RegistrationNumber,
    /// The user's ИНН (1018).
    pub user_inn: Inn,
    /// Number of the document (1040).
    pub number: DocumentNumber,
    /// Date and time (1012).
    pub date_time: LocalSeconds,
    /// Fiscal sign (1077).
    pub sign: FiscalSign,
}

impl Stamp {
    /// A document that begins with the stamp.
    pub(super) fn document(&self, version: FfdVersion, form: Form) -> Draft {
        Draft::document(version, form)
            .with(tags::FISCAL_DRIVE_NUMBER, self.drive.as_bytes().as_slice())
            .with(tags::KKT_REG_ID, self.registration.to_wire().as_slice())
            .with(tags::USER_INN, self.user_inn.as_wire().as_slice())
            .with(tags::FISCAL_DOCUMENT_NUMBER, self.number.0)
            .with(tags::DATE_TIME, self.date_time)
            .with(tags::FISCAL_SIGN, self.sign.0.as_slice())
    }
}

/// What stands at the beginning of what a register sends over the marking channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkingStamp {
    /// Drive (1041).
    pub drive: DriveNumber,
    /// The user's ИНН (1018).
    pub user_inn: Inn,
    /// Date and time: 2114 of a request, 1012 of a notification.
    pub date_time: LocalSeconds,
}

impl MarkingStamp {
    /// A document that begins with drive and user.
    pub(super) fn document(&self, form: Form) -> Draft {
        Draft::document(FfdVersion::V1_2, form)
            .with(tags::FISCAL_DRIVE_NUMBER, self.drive.as_bytes().as_slice())
            .with(tags::USER_INN, self.user_inn.as_wire().as_slice())
    }
}
