//! Versions that have caught up are promoted by the host itself, as their policy says.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::deployments::{POLICY, PROMOTION};
use super::{Deployments, Fault};
use model::change::VersionId;
use read_model::{NewOperation, Outcome, Promote, State, VersionRecord};

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
            let mut retiring: HashMap<VersionId, JoinHandle<()>> = HashMap::new();
            loop {
                tokio::select! {
                    Some(id) = ready.recv() => self.promote_in_time(id),
                    _ = clock.tick() => self.retire_old(&mut retiring),
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    fn promote_in_time(&self, id: VersionId) {
        let this = self.clone();
        tokio::spawn(async move {
            while this.store.tasks().run("promotion", this.clone().promote_when_free(id.clone())).await.is_none() {}
        });
    }

    /// `id` has caught up for the first time: it may be its turn. Whatever is in the way is waited
    /// for, as long as it takes.
    async fn promote_when_free(self, id: VersionId) {
        let stop = self.stop.clone();
        let promote = async {
            let mut said = String::new();
            loop {
                match self.promote_by_policy(&id).await {
                    Ok(()) => return,
                    Err(fault) if fault.is_passing() => {
                        let reason = fault.to_string();
                        if said != reason {
                            tracing::info!(projection = %id, code = fault.code(), "its promotion waits: {reason}");
                            said = reason;
                        }
                        tokio::time::sleep(BUSY).await;
                    }
                    Err(fault) => {
                        self.is_not_promoted(&id, &fault).await;
                        return;
                    }
                }
            }
        };
        stop.run_until_cancelled(promote).await;
    }

    async fn is_not_promoted(&self, id: &VersionId, fault: &Fault) {
        tracing::warn!(projection = %id, code = fault.code(), "is not promoted: {fault}");
        let operation = NewOperation { detail: fault.to_string(), ..NewOperation::on("promote", id, POLICY) };
        if let Err(fault) = self.hold_back(id, &operation).await {
            tracing::error!(projection = %id, "{fault}");
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
    pub(super) fn promote_left_over(&self, versions: &[VersionRecord]) {
        for version in versions {
            if version.state == State::Ready
                && version.promote != Promote::Manual
                && !version.live
                && version.as_of.is_none()
            {
                self.promote_in_time(version.id.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Foundation, Membership, Policy};
    use database::Database;
    use guest::{Sandbox, Settings};
    use model::change::{ColumnDefinition, ColumnType, Digest, Manifest, Subscription, TableDefinition};
    use model::event::Position;
    use model::limits::Limits;
    use read_model::{NewVersion, ReadModel};
    use store::Store;

    /// Nothing here takes longer, unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn deployments(folder: &Path) -> Deployments {
        let url = format!("sqlite:{}", folder.join("store.sqlite").display());
        let (database, limits) = (Database::at(&url).await.expect("a database"), Limits::default());
        let program = std::env::current_exe().expect("this program");
        let settings = Settings { program, cache: folder.join("cache"), limits: limits.clone() };
        let foundation = Foundation {
            store: Store::open(&database, &limits).await.expect("a store"),
            read_model: ReadModel::open(&database).await.expect("read models"),
            sandbox: Sandbox::new(settings).expect("a sandbox"),
            limits,
            policy: Policy::default(),
            poll: Duration::from_secs(1),
            membership: Membership::default(),
        };
        Deployments::open(foundation).await.expect("deployments")
    }

    /// A version of `name` that is to be promoted, and has caught up.
    async fn ready(read_model: &ReadModel, name: &str, version: u32) -> VersionId {
        let column = |name: &str| ColumnDefinition {
            name: name.parse().expect("a name"),
            of_type: ColumnType::Integer,
            nullable: false,
        };
        let table = TableDefinition {
            name: "counts".parse().expect("a name"),
            columns: vec![column("id"), column("count")],
            key_columns: 1,
            keyed_by_aggregate: false,
            indexes: Vec::new(),
        };
        let manifest = Manifest {
            sdk: "test".to_owned(),
            name: name.parse().expect("a name"),
            version,
            subscription: Subscription::All,
            replayable: false,
            tables: vec![table],
        };
        let new = NewVersion { promote: Promote::Ready, ..NewVersion::plain(Digest([0; 32])) };
        let (id, _) = read_model.create(&manifest, &new, NewOperation::default()).await.expect("a version");
        assert!(read_model.finish_build(&id).await.expect("it is built"));
        id
    }

    async fn becomes_live(read_model: &ReadModel, id: &VersionId) {
        let live = async {
            while !read_model.version(id).await.expect("a version").live {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, live).await.is_ok(), "{id} is not promoted");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operation_on_one_projection_holds_up_no_promotion_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployments = deployments(folder.path()).await;
        let read_model = deployments.read_model.clone();
        let mut greens = Vec::new();
        for name in ["one", "other"] {
            ready(&read_model, name, 1).await;
            greens.push(ready(&read_model, name, 2).await);
        }
        let (tell, told) = mpsc::unbounded_channel();
        let keeping = {
            let (this, mut told) = (deployments.clone(), told);
            tokio::spawn(async move { this.keep_order(&mut told).await })
        };
        let busy = deployments.try_exclusively("one", "a test").expect("nobody is at work");
        for green in &greens {
            tell.send(green.clone()).expect("somebody listens");
        }
        becomes_live(&read_model, &greens[1]).await;
        let one = read_model.version(&greens[0]).await.expect("a version");
        assert!(!one.live && one.promote == Promote::Ready && one.position() == Position::START, "{one:?}");
        drop(busy);
        becomes_live(&read_model, &greens[0]).await;
        deployments.drain().await;
        keeping.await.expect("it ends");
    }
}
