//! What the host knows of itself: versions and their checkpoints, hosts, operations, plugins, sets of
//! upcasters. All of it changes in transactions that one host at a time begins ([`writing`]).

pub(crate) mod hosts;
pub(crate) mod operations;
pub(crate) mod partitions;
pub(crate) mod plugins;
pub(crate) mod record;
pub(crate) mod trouble;
pub(crate) mod versions;
pub(crate) mod writing;
