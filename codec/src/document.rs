//! A document: one outer TLV whose tag is the form code, checked once and then read without errors of structure.
//!
//! Shape:  `[form: u16 LE][length: u16 LE]` and TLVs in any order; those the dictionary calls structures (STLV)
//! hold TLVs again.
//! Invariants of [`DocumentView`]: the outer TLV is exactly the bytes handed in; every TLV of every structure closes
//! exactly; at most [`DEPTH_MAX`] levels and [`TAGS_MAX`] TLVs. Nothing is copied, nothing allocated.
//! Not promised: that a value has the length its type wants. A decodable document with a strange value is answered
//! and reported, so reading such a value gives an error of its own.
//! Errors: `Truncated`, `Form`, `TlvLength`, `TlvTrailing`, `Depth`, `TooManyTags`, with the offset of the TLV.
//!
//! Numbers that were given anew in 2025 (1115, 1119) were text before, so their insides are not part of the check:
//! whoever reads them as structures meets the errors on the way.

use core::fmt;
use core::iter::FusedIterator;

use crate::frame::{CONTAINER_FROM_REGISTER, CONTAINER_TO_REGISTER, CONTAINER_VERSION};
use crate::tlv::TLV_HEADER_LEN;
use crate::{
    Container, DecodeError, DecodeErrorKind, DocumentNumber, DriveNumber, FfdVersion, FiscalSign,
    LocalSeconds, ServiceHeader, Tag, Tlv, Value, is_stlv, tags,
};

/// Levels of TLVs in a document, its own requisites being the first. The deepest known nest is that of the counters:
/// document, 1157, 1133, 1145.
pub const DEPTH_MAX: usize = 4;

/// TLVs in one document, all levels together. A full container has room for about as many empty ones.
pub const TAGS_MAX: usize = 8192;

/// Form of a document (форма ФД): the code in the container header and of the outer TLV. Open: an unknown form is a
/// number, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form(pub u8);

impl Form {
    /// Report of registration (отчет о регистрации).
    pub const REGISTRATION: Self = Self(1);
    /// Report of the opening of a shift (отчет об открытии смены).
    pub const OPEN_SHIFT: Self = Self(2);
    /// Receipt (кассовый чек).
    pub const RECEIPT: Self = Self(3);
    /// Strict accounting form (бланк строгой отчетности, БСО).
    pub const BSO: Self = Self(4);
    /// Report of the closing of a shift (отчет о закрытии смены).
    pub const CLOSE_SHIFT: Self = Self(5);
    /// Report of the closing of the drive (отчет о закрытии фискального накопителя).
    pub const CLOSE_ARCHIVE: Self = Self(6);
    /// Confirmation by the operator (подтверждение оператора).
    pub const CONFIRMATION: Self = Self(7);
    /// Report of a change of registration (отчет об изменении параметров регистрации).
    pub const REREGISTRATION: Self = Self(11);
    /// Report of the current state of settlements (отчет о текущем состоянии расчетов).
    pub const CURRENT_STATE: Self = Self(21);
    /// Correction receipt (кассовый чек коррекции).
    pub const RECEIPT_CORRECTION: Self = Self(31);
    /// Correction of a strict accounting form (БСО коррекции).
    pub const BSO_CORRECTION: Self = Self(41);
    /// Request about a marking code (запрос о коде маркировки).
    pub const MARKING_REQUEST: Self = Self(81);
    /// Notification of the sale of marked goods (уведомление о реализации маркированного товара).
    pub const MARKING_NOTIFICATION: Self = Self(82);
    /// Answer to a request (ответ на запрос).
    pub const MARKING_ANSWER: Self = Self(83);
    /// Receipt for a notification (квитанция на уведомление).
    pub const MARKING_RECEIPT: Self = Self(84);

    /// The key of the form in the ФНС JSON; `None` for the marking exchange and for unknown codes.
    #[must_use]
    pub const fn json_name(self) -> Option<&'static str> {
        Some(match self {
            Self::REGISTRATION => "fiscalReport",
            Self::OPEN_SHIFT => "openShift",
            Self::RECEIPT => "receipt",
            Self::BSO => "bso",
            Self::CLOSE_SHIFT => "closeShift",
            Self::CLOSE_ARCHIVE => "closeArchive",
            Self::CONFIRMATION => "operatorAck",
            Self::REREGISTRATION => "fiscalReportCorrection",
            Self::CURRENT_STATE => "currentStateReport",
            Self::RECEIPT_CORRECTION => "receiptCorrection",
            Self::BSO_CORRECTION => "bsoCorrection",
            _ => return None,
        })
    }

    /// Whether the form records a settlement: receipt, БСО and their corrections.
    #[must_use]
    pub const fn is_receipt_like(self) -> bool {
        matches!(self, Self::RECEIPT | Self::BSO | Self::RECEIPT_CORRECTION | Self::BSO_CORRECTION)
    }

    /// Whether the form belongs to the marking exchange, which numbers its documents apart (tags 2001, 2002).
    #[must_use]
    pub const fn is_marking(self) -> bool {
        matches!(self.0, 81..=84)
    }
}

impl fmt::Display for Form {
    /// The JSON name, or `form81` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.json_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "form{}", self.0),
        }
    }
}

/// What the engine needs of every document, read in one pass over its upper level. A requisite that is missing or
/// unreadable is `None`; of a repeated one the first counts, as everywhere (rule A4 compares that one with the headers):
/// behind one that can not be read no other is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentHeader {
    /// Form code of the outer TLV.
    pub form: Form,
    /// Tag 1041.
    pub drive: Option<DriveNumber>,
    /// Tag 1040.
    pub number: Option<DocumentNumber>,
    /// Tag 1077.
    pub sign: Option<FiscalSign>,
    /// Tag 1012.
    pub date_time: Option<LocalSeconds>,
    /// Tag 1038, number of the shift.
    pub shift: Option<u32>,
    /// Tag 1042, number of the receipt within the shift.
    pub in_shift: Option<u32>,
    /// Tag 1209, code of the format version.
    pub ffd: Option<u8>,
}

impl FfdVersion {
    /// Version of a document: its tag 1209, else that of the drive's last registration, else by the P-version of the
    /// session, else 1.0.
    #[must_use]
    pub fn of_document(
        header: &DocumentHeader,
        last_registration: Option<FfdVersion>,
        p_version: [u8; 2],
    ) -> FfdVersion {
        Self::resolve(header.ffd, last_registration, p_version)
    }
}

/// A document whose structure holds; it borrows the bytes.
#[derive(Clone, Copy)]
pub struct DocumentView<'a> {
    /// The outer TLV: its header has the form, the rest is its value.
    bytes: &'a [u8],
}

impl<'a> DocumentView<'a> {
    /// Checks that the bytes are one document, in one pass and without recursion.
    ///
    /// # Errors
    /// As the module header lists; offsets count from the beginning of `tlv`.
    pub fn new_checked(tlv: &'a [u8]) -> Result<Self, DecodeError> {
        let (view, rest) = Self::split_checked(tlv)?;
        if rest.is_empty() {
            Ok(view)
        } else {
            Err(DecodeError::new(DecodeErrorKind::TlvTrailing, view.bytes.len()))
        }
    }

    /// The same, and hands what the check passes to `visit` on the way, with what the engine needs of every document behind it: whoever
    /// asks much of a document walks it once. What was handed over counts only where this gives no error.
    ///
    /// # Errors
    /// As [`DocumentView::new_checked`].
    pub fn visit_checked(
        tlv: &'a [u8],
        visit: &mut impl Visit<'a>,
    ) -> Result<(Self, DocumentHeader), DecodeError> {
        let (view, rest) = Self::cut(tlv)?;
        let mut firsts = Firsts::default();
        visit.begin(view.form());
        check_and_visit(view.body(), (&mut firsts, visit)).map_err(|error| error.shifted(TLV_HEADER_LEN))?;
        if rest.is_empty() {
            Ok((view, firsts.header(view.form())))
        } else {
            Err(DecodeError::new(DecodeErrorKind::TlvTrailing, view.bytes.len()))
        }
    }

    /// As [`DocumentView::new_checked`] for a document at the front of `stream`; gives the rest as well.
    pub(crate) fn split_checked(stream: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (view, rest) = Self::cut(stream)?;
        check_structure(view.body()).map_err(|error| error.shifted(TLV_HEADER_LEN))?;
        Ok((view, rest))
    }

    /// The outer TLV alone: what is in it has yet to be checked before anyone may have the view.
    pub(crate) fn cut(stream: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let Some(&[f0, f1, l0, l1]) = stream.first_chunk::<TLV_HEADER_LEN>() else {
            return Err(DecodeError::new(DecodeErrorKind::Truncated, stream.len()));
        };
        let code = u16::from_le_bytes([f0, f1]);
        if !matches!(u8::try_from(code), Ok(1..)) {
            return Err(DecodeError::at(DecodeErrorKind::Form, Tag(code), 0));
        }
        let len = TLV_HEADER_LEN.saturating_add(usize::from(u16::from_le_bytes([l0, l1])));
        let Some((bytes, rest)) = stream.split_at_checked(len) else {
            return Err(DecodeError::at(DecodeErrorKind::TlvLength, Tag(code), 0));
        };
        Ok((Self { bytes }, rest))
    }

    /// Form of the document.
    #[must_use]
    pub const fn form(&self) -> Form {
        // Of a number that has a byte, the first one on the wire.
        match self.bytes {
            [form, ..] => Form(*form),
            [] => Form(0),
        }
    }

    /// The whole TLV.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is in the outer TLV.
    pub(crate) const fn body(&self) -> &'a [u8] {
        match self.bytes.split_at_checked(TLV_HEADER_LEN) {
            Some((_, body)) => body,
            None => &[],
        }
    }

    /// The requisites of the upper level in the order of the wire.
    #[must_use]
    pub const fn tags(&self) -> Tags<'a> {
        Tags(Tlv::at(self.body(), TLV_HEADER_LEN as u32))
    }

    /// The first requisite with this tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<Value<'a>> {
        self.get_all(tag).next()
    }

    /// All requisites with this tag, in the order of the wire, neighbours or not.
    pub fn get_all(&self, tag: Tag) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.tags().filter_map(move |(found, value)| (found == tag).then_some(value))
    }

    /// What the engine needs of every document, in one pass. Whoever has yet to check the document gets it from
    /// [`open_plain_with_header`] in the same one.
    #[must_use]
    pub fn header(&self) -> DocumentHeader {
        let mut firsts = Firsts::default();
        self.tags().for_each(|(tag, value)| firsts.upper(tag, &value));
        firsts.header(self.form())
    }
}

/// Whoever is handed the requisites of a document while it is checked, in the order of the wire.
pub trait Visit<'a> {
    /// The document is of this form.
    fn begin(&mut self, form: Form) {
        let _ = form;
    }

    /// A requisite of the upper level.
    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        let _ = (tag, value);
    }

    /// A requisite of a structure of the upper level, which was handed over before it.
    fn inside(&mut self, parent: Tag, tag: Tag, value: &Value<'a>) {
        let _ = (parent, tag, value);
    }
}

/// Looks at nothing.
impl Visit<'_> for () {}

/// Two, one after the other.
impl<'a, A: Visit<'a>, B: Visit<'a>> Visit<'a> for (&mut A, &mut B) {
    #[inline]
    fn begin(&mut self, form: Form) {
        self.0.begin(form);
        self.1.begin(form);
    }

    #[inline]
    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        self.0.upper(tag, value);
        self.1.upper(tag, value);
    }

    #[inline]
    fn inside(&mut self, parent: Tag, tag: Tag, value: &Value<'a>) {
        self.0.inside(parent, tag, value);
        self.1.inside(parent, tag, value);
    }
}

impl fmt::Debug for DocumentView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentView({}, {} bytes)", self.form(), self.bytes.len())
    }
}

/// The values of a [`DocumentHeader`] as they are met. Of a repeated requisite the first counts, be it that it can not be
/// read.
#[derive(Default)]
struct Firsts<'a> {
    drive: Option<&'a [u8]>,
    number: Option<&'a [u8]>,
    sign: Option<&'a [u8]>,
    date_time: Option<&'a [u8]>,
    shift: Option<&'a [u8]>,
    in_shift: Option<&'a [u8]>,
    ffd: Option<&'a [u8]>,
}

impl<'a> Visit<'a> for Firsts<'a> {
    #[inline(always)]
    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        let slot = match tag {
            tags::DATE_TIME => &mut self.date_time,
            tags::SHIFT_NUMBER => &mut self.shift,
            tags::FISCAL_DOCUMENT_NUMBER => &mut self.number,
            tags::FISCAL_DRIVE_NUMBER => &mut self.drive,
            tags::NUMBER_IN_SHIFT => &mut self.in_shift,
            tags::FISCAL_SIGN => &mut self.sign,
            tags::FFD_VERSION => &mut self.ffd,
            _ => return,
        };
        slot.get_or_insert(value.bytes());
    }
}

impl<'a> Firsts<'a> {
    fn header(&self, form: Form) -> DocumentHeader {
        // Whether they can be read is asked, not where they stand.
        let value = |tag: Tag, bytes: Option<&'a [u8]>| bytes.map(|bytes| Value::new(tag, bytes, 0));
        DocumentHeader {
            form,
            drive: value(tags::FISCAL_DRIVE_NUMBER, self.drive).and_then(|it| it.drive_number().ok()),
            number: value(tags::FISCAL_DOCUMENT_NUMBER, self.number)
                .and_then(|it| it.u32().map(DocumentNumber).ok()),
            sign: value(tags::FISCAL_SIGN, self.sign).and_then(|it| it.fiscal_sign().ok()),
            date_time: value(tags::DATE_TIME, self.date_time).and_then(|it| it.unixtime().ok()),
            shift: value(tags::SHIFT_NUMBER, self.shift).and_then(|it| it.u32().ok()),
            in_shift: value(tags::NUMBER_IN_SHIFT, self.in_shift).and_then(|it| it.u32().ok()),
            ffd: value(tags::FFD_VERSION, self.ffd).and_then(|it| it.u8().ok()),
        }
    }
}

/// Cursor over a level that is known to close: the same as [`Tlv`], without errors.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a>(Tlv<'a>);

impl<'a> Iterator for Tags<'a> {
    type Item = (Tag, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()?.ok()
    }
}

impl FusedIterator for Tags<'_> {}

/// Whether every level closes, at most [`DEPTH_MAX`] of them and [`TAGS_MAX`] TLVs.
pub(crate) fn check_structure(body: &[u8]) -> Result<(), DecodeError> {
    check_and_visit(body, ())
}

/// The same, handing over the two upper levels; of a body that turns out not to close, what comes before.
///
/// The loop keeps the rest of one level and nothing else: which error it is and where is worked out apart, by
/// [`locate_break`], when there is one.
#[inline]
fn check_and_visit<'a>(body: &'a [u8], mut visit: impl Visit<'a>) -> Result<(), DecodeError> {
    // A body that fits a container has no room for more TLVs than are allowed, so nobody has to count.
    if body.len() > TAGS_MAX.saturating_mul(TLV_HEADER_LEN) {
        locate_break(body)?;
    }
    let mut parent = Tag(0);
    let mut rest = body;
    let mut outer: [&[u8]; DEPTH_MAX - 1] = [&[]; DEPTH_MAX - 1];
    let mut depth = 0_usize;
    loop {
        let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<TLV_HEADER_LEN>() else {
            if !rest.is_empty() {
                break;
            }
            let Some(around) = depth.checked_sub(1).and_then(|depth| outer.get(depth)) else {
                return Ok(());
            };
            rest = around;
            depth = depth.saturating_sub(1);
            continue;
        };
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let Some((bytes, after)) = tail.split_at_checked(len) else { break };
        rest = after;
        let tag = Tag(u16::from_le_bytes([t0, t1]));
        if depth <= 1 {
            let at = tail.as_ptr().addr().wrapping_sub(body.as_ptr().addr());
            // Lengths of documents have 17 bits.
            let value = Value::new(tag, bytes, at.wrapping_add(TLV_HEADER_LEN) as u32);
            if depth == 0 {
                visit.upper(tag, &value);
                parent = tag;
            } else {
                visit.inside(parent, tag, &value);
            }
        }
        if is_stlv(tag) {
            let Some(slot) = outer.get_mut(depth) else { break };
            *slot = after;
            depth = depth.saturating_add(1);
            rest = bytes;
        }
    }
    locate_break(body)
}

/// Walks all levels as one stream: the children of a structure follow its header, so going down means only to
/// remember where the structure ends.
#[cold]
fn locate_break(body: &[u8]) -> Result<(), DecodeError> {
    let mut rest = body;
    // How many bytes must be left when the current level ends, and the same of the levels around it.
    let mut floor = 0_usize;
    let mut outer = [0_usize; DEPTH_MAX - 1];
    let mut depth = 0_usize;
    let mut seen = 0_usize;
    loop {
        while rest.len() == floor {
            if depth == 0 {
                return Ok(());
            }
            depth = depth.saturating_sub(1);
            floor = outer.get(depth).copied().unwrap_or_default();
        }
        let here = || body.len().saturating_sub(rest.len());
        let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<TLV_HEADER_LEN>() else {
            return Err(DecodeError::new(DecodeErrorKind::Truncated, here()));
        };
        if tail.len() < floor {
            return Err(DecodeError::new(DecodeErrorKind::Truncated, here()));
        }
        let tag = Tag(u16::from_le_bytes([t0, t1]));
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let Some((_, after)) = tail.split_at_checked(len).filter(|(_, after)| after.len() >= floor) else {
            return Err(DecodeError::at(DecodeErrorKind::TlvLength, tag, here()));
        };
        seen = seen.saturating_add(1);
        if seen > TAGS_MAX {
            return Err(DecodeError::at(DecodeErrorKind::TooManyTags, tag, here()));
        }
        if is_stlv(tag) {
            let Some(slot) = outer.get_mut(depth) else {
                return Err(DecodeError::at(DecodeErrorKind::Depth, tag, here()));
            };
            *slot = floor;
            depth = depth.saturating_add(1);
            floor = after.len();
            rest = tail;
        } else {
            rest = after;
        }
    }
}

/// Rules A4 and A5 for what a register sent: the headers agree with the plain document, which is handed in apart
/// because the body of the container may be encrypted. Without encryption `plain` is [`Container::body`].
///
/// A4: container type A5, version 1; form of the header = form of the document; drive of the session = drive of the
/// container = tag 1041; number of the container = tag 1040. The marking forms 81-84 number their documents in other
/// tags, so there only what is present is compared.
/// A5: the document closes exactly, and service data 2 names its length.
///
/// # Errors
/// Kinds of A4 and A5 and those of [`DocumentView::new_checked`]. Offsets count from the beginning of `plain` for
/// what is found in the document and from that of the container for what is found in its header.
pub fn open_plain<'a>(
    container: &Container<'_>,
    session_drive: Option<&[u8; 16]>,
    plain: &'a [u8],
) -> Result<DocumentView<'a>, DecodeError> {
    open(container, CONTAINER_FROM_REGISTER, session_drive, plain).map(|(view, _)| view)
}

/// The same, and what the engine needs of every document, read in the pass that checks it.
///
/// # Errors
/// As [`open_plain`].
pub fn open_plain_with_header<'a>(
    container: &Container<'_>,
    session_drive: Option<&[u8; 16]>,
    plain: &'a [u8],
) -> Result<(DocumentView<'a>, DocumentHeader), DecodeError> {
    open(container, CONTAINER_FROM_REGISTER, session_drive, plain)
}

/// The same for what goes to a register (type 5A): confirmations and answers of the marking server.
///
/// # Errors
/// As [`open_plain`].
pub fn open_answer<'a>(
    container: &Container<'_>,
    session_drive: Option<&[u8; 16]>,
    plain: &'a [u8],
) -> Result<DocumentView<'a>, DecodeError> {
    open(container, CONTAINER_TO_REGISTER, session_drive, plain).map(|(view, _)| view)
}

fn open<'a>(
    container: &Container<'_>,
    kind: u8,
    session_drive: Option<&[u8; 16]>,
    plain: &'a [u8],
) -> Result<(DocumentView<'a>, DocumentHeader), DecodeError> {
    if container.kind() != kind {
        return Err(DecodeError::new(DecodeErrorKind::ContainerType, 4));
    }
    let (view, header) = DocumentView::visit_checked(plain, &mut ())?;
    // The service header begins at byte 4 of the container.
    let service = container.service();
    let drive = agree_outside(service, 4, session_drive, &view)?;
    if header.drive != Some(drive) || header.number != Some(DocumentNumber(service.number())) {
        agree_inside(service, drive, &view, 0)?;
    }
    Ok((view, header))
}

/// Rule A4 but for the direction, and the length of A5: `service`, which stands at `base`, speaks of `view`, which
/// stands at `view_base`.
pub(crate) fn agree(
    service: &ServiceHeader,
    base: usize,
    session_drive: Option<&[u8; 16]>,
    view: &DocumentView<'_>,
    view_base: usize,
) -> Result<(), DecodeError> {
    let drive = agree_outside(service, base, session_drive, view)?;
    agree_inside(service, drive, view, view_base)
}

/// What the service header says of itself, of the session and of the outer TLV: gives its drive.
fn agree_outside(
    service: &ServiceHeader,
    base: usize,
    session_drive: Option<&[u8; 16]>,
    view: &DocumentView<'_>,
) -> Result<DriveNumber, DecodeError> {
    let fail = |kind, offset: usize| Err(DecodeError::new(kind, base.saturating_add(offset)));
    if service.version() != CONTAINER_VERSION {
        return fail(DecodeErrorKind::ContainerVersion, 2);
    }
    let Ok(drive) = DriveNumber::from_bcd(service.drive_bcd()) else {
        return fail(DecodeErrorKind::DriveNumber, 5);
    };
    if session_drive.is_some_and(|session| session != drive.as_bytes()) {
        return fail(DecodeErrorKind::DriveMismatch, 5);
    }
    if usize::from(service.plain_len()) != view.bytes().len() {
        return fail(DecodeErrorKind::ServiceLength, 26);
    }
    if view.form().0 != service.form() {
        return fail(DecodeErrorKind::FormMismatch, 1);
    }
    Ok(drive)
}

/// What it says of drive and number, against the requisites.
fn agree_inside(
    service: &ServiceHeader,
    drive: DriveNumber,
    view: &DocumentView<'_>,
    view_base: usize,
) -> Result<(), DecodeError> {
    let optional = view.form().is_marking();
    match view.get(tags::FISCAL_DRIVE_NUMBER) {
        Some(value) if value.drive_number() != Ok(drive) => {
            return Err(value.error(DecodeErrorKind::DriveMismatch).shifted(view_base));
        }
        None if !optional => {
            return Err(DecodeError::at(
                DecodeErrorKind::DriveMismatch,
                tags::FISCAL_DRIVE_NUMBER,
                view_base,
            ));
        }
        _ => {}
    }
    match view.get(tags::FISCAL_DOCUMENT_NUMBER) {
        Some(value) if value.u32() != Ok(service.number()) => {
            return Err(value.error(DecodeErrorKind::NumberMismatch).shifted(view_base));
        }
        None if !optional => {
            return Err(DecodeError::at(
                DecodeErrorKind::NumberMismatch,
                tags::FISCAL_DOCUMENT_NUMBER,
                view_base,
            ));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::DecodeErrorKind as Kind;
    use crate::{Message, TlvWriter};

    /// A document with `levels` structures inside each other.
    fn nest(levels: usize) -> Vec<u8> {
        let mut inside = Vec::new();
        TlvWriter::new(&mut inside).u8(Tag(1199), 1);
        for _ in 0..levels {
            let deeper = std::mem::take(&mut inside);
            TlvWriter::new(&mut inside).bytes(Tag(1224), &deeper).unwrap();
        }
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes).bytes(Tag(3), &inside).unwrap();
        bytes
    }

    fn refused(bytes: &[u8]) -> DecodeError {
        let error = DocumentView::new_checked(bytes).unwrap_err();
        assert_eq!(DocumentView::visit_checked(bytes, &mut ()).unwrap_err(), error);
        error
    }

    /// Four levels are what the counters need; a fifth is refused at the structure that would begin it.
    #[test]
    fn nests_go_four_levels_deep_and_no_deeper() {
        for levels in 0..DEPTH_MAX {
            assert!(DocumentView::new_checked(&nest(levels)).is_ok(), "{levels}");
            assert!(DocumentView::visit_checked(&nest(levels), &mut ()).is_ok(), "{levels}");
        }
        assert_eq!(refused(&nest(DEPTH_MAX)), DecodeError::at(Kind::Depth, Tag(1224), 4 * DEPTH_MAX));
    }

    /// The limit of TLVs is exact.
    #[test]
    fn too_many_tags_are_refused() {
        let document = |count: usize| {
            let mut bytes = vec![3, 0];
            bytes.extend(u16::try_from(count * 4).unwrap().to_le_bytes());
            bytes.extend([0xE8, 3, 0, 0].repeat(count));
            bytes
        };
        assert!(DocumentView::new_checked(&document(TAGS_MAX)).is_ok());
        assert!(DocumentView::visit_checked(&document(TAGS_MAX), &mut ()).is_ok());
        let error = refused(&document(TAGS_MAX + 1));
        assert_eq!(error, DecodeError::at(Kind::TooManyTags, Tag(1000), 4 + 4 * TAGS_MAX));
    }

    /// Each way in which lengths fail to close, with the place where it is noticed.
    #[test]
    fn lengths_that_do_not_close_are_refused_where_they_break() {
        assert_eq!(refused(&[]), DecodeError::new(Kind::Truncated, 0));
        assert_eq!(refused(&[3, 0, 0]), DecodeError::new(Kind::Truncated, 3));
        assert_eq!(refused(&[3, 0, 1, 0]), DecodeError::at(Kind::TlvLength, Tag(3), 0));
        assert_eq!(refused(&[3, 0, 0, 0, 9]), DecodeError::new(Kind::TlvTrailing, 4));
        assert_eq!(refused(&[0, 0, 0, 0]), DecodeError::at(Kind::Form, Tag(0), 0));
        assert_eq!(refused(&[3, 1, 0, 0]), DecodeError::at(Kind::Form, Tag(0x103), 0));
        assert_eq!(refused(&[3, 0, 3, 0, 1, 2, 3]), DecodeError::new(Kind::Truncated, 4));
        assert_eq!(refused(&[3, 0, 4, 0, 7, 0, 1, 0]), DecodeError::at(Kind::TlvLength, Tag(7), 4));
        // An item (1059) of five bytes: a TLV in it wants more than the item has, though the document has it.
        let item = [3, 0, 14, 0, 0x23, 4, 5, 0, 7, 0, 2, 0, 0, 7, 0, 1, 0, 0];
        assert_eq!(refused(&item), DecodeError::at(Kind::TlvLength, Tag(7), 8));
        // An item of three bytes is too short for any TLV, though the document goes on.
        let item = [3, 0, 12, 0, 0x23, 4, 3, 0, 7, 0, 1, 8, 0, 1, 0, 0];
        assert_eq!(refused(&item), DecodeError::new(Kind::Truncated, 8));
    }

    /// Order does not matter, the first of repeats counts, what cannot be read is missing.
    #[test]
    fn header_is_read_in_any_order_and_the_first_of_repeats_counts() {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::BSO, |w| {
                w.u8(Tag(1209), 4);
                w.u8(Tag(1209), 2);
                w.u32(Tag(1040), 7);
                w.bytes(Tag(1040), &[1, 2, 3])?;
                w.u32(Tag(1040), 8);
                w.bytes(Tag(1077), &[1; 5])?;
                // Behind one that can not be read none is looked for.
                w.bytes(Tag(1077), &[1; 6])?;
                w.text(Tag(1041), "99990789")?;
                w.nested(Tag(1059), |item| {
                    item.u32(Tag(1038), 5);
                    Ok(())
                })
            })
            .unwrap();
        let view = DocumentView::new_checked(&bytes).unwrap();
        let header = view.header();
        let checked = DocumentView::visit_checked(&bytes, &mut ()).unwrap();
        assert_eq!((checked.0.bytes(), checked.1), (view.bytes(), header), "in the pass that checks it");
        assert_eq!(header.number, Some(DocumentNumber(7)));
        assert_eq!(header.drive, DriveNumber::parse("99990789").ok());
        assert_eq!((header.form, header.ffd, header.sign, header.shift), (Form::BSO, Some(4), None, None));
        assert_eq!(view.get_all(Tag(1040)).count(), 3);
        assert_eq!(view.get(Tag(1077)).unwrap().fiscal_sign().unwrap_err().kind, Kind::Length);
    }

    /// Why: a body that no container can hold is checked by the slow walk first, which hands nothing over.
    #[test]
    fn a_document_longer_than_any_container_is_handed_over_too() {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(Form::RECEIPT, |w| {
                w.bytes(Tag(1999), &[0; 40_000])?;
                w.u32(Tag(1040), 7);
                Ok(())
            })
            .unwrap();
        let (view, header) = DocumentView::visit_checked(&bytes, &mut ()).unwrap();
        assert_eq!((header.number, header), (Some(DocumentNumber(7)), view.header()));
    }

    /// Rules A4 and A5: each disagreement between the headers and the document has its own name.
    #[test]
    fn headers_and_document_have_to_agree() {
        let drive = DriveNumber::parse("999907890000001").unwrap();
        let plain = |drive: DriveNumber, number: u32| {
            let mut bytes = Vec::new();
            TlvWriter::new(&mut bytes)
                .document(Form::RECEIPT, |w| {
                    w.bytes(Tag(1041), drive.as_bytes())?;
                    w.u32(Tag(1040), number);
                    Ok(())
                })
                .unwrap();
            bytes
        };
        let good = plain(drive, 70_000);
        let mut no_number = Vec::new();
        TlvWriter::new(&mut no_number)
            .document(Form::RECEIPT, |w| w.bytes(Tag(1041), drive.as_bytes()))
            .unwrap();
        let no_number: &'static [u8] = no_number.leak();
        let check = |change: &dyn Fn(&mut Message<'_>), plain: &[u8], session: &[u8; 16]| {
            let mut message = Message::from_register([1, 5], drive, 70_000, Form::RECEIPT, &good);
            change(&mut message);
            let mut bytes = Vec::new();
            message.encode_into(&mut bytes).unwrap();
            let container = Container::new_checked(&bytes[30..]).unwrap();
            open_plain(&container, Some(session), plain).map(|view| view.form()).map_err(|error| error.kind)
        };
        let wire = drive.as_bytes();
        let other = DriveNumber::parse("9999078900000012").unwrap();
        assert_eq!(check(&|_| {}, &good, wire), Ok(Form::RECEIPT));
        assert_eq!(check(&|m| m.container_type = 0x5A, &good, wire), Err(Kind::ContainerType));
        assert_eq!(check(&|m| m.form = 4, &good, wire), Err(Kind::FormMismatch));
        assert_eq!(check(&|m| m.drive = other, &good, wire), Err(Kind::DriveMismatch));
        assert_eq!(check(&|_| {}, &good, other.as_bytes()), Err(Kind::DriveMismatch));
        assert_eq!(check(&|m| m.number = 70_001, &good, wire), Err(Kind::NumberMismatch));
        assert_eq!(check(&|m| m.plain = b"1", &good, wire), Err(Kind::ServiceLength));
        assert_eq!(check(&|_| {}, &plain(other, 70_000), wire), Err(Kind::DriveMismatch));
        assert_eq!(check(&|_| {}, &plain(drive, 7), wire), Err(Kind::NumberMismatch));
        assert_eq!(check(&|m| m.plain = &[3, 0, 0, 0], &[3, 0, 0, 0], wire), Err(Kind::DriveMismatch));
        assert_eq!(check(&|_| {}, &good[..5], wire), Err(Kind::TlvLength));

        assert_eq!(check(&|m| m.plain = no_number, no_number, wire), Err(Kind::NumberMismatch));

        // The format version has no setter, as there is one only.
        let mut bytes = Vec::new();
        Message::from_register([1, 5], drive, 70_000, Form::RECEIPT, &good).encode_into(&mut bytes).unwrap();
        bytes[36] = 2;
        let crc = crate::container_crc(&bytes[30..]).to_le_bytes();
        bytes[32..34].copy_from_slice(&crc);
        let container = Container::new_checked(&bytes[30..]).unwrap();
        assert_eq!(
            open_plain(&container, None, &good).unwrap_err(),
            DecodeError::new(Kind::ContainerVersion, 6)
        );
    }
}
