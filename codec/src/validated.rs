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

use crate::dictionary::places::{Head, Limits, Table, TableSet};
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
#[derive(Copy, Clone, Debug)]
pub struct Requisite<'a> {
    /// Tag, bytes and place.
    pub value: Value<'a>,
    /// How the table of its place says it is read; of a requisite that no table puts there the likeliest meaning, bytes
    /// for a number that no source names.
    pub kind: Kind,
    /// The tag around it, 0 for the document itself.
    pub parent: u16,
    /// From the value to the end of its level.
    tail: &'a [u8],
}

/// The bytes of a value of so many bytes, in the eight that begin with it.
const MASKS: [u64; VLN_LEN_MAX + 1] = [
    0,
    0xFF,
    0xFFFF,
    0xFF_FFFF,
    0xFFFF_FFFF,
    0xFF_FFFF_FFFF,
    0xFFFF_FFFF_FFFF,
    0xFF_FFFF_FFFF_FFFF,
    u64::MAX,
];

impl Requisite<'_> {
    /// The number, of a kind that is one ([`Kind::is_number`]); `None` for other kinds and for a value that is too long for
    /// any.
    ///
    /// The same as [`Value::vln`], without a branch on the length: eight bytes are read, and those of the next TLV
    /// are masked away.
    #[must_use]
    #[inline]
    pub fn number(&self) -> Option<u64> {
        if self.kind.is_number() { self.little_endian() } else { None }
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
        let mask = MASKS.get(self.value.bytes().len())?;
        match self.tail.first_chunk() {
            Some(word) => Some(u64::from_le_bytes(*word) & mask),
            // The last few bytes of a level.
            None => self.value.vln().ok(),
        }
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
        let mut validated = Self { view, version: expected, findings: Findings::NONE };
        let mut stop = validated.pass(visitor);
        if let Err(Stop::Version(told)) = stop {
            validated = Self { view, version: told, findings: Findings::NONE };
            stop = validated.pass(visitor);
        }
        match stop {
            Ok(()) => Ok(validated),
            Err(_) => Err(Self::broken(view)),
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

    fn pass<V: Visitor<'a>>(&mut self, visitor: &mut V) -> Result<(), Stop> {
        let tables = TableSet::new(self.version, self.view.form().0);
        visitor.begin(self.version);
        let form = u16::from(self.view.form().0);
        let body = self.view.body();
        let end = TLV_HEADER_LEN.saturating_add(body.len()) as u32;
        let mut pass =
            Pass { tables, version: self.version, form, told: false, findings: &mut self.findings };
        pass.level(visitor, body, tables.document(), Around { end, parent: 0, depth: 0 })
    }

    /// What is wrong with a document that did not close, and where: worked out apart, so that the pass carries no places.
    #[cold]
    fn broken(view: DocumentView<'a>) -> DecodeError {
        check_structure(view.body())
            .err()
            .map_or(DecodeError::new(DecodeErrorKind::TlvLength, 0), |error| error.shifted(TLV_HEADER_LEN))
    }
}

/// Head, bytes, what is behind them, and what is behind the head.
type Cut<'a> = (Head, &'a [u8], &'a [u8], &'a [u8]);

/// The first TLV; `None` where there is none or it does not close.
#[inline(always)]
fn cut(rest: &[u8]) -> Option<Cut<'_>> {
    let (head, tail) = rest.split_first_chunk::<TLV_HEADER_LEN>()?;
    // Read at once: two halves of a register, not four bytes.
    let head = Head::of_wire(*head);
    let (bytes, after) = tail.split_at_checked(usize::from(head.len()))?;
    Some((head, bytes, after, tail))
}

/// Shows the TLVs about which there is nothing to do but that, and gives what comes behind them and the bits of those that
/// stood here.
///
/// What one of them needs of the one before is the length alone: neither the table nor the finding of repeats stands in that
/// chain. It is a loop of its own, which reads what stops it once more behind it: so it has little to keep and keeps it in
/// registers. With the rare half inside, the compiler keeps three values more on the stack for it.
#[inline(always)]
fn plain<'a, V: Visitor<'a>>(
    visitor: &mut V,
    mut rest: &'a [u8],
    mut once: u64,
    table: &'static Table,
    end: u32,
    parent: u16,
) -> (&'a [u8], u64) {
    while let Some((head, bytes, after, tail)) = cut(rest) {
        let place = table.glance(head.tag());
        if !place.is_plain(head) || once & place.once != 0 {
            break;
        }
        once |= place.once;
        rest = after;
        let value = Value::new(Tag(head.tag()), bytes, end.wrapping_sub(tail.len() as u32));
        visitor.requisite(Requisite { value, kind: place.kind, parent, tail });
    }
    (rest, once)
}

enum Stop {
    Version(FfdVersion),
    Structure,
}

struct Pass<'f> {
    tables: TableSet,
    version: FfdVersion,
    form: u16,
    /// Whether 1209 was met; the first one counts.
    told: bool,
    findings: &'f mut Findings,
}

/// What stands around the TLVs of a level.
#[derive(Copy, Clone)]
struct Around {
    /// Where the level ends in the document.
    end: u32,
    /// The tag of the nest, 0 for the document.
    parent: u16,
    /// How many nests are around it.
    depth: u8,
}

impl Pass<'_> {
    /// The TLVs of a level and all below them, in the order of the wire.
    ///
    /// [`DEPTH_MAX`] bounds the recursion.
    ///
    /// # Errors
    /// `Structure` for a level that does not close, whatever is around it. It ends at the first nest that was text once (1115,
    /// 1119): that one is left as it is, and there is a finding. Any other one breaks what is around it.
    fn level<'a, V: Visitor<'a>>(
        &mut self,
        visitor: &mut V,
        mut rest: &'a [u8],
        table: &'static Table,
        around: Around,
    ) -> Result<(), Stop> {
        // The bits of the tags that stood here and may stand once.
        let mut once = 0_u64;
        let parent = around.parent;
        loop {
            (rest, once) = plain(visitor, rest, once, table, around.end, parent);
            // What is left of it: nests, the version, tags that no table knows, repeats, odd lengths.
            let Some((head, bytes, after, tail)) = cut(rest) else { break };
            let tag = Tag(head.tag());
            let place = table.glance(head.tag());
            // Lengths of documents have 17 bits.
            let at = around.end.wrapping_sub(tail.len() as u32);
            let value = Value::new(tag, bytes, at);
            rest = after;
            let first = once & place.once == 0;
            let column = if place.is_nest(head) && first {
                once |= place.once;
                visitor.requisite(Requisite { value, kind: Kind::Stlv, parent, tail });
                place.column
            } else {
                let again = table.knows(tag.0) && !first;
                if table.knows(tag.0) {
                    once |= place.once;
                }
                let (kind, nest) = self.odd(value, table, again, parent)?;
                visitor.requisite(Requisite { value, kind, parent, tail });
                let Some(column) = nest else { continue };
                column
            };
            let depth = around.depth.wrapping_add(1);
            let inside = if usize::from(depth) < DEPTH_MAX {
                let end = at.wrapping_add(u32::from(head.len()));
                self.level(visitor, bytes, self.tables.nest(column), Around { end, parent: tag.0, depth })
            } else {
                Err(Stop::Structure)
            };
            match inside {
                Err(Stop::Structure) if !is_stlv(tag) => self.find(tag, at, parent, FindingKind::Unclosed),
                stop => stop?,
            }
            visitor.leave(tag);
        }
        if rest.is_empty() { Ok(()) } else { Err(Stop::Structure) }
    }

    /// A TLV about which there is something to say, or the version: how it is read, and the column of its children if they
    /// are to be walked.
    #[cold]
    #[inline(never)]
    fn odd(
        &mut self,
        value: Value<'_>,
        table: &'static Table,
        again: bool,
        parent: u16,
    ) -> Result<(Kind, Option<u8>), Stop> {
        let tag = value.tag();
        let version = tag == tags::FFD_VERSION && parent == 0;
        // What nearly every document says, and nothing is wrong with.
        if version && table.knows(tag.0) && !again && value.u8() == Ok(self.version.code()) {
            self.told = true;
            return Ok((Kind::Byte, None));
        }
        let offset = u32::try_from(value.offset()).unwrap_or(u32::MAX);
        let (known, charted) = (table.knows(tag.0), table.charted());
        let entry = dictionary::lookup(tag, if parent == 0 { self.form } else { parent }, self.version);
        match entry {
            _ if known && again => self.find(tag, offset, parent, FindingKind::Repeated),
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

    #[cold]
    fn find(&mut self, tag: Tag, offset: u32, parent: u16, kind: FindingKind) {
        self.findings.push(Finding { offset, tag, parent, kind });
    }
}
