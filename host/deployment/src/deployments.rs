//! The one who changes what runs, and what all operations share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::folder::Files;
use super::{Fault, Membership, PluginList, Policy};
use guest::{Admitted, Kind, ProjectionPlugin, Sandbox};
use model::change::{Digest, VersionId};
use projection::{Code, Projections, sandboxed};
use read_model::{ReadModel, VersionRecord};
use store::Store;

/// What the host itself is called where it asks for something.
pub(super) const POLICY: &str = "policy";
/// What the plugin folder is called where it asks for something.
pub(super) const FOLDER: &str = "folder";

/// What the host does by itself.
pub(super) const PROMOTION: &str = "a promotion by policy";
pub(super) const FOLLOWING: &str = "what another host has changed";

/// How long that is waited for, and how often it is looked whether it is over.
const HOST_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Changes what runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deployments {
    pub(super) store: Store,
    pub(super) read_model: ReadModel,
    pub(super) projections: Projections,
    pub(super) sandbox: Sandbox,
    pub(super) policy: Policy,
    pub(super) plugins: PluginList,
    /// Names of projections and upcasters, with what is under way there.
    pub(super) busy: Arc<Mutex<HashMap<String, &'static str>>>,
    /// Versions that are about to be retired here.
    pub(super) ending: Arc<Mutex<HashSet<VersionId>>>,
    /// Files of the plugin folder that are being deployed.
    pub(super) files: Files,
    pub(super) membership: Membership,
    /// How many hosts were alive at the last look.
    pub(super) hosts: Arc<AtomicU32>,
    pub(super) stop: CancellationToken,
}

/// An operation that keeps others out as long as it lasts.
#[derive(Debug)]
pub(super) struct Exclusive {
    busy: Arc<Mutex<HashMap<String, &'static str>>>,
    name: String,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Deployments {
    /// The plugins that the host knows of.
    #[must_use]
    pub fn plugins(&self) -> PluginList {
        self.plugins.clone()
    }

    /// How many hosts share the read models, this one among them, as of the last look.
    #[must_use]
    pub fn hosts_alive(&self) -> u32 {
        self.hosts.load(Ordering::Relaxed)
    }

    /// The projections that run.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        &self.projections
    }

    /// Keeps other operations out of `name` until the guard is dropped. What the host does
    /// by itself is waited for a while; whatever somebody asked for is not.
    ///
    /// # Errors
    /// [`Fault::Busy`] names what is under way.
    pub(super) async fn exclusively(&self, name: &str, operation: &'static str) -> Result<Exclusive, Fault> {
        if self.projections.leases().has_others() {
            // What was said to another host just now counts.
            self.projections.leases().sync().await;
        }
        self.exclusively_here(name, operation).await
    }

    /// The same, whatever other hosts have done.
    pub(super) async fn exclusively_here(&self, name: &str, operation: &'static str) -> Result<Exclusive, Fault> {
        let give_up = Instant::now() + HOST_MAX;
        loop {
            let under_way = match self.try_exclusively(name, operation) {
                Ok(exclusive) => return Ok(exclusive),
                Err(under_way) => under_way,
            };
            if ![PROMOTION, FOLLOWING].contains(&under_way) || Instant::now() > give_up {
                return Err(Fault::Busy { name: name.to_owned(), operation: under_way.to_owned() });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The same, at once; or what is under way.
    pub(super) fn try_exclusively(&self, name: &str, operation: &'static str) -> Result<Exclusive, &'static str> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = busy.get(name) {
            return Err(operation);
        }
        busy.insert(name.to_owned(), operation);
        Ok(Exclusive { busy: Arc::clone(&self.busy), name: name.to_owned() })
    }

    /// Whether `id` is about to be retired here.
    pub(super) fn is_ending(&self, id: &VersionId) -> bool {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The versions of `name` that are not retired, in their order.
    pub(super) async fn versions_of(&self, name: &str) -> Result<Vec<VersionRecord>, Fault> {
        let mut versions = self.read_model.versions().await?;
        if !versions.iter().any(|version| version.id.projection.as_str() == name) {
            let mut known: Vec<&str> = versions.iter().map(|version| version.id.projection.as_str()).collect();
            known.dedup();
            return Err(Fault::UnknownProjection { name: name.to_owned(), known: those_there_are(&known) });
        }
        versions.retain(|version| version.id.projection.as_str() == name);
        Ok(versions)
    }

    /// The plugin whose bytes have this digest, admitted again.
    pub(super) async fn kept_plugin(&self, digest: Digest) -> Result<Option<Admitted>, Fault> {
        let Some(bytes) = self.read_model.plugin(digest).await? else { return Ok(None) };
        let sandbox = self.sandbox.clone();
        let admitted = tokio::task::spawn_blocking(move || sandbox.admit(&bytes)).await;
        match admitted.map_err(|fault| Fault::Internal(fault.to_string()))? {
            Ok(admitted) => Ok(Some(admitted)),
            Err(refusal) => Err(Fault::Plugin { code: refusal.code(), reason: refusal.to_string() }),
        }
    }

    /// The code that runs `version`.
    pub(super) async fn code_of(&self, version: &VersionRecord) -> Result<Code, Fault> {
        let missing = || Fault::BytesMissing { id: version.id.clone() };
        let admitted = self.kept_plugin(version.digest).await?.ok_or_else(missing)?;
        match &admitted.kind {
            Kind::Projection(plugin) => Ok(code(admitted.digest, plugin)),
            Kind::Upcaster(_) => Err(missing()),
        }
    }
}

/// What folds with `plugin`.
pub(super) fn code(digest: Digest, plugin: &ProjectionPlugin) -> Code {
    Code { manifest: Arc::clone(&plugin.manifest), digest, start: sandboxed(plugin.clone()) }
}

/// Builds that are neither of the past nor retired.
pub(super) fn standing(versions: &[VersionRecord]) -> Vec<VersionRecord> {
    versions.iter().filter(|known| known.as_of.is_none() && known.state.is_standing()).cloned().collect()
}

/// `there is a, b`, or that there is none.
pub(super) fn those_there_are(known: &[&str]) -> String {
    match known {
        [] => "there is none yet".to_owned(),
        known => format!("there is {}", known.join(", ")),
    }
}
