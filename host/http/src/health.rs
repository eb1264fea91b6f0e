//! Whether the host lives, and whether it can work.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::Shared;
use super::{Code, Problem};
use database::Database;

/// Where it is told: to anybody, also to checkers that speak HTTP/1.0.
pub(super) const PATHS: [&str; 2] = ["/livez", "/readyz"];

/// A database that takes longer to answer than this is as good as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How the host is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `alive` or `ready`.
    pub status: String,
}

impl Health {
    fn new(status: &str) -> Json<Self> {
        Json(Self { status: status.to_owned() })
    }
}

/// Whether the host lives: it does, if it answers.
#[utoipa::path(get, path = "/livez", tag = "operation", responses((status = 200, description = "It does", body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Health::new("alive")
}

/// Whether the host can work: its databases answer and take what is written, none of its tasks has
/// panicked of late, and it is not about to end.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "`not_ready`, with `reasons`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Json<Health>, Problem> {
    let mut reasons = Vec::new();
    if shared.shutdown.is_cancelled() {
        reasons.push("the host is about to end".to_owned());
    }
    reasons.extend(shared.api.board.barred().map(|problem| problem.message));
    let store = tokio::time::timeout(ANSWER_TIMEOUT, shared.api.store.refresh_head());
    let read_model = tokio::time::timeout(ANSWER_TIMEOUT, shared.api.read_model.versions());
    let (store, read_model) = tokio::join!(store, read_model);
    reasons.extend(reason("the event store", shared.api.store.database(), store));
    reasons.extend(reason("the database of the read models", shared.api.read_model.database(), read_model));
    let unsteady = shared.api.store.tasks().unsteady().into_iter();
    reasons.extend(unsteady.map(|task| format!("`{task}` has panicked and was begun again, see the host's log")));
    if reasons.is_empty() {
        return Ok(Health::new("ready"));
    }
    Err(Problem::new(Code::NotReady, reasons.join("; ")).with("reasons", reasons))
}

fn reason<T, E: std::fmt::Display>(
    what: &str,
    database: &Database,
    answer: Result<Result<T, E>, tokio::time::error::Elapsed>,
) -> Option<String> {
    match answer {
        // Of a file: its disk is full, or the like.
        Ok(Ok(_)) => database.outage().cause().map(|cause| format!("{what} takes nothing that is written: {cause}")),
        Ok(Err(_)) if database.expect_same().is_err() => Some(format!(
            "{what} was dropped, restored or replaced while the host ran: start the host anew once all of it is there"
        )),
        Ok(Err(fault)) => {
            // What the database says may name files and statements: it is for the log alone.
            tracing::debug!("{what} is not ready: {fault}");
            Some(format!("{what} fails, see the host's log"))
        }
        Err(_) => Some(format!("{what} has not answered for {} seconds", ANSWER_TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::state::tests::api;

    #[tokio::test]
    async fn is_not_ready_once_it_is_about_to_end_or_a_task_has_panicked() {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(folder.path()).await;
        let shutdown = CancellationToken::new();
        let shared = Arc::new(Shared::new(api, shutdown.clone()));
        assert!(ready(State(Arc::clone(&shared))).await.is_ok());
        shutdown.cancel();
        let problem = ready(State(Arc::clone(&shared))).await.expect_err("a problem");
        assert_eq!(problem.status(), 503);
        assert!(problem.to_json().contains("\"reasons\":[\"the host is about to end\"]"), "{}", problem.to_json());
        let panic = model::task::caught(|| panic!("a lamp fell over")).expect_err("a panic");
        let tasks = shared.api.store.tasks();
        assert_eq!(tasks.run("tail", async {}).await, Some(()));
        tasks.note("tail", &panic);
        let problem = ready(State(Arc::clone(&shared))).await.expect_err("a problem").to_json();
        assert!(problem.contains("`tail` has panicked and was begun again, see the host's log"), "{problem}");
    }
}
