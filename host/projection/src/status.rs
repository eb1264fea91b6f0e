//! What can be said of a projection at this moment.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::phase::Phase;
use model::event::{Position, Timestamp};
use read_model::{Promote, Trouble};

/// What the loop of a version is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    WaitingForEvents,
    ReadingRows,
    Folding,
    WaitingToCommit,
    MakingIndexes,
    MakingWay,
    Resting,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WaitingForEvents => "waits for events from the store",
            Self::ReadingRows => "reads rows from the read models",
            Self::Folding => "waits for its guest to fold a batch",
            Self::WaitingToCommit => "waits for its turn to commit",
            Self::MakingIndexes => "makes the indexes of its tables",
            Self::MakingWay => "makes way for live versions that are late",
            Self::Resting => "rests, as limits.backfill_percent_max says",
        })
    }
}

/// Why a projection does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable code.
    pub code: String,
    /// For people: what, which event, where in it, and why.
    pub message: String,
    /// The event to blame, if one is.
    pub position: Option<Position>,
    pub event_id: Option<uuid::Uuid>,
    pub since: Timestamp,
}

impl Problem {
    /// The same as this one, which began before, if it is; else it begins now.
    pub(super) fn after(self, before: Option<&Self>) -> Self {
        let same =
            |other: &&Self| (&other.code, other.position, other.event_id) == (&self.code, self.position, self.event_id);
        let since = before.filter(same).map_or(self.since, |before| before.since);
        Self { since, ..self }
    }

    /// As others are told of it.
    pub(super) fn told(&self, phase: Phase) -> Trouble {
        let Self { code, message, position, event_id, since } = self.clone();
        Trouble { phase: phase.to_string(), code, message, position, event_id, since }
    }
}

impl From<&Trouble> for Problem {
    fn from(trouble: &Trouble) -> Self {
        let Trouble { code, message, position, event_id, since, .. } = trouble.clone();
        Self { code, message, position, event_id, since }
    }
}

/// How far a partition has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartitionStatus {
    /// From 0.
    pub partition: u32,
    pub position: Position,
    pub events_per_second: f64,
}

/// A version of a projection, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub projection: String,
    pub version: u32,
    /// How often this version was built.
    pub generation: u32,
    /// Whether the stable names show this version.
    pub live: bool,
    pub phase: Phase,
    /// Everything up to here is folded and committed.
    pub position: Position,
    /// The last position of the store.
    pub head: Position,
    pub lag_events: u64,
    /// How long the oldest event that is not folded could have been: since it can be read, or since
    /// the version was made; 0 if nothing is behind. The same from every host, whatever the phase.
    pub lag_seconds: f64,
    /// Events folded per second, over the last few seconds.
    pub events_per_second: f64,
    /// Where the backfill ends: it does not move while the version is built.
    pub built_until: Position,
    /// How much of the backfill is done, 0 to 1.
    pub progress: f64,
    /// While it is rebuilding or lags: how long it will take at the present rate, if no events come.
    pub eta_seconds: Option<f64>,
    pub error: Option<Problem>,
    pub created_at: Timestamp,
    /// For a build of the past: its last position.
    pub as_of: Option<Position>,
    /// When it takes the place of the live version; null if it is live, or a build of the past.
    pub promote: Option<Promote>,
    /// When it stopped to be live, if it was: until it is retired it can be rolled back to.
    pub live_to: Option<Timestamp>,
    /// Of each partition, while there are several.
    pub partitions: Vec<PartitionStatus>,
    /// SHA-256 of the plugin that runs it.
    pub digest: String,
    /// Which events it wants, for people.
    pub subscription: String,
    /// Names of its tables.
    pub tables: Vec<String>,
    /// The host that folds it, if that is another one; of several, one of them.
    pub host: Option<String>,
}
