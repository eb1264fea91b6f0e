//! Following how a projection stands (server-sent events).

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::Problem;
use super::body::Segments;
use super::live::live_permit;
use super::parameters::Parameters;
use super::projections::{of_projection, only, statuses};
use super::state::{Api, Shared};
use projection::Status;

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
        let mut standing = shared.standing.follow(&shared.api);
        loop {
            let now = standing.borrow_and_update().clone();
            if let Some(now) = now {
                let (kind, data, is_end) = match now.and_then(|statuses| only(statuses.to_vec(), &name)) {
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
            }
            if standing.changed().await.is_err() {
                // Whoever looked has ended just when this one came.
                standing = shared.standing.follow(&shared.api);
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = sender.closed() => {}
        () = shared.shutdown.cancelled() => {}
    }
}

/// How all versions stand, or why that is not known; none before it was looked.
type Seen = Option<Result<Arc<[Status]>, Problem>>;

/// How all versions stand, looked up once for all who follow it, as long as somebody does.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Weak<watch::Sender<Seen>>>);

impl Standing {
    /// What is seen from now on.
    fn follow(&self, api: &Api) -> watch::Receiver<Seen> {
        // Whoever panicked while holding it left a whole pointer behind.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = known.upgrade() {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        *known = Arc::downgrade(&sender);
        tokio::spawn(look(api.clone(), sender));
        receiver
    }
}

async fn look(api: Api, sender: Arc<watch::Sender<Seen>>) {
    while sender.receiver_count() > 0 {
        sender.send_replace(Some(statuses(&api).await.map(Into::into)));
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::state::tests::api;

    #[tokio::test]
    async fn those_who_follow_share_one_who_looks() {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Shared::new(api(folder.path()).await, CancellationToken::new());
        let seen = async |receiver: &mut watch::Receiver<Seen>| {
            let seen = receiver.wait_for(Option::is_some).await.expect("somebody looks").clone();
            seen.expect("it was looked").expect("the databases answer")
        };
        let mut first = shared.standing.follow(&shared.api);
        let mut second = shared.standing.follow(&shared.api);
        let (one, other) = (seen(&mut first).await, seen(&mut second).await);
        assert!(Arc::ptr_eq(&one, &other), "each has it looked up for itself");
        // Once nobody follows, nobody looks.
        drop((first, second));
        while shared.standing.0.lock().expect("not poisoned").upgrade().is_some() {
            tokio::time::sleep(LOOK / 10).await;
        }
        seen(&mut shared.standing.follow(&shared.api)).await;
    }
}
