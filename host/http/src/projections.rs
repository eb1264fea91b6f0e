//! How projections stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Segments;
use super::parameters::Parameters;
use super::state::{Api, Shared};
use super::{Code, Problem};
use projection::Status;
use read_model::{Error, VersionRecord};

/// Every version of every projection, also of those that this host does not run.
#[utoipa::path(
    get,
    path = "/v1/projections",
    tag = "projections",
    responses(
        (status = 200, description = "The versions, by name and version", body = Vec<Status>),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
) -> Result<Json<Vec<Status>>, Problem> {
    parameters.finish()?;
    statuses(&shared.api).await.map(Json)
}

/// Every version of one projection.
#[utoipa::path(
    get,
    path = "/v1/projections/{name}",
    tag = "projections",
    params(("name" = String, Path, description = "Name of the projection")),
    responses(
        (status = 200, description = "Its versions", body = Vec<Status>),
        (status = 404, description = "`unknown_projection`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
) -> Result<Json<Vec<Status>>, Problem> {
    parameters.finish()?;
    of_projection(&shared.api, &name).await.map(Json)
}

/// How the versions of `name` stand.
pub(super) async fn of_projection(api: &Api, name: &str) -> Result<Vec<Status>, Problem> {
    only(statuses(api).await?, name)
}

/// Of `statuses` those of `name`.
pub(super) fn only(mut statuses: Vec<Status>, name: &str) -> Result<Vec<Status>, Problem> {
    if !statuses.iter().any(|status| status.projection == name) {
        let known = statuses.iter().map(|status| status.projection.as_str());
        return Err(unknown_projection(name, known));
    }
    statuses.retain(|status| status.projection == name);
    Ok(statuses)
}

pub(super) fn unknown_projection<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    Problem::new(Code::UnknownProjection, format!("there is no projection `{name}`: {}", those_there_are(known)))
}

/// `there is a, b`, or that there is none.
pub(super) fn those_there_are<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.dedup();
    match known.as_slice() {
        [] => "there is none yet".to_owned(),
        known => format!("there is {}", known.join(", ")),
    }
}

pub(super) fn read_model_failed(fault: &Error) -> Problem {
    // What the database says may name files and statements: it is for the log alone, which is
    // told once that it is away by those who wait for it.
    if fault.is_away() {
        tracing::debug!("{fault}");
    } else {
        tracing::error!("{fault}");
    }
    Problem::new(Code::ReadModelUnavailable, "the read models do not answer: try again, or see the host's log")
}

/// How all versions stand, also of those that this host does not run.
pub(super) async fn statuses(api: &Api) -> Result<Vec<Status>, Problem> {
    let head = api.store.head_with_appended().await;
    let mut statuses = api.board.statuses(head);
    let versions = api.read_model.versions().await.map_err(|fault| read_model_failed(&fault))?;
    for version in versions {
        if !statuses.iter().any(|status| is_of(status, &version)) {
            statuses.push(api.board.absent(&version, head));
        }
    }
    statuses.sort_by(|one, other| {
        (&one.projection, one.version, one.generation).cmp(&(&other.projection, other.version, other.generation))
    });
    Ok(statuses)
}

fn is_of(status: &Status, version: &VersionRecord) -> bool {
    let id = &version.id;
    status.projection == id.projection.as_str() && (status.version, status.generation) == (id.version, id.generation)
}
