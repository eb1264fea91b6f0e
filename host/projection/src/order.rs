//! What a running version is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::instance::{Instance, Start};
use guest::Fault;
use model::change::{Digest, Manifest};
use model::event::Checkpoint;
use model::task::Panic;
use read_model::{Error, NewOperation};

/// What folds the events of a version. Cheap to clone.
#[derive(Clone)]
pub struct Code {
    pub manifest: Arc<Manifest>,
    pub digest: Digest,
    pub start: Start,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Why other code can't take over.
#[derive(Debug, thiserror::Error)]
pub enum SwapFault {
    #[error("it does not start: {0}")]
    Start(#[from] Fault),
    #[error(transparent)]
    ReadModel(#[from] Error),
    #[error("the version does not run in this host")]
    NotRunning,
    #[error("no thread for the guest: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Panicked(#[from] Panic),
}

/// What a running version is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Let other code go on, and say how long nothing was folded.
    Swap {
        code: Code,
        instance: Instance,
        operation: Box<NewOperation>,
        reply: oneshot::Sender<Result<Duration, SwapFault>>,
    },
    /// Stop until told to go on.
    Pause {
        reply: oneshot::Sender<()>,
    },
    Resume,
    /// Go on with other code, as another host has recorded.
    Replace {
        code: Code,
    },
    /// Stand at an earlier position, with the rows as they are.
    Rewind {
        to: Checkpoint,
        operation: Box<NewOperation>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Run no more.
    End,
}
