//! Running projections: feed, fold, commit, again; and how they stand.
//!
//! Level 2: knows the store, the read models, guests, upcasting and routing.

mod feed;
mod instance;
mod log;
mod recent;
mod rows;
mod run;
mod status;
mod supervisor;
mod upcasters;
mod writer;

pub use instance::{Start, sandboxed};
pub use status::{Board, Phase, Problem, Status};
pub use supervisor::{Projections, Resources};
pub use upcasters::{Error as UpcastersError, Upcasters};
