//! A table of the archive with its tail, for DataFusion.
//!
//! Files are chosen by the manifest alone, before one is opened: by the date of their folder and what their entries tell of
//! INNs, positions and drives. Within a file DataFusion chooses row groups and pages by their statistics and index.
//!
//! The operator's conditions are evaluated while Parquet is being read. A tenant's are not: below [`ScopedExec`] they only
//! choose files, row groups and pages, and of them only those that compare a column with a constant, which cannot fail.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown, col, lit};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use ofd_storage::columns::{Day, Kind, Table, schema};
use ofd_storage::manifest::FileEntry;

use crate::scope::{OWNER, Scope};
use crate::scoped::ScopedExec;
use crate::session::Moment;

/// The column of the folder.
pub(crate) const DATE: &str = "date";
/// Under which the archive is known to DataFusion: a name, no place.
pub(crate) const STORE: &str = "ofd://archive";

/// A table within a scope.
pub(crate) struct ArchiveTable {
    table: Table,
    moment: Arc<Moment>,
    /// All columns, `date` at the end.
    full: TableSchema,
    /// Those that are there within the scope.
    shown: SchemaRef,
    /// Their places among all.
    places: Vec<usize>,
}

impl ArchiveTable {
    pub(crate) fn new(table: Table, moment: Arc<Moment>) -> Result<Self> {
        let full = table_schema(table);
        let all = full.table_schema();
        let seen = |field: &Field| moment.scope.has_column(field.name());
        let places: Vec<usize> =
            (0..all.fields().len()).filter(|at| all.fields().get(*at).is_some_and(|it| seen(it))).collect();
        let shown = Arc::new(all.project(&places)?);
        Ok(Self { table, moment, full, shown, places })
    }

    /// The conditions that may choose files and pages.
    fn choosing(&self, filters: &[Expr]) -> Option<Expr> {
        let mut chosen: Vec<Expr> = filters.to_vec();
        if let Scope::Users(users) = &self.moment.scope {
            chosen.retain(cannot_fail);
            // A long list is not looked up in statistics; its ends are.
            if let (Some(least), Some(most)) = (users.first(), users.last()) {
                chosen.push(col(OWNER).between(lit(least.as_str()), lit(most.as_str())));
                chosen.push(col(OWNER).in_list(users.iter().map(|it| lit(it.as_str())).collect(), false));
            } else {
                chosen.push(lit(false));
            }
        }
        conjunction(chosen)
    }

    /// The files that may hold rows for the condition.
    fn files(&self, state: &dyn Session, condition: Option<&Expr>) -> Result<Vec<&FileEntry>> {
        let files: Vec<&FileEntry> = self.moment.snapshot.archive().files(self.table).collect();
        let Some(condition) = condition else { return Ok(files) };
        let all = self.full.table_schema();
        let condition =
            state.create_physical_expr(condition.clone(), &DFSchema::try_from(Arc::clone(all))?)?;
        let Ok(predicate) =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(all)).try_build(condition)
        else {
            return Ok(files);
        };
        let facts = files.iter().map(|file| Arc::new(self.facts(file))).collect();
        let Ok(keep) = predicate.prune(&PrunableStatistics::new(facts, Arc::clone(all))) else {
            return Ok(files);
        };
        Ok(files.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    /// What the manifest knows of a file, for choosing alone: its reaches may be wider than the rows that are left in it.
    fn facts(&self, file: &FileEntry) -> Statistics {
        let all = self.full.table_schema();
        let mut facts = Statistics::new_unknown(all);
        facts.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
        let number = |at: u64| ScalarValue::Int64(Some(i64::try_from(at).unwrap_or(i64::MAX)));
        let text = |it: &str| ScalarValue::Utf8View(Some(it.to_owned()));
        let (least, most) = file.positions;
        reach(&mut facts, all, "position", Some((number(least), number(most))));
        let (least, most) = (&file.fns.0, &file.fns.1);
        reach(&mut facts, all, "fn", (!most.is_empty()).then(|| (text(least), text(most))));
        match &file.inns {
            Some((least, most)) => reach(&mut facts, all, OWNER, Some((text(least), text(most)))),
            // No row has one.
            None => nothing_but_null(&mut facts, all, OWNER),
        }
        if let Ok(day) = file.date.parse::<Day>() {
            let day = ScalarValue::Date32(Some(day.0));
            reach(&mut facts, all, DATE, Some((day.clone(), day)));
        }
        facts
    }

    /// Reads the files, as many side by side as there are threads.
    fn parquet(
        &self,
        state: &dyn Session,
        files: &[&FileEntry],
        condition: Option<&Expr>,
        columns: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = state.config_options();
        let mut parquet = state.default_table_options().parquet;
        parquet.global = options.execution.parquet.clone();
        let mut source = ParquetSource::new(self.full.clone())
            .with_parquet_file_reader_factory(Arc::clone(&self.moment.files) as _)
            .with_table_parquet_options(parquet)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true);
        // The operator's own conditions come down by themselves, and are evaluated then.
        if let (Scope::Users(_), Some(condition)) = (&self.moment.scope, condition) {
            let all = DFSchema::try_from(Arc::clone(self.full.table_schema()))?;
            let condition = state.create_physical_expr(condition.clone(), &all)?;
            source = source.with_predicate(condition).with_pushdown_filters(false);
        }
        let parts = files.iter().map(|file| {
            let day = file.date.parse::<Day>().map(|day| day.0).ok();
            PartitionedFile::new(file.path().to_string_lossy(), file.bytes)
                .with_partition_values(vec![ScalarValue::Date32(day)])
        });
        let groups = FileGroup::new(parts.collect()).split_files(options.execution.target_partitions.max(1));
        let mut scan = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE)?, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(columns.to_vec()))?;
        if matches!(self.moment.scope, Scope::Everything) {
            let rows = files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
            let mut statistics = Statistics::new_unknown(self.full.table_schema());
            statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
            scan = scan.with_statistics(statistics);
        }
        Ok(DataSourceExec::from_data_source(scan.build()))
    }
}

/// The smallest and the largest value of a column of a file.
fn reach(facts: &mut Statistics, all: &Schema, name: &str, ends: Option<(ScalarValue, ScalarValue)>) {
    let Ok(at) = all.index_of(name) else { return };
    if let (Some(column), Some((least, most))) = (facts.column_statistics.get_mut(at), ends) {
        *column = ColumnStatistics::new_unknown()
            .with_min_value(Precision::Exact(least))
            .with_max_value(Precision::Exact(most));
    }
}

fn nothing_but_null(facts: &mut Statistics, all: &Schema, name: &str) {
    let rows = facts.num_rows;
    let Ok(at) = all.index_of(name) else { return };
    if let Some(column) = facts.column_statistics.get_mut(at) {
        *column = ColumnStatistics::new_unknown().with_null_count(rows);
    }
}

/// The columns of a table as they are read, `date` at the end. Text and bytes as views, which are read and grouped faster.
pub(crate) fn table_schema(table: Table) -> TableSchema {
    let narrow = schema(table.columns());
    let fields = narrow.fields().iter().zip(table.columns()).map(|(field, column)| {
        let kind = match column.kind {
            Kind::Text => DataType::Utf8View,
            Kind::Bytes => DataType::BinaryView,
            _ => field.data_type().clone(),
        };
        // Without its title: DataFusion takes columns of different ones for different, and a UNION of them for a defect.
        Field::new(field.name(), kind, field.is_nullable())
    });
    let file = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    TableSchema::builder(file)
        .with_table_partition_cols(vec![Arc::new(Field::new(DATE, DataType::Date32, false))])
        .build()
}

/// Whether a condition compares columns with constants and does nothing else: no value can make it fail.
fn cannot_fail(condition: &Expr) -> bool {
    let constant = |it: &Expr| matches!(it, Expr::Literal(..));
    let column = |it: &Expr| matches!(it, Expr::Column(Column { .. }));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => cannot_fail(left) && cannot_fail(right),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => (column(left) && constant(right)) || (constant(left) && column(right)),
            _ => false,
        },
        Expr::Not(inner) => cannot_fail(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => column(inner),
        Expr::Between(Between { expr, low, high, .. }) => column(expr) && constant(low) && constant(high),
        Expr::InList(InList { expr, list, .. }) => column(expr) && list.iter().all(constant),
        _ => false,
    }
}

impl fmt::Debug for ArchiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveTable").field(&self.table).finish()
    }
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shown)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // They choose files; rows are looked at again above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(shown) => shown.iter().filter_map(|at| self.places.get(*at).copied()).collect(),
            None => self.places.clone(),
        };
        let all = self.full.table_schema();
        // What is read: what is wanted, and behind it the owner where he has to be known.
        let mut read = wanted.clone();
        let mut owner = None;
        if self.moment.scope.inns().is_some() {
            let place = all.index_of(OWNER)?;
            owner = Some(read.iter().position(|at| *at == place).unwrap_or_else(|| {
                read.push(place);
                wanted.len()
            }));
        }
        let condition = self.choosing(filters);
        let files = self.files(state, condition.as_ref())?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.is_empty() {
            parts.push(self.parquet(state, &files, condition.as_ref(), &read)?);
        }
        let tail = self.moment.tail(self.table, all).await?;
        if !tail.batches.is_empty() {
            let rows = [tail.batches.clone()];
            parts.push(MemorySourceConfig::try_new_exec(&rows, Arc::clone(all), Some(read.clone()))?);
        }
        let plan: Arc<dyn ExecutionPlan> = match (parts.pop(), parts.is_empty()) {
            (None, _) => Arc::new(EmptyExec::new(Arc::new(all.project(&read)?))),
            (Some(one), true) => one,
            (Some(last), false) => {
                parts.push(last);
                UnionExec::try_new(parts)?
            }
        };
        match (&self.moment.scope, owner) {
            (Scope::Users(users), Some(owner)) => {
                let shown = (0..wanted.len()).collect();
                Ok(Arc::new(ScopedExec::new(plan, Arc::clone(users), owner, shown)?))
            }
            _ => Ok(plan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::cast;

    /// What may fail on a row of somebody else must not be put to it.
    #[test]
    fn only_a_comparison_with_a_constant_cannot_fail() {
        for harmless in [
            col("fd").eq(lit(1_i64)),
            lit(1_i64).lt(col("fd")).and(col("fn").is_null()),
            col("fn").in_list(vec![lit("1"), lit("2")], true),
            col("fd").between(lit(1_i64), lit(2_i64)).or(col("inn").not_eq(lit("1"))),
        ] {
            assert!(cannot_fail(&harmless), "{harmless}");
        }
        for other in [
            (lit(1_i64) / col("fd")).gt(lit(0_i64)),
            cast(col("fn"), DataType::Int64).eq(lit(1_i64)),
            col("fd").eq(col("shift")),
            col("fd").eq(lit(1_i64)).or((lit(1_i64) / col("fd")).gt(lit(0_i64))),
            col("internet"),
        ] {
            assert!(!cannot_fail(&other), "{other}");
        }
    }

    /// Every table has its own columns and `date`, once.
    #[test]
    fn a_table_has_its_columns_and_the_date() {
        for table in Table::ALL {
            let all = table_schema(table);
            let names: Vec<&str> = all.table_schema().fields().iter().map(|it| it.name().as_str()).collect();
            let own: Vec<&str> = table.columns().iter().map(|it| it.name).collect();
            assert_eq!(names.split_last(), Some((&DATE, own.as_slice())), "{table}");
        }
    }
}
