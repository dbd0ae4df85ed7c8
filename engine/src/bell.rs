//! The bell of an I/O thread: at most one ring a commit, however many documents it carries.
//!
//! A ring is the eventfd of the thread's own runtime, by way of tokio's `Notify`: rings that come before the port
//! listens are kept as one.

use tokio::sync::Notify;

/// The bell of one port.
#[derive(Debug, Default)]
pub(crate) struct PortBell {
    notify: Notify,
}

impl PortBell {
    /// Wakes the port.
    pub(crate) fn ring(&self) {
        self.notify.notify_one();
    }

    /// Comes back when it was rung since the last time.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }
}
