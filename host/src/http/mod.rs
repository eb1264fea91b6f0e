//! HTTP: routes, their documentation, who may call, and how faults are told.
//!
//! Level 3: reads the store and the read models, and the board on which projections
//! say how they stand; knows no guest.

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
mod parameters;
mod plugins;
mod problem;
mod projections;
mod router;
mod scrape;
mod serve;
mod state;
mod tables;

pub use append::AppendRequest;
pub use auth::Token;
pub use code::Code;
pub use events::EventPage;
pub use health::Health;
pub use plugins::{PluginInfo, PluginList, PluginStatus};
pub use problem::Problem;
pub use router::{openapi, router};
pub use serve::serve;
pub use state::Api;
pub use tables::RowPage;
