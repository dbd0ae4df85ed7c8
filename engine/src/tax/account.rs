//! What is counted of the leg: by drive, by day, in all.

use ofd_storage::status::StatusKind;

/// Days that counts are kept of.
pub(crate) const DAYS_KEPT: usize = 400;

/// Documents by the last final word about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled<N> {
    /// Accepted, also as a duplicate.
    pub accepted: N,
    /// Accepted with a warning: «мягкий карантин».
    pub warned: N,
    /// «Жёсткий карантин».
    pub quarantined: N,
    /// Refused.
    pub refused: N,
    /// Cannot be sent: the record is damaged.
    pub given_up: N,
}

impl<N> Settled<N> {
    pub(crate) fn of(&mut self, kind: StatusKind) -> Option<&mut N> {
        match kind {
            StatusKind::Accepted | StatusKind::Duplicate => Some(&mut self.accepted),
            StatusKind::Warned => Some(&mut self.warned),
            StatusKind::Quarantined => Some(&mut self.quarantined),
            StatusKind::Refused => Some(&mut self.refused),
            StatusKind::GivenUp => Some(&mut self.given_up),
            StatusKind::Sent | StatusKind::Unknown(_) => None,
        }
    }
}

impl<N: Copy + Into<u64> + TryFrom<u64> + Default> Settled<N> {
    /// A final word in the place of another, or of none.
    pub(crate) fn replace(&mut self, prior: Option<StatusKind>, kind: StatusKind) {
        let with = |count: &mut N, change: fn(u64, u64) -> u64| {
            *count = N::try_from(change((*count).into(), 1)).unwrap_or_default();
        };
        if let Some(count) = prior.and_then(|prior| self.of(prior)) {
            with(count, u64::saturating_sub);
        }
        if let Some(count) = self.of(kind) {
            with(count, u64::saturating_add);
        }
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        let all = [self.accepted, self.warned, self.quarantined, self.refused, self.given_up];
        all.into_iter().fold(0, |sum, count| sum.saturating_add(count.into()))
    }
}

/// The account of one drive: documents that the tax service has to get. 24 bytes; with its key 32 a drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Stored.
    pub stored: u32,
    /// By the last final word.
    pub settled: Settled<u32>,
}

impl Account {
    /// Without a final word: they wait to be sent or for their verdict.
    pub fn waiting(&self) -> u64 {
        u64::from(self.stored).saturating_sub(self.settled.sum())
    }
}

/// The account of all drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Documents stored that the service has to get.
    pub stored: u64,
    /// Receipts of the service, repeats included.
    pub sent: u64,
    /// Of them repeats.
    pub resent: u64,
    /// By the last final word.
    pub settled: Settled<u64>,
}

impl Totals {
    /// Without a final word.
    pub fn waiting(&self) -> u64 {
        self.stored.saturating_sub(self.settled.sum())
    }
}

/// What happened on one day of the operator: documents by when they were received, the rest by when the service answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Documents received that the service has to get.
    pub stored: u64,
    /// Messages handed over, repeats included.
    pub sent: u64,
    /// Receipts: accepted.
    pub accepted: u64,
    /// Accepted with a warning.
    pub warned: u64,
    /// Known already.
    pub duplicate: u64,
    /// «Жёсткий карантин».
    pub quarantined: u64,
    /// Refused.
    pub refused: u64,
    /// Could not be sent.
    pub given_up: u64,
    /// Of a newer version.
    pub other: u64,
}

impl DayCounts {
    pub(crate) fn of(&mut self, kind: StatusKind) -> &mut u64 {
        match kind {
            StatusKind::Sent => &mut self.sent,
            StatusKind::Accepted => &mut self.accepted,
            StatusKind::Warned => &mut self.warned,
            StatusKind::Duplicate => &mut self.duplicate,
            StatusKind::Quarantined => &mut self.quarantined,
            StatusKind::Refused => &mut self.refused,
            StatusKind::GivenUp => &mut self.given_up,
            StatusKind::Unknown(_) => &mut self.other,
        }
    }

    /// In the order of the fields.
    pub(crate) fn all(&mut self) -> [&mut u64; 9] {
        let Self { stored, sent, accepted, warned, duplicate, quarantined, refused, given_up, other } = self;
        [stored, sent, accepted, warned, duplicate, quarantined, refused, given_up, other]
    }
}

/// What the service has against a document: a warning, a quarantine, a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Number of its record in the log.
    pub position: u64,
    /// Which of them.
    pub kind: StatusKind,
    /// When, microseconds UTC.
    pub at_us: i64,
    /// The service's code.
    pub code: Option<u32>,
    /// The requisite it names.
    pub tag: Option<u16>,
    /// The service's id, where it differs from that of the last sending.
    pub id: String,
}

/// Days since 1970-01-01 on a clock so many minutes east of Greenwich.
pub(crate) fn day_of(at_us: i64, zone_min: i16) -> i32 {
    let local = at_us.saturating_add(i64::from(zone_min).saturating_mul(60_000_000));
    i32::try_from(local.div_euclid(86_400_000_000)).unwrap_or_default()
}
