//! Lists of registers against a naive filter and sort, page by page, while registers change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ofd_emit::{Group, ProfileOptions, Register as Emitted};
use ofd_engine::codec::{
    DocumentView, DriveNumber, FfdVersion, Form, LocalSeconds, Tag, container_crc, tags,
};
use ofd_engine::host::Capability;
use ofd_engine::registers::{LaneSeed, Registration, SeedShift, Traits, status_of};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{
    Colour, ColourCounts, Facet, Place, RegisterCursor, RegisterQuery, RegisterSort, RegisterText, Schedule,
    Scope, Threshold, What,
};
use ofd_engine::{Engine, Error, Listed, Register, RegisterBook};

use crate::rounds;
use crate::world::{DAY, Rng};

const SEEDED: u32 = 90;
const LIVING: u32 = 24;
/// The one of them that gives back all that it takes.
const RETURNS: usize = 8;

fn seeded_rnm(number: u32) -> String {
    format!("{:016}", 7_000_000 + number * 7_919 % SEEDED)
}

fn inn(number: u32) -> String {
    format!("77{:08}", number % 5)
}

fn now() -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as u32
}

/// A receipt as it was sent: on which day it came and was made, 1054 and 1020.
struct Sold {
    came: u32,
    made: u32,
    direction: u8,
    total: i64,
}

/// Receipts by РНМ.
type Ledger = BTreeMap<String, Vec<Sold>>;

/// Registers that make documents.
struct Living {
    registers: Vec<Emitted>,
    sold: Ledger,
}

/// An engine with registers of every sort.
fn population(dir: &std::path::Path) -> (Engine, Living) {
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
    let mut living = Living { registers: Vec::new(), sold: Ledger::new() };
    let mut zones = Vec::new();
    for number in 0..LIVING {
        // Every other one lives now, from yesterday, today or tomorrow on, the others long ago.
        let long_ago = ProfileOptions::default().from;
        let options = ProfileOptions {
            receipts_per_shift: Some(4),
            from: if number % 2 == 0 { LocalSeconds((now() / DAY - 1) * DAY) } else { long_ago },
            ffd: [None, Some(FfdVersion::V1_05), Some(FfdVersion::V1_1), Some(FfdVersion::V1_2)]
                [number as usize % 4],
            group: [None, Some(Group::Retail), Some(Group::Online)][number as usize % 3],
            ..ProfileOptions::default()
        };
        living.registers.push(Emitted::new(11, number, &options));
        let rnm = living.send(&engine, number as usize, 3 + number % 5);
        // So that it is another day at some than at others, whatever the time.
        let zone_min = [None, Some(12 * 60), Some(-11 * 60)][number as usize % 3];
        zones.push((
            rnm,
            Place { outlet: None, inn: None, schedule: Schedule { zone_min, ..Schedule::default() } },
        ));
    }
    let capacity = [(Threshold::DriveDocuments, Some(12))];
    for (rnm, place) in zones {
        engine.place_register(&rnm, &place, "test").unwrap();
        engine.set_thresholds(&Scope::Register(rnm), &capacity, "test").unwrap();
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
    (engine, living)
}

/// Writes over the beginning of a requisite of a message.
fn put(message: &mut [u8], tag: Tag, value: &[u8]) {
    let end = message.len() - 10;
    // Behind the headers of the session, the container and the document.
    let mut at = 62 + 4;
    while at < end {
        let number = |at: usize| u16::from_le_bytes([message[at], message[at + 1]]);
        let (this, len) = (number(at), usize::from(number(at + 2)));
        if this == tag.0 {
            message[at + 4..at + 4 + value.len()].copy_from_slice(value);
        }
        at += 4 + len;
    }
    let crc = container_crc(&message[30..]);
    message[32..34].copy_from_slice(&crc.to_le_bytes());
}

impl Living {
    /// Sends the next documents of a register; its РНМ.
    fn send(&mut self, engine: &Engine, at: usize, documents: u32) -> String {
        let register = &mut self.registers[at];
        let mut rnm = String::new();
        for _ in 0..documents {
            let mut message = Vec::new();
            let emitted = register.next_message(&mut message).unwrap();
            let view = DocumentView::new_checked(register.plain()).unwrap();
            rnm = view.get(tags::KKT_REG_ID).unwrap().text().trimmed().to_cow().into_owned();
            let number = |tag| view.get(tag).unwrap().vln().unwrap();
            match emitted.form {
                // The alphabet has Ё beside Е, and quotation marks nowhere.
                Form::REGISTRATION => {
                    put(&mut message, tags::USER_NAME, [b"\xF0", b"\"", b"z", b"\x9F"][at % 4]);
                    put(&mut message, tags::OFFLINE_MODE, &[u8::from(at == 7)]);
                }
                Form::CLOSE_SHIFT => put(&mut message, tags::UNSENT_DOCUMENTS, &[at as u8, 0, 0, 0]),
                // One of which the operator has not got it.
                Form::OPEN_SHIFT if at == 5 => continue,
                form if form.is_receipt_like() => {
                    let (mut at_s, mut direction) =
                        (view.header().date_time.unwrap().0, number(tags::OPERATION_TYPE) as u8);
                    if at == RETURNS {
                        // On a day that is not over anywhere.
                        (at_s, direction) = (now() + DAY, 2);
                        put(&mut message, tags::OPERATION_TYPE, &[direction]);
                        put(&mut message, tags::DATE_TIME, &at_s.to_le_bytes());
                    }
                    self.sold.entry(rnm.clone()).or_default().push(Sold {
                        came: now() / DAY,
                        made: at_s / DAY,
                        direction,
                        total: number(tags::TOTAL_SUM) as i64,
                    });
                }
                _ => {}
            }
            engine.submit_batch(vec![Bytes::from(message)]).unwrap().wait();
        }
        rnm
    }
}

/// Receipts and revenue of the newest day on which a register sold, if that is not over where it stands: all of its receipts side by
/// side.
fn today(sold: &Ledger, it: &Register, place: Option<&Place>) -> (u32, i64) {
    let zone = place.and_then(|it| it.schedule.zone_min).unwrap_or(180);
    let day = (i64::from(now()) + i64::from(zone) * 60).div_euclid(i64::from(DAY)) as u32;
    // A clock that is far ahead counts for nothing.
    let of = |it: &Sold| if it.made > it.came + 1 { it.came } else { it.made };
    let all = sold.get(&it.card.rnm).map_or(&[][..], Vec::as_slice);
    let newest = all.iter().map(of).max().unwrap_or(0);
    let revenue = |it: &Sold| match it.direction {
        1 => it.total,
        2 => -it.total,
        _ => 0,
    };
    let counted: Vec<&Sold> = all.iter().filter(|it| of(it) == newest && newest >= day).collect();
    (counted.len() as u32, counted.iter().map(|it| revenue(it)).sum())
}

/// Signs of a registration by the lists of the order: the requisite of each, and its bit of 1290.
fn modes(registration: Option<&Registration>) -> u16 {
    let signs: [(u16, u32); 11] = [
        (1002, 0),
        (1001, 0),
        (1108, 0x20),
        (1109, 0x200),
        (1110, 0x4),
        (1207, 0x40),
        (1193, 0x400),
        (1126, 0x800),
        (1056, 0),
        (1057, 0),
        (0, 0x100),
    ];
    let value = |tag| registration.and_then(|it| it.value(Tag(tag))).unwrap_or(0);
    let own = |tag| if tag == 1057 { value(tag) > 0 } else { value(tag) == 1 };
    let holds = |(tag, bit): (u16, u32)| own(tag) || value(1290) & bit > 0;
    (0..).zip(signs).fold(0, |all, (bit, sign)| all | u16::from(holds(sign)) << bit)
}

/// A text of a registration as lists are sorted by it; nothing comes last.
fn sorted(registration: Option<&Registration>, text: RegisterText) -> String {
    let tag = match text {
        RegisterText::UserName => 1048,
        RegisterText::Address => 1009,
        RegisterText::Place => 1187,
        RegisterText::KktNumber => 1013,
    };
    let text = registration.and_then(|it| it.text(Tag(tag))).unwrap_or_default();
    let text = text.to_lowercase().replace('ё', "е");
    let text: String = text.trim_start_matches([' ', '"', '\'']).chars().take(64).collect();
    if text.is_empty() { LAST.to_owned() } else { text }
}

const LAST: &str = "\u{10FFFF}";

fn opened(it: &Register) -> Option<u32> {
    it.drive.open_shift()?.opened?.at.map(|it| it.0)
}

/// A book in which all is folded and every light is judged.
fn book(engine: &Engine, capability: &Capability) -> RegisterBook {
    let book = engine.registers(capability);
    assert!(book.wait(engine.durable(), Duration::from_secs(60)));
    book
}

fn takes(book: &RegisterBook, sold: &Ledger, query: &RegisterQuery, it: &Register) -> bool {
    let light = book.light(&it.card).unwrap();
    let forecast = book.forecast(&it.card);
    let place = book.place(&it.card);
    let outlet = place.as_ref().and_then(|it| it.outlet.clone());
    let service_to = place.as_ref().map(|it| it.schedule.service_to).filter(|it| *it > 0);
    let drive = &it.drive;
    let (receipts, revenue) = today(sold, it, place.as_ref());
    let modes = modes(book.registration(drive).unwrap().as_ref());
    let waits = drive.backlog.map_or(0, |it| it.0);
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
        modes & query.modes == query.modes && modes & query.without_modes == 0,
        query.status.is_none_or(|it| it == status_of(drive)),
        query.colours.is_empty() || query.colours.contains(&light.colour),
        query.facet.is_none_or(|(facet, colour)| light.facets.of(facet) == colour),
        query.reason.is_none_or(|what| light.reasons.iter().any(|it| it.what == what)),
        query.last_document.as_ref().is_none_or(|range| range.contains(&it.card.last_seen_us)),
        query.first_seen.as_ref().is_none_or(|range| range.contains(&it.card.first_seen_us)),
        query.revenue_today.as_ref().is_none_or(|range| range.contains(&revenue)),
        query.receipts_today.as_ref().is_none_or(|range| range.contains(&receipts)),
        query
            .open_since
            .as_ref()
            .is_none_or(|range| opened(it).is_some_and(|at| (range.start.0..range.end.0).contains(&at))),
        query
            .drive_ends
            .as_ref()
            .is_none_or(|range| forecast.and_then(|it| it.ends_on).is_some_and(|it| range.contains(&it))),
        query.filled.as_ref().is_none_or(|range| forecast.is_some_and(|it| range.contains(&it.percent))),
        query.service_ends.as_ref().is_none_or(|range| service_to.is_some_and(|it| range.contains(&it))),
        query.backlog.as_ref().is_none_or(|it| it.contains(&waits)),
        query.shift_open.is_none_or(|it| it == drive.open_shift().is_some()),
        query.has_findings.is_none_or(|it| it == (light.facets.of(Facet::Quality) > Colour::Green)),
    ];
    all.into_iter().all(|it| it)
}

/// Numbers of what a query takes, in its order: filtered and sorted with everything in memory.
fn naive(book: &RegisterBook, sold: &Ledger, query: &RegisterQuery) -> Vec<String> {
    let ends = |it: &Register| book.forecast(&it.card).and_then(|it| it.ends_on).unwrap_or(u32::MAX);
    let key = |it: &Register| -> (String, i64) {
        let place = book.place(&it.card);
        let outlet = place.as_ref().and_then(|it| it.outlet.clone()).unwrap_or_default();
        let service_to = place.as_ref().map(|it| it.schedule.service_to).filter(|it| *it > 0);
        let registration = book.registration(&it.drive).unwrap();
        let facet = |facet| book.light(&it.card).unwrap().facets.of(facet);
        let number = match query.sort {
            RegisterSort::Rnm => return (it.card.rnm.clone(), 0),
            RegisterSort::Drive => return (it.drive.number.as_str().to_owned(), 0),
            RegisterSort::Text(text) => return (sorted(registration.as_ref(), text), 0),
            RegisterSort::OrganisationDriveEnds => {
                return (it.card.inn.clone().unwrap_or_default(), ends(it).into());
            }
            RegisterSort::OutletDriveEnds => return (outlet, ends(it).into()),
            RegisterSort::Reason => {
                let reasons = book.light(&it.card).unwrap().reasons;
                let worst = reasons.iter().map(|it| it.colour).max();
                let first = reasons.iter().find(|it| Some(it.colour) == worst);
                return (first.map_or(LAST, |it| it.what.code()).to_owned(), 0);
            }
            RegisterSort::DriveEnds => ends(it).into(),
            RegisterSort::Filled => book.forecast(&it.card).map_or(0, |it| it.percent).into(),
            RegisterSort::Colour => book.light(&it.card).unwrap().colour as i64,
            RegisterSort::Facet(of) => facet(of) as i64,
            RegisterSort::Findings => i64::from(facet(Facet::Quality) > Colour::Green),
            RegisterSort::LastDocument => it.card.last_seen_us,
            RegisterSort::FirstSeen => it.card.first_seen_us,
            RegisterSort::ServiceEnds => service_to.unwrap_or(u32::MAX).into(),
            RegisterSort::Backlog => it.drive.backlog.map_or(0, |it| it.0).into(),
            // Codes of 1209; those of older formats are none of ours.
            RegisterSort::Version => registration.and_then(|it| it.value(Tag(1209))).unwrap_or(0).into(),
            RegisterSort::TaxSystems => registration.and_then(|it| it.value(Tag(1062))).unwrap_or(0).into(),
            RegisterSort::Modes => modes(registration.as_ref()).into(),
            RegisterSort::Marking => (modes(registration.as_ref()) >> 10).into(),
            RegisterSort::Status => match status_of(&it.drive).as_str() {
                "working" => 0,
                "left" => 1,
                _ => 2,
            },
            RegisterSort::OpenSince => match (it.drive.open_shift(), opened(it)) {
                (_, Some(at)) => at.into(),
                (Some(_), None) => i64::MAX - 1,
                (None, None) => i64::MAX,
            },
            RegisterSort::RevenueToday => today(sold, it, place.as_ref()).1,
            RegisterSort::ReceiptsToday => today(sold, it, place.as_ref()).0.into(),
        };
        (String::new(), number)
    };
    let mut taken: Vec<(_, usize, String)> = book
        .iter()
        .enumerate()
        .filter(|(_, it)| takes(book, sold, query, it))
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

/// Every order.
fn sorts() -> Vec<RegisterSort> {
    let plain = [
        RegisterSort::Rnm,
        RegisterSort::Drive,
        RegisterSort::OrganisationDriveEnds,
        RegisterSort::OutletDriveEnds,
        RegisterSort::DriveEnds,
        RegisterSort::Filled,
        RegisterSort::Colour,
        RegisterSort::Reason,
        RegisterSort::Findings,
        RegisterSort::LastDocument,
        RegisterSort::FirstSeen,
        RegisterSort::ServiceEnds,
        RegisterSort::Backlog,
        RegisterSort::Version,
        RegisterSort::TaxSystems,
        RegisterSort::Modes,
        RegisterSort::Marking,
        RegisterSort::Status,
        RegisterSort::OpenSince,
        RegisterSort::RevenueToday,
        RegisterSort::ReceiptsToday,
    ];
    let facets = Facet::ALL.map(RegisterSort::Facet);
    plain.into_iter().chain(facets).chain(RegisterText::ALL.map(RegisterSort::Text)).collect()
}

fn random(rng: &mut Rng) -> RegisterQuery {
    let sorts = sorts();
    let mut query = RegisterQuery {
        sort: sorts[rng.below(sorts.len() as u64) as usize],
        descending: rng.one_in(2),
        ..RegisterQuery::default()
    };
    for _ in 0..rng.below(3) {
        let day = now() / DAY;
        match rng.below(27) {
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
            17 => query.backlog = Some([0..=0, 1..=u32::MAX, 5..=10][rng.below(3) as usize].clone()),
            18 => query.modes = Traits::mode(["marking", "agent", "bso"][rng.below(3) as usize]).unwrap(),
            19 => query.without_modes = Traits::mode(["marking", "agent"][rng.below(2) as usize]).unwrap(),
            20 => {
                let ago = rng.below(20) as i64;
                query.first_seen = Some((i64::from(now()) - ago) * 1_000_000 + 500_000..i64::MAX);
            }
            21 => query.open_since = Some(LocalSeconds((day - 1) * DAY)..LocalSeconds((day + 1) * DAY)),
            22 => query.open_since = Some(LocalSeconds(0)..LocalSeconds(now() - 10 * DAY)),
            23 => {
                query.revenue_today =
                    Some([1..=i64::MAX, 0..=0, i64::MIN..=-1][rng.below(3) as usize].clone())
            }
            24 => query.revenue_today = Some(10_000..=200_000),
            25 => query.receipts_today = Some(2..=3),
            _ => query.has_findings = Some(rng.one_in(2)),
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
    let alike = |sort: &RegisterSort| {
        let query = RegisterQuery { sort: *sort, ..RegisterQuery::default() };
        let other = RegisterQuery { descending: true, ..query.clone() };
        let book = book(&engine, &operator);
        naive(&book, &living.sold, &query) == naive(&book, &living.sold, &other)
    };
    let alike: Vec<_> = sorts().into_iter().filter(alike).collect();
    assert!(alike.iter().all(|it| matches!(it, RegisterSort::Facet(_))), "it proves nothing: {alike:?}");
    let took = |it: &Register| {
        let place = book(&engine, &operator).place(&it.card);
        today(&living.sold, it, place.as_ref()).1
    };
    let all: Vec<Register> = book(&engine, &operator).iter().collect();
    assert!(all.iter().any(|it| took(it) < 0) && all.iter().any(|it| took(it) > 0), "it proves nothing");
    let (mut found, mut empty) = (0, 0);
    for seed in 1..=rounds(300) {
        let mut rng = Rng(seed);
        let mut query = random(&mut rng);
        // Every order at least once, whatever the dice say.
        if let Some(sort) = sorts().get(seed as usize - 1) {
            query = RegisterQuery { sort: *sort, ..RegisterQuery::default() };
        }
        let capability = if rng.one_in(3) { &merchant } else { &operator };
        let book = book(&engine, capability);
        let expected = naive(&book, &living.sold, &query);
        let limit = 1 + rng.below(60) as usize;
        assert_eq!(pages(&book, &query, limit, &mut || ()), expected, "seed {seed}: {query:?}");
        let mut all = Vec::new();
        let each = |it: Listed| {
            all.push(it.register.card.rnm);
            Ok::<_, Error>(true)
        };
        book.list_all(&query, each).unwrap();
        assert_eq!(all, expected, "seed {seed}, at once: {query:?}");
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
        let before = naive(&book, &living.sold, &query);
        let mut number = 1_000 * seed as u32;
        let seen = pages(&book, &query, 20 + rng.below(30) as usize, &mut || {
            let at = rng.below(living.registers.len() as u64) as usize;
            living.send(&engine, at, 1);
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
            living.registers.iter().map(|it| book.register_of(it.drive()).unwrap().card.rnm).collect();
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
            assert_eq!((sales.receipts, living.registers.len()), (u64::from(receipts), LIVING as usize));
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
    let by_name =
        RegisterQuery { sort: RegisterSort::Text(RegisterText::UserName), ..RegisterQuery::default() };
    let longest = mine.list(&by_name, 1, None).unwrap().next.unwrap().to_string();
    assert!(longest.parse::<RegisterCursor>().is_ok(), "{longest}");
    for wrong in [format!("{longest}00"), longest[1..].to_owned(), longest.replace('0', "g")] {
        assert!(wrong.parse::<RegisterCursor>().is_err(), "{wrong}");
    }
    let forged: RegisterCursor = longest[..longest.len() - 2].parse().unwrap();
    assert!(mine.list(&by_name, 1, Some(&forged)).is_err(), "a key of another length");
    engine.shutdown().unwrap();
}
