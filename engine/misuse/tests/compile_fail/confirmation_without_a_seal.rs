//! An answer alone is no confirmation.
use ofd_engine::confirmation::{Answer, Confirmation};

fn confirm(answer: Answer) -> Confirmation {
    Confirmation::new(answer)
}

fn main() {}
