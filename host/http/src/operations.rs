//! The log of operations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::parameters::Parameters;
use super::projections::read_model_failed;
use super::state::Shared;
use read_model::Operation;

/// Operations of a page, if the caller does not say how many.
const LIMIT_DEFAULT: usize = 50;

/// Some operations, the latest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OperationPage {
    pub operations: Vec<Operation>,
    /// `before` of the next page; null if there was nothing more.
    pub next: Option<i64>,
}

/// Who did what, when, and how it ended; the latest first.
#[utoipa::path(
    get,
    path = "/v1/operations",
    tag = "operations",
    params(
        ("subject" = Option<String>, Query, description = "Only those on this projection or upcaster"),
        ("before" = Option<i64>, Query, description = "`next` of the page before"),
        ("limit" = Option<usize>, Query, description = "At most so many (50, unless given)"),
    ),
    responses(
        (status = 200, description = "A page of operations", body = OperationPage),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    mut parameters: Parameters,
) -> Result<Json<OperationPage>, Problem> {
    let limit = parameters.limit(LIMIT_DEFAULT, shared.api.limits.page_events_max)?;
    let subject = parameters.text("subject")?;
    let before = parameters.number::<i64>("before")?;
    parameters.finish()?;
    let operations = shared.api.read_model.operations(subject.as_deref(), before, limit).await;
    let operations = operations.map_err(|fault| read_model_failed(&fault))?;
    let next = (operations.len() == limit).then(|| operations.last().map(|last| last.id)).flatten();
    Ok(Json(OperationPage { operations, next }))
}
