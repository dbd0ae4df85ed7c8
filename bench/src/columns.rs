//! How fast do documents become Parquet, beside a bare ArrowWriter that is handed the finished rows?
//!
//! `parquet.rows`: stored documents are read and their rows collected into arrays, which nobody encodes. `parquet.write`: they
//! are encoded as well, as `documents`, `items` and `containers`. `parquet.verified` is the whole compaction: sorted, written,
//! synced, read back, compared with the log byte by byte, published. The baseline gets arrays that somebody has built before the
//! clock starts and writes the same files of them: schema, encodings, compression, pages, bloom filter. It neither sorts nor
//! syncs nor looks back.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use arrow_array::RecordBatch;
use ofd_engine::Engine;
use ofd_storage::columns::file::{FileOptions, TableWriter};
use ofd_storage::columns::{Batch, Layout, RowReader, Stored, Table};
use ofd_storage::compact::{CompactOptions, SegmentSource, SourceRecord, compact};
use ofd_storage::{Env, LogReader, RealEnv};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::Plan;
use crate::corpus::Corpus;
use crate::cpu::used_by_all;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};
use crate::lane::fill;
use crate::log::fresh;

const BARE: &str = "bare ArrowWriter fed with the same rows";
/// By the clock, and by the processor time of all threads, which a neighbour on the same cores spoils less.
const ROWS: [&str; 2] = ["parquet.rows", "parquet.rows.cpu"];
const WRITE: [&str; 2] = ["parquet.write", "parquet.write.cpu"];
const VERIFIED: [&str; 2] = ["parquet.verified", "parquet.verified.cpu"];
/// The tables that documents alone fill: subject and baseline write these and no others.
const WRITTEN: [Table; 3] = [Table::Documents, Table::Items, Table::Containers];
/// Rows of a batch of the baseline: what the tables' own writer hands over at once.
const BATCH_ROWS: usize = 1024;

/// Runs the figures of Parquet.
///
/// # Errors
/// Of the log or the files.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if !plan.wants(&[&ROWS[..], &WRITE, &VERIFIED].concat()) {
        return Ok(());
    }
    let dir = plan.temp_dir()?;
    let home = dir.path().join("engine");
    let corpus = Corpus::new(plan.seed, 1000, plan.work(60_000));
    let engine = Engine::builder(&home).open()?;
    fill(&engine, &corpus.shared(), crate::lane::WINDOW)?;
    engine.seal()?;
    engine.shutdown()?;
    drop(engine);

    let reader = LogReader::open_read_only(Arc::new(RealEnv::new(&home)))?;
    let mut stored = Vec::with_capacity(corpus.len());
    for segment in reader.sealed_segments() {
        reader.records(segment.id, &mut |record| {
            if let SourceRecord::Document(document) = record {
                stored.push(document);
            }
            Ok(())
        })?;
    }
    anyhow::ensure!(stored.len() == corpus.len(), "{} documents in sealed segments", stored.len());
    let mut tables = Vec::new();
    for table in WRITTEN {
        tables.push((table, batches(table, &stored)?));
    }
    let count = stored.len();
    let mut bare = || {
        let out = fresh(&dir, "bare")?;
        rates(count, || {
            for (table, batches) in &tables {
                let (Some(first), file) = (batches.first(), File::create(out.path().join(table.name()))?)
                else {
                    continue;
                };
                let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties(*table)?))?;
                for batch in batches {
                    writer.write(batch)?;
                }
                writer.close()?;
            }
            Ok(())
        })
    };
    if plan.wants(&ROWS) {
        let rounds = interleave(ROUNDS_FEW, || rates(count, || collect(&stored)), &mut bare)?;
        tell(plan, sink, ROWS, &rounds, count)?;
    }
    if plan.wants(&WRITE) {
        let subject = || {
            let out = fresh(&dir, "write")?;
            rates(count, || write(out.path(), &stored))
        };
        let rounds = interleave(ROUNDS_FEW, subject, &mut bare)?;
        tell(plan, sink, WRITE, &rounds, count)?;
    }
    if !plan.wants(&VERIFIED) {
        return Ok(());
    }
    let subject = || {
        let out = fresh(&dir, "verified")?;
        let env: Arc<dyn Env> = Arc::new(RealEnv::new(out.path()));
        rates(count, || {
            let report = compact(&reader, &env, &CompactOptions::default())?;
            anyhow::ensure!(report.documents == count as u64, "{} documents compacted", report.documents);
            Ok(())
        })
    };
    let rounds = interleave(ROUNDS_FEW, subject, &mut bare)?;
    tell(plan, sink, VERIFIED, &rounds, count)
}

/// Documents a second that a piece of work takes, by the clock and by the processor time of all threads.
fn rates(count: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<[f64; 2]> {
    let (started, used) = (Instant::now(), used_by_all());
    work()?;
    let times = [started.elapsed(), used_by_all().saturating_sub(used)];
    Ok(times.map(|time| count as f64 / time.as_secs_f64()))
}

/// Both figures of the same rounds.
fn tell(
    plan: &Plan,
    sink: &mut Sink,
    names: [&'static str; 2],
    rounds: &[([f64; 2], [f64; 2])],
    count: usize,
) -> anyhow::Result<()> {
    let [clock, cpu] = names;
    let by_clock: Vec<Pair> = rounds.iter().map(|([ours, _], [bare, _])| (*ours, *bare)).collect();
    let by_cpu: Vec<Pair> = rounds.iter().map(|([_, ours], [_, bare])| (*ours, *bare)).collect();
    for (name, pairs) in [(clock, by_clock), (cpu, by_cpu)] {
        if plan.wants(&[name]) {
            sink.figure(Figure::rate(name, "documents/s", BARE), &pairs, (ROUNDS_FEW * count) as u64)?;
        }
    }
    Ok(())
}

/// The rows of all three tables from stored documents, without encoding.
fn collect(stored: &[Stored]) -> anyhow::Result<()> {
    let [mut documents, mut items, mut containers] = WRITTEN.map(|table| Batch::new(table.columns()));
    let mut reader = RowReader::default();
    for document in stored {
        reader.read(document, None).map_err(|error| anyhow::anyhow!("{error}"))?;
        documents.push(reader.row());
        containers.push(reader.row());
        reader.each_item(|row| {
            items.push(row);
            anyhow::Ok(())
        })?;
        for batch in [&mut documents, &mut items, &mut containers] {
            if batch.rows() >= BATCH_ROWS {
                std::hint::black_box(batch.take()?);
            }
        }
    }
    Ok(())
}

/// All three tables from stored documents, without sort and sync.
fn write(dir: &Path, stored: &[Stored]) -> anyhow::Result<()> {
    let open = |table: Table| -> anyhow::Result<TableWriter<File>> {
        let file = File::create(dir.join(table.name()))?;
        Ok(TableWriter::new(table, file, FileOptions::default(), &[])?)
    };
    let [documents, items, containers] = WRITTEN.map(open);
    let (mut documents, mut items, mut containers) = (documents?, items?, containers?);
    let mut reader = RowReader::default();
    for document in stored {
        reader.read(document, None).map_err(|error| anyhow::anyhow!("{error}"))?;
        documents.push(reader.row())?;
        containers.push(reader.row())?;
        reader.each_item(|row| items.push(row))?;
    }
    for mut writer in [documents, items, containers] {
        writer.finish()?;
    }
    Ok(())
}

/// The rows of one table, finished.
fn batches(table: Table, stored: &[Stored]) -> anyhow::Result<Vec<RecordBatch>> {
    let mut batch = Batch::new(table.columns());
    let mut out = Vec::new();
    let mut reader = RowReader::default();
    for document in stored {
        reader.read(document, None).map_err(|error| anyhow::anyhow!("{error}"))?;
        if table == Table::Items {
            reader.each_item(|row| {
                batch.push(row);
                anyhow::Ok(())
            })?;
        } else {
            batch.push(reader.row());
        }
        if batch.rows() >= BATCH_ROWS {
            out.push(batch.take().context("a batch of rows")?);
        }
    }
    if batch.rows() > 0 {
        out.push(batch.take().context("the last batch of rows")?);
    }
    Ok(out)
}

/// Encodings, compression, pages and bloom filter of the tables' own files, told again: this is the other side of a
/// comparison and must not follow when they change unnoticed.
fn properties(table: Table) -> anyhow::Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(FileOptions::default().zstd_level)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(FileOptions::default().row_group_rows))
        .set_data_page_row_count_limit(8192);
    for column in table.columns() {
        let path = || ColumnPath::from(column.name);
        builder = match column.layout {
            Layout::Dictionary => builder,
            Layout::Words => builder.set_column_dictionary_page_size_limit(path(), 4 << 20),
            Layout::Bulk => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::PLAIN)
                .set_column_data_page_size_limit(path(), 128 << 10)
                .set_column_statistics_enabled(path(), EnabledStatistics::None),
            Layout::Delta | Layout::Lookup => builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), delta(column.kind)),
        };
        if column.layout == Layout::Lookup {
            builder = builder
                .set_column_bloom_filter_max_ndv(path(), FileOptions::default().row_group_rows as u64)
                .set_column_bloom_filter_fpp(path(), 0.01);
        }
    }
    if table == Table::Containers {
        builder = builder
            .set_max_row_group_bytes(Some(FileOptions::default().row_group_bytes))
            .set_write_batch_size(16);
    }
    Ok(builder.build())
}

fn delta(kind: ofd_storage::columns::Kind) -> Encoding {
    use ofd_storage::columns::Kind;
    match kind {
        Kind::Text | Kind::Bytes => Encoding::DELTA_BYTE_ARRAY,
        Kind::Flag => Encoding::PLAIN,
        _ => Encoding::DELTA_BINARY_PACKED,
    }
}
