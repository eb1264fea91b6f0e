//! A host over a new store, and what it answers.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use fantascope::database::Database;
use fantascope::deployment::{Deployments, Foundation, Policy};
use fantascope::guest::{Sandbox, Settings};
use fantascope::http::{self, Api};
use fantascope::limits::Limits;
use fantascope::read_model::ReadModel;
use fantascope::store::Store;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Where an aggregate's events are appended and read.
pub(crate) const EVENTS: &str = "/v1/aggregates/Order/o-1/events";

/// A host over a new store, called without a network.
pub(crate) struct Host {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) api: Api,
    router: Router,
}

/// What a host over the store in `folder` serves.
pub(crate) async fn api(folder: &std::path::Path, limits: Limits) -> Api {
    let database = Database::at(&format!("sqlite:{}/store.sqlite", folder.display())).await.expect("a database");
    let store = Store::open(&database, &limits).await.expect("a store");
    let read_model = ReadModel::open(&database).await.expect("read models");
    let deployments = Deployments::open(Foundation {
        store: store.clone(),
        read_model: read_model.clone(),
        sandbox: sandbox(&limits),
        limits: limits.clone(),
        policy: Policy::default(),
        poll: Duration::from_millis(5),
        membership: deployment::Membership::default(),
    })
    .await
    .expect("deployments");
    let board = deployments.projections().board();
    Api { store, read_model, board, deployments, limits, token: None, actor: "a test".to_owned() }
}

/// A sandbox whose compiled code all tests share: it depends on nothing else.
fn sandbox(limits: &Limits) -> Sandbox {
    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_fantascope"));
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Sandbox::new(Settings { program, cache, limits: limits.clone() }).expect("a sandbox")
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Host {
    pub(crate) async fn new(change: impl FnOnce(&mut Api)) -> Self {
        Self::with_limits(
            Limits {
                event_bytes_max: 2_000,
                append_events_max: 3,
                request_bytes_max: 20_000,
                page_events_max: 5,
                live_clients_max: 1,
                ..Limits::default()
            },
            change,
        )
        .await
    }

    pub(crate) async fn with_limits(limits: Limits, change: impl FnOnce(&mut Api)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut api = api(folder.path(), limits).await;
        change(&mut api);
        Self { folder, router: http::router(api.clone()), api }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub(crate) async fn append(&self, aggregate: &str, expected: Option<u64>, events: Value) -> Answer {
        let body = json!({ "expected_version": expected, "events": events });
        self.post(&format!("/v1/aggregates/{aggregate}/events"), body.to_string()).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    /// Checks that it is a problem of this status and code, and gives it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:fantascope:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

pub(crate) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "127.0.0.1:7711")
}

pub(crate) fn event(number: u64) -> Value {
    json!({ "event_type": if number.is_multiple_of(2) { "Even" } else { "Odd" }, "event_data": { "n": number } })
}
