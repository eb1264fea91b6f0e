//! All versions that this host runs: started, told what to do, drained.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Observed};
use super::fault::Error as Fault;
use super::feed::Tail;
use super::instance::{Instance, Start};
use super::leases::Leases;
use super::order::{Code, Order, SwapFault};
use super::pages::Pages;
use super::phase::Phase;
use super::standing::Rest;
use super::upcasters::{UpcasterSet, Upcasters};
use super::version::{Surroundings, Version};
use model::change::{Digest, Manifest, VersionId};
use model::event::{Checkpoint, Position};
use model::limits::Limits;
use read_model::{Error, NewOperation, Promote, ReadModel, VersionRecord};
use store::Store;

/// Orders that wait for a version to obey.
const ORDERS_WAITING: usize = 4;

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
    around: Surroundings,
    running: Arc<Mutex<HashMap<VersionId, Running>>>,
    ready: Arc<Mutex<Option<mpsc::UnboundedReceiver<VersionId>>>>,
}

/// How to reach a version.
#[derive(Debug)]
struct Running {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Projections {
    /// Starts to tail the store; no projection runs yet.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        let Resources { store, read_model, upcasters, limits, poll } = resources;
        let read_model = read_model.beside(store.database());
        let stop = CancellationToken::new();
        let board = Board::new(Duration::from_millis(limits.stuck_after_ms), store.readable());
        let pages = Pages::new(store, upcasters, limits.shared_pages_bytes_max);
        let tail = Tail::start(pages.clone(), poll, stop.clone());
        let (ready, newly_ready) = mpsc::unbounded_channel();
        Self {
            around: Surroundings { pages, tail, read_model, board, limits, ready, leases: Leases::default(), stop },
            running: Arc::default(),
            ready: Arc::new(Mutex::new(Some(newly_ready))),
        }
    }

    /// How all versions stand.
    #[must_use]
    pub fn board(&self) -> Board {
        self.around.board.clone()
    }

    /// The upcasters that work on all events.
    #[must_use]
    pub fn upcasters(&self) -> Upcasters {
        self.around.pages.upcasters().clone()
    }

    /// The last position of the store.
    #[must_use]
    pub fn head(&self) -> Position {
        self.around.pages.store().head()
    }

    /// How many pages of events were read from the store, for whomever.
    #[must_use]
    pub fn pages_read(&self) -> u64 {
        self.around.pages.read_so_far()
    }

    /// The versions that have caught up for the first time, as they do. There is one such stream.
    #[must_use]
    pub fn newly_ready(&self) -> Option<mpsc::UnboundedReceiver<VersionId>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs the version that `manifest` declares, with guests from `start`; makes it if
    /// it is not there.
    ///
    /// # Errors
    /// If its tables can't be made, or are not those that it was built with.
    pub async fn start(&self, manifest: Arc<Manifest>, digest: Digest, start: Start) -> Result<VersionId, Error> {
        let id = self.around.read_model.prepare(&manifest, digest).await?.id;
        let record = self.around.read_model.version(&id).await?;
        self.run(&record, Code { manifest, digest, start });
        Ok(id)
    }

    /// Runs the version of `record`.
    pub fn run(&self, record: &VersionRecord, code: Code) {
        let observed = Observed::of(record, code.digest, self.head());
        self.around.board.add(&record.id, Arc::clone(&code.manifest), observed);
        let rest = record.paused.then_some(Rest::Paused);
        let version = Version::new(self.around.clone(), record.id.clone(), code, rest);
        let (orders, queue) = mpsc::channel(ORDERS_WAITING);
        let task = tokio::spawn(version.live(queue));
        self.running().insert(record.id.clone(), Running { orders, task });
        // Where there are several hosts, somebody must say who folds it.
        self.around.leases.ask();
    }

    /// Lets other code fold `id`, from the next batch on: the batch in flight is finished
    /// by the old one. Gives how long nothing was folded.
    ///
    /// # Errors
    /// If the new code does not start, or can't be recorded; the old one goes on then.
    pub async fn swap(&self, id: &VersionId, code: Code, operation: NewOperation) -> Result<Duration, SwapFault> {
        // Started before the old one stops, so that the pause is short.
        let instance = Instance::new(id.projection.as_str(), id.version, Arc::clone(&code.start))?;
        instance.warm().await??;
        let (reply, answer) = oneshot::channel();
        self.order(id, Order::Swap { code, instance, operation: Box::new(operation), reply }).await;
        answer.await.unwrap_or(Err(SwapFault::NotRunning))
    }

    /// Stops `id` until it is resumed; all that was folded is committed then.
    pub async fn pause(&self, id: &VersionId) {
        let (reply, answer) = oneshot::channel();
        self.order(id, Order::Pause { reply }).await;
        // If it does not run, it is at rest.
        drop(answer.await);
    }

    /// Lets `id` go on.
    pub async fn resume(&self, id: &VersionId) {
        self.order(id, Order::Resume).await;
    }

    /// Lets other code fold `id`, as another host has recorded.
    pub async fn replace(&self, id: &VersionId, code: Code) {
        self.order(id, Order::Replace { code }).await;
    }

    /// Which partitions of which versions this host may fold.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.around.leases
    }

    /// The versions that this host knows of: those that it folds, and those that others do.
    #[must_use]
    pub fn ids(&self) -> Vec<VersionId> {
        self.running().keys().cloned().collect()
    }

    /// Lets `id` fold again what comes after `to`, over the rows that there are.
    ///
    /// # Errors
    /// If it does not run, or the database fails.
    pub async fn rewind(&self, id: &VersionId, to: Checkpoint, operation: NewOperation) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.order(id, Order::Rewind { to, operation: Box::new(operation), reply }).await;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Runs `id` no more, and forgets it.
    pub async fn end(&self, id: &VersionId) {
        self.order(id, Order::End).await;
        let running = self.running().remove(id);
        if let Some(running) = running {
            // A panic in it was logged by the runtime; it runs no more either way.
            drop(running.task.await);
        }
        self.around.board.remove(id);
    }

    /// Runs `id` no more, and leaves it to other hosts.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn give_up(&self, id: &VersionId) -> Result<(), Error> {
        self.end(id).await;
        self.around.leases.hand_over_all(&self.around.read_model, id).await
    }

    /// Whether `id` runs, or rests, in this host.
    #[must_use]
    pub fn has(&self, id: &VersionId) -> bool {
        self.running().contains_key(id)
    }

    /// Shows `id` as the live one from now on.
    pub fn set_live(&self, id: &VersionId) {
        self.around.board.set_live(id);
    }

    /// Shows when `id` is to be promoted.
    pub fn set_promote(&self, id: &VersionId, promote: Promote) {
        self.around.board.update(id, |observed| observed.promote = promote);
    }

    /// Lists `id` once more among those that have caught up.
    pub fn is_ready(&self, id: &VersionId) {
        // Who listens has ended with the host.
        drop(self.around.ready.send(id.clone()));
    }

    /// Keeps the tail where it is while the guard is held, and says where that is:
    /// versions that follow it come to stand at the same position.
    pub async fn hold_tail(&self) -> (OwnedMutexGuard<()>, Position) {
        self.around.tail.hold().await
    }

    /// Lets `set` work on all events from now on, for all versions at once. `record` is given
    /// the position up to which this host has read, and gives the number under which the set
    /// is recorded, and the position after which it holds, for other hosts may have read further.
    ///
    /// # Errors
    /// Those of `record`, or of the store; nothing is changed then.
    pub async fn install<F>(&self, set: UpcasterSet, record: impl FnOnce(Position) -> F) -> Result<Position, Fault>
    where
        F: Future<Output = Result<(u32, Position), Fault>>,
    {
        let (held, position) = self.around.tail.hold_at_head().await?;
        let (number, effective_after) = record(position).await?;
        self.advance(&held, effective_after).await;
        self.around.pages.upcasters().install(set.from(number, effective_after));
        Ok(effective_after)
    }

    /// Lets `set`, which another host has recorded, work on all events after its position.
    pub async fn adopt(&self, set: UpcasterSet) {
        let (held, _) = self.around.tail.hold().await;
        self.advance(&held, set.effective_after()).await;
        self.around.pages.upcasters().install(set);
    }

    /// Lets `sets` work in place of those that did, for the read models were restored to a state
    /// in which others were recorded.
    pub async fn replace_upcasters(&self, sets: Vec<UpcasterSet>) {
        let (held, _) = self.around.tail.hold().await;
        self.around.pages.upcasters().replace(sets);
        self.around.tail.start_over(&held);
    }

    /// Lets the tail come to `position`, up to which others have read, with the upcasters of
    /// before. There is no way back, so it is tried until it succeeds or the host ends.
    async fn advance(&self, held: &OwnedMutexGuard<()>, position: Position) {
        let advance = async {
            while let Err(fault) = self.around.tail.advance(held, position).await {
                if !fault.is_away() {
                    tracing::warn!("the event store can't be read, trying again: {fault}");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        self.around.stop.run_until_cancelled(advance).await;
    }

    /// Waits until every version has caught up with what is in the store, or rests.
    pub async fn caught_up(&self) {
        let store = self.around.pages.store();
        let settled = |phase: Phase| {
            matches!(phase, Phase::Following | Phase::Failed | Phase::Stopped | Phase::Paused | Phase::Complete)
        };
        loop {
            let head = store.refresh_head().await.unwrap_or(store.head());
            let waits = |status: &super::Status| {
                !settled(status.phase) || (status.phase == Phase::Following && status.position < head)
            };
            if !self.around.board.statuses(head).iter().any(waits) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets every version commit what it has folded, and stops.
    pub async fn drain(&self) {
        self.around.stop.cancel();
        let all: Vec<Running> = self.running().drain().map(|(_, running)| running).collect();
        for running in all {
            // A panic in it was logged by the runtime.
            drop(running.task.await);
        }
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        self.around.clone()
    }

    async fn order(&self, id: &VersionId, order: Order) {
        let orders = self.running().get(id).map(|running| running.orders.clone());
        if let Some(orders) = orders {
            // Who has ended needs no orders; whoever waits for a reply sees that there is none.
            drop(orders.send(order).await);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<VersionId, Running>> {
        // Each change is one call to the map.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
