//! The host comes back: with what it ran, and to what it had begun.

use std::time::Duration;

use tokio::sync::mpsc;

use super::deployments::code;
use super::{Deployments, Fault, Membership, PluginList, Policy};
use guest::{Kind, Sandbox};
use model::change::VersionId;
use model::limits::Limits;
use projection::{Projections, Resources, Upcasters};
use read_model::{ReadModel, State};
use store::Store;

/// What deployments work with.
#[derive(Clone, Debug)]
pub struct Foundation {
    pub store: Store,
    pub read_model: ReadModel,
    pub sandbox: Sandbox,
    pub limits: Limits,
    pub policy: Policy,
    /// How often appends of other processes are looked for.
    pub poll: Duration,
    pub membership: Membership,
}

impl Deployments {
    /// Runs what ran when the host ended, from the bytes that are kept, whatever has
    /// become of the files.
    ///
    /// # Errors
    /// If the databases fail, or upcasters of before are not kept.
    pub async fn open(foundation: Foundation) -> Result<Self, Fault> {
        let Foundation { store, read_model, sandbox, limits, policy, poll, membership } = foundation;
        // Sets are loaded once the sandbox can be asked; until then there is none.
        let upcasters = Upcasters::of_sets(Vec::new());
        let projections = Projections::new(Resources {
            store: store.clone(),
            read_model: read_model.clone(),
            upcasters,
            limits,
            poll,
        });
        let this = Self {
            store,
            read_model,
            projections,
            sandbox,
            policy,
            plugins: PluginList::default(),
            busy: std::sync::Arc::default(),
            ending: std::sync::Arc::default(),
            files: super::folder::Files::default(),
            membership,
            // It has joined by the time that anybody asks.
            hosts: std::sync::Arc::new(1.into()),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        this.join().await?;
        if let Err(fault) = this.come_back().await {
            // Others need not wait for a host that can't start.
            drop(this.read_model.leave().await);
            return Err(fault);
        }
        Ok(this)
    }

    /// Takes up what is recorded.
    async fn come_back(&self) -> Result<(), Fault> {
        self.read_model.settle_all().await?;
        for interrupted in self.read_model.interrupt_operations().await? {
            tracing::warn!(
                "operation {} ({} of {}) was interrupted: nothing of it was done",
                interrupted.id,
                interrupted.operation,
                interrupted.subject
            );
        }
        self.load_upcasters().await
    }

    /// Lets the sets of upcasters work that are recorded.
    async fn load_upcasters(&self) -> Result<(), Fault> {
        let upcasters = self.projections.upcasters();
        self.recorded_upcasters().await?.into_iter().for_each(|set| upcasters.install(set));
        Ok(())
    }

    /// Runs the versions that there are, and goes on with what the host does by itself.
    ///
    /// # Errors
    /// If the databases fail.
    pub async fn resume_all(&self) -> Result<(), Fault> {
        let versions = self.read_model.versions().await?;
        for version in &versions {
            let id = &version.id;
            if let Err(fault) = version.expect_known() {
                tracing::warn!(projection = %id, code = fault.code(), "{fault}");
                continue;
            }
            match self.kept_plugin(version.digest).await {
                Ok(Some(admitted)) => {
                    // A version is made of a projection, never of anything else.
                    let Kind::Projection(plugin) = &admitted.kind else { continue };
                    self.projections.run(version, code(admitted.digest, plugin));
                    if version.state == State::Building {
                        tracing::info!(projection = %id, "goes on being built from position {}", version.position());
                    }
                }
                // The folder may bring them.
                Ok(None) => tracing::debug!(projection = %id, "its bytes are not kept"),
                Err(fault) => tracing::error!(projection = %id, "does not run: {fault}"),
            }
        }
        if let Some(ready) = self.projections.newly_ready() {
            tokio::spawn(self.clone().keep_keeping_order(ready));
        }
        tokio::spawn(self.clone().tell_of_stuck());
        let this = self.clone();
        tokio::spawn(async move { while this.store.tasks().run("membership", this.belong()).await.is_none() {} });
        self.promote_left_over(&versions);
        Ok(())
    }

    async fn keep_keeping_order(self, mut ready: mpsc::UnboundedReceiver<VersionId>) {
        while self.store.tasks().run("promotion and retention", self.keep_order(&mut ready)).await.is_none() {
            // Whatever it was about to promote.
            match self.read_model.versions().await {
                Ok(versions) => self.promote_left_over(&versions),
                Err(fault) => tracing::warn!("what is ready is not promoted before the next start: {fault}"),
            }
        }
    }

    /// Lets every version commit what it has folded, and stops.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.projections.drain().await;
        if let Err(fault) = self.read_model.leave().await {
            tracing::warn!("other hosts take over only when this one's lease has ended: {fault}");
        }
    }
}
