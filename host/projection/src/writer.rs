//! Commits, one after the other, while the next batches are folded. Those that wait are
//! written together, and while history is read a few are waited for: the more there are, the
//! more rows are written once instead of again and again. Only after a commit does anybody
//! hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::board::Board;
use model::change::VersionId;
use model::event::number_of;
use model::limits::Limits;
use model::task::Panic;
use read_model::{Commit, Error, Writer};

/// What waits to be written is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 10;

/// There is never room for more pieces: 4 TiB.
const PIECES_MAX: usize = u32::MAX as usize;

/// How long a commit waits at the most for those that are about to come.
const GATHERING_MAX: Duration = Duration::from_millis(100);

/// Hands commits to the writer.
#[derive(Debug)]
pub(super) struct Commits {
    sender: Option<mpsc::Sender<Order>>,
    /// Room for changes that are not committed yet, and how much of it there is in all.
    room: Arc<Semaphore>,
    room_max: usize,
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
    /// With the room that it takes. Whether another one is about to come.
    Commit { commit: Commit, room: Option<OwnedSemaphorePermit>, is_followed: bool },
    /// Say when all before it is committed.
    Tell(oneshot::Sender<()>),
}

impl Commits {
    /// What waits and what is being written is bounded, unless a single commit has more.
    pub(super) fn start(writer: Writer, board: Board, of: (VersionId, u32), limits: &Limits) -> Self {
        let (sender, orders) = mpsc::channel(writer.commits_at_once());
        let done = Arc::new(Done::default());
        let room_max = (limits.waiting_rows_bytes_max / PIECE_BYTES).clamp(1, PIECES_MAX);
        let room = Arc::new(Semaphore::new(room_max));
        let orders = Orders { orders, at_once: writer.commits_at_once(), room: Arc::clone(&room), room_max };
        let task = tokio::spawn(write(writer, orders, board, of, Arc::clone(&done)));
        Self { sender: Some(sender), room, room_max, task: Some(task), pushed: 0, done }
    }

    /// How many commits that write rows are done.
    pub(super) fn done_with_rows(&self) -> u64 {
        self.done.with_rows.load(Ordering::Acquire)
    }

    /// Whether any commit is done.
    pub(super) fn have_begun(&self) -> bool {
        self.done.all.load(Ordering::Acquire) > 0
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

    /// Queues a commit; waits while too many wait already. One that `is_followed` by others
    /// soon may wait a little for them.
    ///
    /// # Errors
    /// Why an earlier one failed.
    pub(super) async fn push(&mut self, commit: Commit, is_followed: bool) -> Result<(), Error> {
        let bytes = commit.tables.iter().map(|changed| changed.bytes()).sum::<usize>();
        let pieces = number_of(bytes.div_ceil(PIECE_BYTES).min(self.room_max));
        let room = tokio::select! {
            biased;
            // Nobody closes it.
            room = Arc::clone(&self.room).acquire_many_owned(pieces) => room.ok(),
            () = self.ended() => return self.fail().await,
        };
        self.order(Order::Commit { commit, room, is_followed }).await?;
        self.pushed += 1;
        Ok(())
    }

    /// Waits until all that was pushed is committed.
    ///
    /// # Errors
    /// Why a commit failed.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Tell(tell)).await?;
        tokio::select! {
            biased;
            Ok(()) = told => Ok(()),
            // What is sent while it ends may stay in the channel, neither obeyed nor dropped.
            () = self.ended() => self.fail().await,
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
            Some(task) => task.await.unwrap_or_else(|fault| Err(Panic::from(fault).into())),
            None => Ok(()),
        }
    }
}

/// What the writer is to do, as it comes.
#[derive(Debug)]
struct Orders {
    orders: mpsc::Receiver<Order>,
    at_once: usize,
    room: Arc<Semaphore>,
    room_max: usize,
}

impl Orders {
    /// What is to be done next, into `waiting`, which is empty. Nothing comes when all is done.
    ///
    /// Of commits that others follow it waits for so many that they take half of the room: they
    /// are written while the other half fills.
    async fn next(&mut self, waiting: &mut Vec<Order>) {
        self.orders.recv_many(waiting, self.at_once).await;
        let until = tokio::time::Instant::now() + GATHERING_MAX;
        while matches!(waiting.last(), Some(Order::Commit { is_followed: true, .. }))
            && waiting.len() < self.at_once
            && self.room.available_permits() > self.room_max / 2
        {
            let more = self.orders.recv_many(waiting, self.at_once - waiting.len());
            if !matches!(tokio::time::timeout_at(until, more).await, Ok(1..)) {
                return;
            }
        }
    }
}

async fn write(
    mut writer: Writer,
    mut orders: Orders,
    board: Board,
    (id, partition): (VersionId, u32),
    done: Arc<Done>,
) -> Result<(), Error> {
    let mut waiting = Vec::with_capacity(orders.at_once);
    loop {
        orders.next(&mut waiting).await;
        if waiting.is_empty() {
            return Ok(());
        }
        let (mut commits, mut rooms, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for order in waiting.drain(..) {
            match order {
                Order::Commit { commit, room, .. } => {
                    commits.push(commit);
                    rooms.push(room);
                }
                // What comes after it is written with it, so that it is told a little later.
                Order::Tell(tell) => asked.push(tell),
            }
        }
        let count = commits.len() as u64;
        let with_rows = commits.iter().filter(|commit| !commit.tables.is_empty()).count() as u64;
        if let Some(position) = commits.last().map(|commit| commit.checkpoint.position) {
            writer.commit(&commits).await?;
            drop(rooms);
            done.with_rows.fetch_add(with_rows, Ordering::AcqRel);
            done.all.fetch_add(count, Ordering::AcqRel);
            board.folded(&id, partition, position);
        }
        for tell in asked {
            // Whoever asked may have been cancelled, and needs no answer then.
            tell.send(()).unwrap_or(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use database::{Database, Durability};
    use model::change::{
        Cells, Changes, Column, ColumnDefinition, ColumnType, Digest, Keys, Manifest, Operation, Subscription,
        TableDefinition,
    };
    use model::event::{Checkpoint, Position};
    use read_model::{ReadModel, TableChanges};

    /// How often a writer ends while it is asked. In few rounds both fall together: without a
    /// look at its end, the first one of a run to hang was number 11,641.
    const ROUNDS: usize = 200_000;
    const HANGS: Duration = Duration::from_secs(60);

    fn table() -> TableDefinition {
        let column = |name: &str| ColumnDefinition {
            name: name.parse().expect("a name"),
            of_type: ColumnType::Integer,
            nullable: false,
        };
        TableDefinition {
            name: "counts".parse().expect("a name"),
            columns: vec![column("id"), column("count")],
            key_columns: 1,
            keyed_by_aggregate: false,
            indexes: Vec::new(),
        }
    }

    fn commit(position: u64) -> Commit {
        let column = || vec![Column { nulls: Vec::new(), cells: Cells::Integers(vec![1]) }];
        let keys = Keys { count: 1, columns: column() };
        let (hashes, changes) = (keys.hashes(), Changes { operations: vec![Operation::Put], columns: column() });
        let tables = vec![Arc::new(TableChanges::new(keys, hashes, changes, Vec::new()))];
        Commit { tables, checkpoint: Checkpoint { position: Position(position), last_event: None } }
    }

    /// Whether there is room for a second commit while the first can't be written.
    async fn has_room(waiting_rows_bytes_max: usize) -> bool {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        let database = Database::at(&url).await.expect("a database");
        let read_model = ReadModel::open(&database).await.expect("read models");
        let manifest = Manifest {
            sdk: "test".to_owned(),
            name: "counts".parse().expect("a name"),
            version: 1,
            subscription: Subscription::All,
            replayable: false,
            tables: vec![table()],
        };
        let prepared = read_model.prepare(&manifest, Digest([0; 32])).await.expect("prepared");
        let writer = read_model.writer(&prepared, &manifest.tables);
        let limits = Limits { waiting_rows_bytes_max, ..Limits::default() };
        let of = (prepared.id.clone(), prepared.partition);
        let mut commits = Commits::start(writer, Board::default(), of, &limits);
        let in_the_way = database.begin(Durability::Normal).await.expect("the turn to write");
        commits.push(commit(1), false).await.expect("pushed");
        let second = timeout(Duration::ZERO, commits.push(commit(2), false)).await;
        drop(in_the_way);
        if second.is_err() {
            commits.push(commit(2), false).await.expect("pushed when the first is written");
        }
        commits.finish().await.expect("all is written");
        let position = read_model.version(&prepared.id).await.expect("a version").position();
        assert_eq!(position, Position(2), "both are written");
        second.is_ok()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_waits_for_a_writer_that_has_ended() {
        for round in 0..ROUNDS {
            let (sender, orders) = mpsc::channel(1);
            let task = tokio::spawn(async move {
                drop(orders);
                Err(Error::Closed)
            });
            let room = Arc::new(Semaphore::new(1));
            let mut commits =
                Commits { sender: Some(sender), room, room_max: 1, task: Some(task), pushed: 0, done: Arc::default() };
            let flushed = timeout(HANGS, commits.flush()).await;
            assert!(matches!(flushed, Ok(Err(Error::Closed))), "{flushed:?} in round {round}");
        }
    }

    /// What the writer takes at first of commits, `+` if others follow, and of questions `?`;
    /// while `taken` of the ten pieces of room are. None if it waits for more.
    async fn first_taken(orders: &str, taken: u32) -> Option<usize> {
        let (sender, receiver) = mpsc::channel(4);
        let room = Arc::new(Semaphore::new(10));
        let _rows = Arc::clone(&room).acquire_many_owned(taken).await.expect("nobody closes it");
        for order in orders.chars() {
            let order = match order {
                '?' => Order::Tell(oneshot::channel().0),
                order => Order::Commit { commit: commit(1), room: None, is_followed: order == '+' },
            };
            sender.send(order).await.expect("there is room");
        }
        let mut orders = Orders { orders: receiver, at_once: 4, room, room_max: 10 };
        let mut waiting = Vec::new();
        let is_enough = timeout(Duration::ZERO, orders.next(&mut waiting)).await.is_ok();
        is_enough.then_some(waiting.len())
    }

    #[tokio::test]
    async fn commits_that_others_follow_are_gathered() {
        assert_eq!(first_taken(".", 1).await, Some(1), "nothing is waited for");
        assert_eq!(first_taken("+", 1).await, None);
        assert_eq!(first_taken("++.", 3).await, Some(3));
        assert_eq!(first_taken("++", 4).await, None, "less than half of the room");
        assert_eq!(first_taken("++", 5).await, Some(2), "half of the room");
        assert_eq!(first_taken("++?", 3).await, Some(3), "somebody asks");
        assert_eq!(first_taken("++++", 1).await, Some(4), "as many as are written at once");
    }

    #[tokio::test]
    async fn commits_do_not_wait_for_ever() {
        let (sender, receiver) = mpsc::channel(4);
        let mut orders = Orders { orders: receiver, at_once: 4, room: Arc::new(Semaphore::new(10)), room_max: 10 };
        let order = || Order::Commit { commit: commit(1), room: None, is_followed: true };
        let mut waiting = Vec::new();
        for _ in 0..2 {
            sender.send(order()).await.expect("there is room");
        }
        timeout(HANGS, orders.next(&mut waiting)).await.expect("those that follow do not come");
        assert_eq!(waiting.len(), 2);
        waiting.clear();
        sender.send(order()).await.expect("there is room");
        drop(sender);
        timeout(HANGS, orders.next(&mut waiting)).await.expect("none can come");
        assert_eq!(waiting.len(), 1);
        waiting.clear();
        orders.next(&mut waiting).await;
        assert!(waiting.is_empty(), "all is done");
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        assert!(has_room(1 << 20).await);
        assert!(!has_room(1).await);
    }
}
