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
//! floats. Cost: one pass, and one more each time the room does not suffice, which is doubled then; a level in which a tag comes
//! back behind another one is brought into order first.
//! Source: exchange protocol operator - ФНС, version 13 of 1.2 and that of 1.05; the shapes of public exports.

use alloc::string::String;
use alloc::vec::Vec;

use crate::dictionary::{Entry, Kind, entries, lookup, lookup_row};
use crate::document::{DEPTH_MAX, DocumentView, Form};
use crate::json::keys::{KEYS, Key, Way, parent_bit, plain_key};
use crate::json::number::{NUMBER_ROOM, put_any_decimal, put_byte, put_decimal, put_number};
use crate::json::text::{push_base64, put_hex, put_text, room, trimmed_end};
use crate::tlv::{TLV_HEADER_LEN, head_at, word_before};
use crate::{FfdVersion, Tag, Tlv, Value, tags};

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
    match form.json_name() {
        Some(name) => {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(name.as_bytes());
        }
        None => {
            out.extend_from_slice(b"{\"form");
            push_number(out, u64::from(form.0));
        }
    }
    out.extend_from_slice(b"\":{\"");
    out.extend_from_slice(code_key(form, version).as_bytes());
    out.extend_from_slice(b"\":");
    push_number(out, u64::from(form.0));
    out.push(b',');
    let parent = u16::from(form.0);
    let level = Level {
        bytes: view.bytes(),
        from: TLV_HEADER_LEN as u32,
        to: len_u32(view.bytes()),
        parent: Parent { tag: parent, bit: parent_bit(parent) },
        depth: 1,
    };
    // Enough for nearly every document; one with many keys and little behind them begins again with more.
    let space = view.bytes().len().saturating_mul(3).saturating_add(512);
    push_members(out, version, &level, space);
    if let Some(sign) = options.message_sign {
        out.extend_from_slice(b"\"messageFiscalSign\":");
        push_number(out, u64::from_be_bytes(sign));
        out.push(b',');
    }
    if let Some(raw) = options.raw {
        out.extend_from_slice(b"\"rawData\":\"");
        push_base64(out, raw);
        out.extend_from_slice(b"\",");
    }
    out.pop();
    out.extend_from_slice(b"}}");
}

/// Appends the members of a level, with room for so many bytes at first.
fn push_members(out: &mut Vec<u8>, version: FfdVersion, level: &Level<'_>, mut space: usize) {
    let from = out.len();
    let written = loop {
        out.resize(from.saturating_add(space), 0);
        match (Writer { version }).level(out.get_mut(from..).unwrap_or_default(), 0, level) {
            Ok(end) => break end as usize,
            Err(Stop::Room) => space = space.saturating_mul(2),
            // The view has seen to it that the lengths close.
            Err(Stop::Unfit | Stop::Scattered) => break 0,
        }
    };
    out.truncate(from.saturating_add(written));
}

/// Appends a whole number.
fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut place = [0; NUMBER_ROOM];
    let len = put_number(&mut place, number);
    out.extend_from_slice(place.get(..(len as usize).saturating_sub(1)).unwrap_or_default());
}

/// A document has at most 65,539 bytes.
fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
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

/// One level of TLVs, from one place to another of `bytes`. What stands around it may be read along and means nothing; there
/// are at least four bytes before it. Places have 32 bits, so that the compiler knows that none wraps.
#[derive(Clone, Copy)]
struct Level<'a> {
    bytes: &'a [u8],
    from: u32,
    to: u32,
    parent: Parent,
    depth: usize,
}

impl<'a> Level<'a> {
    fn contents(&self) -> &'a [u8] {
        self.bytes.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

/// Why something was not written. What has been is rubbish then.
enum Stop {
    /// There is no room: everything begins again with more of it.
    Room,
    /// A value is not what its type allows, or a level does not close.
    Unfit,
    /// A tag has come back behind another one, so that the level must be brought into order first.
    Scattered,
}

/// Where the next byte goes.
type Written = Result<u32, Stop>;

/// Values of one tag that lie side by side.
#[derive(Clone, Copy)]
struct Run {
    tag: Tag,
    /// Where the first TLV begins, and where the last one ends.
    from: u32,
    to: u32,
    /// There is more than one.
    many: bool,
}

/// Bytes of a TLV's header.
const HEADER: u32 = TLV_HEADER_LEN as u32;

/// Room that is asked for at once: a key and a number.
const WINDOW: usize = 128;

const fn tag_of(head: u32) -> u16 {
    head as u16
}

const fn len_of(head: u32) -> u32 {
    head >> 16
}

/// Writes a member that stands once, if it is as nearly all are: where the table puts it, of a plain kind, of a length that
/// its type allows. `None` says only that [`Writer::member`] is to be asked; what was written is to be written over.
#[inline(always)]
fn put_plain(out: &mut [u8], at: u32, level: &Level<'_>, head: u32, from: u32, to: u32) -> Option<u32> {
    let key = plain_key(tag_of(head)).filter(|key| key.parents & level.parent.bit != 0)?;
    let window = room::<WINDOW>(out, at)?;
    let key_len = key.put(window.first_chunk_mut()?);
    let place = window.get_mut(key_len as usize..)?.first_chunk_mut::<NUMBER_ROOM>()?;
    let len = len_of(head);
    let number = || {
        if len < 16 && key.lens >> len & 1 == 1 { word_before(level.bytes, to, len) } else { None }
    };
    let value_len = match key.way {
        Way::Byte => put_byte(place, number()? as u8),
        Way::Number => put_number(place, number()?),
        Way::Text | Way::Padded => {
            let to = if key.way == Way::Padded { trimmed_end(level.bytes, from, to) } else { to };
            return put_text(out, at.wrapping_add(key_len).wrapping_add(1), level.bytes, from, to);
        }
        Way::Decimal => {
            let word = number()?;
            put_decimal(place, word >> 8, word as u8)?
        }
        Way::Sign => put_number(place, u64::from(((number()? >> 16) as u32).swap_bytes())),
        Way::Other => return None,
    };
    Some(at.wrapping_add(key_len).wrapping_add(value_len))
}

/// Writes some bytes.
fn put(out: &mut [u8], at: u32, bytes: &[u8]) -> Written {
    let place = out.get_mut(at as usize..).and_then(|rest| rest.get_mut(..bytes.len())).ok_or(Stop::Room)?;
    place.copy_from_slice(bytes);
    Ok(at.wrapping_add(len_u32(bytes)))
}

/// Ends an object or a list: the comma behind its last member goes, one behind itself comes.
fn close(out: &mut [u8], at: u32, end: u8) -> Written {
    let last = at.wrapping_sub(1);
    let at = if out.get(last as usize) == Some(&b',') { last } else { at };
    put(out, at, &[end, b','])
}

struct Writer {
    version: FfdVersion,
}

impl Writer {
    /// Writes the members of an object.
    fn level(&self, out: &mut [u8], at: u32, level: &Level<'_>) -> Written {
        match self.members(out, at, level, false) {
            Err(Stop::Scattered) => self.sorted(out, at, level),
            written => written,
        }
    }

    /// A tag has come back behind another one: brought together, all of them stand where the first one stood.
    #[cold]
    fn sorted(&self, out: &mut [u8], at: u32, level: &Level<'_>) -> Written {
        let mut list: Vec<(u16, usize, &[u8])> = Vec::new();
        let mut before = level.contents();
        let mut rest = Tlv::new(before);
        while let Some(Ok((tag, _))) = rest.next() {
            let len = before.len().saturating_sub(rest.rest().len());
            let (bytes, tail) = before.split_at_checked(len).unwrap_or_default();
            list.push((tag.0, list.len(), bytes));
            before = tail;
        }
        if !before.is_empty() {
            return Err(Stop::Unfit);
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
        // Something stands before every level.
        let mut bytes = Vec::from([0; TLV_HEADER_LEN]);
        bytes.extend(list.iter().flat_map(|(_, _, bytes)| bytes.iter()));
        self.members(out, at, &Level { bytes: &bytes, from: HEADER, to: len_u32(&bytes), ..*level }, true)
    }

    /// Writes the members of a level one after the other, unless a tag comes back behind another one where the level is
    /// not known to be sorted.
    fn members(&self, out: &mut [u8], mut at: u32, level: &Level<'_>, sorted: bool) -> Written {
        // A bit for each tag that was met, by the lowest bits of its number. Two tags may share one: then the level is
        // sorted without need.
        let mut met = [0_u64; 8];
        let mut place = level.from;
        let mut head = head_at(level.bytes, place).unwrap_or_default();
        while level.to.saturating_sub(place) >= HEADER {
            let from = place.wrapping_add(HEADER);
            let next = from.wrapping_add(len_of(head));
            if next > level.to {
                return Err(Stop::Unfit);
            }
            let tag = tag_of(head);
            if let Some(word) = met.get_mut(usize::from(tag / 64 % 8)) {
                let bit = 1 << (tag % 64);
                if *word & bit != 0 && is_scattered(sorted) {
                    return Err(Stop::Scattered);
                }
                *word |= bit;
            }
            let after = head_at(level.bytes, next).unwrap_or_default();
            let plain = if tag_of(after) == tag { None } else { put_plain(out, at, level, head, from, next) };
            (at, place, head) = match plain {
                Some(at) => (at, next, after),
                None => {
                    let run = run_at(level, place);
                    let at = self.member(out, at, level, run)?;
                    (at, run.to, head_at(level.bytes, run.to).unwrap_or_default())
                }
            };
        }
        if place == level.to { Ok(at) } else { Err(Stop::Unfit) }
    }

    /// Writes one member, whatever it is: all values of one tag of a level.
    #[inline(never)]
    fn member(&self, out: &mut [u8], at: u32, level: &Level<'_>, run: Run) -> Written {
        if run.tag == tags::DOCUMENT_NAME {
            return Ok(at);
        }
        if let Some(row) = lookup_row(run.tag, level.parent.tag, self.version)
            && let Some((key, entry)) = KEYS.get(row).zip(entries().get(row))
            && key.exists()
            && (key.parents & level.parent.bit != 0 || self.owns_key(entry, level))
        {
            match self.values(out, at, level, run, entry, key) {
                // One value that is not what its type allows makes all of them hex: a list has one kind of element.
                Err(Stop::Unfit) => {}
                written => return written,
            }
        }
        self.hex(out, at, level, run)
    }

    /// Writes the values of a member that has no key, or whose values are not what its type allows.
    #[cold]
    fn hex(&self, out: &mut [u8], at: u32, level: &Level<'_>, run: Run) -> Written {
        let mut at = put(out, at, b"\"t")?;
        let place = room(out, at).ok_or(Stop::Room)?;
        at = at.wrapping_add(put_number(place, u64::from(run.tag.0))).wrapping_sub(1);
        at = put(out, at, if run.many { b"\":[" } else { b"\":" })?;
        for (_, value) in run.values(level) {
            at = put_hex(out, at, value.bytes()).ok_or(Stop::Room)?;
        }
        if run.many { close(out, at, b']') } else { Ok(at) }
    }

    /// Writes the values of a member that has a key.
    fn values(
        &self,
        out: &mut [u8],
        at: u32,
        level: &Level<'_>,
        run: Run,
        entry: &Entry,
        key: &Key,
    ) -> Written {
        let place = room(out, at).ok_or(Stop::Room)?;
        let mut at = at.wrapping_add(key.put(place));
        let array =
            run.many || key.array || entry.tag == tags::USER_PROPERTY && self.version == FfdVersion::V1_0;
        if array {
            at = put(out, at, b"[")?;
        }
        let mut place = run.from;
        while place < run.to {
            let from = place.wrapping_add(HEADER);
            place = from.wrapping_add(len_of(head_at(level.bytes, place).unwrap_or_default()));
            at = self.value(out, at, &Level { from, to: place, ..*level }, entry, key)?;
        }
        if array { close(out, at, b']') } else { Ok(at) }
    }

    /// Whether no other tag of the level has a better claim to the key. The tables never give one key to two tags of
    /// one parent (a test holds that), so only a tag out of its place has to look around.
    #[cold]
    fn owns_key(&self, entry: &Entry, level: &Level<'_>) -> bool {
        let mut met_self = false;
        Tlv::new(level.contents()).map_while(Result::ok).all(|(tag, _)| {
            if tag == entry.tag {
                met_self = true;
                return true;
            }
            match lookup(tag, level.parent.tag, self.version) {
                Some(other) if other.json_name == entry.json_name => {
                    met_self && !other.parents.contains(&level.parent.tag)
                }
                _ => true,
            }
        })
    }

    /// Writes a value, whose bytes are those of `level`.
    fn value(&self, out: &mut [u8], at: u32, level: &Level<'_>, entry: &Entry, key: &Key) -> Written {
        let bytes = level.contents();
        let value = Value::new(entry.tag, bytes, 0);
        let number = match entry.kind {
            Kind::Stlv => {
                if level.depth >= DEPTH_MAX {
                    return Err(Stop::Unfit);
                }
                let at = put(out, at, b"{")?;
                let parent = Parent { tag: entry.tag.0, bit: key.own_bit() };
                // The view has checked nearly all structures; those whose number was text before may not close.
                let inside = Level { parent, depth: level.depth.saturating_add(1), ..*level };
                let at = self.level(out, at, &inside)?;
                return close(out, at, b'}');
            }
            Kind::Text => {
                let to = if entry.fixed { trimmed_end(level.bytes, level.from, level.to) } else { level.to };
                let at = put(out, at, b"\"")?;
                return put_text(out, at, level.bytes, level.from, to).ok_or(Stop::Room);
            }
            Kind::Fvln => {
                let decimal = value.fvln().map_err(|_| Stop::Unfit)?;
                let place = out.get_mut(at as usize..).unwrap_or_default();
                let len = put_any_decimal(place, decimal.mantissa, decimal.scale).ok_or(Stop::Room)?;
                return Ok(at.wrapping_add(len));
            }
            Kind::Bytes if entry.tag != tags::FISCAL_SIGN => {
                return put_hex(out, at, bytes).ok_or(Stop::Room);
            }
            Kind::Bytes => value.fiscal_sign().map(|sign| u64::from(sign.printed())),
            Kind::Byte => value.u8().map(u64::from),
            Kind::U16 => value.u16().map(u64::from),
            Kind::Bits => value.bits().map(u64::from),
            Kind::U32 | Kind::UnixTime => value.u32().map(u64::from),
            Kind::Vln => value.vln(),
        };
        let number = number.map_err(|_| Stop::Unfit)?;
        let place = room(out, at).ok_or(Stop::Room)?;
        Ok(at.wrapping_add(put_number(place, number)))
    }
}

/// Whether a tag whose bit was met before makes the level be sorted.
#[cold]
const fn is_scattered(sorted: bool) -> bool {
    !sorted
}

/// The TLV at a place of a level that holds all of it, and those of its tag behind it.
fn run_at(level: &Level<'_>, from: u32) -> Run {
    let tag = tag_of(head_at(level.bytes, from).unwrap_or_default());
    let mut to = from;
    let mut many = false;
    while level.to.saturating_sub(to) >= HEADER {
        let head = head_at(level.bytes, to).unwrap_or_default();
        let next = to.wrapping_add(HEADER).wrapping_add(len_of(head));
        if tag_of(head) != tag || next > level.to {
            break;
        }
        many = to > from;
        to = next;
    }
    Run { tag: Tag(tag), from, to, many }
}

impl Run {
    fn values<'a>(&self, level: &Level<'a>) -> impl Iterator<Item = (Tag, Value<'a>)> + use<'a> {
        let bytes = level.bytes.get(self.from as usize..self.to as usize).unwrap_or_default();
        Tlv::new(bytes).map_while(Result::ok)
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

    /// Room is guessed by the length of the document; many keys with nothing behind them need more than that.
    #[test]
    fn a_document_of_keys_alone_finds_room() {
        let item = [0x23, 4, 4, 0, 0x1B, 4, 0, 0]; // 1059 around an empty 1051
        let body = item.repeat(500);
        let len = u16::try_from(body.len()).unwrap().to_le_bytes();
        let json = json_of(&[&[3, 0], &len[..], &body].concat());
        let items = vec![r#"{"fiscalDriveReplaceRequiredSign":0}"#; 500].join(",");
        assert_eq!(json, format!(r#"{{"receipt":{{"code":3,"items":[{items}]}}}}"#));
    }

    /// 800 and 1312 share a bit of the watch: sorted without need, told apart all the same.
    #[test]
    fn tags_that_share_a_bit_stay_in_their_order() {
        let tlv = [2, 0, 10, 0, 0x20, 5, 1, 0, 0xAA, 0x20, 3, 1, 0, 0xBB];
        assert_eq!(json_of(&tlv), r#"{"openShift":{"code":2,"t1312":"aa","t800":"bb"}}"#);
    }

    /// Why: which lengths a value may have is said twice, by the key and by the readings of [`crate::Value`].
    #[test]
    fn what_a_glance_writes_is_what_asking_writes() {
        let mut glanced = 0;
        for entry in entries() {
            let places = entry.parents.iter().map(|&tag| Parent { tag, bit: parent_bit(tag) });
            for (parent, len) in places.flat_map(|parent| (0..=17_u16).map(move |len| (parent, len))) {
                for fill in [
                    [0x31; 17],
                    [3, 0x39, 5, 0, 7, 0, 0xFF, 0, 1, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20],
                ] {
                    let value = fill.get(..usize::from(len)).unwrap();
                    let [tag, length] = [entry.tag.0, len].map(u16::to_le_bytes);
                    let bytes = [&[0; 4][..], &tag, &length, value, &[0xAA; 16]].concat();
                    let (from, to) = (8, 8 + u32::from(len));
                    let level = Level { bytes: &bytes, from: 4, to, parent, depth: 1 };
                    let mut glance = [0; 512];
                    let head = head_at(&bytes, 4).unwrap();
                    let Some(end) = put_plain(&mut glance, 0, &level, head, from, to) else { continue };
                    glanced += 1;
                    for version in FfdVersion::ALL {
                        let mut asked = [0; 512];
                        let written = Writer { version }.member(&mut asked, 0, &level, run_at(&level, 4));
                        let asked = written.ok().and_then(|end| asked.get(..end as usize));
                        assert_eq!(glance.get(..end as usize), asked, "{version} {entry:?} of {len} bytes");
                    }
                }
            }
        }
        assert!(glanced > 5_000, "{glanced}");
    }

    /// Why: whatever is being written when the room ends, all of it is written again, and nothing of the first attempt is left.
    #[test]
    fn the_room_that_it_begins_with_says_nothing_about_what_is_written() {
        let decimal = [0xFF, 3, 2, 0, 255, 9]; // 1023 with 255 digits behind the point
        let hex = [0x20, 3, 3, 0, 1, 2, 3]; // 800, which nobody knows
        let text = [&[0xFD, 3, 20, 0][..], b"\"quoted\" ", &[0xF1; 11]].concat(); // 1021
        let item = [&[0x23, 4, 20, 0, 6, 4, 8, 0][..], b"\\\t name!", &[0x13, 4, 4, 0, 1, 2, 3, 4]].concat(); // 1030, 1043
        let documents = [
            [&hex[..], &decimal, &text].concat(),
            [&text[..], &item, &item, &decimal].concat(),
            // Scattered: sorted first.
            [&decimal[..], &hex, &text, &decimal, &hex, &item, &hex].concat(),
            decimal.repeat(40),
        ];
        for body in documents {
            let tlv = [&[3, 0, 0, 0], &body[..]].concat();
            let parent = Parent { tag: 3, bit: parent_bit(3) };
            let level = Level { bytes: &tlv, from: HEADER, to: len_u32(&tlv), parent, depth: 1 };
            let with = |space| {
                let mut out = b"before".to_vec();
                push_members(&mut out, FfdVersion::V1_2, &level, space);
                out
            };
            let whole = with(1 << 20);
            assert!(whole.len() > 6, "nothing is written of {tlv:?}");
            for space in 1..1_500 {
                assert_eq!(with(space), whole, "{space} bytes at first");
            }
        }
    }
}
