//! Records of a log with virtual time, folded with or without an interruption.

pub(crate) use crate::dice::Rng;
use ofd_engine::codec::rules::Level;
use ofd_engine::codec::rules::life::life_rules;
use ofd_engine::codec::{DocumentView, DriveNumber, Form, LocalSeconds, TlvWriter, tags};
use ofd_engine::registers::{Event, EventKind, LaneSeed, Note, Past, Registers, SHIFTS_KEPT, Seen};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::storage::status::{StatusEvent, StatusOf, encode};
use ofd_engine::watch::{RuleSwitch, WatchCommand};
use ofd_engine::{Lsn, Position};

pub(crate) const OURS: &str = "7700001002";
pub(crate) const INN: &str = "7707083893";
/// Monday 2026-03-02, 00:00 in Moscow, seconds UTC.
pub(crate) const MONDAY: u32 = 1_772_409_600 - 3 * HOUR;
pub(crate) const MINUTE: u32 = 60;
pub(crate) const HOUR: u32 = 3_600;
pub(crate) const DAY: u32 = 86_400;

/// A document of a register; what is not said is not in it.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    /// Of the register and its drive, from 1.
    pub(crate) register: u32,
    /// Which drive of the register.
    pub(crate) drive: u32,
    pub(crate) number: u32,
    pub(crate) form: Form,
    /// Seconds by which it came later than it was made.
    pub(crate) late: u32,
    pub(crate) shift: Option<u32>,
    /// Flags 1050-1053 by bit.
    pub(crate) flags: Option<u8>,
    /// 1097, and 1098 in seconds UTC.
    pub(crate) unsent: Option<(u32, u32)>,
    /// 1213.
    pub(crate) key_days: Option<u16>,
    pub(crate) autonomous: bool,
    pub(crate) excise: bool,
    /// 1290.
    pub(crate) usage: u32,
    pub(crate) operator: Option<&'static str>,
    pub(crate) imported: bool,
    /// 1018.
    pub(crate) inn: &'static str,
    /// It does not name its register (1037).
    pub(crate) nameless: bool,
}

pub(crate) fn doc(number: u32, form: Form) -> Doc {
    Doc {
        register: 1,
        drive: 1,
        number,
        form,
        late: 0,
        shift: None,
        flags: None,
        unsent: None,
        key_days: None,
        autonomous: false,
        excise: false,
        usage: 0,
        operator: None,
        imported: false,
        inn: INN,
        nameless: false,
    }
}

impl Doc {
    pub(crate) fn drive_number(&self) -> DriveNumber {
        DriveNumber::parse(&format!("71{:06}{:08}", self.drive, self.register)).unwrap()
    }

    fn plain(&self, came: u32) -> Vec<u8> {
        // By a clock of Moscow.
        let local = |at: u32| LocalSeconds(at + 3 * HOUR);
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(self.form, |w| {
                w.bytes(tags::FISCAL_DRIVE_NUMBER, self.drive_number().as_bytes())?;
                if !self.nameless {
                    w.text(tags::KKT_REG_ID, &rnm(self.register))?;
                }
                w.text(tags::USER_INN, &format!("{}  ", self.inn))?;
                w.u32(tags::FISCAL_DOCUMENT_NUMBER, self.number);
                w.unixtime(tags::DATE_TIME, local(came - self.late));
                self.shift.iter().for_each(|it| w.u32(tags::SHIFT_NUMBER, *it));
                if let Some(flags) = self.flags {
                    w.u8(tags::DRIVE_RUNNING_OUT, flags & 1);
                    w.u8(tags::DRIVE_REPLACE_NOW, flags >> 1 & 1);
                    w.u8(tags::DRIVE_MEMORY_FULL, flags >> 2 & 1);
                    w.u8(tags::OPERATOR_SILENT, flags >> 3 & 1);
                }
                if let Some((documents, since)) = self.unsent {
                    w.u32(tags::UNSENT_DOCUMENTS, documents);
                    w.unixtime(
                        tags::UNSENT_SINCE,
                        if documents > 0 { local(since) } else { LocalSeconds(0) },
                    );
                }
                self.key_days.iter().for_each(|it| w.u16(tags::KEY_RESOURCE, *it));
                if let Some(operator) = self.operator {
                    w.text(tags::OFD_INN, operator)?;
                    w.u8(tags::OFFLINE_MODE, u8::from(self.autonomous));
                    w.u8(tags::EXCISE_DUTY_PRODUCT_SIGN, u8::from(self.excise));
                    w.u32(tags::USAGE_CONDITIONS, self.usage);
                }
                if self.form.is_receipt_like() {
                    w.u8(tags::OPERATION_TYPE, 1);
                    w.vln(tags::TOTAL_SUM, 100);
                    w.vln(tags::CASH_SUM, 100);
                }
                Ok(())
            })
            .unwrap();
        bytes
    }
}

pub(crate) fn rnm(register: u32) -> String {
    format!("{register:016}")
}

/// A record.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Doc(Doc),
    Tick,
    Command(WatchCommand),
    Seed(LaneSeed),
    Note(Note),
    /// A rule is asked from here on, or no longer.
    Rule(&'static str, bool),
    Answer(StatusEvent),
}

struct Nothing;

impl Past for Nothing {
    fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

/// Without rules that find errors: documents here hold what the light looks at and break most of them. [`Step::Rule`] asks one.
pub(crate) fn empty() -> Registers {
    let mut registers = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    for rule in life_rules().iter().filter(|it| it.level == Level::Error) {
        registers.switch((Position::START, 0), &switch(rule.key, false), &mut Vec::new());
    }
    registers
}

fn switch(rule: &str, on: bool) -> RuleSwitch {
    RuleSwitch::new(rule, on, "x", "x").unwrap()
}

/// As they come back from a checkpoint.
pub(crate) fn restored(registers: &Registers) -> Registers {
    let mut again = empty();
    registers.save(&mut |piece| again.restore(piece).ok_or(())).unwrap();
    again.restored(registers.position());
    again
}

/// Folds the record number `lsn` that came at a time.
pub(crate) fn fold(registers: &mut Registers, lsn: u64, at: u32, step: &Step, events: &mut Vec<Event>) {
    let position = Position::new(Lsn::new(lsn));
    let received_at_us = i64::from(at) * 1_000_000;
    match step {
        Step::Tick => registers.tick(position, received_at_us, events),
        Step::Command(command) => registers.command(position, received_at_us, command, events),
        Step::Seed(seed) => registers.seed(position, received_at_us, seed, events),
        Step::Answer(answer) => {
            let payload = encode(StatusOf::Tax, std::slice::from_ref(answer));
            registers.answered(position, received_at_us, &payload, events);
        }
        Step::Rule(rule, on) => registers.switch((position, received_at_us), &switch(rule, *on), events),
        Step::Note(note) => {
            registers.note((position, received_at_us), (Realm::Prod, &rnm(1)), *note, 0, events);
        }
        Step::Doc(doc) => {
            let plain = doc.plain(at);
            let view = DocumentView::new_checked(&plain).unwrap();
            let seen = Seen {
                position,
                received_at_us,
                realm: Realm::Prod,
                drive: doc.drive_number(),
                number: doc.number,
                variant: 0,
                imported: doc.imported,
                view,
                header: view.header(),
            };
            registers.take(&seen, &Nothing, events).unwrap();
        }
    }
    registers.pass(position);
}

/// Folds all of them; `cut` interrupts behind so many.
pub(crate) fn run(steps: &[(u32, Step)], cut: Option<usize>) -> (Registers, Vec<Event>) {
    let (mut registers, mut events) = (empty(), Vec::new());
    for (number, (at, step)) in steps.iter().enumerate() {
        if cut == Some(number) {
            registers = restored(&registers);
        }
        fold(&mut registers, number as u64 + 1, *at, step, &mut events);
    }
    (registers, events)
}

/// What was told of colours: time, register, colour before and now, codes of the reasons with their colours and times.
pub(crate) fn told(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match &event.kind {
        EventKind::ColourChanged(change) => {
            let reasons = change
                .reasons
                .iter()
                .map(|it| format!(" {} {} since {}", it.what.code(), it.colour.as_str(), clock(it.since)));
            Some(format!(
                "{} {}→{}:{}",
                clock((event.received_at_us / 1_000_000) as u32),
                change.before().as_str(),
                change.now().as_str(),
                reasons.collect::<String>()
            ))
        }
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

/// `d<days>+<hours>:<minutes>` since that Monday.
pub(crate) fn clock(at: u32) -> String {
    let (sign, rest) = if at >= MONDAY { ("", at - MONDAY) } else { ("-", MONDAY - at) };
    format!("{sign}d{}+{:02}:{:02}", rest / DAY, rest % DAY / HOUR, rest % HOUR / MINUTE)
}
