//! The rows behind the archive: what the log holds and no compaction has come to yet.
//!
//! They are made once a session and table, when a question first names it, and lie in memory under the session's limit. A
//! tenant's session keeps his own rows only.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Date32Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use ofd_storage::columns::{Day, Table};
use ofd_storage::union::Snapshot;

use crate::error::{Error, ErrorKind};
use crate::scope::{OWNER, Scope};
use crate::scoped::of_users;

/// The tail's rows of a table, with all its columns and `date`.
pub(crate) struct Tail {
    pub(crate) batches: Vec<RecordBatch>,
    /// Gives the memory back with the rows.
    _held: MemoryReservation,
}

impl Tail {
    /// Reads them; `schema` is that of the table with `date` at its end.
    pub(crate) fn read(
        snapshot: &Snapshot,
        table: Table,
        schema: &SchemaRef,
        scope: &Scope,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        let held = MemoryConsumer::new("tail").register(pool);
        let owner = schema.index_of(OWNER).ok();
        let mut batches = Vec::new();
        let mut failed = None;
        let mut keep = |day: Day, batch: RecordBatch| {
            let mut batch = shaped(&batch, day, schema)?;
            if let (Some(users), Some(owner)) = (scope.inns(), owner) {
                batch = of_users(&batch, owner, users)?;
            }
            if batch.num_rows() > 0 {
                held.try_grow(batch.get_array_memory_size()).map_err(|_| too_long())?;
                batches.push(batch);
            }
            Ok::<(), DataFusionError>(())
        };
        let read = snapshot.tail(table, &mut |day, batch| {
            keep(day, batch).map_err(|error| {
                failed = Some(error);
                // Ends the walk; what is told is the error above.
                ofd_storage::Error::new(ofd_storage::ErrorKind::Fix, "the tail is not wanted any more")
            })
        });
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(DataFusionError::External(Box::new(error))),
            (None, Ok(())) => Ok(Self { batches, _held: held }),
        }
    }
}

fn too_long() -> DataFusionError {
    let text =
        "what is not compacted yet does not fit into the memory of a question: compact, or raise its limit";
    DataFusionError::External(Box::new(Error::new(ErrorKind::Memory, text)))
}

/// The batch in the types of the table, `date` added.
fn shaped(batch: &RecordBatch, day: Day, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Arc::clone(array),
            Some(array) => cast(array, field.data_type())?,
            None => Arc::new(Date32Array::from(vec![day.0; rows])),
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
