//! A drive in as few bytes as it needs: so it is kept while no shift is open, and so it stands in a checkpoint.
//!
//! Shape: [`pack`](super::pack) numbers one after another: a byte of flags, then the fields in the order of the struct;
//! lists with their count before them. Of the sums of a shift only those that are not zero.
//!
//! Invariant: a drive comes back from its bytes as it was (test: `tests/registers/main.rs`, where every drive is packed
//! after each of its shifts).

use ofd_codec::{DriveNumber, Form, LocalSeconds};
use ofd_storage::envelope::Realm;
use ofd_storage::{Lsn, Position};

use super::counters::Mismatch;
use super::drive::{Drive, Last, Registered};
use super::event::Evidence;
use super::pack::{Packer, Unpacker};
use super::service::{Range, Service};
use super::shift::{Mark, Shift};
use super::totals::{KINDS, Row, SLOTS, Sums, Totals};
use super::traits::Traits;
use super::usage::Usage;
use crate::watch::drive::DriveWatch;

const TEST: u8 = 1;
const LEFT: u8 = 1 << 1;
const REGISTERED: u8 = 1 << 2;
const AUTONOMOUS: u8 = 1 << 3;
const LAST: u8 = 1 << 4;
const KEYS: u8 = 1 << 5;
const BACKLOG: u8 = 1 << 6;
const SEEDED: u8 = 1 << 7;
/// Bits of the byte that says how its service began, above the two of that.
const EVIDENCE: u8 = 3;
const LEFT_TOLD: u8 = 1 << 2;
const BACKLOG_QUIET: u8 = 1 << 3;
/// Flags that were told, above the four that stand.
const FLAGS_TOLD_SHIFT: u32 = 4;
const FLAGS: u8 = 15;

/// Writes a drive; its number is the key that it is kept under.
pub(super) fn pack(drive: &Drive, to: &mut Packer) {
    let Drive {
        number: _,
        realm,
        generation,
        service,
        evidence,
        documents,
        variants,
        last,
        registration,
        shifts,
        flags,
        flags_told,
        key_days,
        backlog,
        backlog_told,
        closed,
        traits,
        usage,
        card,
        watch,
    } = drive;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    to.byte(
        flag(*realm == Realm::Test, TEST)
            | flag(service.has_left(), LEFT)
            | flag(registration.is_some(), REGISTERED)
            | flag(registration.is_some_and(|it| it.autonomous), AUTONOMOUS)
            | flag(last.is_some(), LAST)
            | flag(key_days.is_some(), KEYS)
            | flag(backlog.is_some(), BACKLOG)
            | flag(service.seeded().is_some(), SEEDED),
    );
    let evidence = match evidence {
        Evidence::Registered => 0,
        Evidence::Entered => 1,
        Evidence::Unknown => 2,
        Evidence::Seeded => 3,
    };
    let quiet = backlog.map_or(0, |it| it.0) != *backlog_told;
    to.byte(evidence | flag(service.was_told_left(), LEFT_TOLD) | flag(quiet, BACKLOG_QUIET));
    to.number(*generation);
    ranges(to, service.intervals().iter().map(|it| (*it, false)));
    ranges(to, service.missing_as_told());
    service.seeded().iter().for_each(|it| to.number(*it));
    to.number(*documents);
    to.number(*variants);
    if let Some(Last { number, form, at, received_at_us }) = last {
        to.number(*number);
        to.byte(form.0);
        to.optional(at.map(|it| it.0));
        to.signed(*received_at_us);
    }
    if let Some(Registered { position, number, at, reasons, autonomous: _ }) = registration {
        to.number(position.as_u64());
        to.number(*number);
        to.optional(at.map(|it| it.0));
        to.number(*reasons);
    }
    to.byte(*flags | flags_told.wrapping_shl(FLAGS_TOLD_SHIFT));
    if let Some((days, at)) = key_days {
        to.number(*days);
        to.optional(at.map(|it| it.0));
    }
    if let Some((documents, since)) = backlog {
        to.number(*documents);
        to.optional(since.map(|it| it.0));
    }
    quiet.then_some(*backlog_told).iter().for_each(|it| to.number(*it));
    to.optional(*closed);
    traits.pack(to);
    usage.pack(to);
    to.optional(*card);
    to.count(shifts.len());
    shifts.iter().for_each(|it| pack_shift(it, to));
    watch.pack(last_second(drive), to);
}

#[cfg(test)]
std::thread_local! {
    /// How many drives this thread has unpacked: what a test of what it costs counts.
    pub(super) static UNPACKED: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// Reads what [`pack`] wrote.
pub(super) fn unpack(number: DriveNumber, from: &mut Unpacker<'_>) -> Option<Drive> {
    #[cfg(test)]
    UNPACKED.set(UNPACKED.get().wrapping_add(1));
    let mut drive = unpack_head(number, from)?;
    for _ in 0..from.count()? {
        drive.shifts.reserve_exact(1);
        drive.shifts.push(unpack_shift(from)?);
    }
    drive.watch = DriveWatch::unpack(last_second(&drive), from)?;
    Some(drive)
}

/// Reads all but the shifts.
pub(super) fn unpack_head(number: DriveNumber, from: &mut Unpacker<'_>) -> Option<Drive> {
    let head = from.byte()?;
    let has = |bit: u8| head & bit != 0;
    let told = from.byte()?;
    let evidence = match told & EVIDENCE {
        0 => Evidence::Registered,
        1 => Evidence::Entered,
        2 => Evidence::Unknown,
        _ => Evidence::Seeded,
    };
    if told & !(EVIDENCE | LEFT_TOLD | BACKLOG_QUIET) != 0 {
        return None;
    }
    let mut drive = Drive::new(number, if has(TEST) { Realm::Test } else { Realm::Prod });
    drive.evidence = evidence;
    drive.generation = from.small()?;
    let ours = read_ranges(from)?.into_iter().map(|it| it.0).collect();
    let missing = read_ranges(from)?;
    let seeded = if has(SEEDED) { Some(from.small()?) } else { None };
    let left = (has(LEFT), told & LEFT_TOLD != 0);
    drive.service = Service::restored(ours, missing, left, seeded);
    drive.documents = from.number()?;
    drive.variants = from.number()?;
    if has(LAST) {
        drive.last = Some(read_last(from)?);
    }
    if has(REGISTERED) {
        drive.registration = Some(read_registered(from, has(AUTONOMOUS))?);
    }
    let flags = from.byte()?;
    (drive.flags, drive.flags_told) = (flags & FLAGS, flags.wrapping_shr(FLAGS_TOLD_SHIFT));
    if has(KEYS) {
        drive.key_days = Some((u16::try_from(from.number()?).ok()?, read_time(from)?));
    }
    if has(BACKLOG) {
        drive.backlog = Some((from.small()?, read_time(from)?));
    }
    drive.backlog_told = match told & BACKLOG_QUIET {
        0 => drive.backlog.map_or(0, |it| it.0),
        _ => from.small()?,
    };
    drive.closed = from.optional()?;
    drive.traits = Traits::unpack(from)?;
    drive.usage = Usage::unpack(from)?;
    drive.card = from.optional()?;
    Some(drive)
}

/// Reads the registration alone and passes over what lies before it: lists by a text ask for nothing else of a hundred thousand drives.
pub(super) fn unpack_registered(from: &mut Unpacker<'_>) -> Option<Registered> {
    let head = from.byte()?;
    let has = |bit: u8| head & bit != 0;
    let (_told, _generation) = (from.byte()?, from.small()?);
    for _ours_and_missing in 0..2 {
        for _ in 0..from.count()?.saturating_mul(2) {
            from.number()?;
        }
    }
    if has(SEEDED) {
        from.small()?;
    }
    let (_documents, _variants) = (from.number()?, from.number()?);
    if has(LAST) {
        read_last(from)?;
    }
    if has(REGISTERED) { read_registered(from, has(AUTONOMOUS)) } else { None }
}

fn read_last(from: &mut Unpacker<'_>) -> Option<Last> {
    let (number, form) = (from.small()?, Form(from.byte()?));
    Some(Last { number, form, at: read_time(from)?, received_at_us: from.signed()? })
}

fn read_registered(from: &mut Unpacker<'_>, autonomous: bool) -> Option<Registered> {
    let position = Position::new(Lsn::new(from.number()?));
    let (number, at, reasons) = (from.small()?, read_time(from)?, from.small()?);
    Some(Registered { position, number, at, reasons, autonomous })
}

fn last_second(drive: &Drive) -> u32 {
    drive.last.map_or(0, |it| crate::watch::drive::seconds(it.received_at_us))
}

/// Ranges, each with a bit.
fn ranges(to: &mut Packer, ranges: impl ExactSizeIterator<Item = (Range, bool)>) {
    to.count(ranges.len());
    let mut at = 0;
    for (Range { first, last }, bit) in ranges {
        to.number(first.wrapping_sub(at));
        to.number(u64::from(last.wrapping_sub(first)) << 1 | u64::from(bit));
        at = last;
    }
}

fn read_ranges(from: &mut Unpacker<'_>) -> Option<Vec<(Range, bool)>> {
    let mut ranges = Vec::new();
    let mut at = 0_u32;
    for _ in 0..from.count()? {
        let first = at.wrapping_add(from.small()?);
        let more = from.number()?;
        let last = first.wrapping_add(u32::try_from(more >> 1).ok()?);
        ranges.reserve_exact(1);
        ranges.push((Range { first, last }, more & 1 == 1));
        at = last;
    }
    Some(ranges)
}

#[expect(clippy::option_option, reason = "an optional time that can be read or not")]
fn read_time(from: &mut Unpacker<'_>) -> Option<Option<LocalSeconds>> {
    Some(from.optional()?.map(LocalSeconds))
}

const OPENED: u8 = 1;
const OPENED_US: u8 = 1 << 1;
const CLOSED: u8 = 1 << 2;
const WHOLE: u8 = 1 << 3;
const INEXACT: u8 = 1 << 4;
const CLOSE: u8 = 1 << 5;
const CASHIER: u8 = 1 << 6;
const NUMBERS: u8 = 1 << 7;
/// Of the byte that says what was told.
const OVERDUE: u8 = 1;
const TOLD: u8 = 1 << 1;

/// Writes a shift.
pub(super) fn pack_shift(shift: &Shift, to: &mut Packer) {
    let Shift {
        number,
        opened,
        opened_us,
        overdue,
        told,
        closed,
        cashier,
        documents,
        numbers,
        totals,
        stated_receipts,
        stated_documents,
        close,
        whole,
        mismatches,
        revision,
        last_in_shift,
    } = shift;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    to.byte(
        flag(opened.is_some(), OPENED)
            | flag(opened_us.is_some(), OPENED_US)
            | flag(closed.is_some(), CLOSED)
            | flag(*whole, WHOLE)
            | flag(totals.inexact, INEXACT)
            | flag(close.is_some(), CLOSE)
            | flag(cashier.is_some(), CASHIER)
            | flag(numbers.is_some(), NUMBERS),
    );
    to.number(*number);
    for mark in [opened, closed].into_iter().flatten() {
        to.number(mark.number);
        to.optional(mark.at.map(|it| it.0));
    }
    opened_us.iter().for_each(|it| to.signed(*it));
    cashier.iter().for_each(|it| to.bytes(it.as_bytes()));
    to.number(*documents);
    if let Some(Range { first, last }) = numbers {
        to.number(*first);
        to.number(last.wrapping_sub(*first));
    }
    write_totals(to, totals);
    to.optional(*stated_receipts);
    to.optional(*stated_documents);
    close.iter().for_each(|it| to.bytes(it));
    to.count(mismatches.len());
    mismatches.iter().for_each(|it| it.pack(to));
    to.number(*revision);
    to.byte(flag(*overdue, OVERDUE) | flag(*told, TOLD));
    to.optional(last_in_shift.map(|it| it.0));
    last_in_shift.iter().for_each(|it| to.number(it.1));
}

/// Reads what [`pack_shift`] wrote.
pub(super) fn unpack_shift(from: &mut Unpacker<'_>) -> Option<Shift> {
    let head = from.byte()?;
    let has = |bit: u8| head & bit != 0;
    let mut shift = Shift::new(from.small()?);
    if has(OPENED) {
        shift.opened = Some(Mark { number: from.small()?, at: read_time(from)? });
    }
    if has(CLOSED) {
        shift.closed = Some(Mark { number: from.small()?, at: read_time(from)? });
    }
    if has(OPENED_US) {
        shift.opened_us = Some(from.signed()?);
    }
    if has(CASHIER) {
        shift.cashier = Some(core::str::from_utf8(from.bytes()?).ok()?.into());
    }
    shift.documents = from.small()?;
    if has(NUMBERS) {
        let first = from.small()?;
        shift.numbers = Some(Range { first, last: first.wrapping_add(from.small()?) });
    }
    shift.totals = read_totals(from)?;
    shift.totals.inexact = has(INEXACT);
    shift.stated_receipts = from.optional()?;
    shift.stated_documents = from.optional()?;
    if has(CLOSE) {
        shift.close = Some(from.bytes()?.into());
    }
    shift.whole = has(WHOLE);
    for _ in 0..from.count()? {
        shift.mismatches.push(Mismatch::unpack(from)?);
    }
    shift.revision = from.small()?;
    let told = from.byte()?;
    (shift.overdue, shift.told) = (told & OVERDUE != 0, told & TOLD != 0);
    shift.last_in_shift = match from.optional()? {
        Some(in_shift) => Some((in_shift, from.small()?)),
        None => None,
    };
    Some(shift)
}

/// Writes sums, those that are not zero; whether they are exact stands elsewhere.
pub(super) fn write_totals(to: &mut Packer, totals: &Totals) {
    write_rows(to, &totals.rows);
}

pub(super) fn write_rows(to: &mut Packer, rows: &[Row]) {
    to.count(rows.len());
    for Row { kind, sums } in rows {
        to.byte(*kind);
        to.number(sums.receipts);
        let mut mask = sums.mask();
        to.number(mask);
        while mask != 0 {
            sums.sum(mask.trailing_zeros()).into_iter().for_each(|sum| to.signed(sum));
            mask &= mask.wrapping_sub(1);
        }
    }
}

/// Reads what [`write_totals`] wrote.
pub(super) fn read_totals(from: &mut Unpacker<'_>) -> Option<Totals> {
    let mut totals = Totals::default();
    read_rows(from, &mut totals.rows)?;
    Some(totals)
}

/// Reads what [`write_rows`] wrote behind what is there.
pub(super) fn read_rows(from: &mut Unpacker<'_>, rows: &mut Vec<Row>) -> Option<()> {
    let count = from.count()?.min(KINDS);
    rows.reserve_exact(count);
    for _ in 0..count {
        let kind = from.byte()?;
        let mut sums = Sums { receipts: from.small()?, ..Sums::default() };
        let mut mask = from.small()?;
        while mask != 0 {
            let at = mask.trailing_zeros();
            mask &= mask.wrapping_sub(1);
            // A bit without a sum has no number either.
            if let Some(sum) = sums.slot(at) {
                *sum = from.signed()?;
            }
        }
        rows.push(Row { kind, sums });
    }
    Some(())
}
const _: () = assert!(SLOTS <= 32);
