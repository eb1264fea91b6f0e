//! The stable codes of what can go wrong. Programs rely on them: they are never renamed.

use axum::http::StatusCode;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    UnknownRoute,
    MethodNotAllowed,
    BadHost,
    CrossSite,
    Unauthorized,
    MalformedJson,
    InvalidBody,
    UnsupportedMediaType,
    RequestTooLarge,
    RequestTimeout,
    InvalidParameter,
    VersionConflict,
    EventIdReused,
    EventTooLarge,
    EventTooDeep,
    InvalidEvent,
    NoEvents,
    TooManyEvents,
    UnknownProjection,
    UnknownVersion,
    UnknownTable,
    UnknownColumn,
    TooManyLiveClients,
    StoreUnavailable,
    StoreReplaced,
    StoreFull,
    StoreNotWritable,
    StoreFailed,
    AppendRefused,
    AppendUnknown,
    HistoryChanged,
    StoreCorrupt,
    ReadModelUnavailable,
    NotReady,
    UnknownPlugin,
    UnknownUpcaster,
    PluginRefused,
    DigestMismatch,
    TrialFailed,
    TablesChanged,
    RowsDiffer,
    NameTaken,
    NameTooLong,
    ViewInUse,
    ViewBusy,
    VersionLower,
    VersionLive,
    VersionNotReady,
    VersionUnknownHere,
    PastBuild,
    NothingToPromote,
    NothingToRollBackTo,
    CannotVerify,
    OperationInProgress,
    InvalidOperation,
    PluginBytesMissing,
    BadRequest,
    NotFound,
    InternalError,
}

impl Code {
    /// The code as text, its status, and what it means, for people.
    #[must_use]
    pub fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::UnknownRoute => ("unknown_route", StatusCode::NOT_FOUND, "There is no such route"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The route does not take this method")
            }
            Self::BadHost => ("bad_host", StatusCode::MISDIRECTED_REQUEST, "The request is for another host"),
            Self::CrossSite => ("cross_site", StatusCode::FORBIDDEN, "The request was made by a page of another site"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "The token is missing or wrong"),
            Self::MalformedJson => ("malformed_json", StatusCode::BAD_REQUEST, "The body is not JSON"),
            Self::InvalidBody => {
                ("invalid_body", StatusCode::UNPROCESSABLE_ENTITY, "The body does not have the right form")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not sent as JSON")
            }
            Self::RequestTooLarge => ("request_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Self::InvalidParameter => ("invalid_parameter", StatusCode::BAD_REQUEST, "A parameter cannot be used"),
            Self::VersionConflict => ("version_conflict", StatusCode::CONFLICT, "The aggregate is at another version"),
            Self::EventIdReused => ("event_id_reused", StatusCode::CONFLICT, "The event id is taken by another event"),
            Self::EventTooLarge => ("event_too_large", StatusCode::PAYLOAD_TOO_LARGE, "An event is too large"),
            Self::EventTooDeep => ("event_too_deep", StatusCode::UNPROCESSABLE_ENTITY, "An event is nested too deeply"),
            Self::InvalidEvent => {
                ("invalid_event", StatusCode::UNPROCESSABLE_ENTITY, "An event is not fit to be stored")
            }
            Self::NoEvents => ("no_events", StatusCode::UNPROCESSABLE_ENTITY, "There is nothing to append"),
            Self::TooManyEvents => {
                ("too_many_events", StatusCode::PAYLOAD_TOO_LARGE, "There are too many events in one append")
            }
            Self::UnknownProjection => ("unknown_projection", StatusCode::NOT_FOUND, "There is no such projection"),
            Self::UnknownVersion => ("unknown_version", StatusCode::NOT_FOUND, "The projection has no such version"),
            Self::UnknownTable => ("unknown_table", StatusCode::NOT_FOUND, "The projection has no such table"),
            Self::UnknownColumn => ("unknown_column", StatusCode::BAD_REQUEST, "The table has no such column"),
            Self::TooManyLiveClients => (
                "too_many_live_clients",
                StatusCode::SERVICE_UNAVAILABLE,
                "As many clients as may follow the live events",
            ),
            Self::StoreReplaced => {
                ("store_replaced", StatusCode::SERVICE_UNAVAILABLE, "The database of the event store was replaced")
            }
            Self::StoreFull => ("store_full", StatusCode::INSUFFICIENT_STORAGE, "The disk of the event store is full"),
            Self::StoreNotWritable => {
                ("store_not_writable", StatusCode::INTERNAL_SERVER_ERROR, "The host may not write to the event store")
            }
            Self::StoreFailed => ("store_failed", StatusCode::INTERNAL_SERVER_ERROR, "The event store failed"),
            Self::AppendRefused => {
                ("append_refused", StatusCode::UNPROCESSABLE_ENTITY, "The database refuses the values of an event")
            }
            Self::AppendUnknown => {
                ("append_unknown", StatusCode::SERVICE_UNAVAILABLE, "Whether the append was done is not known")
            }
            Self::HistoryChanged => {
                ("history_changed", StatusCode::CONFLICT, "The event store was restored or replaced")
            }
            Self::StoreUnavailable => {
                ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The event store does not answer")
            }
            Self::StoreCorrupt => {
                ("store_corrupt", StatusCode::INTERNAL_SERVER_ERROR, "The event store holds what it must not")
            }
            Self::ReadModelUnavailable => {
                ("read_model_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The read models do not answer")
            }
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE, "The host is not ready"),
            Self::UnknownPlugin => ("unknown_plugin", StatusCode::NOT_FOUND, "There is no such plugin"),
            Self::UnknownUpcaster => ("unknown_upcaster", StatusCode::NOT_FOUND, "There is no such upcaster"),
            Self::PluginRefused => ("plugin_refused", StatusCode::UNPROCESSABLE_ENTITY, "The plugin is not fit to run"),
            Self::DigestMismatch => {
                ("digest_mismatch", StatusCode::UNPROCESSABLE_ENTITY, "The bytes are not those that were announced")
            }
            Self::TrialFailed => {
                ("trial_failed", StatusCode::UNPROCESSABLE_ENTITY, "The plugin fails on the events of the past")
            }
            Self::TablesChanged => ("tables_changed", StatusCode::CONFLICT, "The version was built with other tables"),
            Self::RowsDiffer => ("rows_differ", StatusCode::CONFLICT, "The bytes make other rows"),
            Self::NameTooLong => {
                ("name_too_long", StatusCode::UNPROCESSABLE_ENTITY, "A name is too long for the database")
            }
            Self::ViewInUse => ("view_in_use", StatusCode::CONFLICT, "Views of others are made of this one"),
            Self::ViewBusy => ("view_busy", StatusCode::CONFLICT, "Somebody keeps a view from being switched"),
            Self::NameTaken => ("name_taken", StatusCode::CONFLICT, "A name of a table is taken"),
            Self::VersionLower => ("version_lower", StatusCode::CONFLICT, "A higher version is live"),
            Self::VersionLive => ("version_live", StatusCode::CONFLICT, "The version is live"),
            Self::VersionUnknownHere => (
                "version_unknown_here",
                StatusCode::CONFLICT,
                "A newer program has recorded something of the version that this host does not know",
            ),
            Self::VersionNotReady => ("version_not_ready", StatusCode::CONFLICT, "The version is not ready"),
            Self::PastBuild => ("past_build", StatusCode::CONFLICT, "The build is one of the past"),
            Self::NothingToPromote => ("nothing_to_promote", StatusCode::CONFLICT, "There is no version to promote"),
            Self::NothingToRollBackTo => {
                ("nothing_to_roll_back_to", StatusCode::CONFLICT, "There is no version to go back to")
            }
            Self::CannotVerify => ("cannot_verify", StatusCode::CONFLICT, "The versions cannot be compared now"),
            Self::OperationInProgress => {
                ("operation_in_progress", StatusCode::CONFLICT, "Another operation is under way")
            }
            Self::InvalidOperation => {
                ("invalid_operation", StatusCode::UNPROCESSABLE_ENTITY, "The operation cannot be done so")
            }
            Self::PluginBytesMissing => {
                ("plugin_bytes_missing", StatusCode::CONFLICT, "The bytes of the plugin are not kept")
            }
            Self::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, "The request cannot be understood"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::InternalError => ("internal_error", StatusCode::INTERNAL_SERVER_ERROR, "The host failed"),
        }
    }

    /// The code for an answer that some library gave with no more than a status.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::RequestTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }
}
