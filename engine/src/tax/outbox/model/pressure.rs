//! What takes room and must not take that of others: verdicts that do not come, resends, drives that are paused.

use super::*;

impl World {
    fn taken(&self) -> usize {
        self.service.taken.values().map(Vec::len).sum()
    }

    /// The documents that the service does not have, the oldest first.
    fn untaken(&self) -> Vec<Document> {
        let has = |it: &Document| {
            let taken = self.service.taken.get(&it.drive);
            taken.is_some_and(|taken| taken.contains(&(it.number, it.position)))
        };
        self.documents().into_iter().filter(|it| !has(it)).collect()
    }
}

// A service that takes documents and says nothing of them must not stop the next ones, and when it does, everybody hears of it.
#[test]
fn sending_goes_on_without_verdicts_as_far_as_promised_and_the_age_is_told() {
    let mut world = World::new(4, Faults { lost_verdict: 1, ..Faults::default() });
    let hour_us = 3_600_000_000;
    (world.options.verdict_timeout_us, world.outbox.options.verdict_timeout_us) = (hour_us, hour_us);
    for number in 1..=100 {
        for drive in 1..=3 {
            world.document(drive << 60, number);
            world.now_us += 1_000;
        }
        for _ in 0..10 {
            world.turn();
        }
    }
    for _ in 0..1_000 {
        world.turn();
    }
    assert!(world.now_us < START_US + hour_us, "no time-out has helped");
    let taken = world.taken();
    assert!(taken >= 3 * world.options.window_documents, "{taken} were sent");
    assert!(taken <= WINDOWS_IN_ALL * world.options.window_documents, "{taken} were sent");
    // Nothing in the window waits: it is the documents behind it whose age counts.
    let untaken = world.untaken();
    let told = world.outbox.oldest_unsent_us().unwrap();
    assert!(told <= untaken[0].received_at_us && told > START_US as i64, "{told}");
    world.checkpoint = World::save(&world.outbox);
    world.crash();
    assert_eq!(world.outbox.oldest_unsent_us(), Some(told), "a restart knows it");
    world.outbox.options.verdict_timeout_us = hour_us;
    world.finish();
    world.check();
    assert_eq!(world.outbox.oldest_unsent_us(), None);
}

// A resend is work like any other: a drive that is paused keeps it in the log, and it does not take the room of the others.
#[test]
fn a_resend_of_a_paused_drive_waits_in_the_log_and_lets_others_pass() {
    let mut world = World::new(5, Faults::default());
    let (paused, other) =
        (drive_of(0x7100_0000_0000_0000).unwrap(), drive_of(0x7200_0000_0000_0000).unwrap());
    for number in 1..=60 {
        world.document(paused.to_bcd_u64(), number);
        world.document(other.to_bcd_u64(), number);
    }
    let resend = |drive| Record::Command(TaxCommand::Resend { drive, from: 1, to: 60 });
    let work = |world: &mut World| {
        for _ in 0..3_000 {
            world.turn();
            let waiting = world.outbox.lanes.values().map(|it| it.waiting.len()).max().unwrap_or_default();
            assert!(waiting <= world.options.lane_documents * 3 / 2, "{waiting} of one drive wait");
        }
    };
    work(&mut world);
    assert_eq!(world.taken(), 120);
    world.log.push(Record::Command(TaxCommand::Pause(Some(paused))));
    world.log.push(resend(paused));
    world.log.push(resend(other));
    world.document(other.to_bcd_u64(), 61);
    work(&mut world);
    assert_eq!((world.taken(), world.service.duplicates), (121, 60), "the other drive is not held up");
    assert_eq!((world.outbox.window.len(), world.outbox.again.len()), (0, 1));
    world.log.push(Record::Command(TaxCommand::Resume(Some(paused))));
    work(&mut world);
    world.finish();
    world.check();
    assert_eq!(world.service.duplicates, 120);
}

// Which word is replaced is not known any more: the account of such a drive must not be guessed at.
#[test]
fn a_resend_of_what_had_no_room_does_not_corrupt_the_account() {
    let mut world = World::new(6, Faults::default());
    world.outbox.remarks_max = 3;
    for number in 1..=40 {
        world.document(0x7100_0000_0000_0000, number);
    }
    world.finish();
    let (account, totals) = (world.outbox.account(0x7100_0000_0000_0000), world.outbox.totals());
    assert_eq!((account.settled.accepted, account.settled.sum()), (32, 40));
    world.checkpoint = World::save(&world.outbox);
    world.crash();
    let drive = drive_of(0x7100_0000_0000_0000).unwrap();
    world.log.push(Record::Command(TaxCommand::Resend { drive, from: 1, to: 40 }));
    world.finish();
    assert_eq!(world.service.duplicates, 40);
    assert_eq!(world.outbox.account(0x7100_0000_0000_0000), account);
    assert_eq!(world.outbox.totals().settled, totals.settled);
    let states: Vec<TaxState> = world.documents().iter().map(|it| world.outbox.state(it)).collect();
    assert!(!states.contains(&TaxState::Accepted), "a restart still knows that it does not know");
}

// Two commands that name the same document were both done before the process died: its start must do neither again.
#[test]
fn two_resends_that_overlap_are_both_known_as_done() {
    let mut outbox = Outbox::new(options(), 180);
    let drive = drive_of(0x7100_0000_0000_0000).unwrap();
    let document = Document {
        position: 1,
        drive: drive.to_bcd_u64(),
        number: 17,
        received_at_us: 1,
        len: 600,
        location: None,
    };
    let word = |kind| {
        let Document { position, drive, number, .. } = document;
        let event = StatusEvent { kind, position, drive, number, attempt: 1, ..StatusEvent::default() };
        Input::Status { at_us: 1, events: vec![event] }
    };
    let resend =
        |position, from, to| Input::Command { position, command: TaxCommand::Resend { drive, from, to } };
    let words = [
        Input::Document(document),
        word(StatusKind::Accepted),
        resend(3, 10, 17),
        resend(4, 17, 20),
        word(StatusKind::Duplicate),
        word(StatusKind::Duplicate),
        Input::Head(6),
    ];
    outbox.read_on(words, &mut Vec::new());
    let now = Now { wall_us: 1, mono_us: 1 };
    let mut inputs = Vec::new();
    for command in [3, 4] {
        let mut outputs = Vec::new();
        outbox.step(now, 0, std::mem::take(&mut inputs), &mut outputs);
        let asked = Asked::Again(command);
        assert!(matches!(&outputs[..], [Output::List { asked: it, .. }] if *it == asked), "{outputs:?}");
        inputs.push(Input::Listed { asked, documents: vec![document], through: command });
    }
    let mut outputs = Vec::new();
    outbox.step(now, 0, inputs, &mut outputs);
    assert_eq!(outputs, []);
    assert_eq!(outbox.account(document.drive).settled.sum(), 1);
}

// A start that reads more than its window holds must do what a command asks for, and not what was done of it before.
#[test]
fn a_start_without_a_checkpoint_does_a_resend_once() {
    let mut world = World::new(7, Faults::default());
    let drive = drive_of(0x7100_0000_0000_0000).unwrap();
    for number in 1..=60 {
        world.document(drive.to_bcd_u64(), number);
    }
    world.finish();
    world.log.push(Record::Command(TaxCommand::Resend { drive, from: 11, to: 60 }));
    let account = world.outbox.account(drive.to_bcd_u64());
    for _ in 0..2 {
        world.crash();
        world.finish();
        world.check();
        assert_eq!(world.service.duplicates, 50);
        assert_eq!(world.outbox.account(drive.to_bcd_u64()), account);
    }
}

// A start without a checkpoint reads years: what was told of documents that had no room must not take more and more.
#[test]
fn a_start_without_a_checkpoint_keeps_no_more_than_a_window_of_what_was_told() {
    let mut world = World::new(9, Faults::default());
    // More at once than a window holds: from there on documents have no room, until they are read again.
    for number in 1..=60 {
        (1..=3).for_each(|drive| world.document(drive << 60, number));
    }
    for number in 61..=400 {
        for drive in 1..=3 {
            world.document(drive << 60, number);
        }
        for _ in 0..30 {
            world.turn();
        }
    }
    world.finish();
    world.crash();
    assert!(world.start > 1_600 && world.outbox.told() == 0);
    let mut most = 0;
    while world.outbox.told() < world.start {
        assert!(world.read_head());
        most = most.max(world.outbox.ahead.len());
        // What it asks for is read before it goes on.
        while world.later.first_key_value().is_some_and(|(at, _)| at.0 <= world.now_us + 2_000) {
            let entry = world.later.pop_first().unwrap();
            world.later.insert((world.now_us, entry.0.1), entry.1);
            let head = std::mem::replace(&mut world.head, world.log.len());
            world.turn();
            world.head = head;
        }
    }
    assert!(most <= 4 * world.options.window_documents, "{most}");
    world.finish();
    world.check();
}

// A service that says the same for ever is not asked without a pause.
#[test]
fn verdicts_that_are_nothing_new_are_no_reason_to_ask_at_once() {
    let mut world = World::new(6, Faults { lost_verdict: 1, ..Faults::default() });
    world.document(1 << 60, 1);
    for _ in 0..50 {
        world.turn();
    }
    let verdicts = |id: &str| vec![TaxStatus::Accepted { id: id.to_owned() }];
    let asked = |world: &mut World, verdicts: Vec<TaxStatus>| {
        let mut outputs = Vec::new();
        world.outbox.polling = true;
        let now = world.now();
        world.outbox.step(now, 0, [Input::Verdicts(Some(verdicts))], &mut outputs);
        outputs.iter().any(|it| matches!(it, Output::Poll))
    };
    assert!(!asked(&mut world, verdicts("nobody's")));
    assert!(asked(&mut world, verdicts("id-1")), "there may be more");
    assert!(!asked(&mut world, verdicts("id-1")), "it was told");
}
