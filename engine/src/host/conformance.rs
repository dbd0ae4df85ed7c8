//! Checks that a host runs over his own implementations before he trusts the engine to them.
//!
//! Each function panics with a sentence that says what is wrong: they are meant to stand in the host's tests.

#![expect(clippy::panic, reason = "a conformance check speaks by panicking inside the host's tests")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use ofd_codec::DriveNumber;

use super::{
    Admission, AdmissionRequest, Channel, ConfirmRequest, Delivery, DeliveryOutcome, Directory,
    DirectorySnapshot, DriveCrypto, OpenRequest,
};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A crypto module answers each batch with one outcome a request, empty batches included, and survives a
/// dropped answer.
///
/// # Panics
/// When it does not.
pub fn drive_crypto(crypto: &dyn DriveCrypto, sample: &OpenRequest) {
    for len in [0usize, 1, 3] {
        let opened = wait_for(crypto.open(vec![sample.clone(); len]));
        if opened.len() != len {
            panic!("open: {len} requests got {} outcomes", opened.len());
        }
        let confirm = ConfirmRequest {
            drive: sample.drive,
            number: 1,
            code: 0,
            accepted_at: 1_700_000_000,
            container: sample.container.clone(),
        };
        let confirmed = wait_for(crypto.confirm(vec![confirm; len]));
        if confirmed.len() != len {
            panic!("confirm: {len} requests got {} outcomes", confirmed.len());
        }
    }
    drop(crypto.open(vec![sample.clone()]));
    let empty = OpenRequest { container: Bytes::new(), ..sample.clone() };
    if wait_for(crypto.open(vec![empty])).len() != 1 {
        panic!("open: an empty container must still get an outcome");
    }
}

/// A directory's picture is at least as new as the changes it tells of, and a version never goes back.
///
/// # Panics
/// When it is not so.
pub fn directory(directory: &dyn Directory) {
    let first = directory.snapshot();
    let changes = directory.changes(first.version);
    let second = directory.snapshot();
    if second.version < first.version {
        panic!("directory: version went back from {} to {}", first.version, second.version);
    }
    let mut last = first.version;
    for change in &changes {
        if change.version <= last {
            panic!("directory: change {} after {last} is not newer", change.version);
        }
        last = change.version;
    }
    if directory.changes(u64::MAX).iter().any(|_| true) {
        panic!("directory: there are changes after the end of versions");
    }
}

/// An admission is pure: asked twice, it says the same.
///
/// # Panics
/// When it does not.
pub fn admission(admission: &dyn Admission, drive: DriveNumber) {
    let picture = DirectorySnapshot::default();
    for number in [1u32, 2, u32::MAX] {
        let request = AdmissionRequest { drive, number, form: 3 };
        if admission.admit(&picture, &request) != admission.admit(&picture, &request) {
            panic!("admission: two answers to the same request");
        }
    }
}

/// What a channel says of a delivery, waited for on this thread.
#[must_use]
pub fn outcome_of(channel: &dyn Channel, delivery: Delivery) -> DeliveryOutcome {
    wait_for(channel.deliver(delivery))
}
