//! Commits, one after the other, while the next batches are folded. Those that wait are
//! written together. Only after a commit does anybody hear of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::merge::merge;
use super::status::Board;
use crate::change::VersionId;
use crate::event::Position;
use crate::read_model::{Commit, Error, Writer};

/// Batches that are folded but not committed yet, beside those that are being written.
const COMMITS_WAITING: usize = 8;

/// The rate is taken over this time.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Hands commits to the writer.
#[derive(Debug)]
pub(super) struct Commits {
    sender: Option<mpsc::Sender<Order>>,
    task: Option<JoinHandle<Result<(), Error>>>,
    pushed: u64,
    done: Arc<Done>,
}

/// How many commits are done: all of them, and those that wrote rows.
#[derive(Debug, Default)]
struct Done {
    all: AtomicU64,
    with_rows: AtomicU64,
}

/// What the writer is to do.
#[derive(Debug)]
enum Order {
    Commit(Commit),
    /// Say when all before it is committed.
    Tell(oneshot::Sender<()>),
}

impl Commits {
    pub(super) fn start(writer: Writer, board: Board, id: VersionId, partition: u32) -> Self {
        let (sender, orders) = mpsc::channel(COMMITS_WAITING);
        let done = Arc::new(Done::default());
        let task = tokio::spawn(write(writer, orders, board, (id, partition), Arc::clone(&done)));
        Self { sender: Some(sender), task: Some(task), pushed: 0, done }
    }

    /// How many commits that write rows are done.
    pub(super) fn done_with_rows(&self) -> u64 {
        self.done.with_rows.load(Ordering::Acquire)
    }

    /// Whether all that was pushed is committed.
    pub(super) fn are_done(&self) -> bool {
        self.done.all.load(Ordering::Acquire) == self.pushed
    }

    /// Waits until the writer ends, which it does by itself only if a commit failed.
    pub(super) async fn ended(&self) {
        match &self.sender {
            Some(sender) => sender.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Queues a commit; waits while too many wait already.
    ///
    /// # Errors
    /// Why an earlier one failed.
    pub(super) async fn push(&mut self, commit: Commit) -> Result<(), Error> {
        self.pushed += 1;
        self.order(Order::Commit(commit)).await
    }

    /// Waits until all that was pushed is committed.
    ///
    /// # Errors
    /// Why a commit failed.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Tell(tell)).await?;
        match told.await {
            Ok(()) => Ok(()),
            Err(_) => self.fail().await,
        }
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        if let Some(sender) = &self.sender
            && sender.send(order).await.is_ok()
        {
            return Ok(());
        }
        self.fail().await
    }

    /// The writer has ended: why?
    async fn fail(&mut self) -> Result<(), Error> {
        self.finish().await.and(Err(Error::Closed))
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Why a commit failed.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.sender = None;
        match self.task.take() {
            Some(task) => task.await.unwrap_or(Err(Error::Closed)),
            None => Ok(()),
        }
    }
}

async fn write(
    mut writer: Writer,
    mut orders: mpsc::Receiver<Order>,
    board: Board,
    (id, partition): (VersionId, u32),
    done: Arc<Done>,
) -> Result<(), Error> {
    let mut rate = Rate::default();
    let mut waiting = Vec::with_capacity(COMMITS_WAITING);
    while orders.recv_many(&mut waiting, COMMITS_WAITING).await > 0 {
        let (mut commits, mut asked) = (Vec::new(), Vec::new());
        for order in waiting.drain(..) {
            match order {
                Order::Commit(commit) => commits.push(commit),
                // What comes after it is written with it, so that it is told a little later.
                Order::Tell(tell) => asked.push(tell),
            }
        }
        let count = commits.len() as u64;
        let with_rows = commits.iter().filter(|commit| !commit.tables.is_empty()).count() as u64;
        if let Some(commit) = merge(commits) {
            writer.commit(&commit).await?;
            done.with_rows.fetch_add(with_rows, Ordering::AcqRel);
            done.all.fetch_add(count, Ordering::AcqRel);
            let position = commit.checkpoint.position;
            board.folded(&id, partition, position, Some(rate.note(position)));
        }
        for tell in asked {
            // Whoever asked may have been cancelled, and needs no answer then.
            tell.send(()).unwrap_or(());
        }
    }
    Ok(())
}

/// Events per second over the last few seconds.
#[derive(Debug, Default)]
struct Rate {
    notes: VecDeque<(Instant, Position)>,
}

impl Rate {
    fn note(&mut self, position: Position) -> f64 {
        let now = Instant::now();
        while self.notes.front().is_some_and(|&(at, _)| now - at > RATE_WINDOW) && self.notes.len() > 1 {
            self.notes.pop_front();
        }
        let per_second = self
            .notes
            .front()
            .map_or(0.0, |&(at, before)| position.ahead_of(before) as f64 / (now - at).as_secs_f64().max(0.001));
        self.notes.push_back((now, position));
        per_second
    }
}
