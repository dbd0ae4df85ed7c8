//! What the registers do: a fold over the documents of the log.
//!
//! ```text
//! record ─▶ Seen ─▶ Drive ──┬─ Service       which numbers are ours, which are missing
//!                           ├─ Registration  what it was registered with, what changed
//!                           └─ Shift ─ Totals, counters of its closing report
//!                   Card    ── the register over all its drives, day by day
//!            each says what happened ─▶ Event
//! ```
//!
//! Everything here is pure and folds facts only: what was answered, when a document came and what it says; no rule of
//! today decides it again. The same log gives the same state and the same events, wherever the fold begins from an
//! empty state at its first record.
//!
//! Documents of test drives (realm `test`) are folded like others; their cards are apart.

mod card;
mod counters;
mod drive;
mod event;
mod registration;
mod service;
mod shift;
mod totals;

use std::collections::BTreeMap;

use ofd_codec::{DocumentView, DriveNumber, tags};
use ofd_storage::envelope::{Envelope, Realm};
use ofd_storage::{Position, RecordKind, RecordRef};

pub use self::card::{Card, CardDrive, DAYS_MAX, Day, day_of};
pub use self::counters::Mismatch;
pub use self::drive::{Drive, Last, Seen};
use self::event::Events;
pub use self::event::{Event, EventKind, Evidence};
pub use self::registration::Registration;
pub use self::service::{Arrival, Range, Service};
pub use self::shift::{Agreement, Mark, SHIFT_SECONDS_MAX, Shift};
pub use self::totals::{DIRECTIONS, PAYMENT_TAGS, PAYMENTS, Paid, Sums, Totals, VAT_CODES};

/// How many closed shifts of a drive are kept, unless said otherwise: what is older is in the archive.
pub const SHIFTS_KEPT: usize = 2;

/// All registers and their drives.
#[derive(Clone, Debug)]
pub struct Registers {
    /// INN of this operator (1017): a registration that names another one ends the service of its drive.
    ours: Option<String>,
    keep: usize,
    drives: BTreeMap<u64, Drive>,
    /// By realm (test: true) and registration number.
    cards: BTreeMap<(bool, String), Card>,
    last: Position,
}

impl Registers {
    /// None. `ours` is the INN of this operator, where it is known; `keep` is how many closed shifts of a drive are kept.
    #[must_use]
    pub fn new(ours: Option<String>, keep: usize) -> Self {
        Self { ours, keep, drives: BTreeMap::new(), cards: BTreeMap::new(), last: Position::START }
    }

    /// The next record of the log; says what happened. A record that is no document, or none that can be read, changes
    /// nothing.
    pub fn fold(&mut self, record: &RecordRef<'_>, out: &mut Vec<Event>) {
        self.last = Position::new(record.lsn());
        if record.kind() != RecordKind::Document {
            return;
        }
        let Ok(envelope) = Envelope::of(record) else { return };
        let (Ok(drive), Ok(view)) =
            (DriveNumber::from_wire(&envelope.drive), DocumentView::new_checked(envelope.plain))
        else {
            return;
        };
        let seen = Seen {
            position: self.last,
            received_at_us: record.received_at_us(),
            realm: envelope.realm,
            drive,
            number: envelope.number,
            variant: envelope.variant,
            view,
        };
        self.take(&seen, out);
    }

    /// The next document.
    pub fn take(&mut self, seen: &Seen<'_>, out: &mut Vec<Event>) {
        let mut events = Events::of(out, seen);
        let drive = self
            .drives
            .entry(seen.drive.to_bcd_u64())
            .or_insert_with(|| Drive::new(seen.drive, seen.realm, self.keep));
        drive.take(seen, self.ours.as_deref(), &mut events);
        if seen.variant > 0 || seen.view.form().is_marking() {
            return;
        }
        let Some(rnm) = card::text(&seen.view, tags::KKT_REG_ID) else { return };
        let card = self.cards.entry((seen.realm == Realm::Test, rnm));
        let card = card.or_insert_with_key(|(_, rnm)| Card { rnm: rnm.clone(), ..Card::default() });
        card.take(seen, &mut events);
    }

    /// Everything up to here has been folded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.last
    }

    /// A drive.
    #[must_use]
    pub fn drive(&self, drive: DriveNumber) -> Option<&Drive> {
        self.drives.get(&drive.to_bcd_u64())
    }

    /// All drives, by number.
    pub fn drives(&self) -> impl Iterator<Item = &Drive> {
        self.drives.values()
    }

    /// The card of a register by its registration number (1037).
    #[must_use]
    pub fn card(&self, realm: Realm, rnm: &str) -> Option<&Card> {
        self.cards.get(&(realm == Realm::Test, rnm.to_owned()))
    }

    /// All cards: production first, then test, by registration number.
    pub fn cards(&self) -> impl Iterator<Item = (Realm, &Card)> {
        let realm = |test: bool| if test { Realm::Test } else { Realm::Prod };
        self.cards.iter().map(move |((test, _), card)| (realm(*test), card))
    }
}
