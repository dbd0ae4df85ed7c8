//! The registration in force as the rules need it: digests and bits, not the requisites. Pure.
//!
//! Shape: five digests of two bytes, a sixth where there is an automat, the time of the activation, five bytes of signs: 21 bytes
//! packed. Two texts with one digest are taken for the same, once in 65,536 of them; never the other way.

use ofd_codec::{LocalSeconds, tags};

use super::facts::Facts;
use crate::registers::Registration;
use crate::registers::pack::{Packer, Unpacker};

/// What the register may do, of [`Terms::signs`].
pub(crate) const AUTOMAT: u16 = 1;
pub(crate) const INTERNET_ONLY: u16 = 1 << 1;
pub(crate) const EXCISE: u16 = 1 << 2;
pub(crate) const GAMBLING: u16 = 1 << 3;
pub(crate) const LOTTERY: u16 = 1 << 4;
pub(crate) const MARKING: u16 = 1 << 5;
/// Its place of settlements names a site.
pub(crate) const SITE: u16 = 1 << 6;
pub(crate) const PAWNSHOP: u16 = 1 << 7;
/// The drive began with form 1.
pub(crate) const FIRST: u16 = 1 << 8;

/// Bits of 1290.
const USAGE: [(u32, u16); 6] = [
    (1 << 5, INTERNET_ONLY),
    (1 << 6, EXCISE),
    (1 << 8, MARKING),
    (1 << 10, GAMBLING),
    (1 << 11, LOTTERY),
    (1 << 12, PAWNSHOP),
];

/// The terms of a registration. Of a digest 0 = the requisite is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) rnm: u16,
    pub(crate) inn: u16,
    pub(crate) user_name: u16,
    pub(crate) address: u16,
    pub(crate) place: u16,
    pub(crate) machine: u16,
    /// 1012 of the report with which the drive began; 0 = nobody knows.
    pub(crate) activated: u32,
    pub(crate) taxation_types: u8,
    pub(crate) ffd: u8,
    pub(crate) agents: u8,
    pub(crate) signs: u16,
}

impl Terms {
    /// Of a form 1 or 11 that is in force from here on.
    pub(crate) fn of(facts: &Facts<'_>, registration: &Registration, before: Option<&Self>) -> Self {
        let begins = registration.form == 1 || registration.replaces_drive();
        let activated = match (begins, registration.at) {
            (true, Some(LocalSeconds(at))) => at,
            _ => before.map_or(0, |it| it.activated),
        };
        let first = registration.form == 1 || (!begins && before.is_some_and(|it| it.has(FIRST)));
        let ffd = facts.ffd.unwrap_or(0);
        let mut signs = 0;
        for (set, sign) in [
            (facts.automat, AUTOMAT),
            (facts.internet_only, INTERNET_ONLY),
            (facts.excise, EXCISE),
            (facts.gambling, GAMBLING),
            (facts.lottery, LOTTERY),
            (facts.place.is_some_and(names_site), SITE),
            (first, FIRST),
        ]
        .into_iter()
        .chain(USAGE.map(|(bit, sign)| (facts.usage & bit != 0, sign)))
        {
            signs |= if set { sign } else { 0 };
        }
        Self {
            rnm: digest(facts.rnm),
            inn: digest(facts.inn),
            user_name: digest(facts.user_name),
            address: digest(facts.address),
            place: digest(facts.place),
            machine: digest(facts.machine),
            activated,
            taxation_types: facts.taxation_types,
            ffd,
            agents: facts.agents,
            signs,
        }
    }

    pub(crate) const fn has(&self, sign: u16) -> bool {
        self.signs & sign != 0
    }

    /// Whether its version has the signs at all: from 1.05 on.
    pub(crate) const fn knows_signs(&self) -> bool {
        self.ffd >= 2
    }

    /// Whether its version registers agents: 1.05 and 1.1.
    pub(crate) const fn knows_agents(&self) -> bool {
        matches!(self.ffd, 2 | 3)
    }

    pub(crate) fn pack(&self, to: &mut Packer) {
        let Self {
            rnm,
            inn,
            user_name,
            address,
            place,
            machine,
            activated,
            taxation_types,
            ffd,
            agents,
            signs,
        } = self;
        for digest in [rnm, inn, user_name, address, place] {
            to.0.extend_from_slice(&digest.to_le_bytes());
        }
        to.number(*machine);
        to.number(*activated);
        [*taxation_types, *ffd, *agents].into_iter().for_each(|it| to.byte(it));
        to.number(*signs);
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut digests = [0; 5];
        for slot in &mut digests {
            let (bytes, rest) = from.0.split_first_chunk::<2>()?;
            (from.0, *slot) = (rest, u16::from_le_bytes(*bytes));
        }
        let [rnm, inn, user_name, address, place] = digests;
        let machine = u16::try_from(from.number()?).ok()?;
        let activated = from.small()?;
        let (taxation_types, ffd, agents) = (from.byte()?, from.byte()?, from.byte()?);
        let signs = u16::try_from(from.number()?).ok()?;
        Some(Self {
            rnm,
            inn,
            user_name,
            address,
            place,
            machine,
            activated,
            taxation_types,
            ffd,
            agents,
            signs,
        })
    }
}

/// FNV-1a of a text, folded; 0 = there is none.
pub(crate) fn digest(text: Option<&[u8]>) -> u16 {
    let Some(text) = text else { return 0 };
    let hash =
        text.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    (u16::from_le_bytes([a, b]) ^ u16::from_le_bytes([c, d])).max(1)
}

/// Whether a place of settlements (1187) names a site: a word with a dot between Latin letters.
fn names_site(place: &[u8]) -> bool {
    place
        .windows(3)
        .any(|it| matches!(it, [a, b'.', z] if a.is_ascii_alphanumeric() && z.is_ascii_alphabetic()))
}

/// The reasons of 1205 that a change of a requisite may be named by; 0 = of these nobody has to speak.
pub(crate) fn reasons_of(tag: ofd_codec::Tag) -> u32 {
    let bits: &[u32] = match tag {
        tags::OFD_INN => &[1],
        tags::USER_NAME => &[2],
        tags::RETAIL_PLACE_ADDRESS | tags::RETAIL_PLACE => &[3],
        tags::OFFLINE_MODE => &[4, 5],
        tags::TAXATION_TYPES => &[7],
        tags::MACHINE_NUMBER => &[8, 9, 10],
        tags::AUTO_MODE => &[9, 10],
        tags::BSO_SIGN => &[11, 12],
        tags::INTERNET_SIGN => &[13, 14],
        tags::GAMBLING_SIGN => &[17, 18],
        tags::LOTTERY_SIGN => &[19, 20],
        tags::FFD_VERSION => &[21],
        _ => &[],
    };
    bits.iter().fold(0, |mask, bit| mask | 1_u32.checked_shl(*bit).unwrap_or(0))
}
