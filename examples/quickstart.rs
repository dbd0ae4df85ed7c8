//! The engine in one minute: simulated registers send their documents over TCP, the engine stores and confirms
//! them, compacts the log to Parquet and reads everything back.
//!
//! ```text
//! cargo run --release --example quickstart            into target/quickstart/<seconds since 1970>
//! cargo run --release --example quickstart -- DIR     into DIR, which must not exist
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use ofd_emit::fns::{FnsFaults, FnsStandIn};
use ofd_emit::{EmitHooks, EmitOptions, EmitReport, Progress, Register, run_on_threads};
use ofd_engine::codec::{Form, Kopecks, tags};
use ofd_engine::host::Capability;
use ofd_engine::storage::compact::CompactReport;
use ofd_engine::storage::verify::VerifyReport;
use ofd_engine::tax::{HttpTaxService, TaxOverview};
use ofd_engine::{Engine, Position, StoredDocument};

/// Simulated registers, each on a connection of its own with one document in flight, as a real one has it.
const REGISTERS: u32 = 1_000;
/// Receipts of each; its registration, the opening and the closing of its shift come on top.
const RECEIPTS: u32 = 40;
/// Equal seeds give equal documents, to the byte.
const SEED: u64 = 2026;

fn main() -> anyhow::Result<()> {
    let dir = fresh_dir()?;
    println!("1. An engine on {}", dir.display());
    // Small segments, so that there is something sealed to look at; the default is 64 MiB.
    let fns = FnsStandIn::start("127.0.0.1:0", SEED, FnsFaults::default())?;
    let service = HttpTaxService::new(&fns.url(), 4, Duration::from_secs(50))?;
    let engine = Engine::builder(&dir).segment_len_bytes(8 << 20).tax_service(Arc::new(service)).open()?;
    let address = engine.listen("127.0.0.1:0")?;

    println!("2. {REGISTERS} registers open a shift, sell and close it, over TCP to {address}");
    let mut options = EmitOptions::new(address, REGISTERS, RECEIPTS, SEED);
    options.connections = REGISTERS;
    let emitted = emit(options)?;
    ensure!(emitted.unanswered == 0, "{} documents were left unanswered", emitted.unanswered);

    println!("   Behind them every document goes to a tax service over HTTP, {} (a stand-in)", fns.url());
    let (sent, sending) = timed(|| sent_to_tax_service(&engine, &fns, emitted.confirmed))?;

    println!("3. The log goes to Parquet; what was written is read back and compared");
    let (compacted, compaction) = timed(|| engine.compact(true))?;

    println!("4. Everything is read back: checksums, order, log against Parquet");
    let (verified, verification) = timed(|| engine.verify())?;
    ensure!(verified.ok, "verification found {:?}", verified.problems);
    ensure!(verified.documents == emitted.confirmed, "{} documents are stored", verified.documents);

    println!("5. The day's revenue, by following the log as a host program would");
    let (shops, folding) = timed(|| Shops::fold(&engine))?;
    let (receipt, looking) = timed(|| shops.look_up_one(&engine))?;
    engine.shutdown()?;

    let times = [compaction, verification, folding, looking, sending];
    summary(&emitted, &compacted, &verified, &shops, &sent, times);
    println!("One of them, as the tax service reads it:\n{}\n", shortened(&receipt, 300));
    let parquet = dir.join("parquet");
    println!("Parquet: {}", parquet.display());
    println!(
        "Next:\n  duckdb -c \"SELECT inn, any_value(user_name) AS shop, count(*) AS receipts, \
         sum(total * revenue_sign) AS revenue FROM '{}/documents/*/*.parquet' \
         WHERE revenue_sign <> 0 AND variant = 0 AND realm = 'prod' GROUP BY inn ORDER BY revenue DESC LIMIT 10\"",
        parquet.display()
    );
    Ok(())
}

/// The folder of this run: the first argument, or one of its own under `target`.
fn fresh_dir() -> anyhow::Result<PathBuf> {
    let dir = match std::env::args_os().nth(1) {
        Some(dir) => PathBuf::from(dir),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            Path::new("target/quickstart").join(now.to_string())
        }
    };
    ensure!(!dir.exists(), "{} exists already: the quick start wants a folder of its own", dir.display());
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

/// Runs the registers, with a bar on a terminal.
fn emit(options: EmitOptions) -> anyhow::Result<EmitReport> {
    let documents = Register::documents_of_life(&options.life()).unwrap_or_default();
    let bar = ProgressBar::new(documents.saturating_mul(u64::from(options.registers)));
    bar.set_style(ProgressStyle::with_template("   {wide_bar} {pos}/{len} confirmed, {per_sec}")?);
    let progress = Arc::new(Progress::default());
    let hooks = EmitHooks { progress: Some(Arc::clone(&progress)), journal: None };
    let done = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                bar.set_position(progress.confirmed());
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let report = run_on_threads(options, hooks, 1);
        done.store(true, Ordering::Relaxed);
        report
    });
    bar.finish_and_clear();
    Ok(report?)
}

/// Waits until the tax service has every document and has said so; its own account says the same.
fn sent_to_tax_service(engine: &Engine, fns: &FnsStandIn, documents: u64) -> anyhow::Result<TaxOverview> {
    let began = Instant::now();
    loop {
        let overview = engine.tax_overview();
        if overview.totals.settled.accepted == documents {
            ensure!(fns.account().documents() as u64 == documents, "the tax service has {:?}", fns.account());
            return Ok(overview);
        }
        ensure!(began.elapsed() < Duration::from_secs(60), "the tax service has not all: {overview:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn timed<T, E: Into<anyhow::Error>>(work: impl FnOnce() -> Result<T, E>) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    let result = work().map_err(Into::into)?;
    Ok((result, started.elapsed()))
}

/// What the feed tells of the shops.
#[derive(Default)]
struct Shops {
    /// Kopecks by INN.
    revenue: BTreeMap<String, i64>,
    receipts: u64,
    last: Option<StoredDocument>,
}

impl Shops {
    /// Follows the log from its beginning: sales add (1054 = 1), what is given back subtracts (1054 = 2).
    fn fold(engine: &Engine) -> Result<Self, ofd_engine::Error> {
        let mut shops = Self::default();
        let mut feed = engine.feed(&Capability::operator(), Position::START);
        loop {
            let batch = feed.next_batch(1_000, Duration::ZERO)?;
            if batch.is_empty() {
                return Ok(shops);
            }
            for document in batch {
                shops.add(document);
            }
        }
    }

    fn add(&mut self, document: StoredDocument) {
        let Some(view) = document.document().filter(|it| it.form().is_receipt_like()) else { return };
        self.receipts = self.receipts.saturating_add(1);
        let total = view.get(tags::TOTAL_SUM).and_then(|it| it.kopecks().ok()).unwrap_or_default();
        let signed = match view.get(tags::OPERATION_TYPE).map(|it| it.bytes()) {
            Some([1]) => total.0,
            Some([2]) => total.0.saturating_neg(),
            _ => 0,
        };
        if let Some(inn) = document.inn() {
            let revenue = self.revenue.entry(inn).or_default();
            *revenue = revenue.saturating_add(signed);
        }
        if view.form() == Form::RECEIPT {
            self.last = Some(document);
        }
    }

    fn total(&self) -> Kopecks {
        Kopecks(self.revenue.values().fold(0, |sum, shop| sum.saturating_add(*shop)))
    }

    /// Finds the last receipt again by what is printed on it: drive and number.
    fn look_up_one(&self, engine: &Engine) -> anyhow::Result<String> {
        let header = self.last.as_ref().and_then(|it| it.document()).map(|it| it.header());
        let header = header.context("there was no receipt")?;
        let (drive, number) = header.drive.zip(header.number).context("a receipt without a number")?;
        let found = engine.find(&Capability::operator(), drive, number.0)?;
        found.first().and_then(StoredDocument::json).context("a stored receipt cannot be found")
    }
}

fn summary(
    emitted: &EmitReport,
    compacted: &CompactReport,
    verified: &VerifyReport,
    shops: &Shops,
    sent: &TaxOverview,
    [compaction, verification, folding, looking, sending]: [Duration; 5],
) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let mut row = |name: &str, value: String, note: String| {
        table.add_row([name.to_owned(), value, note]);
    };
    let per_second = grouped(emitted.documents_per_second);
    row(
        "documents sent",
        grouped(emitted.sent),
        format!("{REGISTERS} registers, {} ms", emitted.elapsed.as_millis()),
    );
    row(
        "confirmed",
        grouped(emitted.confirmed),
        format!("{} refused, {} unanswered", emitted.refused, emitted.unanswered),
    );
    row("rate", format!("{per_second}/s"), "each on disk (fdatasync) before its answer".to_owned());
    row(
        "latency p50 / p99",
        format!("{} / {} ms", millis(emitted.p50_us), millis(emitted.p99_us)),
        "registers and engine share this machine".to_owned(),
    );
    row(
        "accepted by the ФНС",
        grouped(sent.totals.settled.accepted),
        format!("{} sent, the last {} ms after its answer", grouped(sent.totals.sent), sending.as_millis()),
    );
    row(
        "revenue",
        format!("{} ₽", roubles(shops.total())),
        format!(
            "{} receipts of {} merchants, {} ms",
            grouped(shops.receipts),
            shops.revenue.len(),
            folding.as_millis()
        ),
    );
    row(
        "Parquet",
        format!("{} files", compacted.files),
        format!(
            "{} KiB, {} items, {} ms",
            grouped(compacted.bytes / 1024),
            grouped(compacted.items),
            compaction.as_millis()
        ),
    );
    row(
        "verified",
        format!("{} of {}", grouped(verified.parquet_rows), grouped(verified.documents)),
        format!(
            "{} damaged, {} missing, {} ms",
            verified.damaged,
            verified.missing,
            verification.as_millis()
        ),
    );
    row("one receipt found", format!("{} µs", looking.as_micros()), "by drive and number".to_owned());
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{table}\n");
}

/// `1234567` as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn roubles(sum: Kopecks) -> String {
    let sign = if sum.0 < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", grouped(sum.0.unsigned_abs() / 100), sum.0.unsigned_abs() % 100)
}

fn millis(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
