//! What goes through the host: events and changes as columns; and what every level needs: limits,
//! and tasks that are watched.
//!
//! Level 0: no I/O.

pub mod change;
pub mod event;
pub mod limits;
pub mod task;
