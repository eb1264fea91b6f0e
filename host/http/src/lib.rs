//! HTTP: routes, their documentation, who may call, and how faults are told.
//!
//! Level 5: reads the store and the read models, and the board on which projections
//! say how they stand; tells deployments what callers want; knows no guest.

mod append;
mod auth;
mod body;
mod code;
mod docs;
mod events;
mod guard;
mod health;
mod live;
mod metrics;
mod operate;
mod operations;
mod parameters;
mod plugins;
mod problem;
mod process;
mod progress;
mod projections;
mod request;
mod router;
mod scrape;
mod serve;
mod state;
mod store;
mod tables;

pub use append::AppendRequest;
pub use auth::Token;
pub use code::Code;
pub use events::EventPage;
pub use health::Health;
pub use operate::{
    Operated, PauseRequest, PromoteRequest, RebuildRequest, ResetRequest, RollbackRequest, UpcasterRebuild,
    VersionRequest,
};
pub use operations::OperationPage;
pub use problem::Problem;
pub use router::{openapi, router};
pub use serve::serve;
pub use state::Api;
pub use store::{HoldStatus, StoreStatus};
pub use tables::RowPage;
