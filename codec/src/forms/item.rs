//! What stands inside a receipt about what was sold: items and the structures in them.
//!
//! Source: order ЕД-7-20/662@, the tables of tags 1059, 1071, 1163, 1223, 1224, 1260, 1261 and 1291;
//!         examples in testdata/golden.

use super::draft::Draft;
use super::requisites::{empty, requisites};
use crate::{Kopecks, Quantity, tags};

requisites! {
    /// One item (предмет расчета, 1059) or, until 1.1, its storno (1071).
    ///
    /// Shape:  up to 1024 bytes (328 in 1.0). Unit: kopecks for the whole quantity, after discounts.
    Item, ItemBuilder {
        /// Quantity (количество предмета расчета, 1023), a decimal.
        quantity quantity = QUANTITY;
        /// Name (наименование предмета расчета, 1030).
        text name = ITEM_NAME;
        /// Sum of the item (стоимость предмета расчета с учетом скидок и наценок, 1043), kopecks.
        money sum = ITEM_SUM;
        /// Price (цена за единицу предмета расчета с учетом скидок и наценок, 1079), kopecks.
        money price = PRICE;
        /// Barcode (штриховой код EAN13, 1080).
        text barcode = BARCODE;
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
        /// Product code (код товара, 1162).
        raw product_code = PRODUCT_CODE;
        /// Product code by its kind (код товара, 1163).
        nest(ProductCode, ProductCodeBuilder) code = PRODUCT_CODE_STLV;
        /// Item property (дополнительный реквизит предмета расчета, 1191).
        text item_property = ITEM_PROPERTY;
        /// Unit (единица измерения предмета расчета, 1197).
        text unit = UNIT;
        /// Tax of one unit (размер НДС за единицу предмета расчета, 1198), kopecks.
        money unit_vat = UNIT_VAT;
        /// Rate of tax (ставка НДС, 1199).
        code(VatRate) vat_rate = VAT_RATE;
        /// Tax of the item (сумма НДС за предмет расчета, 1200), kopecks.
        money vat_sum = ITEM_VAT_SUM;
        /// Payment subject (признак предмета расчета, 1212).
        code(PaymentSubject) payment_subject = PAYMENT_SUBJECT;
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
        /// Excise (акциз, 1229), kopecks.
        money excise = EXCISE;
        /// Country (код страны происхождения товара, 1230).
        text country = COUNTRY;
        /// Customs declaration (номер декларации на товар, 1231).
        text customs_declaration = CUSTOMS_DECLARATION;
        /// Item industry details (отраслевой реквизит предмета расчета, 1260).
        nests(IndustryDetail, IndustryDetailBuilder) industry_details = ITEM_INDUSTRY_DETAILS;
        /// Fraction (дробное количество маркированного товара, 1291).
        nest(Fraction, FractionBuilder) fraction = FRACTION;
        /// Code processing mode (режим обработки кода маркировки, 2102).
        byte code_processing_mode = CODE_PROCESSING_MODE;
        /// Item check result (результат проверки сведений о товаре, 2106).
        byte item_check_result = ITEM_CHECK_RESULT;
        /// Quantity measure (мера количества предмета расчета, 2108).
        byte quantity_measure = QUANTITY_MEASURE;
    }
}

impl ItemBuilder {
    /// An item with what every version demands: name (1030), price of one (1079), quantity (1023) and sum (1043).
    pub fn new(name: &str, price: Kopecks, quantity: Quantity, sum: Kopecks) -> Self {
        Self(Draft::default()).name(name).price(price).quantity(quantity).sum(sum)
    }

    /// An item of which nothing is said yet.
    pub fn blank() -> Self {
        Self(Draft::default())
    }
}

requisites! {
    /// Product code by its kind (код товара, 1163): one of them in a well-made item.
    ProductCode, ProductCodeBuilder {
        /// Code unknown (КТ Н, 1300).
        text unknown = CODE_UNKNOWN;
        /// Code ean8 (КТ EAN-8, 1301).
        text ean8 = CODE_EAN8;
        /// Code ean13 (КТ EAN-13, 1302).
        text ean13 = CODE_EAN13;
        /// Code itf14 (КТ ITF-14, 1303).
        text itf14 = CODE_ITF14;
        /// Code gs1 (КТ GS1.0, 1304).
        text gs1 = CODE_GS1;
        /// GS1 with marking (КТ GS1.М, 1305).
        text gs1m = CODE_GS1M;
        /// Code short (КТ КМК, 1306).
        text short = CODE_SHORT;
        /// Code fur (КТ МИ, 1307).
        text fur = CODE_FUR;
        /// Code egais2 (КТ ЕГАИС-2.0, 1308).
        text egais2 = CODE_EGAIS2;
        /// Code egais3 (КТ ЕГАИС-3.0, 1309).
        text egais3 = CODE_EGAIS3;
        /// Code f1 (КТ Ф.1, 1320).
        text f1 = CODE_F1;
        /// Code f2 (КТ Ф.2, 1321).
        text f2 = CODE_F2;
        /// Code f3 (КТ Ф.3, 1322).
        text f3 = CODE_F3;
        /// Code f4 (КТ Ф.4, 1323).
        text f4 = CODE_F4;
        /// Code f5 (КТ Ф.5, 1324).
        text f5 = CODE_F5;
        /// Code f6 (КТ Ф.6, 1325).
        text f6 = CODE_F6;
    }
}

empty!(ProductCodeBuilder);

requisites! {
    /// What an agent says of himself (данные агента, 1223).
    AgentData, AgentDataBuilder {
        /// Transfer operator address (адрес оператора перевода, 1005).
        text transfer_operator_address = TRANSFER_OPERATOR_ADDRESS;
        /// Transfer operator ИНН (ИНН оператора перевода, 1016).
        inn transfer_operator_inn = TRANSFER_OPERATOR_INN;
        /// Transfer operator name (наименование оператора перевода, 1026).
        text transfer_operator_name = TRANSFER_OPERATOR_NAME;
        /// Payment agent operation (операция банковского платежного агента, 1044).
        text payment_agent_operation = PAYMENT_AGENT_OPERATION;
        /// Payment agent phone (телефон платежного агента, 1073).
        texts payment_agent_phones = PAYMENT_AGENT_PHONE;
        /// Payment operator phone (телефон оператора по приему платежей, 1074).
        texts payment_operator_phones = PAYMENT_OPERATOR_PHONE;
        /// Transfer operator phone (телефон оператора перевода, 1075).
        texts transfer_operator_phones = TRANSFER_OPERATOR_PHONE;
    }
}
requisites! {
    /// The supplier behind an agent (данные поставщика, 1224).
    SupplierData, SupplierDataBuilder {
        /// Supplier phone (телефон поставщика, 1171).
        texts supplier_phones = SUPPLIER_PHONE;
        /// Supplier name (наименование поставщика, 1225).
        text name = SUPPLIER_NAME;
    }
}
requisites! {
    /// Industry detail of an item or a receipt (отраслевой реквизит, 1260 and 1261).
    IndustryDetail, IndustryDetailBuilder {
        /// Id foiv (идентификатор ФОИВ, 1262).
        text federal_body = ID_FOIV;
        /// Foundation doc date time (дата документа основания, 1263).
        text document_date = FOUNDATION_DOC_DATE_TIME;
        /// Foundation doc number (номер документа основания, 1264).
        text document_number = FOUNDATION_DOC_NUMBER;
        /// Industry prop value (значение отраслевого реквизита, 1265).
        text value = INDUSTRY_PROP_VALUE;
    }
}

impl IndustryDetailBuilder {
    /// All four parts: federal body (1262), date ДД.ММ.ГГГГ (1263) and number (1264) of its act, value (1265).
    pub fn new(federal_body: &str, document_date: &str, document_number: &str, value: &str) -> Self {
        Self(Draft::default())
            .federal_body(federal_body)
            .document_date(document_date)
            .document_number(document_number)
            .value(value)
    }
}

requisites! {
    /// Part of a marked package (дробное количество маркированного товара, 1291).
    Fraction, FractionBuilder {
        /// Fraction text (дробная часть, 1292).
        text text = FRACTION_TEXT;
        /// Numerator (числитель, 1293), a plain number.
        number numerator = NUMERATOR;
        /// Denominator (знаменатель, 1294), a plain number.
        number denominator = DENOMINATOR;
    }
}

impl FractionBuilder {
    /// Numerator (1293) and denominator (1294).
    pub fn new(numerator: u64, denominator: u64) -> Self {
        Self(Draft::default().with(tags::NUMERATOR, numerator).with(tags::DENOMINATOR, denominator))
    }
}

empty!(AgentDataBuilder);

empty!(SupplierDataBuilder);
