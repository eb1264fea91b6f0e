//! Settings: gathered from flags, environment and file, decoded once, checked all
//! together.
//!
//! Knows the bounds and the policy that it decodes, and nothing of who uses them.

mod databases;
mod fault;
mod gather;
mod key;
mod level;
mod read;
mod secret;
mod settings;

pub use fault::{Fault, Faults};
pub use gather::{Flag, Origin, Sources};
pub use key::DEFAULT_FILE;
pub use secret::{Secret, read_secret};
pub use settings::{Config, DatabaseSettings, Effective, Http, Log, LogFormat, Plugins, ReadModels, StoreSettings};
