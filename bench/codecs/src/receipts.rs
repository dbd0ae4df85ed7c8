//! The receipt as the other formats hold it, filled from a document, and how each of them is summed.
//!
//! The others get a little less to do, not more: requisites that less than one receipt in ten has are left out of the
//! copy, while our side reads everything that the document has. Their text is UTF-8, ours CP866.

use std::borrow::Cow;

use ofd_codec::{DocumentView, Tag, Tlv, Value, tags};

/// An item of a receipt, as prost and rkyv hold it and as its JSON is written.
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    price: u64,
    #[prost(uint64, tag = "3")]
    quantity: u64,
    #[prost(uint64, tag = "4")]
    sum: u64,
    #[prost(uint32, tag = "5")]
    nds: u32,
    #[prost(uint32, tag = "6")]
    payment_type: u32,
    #[prost(uint32, tag = "7")]
    product_type: u32,
    #[prost(uint64, tag = "8")]
    nds_sum: u64,
    #[prost(uint32, tag = "9")]
    measure: u32,
    #[prost(message, repeated, tag = "10")]
    details: Vec<Detail>,
}

/// A text that few items have: their supplier, their codes, the particulars of their trade.
#[derive(Clone, PartialEq, prost::Message, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
pub(crate) struct Detail {
    #[prost(string, tag = "1")]
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
    user: String,
    #[prost(string, tag = "5")]
    retail_place_address: String,
    #[prost(string, tag = "6")]
    retail_place: String,
    #[prost(string, tag = "7")]
    operator: String,
    #[prost(string, tag = "8")]
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
    nds: u64,
    #[prost(message, repeated, tag = "20")]
    items: Vec<Item>,
    #[prost(string, tag = "21")]
    buyer: String,
    #[prost(string, tag = "22")]
    sender: String,
    #[prost(uint32, tag = "23")]
    ffd: u32,
    #[prost(uint64, tag = "24")]
    prepaid_sum: u64,
    #[prost(uint64, tag = "25")]
    credit_sum: u64,
    #[prost(uint64, tag = "26")]
    provision_sum: u64,
    #[prost(uint64, tag = "27")]
    nds10: u64,
    #[prost(uint64, tag = "28")]
    nds0: u64,
    #[prost(uint64, tag = "29")]
    nds_no: u64,
    #[prost(uint32, tag = "30")]
    internet: u32,
    #[prost(message, repeated, tag = "31")]
    vats: Vec<Vat>,
}

fn number(level: &Tlv<'_>, tag: u16) -> u64 {
    let value = find(level, tag);
    value.map_or(0, |value| value.vln().unwrap_or_default())
}

fn small(level: &Tlv<'_>, tag: u16) -> u32 {
    u32::try_from(number(level, tag)).unwrap_or_default()
}

fn text(level: &Tlv<'_>, tag: u16) -> String {
    find(level, tag).map_or_else(String::new, |value| value.text().trimmed().to_string())
}

/// Texts of an item and of the nests inside of it, but for its name.
fn details(level: Tlv<'_>) -> Vec<Detail> {
    let mut found = Vec::new();
    for (tag, value) in level.map_while(Result::ok) {
        match tag.0 {
            1163 | 1224 | 1260 => found.extend(details(value.children())),
            1162 | 1171 | 1197 | 1225 | 1226 | 1262..=1265 | 1305 => {
                found.push(Detail { text: value.text().to_string() });
            }
            _ => {}
        }
    }
    found
}

fn find<'a>(level: &Tlv<'a>, tag: u16) -> Option<Value<'a>> {
    level.map_while(Result::ok).find(|(found, _)| *found == Tag(tag)).map(|(_, value)| value)
}

impl Receipt {
    /// Copies a document.
    pub(crate) fn of(view: &DocumentView<'_>) -> Self {
        let level = Tlv::new(view.bytes().get(4..).unwrap_or_default());
        let items = view.get_all(tags::ITEM).map(|item| Item {
            name: text(&item.children(), 1030),
            price: number(&item.children(), 1079),
            quantity: find(&item.children(), 1023)
                .map_or(0, |value| value.fvln().map_or(0, |quantity| quantity.mantissa)),
            sum: number(&item.children(), 1043),
            nds: small(&item.children(), 1199),
            payment_type: small(&item.children(), 1214),
            product_type: small(&item.children(), 1212),
            nds_sum: number(&item.children(), 1200),
            measure: small(&item.children(), 2108),
            details: details(item.children()),
        });
        let vats = find(&level, 1115).into_iter().flat_map(|value| value.children().flatten());
        let vats = vats
            .map(|(_, vat)| Vat { sum: number(&vat.children(), 1120), rate: small(&vat.children(), 1199) });
        Self {
            fiscal_drive_number: text(&level, 1041),
            kkt_reg_id: text(&level, 1037),
            user_inn: text(&level, 1018),
            user: text(&level, 1048),
            retail_place_address: text(&level, 1009),
            retail_place: text(&level, 1187),
            operator: text(&level, 1021),
            fns_url: text(&level, 1060),
            fiscal_document_number: small(&level, 1040),
            date_time: small(&level, 1012),
            fiscal_sign: find(&level, 1077)
                .map_or(0, |value| value.fiscal_sign().map_or(0, |sign| u64::from(sign.printed()))),
            shift_number: small(&level, 1038),
            request_number: small(&level, 1042),
            operation_type: small(&level, 1054),
            taxation_type: small(&level, 1055),
            total_sum: number(&level, 1020),
            cash_total_sum: number(&level, 1031),
            ecash_total_sum: number(&level, 1081),
            nds: number(&level, 1102),
            items: items.collect(),
            buyer: text(&level, 1008),
            sender: text(&level, 1117),
            ffd: small(&level, 1209),
            prepaid_sum: number(&level, 1215),
            credit_sum: number(&level, 1216),
            provision_sum: number(&level, 1217),
            nds10: number(&level, 1103),
            nds0: number(&level, 1104),
            nds_no: number(&level, 1105),
            internet: small(&level, 1125),
            vats: vats.collect(),
        }
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
            for detail in item.details.iter() {
                sum = sum.wrapping_add(detail.text.len() as u64);
            }
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
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    retail_place_address: Cow<'a, str>,
    #[serde(borrow)]
    retail_place: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow)]
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
    nds: u64,
    #[serde(borrow)]
    items: Vec<ReadItem<'a>>,
    #[serde(borrow)]
    buyer: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    ffd: u32,
    prepaid_sum: u64,
    credit_sum: u64,
    provision_sum: u64,
    nds10: u64,
    nds0: u64,
    nds_no: u64,
    internet: u32,
    vats: Vec<ReadVat>,
}

/// A rate of VAT of it.
#[derive(serde::Deserialize)]
struct ReadVat {
    sum: u64,
    rate: u32,
}

/// A text of an item.
#[derive(serde::Deserialize)]
struct ReadDetail<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// An item of it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadItem<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    price: u64,
    quantity: u64,
    sum: u64,
    nds: u32,
    payment_type: u32,
    product_type: u32,
    nds_sum: u64,
    measure: u32,
    #[serde(borrow)]
    details: Vec<ReadDetail<'a>>,
}

impl Read<'_> {
    /// Of what was read.
    pub(crate) fn sum(&self) -> u64 {
        sum!(self, |number: u64| number, |number: u32| number)
    }
}
