//! Lists of documents in pages, and finding them by what is known of them: against a naive filter over the log.
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{changed, lives_of, submit};
use ofd_emit::{Prng, ProfileOptions};
use ofd_engine::codec::rules::{CheckContext, check};
use ofd_engine::codec::{DriveNumber, FfdVersion, Tag, Value};
use ofd_engine::host::Capability;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{
    Engine, ErrorKind, ItemSearch, Payment, Position, ReadOnly, SEARCH_LIMIT_MAX, Search, SearchCursor,
    SearchHit, StoredDocument,
};

fn open(dir: &Path) -> Engine {
    Engine::builder(dir).segment_len_bytes(1 << 20).open().unwrap()
}

/// Lives of registers by turns: some documents come late, some twice with another contents, some break a rule, some have a clock
/// without reason, and some are of test drives.
fn lives(registers: u32, documents: usize) -> Vec<Vec<u8>> {
    let mut rng = Prng::new(5, 0);
    let mut out: Vec<(usize, Vec<u8>)> = Vec::new();
    let options = |register: u32| ProfileOptions {
        receipts_per_shift: Some(4),
        test_drives: register == 0,
        ..ProfileOptions::default()
    };
    let lives = lives_of(31, registers, documents, options);
    for at in 0..documents {
        for life in &lives {
            let late = if rng.below(9) == 0 { 20 + rng.below(200) as usize } else { 0 };
            let place = out.len() + late;
            let message = match rng.below(12) {
                0 => {
                    changed(&life[at], 1012, |value| value.copy_from_slice(&4_000_000_000_u32.to_le_bytes()))
                }
                1 => changed(&life[at], 1020, |value| value[0] ^= 1),
                2 => {
                    out.push((place + 3, changed(&life[at], 1020, |value| value[0] ^= 2)));
                    life[at].clone()
                }
                _ => life[at].clone(),
            };
            out.push((place, message));
        }
    }
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(_, message)| message).collect()
}

/// A document as a naive reader sees it.
#[derive(Clone, Debug, Default)]
struct Naive {
    position: u64,
    day: i64,
    /// Seconds: of the till, or received where the till has none that makes sense.
    at: i64,
    variant: u8,
    test: bool,
    inn: Option<String>,
    rnm: Option<String>,
    drive: String,
    number: u32,
    sign: Option<u32>,
    form: u8,
    shift: Option<u32>,
    number_in_shift: Option<u32>,
    direction: Option<u32>,
    total: Option<i64>,
    paid: Vec<(Payment, i64)>,
    tax_system: Option<u32>,
    cashier: Option<String>,
    cashier_inn: Option<String>,
    contact: Option<String>,
    automat: Option<String>,
    internet: Option<bool>,
    answer_code: u8,
    findings: usize,
    vat: Vec<u8>,
    items: Vec<NaiveItem>,
}

#[derive(Clone, Debug, Default)]
struct NaiveItem {
    name: String,
    code: Option<String>,
    gtin: Option<String>,
    marked: bool,
}

fn text(value: &Value<'_>) -> Option<String> {
    let text = value.text().trimmed().to_string();
    (!text.is_empty()).then_some(text)
}

impl NaiveItem {
    fn of(value: &Value<'_>) -> Self {
        let mut out = Self::default();
        for (tag, value) in value.children().map_while(Result::ok) {
            match tag.0 {
                1030 => out.name = value.text().to_cow().into_owned(),
                1162 => {
                    out.code = Some(value.bytes().iter().map(|it| format!("{it:02X}")).collect());
                    out.marked = value.bytes().starts_with(&[0x44, 0x4D]);
                    let number =
                        value.bytes()[2..8].iter().fold(0_u64, |it, byte| it * 256 + u64::from(*byte));
                    out.gtin = Some(format!("{number:014}"));
                }
                1163 => {
                    let (inner, code) = value.children().next().unwrap().unwrap();
                    let code = code.text().trimmed().to_string();
                    assert_eq!(inner.0, 1305, "the generator has learnt another kind of code");
                    out.gtin = Some(code[2..16].to_owned());
                    out.code = Some(code);
                    out.marked = true;
                }
                _ => {}
            }
        }
        out
    }
}

impl Naive {
    fn of(document: &StoredDocument) -> Self {
        const DAY_S: i64 = 86_400;
        let envelope = document.envelope().unwrap();
        let view = document.document().unwrap();
        let get = |tag: u16| view.get(Tag(tag));
        let words = |tag| get(tag).and_then(|it| text(&it));
        let number = |tag| get(tag).and_then(|it| it.bits().ok());
        let money = |tag| get(tag).and_then(|it| it.kopecks().ok()).map(|it| it.0);
        let received = document.received_at_us().div_euclid(1_000_000);
        let local = get(1012).and_then(|it| it.unixtime().ok()).map(|it| i64::from(it.0));
        let sensible = |at: &i64| (17_045..=received.div_euclid(DAY_S) + 2).contains(&at.div_euclid(DAY_S));
        let at = local.filter(sensible).unwrap_or(received);
        let session = envelope.session;
        let version = FfdVersion::of_document(&view.header(), None, [session[6], session[7]]);
        let paid = [
            (Payment::Cash, 1031),
            (Payment::Electronic, 1081),
            (Payment::Prepaid, 1215),
            (Payment::Credit, 1216),
            (Payment::Provision, 1217),
        ];
        let vat = [(1, 1102), (2, 1103), (3, 1106), (4, 1107), (5, 1104), (6, 1105)];
        Self {
            position: document.position().as_u64(),
            day: at.div_euclid(DAY_S),
            at,
            variant: envelope.variant,
            test: envelope.realm == Realm::Test,
            inn: document.inn(),
            rnm: words(1037),
            drive: document.drive().unwrap().as_str().to_owned(),
            number: envelope.number,
            sign: view.header().sign.map(|it| it.printed()),
            form: envelope.form,
            shift: number(1038),
            number_in_shift: number(1042),
            direction: number(1054),
            total: money(1020),
            paid: paid.iter().filter_map(|(it, tag)| Some((*it, money(*tag)?))).collect(),
            tax_system: number(1055).or(number(1062)),
            cashier: get(1021).map(|it| it.text().to_cow().into_owned()),
            cashier_inn: words(1203),
            contact: get(1008).map(|it| it.text().to_cow().into_owned()),
            automat: words(1036),
            internet: get(1125).or(get(1108)).map(|it| it.bits() == Ok(1)),
            answer_code: document.answer_code().unwrap(),
            findings: check(&view, &CheckContext::new(version)).iter().count(),
            vat: vat.iter().filter(|(_, tag)| money(*tag).is_some_and(|it| it != 0)).map(|it| it.0).collect(),
            items: view.tags().filter(|(tag, _)| tag.0 == 1059).map(|(_, it)| NaiveItem::of(&it)).collect(),
        }
    }

    fn is_of(&self, search: &Search) -> bool {
        fn one<T: PartialEq + Clone>(asked: &Option<T>, is: &Option<T>) -> bool {
            asked.is_none() || asked == is
        }
        fn some<T: Ord>(asked: &Option<BTreeSet<T>>, is: &Option<T>) -> bool {
            asked.as_ref().is_none_or(|set| is.as_ref().is_some_and(|is| set.contains(is)))
        }
        let Search { item, .. } = search;
        let receipt_like = matches!(self.form, 3 | 4 | 31 | 41);
        let internet = self.internet.or(receipt_like.then_some(false));
        let form = ofd_engine::codec::Form(self.form).json_name().map(str::to_owned);
        let lower = |text: &str| text.to_lowercase().replace('ё', "е");
        let has_words = |words: &Option<String>, text: &str| {
            words.as_ref().is_none_or(|it| lower(it).split_whitespace().all(|it| lower(text).contains(it)))
        };
        let is_item = |it: &NaiveItem| {
            has_words(&item.words, &it.name)
                && one(&item.code, &it.code)
                && one(&item.gtin, &it.gtin)
                && (!item.marked || it.marked)
        };
        (search.all_variants || self.variant == 0)
            && search.realm.is_none_or(|it| (it == Realm::Test) == self.test)
            && search.from.is_none_or(|it| it <= self.at)
            && search.to.is_none_or(|it| self.at <= it)
            && some(&search.inns, &self.inn)
            && some(&search.rnms, &self.rnm)
            && search.drive.as_ref().is_none_or(|it| *it == self.drive)
            && search.numbers.as_ref().is_none_or(|it| it.contains(&self.number))
            && one(&search.sign, &self.sign)
            && search.total.as_ref().is_none_or(|it| self.total.is_some_and(|is| it.contains(&is)))
            && search.shifts.as_ref().is_none_or(|it| self.shift.is_some_and(|is| it.contains(&is)))
            && one(&search.number_in_shift, &self.number_in_shift)
            && some(&search.forms, &form)
            && some(&search.directions, &self.direction.map(|it| it as u8))
            && search
                .payments
                .as_ref()
                .is_none_or(|set| self.paid.iter().any(|(payment, sum)| *sum != 0 && set.contains(payment)))
            && search.tax_systems.is_none_or(|bits| self.tax_system.is_some_and(|is| is & bits != 0))
            && search.vat_rates.as_ref().is_none_or(|set| self.vat.iter().any(|it| set.contains(it)))
            && (search.cashier.is_none()
                || self.cashier.as_ref().is_some_and(|it| has_words(&search.cashier, it)))
            && one(&search.cashier_inn, &self.cashier_inn)
            && one(&search.automat, &self.automat)
            && one(&search.buyer_contact, &self.contact)
            && search.internet.is_none_or(|it| internet == Some(it))
            && some(&search.answer_codes, &Some(self.answer_code))
            && (!search.with_findings || self.findings > 0)
            && (*item == ItemSearch::default() || self.items.iter().any(is_item))
    }

    /// A search that finds it, of some of what is known of it.
    fn searched(&self, rng: &mut Prng) -> Search {
        let mut out = Search { realm: None, all_variants: true, ..Search::default() };
        if rng.below(2) == 0 && !self.test && self.variant == 0 {
            out = Search::default();
        }
        for _ in 0..rng.below(4) {
            match rng.below(23) {
                0 => out.from = Some(self.at - rng.below(100_000) as i64),
                1 => out.to = Some(self.at + rng.below(100_000) as i64),
                2 => (out.from, out.to) = (Some(self.at), Some(self.at)),
                3 => out.inns = self.inn.clone().map(|it| BTreeSet::from([it])),
                4 => out.rnms = self.rnm.clone().map(|it| BTreeSet::from([it])),
                5 => out.drive = Some(self.drive.clone()),
                6 => out.numbers = Some(self.number.saturating_sub(3)..=self.number + 2),
                7 => {
                    out.sign = self.sign;
                    out.drive = Some(self.drive.clone());
                }
                8 => out.total = self.total.map(|it| it..=it + 10_000),
                9 => out.shifts = self.shift.map(|it| it..=it),
                10 => out.number_in_shift = self.number_in_shift,
                11 => {
                    let name = ofd_engine::codec::Form(self.form).json_name().unwrap();
                    out.forms = Some(BTreeSet::from([name.to_owned()]));
                }
                12 => out.directions = self.direction.map(|it| BTreeSet::from([it as u8])),
                13 => out.payments = Some(self.paid.iter().map(|it| it.0).take(1).collect()),
                14 => out.vat_rates = Some(self.vat.iter().copied().collect()),
                15 => out.cashier = self.cashier.as_ref().map(|it| it.to_lowercase()),
                16 => out.cashier_inn = self.cashier_inn.clone(),
                17 => out.with_findings = self.findings > 0,
                18 => out.answer_codes = Some(BTreeSet::from([self.answer_code])),
                19 => out.internet = Some(self.internet.unwrap_or(false)),
                20 => out.tax_systems = self.tax_system,
                21 => out.buyer_contact = self.contact.clone(),
                _ => {
                    let Some(item) = self.items.last() else { continue };
                    match rng.below(4) {
                        0 => out.item.gtin = item.gtin.clone(),
                        1 => out.item.code = item.code.clone(),
                        2 => out.item.marked = item.marked,
                        _ => {}
                    }
                    out.item.words = item.name.split_whitespace().last().map(str::to_uppercase);
                }
            }
        }
        out
    }
}

/// What is in the log, read on as it grows.
#[derive(Default)]
struct Log {
    documents: Vec<Naive>,
}

impl Log {
    fn read_on(&mut self, engine: &Engine) {
        let last = self.documents.last().map_or(0, |it| it.position);
        let mut feed = engine.feed(&Capability::operator(), Position::new(ofd_engine::Lsn::new(last)));
        loop {
            let batch = feed.next_batch(1000, Duration::ZERO).unwrap();
            if batch.is_empty() {
                break;
            }
            self.documents.extend(batch.iter().map(Naive::of));
        }
    }

    /// Newest first, as pages have them.
    fn expected(&self, search: &Search, sees: Option<&BTreeSet<String>>) -> Vec<u64> {
        let seen = |it: &&Naive| sees.is_none_or(|set| it.inn.as_ref().is_some_and(|inn| set.contains(inn)));
        let found = self.documents.iter().filter(seen).filter(|it| it.is_of(search));
        let mut keys: Vec<(i64, u64)> = found.map(|it| (it.day, it.position)).collect();
        keys.sort_unstable_by(|one, other| other.cmp(one));
        keys.into_iter().map(|it| it.1).collect()
    }
}

fn capability(sees: Option<&BTreeSet<String>>) -> Capability {
    sees.map_or_else(Capability::operator, |inns| Capability::users(inns.clone()))
}

// A list that somebody pages through must show what was there, once, in order, and nothing of anybody else, while registers go
// on, compaction runs and the engine is restarted.
#[test]
fn pages_are_what_a_naive_filter_finds_while_everything_goes_on() {
    let seed = std::env::var("OFD_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Prng::new(seed, 1);
    let messages = lives(9, 130);
    let mut coming = messages.chunks(9);
    let mut engine = open(dir.path());
    let mut log = Log::default();
    for at in 0..30 {
        submit(&engine, coming.next().unwrap());
        if at % 10 == 9 {
            engine.compact(true).unwrap();
        }
    }
    log.read_on(&engine);
    let (mut pages, mut found, mut empty, mut mixed, mut restarts) = (0, 0, 0, 0, 0);
    for round in 0..80 {
        let chosen = &log.documents[rng.below(log.documents.len() as u64) as usize];
        let search = chosen.searched(&mut rng);
        let sees = match rng.below(3) {
            0 => None,
            1 => Some(BTreeSet::from([chosen.inn.clone().unwrap_or_default()])),
            _ => {
                let any = &log.documents[rng.below(log.documents.len() as u64) as usize];
                Some(BTreeSet::from([any.inn.clone().unwrap_or_default(), "7700000190".to_owned()]))
            }
        };
        let expected = log.expected(&search, sees.as_ref());
        let capability = capability(sees.as_ref());
        // A few pages a search.
        let limit = 1 + expected.len() / 6 + rng.below(1 + (expected.len() as u64).min(60)) as usize;
        let mut hits: Vec<SearchHit> = Vec::new();
        let mut after: Option<SearchCursor> = None;
        loop {
            let page = if rng.below(4) == 0 {
                let beside = ReadOnly::open(dir.path()).unwrap();
                beside.search(&capability, &search, limit, after.as_ref()).unwrap()
            } else {
                engine.search(&capability, &search, limit, after.as_ref()).unwrap()
            };
            assert!(page.hits.len() == limit || page.next.is_none(), "a page in the middle is full");
            hits.extend(page.hits);
            pages += 1;
            let Some(next) = page.next else { break };
            // As a host keeps it.
            after = Some(next.to_string().parse().unwrap());
            match rng.below(6) {
                0 | 1 => coming.next().into_iter().for_each(|it| submit(&engine, it)),
                2 if rng.below(2) == 0 => drop(engine.compact(true).unwrap()),
                3 if restarts < 8 => {
                    engine.shutdown().unwrap();
                    engine = open(dir.path());
                    restarts += 1;
                }
                _ => {}
            }
        }
        let positions: Vec<u64> = hits.iter().map(|it| it.position.as_u64()).collect();
        assert_eq!(
            positions, expected,
            "seed {seed}, round {round}, limit {limit}: {search:?}, seen by {sees:?}"
        );
        let compacted = engine.snapshot().unwrap().archive().compacted_through().as_u64();
        mixed += usize::from(
            positions.iter().any(|it| *it > compacted) && positions.iter().any(|it| *it <= compacted),
        );
        found += hits.len();
        empty += usize::from(hits.is_empty());
        for hit in &hits {
            assert!(capability.sees(hit.inn.as_deref()), "{hit:?} is not his");
        }
        for hit in hits.iter().take(3) {
            agrees(&engine, hit, &log);
        }
        log.read_on(&engine);
    }
    println!("{found} documents on {pages} pages, {empty} searches without any, {mixed} in both parts");
    assert!(found > 3000 && mixed > 10 && restarts > 3 && empty < 30, "{found} {mixed} {restarts} {empty}");
    assert!(log.documents.len() > 400, "{}", log.documents.len());
    engine.shutdown().unwrap();
}

/// What a hit tells is what the document says, and leads to it.
fn agrees(engine: &Engine, hit: &SearchHit, log: &Log) {
    let is = log.documents.iter().find(|it| it.position == hit.position.as_u64()).unwrap();
    assert_eq!((&hit.inn, &hit.rnm, &hit.drive, hit.number), (&is.inn, &is.rnm, &is.drive, is.number));
    assert_eq!((hit.sign, hit.total, hit.variant), (is.sign, is.total, is.variant));
    assert_eq!((&hit.cashier, &hit.cashier_inn), (&is.cashier, &is.cashier_inn));
    assert_eq!(hit.findings, Some(is.findings as i64));
    assert_eq!(hit.items, Some(is.items.len() as i64));
    let sums = [hit.cash, hit.ecash, hit.prepaid, hit.credit, hit.provision];
    let told: Vec<_> = Payment::ALL.into_iter().zip(sums).filter_map(|(it, sum)| Some((it, sum?))).collect();
    assert_eq!(told, is.paid);
    let drive = DriveNumber::parse(&hit.drive).unwrap();
    let found = engine.find(&Capability::operator(), drive, hit.number).unwrap();
    assert!(found.iter().any(|it| it.position() == hit.position), "{hit:?} is not to be found");
}

// The same with threads: nobody waits for a reader, and no moment between two files shows him something else.
#[test]
fn pages_hold_while_a_thread_submits_and_compacts() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(open(dir.path()));
    let messages = lives(6, 120);
    submit(&engine, &messages[..200]);
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let (engine, done, messages) = (Arc::clone(&engine), Arc::clone(&done), messages[200..].to_vec());
        std::thread::spawn(move || {
            for part in messages.chunks(40) {
                submit(&engine, part);
                engine.compact(true).unwrap();
            }
            done.store(true, Ordering::Release);
        })
    };
    let operator = Capability::operator();
    let search = Search { all_variants: true, realm: None, ..Search::default() };
    let mut walks = 0;
    while !done.load(Ordering::Acquire) || walks < 3 {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = engine.search(&operator, &search, 37, after.as_ref()).unwrap();
            all.extend(page.hits.iter().map(|it| it.position.as_u64()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // Everything up to the newest, which was there when the first page was cut.
        let mut log = Log::default();
        log.read_on(&engine);
        let newest = all.iter().max().copied().unwrap();
        log.documents.retain(|it| it.position <= newest);
        assert_eq!(all, log.expected(&search, None), "walk {walks}");
        walks += 1;
    }
    writing.join().unwrap();
    println!("{walks} walks");
    Arc::into_inner(engine).unwrap().shutdown().unwrap();
}

// What can not be answered well is refused with words, not answered slowly or wrongly.
#[test]
fn a_sign_without_a_scope_a_foreign_cursor_and_a_page_without_bound_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    submit(&engine, &lives(3, 30));
    let operator = Capability::operator();
    let refused = |search: &Search, limit: usize, after: Option<&SearchCursor>, word: &str| {
        let error = engine.search(&operator, search, limit, after).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fix);
        assert!(error.to_string().contains(word), "{error}");
    };
    let sign = Search { sign: Some(1), ..Search::default() };
    refused(&sign, 10, None, "32 bits");
    refused(&Search { from: Some(0), ..sign.clone() }, 10, None, "32 bits");
    for scoped in [
        Search { from: Some(0), to: Some(9), ..sign.clone() },
        Search { drive: Some("1".to_owned()), ..sign.clone() },
        Search { rnms: Some(BTreeSet::new()), ..sign.clone() },
        Search { inns: Some(BTreeSet::new()), ..sign.clone() },
    ] {
        assert_eq!(engine.search(&operator, &scoped, 10, None).unwrap().hits, []);
    }
    let merchant = Capability::users(["7707083893".to_owned()]);
    assert!(engine.search(&merchant, &sign, 10, None).is_ok(), "his organisation is a scope");
    refused(&Search::default(), 0, None, "1 to 1000");
    refused(&Search::default(), SEARCH_LIMIT_MAX + 1, None, "1 to 1000");
    let next = engine.search(&operator, &Search::default(), 2, None).unwrap().next.unwrap();
    refused(&Search { internet: Some(true), ..Search::default() }, 2, Some(&next), "another search");
    engine.shutdown().unwrap();
}
