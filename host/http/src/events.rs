//! Reading events in pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::body::Segments;
use super::parameters::Parameters;
use super::state::Shared;
use model::event::{Position, StoredEvent};
use model::limits::Limits;
use store::{Filter, Store};

/// Events of a page, if the caller does not say how many.
const LIMIT_DEFAULT: usize = 100;

/// Events that are read at a time, so that a page of large ones can end early.
const EVENTS_PER_READ: usize = 64;

/// Some events, in the order of their positions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    pub events: Vec<StoredEvent>,
    /// `after` of the next page; null if there was nothing more.
    pub next: Option<Position>,
    /// Up to where the store can be read without missing anything.
    pub head: Position,
}

/// Events of the store, or those that pass the filters, as far as none before them is on its
/// way: who goes on behind the last one misses none.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Only events after this position"),
        ("limit" = Option<usize>, Query, description = "At most so many (100, unless given)"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("aggregate_type" = Option<String>, Query, description = "Only events of aggregates of this type"),
        ("since" = Option<String>, Query, description = "Only events that happened at this time (RFC 3339) or later"),
        ("correlation_id" = Option<String>, Query, description = "Only events of this correlation"),
    ),
    responses(
        (status = 200, description = "A page of events", body = EventPage),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    mut parameters: Parameters,
) -> Result<Json<EventPage>, Problem> {
    let limit = parameters.limit(LIMIT_DEFAULT, shared.api.limits.page_events_max)?;
    let mut filter = Filter {
        after: parameters.position("after")?.unwrap_or_default(),
        event_type: parameters.text("type")?,
        aggregate_type: parameters.text("aggregate_type")?,
        since: parameters.timestamp("since")?,
        correlation_id: parameters.text("correlation_id")?,
        ..Filter::default()
    };
    parameters.finish()?;
    filter.up_to = Some(shared.api.store.refresh_head().await?);
    page(&shared.api.store, &shared.api.limits, filter, limit).await.map(Json)
}

/// The history of an aggregate: all that is committed. One that has no events gives an empty
/// page.
#[utoipa::path(
    get,
    path = "/v1/aggregates/{type}/{id}/events",
    tag = "events",
    params(
        ("type" = String, Path, description = "Type of the aggregate, such as `Order`"),
        ("id" = String, Path, description = "Id of the aggregate"),
        ("after" = Option<u64>, Query, description = "Only events after this position"),
        ("limit" = Option<usize>, Query, description = "At most so many (100, unless given)"),
    ),
    responses(
        (status = 200, description = "A page of events", body = EventPage),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn of_aggregate(
    State(shared): State<Arc<Shared>>,
    Segments((aggregate_type, aggregate_id)): Segments<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<EventPage>, Problem> {
    let limit = parameters.limit(LIMIT_DEFAULT, shared.api.limits.page_events_max)?;
    let filter = Filter {
        after: parameters.position("after")?.unwrap_or_default(),
        aggregate_type: Some(aggregate_type),
        aggregate_id: Some(aggregate_id),
        ..Filter::default()
    };
    parameters.finish()?;
    page(&shared.api.store, &shared.api.limits, filter, limit).await.map(Json)
}

/// Reads a page. It ends before `limit` once it holds as many bytes as a request may
/// have, for a thousand of the largest events would fill the memory.
async fn page(store: &Store, limits: &Limits, mut filter: Filter, limit: usize) -> Result<EventPage, Problem> {
    let mut events: Vec<StoredEvent> = Vec::new();
    let mut bytes = 0;
    loop {
        let wanted = EVENTS_PER_READ.min(limit - events.len());
        let read = store.events(&filter, wanted).await?;
        let is_last = read.len() < wanted;
        bytes += read.iter().map(payload_bytes).sum::<usize>();
        events.extend(read);
        let last = events.last().map(|event| event.position);
        filter.after = last.unwrap_or(filter.after);
        if is_last || events.len() == limit || bytes >= limits.request_bytes_max {
            let head = store.head().max(last.unwrap_or_default());
            return Ok(EventPage { events, next: last.filter(|_| !is_last), head });
        }
    }
}

fn payload_bytes(event: &StoredEvent) -> usize {
    event.event_data.get().len() + event.metadata.get().len()
}
