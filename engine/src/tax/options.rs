//! What the leg to the tax service is told: bounds of batches, waits, and when to raise the alarm.

/// Options of the leg. Each has a default; [`TaxOptions::fault`] names the first that is out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxOptions {
    /// Documents of a batch, 1..=10000. Default 500.
    pub batch_documents: usize,
    /// Bytes of a batch, 65536..=268435456; one document may be longer and then goes alone. Default 4 MiB.
    pub batch_bytes: usize,
    /// Documents of one drive in a batch, 1..=10000. Default 50.
    pub batch_drive_documents: usize,
    /// Batches that may be on their way at once, 1..=64; of one drive there is never more than one. Default 4.
    pub batches_in_flight: usize,
    /// Documents that wait to be sent and are kept in memory, 1000..=16777216; what comes behind them is read from the log when
    /// there is room. Three times as many may await their verdict besides; with verdicts that do not come at all, sending goes on
    /// until that room is full, at the least. Some 200 bytes each. Default 262144.
    pub window_documents: usize,
    /// Of them those of one drive that wait, 10..=100000; also what a paused drive keeps there. Default 250.
    pub lane_documents: usize,
    /// The first wait after the service could not be reached, µs, 1000..=60000000; it doubles each time. Default 1 s.
    pub back_off_min_us: u64,
    /// The longest of these waits, µs, up to 3600000000. Default 2 min.
    pub back_off_max_us: u64,
    /// How often verdicts are asked for while some are due, µs, 1000..=3600000000. Default 1 s.
    pub poll_us: u64,
    /// A document whose verdict has not come for so long is sent again, µs, 1000..=604800000000. Default 1 h.
    pub verdict_timeout_us: u64,
    /// How long a call of the service may take, µs, 1000..=600000000. Default 60 s.
    pub call_timeout_us: u64,
    /// The alarm is raised when a document has waited for so long to be sent, µs, 1000..=2592000000000. Default 1 h.
    pub unsent_alarm_us: u64,
    /// A checkpoint of the outbox is written when so many records have come, 100..=1000000000. Default 200000.
    pub checkpoint_after: u64,
}

impl Default for TaxOptions {
    fn default() -> Self {
        Self {
            batch_documents: 500,
            batch_bytes: 4 << 20,
            batch_drive_documents: 50,
            batches_in_flight: 4,
            window_documents: 262_144,
            lane_documents: 250,
            back_off_min_us: 1_000_000,
            back_off_max_us: 120_000_000,
            poll_us: 1_000_000,
            verdict_timeout_us: 3_600_000_000,
            call_timeout_us: 60_000_000,
            unsent_alarm_us: 3_600_000_000,
            checkpoint_after: 200_000,
        }
    }
}

impl TaxOptions {
    /// The first option that is out of its bounds, with them.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let usizes = [
            ("tax.batch_documents", self.batch_documents, 1, 10_000, "1..=10000"),
            ("tax.batch_bytes", self.batch_bytes, 65_536, 1 << 28, "65536..=268435456"),
            ("tax.batch_drive_documents", self.batch_drive_documents, 1, 10_000, "1..=10000"),
            ("tax.batches_in_flight", self.batches_in_flight, 1, 64, "1..=64"),
            ("tax.window_documents", self.window_documents, 1_000, 1 << 24, "1000..=16777216"),
            ("tax.lane_documents", self.lane_documents, 10, 100_000, "10..=100000"),
        ];
        let waits = [
            ("tax.back_off_min_us", self.back_off_min_us, 1_000, 60_000_000, "1000..=60000000"),
            (
                "tax.back_off_max_us",
                self.back_off_max_us,
                self.back_off_min_us,
                3_600_000_000,
                "tax.back_off_min_us..=3600000000",
            ),
            ("tax.poll_us", self.poll_us, 1_000, 3_600_000_000, "1000..=3600000000"),
            (
                "tax.verdict_timeout_us",
                self.verdict_timeout_us,
                1_000,
                604_800_000_000,
                "1000..=604800000000",
            ),
            ("tax.call_timeout_us", self.call_timeout_us, 1_000, 600_000_000, "1000..=600000000"),
            ("tax.unsent_alarm_us", self.unsent_alarm_us, 1_000, 2_592_000_000_000, "1000..=2592000000000"),
            ("tax.checkpoint_after", self.checkpoint_after, 100, 1_000_000_000, "100..=1000000000"),
        ];
        let of_sizes = usizes.into_iter().find(|(_, is, least, most, _)| !(*least..=*most).contains(is));
        let of_waits = waits.into_iter().find(|(_, is, least, most, _)| !(*least..=*most).contains(is));
        let first = of_sizes.map(|(name, .., bounds)| (name, bounds));
        first.or(of_waits.map(|(name, .., bounds)| (name, bounds)))
    }
}
