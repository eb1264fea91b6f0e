//! What operators say to a projection: promote, roll back, pause, resume, cancel.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use super::deployments::standing;
use super::folder::status_of;
use super::plan::{next_live, to_give_up, way_back};
use super::{Deployments, Fault, PluginStatus, Wanted};
use model::change::VersionId;
use projection::{Phase, Status};
use read_model::{NewOperation, State, VersionRecord};

/// How long it is waited until two versions that different hosts fold have come equally far,
/// and how often it is looked.
const LEVEL_MAX: Duration = Duration::from_secs(2);
const LEVEL_AGAIN: Duration = Duration::from_millis(5);

impl Deployments {
    /// Lets the stable names show another version, all at once: the one that is wanted,
    /// or the highest that waits for it. `force` does so although it lags, is paused or
    /// has failed; never before its history is folded.
    ///
    /// # Errors
    /// What is missing.
    pub async fn promote(
        &self,
        name: &str,
        wanted: Option<Wanted>,
        force: bool,
        actor: &str,
    ) -> Result<VersionId, Fault> {
        let _exclusive = self.exclusively(name, "a promotion").await?;
        let versions = self.versions_of(name).await?;
        let green = match wanted {
            Some(wanted) => wanted.pick(&versions)?.id,
            None => next_live(&versions)?,
        };
        let operation = NewOperation::on("promote", &green, actor);
        self.switch(&find(&versions, &green)?, force, operation).await?;
        Ok(green)
    }

    /// Lets the stable names show the version again that was live before.
    ///
    /// # Errors
    /// If there is none, or if it lags and `force` is not said.
    pub async fn rollback(&self, name: &str, force: bool, actor: &str) -> Result<VersionId, Fault> {
        let _exclusive = self.exclusively(name, "a rollback").await?;
        let versions = self.read_model.versions_of(name).await?;
        if versions.is_empty() {
            self.versions_of(name).await?;
        }
        let back = way_back(&versions)?;
        let operation = NewOperation::on("rollback", &back, actor);
        self.switch(&find(&versions, &back)?, force, operation).await?;
        Ok(back)
    }

    /// Switches to `green`, if it is fit.
    pub(super) async fn switch(
        &self,
        green: &VersionRecord,
        force: bool,
        operation: NewOperation,
    ) -> Result<(), Fault> {
        let id = &green.id;
        green.expect_known()?;
        if green.as_of.is_some() {
            return Err(Fault::PastBuild { id: id.clone() });
        }
        if green.live {
            return Err(Fault::NothingToPromote {
                name: id.projection.to_string(),
                reason: format!("{} is live already", id.label()),
            });
        }
        let status = self.projections.board().status(id, self.store.head_with_appended().await);
        if let Some(missing) = missing(green, status.as_ref(), force) {
            return Err(Fault::NotReady { id: id.clone(), missing });
        }
        if self.is_elsewhere(id) {
            return self.switch_elsewhere(id, force, operation).await;
        }
        // Held until the switch is done: what readers see is as new after it as before.
        let _held = match self.hold_both(green).await {
            Err(missing) if !force => return Err(Fault::NotReady { id: id.clone(), missing }),
            held => held.ok(),
        };
        self.read_model.promote(id, operation).await?;
        self.projections.set_live(id);
        tracing::info!(projection = %id, "is live now");
        Ok(())
    }

    /// Whether another host folds `id`, or the live version of its projection.
    pub(super) fn is_elsewhere(&self, id: &VersionId) -> bool {
        let statuses = self.projections.board().statuses(self.store.head());
        let is_it = |status: &Status| {
            let is_green = (status.version, status.generation) == (id.version, id.generation);
            status.projection == id.projection.as_str() && (is_green || status.live)
        };
        statuses.iter().any(|status| is_it(status) && status.host.is_some())
    }

    /// Switches to `id` at a moment when it has come as far as the live version, wherever the
    /// two are folded.
    async fn switch_elsewhere(&self, id: &VersionId, force: bool, operation: NewOperation) -> Result<(), Fault> {
        let give_up = Instant::now() + LEVEL_MAX;
        while !self.read_model.promote_if_level(id, operation.clone()).await? {
            if Instant::now() > give_up {
                if force {
                    self.read_model.promote(id, operation).await?;
                    break;
                }
                let missing = "it does not come to where the live version is; force promotes it all the same";
                return Err(Fault::NotReady { id: id.clone(), missing: missing.to_owned() });
            }
            tokio::time::sleep(LEVEL_AGAIN).await;
        }
        self.projections.set_live(id);
        tracing::info!(projection = %id, "is live now");
        Ok(())
    }

    /// Keeps the tail where it is, with the live version and `green` both there; or says
    /// why that can't be.
    async fn hold_both(&self, green: &VersionRecord) -> Result<OwnedMutexGuard<()>, String> {
        let versions = self.read_model.versions().await.map_err(|fault| fault.to_string())?;
        let live = versions.iter().find(|known| known.live && known.id.projection == green.id.projection);
        let live = live.map_or(&green.id, |live| &live.id);
        let is_following = |id: &VersionId| {
            let status = self.projections.board().status(id, self.store.head());
            status.is_some_and(|status| matches!(status.phase, Phase::Following | Phase::Lagging))
        };
        // One that stands still never comes to where the other is.
        let live = if is_following(live) { live } else { &green.id };
        let (held, position) = self.projections.hold_tail().await;
        if is_following(&green.id) && self.both_at(live, &green.id, position).await {
            return Ok(held);
        }
        Err(format!("it does not come to position {position}, where the store was; force promotes it all the same"))
    }

    /// Stops versions of a projection until they are resumed, also over restarts: the
    /// one that is wanted, or all.
    ///
    /// # Errors
    /// If there is no such version.
    pub async fn pause(&self, name: &str, wanted: Option<Wanted>, actor: &str) -> Result<Vec<VersionId>, Fault> {
        let _exclusive = self.exclusively(name, "a pause").await?;
        let ids = self.chosen(name, wanted).await?;
        for id in &ids {
            self.projections.pause(id).await;
        }
        self.note_paused(name, &ids, true, None, actor).await?;
        for id in &ids {
            tracing::info!(projection = %id, actor, "is paused");
        }
        Ok(ids)
    }

    /// Lets paused versions go on; with `workers`, one that is built folds the rest of
    /// its history in so many partitions.
    ///
    /// # Errors
    /// If there is no such version, or it can't be folded in partitions.
    pub async fn resume(
        &self,
        name: &str,
        wanted: Option<Wanted>,
        workers: Option<u32>,
        actor: &str,
    ) -> Result<Vec<VersionId>, Fault> {
        let _exclusive = self.exclusively(name, "a resumption").await?;
        let mut ids = self.chosen(name, wanted).await?;
        if let Some(workers) = workers {
            if wanted.is_none() {
                ids = self.building(name, ids).await?;
            }
            self.check_workers(&ids, workers).await?;
        }
        self.note_paused(name, &ids, false, workers, actor).await?;
        for id in &ids {
            self.projections.resume(id).await;
            tracing::info!(projection = %id, actor, "is resumed");
        }
        Ok(ids)
    }

    /// Those of `ids` that are being built; all of them if none is.
    async fn building(&self, name: &str, ids: Vec<VersionId>) -> Result<Vec<VersionId>, Fault> {
        let versions = self.versions_of(name).await?;
        let building = versions.into_iter().filter(|known| known.state == State::Building && ids.contains(&known.id));
        let building: Vec<VersionId> = building.map(|known| known.id).collect();
        Ok(if building.is_empty() { ids } else { building })
    }

    async fn check_workers(&self, ids: &[VersionId], workers: u32) -> Result<(), Fault> {
        for id in ids {
            let version = self.read_model.version(id).await?;
            if workers == 0 || !version.tables.iter().all(|table| table.keyed_by_aggregate) {
                let reason = format!(
                    "{id} can't be folded in {workers} partitions: not all of its tables are keyed by the aggregate's id"
                );
                return Err(Fault::Invalid { reason });
            }
            if version.state != State::Building {
                let reason = format!(
                    "{id} has its history folded, and follows the store in one partition: a number of workers counts for `rebuild`"
                );
                return Err(Fault::Invalid { reason });
            }
        }
        Ok(())
    }

    async fn note_paused(
        &self,
        name: &str,
        ids: &[VersionId],
        paused: bool,
        workers: Option<u32>,
        actor: &str,
    ) -> Result<(), Fault> {
        let operation = NewOperation {
            operation: if paused { "pause" } else { "resume" },
            subject: name.to_owned(),
            actor: actor.to_owned(),
            ..NewOperation::default()
        };
        Ok(self.read_model.set_paused(ids, paused, workers, &operation).await?)
    }

    async fn chosen(&self, name: &str, wanted: Option<Wanted>) -> Result<Vec<VersionId>, Fault> {
        let versions = self.versions_of(name).await?;
        match wanted {
            Some(wanted) => {
                let version = wanted.pick(&versions)?;
                version.expect_known()?;
                Ok(vec![version.id])
            }
            None => Ok(standing(&versions).into_iter().map(|version| version.id).collect()),
        }
    }

    /// Gives a version up that is not live, and drops its tables; the one that is wanted, or
    /// the only one that is being built or waits to be promoted.
    ///
    /// # Errors
    /// If it is live; or if there is no such version or more than one, and none is wanted.
    pub async fn cancel(&self, name: &str, wanted: Option<Wanted>, actor: &str) -> Result<VersionId, Fault> {
        let _exclusive = self.exclusively(name, "a cancellation").await?;
        let versions = self.versions_of(name).await?;
        let version = match wanted {
            Some(wanted) => wanted.pick(&versions)?,
            None => find(&versions, &to_give_up(&versions)?)?,
        };
        let id = version.id.clone();
        version.expect_known()?;
        if version.live {
            return Err(Fault::Live { id, advice: "promote another version first" });
        }
        self.retire(&id, Some(NewOperation::on("cancel", &id, actor))).await?;
        Ok(id)
    }

    /// Stops `id`, and drops its tables; without an `operation` as a part of another one.
    pub(super) async fn retire(&self, id: &VersionId, operation: Option<NewOperation>) -> Result<(), Fault> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.projections.end(id).await;
        let retired = self.read_model.retire(id, operation).await;
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Err(fault) = retired {
            // Its tables are still there, so it goes on.
            self.run_again(id).await;
            return Err(fault.into());
        }
        tracing::info!(projection = %id, "is retired: its tables are dropped");
        self.list_what_runs().await
    }

    /// Plugins that nothing runs any more are listed so.
    pub(super) async fn list_what_runs(&self) -> Result<(), Fault> {
        let running = self.running_digests().await?;
        for mut plugin in self.plugins.get() {
            if let (PluginStatus::Active, Ok(digest)) = (plugin.status, plugin.digest.parse()) {
                plugin.status = status_of(digest, &running);
                self.plugins.put(plugin);
            }
        }
        Ok(())
    }

    /// Runs `id` after it was ended in vain.
    async fn run_again(&self, id: &VersionId) {
        let version = self.read_model.version(id).await.map_err(Fault::from);
        let code = match &version {
            Ok(version) => self.code_of(version).await,
            Err(fault) => Err(Fault::Internal(fault.to_string())),
        };
        match (version, code) {
            (Ok(version), Ok(code)) if version.state.is_standing() => self.projections.run(&version, code),
            (Ok(_), Ok(_)) => {}
            (_, Err(fault)) | (Err(fault), _) => tracing::error!(projection = %id, "runs no more: {fault}"),
        }
    }
}

fn find(versions: &[VersionRecord], id: &VersionId) -> Result<VersionRecord, Fault> {
    let found = versions.iter().find(|known| known.id == *id).cloned();
    found.ok_or_else(|| Fault::Internal(format!("{id} is gone")))
}

/// What `green` lacks to be promoted.
fn missing(green: &VersionRecord, status: Option<&Status>, force: bool) -> Option<String> {
    if green.state == State::Retired {
        return Some("its tables are gone".to_owned());
    }
    if green.state == State::Building {
        let (position, until) = (green.position(), green.built_until);
        let position = status.map_or(position, |status| status.position);
        if let Some(problem) = status.and_then(|status| status.error.as_ref()) {
            return Some(format!("its history is not folded, for it has stopped: {}", problem.message));
        }
        return Some(format!(
            "its history is not folded yet (position {position}, the backfill ends at {until}), so rows are missing"
        ));
    }
    let problem = match status {
        None => "it does not run in this host".to_owned(),
        Some(status) if status.phase == Phase::Following => return None,
        Some(status) => format!("it is {} and {} events behind", status.phase, status.lag_events),
    };
    (!force).then(|| format!("{problem}; force promotes it all the same"))
}
