//! Reports of registration and of its change: forms 1 and 11.
//!
//! Source: order ЕД-7-20/662@, the tables of forms 1 and 11; tags 1205 and 1290 by their lists.

use super::requisites::{document, requisites, stamped};
use super::{ChangeReasons, Stamp};
use crate::{FfdVersion, Form};

requisites! {
    /// A registration (отчет о регистрации) or its change (отчет об изменении параметров регистрации).
    Registration, RegistrationBuilder {
        /// Auto mode (признак автоматического режима, 1001).
        flag automatic = AUTO_MODE;
        /// Offline mode (признак автономного режима, 1002).
        flag offline = OFFLINE_MODE;
        /// Retail place address (адрес расчетов, 1009).
        text retail_place_address = RETAIL_PLACE_ADDRESS;
        /// Register number (заводской номер ККТ, 1013).
        text factory_number = KKT_NUMBER;
        /// Operator's ИНН (ИНН ОФД, 1017).
        inn ofd_inn = OFD_INN;
        /// Cashier (кассир, 1021).
        text cashier = CASHIER;
        /// Machine number (номер автомата, 1036).
        text machine_number = MACHINE_NUMBER;
        /// Operator's name (наименование ОФД, 1046).
        text ofd_name = OFD_NAME;
        /// User name (наименование пользователя, 1048).
        text user_name = USER_NAME;
        /// Encryption sign (признак шифрования, 1056).
        flag encrypted = ENCRYPTION_SIGN;
        /// Agent flags (признак агента, 1057).
        code(AgentFlags) agent_flags = AGENT_FLAGS;
        /// Fns site (адрес сайта ФНС, 1060).
        text fns_site = FNS_SITE;
        /// Taxation types (системы налогообложения, 1062).
        code(TaxSystems) tax_systems = TAXATION_TYPES;
        /// User property (дополнительный реквизит пользователя, 1084).
        nest(Property, PropertyBuilder) property = USER_PROPERTY;
        /// Reregistration reason (код причины перерегистрации, 1101).
        bytes reason_codes = REREGISTRATION_REASON;
        /// Internet sign (признак ККТ для расчетов только в Интернет, 1108).
        flag internet_only = INTERNET_SIGN;
        /// Service sign (признак расчетов за услуги, 1109).
        flag services_only = SERVICE_SIGN;
        /// Bso sign (признак АС БСО, 1110).
        flag bso_system = BSO_SIGN;
        /// Sender email (адрес электронной почты отправителя чека, 1117).
        text sender_email = SENDER_EMAIL;
        /// Lottery sign (признак проведения лотереи, 1126).
        flag lottery = LOTTERY_SIGN;
        /// Drive counters (счетчики итогов ФН, 1157).
        nest(Counters, CountersBuilder) drive_counters = DRIVE_COUNTERS;
        /// Retail place (место расчетов, 1187).
        text retail_place = RETAIL_PLACE;
        /// Register version (версия ККТ, 1188).
        text kkt_version = KKT_VERSION;
        /// Register format version (версия ФФД ККТ, 1189).
        byte kkt_ffd_version = KKT_FFD_VERSION;
        /// Drive format version (версия ФФД ФН, 1190).
        byte drive_ffd_version = DRIVE_FFD_VERSION;
        /// Gambling sign (признак проведения азартных игр, 1193).
        flag gambling = GAMBLING_SIGN;
        /// Cashier ИНН (ИНН кассира, 1203).
        inn cashier_inn = CASHIER_INN;
        /// Change reasons (коды причин изменения сведений о ККТ, 1205).
        code(ChangeReasons) reasons = CHANGE_REASONS;
        /// Excise duty product sign (признак торговли подакцизными товарами, 1207).
        flag excise_goods = EXCISE_DUTY_PRODUCT_SIGN;
        /// Key resource (ресурс ключей ФП, 1213).
        word key_resource_days = KEY_RESOURCE;
        /// Print in machine sign (признак установки принтера в автомате, 1221).
        flag printer_in_machine = PRINT_IN_MACHINE_SIGN;
        /// Additional requisite (дополнительный реквизит ОР, 1274).
        text additional_props = ADDITIONAL_PROPS_FRC;
        /// Additional data (дополнительные данные ОР, 1275).
        raw additional_data = ADDITIONAL_DATA_FRC;
        /// Usage conditions (признаки условий применения ККТ, 1290).
        code(UsageConditions) usage_conditions = USAGE_CONDITIONS;
    }
}

document!(Registration, RegistrationBuilder, [Form::REGISTRATION, Form::REREGISTRATION]);
stamped!(Registration);

impl Registration<'_> {
    /// Whether this is a report of a change: form 11.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.form() == Form::REREGISTRATION
    }
}

/// What every registration says of the register.
///
/// Source: order ЕД-7-20/662@, tags required in forms 1 and 11 of every version from 1.05 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterFacts<'a> {
    /// Name of the user (1048), at most 256 characters.
    pub user_name: &'a str,
    /// Address of the settlements (1009), at most 256 characters.
    pub address: &'a str,
    /// Place of the settlements (1187), at most 256 characters.
    pub place: &'a str,
    /// Who registers (1021), at most 64 characters.
    pub cashier: &'a str,
    /// Factory number of the register (1013), at most 20 characters.
    pub factory_number: &'a str,
    /// Version of the register's program (1188), at most 8 characters.
    pub kkt_version: &'a str,
    /// Works in a vending machine (1001): then its number (1036) is demanded.
    pub automatic: bool,
    /// Works without an operator (1002); if not, the operator's ИНН (1017) is demanded.
    pub offline: bool,
    /// Encrypts what it sends (1056).
    pub encrypted: bool,
}

impl RegistrationBuilder {
    fn begin(version: FfdVersion, form: Form, stamp: &Stamp, facts: &RegisterFacts<'_>) -> Self {
        let begun = Self(stamp.document(version, form))
            .user_name(facts.user_name)
            .retail_place_address(facts.address)
            .cashier(facts.cashier)
            .factory_number(facts.factory_number)
            .automatic(facts.automatic)
            .offline(facts.offline)
            .encrypted(facts.encrypted);
        // Version 1.0 has neither.
        if version == FfdVersion::V1_0 {
            return begun;
        }
        begun
            .retail_place(facts.place)
            .kkt_version(facts.kkt_version)
            .kkt_ffd_version(version.code())
            .drive_ffd_version(version.code())
    }

    /// A report of registration (form 1).
    pub fn registration(version: FfdVersion, stamp: &Stamp, facts: &RegisterFacts<'_>) -> Self {
        Self::begin(version, Form::REGISTRATION, stamp, facts)
    }

    /// A report of a change (form 11) with its reasons: the mask 1205 from version 1.1 on, the codes 1101 before, of
    /// which there are four only.
    pub fn reregistration(
        version: FfdVersion,
        stamp: &Stamp,
        facts: &RegisterFacts<'_>,
        reasons: ChangeReasons,
    ) -> Self {
        let begun = Self::begin(version, Form::REREGISTRATION, stamp, facts);
        if version >= FfdVersion::V1_1 {
            return begun.reasons(reasons);
        }
        let said = ChangeReasons::USER_NAME | ChangeReasons::PLACE;
        let known = ChangeReasons::DRIVE | ChangeReasons::OPERATOR | said;
        [
            (1, reasons.contains(ChangeReasons::DRIVE)),
            (2, reasons.contains(ChangeReasons::OPERATOR)),
            (3, reasons.iter().any(|reason| said.contains(reason))),
            (4, reasons.iter().any(|reason| !known.contains(reason))),
        ]
        .into_iter()
        .filter(|(_, holds)| *holds)
        .fold(begun, |begun, (code, _)| begun.reason_codes(code))
    }
}
