//! What do three questions of analysts cost our SQL, beside DuckDB with the same threads over the same files?
//!
//! `query.q1` is the revenue of each register on each day, `query.q2` the twenty items that brought most, `query.q3` the average
//! receipt from its items. Ten million rows of items, written by the house's compaction; every question is asked of a session
//! anew, planning included, and its rows are taken to the last one. DuckDB is warm as well, keeps its answer in a table of its own, and
//! reads the files by pattern. Both answers have to be the same.
//!
//! DuckDB is asked through Python (`OFD_PYTHON`, else `python3`, with the package `duckdb`); where there is none the figures stand without
//! a baseline, and that is said.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::Engine;
use ofd_engine::host::Capability;
use ofd_engine::sql::{Limits, Sql};

use crate::Plan;
use crate::harness::{Figure, ROUNDS_FEW, Sink, interleave};
use crate::lane::fill;

/// Rows of items that are asked about.
const ITEMS: usize = 10_000_000;
/// Documents of a register, and those that are made at once.
const OF_REGISTER: usize = 1_500;
const AT_ONCE: usize = 200_000;
/// Items of a document of the generator, about.
const ITEMS_OF_DOCUMENT: usize = 3;
/// What a question may hold.
const MEMORY_BYTES: usize = 4 << 30;

/// Name, and the question over `{items}`; its last column is compared.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "query.q1",
        "SELECT rnm, date, sum(sum * revenue_sign) AS value FROM {items} \
         WHERE variant = 0 GROUP BY 1, 2",
    ),
    (
        "query.q2",
        "SELECT name, sum(sum * revenue_sign) AS value FROM {items} WHERE variant = 0 \
         GROUP BY 1 ORDER BY value DESC LIMIT 20",
    ),
    (
        "query.q3",
        "SELECT avg(total) AS value FROM (SELECT position, sum(sum) AS total FROM {items} WHERE variant = 0 \
         GROUP BY 1) AS receipts",
    ),
];

/// Reads a question a line, answers with its seconds, and with rows and sum of its last column.
const PEER: &str = r#"
import sys, time, duckdb
database = duckdb.connect()
database.execute(f"SET threads = {sys.argv[1]}")
for question in sys.stdin:
    began = time.perf_counter()
    database.execute("CREATE OR REPLACE TEMP TABLE answer AS " + question)
    seconds = time.perf_counter() - began
    rows, total = database.execute("SELECT count(*), CAST(sum(value) AS DOUBLE) FROM answer").fetchone()
    print(seconds, rows, total, flush=True)
"#;

/// Runs the three questions.
///
/// # Errors
/// Of the engine, of SQL, and when DuckDB comes to something else.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if !QUESTIONS.iter().any(|(name, _)| plan.wants(&[name])) {
        return Ok(());
    }
    let dir = plan.temp_dir()?;
    let home = dir.path().join("engine");
    let engine = Engine::builder(&home).open()?;
    let items = make(plan, &engine)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limits = Limits { threads, memory_bytes: MEMORY_BYTES, ..Limits::default() };
    let sql = engine.sql(&Capability::operator(), limits)?;
    let mut peer = Peer::start(threads, &home.join("parquet/items"))?;
    if peer.is_none() {
        eprintln!("query.*: no Python with DuckDB here (OFD_PYTHON names one), no baseline");
    }
    for (name, question) in QUESTIONS.into_iter().filter(|(name, _)| plan.wants(&[name])) {
        let own = question.replace("{items}", "items");
        if let Some(peer) = &mut peer {
            same(&ask_sums(&sql, &own)?, &peer.ask(question)?.1, name)?;
        }
        let pairs = interleave(
            ROUNDS_FEW,
            || {
                let started = Instant::now();
                let mut answer = sql.query(&own)?;
                while answer.next_rows()?.is_some() {}
                Ok(started.elapsed().as_secs_f64() * 1e3)
            },
            || match &mut peer {
                Some(peer) => Ok(peer.ask(question)?.0 * 1e3),
                None => Ok(f64::NAN),
            },
        )?;
        let figure = Figure::time(name, "ms", "DuckDB with the same threads");
        sink.figure(figure, &pairs, (ROUNDS_FEW as u64) * items)?;
    }
    engine.shutdown()?;
    Ok(())
}

/// Fills an archive; gives its rows of items.
fn make(plan: &Plan, engine: &Engine) -> anyhow::Result<u64> {
    let documents = plan.work(ITEMS) / ITEMS_OF_DOCUMENT;
    let registers = documents.div_ceil(OF_REGISTER).max(4);
    let options = ProfileOptions::default();
    let mut living: Vec<Register> =
        (0..registers as u32).map(|at| Register::new(plan.seed, at, &options)).collect();
    let mut left = documents;
    while left > 0 {
        let mut frames = Vec::with_capacity(AT_ONCE.min(left));
        'made: loop {
            for register in &mut living {
                if frames.len() == AT_ONCE.min(left) {
                    break 'made;
                }
                let mut message = Vec::new();
                register.next_message(&mut message);
                frames.push(Bytes::from(message));
            }
        }
        left -= frames.len();
        fill(engine, &frames, crate::lane::WINDOW)?;
        eprintln!("query.*: {left} documents to be made");
    }
    engine.compact(true)?;
    let sql = engine.sql(&Capability::operator(), Limits::default())?;
    Ok(ask_sums(&sql, "SELECT 1 AS value FROM items")?.rows)
}

/// What an answer comes to.
struct Sums {
    rows: u64,
    total: f64,
}

fn ask_sums(sql: &Sql, question: &str) -> anyhow::Result<Sums> {
    let whole =
        format!("SELECT count(*) AS n, CAST(sum(value) AS DOUBLE) AS total FROM ({question}) AS answer");
    let mut line = String::new();
    let mut answer = sql.query(&whole)?;
    while let Some(rows) = answer.next_rows()? {
        rows.each_json(&mut |json| json.clone_into(&mut line))?;
    }
    let row: serde_json::Value = serde_json::from_str(&line)?;
    let number = |name: &str| row.get(name).and_then(serde_json::Value::as_f64).context("a number");
    Ok(Sums { rows: number("n")? as u64, total: number("total")? })
}

/// Averages may differ in their last digits: one divides decimals, the other doubles.
fn same(ours: &Sums, theirs: &Sums, name: &str) -> anyhow::Result<()> {
    let close = (ours.total - theirs.total).abs() <= 1e-9 * ours.total.abs().max(1.0) + 5e-5;
    anyhow::ensure!(
        ours.rows == theirs.rows && close,
        "{name}: {} rows of {}, DuckDB {} of {}",
        ours.rows,
        ours.total,
        theirs.rows,
        theirs.total
    );
    Ok(())
}

/// DuckDB in a process of its own; ended when dropped.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    files: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// `None` when there is no Python with DuckDB.
    fn start(threads: usize, table: &Path) -> anyhow::Result<Option<Self>> {
        let python = std::env::var_os("OFD_PYTHON").unwrap_or_else(|| "python3".into());
        let has = Command::new(&python).args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
        if !has.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let mut child = Command::new(&python)
            .args(["-c", PEER, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("its stdin")?;
        let output = BufReader::new(child.stdout.take().context("its stdout")?);
        Ok(Some(Self { child, input, output, files: format!("'{}/*/*.parquet'", table.display()) }))
    }

    /// The seconds it took, and what it comes to.
    fn ask(&mut self, question: &str) -> anyhow::Result<(f64, Sums)> {
        writeln!(self.input, "{}", question.replace("{items}", &self.files))?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().context("DuckDB ended");
        Ok((word()?.parse()?, Sums { rows: word()?.parse()?, total: word()?.parse()? }))
    }
}
