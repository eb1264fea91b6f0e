//! Builds of what there is: anew, or as it was.

use super::deployments::standing;
use super::{Deployed, Deployments, Fault, Wanted};
use model::change::VersionId;
use model::event::{Checkpoint, Position, Timestamp};
use read_model::{NewOperation, Promote, State};

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    Position(Position),
    Time(Timestamp),
}

/// How to rebuild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildOptions {
    /// Which version; the live one, unless said otherwise.
    pub version: Option<Wanted>,
    /// As it was then, under a name of its own.
    pub as_of: Option<AsOf>,
    pub promote: Option<Promote>,
    pub workers: Option<u32>,
}

impl Deployments {
    /// Builds a version anew beside the one that there is.
    ///
    /// # Errors
    /// If there is no such version, or one is being built.
    pub async fn rebuild(&self, name: &str, options: RebuildOptions, actor: &str) -> Result<Deployed, Fault> {
        let _exclusive = self.exclusively(name, "a rebuild").await?;
        let versions = self.versions_of(name).await?;
        let version = match options.version {
            Some(wanted) => wanted.pick(&standing(&versions))?,
            None => {
                let live = versions.iter().find(|known| known.live).cloned();
                live.ok_or_else(|| Fault::Invalid {
                    reason: format!("no version of `{name}` is live: say which to rebuild"),
                })?
            }
        };
        version.expect_known()?;
        let code = self.code_of(&version).await?;
        let mut operation =
            NewOperation { from: Some(version.digest), ..NewOperation::on("rebuild", &version.id, actor) };
        let as_of = match options.as_of {
            None => None,
            Some(moment) => Some(self.position_of(moment).await?),
        };
        if let Some(position) = as_of {
            operation.operation = "rebuild_as_of";
            operation.detail = format!("as of position {position}");
            return self.build(code, Promote::Manual, options.workers, as_of, operation).await;
        }
        let building = |known: &&read_model::VersionRecord| {
            known.state == State::Building && known.as_of.is_none() && known.id.version == version.id.version
        };
        if let Some(other) = versions.iter().find(building) {
            let operation = format!("the building of {}", other.id.label());
            return Err(Fault::Busy { name: name.to_owned(), operation });
        }
        let promote = options.promote.unwrap_or(self.policy.promote);
        self.build(code, promote, options.workers, None, operation).await
    }

    /// Folds again what comes after `to`, over the rows that there are.
    ///
    /// # Errors
    /// If the projection does not say that this gives the same rows.
    pub async fn reset(
        &self,
        name: &str,
        wanted: Option<Wanted>,
        to: Position,
        actor: &str,
    ) -> Result<VersionId, Fault> {
        let _exclusive = self.exclusively(name, "a reset").await?;
        let versions = self.versions_of(name).await?;
        let version = match wanted {
            Some(wanted) => wanted.pick(&standing(&versions))?,
            None => versions.iter().find(|known| known.live).cloned().ok_or_else(|| Fault::Invalid {
                reason: format!("no version of `{name}` is live: say which to reset"),
            })?,
        };
        let id = &version.id;
        version.expect_known()?;
        if !self.code_of(&version).await?.manifest.replayable {
            let reason = format!(
                "{id} does not say that it is replayable: events that add up would count twice; rebuild it instead"
            );
            return Err(Fault::Invalid { reason });
        }
        if version.state == State::Building || to > version.position() {
            let reason = format!(
                "{id} stands at position {}, and has its history folded first: it can't be reset to {to}",
                version.position()
            );
            return Err(Fault::Invalid { reason });
        }
        let before = self.store.last_before(Position(to.0 + 1)).await?;
        let detail = format!("from position {}", version.position());
        let operation = NewOperation { detail, ..NewOperation::on("reset", id, actor) };
        self.projections.rewind(id, Checkpoint { position: to, last_event: before }, operation).await?;
        tracing::info!(projection = %id, actor, "folds again what comes after position {to}");
        Ok(id.clone())
    }

    async fn position_of(&self, moment: AsOf) -> Result<Position, Fault> {
        let head = self.store.refresh_head().await?;
        match moment {
            AsOf::Position(position) if position > head => {
                Err(Fault::Invalid { reason: format!("position {position} is yet to come: the last one is {head}") })
            }
            AsOf::Position(position) => Ok(position),
            AsOf::Time(time) => Ok(self.store.position_before(time).await?.unwrap_or(head)),
        }
    }
}
