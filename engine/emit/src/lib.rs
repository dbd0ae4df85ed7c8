#![forbid(unsafe_code)]
//! Simulated cash registers with protocol-true lives: the load generator of ofd-engine.
//!
//! A [`Register`] yields the documents of one fiscal drive in the order in which a real one makes them; contents follow
//! the distributions of real receipts, every name and number is invented. Equal seeds give equal bytes. [`run`] sends
//! whole populations of them over TCP and checks each answer as a register would.
//!
//! ```
//! use ofd_emit::{ProfileOptions, Register};
//! let mut register = Register::new(1, 0, &ProfileOptions::default());
//! let mut message = Vec::new();
//! let first = register.next_message(&mut message).expect("an endless life");
//! assert_eq!((first.number, first.form.json_name()), (1, Some("fiscalReport")));
//! ```

mod capture;
mod client;
mod counters;
#[cfg(feature = "fns")]
pub mod fns;
mod goods;
mod identity;
mod journal;
mod life;
mod money;
mod prng;
mod profile;
mod shapes;
mod vocabulary;
mod wire;

pub use capture::{write_wire, write_wire_with};
pub use client::{
    Answer, AnswerError, EmitError, EmitHooks, EmitOptions, EmitReport, Progress, Retry, check_answer, run,
    run_on_threads,
};
pub use goods::Group;
pub use identity::{Inn, drive_number, registration_number};
pub use journal::{Answered, FileJournal, Journal, JournalLine, read_journal};
pub use life::{Emitted, ProfileOptions, Register, Start};
pub use prng::Prng;
