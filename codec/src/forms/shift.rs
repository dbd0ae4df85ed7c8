//! Opening and closing of a shift: forms 2 and 5.
//!
//! Source: order ЕД-7-20/662@, the tables of forms 2 and 5.

use super::Stamp;
use super::requisites::{document, requisites, stamped};
use crate::{FfdVersion, Form};

requisites! {
    /// A shift begins (отчет об открытии смены, form 2).
    ShiftOpen, ShiftOpenBuilder {
        /// Retail place address (адрес расчетов, 1009).
        text retail_place_address = RETAIL_PLACE_ADDRESS;
        /// Cashier (кассир, 1021).
        text cashier = CASHIER;
        /// Shift number (номер смены, 1038).
        long shift = SHIFT_NUMBER;
        /// User name (наименование пользователя, 1048).
        text user_name = USER_NAME;
        /// Drive running out (признак исчерпания ресурса ФН, 1050).
        flag drive_running_out = DRIVE_RUNNING_OUT;
        /// Drive replace now (признак необходимости срочной замены ФН, 1051).
        flag drive_replace_now = DRIVE_REPLACE_NOW;
        /// Drive memory full (признак заполнения памяти ФН, 1052).
        flag drive_memory_full = DRIVE_MEMORY_FULL;
        /// Operator silent (признак превышения времени ожидания ответа ОФД, 1053).
        flag operator_silent = OPERATOR_SILENT;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Register version (версия ККТ, 1188).
        text kkt_version = KKT_VERSION;
        /// Register format version (версия ФФД ККТ, 1189).
        byte kkt_ffd_version = KKT_FFD_VERSION;
        /// Cashier ИНН (ИНН кассира, 1203).
        inn cashier_inn = CASHIER_INN;
        /// Operator message (сообщение оператора, 1206).
        byte operator_message = OPERATOR_MESSAGE;
        /// Additional requisite (дополнительный реквизит ООС, 1276).
        text additional_props = ADDITIONAL_PROPS_OS;
        /// Additional data (дополнительные данные ООС, 1277).
        raw additional_data = ADDITIONAL_DATA_OS;
    }
}

document!(ShiftOpen, ShiftOpenBuilder, [Form::OPEN_SHIFT]);
stamped!(ShiftOpen);

impl ShiftOpenBuilder {
    /// The shift with this number (1038).
    pub fn new(version: FfdVersion, stamp: &Stamp, shift: u32) -> Self {
        Self(stamp.document(version, Form::OPEN_SHIFT)).shift(shift)
    }
}

requisites! {
    /// A shift ends (отчет о закрытии смены, form 5).
    ShiftClose, ShiftCloseBuilder {
        /// Cashier (кассир, 1021).
        text cashier = CASHIER;
        /// Shift number (номер смены, 1038).
        long shift = SHIFT_NUMBER;
        /// User name (наименование пользователя, 1048).
        text user_name = USER_NAME;
        /// Drive running out (признак исчерпания ресурса ФН, 1050).
        flag drive_running_out = DRIVE_RUNNING_OUT;
        /// Drive replace now (признак необходимости срочной замены ФН, 1051).
        flag drive_replace_now = DRIVE_REPLACE_NOW;
        /// Drive memory full (признак заполнения памяти ФН, 1052).
        flag drive_memory_full = DRIVE_MEMORY_FULL;
        /// Operator silent (признак превышения времени ожидания ответа ОФД, 1053).
        flag operator_silent = OPERATOR_SILENT;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Unsent documents (количество непереданных ФД, 1097).
        long unsent_documents = UNSENT_DOCUMENTS;
        /// Unsent since (дата первого из непереданных ФД, 1098), local time of the till.
        time unsent_since = UNSENT_SINCE;
        /// Shift documents (общее количество ФД за смену, 1111).
        long shift_documents = SHIFT_DOCUMENTS;
        /// Shift receipts (количество кассовых чеков, 1118).
        long shift_receipts = SHIFT_RECEIPTS;
        /// Drive counters (счетчики итогов ФН, 1157).
        nest(Counters, CountersBuilder) drive_counters = DRIVE_COUNTERS;
        /// Shift counters (счетчики итогов смены, 1194).
        nest(Counters, CountersBuilder) counters = SHIFT_COUNTERS;
        /// Cashier ИНН (ИНН кассира, 1203).
        inn cashier_inn = CASHIER_INN;
        /// Operator message (сообщение оператора, 1206).
        byte operator_message = OPERATOR_MESSAGE;
        /// Key resource (ресурс ключей ФП, 1213).
        word key_resource_days = KEY_RESOURCE;
        /// Additional requisite (дополнительный реквизит ОЗС, 1278).
        text additional_props = ADDITIONAL_PROPS_CS;
        /// Additional data (дополнительные данные ОЗС, 1279).
        raw additional_data = ADDITIONAL_DATA_CS;
        /// Unsent notifications (количество непереданных уведомлений, 2104).
        long unsent_notifications = UNSENT_NOTIFICATIONS;
        /// Bad codes (признак некорректных кодов маркировки, 2112).
        byte bad_codes = BAD_CODES;
        /// Bad requests (признак некорректных запросов и уведомлений, 2113).
        byte bad_requests = BAD_REQUESTS;
    }
}

document!(ShiftClose, ShiftCloseBuilder, [Form::CLOSE_SHIFT]);
stamped!(ShiftClose);

impl ShiftCloseBuilder {
    /// The shift with this number (1038), its receipts (1118) and all its documents, opening and closing among them
    /// (1111).
    pub fn new(version: FfdVersion, stamp: &Stamp, shift: u32, receipts: u32, documents: u32) -> Self {
        Self(stamp.document(version, Form::CLOSE_SHIFT))
            .shift(shift)
            .shift_receipts(receipts)
            .shift_documents(documents)
    }
}
