//! What operators say to projections.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::body::{JsonBody, MaybeJson, Segments};
use super::parameters::Parameters;
use super::state::Shared;
use deployment::{Affected, AsOf, Deployed, RebuildOptions, Verification, Wanted};
use model::change::VersionId;
use model::event::{Position, Timestamp};
use read_model::Promote;

/// Which version somebody means: `2`, `"v2"`, or with the build `"v2g3"`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum VersionName {
    Number(u32),
    Text(String),
}

/// A moment of the past: a position, or a time (RFC 3339).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Moment {
    Position(u64),
    Time(String),
}

/// Which version; all that are not builds of the past, unless one is named.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VersionRequest {
    pub version: Option<VersionName>,
}

/// Which version goes on, and how.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PauseRequest {
    pub version: Option<VersionName>,
    /// For a version that is being built: fold the rest of its history in so many partitions.
    pub workers: Option<u32>,
}

/// Which version to promote.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromoteRequest {
    /// The highest that waits for it, unless one is named.
    pub version: Option<VersionName>,
    /// Also if it lags, is paused or has failed; never before its history is folded.
    pub force: bool,
}

/// How to go back.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// Also if the version to go back to lags, is paused or has failed.
    pub force: bool,
}

/// What to build anew.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RebuildRequest {
    /// The live version, unless one is named.
    pub version: Option<VersionName>,
    /// As it was then, under a name of its own; it is never promoted.
    pub as_of: Option<Moment>,
    /// When it takes the place of the live one; `deploy.promote`, unless given.
    pub promote: Option<Promote>,
    /// In how many partitions the history is folded; `deploy.workers`, unless given.
    pub workers: Option<u32>,
}

/// From where to fold again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// The live version, unless one is named.
    #[serde(default)]
    pub version: Option<VersionName>,
    /// What comes after this position is folded again.
    pub to: u64,
}

/// What was done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Operated {
    pub projection: String,
    /// The versions that it was done to, such as `v2` or `v2g3`.
    pub versions: Vec<String>,
    /// Its number in the log of operations, if it goes on.
    pub operation: Option<i64>,
}

/// What became of one projection that an upcaster concerns.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UpcasterRebuild {
    pub affected: Affected,
    /// The version that is being built now.
    pub building: Option<String>,
    /// Why it is not.
    pub error: Option<String>,
}

impl Operated {
    fn on(name: String, versions: &[VersionId]) -> Json<Self> {
        let versions = versions.iter().map(|id| id.label().to_string()).collect();
        Json(Self { projection: name, versions, operation: None })
    }
}

fn wanted(version: Option<VersionName>) -> Result<Option<Wanted>, Problem> {
    let text = match version {
        None => return Ok(None),
        Some(VersionName::Number(number)) => number.to_string(),
        Some(VersionName::Text(text)) => text,
    };
    text.parse().map(Some).map_err(|reason: String| Problem::parameter("version", reason))
}

fn moment(moment: Option<Moment>) -> Result<Option<AsOf>, Problem> {
    match moment {
        None => Ok(None),
        Some(Moment::Position(position)) => Ok(Some(AsOf::Position(Position(position)))),
        Some(Moment::Time(text)) => Timestamp::parse(&text)
            .map(|time| Some(AsOf::Time(time)))
            .map_err(|reason| Problem::parameter("as_of", format_args!("cannot be used: {reason}"))),
    }
}

impl RebuildRequest {
    fn options(self, shared: &Shared) -> Result<RebuildOptions, Problem> {
        let workers = checked_workers(self.workers, shared)?;
        Ok(RebuildOptions {
            version: wanted(self.version)?,
            as_of: moment(self.as_of)?,
            promote: self.promote,
            workers,
        })
    }
}

/// The number of partitions, if it is within the limit.
pub(super) fn checked_workers(workers: Option<u32>, shared: &Shared) -> Result<Option<u32>, Problem> {
    let max = shared.api.limits.backfill_workers_max;
    match workers {
        Some(workers) if workers == 0 || u64::from(workers) > max => Err(Problem::parameter(
            "workers",
            format_args!("must be from 1 to {max} (limits.backfill_workers_max), not {workers}"),
        )),
        workers => Ok(workers),
    }
}

/// Pauses a projection, also over restarts.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/pause",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<VersionRequest>,
    responses(
        (status = 200, description = "Paused; all that was folded is committed", body = Operated),
        (status = 409, description = "`operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pause(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<VersionRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let ids = shared.api.deployments.pause(&name, wanted(request.version)?, &shared.api.actor).await?;
    Ok(Operated::on(name, &ids))
}

/// Lets a paused projection go on.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/resume",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<PauseRequest>,
    responses(
        (status = 200, description = "Goes on", body = Operated),
        (status = 409, description = "`operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<PauseRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let workers = checked_workers(request.workers, &shared)?;
    let ids = shared.api.deployments.resume(&name, wanted(request.version)?, workers, &shared.api.actor).await?;
    Ok(Operated::on(name, &ids))
}

/// Lets the stable names show another version, all tables at once.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/promote",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<PromoteRequest>,
    responses(
        (status = 200, description = "It is live", body = Operated),
        (status = 409, description = "`version_not_ready`, `nothing_to_promote`, `past_build` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn promote(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<PromoteRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let version = wanted(request.version)?;
    let id = shared.api.deployments.promote(&name, version, request.force, &shared.api.actor).await?;
    Ok(Operated::on(name, &[id]))
}

/// Lets the stable names show the version that was live before.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/rollback",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<RollbackRequest>,
    responses(
        (status = 200, description = "It is live again", body = Operated),
        (status = 409, description = "`nothing_to_roll_back_to`, `version_not_ready` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rollback(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<RollbackRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let id = shared.api.deployments.rollback(&name, request.force, &shared.api.actor).await?;
    Ok(Operated::on(name, &[id]))
}

/// Ends the building of a version, and drops its tables.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/cancel",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<VersionRequest>,
    responses(
        (status = 200, description = "It is gone", body = Operated),
        (status = 409, description = "`version_live` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<VersionRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let id = shared.api.deployments.cancel(&name, wanted(request.version)?, &shared.api.actor).await?;
    Ok(Operated::on(name, &[id]))
}

/// Builds a version anew beside the one that there is; or the read model as it was.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<RebuildRequest>,
    responses(
        (status = 202, description = "It is being built", body = Operated),
        (status = 409, description = "`operation_in_progress` or `plugin_bytes_missing`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rebuild(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<RebuildRequest>,
) -> Result<(StatusCode, Json<Operated>), Problem> {
    parameters.finish()?;
    let options = request.options(&shared)?;
    let Deployed { version, operation, .. } = shared.api.deployments.rebuild(&name, options, &shared.api.actor).await?;
    let versions = version.into_iter().collect();
    Ok((StatusCode::ACCEPTED, Json(Operated { projection: name, versions, operation })))
}

/// Folds again what comes after a position, over the rows that there are; only of a
/// projection that says that this gives the same rows.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/reset",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = ResetRequest,
    responses(
        (status = 200, description = "It folds again from there", body = Operated),
        (status = 422, description = "`invalid_operation`: it is not replayable, or has not come so far", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reset(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    JsonBody(request): JsonBody<ResetRequest>,
) -> Result<Json<Operated>, Problem> {
    parameters.finish()?;
    let (version, to) = (wanted(request.version)?, Position(request.to));
    let id = shared.api.deployments.reset(&name, version, to, &shared.api.actor).await?;
    Ok(Operated::on(name, &[id]))
}

/// Compares the live version with another at the same position.
#[utoipa::path(
    post,
    path = "/v1/projections/{name}/verify",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the projection")),
    request_body = Option<VersionRequest>,
    responses(
        (status = 200, description = "What came of it; `holds` says whether they agree", body = Verification),
        (status = 409, description = "`cannot_verify`, `version_not_ready` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn verify(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<VersionRequest>,
) -> Result<Json<Verification>, Problem> {
    parameters.finish()?;
    let version = wanted(request.version)?;
    Ok(Json(shared.api.deployments.verify(&name, version, &shared.api.actor).await?))
}

/// Rebuilds every projection whose history an upcaster would have changed.
#[utoipa::path(
    post,
    path = "/v1/upcasters/{name}/rebuild",
    tag = "operations",
    params(("name" = String, Path, description = "Name of the upcaster")),
    request_body = Option<RebuildRequest>,
    responses(
        (status = 202, description = "What became of each projection", body = Vec<UpcasterRebuild>),
        (status = 404, description = "`unknown_upcaster`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rebuild_affected(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
    MaybeJson(request): MaybeJson<RebuildRequest>,
) -> Result<(StatusCode, Json<Vec<UpcasterRebuild>>), Problem> {
    parameters.finish()?;
    let options = request.options(&shared)?;
    let outcomes = shared.api.deployments.rebuild_affected_by(&name, options, &shared.api.actor).await?;
    let told = outcomes.into_iter().map(|(affected, outcome)| match outcome {
        Ok(deployed) => UpcasterRebuild { affected, building: deployed.version, error: None },
        Err(fault) => UpcasterRebuild { affected, building: None, error: Some(fault.to_string()) },
    });
    Ok((StatusCode::ACCEPTED, Json(told.collect())))
}
