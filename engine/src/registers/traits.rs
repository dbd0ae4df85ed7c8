//! What lists of registers are filtered by, of the registration in force: a few bytes of every card. Pure.

use ofd_codec::{Tag, tags};

use super::pack::{Packer, Unpacker};
use super::registration::Registration;

/// A sign of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// What it is called.
    pub name: &'static str,
    /// The requisite that is 1 where it holds, and 1057, a mask, not zero; some only in formats before 1.2.
    pub tag: Option<Tag>,
    /// Its bit of 1290, in which format 1.2 has put many of them; 0: none.
    pub usage: u32,
}

impl Mode {
    const fn new(name: &'static str, tag: Option<Tag>, usage: u32) -> Self {
        Self { name, tag, usage }
    }

    fn holds(&self, registration: &Registration, usage: u32) -> bool {
        let is = |tag| match registration.value(tag) {
            Some(agents) if tag == tags::AGENT_FLAGS => agents != 0,
            sign => sign == Some(1),
        };
        self.tag.is_some_and(is) || usage & self.usage != 0
    }
}

/// Signs of a registration, in the order of the bits of [`Traits::modes`]. `agent` is told in formats before 1.2 alone.
///
/// Source: order ЕД-7-20/662@, the tables of forms 1 and 11; bits of 1290 by its list.
pub const MODES: [Mode; 11] = [
    Mode::new("autonomous", Some(tags::OFFLINE_MODE), 0),
    Mode::new("automatic", Some(tags::AUTO_MODE), 0),
    Mode::new("internet", Some(tags::INTERNET_SIGN), 1 << 5),
    Mode::new("service", Some(tags::SERVICE_SIGN), 1 << 9),
    Mode::new("bso", Some(tags::BSO_SIGN), 1 << 2),
    Mode::new("excise", Some(tags::EXCISE_DUTY_PRODUCT_SIGN), 1 << 6),
    Mode::new("gambling", Some(tags::GAMBLING_SIGN), 1 << 10),
    Mode::new("lottery", Some(tags::LOTTERY_SIGN), 1 << 11),
    Mode::new("encrypted", Some(tags::ENCRYPTION_SIGN), 0),
    Mode::new("agent", Some(tags::AGENT_FLAGS), 0),
    Mode::new("marking", None, 1 << 8),
];

/// What a register was registered with; zero where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Bits of [`MODES`].
    pub modes: u16,
    /// Mask of tax systems (1062), and code of the ФФД version (1209: 2 = 1.05, 3 = 1.1, 4 = 1.2) above it.
    tax_and_version: u8,
}
const _: () = assert!(size_of::<Traits>() == 4);

impl Traits {
    pub(super) fn of(registration: &Registration) -> Self {
        let usage = registration.value(tags::USAGE_CONDITIONS).unwrap_or(0);
        let modes = (0_u32..).zip(MODES).fold(0_u16, |modes, (bit, mode)| {
            modes | u16::from(mode.holds(registration, usage)).checked_shl(bit).unwrap_or(0)
        });
        let tax = registration.value(tags::TAXATION_TYPES).unwrap_or(0) & 0x3F;
        let version = registration.value(tags::FFD_VERSION).unwrap_or(0).min(3 + 1) & 7;
        // Codes 0 and 1 are one: nobody works by them.
        let version = version.saturating_sub(1);
        let all = tax | version.checked_shl(6).unwrap_or(0);
        Self { modes, tax_and_version: u8::try_from(all).unwrap_or(0) }
    }

    /// Registered for goods under excise (1207, or bit 6 of 1290).
    #[must_use]
    pub fn is_excise(self) -> bool {
        Self::mode("excise").is_some_and(|bit| self.modes & bit != 0)
    }

    /// Mask of tax systems (1062).
    #[must_use]
    pub const fn tax_systems(self) -> u8 {
        self.tax_and_version & 0x3F
    }

    /// Registered for marked goods (1290, bit 8).
    #[must_use]
    pub fn is_marking(self) -> bool {
        Self::mode("marking").is_some_and(|bit| self.modes & bit != 0)
    }

    /// Place of the version among the versions: 0 = nobody knows.
    pub(super) const fn version_rank(self) -> u8 {
        self.tax_and_version >> 6
    }

    /// Version of the formats: `1.05`, `1.1`, `1.2`.
    #[must_use]
    pub const fn version(self) -> Option<&'static str> {
        match self.tax_and_version.checked_shr(6) {
            Some(1) => Some("1.05"),
            Some(2) => Some("1.1"),
            Some(3) => Some("1.2"),
            _ => None,
        }
    }

    /// Names of its signs.
    pub fn mode_names(self) -> impl Iterator<Item = &'static str> {
        let set = move |bit: u32| self.modes.checked_shr(bit).unwrap_or(0) & 1 == 1;
        (0..).zip(MODES).filter(move |(bit, _)| set(*bit)).map(|(_, mode)| mode.name)
    }

    /// The bit of a sign.
    #[must_use]
    pub fn mode(name: &str) -> Option<u16> {
        let bit = MODES.iter().position(|it| it.name == name)?;
        1_u16.checked_shl(u32::try_from(bit).ok()?)
    }

    pub(super) fn pack(self, to: &mut Packer) {
        to.number(self.modes);
        to.byte(self.tax_and_version);
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self { modes: u16::try_from(from.number()?).ok()?, tax_and_version: from.byte()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use ofd_codec::{DocumentView, Form, TlvWriter};

    use super::*;

    fn registration(sign: Option<(u16, u8)>, usage: Option<u32>) -> Registration {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::REGISTRATION, |w| {
                sign.iter().for_each(|(tag, value)| w.u8(Tag(*tag), *value));
                usage.iter().for_each(|it| w.u32(Tag(1290), *it));
                Ok(())
            })
            .unwrap();
        Registration::of(&DocumentView::new_checked(&bytes).unwrap(), 1)
    }

    // A bit that is off by one puts hundreds of registers on a list of others. Numbers as the order has them.
    #[test]
    fn each_sign_is_told_by_its_requisite_and_by_its_bit() {
        let signs: [(&str, u16, u32); 11] = [
            ("autonomous", 1002, 0),
            ("automatic", 1001, 0),
            ("internet", 1108, 1 << 5),
            ("service", 1109, 1 << 9),
            ("bso", 1110, 1 << 2),
            ("excise", 1207, 1 << 6),
            ("gambling", 1193, 1 << 10),
            ("lottery", 1126, 1 << 11),
            ("encrypted", 1056, 0),
            ("agent", 1057, 0),
            ("marking", 0, 1 << 8),
        ];
        assert_eq!(MODES.map(|it| it.name), signs.map(|(name, ..)| name));
        let names = |sign, usage| {
            let traits = Traits::of(&registration(sign, usage));
            assert_eq!(traits.is_excise(), traits.mode_names().any(|it| it == "excise"));
            assert_eq!(traits.is_marking(), traits.mode_names().any(|it| it == "marking"));
            traits.mode_names().collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(names(None, None), none);
        for (name, tag, bit) in signs {
            if tag > 0 {
                assert_eq!(names(Some((tag, 1)), None), [name]);
                assert_eq!(names(Some((tag, 1)), Some(bit)), [name]);
                assert_eq!(names(Some((tag, 0)), Some(0)), none);
                let other = if name == "agent" { &[name][..] } else { &[] };
                assert_eq!(names(Some((tag, 64)), None), other, "a mask, or no value of a sign");
            }
            if bit > 0 {
                assert_eq!(names(None, Some(bit)), [name]);
            }
        }
        let known = signs.iter().fold(0, |all, (.., bit)| all | bit);
        assert_eq!(names(None, Some(!known)), none, "bits of nothing that is listed");
    }

    // Agents alone, so that nothing else can be what has changed.
    #[test]
    fn a_registration_with_other_agents_has_changed() {
        let agents = |mask| registration(Some((1057, mask)), None);
        assert_eq!(agents(64).changes_from(&agents(32)), [tags::AGENT_FLAGS]);
        assert_eq!(agents(64).changes_from(&registration(None, None)), [tags::AGENT_FLAGS]);
        assert_eq!(agents(64).changes_from(&agents(64)), []);
    }
}
