//! Blue against green, at the same position.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::next_live;
use super::trial::SAMPLES;
use super::{Deployments, Fault, SampleReport, Wanted};
use model::change::VersionId;
use model::event::Position;
use projection::Phase;
use read_model::{Comparison, NewOperation, Outcome, Snapshot, State, VersionRecord};

/// How long the tail is held at the most until both versions stand where it is.
const HOLD_MAX: Duration = Duration::from_millis(500);

/// How often it is tried to find them so.
const TRIES: usize = 20;

const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long two versions that different hosts fold are watched until they stand at the same
/// position.
const MEET_MAX: Duration = Duration::from_millis(500);

/// What came of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    pub projection: String,
    /// The live version, such as `v1`.
    pub blue: String,
    /// The version beside it.
    pub green: String,
    /// Where both stood.
    pub position: Position,
    /// Whether all rows that both have are the same, and a fold is repeatable.
    pub holds: bool,
    pub comparison: Comparison,
    /// The beginning of the history folded twice by the code of the green version: the
    /// rows must be the same. None if there is nothing to fold, or its code fails there.
    pub determinism: Option<SampleReport>,
    /// The operation in the log.
    pub operation: i64,
}

impl Deployments {
    /// Compares the live version with another: the one that is wanted, or the one that
    /// would be promoted next.
    ///
    /// # Errors
    /// If one of them does not follow the store.
    pub async fn verify(&self, name: &str, wanted: Option<Wanted>, actor: &str) -> Result<Verification, Fault> {
        let _exclusive = self.exclusively(name, "a verification").await?;
        self.verify_within(name, wanted, actor).await
    }

    /// The same, for those that keep others out already.
    pub(super) async fn verify_within(
        &self,
        name: &str,
        wanted: Option<Wanted>,
        actor: &str,
    ) -> Result<Verification, Fault> {
        let versions = self.versions_of(name).await?;
        let blue = versions.iter().find(|known| known.live).cloned();
        let blue = blue.ok_or_else(|| Fault::Invalid { reason: format!("no version of `{name}` is live") })?;
        let green = match wanted {
            Some(wanted) => wanted.pick(&versions)?.id,
            None => next_live(&versions)?,
        };
        let green = versions.iter().find(|known| known.id == green).cloned();
        let green = green.filter(|green| green.id != blue.id).ok_or_else(|| Fault::Invalid {
            reason: format!("{} would be compared with itself: say another version", blue.id),
        })?;
        self.expect_following(&blue)?;
        self.expect_following(&green)?;
        let operation = NewOperation {
            from: Some(blue.digest),
            to: Some(green.digest),
            ..NewOperation::on("verify", &green.id, actor)
        };
        let number = self.read_model.begin_operation(&operation).await?;
        let verified = self.compare(&blue, &green, number).await;
        let (outcome, detail) = match &verified {
            Ok(verified) if verified.holds => (Outcome::Done, "it holds".to_owned()),
            Ok(verified) => (Outcome::Failed, verified.difference()),
            Err(fault) => (Outcome::Failed, fault.to_string()),
        };
        self.read_model.end_operation(number, outcome, &detail).await?;
        verified
    }

    fn expect_following(&self, version: &VersionRecord) -> Result<(), Fault> {
        let id = version.id.clone();
        let status = self.projections.board().status(&id, self.store.head());
        let phase = status.map_or(Phase::Stopped, |status| status.phase);
        if version.as_of.is_some() {
            return Err(Fault::PastBuild { id });
        }
        if version.state == State::Building && phase != Phase::Failed {
            return Err(Fault::NotReady { id, missing: "its history is not folded yet".to_owned() });
        }
        let advice = match phase {
            Phase::Following | Phase::Lagging | Phase::Rebuilding => return Ok(()),
            Phase::Paused => "resume it first",
            _ => "mend it first",
        };
        Err(Fault::CannotVerify { id, phase: phase.to_string(), advice: advice.to_owned() })
    }

    async fn compare(
        &self,
        blue: &VersionRecord,
        green: &VersionRecord,
        operation: i64,
    ) -> Result<Verification, Fault> {
        let determinism = self.fold_again(green).await?;
        for _ in 0..TRIES {
            let Some((mut snapshot, position)) = self.level(&blue.id, &green.id).await? else {
                tokio::time::sleep(HOLD_MAX).await;
                continue;
            };
            let comparison = snapshot.compare((&blue.id, &blue.tables), (&green.id, &green.tables), SAMPLES).await?;
            drop(snapshot);
            let repeatable = determinism.as_ref().is_none_or(|report| report.same);
            return Ok(Verification {
                projection: blue.id.projection.to_string(),
                blue: blue.id.label().to_string(),
                green: green.id.label().to_string(),
                position,
                holds: comparison.holds() && repeatable,
                comparison,
                determinism,
                operation,
            });
        }
        let advice = "one of them does not come to the end of the store: try again when both follow it".to_owned();
        Err(Fault::CannotVerify { id: green.id.clone(), phase: Phase::Lagging.to_string(), advice })
    }

    /// A moment at which both stand at the same position, and which.
    async fn level(&self, blue: &VersionId, green: &VersionId) -> Result<Option<(Snapshot, Position)>, Fault> {
        if self.is_elsewhere(green) {
            // Another host does not wait for this one: it is looked until they meet.
            let give_up = Instant::now() + MEET_MAX;
            while Instant::now() < give_up {
                let mut snapshot = self.read_model.snapshot().await?;
                let (one, other) = (snapshot.positions(blue).await?, snapshot.positions(green).await?);
                if let ([one], [other]) = (&one[..], &other[..])
                    && one == other
                {
                    return Ok(Some((snapshot, *one)));
                }
                drop(snapshot);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            return Ok(None);
        }
        let (held, position) = self.projections.hold_tail().await;
        if !self.both_at(blue, green, position).await {
            return Ok(None);
        }
        // Neither moves as long as the tail is held; the snapshot sees both as they are.
        let snapshot = self.read_model.snapshot().await?;
        drop(held);
        Ok(Some((snapshot, position)))
    }

    /// Waits until both stand at `position`.
    pub(super) async fn both_at(&self, blue: &VersionId, green: &VersionId, position: Position) -> bool {
        let board = self.projections.board();
        let arrived = async {
            let is_behind = |id: &VersionId| board.position(id).is_none_or(|found| found < position);
            while is_behind(blue) || is_behind(green) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(HOLD_MAX, arrived).await.is_ok()
    }

    async fn fold_again(&self, green: &VersionRecord) -> Result<Option<SampleReport>, Fault> {
        let until = self.sample_end(green.position());
        if until == Position::START {
            return Ok(None);
        }
        let code = self.code_of(green).await?;
        Ok(self.fold_twice(code.clone(), code, until).await?.ok())
    }
}

impl Verification {
    /// Why it does not hold, for people.
    #[must_use]
    pub fn difference(&self) -> String {
        match &self.determinism {
            Some(report) if !report.same => {
                format!("folding the same events again gives other rows: {}", report.comparison)
            }
            _ => self.comparison.to_string(),
        }
    }
}
