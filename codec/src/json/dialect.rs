//! How public exports of fiscal documents differ from the ФНС JSON, and the liberties a reader takes with them.
//!
//! Source: observed, exports of the tax service's application (2017-2020), its open interface, its consumer account
//! (2025-26), two sites that check receipts, the documentation of an operator; names that older schemas have stand
//! with their tags in `codec/dictionary/ffd.toml`.

use alloc::string::String;

use crate::json::token::{Item, Member, Node};
use crate::{FfdVersion, Form, Tag, tags};

/// A liberty that reading took: what the JSON says is not how the ФНС writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LibertyKind {
    /// The document lay inside other objects or lists.
    Wrapper,
    /// The form was told by its code or by its members, as no key around the document names it.
    FormGuessed,
    /// The code of the form in the document is not that of the key around it, which counts.
    FormDiffers,
    /// There is no version in the document; the oldest that has all its requisites was taken.
    VersionGuessed,
    /// A key that older schemas or exports use.
    OldKey,
    /// A key that names no requisite, left out.
    UnknownKey,
    /// A key twice in one object; both count.
    RepeatedKey,
    /// `null`, or an empty text for a number: left out.
    Null,
    /// Spaces at the end of a text of fixed width.
    Padded,
    /// A number where a text belongs; leading zeros were put back where the width is known.
    NumberForText,
    /// A text where a number belongs.
    TextForNumber,
    /// `true` or `false` for 1 or 0.
    Boolean,
    /// A whole number spelled with a point (`3.0`).
    PointZero,
    /// Money in roubles, read as decimals: kopecks are a hundred times that.
    Roubles,
    /// The noise of a float was taken off.
    FloatNoise,
    /// A time as text.
    TimeText,
    /// A time zone was left out.
    Zone,
    /// A time in milliseconds.
    Milliseconds,
    /// A list where one value belongs.
    ListForOne,
    /// One value where a list belongs.
    OneForList,
    /// A list of bit numbers, from 1, for a mask.
    BitList,
    /// An object of a database for a bare value (`{"$date": …}`).
    Extended,
    /// The parts of a product code, of which the raw code was taken.
    RawProductCode,
    /// A total of a rate of 2025 or later by a name of its own (`nds22`), moved to the sums by rate (1115).
    RateTotal,
    /// `messageFiscalSign` that is no sign of a message (floats lose its last digits), left out.
    SignDropped,
    /// The document was taken from `rawData`, not from the members.
    RawData,
    /// `rawData` that is none: the members were taken.
    RawDataDropped,
    /// A drive number or document number that the JSON lacks and a message needs: a stand-in of a test drive.
    StandIn,
}

impl LibertyKind {
    /// The stable kebab-case name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wrapper => "wrapper",
            Self::FormGuessed => "form-guessed",
            Self::FormDiffers => "form-differs",
            Self::VersionGuessed => "version-guessed",
            Self::OldKey => "old-key",
            Self::UnknownKey => "unknown-key",
            Self::RepeatedKey => "repeated-key",
            Self::Null => "null",
            Self::Padded => "padded",
            Self::NumberForText => "number-for-text",
            Self::TextForNumber => "text-for-number",
            Self::Boolean => "boolean",
            Self::PointZero => "point-zero",
            Self::Roubles => "roubles",
            Self::FloatNoise => "float-noise",
            Self::TimeText => "time-text",
            Self::Zone => "zone",
            Self::Milliseconds => "milliseconds",
            Self::ListForOne => "list-for-one",
            Self::OneForList => "one-for-list",
            Self::BitList => "bit-list",
            Self::Extended => "extended",
            Self::RawProductCode => "raw-product-code",
            Self::RateTotal => "rate-total",
            Self::SignDropped => "sign-dropped",
            Self::RawData => "raw-data",
            Self::RawDataDropped => "raw-data-dropped",
            Self::StandIn => "stand-in",
        }
    }

    /// Whether something that the JSON says is not in the document, or the other way round.
    #[must_use]
    pub const fn is_lossy(self) -> bool {
        matches!(self, Self::UnknownKey | Self::Zone | Self::SignDropped | Self::StandIn | Self::FloatNoise)
    }
}

/// One liberty, and where it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liberty {
    /// What was done.
    pub kind: LibertyKind,
    /// Where in the JSON: `receipt.items[2].sum`.
    pub path: String,
    /// Bytes from the beginning of the text.
    pub offset: usize,
    /// The tag it is about, where there is one.
    pub tag: Option<Tag>,
}

impl core::fmt::Display for Liberty {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(self.kind.name())?;
        match self.tag {
            Some(tag) => write!(f, ", tag {}", tag.0),
            None => Ok(()),
        }
    }
}

/// Most liberties kept of one document; the others are counted.
pub const LIBERTIES_MAX: usize = 1_000;

/// The form that a key around a document names.
pub(super) fn form_of_key(key: &str) -> Option<Form> {
    let named = (1..=u8::MAX).map(Form).find(|form| form.json_name() == Some(key));
    let numbered = || key.strip_prefix("form")?.parse().ok().filter(|code| *code > 0).map(Form);
    named.or_else(numbered)
}

/// Keys under which the code of the form stands inside a document.
pub(super) fn is_code_key(key: &str) -> bool {
    matches!(key, "code" | "receiptCode" | "bsoCode")
}

/// The tag of `t1078`.
pub(super) fn numbered_tag(key: &str) -> Option<Tag> {
    let digits = key.strip_prefix('t')?;
    (!digits.starts_with(['0', '+'])).then(|| digits.parse().ok()).flatten().map(Tag)
}

/// Names that exports give to requisites and no schema has.
pub(super) fn exporters_name(key: &str, parent: u16, version: FfdVersion) -> Option<Tag> {
    let item = matches!(parent, 1059 | 1071);
    Some(match key {
        "fnsSiteUrl" => tags::FNS_SITE,
        "ndsRate" if item => Tag(1199),
        "calculationTypeSign" if item => Tag(1214),
        "calculationSubjectSign" if item => Tag(1212),
        // 1101 has this key up to 1.05; later there is 1205 alone.
        "correctionReasonCode" if version >= FfdVersion::V1_1 => tags::CHANGE_REASONS,
        "cashier" if !item => Tag(1021),
        "nds20120" if !item => tags::VAT_20_120,
        "nds18118" if !item => tags::VAT_20_120,
        _ => return None,
    })
}

/// The code of a rate (1199) whose total an export gives by a name of its own.
pub(super) fn rate_of_total(key: &str) -> Option<u8> {
    Some(match key {
        "nds5" => 7,
        "nds7" => 8,
        "nds5105" => 9,
        "nds7107" => 10,
        "nds22" => 11,
        "nds22122" => 12,
        _ => return None,
    })
}

/// What documents have and wrappers have not.
const TELLING: [&str; 11] = [
    "fiscalDocumentNumber",
    "fiscalDriveNumber",
    "fiscalSign",
    "dateTime",
    "userInn",
    "kktRegId",
    "totalSum",
    "items",
    "shiftNumber",
    "requestNumber",
    "operationType",
];

/// Whether an object is a document by its members: two that are telling, or one beside a code.
pub(super) fn looks_like_document(members: &[Member<'_>]) -> bool {
    let telling = members.iter().filter(|it| TELLING.contains(&it.key.as_ref())).count();
    let code = members.iter().any(|it| is_code_key(&it.key) && matches!(it.item.node, Node::Number(_)));
    telling >= 2 || code && telling == 1
}

/// The value inside `{"$date": …}`, `{"$numberLong": …}` and the like.
pub(super) fn extended<'i, 't>(item: &'i Item<'t>) -> Option<&'i Item<'t>> {
    match &item.node {
        Node::Object(members) => match members.as_slice() {
            [only] if only.key.starts_with('$') => Some(&only.item),
            _ => None,
        },
        _ => None,
    }
}

/// The raw code among the parts of a product code.
pub(super) fn raw_product_code<'i, 't>(item: &'i Item<'t>) -> Option<&'i Item<'t>> {
    match &item.node {
        Node::Object(members) => members.iter().find(|it| it.key == "rawProductCode").map(|it| &it.item),
        _ => None,
    }
}
