//! What the engine counts at its door, and how all counts are published: by the facade `metrics`.
//!
//! Nothing on the path of a document touches the facade: it adds to atomics of the engine's own, and
//! [`Engine::publish_metrics`] hands their values to whatever recorder the program has installed, once a scrape.
//!
//! Invariants: labels have few values, which stand in the tables here: no drive number, INN or address is ever one
//! (test: engine/tests/tool/http.rs::metrics_have_few_labels_and_nobodys_data).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::engine::Engine;
use crate::handover::Unanswered;
use crate::pace::Follower;
use crate::shared::Health;

/// Why the engine closed a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    FirstByte,
    Header,
    Body,
    Idle,
    Answer,
    Lifetime,
    Memory,
    Noise,
}

const CLOSED: [&str; 8] = ["first_byte", "header", "body", "idle", "answer", "lifetime", "memory", "noise"];

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Total,
    Network,
    Descriptors,
}

const REFUSED: [&str; 3] = ["total", "network", "descriptors"];

/// Upper bounds of the classes of waiting time, microseconds, with their labels in seconds.
const CLASSES: [(u64, &str); 13] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
];

/// Counts of the door since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    closed: [AtomicU64; CLOSED.len()],
    refused: [AtomicU64; REFUSED.len()],
    unanswered: [AtomicU64; Unanswered::ALL.len()],
    /// Frames by how long they were inside; the last class has no bound.
    through: [CachePadded<AtomicU64>; CLASSES.len() + 1],
    through_us: CachePadded<AtomicU64>,
    frames_inside: CachePadded<AtomicI64>,
    bytes_inside: CachePadded<AtomicI64>,
    bytes_held: CachePadded<AtomicI64>,
}

impl Tally {
    pub(crate) fn closed(&self, why: Closed) {
        add_one(self.closed.get(why as usize));
    }

    pub(crate) fn refused(&self, why: Refused) {
        add_one(self.refused.get(why as usize));
    }

    pub(crate) fn unanswered(&self, why: Unanswered) {
        add_one(self.unanswered.get(why as usize));
    }

    /// So many frames are decided and durable, so long after they came.
    pub(crate) fn through(&self, after_us: u64, frames: usize) {
        let class = CLASSES.iter().position(|(most_us, _)| after_us <= *most_us).unwrap_or(CLASSES.len());
        let frames = u64::try_from(frames).unwrap_or(u64::MAX);
        if let Some(counter) = self.through.get(class) {
            counter.fetch_add(frames, Ordering::Relaxed);
        }
        self.through_us.fetch_add(after_us.saturating_mul(frames), Ordering::Relaxed);
    }

    /// So many frames and bytes more are inside, or less.
    pub(crate) fn inside(&self, frames: i64, bytes: i64) {
        self.frames_inside.fetch_add(frames, Ordering::Relaxed);
        self.bytes_inside.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more of messages whose end has not come.
    pub(crate) fn held_bytes(&self, more: isize) {
        if more != 0 {
            self.bytes_held.fetch_add(i64::try_from(more).unwrap_or_default(), Ordering::Relaxed);
        }
    }
}

fn add_one(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The states of `ofd_health`, one of which is 1.
const STATES: [(Health, &str); 5] = [
    (Health::Ready, "ready"),
    (Health::Degraded, "degraded"),
    (Health::Deferring, "deferring"),
    (Health::Draining, "draining"),
    (Health::Failed, "failed"),
];

impl Engine {
    /// Hands every count to the recorder of the `metrics` facade that the program has installed; without one nothing
    /// happens. To be called before each scrape. Names begin with `ofd_`; labels have few values and name nobody.
    /// Counts are of one engine: a program with two would mix them.
    pub fn publish_metrics(&self) {
        let shared = self.shared();
        let (counters, tally) = (&shared.counters, &shared.tally);
        for (name, counter) in [
            ("ofd_connections_accepted_total", &counters.connections),
            ("ofd_frames_total", &counters.frames),
            ("ofd_documents_stored_total", &counters.stored),
            ("ofd_documents_known_total", &counters.known),
            ("ofd_answers_total", &counters.answered),
            ("ofd_scrubbed_bytes_total", &counters.scrubbed),
            ("ofd_scrub_damaged_total", &counters.scrub_damaged),
            ("ofd_scrub_passes_total", &counters.scrub_passes),
        ] {
            metrics::counter!(name).absolute(counter.load(Ordering::Relaxed));
        }
        for (follower, counter) in Follower::NAMES.iter().zip(&counters.rested_us) {
            metrics::counter!("ofd_follower_rested_microseconds_total", "follower" => *follower)
                .absolute(load(counter));
        }
        metrics::counter!("ofd_noise_total").absolute(shared.noise.counted());
        for (why, counter) in CLOSED.iter().zip(&tally.closed) {
            metrics::counter!("ofd_connections_closed_total", "reason" => *why).absolute(load(counter));
        }
        for (why, counter) in REFUSED.iter().zip(&tally.refused) {
            metrics::counter!("ofd_connections_refused_total", "reason" => *why).absolute(load(counter));
        }
        for (why, counter) in Unanswered::ALL.iter().zip(&tally.unanswered) {
            metrics::counter!("ofd_unanswered_total", "reason" => why.name()).absolute(load(counter));
        }
        self.publish_waiting();
        metrics::gauge!("ofd_connections_open").set(as_gauge(shared.turnstile.open()));
        metrics::gauge!("ofd_connections_limit").set(as_gauge(shared.limits().connections_max));
        for (name, bytes) in [
            ("ofd_frames_inside", &tally.frames_inside),
            ("ofd_bytes_inside", &tally.bytes_inside),
            ("ofd_bytes_held", &tally.bytes_held),
        ] {
            let now = u64::try_from(bytes.load(Ordering::Relaxed)).unwrap_or_default();
            metrics::gauge!(name).set(as_gauge(now));
        }
        metrics::gauge!("ofd_durable_position").set(as_gauge(shared.watermark.load().get()));
        if shared.options.registers {
            let (records, us) = shared.book.lag(shared.watermark.load(), shared.now().mono_us);
            metrics::gauge!("ofd_registers_lag_records").set(as_gauge(records));
            metrics::gauge!("ofd_registers_lag_seconds").set(as_gauge(us / 1_000_000));
        }
        self.publish_notices();
        self.publish_tax();
        if let Ok(free) = shared.env.free_bytes() {
            metrics::gauge!("ofd_disk_free_bytes").set(as_gauge(free));
        }
        let health = self.health();
        for (state, label) in STATES {
            metrics::gauge!("ofd_health", "state" => label).set(as_gauge(u64::from(state == health)));
        }
        metrics::gauge!("ofd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }

    fn publish_notices(&self) {
        let status = self.notice_status();
        let counts = status.counts;
        for (result, count) in
            [("delivered", counts.delivered), ("refused", counts.refused), ("given_up", counts.given_up)]
        {
            metrics::counter!("ofd_notices_total", "result" => result).absolute(count);
        }
        metrics::counter!("ofd_notices_retried_total").absolute(counts.retried);
        metrics::gauge!("ofd_notices_waiting")
            .set(as_gauge(u64::try_from(status.waiting).unwrap_or(u64::MAX)));
        let now_us = self.shared().now().wall_us;
        let age_us = status.oldest_us.map_or(0, |it| now_us.saturating_sub(it));
        metrics::gauge!("ofd_notices_oldest_seconds")
            .set(as_gauge(u64::try_from(age_us / 1_000_000).unwrap_or_default()));
    }

    /// The leg to the tax service; zeros without one. Counts of documents are those of the ledger and go on over restarts.
    fn publish_tax(&self) {
        let leg = self.tax_overview();
        let settled = leg.totals.settled;
        metrics::counter!("ofd_tax_sent_total").absolute(leg.totals.sent);
        metrics::counter!("ofd_tax_retries_total").absolute(leg.retries);
        for (state, count) in [
            ("waiting", leg.totals.waiting()),
            ("accepted", settled.accepted),
            ("warned", settled.warned),
            ("quarantined", settled.quarantined),
            ("refused", settled.refused),
            ("given_up", settled.given_up),
        ] {
            metrics::gauge!("ofd_tax_documents", "state" => state).set(as_gauge(count));
        }
        let now_us = self.shared().now().wall_us;
        let age_us = leg.oldest_unsent_us.map_or(0, |at| now_us.saturating_sub(at));
        let seconds = u64::try_from(age_us / 1_000_000).unwrap_or_default();
        metrics::gauge!("ofd_tax_oldest_unsent_seconds").set(as_gauge(seconds));
        metrics::gauge!("ofd_tax_awaiting_verdict").set(as_gauge(leg.awaiting));
        let paused = u64::from(leg.paused).max(leg.paused_drives.len() as u64);
        metrics::gauge!("ofd_tax_paused").set(as_gauge(paused));
    }

    /// The classes of waiting time as a Prometheus histogram: each holds all below its bound, too.
    fn publish_waiting(&self) {
        let tally = &self.shared().tally;
        let mut all = 0u64;
        let bounds = CLASSES.iter().map(|(_, label)| *label).chain(["+Inf"]);
        for (bound, class) in bounds.zip(&tally.through) {
            all = all.saturating_add(load(class));
            metrics::counter!("ofd_frame_seconds_bucket", "le" => bound).absolute(all);
        }
        metrics::counter!("ofd_frame_seconds_count").absolute(all);
        metrics::counter!("ofd_frame_microseconds_total").absolute(load(&tally.through_us));
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The facade takes gauges as floats; what is counted here is below 2^53 for longer than the house will stand.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float by the facade's own interface")]
fn as_gauge(value: u64) -> f64 {
    value as f64
}
