//! Trials: the beginning of the history is folded twice, in read models to throw away, and the rows
//! are compared.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Deployments, Fault};
use database::Database;
use model::event::Position;
use projection::{Code, Phase, Trial};
use read_model::{Comparison, ReadModel, VersionRecord};

/// Rows that differ and are shown, per table.
pub(super) const SAMPLES: usize = 10;

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
    /// Folds the beginning of the history with the code of `version` and with `code`;
    /// or says why that tells nothing.
    pub(super) async fn try_beside(
        &self,
        version: &VersionRecord,
        code: &Code,
    ) -> Result<Result<SampleReport, String>, Fault> {
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
