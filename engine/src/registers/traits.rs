//! What lists of registers are filtered by, of the registration in force: a few bytes of every card. Pure.

use ofd_codec::{Tag, tags};

use super::pack::{Packer, Unpacker};
use super::registration::Registration;

/// Signs of a registration, in the order of the bits of [`Traits::modes`].
pub const MODES: [(&str, Tag); 9] = [
    ("autonomous", tags::OFFLINE_MODE),
    ("automatic", tags::AUTO_MODE),
    ("internet", tags::INTERNET_SIGN),
    ("service", tags::SERVICE_SIGN),
    ("bso", tags::BSO_SIGN),
    ("excise", tags::EXCISE_DUTY_PRODUCT_SIGN),
    ("gambling", tags::GAMBLING_SIGN),
    ("lottery", tags::LOTTERY_SIGN),
    ("encrypted", tags::ENCRYPTION_SIGN),
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
        let is = |tag| registration.value(tag) == Some(1);
        let modes = (0_u32..)
            .zip(MODES)
            .fold(0_u16, |modes, (bit, (_, tag))| modes | u16::from(is(tag)).checked_shl(bit).unwrap_or(0));
        let tax = registration.value(tags::TAXATION_TYPES).unwrap_or(0) & 0x3F;
        let version = registration.value(tags::FFD_VERSION).unwrap_or(0).min(3 + 1) & 7;
        // Codes 0 and 1 are one: nobody works by them.
        let version = version.saturating_sub(1);
        let all = tax | version.checked_shl(6).unwrap_or(0);
        Self { modes, tax_and_version: u8::try_from(all).unwrap_or(0) }
    }

    /// Registered for goods under excise (1207).
    #[must_use]
    pub fn is_excise(self) -> bool {
        Self::mode("excise").is_some_and(|bit| self.modes & bit != 0)
    }

    /// Mask of tax systems (1062).
    #[must_use]
    pub const fn tax_systems(self) -> u8 {
        self.tax_and_version & 0x3F
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
        (0..).zip(MODES).filter(move |(bit, _)| set(*bit)).map(|(_, (name, _))| name)
    }

    /// The bit of a sign.
    #[must_use]
    pub fn mode(name: &str) -> Option<u16> {
        let bit = MODES.iter().position(|(it, _)| *it == name)?;
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
