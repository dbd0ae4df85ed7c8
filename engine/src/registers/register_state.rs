//! A register as it stands from a document on: what is told when it is registered, changes, loses or gets a drive, leaves. Pure.

use ofd_codec::{DocumentView, Form, LocalSeconds, Tag, tags};
use ofd_storage::envelope::Realm;

use super::card::text;
use super::pack::{Packer, Unpacker};

/// Texts of [`RegisterState::texts`].
const TEXTS: [Tag; 7] = [
    tags::USER_NAME,
    tags::RETAIL_PLACE_ADDRESS,
    tags::RETAIL_PLACE,
    tags::KKT_NUMBER,
    tags::KKT_VERSION,
    tags::MACHINE_NUMBER,
    tags::OFD_INN,
];
/// Numbers of [`RegisterState::numbers`].
const NUMBERS: [Tag; 11] = [
    tags::CHANGE_REASONS,
    tags::FFD_VERSION,
    tags::TAXATION_TYPES,
    tags::OFFLINE_MODE,
    tags::AUTO_MODE,
    tags::INTERNET_SIGN,
    tags::EXCISE_DUTY_PRODUCT_SIGN,
    tags::GAMBLING_SIGN,
    tags::LOTTERY_SIGN,
    tags::SERVICE_SIGN,
    tags::BSO_SIGN,
];

/// What a register does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterStatus {
    /// Its documents come to us.
    Working,
    /// They go to another operator, or nowhere (autonomy).
    Left,
    /// The archive of its drive is closed (form 6).
    Closed,
}

impl RegisterStatus {
    /// `working`, `left` or `closed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Left => "left",
            Self::Closed => "closed",
        }
    }
}

/// A register, by the document that it is told with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterState {
    /// Production or test.
    pub realm: Realm,
    /// 1037.
    pub rnm: String,
    /// 1012 of the document.
    pub at: Option<LocalSeconds>,
    /// What it does from here on.
    pub status: RegisterStatus,
    /// The document is a registration: what it does not name is not there. Otherwise it is what it was.
    pub registers: bool,
    /// It came from an archive: no feed tells it.
    pub imported: bool,
    texts: [Option<String>; TEXTS.len()],
    numbers: [Option<u32>; NUMBERS.len()],
}

const TEST: u8 = 1;
const REGISTERS: u8 = 1 << 1;
const IMPORTED: u8 = 1 << 2;

impl RegisterState {
    /// By a document, or by nothing (a lane seed).
    pub(super) fn of(
        realm: Realm,
        rnm: String,
        status: RegisterStatus,
        imported: bool,
        view: Option<&DocumentView<'_>>,
    ) -> Self {
        let of = |tag| view.and_then(|view| text(view, tag));
        let number = |tag| view?.get(tag)?.bits().ok();
        Self {
            realm,
            rnm,
            at: view.and_then(|it| it.header().date_time),
            status,
            registers: view.is_some_and(|it| matches!(it.form(), Form::REGISTRATION | Form::REREGISTRATION)),
            imported,
            texts: TEXTS.map(of),
            numbers: NUMBERS.map(number),
        }
    }

    /// Text of a requisite: 1048, 1009, 1187, 1013, 1188, 1036, 1017.
    #[must_use]
    pub fn text(&self, tag: Tag) -> Option<&str> {
        let at = TEXTS.iter().position(|it| *it == tag)?;
        self.texts.get(at)?.as_deref()
    }

    /// Number or sign of a requisite: 1205, 1209, 1062, 1002, 1001, 1108, 1207, 1193, 1126, 1109, 1110.
    #[must_use]
    pub fn number(&self, tag: Tag) -> Option<u32> {
        let at = NUMBERS.iter().position(|it| *it == tag)?;
        self.numbers.get(at).copied().flatten()
    }

    /// Whether [`RegisterState::text`] tells this requisite.
    #[cfg(test)]
    pub(crate) fn has_text(tag: Tag) -> bool {
        TEXTS.contains(&tag)
    }

    /// Whether [`RegisterState::number`] does.
    #[cfg(test)]
    pub(crate) fn has_number(tag: Tag) -> bool {
        NUMBERS.contains(&tag)
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { realm, rnm, at, status, registers, imported, texts, numbers } = self;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        to.byte(flag(*realm == Realm::Test, TEST) | flag(*registers, REGISTERS) | flag(*imported, IMPORTED));
        to.byte(match status {
            RegisterStatus::Working => 0,
            RegisterStatus::Left => 1,
            RegisterStatus::Closed => 2,
        });
        to.bytes(rnm.as_bytes());
        to.optional(at.map(|it| it.0));
        // A text that is there is not empty.
        texts.iter().for_each(|it| to.bytes(it.as_deref().unwrap_or_default().as_bytes()));
        numbers.iter().for_each(|it| to.optional(*it));
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let head = from.byte()?;
        let status = match from.byte()? {
            0 => RegisterStatus::Working,
            1 => RegisterStatus::Left,
            2 => RegisterStatus::Closed,
            _ => return None,
        };
        let rnm = core::str::from_utf8(from.bytes()?).ok()?.to_owned();
        let at = from.optional()?.map(LocalSeconds);
        let mut texts = [const { None }; TEXTS.len()];
        for slot in &mut texts {
            let text = core::str::from_utf8(from.bytes()?).ok()?;
            *slot = (!text.is_empty()).then(|| text.to_owned());
        }
        let mut numbers = [None; NUMBERS.len()];
        for slot in &mut numbers {
            *slot = from.optional()?;
        }
        Some(Self {
            realm: if head & TEST != 0 { Realm::Test } else { Realm::Prod },
            rnm,
            at,
            status,
            registers: head & REGISTERS != 0,
            imported: head & IMPORTED != 0,
            texts,
            numbers,
        })
    }
}
