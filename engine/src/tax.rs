//! The leg to the tax service (ФНС): every document of production reaches it, once and in order, and what it says is joined to
//! the document.
//!
//! ```text
//! log ─▶ leg (leg.rs, thread ofd-tax) ─▶ Outbox::step (outbox.rs) ─▶ TaxService of the host
//!  ▲                                        │
//!  └──────── Status records ◀───────────────┘
//! ```
//!
//! The ledger is the log: what was sent and what was answered are records of it ([`ofd_storage::status`]), which compaction
//! writes to the table `statuses`. Nothing here stands in the way of a document to its answer.

mod account;
mod command;
#[cfg(feature = "tax-http")]
mod http;
pub(crate) mod leg;
mod options;
pub(crate) mod outbox;
mod report;

pub use account::{Account, DayCounts, Remark, Settled, Totals};
pub use command::TaxCommand;
#[cfg(feature = "tax-http")]
pub use http::{HttpTaxOptions, HttpTaxService, is_url};
pub use options::TaxOptions;
pub use outbox::TaxState;
pub use report::{ReconciledDay, TaxOverview, TaxReconciliation};
