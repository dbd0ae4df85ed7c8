//! Random lives of one register: what its drives made, and in what order it reached us.

pub(crate) use crate::dice::Rng;
use ofd_engine::codec::{DocumentView, DriveNumber, Form, LocalSeconds, TlvWriter, tags};
use ofd_engine::registers::{Past, Seen};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Lsn, Position};

/// A document of a life, as plain values.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) drive: DriveNumber,
    pub(crate) rnm: String,
    /// 1018.
    pub(crate) inn: &'static str,
    pub(crate) number: u32,
    pub(crate) form: Form,
    pub(crate) at: u32,
    pub(crate) shift: Option<u32>,
    pub(crate) in_shift: Option<u32>,
    /// 1054.
    pub(crate) direction: u8,
    /// 1020, paid in cash.
    pub(crate) total: u64,
    /// 1017 of a registration.
    pub(crate) operator: Option<&'static str>,
    /// 1205.
    pub(crate) reasons: u32,
    /// Of a closing report: receipts by direction with their totals, corrections not among them, and corrections.
    pub(crate) counters: Option<[[(u32, u64); 4]; 2]>,
    /// 1111.
    pub(crate) stated_documents: Option<u32>,
    /// Of a report: flags 1050-1053 by bit, and how many documents wait (1097).
    pub(crate) report: Option<(u8, u32)>,
}

impl Made {
    pub(crate) fn is_receipt(&self) -> bool {
        self.form.is_receipt_like()
    }

    pub(crate) fn is_correction(&self) -> bool {
        matches!(self.form, Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION)
    }

    pub(crate) fn plain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(self.form, |w| {
                w.bytes(tags::FISCAL_DRIVE_NUMBER, self.drive.as_bytes())?;
                w.text(tags::KKT_REG_ID, &self.rnm)?;
                w.text(tags::USER_INN, self.inn)?;
                w.u32(tags::FISCAL_DOCUMENT_NUMBER, self.number);
                w.unixtime(tags::DATE_TIME, LocalSeconds(self.at));
                if let Some(shift) = self.shift {
                    w.u32(tags::SHIFT_NUMBER, shift);
                }
                if let Some(operator) = self.operator {
                    w.text(tags::OFD_INN, operator)?;
                    w.u32(tags::CHANGE_REASONS, self.reasons);
                }
                if let Some((flags, unsent)) = self.report {
                    w.u8(tags::DRIVE_RUNNING_OUT, flags & 1);
                    w.u8(tags::DRIVE_MEMORY_FULL, flags >> 2 & 1);
                    w.u32(tags::UNSENT_DOCUMENTS, unsent);
                    w.unixtime(tags::UNSENT_SINCE, LocalSeconds(if unsent > 0 { self.at } else { 0 }));
                    w.u16(tags::KEY_RESOURCE, 410);
                }
                if self.is_receipt() {
                    w.u32(tags::NUMBER_IN_SHIFT, self.in_shift.unwrap_or(0));
                    w.u8(tags::OPERATION_TYPE, self.direction);
                    w.vln(tags::TOTAL_SUM, self.total);
                    w.vln(tags::CASH_SUM, self.total);
                }
                if let Some([receipts, corrections]) = self.counters {
                    let count = |it: &[(u32, u64); 4]| it.iter().map(|(count, _)| count).sum::<u32>();
                    w.u32(tags::SHIFT_RECEIPTS, count(&receipts) + count(&corrections));
                    w.u32(tags::SHIFT_DOCUMENTS, self.stated_documents.unwrap_or(0));
                    let direction = |w: &mut TlvWriter<'_>, tag, (count, total): (u32, u64)| {
                        w.nested(tag, |w| {
                            w.u32(tags::RECEIPTS_COUNT, count);
                            w.vln(tags::COUNTER_TOTAL_SUM, total);
                            w.vln(tags::COUNTER_CASH_SUM, total);
                            Ok(())
                        })
                    };
                    w.nested(tags::SHIFT_COUNTERS, |w| {
                        w.u32(tags::ALL_RECEIPTS_COUNT, count(&receipts) + count(&corrections));
                        direction(w, tags::SELL_COUNTERS, receipts[0])?;
                        direction(w, tags::SELL_RETURN_COUNTERS, receipts[1])?;
                        direction(w, tags::BUY_COUNTERS, receipts[2])?;
                        direction(w, tags::BUY_RETURN_COUNTERS, receipts[3])?;
                        w.nested(tags::CORRECTION_COUNTERS, |w| {
                            w.u32(tags::CORRECTIONS_COUNT, count(&corrections));
                            direction(w, tags::SELL_CORRECTION_COUNTERS, corrections[0])?;
                            direction(w, tags::SELL_RETURN_CORRECTION_COUNTERS, corrections[1])
                        })
                    })?;
                }
                Ok(())
            })
            .unwrap();
        bytes
    }
}

/// A document as it reached the log.
pub(crate) struct Sent {
    pub(crate) made: Made,
    pub(crate) variant: u8,
    pub(crate) realm: Realm,
    pub(crate) lsn: u64,
    pub(crate) plain: Vec<u8>,
}

impl Sent {
    pub(crate) fn new(made: Made, variant: u8, lsn: u64) -> Self {
        let plain = made.plain();
        Self { made, variant, realm: Realm::Prod, lsn, plain }
    }

    pub(crate) fn seen(&self) -> Seen<'_> {
        let view = DocumentView::new_checked(&self.plain).unwrap();
        Seen {
            position: Position::new(Lsn::new(self.lsn)),
            received_at_us: 1_800_000_000_000_000 + self.lsn as i64 * 1000,
            realm: self.realm,
            drive: self.made.drive,
            number: self.made.number,
            variant: self.variant,
            imported: false,
            view,
            header: view.header(),
        }
    }
}

/// What was delivered before, for a fold that wants to read it again.
pub(crate) struct Delivered<'d>(pub(crate) &'d [Sent]);

impl Past for Delivered<'_> {
    fn plain(&self, position: Position, drive: DriveNumber, number: u32) -> Result<Option<Vec<u8>>, Error> {
        let sent = self.0.iter().find(|it| Position::new(Lsn::new(it.lsn)) == position).unwrap();
        assert_eq!((sent.made.drive, sent.made.number), (drive, number));
        Ok(Some(sent.plain.clone()))
    }
}

pub(crate) const OURS: &str = super::OURS;
pub(crate) const THEIRS: &str = "7700002008";
/// Users of registers, as they stand in documents.
pub(crate) const USERS: [&str; 2] = ["7707083893  ", "770708389312"];
/// 2026-03-02.
pub(crate) const FROM: u32 = 1_772_409_600;

/// A register that goes through one to three drives.
fn made(rng: &mut Rng) -> Vec<Vec<Made>> {
    let rnm = format!("{:016}", rng.below(10_000_000_000_000_000));
    let mut at = FROM;
    let mut drives = Vec::new();
    for life in 0..=rng.below(3) {
        let drive = DriveNumber::parse(&format!("7{life}{:014}", rng.below(100_000_000_000_000))).unwrap();
        let base = Made {
            drive,
            rnm: rnm.clone(),
            // Some are sold with their drive.
            inn: USERS[usize::from(rng.one_in(4))],
            number: 0,
            form: Form::REGISTRATION,
            at,
            shift: None,
            in_shift: None,
            direction: 0,
            total: 0,
            operator: None,
            reasons: 0,
            counters: None,
            stated_documents: None,
            report: None,
        };
        // Drives that come to us in the middle of their life.
        let (mut number, mut shift) =
            if rng.one_in(3) { (rng.below(500) as u32, rng.below(90) as u32) } else { (0, 0) };
        let mut documents = Vec::new();
        let mut put = |rng: &mut Rng, mut made: Made| {
            number += 1;
            // Clocks jump.
            at = if rng.one_in(60) { at - 3_000 } else { at + 1 + rng.below(4_000) as u32 };
            (made.number, made.at) = (number, at);
            documents.push(made);
        };
        if shift == 0 {
            put(rng, Made { operator: Some(OURS), ..base.clone() });
        }
        for _ in 0..rng.below(5) {
            if rng.one_in(6) {
                // To another operator and back, or into autonomy and out of it.
                let operator = if rng.one_in(2) { THEIRS } else { OURS };
                put(
                    rng,
                    Made { form: Form::REREGISTRATION, operator: Some(operator), reasons: 2, ..base.clone() },
                );
            }
            shift += 1;
            let in_it = Made { shift: Some(shift), ..base.clone() };
            put(rng, Made { form: Form::OPEN_SHIFT, ..in_it.clone() });
            let mut counters = [[(0, 0); 4]; 2];
            let receipts = rng.below(12) as u32;
            let mut stated_documents = receipts + 2;
            for in_shift in 1..=receipts {
                let form = if rng.one_in(8) { Form::RECEIPT_CORRECTION } else { Form::RECEIPT };
                let correction = usize::from(form == Form::RECEIPT_CORRECTION);
                let direction = 1 + rng.below(if correction == 1 { 2 } else { 4 }) as u8;
                let total = rng.below(1_000_000);
                let counter: &mut (u32, u64) = &mut counters[correction][usize::from(direction) - 1];
                *counter = (counter.0 + 1, counter.1 + total);
                put(rng, Made { form, in_shift: Some(in_shift), direction, total, ..in_it.clone() });
                if rng.one_in(20) {
                    stated_documents += 1;
                    put(rng, Made { form: Form::CURRENT_STATE, ..in_it.clone() });
                }
            }
            if rng.one_in(9) {
                // A register that cannot count.
                counters[0][0].1 += 1;
            }
            put(
                rng,
                Made {
                    form: Form::CLOSE_SHIFT,
                    counters: Some(counters),
                    stated_documents: Some(stated_documents),
                    ..in_it.clone()
                },
            );
        }
        if rng.one_in(2) {
            put(rng, Made { form: Form::CLOSE_ARCHIVE, shift: Some(shift), ..base.clone() });
        }
        drives.push(documents);
    }
    drives
}

/// What reached the log of it, in the order it came: some never did, some late, some twice with another content.
pub(crate) fn life(rng: &mut Rng) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut lsn = 0;
    let mut late: Vec<Made> = Vec::new();
    let mut deliver = |made: Made, variant: u8| {
        lsn += 1;
        sent.push(Sent::new(made, variant, lsn));
    };
    let orderly = rng.one_in(4);
    for drive in made(rng) {
        let mut elsewhere = false;
        for made in drive {
            let switch = made.operator.map(|operator| operator != OURS);
            // What another operator gets does not come to us, but the document that says so may.
            let skipped = elsewhere && switch != Some(false);
            elsewhere = switch.unwrap_or(elsewhere);
            if skipped {
                continue;
            }
            match rng.below(if orderly { 2 } else { 30 }) {
                2 => {}
                3 | 4 => late.push(made),
                5 => {
                    deliver(made.clone(), 0);
                    deliver(Made { total: made.total + 1, ..made }, 1);
                }
                _ => deliver(made, 0),
            }
            if rng.one_in(12) && !late.is_empty() {
                let at = rng.below(late.len() as u64) as usize;
                deliver(late.swap_remove(at), 0);
            }
        }
    }
    // The rest in one bulk, months later, or never.
    if rng.one_in(2) {
        late.into_iter().for_each(|made| deliver(made, 0));
    }
    sent
}
