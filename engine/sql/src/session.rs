//! Questions over one moment.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider};
use datafusion::common::{DataFusionError, plan_datafusion_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::logical_expr::LogicalPlan;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::physical_plan::{displayable, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use ofd_storage::columns::Table;
use ofd_storage::union::Snapshot;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::answer::{Answer, Message, Sender};
use crate::error::{Error, ErrorKind, Stage};
use crate::files::Files;
use crate::functions;
use crate::limits::Limits;
use crate::scope::Scope;
use crate::statement::{Asked, read};
use crate::table::{ArchiveTable, STORE};
use crate::tail::Tail;
use crate::views::{VIEWS, View};
use crate::yielding::Yielding;

/// Names under which SQL may find the tables: `ofd.public.documents`.
const CATALOG: &str = "ofd";
const SCHEMA: &str = "public";
/// Rows that are computed at once.
const BATCH_ROWS: usize = 8192;
/// Consumers of memory that an error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// What all tables of a session stand on.
pub(crate) struct Moment {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) scope: Scope,
    pub(crate) files: Arc<Files>,
    pool: Arc<dyn MemoryPool>,
    /// By table; read when a question first names it.
    tails: Vec<(Table, OnceCell<Arc<Tail>>)>,
}

impl Moment {
    /// The tail's rows of a table; `schema` is that of the table with `date`.
    pub(crate) async fn tail(
        self: &Arc<Self>,
        table: Table,
        schema: &SchemaRef,
    ) -> Result<Arc<Tail>, DataFusionError> {
        let known = self.tails.iter().find(|(it, _)| *it == table);
        let (_, cell) = known.ok_or_else(|| plan_datafusion_err!("no table {table}"))?;
        let read = || async {
            let (moment, schema) = (Arc::clone(self), Arc::clone(schema));
            // The log is read on a thread of its own: those of the session have questions to answer.
            let read = move || Tail::read(&moment.snapshot, table, &schema, &moment.scope, &moment.pool);
            let tail = tokio::task::spawn_blocking(read).await;
            tail.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?.map(Arc::new)
        };
        cell.get_or_try_init(read).await.cloned()
    }
}

/// Threads, ended without waiting for them: what they compute is nobody's any more.
pub(crate) struct Machine(Option<Runtime>);

impl Machine {
    fn start(threads: usize) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("ofd-sql")
            // Plans are walked by recursion.
            .thread_stack_size(8 << 20)
            .enable_time()
            .build()
            .map_err(|error| Error::new(ErrorKind::Defect, format!("no threads for SQL: {error}")))?;
        Ok(Self(Some(runtime)))
    }

    fn runtime(&self) -> Result<&Runtime, Error> {
        self.0.as_ref().ok_or_else(|| Error::new(ErrorKind::Defect, "the threads of SQL have ended"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads for questions: one set for the sessions that follow each other.
pub(crate) fn machine(limits: &Limits) -> Result<Arc<Machine>, Error> {
    limits.check()?;
    Machine::start(limits.threads()).map(Arc::new)
}

/// Knows one store, which is none: files come from the archive's own [`Files`].
#[derive(Debug)]
struct NoStores(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for NoStores {
    fn register_store(&self, _url: &url::Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        let own = ObjectStoreUrl::parse(STORE)?;
        let own: &url::Url = own.as_ref();
        if url.scheme() == own.scheme() && url.host_str() == own.host_str() {
            return Ok(Arc::clone(&self.0));
        }
        Err(plan_datafusion_err!("SQL opens no files"))
    }
}

/// Questions over one moment: what comes to the log later is not seen. Questions may be asked side by side.
pub struct Session {
    moment: Arc<Moment>,
    state: Arc<SessionState>,
    schema: Arc<MemorySchemaProvider>,
    limits: Limits,
    machine: Arc<Machine>,
}

impl Session {
    /// A session over a snapshot, for a scope.
    ///
    /// # Errors
    /// `Limits` when one is out of its bounds; `Storage` when the folder for spilling is not there.
    pub fn new(snapshot: Snapshot, scope: Scope, limits: Limits) -> Result<Self, Error> {
        let machine = machine(&limits)?;
        Self::on(machine, snapshot, scope, limits)
    }

    pub(crate) fn on(
        machine: Arc<Machine>,
        snapshot: Snapshot,
        scope: Scope,
        limits: Limits,
    ) -> Result<Self, Error> {
        limits.check()?;
        let planning = |error: &DataFusionError| Error::of(error, Stage::Planning, &Scope::Everything);
        let memory = limits.memory_bytes;
        let pool: Arc<dyn MemoryPool> = match limits.spill_dir {
            Some(_) => Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory), CONSUMERS_NAMED)),
            None => Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(memory), CONSUMERS_NAMED)),
        };
        let spill = match &limits.spill_dir {
            Some(dir) if dir.is_dir() => DiskManagerMode::Directories(vec![dir.clone()]),
            Some(dir) => {
                let text = format!("{}: no folder to spill into", dir.display());
                return Err(Error::new(ErrorKind::Limits, text));
            }
            None => DiskManagerMode::Disabled,
        };
        let disk =
            DiskManagerBuilder::default().with_mode(spill).with_max_temp_directory_size(limits.spill_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .with_disk_manager_builder(disk)
            .with_object_store_registry(Arc::new(NoStores(Arc::new(InMemory::new()))))
            .build_arc()
            .map_err(|error| planning(&error))?;
        let files = Arc::new(Files::new(Arc::clone(snapshot.archive().env())));
        let moment = Arc::new(Moment {
            snapshot: Arc::new(snapshot),
            scope,
            files,
            pool,
            tails: Table::ALL.into_iter().map(|table| (table, OnceCell::new())).collect(),
        });
        let schema = Arc::new(MemorySchemaProvider::new());
        for table in Table::ALL.into_iter().filter(|table| moment.scope.has_table(*table)) {
            let provider = ArchiveTable::new(table, Arc::clone(&moment)).map_err(|error| planning(&error))?;
            schema
                .register_table(table.name().to_owned(), Arc::new(provider))
                .map_err(|error| planning(&error))?;
        }
        let catalog = MemoryCatalogProvider::new();
        let registered = catalog.register_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>);
        registered.map_err(|error| planning(&error))?;
        let state = SessionStateBuilder::new()
            .with_config(config(&limits))
            .with_runtime_env(runtime)
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(functions::scalar())
            .with_aggregate_functions(functions::aggregate())
            .with_window_functions(functions::window())
            .with_physical_optimizer_rule(Arc::new(Yielding))
            .build();
        state.catalog_list().register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Self { moment, state: Arc::new(state), schema, limits, machine })
    }

    /// Asks. Returns when the first rows are there, or the answer is known to have none.
    ///
    /// # Errors
    /// Of every kind; see [`ErrorKind`].
    pub fn query(&self, sql: &str) -> Result<Answer, Error> {
        let deadline = Instant::now().checked_add(self.limits.time);
        let asked = read(sql)?;
        let (sender, receiver) = crate::answer::channel(deadline, self.limits.rows);
        let question = Question {
            moment: Arc::clone(&self.moment),
            state: Arc::clone(&self.state),
            schema: Arc::clone(&self.schema),
        };
        let task = self.machine.runtime()?.spawn(async move {
            if let Err(error) = question.answer(asked, &sender).await {
                sender.send(Message::Failed(error)).await;
            }
        });
        receiver.begin(task.abort_handle(), Arc::clone(&self.machine))
    }

    /// The names that can stand behind FROM, tables first.
    pub fn tables(&self) -> Vec<&'static str> {
        let tables = Table::ALL.into_iter().filter(|table| self.moment.scope.has_table(*table));
        let views = VIEWS.iter().filter(|view| view.exists(&self.moment.scope));
        let names = views.flat_map(|view| view.names());
        let mut all: Vec<&str> = tables.map(Table::name).collect();
        for name in names {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// Up to where the log is seen.
    pub fn through(&self) -> ofd_storage::Position {
        self.moment.snapshot.through()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("scope", &self.moment.scope)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn config(limits: &Limits) -> SessionConfig {
    let threads = limits.threads();
    let reserve = (limits.memory_bytes / 16 / threads.max(1)).clamp(64 << 10, 10 << 20);
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_sort_spill_reservation_bytes(reserve);
    let options = config.options_mut();
    // Numbers with a point are decimals: money is never a float here.
    options.sql_parser.parse_float_as_decimal = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.enable_page_index = true;
    options.execution.parquet.bloom_filter_on_read = true;
    config
}

/// A question on its way.
struct Question {
    moment: Arc<Moment>,
    state: Arc<SessionState>,
    schema: Arc<MemorySchemaProvider>,
}

impl Question {
    async fn answer(&self, asked: Asked, sender: &Sender) -> Result<(), Error> {
        let planning = |error: DataFusionError| Error::of(&error, Stage::Planning, &self.moment.scope);
        match asked {
            Asked::Plan(statement) => {
                let plan = self.plan(statement).await?;
                let lines = self.explain(&plan).await.map_err(planning)?;
                let field = Field::new("plan", DataType::Utf8View, false);
                let schema = Arc::new(Schema::new(vec![field]));
                let array = StringViewArray::from_iter_values(lines.lines());
                let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array)]);
                sender.send(Message::Begin(schema)).await;
                sender.send(Message::Rows(batch.map_err(|error| planning(error.into()))?)).await;
            }
            Asked::Rows(statement) => {
                let plan = self.plan(statement).await?;
                let plan = self.state.optimize(&plan).map_err(planning)?;
                let state = self.state.as_ref();
                let plan = state.query_planner().create_physical_plan(&plan, state).await;
                let plan = plan.map_err(|error| Error::of(&error, Stage::Physical, &self.moment.scope))?;
                sender.send(Message::Begin(plan.schema())).await;
                let running = |error: DataFusionError| Error::of(&error, Stage::Running, &self.moment.scope);
                let mut rows = execute_stream(plan, self.state.task_ctx()).map_err(running)?;
                while let Some(batch) = rows.next().await {
                    sender.send(Message::Rows(batch.map_err(running)?)).await;
                }
            }
        }
        sender.send(Message::End).await;
        Ok(())
    }

    /// The plan of a question; views that it names are planned first.
    async fn plan(&self, statement: Statement) -> Result<LogicalPlan, Error> {
        let planning = |error: DataFusionError| Error::of(&error, Stage::Planning, &self.moment.scope);
        for name in self.state.resolve_table_references(&statement).map_err(planning)? {
            let view = VIEWS.iter().find(|view| view.is_named(name.table()));
            if let Some(view) = view.filter(|it| it.exists(&self.moment.scope)) {
                self.add(view, name.table()).await.map_err(planning)?;
            }
        }
        let plan = self.state.statement_to_plan(statement).await.map_err(|error| self.named(error))?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|error| Error::new(ErrorKind::Refused, error.message().into_owned()))?;
        Ok(plan)
    }

    async fn add(&self, view: &View, name: &str) -> Result<(), DataFusionError> {
        if self.schema.table_exist(name) {
            return Ok(());
        }
        let plan = self.state.create_logical_plan(&view.sql(name)).await?;
        let table = Arc::new(ViewTable::new(plan, None));
        // Somebody may have done it meanwhile: the plans are the same.
        let _ = self.schema.register_table(name.to_owned(), table);
        Ok(())
    }

    /// An error of planning; one about a table that is not there names those that are.
    fn named(&self, error: DataFusionError) -> Error {
        let error = Error::of(&error, Stage::Planning, &self.moment.scope);
        if !error.to_string().contains("not found") || !error.to_string().starts_with("table ") {
            return error;
        }
        let tables = Table::ALL.into_iter().filter(|table| self.moment.scope.has_table(*table));
        let views = VIEWS.iter().filter(|view| view.exists(&self.moment.scope));
        let names: Vec<&str> = tables.map(Table::name).chain(views.map(|view| view.russian)).collect();
        Error::new(error.kind(), format!("{error}. There are {}", names.join(", ")))
    }

    /// How a question would be answered. The plan of the machine names files and their number: it is the operator's.
    async fn explain(&self, plan: &LogicalPlan) -> Result<String, DataFusionError> {
        let logical = self.state.optimize(plan)?;
        let mut text = logical.display_indent().to_string();
        if matches!(self.moment.scope, Scope::Everything) {
            let physical = self.state.create_physical_plan(plan).await?;
            text = format!("{text}\n\n{}", displayable(physical.as_ref()).indent(false));
        }
        Ok(text)
    }
}
