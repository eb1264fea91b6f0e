//! Putting the host together: open, bind, run, drain.
//!
//! Knows everything below; decides nothing that a module below could.

mod arenas;
mod connect;
pub mod demo;
mod host;
mod inspect;
mod logging;
mod migrate;
mod serve;
mod signals;
mod spec;

pub use arenas::with_few_arenas;
pub use connect::{FoundDatabase, connect};
pub use host::Host;
pub use inspect::{Inspection, inspect};
pub use logging::start_logging;
pub use migrate::migrate;
pub use serve::{ServeOptions, serve};
pub use spec::spec;
