//! Refunds and corrections with their originals: by a running engine, its archive and beside it, against a comparison of all
//! documents with one another.
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeMap;

use common::submit;
use ofd_emit::Prng;
use ofd_engine::codec::{DriveNumber, Form, LocalSeconds, Message, Quantity, Tag, TlvWriter, tags};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, Link, Links, Position, ReadOnly};

/// Midnight of a day in March 2026.
const DAY: u32 = 20_520 * 86_400;
const INN: &str = "7707083893";
const NAMES: [&str; 4] = ["Молоко 3,2%", "Хлеб ржаной", "Чай чёрный", "Кофе"];

#[derive(Clone, Debug, Default)]
struct Made {
    drive: String,
    rnm: String,
    number: u32,
    form: u8,
    direction: u8,
    at: u32,
    sign: u32,
    /// Name, price, whole pieces.
    items: Vec<(&'static str, u64, u64)>,
    buyer: Option<String>,
    property: Option<String>,
    /// Day of 1178.
    on: Option<u32>,
    corrects: Option<String>,
}

impl Made {
    fn total(&self) -> u64 {
        self.items.iter().map(|it| it.1 * it.2).sum()
    }

    fn message(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        let write = |w: &mut TlvWriter<'_>| {
            w.padded_text(tags::USER_INN, INN, 12)?;
            w.padded_text(tags::KKT_REG_ID, &self.rnm, 20)?;
            w.padded_text(tags::FISCAL_DRIVE_NUMBER, &self.drive, 16)?;
            w.u32(tags::FISCAL_DOCUMENT_NUMBER, self.number);
            w.unixtime(tags::DATE_TIME, LocalSeconds(self.at));
            let [a, b, c, d] = self.sign.to_be_bytes();
            w.bytes(tags::FISCAL_SIGN, &[0x31, 4, a, b, c, d])?;
            w.u32(tags::SHIFT_NUMBER, 1);
            w.u8(tags::OPERATION_TYPE, self.direction);
            w.vln(tags::TOTAL_SUM, self.total());
            for (name, price, pieces) in &self.items {
                w.nested(tags::ITEM, |item| {
                    item.text(tags::ITEM_NAME, name)?;
                    item.vln(tags::PRICE, *price);
                    item.fvln(tags::QUANTITY, Quantity { mantissa: *pieces, scale: 0 })?;
                    item.vln(tags::ITEM_SUM, price * pieces);
                    Ok(())
                })?;
            }
            self.buyer.iter().try_for_each(|it| w.text(tags::BUYER_CONTACT, it))?;
            self.property.iter().try_for_each(|it| w.text(Tag(1192), it))?;
            if self.form == 31 {
                w.u8(tags::CORRECTION_TYPE, 0);
                w.nested(Tag(1174), |base| {
                    self.on.iter().for_each(|day| base.unixtime(Tag(1178), LocalSeconds(day * 86_400)));
                    self.corrects.iter().try_for_each(|it| base.text(Tag(1179), it))
                })?;
            }
            Ok(())
        };
        TlvWriter::new(&mut plain).document(Form(self.form), write).unwrap();
        let mut out = Vec::new();
        let message = Message {
            p_version: [1, 2],
            drive: DriveNumber::parse(&self.drive).unwrap(),
            number: self.number,
            form: self.form,
            container_type: 0xA5,
            service2_prefix: [0, 0, 0, 0, 0, 0, 0, 1, 0, 2],
            plain: &plain,
            trailer: [0x81, 0x06, 1, 2, 3, 4, 5, 6, 0, 0],
        };
        message.encode_into(&mut out).unwrap();
        out
    }
}

/// Receipts of some registers, one of which has had two drives; refunds and corrections that fit, nearly fit or do not.
fn lives(seed: u64, documents: usize) -> Vec<Made> {
    let mut rng = Prng::new(seed, 0);
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut out: Vec<Made> = Vec::new();
    for step in 0..documents {
        let register = rng.below(2);
        let second = register == 1 && step > documents / 2;
        let drive = format!("99604403000000{register}{}", u8::from(second));
        let number = numbers.entry(drive.clone()).or_insert(0);
        *number += 1;
        let mut made = Made {
            rnm: format!("000000000101234{register}"),
            number: *number,
            form: 3,
            direction: 1 + rng.below(2) as u8 * 2,
            at: DAY + step as u32 * 1_800,
            sign: 100_000_000 + rng.below(4_000_000_000) as u32 / 2,
            drive,
            buyer: (rng.below(3) == 0).then(|| format!("+7900123456{}", rng.below(2))),
            ..Made::default()
        };
        for _ in 0..=rng.below(2) {
            let name = NAMES[rng.below(4) as usize];
            made.items.push((name, 100 * (1 + rng.below(2)), 1 + rng.below(3)));
        }
        let before: Vec<&Made> = out.iter().filter(|it| it.form == 3).collect();
        if !before.is_empty() && rng.below(2) == 0 {
            let original = before[rng.below(before.len() as u64) as usize].clone();
            made.direction = original.direction + 1;
            if rng.below(4) > 0 {
                made.items.clone_from(&original.items);
            }
            match rng.below(4) {
                0 => made.items.truncate(1),
                1 => made.items.reverse(),
                _ => {}
            }
            match rng.below(8) {
                0 => made.property = Some(original.sign.to_string()),
                1 => made.property = Some(format!("ФП{}", original.sign)),
                2 => made.property = Some("карта 123456".to_owned()),
                _ => {}
            }
            if rng.below(2) == 0 {
                made.form = 31;
                made.direction = [original.direction, original.direction + 1][rng.below(2) as usize];
                made.on = (rng.below(4) > 0).then_some(original.at / 86_400 - rng.below(4) as u32 / 3);
                made.corrects = (rng.below(4) == 0).then(|| original.number.to_string());
            }
        }
        out.push(made);
    }
    out
}

type Row = (u32, String, u8, Vec<&'static str>);

/// Everything that fits a refund or a correction, by a comparison with all documents.
fn naive(later: &Made, all: &[Made]) -> Vec<(usize, u8, Vec<&'static str>)> {
    let correction = later.form == 31;
    let refund = !correction && later.direction.is_multiple_of(2);
    if !correction && !refund {
        return Vec::new();
    }
    let mut fits = Vec::new();
    for (at, original) in all.iter().enumerate() {
        let before =
            original.at <= later.at && (original.drive != later.drive || original.number < later.number);
        let back = later.direction.is_multiple_of(2) && original.direction + 1 == later.direction;
        let again = correction && original.direction == later.direction;
        if original.form != 3 || original.rnm != later.rnm || !before || !(back || again) {
            continue;
        }
        let named = later.property.as_ref().is_some_and(|it| it.ends_with(&original.sign.to_string()));
        if named {
            fits.push((at, 100, vec!["sign"]));
            continue;
        }
        let sorted = |made: &Made| {
            let mut items = made.items.clone();
            items.sort();
            items
        };
        let total = later.total() == original.total();
        let items = total && sorted(later) == sorted(original);
        let mut left: BTreeMap<(&str, u64), i64> = BTreeMap::new();
        for (name, price, pieces) in &original.items {
            *left.entry((name, *price)).or_default() += *pieces as i64;
        }
        for (name, price, pieces) in &later.items {
            *left.entry((name, *price)).or_insert(0) -= *pieces as i64;
        }
        let part = later.total() <= original.total() && left.values().all(|it| *it >= 0);
        let number = later.corrects == Some(original.number.to_string());
        let same_day = later.on == Some(original.at / 86_400);
        let score = if refund {
            if items {
                80
            } else if total {
                40
            } else if part {
                50
            } else {
                0
            }
        } else if later.on.is_none() {
            if items { 50 } else { 0 }
        } else if !same_day {
            0
        } else if total {
            20 + 20 * u8::from(back) + 20 + if items { 20 } else { 0 }
        } else if number {
            50
        } else {
            0
        };
        if score == 0 {
            continue;
        }
        let buyer = later.buyer.is_some() && later.buyer == original.buyer;
        let mut why = Vec::new();
        for (name, is) in [
            ("items", items),
            ("total", total && !items),
            ("some-items", part && !total),
            ("day", correction && same_day),
            ("number", correction && number),
            ("buyer", buyer),
        ] {
            why.extend(is.then_some(name));
        }
        let more = 10 * u8::from(buyer) + 10 * u8::from(correction && number && total);
        fits.push((
            at,
            if items && correction && !back && later.on.is_some() { 60 } else { score } + more,
            why,
        ));
    }
    if fits.iter().any(|it| it.2 == ["sign"]) {
        fits.retain(|it| it.2 == ["sign"]);
    }
    let alike = |score: u8| fits.iter().filter(|it| it.1 == score).count() as u8;
    let mut shared: Vec<_> =
        fits.iter().map(|it| (it.0, it.1, (it.1 / alike(it.1)).max(1), it.2.clone())).collect();
    shared.sort_by_key(|it| (255 - it.1, usize::MAX - it.0));
    shared.into_iter().map(|it| (it.0, it.2, it.3)).collect()
}

fn row(link: &Link) -> Row {
    (
        link.number,
        link.drive.as_str().to_owned(),
        link.confidence,
        link.reasons.iter().map(|it| it.name()).collect(),
    )
}

fn check(all: &[Made], links_of: &dyn Fn(&Made) -> Option<Links>, what: &str) -> (usize, usize) {
    let originals: Vec<_> = all.iter().map(|it| naive(it, all)).collect();
    let (mut pairs, mut alone) = (0, 0);
    for (at, made) in all.iter().enumerate() {
        let links = links_of(made).unwrap();
        assert!(links.complete, "{what}");
        let expected: Vec<Row> = originals[at]
            .iter()
            .map(|(at, much, why)| (all[*at].number, all[*at].drive.clone(), *much, why.clone()))
            .collect();
        let found: Vec<Row> = links.originals.iter().map(row).collect();
        assert_eq!(found, expected, "{what}: originals of {made:?}");
        // The other way: whoever has it among its originals, newest first.
        let later = all.iter().zip(&originals).rev();
        let later: Vec<Row> = later
            .filter_map(|(it, own)| {
                let (_, much, why) = own.iter().find(|it| it.0 == at)?;
                Some((it.number, it.drive.clone(), *much, why.clone()))
            })
            .collect();
        let found: Vec<Row> = links.later.iter().map(row).collect();
        assert_eq!(found, later, "{what}: what is about {made:?}");
        pairs += expected.len();
        alone += usize::from(expected.len() == 1);
    }
    (pairs, alone)
}

// Nobody can tell by looking at one of them that the other is missing.
#[test]
fn both_ways_tell_what_a_comparison_of_all_documents_tells() {
    for seed in 0..2 {
        let all = lives(seed, 110);
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
        let operator = Capability::operator();
        let drive = |it: &Made| DriveNumber::parse(&it.drive).unwrap();
        submit(&engine, &all.iter().map(Made::message).collect::<Vec<_>>());
        let (pairs, alone) =
            check(&all, &|it| engine.links_of(&operator, drive(it), it.number).unwrap(), "log");
        assert!(pairs > 30 && alone > 10, "{pairs} pairs, {alone} of them alone");
        // From the archive, and beside the owner.
        engine.compact(true).unwrap();
        check(&all, &|it| engine.links_of(&operator, drive(it), it.number).unwrap(), "archive");
        let beside = ReadOnly::open(dir.path()).unwrap();
        let made = all.iter().rfind(|it| !naive(it, &all).is_empty()).unwrap();
        let here = engine.links_of(&operator, drive(made), made.number).unwrap();
        assert_eq!(beside.links_of(&operator, drive(made), made.number).unwrap(), here);
        // Others see neither it nor what belongs to it.
        let other = Capability::users(["7704211201".to_owned()]);
        assert_eq!(engine.links_of(&other, drive(made), made.number).unwrap(), None);
        let mine = Capability::users([INN.to_owned()]);
        assert_eq!(engine.links_of(&mine, drive(made), made.number).unwrap(), here);
        assert_eq!(engine.links_of(&operator, drive(made), 9_999).unwrap(), None);
        assert!(here.unwrap().originals.iter().all(|it| it.position > Position::START));
        engine.shutdown().unwrap();
    }
}

/// Sales and refunds of tea in one register, a minute apart.
fn tea(sales: u32, refunds: u32) -> Vec<Made> {
    let made = |number: u32| Made {
        drive: "9960440300000000".to_owned(),
        rnm: "0000000001012340".to_owned(),
        number,
        form: 3,
        direction: 1 + u8::from(number > sales),
        at: DAY + number * 60,
        sign: 100_000_000 + number,
        items: vec![(NAMES[2], 21_000, 1)],
        ..Made::default()
    };
    (1..=sales + refunds).map(made).collect()
}

// A guarantee is longer than the window: whoever looks from the receipt has to see what names it.
#[test]
fn a_refund_that_names_an_old_receipt_is_found_both_ways() {
    let mut all = tea(2, 1);
    // A clock that runs ahead is not believed by the search.
    all.iter_mut().take(2).for_each(|it| it.at -= 600 * 86_400);
    all[2].property = Some(all[0].sign.to_string());
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
    submit(&engine, &all.iter().map(Made::message).collect::<Vec<_>>());
    let drive = DriveNumber::parse(&all[0].drive).unwrap();
    let links = |number| engine.links_of(&Capability::operator(), drive, number).unwrap().unwrap();
    let numbers = |links: &[Link]| links.iter().map(|it| (it.number, it.confidence)).collect::<Vec<_>>();
    assert_eq!(numbers(&links(3).originals), [(1, 100)]);
    assert_eq!(numbers(&links(1).later), [(3, 100)]);
    assert!(links(2).later.is_empty());
    engine.shutdown().unwrap();
}

// Refunds of a busy day ask for the same receipts: each is read once, and there is an end to it.
#[test]
fn what_is_read_for_an_answer_is_bounded_and_read_once() {
    for (sales, refunds, complete) in [(520, 8, true), (1_010, 1, false)] {
        let all = tea(sales, refunds);
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
        submit(&engine, &all.iter().map(Made::message).collect::<Vec<_>>());
        let drive = DriveNumber::parse(&all[0].drive).unwrap();
        let links = engine.links_of(&Capability::operator(), drive, 1).unwrap().unwrap();
        assert_eq!(links.complete, complete, "{sales} sales");
        assert_eq!(links.later.len(), refunds as usize);
        engine.shutdown().unwrap();
    }
}
