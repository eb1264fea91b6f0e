//! How the event store stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::parameters::Parameters;
use super::state::Shared;
use model::event::{Position, Timestamp};
use store::Store;

/// The event store, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Everything up to here can be read.
    pub head: Position,
    /// What keeps the head from following the last append, if something does for a while.
    pub hold: Option<HoldStatus>,
}

/// An append that is neither committed nor rolled back. Others go on to append, but what they
/// append can't be read before it has ended, for it may have a position before theirs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HoldStatus {
    /// Nothing after this can be read.
    pub position: Position,
    pub since: Timestamp,
    pub seconds: f64,
    /// The sessions of the database that are most likely to blame, the oldest first, for
    /// people; empty if the database does not tell this host's user.
    pub sessions: Vec<String>,
}

impl StoreStatus {
    pub(super) async fn of(store: &Store) -> Self {
        let head = store.head_with_appended().await;
        let hold = store.hold().map(|hold| HoldStatus {
            position: hold.at,
            since: hold.since,
            seconds: Timestamp::now().seconds_since(hold.since).max(0.0),
            sessions: hold.sessions,
        });
        Self { head, hold }
    }
}

/// How the event store stands: up to where it can be read, and what holds that back.
#[utoipa::path(
    get,
    path = "/v1/store",
    tag = "events",
    responses(
        (status = 200, description = "As this host saw it last, with all that it has appended itself", body = StoreStatus),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
) -> Result<Json<StoreStatus>, Problem> {
    parameters.finish()?;
    Ok(Json(StoreStatus::of(&shared.api.store).await))
}
