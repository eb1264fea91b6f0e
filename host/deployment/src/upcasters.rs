//! Upcasters come and go: tried on the history, then in force at one position for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Deployed;
use super::build::deployed;
use super::deployments::{FOLLOWING, those_there_are};
use super::{Deployments, Fault, RebuildOptions, Wanted};
use guest::{Admitted, Kind, UpcasterPlugin};
use model::change::{Digest, Manifest, UpcasterManifest};
use model::event::{Batch, Checkpoint, Position};
use model::task::Panic;
use projection::upcast::Poisoned;
use projection::{UpcasterSet, UpcastersError};
use read_model::NewOperation;
use store::{Error as StoreError, Filter, Store};

/// Changes that are shown.
const SAMPLES: usize = 5;

/// The name under which changes of upcasters keep each other out.
const ALL: &str = "all upcasters";

/// What upcasters would change in the history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpcasterTrial {
    /// The events up to this position were looked at.
    pub up_to: Position,
    /// Of those, how many the upcaster takes, by type.
    pub taken: BTreeMap<String, u64>,
    /// Positions where other events come out than before.
    pub changed: u64,
    /// The first of them.
    pub samples: Vec<UpcastSample>,
    /// The position after which it holds for all.
    pub effective_after: Position,
    /// Projections whose rows would be others had it been there from the start.
    pub affected: Vec<Affected>,
}

/// What comes of one event, with the upcasters of before and with those of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpcastSample {
    pub position: Position,
    pub event_id: Uuid,
    /// Type and payload of what came out before.
    pub before: Vec<String>,
    /// And of what comes out now.
    pub after: Vec<String>,
}

/// A projection that an upcaster concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Affected {
    pub projection: String,
    /// Its live version.
    pub version: String,
    /// The types that it wants of those that the upcaster takes or gives.
    pub event_types: Vec<String>,
}

impl Deployments {
    /// Lets `admitted`, all upcasters, work from now on, each in the place of the one of its name.
    ///
    /// # Errors
    /// If they clash, or fail on the history.
    pub(super) async fn deploy_upcasters(&self, admitted: &[Admitted], actor: &str) -> Result<Deployed, Fault> {
        let _exclusive = self.exclusively(ALL, "a change of upcasters").await?;
        let before = self.upcasters_in_force().await?;
        let mut after = before.clone();
        for (digest, plugin) in admitted.iter().filter_map(upcaster) {
            let manifest = &plugin.manifest;
            let known = after.iter().find(|(_, known)| known.manifest.name == manifest.name);
            if let Some((_, higher)) = known.filter(|(_, known)| known.manifest.version > manifest.version) {
                return Err(Fault::Plugin {
                    code: "plugin_superseded",
                    reason: format!(
                        "upcaster {} v{} is in force, which is higher",
                        higher.manifest.name, higher.manifest.version
                    ),
                });
            }
            after.retain(|(_, known)| known.manifest.name != manifest.name);
            after.push((digest, plugin.clone()));
        }
        if digests(&before) == digests(&after) {
            return Ok(deployed("unchanged", None, None));
        }
        let names: Vec<String> =
            admitted.iter().filter_map(upcaster).map(|(_, plugin)| plugin.manifest.name.to_string()).collect();
        Box::pin(self.change_upcasters(&before, &after, &names, actor)).await
    }

    /// Lets the upcaster `name` work no more.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) async fn remove_upcaster(&self, name: &str, actor: &str) -> Result<Deployed, Fault> {
        let _exclusive = self.exclusively(ALL, "a change of upcasters").await?;
        let before = self.upcasters_in_force().await?;
        let after: Vec<_> = before.iter().filter(|(_, known)| known.manifest.name.as_str() != name).cloned().collect();
        if after.len() == before.len() {
            return Err(unknown(name, &before));
        }
        Box::pin(self.change_upcasters(&before, &after, &[name.to_owned()], actor)).await
    }

    async fn change_upcasters(
        &self,
        before: &[(Digest, UpcasterPlugin)],
        after: &[(Digest, UpcasterPlugin)],
        names: &[String],
        actor: &str,
    ) -> Result<Deployed, Fault> {
        let set = UpcasterSet::new(0, Position::START, after.to_vec()).map_err(|fault| match fault {
            UpcastersError::Clash(clash) => Fault::Plugin { code: "plugin_clash", reason: clash.to_string() },
            fault => fault.into(),
        })?;
        let changed = changed_manifests(before, after);
        let mut trial = self.try_upcasters(before, after, &changed).await?;
        trial.affected = self.affected_by(&changed, u32::MAX).await?;
        let subject = names.join(", ");
        let find = |all: &[(Digest, UpcasterPlugin)]| match names {
            [name] => all.iter().find(|(_, known)| known.manifest.name.as_str() == name).map(|&(digest, _)| digest),
            _ => None,
        };
        let operation = NewOperation {
            operation: "upcast",
            subject: subject.clone(),
            actor: actor.to_owned(),
            from: find(before),
            to: find(after),
            detail: format!("{} of the first {} positions change", trial.changed, trial.up_to),
            ..NewOperation::default()
        };
        let (read_model, digests, mut number) = (self.read_model.clone(), digests(after), 0);
        let store = self.store.clone();
        trial.effective_after = self
            .projections
            .install(set, async |position| {
                let change = read_model.change_upcasters(position).await?;
                let effective_after = farthest(&store, position, &change.ahead).await?;
                let (set, noted) = change.record(effective_after, &digests, operation).await?;
                number = noted;
                Ok((set.number, set.effective_after))
            })
            .await?;
        tracing::info!("upcasters `{subject}` hold for events after position {}", trial.effective_after);
        let mut deployed = deployed("installed", None, Some(number));
        for affected in &trial.affected {
            let advice = format!(
                "projection {} was folded with the upcasters of before: rebuild it with `fantascope projection rebuild {}` if its rows are to be as if they had been there",
                affected.projection, affected.projection
            );
            tracing::warn!("{advice}");
            deployed.advice.push(advice);
        }
        deployed.upcaster = Some(trial);
        Ok(deployed)
    }

    /// Rebuilds the live version of every projection whose history `upcaster` would have changed.
    ///
    /// # Errors
    /// If there is no such upcaster. A projection that can't be rebuilt now is named with the reason.
    pub async fn rebuild_affected_by(
        &self,
        upcaster: &str,
        options: RebuildOptions,
        actor: &str,
    ) -> Result<Vec<(Affected, Result<Deployed, Fault>)>, Fault> {
        let mut outcomes = Vec::new();
        for affected in self.affected_by_name(upcaster).await? {
            let version: Wanted = affected.version.parse().map_err(Fault::Internal)?;
            let options = RebuildOptions { version: Some(version), ..options };
            let outcome = self.rebuild(&affected.projection, options, actor).await;
            outcomes.push((affected, outcome));
        }
        Ok(outcomes)
    }

    /// The projections whose live version was begun before the last change of `upcaster`.
    async fn affected_by_name(&self, name: &str) -> Result<Vec<Affected>, Fault> {
        let sets = self.read_model.upcaster_sets().await?;
        let mut last_change = None;
        let mut before: Vec<(Digest, UpcasterPlugin)> = Vec::new();
        let mut latest = Vec::new();
        for set in &sets {
            let of_name: Vec<_> = self
                .upcasters_of(&set.digests)
                .await?
                .into_iter()
                .inspect(|known| latest.push(known.clone()))
                .filter(|(_, known)| known.manifest.name.as_str() == name)
                .collect();
            if digests(&of_name) != digests(&before) {
                last_change = Some((set.number, changed_manifests(&before, &of_name)));
                before = of_name;
            }
        }
        let Some((number, changed)) = last_change else { return Err(unknown(name, &latest)) };
        self.affected_by(&changed, number).await
    }

    /// The projections whose live version was begun with a set before number `before`, and
    /// that want what comes of events which `changed` take and the store holds.
    async fn affected_by(&self, changed: &[Arc<UpcasterManifest>], before: u32) -> Result<Vec<Affected>, Fault> {
        let mut types: Vec<String> = Vec::new();
        for step in changed.iter().flat_map(|manifest| &manifest.steps) {
            let filter = Filter { event_type: Some(step.takes.name.to_string()), ..Filter::default() };
            if !self.store.events(&filter, 1).await?.is_empty() {
                types.extend(std::iter::once(&step.takes).chain(&step.gives).map(|known| known.name.to_string()));
            }
        }
        types.sort();
        types.dedup();
        let mut affected = Vec::new();
        for version in self.read_model.versions().await?.iter().filter(|known| known.live && known.upcasters < before) {
            let Ok(code) = self.code_of(version).await else { continue };
            let wanted = wanted(&code.manifest, &types);
            if !wanted.is_empty() {
                affected.push(Affected {
                    projection: version.id.projection.to_string(),
                    version: version.id.label().to_string(),
                    event_types: wanted,
                });
            }
        }
        Ok(affected)
    }

    /// Makes the beginning of the history current with both, and says what differs.
    async fn try_upcasters(
        &self,
        before: &[(Digest, UpcasterPlugin)],
        after: &[(Digest, UpcasterPlugin)],
        changed: &[Arc<UpcasterManifest>],
    ) -> Result<UpcasterTrial, Fault> {
        let (old, new) = (
            UpcasterSet::new(0, Position::START, before.to_vec())?,
            UpcasterSet::new(0, Position::START, after.to_vec())?,
        );
        let up_to = self.sample_end(self.store.refresh_head().await?);
        let mut trial = UpcasterTrial { up_to, ..UpcasterTrial::default() };
        let mut after = Checkpoint::START;
        while after.position < up_to {
            let page = self.store.page(after, up_to).await?;
            let gone = |panic: Panic| Fault::Internal(panic.to_string());
            let mut one = old.run(page.events.clone()).await.map_err(gone)?;
            let mut other = new.run(page.events.clone()).await.map_err(gone)?;
            after = [one.cut, other.cut].into_iter().flatten().min_by_key(|cut| cut.position).unwrap_or(page.end());
            one.cut_after(after.position);
            other.cut_after(after.position);
            count_taken(&mut trial.taken, &page.events, after.position, changed);
            let is_new = |event: &&Poisoned| !one.poisoned.iter().any(|known| known.position == event.position);
            if let Some(event) = other.poisoned.iter().find(is_new) {
                return Err(Fault::TrialFailed { reason: event.message.clone() });
            }
            note_changes(&mut trial, &one.events, &other.events);
        }
        Ok(trial)
    }

    /// Lets those sets work that other hosts have recorded.
    pub(super) async fn follow_upcasters(&self) -> Result<(), Fault> {
        let _exclusive = self.exclusively_here(ALL, FOLLOWING).await?;
        let recorded = self.read_model.upcaster_sets().await?;
        let sets: Vec<_> = recorded.iter().map(|set| (set.number, set.effective_after, &*set.digests)).collect();
        if !self.projections.upcasters().agree_with(&sets) {
            tracing::error!(
                "the sets of upcasters are not those that this host works with: the read models were restored or replaced"
            );
            self.projections.replace_upcasters(self.recorded_upcasters().await?).await;
            return Ok(());
        }
        let known = self.projections.upcasters().latest();
        for set in recorded.into_iter().filter(|set| set.number > known) {
            let plugins = self.upcasters_of(&set.digests).await?;
            self.projections.adopt(UpcasterSet::new(set.number, set.effective_after, plugins)?).await;
        }
        Ok(())
    }

    /// The sets that are recorded, behind the first one, which is not and has none.
    pub(super) async fn recorded_upcasters(&self) -> Result<Vec<UpcasterSet>, Fault> {
        let mut sets = vec![UpcasterSet::new(0, Position::START, Vec::new())?];
        for set in self.read_model.upcaster_sets().await? {
            let plugins = self.upcasters_of(&set.digests).await?;
            sets.push(UpcasterSet::new(set.number, set.effective_after, plugins)?);
        }
        Ok(sets)
    }

    /// The upcasters that work on new events.
    async fn upcasters_in_force(&self) -> Result<Vec<(Digest, UpcasterPlugin)>, Fault> {
        match self.read_model.upcaster_sets().await?.last() {
            Some(set) => self.upcasters_of(&set.digests).await,
            None => Ok(Vec::new()),
        }
    }

    /// The kept upcasters with these digests.
    pub(super) async fn upcasters_of(&self, digests: &[Digest]) -> Result<Vec<(Digest, UpcasterPlugin)>, Fault> {
        let mut plugins = Vec::new();
        for &digest in digests {
            let admitted = match self.kept_plugin(digest).await {
                Ok(admitted) => admitted,
                Err(Fault::Plugin { code, reason }) => {
                    let reason = format!("upcaster {} is refused here: {reason}", self.name_of(digest).await?);
                    return Err(Fault::Plugin { code, reason });
                }
                Err(fault) => return Err(fault),
            };
            match admitted.as_ref().and_then(upcaster) {
                Some((digest, plugin)) => plugins.push((digest, plugin.clone())),
                None => {
                    let name = self.name_of(digest).await?;
                    return Err(Fault::Internal(format!("the bytes of upcaster {name} are not kept")));
                }
            }
        }
        Ok(plugins)
    }

    /// What people call the plugin of these bytes: by its file, if that is remembered.
    async fn name_of(&self, digest: Digest) -> Result<String, Fault> {
        let seen = self.read_model.seen_files().await?.into_iter().find(|seen| seen.digest == digest);
        Ok(seen.map_or_else(|| digest.to_string(), |seen| format!("`{}`", seen.file)))
    }
}

/// The farthest of `position` and of those positions in `ahead` at which their event stands.
async fn farthest(store: &Store, position: Position, ahead: &[(Position, Uuid)]) -> Result<Position, StoreError> {
    let mut farthest = position;
    for &(position, event_id) in ahead {
        if position > farthest && store.event_id_at(position).await? == Some(event_id) {
            farthest = position;
        }
    }
    Ok(farthest)
}

pub(super) fn upcaster(admitted: &Admitted) -> Option<(Digest, &UpcasterPlugin)> {
    match &admitted.kind {
        Kind::Upcaster(plugin) => Some((admitted.digest, plugin)),
        Kind::Projection(_) => None,
    }
}

fn digests(of: &[(Digest, UpcasterPlugin)]) -> Vec<Digest> {
    of.iter().map(|&(digest, _)| digest).collect()
}

/// Those that are only on one side.
fn changed_manifests(
    one: &[(Digest, UpcasterPlugin)],
    other: &[(Digest, UpcasterPlugin)],
) -> Vec<Arc<UpcasterManifest>> {
    let lacks = |of: &[(Digest, UpcasterPlugin)], digest: Digest| !of.iter().any(|&(known, _)| known == digest);
    let only_one = one.iter().filter(|&&(digest, _)| lacks(other, digest));
    let only_other = other.iter().filter(|&&(digest, _)| lacks(one, digest));
    only_one.chain(only_other).map(|(_, plugin)| Arc::clone(&plugin.manifest)).collect()
}

fn wanted(manifest: &Manifest, types: &[String]) -> Vec<String> {
    types.iter().filter(|known| manifest.subscription.wants(known)).cloned().collect()
}

fn unknown(name: &str, known: &[(Digest, UpcasterPlugin)]) -> Fault {
    let mut names: Vec<&str> = known.iter().map(|(_, plugin)| plugin.manifest.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Fault::UnknownUpcaster { name: name.to_owned(), known: those_there_are(&names) }
}

fn count_taken(taken: &mut BTreeMap<String, u64>, batch: &Batch, up_to: Position, changed: &[Arc<UpcasterManifest>]) {
    let takes = |code: &u32| {
        let known = &batch.types[*code as usize];
        changed.iter().flat_map(|manifest| &manifest.steps).any(|step| step.takes == *known)
    };
    let end = batch.positions.partition_point(|&position| position <= up_to.0);
    for code in batch.type_codes[..end].iter().filter(|code| takes(code)) {
        *taken.entry(batch.types[*code as usize].to_string()).or_default() += 1;
    }
}

/// Counts the positions where the two batches differ, and keeps the first of them.
fn note_changes(trial: &mut UpcasterTrial, one: &Batch, other: &Batch) {
    let (old, new) = (by_position(one), by_position(other));
    let mut positions: Vec<u64> = old.keys().chain(new.keys()).copied().collect();
    positions.sort_unstable();
    positions.dedup();
    for position in positions {
        let (before, after) = (told(one, old.get(&position)), told(other, new.get(&position)));
        if before == after {
            continue;
        }
        trial.changed += 1;
        if trial.samples.len() < SAMPLES {
            let event_id = match (old.get(&position), new.get(&position)) {
                (Some(rows), _) => one.event_id(rows.start),
                (None, Some(rows)) => other.event_id(rows.start),
                (None, None) => continue,
            };
            trial.samples.push(UpcastSample { position: Position(position), event_id, before, after });
        }
    }
}

fn by_position(batch: &Batch) -> BTreeMap<u64, std::ops::Range<usize>> {
    let mut found: BTreeMap<u64, std::ops::Range<usize>> = BTreeMap::new();
    for (row, &position) in batch.positions.iter().enumerate() {
        found.entry(position).and_modify(|rows| rows.end = row + 1).or_insert(row..row + 1);
    }
    found
}

fn told(batch: &Batch, rows: Option<&std::ops::Range<usize>>) -> Vec<String> {
    let rows = rows.cloned().unwrap_or(0..0);
    rows.map(|row| format!("{} {}", batch.event_type(row), batch.data.get(row))).collect()
}
