//! Receipts (кассовый чек, БСО) and their corrections: forms 3, 4, 31 and 41.
//!
//! Unit:   kopecks. Sums of tax are tax; those of the rates 0 % and none are turnover.
//! Invariants: tax by the rates of 2025 and 2026 stands in 1115, that of the older ones in tags of their own.
//! Source: order ЕД-7-20/662@, the tables of forms 3, 4, 31, 41 and of tags 1084, 1115, 1119, 1174,
//!         1234, 1235, 1256, 1270.

use super::draft::Draft;
use super::requisites::{document, empty, requisites, stamped};
use super::{Operation, Stamp, VatRate};
use crate::{FfdVersion, Form, Kopecks, LocalSeconds, tags};

requisites! {
    /// A receipt, a strict accounting form or a correction of one.
    Receipt, ReceiptBuilder {
        /// Transfer operator address (адрес оператора перевода, 1005).
        text transfer_operator_address = TRANSFER_OPERATOR_ADDRESS;
        /// Buyer contact (телефон или электронный адрес покупателя, 1008).
        text buyer_contact = BUYER_CONTACT;
        /// Retail place address (адрес расчетов, 1009).
        text retail_place_address = RETAIL_PLACE_ADDRESS;
        /// Bank agent fee (размер вознаграждения банковского агента, 1010), kopecks.
        money bank_agent_fee = BANK_AGENT_FEE;
        /// Transfer operator ИНН (ИНН оператора перевода, 1016).
        inn transfer_operator_inn = TRANSFER_OPERATOR_INN;
        /// Total sum (сумма расчета, указанного в чеке, 1020), kopecks.
        money total = TOTAL_SUM;
        /// Cashier (кассир, 1021).
        text cashier = CASHIER;
        /// Transfer operator name (наименование оператора перевода, 1026).
        text transfer_operator_name = TRANSFER_OPERATOR_NAME;
        /// Paid in cash (сумма по чеку, 1031), kopecks.
        money cash = CASH_SUM;
        /// Machine number (номер автомата, 1036).
        text machine_number = MACHINE_NUMBER;
        /// Shift number (номер смены, 1038).
        long shift = SHIFT_NUMBER;
        /// Number in shift (номер чека за смену, 1042).
        long number_in_shift = NUMBER_IN_SHIFT;
        /// Payment agent operation (операция банковского платежного агента, 1044).
        text payment_agent_operation = PAYMENT_AGENT_OPERATION;
        /// Bank subagent operation (операция банковского платежного субагента, 1045).
        text bank_subagent_operation = BANK_SUBAGENT_OPERATION;
        /// User name (наименование пользователя, 1048).
        text user_name = USER_NAME;
        /// Operation type (признак расчета, 1054).
        code(Operation) operation = OPERATION_TYPE;
        /// Applied taxation type (применяемая система налогообложения, 1055).
        code(TaxSystems) tax_system = APPLIED_TAXATION_TYPE;
        /// Agent flags (признак агента, 1057).
        code(AgentFlags) agent_flags = AGENT_FLAGS;
        /// Item (предмет расчета, 1059).
        nests(Item, ItemBuilder) items = ITEM;
        /// Fns site (адрес сайта ФНС, 1060).
        text fns_site = FNS_SITE;
        /// Storno item (сторно товара, 1071).
        nests(Item, ItemBuilder) storno_items = STORNO_ITEM;
        /// Payment agent phone (телефон платежного агента, 1073).
        texts payment_agent_phones = PAYMENT_AGENT_PHONE;
        /// Payment operator phone (телефон оператора по приему платежей, 1074).
        texts payment_operator_phones = PAYMENT_OPERATOR_PHONE;
        /// Transfer operator phone (телефон оператора перевода, 1075).
        texts transfer_operator_phones = TRANSFER_OPERATOR_PHONE;
        /// Paid cashless (сумма по чеку, 1081), kopecks.
        money ecash = ECASH_SUM;
        /// Payment subagent phone (телефон платежного субагента, 1083).
        texts payment_subagent_phone = PAYMENT_SUBAGENT_PHONE;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Tax at 20 % (сумма НДС чека по ставке 20%, 1102), kopecks.
        money vat_20 = VAT_20;
        /// Tax at 10 % (сумма НДС чека по ставке 10%, 1103), kopecks.
        money vat_10 = VAT_10;
        /// Turnover at 0 % (сумма расчета по чеку с НДС по ставке 0%, 1104), kopecks.
        money turnover_vat_0 = TURNOVER_VAT_0;
        /// Turnover without tax (сумма расчета по чеку без НДС, 1105), kopecks.
        money turnover_no_vat = TURNOVER_NO_VAT;
        /// Tax at 20/120 (сумма НДС чека по расч. ставке 20/120, 1106), kopecks.
        money vat_20_120 = VAT_20_120;
        /// Tax at 10/110 (сумма НДС чека по расч. ставке 10/110, 1107), kopecks.
        money vat_10_110 = VAT_10_110;
        /// Internet sign (признак ККТ для расчетов только в Интернет, 1108).
        flag internet_only = INTERNET_SIGN;
        /// Tax by rate, since 2025 (суммы НДС чека, 1115).
        nest(VatSums, VatSumsBuilder) vat_sums = RECEIPT_VAT_SUMS;
        /// Sender email (адрес электронной почты отправителя чека, 1117).
        text sender_email = SENDER_EMAIL;
        /// Internet payment (признак расчета в «Интернет», 1125).
        flag internet = INTERNET_PAYMENT;
        /// Supplier phone (телефон поставщика, 1171).
        texts supplier_phones = SUPPLIER_PHONE;
        /// Correction type (тип коррекции, 1173).
        code(CorrectionType) correction_type = CORRECTION_TYPE;
        /// Correction base (основание для коррекции, 1174).
        nest(CorrectionBase, CorrectionBaseBuilder) correction_base = CORRECTION_BASE;
        /// Retail place (место расчетов, 1187).
        text retail_place = RETAIL_PLACE;
        /// Receipt property (дополнительный реквизит чека, 1192).
        texts receipt_property = RECEIPT_PROPERTY;
        /// Cashier ИНН (ИНН кассира, 1203).
        inn cashier_inn = CASHIER_INN;
        /// Out of a prepayment (сумма по чеку, 1215), kopecks.
        money prepaid = PREPAID_SUM;
        /// On credit (сумма по чеку, 1216), kopecks.
        money credit = CREDIT_SUM;
        /// In kind (сумма по чеку, 1217), kopecks.
        money provision = PROVISION_SUM;
        /// Buyer name (покупатель, 1227).
        text name = BUYER_NAME;
        /// Buyer ИНН (ИНН покупателя, 1228).
        inn inn = BUYER_INN;
        /// Ecash payments (сведения обо всех оплатах по чеку безналичными, 1234).
        nest(EcashPayments, EcashPaymentsBuilder) ecash_payments = ECASH_PAYMENTS;
        /// Buyer data (сведения о покупателе, 1256).
        nest(BuyerData, BuyerDataBuilder) buyer_data = BUYER_DATA;
        /// Receipt industry details (отраслевой реквизит чека, 1261).
        nests(IndustryDetail, IndustryDetailBuilder) industry_details = RECEIPT_INDUSTRY_DETAILS;
        /// Operational details (операционный реквизит чека, 1270).
        nest(OperationalDetail, OperationalDetailBuilder) operational_detail = OPERATIONAL_DETAILS;
        /// Receipt check result (результаты проверки маркированных товаров, 2107).
        bytes receipt_check_result = RECEIPT_CHECK_RESULT;
    }
}

document!(
    Receipt,
    ReceiptBuilder,
    [Form::RECEIPT, Form::BSO, Form::RECEIPT_CORRECTION, Form::BSO_CORRECTION]
);
stamped!(Receipt);

impl Receipt<'_> {
    /// Whether this is a correction: form 31 or 41.
    #[must_use]
    pub fn is_correction(&self) -> bool {
        matches!(self.form(), Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION)
    }
}

/// What a receipt is besides its form: shift, number in it, direction, total.
///
/// Source: order ЕД-7-20/662@, tags 1038, 1042, 1054, 1020, required in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Number of the shift (1038).
    pub shift: u32,
    /// Number of the receipt in the shift (1042).
    pub number_in_shift: u32,
    /// Direction (1054).
    pub operation: Operation,
    /// Total (1020).
    pub total: Kopecks,
}

impl ReceiptBuilder {
    fn begin(version: FfdVersion, form: Form, stamp: &Stamp, settlement: &Settlement) -> Self {
        let Settlement { shift, number_in_shift, operation, total } = *settlement;
        Self(stamp.document(version, form))
            .shift(shift)
            .number_in_shift(number_in_shift)
            .operation(operation)
            .total(total)
    }

    /// A receipt (кассовый чек, form 3). Version 1.2 wants place and address, 1.05 and later an item besides.
    pub fn receipt(version: FfdVersion, stamp: &Stamp, settlement: &Settlement) -> Self {
        Self::begin(version, Form::RECEIPT, stamp, settlement)
    }

    /// A strict accounting form (БСО, form 4).
    pub fn bso(version: FfdVersion, stamp: &Stamp, settlement: &Settlement) -> Self {
        Self::begin(version, Form::BSO, stamp, settlement)
    }

    /// A correction receipt (кассовый чек коррекции, form 31) with its basis.
    pub fn receipt_correction(
        version: FfdVersion,
        stamp: &Stamp,
        settlement: &Settlement,
        base: CorrectionBaseBuilder,
    ) -> Self {
        Self::begin(version, Form::RECEIPT_CORRECTION, stamp, settlement).correction_base(base)
    }

    /// A correction of a strict accounting form (БСО коррекции, form 41) with its basis.
    pub fn bso_correction(
        version: FfdVersion,
        stamp: &Stamp,
        settlement: &Settlement,
        base: CorrectionBaseBuilder,
    ) -> Self {
        Self::begin(version, Form::BSO_CORRECTION, stamp, settlement).correction_base(base)
    }
}

requisites! {
    /// Tax by rate (суммы НДС чека, 1115), since the rates of 2025.
    VatSums, VatSumsBuilder {
        /// Tax of one rate (сумма НДС чека, 1119).
        nests(VatSum, VatSumBuilder) sums = RECEIPT_VAT;
    }
}

impl VatSumsBuilder {
    /// The sums of these rates.
    pub fn new(sums: impl IntoIterator<Item = (VatRate, Kopecks)>) -> Self {
        sums.into_iter()
            .fold(Self(Draft::default()), |all, (rate, sum)| all.sums(VatSumBuilder::new(rate, sum)))
    }
}

requisites! {
    /// Tax of one rate (сумма НДС по ставке, 1119).
    VatSum, VatSumBuilder {
        /// Tax (сумма НДС, 1120), kopecks.
        money sum = VAT_SUM;
        /// Rate of tax (ставка НДС, 1199).
        code(VatRate) vat_rate = VAT_RATE;
    }
}

impl VatSumBuilder {
    /// Rate (1199) and tax (1120).
    pub fn new(rate: VatRate, sum: Kopecks) -> Self {
        Self(Draft::default()).vat_rate(rate).sum(sum)
    }
}

requisites! {
    /// Why a correction was made (основание для коррекции, 1174).
    CorrectionBase, CorrectionBaseBuilder {
        /// Correction name (наименование основания для коррекции, 1177).
        text name = CORRECTION_NAME;
        /// Correction date (дата совершения корректируемого расчета, 1178), local time of the till.
        time date = CORRECTION_DATE;
        /// Correction number (номер предписания налогового органа, 1179).
        text number = CORRECTION_NUMBER;
    }
}

impl CorrectionBaseBuilder {
    /// The day that is corrected (1178), at 00:00:00 of the till's time.
    pub fn new(date: LocalSeconds) -> Self {
        Self(Draft::default()).date(date)
    }
}

requisites! {
    /// Cashless payments by their kind (сведения об оплате безналичными, 1234), since 2025.
    EcashPayments, EcashPaymentsBuilder {
        /// Ecash payment (сведения об оплате безналичными, 1235).
        nests(EcashPayment, EcashPaymentBuilder) payments = ECASH_PAYMENT;
    }
}

impl EcashPaymentsBuilder {
    /// These payments.
    pub fn new(payments: impl IntoIterator<Item = EcashPaymentBuilder>) -> Self {
        payments.into_iter().fold(Self(Draft::default()), Self::payments)
    }
}

requisites! {
    /// One cashless payment (1235).
    EcashPayment, EcashPaymentBuilder {
        /// Ecash payment sum (сумма оплаты безналичными, 1082), kopecks.
        money sum = ECASH_PAYMENT_SUM;
        /// Ecash payment method (признак способа оплаты безналичными, 1236).
        byte method = ECASH_PAYMENT_METHOD;
        /// Ecash payment ids (идентификаторы безналичной оплаты, 1237).
        text ids = ECASH_PAYMENT_IDS;
        /// Ecash payment details (дополнительные сведения о безналичной оплате, 1238).
        text details = ECASH_PAYMENT_DETAILS;
    }
}

impl EcashPaymentBuilder {
    /// Sum (1082), method (1236) and identifiers (1237), all demanded.
    pub fn new(sum: Kopecks, method: u8, ids: &str) -> Self {
        Self(Draft::default()).sum(sum).method(method).ids(ids)
    }
}

requisites! {
    /// The buyer (сведения о покупателе, 1256), version 1.2.
    BuyerData, BuyerDataBuilder {
        /// Buyer name (покупатель, 1227).
        text name = BUYER_NAME;
        /// Buyer ИНН (ИНН покупателя, 1228).
        inn inn = BUYER_INN;
        /// Buyer birthday (дата рождения покупателя, 1243).
        text birthday = BUYER_BIRTHDAY;
        /// Buyer citizenship (гражданство, 1244).
        text citizenship = BUYER_CITIZENSHIP;
        /// Buyer document code (код вида документа, удостоверяющего личность, 1245).
        text document_code = BUYER_DOCUMENT_CODE;
        /// Buyer document data (данные документа, удостоверяющего личность, 1246).
        text document_data = BUYER_DOCUMENT_DATA;
        /// Buyer address (адрес покупателя, 1254).
        text address = BUYER_ADDRESS;
    }
}

empty!(BuyerDataBuilder);

requisites! {
    /// Operational detail of a receipt (операционный реквизит чека, 1270).
    OperationalDetail, OperationalDetailBuilder {
        /// Operation id (идентификатор операции, 1271).
        byte id = OPERATION_ID;
        /// Operation data (данные операции, 1272).
        text data = OPERATION_DATA;
        /// Operation date time (дата, время операции, 1273), local time of the till.
        time date_time = OPERATION_DATE_TIME;
    }
}

impl OperationalDetailBuilder {
    /// Identifier (1271), data (1272) and time (1273) of the operation.
    pub fn new(id: u8, data: &str, date_time: LocalSeconds) -> Self {
        Self(Draft::default()).id(id).data(data).date_time(date_time)
    }
}

requisites! {
    /// A requisite of the user's own (дополнительный реквизит пользователя, 1084).
    Property, PropertyBuilder {
        /// User property name (наименование дополнительного реквизита пользователя, 1085).
        text name = USER_PROPERTY_NAME;
        /// User property value (значение дополнительного реквизита пользователя, 1086).
        text value = USER_PROPERTY_VALUE;
    }
}

impl PropertyBuilder {
    /// Name (1085) and value (1086).
    pub fn new(name: &str, value: &str) -> Self {
        Self(Draft::default().with(tags::USER_PROPERTY_NAME, name).with(tags::USER_PROPERTY_VALUE, value))
    }
}
