//! Fantascope: a projection host for event-sourced systems.
//!
//! Level 6: the program, the last of the host's crates; the others are given out again under the
//! same names. `ARCHITECTURE.md` has the map.

pub use deployment::catalogue;
pub use model::{change, event, limits, task};
pub use projection::{route, upcast};
pub use {database, deployment, guest, http, projection, read_model, store};

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
