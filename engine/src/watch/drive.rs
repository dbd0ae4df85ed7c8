//! What the watch keeps of a drive, and what it finds in a document beside that. Pure.
//!
//! Zone: nobody tells it. The least difference between the time a document came and its 1012, over a shift, is the zone and what
//! the clock is wrong by; the nearest whole hour between UTC+2 and UTC+12 is taken for the zone. So a clock that is wrong by
//! more than half an hour is not told apart from another zone, and a shift of which every document was late is taken for a clock
//! that is slow: five documents at least have to say so.
//!
//! Silence: counted from the newest document that came over the wire, imported ones are none; told by ticks.

use ofd_codec::rules::life::LifeRuleId as Rule;
use ofd_codec::{Form, LocalSeconds, Tag, tags};

use super::facts::{COUNTER_TAGS, Counters, Facts, registers};
use super::tally::{Scene, Tallies, What};
use super::terms::{self, Terms, digest};
use crate::registers::pack::{Packer, Unpacker};
use crate::registers::{Drive, Last, Paid, Registration, Seen, Shift};

const MINUTE: u32 = 60;
const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
/// 2016-09-01 and 2021-01-01.
const LAW_BEGAN: u32 = 1_472_688_000;
const IMPUTED_ENDED: u32 = 1_609_459_200;
/// Years of a drive: no model's keys last longer (F1).
const DRIVE_DAYS_MAX: u32 = 1_110;
/// Documents that most models hold, less a few days of a busy register (F3).
const DOCUMENTS_NEAR_END: u32 = 220_000;
const KEY_DAYS_NEAR_END: u32 = 30;
/// Of the thirty after which a drive stops.
const UNSENT_DAYS_NEAR_BLOCK: u32 = 20;
/// E1, and how many documents of a shift have to say so.
const SKEW_SECONDS_MAX: i64 = 5 * 60;
const SKEW_DOCUMENTS_MIN: u32 = 5;
/// An answer is there when the next report is made, or has been lost (D10.2).
const ANSWER_SECONDS_MAX: i64 = 10 * 60;
/// Statistics: receipts in a row, receipts of a shift, days without a night.
const ROUND_RUN: u8 = 20;
const ROUND_KOPECKS: i64 = 10_000;
const ONE_PAYMENT_RECEIPTS_MIN: u32 = 50;
const NIGHT_DAYS: u32 = 30;
const NIGHT_HOURS: core::ops::Range<u32> = 0..5;
/// Simplified and patent systems of 1055 and 1062.
const SIMPLIFIED_OR_PATENT: u8 = 2 | 4 | 32;
const PATENT: u8 = 32;
const IMPUTED: u8 = 8;
/// Codes of 1199 with the full rate, and that without tax.
const FULL_RATES: u16 = 1 << 1 | 1 << 3 | 1 << 11 | 1 << 12;
const NO_VAT: u16 = 1 << 6;

/// Steps of silence: seconds, and what they are.
const SILENCE: [(u32, Rule); 3] = [(DAY, Rule::I1_1), (3 * DAY, Rule::I1_2), (60 * DAY, Rule::R1)];

/// Seconds of silence before the first step is due.
pub(crate) const STEP_FIRST: u32 = DAY + 1;

/// Hours of the day in which the register sold, over this thirty days and those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hours {
    /// Day that the thirty began with; 0 = none yet.
    since: u32,
    now: u32,
    before: u32,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriveWatch {
    pub(crate) terms: Option<Terms>,
    /// 1157 of the newest closing report, and its number.
    counters: Option<Box<(u32, Counters)>>,
    /// When the newest document came over the wire, seconds UTC; 0 = none has.
    heard: u32,
    /// Steps of silence that were told since.
    silent: u8,
    /// Of the open shift: documents that came over the wire in order, and the least difference to their 1012, seconds.
    fresh: (u32, i64),
    /// 2104 of the newest report.
    notifications: u32,
    round: u8,
    hours: Hours,
    pub(crate) tallies: Tallies,
}

/// What stood before the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior {
    documents: (u32, u64),
    registered: bool,
    last: Option<Last>,
    silence_due: Option<u32>,
}

impl Prior {
    pub(crate) fn of(drive: &Drive) -> Self {
        Self {
            documents: (drive.generation, drive.documents),
            registered: drive.registration.is_some(),
            last: drive.last,
            silence_due: drive.watch.silence_due(drive),
        }
    }

    /// Whether the document was none that had come.
    pub(crate) fn is_new(&self, drive: &Drive) -> bool {
        self.documents != (drive.generation, drive.documents)
    }

    pub(crate) const fn silence_due(&self) -> Option<u32> {
        self.silence_due
    }
}

/// What a document is judged by.
pub(crate) struct Around<'a> {
    pub(crate) seen: &'a Seen<'a>,
    pub(crate) drive: &'a Drive,
    pub(crate) prior: Prior,
    /// The registration before, when the document is one that has replaced it.
    pub(crate) before: Option<&'a Registration>,
    pub(crate) paid: Option<&'a Paid>,
    /// What the document says.
    pub(crate) facts: &'a Facts<'a>,
    /// When another drive became that of the register: 1012 of its first document.
    pub(crate) replaced: Option<LocalSeconds>,
}

impl DriveWatch {
    /// A document, behind everything that the drive has made of it.
    pub(crate) fn judge(&mut self, around: &Around<'_>, scene: &mut Scene<'_>) {
        let Around { seen, drive, prior, facts, .. } = *around;
        if !seen.imported {
            self.hear(seen, scene);
        }
        if seen.variant > 0 || !prior.is_new(drive) {
            return;
        }
        let newest = drive.last.is_some_and(|it| it.number == seen.number);
        let form = seen.view.form();
        if !seen.imported && newest {
            self.clock(around, scene);
        }
        if registers(form) {
            self.register(around, facts, scene);
        }
        if !newest {
            return;
        }
        if let Some(terms) = self.terms {
            self.requisites(&terms, facts, form, scene);
            self.term(&terms, around, facts, scene);
        }
        self.order(around, scene);
        match form {
            Form::OPEN_SHIFT => self.fresh = (0, 0),
            Form::CLOSE_SHIFT => self.close(around, facts, scene),
            _ if form.is_receipt_like() => self.receipt(around, scene, facts),
            _ => {}
        }
        self.report(around, facts, scene);
        if form == Form::CLOSE_SHIFT {
            self.fresh = (0, 0);
        }
        if form == Form::CLOSE_ARCHIVE {
            self.retire(scene);
        }
    }

    /// Something came over the wire: silence is over.
    fn hear(&mut self, seen: &Seen<'_>, scene: &mut Scene<'_>) {
        self.heard = self.heard.max(seconds(seen.received_at_us));
        // Each time: a rule that was off when its state ended has it still.
        SILENCE.into_iter().for_each(|(_, rule)| scene.ended(&mut self.tallies, rule));
        self.silent = 0;
    }

    /// When the next step of silence is due, seconds UTC; `None` of a drive that has not to send anything.
    pub(crate) fn silence_due(&self, drive: &Drive) -> Option<u32> {
        let (step, _) = SILENCE.get(usize::from(self.silent))?;
        let sends = self.heard > 0 && drive.closed.is_none() && !drive.service.has_left();
        sends.then(|| self.heard.saturating_add(*step).saturating_add(1))
    }

    /// When that is looked at first: a document may make it due earlier than it is now.
    pub(crate) fn silence_timer(&self, drive: &Drive) -> Option<u32> {
        self.silence_due(drive).map(|due| due.min(self.heard.saturating_add(STEP_FIRST)))
    }

    /// The second of [`DriveWatch::silence_due`] has come.
    pub(crate) fn tell_silence(&mut self, scene: &mut Scene<'_>) {
        let Some((_, rule)) = SILENCE.get(usize::from(self.silent)) else { return };
        self.silent = self.silent.saturating_add(1);
        let heard_us = i64::from(self.heard).saturating_mul(1_000_000);
        let days = scene.now_us.saturating_sub(heard_us).div_euclid(i64::from(DAY).saturating_mul(1_000_000));
        scene.is(&mut self.tallies, *rule, true, || What {
            actual: Some(format!("{days} суток без документов")),
            ..What::default()
        });
    }

    /// It has come, and concerns nobody.
    pub(crate) fn pass_silence(&mut self) {
        self.silent = self.silent.saturating_add(1);
    }

    /// E: the clock of the register beside the time of receipt.
    fn clock(&mut self, around: &Around<'_>, scene: &mut Scene<'_>) {
        let seen = around.seen;
        let Some(LocalSeconds(at)) = seen.header.date_time else { return };
        let came = seconds(seen.received_at_us);
        let future = at > came.saturating_add(DAY);
        let what = |expected: &str| What::of(tags::DATE_TIME, moment(at), expected);
        scene.is(&mut self.tallies, Rule::E2_1, future, || what("не позже суток после получения"));
        scene.is(&mut self.tallies, Rule::E2_2, at < LAW_BEGAN, || what("с 01.09.2016"));
        let late = came.saturating_sub(at);
        let years = at >= LAW_BEGAN && late > 366 * DAY;
        scene.is(&mut self.tallies, Rule::E3, years, || what("не раньше года до получения"));
        let difference = i64::from(came).saturating_sub(i64::from(at));
        let (count, least) = self.fresh;
        self.fresh = (count.saturating_add(1), if count == 0 { difference } else { least.min(difference) });
    }

    /// A form 1 or 11: it repeats one, or changes what it may not, and it is in force from here on.
    fn register(&mut self, around: &Around<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) {
        let Around { seen, drive, prior, before, .. } = *around;
        let tallies = &mut self.tallies;
        if seen.view.form() == Form::REGISTRATION && prior.registered {
            scene.happened(tallies, Rule::F6_1, || What {
                actual: Some(format!("второй отчет о регистрации, ФД {}", seen.number)),
                ..What::default()
            });
        }
        if drive.registration.is_none_or(|it| it.number != seen.number) {
            return;
        }
        let registration = Registration::of(&seen.view, seen.number);
        if seen.view.form() == Form::REREGISTRATION
            && let Some(before) = before
        {
            changes(tallies, &registration, before, scene);
        }
        let imputed = facts.taxation_types & IMPUTED != 0
            && registration.at.is_some_and(|LocalSeconds(at)| at >= IMPUTED_ENDED);
        scene.is(tallies, Rule::C10_1, imputed, || {
            What::of(tags::TAXATION_TYPES, facts.taxation_types, "без 8 с 01.01.2021")
        });
        let new = Terms::of(facts, &registration, self.terms.as_ref());
        if self.terms.is_some_and(|old| old != new) {
            // What differed, differed from other terms.
            BY_TERMS.into_iter().for_each(|rule| scene.ended(tallies, rule));
        }
        self.terms = Some(new);
    }

    /// D11: the requisites of the document beside the registration.
    fn requisites(&mut self, terms: &Terms, facts: &Facts<'_>, form: Form, scene: &mut Scene<'_>) {
        let tallies = &mut self.tallies;
        if !registers(form) {
            for (rule, tag, found, registered) in [
                (Rule::D11_1, tags::KKT_REG_ID, facts.rnm, terms.rnm),
                (Rule::D11_2, tags::USER_INN, facts.inn, terms.inn),
                (Rule::D11_3, tags::USER_NAME, facts.user_name, terms.user_name),
                (Rule::D11_4, tags::RETAIL_PLACE_ADDRESS, facts.address, terms.address),
                (Rule::D11_5, tags::RETAIL_PLACE, facts.place, terms.place),
                (Rule::D11_6, tags::MACHINE_NUMBER, facts.machine, terms.machine),
            ] {
                if let Some(text) = found.filter(|_| registered != 0) {
                    scene.is(tallies, rule, digest(found) != registered, || {
                        What::of(tag, ofd_codec::Cp866(text).to_cow(), "как в отчете о регистрации")
                    });
                }
            }
            if let Some(ffd) = facts.ffd.filter(|_| terms.ffd != 0) {
                scene.is(tallies, Rule::D11_8, ffd != terms.ffd, || {
                    What::of(tags::FFD_VERSION, ffd, terms.ffd)
                });
            }
        }
        if !form.is_receipt_like() {
            return;
        }
        if let Some(system) = facts.taxation.filter(|_| terms.taxation_types != 0) {
            let foreign = system & terms.taxation_types == 0;
            scene.is(tallies, Rule::D11_7, foreign, || {
                What::of(
                    tags::APPLIED_TAXATION_TYPE,
                    system,
                    format!("одна из 1062 = {}", terms.taxation_types),
                )
            });
        }
        let automat = facts.machine.is_some() && !terms.has(terms::AUTOMAT);
        scene.is(tallies, Rule::D11_9, automat, || What {
            tag: Some(tags::MACHINE_NUMBER),
            ..What::default()
        });
        if terms.knows_signs() {
            signs(tallies, terms, facts, scene);
        }
        if facts.rates != 0 && terms.taxation_types != 0 {
            let special = terms.taxation_types & !SIMPLIFIED_OR_PATENT == 0;
            let full = special && facts.rates & FULL_RATES != 0;
            scene.is(tallies, Rule::C9_2, full, || {
                What::of(tags::VAT_RATE, codes(facts.rates & FULL_RATES), "не 1, 3, 11, 12")
            });
        }
        if facts.rates != 0 && facts.taxation == Some(PATENT) {
            let taxed = facts.rates & !NO_VAT;
            scene.is(tallies, Rule::C9_3, taxed != 0, || What::of(tags::VAT_RATE, codes(taxed), 6));
        }
    }

    /// F1: how long the drive may work.
    fn term(&mut self, terms: &Terms, around: &Around<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) {
        let tallies = &mut self.tallies;
        if let Some(days) = facts.key_days {
            let ending = days <= KEY_DAYS_NEAR_END;
            scene.is(tallies, Rule::F1_1, ending, || What::of(tags::KEY_RESOURCE, days, "больше 30"));
        }
        let Some(LocalSeconds(at)) = around.seen.header.date_time else { return };
        // A clock that is wrong says nothing of the term.
        if tallies.has(Rule::E2_1) || tallies.has(Rule::E2_2) {
            return;
        }
        if let Some((days, Some(LocalSeconds(told)))) = around.drive.key_days {
            let end = told.saturating_add(u32::from(days).saturating_mul(DAY)).saturating_add(DAY);
            let over = around.seen.view.form().is_receipt_like() && at > end;
            if over || facts.key_days.is_some() {
                scene.is(tallies, Rule::F1_2, over, || {
                    What::of(tags::DATE_TIME, moment(at), format!("до {}", moment(end)))
                });
            }
        }
        if terms.activated > 0 {
            let days = at.saturating_sub(terms.activated).div_euclid(DAY);
            scene.is(tallies, Rule::F1_3, days > DRIVE_DAYS_MAX, || What {
                actual: Some(format!("{days} дней")),
                expected: Some(format!("до {DRIVE_DAYS_MAX} дней")),
                ..What::default()
            });
        }
    }

    /// D4.3, D9, F3, F6.2: what the document may not follow.
    fn order(&mut self, around: &Around<'_>, scene: &mut Scene<'_>) {
        let Around { seen, drive, replaced, .. } = *around;
        let tallies = &mut self.tallies;
        let form = seen.view.form();
        let open =
            drive.open_shift().filter(|it| it.opened.is_some() && drive.service.is_whole_from(it.numbers));
        if let Some(open) = open.filter(|_| registers(form) || form == Form::CLOSE_ARCHIVE) {
            scene.happened(tallies, Rule::D4_3, || {
                What { actual: Some(format!("форма {}", form.0)), ..What::default() }.in_shift(open.number)
            });
        }
        scene.is(tallies, Rule::F3, seen.number > DOCUMENTS_NEAR_END, || {
            What::of(tags::FISCAL_DOCUMENT_NUMBER, seen.number, format!("до {DOCUMENTS_NEAR_END}"))
        });
        let from_first = drive.service.intervals().first().is_some_and(|it| it.first == 1);
        let unfinished = from_first && drive.registration.is_none() && drive.service.missing().is_empty();
        scene.is(tallies, Rule::F6_2, unfinished, || What {
            expected: Some("отчет о регистрации".to_owned()),
            ..What::default()
        });
        if let (Some(since), Some(at)) = (replaced, seen.header.date_time)
            && at > since
        {
            let opened = drive.open_shift().and_then(|it| it.opened).and_then(|it| it.at);
            let both = opened.is_some_and(|opened| opened > since);
            let rule = if both { Rule::D9_3 } else { Rule::D9_2 };
            scene.happened(tallies, rule, || {
                What::of(tags::DATE_TIME, moment(at.0), format!("до замены {}", moment(since.0)))
            });
        }
    }

    /// D10, F4, G7: what a report says of what waits in the register.
    fn report(&mut self, around: &Around<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) {
        let Around { seen, drive, prior, .. } = *around;
        let tallies = &mut self.tallies;
        if let Some(unsent) = facts.unsent {
            scene.is(tallies, Rule::D10_1, unsent > 0, || What::of(tags::UNSENT_DOCUMENTS, unsent, 0));
            let at = seen.header.date_time;
            let waited = at.zip(facts.unsent_since).filter(|_| unsent > 0);
            let days = waited.map_or(0, |(at, since)| at.0.saturating_sub(since.0).div_euclid(DAY));
            scene.is(tallies, Rule::F4, days >= UNSENT_DAYS_NEAR_BLOCK, || {
                What::of(tags::UNSENT_SINCE, format!("ждет {days} дней"), "меньше 20 дней")
            });
            if unsent == 0 {
                scene.ended(tallies, Rule::D10_2);
            } else if let (Some(last), Some(at), (3.., least)) = (prior.last, at, self.fresh)
                && !seen.imported
                && drive.service.missing().is_empty()
            {
                let made = i64::from(at.0).saturating_add(least);
                let answered = i64::from(seconds(last.received_at_us));
                if answered.saturating_add(ANSWER_SECONDS_MAX) < made {
                    scene.is(tallies, Rule::D10_2, true, || {
                        What::of(tags::UNSENT_DOCUMENTS, unsent, "0: все подтверждены раньше отчета")
                    });
                }
            }
        }
        if let Some(unsent) = facts.notifications {
            let stays = unsent > 0 && (self.notifications > 0 || tallies.has(Rule::G7_1));
            scene.is(tallies, Rule::G7_1, stays, || What::of(tags::UNSENT_NOTIFICATIONS, unsent, 0));
            if seen.view.form() == Form::CLOSE_SHIFT {
                let grows = self.notifications > 0 && unsent > self.notifications;
                scene.is(tallies, Rule::G7_2, grows, || {
                    What::of(tags::UNSENT_NOTIFICATIONS, unsent, format!("до {}", self.notifications))
                });
            }
            self.notifications = unsent;
        }
    }

    /// The closing report of a shift.
    fn close(&mut self, around: &Around<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) {
        let Around { seen, drive, .. } = *around;
        let tallies = &mut self.tallies;
        let (count, least) = self.fresh;
        if count >= SKEW_DOCUMENTS_MIN {
            skew(tallies, least, scene);
        }
        scene.is(tallies, Rule::G7_3, facts.bad_codes, || What::of(tags::BAD_CODES, 1, 0));
        let shift =
            seen.header.shift.and_then(|number| drive.shifts.iter().rev().find(|it| it.number == number));
        let shift =
            shift.filter(|it| it.is_settled() && it.closed.is_some_and(|mark| mark.number == seen.number));
        if let Some(shift) = shift {
            figures(tallies, shift, scene);
        }
        let Some(now) = facts.drive_counters else { return };
        if let Some((number, before)) = self.counters.as_deref() {
            let fell = at_first(&now, |at, now| value(before, at).is_some_and(|before| now < before));
            let range = crate::registers::Range { first: *number, last: seen.number };
            let step = facts.shift_counters.filter(|_| shift.is_some() && drive.service.is_whole(range));
            let due = |at: usize| Some(value(before, at)?.saturating_add(value(step.as_ref()?, at)?));
            let differs = at_first(&now, |at, now| due(at).is_some_and(|due| now != due));
            if let Some((at, tag, now)) = fell {
                let before = value(before, at).unwrap_or_default();
                scene.happened(tallies, Rule::D7_3, || What::of(tag, now, format!("от {before}")));
            } else if let Some((at, tag, now)) = differs {
                let due = due(at).unwrap_or_default();
                scene.happened(tallies, Rule::D7_2, || What::of(tag, now, due));
            }
        }
        self.counters = Some(Box::new((seen.number, now)));
    }

    /// C13.1, S1, S4: a receipt beside those before.
    fn receipt(&mut self, around: &Around<'_>, scene: &mut Scene<'_>, facts: &Facts<'_>) {
        let tallies = &mut self.tallies;
        if let (Some(corrected), Some(terms)) = (facts.corrected, self.terms)
            && terms.has(terms::FIRST)
            && corrected.0.saturating_add(DAY) < terms.activated
        {
            scene.happened(tallies, Rule::C13_1, || {
                What::of(tags::CORRECTION_DATE, moment(corrected.0), format!("с {}", moment(terms.activated)))
            });
        }
        if let Some(paid) = around.paid.filter(|it| it.direction == 0 && !it.correction) {
            let total = paid.sums.total;
            self.round = if total > 0 && total.rem_euclid(ROUND_KOPECKS) == 0 {
                self.round.saturating_add(1)
            } else {
                0
            };
            if self.round >= ROUND_RUN {
                self.round = 0;
                scene.happened(tallies, Rule::S1, || What {
                    actual: Some(format!("{ROUND_RUN} чеков подряд")),
                    ..What::default()
                });
            }
        }
        let Some(LocalSeconds(at)) = around.seen.header.date_time else { return };
        // A clock that runs days ahead says nothing of nights, and would hold the thirty days for as long as it does.
        if at > seconds(around.seen.received_at_us).saturating_add(DAY) {
            return;
        }
        let (day, hour) = (at.div_euclid(DAY), at.rem_euclid(DAY).div_euclid(HOUR));
        let bit = 1_u32.checked_shl(hour).unwrap_or(0);
        let hours = &mut self.hours;
        if day >= hours.since.saturating_add(NIGHT_DAYS) {
            *hours = Hours { since: day, now: 0, before: if hours.since > 0 { hours.now } else { 0 } };
        }
        if NIGHT_HOURS.contains(&hour) && hours.before != 0 && (hours.before | hours.now) & bit == 0 {
            scene
                .happened(tallies, Rule::S4, || What::of(tags::DATE_TIME, moment(at), "в часы работы кассы"));
        }
        hours.now |= bit;
    }

    /// The archive of the drive is closed: what it was in has ended, but for numbers that are missing.
    fn retire(&mut self, scene: &mut Scene<'_>) {
        let lasting: Vec<Rule> = self.tallies.lasting().filter(|rule| *rule != Rule::D2).collect();
        lasting.into_iter().for_each(|rule| scene.ended(&mut self.tallies, rule));
    }
}

/// States that are judged by the registration alone.
const BY_TERMS: [Rule; 19] = [
    Rule::D11_1,
    Rule::D11_2,
    Rule::D11_3,
    Rule::D11_4,
    Rule::D11_5,
    Rule::D11_6,
    Rule::D11_7,
    Rule::D11_8,
    Rule::D11_9,
    Rule::D11_10,
    Rule::D11_11,
    Rule::D11_12,
    Rule::D11_13,
    Rule::D11_14,
    Rule::D11_15,
    Rule::D11_16,
    Rule::D11_17,
    Rule::C9_2,
    Rule::F1_3,
];

/// D11.10-D11.17: what a receipt does and its register was not registered for.
fn signs(tallies: &mut Tallies, terms: &Terms, facts: &Facts<'_>, scene: &mut Scene<'_>) {
    let only = facts.internet_only && !terms.has(terms::INTERNET_ONLY);
    scene.is(tallies, Rule::D11_10, only, || What::of(tags::INTERNET_SIGN, 1, 0));
    if facts.internet {
        let placed = terms.has(terms::INTERNET_ONLY) || terms.has(terms::SITE);
        scene.is(tallies, Rule::D11_11, !placed, || {
            What::of(tags::INTERNET_PAYMENT, 1, "сайт в 1187 регистрации")
        });
    }
    if facts.agents != 0 && terms.knows_agents() {
        let foreign = facts.agents & !terms.agents;
        scene.is(tallies, Rule::D11_12, foreign != 0, || {
            What::of(tags::AGENT_FLAGS, facts.agents, terms.agents)
        });
    }
    for (rule, subjects, sign) in [
        (Rule::D11_13, &[2, 30, 31][..], terms::EXCISE),
        (Rule::D11_14, &[5, 6], terms::GAMBLING),
        (Rule::D11_15, &[7, 8], terms::LOTTERY),
    ] {
        if facts.sells(subjects) {
            scene.is(tallies, rule, !terms.has(sign), || What {
                tag: Some(tags::PAYMENT_SUBJECT),
                ..What::default()
            });
        }
    }
    if facts.marked || facts.sells(&[31, 33]) {
        let unfit = terms.ffd < 4 || !terms.has(terms::MARKING);
        scene.is(tallies, Rule::D11_16, unfit, || What {
            tag: Some(tags::PRODUCT_CODE_STLV),
            ..What::default()
        });
    }
    if facts.cash > 0 || terms.has(terms::INTERNET_ONLY) {
        let cash = facts.cash > 0 && terms.has(terms::INTERNET_ONLY) && !facts.internet_only;
        scene.is(tallies, Rule::D11_17, cash, || What::of(tags::CASH_SUM, facts.cash, 0));
    }
}

/// D11.18-D11.20: what a form 11 has changed beside the reasons it names.
fn changes(tallies: &mut Tallies, new: &Registration, before: &Registration, scene: &mut Scene<'_>) {
    const OTHER: u32 = 1 << 31;
    let changed = new.changes_from(before);
    let anew = changed.iter().find(|it| [tags::KKT_NUMBER, tags::USER_INN, tags::KKT_REG_ID].contains(*it));
    if let Some(tag) = anew {
        scene.happened(tallies, Rule::D11_18, || {
            What::of(*tag, new.text(*tag).unwrap_or_default(), before.text(*tag).unwrap_or_default())
        });
    }
    let unnamed = |tag: &&Tag| {
        let reasons = terms::reasons_of(**tag);
        reasons != 0 && new.reasons & (reasons | OTHER) == 0
    };
    if let Some(tag) = changed.iter().find(unnamed) {
        scene.happened(tallies, Rule::D11_19, || What {
            tag: Some(*tag),
            actual: Some(reasons_text(new.reasons)),
            ..What::default()
        });
    }
    // Signs of 1.2 stand in 1290.
    let of_usage = (11..=14).chain(17..=20);
    let explained = changed.iter().fold(0, |mask, tag| {
        mask | match *tag {
            tags::USAGE_CONDITIONS => {
                of_usage.clone().fold(0, |mask, bit| mask | 1_u32.checked_shl(bit).unwrap_or(0))
            }
            tag => terms::reasons_of(tag),
        }
    });
    let speaks_of: u32 = [1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21]
        .into_iter()
        .fold(0, |mask, bit| mask | 1_u32.checked_shl(bit).unwrap_or(0));
    let empty = new.reasons & speaks_of & !explained;
    if empty != 0 {
        scene.happened(tallies, Rule::D11_20, || What {
            tag: Some(tags::CHANGE_REASONS),
            actual: Some(reasons_text(empty)),
            ..What::default()
        });
    }
}

/// E1, by the least difference of a shift.
fn skew(tallies: &mut Tallies, least: i64, scene: &mut Scene<'_>) {
    let hour = i64::from(HOUR);
    let zone = least.saturating_neg().saturating_add(hour / 2).div_euclid(hour);
    if !(2..=12).contains(&zone) {
        return;
    }
    let behind = least.saturating_add(zone.saturating_mul(hour));
    let wrong = behind.abs() > SKEW_SECONDS_MAX;
    scene.is(tallies, Rule::E1, wrong, || {
        let way = if behind > 0 { "отстают" } else { "спешат" };
        let minutes = behind.abs().div_euclid(i64::from(MINUTE));
        What {
            tag: Some(tags::DATE_TIME),
            actual: Some(format!("{way} на {minutes} мин")),
            expected: Some("до 5 мин".to_owned()),
            shift: None,
        }
    });
}

/// I3, I16, S2, S3: the figures of a shift that is whole.
fn figures(tallies: &mut Tallies, shift: &Shift, scene: &mut Scene<'_>) {
    let totals = &shift.totals;
    let count = totals.count();
    let what = |actual: String| What { actual: Some(actual), ..What::default() }.in_shift(shift.number);
    if count == 0 {
        scene.happened(tallies, Rule::I3, || what("0 чеков".to_owned()));
    }
    let (sold, returned) = (totals.receipts(0).total, totals.receipts(1).total);
    if returned > sold {
        scene.happened(tallies, Rule::I16, || What {
            expected: Some(format!("до {sold}")),
            ..what(format!("{returned}"))
        });
    }
    let whole = totals.receipts(0);
    let [cash, card, ..] = whole.payments;
    if whole.receipts >= ONE_PAYMENT_RECEIPTS_MIN && whole.total > 0 {
        for (rule, sum) in [(Rule::S2, cash), (Rule::S3, card)] {
            if sum == whole.total {
                scene.happened(tallies, rule, || what(format!("{} чеков", whole.receipts)));
            }
        }
    }
}

fn value(counters: &Counters, at: usize) -> Option<u64> {
    counters.get(at).copied().flatten()
}

/// The first counter of which this is so: its place, tag and value.
fn at_first(counters: &Counters, is: impl Fn(usize, u64) -> bool) -> Option<(usize, Tag, u64)> {
    let all = counters.iter().zip(COUNTER_TAGS).enumerate();
    all.filter_map(|(at, (value, tag))| Some((at, tag, (*value)?))).find(|(at, _, value)| is(*at, *value))
}

/// Codes of a mask.
fn codes(mask: u16) -> String {
    let set = (0..16).filter(|bit| mask & 1_u16.checked_shl(*bit).unwrap_or(0) != 0);
    set.map(|bit| bit.to_string()).collect::<Vec<_>>().join(", ")
}

/// Numbers of the reasons, as people count them: from 1.
fn reasons_text(mask: u32) -> String {
    let set = (0..32_u32).filter(|bit| mask & 1_u32.checked_shl(*bit).unwrap_or(0) != 0);
    let numbers: Vec<String> = set.map(|bit| bit.saturating_add(1).to_string()).collect();
    if numbers.is_empty() {
        "без причин".to_owned()
    } else {
        format!("причины {}", numbers.join(", "))
    }
}

/// A local time as people read it.
pub(crate) fn moment(at: u32) -> String {
    ofd_codec::Civil::from(LocalSeconds(at)).to_string().replace('T', " ")
}

pub(crate) fn seconds(unix_us: i64) -> u32 {
    u32::try_from(unix_us.div_euclid(1_000_000)).unwrap_or(0)
}

const TERMS: u8 = 1;
const COUNTERS: u8 = 1 << 1;
const FRESH: u8 = 1 << 2;
const HOURS: u8 = 1 << 3;
const TALLIES: u8 = 1 << 4;
const WAITS: u8 = 1 << 5;

impl DriveWatch {
    /// `last` is when the newest document came, seconds UTC: most often that is when the drive was heard.
    pub(crate) fn pack(&self, last: u32, to: &mut Packer) {
        let Self { terms, counters, heard, silent, fresh, notifications, round, hours, tallies } = self;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        to.byte(
            flag(terms.is_some(), TERMS)
                | flag(counters.is_some(), COUNTERS)
                | flag(*fresh != (0, 0), FRESH)
                | flag(*hours != Hours::default(), HOURS)
                | flag(!tallies.is_empty(), TALLIES)
                | flag(*silent != 0 || *notifications != 0 || *round != 0, WAITS),
        );
        to.signed(i64::from(*heard).saturating_sub(i64::from(last)));
        terms.iter().for_each(|it| it.pack(to));
        if let Some((number, counters)) = counters.as_deref() {
            to.number(*number);
            counters.iter().for_each(|it| to.number(it.map_or(0, |it| it.saturating_add(1))));
        }
        if *fresh != (0, 0) {
            to.number(fresh.0);
            to.signed(fresh.1);
        }
        if *hours != Hours::default() {
            [hours.since, hours.now, hours.before].into_iter().for_each(|it| to.number(it));
        }
        if *silent != 0 || *notifications != 0 || *round != 0 {
            to.byte(*silent);
            to.number(*notifications);
            to.byte(*round);
        }
        if !tallies.is_empty() {
            tallies.pack(to);
        }
    }

    pub(crate) fn unpack(last: u32, from: &mut Unpacker<'_>) -> Option<Self> {
        let head = from.byte()?;
        let has = |bit: u8| head & bit != 0;
        let heard = u32::try_from(from.signed()?.saturating_add(i64::from(last))).ok()?;
        let mut watch = Self { heard, ..Self::default() };
        if has(TERMS) {
            watch.terms = Some(Terms::unpack(from)?);
        }
        if has(COUNTERS) {
            let (number, mut counters) = (from.small()?, Counters::default());
            for slot in &mut counters {
                *slot = from.number()?.checked_sub(1);
            }
            watch.counters = Some(Box::new((number, counters)));
        }
        if has(FRESH) {
            watch.fresh = (from.small()?, from.signed()?);
        }
        if has(HOURS) {
            watch.hours = Hours { since: from.small()?, now: from.small()?, before: from.small()? };
        }
        if has(WAITS) {
            (watch.silent, watch.notifications) = (from.byte()?, from.small()?);
            watch.round = from.byte()?;
        }
        if has(TALLIES) {
            watch.tallies = Tallies::unpack(from)?;
        }
        Some(watch)
    }
}
