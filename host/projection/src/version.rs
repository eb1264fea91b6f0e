//! The life of one version in this host: it runs, rests, tries again, is told to
//! change its code, and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Observed};
use super::fault::Error as Fault;
use super::feed::{Feed, Tail};
use super::instance::Instance;
use super::leases::Leases;
use super::order::{Code, Order, SwapFault};
use super::pages::{Error as FeedError, Pages};
use super::phase::Phase;
use super::rows::RowSource;
use super::run::{Run, Stop, history_changed, problem_of};
use super::standing::{Rest, Standing};
use super::status::Problem;
use super::throttle::Throttle;
use super::writer::Commits;
use crate::route::Partition;
use database::Outage;
use model::change::VersionId;
use model::event::{Position, number_of};
use model::limits::Limits;
use model::task::{Panic, Tasks};
use read_model::{Error, Prepared, ReadModel, State, VersionRecord};

/// How long is waited for other hosts, before it is looked again how far they have come.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What all versions share.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) pages: Pages,
    pub(super) tail: Tail,
    pub(super) read_model: ReadModel,
    pub(super) board: Board,
    pub(super) limits: Limits,
    pub(super) ready: mpsc::UnboundedSender<VersionId>,
    pub(super) leases: Leases,
    pub(super) stop: CancellationToken,
}

impl Surroundings {
    fn tasks(&self) -> &Tasks {
        self.pages.store().tasks()
    }
}

/// One version, as long as this host runs it.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) around: Surroundings,
    pub(super) id: VersionId,
    pub(super) code: Code,
    standing: Standing,
    /// What the log was told of its failures.
    outage: Arc<Outage>,
    /// Code that was started already, and who waits for it to run.
    pub(super) incoming: Option<Incoming>,
}

/// A guest that is about to take over.
#[derive(Debug)]
pub(super) struct Incoming {
    instance: Instance,
    /// When the last one stopped.
    since: Instant,
    reply: oneshot::Sender<Result<Duration, SwapFault>>,
}

impl Version {
    /// One that runs, or rests for this reason.
    pub(super) fn new(around: Surroundings, id: VersionId, code: Code, rest: Option<Rest>) -> Self {
        let outage = Arc::new(Outage::of(format!("projection {id}")));
        Self { around, id, code, standing: Standing::new(rest), outage, incoming: None }
    }

    /// Runs until told to end, or until the host ends.
    pub(super) async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
        let (tasks, task) = (self.around.tasks().clone(), self.task());
        loop {
            let interrupt = self.around.stop.child_token();
            let before = self.around.board.position(&self.id);
            let (stopped, order) = {
                let running = tasks.watch(&task, self.run(&interrupt));
                tokio::pin!(running);
                tokio::select! {
                    stopped = &mut running => (stopped, None),
                    order = orders.recv() => {
                        let since = Instant::now();
                        interrupt.cancel();
                        // Nobody who could give an order is left: it is forgotten.
                        (running.await, Some((order.unwrap_or(Order::End), since)))
                    }
                }
            };
            let stopped = stopped.unwrap_or_else(Stop::Panicked);
            if let Stop::Broken(fault) = &stopped {
                self.outage.failed(fault);
            }
            match stopped {
                // The next round goes on with what is left.
                Stop::Drained | Stop::Reached => {}
                Stop::Lost if self.around.leases.is_shared() => {
                    tracing::info!(projection = %self.id, "another host has taken it over, or has changed what it goes by");
                    let sync = self.around.leases.sync();
                    self.around.stop.run_until_cancelled(sync).await;
                }
                Stop::Lost => {
                    // To try again would not help: two hosts that do not know of each other would
                    // take it from each other for ever.
                    let problem = problem_of(&Error::Fenced { id: self.id.clone() });
                    tracing::error!(projection = %self.id, code = problem.code, "{}", problem.message);
                    self.standing.rests(Rest::Failed);
                    self.set_phase(Phase::Failed, Some(problem));
                }
                Stop::Failed(problem) | Stop::Refused(problem) => {
                    tracing::error!(projection = %self.id, code = problem.code, "{}", problem.message);
                    self.standing.rests(Rest::Failed);
                    let noted = self.around.read_model.note_stopped(&self.id, &problem.message).await;
                    if let Err(fault) = noted {
                        tracing::warn!(projection = %self.id, "can't note that it has stopped: {fault}");
                    }
                    self.set_phase(Phase::Failed, Some(problem));
                }
                Stop::Broken(fault) | Stop::Away(fault) => {
                    self.retry((&fault).into(), before);
                }
                Stop::Panicked(panic) => self.has_panicked(panic, before),
            }
            if self.around.stop.is_cancelled() {
                if self.standing.rest().is_none() {
                    self.set_phase(Phase::Stopped, None);
                }
                return;
            }
            match order {
                None => {}
                Some((Order::End, _)) => return,
                Some((order, since)) => {
                    // Whoever waits for a reply sees that there is none.
                    if let Err(panic) = tasks.watch(&task, self.obey(order, since)).await {
                        self.has_panicked(panic, before);
                    }
                }
            }
        }
    }

    /// Lets it run again after a pause, which is longer the more often it failed at `before`.
    fn retry(&mut self, problem: Problem, before: Option<Position>) {
        self.set_phase(Phase::Retrying, Some(problem));
        self.standing.failed_for_now(self.around.board.position(&self.id) > before);
    }

    fn has_panicked(&mut self, panic: Panic, before: Option<Position>) {
        self.around.tasks().note(&self.task(), &panic);
        self.retry((&Fault::from(panic)).into(), before);
    }

    /// What it is called among the host's tasks.
    fn task(&self) -> String {
        format!("projection {}", self.id)
    }

    async fn obey(&mut self, order: Order, since: Instant) {
        match order {
            Order::Swap { code, instance, operation, reply } => {
                match self.around.read_model.swap(&self.id, code.digest, *operation).await {
                    Ok(()) => {
                        self.around.board.update(&self.id, |observed| observed.digest = code.digest);
                        self.code = code;
                        self.standing.is_mended();
                        self.incoming = Some(Incoming { instance, since, reply });
                        if self.standing.rest().is_some() {
                            self.arrived();
                        }
                    }
                    Err(fault) => drop(reply.send(Err(fault.into()))),
                }
            }
            Order::Pause { reply } => {
                self.standing.rests(Rest::Paused);
                // What it failed at, if it did, is still worth knowing.
                self.around.board.update(&self.id, |observed| observed.phase = Phase::Paused);
                // Whoever asked may have gone away.
                reply.send(()).unwrap_or(());
            }
            Order::Resume => self.standing.resumes(),
            Order::Replace { code } => {
                self.around.board.update(&self.id, |observed| observed.digest = code.digest);
                self.code = code;
                self.standing.is_mended();
            }
            Order::Rewind { to, operation, reply } => {
                let rewound = self.around.read_model.rewind(&self.id, to, *operation).await;
                if rewound.is_ok() {
                    self.standing.is_mended();
                    self.around.board.update(&self.id, |observed| {
                        observed.phase = self.standing.rest().map_or(Phase::Lagging, Rest::phase);
                        observed.parts.stand_at(&[to]);
                    });
                }
                // Whoever asked may have gone away.
                reply.send(rewound).unwrap_or(());
            }
            Order::End => {}
        }
    }

    /// Says that the new code has taken over.
    fn arrived(&mut self) -> Option<Instance> {
        let Incoming { instance, since, reply } = self.incoming.take()?;
        drop(reply.send(Ok(since.elapsed())));
        Some(instance)
    }

    /// Runs until interrupted, or as far as it comes.
    async fn run(&mut self, interrupt: &CancellationToken) -> Stop {
        if let Some(rest) = self.standing.rest() {
            self.around.board.update(&self.id, |observed| observed.phase = rest.phase());
            interrupt.cancelled().await;
            return Stop::Drained;
        }
        if let Some(pause) = self.standing.take_wait()
            && interrupt.run_until_cancelled(tokio::time::sleep(pause)).await.is_none()
        {
            return Stop::Drained;
        }
        match self.run_as_recorded(interrupt).await {
            Ok(stopped) => stopped,
            Err(fault) => fault.into(),
        }
    }

    /// Runs as far as it comes, as long as the host runs.
    pub(super) async fn run_once(&mut self) -> Result<Stop, Error> {
        let stop = self.around.stop.clone();
        self.run_as_recorded(&stop).await
    }

    /// If the database refuses rows that were to be written with many others, the same events are
    /// folded again, and committed step by step, to find the one that is to blame.
    async fn run_as_recorded(&mut self, interrupt: &CancellationToken) -> Result<Stop, Error> {
        match self.run_record(interrupt, false).await? {
            Stop::Refused(problem) => {
                tracing::info!(projection = %self.id, "looks for the event that is to blame: {}", problem.message);
                self.run_record(interrupt, true).await
            }
            stopped => Ok(stopped),
        }
    }

    async fn run_record(&mut self, interrupt: &CancellationToken, is_stepwise: bool) -> Result<Stop, Error> {
        let record = self.around.read_model.version(&self.id).await?;
        if !record.state.is_standing() {
            // This host is about to hear of it.
            self.standing.rests(Rest::Retired);
            return Ok(Stop::Drained);
        }
        self.show(&record);
        let count = number_of(record.checkpoints.len());
        if record.as_of.is_some_and(|end| record.checkpoints.iter().all(|checkpoint| checkpoint.position >= end)) {
            // Killed before they were put together, they still are several.
            if count > 1 {
                self.around.read_model.repartition(&self.id, 1).await?;
            }
            self.complete().await?;
            return Ok(Stop::Reached);
        }
        let wanted = record.workers.filter(|&wanted| wanted != count && record.state == State::Building);
        let farthest = record.checkpoints.iter().map(|checkpoint| checkpoint.position).max().unwrap_or_default();
        let until = match wanted {
            // They must stand together before they can be cut anew.
            Some(_) => Some(farthest),
            None if count > 1 => Some(record.as_of.unwrap_or(record.built_until).max(farthest)),
            None => record.as_of,
        };
        let stopped = self.run_partitions(&record, until, interrupt, is_stepwise).await?;
        if matches!(stopped, Stop::Reached) && count > 1 && !self.all_reached(until).await? {
            // Other hosts fold the others.
            interrupt.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await;
            return Ok(Stop::Drained);
        }
        if matches!(stopped, Stop::Reached) {
            if let Some(wanted) = wanted {
                self.around.read_model.repartition(&self.id, wanted).await?;
            } else if count > 1 {
                self.around.read_model.repartition(&self.id, 1).await?;
            }
        }
        Ok(stopped)
    }

    /// Whether every partition has come to where they end, whoever folds it.
    async fn all_reached(&self, until: Option<Position>) -> Result<bool, Error> {
        let record = self.around.read_model.version(&self.id).await?;
        Ok(until.is_none_or(|until| record.checkpoints.iter().all(|checkpoint| checkpoint.position >= until)))
    }

    /// All partitions that this host may fold at once; the first that fails stops the others.
    async fn run_partitions(
        &mut self,
        record: &VersionRecord,
        until: Option<Position>,
        interrupt: &CancellationToken,
        is_stepwise: bool,
    ) -> Result<Stop, Error> {
        let interrupt = interrupt.child_token();
        let count = number_of(record.checkpoints.len());
        let mut granted = self.around.leases.watch();
        let wanted = granted.borrow_and_update().of(&self.id, count);
        // It may have rested, or waited, when it was to hand over.
        self.around.leases.hand_over_but(&self.around.read_model, &self.id, &wanted, count).await?;
        let mut runs = JoinSet::new();
        let latest = self.around.pages.upcasters().latest();
        // A trial has no sets of its own.
        let sets = if self.around.leases.is_shared() { latest } else { 0 }..=latest;
        let losses = self.around.read_model.losses();
        self.around.board.update(&self.id, |observed| observed.parts.are_here(&wanted));
        let mut here = Vec::new();
        for &number in &wanted {
            let leased = self.around.read_model.lease(&self.id, number, self.code.digest, sets.clone()).await?;
            let Some(prepared) = leased else { continue };
            self.around.leases.holds((self.id.clone(), number), prepared.epoch);
            here.push(number);
            let instance = self.arrived();
            let mut run = match self.set_up(record, &prepared, Partition { number, count }, until, instance).await {
                Ok(run) => Run { losses: losses.clone(), is_stepwise, ..run },
                Err(stop) => {
                    interrupt.cancel();
                    runs.join_all().await;
                    return Ok(stop);
                }
            };
            let interrupt = interrupt.clone();
            runs.spawn(async move { run.run(&interrupt).await });
        }
        self.around.board.update(&self.id, |observed| observed.parts.are_here(&here));
        if runs.is_empty() {
            self.arrived();
            // The database answers, and there is nothing else that it would try.
            self.outage.is_well();
            self.around.board.update(&self.id, Observed::is_well);
            tokio::select! {
                () = interrupt.cancelled() => {}
                // Nobody who could grant is left: the host ends.
                _ = granted.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN * 2) => {}
            }
            return Ok(Stop::Drained);
        }
        let mut outcome = Stop::Reached;
        loop {
            let stopped = tokio::select! {
                stopped = runs.join_next() => match stopped {
                    Some(stopped) => stopped,
                    None => break,
                },
                changed = granted.changed() => {
                    if changed.is_ok() && granted.borrow_and_update().of(&self.id, count) != wanted {
                        interrupt.cancel();
                    }
                    continue;
                }
            };
            let stopped = stopped.unwrap_or_else(|fault| Stop::Panicked(fault.into()));
            if !matches!(stopped, Stop::Reached) {
                interrupt.cancel();
            }
            outcome = outcome.graver(stopped);
        }
        let kept = granted.borrow().of(&self.id, count);
        self.around.leases.hand_over_but(&self.around.read_model, &self.id, &kept, count).await?;
        Ok(outcome)
    }

    async fn set_up(
        &self,
        record: &VersionRecord,
        prepared: &Prepared,
        partition: Partition,
        until: Option<Position>,
        instance: Option<Instance>,
    ) -> Result<Run, Stop> {
        let (around, manifest) = (&self.around, &self.code.manifest);
        if let Some((at, expected)) = prepared.checkpoint.last_event {
            let found = around.pages.store().event_id_at(at).await;
            let found = found.map_err(|fault| Stop::from(FeedError::from(fault)))?;
            if let Some(problem) = history_changed(&self.id, at, expected, found) {
                return Err(Stop::Failed(problem));
            }
        }
        let writer = around.read_model.writer(prepared, &manifest.tables);
        let instance = match instance {
            Some(instance) => instance,
            None => Instance::new(self.id.projection.as_str(), self.id.version, Arc::clone(&self.code.start))
                .map_err(|fault| Stop::Broken(Fault::Host(format!("no thread for the guest: {fault}"))))?,
        };
        let limits = around.limits.among(partition.count);
        let position = prepared.checkpoint.position;
        let beside = record.state == State::Building && !record.live;
        Ok(Run {
            partition,
            instance,
            feed: Feed::new(
                around.pages.clone(),
                around.tail.clone(),
                record.upcasters,
                prepared.checkpoint.without_gap(),
                until,
            ),
            rows: RowSource::new(
                around.read_model.clone(),
                self.id.clone(),
                &manifest.tables,
                &limits,
                prepared.is_new,
            ),
            fits: around.read_model.fits(&manifest.tables),
            is_stepwise: false,
            limits: limits.clone(),
            read_model: around.read_model.clone(),
            prepared: prepared.clone(),
            at: position,
            losses: around.read_model.losses(),
            commits: Commits::start(writer, around.board.clone(), (self.id.clone(), partition.number), &limits),
            board: around.board.clone(),
            outage: Arc::clone(&self.outage),
            throttle: beside.then(|| Throttle::new(around.board.clone(), &around.limits)),
            ready: around.ready.clone(),
            manifest: Arc::clone(manifest),
            idle: None,
            id: self.id.clone(),
        })
    }

    /// A build of the past has reached its end.
    async fn complete(&mut self) -> Result<(), Error> {
        self.around.read_model.finish_indexes(&self.id, &self.code.manifest.tables).await?;
        self.around.read_model.finish_build(&self.id).await?;
        self.standing.rests(Rest::Complete);
        self.set_phase(Phase::Complete, None);
        Ok(())
    }

    fn show(&self, record: &VersionRecord) {
        let head = self.around.pages.store().head();
        self.around.board.update(&self.id, |observed| {
            observed.building = record.state == State::Building;
            observed.parts.stand_at(&record.checkpoints);
            observed.progress_at = Instant::now();
            // One that tries again is well once it comes further, or has caught up.
            if observed.phase != Phase::Retrying {
                observed.error = None;
                observed.phase = match record.state {
                    State::Building => Phase::Rebuilding,
                    _ if record.as_of.is_some() => Phase::Complete,
                    _ if record.position() >= head => Phase::Following,
                    _ => Phase::Lagging,
                };
            }
        });
    }

    fn set_phase(&self, phase: Phase, error: Option<Problem>) {
        let mut is_new = false;
        self.around.board.update(&self.id, |observed| {
            let error = error.map(|error| error.after(observed.error.as_ref()));
            is_new = error.is_some() && error != observed.error;
            (observed.phase, observed.error) = (phase, error);
        });
        if is_new {
            // The other hosts are told at the next look.
            self.around.leases.ask();
        }
    }
}
