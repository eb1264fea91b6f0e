//! The board on which every running version writes how it stands, and on which the looks of a
//! host show what others fold.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::parts::{Part, Parts};
use super::phase::Phase;
use super::run::problem_of;
use super::status::{Doing, PartitionStatus, Problem, Status};
use model::change::{Digest, Manifest, TableDefinition, VersionId};
use model::event::{Position, Timestamp};
use read_model::{Look, Promote, State, Trouble, Unit, VersionRecord};
use store::Readable;

/// A version that follows the store and is later than this is called lagging …
const LAGGING: Duration = Duration::from_secs(1);
/// … and one that another host folds than this: a checkpoint without rows is written a second
/// later.
const LAGGING_ELSEWHERE: Duration = Duration::from_millis(2_500);

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
    /// Whether its history is not folded yet.
    pub(super) building: bool,
    /// Where the backfill ends.
    pub(super) built_until: Position,
    pub(super) error: Option<Problem>,
    pub(super) doing: Doing,
    /// When it last came further, or began to try.
    pub(super) progress_at: Instant,
    pub(super) parts: Parts,
}

impl Observed {
    /// What `record` says of a version that `digest` runs; `head` is that of the store.
    pub(super) fn of(record: &VersionRecord, digest: Digest, head: Position) -> Self {
        let building = record.state == State::Building;
        let mut parts = Parts::default();
        parts.stand_at(&record.checkpoints);
        Self {
            phase: match record.state {
                State::Building => Phase::Rebuilding,
                _ if record.as_of.is_some() => Phase::Complete,
                _ => Phase::Lagging,
            },
            live: record.live,
            created_at: record.created_at,
            promote: record.promote,
            live_to: record.live_to,
            as_of: record.as_of,
            digest,
            building,
            built_until: if record.built_until == Position::START { head } else { record.built_until },
            error: None,
            doing: Doing::WaitingForEvents,
            progress_at: Instant::now(),
            parts,
        }
    }

    /// It can do again what it is there for.
    pub(super) fn is_well(&mut self) {
        if self.phase == Phase::Retrying {
            (self.phase, self.error) = (if self.building { Phase::Rebuilding } else { Phase::Lagging }, None);
        }
    }

    /// What it is doing, wherever that is, and what is wrong.
    fn stands(&self, now: Instant) -> (Phase, Option<Problem>) {
        let recorded = self.parts.trouble();
        if let Some(other) = self.parts.others_alone(now) {
            let phase = match recorded {
                _ if self.phase == Phase::Paused => Phase::Paused,
                Some(trouble) => Phase::of_name(&trouble.phase),
                None if other.building => Phase::Rebuilding,
                None if self.as_of.is_some() => Phase::Complete,
                None => Phase::Following,
            };
            return (phase, recorded.map(Problem::from));
        }
        match recorded.filter(|_| self.error.is_none() && self.phase.is_moving()) {
            // Another host folds a part of it, and has met with it.
            Some(trouble) => (Phase::of_name(&trouble.phase), Some(trouble.into())),
            None => (self.phase, self.error.clone()),
        }
    }
}

/// The board. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board {
    entries: Arc<RwLock<BTreeMap<VersionId, Entry>>>,
    /// What others fold of versions that do not run here.
    absent: Arc<RwLock<BTreeMap<VersionId, Parts>>>,
    /// Why this host folds nothing, if it can't.
    barred: Arc<RwLock<Option<Problem>>>,
    stuck_after: Duration,
    readable: Readable,
}

#[derive(Clone, Debug)]
struct Entry {
    manifest: Arc<Manifest>,
    observed: Observed,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Duration::from_millis(model::limits::Limits::default().stuck_after_ms), Readable::default())
    }
}

impl Board {
    /// `stuck_after`: without progress for so long a version is called stuck. `readable` says how
    /// long events have waited.
    pub(super) fn new(stuck_after: Duration, readable: Readable) -> Self {
        Self { entries: Arc::default(), absent: Arc::default(), barred: Arc::default(), stuck_after, readable }
    }

    /// Shows why this host folds nothing, or that it does. Says whether that is new.
    pub fn bar(&self, code: &str, why: Option<String>) -> bool {
        let mut barred = self.barred.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = barred.as_ref().map(|problem| &problem.message) != why.as_ref();
        if is_new {
            let since = Timestamp::now();
            let problem = |message| Problem { code: code.to_owned(), message, position: None, event_id: None, since };
            *barred = why.map(problem);
        }
        is_new
    }

    /// Why this host folds nothing, if it can't.
    #[must_use]
    pub fn barred(&self) -> Option<Problem> {
        self.barred.read().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// Everything up to `position` is folded, and committed where there was something to commit.
    pub(super) fn folded(&self, id: &VersionId, partition: u32, position: Position) {
        let now = Instant::now();
        self.update(id, |observed| {
            let Some(part) = observed.parts.all.get_mut(partition as usize) else { return };
            if position > part.position {
                part.moves_to(position, now);
                observed.progress_at = now;
                observed.is_well();
            }
        });
    }

    /// Shows what a look has found that other hosts fold; `own` is the name of this one.
    pub fn looked(&self, look: &Look, own: &str) {
        let now = Instant::now();
        let mut units: BTreeMap<&VersionId, Vec<&Unit>> = BTreeMap::new();
        for unit in &look.units {
            units.entry(&unit.id).or_default().push(unit);
        }
        let mut entries = self.write();
        let mut absent = self.absent.write().unwrap_or_else(PoisonError::into_inner);
        absent.retain(|id, _| units.contains_key(id) && !entries.contains_key(id));
        for (id, units) in units {
            match entries.get_mut(id) {
                Some(entry) => entry.observed.parts.show(&units, own, now),
                None => absent.entry(id.clone()).or_default().show(&units, own, now),
            }
        }
    }

    /// What keeps `id` from going on, if this host folds it and something does.
    #[must_use]
    pub fn trouble(&self, id: &VersionId) -> Option<Trouble> {
        let entries = self.read();
        let observed = &entries.get(id)?.observed;
        if let Some(problem) = &observed.error {
            return Some(problem.told(observed.phase));
        }
        let now = Instant::now();
        self.stuck(id, observed, self.waiting_since(observed, now)?, now).map(|problem| problem.told(Phase::Stuck))
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

    /// How late the live version is that is the latest of those that follow the store here.
    pub(super) fn live_lag(&self) -> Duration {
        let now = Instant::now();
        let late = |entry: &Entry| {
            let observed = &entry.observed;
            let follows = observed.live && observed.phase == Phase::Following;
            let follows = follows && observed.parts.others_alone(now).is_none();
            self.readable.since(observed.parts.position()).filter(|_| follows)
        };
        self.read()
            .values()
            .filter_map(late)
            .map(|since| now.saturating_duration_since(since))
            .max()
            .unwrap_or_default()
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
        self.observed(id).map(|observed| observed.parts.position())
    }

    /// How all versions stand, by name and version, where `head` is the store's last position.
    #[must_use]
    pub fn statuses(&self, head: Position) -> Vec<Status> {
        self.read().iter().map(|(id, entry)| self.status_of(id, entry, head)).collect()
    }

    /// How `id` stands, if it runs here.
    #[must_use]
    pub fn status(&self, id: &VersionId, head: Position) -> Option<Status> {
        self.read().get(id).map(|entry| self.status_of(id, entry, head))
    }

    fn status_of(&self, id: &VersionId, entry: &Entry, head: Position) -> Status {
        let manifest = &entry.manifest;
        self.tell(id, &entry.observed, head, manifest.subscription.to_string(), &manifest.tables)
    }

    /// How the version of `record` stands, which does not run here.
    #[must_use]
    pub fn absent(&self, record: &VersionRecord, head: Position) -> Status {
        let mut observed = Observed::of(record, record.digest, head);
        observed.phase = if record.paused { Phase::Paused } else { Phase::Stopped };
        if let Err(fault) = record.expect_known() {
            let problem = Problem { since: record.created_at, ..problem_of(&fault) };
            (observed.phase, observed.error) = (Phase::Stopped, Some(problem));
        }
        let absent = self.absent.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = absent.get(&record.id) {
            observed.parts = parts.clone();
        }
        self.tell(&record.id, &observed, head, String::new(), &record.tables)
    }

    /// Since when the oldest event can be read that is not folded, as far as this host knows.
    fn waiting_since(&self, observed: &Observed, now: Instant) -> Option<Instant> {
        let position = observed.parts.position();
        let is_at_its_end = observed.as_of.is_some_and(|end| position >= end);
        let since = self.readable.since(position).filter(|_| !is_at_its_end)?;
        let age = Timestamp::now().seconds_since(observed.created_at).max(0.0);
        // Before it was made it kept nothing waiting.
        let made = Duration::try_from_secs_f64(age).ok().and_then(|age| now.checked_sub(age));
        Some(made.map_or(since, |made| since.max(made)))
    }

    fn tell(
        &self,
        id: &VersionId,
        observed: &Observed,
        head: Position,
        subscription: String,
        tables: &[TableDefinition],
    ) -> Status {
        let now = Instant::now();
        let (parts, position) = (&observed.parts, observed.parts.position());
        let end = observed.as_of.unwrap_or(observed.built_until);
        let head = observed.as_of.unwrap_or(head).max(position);
        let progress = if end.0 == 0 { 1.0 } else { (position.0 as f64 / end.0 as f64).min(1.0) };
        let others = parts.others_alone(now);
        let (phase, error) = match self.barred() {
            Some(barred) if parts.elsewhere.is_none() && observed.phase.is_moving() => (Phase::Stopped, Some(barred)),
            _ => observed.stands(now),
        };
        let lag_events = head.ahead_of(position);
        let waiting_since = self.waiting_since(observed, now).filter(|_| lag_events > 0);
        // What others fold counts as of the look.
        let at = others.map_or(now, |other| other.looked_at);
        let lag = waiting_since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since));
        let lag = lag.max(stopped_for(error.as_ref(), phase, position).filter(|_| lag_events > 0).unwrap_or_default());
        let lagging = if others.is_some() { LAGGING_ELSEWHERE } else { LAGGING };
        let stuck = waiting_since.filter(|_| others.is_none() && phase.is_moving());
        let stuck = stuck.and_then(|since| self.stuck(id, observed, since, now));
        let phase = match phase {
            _ if stuck.is_some() => Phase::Stuck,
            Phase::Following if lag > lagging => Phase::Lagging,
            phase => phase,
        };
        let rate = if phase.is_moving() { parts.per_second(now) } else { 0.0 };
        let partition = |(partition, part): (u32, &Part)| PartitionStatus {
            partition,
            position: part.position,
            events_per_second: part.rate.per_second(now),
        };
        let end_in_sight = match phase {
            Phase::Rebuilding => Some(end.max(head)),
            Phase::Lagging => Some(head),
            _ => None,
        };
        let to_go = |end: Position| (rate > 0.0).then(|| end.ahead_of(position) as f64 / rate);
        Status {
            projection: id.projection.to_string(),
            version: id.version,
            generation: id.generation,
            live: observed.live,
            phase,
            position,
            head,
            lag_events,
            lag_seconds: lag.as_secs_f64(),
            events_per_second: rate,
            built_until: end,
            progress,
            eta_seconds: end_in_sight.and_then(to_go),
            error: error.or(stuck),
            created_at: observed.created_at,
            as_of: observed.as_of,
            promote: (!observed.live && observed.as_of.is_none()).then_some(observed.promote),
            live_to: observed.live_to,
            partitions: match parts.all.as_slice() {
                [_] => Vec::new(),
                several => (0_u32..).zip(several).map(partition).collect(),
            },
            digest: observed.digest.to_string(),
            subscription,
            host: parts.elsewhere.as_ref().map(|other| other.host.clone()),
            tables: tables.iter().map(|table| table.name.to_string()).collect(),
        }
    }

    /// Why it makes no progress, if it has made none for too long.
    fn stuck(&self, id: &VersionId, observed: &Observed, waiting_since: Instant, now: Instant) -> Option<Problem> {
        let without = now.saturating_duration_since(waiting_since.max(observed.progress_at));
        let is_stuck = without > self.stuck_after && observed.doing != Doing::Resting && observed.phase.is_moving();
        let ago = i64::try_from(without.as_micros()).unwrap_or(i64::MAX);
        is_stuck.then(|| Problem {
            code: "stuck".to_owned(),
            message: format!("{id} makes no progress: it {}", observed.doing),
            position: Some(observed.parts.position()),
            event_id: None,
            // To the second, so that it stays the same.
            since: Timestamp((Timestamp::now().0 - ago) / 1_000_000 * 1_000_000),
        })
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

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<VersionId, Entry>> {
        // A writer that panicked left whole entries behind: each update is one assignment.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<VersionId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it has stood at the event that it can't fold, which can be read at least so long.
fn stopped_for(error: Option<&Problem>, phase: Phase, position: Position) -> Option<Duration> {
    let error = error.filter(|error| phase == Phase::Failed && error.position.is_some_and(|at| at > position))?;
    Duration::try_from_secs_f64(Timestamp::now().seconds_since(error.since)).ok()
}
