//! Typed views and builders: what is built keeps the rules of its version and is read back as it was given; what the
//! check passes can be read whole.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeSet;

use common::forms::{self, NOON, PLACE};
use ofd_codec::dictionary::{Kind, lookup};
use ofd_codec::forms::{
    AnswerCode, ChangeReasons, ItemBuilder, Operation, ProductCodeBuilder, Receipt, ReceiptBuilder,
    Settlement, ShiftOpenBuilder, TaxSystems, Typed, UsageConditions, VatRate, VatSumsBuilder,
};
use ofd_codec::rules::{CheckContext, RuleId, check};
use ofd_codec::{
    DocumentNumber, DocumentView, EncodeError, EncodeErrorKind, FfdVersion, Form, Kopecks, LocalSeconds,
    Piece, Quantity, Tag, TlvWriter, Validated, Value, read_any, tags,
};
use proptest::prelude::*;

/// Why: an answer is said by another requisite in 1.1, and an archive of answers that is read by one of them alone takes refusals for
/// acceptance.
#[test]
fn an_answer_comes_back_in_every_version() {
    for version in FfdVersion::ALL {
        for answer in [AnswerCode::ACCEPTED, AnswerCode::FORMAT_CONTROL, AnswerCode(11)] {
            let plain = forms::answered(version, 7, answer).finish().unwrap();
            let Typed::Confirmation(read) =
                DocumentView::new_checked(&plain).unwrap().typed(version).unwrap()
            else {
                panic!("another form")
            };
            // 1.1 says only whether format control has failed.
            let said = if version == FfdVersion::V1_1 && answer == AnswerCode(11) {
                AnswerCode::ACCEPTED
            } else {
                answer
            };
            assert_eq!(read.answer(), said, "{version}");
        }
    }
}

/// Why: a builder that lets one form of one version slip is a builder of ill-formed documents.
#[test]
fn what_is_built_keeps_the_rules_of_structure_of_its_version() {
    let all = forms::every_form();
    let known: BTreeSet<_> = all.iter().map(|(version, form, ..)| (*version, *form)).collect();
    // Eleven forms in each of four versions, and the marking exchange of the last.
    assert_eq!((all.len(), known.len()), (48, 48));
    for (version, form, number, plain) in &all {
        let view = DocumentView::new_checked(plain).unwrap();
        assert_eq!(view.form(), *form);
        let found = check(&view, &CheckContext::new(*version));
        for rule in
            [RuleId::B1, RuleId::B2, RuleId::B3, RuleId::B4, RuleId::B5, RuleId::B6, RuleId::B9, RuleId::B10]
        {
            assert!(!found.broke(rule), "{form} {number} of {version}: {found:?}");
        }
        let typed = view.typed(*version).unwrap();
        // The version stands in the document, or it is one of those that have no place for it.
        let said = view.get(tags::FFD_VERSION).and_then(|value| value.u8().ok());
        assert!(said.is_none_or(|code| code == version.code()), "{typed:?}");
    }
}

/// Why: these are the sentences that a user of the crate writes first.
#[test]
fn views_say_what_the_builders_were_told() {
    for (version, _, number, plain) in forms::every_form() {
        let view = DocumentView::new_checked(&plain).unwrap();
        let stamp = forms::stamp(version, number);
        match view.typed(version).unwrap() {
            Typed::Receipt(receipt) => {
                assert_eq!(receipt.total(), Some(Kopecks(41_427)));
                assert_eq!(receipt.operation(), Some(Operation::SALE));
                assert_eq!(receipt.shift(), Some(7));
                assert_eq!(receipt.number_in_shift(), Some(number - 30));
                assert_eq!(
                    (receipt.number(), receipt.sign()),
                    (Some(DocumentNumber(number)), Some(stamp.sign))
                );
                assert_eq!(receipt.drive(), Some(stamp.drive));
                assert_eq!(receipt.user_inn().unwrap().to_cow(), "7701234560");
                assert_eq!(receipt.registration_number().unwrap().to_cow(), stamp.registration.as_str());
                assert_eq!((receipt.cash(), receipt.ecash()), (Some(Kopecks(0)), Some(Kopecks(41_427))));
                assert_eq!(receipt.tax_system(), Some(TaxSystems::GENERAL));
                assert!(!receipt.internet() && receipt.agent_flags().is_none());
                if version != FfdVersion::V1_0 {
                    assert_eq!(receipt.retail_place().unwrap().to_cow(), PLACE);
                }
                assert_eq!(receipt.correction_base().is_some(), receipt.is_correction());
                if let Some(base) = receipt.correction_base() {
                    assert_eq!(base.number().unwrap().to_cow(), "12-АБ/34");
                    assert_eq!(base.date().unwrap().0 % 86_400, 0);
                }
                let sum: i64 = receipt.items().filter_map(|item| item.sum()).map(|sum| sum.0).sum();
                assert!(receipt.items().count() == 0 || sum == 41_427);
                if let Some(item) = receipt.items().nth(1) {
                    assert_eq!(item.quantity(), Some(Quantity { mantissa: 1_276_350, scale: 6 }));
                    assert_eq!(item.name().unwrap().to_cow(), "Яблоки");
                }
                if let Some(sums) = receipt.vat_sums() {
                    let sums: Vec<_> = sums.sums().map(|sum| (sum.vat_rate(), sum.sum())).collect();
                    assert_eq!(sums, [(Some(VatRate::VAT_22), Some(Kopecks(2_867)))]);
                }
            }
            Typed::Registration(registration) => {
                assert_eq!(registration.tax_systems(), Some(TaxSystems::GENERAL | TaxSystems::PATENT));
                assert_eq!(registration.factory_number().unwrap().to_cow(), forms::FACTORY);
                assert!(!registration.automatic() && !registration.encrypted());
                let changed = ChangeReasons::USER_NAME | ChangeReasons::TAX_SYSTEMS;
                if !registration.is_change() {
                    assert_eq!((registration.reasons(), registration.reason_codes().count()), (None, 0));
                } else if version >= FfdVersion::V1_1 {
                    assert_eq!(registration.reasons(), Some(changed));
                    let names: Vec<_> = changed.iter().filter_map(ChangeReasons::name_ru).collect();
                    assert_eq!(
                        names,
                        ["изменение наименования пользователя", "изменение перечня систем налогообложения"]
                    );
                } else {
                    assert_eq!(registration.reason_codes().collect::<Vec<_>>(), [3, 4]);
                }
                if version == FfdVersion::V1_2 {
                    assert!(registration.usage_conditions().unwrap().contains(UsageConditions::MARKED_GOODS));
                }
            }
            Typed::ShiftOpen(shift) => {
                assert_eq!((shift.shift(), shift.operator_silent()), (Some(7), version != FfdVersion::V1_0));
            }
            Typed::ShiftClose(shift) => {
                assert_eq!((shift.shift_receipts(), shift.shift_documents()), (Some(3), Some(5)));
                assert_eq!(shift.counters().is_some(), version >= FfdVersion::V1_1);
                for counters in shift.counters().into_iter().chain(shift.drive_counters()) {
                    assert_eq!(counters.receipts(), Some(3));
                    assert_eq!(counters.sales().unwrap().total(), Some(Kopecks(100_730)));
                    assert!(counters.purchases().is_none());
                    let corrections = counters.corrections().unwrap();
                    assert_eq!(corrections.count(), Some(1));
                    assert_eq!(corrections.sales().unwrap().receipts(), Some(1));
                }
            }
            Typed::StateReport(state) => {
                assert_eq!((state.unsent_documents(), state.unsent_first()), (Some(3), Some(number - 3)));
                if let Some(unsent) = state.unsent_counters() {
                    assert_eq!(unsent.sale_corrections().unwrap().total(), Some(Kopecks(100)));
                }
            }
            Typed::ArchiveClose(archive) => assert_eq!(archive.number(), Some(DocumentNumber(number))),
            Typed::Confirmation(confirmation) => {
                assert_eq!(confirmation.number(), Some(number));
                assert_eq!(confirmation.ofd_inn().unwrap().to_cow(), "7700001002");
                let answer = confirmation.message().and_then(|message| message.answer());
                assert_eq!(answer.is_some(), version != FfdVersion::V1_1);
                assert!(answer.is_none_or(|answer| answer == AnswerCode::ACCEPTED));
            }
            Typed::MarkingRequest(request) => {
                assert_eq!(
                    (request.request_serial(), request.request_date_time()),
                    (Some(5), Some(LocalSeconds(NOON)))
                );
            }
            Typed::MarkingNotification(notification) => {
                let item = notification.items().next().unwrap();
                assert_eq!(item.price(), Some(Kopecks(10_000)));
                assert_eq!(item.marking_code(), notification.items().next().unwrap().marking_code());
            }
            Typed::MarkingAnswer(answer) => assert_eq!(answer.request_results(), Some(15)),
            Typed::MarkingReceipt(receipt) => assert_eq!(receipt.notification_status(), Some(0)),
            other => panic!("{other:?}"),
        }
    }
}

/// Why: a builder that cuts, drops or bends a value writes another document than it was asked for.
#[test]
fn builders_refuse_what_has_no_place_or_no_encoding() {
    let version = FfdVersion::V1_2;
    let good = || forms::receipt(version, Form::RECEIPT, 44);
    assert!(good().finish().is_ok());
    let item = || ItemBuilder::new("Чай", Kopecks(1), forms::ONE, Kopecks(1));
    let refused = |kind, tag: u16, builder: ReceiptBuilder| {
        assert_eq!(builder.finish(), Err(EncodeError { kind, tag: Some(Tag(tag)) }));
    };
    refused(EncodeErrorKind::Text, 1021, good().cashier("日"));
    refused(EncodeErrorKind::Misplaced, 1021, good().cashier("Второй"));
    refused(EncodeErrorKind::Overflow, 1102, good().vat_20(Kopecks(-1)));
    // Tags of an older version, and of another form.
    refused(EncodeErrorKind::Misplaced, 1057, good().agent_flags(ofd_codec::forms::AgentFlags::OTHER_AGENT));
    refused(
        EncodeErrorKind::Misplaced,
        1174,
        good().correction_base(ofd_codec::forms::CorrectionBaseBuilder::new(LocalSeconds(0))),
    );
    // Codes that no list has, lengths that no tag has.
    refused(EncodeErrorKind::Value, 1199, good().items(item().vat_rate(VatRate(13))));
    refused(EncodeErrorKind::Value, 1117, good().sender_email(&"a".repeat(65)));
    refused(EncodeErrorKind::Value, 1302, good().items(item().code(ProductCodeBuilder::new().ean13("46"))));
    refused(
        EncodeErrorKind::Overflow,
        1023,
        good().items(ItemBuilder::new(
            "Чай",
            Kopecks(1),
            Quantity { mantissa: 1 << 56, scale: 0 },
            Kopecks(1),
        )),
    );
    // What is demanded and missing: an item without a sum, a receipt without a place.
    refused(
        EncodeErrorKind::Missing,
        1043,
        good().items(ItemBuilder::blank().quantity(forms::ONE).price(Kopecks(1)).name("Чай")),
    );
    let settlement =
        Settlement { shift: 1, number_in_shift: 1, operation: Operation::SALE, total: Kopecks(1) };
    let bare = ReceiptBuilder::receipt(version, &forms::stamp(version, 1), &settlement);
    assert_eq!(bare.finish().unwrap_err().kind, EncodeErrorKind::Missing);
    // A hundred long items fit a container, twice as many do not.
    let long = || ItemBuilder::new(&"y".repeat(128), Kopecks(1), forms::ONE, Kopecks(1));
    let many = |count| (0..count).fold(good(), |all, _| all.items(long()));
    assert_eq!(many(100).finish().map(drop), Ok(()));
    let too_long = many(250);
    assert_eq!(too_long.finish().unwrap_err().kind, EncodeErrorKind::TooLong);
}

/// Why: `None` has to mean missing; the check must therefore refuse whatever a getter could not read, and no more.
#[test]
fn what_the_check_passes_is_never_unreadable() {
    let mut refused = 0;
    for (version, form, _, plain) in forms::every_form() {
        let mut plain = plain;
        // Low and high bits by turns: tags, lengths and values are all hit.
        for (at, bit) in (0..plain.len()).flat_map(|at| [(at, at % 3), (at, 7 - at % 5)]) {
            plain[at] ^= 1 << bit;
            if let Ok(view) = DocumentView::new_checked(&plain) {
                match view.typed(version) {
                    Ok(_) => every_value_reads(&view, version),
                    Err(error) => {
                        refused += 1;
                        assert!(error.offset < plain.len(), "{form} of {version}: {error}");
                    }
                }
            }
            plain[at] ^= 1 << bit;
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Why: whoever takes one check for the other either loses documents that can be read or reads what can not be.
#[test]
fn the_check_of_a_view_and_that_of_the_tables_ask_different_things() {
    let version = FfdVersion::V1_2;
    let asked = |write: &dyn Fn(&mut TlvWriter<'_>)| {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::RECEIPT, |w| {
                write(w);
                Ok(())
            })
            .unwrap();
        let validated = Validated::check(&bytes, version).unwrap();
        (validated.findings().is_empty(), validated.view().typed(version).is_ok())
    };
    assert_eq!(asked(&|w| w.vln(tags::TOTAL_SUM, 1)), (true, true));
    assert_eq!(asked(&|w| w.text(tags::CASHIER, &"Я".repeat(65)).unwrap()), (false, true));
    assert_eq!(asked(&|w| w.bytes(tags::TOTAL_SUM, &[0xFF; 8]).unwrap()), (true, false));
    assert_eq!(asked(&|w| w.bytes(tags::DATE_TIME, &[1]).unwrap()), (false, false));
}

/// Reads each value of the upper levels by its kind, as the getters do.
fn every_value_reads(view: &DocumentView<'_>, version: FfdVersion) {
    fn level<'a>(parent: u16, version: FfdVersion, tags: impl Iterator<Item = (Tag, Value<'a>)>) {
        for (tag, value) in tags {
            let Some(entry) = lookup(tag, parent, version) else { continue };
            match entry.kind {
                Kind::Byte => drop(value.u8().unwrap()),
                Kind::U16 => drop(value.u16().unwrap()),
                Kind::U32 => drop(value.u32().unwrap()),
                Kind::UnixTime => drop(value.unixtime().unwrap()),
                Kind::Vln => drop(value.kopecks().unwrap()),
                Kind::Fvln => drop(value.fvln().unwrap()),
                Kind::Bits => drop(value.bits().unwrap()),
                Kind::Stlv => level(tag.0, version, value.children().map(Result::unwrap)),
                Kind::Text | Kind::Bytes => {}
            }
        }
    }
    level(u16::from(view.form().0), version, view.tags());
}

/// Why: the check is for real documents, not for ours: it must let them through, and their sums must be there.
#[test]
fn real_documents_are_read_through_their_types() {
    let Some(wire) = common::facts("samples/receipts.wire") else { return };
    let (mut receipts, mut items) = (0, 0);
    for piece in read_any(&wire) {
        let piece = piece.unwrap();
        let Piece::Message(..) = piece else { panic!("the file holds messages") };
        let view = piece.document();
        let Typed::Receipt(receipt) = view.typed(piece.version()).unwrap() else { continue };
        receipts += 1;
        items += receipt.items().count();
        let total = receipt.total().unwrap().0;
        let paid =
            [receipt.cash(), receipt.ecash(), receipt.prepaid(), receipt.credit(), receipt.provision()];
        assert_eq!(paid.into_iter().flatten().map(|sum| sum.0).sum::<i64>(), total);
    }
    eprintln!("{receipts} receipts, {items} items");
    assert!(receipts > 100 && items > receipts);
}

/// Why: a form that has no type, and a view of another form, are refused and not taken for something else.
#[test]
fn a_form_is_read_by_its_own_type_only() {
    let mut bytes = Vec::new();
    TlvWriter::new(&mut bytes).document(Form(99), |_| Ok(())).unwrap();
    assert!(DocumentView::new_checked(&bytes).unwrap().typed(FfdVersion::V1_2).is_err());
    let version = FfdVersion::V1_2;
    let shift =
        ShiftOpenBuilder::new(version, &forms::stamp(version, 1), 1).kkt_version("1").kkt_ffd_version(4);
    let bytes = shift.finish().unwrap();
    assert!(Receipt::new_checked(&DocumentView::new_checked(&bytes).unwrap(), version).is_err());
}

fn text(len: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just('Я'),
            Just('ё'),
            Just('№'),
            Just(' '),
            Just('"'),
            Just('\n'),
            prop::char::range(' ', '~')
        ],
        1..=len,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    price: i64,
    quantity: Quantity,
    sum: i64,
    rate: u8,
    code: Option<String>,
}

fn line() -> impl Strategy<Value = Line> {
    (
        text(128),
        0..1_i64 << 40,
        (0..1_u64 << 56, 0..9_u8),
        0..1_i64 << 40,
        1..=12_u8,
        prop::option::of("[!-~]{1,38}"),
    )
        .prop_map(|(name, price, (mantissa, scale), sum, rate, code)| Line {
            name,
            price,
            quantity: Quantity { mantissa, scale },
            sum,
            rate,
            code,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// view ∘ build = id on the values, and what is built keeps B1-B4.
    #[test]
    fn what_is_built_is_read_back_the_same(
        lines in proptest::collection::vec(line(), 1..6),
        (operation, tax) in (1..=4_u8, 0..6_u8),
        total in 0..1_i64 << 50,
        sums in proptest::collection::vec((1..=12_u8, 0..1_i64 << 40), 0..4),
        (user, place) in (text(100), text(100)),
        (shift, in_shift, number) in (any::<u32>(), any::<u32>(), any::<u32>()),
        newest in any::<bool>(),
    ) {
        let version = if newest { FfdVersion::V1_2 } else { FfdVersion::V1_05 };
        let stamp = ofd_codec::forms::Stamp { number: DocumentNumber(number), ..forms::stamp(version, 7) };
        let settlement = Settlement {
            shift,
            number_in_shift: in_shift,
            operation: Operation(operation),
            total: Kopecks(total),
        };
        let mut builder = ReceiptBuilder::receipt(version, &stamp, &settlement)
            .tax_system(TaxSystems(1 << tax))
            .user_name(&user)
            .retail_place_address(&place)
            .retail_place(&place);
        for line in &lines {
            let item = ItemBuilder::new(&line.name, Kopecks(line.price), line.quantity, Kopecks(line.sum))
                .vat_rate(VatRate(line.rate));
            // Before 1.2 there is no such structure.
            let code = line.code.as_deref().filter(|_| newest);
            builder = builder.items(match code {
                Some(code) => item.code(ProductCodeBuilder::new().gs1m(code)),
                None => item,
            });
        }
        if !sums.is_empty() {
            let sums = sums.iter().map(|&(rate, sum)| (VatRate(rate), Kopecks(sum)));
            builder = builder.vat_sums(VatSumsBuilder::new(sums));
        }
        let bytes = builder.finish().unwrap();
        let view = DocumentView::new_checked(&bytes).unwrap();
        let receipt = Receipt::new_checked(&view, version).unwrap();
        prop_assert_eq!(receipt.total(), Some(Kopecks(total)));
        prop_assert_eq!(receipt.operation(), Some(Operation(operation)));
        prop_assert_eq!(receipt.tax_system(), Some(TaxSystems(1 << tax)));
        prop_assert_eq!((receipt.shift(), receipt.number_in_shift()), (Some(shift), Some(in_shift)));
        prop_assert_eq!(receipt.number(), Some(DocumentNumber(number)));
        prop_assert_eq!(receipt.user_name().unwrap().to_cow(), user);
        prop_assert_eq!(receipt.retail_place().unwrap().to_cow(), place);
        let read: Vec<_> = receipt
            .vat_sums()
            .into_iter()
            .flat_map(|all| all.sums().collect::<Vec<_>>())
            .map(|sum| (sum.vat_rate().unwrap().0, sum.sum().unwrap().0))
            .collect();
        prop_assert_eq!(read, sums);
        prop_assert_eq!(receipt.items().count(), lines.len());
        for (item, line) in receipt.items().zip(&lines) {
            prop_assert_eq!(item.name().unwrap().to_cow(), line.name.as_str());
            prop_assert_eq!((item.price(), item.sum()), (Some(Kopecks(line.price)), Some(Kopecks(line.sum))));
            prop_assert_eq!(item.quantity(), Some(line.quantity));
            prop_assert_eq!(item.vat_rate(), Some(VatRate(line.rate)));
            let code = item.code().and_then(|code| code.gs1m()).map(|code| code.to_string());
            prop_assert_eq!(code, line.code.clone().filter(|_| newest));
        }
    }
}
