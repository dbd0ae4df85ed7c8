//! The life of one register: a pure state machine that yields documents in the order the law and the drive allow.
//!
//! Registration (form 1, number 1), then shifts: opening, settlements, closing. Numbers rise by one, the shift number is
//! constant within a shift, the number in the shift runs from 1, times never go back, and a shift stays within one day.
//! Nothing here reads a clock or does I/O: equal seed, index and options give equal bytes.

use ofd_codec::{DriveNumber, FfdVersion, Form, LocalSeconds};

use crate::counters::Counters;
use crate::goods::Group;
use crate::prng::Prng;
use crate::profile::Profile;
use crate::shapes::Sale;
use crate::wire::{self, Stamp};

/// Where a register's life begins for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// A new drive: registration as document 1, shifts from 1.
    #[default]
    Registration,
    /// A drive that has worked for another operator: the first document is the opening of a shift, its number and the
    /// counters of its life are those of a drive in use.
    MidLife,
}

/// What a simulated register is and how long it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Where its life begins.
    pub start: Start,
    /// Settlements (forms 3, 4, 31, 41) until the last shift is closed and the life ends; `None` = without end.
    pub receipts: Option<u32>,
    /// Settlements of a shift; `None` = drawn anew for every shift, 20 to 400.
    pub receipts_per_shift: Option<u32>,
    /// Local day on which the first shifts open (any second of it). Registers begin on this day or the two after it.
    pub from: LocalSeconds,
    /// Drive numbers 9999…, whose documents an operator keeps apart from revenue.
    pub test_drives: bool,
    /// One ФФД version for all registers; `None` = 1.05 and 1.2, a few of 1.1, after the group. 1.0 is written as 1.05 is.
    pub ffd: Option<FfdVersion>,
    /// One group for all registers; `None` = the mix of 60, 25 and 15 %.
    pub group: Option<Group>,
}

impl Default for ProfileOptions {
    /// Endless lives of production drives from registration on, beginning on 2026-03-02.
    fn default() -> Self {
        Self {
            start: Start::Registration,
            receipts: None,
            receipts_per_shift: None,
            from: LocalSeconds(1_772_409_600),
            test_drives: false,
            ffd: None,
            group: None,
        }
    }
}

/// What was written by [`Register::next_message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The drive of the register.
    pub drive: DriveNumber,
    /// Number of the document (tag 1040).
    pub number: u32,
    /// Its form.
    pub form: Form,
    /// Its local time (tag 1012).
    pub at: LocalSeconds,
    /// Total of a settlement in kopecks (tag 1020), 0 for other forms.
    pub total: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unregistered,
    Closed,
    /// Settlements left until the shift closes.
    Open(u32),
    Ended,
}

/// One simulated register.
pub struct Register {
    profile: Profile,
    options: ProfileOptions,
    prng: Prng,
    phase: Phase,
    /// Number of the last document, 0 before the first.
    number: u32,
    shift: u32,
    in_shift: u32,
    shift_size: u32,
    /// Number of the document that opened the current key session: the registration or the opening of the shift.
    opened_by: u32,
    receipts_left: Option<u32>,
    /// Local midnight of the current working day.
    day: u32,
    first_day: u32,
    last_at: u32,
    shift_counters: Counters,
    life_counters: Counters,
    sale: Sale,
    plain: Vec<u8>,
}

const DAY: u32 = 86_400;

/// Longest shift drawn; one of this size spreads over the hours of a day with a receipt every two minutes.
const SHIFT_RECEIPTS: (u64, u64) = (20, 400);

/// When people buy: (per mille of a day's receipts, seconds since midnight), from 08:00 to 23:30.
const HOURS: [(u32, u32); 9] = [
    (0, 28_800),
    (30, 36_000),
    (150, 43_200),
    (250, 50_400),
    (450, 57_600),
    (640, 64_800),
    (780, 72_000),
    (900, 79_200),
    (1000, 84_600),
];

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register")
            .field("drive", &self.profile.drive)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Register {
    /// Register `index` of the population `seed`.
    pub fn new(seed: u64, index: u32, options: &ProfileOptions) -> Self {
        let profile = Profile::new(seed, index, options);
        let mut prng = Prng::new(seed, 0x11FE_0000_0000_0000 ^ u64::from(index));
        let day = (options.from.0 / DAY + prng.below(3) as u32) * DAY;
        let (phase, number, shift, life_counters) = match options.start {
            Start::Registration => (Phase::Unregistered, 0, 0, Counters::default()),
            Start::MidLife => {
                // Quantiles of document and shift numbers of 1319 real receipts, roughly.
                let number =
                    prng.quantile(&[(0, 900), (250, 28_800), (500, 78_400), (750, 134_500), (1000, 240_000)]);
                let shift =
                    prng.quantile(&[(0, 9), (250, 22), (500, 54), (750, 185), (1000, 700)]).min(number / 4);
                let receipts = number.saturating_sub(shift * 2 + 1);
                (Phase::Closed, number, shift, Counters::of_past(receipts, u64::from(receipts) * 74_779))
            }
        };
        Self {
            profile,
            options: *options,
            prng,
            phase,
            number,
            shift,
            in_shift: 0,
            shift_size: 0,
            opened_by: number,
            receipts_left: options.receipts,
            day,
            first_day: day,
            last_at: day,
            shift_counters: Counters::default(),
            life_counters,
            sale: Sale::default(),
            plain: Vec::with_capacity(1024),
        }
    }

    /// The drive whose documents these are.
    pub fn drive(&self) -> DriveNumber {
        self.profile.drive
    }

    /// ФФД version of all its documents.
    pub fn ffd(&self) -> FfdVersion {
        self.profile.ffd
    }

    /// The group its receipts are shaped after.
    pub fn group(&self) -> Group {
        self.profile.group
    }

    /// Taxpayer number of the user, digits only.
    pub fn user_inn(&self) -> &str {
        self.profile.inn.as_str()
    }

    /// Plain TLV of the document written last.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Documents of a whole life under these options; `None` when it has no end or its shifts are drawn by chance.
    pub fn documents_of_life(options: &ProfileOptions) -> Option<u64> {
        let receipts = u64::from(options.receipts?);
        let size = u64::from(options.receipts_per_shift?).max(1);
        let registration = u64::from(options.start == Start::Registration);
        Some(registration + receipts + 2 * receipts.div_ceil(size).max(1))
    }

    /// Appends the session message of the next document to `out`; `None` when the life has ended.
    pub fn next_message(&mut self, out: &mut Vec<u8>) -> Option<Emitted> {
        self.plain.clear();
        let (form, stamp) = match self.phase {
            Phase::Ended => return None,
            Phase::Unregistered => self.register(),
            Phase::Closed => self.open(),
            Phase::Open(0) => self.close(),
            Phase::Open(left) => self.settle(left),
        };
        let noise = self.prng.next_u64();
        wire::message(out, form, &self.profile, &stamp, self.opened_by, &self.plain, noise)
            .expect("a generated document is far below 32 KB and its number below 24 bits");
        let total = if form.is_receipt_like() { self.sale.total } else { 0 };
        Some(Emitted { drive: self.profile.drive, number: stamp.number, form, at: stamp.at, total })
    }

    /// The drive's part of the next document at local time `at`, rounded down to the minute; time never goes back.
    fn stamp(&mut self, at: u32) -> Stamp {
        self.number += 1;
        self.last_at = self.last_at.max(at / 60 * 60);
        let days = (self.last_at.saturating_sub(self.first_day) / DAY).min(u32::from(u16::MAX)) as u16;
        Stamp {
            number: self.number,
            at: LocalSeconds(self.last_at),
            sign: self.prng.next_u64() as u32,
            shift: self.shift,
            in_shift: self.in_shift,
            key_days: self.profile.key_days.saturating_sub(days),
        }
    }

    fn register(&mut self) -> (Form, Stamp) {
        let at = self.day + 6 * 3600 + self.prng.below(3600) as u32;
        let stamp = self.stamp(at);
        self.opened_by = stamp.number;
        self.phase = Phase::Closed;
        wire::registration(&mut self.plain, &self.profile, &stamp).expect(WRITTEN);
        (Form::REGISTRATION, stamp)
    }

    fn open(&mut self) -> (Form, Stamp) {
        let drawn = self.prng.between(SHIFT_RECEIPTS.0, SHIFT_RECEIPTS.1) as u32;
        let size = self.options.receipts_per_shift.unwrap_or(drawn);
        self.shift_size = self.receipts_left.map_or(size, |left| size.min(left));
        self.receipts_left = self.receipts_left.map(|left| left - self.shift_size);
        self.shift += 1;
        self.in_shift = 0;
        self.shift_counters = Counters::default();
        let at = self.day + 7 * 3600 + self.prng.below(3600) as u32;
        let stamp = self.stamp(at);
        self.opened_by = stamp.number;
        self.phase = Phase::Open(self.shift_size);
        wire::open_shift(&mut self.plain, &self.profile, &stamp).expect(WRITTEN);
        (Form::OPEN_SHIFT, stamp)
    }

    fn settle(&mut self, left: u32) -> (Form, Stamp) {
        self.in_shift += 1;
        // The receipts of a shift spread evenly over the quantiles of the day.
        let done = u64::from(self.shift_size - left);
        let at = self.day + hour((done * 1000 + self.prng.below(1000)) / u64::from(self.shift_size.max(1)));
        let stamp = self.stamp(at);
        self.sale.fill(&self.profile, stamp.at.0, &mut self.prng);
        self.shift_counters.add(&self.sale);
        self.life_counters.add(&self.sale);
        self.phase = Phase::Open(left - 1);
        let form = match (self.sale.is_correction(), self.profile.bso) {
            (false, false) => Form::RECEIPT,
            (false, true) => Form::BSO,
            (true, false) => Form::RECEIPT_CORRECTION,
            (true, true) => Form::BSO_CORRECTION,
        };
        wire::settlement(&mut self.plain, form, &self.profile, &stamp, &self.sale).expect(WRITTEN);
        (form, stamp)
    }

    fn close(&mut self) -> (Form, Stamp) {
        let at = self.day + 84_600 + self.prng.below(1200) as u32;
        let stamp = self.stamp(at);
        self.phase = if self.receipts_left == Some(0) { Phase::Ended } else { Phase::Closed };
        self.day += DAY;
        wire::close_shift(&mut self.plain, &self.profile, &stamp, &self.shift_counters, &self.life_counters)
            .expect(WRITTEN);
        (Form::CLOSE_SHIFT, stamp)
    }
}

const WRITTEN: &str = "generated values fit their tags";

/// Seconds since midnight at which `share` per mille of a day's receipts are done.
fn hour(share: u64) -> u32 {
    let share = share.min(1000) as u32;
    let mut before = (0, 28_800);
    for (at, seconds) in HOURS {
        if share <= at {
            let (at_0, seconds_0): (u32, u32) = before;
            return seconds_0 + (seconds - seconds_0) * (share - at_0) / (at - at_0).max(1);
        }
        before = (at, seconds);
    }
    before.1
}
