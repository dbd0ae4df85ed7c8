//! What a register takes in memory, in a file of its own because the allocator counts for the whole process.
//!
//! `OFD_REGISTERS=<n>` sets how many; the bounds are those of four million drives in 1.5 GB with all shifts closed and in
//! 5 GB with all of them open, less the 32 bytes of a sleeping lane.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

use std::alloc::System;

use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::{DocumentView, DriveNumber, Form};
use ofd_engine::registers::{Past, Registers, SHIFTS_KEPT, Seen};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Lsn, Position};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a drive with its card.
const CLOSED_MAX: usize = 375 - 32 + TAKINGS + WATCH;
const OPEN_MAX: usize = 1250 - 32 + TAKINGS + WATCH;
/// Of the sums of its organisation, here of a few receipts; `takings_memory.rs` bounds them.
const TAKINGS: usize = 150;

/// What the watch takes beyond those bounds, its rules, light, forecast and lists together: 160 MB of four million.
const WATCH: usize = 40;

struct Nothing;

impl Past for Nothing {
    fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

/// Bytes that are allocated and not freed since.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

#[test]
fn a_register_takes_few_bytes() {
    let count: u32 = std::env::var("OFD_REGISTERS").map_or(4_000, |text| text.parse().unwrap());
    // Who makes the documents keeps what registers share.
    for number in 0..100 {
        let mut register = Register::new(7, number, &ProfileOptions::default());
        (0..50).for_each(|_| _ = register.next_message(&mut Vec::new()));
    }
    let region = Region::new(ALLOCATOR);
    let mut registers = Registers::new(Some("7700000190".to_owned()), SHIFTS_KEPT);
    let (mut events, mut message) = (Vec::with_capacity(64), Vec::with_capacity(1 << 16));
    let mut lsn = 0;
    let mut taken = [0, 0];
    // Registered, a shift with a few receipts, closed; and then the opening of the next one with some more.
    // A register lives its life anew each time: who makes the documents takes far more memory than who folds them.
    for ends in [Form::CLOSE_SHIFT, Form::RECEIPT] {
        for number in 0..count {
            let options = ProfileOptions { receipts_per_shift: Some(5), ..ProfileOptions::default() };
            let mut register = Register::new(7, number, &options);
            let (mut closed, mut receipts) = (false, 0);
            loop {
                message.clear();
                register.next_message(&mut message).unwrap();
                let view = DocumentView::new_checked(register.plain()).unwrap();
                let (form, header) = (view.form(), view.header());
                if ends == Form::CLOSE_SHIFT || closed {
                    lsn += 1;
                    let seen = Seen {
                        position: Position::new(Lsn::new(lsn)),
                        received_at_us: 1_790_000_000_000_000 + lsn as i64 * 1000,
                        realm: Realm::Prod,
                        drive: register.drive(),
                        number: header.number.unwrap().0,
                        variant: 0,
                        imported: false,
                        view,
                        header,
                    };
                    registers.take(&seen, &Nothing, &mut events).unwrap();
                    events.clear();
                    receipts += u32::from(form.is_receipt_like());
                }
                let ended = form == Form::CLOSE_SHIFT;
                if (ended && ends == Form::CLOSE_SHIFT) || (closed && receipts == 3) {
                    break;
                }
                closed |= ended;
            }
        }
        taken[usize::from(ends == Form::RECEIPT)] = held(&region) / count as usize;
    }
    let [closed, open] = taken;
    println!(
        "{count} registers, {lsn} documents: {closed} bytes each with closed shifts, {open} with open ones"
    );
    assert!(closed <= CLOSED_MAX, "{closed} bytes of a register whose shift is closed");
    assert!(open <= OPEN_MAX, "{open} bytes of a register whose shift is open");
    let (drives, cards) = registers.count();
    assert_eq!((drives, cards), (count as usize, count as usize));
}
