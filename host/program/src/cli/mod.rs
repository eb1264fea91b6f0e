//! The command line: words to calls, outcomes to exit codes.
//!
//! Above everything, so nothing knows it.

mod arguments;
mod client;
mod confirm;
mod events;
mod exit;
mod human;
mod import;
mod import_command;
mod import_file;
mod migrate;
mod operations;
mod output;
pub mod plugin_build;
mod plugin_test;
mod plugins;
mod projections;
mod run;
mod scaffold;
mod settings;
mod sse;
mod wait;

pub use import::{Imported, import};
pub use import_file::ImportFile;
pub use run::main;
