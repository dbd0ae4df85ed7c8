//! Which documents: a search over both parts of a snapshot, newest first, in pages that stay where they are.
//!
//! ```text
//!   page ─▶ tail: rows of the log          ─┐
//!           days of the archive, newest first ├─▶ (day, position) descending ─▶ hits ─▶ cursor
//!           of each day its files             ─┘
//! ```
//!
//! Order: by the day that a document lies under ([`Day`]), then by position, newest first. Days can be read one after
//! another, and of a day as many rows are kept as a page still takes, so that nothing is sorted as a whole. Documents that
//! come while somebody turns pages are on none of his pages: a page has nothing above the position that was durable when his
//! first page was cut (see [`SearchCursor`]).
//!
//! Cost: files go by a printed sign or a drive (the index of the archive, [`crate::places`]), by day and organisation
//! (manifest), row groups and pages by statistics, rows by the cheapest condition first. A search that says nothing but an organisation opens every day that it goes
//! through, one that names a period only the days of it. Memory: a page, the footer of a file, and with conditions on items
//! the positions that match in one file. How many there are in all a page does not tell: counting would read everything.
//!
//! Items are joined to documents by position within a file: a document is found when one of its items passes every
//! condition on items.

mod cursor;
mod hit;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;

pub use self::cursor::SearchCursor;
pub use self::hit::SearchHit;
use self::hit::VAT_COLUMNS;
use super::condition::{Condition, Test, seconds_of, words_of};
use super::searched_file::{SearchedFile, cell_of};
use super::{Scan, Snapshot, owned, unreadable};
use crate::columns::read::damaged;
use crate::columns::{Cell, Day, Row, RowReader, Stored, Table};
use crate::compact::SourceRecord;
use crate::envelope::{Envelope, Realm};
use crate::error::{Error, ErrorKind};
use crate::manifest::FileEntry;
use crate::position::Lsn;
use crate::record::{RecordKind, RecordRef};

/// Most documents of a page.
pub const SEARCH_LIMIT_MAX: usize = 1000;

/// Kinds of codes under which marked goods are sold. Source: order ЕД-7-20/662@, tags 1305–1309, 1320–1325, and prefixes of 1162.
const MARKED: [&str; 11] = ["gs1m", "kmk", "mi", "egais2", "egais3", "f1", "f2", "f3", "f4", "f5", "f6"];
/// Columns that `items` and `documents` share, with one meaning.
const SHARED: [&str; 8] = ["inn", "rnm", "fn", "fd", "variant", "realm", "form", "direction"];

/// A means of payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payment {
    /// 1031.
    Cash,
    /// 1081.
    Electronic,
    /// 1215.
    Prepaid,
    /// 1216.
    Credit,
    /// 1217.
    Provision,
}

impl Payment {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cash, Self::Electronic, Self::Prepaid, Self::Credit, Self::Provision];

    /// The column that has its sum.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Electronic => "ecash",
            Self::Prepaid => "prepaid",
            Self::Credit => "credit",
            Self::Provision => "provision",
        }
    }
}

/// What is searched for: everything that is said has to hold. Default: every document of the realm `prod` that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// From this second on, on the clock of the till (1012). A document whose clock has no reason goes by the time received,
    /// UTC, as with the day it lies under.
    pub from: Option<i64>,
    /// Up to and with this one.
    pub to: Option<i64>,
    /// Organisations (1018).
    pub inns: Option<BTreeSet<String>>,
    /// Registration numbers (1037), padding off.
    pub rnms: Option<BTreeSet<String>>,
    /// The drive (1041), padding off.
    pub drive: Option<String>,
    /// Numbers of documents (1040).
    pub numbers: Option<RangeInclusive<u32>>,
    /// Printed fiscal sign (1077). Has 32 bits and repeats: needs an organisation, a register, a drive or a period.
    pub sign: Option<u32>,
    /// Sum (1020), kopecks.
    pub total: Option<RangeInclusive<i64>>,
    /// Shifts (1038).
    pub shifts: Option<RangeInclusive<u32>>,
    /// Number in the shift (1042).
    pub number_in_shift: Option<u32>,
    /// JSON names of forms: one of these.
    pub forms: Option<BTreeSet<String>>,
    /// 1054: one of these.
    pub directions: Option<BTreeSet<u8>>,
    /// Paid with one of these, a sum other than zero.
    pub payments: Option<BTreeSet<Payment>>,
    /// One of these bits of 1055.
    pub tax_systems: Option<u32>,
    /// One of these codes of 1199, a sum other than zero.
    pub vat_rates: Option<BTreeSet<u8>>,
    /// Words of the name of the cashier (1021), see [`ItemSearch::words`].
    pub cashier: Option<String>,
    /// 1203.
    pub cashier_inn: Option<String>,
    /// 1036.
    pub automat: Option<String>,
    /// One of these bits of 1057.
    pub agent_flags: Option<u32>,
    /// 1008, as it stands.
    pub buyer_contact: Option<String>,
    /// 1228.
    pub buyer_inn: Option<String>,
    /// 1125 or 1108.
    pub internet: Option<bool>,
    /// 1173: one of these.
    pub correction_types: Option<BTreeSet<u8>>,
    /// What it was answered with.
    pub answer_codes: Option<BTreeSet<u8>>,
    /// Those in which the rules have found something.
    pub with_findings: bool,
    /// Of this realm; `None`: of both.
    pub realm: Option<Realm>,
    /// Also variants that do not count.
    pub all_variants: bool,
    /// What one of its items has to be.
    pub item: ItemSearch,
}

/// What an item is searched for: everything that is said has to hold of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemSearch {
    /// Words, or parts of them, all of which stand in the name (1030): in any order and case, ё as е.
    pub words: Option<String>,
    /// GTIN; one with fewer than 14 digits is filled up with zeros.
    pub gtin: Option<String>,
    /// The code as it stands (1163, 1080; 1162 in hex, upper case).
    pub code: Option<String>,
    /// A code of a marked good.
    pub marked: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            inns: None,
            rnms: None,
            drive: None,
            numbers: None,
            sign: None,
            total: None,
            shifts: None,
            number_in_shift: None,
            forms: None,
            directions: None,
            payments: None,
            tax_systems: None,
            vat_rates: None,
            cashier: None,
            cashier_inn: None,
            automat: None,
            agent_flags: None,
            buyer_contact: None,
            buyer_inn: None,
            internet: None,
            correction_types: None,
            answer_codes: None,
            with_findings: false,
            realm: Some(Realm::Prod),
            all_variants: false,
            item: ItemSearch::default(),
        }
    }
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// Newest first.
    pub hits: Vec<SearchHit>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<SearchCursor>,
}

impl Search {
    /// Whether it can be answered.
    ///
    /// # Errors
    /// `Fix`: a printed sign without a scope. `of_organisations`: that some are named elsewhere.
    fn check(&self, of_organisations: bool) -> Result<(), Error> {
        let period = self.from.is_some() && self.to.is_some();
        let scoped = of_organisations || self.rnms.is_some() || self.drive.is_some() || period;
        if self.sign.is_some() && !scoped {
            let text = "a printed fiscal sign has 32 bits and repeats: \
                        name an organisation, a register, a drive or a period with both ends as well";
            return Err(Error::new(ErrorKind::Fix, text));
        }
        Ok(())
    }

    fn period(&self) -> RangeInclusive<i64> {
        self.from.unwrap_or(i64::MIN)..=self.to.unwrap_or(i64::MAX)
    }

    /// The condition on time for rows of a day, where the day as a whole does not answer it; `Err` when it has none.
    fn period_on(&self, day: Day) -> Result<Option<Condition>, ()> {
        let (period, day) = (self.period(), seconds_of(day));
        if day.end() < period.start() || period.end() < day.start() {
            return Err(());
        }
        let whole = period.start() <= day.start() && day.end() <= period.end();
        let partly = || Condition::new(Table::Documents, &["ts_local", "received_at"], Test::Period(period));
        Ok((!whole).then(partly))
    }

    /// What has to hold of a document, but time and findings.
    fn conditions(&self) -> Vec<Condition> {
        let mut out = Vec::new();
        let mut ask = |names: &[&str], test: Option<Test>| {
            out.extend(test.map(|test| Condition::new(Table::Documents, names, test)));
        };
        let one = |text: &Option<String>| text.clone().map(|it| Test::Texts(BTreeSet::from([it])));
        let some = |texts: &Option<BTreeSet<String>>| texts.clone().map(Test::Texts);
        let numbers = |range: &Option<RangeInclusive<u32>>| {
            range.as_ref().map(|it| Test::Within(i64::from(*it.start())..=i64::from(*it.end())))
        };
        let codes = |codes: &Option<BTreeSet<u8>>| {
            codes.as_ref().map(|it| Test::OneOf(it.iter().map(|code| i64::from(*code)).collect()))
        };
        let number = |number: Option<u32>| number.map(|it| Test::OneOf(vec![i64::from(it)]));
        let bits = |bits: Option<u32>| bits.map(|it| Test::AnyBit(i64::from(it)));
        ask(&["fpd"], number(self.sign));
        ask(&["fn"], one(&self.drive));
        ask(&["fd"], numbers(&self.numbers));
        ask(&["inn"], some(&self.inns));
        ask(&["rnm"], some(&self.rnms));
        ask(&["total"], self.total.clone().map(Test::Within));
        ask(&["shift"], numbers(&self.shifts));
        ask(&["number_in_shift"], number(self.number_in_shift));
        ask(&["form"], some(&self.forms));
        ask(&["direction"], codes(&self.directions));
        if let Some(payments) = &self.payments {
            let names: Vec<&str> = payments.iter().map(|it| it.column()).collect();
            ask(&names, Some(Test::NotZero));
        }
        if let Some(rates) = &self.vat_rates {
            let known = VAT_COLUMNS.iter().filter(|(code, _)| rates.contains(code));
            let names: Vec<&str> = known.flat_map(|(_, names)| names.iter().copied()).collect();
            ask(&names, Some(Test::NotZero));
        }
        ask(&["tax_system"], bits(self.tax_systems));
        ask(&["cashier"], self.cashier.as_deref().map(words_of).filter(|it| !it.is_empty()).map(Test::Words));
        ask(&["cashier_inn"], one(&self.cashier_inn));
        ask(&["automat"], one(&self.automat));
        ask(&["agent_flags"], bits(self.agent_flags));
        ask(&["buyer_contact"], one(&self.buyer_contact));
        ask(&["buyer_inn"], one(&self.buyer_inn));
        ask(&["internet"], self.internet.map(Test::Flag));
        ask(&["correction_type"], codes(&self.correction_types));
        ask(&["answer_code"], codes(&self.answer_codes));
        let realm = self.realm.map(|it| it.as_str());
        ask(&["realm"], realm.map(|it| Test::Texts(BTreeSet::from([it.to_owned()]))));
        ask(&["variant"], (!self.all_variants).then(|| Test::OneOf(vec![0])));
        out
    }

    /// What has to hold of one item.
    fn item_conditions(&self) -> Vec<Condition> {
        let ItemSearch { words, gtin, code, marked } = &self.item;
        let mut out = Vec::new();
        let mut ask = |name: &str, test: Option<Test>| {
            out.extend(test.map(|test| Condition::new(Table::Items, &[name], test)));
        };
        let one = |text: String| Test::Texts(BTreeSet::from([text]));
        ask("gtin", gtin.as_ref().map(|it| one(format!("{it:0>14}"))));
        ask("code_raw", code.clone().map(one));
        let kinds = || Test::Texts(MARKED.iter().map(|it| (*it).to_owned()).collect());
        ask("code_kind", marked.then(kinds));
        ask("name", words.as_deref().map(words_of).filter(|it| !it.is_empty()).map(Test::Words));
        out
    }

    /// What tells it from other searches, for cursors. Made of the conditions, so that a kind of condition that comes later
    /// changes nothing in a search without it.
    fn fingerprint(&self) -> String {
        let mut out = format!("{:?} {:?}", self.period(), self.with_findings);
        for condition in self.conditions().iter().chain(&self.item_conditions()) {
            let names: Vec<&str> = condition.names().collect();
            out.push_str(&format!("\n{} {:?}", names.join(" "), condition.test));
        }
        out
    }
}

fn findings() -> Condition {
    Condition::new(Table::Documents, &["violations_n"], Test::Within(1..=i64::MAX))
}

impl Snapshot {
    /// A page of the documents that are searched for: the first, or the one behind a cursor. `sees`: of these organisations
    /// and of no other; `None`: of all. At most `limit` documents, 1..=[`SEARCH_LIMIT_MAX`].
    ///
    /// # Errors
    /// `Fix` for a printed sign without a scope, a limit out of range, or a cursor of another search; `is_not_found` when a
    /// file or segment has gone meanwhile: take another snapshot; `Corrupt` when a file cannot be read; else of the system.
    pub fn search(
        &self,
        search: &Search,
        sees: Option<&BTreeSet<String>>,
        limit: usize,
        after: Option<&SearchCursor>,
    ) -> Result<SearchPage, Error> {
        if !(1..=SEARCH_LIMIT_MAX).contains(&limit) {
            let text = format!("a page has 1 to {SEARCH_LIMIT_MAX} documents, not {limit}");
            return Err(Error::new(ErrorKind::Fix, text));
        }
        search.check(sees.is_some() || search.inns.is_some())?;
        let fingerprint = search.fingerprint();
        if after.is_some_and(|it| !it.is_of(&fingerprint)) {
            return Err(Error::new(ErrorKind::Fix, "this cursor was given by another search"));
        }
        let inns = match (sees, &search.inns) {
            (Some(sees), Some(asked)) => Some(sees.intersection(asked).cloned().collect()),
            (sees, asked) => sees.or(asked.as_ref()).cloned(),
        };
        if inns.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(SearchPage::default());
        }
        let ceiling = after.map_or(self.through.as_u64(), |it| it.ceiling);
        let search = Search { inns, ..search.clone() };
        let walk = Walk {
            snapshot: self,
            conditions: search.conditions(),
            item_conditions: search.item_conditions(),
            search: &search,
            ceiling,
            below: after.map(|it| (it.day, it.position)),
        };
        // One more than the page has tells whether there is another page.
        let mut hits = walk.take(limit.saturating_add(1))?;
        let more = hits.len() > limit;
        hits.truncate(limit);
        let next = |(day, hit): &(Day, SearchHit)| {
            SearchCursor::new(ceiling, *day, hit.position.as_u64(), &fingerprint)
        };
        let next = hits.last().filter(|_| more).map(next);
        Ok(SearchPage { hits: hits.into_iter().map(|(_, hit)| hit).collect(), next })
    }
}

/// One page on its way.
struct Walk<'s> {
    snapshot: &'s Snapshot,
    search: &'s Search,
    conditions: Vec<Condition>,
    item_conditions: Vec<Condition>,
    /// Nothing above this position.
    ceiling: u64,
    /// Nothing but what stands behind this day and position.
    below: Option<(Day, u64)>,
}

/// A document that will be on the page, unless newer ones fill it.
enum Kept {
    InTail(Stored),
    Read(Box<SearchHit>),
}

impl Walk<'_> {
    fn take(&self, most: usize) -> Result<Vec<(Day, SearchHit)>, Error> {
        let mut tail = self.tail(most)?;
        let mut files: BTreeMap<Day, Vec<&FileEntry>> = BTreeMap::new();
        let drive = self.search.drive.clone();
        let scan = Scan { inns: self.search.inns.clone(), drive, ..Scan::default() };
        let archive = self.snapshot.archive();
        let may_hold = match (self.search.sign, &self.search.drive) {
            (Some(sign), _) => archive.files_of_sign(sign)?,
            (None, Some(drive)) => {
                archive.documents_of_drive(drive, self.search.numbers.as_ref().unwrap_or(&(0..=u32::MAX)))?
            }
            (None, None) => archive.files(Table::Documents).collect(),
        };
        for file in may_hold.into_iter().filter(|file| scan.reaches(Table::Documents, file)) {
            let day: Day = file.date.parse().map_err(|error| damaged(&file.path(), error))?;
            if self.search.period_on(day).is_ok() && self.below.is_none_or(|(below, _)| day <= below) {
                files.entry(day).or_default().push(file);
            }
        }
        let days: BTreeSet<Day> = files.keys().copied().chain(tail.keys().map(|(day, _)| *day)).collect();
        let mut hits = Vec::new();
        for day in days.into_iter().rev() {
            let room = most.saturating_sub(hits.len());
            if room == 0 {
                break;
            }
            // Later days have gone before.
            let of_tail = tail.split_off(&(day, 0)).into_iter();
            let mut kept: BTreeMap<u64, Kept> =
                of_tail.map(|((_, position), stored)| (position, Kept::InTail(stored))).collect();
            let mut of_day = files.remove(&day).unwrap_or_default();
            of_day.sort_by_key(|file| std::cmp::Reverse(file.positions.1));
            for file in of_day {
                if kept.len() >= room
                    && kept.keys().nth_back(room.saturating_sub(1)) > Some(&file.positions.1)
                {
                    break;
                }
                self.file(day, file, room, &mut kept)?;
            }
            let mut reader = RowReader::default();
            for kept in kept.into_values().rev().take(room) {
                let hit = match kept {
                    Kept::Read(hit) => *hit,
                    Kept::InTail(stored) => self.hit_of(&mut reader, &stored)?,
                };
                hits.push((day, hit));
            }
        }
        Ok(hits)
    }

    /// Which positions of a day can be on the page.
    fn positions(&self, day: Day) -> RangeInclusive<u64> {
        let below =
            self.below.filter(|(below, _)| *below == day).map(|(_, position)| position.saturating_sub(1));
        0..=below.unwrap_or(u64::MAX).min(self.ceiling)
    }

    /// The newest documents of a file, so many at most, beside those that are kept already.
    fn file(
        &self,
        day: Day,
        entry: &FileEntry,
        room: usize,
        kept: &mut BTreeMap<u64, Kept>,
    ) -> Result<(), Error> {
        let Ok(period) = self.search.period_on(day) else { return Ok(()) };
        let mut conditions = self.conditions.clone();
        conditions.extend(period);
        conditions.extend(self.search.with_findings.then(findings));
        let (least, most) = self.positions(day).into_inner();
        let least = kept.keys().nth_back(room.saturating_sub(1)).map_or(least, |it| it.saturating_add(1));
        if most < entry.positions.0 {
            return Ok(());
        }
        if entry.positions.0 < least || most < entry.positions.1 {
            let range = i64::try_from(least).unwrap_or(i64::MAX)..=i64::try_from(most).unwrap_or(i64::MAX);
            conditions.push(at_positions(Test::Within(range)));
        }
        if !self.item_conditions.is_empty() {
            let of_items = self.items(entry)?;
            if of_items.is_empty() {
                return Ok(());
            }
            conditions.push(at_positions(Test::OneOf(of_items)));
        }
        let env = &**self.snapshot.archive().env();
        let Some(file) = SearchedFile::open(env, entry.path(), conditions)? else { return Ok(()) };
        let mut newest = Vec::new();
        file.each_match(&["position"], |batch| {
            newest.extend(positions_of(batch));
            if newest.len() > room.saturating_mul(2).saturating_add(8192) {
                keep_newest(&mut newest, room);
            }
            Ok(())
        })?;
        keep_newest(&mut newest, room);
        if newest.is_empty() {
            return Ok(());
        }
        newest.sort_unstable();
        file.each_row(at_positions(Test::OneOf(newest)), &SearchHit::COLUMNS, |batch| {
            for row in 0..batch.num_rows() {
                let hit = SearchHit::of(&|name| cell_of(batch, row, name));
                kept.insert(hit.position.as_u64(), Kept::Read(Box::new(hit)));
            }
            Ok(())
        })?;
        while kept.len() > room {
            kept.pop_first();
        }
        Ok(())
    }

    /// Positions, ascending, of the documents of a file that have such an item.
    fn items(&self, entry: &FileEntry) -> Result<Vec<i64>, Error> {
        let shared = self.conditions.iter().filter(|it| it.names().all(|name| SHARED.contains(&name)));
        let mut conditions: Vec<Condition> = shared.map(|it| it.on(Table::Items)).collect();
        conditions.extend(self.item_conditions.iter().cloned());
        let archive = self.snapshot.archive();
        let (first, last) = entry.positions;
        let same = |file: &&FileEntry| {
            file.date == entry.date && file.positions.0 <= last && first <= file.positions.1
        };
        let mut positions = Vec::new();
        for items in archive.files(Table::Items).filter(same) {
            let file = SearchedFile::open(&**archive.env(), items.path(), conditions.clone())?;
            let Some(file) = file else { continue };
            file.each_match(&["position"], |batch| {
                positions.extend(positions_of(batch));
                // The items of a document stand together.
                positions.dedup();
                Ok(())
            })?;
        }
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// The newest documents of the tail, so many at most.
    fn tail(&self, most: usize) -> Result<BTreeMap<(Day, u64), Stored>, Error> {
        let mut newest = BTreeMap::new();
        let after = self.snapshot.archive().compacted_through();
        let upto = self.snapshot.through.as_u64().min(self.ceiling);
        let mut reader = RowReader::default();
        self.snapshot.each_tail(after, Lsn::new(upto), &mut |record, _| {
            if !self.may_be(record) {
                return Ok(());
            }
            let SourceRecord::Document(stored) = owned(record) else { return Ok(()) };
            if let Some(key) = self.key(&mut reader, &stored)? {
                newest.insert(key, stored);
            }
            while newest.len() > most {
                newest.pop_first();
            }
            Ok(())
        })?;
        Ok(newest)
    }

    /// What the envelope alone answers, so that most records are not copied.
    fn may_be(&self, record: &RecordRef<'_>) -> bool {
        if record.kind() != RecordKind::Document {
            return false;
        }
        let Ok(envelope) = Envelope::of(record) else { return true };
        let drive = self.search.drive.as_ref();
        drive.is_none_or(|it| it.as_bytes() == envelope.drive.trim_ascii_end())
            && self.search.numbers.as_ref().is_none_or(|it| it.contains(&envelope.number))
    }

    /// Day and position of a document of the tail, when it is one of them and on this page or a later one.
    fn key(&self, reader: &mut RowReader, stored: &Stored) -> Result<Option<(Day, u64)>, Error> {
        let broken = |error| unreadable(stored.position, error);
        reader.read(stored, None).map_err(broken)?;
        let row = reader.row();
        let key = (row.day(), stored.position);
        let Ok(period) = self.search.period_on(key.0) else { return Ok(None) };
        let passes = self.positions(key.0).contains(&stored.position)
            && self.below.is_none_or(|below| key < below)
            && self.conditions.iter().chain(&period).all(|it| it.takes(row));
        if !passes || !self.has_item(reader) {
            return Ok(None);
        }
        if self.search.with_findings {
            reader.read(stored, self.snapshot.derive.as_deref()).map_err(broken)?;
            return Ok(findings().takes(reader.row()).then_some(key));
        }
        Ok(Some(key))
    }

    fn has_item(&self, reader: &mut RowReader) -> bool {
        let conditions = &self.item_conditions;
        let is_it = |row: &Row| conditions.iter().all(|it| it.takes(row));
        // The walk over items ends with the first that is one.
        conditions.is_empty() || reader.each_item(|row| if is_it(row) { Err(()) } else { Ok(()) }).is_err()
    }

    /// What is told of a document of the tail.
    fn hit_of(&self, reader: &mut RowReader, stored: &Stored) -> Result<SearchHit, Error> {
        let derive = self.snapshot.derive.as_deref();
        reader.read(stored, derive).map_err(|error| unreadable(stored.position, error))?;
        let row = reader.row();
        let columns = Table::Documents.columns();
        let column = |name: &str| columns.iter().find(|column| column.name == name);
        Ok(SearchHit::of(&|name| column(name).map_or(Cell::Null, |it| (it.cell)(row))))
    }
}

fn at_positions(test: Test) -> Condition {
    Condition::new(Table::Documents, &["position"], test)
}

fn positions_of(batch: &RecordBatch) -> impl Iterator<Item = i64> {
    let positions = batch.column_by_name("position").and_then(|it| it.as_primitive_opt::<Int64Type>());
    positions.into_iter().flat_map(|it| it.values().iter().copied())
}

/// Leaves so many of the largest.
fn keep_newest(positions: &mut Vec<i64>, most: usize) {
    positions.sort_unstable_by(|one, other| other.cmp(one));
    positions.truncate(most);
}
