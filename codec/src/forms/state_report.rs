//! The state of settlements: form 21.
//!
//! Source: order ЕД-7-20/662@, the tables of form 21.

use super::Stamp;
use super::requisites::{document, requisites, stamped};
use crate::{FfdVersion, Form};

requisites! {
    /// What is not yet confirmed (отчет о текущем состоянии расчетов, form 21).
    StateReport, StateReportBuilder {
        /// Offline mode (признак автономного режима, 1002).
        flag offline = OFFLINE_MODE;
        /// Shift number (номер смены, 1038).
        long shift = SHIFT_NUMBER;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Unsent documents (количество непереданных ФД, 1097).
        long unsent_documents = UNSENT_DOCUMENTS;
        /// Unsent since (дата первого из непереданных ФД, 1098), local time of the till.
        time unsent_since = UNSENT_SINCE;
        /// Unsent first (номер первого непереданного документа, 1116).
        long unsent_first = UNSENT_FIRST;
        /// Drive counters (счетчики итогов ФН, 1157).
        nest(Counters, CountersBuilder) drive_counters = DRIVE_COUNTERS;
        /// Unsent counters (счетчики итогов непереданных ФД, 1158).
        nest(UnsentCounters, UnsentCountersBuilder) unsent_counters = UNSENT_COUNTERS;
        /// Key resource (ресурс ключей ФП, 1213).
        word key_resource_days = KEY_RESOURCE;
        /// Additional requisite (дополнительный реквизит ОТР, 1280).
        text additional_props = ADDITIONAL_PROPS_CSR;
        /// Additional data (дополнительные данные ОТР, 1281).
        raw additional_data = ADDITIONAL_DATA_CSR;
        /// Unsent notifications (количество непереданных уведомлений, 2104).
        long unsent_notifications = UNSENT_NOTIFICATIONS;
    }
}

document!(StateReport, StateReportBuilder, [Form::CURRENT_STATE]);
stamped!(StateReport);

impl StateReportBuilder {
    /// A report with nothing but its stamp.
    pub fn new(version: FfdVersion, stamp: &Stamp) -> Self {
        Self(stamp.document(version, Form::CURRENT_STATE))
    }
}
