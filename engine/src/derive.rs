//! What the engine makes of its records for the tables of the archive: findings of the rules, closed shifts, registers.
//!
//! ```text
//! document ─▶ check ─▶ Finding                                      a pure function of the document and its session
//! documents ─▶ Registers ─▶ finding.found, finding.ended (events) ─▶ LifeRow
//! documents ─▶ Registers ─▶ shift.state (events) ─▶ ShiftRow        by the fold behind the watermark; a row a run and shift
//! ```
//!
//! A shift is told with the record that has changed it ([`crate::registers::EventKind::ShiftState`]), so that the rows of some
//! positions are the same whenever they are asked for (test: `tests/archive.rs`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ofd_codec::rules::{CheckContext, Datum, check};
use ofd_codec::{DocumentView, FfdVersion, Tag};
use ofd_storage::columns::register::{NUMBERS, TEXTS};
use ofd_storage::columns::violation::LIFE_LINE_FIRST;
use ofd_storage::columns::{Derive, Finding, LifeRow, LifeSpan, RegisterRow, ShiftRow, ShiftSums};
use ofd_storage::envelope::Envelope;
use ofd_storage::union::StoredFinding;
use ofd_storage::{Env, Error, LogReader};

use crate::live::told;
use crate::registers::{DIRECTIONS, Event, EventKind, Sums, Totals};
use crate::shared::Shared;

/// Who tells the events.
enum Source {
    /// The fold of a running engine. Once `closed` is true nobody waits for it any more.
    Owner { shared: Arc<Shared>, closed: Option<Arc<AtomicBool>> },
    /// The files of the owner and a fold of what lies behind them: of a process that reads beside it.
    Reader {
        env: Arc<dyn Env>,
        reader: LogReader,
        ours: Option<String>,
        /// What was told last, of all kinds: each table asks for its own at the same positions, and a fold of all registers is read
        /// for it.
        last: Mutex<Option<(RangeInclusive<u64>, Vec<Event>)>>,
    },
}

/// Whether a table is made of it.
fn is_derived(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::ShiftState(_)
            | EventKind::Found(_)
            | EventKind::FindingEnded(_)
            | EventKind::RegisterState(_)
    )
}

/// What rules and registers make of the log.
pub(crate) struct EngineDerive(Source);

impl EngineDerive {
    /// Of a running engine; `closed` tells that it is about to end.
    pub(crate) fn of_owner(shared: &Arc<Shared>, closed: Option<Arc<AtomicBool>>) -> Self {
        Self(Source::Owner { shared: Arc::clone(shared), closed })
    }

    /// Of a reader; `ours` is the INN of this operator (1017), `None`: the one that the owner works with.
    pub(crate) fn of_reader(env: &Arc<dyn Env>, reader: &LogReader, ours: Option<&str>) -> Self {
        let (env, reader, ours) = (Arc::clone(env), reader.clone(), ours.map(str::to_owned));
        Self(Source::Reader { env, reader, ours, last: Mutex::default() })
    }

    /// The events at these positions; `None`: nobody looks at registers here.
    fn told(
        &self,
        positions: &RangeInclusive<u64>,
        is: &dyn Fn(&Event) -> bool,
    ) -> Result<Option<Vec<Event>>, Error> {
        match &self.0 {
            Source::Owner { shared, .. } if !shared.options.registers => Ok(None),
            Source::Owner { shared, closed } => {
                let ended = || closed.as_ref().is_some_and(|it| it.load(Ordering::Acquire));
                told::by_owner(shared, &told::Wanted { positions, is }, &ended).map(Some)
            }
            Source::Reader { env, reader, ours, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.as_ref().is_none_or(|it| it.0 != *positions) {
                    let all = told::Wanted { positions, is: &is_derived };
                    *last = None;
                    *last = Some((positions.clone(), told::by_reader(env, reader, ours.as_deref(), &all)?));
                }
                let events = last.iter().flat_map(|it| &it.1);
                Ok(Some(events.filter(|it| is(it)).cloned().collect()))
            }
        }
    }
}

impl Derive for EngineDerive {
    fn findings(
        &self,
        view: &DocumentView<'_>,
        envelope: &Envelope<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<u32> {
        find(view, envelope, findings)
    }

    fn shifts(&self, positions: RangeInclusive<u64>) -> Result<Vec<ShiftRow>, Error> {
        let told = self.told(&positions, &|event| matches!(event.kind, EventKind::ShiftState(_)))?;
        // Of each shift the last state.
        let mut rows = BTreeMap::new();
        for row in told.iter().flatten().filter_map(shift_of) {
            rows.insert((row.drive.clone(), row.shift, row.close_fd), row);
        }
        Ok(rows.into_values().collect())
    }

    fn across(&self, positions: RangeInclusive<u64>) -> Result<Vec<LifeRow>, Error> {
        let is = |event: &Event| matches!(event.kind, EventKind::Found(_) | EventKind::FindingEnded(_));
        Ok(self.told(&positions, &is)?.iter().flatten().filter_map(across_of).collect())
    }

    fn registers(&self, positions: RangeInclusive<u64>) -> Result<Option<Vec<RegisterRow>>, Error> {
        let told = self.told(&positions, &|event| matches!(event.kind, EventKind::RegisterState(_)))?;
        Ok(told.map(|events| events.iter().filter_map(register_of).collect()))
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
        life: None,
    }));
    u32::try_from(found.len().saturating_add(found.dropped())).ok()
}

/// The state of a register that is told.
fn register_of(event: &Event) -> Option<RegisterRow> {
    let EventKind::RegisterState(state) = &event.kind else { return None };
    Some(RegisterRow {
        position: event.position.as_u64(),
        received_at_us: event.received_at_us,
        realm: state.realm.as_str().to_owned(),
        rnm: state.rnm.clone(),
        inn: event.inn.clone(),
        drive: event.drive.as_str().to_owned(),
        number: event.number,
        valid_from: state.at.map(|it| i64::from(it.0)),
        status: state.status.as_str().to_owned(),
        registers: state.registers,
        texts: TEXTS.map(|(_, tag)| state.text(Tag(tag)).map(str::to_owned)),
        numbers: NUMBERS.map(|(_, tag)| state.number(Tag(tag)).map(i64::from)),
        ..RegisterRow::default()
    })
}

/// A finding across documents as a value, as a row of `violations` is read.
pub(crate) fn stored_of(event: &Event) -> Option<StoredFinding> {
    let row = across_of(event)?;
    let of = row.finding;
    Some(StoredFinding {
        position: row.position,
        realm: row.realm.to_owned(),
        inn: row.inn,
        rnm: row.rnm,
        drive: row.drive,
        number: row.number,
        variant: 0,
        form: None,
        local_seconds: row.local_seconds,
        rule: of.rule.to_owned(),
        name: of.name.to_owned(),
        level: of.level.to_owned(),
        scope: of.scope.to_owned(),
        tag: of.tag,
        actual: of.actual,
        expected: of.expected,
        seen_at_us: row.received_at_us,
        life: of.life,
    })
}

/// A finding across documents that is told.
fn across_of(event: &Event) -> Option<LifeRow> {
    let (EventKind::Found(found) | EventKind::FindingEnded(found)) = &event.kind else { return None };
    let rule = found.rule.rule();
    Some(LifeRow {
        position: event.position.as_u64(),
        received_at_us: event.received_at_us,
        realm: found.realm.as_str(),
        inn: event.inn.clone(),
        rnm: found.rnm.clone(),
        drive: event.drive.as_str().to_owned(),
        number: event.number,
        local_seconds: found.at.map(|it| i64::from(it.0)),
        finding: Finding {
            line: LIFE_LINE_FIRST.saturating_add(event.index.into()),
            rule: rule.key,
            name: rule.name,
            level: rule.level.as_str(),
            scope: rule.scope.as_str(),
            tag: found.tag.map(|tag| tag.0),
            actual: found.actual.clone(),
            expected: found.expected.clone(),
            life: Some(LifeSpan {
                shift: found.shift,
                first_seen_us: found.first_seen_us,
                last_seen_us: found.last_seen_us,
                count: found.count,
                ended_us: found.ended_us,
                rules_version: found.rules_version,
            }),
        },
    })
}

/// The state of a shift that is told; `None` of one that is not closed.
fn shift_of(event: &Event) -> Option<ShiftRow> {
    let EventKind::ShiftState(state) = &event.kind else { return None };
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
        realm: state.realm.as_str(),
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
        state: shift.agreement().as_str(),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use ofd_storage::columns::shift::{PAYMENT_COLUMNS, SUM_PREFIXES, VAT_COLUMNS};

    use super::*;
    use crate::registers::{DIRECTION_NAMES, PAYMENT_NAMES, RegisterState, VAT_NAMES};

    // A reader beside a server loads all registers for it, gigabytes of them: once for all tables.
    #[test]
    fn the_tables_of_some_positions_are_told_by_one_fold() {
        let dir = tempfile::tempdir().unwrap();
        let engine = crate::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
        let drive = ofd_codec::DriveNumber::parse("7100000000000001").unwrap();
        for next in [7, 9] {
            engine.seed_lanes(&[crate::registers::LaneSeed::new(drive, next)]).unwrap();
        }
        let shared = engine.shared();
        let durable = engine.durable().as_u64();
        let derive = EngineDerive::of_reader(&shared.env, &shared.reader, None);
        told::FOLDED.set(0);
        assert!(derive.shifts(1..=durable).unwrap().is_empty());
        derive.across(1..=durable).unwrap();
        assert!(derive.registers(1..=durable).unwrap().is_some());
        assert_eq!(told::FOLDED.get(), 1);
        derive.across(durable..=durable).unwrap();
        assert_eq!(told::FOLDED.get(), 2);
        engine.shutdown().unwrap();
    }

    // A sum or a requisite under another name is a wrong sum in every report.
    #[test]
    fn columns_are_named_as_the_registers_name_their_sums_and_requisites() {
        assert_eq!((PAYMENT_COLUMNS, VAT_COLUMNS), (PAYMENT_NAMES, VAT_NAMES));
        let corrections = DIRECTION_NAMES.map(|it| format!("{it}_correction"));
        let names = DIRECTION_NAMES.map(str::to_owned).into_iter().chain(corrections);
        assert!(names.eq(SUM_PREFIXES));
        assert!(TEXTS.iter().all(|(_, tag)| RegisterState::has_text(Tag(*tag))));
        assert!(NUMBERS.iter().all(|(_, tag)| RegisterState::has_number(Tag(*tag))));
    }
}
