//! What a register was registered with: forms 1 and 11, and what changed from one to the next. Pure.
//!
//! Source: order ЕД-7-20/662@, tables of the reports of registration and of its change; tag 1205, one bit a reason,
//! and before ФФД 1.1 tag 1101, one code a requisite.

use ofd_codec::{Cp866, DocumentView, LocalSeconds, Tag, tags};

/// What is compared between two registrations, in the order of the tags.
const COMPARED: [Tag; 27] = [
    tags::AUTO_MODE,
    tags::OFFLINE_MODE,
    tags::RETAIL_PLACE_ADDRESS,
    tags::KKT_NUMBER,
    tags::OFD_INN,
    tags::USER_INN,
    tags::MACHINE_NUMBER,
    tags::KKT_REG_ID,
    tags::FISCAL_DRIVE_NUMBER,
    tags::OFD_NAME,
    tags::USER_NAME,
    tags::ENCRYPTION_SIGN,
    tags::AGENT_FLAGS,
    tags::TAXATION_TYPES,
    tags::INTERNET_SIGN,
    tags::SERVICE_SIGN,
    tags::BSO_SIGN,
    tags::SENDER_EMAIL,
    tags::LOTTERY_SIGN,
    tags::RETAIL_PLACE,
    tags::KKT_FFD_VERSION,
    tags::GAMBLING_SIGN,
    tags::EXCISE_DUTY_PRODUCT_SIGN,
    tags::FFD_VERSION,
    tags::PRINT_IN_MACHINE_SIGN,
    tags::USAGE_CONDITIONS,
    tags::FNS_SITE,
];

/// Reasons of 1205 by bit.
const DRIVE_REPLACED: u32 = 1 << 0;
const OPERATOR_CHANGED: u32 = 1 << 1;
/// From the autonomous mode to that of transfer.
const LEFT_AUTONOMY: u32 = 1 << 4;
const OTHER_REASONS: u32 = 1 << 31;

/// A registration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Number of its document.
    pub number: u32,
    /// 1012 of its document.
    pub at: Option<LocalSeconds>,
    /// 1 or 11.
    pub form: u8,
    /// Mask of 1205. The codes of 1101 stand in it as the bits of the same meaning: 1 (drive) and 2 (operator); 3
    /// (requisites) and 4 (settings), which it does not tell apart so, as the bit of other reasons.
    pub reasons: u32,
    /// Requisites of [`COMPARED`] that are there: `place in it u8 │ length u16 LE │ bytes`, one after another.
    packed: Box<[u8]>,
}

impl Registration {
    /// Reads a form 1 or 11.
    #[must_use]
    pub fn of(view: &DocumentView<'_>, number: u32) -> Self {
        let header = view.header();
        let mask = view.get(tags::CHANGE_REASONS).and_then(|it| it.bits().ok()).unwrap_or(0);
        let codes = view.get_all(tags::REREGISTRATION_REASON).filter_map(|it| it.u8().ok());
        let listed = codes.fold(0, |mask, code| {
            mask | match code {
                1 => DRIVE_REPLACED,
                2 => OPERATOR_CHANGED,
                _ => OTHER_REASONS,
            }
        });
        let mut packed = Vec::new();
        for (place, tag) in (0_u8..).zip(COMPARED) {
            // A requisite has at most 65,535 bytes by its own length field.
            if let Some((value, len)) =
                view.get(tag).and_then(|it| Some((it, u16::try_from(it.bytes().len()).ok()?)))
            {
                packed.push(place);
                packed.extend_from_slice(&len.to_le_bytes());
                packed.extend_from_slice(value.bytes());
            }
        }
        let form = header.form.0;
        Self { number, at: header.date_time, form, reasons: mask | listed, packed: packed.into() }
    }

    fn requisites(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut rest = &*self.packed;
        core::iter::from_fn(move || {
            let (&[place, low, high], tail) = rest.split_first_chunk::<3>()?;
            let (bytes, behind) = tail.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
            rest = behind;
            Some((usize::from(place), bytes))
        })
    }

    fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        let at = COMPARED.iter().position(|it| *it == tag)?;
        self.requisites().find(|(place, _)| *place == at).map(|(_, bytes)| bytes)
    }

    /// Bytes of the text of a requisite, without the spaces behind it; empty when it is not there.
    pub(crate) fn text_bytes(&self, tag: Tag) -> &[u8] {
        self.bytes(tag).map_or(&[], |it| Cp866(it).trimmed().0)
    }

    /// Text of a requisite, without the spaces around it; `None` when it is not there or empty.
    #[must_use]
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = Cp866(self.bytes(tag)?).trimmed().to_cow().into_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Value of a requisite of one to four bytes, little-endian.
    #[must_use]
    pub fn value(&self, tag: Tag) -> Option<u32> {
        let bytes = self.bytes(tag).filter(|it| !it.is_empty())?;
        let mut wide = [0; 4];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u32::from_le_bytes(wide))
    }

    /// The register sends nothing from here on (1002).
    #[must_use]
    pub fn is_autonomous(&self) -> bool {
        self.value(tags::OFFLINE_MODE) == Some(1)
    }

    /// A new drive came into the register with it.
    #[must_use]
    pub(crate) const fn replaces_drive(&self) -> bool {
        self.reasons & DRIVE_REPLACED != 0
    }

    /// Its document says that the drive comes to an operator with it: a new drive, another operator, or the end of
    /// autonomy.
    #[must_use]
    pub const fn enters(&self) -> bool {
        self.form == 1 || self.reasons & (DRIVE_REPLACED | OPERATOR_CHANGED | LEFT_AUTONOMY) != 0
    }

    /// The requisites that differ, in a fixed order.
    #[must_use]
    pub fn changes_from(&self, before: &Self) -> Vec<Tag> {
        COMPARED.into_iter().filter(|tag| self.bytes(*tag) != before.bytes(*tag)).collect()
    }
}
