//! Public and derived vectors: every kind that the codec covers, by name; those of a later room are named aloud.
//!
//! They are not part of the repository; `OFD_FACTS` names their folder.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::{decimal, facts, hex, unhex};
use ofd_codec::dictionary::{Kind, lookup};
use ofd_codec::inn::is_inn;
use ofd_codec::{
    Channel, Civil, Container, Document, DocumentView, EncodeErrorKind, FfdVersion, Frame, QrCode, Quantity,
    RawData, RegistrationNumber, SessionHeader, Tag, Tlv, TlvWriter, Value, container_crc, open_answer,
    open_plain,
};
use serde_json::{Value as Json, json};

/// Kinds whose room is not built yet.
const LATER: [&str; 1] = ["json_only"];

fn vectors() -> Option<Vec<Json>> {
    facts("ffd/vectors.json").map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Runs `check` on one value: a vector of a bare value has no tag, so that it gets one.
fn with_value<T>(bytes: &[u8], check: impl FnOnce(Value<'_>) -> T) -> T {
    let mut tlv = Vec::new();
    TlvWriter::new(&mut tlv).bytes(Tag(1), bytes).unwrap();
    let (_, value) = Tlv::new(&tlv).next().unwrap().unwrap();
    check(value)
}

/// A decimal literal as mantissa and scale.
fn quantity(text: &str) -> Quantity {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    Quantity { mantissa: format!("{whole}{part}").parse().unwrap(), scale: u8::try_from(part.len()).unwrap() }
}

fn number(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// Values the way the vectors write them: padded text as it is, decimals as text, structures as lists of pairs.
fn listed(level: Tlv<'_>, parent: u16, version: FfdVersion) -> Json {
    level
        .map(|item| {
            let (tag, value) = item.unwrap();
            let entry = lookup(tag, parent, version).unwrap_or_else(|| panic!("{tag} is in no table"));
            let shown = match entry.kind {
                Kind::Byte => json!(value.u8().unwrap()),
                Kind::U16 => json!(value.u16().unwrap()),
                Kind::U32 => json!(value.u32().unwrap()),
                Kind::Bits => json!(value.bits().unwrap()),
                Kind::UnixTime => json!(value.unixtime().unwrap().0),
                Kind::Vln => json!(value.vln().unwrap()),
                Kind::Fvln => json!(value.fvln().unwrap().to_string()),
                Kind::Text => json!(value.text().to_string()),
                Kind::Bytes => json!(hex(value.bytes())),
                Kind::Stlv => listed(value.children(), tag.0, version),
            };
            json!([tag.0, shown])
        })
        .collect()
}

fn check_body(id: &str, view: &DocumentView<'_>, version: FfdVersion, body: &Json) {
    assert_eq!(u64::from(view.form().0), body["doc_code"].as_u64().unwrap(), "{id}");
    assert_eq!(view.bytes().len() as u64 - 4, body["tlv_len"].as_u64().unwrap(), "{id}");
    let level = Tlv::new(&view.bytes()[4..]);
    assert_eq!(listed(level, u16::from(view.form().0), version), body["decoded"], "{id}");
    assert_eq!(Document::decode(view.bytes()).unwrap().encode(), view.bytes(), "{id}");
}

fn check_service(id: &str, container: &ofd_codec::ServiceHeader, header: &Json) {
    assert_eq!(format!("0x{:02X}", container.kind()), header["container_type"].as_str().unwrap(), "{id}");
    assert_eq!(u64::from(container.form()), header["doc_code"].as_u64().unwrap(), "{id}");
    assert_eq!(u64::from(container.version()), header["version"].as_u64().unwrap(), "{id}");
    assert_eq!(hex(&container.service1()), header["service1"].as_str().unwrap(), "{id}");
    assert_eq!(hex(&container.drive_bcd()), header["fn_bcd"].as_str().unwrap(), "{id}");
    assert_eq!(u64::from(container.number()), header["fd_number"].as_u64().unwrap(), "{id}");
    assert_eq!(hex(&container.service2()), header["service2"].as_str().unwrap(), "{id}");
    assert_eq!(u64::from(container.plain_len()), header["service2_tlv_len_be"].as_u64().unwrap(), "{id}");
}

fn check_container(id: &str, bytes: &[u8], drive: Option<&[u8; 16]>, p_version: [u8; 2], expected: &Json) {
    let container = Container::new_checked(bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
    let header = &expected["header"];
    assert_eq!(container.bytes().len() as u64, header["length"].as_u64().unwrap(), "{id}");
    assert_eq!(container_crc(bytes), number(header["crc"].as_str().unwrap()), "{id}");
    check_service(id, container.service(), header);
    let trailer = expected.get("trailer").or_else(|| expected["body"].get("trailer")).unwrap();
    assert_eq!(hex(container.trailer()), trailer.as_str().unwrap(), "{id}");
    assert!(container.is_plain(), "{id}");
    let open = if container.kind() == 0xA5 { open_plain } else { open_answer };
    let view = open(&container, drive, container.body()).unwrap_or_else(|error| panic!("{id}: {error}"));
    let version = FfdVersion::of_document(&view.header(), None, p_version);
    check_body(id, &view, version, &expected["body"]);
}

fn check_session(id: &str, header: &SessionHeader, expected: &Json) {
    assert_eq!(hex(&header.signature), expected["signature"].as_str().unwrap(), "{id}");
    assert_eq!(hex(&header.s_version), expected["s_version"].as_str().unwrap(), "{id}");
    assert_eq!(hex(&header.p_version), expected["p_version"].as_str().unwrap(), "{id}");
    assert_eq!(header.drive, expected["fn"].as_str().unwrap().as_bytes(), "{id}");
    assert_eq!(u64::from(header.body_len), expected["body_len"].as_u64().unwrap(), "{id}");
    assert_eq!(header.flags, number(expected["flags"].as_str().unwrap()), "{id}");
    assert_eq!(header.crc, number(expected["crc"].as_str().unwrap()), "{id}");
    assert_eq!(header.channel(), Channel::Operator, "{id}");
}

/// What cannot be encoded is refused and leaves the buffer as it was.
fn refused(id: &str, kind: &str, expected: &Json) {
    let mut out = vec![0xEE];
    let mut writer = TlvWriter::new(&mut out);
    let len_max = expected["max_len"].as_u64().map(|len| usize::try_from(len).unwrap());
    let value = &expected["encode_error_for"];
    let error = match kind {
        "vln" => writer.vln_within(Tag(1), value.as_u64().unwrap(), len_max.unwrap()),
        "fvln" => writer.fvln_within(Tag(1), quantity(value.as_str().unwrap()), len_max.unwrap()),
        "byte" => writer.uint(Tag(1), value.as_u64().unwrap(), 1),
        other => panic!("{id}: nothing refuses a {other}"),
    };
    assert_eq!(error.unwrap_err().kind, EncodeErrorKind::Overflow, "{id}");
    assert_eq!(out, [0xEE], "{id}");
}

/// What the value decodes to, and, where the encoding is the shortest one, that encoding gives it back.
fn check_value(id: &str, kind: &str, bytes: &[u8], expected: &Json) {
    let mut encoded = Vec::new();
    let mut writer = TlvWriter::new(&mut encoded);
    match kind {
        "u32" => {
            let value = with_value(bytes, |value| value.u32().unwrap());
            assert_eq!(u64::from(value), expected.as_u64().unwrap(), "{id}");
            writer.u32(Tag(1), value);
        }
        "byte" => {
            let value = with_value(bytes, |value| value.u8().unwrap());
            assert_eq!(u64::from(value), expected.as_u64().unwrap(), "{id}");
            writer.u8(Tag(1), value);
        }
        "unixtime" => {
            let value = with_value(bytes, |value| value.unixtime().unwrap());
            assert_eq!(u64::from(value.0), expected.as_u64().unwrap(), "{id}");
            writer.unixtime(Tag(1), value);
        }
        "vln" => {
            let value = with_value(bytes, |value| value.vln().unwrap());
            assert_eq!(value, expected.as_u64().unwrap(), "{id}");
            writer.vln(Tag(1), value);
        }
        "fvln" => {
            let value = with_value(bytes, |value| value.fvln().unwrap());
            assert_eq!(decimal(&value.to_string()), decimal(expected.as_str().unwrap()), "{id}");
            writer.fvln(Tag(1), value).unwrap();
        }
        "string" => {
            let text = with_value(bytes, |value| value.text().to_string());
            assert_eq!(text, expected.as_str().unwrap(), "{id}");
            writer.text(Tag(1), &text).unwrap();
        }
        other => panic!("{id}: {other} is no value"),
    }
    // A mantissa padded with zeros or left out is not how we write, everything else comes back as it was.
    let exact = !(kind == "fvln" && (bytes.last() == Some(&0) || bytes.len() == 1));
    assert_eq!(encoded[4..] == *bytes, exact, "{id}");
}

fn check_qr(id: &str, text: &str, expected: &Json) {
    let qr = QrCode::parse(text).unwrap_or_else(|error| panic!("{id}: {error}"));
    let minute = Civil::from(qr.date_time).to_string();
    assert_eq!(minute.get(..16), expected["t"].as_str(), "{id}");
    assert_eq!(qr.total.0, expected["s_kopecks"].as_i64().unwrap(), "{id}");
    assert_eq!(qr.drive.as_str(), expected["fn"].as_str().unwrap(), "{id}");
    assert_eq!(u64::from(qr.number.0), expected["i"].as_u64().unwrap(), "{id}");
    assert_eq!(u64::from(qr.sign), expected["fp"].as_u64().unwrap(), "{id}");
    assert_eq!(u64::from(qr.operation), expected["n"].as_u64().unwrap(), "{id}");
    assert_eq!(qr.to_string(), text, "{id}");
}

fn check_registration_number(id: &str, expected: &Json) {
    let text = |key: &str| expected[key].as_str().unwrap();
    let number = RegistrationNumber::parse(text("reg_number")).unwrap();
    assert!(number.belongs_to(text("user_inn"), text("factory_number")), "{id}");
    assert_eq!(number.check().as_slice(), text("check_digits").as_bytes(), "{id}");
    let made = RegistrationNumber::for_register(*number.serial(), text("user_inn"), text("factory_number"));
    assert_eq!(made, Some(number), "{id}");
    assert!(is_inn(text("user_inn").as_bytes()), "{id}");
}

/// Every vector holds, or its kind is on the list of what is not built yet.
#[test]
fn every_vector_of_a_covered_kind_holds() {
    let Some(vectors) = vectors() else { return };
    let mut later = Vec::new();
    for row in &vectors {
        let (id, kind, expected) =
            (row["id"].as_str().unwrap(), row["kind"].as_str().unwrap(), &row["expected"]);
        if LATER.contains(&kind) {
            later.push(format!("{id} ({kind})"));
            continue;
        }
        if expected.get("encode_error_for").is_some() {
            refused(id, kind, expected);
            continue;
        }
        if kind == "qr" {
            check_qr(id, row["hex"].as_str().unwrap(), expected);
            continue;
        }
        let bytes = unhex(row["hex"].as_str().unwrap());
        match kind {
            "kkt_reg_number_check" => check_registration_number(id, expected),
            "session_header" => {
                let header = SessionHeader::decode(bytes.as_slice().try_into().unwrap()).unwrap();
                check_session(id, &header, expected);
                assert_eq!(header.encode().as_slice(), bytes, "{id}");
            }
            "session_message" => {
                let frame = Frame::new_checked(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
                let header = frame.header();
                check_session(id, header, &expected["session"]);
                check_container(
                    id,
                    frame.container().bytes(),
                    Some(&header.drive),
                    header.p_version,
                    expected,
                );
            }
            "container" => check_container(id, &bytes, None, [0, 0], expected),
            "document_tlv" => {
                let view = DocumentView::new_checked(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
                let version = FfdVersion::of_document(&view.header(), None, [0, 0]);
                check_body(id, &view, version, &expected["body"]);
            }
            "rawdata_with_header" => {
                let raw = RawData::new_checked(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
                check_service(id, raw.service().unwrap(), &expected["header"]);
                let sign = raw.message_sign().map(|sign| hex(&sign)).unwrap_or_default();
                let trailer = expected.get("trailer").or_else(|| expected["body"].get("trailer")).unwrap();
                assert_eq!(sign, trailer.as_str().unwrap(), "{id}");
                let view = raw.document();
                let version = FfdVersion::of_document(&view.header(), None, [0, 0]);
                check_body(id, &view, version, &expected["body"]);
            }
            "tlv" => {
                // Fragments stand in a receipt of 1.2 unless they say otherwise.
                assert_eq!(listed(Tlv::new(&bytes), 3, FfdVersion::V1_2), *expected, "{id}");
            }
            value => check_value(id, value, &bytes, expected),
        }
    }
    eprintln!("not covered yet: {}", later.join(", "));
    assert_eq!(later.len(), LATER.len(), "one vector of each kind of a later room");
}
