//! Following the events as they are appended (server-sent events).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::parameters::Parameters;
use super::state::Shared;
use super::{Code, Problem};
use model::event::{Position, StoredEvent};
use store::{Error, Filter};

/// Events that are read at a time.
const EVENTS_PER_READ: usize = 64;

/// Events that wait for a slow client; the store is not read further until it takes them.
const EVENTS_WAITING: usize = 16;

/// How often events of other processes are looked for here. The tail of a running
/// host looks more often, and what it finds arrives at once.
const POLL: Duration = Duration::from_secs(1);

/// A comment is sent when there was nothing else for this long, so that proxies keep
/// the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Events as they are appended. Each is sent with its position as `id`, so a client
/// that lost the connection goes on where it was (`Last-Event-ID`).
#[utoipa::path(
    get,
    path = "/v1/events/live",
    tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Begin after this position; at the end of the store, unless given"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("aggregate_type" = Option<String>, Query, description = "Only events of aggregates of this type"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last position that was received; outranks `after`"),
    ),
    responses(
        (status = 200, description = "`event: event` with the position as `id` and the event as `data`; `event: problem` before the stream ends for a fault", body = StoredEvent, content_type = "text/event-stream"),
        (status = 503, description = "`too_many_live_clients`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn live(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = parameters.position("after")?;
    let after = match last_received(&headers)?.or(after) {
        Some(after) => after,
        None => shared.api.store.head_with_appended().await,
    };
    let filter = Filter {
        after,
        event_type: parameters.text("type")?,
        aggregate_type: parameters.text("aggregate_type")?,
        ..Filter::default()
    };
    parameters.finish()?;
    let permit = live_permit(&shared)?;
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
    tokio::spawn(follow(shared, filter, sender, permit));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A place among those who may follow what happens.
pub(super) fn live_permit(shared: &Shared) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&shared.live_clients).try_acquire_owned().map_err(|_| {
        let max = shared.api.limits.live_clients_max;
        Problem::new(
            Code::TooManyLiveClients,
            format!("{max} clients follow what happens, as many as limits.live_clients_max allows"),
        )
    })
}

fn last_received(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(header) = headers.get("last-event-id") else { return Ok(None) };
    match header.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(position) => Ok(Some(Position(position))),
        None => Err(Problem::parameter("Last-Event-ID", "is not a position")),
    }
}

/// Sends events until the client goes away, the host ends, or the store fails.
async fn follow(
    shared: Arc<Shared>,
    filter: Filter,
    sender: mpsc::Sender<Result<Event, Infallible>>,
    _permit: OwnedSemaphorePermit,
) {
    let sending = send_all(&shared, filter, &sender);
    tokio::select! {
        () = sending => {}
        () = sender.closed() => {}
        () = shared.shutdown.cancelled() => {}
    }
}

async fn send_all(shared: &Shared, mut filter: Filter, sender: &mpsc::Sender<Result<Event, Infallible>>) {
    let store = &shared.api.store;
    let lineage = store.lineage();
    loop {
        let read = async {
            // If it is restored, what was sent may not be there any more, and what is there not have
            // been sent.
            let head = store.wait_within(lineage, filter.after, POLL).await?;
            filter.up_to = Some(head);
            Ok::<_, Error>((head, store.events(&filter, EVENTS_PER_READ).await?))
        };
        let (head, events) = match read.await {
            Ok(read) => read,
            Err(fault) => {
                let problem = Problem::from(fault);
                let event = Event::default().event("problem").data(problem.to_json());
                // If the client is gone too, nobody wants to know.
                drop(sender.send(Ok(event)).await);
                return;
            }
        };
        let is_page_full = events.len() == EVENTS_PER_READ;
        for event in events {
            filter.after = event.position;
            if sender.send(Ok(message(&event))).await.is_err() {
                return;
            }
        }
        if !is_page_full {
            // Everything up to the head was looked through, also what the filter left out.
            filter.after = filter.after.max(head);
        }
    }
}

fn message(event: &StoredEvent) -> Event {
    // An event is texts, numbers and valid JSON, which always serialise. A payload keeps
    // its line breaks, which JSON allows between tokens alone: as spaces they mean the
    // same, and the event is one line of `data`.
    let json = serde_json::to_string(event).unwrap_or_default().replace(['\r', '\n'], " ");
    Event::default().id(event.position.to_string()).event("event").data(json)
}
