//! A plugin comes in: admitted, tried out, and let run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deployments::code;
use super::plan::{Plan, plan};
use super::{Deployments, Fault, PluginInfo, PluginStatus, WhenRowsDiffer};
use crate::catalogue::{self, Entry};
use database::Database;
use guest::{Admitted, Kind};
use model::change::VersionId;
use model::event::Position;
use projection::{Code, Phase, Trial};
use read_model::{Comparison, NewOperation, NewVersion, Promote, ReadModel, SeenFile, Source, VersionRecord};

/// Rows that differ and are shown, per table.
pub(super) const SAMPLES: usize = 10;

/// What a caller wants otherwise than the policy of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeployOptions {
    pub promote: Option<Promote>,
    pub when_rows_differ: Option<WhenRowsDiffer>,
    pub workers: Option<u32>,
}

/// What came of a plugin.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    pub plugin: PluginInfo,
    /// `unchanged`, `building`, `swapped` or `installed`.
    pub outcome: String,
    /// Which version it runs, such as `v2` or `v2g3`.
    pub version: Option<String>,
    /// The operation in the log.
    pub operation: Option<i64>,
    /// For a swap: how long nothing was folded, in milliseconds.
    pub pause_ms: Option<f64>,
    /// For other bytes of the same version: whether they make the same rows.
    pub sample: Option<SampleReport>,
    /// For an upcaster: what it changes, and whom.
    pub upcaster: Option<super::UpcasterTrial>,
    /// What to know or do next, for people.
    pub advice: Vec<String>,
}

/// What came of folding the beginning of the history twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SampleReport {
    /// The events up to this position were folded.
    pub up_to: Position,
    /// Whether all rows were the same.
    pub same: bool,
    pub comparison: Comparison,
}

impl Deployments {
    /// Takes a plugin in: nothing of it runs before it was found fit.
    ///
    /// # Errors
    /// Why it is refused; nothing was changed then.
    pub async fn deploy(
        &self,
        file: &str,
        bytes: Vec<u8>,
        source: Source,
        options: DeployOptions,
        actor: &str,
    ) -> Result<Deployed, Fault> {
        let entry = self.admit(file, bytes.clone()).await?;
        self.deploy_entry(&entry, &bytes, source, options, actor).await
    }

    /// Looks `bytes` over, off the runtime.
    pub(super) async fn admit(&self, file: &str, bytes: Vec<u8>) -> Result<Entry, Fault> {
        let (file, sandbox) = (file.to_owned(), self.sandbox.clone());
        let admitted = tokio::task::spawn_blocking(move || catalogue::admit_bytes(&file, &bytes, &sandbox)).await;
        admitted.map_err(|fault| Fault::Internal(fault.to_string()))
    }

    /// Deploys what was admitted, and lists what came of it.
    pub(super) async fn deploy_entry(
        &self,
        entry: &Entry,
        bytes: &[u8],
        source: Source,
        options: DeployOptions,
        actor: &str,
    ) -> Result<Deployed, Fault> {
        let before =
            self.plugins.get().into_iter().find(|known| known.file == entry.file && known.source == source.as_str());
        let mut info = PluginInfo::of(entry, source);
        self.plugins.put(info.clone());
        let outcome = match &entry.outcome {
            Err(rejected) => Err(Fault::Plugin { code: rejected.code(), reason: rejected.to_string() }),
            Ok(admitted) => {
                let seen = SeenFile { file: entry.file.clone(), source, digest: admitted.digest };
                self.run_admitted(admitted, bytes, options, seen, actor).await
            }
        };
        match outcome {
            Ok(mut deployed) => {
                info.status = PluginStatus::Active;
                if let Some(digest) = entry.digest {
                    self.read_model.saw_file(&SeenFile { file: entry.file.clone(), source, digest }).await?;
                }
                deployed.advice.extend(renamed(before.as_ref(), &info));
                self.supersede(&info);
                self.plugins.put(info.clone());
                deployed.plugin = info;
                Ok(deployed)
            }
            // Whoever asked tries again, and what was there before counts until then.
            Err(fault) if fault.is_passing() => {
                match before {
                    Some(before) => self.plugins.put(before),
                    // A file of the folder waits.
                    None if source == Source::Folder => {}
                    None => self.plugins.remove(&entry.file, source),
                }
                Err(fault)
            }
            Err(fault) => {
                tracing::error!(file = entry.file, code = fault.code(), "plugin refused: {fault}");
                info.refuse(fault.code(), fault.to_string());
                self.plugins.put(info);
                Err(fault)
            }
        }
    }

    async fn run_admitted(
        &self,
        admitted: &Admitted,
        bytes: &[u8],
        options: DeployOptions,
        seen: SeenFile,
        actor: &str,
    ) -> Result<Deployed, Fault> {
        self.read_model.keep_plugin(admitted.digest, bytes).await?;
        match &admitted.kind {
            Kind::Projection(plugin) => {
                let _exclusive = self.exclusively(plugin.manifest.name.as_str(), "a deployment").await?;
                self.deploy_projection(code(admitted.digest, plugin), options, seen, actor).await
            }
            Kind::Upcaster(_) => self.deploy_upcasters(std::slice::from_ref(admitted), actor).await,
        }
    }

    async fn deploy_projection(
        &self,
        code: Code,
        options: DeployOptions,
        seen: SeenFile,
        actor: &str,
    ) -> Result<Deployed, Fault> {
        let known = self.read_model.versions_of(code.manifest.name.as_str()).await?;
        match plan(&code.manifest, code.digest, &known)? {
            Plan::Keep(id) => {
                if !self.projections.has(&id) {
                    self.projections.run(&self.read_model.version(&id).await?, code);
                }
                let mut unchanged = deployed("unchanged", Some(&id), None);
                unchanged.advice.extend(self.wish(&id, options.promote).await?);
                Ok(unchanged)
            }
            Plan::Swap(id) => self.swap(&self.read_model.version(&id).await?, code, options, seen, actor).await,
            Plan::Build => {
                let promote = options.promote.unwrap_or(self.policy.promote);
                let operation = NewOperation {
                    operation: "deploy",
                    actor: actor.to_owned(),
                    seen: Some(seen),
                    ..NewOperation::default()
                };
                self.build(code, promote, options.workers, None, operation).await
            }
        }
    }

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

    async fn swap(
        &self,
        version: &VersionRecord,
        code: Code,
        options: DeployOptions,
        seen: SeenFile,
        actor: &str,
    ) -> Result<Deployed, Fault> {
        let id = &version.id;
        let (sample, remark) = match self.try_beside(version, &code).await? {
            Ok(sample) => (Some(sample), None),
            Err(remark) => (None, Some(remark)),
        };
        let difference = sample.as_ref().filter(|sample| !sample.same).map(|sample| sample.comparison.to_string());
        let decision = options.when_rows_differ.unwrap_or(self.policy.when_rows_differ);
        let operation = |what| NewOperation { seen: Some(seen.clone()), ..NewOperation::on(what, id, actor) };
        let mut deployed = match (difference, decision) {
            (Some(difference), WhenRowsDiffer::Refuse) => {
                return Err(Fault::RowsDiffer { id: id.clone(), difference });
            }
            (Some(difference), WhenRowsDiffer::Build) => {
                let detail = format!("these bytes make other rows ({difference}), so it is built anew");
                let promote = options.promote.unwrap_or(self.policy.promote);
                let operation =
                    NewOperation { detail: detail.clone(), from: Some(version.digest), ..operation("deploy") };
                let mut built = self.build(code, promote, options.workers, None, operation).await?;
                built.advice.push(detail);
                built
            }
            (difference, _) => {
                let detail = difference.map(|difference| format!("these bytes make other rows: {difference}"));
                let detail = detail.or_else(|| remark.clone()).unwrap_or_default();
                let operation = NewOperation { detail, ..operation("swap") };
                let mut swapped = deployed("swapped", Some(id), None);
                if self.projections.has(id) {
                    let pause = self.projections.swap(id, code, operation).await?;
                    tracing::info!(projection = %id, "has other code now; nothing was folded for {pause:?}");
                    swapped.pause_ms = Some(pause.as_secs_f64() * 1_000.0);
                } else {
                    self.read_model.swap(id, code.digest, operation).await?;
                    self.projections.run(&self.read_model.version(id).await?, code);
                }
                swapped.advice.extend(self.wish(id, options.promote).await?);
                swapped
            }
        };
        deployed.sample = sample;
        deployed.advice.extend(remark);
        Ok(deployed)
    }

    /// Folds the beginning of the history with the code of `version` and with `code`;
    /// or says why that tells nothing.
    async fn try_beside(&self, version: &VersionRecord, code: &Code) -> Result<Result<SampleReport, String>, Fault> {
        // It may fold on meanwhile, so how far it has come is no bound.
        let until = self.sample_end(self.store.head_with_appended().await);
        if until == Position::START {
            let reason =
                if self.policy.sample_events == 0 { "deploy.sample_events is 0" } else { "there are no events yet" };
            return Ok(Err(format!("{reason}, so rows were not compared")));
        }
        let status = self.projections.board().status(&version.id, self.store.head());
        if let Some(status) = status.filter(|status| status.phase == Phase::Failed) {
            return Ok(Err(format!("it had stopped after position {}, and goes on there", status.position)));
        }
        let old = match self.code_of(version).await {
            Ok(old) => old,
            Err(Fault::BytesMissing { .. }) => {
                return Ok(Err("the bytes that ran before are not kept, so rows were not compared".to_owned()));
            }
            Err(Fault::Plugin { reason, .. }) => {
                return Ok(Err(format!(
                    "this host does not run the bytes that ran before, so rows were not compared: {reason}"
                )));
            }
            Err(fault) => return Err(fault),
        };
        match self.fold_twice(old, code.clone(), until).await? {
            Ok(report) => Ok(Ok(report)),
            Err((first, None)) => {
                Ok(Err(format!("the code that ran before fails on the sample, so rows were not compared: {first}")))
            }
            Err((_, Some(second))) => Err(Fault::TrialFailed { reason: second }),
        }
    }

    /// Where the sample of the history ends.
    pub(super) fn sample_end(&self, folded: Position) -> Position {
        Position(self.policy.sample_events).min(folded)
    }

    /// Folds the events up to `until` with both, and compares the rows. If one fails: why
    /// the second one does, or, if only the first does, why that.
    pub(super) async fn fold_twice(
        &self,
        one: Code,
        other: Code,
        until: Position,
    ) -> Result<Result<SampleReport, (String, Option<String>)>, Fault> {
        let folder = private_folder().map_err(|fault| Fault::Internal(format!("no folder for a trial: {fault}")))?;
        let scratch = scratch(folder.path()).await?;
        let tables = (one.manifest.tables.clone(), other.manifest.tables.clone());
        let first = self.projections.try_out(one, until, &scratch).await?;
        let second = match self.projections.try_out(other, until, &scratch).await? {
            Trial::Folded(id) => id,
            Trial::Failed(problem) => return Ok(Err((String::new(), Some(problem.message)))),
        };
        let first = match first {
            Trial::Folded(id) => id,
            Trial::Failed(problem) => return Ok(Err((problem.message, None))),
        };
        let mut snapshot = scratch.snapshot().await?;
        let comparison =
            snapshot.compare((&first, tables.0.as_slice()), (&second, tables.1.as_slice()), SAMPLES).await?;
        Ok(Ok(SampleReport { up_to: until, same: comparison.holds(), comparison }))
    }

    /// Other files that claim to be the plugin that was deployed just now are out of date.
    pub(super) fn supersede(&self, deployed: &PluginInfo) {
        for mut other in self.plugins.get() {
            let older = other.kind == deployed.kind && other.name == deployed.name && other.version < deployed.version;
            let is_upcaster = deployed.kind.as_deref() == Some("upcaster");
            let same_plugin = other.claims_the_same_as(deployed) || (is_upcaster && older);
            let runs_no_more = other.status == PluginStatus::Active && other.digest != deployed.digest;
            let is_other = (&other.file, &other.source) != (&deployed.file, &deployed.source);
            if is_other && same_plugin && runs_no_more {
                other.status = PluginStatus::Superseded;
                self.plugins.put(other);
            }
        }
    }
}

/// A folder for this user alone: it is to hold rows made of real events.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir()
}

/// Read models to throw away, in `folder`.
async fn scratch(folder: &std::path::Path) -> Result<ReadModel, Fault> {
    let url = format!("sqlite:{}", folder.join("trial.sqlite").display());
    // The future of sqlx's migrator is not `Send` for every lifetime, so it stays on one thread.
    let runtime = tokio::runtime::Handle::current();
    let opening = tokio::task::spawn_blocking(move || {
        runtime.block_on(async { ReadModel::open(&Database::at(&url).await?).await })
    });
    let opened = opening.await.map_err(|fault| Fault::Internal(fault.to_string()))?;
    opened.map_err(|fault: database::Error| Fault::Internal(format!("no tables for a trial: {fault}")))
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

/// A file that holds another plugin than before: the one before runs on.
fn renamed(before: Option<&PluginInfo>, now: &PluginInfo) -> Option<String> {
    let before = before.filter(|before| before.status != PluginStatus::Refused)?;
    let name = before.name.as_ref().filter(|name| Some(*name) != now.name.as_ref())?;
    let kind = before.kind.as_deref().unwrap_or("plugin");
    let advice = format!(
        "`{}` held {kind} {name} before, which runs on: remove it with `fantascope plugin remove {name}` if it is not wanted",
        now.file
    );
    tracing::warn!("{advice}");
    Some(advice)
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
