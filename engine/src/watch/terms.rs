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

/// A hash of a text, eight bytes a step; 0 = there is none. Every document of a registered drive asks for up to six: a byte a
/// step took a tenth of what it costs to fold it. It stands in checkpoints: another hash, another shape of theirs.
pub(crate) fn digest(text: Option<&[u8]>) -> u16 {
    const ODD: u128 = 0x9E37_79B9_7F4A_7C15;
    let Some(text) = text else { return 0 };
    let step = |hash: u64, word: &[u8; 8]| {
        let [low, high] = halves(u128::from(hash ^ u64::from_le_bytes(*word)).wrapping_mul(ODD));
        low ^ high
    };
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last.get_mut(..rest.len()).into_iter().for_each(|it| it.copy_from_slice(rest));
    let begin = u64::try_from(text.len()).unwrap_or(u64::MAX).wrapping_add(1);
    let hash = step(words.iter().fold(begin, step), &last);
    let [a, b, c, d, e, f, g, h] = step(hash, &[0; 8]).to_le_bytes();
    let parts = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes);
    parts.into_iter().fold(0, |digest, part| digest ^ part).max(1)
}

fn halves(wide: u128) -> [u64; 2] {
    [(wide & u128::from(u64::MAX)) as u64, (wide >> 64) as u64]
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

#[cfg(test)]
mod tests {
    use super::*;

    // What differs in a letter, in its end or in its length alone has another digest, but for the few that the header allows.
    #[test]
    fn other_texts_have_other_digests() {
        let text = b"117105, Moskva, Varshavskoe sh., d. 42, et. 3, pom. 17";
        let own = digest(Some(text));
        let (mut same, mut all) = (0, 0);
        for len in 0..text.len() {
            let cut = text.get(..len).unwrap_or_default();
            same += u32::from(digest(Some(cut)) == own);
            let zeros = [cut, &[0]].concat();
            same += u32::from(digest(Some(&zeros)) == digest(Some(cut)));
            for byte in 0..=u8::MAX {
                let mut other = *text;
                other.get_mut(len).into_iter().for_each(|it| *it = byte);
                same += u32::from(other != *text && digest(Some(&other)) == own);
                all += 1;
            }
        }
        assert!(all > 13_000 && same <= 3, "{same} of {all}");
        assert_eq!((digest(None), own), (0, digest(Some(text))));
    }
}
