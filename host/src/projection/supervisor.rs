//! All versions that this host runs: started, tried again, drained.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::{Feed, Reader, Tail};
use super::instance::{Instance, Start};
use super::rows::RowSource;
use super::run::{Run, Stop, history_changed};
use super::status::{Board, Observed, Phase, Problem};
use super::upcasters::Upcasters;
use super::writer::Commits;
use crate::change::{Digest, Manifest, VersionId};
use crate::event::{Position, Timestamp};
use crate::limits::Limits;
use crate::read_model::{Error, Prepared, ReadModel};
use crate::store::Store;

/// How long to wait before trying again: first and last, doubling in between.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// What all projections need.
#[derive(Clone, Debug)]
pub struct Resources {
    pub store: Store,
    pub read_model: ReadModel,
    pub upcasters: Upcasters,
    pub limits: Limits,
    /// How often appends of other processes are looked for.
    pub poll: Duration,
}

/// Runs projections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Projections {
    resources: Resources,
    board: Board,
    tail: Tail,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Projections {
    /// Starts to tail the store; no projection runs yet.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        let stop = CancellationToken::new();
        let reader = Reader { store: resources.store.clone(), upcasters: resources.upcasters.clone() };
        let tail = Tail::start(reader, resources.poll, stop.clone());
        Self { resources, board: Board::default(), tail, tasks: TaskTracker::new(), stop }
    }

    /// How all versions stand.
    #[must_use]
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Runs the version that `manifest` declares, with guests from `start`.
    ///
    /// # Errors
    /// If its tables can't be made, or are not those that it was built with.
    pub async fn start(
        &self,
        manifest: Arc<Manifest>,
        digest: Digest,
        start: impl Fn() -> Start + Send + 'static,
    ) -> Result<VersionId, Error> {
        let prepared = self.resources.read_model.prepare(&manifest, digest).await?;
        let id = prepared.id.clone();
        let (position, head) = (prepared.checkpoint.position, self.resources.store.head());
        let observed = Observed {
            phase: Phase::Backfilling,
            live: prepared.live,
            position,
            backfill: (position, head),
            rate: (0.0, Timestamp::now()),
            error: None,
            behind_since: Timestamp::now(),
            waiting: std::collections::VecDeque::new(),
        };
        self.board.add(&id, Arc::clone(&manifest), digest.to_string(), observed);
        let this = self.clone();
        self.tasks.spawn(async move { this.keep_running(prepared, manifest, digest, start).await });
        Ok(id)
    }

    /// Waits until every version has caught up with what is in the store, or has failed.
    pub async fn caught_up(&self) {
        let settled = |phase: Phase| matches!(phase, Phase::Following | Phase::Failed | Phase::Stopped);
        loop {
            let head = self.resources.store.refresh_head().await.unwrap_or(self.resources.store.head());
            let waits = |status: &super::Status| {
                !settled(status.phase) || (status.phase == Phase::Following && status.position < head)
            };
            if !self.board.statuses(head).iter().any(waits) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets every version commit what it has folded, and stops.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn keep_running(
        &self,
        mut prepared: Prepared,
        manifest: Arc<Manifest>,
        digest: Digest,
        start: impl Fn() -> Start,
    ) {
        let mut pause = RETRY_FIRST;
        loop {
            let id = prepared.id.clone();
            let from = prepared.checkpoint.position;
            let stopped = self.run_once(prepared, &manifest, start()).await;
            let fault = match stopped {
                Stop::Drained => return self.set_phase(&id, Phase::Stopped, None),
                Stop::Failed(problem) => {
                    tracing::error!(projection = %id, code = problem.code, "{}", problem.message);
                    return self.set_phase(&id, Phase::Failed, Some(problem));
                }
                Stop::Broken(fault) => fault,
            };
            tracing::warn!(projection = %id, "{fault}; trying again in {pause:?}");
            self.set_phase(&id, Phase::Retrying, Some(broken(fault)));
            prepared = loop {
                if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return self.set_phase(&id, Phase::Stopped, None);
                }
                pause = (pause * 2).min(RETRY_LAST);
                match self.resources.read_model.prepare(&manifest, digest).await {
                    Ok(prepared) => break prepared,
                    Err(fault) => self.set_phase(&id, Phase::Retrying, Some(broken(fault.to_string()))),
                }
            };
            if prepared.checkpoint.position > from {
                pause = RETRY_FIRST;
            }
            self.set_phase(&id, Phase::Backfilling, None);
        }
    }

    fn set_phase(&self, id: &VersionId, phase: Phase, error: Option<Problem>) {
        self.board.update(id, |observed| {
            observed.phase = phase;
            observed.error = error;
            observed.waiting.clear();
            observed.behind_since = Timestamp::now();
        });
    }

    async fn run_once(&self, prepared: Prepared, manifest: &Arc<Manifest>, start: Start) -> Stop {
        let id = prepared.id.clone();
        if let Some((at, expected)) = prepared.checkpoint.last_event {
            match self.resources.store.event_id_at(at).await {
                Ok(found) => {
                    if let Some(problem) = history_changed(&id, at, expected, found) {
                        return Stop::Failed(problem);
                    }
                }
                Err(fault) => return Stop::Broken(fault.to_string()),
            }
        }
        match self.set_up(&prepared, manifest, start).await {
            Ok(mut run) => run.run(&self.stop).await,
            Err(fault) => Stop::Broken(fault),
        }
    }

    async fn set_up(&self, prepared: &Prepared, manifest: &Arc<Manifest>, start: Start) -> Result<Run, String> {
        let id = prepared.id.clone();
        let Resources { store, read_model, upcasters, limits, .. } = &self.resources;
        let writer = read_model.writer(prepared, &manifest.tables).await.map_err(|fault| fault.to_string())?;
        let instance = Instance::new(id.projection.as_str(), id.version, start)
            .map_err(|fault| format!("no thread for the guest: {fault}"))?;
        let reader = Reader { store: store.clone(), upcasters: upcasters.clone() };
        let position = prepared.checkpoint.position;
        let begun_now = position == Position::START;
        Ok(Run {
            instance,
            feed: Feed::new(reader, self.tail.clone(), position),
            rows: RowSource::new(read_model.clone(), id.clone(), &manifest.tables, limits, begun_now),
            read_model: read_model.clone(),
            commits: Commits::start(writer, self.board.clone(), id.clone()),
            board: self.board.clone(),
            manifest: Arc::clone(manifest),
            idle: None,
            id,
        })
    }
}

fn broken(message: String) -> Problem {
    Problem { code: "unavailable".to_owned(), message, position: None, event_id: None, since: Timestamp::now() }
}
