//! Lives of registers for the rules across documents, written by hand: what a register makes, a requisite at a time.

use std::collections::BTreeMap;

use ofd_engine::codec::{DocumentView, DriveNumber, Form, Tag, tags};
use ofd_engine::registers::{Event, Past, Registers, SHIFTS_KEPT, Seen};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{LifeFinding, RuleSet};
use ofd_engine::{Lsn, Position};

pub(crate) const OURS: &str = "7700001002";
pub(crate) const HOUR: u32 = 3_600;
pub(crate) const DAY: u32 = 86_400;
/// 2026-03-02 10:00 by the clock of the register, which stands in UTC+3.
pub(crate) const FROM: u32 = 1_772_445_600;
pub(crate) const ZONE: u32 = 3 * HOUR;

pub(crate) fn vln(number: u64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    let len = bytes.iter().rposition(|it| *it != 0).map_or(1, |at| at + 1);
    bytes[..len].to_vec()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    text.bytes().collect()
}

fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap();
    [&tag.to_le_bytes()[..], &len.to_le_bytes()[..], value].concat()
}

/// Requisites of a structure.
pub(crate) fn nest(rows: &[(Tag, Vec<u8>)]) -> Vec<u8> {
    rows.iter().flat_map(|(tag, value)| tlv(tag.0, value)).collect()
}

/// A document.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) form: Form,
    /// 1012.
    pub(crate) at: u32,
    /// Seconds UTC.
    pub(crate) came: u32,
    pub(crate) variant: u8,
    pub(crate) imported: bool,
    pub(crate) fields: BTreeMap<u16, Vec<u8>>,
    pub(crate) items: Vec<Vec<(Tag, Vec<u8>)>>,
}

impl Doc {
    pub(crate) fn set(&mut self, tag: Tag, value: impl Into<Vec<u8>>) -> &mut Self {
        self.fields.insert(tag.0, value.into());
        self
    }

    pub(crate) fn without(&mut self, tag: Tag) -> &mut Self {
        self.fields.remove(&tag.0);
        self
    }

    pub(crate) fn get(&self, tag: Tag) -> Option<&[u8]> {
        self.fields.get(&tag.0).map(Vec::as_slice)
    }

    pub(crate) fn number_of(&self, tag: Tag) -> Option<u64> {
        let bytes = self.get(tag)?;
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    pub(crate) fn item(&mut self, rows: &[(Tag, Vec<u8>)]) -> &mut Self {
        self.items.push(rows.to_vec());
        self
    }

    pub(crate) fn at(&mut self, at: u32) -> &mut Self {
        (self.at, self.came) = (at, at - ZONE + 2);
        self
    }

    pub(crate) fn plain(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let own = [
            (tags::FISCAL_DRIVE_NUMBER, self.drive.as_bytes().to_vec()),
            (tags::FISCAL_DOCUMENT_NUMBER, self.number.to_le_bytes().to_vec()),
            (tags::DATE_TIME, self.at.to_le_bytes().to_vec()),
        ];
        own.iter().for_each(|(tag, value)| body.extend(tlv(tag.0, value)));
        self.fields.iter().for_each(|(tag, value)| body.extend(tlv(*tag, value)));
        self.items.iter().for_each(|item| body.extend(tlv(tags::ITEM.0, &nest(item))));
        tlv(u16::from(self.form.0), &body)
    }
}

/// A document that came, or a tick.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    Doc(Box<Doc>),
    Tick(u32),
}

impl Came {
    pub(crate) fn doc(&self) -> Option<&Doc> {
        match self {
            Self::Doc(doc) => Some(doc),
            Self::Tick(_) => None,
        }
    }
}

/// A register that works as it should, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) came: Vec<Came>,
    drive: DriveNumber,
    pub(crate) rnm: String,
    number: u32,
    pub(crate) at: u32,
    pub(crate) shift: u32,
    in_shift: u32,
    opened: u32,
    /// Receipts and totals by direction, of the shift and of the drive.
    sums: [u64; 5],
    ever: [u64; 5],
}

impl Life {
    /// Nothing yet.
    pub(crate) fn bare() -> Self {
        Self {
            came: Vec::new(),
            drive: DriveNumber::parse("7100000000000001").unwrap(),
            rnm: "0000000001000001".to_owned(),
            number: 0,
            at: FROM,
            shift: 0,
            in_shift: 0,
            opened: 0,
            sums: [0; 5],
            ever: [0; 5],
        }
    }

    /// Registered.
    pub(crate) fn new() -> Self {
        let mut life = Self::bare();
        life.register();
        life
    }

    /// Another drive comes into the register.
    pub(crate) fn replace_drive(&mut self, digit: u8) {
        self.drive = DriveNumber::parse(&format!("710000000000000{digit}")).unwrap();
        (self.number, self.shift, self.sums, self.ever) = (0, 0, [0; 5], [0; 5]);
    }

    pub(crate) fn back_to(&mut self, digit: u8, number: u32, shift: u32) {
        self.drive = DriveNumber::parse(&format!("710000000000000{digit}")).unwrap();
        (self.number, self.shift) = (number, shift);
    }

    pub(crate) fn skip(&mut self, numbers: u32) {
        self.number += numbers;
    }

    /// A document of this form with what every document has; minutes later than the one before.
    pub(crate) fn put(&mut self, form: Form) -> &mut Doc {
        self.number += 1;
        self.at += 60;
        let mut doc = Doc {
            drive: self.drive,
            number: self.number,
            form,
            at: self.at,
            came: self.at - ZONE + 2,
            variant: 0,
            imported: false,
            fields: BTreeMap::new(),
            items: Vec::new(),
        };
        doc.set(tags::KKT_REG_ID, text(&format!("{}    ", self.rnm)));
        doc.set(tags::USER_INN, text("7707083893  ")).set(tags::USER_NAME, text("OOO ROMASHKA"));
        doc.set(tags::RETAIL_PLACE_ADDRESS, text("MOSKVA 1")).set(tags::RETAIL_PLACE, text("KASSA 1"));
        doc.set(tags::FFD_VERSION, [4]);
        self.came.push(Came::Doc(Box::new(doc)));
        self.last()
    }

    pub(crate) fn last(&mut self) -> &mut Doc {
        match self.came.last_mut() {
            Some(Came::Doc(doc)) => doc,
            _ => panic!("no document"),
        }
    }

    pub(crate) fn register(&mut self) -> &mut Doc {
        let doc = self.put(Form::REGISTRATION);
        doc.set(tags::OFD_INN, text(&format!("{OURS}  "))).set(tags::KKT_NUMBER, text("00001"));
        doc.set(tags::TAXATION_TYPES, [1 | 2]).set(tags::USAGE_CONDITIONS, 0_u32.to_le_bytes())
    }

    pub(crate) fn register_again(&mut self, reasons: u32) -> &mut Doc {
        self.register();
        let doc = self.last();
        doc.form = Form::REREGISTRATION;
        doc.set(tags::CHANGE_REASONS, reasons.to_le_bytes())
    }

    pub(crate) fn open(&mut self) -> &mut Doc {
        (self.shift, self.in_shift, self.sums) = (self.shift + 1, 0, [0; 5]);
        let shift = self.shift;
        self.put(Form::OPEN_SHIFT).set(tags::SHIFT_NUMBER, shift.to_le_bytes());
        self.opened = self.number;
        self.last()
    }

    /// A receipt of this direction and sum in kopecks, paid in cash.
    pub(crate) fn receipt(&mut self, direction: u8, total: u64) -> &mut Doc {
        self.in_shift += 1;
        let (shift, in_shift) = (self.shift, self.in_shift);
        for sums in [&mut self.sums, &mut self.ever] {
            sums[0] += 1;
            sums[usize::from(direction)] += total;
        }
        let doc = self.put(Form::RECEIPT);
        doc.set(tags::SHIFT_NUMBER, shift.to_le_bytes()).set(tags::NUMBER_IN_SHIFT, in_shift.to_le_bytes());
        doc.set(tags::OPERATION_TYPE, [direction])
            .set(tags::TOTAL_SUM, vln(total))
            .set(tags::CASH_SUM, vln(total));
        doc.set(tags::APPLIED_TAXATION_TYPE, [1])
    }

    pub(crate) fn sell(&mut self, total: u64) -> &mut Doc {
        self.receipt(1, total)
    }

    /// A receipt by another rate: 1199 of its only item.
    pub(crate) fn taxed(&mut self, rate: u8) -> &mut Doc {
        self.sell(12_345).item(&[(tags::VAT_RATE, vec![rate])])
    }

    pub(crate) fn correction(&mut self) -> &mut Doc {
        let day = (self.at / DAY * DAY).to_le_bytes().to_vec();
        let doc = self.sell(777);
        doc.form = Form::RECEIPT_CORRECTION;
        let total = self.last().number_of(tags::TOTAL_SUM).unwrap();
        // Counters of corrections stand apart, but for 1134.
        self.sums[1] -= total;
        self.ever[1] -= total;
        self.last().set(tags::CORRECTION_BASE, nest(&[(tags::CORRECTION_DATE, day)]))
    }

    fn counters(sums: &[u64; 5]) -> Vec<u8> {
        let [count, totals @ ..] = sums;
        let of =
            [tags::SELL_COUNTERS, tags::SELL_RETURN_COUNTERS, tags::BUY_COUNTERS, tags::BUY_RETURN_COUNTERS];
        let mut rows = vec![(tags::ALL_RECEIPTS_COUNT, vln(*count))];
        rows.extend(
            of.into_iter()
                .zip(totals)
                .map(|(tag, total)| (tag, nest(&[(tags::COUNTER_TOTAL_SUM, vln(*total))]))),
        );
        nest(&rows)
    }

    pub(crate) fn close(&mut self) -> &mut Doc {
        let (shift, sums, ever) = (self.shift, self.sums, self.ever);
        self.put(Form::CLOSE_SHIFT);
        let documents = self.number - self.opened + 1;
        let doc = self.last();
        doc.set(tags::SHIFT_NUMBER, shift.to_le_bytes());
        doc.set(tags::SHIFT_RECEIPTS, (sums[0] as u32).to_le_bytes());
        doc.set(tags::SHIFT_DOCUMENTS, documents.to_le_bytes());
        doc.set(tags::SHIFT_COUNTERS, Self::counters(&sums)).set(tags::DRIVE_COUNTERS, Self::counters(&ever));
        doc.set(tags::KEY_RESOURCE, vln(400)).set(tags::UNSENT_DOCUMENTS, 0_u32.to_le_bytes());
        for flag in
            [tags::DRIVE_RUNNING_OUT, tags::DRIVE_REPLACE_NOW, tags::DRIVE_MEMORY_FULL, tags::OPERATOR_SILENT]
        {
            doc.set(flag, [0]);
        }
        doc
    }

    /// The counters of the drive in the newest closing report, less by so much in total sales.
    pub(crate) fn counters_less(&mut self, less: u64) {
        self.ever[1] = self.ever[1].saturating_sub(less);
        let counters = Self::counters(&self.ever);
        self.last().set(tags::DRIVE_COUNTERS, counters);
    }

    /// A shift with some sales.
    pub(crate) fn day(&mut self, receipts: u64) {
        self.open();
        (0..receipts).for_each(|it| _ = self.sell(10_001 + it));
        self.close();
    }

    pub(crate) fn pass(&mut self, seconds: u32) {
        self.at += seconds;
    }

    /// A tick so many seconds behind the newest document.
    pub(crate) fn tick(&mut self, seconds: u32) {
        self.came.push(Came::Tick(self.at - ZONE + 2 + seconds));
    }

    pub(crate) fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// What a fold finds in it.
    pub(crate) fn found(&self) -> Vec<Event> {
        let mut registers = registers();
        (0..self.came.len()).flat_map(|at| self.fold(&mut registers, at)).collect()
    }

    /// Folds what came at this place; the findings.
    pub(crate) fn fold(&self, registers: &mut Registers, at: usize) -> Vec<Event> {
        let mut events = self.fold_all(registers, at);
        events.retain(|it| finding(it).is_some());
        events
    }

    /// Folds what came at this place; all that is told.
    pub(crate) fn fold_all(&self, registers: &mut Registers, at: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let position = Position::new(Lsn::new(at as u64 + 1));
        match &self.came[at] {
            Came::Tick(second) => registers.tick(position, i64::from(*second) * 1_000_000, &mut events),
            Came::Doc(doc) => {
                let plain = doc.plain();
                let view = DocumentView::new_checked(&plain).unwrap();
                let seen = Seen {
                    position,
                    received_at_us: i64::from(doc.came) * 1_000_000,
                    realm: Realm::Prod,
                    drive: doc.drive,
                    number: doc.number,
                    variant: doc.variant,
                    imported: doc.imported,
                    view,
                    header: view.header(),
                };
                registers.take(&seen, &Delivered(self), &mut events).unwrap();
            }
        }
        events
    }

    /// Keys of the rules that are found, each as often as it is told; with `ended` of those that end.
    pub(crate) fn keys(&self, ended: bool) -> Vec<&'static str> {
        let all = self.found();
        let of = all.iter().filter_map(finding).filter(|it| it.ended_us.is_some() == ended);
        of.map(|it| it.rule.rule().key).collect()
    }
}

pub(crate) fn registers() -> Registers {
    Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT).asking(RuleSet::default())
}

/// The finding of an event.
pub(crate) fn finding(event: &Event) -> Option<&LifeFinding> {
    use ofd_engine::registers::EventKind;
    match &event.kind {
        EventKind::Found(it) | EventKind::FindingEnded(it) => Some(it),
        _ => None,
    }
}

/// What came before, for a fold that wants to read it again.
struct Delivered<'l>(&'l Life);

impl Past for Delivered<'_> {
    fn plain(&self, position: Position, drive: DriveNumber, number: u32) -> Result<Option<Vec<u8>>, Error> {
        let doc = self.0.came[position.as_u64() as usize - 1].doc().unwrap();
        assert_eq!((doc.drive, doc.number), (drive, number));
        Ok(Some(doc.plain()))
    }
}
