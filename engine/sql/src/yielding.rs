//! Steps that make many rows out of few give way: so that a question whose time is over can be ended.
//!
//! Work is ended where it waits, and DataFusion lets it wait where rows are read. A join of everything with everything, or a
//! recursion, reads nothing and runs on and on; behind each of these stands a step here that waits now and then.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// Parts of the names of such steps.
const MAKERS: [&str; 4] = ["Join", "Recursive", "WorkTable", "Unnest"];

/// Puts the waiting behind them.
#[derive(Debug)]
pub(crate) struct Yielding;

impl PhysicalOptimizerRule for Yielding {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|step| {
            if MAKERS.iter().any(|maker| step.name().contains(maker)) {
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(step)) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(step))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
