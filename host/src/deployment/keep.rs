//! What the host does by itself: it promotes what is ready, and retires what was kept
//! for long enough.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use super::deployments::{POLICY, PROMOTION};
use super::{Deployments, Fault, Keep};
use crate::change::{Label, VersionId};
use crate::event::Timestamp;
use crate::projection::Status;
use crate::read_model::{NewOperation, Outcome, Promote, State, VersionRecord};

/// How often it looks whether something is to be retired. It looks at what is in memory.
const LOOK: Duration = Duration::from_millis(500);

/// How long it waits for whoever works on a projection.
const BUSY: Duration = Duration::from_millis(50);

impl Deployments {
    /// Does what is to be done, until the host ends.
    pub(super) async fn keep_order(&self, ready: &mut mpsc::UnboundedReceiver<VersionId>) {
        let stop = self.stop.clone();
        let work = async {
            let mut clock = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    Some(id) = ready.recv() => self.is_ready(&id).await,
                    _ = clock.tick() => self.retire_old().await,
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// `id` has caught up for the first time: it may be its turn.
    pub(super) async fn is_ready(&self, id: &VersionId) {
        loop {
            match self.promote_by_policy(id).await {
                Err(Fault::Busy { .. }) => tokio::time::sleep(BUSY).await,
                Ok(()) => return,
                Err(fault) => {
                    tracing::warn!(projection = %id, code = fault.code(), "is not promoted: {fault}");
                    let operation =
                        NewOperation { detail: fault.to_string(), ..NewOperation::on("promote", id, POLICY) };
                    if let Err(fault) = self.hold_back(id, &operation).await {
                        tracing::error!(projection = %id, "{fault}");
                    }
                    return;
                }
            }
        }
    }

    async fn hold_back(&self, id: &VersionId, operation: &NewOperation) -> Result<(), Fault> {
        self.set_promote(id, Promote::Manual).await?;
        self.read_model.note_operation(operation, Outcome::Failed).await?;
        Ok(())
    }

    /// `id` is to take over by itself from now on when `promote` says.
    async fn set_promote(&self, id: &VersionId, promote: Promote) -> Result<(), Fault> {
        self.read_model.set_promote(id, promote).await?;
        self.projections.set_promote(id, promote);
        Ok(())
    }

    /// `id`, which is there already, was deployed once more, to be promoted so if anything was
    /// said of that. Gives what there is to say of it.
    pub(super) async fn wish(&self, id: &VersionId, promote: Option<Promote>) -> Result<Option<String>, Fault> {
        let Some(promote) = promote else { return Ok(None) };
        let versions = self.read_model.versions_of(id.projection.as_str()).await?;
        if let Some(live) = versions.iter().find(|known| known.live && known.id >= *id) {
            let advice = format!("{} is live, so there is nothing to promote", live.id.label());
            return Ok(Some(advice));
        }
        self.set_promote(id, promote).await?;
        // Looked up again: it may have caught up meanwhile, with what was wished before.
        if promote != Promote::Manual && self.read_model.version(id).await?.state == State::Ready {
            self.projections.is_ready(id);
        }
        Ok(None)
    }

    async fn promote_by_policy(&self, id: &VersionId) -> Result<(), Fault> {
        let name = id.projection.as_str();
        let _exclusive = self.exclusively(name, PROMOTION).await?;
        let versions = self.versions_of(name).await?;
        let Some(green) = versions.iter().find(|known| known.id == *id) else { return Ok(()) };
        let is_lower = versions.iter().any(|known| known.live && known.id > green.id);
        if green.promote == Promote::Manual || green.live || is_lower {
            return Ok(());
        }
        if green.promote == Promote::Verified {
            let wanted = super::Wanted { label: id.label(), exact: true };
            let verified = self.verify_within(name, Some(wanted), POLICY).await?;
            if !verified.holds {
                let missing = format!("it does not agree with {}: {}", verified.blue, verified.difference());
                return Err(Fault::NotReady { id: id.clone(), missing });
            }
        }
        self.switch(green, true, NewOperation::on("promote", id, POLICY)).await
    }

    /// Those that were ready when the host ended, before it could promote them.
    pub(super) async fn promote_left_over(&self, versions: &[VersionRecord]) {
        for version in versions {
            if version.state == State::Ready
                && version.promote != Promote::Manual
                && !version.live
                && version.as_of.is_none()
            {
                self.is_ready(&version.id).await;
            }
        }
    }

    async fn retire_old(&self) {
        let statuses = self.projections.board().statuses(self.store.head());
        for status in overdue(&statuses, self.policy.keep_previous, self.policy.keep_as_of, Timestamp::now()) {
            let name = &status.projection;
            let Ok(projection) = name.parse() else { continue };
            self.retire_overdue(&VersionId { projection, version: status.version, generation: status.generation })
                .await;
        }
    }

    /// In nobody's way: whoever promotes it meanwhile finds it retired, or keeps it from being so.
    async fn retire_overdue(&self, id: &VersionId) {
        // Somebody may have promoted it meanwhile.
        if self.projections.board().status(id, self.store.head()).is_none_or(|now| now.live) {
            return;
        }
        if let Err(fault) = self.retire(id, Some(NewOperation::on("retire", id, POLICY))).await {
            tracing::error!(projection = %id, "can't be retired: {fault}");
        }
    }
}

/// Those of `statuses` that were kept for long enough.
fn overdue(statuses: &[Status], keep: Keep, keep_as_of: Duration, now: Timestamp) -> Vec<&Status> {
    let is_over = |since: Timestamp, keep: Duration| now.seconds_since(since) > keep.as_secs_f64();
    let mut overdue: Vec<&Status> =
        statuses.iter().filter(|status| status.as_of.is_some() && is_over(status.created_at, keep_as_of)).collect();
    let mut by_name: BTreeMap<&str, Vec<(Timestamp, &Status)>> = BTreeMap::new();
    for status in statuses.iter().filter(|status| !status.live && status.as_of.is_none()) {
        if let Some(since) = status.live_to {
            by_name.entry(&status.projection).or_default().push((since, status));
        }
    }
    for previous in by_name.values_mut() {
        // The latest first.
        previous.sort_by_key(|&(since, status)| {
            std::cmp::Reverse((since, Label { version: status.version, generation: status.generation }))
        });
        overdue.extend(match keep {
            Keep::For(time) => previous
                .iter()
                .filter(|&&(since, _)| is_over(since, time))
                .map(|&(_, status)| status)
                .collect::<Vec<_>>(),
            Keep::Latest(count) => previous.iter().skip(count).map(|&(_, status)| status).collect(),
        });
    }
    overdue
}
