//! Lists of registers against a naive filter and sort, page by page, while registers change.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register as Emitted};
use ofd_engine::codec::{DriveNumber, LocalSeconds, tags};
use ofd_engine::host::Capability;
use ofd_engine::registers::{LaneSeed, SeedShift, Traits, status_of};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{
    Colour, ColourCounts, Facet, Place, RegisterCursor, RegisterQuery, RegisterSort, Schedule, Scope,
    Threshold, What,
};
use ofd_engine::{Engine, Register, RegisterBook};

use crate::rounds;
use crate::world::{DAY, Rng};

const SEEDED: u32 = 90;
const LIVING: u32 = 24;

fn seeded_rnm(number: u32) -> String {
    format!("{:016}", 7_000_000 + number * 7_919 % SEEDED)
}

fn inn(number: u32) -> String {
    format!("77{:08}", number % 5)
}

fn now() -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as u32
}

/// An engine with registers of every sort.
fn population(dir: &std::path::Path) -> (Engine, Vec<Emitted>) {
    let engine = Engine::builder(dir).segment_len_bytes(4 << 20).open().unwrap();
    let seeds: Vec<LaneSeed> = (0..SEEDED)
        .map(|number| LaneSeed {
            rnm: Some(seeded_rnm(number)),
            // Some are padded, as registers do.
            inn: Some(if number % 11 == 0 { format!("00{}", inn(number)) } else { inn(number) }),
            shift: Some(SeedShift {
                number: 7,
                opened: number.is_multiple_of(3).then_some((300, Some(LocalSeconds(now())))),
            }),
            ..LaneSeed::new(DriveNumber::parse(&format!("71{number:014}")).unwrap(), 346)
        })
        .collect();
    engine.seed_lanes(&seeds).unwrap();
    let mut living = Vec::new();
    for number in 0..LIVING {
        let options = ProfileOptions { receipts_per_shift: Some(4), ..ProfileOptions::default() };
        let mut register = Emitted::new(11, number, &options);
        send(&engine, &mut register, 3 + number % 5);
        living.push(register);
    }
    for number in (0..SEEDED).filter(|it| it % 4 != 0) {
        let service_to = match number % 5 {
            0 => now() - DAY,
            1 => now() + 10 * DAY,
            2 => now() + 100 * DAY,
            _ => 0,
        };
        let outlet = (number % 7 != 0).then(|| format!("Магазин {}", number % 3));
        let place = Place { outlet, inn: None, schedule: Schedule { service_to, ..Schedule::default() } };
        engine.place_register(&seeded_rnm(number), &place, "test").unwrap();
    }
    let capacity = [(Threshold::DriveDocuments, Some(12))];
    engine.set_thresholds(&Scope::Register("0".to_owned()), &capacity, "test").unwrap();
    (engine, living)
}

fn send(engine: &Engine, register: &mut Emitted, documents: u32) {
    for _ in 0..documents {
        let mut message = Vec::new();
        register.next_message(&mut message).unwrap();
        engine.submit_batch(vec![Bytes::from(message)]).unwrap().wait();
    }
}

/// A book in which all is folded and every light is judged.
fn book(engine: &Engine, capability: &Capability) -> RegisterBook {
    let book = engine.registers(capability);
    assert!(book.wait(engine.durable(), Duration::from_secs(60)));
    book
}

fn takes(book: &RegisterBook, query: &RegisterQuery, it: &Register) -> bool {
    let light = book.light(&it.card).unwrap();
    let forecast = book.forecast(&it.card);
    let place = book.place(&it.card);
    let outlet = place.as_ref().and_then(|it| it.outlet.clone());
    let service_to = place.map(|it| it.schedule.service_to).filter(|it| *it > 0);
    let drive = &it.drive;
    let has = |text: &str| {
        it.card.rnm.contains(text)
            || drive.number.as_str().contains(text)
            || outlet.as_ref().is_some_and(|it| it.to_lowercase().contains(text))
    };
    let words = |words: &str| {
        let registration = book.registration(drive).unwrap();
        let text = |tag| registration.as_ref().and_then(|it| it.text(tag)).unwrap_or_default().to_lowercase();
        [tags::USER_NAME, tags::RETAIL_PLACE_ADDRESS, tags::RETAIL_PLACE, tags::KKT_NUMBER]
            .into_iter()
            .any(|tag| text(tag).contains(words))
    };
    let all = [
        (it.card.realm == Realm::Test) == query.test,
        query.text.as_ref().is_none_or(|it| has(&it.to_lowercase())),
        query.words.as_ref().is_none_or(|it| words(&it.to_lowercase())),
        query.inn.as_ref().is_none_or(|inn| it.card.inn.as_ref() == Some(inn)),
        query.outlet.is_none() || query.outlet == outlet,
        query.version.as_deref().is_none_or(|it| drive.traits.version() == Some(it)),
        query.tax_systems == 0 || drive.traits.tax_systems() & query.tax_systems > 0,
        drive.traits.modes & query.modes == query.modes && drive.traits.modes & query.without_modes == 0,
        query.status.is_none_or(|it| it == status_of(drive)),
        query.colours.is_empty() || query.colours.contains(&light.colour),
        query.facet.is_none_or(|(facet, colour)| light.facets.of(facet) == colour),
        query.reason.is_none_or(|what| light.reasons.iter().any(|it| it.what == what)),
        query.last_document.as_ref().is_none_or(|range| range.contains(&it.card.last_seen_us)),
        query
            .drive_ends
            .as_ref()
            .is_none_or(|range| forecast.and_then(|it| it.ends_on).is_some_and(|it| range.contains(&it))),
        query.filled.as_ref().is_none_or(|range| forecast.is_some_and(|it| range.contains(&it.percent))),
        query.service_ends.as_ref().is_none_or(|range| service_to.is_some_and(|it| range.contains(&it))),
        query.has_backlog.is_none_or(|it| it == drive.backlog.is_some_and(|(count, _)| count > 0)),
        query.shift_open.is_none_or(|it| it == drive.open_shift().is_some()),
        query.has_findings.is_none_or(|it| it == (light.facets.of(Facet::Quality) > Colour::Green)),
    ];
    all.into_iter().all(|it| it)
}

/// Numbers of what a query takes, in its order: filtered and sorted with everything in memory.
fn naive(book: &RegisterBook, query: &RegisterQuery) -> Vec<String> {
    let ends = |it: &Register| book.forecast(&it.card).and_then(|it| it.ends_on).unwrap_or(u32::MAX);
    let key = |it: &Register| -> (String, i64) {
        let place = book.place(&it.card);
        let outlet = place.as_ref().and_then(|it| it.outlet.clone()).unwrap_or_default();
        let service_to = place.map(|it| it.schedule.service_to).filter(|it| *it > 0);
        match query.sort {
            RegisterSort::Rnm => (it.card.rnm.clone(), 0),
            RegisterSort::OrganisationDriveEnds => (it.card.inn.clone().unwrap_or_default(), ends(it).into()),
            RegisterSort::OutletDriveEnds => (outlet, ends(it).into()),
            RegisterSort::DriveEnds => (String::new(), ends(it).into()),
            RegisterSort::Filled => {
                (String::new(), book.forecast(&it.card).map_or(0, |it| it.percent).into())
            }
            RegisterSort::Colour => (String::new(), book.light(&it.card).unwrap().colour as i64),
            RegisterSort::LastDocument => (String::new(), it.card.last_seen_us),
            RegisterSort::FirstSeen => (String::new(), it.card.first_seen_us),
            RegisterSort::ServiceEnds => (String::new(), service_to.unwrap_or(u32::MAX).into()),
            RegisterSort::Backlog => (String::new(), it.drive.backlog.map_or(0, |it| it.0).into()),
        }
    };
    let mut taken: Vec<(_, usize, String)> = book
        .iter()
        .enumerate()
        .filter(|(_, it)| takes(book, query, it))
        .map(|(number, it)| (key(&it), number, it.card.rnm))
        .collect();
    // Those of one key stay in the order of their appearance, whichever way.
    taken.sort_by(|one, other| {
        let keys = one.0.cmp(&other.0);
        (if query.descending { keys.reverse() } else { keys }).then(one.1.cmp(&other.1))
    });
    taken.into_iter().map(|(_, _, rnm)| rnm).collect()
}

fn pages(book: &RegisterBook, query: &RegisterQuery, limit: usize, between: &mut dyn FnMut()) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None::<RegisterCursor>);
    loop {
        let page = book.list(query, limit, after.as_ref()).unwrap();
        assert!(page.registers.len() <= limit);
        all.extend(page.registers.iter().map(|it| it.register.card.rnm.clone()));
        match page.next {
            // It is kept as text.
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
        between();
    }
}

fn random(rng: &mut Rng) -> RegisterQuery {
    let sorts = [
        RegisterSort::Rnm,
        RegisterSort::OrganisationDriveEnds,
        RegisterSort::OutletDriveEnds,
        RegisterSort::DriveEnds,
        RegisterSort::Filled,
        RegisterSort::Colour,
        RegisterSort::LastDocument,
        RegisterSort::FirstSeen,
        RegisterSort::ServiceEnds,
        RegisterSort::Backlog,
    ];
    let mut query = RegisterQuery {
        sort: sorts[rng.below(sorts.len() as u64) as usize],
        descending: rng.one_in(2),
        ..RegisterQuery::default()
    };
    for _ in 0..rng.below(3) {
        let day = now() / DAY;
        match rng.below(18) {
            0 => query.text = Some(rng.below(10).to_string()),
            1 => query.text = Some("мАГАЗИН 1".to_owned()),
            2 => query.words = Some(["ооо", "1", "г."][rng.below(3) as usize].to_owned()),
            3 => query.inn = Some(inn(rng.below(6) as u32)),
            4 => query.outlet = Some(format!("Магазин {}", rng.below(4))),
            5 => query.version = Some(["1.05", "1.1", "1.2"][rng.below(3) as usize].to_owned()),
            6 => query.tax_systems = rng.below(64) as u8,
            7 => query.modes = Traits::mode("internet").unwrap(),
            8 => query.without_modes = Traits::mode("automatic").unwrap() | 1,
            9 => query.colours = vec![Colour::Yellow, Colour::Red],
            10 => query.colours = vec![Colour::ALL[rng.below(3) as usize]],
            11 => query.facet = Some((Facet::Connection, Colour::ALL[rng.below(3) as usize])),
            12 => query.reason = Some(What::ServiceEnds),
            13 => query.drive_ends = Some(day..day + 200),
            14 => query.filled = Some(0..=0),
            15 => query.service_ends = Some(now()..now() + 50 * DAY),
            16 => query.shift_open = Some(rng.one_in(2)),
            _ => query.has_backlog = Some(rng.one_in(2)),
        }
    }
    query
}

// A cabinet shows what the merchant asks for, each register once, and those of nobody else.
#[test]
fn pages_are_what_a_naive_filter_and_sort_give_while_registers_change() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut living) = population(dir.path());
    let operator = Capability::operator();
    let merchant = Capability::users([inn(0), inn(3)]);
    let (mut found, mut empty) = (0, 0);
    for seed in 1..=rounds(300) {
        let mut rng = Rng(seed);
        let query = random(&mut rng);
        let capability = if rng.one_in(3) { &merchant } else { &operator };
        let book = book(&engine, capability);
        let expected = naive(&book, &query);
        let limit = 1 + rng.below(60) as usize;
        assert_eq!(pages(&book, &query, limit, &mut || ()), expected, "seed {seed}: {query:?}");
        if expected.is_empty() {
            empty += 1
        } else {
            found += 1
        }
        if capability == &merchant {
            let mine = |rnm: &String| book.register(Realm::Prod, rnm).is_some();
            assert!(expected.iter().all(mine));
        }
    }
    println!("{found} queries found something, {empty} nothing");
    assert!(found > empty / 2);
    // Registers that go on and new ones between two pages: who stays where he is comes once, and nobody twice.
    for seed in 1..=rounds(300).div_ceil(75) {
        let mut rng = Rng(!seed);
        let mut query = random(&mut rng);
        (query.words, query.sort) = (None, RegisterSort::LastDocument);
        let book = book(&engine, &operator);
        let before = naive(&book, &query);
        let mut number = 1_000 * seed as u32;
        let seen = pages(&book, &query, 20 + rng.below(30) as usize, &mut || {
            let at = rng.below(living.len() as u64) as usize;
            send(&engine, &mut living[at], 1);
            number += 1;
            let drive = DriveNumber::parse(&format!("72{number:014}")).unwrap();
            let seed = LaneSeed {
                rnm: Some(format!("9{number:015}")),
                inn: Some(inn(number)),
                ..LaneSeed::new(drive, 5)
            };
            engine.seed_lanes(&[seed]).unwrap();
            assert!(book.wait(engine.durable(), Duration::from_secs(60)));
        });
        let moved: BTreeSet<String> =
            living.iter().map(|it| book.register_of(it.drive()).unwrap().card.rnm).collect();
        let stayed = |list: &[String]| -> Vec<String> {
            list.iter().filter(|it| !it.starts_with('9') && !moved.contains(*it)).cloned().collect()
        };
        assert_eq!(stayed(&seen), stayed(&before), "seed {seed}: {query:?}");
        let once: BTreeSet<&String> = seen.iter().filter(|it| !moved.contains(*it)).collect();
        assert_eq!(once.len(), seen.iter().filter(|it| !moved.contains(*it)).count(), "seed {seed}");
    }
    engine.shutdown().unwrap();
}

#[test]
fn counts_and_the_first_page_are_those_of_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, living) = population(dir.path());
    let always = LocalSeconds(0)..LocalSeconds(u32::MAX);
    for capability in
        [Capability::operator(), Capability::users([inn(1)]), Capability::users(["1".to_owned()])]
    {
        let book = book(&engine, &capability);
        let count = |inn: Option<&str>, outlet: Option<&str>| {
            let mut counts = ColourCounts::default();
            for it in book.iter().filter(|it| inn.is_none_or(|inn| it.card.inn.as_deref() == Some(inn))) {
                let place = book.place(&it.card).and_then(|it| it.outlet);
                if outlet.is_none_or(|outlet| place.as_deref() == Some(outlet)) {
                    let light = book.light(&it.card).unwrap();
                    counts.registers[light.colour as usize] += 1;
                    for facet in Facet::ALL {
                        counts.facets[facet as usize][light.facets.of(facet) as usize] += 1;
                    }
                }
            }
            counts
        };
        for (inn, outlet) in
            [(None, None), (Some(inn(1)), None), (None, Some("Магазин 1")), (Some(inn(1)), Some("Магазин 2"))]
        {
            assert_eq!(book.colours(Realm::Prod, inn.as_deref(), outlet), count(inn.as_deref(), outlet));
        }
        let board = engine.dashboard(&capability, &always);
        let all: Vec<Register> = book.iter().collect();
        assert_eq!(board.colours, count(None, None));
        assert_eq!(board.shifts_open, all.iter().filter(|it| it.drive.open_shift().is_some()).count());
        assert_eq!(board.documents, all.iter().map(|it| it.drive.documents).sum::<u64>());
        assert_eq!(board.position, book.position());
        let near =
            |it: &&Register| book.forecast(&it.card).and_then(|it| it.days_left).is_some_and(|it| it <= 30);
        assert_eq!(board.drives_ending, all.iter().filter(near).count());
        if capability == Capability::operator() {
            let sales = board.sales.unwrap();
            let receipts: u32 = (0..LIVING).map(|it| (3 + it % 5_u32).saturating_sub(2).min(4)).sum();
            assert_eq!((sales.receipts, living.len()), (u64::from(receipts), LIVING as usize));
            assert_eq!(sales.average, Some(sales.revenue / i64::from(receipts)));
        }
    }
    let mine = book(&engine, &Capability::users([inn(1)]));
    let theirs = RegisterQuery { inn: Some(inn(2)), ..RegisterQuery::default() };
    assert_eq!(mine.list(&theirs, 10, None).unwrap().registers, []);
    assert!(mine.list(&theirs, 0, None).is_err() && mine.list(&theirs, 1_001, None).is_err());
    let all = RegisterQuery::default();
    let next = mine.list(&all, 1, None).unwrap().next.unwrap();
    assert!(mine.list(&theirs, 1, Some(&next)).is_err(), "the cursor of another query");
    assert!("zz".parse::<RegisterCursor>().is_err());
    engine.shutdown().unwrap();
}
