//! What can be said of a projection at this moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::{Manifest, TableDefinition, VersionId};
use crate::event::{Position, Timestamp};

/// A rate that was not renewed for so long has fallen to nothing.
const RATE_SECONDS: f64 = 5.0;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Folds the events that there were when it started.
    Backfilling,
    /// Has caught up, and folds events as they come.
    Following,
    /// Waits to try again, for the database failed.
    Retrying,
    /// Stopped at an event that it cannot fold.
    Failed,
    /// Not running in this host.
    Stopped,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backfilling => "backfilling",
            Self::Following => "following",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
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
    /// How long the first event that is not folded yet has waited to be; 0 if there is none.
    pub lag_seconds: f64,
    /// Events folded per second, over the last few seconds.
    pub events_per_second: f64,
    /// While backfilling: how much of the events that there were at the start is done, 0 to 1.
    pub progress: f64,
    /// While backfilling: how long it will take at the present rate.
    pub eta_seconds: Option<f64>,
    pub error: Option<Problem>,
    /// SHA-256 of the plugin that runs it.
    pub digest: String,
    /// Which events it wants, for people.
    pub subscription: String,
    /// Names of its tables.
    pub tables: Vec<String>,
}

/// What the loop of one version tells of itself.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) phase: Phase,
    pub(super) live: bool,
    pub(super) position: Position,
    /// Where the backfill began and where it ends.
    pub(super) backfill: (Position, Position),
    /// And when that was so.
    pub(super) rate: (f64, Timestamp),
    pub(super) error: Option<Problem>,
    /// Since when it is behind, while it backfills.
    pub(super) behind_since: Timestamp,
    /// Pages that were read but are not folded yet: where they end, and when they were read.
    pub(super) waiting: VecDeque<(Position, Timestamp)>,
}

/// The board on which every running version writes how it stands. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board {
    entries: Arc<RwLock<BTreeMap<VersionId, Entry>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    manifest: Arc<Manifest>,
    digest: String,
    observed: Observed,
}

impl Board {
    pub(super) fn add(&self, id: &VersionId, manifest: Arc<Manifest>, digest: String, observed: Observed) {
        self.write().insert(id.clone(), Entry { manifest, digest, observed });
    }

    pub(super) fn update(&self, id: &VersionId, change: impl FnOnce(&mut Observed)) {
        if let Some(entry) = self.write().get_mut(id) {
            change(&mut entry.observed);
        }
    }

    /// A page was read that ends at `up_to`.
    pub(super) fn received(&self, id: &VersionId, up_to: Position, read_at: Timestamp) {
        self.update(id, |observed| observed.waiting.push_back((up_to, read_at)));
    }

    /// Everything up to `position` is folded, and committed where there was something to commit.
    pub(super) fn folded(&self, id: &VersionId, position: Position, events_per_second: Option<f64>) {
        self.update(id, |observed| {
            observed.position = observed.position.max(position);
            if let Some(rate) = events_per_second {
                observed.rate = (rate, Timestamp::now());
            }
            while observed.waiting.front().is_some_and(|&(up_to, _)| up_to <= position) {
                observed.waiting.pop_front();
            }
        });
    }

    /// Shows `id` as the live version of its projection.
    pub(super) fn set_live(&self, id: &VersionId) {
        for (other, entry) in self.write().iter_mut() {
            if other.projection == id.projection {
                entry.observed.live = other == id;
            }
        }
    }

    /// How all versions stand, by name and version, where `head` is the store's last position.
    #[must_use]
    pub fn statuses(&self, head: Position) -> Vec<Status> {
        let now = Timestamp::now();
        self.read().iter().map(|(id, entry)| entry.status(id, head, now)).collect()
    }

    /// The table `table` of the live version of `projection`, or of `version` if that is given.
    #[must_use]
    pub fn table(&self, projection: &str, version: Option<u32>, table: &str) -> Option<(VersionId, TableDefinition)> {
        let entries = self.read();
        let (id, entry) = entries.iter().rev().find(|(id, entry)| {
            id.projection.as_str() == projection && version.map_or(entry.observed.live, |version| version == id.version)
        })?;
        let table = entry.manifest.tables.iter().find(|known| known.name.as_str() == table)?;
        Some((id.clone(), table.clone()))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<VersionId, Entry>> {
        // A writer that panicked left whole entries behind: each update is one assignment.
        self.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<VersionId, Entry>> {
        self.entries.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Entry {
    fn status(&self, id: &VersionId, head: Position, now: Timestamp) -> Status {
        let observed = &self.observed;
        let (start, end) = observed.backfill;
        let (done, all) = (observed.position.ahead_of(start), end.ahead_of(start));
        let progress = if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) };
        let left = end.ahead_of(observed.position) as f64;
        let backfilling = observed.phase == Phase::Backfilling;
        let (rate, rated_at) = observed.rate;
        let rate = if now.seconds_since(rated_at) > RATE_SECONDS { 0.0 } else { rate };
        let eta_seconds = (backfilling && rate > 0.0).then(|| left / rate);
        let lag_events = head.ahead_of(observed.position);
        let waiting_since = match observed.phase {
            Phase::Following => observed.waiting.front().map(|&(_, read_at)| read_at),
            _ => Some(observed.behind_since),
        };
        let waiting_since = waiting_since.filter(|_| lag_events > 0);
        Status {
            projection: id.projection.to_string(),
            version: id.version,
            generation: id.generation,
            live: observed.live,
            phase: observed.phase,
            position: observed.position,
            head: head.max(observed.position),
            lag_events,
            lag_seconds: waiting_since.map_or(0.0, |since| now.seconds_since(since).max(0.0)),
            events_per_second: rate,
            progress,
            eta_seconds,
            error: observed.error.clone(),
            digest: self.digest.clone(),
            subscription: self.manifest.subscription.to_string(),
            tables: self.manifest.tables.iter().map(|table| table.name.to_string()).collect(),
        }
    }
}
