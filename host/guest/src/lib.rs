//! Sandboxed plugins: admission, compilation, limits, calls. The only user of wasmtime.
//!
//! Level 2: knows events and changes; knows no SQL and no network.

mod admission;
mod bindings;
mod cache;
mod call_limits;
mod convert;
mod fault;
mod projection;
mod sandbox;
mod state;
mod thread;
mod upcaster;
mod wasi;

pub use admission::{Admitted, Kind, ProjectionPlugin, Refusal, UpcasterPlugin, digest};
pub use cache::{CompileFault, compile_stdin};
pub use fault::Fault;
pub use projection::{Fold, GuestProjection};
pub use sandbox::{EngineFault, Sandbox, Settings};
pub use state::{LogLevel, LogLine};
pub use thread::Thread;
pub use upcaster::GuestUpcaster;
