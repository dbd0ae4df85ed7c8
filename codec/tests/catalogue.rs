//! Every rule of the catalogue has a smallest document that breaks it and it alone, and a neighbour that breaks none.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may panic, and test documents are indexed by hand"
)]

mod common;

use common::draft::{Doc, correction, item, marked, receipt, registration, text, tlv, vln};
use ofd_codec::rules::rules;
use ofd_codec::{
    CheckContext, DecodeError, DriveNumber, FfdVersion, Form, Frame, Level, Message, RuleId, Tag, open_plain,
    tags,
};

/// A case: what breaks the rule, and what is next to it and does not.
enum Case {
    /// Both are documents.
    Documents { broken: Doc, clean: Doc, context: CheckContext },
    /// Both are messages from a register.
    Messages { broken: Vec<u8>, clean: Vec<u8> },
    /// Nothing in one message or document breaks it: who finds it is named.
    Elsewhere(&'static str),
}

fn of(version: FfdVersion, broken: Doc, clean: Doc) -> Case {
    Case::Documents { broken, clean, context: CheckContext::new(version) }
}

/// Of ФФД 1.2.
fn documents(broken: Doc, clean: Doc) -> Case {
    of(FfdVersion::V1_2, broken, clean)
}

/// A receipt whose only item is changed, beside one whose item is changed otherwise.
fn items(broken: impl FnOnce(Doc) -> Doc, clean: impl FnOnce(Doc) -> Doc) -> Case {
    documents(receipt().item(broken), receipt().item(clean))
}

const DRIVE: &str = "9999078900001234";

/// The message of a receipt, with its number in the container as given.
fn message(number: u32, plain: &[u8]) -> Vec<u8> {
    let drive = DriveNumber::parse(DRIVE).unwrap();
    let mut out = Vec::new();
    Message::from_register([1, 0x20], drive, number, Form::RECEIPT, plain).encode_into(&mut out).unwrap();
    out
}

/// A message with one byte changed.
fn flipped(at: usize) -> Vec<u8> {
    let mut bytes = message(7, &receipt().bytes());
    bytes[at] ^= 1;
    bytes
}

fn opened(message: &[u8]) -> Result<(), DecodeError> {
    let frame = Frame::new_checked(message)?;
    let container = frame.container();
    open_plain(&container, Some(&frame.header().drive), container.body()).map(|_| ())
}

fn messages(broken: Vec<u8>) -> Case {
    Case::Messages { broken, clean: message(7, &receipt().bytes()) }
}

/// Five levels of structures where four are the most there are.
fn deep() -> Vec<u8> {
    let inner = (0..4).fold(Vec::new(), |inside, _| tlv(1059, &inside));
    receipt().add(tags::ITEM, &inner).bytes()
}

/// 2025-04-01, when 20 % was the rate, and one of 2026.
const APRIL_2025: [u8; 4] = 1_743_465_600_u32.to_le_bytes();
const MAY_2026: [u8; 4] = 1_778_486_400_u32.to_le_bytes();
/// A day of 2020.
const MAY_2020: [u8; 4] = 1_589_155_200_u32.to_le_bytes();

/// A receipt of 100.00 with one rate, its tax and a flat total.
fn taxed(rate: u8, tax: u64, total: Tag, date: [u8; 4]) -> Doc {
    receipt()
        .item(|item| item.set(tags::VAT_RATE, &[rate]).add(tags::ITEM_VAT_SUM, &vln(tax)))
        .without(tags::TURNOVER_NO_VAT)
        .add(total, &vln(tax))
        .set(tags::DATE_TIME, &date)
}

/// 1115 with these rates and taxes.
fn sums(rows: &[(u8, u64)]) -> Vec<u8> {
    rows.iter()
        .flat_map(|&(rate, tax)| tlv(1119, &[tlv(1199, &[rate]), tlv(1120, &vln(tax))].concat()))
        .collect()
}

/// A receipt of 100.00 with a rate that stands in 1115.
fn taxed_anew(rate: u8, tax: u64) -> Doc {
    taxed(rate, tax, tags::RECEIPT_VAT_SUMS, MAY_2026)
        .set(tags::RECEIPT_VAT_SUMS, &sums(&[(rate, tax)]))
        .add(tags::TURNOVER_VAT_0, &vln(0))
}

fn industry(number: &[u8], value: &[u8]) -> Vec<u8> {
    [tlv(1262, b"030"), tlv(1263, b"21.11.2023"), tlv(1264, number), tlv(1265, value)].concat()
}

fn fraction(written: &str, numerator: u64, denominator: u64) -> Vec<u8> {
    [tlv(1292, written.as_bytes()), tlv(1293, &vln(numerator)), tlv(1294, &vln(denominator))].concat()
}

#[expect(clippy::too_many_lines, reason = "a table, a row a rule")]
fn case(key: &str) -> Option<Case> {
    let mut context = CheckContext::new(FfdVersion::V1_2);
    Some(match key {
        "A1" => messages(flipped(0)),
        "A2" => messages(flipped(30)),
        "A3" => messages(flipped(70)),
        "A4" => messages(message(8, &receipt().bytes())),
        "A5" => {
            let mut plain = receipt().bytes();
            // The length of the last requisite, of two bytes, grows by one.
            let at = plain.len() - 4;
            plain[at] += 1;
            messages(message(7, &plain))
        }
        "A6" => Case::Elsewhere("the crypto of the host says that the sign is false; the engine answers 11"),
        "A7" => messages(message(7, &deep())),
        "A8" => Case::Elsewhere("the lane of the drive knows what stands under the number"),

        "B1" => documents(receipt().add(tags::SHIFT_COUNTERS, &[]), receipt()),
        "B2" => documents(receipt().without(tags::RETAIL_PLACE_ADDRESS), receipt()),
        "B3" => documents(
            registration().set(tags::AUTO_MODE, &[1]),
            registration().set(tags::AUTO_MODE, &[1]).add(tags::MACHINE_NUMBER, b"A-1"),
        ),
        "B4" => {
            documents(receipt().set(tags::OPERATION_TYPE, &[7]), receipt().set(tags::OPERATION_TYPE, &[4]))
        }
        "B5" => documents(receipt().set(tags::USER_INN, b"7728029111  "), receipt()),
        "B6" => documents(registration().set(tags::KKT_NUMBER, b"00000000001234567891"), registration()),
        "B7" => documents(receipt().set(tags::RETAIL_PLACE, b"   "), receipt()),
        "B8" => items(
            |item| item.add(tags::ITEM_AGENT_FLAGS, &[64]),
            |item| item.add(tags::ITEM_AGENT_FLAGS, &[64]).add(tags::SUPPLIER_INN, b"7704211201  "),
        ),
        "B9" => items(
            |item| item.add(tags::SUPPLIER_INN, b"            "),
            |item| item.add(tags::SUPPLIER_INN, b"000000000000"),
        ),
        "B10" => documents(
            receipt().add(tags::CASHIER_INN, b"7728029110  "),
            receipt().add(tags::CASHIER_INN, b"500100732259"),
        ),

        // The total is a rouble less than the items; 99 kopecks less is rounding.
        "C1" => {
            let paid = |sum| receipt().set(tags::TOTAL_SUM, &vln(sum)).set(tags::CASH_SUM, &vln(sum));
            documents(paid(9_900), paid(9_901))
        }
        "C2" => documents(
            receipt().set(tags::CASH_SUM, &vln(9_000)),
            receipt().set(tags::CASH_SUM, &vln(9_000)).add(tags::ECASH_SUM, &vln(1_000)),
        ),
        "C3" => {
            items(|item| item.set(tags::QUANTITY, &[0, 2]), |item| item.set(tags::QUANTITY, &[3, 0xE8, 3]))
        }
        // 100.00 with 20 % holds 16.67.
        "C4" => {
            documents(taxed(1, 1_666, tags::VAT_20, APRIL_2025), taxed(1, 1_667, tags::VAT_20, APRIL_2025))
        }
        "C5" => documents(
            taxed(1, 1_667, tags::VAT_20, APRIL_2025).set(tags::VAT_20, &vln(1_669)),
            taxed(1, 1_667, tags::VAT_20, APRIL_2025).set(tags::VAT_20, &vln(1_668)),
        ),
        // 100.00 with 22 % holds 18.03.
        "C6" => documents(taxed_anew(11, 1_803).without(tags::RECEIPT_VAT_SUMS), taxed_anew(11, 1_803)),
        "C7" => documents(receipt().without(tags::TURNOVER_NO_VAT), receipt()),
        "C8" => documents(
            taxed(1, 1_667, tags::VAT_20, MAY_2026),
            taxed(1, 1_667, tags::VAT_20, MAY_2026).set(tags::OPERATION_TYPE, &[2]),
        ),
        // 100.00 with 5 % holds 4.76.
        "C9" => documents(
            taxed_anew(7, 476).set(tags::APPLIED_TAXATION_TYPE, &[1]),
            taxed_anew(7, 476).set(tags::APPLIED_TAXATION_TYPE, &[4]),
        ),
        "C10" => documents(
            receipt().set(tags::APPLIED_TAXATION_TYPE, &[3]),
            receipt().set(tags::APPLIED_TAXATION_TYPE, &[4]),
        ),
        "C11" => {
            let credit = receipt().set(tags::CASH_SUM, &vln(0)).add(tags::CREDIT_SUM, &vln(10_000));
            let given = item().set(tags::PAYMENT_METHOD, &[6]).body();
            documents(credit.clone(), credit.set(tags::ITEM, &given))
        }
        "C12" => {
            let base = [tlv(1178, &APRIL_2025), tlv(1179, b"1")].concat();
            let old = || {
                let old = correction().set(tags::FFD_VERSION, &[2]).without(tags::ITEM);
                old.set(tags::CORRECTION_BASE, &base)
            };
            of(FfdVersion::V1_05, old().set(tags::OPERATION_TYPE, &[2]), old())
        }
        "C13" => {
            let number = [tlv(1178, &APRIL_2025), tlv(1179, b"12-34")].concat();
            let ordered = || correction().set(tags::CORRECTION_TYPE, &[1]);
            documents(
                ordered().set(tags::CORRECTION_BASE, &tlv(1178, &APRIL_2025)),
                ordered().set(tags::CORRECTION_BASE, &number),
            )
        }
        // Half of it, at twice the price.
        "C14" => {
            let half = |item: Doc| item.set(tags::QUANTITY, &[1, 5]).set(tags::PRICE, &vln(20_000));
            items(half, move |item| half(item).set(tags::QUANTITY_MEASURE, &[11]))
        }
        "C15" => items(
            |item| item.set(tags::ITEM_NAME, &text("Товар", 0)),
            |item| item.set(tags::ITEM_NAME, &text("Товары в дорогу", 0)),
        ),
        "C16" => {
            let online = receipt().add(tags::INTERNET_PAYMENT, &[1]).set(tags::RETAIL_PLACE, b"shop.ru");
            documents(online.clone(), online.add(tags::BUYER_CONTACT, b"+70000000000"))
        }
        "C17" => {
            let clean = receipt().set(tags::CASH_SUM, &vln(0)).add(tags::ECASH_SUM, &vln(10_000));
            context.internet_only = true;
            Case::Documents { broken: receipt(), clean, context }
        }
        "C18" => {
            let free = |price| {
                receipt()
                    .item(|item| item.set(tags::PRICE, &vln(price)).set(tags::ITEM_SUM, &vln(0)))
                    .set(tags::TOTAL_SUM, &vln(0))
                    .set(tags::CASH_SUM, &vln(0))
                    .set(tags::TURNOVER_NO_VAT, &vln(0))
            };
            // A price of a kopeck, because C3 looks at the product as well and lets a kopeck pass.
            documents(free(0), free(1))
        }

        "G1" => {
            context.marked_goods = Some(false);
            Case::Documents { broken: marked(|item| item), clean: receipt(), context }
        }
        "G2" => documents(marked(|item| item.without(tags::PRODUCT_CODE_STLV)), marked(|item| item)),
        "G3" => {
            let refused = || marked(|item| item.set(tags::ITEM_CHECK_RESULT, &[1]));
            documents(refused(), refused().set(tags::RECEIPT_CHECK_RESULT, &[1]))
        }
        "G4" => documents(
            marked(|item| item.add(tags::FRACTION, &fraction("3/2", 3, 2))),
            marked(|item| item.add(tags::FRACTION, &fraction("1/2", 1, 2))),
        ),
        "G5" => documents(
            marked(|item| item.add(tags::ITEM_INDUSTRY_DETAILS, &industry(b"1944", b"none"))),
            marked(|item| {
                item.add(tags::ITEM_INDUSTRY_DETAILS, &industry(b"1944", b"UUID=1f-2e&Time=1710000000000"))
            }),
        ),
        _ => return None,
    })
}

/// Why: a rule that nothing breaks is a stub, one that breaks with others is none of its own, and a row without a case
/// would be neither.
#[test]
fn every_rule_has_a_smallest_document_that_breaks_it_alone() {
    for rule in rules() {
        let key = rule.id.key;
        match case(key).unwrap_or_else(|| panic!("{key} has no case in this file")) {
            Case::Documents { broken, clean, context } => {
                let found = broken.found_in(&context);
                assert!(!found.is_empty(), "{key} is not broken");
                assert!(found.iter().all(|it| it.rule == rule.id), "{key}: {found:#?}");
                assert_eq!(found.len(), 1, "{key}: {found:#?}");
                assert_eq!(clean.found_in(&context), [], "the neighbour of {key}");
            }
            Case::Messages { broken, clean } => {
                let error = opened(&broken).expect_err(key);
                assert_eq!(RuleId::of_error(error.kind), Some(rule.id), "{key}: {error}");
                opened(&clean).unwrap();
            }
            Case::Elsewhere(who) => {
                assert!(!who.is_empty() && matches!(key, "A6" | "A8"), "{key} belongs to the codec");
            }
        }
    }
}

/// Why: these are at most warnings, because real documents trip over them.
#[test]
fn rules_that_real_documents_trip_over_do_not_shout() {
    for key in ["B1", "B5", "B6", "B9", "B10", "C3", "C5", "C8", "C11", "C14", "C15", "C18"] {
        assert!(RuleId::by_key(key).unwrap().level() <= Level::Warning, "{key}");
    }
}

/// Why: the page is what a finding points to: every rule has an entry with its words, its example and its test.
#[test]
fn every_rule_has_an_entry_on_the_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md")).unwrap();
    for rule in rules() {
        let (_, entry) = page.split_once(&format!("\n## {} {}\n", rule.id.key, rule.id.name)).unwrap();
        let entry = entry.split("\n## ").next().unwrap();
        for part in [rule.explain_ru, rule.advice_ru, rule.source, "Пример: ", "Test: "] {
            assert!(entry.contains(part) && !part.is_empty(), "{}: {part}", rule.id);
        }
    }
}

/// What is changed in an item.
type Change = fn(Doc) -> Doc;

/// Rule and tag of each finding, in ФФД 1.2.
fn keys(doc: &Doc) -> Vec<(&'static str, u16)> {
    doc.keys(FfdVersion::V1_2)
}

/// Why: the day decides: that of the receipt, and of a correction that of the settlement it repairs.
#[test]
fn the_law_is_that_of_the_day_of_the_settlement() {
    // 18 % until 2018: 100.00 holds 15.25.
    let old = 1_514_764_800_u32.to_le_bytes();
    assert_eq!(keys(&taxed(1, 1_525, tags::VAT_20, old)), []);
    assert_eq!(keys(&taxed(1, 1_525, tags::VAT_20, MAY_2020)), [("C4", 1200)]);
    assert_eq!(keys(&taxed(1, 1_667, tags::VAT_20, MAY_2020)), []);
    // Without a day both are possible, and no rule of a day speaks.
    for tax in [1_525, 1_667] {
        assert_eq!(keys(&taxed(1, tax, tags::VAT_20, [0; 4])), []);
    }
    assert_eq!(keys(&taxed_anew(11, 1_803).set(tags::DATE_TIME, &APRIL_2025)), [("C8", 1199)]);
    assert_eq!(keys(&taxed_anew(7, 476).set(tags::DATE_TIME, &MAY_2020)), [("C9", 1199)]);
    // A correction of 2026 that repairs a sale of 2025 tells the rate of 2025.
    let taxed = item().set(tags::VAT_RATE, &[1]).add(tags::ITEM_VAT_SUM, &vln(1_667)).body();
    let repaired = |day: [u8; 4]| {
        correction()
            .set(tags::DATE_TIME, &MAY_2026)
            .set(tags::CORRECTION_BASE, &tlv(1178, &day))
            .set(tags::ITEM, &taxed)
            .without(tags::TURNOVER_NO_VAT)
            .add(tags::VAT_20, &vln(1_667))
    };
    assert_eq!(keys(&repaired(APRIL_2025)), []);
    assert_eq!(keys(&repaired(MAY_2026)), [("C8", 1199)]);
    // The imputed tax ended with 2020.
    let imputed = receipt().set(tags::APPLIED_TAXATION_TYPE, &[8]);
    assert_eq!(keys(&imputed.clone().set(tags::DATE_TIME, &MAY_2020)), []);
    assert_eq!(keys(&imputed.set(tags::DATE_TIME, &APRIL_2025)), [("C10", 1055)]);
}

/// Why: what the last registration says is part of C10, C17 and G1, and B6 has asked for it before.
#[test]
fn what_the_registration_says_is_asked() {
    let report =
        registration().set(tags::USAGE_CONDITIONS, &[0x20, 1, 0, 0]).set(tags::TAXATION_TYPES, &[4]).bytes();
    let view = ofd_codec::DocumentView::new_checked(&report).unwrap();
    let context = CheckContext::of_registration(&view, FfdVersion::V1_2);
    assert_eq!(
        (context.taxation_types, context.internet_only, context.marked_goods),
        (Some(4), true, Some(true))
    );
    assert_eq!(context.kkt_number, Some(*b"00000000001234567890"));
    let found: Vec<_> = receipt().found_in(&context).iter().map(|it| it.rule.key).collect();
    assert_eq!(found, ["C10", "C17"]);
}

/// Why: money in several tags, an item's tax left out, new rates beside old ones: sums that are right stay silent.
#[test]
fn honest_receipts_of_several_rates_and_payments_break_nothing() {
    let line = |rate: u8, sum: u64, tax: u64| {
        item()
            .set(tags::PRICE, &vln(sum))
            .set(tags::ITEM_SUM, &vln(sum))
            .set(tags::VAT_RATE, &[rate])
            .add(tags::ITEM_VAT_SUM, &vln(tax))
            .body()
    };
    let whole = receipt()
        .set(tags::DATE_TIME, &MAY_2026)
        .set(tags::ITEM, &line(11, 12_200, 2_200))
        .add(tags::ITEM, &line(2, 11_000, 1_000))
        .add(tags::ITEM, &line(2, 1_003, 91))
        .add(tags::ITEM, &line(8, 10_700, 700))
        .add(tags::ITEM, &item().body())
        .set(tags::TOTAL_SUM, &vln(44_903))
        .set(tags::CASH_SUM, &vln(4_903))
        .add(tags::ECASH_SUM, &vln(30_000))
        .add(tags::PREPAID_SUM, &vln(10_000))
        .add(tags::VAT_10, &vln(1_091))
        .add(tags::RECEIPT_VAT_SUMS, &sums(&[(11, 2_200), (8, 700)]));
    assert_eq!(keys(&whole), []);
    let doubled = whole.clone().set(tags::RECEIPT_VAT_SUMS, &sums(&[(11, 2_200), (8, 700), (8, 700)]));
    assert_eq!(keys(&doubled), [("C6", 1120)]);
    let short = whole.clone().set(tags::RECEIPT_VAT_SUMS, &sums(&[(11, 2_200)]));
    assert_eq!(keys(&short), [("C6", 1115)]);
    let wrong = whole.set(tags::RECEIPT_VAT_SUMS, &sums(&[(11, 2_202), (8, 700)]));
    assert_eq!(keys(&wrong), [("C5", 1120)]);
    // An item does not say its tax: the rate tells it.
    let silent =
        taxed(1, 1_667, tags::VAT_20, APRIL_2025).set(tags::ITEM, &item().set(tags::VAT_RATE, &[1]).body());
    assert_eq!(keys(&silent), []);
    // 1115 alone comes with 1104 = 0.
    assert_eq!(keys(&taxed_anew(11, 1_803).without(tags::TURNOVER_VAT_0)), [("C6", 1104)]);
}

/// Why: sums that no till can reach must neither wrap nor stop the check.
#[test]
fn absurd_figures_are_checked_without_wrapping() {
    let huge = [0xFF; 8];
    let line = |item: Doc| {
        item.set(tags::PRICE, &huge)
            .set(tags::ITEM_SUM, &huge)
            .set(tags::QUANTITY, &[255, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
            .set(tags::VAT_RATE, &[1])
            .add(tags::ITEM_VAT_SUM, &huge)
    };
    let body = line(item()).body();
    let absurd = receipt()
        .set(tags::ITEM, &body)
        .add(tags::ITEM, &body)
        .set(tags::CASH_SUM, &huge)
        .add(tags::ECASH_SUM, &huge);
    let found = keys(&absurd);
    assert!(found.contains(&("C1", 1020)) && found.contains(&("C2", 1020)), "{found:?}");
}

/// Why: each clause of a rule with several is held by a document of its own.
#[test]
fn every_clause_of_the_rules_of_settlement_and_marking_speaks() {
    let item_cases: [(&str, u16, Change); 8] = [
        ("C14", 1023, |item| {
            item.set(tags::QUANTITY, &[0, 0]).set(tags::ITEM_SUM, &[0]).set(tags::PRICE, &[0])
        }),
        ("C15", 1030, |item| item.without(tags::ITEM_NAME)),
        ("C15", 1030, |item| item.set(tags::ITEM_NAME, &text("УСЛУГА ", 0))),
        ("G2", 2106, |item| {
            item.set(tags::PAYMENT_SUBJECT, &[33])
                .add(tags::PRODUCT_CODE_STLV, &tlv(1305, b"0104"))
                .add(tags::CODE_PROCESSING_MODE, &[0])
        }),
        ("G2", 1305, |item| {
            item.set(tags::PAYMENT_SUBJECT, &[32]).add(tags::PRODUCT_CODE_STLV, &tlv(1305, b"0104"))
        }),
        ("G4", 2108, |item| {
            item.add(tags::FRACTION, &fraction("1/2", 1, 2)).set(tags::QUANTITY_MEASURE, &[11])
        }),
        ("G4", 1292, |item| item.add(tags::FRACTION, &fraction("1/3", 1, 2))),
        ("G5", 1264, |item| item.add(tags::ITEM_INDUSTRY_DETAILS, &industry(b"477", b"UUID=1&Time=2"))),
    ];
    for (key, tag, change) in item_cases {
        let found = keys(&receipt().item(change));
        assert!(found.contains(&(key, tag)), "{key} {tag}: {found:?}");
    }
    assert_eq!(keys(&receipt().add(tags::BUYER_CONTACT, b"a@b.ru")), [("C16", 1117)]);
    assert_eq!(
        keys(
            &receipt()
                .add(tags::PREPAID_SUM, &vln(10_000))
                .set(tags::CASH_SUM, &[0])
                .item(|item| item.set(tags::PAYMENT_METHOD, &[3]))
        ),
        [("C11", 1215)]
    );
    assert_eq!(keys(&marked(|item| item.set(tags::ITEM_CHECK_RESULT, &[2]))), [("G3", 2106)]);
    let later = correction().set(tags::CORRECTION_BASE, &tlv(1178, &MAY_2026));
    assert_eq!(keys(&later), [("C13", 1178)]);
    assert_eq!(keys(&correction().without(tags::CORRECTION_TYPE)), [("C13", 1173)]);
    // An advance needs no name, and an agent's supplier has taxes of his own.
    assert_eq!(
        keys(&receipt().item(|item| item.without(tags::ITEM_NAME).set(tags::PAYMENT_METHOD, &[3]))),
        []
    );
    let agent = item()
        .set(tags::VAT_RATE, &[7])
        .add(tags::ITEM_VAT_SUM, &vln(476))
        .add(tags::SUPPLIER_INN, b"7704211201  ")
        .body();
    assert_eq!(keys(&taxed_anew(7, 476).set(tags::APPLIED_TAXATION_TYPE, &[1]).set(tags::ITEM, &agent)), []);
}
