//! Environmental permits at a municipality: how far each application has come, and
//! how often each activity is done.

mod activities;
mod permits;
mod step;

pub use activities::Activity;
pub use permits::Permit;
pub use step::Step;

fantascope_sdk::projection! { name = "permits", version = 1, tables = [Permit, Activity] }
