//! The last document of a drive: form 6.
//!
//! Source: order ЕД-7-20/662@, the tables of form 6.

use super::Stamp;
use super::requisites::{document, requisites, stamped};
use crate::{FfdVersion, Form};

requisites! {
    /// A drive ends (отчет о закрытии фискального накопителя, form 6).
    ArchiveClose, ArchiveCloseBuilder {
        /// Retail place address (адрес расчетов, 1009).
        text retail_place_address = RETAIL_PLACE_ADDRESS;
        /// Cashier (кассир, 1021).
        text cashier = CASHIER;
        /// Shift number (номер смены, 1038).
        long shift = SHIFT_NUMBER;
        /// User name (наименование пользователя, 1048).
        text user_name = USER_NAME;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Drive counters (счетчики итогов ФН, 1157).
        nest(Counters, CountersBuilder) drive_counters = DRIVE_COUNTERS;
        /// Retail place (место расчетов, 1187).
        text retail_place = RETAIL_PLACE;
        /// Cashier ИНН (ИНН кассира, 1203).
        inn cashier_inn = CASHIER_INN;
        /// Additional requisite (дополнительный реквизит ОЗФН, 1282).
        text additional_props = ADDITIONAL_PROPS_CA;
        /// Additional data (дополнительные данные ОЗФН, 1283).
        raw additional_data = ADDITIONAL_DATA_CA;
    }
}

document!(ArchiveClose, ArchiveCloseBuilder, [Form::CLOSE_ARCHIVE]);
stamped!(ArchiveClose);

impl ArchiveCloseBuilder {
    /// The drive that ends after this shift (1038).
    pub fn new(version: FfdVersion, stamp: &Stamp, shift: u32) -> Self {
        Self(stamp.document(version, Form::CLOSE_ARCHIVE)).shift(shift)
    }
}
