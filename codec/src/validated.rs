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

use crate::dictionary::places::{self, Place, Step, Table, TableSet};
use crate::dictionary::{self, Kind};
use crate::document::{DEPTH_MAX, TAGS_MAX, check_structure};
use crate::tlv::TLV_HEADER_LEN;
use crate::{DecodeError, DecodeErrorKind, DocumentView, FfdVersion, Tag, Value, is_stlv, tags};

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
        let (view, version) = (self.view, self.version);
        let tables = TableSet::new(version, view.form().0);
        visitor.begin(version);
        let form = u16::from(view.form().0);
        let mut pass = Pass { tables, version, form, told: false, findings: &mut self.findings };
        let end = TLV_HEADER_LEN.saturating_add(view.body().len()) as u32;
        let level = Level { table: tables.document(), parent: 0, depth: 0 };
        pass.level(visitor, view.body(), end, &level)
    }

    /// What is wrong with a document that did not close, and where: worked out apart, so that the pass carries no places.
    #[cold]
    fn broken(view: DocumentView<'a>) -> DecodeError {
        check_structure(view.body())
            .err()
            .map_or(DecodeError::new(DecodeErrorKind::TlvLength, 0), |error| error.shifted(TLV_HEADER_LEN))
    }
}

enum Stop {
    Version(FfdVersion),
    Structure,
}

struct Pass<'f> {
    tables: TableSet,
    version: FfdVersion,
    form: u16,
    /// Whether a readable 1209 was met; the first one counts.
    told: bool,
    findings: &'f mut Findings,
}

/// A nest that is being walked: everything that is asked for seldom, so that the loop keeps its registers.
struct Level {
    table: Table,
    parent: u16,
    depth: usize,
}

impl Pass<'_> {
    /// One level; `end` is where it ends in the document. Recursion is bounded by [`DEPTH_MAX`].
    ///
    /// What one TLV needs of the one before it is the length alone: neither the table nor the finding of repeats stands in
    /// that chain, and all that is out of the ordinary hides behind one branch.
    fn level<'a, V: Visitor<'a>>(
        &mut self,
        visitor: &mut V,
        mut rest: &'a [u8],
        end: u32,
        level: &Level,
    ) -> Result<(), Stop> {
        let mut once = 0_u64;
        let codes = level.table.codes();
        loop {
            let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<TLV_HEADER_LEN>() else {
                return if rest.is_empty() { Ok(()) } else { Err(Stop::Structure) };
            };
            let tag = u16::from_le_bytes([t0, t1]);
            let len = u16::from_le_bytes([l0, l1]);
            let Some((bytes, after)) = tail.split_at_checked(usize::from(len)) else {
                return Err(Stop::Structure);
            };
            rest = after;
            let place = places::place(codes, tag);
            let again = once & place.once;
            once |= place.once;
            // Lengths of documents have 17 bits.
            let at = end.wrapping_sub(tail.len() as u32);
            if again | u64::from(!place.allows(len)) | u64::from(place.step as u8) != 0 {
                self.odd(visitor, (tag, at, bytes), place, again != 0, level)?;
            } else {
                let value = Value::new(Tag(tag), bytes, at);
                visitor.requisite(Requisite { value, kind: place.kind, parent: level.parent });
            }
        }
    }

    /// A TLV about which there is something to do: a nest, the version, or a finding.
    #[inline(never)]
    fn odd<'a, V: Visitor<'a>>(
        &mut self,
        visitor: &mut V,
        (tag, at, bytes): (u16, u32, &'a [u8]),
        place: &'static Place,
        again: bool,
        level: &Level,
    ) -> Result<(), Stop> {
        let value = Value::new(Tag(tag), bytes, at);
        let (tag, parent) = (value.tag(), level.parent);
        let (mut kind, mut nest) = (place.kind, (place.step == Step::Nest).then_some(place.column));
        let len = u16::try_from(value.bytes().len()).unwrap_or(u16::MAX);
        if place.step == Step::Stray {
            (kind, nest) = self.stray(value, level.table.charted(), parent);
        } else if again {
            self.find(value, parent, FindingKind::Repeated);
        }
        if !place.allows(len) {
            self.find(value, parent, FindingKind::Length);
        }
        // Also where no table of the expected version knows it: it is the document's own word.
        if tag == tags::FFD_VERSION
            && parent == 0
            && !self.told
            && let Ok(code) = value.u8()
        {
            self.told = true;
            if let Some(other) = FfdVersion::from_code(code).filter(|&told| told != self.version) {
                return Err(Stop::Version(other));
            }
        }
        visitor.requisite(Requisite { value, kind, parent });
        let Some(column) = nest else { return Ok(()) };
        let depth = level.depth.saturating_add(1);
        let inside = if depth < DEPTH_MAX {
            let end = value.offset().saturating_add(value.bytes().len()) as u32;
            let inside = Level { table: self.tables.nest(column), parent: tag.0, depth };
            self.level(visitor, value.bytes(), end, &inside)
        } else {
            Err(Stop::Structure)
        };
        match inside {
            Err(Stop::Structure) if !is_stlv(tag) => self.find(value, parent, FindingKind::Unclosed),
            other => other?,
        }
        visitor.leave(tag);
        Ok(())
    }

    /// A requisite that the table does not know here: its likeliest meaning, and the column of its children if they must
    /// close.
    #[cold]
    fn stray(&mut self, value: Value<'_>, charted: bool, parent: u16) -> (Kind, Option<u8>) {
        let tag = value.tag();
        let place_parent = if parent == 0 { self.form } else { parent };
        let entry = dictionary::lookup(tag, place_parent, self.version);
        let Some(entry) = entry else {
            if charted {
                self.find(value, parent, FindingKind::Unknown);
            }
            return (Kind::Bytes, None);
        };
        if charted && self.version != FfdVersion::V1_0 {
            self.find(value, parent, FindingKind::Undeclared);
        }
        let len = u16::try_from(value.bytes().len()).unwrap_or(u16::MAX);
        if !Place::of(entry).allows(len) {
            self.find(value, parent, FindingKind::Length);
        }
        (entry.kind, is_stlv(tag).then(|| TableSet::column(tag.0)))
    }

    #[cold]
    fn find(&mut self, value: Value<'_>, parent: u16, kind: FindingKind) {
        let offset = u32::try_from(value.offset()).unwrap_or(u32::MAX);
        self.findings.push(Finding { offset, tag: value.tag(), parent, kind });
    }
}
