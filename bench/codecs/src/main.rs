//! The codec of ofd-engine beside other formats.
//!
//! `cargo run --release --manifest-path bench/codecs/Cargo.toml -- [--json] [--quick] [--only NAME] [--real FILE]`
//!
//! The same receipts for all of them, by turns in one run: once a single receipt again and again (`hot`), once two thousand
//! different ones (`mixed`). Our side checks the whole structure of the document against the tables of its version and sums
//! every field on the way. The others get an archive, a message or a JSON text of the same receipt and sum what is in it.
//! A line says what our side does divided by what the other one of `vs` does, of the rounds' own ratios the median.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and files"
)]

#[allow(dead_code, reason = "shared with ofd-bench, which uses all of it")]
#[path = "../../src/corpus.rs"]
mod corpus;
#[path = "../../src/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared with ofd-bench, which uses all of it")]
#[path = "../../src/harness.rs"]
mod harness;
mod receipts;
#[allow(dead_code, reason = "shared with ofd-bench, which uses all of it")]
#[path = "../../src/walk.rs"]
mod walk;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use ofd_codec::{DocumentView, FfdVersion, Requisite, Validated, Visitor};
use prost::Message as _;
use rkyv::util::AlignedVec;

use corpus::Corpus;
use cpu::rate_of;
use harness::{Figure, ROUNDS, ROUNDS_FEW, Sink, interleave};
use receipts::{ArchivedReceipt, Read, Receipt, sum_archived};
use walk::{Sum, walk};

/// Documents of the mixed figures.
const MIXED: usize = 2000;

/// Bytes of the receipt that is read again and again.
const HOT_BYTES: usize = 678;

/// Measures our codec beside rkyv, prost and sonic-rs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Shows that all runs, measures nothing worth keeping.
    #[arg(long)]
    quick: bool,
    /// Only figures whose name begins so.
    #[arg(long)]
    only: Option<String>,
    /// A file of session messages to mix in: real receipts, which are no part of the repository.
    #[arg(long)]
    real: Option<PathBuf>,
    /// Runs one side alone over the mixed receipts, so many times, and measures nothing: for a counter of instructions
    /// around it. With `hot` in front of the side over the single receipt.
    #[arg(long, num_args = 2, value_names = ["SIDE", "TIMES"])]
    alone: Option<Vec<String>>,
    /// Seed of the generated ones.
    #[arg(long, default_value_t = 20_261_123)]
    seed: u64,
}

/// One receipt in every format.
struct Sample {
    plain: Vec<u8>,
    version: FfdVersion,
    archive: AlignedVec,
    message: Vec<u8>,
    json: String,
}

impl Sample {
    fn of(view: &DocumentView<'_>) -> anyhow::Result<Self> {
        let receipt = Receipt::of(view);
        let sample = Self {
            plain: view.bytes().to_vec(),
            version: FfdVersion::of_document(&view.header(), None, [1, 5]),
            archive: rkyv::to_bytes::<rkyv::rancor::Error>(&receipt)?,
            message: receipt.encode_to_vec(),
            json: serde_json::to_string(&receipt)?,
        };
        // All of them hold the same.
        let sum = Some(receipt.sum());
        anyhow::ensure!(sample.archived() == sum && sample.decoded() == sum && sample.parsed() == sum);
        anyhow::ensure!(sample.validated() == walk(&sample.plain));
        Ok(sample)
    }

    fn validated(&self) -> Option<u64> {
        let mut sum = Sum::default();
        let validated = Validated::check_with(black_box(&self.plain), self.version, &mut sum).ok()?;
        black_box(&validated);
        Some(sum.0)
    }

    fn archived(&self) -> Option<u64> {
        let archive = rkyv::access::<ArchivedReceipt, rkyv::rancor::Error>(black_box(&self.archive)).ok()?;
        Some(sum_archived(archive))
    }

    fn decoded(&self) -> Option<u64> {
        Some(Receipt::decode(black_box(self.message.as_slice())).ok()?.sum())
    }

    fn parsed(&self) -> Option<u64> {
        Some(sonic_rs::from_str::<Read<'_>>(black_box(&self.json)).ok()?.sum())
    }
}

/// Receipts of the generator, as many real ones between them as there are.
fn samples(arguments: &Arguments) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(MIXED);
    if let Some(path) = &arguments.real {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        for piece in ofd_codec::read_any(&bytes).flatten() {
            if piece.document().form().is_receipt_like() {
                samples.push(Sample::of(&piece.document())?);
            }
        }
    }
    let real = samples.len();
    for plain in Corpus::new(arguments.seed, 512, MIXED * 2).plains() {
        let view = DocumentView::new_checked(plain)?;
        if samples.len() < MIXED && view.form().is_receipt_like() {
            samples.push(Sample::of(&view)?);
        }
    }
    anyhow::ensure!(samples.len() == MIXED, "{} receipts", samples.len());
    // Spread, so that no stretch of the pass is of one kind.
    let mut mixed: Vec<Option<Sample>> = samples.into_iter().map(Some).collect();
    let order = (0..MIXED).map(|at| at * 769 % MIXED);
    let mixed: Vec<Sample> = order.filter_map(|at| mixed.get_mut(at)?.take()).collect();
    anyhow::ensure!(mixed.len() == MIXED, "769 has no factor in common with {MIXED}");
    let bytes: usize = mixed.iter().map(|sample| sample.plain.len()).sum();
    eprintln!("{MIXED} receipts, {real} of them real, {} bytes in the mean", bytes / MIXED);
    Ok(mixed)
}

/// TLVs of a document, nests among them.
fn tlvs(plain: &[u8]) -> usize {
    struct Count(usize);
    impl<'a> Visitor<'a> for Count {
        fn begin(&mut self, _: FfdVersion) {
            self.0 = 0;
        }

        fn requisite(&mut self, _: Requisite<'a>) {
            self.0 += 1;
        }
    }
    let mut count = Count(0);
    let _ = Validated::check_with(plain, FfdVersion::V1_2, &mut count);
    count.0
}

/// A side of a figure.
type Side = fn(&Sample) -> Option<u64>;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let samples = samples(&arguments)?;
    let mut sink = Sink::new(arguments.json);
    let long = Duration::from_millis(if arguments.quick { 10 } else { 150 });
    let rounds = if arguments.quick { ROUNDS_FEW } else { ROUNDS };
    let counted = allocation_counter::measure(|| {
        for sample in &samples {
            black_box(sample.validated());
        }
    });
    anyhow::ensure!(counted.count_total == 0, "{} allocations", counted.count_total);

    // One with five items and about as many bytes as the receipt of the first measurements.
    let five = |sample: &Sample| Receipt::decode(sample.message.as_slice()).is_ok_and(|it| it.items() == 5);
    let hot = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| five(sample))
        .min_by_key(|(_, sample)| sample.plain.len().abs_diff(HOT_BYTES))
        .map(|(at, _)| at)
        .context("no receipt has five items")?;
    let hot = samples.get(hot..=hot).unwrap_or_default();
    for sample in hot {
        let (tlvs, archive) = (tlvs(&sample.plain), sample.archive.len());
        let (plain, message, json) = (sample.plain.len(), sample.message.len(), sample.json.len());
        eprintln!("hot: {tlvs} TLVs, {plain} bytes; rkyv {archive}, prost {message}, JSON {json}");
    }
    let sides: [(&str, &str, Side); 4] = [
        ("walk", "plain checked TLV walk", |sample| walk(black_box(&sample.plain))),
        ("rkyv", "rkyv, validated access", Sample::archived),
        ("prost", "prost, decoded", Sample::decoded),
        ("sonic", "sonic-rs, JSON into a struct that borrows", Sample::parsed),
    ];
    if let Some([side, times]) = arguments.alone.as_deref() {
        let (name, corpus) = side.strip_prefix("hot.").map_or((side.as_str(), &*samples), |name| (name, hot));
        let others = sides.iter().find(|(other, ..)| *other == name).map(|(.., side)| *side);
        let side = others.unwrap_or(Sample::validated);
        for sample in std::iter::repeat_n(corpus, times.parse()?).flatten() {
            black_box(side(sample));
        }
        return Ok(());
    }
    for (set, corpus) in [("hot", hot), ("mixed", samples.as_slice())] {
        for (name, vs, side) in sides {
            let bench: &'static str = format!("codec.validated.{set}.{name}").leak();
            if arguments.only.as_ref().is_some_and(|only| !bench.starts_with(only.as_str())) {
                continue;
            }
            let (mut runs, mut others) = (0, 0);
            // A single receipt is repeated within the pass, so that the clock is read seldom.
            let times = if corpus.len() == 1 { 1000 } else { 1 };
            let pass = |side: &dyn Fn(&Sample)| {
                for _ in 0..times {
                    corpus.iter().for_each(side);
                }
            };
            let pairs = interleave(
                rounds,
                || {
                    Ok(rate_of(corpus.len() * times, long, &mut runs, || {
                        pass(&|sample| {
                            black_box(sample.validated());
                        });
                    }))
                },
                || {
                    Ok(rate_of(corpus.len() * times, long, &mut others, || {
                        pass(&|sample| {
                            black_box(side(sample));
                        });
                    }))
                },
            )?;
            sink.figure(Figure::rate(bench, "receipts/s", vs), &pairs, runs)?;
        }
    }
    sink.finish()
}
