//! Asking an engine: each question over the newest moment.

use std::fmt;
use std::sync::Arc;

use ofd_storage::union::Snapshot;

use crate::answer::Answer;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::scope::Scope;
use crate::session::{Machine, Session, machine};

/// How often a question is asked again because files were merged or left under it.
const TRIES_MAX: usize = 5;

/// Takes a snapshot.
type Take = dyn Fn() -> Result<Snapshot, ofd_storage::Error> + Send + Sync;

/// SQL within a scope.
pub struct Sql {
    take: Box<Take>,
    scope: Scope,
    limits: Limits,
    machine: Arc<Machine>,
}

impl Sql {
    /// For a scope; `take` gives the newest snapshot.
    ///
    /// # Errors
    /// `Limits` when one is out of its bounds.
    pub fn new(
        take: impl Fn() -> Result<Snapshot, ofd_storage::Error> + Send + Sync + 'static,
        scope: Scope,
        limits: Limits,
    ) -> Result<Self, Error> {
        let machine = machine(&limits)?;
        Ok(Self { take: Box::new(take), scope, limits, machine })
    }

    /// A session over what is there now, for several questions about the same moment.
    ///
    /// # Errors
    /// `Storage` when the archive or the log cannot be read.
    pub fn session(&self) -> Result<Session, Error> {
        let snapshot = (self.take)().map_err(|error| Error::storage(&error, &self.scope))?;
        Session::on(Arc::clone(&self.machine), snapshot, self.scope.clone(), self.limits.clone())
    }

    /// Asks over what is there now. A question whose files went before its first row (a merge, the end of their years) is
    /// asked again over what is there then.
    ///
    /// # Errors
    /// Of every kind; see [`ErrorKind`].
    pub fn query(&self, sql: &str) -> Result<Answer, Error> {
        let mut tries = 1;
        loop {
            match self.session().and_then(|session| session.query(sql)) {
                Err(error) if error.kind() == ErrorKind::Changed && tries < TRIES_MAX => tries += 1,
                answered => return answered,
            }
        }
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql")
            .field("scope", &self.scope)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
