//! What keeps projections from going on, and may be over later.

use super::Problem;
use super::pages::Error as PageError;
use model::event::Timestamp;
use model::task::Panic;
use read_model::Error as ReadModelError;
use store::Error as StoreError;

/// What keeps projections from going on, and may be over later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    #[error(transparent)]
    Panicked(#[from] Panic),
    /// A task of this host has ended.
    #[error("{0}")]
    Host(String),
}

impl From<PageError> for Error {
    fn from(fault: PageError) -> Self {
        match fault {
            PageError::Store(fault) => Self::Store(fault),
            PageError::Panicked(panic) => Self::Panicked(panic),
            fault => Self::Host(fault.to_string()),
        }
    }
}

impl From<&Error> for Problem {
    fn from(fault: &Error) -> Self {
        let code = if matches!(fault, Error::Panicked(_)) { Panic::CODE } else { "unavailable" };
        let (code, message) = (code.to_owned(), fault.to_string());
        Self { code, message, position: None, event_id: None, since: Timestamp::now() }
    }
}
