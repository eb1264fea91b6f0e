//! What all builds share, for whatever reason they are made: a deployment, a rebuild, a look at the past.

use super::{Deployed, Deployments, Fault, PluginInfo};
use model::change::VersionId;
use model::event::Position;
use projection::Code;
use read_model::{NewOperation, NewVersion, Promote};

impl Deployments {
    /// Makes a version, or a new generation of one, and starts to fold the history.
    pub(super) async fn build(
        &self,
        code: Code,
        promote: Promote,
        workers: Option<u32>,
        as_of: Option<Position>,
        operation: NewOperation,
    ) -> Result<Deployed, Fault> {
        let partitioned = code.manifest.is_partitioned_by_aggregate();
        if let Some(workers) = workers.filter(|&workers| workers > 1 && !partitioned) {
            return Err(Fault::Invalid { reason: whole(&code, workers) });
        }
        let workers = if partitioned { workers.unwrap_or(self.policy.workers) } else { 1 };
        let until = self.store.refresh_head().await?;
        let new = NewVersion {
            digest: code.digest,
            promote,
            until,
            as_of,
            partitions: workers.max(1),
            upcasters: self.projections.upcasters().latest(),
        };
        let operation = NewOperation { position: Some(as_of.unwrap_or(until)), ..operation };
        let (id, operation) = self.read_model.create(&code.manifest, &new, operation).await?;
        let record = self.read_model.version(&id).await?;
        self.projections.run(&record, code);
        tracing::info!(projection = %id, "is being built, from {} to position {}", Position::START, as_of.unwrap_or(until));
        Ok(deployed("building", Some(&id), Some(operation)))
    }
}

fn whole(code: &Code, workers: u32) -> String {
    let tables: Vec<&str> = code
        .manifest
        .tables
        .iter()
        .filter(|table| !table.keyed_by_aggregate)
        .map(|table| table.name.as_str())
        .collect();
    format!(
        "{} can't be folded in {workers} partitions: rows of `{}` are not keyed by the aggregate's id, so events of several aggregates may touch the same one",
        code.manifest.name,
        tables.join("`, `")
    )
}

pub(super) fn deployed(outcome: &str, id: Option<&VersionId>, operation: Option<i64>) -> Deployed {
    Deployed {
        plugin: PluginInfo::default(),
        outcome: outcome.to_owned(),
        version: id.map(|id| id.label().to_string()),
        operation,
        pause_ms: None,
        sample: None,
        upcaster: None,
        advice: Vec::new(),
    }
}
