//! What one seed does: which faults, how large, how often.

use ofd_engine::storage::LogOptions;
use ofd_engine::storage::testing::SimKnobs;
use ofd_engine::testing::Queues;

use crate::host::Moods;
use crate::rng::Rng;
use crate::world::notices::NoticeMoods;
use crate::world::tax::TaxMoods;

/// What goes wrong with the network and with those who use it, out of 65,536.
#[derive(Clone, Debug, Default)]
pub struct Net {
    /// Microseconds on the way, at most.
    pub delay_us: u64,
    /// A message or an answer is cut off at any byte.
    pub resets: u64,
    /// An answer that has left is lost with its connection.
    pub answers_lost: u64,
    /// Reads and writes move at most so many bytes; 0 = any number.
    pub fragment: usize,
    /// What a register's buffers hold; 0 = everything.
    pub window: usize,
    /// A register closes its half as soon as it has sent.
    pub half_close: u64,
    /// A connection is forgotten while it is open, and another one is made.
    pub twins: u64,
    /// Bytes that are no document are sent, from another connection.
    pub noise: u64,
    /// Somebody else sends another document under the same number.
    pub forgers: u64,
    /// A register loses its power, and maybe the answer it had.
    pub power_cycles: u64,
}

/// How the process ends, again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub power: bool,
    pub kill: bool,
    pub drain: bool,
}

/// What one seed does.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub faults: Vec<&'static str>,
    pub lives: u64,
    pub ends: Ends,
    pub knobs: SimKnobs,
    pub stalls: u32,
    pub log: LogOptions,
    pub queues: Option<Queues>,
    pub workers: u16,
    pub ports: u16,
    pub net: Net,
    pub moods: Moods,
    pub clock_jumps: u64,
    pub registers: u32,
    pub documents: u32,
    /// Registers behind one connection.
    pub concentrates: usize,
    /// Documents of one register in flight.
    pub depth: usize,
    pub keeps_connection: bool,
    pub readers: usize,
    pub checkpoint_after: u64,
    pub giants: u64,
    /// The tax service, if there is one.
    pub tax: Option<TaxMoods>,
    /// Who wants to be told, if anybody.
    pub notices: Option<NoticeMoods>,
}

const FAULTS: [&str; 17] = [
    "write",
    "short write",
    "sync",
    "read only",
    "late error",
    "read",
    "full disk",
    "power",
    "kill",
    "reset",
    "answer lost",
    "fragments",
    "crypto",
    "admission",
    "noise",
    "forgers",
    "clock",
];

/// Every seed turns on another subset of faults: none in one of ten, at most one in half of them.
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng(seed ^ 0xE1_61_5E);
    let mut faults = rng.faults(&FAULTS, 5, 6);
    if faults.contains(&"late error") {
        // A device that went read-only comes back with the power, and that takes what a late error has taken.
        faults.retain(|it| *it != "read only");
    }
    let has = |fault: &str| faults.contains(&fault);
    let giants = if rng.one_in(4) { 4_000 } else { 0 };
    let block_len = if rng.one_in(4) { 4096 } else { 512 };
    let segment_len = if giants > 0 { 768 << 10 } else { rng.pick(&[192u64, 256, 384]) << 10 };
    let most = (segment_len - 8192) / 5 / 4096 * 4096;
    let least = if giants > 0 { 80 << 10 } else { 28 << 10 };
    let log = LogOptions {
        segment_len,
        batch_len_max: rng.between(least, most) as usize,
        block_len,
        marker_after_us: rng.pick(&[0, 500, 5_000]),
        prepare_retry_us: 2_000,
        free_bytes_min: rng.pick(&[None, Some(0)]),
    };
    let mut knobs =
        SimKnobs { torn_sectors: rng.one_in(2), names_in_any_order: rng.one_in(2), ..SimKnobs::default() };
    if has("write") {
        knobs.write_error = 200 + rng.below(2_000) as u32;
    }
    if has("short write") {
        knobs.short_write = 3_000;
    }
    if has("sync") {
        knobs.sync_error = 500 + rng.below(6_000) as u32;
    }
    if has("read only") {
        (knobs.turns_read_only, knobs.sync_error) = (20_000, knobs.sync_error.max(600));
    }
    if has("late error") {
        knobs.late_error = 2_000;
    }
    if has("read") {
        knobs.read_error = 300;
    }
    if has("full disk") {
        knobs.space = Some(segment_len * 3 + rng.below(segment_len * 4));
    }
    let queues = (!rng.one_in(3)).then(|| {
        let (calls, call_frames, call_waiting) = (1 + rng.below(4), 1 + rng.below(8), 1 + rng.below(16));
        Queues {
            ring_batches: rng.pick(&[1, 2, 4, 64]),
            inside: rng.pick(&[1, 4, 16, 256]),
            on_their_way: 4 * (calls * call_frames + call_waiting + 64) as usize,
            backlog: rng.pick(&[1, 2, 64]),
            calls: calls as usize,
            call_frames: call_frames as usize,
            call_waiting: call_waiting as usize,
            unanswered: rng.pick(&[1, 2, 16]),
        }
    });
    let passes_through = rng.one_in(2) && !has("crypto");
    let moods = Moods {
        passes_through,
        delay_us: rng.pick(&[0, 2_000, 20_000]),
        stalls: if has("crypto") { rng.pick(&[0, 3_000]) } else { 0 },
        unavailable: if has("crypto") { rng.pick(&[1_000, 10_000]) } else { 0 },
        short: if has("crypto") { rng.pick(&[0, 4_000]) } else { 0 },
        defers: if has("admission") { rng.pick(&[2_000, 20_000]) } else { 0 },
        crashes: if rng.one_in(2) { 0 } else { 2_000 },
    };
    let fragments = has("fragments");
    let net = Net {
        delay_us: rng.pick(&[0, 300, 30_000]),
        resets: if has("reset") { rng.pick(&[500, 4_000]) } else { 0 },
        answers_lost: if has("answer lost") { rng.pick(&[1_000, 10_000]) } else { 0 },
        fragment: if fragments { rng.pick(if giants > 0 { &[500, 2_000] } else { &[1, 7, 100] }) } else { 0 },
        window: if fragments { rng.pick(&[0, 1, 64, 200]) } else { 0 },
        half_close: rng.pick(&[0, 8_000]),
        twins: if has("answer lost") || has("reset") { 6_000 } else { 0 },
        noise: if has("noise") { 3_000 } else { 0 },
        forgers: if has("forgers") { 6_000 } else { 0 },
        power_cycles: rng.pick(&[0, 0, 500]),
    };
    let ends = Ends {
        // What a late error has taken is not there any more when the power goes: one copy cannot help it.
        power: has("power") && !has("late error"),
        kill: has("kill") || has("late error"),
        drain: rng.one_in(4),
    };
    let crashes = ends.power || ends.kill || ends.drain;
    let registers = rng.between(1, 12) as u32;
    Scenario {
        seed,
        lives: if crashes { rng.between(2, 6) } else { 1 },
        ends,
        knobs,
        stalls: rng.pick(&[0, 20_000, 50_000]),
        log,
        queues,
        workers: rng.between(1, 3) as u16,
        ports: rng.between(1, 2) as u16,
        net,
        moods,
        clock_jumps: if has("clock") { 300 } else { 0 },
        registers,
        documents: rng.between(60, 400) as u32 / registers + 1,
        concentrates: rng.pick(&[1, 1, 3]),
        depth: rng.pick(&[1, 1, 4, 20]),
        keeps_connection: rng.one_in(2),
        readers: rng.below(3) as usize,
        checkpoint_after: rng.pick(&[5, 40, 1_000_000]),
        giants,
        faults,
        tax: TaxMoods::drawn(seed),
        notices: NoticeMoods::drawn(seed),
    }
}

impl Scenario {
    /// Whether a register has a test drive. Only where there is a service that must not get its documents.
    pub fn has_test_drive(&self, register: u32) -> bool {
        let one_in = self.tax.as_ref().map_or(0, |it| it.test_drives);
        one_in > 0 && Rng(self.seed ^ 0x7E57 ^ u64::from(register) << 32).one_in(one_in)
    }

    /// As it was before there was anybody behind the log.
    #[must_use]
    pub fn without_outward(self) -> Self {
        Self { tax: None, notices: None, ..self }
    }
}
