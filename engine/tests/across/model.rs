//! The naive reading: for every record all that came before is laid side by side and looked through again. Shares nothing with
//! the watch but the keys of the rules; what an event is by itself (shifts, their numbers and reports) it leaves to
//! `tests/registers`.

use std::collections::{BTreeMap, BTreeSet};

use ofd_engine::codec::rules::life::LifeRuleId;
use ofd_engine::codec::{DriveNumber, Form, Tag, tags};

use crate::dice::Rng;
use crate::life::{Came, DAY, Doc, HOUR, Life, finding};
use crate::random::life;

/// What is told with a record: rule, whether it ends, count, first and last seen, microseconds.
type Told = BTreeSet<(&'static str, bool, u32, i64, i64)>;

/// What a record says of a rule.
enum Says {
    /// A finding by itself.
    Happened,
    /// The state holds or does not.
    Is(bool),
    /// It holds on, and says something else.
    Again,
}

fn number(doc: &Doc, tag: Tag) -> u64 {
    doc.number_of(tag).unwrap_or(0)
}

fn is(doc: &Doc, tag: Tag) -> bool {
    doc.get(tag) == Some(&[1])
}

fn trimmed(doc: &Doc, tag: Tag) -> Option<String> {
    let text = String::from_utf8(doc.get(tag)?.to_vec()).unwrap().trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn is_registration(doc: &Doc) -> bool {
    [Form::REGISTRATION, Form::REREGISTRATION].contains(&doc.form)
}

fn items(doc: &Doc, tag: Tag) -> BTreeSet<u8> {
    let all = doc.items.iter().flatten().filter(|(it, _)| *it == tag);
    all.map(|(_, value)| value[0]).collect()
}

fn inner(bytes: &[u8], tag: Tag) -> Option<&[u8]> {
    let mut rest = bytes;
    while rest.len() >= 4 {
        let len = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
        if rest[..2] == tag.0.to_le_bytes() {
            return Some(&rest[4..4 + len]);
        }
        rest = &rest[4 + len..];
    }
    None
}

fn wide(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// 1134 and the four totals of a structure of counters.
fn counters(doc: &Doc, tag: Tag) -> Option<Vec<u64>> {
    let all = doc.get(tag)?;
    let mut found = vec![wide(inner(all, Tag(1134)).unwrap())];
    found.extend((1129..=1132).map(|of| wide(inner(inner(all, Tag(of)).unwrap(), Tag(1201)).unwrap())));
    Some(found)
}

/// Everything up to and with a record.
struct Upto<'l> {
    came: &'l [Came],
    doc: &'l Doc,
    /// Documents of the drive that count, in the order they came; the last is this one.
    mine: Vec<&'l Doc>,
    newest: bool,
}

impl<'l> Upto<'l> {
    fn of(came: &'l [Came]) -> Option<Self> {
        let doc = came.last()?.doc()?;
        let mine: Vec<&Doc> =
            came.iter().filter_map(Came::doc).filter(|it| it.drive == doc.drive && it.variant == 0).collect();
        let newest = doc.variant == 0 && mine.iter().all(|it| it.number <= doc.number);
        Some(Self { came, doc, mine, newest })
    }

    fn before(&self) -> &[&'l Doc] {
        &self.mine[..self.mine.len() - 1]
    }

    /// Registrations that came into force, in that order, of some documents.
    fn in_force(docs: &[&'l Doc]) -> Vec<&'l Doc> {
        let mut list: Vec<&Doc> = Vec::new();
        for doc in docs.iter().filter(|it| is_registration(it)) {
            if list.last().is_none_or(|last| last.number <= doc.number) {
                list.push(doc);
            }
        }
        list
    }

    fn registration(&self) -> Option<&'l Doc> {
        Self::in_force(&self.mine).last().copied()
    }

    /// This document is a registration that came into force; the one before.
    fn registers(&self) -> Option<Option<&'l Doc>> {
        let list = Self::in_force(&self.mine);
        let now = list.last().filter(|it| it.number == self.doc.number && is_registration(self.doc))?;
        assert_eq!(now.number, self.doc.number);
        Some(list.iter().rev().nth(1).copied())
    }

    /// 1012 of the report that the drive began with, and whether that was form 1.
    fn activated(docs: &[&'l Doc]) -> (u32, bool) {
        Self::in_force(docs).iter().fold((0, false), |(at, first), doc| match doc.form {
            Form::REGISTRATION => (doc.at, true),
            _ if number(doc, tags::CHANGE_REASONS) & 1 == 1 => (doc.at, false),
            _ => (at, first),
        })
    }

    /// All that a registration says for the rules, in words.
    fn terms_of(docs: &[&'l Doc]) -> Option<String> {
        let doc = Self::in_force(docs).last().copied()?;
        let texts = [1037, 1018, 1048, 1009, 1187, 1036].map(|tag| trimmed(doc, Tag(tag)));
        let bits = [1001, 1108, 1126, 1193, 1207, 1062, 1209, 1057].map(|tag| number(doc, Tag(tag)));
        let usage = number(doc, Tag(1290)) & (1 << 5 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12);
        // The same sign by either requisite is the same.
        let signs = [(1108, 5), (1207, 6), (1193, 10), (1126, 11)]
            .map(|(tag, bit)| number(doc, Tag(tag)) == 1 || usage >> bit & 1 == 1);
        Some(format!(
            "{texts:?} {:?} {signs:?} {} {} {:?}",
            (bits[0], &bits[5..]),
            usage >> 8 & 1,
            usage >> 12 & 1,
            Self::activated(docs)
        ))
    }

    fn sign(&self, tag: u16, bit: u32) -> bool {
        let doc = self.registration().unwrap();
        number(doc, Tag(tag)) == 1 || number(doc, tags::USAGE_CONDITIONS) >> bit & 1 == 1
    }

    fn missing(docs: &[&'l Doc]) -> BTreeSet<u32> {
        let (mut missing, mut newest) = (BTreeSet::new(), 0);
        for doc in docs {
            let reasons = number(doc, tags::CHANGE_REASONS);
            let enters =
                doc.form == Form::REGISTRATION || doc.form == Form::REREGISTRATION && reasons & 0b1_0011 != 0;
            if doc.number > newest {
                if newest > 0 && !enters {
                    missing.extend(newest + 1..doc.number);
                }
                newest = doc.number;
            }
            missing.remove(&doc.number);
        }
        missing
    }

    /// Each document that was newer than all before it when it came, this one last.
    fn newest_ones(&self) -> Vec<&'l Doc> {
        let mut list: Vec<&Doc> = Vec::new();
        for doc in &self.mine {
            if list.last().is_none_or(|last| last.number < doc.number) {
                list.push(doc);
            }
        }
        list
    }

    /// Differences of the documents that came over the wire in order since the shift was opened.
    fn fresh(&self) -> Vec<i64> {
        let mut list = Vec::new();
        let newest = self.newest_ones();
        for doc in &newest {
            if !doc.imported {
                list.push(i64::from(doc.came) - i64::from(doc.at));
            }
            // What the opening report itself says is not of the shift, and what comes behind the closing one neither.
            if [Form::OPEN_SHIFT, Form::CLOSE_SHIFT].contains(&doc.form) && doc.number != self.doc.number {
                list.clear();
            }
        }
        list
    }

    /// The receipts of the shift that this report closes, when all between its reports has come.
    fn whole_shift(&self) -> Option<Vec<&'l Doc>> {
        if self.doc.form != Form::CLOSE_SHIFT {
            return None;
        }
        let shift = self.doc.get(tags::SHIFT_NUMBER);
        let of = |it: &&&Doc| it.get(tags::SHIFT_NUMBER) == shift;
        let open = self.mine.iter().filter(of).rfind(|it| it.form == Form::OPEN_SHIFT)?;
        let whole =
            (open.number..=self.doc.number).all(|number| self.mine.iter().any(|it| it.number == number));
        whole.then(|| self.mine.iter().filter(of).filter(|it| it.form.is_receipt_like()).copied().collect())
    }

    /// The drive that a register works with, and 1012 of its first document, by all that came.
    fn current(came: &[Came], rnm: &str) -> Option<(DriveNumber, u32)> {
        let mut drives: Vec<(DriveNumber, u32)> = Vec::new();
        for doc in came.iter().filter_map(Came::doc).filter(|it| it.variant == 0) {
            if trimmed(doc, tags::KKT_REG_ID).as_deref() == Some(rnm)
                && drives.iter().all(|it| it.0 != doc.drive)
            {
                // An archive may bring a drive that the register had before the one it works with.
                let older = doc.imported && drives.last().is_some_and(|it| doc.at < it.1);
                let at = if older { 0 } else { drives.len() };
                drives.insert(at, (doc.drive, doc.at));
            }
        }
        drives.last().copied()
    }

    #[expect(clippy::too_many_lines, reason = "a table, a row a rule")]
    fn says(&self, key: &str) -> Vec<Says> {
        let doc = self.doc;
        if doc.variant > 0 {
            return match key {
                "I6" => vec![Says::Happened],
                // Something came over the wire all the same.
                "I1.1" | "I1.2" | "R1" if !doc.imported => vec![Says::Is(false)],
                _ => Vec::new(),
            };
        }
        let mut out = Vec::new();
        let mut state = |broken: Option<bool>| out.extend(broken.map(Says::Is));
        let came_s = i64::from(doc.came);
        let late = came_s - i64::from(doc.at);
        let days = |days: i64| days * i64::from(DAY);
        let newest = self.newest;
        let live = newest && !doc.imported;
        let terms = self.registration();
        let receipt = newest && doc.form.is_receipt_like() && terms.is_some();
        let ffd = terms.map_or(0, |it| number(it, tags::FFD_VERSION));
        let signed = receipt && ffd >= 2;
        let taxes = terms.map_or(0, |it| number(it, tags::TAXATION_TYPES));
        let registers = self.registers();
        // Other terms end what was judged by those before.
        let by_terms = key.starts_with("D11.") && !["D11.18", "D11.19", "D11.20"].contains(&key)
            || ["C9.2", "F1.3"].contains(&key);
        if by_terms && registers.is_some() && Self::in_force(self.before()).last().is_some() {
            let changed = Self::terms_of(self.before()) != Self::terms_of(&self.mine);
            state(changed.then_some(false));
        }
        let text = |tag: u16| {
            let mine = trimmed(doc, Tag(tag)).filter(|_| newest && !is_registration(doc));
            mine.zip(trimmed(terms?, Tag(tag))).map(|(mine, registered)| mine != registered)
        };
        let subjects = items(doc, tags::PAYMENT_SUBJECT);
        let sells = |codes: &[u8]| codes.iter().any(|it| subjects.contains(it));
        let rates = items(doc, tags::VAT_RATE);
        let agents = items(doc, tags::ITEM_AGENT_FLAGS).iter().fold(0, |sum, it| sum | *it);
        let full = rates.iter().any(|it| [1, 3, 11, 12].contains(it));
        let marked = doc.items.iter().flatten().any(|(tag, _)| *tag == tags::PRODUCT_CODE_STLV);
        let only = receipt && self.sign(1108, 5);
        let unsent = doc.number_of(tags::UNSENT_DOCUMENTS).filter(|_| newest);
        let closing = newest && doc.form == Form::CLOSE_SHIFT;
        let notified: Vec<u64> =
            self.newest_ones().iter().filter_map(|it| it.number_of(tags::UNSENT_NOTIFICATIONS)).collect();
        let notifies = newest && doc.number_of(tags::UNSENT_NOTIFICATIONS).is_some();
        match key {
            "D11.1" => state(text(1037)),
            "D11.2" => state(text(1018)),
            "D11.3" => state(text(1048)),
            "D11.4" => state(text(1009)),
            "D11.5" => state(text(1187)),
            "D11.6" => state(text(1036)),
            "D11.7" => {
                state((receipt && taxes > 0).then(|| number(doc, tags::APPLIED_TAXATION_TYPE) & taxes == 0))
            }
            "D11.8" => state(
                (newest && terms.is_some() && !is_registration(doc))
                    .then(|| number(doc, tags::FFD_VERSION) != ffd),
            ),
            "D11.9" => state(receipt.then(|| {
                doc.get(tags::MACHINE_NUMBER).is_some() && number(terms.unwrap(), tags::AUTO_MODE) == 0
            })),
            "D11.10" => state(signed.then(|| is(doc, tags::INTERNET_SIGN) && !only)),
            "D11.11" => {
                let site = || trimmed(terms.unwrap(), tags::RETAIL_PLACE).unwrap().contains("example.ru");
                state((signed && is(doc, tags::INTERNET_PAYMENT)).then(|| !only && !site()));
            }
            "D11.12" => {
                let foreign = || u64::from(agents) & !number(terms.unwrap(), tags::AGENT_FLAGS) != 0;
                state((receipt && [2, 3].contains(&ffd) && agents != 0).then(foreign));
            }
            "D11.13" => state((signed && sells(&[2, 30, 31])).then(|| !self.sign(1207, 6))),
            "D11.14" => state((signed && sells(&[5, 6])).then(|| !self.sign(1193, 10))),
            "D11.15" => state((signed && sells(&[7, 8])).then(|| !self.sign(1126, 11))),
            "D11.16" => {
                state((signed && (marked || sells(&[31, 33]))).then(|| ffd < 4 || !self.sign(9999, 8)))
            }
            "D11.17" => {
                let cash = number(doc, tags::CASH_SUM) > 0;
                state((signed && (cash || only)).then(|| cash && only && !is(doc, tags::INTERNET_SIGN)));
            }
            "C9.2" => state(
                (receipt && !rates.is_empty() && taxes > 0)
                    .then(|| [2, 4, 6, 32, 34, 36, 38].contains(&taxes) && full),
            ),
            "C9.3" => {
                let patent = number(doc, tags::APPLIED_TAXATION_TYPE) == 32;
                state((receipt && patent && !rates.is_empty()).then(|| rates.iter().any(|it| *it != 6)));
            }
            "C10.1" => state(registers.map(|_| taxes & 8 == 8)),
            "D11.18" | "D11.19" | "D11.20" => {
                if let Some(Some(before)) = registers
                    && doc.form == Form::REREGISTRATION
                {
                    let reasons = number(doc, tags::CHANGE_REASONS);
                    let changed = |tag: u16| doc.get(Tag(tag)) != before.get(Tag(tag));
                    let groups: [(&[u16], u64); 10] = [
                        (&[1017], 1 << 1),
                        (&[1048], 1 << 2),
                        (&[1009, 1187], 1 << 3),
                        (&[1062], 1 << 7),
                        (&[1036], 1 << 8 | 1 << 9 | 1 << 10),
                        (&[1001], 1 << 9 | 1 << 10),
                        (&[1108], 1 << 13 | 1 << 14),
                        (&[1193], 1 << 17 | 1 << 18),
                        (&[1126], 1 << 19 | 1 << 20),
                        (&[1209], 1 << 21),
                    ];
                    let any = |tags: &[u16]| tags.iter().any(|tag| changed(*tag));
                    let broken = match key {
                        "D11.18" => any(&[1013, 1018, 1037]),
                        "D11.19" => {
                            reasons >> 31 == 0
                                && groups.iter().any(|(tags, of)| any(tags) && reasons & of == 0)
                        }
                        // Of the reasons that these lives name.
                        _ => [(2, &[1048][..]), (3, &[1009, 1187]), (7, &[1062]), (13, &[1108, 1290])]
                            .iter()
                            .any(|(bit, tags)| reasons >> bit & 1 == 1 && !any(tags)),
                    };
                    out.extend(broken.then_some(Says::Happened));
                }
            }
            "F6.1" => {
                let again = doc.variant == 0
                    && doc.form == Form::REGISTRATION
                    && !Self::in_force(self.before()).is_empty();
                out.extend(again.then_some(Says::Happened));
            }
            "F6.2" => state(newest.then(|| {
                terms.is_none()
                    && self.mine.iter().any(|it| it.number == 1)
                    && Self::missing(&self.mine).is_empty()
            })),
            "E2.1" => state(live.then_some(late < -days(1))),
            "E2.2" => state(live.then_some(doc.at < 1_472_688_000)),
            "E3" => state(live.then_some(doc.at >= 1_472_688_000 && late > days(366))),
            "E1" => {
                let fresh = self.fresh();
                if let Some(least) = fresh.iter().min().filter(|_| closing && fresh.len() >= 5) {
                    // The whole hour that is the nearest.
                    let hour = i64::from(HOUR);
                    let zone = (-20..20).min_by_key(|zone| (*least + zone * hour).abs()).unwrap();
                    let wrong = (*least + zone * hour).abs() > 300;
                    state((2..=12).contains(&zone).then_some(wrong));
                }
            }
            "F1.1" => state(
                doc.number_of(tags::KEY_RESOURCE).filter(|_| newest && terms.is_some()).map(|it| it <= 30),
            ),
            "F1.3" => {
                let (at, _) = Self::activated(&self.mine);
                let days = i64::from(doc.at).saturating_sub(i64::from(at)).max(0) / i64::from(DAY);
                state((newest && terms.is_some() && at > 0 && !self.wild()).then_some(days > 1_110));
            }
            "F1.2" => {
                let all = self.newest_ones();
                let told = all.iter().rfind(|it| it.get(tags::KEY_RESOURCE).is_some());
                if let Some(told) = told.filter(|_| newest && terms.is_some() && !self.wild()) {
                    let end = told.at + (number(told, tags::KEY_RESOURCE) as u32 + 1) * DAY;
                    let over = doc.form.is_receipt_like() && doc.at > end;
                    state((over || doc.get(tags::KEY_RESOURCE).is_some()).then_some(over));
                }
            }
            "F3" => state(newest.then_some(doc.number > 220_000)),
            "D10.1" => state(unsent.map(|it| it > 0)),
            "F4" => state(unsent.map(|it| {
                it > 0 && doc.at.saturating_sub(number(doc, tags::UNSENT_SINCE) as u32) / DAY >= 20
            })),
            "D10.2" => {
                let (fresh, newest) = (self.fresh(), self.newest_ones());
                match unsent {
                    Some(0) => state(Some(false)),
                    Some(_)
                        if fresh.len() >= 3
                            && newest.len() > 1
                            && !doc.imported
                            && Self::missing(&self.mine).is_empty() =>
                    {
                        let made = i64::from(doc.at) + fresh.iter().min().unwrap();
                        let lost = i64::from(newest[newest.len() - 2].came) + 600 < made;
                        state(lost.then_some(true));
                    }
                    _ => {}
                }
            }
            "G7.1" => {
                // Since the last report without any there are two of them.
                let last = notified.iter().rev().take_while(|it| **it > 0).count();
                state(notifies.then_some(last >= 2));
            }
            "G7.2" => {
                let grows = notified
                    .iter()
                    .rev()
                    .nth(1)
                    .is_some_and(|before| *before > 0 && notified.last() > Some(before));
                state((notifies && closing).then_some(grows));
            }
            "G7.3" => state(closing.then(|| is(doc, tags::BAD_CODES))),
            "I3" | "I16" | "S2" | "S3" => {
                if let Some(receipts) = self.whole_shift().filter(|_| newest) {
                    let sum = |direction: u64, tag: Tag| {
                        let of = receipts.iter().filter(|it| {
                            it.form == Form::RECEIPT && number(it, tags::OPERATION_TYPE) == direction
                        });
                        of.map(|it| number(it, tag)).sum::<u64>()
                    };
                    let broken = match key {
                        "I3" => receipts.is_empty(),
                        "I16" => sum(2, tags::TOTAL_SUM) > sum(1, tags::TOTAL_SUM),
                        _ => false,
                    };
                    out.extend(broken.then_some(Says::Happened));
                }
            }
            "D7.2" | "D7.3" => {
                if let Some(now) = counters(doc, tags::DRIVE_COUNTERS).filter(|_| closing) {
                    let earlier = self.newest_ones();
                    let last = earlier[..earlier.len() - 1].iter().rfind(|it| it.form == Form::CLOSE_SHIFT);
                    if let Some(last) = last {
                        let before = counters(last, tags::DRIVE_COUNTERS).unwrap();
                        let step = counters(doc, tags::SHIFT_COUNTERS).unwrap();
                        let fell = now.iter().zip(&before).any(|(now, before)| now < before);
                        let differs = (0..5).any(|at| now[at] != before[at] + step[at]);
                        let whole =
                            (last.number..=doc.number).all(|it| self.mine.iter().any(|doc| doc.number == it));
                        let broken = if key == "D7.3" {
                            fell
                        } else {
                            !fell && differs && whole && self.whole_shift().is_some()
                        };
                        out.extend(broken.then_some(Says::Happened));
                    }
                }
            }
            "C13.1" => {
                let date = doc
                    .get(tags::CORRECTION_BASE)
                    .map(|it| wide(inner(it, tags::CORRECTION_DATE).unwrap()) as u32);
                let (at, first) = Self::activated(&self.mine);
                let early = date.is_some_and(|date| first && date + DAY < at);
                out.extend((receipt && early).then_some(Says::Happened));
            }
            "S1" => {
                let mut run = 0;
                let mut last = false;
                for it in self
                    .newest_ones()
                    .iter()
                    .filter(|it| it.form == Form::RECEIPT && number(it, tags::OPERATION_TYPE) == 1)
                {
                    let total = number(it, tags::TOTAL_SUM);
                    run = if total > 0 && total.is_multiple_of(10_000) { run + 1 } else { 0 };
                    last = run == 20 && it.number == doc.number;
                    run %= 20;
                }
                out.extend((newest && last).then_some(Says::Happened));
            }
            "S4" => {
                let (mut since, mut now, mut before) = (0, BTreeSet::new(), BTreeSet::new());
                let mut last = false;
                let heard = |it: &&&Doc| it.form.is_receipt_like() && it.at <= it.came + DAY;
                for it in self.newest_ones().iter().filter(heard) {
                    let (day, hour) = (it.at / DAY, it.at % DAY / HOUR);
                    if day >= since + 30 {
                        before = if since > 0 { std::mem::take(&mut now) } else { BTreeSet::new() };
                        now.clear();
                        since = day;
                    }
                    let strange =
                        hour < 5 && !before.is_empty() && !before.contains(&hour) && !now.contains(&hour);
                    last = strange && it.number == doc.number;
                    now.insert(hour);
                }
                out.extend((newest && last).then_some(Says::Happened));
            }
            "D3" => {
                let newest_ones = self.newest_ones();
                let follows = newest
                    && newest_ones.len() > 1
                    && newest_ones[newest_ones.len() - 2].number + 1 == doc.number;
                out.extend(
                    (follows && doc.at < newest_ones[newest_ones.len() - 2].at).then_some(Says::Happened),
                );
            }
            "D9" => {
                let rnm = trimmed(doc, tags::KKT_REG_ID).unwrap();
                let current = Self::current(self.came, &rnm).filter(|it| it.0 != doc.drive);
                out.extend((newest && current.is_some_and(|it| doc.at > it.1)).then_some(Says::Happened));
            }
            "D2" => {
                let (before, now) = (Self::missing(self.before()), Self::missing(&self.mine));
                {
                    out.extend((now.len() > before.len()).then_some(Says::Again));
                    out.extend((now.is_empty() && !before.is_empty()).then_some(Says::Is(false)));
                }
            }
            "I1.1" | "I1.2" | "R1" => state((!doc.imported).then_some(false)),
            "R2" | "R3" => self.share(key, &mut out),
            _ => {}
        }
        let drive_state =
            LifeRuleId::by_key(key).is_some_and(|it| it.rule().lasting) && !["D2", "R2", "R3"].contains(&key);
        if newest && doc.form == Form::CLOSE_ARCHIVE && drive_state {
            out.push(Says::Is(false));
        }
        out
    }

    /// The clock was wrong when the newest document that came over the wire says so.
    fn wild(&self) -> bool {
        // A closed archive ends the state.
        let mut wild = false;
        for doc in self.newest_ones() {
            if !doc.imported {
                wild = doc.at > doc.came + DAY || doc.at < 1_472_688_000;
            }
            if doc.form == Form::CLOSE_ARCHIVE && doc.number != self.doc.number {
                wild = false;
            }
        }
        wild
    }

    fn share(&self, key: &str, out: &mut Vec<Says>) {
        let day = |it: &Doc| {
            let own = it.at / DAY;
            if (17_045..=it.came / DAY + 2).contains(&own) { own } else { it.came / DAY }
        };
        if !self.doc.form.is_receipt_like() {
            return;
        }
        let rnm = trimmed(self.doc, tags::KKT_REG_ID);
        let all: Vec<&Doc> = self
            .came
            .iter()
            .filter_map(Came::doc)
            .filter(|it| it.variant == 0 && it.form.is_receipt_like() && trimmed(it, tags::KKT_REG_ID) == rnm)
            .collect();
        let end = all.iter().map(|it| day(it)).max().unwrap();
        if day(self.doc) + 29 < end {
            return;
        }
        let inside: Vec<&&Doc> = all.iter().filter(|it| day(it) + 29 >= end).collect();
        let count = |is: &dyn Fn(&Doc) -> bool| inside.iter().filter(|it| is(it)).count();
        let correction = |it: &Doc| it.form == Form::RECEIPT_CORRECTION;
        let direction = |of: u64| move |it: &Doc| !correction(it) && number(it, tags::OPERATION_TYPE) == of;
        let (part, whole) = match key {
            "R2" => (count(&direction(2)), count(&direction(1))),
            _ => (count(&correction), inside.len()),
        };
        let pawnshop = key == "R2" && self.registration().is_some_and(|_| self.sign(9999, 12));
        out.push(Says::Is(whole >= 10 && part > 0 && part * 10 >= whole * 3 && !pawnshop));
    }
}

/// The rules that are read, and whose they are: of a drive, of a register. D9.2 and D9.3 are one here.
const READ: [&str; 62] = [
    "D2", "D3", "D7.2", "D7.3", "D8.2", "D9", "D10.1", "D10.2", "D11.1", "D11.2", "D11.3", "D11.4", "D11.5",
    "D11.6", "D11.7", "D11.8", "D11.9", "D11.10", "D11.11", "D11.12", "D11.13", "D11.14", "D11.15", "D11.16",
    "D11.17", "D11.18", "D11.19", "D11.20", "E1", "E2.1", "E2.2", "E3", "F1.1", "F1.2", "F1.3", "F3", "F4",
    "F6.1", "F6.2", "G7.1", "G7.2", "G7.3", "I1.1", "I1.2", "I3", "I6", "C9.2", "C9.3", "C10.1", "C13.1",
    "I16", "S1", "S2", "S3", "S4", "R1", "R2", "R3", "F2.1", "F2.2", "F2.3", "F2.4",
];

/// What ticks tell: silence, a step once.
fn silence(came: &[Came], key: &str) -> Vec<DriveNumber> {
    let Some(Came::Tick(now)) = came.last() else { return Vec::new() };
    let step = match key {
        "I1.1" => DAY,
        "I1.2" => 3 * DAY,
        "R1" => 60 * DAY,
        _ => return Vec::new(),
    };
    let mut drives: Vec<DriveNumber> = Vec::new();
    for doc in came.iter().filter_map(Came::doc) {
        if !drives.contains(&doc.drive) {
            drives.push(doc.drive);
        }
    }
    drives.retain(|drive| {
        let mine = || {
            came.iter()
                .enumerate()
                .filter_map(|(at, it)| Some((at, it.doc()?)))
                .filter(|(_, it)| it.drive == *drive)
        };
        let closed = mine().any(|(_, it)| it.variant == 0 && it.form == Form::CLOSE_ARCHIVE);
        let Some((at, heard)) = mine().rfind(|(_, it)| !it.imported) else { return false };
        let due = |second: u32| second > heard.came + step;
        let told = came[at..came.len() - 1].iter().any(|it| matches!(it, Came::Tick(second) if due(*second)));
        let rnm = mine()
            .rfind(|(_, it)| it.variant == 0)
            .and_then(|(_, it)| trimmed(it, tags::KKT_REG_ID))
            .unwrap();
        let works = Upto::current(came, &rnm).is_some_and(|it| it.0 == *drive);
        due(*now) && !told && !closed && works
    });
    drives
}

/// The shift of a drive that is open for too long when this record has come.
fn overdue(came: &[Came], drive: DriveNumber) -> Option<u64> {
    let now = match came.last()? {
        Came::Tick(second) => *second,
        Came::Doc(doc) => doc.came,
    };
    let mine: Vec<&Doc> =
        came.iter().filter_map(Came::doc).filter(|it| it.drive == drive && it.variant == 0).collect();
    let of_shift = |it: &&&Doc| {
        it.form.is_receipt_like()
            || [Form::OPEN_SHIFT, Form::CLOSE_SHIFT, Form::CURRENT_STATE].contains(&it.form)
    };
    let newest = mine.iter().filter(of_shift).filter_map(|it| it.number_of(tags::SHIFT_NUMBER)).max()?;
    let report = |form| {
        mine.iter().find(|it| it.form == form && it.number_of(tags::SHIFT_NUMBER) == Some(newest)).copied()
    };
    let opened = report(Form::OPEN_SHIFT).filter(|it| !it.imported)?;
    let over = report(Form::CLOSE_SHIFT).is_some()
        || mine.iter().any(|it| it.form == Form::CLOSE_ARCHIVE)
        || Upto::in_force(&mine).last().is_some_and(|it| it.number > opened.number);
    let rnm = trimmed(mine.last()?, tags::KKT_REG_ID)?;
    let works = Upto::current(came, &rnm).is_some_and(|it| it.0 == drive);
    (now > opened.came + DAY && !over && works).then_some(newest)
}

/// What ticks tell: shifts that are open for too long, once.
fn overdue_now(came: &[Came], key: &str) -> Vec<DriveNumber> {
    if key != "D8.2" || !matches!(came.last(), Some(Came::Tick(_))) {
        return Vec::new();
    }
    let drives: BTreeSet<DriveNumber> = came.iter().filter_map(Came::doc).map(|it| it.drive).collect();
    let told = |drive, shift| {
        (1..came.len()).map(|upto| &came[..upto]).any(|before| {
            matches!(before.last(), Some(Came::Tick(_))) && overdue(before, drive) == Some(shift)
        })
    };
    drives.into_iter().filter(|drive| overdue(came, *drive).is_some_and(|it| !told(*drive, it))).collect()
}

/// All that should be told, by record.
fn expected(life: &Life) -> Vec<Told> {
    // Of whom and which rule: count, first, last.
    let mut open: BTreeMap<(String, &str), (u32, i64, i64)> = BTreeMap::new();
    let mut all = Vec::new();
    for at in 0..life.came.len() {
        let came = &life.came[..=at];
        let (mut told, upto) = (Told::new(), Upto::of(came));
        let now = match &came[at] {
            Came::Doc(doc) => i64::from(doc.came) * 1_000_000,
            Came::Tick(second) => i64::from(*second) * 1_000_000,
        };
        for key in READ {
            for drive in silence(came, key).into_iter().chain(overdue_now(came, key)) {
                open.insert((drive.as_str().to_owned(), key), (1, now, now));
                told.insert((key, false, 1, now, now));
            }
            let Some(upto) = &upto else { continue };
            if key == "D8.2" {
                // Another drive of the register may have ended it.
                let over = |whose: &(String, &str)| {
                    whose.1 == key && overdue(came, DriveNumber::parse(&whose.0).unwrap()).is_none()
                };
                for (_, (count, first, last)) in open.extract_if(.., |whose, _| over(whose)) {
                    told.insert((key, true, count, first, last));
                }
            }
            for says in flags(upto, key).into_iter().chain(upto.says(key)) {
                let register = ["R2", "R3"].contains(&key);
                let whose = if register {
                    trimmed(upto.doc, tags::KKT_REG_ID).unwrap()
                } else {
                    upto.doc.drive.as_str().to_owned()
                };
                let whose = (whose, key);
                if let Says::Is(false) = says {
                    told.extend(
                        open.remove(&whose).map(|(count, first, last)| (key, true, count, first, last)),
                    );
                    continue;
                }
                let silent = matches!(says, Says::Is(true)) && open.contains_key(&whose);
                let (count, first, last) = open.entry(whose).or_insert((0, now, now));
                (*count, *last) = (*count + 1, now);
                if !silent {
                    told.insert((key, false, *count, *first, *last));
                }
            }
        }
        all.push(told);
    }
    all
}

/// Flags of the drive, told when one of them changes.
fn flags(upto: &Upto<'_>, key: &str) -> Vec<Says> {
    let tag = match key {
        "F2.1" => tags::DRIVE_RUNNING_OUT,
        "F2.2" => tags::DRIVE_REPLACE_NOW,
        "F2.3" => tags::DRIVE_MEMORY_FULL,
        "F2.4" => tags::OPERATOR_SILENT,
        _ => return Vec::new(),
    };
    let all =
        [tags::DRIVE_RUNNING_OUT, tags::DRIVE_REPLACE_NOW, tags::DRIVE_MEMORY_FULL, tags::OPERATOR_SILENT];
    let of = |doc: &Doc| all.map(|tag| is(doc, tag));
    let reports: Vec<&Doc> = upto
        .newest_ones()
        .into_iter()
        .filter(|it| [Form::OPEN_SHIFT, Form::CLOSE_SHIFT].contains(&it.form))
        .collect();
    if !upto.newest || reports.last().is_none_or(|it| it.number != upto.doc.number) {
        return Vec::new();
    }
    let before = reports.iter().rev().nth(1).map_or([false; 4], |it| of(it));
    if of(upto.doc) == before { Vec::new() } else { vec![Says::Is(is(upto.doc, tag))] }
}

/// What is told, with D9.2 and D9.3 as one.
fn told(life: &Life) -> Vec<Told> {
    let mut fold = crate::life::registers();
    let mut all = Vec::new();
    for at in 0..life.came.len() {
        let events = life.fold(&mut fold, at);
        let mut set = Told::new();
        for it in events.iter().filter_map(finding) {
            let key = it.rule.rule().key;
            // The two have a count each; what is told of them is when.
            let (key, count, first) = match key {
                "D9.2" | "D9.3" => ("D9", 0, 0),
                key => (key, it.count, it.first_seen_us),
            };
            if READ.contains(&key) {
                set.insert((key, it.ended_us.is_some(), count, first, it.last_seen_us));
            }
        }
        all.push(set);
    }
    all
}

// The claim of the watch: what it finds as documents come is what anybody finds who lays all of them side by side.
// `OFD_LIVES=<n>` sets how many lives are compared.
#[test]
fn a_naive_reading_of_all_documents_finds_the_same() {
    let lives = std::env::var("OFD_LIVES").map_or(10_000, |text| text.parse().unwrap());
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let found: Vec<_> = std::thread::scope(|scope| {
        let parts =
            (1..=cores).map(|first| scope.spawn(move || compared((first..=lives).step_by(cores as usize))));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let (mut findings, mut rules) = (0, BTreeMap::new());
    for (many, of_rules) in found {
        findings += many;
        of_rules.into_iter().for_each(|(rule, count)| *rules.entry(rule).or_insert(0) += count);
    }
    println!("{lives} lives, {findings} findings by {} rules: {rules:?}", rules.len());
    assert!(lives < 10_000 || rules.len() >= 56, "{rules:?}");
}

/// How many findings these lives have on both sides, and how many of each rule.
fn compared(seeds: impl Iterator<Item = u64>) -> (usize, BTreeMap<&'static str, u32>) {
    let (mut findings, mut rules) = (0, BTreeMap::new());
    for seed in seeds {
        let life = life(&mut Rng(seed));
        let wanted = expected(&life).into_iter().map(|set| {
            let plain = |it| match it {
                ("D9", ended, _, _, last) => ("D9", ended, 0, 0, last),
                other => other,
            };
            set.into_iter().map(plain).collect::<Told>()
        });
        for (at, (found, wanted)) in told(&life).into_iter().zip(wanted).enumerate() {
            let (more, less): (Vec<_>, Vec<_>) =
                (found.difference(&wanted).collect(), wanted.difference(&found).collect());
            assert!(
                more.is_empty() && less.is_empty(),
                "seed {seed}, record {at}: found besides {more:?}, wanted besides {less:?}\n{:?}",
                life.came[at]
            );
            findings += found.len();
            found.iter().filter(|it| !it.1).for_each(|it| *rules.entry(it.0).or_insert(0) += 1);
        }
    }
    (findings, rules)
}
