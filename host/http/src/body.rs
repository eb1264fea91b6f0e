//! Reading what a request carries, with faults that say where.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::state::Shared;
use super::{Code, Problem};
use model::event::Object;

/// A body must be here within this time; headers have a bound of their own.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the body with `Content-Type: application/json`",
            ));
        }
        decode(&read(request, state, "limits.request_bytes_max").await?).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct MaybeJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = read(request, state, "limits.request_bytes_max").await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the body with `Content-Type: application/json`, or none",
            ));
        }
        decode(&bytes).map(Self)
    }
}

/// A body that is a plugin, which has a bound of its own.
#[derive(Debug)]
pub(super) struct PluginBody(pub(super) Vec<u8>);

impl FromRequest<Arc<Shared>> for PluginBody {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &Arc<Shared>) -> Result<Self, Problem> {
        DefaultBodyLimit::max(state.api.limits.plugin_bytes_max).apply(&mut request);
        Ok(Self(read(request, state, "limits.plugin_bytes_max").await?.to_vec()))
    }
}

/// All of the body, in time; `limit` names the bound on its size.
async fn read<S: Send + Sync>(request: Request, state: &S, limit: &str) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(fault)) if fault.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(Code::RequestTooLarge, format!("the body has more bytes than {limit} allows")))
        }
        Ok(Err(fault)) => Err(Problem::new(Code::BadRequest, format!("the body cannot be read: {fault}"))),
        Err(_) => Err(Problem::new(Code::RequestTimeout, "the body took longer to arrive than 30 seconds")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(content_type)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let Object(decoded) = serde_path_to_error::deserialize(&mut json).map_err(|fault| {
        let path = fault.path().to_string();
        refuse(&path, fault.inner())
    })?;
    json.end().map_err(|fault| refuse(".", &fault))?;
    Ok(decoded)
}

fn refuse(path: &str, fault: &serde_json::Error) -> Problem {
    let is_root = path == "." || path == "?";
    let code = match fault.classify() {
        Category::Data if path.starts_with("events[") => Code::InvalidEvent,
        Category::Data => Code::InvalidBody,
        Category::Syntax | Category::Eof | Category::Io => Code::MalformedJson,
    };
    let detail = if code == Code::MalformedJson || is_root { fault.to_string() } else { format!("at {path}: {fault}") };
    let problem = Problem::new(code, detail).with("line", fault.line()).with("column", fault.column());
    if code == Code::MalformedJson || is_root { problem } else { problem.with("path", path) }
}

/// The variable parts of a path.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(fault) => Err(Problem::new(Code::InvalidParameter, format!("the path cannot be used: {fault}"))),
        }
    }
}
