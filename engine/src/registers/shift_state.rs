//! A closed shift as it stands: what is told when it is closed, and again each time a document has changed it. Pure.

use ofd_codec::{DocumentView, tags};
use ofd_storage::envelope::Realm;

use super::card::text;
use super::counters::stated_json;
use super::drive::Seen;
use super::pack::{Packer, Unpacker};
use super::packed;
use super::shift::Shift;

/// A closed shift, whole: its sums, its counters, whether they agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftState {
    /// Production or test.
    pub realm: Realm,
    /// INN of the user (1018) by its closing report: a document that came late may name another.
    pub inn: Option<String>,
    /// Registration number (1037), likewise.
    pub rnm: Option<String>,
    /// The shift behind that document.
    pub shift: Shift,
    /// Counters of its closing report (1194), kopecks and counts, as a JSON object: `{"receipts":2,"sell":{"total":5000,…},…}`.
    pub counters: Option<String>,
    /// Its document came from an archive, and nothing was told of it before: it is no news, and no feed tells it.
    pub imported: bool,
}

const TEST: u8 = 1;
const IMPORTED: u8 = 1 << 1;
const RNM: u8 = 1 << 2;
const COUNTERS: u8 = 1 << 3;
const INN: u8 = 1 << 4;

impl ShiftState {
    pub(super) fn of(seen: &Seen<'_>, shift: &Shift) -> Self {
        let close = shift.close.as_deref().and_then(|bytes| DocumentView::new_checked(bytes).ok());
        let own = |tag| text(close.as_ref().unwrap_or(&seen.view), tag);
        Self {
            realm: seen.realm,
            inn: own(tags::USER_INN),
            rnm: own(tags::KKT_REG_ID),
            shift: Shift { close: None, ..shift.clone() },
            counters: close.as_ref().and_then(stated_json),
            imported: seen.imported && !shift.told,
        }
    }

    pub(super) fn pack(&self, to: &mut Packer) {
        let Self { realm, inn, rnm, shift, counters, imported } = self;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        to.byte(
            flag(*realm == Realm::Test, TEST)
                | flag(*imported, IMPORTED)
                | flag(inn.is_some(), INN)
                | flag(rnm.is_some(), RNM)
                | flag(counters.is_some(), COUNTERS),
        );
        [inn, rnm, counters].into_iter().flatten().for_each(|it| to.bytes(it.as_bytes()));
        packed::pack_shift(shift, to);
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let head = from.byte()?;
        let mut text = |bit: u8| -> Option<Option<String>> {
            let held = (head & bit != 0).then(|| core::str::from_utf8(from.bytes()?).ok().map(str::to_owned));
            held.map_or(Some(None), |text| text.map(Some))
        };
        let (inn, rnm, counters) = (text(INN)?, text(RNM)?, text(COUNTERS)?);
        Some(Self {
            realm: if head & TEST != 0 { Realm::Test } else { Realm::Prod },
            inn,
            rnm,
            counters,
            imported: head & IMPORTED != 0,
            shift: packed::unpack_shift(from)?,
        })
    }
}
