//! `ofd emit`: simulated registers that send protocol-true lives to an operator.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ofd_emit::{EmitHooks, EmitOptions, EmitReport, Progress, Register, run_on_threads};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Sends the lives of simulated registers over TCP and reports how they were answered.
#[derive(Debug, Args)]
#[command(after_help = "\
Each register registers, opens its shift, sends its receipts and closes the shift, and keeps a document until
it is answered. Equal seeds give equal bytes. The exit code is 1 when a document was left unanswered.

Example:
  ofd emit --connect 127.0.0.1:7790 --registers 1000 --receipts 50 --json")]
pub(crate) struct Emit {
    /// Where the operator listens.
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,
    /// Simulated registers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    registers: u32,
    /// Receipts of each register; registration, opening and closing of the shift come on top.
    #[arg(long, value_name = "M")]
    receipts: u32,
    /// Seed of the whole population; by default another one every time.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Connections held at once; fewer than registers means that registers share them [default: one a register, at
    /// most 1000].
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: Option<u32>,
    /// Documents of one register on their way at once.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// A connection for every document.
    #[arg(long)]
    per_document_connection: bool,
    /// Documents a second, all registers together; by default as fast as they are answered.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

impl Emit {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let addresses = self.connect.to_socket_addrs();
        let mut addresses = addresses
            .map_err(|error| Failure::new(Exit::Usage, format!("--connect {}: {error}", self.connect)))?;
        let connect = addresses.next().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--connect {}: no such address", self.connect))
        })?;
        let seed = self.seed.unwrap_or_else(any_seed);
        let mut options = EmitOptions::new(connect, self.registers, self.receipts, seed);
        options.connections = self.connections.unwrap_or(options.connections).min(self.registers);
        options.in_flight = self.in_flight;
        options.per_document_connection = self.per_document_connection;
        options.rate = self.rate;

        let progress = Arc::new(Progress::default());
        let hooks = EmitHooks { progress: Some(Arc::clone(&progress)), journal: None };
        let over = Arc::new(AtomicBool::new(false));
        stop_on_signal(&over)?;
        let threads = std::thread::available_parallelism().map_or(1, |it| (it.get() / 2).max(1));
        let total = Register::documents_of_life(&options.life())
            .unwrap_or_default()
            .saturating_mul(u64::from(self.registers));
        let done = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&progress, total, &over, &done));
            let report = run_on_threads(options, hooks, threads);
            done.store(true, Ordering::Relaxed);
            let _ = watcher.join();
            report
        });
        let report = report.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        let mut output = Output::new();
        output.line(&if self.json { json(&report) } else { lines(&report) })?;
        output.flush()?;
        if report.unanswered > 0 || report.bad_answers > 0 {
            let text = format!(
                "{} documents were left unanswered, {} answers were bad",
                report.unanswered, report.bad_answers
            );
            return Err(Failure::new(Exit::Failure, text));
        }
        Ok(())
    }
}

/// A seed that is another one every time.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or_default()
}

/// The first signal ends the run early, with a report; the second ends the program.
fn stop_on_signal(over: &Arc<AtomicBool>) -> Result<(), Failure> {
    for signal in [SIGINT, SIGTERM] {
        let second = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(over));
        second
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(over)))
            .map_err(|error| Failure::io("signals", &error))?;
    }
    Ok(())
}

/// Draws the bar (on a terminal only) and passes a signal on, until the run is done.
fn watch(progress: &Progress, total: u64, over: &AtomicBool, done: &AtomicBool) {
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    while !done.load(Ordering::Relaxed) {
        if over.load(Ordering::Relaxed) {
            progress.stop();
        }
        bar.set_position(progress.confirmed().saturating_add(progress.refused()));
        std::thread::sleep(Duration::from_millis(50));
    }
    bar.finish_and_clear();
}

/// The figures, by name; the first nine are the contract's.
fn figures(report: &EmitReport) -> [(&'static str, u64); 13] {
    [
        ("sent", report.sent),
        ("confirmed", report.confirmed),
        ("refused", report.refused),
        ("unanswered", report.unanswered),
        ("documents_per_second", report.documents_per_second),
        ("p50_us", report.p50_us),
        ("p99_us", report.p99_us),
        ("p999_us", report.p999_us),
        ("seed", report.seed),
        ("max_us", report.max_us),
        ("resent", report.resent),
        ("bad_answers", report.bad_answers),
        ("elapsed_us", u64::try_from(report.elapsed.as_micros()).unwrap_or(u64::MAX)),
    ]
}

fn json(report: &EmitReport) -> String {
    let members: Vec<_> = figures(report).iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn lines(report: &EmitReport) -> String {
    let lines: Vec<_> =
        figures(report).iter().map(|(name, value)| format!("{name:<21}{value:>16}")).collect();
    lines.join("\n")
}
