//! Upcasting: old events become current ones before anybody sees them, in chains.
//!
//! Batch in, batch out; no I/O.

mod chain;
mod growth;
mod steps;

pub use chain::{Chain, Current, Poisoned, Refused, Upcast};
pub use steps::{Clash, Steps};
