//! Putting the host together: open, bind, run, drain.
//!
//! Level 4: knows everything below; decides nothing that a module below could.

pub mod demo;
mod host;
mod inspect;
mod logging;
mod serve;
mod signals;
mod spec;

pub use host::Host;
pub use inspect::{Inspection, inspect};
pub use logging::start_logging;
pub use serve::{ServeOptions, serve};
pub use spec::spec;
