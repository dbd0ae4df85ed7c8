//! Content of one receipt after the distributions of real ones: lines, rates, payments, totals.
//!
//! Three groups are kept apart because real receipts fall into three groups (see [`crate::goods::Group`]). What is decided
//! here is what was bought and paid; how it is written into tags is `wire.rs`. Arithmetic is exact: rules C1 to C6 and C11 hold.

use ofd_codec::{FfdVersion, Quantity};

use crate::goods::{Good, Group, Measure, Tax, catalogue};
use crate::identity::digits;
use crate::money::{YEAR_2025, YEAR_2026, cost, tax_inside};
use crate::prng::Prng;
use crate::profile::Profile;

/// One line of a receipt (предмет расчёта, tag 1059).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Name as a range of [`Sale::names`]; empty for the nameless lines of advances.
    pub(crate) name: (u32, u32),
    pub(crate) price: u64,
    pub(crate) quantity: Quantity,
    pub(crate) sum: u64,
    /// Rate code of tag 1199, 1..=12.
    pub(crate) rate: u8,
    /// Tax in kopecks; 0 for codes 5 and 6.
    pub(crate) tax: u64,
    /// Payment method of tag 1214, 1..=7.
    pub(crate) method: u8,
    /// Payment subject of tag 1212.
    pub(crate) subject: u8,
    /// Unit code of tag 2108.
    pub(crate) unit: u8,
    /// Seed of a marking code, 0 for a line without one.
    pub(crate) mark: u64,
    /// The seller acts as an agent of a supplier drawn from this seed; 0 for own goods.
    pub(crate) supplier: u64,
}

/// Turnover and tax by rate code of tag 1199 (index = code, 0 unused).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) turnover: [u64; 13],
    pub(crate) tax: [u64; 13],
    /// Bit `code` is set when a line bears the code.
    pub(crate) seen: u16,
}

impl Rates {
    fn add(&mut self, line: &Line) {
        let at = usize::from(line.rate);
        if let (Some(turnover), Some(tax)) = (self.turnover.get_mut(at), self.tax.get_mut(at)) {
            *turnover += line.sum;
            *tax += line.tax;
            self.seen |= 1 << at;
        }
    }

    pub(crate) fn has(&self, code: u8) -> bool {
        self.seen >> code & 1 == 1
    }

    pub(crate) fn tax_of(&self, code: u8) -> u64 {
        self.tax.get(usize::from(code)).copied().unwrap_or(0)
    }

    pub(crate) fn turnover_of(&self, code: u8) -> u64 {
        self.turnover.get(usize::from(code)).copied().unwrap_or(0)
    }
}

/// Basis of a correction (tags 1173 and 1174).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correction {
    /// 0 = of one's own accord, 1 = on a prescription.
    pub(crate) kind: u8,
    /// Day of the corrected settlement, at midnight, not after the document (tag 1178).
    pub(crate) date: u32,
    /// Number of the document (tag 1179).
    pub(crate) number: u32,
}

/// One receipt, correction or БСО; buffers are reused from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Sale {
    /// Direction of tag 1054: 1 sale, 2 its return, 3 purchase, 4 its return.
    pub(crate) direction: u8,
    pub(crate) correction: Option<Correction>,
    pub(crate) lines: Vec<Line>,
    /// Names of all lines, one after another, CP866.
    pub(crate) names: Vec<u8>,
    pub(crate) rates: Rates,
    /// Tag 1020.
    pub(crate) total: u64,
    /// Tags 1031, 1081, 1215, 1216, 1217: they sum up to the total (rule C2).
    pub(crate) cash: u64,
    pub(crate) ecash: u64,
    pub(crate) prepaid: u64,
    pub(crate) credit: u64,
    pub(crate) provision: u64,
    /// A buyer who wants the receipt sent to him: seed of a phone or address; 0 for none.
    pub(crate) contact: u64,
    /// An organisation buys: seed of its name and INN; 0 for none.
    pub(crate) buyer: u64,
}

const COUNTER_LINES: [(u32, (u64, u64)); 6] =
    [(819, (1, 1)), (106, (2, 2)), (29, (3, 3)), (29, (4, 5)), (15, (6, 10)), (2, (11, 18))];
const RETAIL_LINES: [(u32, (u64, u64)); 9] = [
    (246, (1, 1)),
    (197, (2, 2)),
    (98, (3, 3)),
    (180, (4, 5)),
    (98, (6, 10)),
    (82, (11, 20)),
    (49, (21, 30)),
    (16, (31, 50)),
    (16, (51, 77)),
];
const ONLINE_LINES: [(u32, (u64, u64)); 7] = [
    (194, (1, 1)),
    (419, (2, 2)),
    (33, (3, 3)),
    (39, (4, 5)),
    (166, (6, 10)),
    (144, (11, 20)),
    (4, (21, 25)),
];

/// How a receipt is paid.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payment {
    Card,
    Cash,
    Mixed,
    Prepaid,
    Credit,
    Provision,
}

impl Sale {
    /// A correction has its own form; everything else is told by the direction.
    pub(crate) fn is_correction(&self) -> bool {
        self.correction.is_some()
    }

    pub(crate) fn name(&self, line: &Line) -> &[u8] {
        let (from, to) = line.name;
        self.names.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Decides on the next receipt of a register at local time `date`.
    pub(crate) fn fill(&mut self, profile: &Profile, date: u32, prng: &mut Prng) {
        self.lines.clear();
        self.names.clear();
        self.rates = Rates::default();
        self.correction = None;
        self.direction = prng.weighted(&[(990, 1), (7, 2), (2, 3), (1, 4)], 1);
        if prng.below(500) == 0 {
            self.fill_correction(profile, date, prng);
            return;
        }
        let spread = match profile.group {
            Group::Counter => prng.weighted(&COUNTER_LINES, (1, 1)),
            Group::Retail => prng.weighted(&RETAIL_LINES, (1, 1)),
            Group::Online => prng.weighted(&ONLINE_LINES, (1, 1)),
        };
        let count = prng.between(spread.0, spread.1);
        // Version 1.1 wants a name in every line, so that its advances are ordinary receipts.
        let advance = profile.group == Group::Online
            && count == 2
            && profile.ffd == FfdVersion::V1_2
            && prng.chance(790);
        let payment = self.payment(profile, advance, prng);
        if advance {
            self.fill_advance(profile, date, prng);
        } else {
            self.fill_lines(profile, date, count, payment, prng);
        }
        self.settle(profile, payment, prng);
        let wants_copy = match profile.group {
            Group::Counter => profile.internet || prng.chance(120),
            Group::Retail => prng.chance(250),
            Group::Online => true,
        };
        self.contact = if wants_copy { prng.next_u64() | 1 } else { 0 };
        self.buyer = if profile.group != Group::Online && prng.chance(8) { prng.next_u64() | 1 } else { 0 };
    }

    fn payment(&self, profile: &Profile, advance: bool, prng: &mut Prng) -> Payment {
        use Payment::{Card, Cash, Credit, Mixed, Prepaid, Provision};
        let chosen = match profile.group {
            // A dialect without payment methods cannot tell a credit, so that it never gives one (rule C11).
            Group::Counter if !profile.dialect.line_method => {
                prng.weighted(&[(550, Card), (445, Cash), (5, Mixed)], Card)
            }
            // One counter of five has no cash drawer; the others take so much cash that the mean of all is the real 35 %.
            Group::Counter => {
                prng.weighted(&[(529, Card), (443, Cash), (5, Mixed), (22, Credit), (1, Provision)], Card)
            }
            Group::Retail => prng.weighted(
                &[(770, Card), (115, Cash), (29, Mixed), (66, Prepaid), (19, Credit), (1, Provision)],
                Card,
            ),
            Group::Online if advance => Card,
            Group::Online => prng.weighted(&[(397, Card), (600, Prepaid), (3, Credit)], Card),
        };
        match chosen {
            // A register for the Internet only has no cash drawer (rule C17).
            Cash | Mixed if profile.internet => Card,
            other => other,
        }
    }

    /// An advance of a marketplace: two lines without names, one a rate, subject "payment", method "advance".
    fn fill_advance(&mut self, profile: &Profile, date: u32, prng: &mut Prng) {
        let standard = rate_of(Tax::Standard, true, profile, date);
        let reduced = rate_of(Tax::Reduced, true, profile, date);
        for rate in [reduced, standard] {
            let price = prng.between(5_000, 320_000) / 100 * 100 + if prng.chance(190) { 99 } else { 0 };
            let quantity = whole(1, profile);
            self.push(Line {
                name: (0, 0),
                price,
                quantity,
                sum: price,
                rate,
                tax: tax_inside(price, rate, date),
                method: 3,
                subject: 10,
                unit: 0,
                mark: 0,
                supplier: 0,
            });
        }
    }

    fn fill_lines(&mut self, profile: &Profile, date: u32, count: u64, payment: Payment, prng: &mut Prng) {
        // In half of the longer receipts some (good, price) pairs come again.
        let repeats = count > 1 && prng.chance(530);
        for _ in 0..count {
            let earlier = if repeats && prng.chance(300) { prng.pick(&self.lines).copied() } else { None };
            let line = match earlier {
                Some(line) => Line { mark: if line.mark == 0 { 0 } else { prng.next_u64() | 1 }, ..line },
                None => self.line(profile, date, payment, prng),
            };
            self.push(line);
        }
    }

    fn line(&mut self, profile: &Profile, date: u32, payment: Payment, prng: &mut Prng) -> Line {
        let good = catalogue().choose(profile.group, prng);
        let from = self.names.len() as u32;
        self.names.extend_from_slice(&good.name);
        if good.digits > 0 {
            let number = digits::<10>(prng.below(10_000_000_000));
            self.names.push(b' ');
            self.names.extend(number.iter().take(usize::from(good.digits) - 1));
        }
        let to = self.names.len() as u32;

        // Services of a counter cost what the buyer puts in: round roubles around the price of the catalogue.
        let price = if good.service && good.digits > 0 {
            (prng.between(good.price / 2, good.price * 3 / 2) / 100).max(1) * 100
        } else {
            good.price
        };
        let quantity = quantity(good, profile, prng);
        let method = match payment {
            Payment::Credit => 6,
            Payment::Prepaid | Payment::Provision => 4,
            _ if good.advance => 3,
            _ if profile.group == Group::Online && prng.chance(60) => 1,
            _ => 4,
        };
        let mark = if good.marked && profile.marked && method == 4 { prng.next_u64() | 1 } else { 0 };
        // One code means one piece.
        let quantity = if mark == 0 { quantity } else { whole(1, profile) };
        let sum = cost(price, quantity);
        let rate = rate_of(good.tax, method <= 3, profile, date);
        // Goods of last year come back at last year's rate.
        let rate = match rate {
            11 if self.direction == 2 && date < YEAR_2026 + 90 * 86_400 => 1,
            rate => rate,
        };
        let subject = match (mark != 0 && profile.ffd == FfdVersion::V1_2, method, good.service) {
            (true, _, _) => 33,
            (_, 1 | 3, false) => 10,
            (_, _, true) => 4,
            (_, _, false) => 1,
        };
        let unit = match good.measure {
            Measure::Piece => 0,
            Measure::Kilogram => 11,
            Measure::Litre => 41,
        };
        let supplier = if profile.agent && mark == 0 && prng.chance(300) { prng.next_u64() | 1 } else { 0 };
        Line {
            name: (from, to),
            price,
            quantity,
            sum,
            rate,
            tax: tax_inside(sum, rate, date),
            method,
            subject,
            unit,
            mark,
            supplier,
        }
    }

    fn push(&mut self, line: Line) {
        self.rates.add(&line);
        self.lines.push(line);
    }

    /// Spreads the total over the payments so that rules C1 and C2 hold.
    fn settle(&mut self, profile: &Profile, payment: Payment, prng: &mut Prng) {
        let sum: u64 = self.lines.iter().map(|line| line.sum).sum();
        // Some shops give the kopecks of a cash receipt to the buyer (rule C1 lets it pass).
        let down = payment == Payment::Cash && profile.group == Group::Retail && prng.chance(150);
        self.total = if down { sum / 100 * 100 } else { sum };
        (self.cash, self.ecash, self.prepaid, self.credit, self.provision) = (0, 0, 0, 0, 0);
        match payment {
            Payment::Card => self.ecash = self.total,
            Payment::Cash => self.cash = self.total,
            Payment::Prepaid => self.prepaid = self.total,
            Payment::Credit => self.credit = self.total,
            Payment::Provision => self.provision = self.total,
            Payment::Mixed => {
                self.cash = prng.between(0, self.total / 100) * 100;
                self.cash = self.cash.min(self.total);
                self.ecash = self.total - self.cash;
            }
        }
    }

    /// A correction of an earlier day: one line, one payment.
    fn fill_correction(&mut self, profile: &Profile, date: u32, prng: &mut Prng) {
        let both = profile.ffd == FfdVersion::V1_05 || profile.ffd == FfdVersion::V1_0;
        self.direction = if prng.chance(900) {
            1
        } else if both {
            3
        } else {
            2
        };
        let back = prng.between(1, 40) as u32 * 86_400;
        self.correction = Some(Correction {
            kind: u8::from(prng.chance(150)),
            date: date.saturating_sub(back) / 86_400 * 86_400,
            number: prng.between(1, 999) as u32,
        });
        let payment = if profile.internet || prng.chance(600) { Payment::Card } else { Payment::Cash };
        let mut line = self.line(profile, date, payment, prng);
        (line.mark, line.supplier) = (0, 0);
        line.subject = if line.subject == 33 { 1 } else { line.subject };
        // Corrections of 1.05 have no place for the rates since 2025 (1115): such a register corrects what has another one.
        if both && line.rate > 6 {
            line.rate = if matches!(profile.tax_system, 1 | 16) { 2 } else { 6 };
            line.tax = tax_inside(line.sum, line.rate, date);
        }
        self.push(line);
        self.settle(profile, payment, prng);
        self.contact = if profile.internet { prng.next_u64() | 1 } else { 0 };
        self.buyer = 0;
    }
}

/// A whole quantity in the spelling of the register's firmware.
fn whole(count: u64, profile: &Profile) -> Quantity {
    decimal(count, 0, profile)
}

/// `mantissa × 10^-scale`, padded to the digits that the firmware always writes.
fn decimal(mantissa: u64, scale: u8, profile: &Profile) -> Quantity {
    let digits = profile.dialect.quantity_scale.max(scale);
    let mantissa = (scale..digits).fold(mantissa, |mantissa, _| mantissa * 10);
    Quantity { mantissa, scale: digits }
}

fn quantity(good: &Good, profile: &Profile, prng: &mut Prng) -> Quantity {
    match good.measure {
        Measure::Kilogram => decimal(prng.between(86, 2400), 3, profile),
        Measure::Litre => decimal(prng.between(100, 5000), 2, profile),
        Measure::Piece => {
            // Tens of pieces are bought of what is cheap: the second share holds for goods below 50 roubles.
            let (few, many) = match profile.group {
                Group::Counter => (75, 80),
                Group::Retail => (114, 30),
                Group::Online => (110, 280),
            };
            let many = if good.price < 5_000 { many } else { 0 };
            let count = match prng.below(1000) {
                at if at < few => prng.between(2, 9),
                at if at < few + many => prng.between(10, 60),
                _ => 1,
            };
            whole(count, profile)
        }
    }
}

/// Rate code of tag 1199 for a good under the register's tax system at a date.
///
/// Advances take the calculated forms. Since 2026 code 11 stands for 1 and 12 for 3 (order ЕД-7-20/1050@).
fn rate_of(tax: Tax, advance: bool, profile: &Profile, date: u32) -> u8 {
    match profile.tax_system {
        2 | 4 => match profile.simplified_rate.filter(|_| date >= YEAR_2025) {
            Some(rate) if advance => rate + 2,
            Some(rate) => rate,
            None => 6,
        },
        1 | 16 => match (tax, advance) {
            (Tax::Exempt, _) => 6,
            (Tax::Zero, _) => 5,
            (Tax::Reduced, false) => 2,
            (Tax::Reduced, true) => 4,
            (Tax::Standard, false) => {
                if date < YEAR_2026 {
                    1
                } else {
                    11
                }
            }
            (Tax::Standard, true) => {
                if date < YEAR_2026 {
                    3
                } else {
                    12
                }
            }
        },
        _ => 6,
    }
}
