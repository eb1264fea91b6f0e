//! The phases of a version, each declared once: the board, HTTP and metrics list what stands here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares the phases, each once: with its name, which is that of its metric too.
macro_rules! phases {
    ($($(#[$doc:meta])* $phase:ident = $name:literal,)*) => {
        /// What a projection is doing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum Phase {
            $($(#[$doc])* $phase,)*
        }

        impl Phase {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$phase,)*];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$phase => $name,)*
                }
            }
        }
    };
}

phases! {
    /// Folds the history for the first time.
    Rebuilding = "rebuilding",
    /// Folds events as they come.
    Following = "following",
    /// Was built, and is behind: it folds what came since.
    Lagging = "lagging",
    /// There is work, but it makes no progress; `error` says why.
    Stuck = "stuck",
    /// Somebody paused it.
    Paused = "paused",
    /// Waits to try again, for the database failed.
    Retrying = "retrying",
    /// Stopped at an event that it cannot fold.
    Failed = "failed",
    /// A build of the past that has reached its end.
    Complete = "complete",
    /// Not running in any host that this one knows of.
    Stopped = "stopped",
}

impl Phase {
    /// Whether it folds, or is about to.
    pub(super) fn is_moving(self) -> bool {
        matches!(self, Self::Rebuilding | Self::Following | Self::Lagging)
    }

    /// The phase of this name; one that a newer program has recorded is shown as what it is not
    /// less than.
    pub(super) fn of_name(name: &str) -> Self {
        Self::ALL.iter().copied().find(|phase| phase.as_str() == name).unwrap_or(Self::Stuck)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
