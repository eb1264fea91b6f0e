//! What is counted of requests, and how all numbers are told.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;
use super::scrape::Standing;
use super::state::{Api, Shared};
use super::{Code, Problem};

/// Bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Labels of a request. All come from small sets: a client must not be able to make new ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// All metrics of the host.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    /// Those of every process, whose names have no prefix.
    process: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram>,
}

impl Metrics {
    pub(super) fn new(api: &Api) -> Self {
        let mut registry = Registry::with_prefix("fantascope");
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ];
        registry.register("build", "The program that runs", Info::new(build));
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer began",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_collector(Box::new(Standing { api: api.clone() }));
        let mut process = Registry::default();
        process.register_collector(Box::new(Process));
        Self { registry, process, requests, durations }
    }
}

/// Counts a request and how long its answer took.
pub(super) async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = known_method(request.method().as_str());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let elapsed = started.elapsed();
    let labels = RequestLabels { method, route, status: response.status().as_u16() };
    tracing::debug!(method, route = labels.route, status = labels.status, ?elapsed, "answered");
    shared.metrics.requests.get_or_create(&labels).inc();
    shared.metrics.durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
    response
}

fn known_method(method: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// All numbers, in the text form of OpenMetrics.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses(
        (status = 200, description = "Metrics for Prometheus", body = String, content_type = "application/openmetrics-text"),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let mut text = String::new();
    let Metrics { registry, process, .. } = &shared.metrics;
    encode_registry(&mut text, process)
        .and_then(|()| encode(&mut text, registry))
        .map_err(|_| Problem::new(Code::InternalError, "the metrics cannot be written as text"))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], text).into_response())
}
