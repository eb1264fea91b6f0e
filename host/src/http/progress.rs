//! Following how a projection stands (server-sent events).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::Problem;
use super::body::Segments;
use super::live::live_permit;
use super::parameters::Parameters;
use super::projections::of_projection;
use super::state::Shared;
use crate::projection::Status;

/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_millis(250);

/// The versions of a projection, whenever something about them has changed.
#[utoipa::path(
    get,
    path = "/v1/projections/{name}/live",
    tag = "projections",
    params(("name" = String, Path, description = "Name of the projection")),
    responses(
        (status = 200, description = "`event: projection` with the versions as `data`; `event: problem` before the stream ends for a fault", body = Vec<Status>, content_type = "text/event-stream"),
        (status = 404, description = "`unknown_projection`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn live(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
    parameters: Parameters,
) -> Result<Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>>, Problem> {
    parameters.finish()?;
    of_projection(&shared.api, &name).await?;
    let permit = live_permit(&shared)?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(follow(shared, name, sender, permit));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

async fn follow(
    shared: Arc<Shared>,
    name: String,
    sender: mpsc::Sender<Result<Event, Infallible>>,
    _permit: OwnedSemaphorePermit,
) {
    let sending = async {
        let mut last = String::new();
        loop {
            let (kind, data, is_end) = match of_projection(&shared.api, &name).await {
                // Texts, numbers and lists of them always serialise.
                Ok(statuses) => ("projection", serde_json::to_string(&statuses).unwrap_or_default(), false),
                Err(problem) => ("problem", problem.to_json(), true),
            };
            if data != last {
                let event = Event::default().event(kind).data(&data);
                if sender.send(Ok(event)).await.is_err() || is_end {
                    return;
                }
                last = data;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = sender.closed() => {}
        () = shared.shutdown.cancelled() => {}
    }
}
