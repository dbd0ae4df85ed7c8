//! Random lives of one register that does much of what it should not, and in what order it reached us.

use crate::dice::Rng;
use ofd_engine::codec::{Form, tags};

use crate::life::{Came, DAY, HOUR, Life, nest, text, vln};

fn one_of<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.below(list.len() as u64) as usize]
}

/// What a registration says, changed at random.
fn terms(rng: &mut Rng, life: &mut Life) {
    let doc = life.last();
    doc.set(tags::FFD_VERSION, [one_of(rng, &[2, 3, 4, 4])]);
    doc.set(tags::TAXATION_TYPES, [one_of(rng, &[1, 2, 3, 2 | 32, 8])]);
    doc.set(
        tags::USAGE_CONDITIONS,
        (one_of(rng, &[0_u32, 1 << 5, 1 << 6 | 1 << 8, 1 << 10, 1 << 11, 1 << 12])).to_le_bytes(),
    );
    doc.set(tags::AGENT_FLAGS, [one_of(rng, &[0, 64])]);
    if rng.one_in(4) {
        doc.set(tags::AUTO_MODE, [1]).set(tags::MACHINE_NUMBER, text("A1"));
    }
    if rng.one_in(4) {
        doc.set(tags::RETAIL_PLACE, text("shop.example.ru"));
    }
    if rng.one_in(4) {
        doc.set(tags::INTERNET_SIGN, [1])
            .set(tags::LOTTERY_SIGN, [1])
            .set(tags::EXCISE_DUTY_PRODUCT_SIGN, [1]);
    }
}

/// A requisite that is not what it should be.
fn stray(rng: &mut Rng, life: &mut Life) {
    let doc = life.last();
    match rng.below(9) {
        0 => doc.set(tags::KKT_REG_ID, text("0000000001000002    ")),
        1 => doc.set(tags::USER_INN, text("7728029110  ")),
        2 => doc.set(tags::USER_NAME, text(" OOO LUTIK ")),
        3 => doc.set(tags::RETAIL_PLACE_ADDRESS, text("MOSKVA 2")),
        4 => doc.set(tags::RETAIL_PLACE, text("shop.example.ru")),
        5 => doc.set(tags::MACHINE_NUMBER, text("A1")),
        6 => doc.set(tags::FFD_VERSION, [3]),
        7 => doc.without(tags::USER_NAME),
        _ => doc.set(tags::MACHINE_NUMBER, text("A2")),
    };
}

fn sale(rng: &mut Rng, life: &mut Life) {
    let direction = one_of(rng, &[1, 1, 1, 1, 2, 2, 3]);
    let total = if rng.one_in(3) { 10_000 } else { 1 + rng.below(30_000) };
    if rng.one_in(7) {
        life.correction();
    } else {
        life.receipt(direction, total);
    }
    let at = life.at;
    let doc = life.last();
    doc.set(tags::APPLIED_TAXATION_TYPE, [one_of(rng, &[1, 1, 2, 4, 32])]);
    if rng.one_in(2) {
        let item = [
            (tags::VAT_RATE, vec![one_of(rng, &[1, 2, 5, 6, 6, 7, 11, 12])]),
            (tags::PAYMENT_SUBJECT, vec![one_of(rng, &[1, 1, 2, 5, 7, 31, 33])]),
            (tags::ITEM_AGENT_FLAGS, vec![one_of(rng, &[0, 0, 32, 64])]),
        ];
        doc.item(&item[rng.below(2) as usize..]);
        if rng.one_in(5) {
            doc.item(&[(tags::PRODUCT_CODE_STLV, nest(&[(tags::CODE_SHORT, text("X"))]))]);
        }
    }
    if rng.one_in(6) {
        doc.set(tags::INTERNET_PAYMENT, [1]);
    }
    if rng.one_in(9) {
        doc.set(tags::INTERNET_SIGN, [1]);
    }
    if rng.one_in(4) {
        doc.set(tags::CASH_SUM, vln(0)).set(tags::ECASH_SUM, vln(total));
    }
    if doc.form == Form::RECEIPT_CORRECTION {
        let date = at - rng.below(5) as u32 * DAY;
        doc.set(tags::CORRECTION_BASE, nest(&[(tags::CORRECTION_DATE, date.to_le_bytes().to_vec())]));
    }
}

fn close(rng: &mut Rng, life: &mut Life) {
    let at = life.at;
    let doc = life.close();
    doc.set(tags::KEY_RESOURCE, vln(one_of(rng, &[400, 31, 30, 2])));
    if rng.one_in(3) {
        let since = at - rng.below(40) as u32 * DAY;
        doc.set(tags::UNSENT_DOCUMENTS, 1_u32.to_le_bytes()).set(tags::UNSENT_SINCE, since.to_le_bytes());
    }
    if rng.one_in(2) {
        doc.set(tags::UNSENT_NOTIFICATIONS, vln(rng.below(3)));
    }
    if rng.one_in(6) {
        doc.set(
            one_of(
                rng,
                &[tags::BAD_CODES, tags::DRIVE_RUNNING_OUT, tags::DRIVE_MEMORY_FULL, tags::OPERATOR_SILENT],
            ),
            [1],
        );
    }
    if rng.one_in(6) {
        life.counters_less(rng.below(2));
    }
}

fn step(rng: &mut Rng, life: &mut Life, open: &mut bool) {
    match rng.below(40) {
        0..=5 if *open => {
            close(rng, life);
            *open = false;
        }
        0..=9 if !*open || rng.one_in(9) => {
            life.open();
            *open = true;
        }
        10 => {
            let reasons = one_of(rng, &[1_u32, 1 << 2, 1 << 3, 1 << 7, 1 << 31, 1 << 2 | 1 << 13]);
            life.register_again(reasons);
            terms(rng, life);
            if rng.one_in(3) {
                life.last().set(tags::USER_NAME, text("OOO LUTIK"));
            }
            if rng.one_in(5) {
                life.last().set(tags::KKT_NUMBER, text("00002"));
            }
        }
        11 if rng.one_in(3) => _ = life.register(),
        12 => life.pass(one_of(rng, &[DAY, 9 * DAY, 31 * DAY, 61 * DAY])),
        13 => life.pass(one_of(rng, &[400 * DAY, 7 * HOUR, 15 * HOUR])),
        14 | 15 => {
            let seconds = one_of(rng, &[HOUR, 2 * DAY, 4 * DAY, 61 * DAY]);
            life.tick(seconds);
            life.pass(seconds);
        }
        16 if rng.one_in(6) => _ = life.put(Form::CLOSE_ARCHIVE),
        17 if rng.one_in(4) => {
            let drives: std::collections::BTreeSet<_> =
                life.came.iter().filter_map(Came::doc).map(|it| it.drive.as_str()).collect();
            let digit = (drives.len() as u8 + 1).min(9);
            life.replace_drive(digit);
            *open = false;
            life.skip(5 * life.came.len() as u32);
            life.register();
            terms(rng, life);
        }
        18 => {
            let (by, doc) =
                (one_of(rng, &[4_000_i64, -4_000, 2 * 86_400, -400 * 86_400, -32 * 86_400]), life.open());
            doc.at = (i64::from(doc.at) + by) as u32;
            *open = true;
        }
        _ => {
            sale(rng, life);
            if rng.one_in(8) {
                stray(rng, life);
            }
        }
    }
}

/// What was made, and how it came: some never, some late, some twice with another content, some from an archive.
pub(crate) fn life(rng: &mut Rng) -> Life {
    let mut life = Life::bare();
    if rng.one_in(5) {
        // In the middle of a drive's life, some near its end.
        life.skip(if rng.one_in(6) { 219_990 } else { rng.below(3) as u32 * 40 });
    } else {
        life.register();
        terms(rng, &mut life);
    }
    let mut open = false;
    // Some sell in the same few hours and hardly ever do anything else.
    let calm = rng.one_in(3);
    for _ in 0..10 + rng.below(25) {
        if calm && open && !rng.one_in(5) {
            sale(rng, &mut life);
        } else {
            step(rng, &mut life, &mut open);
        }
    }
    let skew = one_of(rng, &[0_i64, 0, 0, 400, -400]);
    let (mut came, mut late): (Vec<Came>, Vec<Came>) = (Vec::new(), Vec::new());
    for mut one in std::mem::take(&mut life.came) {
        let Came::Doc(doc) = &mut one else {
            came.push(one);
            continue;
        };
        doc.at = (i64::from(doc.at) + skew) as u32;
        doc.imported = rng.one_in(25);
        match rng.below(30) {
            0 => {}
            1 => late.push(one),
            2 => {
                let mut again = one.clone();
                came.push(one);
                if let Came::Doc(doc) = &mut again {
                    doc.variant = 1;
                }
                came.push(again);
            }
            _ => came.push(one),
        }
        if rng.one_in(6) && !late.is_empty() {
            came.push(late.remove(0));
        }
    }
    if rng.one_in(2) {
        came.extend(late);
    }
    // Records are in the order of their time.
    let mut now = 0;
    for one in &mut came {
        let second = match one {
            Came::Doc(doc) => &mut doc.came,
            Came::Tick(second) => second,
        };
        now = now.max(*second);
        *second = now;
    }
    life.came = came;
    life
}
