//! What the rules across documents ask of one document, taken requisite by requisite. Pure.
//!
//! Of a repeated requisite the first counts, as everywhere. A requisite that cannot be read is not there: rule B4 tells of it.

use ofd_codec::{Form, LocalSeconds, Tag, Value, tags};

/// Counters of a drive or a shift that are compared: receipts (1134), then the totals (1201) of the four directions.
pub(crate) type Counters = [Option<u64>; 5];

/// The tags of [`Counters`].
pub(crate) const COUNTER_TAGS: [Tag; 5] = [
    tags::ALL_RECEIPTS_COUNT,
    tags::SELL_COUNTERS,
    tags::SELL_RETURN_COUNTERS,
    tags::BUY_COUNTERS,
    tags::BUY_RETURN_COUNTERS,
];

/// The tags that [`Facts::take`] asks for.
pub(crate) const FACT_TAGS: &[Tag] = &[
    tags::KKT_REG_ID,
    tags::USER_INN,
    tags::USER_NAME,
    tags::RETAIL_PLACE_ADDRESS,
    tags::RETAIL_PLACE,
    tags::MACHINE_NUMBER,
    tags::FFD_VERSION,
    tags::AUTO_MODE,
    tags::INTERNET_SIGN,
    tags::INTERNET_PAYMENT,
    tags::LOTTERY_SIGN,
    tags::GAMBLING_SIGN,
    tags::EXCISE_DUTY_PRODUCT_SIGN,
    tags::USAGE_CONDITIONS,
    tags::TAXATION_TYPES,
    tags::APPLIED_TAXATION_TYPE,
    tags::AGENT_FLAGS,
    tags::CASH_SUM,
    tags::CORRECTION_BASE,
    tags::KEY_RESOURCE,
    tags::UNSENT_DOCUMENTS,
    tags::UNSENT_SINCE,
    tags::UNSENT_NOTIFICATIONS,
    tags::BAD_CODES,
    tags::BAD_REQUESTS,
    tags::DRIVE_COUNTERS,
    tags::SHIFT_COUNTERS,
];

/// The requisites. Texts without the spaces around them; a text that is empty is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) rnm: Option<&'a [u8]>,
    pub(crate) inn: Option<&'a [u8]>,
    pub(crate) user_name: Option<&'a [u8]>,
    pub(crate) address: Option<&'a [u8]>,
    pub(crate) place: Option<&'a [u8]>,
    pub(crate) machine: Option<&'a [u8]>,
    pub(crate) ffd: Option<u8>,
    /// 1001, 1108, 1125, 1126, 1193, 1207.
    pub(crate) automat: bool,
    pub(crate) internet_only: bool,
    pub(crate) internet: bool,
    pub(crate) lottery: bool,
    pub(crate) gambling: bool,
    pub(crate) excise: bool,
    /// 1290.
    pub(crate) usage: u32,
    /// 1062 of a registration, 1055 of a receipt.
    pub(crate) taxation_types: u8,
    pub(crate) taxation: Option<u8>,
    /// 1057, and 1222 of the items.
    pub(crate) agents: u8,
    /// Codes of 1199 in the items, a bit each.
    pub(crate) rates: u16,
    /// Codes of 1212 in the items, a bit each.
    pub(crate) subjects: u64,
    /// An item has a code of marking (1163).
    pub(crate) marked: bool,
    /// 1031.
    pub(crate) cash: u64,
    /// 1178.
    pub(crate) corrected: Option<LocalSeconds>,
    /// 1213.
    pub(crate) key_days: Option<u32>,
    /// 1097, 1098.
    pub(crate) unsent: Option<u32>,
    pub(crate) unsent_since: Option<LocalSeconds>,
    /// 2104.
    pub(crate) notifications: Option<u32>,
    /// 2112 or 2113.
    pub(crate) bad_codes: bool,
    /// 1157 and 1194.
    pub(crate) drive_counters: Option<Counters>,
    pub(crate) shift_counters: Option<Counters>,
}

impl<'a> Facts<'a> {
    /// Takes the next requisite of the upper level of a document.
    #[inline]
    pub(crate) fn take(&mut self, tag: Tag, value: &Value<'a>) {
        match tag {
            tags::KKT_REG_ID => text(&mut self.rnm, value),
            tags::USER_INN => text(&mut self.inn, value),
            tags::USER_NAME => text(&mut self.user_name, value),
            tags::RETAIL_PLACE_ADDRESS => text(&mut self.address, value),
            tags::RETAIL_PLACE => text(&mut self.place, value),
            tags::MACHINE_NUMBER => text(&mut self.machine, value),
            tags::FFD_VERSION => self.ffd = self.ffd.or(value.u8().ok()),
            tags::AUTO_MODE => self.automat |= is(value),
            tags::INTERNET_SIGN => self.internet_only |= is(value),
            tags::INTERNET_PAYMENT => self.internet |= is(value),
            tags::LOTTERY_SIGN => self.lottery |= is(value),
            tags::GAMBLING_SIGN => self.gambling |= is(value),
            tags::EXCISE_DUTY_PRODUCT_SIGN => self.excise |= is(value),
            tags::USAGE_CONDITIONS => self.usage |= value.bits().unwrap_or(0),
            tags::TAXATION_TYPES => self.taxation_types |= value.u8().unwrap_or(0),
            tags::APPLIED_TAXATION_TYPE => self.taxation = self.taxation.or(value.u8().ok()),
            tags::AGENT_FLAGS => self.agents |= value.u8().unwrap_or(0),
            tags::CASH_SUM => self.cash = value.vln().unwrap_or(0),
            tags::CORRECTION_BASE => {
                let date = children(value).find(|(tag, _)| *tag == tags::CORRECTION_DATE);
                self.corrected = date.and_then(|(_, value)| value.unixtime().ok());
            }
            tags::KEY_RESOURCE => self.key_days = value.vln().ok().and_then(|it| u32::try_from(it).ok()),
            tags::UNSENT_DOCUMENTS => self.unsent = value.u32().ok(),
            tags::UNSENT_SINCE => self.unsent_since = value.unixtime().ok().filter(|it| it.0 > 0),
            tags::UNSENT_NOTIFICATIONS => {
                self.notifications = value.vln().ok().and_then(|it| u32::try_from(it).ok());
            }
            tags::BAD_CODES | tags::BAD_REQUESTS => self.bad_codes |= is(value),
            tags::DRIVE_COUNTERS => self.drive_counters = Some(counters(value)),
            tags::SHIFT_COUNTERS => self.shift_counters = Some(counters(value)),
            _ => {}
        }
    }

    /// Takes the next requisite of an item of a receipt.
    #[inline]
    pub(crate) fn take_of_item(&mut self, tag: Tag, value: &Value<'_>) {
        match tag {
            tags::VAT_RATE => self.rates |= bit(value) as u16,
            tags::PAYMENT_SUBJECT => self.subjects |= bit(value),
            tags::ITEM_AGENT_FLAGS => self.agents |= value.u8().unwrap_or(0),
            tags::PRODUCT_CODE_STLV => self.marked = true,
            _ => {}
        }
    }

    /// Whether an item is of one of these kinds (1212).
    pub(crate) fn sells(&self, subjects: &[u32]) -> bool {
        subjects.iter().any(|code| self.subjects & 1_u64.checked_shl(*code).unwrap_or(0) != 0)
    }
}

fn text<'a>(slot: &mut Option<&'a [u8]>, value: &Value<'a>) {
    let text = value.bytes().trim_ascii();
    if slot.is_none() && !text.is_empty() {
        *slot = Some(text);
    }
}

fn is(value: &Value<'_>) -> bool {
    value.bytes() == [1]
}

/// The bit of a code; codes that no mask has room for have none.
fn bit(value: &Value<'_>) -> u64 {
    value.u8().ok().and_then(|code| 1_u64.checked_shl(code.into())).unwrap_or(0)
}

fn children<'v>(value: &Value<'v>) -> impl Iterator<Item = (Tag, Value<'v>)> + use<'v> {
    value.children().map_while(Result::ok)
}

fn counters(value: &Value<'_>) -> Counters {
    let mut found = [None; 5];
    for (tag, value) in children(value) {
        let Some(at) = COUNTER_TAGS.iter().position(|it| *it == tag) else { continue };
        let counter = match at {
            0 => value.vln().ok(),
            _ => children(&value)
                .find(|(tag, _)| *tag == tags::COUNTER_TOTAL_SUM)
                .and_then(|(_, value)| value.vln().ok()),
        };
        found.get_mut(at).into_iter().for_each(|slot| *slot = counter);
    }
    found
}

/// Whether a form tells what its register is registered with.
pub(crate) const fn registers(form: Form) -> bool {
    matches!(form, Form::REGISTRATION | Form::REREGISTRATION)
}
