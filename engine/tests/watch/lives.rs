//! Random lives of some registers: what stands at any time is what the light says of that time, and an interruption changes
//! neither that nor what is told.

use ofd_engine::codec::Form;
use ofd_engine::registers::{EventKind, Note};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{Hours, Place, Schedule, Scope, Threshold, WatchCommand};

use crate::rounds;
use crate::world::{DAY, HOUR, INN, MONDAY, OURS, Rng, Step, doc, empty, fold, restored, rnm};

const REGISTERS: u32 = 3;

fn steps(rng: &mut Rng) -> Vec<(u32, Step)> {
    let mut at = MONDAY;
    let mut numbers = [0_u32; REGISTERS as usize];
    let mut steps = Vec::new();
    for _ in 0..40 + rng.below(80) {
        at += match rng.below(6) {
            0 => rng.below(u64::from(10 * DAY)) as u32,
            1 | 2 => rng.below(u64::from(DAY)) as u32,
            3 => HOUR,
            _ => rng.below(600) as u32,
        };
        let register = 1 + rng.below(u64::from(REGISTERS)) as u32;
        let step = match rng.below(10) {
            0..=3 => Step::Tick,
            4 => {
                let scope = match rng.below(4) {
                    0 => Scope::Default,
                    1 => Scope::Organisation(INN.to_owned()),
                    2 => Scope::Outlet("7".to_owned()),
                    _ => Scope::Register(rnm(register)),
                };
                let threshold = Threshold::ALL[rng.below(Threshold::ALL.len() as u64) as usize];
                let value =
                    (!rng.one_in(3)).then(|| rng.below(u64::from(threshold.built_in().max(4)) * 2) as u32);
                let values = vec![(threshold, value.filter(|it| *it <= threshold.bound()))];
                Step::Command(WatchCommand::SetThresholds { scope, values, by: "x".to_owned() })
            }
            5 => {
                let open = Hours::parse_day("09:00-20:00");
                let schedule = Schedule {
                    hours: rng.one_in(2).then_some(Hours([open, open, open, open, open, None, None])),
                    zone_min: rng.one_in(2).then_some(300),
                    service_to: if rng.one_in(3) { at + rng.below(40 * u64::from(DAY)) as u32 } else { 0 },
                    ..Schedule::default()
                };
                let outlet = (!rng.one_in(3)).then(|| (6 + rng.below(3)).to_string());
                let place = Place { inn: None, outlet, schedule };
                Step::Command(WatchCommand::PlaceRegister { rnm: rnm(register), place, by: "x".to_owned() })
            }
            6 => Step::Note(match rng.below(6) {
                0 => Note::Unregistered,
                1 => Note::RegistrationRefused,
                2 => Note::RegistrationAccepted,
                3 => Note::SoftQuarantine,
                4 => Note::HardQuarantine,
                _ => Note::Found,
            }),
            _ => {
                let number = &mut numbers[register as usize - 1];
                *number += 1;
                let forms =
                    [Form::OPEN_SHIFT, Form::RECEIPT, Form::RECEIPT, Form::CLOSE_SHIFT, Form::REGISTRATION];
                let form = forms[rng.below(5) as usize];
                let mut doc = doc(*number, form);
                doc.register = register;
                doc.drive = 1 + u32::from(rng.one_in(12));
                doc.shift = (form != Form::REGISTRATION).then(|| 1 + *number / 4);
                let reports = matches!(form, Form::OPEN_SHIFT | Form::CLOSE_SHIFT);
                doc.flags = (reports && rng.one_in(3)).then(|| rng.below(16) as u8);
                let waits = (rng.below(3) as u32, at - rng.below(25 * u64::from(DAY)) as u32);
                doc.unsent = (form == Form::CLOSE_SHIFT && rng.one_in(2)).then_some(waits);
                doc.key_days = (form != Form::RECEIPT && rng.one_in(2)).then(|| rng.below(60) as u16);
                doc.operator =
                    (form == Form::REGISTRATION).then_some(if rng.one_in(6) { "7700002008" } else { OURS });
                doc.autonomous = rng.one_in(6);
                doc.late = if rng.one_in(5) { rng.below(u64::from(2 * DAY)) as u32 } else { 0 };
                Step::Doc(doc)
            }
        };
        steps.push((at, step));
    }
    steps
}

// A timer that is lost is an alarm that never comes, and one that is told twice makes people deaf.
#[test]
fn what_stands_is_what_the_light_says_wherever_the_fold_is_interrupted() {
    let (mut changes, mut ticked) = (0, 0);
    for seed in 1..=rounds(300) {
        let mut rng = Rng(seed);
        let steps = steps(&mut rng);
        let (mut registers, mut events) = (empty(), Vec::new());
        for (number, (at, step)) in steps.iter().enumerate() {
            let from = events.len();
            fold(&mut registers, number as u64 + 1, *at, step, &mut events);
            for event in &events[from..] {
                if let EventKind::ColourChanged(change) = &event.kind {
                    changes += 1;
                    ticked += u32::from(matches!(step, Step::Tick));
                    assert_ne!(change.before, change.now, "seed {seed}: told without a change");
                }
            }
            // A tick comes every second while something is due, so what is not due stands.
            let tick = Step::Tick;
            let mut later = registers.clone();
            fold(&mut later, number as u64 + 2, *at, &tick, &mut Vec::new());
            for register in 1..=REGISTERS {
                let light = later.light(Realm::Prod, &rnm(register), *at);
                assert_eq!(
                    later.facets(Realm::Prod, &rnm(register)),
                    light.map(|it| it.facets),
                    "seed {seed}, record {number}: {step:?}"
                );
            }
        }
        let cut = rng.below(steps.len() as u64) as usize;
        let other = rng.below(steps.len() as u64) as usize;
        let (mut again, mut twice) = (empty(), Vec::new());
        for (number, (at, step)) in steps.iter().enumerate() {
            if number == cut || number == other {
                again = restored(&again);
            }
            fold(&mut again, number as u64 + 1, *at, step, &mut twice);
        }
        assert!(again == registers, "seed {seed}, interrupted behind {cut} and {other}");
        assert_eq!(twice, events, "seed {seed}, interrupted behind {cut} and {other}");
    }
    println!("{changes} changes, {ticked} of them by ticks");
    assert!(changes > ticked && ticked > 0);
}
