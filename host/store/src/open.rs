//! The store as a whole, and its one writer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use super::append::Request;
use super::appender::Appender;
use super::head::Head;
use super::page::PageSize;
use super::{Error, Hold, Lineage, Readable};
use database::{Concern, Database, Error as DatabaseError, Tables, query};
use model::event::{Checkpoint, Position};
use model::limits::Limits;
use model::task::Tasks;

pub(super) const CONCERN: Concern = Concern {
    name: "event store",
    table: "fantascope_store_migrations",
    mark: "events",
    migrations: &[(
        1,
        "events",
        [
            include_str!("../../../migrations/sqlite/store/0001_events.sql"),
            include_str!("../../../migrations/postgres/store/0001_events.sql"),
            include_str!("../../../migrations/mysql/store/0001_events.sql"),
        ],
    )],
    makes_with: &["CREATE", "TRIGGER"],
    goes_on_making: false,
    needs: &[("events", &["SELECT", "INSERT"])],
    needs_on_mysql: &[("fantascope_sync", &["UPDATE"])],
};

/// Appends that wait to be written; further callers wait.
const APPENDS_WAITING: usize = 1_024;

/// What an event may have beside payload and metadata: six names of up to 200 bytes, and more.
const EVENT_BYTES_BESIDE: usize = 4 << 10;

/// The event store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) database: Database,
    pub(super) appends: mpsc::Sender<Request>,
    pub(super) head: Arc<Head>,
    pub(super) limits: Limits,
    pub(super) page_size: Arc<PageSize>,
    tasks: Tasks,
}

impl Store {
    /// Opens the store in `database`, making its tables where they are missing.
    ///
    /// # Errors
    /// If the database can't be migrated or read, or takes no events as large as `limits` allow.
    pub async fn open(database: &Database, limits: &Limits) -> Result<Self, DatabaseError> {
        expect_room(database, limits)?;
        database.migrate(&CONCERN).await?;
        super::checks::check(database).await?;
        let fault = |fault| match fault {
            Error::Database(source) => DatabaseError::open(database.name(), source),
            Error::Unfit(fault) => fault,
            fault => DatabaseError::Unsafe { database: database.name().to_owned(), fault: fault.to_string() },
        };
        database.remember(CONCERN.mark).await.map_err(|fault| DatabaseError::open(database.name(), fault))?;
        let head = Arc::new(Head::open(database).await.map_err(fault)?);
        let (appends, requests) = mpsc::channel(APPENDS_WAITING);
        let tasks = Tasks::default();
        tokio::spawn(append(tasks.clone(), Appender::new(database.clone(), Arc::clone(&head)), requests));
        tokio::spawn(listen(tasks.clone(), database.clone(), Arc::downgrade(&head)));
        let page_size = Arc::new(PageSize::at_most(limits.batch_events_max));
        Ok(Self { database: database.clone(), appends, head, limits: limits.clone(), page_size, tasks })
    }

    /// What must not end while the store is used: its own tasks, and those of whoever works on it.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// How the tables of a store in `database` stand, and its last position; writes nothing.
    ///
    /// # Errors
    /// If the database can't be read, or is not fit.
    pub async fn look(database: &Database) -> Result<(Tables, Position), DatabaseError> {
        let tables = database.tables(&CONCERN).await?;
        if tables == Tables::Missing {
            return Ok((tables, Position::START));
        }
        let last = async {
            let last = query("SELECT coalesce(max(position), 0) AS last FROM events");
            Ok(Position::from_sql(last.one(&mut database.read().await?).await?.get("last")?))
        };
        Ok((tables, last.await.map_err(|source| DatabaseError::open(database.name(), source))?))
    }

    /// The position up to which the store can be read without missing anything: whatever
    /// stands there or before is committed.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head.position()
    }

    /// The head, with the event that stands there.
    #[must_use]
    pub fn head_event(&self) -> Checkpoint {
        self.head.at()
    }

    /// Which history the store holds. It changes when the database is found to be restored to an
    /// older state, or replaced: what was read before may not be there any more.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.head.lineage()
    }

    /// Since when what can be read, as this host has seen it.
    #[must_use]
    pub fn readable(&self) -> Readable {
        self.head.readable().clone()
    }

    /// Waits until there is an event after `position`: at once when this process appends it,
    /// or the database notifies of it; else it is looked for, at intervals that grow from a few
    /// milliseconds while nothing happens. `poll` is the longest on a file; a server is asked
    /// every two seconds at the least.
    ///
    /// # Errors
    /// [`Error::Restored`] if it holds another history meanwhile; others if the database can't be
    /// read.
    pub async fn wait_beyond(&self, position: Position, poll: Duration) -> Result<Position, Error> {
        self.wait_within(self.lineage(), position, poll).await
    }

    /// The same, for whoever has read the history of `lineage` up to `position`.
    ///
    /// # Errors
    /// As [`Store::wait_beyond`].
    pub async fn wait_within(&self, lineage: Lineage, position: Position, poll: Duration) -> Result<Position, Error> {
        self.head.wait_beyond(position, lineage, poll).await
    }

    /// Reads the head anew, for other processes may have appended: what is committed by now is
    /// below it, unless an append before that is in flight.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn refresh_head(&self) -> Result<Position, Error> {
        self.head.catch_up().await
    }

    /// The head as whoever appended here expects it: at their last event or beyond, unless an
    /// append before that is in flight, or the database is away. It is looked at only if it is
    /// known to be behind.
    pub async fn head_with_appended(&self) -> Position {
        self.head.with_appended().await
    }

    /// What keeps the head from following the last append, if something does for a while.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.head.hold()
    }

    /// Where the events are.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Appends, until nobody can ask for it any more.
async fn append(tasks: Tasks, mut appender: Appender, mut requests: mpsc::Receiver<Request>) {
    while tasks.run("appends", appender.run(&mut requests)).await.is_none() {}
}

/// Hears of appends of others, as long as the store is used.
async fn listen(tasks: Tasks, database: Database, head: Weak<Head>) {
    while tasks.run("news of appends", super::head::listen(database.clone(), Weak::clone(&head))).await.is_none() {}
}

/// The largest event that is taken must have room in a statement.
fn expect_room(database: &Database, limits: &Limits) -> Result<(), DatabaseError> {
    // Payload and metadata are bounded each.
    let needed = limits.event_bytes_max.saturating_mul(2).saturating_add(EVENT_BYTES_BESIDE);
    let found = database.statement_bytes_max();
    if needed <= found {
        return Ok(());
    }
    Err(DatabaseError::Statement { database: database.name().to_owned(), found, needed })
}
