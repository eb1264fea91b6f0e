//! Where an event stands in the store.

use serde::{Deserialize, Serialize};

/// A position in the order of all events. 0 stands before the first one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// As databases store it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// From what a database stored; a negative number, which no store of ours holds, is the start.
    #[must_use]
    pub fn from_sql(stored: i64) -> Self {
        Self(u64::try_from(stored).unwrap_or(0))
    }

    /// How many positions `self` is ahead of `other`; 0 if it is behind.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
