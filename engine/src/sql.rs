//! SQL over the archive and the tail, within what a capability opens (feature `sql`).
//!
//! The work is done by the crate `ofd-sql`, whose names stand here: [`Sql`] asks, [`Answer`] hands rows out as JSON or as
//! Arrow's record batches, [`Limits`] says what a question may take. A capability of some users is a tenant: his questions
//! get his rows whatever they say, and the tables and columns that are the operator's do not exist for them.

use std::sync::{Arc, Mutex, PoisonError};

use ofd_storage::LogReader;

pub use ofd_sql::{Answer, AnswerColumn, Error, ErrorKind, Kind, Limits, Rows, Session, Sql, views};

use crate::archive;
use crate::engine::Engine;
use crate::host::{Capability, Scope};
use crate::readonly::{self, ReadOnly};

impl Engine {
    /// SQL over everything durable, seconds fresh or less: each question sees what has been compacted and what has not as
    /// one. Registers are served meanwhile, by other threads.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = ofd_engine::Engine::builder(dir.path()).segment_len_bytes(1 << 20).open()?;
    /// use ofd_engine::host::Capability;
    /// use ofd_engine::sql::Limits;
    ///
    /// let tenant = Capability::users(["7704211201".to_owned()]);
    /// let sql = engine.sql(&tenant, Limits::default())?;
    /// let mut answer = sql.query("SELECT дата, sum(выручка) AS выручка FROM чеки GROUP BY дата ORDER BY дата")?;
    /// while let Some(rows) = answer.next_rows()? {
    ///     rows.each_json(&mut |line| println!("{line}"))?;
    /// }
    /// # engine.shutdown()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Limits` when one is out of its bounds.
    pub fn sql(&self, capability: &Capability, limits: Limits) -> Result<Sql, Error> {
        let shared = Arc::clone(self.shared());
        Sql::new(move || archive::snapshot(&shared), scope(capability), limits)
    }
}

impl ReadOnly {
    /// As [`Engine::sql`], without owning the directory: each question sees what is durable when it is asked.
    ///
    /// # Errors
    /// As [`Engine::sql`].
    pub fn sql(&self, capability: &Capability, limits: Limits) -> Result<Sql, Error> {
        let (env, first) = self.parts();
        let seen = Mutex::new(Some(first));
        let take = move || {
            // The first question sees what was there when the directory was opened; a later one looks anew.
            let first = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
            let reader = match first {
                Some(first) => first,
                None => LogReader::open_read_only(Arc::clone(&env))?,
            };
            readonly::snapshot(&env, &reader, None)
        };
        Sql::new(take, scope(capability), limits)
    }
}

fn scope(capability: &Capability) -> ofd_sql::Scope {
    match capability.scope() {
        Scope::Operator => ofd_sql::Scope::Everything,
        Scope::Users(inns) => ofd_sql::Scope::Users(Arc::clone(inns)),
    }
}
