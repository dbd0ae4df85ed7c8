//! The rules across documents: each on a life of its own, over cuts, switches and replays.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a failed test may panic"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dice.rs"]
mod dice;
mod life;
mod lives;
mod model;
mod random;
mod samples;

use life::{DAY, Life, OURS, finding, registers};
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::rules::life::{LifeRuleId, life_rules};
use ofd_engine::codec::{Form, tags};
use ofd_engine::host::Capability;
use ofd_engine::registers::{EventKind, Registers, SHIFTS_KEPT};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::RuleSwitch;
use ofd_engine::{Engine, ReadOnly};

/// As they come back from a checkpoint.
fn restored(registers: &Registers) -> Registers {
    let mut again = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    registers.save(&mut |piece| again.restore(piece).ok_or(())).unwrap();
    again.restored(registers.position());
    again
}

// A merchant is told the same whether the engine was started in between or not.
#[test]
fn findings_do_not_depend_on_where_the_fold_goes_on() {
    let mut told = 0;
    for rule in life_rules() {
        let (mut life, _) = lives::pair(rule.key).unwrap();
        // What silence there is, told by ticks behind and before a document.
        life.tick(4 * DAY);
        life.pass(5 * DAY);
        life.open();
        life.tick(70 * DAY);
        let whole = life.found();
        told += whole.len();
        let cuts: Vec<usize> = (0..=life.came.len()).collect();
        let step = (cuts.len() / 25).max(1);
        for cut in cuts.into_iter().step_by(step) {
            let mut fold = registers();
            let mut found: Vec<_> = (0..cut).flat_map(|at| life.fold(&mut fold, at)).collect();
            let mut fold = restored(&fold);
            found.extend((cut..life.came.len()).flat_map(|at| life.fold(&mut fold, at)));
            assert_eq!(found, whole, "{} cut at {cut}", rule.key);
        }
    }
    assert!(told > 400, "{told}");
}

// What has ended while its rule was off cannot be told then; if it stayed for ever, the next finding would be none.
#[test]
fn a_state_that_ends_while_its_rule_is_off_ends_with_the_next_document() {
    // The rule is off for one document alone.
    let told = |life: &Life, rule: &str, off: usize| {
        let mut fold = registers();
        let mut told = Vec::new();
        for at in 0..life.came.len() {
            if at == off || at == off + 1 {
                let switch = RuleSwitch::new(rule, at != off, "x", "x").unwrap();
                let came = life.came[at].doc().map_or(0, |doc| i64::from(doc.came)) * 1_000_000;
                fold.switch((fold.position(), came), &switch, &mut Vec::new());
            }
            let events = life.fold(&mut fold, at);
            let mine = events.iter().filter_map(finding).filter(|it| it.rule.rule().key == rule);
            told.extend(mine.map(|it| (at, it.ended_us.is_some())));
        }
        told
    };
    let mut gap = Life::new();
    gap.open();
    (0..4).for_each(|_| _ = gap.sell(100));
    gap.skip(1);
    gap.sell(100);
    gap.came.swap(3, 4);
    assert_eq!(told(&gap, "D2", 4), [(3, false), (5, true), (6, false)]);
    let mut silence = Life::new();
    silence.open();
    silence.tick(2 * DAY);
    silence.pass(3 * DAY);
    (0..2).for_each(|_| _ = silence.sell(100));
    silence.tick(2 * DAY);
    assert_eq!(told(&silence, "I1.1", 3), [(2, false), (4, true), (5, false)]);
    let mut flags = Life::new();
    for set in [1, 0, 0, 1] {
        flags.open().set(tags::DRIVE_RUNNING_OUT, [set]);
        flags.close().set(tags::DRIVE_RUNNING_OUT, [set]);
    }
    assert_eq!(told(&flags, "F2.1", 3), [(1, false), (4, true), (7, false)]);
    let mut shift = Life::new();
    shift.open();
    shift.pass(25 * 3_600);
    shift.sell(100);
    shift.close();
    shift.put(Form::CURRENT_STATE);
    shift.open();
    assert_eq!(told(&shift, "D8.1", 3), [(2, false), (4, true)]);
}

// A shift whose closing report never comes would be overdue for ever. What ends it is told once, and no tick begins it again, nor
// after a restart; where it came in time, nothing is told at all.
#[test]
fn an_overdue_shift_that_is_never_closed_ends_otherwise() {
    type End = fn(&mut Life);
    let ends: [(&str, End); 5] = [
        ("a receipt", |life| life.sell(100).at += 1),
        ("form 6", |life| _ = life.put(Form::CLOSE_ARCHIVE)),
        ("the next shift", |life| _ = life.open()),
        ("form 11", |life| _ = life.register_again(1)),
        ("another drive", |life| {
            life.replace_drive(2);
            life.register_again(1);
        }),
    ];
    let told = |end: fn(&mut Life), overdue: bool, restarts: bool| {
        let mut life = Life::new();
        life.open();
        let from = life.came.len();
        life.tick(if overdue { DAY + 1 } else { DAY });
        life.pass(if overdue { 2 * DAY } else { 0 });
        end(&mut life);
        life.tick(DAY);
        life.tick(3 * DAY);
        let (mut fold, mut told) = (registers(), Vec::new());
        for at in 0..life.came.len() {
            let of_it = |it: &EventKind| match it {
                EventKind::Found(it) | EventKind::FindingEnded(it) => {
                    it.rule.rule().key == "D8.2" && it.shift == Some(1)
                }
                EventKind::ShiftOverdue { shift } | EventKind::ShiftOverdueEnded { shift } => *shift == 1,
                _ => false,
            };
            let events = life.fold_all(&mut fold, at).into_iter().filter(|it| of_it(&it.kind));
            let mut names: Vec<_> = events.map(|it| it.kind.name()).collect();
            names.sort_unstable();
            told.extend(names.into_iter().map(|name| (at.saturating_sub(from), name)));
            if restarts {
                fold = restored(&fold);
            }
        }
        told
    };
    let began = [(0, "finding.found"), (0, "shift.overdue")];
    let ended = [(1, "finding.ended"), (1, "shift.overdue-ended")];
    for (name, end) in ends {
        for restarts in [false, true] {
            let goes_on = name == "a receipt";
            let expected = if goes_on { began.to_vec() } else { [began, ended].concat() };
            assert_eq!(told(end, true, restarts), expected, "{name}, restarts: {restarts}");
            assert_eq!(told(end, false, restarts).is_empty(), !goes_on, "{name}, restarts: {restarts}");
        }
    }
}

// A clock that once ran years ahead would keep the thirty days from moving for as long, and nights that are new from being told.
#[test]
fn a_clock_that_runs_ahead_does_not_hold_the_hours_of_work() {
    let mut life = Life::new();
    let sell = |life: &mut Life, days: u32, hour: u32| {
        for _ in 0..days {
            life.at = life.at.div_ceil(DAY) * DAY + hour * 3_600;
            life.day(1);
        }
    };
    sell(&mut life, 40, 10);
    life.open();
    let ahead = life.at + 700 * DAY;
    life.sell(100).at = ahead;
    life.close();
    let nights = |life: &Life| life.keys(false).iter().filter(|it| **it == "S4").count();
    sell(&mut life, 1, 3);
    assert_eq!(nights(&life), 1);
    sell(&mut life, 70, 10);
    sell(&mut life, 1, 3);
    assert_eq!(nights(&life), 2);
}

// Owners are told how many more refunds they may give; a late document counts once, and on its own day.
#[test]
fn indicators_of_risk_tell_what_is_left_until_the_limit() {
    let mut life = Life::new();
    for _ in 0..10 {
        life.day(2);
        life.pass(DAY);
    }
    life.open();
    life.receipt(2, 100);
    life.receipt(2, 100);
    life.correction();
    let risk = |life: &Life| {
        let mut fold = registers();
        (0..life.came.len()).for_each(|at| drop(life.fold(&mut fold, at)));
        fold.risk(Realm::Prod, &life.rnm).unwrap()
    };
    let now = risk(&life);
    assert_eq!((now.refunds.part, now.refunds.whole, now.refunds.left), (2, 20, 4));
    assert_eq!((now.corrections.part, now.corrections.whole), (1, 23));
    // (1 + k) / (23 + k) >= 0.3 first holds with 9 more.
    assert_eq!(now.corrections.left, 9);
    for left in (0..4).rev() {
        life.receipt(2, 100);
        assert_eq!((risk(&life).refunds.left, life.keys(false).contains(&"R2")), (left, left == 0));
    }
    // A sale of a day that is long over and came late counts no more.
    let before = risk(&life);
    let day = life.at - 40 * DAY;
    life.sell(100).at = day;
    assert_eq!(risk(&life), before);
    // And one within the window counts on its day: of the window that has moved it is gone.
    life.sell(100).at = life.at - 5 * DAY;
    assert_eq!(risk(&life).refunds.whole, 21);
    life.pass(27 * DAY);
    life.sell(100);
    let later = risk(&life);
    assert!(later.refunds.part == 6 && later.refunds.whole < 10, "{later:?}");
}

fn open(dir: &std::path::Path) -> Engine {
    Engine::builder(dir).operator_inn("7700000190").segment_len_bytes(1 << 20).open().unwrap()
}

// A host that finds a rule wrong for its merchants switches it off, by a record that says who and why; a rule that is new
// can still be asked of everything.
#[test]
fn a_rule_is_off_from_a_record_on_and_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let everybody = Capability::operator();
    let engine = open(dir.path());
    let mut register =
        Register::new(3, 1, &ProfileOptions { receipts_per_shift: Some(2), ..ProfileOptions::default() });
    let mut send = |engine: &Engine, count: usize| {
        let messages = (0..count).map(|_| {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            message
        });
        // All but the registration name another user.
        let strange = |message: Vec<u8>| match common::number(&message) {
            1 => message,
            _ => common::changed(&message, 1018, |inn| inn[0] ^= 1),
        };
        let messages: Vec<_> = messages.map(strange).collect();
        common::submit(engine, &messages);
        assert!(engine.registers(&everybody).wait(engine.durable(), std::time::Duration::from_secs(20)));
    };
    let strange = |log: &ReadOnly| {
        let mut told = Vec::new();
        log.fold_events(None, &mut |event| {
            told.extend(finding(&event).filter(|it| it.rule == LifeRuleId::D11_2).map(|it| it.rules_version));
        })
        .unwrap();
        told
    };
    let at = engine.switch_rule("D11.2", false, "test", "стенд").unwrap();
    assert!(engine.registers(&everybody).wait(at, std::time::Duration::from_secs(20)));
    assert!(!engine.rule_set().is_on(LifeRuleId::D11_2));
    send(&engine, 4);
    let log = ReadOnly::open(dir.path()).unwrap();
    assert_eq!(strange(&log), Vec::<u32>::new());
    engine.switch_rule("D11.2", true, "test", "проверено").unwrap();
    send(&engine, 2);
    assert!(
        engine.switch_rule("B2", false, "test", "x").is_err()
            && engine.switch_rule("D11.2", false, "", "x").is_err()
    );
    let log = ReadOnly::open(dir.path()).unwrap();
    assert_eq!(strange(&log), [2], "told by the set of two switches");
    // Asked of everything it is found with the first such document, and what was told stays.
    let mut replayed = Vec::new();
    log.replay_rule(&everybody, LifeRuleId::D11_2, None, &mut |event| {
        assert!(matches!(event.kind, EventKind::Found(_)));
        replayed.push(event.number);
        Ok(())
    })
    .unwrap();
    assert_eq!(replayed, [2]);
    assert_eq!(strange(&log), [2]);
    engine.shutdown().unwrap();
    let engine = open(dir.path());
    assert!(engine.registers(&everybody).wait(engine.durable(), std::time::Duration::from_secs(20)));
    assert_eq!(engine.rule_set().version(), 2, "after a restart");
    let mine = engine.registers(&everybody).iter().next().unwrap().card;
    let risks = engine.risks(&everybody, mine.inn.as_deref());
    assert_eq!((risks.registers.len(), risks.registers[0].rnm.as_str()), (1, mine.rnm.as_str()));
    assert_eq!(risks.registers[0].sixty_days_us - risks.registers[0].last_seen_us, 60 * 86_400_000_000);
    assert!(engine.risks(&Capability::users(["1".to_owned()]), None).registers.is_empty());
    engine.shutdown().unwrap();
}
