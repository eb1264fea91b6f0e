//! Running projections: feed, fold, commit, again; and how they stand.
//!
//! Level 3: knows the store, the read models and guests. Making events current (`upcast`) and giving
//! them to whoever wants them (`route`) are pure stages of it.

mod blame;
mod board;
mod fault;
mod feed;
mod instance;
mod leases;
mod log;
mod order;
mod pages;
mod parts;
mod phase;
mod rate;
mod recent;
pub mod route;
mod rows;
mod run;
mod standing;
mod status;
mod supervisor;
mod throttle;
mod trial;
pub mod upcast;
mod upcasters;
mod version;
mod writer;

pub use board::Board;
pub use fault::Error;
pub use instance::{Start, sandboxed};
pub use leases::{Granted, Leases, UnitId};
pub use order::{Code, SwapFault};
pub use phase::Phase;
pub use status::{PartitionStatus, Problem, Status};
pub use supervisor::{Projections, Resources};
pub use trial::Trial;
pub use upcasters::{Error as UpcastersError, UpcasterSet, Upcasters};
