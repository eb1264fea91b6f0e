//! Why an operation is refused or fails.

use model::change::VersionId;
use projection::{self, SwapFault, UpcastersError};
use read_model::Error as ReadModelError;
use store::Error as StoreError;

/// Why an operation is refused or fails. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no projection `{name}`: {known}")]
    UnknownProjection { name: String, known: String },
    #[error("projection `{name}` has no version {label}: {known}")]
    UnknownVersion { name: String, label: String, known: String },
    #[error("there is no upcaster `{name}`: {known}")]
    UnknownUpcaster { name: String, known: String },
    #[error("there is no plugin file or plugin `{name}`: {known}")]
    UnknownPlugin { name: String, known: String },
    #[error("`{name}` is busy: {operation} is under way; try again when it is over")]
    Busy { name: String, operation: String },
    #[error("{id} is not ready: {missing}")]
    NotReady { id: VersionId, missing: String },
    #[error(
        "{id} can't be promoted, for it is a build of the past: read it under its own name, or rebuild without as_of"
    )]
    PastBuild { id: VersionId },
    #[error("projection `{name}` has no version to promote: {reason}")]
    NothingToPromote { name: String, reason: String },
    #[error("projection `{name}` has nothing to roll back to: {reason}")]
    NothingToRollBackTo { name: String, reason: String },
    #[error("{id} is live: {advice}")]
    Live { id: VersionId, advice: &'static str },
    #[error("v{version} is lower than {live}, which is live: raise the version, or roll back to one that is kept")]
    Lower { version: u32, live: VersionId },
    #[error(
        "{id} was built with other tables ({difference}): raise the version, so that it is built beside the live one, or put the tables back as they were"
    )]
    TablesChanged { id: VersionId, difference: String },
    #[error(
        "these bytes make other rows than those that run {id} ({difference}): raise the version, or let the policy build or swap"
    )]
    RowsDiffer { id: VersionId, difference: String },
    #[error("tried on the first events of the history, it fails: {reason}")]
    TrialFailed { reason: String },
    #[error("{reason}")]
    Plugin { code: &'static str, reason: String },
    #[error("{id} is {phase}, so its rows can't be compared: {advice}")]
    CannotVerify { id: VersionId, phase: String, advice: String },
    #[error("the bytes that run {id} are not kept: deploy its plugin again")]
    BytesMissing { id: VersionId },
    #[error("{reason}")]
    Invalid { reason: String },
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Swap(#[from] SwapFault),
    #[error(transparent)]
    Upcasters(#[from] UpcastersError),
    #[error("the host failed: {0}")]
    Internal(String),
}

impl From<projection::Error> for Fault {
    fn from(fault: projection::Error) -> Self {
        match fault {
            projection::Error::Store(fault) => Self::Store(fault),
            projection::Error::ReadModel(fault) => Self::ReadModel(fault),
            projection::Error::Panicked(panic) => Self::Internal(panic.to_string()),
            projection::Error::Host(reason) => Self::Internal(reason),
        }
    }
}

impl Fault {
    /// Whether a database is away, which is told of it.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::ReadModel(fault) | Self::Swap(SwapFault::ReadModel(fault)) => fault.is_away(),
            Self::Store(fault) => fault.is_away(),
            _ => false,
        }
    }

    /// Whether the same may well succeed later: somebody is at work, or a database is away.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. }) || self.is_away()
    }

    /// Whether this host lacks something, or is not fit: it is of no use to wait.
    pub(super) fn is_barring(&self) -> bool {
        !matches!(self, Self::Busy { .. } | Self::ReadModel(_) | Self::Store(_))
    }

    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownProjection { .. } => "unknown_projection",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownUpcaster { .. } => "unknown_upcaster",
            Self::UnknownPlugin { .. } => "unknown_plugin",
            Self::Busy { .. } => "operation_in_progress",
            Self::NotReady { .. } => "version_not_ready",
            Self::PastBuild { .. } => "past_build",
            Self::NothingToPromote { .. } => "nothing_to_promote",
            Self::NothingToRollBackTo { .. } => "nothing_to_roll_back_to",
            Self::Live { .. } => "version_live",
            Self::Lower { .. } => "version_lower",
            Self::TablesChanged { .. } => "tables_changed",
            Self::RowsDiffer { .. } => "rows_differ",
            Self::TrialFailed { .. } => "trial_failed",
            Self::Plugin { code, .. } => code,
            Self::CannotVerify { .. } => "cannot_verify",
            Self::BytesMissing { .. } => "plugin_bytes_missing",
            Self::Invalid { .. } => "invalid_operation",
            Self::ReadModel(fault) => fault.code(),
            Self::Store(_) => "store_unavailable",
            Self::Swap(_) => "swap_failed",
            Self::Upcasters(UpcastersError::Clash(_)) => "plugin_clash",
            Self::Upcasters(UpcastersError::Thread(_)) => "internal_error",
            Self::Internal(_) => "internal_error",
        }
    }
}
