//! What four million registers with timers cost, and how many colours change in a minute: figures of the fold alone, by the
//! processor time of its thread, printed. `OFD_REGISTERS=<n>` sets how many;
//! `cargo test --release -p ofd-engine --test watch -- figures --nocapture`.

use std::time::Duration;

use ofd_engine::codec::Form;
use ofd_engine::watch::{Scope, Threshold, WatchCommand};
use rustix::time::{ClockId, clock_gettime};

use crate::world::{DAY, MONDAY, OURS, Step, doc, empty, fold, restored};

const FOUR_MILLION: f64 = 4e6;

/// Time that this thread has had a core for: what neighbours take is not the fold's.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

// A day on which every register falls silent: each has a timer, each goes off and is told. Then all of them change at once, by one
// threshold.
#[test]
fn four_million_timers_are_cheap_and_a_million_colours_change_in_a_minute() {
    let default = if cfg!(debug_assertions) { 3_000 } else { 200_000 };
    let count: u32 = std::env::var("OFD_REGISTERS").map_or(default, |text| text.parse().unwrap());
    let (mut registers, mut events, mut lsn) = (empty(), Vec::new(), 0);
    let at_of = |number: u32| MONDAY + (u64::from(number) * u64::from(DAY) / u64::from(count)) as u32;
    for number in 0..count {
        let at = at_of(number);
        for form in [Form::REGISTRATION, Form::OPEN_SHIFT, Form::RECEIPT, Form::CLOSE_SHIFT] {
            let mut made = doc(1, form);
            made.register = number;
            made.number = u32::from(form.0);
            made.shift = (form != Form::REGISTRATION).then_some(1);
            made.operator = (form == Form::REGISTRATION).then_some(OURS);
            made.key_days = (form == Form::CLOSE_SHIFT).then_some(1_000);
            lsn += 1;
            fold(&mut registers, lsn, at, &Step::Doc(made), &mut events);
            events.clear();
        }
    }
    let mut registers = restored(&registers);
    let begun = used();
    let (mut told, mut ticks) = (0, 0);
    for second in MONDAY + DAY..MONDAY + 2 * DAY + 1 {
        // Only when something is due.
        if registers.due_us().is_some_and(|due| due <= i64::from(second) * 1_000_000) {
            (lsn, ticks) = (lsn + 1, ticks + 1);
            fold(&mut registers, lsn, second, &Step::Tick, &mut events);
            told += events.iter().filter(|it| it.kind.name() == "colour.changed").count();
            events.clear();
        }
    }
    let day = (used() - begun).as_secs_f64();
    assert_eq!(told, count as usize);
    let share = day * (FOUR_MILLION / f64::from(count)) / f64::from(DAY);
    let off = [(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))];
    let command =
        WatchCommand::SetThresholds { scope: Scope::Default, values: off.to_vec(), by: "x".to_owned() };
    let begun = used();
    let (mut changed, mut records) = (0, 0);
    let mut step = Step::Command(command);
    while changed < count as usize {
        (lsn, records) = (lsn + 1, records + 1);
        fold(&mut registers, lsn, MONDAY + 2 * DAY + 2 + records, &step, &mut events);
        changed += events.len();
        events.clear();
        step = Step::Tick;
        assert!(records < 1_000, "{changed} of {count}");
    }
    let rate = f64::from(count) / (used() - begun).as_secs_f64() * 60.0;
    println!(
        "{count} registers: {ticks} ticks of a day on which each falls silent take {day:.3} s; of four million {:.4} % of a core. \
         One threshold for all: {records} records, {rate:.0} colours a minute",
        share * 100.0
    );
    assert!(share < 0.01, "four million registers take {share} of a core");
    assert!(rate > 1e6, "{rate} colours a minute");
}
