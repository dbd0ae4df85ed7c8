//! Scenarios: every kind, thresholds, quiet hours, digests, by a virtual clock.

use super::*;

// Each kind from the event that brings it about; who asks for another scope or kind hears nothing.
#[test]
fn every_kind_is_told_to_whom_it_is_for() {
    use crate::registers::{ColourChange, Evidence, Mismatch, Shift, ShiftState, TaxAnswer};
    use crate::watch::{Colour, Facet, Facets};
    use ofd_codec::Tag;
    use ofd_storage::envelope::Realm;
    let all: Vec<&str> = NoticeKind::ALL.into_iter().map(NoticeKind::name).collect();
    let mut world = World::new(wide());
    world.document(1, vec![EventKind::ServiceLeft]);
    world.command(set("all", json!({"all": true}), &all, json!({})));
    world.command(set("mine", json!({"inn": inn(1)}), &all, json!({})));
    world.command(set("padded", json!({"inn": format!("00{}", inn(1))}), &all, json!({})));
    world.command(set("rnm", json!({"rnm": format!("{:016}", 1)}), &all, json!({})));
    world.command(set("shop", json!({"outlet": "shop-1"}), &all, json!({})));
    world.command(set("other", json!({"inn": inn(2)}), &all, json!({})));
    world.command(set("gaps", json!({"all": true}), &["gap.closed"], json!({})));
    let range = Range { first: 4, last: 9 };
    let counters = vec![Mismatch { tag: Tag(1118), within: Tag(0), stated: 1, counted: 2 }];
    let closed_by = |number, overdue, revision| {
        let mut shift = Shift::default();
        shift.closed = Some(crate::registers::Mark { number, at: None });
        (shift.number, shift.overdue, shift.revision) = (7, overdue, revision);
        let (inn, rnm, counters) = (None, None, None);
        EventKind::ShiftState(Box::new(ShiftState {
            realm: Realm::Prod,
            inn,
            rnm,
            shift,
            counters,
            imported: false,
        }))
    };
    // Documents here have the number 1.
    let closed = |overdue, revision| closed_by(1, overdue, revision);
    let finding = |key| {
        let rule = ofd_codec::rules::life::LifeRuleId::by_key(key).unwrap();
        Box::new(crate::watch::LifeFinding {
            rule,
            rules_version: 0,
            realm: Realm::Prod,
            rnm: None,
            shift: None,
            at: None,
            tag: None,
            actual: Some("1".to_owned()),
            expected: None,
            first_seen_us: 0,
            last_seen_us: 0,
            count: 1,
            ended_us: None,
            imported: false,
        })
    };
    let answer = |kind| {
        let (document, code, tag) = (Position::new(Lsn::new(1)), Some(507), None);
        EventKind::TaxAnswered(TaxAnswer { kind, document, code, tag })
    };
    let light = |before: &[(Facet, Colour)], now: &[(Facet, Colour)]| {
        let of =
            |list: &[(Facet, Colour)]| list.iter().fold(Facets::default(), |all, it| all.with(it.0, it.1));
        let (realm, rnm, inn, reasons) = (Realm::Prod, String::new(), None, Vec::new());
        EventKind::ColourChanged(Box::new(ColourChange {
            realm,
            rnm,
            inn,
            before: of(before),
            now: of(now),
            reasons,
        }))
    };
    let scenarios: Vec<(EventKind, Vec<(&str, &str)>)> = vec![
        (EventKind::DriveAppeared(Evidence::Registered), vec![("drive.appeared", "once")]),
        (EventKind::ServiceLeft, vec![("service.left", "once")]),
        (EventKind::ServiceResumed, vec![("service.resumed", "once")]),
        (EventKind::GapOpened(range), vec![("gap.opened", "once")]),
        (EventKind::GapClosed(range), vec![("gap.closed", "once")]),
        (EventKind::Variant { variant: 1 }, vec![("document.variant", "once")]),
        (
            EventKind::RegistrationChanged { reasons: 1, changes: vec![Tag(1009)] },
            vec![("registration.changed", "once")],
        ),
        (EventKind::DriveReplaced { before: drive(9) }, vec![("drive.replaced", "once")]),
        (EventKind::DriveClosed, vec![("drive.closed", "once")]),
        (EventKind::AfterDriveClosed(ofd_codec::Form::RECEIPT), vec![("drive.after-closed", "once")]),
        (EventKind::ShiftOpened { shift: 7 }, vec![("shift.opened", "once")]),
        (EventKind::ShiftClosed { shift: 7 }, vec![("shift.closed", "once")]),
        (EventKind::ShiftNotClosed { shift: 7 }, vec![("shift.not-closed", "once")]),
        (EventKind::ShiftTooLong { shift: 7 }, vec![("shift.too-long", "once")]),
        (EventKind::ShiftOverdue { shift: 7 }, vec![("shift.overdue", "began")]),
        (EventKind::ShiftOverdueEnded { shift: 7 }, vec![("shift.overdue", "ended")]),
        (closed(true, 0), vec![("shift.overdue", "ended")]),
        (closed(true, 1), vec![]),
        (closed(false, 0), vec![]),
        // Another document fills a gap in it.
        (closed_by(9, true, 0), vec![]),
        (EventKind::ShiftMismatch { shift: 7, counters }, vec![("shift.mismatch", "once")]),
        (EventKind::ShiftAgrees { shift: 7 }, vec![("shift.agrees", "once")]),
        (EventKind::DriveFlags { flags: 1, before: 0 }, vec![("drive.term", "began")]),
        (EventKind::DriveFlags { flags: 3, before: 1 }, vec![]),
        (EventKind::DriveFlags { flags: 0, before: 3 }, vec![("drive.term", "ended")]),
        (
            EventKind::DriveFlags { flags: 12, before: 0 },
            vec![("drive.memory", "began"), ("operator.silent", "began")],
        ),
        (EventKind::DriveFlags { flags: 8, before: 12 }, vec![("drive.memory", "ended")]),
        (EventKind::DriveFlags { flags: 0, before: 8 }, vec![("operator.silent", "ended")]),
        (EventKind::Backlog { documents: 5, since: None, before: 0 }, vec![("drive.backlog", "began")]),
        (EventKind::Backlog { documents: 6, since: None, before: 5 }, vec![]),
        (EventKind::Backlog { documents: 0, since: None, before: 6 }, vec![("drive.backlog", "ended")]),
        (EventKind::ShiftRevised { shift: 7, revision: 1 }, vec![]),
        (EventKind::Found(finding("D1")), vec![("violation.found", "once")]),
        (EventKind::Found(finding("D2")), vec![("violation.found", "began")]),
        (EventKind::FindingEnded(finding("D2")), vec![("violation.found", "ended")]),
        (answer(StatusKind::Refused), vec![("tax.refused", "once")]),
        (answer(StatusKind::Quarantined), vec![("tax.quarantined", "once")]),
        (answer(StatusKind::Warned), vec![("tax.warned", "once")]),
        (light(&[], &[(Facet::Quality, Colour::Red)]), vec![("colour.changed", "once")]),
        (
            light(&[], &[(Facet::Transfer, Colour::Yellow)]),
            vec![("colour.changed", "once"), ("register.silent", "began")],
        ),
        (
            light(&[(Facet::Transfer, Colour::Yellow)], &[(Facet::Transfer, Colour::Red)]),
            vec![("colour.changed", "once")],
        ),
        (
            light(&[(Facet::Transfer, Colour::Red)], &[]),
            vec![("colour.changed", "once"), ("register.silent", "ended")],
        ),
        (
            light(&[], &[(Facet::Drive, Colour::Red), (Facet::Connection, Colour::Yellow)]),
            vec![("colour.changed", "once"), ("service.ends", "began"), ("drive.ends", "began")],
        ),
    ];
    let mut named = BTreeSet::new();
    let mut at = BTreeMap::new();
    for (event, expected) in scenarios {
        named.extend(expected.iter().map(|it| it.0.to_owned()));
        world.document(1, vec![event.clone()]);
        world.settle();
        for id in ["all", "mine", "padded", "rnm", "shop"] {
            let told = world.told(id);
            let before = at.insert(id, told.len()).unwrap_or(0);
            assert_eq!(states(&told[before..]), expected, "{id}: {event:?}");
        }
    }
    assert_eq!(named.len(), NoticeKind::ALL.len(), "a kind has no scenario");
    assert_eq!(world.told("other"), []);
    assert_eq!(world.told("gaps").len(), 1);
    // One body, whole.
    let body =
        world.taken.iter().find(|it| it["kind"] == "gap.opened" && it["subscription"] == "mine").unwrap();
    let expected = json!({"subscription": "mine", "kind": "gap.opened", "state": "once", "index": 0, "fd": 1,
        "drive": drive(1).as_str(), "inn": inn(1), "rnm": format!("{:016}", 1), "data": {"first": 4, "last": 9},
        "occurred_at": "2024-10-04T00:00:00.000000Z"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&body[key], value, "{key}");
    }
}

// A subscription with thresholds hears of what passes them, and of its end.
#[test]
fn thresholds_are_those_of_the_subscription() {
    let mut world = World::new(wide());
    let more = json!({"threshold": {"drive.backlog": 10, "gap.opened": 3, "drive.term": 3}});
    world.command(set("a", json!({"all": true}), &["drive.backlog", "gap.opened", "drive.term"], more));
    world.backlog(1, 9);
    world.document(1, vec![EventKind::GapOpened(Range { first: 1, last: 2 })]);
    world.document(1, vec![EventKind::DriveFlags { flags: 1, before: 0 }]);
    world.settle();
    assert_eq!(world.told("a"), []);
    world.backlog(1, 10);
    world.backlog(1, 40);
    world.document(1, vec![EventKind::GapOpened(Range { first: 1, last: 3 })]);
    world.document(1, vec![EventKind::DriveFlags { flags: 3, before: 1 }]);
    world.backlog(1, 9);
    world.backlog(1, 0);
    world.settle();
    let expected = [
        ("drive.backlog", "began"),
        ("gap.opened", "once"),
        ("drive.term", "began"),
        ("drive.backlog", "ended"),
    ];
    assert_eq!(states(&world.told("a")), expected);
}

// Quiet hours hold back and lose nothing; what happens by day goes out at once.
#[test]
fn quiet_hours_hold_back_and_lose_nothing() {
    let mut world = World::new(wide());
    let quiet = json!({"quiet": {"from": "22:00", "to": "08:00", "zone_min": 180}});
    world.command(set("a", json!({"all": true}), &["shift.opened"], quiet));
    let mut expected = Vec::new();
    // From midnight of UTC on, 03:00 there, every hour for two days.
    for hour in 0..48 {
        world.wall_us = DAY_US + hour * HOUR_US + 1;
        world.document(1, vec![EventKind::ShiftOpened { shift: hour as u32 }]);
        world.walk(1_000);
        while !world.open.is_empty() || !world.notes.is_empty() {
            if world.open.is_empty() { world.note(true) } else { world.answer(0, DeliveryOutcome::Delivered) }
        }
        expected.push(hour as u64);
    }
    world.settle();
    let shift = |body: &Value| body["data"]["shift"].as_u64().unwrap();
    assert_eq!(world.taken.iter().map(shift).collect::<Vec<_>>(), expected);
    for (at_us, body) in &world.handed {
        let there = (at_us - DAY_US) / HOUR_US + 3;
        assert!((8..22).contains(&(there % 24)), "told at {there} o'clock");
        let happened = shift(body) as i64 + 3;
        let at_once = (8..22).contains(&(happened % 24));
        // 03:00 to 07:00 at 08:00, 22:00 to 07:00 on the next morning.
        assert_eq!(there == happened, at_once, "hour {happened} at {there}");
    }
}

// A digest has everything of its time, once, and goes out at its hour, or behind the quiet hours around it.
#[test]
fn a_digest_tells_a_day_at_once() {
    let mut world = World::new(wide());
    let kinds = ["shift.opened"];
    world.command(set("day", json!({"all": true}), &kinds, json!({"digest": "daily 09:00"})));
    world.command(set("hour", json!({"all": true}), &kinds, json!({"digest": "hourly"})));
    let quiet = json!({"digest": "daily 09:00", "quiet": {"from": "08:00", "to": "10:00", "zone_min": 180}});
    world.command(set("late", json!({"all": true}), &kinds, quiet));
    for half in 0..100_i64 {
        world.wall_us = DAY_US + half * HOUR_US / 2;
        world.document(1, vec![EventKind::ShiftOpened { shift: half as u32 }]);
        world.walk(1_000);
        while !world.open.is_empty() || !world.notes.is_empty() {
            if world.open.is_empty() { world.note(true) } else { world.answer(0, DeliveryOutcome::Delivered) }
        }
    }
    world.settle();
    let digests = |id: &str| {
        let of = world.handed.iter().filter(|(_, body)| body["subscription"] == id);
        let hours = |(at_us, body): &(i64, Value)| {
            assert_eq!(
                (body["kind"].as_str(), body["count"].as_u64()),
                (Some("digest"), body["notices"].as_array().map(|it| it.len() as u64))
            );
            ((at_us - DAY_US) as f64 / HOUR_US as f64, body["count"].as_u64().unwrap())
        };
        of.map(hours).collect::<Vec<_>>()
    };
    // 09:00 there is 06:00 UTC.
    assert_eq!(digests("day"), [(6.0, 12), (30.0, 48), (54.0, 40)]);
    assert_eq!(digests("late"), [(7.0, 12), (31.0, 48), (55.0, 40)]);
    let hourly = digests("hour");
    assert_eq!(hourly.len(), 50);
    assert!(hourly.iter().enumerate().all(|(at, it)| *it == ((at + 1) as f64, 2)), "{hourly:?}");
    for id in ["day", "hour", "late"] {
        let told = world.told(id);
        assert_eq!(told.len(), 100);
        assert!(told.is_sorted_by(|a, b| a < b), "{id}");
    }
}

// A receiver that knows an id passes the same again by: what it may have had must not come with more in it.
#[test]
fn a_digest_is_tried_again_as_it_was() {
    let mut world = World::new(small());
    let digest = json!({"digest": "hourly"});
    world.command(set("a", json!({"all": true}), &["shift.opened"], digest));
    // More than its line holds: it is behind, and the digest goes out with what there is.
    for shift in 0..20 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.walk(50);
    world.sleep(HOUR_US);
    assert_eq!(world.open.len(), 1);
    let first = world.handed[0].1.clone();
    world.answer(0, DeliveryOutcome::Retry);
    // Room, for the others have none left.
    world.notifier.limits.line_max = 100;
    world.settle();
    let again = &world.taken[0];
    assert_eq!(
        (&again["id"], &again["count"], &again["position"]),
        (&first["id"], &first["count"], &first["position"])
    );
    assert_eq!(world.told("a").len(), 20);
}

/// Subscriptions to a receiver each, whose notices wait.
fn waiting(channel: &str, to: &[&str]) -> World {
    let mut world = World::new(Limits { channel_max: 128, ..wide() });
    for (number, to) in to.iter().enumerate() {
        let more = json!({"channel": channel, "to": to});
        world.command(set(&format!("s{number:02}"), json!({"all": true}), &["shift.opened"], more));
    }
    for shift in 0..3 {
        world.document(1, vec![EventKind::ShiftOpened { shift }]);
    }
    world.walk(100);
    world
}

fn open_to<'w>(world: &'w World, receiver: &str) -> Vec<&'w Delivery> {
    world.open.iter().map(|it| &it.1).filter(|it| it.to.contains(receiver)).collect()
}

// A delivery that waits within its channel behind one that hangs times out, and is made twice.
#[test]
fn a_channel_is_handed_no_more_than_it_makes_at_once() {
    let to: Vec<String> = (0..20).map(|it| format!("https://shop-{it}.example/hook")).collect();
    let world = waiting("few", &to.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(world.open.len(), 8);
    // One that says nothing of itself takes more.
    assert_eq!(waiting("hook", &to.iter().map(String::as_str).collect::<Vec<_>>()).open.len(), 20);
}

// Else one that hangs keeps all others waiting, and they are told nothing of it.
#[test]
fn a_receiver_that_hangs_has_a_quarter_of_its_channel() {
    let hangs =
        ["https://Hangs.example/a", "https://hangs.example:8443/b", "https://hangs.example./c?d=https://e/"];
    let mut to: Vec<&str> = hangs.iter().cycle().take(12).copied().collect();
    to.extend(["https://one.example/", "https://two.example/", "https://three.example/"]);
    let mut world = waiting("few", &to);
    assert_eq!(open_to(&world, "angs.example").len(), 2);
    for _ in 0..9 {
        let other = world.open.iter().position(|it| !it.1.to.to_lowercase().contains("hangs"));
        let (token, _) = world.open.remove(other.unwrap());
        world.step(vec![Input::Answer { token, outcome: DeliveryOutcome::Delivered }]);
        while let Some((token, _)) = world.notes.pop_front() {
            world.step(vec![Input::Noted { token }]);
        }
        assert_eq!(open_to(&world, "angs.example").len(), 2);
    }
    assert_eq!(world.notifier.counts().delivered, 9);
}

// Whoever stands behind others of the same receiver has a turn too, however much they have to tell.
#[test]
fn of_one_receiver_whoever_has_waited_longest_is_the_next() {
    let mut world = waiting("few", &["a@shop.example"; 5]);
    let mut served = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let open: Vec<(u64, Delivery)> = world.open.drain(..).collect();
        assert_eq!(open.len(), 2);
        for (token, delivery) in open {
            let body: Value = serde_json::from_slice(&delivery.body).unwrap();
            served.insert(body["subscription"].as_str().unwrap().to_owned());
            world.step(vec![Input::Answer { token, outcome: DeliveryOutcome::Delivered }]);
        }
        while let Some((token, _)) = world.notes.pop_front() {
            world.step(vec![Input::Noted { token }]);
        }
    }
    assert_eq!(served.len(), 5);
}
