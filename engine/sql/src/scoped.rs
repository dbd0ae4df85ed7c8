//! The step that no question passes by: rows of the tenant alone go up, and nothing goes down.
//!
//! Everything that SQL asks for is computed above it, from rows that the tenant may see. It is not a filter of the planner's,
//! which might be moved, merged or split, but a step of its own kind: DataFusion's rules take such a one for a wall. So no
//! condition of the tenant's is ever put to a row of somebody else, where a division by zero or the time it takes could
//! tell of it; and what is known of the files below (how many rows, the smallest and the largest value) stays below.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

/// Passes the rows on whose owner is one of the users, with the columns that are shown.
#[derive(Debug)]
pub(crate) struct ScopedExec {
    input: Arc<dyn ExecutionPlan>,
    users: Arc<BTreeSet<String>>,
    /// Place of the owner in the input.
    owner: usize,
    /// Places of the columns that are shown, in their order.
    shown: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl ScopedExec {
    /// `owner` is the place of a text column of the input; `shown` the places of those that go up.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        users: Arc<BTreeSet<String>>,
        owner: usize,
        shown: Vec<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(input.schema().project(&shown)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { input, users, owner, shown, properties: Arc::new(properties) })
    }
}

/// The rows of a batch whose owner, the text column at this place, is one of the users.
pub(crate) fn of_users(batch: &RecordBatch, owner: usize, users: &BTreeSet<String>) -> Result<RecordBatch> {
    let Some(owners) = batch.columns().get(owner).and_then(|array| array.as_string_view_opt()) else {
        return internal_err!("a batch without the owner of its rows");
    };
    // Rows of one owner mostly lie together: the set is asked when he changes.
    let mut last: Option<(&str, bool)> = None;
    let keep: BooleanArray = owners
        .iter()
        .map(|owner| {
            let seen = match (owner, last) {
                (None, _) => false,
                (Some(owner), Some((before, seen))) if owner == before => seen,
                (Some(owner), _) => {
                    let seen = users.contains(owner);
                    last = Some((owner, seen));
                    seen
                }
            };
            Some(seen)
        })
        .collect();
    if keep.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &keep)?)
}

impl DisplayAs for ScopedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedExec: users={}", self.users.len())
    }
}

impl ExecutionPlan for ScopedExec {
    fn name(&self) -> &'static str {
        "ScopedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("a scoped scan has one input");
        };
        Ok(Arc::new(Self::new(input, Arc::clone(&self.users), self.owner, self.shown.clone())?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (users, owner, shown) = (Arc::clone(&self.users), self.owner, self.shown.clone());
        let schema: SchemaRef = self.schema();
        let rows = self.input.execute(partition, context)?.map(move |batch| {
            let own = of_users(&batch?, owner, &users)?;
            own.project(&shown).map_err(DataFusionError::from)
        });
        // A batch without rows tells that there was one.
        let rows = rows.filter(|batch| {
            let empty = batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
            futures::future::ready(!empty)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
