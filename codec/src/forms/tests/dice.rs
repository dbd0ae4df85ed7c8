//! Any calls on any builder, in any order: what comes out is an error or a good document.
//!
//! The calls are drawn with an eye on the tables, so that many of the documents are good ones; what the tables do not
//! have, repeats, leaves out and limits comes up too, and in the parts as well as in the whole.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::draft::{Datum, Draft};
use super::super::*;
use crate::dictionary::{Codes, Need, lookup, requirement};
use crate::rules::{CheckContext, RuleId, check};
use crate::{
    Document, DocumentNumber, DocumentView, DriveNumber, EncodeErrorKind, FfdVersion, FiscalSign, Form, Inn,
    Kopecks, LocalSeconds, Quantity, RegistrationNumber, Tag, Tlv, Validated, tags,
};

/// What `requisites!` writes for each builder.
pub(in crate::forms) trait Calls: Sized {
    /// The tag of each setter.
    const ROWS: &'static [Tag];

    fn of(draft: Draft) -> Self;

    fn draft(&self) -> &Draft;

    /// One setter called with a value that was drawn.
    fn call(self, row: usize, dice: &mut Dice) -> Self;
}

/// Draws calls and values for the builder of one document.
pub(in crate::forms) struct Dice {
    state: u64,
    version: FfdVersion,
    form: Form,
    /// The structure that is being filled, 0 for the document.
    parent: u16,
}

impl Dice {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(in crate::forms) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn meaning(&self, tag: Tag) -> Option<&'static crate::dictionary::Entry> {
        let parent = if self.parent == 0 { u16::from(self.form.0) } else { self.parent };
        lookup(tag, parent, self.version)
    }

    /// A length that the tag takes; now and then another one.
    fn len(&mut self, tag: Tag) -> usize {
        let entry = self.meaning(tag);
        let limit = entry.map_or(8, |entry| usize::from(entry.len_max));
        match self.below(300) {
            0 => limit.min(400) + 1,
            1 => 0,
            _ if entry.is_some_and(|entry| entry.fixed) => limit,
            2..20 => limit.min(400),
            _ => 1 + self.below(limit.min(12)),
        }
    }

    pub(in crate::forms) fn text(&mut self, tag: Tag) -> String {
        let list = self.meaning(tag).and_then(|entry| entry.values);
        if let Some(list) = list.filter(|list| list.codes == Codes::Text)
            && !self.once_in(50)
        {
            let at = self.below(list.values.len());
            return list.values.get(at).unwrap().label.to_string();
        }
        let letters: Vec<char> = "0123456789.Яё№ \"\n".chars().collect();
        (0..self.len(tag))
            .map(
                |_| {
                    if self.once_in(5_000) { '日' } else { *letters.get(self.below(letters.len())).unwrap() }
                },
            )
            .collect()
    }

    pub(in crate::forms) fn raw(&mut self, tag: Tag) -> Vec<u8> {
        (0..self.len(tag)).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A code of the tag's list or any; of a list of bits some of them together.
    pub(in crate::forms) fn code(&mut self, tag: Tag) -> u32 {
        let any = u32::try_from(self.number() & 0xFFFF_FFFF).unwrap();
        let Some(list) = self.meaning(tag).and_then(|entry| entry.values) else { return any };
        if self.once_in(100) {
            return any;
        }
        let mut draw = || list.values.get(self.below(list.values.len())).unwrap().code;
        if list.codes == Codes::Bits { draw() | draw() } else { draw() }
    }

    /// Small numbers more often than great ones.
    pub(in crate::forms) fn number(&mut self) -> u64 {
        let bits = [1, 7, 8, 16, 24, 32, 40, 47];
        let width = if self.once_in(200) { 64 } else { *bits.get(self.below(bits.len())).unwrap() };
        self.next() >> (64 - width)
    }

    pub(in crate::forms) fn quantity(&mut self) -> Quantity {
        Quantity { mantissa: self.number(), scale: u8::try_from(self.below(8)).unwrap() }
    }

    pub(in crate::forms) fn inn(&mut self) -> Inn {
        let known = ["7701234560", "770123456703"];
        Inn::parse(known.get(self.below(2)).unwrap()).unwrap()
    }

    pub(in crate::forms) fn nest<B: Calls>(&mut self, tag: Tag) -> B {
        let around = core::mem::replace(&mut self.parent, tag.0);
        let filled = self.fill(B::of(Draft::default()));
        self.parent = around;
        filled
    }

    /// Setters of a builder, in any order.
    fn fill<B: Calls>(&mut self, mut builder: B) -> B {
        let mut calls = Vec::new();
        for (row, &tag) in B::ROWS.iter().enumerate() {
            let said = builder.draft().fields.iter().any(|(found, _)| *found == tag);
            let table = requirement(self.version, self.form.0, self.parent, tag);
            // Once in so many times it is called.
            let calls_row = match table.map(|table| (table.need, table.repeats)) {
                _ if said => self.once_in(2_000),
                None => self.once_in(2_000),
                Some((Need::Must, _)) => !self.once_in(200),
                Some(_) => self.once_in(4),
            };
            if calls_row {
                calls.push(row);
                let more = table.is_some_and(|table| table.repeats);
                if self.once_in(if more { 4 } else { 1_000 }) {
                    calls.push(row);
                }
            }
        }
        while !calls.is_empty() {
            let row = calls.swap_remove(self.below(calls.len()));
            builder = builder.call(row, self);
        }
        builder
    }
}

/// The level holds what was asked for, in the order of the calls; gives what is behind it.
fn same<'a>(mut level: Tlv<'a>, fields: &[(Tag, Datum)]) -> Tlv<'a> {
    for (tag, datum) in fields {
        let (found, value) = level.next().unwrap().unwrap();
        assert_eq!(found, *tag);
        match datum {
            Datum::Byte(asked) => assert_eq!(value.u8(), Ok(*asked)),
            Datum::Word(asked) => assert_eq!(value.u16(), Ok(*asked)),
            Datum::Long(asked) => assert_eq!(value.bits(), Ok(*asked)),
            Datum::Money(asked) => assert_eq!(value.kopecks(), Ok(*asked)),
            Datum::Number(asked) => assert_eq!(value.vln(), Ok(*asked)),
            Datum::Decimal(asked) => assert_eq!(value.fvln(), Ok(*asked)),
            Datum::Text(asked) => assert_eq!(value.text().to_cow(), asked.as_str()),
            Datum::Raw(asked) => assert_eq!(value.bytes(), asked),
            Datum::Nest(asked) => assert!(same(value.children(), asked).next().is_none()),
        }
    }
    level
}

/// Draws the calls, finishes, and looks at what came out. True for a document.
fn stands<B: Calls>(begun: B, dice: &mut Dice) -> bool {
    let seed = dice.state;
    let builder = dice.fill(begun);
    let (version, form) = (dice.version, dice.form);
    let bytes = match builder.draft().finish() {
        Ok(bytes) => bytes,
        Err(error) => {
            // The fault is named, with its tag, and is never the builder's own.
            assert_ne!(
                error.kind,
                EncodeErrorKind::Document,
                "{seed:#x}: {builder:?}",
                builder = builder.draft()
            );
            assert!(error.tag.is_some() || error.kind == EncodeErrorKind::TooLong, "{seed:#x}: {error}");
            return false;
        }
    };
    let validated = Validated::check(&bytes, version).unwrap();
    let view: DocumentView<'_> = validated.view();
    assert_eq!((validated.version(), view.form()), (version, form), "{seed:#x}");
    assert!(validated.findings().is_empty(), "{seed:#x}: {:?}", validated.findings());
    let found = check(&view, &CheckContext::new(version));
    for rule in [RuleId::B1, RuleId::B2, RuleId::B3, RuleId::B4] {
        assert!(!found.broke(rule), "{seed:#x}: {found:?}");
    }
    view.typed(version).unwrap();
    assert_eq!(Document::decode(&bytes).unwrap().encode(), bytes, "{seed:#x}");
    // Behind what was asked for stands the version, where it has a place, and nothing else.
    let rest = same(Tlv::new(bytes.get(crate::TLV_HEADER_LEN..).unwrap()), &builder.draft().fields);
    for (tag, value) in rest.map(Result::unwrap) {
        assert_eq!((tag, value.u8()), (tags::FFD_VERSION, Ok(version.code())), "{seed:#x}");
    }
    true
}

/// Begins a document of the form by its constructor.
fn begin_and_fill(dice: &mut Dice) -> bool {
    let (version, form) = (dice.version, dice.form);
    let drive = if version == FfdVersion::V1_0 { "99990789004512" } else { "9999078900451207" };
    let drive = DriveNumber::parse(drive).unwrap();
    let user_inn = dice.inn();
    let number = u32::try_from(dice.next() & 0xFF_FFFF).unwrap();
    let date_time = LocalSeconds(1_773_491_400);
    let stamp = Stamp {
        drive,
        registration: RegistrationNumber::for_register(*b"0000451207", "7701234560", "00106900000001")
            .unwrap(),
        user_inn,
        number: DocumentNumber(number),
        date_time,
        sign: FiscalSign([0x21, 4, 1, 2, 3, 4]),
    };
    let sent = MarkingStamp { drive, user_inn, date_time };
    let settlement = Settlement {
        shift: number,
        number_in_shift: number,
        operation: Operation(u8::try_from(dice.below(4)).unwrap() + u8::from(!dice.once_in(30))),
        total: Kopecks(dice.number().cast_signed()),
    };
    let facts = RegisterFacts {
        user_name: "ООО",
        address: "Москва",
        place: "Лавка",
        cashier: "Кассир",
        factory_number: "00106900000001",
        kkt_version: "1.0",
        automatic: dice.once_in(4),
        offline: dice.once_in(2),
        encrypted: dice.once_in(2),
    };
    match form.0 {
        1 => stands(RegistrationBuilder::registration(version, &stamp, &facts), dice),
        11 => {
            let reasons = ChangeReasons::from_bits(dice.code(tags::CHANGE_REASONS));
            stands(RegistrationBuilder::reregistration(version, &stamp, &facts, reasons), dice)
        }
        2 => stands(ShiftOpenBuilder::new(version, &stamp, number), dice),
        5 => stands(ShiftCloseBuilder::new(version, &stamp, number, number, number), dice),
        6 => stands(ArchiveCloseBuilder::new(version, &stamp, number), dice),
        21 => stands(StateReportBuilder::new(version, &stamp), dice),
        3 => stands(ReceiptBuilder::receipt(version, &stamp, &settlement), dice),
        4 => stands(ReceiptBuilder::bso(version, &stamp, &settlement), dice),
        31 | 41 => {
            let base: CorrectionBaseBuilder = dice.nest(tags::CORRECTION_BASE);
            let begun = if form.0 == 31 {
                ReceiptBuilder::receipt_correction(version, &stamp, &settlement, base)
            } else {
                ReceiptBuilder::bso_correction(version, &stamp, &settlement, base)
            };
            stands(begun, dice)
        }
        7 => {
            let confirmed = Confirmed {
                operator_inn: user_inn,
                operator_sign: [7; 8],
                drive,
                number: DocumentNumber(number),
                accepted_at: date_time,
                answer: AnswerCode(if dice.once_in(2) { 0 } else { 14 }),
            };
            stands(ConfirmationBuilder::new(version, &confirmed), dice)
        }
        81 => stands(MarkingRequestBuilder::new(&sent, number, "0104600000000017", 5, 1), dice),
        82 => {
            let tax = TaxSystems::GENERAL;
            let begun = MarkingNotificationBuilder::new(&sent, number, settlement.operation, tax, 2, number);
            stands(begun, dice)
        }
        83 => stands(MarkingAnswerBuilder::new(number, 0, date_time), dice),
        _ => stands(MarkingReceiptBuilder::new(number, 0, date_time), dice),
    }
}

/// Why: "a builder can not make an ill-formed document" is a claim about every sequence of calls, not about the few that
/// someone thought of.
#[test]
fn whatever_is_called_gives_an_error_or_a_good_document() {
    let mut outcomes: BTreeMap<(FfdVersion, u8), [u32; 2]> = BTreeMap::new();
    for version in FfdVersion::ALL {
        for form in [1, 2, 3, 4, 5, 6, 7, 11, 21, 31, 41, 81, 82, 83, 84] {
            if form > 80 && version != FfdVersion::V1_2 {
                continue;
            }
            for seed in 0..400_u64 {
                let state = seed << 24 | u64::from(form) << 8 | u64::from(version.code());
                let mut dice = Dice { state, version, form: Form(form), parent: 0 };
                let [good, bad] = outcomes.entry((version, form)).or_default();
                if begin_and_fill(&mut dice) { *good += 1 } else { *bad += 1 }
            }
        }
    }
    // A claim about documents that are never good, or never refused, would be an empty one.
    for (place, [good, bad]) in &outcomes {
        assert!(*good > 0 && *bad > 0, "{place:?}: {good} good, {bad} refused");
    }
    let all = outcomes.values().fold([0, 0], |[good, bad], [more, worse]| [good + more, bad + worse]);
    assert!(all.iter().all(|count| *count > 2_000), "{all:?}");
}

/// Why: only so many findings are kept of a document. Sums that do not agree, in each of hundreds of items, must not hide
/// that the place of settlement is missing.
#[test]
fn other_findings_do_not_crowd_out_those_of_structure() {
    let version = FfdVersion::V1_2;
    let mut dice = Dice { state: 1, version, form: Form::RECEIPT, parent: 0 };
    let one = Quantity { mantissa: 1, scale: 0 };
    let item =
        || ItemBuilder::new("А", Kopecks(5), one, Kopecks(7)).vat_rate(VatRate::NO_VAT).quantity_measure(0);
    let settlement =
        Settlement { shift: 1, number_in_shift: 1, operation: Operation::SALE, total: Kopecks(1) };
    let stamp = Stamp {
        drive: DriveNumber::parse("9999078900451207").unwrap(),
        registration: RegistrationNumber::for_register(*b"0000451207", "7701234560", "1").unwrap(),
        user_inn: dice.inn(),
        number: DocumentNumber(1),
        date_time: LocalSeconds(1_773_491_400),
        sign: FiscalSign([0; 6]),
    };
    let begun = ReceiptBuilder::receipt(version, &stamp, &settlement);
    let all = (0..crate::rules::VIOLATIONS_MAX + 1).fold(begun, |all, _| all.items(item()));
    assert_eq!(all.finish().unwrap_err().kind, EncodeErrorKind::Missing);
}
