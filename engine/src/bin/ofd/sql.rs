//! `ofd sql`: questions in SQL.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use ofd_engine::ReadOnly;
use ofd_engine::host::Capability;
use ofd_engine::sql::{Answer, Error, ErrorKind, Kind, Limits};

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Rows of a table for people: it is drawn when all of them are there.
const TABLE_ROWS: u64 = 10_000;
/// Rows of JSON, which goes out as it comes.
const JSON_ROWS: u64 = 1_000_000_000;

/// Asks in SQL, over the Parquet tables and what is not compacted yet, as one.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads by itself, beside a running server too, and sees what is durable now. One SELECT, WITH or EXPLAIN. With --json a line
a row: money is whole kopecks, the time of a register has no zone, our own ends with Z. Tables: documents, items and those
of docs/sql.md; views: чеки (receipts), позиции (items_sold), кассы (registers_now), выручка_по_дням (revenue_by_day) …
Exit code 2 when the question is wrong, 1 when it passes a limit.

Examples:
  ofd sql --data /var/lib/ofd 'SELECT дата, sum(выручка) AS выручка FROM чеки GROUP BY дата ORDER BY дата'
  ofd sql --data /var/lib/ofd --inn 7704211201 --json 'SELECT * FROM receipts ORDER BY ts_local DESC LIMIT 10'")]
pub(crate) struct SqlCommand {
    #[command(flatten)]
    data: DataDir,
    /// The question.
    #[arg(value_name = "SQL")]
    question: String,
    /// As the tenant with this INN sees it; may be given several times.
    #[arg(long = "inn", value_name = "INN")]
    inns: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Memory, MiB: 64 to 1048576.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory_mb: usize,
    /// Time, seconds: 1 to 86400.
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Rows at most; 10000 without --json, as many as there are with it.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Threads; 0 = as many as the machine has.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// A folder for what does not fit into the memory; without one such a question fails.
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,
}

impl SqlCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let dir = self.data.existing()?;
        let limits = Limits {
            memory_bytes: self.memory_mb.saturating_mul(1 << 20),
            time: Duration::from_secs(self.seconds),
            rows: self.rows.unwrap_or(if self.json { JSON_ROWS } else { TABLE_ROWS }),
            threads: self.threads,
            spill_dir: self.spill.clone(),
            ..Limits::default()
        };
        let capability = match self.inns.as_slice() {
            [] => Capability::operator(),
            inns => Capability::users(inns.iter().cloned()),
        };
        let sql = ReadOnly::open(dir)?.sql(&capability, limits).map_err(failed)?;
        let mut answer = sql.query(&self.question).map_err(failed)?;
        let mut output = Output::new();
        let told = if self.json { lines(&mut answer, &mut output) } else { table(&mut answer, &mut output) };
        output.flush().and(told)
    }
}

fn lines(answer: &mut Answer, output: &mut Output) -> Result<(), Failure> {
    while let Some(rows) = answer.next_rows().map_err(failed)? {
        let mut written = Ok(());
        rows.each_json(&mut |line| {
            if written.is_ok() {
                written = output.line(line);
            }
        })
        .map_err(failed)?;
        written?;
    }
    Ok(())
}

/// Draws the rows that came, also those before an error.
fn table(answer: &mut Answer, output: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(answer.columns().iter().map(|it| it.name.clone()));
    let numbers: Vec<bool> = answer.columns().iter().map(|it| is_number(it.kind)).collect();
    let mut count = 0_u64;
    let ended = loop {
        match answer.next_rows() {
            Ok(Some(rows)) => {
                count = count.saturating_add(rows.count() as u64);
                rows.each_text(&mut |cells| {
                    table.add_row(cells.into_iter().map(|cell| shown(&cell.unwrap_or_default())));
                })
                .map_err(failed)?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(failed(error)),
        }
    };
    for (column, is_number) in table.column_iter_mut().zip(numbers) {
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    output.line(&table.to_string())?;
    output.flush()?;
    ended
}

/// Names of goods come from registers as they are: what would move the cursor of a terminal is shown as a point.
fn shown(text: &str) -> String {
    text.replace(char::is_control, "·")
}

fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Money | Kind::Decimal | Kind::Integer | Kind::Float)
}

fn failed(error: Error) -> Failure {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Statement | ErrorKind::Refused | ErrorKind::Limits => Failure::new(Exit::Usage, text),
        ErrorKind::Storage(kind) => Failure::of_kind(kind, text),
        _ => Failure::new(Exit::Failure, text),
    }
}
