//! Versions that were kept for long enough are retired by the host itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::deployments::POLICY;
use super::{Deployments, Keep};
use model::change::{Label, VersionId};
use model::event::Timestamp;
use projection::Status;
use read_model::NewOperation;

/// How long it waits before it tries again to retire what it could not.
const RETIRE_AGAIN: Duration = Duration::from_secs(10);

impl Deployments {
    /// Retires what is overdue, each for itself: one whose page in hand takes long holds up no other.
    pub(super) fn retire_old(&self, retiring: &mut HashMap<VersionId, JoinHandle<()>>) {
        retiring.retain(|_, task| !task.is_finished());
        let statuses = self.projections.board().statuses(self.store.head());
        for status in overdue(&statuses, self.policy.keep_previous, self.policy.keep_as_of, Timestamp::now()) {
            let Ok(projection) = status.projection.parse() else { continue };
            let id = VersionId { projection, version: status.version, generation: status.generation };
            retiring.entry(id.clone()).or_insert_with(|| tokio::spawn(self.clone().retire_overdue(id)));
        }
    }

    /// In nobody's way: whoever promotes it meanwhile finds it retired, or keeps it from being so.
    async fn retire_overdue(self, id: VersionId) {
        // Somebody may have promoted it meanwhile.
        if self.projections.board().status(&id, self.store.head()).is_none_or(|now| now.live) {
            return;
        }
        if let Err(fault) = self.retire(&id, Some(NewOperation::on("retire", &id, POLICY))).await {
            tracing::error!(projection = %id, "can't be retired: {fault}");
            self.stop.run_until_cancelled(tokio::time::sleep(RETIRE_AGAIN)).await;
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
