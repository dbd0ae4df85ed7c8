//! The marking exchange of version 1.2: forms 81 to 84.
//!
//! Source: order ЕД-7-20/662@, the tables of forms 81-84 and tag 2007.
//! They are numbered apart (2001, 2002) and have no fiscal sign of their own.

use super::draft::Draft;
use super::requisites::{document, requisites};
use super::{MarkingStamp, Operation, TaxSystems};
use crate::{FfdVersion, Form, Kopecks, LocalSeconds};

requisites! {
    /// A request about a marking code (запрос о коде маркировки, form 81).
    MarkingRequest, MarkingRequestBuilder {
        /// User ИНН (ИНН пользователя, 1018).
        inn user_inn = USER_INN;
        /// Quantity (количество предмета расчета, 1023), a decimal.
        quantity quantity = QUANTITY;
        /// Fraction (дробное количество маркированного товара, 1291).
        nest(Fraction, FractionBuilder) fraction = FRACTION;
        /// Marking code (код маркировки, 2000).
        text marking_code = MARKING_CODE;
        /// Request serial (номер запроса, 2001).
        long request_serial = REQUEST_SERIAL;
        /// Planned status (планируемый статус товара, 2003).
        byte planned_status = PLANNED_STATUS;
        /// Code check result (результат проверки КМ, 2004).
        byte code_check_result = CODE_CHECK_RESULT;
        /// Marking code type (тип кода маркировки, 2100).
        byte marking_code_type = MARKING_CODE_TYPE;
        /// Code processing mode (режим обработки кода маркировки, 2102).
        byte code_processing_mode = CODE_PROCESSING_MODE;
        /// Quantity measure (мера количества предмета расчета, 2108).
        byte quantity_measure = QUANTITY_MEASURE;
        /// Request date time (дата и время запроса, 2114), local time of the till.
        time request_date_time = REQUEST_DATE_TIME;
    }
}

document!(MarkingRequest, MarkingRequestBuilder, [Form::MARKING_REQUEST]);

impl MarkingRequestBuilder {
    /// Request `serial` (2001) about a code (2000) of a type (2100), the goods being meant to get a status (2003).
    pub fn new(stamp: &MarkingStamp, serial: u32, code: &str, code_type: u8, planned_status: u8) -> Self {
        Self(stamp.document(Form::MARKING_REQUEST))
            .request_serial(serial)
            .marking_code(code)
            .marking_code_type(code_type)
            .planned_status(planned_status)
            .request_date_time(stamp.date_time)
    }
}

requisites! {
    /// A notification of a sale (уведомление о реализации маркированного товара, form 82).
    MarkingNotification, MarkingNotificationBuilder {
        /// Retail place address (адрес расчетов, 1009).
        text retail_place_address = RETAIL_PLACE_ADDRESS;
        /// Time zone (часовая зона, 1011).
        byte time_zone = TIME_ZONE;
        /// Date time (дата, время, 1012), local time of the till.
        time date_time = DATE_TIME;
        /// User ИНН (ИНН пользователя, 1018).
        inn user_inn = USER_INN;
        /// Operation type (признак расчета, 1054).
        code(Operation) operation = OPERATION_TYPE;
        /// Applied taxation type (применяемая система налогообложения, 1055).
        code(TaxSystems) tax_system = APPLIED_TAXATION_TYPE;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Internet payment (признак расчета в «Интернет», 1125).
        flag internet = INTERNET_PAYMENT;
        /// Buyer ИНН (ИНН покупателя, 1228).
        inn inn = BUYER_INN;
        /// Receipt industry details (отраслевой реквизит чека, 1261).
        nests(IndustryDetail, IndustryDetailBuilder) industry_details = RECEIPT_INDUSTRY_DETAILS;
        /// Notification serial (номер уведомления, 2002).
        long notification_serial = NOTIFICATION_SERIAL;
        /// Marked item (данные о маркированном товаре, 2007).
        nests(MarkedItem, MarkedItemBuilder) items = MARKED_ITEM;
        /// Receipt number (номер ФД кассового чека, 2040).
        long receipt_number = RECEIPT_NUMBER;
        /// Operation kind (вид операции, 2116).
        byte operation_kind = OPERATION_KIND;
    }
}

document!(MarkingNotification, MarkingNotificationBuilder, [Form::MARKING_NOTIFICATION]);

impl MarkingNotificationBuilder {
    /// Notification `serial` (2002) of a sale in a zone (1011), which receipt (2040) tells of.
    pub fn new(
        stamp: &MarkingStamp,
        serial: u32,
        operation: Operation,
        tax_system: TaxSystems,
        time_zone: u8,
        receipt_number: u32,
    ) -> Self {
        Self(stamp.document(Form::MARKING_NOTIFICATION))
            .notification_serial(serial)
            .date_time(stamp.date_time)
            .operation(operation)
            .tax_system(tax_system)
            .time_zone(time_zone)
            .receipt_number(receipt_number)
    }
}

requisites! {
    /// Marked goods of a notification (данные о маркированном товаре, 2007).
    MarkedItem, MarkedItemBuilder {
        /// Quantity (количество предмета расчета, 1023), a decimal.
        quantity quantity = QUANTITY;
        /// Name (наименование предмета расчета, 1030).
        text name = ITEM_NAME;
        /// Sum of the item (стоимость предмета расчета с учетом скидок и наценок, 1043), kopecks.
        money sum = ITEM_SUM;
        /// Price (цена за единицу предмета расчета с учетом скидок и наценок, 1079), kopecks.
        money price = PRICE;
        /// Rate of tax (ставка НДС, 1199).
        code(VatRate) vat_rate = VAT_RATE;
        /// Tax of the item (сумма НДС за предмет расчета, 1200), kopecks.
        money vat_sum = ITEM_VAT_SUM;
        /// Payment method (признак способа расчета, 1214).
        code(PaymentMethod) payment_method = PAYMENT_METHOD;
        /// Item agent flags (признак агента по предмету расчета, 1222).
        code(AgentFlags) agent_flags = ITEM_AGENT_FLAGS;
        /// Agent data (данные агента, 1223).
        nest(AgentData, AgentDataBuilder) agent = AGENT_DATA;
        /// Supplier data (данные поставщика, 1224).
        nest(SupplierData, SupplierDataBuilder) supplier = SUPPLIER_DATA;
        /// Supplier ИНН (ИНН поставщика, 1226).
        inn supplier_inn = SUPPLIER_INN;
        /// Item industry details (отраслевой реквизит предмета расчета, 1260).
        nests(IndustryDetail, IndustryDetailBuilder) industry_details = ITEM_INDUSTRY_DETAILS;
        /// Fraction (дробное количество маркированного товара, 1291).
        nest(Fraction, FractionBuilder) fraction = FRACTION;
        /// Marking code (код маркировки, 2000).
        text marking_code = MARKING_CODE;
        /// Marking code type (тип кода маркировки, 2100).
        byte marking_code_type = MARKING_CODE_TYPE;
        /// Product id (идентификатор товара, 2101).
        text product_id = PRODUCT_ID;
        /// Code processing mode (режим обработки кода маркировки, 2102).
        byte code_processing_mode = CODE_PROCESSING_MODE;
        /// Item check result (результат проверки сведений о товаре, 2106).
        byte item_check_result = ITEM_CHECK_RESULT;
        /// Quantity measure (мера количества предмета расчета, 2108).
        byte quantity_measure = QUANTITY_MEASURE;
        /// Assigned status (присвоенный статус товара, 2110).
        byte assigned_status = ASSIGNED_STATUS;
        /// Code control (контрольный код КМ, 2115).
        text code_control = CODE_CONTROL;
    }
}

impl MarkedItemBuilder {
    /// Goods with a marking code (2000) of a type (2100), a name (1030) and a sum (1043).
    pub fn new(code: &str, code_type: u8, name: &str, sum: Kopecks) -> Self {
        Self(Draft::default()).marking_code(code).marking_code_type(code_type).name(name).sum(sum)
    }
}

requisites! {
    /// The answer to a request (ответ на запрос, form 83).
    MarkingAnswer, MarkingAnswerBuilder {
        /// Request serial (номер запроса, 2001).
        long request_serial = REQUEST_SERIAL;
        /// Request results (результаты обработки запроса, 2005).
        byte request_results = REQUEST_RESULTS;
        /// Marking code type (тип кода маркировки, 2100).
        byte marking_code_type = MARKING_CODE_TYPE;
        /// Product id (идентификатор товара, 2101).
        text product_id = PRODUCT_ID;
        /// Code processing mode (режим обработки кода маркировки, 2102).
        byte code_processing_mode = CODE_PROCESSING_MODE;
        /// Request status (коды обработки запроса, 2105).
        byte request_status = REQUEST_STATUS;
        /// Status answer (ответ ОИСМ о статусе товара, 2109).
        byte status_answer = STATUS_ANSWER;
        /// Request date time (дата и время запроса, 2114), local time of the till.
        time request_date_time = REQUEST_DATE_TIME;
    }
}

document!(MarkingAnswer, MarkingAnswerBuilder, [Form::MARKING_ANSWER]);

impl MarkingAnswerBuilder {
    /// The answer to request `serial` (2001) with a status (2105), at a time (2114).
    pub fn new(serial: u32, status: u8, date_time: LocalSeconds) -> Self {
        Self(Draft::document(FfdVersion::V1_2, Form::MARKING_ANSWER))
            .request_serial(serial)
            .request_status(status)
            .request_date_time(date_time)
    }
}

requisites! {
    /// The receipt for a notification (квитанция на уведомление, form 84).
    MarkingReceipt, MarkingReceiptBuilder {
        /// Date time (дата, время, 1012), local time of the till.
        time date_time = DATE_TIME;
        /// Notification serial (номер уведомления, 2002).
        long notification_serial = NOTIFICATION_SERIAL;
        /// Notification results (результаты обработки уведомления, 2006).
        byte notification_results = NOTIFICATION_RESULTS;
        /// Notification status (коды обработки уведомления, 2111).
        byte notification_status = NOTIFICATION_STATUS;
    }
}

document!(MarkingReceipt, MarkingReceiptBuilder, [Form::MARKING_RECEIPT]);

impl MarkingReceiptBuilder {
    /// The receipt for notification `serial` (2002) with a status (2111), at a time (1012).
    pub fn new(serial: u32, status: u8, date_time: LocalSeconds) -> Self {
        Self(Draft::document(FfdVersion::V1_2, Form::MARKING_RECEIPT))
            .notification_serial(serial)
            .notification_status(status)
            .date_time(date_time)
    }
}
