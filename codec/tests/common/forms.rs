//! A full document of every form and version, out of the builders, and what was put into it.

use ofd_codec::forms::{
    AgentDataBuilder, AgentFlags, AnswerCode, ArchiveCloseBuilder, BuyerDataBuilder, ChangeReasons,
    ConfirmationBuilder, Confirmed, CorrectionBaseBuilder, CorrectionCountersBuilder,
    CorrectionTurnoverBuilder, CorrectionType, CountersBuilder, FractionBuilder, IndustryDetailBuilder,
    ItemBuilder, MarkedItemBuilder, MarkingAnswerBuilder, MarkingNotificationBuilder, MarkingReceiptBuilder,
    MarkingRequestBuilder, MarkingStamp, Operation, OperationalDetailBuilder, PaymentMethod, PaymentSubject,
    ProductCodeBuilder, PropertyBuilder, ReceiptBuilder, RegisterFacts, RegistrationBuilder, Settlement,
    ShiftCloseBuilder, ShiftOpenBuilder, Stamp, StateReportBuilder, SupplierDataBuilder, TaxSystems,
    TurnoverBuilder, UnsentCountersBuilder, UsageConditions, VatRate, VatSumsBuilder,
};
use ofd_codec::{
    DocumentNumber, DriveNumber, FfdVersion, FiscalSign, Form, Inn, Kopecks, LocalSeconds, Quantity,
    RegistrationNumber,
};

/// 2026-03-14 12:30:00 on the till.
pub(crate) const NOON: u32 = 1_773_491_400;
/// Factory number of the invented register.
pub(crate) const FACTORY: &str = "00106900000001";
pub(crate) const ADDRESS: &str = "101000, г. Москва, ул. Ничья, д. 1";
pub(crate) const PLACE: &str = "Лавка у дома";
pub(crate) const ONE: Quantity = Quantity { mantissa: 1, scale: 0 };

pub(crate) fn drive() -> DriveNumber {
    DriveNumber::parse("9999078900451207").unwrap()
}

pub(crate) fn user() -> Inn {
    Inn::parse("7701234560").unwrap()
}

/// The stamp of one document; drives of version 1.0 had shorter numbers.
pub(crate) fn stamp(version: FfdVersion, number: u32) -> Stamp {
    let [a, b, c, d] = number.wrapping_mul(0x9E37_79B1).to_be_bytes();
    let drive =
        if version == FfdVersion::V1_0 { DriveNumber::parse("99990789004512").unwrap() } else { drive() };
    Stamp {
        drive,
        registration: RegistrationNumber::for_register(*b"0000451207", "7701234560", FACTORY).unwrap(),
        user_inn: user(),
        number: DocumentNumber(number),
        date_time: LocalSeconds(NOON + number * 60),
        sign: FiscalSign([0x21, 0x04, a, b, c, d]),
    }
}

/// Two lines: 159.00 by the new main rate, 255.27 by 10 %.
pub(crate) fn items(version: FfdVersion) -> [ItemBuilder; 2] {
    let tea = ItemBuilder::new(
        "Чай \"Ёлочка\" № 5",
        Kopecks(15_900),
        Quantity { mantissa: 1_000, scale: 3 },
        Kopecks(15_900),
    );
    let apples = ItemBuilder::new(
        "Яблоки",
        Kopecks(20_000),
        Quantity { mantissa: 1_276_350, scale: 6 },
        Kopecks(25_527),
    );
    if version == FfdVersion::V1_0 {
        return [tea.turnover_no_vat(Kopecks(15_900)), apples.vat_10(Kopecks(2_321))];
    }
    let both = |item: ItemBuilder, rate, vat| {
        item.vat_rate(rate)
            .vat_sum(Kopecks(vat))
            .payment_method(PaymentMethod::FULL)
            .payment_subject(PaymentSubject::GOODS)
    };
    let (tea, apples) = (both(tea, VatRate::VAT_22, 2_867), both(apples, VatRate::VAT_10, 2_321));
    if version == FfdVersion::V1_2 {
        [tea.quantity_measure(0), apples.quantity_measure(11)]
    } else {
        [tea.unit("шт"), apples.unit("кг")]
    }
}

/// Receipts of all four kinds.
pub(crate) fn receipt(version: FfdVersion, form: Form, number: u32) -> ReceiptBuilder {
    let stamp = stamp(version, number);
    let settlement = Settlement {
        shift: 7,
        number_in_shift: number - 30,
        operation: Operation::SALE,
        total: Kopecks(41_427),
    };
    let base = || CorrectionBaseBuilder::new(LocalSeconds(NOON - 86_400 - NOON % 86_400)).number("12-АБ/34");
    let begun = match form {
        Form::RECEIPT => ReceiptBuilder::receipt(version, &stamp, &settlement),
        Form::BSO => ReceiptBuilder::bso(version, &stamp, &settlement),
        Form::RECEIPT_CORRECTION => ReceiptBuilder::receipt_correction(version, &stamp, &settlement, base()),
        Form::BSO_CORRECTION => ReceiptBuilder::bso_correction(version, &stamp, &settlement, base()),
        other => panic!("{other} is no receipt"),
    };
    let correction = matches!(form, Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION);
    let begun = if correction { begun.correction_type(CorrectionType::ORDERED) } else { begun };
    // Corrections have items from 1.1 on, and none of 1.0 has anything but sums.
    let begun = if correction && version < FfdVersion::V1_1 {
        begun
    } else {
        items(version).into_iter().fold(begun, ReceiptBuilder::items)
    };
    let begun = begun
        .cash(Kopecks(0))
        .ecash(Kopecks(41_427))
        .tax_system(TaxSystems::GENERAL)
        .user_name("ООО \"Пример\"")
        .cashier("Кассир Образцова");
    if version == FfdVersion::V1_0 {
        return if correction {
            begun
        } else {
            begun.turnover_no_vat(Kopecks(15_900)).vat_10(Kopecks(2_321)).retail_place_address(ADDRESS)
        };
    }
    let begun = begun
        .prepaid(Kopecks(0))
        .credit(Kopecks(0))
        .provision(Kopecks(0))
        .cashier_inn(Inn::parse("770123456703").unwrap())
        .retail_place_address(ADDRESS)
        .retail_place(PLACE)
        .vat_10(Kopecks(2_321));
    // A correction of 1.05 has no place for the rates of 2025.
    if correction && version == FfdVersion::V1_05 {
        begun.vat_20(Kopecks(2_867))
    } else {
        begun.vat_sums(VatSumsBuilder::new([(VatRate::VAT_22, Kopecks(2_867))]))
    }
}

/// A sale of half a marked package to a named buyer, with everything that version 1.2 lets a receipt say.
pub(crate) fn marked(number: u32) -> ReceiptBuilder {
    let version = FfdVersion::V1_2;
    let settlement = Settlement {
        shift: 7,
        number_in_shift: number - 30,
        operation: Operation::SALE,
        total: Kopecks(10_000),
    };
    let law = |body, date, number| IndustryDetailBuilder::new(body, date, number, "UUID=00&Time=0");
    let milk = ItemBuilder::new("Молоко", Kopecks(10_000), ONE, Kopecks(10_000))
        .vat_rate(VatRate::VAT_10)
        .vat_sum(Kopecks(909))
        .payment_method(PaymentMethod::FULL)
        .payment_subject(PaymentSubject::MARKED_GOODS)
        .quantity_measure(0)
        .code(ProductCodeBuilder::new().gs1m("0104600000000017215ABCdefGHIJKL"))
        .fraction(FractionBuilder::new(1, 2))
        .industry_details(law("020", "26.03.2022", "477"))
        .industry_details(law("030", "21.11.2023", "1944"))
        .code_processing_mode(0)
        .item_check_result(15);
    ReceiptBuilder::receipt(version, &stamp(version, number), &settlement)
        .items(milk)
        .buyer_contact("+70000000009")
        .sender_email("kassa@primer.example")
        .buyer_data(BuyerDataBuilder::new().name("АО \"Покупатель\"").inn(Inn::parse("7709876545").unwrap()))
        .operational_detail(OperationalDetailBuilder::new(0, "ДАННЫЕ", LocalSeconds(NOON)))
        .cash(Kopecks(10_000))
        .ecash(Kopecks(0))
        .prepaid(Kopecks(0))
        .credit(Kopecks(0))
        .provision(Kopecks(0))
        .tax_system(TaxSystems::SIMPLIFIED_INCOME)
        .vat_10(Kopecks(909))
        .retail_place_address(ADDRESS)
        .retail_place("www.primer.example")
        .internet(true)
}

/// An agent's sale in version 1.05: two phones of the supplier, a product code, a requisite of the user's own.
pub(crate) fn agent(number: u32) -> ReceiptBuilder {
    let version = FfdVersion::V1_05;
    let settlement = Settlement {
        shift: 7,
        number_in_shift: number - 30,
        operation: Operation::SALE,
        total: Kopecks(50_000),
    };
    let service = ItemBuilder::new("Услуга агента", Kopecks(50_000), ONE, Kopecks(50_000))
        .vat_rate(VatRate::NO_VAT)
        .payment_method(PaymentMethod::FULL)
        .payment_subject(PaymentSubject::SERVICE)
        .agent_flags(AgentFlags::PAYMENT_AGENT)
        .agent(
            AgentDataBuilder::new()
                .payment_agent_phones("+70000000004")
                .payment_operator_phones("+70000000005"),
        )
        .supplier(
            SupplierDataBuilder::new()
                .supplier_phones("+70000000001")
                .supplier_phones("+70000000002")
                .name("ООО \"Поставщик\""),
        )
        .supplier_inn(user())
        // Prefix 45 0D of EAN-13, then the number.
        .product_code(&[0x45, 0x0D, 0x04, 0x2F, 0x13, 0x2A, 0x40, 0x51])
        .excise(Kopecks(0));
    ReceiptBuilder::receipt(version, &stamp(version, number), &settlement)
        .items(service)
        .agent_flags(AgentFlags::PAYMENT_AGENT)
        .payment_agent_phones("+70000000003")
        .cash(Kopecks(0))
        .ecash(Kopecks(50_000))
        .prepaid(Kopecks(0))
        .credit(Kopecks(0))
        .provision(Kopecks(0))
        .turnover_no_vat(Kopecks(50_000))
        .tax_system(TaxSystems::PATENT)
        .property(PropertyBuilder::new("Код", "А\"\\1"))
        .retail_place_address(ADDRESS)
        .retail_place(PLACE)
        .cashier("Кассир Образцова")
}

pub(crate) fn registration(version: FfdVersion, form: Form, number: u32) -> RegistrationBuilder {
    let facts = RegisterFacts {
        user_name: "ООО \"Пример\"",
        address: ADDRESS,
        place: PLACE,
        cashier: "Кассир Образцова",
        factory_number: FACTORY,
        kkt_version: "5.8.100",
        automatic: false,
        offline: false,
        encrypted: false,
    };
    let stamp = stamp(version, number);
    let begun = if form == Form::REGISTRATION {
        RegistrationBuilder::registration(version, &stamp, &facts)
    } else {
        let reasons = ChangeReasons::USER_NAME | ChangeReasons::TAX_SYSTEMS;
        RegistrationBuilder::reregistration(version, &stamp, &facts, reasons)
    };
    let begun = begun
        .ofd_inn(Inn::parse("7700001002").unwrap())
        .tax_systems(TaxSystems::GENERAL | TaxSystems::PATENT);
    if version == FfdVersion::V1_0 {
        return begun.internet_only(false).services_only(false).bso_system(false);
    }
    let begun = begun
        .ofd_name("Оператор")
        .fns_site("www.nalog.gov.ru")
        .sender_email("kassa@primer.example")
        .key_resource_days(410);
    if version == FfdVersion::V1_2 {
        return begun.usage_conditions(UsageConditions::EXCISE_GOODS | UsageConditions::MARKED_GOODS);
    }
    begun
        .internet_only(false)
        .services_only(false)
        .bso_system(false)
        .lottery(false)
        .gambling(false)
        .excise_goods(false)
        .printer_in_machine(false)
}

/// Counters four levels deep: document, 1157, 1133, 1145.
pub(crate) fn counters() -> CountersBuilder {
    let sales = TurnoverBuilder::new()
        .receipts(2)
        .cash(Kopecks(10_000))
        .ecash(Kopecks(90_730))
        .vat_10(Kopecks(2_321))
        .total(Kopecks(100_730));
    let corrections = CorrectionTurnoverBuilder::new().receipts(1).cash(Kopecks(0)).total(Kopecks(0));
    CountersBuilder::new()
        .receipts(3)
        .sales(sales)
        .sale_returns(TurnoverBuilder::new().receipts(0))
        .corrections(CorrectionCountersBuilder::new().count(1).sales(corrections))
}

pub(crate) fn open_shift(version: FfdVersion, number: u32) -> ShiftOpenBuilder {
    let begun = ShiftOpenBuilder::new(version, &stamp(version, number), 7).cashier("Кассир Образцова");
    if version == FfdVersion::V1_0 {
        return begun;
    }
    begun
        .drive_running_out(false)
        .drive_replace_now(false)
        .drive_memory_full(false)
        .operator_silent(true)
        .cashier_inn(Inn::parse("770123456703").unwrap())
        .kkt_version("5.8.100")
        .kkt_ffd_version(version.code())
}

pub(crate) fn close_shift(version: FfdVersion, number: u32) -> ShiftCloseBuilder {
    let begun = ShiftCloseBuilder::new(version, &stamp(version, number), 7, 3, 5)
        .unsent_documents(1)
        .unsent_since(LocalSeconds(NOON))
        .drive_running_out(false)
        .drive_replace_now(false)
        .drive_memory_full(false)
        .operator_silent(false)
        .cashier("Кассир Образцова");
    if version < FfdVersion::V1_1 {
        return begun;
    }
    let begun = begun.counters(counters()).drive_counters(counters()).key_resource_days(12);
    if version == FfdVersion::V1_2 { begun.unsent_notifications(1) } else { begun }
}

pub(crate) fn state(version: FfdVersion, number: u32) -> StateReportBuilder {
    let begun = StateReportBuilder::new(version, &stamp(version, number))
        .offline(false)
        .unsent_documents(3)
        .unsent_since(LocalSeconds(NOON))
        .unsent_first(number - 3);
    if version < FfdVersion::V1_1 {
        return begun;
    }
    let begun = begun.drive_counters(counters());
    if version == FfdVersion::V1_2 {
        let corrections = CorrectionTurnoverBuilder::new().receipts(1).cash(Kopecks(100)).total(Kopecks(100));
        let unsent = UnsentCountersBuilder::new().corrections_count(1).sale_corrections(corrections);
        begun.unsent_counters(unsent).key_resource_days(12)
    } else {
        begun
    }
}

pub(crate) fn close_archive(version: FfdVersion, number: u32) -> ArchiveCloseBuilder {
    let begun = ArchiveCloseBuilder::new(version, &stamp(version, number), 7).cashier("Кассир Образцова");
    if version == FfdVersion::V1_0 {
        return begun;
    }
    let begun = begun.user_name("ООО \"Пример\"").retail_place_address(ADDRESS).retail_place(PLACE);
    if version < FfdVersion::V1_1 { begun } else { begun.drive_counters(counters()) }
}

pub(crate) fn confirmation(version: FfdVersion, number: u32) -> ConfirmationBuilder {
    answered(version, number, AnswerCode::ACCEPTED)
}

pub(crate) fn answered(version: FfdVersion, number: u32, answer: AnswerCode) -> ConfirmationBuilder {
    ConfirmationBuilder::new(
        version,
        &Confirmed {
            operator_inn: Inn::parse("7700001002").unwrap(),
            operator_sign: [0x88, 6, 0, 0, 0, 0, 0, 0],
            drive: stamp(version, number).drive,
            number: DocumentNumber(number),
            accepted_at: LocalSeconds(NOON + 7),
            answer,
        },
    )
}

pub(crate) fn marking_stamp() -> MarkingStamp {
    MarkingStamp { drive: drive(), user_inn: user(), date_time: LocalSeconds(NOON) }
}

const CODE: &str = "0104600000000017215ABCdefGHIJKL";

pub(crate) fn marking_request() -> MarkingRequestBuilder {
    MarkingRequestBuilder::new(&marking_stamp(), 5, CODE, 5, 1).code_check_result(3).code_processing_mode(0)
}

pub(crate) fn marking_notification() -> MarkingNotificationBuilder {
    let item = MarkedItemBuilder::new(CODE, 5, "Молоко", Kopecks(10_000))
        .price(Kopecks(10_000))
        .vat_rate(VatRate::VAT_10)
        .vat_sum(Kopecks(909))
        .payment_method(PaymentMethod::FULL)
        .product_id("04600000000017")
        .code_processing_mode(0)
        .item_check_result(15)
        .assigned_status(1)
        .code_control("abcd");
    let begun = MarkingNotificationBuilder::new(
        &marking_stamp(),
        3,
        Operation::SALE,
        TaxSystems::SIMPLIFIED_INCOME,
        2,
        45,
    );
    begun.operation_kind(1).retail_place_address(ADDRESS).items(item)
}

pub(crate) fn marking_answer() -> MarkingAnswerBuilder {
    MarkingAnswerBuilder::new(5, 0, LocalSeconds(NOON))
        .request_results(15)
        .marking_code_type(5)
        .product_id("04600000000017")
        .code_processing_mode(0)
        .status_answer(1)
}

pub(crate) fn marking_receipt() -> MarkingReceiptBuilder {
    MarkingReceiptBuilder::new(3, 0, LocalSeconds(NOON)).notification_results(0)
}

/// One document of each form that each version has: version, form, number, plain TLV.
pub(crate) fn every_form() -> Vec<(FfdVersion, Form, u32, Vec<u8>)> {
    let mut all = Vec::new();
    for version in FfdVersion::ALL {
        let mut add = |form, number, plain: Result<Vec<u8>, ofd_codec::EncodeError>| {
            let plain = plain.unwrap_or_else(|error| panic!("{form} of {version}: {error}"));
            all.push((version, form, number, plain));
        };
        for (form, number) in [(Form::REGISTRATION, 1), (Form::REREGISTRATION, 50)] {
            add(form, number, registration(version, form, number).finish());
        }
        add(Form::OPEN_SHIFT, 40, open_shift(version, 40).finish());
        for (form, number) in
            [(Form::RECEIPT, 44), (Form::BSO, 45), (Form::RECEIPT_CORRECTION, 46), (Form::BSO_CORRECTION, 47)]
        {
            add(form, number, receipt(version, form, number).finish());
        }
        add(Form::CURRENT_STATE, 61, state(version, 61).finish());
        add(Form::CLOSE_SHIFT, 62, close_shift(version, 62).finish());
        add(Form::CLOSE_ARCHIVE, 70, close_archive(version, 70).finish());
        add(Form::CONFIRMATION, 44, confirmation(version, 44).finish());
    }
    let version = FfdVersion::V1_2;
    let mut add = |form, number, plain: Result<Vec<u8>, ofd_codec::EncodeError>| {
        let plain = plain.unwrap_or_else(|error| panic!("{form}: {error}"));
        all.push((version, form, number, plain));
    };
    add(Form::MARKING_REQUEST, 5, marking_request().finish());
    add(Form::MARKING_NOTIFICATION, 3, marking_notification().finish());
    add(Form::MARKING_ANSWER, 5, marking_answer().finish());
    add(Form::MARKING_RECEIPT, 3, marking_receipt().finish());
    all
}
