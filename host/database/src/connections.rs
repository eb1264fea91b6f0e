//! How many connections there may be, and how long anything waits for one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds on the connections to one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// All of them together, but for those that listen, up to two on PostgreSQL, and the one
    /// that looks how far events can be read on MySQL.
    pub max: u32,
    /// How long is waited for one that is free, or for the server to answer a new one.
    pub wait_max: Duration,
    /// How long a statement waits for a lock that another transaction holds.
    pub lock_wait_max: Duration,
    /// The server ends a transaction that was left alone for so long.
    pub idle_transaction_max: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 16,
            wait_max: Duration::from_secs(10),
            lock_wait_max: Duration::from_secs(5),
            idle_transaction_max: Duration::from_secs(10),
        }
    }
}

impl Connections {
    /// Those that read: half of them, for reading must not keep anybody from committing.
    pub(super) fn readers(&self) -> u32 {
        (self.max / 2).max(1)
    }

    /// Those that write.
    pub(super) fn writers(&self) -> u32 {
        self.max.saturating_sub(self.readers()).max(1)
    }
}
