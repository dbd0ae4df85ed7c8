//! What one who connects may cost: deadlines and caps of the open port, all in one place.
//!
//! Unit: one engine; deadlines hold for one connection, on the clock of its I/O thread, which is monotonic and in the
//! simulation moves only with `Env::now`.
//!
//! Invariants: every limit has bounds, and a builder with one outside of them does not open (test:
//! engine/tests/door.rs::a_limit_out_of_bounds_is_refused); a running
//! engine takes new ones, for connections that are open, too (test: engine/tests/door.rs::limits_can_change_while_the_engine_runs).

use bytes::Bytes;

/// Deadlines and caps of the port. `Limits::default()` is what the open internet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may be silent before its first byte, microseconds, 10,000..=600,000,000. Default 30 s: a
    /// register may connect before its drive has built the message.
    pub first_byte_timeout_us: u64,
    /// How long the 30 bytes of a session header may take from the first of them on, microseconds, 10,000..=600,000,000.
    /// Default 10 s. The body has as long once more, and a second for every `body_rate_min` bytes.
    pub header_timeout_us: u64,
    /// Slowest body of a message, bytes a second, 1..=1,000,000. Default 500.
    pub body_rate_min: u64,
    /// How long a connection may be silent between messages, microseconds, 10,000..=3,600,000,000. Default 60 s.
    pub idle_timeout_us: u64,
    /// How long a socket may take nothing of an answer, microseconds, 10,000..=600,000,000. Default 10 s.
    pub answer_timeout_us: u64,
    /// How long a connection may live, microseconds, 10,000..=86,400,000,000. Default 10 min. What was asked before is
    /// still answered.
    pub connection_lifetime_us: u64,
    /// Connections at once, over all I/O threads, 1..=1,000,000. Default 100,000.
    pub connections_max: u64,
    /// Connections at once from one network, a /24 of IPv4 or a /64 of IPv6, 1..=1,000,000. Default 50,000: thousands
    /// of registers share the address of a mobile operator or of a chain of shops.
    pub network_connections_max: u64,
    /// New connections a second, 1..=1,000,000. Default 20,000. Those above wait in the queue of the system.
    pub accepts_per_s: u64,
    /// Documents of one drive on their way at once, in each I/O thread, 1..=256. Default 16. Further ones wait in their
    /// own queue, so that a noisy drive does not stand before others.
    pub drive_in_flight_max: u64,
    /// Documents of one drive that are not answered yet, in each I/O thread, 1..=16,384. Default 512. One more is
    /// dropped and its connection closed.
    pub drive_unanswered_max: u64,
    /// Bytes of messages inside, over all I/O threads, 1 MiB..=1 TiB. Default 512 MiB: half for whole messages (with
    /// more no socket is read), half for those whose end has not come (with more their connections are closed).
    pub in_flight_bytes_max: u64,
    /// How long an engine that ends may take over what is inside, microseconds, 10,000..=600,000,000, for its ports,
    /// workers and writer each. Default 10 s. What is left then is not answered, and comes again.
    pub drain_timeout_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte_timeout_us: 30_000_000,
            header_timeout_us: 10_000_000,
            body_rate_min: 500,
            idle_timeout_us: 60_000_000,
            answer_timeout_us: 10_000_000,
            connection_lifetime_us: 600_000_000,
            connections_max: 100_000,
            network_connections_max: 50_000,
            accepts_per_s: 20_000,
            drive_in_flight_max: 16,
            drive_unanswered_max: 512,
            in_flight_bytes_max: 512 << 20,
            drain_timeout_us: 10_000_000,
        }
    }
}

impl Limits {
    /// The first limit that is out of its bounds, with them.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let timeouts = 10_000..=600_000_000;
        let table = [
            ("first_byte_timeout_us", timeouts.contains(&self.first_byte_timeout_us), "10000..=600000000"),
            ("header_timeout_us", timeouts.contains(&self.header_timeout_us), "10000..=600000000"),
            ("body_rate_min", (1..=1_000_000).contains(&self.body_rate_min), "1..=1000000"),
            (
                "idle_timeout_us",
                (10_000..=3_600_000_000).contains(&self.idle_timeout_us),
                "10000..=3600000000",
            ),
            ("answer_timeout_us", timeouts.contains(&self.answer_timeout_us), "10000..=600000000"),
            (
                "connection_lifetime_us",
                (10_000..=86_400_000_000).contains(&self.connection_lifetime_us),
                "10000..=86400000000",
            ),
            ("connections_max", (1..=1_000_000).contains(&self.connections_max), "1..=1000000"),
            (
                "network_connections_max",
                (1..=1_000_000).contains(&self.network_connections_max),
                "1..=1000000",
            ),
            ("accepts_per_s", (1..=1_000_000).contains(&self.accepts_per_s), "1..=1000000"),
            ("drive_in_flight_max", (1..=256).contains(&self.drive_in_flight_max), "1..=256"),
            ("drive_unanswered_max", (1..=16_384).contains(&self.drive_unanswered_max), "1..=16384"),
            (
                "in_flight_bytes_max",
                (1 << 20..=1 << 40).contains(&self.in_flight_bytes_max),
                "1048576..=1099511627776",
            ),
            ("drain_timeout_us", timeouts.contains(&self.drain_timeout_us), "10000..=600000000"),
        ];
        table.into_iter().find(|(_, fits, _)| !fits).map(|(name, _, bounds)| (name, bounds))
    }

    /// Bytes of whole messages inside of one of `ports` I/O threads, and as many of beginnings.
    pub(crate) fn bytes_of_a_port(&self, ports: u16) -> usize {
        let half = self.in_flight_bytes_max / 2;
        usize::try_from(half.checked_div(u64::from(ports)).unwrap_or(half)).unwrap_or(usize::MAX)
    }
}

/// What a test ping (session header of the channel `Test`) is told. Nobody has seen yet what a register expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TestPing {
    /// Nothing: the connection is closed.
    #[default]
    Close,
    /// The message, as it came.
    Echo,
    /// These bytes.
    Reply(Bytes),
}
