//! What is compared of two documents, and how well they fit. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ofd_codec::{DocumentView, DriveNumber, Form, Tag, Value, tags};
use ofd_storage::Position;
use ofd_storage::envelope::Realm;
use ofd_storage::union::Search;

use super::{DAY_S, LinkReason, SIGNS_MAX, WINDOW_DAYS};
use crate::query::StoredDocument;

const RECEIPT_PROPERTY: Tag = Tag(1192);
const CORRECTION_BASE: Tag = Tag(1174);
const CORRECTION_DATE: Tag = Tag(1178);
const CORRECTION_NUMBER: Tag = Tag(1179);
/// Digits of a printed fiscal sign: shorter runs of digits are something else.
const SIGN_DIGITS: std::ops::RangeInclusive<usize> = 6..=10;

/// A line of a receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    /// As it is compared: small letters, one space between words.
    pub(super) name: String,
    pub(super) price: u64,
    /// Millionths.
    pub(super) quantity: i128,
    pub(super) sum: u64,
}

/// What is compared of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) position: Position,
    pub(super) drive: DriveNumber,
    pub(super) number: u32,
    pub(super) form: Form,
    pub(super) direction: u8,
    pub(super) at: Option<u32>,
    pub(super) rnm: Option<String>,
    pub(super) sign: Option<u32>,
    pub(super) total: i64,
    /// Sorted.
    pub(super) items: Vec<Item>,
    pub(super) buyer: Option<String>,
    /// Signs that 1192 may name.
    pub(super) signs: Vec<u32>,
    /// Day of 1178, in days since 1970.
    pub(super) corrects_on: Option<u32>,
    /// 1179, where it is a number.
    pub(super) corrects_number: Option<u32>,
}

/// How well an original fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) confidence: u8,
    pub(super) reasons: Vec<LinkReason>,
}

fn text(value: Option<Value<'_>>) -> Option<String> {
    value.map(|it| it.text().trimmed().to_string()).filter(|it| !it.is_empty())
}

fn plain(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbers in a text that may be a printed sign.
fn signs_in(text: &str) -> impl Iterator<Item = u32> {
    let runs = text.split(|it: char| !it.is_ascii_digit()).filter(|it| SIGN_DIGITS.contains(&it.len()));
    runs.filter_map(|it| it.parse().ok())
}

/// Each of them once, in their order; one more than are looked up at most.
fn different(signs: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut different = Vec::new();
    for sign in signs {
        if different.len() <= SIGNS_MAX && !different.contains(&sign) {
            different.push(sign);
        }
    }
    different
}

impl Facts {
    /// Of a stored document; `None` when it was never opened or is none of those that are compared.
    pub(super) fn of(document: &StoredDocument) -> Option<Self> {
        Self::of_view(&document.document()?, document.position(), document.drive()?)
    }

    pub(super) fn of_view(view: &DocumentView<'_>, position: Position, drive: DriveNumber) -> Option<Self> {
        let header = view.header();
        let form = view.form();
        let is_compared =
            matches!(form, Form::RECEIPT | Form::BSO | Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION);
        if !is_compared {
            return None;
        }
        let item = |value: Value<'_>| {
            let mut item = Item::default();
            for (tag, value) in value.children().flatten() {
                match tag {
                    tags::ITEM_NAME => item.name = plain(&value.text().to_string()),
                    tags::PRICE => item.price = value.vln().unwrap_or_default(),
                    tags::ITEM_SUM => item.sum = value.vln().unwrap_or_default(),
                    tags::QUANTITY => {
                        item.quantity = value.fvln().ok().and_then(|it| it.to_decimal(6)).unwrap_or_default();
                    }
                    _ => {}
                }
            }
            item
        };
        let mut items: Vec<Item> = view.get_all(tags::ITEM).map(item).collect();
        items.sort();
        let base = view.get(CORRECTION_BASE);
        let in_base = |wanted: Tag| {
            base.and_then(|it| it.children().flatten().find(|(tag, _)| *tag == wanted))
                .map(|(_, value)| value)
        };
        let is_correction = !matches!(form, Form::RECEIPT | Form::BSO);
        Some(Self {
            position,
            drive,
            number: header.number?.0,
            form,
            direction: view.get(tags::OPERATION_TYPE).and_then(|it| it.u8().ok()).unwrap_or_default(),
            at: header.date_time.map(|it| it.0),
            rnm: text(view.get(tags::KKT_REG_ID)),
            sign: header.sign.map(|it| it.printed()),
            total: view.get(tags::TOTAL_SUM).and_then(|it| it.kopecks().ok()).map_or(0, |it| it.0),
            items,
            buyer: text(view.get(tags::BUYER_CONTACT)).filter(|it| it.len() > 5),
            signs: different(
                view.get_all(RECEIPT_PROPERTY)
                    .flat_map(|it| signs_in(&it.text().to_string()).collect::<Vec<_>>()),
            ),
            corrects_on: in_base(CORRECTION_DATE)
                .filter(|_| is_correction)
                .and_then(|it| it.unixtime().ok())
                .map(|it| it.0 / 86_400),
            corrects_number: text(in_base(CORRECTION_NUMBER))
                .filter(|_| is_correction)
                .and_then(|it| it.parse().ok()),
        })
    }

    pub(super) fn is_correction(&self) -> bool {
        matches!(self.form, Form::RECEIPT_CORRECTION | Form::BSO_CORRECTION)
    }

    pub(super) fn is_refund(&self) -> bool {
        !self.is_correction() && matches!(self.direction, 2 | 4)
    }

    /// Whether there is an original of it.
    pub(super) fn is_about_another(&self) -> bool {
        self.is_refund() || self.is_correction()
    }

    /// Whether it can be one.
    pub(super) fn is_original(&self) -> bool {
        !self.is_correction()
    }

    pub(super) fn form_name(&self) -> String {
        let name = match self.form {
            Form::RECEIPT => "receipt",
            Form::BSO => "bso",
            Form::RECEIPT_CORRECTION => "receiptCorrection",
            _ => "bsoCorrection",
        };
        name.to_owned()
    }

    /// A search of its register; of its drive, where it names none.
    pub(super) fn of_register(&self, realm: Realm) -> Search {
        let rnms = self.rnm.clone().map(|it| [it].into());
        let drive = rnms.is_none().then(|| self.drive.as_str().to_owned());
        Search { rnms, drive, realm: Some(realm), ..Search::default() }
    }

    /// When its original was made: the day that it names, or the days before.
    pub(super) fn times(&self) -> (Option<i64>, Option<i64>) {
        let to = self.at.map(i64::from);
        match (self.is_correction(), self.corrects_on.map(i64::from)) {
            (true, Some(day)) => {
                let from = day.saturating_mul(DAY_S);
                (Some(from), Some(from.saturating_add(DAY_S).saturating_sub(1)))
            }
            _ => (to.map(|to| to.saturating_sub(i64::from(WINDOW_DAYS).saturating_mul(DAY_S))), to),
        }
    }
}

/// How well an original fits to a refund or a correction, alone; `None`: it does not.
pub(super) fn fit(later: &Facts, original: &Facts) -> Option<Fit> {
    let takes_back =
        later.direction.checked_sub(1) == Some(original.direction) && matches!(later.direction, 2 | 4);
    let is_register = match (&later.rnm, &original.rnm) {
        (Some(one), Some(other)) => one == other,
        _ => later.drive == original.drive,
    };
    let is_before = match (original.at, later.at) {
        (Some(before), Some(at)) => before <= at,
        _ => false,
    } && (later.drive != original.drive || original.number < later.number);
    let fits = later.is_about_another()
        && original.is_original()
        && is_register
        && is_before
        && (takes_back || (later.is_correction() && later.direction == original.direction));
    if !fits {
        return None;
    }
    if original.sign.is_some_and(|sign| later.signs.contains(&sign)) {
        return Some(Fit { confidence: 100, reasons: vec![LinkReason::Sign] });
    }
    let same_total = later.total == original.total;
    let same_items = same_total && !later.items.is_empty() && later.items == original.items;
    let mut reasons = Vec::new();
    let mut confidence: u8 = if later.is_correction() {
        let day = original.at.map(|it| it / 86_400);
        let is_number = later.corrects_number == Some(original.number);
        match later.corrects_on {
            Some(on) if Some(on) != day => return None,
            Some(_) => reasons.push(LinkReason::Day),
            None => {}
        }
        if is_number {
            reasons.push(LinkReason::Number);
        }
        let known_day = later.corrects_on.is_some();
        match (same_items, same_total, takes_back) {
            (true, _, true) if known_day => 80,
            (true, _, false) if known_day => 60,
            (true, ..) => 50,
            (false, true, true) if known_day => 60,
            (false, true, false) if known_day => 40,
            // Its sum was wrong: then the number has to tell.
            (false, false, _) if known_day && is_number => 50,
            _ => return None,
        }
    } else {
        let within = later.at.zip(original.at).map(|(at, before)| at.saturating_sub(before));
        if within.is_none_or(|it| i64::from(it) > i64::from(WINDOW_DAYS).saturating_mul(DAY_S)) {
            return None;
        }
        match (same_items, same_total, is_part(later, original)) {
            (true, ..) => 80,
            (_, true, _) => 40,
            (_, _, true) => 50,
            _ => return None,
        }
    };
    if same_items {
        reasons.push(LinkReason::Items);
    } else if same_total {
        reasons.push(LinkReason::Total);
    } else if is_part(later, original) {
        reasons.push(LinkReason::SomeItems);
    }
    if later.buyer.is_some() && later.buyer == original.buyer {
        reasons.push(LinkReason::Buyer);
        confidence = confidence.saturating_add(10);
    }
    if reasons.contains(&LinkReason::Number) && (same_total || same_items) {
        confidence = confidence.saturating_add(10);
    }
    reasons.sort();
    Some(Fit { confidence, reasons })
}

/// Whether every line of the later one is a line of the original, or less of it for the same price.
fn is_part(later: &Facts, original: &Facts) -> bool {
    if later.items.is_empty() || later.total > original.total {
        return false;
    }
    let mut sold: BTreeMap<(&str, u64), i128> = BTreeMap::new();
    for item in &original.items {
        let left = sold.entry((&item.name, item.price)).or_default();
        *left = left.saturating_add(item.quantity);
    }
    later.items.iter().all(|item| match sold.get_mut(&(item.name.as_str(), item.price)) {
        Some(left) if *left >= item.quantity && item.quantity > 0 => {
            *left = left.saturating_sub(item.quantity);
            true
        }
        _ => false,
    })
}

/// The originals that fit, best first and newest first; what fits equally well shares the confidence, and where a sign is named
/// and found, nothing else is among them.
pub(super) fn shared<'f>(later: &Facts, originals: impl Iterator<Item = &'f Facts>) -> Vec<(&'f Facts, Fit)> {
    let mut fits: Vec<(&Facts, Fit)> = originals.filter_map(|it| Some((it, fit(later, it)?))).collect();
    if fits.iter().any(|(_, fit)| fit.reasons.contains(&LinkReason::Sign)) {
        fits.retain(|(_, fit)| fit.reasons.contains(&LinkReason::Sign));
    }
    let mut alike: BTreeMap<u8, u8> = BTreeMap::new();
    for (_, fit) in &fits {
        let count = alike.entry(fit.confidence).or_default();
        *count = count.saturating_add(1);
    }
    fits.sort_by_key(|(facts, fit)| (Reverse(fit.confidence), Reverse(facts.position)));
    for (_, fit) in &mut fits {
        let count = alike.get(&fit.confidence).copied().unwrap_or(1).max(1);
        fit.confidence = (fit.confidence / count).max(1);
    }
    fits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use ofd_storage::Lsn;

    use super::*;

    const DAY: u32 = 20_000;

    fn item(name: &str, price: u64, quantity: i128) -> Item {
        let sum = price * u64::try_from(quantity).unwrap() / 1_000_000;
        Item { name: name.to_owned(), price, quantity, sum }
    }

    fn receipt(number: u32, direction: u8, items: &[Item]) -> Facts {
        let mut items = items.to_vec();
        items.sort();
        Facts {
            position: Position::new(Lsn::new(u64::from(number))),
            drive: DriveNumber::parse("9999078900001234").unwrap(),
            number,
            form: Form::RECEIPT,
            direction,
            at: Some(DAY * 86_400 + number * 60),
            rnm: Some("0000000001012345".to_owned()),
            sign: Some(1_000_000 + number),
            total: items.iter().map(|it| i64::try_from(it.sum).unwrap()).sum(),
            items,
            buyer: None,
            signs: Vec::new(),
            corrects_on: None,
            corrects_number: None,
        }
    }

    fn correction(number: u32, direction: u8, items: &[Item]) -> Facts {
        Facts { form: Form::RECEIPT_CORRECTION, corrects_on: Some(DAY), ..receipt(number, direction, items) }
    }

    fn check(later: &Facts, originals: &[Facts], expected: &[(u32, u8, &[&str])]) {
        let found = shared(later, originals.iter());
        let found: Vec<_> = found
            .iter()
            .map(|(facts, fit)| {
                (facts.number, fit.confidence, fit.reasons.iter().map(|it| it.name()).collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(number, much, why)| (*number, *much, why.to_vec())).collect();
        assert_eq!(found, expected);
    }

    // The table of the header, line by line, and a neighbour of each that does not fit.
    #[test]
    fn every_way_to_fit_has_its_confidence_and_its_reasons() {
        let milk = item("молоко", 8_000, 2_000_000);
        let bread = item("хлеб", 5_000, 1_000_000);
        let tea = item("чай", 21_000, 1_000_000);
        let sale = receipt(1, 1, &[milk.clone(), bread.clone()]);
        let other = receipt(2, 1, std::slice::from_ref(&tea));
        let both = [sale.clone(), other.clone()];
        // Refunds.
        check(
            &receipt(9, 2, &[bread.clone(), milk.clone()]),
            &both,
            &[(1, 80, &["items"]), (2, 40, &["total"])],
        );
        check(&receipt(9, 2, &[item("молоко", 8_000, 1_000_000)]), &both, &[(1, 50, &["some-items"])]);
        check(&receipt(9, 2, &[item("молоко", 8_000, 3_000_000)]), &both, &[]);
        check(&receipt(9, 2, &[item("молоко", 7_000, 1_000_000)]), &both, &[]);
        check(&receipt(9, 4, std::slice::from_ref(&tea)), &both, &[]);
        check(&receipt(9, 1, std::slice::from_ref(&tea)), &both, &[]);
        check(&receipt(1, 2, std::slice::from_ref(&tea)), &both, &[]);
        let named = Facts { signs: vec![1_000_002], ..receipt(9, 2, &[bread.clone(), milk.clone()]) };
        check(&named, &both, &[(2, 100, &["sign"])]);
        let buyer = |it: &Facts| Facts { buyer: Some("+79001234567".into()), ..it.clone() };
        check(
            &buyer(&receipt(9, 2, std::slice::from_ref(&tea))),
            &[buyer(&other)],
            &[(2, 90, &["items", "buyer"])],
        );
        let late =
            Facts { at: Some((DAY + WINDOW_DAYS + 1) * 86_400), ..receipt(9, 2, std::slice::from_ref(&tea)) };
        check(&late, &both, &[]);
        // Corrections.
        check(
            &correction(9, 2, &[bread.clone(), milk.clone()]),
            &both,
            &[(1, 80, &["items", "day"]), (2, 60, &["total", "day"])],
        );
        check(
            &correction(9, 1, &[bread.clone(), milk.clone()]),
            &both,
            &[(1, 60, &["items", "day"]), (2, 40, &["total", "day"])],
        );
        let elsewhen =
            Facts { corrects_on: Some(DAY - 1), ..correction(9, 2, &[bread.clone(), milk.clone()]) };
        check(&elsewhen, &both, &[]);
        let undated = Facts { corrects_on: None, ..correction(9, 2, &[bread.clone(), milk.clone()]) };
        check(&undated, &both, &[(1, 50, &["items"])]);
        let numbered =
            Facts { corrects_number: Some(2), ..correction(9, 1, &[item("кофе", 100, 1_000_000)]) };
        check(&numbered, &both, &[(2, 50, &["day", "number"])]);
        let numbered = Facts { corrects_number: Some(2), ..correction(9, 2, std::slice::from_ref(&tea)) };
        check(&numbered, &both, &[(2, 90, &["items", "day", "number"]), (1, 60, &["total", "day"])]);
        let named = Facts { signs: vec![1_000_001], corrects_on: None, ..correction(9, 2, &[]) };
        check(&named, &both, &[(1, 100, &["sign"])]);
        // Another register, and nothing that is not about another.
        let elsewhere = Facts { rnm: Some("1".into()), ..receipt(9, 2, std::slice::from_ref(&tea)) };
        check(&elsewhere, &both, &[]);
        check(&receipt(9, 3, &[tea]), &both, &[]);
    }

    // Silent guesses would be taken for facts.
    #[test]
    fn what_fits_equally_well_shares_the_confidence() {
        let tea = item("чай", 21_000, 1_000_000);
        let sales: Vec<Facts> =
            (1..=4).map(|number| receipt(number, 1, std::slice::from_ref(&tea))).collect();
        let refund = receipt(9, 2, std::slice::from_ref(&tea));
        check(
            &refund,
            &sales,
            &[(4, 20, &["items"]), (3, 20, &["items"]), (2, 20, &["items"]), (1, 20, &["items"])],
        );
        // The same sign twice: it has 32 bits.
        let twin = Facts { sign: sales[0].sign, ..sales[1].clone() };
        let named = Facts { signs: sales[0].sign.into_iter().collect(), ..refund };
        check(&named, &[sales[0].clone(), twin], &[(2, 50, &["sign"]), (1, 50, &["sign"])]);
    }

    #[test]
    fn signs_are_found_in_whatever_words() {
        let found = |text: &str| signs_in(text).collect::<Vec<u32>>();
        assert_eq!(found("1234567890"), [1_234_567_890]);
        assert_eq!(found("ФПД 0012345678"), [12_345_678]);
        assert!(found("4294967296").is_empty());
        assert!(found("12345").is_empty());
        assert!(found("чек №7").is_empty());
        // Each is a search of its own.
        assert_eq!(different([7, 8, 7, 7].into_iter()), [7, 8]);
        assert_eq!(different(0..1_000).len(), SIGNS_MAX + 1);
    }
}
