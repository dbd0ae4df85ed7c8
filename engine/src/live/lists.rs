//! Lists of registers in pages, counts by colour, and the first page of a cabinet in one call.
//!
//! Memory: 32 bytes for each register that a page's query takes, while it is cut; by a text 116, and what texts.rs keeps. The fold
//! waits for [`LOOKED_AT_ONCE`] registers at a time. What it costs grows with the registers that the capability shows: a merchant
//! pays for his own.
//!
//! Colours are those that were told last, a second old at most; a light with its reasons, a forecast and the order by one are as of now.
//!
//! Invariants: the pages hold what a naive filter and sort give, once, and nothing of anybody else, while registers change
//! (test: `tests/watch/lists.rs`).

use core::ops::Range;
use std::collections::BTreeSet;

use ofd_codec::LocalSeconds;
use ofd_storage::envelope::Realm;
use ofd_storage::{ErrorKind, Position};

use super::book::{Register, RegisterBook};
use super::texts::{READ_AT_ONCE, TEXTS_MAX, TextKey, Wanted};
use crate::engine::Engine;
use crate::error::Error;
use crate::host::{Capability, Scope};
use crate::registers::{Card, Grain, Registers, Today, Whose};
use crate::watch::{
    ColourCounts, DOCUMENTS_READ_MAX, Facets, Forecast, Key, LIST_LIMIT_MAX, Light, Place, RegisterCursor,
    RegisterQuery, RegisterSort, RegisterText, Risk,
};

/// Registers that are looked at while the fold waits.
const LOOKED_AT_ONCE: usize = 4_096;
/// Drives that end within so many days are counted.
const DRIVES_ENDING_D: i64 = 30;

/// A register of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The register with its drive.
    pub register: Register,
    /// Colours as they were told last.
    pub facets: Facets,
    /// Its light as of now, with reasons.
    pub light: Light,
    /// When its drive has to be replaced.
    pub forecast: Option<Forecast>,
    /// Where it stands.
    pub place: Option<Place>,
    /// What it has sold today; `None`: nothing.
    pub today: Option<Today>,
}

impl Listed {
    /// When its open shift was opened, by its own clock; `None` without one, and where the report has not come.
    #[must_use]
    pub fn open_since(&self) -> Option<LocalSeconds> {
        self.register.drive.open_shift()?.opened?.at
    }
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPage {
    /// In the order of the query.
    pub registers: Vec<Listed>,
    /// What the next page begins behind; `None`: there is none now.
    pub next: Option<RegisterCursor>,
}

/// Sales of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sales {
    /// Kopecks, by the formula of [`crate::registers::Totals::revenue`].
    pub revenue: i64,
    /// Receipts.
    pub receipts: u64,
    /// Kopecks a receipt, rounded towards zero; `None` without receipts.
    pub average: Option<i64>,
    /// Rows before this time are not told: they are in the archive.
    pub since: Option<LocalSeconds>,
}

/// What a first page shows. Each part stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboard {
    /// Every document up to here is in it.
    pub position: Position,
    /// By the clock of the engine, microseconds UTC.
    pub as_of_us: i64,
    /// Registers by colour, and by facet and colour.
    pub colours: ColourCounts,
    /// With an open shift.
    pub shifts_open: usize,
    /// With documents that wait in their drives.
    pub backlogs: usize,
    /// With drives that end within 30 days, or have ended.
    pub drives_ending: usize,
    /// Documents that the drives at work have sent, ever.
    pub documents: u64,
    /// Sales of the period; `None`: nothing was ever sold.
    pub sales: Option<Sales>,
}

fn fix(what: &str) -> Error {
    Error::new(ErrorKind::Fix, what.to_owned())
}

/// A text of a query in small letters; `None` for none and an empty one.
fn lower(text: Option<&str>) -> Option<String> {
    text.filter(|it| !it.is_empty()).map(str::to_lowercase)
}

/// What a page is asked for.
struct Asked<'q> {
    query: &'q RegisterQuery,
    limit: usize,
    after: Option<&'q RegisterCursor>,
    now: u32,
}

/// A key that pages are cut by: sorts as its bytes.
trait PageKey: Copy + Ord + AsRef<[u8]> + for<'k> TryFrom<&'k [u8]> {
    /// Sorts the other way round, if it is to.
    fn turned(self, round: bool) -> Self;
}

impl<const N: usize> PageKey for [u8; N]
where
    Self: Ord,
{
    fn turned(self, round: bool) -> Self {
        if round { self.map(|byte| !byte) } else { self }
    }
}

/// What a page is cut from: the registers behind the cursor, by keys that always go upwards.
struct Cut<K> {
    descending: bool,
    from: Option<(K, u32)>,
    found: Vec<(K, u32)>,
}

impl<K: PageKey> Cut<K> {
    /// What is asked for, as `fill` puts it in.
    fn filled(asked: &Asked<'_>, fill: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<Self, Error> {
        let mut cut = Self { descending: asked.query.descending, from: None, found: Vec::new() };
        if let Some(cursor) = asked.after {
            let key = K::try_from(&cursor.key).ok().filter(|_| asked.query.is_mine(cursor));
            let key = key.ok_or_else(|| fix("the cursor is of another query"))?;
            cut.from = Some((key.turned(cut.descending), cursor.number));
        }
        fill(&mut cut)?;
        Ok(cut)
    }

    fn push(&mut self, key: K, number: u32) {
        let one = (key.turned(self.descending), number);
        if self.from.is_none_or(|from| one > from) {
            self.found.push(one);
        }
    }

    /// The first so many, in order.
    fn first(mut self, most: usize) -> Vec<(K, u32)> {
        if self.found.len() > most {
            self.found.select_nth_unstable(most);
            self.found.truncate(most);
        }
        self.found.sort_unstable();
        self.found
    }

    /// All of them, in order.
    fn numbers(self) -> Vec<u32> {
        self.first(usize::MAX).into_iter().map(|(_, number)| number).collect()
    }
}

/// INNs as registers write them: some pad one of ten digits.
fn written(inns: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let padded = inns.iter().filter(|it| it.len() == 10).map(|it| format!("00{it}"));
    inns.iter().cloned().chain(padded.filter(|it| !inns.contains(it)))
}

impl RegisterBook {
    /// The numbers of the cards that the capability shows, of one organisation or of all.
    fn visible(&self, registers: &Registers, inn: Option<&str>) -> Vec<u32> {
        let sees = |inn: &str| self.capability().sees(Some(inn));
        match (inn, self.capability().scope()) {
            (Some(inn), _) if sees(inn) => registers.card_numbers(Some(inn)),
            (Some(_), _) => Vec::new(),
            (None, Scope::Operator) => registers.card_numbers(None),
            (None, Scope::Users(inns)) => {
                written(inns).flat_map(|inn| registers.card_numbers(Some(&inn))).collect()
            }
        }
    }

    /// Looks at the cards that the capability shows, of one organisation or of all; some at a time, so that the fold goes on between.
    fn look(&self, inn: Option<&str>, mut each: impl FnMut(&Registers, u32)) {
        let (mut numbers, moves) = {
            let registers = self.book();
            (self.visible(&registers, inn), registers.moves())
        };
        // In the order they came.
        numbers.sort_unstable();
        for some in numbers.chunks(LOOKED_AT_ONCE) {
            let registers = self.book();
            // One may have become another's a moment ago.
            let as_before = registers.moves() == moves || self.capability().scope() == &Scope::Operator;
            let sees = |number| as_before || self.capability().sees(registers.inn_of(number).as_deref());
            some.iter().filter(|it| sees(**it)).for_each(|it| each(&registers, *it));
        }
    }

    /// Each register that the capability shows, of one organisation or of all, with its risk indicators, in the order they came.
    pub(crate) fn each_risk(&self, inn: Option<&str>, each: &mut dyn FnMut(Card, Risk)) {
        self.look(inn, |registers, number| {
            if let Some((card, risk)) = registers.risk_at(number) {
                each(card, risk);
            }
        });
    }

    /// A page of the registers that a query takes and that the capability shows: the first one, or the one behind a cursor. At most
    /// `limit`, 1 to [`LIST_LIMIT_MAX`]. A cursor is text ([`RegisterCursor`]) for the same query.
    ///
    /// The first list by a text reads the registrations of all registers that the query takes, and those behind it what has been
    /// registered anew.
    ///
    /// # Errors
    /// `Fix` for a limit out of range, the cursor of another query, or a list by a text that takes more than 250,000 registers;
    /// when a registration cannot be read now.
    pub fn list(
        &self,
        query: &RegisterQuery,
        limit: usize,
        after: Option<&RegisterCursor>,
    ) -> Result<ListedPage, Error> {
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(fix("a page has 1 to 1000 registers"));
        }
        let asked = Asked { query, limit, after, now: self.now() };
        match query.sort {
            RegisterSort::Text(text) => self.page_by(&asked, |cut| self.by_text(&asked, text, cut)),
            _ => self.page_by(&asked, |cut| self.by_key(&asked, cut)),
        }
    }

    /// Each register that a query takes and that the capability shows, in its order, until `each` says no: for whoever wants all of
    /// them, of whom every page would look at all again. With `words` it reads a document of each register that the rest of the query
    /// takes, however many they are.
    ///
    /// # Errors
    /// As [`RegisterBook::list`]; the first of `each`.
    pub fn list_all<E: From<Error>>(
        &self,
        query: &RegisterQuery,
        mut each: impl FnMut(Listed) -> Result<bool, E>,
    ) -> Result<(), E> {
        let asked = Asked { query, limit: usize::MAX, after: None, now: self.now() };
        let numbers = match query.sort {
            RegisterSort::Text(text) => Cut::filled(&asked, |cut| self.by_text(&asked, text, cut))?.numbers(),
            _ => Cut::filled(&asked, |cut| self.by_key(&asked, cut))?.numbers(),
        };
        let words = lower(query.words.as_deref());
        for number in numbers {
            if let Some(listed) = self.listed(number, asked.now)
                && self.has_words(&listed.register, words.as_deref())?
                && !each(listed)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Hands over the registers that a query takes, each with its key.
    fn take(&self, asked: &Asked<'_>, mut each: impl FnMut(&Registers, Key, u32)) {
        let text = lower(asked.query.text.as_deref());
        self.look(asked.query.inn.as_deref(), |registers, number| {
            if let Some(key) = registers.listed(asked.query, text.as_deref(), number, asked.now) {
                each(registers, key, number);
            }
        });
    }

    /// Puts in the registers that a query takes.
    fn by_key(&self, asked: &Asked<'_>, cut: &mut Cut<Key>) -> Result<(), Error> {
        self.take(asked, |_, key, number| cut.push(key, number));
        Ok(())
    }

    /// Puts in the registers that a query takes, by a text of their registrations.
    fn by_text(&self, asked: &Asked<'_>, text: RegisterText, cut: &mut Cut<TextKey>) -> Result<(), Error> {
        let (mut wanted, mut taken) = (Vec::new(), 0_usize);
        self.take(asked, |registers, _, card| {
            taken = taken.saturating_add(1);
            if taken <= TEXTS_MAX {
                wanted.push(Wanted { card, at: registers.registered_at(card) });
            }
        });
        if taken > TEXTS_MAX {
            let what = format!(
                "{taken} registers are too many to be sorted by a text, which takes {TEXTS_MAX}: narrow the list, by organisation, outlet or anything else"
            );
            return Err(fix(&what));
        }
        let missing = self.texts().known(&wanted, text, |key, card| cut.push(key, card));
        for some in missing.chunks(READ_AT_ONCE) {
            let documents: Vec<_> = some.iter().filter_map(|it| it.at).collect();
            let read = some.iter().copied().zip(self.registrations(&documents)?).collect();
            self.texts().keep(read, &wanted, text, |key, card| cut.push(key, card));
        }
        Ok(())
    }

    /// The page that is asked for, of what `fill` puts in.
    fn page_by<K: PageKey>(
        &self,
        asked: &Asked<'_>,
        fill: impl FnOnce(&mut Cut<K>) -> Result<(), Error>,
    ) -> Result<ListedPage, Error> {
        let cut = Cut::filled(asked, fill)?;
        let words = lower(asked.query.words.as_deref());
        let wanted = if words.is_some() { DOCUMENTS_READ_MAX } else { asked.limit };
        // One more tells whether there is a next page.
        let found = cut.first(wanted.saturating_add(1));
        let (mut page, mut looked) = (Vec::new(), 0_usize);
        for (_, number) in found.iter().take(wanted) {
            if page.len() >= asked.limit {
                break;
            }
            looked = looked.saturating_add(1);
            let Some(listed) = self.listed(*number, asked.now) else { continue };
            if self.has_words(&listed.register, words.as_deref())? {
                page.push(listed);
            }
        }
        let last = looked.checked_sub(1).and_then(|at| found.get(at)).filter(|_| looked < found.len());
        let next = last
            .map(|(key, number)| asked.query.cursor(key.turned(asked.query.descending).as_ref(), *number));
        Ok(ListedPage { registers: page, next })
    }

    fn listed(&self, number: u32, now: u32) -> Option<Listed> {
        let registers = self.book();
        let card = registers.card_at(number)?;
        let register = self.shown(&registers, card)?;
        let (realm, rnm) = (register.card.realm, register.card.rnm.as_str());
        Some(Listed {
            facets: registers.facets(realm, rnm)?,
            light: registers.light(realm, rnm, now)?,
            forecast: registers.forecast(realm, rnm, now),
            place: registers.place(rnm),
            today: registers.today_at(number, now),
            register,
        })
    }

    /// Whether the registration of a register has these words, which are small letters, if there are any. What is kept of its texts
    /// does not say: it is their beginnings.
    fn has_words(&self, register: &Register, words: Option<&str>) -> Result<bool, Error> {
        let Some(words) = words else { return Ok(true) };
        let Some(registration) = self.registration(&register.drive)? else { return Ok(false) };
        let mut texts = RegisterText::ALL.into_iter().filter_map(|it| registration.text(it.tag()));
        Ok(texts.any(|it| it.to_lowercase().contains(words)))
    }

    /// How many registers there are of each colour: of all that the capability shows, of an organisation (INN of their documents),
    /// of an outlet, or of both.
    #[must_use]
    pub fn colours(&self, realm: Realm, inn: Option<&str>, outlet: Option<&str>) -> ColourCounts {
        let mut counts = ColourCounts::default();
        self.look(inn, |registers, number| registers.count_colours(realm, outlet, number, &mut counts));
        counts
    }

    /// What a first page shows, with sales in `times`, local time of the registers. Production only.
    #[must_use]
    pub fn dashboard(&self, times: &Range<LocalSeconds>) -> Dashboard {
        let now = self.now();
        let mut board = Dashboard {
            position: self.position(),
            as_of_us: self.now_us(),
            colours: ColourCounts::default(),
            shifts_open: 0,
            backlogs: 0,
            drives_ending: 0,
            documents: 0,
            sales: self.sales(times),
        };
        let add = |count: &mut usize, so: bool| *count = count.saturating_add(usize::from(so));
        self.look(None, |registers, number| {
            let Some(counted) = registers.counted(Realm::Prod, number, now) else { return };
            board.colours.add(counted.facets);
            add(&mut board.shifts_open, counted.shift_open);
            add(&mut board.backlogs, counted.backlog);
            add(&mut board.drives_ending, counted.days_left.is_some_and(|it| it <= DRIVES_ENDING_D));
            board.documents = board.documents.saturating_add(counted.documents);
        });
        board
    }

    fn sales(&self, times: &Range<LocalSeconds>) -> Option<Sales> {
        let whose: Vec<String> = match self.capability().scope() {
            Scope::Operator => Vec::new(),
            Scope::Users(inns) => written(inns).collect(),
        };
        let everybody = self.capability().scope() == &Scope::Operator;
        let all = everybody.then_some(Whose::Everybody);
        let whose = whose.iter().map(|inn| Whose::Organisation(inn)).chain(all);
        let mut sales: Option<Sales> = None;
        for figures in whose.filter_map(|it| self.figures(Realm::Prod, it, Grain::Day, times)) {
            let sum = sales.get_or_insert_default();
            sum.revenue = sum.revenue.saturating_add(figures.revenue());
            sum.since = sum.since.max(Some(figures.since()));
            for (_, totals) in figures.rows() {
                sum.receipts = sum.receipts.saturating_add(u64::from(totals.count()));
            }
        }
        if let Some(sum) = &mut sales {
            sum.average = i64::try_from(sum.receipts).ok().and_then(|it| sum.revenue.checked_div(it));
        }
        sales
    }
}

impl Engine {
    /// What a first page of a cabinet shows, in one call; see [`RegisterBook::dashboard`].
    #[must_use]
    pub fn dashboard(&self, capability: &Capability, times: &Range<LocalSeconds>) -> Dashboard {
        self.registers(capability).dashboard(times)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use ofd_codec::{DocumentView, DriveNumber, Form, TlvWriter, tags};
    use ofd_storage::{Error, Lsn};

    use super::*;
    use crate::registers::{Past, SHIFTS_KEPT, Seen};

    struct Nothing;

    impl Past for Nothing {
        fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
            Ok(None)
        }
    }

    /// Registers of which one document each has come, behind an engine.
    fn many(cards: u32) -> (tempfile::TempDir, Engine) {
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        for card in 0..cards {
            let drive = DriveNumber::parse(&format!("71{card:014}")).unwrap();
            let mut bytes = Vec::new();
            TlvWriter::new(&mut bytes)
                .document(Form::RECEIPT, |w| {
                    w.bytes(tags::FISCAL_DRIVE_NUMBER, drive.as_bytes())?;
                    w.text(tags::KKT_REG_ID, &format!("{card:016}"))?;
                    w.u32(tags::FISCAL_DOCUMENT_NUMBER, 1);
                    Ok(())
                })
                .unwrap();
            let view = DocumentView::new_checked(&bytes).unwrap();
            let (position, header) = (Position::new(Lsn::new(u64::from(card) + 1)), view.header());
            let (realm, number, variant, imported) = (Realm::Prod, 1, 0, false);
            let seen =
                Seen { position, received_at_us: 1, realm, drive, number, variant, imported, view, header };
            registers.take(&seen, &Nothing, &mut Vec::new()).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
        assert!(engine.registers(&Capability::operator()).wait(engine.durable(), Duration::from_secs(20)));
        *engine.shared().book.fold() = registers;
        (dir, engine)
    }

    // Texts of all registers of an operator would take all of his memory: he is told what to do.
    #[test]
    fn a_list_by_a_text_of_too_many_registers_says_that_it_has_to_be_narrowed() {
        let (_dir, engine) = many(TEXTS_MAX as u32 + 1);
        let book = engine.registers(&Capability::operator());
        let all = RegisterQuery { sort: RegisterSort::Text(RegisterText::Place), ..RegisterQuery::default() };
        let error = book.list(&all, 10, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fix);
        assert!(error.to_string().contains("narrow"), "{error}");
        // A thousand of them, and one.
        let last = format!("{TEXTS_MAX:016}");
        let some = RegisterQuery { text: Some("0".repeat(13)), ..all.clone() };
        assert_eq!(book.list(&some, 10, None).unwrap().registers.len(), 10);
        let one = RegisterQuery { text: Some(last), ..all };
        assert_eq!(book.list(&one, 10, None).unwrap().registers.len(), 1);
        engine.shutdown().unwrap();
    }

    // Whoever asks about all registers must not hold up the fold, and with it all that is told, for as long as that takes.
    #[test]
    fn the_fold_goes_on_while_indicators_of_all_registers_are_read() {
        let cards = LOOKED_AT_ONCE as u32 + 10;
        let (_dir, engine) = many(cards);
        let shared = engine.shared();
        let folded = AtomicBool::new(false);
        let mut told = Vec::new();
        std::thread::scope(|scope| {
            engine.registers(&Capability::operator()).each_risk(None, &mut |card, _| {
                if told.is_empty() {
                    scope.spawn(|| {
                        let _fold = shared.book.fold();
                        folded.store(true, Ordering::SeqCst);
                    });
                    while !shared.book.fold_waits() {
                        std::thread::yield_now();
                    }
                }
                told.push((card.rnm, folded.load(Ordering::SeqCst)));
            });
        });
        assert!(
            told.iter()
                .map(|it| it.0.as_str())
                .eq((0..cards).map(|it| format!("{it:016}")).collect::<Vec<_>>())
        );
        assert!(told.last().unwrap().1, "the fold waits until all are read");
        engine.shutdown().unwrap();
    }
}
