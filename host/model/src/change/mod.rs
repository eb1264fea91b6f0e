//! What a guest may ask for: tables, and changes to their rows, as columns.
//!
//! Knows no database, no guest, no network.

mod cells;
mod changes;
mod manifest;
mod table;
mod upcasted;

pub use cells::{Blobs, Cells, Column, Malformed, is_decimal};
pub use changes::{Changes, Keys, Operation, Rows};
pub use manifest::{Digest, Label, Manifest, Name, Step, Subscription, UpcasterManifest, VersionId};
pub use table::{ColumnDefinition, ColumnType, TableDefinition};
pub use upcasted::Upcasted;
