//! What can be said of a projection at this moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::{Digest, Manifest, TableDefinition, VersionId};
use crate::event::{Position, Timestamp};
use crate::read_model::{Promote, VersionRecord};

/// A rate that was not renewed for so long has fallen to nothing.
const RATE_SECONDS: f64 = 5.0;

/// A version that follows the store and is later than this is called lagging.
const LAGGING_SECONDS: f64 = 1.0;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Folds the history for the first time.
    Rebuilding,
    /// Folds events as they come.
    Following,
    /// Was built, and is behind: it folds what came since.
    Lagging,
    /// There is work, but it makes no progress; `error` says why.
    Stuck,
    /// Somebody paused it.
    Paused,
    /// Waits to try again, for the database failed.
    Retrying,
    /// Stopped at an event that it cannot fold.
    Failed,
    /// A build of the past that has reached its end.
    Complete,
    /// Not running in this host.
    Stopped,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rebuilding => "rebuilding",
            Self::Following => "following",
            Self::Lagging => "lagging",
            Self::Stuck => "stuck",
            Self::Paused => "paused",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
        })
    }
}

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
    /// How long the first event that is not folded yet has waited to be; 0 if there is none.
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

/// What the loop of one version tells of itself.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) phase: Phase,
    pub(super) live: bool,
    pub(super) created_at: Timestamp,
    pub(super) promote: Promote,
    pub(super) live_to: Option<Timestamp>,
    pub(super) as_of: Option<Position>,
    pub(super) digest: Digest,
    /// The host that folds it, or a part of it, if that is another one.
    pub(super) host: Option<String>,
    /// Per partition: how far, how fast, and when that was so.
    pub(super) partitions: Vec<(Position, f64, Timestamp)>,
    /// Where the backfill ends.
    pub(super) built_until: Position,
    pub(super) error: Option<Problem>,
    /// Since when it is behind, until it follows.
    pub(super) behind_since: Timestamp,
    /// Pages that were read but are not folded yet: where they end, and when they were read.
    pub(super) waiting: VecDeque<(Position, Timestamp)>,
    pub(super) doing: Doing,
    /// When it last came further, or began to try.
    pub(super) progress_at: Timestamp,
}

impl Observed {
    fn position(&self) -> Position {
        self.partitions.iter().map(|&(position, ..)| position).min().unwrap_or_default()
    }
}

/// The board on which every running version writes how it stands. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board {
    entries: Arc<RwLock<BTreeMap<VersionId, Entry>>>,
    stuck_after: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    manifest: Arc<Manifest>,
    observed: Observed,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Duration::from_millis(crate::limits::Limits::default().stuck_after_ms))
    }
}

impl Board {
    /// `stuck_after`: without progress for so long a version is called stuck.
    pub(super) fn new(stuck_after: Duration) -> Self {
        Self { entries: Arc::default(), stuck_after }
    }

    pub(super) fn add(&self, id: &VersionId, manifest: Arc<Manifest>, observed: Observed) {
        self.write().insert(id.clone(), Entry { manifest, observed });
    }

    pub(super) fn remove(&self, id: &VersionId) {
        self.write().remove(id);
    }

    pub(super) fn update(&self, id: &VersionId, change: impl FnOnce(&mut Observed)) {
        if let Some(entry) = self.write().get_mut(id) {
            change(&mut entry.observed);
        }
    }

    pub(super) fn doing(&self, id: &VersionId, doing: Doing) {
        self.update(id, |observed| observed.doing = doing);
    }

    /// A page was read that ends at `up_to`.
    pub(super) fn received(&self, id: &VersionId, up_to: Position, read_at: Timestamp) {
        self.update(id, |observed| {
            if observed.partitions.len() == 1 {
                observed.waiting.push_back((up_to, read_at));
            }
        });
    }

    /// Everything up to `position` is folded, and committed where there was something to commit.
    pub(super) fn folded(&self, id: &VersionId, partition: u32, position: Position, events_per_second: Option<f64>) {
        let now = Timestamp::now();
        self.update(id, |observed| {
            if let Some((known, rate, rated_at)) = observed.partitions.get_mut(partition as usize) {
                if position > *known {
                    *known = position;
                    observed.progress_at = now;
                }
                if let Some(new) = events_per_second {
                    (*rate, *rated_at) = (new, now);
                }
            }
            let position = observed.position();
            while observed.waiting.front().is_some_and(|&(up_to, _)| up_to <= position) {
                observed.waiting.pop_front();
            }
        });
    }

    /// Shows how far the partitions of `id` have come that other hosts fold; `host` is one of them.
    /// A version that is built is `building`.
    pub fn elsewhere(
        &self,
        id: &VersionId,
        host: Option<String>,
        building: bool,
        positions: &[(u32, Position, Timestamp)],
    ) {
        self.update(id, |observed| {
            let is_all = positions.len() == observed.partitions.len();
            observed.host = host;
            for &(partition, position, at) in positions {
                if let Some((known, rate, rated_at)) = observed.partitions.get_mut(partition as usize) {
                    let seconds = at.seconds_since(*rated_at);
                    if position > *known && seconds > 0.0 {
                        (*rate, *rated_at) = (position.ahead_of(*known) as f64 / seconds, at);
                        observed.progress_at = Timestamp::now();
                    }
                    *known = position;
                }
            }
            let is_moving = matches!(observed.phase, Phase::Rebuilding | Phase::Following | Phase::Lagging);
            if is_all && observed.host.is_some() && is_moving {
                observed.phase = match (building, observed.as_of) {
                    (true, _) => Phase::Rebuilding,
                    (false, Some(_)) => Phase::Complete,
                    (false, None) => Phase::Following,
                };
                observed.waiting.clear();
            }
        });
    }

    /// Shows `id` as the live version of its projection.
    pub(super) fn set_live(&self, id: &VersionId) {
        for (other, entry) in self.write().iter_mut() {
            let observed = &mut entry.observed;
            if other == id {
                (observed.live, observed.live_to, observed.promote) = (true, None, Promote::Manual);
            } else if other.projection == id.projection && observed.live {
                (observed.live, observed.live_to) = (false, Some(Timestamp::now()));
            }
        }
    }

    /// How late the live version is that is the latest of those that follow the store.
    pub(super) fn live_lag(&self) -> Duration {
        let now = Timestamp::now();
        let late = |entry: &Entry| {
            let observed = &entry.observed;
            let follows = observed.live && observed.phase == Phase::Following;
            observed.waiting.front().filter(|_| follows).map(|&(_, read_at)| now.seconds_since(read_at).max(0.0))
        };
        self.read().values().filter_map(late).map(Duration::from_secs_f64).max().unwrap_or_default()
    }

    /// What runs `id` here, or would if this host folded it.
    #[must_use]
    pub fn digest(&self, id: &VersionId) -> Option<Digest> {
        self.observed(id).map(|observed| observed.digest)
    }

    /// Whether `id` rests here, for somebody paused it.
    #[must_use]
    pub fn is_paused(&self, id: &VersionId) -> bool {
        self.observed(id).is_some_and(|observed| observed.phase == Phase::Paused)
    }

    /// Shows what is recorded of a version, whoever recorded it.
    pub fn recorded(&self, record: &VersionRecord) {
        self.update(&record.id, |observed| {
            (observed.live, observed.live_to, observed.promote) = (record.live, record.live_to, record.promote);
        });
    }

    /// What the loop of `id` tells of itself, if it runs here.
    pub(super) fn observed(&self, id: &VersionId) -> Option<Observed> {
        self.read().get(id).map(|entry| entry.observed.clone())
    }

    /// Everything up to here is folded, if the version is known here.
    #[must_use]
    pub fn position(&self, id: &VersionId) -> Option<Position> {
        self.observed(id).map(|observed| observed.position())
    }

    /// How all versions stand, by name and version, where `head` is the store's last position.
    #[must_use]
    pub fn statuses(&self, head: Position) -> Vec<Status> {
        let now = Timestamp::now();
        self.read().iter().map(|(id, entry)| entry.status(id, head, now, self.stuck_after)).collect()
    }

    /// How `id` stands, if it runs here.
    #[must_use]
    pub fn status(&self, id: &VersionId, head: Position) -> Option<Status> {
        self.read().get(id).map(|entry| entry.status(id, head, Timestamp::now(), self.stuck_after))
    }

    /// The table `table` of that version of `projection` which `is_it` picks; of several the
    /// live one, else the latest build that is none of the past.
    #[must_use]
    pub fn table(
        &self,
        projection: &str,
        table: &str,
        is_it: impl Fn(&VersionId, bool) -> bool,
    ) -> Option<(VersionId, TableDefinition)> {
        let entries = self.read();
        let fits =
            |(id, entry): &(&VersionId, &Entry)| id.projection.as_str() == projection && is_it(id, entry.observed.live);
        let rank =
            |(id, entry): &(&VersionId, &Entry)| (entry.observed.live, entry.observed.as_of.is_none(), id.generation);
        let (id, entry) = entries.iter().filter(fits).max_by_key(rank)?;
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
    fn status(&self, id: &VersionId, head: Position, now: Timestamp, stuck_after: Duration) -> Status {
        let observed = &self.observed;
        let position = observed.position();
        let end = observed.as_of.unwrap_or(observed.built_until);
        let head = observed.as_of.unwrap_or(head).max(position);
        let progress = if end.0 == 0 { 1.0 } else { (position.0 as f64 / end.0 as f64).min(1.0) };
        let current = |&(_, rate, at): &(Position, f64, Timestamp)| {
            if now.seconds_since(at) > RATE_SECONDS { 0.0 } else { rate }
        };
        // Partitions go through the same positions, each through its own events.
        let rate = observed.partitions.iter().map(current).fold(f64::INFINITY, f64::min);
        let is_working = matches!(observed.phase, Phase::Rebuilding | Phase::Following | Phase::Lagging);
        let rate = if rate.is_finite() && is_working { rate } else { 0.0 };
        let lag_events = head.ahead_of(position);
        let waiting_since = match observed.phase {
            Phase::Following => observed.waiting.front().map(|&(_, read_at)| read_at),
            _ => Some(observed.behind_since),
        };
        let waiting_since = waiting_since.filter(|_| lag_events > 0);
        let lag_seconds = waiting_since.map_or(0.0, |since| now.seconds_since(since).max(0.0));
        let stuck = waiting_since.and_then(|since| self.stuck(id, since, now, stuck_after));
        let phase = match observed.phase {
            Phase::Rebuilding | Phase::Lagging | Phase::Following if stuck.is_some() => Phase::Stuck,
            Phase::Following if lag_seconds > LAGGING_SECONDS => Phase::Lagging,
            phase => phase,
        };
        let end_in_sight = match phase {
            Phase::Rebuilding => Some(end.max(head)),
            Phase::Lagging => Some(head),
            _ => None,
        };
        let to_go = |end: Position| (rate > 0.0).then(|| end.ahead_of(position) as f64 / rate);
        let partition = |(partition, state): (u32, &(Position, f64, Timestamp))| PartitionStatus {
            partition,
            position: state.0,
            events_per_second: current(state),
        };
        Status {
            projection: id.projection.to_string(),
            version: id.version,
            generation: id.generation,
            live: observed.live,
            phase,
            position,
            head,
            lag_events,
            lag_seconds,
            events_per_second: rate,
            built_until: end,
            progress,
            eta_seconds: end_in_sight.and_then(to_go),
            error: observed.error.clone().or(stuck.filter(|_| phase == Phase::Stuck)),
            created_at: observed.created_at,
            as_of: observed.as_of,
            promote: (!observed.live && observed.as_of.is_none()).then_some(observed.promote),
            live_to: observed.live_to,
            partitions: match observed.partitions.as_slice() {
                [_] => Vec::new(),
                several => (0_u32..).zip(several).map(partition).collect(),
            },
            digest: observed.digest.to_string(),
            subscription: self.manifest.subscription.to_string(),
            host: observed.host.clone(),
            tables: self.manifest.tables.iter().map(|table| table.name.to_string()).collect(),
        }
    }

    /// Why it makes no progress, if it has made none for too long.
    fn stuck(
        &self,
        id: &VersionId,
        waiting_since: Timestamp,
        now: Timestamp,
        stuck_after: Duration,
    ) -> Option<Problem> {
        let observed = &self.observed;
        let since = if waiting_since.0 > observed.progress_at.0 { waiting_since } else { observed.progress_at };
        let seconds = now.seconds_since(since);
        (seconds > stuck_after.as_secs_f64() && observed.doing != Doing::Resting).then(|| Problem {
            code: "stuck".to_owned(),
            message: format!("{id} has made no progress for {seconds:.0} s: it {}", observed.doing),
            position: Some(observed.position()),
            event_id: None,
            since,
        })
    }
}
