//! The text in the QR code of a receipt: read, written, held against a document.
//!
//! Shape:  `t=20260314T1230&s=159.00&fn=9999078900012345&i=17&fp=0000000258&n=1`: time (1012) with or without
//!         seconds, total (1020) in roubles, drive (1041), document (1040), printed sign (1077), operation (1054).
//! Invariants: what is built is read back the same; fields are read in any order, leading zeros of `i` and `fp`
//!         are allowed, fields of other names are passed over (test: tests/qr.rs).
//! Errors: `Truncated` where a field is missing, `Value` where one is unreadable or stands twice; the offset is that
//!         of the value in the text.
//! Source: order ЕД-7-20/662@, tag 1196; observed on receipts.

use core::fmt;

use crate::{
    Civil, DecodeError, DecodeErrorKind, DocumentNumber, DocumentView, DriveNumber, Kopecks, LocalSeconds,
    Tag, Value, tags,
};

/// What a receipt's QR code says.
///
/// ```
/// use ofd_codec::{Kopecks, QrCode};
/// let qr = QrCode::parse("t=20260314T1230&s=159.00&fn=9999078900012345&i=17&fp=258&n=1")?;
/// assert_eq!(qr.total, Kopecks(15_900));
/// assert_eq!(qr.to_string(), "t=20260314T1230&s=159.00&fn=9999078900012345&i=17&fp=258&n=1");
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrCode {
    /// Tag 1012, `t`.
    pub date_time: LocalSeconds,
    /// Whether `t` says the seconds; many registers print the minute only.
    pub seconds: bool,
    /// Tag 1020, `s`.
    pub total: Kopecks,
    /// Tag 1041, `fn`.
    pub drive: DriveNumber,
    /// Tag 1040, `i`.
    pub number: DocumentNumber,
    /// The printed number of tag 1077, `fp`.
    pub sign: u32,
    /// Tag 1054, `n`: 1 sale, 2 its return, 3 purchase, 4 its return.
    pub operation: u8,
}

impl QrCode {
    /// Reads the text.
    ///
    /// # Errors
    /// As the module header lists.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let (mut time, mut total, mut drive, mut number, mut sign, mut operation) =
            (None, None, None, None, None, None);
        let mut at = 0_usize;
        for field in text.split('&') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let value_at = at.saturating_add(name.len()).saturating_add(1).min(text.len());
            let known = match name {
                "t" => once(&mut time, date_time(value)),
                "s" => once(&mut total, roubles(value)),
                "fn" => once(&mut drive, DriveNumber::parse(value).ok()),
                "i" => once(&mut number, decimal(value).map(DocumentNumber)),
                "fp" => once(&mut sign, decimal(value)),
                "n" => once(&mut operation, decimal::<u8>(value)),
                _ => true,
            };
            if !known {
                return Err(DecodeError::new(DecodeErrorKind::Value, value_at));
            }
            at = at.saturating_add(field.len()).saturating_add(1);
        }
        let (Some((date_time, seconds)), Some(total), Some(drive), Some(number), Some(sign), Some(operation)) =
            (time, total, drive, number, sign, operation)
        else {
            return Err(DecodeError::new(DecodeErrorKind::Truncated, text.len()));
        };
        Ok(Self { date_time, seconds, total, drive, number, sign, operation })
    }

    /// What the receipt's code has to say; `None` where the document lacks one of the six requisites or one of them
    /// can not be read. Whole minutes are written without seconds, as registers do.
    #[must_use]
    pub fn of_document(view: &DocumentView<'_>) -> Option<Self> {
        let header = view.header();
        let date_time = header.date_time?;
        Some(Self {
            date_time,
            seconds: date_time.0 % 60 != 0,
            total: first(view, tags::TOTAL_SUM, |value| value.kopecks().ok())?,
            drive: header.drive?,
            number: header.number?,
            sign: header.sign?.printed(),
            operation: first(view, tags::OPERATION_TYPE, |value| value.u8().ok())?,
        })
    }

    /// The tags in which the document says something else, ascending by their place in the text; none for a code
    /// that belongs to the document. A code without seconds is held against the minute.
    pub fn differences(&self, view: &DocumentView<'_>) -> impl Iterator<Item = Tag> + use<> {
        let header = view.header();
        let minute = |LocalSeconds(seconds)| if self.seconds { seconds } else { seconds / 60 };
        let total = first(view, tags::TOTAL_SUM, |value| value.kopecks().ok());
        let operation = first(view, tags::OPERATION_TYPE, |value| value.u8().ok());
        [
            (tags::DATE_TIME, header.date_time.map(minute) == Some(minute(self.date_time))),
            (tags::TOTAL_SUM, total == Some(self.total)),
            (tags::FISCAL_DRIVE_NUMBER, header.drive == Some(self.drive)),
            (tags::FISCAL_DOCUMENT_NUMBER, header.number == Some(self.number)),
            (tags::FISCAL_SIGN, header.sign.map(crate::FiscalSign::printed) == Some(self.sign)),
            (tags::OPERATION_TYPE, operation == Some(self.operation)),
        ]
        .into_iter()
        .filter_map(|(tag, same)| (!same).then_some(tag))
    }

    /// Whether the code belongs to the document: all six requisites agree.
    #[must_use]
    pub fn is_of(&self, view: &DocumentView<'_>) -> bool {
        self.differences(view).next().is_none()
    }
}

impl fmt::Display for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = Civil::from(self.date_time);
        write!(f, "t={year:04}{month:02}{day:02}T{hour:02}{minute:02}")?;
        if self.seconds {
            write!(f, "{second:02}")?;
        }
        let Self { total, drive, number, sign, operation, .. } = self;
        write!(f, "&s={total}&fn={drive}&i={number}&fp={sign}&n={operation}")
    }
}

/// The first requisite with this tag that can be read.
fn first<T>(view: &DocumentView<'_>, tag: Tag, read: impl Fn(Value<'_>) -> Option<T>) -> Option<T> {
    view.get_all(tag).find_map(read)
}

/// Fills an empty slot; false when the value is unreadable or the slot is taken.
fn once<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let free = slot.is_none() && value.is_some();
    if free {
        *slot = value;
    }
    free
}

/// Digits and nothing else.
fn decimal<T: core::str::FromStr>(text: &str) -> Option<T> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `20260314T1230`, with seconds or without; whether they were there.
fn date_time(text: &str) -> Option<(LocalSeconds, bool)> {
    let (date, time) = text.split_once('T')?;
    if date.len() != 8 || !matches!(time.len(), 4 | 6) {
        return None;
    }
    let seconds = time.len() == 6;
    let civil = Civil {
        year: decimal(date.get(..4)?)?,
        month: decimal(date.get(4..6)?)?,
        day: decimal(date.get(6..)?)?,
        hour: decimal(time.get(..2)?)?,
        minute: decimal(time.get(2..4)?)?,
        second: if seconds { decimal(time.get(4..)?)? } else { 0 },
    };
    Some((civil.to_local()?, seconds))
}

/// Roubles with at most two digits after the point, in kopecks.
fn roubles(text: &str) -> Option<Kopecks> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let kopecks: i64 = match part.len() {
        1 => decimal::<i64>(part)?.checked_mul(10)?,
        2 => decimal(part)?,
        _ => return None,
    };
    decimal::<i64>(whole)?.checked_mul(100)?.checked_add(kopecks).map(Kopecks)
}
