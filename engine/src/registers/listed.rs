//! Lists of registers over the fold: which of them a query takes, and by which key they are sorted. Pure.

use core::cmp::Reverse;

use ofd_codec::DriveNumber;
use ofd_storage::Position;
use ofd_storage::envelope::Realm;

use super::card::{KeptCard, Today};
use super::drive::Drive;
use super::pack::Unpacker;
use super::places::digits;
use super::register_state::RegisterStatus;
use super::{RNM_LEN, Registered, Registers, State, packed};
use crate::watch::{
    Colour, ColourCounts, Facet, Forecast, KEY_LEN, Key, Light, RegisterQuery, RegisterSort,
    ZONE_DEFAULT_MIN, forecast, local_day,
};

/// A card that a query looks at.
struct Looked<'l> {
    registers: &'l Registers,
    card: &'l KeptCard,
    now: u32,
}

impl Looked<'_> {
    /// The local day where it stands.
    fn day(&self) -> u32 {
        let schedule = self.registers.watch.places.schedule(self.card.light.place);
        local_day(self.now, schedule.map_or(ZONE_DEFAULT_MIN, |it| it.zone()))
    }

    fn forecast(&self, drive: &Drive) -> Option<Forecast> {
        let values =
            self.registers.watch.places.values(&self.card.rnm, &self.card.inn, self.card.light.place);
        forecast(drive, &values, self.day())
    }

    fn today(&self) -> Today {
        self.card.today(self.day()).unwrap_or_default()
    }

    fn has_findings(&self) -> bool {
        self.card.light.facets.of(Facet::Quality) != Colour::Green
    }

    fn service_to(&self) -> Option<u32> {
        let schedule = self.registers.watch.places.schedule(self.card.light.place);
        schedule.map(|it| it.service_to).filter(|it| *it > 0)
    }

    /// What is settled without the drive.
    fn passes(&self, query: &RegisterQuery, text: Option<&str>) -> bool {
        let Self { registers, card, .. } = *self;
        let places = &registers.watch.places;
        let facets = card.light.facets;
        let place = card.light.place;
        let has_text = |text: &str| {
            let drive = registers.drives.get(card.current()).and_then(super::KeptDrive::number);
            digits(&card.rnm).contains(text)
                || drive.is_some_and(|it| it.as_str().contains(text))
                || places.outlet(place).is_some_and(|it| it.to_lowercase().contains(text))
        };
        card.test == query.test
            && (query.colours.is_empty() || query.colours.contains(&facets.colour()))
            && query.facet.is_none_or(|(facet, colour)| facets.of(facet) == colour)
            && query.has_findings.is_none_or(|it| it == self.has_findings())
            && query.last_document.as_ref().is_none_or(|it| it.contains(&card.last_seen_us()))
            && query.first_seen.as_ref().is_none_or(|it| it.contains(&card.first_seen_us()))
            && query.revenue_today.as_ref().is_none_or(|it| it.contains(&self.today().revenue))
            && query.receipts_today.as_ref().is_none_or(|it| it.contains(&self.today().receipts))
            && query.outlet.as_deref().is_none_or(|it| places.outlet(place) == Some(it))
            && query.inn.as_deref().is_none_or(|it| digits(&card.inn) == it)
            && query
                .service_ends
                .as_ref()
                .is_none_or(|it| self.service_to().is_some_and(|to| it.contains(&to)))
            && text.is_none_or(has_text)
    }

    /// What the drive settles.
    fn drive_passes(&self, query: &RegisterQuery, drive: &Drive, forecast: Option<&Forecast>) -> bool {
        let traits = drive.traits;
        let status = || status_of(drive);
        let opened = || drive.open_shift().and_then(|it| it.opened?.at);
        query.version.as_deref().is_none_or(|it| traits.version() == Some(it))
            && (query.tax_systems == 0 || traits.tax_systems() & query.tax_systems != 0)
            && traits.modes & query.modes == query.modes
            && traits.modes & query.without_modes == 0
            && query.status.is_none_or(|it| it == status())
            && query.backlog.as_ref().is_none_or(|it| it.contains(&backlog(drive)))
            && query.shift_open.is_none_or(|it| it == drive.open_shift().is_some())
            && query.open_since.as_ref().is_none_or(|it| opened().is_some_and(|at| it.contains(&at)))
            && query
                .drive_ends
                .as_ref()
                .is_none_or(|it| forecast.and_then(|it| it.ends_on).is_some_and(|day| it.contains(&day)))
            && query
                .filled
                .as_ref()
                .is_none_or(|it| forecast.is_some_and(|known| it.contains(&known.percent)))
    }

    /// Of what is sorted by a text or a reason the key is made elsewhere.
    fn key(&self, sort: RegisterSort, drive: Option<&Drive>, forecast: Option<&Forecast>) -> Key {
        let card = self.card;
        let places = &self.registers.watch.places;
        let ends = || forecast.and_then(|it| it.ends_on).unwrap_or(u32::MAX).to_be_bytes();
        // So that a negative number sorts before a positive one.
        let signed = |number: i64| (number.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        let traits = drive.map(|it| it.traits).unwrap_or_default();
        match sort {
            RegisterSort::Rnm => key_of(&[&card.rnm]),
            RegisterSort::Drive => {
                let number = self.registers.drives.get(card.current()).map_or(0, |it| it.key);
                key_of(&[&number.to_be_bytes()])
            }
            RegisterSort::OrganisationDriveEnds => key_of(&[&card.inn, &ends()]),
            RegisterSort::OutletDriveEnds => {
                let outlet = places.outlet(card.light.place).unwrap_or_default();
                let mut padded = [0; KEY_LEN - 4];
                padded.iter_mut().zip(outlet.bytes()).for_each(|(slot, byte)| *slot = byte);
                key_of(&[&padded, &ends()])
            }
            RegisterSort::DriveEnds => key_of(&[&ends()]),
            RegisterSort::Filled => key_of(&[&forecast.map_or(0, |it| it.percent).to_be_bytes()]),
            RegisterSort::Colour => key_of(&[&[card.light.facets.colour() as u8]]),
            RegisterSort::Facet(facet) => key_of(&[&[card.light.facets.of(facet) as u8]]),
            RegisterSort::Findings => key_of(&[&[u8::from(self.has_findings())]]),
            RegisterSort::LastDocument => key_of(&[&signed(card.last_seen_us())]),
            RegisterSort::FirstSeen => key_of(&[&signed(card.first_seen_us())]),
            RegisterSort::ServiceEnds => key_of(&[&self.service_to().unwrap_or(u32::MAX).to_be_bytes()]),
            RegisterSort::Backlog => key_of(&[&drive.map_or(0, backlog).to_be_bytes()]),
            RegisterSort::Version => key_of(&[&[traits.version_rank()]]),
            RegisterSort::TaxSystems => key_of(&[&[traits.tax_systems()]]),
            RegisterSort::Modes => key_of(&[&traits.modes.to_be_bytes()]),
            RegisterSort::Marking => key_of(&[&[u8::from(traits.is_marking())]]),
            RegisterSort::Status => key_of(&[&[drive.map_or(0, |it| status_of(it) as u8)]]),
            RegisterSort::OpenSince => match drive.and_then(Drive::open_shift) {
                Some(shift) => {
                    let at = shift.opened.and_then(|it| it.at);
                    key_of(&[&[u8::from(at.is_none())], &at.map_or(0, |it| it.0).to_be_bytes()])
                }
                None => LAST,
            },
            RegisterSort::RevenueToday => key_of(&[&signed(self.today().revenue)]),
            RegisterSort::ReceiptsToday => key_of(&[&self.today().receipts.to_be_bytes()]),
            RegisterSort::Reason | RegisterSort::Text(_) => LAST,
        }
    }
}

/// Key of what comes last.
const LAST: Key = [0xFF; KEY_LEN];

/// By the code of the worst reason.
fn reason_key(light: &Light) -> Key {
    let worst = light.reasons.iter().min_by_key(|it| (Reverse(it.colour), it.what));
    worst.map_or(LAST, |it| key_of(&[it.what.code().as_bytes()]))
}

/// Documents that wait in a drive.
fn backlog(drive: &Drive) -> u32 {
    drive.backlog.map_or(0, |(documents, _)| documents)
}

fn key_of(parts: &[&[u8]]) -> Key {
    let mut key = [0; KEY_LEN];
    let bytes = parts.iter().flat_map(|it| it.iter());
    key.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    key
}
const _: () = assert!(RNM_LEN <= KEY_LEN);

/// What a register does whose drive is this one.
#[must_use]
pub fn status_of(drive: &Drive) -> RegisterStatus {
    match (drive.closed, drive.service.has_left()) {
        (Some(_), _) => RegisterStatus::Closed,
        (None, true) => RegisterStatus::Left,
        (None, false) => RegisterStatus::Working,
    }
}

/// Whether anything is asked of the drive, and whether its forecast is.
fn wants(query: &RegisterQuery) -> (bool, bool) {
    let forecast = query.drive_ends.is_some()
        || query.filled.is_some()
        || matches!(
            query.sort,
            RegisterSort::DriveEnds
                | RegisterSort::Filled
                | RegisterSort::OrganisationDriveEnds
                | RegisterSort::OutletDriveEnds
        );
    let drive = query.version.is_some()
        || query.tax_systems != 0
        || query.modes != 0
        || query.without_modes != 0
        || query.status.is_some()
        || query.backlog.is_some()
        || query.shift_open.is_some()
        || query.open_since.is_some()
        || matches!(
            query.sort,
            RegisterSort::Backlog
                | RegisterSort::Version
                | RegisterSort::TaxSystems
                | RegisterSort::Modes
                | RegisterSort::Marking
                | RegisterSort::Status
                | RegisterSort::OpenSince
        );
    (drive || forecast, forecast)
}

impl Registers {
    /// The drive that a card works with, without the shifts of one that is packed: none of those is open.
    fn with_drive<R>(&self, card: &KeptCard, look: impl FnOnce(&Drive) -> R) -> Option<R> {
        self.look_at(self.drives.get(card.current())?, look)
    }

    /// When the drive that a card works with has to be replaced.
    pub(super) fn forecast_of(&self, card: &KeptCard, now: u32) -> Option<Forecast> {
        let looked = Looked { registers: self, card, now };
        self.with_drive(card, |drive| looked.forecast(drive)).flatten()
    }

    /// A drive, without the shifts of one that is packed.
    pub(super) fn look_at<R>(&self, kept: &super::KeptDrive, look: impl FnOnce(&Drive) -> R) -> Option<R> {
        match &kept.state {
            State::Live(drive) => Some(look(drive)),
            State::Packed(bytes) => {
                packed::unpack_head(kept.number()?, &mut Unpacker(bytes)).map(|it| look(&it))
            }
        }
    }

    /// The cards of an organisation, or of everybody.
    pub(crate) fn card_numbers(&self, inn: Option<&str>) -> Vec<u32> {
        match inn {
            None => (0..u32::try_from(self.cards.len()).unwrap_or(u32::MAX)).collect(),
            Some(inn) => super::card::padded(inn.as_bytes())
                .map(|it| self.owners.cards(&it, &self.hasher).to_vec())
                .unwrap_or_default(),
        }
    }

    /// The key of a card that a query takes; `None` when it does not. `text` is the text of the query in small letters.
    pub(crate) fn listed(&self, query: &RegisterQuery, text: Option<&str>, at: u32, now: u32) -> Option<Key> {
        let card = self.cards.get(at)?;
        let looked = Looked { registers: self, card, now };
        if !looked.passes(query, text) {
            return None;
        }
        let (drive, forecast) = wants(query);
        let key = if drive {
            self.with_drive(card, |drive| {
                let forecast = if forecast { looked.forecast(drive) } else { None };
                let passes = looked.drive_passes(query, drive, forecast.as_ref());
                passes.then(|| looked.key(query.sort, Some(drive), forecast.as_ref()))
            })??
        } else {
            looked.key(query.sort, None, None)
        };
        if query.reason.is_none() && query.sort != RegisterSort::Reason {
            return Some(key);
        }
        let (light, _) = self.light_at(card, now)?;
        let taken = query.reason.is_none_or(|what| light.reasons.iter().any(|it| it.what == what));
        taken.then(|| if query.sort == RegisterSort::Reason { reason_key(&light) } else { key })
    }

    /// Where the registration in force of a card stands: its record, the drive and its number; `None` where no document of it
    /// has come.
    pub(crate) fn registered_at(&self, at: u32) -> Option<(Position, DriveNumber, u32)> {
        let kept = self.drives.get(self.cards.get(at)?.current())?;
        let registered = match &kept.state {
            State::Live(drive) => drive.registration,
            State::Packed(bytes) => packed::unpack_registered(&mut Unpacker(bytes)),
        };
        let Registered { position, number, .. } = registered.filter(|it| it.position > Position::START)?;
        Some((position, kept.number()?, number))
    }

    /// What a card sold today; `None`: nothing.
    pub(crate) fn today_at(&self, at: u32, now: u32) -> Option<Today> {
        let card = self.cards.get(at)?;
        card.today(Looked { registers: self, card, now }.day())
    }

    /// What a register has sold on the local day of `now`, seconds UTC, where it stands; `None`: nothing.
    #[must_use]
    pub fn today(&self, realm: Realm, rnm: &str, now: u32) -> Option<Today> {
        let card = self.kept_card(realm, rnm)?;
        card.today(Looked { registers: self, card, now }.day())
    }

    /// What a card counts for a dashboard: its facets, and of its drive whether a shift is open, whether documents wait, its
    /// documents and the forecast; `None` for another realm.
    pub(crate) fn counted(&self, realm: Realm, at: u32, now: u32) -> Option<Counted> {
        let card = self.cards.get(at).filter(|it| it.test == (realm == Realm::Test))?;
        let looked = Looked { registers: self, card, now };
        self.with_drive(card, |drive| Counted {
            facets: card.light.facets,
            shift_open: drive.open_shift().is_some(),
            backlog: backlog(drive) > 0,
            documents: drive.documents,
            days_left: looked.forecast(drive).and_then(|it| it.days_left),
        })
    }

    /// Adds the colours of a card, if it is one of this realm and outlet.
    pub(crate) fn count_colours(
        &self,
        realm: Realm,
        outlet: Option<&str>,
        at: u32,
        counts: &mut ColourCounts,
    ) {
        let Some(card) = self.cards.get(at).filter(|it| it.test == (realm == Realm::Test)) else { return };
        if outlet.is_none_or(|it| self.watch.places.outlet(card.light.place) == Some(it)) {
            counts.add(card.light.facets);
        }
    }

    /// While this stays, every register has the organisation it had.
    pub(crate) fn moves(&self) -> u64 {
        self.owners.moves()
    }

    /// Its INN decides who sees a card.
    pub(crate) fn inn_of(&self, at: u32) -> Option<String> {
        self.cards.get(at)?.inn()
    }

    /// A card by its number.
    pub(crate) fn card_at(&self, at: u32) -> Option<super::Card> {
        self.cards.get(at).map(|card| self.shown(card))
    }
}

/// See [`Registers::counted`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) facets: crate::watch::Facets,
    pub(crate) shift_open: bool,
    pub(crate) backlog: bool,
    pub(crate) documents: u64,
    pub(crate) days_left: Option<i64>,
}
