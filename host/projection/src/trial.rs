//! Trying code out on the beginning of the history, in tables that are thrown away.

use std::sync::Arc;

use super::fault::Error;
use super::feed::Tail;
use super::leases::Leases;
use super::order::Code;
use super::run::Stop;
use super::supervisor::Projections;
use super::version::{Surroundings, Version};
use super::{Board, Problem};
use model::change::{Manifest, VersionId};
use model::event::Position;
use read_model::{NewOperation, NewVersion, Promote, ReadModel};
use store::Readable;

/// What came of a trial.
#[derive(Debug)]
pub enum Trial {
    /// All was folded; the rows are those of this version.
    Folded(VersionId),
    /// It fails at an event.
    Failed(Problem),
}

impl Projections {
    /// Folds the events up to `until` with `code` into `scratch`, which is the caller's to throw away.
    ///
    /// # Errors
    /// If a database fails.
    pub async fn try_out(&self, code: Code, until: Position, scratch: &ReadModel) -> Result<Trial, Error> {
        let manifest: Arc<Manifest> = Arc::clone(&code.manifest);
        let new = NewVersion {
            digest: code.digest,
            promote: Promote::Manual,
            until,
            as_of: Some(until),
            partitions: 1,
            upcasters: self.upcasters().latest(),
        };
        let (id, _) = scratch.create(&manifest, &new, NewOperation::default()).await?;
        let around = self.surroundings();
        let board = Board::new(std::time::Duration::MAX, Readable::default());
        let tail: Tail = around.tail.clone();
        let leases = Leases::default();
        let around = Surroundings { read_model: scratch.clone(), board, tail, leases, ..around };
        let mut version = Version::new(around, id.clone(), code, None);
        match version.run_once().await? {
            Stop::Reached => Ok(Trial::Folded(id)),
            Stop::Failed(problem) | Stop::Refused(problem) => Ok(Trial::Failed(problem)),
            Stop::Drained | Stop::Lost => Err(Error::Host("the host is about to end".to_owned())),
            Stop::Broken(fault) | Stop::Away(fault) => Err(fault),
            Stop::Panicked(panic) => Err(panic.into()),
        }
    }
}
