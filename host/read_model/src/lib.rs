//! Read models: tables, rows, views, checkpoints. The only writer of rows.
//!
//! Level 2: knows tables, changes and databases; knows no guest and no event store.

mod compare;
mod control;
mod error;
#[cfg(feature = "fault-injection")]
mod fault_injection;
mod open;
mod rows;
mod schema;

pub use compare::snapshot::{Comparison, Presence, RowDifference, Snapshot, TableComparison};
pub use control::hosts::{Changes, HostRecord, Identity, Look, Unit};
pub use control::operations::{NewOperation, Operation, Outcome};
pub use control::plugins::{SeenFile, Source, UpcasterChange, UpcasterSet};
pub use control::record::{Promote, State, VersionRecord};
pub use control::trouble::Trouble;
pub use control::versions::{NewVersion, Prepared};
pub use error::Error;
pub use open::ReadModel;
pub use rows::commit::{Commit, TableChanges, Writer};
pub use rows::query::{Condition, Query, QueryFault, TableRows};
pub use schema::difference::difference;
pub use schema::fits::{Fits, Misfit};
