//! The naive model: all documents side by side, looked through again and again. Uses nothing of the room it checks.

use std::collections::{BTreeMap, BTreeSet};

use ofd_engine::codec::{DriveNumber, Form};

use crate::life::{Made, OURS, Sent};

#[derive(Debug)]
pub(crate) struct ShiftModel {
    pub(crate) number: u32,
    pub(crate) opened: Option<u32>,
    pub(crate) closed: Option<u32>,
    pub(crate) documents: u32,
    pub(crate) receipts: u32,
    pub(crate) revenue: i128,
    /// `None` while it is open or something is missing.
    pub(crate) agrees: Option<bool>,
}

#[derive(Debug)]
pub(crate) struct DriveModel {
    pub(crate) drive: DriveNumber,
    pub(crate) ours: Vec<(u32, u32)>,
    pub(crate) missing: Vec<(u32, u32)>,
    pub(crate) documents: u64,
    pub(crate) variants: u64,
    /// The newest document, none of those from before the lane seed among them.
    pub(crate) last: Option<u32>,
    pub(crate) registration: Option<u32>,
    pub(crate) closed: Option<u32>,
    pub(crate) shifts: Vec<ShiftModel>,
}

#[derive(Debug)]
pub(crate) struct CardModel {
    pub(crate) rnm: String,
    pub(crate) drives: Vec<DriveNumber>,
    pub(crate) days_worked: u32,
    /// Of the newest day on which it sold, as far as its user has: the day, receipts, revenue.
    pub(crate) newest: Option<(u32, u32, i128)>,
    pub(crate) revenue: i128,
}

pub(crate) struct Model {
    pub(crate) drives: Vec<DriveModel>,
    pub(crate) cards: Vec<CardModel>,
}

/// First numbers that lane seeds have told of, before anything came.
pub(crate) type Seeds = BTreeMap<DriveNumber, u32>;

/// Everything, from what came.
pub(crate) fn of(sent: &[Sent], seeds: &Seeds) -> Model {
    let mut order: Vec<DriveNumber> = Vec::new();
    for it in sent {
        if !order.contains(&it.made.drive) {
            order.push(it.made.drive);
        }
    }
    let drives = order.iter().map(|drive| drive_of(*drive, sent, seeds.get(drive).copied())).collect();
    let counted: Vec<&Made> = sent.iter().filter(|it| it.variant == 0).map(|it| &it.made).collect();
    let rnms: BTreeSet<&String> = counted.iter().map(|it| &it.rnm).collect();
    let cards = rnms.into_iter().map(|rnm| {
        let mine: Vec<&&Made> = counted.iter().filter(|it| it.rnm == *rnm).collect();
        let days: BTreeSet<u32> = mine.iter().filter(|it| it.is_receipt()).map(|it| it.at / 86_400).collect();
        CardModel {
            rnm: rnm.clone(),
            drives: order.iter().filter(|drive| mine.iter().any(|it| it.drive == **drive)).copied().collect(),
            days_worked: days.len() as u32,
            newest: days.last().and_then(|day| newest(&mine, *day)),
            revenue: mine.iter().map(|it| revenue(it)).sum(),
        }
    });
    Model { drives, cards: cards.collect() }
}

/// What the user of a register has sold on a day since it became his, by documents that name him.
fn newest(mine: &[&&Made], day: u32) -> Option<(u32, u32, i128)> {
    let (mut drives, mut user, mut since) = (Vec::new(), "", 0);
    for (at, made) in mine.iter().enumerate() {
        if !drives.contains(&made.drive) {
            drives.push(made.drive);
        }
        if drives.last() == Some(&made.drive) && made.inn != user {
            (user, since) = (made.inn, at);
        }
    }
    let his = |it: &&&&Made| it.is_receipt() && it.at / 86_400 == day && it.inn == user;
    let sold: Vec<_> = mine[since..].iter().filter(his).collect();
    (!sold.is_empty()).then(|| (day, sold.len() as u32, sold.iter().map(|it| revenue(it)).sum()))
}

fn revenue(made: &Made) -> i128 {
    match made.direction {
        1 => i128::from(made.total),
        2 => -i128::from(made.total),
        _ => 0,
    }
}

/// 0 = not ours, 1 = came, 2 = missing, by number; and the newest.
fn marks(came: &[&Made], mut seed: Option<u32>) -> (BTreeMap<u32, u8>, Option<u32>) {
    let mut marks: BTreeMap<u32, u8> = BTreeMap::new();
    let (mut newest, mut registered, mut left, mut last) = (0, 0, false, None);
    for made in came {
        let registers = made.operator.is_some();
        let enters = made.form == Form::REGISTRATION || made.reasons & 0b1_0011 != 0;
        if registers && enters {
            seed = None;
        }
        if let Some(first) = seed {
            if made.number >= first {
                marks.extend((first..made.number).map(|number| (number, 2)));
                (seed, last) = (None, Some(made.number));
            }
            newest = newest.max(made.number);
        } else if made.number > newest {
            last = Some(made.number);
            if newest > 0 && !left && !(registers && enters) {
                marks.extend((newest + 1..made.number).map(|number| (number, 2)));
            }
            newest = made.number;
        }
        marks.insert(made.number, 1);
        if registers && made.number >= registered {
            (registered, left) = (made.number, made.operator != Some(OURS));
        }
    }
    (marks, last)
}

fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

fn drive_of(drive: DriveNumber, sent: &[Sent], seed: Option<u32>) -> DriveModel {
    let mine = || sent.iter().filter(|it| it.made.drive == drive);
    let came: Vec<&Made> = mine().filter(|it| it.variant == 0).map(|it| &it.made).collect();
    let (marks, last) = marks(&came, seed);
    let shifts: BTreeSet<u32> = came
        .iter()
        .filter(|it| {
            it.is_receipt() || [Form::OPEN_SHIFT, Form::CLOSE_SHIFT, Form::CURRENT_STATE].contains(&it.form)
        })
        .filter_map(|it| it.shift)
        .collect();
    let one = |form: Form| came.iter().filter(|it| it.form == form).map(|it| it.number).max();
    let registrations = came.iter().filter(|it| it.operator.is_some());
    DriveModel {
        drive,
        ours: runs(marks.keys().copied()),
        missing: runs(marks.iter().filter(|(_, mark)| **mark == 2).map(|(number, _)| *number)),
        documents: came.len() as u64,
        variants: mine().filter(|it| it.variant > 0).count() as u64,
        last,
        registration: registrations.map(|it| it.number).max(),
        closed: one(Form::CLOSE_ARCHIVE),
        shifts: shifts.into_iter().map(|number| shift_of(number, &came)).collect(),
    }
}

fn shift_of(number: u32, came: &[&Made]) -> ShiftModel {
    let parts = || came.iter().filter(|it| it.shift == Some(number) && it.form != Form::CLOSE_ARCHIVE);
    let opened = parts().find(|it| it.form == Form::OPEN_SHIFT).map(|it| it.number);
    let close = parts().find(|it| it.form == Form::CLOSE_SHIFT);
    let closed = close.map(|it| it.number);
    let receipts: Vec<&&Made> = parts().filter(|it| it.is_receipt()).collect();
    let agrees = opened.zip(close).and_then(|(opened, close)| {
        let whole = (opened..=close.number).all(|number| came.iter().any(|it| it.number == number));
        whole.then(|| {
            let counters = close.counters.unwrap();
            let right = (0..2).all(|kind| {
                (0..4).all(|direction| {
                    let these = || {
                        receipts.iter().filter(move |it| {
                            usize::from(it.is_correction()) == kind
                                && usize::from(it.direction) == direction + 1
                        })
                    };
                    let total: u64 = these().map(|it| it.total).sum();
                    counters[kind][direction] == (these().count() as u32, total)
                })
            });
            right && close.stated_documents == Some(parts().count() as u32)
        })
    });
    ShiftModel {
        number,
        opened,
        closed,
        documents: parts().count() as u32,
        receipts: receipts.len() as u32,
        revenue: receipts.iter().map(|it| revenue(it)).sum(),
        agrees,
    }
}
