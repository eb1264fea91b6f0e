//! The event store: append, read, tail.
//!
//! Level 1: knows events and databases; knows no projection and no guest.

mod append;
mod import;
mod insert;
mod open;
mod page;
mod query;

pub use append::{Appended, Error, Expected};
pub use import::{ImportFault, VersionsAhead};
pub use open::Store;
pub use page::Page;
pub use query::Filter;
