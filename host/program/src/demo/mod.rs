//! A believable history of a shop and of a homeschool co-op, made up from a seed:
//! what the demo appends, and what tests and benchmarks fold.
//!
//! Pure: knows `event` alone, reads no clock and does no I/O. The same plan gives
//! the same events, byte for byte.

mod agenda;
mod families;
mod history;
mod journal;
mod names;
mod orders;
mod plan;
mod random;

pub use history::History;
pub use journal::Append;
pub use plan::Plan;
