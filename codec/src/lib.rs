//! placeholder

pub mod dictionary;
mod tag;
pub mod tags;
mod version;

pub use dictionary::{Entry, Kind};
pub use tag::Tag;
pub use version::FfdVersion;
