//! Codes and masks that views give: open, so that a number which nobody has named yet is kept and shown.
//!
//! Shape:  a code is one byte; a mask is one byte or four, little-endian, a sum of its bits.
//! Source: order ЕД-7-20/662@, the list of each tag; order ЕД-7-20/236@ for the rates of 2025; meanings in
//!         `codec/dictionary/enums.toml`.

use core::fmt;
use core::ops::BitOr;

use super::draft::Datum;
use crate::dictionary::{Kind, value_list};

/// An open code of one byte.
macro_rules! code {
    ($(#[$doc:meta])* $Name:ident of $list:literal { $( $(#[$vdoc:meta])* $VALUE:ident = $value:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub u8);

        impl $Name {
            $( $(#[$vdoc])* pub const $VALUE: Self = Self($value); )*

            pub(super) const KINDS: &'static [Kind] = &[Kind::Byte];

            /// A code of the wire; it has one byte.
            pub(super) const fn from_bits(bits: u32) -> Self {
                Self(bits.to_le_bytes()[0])
            }

            /// What it means, Russian; `None` for a code that the list does not have.
            #[must_use]
            pub fn name_ru(self) -> Option<&'static str> {
                value_list($list)?.meaning(u32::from(self.0))
            }
        }

        impl fmt::Display for $Name {
            /// The meaning, or the number where there is none.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name_ru() {
                    Some(name) => f.write_str(name),
                    None => fmt::Display::fmt(&self.0, f),
                }
            }
        }

        impl From<$Name> for Datum {
            fn from(code: $Name) -> Self {
                Self::Byte(code.0)
            }
        }
    };
}

/// An open mask of bits.
macro_rules! mask {
    ($(#[$doc:meta])* $Name:ident($Int:ty) of $list:literal { $( $(#[$vdoc:meta])* $VALUE:ident = $value:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub $Int);

        impl $Name {
            $( $(#[$vdoc])* pub const $VALUE: Self = Self($value); )*

            pub(super) const KINDS: &'static [Kind] = &[Kind::Bits];

            /// A mask of the wire, as wide as its tag.
            pub(super) fn from_bits(bits: u32) -> Self {
                Self(<$Int>::try_from(bits).unwrap_or_default())
            }

            /// Whether all bits of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether no bit is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Its bits, lowest first, each as a mask of its own.
            pub fn iter(self) -> impl Iterator<Item = Self> {
                (0..<$Int>::BITS).map(|bit| Self(1 << bit)).filter(move |bit| self.contains(*bit))
            }

            /// What a mask of one bit means, Russian; `None` for several bits and for one without a meaning.
            #[must_use]
            pub fn name_ru(self) -> Option<&'static str> {
                value_list($list)?.meaning(u32::from(self.0))
            }
        }

        impl BitOr for $Name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl From<$Name> for Datum {
            fn from(mask: $Name) -> Self {
                Self::from(mask.0)
            }
        }
    };
}

code! {
    /// Direction of a settlement (признак расчета, 1054).
    Operation of "payment-direction" {
        /// Sale (приход).
        SALE = 1;
        /// Return of a sale (возврат прихода).
        SALE_RETURN = 2;
        /// Purchase (расход).
        PURCHASE = 3;
        /// Return of a purchase (возврат расхода).
        PURCHASE_RETURN = 4;
    }
}

impl Operation {
    /// What the settlement does to the shop's money: 1 takes in, -1 gives out, 0 for an unknown code.
    #[must_use]
    pub const fn money_sign(self) -> i8 {
        match self {
            Self::SALE | Self::PURCHASE_RETURN => 1,
            Self::SALE_RETURN | Self::PURCHASE => -1,
            _ => 0,
        }
    }
}

code! {
    /// Rate of value added tax (ставка НДС, 1199).
    VatRate of "vat-rate" {
        /// 20 %, 18 % before 2019.
        VAT_20 = 1;
        /// 10 %.
        VAT_10 = 2;
        /// Calculated, 20/120 (18/118 before 2019).
        VAT_20_120 = 3;
        /// Calculated, 10/110.
        VAT_10_110 = 4;
        /// 0 %.
        VAT_0 = 5;
        /// Not subject to the tax.
        NO_VAT = 6;
        /// 5 %, from 2025.
        VAT_5 = 7;
        /// 7 %, from 2025.
        VAT_7 = 8;
        /// Calculated, 5/105.
        VAT_5_105 = 9;
        /// Calculated, 7/107.
        VAT_7_107 = 10;
        /// 22 %, from 2026.
        VAT_22 = 11;
        /// Calculated, 22/122.
        VAT_22_122 = 12;
    }
}

code! {
    /// Way of paying for an item (признак способа расчета, 1214).
    PaymentMethod of "payment-method" {
        /// Prepaid as a whole.
        PREPAID = 1;
        /// Prepaid in part.
        PREPAID_PART = 2;
        /// An advance.
        ADVANCE = 3;
        /// Paid in full.
        FULL = 4;
        /// Paid in part, the rest on credit.
        PART_AND_CREDIT = 5;
        /// Handed over on credit.
        CREDIT = 6;
        /// Payment of a credit.
        CREDIT_PAYMENT = 7;
    }
}

code! {
    /// What is paid for (признак предмета расчета, 1212).
    PaymentSubject of "payment-subject" {
        /// Goods without excise.
        GOODS = 1;
        /// Goods with excise.
        EXCISE_GOODS = 2;
        /// Work.
        WORK = 3;
        /// A service.
        SERVICE = 4;
        /// A payment: advance, prepayment, credit.
        PAYMENT = 10;
        /// An agent's fee.
        AGENT_FEE = 11;
        /// Marked goods without excise, with a marking code.
        MARKED_GOODS = 33;
    }
}

code! {
    /// Why there was a correction (тип коррекции, 1173).
    CorrectionType of "correction-type" {
        /// Of one's own accord.
        OWN = 0;
        /// By order of the tax service.
        ORDERED = 1;
    }
}

code! {
    /// The operator's answer to a document (код ответа ОФД, 1022).
    AnswerCode of "response-code" {
        /// Accepted.
        ACCEPTED = 0;
        /// Its contents were not recognised.
        NOT_RECOGNISED = 11;
        /// It did not pass the control of formats.
        FORMAT_CONTROL = 14;
    }
}

mask! {
    /// Systems of taxation (1055 of a receipt: one; 1062 of a registration: all that apply).
    TaxSystems(u8) of "taxation-type" {
        /// General (ОСН).
        GENERAL = 1;
        /// Simplified, income (УСН доход).
        SIMPLIFIED_INCOME = 2;
        /// Simplified, income less expenses (УСН доход минус расход).
        SIMPLIFIED_PROFIT = 4;
        /// On imputed income (ЕНВД), until 2021.
        IMPUTED = 8;
        /// Of farms (ЕСХН).
        FARM = 16;
        /// Patent (ПСН).
        PATENT = 32;
    }
}

mask! {
    /// Kinds of agent (признак агента, 1057 and 1222).
    AgentFlags(u8) of "agent-type" {
        /// Bank payment agent.
        BANK_PAYMENT_AGENT = 1;
        /// Its sub-agent.
        BANK_PAYMENT_SUBAGENT = 2;
        /// Payment agent.
        PAYMENT_AGENT = 4;
        /// Its sub-agent.
        PAYMENT_SUBAGENT = 8;
        /// Attorney (поверенный).
        ATTORNEY = 16;
        /// Commission agent (комиссионер).
        COMMISSION_AGENT = 32;
        /// Another agent.
        OTHER_AGENT = 64;
    }
}

mask! {
    /// Why a registration was changed (коды причин изменения сведений о ККТ, 1205).
    ChangeReasons(u32) of "change-reasons" {
        /// Another drive.
        DRIVE = 0x1;
        /// Another operator.
        OPERATOR = 0x2;
        /// Another name of the user.
        USER_NAME = 0x4;
        /// Another address or place.
        PLACE = 0x8;
        /// From autonomous mode to sending.
        LEFT_OFFLINE = 0x10;
        /// From sending to autonomous mode.
        WENT_OFFLINE = 0x20;
        /// Another version of the model.
        MODEL_VERSION = 0x40;
        /// Other systems of taxation.
        TAX_SYSTEMS = 0x80;
        /// Another number of the vending machine.
        MACHINE_NUMBER = 0x100;
        /// Another version of the format.
        FFD_VERSION = 0x20_0000;
        /// Other reasons.
        OTHER = 0x8000_0000;
    }
}

mask! {
    /// Conditions under which a register is used (признаки условий применения ККТ, 1290).
    UsageConditions(u32) of "usage-conditions" {
        /// A printer in a vending machine.
        PRINTER_IN_MACHINE = 0x2;
        /// An automated system for strict accounting forms.
        BSO = 0x4;
        /// Settlements in the Internet only.
        INTERNET_ONLY = 0x20;
        /// Goods with excise.
        EXCISE_GOODS = 0x40;
        /// Marked goods.
        MARKED_GOODS = 0x100;
        /// Services only.
        SERVICES_ONLY = 0x200;
        /// Gambling.
        GAMBLING = 0x400;
        /// Lotteries.
        LOTTERY = 0x800;
    }
}
