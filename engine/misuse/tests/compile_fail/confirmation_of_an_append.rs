//! An appended record is not durable, and nothing but a durable one is sealed.
use ofd_engine::confirmation::{Answer, Confirmation, Sealed};
use ofd_engine::host::ConfirmSigns;
use ofd_engine::storage::Appended;

fn confirm(appended: Appended, answer: Answer) -> Confirmation {
    Confirmation::new(Sealed::new(appended, answer, ConfirmSigns::STAND_IN))
}

fn main() {}
