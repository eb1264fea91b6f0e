//! Faults as RFC 9457 problem details.

use axum::http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Code;
use database::{Cause, Refusal, is_lost};
use deployment::Fault;
use projection::UpcastersError;

/// The media type of problems.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Of what a database says so much is shown.
const SAID_CHARS_MAX: usize = 300;

/// Why a request was not carried out (RFC 9457). Some codes come with fields of their own.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ProblemDetails)]
pub struct Problem {
    /// A URN that ends in the code.
    #[serde(rename = "type")]
    of_type: String,
    /// What the code means, for people; always the same for a code.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// The stable code, for programs.
    #[schema(value_type = String, example = "version_conflict")]
    code: &'static str,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extensions: Box<Map<String, Value>>,
}

impl Problem {
    /// A problem of this code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (name, status, title) = code.facts();
        Self {
            of_type: format!("urn:fantascope:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: name,
            extensions: Box::default(),
        }
    }

    /// Adds a field of the code's own.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(field.to_owned(), value.into());
        self
    }

    /// A parameter that can't be used.
    #[must_use]
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidParameter, format!("`{name}` {reason}")).with("parameter", name)
    }

    /// An append that the database did not take. What it says may name files and statements, and
    /// is for the log alone, unless it speaks of the values.
    fn not_appended(cause: Cause, refusal: Refusal) -> Self {
        match cause {
            Cause::Full => Self::new(
                Code::StoreFull,
                "nothing was appended, for the disk of the event store is full: make room there, and repeat the append",
            ),
            Cause::NotWritable => Self::new(
                Code::StoreNotWritable,
                "nothing was appended, for the database does not let the host write: grant its user INSERT on `events`, and see that the database takes writes; the host's log has its words",
            ),
            Cause::Refused => {
                let said: String = refusal.message.chars().take(SAID_CHARS_MAX).collect();
                let problem = Self::new(
                    Code::AppendRefused,
                    format!("nothing was appended, for the database refuses the values of an event: {said}"),
                );
                match refusal.constraint {
                    Some(constraint) => problem.with("constraint", constraint),
                    None => problem,
                }
            }
            cause => Self::store_failed(cause),
        }
    }

    fn store_failed(cause: Cause) -> Self {
        match cause {
            Cause::Away | Cause::Busy => {
                Self::new(Code::StoreUnavailable, "the event store does not answer: try again, or see the host's log")
            }
            Cause::Replaced => Self::new(
                Code::StoreReplaced,
                "the database of the event store was dropped, restored or replaced while this host ran, which does not touch it any more: start the host anew once all of it is there",
            ),
            cause => Self::new(Code::StoreFailed, format!("the event store failed ({cause}): see the host's log")),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, numbers and JSON values always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the id of its request, which is named last.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(fault: store::Error) -> Self {
        use store::Error;
        let detail = fault.to_string();
        match fault {
            Error::Conflict { aggregate_type, aggregate_id, expected, actual } => {
                Self::new(Code::VersionConflict, detail)
                    .with("aggregate_type", aggregate_type)
                    .with("aggregate_id", aggregate_id)
                    .with("expected_version", expected)
                    .with("actual_version", actual)
            }
            Error::IdTwice { event_id } => {
                Self::new(Code::EventIdReused, detail).with("event_id", event_id.to_string())
            }
            Error::IdReused { event_id, position } => Self::new(Code::EventIdReused, detail)
                .with("event_id", event_id.to_string())
                .with("position", position.0),
            Error::Invalid { index, source } => {
                let code = match source.code() {
                    "event_too_large" => Code::EventTooLarge,
                    "event_too_deep" => Code::EventTooDeep,
                    _ => Code::InvalidEvent,
                };
                Self::new(code, detail).with("index", index)
            }
            Error::Aggregate(_) => Self::new(Code::InvalidParameter, detail),
            Error::Nothing => Self::new(Code::NoEvents, detail),
            Error::TooMany { count, max } => {
                Self::new(Code::TooManyEvents, detail).with("count", count).with("max", max)
            }
            Error::Corrupt { position, .. } => {
                tracing::error!("{detail}");
                Self::new(Code::StoreCorrupt, detail).with("position", position.0)
            }
            Error::Unknown { event_ids, .. } => {
                tracing::warn!("{detail}");
                let ids: Vec<String> = event_ids.iter().map(ToString::to_string).collect();
                Self::new(
                    Code::AppendUnknown,
                    "the event store was lost while it committed: the append may be done, or not; repeat it with the `event_ids` given here, which is safe whatever came of it",
                )
                .with("event_ids", ids)
            }
            Error::HistoryChanged { .. } | Error::Restored { .. } => {
                Self::new(Code::HistoryChanged, format!("{detail}: read again from the beginning"))
            }
            // What the database says may name files and statements: it is for the log alone, which
            // was told of an append that failed by who appends.
            Error::NotAppended { cause, fault } => {
                tracing::debug!("{detail}");
                Self::not_appended(cause, Refusal::of(&fault))
            }
            Error::Unfit(_) => {
                tracing::error!("{detail}");
                Self::store_failed(Cause::Other)
            }
            Error::Database(fault) => {
                // That it is away is told by those who wait for it, once.
                if is_lost(&fault) {
                    tracing::debug!("{detail}");
                } else {
                    tracing::error!("{detail}");
                }
                Self::store_failed(Cause::of(&fault))
            }
            Error::Closed => Self::store_failed(Cause::Away),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let detail = fault.to_string();
        match fault {
            Fault::UnknownProjection { .. } => Self::new(Code::UnknownProjection, detail),
            Fault::UnknownVersion { .. } => Self::new(Code::UnknownVersion, detail),
            Fault::UnknownUpcaster { .. } => Self::new(Code::UnknownUpcaster, detail),
            Fault::UnknownPlugin { .. } => Self::new(Code::UnknownPlugin, detail),
            Fault::Busy { operation, .. } => Self::new(Code::OperationInProgress, detail).with("operation", operation),
            Fault::NotReady { missing, .. } => Self::new(Code::VersionNotReady, detail).with("missing", missing),
            Fault::PastBuild { .. } => Self::new(Code::PastBuild, detail),
            Fault::NothingToPromote { .. } => Self::new(Code::NothingToPromote, detail),
            Fault::NothingToRollBackTo { .. } => Self::new(Code::NothingToRollBackTo, detail),
            Fault::Live { .. } => Self::new(Code::VersionLive, detail),
            Fault::Lower { .. } => Self::new(Code::VersionLower, detail),
            Fault::TablesChanged { .. } => Self::new(Code::TablesChanged, detail),
            Fault::RowsDiffer { .. } => Self::new(Code::RowsDiffer, detail),
            Fault::TrialFailed { .. } => Self::new(Code::TrialFailed, detail),
            Fault::Plugin { code, .. } => Self::new(Code::PluginRefused, detail).with("reason", code),
            Fault::Upcasters(UpcastersError::Clash(_)) => {
                Self::new(Code::PluginRefused, detail).with("reason", "plugin_clash")
            }
            Fault::Swap(_) => Self::new(Code::PluginRefused, detail).with("reason", "swap_failed"),
            Fault::CannotVerify { .. } => Self::new(Code::CannotVerify, detail),
            Fault::BytesMissing { .. } => Self::new(Code::PluginBytesMissing, detail),
            Fault::Invalid { .. } => Self::new(Code::InvalidOperation, detail),
            Fault::ReadModel(read_model::Error::NameTaken { .. }) => Self::new(Code::NameTaken, detail),
            Fault::ReadModel(read_model::Error::NameTooLong { .. }) => Self::new(Code::NameTooLong, detail),
            Fault::ReadModel(read_model::Error::ViewInUse { .. }) => Self::new(Code::ViewInUse, detail),
            Fault::ReadModel(read_model::Error::ViewBusy { .. }) => Self::new(Code::ViewBusy, detail),
            Fault::ReadModel(read_model::Error::TablesChanged { .. }) => Self::new(Code::TablesChanged, detail),
            Fault::ReadModel(read_model::Error::UnknownVersion { .. }) => Self::new(Code::UnknownVersion, detail),
            Fault::ReadModel(read_model::Error::Foreign { .. }) => Self::new(Code::VersionUnknownHere, detail),
            Fault::ReadModel(read_model::Error::Live { .. }) => Self::new(Code::VersionLive, detail),
            Fault::ReadModel(read_model::Error::PluginTooLarge { .. }) => {
                Self::new(Code::PluginRefused, detail).with("reason", "plugin_too_large")
            }
            Fault::ReadModel(fault) => super::projections::read_model_failed(&fault),
            Fault::Store(fault) => fault.into(),
            Fault::Internal(_) | Fault::Upcasters(UpcastersError::Thread(_)) => {
                tracing::error!("{detail}");
                Self::new(Code::InternalError, "the host failed: see its log")
            }
        }
    }
}

/// Makes a problem of every fault that a library answered in a form of its own.
pub(super) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_fault = status.is_client_error() || status.is_server_error();
    if !is_fault || content_type.is_some_and(|found| found == MEDIA_TYPE) {
        return response;
    }
    let code = Code::of_status(status);
    let (parts, _) = response.into_parts();
    let mut problem = Problem::new(code, format!("the request ended with status {status}"));
    problem.status = status.as_u16();
    let mut answer = problem.into_response();
    if let Some(allow) = parts.headers.get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}
