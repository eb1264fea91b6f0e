//! Opening databases: URLs, connections with the right settings, migrations, and
//! the turn to write.
//!
//! Level 1, below `store` and `read_model`, which may share one database without
//! knowing each other.

mod pieces;
mod sqlite;

pub(crate) use pieces::pieces;
pub use sqlite::{Database, Durability, Error};
