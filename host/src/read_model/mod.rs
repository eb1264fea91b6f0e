//! Read models: tables, rows, views, checkpoints. The only writer of rows.
//!
//! Level 1: knows tables, changes and databases; knows no guest and no event store.

mod commit;
mod ddl;
#[cfg(feature = "fault-injection")]
mod fault;
mod open;
mod packed;
mod query;
mod rows;
mod versions;

pub use commit::{Checkpoint, Commit, TableChanges, Writer};
pub use open::{Error, ReadModel};
pub use query::{Condition, Query, QueryFault, TableRows};
pub use versions::{Prepared, VersionRecord};
