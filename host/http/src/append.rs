//! Appending events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Problem;
use super::body::{JsonBody, Segments};
use super::parameters::Parameters;
use super::state::Shared;
use model::event::{NewEvent, objects};
use store::{Appended, Expected};

/// Events to append, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendRequest {
    /// The version that the aggregate must be at: 0 if it must not have any events
    /// yet. Null, or left out: whatever it is.
    #[serde(default)]
    pub expected_version: Option<u64>,
    #[serde(deserialize_with = "objects")]
    pub events: Vec<NewEvent>,
}

/// Appends events to an aggregate, all or none. With event ids of the caller's choice
/// it can be repeated safely: the same events are not appended twice.
#[utoipa::path(
    post,
    path = "/v1/aggregates/{type}/{id}/events",
    tag = "events",
    params(("type" = String, Path, description = "Type of the aggregate, such as `Order`"), ("id" = String, Path, description = "Id of the aggregate")),
    request_body = AppendRequest,
    responses(
        (status = 201, description = "Appended", body = Appended),
        (status = 200, description = "These very events were here already", body = Appended),
        (status = 409, description = "`version_conflict`, with `expected_version` and `actual_version`; or `event_id_reused`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`request_too_large`, `event_too_large` or `too_many_events`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_event`, `event_too_deep`, `no_events` or `invalid_body`; or `append_refused`: the database refuses the values", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "`store_not_writable`: the database does not let the host write; or `store_failed`", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "`store_full`: the disk of the event store is full", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable` or `store_replaced`: nothing was done; or `append_unknown`, with `event_ids`: it may be done or not, and repeating it with these ids is safe", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn append(
    State(shared): State<Arc<Shared>>,
    Segments((aggregate_type, aggregate_id)): Segments<(String, String)>,
    parameters: Parameters,
    JsonBody(request): JsonBody<AppendRequest>,
) -> Result<(StatusCode, Json<Appended>), Problem> {
    parameters.finish()?;
    let expected = request.expected_version.map_or(Expected::Any, Expected::Version);
    let appended = shared.api.store.append(&aggregate_type, &aggregate_id, expected, request.events).await?;
    let status = if appended.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(appended)))
}
