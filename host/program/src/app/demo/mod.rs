//! `demo`: a host on an embedded store of its own, with a history to look at.

mod history;
mod progress;
mod run;
mod story;

pub use run::{DemoOptions, EVENTS, PLUGINS, run};
