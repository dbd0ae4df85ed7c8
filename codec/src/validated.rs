//! A document that was held against the tables of its version in the same pass that reads it.
//!
//! Shape: the pass walks all levels as [`DocumentView::new_checked`] does and asks of every TLV what its table says
//! (version, form, parent, tag), whether its length is right and whether it may stand there again; a [`Visitor`] gets
//! every value on the way, so that a reader who wants all fields needs no second walk.
//! Invariants: a [`Validated`] exists only for bytes that are a [`DocumentView`], and for all of those
//! (test `tests/validated.rs::accepts_what_the_view_accepts`); its findings are those of a plain reading of the dictionary
//! (test `tests/validated.rs::findings_are_those_of_a_plain_reading`); nothing is allocated
//! (test `tests/allocations.rs::validating_and_reading_allocates_nothing`).
//! Errors: those of [`DocumentView::new_checked`]. What the tables do not allow is a [`Finding`], never an error: the
//! first [`FINDINGS_KEPT`] are kept, the others counted.
//!
//! The version is told by tag 1209, which stands anywhere in the document. The pass begins with the version that its
//! caller expects (that of the drive's last document) and begins again when 1209 says another one; the visitor is told.
//! Nests that were text in older versions (1115, 1119) are entered where the table calls them nests; one that does not
//! close is a finding, as the structure check of the view does not look into it.

use core::fmt;

use crate::dictionary::places::{Limits, NestPlace, Place, Table, TableSet};
use crate::dictionary::{self, Kind};
use crate::document::{DEPTH_MAX, TAGS_MAX, check_structure};
use crate::tlv::TLV_HEADER_LEN;
use crate::value::VLN_LEN_MAX;
use crate::{DecodeError, DecodeErrorKind, DocumentView, FfdVersion, Quantity, Tag, Value, is_stlv, tags};

/// Findings of structure that are kept of one document.
pub const FINDINGS_KEPT: usize = 4;

/// What the tables of the order do not allow.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// No source names the number.
    Unknown,
    /// The number is known, and no table puts it here. Of ФФД 1.0 only JSON schemas are at hand that real registers do
    /// not keep to, so there nothing known is undeclared.
    Undeclared,
    /// It stood here before and may stand here once.
    Repeated,
    /// The value is longer or shorter than it may be.
    Length,
    /// The TLVs inside do not close.
    Unclosed,
}

/// One finding of structure: where, and what.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// Where the value begins, in bytes of the document.
    pub offset: u32,
    /// The requisite.
    pub tag: Tag,
    /// The tag around it, 0 for the document itself.
    pub parent: u16,
    /// What is wrong with it.
    pub kind: FindingKind,
}

/// The findings of one document in the order of the wire: the first [`FINDINGS_KEPT`], and how many there were.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Findings {
    first: [Option<Finding>; FINDINGS_KEPT],
    count: u32,
}

impl Findings {
    const NONE: Self = Self { first: [None; FINDINGS_KEPT], count: 0 };

    /// How many there were, kept or not.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// True for a document as the tables want it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Those that were kept.
    pub fn iter(&self) -> impl Iterator<Item = Finding> + use<> {
        self.first.into_iter().flatten()
    }

    fn push(&mut self, finding: Finding) {
        if let Some(slot) = self.first.get_mut(self.count as usize) {
            *slot = Some(finding);
        }
        self.count = self.count.saturating_add(1);
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.count)?;
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A requisite as a [`Visitor`] meets it.
#[derive(Copy, Clone)]
pub struct Requisite<'a> {
    /// Tag, bytes and place.
    pub value: Value<'a>,
    /// How the table of its place says it is read; of a requisite that no table puts there the likeliest meaning, bytes
    /// for a number that no source names.
    pub kind: Kind,
    /// The tag around it, 0 for the document itself.
    pub parent: u16,
    /// As [`Kind::is_number`]: told by the place, so that of a number the kind is not asked.
    is_number: bool,
    /// The eight bytes that begin with the value, little-endian; its own alone where the document has no eight. Nothing to go by of a nest.
    word: u64,
    /// Of which bits of the word are the value's, as [`Table::masks`].
    masks: &'static [u64; 16],
    /// Whether a number or a decimal has eight bytes at most; nothing to go by of another kind.
    fits: bool,
}

impl<'a> Requisite<'a> {
    #[inline(always)]
    fn nest(tag: u16, bytes: &'a [u8], from: usize, parent: u16, table: &'static Table) -> Self {
        let value = Value::new(Tag(tag), bytes, from as u32);
        Self { value, kind: Kind::Stlv, is_number: false, parent, word: 0, masks: table.masks(), fits: true }
    }

    /// The number, of a kind that is one ([`Kind::is_number`], as the visitor got it); `None` for other kinds and for a value that is
    /// too long for any.
    ///
    /// The same as [`Value::vln`], without a branch on the length: eight bytes are read, and those of the next TLV
    /// are masked away.
    #[must_use]
    #[inline]
    pub fn number(&self) -> Option<u64> {
        if self.is_number { self.little_endian() } else { None }
    }

    /// The decimal, of a kind that is one; `None` for other kinds and for a value of a wrong length. As [`Value::fvln`].
    #[must_use]
    #[inline]
    pub fn decimal(&self) -> Option<Quantity> {
        if self.kind != Kind::Fvln || self.value.bytes().is_empty() {
            return None;
        }
        self.little_endian().map(|all| Quantity { mantissa: all >> 8, scale: all.to_le_bytes()[0] })
    }

    #[inline(always)]
    fn little_endian(&self) -> Option<u64> {
        let mask = self.masks.get(self.value.bytes().len() % self.masks.len()).copied().unwrap_or(0);
        self.fits.then_some(self.word & mask)
    }
}

impl fmt::Debug for Requisite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, kind, parent, .. } = self;
        f.debug_struct("Requisite")
            .field("value", value)
            .field("kind", kind)
            .field("parent", parent)
            .finish_non_exhaustive()
    }
}

/// Gets every requisite of a document while it is validated, in the order of the wire.
///
/// Until [`Validated::check_with`] has returned nothing is promised about the document: a reader throws away what it
/// has gathered when that fails.
pub trait Visitor<'a> {
    /// A reading begins under a version. It may begin again, once, under another one; what was gathered is void then.
    fn begin(&mut self, version: FfdVersion) {
        let _ = version;
    }

    /// A requisite. Of a nest this comes first, its children follow.
    fn requisite(&mut self, requisite: Requisite<'a>);

    /// The children of the nest that was entered last have all been seen.
    fn leave(&mut self, nest: Tag) {
        let _ = nest;
    }
}

/// Visits nothing.
impl Visitor<'_> for () {
    #[inline]
    fn requisite(&mut self, _: Requisite<'_>) {}
}

/// A document whose structure holds and whose tags, lengths and repeats were held against the tables.
///
/// ```
/// use ofd_codec::{FfdVersion, FindingKind, Tag, Validated};
/// // A receipt with a total (1020) of five kopecks and a number that no source names.
/// let bytes = [3, 0, 10, 0, 0xFC, 3, 1, 0, 5, 0xCF, 7, 1, 0, 7];
/// let validated = Validated::check(&bytes, FfdVersion::V1_2)?;
/// assert_eq!(validated.view().get(Tag(1020)).map(|value| value.vln()), Some(Ok(5)));
/// let finding = validated.findings().iter().next().unwrap();
/// assert_eq!((finding.tag, finding.kind), (Tag(1999), FindingKind::Unknown));
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Copy, Clone, Debug)]
pub struct Validated<'a> {
    view: DocumentView<'a>,
    version: FfdVersion,
    findings: Findings,
}

impl<'a> Validated<'a> {
    /// Checks one document. `expected` is its version unless its own tag 1209 tells another one: see
    /// [`FfdVersion::resolve`] for where it comes from.
    ///
    /// # Errors
    /// As [`DocumentView::new_checked`].
    pub fn check(tlv: &'a [u8], expected: FfdVersion) -> Result<Self, DecodeError> {
        Self::check_with(tlv, expected, &mut ())
    }

    /// The same, and shows `visitor` every requisite on the way.
    ///
    /// # Errors
    /// As [`DocumentView::new_checked`].
    pub fn check_with<V: Visitor<'a>>(
        tlv: &'a [u8],
        expected: FfdVersion,
        visitor: &mut V,
    ) -> Result<Self, DecodeError> {
        let (view, rest) = DocumentView::cut(tlv)?;
        if !rest.is_empty() {
            // The inside comes first, as everywhere.
            check_structure(view.body()).map_err(|error| error.shifted(TLV_HEADER_LEN))?;
            return Err(DecodeError::new(DecodeErrorKind::TlvTrailing, view.bytes().len()));
        }
        // Only a body that is longer than any container can have too many TLVs.
        if view.body().len() > TAGS_MAX.saturating_mul(TLV_HEADER_LEN) {
            check_structure(view.body()).map_err(|error| error.shifted(TLV_HEADER_LEN))?;
        }
        let mut version = expected;
        loop {
            let mut findings = Findings::NONE;
            match Pass::of(view, version, &mut findings).walk(visitor) {
                Ok(()) => return Ok(Self { view, version, findings }),
                Err(Stop::Version(told)) if version == expected => version = told,
                Err(_) => return Err(Self::broken(view)),
            }
        }
    }

    /// The document.
    #[must_use]
    pub const fn view(&self) -> DocumentView<'a> {
        self.view
    }

    /// The version whose tables it was held against: that of tag 1209, or the one that was expected.
    #[must_use]
    pub const fn version(&self) -> FfdVersion {
        self.version
    }

    /// What the tables do not allow.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What is wrong with a document that did not close, and where: worked out apart, so that the pass carries no places.
    #[cold]
    fn broken(view: DocumentView<'a>) -> DecodeError {
        check_structure(view.body())
            .err()
            .map_or(DecodeError::new(DecodeErrorKind::TlvLength, 0), |error| error.shifted(TLV_HEADER_LEN))
    }
}

/// What the loop for plain TLVs wants to see of a document: a header and the eight bytes behind it.
const WINDOW_LEN: usize = TLV_HEADER_LEN + VLN_LEN_MAX;

enum Stop {
    Version(FfdVersion),
    Structure,
}

struct Pass<'a, 'f> {
    document: &'a [u8],
    findings: &'f mut Findings,
    tables: TableSet,
    form: u16,
    version: FfdVersion,
    /// Whether 1209 was met; the first one counts.
    told: bool,
}

/// A level, while a nest in it is walked.
#[derive(Copy, Clone)]
struct Level {
    /// Behind its last byte.
    end: u32,
    /// The shortest value of that nest that is too long for it to stand here again; 0 where it may stand once,
    /// and where it was taken up the long way.
    again: u32,
    /// Where the value of that nest begins.
    inside: u32,
    /// The bits of the tags that stood here and may stand once.
    once: u64,
    table: &'static Table,
    /// The tag of the nest, 0 for the document.
    parent: u16,
}

impl Level {
    /// Bytes of the TLV behind the nest, if that is one of the same tag about which there is nothing to do but to walk it.
    #[inline(always)]
    fn sibling<'a>(&self, document: &'a [u8], at: usize, nest: u16) -> Option<&'a [u8]> {
        let (tag, bytes) = cut(document, at)?;
        let end = behind_header(at).wrapping_add(bytes.len());
        (tag == nest && bytes.len() < self.again as usize && end <= self.end as usize).then_some(bytes)
    }
}

/// Shows the TLVs about which there is nothing to do but that. It stops at the first of another kind, which it gives with what the
/// table has for its tag, or with nothing where the level does not go on, a TLV does not close, its tag is above all that are known or the
/// document has no whole window any more.
///
/// What one of them needs of the one before is the length alone: neither the table nor the finding of repeats stands in that
/// chain. It is a loop of its own, so it has little to keep and keeps it in registers. Of the level it asks only where the
/// TLV ends: behind the last one of a level none does.
#[inline(always)]
fn plain<'a, V: Visitor<'a>>(
    visitor: &mut V,
    document: &'a [u8],
    level: &'a [u8],
    at: &mut usize,
    once: &mut u64,
    table: &'static Table,
    parent: u16,
) -> Option<Met<'a>> {
    // Where a window begins at the latest that is still whole.
    let last = document.len().checked_sub(WINDOW_LEN)?;
    while *at <= last {
        let window = document.get(*at..)?.first_chunk::<WINDOW_LEN>()?;
        let (wire, word) = window.split_first_chunk::<TLV_HEADER_LEN>()?;
        // A load of its own, since the next TLV waits for the length and for nothing else.
        let len = u16::from_le_bytes(*wire.last_chunk()?);
        let word = u64::from_le_bytes(*word.first_chunk()?);
        let tag = u16::from_le_bytes(*wire.first_chunk()?);
        let from = behind_header(*at);
        let next = from.wrapping_add(usize::from(len));
        let bytes = level.get(from..next)?;
        let place = table.find(tag)?;
        if !place.is_plain(len) || *once & place.once() != 0 {
            return Some(Met { bytes, place });
        }
        *once |= place.once();
        *at = next;
        let value = Value::new(Tag(tag), bytes, from as u32);
        let masks = table.masks();
        let (kind, is_number) = (place.kind(), place.is_number());
        visitor.requisite(Requisite { value, kind, is_number, parent, word, masks, fits: true });
    }
    None
}

/// Where a value begins. In 32 bits, so that the compiler can not put off the addition of the header behind that of the length;
/// lengths of documents have 17 bits.
#[inline(always)]
const fn behind_header(at: usize) -> usize {
    (at as u32).wrapping_add(TLV_HEADER_LEN as u32) as usize
}

/// A TLV that closes: its bytes, and what the table has for its tag.
struct Met<'a> {
    bytes: &'a [u8],
    place: Place,
}

/// Tag and bytes of the TLV at a place of a level; `None` where it does not close.
#[inline(always)]
fn cut(level: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let (head, tail) = level.get(at..)?.split_first_chunk::<TLV_HEADER_LEN>()?;
    let [a, b, c, d] = *head;
    Some((u16::from_le_bytes([a, b]), tail.get(..usize::from(u16::from_le_bytes([c, d])))?))
}

/// A nest that is to be walked.
struct Nest {
    of: NestPlace,
    /// Behind its last byte.
    end: usize,
}

/// What became of a TLV that is not plain.
enum Odd {
    /// It was shown, and the next one stands there.
    Next(usize),
    Nest(Nest),
    /// It does not close.
    Unclosed,
}

impl<'a, 'f> Pass<'a, 'f> {
    fn of(view: DocumentView<'a>, version: FfdVersion, findings: &'f mut Findings) -> Self {
        let form = view.form().0;
        Self {
            document: view.bytes(),
            findings,
            tables: TableSet::new(version, form),
            form: u16::from(form),
            version,
            told: false,
        }
    }

    /// All TLVs in the order of the wire: a nest, then those in it.
    ///
    /// # Errors
    /// `Structure` for a level that does not close, whatever is around it. It ends at the first nest that was text once (1115,
    /// 1119): that one is left as it is, and there is a finding. Any other one breaks what is around it.
    fn walk<V: Visitor<'a>>(&mut self, visitor: &mut V) -> Result<(), Stop> {
        visitor.begin(self.version);
        let document = self.document;
        let (mut at, mut end, mut parent) = (TLV_HEADER_LEN, document.len(), 0);
        let (mut once, mut table) = (0, self.tables.document());
        let mut outer = [Level { inside: 0, end: 0, again: 0, once, table, parent }; DEPTH_MAX];
        let mut depth = 0_usize;
        loop {
            let Some(level) = document.get(..end) else { return Err(Stop::Structure) };
            let met = plain(visitor, document, level, &mut at, &mut once, table, parent);
            let from = behind_header(at);
            let found = match met {
                None if at == end => {
                    let Some(around) = outer.get_mut(depth.wrapping_sub(1)) else { return Ok(()) };
                    visitor.leave(Tag(parent));
                    // The items of a receipt stand one behind the other: from one into the next, without the level around them.
                    if let Some(bytes) = around.sibling(document, at, parent) {
                        around.inside = from as u32;
                        visitor.requisite(Requisite::nest(parent, bytes, from, around.parent, table));
                        (at, end, once) = (from, from.wrapping_add(bytes.len()), 0);
                        continue;
                    }
                    depth = depth.wrapping_sub(1);
                    Level { once, table, parent, .. } = *around;
                    end = around.end as usize;
                    continue;
                }
                Some(Met { bytes, place }) if place.is_nest(bytes.len()) && once & place.once() == 0 => {
                    once |= place.once();
                    let of = place.nest();
                    visitor.requisite(Requisite::nest(of.tag, bytes, from, parent, table));
                    Odd::Nest(Nest { of, end: from.wrapping_add(bytes.len()) })
                }
                // What nearly every document says, most of them at their end, and nothing is wrong with.
                _ if depth == 0 && self.says_version(at, once, table) => {
                    self.told = true;
                    once |= table.place(tags::FFD_VERSION.0).once();
                    let end = from.wrapping_add(1);
                    let value =
                        Value::new(tags::FFD_VERSION, level.get(from..end).unwrap_or_default(), from as u32);
                    let (kind, word, masks) = (Kind::Byte, u64::from(self.version.code()), table.masks());
                    visitor.requisite(Requisite {
                        value,
                        kind,
                        is_number: true,
                        parent,
                        word,
                        masks,
                        fits: true,
                    });
                    if end == document.len() {
                        return Ok(());
                    }
                    Odd::Next(end)
                }
                _ => {
                    let odd;
                    (odd, once) = self.odd(visitor, level, at, once, table, parent)?;
                    odd
                }
            };
            let unclosed = match found {
                Odd::Next(next) => {
                    at = next;
                    continue;
                }
                Odd::Nest(nest) => {
                    let Some(slot) = outer.get_mut(depth) else { return Err(Stop::Structure) };
                    let (inside, again) = (from as u32, nest.of.again);
                    *slot = Level { end: end as u32, again, inside, once, table, parent };
                    depth = depth.wrapping_add(1);
                    if depth < DEPTH_MAX {
                        (at, end, once, parent) = (from, nest.end, 0, nest.of.tag);
                        table = self.tables.nest(nest.of.column);
                        continue;
                    }
                    // One that is too deep does not close.
                    nest.of.tag
                }
                Odd::Unclosed => parent,
            };
            let left;
            (at, left, depth) = self.unwind(unclosed, outer.get(..depth).unwrap_or_default())?;
            let Some(around) = outer.get(depth) else { return Ok(()) };
            visitor.leave(Tag(left));
            Level { once, table, parent, .. } = *around;
            end = around.end as usize;
        }
    }

    /// Whether the TLV at a place of the document says its version, the one that was expected, for the first time.
    #[inline(always)]
    fn says_version(&self, at: usize, once: u64, table: &'static Table) -> bool {
        let [low, high] = tags::FFD_VERSION.0.to_le_bytes();
        let tlv = self.document.get(at..).and_then(<[u8]>::first_chunk);
        let place = table.place(tags::FFD_VERSION.0);
        tlv == Some(&[low, high, 1, 0, self.version.code()]) && place.is_known() && once & place.once() == 0
    }

    /// Shows the TLV at a place of a level, whatever it is: a version that is not the expected one, a tag that no table knows, a
    /// repeat, one of an odd length, one of the last few bytes of the document.
    #[inline(never)]
    fn odd<V: Visitor<'a>>(
        &mut self,
        visitor: &mut V,
        level: &'a [u8],
        at: usize,
        once: u64,
        table: &'static Table,
        parent: u16,
    ) -> Result<(Odd, u64), Stop> {
        let Some((tag, bytes)) = cut(level, at) else { return Ok((Odd::Unclosed, once)) };
        let from = behind_header(at);
        let end = from.wrapping_add(bytes.len());
        let value = Value::new(Tag(tag), bytes, from as u32);
        let (place, len) = (table.place(tag), bytes.len() as u16);
        let (known, first) = (place.is_known(), once & place.once() == 0);
        let once = if known { once | place.once() } else { once };
        let (kind, column) = if place.is_plain(len) && first {
            (place.kind(), None)
        } else if place.is_nest(bytes.len()) && first {
            (Kind::Stlv, Some(place.nest().column))
        } else {
            self.ask(value, table, known && !first, parent)?
        };
        // Where the document ends before, the bytes of the value alone.
        let word = self.document.get(from..).and_then(<[u8]>::first_chunk);
        let word = word.map_or_else(|| value.vln().unwrap_or_default(), |it| u64::from_le_bytes(*it));
        let (is_number, fits, masks) = (kind.is_number(), bytes.len() <= VLN_LEN_MAX, table.masks());
        visitor.requisite(Requisite { value, kind, is_number, parent, word, masks, fits });
        let nest = |column| Odd::Nest(Nest { of: NestPlace::of(tag, column), end });
        Ok((column.map_or(Odd::Next(end), nest), once))
    }

    /// A TLV that is not right at a glance, or tells another version: how it is read, and the column of its children if they
    /// are to be walked.
    #[cold]
    #[inline(never)]
    fn ask(
        &mut self,
        value: Value<'_>,
        table: &'static Table,
        again: bool,
        parent: u16,
    ) -> Result<(Kind, Option<u8>), Stop> {
        let tag = value.tag();
        let version = tag == tags::FFD_VERSION && parent == 0;
        let offset = u32::try_from(value.offset()).unwrap_or(u32::MAX);
        let (known, charted) = (table.knows(tag.0), table.charted());
        let entry = dictionary::lookup(tag, if parent == 0 { self.form } else { parent }, self.version);
        match entry {
            _ if again => self.find(tag, offset, parent, FindingKind::Repeated),
            None if charted => self.find(tag, offset, parent, FindingKind::Unknown),
            Some(_) if !known && charted && self.version != FfdVersion::V1_0 => {
                self.find(tag, offset, parent, FindingKind::Undeclared);
            }
            _ => {}
        }
        let len = u16::try_from(value.bytes().len()).unwrap_or(u16::MAX);
        if entry.is_some_and(|entry| !Limits::of(entry).allow(len)) {
            self.find(tag, offset, parent, FindingKind::Length);
        }
        // Also where no table of the expected version knows it: it is the document's own word.
        if version && !self.told {
            self.told = true;
            let told = value.u8().ok().and_then(FfdVersion::from_code);
            if let Some(other) = told.filter(|&told| told != self.version) {
                return Err(Stop::Version(other));
            }
        }
        // A nest that no table puts here is entered if its number is that of a nest in all versions.
        let kind = entry.map_or(Kind::Bytes, |entry| entry.kind);
        let nest = if known { kind == Kind::Stlv } else { entry.is_some() && is_stlv(tag) };
        Ok((kind, nest.then(|| TableSet::column(tag.0))))
    }

    /// Behind which nest it goes on where a level does not close, and in which of the levels around it.
    ///
    /// # Errors
    /// `Structure` where none of the nests was text once.
    #[cold]
    fn unwind(&mut self, parent: u16, outer: &[Level]) -> Result<(usize, u16, usize), Stop> {
        let mut nest = parent;
        for (depth, around) in outer.iter().enumerate().rev() {
            if !is_stlv(Tag(nest)) {
                self.find(Tag(nest), around.inside, around.parent, FindingKind::Unclosed);
                let inside = around.inside as usize;
                // It closed, as a value: its header stands before it.
                let len = self.document.get(..inside).and_then(<[u8]>::last_chunk);
                let len = len.map_or(0, |len| usize::from(u16::from_le_bytes(*len)));
                return Ok((inside.saturating_add(len), nest, depth));
            }
            nest = around.parent;
        }
        Err(Stop::Structure)
    }

    #[cold]
    fn find(&mut self, tag: Tag, offset: u32, parent: u16, kind: FindingKind) {
        self.findings.push(Finding { offset, tag, parent, kind });
    }
}
