//! What a list of registers is asked for, and where one of its pages ends. Pure.
//!
//! A page is cut by the value that it is sorted by and the number of the register, which stays: registers that change meanwhile
//! may come on another page than they would have, and no other is missed or told twice for it.

use core::ops::{Range, RangeInclusive};

use ofd_codec::{LocalSeconds, Tag, tags};

use super::light::{COLOURS, Colour, FACETS, Facet, What};
use crate::registers::RegisterStatus;

/// Bytes of a key that a list is sorted by.
pub(crate) const KEY_LEN: usize = 28;
/// Such a key: sorts as its bytes.
pub(crate) type Key = [u8; KEY_LEN];
/// And bytes of one by a text.
pub(crate) const TEXT_KEY_LEN: usize = 64;

/// What a list is sorted by, upwards; what comes last then comes first the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegisterSort {
    /// РНМ (1037).
    #[default]
    Rnm,
    /// Number of the drive it works with (ФН, 1041).
    Drive,
    /// A text of its registration. Those without one come last.
    Text(RegisterText),
    /// INN, then the day on which the drive ends: the schedule of replacements of each organisation.
    OrganisationDriveEnds,
    /// Outlet (its first 24 bytes), then the day on which the drive ends.
    OutletDriveEnds,
    /// The day on which the drive ends, by the forecast: the schedule of replacements. Those without an end come last.
    DriveEnds,
    /// Percent of the memory of the drive.
    Filled,
    /// Colour, green first.
    Colour,
    /// Colour of a facet, green first.
    Facet(Facet),
    /// Code of its worst reason ([`What::code`]), the first of equally bad ones: those with one trouble stand together. Those
    /// without a reason come last.
    Reason,
    /// With findings ([`RegisterQuery::has_findings`]); those come last.
    Findings,
    /// When the last document came, longest ago first.
    LastDocument,
    /// When the first document came.
    FirstSeen,
    /// End of service. Those without come last.
    ServiceEnds,
    /// Documents that wait in the drive.
    Backlog,
    /// Version of the formats. Those of which nobody knows it come first.
    Version,
    /// Mask of the tax systems (1062), as a number.
    TaxSystems,
    /// Bits of [`crate::registers::MODES`], as a number.
    Modes,
    /// Registered for marked goods; those come last.
    Marking,
    /// Working, left, closed.
    Status,
    /// When the open shift was opened, by the clock of the register. Behind them those whose opening report has not come, and
    /// those without an open shift come last.
    OpenSince,
    /// Kopecks that were taken today ([`crate::registers::Today`]).
    RevenueToday,
    /// Receipts of today.
    ReceiptsToday,
}

/// A text of a registration: small letters, ё as е, without quotation marks and spaces in front; its first 64 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterText {
    /// Name of the user (1048).
    UserName,
    /// Address of settlements (1009).
    Address,
    /// Place of settlements (1187).
    Place,
    /// Number that its maker gave the register (ЗН, 1013).
    KktNumber,
}

impl RegisterText {
    /// All of them, in this order.
    pub const ALL: [Self; 4] = [Self::UserName, Self::Address, Self::Place, Self::KktNumber];

    /// Where it stands.
    #[must_use]
    pub const fn tag(self) -> Tag {
        match self {
            Self::UserName => tags::USER_NAME,
            Self::Address => tags::RETAIL_PLACE_ADDRESS,
            Self::Place => tags::RETAIL_PLACE,
            Self::KktNumber => tags::KKT_NUMBER,
        }
    }
}

/// Which registers: every condition has to hold; none: all that the capability shows.
///
/// Model and kind of a register, folders, departments and tariffs stand in no document: who knows them picks registers by what
/// else tells them apart, or asks for each by РНМ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterQuery {
    /// Production, unless the test drives are asked for.
    pub test: bool,
    /// Part of РНМ, of the number of the drive or of the outlet's id; letters of any case.
    pub text: Option<String>,
    /// Part of the user's name, the address, the place, or the number of the register (ЗН), which are read from the document of its
    /// registration: at most [`DOCUMENTS_READ_MAX`] a page, so that a page may hold fewer and be followed by others.
    pub words: Option<String>,
    /// Of this organisation (INN of its documents).
    pub inn: Option<String>,
    /// In this outlet.
    pub outlet: Option<String>,
    /// Version of the formats: `1.05`, `1.1`, `1.2`.
    pub version: Option<String>,
    /// With one of these tax systems (mask of 1062); 0: any.
    pub tax_systems: u8,
    /// With all of these signs (bits of [`crate::registers::MODES`]).
    pub modes: u16,
    /// With none of these.
    pub without_modes: u16,
    /// What it does.
    pub status: Option<RegisterStatus>,
    /// Of one of these colours; empty: any.
    pub colours: Vec<Colour>,
    /// With this colour of a facet.
    pub facet: Option<(Facet, Colour)>,
    /// With this reason.
    pub reason: Option<What>,
    /// Its last document came then, microseconds UTC.
    pub last_document: Option<Range<i64>>,
    /// Its first one did.
    pub first_seen: Option<Range<i64>>,
    /// Its drive ends on these local days, by the forecast.
    pub drive_ends: Option<Range<u32>>,
    /// Its memory is so full, percent.
    pub filled: Option<RangeInclusive<u32>>,
    /// Its service ends then, seconds UTC.
    pub service_ends: Option<Range<u32>>,
    /// So many documents wait in its drive.
    pub backlog: Option<RangeInclusive<u32>>,
    /// Its shift is open, or is not.
    pub shift_open: Option<bool>,
    /// Its open shift was opened then, local seconds by its clock.
    pub open_since: Option<Range<LocalSeconds>>,
    /// Kopecks that it has taken today; less than 0 where returns are more than sales, and 0 where they are equal or nothing was sold
    /// (`receipts_today` tells these apart).
    pub revenue_today: Option<RangeInclusive<i64>>,
    /// Receipts of today.
    pub receipts_today: Option<RangeInclusive<u32>>,
    /// Errors were found in its documents, or the tax service has complained of some, and that is a reason still; or not.
    pub has_findings: Option<bool>,
    /// By what it is sorted.
    pub sort: RegisterSort,
    /// The other way round.
    pub descending: bool,
}

/// Documents that are read for the words of a page at most.
pub const DOCUMENTS_READ_MAX: usize = 1_000;
/// Registers on a page at most.
pub const LIST_LIMIT_MAX: usize = 1_000;

impl RegisterQuery {
    /// Tells one query from another.
    fn fingerprint(&self) -> u64 {
        let hash = blake3::hash(format!("{self:?}").as_bytes());
        hash.as_bytes().first_chunk().map_or(0, |it| u64::from_le_bytes(*it))
    }

    pub(crate) fn cursor(&self, key: &[u8], number: u32) -> RegisterCursor {
        RegisterCursor { query: self.fingerprint(), key: key.into(), number }
    }

    /// Whether a cursor is one of this query.
    pub(crate) fn is_mine(&self, cursor: &RegisterCursor) -> bool {
        cursor.query == self.fingerprint()
    }
}

/// Where a page ends, as text for whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterCursor {
    query: u64,
    /// At most [`TEXT_KEY_LEN`] bytes.
    pub(crate) key: Box<[u8]>,
    pub(crate) number: u32,
}

impl core::fmt::Display for RegisterCursor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}{:08x}", self.query, self.number)?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::str::FromStr for RegisterCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a cursor of a list of registers";
        const HEAD: usize = 16 + 8;
        let hex = |range: Range<usize>| text.get(range).ok_or(WRONG);
        let key_len = text.len().checked_sub(HEAD).filter(|it| it % 2 == 0).ok_or(WRONG)? / 2;
        if key_len > TEXT_KEY_LEN || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let query = u64::from_str_radix(hex(0..16)?, 16).map_err(|_| WRONG)?;
        let number = u32::from_str_radix(hex(16..HEAD)?, 16).map_err(|_| WRONG)?;
        let byte = |at: usize| u8::from_str_radix(hex(at..at.saturating_add(2))?, 16).map_err(|_| WRONG);
        let key = (HEAD..text.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
        Ok(Self { query, key, number })
    }
}

/// How many registers there are of each colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColourCounts {
    /// By the colour of the register, best first.
    pub registers: [usize; COLOURS],
    /// By facet and its colour.
    pub facets: [[usize; COLOURS]; FACETS],
}

impl ColourCounts {
    pub(crate) fn add(&mut self, facets: super::light::Facets) {
        let count = |slot: Option<&mut usize>| slot.into_iter().for_each(|it| *it = it.saturating_add(1));
        count(self.registers.get_mut(facets.colour() as usize));
        for facet in Facet::ALL {
            let row = self.facets.get_mut(facet as usize);
            count(row.and_then(|it| it.get_mut(facets.of(facet) as usize)));
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.registers.iter().sum()
    }
}
