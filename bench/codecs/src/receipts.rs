//! The receipt as the other formats hold it, filled from a document, and how each of them is summed.
//!
//! All sides have the same values: a copy holds every value of the document, each once, what less than one receipt in ten has
//! among its [`Other`]s. Nests that are no list are laid flat, numbers are plain and zero where they are missing: no option to check,
//! no box to follow, which is the least that another format can do with them. Their text is UTF-8, ours CP866.

use std::borrow::Cow;

use ofd_codec::{DocumentView, Tlv, Value};

use crate::walk::{Class, class};

/// An item of a receipt, as prost and rkyv hold it and as its JSON is written.
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[prost(uint64, tag = "2")]
    price: u64,
    #[prost(uint64, tag = "3")]
    quantity: u64,
    #[prost(uint64, tag = "4")]
    sum: u64,
    #[prost(uint32, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    nds: u32,
    #[prost(uint32, tag = "6")]
    #[serde(skip_serializing_if = "is_zero")]
    payment_type: u32,
    #[prost(uint32, tag = "7")]
    #[serde(skip_serializing_if = "is_zero")]
    product_type: u32,
    #[prost(uint64, tag = "8")]
    #[serde(skip_serializing_if = "is_zero")]
    nds_sum: u64,
    #[prost(uint32, tag = "9")]
    #[serde(skip_serializing_if = "is_zero")]
    measure: u32,
    #[prost(message, repeated, tag = "10")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Other>,
}

/// A value that few receipts or items have, with its tag: a number, or text.
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
pub(crate) struct Other {
    #[prost(uint32, tag = "1")]
    tag: u32,
    #[prost(uint64, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    number: u64,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
}

/// A rate of VAT and its sum (1119).
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
pub(crate) struct Vat {
    #[prost(uint64, tag = "1")]
    sum: u64,
    #[prost(uint32, tag = "2")]
    rate: u32,
}

/// A receipt.
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    #[prost(string, tag = "1")]
    fiscal_drive_number: String,
    #[prost(string, tag = "2")]
    kkt_reg_id: String,
    #[prost(string, tag = "3")]
    user_inn: String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    retail_place_address: String,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    retail_place: String,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    operator: String,
    #[prost(string, tag = "8")]
    #[serde(skip_serializing_if = "String::is_empty")]
    fns_url: String,
    #[prost(uint32, tag = "9")]
    fiscal_document_number: u32,
    #[prost(uint32, tag = "10")]
    date_time: u32,
    #[prost(uint64, tag = "11")]
    fiscal_sign: u64,
    #[prost(uint32, tag = "12")]
    shift_number: u32,
    #[prost(uint32, tag = "13")]
    request_number: u32,
    #[prost(uint32, tag = "14")]
    operation_type: u32,
    #[prost(uint32, tag = "15")]
    taxation_type: u32,
    #[prost(uint64, tag = "16")]
    total_sum: u64,
    #[prost(uint64, tag = "17")]
    cash_total_sum: u64,
    #[prost(uint64, tag = "18")]
    ecash_total_sum: u64,
    #[prost(uint64, tag = "19")]
    #[serde(skip_serializing_if = "is_zero")]
    nds: u64,
    #[prost(message, repeated, tag = "20")]
    items: Vec<Item>,
    #[prost(string, tag = "21")]
    #[serde(skip_serializing_if = "String::is_empty")]
    buyer: String,
    #[prost(string, tag = "22")]
    #[serde(skip_serializing_if = "String::is_empty")]
    sender: String,
    #[prost(uint32, tag = "23")]
    #[serde(skip_serializing_if = "is_zero")]
    ffd: u32,
    #[prost(uint64, tag = "24")]
    #[serde(skip_serializing_if = "is_zero")]
    prepaid_sum: u64,
    #[prost(uint64, tag = "25")]
    #[serde(skip_serializing_if = "is_zero")]
    credit_sum: u64,
    #[prost(uint64, tag = "26")]
    #[serde(skip_serializing_if = "is_zero")]
    provision_sum: u64,
    #[prost(uint64, tag = "27")]
    #[serde(skip_serializing_if = "is_zero")]
    nds10: u64,
    #[prost(uint64, tag = "28")]
    #[serde(skip_serializing_if = "is_zero")]
    nds0: u64,
    #[prost(uint64, tag = "29")]
    #[serde(skip_serializing_if = "is_zero")]
    nds_no: u64,
    #[prost(uint32, tag = "30")]
    #[serde(skip_serializing_if = "is_zero")]
    internet: u32,
    #[prost(message, repeated, tag = "31")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vats: Vec<Vat>,
    #[prost(message, repeated, tag = "32")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Other>,
}

/// Left out of the JSON, as registers leave out what they have not.
fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn number(value: &Value<'_>) -> u64 {
    value.vln().unwrap_or_default()
}

fn small(value: &Value<'_>) -> u32 {
    u32::try_from(number(value)).unwrap_or_default()
}

fn mantissa(value: &Value<'_>) -> u64 {
    value.fvln().map_or(0, |quantity| quantity.mantissa)
}

fn text(value: &Value<'_>) -> String {
    value.text().trimmed().to_string()
}

/// What has no field of its own: one value, or all that are in a nest.
fn other(value: &Value<'_>, into: &mut Vec<Other>) {
    let tag = u32::from(value.tag().0);
    let (number, text) = match class(value.tag().0) {
        Class::Nest => {
            return value.children().map_while(Result::ok).for_each(|(_, inner)| other(&inner, into));
        }
        Class::Number => (number(value), String::new()),
        Class::Decimal => (mantissa(value), String::new()),
        Class::Bytes => (0, text(value)),
    };
    into.push(Other { tag, number, text });
}

/// The values of a level in their order, each with whether its tag was there before.
fn values(level: Tlv<'_>) -> impl Iterator<Item = (Value<'_>, bool)> {
    let mut seen = Vec::new();
    level.map_while(Result::ok).map(move |(tag, value)| {
        let again = seen.contains(&tag);
        seen.push(tag);
        (value, again)
    })
}

impl Item {
    fn of(level: Tlv<'_>) -> Self {
        let mut item = Self::default();
        for (value, again) in values(level) {
            match value.tag().0 {
                _ if again => other(&value, &mut item.others),
                1030 => item.name = text(&value),
                1079 => item.price = number(&value),
                1023 => item.quantity = mantissa(&value),
                1043 => item.sum = number(&value),
                1199 => item.nds = small(&value),
                1214 => item.payment_type = small(&value),
                1212 => item.product_type = small(&value),
                1200 => item.nds_sum = number(&value),
                2108 => item.measure = small(&value),
                _ => other(&value, &mut item.others),
            }
        }
        item
    }
}

impl Vat {
    fn of(level: Tlv<'_>, others: &mut Vec<Other>) -> Self {
        let mut vat = Self::default();
        for (value, again) in values(level) {
            match value.tag().0 {
                1120 if !again => vat.sum = number(&value),
                1199 if !again => vat.rate = small(&value),
                _ => other(&value, others),
            }
        }
        vat
    }
}

impl Receipt {
    /// Copies a document.
    pub(crate) fn of(view: &DocumentView<'_>) -> Self {
        let mut receipt = Self::default();
        for (value, again) in values(Tlv::new(view.bytes().get(4..).unwrap_or_default())) {
            match value.tag().0 {
                1059 => receipt.items.push(Item::of(value.children())),
                1115 if class(1115) == Class::Nest => {
                    for (_, inner) in value.children().map_while(Result::ok) {
                        let vat = Vat::of(inner.children(), &mut receipt.others);
                        receipt.vats.push(vat);
                    }
                }
                _ if again => other(&value, &mut receipt.others),
                1041 => receipt.fiscal_drive_number = text(&value),
                1037 => receipt.kkt_reg_id = text(&value),
                1018 => receipt.user_inn = text(&value),
                1048 => receipt.user = text(&value),
                1009 => receipt.retail_place_address = text(&value),
                1187 => receipt.retail_place = text(&value),
                1021 => receipt.operator = text(&value),
                1060 => receipt.fns_url = text(&value),
                1008 => receipt.buyer = text(&value),
                1117 => receipt.sender = text(&value),
                1040 => receipt.fiscal_document_number = small(&value),
                1012 => receipt.date_time = small(&value),
                1077 => {
                    let sign = value.fiscal_sign().ok();
                    receipt.fiscal_sign = sign.map_or(0, |sign| u64::from(sign.printed()));
                }
                1038 => receipt.shift_number = small(&value),
                1042 => receipt.request_number = small(&value),
                1054 => receipt.operation_type = small(&value),
                1055 => receipt.taxation_type = small(&value),
                1020 => receipt.total_sum = number(&value),
                1031 => receipt.cash_total_sum = number(&value),
                1081 => receipt.ecash_total_sum = number(&value),
                1215 => receipt.prepaid_sum = number(&value),
                1216 => receipt.credit_sum = number(&value),
                1217 => receipt.provision_sum = number(&value),
                1102 => receipt.nds = number(&value),
                1103 => receipt.nds10 = number(&value),
                1104 => receipt.nds0 = number(&value),
                1105 => receipt.nds_no = number(&value),
                1209 => receipt.ffd = small(&value),
                1125 => receipt.internet = small(&value),
                _ => other(&value, &mut receipt.others),
            }
        }
        receipt
    }
}

/// Every number and the length of every text, whatever holds them; `$num` and `$small` turn stored numbers into plain ones.
macro_rules! sum {
    ($receipt:expr, $num:expr, $small:expr) => {{
        let (receipt, num, narrow) = ($receipt, $num, $small);
        let mut sum = 0_u64;
        for text in [
            receipt.fiscal_drive_number.len(),
            receipt.kkt_reg_id.len(),
            receipt.user_inn.len(),
            receipt.user.len(),
            receipt.retail_place_address.len(),
            receipt.retail_place.len(),
            receipt.operator.len(),
            receipt.fns_url.len(),
            receipt.buyer.len(),
            receipt.sender.len(),
        ] {
            sum = sum.wrapping_add(text as u64);
        }
        for small in [
            receipt.fiscal_document_number,
            receipt.date_time,
            receipt.shift_number,
            receipt.request_number,
            receipt.operation_type,
            receipt.taxation_type,
            receipt.ffd,
            receipt.internet,
        ] {
            sum = sum.wrapping_add(u64::from(narrow(small)));
        }
        for number in [
            receipt.fiscal_sign,
            receipt.total_sum,
            receipt.cash_total_sum,
            receipt.ecash_total_sum,
            receipt.nds,
            receipt.prepaid_sum,
            receipt.credit_sum,
            receipt.provision_sum,
            receipt.nds10,
            receipt.nds0,
            receipt.nds_no,
        ] {
            sum = sum.wrapping_add(num(number));
        }
        for item in receipt.items.iter() {
            sum = sum.wrapping_add(item.name.len() as u64);
            for number in [item.price, item.quantity, item.sum, item.nds_sum] {
                sum = sum.wrapping_add(num(number));
            }
            for small in [item.nds, item.payment_type, item.product_type, item.measure] {
                sum = sum.wrapping_add(u64::from(narrow(small)));
            }
            for other in item.others.iter() {
                sum = sum.wrapping_add(num(other.number)).wrapping_add(other.text.len() as u64);
            }
        }
        for other in receipt.others.iter() {
            sum = sum.wrapping_add(num(other.number)).wrapping_add(other.text.len() as u64);
        }
        for vat in receipt.vats.iter() {
            sum = sum.wrapping_add(num(vat.sum)).wrapping_add(u64::from(narrow(vat.rate)));
        }
        sum
    }};
}

impl Receipt {
    /// How many items it has.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// Of the owned copy, which prost decodes into.
    pub(crate) fn sum(&self) -> u64 {
        sum!(self, |number: u64| number, |number: u32| number)
    }
}

/// Of the archive.
pub(crate) fn sum_archived(receipt: &ArchivedReceipt) -> u64 {
    // Archived numbers are little-endian ones of the same width.
    sum!(receipt, |number: rkyv::rend::u64_le| number.to_native(), |number: rkyv::rend::u32_le| number
        .to_native())
}

/// As sonic-rs reads it: text is borrowed where the JSON has no escapes.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Read<'a> {
    #[serde(borrow)]
    fiscal_drive_number: Cow<'a, str>,
    #[serde(borrow)]
    kkt_reg_id: Cow<'a, str>,
    #[serde(borrow)]
    user_inn: Cow<'a, str>,
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    retail_place_address: Cow<'a, str>,
    #[serde(borrow, default)]
    retail_place: Cow<'a, str>,
    #[serde(borrow, default)]
    operator: Cow<'a, str>,
    #[serde(borrow, default)]
    fns_url: Cow<'a, str>,
    fiscal_document_number: u32,
    date_time: u32,
    fiscal_sign: u64,
    shift_number: u32,
    request_number: u32,
    operation_type: u32,
    taxation_type: u32,
    total_sum: u64,
    cash_total_sum: u64,
    ecash_total_sum: u64,
    #[serde(default)]
    nds: u64,
    #[serde(borrow)]
    items: Vec<ReadItem<'a>>,
    #[serde(borrow, default)]
    buyer: Cow<'a, str>,
    #[serde(borrow, default)]
    sender: Cow<'a, str>,
    #[serde(default)]
    ffd: u32,
    #[serde(default)]
    prepaid_sum: u64,
    #[serde(default)]
    credit_sum: u64,
    #[serde(default)]
    provision_sum: u64,
    #[serde(default)]
    nds10: u64,
    #[serde(default)]
    nds0: u64,
    #[serde(default)]
    nds_no: u64,
    #[serde(default)]
    internet: u32,
    #[serde(default)]
    vats: Vec<ReadVat>,
    #[serde(borrow, default)]
    others: Vec<ReadOther<'a>>,
}

/// A rate of VAT of it.
#[derive(serde::Deserialize)]
struct ReadVat {
    sum: u64,
    rate: u32,
}

/// What has no field of its own.
#[derive(serde::Deserialize)]
struct ReadOther<'a> {
    #[serde(rename = "tag")]
    _tag: u32,
    #[serde(default)]
    number: u64,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

/// An item of it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadItem<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    price: u64,
    quantity: u64,
    sum: u64,
    #[serde(default)]
    nds: u32,
    #[serde(default)]
    payment_type: u32,
    #[serde(default)]
    product_type: u32,
    #[serde(default)]
    nds_sum: u64,
    #[serde(default)]
    measure: u32,
    #[serde(borrow, default)]
    others: Vec<ReadOther<'a>>,
}

impl Read<'_> {
    /// Of what was read.
    pub(crate) fn sum(&self) -> u64 {
        sum!(self, |number: u64| number, |number: u32| number)
    }
}
