//! What is sold: a fixed catalogue of invented goods per group of shops, with the lengths, prices and popularity of real ones.
//!
//! The catalogue is the same for every seed, as the goods of a country are the same for all its registers. Name lengths and
//! prices follow the quantiles of real receipts of 2017-2026; the first, the first ten and the first hundred goods take the
//! shares of lines that they take there.

use std::sync::OnceLock;

use crate::prng::Prng;
use crate::vocabulary::{
    ONLINE_GOODS, PACKS, PIECE_GOODS, SERVICES, SYLLABLES, TERMS, TRAITS, WEIGHED_GOODS, cp866,
};

/// Kinds of shops whose receipts differ in size and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The national cross-section: telecom top-ups, transport, utilities, small shops; nearly always one line.
    Counter,
    /// Supermarkets: a few lines at the median, tens at the tail.
    Retail,
    /// Marketplaces, grocery delivery, taxi: advances with two nameless lines, and long final receipts.
    Online,
}

/// How the Tax Code treats a good of a seller under the general system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tax {
    /// The main rate: 18 % before 2019, 20 % before 2026, then 22 %.
    Standard,
    /// 10 %.
    Reduced,
    /// 0 %.
    Zero,
    /// Not taxed.
    Exempt,
}

/// How a good is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// By pieces: whole numbers, unit code 0 of tag 2108.
    Piece,
    /// By kilograms with three digits, unit code 11.
    Kilogram,
    /// By litres with two digits, unit code 41.
    Litre,
}

/// One good of the catalogue.
#[derive(Debug)]
pub(crate) struct Good {
    /// Name, CP866, at most 128 bytes (tag 1030).
    pub(crate) name: Box<[u8]>,
    /// Price of a unit in kopecks (tag 1079).
    pub(crate) price: u64,
    /// Tax treatment under the general system.
    pub(crate) tax: Tax,
    /// How it is counted.
    pub(crate) measure: Measure,
    /// A service: subject 4 of tag 1212 instead of 1.
    pub(crate) service: bool,
    /// Paid in advance by its nature (a telecom account): method 3 of tag 1214.
    pub(crate) advance: bool,
    /// Carries a marking code.
    pub(crate) marked: bool,
    /// Its name ends with a number drawn at each sale (an account, a ticket): this many digits.
    pub(crate) digits: u8,
}

/// How long names are: (per mille, characters).
const COUNTER_NAMES: [(u32, u32); 10] = [
    (0, 6),
    (50, 12),
    (100, 14),
    (250, 20),
    (500, 31),
    (750, 35),
    (900, 49),
    (950, 50),
    (990, 62),
    (1000, 128),
];
const RETAIL_NAMES: [(u32, u32); 10] = [
    (0, 8),
    (50, 16),
    (100, 22),
    (250, 28),
    (500, 32),
    (750, 39),
    (900, 46),
    (950, 53),
    (990, 99),
    (1000, 128),
];
const ONLINE_NAMES: [(u32, u32); 10] = [
    (0, 6),
    (50, 14),
    (100, 19),
    (250, 26),
    (500, 29),
    (750, 42),
    (900, 50),
    (950, 58),
    (990, 88),
    (1000, 123),
];

/// What a unit costs: (per mille, kopecks).
const COUNTER_PRICES: [(u32, u32); 11] = [
    (0, 100),
    (50, 428),
    (100, 1350),
    (250, 2600),
    (500, 6400),
    (750, 14_300),
    (900, 40_000),
    (950, 85_000),
    (990, 350_000),
    (998, 1_000_000),
    (1000, 10_000_000),
];
const RETAIL_PRICES: [(u32, u32); 10] = [
    (0, 500),
    (50, 2490),
    (100, 4199),
    (250, 6491),
    (500, 10_700),
    (750, 24_900),
    (900, 34_900),
    (950, 67_900),
    (990, 152_700),
    (1000, 270_100),
];
const ONLINE_PRICES: [(u32, u32); 11] = [
    (0, 100),
    (100, 100),
    (101, 1000),
    (250, 4598),
    (500, 18_234),
    (750, 30_500),
    (900, 50_100),
    (950, 82_200),
    (990, 269_858),
    (998, 1_000_000),
    (1000, 9_399_900),
];

/// Last two digits of prices, per mille; what is left keeps its own ending.
const PRICE_ENDINGS: [(u32, Option<u64>); 6] =
    [(810, Some(0)), (40, Some(99)), (30, Some(90)), (10, Some(91)), (10, Some(50)), (100, None)];

/// Goods of one group. The tail is long enough that nearly half of all names of a few thousand lines are distinct.
const GOODS_PER_GROUP: usize = 3000;

/// All goods, by group.
pub(crate) struct Catalogue {
    counter: Vec<Good>,
    retail: Vec<Good>,
    online: Vec<Good>,
}

/// The catalogue, built at the first call (a few milliseconds).
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue {
        counter: goods(Group::Counter),
        retail: goods(Group::Retail),
        online: goods(Group::Online),
    })
}

impl Catalogue {
    /// A good of `group` as buyers choose it: 4.7 % of lines are the first one, 22.8 % the first ten, 54.7 % the first hundred.
    pub(crate) fn choose(&'static self, group: Group, prng: &mut Prng) -> &'static Good {
        let goods = match group {
            Group::Counter => &self.counter,
            Group::Retail => &self.retail,
            Group::Online => &self.online,
        };
        let at = match prng.below(1000) {
            0..47 => 0,
            47..228 => prng.between(1, 9),
            228..547 => prng.between(10, 99),
            _ => prng.between(100, goods.len() as u64 - 1),
        };
        goods.get(at as usize).or(goods.first()).expect("the catalogue is never empty")
    }
}

/// Builds the goods of a group from a seed of its own.
fn goods(group: Group) -> Vec<Good> {
    let mut prng = Prng::new(0x600D5, group as u64);
    (0..GOODS_PER_GROUP).map(|at| good(group, at, &mut prng)).collect()
}

fn good(group: Group, at: usize, prng: &mut Prng) -> Good {
    // A stride that shares no factor with 1000 spreads every kind evenly over the popular and the rare goods.
    let dice = (at * 377 + 500) % 1000;
    let (names, prices, weighed, metered): (&[_], &[_], usize, usize) = match group {
        Group::Counter => (&COUNTER_NAMES, &COUNTER_PRICES, 37, 36),
        Group::Retail => (&RETAIL_NAMES, &RETAIL_PRICES, 69, 17),
        Group::Online => (&ONLINE_NAMES, &ONLINE_PRICES, 53, 60),
    };
    let measure = match dice {
        _ if dice < weighed => Measure::Kilogram,
        _ if dice < weighed + metered => Measure::Litre,
        _ => Measure::Piece,
    };
    let service = measure == Measure::Piece && group == Group::Counter && dice % 20 < 13;
    let target = prng.quantile(names).max(4) as usize;
    let head = |prng: &mut Prng, from: &[(&'static str, bool)]| {
        // A short name wants a short head; a few tries find one, else the head is cut as registers cut.
        let mut chosen = ("", false);
        for _ in 0..8 {
            chosen = prng.pick(from).copied().unwrap_or(chosen);
            if chosen.0.chars().count() <= target {
                break;
            }
        }
        chosen
    };
    let (word, reduced) = match (measure, group) {
        (Measure::Kilogram, _) => head(prng, &WEIGHED_GOODS),
        (Measure::Litre, Group::Counter) => {
            (["АИ-92", "АИ-95", "Топливо дизельное"].get(at % 3).copied().unwrap_or("АИ-92"), false)
        }
        (Measure::Litre, _) => ("Напиток разливной", false),
        (Measure::Piece, Group::Counter) if service => {
            (SERVICES.get(at % SERVICES.len()).copied().unwrap_or("Услуга"), false)
        }
        (Measure::Piece, Group::Online) => head(prng, &ONLINE_GOODS),
        (Measure::Piece, _) => head(prng, &PIECE_GOODS),
    };
    let advance = service && at % SERVICES.len() < 3 + usize::from(at.is_multiple_of(5)) * 2;
    let tax = match (service, reduced) {
        _ if advance => Tax::Standard,
        (true, _) => match at % 10 {
            0..3 => Tax::Exempt,
            3 | 4 => Tax::Zero,
            _ => Tax::Standard,
        },
        (false, true) => Tax::Reduced,
        (false, false) => match prng.below(100) {
            0..4 => Tax::Exempt,
            _ => Tax::Standard,
        },
    };
    let digits = if service && at % 3 != 1 { [4, 6, 9, 10].get(at % 4).copied().unwrap_or(6) } else { 0 };
    let mut price = u64::from(prng.quantile(prices));
    if let Some(ending) = prng.weighted(&PRICE_ENDINGS, None)
        && price >= 200
    {
        price = price / 100 * 100 + ending;
    }
    let marked = measure == Measure::Piece
        && !service
        && match group {
            Group::Counter => dice % 50 == 7,
            Group::Retail => dice % 7 == 3,
            Group::Online => dice % 120 == 11,
        };
    let thing = !service && measure != Measure::Litre;
    let name = name(word, thing, target.saturating_sub(usize::from(digits)).max(4), prng);
    Good { name: cp866(&name).into(), price, tax, measure, service, advance, marked, digits }
}

/// A name of `target` characters that begins with `word`: brand, traits and package of a
/// thing, terms of a service are added until it is long enough, then it is cut as registers cut.
fn name(word: &str, thing: bool, target: usize, prng: &mut Prng) -> String {
    let mut name = String::from(word);
    let mut turn = prng.below(3);
    while name.chars().count() < target {
        name.push(' ');
        match turn % 3 {
            _ if !thing => name.push_str(prng.pick(&TERMS).copied().unwrap_or_default()),
            0 => name.push_str(prng.pick(&TRAITS).copied().unwrap_or_default()),
            1 => {
                name.push('"');
                name.push_str(&brand(prng));
                name.push('"');
            }
            _ => name.push_str(prng.pick(&PACKS).copied().unwrap_or_default()),
        }
        turn += 1;
    }
    let cut: String = name.chars().take(target).collect();
    cut.trim_end().to_owned()
}

/// An invented brand of two or three syllables.
pub(crate) fn brand(prng: &mut Prng) -> String {
    let syllables = prng.between(2, 3);
    let word: String = (0..syllables).filter_map(|_| prng.pick(&SYLLABLES).copied()).collect();
    let mut letters = word.chars();
    letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::collections::{HashMap, HashSet};

    use super::*;

    /// Names are most of the bytes of a line: their length decides whether sizes are true.
    #[test]
    fn name_lengths_are_near_the_real_means() {
        for (group, mean) in [(Group::Counter, 30), (Group::Retail, 34), (Group::Online, 33)] {
            let goods = goods(group);
            let sum: usize = goods.iter().map(|good| good.name.len() + usize::from(good.digits)).sum();
            let have = sum / goods.len();
            assert!((mean - 3..=mean + 3).contains(&have), "{group:?}: {have} for {mean}");
            assert!(
                goods
                    .iter()
                    .all(|good| !good.name.is_empty() && good.name.len() + usize::from(good.digits) < 128)
            );
            assert!(goods.iter().all(|good| good.price > 0));
        }
    }

    /// A uniform choice would make dictionaries of Parquet look worse than they are on real data.
    #[test]
    fn the_first_hundred_goods_take_their_share_of_lines() {
        let mut prng = Prng::new(3, 3);
        let mut counts: HashMap<*const Good, u32> = HashMap::new();
        for _ in 0..40_000 {
            *counts.entry(std::ptr::from_ref(catalogue().choose(Group::Retail, &mut prng))).or_default() += 1;
        }
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let share = |n: usize| counts.iter().take(n).sum::<u32>() / 40;
        assert!((35..=60).contains(&share(1)), "{}", share(1));
        assert!((200..=260).contains(&share(10)), "{}", share(10));
        assert!((510..=590).contains(&share(100)), "{}", share(100));
    }

    /// The vocabulary must be rich enough that goods do not collapse into a handful.
    #[test]
    fn names_of_the_catalogue_differ() {
        let all = catalogue();
        let names: HashSet<&[u8]> =
            all.counter.iter().chain(&all.retail).chain(&all.online).map(|good| &*good.name).collect();
        assert!(names.len() > 6000, "{}", names.len());
    }
}
