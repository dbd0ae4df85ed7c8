//! What belongs together: a refund and a correction to the documents they are about, walked both ways.
//!
//! ```text
//!  refund (1054 = 2, 4) ────┐                             ┌─ by reference: 1192 names the fiscal sign
//!                           ├─▶ originals, each with a ───┤
//!  correction (31, 41) ─────┘   confidence and reasons    └─ by requisites: register, sum, items, day (1178), number (1179)
//! ```
//!
//! No document says for certain what it is about, so nothing is decided here: what fits is given, all of it, best first. What
//! fits equally well shares the confidence. Where a fiscal sign is named and found, nothing else is guessed.
//!
//! Confidence, 1 to 100, for one that fits alone:
//!
//! | | sign named | items and sum | sum | part of the items |
//! |---|---|---|---|---|
//! | refund | 100 | 80 | 40 | 50 |
//! | correction that takes back (2 for 1, 4 for 3), of the same day (1178) | 100 | 80 | 60 | – |
//! | correction that says again (same sign of settlement), of the same day | 100 | 60 | 40 | – |
//! | correction without 1178 | 100 | 50 | – | – |
//!
//! The same buyer adds 10, a number (1179) that is that of the document 10. An original is a receipt or БСО of the same register that
//! was made before, within [`WINDOW_DAYS`] for a refund.
//!
//! A fiscal sign is found however old the original is; without one a refund is looked for within [`WINDOW_DAYS`].
//!
//! Nothing is kept: it is a search of the archive and the log, bounded in what it reads ([`LOOKED_AT_MAX`], and 8 numbers of 1192); where a
//! bound was reached, [`Links::complete`] says so.
//!
//! Invariants: both ways tell the same pairs, and those of a matcher that compares all documents (test:
//! `tests/links.rs::both_ways_tell_what_a_comparison_of_all_documents_tells`); what fits equally well is told as such (test:
//! `links/facts.rs::what_fits_equally_well_shares_the_confidence`).
//!
//! Source: letters of the ФНС on corrections under ФФД 1.05 to 1.2 (the fiscal sign of the wrong receipt goes into 1192); tables of
//! forms 31 and 41 (1173, 1174).

mod facts;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use ofd_codec::DriveNumber;
use ofd_storage::Position;
use ofd_storage::envelope::Realm;
use ofd_storage::union::{ItemSearch, Search, SearchCursor, SearchPage};

use self::facts::{Facts, Fit, fit, shared};
use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::query::StoredDocument;
use crate::readonly::ReadOnly;

/// A refund is looked for behind its original for so long.
pub const WINDOW_DAYS: u32 = 400;
/// Documents that are read for one answer at most, both ways together.
pub const LOOKED_AT_MAX: usize = 1_000;
/// Numbers in 1192 of a document that are looked up as fiscal signs at most.
const SIGNS_MAX: usize = 8;
/// Later documents whose own originals are looked up at most.
const LATER_MAX: usize = 50;
const PAGE: usize = 100;
const DAY_S: i64 = 86_400;

/// Why two documents are thought to belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LinkReason {
    /// Its fiscal sign is named in 1192.
    Sign,
    /// The same items for the same sum.
    Items,
    /// The same sum.
    Total,
    /// Some of its items.
    SomeItems,
    /// Made on the day that 1178 names.
    Day,
    /// 1179 is its number.
    Number,
    /// The same buyer (1008).
    Buyer,
}

impl LinkReason {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Items => "items",
            Self::Total => "total",
            Self::SomeItems => "some-items",
            Self::Day => "day",
            Self::Number => "number",
            Self::Buyer => "buyer",
        }
    }
}

/// A document that another one is thought to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its place in the log.
    pub position: Position,
    /// Its drive (1041).
    pub drive: DriveNumber,
    /// Its number (1040).
    pub number: u32,
    /// JSON name of its form.
    pub form: String,
    /// 1054.
    pub direction: u8,
    /// Its 1012, seconds on the clock of the till.
    pub local_seconds: Option<u32>,
    /// 1020, kopecks.
    pub total: i64,
    /// 1 to 100.
    pub confidence: u8,
    /// Why.
    pub reasons: Vec<LinkReason>,
}

/// What belongs to a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// What it is about, if it is a refund or a correction; best first, newest first.
    pub originals: Vec<Link>,
    /// Refunds and corrections that are about it, with the confidence that each of them has in it.
    pub later: Vec<Link>,
    /// Everything that may fit was looked at.
    pub complete: bool,
}

impl Engine {
    /// What a document belongs to and what belongs to it, as far as the capability reaches; `None`: there is no such document.
    /// Of its variants the one that counts.
    ///
    /// # Errors
    /// As [`Engine::search`] and [`Engine::find`].
    pub fn links_of(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<Links>, Error> {
        let search =
            |search: &Search, after: Option<&SearchCursor>| self.search(capability, search, PAGE, after);
        let find = |drive, number| self.find(capability, drive, number);
        Looker::new(&search, &find).links_of(drive, number)
    }
}

impl ReadOnly {
    /// As [`Engine::links_of`].
    ///
    /// # Errors
    /// As there.
    pub fn links_of(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<Links>, Error> {
        let search =
            |search: &Search, after: Option<&SearchCursor>| self.search(capability, search, PAGE, after);
        let find = |drive, number| self.find(capability, drive, number);
        Looker::new(&search, &find).links_of(drive, number)
    }
}

type SearchFn<'l> = dyn Fn(&Search, Option<&SearchCursor>) -> Result<SearchPage, Error> + 'l;
type FindFn<'l> = dyn Fn(DriveNumber, u32) -> Result<Vec<StoredDocument>, Error> + 'l;

/// How documents are found.
struct Looker<'l> {
    search: &'l SearchFn<'l>,
    find: &'l FindFn<'l>,
    /// What was read: each document once, whatever finds it again.
    seen: RefCell<BTreeMap<Position, Option<Facts>>>,
}

impl<'l> Looker<'l> {
    fn new(search: &'l SearchFn<'l>, find: &'l FindFn<'l>) -> Self {
        Self { search, find, seen: RefCell::default() }
    }

    fn links_of(&self, drive: DriveNumber, number: u32) -> Result<Option<Links>, Error> {
        let Some((facts, realm)) = self.document(drive, number, None)? else { return Ok(None) };
        let mut complete = true;
        let originals = self.originals(&facts, realm, None, &mut complete)?;
        let later = self.later(&facts, realm, &mut complete)?;
        Ok(Some(Links { originals: originals.into_iter().map(link).collect(), later, complete }))
    }

    /// The variant that counts, or the one at a position.
    fn document(
        &self,
        drive: DriveNumber,
        number: u32,
        at: Option<Position>,
    ) -> Result<Option<(Facts, Realm)>, Error> {
        let found = (self.find)(drive, number)?;
        let counts = |it: &StoredDocument| match at {
            Some(at) => it.position() == at,
            None => it.envelope().is_ok_and(|it| it.variant == 0),
        };
        // A verified variant may have won over the first one.
        let chosen = found.iter().rfind(|it| counts(it)).or(found.first());
        Ok(chosen.and_then(|it| Some((Facts::of(it)?, it.envelope().ok()?.realm))))
    }

    /// Documents that are found by a search, up to what one answer may read.
    fn documents(&self, search: &Search, complete: &mut bool) -> Result<Vec<Facts>, Error> {
        let (mut facts, mut after) = (Vec::new(), None);
        loop {
            let page = (self.search)(search, after.as_ref())?;
            for hit in page.hits {
                if let Some(known) = self.seen.borrow().get(&hit.position) {
                    facts.extend(known.clone());
                    continue;
                }
                if self.seen.borrow().len() >= LOOKED_AT_MAX {
                    *complete = false;
                    return Ok(facts);
                }
                let Ok(drive) = DriveNumber::parse(&hit.drive) else { continue };
                let found = self.document(drive, hit.number, Some(hit.position))?.map(|it| it.0);
                self.seen.borrow_mut().insert(hit.position, found.clone());
                facts.extend(found);
            }
            after = page.next;
            if after.is_none() {
                return Ok(facts);
            }
        }
    }

    /// What a refund or a correction is about, best first. `known` fits it, and is among them where the bound was reached before it was
    /// read.
    fn originals(
        &self,
        later: &Facts,
        realm: Realm,
        known: Option<&Facts>,
        complete: &mut bool,
    ) -> Result<Vec<(Facts, Fit)>, Error> {
        let mut found: Vec<Facts> = Vec::new();
        if !later.is_about_another() {
            return Ok(Vec::new());
        }
        let of_register = || later.of_register(realm);
        if later.signs.len() > SIGNS_MAX {
            *complete = false;
        }
        for sign in later.signs.iter().take(SIGNS_MAX) {
            let search = Search { sign: Some(*sign), to: later.at.map(i64::from), ..of_register() };
            found.extend(self.documents(&search, complete)?);
        }
        let is_new =
            |found: &[Facts]| found.iter().all(|it| known.is_none_or(|known| known.position != it.position));
        if !*complete && is_new(&found) {
            found.extend(known.cloned());
        }
        let named = shared(later, found.iter());
        if named.iter().any(|(_, fit)| fit.reasons.contains(&LinkReason::Sign)) {
            return Ok(owned(named));
        }
        let total = Some(later.total..=later.total);
        let forms = || Some(["receipt", "bso"].map(str::to_owned).into());
        let (from, to) = later.times();
        let search = Search { from, to, total, forms: forms(), ..of_register() };
        found.extend(self.documents(&search, complete)?);
        if let Some(name) = later.items.first().map(|it| it.name.clone()).filter(|_| later.is_refund()) {
            let words = Some(name).filter(|it| it.chars().any(char::is_alphanumeric));
            let item = ItemSearch { words, ..ItemSearch::default() };
            let total = Some(later.total..=i64::MAX);
            let directions = Some(BTreeSet::from([later.direction.saturating_sub(1)]));
            let search = Search { from, to, total, item, directions, forms: forms(), ..of_register() };
            found.extend(self.documents(&search, complete)?);
        }
        if later.corrects_number.is_some() {
            let search = Search {
                from,
                to,
                numbers: later.corrects_number.map(|it| it..=it),
                forms: forms(),
                ..of_register()
            };
            found.extend(self.documents(&search, complete)?);
        }
        if !*complete && is_new(&found) {
            found.extend(known.cloned());
        }
        found.sort_by_key(|it| it.position);
        found.dedup_by_key(|it| it.position);
        Ok(owned(shared(later, found.iter())))
    }

    /// What is about a document, newest first.
    fn later(&self, original: &Facts, realm: Realm, complete: &mut bool) -> Result<Vec<Link>, Error> {
        if !original.is_original() {
            return Ok(Vec::new());
        }
        let from = original.at.map(i64::from);
        let to = from.map(|from| from.saturating_add(i64::from(WINDOW_DAYS).saturating_mul(DAY_S)));
        let refunds = Search {
            from,
            to,
            directions: Some(BTreeSet::from([original.direction.saturating_add(1)])),
            total: Some(0..=original.total),
            forms: Some(["receipt", "bso"].map(str::to_owned).into()),
            ..original.of_register(realm)
        };
        let corrections = Search {
            from,
            forms: Some(["receiptCorrection", "bsoCorrection"].map(str::to_owned).into()),
            ..original.of_register(realm)
        };
        // One that names the sign may be about more than that.
        let greater = Search { total: Some(original.total.saturating_add(1)..=i64::MAX), ..refunds.clone() };
        let mut candidates = self.documents(&refunds, complete)?;
        candidates.extend(self.documents(&corrections, complete)?);
        candidates.extend(self.documents(&greater, complete)?);
        if let Some(to) = to {
            // Behind the window it has to name the sign.
            let late = Search { from: Some(to.saturating_add(1)), to: None, total: None, ..refunds };
            candidates.extend(self.documents(&late, complete)?);
        }
        candidates.retain(|it| fit(it, original).is_some());
        candidates.sort_by_key(|it| std::cmp::Reverse(it.position));
        candidates.dedup_by_key(|it| it.position);
        if candidates.len() > LATER_MAX {
            *complete = false;
        }
        let mut links = Vec::new();
        for candidate in candidates.into_iter().take(LATER_MAX) {
            let originals = self.originals(&candidate, realm, Some(original), complete)?;
            let own = originals.into_iter().find(|(it, _)| it.position == original.position);
            links.extend(own.map(|(_, fit)| link((candidate, fit))));
        }
        Ok(links)
    }
}

fn owned(shared: Vec<(&Facts, Fit)>) -> Vec<(Facts, Fit)> {
    shared.into_iter().map(|(facts, fit)| (facts.clone(), fit)).collect()
}

fn link((facts, fit): (Facts, Fit)) -> Link {
    Link {
        position: facts.position,
        drive: facts.drive,
        number: facts.number,
        form: facts.form_name(),
        direction: facts.direction,
        local_seconds: facts.at,
        total: facts.total,
        confidence: fit.confidence,
        reasons: fit.reasons,
    }
}
