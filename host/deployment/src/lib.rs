//! Changing what runs while it runs: plugins come in, versions are built beside each
//! other, compared, switched and switched back, and retired.
//!
//! Level 4: knows plugins, projections and read models; knows no HTTP and no settings.

mod balance;
pub mod catalogue;
mod deploy;
mod deployments;
mod fault;
mod folder;
mod hosts;
mod keep;
mod open;
mod operate;
mod plan;
mod plugins;
mod policy;
mod process;
mod rebuild;
mod remove;
mod stuck;
mod upcasters;
mod verify;
mod wanted;

pub use deploy::{DeployOptions, Deployed, SampleReport};
pub use deployments::Deployments;
pub use fault::Fault;
pub use hosts::Membership;
pub use open::Foundation;
pub use plugins::{PluginInfo, PluginList, PluginStatus};
pub use policy::{Keep, Policy, WhenRowsDiffer, duration};
pub use rebuild::{AsOf, RebuildOptions};
pub use upcasters::{Affected, UpcastSample, UpcasterTrial};
pub use verify::Verification;
pub use wanted::Wanted;
