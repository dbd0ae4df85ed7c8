//! Writing the ФНС JSON of a document: `{"receipt":{…}}`, straight into bytes, without a tree between.
//!
//! Rules, for any document whose structure holds, whatever its values are:
//! - The outer key is that of the form, `"form81"` where there is none. The first key inside is the form code, under
//!   `receiptCode` or `bsoCode` for these two forms up to version 1.05 and under `code` everywhere else.
//! - Keys are those of the dictionary for (tag, parent, version), in the order in which the tags first occur.
//! - A tag that has no key, that is unknown, or whose value is not what its type allows: `"t1078":"<hex>"`.
//! - A tag in a place where no table puts it is called by its likeliest name, unless another tag of the same level
//!   has a better claim to the same key; then it is `"t1201":"<hex>"` too. So no object has a key twice.
//! - Money is integer kopecks; a decimal is its exact literal with the zeros of the wire (`1.000`); flags, masks and
//!   codes are integers; times are integer seconds of the register's clock; text is trimmed of the spaces at its end
//!   where its width is fixed and untouched otherwise; bytes are lower-case hex; 1077 is the printed number.
//! - Arrays: a repeatable structure (`items`, `amountsNds`, …), a repeatable phone and the reasons of 1101 are always
//!   arrays, also when there is one; `properties` (1084) is one in version 1.0, where the schema has it so. Any other
//!   tag is a bare value when it occurs once and an array when it occurs more often.
//! - 1000, the name of the document, exists on paper only and is dropped, as operators do.
//! - Caller's additions come last: `messageFiscalSign` as an integer of 64 bits, `rawData` in base64.
//!
//! Output is valid JSON for any bytes: text is decoded from CP866 and escaped. Nothing is parsed or rounded through
//! floats. Cost: one pass; a level in which a tag comes back behind another one is brought into order first.
//! Source: exchange protocol operator - ФНС, version 13 of 1.2 and that of 1.05; the shapes of public exports.

use alloc::string::String;
use alloc::vec::Vec;

use crate::dictionary::{Entry, Kind, entries, lookup, lookup_row};
use crate::document::{DEPTH_MAX, DocumentView, Form};
use crate::json::keys::{KEYS, Key, NARROW, parent_bit};
use crate::json::text::{push_base64, push_decimal, push_hex, push_number, push_text, push_wide};
use crate::tlv::TLV_HEADER_LEN;
use crate::{Cp866, DecodeError, FfdVersion, Tag, Tlv, Value, tags};

/// What the caller knows beyond the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonOptions<'a> {
    /// The first eight bytes of the trailer, for `messageFiscalSign`.
    pub message_sign: Option<[u8; 8]>,
    /// Bytes for `rawData`.
    pub raw: Option<&'a [u8]>,
}

/// Writes one document without a line end.
///
/// ```
/// # use ofd_codec::{DocumentView, FfdVersion, write_document};
/// let view = DocumentView::new_checked(&[2, 0, 8, 0, 0x0E, 0x04, 4, 0, 7, 0, 0, 0])?; // opening of shift 7
/// let mut json = String::new();
/// write_document(&view, FfdVersion::V1_2, &mut json);
/// assert_eq!(json, r#"{"openShift":{"code":2,"shiftNumber":7}}"#);
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
pub fn write_document(view: &DocumentView<'_>, version: FfdVersion, out: &mut String) {
    write_document_with(view, version, &JsonOptions::default(), out);
}

/// As [`write_document`], with what the caller adds.
pub fn write_document_with(
    view: &DocumentView<'_>,
    version: FfdVersion,
    options: &JsonOptions<'_>,
    out: &mut String,
) {
    let mut bytes = Vec::new();
    write_document_into(view, version, options, &mut bytes);
    match core::str::from_utf8(&bytes) {
        Ok(text) => out.push_str(text),
        Err(error) => unreachable!("every byte of CP866 has a character: {error}"),
    }
}

/// As [`write_document_with`], appended to bytes, which are UTF-8: the fastest way, as nothing is copied or looked at
/// twice. With a buffer that is used again nothing is allocated but for a level whose repeats lie scattered.
///
/// ```
/// # use ofd_codec::{DocumentView, FfdVersion, JsonOptions, write_document_into};
/// let view = DocumentView::new_checked(&[6, 0, 0, 0])?;
/// let mut lines = Vec::new();
/// write_document_into(&view, FfdVersion::V1_2, &JsonOptions::default(), &mut lines);
/// lines.push(b'\n');
/// assert_eq!(lines, b"{\"closeArchive\":{\"code\":6}}\n");
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
pub fn write_document_into(
    view: &DocumentView<'_>,
    version: FfdVersion,
    options: &JsonOptions<'_>,
    out: &mut Vec<u8>,
) {
    let form = view.form();
    let body = view.bytes().get(TLV_HEADER_LEN..).unwrap_or_default();
    out.reserve(body.len().saturating_mul(3).saturating_add(256));
    match form.json_name() {
        Some(name) => {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(name.as_bytes());
        }
        None => {
            out.extend_from_slice(b"{\"form");
            push_number(out, u64::from(form.0));
            out.pop();
        }
    }
    out.extend_from_slice(b"\":{\"");
    out.extend_from_slice(code_key(form, version).as_bytes());
    out.extend_from_slice(b"\":");
    push_number(out, u64::from(form.0));
    let mut writer = Writer { out, version };
    let parent = u16::from(form.0);
    writer.level(body, Parent { tag: parent, bit: parent_bit(parent) }, 1);
    if let Some(sign) = options.message_sign {
        writer.out.extend_from_slice(b"\"messageFiscalSign\":");
        push_number(writer.out, u64::from_be_bytes(sign));
    }
    if let Some(raw) = options.raw {
        writer.out.extend_from_slice(b"\"rawData\":\"");
        push_base64(writer.out, raw);
        writer.out.extend_from_slice(b"\",");
    }
    writer.close(b'}');
    writer.close(b'}');
    writer.out.pop();
}

/// Whether a requisite is an array even when it occurs once.
pub(super) fn is_array(entry: &Entry, version: FfdVersion) -> bool {
    let known = entries().iter().position(|other| core::ptr::eq(other, entry)).and_then(|row| KEYS.get(row));
    known.is_some_and(|key| key.array) || entry.tag == tags::USER_PROPERTY && version == FfdVersion::V1_0
}

fn code_key(form: Form, version: FfdVersion) -> &'static str {
    match form {
        Form::RECEIPT if version <= FfdVersion::V1_05 => "receiptCode",
        Form::BSO if version <= FfdVersion::V1_05 => "bsoCode",
        _ => "code",
    }
}

/// What is around a level: the form of the document, or the tag of a structure, with its bit among parents.
#[derive(Clone, Copy)]
struct Parent {
    tag: u16,
    bit: u64,
}

/// Values of one tag that lie side by side.
#[derive(Clone, Copy)]
struct Run<'a> {
    tag: Tag,
    /// The first value.
    value: &'a [u8],
    /// The TLVs themselves, heads included.
    bytes: &'a [u8],
    /// There is more than one.
    many: bool,
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    version: FfdVersion,
}

impl Writer<'_> {
    /// Ends an object or a list: the comma behind its last member goes, one behind itself comes.
    #[inline]
    fn close(&mut self, end: u8) {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.extend_from_slice(&[end, b',']);
    }

    /// Writes the members of an object; false when the level does not close.
    fn level(&mut self, body: &[u8], parent: Parent, depth: usize) -> bool {
        let start = self.out.len();
        if let Some(closes) = self.members(body, body, parent, depth, false) {
            return closes;
        }
        // A tag has come back behind another one: brought together, all of them stand where the first one stood.
        self.out.truncate(start);
        let mut list: Vec<(u16, usize, &[u8])> = Vec::new();
        let mut rest = Tlv::new(body);
        let mut before = body;
        while let Some(Ok((tag, _))) = rest.next() {
            let len = before.len().saturating_sub(rest.rest().len());
            let (bytes, tail) = before.split_at_checked(len).unwrap_or_default();
            list.push((tag.0, list.len(), bytes));
            before = tail;
        }
        list.sort_unstable_by_key(|&(tag, index, _)| (tag, index));
        let mut group = None;
        for (tag, place, _) in &mut list {
            match group {
                Some((known, first)) if known == *tag => *place = first,
                _ => group = Some((*tag, *place)),
            }
        }
        // Stable: those of one tag keep their order, as sorted above.
        list.sort_by_key(|&(_, first, _)| first);
        let sorted: Vec<u8> = list.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect();
        self.members(&sorted, &sorted, parent, depth, true) == Some(true) && before.is_empty()
    }

    /// Writes the members of a level one run after the other; `None` when a tag comes back behind another one, unless
    /// the level is known to be sorted.
    fn members(
        &mut self,
        level: &[u8],
        mut rest: &[u8],
        parent: Parent,
        depth: usize,
        sorted: bool,
    ) -> Option<bool> {
        // A bit for each tag that was met, by the lowest bits of its number. Two tags may share one: then the level is
        // sorted without need.
        let mut met = [0_u64; 8];
        while let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<TLV_HEADER_LEN>() {
            let len = usize::from(u16::from_le_bytes([l0, l1]));
            let Some((value, mut after)) = tail.split_at_checked(len) else { return Some(false) };
            let tag = Tag(u16::from_le_bytes([t0, t1]));
            if let Some(word) = met.get_mut(usize::from(tag.0 / 64 % 8)) {
                let bit = 1 << (tag.0 % 64);
                if *word & bit != 0 && !sorted {
                    return None;
                }
                *word |= bit;
            }
            let many = after.starts_with(&[t0, t1]);
            while let Some((&[u0, u1, l0, l1], tail)) = after.split_first_chunk::<TLV_HEADER_LEN>() {
                let len = usize::from(u16::from_le_bytes([l0, l1]));
                match tail.get(len..) {
                    Some(next) if [u0, u1] == [t0, t1] => after = next,
                    _ => break,
                }
            }
            let bytes = rest.get(..rest.len().saturating_sub(after.len())).unwrap_or_default();
            let run = Run { tag, value, bytes, many };
            if tag != tags::DOCUMENT_NAME {
                self.run(run, level, parent, depth);
            }
            rest = after;
        }
        Some(rest.is_empty())
    }

    /// Writes one member: all values of one tag of a level.
    #[inline]
    fn run(&mut self, run: Run<'_>, level: &[u8], parent: Parent, depth: usize) {
        if let Some(row) = lookup_row(run.tag, parent.tag, self.version)
            && let Some((key, entry)) = KEYS.get(row).zip(entries().get(row))
            && key.len > 0
            && (key.parents & parent.bit != 0 || self.owns_key(entry, level, parent))
        {
            let start = self.out.len();
            match key.text.first_chunk::<NARROW>() {
                Some(text) if usize::from(key.len) <= NARROW => {
                    push_wide(self.out, text, usize::from(key.len))
                }
                _ => push_wide(self.out, &key.text, usize::from(key.len)),
            }
            if self.values(run, entry, key, depth) {
                return;
            }
            // One value that is not what its type allows makes all of them hex: a list has one kind of element.
            self.out.truncate(start);
        }
        self.out.extend_from_slice(b"\"t");
        push_number(self.out, u64::from(run.tag.0));
        self.out.pop();
        self.out.extend_from_slice(b"\":");
        if run.many {
            self.out.push(b'[');
            for (_, value) in Tlv::new(run.bytes).map_while(Result::ok) {
                push_hex(self.out, value.bytes());
            }
            self.close(b']');
        } else {
            push_hex(self.out, run.value);
        }
    }

    /// Writes the values of a member that has a key; false when one of them is not what its type allows.
    #[inline]
    fn values(&mut self, run: Run<'_>, entry: &Entry, key: &Key, depth: usize) -> bool {
        let array = key.array || entry.tag == tags::USER_PROPERTY && self.version == FfdVersion::V1_0;
        if !run.many && !array {
            return self.value(Value::new(run.tag, run.value, 0), entry, key, depth);
        }
        self.out.push(b'[');
        for (_, value) in Tlv::new(run.bytes).map_while(Result::ok) {
            if !self.value(value, entry, key, depth) {
                return false;
            }
        }
        self.close(b']');
        true
    }

    /// Whether no other tag of the level has a better claim to the key. The tables never give one key to two tags of
    /// one parent (a test holds that), so only a tag out of its place has to look around.
    #[cold]
    fn owns_key(&self, entry: &Entry, level: &[u8], parent: Parent) -> bool {
        let mut met_self = false;
        Tlv::new(level).map_while(Result::ok).all(|(tag, _)| {
            if tag == entry.tag {
                met_self = true;
                return true;
            }
            match lookup(tag, parent.tag, self.version) {
                Some(other) if other.json_name == entry.json_name => {
                    met_self && !other.parents.contains(&parent.tag)
                }
                _ => true,
            }
        })
    }

    /// Writes a value; false when it is not what its type allows, and then something may have been written.
    #[inline]
    fn value(&mut self, value: Value<'_>, entry: &Entry, key: &Key, depth: usize) -> bool {
        match entry.kind {
            Kind::Stlv => {
                if depth >= DEPTH_MAX {
                    return false;
                }
                self.out.push(b'{');
                let parent = Parent { tag: entry.tag.0, bit: key.own };
                // The view has checked nearly all structures; those whose number was text before may not close.
                let closes = self.level(value.bytes(), parent, depth.saturating_add(1));
                self.close(b'}');
                closes
            }
            Kind::Text => {
                let text = if entry.fixed { value.text().trimmed() } else { Cp866(value.bytes()) };
                push_text(self.out, text.0);
                true
            }
            Kind::Fvln => match value.fvln() {
                Ok(quantity) => {
                    push_decimal(self.out, quantity.mantissa, quantity.scale);
                    true
                }
                Err(_) => false,
            },
            Kind::Bytes if entry.tag == tags::FISCAL_SIGN => match value.fiscal_sign() {
                Ok(sign) => {
                    push_number(self.out, u64::from(sign.printed()));
                    true
                }
                Err(_) => false,
            },
            Kind::Bytes => {
                push_hex(self.out, value.bytes());
                true
            }
            Kind::Byte | Kind::U16 | Kind::U32 | Kind::Vln | Kind::UnixTime | Kind::Bits => {
                match integer(entry.kind, value) {
                    Ok(number) => {
                        push_number(self.out, number);
                        true
                    }
                    Err(_) => false,
                }
            }
        }
    }
}

#[inline]
fn integer(kind: Kind, value: Value<'_>) -> Result<u64, DecodeError> {
    match kind {
        Kind::Byte => value.u8().map(u64::from),
        Kind::U16 => value.u16().map(u64::from),
        Kind::Bits => value.bits().map(u64::from),
        Kind::U32 | Kind::UnixTime => value.u32().map(u64::from),
        Kind::Vln | Kind::Fvln | Kind::Text | Kind::Stlv | Kind::Bytes => value.vln(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::TlvWriter;
    use crate::dictionary::entries;

    /// Writes one document and gives what stands after the code.
    fn json(form: Form, version: FfdVersion, fill: impl FnOnce(&mut TlvWriter<'_>)) -> String {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(form, |w| {
                fill(w);
                Ok(())
            })
            .unwrap();
        let mut out = String::new();
        write_document(&DocumentView::new_checked(&bytes).unwrap(), version, &mut out);
        let (_, rest) = out.split_once(',').unwrap();
        rest.strip_suffix("}}").unwrap().to_owned()
    }

    /// `owns_key` looks at neighbours only for tags out of their place, because of this.
    #[test]
    fn tables_never_give_one_key_to_two_tags_of_one_parent() {
        for version in FfdVersion::ALL {
            for one in entries().iter().filter(|entry| entry.json_name.is_some()) {
                for &parent in one.parents {
                    let twins = entries().iter().filter(|two| {
                        let meant = lookup(two.tag, parent, version);
                        two.tag != one.tag
                            && two.json_name == one.json_name
                            && two.parents.contains(&parent)
                            && meant.is_some_and(|meant| core::ptr::eq(meant, *two))
                    });
                    assert_eq!(twins.count(), 0, "{} under {parent} in {version}", one.tag);
                }
            }
        }
    }

    /// Keys that are written without a tag are free.
    #[test]
    fn no_tag_has_a_key_of_ours() {
        for own in ["code", "receiptCode", "bsoCode", "messageFiscalSign", "rawData"] {
            assert!(entries().iter().all(|entry| entry.json_name != Some(own)), "{own}");
        }
    }

    /// The tag that a table puts here has the key, whichever comes first; of strangers the first one has it.
    #[test]
    fn a_key_goes_to_the_tag_with_the_better_claim() {
        let totals = |first: u16, second: u16| {
            json(Form::RECEIPT, FfdVersion::V1_2, |w| {
                w.vln(Tag(first), 1);
                w.vln(Tag(second), 2);
            })
        };
        assert_eq!(totals(1020, 1201), r#""totalSum":1,"t1201":"02""#);
        assert_eq!(totals(1201, 1020), r#""t1201":"01","totalSum":2"#);
        // Neither the VAT of an item nor that of a rate stands in a receipt itself.
        assert_eq!(totals(1200, 1120), r#""ndsSum":1,"t1120":"02""#);
        assert_eq!(totals(1120, 1200), r#""ndsSum":1,"t1200":"02""#);
    }

    /// Repeats come together at the place of the first; what is repeatable by the tables is always an array.
    #[test]
    fn repeats_become_arrays() {
        let texts = |values: &[(u16, &str)]| {
            json(Form::RECEIPT, FfdVersion::V1_2, |w| {
                for (tag, text) in values {
                    w.text(Tag(*tag), text).unwrap();
                }
            })
        };
        assert_eq!(texts(&[(1073, "1")]), r#""paymentAgentPhone":["1"]"#);
        assert_eq!(
            texts(&[(1073, "1"), (1048, "x"), (1073, "2")]),
            r#""paymentAgentPhone":["1","2"],"user":"x""#
        );
        assert_eq!(texts(&[(1048, "x"), (1048, "y")]), r#""user":["x","y"]"#);
        assert_eq!(texts(&[(7000, "x"), (7000, "y")]), r#""t7000":["78","79"]"#);
    }

    /// One unreadable value among repeats turns all of them to hex: an array has one kind of element.
    #[test]
    fn unreadable_values_are_hex() {
        let shown = json(Form::RECEIPT, FfdVersion::V1_2, |w| {
            w.bytes(Tag(1020), &[1; 9]).unwrap();
            w.u8(Tag(1054), 1);
            w.bytes(Tag(1054), &[1, 2]).unwrap();
            w.bytes(Tag(1077), &[1, 2, 3]).unwrap();
            w.bytes(Tag(1023), &[]).unwrap();
        });
        assert_eq!(
            shown,
            r#""t1020":"010101010101010101","t1054":["01","0102"],"t1077":"010203","t1023":"""#
        );
    }

    /// Padding goes where the width is fixed and stays where it is not; 1000 goes altogether.
    #[test]
    fn fixed_width_text_is_trimmed() {
        let shown = json(Form::RECEIPT, FfdVersion::V1_2, |w| {
            w.text(Tag(1000), "КАССОВЫЙ ЧЕК").unwrap();
            w.text(Tag(1018), "7701234560  ").unwrap();
            w.text(Tag(1048), "x  ").unwrap();
        });
        assert_eq!(shown, r#""userInn":"7701234560","user":"x  ""#);
    }

    /// Form codes have the key that the schema of the version gives them.
    #[test]
    fn form_code_has_the_key_of_the_version() {
        assert_eq!(code_key(Form::RECEIPT, FfdVersion::V1_05), "receiptCode");
        assert_eq!(code_key(Form::BSO, FfdVersion::V1_0), "bsoCode");
        assert_eq!(code_key(Form::RECEIPT, FfdVersion::V1_1), "code");
        assert_eq!(code_key(Form::OPEN_SHIFT, FfdVersion::V1_0), "code");
    }

    /// A document of bytes.
    fn json_of(tlv: &[u8]) -> String {
        let mut out = String::new();
        write_document(&DocumentView::new_checked(tlv).unwrap(), FfdVersion::V1_2, &mut out);
        out
    }

    /// Levels without scattered repeats are not sorted: this one must be.
    #[test]
    fn a_tag_that_comes_back_behind_another_one_joins_its_first_place() {
        let tlv = [2, 0, 18, 0, 0x20, 3, 1, 0, 0xAA, 0x0E, 4, 4, 0, 7, 0, 0, 0, 0x20, 3, 1, 0, 0xBB];
        assert_eq!(json_of(&tlv), r#"{"openShift":{"code":2,"t800":["aa","bb"],"shiftNumber":7}}"#);
    }

    /// 800 and 1312 share a bit of the watch: sorted without need, told apart all the same.
    #[test]
    fn tags_that_share_a_bit_stay_in_their_order() {
        let tlv = [2, 0, 10, 0, 0x20, 5, 1, 0, 0xAA, 0x20, 3, 1, 0, 0xBB];
        assert_eq!(json_of(&tlv), r#"{"openShift":{"code":2,"t1312":"aa","t800":"bb"}}"#);
    }
}
