//! Live figures beside a plain sum over everything that was ever sold.

use std::collections::BTreeMap;

use ofd_engine::codec::{DocumentView, DriveNumber, Form, LocalSeconds, TlvWriter, tags};
use ofd_engine::registers::{Grain, Past, Registers, SHIFTS_KEPT, Seen, Totals, Whose};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Lsn, Position};

use crate::life::Rng;

struct Nothing;

impl Past for Nothing {
    fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

/// A receipt as plain values.
struct Sold {
    inn: Option<String>,
    test: bool,
    /// Local time it was made, by a clock that may be anything.
    at: u32,
    came: u32,
    direction: u8,
    correction: bool,
    variant: u8,
    /// Cash, card, tax of 22 % (listed) and of 10 %.
    sums: [u64; 4],
}

impl Sold {
    fn plain(&self) -> Vec<u8> {
        let form = if self.correction { Form::RECEIPT_CORRECTION } else { Form::RECEIPT };
        let [cash, card, vat22, vat10] = self.sums;
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(form, |w| {
                if let Some(inn) = &self.inn {
                    w.text(tags::USER_INN, &format!("{inn:12}"))?;
                }
                w.unixtime(tags::DATE_TIME, LocalSeconds(self.at));
                w.u8(tags::OPERATION_TYPE, self.direction);
                w.vln(tags::TOTAL_SUM, cash + card);
                w.vln(tags::CASH_SUM, cash);
                w.vln(tags::ECASH_SUM, card);
                w.vln(tags::VAT_10, vat10);
                w.nested(tags::RECEIPT_VAT_SUMS, |list| {
                    list.nested(tags::RECEIPT_VAT, |entry| {
                        entry.u8(tags::VAT_RATE, 11);
                        entry.vln(tags::VAT_SUM, vat22);
                        Ok(())
                    })
                })
            })
            .unwrap();
        bytes
    }

    /// When it counts: by its own clock, unless that is wild.
    fn counts_at(&self) -> u32 {
        let day = self.at / 86_400;
        if day >= 17_045 && day <= self.came / 86_400 + 2 { self.at } else { self.came }
    }
}

/// By direction and correction: how many, total, cash, card, tax of 22 % and of 10 %.
type Sums = BTreeMap<(u8, bool), [i64; 6]>;

/// A plain sum of what a row of figures has to tell.
fn naive<'s>(
    sold: impl Iterator<Item = &'s Sold>,
    grain: Grain,
    from: u32,
    times: &core::ops::Range<u32>,
) -> BTreeMap<u32, Sums> {
    let mut rows: BTreeMap<u32, Sums> = BTreeMap::new();
    for it in sold.filter(|it| it.variant == 0) {
        let begin = it.counts_at() / grain.seconds() * grain.seconds();
        if begin >= from && times.contains(&begin) {
            let sums = rows.entry(begin).or_default().entry((it.direction, it.correction)).or_default();
            let [cash, card, vat22, vat10] = it.sums.map(|sum| sum as i64);
            for (slot, more) in sums.iter_mut().zip([1, cash + card, cash, card, vat22, vat10]) {
                *slot += more;
            }
        }
    }
    rows
}

fn told(totals: &Totals) -> Sums {
    let mut sums = Sums::new();
    for direction in 0..4 {
        for (correction, of) in [(false, totals.receipts(direction)), (true, totals.corrections(direction))] {
            if of.receipts > 0 {
                let all =
                    [i64::from(of.receipts), of.total, of.payments[0], of.payments[1], of.vat[10], of.vat[1]];
                sums.insert((direction as u8 + 1, correction), all);
            }
        }
    }
    sums
}

/// What came over a while, in the order it came: registers in four zones, some cut off for days or months, some with wild
/// clocks; refunds, payouts and corrections among it.
fn sales(rng: &mut Rng) -> Vec<Sold> {
    let inns: Vec<String> = (0..1 + rng.below(5)).map(|it| format!("77{:08}", it * 11 + 3)).collect();
    let pace = [20, 900, 30_000, 400_000][rng.below(4) as usize];
    let mut came = 1_772_409_600;
    let sale = |_| {
        came += rng.below(pace) as u32;
        let zone = [2, 3, 7, 12][rng.below(4) as usize] * 3_600;
        let late = match rng.below(40) {
            0 => rng.below(40 * 86_400),
            1 => rng.below(450 * 86_400),
            2 | 3 => rng.below(7_200),
            _ => rng.below(90),
        };
        let at = match rng.below(60) {
            0 => rng.next() as u32,
            1 => came + rng.below(3 * 86_400) as u32,
            _ => came + zone - late as u32,
        };
        Sold {
            inn: (!rng.one_in(30)).then(|| inns[rng.below(inns.len() as u64) as usize].clone()),
            test: rng.one_in(10),
            at,
            came,
            direction: 1 + [0, 0, 0, 1, 1, 2, 3][rng.below(7) as usize],
            correction: rng.one_in(9),
            variant: u8::from(rng.one_in(25)),
            sums: [0; 4].map(|_| {
                let digits = rng.below(38);
                if rng.one_in(3) { 0 } else { rng.below(1 << digits) }
            }),
        }
    };
    (0..300).map(sale).collect()
}

// Owners compare these with their bank: to the kopeck, whatever came late, whichever zone, wherever the fold was broken off.
#[test]
fn live_figures_are_a_plain_sum_over_everything_sold() {
    let (mut rows, mut gone) = (0, 0);
    for seed in 1..=120 {
        let mut rng = Rng(seed);
        let sold = sales(&mut rng);
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        for (at, it) in sold.iter().enumerate() {
            let plain = it.plain();
            let view = DocumentView::new_checked(&plain).unwrap();
            let seen = Seen {
                position: Position::new(Lsn::new(at as u64 + 1)),
                received_at_us: i64::from(it.came) * 1_000_000 + 7,
                realm: if it.test { Realm::Test } else { Realm::Prod },
                drive: DriveNumber::parse(&format!("77{:014}", at / 50 * 2 + usize::from(it.test))).unwrap(),
                number: at as u32 + 1,
                variant: it.variant,
                imported: rng.one_in(5),
                view,
                header: view.header(),
            };
            registers.take(&seen, &Nothing, &mut Vec::new()).unwrap();
            if rng.one_in(100) {
                let mut again = Registers::new(None, SHIFTS_KEPT);
                registers.save(&mut |piece| again.restore(piece).ok_or(())).unwrap();
                again.restored(registers.position());
                assert!(again == registers, "seed {seed}");
                registers = again;
            }
            if at % 60 != 59 {
                continue;
            }
            let inns: Vec<_> = sold[..=at].iter().map(|it| it.inn.clone()).collect();
            let whose = |inn: &Option<String>| inn.clone();
            for grain in [Grain::Minute, Grain::Hour, Grain::Day] {
                let now = it.came;
                let midnight = now / 86_400 * 86_400;
                let from = match grain {
                    Grain::Minute => now / 3_600 * 3_600,
                    Grain::Hour => midnight - 35 * 86_400,
                    Grain::Day => midnight - 400 * 86_400,
                };
                let begin = rng.below(u64::from(now) * 2) as u32;
                for times in [0..u32::MAX, from..now, begin..begin.saturating_add(5_000_000)] {
                    let asked = LocalSeconds(times.start)..LocalSeconds(times.end);
                    for test in [false, true] {
                        let realm = if test { Realm::Test } else { Realm::Prod };
                        let mine = || sold[..=at].iter().filter(move |it| it.test == test);
                        for inn in inns.iter().take(9).map(whose).chain([None]) {
                            let figures = match &inn {
                                Some(inn) => {
                                    registers.figures(realm, Whose::Organisation(inn), grain, &asked)
                                }
                                None => registers.figures(realm, Whose::Everybody, grain, &asked),
                            };
                            let these = mine().filter(|it| inn.is_none() || it.inn == inn);
                            let wanted = naive(these, grain, from, &times);
                            let Some(figures) = figures else {
                                assert!(mine().all(|it| it.inn != inn || it.variant > 0), "seed {seed}");
                                continue;
                            };
                            assert_eq!(figures.since(), LocalSeconds(from), "seed {seed}");
                            let found: BTreeMap<u32, Sums> =
                                figures.rows().map(|(begin, totals)| (begin.0, told(totals))).collect();
                            assert_eq!(found, wanted, "seed {seed}, {grain:?} of {inn:?} in {times:?}");
                            rows += found.len();
                            let revenue = |sums: &Sums| -> i64 {
                                sums.iter()
                                    .map(|(kind, it)| [0, it[1], -it[1], 0, 0][usize::from(kind.0)])
                                    .sum()
                            };
                            assert_eq!(figures.revenue(), wanted.values().map(revenue).sum::<i64>());
                        }
                        gone += mine().filter(|it| it.variant == 0 && it.counts_at() < from).count();
                    }
                }
            }
        }
    }
    println!("{rows} rows agree; {gone} receipts were older than what is told");
    assert!(rows > 10_000 && gone > 1_000);
}
