//! What the engine makes of its records for the tables of the archive: findings of the rules, and closed shifts.
//!
//! ```text
//! document ─▶ check ─▶ Finding                                      a pure function of the document and its session
//! documents ─▶ Registers ─▶ shift.state (events) ─▶ ShiftRow        by the fold behind the watermark; a row a run and shift
//! ```
//!
//! A shift is told with the record that has changed it ([`crate::registers::EventKind::ShiftState`]), so that the rows of some
//! positions are the same whenever they are asked for (test: `tests/archive.rs`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ofd_codec::rules::{CheckContext, Datum, check};
use ofd_codec::{DocumentView, FfdVersion, Tag, tags};
use ofd_storage::columns::{Derive, Finding, RegisterRow, ShiftRow, ShiftSums};
use ofd_storage::envelope::{Envelope, Realm};
use ofd_storage::{Env, Error, ErrorKind, LogReader, Lsn, Position};

use crate::live::{told_since, with_events_of_log};
use crate::registers::{Agreement, DIRECTIONS, Event, EventKind, RegisterStatus, ShiftState, Sums, Totals};
use crate::shared::Shared;

/// How long compaction waits for the registers to come on by a single record: they are seconds behind, if they are not made
/// anew from the archive.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// By the fold of a running engine.
pub(crate) struct LiveDerive {
    shared: Arc<Shared>,
    /// Once true, nobody waits for the fold any more.
    closed: Option<Arc<AtomicBool>>,
}

impl Derive for LiveDerive {
    fn findings(
        &self,
        view: &DocumentView<'_>,
        envelope: &Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32> {
        find(view, envelope, findings)
    }

    fn shifts(&self, positions: RangeInclusive<u64>) -> Result<Vec<ShiftRow>, Error> {
        if !self.shared.options.registers {
            return Ok(Vec::new());
        }
        let is_one = |event: &Event| matches!(event.kind, EventKind::ShiftState(_));
        let mut rows = Rows::new(positions.clone());
        self.told(&positions, &is_one)?.iter().for_each(|event| rows.take(event));
        Ok(rows.end())
    }

    fn registers(&self, positions: RangeInclusive<u64>) -> Result<Option<Vec<RegisterRow>>, Error> {
        if !self.shared.options.registers {
            return Ok(None);
        }
        let is_one = |event: &Event| matches!(event.kind, EventKind::RegisterState(_));
        let told = self.told(&positions, &is_one)?;
        Ok(Some(told.iter().filter_map(|event| register_of(event, &positions)).collect()))
    }
}

impl LiveDerive {
    /// `closed` tells that the engine is about to end.
    pub(crate) fn new(shared: &Arc<Shared>, closed: Option<Arc<AtomicBool>>) -> Self {
        Self { shared: Arc::clone(shared), closed }
    }

    /// The events of these positions that are wanted. Where their files do not hold they are folded from the archive and the log:
    /// the archive must not wait for what can be made again.
    fn told(
        &self,
        positions: &RangeInclusive<u64>,
        wanted: &dyn Fn(&Event) -> bool,
    ) -> Result<Vec<Event>, Error> {
        let Shared { env, reader, book, .. } = &*self.shared;
        let (before, last) = around(positions);
        let mut events = Vec::new();
        let ended = || self.closed.as_ref().is_some_and(|it| it.load(Ordering::Acquire));
        let mut take = |event: &Event| {
            if positions.contains(&event.position.as_u64()) && wanted(event) {
                events.push(event.clone());
            }
        };
        match told_since(env, book, reader, before, last, STEP_TIMEOUT, &ended, &mut take) {
            Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
                tracing::error!(%error, "alarm: events cannot be read, they are folded again");
                events.clear();
                let mut take = |event: &Event| {
                    if positions.contains(&event.position.as_u64()) && wanted(event) {
                        events.push(event.clone());
                    }
                };
                with_events_of_log(env, reader, None, before, &mut take)?;
            }
            other => other?,
        }
        Ok(events)
    }
}

/// By the files of the owner and a fold of what lies behind them: of a process that reads beside it.
pub(crate) struct LogDerive {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) reader: LogReader,
    /// INN of this operator (1017).
    pub(crate) ours: Option<String>,
}

impl Derive for LogDerive {
    fn findings(
        &self,
        view: &DocumentView<'_>,
        envelope: &Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32> {
        find(view, envelope, findings)
    }

    fn shifts(&self, positions: RangeInclusive<u64>) -> Result<Vec<ShiftRow>, Error> {
        let (before, _) = around(&positions);
        let mut rows = Rows::new(positions);
        with_events_of_log(&self.env, &self.reader, self.ours.as_deref(), before, &mut |event| {
            rows.take(event);
        })?;
        Ok(rows.end())
    }

    fn registers(&self, positions: RangeInclusive<u64>) -> Result<Option<Vec<RegisterRow>>, Error> {
        let (before, _) = around(&positions);
        let mut rows = Vec::new();
        with_events_of_log(&self.env, &self.reader, self.ours.as_deref(), before, &mut |event| {
            rows.extend(register_of(event, &positions));
        })?;
        Ok(Some(rows))
    }
}

/// Findings of the rules of one document, by the document and its session alone. Rules that ask for the register's
/// registration (B6 by the factory number, C10, C17, G1) find less here than they could, and a document without 1209
/// is measured by the P-version of its session, which may be another than the one the register was registered with.
fn find(view: &DocumentView<'_>, envelope: &Envelope<'_>, findings: &mut Vec<Finding>) -> Option<u32> {
    let [.., major, minor] = *envelope.session.first_chunk::<8>()?;
    let version = FfdVersion::of_document(&view.header(), None, [major, minor]);
    let found = check(view, &CheckContext::new(version));
    let told = |datum: &Datum| match datum {
        Datum::Absent => None,
        other => Some(other.to_string()),
    };
    findings.extend(found.iter().map(|it| Finding {
        line: 0,
        rule: it.rule.key,
        name: it.rule.name,
        level: it.level().as_str(),
        scope: "document",
        tag: it.tag.map(|tag| tag.0),
        actual: told(&it.actual),
        expected: told(&it.expected),
    }));
    u32::try_from(found.len().saturating_add(found.dropped())).ok()
}

/// The record before some positions, and the last of them.
fn around(positions: &RangeInclusive<u64>) -> (Position, Position) {
    let at = |lsn| Position::new(Lsn::new(lsn));
    (at(positions.start().saturating_sub(1)), at(*positions.end()))
}

/// The state of a register that is told at these positions.
fn register_of(event: &Event, positions: &RangeInclusive<u64>) -> Option<RegisterRow> {
    let EventKind::RegisterState(state) = &event.kind else { return None };
    let (rnm, position) = (state.rnm.clone(), event.position.as_u64());
    positions.contains(&position).then(|| RegisterRow {
        position,
        received_at_us: event.received_at_us,
        realm: realm_of(state.realm).to_owned(),
        rnm,
        inn: event.inn.clone(),
        drive: event.drive.as_str().to_owned(),
        number: event.number,
        valid_from: state.at.map(|it| i64::from(it.0)),
        status: match state.status {
            RegisterStatus::Working => "working",
            RegisterStatus::Left => "left",
            RegisterStatus::Closed => "closed",
        }
        .to_owned(),
        registers: state.registers,
        texts: TEXTS.map(|tag| state.text(tag).map(str::to_owned)),
        numbers: NUMBERS.map(|tag| state.number(tag).map(i64::from)),
        ..RegisterRow::default()
    })
}

const fn realm_of(realm: Realm) -> &'static str {
    match realm {
        Realm::Prod => "prod",
        Realm::Test => "test",
    }
}

/// Requisites in the order of `register::TEXTS` and `register::NUMBERS`.
const TEXTS: [Tag; 7] = [
    tags::USER_NAME,
    tags::RETAIL_PLACE_ADDRESS,
    tags::RETAIL_PLACE,
    tags::KKT_NUMBER,
    tags::KKT_VERSION,
    tags::MACHINE_NUMBER,
    tags::OFD_INN,
];
const NUMBERS: [Tag; 11] = [
    tags::CHANGE_REASONS,
    tags::FFD_VERSION,
    tags::TAXATION_TYPES,
    tags::OFFLINE_MODE,
    tags::AUTO_MODE,
    tags::INTERNET_SIGN,
    tags::EXCISE_DUTY_PRODUCT_SIGN,
    tags::GAMBLING_SIGN,
    tags::LOTTERY_SIGN,
    tags::SERVICE_SIGN,
    tags::BSO_SIGN,
];

/// Of each shift the last state that was told at some positions.
struct Rows {
    positions: RangeInclusive<u64>,
    rows: BTreeMap<(String, u32, u32), ShiftRow>,
}

impl Rows {
    fn new(positions: RangeInclusive<u64>) -> Self {
        Self { positions, rows: BTreeMap::new() }
    }

    fn take(&mut self, event: &Event) {
        let EventKind::ShiftState(state) = &event.kind else { return };
        if !self.positions.contains(&event.position.as_u64()) {
            return;
        }
        if let Some(row) = row_of(event, state) {
            self.rows.insert((row.drive.clone(), row.shift, row.close_fd), row);
        }
    }

    fn end(self) -> Vec<ShiftRow> {
        self.rows.into_values().collect()
    }
}

/// The row of a state; `None` of a shift that is not closed.
fn row_of(event: &Event, state: &ShiftState) -> Option<ShiftRow> {
    let shift = &state.shift;
    let closed = shift.closed?;
    let mismatches: Vec<_> = shift
        .mismatches
        .iter()
        .map(|it| {
            serde_json::json!({
                "tag": it.tag.number(),
                "within": it.within.number(),
                "stated": it.stated,
                "counted": it.counted,
            })
        })
        .collect();
    Some(ShiftRow {
        position: event.position.as_u64(),
        received_at_us: event.received_at_us,
        realm: realm_of(state.realm),
        inn: state.inn.clone(),
        rnm: state.rnm.clone(),
        drive: event.drive.as_str().to_owned(),
        shift: shift.number,
        opened_at: shift.opened.and_then(|it| it.at).map(|it| i64::from(it.0)),
        closed_at: closed.at.map(|it| i64::from(it.0)),
        open_fd: shift.opened.map(|it| it.number),
        close_fd: closed.number,
        cashier: shift.cashier.as_deref().map(str::to_owned),
        documents: shift.documents,
        receipts: shift.totals.count(),
        revenue: shift.totals.revenue(),
        state: match shift.agreement() {
            Agreement::Agrees => "agrees",
            Agreement::Differs => "differs",
            Agreement::Incomplete | Agreement::Open => "incomplete",
        },
        inexact: shift.totals.inexact,
        revision: shift.revision,
        stated_receipts: shift.stated_receipts,
        stated_documents: shift.stated_documents,
        counters: state.counters.clone(),
        mismatches: (!mismatches.is_empty()).then(|| serde_json::Value::from(mismatches).to_string()),
        sums: sums_of(&shift.totals),
    })
}

/// Directions of receipts, then of corrections.
fn sums_of(totals: &Totals) -> [Option<ShiftSums>; ofd_storage::columns::shift::SHIFT_KINDS] {
    std::array::from_fn(|at| {
        let Sums { receipts, total, payments, vat } = match at.checked_sub(DIRECTIONS) {
            None => totals.receipts(at),
            Some(direction) => totals.corrections(direction),
        };
        (receipts > 0).then_some(ShiftSums { receipts, total, payments, vat })
    })
}

/// Why nothing can be said of shifts now.
pub(crate) fn waits(last: Position) -> Error {
    Error::new(ErrorKind::Retry, format!("the registers do not come on to position {last}"))
}
