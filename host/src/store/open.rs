//! The store as a whole, and its one writer.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::{mpsc, watch};

use super::append::Appender;
use super::{Error, append::Request};
use crate::database::{Database, Error as DatabaseError};
use crate::event::Position;
use crate::limits::Limits;

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "events", include_str!("../../../migrations/sqlite/store/0001_events.sql"))];

/// Readers of one store at once; further ones wait.
const READERS: u32 = 8;

/// Appends that wait to be written; further callers wait.
const APPENDS_WAITING: usize = 1_024;

/// The event store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) readers: SqlitePool,
    pub(super) appends: mpsc::Sender<Request>,
    head: watch::Receiver<Position>,
    heard: Arc<watch::Sender<Position>>,
    pub(super) limits: Limits,
}

impl Store {
    /// Opens the store in `database`, making its tables where they are missing.
    ///
    /// # Errors
    /// If the database can't be migrated or read.
    pub async fn open(database: &Database, limits: &Limits) -> Result<Self, DatabaseError> {
        database.migrate("fantascope_store_migrations", MIGRATIONS).await?;
        let open = |source| DatabaseError::Open { path: database.path().to_owned(), source };
        let readers = database.readers(READERS);
        let (heard, head) = watch::channel(read_head(&readers).await.map_err(open)?);
        let heard = Arc::new(heard);
        let (appends, requests) = mpsc::channel(APPENDS_WAITING);
        let appender = Appender::open(database.clone(), Arc::clone(&heard)).await.map_err(open)?;
        tokio::spawn(appender.run(requests));
        Ok(Self { readers, appends, head, heard, limits: limits.clone() })
    }

    /// The position of the last event that is known to be committed.
    #[must_use]
    pub fn head(&self) -> Position {
        *self.head.borrow()
    }

    /// Waits until there is an event after `position`: at once when this process
    /// appends it, within `poll` when another one does.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn wait_beyond(&self, position: Position, poll: Duration) -> Result<Position, Error> {
        let mut head = self.head.clone();
        loop {
            let known = *head.borrow_and_update();
            if known > position {
                return Ok(known);
            }
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Err(Error::Closed) },
                () = tokio::time::sleep(poll) => { self.refresh_head().await?; }
            }
        }
    }

    /// Reads the head anew, for other processes may have appended.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn refresh_head(&self) -> Result<Position, Error> {
        let head = read_head(&self.readers).await.map_err(Error::Database)?;
        self.heard.send_if_modified(|known| {
            let grown = head > *known;
            *known = head.max(*known);
            grown
        });
        Ok(head)
    }
}

async fn read_head(readers: &SqlitePool) -> sqlx::Result<Position> {
    let (head,): (i64,) = sqlx::query_as("SELECT coalesce(max(position), 0) FROM events").fetch_one(readers).await?;
    Ok(Position::from_sql(head))
}
