//! SQL over the archive and the tail of the log, as one: every stored row once, within what the asker may see.
//!
//! [`Sql`] asks. Each question is answered from one moment ([`ofd_storage::union::Snapshot`]): the Parquet files that the
//! manifest names, and the rows behind them that no compaction has come to yet. The tables are those of
//! [`ofd_storage::columns::Table`], each with the column `date` (the folder's), and the views of [`mod@views`] with the
//! words of the field, in English and Russian.
//!
//! Shape of a scan; a line is a step, and rows go up:
//!
//! ```text
//!   what the SQL says           joins, filters, sums …
//!   ScopedExec                  for a tenant: rows of his INNs, columns of his; nothing from above goes below it
//!   UnionExec
//!   ├─ DataSourceExec           Parquet files by the manifest's list, fewer by INN, date, position and drive
//!   └─ DataSourceExec           the tail's rows, read once a session and table
//! ```
//!
//! Invariants:
//! - A tenant gets the rows that he would get if nobody else had any, whatever the SQL says
//!   (`tests/isolation.rs`). Neither an error nor a plan nor a number of rows depends on rows of others.
//! - Nothing but a question is answered: one SELECT, WITH or EXPLAIN; no file is named, no setting changed, nothing written
//!   (`statement::tests`).
//! - Sums are the same whatever part of the rows is compacted, and while a compaction runs (`tests/union.rs`).
//! - A question that takes too much memory, time or rows ends with an error of that kind (`tests/limits.rs`).
//!
//! DataFusion plans and runs; it is an implementation and stands in no signature here but for Arrow's record batches.

#![forbid(unsafe_code)]

mod answer;
mod error;
mod files;
mod functions;
mod limits;
mod scope;
mod scoped;
mod session;
mod sql;
mod statement;
mod table;
mod tail;
mod value;
pub mod views;
mod yielding;

pub use answer::{Answer, AnswerColumn, Rows};
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use scope::Scope;
pub use session::Session;
pub use sql::Sql;
pub use value::Kind;
