//! Delivery channels that come with the engine: signed webhooks (feature `webhook`) and e-mail (feature `smtp`).
//!
//! They stand on the host's side of the seam ([`crate::host::Channel`]): threads, sockets and files are their own, and an engine
//! does without them. A call is handed to a few threads, each of which makes one delivery at a time.

#[cfg(feature = "smtp")]
mod letter;
mod machine;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "smtp")]
pub use smtp::{Smtp, SmtpOptions, SmtpSecurity};
#[cfg(feature = "webhook")]
pub use webhook::{Webhook, WebhookOptions};
