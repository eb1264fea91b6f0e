//! All routes together.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{self, Description};
use super::problem::as_problem;
use super::state::{Api, Shared};
use super::{
    Code, Problem, append, auth, events, guard, health, live, metrics, operate, operations, plugins, progress,
    projections, request, store, tables,
};

/// All routes, for a caller that serves them itself.
pub fn router(api: Api) -> Router {
    build(api, CancellationToken::new())
}

/// The description of all routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    all_routes().split_for_parts().1
}

/// Routes that need the token, if there is one.
fn closed_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(append::append, events::of_aggregate))
        .routes(routes!(events::list))
        .routes(routes!(store::show))
        .routes(routes!(live::live))
        .routes(routes!(projections::list))
        .routes(routes!(projections::show))
        .routes(routes!(tables::rows))
        .routes(routes!(progress::live))
        .routes(routes!(operations::list))
        .routes(routes!(plugins::list))
        .routes(routes!(metrics::show))
}

/// Routes that change what runs. They need the token, too, and are carried out to their
/// end, also if the caller goes away meanwhile.
fn operating_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(operate::pause))
        .routes(routes!(operate::resume))
        .routes(routes!(operate::promote))
        .routes(routes!(operate::rollback))
        .routes(routes!(operate::cancel))
        .routes(routes!(operate::rebuild))
        .routes(routes!(operate::verify))
        .routes(routes!(operate::reset))
        .routes(routes!(operate::rebuild_affected))
        .routes(routes!(plugins::put, plugins::delete))
        .route_layer(from_fn(to_the_end))
}

async fn to_the_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(fault) => {
            tracing::error!("an operation has panicked: {fault}");
            Problem::new(Code::InternalError, "the host failed: see its log").into_response()
        }
    }
}

fn open_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready))
}

fn all_routes() -> OpenApiRouter<Arc<Shared>> {
    closed_routes().merge(operating_routes()).merge(open_routes())
}

/// All routes; `shutdown` ends what streams.
pub(super) fn build(api: Api, shutdown: CancellationToken) -> Router {
    let body_max = api.limits.request_bytes_max;
    let shared = Arc::new(Shared::new(api, shutdown));
    let require_token = from_fn_with_state(Arc::clone(&shared), auth::require_token);
    let closed = closed_routes().merge(operating_routes());
    let (closed, _) = closed.route_layer(require_token).split_for_parts();
    let (open, _) = open_routes().split_for_parts();
    Router::new()
        .merge(closed)
        .merge(open)
        .merge(docs::routes(openapi()))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(map_response(as_problem))
        .layer(DefaultBodyLimit::max(body_max))
        .layer(from_fn_with_state(Arc::clone(&shared), guard::keep_other_sites_out))
        .layer(from_fn_with_state(Arc::clone(&shared), metrics::count))
        .layer(map_response(no_sniffing))
        .layer(from_fn(request::identify))
        .with_state(shared)
}

async fn unknown_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(Code::UnknownRoute, format!("there is no `{path}`, see /docs for the routes"))
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Code::MethodNotAllowed, format!("{path} does not take {method}, see /docs for what it takes"))
}

/// Payloads are others' texts: a browser must not take them for pages.
async fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
