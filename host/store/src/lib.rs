//! The event store: append, read, tail.
//!
//! Level 2: knows events and databases; knows no projection and no guest.

mod append;
mod appender;
mod checks;
mod columns;
mod complaints;
mod copy;
mod error;
mod expected;
mod head;
mod import;
mod insert;
mod known;
mod lookup;
mod mysql;
mod open;
mod page;
mod placed;
mod postgres;
mod premises;
mod query;
mod readable;
mod redo;
mod sqlite;
mod tuples;

pub use append::{Appended, Expected};
pub use copy::{Contents, Copied, CopyFault, Step};
pub use error::Error;
pub use head::{Hold, Lineage};
pub use import::{ImportFault, VersionsAhead};
pub use open::Store;
pub use page::Page;
pub use query::Filter;
pub use readable::Readable;
