//! What is held against an event that can't be folded.

use guest::Fault;
use read_model::Misfit;

/// Why events can't be folded: there is one among them that is to blame.
#[derive(Debug, thiserror::Error)]
pub(super) enum Blame {
    /// The guest does not take it.
    #[error(transparent)]
    Guest(#[from] Fault),
    /// The database does not keep a row that the guest makes of it.
    #[error(transparent)]
    Row(#[from] Misfit),
}

impl Blame {
    /// The stable code of this fault.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Guest(fault) => fault.code(),
            Self::Row(_) => "row_refused",
        }
    }

    /// The event that is to blame, if the guest named it; else the host has to find it.
    pub(super) fn event(&self) -> Option<u32> {
        match self {
            Self::Guest(fault) => fault.event(),
            Self::Row(_) => None,
        }
    }
}
