//! Each request has an id: the log has it beside whatever the request does, answers carry it, and
//! problems name it. A panic in a route is a problem, too.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Code, Problem};

/// Where callers may say what a request is called, and where answers say so.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// An id of a caller has no more bytes than this.
const ID_BYTES_MAX: usize = 128;

/// Runs the request under its id.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let id = of_caller(request.headers()).unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    // On a task of its own a panic ends that alone. It ends with the caller's connection, as before.
    let answering = AbortOnDrop(tokio::spawn(next.run(request).instrument(span.clone())));
    let answered = answering.await.unwrap_or_else(|fault| {
        span.in_scope(|| tracing::error!("a request has panicked: {fault}"));
        Problem::new(Code::InternalError, "the host failed: see its log").into_response()
    });
    name(answered, &id)
}

/// What the caller calls the request, if that is fit for a line of the log.
fn of_caller(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ((1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_fit)).then(|| id.to_owned())
}

/// Lets the answer, and the problem that it may be, bear the id.
fn name(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.with("request_id", id).into_response();
        for (header, value) in &headers {
            response.headers_mut().insert(header.clone(), value.clone());
        }
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    }
    // Made of letters, digits and a few signs.
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<Response>);

impl Future for AbortOnDrop {
    type Output = Result<Response, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ids_that_are_fit_for_the_log() {
        let check = |id: &'static str, is_taken: bool| {
            let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static(id))]);
            assert_eq!(of_caller(&headers).as_deref(), is_taken.then_some(id), "{id}");
        };
        check("4bf92f35-77b3.a:1", true);
        check("", false);
        check("two words", false);
        check("quoted\"", false);
        let long: &'static str = "x".repeat(ID_BYTES_MAX + 1).leak();
        check(long, false);
        check(&long[1..], true);
    }
}
