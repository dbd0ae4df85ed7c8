//! What an organisation takes in memory, in a file of its own because the allocator counts for the whole process.
//!
//! `OFD_ORGANISATIONS=<n>` sets how many; each sells ten hours a day, every day, for more days than are kept, which is more than
//! hardly any does: three hundred thousand of them have to fit.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a failed unwrap is a failed test")]

use std::alloc::System;

use ofd_engine::codec::{DocumentView, DriveNumber, Form, LocalSeconds, TlvWriter, tags};
use ofd_engine::registers::{DAYS_KEPT, Grain, Past, Registers, SHIFTS_KEPT, Seen, Whose};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Lsn, Position};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of an organisation with one register: 350 hours, 365 days and the minutes of the morning. Three hundred
/// thousand of them are 6 GB; one that sells one hour a day takes a fifth.
const WHOLE_MAX: usize = 20_000;
/// The same of its first day: 3 GB, were there two million of them.
const FIRST_DAY_MAX: usize = 1_500;

struct Nothing;

impl Past for Nothing {
    fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

fn receipt(inn: u32, at: u32, total: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    TlvWriter::new(&mut bytes)
        .document(Form::RECEIPT, |w| {
            w.text(tags::USER_INN, &format!("77{inn:08}  "))?;
            w.unixtime(tags::DATE_TIME, LocalSeconds(at));
            w.u8(tags::OPERATION_TYPE, 1);
            w.vln(tags::TOTAL_SUM, total * 2);
            w.vln(tags::CASH_SUM, total);
            w.vln(tags::ECASH_SUM, total);
            w.vln(tags::VAT_10, total / 11);
            w.vln(tags::VAT_20, total / 6);
            Ok(())
        })
        .unwrap();
    bytes
}

/// Lives of so many organisations; bytes that they take after a day and at the end, those of everybody's sums with them.
fn lived(count: u32) -> (usize, usize) {
    let region = Region::new(ALLOCATOR);
    let held = || {
        let change = region.change();
        change.bytes_allocated - change.bytes_deallocated
    };
    let mut registers = Registers::new(None, SHIFTS_KEPT);
    let (mut lsn, mut number, mut sold, mut first_day) = (0, 0, 0, 0);
    let mut events = Vec::with_capacity(16);
    let begin = 1_772_409_600;
    for day in 0..DAYS_KEPT + 40 {
        for half in 0..20 {
            number += 1;
            for organisation in 0..count {
                let utc = begin + day * 86_400 + 6 * 3_600 + half * 1_800 + organisation % 1_000;
                let total = u64::from(utc.wrapping_mul(2_654_435_761) % 500_000);
                let plain = receipt(organisation, utc + 10_800, total);
                lsn += 1;
                sold += 2 * total;
                let view = DocumentView::new_checked(&plain).unwrap();
                let seen = Seen {
                    position: Position::new(Lsn::new(lsn)),
                    received_at_us: i64::from(utc) * 1_000_000,
                    realm: Realm::Prod,
                    drive: DriveNumber::parse(&format!("77{organisation:014}")).unwrap(),
                    number,
                    variant: 0,
                    imported: false,
                    view,
                    header: view.header(),
                };
                registers.take(&seen, &Nothing, &mut events).unwrap();
                events.clear();
            }
        }
        if day == 0 {
            first_day = held();
        }
    }
    let taken = (first_day, held());
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    let figures = registers.figures(Realm::Prod, Whose::Everybody, Grain::Day, &ever).unwrap();
    assert!(figures.revenue() > 0 && figures.revenue().unsigned_abs() < sold);
    assert_eq!(figures.rows().count(), DAYS_KEPT as usize + 1);
    taken
}

#[test]
fn an_organisation_takes_few_bytes() {
    let count: u32 = std::env::var("OFD_ORGANISATIONS").map_or(21, |text| text.parse().unwrap());
    lived(1);
    let (one, many) = (lived(1), lived(count));
    let each = |one: usize, many: usize| (many - one) / (count as usize - 1);
    let (first_day, whole) = (each(one.0, many.0), each(one.1, many.1));
    println!("an organisation with its register: {first_day} bytes after a day, {whole} when all is kept");
    println!("everybody: {} bytes", one.1 - whole);
    assert!(first_day <= FIRST_DAY_MAX, "{first_day} bytes of an organisation after a day");
    assert!(whole <= WHOLE_MAX, "{whole} bytes of an organisation");
}
