//! What the host says of registers: where they stand, and the thresholds of every level. Pure.
//!
//! Shape in memory: a placement 48 bytes, 5 of the table that finds it, and 4 where it names an outlet or an organisation; names of
//! outlets and weeks of working hours once each, while any placement has them; some 60 an outlet.
//! A level with thresholds about 100 bytes. Bound: [`PLACES_MAX`] placements and outlets, [`HOURS_MAX`] weeks, [`LEVELS_MAX`]
//! organisations, outlets and registers with thresholds of their own; what is more is passed over, here and in every replay.

use std::collections::BTreeMap;

use ahash::RandomState;
use hashbrown::HashTable;

use super::card::{Fixed, RNM_LEN, padded};
use super::interned::Interned;
use super::owners::Owners;
use super::pack::{Packer, Unpacker};
use super::slab::Slab;
use super::takings::INN_LEN;
use crate::watch::{Hours, OUTLET_LEN_MAX, Place, Schedule, Scope, Season, Setting, Threshold, Values};

/// Registers that may have a placement.
pub(crate) const PLACES_MAX: usize = 1 << 23;
/// Different weeks of working hours.
pub(crate) const HOURS_MAX: usize = 65_536;
/// Organisations, outlets and registers, each kind, that may have thresholds of their own.
pub(crate) const LEVELS_MAX: usize = 1 << 20;
/// No placement, no outlet, no hours.
pub(super) const NONE: u32 = u32::MAX;

/// A placement as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeptPlace {
    rnm: Fixed<RNM_LEN>,
    inn: Fixed<INN_LEN>,
    outlet: u32,
    hours: u32,
    service_from: u32,
    service_to: u32,
    zone_min: Option<i16>,
    season: Option<Season>,
}

/// All placements and levels.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    places: Slab<KeptPlace>,
    by_rnm: HashTable<u32>,
    outlets: Interned<Box<str>>,
    hours: Interned<Hours>,
    /// Placements by the organisation that they name, and by outlet: they follow from the placements.
    by_inn: Owners,
    at_outlet: hashbrown::HashMap<u32, Vec<u32>, RandomState>,
    default: Setting,
    organisations: BTreeMap<Box<str>, Setting>,
    by_outlet: BTreeMap<Box<str>, Setting>,
    registers: BTreeMap<Box<str>, Setting>,
}

/// The digits of a padded number.
pub(super) fn digits(text: &[u8]) -> &str {
    let end = text.iter().position(|it| *it == 0).unwrap_or(text.len());
    text.get(..end).and_then(|it| core::str::from_utf8(it).ok()).unwrap_or_default()
}

impl Places {
    /// The number of a register's placement.
    pub(super) fn find(&self, rnm: &Fixed<RNM_LEN>, hasher: &RandomState) -> Option<u32> {
        let same = |at: &u32| self.places.get(*at).is_some_and(|it| it.rnm == *rnm);
        self.by_rnm.find(hasher.hash_one(rnm), same).copied()
    }

    /// Whether this placement would be taken.
    pub(super) fn has_room(&self, rnm: &Fixed<RNM_LEN>, place: &Place, hasher: &RandomState) -> bool {
        let outlet = place.outlet.as_deref();
        let hours = place.schedule.hours;
        (self.places.len() < PLACES_MAX || self.find(rnm, hasher).is_some())
            && (self.outlets.len() < PLACES_MAX
                || outlet.is_none_or(|it| self.outlets.find(it, hasher).is_some()))
            && (self.hours.len() < HOURS_MAX || hours.is_none_or(|it| self.hours.find(&it, hasher).is_some()))
    }

    /// Places a register, which replaces what was said of it before; its number, or `None` where there is no room.
    pub(super) fn put(&mut self, rnm: Fixed<RNM_LEN>, place: &Place, hasher: &RandomState) -> Option<u32> {
        if !self.has_room(&rnm, place, hasher) {
            return None;
        }
        let inn = place.inn.as_deref().map_or(Some([0; INN_LEN]), |it| padded(it.as_bytes()))?;
        let number = |it: Option<Option<u32>>| it.map_or(Some(NONE), |it| it);
        let outlet = place.outlet.as_deref().filter(|it| it.len() <= OUTLET_LEN_MAX);
        let outlet = number(outlet.map(|it| self.outlets.put(it.into(), PLACES_MAX, hasher)))?;
        let Schedule { zone_min, hours, season, service_from, service_to } = place.schedule;
        let hours = number(hours.map(|it| self.hours.put(it, HOURS_MAX, hasher)))?;
        let kept = KeptPlace { rnm, inn, outlet, hours, service_from, service_to, zone_min, season };
        if let Some(at) = self.find(&rnm, hasher) {
            let before = core::mem::replace(self.places.get_mut(at)?, kept);
            self.outlets.leave(before.outlet, hasher);
            self.hours.leave(before.hours, hasher);
            self.by_inn.moved(at, &before.inn, &inn, hasher);
            self.moved(at, before.outlet, outlet);
            return Some(at);
        }
        let at = self.places.push(kept)?;
        self.by_inn.moved(at, &[0; INN_LEN], &inn, hasher);
        self.moved(at, NONE, outlet);
        let places = &self.places;
        let again = |at: &u32| places.get(*at).map_or(0, |it| hasher.hash_one(it.rnm));
        self.by_rnm.insert_unique(hasher.hash_one(rnm), at, again);
        Some(at)
    }

    /// A placement is of another outlet from now on.
    fn moved(&mut self, at: u32, before: u32, now: u32) {
        if before == now {
            return;
        }
        if let Some(list) = self.at_outlet.get_mut(&before) {
            if let Some(place) = list.iter().position(|it| *it == at) {
                list.swap_remove(place);
            }
            if list.is_empty() {
                self.at_outlet.remove(&before);
            }
        }
        if now != NONE {
            self.at_outlet.entry(now).or_default().push(at);
        }
    }

    /// Placements that name an organisation, in no order.
    pub(super) fn of_inn(&self, inn: &Fixed<INN_LEN>, hasher: &RandomState) -> &[u32] {
        self.by_inn.cards(inn, hasher)
    }

    /// Placements of an outlet, in no order.
    pub(super) fn of_outlet(&self, outlet: &str, hasher: &RandomState) -> &[u32] {
        let list = self.outlets.find(outlet, hasher).and_then(|it| self.at_outlet.get(&it));
        list.map_or(&[], Vec::as_slice)
    }

    /// When documents of a register are awaited.
    pub(super) fn schedule(&self, at: u32) -> Option<Schedule> {
        let kept = self.places.get(at)?;
        Some(Schedule {
            zone_min: kept.zone_min,
            hours: self.hours.get(kept.hours).copied(),
            season: kept.season,
            service_from: kept.service_from,
            service_to: kept.service_to,
        })
    }

    /// A placement.
    pub(super) fn place(&self, at: u32) -> Option<Place> {
        let kept = self.places.get(at)?;
        let inn = Some(digits(&kept.inn)).filter(|it| !it.is_empty()).map(str::to_owned);
        let outlet = self.outlet(at).map(str::to_owned);
        Some(Place { inn, outlet, schedule: self.schedule(at)? })
    }

    /// Whose placement it is.
    pub(super) fn rnm(&self, at: u32) -> Option<Fixed<RNM_LEN>> {
        self.places.get(at).map(|it| it.rnm)
    }

    /// The outlet of a placement.
    pub(super) fn outlet(&self, at: u32) -> Option<&str> {
        self.outlets.get(self.places.get(at)?.outlet).map(|it| &**it)
    }

    /// The organisation that a placement names.
    pub(super) fn inn(&self, at: u32) -> Option<&str> {
        self.places.get(at).map(|it| digits(&it.inn)).filter(|it| !it.is_empty())
    }

    fn level<'s>(&'s self, scope: &'s Scope) -> (&'s BTreeMap<Box<str>, Setting>, &'s str) {
        match scope {
            Scope::Organisation(inn) => (&self.organisations, inn),
            Scope::Outlet(outlet) => (&self.by_outlet, outlet),
            Scope::Register(rnm) => (&self.registers, rnm),
            Scope::Default => (&self.registers, ""),
        }
    }

    /// What is set at a level.
    pub(super) fn setting(&self, scope: &Scope) -> Setting {
        if *scope == Scope::Default {
            return self.default;
        }
        let (level, key) = self.level(scope);
        level.get(key).copied().unwrap_or_default()
    }

    /// Whether thresholds of a level would be taken.
    pub(super) fn has_level(&self, scope: &Scope) -> bool {
        let (level, key) = self.level(scope);
        *scope == Scope::Default || level.len() < LEVELS_MAX || level.contains_key(key)
    }

    /// Sets thresholds of a level; false where there is no room, or nothing changes.
    pub(super) fn set(&mut self, scope: &Scope, values: &[(Threshold, Option<u32>)]) -> bool {
        let before = self.setting(scope);
        let mut setting = before;
        values.iter().for_each(|(threshold, value)| setting.set(*threshold, *value));
        if setting == before || !self.has_level(scope) {
            return false;
        }
        let (level, key) = match scope {
            Scope::Default => {
                self.default = setting;
                return true;
            }
            Scope::Organisation(inn) => (&mut self.organisations, inn),
            Scope::Outlet(outlet) => (&mut self.by_outlet, outlet),
            Scope::Register(rnm) => (&mut self.registers, rnm),
        };
        if setting.is_empty() {
            level.remove(key.as_str());
        } else {
            level.insert(key.as_str().into(), setting);
        }
        true
    }

    /// The values that hold for a register: its number, the organisation of its documents, its placement.
    pub(super) fn values(&self, rnm: &[u8], inn: &[u8], at: u32) -> Values {
        // Asked of every document, and most hosts have set nothing.
        let has_none =
            self.registers.is_empty() && self.by_outlet.is_empty() && self.organisations.is_empty();
        if has_none && self.default.is_empty() {
            return Values::default();
        }
        let outlets = if self.by_outlet.is_empty() { None } else { self.outlet(at) };
        let inn = self.inn(at).unwrap_or(digits(inn));
        let of = |level: &'_ BTreeMap<Box<str>, Setting>, key: &str| level.get(key).copied();
        let levels = [
            of(&self.registers, digits(rnm)),
            outlets.and_then(|it| of(&self.by_outlet, it)),
            of(&self.organisations, inn),
            Some(self.default).filter(|it| !it.is_empty()),
        ];
        if levels.iter().all(Option::is_none) {
            return Values::default();
        }
        Values::of_levels(levels.iter().flatten())
    }

    /// Writes all placements, or levels, one entry a call.
    pub(super) fn save_places<E>(&self, put: &mut dyn FnMut(&Packer) -> Result<(), E>) -> Result<(), E> {
        for (at, kept) in (0..).zip(self.places.iter()) {
            let mut to = Packer::default();
            to.bytes(digits(&kept.rnm).as_bytes());
            to.bytes(digits(&kept.inn).as_bytes());
            to.bytes(self.outlet(at).unwrap_or_default().as_bytes());
            to.optional(kept.zone_min.map(|it| u32::from(it.cast_unsigned())));
            match self.hours.get(kept.hours) {
                None => to.byte(0),
                Some(Hours(week)) => {
                    to.byte(1);
                    for day in week {
                        let (from, until) = day.unwrap_or_default();
                        to.number(from);
                        to.number(until);
                    }
                }
            }
            match kept.season {
                None => to.byte(0),
                Some(Season { from, to: until }) => {
                    [from.0, from.1, until.0, until.1].into_iter().for_each(|it| to.byte(it));
                }
            }
            to.number(kept.service_from);
            to.number(kept.service_to);
            put(&to)?;
        }
        Ok(())
    }

    /// Takes a placement back.
    pub(super) fn restore_place(&mut self, from: &mut Unpacker<'_>, hasher: &RandomState) -> Option<u32> {
        let text = |bytes: &[u8]| core::str::from_utf8(bytes).ok().map(str::to_owned);
        let rnm = padded(from.bytes()?)?;
        let inn = text(from.bytes()?)?;
        let outlet = text(from.bytes()?)?;
        let zone_min = match from.optional()? {
            None => None,
            Some(bits) => Some(u16::try_from(bits).ok()?.cast_signed()),
        };
        let hours = match from.byte()? {
            0 => None,
            _ => {
                let mut week = [None; 7];
                for day in &mut week {
                    let (begin, end) =
                        (u16::try_from(from.number()?).ok()?, u16::try_from(from.number()?).ok()?);
                    *day = (begin < end).then_some((begin, end));
                }
                Some(Hours(week))
            }
        };
        let season = match from.byte()? {
            0 => None,
            month => Some(Season { from: (month, from.byte()?), to: (from.byte()?, from.byte()?) }),
        };
        let (service_from, service_to) = (from.small()?, from.small()?);
        let place = Place {
            inn: Some(inn).filter(|it| !it.is_empty()),
            outlet: Some(outlet).filter(|it| !it.is_empty()),
            schedule: Schedule { zone_min, hours, season, service_from, service_to },
        };
        self.put(rnm, &place, hasher)
    }

    pub(super) fn save_levels<E>(&self, put: &mut dyn FnMut(&Packer) -> Result<(), E>) -> Result<(), E> {
        let default = [("", &self.default)].into_iter().filter(|(_, it)| !it.is_empty());
        let levels = [&self.organisations, &self.by_outlet, &self.registers];
        let named = (1_u8..)
            .zip(levels)
            .flat_map(|(kind, level)| level.iter().map(move |(name, setting)| (kind, &**name, setting)));
        for (kind, name, setting) in default.map(|(name, it)| (0_u8, name, it)).chain(named) {
            let mut to = Packer::default();
            to.byte(kind);
            to.bytes(name.as_bytes());
            Threshold::ALL.iter().for_each(|it| to.optional(setting.get(*it)));
            put(&to)?;
        }
        Ok(())
    }

    /// Takes a level back.
    pub(super) fn restore_level(&mut self, from: &mut Unpacker<'_>) -> Option<()> {
        let kind = from.byte()?;
        let name = core::str::from_utf8(from.bytes()?).ok()?.to_owned();
        let scope = match kind {
            0 => Scope::Default,
            1 => Scope::Organisation(name),
            2 => Scope::Outlet(name),
            3 => Scope::Register(name),
            _ => return None,
        };
        let mut values = Vec::new();
        for threshold in Threshold::ALL {
            values.push((threshold, from.optional()?));
        }
        self.set(&scope, &values).then_some(())
    }
}

/// The same placements in the same order, and the same levels.
impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| {
            (0..).zip(it.places.iter()).map(|(at, kept)| (kept.rnm, it.place(at))).collect::<Vec<_>>()
        };
        all(self) == all(other)
            && self.default == other.default
            && self.organisations == other.organisations
            && self.by_outlet == other.by_outlet
            && self.registers == other.registers
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    fn place(minute: u16, outlet: &str, inn: Option<&str>) -> Place {
        // 65,536 and more of them.
        let (from, day) = (minute % 1_000, minute / 1_000);
        let mut week = [None; 7];
        week.iter_mut().for_each(|it| *it = Some((from, 1_001 + day)));
        let schedule = Schedule { hours: Some(Hours(week)), ..Schedule::default() };
        Place { inn: inn.map(str::to_owned), outlet: Some(outlet.to_owned()), schedule }
    }

    // A checkpoint knows what stands and nothing of what has stood: what is refused must not depend on it, or a replay that goes on
    // from one takes what another has refused.
    #[test]
    fn weeks_that_nobody_has_take_no_room() {
        let (mut places, hasher) = (Places::default(), RandomState::default());
        let rnm = |number: u16| padded(format!("{number:016}").as_bytes()).unwrap();
        for minute in 0..=u16::MAX {
            places.put(rnm(1), &place(minute, &format!("shop-{minute}"), None), &hasher).unwrap();
        }
        assert_eq!((places.hours.len(), places.outlets.len()), (1, 1));
        let again = place(7, "shop-7", None);
        assert_eq!(places.put(rnm(1), &again, &hasher), Some(0));
        assert_eq!(places.place(0), Some(again.clone()));
        // Two of one week: it stays while one of them has it.
        assert_eq!(places.put(rnm(2), &again, &hasher), Some(1));
        places.put(rnm(1), &place(8, "shop-8", None), &hasher).unwrap();
        assert_eq!(places.place(1), Some(again));
        assert_eq!((places.hours.len(), places.outlets.len()), (2, 2));
    }

    // A change for one outlet must not look at all registers there are.
    #[test]
    fn an_outlet_and_an_organisation_know_their_placements() {
        let (mut places, hasher) = (Places::default(), RandomState::default());
        let rnm = |number: u16| padded(format!("{number:016}").as_bytes()).unwrap();
        let inns = [None, Some("7707083893"), Some("7704211201")];
        let mut said = BTreeMap::new();
        let mut state = 1_u32;
        for _ in 0..2_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (register, outlet) = (state >> 8 & 63, state >> 16 & 7);
            let inn = inns.get((state >> 20 & 3) as usize).copied().flatten();
            let register = u16::try_from(register).unwrap();
            let at = places.put(rnm(register), &place(0, &format!("shop-{outlet}"), inn), &hasher).unwrap();
            said.insert(at, (outlet, inn));
            let outlet_of = |outlet| {
                let mut found = places.of_outlet(&format!("shop-{outlet}"), &hasher).to_vec();
                found.sort_unstable();
                found
            };
            let of =
                |outlet: u32| said.iter().filter(|it| it.1.0 == outlet).map(|it| *it.0).collect::<Vec<_>>();
            let by =
                |inn: &str| said.iter().filter(|it| it.1.1 == Some(inn)).map(|it| *it.0).collect::<Vec<_>>();
            for outlet in 0..8 {
                assert_eq!(outlet_of(outlet), of(outlet));
            }
            for inn in inns.into_iter().flatten() {
                let mut found = places.of_inn(&padded(inn.as_bytes()).unwrap(), &hasher).to_vec();
                found.sort_unstable();
                assert_eq!(found, by(inn));
            }
        }
    }
}
