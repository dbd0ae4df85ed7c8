//! Files are those of parquet-rs's own writer, byte for byte, and what it does not promise is held to here.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::columns::Batch;

/// Chance of a test.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// One of `below` numbers.
    fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    /// A number, as often as once in `often`; now and then one that does not fit.
    fn some(&mut self, often: u64, below: u64) -> Option<i64> {
        let value = match self.below(1000) {
            0 => i64::MAX,
            1 => i64::MIN,
            2 => -i64::try_from(self.below(below)).unwrap_or_default(),
            _ => i64::try_from(self.below(below)).unwrap_or_default(),
        };
        (self.below(often) == 0).then_some(value)
    }

    fn row(&mut self, at: u64, words: u64) -> Row {
        let mut row = Row::default();
        let Row { texts, head, facts, item, finding, status, .. } = &mut row;
        head.position = i64::try_from(at).unwrap_or_default();
        head.partition_seq = head.position / 3;
        head.received_at_us = 1_715_774_400_000_001 + head.position * 999 + i64::from(at.is_multiple_of(7));
        head.realm = "prod";
        head.provenance = if (at / 900).is_multiple_of(2) { "live" } else { "import" };
        head.drive = Some(texts.put(&format!("99990789{:08}", at / 37)));
        head.number = head.position % 1_000;
        head.form = Some("receipt".into());
        head.kind = format!("kind {}", at / 200);
        // Some are longer than a page of their chunk.
        let len = if at / 1_000 == 5 && at % 1_000 < 60 { 30_000 } else { self.below(900) };
        let byte = at.to_le_bytes()[0];
        head.container = Bytes::from(vec![byte; usize::try_from(len).unwrap_or_default()]);
        let half = head.container.slice(..head.container.len() / 2);
        head.plain = ((at / 4_096).is_multiple_of(2) || self.below(5) > 0).then_some(half);
        // Long runs of NULL, and of values, beside single ones.
        let calm = if (at / 1_500).is_multiple_of(3) { 1 } else { 1 + self.below(40) };
        facts.total = self.some(calm, 10_000_000_000);
        facts.cash = self.some(3, 90);
        facts.ecash = self.some(2, 90_000);
        facts.direction = self.some(1, 3);
        facts.local_seconds = self.some(1, 2_000_000_000);
        facts.fpd = self.some(9, 4_000_000_000);
        facts.correction_day = self.some(11, 20_000);
        facts.internet = self.some(3, 2).map(|it| it > 0);
        facts.tax_system = self.some(1_000_000, 2);
        item.line = i64::try_from(at % 5).unwrap_or_default();
        item.storno = self.below(50) == 0;
        // As far apart as can be: differences of them wrap.
        finding.line = i64::try_from(self.below(1 << 31)).unwrap_or_default()
            * if at.is_multiple_of(2) { 1 } else { -1 };
        status.line = finding.line / 1_000_000;
        item.price = self.some(1, 400_000);
        item.quantity = self.some(calm, 9);
        let word = self.below(words);
        item.name = (self.below(7) > 0).then(|| {
            let tail = "ё".repeat(usize::try_from(word % 70).unwrap_or_default());
            texts.put(&format!(
                "{} предмет {word}{tail}",
                char::from(b'a'.saturating_add(word.to_le_bytes()[0] % 20))
            ))
        });
        facts.cashier = (at / 4_000).is_multiple_of(2).then(|| texts.put(&"Ёлкина 😀 ".repeat(9)));
        facts.buyer_contact = (self.below(20) == 0).then(|| texts.put(&format!("+7{:010}", self.next())));
        row
    }
}

/// The same rows by the writer of parquet-rs, in the batches that [`TableWriter`] looks at pages in.
fn by_arrow(table: Table, options: FileOptions, rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    let columns: Vec<Column> =
        table.columns().iter().filter(|it| !(options.without_personal && it.personal)).copied().collect();
    let mut batch = Batch::new(&columns);
    let mut writer = rewriter(table, Vec::new(), Arc::clone(batch.schema()), options, &[])?;
    let mut bytes = 0_usize;
    for row in rows {
        batch.push(row);
        bytes = bytes.saturating_add(row.head.bulk_len());
        if batch.rows() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            writer.write(&batch.take()?)?;
            bytes = 0;
        }
    }
    if batch.rows() > 0 {
        writer.write(&batch.take()?)?;
    }
    writer.into_inner()
}

fn by_us(table: Table, options: FileOptions, rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    let mut writer = TableWriter::new(table, Vec::new(), options, &[])?;
    rows.iter().try_for_each(|row| writer.push(row))?;
    assert_eq!(writer.finish()?, rows.len() as u64);
    Ok(writer.sink().clone())
}

fn is_bulk(table: Table) -> bool {
    table.columns().iter().any(|it| it.layout == Layout::Bulk)
}

fn batches(bytes: &[u8]) -> Result<Vec<arrow_array::RecordBatch>, ParquetError> {
    let bytes = Bytes::copy_from_slice(bytes);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(5_000).build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// Rows of the row groups.
fn groups(bytes: &[u8]) -> Result<Vec<i64>, ParquetError> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes))?;
    Ok(reader.metadata().row_groups().iter().map(|it| it.num_rows()).collect())
}

/// Why: whoever reads files of the years before reads these, and nobody can tell which writer made them. Where a row group is cut by
/// its bytes, pages end with the batch that was cut, and the groups and rows are the same.
#[test]
fn files_are_those_of_the_writer_of_parquet_byte_for_byte() -> Result<(), ParquetError> {
    let mut chance = Chance(1);
    let small = FileOptions { row_group_rows: 10_000, row_group_bytes: 1 << 20, ..FileOptions::default() };
    let bare = FileOptions { without_personal: true, ..small };
    for count in [0, 1, 7, 8, 9, 1_023, 1_024, 1_025, 8_192, 8_193, 20_000] {
        let rows: Vec<Row> = (0..count).map(|at| chance.row(at, 3_000)).collect();
        for table in Table::ALL {
            for options in [FileOptions::default(), small, bare] {
                let (ours, theirs) = (by_us(table, options, &rows)?, by_arrow(table, options, &rows)?);
                if options.row_group_bytes == small.row_group_bytes && is_bulk(table) {
                    assert_eq!(groups(&ours)?, groups(&theirs)?, "{count} rows of {table}");
                    assert_eq!(batches(&ours)?, batches(&theirs)?, "{count} rows of {table}");
                    continue;
                }
                let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
                let lens = (ours.len(), theirs.len());
                assert!(ours == theirs, "{count} rows of {table}: {lens:?} bytes differ from {at:?} on");
            }
        }
    }
    Ok(())
}

/// Why: a dictionary that gets full is the one place where the bytes are ours. The rows are the same, and no page and no
/// dictionary is longer than it may be.
#[test]
fn a_dictionary_that_gets_full_loses_no_value() -> Result<(), ParquetError> {
    let mut chance = Chance(2);
    let rows: Vec<Row> = (0..60_000).map(|at| chance.row(at, 1_000_000)).collect();
    let (ours, theirs) = (
        by_us(Table::Items, FileOptions::default(), &rows)?,
        by_arrow(Table::Items, FileOptions::default(), &rows)?,
    );
    let reader = SerializedFileReader::new(Bytes::from(ours.clone()))?;
    let group = reader.metadata().row_group(0);
    let name = group.columns().iter().find(|it| it.column_descr().name() == "name");
    let mask = name.and_then(|it| it.page_encoding_stats_mask());
    assert!(mask.is_some_and(|it| !it.is_only(Encoding::RLE_DICTIONARY)), "the dictionary did not get full");
    assert!(
        ours.len() <= theirs.len().saturating_add(theirs.len() / 200),
        "{} and {}",
        ours.len(),
        theirs.len()
    );
    assert_eq!(batches(&ours)?, batches(&theirs)?);
    Ok(())
}

/// Why: a row without a required value is a defect of ours, and no file must come of it.
#[test]
fn a_required_column_without_a_value_makes_no_file() -> Result<(), ParquetError> {
    for rows in [1, 20_000] {
        let mut writer = TableWriter::new(Table::Documents, Vec::new(), FileOptions::default(), &[])?;
        let pushed = (0..rows).try_for_each(|_| writer.push(&Row::default()));
        assert!(pushed.and_then(|()| writer.finish()).is_err(), "{rows}");
    }
    Ok(())
}

/// Why: a full dictionary makes the writer fall back to whole values without a word; of names that was a quarter of
/// the column.
#[test]
fn names_and_prices_of_a_row_group_stay_in_the_dictionary() -> Result<(), ParquetError> {
    let mut writer = TableWriter::new(Table::Items, Vec::new(), FileOptions::default(), &[])?;
    for at in 0..120_000_i64 {
        let mut row = Row::default();
        row.head.drive = Some(row.texts.put("9999078900001234"));
        row.item.name = Some(row.texts.put(&format!("Предмет расчёта, каких у лавки {:05}", at % 40_000)));
        row.item.price = Some(at.rem_euclid(900));
        writer.push(&row)?;
    }
    assert_eq!(writer.finish()?, 120_000);
    let reader = SerializedFileReader::new(bytes::Bytes::from(writer.sink().clone()))?;
    let group = reader.metadata().row_group(0);
    for name in ["name", "price"] {
        let column = group.columns().iter().find(|it| it.column_descr().name() == name);
        let mask = column.and_then(|it| it.page_encoding_stats_mask());
        assert!(mask.is_some_and(|it| it.is_only(Encoding::RLE_DICTIONARY)), "{name}: {mask:?}");
    }
    Ok(())
}
