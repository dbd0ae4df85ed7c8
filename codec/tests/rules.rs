//! Rules A and B of one document, one edge after the other. That every rule has a smallest document which breaks it is
//! shown in catalogue.rs, what real documents break in findings.rs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may panic, and test documents are indexed by hand"
)]

mod common;

use common::draft::{Doc, doc, item, receipt, registration, tlv};
use ofd_codec::rules::{self, VIOLATIONS_MAX};
use ofd_codec::{
    CheckContext, Datum, DecodeErrorKind, DocumentView, FfdVersion, Level, RuleId, Tag, check, tags,
};

/// Every finding of rules B of every case, so that a case shows what else it breaks. Sums that no longer agree are the
/// business of rules C.
fn expect(doc: &Doc, version: FfdVersion, keys: &[(&str, u16)]) {
    let found: Vec<_> = doc.keys(version).into_iter().filter(|(key, _)| key.starts_with('B')).collect();
    assert_eq!(found, keys, "{:#?}", doc.found(version));
}

const V1_2: FfdVersion = FfdVersion::V1_2;

/// Why: every other test changes one thing in these.
#[test]
fn the_base_documents_break_no_rule() {
    assert_eq!(receipt().keys(V1_2), []);
    assert_eq!(registration().keys(V1_2), []);
}

/// Why: B1. An undeclared tag, an unknown number, a repeat; the allowed repeat beside it.
#[test]
fn b1_finds_undeclared_and_repeated_tags() {
    expect(&receipt().add(tags::SHIFT_COUNTERS, &[]), V1_2, &[("B1", 1194)]);
    expect(&receipt().add(Tag(1999), &[1]), V1_2, &[("B1", 1999)]);
    expect(&receipt().add(tags::TOTAL_SUM, &[0]), V1_2, &[("B1", 1020)]);
    expect(&receipt().add(tags::ITEM, &item().body()), V1_2, &[]);
    expect(&receipt().item(|item| item.add(tags::TOTAL_SUM, &[0])), V1_2, &[("B1", 1020)]);
    // A nest in a wrong place is one finding, not one for each of its children.
    expect(&receipt().add(tags::CORRECTION_BASE, &tlv(1178, &[0, 0, 0, 0])), V1_2, &[("B1", 1174)]);
    // 1.0 had an array of user properties, later versions have one.
    let property = |doc: Doc| doc.add(tags::USER_PROPERTY, &tlv(1085, b"n"));
    expect(&property(property(receipt())), V1_2, &[("B1", 1084)]);
    expect(&property(property(receipt().without(tags::FFD_VERSION))), FfdVersion::V1_0, &[]);
    // 1.0 has no table of the order: only a number nobody knows is undeclared.
    let old = receipt().without(tags::FFD_VERSION).add(tags::SHIFT_COUNTERS, &[]);
    expect(&old, FfdVersion::V1_0, &[]);
    expect(&old.add(Tag(1999), &[]), FfdVersion::V1_0, &[("B1", 1999)]);
}

/// Why: B2. Each tag of the order's code 1 is demanded, and printed-only and unstated rows demand nothing.
#[test]
fn b2_finds_each_missing_required_tag() {
    let required = [
        (tags::FFD_VERSION, 1209),
        (tags::NUMBER_IN_SHIFT, 1042),
        (tags::DATE_TIME, 1012),
        (tags::SHIFT_NUMBER, 1038),
        (tags::OPERATION_TYPE, 1054),
        (tags::KKT_REG_ID, 1037),
        (tags::RETAIL_PLACE_ADDRESS, 1009),
        (tags::RETAIL_PLACE, 1187),
        (tags::ITEM, 1059),
        (tags::TOTAL_SUM, 1020),
        (tags::FISCAL_DOCUMENT_NUMBER, 1040),
        (tags::FISCAL_DRIVE_NUMBER, 1041),
        (tags::FISCAL_SIGN, 1077),
    ];
    for (tag, number) in required {
        expect(&receipt().without(tag), V1_2, &[("B2", number)]);
    }
    for optional in [tags::APPLIED_TAXATION_TYPE, tags::CASH_SUM, tags::USER_INN, tags::TURNOVER_NO_VAT] {
        expect(&receipt().without(optional), V1_2, &[]);
    }
    expect(&receipt().item(|item| item.without(tags::ITEM_SUM)), V1_2, &[("B2", 1043)]);
    expect(&receipt().without(tags::FFD_VERSION), FfdVersion::V1_1, &[("B1", 2108), ("B2", 1209)]);
    // Nothing of 1.0 is demanded, and 1209 of 1.05 may be missing because the document may be 1.0.
    expect(&doc(3, &[]), FfdVersion::V1_0, &[]);
    let bare = doc(3, &[]).keys(FfdVersion::V1_05);
    assert!(bare.contains(&("B2", 1020)) && !bare.contains(&("B2", 1209)), "{bare:?}");
}

/// Why: B3. The three conditions, fulfilled and not.
#[test]
fn b3_demands_conditional_tags_when_their_condition_holds() {
    let automat = registration().set(tags::AUTO_MODE, &[1]);
    expect(&automat, V1_2, &[("B3", 1036)]);
    expect(&automat.add(tags::MACHINE_NUMBER, b"A-1"), V1_2, &[]);
    expect(&registration().without(tags::OFD_INN), V1_2, &[("B3", 1017)]);
    expect(&registration().without(tags::OFD_INN).set(tags::OFFLINE_MODE, &[1]), V1_2, &[]);

    let unsent = |number: u8, more: &[(Tag, &[u8])]| {
        let mut report = doc(21, &[(tags::UNSENT_DOCUMENTS, &[number, 0, 0, 0])]);
        report.tags.extend(more.iter().map(|(tag, value)| (*tag, value.to_vec())));
        report.keys(V1_2).into_iter().filter(|(key, _)| *key == "B3").collect::<Vec<_>>()
    };
    assert_eq!(unsent(3, &[]), [("B3", 1098)]);
    assert_eq!(unsent(0, &[]), []);
    assert_eq!(unsent(3, &[(tags::UNSENT_SINCE, &[0, 0, 0, 0x68])]), []);
}

/// Why: B4. Lengths by kind, lists of numbers, of bits and of labels; empty numbers pass as live registers send them.
#[test]
fn b4_finds_values_of_wrong_length_or_foreign_to_their_list() {
    let cases: &[(Tag, &[u8], bool)] = &[
        (tags::OPERATION_TYPE, &[4], true),
        (tags::OPERATION_TYPE, &[5], false),
        (tags::OPERATION_TYPE, &[], true),
        (tags::OPERATION_TYPE, &[1, 0], false),
        (tags::SHIFT_NUMBER, &[1, 0, 0], false),
        (tags::SHIFT_NUMBER, &[], true),
        (tags::TOTAL_SUM, &[0; 8], true),
        (tags::TOTAL_SUM, &[0; 9], false),
        (tags::TOTAL_SUM, &[], true),
        (tags::APPLIED_TAXATION_TYPE, &[32], true),
        (tags::APPLIED_TAXATION_TYPE, &[64], false),
        (tags::USER_INN, b"7728029110", false),
        (tags::RETAIL_PLACE, &[b'x'; 256], true),
        (tags::RETAIL_PLACE, &[b'x'; 257], false),
        (tags::FISCAL_SIGN, &[0; 5], false),
    ];
    for (tag, value, clean) in cases {
        let expected: &[_] = if *clean { &[] } else { &[("B4", tag.0)] };
        expect(&receipt().set(*tag, value), V1_2, expected);
    }
    expect(&receipt().item(|item| item.set(tags::QUANTITY, &[])), V1_2, &[("B4", 1023)]);
    expect(&receipt().item(|item| item.set(tags::QUANTITY, &[0; 9])), V1_2, &[("B4", 1023)]);
    expect(&receipt().item(|item| item.set(tags::VAT_RATE, &[12])), V1_2, &[]);
    expect(&receipt().item(|item| item.set(tags::VAT_RATE, &[13])), V1_2, &[("B4", 1199)]);
    let industry = |body: &[u8]| {
        let value =
            [tlv(1262, body), tlv(1263, b"21.11.2023"), tlv(1264, b"1944"), tlv(1265, b"UUID=1&Time=2")]
                .concat();
        receipt().item(|item| item.add(tags::ITEM_INDUSTRY_DETAILS, &value))
    };
    expect(&industry(b"030"), V1_2, &[]);
    expect(&industry(b"099"), V1_2, &[("B4", 1262)]);
    // 1115 is no nest to the structural walk, so that its inside is this rule's business.
    let sums = [tlv(1199, &[7]), tlv(1120, &[5])].concat();
    expect(&receipt().add(tags::RECEIPT_VAT_SUMS, &tlv(1119, &sums)), V1_2, &[]);
    expect(&receipt().add(tags::RECEIPT_VAT_SUMS, &tlv(1119, &sums)[..7]), V1_2, &[("B4", 1115)]);
}

/// Why: B5. Both lengths, the left-padded spelling of some registers, a wrong digit in each place that is checked.
#[test]
fn b5_finds_inns_whose_check_digits_fail() {
    for good in [&b"7728029110  "[..], b"500100732259", b"007728029110"] {
        expect(&receipt().without(tags::KKT_REG_ID).set(tags::USER_INN, good), V1_2, &[("B2", 1037)]);
    }
    for bad in [
        &b"7728029111  "[..],
        b"500100732250",
        b"500100732269",
        b"772802911   ",
        b"77280A9110  ",
        b"001234567890",
    ] {
        let found = receipt().without(tags::KKT_REG_ID).set(tags::USER_INN, bad).keys(V1_2);
        assert_eq!(found, [("B5", 1018), ("B2", 1037)], "{}", String::from_utf8_lossy(bad));
    }
}

/// Why: B6. Shape anywhere; ownership where the factory number is known from the document or the context.
#[test]
fn b6_finds_registration_numbers_of_another_register() {
    expect(&registration().set(tags::KKT_NUMBER, b"00000000001234567891"), V1_2, &[("B6", 1037)]);
    expect(&registration().set(tags::KKT_NUMBER, b"1234567890          "), V1_2, &[]);
    expect(&registration().set(tags::USER_INN, b"7704211201  "), V1_2, &[("B6", 1037)]);
    expect(&receipt().set(tags::KKT_REG_ID, b"0000000001            "[..20].as_ref()), V1_2, &[("B6", 1037)]);
    expect(&receipt().set(tags::KKT_REG_ID, b"000000000104734X    "), V1_2, &[("B6", 1037)]);
    expect(&receipt().set(tags::KKT_REG_ID, b"00000000010473450   "), V1_2, &[("B6", 1037)]);
    let stranger = receipt().set(tags::KKT_REG_ID, b"0000000001047346    ");
    expect(&stranger, V1_2, &[]);
    let mut context = CheckContext::new(V1_2);
    context.kkt_number = Some(*b"00000000001234567890");
    assert!(receipt().found_in(&context).is_empty());
    let found = stranger.found_in(&context);
    assert_eq!(found[0].expected, Datum::Text("0000000001047345".into()));
}

/// Why: B7. Blank is not absent, and the Internet asks for a site in any version.
#[test]
fn b7_finds_receipts_that_do_not_say_where() {
    expect(&receipt().set(tags::RETAIL_PLACE, b"   "), V1_2, &[("B7", 1187)]);
    expect(&receipt().set(tags::RETAIL_PLACE_ADDRESS, b""), V1_2, &[("B7", 1009)]);
    let blank = receipt().set(tags::RETAIL_PLACE, b"").keys(FfdVersion::V1_05);
    assert!(!blank.contains(&("B7", 1187)), "asked for from 1.1 on only: {blank:?}");
    let online = receipt().add(tags::INTERNET_PAYMENT, &[1]);
    expect(&online, V1_2, &[("B7", 1187)]);
    expect(&online.clone().set(tags::RETAIL_PLACE, b"shop.ru"), V1_2, &[]);
    expect(&receipt().add(tags::INTERNET_PAYMENT, &[0]), V1_2, &[]);
    let old =
        receipt().set(tags::FFD_VERSION, &[2]).without(tags::RETAIL_PLACE).add(tags::INTERNET_PAYMENT, &[1]);
    let found = old.keys(FfdVersion::V1_05);
    assert!(found.contains(&("B7", 1187)), "{found:?}");
}

/// Why: B8. The flag of the item, the flag of the receipt, and a supplier in answer to each.
#[test]
fn b8_finds_agents_without_a_supplier() {
    let agent = |item: Doc| item.add(tags::ITEM_AGENT_FLAGS, &[64]);
    expect(&receipt().item(agent), V1_2, &[("B8", 1226)]);
    expect(&receipt().item(|item| agent(item).add(tags::SUPPLIER_INN, b"7704211201  ")), V1_2, &[]);
    expect(&receipt().item(|item| item.add(tags::ITEM_AGENT_FLAGS, &[])), V1_2, &[]);
    let whole = receipt().add(tags::AGENT_FLAGS, &[64]).keys(FfdVersion::V1_1);
    assert!(whole.contains(&("B8", 1226)), "{whole:?}");
}

/// Why: B9. One spelling of "no Russian ИНН", and B5 keeps out of it.
#[test]
fn b9_finds_other_spellings_of_no_inn() {
    let supplier = |inn: &'static [u8]| receipt().item(|item| item.add(tags::SUPPLIER_INN, inn));
    expect(&supplier(b"000000000000"), V1_2, &[]);
    expect(&supplier(b"            "), V1_2, &[("B9", 1226)]);
    expect(&supplier(b"0000000000  "), V1_2, &[("B9", 1226)]);
}

/// Why: B10. A cashier has twelve digits; an empty one says nothing.
#[test]
fn b10_finds_cashiers_that_are_no_persons() {
    expect(&receipt().add(tags::CASHIER_INN, b"500100732259"), V1_2, &[]);
    expect(&receipt().add(tags::CASHIER_INN, b"            "), V1_2, &[]);
    expect(&receipt().add(tags::CASHIER_INN, b"7728029110  "), V1_2, &[("B10", 1203)]);
    expect(&receipt().add(tags::CASHIER_INN, b"500100732250"), V1_2, &[("B10", 1203)]);
}

/// Why: a finding is shown to a person: what, where, how loud, and the words for it.
#[test]
fn a_finding_says_what_where_and_what_instead() {
    let document = receipt().set(tags::OPERATION_TYPE, &[7]);
    let bytes = document.bytes();
    let found = document.found(V1_2).remove(0);
    assert_eq!(
        (found.rule, found.level(), found.tag),
        (RuleId::B4, Level::Error, Some(tags::OPERATION_TYPE))
    );
    assert_eq!(bytes[found.offset], 7);
    assert_eq!((found.actual.to_string(), found.expected.to_string()), ("7".into(), "одно из: 1–4".into()));
    assert_eq!((found.rule.key, found.rule.name), ("B4", "tag.value"));

    let nested = receipt().item(|item| item.set(tags::VAT_RATE, &[13]));
    let (bytes, found) = (nested.bytes(), nested.found(V1_2).remove(0));
    assert_eq!(bytes[found.offset], 13, "offsets count through nests");
}

/// Why: levels are part of the promise: these are at most warnings, because real documents trip over them.
#[test]
fn rules_that_real_documents_trip_over_do_not_shout() {
    for id in [RuleId::B1, RuleId::B5, RuleId::B6, RuleId::B9, RuleId::B10] {
        assert!(id.level() <= Level::Warning, "{id}");
    }
    for rule in rules::rules() {
        assert!(
            !rule.explain_ru.is_empty() && !rule.advice_ru.is_empty() && !rule.source.is_empty(),
            "{}",
            rule.id
        );
        assert_eq!(RuleId::by_key(rule.id.key), Some(rule.id));
    }
}

/// Why: what is refused on the wire is reported under the same ids.
#[test]
fn decoding_errors_belong_to_message_rules() {
    for (kind, rule) in [
        (DecodeErrorKind::Signature, RuleId::A1),
        (DecodeErrorKind::ContainerLength, RuleId::A2),
        (DecodeErrorKind::Crc, RuleId::A3),
        (DecodeErrorKind::NumberMismatch, RuleId::A4),
        (DecodeErrorKind::TlvLength, RuleId::A5),
        (DecodeErrorKind::Depth, RuleId::A7),
    ] {
        assert_eq!(RuleId::of_error(kind), Some(rule), "{kind:?}");
    }
    assert_eq!(RuleId::of_error(DecodeErrorKind::Hex), None);
}

/// Why: a hostile document must not make its report larger than itself.
#[test]
fn findings_are_capped_and_the_rest_is_counted() {
    let mut document = receipt();
    for _ in 0..1000 {
        document.tags.push((Tag(1999), vec![]));
    }
    let bytes = document.bytes();
    let found = check(&DocumentView::new_checked(&bytes).unwrap(), &CheckContext::new(V1_2));
    assert_eq!((found.len(), found.dropped()), (VIOLATIONS_MAX, 1000 - VIOLATIONS_MAX));
    assert_eq!(found.worst(), Some(Level::Warning));
    assert!(found.broke(RuleId::B1) && !found.broke(RuleId::B2));
}

/// Why: whatever the bytes, checking ends without a panic: every prefix of a document in every version, and every
/// document with one byte changed.
#[test]
fn damaged_documents_are_checked_without_harm() {
    let bytes = receipt().add(tags::RECEIPT_VAT_SUMS, &tlv(1119, &tlv(1199, &[7]))).bytes();
    let ask = |bytes: &[u8]| {
        if let Ok(view) = DocumentView::new_checked(bytes) {
            for version in FfdVersion::ALL {
                let _ = check(&view, &CheckContext::new(version));
            }
        }
    };
    for len in 4..bytes.len() {
        let body = u16::try_from(len - 4).unwrap().to_le_bytes();
        let mut cut = bytes[..len].to_vec();
        cut[2..4].copy_from_slice(&body);
        ask(&cut);
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            ask(&flipped);
        }
    }
}
