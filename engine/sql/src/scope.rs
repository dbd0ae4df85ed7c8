//! Whose rows a session sees, and which tables and columns there are for whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use ofd_storage::columns::Table;

/// Column by which rows belong to somebody.
pub(crate) const OWNER: &str = "inn";
/// Columns that tell where a row lies among everybody's: they are the operator's.
const PLACES: [&str; 3] = ["position", "partition_seq", "as_of"];

/// The rows that a session sees, whatever its SQL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them: the operator.
    Everything,
    /// Those whose `inn` is one of these, and no other: a tenant. A row without `inn` is the operator's.
    Users(Arc<BTreeSet<String>>),
}

impl Scope {
    /// Those of these INNs.
    pub fn users<I: IntoIterator<Item = String>>(inns: I) -> Self {
        Self::Users(Arc::new(inns.into_iter().collect()))
    }

    /// The INNs, where not everything is seen.
    pub(crate) fn inns(&self) -> Option<&Arc<BTreeSet<String>>> {
        match self {
            Self::Everything => None,
            Self::Users(inns) => Some(inns),
        }
    }

    /// Whether a table is there: one without `inn` belongs to the operator.
    pub(crate) fn has_table(&self, table: Table) -> bool {
        matches!(self, Self::Everything) || table.column_index(OWNER).is_some()
    }

    /// Whether a column is there.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        matches!(self, Self::Everything) || !PLACES.contains(&name)
    }
}
