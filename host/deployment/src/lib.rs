//! Changing what runs while it runs: plugins come in, versions are built beside each
//! other, compared, switched and switched back, and retired.
//!
//! Level 4: knows plugins, projections and read models; knows no HTTP and no settings.

mod balance;
mod build;
pub mod catalogue;
mod deploy;
mod deployments;
mod fault;
mod folder;
mod hosts;
mod open;
mod operate;
mod plan;
mod plugins;
mod policy;
mod process;
mod promotion;
mod rebuild;
mod remove;
mod retirement;
mod stuck;
mod trial;
mod upcasters;
mod verify;
mod wanted;

pub use deploy::{DeployOptions, Deployed};
pub use deployments::Deployments;
pub use fault::Fault;
pub use hosts::Membership;
pub use open::Foundation;
pub use plugins::{PluginInfo, PluginList, PluginStatus};
pub use policy::{Keep, Policy, WhenRowsDiffer, duration};
pub use rebuild::{AsOf, RebuildOptions};
pub use trial::SampleReport;
pub use upcasters::{Affected, UpcastSample, UpcasterTrial};
pub use verify::Verification;
pub use wanted::Wanted;
