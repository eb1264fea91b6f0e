//! What an event is: the contract's record, its columns, positions and times.
//!
//! Knows no database, no guest, no network.

mod batch;
mod checkpoint;
mod object;
mod position;
mod record;
mod timestamp;

pub use batch::{Batch, EventType, Texts, end_of, ends_fit, number_of, span};
pub use checkpoint::Checkpoint;
pub use object::{Object, objects};
pub use position::Position;
pub use record::check_name;
pub use record::{ImportedEvent, Invalid, NewEvent, StoredEvent, json_depth};
pub use timestamp::Timestamp;
