//! Every rule across documents has a life that fires it, and a neighbour of that life that does not.

use ofd_engine::codec::rules::life::{LifeRuleId, life_rules};
use ofd_engine::codec::{Form, tags};

use crate::life::{Came, DAY, FROM, HOUR, Life, ZONE, nest, text, vln};

const BUSINESS: u32 = 7 * DAY;

/// A life whose last document is broken, and the same with that document as it should be.
fn last(
    base: impl Fn(&mut Life),
    broken: impl Fn(&mut Life),
    clean: impl Fn(&mut Life),
) -> Option<(Life, Life)> {
    let life = |last: &dyn Fn(&mut Life)| {
        let mut life = Life::new();
        base(&mut life);
        last(&mut life);
        life
    };
    Some((life(&broken), life(&clean)))
}

/// A receipt that is changed beside one that is not, in a shift of a register that is registered with `terms`.
fn receipt(
    terms: impl Fn(&mut Life),
    broken: impl Fn(&mut Life),
    clean: impl Fn(&mut Life),
) -> Option<(Life, Life)> {
    let base = |life: &mut Life| {
        terms(life);
        life.open();
    };
    last(base, broken, clean)
}

fn plain(_: &mut Life) {}

/// The registration is another one: 1290.
fn usage(bits: u32) -> impl Fn(&mut Life) {
    move |life| _ = life.last().set(tags::USAGE_CONDITIONS, bits.to_le_bytes())
}

/// A sale of one item of this kind (1212).
fn subject(code: u8) -> impl Fn(&mut Life) {
    move |life| _ = life.sell(100).item(&[(tags::PAYMENT_SUBJECT, vec![code])])
}

/// Shifts on so many days, so many seconds apart.
fn days(life: &mut Life, days: u32, receipts: u64) {
    for _ in 0..days {
        life.day(receipts);
        life.pass(DAY - 60 * (receipts as u32 + 2));
    }
}

/// A closing report with a flag of the drive.
fn flag(tag: ofd_engine::codec::Tag) -> Option<(Life, Life)> {
    last(|life| _ = life.open(), |life| _ = life.close().set(tag, [1]), |life| _ = life.close())
}

/// A shift with some receipts, the clock of the register so many seconds ahead.
fn clock(ahead: i64, receipts: u64) -> Life {
    let mut life = Life::new();
    life.day(receipts);
    for came in &mut life.came {
        let Came::Doc(doc) = came else { continue };
        doc.at = (i64::from(doc.at) + ahead) as u32;
    }
    life
}

/// A report whose backlog began so many days before.
fn backlog(days: u32) -> impl Fn(&mut Life) {
    move |life| {
        let since = life.at - days * DAY;
        life.close()
            .set(tags::UNSENT_DOCUMENTS, 5_u32.to_le_bytes())
            .set(tags::UNSENT_SINCE, since.to_le_bytes());
    }
}

/// Thirty days of two sales each, then so many documents made by `more`.
fn share(more: impl Fn(&mut Life), times: u32) -> Life {
    let mut life = Life::new();
    days(&mut life, 10, 2);
    life.open();
    (0..times).for_each(|_| more(&mut life));
    life
}

#[expect(clippy::too_many_lines, reason = "a table, a row a rule")]
pub(crate) fn pair(key: &str) -> Option<(Life, Life)> {
    let bad_inn = text("7728029110  ");
    match key {
        "D1" => {
            let life = |evidence: bool| {
                let mut life = Life::bare();
                life.skip(40);
                if evidence {
                    life.register_again(2)
                } else {
                    life.open()
                };
                life
            };
            Some((life(false), life(true)))
        }
        "D2" => last(
            |life| life.day(1),
            |life| {
                life.skip(1);
                life.open();
            },
            |life| _ = life.open(),
        ),
        "D3" => {
            let back = |seconds: u32| {
                move |life: &mut Life| {
                    let at = life.at;
                    life.open().at(at + 1 - seconds);
                }
            };
            last(|life| life.day(1), back(2), back(0))
        }
        "D4.1" => last(
            |life| {
                life.open();
                life.sell(100);
            },
            |life| _ = life.open(),
            |life| {
                life.close();
                life.open();
            },
        ),
        "D4.2" => last(
            |life| life.day(1),
            |life| _ = life.sell(100),
            |life| {
                life.open();
                life.sell(100);
            },
        ),
        "D4.3" => last(
            |life| _ = life.open(),
            |life| _ = life.register_again(1 << 31),
            |life| {
                life.close();
                life.register_again(1 << 31);
            },
        ),
        "D5" => last(
            |life| life.day(1),
            |life| {
                life.shift += 1;
                life.open();
            },
            |life| _ = life.open(),
        ),
        "D6" => {
            let numbered = |number: u32| {
                move |life: &mut Life| _ = life.sell(100).set(tags::NUMBER_IN_SHIFT, number.to_le_bytes())
            };
            receipt(plain, numbered(2), numbered(1))
        }
        "D7.1" => {
            let stated = |receipts: u32| {
                move |life: &mut Life| _ = life.close().set(tags::SHIFT_RECEIPTS, receipts.to_le_bytes())
            };
            receipt(|_| (), stated(1), stated(0))
        }
        "D7.2" => last(
            |life| {
                life.day(3);
                life.open();
                life.sell(500);
            },
            |life| {
                life.close();
                life.counters_less(1);
            },
            |life| _ = life.close(),
        ),
        "D7.3" => last(
            |life| {
                life.day(3);
                life.open();
            },
            |life| {
                life.close();
                life.counters_less(1);
            },
            |life| _ = life.close(),
        ),
        "D8.1" => {
            let later = |seconds: u32| {
                move |life: &mut Life| {
                    life.pass(seconds);
                    life.sell(100);
                }
            };
            last(|life| _ = life.open(), later(DAY), later(DAY - 60))
        }
        "D8.2" => last(|life| _ = life.open(), |life| life.tick(DAY + 1), |life| life.tick(DAY)),
        "D9.1" => last(
            plain,
            |life| {
                life.put(Form::CLOSE_ARCHIVE);
                life.open();
            },
            |life| {
                life.open();
                life.close();
                life.put(Form::CLOSE_ARCHIVE);
            },
        ),
        "D9.2" => {
            let late = |seconds: u32| {
                move |life: &mut Life| {
                    life.open();
                    let (at, shift) = (life.at, life.shift);
                    life.replace_drive(2);
                    life.register();
                    life.back_to(1, 2, shift);
                    life.sell(100).at(at + seconds);
                }
            };
            last(plain, late(200), late(30))
        }
        "D9.3" => {
            let both = |opened_later: u32| {
                move |life: &mut Life| {
                    life.day(1);
                    let (at, shift) = (life.at, life.shift);
                    life.replace_drive(2);
                    life.register();
                    life.back_to(1, 4, shift);
                    life.open().at(at + opened_later);
                    life.sell(100).at(at + 500);
                }
            };
            last(plain, both(400), both(30))
        }
        "D10.1" => last(|life| _ = life.open(), backlog(0), |life| _ = life.close()),
        "D10.2" => {
            let report = |waited: u32| {
                move |life: &mut Life| {
                    life.pass(waited);
                    life.close().set(tags::UNSENT_DOCUMENTS, 1_u32.to_le_bytes());
                }
            };
            last(
                |life| {
                    life.open();
                    (0..3).for_each(|_| _ = life.sell(100));
                },
                report(HOUR),
                report(60),
            )
        }
        "D11.1" => receipt(
            plain,
            |life| _ = life.sell(100).set(tags::KKT_REG_ID, text("0000000001000002    ")),
            |life| _ = life.sell(100),
        ),
        "D11.2" => receipt(
            plain,
            |life| _ = life.sell(100).set(tags::USER_INN, bad_inn.clone()),
            |life| _ = life.sell(100).set(tags::USER_INN, text("7707083893")),
        ),
        "D11.3" => receipt(
            plain,
            |life| _ = life.sell(100).set(tags::USER_NAME, text("OOO LUTIK")),
            |life| _ = life.sell(100).without(tags::USER_NAME),
        ),
        "D11.4" => receipt(
            plain,
            |life| _ = life.sell(100).set(tags::RETAIL_PLACE_ADDRESS, text("MOSKVA 2")),
            |life| _ = life.sell(100),
        ),
        "D11.5" => receipt(
            plain,
            |life| _ = life.sell(100).set(tags::RETAIL_PLACE, text("KASSA 2")),
            |life| _ = life.sell(100),
        ),
        "D11.6" => {
            let machine = |number: &'static str| {
                move |life: &mut Life| _ = life.sell(100).set(tags::MACHINE_NUMBER, text(number))
            };
            let terms = |life: &mut Life| {
                _ = life.last().set(tags::AUTO_MODE, [1]).set(tags::MACHINE_NUMBER, text("A1"))
            };
            receipt(terms, machine("A2"), machine("A1"))
        }
        "D11.7" => {
            let system =
                |bit: u8| move |life: &mut Life| _ = life.sell(100).set(tags::APPLIED_TAXATION_TYPE, [bit]);
            receipt(plain, system(4), system(2))
        }
        "D11.8" => {
            receipt(plain, |life| _ = life.sell(100).set(tags::FFD_VERSION, [2]), |life| _ = life.sell(100))
        }
        "D11.9" => {
            let machine = |life: &mut Life| _ = life.sell(100).set(tags::MACHINE_NUMBER, text("A1"));
            let one = |automat: u8| {
                Life::new().changed(|life| {
                    life.last().set(tags::AUTO_MODE, [automat]);
                    life.open();
                    machine(life);
                })
            };
            Some((one(0), one(1)))
        }
        "D11.10" => {
            let only = |bits: u32| {
                Life::new().changed(|life| {
                    usage(bits)(life);
                    life.open();
                    life.sell(100).set(tags::INTERNET_SIGN, [1]);
                })
            };
            Some((only(0), only(1 << 5)))
        }
        "D11.11" => {
            let internet = |place: &'static str| {
                Life::new().changed(|life| {
                    life.last().set(tags::RETAIL_PLACE, text(place));
                    life.open().set(tags::RETAIL_PLACE, text(place));
                    life.sell(100).set(tags::RETAIL_PLACE, text(place)).set(tags::INTERNET_PAYMENT, [1]);
                })
            };
            Some((internet("KASSA 1"), internet("shop.example.ru")))
        }
        "D11.12" => {
            let agent = |flags: u8| {
                Life::new().changed(|life| {
                    life.last().set(tags::FFD_VERSION, [3]).set(tags::AGENT_FLAGS, [64]);
                    life.open().set(tags::FFD_VERSION, [3]);
                    life.sell(100).set(tags::FFD_VERSION, [3]).item(&[(tags::ITEM_AGENT_FLAGS, vec![flags])]);
                })
            };
            Some((agent(32), agent(64)))
        }
        "D11.13" => receipt(plain, subject(2), subject(1)),
        "D11.14" => receipt(usage(1 << 11), subject(5), subject(7)),
        "D11.15" => receipt(usage(1 << 10), subject(7), subject(5)),
        "D11.16" => {
            let marked = |life: &mut Life| {
                _ = life.sell(100).item(&[(tags::PRODUCT_CODE_STLV, nest(&[(tags::CODE_SHORT, text("X"))]))])
            };
            let one = |bits| {
                Life::new().changed(|life| {
                    usage(bits)(life);
                    life.open();
                    marked(life);
                })
            };
            Some((one(0), one(1 << 8)))
        }
        "D11.17" => receipt(
            usage(1 << 5),
            |life| _ = life.sell(100),
            |life| _ = life.sell(100).set(tags::CASH_SUM, vln(0)).set(tags::ECASH_SUM, vln(100)),
        ),
        "D11.18" => {
            let number = |number: &'static str| {
                move |life: &mut Life| _ = life.register_again(1 << 31).set(tags::KKT_NUMBER, text(number))
            };
            last(plain, number("00002"), number("00001"))
        }
        "D11.19" => {
            let named = |reasons: u32| {
                move |life: &mut Life| {
                    _ = life.register_again(reasons).set(tags::USER_NAME, text("OOO LUTIK"))
                }
            };
            last(plain, named(1 << 3), named(1 << 2))
        }
        "D11.20" => {
            let name = |name: &'static str| {
                move |life: &mut Life| _ = life.register_again(1 << 2).set(tags::USER_NAME, text(name))
            };
            last(plain, name("OOO ROMASHKA"), name("OOO LUTIK"))
        }
        "E1" => Some((clock(303, 5), clock(302, 5))),
        "E2.1" => {
            let ahead = |seconds: u32| {
                move |life: &mut Life| {
                    let doc = life.open();
                    doc.at = doc.came + seconds;
                }
            };
            last(plain, ahead(DAY + 1), ahead(DAY))
        }
        "E2.2" => {
            let on = |at: u32| move |life: &mut Life| life.open().at = at;
            last(plain, on(1_472_687_999), on(1_472_688_000))
        }
        "E3" => {
            let late = |days: u32| {
                move |life: &mut Life| {
                    let doc = life.open();
                    doc.at = doc.came - days * DAY - 1;
                }
            };
            last(plain, late(366), late(365))
        }
        "F1.1" => {
            let days = |days: u64| move |life: &mut Life| _ = life.close().set(tags::KEY_RESOURCE, vln(days));
            last(|life| _ = life.open(), days(30), days(31))
        }
        "F1.2" => {
            let later = |days: u32| {
                move |life: &mut Life| {
                    life.open();
                    life.close().set(tags::KEY_RESOURCE, vln(31));
                    life.open();
                    let at = life.at;
                    life.sell(100).at(at + days * DAY);
                }
            };
            last(plain, later(33), later(31))
        }
        "F1.3" => {
            let later = |days: u32| {
                move |life: &mut Life| {
                    life.pass(days * DAY);
                    life.open();
                }
            };
            last(plain, later(1_111), later(1_110))
        }
        "F2.1" => flag(tags::DRIVE_RUNNING_OUT),
        "F2.2" => flag(tags::DRIVE_REPLACE_NOW),
        "F2.3" => flag(tags::DRIVE_MEMORY_FULL),
        "F2.4" => flag(tags::OPERATOR_SILENT),
        "F3" => {
            let numbered = |number: u32| {
                Life::bare().changed(|life| {
                    life.skip(number - 1);
                    life.open();
                })
            };
            Some((numbered(220_001), numbered(220_000)))
        }
        "F4" => last(|life| _ = life.open(), backlog(21), backlog(19)),
        "F6.1" => last(plain, |life| _ = life.register(), |life| _ = life.register_again(1 << 31)),
        "F6.2" => {
            let mut life = Life::bare();
            life.open();
            Some((life, Life::new().changed(|life| _ = life.open())))
        }
        "G7.1" => {
            let reports = |first: u64| {
                move |life: &mut Life| {
                    life.open();
                    life.close().set(tags::UNSENT_NOTIFICATIONS, vln(first));
                    life.open();
                    life.close().set(tags::UNSENT_NOTIFICATIONS, vln(3));
                }
            };
            last(plain, reports(3), reports(0))
        }
        "G7.2" => {
            let reports = |second: u64| {
                move |life: &mut Life| {
                    life.open();
                    life.close().set(tags::UNSENT_NOTIFICATIONS, vln(3));
                    life.open();
                    life.close().set(tags::UNSENT_NOTIFICATIONS, vln(second));
                }
            };
            last(plain, reports(4), reports(3))
        }
        "G7.3" => flag(tags::BAD_CODES),
        "I1.1" => last(plain, |life| life.tick(DAY + 1), |life| life.tick(DAY)),
        "I1.2" => last(plain, |life| life.tick(3 * DAY + 1), |life| life.tick(3 * DAY)),
        "R1" => last(plain, |life| life.tick(60 * DAY + 1), |life| life.tick(60 * DAY)),
        "I3" => last(
            |life| _ = life.open(),
            |life| _ = life.close(),
            |life| {
                life.sell(100);
                life.close();
            },
        ),
        "I6" => {
            let again = |variant: u8| {
                move |life: &mut Life| {
                    life.day(1);
                    let copy = life.came.last().cloned();
                    life.came.extend(copy.filter(|_| variant > 0));
                    life.last().variant = variant;
                }
            };
            last(plain, again(1), again(0))
        }
        "C9.2" => {
            let terms = |life: &mut Life| _ = life.last().set(tags::TAXATION_TYPES, [2]);
            receipt(terms, |life| _ = life.taxed(11), |life| _ = life.taxed(7))
        }
        "C9.3" => {
            let rate =
                |rate: u8| move |life: &mut Life| _ = life.taxed(rate).set(tags::APPLIED_TAXATION_TYPE, [32]);
            receipt(|life| _ = life.last().set(tags::TAXATION_TYPES, [1 | 32]), rate(11), rate(6))
        }
        "C10.1" => {
            let systems = |systems: u8| {
                Life::new().changed(|life| _ = life.last().set(tags::TAXATION_TYPES, [systems]))
            };
            Some((systems(8), systems(4)))
        }
        "C13.1" => {
            let date = |at: u32| {
                move |life: &mut Life| {
                    let date = nest(&[(tags::CORRECTION_DATE, at.to_le_bytes().to_vec())]);
                    life.correction().set(tags::CORRECTION_BASE, date);
                }
            };
            receipt(plain, date(FROM - 2 * DAY), date(FROM))
        }
        "I16" => {
            let back = |returned: u64| {
                move |life: &mut Life| {
                    life.sell(100);
                    life.receipt(2, returned);
                    life.close();
                }
            };
            last(|life| _ = life.open(), back(101), back(100))
        }
        "S1" => {
            let run = |round: u64| {
                move |life: &mut Life| {
                    (0..20).for_each(|it| _ = life.sell(if it == 7 { round } else { 50_000 }))
                }
            };
            receipt(plain, run(10_000), run(10_001))
        }
        "S2" | "S3" => {
            let paid = |cash: u64, card: u64| {
                move |life: &mut Life| {
                    for at in 0..50 {
                        let (cash, card) = if at == 9 {
                            (cash, card)
                        } else if key == "S2" {
                            (1_001, 0)
                        } else {
                            (0, 1_001)
                        };
                        life.sell(1_001).set(tags::CASH_SUM, vln(cash)).set(tags::ECASH_SUM, vln(card));
                    }
                    life.close();
                }
            };
            let (broken, clean) =
                if key == "S2" { ((1_001, 0), (0, 1_001)) } else { ((0, 1_001), (1_001, 0)) };
            last(|life| _ = life.open(), paid(broken.0, broken.1), paid(clean.0, clean.1))
        }
        "S4" => {
            let night = |hour: u32| {
                move |life: &mut Life| {
                    // From ten in the morning on, on each of forty days.
                    days(life, 40, 1);
                    let midnight = life.at.div_ceil(DAY) * DAY;
                    life.open().at(midnight + hour * HOUR);
                    life.sell(100).at(midnight + hour * HOUR + 1);
                }
            };
            last(plain, night(3), night(6))
        }
        "R2" => {
            let refund = |life: &mut Life| _ = life.receipt(2, 50);
            Some((share(refund, 6), share(refund, 5)))
        }
        "R3" => {
            let correction = |life: &mut Life| _ = life.correction();
            Some((share(correction, 9), share(correction, 8)))
        }
        _ => None,
    }
}

// A rule that nothing fires tells nobody anything, and one that its neighbour fires as well tells lies.
#[test]
fn every_rule_has_a_life_that_fires_it_and_a_neighbour_that_does_not() {
    let mut lacking = Vec::new();
    for rule in life_rules() {
        let Some((broken, clean)) = pair(rule.key) else {
            lacking.push(rule.key);
            continue;
        };
        let (found, beside) = (broken.keys(false), clean.keys(false));
        assert!(found.contains(&rule.key), "{} is not found: {found:?}", rule.key);
        assert!(!beside.contains(&rule.key), "{} is found beside: {beside:?}", rule.key);
        // What is found is what the catalogue says of it, and nothing is found that only the broken document could mean twice.
        let told = broken.found();
        let mine: Vec<_> =
            told.iter().filter_map(crate::life::finding).filter(|it| it.rule == rule.id).collect();
        assert!(
            mine.iter().all(|it| it.rnm.is_some() && it.count > 0 && it.first_seen_us <= it.last_seen_us),
            "{}",
            rule.key
        );
        assert!(
            !rule.lasting || mine.iter().filter(|it| it.ended_us.is_none()).count() <= 2,
            "{}: {mine:?}",
            rule.key
        );
    }
    assert!(lacking.is_empty(), "without a life: {lacking:?}");
}

// A register that works as it should hears nothing: a month of it.
#[test]
fn a_register_without_flaws_has_no_findings() {
    let mut life = Life::new();
    days(&mut life, 45, 30);
    life.day(1);
    life.tick(HOUR);
    assert_eq!(life.keys(false), Vec::<&str>::new());
    assert_eq!(life.keys(true), Vec::<&str>::new());
}

// A state is told once, with how often, and its end: nobody wants a message for each receipt.
#[test]
fn a_state_is_told_when_it_begins_and_when_it_has_ended() {
    let mut life = Life::new();
    life.open();
    for _ in 0..5 {
        life.sell(100).set(tags::RETAIL_PLACE, text("KASSA 2"));
    }
    life.sell(100);
    let told = life.found();
    let told: Vec<_> = told.iter().filter_map(crate::life::finding).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let (begun, ended) = (told[0], told[1]);
    assert_eq!((begun.rule, begun.count, begun.ended_us), (LifeRuleId::D11_5, 1, None));
    assert_eq!(begun.actual.as_deref(), Some("KASSA 2"));
    assert_eq!((ended.rule, ended.count, ended.first_seen_us), (LifeRuleId::D11_5, 5, begun.first_seen_us));
    let last = i64::from(life.at - ZONE + 2) * 1_000_000;
    assert_eq!((ended.last_seen_us, ended.ended_us), (last - 60_000_000, Some(last)));
}

// Silence has an end, whichever document brings it; and a drive that is closed is silent for good.
#[test]
fn silence_is_told_by_steps_and_ends_with_the_next_document() {
    let mut life = Life::new();
    life.tick(2 * DAY);
    life.tick(2 * DAY + 5);
    life.tick(61 * DAY);
    life.pass(61 * DAY);
    life.open();
    assert_eq!(life.keys(false), ["I1.1", "I1.2", "R1"]);
    assert_eq!(life.keys(true), ["I1.1", "I1.2", "R1"]);
    let mut closed = Life::new();
    closed.put(Form::CLOSE_ARCHIVE);
    closed.tick(BUSINESS * 20);
    assert_eq!(closed.keys(false), Vec::<&str>::new());
    let mut left = Life::new();
    left.register_again(1 << 5).set(tags::OFFLINE_MODE, [1]);
    left.tick(BUSINESS * 20);
    assert_eq!(left.keys(false), Vec::<&str>::new(), "autonomous");
}

// Numbers that come late fill the gap that was told, and the owner hears that as well.
#[test]
fn a_gap_is_told_again_when_it_grows_and_ends_when_it_is_filled() {
    let mut life = Life::new();
    life.day(1);
    let mut late = Vec::new();
    for _ in 0..2 {
        life.open();
        late.push(life.came.pop().unwrap());
        life.close();
    }
    life.came.extend(late);
    let told = life.found();
    let gaps: Vec<_> =
        told.iter().filter_map(crate::life::finding).filter(|it| it.rule == LifeRuleId::D2).collect();
    let said: Vec<_> =
        gaps.iter().map(|it| (it.actual.as_deref(), it.count, it.ended_us.is_some())).collect();
    assert_eq!(said, [(Some("5"), 1, false), (Some("5, 7"), 2, false), (None, 2, true)]);
}
