//! Lists of documents in pages, and finding them by what is known of them. By a running engine, or beside it.
//!
//! What may be asked and what it costs is told at [`Search`] and in `ofd_storage::union`; here it is decided who sees what: a
//! page has the documents of the organisations of its capability and no other, whatever the search names.

use std::collections::BTreeSet;

use ofd_storage::union::{Search, SearchCursor, SearchPage, Snapshot};

use crate::engine::Engine;
use crate::error::Error;
use crate::excerpt::again;
use crate::host::{Capability, Scope};
use crate::readonly::ReadOnly;

impl Engine {
    /// A page of the documents that are searched for and that the capability shows, newest first: the first one, or the one behind
    /// a cursor. At most `limit` documents, 1 to [`crate::SEARCH_LIMIT_MAX`]. [`Engine::find`] gives the whole document.
    ///
    /// Pages stay where they are: documents that come meanwhile are on none of them, and neither compaction nor a restart
    /// moves one. A cursor is text ([`SearchCursor`]) for the same search.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ofd_engine::host::Capability;
    /// use ofd_engine::{Engine, ItemSearch, Search};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open()?;
    /// let merchant = Capability::users(["7707083893".to_owned()]);
    /// let item = ItemSearch { words: Some("молоко 3,2%".to_owned()), ..ItemSearch::default() };
    /// let search = Search { total: Some(10_000..=50_000), item, ..Search::default() };
    /// let mut page = engine.search(&merchant, &search, 50, None)?;
    /// while let Some(next) = page.next {
    ///     page = engine.search(&merchant, &search, 50, Some(&next))?;
    /// }
    /// # engine.shutdown()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Fix` for a printed sign without a scope, a limit out of range, or the cursor of another search; as
    /// [`Snapshot::search`].
    pub fn search(
        &self,
        capability: &Capability,
        search: &Search,
        limit: usize,
        after: Option<&SearchCursor>,
    ) -> Result<SearchPage, Error> {
        searched(&|| self.snapshot(), capability, search, limit, after)
    }
}

impl ReadOnly {
    /// As [`Engine::search`].
    ///
    /// # Errors
    /// As there.
    pub fn search(
        &self,
        capability: &Capability,
        search: &Search,
        limit: usize,
        after: Option<&SearchCursor>,
    ) -> Result<SearchPage, Error> {
        searched(&|| self.snapshot(None), capability, search, limit, after)
    }
}

fn searched(
    snapshot: &dyn Fn() -> Result<Snapshot, Error>,
    capability: &Capability,
    search: &Search,
    limit: usize,
    after: Option<&SearchCursor>,
) -> Result<SearchPage, Error> {
    let sees: Option<&BTreeSet<String>> = match capability.scope() {
        Scope::Operator => None,
        Scope::Users(inns) => Some(inns),
    };
    again(&mut || Ok(snapshot()?.search(search, sees, limit, after)?))
}
