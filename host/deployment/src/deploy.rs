//! A plugin comes in: admitted, tried out, and let run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::build::deployed;
use super::deployments::code;
use super::plan::{Plan, plan};
use super::{Deployments, Fault, PluginInfo, PluginStatus, SampleReport, WhenRowsDiffer};
use crate::catalogue::{self, Entry};
use guest::{Admitted, Kind};
use projection::Code;
use read_model::{NewOperation, Promote, SeenFile, Source, VersionRecord};

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
