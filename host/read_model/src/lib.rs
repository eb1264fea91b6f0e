//! Read models: tables, rows, views, checkpoints. The only writer of rows.
//!
//! Level 2: knows tables, changes and databases; knows no guest and no event store.

mod bulk;
mod commit;
mod compare;
mod ddl;
mod difference;
mod error;
#[cfg(feature = "fault-injection")]
mod fault_injection;
mod fits;
mod hosts;
mod indexes;
mod merge;
mod open;
mod operations;
mod pair;
mod partitions;
mod plugins;
mod query;
mod record;
mod refused;
mod rows;
mod trouble;
mod versions;
mod views;
mod writing;

pub use commit::{Commit, TableChanges, Writer};
pub use compare::{Comparison, Presence, RowDifference, Snapshot, TableComparison};
pub use difference::difference;
pub use error::Error;
pub use fits::{Fits, Misfit};
pub use hosts::{Changes, HostRecord, Identity, Look, Unit};
pub use open::ReadModel;
pub use operations::{NewOperation, Operation, Outcome};
pub use plugins::{SeenFile, Source, UpcasterChange, UpcasterSet};
pub use query::{Condition, Query, QueryFault, TableRows};
pub use record::{Promote, State, VersionRecord};
pub use trouble::Trouble;
pub use versions::{NewVersion, Prepared};
