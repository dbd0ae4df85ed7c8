//! The bell of an I/O thread: at most one ring a commit, however many documents it carries.
//!
//! A ring is the eventfd of the thread's own runtime, by way of tokio's `Notify`: rings that come before the port
//! listens are kept as one.

use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::sync::Notify;

/// The bell of one port.
#[derive(Debug, Default)]
pub(crate) struct PortBell {
    notify: Notify,
    /// Nobody listens any more.
    deaf: AtomicBool,
}

impl PortBell {
    /// Wakes the port.
    pub(crate) fn ring(&self) {
        self.notify.notify_one();
    }

    /// Nobody will listen from here on. Who says so looks behind it for what was left at the door, and so does who has left
    /// something and then finds it said: one of the two sees it.
    pub(crate) fn fall_deaf(&self) {
        self.deaf.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_deaf(&self) -> bool {
        fence(Ordering::SeqCst);
        self.deaf.load(Ordering::SeqCst)
    }

    /// Comes back when it was rung since the last time.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }
}
