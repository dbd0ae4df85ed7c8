//! Reading ФНС JSON: a document TLV, and the list of liberties that were taken.
//!
//! - The document is found under a key that names a form (`{"receipt":{…}}`), at any depth, or by its members when
//!   no key does; a list holds several.
//! - Tags are written in the order of their keys; numbers as short as registers write them, zero as one 00 byte.
//! - The version is tag 1209 (`fiscalDocumentFormatVer`), else the caller's, else the oldest whose tables have all the
//!   requisites.
//! - Money is integer kopecks. When any sum of a document is spelled with a point, all its sums are roubles: an
//!   export that prints `181.5` prints `200` for two hundred roubles. [`Money`] overrides.
//! - `rawData` is read only when asked for ([`ReadOptions::raw`]); otherwise the members count, as whoever masked or
//!   mended an export did it there.
//!
//! What JSON does not carry, so that a document may come back other than it was, though with the same JSON:
//! 1. numbers padded with zeros or empty, masks of another width than that of their tag, a 1077 whose first two bytes
//!    are not 31 04 (21 04 for drives of 9999…);
//! 2. text of fixed width that was shorter, or padded beyond it;
//! 3. repeats of a tag that lay scattered come together;
//! 4. 1000, which is dropped; a repeated 1205 or 1290, as a list is a list of bits there;
//! 5. a tag out of its place whose key names another tag there.
//!
//! Everything else comes back byte for byte (test: tests/json_roundtrip.rs).
//! Errors: [`JsonError`] with path, offset and tag. A value is refused, never cut to fit.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::dictionary::{Entry, Kind, by_json, lookup};
use crate::json::decimal::{Decimal, Scaled};
use crate::json::dialect::{
    self, LIBERTIES_MAX, Liberty, LibertyKind, exporters_name, is_code_key, looks_like_document, numbered_tag,
};
use crate::json::error::{JsonError, JsonErrorKind, Step, path_of};
use crate::json::token::{Item, Member, Node, parse};
use crate::json::{base64, moment, write};
use crate::{
    DocumentView, FfdVersion, Form, Message, Quantity, RawData, Tag, TlvWriter, cp866, parse_hex, tags,
};

/// The drive of documents whose JSON has none: one for trials, so that nothing made of it is ever revenue.
pub const STAND_IN_DRIVE: &str = "9999000000000000";

/// The unit of money in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Money {
    /// Kopecks, unless a sum of the document is spelled with a point: then roubles.
    #[default]
    Auto,
    /// Kopecks.
    Kopecks,
    /// Roubles.
    Roubles,
}

/// How to read JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Version of documents that do not name theirs.
    pub version: Option<FfdVersion>,
    /// Unit of money.
    pub money: Money,
    /// Put stand-ins where the drive number (1041) or the document number (1040) is missing, as a message needs both.
    pub stand_ins: bool,
    /// Take documents from `rawData` where there is one, in any of its three shapes: byte for byte what the register
    /// sent, with the sign of its message.
    pub raw: bool,
}

/// A document that was read from JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonDocument {
    /// The document TLV; its structure holds.
    pub tlv: Vec<u8>,
    /// Its form.
    pub form: Form,
    /// The version it was read by.
    pub version: FfdVersion,
    /// `messageFiscalSign`, where it was a sign of a message.
    pub message_sign: Option<[u8; 8]>,
    /// The liberties taken, in the order of the text; at most [`LIBERTIES_MAX`].
    pub liberties: Vec<Liberty>,
    /// How many more there were.
    pub liberties_dropped: usize,
    /// Where the document begins in the text.
    pub offset: usize,
}

impl JsonDocument {
    /// Appends the document as a session message of its register, unencrypted, with `messageFiscalSign` or a stand-in
    /// for the sign. The P-version is that of the document's version.
    ///
    /// # Errors
    /// `Message` when the document lacks a drive number or a document number that a message can carry, `TooLong`.
    pub fn write_message(&self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let error = |kind, tag| JsonError { tag, ..JsonError::new(kind, self.offset) };
        let view =
            DocumentView::new_checked(&self.tlv).map_err(|it| error(JsonErrorKind::Structure, it.tag))?;
        // What stands first counts for whoever reads the message, readable or not.
        let drive = view
            .get(tags::FISCAL_DRIVE_NUMBER)
            .and_then(|value| value.drive_number().ok())
            .ok_or_else(|| error(JsonErrorKind::Message, Some(tags::FISCAL_DRIVE_NUMBER)))?;
        // The marking exchange numbers its documents in tags of its own: 2001 for requests, 2002 for notifications.
        let own = [Tag(2001), Tag(2002)];
        let own = own.iter().filter_map(|tag| view.get(*tag)).find_map(|value| value.u32().ok());
        let number = match view.get(tags::FISCAL_DOCUMENT_NUMBER) {
            Some(value) => {
                value.u32().map_err(|_| error(JsonErrorKind::Message, Some(tags::FISCAL_DOCUMENT_NUMBER)))?
            }
            None if self.form.is_marking() => own.unwrap_or_default(),
            None => return Err(error(JsonErrorKind::Message, Some(tags::FISCAL_DOCUMENT_NUMBER))),
        };
        let mut message =
            Message::from_register(self.version.p_version(), drive, number, self.form, &self.tlv);
        if matches!(self.form.0, 7 | 83 | 84) {
            message.container_type = crate::frame::CONTAINER_TO_REGISTER;
            message.trailer = Message::trailer_of(crate::CONFIRMATION_SIGN_STAND_IN);
        }
        if let Some(sign) = self.message_sign {
            message.trailer = Message::trailer_of(sign);
        }
        message.encode_into(out).map_err(|it| match it.kind {
            crate::EncodeErrorKind::DocumentNumber => {
                error(JsonErrorKind::Message, Some(tags::FISCAL_DOCUMENT_NUMBER))
            }
            _ => error(JsonErrorKind::TooLong, None),
        })
    }
}

/// Reads all documents of one JSON text.
///
/// ```
/// # use ofd_codec::{ReadOptions, read_json};
/// let text = r#"{"receipt":{"receiptCode":3,"totalSum":158.05,"userInn":"7701234560  ","nds20":26.34}}"#;
/// let documents = read_json(text, &ReadOptions::default())?;
/// let taken: Vec<_> = documents[0].liberties.iter().map(ToString::to_string).collect();
/// assert_eq!(taken, [
///     "receipt.totalSum: roubles, tag 1020",
///     "receipt.userInn: padded, tag 1018",
///     "receipt.nds20: old-key, tag 1102",
///     "receipt.nds20: roubles, tag 1102",
/// ]);
/// # Ok::<(), ofd_codec::JsonError>(())
/// ```
///
/// # Errors
/// As [`JsonErrorKind`] lists; of several documents the first that cannot be read.
pub fn read_json(text: &str, options: &ReadOptions) -> Result<Vec<JsonDocument>, JsonError> {
    // A mark of byte order is no JSON, and common all the same.
    let (text, skipped) =
        text.strip_prefix('\u{FEFF}').map_or((text, 0), |rest| (rest, '\u{FEFF}'.len_utf8()));
    let shifted = |error: JsonError| JsonError { offset: error.offset.saturating_add(skipped), ..error };
    let root = parse(text).map_err(shifted)?;
    let mut found = Vec::new();
    find(&root, &mut Vec::new(), &mut found);
    if found.is_empty() {
        return Err(JsonError::new(JsonErrorKind::NoDocument, skipped));
    }
    let mut documents = Vec::with_capacity(found.len());
    for place in &found {
        let mut document = Reader::new(place, options).read(place, options).map_err(shifted)?;
        document.offset = document.offset.saturating_add(skipped);
        for liberty in &mut document.liberties {
            liberty.offset = liberty.offset.saturating_add(skipped);
        }
        documents.push(document);
    }
    Ok(documents)
}

/// A document in the JSON.
struct Place<'i, 't> {
    members: &'i [Member<'t>],
    offset: usize,
    /// The form that the key around it names.
    form: Option<Form>,
    path: Vec<Step<'i>>,
}

/// Collects the documents under `item`; a document is not looked into.
fn find<'i, 't>(item: &'i Item<'t>, path: &mut Vec<Step<'i>>, found: &mut Vec<Place<'i, 't>>) {
    match &item.node {
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                find(item, path, found);
                path.pop();
            }
        }
        Node::Object(members) => {
            let before = found.len();
            for member in members {
                let Some(form) = dialect::form_of_key(&member.key) else { continue };
                path.push(Step::Key(&member.key));
                named(&member.item, form, path, found);
                path.pop();
            }
            if found.len() > before {
                return;
            }
            if looks_like_document(members) {
                found.push(Place { members, offset: item.offset, form: None, path: path.clone() });
                return;
            }
            for member in members {
                path.push(Step::Key(&member.key));
                find(&member.item, path, found);
                path.pop();
            }
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
    }
}

/// The documents under a key that names their form: one, or a list of them.
fn named<'i, 't>(item: &'i Item<'t>, form: Form, path: &mut Vec<Step<'i>>, found: &mut Vec<Place<'i, 't>>) {
    match &item.node {
        Node::Object(members) => {
            found.push(Place { members, offset: item.offset, form: Some(form), path: path.clone() });
        }
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if matches!(item.node, Node::Object(_)) {
                    path.push(Step::Index(index));
                    named(item, form, path, found);
                    path.pop();
                }
            }
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
    }
}

/// The integer of a literal, whatever its JSON type.
fn plain_number(item: &Item<'_>) -> Option<u64> {
    let text = match &item.node {
        Node::Number(text) => *text,
        Node::Text(text) => text.trim(),
        _ => return None,
    };
    match Decimal::parse(text)?.scaled(0)? {
        Scaled::Exact(number) => Some(number),
        Scaled::Rounded(_) => None,
    }
}

fn member<'i, 't>(members: &'i [Member<'t>], key: &str) -> Option<&'i Item<'t>> {
    members.iter().find(|it| it.key == key).map(|it| &it.item)
}

/// Whether a number is money: a VLN that is not a part of a fraction.
fn is_money(entry: &Entry) -> bool {
    entry.kind == Kind::Vln && !matches!(entry.tag.0, 1293 | 1294)
}

struct Reader<'i> {
    out: Vec<u8>,
    version: FfdVersion,
    roubles: bool,
    test_drive: bool,
    path: Vec<Step<'i>>,
    liberties: Vec<Liberty>,
    liberties_dropped: usize,
    message_sign: Option<[u8; 8]>,
    /// Totals of rates that have no tag of their own: code of the rate and kopecks.
    rate_totals: Vec<(u8, u64)>,
}

impl<'i> Reader<'i> {
    fn new(place: &Place<'i, '_>, options: &ReadOptions) -> Self {
        let drive = member(place.members, "fiscalDriveNumber");
        let test_drive = match drive.map(|it| &it.node) {
            Some(Node::Text(text)) => text.starts_with("9999"),
            Some(Node::Number(text)) => text.starts_with("9999"),
            _ => options.stand_ins,
        };
        Self {
            out: Vec::new(),
            version: options.version.unwrap_or(FfdVersion::NEWEST),
            roubles: options.money == Money::Roubles,
            test_drive,
            path: place.path.clone(),
            liberties: Vec::new(),
            liberties_dropped: 0,
            message_sign: None,
            rate_totals: Vec::new(),
        }
    }

    fn take(&mut self, kind: LibertyKind, offset: usize, tag: Option<Tag>) {
        if self.liberties.len() >= LIBERTIES_MAX {
            self.liberties_dropped = self.liberties_dropped.saturating_add(1);
            return;
        }
        self.liberties.push(Liberty { kind, path: path_of(&self.path), offset, tag });
    }

    #[cold]
    fn error(&self, kind: JsonErrorKind, offset: usize, tag: Option<Tag>) -> JsonError {
        JsonError { kind, path: path_of(&self.path), offset, tag }
    }

    fn read(mut self, place: &Place<'i, '_>, options: &ReadOptions) -> Result<JsonDocument, JsonError> {
        if let Some(item) = member(place.members, "rawData").filter(|_| options.raw) {
            self.path.push(Step::Key("rawData"));
            if let Some(document) = self.raw_data(item, place, options) {
                return Ok(document);
            }
            self.take(LibertyKind::RawDataDropped, item.offset, None);
            self.path.pop();
        }
        let form = self.form(place)?;
        let parent = u16::from(form.0);
        // Under its form alone, or with what our own writer puts beside nothing else: anything more is a wrapper.
        if place.path.len() > usize::from(place.form.is_some()) {
            self.take(LibertyKind::Wrapper, place.offset, None);
        }
        if place.form.is_none() {
            self.take(LibertyKind::FormGuessed, place.offset, None);
        }
        match member(place.members, "fiscalDocumentFormatVer").map(plain_number) {
            Some(code) => {
                let version = code.and_then(|code| u8::try_from(code).ok()).and_then(FfdVersion::from_code);
                self.version = version.unwrap_or(self.version);
            }
            None if options.version.is_some() => {}
            None => {
                self.version = oldest_version(place.members, parent);
                if self.version > FfdVersion::V1_0 {
                    self.take(LibertyKind::VersionGuessed, place.offset, None);
                }
            }
        }
        if options.money == Money::Auto {
            self.roubles = has_pointed_money(place.members, parent, self.version);
        }
        self.out.extend_from_slice(&parent.to_le_bytes());
        self.out.extend_from_slice(&[0, 0]);
        if options.stand_ins {
            self.stand_ins(place, form);
        }
        self.members(place.members, parent, true)?;
        self.rate_totals();
        self.close(0, place.offset, None)?;
        if let Err(error) = DocumentView::new_checked(&self.out) {
            let kind = match error.kind {
                crate::DecodeErrorKind::Depth => JsonErrorKind::Depth,
                crate::DecodeErrorKind::TooManyTags => JsonErrorKind::TooManyValues,
                _ => JsonErrorKind::Structure,
            };
            return Err(self.error(kind, place.offset, error.tag));
        }
        Ok(JsonDocument {
            tlv: self.out,
            form,
            version: self.version,
            message_sign: self.message_sign,
            liberties: self.liberties,
            liberties_dropped: self.liberties_dropped,
            offset: place.offset,
        })
    }

    /// The document inside `rawData`, if it is one.
    fn raw_data(
        &mut self,
        item: &Item<'_>,
        place: &Place<'i, '_>,
        options: &ReadOptions,
    ) -> Option<JsonDocument> {
        let Node::Text(text) = &item.node else { return None };
        let bytes = base64::decode(text)?;
        let raw = RawData::new_checked(&bytes).ok()?;
        let view = raw.document();
        self.take(LibertyKind::RawData, item.offset, None);
        Some(JsonDocument {
            tlv: view.bytes().to_vec(),
            form: view.form(),
            version: FfdVersion::resolve(view.header().ffd, options.version, [0, 0]),
            message_sign: raw.message_sign(),
            liberties: core::mem::take(&mut self.liberties),
            liberties_dropped: 0,
            offset: place.offset,
        })
    }

    fn form(&mut self, place: &Place<'i, '_>) -> Result<Form, JsonError> {
        let code = place.members.iter().find(|it| is_code_key(&it.key));
        let told = match code {
            None => None,
            Some(code) => match plain_number(&code.item).and_then(|it| u8::try_from(it).ok()) {
                Some(code @ 1..) => Some(Form(code)),
                _ if place.form.is_some() => None,
                _ => {
                    self.path.push(Step::Key("code"));
                    return Err(self.error(JsonErrorKind::Form, code.item.offset, None));
                }
            },
        };
        if let (Some(form), Some(code)) = (place.form, code)
            && told != Some(form)
        {
            self.take(LibertyKind::FormDiffers, code.item.offset, None);
        }
        Ok(place.form.or(told).unwrap_or(Form::RECEIPT))
    }

    /// What a message needs and the JSON lacks, in front of everything, where drives write it.
    fn stand_ins(&mut self, place: &Place<'i, '_>, form: Form) {
        let has = |tag: Tag, parent| {
            place.members.iter().any(|it| {
                !matches!(it.item.node, Node::Null)
                    && (numbered_tag(&it.key) == Some(tag)
                        || entry_of(&it.key, parent, self.version).is_some_and(|entry| entry.tag == tag))
            })
        };
        let parent = u16::from(form.0);
        let (drive, number) =
            (has(tags::FISCAL_DRIVE_NUMBER, parent), has(tags::FISCAL_DOCUMENT_NUMBER, parent));
        if !drive {
            self.take(LibertyKind::StandIn, place.offset, Some(tags::FISCAL_DRIVE_NUMBER));
            self.put(tags::FISCAL_DRIVE_NUMBER, STAND_IN_DRIVE.as_bytes());
        }
        if !number && !form.is_marking() {
            self.take(LibertyKind::StandIn, place.offset, Some(tags::FISCAL_DOCUMENT_NUMBER));
            TlvWriter::new(&mut self.out).u32(tags::FISCAL_DOCUMENT_NUMBER, 1);
        }
    }

    /// A TLV of at most 65535 bytes; longer ones are cut here and refused when the document is closed.
    fn put(&mut self, tag: Tag, value: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(&tag.0.to_le_bytes());
        self.out.extend_from_slice(&[0, 0]);
        self.out.extend_from_slice(value);
        self.patch(start);
    }

    /// Writes the length of the TLV that began at `start`; false when it is too long for one.
    fn patch(&mut self, start: usize) -> bool {
        let len = self.out.len().saturating_sub(start).saturating_sub(4);
        let place = start.saturating_add(2)..start.saturating_add(4);
        match (u16::try_from(len), self.out.get_mut(place)) {
            (Ok(len), Some(place)) => {
                place.copy_from_slice(&len.to_le_bytes());
                true
            }
            _ => false,
        }
    }

    fn close(&mut self, start: usize, offset: usize, tag: Option<Tag>) -> Result<(), JsonError> {
        if self.patch(start) { Ok(()) } else { Err(self.error(JsonErrorKind::TooLong, offset, tag)) }
    }

    fn members(&mut self, members: &'i [Member<'_>], parent: u16, top: bool) -> Result<(), JsonError> {
        let mut met = BTreeSet::new();
        for it in members {
            self.path.push(Step::Key(&it.key));
            if !met.insert(it.key.as_ref()) {
                self.take(LibertyKind::RepeatedKey, it.item.offset, None);
            }
            self.member(it, parent, top)?;
            self.path.pop();
        }
        Ok(())
    }

    fn member(&mut self, member: &'i Member<'_>, parent: u16, top: bool) -> Result<(), JsonError> {
        let Member { key, item } = member;
        match key.as_ref() {
            _ if matches!(item.node, Node::Null) => {
                self.take(LibertyKind::Null, item.offset, None);
                return Ok(());
            }
            key if top && is_code_key(key) => return Ok(()),
            "rawData" if top => return Ok(()),
            "messageFiscalSign" if top => {
                // A point or an exponent is the mark of a float, and the last digits of such a one are made up.
                let whole = !matches!(&item.node, Node::Number(text) if text.contains(['.', 'e', 'E']));
                let sign = plain_number(item).filter(|_| whole).map(u64::to_be_bytes);
                self.message_sign = sign.filter(|it| matches!(it, [0x81 | 0x82, 0x06, ..]));
                if self.message_sign.is_none() {
                    self.take(LibertyKind::SignDropped, item.offset, None);
                }
                return Ok(());
            }
            _ => {}
        }
        if let Some(tag) = numbered_tag(key) {
            return self.each(item, &mut |reader, item| reader.hex(tag, item));
        }
        if let Some(entry) = entry_of(key, parent, self.version) {
            if entry.json_name != Some(key.as_ref()) {
                self.take(LibertyKind::OldKey, item.offset, Some(entry.tag));
            }
            return self.values(entry, item);
        }
        match dialect::rate_of_total(key).filter(|_| top) {
            Some(rate) => {
                self.take(LibertyKind::RateTotal, item.offset, Some(tags::RECEIPT_VAT_SUMS));
                let sum = self.integer(item, Tag(1120), true)?.unwrap_or_default();
                self.rate_totals.push((rate, sum));
            }
            None => self.take(LibertyKind::UnknownKey, item.offset, None),
        }
        Ok(())
    }

    /// Writes the totals of rates without tags of their own as sums by rate, at the end.
    fn rate_totals(&mut self) {
        let totals: Vec<_> = self.rate_totals.iter().copied().filter(|(_, sum)| *sum > 0).collect();
        if totals.is_empty() {
            return;
        }
        // A few rates of at most 23 bytes each: this cannot be too long.
        let _ = TlvWriter::new(&mut self.out).nested(tags::RECEIPT_VAT_SUMS, |sums| {
            for (rate, sum) in totals {
                sums.nested(Tag(1119), |one| {
                    one.u8(Tag(1199), rate);
                    one.vln(Tag(1120), sum);
                    Ok(())
                })?;
            }
            Ok(())
        });
    }

    /// Does something with a value, or with each of a list.
    fn each(
        &mut self,
        item: &'i Item<'_>,
        one: &mut dyn FnMut(&mut Self, &'i Item<'_>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let Node::List(items) = &item.node else { return one(self, item) };
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            if matches!(item.node, Node::Null) {
                self.take(LibertyKind::Null, item.offset, None);
            } else {
                one(self, item)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// All values of one key.
    fn values(&mut self, entry: &'static Entry, item: &'i Item<'_>) -> Result<(), JsonError> {
        let array = write::is_array(entry, self.version);
        match &item.node {
            Node::List(bits) if matches!(entry.tag, tags::CHANGE_REASONS | tags::USAGE_CONDITIONS) => {
                self.take(LibertyKind::BitList, item.offset, Some(entry.tag));
                return self.bit_list(entry, bits);
            }
            Node::List(items) if items.len() < 2 && !array => {
                self.take(LibertyKind::ListForOne, item.offset, Some(entry.tag));
            }
            Node::List(_) => {}
            _ if array => self.take(LibertyKind::OneForList, item.offset, Some(entry.tag)),
            _ => {}
        }
        self.each(item, &mut |reader, item| reader.value(entry, item))
    }

    fn bit_list(&mut self, entry: &Entry, bits: &'i [Item<'_>]) -> Result<(), JsonError> {
        let mut mask = 0_u32;
        for (index, bit) in bits.iter().enumerate() {
            self.path.push(Step::Index(index));
            let number = plain_number(bit).and_then(|it| it.checked_sub(1)).filter(|it| *it < 32);
            let Some(shift) = number else {
                return Err(self.error(JsonErrorKind::Number, bit.offset, Some(entry.tag)));
            };
            mask |= 1 << shift;
            self.path.pop();
        }
        TlvWriter::new(&mut self.out).u32(entry.tag, mask);
        Ok(())
    }

    /// One value of a requisite.
    fn value(&mut self, entry: &'static Entry, item: &'i Item<'_>) -> Result<(), JsonError> {
        let tag = entry.tag;
        if let Some(inner) = dialect::extended(item) {
            self.take(LibertyKind::Extended, item.offset, Some(tag));
            return self.value(entry, inner);
        }
        match entry.kind {
            Kind::Stlv => {
                let Node::Object(members) = &item.node else {
                    return Err(self.error(JsonErrorKind::Type, item.offset, Some(tag)));
                };
                let start = self.out.len();
                self.out.extend_from_slice(&tag.0.to_le_bytes());
                self.out.extend_from_slice(&[0, 0]);
                self.members(members, tag.0, false)?;
                return self.close(start, item.offset, Some(tag));
            }
            Kind::Text => return self.text(entry, item),
            Kind::Bytes if tag == tags::FISCAL_SIGN => return self.sign(item),
            Kind::Bytes => return self.hex(tag, item),
            Kind::Fvln => {
                let Some((quantity, noise)) = self.quantity(item, tag)? else { return Ok(()) };
                if noise {
                    self.take(LibertyKind::FloatNoise, item.offset, Some(tag));
                }
                let written = TlvWriter::new(&mut self.out).fvln(tag, quantity);
                return written.map_err(|_| self.error(JsonErrorKind::Overflow, item.offset, Some(tag)));
            }
            _ => {}
        }
        let number = match entry.kind {
            Kind::UnixTime => self.time(item, tag)?,
            _ => self.integer(item, tag, is_money(entry))?,
        };
        let Some(number) = number else { return Ok(()) };
        let mut writer = TlvWriter::new(&mut self.out);
        let written = match entry.kind {
            Kind::Byte => writer.uint(tag, number, 1),
            Kind::U16 => writer.uint(tag, number, 2),
            Kind::U32 | Kind::UnixTime => writer.uint(tag, number, 4),
            // Masks that are too wide for their tag exist, and have to be told as such by the rules.
            Kind::Bits => {
                let needed = match number {
                    0..0x100 => 1,
                    0x100..0x1_0000 => 2,
                    0x1_0000..0x100_0000 => 3,
                    _ => 4,
                };
                writer.uint(tag, number, usize::from(entry.len_max.min(4)).max(needed))
            }
            Kind::Vln | Kind::Fvln | Kind::Text | Kind::Stlv | Kind::Bytes => {
                writer.vln(tag, number);
                Ok(())
            }
        };
        written.map_err(|_| self.error(JsonErrorKind::Overflow, item.offset, Some(tag)))
    }

    /// The literal of a number; `None` for an empty text, which is no value.
    fn literal<'n>(&mut self, item: &'n Item<'_>, tag: Tag) -> Result<Option<&'n str>, JsonError> {
        match &item.node {
            Node::Number(text) => Ok(Some(text)),
            Node::Bool(it) => {
                self.take(LibertyKind::Boolean, item.offset, Some(tag));
                Ok(Some(if *it { "1" } else { "0" }))
            }
            Node::Text(text) if text.trim().is_empty() => {
                self.take(LibertyKind::Null, item.offset, Some(tag));
                Ok(None)
            }
            Node::Text(text) => {
                self.take(LibertyKind::TextForNumber, item.offset, Some(tag));
                Ok(Some(text.trim()))
            }
            Node::Null | Node::List(_) | Node::Object(_) => {
                Err(self.error(JsonErrorKind::Type, item.offset, Some(tag)))
            }
        }
    }

    fn decimal(&mut self, item: &Item<'_>, tag: Tag) -> Result<Option<Decimal>, JsonError> {
        let Some(text) = self.literal(item, tag)? else { return Ok(None) };
        match Decimal::parse(text) {
            Some(decimal) => Ok(Some(decimal)),
            None => Err(self.error(JsonErrorKind::Number, item.offset, Some(tag))),
        }
    }

    fn quantity(&mut self, item: &Item<'_>, tag: Tag) -> Result<Option<(Quantity, bool)>, JsonError> {
        let Some(decimal) = self.decimal(item, tag)? else { return Ok(None) };
        match decimal.quantity() {
            Some(found) => Ok(Some(found)),
            None => Err(self.error(JsonErrorKind::Overflow, item.offset, Some(tag))),
        }
    }

    /// A whole number; money in the unit of the document.
    fn integer(&mut self, item: &Item<'_>, tag: Tag, money: bool) -> Result<Option<u64>, JsonError> {
        let Some(decimal) = self.decimal(item, tag)? else { return Ok(None) };
        let roubles = money && self.roubles;
        let scaled = decimal.scaled(if roubles { 2 } else { 0 });
        match scaled {
            None => Err(self.error(JsonErrorKind::Number, item.offset, Some(tag))),
            Some(Scaled::Rounded(number)) => {
                self.take(LibertyKind::FloatNoise, item.offset, Some(tag));
                Ok(Some(number))
            }
            Some(Scaled::Exact(number)) => {
                // Zero is zero in either unit.
                if roubles && number > 0 {
                    self.take(LibertyKind::Roubles, item.offset, Some(tag));
                } else if decimal.pointed {
                    self.take(LibertyKind::PointZero, item.offset, Some(tag));
                }
                Ok(Some(number))
            }
        }
    }

    fn time(&mut self, item: &Item<'_>, tag: Tag) -> Result<Option<u64>, JsonError> {
        /// The first number of seconds that does not fit, which is a day of 1970 when it is milliseconds.
        const MILLISECONDS_MIN: u64 = 1 << 32;
        if let Node::Text(text) = &item.node
            && text.contains(['-', ':', '.'])
        {
            let Some(moment) = moment::parse(text) else {
                return Err(self.error(JsonErrorKind::Time, item.offset, Some(tag)));
            };
            self.take(LibertyKind::TimeText, item.offset, Some(tag));
            if moment.zoned {
                self.take(LibertyKind::Zone, item.offset, Some(tag));
            }
            return Ok(Some(u64::from(moment.seconds)));
        }
        match self.integer(item, tag, false)? {
            Some(number @ MILLISECONDS_MIN..) if number.is_multiple_of(1000) => {
                self.take(LibertyKind::Milliseconds, item.offset, Some(tag));
                Ok(Some(number / 1000))
            }
            number => Ok(number),
        }
    }

    fn text(&mut self, entry: &Entry, item: &'i Item<'_>) -> Result<(), JsonError> {
        let tag = entry.tag;
        let width = usize::from(entry.len_max);
        let mut bytes = match &item.node {
            Node::Text(text) => {
                let text: &str = text;
                let trimmed = if entry.fixed { text.trim_end_matches(' ') } else { text };
                if trimmed.len() < text.len() {
                    self.take(LibertyKind::Padded, item.offset, Some(tag));
                }
                cp866(trimmed).map_err(|_| self.error(JsonErrorKind::Text, item.offset, Some(tag)))?
            }
            Node::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.take(LibertyKind::NumberForText, item.offset, Some(tag));
                // Registration numbers and drive numbers have 16 digits, an INN 10 or 12.
                let len = match tag {
                    Tag(1037) | tags::FISCAL_DRIVE_NUMBER => 16,
                    _ if entry.fixed && width == 12 && number.len() <= 10 => 10,
                    _ if entry.fixed => width,
                    _ => 0,
                };
                let zeros = len.saturating_sub(number.len());
                [&vec![b'0'; zeros], number.as_bytes()].concat()
            }
            Node::Number(number) => {
                self.take(LibertyKind::NumberForText, item.offset, Some(tag));
                number.as_bytes().to_vec()
            }
            Node::Object(_) if let Some(raw) = dialect::raw_product_code(item) => {
                self.take(LibertyKind::RawProductCode, item.offset, Some(tag));
                return self.text(entry, raw);
            }
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Object(_) => {
                return Err(self.error(JsonErrorKind::Type, item.offset, Some(tag)));
            }
        };
        if entry.fixed && bytes.len() < width {
            bytes.resize(width, b' ');
        }
        if u16::try_from(bytes.len()).is_err() {
            return Err(self.error(JsonErrorKind::TooLong, item.offset, Some(tag)));
        }
        self.put(tag, &bytes);
        Ok(())
    }

    /// 1077: the printed number, or all six bytes as one number.
    fn sign(&mut self, item: &Item<'_>) -> Result<(), JsonError> {
        let tag = tags::FISCAL_SIGN;
        let Some(number) = self.integer(item, tag, false)? else { return Ok(()) };
        let [0, 0, whole @ ..] = number.to_be_bytes() else {
            return Err(self.error(JsonErrorKind::Overflow, item.offset, Some(tag)));
        };
        let sign = match whole {
            // What a drive for trials writes, and what all others do.
            [0, 0, a, b, c, d] if self.test_drive => [0x21, 0x04, a, b, c, d],
            [0, 0, a, b, c, d] => [0x31, 0x04, a, b, c, d],
            whole => whole,
        };
        self.put(tag, &sign);
        Ok(())
    }

    fn hex(&mut self, tag: Tag, item: &Item<'_>) -> Result<(), JsonError> {
        let Node::Text(text) = &item.node else {
            return Err(self.error(JsonErrorKind::Type, item.offset, Some(tag)));
        };
        let bytes = parse_hex(text).map_err(|_| self.error(JsonErrorKind::Hex, item.offset, Some(tag)))?;
        if u16::try_from(bytes.len()).is_err() {
            return Err(self.error(JsonErrorKind::TooLong, item.offset, Some(tag)));
        }
        self.put(tag, &bytes);
        Ok(())
    }
}

/// The requisite that a key names, names of exports included.
fn entry_of(key: &str, parent: u16, version: FfdVersion) -> Option<&'static Entry> {
    match exporters_name(key, parent, version) {
        Some(tag) => lookup(tag, parent, version),
        None => by_json(key, parent, version),
    }
}

/// The oldest version whose tables have all requisites of a document that does not name its own.
fn oldest_version(members: &[Member<'_>], parent: u16) -> FfdVersion {
    members.iter().fold(FfdVersion::V1_0, |oldest, it| {
        let Some(entry) = entry_of(&it.key, parent, FfdVersion::NEWEST) else { return oldest };
        let mut needed = if entry.parents.contains(&parent) { entry.since } else { FfdVersion::V1_0 };
        let inside: &[Item<'_>] = match &it.item.node {
            Node::List(items) => items,
            _ => core::slice::from_ref(&it.item),
        };
        for item in inside {
            if let (Kind::Stlv, Node::Object(members)) = (entry.kind, &item.node) {
                needed = needed.max(oldest_version(members, entry.tag.0));
            }
        }
        oldest.max(needed)
    })
}

/// Whether any sum is spelled with a point.
fn has_pointed_money(members: &[Member<'_>], parent: u16, version: FfdVersion) -> bool {
    members.iter().any(|it| {
        let entry = entry_of(&it.key, parent, version);
        let money =
            entry.is_some_and(is_money) || entry.is_none() && dialect::rate_of_total(&it.key).is_some();
        match &it.item.node {
            Node::Number(text) => money && Decimal::parse(text).is_some_and(|it| it.pointed),
            Node::Text(text) => money && Decimal::parse(text.trim()).is_some_and(|it| it.pointed),
            Node::Object(members) => {
                entry.is_some_and(|entry| has_pointed_money(members, entry.tag.0, version))
            }
            Node::List(items) => items.iter().any(|item| match &item.node {
                Node::Object(members) => {
                    entry.is_some_and(|entry| has_pointed_money(members, entry.tag.0, version))
                }
                Node::Number(text) => money && Decimal::parse(text).is_some_and(|it| it.pointed),
                _ => false,
            }),
            Node::Null | Node::Bool(_) => false,
        }
    })
}
