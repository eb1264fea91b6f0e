//! The loop: feed, route, load, read rows, apply, commit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blame::Blame;
use super::board::Board;
use super::fault::Error;
use super::feed::Feed;
use super::instance::Instance;
use super::pages::{Error as FeedError, Page};
use super::phase::Phase;
use super::rows::{Hashes, RowSource};
use super::status::{Doing, Problem};
use super::throttle::Throttle;
use super::writer::Commits;
use crate::route::{Partition, route};
use database::Outage;
use guest::Fault;
use model::change::{Cells, Changes, Keys, Manifest, VersionId};
use model::event::{Batch, Checkpoint, Position, Timestamp, number_of};
use model::limits::Limits;
use model::task::Panic;
use read_model::{Commit, Error as ReadModelError, Fits, Prepared, ReadModel, TableChanges};

/// A checkpoint that no row goes with is written this late at the most: a projection
/// that wants few of the events need not write for each of the others.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);

/// Why the loop ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// It was told to, and all that was folded is committed.
    Drained,
    /// It has come to where it ends, and all is committed.
    Reached,
    /// Somebody else has taken it over, or has changed what it goes by.
    Lost,
    /// An event can't be folded; what came before it is committed.
    Failed(Problem),
    /// The database does not keep a row. Of which event it came is not known, for it was to be
    /// written with the rows of many.
    Refused(Problem),
    /// Something failed that may be well again later.
    Broken(Error),
    /// The host's own code has panicked.
    Panicked(Panic),
    /// A database is away, which the log is told of the database.
    Away(Error),
}

impl Stop {
    /// Of two ends the one that says more.
    pub(super) fn graver(self, other: Self) -> Self {
        let rank = |stop: &Self| match stop {
            Self::Reached => 0,
            Self::Drained => 1,
            Self::Broken(_) => 2,
            Self::Away(_) => 3,
            Self::Panicked(_) => 4,
            Self::Lost => 5,
            Self::Refused(_) => 6,
            Self::Failed(_) => 7,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

impl From<FeedError> for Stop {
    fn from(fault: FeedError) -> Self {
        match fault {
            FeedError::Panicked(panic) => Self::Panicked(panic),
            fault if fault.is_away() => Self::Away(fault.into()),
            fault => Self::Broken(fault.into()),
        }
    }
}

impl From<ReadModelError> for Stop {
    fn from(fault: ReadModelError) -> Self {
        match fault {
            ReadModelError::Fenced { .. } => Self::Lost,
            // To try again would not help: a name stays taken.
            ReadModelError::NameTaken { .. } | ReadModelError::IndexRefused { .. } => Self::Failed(problem_of(&fault)),
            ReadModelError::Misfit(_) => Self::Refused(problem_of(&fault)),
            ReadModelError::Panicked(panic) => Self::Panicked(panic),
            fault if fault.is_away() => Self::Away(fault.into()),
            fault => Self::Broken(fault.into()),
        }
    }
}

/// What is shown of a fault that no event is to blame for.
pub(super) fn problem_of(fault: &ReadModelError) -> Problem {
    Problem {
        code: fault.code().to_owned(),
        message: fault.to_string(),
        position: None,
        event_id: None,
        since: Timestamp::now(),
    }
}

impl From<Panic> for Stop {
    fn from(panic: Panic) -> Self {
        Self::Panicked(panic)
    }
}

/// One version, or a partition of it, running.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: VersionId,
    pub(super) partition: Partition,
    pub(super) manifest: Arc<Manifest>,
    pub(super) instance: Instance,
    pub(super) feed: Feed,
    pub(super) rows: RowSource,
    /// What its tables hold.
    pub(super) fits: Vec<Fits>,
    /// Each batch is committed before the next one is folded, so that an event is found whose
    /// rows the database does not keep.
    pub(super) is_stepwise: bool,
    pub(super) limits: Limits,
    pub(super) read_model: ReadModel,
    pub(super) commits: Commits,
    /// What it holds of its partition, and where the last commit that was handed over puts that.
    pub(super) prepared: Prepared,
    pub(super) at: Position,
    /// Changes when the database was lost for a moment.
    pub(super) losses: watch::Receiver<u64>,
    pub(super) board: Board,
    /// What the log was told of its failures.
    pub(super) outage: Arc<Outage>,
    /// Holds it back while it is built beside a live version.
    pub(super) throttle: Option<Throttle>,
    /// Is told once it has caught up for the first time.
    pub(super) ready: mpsc::UnboundedSender<VersionId>,
    /// A checkpoint that no row goes with yet, and when it is to be written.
    pub(super) idle: Option<(Checkpoint, Instant)>,
}

impl Run {
    /// Folds events until told to stop, until where it ends, or until it can't go on.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> Stop {
        let outcome = self.fold_all(stop).await;
        let idle = self.write_idle().await;
        let written = self.commits.finish().await;
        match (outcome, idle, written) {
            (_, _, Err(fault)) | (_, Err(fault), _) => fault.into(),
            (Err(stop), ..) => stop,
            (Ok(()), ..) if self.feed.has_ended() => Stop::Reached,
            (Ok(()), ..) => Stop::Drained,
        }
    }

    async fn fold_all(&mut self, stop: &CancellationToken) -> Result<(), Stop> {
        let mut following = false;
        while !self.feed.has_ended() {
            if self.feed.decide() && !following && self.feed.has_caught_up() {
                following = true;
                self.caught_up().await?;
            }
            let idle_at = self.idle.as_ref().map(|&(_, at)| at);
            self.board.doing(&self.id, Doing::WaitingForEvents);
            let page = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // A commit has failed: `finish` says why.
                () = self.commits.ended() => return Ok(()),
                page = self.feed.next() => page?,
                () = lost(&mut self.losses) => {
                    self.expect_all().await?;
                    continue;
                }
                () = sleep_until(idle_at) => {
                    self.write_idle().await?;
                    continue;
                }
            };
            if self.commits.have_begun() {
                self.outage.is_well();
            }
            let begun = Instant::now();
            self.fold_page(&page).await?;
            if let Some(throttle) = self.throttle.as_ref().filter(|_| !following) {
                stop.run_until_cancelled(throttle.rest(&self.id, begun.elapsed())).await;
            }
        }
        Ok(())
    }

    /// Checks that all is there that was committed. Else rows would be missing until there is
    /// something to commit, which finds it too.
    async fn expect_all(&mut self) -> Result<(), Stop> {
        self.commits.flush().await?;
        Ok(self.read_model.expect_at(&self.prepared, self.at).await?)
    }

    /// 'Caught up' is said of what is committed, not of what is on its way.
    async fn caught_up(&mut self) -> Result<(), Stop> {
        self.write_idle().await?;
        self.commits.flush().await?;
        self.board.doing(&self.id, Doing::MakingIndexes);
        self.read_model.finish_indexes(&self.id, &self.manifest.tables).await?;
        let is_new = self.read_model.finish_build(&self.id).await?;
        self.board.update(&self.id, |observed| {
            (observed.phase, observed.error, observed.building) = (Phase::Following, None, false);
        });
        self.outage.is_well();
        if is_new {
            tracing::info!(projection = %self.id, "has caught up");
            // Nobody need be listening.
            self.ready.send(self.id.clone()).unwrap_or(());
        }
        Ok(())
    }

    async fn fold_page(&mut self, page: &Page) -> Result<(), Stop> {
        let batch = route(&page.events, &self.manifest.subscription, self.partition);
        let poisoned =
            page.poisoned.iter().find(|event| event.kinds.iter().any(|kind| self.manifest.subscription.wants(kind)));
        let end = poisoned
            .map_or(batch.len(), |event| batch.positions.partition_point(|&position| position < event.position.0));
        let checkpoint = if poisoned.is_some() { before(&batch, end) } else { Some(page.end) };
        self.fold_rows(&batch, 0..end, checkpoint).await?;
        match poisoned {
            None => Ok(()),
            Some(event) => Err(Stop::Failed(Problem {
                code: event.code.to_owned(),
                message: event.message.clone(),
                position: Some(event.position),
                event_id: Some(event.event_id),
                since: Timestamp::now(),
            })),
        }
    }

    /// Folds `rows` of `batch`, after which `checkpoint` is reached. If that fails,
    /// folds what comes before the event to blame, which it finds by halving where
    /// the guest does not name it.
    async fn fold_rows(
        &mut self,
        batch: &Arc<Batch>,
        rows: Range<usize>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(), Stop> {
        let mut waiting = VecDeque::from([(rows, checkpoint)]);
        while let Some((rows, checkpoint)) = waiting.pop_front() {
            let Some(checkpoint) = checkpoint else { continue };
            if rows.is_empty() {
                self.pass(checkpoint);
                continue;
            }
            let Err(blame) = self.fold_batch(&part(batch, &rows), checkpoint).await? else { continue };
            let blamed = blame.event().map(|event| rows.start + event as usize).filter(|row| rows.contains(row));
            let cut = position_start(batch, blamed.unwrap_or(rows.start + rows.len() / 2));
            let one_event = batch.positions[rows.start] == batch.positions[rows.end - 1];
            if one_event || (blamed.is_some() && cut <= rows.start) {
                return Err(Stop::Failed(self.problem(batch, blamed.unwrap_or(rows.start), &blame)));
            }
            // A cut within the events that were made of one falls before or after all of them.
            let cut = if cut > rows.start { cut } else { position_end(batch, rows.start) };
            waiting.push_front((cut..rows.end, Some(checkpoint)));
            waiting.push_front((rows.start..cut, before(batch, cut)));
        }
        Ok(())
    }

    async fn fold_batch(&mut self, batch: &Arc<Batch>, checkpoint: Checkpoint) -> Result<Result<(), Blame>, Stop> {
        self.board.doing(&self.id, Doing::Folding);
        let keys = match self.instance.load(Arc::clone(batch)).await? {
            Ok(keys) => keys,
            Err(fault) => return Ok(Err(fault.into())),
        };
        if let Err(blame) = self.expect_own(&keys) {
            return Ok(Err(blame));
        }
        let hashes = match self.rows.hashes(&keys) {
            Ok(hashes) => hashes,
            Err(fault) => return Ok(Err(fault.into())),
        };
        self.board.doing(&self.id, Doing::ReadingRows);
        let rows = match self.rows.read(&keys, &hashes).await {
            Err(ReadModelError::Misfit(misfit)) => return Ok(Err(misfit.into())),
            read => read?,
        };
        self.board.doing(&self.id, Doing::Folding);
        let existing = rows.iter().map(|rows| rows.present.clone()).collect();
        let changes = match self.instance.apply(rows).await? {
            Ok(changes) => changes,
            Err(fault) => return Ok(Err(fault.into())),
        };
        if changes.iter().all(Changes::is_empty) {
            self.pass(checkpoint);
            return Ok(Ok(()));
        }
        let tables = table_changes(keys, hashes, changes, existing);
        if let Err(misfit) = self.fits.iter().zip(&tables).try_for_each(|(fits, changed)| fits.check(changed)) {
            return Ok(Err(misfit.into()));
        }
        self.board.doing(&self.id, Doing::WaitingToCommit);
        self.rows.remember(&tables, self.commits.done_with_rows());
        let (at, idle) = (self.at, self.idle);
        let pushed = self.push(Commit { tables, checkpoint }).await;
        if !self.is_stepwise {
            return Ok(Ok(pushed?));
        }
        match pushed.and(self.commits.flush().await) {
            Err(ReadModelError::Misfit(misfit)) => {
                self.idle = idle;
                self.go_back_to(at);
                Ok(Err(misfit.into()))
            }
            written => Ok(Ok(written?)),
        }
    }

    /// Forgets what could not be written: `at` is where the last commit has put it.
    fn go_back_to(&mut self, at: Position) {
        (self.at, self.prepared.checkpoint.position) = (at, at);
        let tables = &self.manifest.tables;
        self.rows = RowSource::new(self.read_model.clone(), self.id.clone(), tables, &self.limits, false);
        let writer = self.read_model.writer(&self.prepared, tables);
        self.commits =
            Commits::start(writer, self.board.clone(), (self.id.clone(), self.partition.number), &self.limits);
    }

    /// The tables can have rows with such keys, and a row belongs to one partition: the one of the
    /// aggregate that it is named after.
    fn expect_own(&self, keys: &[Keys]) -> Result<(), Blame> {
        self.fits.iter().zip(keys).try_for_each(|(fits, keys)| fits.check_keys(keys))?;
        if self.partition.is_whole() {
            return Ok(());
        }
        for (table, keys) in self.manifest.tables.iter().zip(keys) {
            let Some(Cells::Texts(ids)) = keys.columns.first().map(|column| &column.cells) else { continue };
            let foreign =
                (0..keys.count).map(|row| ids.get(row)).find(|id| self.partition.of(id) != self.partition.number);
            if let Some(id) = foreign {
                let what = format!(
                    "table `{}` is keyed by the aggregate's id, but partition {} was to write row `{id}`, which belongs to partition {}",
                    table.name,
                    self.partition.number,
                    self.partition.of(id)
                );
                return Err(Fault::Lied { what }.into());
            }
        }
        Ok(())
    }

    /// Goes on to `checkpoint` without a row to write.
    fn pass(&mut self, checkpoint: Checkpoint) {
        let due = self.idle.as_ref().map_or_else(|| Instant::now() + IDLE_CHECKPOINT, |&(_, due)| due);
        self.idle = Some((checkpoint, due));
        if self.commits.are_done() {
            self.board.folded(&self.id, self.partition.number, checkpoint.position);
        }
    }

    async fn write_idle(&mut self) -> Result<(), ReadModelError> {
        match self.idle.take() {
            Some((checkpoint, _)) => self.push(Commit { tables: Vec::new(), checkpoint }).await,
            None => Ok(()),
        }
    }

    async fn push(&mut self, commit: Commit) -> Result<(), ReadModelError> {
        self.idle = None;
        self.at = commit.checkpoint.position;
        self.commits.push(commit, self.feed.reads_ahead()).await
    }

    fn problem(&self, batch: &Batch, row: usize, blame: &Blame) -> Problem {
        let (position, event_id) = (batch.position(row), batch.event_id(row));
        let message = format!("{}, position {position}, event {event_id}, {}: {blame}", self.id, batch.event_type(row));
        Problem {
            code: blame.code().to_owned(),
            message: message.replacen(": at ", ", at ", 1),
            position: Some(position),
            event_id: Some(event_id),
            since: Timestamp::now(),
        }
    }
}

fn table_changes(
    keys: Vec<Keys>,
    hashes: Hashes,
    changes: Vec<Changes>,
    existing: Vec<Vec<u8>>,
) -> Vec<Arc<TableChanges>> {
    let tables = keys.into_iter().zip(hashes).zip(changes).zip(existing);
    let of_table = |(((keys, hashes), changes), existing)| Arc::new(TableChanges::new(keys, hashes, changes, existing));
    tables.map(of_table).collect()
}

/// Rows `rows` of `batch`; the batch itself if that is all of it.
fn part(batch: &Arc<Batch>, rows: &Range<usize>) -> Arc<Batch> {
    if rows.len() == batch.len() {
        return Arc::clone(batch);
    }
    Arc::new(batch.gather(&rows.clone().map(number_of).collect::<Vec<u32>>()))
}

/// The first row of the events that share a position with `row`.
fn position_start(batch: &Batch, row: usize) -> usize {
    batch.positions.partition_point(|&position| position < batch.positions[row])
}

/// Behind the last row of the events that share a position with `row`.
fn position_end(batch: &Batch, row: usize) -> usize {
    batch.positions.partition_point(|&position| position <= batch.positions[row])
}

/// The checkpoint once all rows before `row` are folded; none if there are none.
fn before(batch: &Batch, row: usize) -> Option<Checkpoint> {
    let last = row.checked_sub(1)?;
    let position = batch.position(last);
    Some(Checkpoint { position, last_event: Some((position, batch.event_id(last))) })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn lost(losses: &mut watch::Receiver<u64>) {
    // Of a file there is nobody who would tell.
    if losses.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Whether the checkpoint's last event is still where it was.
pub(super) fn history_changed(
    id: &VersionId,
    at: Position,
    expected: uuid::Uuid,
    found: Option<uuid::Uuid>,
) -> Option<Problem> {
    if found == Some(expected) {
        return None;
    }
    let found = found.map_or_else(|| "no event".to_owned(), |found| format!("event {found}"));
    Some(Problem {
        code: "history_changed".to_owned(),
        message: format!(
            "{id}: history changed: position {at} held event {expected} when it was folded, now it holds {found}; restore the event store, or raise the projection's version to fold the one that is there"
        ),
        position: Some(at),
        event_id: Some(expected),
        since: Timestamp::now(),
    })
}
